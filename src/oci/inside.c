/* SPDX-License-Identifier: Apache-2.0 */
/* Into a container that runs: exec, ps, pause, resume. */
#include "command.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { DELETE_MS = 10000, PS_BYTES = 16 << 20 };

/* ---- into a container that runs
 * ----------------------------------------------------------------------------------------- */

static int add_groups(struct job *j, const struct options *o, struct oci_process *p, struct kerr *e)
{
	size_t n = p->user.groups.n;
	uint32_t *all = arena_array(j->a, n + o->groups.n + 1, sizeof *all);

	if (n)
		memcpy(all, p->user.groups.v, n * sizeof *all);
	for (size_t i = 0; i < o->groups.n; i++) {
		uint64_t gid;

		if (str_to_u64(o->groups.v[i], &gid) || gid >= UINT32_MAX)
			return kerr_fail(e, KERR_USAGE, 0, "--additional-gids: '%.60s' is no group",
				o->groups.v[i]);
		all[n++] = (uint32_t)gid;
	}
	p->user.groups.v = all;
	p->user.groups.n = n;
	return 0;
}

static unsigned capability_by_name(const char *name)
{
	CLEANUP_FREE char *whole =
		mem_printf("%s%s", strncasecmp(name, "cap_", 4) == 0 ? "" : "CAP_", name);
	unsigned n = 0;

	while (n < OCI_CAPABILITIES && strcasecmp(oci_capability_name(n), whole) != 0)
		n++;
	return n;
}

/* For who is not root only ambient ones outlast execve, and those must be inheritable. */
static int add_capabilities(
	struct job *j, const struct options *o, struct oci_process *p, struct kerr *e)
{
	struct oci_capabilities *c = arena_alloc(j->a, sizeof *c);

	if (o->caps.n == 0)
		return 0;
	if (p->capabilities)
		*c = *p->capabilities;
	for (size_t i = 0; i < o->caps.n; i++) {
		unsigned n = capability_by_name(o->caps.v[i]);

		if (n == OCI_CAPABILITIES)
			return kerr_fail(e, KERR_USAGE, 0, "--cap: there is no capability '%.60s'",
				o->caps.v[i]);
		for (int set = 0; set < OCI_CAP_SETS; set++)
			if (p->user.uid || (set != OCI_CAP_AMBIENT && set != OCI_CAP_INHERITABLE))
				c->set[set] |= 1ull << n;
	}
	p->capabilities = c;
	return 0;
}

/* Through the same table as a configuration's, which says what is carried out. */
static int add_labels(struct job *j, const struct options *o, struct oci_process *p, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out out = JSON_OUT(&b);
	struct oci_process labels;

	if (o->apparmor == NULL && o->process_label == NULL)
		return 0;
	json_begin_object(&out);
	json_put_string(&out, "cwd", "/");
	json_key(&out, "args");
	json_begin_array(&out);
	json_add_string(&out, "label");
	json_end_array(&out);
	json_put_string(&out, "apparmorProfile", o->apparmor);
	json_put_string(&out, "selinuxLabel", o->process_label);
	json_end_object(&out);
	if (spec_parse_process(j->a, buf_str(&b), b.len, &labels, e))
		return kerr_step(e, "%s", o->apparmor ? "--apparmor" : "--process-label");
	p->apparmor = o->apparmor ? labels.apparmor : p->apparmor;
	p->selinux = o->process_label ? labels.selinux : p->selinux;
	return 0;
}

/* Which cgroup below the container's; "" is that itself. */
static char *sub_cgroup(const struct options *o, struct kerr *e)
{
	const char *sub = o->cgroups.n ? o->cgroups.v[0] : "";
	size_t n;

	if (o->cgroups.n > 1 || strchr(sub, ':'))
		return kerr_fail(e, KERR_UNSUPPORTED, 0,
			       "--cgroup is carried out for all controllers together"),
		       NULL;
	sub += strspn(sub, "/");
	n = strlen(sub);
	while (n && sub[n - 1] == '/')
		n--;
	return mem_strndup(sub, n);
}

