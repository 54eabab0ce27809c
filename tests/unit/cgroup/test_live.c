/* SPDX-License-Identifier: Apache-2.0 */
/* With real directories, where the right to make them is there; else every test is skipped. */
#include "../test.h"
#include <errno.h>
#include <kapsel/cgroup.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOON = 5000 };
static char parent[64], leaf[80];

static struct cgroup *made(void)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct cgroup *c = NULL;

	if (geteuid() != 0)
		skip();
	if (cgroup_make(leaf, parent, &c, &e)) {
		kerr_line(&e, &b);
		if (e.sys == EROFS || e.sys == EACCES || e.sys == EPERM ||
			strstr(buf_str(&b), "is mounted"))
			skip();
		fail_msg("%s", buf_str(&b));
	}
	return c;
}

static void removed(struct cgroup *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_int_equal(cgroup_remove(c, deadline_in_ms(SOON), &e), 0);
	cgroup_free(c);
}

/* Of ours in any hierarchy: */
static size_t left_behind(const char *path)
{
	size_t n, found = 0;
	const struct cgroup_mount *m = cgroup_mounts(&n);

	for (size_t i = 0; i < n; i++) {
		CLEANUP_FREE char *full = mem_printf("%s%s", m[i].path, path);

		found += access(full, F_OK) == 0;
	}
	return found;
}

static void ends(int sig)
{
	_exit(sig);
}

/* A child that joins @c and then sleeps; with @forks it keeps making grandchildren. */
static pid_t inhabitant(struct cgroup *c, bool forks)
{
	struct clone_args a = { .exit_signal = SIGCHLD };
	int ready[2], fd = cgroup_v2_fd(c);
	char ok = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	if (fd >= 0) {
		a.flags = CLONE_INTO_CGROUP;
		a.cgroup = (unsigned)fd;
	}
	pid = (pid_t)sys_clone3(&a, sizeof a);
	assert_true(pid >= 0);
	if (pid == 0) {
		ok = cgroup_join(c, NULL) == 0 ? 'y' : 'n';
		if (forks)
			for (int i = 0; i < 5; i++)
				if (syscall(SYS_fork) == 0)
					break;
		signal(SIGUSR1, ends);
		if (write(ready[1], &ok, 1) != 1)
			_exit(1);
		alarm(60);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &ok, 1), 1);
	close(ready[0]);
	assert_int_equal(ok, 'y');
	return pid;
}

static void reaped(pid_t pid, int sig)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), sig);
}

static void what_is_made_is_removed_with_its_empty_parents(void **state)
{
	struct cgroup *c = made();
	size_t n;

	cgroup_mounts(&n);
	assert_int_equal(left_behind(leaf), n);
	assert_true(cgroup_is_empty(c));
	removed(c);
	assert_int_equal(left_behind(leaf), 0);
	assert_int_equal(left_behind(parent), 0);
}

static void a_parent_that_another_uses_stays(void **state)
{
	CLEANUP_FREE char *other = mem_printf("%s/other", parent);
	struct cgroup *c = made(), *d = NULL;

	assert_int_equal(cgroup_make(other, parent, &d, NULL), 0);
	removed(c);
	assert_int_equal(left_behind(leaf), 0);
	assert_true(left_behind(other) > 0);
	removed(d);
	assert_int_equal(left_behind(parent), 0);
}

static void no_fd_of_it_passes_an_exec(void **state)
{
	struct cgroup *c = made();

	for (int fd = 3; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);
		CLEANUP_BUF struct buf b = BUF_INIT;

		if (flags < 0 || fd_path(fd, &b, NULL) ||
			!str_starts(buf_str(&b), "/sys/fs/cgroup"))
			continue;
		assert_true(flags & FD_CLOEXEC);
	}
	removed(c);
}

