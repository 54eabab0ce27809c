/* SPDX-License-Identifier: Apache-2.0 */
/* One order from kapseld (fd 3), with the pair's monitor beside (fd 4). ARCHITECTURE.md, "A
 * container's birth". */
#include "oci.h"
#include <errno.h>
#include <kapsel/wire.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DAEMON = EXECUTOR_DAEMON, MONITOR = EXECUTOR_MONITOR };
enum { ANSWER_MS = 30000, CONFIG_BYTES = 4 << 20, WORDS_BYTES = 16 << 10, ENV_BYTES = 100 << 10 };

struct executor {
	struct job j;
	struct wire_in order;
	uint64_t flags;
	int stdio[3]; /* the container's ends */
	int ours[3];  /* the monitor's ends */
	int master;
	struct container_stock stock;
	bool exec, told;
	int cache;
	const struct oci_seccomp *profile; /* whose filter is new */
	struct buf filter;
};

static int failed(const struct kerr *e)
{
	struct wire_out m;

	wire_begin(&m, WIRE_FAILED);
	wire_error(&m, e);
	wire_send(DAEMON, &m, deadline_in_ms(ANSWER_MS), NULL);
	return 1;
}

/* ---- what the container reads and writes
 * ------------------------------------------------------------------- */

static int make_pipe(int *read_end, int *write_end, uid_t owner, bool owner_reads, struct kerr *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "pipe");
	*read_end = p[0];
	*write_end = p[1];
	/* So that /dev/stdout can be opened again by the container's user. */
	if (owner && fchown(owner_reads ? p[0] : p[1], owner, (gid_t)-1) < 0 &&
		(errno != EPERM || geteuid() == 0)) /* rootless it is the user's, or nobody's */
		return kerr_fail(e, KERR_PROCESS_SETUP, errno, "owner of a pipe");
	return 0;
}

static uid_t host_uid(const struct executor *x, uint64_t uid)
{
	const struct oci_linux *l = &x->j.spec.linux_;

	for (size_t i = 0; i < l->uids.n; i++)
		if (uid >= l->uids.v[i].container &&
			uid < l->uids.v[i].container + l->uids.v[i].size)
			return (uid_t)(l->uids.v[i].host + uid - l->uids.v[i].container);
	return (uid_t)uid;
}

static int make_stdio(struct executor *x, const struct oci_process *p, struct kerr *e)
{
	uid_t owner = host_uid(x, p->user.uid);

	if (p->terminal)
		return 0;
	if (x->flags & WIRE_DIRECT_OUT) {
		x->stdio[0] = wire_take_fd(&x->order, WIRE_FD_STDIN);
		x->stdio[1] = wire_take_fd(&x->order, WIRE_FD_STDOUT);
		x->stdio[2] = wire_take_fd(&x->order, WIRE_FD_STDERR);
		return 0;
	}
	if (x->flags & WIRE_KEEP_STDIN && make_pipe(&x->stdio[0], &x->ours[0], owner, true, e))
		return -1;
	if (make_pipe(&x->ours[1], &x->stdio[1], owner, false, e) ||
		make_pipe(&x->ours[2], &x->stdio[2], owner, false, e))
		return -1;
	return 0;
}

/* ---- telling the monitor
 * ------------------------------------------------------------------------------------- */

