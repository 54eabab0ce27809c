/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <errno.h>
#include <kapsel/sys.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOON = 10000 };
static char *const no_env[] = { NULL };

/* Runs @script by sh with its output in @out; returns its exit status, or -1. */
static int sh(const char *script, struct spawn s, struct buf *out)
{
	char *const argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };
	int tube[2];
	int fds[] = { -1, -1, -1 };
	siginfo_t info;
	pid_t pid = 0;

	assert_int_equal(pipe2(tube, O_CLOEXEC), 0);
	fds[1] = tube[1];
	s.argv = argv;
	s.envp = no_env;
	s.fds = fds;
	s.nfds = 3;
	CLEANUP_FD int pidfd = spawn_run(&s, &pid, NULL);

	close(tube[1]);
	assert_true(pidfd >= 0);
	assert_true(pid > 0);
	assert_int_equal(fd_read_all(tube[0], 65536, out, NULL), 0);
	close(tube[0]);
	assert_true(poll_one(pidfd, 1, deadline_in_ms(SOON)));
	assert_true(pidfd_gone(pidfd));
	assert_int_equal(pidfd_wait(pidfd, &info, false, NULL), 0);
	return info.si_code == CLD_EXITED ? info.si_status : -1;
}

static const struct spawn by_path = { .path = "/bin/sh", .exe_fd = -1, .cwd_fd = -1 };

static void a_program_gets_the_fds_it_is_given_and_no_other(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_FD int leak = open("/etc/passwd", O_RDONLY); /* not CLOEXEC on purpose */
	CLEANUP_FD int high = fcntl(leak, F_DUPFD, 200);
	struct spawn by_fd = by_path;

	by_fd.path = NULL;
	by_fd.exe_fd = open("/bin/sh", O_PATH | O_CLOEXEC);
	assert_int_equal(sh("cd /proc/$$/fd; for n in 0 1 2 3 4 5 6 65 200; do test ! -e $n || "
			    "echo $n; done; readlink 0; exit 7",
				 by_path, &b),
		7);
	assert_string_equal(buf_str(&b), "0\n1\n2\n/dev/null\n");
	buf_reset(&b);
	assert_int_equal(
		sh("for f in /proc/$$/fd/*; do readlink $f; done | grep -c passwd", by_fd, &b), 1);
	assert_string_equal(buf_str(&b), "0\n");
	close(by_fd.exe_fd);
}

static void a_program_starts_with_no_signal_ignored_or_blocked(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const unsigned long ignore[4] = { 1 };
	sigset_t set, old;

	signal(SIGHUP, SIG_IGN);
	syscall(SYS_rt_sigaction, 32, ignore, NULL,
		8); /* libc's own, as a Go or Node parent leaves it */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	assert_int_equal(sh("grep -E '^Sig(Blk|Ign)' /proc/self/status", by_path, &b), 0);
	assert_string_equal(buf_str(&b), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	/* Ours are as before. */
	sigprocmask(SIG_SETMASK, &old, &set);
	assert_true(sigismember(&set, SIGTERM));
	assert_ptr_equal(signal(SIGHUP, SIG_DFL), SIG_IGN);
}

static void a_program_starts_where_it_shall(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct spawn s = by_path;

	s.cwd_fd = open("/usr/bin", O_PATH | O_DIRECTORY | O_CLOEXEC);
	s.new_session = true;
	assert_int_equal(sh("pwd -P; test $(cut -d' ' -f6 /proc/$$/stat) = $$", s, &b), 0);
	assert_string_equal(buf_str(&b), "/usr/bin\n");
	close(s.cwd_fd);
}

static void a_program_that_is_not_there_is_an_error_and_leaves_no_child(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	char *const argv[] = { "nothing", NULL };
	struct spawn s = {
		.path = "/nowhere/nothing", .exe_fd = -1, .cwd_fd = -1, .argv = argv, .envp = no_env
	};

	assert_int_equal(spawn_run(&s, NULL, &e), -1);
	assert_int_equal(e.code, KERR_EXEC_FAILED);
	assert_int_equal(e.sys, ENOENT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
		for (;;)
			pause();
	}
	return pid;
}

static void a_process_is_known_by_its_start(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	pid_t pid = sleeper();
	uint64_t start = process_start_time(pid);
	CLEANUP_FD int fd = pidfd_open_known(pid, start, NULL);
	siginfo_t info;

	assert_true(start > 0);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pidfd_open_known(pid, start + 1, &e), -1);
	assert_int_equal(e.code, KERR_NOT_RUNNING);
	assert_false(pidfd_gone(fd));
	assert_int_equal(pidfd_wait(fd, &info, true, NULL), 0);
	assert_int_equal(info.si_pid, 0);
	assert_int_equal(pidfd_signal(fd, SIGKILL, NULL), 0);
	assert_true(poll_one(fd, 1, deadline_in_ms(SOON)));
	/* Ended and not yet reaped: no longer known, though the number is still its own. */
	kerr_clear(&e);
	assert_int_equal(pidfd_open_known(pid, start, &e), -1);
	assert_int_equal(pidfd_wait(fd, &info, false, NULL), 0);
	assert_int_equal(info.si_pid, pid);
	assert_int_equal(info.si_status, SIGKILL);
	kerr_clear(&e);
	assert_int_equal(pidfd_signal(fd, SIGTERM, &e), -1);
	assert_int_equal(e.code, KERR_NOT_RUNNING);
	assert_int_equal(process_start_time(pid), 0);
}

