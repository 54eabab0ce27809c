/* SPDX-License-Identifier: Apache-2.0 */
/* Links to monitors and executors, and the pairs of them that wait for work. */
#include "daemon.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { REFILL_MS = 2, CALM_MS = 3, BUSY_MS = 20, SEND_MS = 2000, FAILED_MS = 1000 };

/* ---- links --------------------------------------------------------------------------------------
 */

static void commands_fail(struct link *l)
{
	while (l->orders) {
		struct command *c = l->orders;
		struct kerr e = KERR_INIT;

		l->orders = c->next;
		kerr_fail(&e, KERR_MONITOR, 0, "the monitor is gone");
		c->done(c, &e);
		kerr_clear(&e);
	}
}

static void link_closed(struct source *s)
{
	free(s); /* the source is a link's first member */
}

void link_close(struct link *l)
{
	if (l == NULL || l->source.dead)
		return;
	if (l->c && l->c->monitor == l)
		l->c->monitor = NULL;
	l->c = NULL;
	l->job = NULL;
	if (l->other)
		l->other->other = NULL;
	l->other = NULL;
	commands_fail(l);
	loop_end(l->d->loop, &l->source);
}

static void link_gone(struct link *l)
{
	struct container *c = l->c;
	struct daemon *d = l->d;

	if (l->job) {
		job_link_gone(l->job, l);
	} else if (l->monitor && c) {
		link_close(l);
		container_monitor_gone(d, c);
	} else if (l->other || l == d->idle) {
		pool_lost(d, l);
	}
	link_close(l);
}

static void order_done(struct link *l, struct wire_in *in)
{
	struct command *c = l->orders;
	struct kerr e = KERR_INIT;

	if (c == NULL)
		return;
	l->orders = c->next;
	if (in->field[TAG_ERROR].there)
		wire_get_error(in, &e);
	c->done(c, &e);
	kerr_clear(&e);
}

static void exit_from_frame(struct link *l, struct wire_in *in, struct exit_record *r)
{
	uint64_t code = wire_get_u64(in, TAG_EXIT_CODE, UINT64_MAX);
	const char *s;
	char **lines;
	size_t n;

	memset(r, 0, sizeof *r);
	r->id = mem_strdup(l->c->id);
	r->uid = mem_strdup(l->c->uid);
	r->instance = wire_get_u64(in, TAG_INSTANCE, l->c->instance);
	r->signal = (int)wire_get_u64(in, TAG_EXIT_SIGNAL, 0);
	r->known = code != UINT64_MAX || r->signal;
	r->code = r->signal || code == UINT64_MAX ? 0 : (int)code;
	r->core = wire_get_u64(in, TAG_CORE, 0);
	r->oom = wire_get_u64(in, TAG_OOM, 0);
	r->dropped = wire_get_u64(in, TAG_DROPPED, 0);
	r->peak_memory = wire_get_u64(in, TAG_PEAK_MEMORY, 0);
	r->cpu_ns = wire_get_u64(in, TAG_CPU_NS, 0);
	r->started_wall = wire_get_u64(in, TAG_STARTED_WALL, l->c->started);
	r->ended_wall = wire_get_u64(in, TAG_ENDED_WALL, clock_wall_ns());
	r->started_mono = wire_get_u64(in, TAG_STARTED_MONO, 0);
	r->ended_mono = wire_get_u64(in, TAG_ENDED_MONO, 0);
	r->oom_limit = (s = wire_get_str(in, TAG_OOM_LIMIT)) ? mem_strdup(s) : NULL;
	r->by = (s = wire_get_str(in, TAG_WHO)) ? mem_strdup(s) : NULL;
	r->request = (s = wire_get_str(in, TAG_REQUEST)) ? mem_strdup(s) : NULL;
	s = wire_get_str(in, TAG_REASON);
	r->reason = mem_strdup(s ? s : r->signal ? "signaled" : r->known ? "exited" : "unknown");
	if (wire_get_list(in, TAG_LAST_LINES, &lines, &n, NULL) || n == 0)
		return;
	r->last_lines = mem_array(n, sizeof *r->last_lines);
	for (size_t i = 0; i < n; i++)
		r->last_lines[r->nlast_lines++] = mem_strdup(lines[i]);
	free(lines);
}