static void a_cgroup_with_processes_is_refused_and_left_as_it_is(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_FREE char *inner = mem_printf("%s/inner", leaf);
	struct cgroup *c = made(), *second = NULL;
	pid_t pid;
	size_t n;

	/* As the container would: nothing is handed down, so that on v2 it may itself stay above.
	 */
	for (size_t i = 0; cgroup_dir(c, i) >= 0; i++)
		assert_int_equal(mkdirat(cgroup_dir(c, i), "inner", 0755), 0);
	n = left_behind(inner);
	pid = inhabitant(c, false);
	assert_false(cgroup_is_empty(c));
	assert_int_equal(cgroup_make(leaf, parent, &second, &e), -1);
	assert_int_equal(e.code, KERR_CGROUP_BUSY);
	assert_null(second);
	assert_int_equal(left_behind(inner), n);
	assert_int_equal(cgroup_kill(c, deadline_in_ms(SOON), NULL), 0);
	reaped(pid, SIGKILL);
	removed(c);
}

static void killing_ends_all_even_in_its_own_cgroups(void **state)
{
	CLEANUP_FREE char *inner = mem_printf("%s/inner", leaf);
	CLEANUP_FREE pid_t *pids = NULL;
	struct cgroup *c = made(), *in = NULL;
	size_t n = 0;
	pid_t a = inhabitant(c, true), b;

	assert_int_equal(cgroup_kill(c, deadline_in_ms(SOON), NULL), 0);
	reaped(a, SIGKILL);
	assert_int_equal(cgroup_make(inner, parent, &in, NULL), 0);
	b = inhabitant(in, true);
	assert_false(cgroup_is_empty(c));
	assert_int_equal(cgroup_procs(c, &pids, &n, NULL), 0);
	assert_in_range(n, 2, 6);
	assert_int_equal(cgroup_kill(c, deadline_in_ms(SOON), NULL), 0);
	assert_true(cgroup_is_empty(c));
	reaped(b, SIGKILL);
	cgroup_free(in);
	removed(c); /* the inner one goes with it */
	assert_int_equal(left_behind(leaf), 0);
}

static void a_process_put_into_one_hierarchy_only_is_killed_too(void **state)
{
	struct cgroup *c = made();
	pid_t pid = fork();

	if (pid == 0) {
		alarm(60);
		for (;;)
			pause();
	}
	for (size_t i = 0; cgroup_dir(c, i) >= 0; i++) {
		CLEANUP_FREE char *text = mem_printf("%d", (int)pid);

		if (path_write(cgroup_dir(c, i), "cgroup.procs", text, strlen(text), NULL) == 0)
			break;
	}
	assert_false(cgroup_is_empty(c));
	assert_int_equal(cgroup_kill(c, deadline_in_ms(SOON), NULL), 0);
	reaped(pid, SIGKILL);
	removed(c);
}

