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

struct saved {
	gid_t *groups;
	int n;
};

static int become(const struct peer *p, struct saved *s, struct kerr *e)
{
	s->n = getgroups(0, NULL);
	s->groups = mem_array((size_t)s->n + 1, sizeof *s->groups);
	s->n = getgroups(s->n, s->groups);
	if (s->n < 0 || set_groups(p->ngroups, p->groups) < 0) {
		free(s->groups);
		return kerr_fail(e, KERR_NODE_PRIVILEGE, errno, "take on a caller's groups");
	}
	setfsgid(p->gid);
	setfsuid(p->uid); /* takes CAP_DAC_OVERRIDE and its like away, too */
	return 0;
}

static void be_ourselves(struct saved *s)
{
	setfsuid(geteuid());
	setfsgid(getegid());
	if (set_groups((size_t)s->n, s->groups) < 0)
		abort(); /* we are still privileged: never happens */
	free(s->groups);
}

/* A descriptor says nothing yet: one made with O_PATH needs no right to read. */
static int may_read(int dir, struct kerr *e)
{
	CLEANUP_FD int config = path_own(dir, "config.json", O_RDONLY | O_NONBLOCK, 0, e);

	return config < 0 ? -1 : 0;
}

int bundle_open_as(const struct peer *p, int given, const char *path, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int fd = given;
	struct saved s;
	/* A user's kapseld reads what that user may, and for nobody else. */
	bool other = p->uid != 0 && p->uid != geteuid();

	if (other && become(p, &s, e))
		return -1;
	if (fd < 0)
		fd = path_host_dir(AT_FDCWD, path, &why);
	if (fd >= 0 && other && may_read(fd, &why))
		fd_closep(&fd);
	if (other)
		be_ourselves(&s);
	if (fd < 0)
		return kerr_fail(e, KERR_BUNDLE_MISSING, why.sys, "%s", path ? path : "bundleFd");
	if (!fd_is_dir(fd))
		return kerr_fail(e, KERR_BUNDLE_MISSING, ENOTDIR, "%s", path ? path : "bundleFd");
	return fd_take(&fd);
}
