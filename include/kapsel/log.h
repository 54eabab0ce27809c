/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: what containers say, on disk. The writer (the monitor's) needs neither JSON nor a library;
 * the reader serves `kapsel logs` and the daemon, and follows across rotations.
 *
 * Files: 0.log is the one being written, 1.log the one before, up to the limit. A record is a line
 *
 *	2026-01-31T12:00:00.123456789Z stdout F text
 *
 * F ends a line of the container's; P (partial) is a piece of a line that goes on in the next
 * record of the same stream: it was longer than LOG_RECORD_MOST, or not ended when it had to be
 * written. The text is byte-exact: only the line's own \n is not in it. What Kapsel itself has to
 * say ("4096 bytes of output were dropped") is a record with one more tag, as CRI allows:
 * `TIME stderr F:kapsel text`. CRI readers take it as a line of stderr; ours as LOG_SYSTEM.
 */
#ifndef KAPSEL_LOG_H
#define KAPSEL_LOG_H

#include <kapsel/sys.h>

enum log_stream { LOG_STDOUT, LOG_STDERR, LOG_SYSTEM, LOG_STREAM_COUNT };
const char *log_stream_name(enum log_stream s); /* "stdout", "stderr", "system" */

#define LOG_RECORD_MOST	  16384u	 /* bytes of text in one record */
#define LOG_SIZE_DEFAULT  (10u << 20)	 /* bytes of a file, after which the next is begun */
#define LOG_SIZE_LEAST	  (4 * 16384ull) /* a smaller limit is raised to this */
#define LOG_FILES_DEFAULT 3u
#define LOG_FILES_MOST	  1000u
#define LOG_JOINED_MOST	  (1u << 20) /* a longer line is handed out in pieces */

/* ---- writing ----------------------------------------------------------------------------------
 *
 * Not for two threads at once. Everything here may wait for a disk.
 */

struct log_limits {
	uint64_t size;	/* 0: LOG_SIZE_DEFAULT; a file is never larger than this */
	unsigned files; /* 0: LOG_FILES_DEFAULT; all together, at least 1 */
};
struct log_writer;

/**
 * log_writer_new() - a writer into @dir; touches nothing until the first record
 * @dir:    borrowed until log_writer_free()
 * @limits: NULL for the defaults
 */
struct log_writer *log_writer_new(int dir, const struct log_limits *limits);
void log_writer_free(struct log_writer *w); /* what was not flushed is lost: log_end() first */

/**
 * log_add() - bytes of a stream, as they came; lines and pieces of lines
 * @wall_ns: when they came; a line has the time of its first byte
 *
 * Cuts them into records. An unfinished line waits in memory for its end, or for log_end().
 * Records reach the file with log_flush(), which log_add() calls itself now and then.
 *
 * Return: 0, or -1: KERR_PATH_WRITE with errno. Nothing is lost then, and nothing torn: all that
 * was added is still in memory and goes out with the next flush that succeeds. Do not add more
 * until it did.
 */
int log_add(struct log_writer *w, enum log_stream s, uint64_t wall_ns, const char *data, size_t len,
	struct kerr *e);
/* A line of Kapsel's own; an unfinished line before it stays unfinished. Errors as log_add(). */
int log_note(struct log_writer *w, uint64_t wall_ns, const char *text, struct kerr *e);
/* The note that says that @bytes of output never came into the log, and why. Unfinished lines are
 * cut off there. */
int log_note_dropped(
	struct log_writer *w, uint64_t wall_ns, uint64_t bytes, const char *why, struct kerr *e);
int log_flush(struct log_writer *w, struct kerr *e); /* whole records in one write(2) */
int log_end(struct log_writer *w, struct kerr *e);   /* unfinished lines go out as P; flushes */
int log_reopen(
	struct log_writer *w, struct kerr *e); /* flushes; the next record opens 0.log anew */
bool log_is_clean(const struct log_writer *w); /* nothing waits in memory */
size_t log_held(const struct log_writer *w);   /* bytes of output in memory that no file has yet */

/* ---- reading ----------------------------------------------------------------------------------
 */

struct log_query {
	uint64_t since_ns; /* wall clock; lines before it are left out; 0: all */
	uint64_t until_ns; /* lines at or after it are left out; 0: all */
	uint64_t tail;	   /* at most so many of the last lines; UINT64_MAX: all */
	unsigned streams;  /* 1 << enum log_stream, or'ed; 0: all */
};
struct log_record {
	uint64_t time_ns;
	char time[TIME_TEXT]; /* as written in the log */
	enum log_stream stream;
	const char *text; /* until the next call; may hold any byte; no \n at its end */
	size_t len;
	bool partial;	  /* the line's end is not there (yet) */
	uint64_t dropped; /* of LOG_SYSTEM: bytes of output that it says were dropped, or 0 */
};
struct log_reader; /* a cursor: where it is does not change by rotation */

/**
 * log_reader_open() - read the log in @dir
 * @dir: borrowed until log_reader_free()
 *
 * An empty directory is an empty log. Return: 0, or -1: KERR_PATH_OPEN
 */
int log_reader_open(int dir, const struct log_query *q, struct log_reader **out, struct kerr *e);
void log_reader_free(struct log_reader *r);

/**
 * log_next() - the next whole line, partial records joined
 *
 * Return: 1, @out is filled; 0: nothing more at present, ask again when the log has grown (a timer,
 * or log_watch()); -1: KERR_PATH_OPEN. A line that is no record is handed out as LOG_SYSTEM with
 * the time of the one before.
 */
int log_next(struct log_reader *r, struct log_record *out, struct kerr *e);
/* After 0, when nobody writes any more: the unfinished lines, with partial set. 1, then 0. */
int log_rest(struct log_reader *r, struct log_record *out);
bool log_past_until(const struct log_reader *r);       /* until_ns is reached: following may end */
uint64_t log_files_missed(const struct log_reader *r); /* rotated away before they were read */

/**
 * log_watch() - an inotify fd that is readable when the log may have grown
 *
 * The caller owns it, reads and forgets what is in it (or uses log_watch_drain()), and calls
 * log_next() until 0. Make it before the log_next() that is to return 0, or a line is seen late.
 */
int log_watch(int dir, struct kerr *e);
void log_watch_drain(int fd);

/* RFC 3339 with any offset and up to nine digits of fraction, to ns since 1970. 0 or -1. */
int log_time_parse(const char *s, uint64_t *wall_ns) MUST_CHECK;

#endif