static int on_born(void *arg, const struct container_born *b, struct kerr *e)
{
	struct executor *x = arg;
	struct wire_out m;

	x->j.pid = b->pid;
	x->j.start_time = b->start_time;
	free(x->j.cgroup);
	x->j.cgroup = mem_strdup(b->cgroup);
	x->j.created = clock_wall_ns();
	wire_begin(&m, WIRE_INIT);
	wire_u64(&m, TAG_PID, (uint64_t)b->pid);
	wire_u64(&m, TAG_START_TIME, b->start_time);
	wire_str(&m, TAG_CGROUP, b->cgroup);
	wire_u64(&m, TAG_FLAGS,
		(x->flags & ~(uint64_t)WIRE_TERMINAL) | (x->exec ? WIRE_EXEC_CHILD : 0) |
			(x->j.plan.process->terminal ? WIRE_TERMINAL : 0));
	wire_fd(&m, WIRE_FD_PIDFD, b->pidfd);
	wire_fd(&m, WIRE_FD_STDIN, x->ours[0]);
	wire_fd(&m, WIRE_FD_STDOUT, x->ours[1]);
	wire_fd(&m, WIRE_FD_STDERR, x->ours[2]);
	if (wire_send(MONITOR, &m, deadline_in_ms(ANSWER_MS), e))
		return kerr_step(e, "tell the monitor");
	for (int i = 0; i < 3; i++) {
		fd_closep(&x->ours[i]);
		fd_closep(&x->stdio[i]);
	}
	return x->exec ? 0 : record_write(&x->j, e);
}

/* The terminal exists only after the mounts: it follows in a message of its own. */
static int on_console(void *arg, int master, struct kerr *e)
{
	struct wire_out m;
	CLEANUP_FD int fd = master;

	(void)arg;
	wire_begin(&m, WIRE_INIT);
	wire_u64(&m, TAG_FLAGS, WIRE_TERMINAL);
	wire_fd(&m, WIRE_FD_MASTER, fd);
	return wire_send(MONITOR, &m, deadline_in_ms(ANSWER_MS), e);
}

static void executor_state(void *arg, const char *status, pid_t pid, struct buf *out)
{
	struct executor *x = arg;

	state_json(&x->j, status, pid, out);
}

/* ---- answers to kapseld
 * ---------------------------------------------------------------------------------------- */

static int answer(struct executor *x, enum wire_type type, int pidfd, struct kerr *e)
{
	struct wire_out m;

	wire_begin(&m, type);
	wire_u64(&m, TAG_PID, (uint64_t)x->j.pid);
	wire_u64(&m, TAG_START_TIME, x->j.start_time);
	wire_str(&m, TAG_CGROUP, x->j.cgroup);
	wire_fd(&m, WIRE_FD_PIDFD, pidfd);
	return wire_send(DAEMON, &m, deadline_in_ms(ANSWER_MS), e);
}

/* For inspect: of the environment the names, as values are secrets. All of it or none: a frame is
 * small, and what is long is in the configuration. */
static void put_process(struct executor *x, struct wire_out *m)
{
	const struct oci_process *p = &x->j.spec.process;
	char **names = arena_array(x->j.a, p->env.n, sizeof *names);
	CLEANUP_FREE char *user = mem_printf(
		"%llu:%llu", (unsigned long long)p->user.uid, (unsigned long long)p->user.gid);
	size_t args = 0, env = 0;

	for (size_t i = 0; i < p->env.n; i++) {
		names[i] = arena_strndup(x->j.a, p->env.v[i], strcspn(p->env.v[i], "="));
		env += strlen(names[i]) + 1;
	}
	for (size_t i = 0; i < p->args.n; i++)
		args += strlen(p->args.v[i]) + 1;
	if (args && args < WORDS_BYTES)
		wire_list(m, TAG_ARGS, (char *const *)(uintptr_t)p->args.v, p->args.n);
	if (env && env < WORDS_BYTES)
		wire_list(m, TAG_ENV, names, p->env.n);
	wire_str(m, TAG_CWD, p->cwd);
	wire_str(m, TAG_USER, user);
}

/* The directory that the container writes to, by a name that is the same whatever its path; or "".
 */
static void written_root(const struct executor *x, struct buf *out)
{
	const struct oci_spec *s = &x->j.spec;
	CLEANUP_FD int fd = -1;
	struct stat st;

	if (s->root.readonly || x->flags & WIRE_VOLATILE || s->root.path == NULL)
		return;
	fd = path_host_dir(x->j.bundle_dir, s->root.path, NULL);
	if (fd >= 0 && fd_stat(fd, &st, NULL) == 0)
		buf_addf(out, "%llx:%llx", (unsigned long long)st.st_dev,
			(unsigned long long)st.st_ino);
}

