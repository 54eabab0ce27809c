/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SEND_MS = 1000, KILL_TRY_MS = 200, KILL_AGAIN_MS = 500, STUCK_MS = 3000 };

/* ---- what is told
 * -------------------------------------------------------------------------------------------- */

static void fill_common(struct monitor *m, struct wire_out *w)
{
	wire_str(w, TAG_ID, m->record.id);
	wire_str(w, TAG_UID, m->record.uid);
	wire_u64(w, TAG_INSTANCE, m->record.instance);
	if (m->pid) {
		wire_u64(w, TAG_PID, (uint64_t)m->pid);
		wire_u64(w, TAG_START_TIME, m->start_time);
	}
	wire_u64(w, TAG_DROPPED, m->log ? sink_dropped(m->log) : m->record.dropped);
}

static const char *phase(const struct monitor *m)
{
	if (m->over)
		return "ended";
	if (m->pidfd < 0)
		return m->watched ? "waiting" : "idle";
	if (m->told_stuck)
		return "stuck";
	return m->killing ? "killing" : m->stop.slot ? "stopping" : "running";
}

/* The one letter of /proc/PID/stat: D waits in the kernel, no signal reaches it. */
static char process_state(pid_t pid)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_FD int fd = -1;
	char name[40];
	const char *s;

	snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
	fd = path_host(AT_FDCWD, name, O_RDONLY, NULL);
	if (fd < 0 || fd_read_all(fd, 4096, &b, NULL))
		return '?';
	s = strrchr(buf_str(&b), ')');
	return s && s[1] == ' ' ? s[2] : '?';
}

void fill_state(struct monitor *m, struct wire_out *w)
{
	wire_begin(w, WIRE_STATE);
	fill_common(m, w);
	wire_str(w, TAG_PHASE, phase(m));
	wire_str(w, TAG_CGROUP, m->cgroup_text);
	if (m->killing && m->pidfd >= 0) {
		CLEANUP_FREE char *why =
			mem_printf("process %d was killed and is still there, in state %c%s",
				(int)m->pid, process_state(m->pid),
				process_state(m->pid) == 'D'
					? " (it waits in the kernel for a device or a file system)"
					: "");

		wire_str(w, TAG_REASON, why);
	}
	wire_fd(w, WIRE_FD_PIDFD, m->pidfd);
}

void fill_exited(struct monitor *m, struct wire_out *w)
{
	const struct exit_record *r = &m->record;

	wire_begin(w, WIRE_EXITED);
	fill_common(m, w);
	wire_str(w, TAG_REASON, r->reason);
	if (r->known && r->signal)
		wire_u64(w, TAG_EXIT_SIGNAL, (uint64_t)r->signal);
	else if (r->known)
		wire_u64(w, TAG_EXIT_CODE, (uint64_t)r->code);
	wire_u64(w, TAG_CORE, r->core);
	wire_u64(w, TAG_OOM, r->oom);
	wire_str(w, TAG_OOM_LIMIT, r->oom_limit);
	wire_str(w, TAG_WHO, r->by);
	wire_str(w, TAG_REQUEST, r->request);
	wire_u64(w, TAG_STARTED_WALL, r->started_wall);
	wire_u64(w, TAG_STARTED_MONO, r->started_mono);
	wire_u64(w, TAG_ENDED_WALL, r->ended_wall);
	wire_u64(w, TAG_ENDED_MONO, r->ended_mono);
	wire_u64(w, TAG_PEAK_MEMORY, r->peak_memory);
	wire_u64(w, TAG_CPU_NS, r->cpu_ns);
	if (r->nlast_lines)
		wire_list(w, TAG_LAST_LINES, r->last_lines, r->nlast_lines);
}

void tell_all(struct monitor *m, void (*fill)(struct monitor *m, struct wire_out *w))
{
	for (struct connection *c = m->connections; c; c = c->next) {
		struct wire_out w;

		fill(m, &w);
		/* One that does not read costs a second at most, once. */
		if (wire_send(c->source.fd, &w, deadline_in_ms(SEND_MS), NULL))
			loop_end(m->loop, &c->source);
	}
}

/* ---- WATCH, INIT
 * --------------------------------------------------------------------------------------------- */

static void replace(char **slot, const char *text)
{
	free(*slot);
	*slot = text ? mem_strdup(text) : NULL;
}

static enum source_answer accept_one(struct source *s, uint32_t events);

static int listen_for_daemons(struct monitor *m, struct kerr *e)
{
	if (m->exec_child || m->run_dir < 0)
		return 0;
	m->listener.fd = path_listen(m->run_dir, "monitor.sock", SOCK_SEQPACKET, 0600, e);
	if (m->listener.fd < 0)
		return -1;
	m->listener.ready = accept_one;
	return loop_add(m->loop, &m->listener, EPOLLIN, e);
}

