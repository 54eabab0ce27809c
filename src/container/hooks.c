/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NO_TIMEOUT_MS = 3600 * 1000 }; /* nothing waits for ever */

static int stdin_of(const struct buf *state, struct kerr *e)
{
	CLEANUP_FD int fd = sys_memfd("state", 1 /* MFD_CLOEXEC */);

	if (fd < 0 || write(fd, buf_str(state), state->len) != (ssize_t)state->len ||
		lseek(fd, 0, SEEK_SET) < 0)
		return kerr_fail(e, KERR_HOOK, errno, "hand the state over");
	return fd_take(&fd);
}

static char **vector(const char *const *v, size_t n, const char *otherwise)
{
	char **out = mem_array(n + 2, sizeof *out);

	for (size_t i = 0; i < n; i++)
		out[i] = (char *)(uintptr_t)v[i];
	if (n == 0)
		out[0] = (char *)(uintptr_t)otherwise;
	return out;
}

static int judge(const struct oci_hook *h, const siginfo_t *info, struct kerr *e)
{
	if (info->si_code == CLD_EXITED && info->si_status == 0)
		return 0;
	if (info->si_code == CLD_EXITED)
		return kerr_fail(
			e, KERR_HOOK, 0, "%s ended with status %d", h->path, info->si_status);
	return kerr_fail(e, KERR_HOOK, 0, "%s was killed by signal %d", h->path, info->si_status);
}

uint64_t hook_ms(const struct oci_hook *h)
{
	return h->timeout.set ? (uint64_t)h->timeout.v * 1000 : NO_TIMEOUT_MS;
}

static int wait_hook(const struct oci_hook *h, int pidfd, pid_t pid, struct kerr *e)
{
	uint64_t ms = hook_ms(h);
	bool ended = poll_one(pidfd, 1 /* POLLIN */, deadline_in_ms(ms));
	siginfo_t info;

	/* Its whole group: the leader is not reaped yet, so the number is still its own. One that
	 * ended in time may leave something behind on purpose: it holds nothing of ours. */
	if (!ended)
		kill(-pid, SIGKILL);
	if (pidfd_wait(pidfd, &info, false, e))
		return -1;
	if (!ended)
		return kerr_fail(e, KERR_HOOK_TIMEOUT, 0, "%s did not end within %llu s", h->path,
			(unsigned long long)(ms / 1000));
	return judge(h, &info, e);
}

int run_hook(const struct oci_hook *h, const struct buf *state, struct kerr *e)
{
	CLEANUP_FD int in = stdin_of(state, e);
	CLEANUP_FREE char **argv = vector(h->args.v, h->args.n, h->path);
	CLEANUP_FREE char **envp = vector(h->env.v, h->env.n, NULL);
	int fds[3] = { in, -1, -1 };
	struct spawn s = { .path = h->path,
		.exe_fd = -1,
		.argv = argv,
		.envp = envp,
		.fds = fds,
		.nfds = 3,
		.cwd_fd = -1,
		.new_group = true };
	CLEANUP_FD int pidfd = -1;
	pid_t pid;

	if (in < 0)
		return -1;
	pidfd = spawn_run(&s, &pid, e);
	if (pidfd < 0) {
		e->code = KERR_HOOK;
		return -1;
	}
	return wait_hook(h, pidfd, pid, e);
}

int container_hooks(
	const struct oci_spec *s, enum oci_hook_kind kind, const struct buf *state, struct kerr *e)
{
	for (size_t i = 0; i < s->hooks.kind[kind].n; i++) {
		CLEANUP_ERR struct kerr why = KERR_INIT;
		CLEANUP_BUF struct buf text = BUF_INIT;

		if (run_hook(&s->hooks.kind[kind].v[i], state, &why) == 0)
			continue;
		kerr_step(&why, "hook %s[%zu]", oci_hook_name(kind), i);
		if (kind != OCI_HOOK_POSTSTOP) {
			kerr_move(e, &why);
			return -1;
		}
		kerr_line(&why, &text);
		log_warning("%s", buf_str(&text));
	}
	return 0;
}
