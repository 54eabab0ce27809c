/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void pair_free_if_done(struct pair *p)
{
	if (p->monitor.loop || p->executor.loop)
		return;
	if (p->has_pending) {
		for (size_t i = 0; i < p->pending.nfds; i++)
			fd_closep(&p->pending_fds[i]);
		buf_free(&p->pending.b);
	}
	free(p);
}

static void send_pending(struct pair *p)
{
	struct kerr e = KERR_INIT;

	if (!p->has_pending || !p->ready)
		return;
	p->has_pending = false;
	memcpy(p->pending.fds, p->pending_fds, sizeof p->pending_fds);
	if (wire_send(p->executor.fd, &p->pending, deadline_in_ms(100), &e))
		log_warning("an executor took no order: %s", e.message);
	for (size_t i = 0; i < p->pending.nfds; i++)
		fd_closep(&p->pending_fds[i]);
	kerr_clear(&e);
}

static enum source_answer executor_ready(struct source *s, uint32_t events)
{
	struct pair *p = (struct pair *)(void *)((char *)s - offsetof(struct pair, executor));
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in m;
	int rc;

	(void)events;
	rc = wire_recv(s->fd, &m, 0, &e);
	if (rc < 0 && e.code == KERR_TIMEOUT)
		return SOURCE_KEEP;
	if (rc <= 0)
		return SOURCE_DONE;
	if (m.type == WIRE_READY) {
		p->ready = true;
		send_pending(p);
	} else {
		on_executor(p, &m);
	}
	wire_in_free(&m);
	return SOURCE_KEEP;
}

static void idle_remove(struct pair *p)
{
	struct pair **at = &p->d->idle;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at) {
		*at = p->next;
		p->d->idle_pairs--;
	}
}

static void executor_closed(struct source *s)
{
	struct pair *p = (struct pair *)(void *)((char *)s - offsetof(struct pair, executor));

	if (!p->used)
		idle_remove(p);
	else
		on_executor_gone(p);
	if (p->monitor.loop && (!p->used || p->box == NULL) && p->exec == NULL)
		loop_end(p->d->loop, &p->monitor);
	pair_free_if_done(p);
}

static enum source_answer monitor_ready(struct source *s, uint32_t events)
{
	struct pair *p = (struct pair *)(void *)((char *)s - offsetof(struct pair, monitor));
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in m;
	int rc;

	(void)events;
	rc = wire_recv(s->fd, &m, 0, &e);
	if (rc < 0 && e.code == KERR_TIMEOUT)
		return SOURCE_KEEP;
	if (rc <= 0)
		return SOURCE_DONE;
	on_monitor(p, &m);
	wire_in_free(&m);
	return SOURCE_KEEP;
}

static void monitor_closed(struct source *s)
{
	struct pair *p = (struct pair *)(void *)((char *)s - offsetof(struct pair, monitor));

	if (p->handed) {
		pair_free_if_done(p);
		return;
	}
	if (!p->used)
		idle_remove(p);
	if (p->exec && !p->exec->ended) {
		CLEANUP_ERR struct kerr e = KERR_INIT;

		kerr_fail(&e, KERR_MONITOR, 0, "the monitor of this process is gone");
		exec_end(p->exec, &e);
	}
	if (p->executor.loop)
		loop_end(p->d->loop, &p->executor);
	pair_free_if_done(p);
}

