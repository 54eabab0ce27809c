/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	BLOCK = 64 * 1024,
	LINE_MOST = 1 << 20,	  /* longer ones are none of ours: handed out in pieces */
	LOOK_BACK_MOST = 1 << 20, /* beyond the tail, for the heads of lines in it */
	TRIES = 16
};

struct joined {
	struct buf text;
	struct log_record head;
	bool open;
};

struct log_reader {
	int dir, fd; /* fd: the file being read, or -1 */
	struct log_query q;
	struct buf in; /* read and not handed out: from at on */
	size_t at;
	struct joined line[LOG_SYSTEM];
	struct buf out; /* a joined line, until the next call */
	uint64_t skip;	/* lines before the tail */
	uint64_t missed;
	struct log_record last; /* its time is given to what has none */
	bool past_until;
};

/* ---- files
 * ------------------------------------------------------------------------------------------------
 */

/* Return: an fd; -1: there is none, with @e untouched; -2: @e. */
static int open_file(int dir, unsigned i, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	char name[16];
	int fd = path_own(dir, log_file_name(i, name), O_RDONLY | O_NONBLOCK, 0, &why);

	if (fd >= 0)
		return fd;
	if (why.sys == ENOENT)
		return -1;
	kerr_move(e, &why);
	return -2;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return a >= 0 && b >= 0 && fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

/* The oldest file, or -1, -2. */
static int open_oldest(int dir, struct kerr *e)
{
	CLEANUP_FD int oldest = -1;

	for (unsigned i = 0; i < LOG_FILES_MOST; i++) {
		int fd = open_file(dir, i, e);

		if (fd == -2)
			return -2;
		if (fd == -1)
			break;
		fd_closep(&oldest);
		oldest = fd;
	}
	return fd_take(&oldest);
}

/* The file after ours. Return: an fd; -1: ours is the newest; -2: @e. */
static int open_next(struct log_reader *r, struct kerr *e)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		CLEANUP_FD int newer = -1;
		bool again = false;

		for (unsigned i = 0; i < LOG_FILES_MOST && !again; i++) {
			CLEANUP_FD int fd = open_file(r->dir, i, e);

			if (fd == -2)
				return fd_take(&fd);
			if (fd == -1)
				break;
			if (same_file(fd, r->fd)) {
				CLEANUP_FD int check = -1;

				if (i == 0)
					return -1;
				/* Rotated between the two opens? Then newer is not next to ours. */
				check = open_file(r->dir, i, NULL);
				again = !same_file(check, r->fd);
				if (!again)
					return fd_take(&newer);
			}
			fd_closep(&newer);
			newer = fd_take(&fd);
		}
		if (again)
			continue;
		/* Ours is gone. What stands there now is all newer; newer is the oldest of it. */
		r->missed++;
		return fd_take(&newer);
	}
	return -1; /* it rotates faster than we look: next time */
}

/* ---- the tail: from the end back
 * -------------------------------------------------------------------------------- */

struct tail {
	const struct log_query *q;
	uint64_t count, before; /* matching lines in the tail; lines met before it */
	bool open[LOG_SYSTEM];	/* of a line that counts, earlier pieces may still come */
	uint64_t skip;
	int fd; /* where it begins */
	off_t at;
	size_t looked; /* bytes, since the tail was full */
	bool done;
};

static bool wanted(const struct log_query *q, enum log_stream s)
{
	return q->streams == 0 || q->streams & 1u << s;
}

static bool in_time(const struct log_query *q, uint64_t ns)
{
	return ns >= q->since_ns && (q->until_ns == 0 || ns < q->until_ns);
}

static void begin_here(struct tail *t, int fd, off_t at)
{
	if (!same_file(t->fd, fd)) {
		fd_closep(&t->fd);
		t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	}
	t->at = at;
	t->skip = t->before;
}

/* @line is met going back. */
static void look_back(struct tail *t, const char *line, size_t len, int fd, off_t at)
{
	struct parsed p = { .stream = LOG_SYSTEM, .time_ns = t->q->since_ns };
	bool piece = record_parse(line, len, &p) && p.partial && p.stream < LOG_SYSTEM;

	if (!wanted(t->q, p.stream))
		return;
	if (piece) {
		if (t->open[p.stream])
			begin_here(t, fd, at);
	} else if (!in_time(t->q, p.time_ns)) {
		if (p.stream < LOG_SYSTEM)
			t->open[p.stream] = false;
		t->done = p.time_ns < t->q->since_ns;
	} else if (t->count < t->q->tail) {
		t->count++;
		if (p.stream < LOG_SYSTEM)
			t->open[p.stream] = true;
		begin_here(t, fd, at);
	} else {
		t->before++;
		if (p.stream < LOG_SYSTEM)
			t->open[p.stream] = false;
	}
	if (t->count == t->q->tail) {
		t->looked += len;
		t->done |= (!t->open[0] && !t->open[1]) || t->looked > LOOK_BACK_MOST;
	}
}

