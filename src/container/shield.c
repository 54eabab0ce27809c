/* SPDX-License-Identifier: Apache-2.0 */
/* While init still is this program, others of its pid namespace see it at /proc/PID/exe. */
#include "private.h"
#include <errno.h>
#include <linux/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

static bool is_read_only(int fd)
{
	struct statvfs st;

	return fstatvfs(fd, &st) == 0 && st.f_flag & ST_RDONLY;
}

/* Changed before it is attached anywhere, and attached nowhere: nobody can make it writable. */
static int read_only_copy(int exe, struct kerr *e)
{
	struct mount_attr a = { .attr_set = MOUNT_ATTR_RDONLY };
	CLEANUP_FD int copy = sys_open_tree(
		exe, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | 0x1000 /* AT_EMPTY_PATH */);

	if (copy < 0 || sys_mount_setattr(copy, "", 0x1000, &a, sizeof a) < 0 ||
		!is_read_only(copy))
		return kerr_fail(
			e, KERR_PROCESS_SETUP, errno, "make a read-only copy of this program");
	return fd_take(&copy);
}

int container_shield(char *const *argv, struct kerr *e)
{
	CLEANUP_FD int exe = path_host(AT_FDCWD, "/proc/self/exe", O_PATH, e);
	CLEANUP_FD int copy = -1;

	if (exe < 0)
		return -1;
	if (is_read_only(exe)) {
		prctl(PR_SET_NAME, "kapsel-oci"); /* execveat() calls it by a number */
		return 0;
	}
	copy = read_only_copy(exe, e);
	if (copy < 0)
		return -1;
	syscall(SYS_execveat, copy, "", argv, environ, 0x1000);
	return kerr_fail(e, KERR_PROCESS_SETUP, errno, "run from a read-only copy");
}
