/* SPDX-License-Identifier: Apache-2.0 */
/* A container's life: create, start, run, state, list, kill, delete. */
#include "command.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PARENT "/kapsel-oci" /* of cgroups whose path is not given */
enum { DELETE_MS = 10000 };

/* ---- containers
 * ----------------------------------------------------------------------------------------------------
 */

static int on_born(void *arg, const struct container_born *b, struct kerr *e)
{
	struct job *j = arg;

	j->pid = b->pid;
	j->start_time = b->start_time;
	j->cgroup = mem_strdup(b->cgroup);
	j->created = clock_wall_ns();
	return record_write(j, e);
}

static int make_run_dir(struct job *j, const struct options *o, const char *id, struct kerr *e)
{
	CLEANUP_FD int root = -1;

	root = root_dir(o, true, e);
	if (root < 0)
		return -1;
	j->run_dir = path_own_mkdir(root, id, 0700, e);
	if (j->run_dir < 0 && e->code == KERR_ALREADY_EXISTS)
		return kerr_fail(e, KERR_ALREADY_EXISTS, 0, "container with id exists: %s", id);
	return j->run_dir < 0 ? -1 : lock_dir(j->run_dir, id, e);
}

static void remove_run_dir(const struct options *o, const char *id)
{
	CLEANUP_FD int root = root_dir(o, false, NULL);

	if (root >= 0)
		path_own_remove_tree(root, id, NULL);
}

/* --debug */
static void say_passed_over(const struct plan *p)
{
	for (size_t i = 0; i < p->nwarnings; i++) {
		const struct kerr *w = i ? &p->warning->faults[i - 1] : p->warning;

		log_info("%s: %s", w->pointer ? w->pointer : "", w->message);
	}
}

static int prepare(struct job *j, struct options *o, const char *id, bool wait, struct kerr *e)
{
	struct spec_options so = { .need_process = !wait };
	struct plan_options po = { .id = id,
		.cgroup_parent = PARENT,
		.systemd_cgroup = uses_systemd(o),
		.wait_start = wait };

	j->id = id;
	if (check_id(id, e) || open_bundle(j, o->bundle ? o->bundle : ".", e) ||
		facts_read(&j->facts, e) || job_read(j, &so, NULL, e))
		return -1;
	po.bundle = j->bundle;
	pass_listen_fds(j, o, &j->spec.process);
	notify_plan(j, o, id);
	if (str_eq(o->cgroup_manager, "disabled"))
		j->facts.cgroup_writable = false;
	if (job_plan(j, &po, e))
		return -1;
	say_passed_over(&j->plan);
	if (connect_sockets(j, o, j->spec.process.terminal, wait || o->detach, e))
		return -1;
	return make_run_dir(j, o, id, e);
}

static int delete_one(struct options *o, const char *id, bool force, struct kerr *e);

static struct container *create(struct job *j, struct options *o, bool sibling, struct kerr *e)
{
	struct container_order order = { .plan = &j->plan,
		.bundle = j->bundle_dir,
		.run_dir = j->run_dir,
		.stdio = { 0, 1, 2 },
		.preserve = (unsigned)o->preserve,
		.cache = seccomp_user_cache(),
		.sibling = sibling,
		.stays = !sibling,
		.exec_target = -1,
		.born = on_born,
		.console = on_console,
		.state = job_state,
		.arg = j };
	struct container *c;

	if (path_make(j->run_dir, "config.json", j->config.data, j->config.len, 0600, e) ||
		notify_make(j, e))
		return NULL;
	if (!j->plan.options.wait_start)
		j->notify = j->notifies ? notify_listen(j->run_dir) : -1;
	c = container_create(&order, e);
	filter_keep(c, order.cache);
	if (c && (send_pidfd(j, "standard", container_pidfd(c), e) ||
			 (o->pid_file && write_pid_file(o->pid_file, j->pid, e)))) {
		unlock_dir(j->run_dir);
		delete_one(o, j->id, true, NULL); /* nobody would know of it */
		container_free(c);
		return NULL;
	}
	return c;
}

/* From nothing to a container, or back to nothing; the pid file of one that is there stays. */
static struct container *make(
	struct job *j, struct options *o, const char *id, bool wait, struct kerr *e)
{
	struct container *c = NULL;

