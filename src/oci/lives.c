/* SPDX-License-Identifier: Apache-2.0 */
/* A container's life: create, start, run, state, list, kill, delete. */
#include "command.h"
#include <poll.h>
#include <stdio.h>

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

/* RUNTIME-CONTRACT's console protocol: one message, one byte at least, one fd. */
int on_console(void *arg, int master, struct kerr *e)
{
	struct job *j = arg;
	CLEANUP_FD int fd = master;

	if (j->console_socket < 0)
		return kerr_fail(e, KERR_TERMINAL, 0, "a terminal needs --console-socket");
	return socket_send(j->console_socket, "/dev/ptmx", 9, &fd, 1, deadline_in_ms(5000), e) < 0
		       ? -1
		       : 0;
}

static int make_run_dir(struct job *j, const struct options *o, const char *id, struct kerr *e)
{
	CLEANUP_FD int root = -1;

	if (check_id(id, e))
		return -1;
	root = root_dir(o, true, e);
	if (root < 0)
		return -1;
	j->run_dir = path_own_mkdir(root, id, 0700, e);
	if (j->run_dir < 0 && e->code == KERR_ALREADY_EXISTS)
		return kerr_fail(e, KERR_ALREADY_EXISTS, 0, "container with id exists: %s", id);
	return j->run_dir < 0 ? -1 : 0;
}

static void remove_run_dir(const struct options *o, const char *id)
{
	CLEANUP_FD int root = root_dir(o, false, NULL);

	if (root >= 0)
		path_own_remove_tree(root, id, NULL);
}

static int prepare(struct job *j, struct options *o, const char *id, bool wait, struct kerr *e)
{
	struct spec_options so = { .need_process = !wait };
	struct plan_options po = { .id = id, .cgroup_parent = "/kapsel-oci", .wait_start = wait };

	if (o->systemd_cgroup)
		return kerr_fail(e, KERR_UNSUPPORTED, 0,
			"--systemd-cgroup is not carried out by this version");
	j->id = id;
	if (open_bundle(j, o->bundle ? o->bundle : ".", e) || facts_read(&j->facts, e) ||
		job_read(j, &so, NULL, e))
		return -1;
	po.bundle = j->bundle;
	if (job_plan(j, &po, e))
		return -1;
	if (j->spec.process.terminal && o->console_socket == NULL)
		return kerr_fail(e, KERR_TERMINAL, 0, "process.terminal needs --console-socket");
	if (o->console_socket && !wait && !o->detach)
		return kerr_fail(e, KERR_USAGE, 0, "--console-socket needs --detach");
	if (j->spec.process.terminal) {
		j->console_socket = path_connect_host(o->console_socket, SOCK_STREAM, e);
		if (j->console_socket < 0)
			return -1;
	} else if (o->console_socket) {
		return kerr_fail(e, KERR_USAGE, 0, "--console-socket needs process.terminal");
	}
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

	if (path_make(j->run_dir, "config.json", j->config.data, j->config.len, 0600, e))
		return NULL;
	c = container_create(&order, e);
	filter_keep(c, order.cache);
	if (c && o->pid_file && write_pid_file(o->pid_file, j->pid, e)) {
		delete_one(o, j->id, true, NULL); /* nobody would know of it */
		container_free(c);
		return NULL;
	}
	return c;
}