/* All lines of one file, the last first. */
static int scan_back(struct tail *t, int fd, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT; /* the file from lo to the end of an unseen line */
	CLEANUP_FREE char *block = mem_zalloc(BLOCK);
	struct stat st;
	off_t lo;

	if (fd_stat(fd, &st, e))
		return -1;
	for (lo = st.st_size; lo > 0 && !t->done;) {
		size_t want = lo > BLOCK ? BLOCK : (size_t)lo;
		ssize_t n = pread(fd, block, want, lo - (off_t)want);
		CLEANUP_BUF struct buf joined = BUF_INIT;
		char *nl;

		if (n != (ssize_t)want)
			return kerr_fail(e, KERR_PATH_OPEN, n < 0 ? errno : 0, "read the log");
		lo -= n;
		buf_add(&joined, block, want);
		buf_add(&joined, b.data, b.len);
		buf_free(&b);
		b = joined;
		joined = (struct buf)BUF_INIT;
		/* Without its \n the last line is being written: the reader's to wait for. */
		while (!t->done && (nl = memrchr(b.data, '\n', b.len)) != NULL) {
			size_t end = (size_t)(nl - b.data);
			char *before = end ? memrchr(b.data, '\n', end) : NULL;
			size_t start = before ? (size_t)(before - b.data) + 1 : 0;

			if (before == NULL && lo > 0)
				break;
			look_back(t, b.data + start, end - start, fd, lo + (off_t)start);
			b.len = start;
		}
		if (b.len > LINE_MOST)
			t->done = true;
	}
	return 0;
}

static int seek_tail(struct log_reader *r, struct kerr *e)
{
	struct tail t = { .q = &r->q, .open = { true, true }, .fd = -1, .done = r->q.tail == 0 };
	CLEANUP_FD int last = -1;
	int rc = 0;

	for (int s = 0; s < LOG_SYSTEM; s++)
		t.open[s] = wanted(&r->q, (enum log_stream)s);
	for (unsigned i = 0; i < LOG_FILES_MOST && rc == 0; i++) {
		CLEANUP_FD int fd = open_file(r->dir, i, e);

		if (fd == -2)
			rc = -1;
		if (fd < 0)
			break;
		if (same_file(fd, last))
			continue; /* rotated meanwhile: that one we have */
		if (i == 0)
			begin_here(&t, fd, lseek(fd, 0, SEEK_END));
		if (t.done)
			break;
		rc = scan_back(&t, fd, e);
		fd_closep(&last);
		last = fd_take(&fd);
	}
	if (rc == 0 && t.fd >= 0) {
		r->fd = fd_take(&t.fd);
		lseek(r->fd, t.at, SEEK_SET);
		r->skip = t.skip;
	}
	fd_closep(&t.fd);
	return rc;
}

/* ---- the cursor
 * -------------------------------------------------------------------------------------------- */

static bool too_old(const struct log_reader *r, int fd)
{
	struct stat st;

	return fd >= 0 && r->q.since_ns && fstat(fd, &st) == 0 &&
	       (uint64_t)st.st_mtim.tv_sec + 2 < r->q.since_ns / NS_PER_S;
}

/* Whole files that ended before since_ns are not read. */
static int seek_since(struct log_reader *r, struct kerr *e)
{
	int next;

	r->fd = open_oldest(r->dir, e);
	while (too_old(r, r->fd)) {
		next = open_next(r, e);
		if (next < 0)
			return next == -2 ? -1 : 0;
		close(r->fd);
		r->fd = next;
	}
	return r->fd == -2 ? -1 : 0;
}

int log_reader_open(int dir, const struct log_query *q, struct log_reader **out, struct kerr *e)
{
	struct log_reader *r = mem_zalloc(sizeof *r);
	int rc;

	r->dir = dir;
	r->fd = -1;
	r->q = *q;
	strcpy(r->last.time, "1970-01-01T00:00:00.000000000Z");
	rc = q->tail == UINT64_MAX ? seek_since(r, e) : seek_tail(r, e);
	r->missed = 0;
	if (rc) {
		r->fd = -1;
		log_reader_free(r);
		return kerr_step(e, "read log");
	}
	*out = r;
	return 0;
}

void log_reader_free(struct log_reader *r)
{
	if (r == NULL)
		return;
	fd_closep(&r->fd);
	buf_free(&r->in);
	buf_free(&r->out);
	for (int s = 0; s < LOG_SYSTEM; s++)
		buf_free(&r->line[s].text);
	free(r);
}

bool log_past_until(const struct log_reader *r)
{
	return r->past_until;
}

uint64_t log_files_missed(const struct log_reader *r)
{
	return r->missed;
}

/* Does a line go to the caller? Called once for each whole line that its stream is wanted of. */
static bool passes(struct log_reader *r, uint64_t ns)
{
	if (r->q.until_ns && ns >= r->q.until_ns)
		r->past_until = true;
	if (!in_time(&r->q, ns))
		return false;
	if (r->skip == 0)
		return true;
	r->skip--;
	return false;
}

