/* SPDX-License-Identifier: Apache-2.0 */
/* plant kinds: the kinds of operations that a plan may have.
 * plant BUNDLE-DIRECTORY CGROUP RUN-DIRECTORY [KIND | exec]: for each kind of operation of its
 * plan, one planted failure (the error names it, nothing is left) and one planted wrong effect (it
 * is not done, and the start is refused). Built by tests/system/plant.sh with -DKAPSEL_PLANT; needs
 * root. */
#include <errno.h>
#include <kapsel/container.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef KAPSEL_PLANT
#error "build with -DKAPSEL_PLANT"
#endif

static int bundle, run_dir, bad, target = -1;
static const char *target_cgroup;

static int on_born(void *arg, const struct container_born *b, struct kerr *e)
{
	(void)arg;
	(void)b;
	(void)e;
	return 0;
}

static int on_console(void *arg, int master, struct kerr *e)
{
	(void)e;
	*(int *)arg = master;
	return 0;
}

static void on_state(void *arg, const char *status, pid_t pid, struct buf *out)
{
	(void)arg;
	(void)pid;
	buf_addf(out, "{\"ociVersion\":\"1.3.0\",\"id\":\"plant\",\"status\":\"%s\"}", status);
}

static void verdict(bool good, const char *mode, const char *kind, const char *text)
{
	printf("%s - %s %s%s%s\n", good ? "ok" : "NOT OK", mode, kind, *text ? ": " : "", text);
	fflush(stdout);
	bad += !good;
}

/* What a failed create must not leave: a process, a socket; cgroups and mounts the script counts.
 */
static const char *left_behind(void)
{
	CLEANUP_FD int sock = path_own(run_dir, "start.sock", O_PATH, 0, NULL);

	if (sock >= 0)
		return "start.sock is left";
	if (target >= 0 ? waitpid(-1, NULL, WNOHANG) != 0
			: waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		return "a process is left";
	return NULL;
}

static bool in_plan(const struct plan *p, enum op_kind k)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->op[i].kind == k)
			return true;
	return false;
}

static void try_here(struct plan *p, enum op_kind k, bool wrong, bool wait)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf line = BUF_INIT;
	int master = -1;
	const char *name = op_kind_name(k), *left;
	struct container_order o = { .plan = p,
		.bundle = bundle,
		.run_dir = run_dir,
		.stdio = { -1, -1, -1 },
		.cache = -1,
		.exec_target = target,
		.exec_cgroup = target_cgroup,
		.stays = wait,
		.born = on_born,
		.console = on_console,
		.state = on_state,
		.arg = &master,
		.fail_kind = wrong ? -1 : (int)k,
		.wrong_kind = wrong ? (int)k : -1 };
	struct container *c;
	bool refused;

	p->options.wait_start = wait;
	c = container_create(&o, &e);
	refused = c == NULL;
	if (c && wait && container_start(run_dir, deadline_in_ms(10000), &e) < 0)
		refused = true;
	if (c && !refused && container_check_filter(container_pid(c), p->spec, &e))
		refused = true;
	kerr_line(&e, &line);
	if (c) {
		siginfo_t info;
		struct cgroup *cg = NULL;

		pidfd_signal(container_pidfd(c), SIGKILL, NULL);
		pidfd_wait(container_pidfd(c), &info, false, NULL);
		if (target < 0 && cgroup_open(container_cgroup(c), &cg, NULL) == 0) {
			cgroup_kill(cg, deadline_in_ms(5000), NULL);
			cgroup_remove(cg, deadline_in_ms(5000), NULL);
			cgroup_free(cg);
		}
		container_free(c);
	}
	fd_closep(&master);
	left = left_behind();
	if (left)
		verdict(false, wrong ? "wrong" : "fails", name, left);
	else if (!refused)
		verdict(false, wrong ? "wrong" : "fails", name, "it was started");
	else if (wrong)
		verdict(true, "wrong", name, buf_str(&line));
	else
		verdict(strstr(buf_str(&line), name) != NULL, "fails", name, buf_str(&line));
}

/* Each in a process of its own: what one has done to it (its score, say) is not the next one's. */
static void try(struct plan *p, enum op_kind k, bool wrong, bool wait)
{
	int status = 1;
	pid_t pid = target < 0 ? fork() : 0; /* an exec's target is a child of ours */

	if (pid == 0) {
		try_here(p, k, wrong, wait);
		if (target < 0)
			_exit(bad);
		return;
	}
	waitpid(pid, &status, 0);
	bad += status != 0;
}