static int spawn_pair(struct daemon *d, int monitor_end, int executor_end, struct kerr *e)
{
	char *argv[] = { (char *)(uintptr_t)"kapsel-monitor", (char *)(uintptr_t)"--pool", d->oci, NULL };
	char *envp[] = { (char *)(uintptr_t)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	int fds[5] = { -1, -1, -1, monitor_end, executor_end };
	struct spawn s = { .path = d->monitor_path, .exe_fd = -1, .argv = argv, .envp = envp, .fds = fds, .nfds = 5,
		.cwd_fd = -1, .new_session = true };
	CLEANUP_FD int pidfd = spawn_run(&s, NULL, e);

	return pidfd < 0 ? -1 : 0;
}

static struct pair *pair_new(struct daemon *d, struct kerr *e)
{
	int dm[2], de[2];
	struct pair *p;

	if (socket_pair(SOCK_SEQPACKET, dm, e))
		return NULL;
	if (socket_pair(SOCK_SEQPACKET, de, e)) {
		close(dm[0]);
		close(dm[1]);
		return NULL;
	}
	p = mem_zalloc(sizeof *p);
	p->d = d;
	p->monitor = (struct source){ .fd = dm[0], .ready = monitor_ready, .closed = monitor_closed };
	p->executor = (struct source){ .fd = de[0], .ready = executor_ready, .closed = executor_closed };
	if (spawn_pair(d, dm[1], de[1], e) || loop_add(d->loop, &p->monitor, EPOLLIN, e)) {
		close(dm[0]);
		close(de[0]);
		free(p);
		p = NULL;
	} else if (loop_add(d->loop, &p->executor, EPOLLIN, e)) {
		close(de[0]);
		loop_end(d->loop, &p->monitor); /* frees the pair */
		p = NULL;
	}
	close(dm[1]);
	close(de[1]);
	return p;
}

void pool_refill(struct daemon *d)
{
	while (d->idle_pairs < d->config.pool && !d->stopping) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		struct pair *p = pair_new(d, &e);

		if (p == NULL) {
			CLEANUP_BUF struct buf b = BUF_INIT;

			kerr_line(&e, &b);
			log_error("an executor could not be started: %s", buf_str(&b));
			return;
		}
		p->next = d->idle;
		d->idle = p;
		d->idle_pairs++;
	}
}

struct pair *pair_take(struct daemon *d, struct kerr *e)
{
	struct pair **best = NULL, *p;

	for (struct pair **at = &d->idle; *at; at = &(*at)->next)
		if (best == NULL || ((*at)->ready && !(*best)->ready))
			best = at;
	if (best) {
		p = *best;
		*best = p->next;
		d->idle_pairs--;
	} else {
		p = pair_new(d, e);
		if (p == NULL)
			return NULL;
	}
	p->used = true;
	p->next = NULL;
	d->refill_soon = true;
	return p;
}

void pair_order(struct pair *p, struct wire_out *m)
{
	p->pending = *m;
	p->has_pending = true;
	for (size_t i = 0; i < m->nfds; i++)
		p->pending_fds[i] = fcntl(m->fds[i], F_DUPFD_CLOEXEC, 3);
	send_pending(p);
}

void pair_drop(struct pair *p)
{
	p->box = NULL;
	p->exec = NULL;
	if (p->executor.loop)
		loop_end(p->d->loop, &p->executor);
	if (p->monitor.loop)
		loop_end(p->d->loop, &p->monitor);
}

/* ---- where our programs are --------------------------------------------------------------------------------- */

static char *find_program(const char *beside, const char *name, struct kerr *e)
{
	static const char *const places[] = { NULL, "../libexec/kapsel", "../bin", PREFIX "/libexec/kapsel", PREFIX "/bin" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		const char *place = places[i] ? places[i] : "";
		char *path = place[0] == '/' ? mem_printf("%s/%s", place, name) : mem_printf("%s/%s/%s", beside, *place ? place : ".", name);

		if (path_can_execute(path) == 0)
			return path;
		free(path);
	}
	kerr_fail(e, KERR_NODE_KERNEL, 0, "%s is neither beside kapseld nor in %s", name, PREFIX "/libexec/kapsel");
	return NULL;
}

int find_programs(struct daemon *d, struct kerr *e)
{
	CLEANUP_FD int exe = path_host(AT_FDCWD, "/proc/self/exe", O_PATH, e);
	CLEANUP_BUF struct buf self = BUF_INIT;
	char *slash;

	if (exe < 0 || fd_path(exe, &self, e))
		return -1;
	slash = strrchr(self.data, '/');
	if (slash)
		*slash = '\0';
	d->oci = find_program(self.data, "kapsel-oci", e);
	d->monitor_path = d->oci ? find_program(self.data, "kapsel-monitor", e) : NULL;
	return d->monitor_path ? 0 : -1;
}
