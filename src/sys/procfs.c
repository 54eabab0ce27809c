/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/sys.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROC_ROOT_INODE = 1 };

/* One a process, like the process itself; -1 until the first use. */
static int the_proc = -1;

/* A procfs that nobody else can mount over, where we have the right to make one. */
static int private_proc(void)
{
	CLEANUP_FD int fs = sys_fsopen("proc", FSOPEN_CLOEXEC);

	if (fs < 0 || sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -1;
	return sys_fsmount(
		fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

int proc_root(struct kerr *e)
{
	CLEANUP_FD int fd = -1;
	struct stat st;

	if (the_proc >= 0)
		return the_proc;
	fd = private_proc();
	if (fd < 0) {
		fd = path_host_dir(AT_FDCWD, "/proc", e);
		if (fd < 0)
			return -1;
	}
	if (!fd_is_procfs(fd) || fd_stat(fd, &st, e) || st.st_ino != PROC_ROOT_INODE)
		return kerr_fail(e, KERR_PATH_PROCFS, 0, "/proc is not a whole procfs");
	the_proc = fd_take(&fd);
	return the_proc;
}

void proc_close(void)
{
	fd_closep(&the_proc);
}

void proc_use(int fd)
{
	the_proc = fd;
}

int proc_take(void)
{
	return fd_take(&the_proc);
}

int proc_open(const char *name, int flags, struct kerr *e)
{
	int root = proc_root(e), fd;

	if (root < 0)
		return -1;
	/* "self" is a link, so links are allowed; nothing mounted over a file and no magic link is.
	 */
	fd = sys_openat2(root, name, (uint64_t)(unsigned)flags | O_CLOEXEC, 0,
		RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
	if (fd < 0)
		return kerr_fail(e, KERR_PATH_OPEN, errno, "/proc/%s", name);
	if (!fd_is_procfs(fd)) {
		close(fd);
		return kerr_fail(e, KERR_PATH_PROCFS, 0, "/proc/%s is not of procfs", name);
	}
	return fd;
}

int proc_ns(const char *name, struct kerr *e)
{
	int root = proc_root(e), fd;

	if (root < 0)
		return -1;
	/* A magic link by nature: what it leads to is checked to be a namespace by who joins it. */
	fd = sys_openat2(root, name, O_RDONLY | O_CLOEXEC, 0, 0);
	return fd < 0 ? kerr_fail(e, KERR_NAMESPACE, errno, "/proc/%s", name) : fd;
}

uint64_t proc_inode(const char *name)
{
	char link[64] = "";
	const char *number;
	int root = proc_root(NULL);

	/* "net:[4026531840]"; to follow it would make an inode of it first */
	if (root < 0 || syscall(SYS_readlinkat, root, name, link, sizeof link - 1) < 0)
		return 0;
	number = strchr(link, '[');
	return number ? strtoull(number + 1, NULL, 10) : 0;
}

int proc_read(const char *name, size_t most, struct buf *out, struct kerr *e)
{
	CLEANUP_FD int fd = proc_open(name, O_RDONLY, e);

	if (fd < 0)
		return -1;
	return fd_read_all(fd, most, out, e) ? kerr_step(e, "/proc/%s", name) : 0;
}

/* The kernel ends values with a newline, parts the numbers of a list by tabs. */
bool proc_same_value(const char *a, const char *b)
{
	static const char blank[] = " \t\n";

	for (;;) {
		size_t n, m;

		a += strspn(a, blank);
		b += strspn(b, blank);
		n = strcspn(a, blank);
		m = strcspn(b, blank);
		if (n != m || memcmp(a, b, n) != 0)
			return false;
		if (n == 0)
			return true;
		a += n;
		b += m;
	}
}

int proc_write(const char *name, const char *value, bool read_back, struct kerr *e)
{
	CLEANUP_BUF struct buf now = BUF_INIT;
	CLEANUP_FD int fd = proc_open(name, O_WRONLY, e);
	size_t len = strlen(value);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, value, len);
	if (n < 0 || (size_t)n != len)
		return kerr_fail(e, KERR_PATH_WRITE, n < 0 ? errno : 0,
			"write '%.100s' to /proc/%s", value, name);
	if (!read_back)
		return 0;
	if (proc_read(name, 65536, &now, e))
		return -1;
	if (!proc_same_value(value, buf_str(&now)))
		return kerr_fail(e, KERR_SELF_CHECK, 0, "/proc/%s holds '%.100s', not '%.100s'",
			name, buf_str(&now), value);
	return 0;
}