static void client_add(struct monitor *m, struct wire_in *in, bool from_watch)
{
	int fd_in = wire_take_fd(in, WIRE_FD_STDIN), out = wire_take_fd(in, WIRE_FD_STDOUT),
	    err = wire_take_fd(in, WIRE_FD_STDERR);
	struct client *c;

	if (fd_in < 0 && out < 0 && err < 0)
		return;
	c = client_new(fd_in, out, err, m->wake.fd);
	c->first = from_watch;
	replace(&c->request, wire_get_str(in, TAG_REQUEST));
	c->next = m->clients;
	m->clients = c;
	client_input(c, m->stdin_fd, NULL);
}

static int order_watch(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	if (m->watched)
		return kerr_fail(e, KERR_WRONG_STATE, 0, "this monitor has a container already");
	m->watched = true;
	m->flags = (uint32_t)wire_get_u64(in, TAG_FLAGS, 0);
	m->exec_child = m->flags & WIRE_EXEC_CHILD;
	replace(&m->record.id, wire_get_str(in, TAG_ID));
	replace(&m->record.uid, wire_get_str(in, TAG_UID));
	m->record.instance = wire_get_u64(in, TAG_INSTANCE, 0);
	m->run_dir = wire_take_fd(in, WIRE_FD_RUN_DIR);
	m->log_dir = wire_take_fd(in, WIRE_FD_LOG_DIR);
	if (m->flags & WIRE_NO_LOG || m->exec_child)
		fd_closep(&m->log_dir);
	m->log_limits.size = wire_get_u64(in, TAG_LOG_SIZE, 0);
	m->log_limits.files = (unsigned)wire_get_u64(in, TAG_LOG_FILES, 0);
	client_add(m, in, true);
	return listen_for_daemons(m, e);
}

static void take_stdin(struct monitor *m, int fd)
{
	if (fd < 0)
		return;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	m->stdin_fd = fd;
	for (struct client *c = m->clients; c; c = c->next)
		client_input(c, fd, NULL);
}

/* With init itself, or after it: a terminal is there only when the container's /dev/pts is. */
static void take_master(struct monitor *m, struct wire_in *in)
{
	if (m->master >= 0 || (m->master = wire_take_fd(in, WIRE_FD_MASTER)) < 0)
		return;
	take_stdin(m, fcntl(m->master, F_DUPFD_CLOEXEC, 3));
	output_begin(m, m->master, -1);
}

void orders_init(struct monitor *m, struct wire_in *in)
{
	if (m->pidfd >= 0 || m->pid) {
		take_master(m, in);
		return;
	}
	m->pidfd = wire_take_fd(in, WIRE_FD_PIDFD);
	if (m->pidfd < 0)
		return;
	m->pid = (pid_t)wire_get_u64(in, TAG_PID, 0);
	m->start_time = wire_get_u64(in, TAG_START_TIME, 0);
	if (wire_get_u64(in, TAG_FLAGS, 0) & WIRE_EXEC_CHILD)
		m->exec_child = true;
	m->record.started_wall = clock_wall_ns();
	m->record.started_mono = clock_boot_ns();
	take_stdin(m, wire_take_fd(in, WIRE_FD_STDIN));
	output_begin(m, wire_take_fd(in, WIRE_FD_STDOUT), wire_take_fd(in, WIRE_FD_STDERR));
	take_master(m, in);
	/* Opened now, not at the end: the end shall be quick. */
	replace(&m->cgroup_text, wire_get_str(in, TAG_CGROUP));
	if (m->cgroup_text && !m->exec_child)
		cgroup_open(m->cgroup_text, &m->cgroup, NULL);
}

/* ---- ending it
 * ------------------------------------------------------------------------------------------------
 */

static void asked_by(struct monitor *m, const struct wire_in *in)
{
	if (wire_get_str(in, TAG_WHO))
		replace(&m->record.by, wire_get_str(in, TAG_WHO));
	if (wire_get_str(in, TAG_REQUEST))
		replace(&m->record.request, wire_get_str(in, TAG_REQUEST));
}

static int need_init(struct monitor *m, struct kerr *e)
{
	if (m->pidfd < 0 && m->pid == 0)
		executor_first(m); /* kapseld knows it already, by another socket */
	return m->pidfd >= 0 ? 0
			     : kerr_fail(e, KERR_NOT_RUNNING, 0, "there is no process to signal");
}

/* An exec'd process has no cgroup of its own: it alone is killed. */
static int kill_everything(struct monitor *m, struct kerr *e)
{
	int rc;

	m->killing = true;
	/* First by its pidfd: of one process that is the quickest. */
	pidfd_signal(m->pidfd, SIGKILL, NULL);
	if (m->cgroup == NULL)
		return 0;
	rights_full();
	rc = cgroup_kill(m->cgroup, deadline_in_ms(KILL_TRY_MS), e);
	rights_least();
	return rc;
}