static void monitor_frame(struct link *l, struct wire_in *in)
{
	struct exit_record r;

	if (in->type == WIRE_DONE) {
		order_done(l, in);
	} else if (in->type == WIRE_STATE && l->c) {
		recover_state(l->d, l->c, in);
	} else if (in->type == WIRE_EXITED && l->c) {
		exit_from_frame(l, in, &r);
		container_exited(l->d, l->c, &r);
	}
}

static enum source_answer link_ready(struct source *s, uint32_t events)
{
	struct link *l = (struct link *)s;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in in;
	int got;

	(void)events;
	got = wire_recv(l->source.fd, &in, 0, &e);
	if (got < 0 && e.code == KERR_TIMEOUT)
		return SOURCE_KEEP;
	if (got < 0) {
		CLEANUP_BUF struct buf line = BUF_INIT;

		kerr_line(&e, &line);
		if (e.sys != ECONNRESET)
			log_warning(
				"%s: %s", l->monitor ? "a monitor" : "an executor", buf_str(&line));
	}
	if (got <= 0) {
		link_gone(l);
		return SOURCE_KEEP; /* it has ended itself */
	}
	if (in.type == WIRE_READY)
		l->ready = true;
	else if (l->job && (in.type != WIRE_EXITED || l->c == NULL) && in.type != WIRE_DONE)
		job_frame(l->job, l, &in);
	else if (l->monitor)
		monitor_frame(l, &in);
	wire_in_free(&in);
	return SOURCE_KEEP;
}

struct link *link_new(struct daemon *d, int fd, bool monitor, struct kerr *e)
{
	struct link *l = mem_zalloc(sizeof *l);

	l->source = (struct source) { .fd = fd, .ready = link_ready, .closed = link_closed };
	l->d = d;
	l->monitor = monitor;
	if (loop_add(d->loop, &l->source, EPOLLIN, e) == 0)
		return l;
	close(fd);
	free(l);
	return NULL;
}

int link_send(struct link *l, struct wire_out *m, struct kerr *e)
{
	if (l == NULL || l->source.dead) {
		buf_free(&m->b);
		return kerr_fail(e, KERR_MONITOR, 0, "the monitor is gone");
	}
	return wire_send(l->source.fd, m, deadline_in_ms(SEND_MS), e);
}

int link_order(struct link *l, struct wire_out *m, struct command *c, struct kerr *e)
{
	struct command **at;

	if (link_send(l, m, e))
		return -1;
	for (at = &l->orders; *at; at = &(*at)->next)
		;
	*at = c;
	return 0;
}

static void nobody_waits(struct command *c, struct kerr *e)
{
	if (kerr_is_set(e) && e->code != KERR_MONITOR && e->code != KERR_NOT_RUNNING)
		log_warning("a monitor: %s", e->message);
	free(c);
}

int link_order_quiet(struct link *l, struct wire_out *m, struct kerr *e)
{
	struct command *c = mem_zalloc(sizeof *c);

	c->done = nobody_waits;
	if (link_order(l, m, c, e) == 0)
		return 0;
	free(c);
	return -1;
}

/* ---- pairs --------------------------------------------------------------------------------------
 */

static char *beside(const char *dir, const char *name)
{
	for (int i = 0; i < 4; i++) {
		char *path = i == 0   ? mem_printf("%s/%s", dir, name)
			     : i == 1 ? mem_printf("%s/../libexec/kapsel/%s", dir, name)
			     : i == 2 ? mem_printf("%s/libexec/kapsel/%s", PREFIX, name)
				      : mem_printf("%s/bin/%s", PREFIX, name);
		CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_PATH, NULL);

		if (fd >= 0)
			return path;
		free(path);
	}
	return NULL;
}

