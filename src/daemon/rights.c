/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's path is resolved with the caller's file-system ids and groups, so that nobody reads
 * through us what he could not read himself. */
#include "daemon.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The raw call changes this thread alone; the library's would change all. */
static int set_groups(size_t n, const gid_t *groups)
{
	return (int)syscall(SYS_setgroups, n, groups);
}

int bundle_open_as(const struct peer *p, const char *path, struct kerr *e)
{
	CLEANUP_FREE gid_t *ours = NULL;
	CLEANUP_ERR struct kerr why = KERR_INIT;
	int n, fd;

	if (p->uid == 0) {
		fd = path_host_dir(AT_FDCWD, path, &why);
	} else {
		n = getgroups(0, NULL);
		ours = mem_array((size_t)n + 1, sizeof *ours);
		n = getgroups(n, ours);
		if (n < 0 || set_groups(p->ngroups, p->groups) < 0)
			return kerr_fail(e, KERR_NODE_PRIVILEGE, errno, "take on a caller's groups");
		setfsgid(p->gid);
		setfsuid(p->uid); /* takes CAP_DAC_OVERRIDE and its like away, too */
		fd = path_host_dir(AT_FDCWD, path, &why);
		setfsuid(geteuid());
		setfsgid(getegid());
		if (set_groups((size_t)n, ours) < 0)
			abort(); /* we are still privileged: never happens */
	}
	if (fd < 0)
		return kerr_fail(e, KERR_BUNDLE_MISSING, why.sys, "%s", path);
	return fd;
}