static int prepared(struct executor *x, struct kerr *e)
{
	CLEANUP_BUF struct buf written = BUF_INIT;
	CLEANUP_BUF struct buf annotations = BUF_INIT;
	CLEANUP_BUF struct buf warnings = BUF_INIT;
	struct json_out o = JSON_OUT(&annotations), w = JSON_OUT(&warnings);
	struct wire_out m;
	struct wire_in in;
	const char *stop = NULL;

	json_begin_object(&o);
	for (size_t i = 0; i < x->j.spec.annotations.n; i++) {
		const struct oci_pair *a = &x->j.spec.annotations.v[i];

		json_put_string(&o, a->key, a->value);
		if (str_eq(a->key, "io.kapsel.stop-signal") ||
			(stop == NULL && str_eq(a->key, "org.opencontainers.image.stopSignal")))
			stop = a->value;
	}
	json_end_object(&o);
	json_begin_array(&w);
	for (size_t i = 0; i < x->j.plan.nwarnings; i++)
		json_add_string(&w,
			i ? x->j.plan.warning->faults[i - 1].message : x->j.plan.warning->message);
	json_end_array(&w);
	wire_begin(&m, WIRE_PREPARED);
	put_process(x, &m);
	wire_bytes(&m, TAG_ANNOTATIONS, annotations.data, annotations.len);
	wire_bytes(&m, TAG_WARNINGS, warnings.data, warnings.len);
	wire_str(&m, TAG_STOP_SIGNAL, stop);
	written_root(x, &written);
	wire_str(&m, TAG_ROOTFS, buf_str(&written));
	wire_str(&m, TAG_DIGEST, x->j.digest);
	wire_u64(&m, TAG_FLAGS,
		(x->j.spec.process.terminal ? WIRE_TERMINAL : 0) |
			(x->j.spec.hooks.kind[OCI_HOOK_POSTSTOP].n ? WIRE_HAS_POSTSTOP : 0));
	if (wire_send(DAEMON, &m, deadline_in_ms(ANSWER_MS), e))
		return -1;
	if (wire_recv(DAEMON, &in, deadline_in_ms(ANSWER_MS), e) <= 0)
		return kerr_fail(e, KERR_WIRE, 0, "kapseld is gone");
	if (in.type != WIRE_GO)
		kerr_fail(e, KERR_WIRE, 0, "kapseld did not let it go on");
	wire_in_free(&in);
	return kerr_is_set(e) ? -1 : 0;
}

/* ---- orders
 * -----------------------------------------------------------------------------------------------------
 */

static struct container_order order_of(struct executor *x)
{
	struct container_order o = { .plan = &x->j.plan,
		.bundle = x->j.bundle_dir,
		.stock = &x->stock,
		.run_dir = x->j.run_dir,
		.cache = x->cache,
		.sibling = true,
		.parent_stays = true,
		.signals_default = true,
		.death_signal = true,
		.exec_target = -1,
		.born = on_born,
		.console = on_console,
		.state = executor_state,
		.arg = x };

	memcpy(o.stdio, x->stdio, sizeof o.stdio);
	return o;
}

static int read_override(struct executor *x, struct spec_override *o, struct kerr *e)
{
	o->cwd = wire_get_str(&x->order, TAG_CWD);
	o->user = wire_get_str(&x->order, TAG_USER);
	o->terminal = x->flags & WIRE_TERMINAL ? 1 : 0;
	return wire_get_list(&x->order, TAG_ARGS, &o->args, &o->nargs, e) ||
			       wire_get_list(&x->order, TAG_ENV, &o->env, &o->nenv, e)
		       ? -1
		       : 0;
}

