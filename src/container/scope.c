/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd cgroup manager. A scope is there for as long as a process is in it, and init is to be
 * born in its cgroup, with its limits set: so a process of our own holds the scope until then. On
 * v2 init is cloned into it, on v1 it joins; systemd moves nobody but the holder.
 */
#include "private.h"
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { SYSTEMD_MS = 25000 };

/* Nothing of it is seen by anybody: no fd, no signal; and it ends with us. */
static void hold(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
	sys_close_range(0, ~0u, 0);
	for (;;)
		pause();
}

static pid_t start_holder(struct container *c, struct kerr *e)
{
	struct clone_args a = { .flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&c->holder,
		.exit_signal = SIGCHLD };
	pid_t parent = getpid();
	long pid = sys_clone3(&a, sizeof a);

	if (pid == 0)
		hold(parent);
	return pid < 0 ? kerr_fail(e, KERR_PROCESS_SETUP, errno, "start who holds the scope")
		       : (pid_t)pid;
}

void end_holder(struct container *c)
{
	siginfo_t info;

	if (c->holder < 0)
		return;
	pidfd_signal(c->holder, SIGKILL, NULL);
	pidfd_wait(c->holder, &info, false, NULL);
	fd_closep(&c->holder);
}

void stop_scope(struct container *c)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;

	if (c->scope && systemd_stop_scope(
				c->scope->unit, c->scope->user, deadline_in_ms(SYSTEMD_MS), &why))
		log_warning("%s: %s", c->scope->unit, why.message);
	c->scope = NULL;
}

/* Where systemd has put it: its own tree may not begin at the root. proc(5): "ID:CONTROLLERS:PATH"
 */
static char *path_of(pid_t pid, const char *unit)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_FREE char *end = mem_printf("/%s", unit);
	char name[32], *save = NULL;

	snprintf(name, sizeof name, "%d/cgroup", (int)pid);
	if (proc_read(name, 65536, &b, NULL))
		return NULL;
	for (char *s = strtok_r(b.data, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(s, ':'), *path = list ? strchr(list + 1, ':') : NULL;

		if (path && str_ends(path, end) &&
			(str_starts(list, "::") || str_starts(list, ":name=systemd:")))
			return mem_strdup(path + 1);
	}
	return NULL;
}

int scope_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	const struct systemd_scope *s = &op->u.scope;
	CLEANUP_FREE char *path = NULL;
	pid_t pid = start_holder(c, e);

	(void)i;
	/* Of a scope that was not started, systemd has nothing left once the holder is gone. */
	if (pid < 0 || systemd_start_scope(s, pid, deadline_in_ms(SYSTEMD_MS), e))
		return -1;
	c->scope = s;
	path = path_of(pid, s->unit);
	if (path == NULL)
		return kerr_fail(
			e, KERR_SYSTEMD, 0, "systemd has not moved a process into %s", s->unit);
	if (cgroup_adopt(path, pid, &c->cgroup, e))
		return -1;
	note_cgroup(c);
	return 0;
}

int settle_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	const struct systemd_scope *s = &op->u.scope;

	(void)i;
	end_holder(c);
	return systemd_set_properties(s->unit, s->user, s->v, s->n, deadline_in_ms(SYSTEMD_MS), e);
}
