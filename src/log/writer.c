/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Records are gathered up to here, then written; the file never sees a part of one. */
enum { BATCH = 32 * 1024 };

struct unfinished {
	struct buf text;
	uint64_t wall_ns;
};

struct log_writer {
	int dir, fd;
	struct log_limits limits;
	uint64_t size;	    /* of 0.log */
	struct buf records; /* whole ones, on their way */
	struct unfinished line[LOG_SYSTEM];
	uint64_t time_ns; /* whose text is in time */
	char time[TIME_TEXT];
};

struct log_writer *log_writer_new(int dir, const struct log_limits *limits)
{
	struct log_writer *w = mem_zalloc(sizeof *w);

	w->dir = dir;
	w->fd = -1;
	if (limits)
		w->limits = *limits;
	if (w->limits.size == 0)
		w->limits.size = LOG_SIZE_DEFAULT;
	if (w->limits.size < LOG_SIZE_LEAST)
		w->limits.size = LOG_SIZE_LEAST;
	if (w->limits.files == 0)
		w->limits.files = LOG_FILES_DEFAULT;
	if (w->limits.files > LOG_FILES_MOST)
		w->limits.files = LOG_FILES_MOST;
	return w;
}

void log_writer_free(struct log_writer *w)
{
	if (w == NULL)
		return;
	fd_closep(&w->fd);
	buf_free(&w->records);
	for (int i = 0; i < LOG_SYSTEM; i++)
		buf_free(&w->line[i].text);
	free(w);
}

/* ---- files
 * ------------------------------------------------------------------------------------------------
 */

static int open_current(struct log_writer *w, struct kerr *e)
{
	struct stat st;

	if (w->fd >= 0)
		return 0;
	w->fd = path_own(w->dir, "0.log", O_WRONLY | O_CREAT | O_APPEND, 0600, e);
	if (w->fd < 0 || fd_stat(w->fd, &st, e))
		return kerr_step(e, "log 0.log");
	w->size = (uint64_t)st.st_size;
	return 0;
}

static bool exists(int dir, unsigned i)
{
	char name[16];
	CLEANUP_FD int fd = path_own(dir, log_file_name(i, name), O_PATH, 0, NULL);

	return fd >= 0;
}

/* Up to the first gap only: a rotation that was cut short leaves one, and nothing is lost by it. */
static int rotate(struct log_writer *w, struct kerr *e)
{
	unsigned free_place = 1;
	char from[16], to[16];

	while (free_place < w->limits.files && exists(w->dir, free_place))
		free_place++;
	if (free_place == w->limits.files)
		free_place--; /* the oldest goes */
	if (free_place == 0 && path_own_unlink(w->dir, "0.log", false, e))
		return kerr_step(e, "rotate log");
	for (unsigned i = free_place; i > 0; i--)
		if (path_own_rename(
			    w->dir, log_file_name(i - 1, from), log_file_name(i, to), false, e))
			return kerr_step(e, "rotate log");
	fd_closep(&w->fd);
	return open_current(w, e);
}

/* The longest run of whole records at the front that @room bytes hold; 0 if the first is longer. */
static size_t whole_records(const struct buf *b, uint64_t room)
{
	const char *end;

	if (room >= b->len)
		return b->len;
	end = memrchr(b->data, '\n', (size_t)room);
	return end ? (size_t)(end - b->data) + 1 : 0;
}

/* After a write that took only @n bytes and could not go on: a cut record is taken back. */
static void take_back(struct log_writer *w, size_t n)
{
	size_t whole = whole_records(&w->records, n);

	if (whole < n && ftruncate(w->fd, (off_t)(w->size + whole)) == 0)
		n = whole;
	w->size += n;
	buf_drop(&w->records, n);
}

static int write_all(struct log_writer *w, size_t len, struct kerr *e)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(w->fd, w->records.data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int why = n < 0 ? errno : ENOSPC;

			take_back(w, done);
			return kerr_fail(e, KERR_PATH_WRITE, why, "write 0.log");
		}
		done += (size_t)n;
	}
	w->size += len;
	buf_drop(&w->records, len);
	return 0;
}

int log_flush(struct log_writer *w, struct kerr *e)
{
	while (w->records.len) {
		uint64_t room;
		size_t len;

		if (open_current(w, e))
			return -1;
		room = w->size < w->limits.size ? w->limits.size - w->size : 0;
		len = whole_records(&w->records, room);
		if (len ? write_all(w, len, e) : rotate(w, e))
			return -1;
	}
	return 0;
}

int log_reopen(struct log_writer *w, struct kerr *e)
{
	if (log_flush(w, e))
		return -1;
	fd_closep(&w->fd);
	return 0;
}