	if (prepare(j, o, id, wait, e) == 0) {
		c = create(j, o, wait || o->detach, e);
		if (c == NULL)
			remove_run_dir(o, id);
	}
	if (c == NULL && e->code != KERR_ALREADY_EXISTS)
		remove_pid_file(o);
	return c;
}

int cmd_create(struct options *o, int argc, char **argv, struct kerr *e)
{
	static struct job j; /* init may be on this memory: nothing of it is freed */

	(void)argc;
	job_init(&j);
	return make(&j, o, argv[0], true, e) ? 0 : -1;
}

static int run_hooks(
	struct job *j, int run_dir, enum oci_hook_kind kind, const char *status, struct kerr *e)
{
	CLEANUP_BUF struct buf state = BUF_INIT;

	j->run_dir = fcntl(run_dir, F_DUPFD_CLOEXEC, 3);
	if (job_reload(j, e) ||
		(kind == OCI_HOOK_POSTSTART && container_check_filter(j->pid, &j->spec, e)))
		return -1;
	state_json(j, status, j->pid, &state);
	return container_hooks(&j->spec, kind, &state, e);
}

static int start_one(struct options *o, const char *id, struct kerr *e)
{
	struct record r;
	CLEANUP_FD int dir = container_lock(o, id, &r, e);
	CLEANUP_FD int init = -1;
	struct job j;
	int rc = -1;

	if (dir < 0)
		return -1;
	job_init(&j);
	j.notify = r.waits ? notify_listen(dir) : -1;
	if (!r.waits) {
		kerr_fail(e, KERR_WRONG_STATE, 0, "cannot start a container in the %s state",
			record_status(&r));
	} else if (r.empty) {
		kerr_fail(e, KERR_CONFIG_REQUIRED, 0, "the configuration has no process to start");
	} else if (container_start(dir, deadline_in_ms(60000), e) == 0) {
		j.id = r.id;
		j.bundle = r.bundle;
		j.pid = r.pid;
		unlock_dir(dir); /* a hook may use us */
		rc = run_hooks(&j, dir, OCI_HOOK_POSTSTART, "running", e);
		if (rc)
			delete_one(o, id, true, NULL);
		else if (j.notify >= 0 && (init = pidfd_open_known(r.pid, r.start_time, NULL)) >= 0)
			notify_wait(&j.notify, r.pid, init);
	}
	job_free(&j);
	record_free(&r);
	return rc;
}

int cmd_start(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return start_one(o, argv[0], e);
}

int cmd_run(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct container *c = NULL;
	struct job j;
	int rc = -1;
	sigset_t child;

	(void)argc;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	job_init(&j);
	c = make(&j, o, argv[0], false, e);
	if (c) {
		CLEANUP_BUF struct buf state = BUF_INIT;

		unlock_dir(j.run_dir);
		state_json(&j, "running", j.pid, &state);
		rc = container_hooks(&j.spec, OCI_HOOK_POSTSTART, &state, e);
		if (rc == 0 && o->detach)
			notify_wait(&j.notify, j.pid, container_pidfd(c));
		if (rc == 0 && !o->detach)
			rc = pass_on_until_end(&j, c, e);
		if (rc < 0 || (!o->detach && !o->keep)) {
			struct kerr why = KERR_INIT;

			delete_one(o, argv[0], true, &why);
			kerr_clear(&why);
		}
	}
	container_free(c);
	job_free(&j);
	return rc;
}

static void put_state(struct json_out *out, const struct record *r)
{
	json_begin_object(out);
	json_put_string(out, "ociVersion", KAPSEL_SPEC_MAX);
	json_put_string(out, "id", r->id);
	json_put_i64(out, "pid", r->runs ? r->pid : 0);
	json_put_string(out, "status", record_status(r));
	json_put_string(out, "bundle", r->bundle);
	json_put_string(out, "rootfs", json_get_string(r->root, "rootfs", ""));
	json_put_string(out, "created", json_get_string(r->root, "created", ""));
	if (json_get(r->root, "annotations")) {
		json_key(out, "annotations");
		json_add_value(out, json_get(r->root, "annotations"));
	}
	json_put_string(out, "owner", "");
	json_end_object(out);
}

