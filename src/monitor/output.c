/* SPDX-License-Identifier: Apache-2.0 */
/* From the container's pipes or terminal into the sinks. */
#include "private.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { READS_A_TURN = 4, PTY_RETRY_MS = 200, ERROR_PAUSE_MS = 100 };

/* ---- the log's sink
 * ------------------------------------------------------------------------------------------ */

static void rest_ms(unsigned ms)
{
	nanosleep(&(struct timespec) { .tv_nsec = (long)(ms * NS_PER_MS) }, NULL);
}

/* A refused write is tried until it succeeds: what drops, and when, is the ring's business alone.
 */
static int log_retry(struct monitor *m)
{
	while (!sink_given_up(m->log)) {
		rest_ms(ERROR_PAUSE_MS);
		if (log_flush(m->log_writer, NULL) == 0)
			return 0;
	}
	return 0;
}

static int log_take(void *arg, const struct chunk *c, const char *data)
{
	struct monitor *m = arg;
	struct log_writer *w = m->log_writer;
	uint64_t n;
	int rc = 0;

	switch (c->kind) {
	case CHUNK_STDOUT:
	case CHUNK_STDERR:
		rc = log_add(w, (enum log_stream)c->kind, c->wall_ns, data, c->len, NULL);
		break;
	case CHUNK_DROPPED:
		memcpy(&n, data, sizeof n);
		rc = log_note_dropped(w, c->wall_ns, n, "the log could not be written", NULL);
		break;
	case CHUNK_REOPEN:
		rc = log_reopen(w, NULL);
		break;
	case CHUNK_END:
		rc = log_end(w, NULL);
		break;
	}
	return rc ? log_retry(m) : 0;
}

static bool log_calm(void *arg, bool idle, size_t *held)
{
	struct monitor *m = arg;
	int rc = idle ? log_end(m->log_writer, NULL) : log_flush(m->log_writer, NULL);

	*held = log_held(m->log_writer);
	return rc == 0;
}

static const struct sink_kind log_kind = { .take = log_take, .calm = log_calm };

static void log_begin(struct monitor *m)
{
	if (m->log || m->log_dir < 0)
		return;
	m->log_writer = log_writer_new(m->log_dir, &m->log_limits);
	m->log = sink_new(&log_kind, m, m->wake.fd);
}

void output_reopen(struct monitor *m)
{
	if (m->log)
		sink_put(m->log, CHUNK_REOPEN, clock_wall_ns(), "", 0);
}

/* ---- the pump
 * ------------------------------------------------------------------------------------------------
 */

/* A full sink stops the reading, for a time; a stuck one does not. */
static bool held_up(struct monitor *m)
{
	deadline until = DEADLINE_NEVER;
	bool held = m->log && sink_holds(m->log, &until);

	for (struct client *c = m->clients; c; c = c->next)
		if (c->sink && sink_holds(c->sink, &until))
			held = true;
	if (held)
		loop_timer(m->loop, &m->unblock, until);
	return held;
}

static void deliver(struct monitor *m, enum chunk_kind kind, const char *data, size_t len)
{
	uint64_t now = clock_wall_ns();

	last_add(&m->last, data, len);
	if (m->log)
		sink_put(m->log, kind, now, data, len);
	for (struct client *c = m->clients; c; c = c->next) {
		size_t n = c->sink ? client_write_now(c, kind, data, len) : len;

		if (n < len)
			sink_put(c->sink, kind, now, data + n, len - n);
	}
}

enum pumped { PUMP_MORE, PUMP_LATER, PUMP_END };

