/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervise: the life of a container as one table of moves, and what an exit record means. Pure:
 * no clock is read, no system is touched. What the table does not have is refused, and the state
 * is named.
 */
#ifndef KAPSEL_SUPERVISE_H
#define KAPSEL_SUPERVISE_H

#include <kapsel/base.h>

/* ---- the lifecycle ----------------------------------------------------------------------------
 */

enum life {
	LIFE_CREATING, /* an executor is at work */
	LIFE_CREATED,  /* init waits for start */
	LIFE_RUNNING,
	LIFE_PAUSED,
	LIFE_STOPPING,	 /* asked to end, not ended yet */
	LIFE_STOPPED,	 /* ended; the certificate is there */
	LIFE_RESTARTING, /* reserved */
	LIFE_REMOVED,	 /* nothing of it is left but the journal's entries */
	LIFE_COUNT
};
const char *life_name(enum life s); /* "running", as the API writes it */
int life_parse(const char *name);   /* enum life, or -1 */

enum life_event {
	/* asked for by a caller */
	EV_START,
	EV_STOP,
	EV_KILL, /* a signal: the state stays */
	EV_PAUSE,
	EV_RESUME,
	EV_EXEC,
	EV_ATTACH,
	EV_DELETE,
	EV_DELETE_FORCE,
	EV_UPDATE,
	/* told by an executor or a monitor */
	EV_MADE,   /* created, waits */
	EV_RUNS,   /* the program runs */
	EV_FAILED, /* it was never made: all is undone */
	EV_EXITED, /* the exit record is there */
	EV_LOST,   /* the monitor died without one */
	EV_UNDONE, /* removed from disk */
	EV_COUNT
};
const char *life_event_name(enum life_event ev); /* "start" */

/* Who may ask: a caller with the role operate, or only Kapsel's own programs. */
enum life_asker { ASK_OPERATE, ASK_OBSERVE, ASK_SELF };
/* What is on disk before anything is done. */
enum life_record {
	RECORD_NONE,
	RECORD_JOURNAL,	    /* an entry in the journal: at most 100 ms behind */
	RECORD_CERTIFICATE, /* exit.json, then the journal */
};
enum life_act {
	ACT_NOTHING, /* already so: the answer is `unchanged` */
	ACT_START,   /* an executor opens the gate */
	ACT_TERM,    /* the stop signal, later the kill */
	ACT_SIGNAL,
	ACT_FREEZE,
	ACT_THAW,
	ACT_EXEC,
	ACT_ATTACH,
	ACT_REMOVE,
	ACT_KILL_REMOVE, /* kill all of it, then remove */
	ACT_ANNOUNCE,	 /* tell those who wait and watch */
	ACT_CERTIFY,	 /* write the certificate that the monitor could not, then announce */
};
struct life_move {
	enum life_event on;
	unsigned from; /* 1 << enum life, or'ed */
	enum life to;  /* LIFE_COUNT: the state stays */
	enum life_asker who;
	enum life_record first;
	enum life_act act;
};
/* The table: walked by the tests, printed by the documentation. */
const struct life_move *life_moves(size_t *n);

/**
 * life_ask() - what does @ev do in state @now?
 * @id: for the message
 *
 * Return: the table's row, or NULL: KERR_WRONG_STATE, the message names the state
 */
const struct life_move *life_ask(enum life now, enum life_event ev, const char *id, struct kerr *e);
enum life life_after(enum life now, const struct life_move *m);

/* ---- how it ended -----------------------------------------------------------------------------
 */

/* The exit record of one instance. Strings are owned. Times of 0 are unknown. */
struct exit_record {
	char *id, *uid;
	uint64_t instance;
	bool known; /* code or signal is known */
	int code;   /* when signal is 0 */
	int signal;
	bool core, oom;
	char *oom_limit; /* "memory.max 67108864"; NULL */
	char *reason;	 /* "exited", "signaled", "monitor lost", "never started" */
	char *by;	 /* who asked for the end: "uid 0 pid 4242 Stop"; NULL */
	char *request;
	uint64_t started_wall, ended_wall; /* ns since 1970 */
	uint64_t started_mono, ended_mono; /* CLOCK_BOOTTIME, ns */
	uint64_t peak_memory, cpu_ns;	   /* 0: unknown */
	uint64_t restarts;
	uint64_t dropped; /* bytes of output that a full or slow disk has cost */
	char **last_lines;
	size_t nlast_lines;
};
void exit_record_free(struct exit_record *r); /* leaves it zeroed */
/* Fills code, signal, core, known and reason from a waitid(2) answer's si_code and si_status. */
void exit_record_from_wait(struct exit_record *r, int how, int status);
/* The exit status a shell would see: code, 128 + signal, or 125 when it is not known. */
int exit_record_status(const struct exit_record *r);
/* What it means in one sentence for a person: "exited with code 127: the program was not found". */
void exit_record_words(const struct exit_record *r, struct buf *out);

#endif
