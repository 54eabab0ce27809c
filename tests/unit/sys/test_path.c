/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <errno.h>
#include <kapsel/sys.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* TOP/root is the stranger's; TOP/secret is what must not be reached. */
static char where[64];
static int top, root;

static int a_tree(void **state)
{
	strcpy(where, "/tmp/kapsel-path-XXXXXX");
	if (mkdtemp(where) == NULL)
		return -1;
	top = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(top, "root", 0755);
	root = openat(top, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(root, "etc", 0755);
	path_replace(top, "secret", "secret", 6, 0600, false, NULL);
	return root < 0;
}

static int no_tree(void **state)
{
	CLEANUP_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	close(top);
	close(root);
	return path_own_remove_tree(tmp, where + strlen("/tmp/"), NULL);
}

static bool is_secret(int fd)
{
	struct stat st, secret;

	return fd >= 0 && fstat(fd, &st) == 0 && fstatat(top, "secret", &secret, 0) == 0 &&
	       st.st_ino == secret.st_ino && st.st_dev == secret.st_dev;
}

static void put(int dir, const char *name, const char *text)
{
	assert_int_equal(path_replace(dir, name, text, strlen(text), 0600, false, NULL), 0);
}

static void nothing_below_a_root_leads_out(void **state)
{
	CLEANUP_FREE char *absolute = mem_printf("%s/secret", where);
	static const char *const ways[] = { "../secret", "etc/../../secret", "up", "etc/up2", "out",
		"/../secret", "dir/secret", "/dir/../secret" };

	assert_int_equal(symlinkat("../secret", root, "up"), 0);
	assert_int_equal(symlinkat("../../../../../secret", root, "etc/up2"), 0);
	assert_int_equal(symlinkat(absolute, root, "out"), 0);
	assert_int_equal(symlinkat(where, root, "dir"), 0);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		CLEANUP_FD int in = path_in(root, ways[i], O_PATH, 0, NULL);
		CLEANUP_FD int own = path_own(root, ways[i], O_RDONLY, 0, NULL);

		assert_true(in < 0);
		assert_true(own < 0);
		assert_false(is_secret(in));
	}
	/* The same ways in the kernel's ordinary resolution do lead there: the test can fail. */
	CLEANUP_FD int host = path_host(root, "up", O_RDONLY, NULL);

	assert_true(is_secret(host));
}

static void a_link_within_the_root_is_followed_there_and_refused_in_our_own(void **state)
{
	CLEANUP_FD int in = -1;
	CLEANUP_FD int own = -1;

	put(root, "hello", "hi");
	assert_int_equal(symlinkat("/hello", root, "absolute"), 0);
	in = path_in(root, "etc/../absolute", O_RDONLY, 0, NULL);
	assert_true(in >= 0);
	own = path_own(root, "absolute", O_RDONLY, 0, NULL);
	assert_true(own < 0);
}

static void a_magic_link_is_no_way(void **state)
{
	CLEANUP_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FREE char *name = mem_printf("self/fd/%d", top);
	CLEANUP_FD int in = path_in(proc, name, O_RDONLY, 0, NULL);
	CLEANUP_FD int host = path_host(proc, name, O_RDONLY, NULL);

	assert_true(in < 0);
	assert_true(host >= 0);
}

static void every_fd_ends_at_an_exec(void **state)
{
	int fds[] = { path_host(AT_FDCWD, where, O_PATH, NULL),
		path_in(root, "etc", O_PATH, 0, NULL), path_own(root, "etc", O_RDONLY, 0, NULL),
		path_own_mkdir(root, "new", 0755, NULL),
		path_in_mkdirs(root, "a/b", 0755, 0, 0, NULL), fd_reopen(root, O_RDONLY, NULL) };

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		assert_true(fds[i] >= 0);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
}

