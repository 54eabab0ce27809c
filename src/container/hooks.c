/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

enum { MOST_CHILDREN = 64, ROUNDS = 200 };

/* Our children, which nobody reaps but we: the numbers are theirs as long as we hold still. */
static size_t children(pid_t out[static MOST_CHILDREN])
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	size_t n = 0;

	if (proc_read("thread-self/children", 65536, &b, NULL))
		return 0; /* a kernel that does not tell */
	for (const char *s = buf_str(&b); *s && n < MOST_CHILDREN; s += strspn(s, " \n")) {
		char *end;
		long pid = strtol(s, &end, 10);

		if (end == s)
			break;
		out[n++] = (pid_t)pid;
		s = end;
	}
	return n;
}

static bool is_among(pid_t pid, const pid_t *v, size_t n)
{
	while (n > 0 && v[n - 1] != pid)
		n--;
	return n > 0;
}

/* What has left the group becomes ours as its parents die, generation after generation. */
static void kill_orphans(const pid_t *before, size_t n)
{
	pid_t now[MOST_CHILDREN];

	for (int round = 0; round < ROUNDS; round++) {
		size_t m = children(now), killed = 0;

		for (size_t i = 0; i < m; i++) {
			CLEANUP_FD int pidfd =
				is_among(now[i], before, n) ? -1 : pidfd_open_pid(now[i], NULL);
			siginfo_t info;

			if (pidfd < 0)
				continue;
			pidfd_signal(pidfd, SIGKILL, NULL);
			if (!poll_one(pidfd, 1 /* POLLIN */, deadline_in_ms(1000)))
				return;
			pidfd_wait(pidfd, &info, true, NULL);
			killed++;
		}
		if (killed == 0)
			return;
	}
}

struct family {
	pid_t before[MOST_CHILDREN];
	size_t n;
	int reaper; /* were we one? */
};

static int wait_hook(
	const struct oci_hook *h, int pidfd, pid_t pid, const struct family *f, struct kerr *e)
{
	uint64_t ms = hook_ms(h);
	bool ended = poll_one(pidfd, 1 /* POLLIN */, deadline_in_ms(ms));
	siginfo_t info;

	/* Its whole group: the leader is not reaped yet, so the number is still its own. One that
	 * ended in time may leave something behind on purpose: it holds nothing of ours. */
	if (!ended) {
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		kill(-pid, SIGKILL);
	}
	if (pidfd_wait(pidfd, &info, false, e))
		return -1;
	if (!ended)
		kill_orphans(f->before, f->n);
	if (!ended)
		return kerr_fail(e, KERR_HOOK_TIMEOUT, 0, "%s did not end within %llu s", h->path,
			(unsigned long long)(ms / 1000));
	return judge(h, &info, e);
}

int run_hook(const struct oci_hook *h, const struct buf *state, bool orphans, struct kerr *e)
{
	CLEANUP_FD int in = stdin_of(state, e);
	CLEANUP_FD int top = path_host_dir(AT_FDCWD, "/", e);
	CLEANUP_FREE char **argv = vector(h->args.v, h->args.n, h->path);
	CLEANUP_FREE char **envp = vector(h->env.v, h->env.n, NULL);
	int fds[3] = { in, -1, -1 };
	struct spawn s = { .path = h->path,
		.exe_fd = -1,
		.argv = argv,
		.envp = envp,
		.fds = fds,
		.nfds = 3,
		.cwd_fd = top,
		.new_group = true };
	CLEANUP_FD int pidfd = -1;
	struct family f = { .reaper = 0 };
	pid_t pid;
	int rc;

	if (in < 0 || top < 0)
		return -1;
	f.n = children(f.before);
	prctl(PR_GET_CHILD_SUBREAPER, &f.reaper);
	if (orphans)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	pidfd = spawn_run(&s, &pid, e);
	rc = pidfd < 0 ? -1 : wait_hook(h, pidfd, pid, &f, e);
	prctl(PR_SET_CHILD_SUBREAPER, f.reaper);
	if (pidfd < 0)
		e->code = KERR_HOOK;
	return rc;
}

int container_hooks(
	const struct oci_spec *s, enum oci_hook_kind kind, const struct buf *state, struct kerr *e)
{
	for (size_t i = 0; i < s->hooks.kind[kind].n; i++) {
		CLEANUP_ERR struct kerr why = KERR_INIT;
		CLEANUP_BUF struct buf text = BUF_INIT;

		if (run_hook(&s->hooks.kind[kind].v[i], state, true, &why) == 0)
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