int programs_find(struct daemon *d, struct kerr *e)
{
	CLEANUP_FD int self = path_host(AT_FDCWD, "/proc/self/exe", O_PATH, e);
	CLEANUP_BUF struct buf b = BUF_INIT;
	char *slash;

	if (self < 0 || fd_path(self, &b, e))
		return -1;
	slash = strrchr(b.data, '/');
	if (slash)
		*slash = '\0';
	d->oci = beside(b.data, "kapsel-oci");
	d->monitor_program = beside(b.data, "kapsel-monitor");
	if (d->oci && d->monitor_program)
		return 0;
	return kerr_fail(e, KERR_PATH_OPEN, ENOENT, "%s is neither in %s nor in " PREFIX,
		d->oci ? "kapsel-monitor" : "kapsel-oci", b.data);
}

static char *environment[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	NULL, NULL };

/* A user's executor keeps its filters there when kapseld, being for one call, has no cache. */
static void add_runtime_dir(void)
{
	const char *runtime = getauxval(AT_EUID) == 0 ? NULL : getenv("XDG_RUNTIME_DIR");

	if (runtime && environment[1] == NULL)
		environment[1] = mem_printf("XDG_RUNTIME_DIR=%s", runtime);
}

static int run_program(
	const char *path, const char *const *argv, const int *fds, size_t nfds, struct kerr *e)
{
	const struct spawn s = { .path = path,
		.exe_fd = -1,
		.argv = (char *const *)(uintptr_t)argv,
		.envp = environment,
		.fds = fds,
		.nfds = nfds,
		.cwd_fd = -1,
		.new_session = true };
	CLEANUP_FD int pidfd = -1;

	add_runtime_dir();
	pidfd = spawn_run(&s, NULL, e);
	return pidfd < 0 ? -1 : 0;
}

/* ---- the template: a started executor that makes a pair of each two sockets --------------------
 */

struct template
{
	struct source source;
	struct daemon *d;
};

static void template_closed(struct source *s)
{
	free(s); /* it is a template's first member */
}

static void template_drop(struct daemon *d)
{
	if (d->template)
		loop_end(d->loop, &d->template->source);
	d->template = NULL;
}

static enum source_answer template_ready(struct source *s, uint32_t events)
{
	struct daemon *d = ((struct template *)s)->d;

	(void)events; /* it says nothing: this is its end */
	log_warning("the template of executors has ended");
	template_drop(d);
	return SOURCE_KEEP;
}

static int template_start(struct daemon *d, struct kerr *e)
{
	const char *argv[] = { "kapsel-oci", "--template", d->monitor_program, "--stock", NULL };
	struct template *t;
	int ends[2], fds[] = { -1, -1, 2, -1 }, rc;

	if (socket_pair(SOCK_SEQPACKET, ends, e))
		return -1;
	fds[3] = ends[1];
	rc = run_program(d->oci, argv, fds, ARRAY_LEN(fds), e);
	close(ends[1]);
	t = mem_zalloc(sizeof *t);
	t->source = (struct source) {
		.fd = ends[0], .ready = template_ready, .closed = template_closed
	};
	t->d = d;
	if (rc == 0 && loop_add(d->loop, &t->source, EPOLLIN, e) == 0) {
		d->template = t;
		return 0;
	}
	close(ends[0]);
	free(t);
	return -1;
}

static int pair_copy(struct daemon *d, int monitor_end, int executor_end)
{
	struct wire_out m;

	if (d->template == NULL)
		return -1;
	wire_begin(&m, WIRE_PAIR);
	wire_fd(&m, WIRE_FD_MONITOR, monitor_end);
	wire_fd(&m, WIRE_FD_EXECUTOR, executor_end);
	if (wire_send(d->template->source.fd, &m, deadline_in_ms(SEND_MS), NULL) == 0)
		return 0;
	template_drop(d);
	return -1;
}

static int pair_spawn(struct daemon *d, int monitor_end, int executor_end, struct kerr *e)
{
	const char *argv[] = { "kapsel-monitor", "--pool", d->oci, NULL };
	const int fds[] = { -1, -1, 2, monitor_end, executor_end };

	return run_program(d->monitor_program, argv, fds, ARRAY_LEN(fds), e);
}