static void try_all(struct plan *p, struct plan *waiting, const char *only)
{
	for (int k = 0; k < OP_COUNT; k++) {
		bool wait = waiting && (k == OP_WAIT_START || k == OP_SECCOMP);
		struct plan *which = wait ? waiting : p;

		if (!in_plan(which, (enum op_kind)k) ||
			(only && strncmp(only, op_kind_name((enum op_kind)k), strlen(only)) != 0))
			continue;
		try(which, (enum op_kind)k, false, wait);
		try(which, (enum op_kind)k, true, wait);
	}
}

static void run_probe(struct plan *p, struct kerr *e)
{
	CLEANUP_FD int master = -1;
	struct container_order o = { .plan = p,
		.bundle = bundle,
		.run_dir = -1,
		.stdio = { -1, 1, 2 },
		.cache = -1,
		.exec_target = target,
		.exec_cgroup = target_cgroup,
		.console = on_console,
		.state = on_state,
		.arg = &master,
		.fail_kind = -1,
		.wrong_kind = -1 };
	struct container *c = container_create(&o, e);
	siginfo_t info = { 0 };

	if (c)
		pidfd_wait(container_pidfd(c), &info, false, NULL);
	verdict(c && info.si_status == 0, "exec", "probe", "");
	container_free(c);
}

/* The same for an exec, into a container of the plan that is left to run meanwhile. */
static int try_exec(struct arena *a, struct plan *p, const struct oci_spec *spec,
	const struct facts *facts, struct kerr *e)
{
	static const char *const args[] = { "/bin/sh", "-c", "exec sleep 20" };
	CLEANUP_FD int master = -1;
	const char *const look[] = { "/bin/sh", "-c", "test $(id -u) = $0",
		arena_printf(a, "%llu", (unsigned long long)spec->process.user.uid) };
	struct container_order o = { .plan = p,
		.bundle = bundle,
		.run_dir = -1,
		.stdio = { -1, -1, -1 },
		.cache = -1,
		.exec_target = -1,
		.stays = true,
		.console = on_console,
		.state = on_state,
		.arg = &master,
		.fail_kind = -1,
		.wrong_kind = -1 };
	struct container *c = container_create(&o, e);
	struct oci_process process = spec->process;
	struct plan into;
	siginfo_t info;
	struct cgroup *cg = NULL;

	if (c == NULL)
		return -1;
	target = container_pidfd(c);
	target_cgroup = container_cgroup(c);
	process.args.v = (void *)(uintptr_t)look;
	process.args.n = ARRAY_LEN(look);
	if (plan_exec(a, spec, &process, facts, &p->options, &into, e) == 0)
		run_probe(&into, e);
	process.args.v = (void *)(uintptr_t)args;
	process.args.n = ARRAY_LEN(args);
	if (plan_exec(a, spec, &process, facts, &p->options, &into, e) == 0)
		try_all(&into, NULL, NULL);
	pidfd_signal(target, SIGKILL, NULL);
	pidfd_wait(target, &info, false, NULL);
	if (cgroup_open(target_cgroup, &cg, NULL) == 0) {
		cgroup_kill(cg, deadline_in_ms(5000), NULL);
		cgroup_remove(cg, deadline_in_ms(5000), NULL);
		cgroup_free(cg);
	}
	container_free(c);
	return kerr_is_set(e) ? -1 : 0;
}

static int complain(const struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	kerr_text(e, &b);
	fprintf(stderr, "%s", buf_str(&b));
	return 1;
}

int main(int argc, char **argv)
{
	struct arena *a = arena_new();
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct kerr e = KERR_INIT;
	struct spec_options so = { false, false };
	struct plan_options po = { .id = "plant" };
	struct oci_spec spec;
	struct facts facts;
	struct plan p, waiting;

	if (argc == 2 && strcmp(argv[1], "kinds") == 0) {
		for (int k = 0; k < OP_COUNT; k++)
			puts(op_kind_name((enum op_kind)k));
		return 0;
	}
	if (argc < 4)
		return 2;
	po.cgroup_parent = argv[2];
	bundle = path_host_dir(AT_FDCWD, argv[1], &e);
	run_dir = path_own_mkdirs(AT_FDCWD, argv[3], 0700, &e);
	if (bundle < 0 || run_dir < 0 || path_read(bundle, "config.json", 4 << 20, &text, &e) ||
		facts_read(&facts, &e) ||
		spec_parse(a, text.data, text.len, &so, &spec, NULL, &e) ||
		plan_build(a, &spec, &facts, &po, &p, &e))
		return complain(&e);
	po.wait_start = true;
	if (plan_build(a, &spec, &facts, &po, &waiting, &e))
		return 1;
	if (argc > 4 && strcmp(argv[4], "exec") == 0) {
		if (try_exec(a, &p, &spec, &facts, &e))
			return complain(&e);
	} else {
		try_all(&p, &waiting, argc > 4 ? argv[4] : NULL);
	}
	arena_free(a);
	return bad != 0;
}
