/* SPDX-License-Identifier: Apache-2.0 */
/* While init still is this program, others of its pid namespace see it at /proc/PID/exe. */
#include "private.h"
#include <errno.h>
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

int container_shield(char *const *argv, struct kerr *e)
{
	CLEANUP_FD int exe = path_host(AT_FDCWD, "/proc/self/exe", O_PATH, e);
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int copy = -1;

	if (exe < 0)
		return -1;
	if (is_read_only(exe)) {
		prctl(PR_SET_NAME, "kapsel-oci"); /* execveat() calls it by a number */
		return 0;
	}
	copy = sys_read_only_copy(exe, &why);
	if (copy < 0 || !is_read_only(copy))
		return kerr_fail(
			e, KERR_PROCESS_SETUP, why.sys, "make a read-only copy of this program");
	syscall(SYS_execveat, copy, "", argv, environ, 0x1000);
	return kerr_fail(e, KERR_PROCESS_SETUP, errno, "run from a read-only copy");
}