static int pair_start(struct daemon *d, struct link **m, struct link **x, struct kerr *e)
{
	int a[2], b[2], rc;

	if (socket_pair(SOCK_SEQPACKET, a, e))
		return -1;
	if (socket_pair(SOCK_SEQPACKET, b, e)) {
		close(a[0]);
		close(a[1]);
		return -1;
	}
	rc = pair_copy(d, a[1], b[1]) ? pair_spawn(d, a[1], b[1], e) : 0;
	close(a[1]);
	close(b[1]);
	if (rc) {
		close(a[0]);
		close(b[0]);
		return -1;
	}
	*m = link_new(d, a[0], true, e);
	if (*m == NULL) {
		close(b[0]);
		return -1;
	}
	*x = link_new(d, b[0], false, e);
	if (*x)
		return 0;
	link_close(*m);
	return -1;
}

static void refill_failed(struct daemon *d, const struct kerr *e)
{
	CLEANUP_BUF struct buf line = BUF_INIT;

	kerr_line(e, &line);
	log_error("the pool of executors: %s", buf_str(&line));
	loop_timer(d->loop, &d->refill, deadline_in_ms(FAILED_MS));
}

static void put_in(struct daemon *d, struct link *m, struct link *x)
{
	m->other = x;
	x->other = m;
	m->next = d->idle;
	d->idle = m;
	d->nidle++;
}

static void refill(struct timer *t)
{
	struct daemon *d = (struct daemon *)((char *)t - offsetof(struct daemon, refill));
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct link *m, *x;

	if (d->stopping || d->nidle >= d->config.pool)
		return;
	/* Not while somebody waits for a start or an end, unless that would go on for long. */
	if ((d->nbusy || !deadline_passed(d->calm)) && d->refill_waits++ < BUSY_MS / REFILL_MS) {
		loop_timer(d->loop, &d->refill, deadline_in_ms(REFILL_MS));
		return;
	}
	if ((d->template == NULL && template_start(d, &e)) || pair_start(d, &m, &x, &e)) {
		refill_failed(d, &e);
		return;
	}
	put_in(d, m, x);
	pool_refill_soon(d);
}

void pool_one(struct daemon *d)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct link *m, *x;

	d->config.pool = 0;
	if (pair_start(d, &m, &x, &e) == 0)
		put_in(d, m, x);
}

void pool_refill_later(struct daemon *d)
{
	d->calm = deadline_in_ms(CALM_MS);
}

void pool_refill_soon(struct daemon *d)
{
	d->refill.fire = refill;
	if (d->nidle >= d->config.pool || d->stopping || d->refill.slot)
		return;
	d->refill_waits = 0;
	loop_timer(d->loop, &d->refill, deadline_in_ms(REFILL_MS));
}

static void take_out(struct daemon *d, struct link *m)
{
	struct link **at = &d->idle;

	while (*at && *at != m)
		at = &(*at)->next;
	if (*at == NULL)
		return;
	*at = m->next;
	m->next = NULL;
	d->nidle--;
}

int pool_take(struct daemon *d, struct link **m, struct link **x, struct kerr *e)
{
	struct link *best = d->idle;

	for (struct link *l = d->idle; l; l = l->next)
		if (l->other->ready)
			best = l;
	if (best == NULL)
		return pair_start(d, m, x, e);
	take_out(d, best);
	*m = best;
	*x = best->other;
	best->other->other = NULL;
	best->other = NULL;
	return 0;
}

/* One that dies by itself would do so again at once. */
void pool_lost(struct daemon *d, struct link *l)
{
	struct link *m = l->monitor ? l : l->other;

	take_out(d, m);
	link_close(m->other);
	link_close(m);
	if (!d->stopping)
		loop_timer(d->loop, &d->refill, deadline_in_ms(FAILED_MS));
}

void pool_drop(struct daemon *d)
{
	while (d->idle) {
		struct link *m = d->idle;

		take_out(d, m);
		link_close(m->other);
		link_close(m);
	}
	template_drop(d);
}