/* What is to be joined, as cgroup_save() has it; it must be there in every hierarchy. */
static char *cgroup_below(const struct record *r, const char *sub, struct kerr *e)
{
	size_t path = strcspn(r->cgroup, "\n"), n = 0;
	CLEANUP_FREE char *text = NULL;
	struct cgroup *whole = NULL, *part = NULL;
	bool there;

	if (*sub == '\0' || *r->cgroup == '\0')
		return mem_strdup(r->cgroup);
	text = mem_printf("%.*s/%s%s", (int)path, r->cgroup, sub, r->cgroup + path);
	if (cgroup_open(text, &part, e) || cgroup_open(r->cgroup, &whole, e)) {
		cgroup_free(part);
		return kerr_step(e, "--cgroup %s", sub), NULL;
	}
	while (cgroup_dir(whole, n) >= 0)
		n++;
	there = n == 0 || cgroup_dir(part, n - 1) >= 0;
	cgroup_free(part);
	cgroup_free(whole);
	if (there)
		return mem_strdup(text);
	return kerr_fail(e, KERR_CGROUP, 0,
		       "--cgroup %s: there is no such cgroup in the container's", sub),
	       NULL;
}

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

/* What the command line says of rights and labels, on top of a process that was read. */
static int exec_flags(struct job *j, const struct options *o, struct oci_process *p, struct kerr *e)
{
	if (o->no_new_privs)
		p->no_new_privileges = true;
	return add_groups(j, o, p, e) || add_capabilities(j, o, p, e) || add_labels(j, o, p, e) ? -1
												: 0;
}

static int exec_into(struct job *j, struct options *o, const char *cgroup, const char *sub,
	int target, struct kerr *e)
{
	struct container_order order = { .plan = &j->plan,
		.bundle = -1,
		.run_dir = -1,
		.stdio = { 0, 1, 2 },
		.preserve = (unsigned)o->preserve,
		.cache = seccomp_user_cache(),
		.sibling = o->detach,
		.exec_target = target,
		.exec_cgroup = cgroup,
		.exec_sub_cgroup = sub,
		.born = on_exec_born,
		.console = on_console,
		.state = job_state,
		.arg = j };
	struct container *c = container_create(&order, e);
	int rc = 0;

	filter_keep(c, order.cache);
	if (c == NULL)
		return -1;
	if (send_pidfd(j, "setns", container_pidfd(c), e) ||
		(o->pid_file && write_pid_file(o->pid_file, j->pid, e))) {
		pidfd_signal(container_pidfd(c), SIGKILL, NULL);
		rc = -1;
	}
	if (rc == 0 && !o->detach)
		rc = pass_on_until_end(j, c, e);
	container_free(c);
	return rc;
}

static int exec_one(struct job *j, struct options *o, const struct record *r, char **argv, int argc,
	struct kerr *e)
{
	CLEANUP_FREE char *sub = sub_cgroup(o, e);
	CLEANUP_FREE char *cgroup = NULL;
	CLEANUP_FD int target = -1;
	struct oci_process process;

	if (sub == NULL)
		return -1;
	if (!r->runs || r->waits)
		return kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running: it is %s",
			record_status(r));
	if (r->paused && !o->ignore_paused)
		return kerr_fail(e, KERR_WRONG_STATE, 0, "cannot exec in a paused container");
	if (facts_read(&j->facts, e) || job_reload(j, e) ||
		exec_process(j, o, argc, argv, &process, e) || exec_flags(j, o, &process, e) ||
		connect_sockets(j, o, process.terminal, o->detach, e))
		return -1;
	pass_listen_fds(j, o, &process);
	cgroup = cgroup_below(r, sub, e);
	if (cgroup == NULL || plan_exec(j->a, &j->spec, &process, &j->facts, NULL, &j->plan, e))
		return -1;
	target = pidfd_open_known(r->pid, r->start_time, e);
	return target < 0 ? -1 : exec_into(j, o, cgroup, sub, target, e);
}

int cmd_exec(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct record r;
	CLEANUP_FD int dir = container_open(o, argv[0], &r, e);
	struct job j;
	sigset_t child;
	int rc = -1;

	if (dir >= 0) {
		sigemptyset(&child);
		sigaddset(&child, SIGCHLD);
		sigprocmask(SIG_BLOCK, &child, NULL);
		job_init(&j);
		j.id = r.id;
		j.bundle = r.bundle;
		j.run_dir = fd_take(&dir);
		rc = exec_one(&j, o, &r, argv + 1, argc - 1, e);
		job_free(&j);
		record_free(&r);
	}
	if (rc < 0)
		remove_pid_file(o);
	return rc;
}