/* The caller's fd says which directory it is; but one from another mount namespace cannot be copied
 * into ours. The same directory, reached by its path from here, can. */
static void reach_from_here(struct executor *x)
{
	struct stat theirs, ours;
	int fd;

	if (x->j.bundle == NULL || fd_stat(x->j.bundle_dir, &theirs, NULL))
		return;
	fd = path_host(AT_FDCWD, x->j.bundle, O_RDONLY | O_DIRECTORY, NULL);
	if (fd >= 0 && fd_stat(fd, &ours, NULL) == 0 && ours.st_dev == theirs.st_dev &&
		ours.st_ino == theirs.st_ino) {
		close(x->j.bundle_dir);
		x->j.bundle_dir = fd;
	} else {
		fd_closep(&fd);
	}
}

static int order_create(struct executor *x, struct kerr *e)
{
	struct spec_options so = { .strict = x->flags & WIRE_STRICT, .need_process = true };
	struct spec_override over = { 0 };
	struct plan_options po = { 0 };
	struct container_order o;
	struct container *c;
	int rc = -1;

	x->j.bundle_dir = wire_take_fd(&x->order, WIRE_FD_BUNDLE);
	x->j.run_dir = wire_take_fd(&x->order, WIRE_FD_RUN_DIR);
	x->j.id = wire_get_str(&x->order, TAG_ID);
	x->j.bundle = wire_get_str(&x->order, TAG_BUNDLE);
	if (x->j.bundle_dir < 0 || x->j.run_dir < 0 || x->j.id == NULL)
		return kerr_fail(e, KERR_WIRE, 0, "the order lacks its id or directories");
	reach_from_here(x);
	if (read_override(x, &over, e))
		return -1;
	po = (struct plan_options) { .id = x->j.id,
		.bundle = x->j.bundle,
		.cgroup_parent = wire_get_str(&x->order, TAG_CGROUP_PARENT),
		.wait_start = !(x->flags & WIRE_START_NOW),
		.volatile_root = x->flags & WIRE_VOLATILE,
		.volatile_bytes = wire_get_u64(&x->order, TAG_VOLATILE_BYTES, 64u << 20) };
	rc = job_read(&x->j, &so, &over, e) || job_plan(&x->j, &po, e) ||
			     make_stdio(x, &x->j.spec.process, e) || job_keep(&x->j, &over, e) ||
			     prepared(x, e)
		     ? -1
		     : 0;
	free(over.args);
	free(over.env);
	if (rc)
		return -1;
	o = order_of(x);
	c = container_create(&o, e);
	if (c == NULL)
		return -1;
	rc = 0;
	if (!po.wait_start && x->j.spec.hooks.kind[OCI_HOOK_POSTSTART].n) {
		CLEANUP_BUF struct buf state = BUF_INIT;

		state_json(&x->j, "running", x->j.pid, &state);
		rc = container_hooks(&x->j.spec, OCI_HOOK_POSTSTART, &state, e);
		if (rc) /* the specification: stop it */
			pidfd_signal(container_pidfd(c), SIGKILL, NULL);
	}
	if (rc == 0)
		rc = answer(x, po.wait_start ? WIRE_CREATED : WIRE_STARTED, container_pidfd(c), e);
	x->profile = container_new_filter(c, &x->filter);
	return rc;
}

static int load_container(struct executor *x, struct record *r, struct kerr *e)
{
	x->j.run_dir = wire_take_fd(&x->order, WIRE_FD_RUN_DIR);
	if (x->j.run_dir < 0)
		return kerr_fail(e, KERR_WIRE, 0, "the order lacks its directory");
	if (record_read(x->j.run_dir, r, e) || job_reload(&x->j, e))
		return -1;
	x->j.id = r->id;
	x->j.bundle = r->bundle;
	x->j.pid = r->pid;
	x->j.start_time = r->start_time;
	free(x->j.cgroup);
	x->j.cgroup = mem_strdup(r->cgroup);
	return 0;
}