int cmd_state(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct record r;
	CLEANUP_FD int dir = container_open(o, argv[0], &r, e);
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out out = JSON_OUT_PRETTY(&b);

	(void)argc;
	if (dir < 0)
		return -1;
	put_state(&out, &r);
	buf_addc(&b, '\n');
	print(&b);
	record_free(&r);
	return 0;
}

int cmd_list(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int root = root_dir(o, false, NULL);
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out out = JSON_OUT(&b);
	struct path_names names = { NULL, 0 };
	bool json = o->json || str_eq(o->format, "json");

	(void)argc;
	(void)argv;
	if (root >= 0 && path_names(root, 1 << 20, &names, e))
		return -1;
	json_begin_array(&out);
	for (size_t i = 0; i < names.n; i++) {
		CLEANUP_FD int dir = path_own(root, names.v[i], O_RDONLY | O_DIRECTORY, 0, NULL);
		struct record r;

		if (dir < 0)
			continue;
		if (record_read(dir, &r, NULL) == 0) {
			if (json) {
				put_state(&out, &r);
			} else if (o->quiet) {
				printf("%s\n", r.id);
			} else {
				printf("%-24s %-8d %-9s %s\n", r.id, r.runs ? (int)r.pid : 0,
					record_status(&r), r.bundle);
			}
		}
		record_free(&r);
	}
	json_end_array(&out);
	if (json) {
		buf_addc(&b, '\n');
		print(&b);
	}
	path_names_free(&names);
	return 0;
}

/* KILL to all of them, or the signal to each; that nobody is there is no fault. */
static void signal_all(const struct record *r, int sig)
{
	CLEANUP_FREE pid_t *pids = NULL;
	struct cgroup *c = NULL;
	size_t n = 0;

	if (*r->cgroup == '\0' || cgroup_open(r->cgroup, &c, NULL))
		return;
	if (sig == SIGKILL)
		cgroup_kill(c, deadline_in_ms(DELETE_MS), NULL);
	else
		cgroup_procs(c, &pids, &n, NULL);
	for (size_t i = 0; i < n; i++) {
		CLEANUP_FD int fd = pidfd_open_pid(pids[i], NULL);

		if (fd >= 0)
			pidfd_signal(fd, sig, NULL);
	}
	cgroup_free(c);
}

/* v1: what is frozen does not die. */
static void thaw(const struct record *r)
{
	struct cgroup *c = NULL;

	if (r->paused && cgroup_open(r->cgroup, &c, NULL) == 0)
		cgroup_freeze(c, false, deadline_in_ms(DELETE_MS), NULL);
	cgroup_free(c);
}

static int signal_init(const struct record *r, int sig, struct kerr *e)
{
	CLEANUP_FD int pidfd = r->runs ? pidfd_open_known(r->pid, r->start_time, NULL) : -1;

	if (pidfd < 0 || pidfd_signal(pidfd, sig, NULL))
		return kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running");
	if (sig != SIGKILL)
		return 0;
	/* Without a pid namespace of its own the others do not go with it. */
	if (r->shares_pids)
		signal_all(r, sig);
	else
		thaw(r);
	return 0;
}

int cmd_kill(struct options *o, int argc, char **argv, struct kerr *e)
{
	int sig = argc < 2		 ? SIGTERM
		  : str_eq(argv[1], "0") ? 0 /* is it there? */
					 : signal_parse(argv[1]),
	    rc = 0;
	struct record r;
	CLEANUP_FD int dir = container_open(o, argv[0], &r, e);

	if (dir < 0)
		return -1;
	if (sig < 0)
		rc = kerr_fail(e, KERR_USAGE, 0, "'%s' is no signal", argv[1]);
	else if (o->all)
		signal_all(&r, sig);
	else
		rc = signal_init(&r, sig, e);
	record_free(&r);
	return rc;
}

/* Nobody is in it any more: if systemd does not hear us, it ends the scope by itself. */
static void stop_scope(const struct record *r)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;

	if (*r->scope &&
		systemd_stop_scope(r->scope, r->user_scope, deadline_in_ms(DELETE_MS), &why))
		log_warning("%s: %s", r->scope, why.message);
}