static bool hand_out_joined(
	struct log_reader *r, struct joined *j, bool partial, struct log_record *out)
{
	struct buf spare = r->out;

	*out = j->head;
	r->out = j->text;
	j->text = spare;
	buf_reset(&j->text);
	j->open = partial && j->open;
	out->text = buf_str(&r->out);
	out->len = r->out.len;
	out->partial = partial;
	return passes(r, out->time_ns);
}

static bool take_record(struct log_reader *r, const struct parsed *p, struct log_record *out)
{
	struct log_record head = { .time_ns = p->time_ns, .stream = p->stream };
	struct joined *j = p->stream < LOG_SYSTEM ? &r->line[p->stream] : NULL;

	memcpy(head.time, p->time, p->time_len);
	r->last = head;
	if (!wanted(&r->q, p->stream))
		return false;
	if (j && (p->partial || j->open)) {
		if (!j->open)
			j->head = head;
		j->open = true;
		buf_add(&j->text, p->text, p->len);
		if (p->partial && j->text.len < LOG_JOINED_MOST)
			return false;
		return hand_out_joined(r, j, p->partial, out);
	}
	*out = head;
	out->text = p->text;
	out->len = p->len;
	if (p->stream == LOG_SYSTEM)
		out->dropped = note_dropped(p->text, p->len);
	return passes(r, out->time_ns);
}

/* What is no record was not written by us. It is shown, not hidden. */
static bool take_other(struct log_reader *r, const char *line, size_t len, struct log_record *out)
{
	*out = r->last;
	out->stream = LOG_SYSTEM;
	out->text = line;
	out->len = len;
	return wanted(&r->q, LOG_SYSTEM) && passes(r, out->time_ns);
}

static bool take_line(struct log_reader *r, size_t len, struct log_record *out)
{
	const char *line = r->in.data + r->at;
	struct parsed p;

	return record_parse(line, len, &p) ? take_record(r, &p, out)
					   : take_other(r, line, len, out);
}

/* The next line in memory, @last: even without its \n. */
static bool next_in_memory(struct log_reader *r, bool last, struct log_record *out)
{
	while (r->at < r->in.len) {
		size_t left = r->in.len - r->at;
		const char *nl = memchr(r->in.data + r->at, '\n', left);
		size_t len = nl ? (size_t)(nl - r->in.data) - r->at : left;
		bool hit;

		if (nl == NULL && !last && left < LINE_MOST)
			return false;
		hit = take_line(r, len, out);
		r->at += len + (nl ? 1 : 0);
		if (hit)
			return true;
	}
	return false;
}

/* Return: bytes, 0 at the end, -1 */
static ssize_t read_more(struct log_reader *r, struct kerr *e)
{
	char block[BLOCK];
	ssize_t n;

	do
		n = read(r->fd, block, sizeof block);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return kerr_fail(e, KERR_PATH_OPEN, errno, "read the log");
	buf_drop(&r->in, r->at);
	r->at = 0;
	if (n > 0)
		buf_add(&r->in, block, (size_t)n);
	return n;
}

int log_next(struct log_reader *r, struct log_record *out, struct kerr *e)
{
	int next;

	for (;;) {
		ssize_t n;

		if (next_in_memory(r, false, out))
			return 1;
		if (r->fd < 0) {
			r->fd = open_oldest(r->dir, e);
			if (r->fd < 0)
				return r->fd == -2 ? (r->fd = -1, -1) : 0;
		}
		n = read_more(r, e);
		if (n < 0)
			return -1;
		if (n > 0)
			continue;
		next = open_next(r, e);
		if (next < 0)
			return next == -2 ? -1 : 0;
		/* Rotated: what was written between our last read and that is still to come. */
		while ((n = read_more(r, e)) > 0)
			;
		close(r->fd);
		r->fd = next;
		if (n < 0)
			return -1;
		if (r->in.len && r->in.data[r->in.len - 1] != '\n')
			buf_addc(&r->in, '\n'); /* cut by a crash: nothing will follow */
	}
}

int log_rest(struct log_reader *r, struct log_record *out)
{
	for (int s = 0; s < LOG_SYSTEM; s++) {
		struct joined *j = &r->line[s];

		if (!j->open)
			continue;
		j->open = false;
		if (j->text.len && hand_out_joined(r, j, true, out))
			return 1;
	}
	return 0;
}

/* ---- following
 * ---------------------------------------------------------------------------------------------- */

int log_watch(int dir, struct kerr *e)
{
	CLEANUP_FD int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char name[32];

	/* inotify has no call that takes an fd. */
	snprintf(name, sizeof name, "/proc/self/fd/%d", dir);
	if (fd < 0 ||
		inotify_add_watch(fd, name, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "watch the log");
	return fd_take(&fd);
}

void log_watch_drain(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof events) > 0)
		;
}
