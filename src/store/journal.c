/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal. The loop's side only ever takes the lock for a memory copy; the writer thread holds
 * it for as little and waits for the disk without it.
 *
 * A process that was killed may have handed out numbers that no disk has seen. So each opening has
 * an id of its own (an epoch), and the file "epochs" says how far the earlier ones came: a cursor
 * beyond that is no cursor of ours.
 */
#include <errno.h>
#include <kapsel/store.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EPOCHS "epochs"
enum { EPOCHS_MOST = 64, ENTRY_MOST = 1 << 20, NAMES_MOST = 4096, NAME_TEXT = 40 };
static const char magic[8] = "KPSLJRN1";

struct head { /* of an entry */
	uint32_t length, crc;
	uint64_t number, wall_ns;
	uint32_t kind, zero;
};

struct job {
	journal_job run;
	void *arg;
	struct job *next;
};

struct epoch {
	char id[UID_TEXT];
	uint64_t last;
};

struct journal {
	int dir;
	struct journal_limits limits;
	struct epoch epochs[EPOCHS_MOST]; /* oldest first; the last one is ours */
	size_t nepochs;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	/* under the lock */
	struct buf queue;    /* entries that no disk has seen */
	uint64_t queue_last; /* number of the last in it */
	uint64_t last, on_disk, lost;
	struct job *jobs, **jobs_tail;
	bool stop, done;
	/* the loop's */
	struct buf keep;     /* the newest entries, as on disk */
	uint64_t keep_first; /* number of the first in it; 0: empty */
	/* the thread's */
	int fd;
	uint64_t size;
	bool failed; /* said once */
};

/* ---- entries ------------------------------------------------------------------------------------
 */

static uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *p = data;

	crc = ~crc;
	while (len--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static uint32_t entry_crc(const struct head *h, const void *json)
{
	uint32_t crc = crc32c(0, &h->number, sizeof *h - offsetof(struct head, number));

	return crc32c(crc ^ h->length, json, h->length);
}

/* The entry at @p: its whole size, or 0 when it is cut or spoilt. */
static size_t entry_at(const char *p, size_t len, struct head *h)
{
	if (len < sizeof *h)
		return 0;
	memcpy(h, p, sizeof *h);
	if (h->length > ENTRY_MOST || h->length > len - sizeof *h || h->kind == 0)
		return 0;
	return entry_crc(h, p + sizeof *h) == h->crc ? sizeof *h + h->length : 0;
}

static void segment_name(uint64_t first, char out[static NAME_TEXT])
{
	snprintf(out, NAME_TEXT, "%020llu.journal", (unsigned long long)first);
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static int segments(struct journal *j, struct path_names *out, struct kerr *e)
{
	size_t kept = 0;

	if (path_names(j->dir, NAMES_MOST, out, e))
		return -1;
	for (size_t i = 0; i < out->n; i++) {
		if (str_ends(out->v[i], ".journal") && out->v[i][0] != '.')
			out->v[kept++] = out->v[i];
		else
			free(out->v[i]);
	}
	out->n = kept;
	return 0;
}

static void keep_add(struct journal *j, uint64_t number, const void *data, size_t len)
{
	struct head h;

	if (j->keep_first == 0)
		j->keep_first = number;
	buf_add(&j->keep, data, len);
	if (j->keep.len <= j->limits.keep_bytes)
		return;
	/* Half at a time, or every entry would move the whole. */
	for (size_t at = 0, n = 1; n; at += n) {
		n = entry_at(j->keep.data + at, j->keep.len - at, &h);
		if (n == 0 || at + n >= j->keep.len / 2) {
			buf_drop(&j->keep, n ? at + n : j->keep.len);
			j->keep_first = h.number + 1;
			if (j->keep.len == 0)
				j->keep_first = 0;
			return;
		}
	}
}

/* Reads the newest segment; what follows its last whole entry is cut off. */
static int open_segment(struct journal *j, const char *name, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	size_t at = sizeof magic, n;
	struct head h;

	if (path_read(j->dir, name, j->limits.segment_bytes + ENTRY_MOST + 4096, &b, e))
		return -1;
	if (b.len < sizeof magic || memcmp(b.data, magic, sizeof magic))
		return kerr_fail(e, KERR_STORE, 0, "%s is no journal", name);
	for (; (n = entry_at(b.data + at, b.len - at, &h)); at += n) {
		j->last = h.number;
		if (h.kind != JOURNAL_AUDIT)
			keep_add(j, h.number, b.data + at, n);
	}
	j->fd = path_own(j->dir, name, O_RDWR | O_APPEND, 0, e);
	if (j->fd < 0)
		return -1;
	if (at < b.len) {
		log_warning(
			"journal: %s: %zu bytes of an unfinished entry cut off", name, b.len - at);
		if (ftruncate(j->fd, (off_t)at) < 0)
			return kerr_fail(e, KERR_STORE, errno, "%s", name);
	}
	j->size = at;
	return 0;
}

static void set_segment_aside(struct journal *j, const char *name, const struct kerr *why)
{
	CLEANUP_FREE char *to = mem_printf("%s.broken", name);
	CLEANUP_BUF struct buf line = BUF_INIT;

	kerr_line(why, &line);
	log_error("journal: %s is set aside: %s", name, buf_str(&line));
	path_own_rename(j->dir, name, to, false, NULL);
}

static int open_newest(struct journal *j, struct kerr *e)
{
	struct path_names names;

	if (segments(j, &names, e))
		return -1;
	for (size_t i = names.n; i-- > 0 && j->fd < 0;) {
		CLEANUP_ERR struct kerr why = KERR_INIT;
		uint64_t first = strtoull(names.v[i], NULL, 10);

		if (open_segment(j, names.v[i], &why) == 0) {
			if (j->last == 0 && first)
				j->last = first - 1;
			break;
		}
		fd_closep(&j->fd);
		set_segment_aside(j, names.v[i], &why);
		j->nepochs = 0; /* what was in it may have been seen: all cursors are void */
	}
	path_names_free(&names);
	return 0;
}

static void read_epochs(struct journal *j)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char *save = NULL;

	if (path_read(j->dir, EPOCHS, 64 * 1024, &b, NULL))
		return;
	for (char *line = strtok_r(b.data, "\n", &save); line && j->nepochs < EPOCHS_MOST;
		line = strtok_r(NULL, "\n", &save)) {
		struct epoch *p = &j->epochs[j->nepochs];

		if (strlen(line) < UID_TEXT || line[UID_TEXT - 1] != ' ')
			continue;
		memcpy(p->id, line, UID_TEXT - 1);
		if (str_to_u64(line + UID_TEXT, &p->last) == 0)
			j->nepochs++;
	}
}

static int new_epoch(struct journal *j, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (j->nepochs == EPOCHS_MOST)
		memmove(j->epochs, j->epochs + 1, --j->nepochs * sizeof *j->epochs);
	for (size_t i = 0; i < j->nepochs; i++) {
		if (j->epochs[i].last > j->last)
			j->epochs[i].last = j->last;
		buf_addf(&b, "%s %llu\n", j->epochs[i].id, (unsigned long long)j->epochs[i].last);
	}
	uid_new(j->epochs[j->nepochs].id);
	j->epochs[j->nepochs].last = UINT64_MAX;
	/* "As far as there is": the next opening cuts it down to what the disk has. */
	buf_addf(&b, "%s %llu\n", j->epochs[j->nepochs++].id, (unsigned long long)UINT64_MAX);
	return path_replace(j->dir, EPOCHS, b.data, b.len, 0600, false, e);
}

/* ---- the thread ---------------------------------------------------------------------------------
 */

static int next_segment(struct journal *j, uint64_t first, struct kerr *e)
{
	char name[NAME_TEXT];
	struct path_names names;
	struct stat st;

	fd_closep(&j->fd);
	segment_name(first, name);
	/* Audit lines share their event's number: a segment of that name may be there. */
	j->fd = path_own(j->dir, name, O_RDWR | O_APPEND | O_CREAT, 0600, e);
	if (j->fd < 0 || fd_stat(j->fd, &st, e))
		return -1;
	j->size = (uint64_t)st.st_size;
	if (j->size == 0 && write(j->fd, magic, sizeof magic) != sizeof magic)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "%s", name);
	if (j->size == 0)
		j->size = sizeof magic;
	if (segments(j, &names, e))
		return -1;
	for (size_t i = 0; i + j->limits.segments < names.n; i++)
		path_own_unlink(j->dir, names.v[i], false, NULL);
	path_names_free(&names);
	return 0;
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_entries(struct journal *j, const struct buf *b, struct kerr *e)
{
	struct head h;

	memcpy(&h, b->data, sizeof h);
	if ((j->fd < 0 || j->size + b->len > j->limits.segment_bytes) &&
		next_segment(j, h.number, e))
		return -1;
	if (write_all(j->fd, b->data, b->len)) {
		int saved = errno;

		/* A torn entry must not stand before whole ones. */
		if (ftruncate(j->fd, (off_t)j->size) < 0)
			fd_closep(&j->fd);
		return kerr_fail(e, KERR_PATH_WRITE, saved, "journal");
	}
	j->size += b->len;
	if (fdatasync(j->fd) < 0)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "journal");
	return 0;
}