void stop_timer(struct timer *t)
{
	struct monitor *m = (struct monitor *)(void *)((char *)t - offsetof(struct monitor, stop));
	bool again = m->killing;

	if (m->pidfd < 0)
		return;
	kill_everything(m, NULL);
	/* Its exit comes by the pidfd. If it does not, somebody has to know. */
	if (again && !m->told_stuck) {
		m->told_stuck = true;
		tell_all(m, fill_state);
	}
	loop_timer(m->loop, &m->stop, deadline_in_ms(again ? KILL_AGAIN_MS : STUCK_MS));
}

static int order_stop(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	int sig = (int)wire_get_u64(in, TAG_SIGNAL, SIGTERM);
	deadline at = deadline_in_ms(wire_get_u64(in, TAG_TIMEOUT_MS, 10000));

	if (need_init(m, e))
		return -1;
	asked_by(m, in);
	if (pidfd_signal(m->pidfd, sig, e) && e->code != KERR_NOT_RUNNING)
		return -1;
	kerr_clear(e); /* gone already: just as well */
	/* A second stop may shorten the time, not lengthen it. */
	if (!m->stop.slot || at < m->stop.at)
		loop_timer(m->loop, &m->stop, at);
	return 0;
}

static int signal_all(struct monitor *m, int sig, struct kerr *e)
{
	CLEANUP_FREE pid_t *pids = NULL;
	size_t n = 0;

	if (cgroup_procs(m->cgroup, &pids, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		CLEANUP_FD int fd = pidfd_open_pid(pids[i], NULL);
		CLEANUP_FREE pid_t *again = NULL;
		size_t nagain = 0;
		bool there = false;

		/* Held by pidfd; is it still one of ours? */
		if (fd < 0 || cgroup_procs(m->cgroup, &again, &nagain, NULL))
			continue;
		for (size_t k = 0; k < nagain; k++)
			there |= again[k] == pids[i];
		if (there)
			pidfd_signal(fd, sig, NULL);
	}
	return 0;
}

static int order_kill(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	int sig = (int)wire_get_u64(in, TAG_SIGNAL, SIGKILL);
	bool all = wire_get_u64(in, TAG_ALL, 0);

	if (need_init(m, e))
		return -1;
	asked_by(m, in);
	if (all && m->cgroup && sig == SIGKILL) {
		loop_timer(m->loop, &m->stop, deadline_in_ms(STUCK_MS));
		return kill_everything(m, e);
	}
	if (all && m->cgroup)
		return signal_all(m, sig, e);
	return pidfd_signal(m->pidfd, sig, e);
}

/* ---- stdio
 * ----------------------------------------------------------------------------------------------------
 */

static size_t count_clients(const struct monitor *m)
{
	size_t n = 0;

	for (const struct client *c = m->clients; c; c = c->next)
		n++;
	for (const struct client *c = m->gone; c; c = c->next)
		n++;
	return n;
}

static int order_attach(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	if (count_clients(m) >= MOST_CLIENTS)
		return kerr_fail(e, KERR_LIMIT, 0, "%d clients are attached", MOST_CLIENTS);
	client_add(m, in, false);
	return 0;
}

static void client_leave(struct monitor *m, struct client **at)
{
	struct client *c = *at;

	*at = c->next;
	c->next = NULL;
	if (client_free(c))
		return;
	c->next = m->gone;
	m->gone = c;
}

static int order_detach(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	const char *request = wire_get_str(in, TAG_REQUEST);

	(void)e;
	for (struct client **at = &m->clients; *at;)
		if (str_eq((*at)->request, request))
			client_leave(m, at);
		else
			at = &(*at)->next;
	output_resume(m);
	return 0;
}

static void close_stdin(struct monitor *m)
{
	for (struct client *c = m->clients; c; c = c->next)
		client_cancel_input(c);
	fd_closep(&m->stdin_fd);
}

static int order_close_stdin(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	(void)in, (void)e;
	close_stdin(m);
	return 0;
}

/* The wake fd: a thread has something to say. */
void client_events(struct monitor *m)
{
	for (struct client **at = &m->clients; *at;) {
		struct client *c = *at;
		struct input *i = c->input;
		bool in_done = i == NULL || atomic_load(&i->done);

		if (i && in_done && c->first && atomic_load(&i->end_of_file) && m->stdin_fd >= 0 &&
			m->master < 0)
			close_stdin(m);
		/* It reads no more, or never did, and writes no more. */
		if ((c->sink == NULL || sink_dead(c->sink)) && in_done)
			client_leave(m, at);
		else
			at = &c->next;
	}
	for (struct client **at = &m->gone; *at;) {
		struct client *c = *at, *next = c->next;

		if (client_free(c))
			*at = next;
		else
			at = &c->next;
	}
}

static int order_resize(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	struct winsize w = { .ws_row = (unsigned short)wire_get_u64(in, TAG_ROWS, 24),
		.ws_col = (unsigned short)wire_get_u64(in, TAG_COLUMNS, 80) };

	if (m->master < 0)
		return kerr_fail(e, KERR_TERMINAL, 0, "the process has no terminal");
	return ioctl(m->master, TIOCSWINSZ, &w) < 0
		       ? kerr_fail(e, KERR_TERMINAL, errno, "resize the terminal")
		       : 0;
}

static int order_reopen(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	(void)in, (void)e;
	output_reopen(m);
	return 0;
}

/* kapseld knows when a created container was started; STATUS may tell. */
static int order_status(struct monitor *m, struct wire_in *in, struct kerr *e)
{
	(void)e;
	m->record.started_wall = wire_get_u64(in, TAG_STARTED_WALL, m->record.started_wall);
	m->record.started_mono = wire_get_u64(in, TAG_STARTED_MONO, m->record.started_mono);
	return 0;
}

/* ---- connections
 * ---------------------------------------------------------------------------------------------- */

static const struct order {
	int (*carry_out)(struct monitor *m, struct wire_in *in, struct kerr *e);
	bool state; /* answered by STATE, not DONE */
} orders[WIRE_TYPE_COUNT] = {
	[WIRE_WATCH] = { .carry_out = order_watch },
	[WIRE_STATUS] = { .carry_out = order_status, .state = true },
	[WIRE_STOP] = { .carry_out = order_stop },
	[WIRE_KILL] = { .carry_out = order_kill },
	[WIRE_ATTACH] = { .carry_out = order_attach },
	[WIRE_DETACH] = { .carry_out = order_detach },
	[WIRE_RESIZE] = { .carry_out = order_resize },
	[WIRE_CLOSE_STDIN] = { .carry_out = order_close_stdin },
	[WIRE_REOPEN] = { .carry_out = order_reopen },
};

static int answer(struct connection *c, struct wire_in *in, struct kerr *e)
{
	const struct order *o = &orders[in->type];
	struct wire_out w;

	if (o->carry_out == NULL)
		return -1;
	o->carry_out(c->m, in, e);
	if (o->state) {
		fill_state(c->m, &w);
	} else {
		wire_begin(&w, WIRE_DONE);
		if (kerr_is_set(e))
			wire_error(&w, e);
	}
	wire_str(&w, TAG_REQUEST, wire_get_str(in, TAG_REQUEST));
	return wire_send(c->source.fd, &w, deadline_in_ms(SEND_MS), NULL);
}

static enum source_answer connection_ready(struct source *s, uint32_t events)
{
	struct connection *c = (struct connection *)(void *)s;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in in;
	int rc = wire_recv(s->fd, &in, deadline_in_ms(0), &e);

	(void)events;
	if (rc < 0 && e.code == KERR_TIMEOUT)
		return SOURCE_KEEP;
	if (rc <= 0)
		return SOURCE_DONE;
	kerr_clear(&e);
	rc = answer(c, &in, &e);
	wire_in_free(&in);
	return rc ? SOURCE_DONE : SOURCE_KEEP;
}

static void connection_closed(struct source *s)
{
	struct connection *c = (struct connection *)(void *)s;
	struct monitor *m = c->m;

	for (struct connection **at = &m->connections; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	/* Of no use to anybody: kapseld went away before it had a container for us. */
	if (c->daemon && !m->watched)
		m->over = true;
	free(c);
}

int connection_add(struct monitor *m, int fd, bool daemon, struct kerr *e)
{
	struct connection *c = mem_zalloc(sizeof *c);

	c->m = m;
	c->daemon = daemon;
	c->source = (struct source) {
		.fd = fd, .ready = connection_ready, .closed = connection_closed
	};
	if (loop_add(m->loop, &c->source, EPOLLIN, e)) {
		free(c);
		return -1;
	}
	c->next = m->connections;
	m->connections = c;
	return 0;
}

static enum source_answer accept_one(struct source *s, uint32_t events)
{
	struct monitor *m =
		(struct monitor *)(void *)((char *)s - offsetof(struct monitor, listener));
	CLEANUP_FD int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	struct peer peer = { 0 };
	bool ours;
	size_t n = 0;

	(void)events;
	if (fd < 0 || socket_peer(fd, &peer, NULL))
		return SOURCE_KEEP;
	ours = peer.uid == 0 || peer.uid == geteuid();
	peer_free(&peer);
	for (struct connection *c = m->connections; c; c = c->next)
		n++;
	if (ours && n < MOST_CONNECTIONS && connection_add(m, fd, false, NULL) == 0)
		fd_take(&fd);
	return SOURCE_KEEP;
}