/* Mapped, not on the stack: a stack's pages never go back. */
static ssize_t read_piece(struct stream *s)
{
	struct monitor *m = s->m;

	if (m->scratch == NULL) {
		void *p = mmap(NULL, READ_MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

		if (p == MAP_FAILED) {
			errno = EAGAIN;
			return -1;
		}
		m->scratch = p;
	}
	return read(s->source.fd, m->scratch, READ_MOST);
}

void output_idle(struct timer *t)
{
	struct monitor *m = (struct monitor *)(void *)((char *)t - offsetof(struct monitor, idle));

	madvise(m->scratch, READ_MOST, MADV_DONTNEED);
}

static enum pumped pump_once(struct stream *s)
{
	ssize_t n = read_piece(s);

	if (n > 0) {
		deliver(s->m, s->kind, s->m->scratch, (size_t)n);
		loop_timer(s->m->loop, &s->m->idle, deadline_in_ms(IDLE_MS));
	}
	if (n > 0 || (n < 0 && errno == EINTR))
		return PUMP_MORE;
	/* A terminal that nobody has open just now; somebody may open it again. */
	if (n < 0 && errno == EIO && s->source.fd == s->m->master && s->m->pidfd >= 0) {
		loop_timer(s->m->loop, &s->m->pty, deadline_in_ms(PTY_RETRY_MS));
		s->paused = true;
		return PUMP_LATER;
	}
	return n < 0 && errno == EAGAIN ? PUMP_LATER : PUMP_END;
}

/* One-shot events: a paused stream is silent, its end of file too. */
static enum source_answer stream_ready(struct source *source, uint32_t events)
{
	struct stream *s = (struct stream *)(void *)source;
	enum pumped p = PUMP_MORE;

	(void)events;
	for (int i = 0; i < READS_A_TURN && p == PUMP_MORE; i++) {
		if (held_up(s->m)) {
			s->paused = true;
			return SOURCE_KEEP;
		}
		p = pump_once(s);
	}
	if (p == PUMP_END) {
		s->open = false;
		return SOURCE_DONE;
	}
	if (!s->paused && loop_change(s->m->loop, source, EPOLLIN | EPOLLONESHOT, NULL))
		return SOURCE_DONE;
	return SOURCE_KEEP;
}

static void stream_closed(struct source *source)
{
	struct stream *s = (struct stream *)(void *)source;

	s->open = false;
}

static void stream_resume(struct stream *s)
{
	if (!s->open || !s->paused)
		return;
	s->paused = false;
	loop_change(s->m->loop, &s->source, EPOLLIN | EPOLLONESHOT, NULL);
}

void output_resume(struct monitor *m)
{
	if ((!m->out.paused && !m->err.paused) || held_up(m))
		return;
	stream_resume(&m->out);
	stream_resume(&m->err);
}

static void stream_begin(struct monitor *m, struct stream *s, enum chunk_kind kind, int fd)
{
	if (fd < 0)
		return;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	s->m = m;
	s->kind = kind;
	s->open = true;
	s->source = (struct source) { .fd = fd, .ready = stream_ready, .closed = stream_closed };
	if (loop_add(m->loop, &s->source, EPOLLIN | EPOLLONESHOT, NULL)) {
		fd_closep(&s->source.fd);
		s->open = false;
	}
}

void output_begin(struct monitor *m, int out, int err)
{
	if (out >= 0 || err >= 0)
		log_begin(m);
	stream_begin(m, &m->out, CHUNK_STDOUT, out);
	stream_begin(m, &m->err, CHUNK_STDERR, err);
}

/* ---- when init has ended: the rest of it, with the same patience but not for ever
 * --------------------------------------- */

static bool drain_stream(struct stream *s)
{
	enum pumped p = PUMP_MORE;

	while (s->open && p == PUMP_MORE && !held_up(s->m))
		p = pump_once(s);
	if (p == PUMP_END) {
		s->open = false;
		loop_end(s->m->loop, &s->source);
	}
	return p == PUMP_MORE && s->open; /* held up */
}

/* Descendants may hold the pipes open, and a sink may be stuck: @d ends both. */
void output_drain(struct monitor *m, deadline d)
{
	while ((m->out.open || m->err.open) && !deadline_passed(d)) {
		struct pollfd p[2] = {
			{ .fd = m->out.open ? m->out.source.fd : -1, .events = POLLIN },
			{ .fd = m->err.open ? m->err.source.fd : -1, .events = POLLIN },
		};
		bool held = drain_stream(&m->out);

		held |= drain_stream(&m->err);
		if (held)
			rest_ms(1);
		else if (m->out.open || m->err.open)
			poll(p, 2, deadline_left_ms(d));
	}
	/* What is left in the pipes is counted as lost, not hidden. */
	for (struct stream *s = &m->out; s; s = s == &m->out ? &m->err : NULL) {
		for (int i = 0; s->open && i < 64 && pump_once(s) == PUMP_MORE; i++)
			;
	}
}