static uint64_t count_entries(const struct buf *b)
{
	struct head h;
	uint64_t n = 0;

	for (size_t at = 0; at + sizeof h <= b->len; at += sizeof h + h.length, n++)
		memcpy(&h, b->data + at, sizeof h);
	return n;
}

/* With the lock held; lets go of it while the disk is waited for. */
static void write_queue(struct journal *j)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf line = BUF_INIT;
	struct buf b = j->queue;
	uint64_t last = j->queue_last;
	int rc;

	j->queue = (struct buf)BUF_INIT;
	pthread_mutex_unlock(&j->lock);
	rc = write_entries(j, &b, &e);
	if (rc && !j->failed) {
		kerr_line(&e, &line);
		log_error("journal: %s", buf_str(&line));
	}
	j->failed = rc != 0;
	pthread_mutex_lock(&j->lock);
	if (rc)
		j->lost += count_entries(&b);
	else
		j->on_disk = last;
	buf_free(&b);
}

static void run_job(struct journal *j)
{
	struct job *job = j->jobs;

	j->jobs = job->next;
	if (j->jobs == NULL)
		j->jobs_tail = &j->jobs;
	pthread_mutex_unlock(&j->lock);
	job->run(job->arg);
	free(job);
	pthread_mutex_lock(&j->lock);
}

static struct timespec wall_in_ms(unsigned ms)
{
	uint64_t t = clock_mono_ns() + ms * NS_PER_MS;

	return (struct timespec) { .tv_sec = (time_t)(t / NS_PER_S),
		.tv_nsec = (long)(t % NS_PER_S) };
}

static void *writer(void *arg)
{
	struct journal *j = arg;
	struct timespec until = { 0 };
	bool timed = false;

	pthread_mutex_lock(&j->lock);
	for (;;) {
		if (j->jobs) {
			run_job(j);
		} else if (j->queue.len == 0) {
			timed = false;
			if (j->stop)
				break;
			pthread_cond_wait(&j->wake, &j->lock);
		} else if (j->stop) {
			write_queue(j);
		} else if (!timed) {
			/* Half the time to gather, the other half for the disk. */
			until = wall_in_ms(j->limits.group_ms / 2);
			timed = true;
		} else if (pthread_cond_timedwait(&j->wake, &j->lock, &until) == ETIMEDOUT) {
			write_queue(j);
			timed = false;
		}
	}
	j->done = true;
	pthread_cond_broadcast(&j->idle);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

static int start_thread(struct journal *j, struct kerr *e)
{
	pthread_condattr_t mono;
	pthread_attr_t small;
	sigset_t all, old;
	int rc;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, &mono);
	pthread_cond_init(&j->idle, &mono);
	pthread_condattr_destroy(&mono);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 * 1024);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the loop's */
	rc = pthread_create(&j->thread, &small, writer, j);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&small);
	return rc ? kerr_fail(e, KERR_LIMIT, rc, "the journal's thread") : 0;
}

