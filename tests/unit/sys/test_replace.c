/* SPDX-License-Identifier: Apache-2.0 */
/* D23: killed before any of its system calls, path_replace() leaves the old file or the new one. */
#include "../test.h"
#include <errno.h>
#include <fcntl.h>
#include <kapsel/sys.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG = 200000, MOST_CALLS = 500 };
static char old[LONG], new[LONG];
static char top[] = "/tmp/kapsel-replace.XXXXXX";
static int dir;

static void replace_traced(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	_exit(path_replace(dir, "state", new, sizeof new, 0600, true, NULL) ? 1 : 0);
}

/* Kills it at its @n-th stop at a system call. Return: true when it was over before. */
static bool killed_at(int n)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		replace_traced();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < n; i++) {
		ptrace(PTRACE_SYSCALL, pid, 0, 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status)) {
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 0);
			return true;
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return false;
}

/* The file is whole: 'o' or 'n'. */
static char what_is_there(void)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	assert_int_equal(path_read(dir, "state", LONG, &b, NULL), 0);
	assert_int_equal(b.len, LONG);
	assert_true(memcmp(b.data, old, LONG) == 0 || memcmp(b.data, new, LONG) == 0);
	return b.data[0];
}

static void killed_anywhere_it_leaves_the_old_or_the_new(void **state)
{
	bool over = false;
	int seen_old = 0, seen_new = 0;

	for (int n = 1; n < MOST_CALLS && !over; n++) {
		assert_int_equal(path_replace(dir, "state", old, sizeof old, 0600, false, NULL), 0);
		over = killed_at(n);
		seen_old += what_is_there() == 'o';
		seen_new += what_is_there() == 'n';
	}
	assert_true(over);
	assert_true(seen_old > 2 && seen_new > 1); /* else nothing was cut short */
}

static void what_it_has_left_hinders_nobody(void **state)
{
	struct path_names names;

	assert_false(killed_at(6)); /* the new one lies beside it, half written or whole */
	assert_int_equal(path_replace(dir, "state", new, sizeof new, 0600, true, NULL), 0);
	assert_int_equal(what_is_there(), 'n');
	assert_int_equal(path_names(dir, 10, &names, NULL), 0);
	assert_int_equal(names.n, 1);
	path_names_free(&names);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_anywhere_it_leaves_the_old_or_the_new),
		cmocka_unit_test(what_it_has_left_hinders_nobody),
	};
	int rc;

	memset(old, 'o', sizeof old);
	memset(new, 'n', sizeof new);
	if (mkdtemp(top) == NULL ||
		(dir = path_host(AT_FDCWD, top, O_RDONLY | O_DIRECTORY, NULL)) < 0)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	path_own_unlink(dir, "state", false, NULL);
	path_own_unlink(dir, ".state.new", false, NULL);
	rmdir(top);
	return rc;
}