static int order_start(struct executor *x, struct kerr *e)
{
	struct record r = { 0 };
	CLEANUP_BUF struct buf state = BUF_INIT;
	int rc = load_container(x, &r, e);

	if (rc == 0)
		rc = container_start(x->j.run_dir, deadline_in_ms(60000), e);
	if (rc == 0) {
		state_json(&x->j, "running", x->j.pid, &state);
		if (container_check_filter(x->j.pid, &x->j.spec, e) ||
			container_hooks(&x->j.spec, OCI_HOOK_POSTSTART, &state, e)) {
			CLEANUP_FD int init = pidfd_open_known(r.pid, r.start_time, NULL);

			if (init >= 0)
				pidfd_signal(init, SIGKILL, NULL);
			rc = -1;
		}
	}
	if (rc == 0)
		rc = answer(x, WIRE_STARTED, -1, e);
	record_free(&r);
	return rc;
}

static int order_poststop(struct executor *x, struct kerr *e)
{
	struct record r = { 0 };
	CLEANUP_BUF struct buf state = BUF_INIT;
	int rc = load_container(x, &r, e);

	if (rc == 0) {
		state_json(&x->j, "stopped", 0, &state);
		rc = container_hooks(&x->j.spec, OCI_HOOK_POSTSTOP, &state, e) ||
				     answer(x, WIRE_STARTED, -1, e)
			     ? -1
			     : 0;
	}
	record_free(&r);
	return rc;
}

/* Values of the environment, for an admin who asks. */
static int order_env(struct executor *x, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct wire_out m;

	x->j.run_dir = wire_take_fd(&x->order, WIRE_FD_RUN_DIR);
	if (x->j.run_dir < 0)
		return kerr_fail(e, KERR_WIRE, 0, "the order lacks its directory");
	if (job_reload(&x->j, e))
		return -1;
	json_begin_array(&o);
	for (size_t i = 0; i < x->j.spec.process.env.n; i++)
		json_add_string(&o, x->j.spec.process.env.v[i]);
	json_end_array(&o);
	if (b.len > ENV_BYTES)
		return kerr_fail(e, KERR_LIMIT, 0,
			"the environment has more than %d bytes: it is in the bundle", ENV_BYTES);
	wire_begin(&m, WIRE_ENV);
	wire_bytes(&m, TAG_ENV, b.data, b.len);
	return wire_send(DAEMON, &m, deadline_in_ms(ANSWER_MS), e);
}

static int read_process(struct executor *x, struct oci_process *p, struct kerr *e)
{
	CLEANUP_FD int memfd = wire_take_fd(&x->order, WIRE_FD_MEMFD);
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct oci_spec copy = x->j.spec;
	struct spec_override over = { 0 };
	const char *json = wire_get_str(&x->order, TAG_PROCESS);
	int rc;

	if (memfd >= 0) {
		if (lseek(memfd, 0, SEEK_SET) < 0 || fd_read_all(memfd, CONFIG_BYTES, &text, e))
			return -1;
		return spec_parse_process(x->j.a, buf_str(&text), text.len, p, e);
	}
	if (json)
		return spec_parse_process(x->j.a, json, strlen(json), p, e);
	/* The container's own process with other words, as people type it. */
	copy.process.terminal = false;
	rc = read_override(x, &over, e) || spec_override(x->j.a, &copy, &over, e) ? -1 : 0;
	*p = copy.process;
	free(over.args);
	free(over.env);
	return rc;
}