static void journal_free(struct journal *j)
{
	fd_closep(&j->fd);
	buf_free(&j->queue);
	buf_free(&j->keep);
	free(j);
}

int journal_open(int dir, const struct journal_limits *limits, struct journal **out, struct kerr *e)
{
	struct journal *j = mem_zalloc(sizeof *j);

	j->dir = dir;
	j->fd = -1;
	if (limits)
		j->limits = *limits;
	j->limits.segment_bytes = j->limits.segment_bytes ? j->limits.segment_bytes : 4 << 20;
	j->limits.segments = j->limits.segments ? j->limits.segments : 16;
	j->limits.queue_bytes = j->limits.queue_bytes ? j->limits.queue_bytes : 4 << 20;
	j->limits.group_ms = j->limits.group_ms ? j->limits.group_ms : 100;
	j->limits.keep_bytes = j->limits.keep_bytes ? j->limits.keep_bytes : 256 << 10;
	j->jobs_tail = &j->jobs;
	read_epochs(j);
	if (open_newest(j, e) || new_epoch(j, e)) {
		journal_free(j);
		return kerr_step(e, "journal");
	}
	j->on_disk = j->last;
	if (start_thread(j, e)) {
		journal_free(j);
		return -1;
	}
	*out = j;
	return 0;
}

bool journal_close(struct journal *j, unsigned most_ms)
{
	struct timespec until = wall_in_ms(most_ms);
	bool done;

	if (j == NULL)
		return true;
	pthread_mutex_lock(&j->lock);
	j->stop = true;
	pthread_cond_signal(&j->wake);
	while (!j->done && pthread_cond_timedwait(&j->idle, &j->lock, &until) == 0)
		;
	done = j->done;
	pthread_mutex_unlock(&j->lock);
	if (!done)
		return false;
	pthread_join(j->thread, NULL);
	journal_free(j);
	return true;
}

/* ---- the loop's side ----------------------------------------------------------------------------
 */

const char *journal_id(const struct journal *j)
{
	return j->epochs[j->nepochs - 1].id;
}

uint64_t journal_add(
	struct journal *j, enum journal_kind kind, uint64_t wall_ns, const char *json, size_t len)
{
	struct head h = { .length = (uint32_t)(len < ENTRY_MOST ? len : 0),
		.number = j->last + (kind != JOURNAL_AUDIT),
		.wall_ns = wall_ns,
		.kind = kind };
	CLEANUP_BUF struct buf b = BUF_INIT;
	bool first;

	h.crc = entry_crc(&h, json);
	buf_add(&b, &h, sizeof h);
	buf_add(&b, json, h.length);
	if (kind != JOURNAL_AUDIT)
		keep_add(j, h.number, b.data, b.len);
	pthread_mutex_lock(&j->lock);
	j->last = h.number;
	first = j->queue.len == 0;
	if (j->queue.len + b.len > j->limits.queue_bytes) {
		j->lost++;
	} else {
		buf_add(&j->queue, b.data, b.len);
		j->queue_last = h.number;
	}
	if (first)
		pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
	return h.number;
}

void journal_run(struct journal *j, journal_job run, void *arg)
{
	struct job *job = mem_zalloc(sizeof *job);

	job->run = run;
	job->arg = arg;
	pthread_mutex_lock(&j->lock);
	*j->jobs_tail = job;
	j->jobs_tail = &job->next;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
}