int cmd_create(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct container *c = NULL;
	static struct job j; /* init may be on this memory: nothing of it is freed */

	(void)argc;
	job_init(&j);
	if (prepare(&j, o, argv[0], true, e) == 0) {
		c = create(&j, o, true, e);
		if (c == NULL)
			remove_run_dir(o, argv[0]);
	}
	return c ? 0 : -1;
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
	CLEANUP_FD int dir = container_dir(o, id, e);
	struct record r;
	struct job j;
	int rc = -1;

	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	job_init(&j);
	if (!r.waits) {
		kerr_fail(e, KERR_WRONG_STATE, 0, "cannot start a container in the %s state",
			record_status(&r));
	} else if (container_start(dir, deadline_in_ms(60000), e) == 0) {
		j.id = r.id;
		j.bundle = r.bundle;
		j.pid = r.pid;
		rc = run_hooks(&j, dir, OCI_HOOK_POSTSTART, "running", e);
		if (rc)
			delete_one(o, id, true, NULL);
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

int pass_signals_until_end(struct container *c, struct kerr *e)
{
	sigset_t set;
	siginfo_t info;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		siginfo_t got;
		int sig = sigtimedwait(
			&set, &got, &(struct timespec) { .tv_sec = 0, .tv_nsec = 200000000 });

		if (pidfd_gone(container_pidfd(c)))
			break;
		if (sig > 0 && sig != SIGCHLD && sig != SIGPIPE)
			pidfd_signal(container_pidfd(c), sig, NULL);
	}
	if (pidfd_wait(container_pidfd(c), &info, false, e))
		return -1;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
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
	if (prepare(&j, o, argv[0], false, e) == 0) {
		c = create(&j, o, o->detach, e);
		if (c == NULL)
			remove_run_dir(o, argv[0]);
	}
	if (c) {
		CLEANUP_BUF struct buf state = BUF_INIT;

		state_json(&j, "running", j.pid, &state);
		rc = container_hooks(&j.spec, OCI_HOOK_POSTSTART, &state, e);
		if (rc == 0 && !o->detach)
			rc = pass_signals_until_end(c, e);
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

int cmd_state(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, argv[0], e);
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out out = JSON_OUT_PRETTY(&b);
	struct record r;

	(void)argc;
	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	json_begin_object(&out);
	json_put_string(&out, "ociVersion", KAPSEL_SPEC_MAX);
	json_put_string(&out, "id", r.id);
	json_put_i64(&out, "pid", r.runs ? r.pid : 0);
	json_put_string(&out, "status", record_status(&r));
	json_put_string(&out, "bundle", r.bundle);
	json_put_string(&out, "rootfs", json_get_string(r.root, "rootfs", ""));
	json_put_string(&out, "created", json_get_string(r.root, "created", ""));
	if (json_get(r.root, "annotations")) {
		json_key(&out, "annotations");
		json_add_value(&out, json_get(r.root, "annotations"));
	}
	json_put_string(&out, "owner", "");
	json_end_object(&out);
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
				json_begin_object(&out);
				json_put_string(&out, "id", r.id);
				json_put_i64(&out, "pid", r.runs ? r.pid : 0);
				json_put_string(&out, "status", record_status(&r));
				json_put_string(&out, "bundle", r.bundle);
				json_put_string(
					&out, "created", json_get_string(r.root, "created", ""));
				json_end_object(&out);
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

int cmd_kill(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, argv[0], e);
	int sig = argc > 1 ? signal_parse(argv[1]) : SIGTERM, rc = -1;
	struct record r;

	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	if (sig < 0) {
		kerr_fail(e, KERR_USAGE, 0, "'%s' is no signal", argv[1]);
	} else if (o->all) {
		struct cgroup *c = NULL;
		CLEANUP_FREE pid_t *pids = NULL;
		size_t n = 0;

		if (*r.cgroup == '\0' || cgroup_open(r.cgroup, &c, NULL) == 0) {
			if (c && sig == SIGKILL)
				cgroup_kill(c, deadline_in_ms(DELETE_MS), NULL);
			else if (c && cgroup_procs(c, &pids, &n, NULL) == 0)
				for (size_t i = 0; i < n; i++) {
					CLEANUP_FD int fd = pidfd_open_pid(pids[i], NULL);

					if (fd >= 0)
						pidfd_signal(fd, sig, NULL);
				}
			cgroup_free(c);
		}
		rc = 0;
	} else {
		CLEANUP_FD int pidfd = r.runs ? pidfd_open_known(r.pid, r.start_time, NULL) : -1;

		rc = pidfd < 0 ? -1 : pidfd_signal(pidfd, sig, NULL);
		if (rc)
			kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running");
	}
	record_free(&r);
	return rc;
}

static int end_container(const struct record *r, struct kerr *e)
{
	CLEANUP_FD int pidfd = r->runs ? pidfd_open_known(r->pid, r->start_time, NULL) : -1;
	struct cgroup *c = NULL;
	int rc = 0;

	if (pidfd >= 0)
		pidfd_signal(pidfd, SIGKILL, NULL);
	if (*r->cgroup && cgroup_open(r->cgroup, &c, NULL) == 0) {
		rc = cgroup_kill(c, deadline_in_ms(DELETE_MS), e) ||
				     cgroup_remove(c, deadline_in_ms(DELETE_MS), e)
			     ? -1
			     : 0;
		cgroup_free(c);
	}
	if (pidfd >= 0 && !poll_one(pidfd, POLLIN, deadline_in_ms(DELETE_MS)))
		return kerr_fail(e, KERR_TIMEOUT, 0, "waited for process %d to end", (int)r->pid);
	return rc;
}

static int delete_one(struct options *o, const char *id, bool force, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, id, e);
	struct record r;
	struct job j;
	int rc = 0;

	if (dir < 0) {
		if (force && e && e->code == KERR_NOT_FOUND) {
			kerr_clear(e);
			return 0;
		}
		return -1;
	}
	if (record_read(dir, &r, NULL)) { /* half made: there is nothing but the directory */
		record_free(&r);
		remove_run_dir(o, id);
		return 0;
	}
	if (r.runs && !r.waits && !force)
		rc = kerr_fail(e, KERR_WRONG_STATE, 0,
			"cannot delete container %s that is not stopped: %s", id,
			record_status(&r));
	else
		rc = end_container(&r, e);
	if (rc == 0) {
		CLEANUP_ERR struct kerr why = KERR_INIT;

		job_init(&j);
		j.id = r.id;
		j.bundle = r.bundle;
		if (run_hooks(&j, dir, OCI_HOOK_POSTSTOP, "stopped", &why))
			log_warning("%s: poststop hooks could not be run", id);
		job_free(&j);
		remove_run_dir(o, id);
	}
	record_free(&r);
	return rc;
}

int cmd_delete(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return delete_one(o, argv[0], o->force, e);
}