static int end_container(const struct record *r, struct kerr *e)
{
	CLEANUP_FD int pidfd = r->runs ? pidfd_open_known(r->pid, r->start_time, NULL) : -1;
	struct cgroup *c = NULL;
	int rc = 0;

	if (pidfd >= 0)
		pidfd_signal(pidfd, SIGKILL, NULL);
	if (*r->cgroup && cgroup_open(r->cgroup, &c, NULL) == 0) {
		rc = cgroup_kill(c, deadline_in_ms(DELETE_MS), e);
		if (rc == 0)
			stop_scope(r);
		if (rc == 0)
			rc = cgroup_remove(c, deadline_in_ms(DELETE_MS), e);
		cgroup_free(c);
	}
	if (pidfd >= 0 && !poll_one(pidfd, POLLIN, deadline_in_ms(DELETE_MS)))
		return kerr_fail(e, KERR_TIMEOUT, 0, "waited for process %d to end", (int)r->pid);
	return rc;
}

/* A create that was killed: its record was not written yet. Its cgroup is where its configuration
 * says; who is in there is not for us to kill: init ends by itself, it has nobody to wait for. */
static void remove_half_made(struct options *o, const char *id, int dir)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	struct plan_options po = { .id = id, .cgroup_parent = PARENT, .wait_start = true };
	struct cgroup *c = NULL;
	deadline d = deadline_in_ms(DELETE_MS);
	struct job j;

	job_init(&j);
	j.run_dir = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	if (job_reload(&j, &why) == 0 && facts_read(&j.facts, &why) == 0 &&
		job_plan(&j, &po, &why) == 0 && j.plan.op[0].kind == OP_CGROUP_MAKE) {
		const char *path = j.plan.op[0].target;
		CLEANUP_FREE char *up = mem_strndup(path, (size_t)(strrchr(path, '/') - path));

		while (cgroup_make(path, *up ? up : NULL, &c, &why) &&
			why.code == KERR_CGROUP_BUSY && !deadline_passed(d)) {
			kerr_clear(&why);
			poll_one(-1, 0, deadline_in_ms(10));
		}
		if (c == NULL || cgroup_remove(c, d, &why))
			log_warning("cgroup %s of %s stays: %s", path, id, why.message);
		cgroup_free(c);
	}
	job_free(&j);
	remove_run_dir(o, id);
}

static int delete_locked(
	struct options *o, const char *id, int dir, bool force, struct record *r, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	struct job j;

	if (r->runs && !r->waits && !force)
		return kerr_fail(e, KERR_WRONG_STATE, 0,
			"cannot delete container %s that is not stopped: %s", id, record_status(r));
	if (end_container(r, e))
		return -1;
	job_init(&j);
	j.id = r->id;
	j.bundle = r->bundle;
	if (run_hooks(&j, dir, OCI_HOOK_POSTSTOP, "stopped", &why))
		log_warning("%s: poststop hooks could not be run", id);
	job_free(&j);
	remove_run_dir(o, id);
	return 0;
}

/* A create or a start that is under way holds the lock, and ends when its init does. */
static void end_what_goes_on(int dir)
{
	struct record r;

	if (record_read(dir, &r, NULL) == 0)
		signal_init(&r, SIGKILL, NULL);
	record_free(&r);
}

static int delete_one(struct options *o, const char *id, bool force, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int dir = container_dir(o, id, &why);
	struct record r;
	int rc = dir < 0 ? -1 : 0;

	if (rc == 0 && force)
		end_what_goes_on(dir);
	if (rc == 0)
		rc = lock_dir(dir, id, &why);
	if (rc) {
		if (force && why.code == KERR_NOT_FOUND)
			return 0;
		if (e) {
			*e = why;
			why = (struct kerr)KERR_INIT;
		}
		return -1;
	}
	if (record_read(dir, &r, NULL))
		remove_half_made(o, id, dir);
	else
		rc = delete_locked(o, id, dir, force, &r, e);
	record_free(&r);
	return rc;
}

int cmd_delete(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return delete_one(o, argv[0], o->force, e);
}