uint64_t journal_last(const struct journal *j)
{
	return j->last; /* only this side writes it */
}

static uint64_t read_locked(const struct journal *j, const uint64_t *what)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&j->lock;
	uint64_t v;

	pthread_mutex_lock(lock);
	v = *what;
	pthread_mutex_unlock(lock);
	return v;
}

uint64_t journal_on_disk(const struct journal *j)
{
	return read_locked(j, &j->on_disk);
}

uint64_t journal_lost(const struct journal *j)
{
	return read_locked(j, &j->lost);
}

/* ---- replay -------------------------------------------------------------------------------------
 */

struct replay {
	uint64_t next; /* the number that must come */
	bool (*each)(void *arg, const struct journal_entry *entry);
	void *arg;
	bool ended;
};

/* Entries before `next` are passed over; 0, or -1 when one is missing. */
static int replay_bytes(struct replay *r, const char *p, size_t len)
{
	struct head h;

	for (size_t at = 0, n; !r->ended && (n = entry_at(p + at, len - at, &h)); at += n) {
		struct journal_entry entry = { h.number, h.wall_ns, (enum journal_kind)h.kind,
			p + at + sizeof h, h.length };

		if (h.number < r->next)
			continue;
		if (h.number > r->next)
			return -1;
		r->next++;
		r->ended = !r->each(r->arg, &entry);
	}
	return 0;
}

static int replay_segments(struct journal *j, struct replay *r, struct kerr *e)
{
	struct path_names names;
	int rc = 0;

	if (segments(j, &names, e))
		return -1;
	for (size_t i = 0; i < names.n && rc == 0 && !r->ended; i++) {
		CLEANUP_BUF struct buf b = BUF_INIT;
		bool later = i + 1 < names.n && strtoull(names.v[i + 1], NULL, 10) <= r->next;

		if (later)
			continue;
		rc = path_read(
			j->dir, names.v[i], j->limits.segment_bytes + ENTRY_MOST + 4096, &b, e);
		if (rc == 0 && b.len > sizeof magic &&
			replay_bytes(r, b.data + sizeof magic, b.len - sizeof magic))
			rc = kerr_fail(e, KERR_NOT_FOUND, 0, "entry %llu is not in the journal",
				(unsigned long long)r->next);
	}
	path_names_free(&names);
	return rc;
}

int journal_replay(struct journal *j, uint64_t number,
	bool (*each)(void *arg, const struct journal_entry *entry), void *arg, struct kerr *e)
{
	struct replay r = { .next = number + 1, .each = each, .arg = arg };

	if (number > j->last)
		return kerr_fail(e, KERR_NOT_FOUND, 0, "the journal has not come to %llu yet",
			(unsigned long long)number);
	if (number == j->last)
		return 0;
	if ((j->keep_first == 0 || j->keep_first > r.next) && replay_segments(j, &r, e))
		return -1;
	if (r.ended)
		return 0;
	if (replay_bytes(&r, j->keep.data, j->keep.len) || (!r.ended && r.next != j->last + 1))
		return kerr_fail(e, KERR_NOT_FOUND, 0, "entry %llu is not in the journal",
			(unsigned long long)r.next);
	return 0;
}

const char *journal_cursor(const struct journal *j, uint64_t number, char out[static CURSOR_TEXT])
{
	snprintf(out, CURSOR_TEXT, "%s:%llu", journal_id(j), (unsigned long long)number);
	return out;
}

int journal_cursor_parse(const struct journal *j, const char *text, uint64_t *number)
{
	if (strlen(text) <= UID_TEXT || text[UID_TEXT - 1] != ':' ||
		str_to_u64(text + UID_TEXT, number))
		return -1;
	for (size_t i = 0; i < j->nepochs; i++)
		if (memcmp(j->epochs[i].id, text, UID_TEXT - 1) == 0)
			return *number <= j->epochs[i].last && *number <= j->last ? 0 : -1;
	return -1;
}
