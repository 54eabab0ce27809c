/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXECUTOR_ENDS_MS = 2000 };

static struct monitor *of_source(struct source *s, size_t offset)
{
	return (struct monitor *)(void *)((char *)s - offset);
}
#define MONITOR_OF(s, member) of_source(s, offsetof(struct monitor, member))

/* ---- init
 * ------------------------------------------------------------------------------------------------------
 */

static enum source_answer executor_says(struct source *s, uint32_t events);

/* A short life may be over before its terminal's message was read. */
void executor_first(struct monitor *m)
{
	struct source *s = &m->executor_socket;

	while (!s->dead && poll_one(s->fd, EPOLLIN, deadline_in_ms(0)))
		if (executor_says(s, EPOLLIN) == SOURCE_DONE)
			loop_end(m->loop, s);
}

/* One that joined a user namespace is the executor's child, and becomes ours with that one's end.
 */
static bool await_parent(struct monitor *m, siginfo_t *info)
{
	return !m->executor_gone &&
	       poll_one(m->executor.fd, EPOLLIN, deadline_in_ms(EXECUTOR_ENDS_MS)) &&
	       pidfd_wait(m->init.fd, info, true, NULL) == 0;
}

static enum source_answer init_ready(struct source *s, uint32_t events)
{
	struct monitor *m = MONITOR_OF(s, init);
	siginfo_t info;

	(void)events;
	executor_first(m);
	if (pidfd_wait(s->fd, &info, true, NULL) && !await_parent(m, &info))
		info = (siginfo_t) { 0 }; /* nobody will tell us how it has ended */
	else if (info.si_pid == 0)
		return SOURCE_KEEP;
	m->pidfd = -1;
	monitor_finish(m, &info);
	return SOURCE_DONE;
}

static void watch_init(struct monitor *m)
{
	m->init = (struct source) { .fd = m->pidfd, .ready = init_ready };
	if (loop_add(m->loop, &m->init, EPOLLIN, NULL))
		m->over = true; /* init's parent-death signal does the rest */
}

/* ---- the executor
 * ---------------------------------------------------------------------------------------------- */

/* WATCH was sent before the order that led to INIT, but on another socket. */
static void daemon_first(struct monitor *m)
{
	for (int i = 0; i < 8 && !m->watched && m->connections; i++) {
		struct connection *c = m->connections;

		if (!poll_one(c->source.fd, EPOLLIN, deadline_in_ms(0)) ||
			c->source.ready(&c->source, EPOLLIN) == SOURCE_DONE)
			return;
	}
}

static enum source_answer executor_says(struct source *s, uint32_t events)
{
	struct monitor *m = MONITOR_OF(s, executor_socket);
	struct wire_in in;
	int rc = wire_recv(s->fd, &in, deadline_in_ms(0), NULL);

	(void)events;
	if (rc <= 0) {
		/* It has failed, or was never needed: there is nothing to be the parent of. */
		if (m->pidfd < 0)
			m->over = true;
		return SOURCE_DONE;
	}
	daemon_first(m);
	if (in.type == WIRE_INIT) {
		bool known = m->pid;

		orders_init(m, &in);
		if (!known && m->pidfd >= 0)
			watch_init(m);
	}
	wire_in_free(&in);
	return SOURCE_KEEP;
}

static enum source_answer executor_ended(struct source *s, uint32_t events)
{
	siginfo_t info;

	(void)events;
	pidfd_wait(s->fd, &info, true, NULL);
	MONITOR_OF(s, executor)->executor_gone = true;
	return SOURCE_DONE;
}

/* ---- strangers' children: we are their reaper
 * ------------------------------------------------------------------------- */

static enum source_answer children(struct source *s, uint32_t events)
{
	struct monitor *m = MONITOR_OF(s, signals);
	struct signalfd_siginfo many[4];

	(void)events;
	if (read(s->fd, many, sizeof many) < 0)
		return SOURCE_KEEP;
	/* Before INIT any of them may be init, whose status is not to be lost. */
	if (m->pidfd >= 0)
		reap_strangers(m);
	return SOURCE_KEEP;
}

static int watch_children(struct monitor *m, struct kerr *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	m->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	m->signals.ready = children;
	return loop_add(m->loop, &m->signals, EPOLLIN, e);
}

/* ---- threads and timers
 * -------------------------------------------------------------------------------------------- */

static enum source_answer woken(struct source *s, uint32_t events)
{
	struct monitor *m = MONITOR_OF(s, wake);
	uint64_t n;

	(void)events;
	if (read(s->fd, &n, sizeof n) < 0)
		return SOURCE_KEEP;
	client_events(m);
	output_resume(m);
	return SOURCE_KEEP;
}

static void unblock_timer(struct timer *t)
{
	output_resume((struct monitor *)(void *)((char *)t - offsetof(struct monitor, unblock)));
}

static void pty_timer(struct timer *t)
{
	output_resume((struct monitor *)(void *)((char *)t - offsetof(struct monitor, pty)));
}

/* ---- all of it
 * --------------------------------------------------------------------------------------------------
 */

int monitor_new(struct monitor **out, int daemon, int executor_socket, int executor, struct kerr *e)
{
	struct monitor *m = mem_zalloc(sizeof *m);

	*out = m;
	m->run_dir = m->log_dir = m->pidfd = m->stdin_fd = m->master = -1;
	m->listener.fd = -1;
	m->stop.fire = stop_timer;
	m->unblock.fire = unblock_timer;
	m->pty.fire = pty_timer;
	m->idle.fire = output_idle;
	if (loop_new(&m->loop, e))
		return -1;
	m->wake = (struct source) { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = woken };
	m->executor_socket = (struct source) { .fd = executor_socket, .ready = executor_says };
	m->executor = (struct source) { .fd = executor, .ready = executor_ended };
	if (loop_add(m->loop, &m->wake, EPOLLIN, e) || watch_children(m, e) ||
		loop_add(m->loop, &m->executor_socket, EPOLLIN, e) ||
		loop_add(m->loop, &m->executor, EPOLLIN, e))
		return -1;
	return connection_add(m, daemon, true, e);
}

int monitor_run(struct monitor *m)
{
	while (!m->over)
		if (loop_turn(m->loop, -1, NULL))
			return 1;
	return 0;
}