/* ---- procfs
 * ------------------------------------------------------------------------------------------ */

static void what_is_read_is_of_procfs(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	char boot[37] = "";

	assert_int_equal(proc_read("self/stat", 4096, &b, NULL), 0);
	assert_int_equal(atoi(buf_str(&b)), getpid());
	assert_int_equal(boot_id(boot, NULL), 0);
	assert_int_equal(strlen(boot), 36);
	assert_true(fcntl(proc_root(NULL), F_GETFD) & FD_CLOEXEC);
	assert_int_equal(proc_read("self/mountinfo", 3, &b, &e), -1);
	assert_int_equal(e.code, KERR_LIMIT);
	assert_non_null(e.step);
}

static void no_link_of_procfs_leads_out_of_it(void **state)
{
	static const char *const ways[] = { "self/root/etc/passwd", "self/cwd", "self/exe",
		"../etc/passwd", "/etc/passwd", "self/fd/0", "self/ns/net" };

	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		assert_int_equal(proc_open(ways[i], O_RDONLY, NULL), -1);
}

static void a_namespace_is_told_by_its_number(void **state)
{
	CLEANUP_FD int ns = proc_ns("self/ns/net", NULL);
	struct stat st;

	assert_int_equal(fd_stat(ns, &st, NULL), 0);
	assert_int_equal(proc_inode("self/ns/net"), st.st_ino);
	assert_int_equal(proc_inode("self/ns/none"), 0);
}

static void a_value_that_does_not_stick_is_an_error(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	/* comm is cut after 15 bytes. */
	assert_int_equal(proc_write("self/comm", "kapsel-test", true, NULL), 0);
	assert_int_equal(proc_write("self/comm", "a-name-longer-than-comm", true, &e), -1);
	assert_int_equal(e.code, KERR_SELF_CHECK);
	assert_int_equal(proc_write("self/comm", "a-name-longer-than-comm", false, NULL), 0);
}

/* In a child: a /proc of another kind, without the right to mount one's own. */
static int with_a_fake_proc(void)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	proc_close();
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("fake", "/proc", "tmpfs", 0, NULL) < 0)
		return 77;
	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 77;
	if (proc_root(&e) >= 0)
		return 1;
	return e.code == KERR_PATH_PROCFS ? 0 : 2;
}

static int with_a_part_of_proc(void)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	proc_close();
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("/proc/sys", "/proc", NULL, MS_BIND, NULL) < 0)
		return 77;
	if (setgid(65534) < 0 || setuid(65534) < 0)
		return 77;
	if (proc_root(&e) >= 0)
		return 1;
	return e.code == KERR_PATH_PROCFS ? 0 : 2;
}

static void in_a_child(int (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(body());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_fake_proc_is_refused(void **state)
{
	in_a_child(with_a_fake_proc);
}

static void a_part_of_proc_is_refused(void **state)
{
	in_a_child(with_a_part_of_proc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_gets_the_fds_it_is_given_and_no_other),
		cmocka_unit_test(a_program_starts_with_no_signal_ignored_or_blocked),
		cmocka_unit_test(a_program_starts_where_it_shall),
		cmocka_unit_test(a_program_that_is_not_there_is_an_error_and_leaves_no_child),
		cmocka_unit_test(a_process_is_known_by_its_start),
		cmocka_unit_test(what_is_read_is_of_procfs),
		cmocka_unit_test(no_link_of_procfs_leads_out_of_it),
		cmocka_unit_test(a_namespace_is_told_by_its_number),
		cmocka_unit_test(a_value_that_does_not_stick_is_an_error),
		cmocka_unit_test(a_fake_proc_is_refused),
		cmocka_unit_test(a_part_of_proc_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
