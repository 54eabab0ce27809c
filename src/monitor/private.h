/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kapsel-monitor: the parent of one init. One thread reaps, kills and answers, and never waits for
 * a disk or a client; each log and each client has a sink: a bounded ring and a thread behind it,
 * both there only while there is something to say.
 */
#ifndef KAPSEL_MONITOR_PRIVATE_H
#define KAPSEL_MONITOR_PRIVATE_H

#include <kapsel/cgroup.h>
#include <kapsel/log.h>
#include <kapsel/supervise.h>
#include <kapsel/wire.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
	RING_BYTES = 256 * 1024,
	READ_MOST = 32 * 1024, /* of one read(2), one chunk */
	PATIENCE_MS = 2000,    /* that a full sink may hold the container up; then bytes drop */
	IDLE_MS = 1000,	       /* after which a sink gives its thread and memory back */
	LAST_BYTES = 4096,     /* of output kept for the exit record */
	LAST_LINES = 10,
	MOST_CLIENTS = 16,
	MOST_CONNECTIONS = 8,
};

/* ---- sink.c
 * -----------------------------------------------------------------------------------------------
 */

enum chunk_kind {
	CHUNK_STDOUT = LOG_STDOUT,
	CHUNK_STDERR = LOG_STDERR,
	CHUNK_DROPPED, /* data: a uint64_t, the bytes that are missing here */
	CHUNK_REOPEN,
	CHUNK_END, /* nothing follows: unfinished lines go out */
};
struct chunk {
	uint64_t wall_ns;
	uint32_t len;
	uint16_t kind;
	uint16_t wrap; /* nothing more up to the ring's end */
};

struct sink_kind {
	/* In the sink's thread; may block. -1: the other side is gone for good. */
	int (*take)(void *arg, const struct chunk *c, const char *data);
	/* The ring is empty. @idle: and was for a while. @held: bytes that wait for a line's end,
	 * or (then false) for the disk. */
	bool (*calm)(void *arg, bool idle, size_t *held);
};
struct sink;
struct sink *sink_new(const struct sink_kind *kind, void *arg, int wake);
/* false: its thread is stuck in a write; then nothing is freed, neither @arg's. */
bool sink_free(struct sink *s);
/* Gives @len bytes in; when there is no room, waits for nothing: they are counted as dropped, and
 * the next that is given in is preceded by a note. Without room, sink_holds() says so before. */
void sink_put(struct sink *s, enum chunk_kind kind, uint64_t wall_ns, const char *data, size_t len);
/* Should reading stop for it? Until @until at most, which is set when that begins. After it false:
 * the sink is stuck, and drops. The wake fd tells when to ask again. */
bool sink_holds(struct sink *s, deadline *until);
bool sink_begun(const struct sink *s); /* something was put into it, ever */
bool sink_dead(struct sink *s);
void sink_give_up(struct sink *s); /* what waits is dropped; its thread ends as soon as it can */
/* Waits until all is written, true, or @d. */
bool sink_settle(struct sink *s, deadline d);
uint64_t sink_dropped(struct sink *s); /* bytes, with what is not written yet */
bool sink_given_up(struct sink *s);    /* for take() */

/* ---- last.c: the last lines
 * -------------------------------------------------------------------------------- */

struct last {
	char *ring; /* LAST_BYTES, from the first output on */
	uint64_t n;
};
void last_add(struct last *l, const char *data, size_t len);
/* At most LAST_LINES; a first line whose head is gone is left out, if others are there. */
void last_lines(const struct last *l, char ***lines, size_t *n);

/* ---- client.c
 * ---------------------------------------------------------------------------------------------- */

struct client {
	struct client *next;
	int out, err;
	struct sink *sink; /* NULL: it only writes */
	struct input *input;
	char *request; /* what DETACH names */
	bool first;    /* came with WATCH: the end of its stdin is the container's */
	bool leaving;
};
struct input {
	int in, to, cancel, wake;
	pthread_t thread;
	bool running;
	atomic_bool done, end_of_file;
};
struct client *client_new(int in, int out, int err, int wake); /* takes the fds */
/* Bytes that were written without waiting; the rest is for sink_put(). */
size_t client_write_now(struct client *c, enum chunk_kind kind, const char *data, size_t len);
int client_input(struct client *c, int to, struct kerr *e); /* @to is duplicated */
void client_cancel_input(struct client *c);
bool client_free(struct client *c); /* false: a thread is stuck; try again, or leave it */

/* ---- monitor.c
 * ---------------------------------------------------------------------------------------------- */

struct stream {
	struct source source;
	struct monitor *m;
	enum chunk_kind kind;
	bool open, paused;
};
struct connection {
	struct source source;
	struct monitor *m;
	struct connection *next;
	bool daemon; /* the one of birth */
};

struct monitor {
	struct loop *loop;
	struct source executor_socket, executor, signals, wake, listener, init;
	struct connection *connections;
	bool executor_gone, watched, exec_child, over;
	uint32_t flags;
	/* what it watches */
	struct exit_record record;
	int run_dir, log_dir;
	struct log_limits log_limits;
	struct log_writer *log_writer;
	struct sink *log;
	/* init */
	int pidfd, stdin_fd, master;
	pid_t pid;
	uint64_t start_time;
	char *cgroup_text;
	struct cgroup *cgroup;
	struct stream out, err;
	struct timer unblock; /* a full sink's patience is over */
	struct timer pty;     /* a terminal nobody has open */
	struct client *clients, *gone;
	struct last last;
	char *scratch;	   /* READ_MOST, mapped with the first output */
	struct timer idle; /* then its pages go back */
	/* the end */
	bool killing, told_stuck;
	struct timer stop;
};

int monitor_new(
	struct monitor **out, int daemon, int executor_socket, int executor, struct kerr *e);
int monitor_run(struct monitor *m);

/* output.c */
void output_begin(struct monitor *m, int out, int err);
void output_resume(struct monitor *m);
void output_idle(struct timer *t);
void output_drain(struct monitor *m, deadline d);
void output_reopen(struct monitor *m);

/* orders.c */
/* What the executor has said and nobody has read yet. */
void executor_first(struct monitor *m);
void orders_init(struct monitor *m, struct wire_in *in);
int connection_add(struct monitor *m, int fd, bool daemon, struct kerr *e);
void tell_all(struct monitor *m, void (*fill)(struct monitor *m, struct wire_out *w));
void fill_state(struct monitor *m, struct wire_out *w);
void fill_exited(struct monitor *m, struct wire_out *w);
void stop_timer(struct timer *t);
void client_events(struct monitor *m);

/* finish.c */
void reap_strangers(struct monitor *m);
void monitor_finish(struct monitor *m, const siginfo_t *info);

/* rights.c: effective rights for a moment; back to CAP_KILL alone with rights_least() */
void rights_least(void);
void rights_full(void);

#endif