static void directories_are_made_inside_whatever_the_links_say(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct stat st;
	int fd = path_in_mkdirs(root, "x/y/../../../../z", 0755, geteuid(), getegid(), NULL);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fstatat(root, "z", &st, 0), 0);
	assert_int_equal(faccessat(top, "z", F_OK, 0), -1);
	assert_int_equal(symlinkat("..", root, "parent"), 0);
	fd = path_in_mkdirs(root, "parent/made/deep", 0700, geteuid(), getegid(), NULL);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(faccessat(root, "made/deep", F_OK, 0), 0);
	assert_int_equal(faccessat(top, "made", F_OK, 0), -1);
	/* A dangling link is not made true, least of all outside. */
	assert_int_equal(symlinkat("../outside", root, "dangling"), 0);
	fd = path_in_mkdirs(root, "dangling/sub", 0755, 0, 0, &e);
	assert_true(fd < 0);
	assert_int_equal(faccessat(top, "outside", F_OK, 0), -1);
	put(root, "file", "");
	kerr_clear(&e);
	assert_int_equal(path_in_mkdirs(root, "file/sub", 0755, 0, 0, &e), -1);
	assert_int_equal(e.code, KERR_PATH_TYPE);
}

static void a_bind_target_is_made_with_its_parents_or_taken_as_it_is(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int fd = path_in_mkfile(root, "/run/app/socket", NULL);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fd_stat(fd, &st, NULL), 0);
	assert_true(S_ISREG(st.st_mode));
	close(fd);
	put(root, "kept", "kept");
	fd = path_in_mkfile(root, "kept", NULL);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(path_read(root, "kept", 100, &b, NULL), 0);
	assert_string_equal(buf_str(&b), "kept");
	assert_int_equal(symlinkat("../made-outside", root, "target"), 0);
	assert_int_equal(path_in_mkfile(root, "target", &e), -1);
	assert_int_equal(faccessat(top, "made-outside", F_OK, 0), -1);
	assert_int_equal(
		path_in_mkfile(root, "etc/..", NULL) >= 0, 1); /* it is there: a directory */
	assert_int_equal(path_in_mkfile(root, "nowhere/..", &e), -1);
}

