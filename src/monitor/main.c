/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kapsel-monitor --pool EXECUTOR [flags for it]
 * kapsel-monitor --paired
 *
 * Fd 3 is the socket to kapseld, fd 4 the one between kapseld and the executor, which is started
 * first: what it inherits of us (rights, limits, score) must be kapseld's, not the monitor's.
 * Or the executor is our child already: then fd 4 is the socket to it, and fd 5 its pidfd.
 */
#include "private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { DAEMON_FD = 3, EXECUTOR_DAEMON_FD = 4, PAIRED_FD = 4, PAIRED_PIDFD = 5, MOST_FLAGS = 32 };

static int complain(const struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	buf_adds(&b, "kapsel-monitor: ");
	kerr_line(e, &b);
	buf_addc(&b, '\n');
	return write(STDERR_FILENO, b.data, b.len) < 0 ? 2 : 1;
}

static int start_executor(char **args, int between, struct kerr *e)
{
	char *argv[MOST_FLAGS] = { args[0], (char *)(uintptr_t) "--executor" };
	int fds[] = { -1, -1, STDERR_FILENO, EXECUTOR_DAEMON_FD, between };
	CLEANUP_FD int program = path_host(AT_FDCWD, args[0], O_PATH, e);
	/* What it would else make for itself, and execute itself once more. */
	CLEANUP_FD int copy = program < 0 ? -1 : sys_read_only_copy(program, NULL);
	/* With us dies an executor that has no container yet; init has a death signal of its own.
	 */
	struct spawn s = { .path = args[0],
		.exe_fd = copy,
		.argv = argv,
		.envp = environ,
		.fds = fds,
		.nfds = ARRAY_LEN(fds),
		.cwd_fd = -1 };
	pid_t pid;

	if (program < 0)
		return -1;
	for (int i = 1; args[i]; i++) {
		if (i + 2 == MOST_FLAGS)
			return kerr_fail(e, KERR_USAGE, 0, "more than %d flags", MOST_FLAGS - 3);
		argv[i + 1] = args[i];
	}
	return spawn_run(&s, &pid, e);
}

/* SIGTERM at shutdown is for the container, and comes by kapseld; a monitor goes last. */
static void set_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXFSZ };
	sigset_t set;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

/* Without it the kernel would take the parent of a container before the container. */
static void set_oom_score(void)
{
	static const char score[] = "-999";
	CLEANUP_FD int fd = path_host(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, NULL);

	if (fd >= 0 && write(fd, score, sizeof score - 1) < 0)
		return; /* not permitted: then it is as it was */
}

static void set_stdio(void)
{
	CLEANUP_FD int null = path_host(AT_FDCWD, "/dev/null", O_RDWR, NULL);

	for (int i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
}

static void settle_down(void)
{
	CLEANUP_FD int root = -1;

	setsid(); /* EPERM: we lead one already */
	prctl(PR_SET_NAME, "kapsel-monitor");
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	root = path_host_dir(AT_FDCWD, "/", NULL);
	if (root >= 0 && fchdir(root) < 0)
		return; /* it keeps a file system busy: a nuisance, no fault */
}

/* Return: the executor's pidfd, and the socket to it. */
static int find_executor(int argc, char **argv, int *socket, struct kerr *e)
{
	int between[2], executor;

	if (argc == 2 && strcmp(argv[1], "--paired") == 0) {
		fcntl(PAIRED_FD, F_SETFD, FD_CLOEXEC);
		fcntl(PAIRED_PIDFD, F_SETFD, FD_CLOEXEC);
		*socket = PAIRED_FD;
		return PAIRED_PIDFD;
	}
	if (argc < 3 || strcmp(argv[1], "--pool") != 0)
		return kerr_fail(e, KERR_USAGE, 0,
			"kapseld starts this program: --pool EXECUTOR [FLAG...], or --paired");
	fcntl(EXECUTOR_DAEMON_FD, F_SETFD, FD_CLOEXEC);
	if (socket_pair(SOCK_SEQPACKET, between, e))
		return -1;
	executor = start_executor(argv + 2, between[1], e);
	close(between[1]);
	close(EXECUTOR_DAEMON_FD);
	*socket = between[0];
	return executor;
}

int main(int argc, char **argv)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct monitor *m;
	int executor, socket = -1;

	fcntl(DAEMON_FD, F_SETFD, FD_CLOEXEC);
	set_signals();
	settle_down();
	executor = find_executor(argc, argv, &socket, &e);
	if (executor < 0)
		return complain(&e);
	umask(077);
	process_gives_way(); /* after the executor, whose child the program is */
	set_oom_score();
	rights_least();
	if (monitor_new(&m, DAEMON_FD, socket, executor, &e))
		return complain(&e);
	set_stdio();
	monitor_run(m);
	/* The end of this socket says that all is gone: said before the kernel tears us down. And
	 * no further clean-up: a thread that a dead disk holds would make it wait. */
	close(DAEMON_FD);
	_exit(0);
}
