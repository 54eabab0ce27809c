/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: containers on disk. What dies with the machine is below the run directory (tmpfs): one
 * directory a container. What must survive a panic is in the journal, written by a thread of its
 * own, so that a stalled disk stops nobody.
 */
#ifndef KAPSEL_STORE_H
#define KAPSEL_STORE_H

#include <kapsel/json.h>
#include <kapsel/supervise.h>
#include <kapsel/sys.h>

/* Names within c/ID/ (docs/ARCHITECTURE.md, "Files"). */
#define STORE_CONFIG	 "config.json"	  /* the executor's copy, 0600 */
#define STORE_RECORD	 "container.json" /* kapseld's record */
#define STORE_OCI	 "oci.json"	  /* the executor's: pid, start time, cgroup, rootfs */
#define STORE_MONITOR	 "monitor.sock"
#define STORE_START	 "start.sock" /* there while a created init waits */
#define STORE_EXIT	 "exit.json"
#define STORE_MOST	 (256u << 10) /* bytes of one record */
#define STORE_CONTAINERS 100000u      /* in one run directory */

/* 128 random bits as 32 hexadecimal digits: a container's life, a journal. */
#define UID_TEXT 33
void uid_new(char out[static UID_TEXT]);

/* ---- one container's directory ----------------------------------------------------------------
 */

/**
 * store_record_write() - container.json, whole or not at all
 * @dir:  the container's directory
 * @json: an object that has at least the strings id and uid
 *
 * Not fsynced: what it speaks of does not survive a reboot either.
 */
int store_record_write(int dir, const struct buf *json, struct kerr *e);

/**
 * store_record_read() - container.json, strictly
 * @id: must be the record's own
 *
 * Return: the object, or NULL: KERR_STORE (unreadable, cut, of another container), KERR_NOT_FOUND
 */
const struct json *store_record_read(int dir, const char *id, struct arena *a, struct kerr *e);

/* Renames ID to ID.broken.N in the directory of containers: for a person to look at, never
 * deleted, and not listed any more. */
int store_set_aside(int containers, const char *id, struct kerr *e);

/* The valid ids in the directory of containers, sorted; what is no id is left out. */
int store_list(int containers, struct path_names *out, struct kerr *e);

/* The executor's record of one container. */
struct store_oci {
	pid_t pid;
	uint64_t start_time; /* field 22 of /proc/PID/stat */
	char *cgroup;	     /* for cgroup_open(); NULL when there is none */
};
int store_oci_read(int dir, struct store_oci *out, struct kerr *e); /* KERR_NOT_FOUND, KERR_STORE */
void store_oci_free(struct store_oci *o);

/* ---- exit records ------------------------------------------------------------------------------
 */

/* The members of the API's type Exit, as an object. */
void store_exit_json(struct json_out *o, const struct exit_record *r, bool last_lines);
/* exit.json: id, uid, exit, and both clocks. The monitor's; kapseld's when the monitor was lost. */
int store_exit_write(int dir, const struct exit_record *r, struct kerr *e);
/* Return: 0, or -1: KERR_NOT_FOUND (it has not ended), KERR_STORE */
int store_exit_read(int dir, struct exit_record *out, struct kerr *e);

/* ---- the journal -------------------------------------------------------------------------------
 *
 * Segments N.journal below the state directory's journal/: a head with the journal's id and the
 * number of its first entry, then entries: length, CRC-32C, number, wall clock, kind, bytes. A torn
 * end is cut off at the next opening; a segment whose middle is spoilt is set aside. Entries are
 * numbered from 1 on for ever; the oldest segment is removed when there are more than
 * journal_limits.segments.
 */

struct journal_limits {
	uint64_t segment_bytes; /* 0: 4 MiB */
	unsigned segments;	/* 0: 16 */
	uint64_t queue_bytes;	/* 0: 4 MiB wait for a stalled disk; then entries are counted as
				   lost */
	unsigned group_ms;	/* 0: 100: at most this far behind */
	uint64_t keep_bytes;	/* 0: 256 KiB of the newest entries stay in memory for replays */
};
enum journal_kind { JOURNAL_EVENT = 1, JOURNAL_CERTIFICATE, JOURNAL_AUDIT };

struct journal;
/**
 * journal_open() - read what is there, repair its end, start the writer thread
 * @dir:  the directory journal/; borrowed until journal_close()
 *
 * Return: 0, or -1: KERR_STORE, KERR_PATH_OPEN
 */
int journal_open(
	int dir, const struct journal_limits *limits, struct journal **out, struct kerr *e);
/* Writes what is queued for at most @most_ms, then ends the thread. A disk that stalls longer keeps
 * its thread: then false, and the process should end by _exit(). */
bool journal_close(struct journal *j, unsigned most_ms);
const char *journal_id(const struct journal *j); /* 32 hexadecimal digits */

/* Queues an entry and returns its number at once; the disk follows within group_ms. An audit line
 * has the number of the event before it, and is not replayed: events are numbered without gaps. */
uint64_t journal_add(
	struct journal *j, enum journal_kind kind, uint64_t wall_ns, const char *json, size_t len);
uint64_t journal_last(const struct journal *j);	   /* number of the newest entry; 0: none */
uint64_t journal_on_disk(const struct journal *j); /* newest that a crash would not cost */
uint64_t journal_lost(const struct journal *j);	   /* entries that the disk never saw */

struct journal_entry {
	uint64_t number, wall_ns;
	enum journal_kind kind;
	const char *json; /* until the callback returns */
	size_t len;
};
/**
 * journal_replay() - the entries after @number, in order
 * @each: false ends it
 *
 * From memory where it can; else from the segments, which may wait for a disk.
 *
 * Return: 0, or -1: KERR_NOT_FOUND (the journal does not reach back so far, or has not come so far
 * yet: resync), KERR_STORE
 */
int journal_replay(struct journal *j, uint64_t number,
	bool (*each)(void *arg, const struct journal_entry *entry), void *arg, struct kerr *e);

/* "ID:NUMBER", the cursor of the API. */
#define CURSOR_TEXT 56
const char *journal_cursor(const struct journal *j, uint64_t number, char out[static CURSOR_TEXT]);
/* Return: 0, or -1 when it is of another journal or no cursor: resync. */
int journal_cursor_parse(const struct journal *j, const char *text, uint64_t *number);

/* Work for the writer thread that must not stop the loop: runs in order with the entries. */
typedef void (*journal_job)(void *arg);
void journal_run(struct journal *j, journal_job job, void *arg);

#endif