static int order_exec(struct executor *x, struct kerr *e)
{
	struct record r = { 0 };
	struct oci_process process;
	struct container_order o;
	struct container *c = NULL;
	CLEANUP_FD int target = -1;
	int rc = load_container(x, &r, e);

	x->exec = true;
	if (rc == 0 && (!r.runs || r.waits))
		rc = kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running");
	if (rc == 0 && read_process(x, &process, e) == 0 &&
		plan_exec(x->j.a, &x->j.spec, &process, &x->j.facts, NULL, &x->j.plan, e) == 0 &&
		make_stdio(x, &process, e) == 0) {
		target = pidfd_open_known(r.pid, r.start_time, e);
		o = order_of(x);
		o.exec_target = target;
		o.exec_cgroup = r.cgroup;
		o.run_dir = -1;
		c = target < 0 ? NULL : container_create(&o, e);
	}
	rc = c ? answer(x, WIRE_STARTED, container_pidfd(c), e) : -1;
	if (c)
		x->profile = container_new_filter(c, &x->filter);
	record_free(&r);
	return rc;
}

/* A pipe of ours is not to be inherited by number, and nothing of the pair's is to reach a
 * container. */
static void quiet(void)
{
	signal(SIGPIPE, SIG_IGN);
	fcntl(DAEMON, F_SETFD, FD_CLOEXEC);
	fcntl(MONITOR, F_SETFD, FD_CLOEXEC);
}

/* The very last thing, with nothing else in our hands: a disk that stands still holds up nobody,
 * and cannot be killed away. */
static void keep_filter(struct executor *x)
{
	if (x->profile == NULL || x->cache < 0 || dup3(x->cache, DAEMON, O_CLOEXEC) < 0)
		return;
	/* On memory of its own: an init that waits for our end may be on ours. */
	if (fork() != 0)
		return;
	sys_close_range(DAEMON + 1, ~0u, 0);
	for (int i = 0; i < DAEMON; i++)
		close(i);
	seccomp_keep(x->profile, DAEMON, &x->filter);
}

static int take_order(struct executor *x, struct kerr *e)
{
	x->cache = wire_take_fd(&x->order, WIRE_FD_CACHE);
	x->flags = wire_get_u64(&x->order, TAG_FLAGS, 0);
	if (x->cache < 0 && !(x->flags & WIRE_NO_CACHE))
		x->cache = seccomp_user_cache(); /* a kapseld for one call has none */
	switch (x->order.type) {
	case WIRE_CREATE:
		return order_create(x, e);
	case WIRE_START:
		return order_start(x, e);
	case WIRE_EXEC:
		return order_exec(x, e);
	case WIRE_POSTSTOP:
		return order_poststop(x, e);
	case WIRE_ENV:
		return order_env(x, e);
	default:
		return kerr_fail(e, KERR_WIRE, 0, "an order of type %d", x->order.type);
	}
}

int executor_serve(struct facts *facts, bool stock)
{
	/* Not on the stack: an init that waits to be started may be on this memory and outlive us.
	 */
	static struct executor x = {
		.stdio = { -1, -1, -1 }, .ours = { -1, -1, -1 }, .master = -1, .cache = -1
	};
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_out ready;
	int rc;

	umask(022); /* what a container begins with; files of ours say their modes */
	job_init(&x.j);
	x.j.facts = *facts;
	container_stock_up(&x.stock, stock);
	wire_begin(&ready, WIRE_READY);
	if (wire_send(DAEMON, &ready, deadline_in_ms(ANSWER_MS), &e))
		return 1;
	rc = wire_recv(DAEMON, &x.order, DEADLINE_NEVER, &e);
	if (rc < 0)
		return failed(&e);
	if (rc == 0)
		return 0; /* kapseld is gone, and nothing was begun */
	/* Nothing is freed: the process ends, and the kernel does it all at once. */
	rc = take_order(&x, &e) ? failed(&e) : 0;
	keep_filter(&x);
	return rc;
}

int executor_main(int argc, char **argv)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct facts facts;

	quiet();
	if (proc_root(&e) < 0 || facts_read(&facts, &e))
		return failed(&e);
	return executor_serve(&facts, argc > 1 && str_eq(argv[1], "--stock"));
}