/* ---- records
 * ---------------------------------------------------------------------------------------------- */

static void add_head(struct log_writer *w, uint64_t wall_ns, const char *stream, const char *tag)
{
	char head[TIME_TEXT + 24], *p = head;
	size_t n;

	if (w->time_ns != wall_ns || w->time[0] == '\0')
		time_text(w->time_ns = wall_ns, w->time);
	n = strlen(w->time);
	memcpy(p, w->time, n);
	p[n] = ' ';
	p = stpcpy(p + n + 1, stream);
	*p++ = ' ';
	p = stpcpy(p, tag);
	*p++ = ' ';
	buf_add(&w->records, head, (size_t)(p - head));
}

static void add_record(struct log_writer *w, enum log_stream s, const char *tag, uint64_t wall_ns,
	const char *text, size_t len)
{
	struct unfinished *u = &w->line[s];

	add_head(w, u->text.len ? u->wall_ns : wall_ns, log_stream_name(s), tag);
	if (u->text.len)
		buf_add(&w->records, u->text.data, u->text.len);
	buf_add(&w->records, text, len);
	buf_addc(&w->records, '\n');
	buf_reset(&u->text);
}

/* Takes a piece of one line (@end: its last) and returns how much of it. */
static size_t add_piece(struct log_writer *w, enum log_stream s, uint64_t wall_ns, const char *p,
	size_t len, bool end)
{
	struct unfinished *u = &w->line[s];
	size_t room = LOG_RECORD_MOST - u->text.len;

	if (len > room) {
		add_record(w, s, "P", wall_ns, p, room);
		return room;
	}
	if (end) {
		add_record(w, s, "F", wall_ns, p, len);
		return len + 1;
	}
	if (u->text.len == 0)
		u->wall_ns = wall_ns;
	buf_add(&u->text, p, len);
	return len;
}

int log_add(struct log_writer *w, enum log_stream s, uint64_t wall_ns, const char *data, size_t len,
	struct kerr *e)
{
	const char *end = data + len;
	int rc = 0;

	while (data < end) {
		const char *nl = memchr(data, '\n', (size_t)(end - data));

		data += add_piece(w, s, wall_ns, data, (size_t)((nl ? nl : end) - data), nl);
		/* Once it has failed, what is left of this piece only waits. */
		if (w->records.len >= BATCH && rc == 0)
			rc = log_flush(w, e);
	}
	return rc;
}

int log_note(struct log_writer *w, uint64_t wall_ns, const char *text, struct kerr *e)
{
	add_head(w, wall_ns, "stderr", NOTE_TAG);
	buf_adds(&w->records, text);
	buf_addc(&w->records, '\n');
	return log_flush(w, e);
}

int log_note_dropped(
	struct log_writer *w, uint64_t wall_ns, uint64_t bytes, const char *why, struct kerr *e)
{
	CLEANUP_FREE char *text = mem_printf("%" PRIu64 " bytes of output dropped: %s", bytes, why);

	/* Lines end at the gap: what comes after it is not their end. */
	for (int s = 0; s < LOG_SYSTEM; s++)
		if (w->line[s].text.len)
			add_record(w, (enum log_stream)s, "F", 0, NULL, 0);
	return log_note(w, wall_ns, text, e);
}

int log_end(struct log_writer *w, struct kerr *e)
{
	for (int s = 0; s < LOG_SYSTEM; s++)
		if (w->line[s].text.len)
			add_record(w, (enum log_stream)s, "P", 0, NULL, 0);
	if (log_flush(w, e))
		return -1;
	/* Nothing to hold, nothing held: this is how an idle monitor stays small. */
	buf_free(&w->records);
	for (int s = 0; s < LOG_SYSTEM; s++)
		buf_free(&w->line[s].text);
	return 0;
}

bool log_is_clean(const struct log_writer *w)
{
	return w->records.len == 0 && w->line[LOG_STDOUT].text.len == 0 &&
	       w->line[LOG_STDERR].text.len == 0;
}

size_t log_held(const struct log_writer *w)
{
	size_t held = w->line[LOG_STDOUT].text.len + w->line[LOG_STDERR].text.len;
	const char *p = w->records.data;
	size_t left = w->records.len;

	while (left) {
		const char *nl = memchr(p, '\n', left);
		size_t len = nl ? (size_t)(nl - p) : left;
		struct parsed r;

		if (!record_parse(p, len, &r))
			held += len + 1; /* the rest of a record whose head is in the file */
		else if (r.stream != LOG_SYSTEM)
			held += r.len + (r.partial ? 0 : 1);
		p += len + (nl ? 1 : 0);
		left -= len + (nl ? 1 : 0);
	}
	return held;
}