static void who_is_frozen_stands_still_and_can_be_killed(void **state)
{
	struct cgroup *c = made(), *second = NULL;
	pid_t pid = inhabitant(c, false);
	int status;

	assert_int_equal(cgroup_freeze(c, true, deadline_in_ms(SOON), NULL), 0);
	assert_int_equal(
		kill(pid, SIGUSR1), 0); /* its handler has to run; v2 kills even who is frozen */
	usleep(20000);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	assert_int_equal(cgroup_freeze(c, false, deadline_in_ms(SOON), NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SIGUSR1);
	pid = inhabitant(c, false);
	assert_int_equal(cgroup_freeze(c, true, deadline_in_ms(SOON), NULL), 0);
	assert_int_equal(cgroup_kill(c, deadline_in_ms(SOON), NULL), 0);
	reaped(pid, SIGKILL);
	assert_int_equal(cgroup_make(leaf, parent, &second, NULL), cgroup_v2_fd(c) >= 0 ? -1 : 0);
	cgroup_free(second);
	assert_int_equal(cgroup_freeze(c, false, deadline_in_ms(SOON), NULL), 0);
	removed(c);
}

static void a_saved_one_reopens_as_the_same(void **state)
{
	CLEANUP_BUF struct buf first = BUF_INIT;
	CLEANUP_BUF struct buf again = BUF_INIT;
	struct cgroup *c = made(), *d = NULL;
	pid_t pid = inhabitant(c, false);

	cgroup_save(c, &first);
	assert_int_equal(cgroup_open(buf_str(&first), &d, NULL), 0);
	cgroup_free(c);
	assert_false(cgroup_is_empty(d));
	cgroup_save(d, &again);
	assert_string_equal(buf_str(&first), buf_str(&again));
	assert_int_equal(cgroup_kill(d, deadline_in_ms(SOON), NULL), 0);
	reaped(pid, SIGKILL);
	removed(d);
	assert_int_equal(left_behind(parent), 0);
}

static void limits_are_written_read_and_shown(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct cgroup_controllers there;
	enum cgroup_layout layout;
	struct cgroup *c = made();
	struct cgroup_stats s;

	assert_int_equal(cgroup_detect(&layout, &there, NULL), 0);
	if ((there.v1 | there.v2) & 1u << CG_PIDS) {
		assert_int_equal(cgroup_write(c, "pids", "pids.max", "77", NULL), 0);
		assert_int_equal(cgroup_read(c, "pids", "pids.max", &b, NULL), 0);
		assert_string_equal(buf_str(&b), "77\n");
		cgroup_stats(c, &s);
		assert_int_equal(s.pids_limit, 77);
		assert_int_equal(cgroup_write(c, "pids", "pids.none", "1", &e), -1);
		assert_int_equal(e.code, KERR_CGROUP_NO_CONTROLLER);
		assert_int_equal(cgroup_write(c, "pids", "pids.max", "words", &e), -1);
		assert_int_equal(e.code, KERR_CGROUP);
	}
	assert_int_equal(cgroup_write(c, "nosuch", "a", "1", &e), -1);
	assert_int_equal(e.code, KERR_CGROUP_NO_CONTROLLER);
	removed(c);
}

static void a_device_that_is_denied_does_not_open(void **state)
{
	const struct cgroup_device rules[] = { { false, 'a', -1, -1, 7 }, { true, 'c', 1, 3, 7 },
		{ true, 'c', 1, 5, CGROUP_DEV_READ } };
	static const struct {
		const char *path;
		int flags, want;
	} asked[] = { { "/dev/null", O_RDWR, 0 }, { "/dev/zero", O_RDONLY, 0 },
		{ "/dev/zero", O_RDWR, EPERM }, { "/dev/full", O_RDONLY, EPERM } };
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct clone_args a = { .exit_signal = SIGCHLD };
	struct cgroup *c = made();
	int status, fd = cgroup_v2_fd(c);
	pid_t pid;

	if (cgroup_devices(c, rules, ARRAY_LEN(rules), &e)) {
		removed(c);
		assert_true(e.code == KERR_CGROUP_NO_CONTROLLER || e.sys == EPERM);
		skip();
	}
	if (fd >= 0) {
		a.flags = CLONE_INTO_CGROUP;
		a.cgroup = (unsigned)fd;
	}
	pid = (pid_t)sys_clone3(&a, sizeof a);
	if (pid == 0) {
		if (cgroup_join(c, NULL))
			_exit(99);
		for (size_t i = 0; i < ARRAY_LEN(asked); i++)
			if ((open(asked[i].path, asked[i].flags | O_CLOEXEC) < 0 ? errno : 0) !=
				asked[i].want)
				_exit((int)i + 1);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	removed(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_made_is_removed_with_its_empty_parents),
		cmocka_unit_test(a_parent_that_another_uses_stays),
		cmocka_unit_test(no_fd_of_it_passes_an_exec),
		cmocka_unit_test(a_cgroup_with_processes_is_refused_and_left_as_it_is),
		cmocka_unit_test(killing_ends_all_even_in_its_own_cgroups),
		cmocka_unit_test(a_process_put_into_one_hierarchy_only_is_killed_too),
		cmocka_unit_test(who_is_frozen_stands_still_and_can_be_killed),
		cmocka_unit_test(a_saved_one_reopens_as_the_same),
		cmocka_unit_test(limits_are_written_read_and_shown),
		cmocka_unit_test(a_device_that_is_denied_does_not_open),
	};

	snprintf(parent, sizeof parent, "/kapsel-live-%d", (int)getpid());
	snprintf(leaf, sizeof leaf, "%s/web", parent);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
