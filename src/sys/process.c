/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/sys.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int pidfd_open_pid(pid_t pid, struct kerr *e)
{
	int fd = sys_pidfd_open(pid, 0);

	if (fd < 0)
		return kerr_fail(e, errno == ESRCH ? KERR_NOT_RUNNING : KERR_INTERNAL, errno,
			"process %d", (int)pid);
	return fd;
}

/* Field 22 of stat(5): the second field is in parentheses and may hold anything. */
uint64_t process_start_time(pid_t pid)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	char name[32];
	const char *s;

	snprintf(name, sizeof name, "%d/stat", (int)pid);
	if (proc_read(name, 4096, &b, &e))
		return 0;
	s = strrchr(buf_str(&b), ')');
	for (int field = 2; s && field < 22; field++) {
		s = strchr(s, ' ');
		s = s ? s + 1 : NULL;
	}
	return s ? strtoull(s, NULL, 10) : 0;
}

int pidfd_open_known(pid_t pid, uint64_t start, struct kerr *e)
{
	CLEANUP_FD int fd = pidfd_open_pid(pid, e);

	if (fd < 0)
		return -1;
	/* Asked after the pidfd is held: then the number cannot change hands between the two. */
	if (process_start_time(pid) != start || pidfd_gone(fd))
		return kerr_fail(e, KERR_NOT_RUNNING, 0, "process %d is another one now", (int)pid);
	return fd_take(&fd);
}

int pidfd_signal(int pidfd, int sig, struct kerr *e)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0)
		return kerr_fail(e, errno == ESRCH ? KERR_NOT_RUNNING : KERR_INTERNAL, errno,
			"send signal %d", sig);
	return 0;
}

int pidfd_wait(int pidfd, siginfo_t *out, bool nohang, struct kerr *e)
{
	int rc;

	memset(out, 0, sizeof *out);
	do
		rc = waitid((idtype_t)P_PIDFD, (id_t)pidfd, out, WEXITED | (nohang ? WNOHANG : 0));
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? kerr_fail(e, KERR_INTERNAL, errno, "wait for a process") : 0;
}

bool pidfd_gone(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

void process_gives_way(void)
{
	const struct sched_param none = { .sched_priority = 0 };

	/* The calls themselves: a C library may not have them. */
	if (syscall(SYS_sched_getscheduler, 0) == SCHED_OTHER)
		syscall(SYS_sched_setscheduler, 0, SCHED_BATCH, &none);
}

int boot_id(char out[37], struct kerr *e)
{
	static char known[37]; /* it never changes under us */
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (*known == '\0') {
		if (proc_read("sys/kernel/random/boot_id", 64, &b, e))
			return -1;
		if (b.len < 36)
			return kerr_fail(e, KERR_INTERNAL, 0, "the boot id is cut");
		memcpy(known, b.data, 36);
	}
	memcpy(out, known, sizeof known);
	return 0;
}

/* ---- spawn
 * --------------------------------------------------------------------------------------- */

enum { CHILD_STACK = 64 * 1024, MOST_FDS = 64 };

struct child {
	const struct spawn *s;
	int fds[MOST_FDS]; /* moved out of the way of 0..nfds-1 */
	int error;	   /* shared memory: the child's errno */
	pid_t parent;
	sigset_t mask;
};

static int place_fds(struct child *c)
{
	int n = (int)c->s->nfds;

	for (int i = 0; i < n; i++)
		if (dup2(c->fds[i], i) < 0)
			return -1;
	return sys_close_range((unsigned)n, ~0u, 0);
}

static void default_signals(const sigset_t *mask)
{
	sys_signals_default();
	sigprocmask(SIG_SETMASK, mask, NULL);
}

/* Runs on the parent's memory until execve: touches nothing but its own stack and @c. */
static int child_main(void *arg)
{
	struct child *c = arg;
	const struct spawn *s = c->s;
	sigset_t none;
	int exe = s->exe_fd;

	sigemptyset(&none);
	default_signals(&none);
	if (s->new_session && setsid() < 0)
		goto failed;
	if (s->new_group && setpgid(0, 0) < 0)
		goto failed;
	if (s->death_signal &&
		(prctl(PR_SET_PDEATHSIG, s->death_signal) < 0 || getppid() != c->parent))
		goto failed;
	if (s->cwd_fd >= 0 && fchdir(s->cwd_fd) < 0)
		goto failed;
	if (exe < 0) {
		if (place_fds(c) < 0)
			goto failed;
		execve(s->path, s->argv, s->envp);
	} else {
		/* Kept open past close_range, one above the rest. */
		if (dup3(exe, MOST_FDS + 1, O_CLOEXEC) < 0 && exe != MOST_FDS + 1)
			goto failed;
		for (int i = 0; i < (int)s->nfds; i++)
			if (dup2(c->fds[i], i) < 0)
				goto failed;
		sys_close_range((unsigned)s->nfds, MOST_FDS, 0);
		sys_close_range(MOST_FDS + 2, ~0u, 0);
		syscall(SYS_execveat, MOST_FDS + 1, "", s->argv, s->envp,
			0x1000 /* AT_EMPTY_PATH */);
	}
failed:
	c->error = errno ? errno : ESRCH; /* the parent is gone, say */
	_exit(127);
}

/* Copies above MOST_FDS + 1, so that placing one does not overwrite another. */
static int gather_fds(struct child *c, struct kerr *e)
{
	static const int above = MOST_FDS + 2;

	for (size_t i = 0; i < c->s->nfds; i++) {
		int fd = c->s->fds[i];
		CLEANUP_FD int null = -1;

		if (fd < 0) {
			null = path_host(AT_FDCWD, "/dev/null", O_RDWR, e);
			if (null < 0)
				return -1;
			fd = null;
		}
		c->fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, above);
		if (c->fds[i] < 0)
			return kerr_fail(
				e, KERR_LIMIT, errno, "file descriptors for a new process");
	}
	return 0;
}

static void drop_fds(struct child *c)
{
	for (size_t i = 0; i < c->s->nfds; i++)
		fd_closep(&c->fds[i]);
}

static int clone_child(struct child *c, pid_t *pid, struct kerr *e)
{
	CLEANUP_FREE char *stack = mem_zalloc(CHILD_STACK);
	sigset_t all;
	int pidfd = -1;

	/* No handler of ours may run on the shared memory. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &c->mask);
	*pid = clone(child_main, stack + CHILD_STACK,
		CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c, &pidfd);
	sigprocmask(SIG_SETMASK, &c->mask, NULL);
	return *pid < 0 ? kerr_fail(e, KERR_LIMIT, errno, "start %s", c->s->argv[0]) : pidfd;
}

int spawn_run(const struct spawn *s, pid_t *pid, struct kerr *e)
{
	struct child c = { .s = s, .parent = getpid() };
	pid_t number;
	int pidfd = -1;

	if (s->nfds > MOST_FDS)
		return kerr_fail(e, KERR_LIMIT, 0, "more than %d fds for %s", MOST_FDS, s->argv[0]);
	for (size_t i = 0; i < s->nfds; i++)
		c.fds[i] = -1;
	if (gather_fds(&c, e) == 0)
		pidfd = clone_child(&c, &number, e);
	drop_fds(&c);
	if (pidfd >= 0 && c.error) {
		siginfo_t info;

		pidfd_wait(pidfd, &info, false, NULL);
		close(pidfd);
		return kerr_fail(
			e, KERR_EXEC_FAILED, c.error, "start %s", s->path ? s->path : s->argv[0]);
	}
	if (pidfd >= 0 && pid)
		*pid = number;
	return pidfd;
}