static void a_node_that_is_there_is_fine_if_it_is_the_same(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_int_equal(
		path_in_mknod(root, "dev/pipe", S_IFIFO | 0622, 0, geteuid(), getegid(), NULL), 0);
	assert_int_equal(
		path_in_mknod(root, "dev/pipe", S_IFIFO | 0622, 0, geteuid(), getegid(), NULL), 0);
	CLEANUP_FD int dev = path_own(root, "dev", O_RDONLY | O_DIRECTORY, 0, NULL);

	put(dev, "plain", "");
	assert_int_equal(
		path_in_mknod(root, "dev/plain", S_IFIFO | 0600, 0, geteuid(), getegid(), &e), -1);
	assert_int_equal(e.code, KERR_PATH_TYPE);
	struct stat st;

	assert_int_equal(fstatat(root, "dev/pipe", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0622); /* not cut by the umask */
	assert_int_equal(path_in_symlink(root, "/proc/self/fd", "dev/fd", NULL), 0);
	assert_int_equal(path_in_symlink(root, "/proc/self/fd", "dev/fd", NULL), 0);
}

static void contents_are_replaced_whole_or_not_at_all(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct path_names names;

	CLEANUP_FD int dir = path_own_mkdir(root, "state", 0700, NULL);

	put(dir, "record", "first");
	assert_int_equal(path_replace(dir, "record", "second!", 7, 0640, true, NULL), 0);
	assert_int_equal(path_read(dir, "record", 100, &b, NULL), 0);
	assert_string_equal(buf_str(&b), "second!");
	/* A directory cannot be replaced by a file: nothing half made is left. */
	assert_int_equal(mkdirat(dir, "taken", 0700), 0);
	assert_int_equal(path_replace(dir, "taken", "x", 1, 0600, false, &e), -1);
	assert_int_equal(e.code, KERR_PATH_WRITE);
	assert_int_equal(path_names(dir, 10, &names, NULL), 0);
	assert_int_equal(names.n, 2);
	assert_string_equal(names.v[0], "record");
	assert_string_equal(names.v[1], "taken");
	path_names_free(&names);
	assert_int_equal(path_names(dir, 1, &names, &e), -1);
	assert_int_equal(e.code, KERR_LIMIT);
	assert_int_equal(names.n, 0);
	buf_reset(&b);
	assert_int_equal(path_read(dir, "record", 6, &b, &e), -1);
	assert_int_equal(e.code, KERR_LIMIT);
	assert_int_equal(path_read(dir, "record", 7, &b, NULL), 0);
}

static void a_tree_is_removed_and_its_links_are_not_followed(void **state)
{
	CLEANUP_FD int deep = path_in_mkdirs(root, "tree/a/b/c", 0755, 0, 0, NULL);
	CLEANUP_FD int tree = path_own(root, "tree", O_RDONLY | O_DIRECTORY, 0, NULL);
	CLEANUP_BUF struct buf b = BUF_INIT;

	put(tree, "file", "x");
	assert_int_equal(symlinkat(where, tree, "link"), 0);
	assert_int_equal(path_own_remove_tree(root, "tree", NULL), 0);
	assert_int_equal(faccessat(root, "tree", F_OK, 0), -1);
	assert_int_equal(path_read(top, "secret", 10, &b, NULL), 0);
	assert_int_equal(path_own_remove_tree(root, "tree", NULL), 0); /* gone is fine */
}

static void a_rename_over_another_is_refused_when_asked(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	put(root, "one", "1");
	put(root, "two", "2");
	assert_int_equal(path_own_rename(root, "one", "two", true, &e), -1);
	assert_int_equal(e.code, KERR_ALREADY_EXISTS);
	assert_int_equal(path_own_rename(root, "one", "two", false, NULL), 0);
	assert_int_equal(path_own_unlink(root, "one", false, NULL), 0);
	kerr_clear(&e);
	assert_int_equal(path_own_mkdir(root, "etc", 0755, &e), -1);
	assert_int_equal(e.code, KERR_ALREADY_EXISTS);
}

static void a_socket_is_found_by_a_path_of_any_length(void **state)
{
	CLEANUP_FREE char *up = mem_printf("%s/root/%0100d", where, 0);
	CLEANUP_FREE char *path = mem_printf("%s/socket", up);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct stat st;
	int s, c;

	assert_true(strlen(path) > sizeof((struct sockaddr_un *)0)->sun_path);
	int dir = path_own_mkdirs(AT_FDCWD, up, 0755, NULL);

	assert_true(dir >= 0);
	s = path_listen_host(path, SOCK_STREAM, 0660, NULL);
	assert_true(s >= 0);
	assert_int_equal(fstatat(dir, "socket", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	c = path_connect_host(path, SOCK_STREAM, NULL);
	assert_true(c >= 0);
	close(c);
	/* A living one is not taken away; a dead one is replaced. */
	assert_int_equal(path_listen(dir, "socket", SOCK_STREAM, 0600, &e), -1);
	assert_int_equal(e.code, KERR_ALREADY_EXISTS);
	close(s);
	s = path_listen(dir, "socket", SOCK_STREAM, 0600, NULL);
	assert_true(s >= 0);
	close(s);
	put(dir, "file", "not a socket");
	kerr_clear(&e);
	assert_int_equal(path_listen(dir, "file", SOCK_STREAM, 0600, &e), -1);
	assert_int_equal(e.code, KERR_ALREADY_EXISTS);
	close(dir);
}

static void a_program_that_cannot_run_is_told_why(void **state)
{
	CLEANUP_FREE char *plain = mem_printf("%s/secret", where);

	assert_int_equal(path_can_execute("/bin/sh"), 0);
	assert_int_equal(path_can_execute("/nowhere/at/all"), ENOENT);
	assert_int_equal(path_can_execute("/"), EACCES);
	assert_int_equal(path_can_execute(plain), EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_below_a_root_leads_out, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			a_link_within_the_root_is_followed_there_and_refused_in_our_own, a_tree,
			no_tree),
		cmocka_unit_test_setup_teardown(a_magic_link_is_no_way, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(every_fd_ends_at_an_exec, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			directories_are_made_inside_whatever_the_links_say, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			a_bind_target_is_made_with_its_parents_or_taken_as_it_is, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			a_node_that_is_there_is_fine_if_it_is_the_same, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			contents_are_replaced_whole_or_not_at_all, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			a_tree_is_removed_and_its_links_are_not_followed, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			a_rename_over_another_is_refused_when_asked, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			a_socket_is_found_by_a_path_of_any_length, a_tree, no_tree),
		cmocka_unit_test_setup_teardown(
			a_program_that_cannot_run_is_told_why, a_tree, no_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