static int compare_pids(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void ps_json(const pid_t *pids, size_t n)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out out = JSON_OUT(&b);

	json_begin_array(&out);
	for (size_t i = 0; i < n; i++)
		json_add_i64(&out, pids[i]);
	json_end_array(&out);
	buf_addc(&b, '\n');
	print(&b);
}

/* The word of a line that stands in this column. */
static const char *column(const char *line, size_t nth)
{
	line += strspn(line, " ");
	for (; nth; nth--) {
		line += strcspn(line, " \n");
		line += strspn(line, " ");
	}
	return line;
}

/* ps(1)'s heading, and of its lines those of the container's processes. */
static int filter_ps(const char *text, const pid_t *pids, size_t n, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	size_t heading = strcspn(text, "\n"), nth = 0;

	while (column(text, nth) < text + heading && strncmp(column(text, nth), "PID", 3) != 0)
		nth++;
	if (column(text, nth) >= text + heading)
		return kerr_fail(e, KERR_USAGE, 0, "ps prints no column PID");
	for (const char *s = text; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		pid_t pid = (pid_t)strtol(column(s, nth), NULL, 10);

		if (s == text || (n && bsearch(&pid, pids, n, sizeof *pids, compare_pids)))
			buf_add(&b, s, strcspn(s, "\n") + 1);
	}
	print(&b);
	return 0;
}

static int ps_table(char **words, int nwords, const pid_t *pids, size_t n, struct kerr *e)
{
	CLEANUP_FREE char **argv = mem_array((size_t)nwords + 3, sizeof *argv);
	CLEANUP_BUF struct buf text = BUF_INIT;
	CLEANUP_FD int pidfd = -1;
	int to[2], fds[3];
	struct spawn s = { .path = "/bin/ps",
		.exe_fd = -1,
		.argv = argv,
		.envp = environ,
		.fds = fds,
		.nfds = 3,
		.cwd_fd = -1 };
	siginfo_t info;
	pid_t pid;

	argv[0] = (char *)(uintptr_t) "ps";
	argv[1] = (char *)(uintptr_t) "-ef";
	for (int i = 0; i < nwords; i++)
		argv[i + 1] = words[i];
	if (pipe2(to, O_CLOEXEC) < 0)
		return kerr_fail(e, KERR_PROCESS_SETUP, errno, "pipe");
	fds[0] = -1;
	fds[1] = to[1];
	fds[2] = STDERR_FILENO;
	pidfd = spawn_run(&s, &pid, e);
	close(to[1]);
	if (pidfd >= 0)
		fd_read_all(to[0], PS_BYTES, &text, e);
	close(to[0]);
	if (pidfd < 0 || pidfd_wait(pidfd, &info, false, e))
		return kerr_step(e, "ps");
	if (info.si_code != CLD_EXITED || info.si_status)
		return kerr_fail(e, KERR_USAGE, 0, "ps ended with status %d", info.si_status);
	return filter_ps(buf_str(&text), pids, n, e);
}

int cmd_ps(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct record r;
	CLEANUP_FD int dir = container_open(o, argv[0], &r, e);
	CLEANUP_FREE pid_t *pids = NULL;
	struct cgroup *c = NULL;
	size_t n = 0;

	if (dir < 0)
		return -1;
	if (r.runs && *r.cgroup && cgroup_open(r.cgroup, &c, NULL) == 0 &&
		cgroup_procs(c, &pids, &n, NULL))
		n = 0;
	cgroup_free(c);
	record_free(&r);
	if (n)
		qsort(pids, n, sizeof *pids, compare_pids);
	if (!str_eq(o->format, "json"))
		return ps_table(argv + 1, argc - 1, pids, n, e);
	ps_json(pids, n);
	return 0;
}

static int freeze(struct options *o, const char *id, bool frozen, struct kerr *e)
{
	struct record r;
	CLEANUP_FD int dir = container_open(o, id, &r, e);
	struct cgroup *c = NULL;
	int rc;

	if (dir < 0)
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
