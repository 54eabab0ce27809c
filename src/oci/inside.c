/* SPDX-License-Identifier: Apache-2.0 */
/* Into a container that runs: exec, ps, pause, resume. */
#include "command.h"
#include <stdlib.h>
#include <string.h>

enum { DELETE_MS = 10000 };

/* ---- into a container that runs
 * ----------------------------------------------------------------------------------------- */

static int exec_process(struct job *j, struct options *o, int argc, char **argv,
	struct oci_process *p, struct kerr *e)
{
	struct oci_spec copy = j->spec;
	struct spec_override over = { .args = argv,
		.nargs = (size_t)argc,
		.env = o->env.v,
		.nenv = o->env.n,
		.cwd = o->cwd,
		.user = o->user,
		.terminal = o->tty ? 1 : -1 };

	if (o->process && argc)
		return kerr_fail(e, KERR_USAGE, 0, "--process and words of a command");
	if (o->process)
		return read_process(j, o->process, p, e);
	if (argc == 0)
		return kerr_fail(e, KERR_USAGE, 0, "exec needs a command or --process");
	if (spec_override(j->a, &copy, &over, e))
		return -1;
	*p = copy.process;
	return 0;
}

/* Unlike a container's init this one has no record. */
static int on_exec_born(void *arg, const struct container_born *b, struct kerr *e)
{
	struct job *j = arg;

	(void)e;
	j->pid = b->pid;
	j->start_time = b->start_time;
	return 0;
}

static int exec_console(struct job *j, const struct options *o, bool terminal, struct kerr *e)
{
	if (terminal != (o->console_socket != NULL))
		return kerr_fail(e, KERR_TERMINAL, 0,
			terminal ? "a terminal needs --console-socket"
				 : "--console-socket needs a terminal");
	if (!terminal)
		return 0;
	if (!o->detach)
		return kerr_fail(e, KERR_USAGE, 0, "--console-socket needs --detach");
	j->console_socket = path_connect_host(o->console_socket, SOCK_STREAM, e);
	return j->console_socket < 0 ? -1 : 0;
}

static int exec_into(
	struct job *j, struct options *o, const struct record *r, int target, struct kerr *e)
{
	struct container_order order = { .plan = &j->plan,
		.bundle = -1,
		.run_dir = -1,
		.stdio = { 0, 1, 2 },
		.preserve = (unsigned)o->preserve,
		.cache = seccomp_user_cache(),
		.sibling = o->detach,
		.exec_target = target,
		.exec_cgroup = r->cgroup,
		.born = on_exec_born,
		.console = on_console,
		.state = job_state,
		.arg = j };
	struct container *c = container_create(&order, e);
	int rc = 0;

	filter_keep(c, order.cache);
	if (c == NULL)
		return -1;
	if (o->pid_file && write_pid_file(o->pid_file, j->pid, e)) {
		pidfd_signal(container_pidfd(c), SIGKILL, NULL);
		rc = -1;
	}
	if (rc == 0 && !o->detach)
		rc = pass_signals_until_end(c, e);
	container_free(c);
	return rc;
}

int cmd_exec(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, argv[0], e);
	CLEANUP_FD int target = -1;
	struct oci_process process;
	struct record r;
	struct job j;
	sigset_t child;
	int rc = -1;

	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	job_init(&j);
	j.id = r.id;
	j.bundle = r.bundle;
	j.run_dir = fd_take(&dir);
	if (!r.runs || r.waits)
		kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running: it is %s",
			record_status(&r));
	else if (r.paused)
		kerr_fail(e, KERR_WRONG_STATE, 0, "cannot exec in a paused container");
	else if (facts_read(&j.facts, e) == 0 && job_reload(&j, e) == 0 &&
		 exec_process(&j, o, argc - 1, argv + 1, &process, e) == 0 &&
		 exec_console(&j, o, process.terminal, e) == 0 &&
		 plan_exec(j.a, &j.spec, &process, &j.facts, NULL, &j.plan, e) == 0 &&
		 (target = pidfd_open_known(r.pid, r.start_time, e)) >= 0)
		rc = exec_into(&j, o, &r, target, e);
	job_free(&j);
	record_free(&r);
	return rc;
}

static int compare_pids(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int cmd_ps(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, argv[0], e);
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_FREE pid_t *pids = NULL;
	struct json_out out = JSON_OUT(&b);
	struct cgroup *c = NULL;
	struct record r;
	size_t n = 0;

	(void)argc;
	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	if (r.runs && cgroup_open(r.cgroup, &c, NULL) == 0 && cgroup_procs(c, &pids, &n, NULL))
		n = 0;
	cgroup_free(c);
	record_free(&r);
	if (n)
		qsort(pids, n, sizeof *pids, compare_pids);
	if (str_eq(o->format, "json")) {
		json_begin_array(&out);
		for (size_t i = 0; i < n; i++)
			json_add_i64(&out, pids[i]);
		json_end_array(&out);
		buf_addc(&b, '\n');
	} else {
		buf_adds(&b, "     PID COMMAND\n");
		for (size_t i = 0; i < n; i++) {
			CLEANUP_FREE char *name = mem_printf("%d/comm", (int)pids[i]);
			CLEANUP_BUF struct buf comm = BUF_INIT;

			if (proc_read(name, 64, &comm, NULL) || comm.len == 0)
				continue; /* it has ended meanwhile */
			buf_addf(&b, "%8d ", (int)pids[i]);
			buf_add_escaped(&b, comm.data, strcspn(comm.data, "\n"));
			buf_addc(&b, '\n');
		}
	}
	print(&b);
	return 0;
}

static int freeze(struct options *o, const char *id, bool frozen, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, id, e);
	struct cgroup *c = NULL;
	struct record r;
	int rc;

	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	if (!r.runs || r.waits)
		rc = kerr_fail(e, KERR_WRONG_STATE, 0, "container not running: it is %s",
			record_status(&r));
	else
		rc = cgroup_open(r.cgroup, &c, e)
			     ? -1
			     : cgroup_freeze(c, frozen, deadline_in_ms(DELETE_MS), e);
	cgroup_free(c);
	record_free(&r);
	return rc;
}

int cmd_pause(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return freeze(o, argv[0], true, e);
}

int cmd_resume(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return freeze(o, argv[0], false, e);
}
