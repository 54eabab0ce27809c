/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
enum { EMPTY = 0x1000 /* AT_EMPTY_PATH */, RECURSIVE = 0x8000 /* AT_RECURSIVE */ };

static int set_attr(int fd, unsigned flags, uint64_t on, uint64_t off, uint64_t propagation,
	int userns, struct kerr *e)
{
	struct mount_attr a = { .attr_set = on,
		.attr_clr = off,
		.propagation = propagation,
		.userns_fd = (uint64_t)(unsigned)userns };

	if (on == 0 && off == 0 && propagation == 0)
		return 0;
	if (sys_mount_setattr(fd, "", EMPTY | flags, &a, sizeof a) < 0)
		return kerr_fail(e, KERR_MOUNT, errno, "set mount attributes");
	return 0;
}

static int set_attributes(int fd, const struct op_mount *m, struct kerr *e)
{
	uint64_t off = m->attr_clr;

	if (set_attr(fd, 0, m->attr_set, off, 0, 0, e))
		return -1;
	return set_attr(fd, RECURSIVE, m->attr_rec_set, m->attr_rec_clr, 0, 0, e);
}

static int set_propagation(int fd, const struct op_mount *m, struct kerr *e)
{
	for (size_t i = 0; i < m->npropagation; i++)
		if (set_attr(fd, m->propagation[i] & MS_REC ? RECURSIVE : 0, 0, 0,
			    m->propagation[i] & ~(uint64_t)MS_REC, 0, e))
			return -1;
	return 0;
}

/* ---- before the clone: sources are the host's, and detached copies of them go with us
 * --------------------- */

static void write_map(struct buf *b, const struct oci_idmap *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%llu %llu %llu\n", (unsigned long long)v[i].container,
			(unsigned long long)v[i].host, (unsigned long long)v[i].size);
}

/* A user namespace only for its maps: held by a child that waits to be killed. */
static int map_namespace(const struct op_mount *m, struct kerr *e)
{
	CLEANUP_BUF struct buf uids = BUF_INIT;
	CLEANUP_BUF struct buf gids = BUF_INIT;
	char name[64];
	int ns = -1;
	siginfo_t info;
	int pidfd = -1;
	struct clone_args a = { .flags = CLONE_NEWUSER | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD };
	long pid = sys_clone3(&a, sizeof a);

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	if (pid < 0)
		return kerr_fail(e, KERR_IDMAP, errno, "user namespace of an idmapped mount");
	write_map(&uids, m->uids, m->nuids);
	write_map(&gids, m->gids, m->ngids);
	snprintf(name, sizeof name, "%ld/uid_map", pid);
	if (proc_write(name, uids.data, false, e) == 0) {
		snprintf(name, sizeof name, "%ld/gid_map", pid);
		if (proc_write(name, gids.data, false, e) == 0) {
			snprintf(name, sizeof name, "%ld/ns/user", pid);
			ns = proc_ns(name, e);
		}
	}
	pidfd_signal(pidfd, SIGKILL, NULL);
	pidfd_wait(pidfd, &info, false, NULL);
	close(pidfd);
	return ns;
}

static int idmap_mount(int fd, const struct op_mount *m, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int ns = map_namespace(m, e);

	if (ns < 0)
		return -1;
	if (set_attr(fd, m->idmap_recursive ? RECURSIVE : 0, MOUNT_ATTR_IDMAP, 0, 0, ns, &why) == 0)
		return 0;
	/* The file system does not know how, or one of those below it does not. */
	return kerr_fail(e, why.sys == EINVAL ? KERR_MOUNT_IDMAP : KERR_MOUNT, why.sys,
		"idmap the mount of %s", m->source);
}

static int tree(int fd, bool recursive, struct kerr *e)
{
	int t = sys_open_tree(
		fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | EMPTY | (recursive ? RECURSIVE : 0));

	return t < 0 ? kerr_fail(e, KERR_MOUNT, errno, "copy a mount") : t;
}

static int bind_source(struct container *c, const struct op *op, struct kerr *e)
{
	const struct op_mount *m = &op->u.mount;
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int source = path_host(c->o->bundle, m->source, O_PATH, &why);
	CLEANUP_FD int fd = -1;

	if (source < 0)
		return kerr_fail(e, why.sys == ENOENT ? KERR_MOUNT_SOURCE_MISSING : KERR_MOUNT,
			why.sys, "source %s", m->source);
	fd = tree(source, m->recursive, e);
	if (fd < 0 || (m->idmap && idmap_mount(fd, m, e)) || set_attributes(fd, m, e))
		return -1;
	return fd_take(&fd);
}

/* Over a device node of the host: mknod is not for a user namespace. */
static int bind_device(const struct op *op, struct kerr *e)
{
	CLEANUP_FD int fd = path_host(AT_FDCWD, op->target, O_PATH, e);
	struct stat st;

	if (fd < 0 || fd_stat(fd, &st, e))
		return -1;
	if ((st.st_mode & S_IFMT) != op->u.device.type ||
		(op->u.device.type != S_IFIFO &&
			st.st_rdev != makedev(op->u.device.major, op->u.device.minor)))
		return kerr_fail(e, KERR_DEVICE, 0, "the host's %s is another device", op->target);
	return tree(fd, false, e);
}

static int root_source(struct container *c, const struct op *op, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int dir = path_host_dir(c->o->bundle, op->target, &why);

	if (dir < 0)
		return kerr_fail(e, KERR_ROOTFS_MISSING, why.sys, "root.path %s", op->target);
	return tree(dir, true, e);
}

/* Who is not root copies it from init's mount namespace: the executor's fds are of another. */
static int cgroup_source(
	struct container *c, const struct cgroup_mount *m, size_t i, struct kerr *e)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FD int fd = -1;

	if (c->p->facts->root)
		return tree(cgroup_dir(c->cgroup, i), false, e);
	path = mem_printf("%s%s", m->path, cgroup_path(c->cgroup));
	fd = path_host_dir(AT_FDCWD, path, e);
	return fd < 0 ? -1 : tree(fd, false, e);
}

static int cgroup_sources(struct container *c, const struct op_mount *m, struct kerr *e)
{
	size_t n;
	const struct cgroup_mount *mounts = cgroup_mounts(&n);

	for (size_t i = 0; i < n && c->cgroup && c->cgroup_binds == 0; i++) {
		int fd = cgroup_dir(c->cgroup, i) < 0 ? -1 : cgroup_source(c, &mounts[i], i, e);

		if (fd < 0 || (mounts[i].v2 && n == 1 && set_attributes(fd, m, e)))
			return -1;
		c->fd[c->p->n + i] = fd;
	}
	c->cgroup_binds = c->cgroup ? (int)n : 0;
	return 0;
}

int do_prepare_mounts(struct container *c, struct kerr *e)
{
	for (size_t i = 0; i < c->p->n; i++) {
		const struct op *op = &c->p->op[i];
		int fd = -2;

		if (op->kind == OP_ROOT)
			fd = root_source(c, op, e);
		else if (op->kind == OP_MOUNT && op->u.mount.bind)
			fd = bind_source(c, op, e);
		else if (op->kind == OP_MOUNT && op->u.mount.cgroup)
			fd = cgroup_sources(c, &op->u.mount, e) ? -1 : -2;
		else if (op->kind == OP_DEVICE && op->u.device.bind && op->u.device.type != S_IFIFO)
			fd = bind_device(op, e);
		if (fd == -1)
			return step_failed(op, e);
		if (fd >= 0)
			c->fd[i] = fd;
	}
	return 0;
}

/* ---- in init
 * ---------------------------------------------------------------------------------------------------
 */

static int attach(int fd, int target, struct kerr *e)
{
	if (sys_move_mount(fd, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
		0)
		return kerr_fail(e, KERR_MOUNT, errno, "attach the mount");
	return 0;
}

int do_propagation(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_FD int root = path_host_dir(AT_FDCWD, "/", e);

	(void)i;
	if (root < 0 ||
		set_attr(root, RECURSIVE, 0, 0, (uint64_t)op->u.number & ~(uint64_t)MS_REC, 0, e))
		return -1;
	c->private_mounts = true;
	return 0;
}

static int add_option(int fs, const char *option, struct kerr *e)
{
	CLEANUP_FREE char *key = mem_strdup(option);
	char *value = strchr(key, '=');
	int rc;

	if (value) {
		*value++ = '\0';
		rc = sys_fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0);
	} else {
		rc = sys_fsconfig(fs, FSCONFIG_SET_FLAG, key, NULL, 0);
	}
	return rc < 0 ? kerr_fail(e, KERR_MOUNT, errno, "option %s", option) : 0;
}

static int add_options(int fs, const char *data, struct kerr *e)
{
	CLEANUP_FREE char *copy = mem_strdup(data ? data : "");
	char *save = NULL;

	for (char *o = strtok_r(copy, ",", &save); o; o = strtok_r(NULL, ",", &save))
		if (add_option(fs, o, e))
			return -1;
	return 0;
}

static int new_filesystem(const char *type, const char *source, const char *data, uint32_t sb,
	uint64_t attr, struct kerr *e)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} flags[] = { { MS_SYNCHRONOUS, "sync" }, { MS_DIRSYNC, "dirsync" },
		{ 1u << 25, "lazytime" }, { MS_MANDLOCK, "mand" } };
	CLEANUP_FD int fs = sys_fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0)
		return kerr_fail(e, errno == ENODEV ? KERR_NODE_KERNEL : KERR_MOUNT, errno,
			"file system %s", type);
	if (source && *source && sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0 &&
		errno != EINVAL)
		return kerr_fail(e, KERR_MOUNT, errno, "source %s", source);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (sb & flags[i].bit &&
			sys_fsconfig(fs, FSCONFIG_SET_FLAG, flags[i].name, NULL, 0) < 0)
			return kerr_fail(e, KERR_MOUNT, errno, "option %s", flags[i].name);
	if (add_options(fs, data, e))
		return -1;
	if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return kerr_fail(e, errno == ENOENT ? KERR_MOUNT_SOURCE_MISSING : KERR_MOUNT, errno,
			"%s", type);
	fd = sys_fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attr);
	return fd < 0 ? kerr_fail(e, KERR_MOUNT, errno, "%s", type) : fd;
}

/* --volatile: changes go to a tmpfs of bounded size and are gone with the container. It is hung on
 * top of "/", where only "/.." leads: no path of the host is covered. */
static int overlay(int lower, uint64_t bytes, struct kerr *e)
{
	static const char data[] = "lowerdir=/../lower,upperdir=/../upper,workdir=/../work";
	CLEANUP_FREE char *size = mem_printf("size=%llu,mode=755", (unsigned long long)bytes);
	CLEANUP_FD int tmp = new_filesystem("tmpfs", "kapsel", size, 0, 0, e);
	CLEANUP_FD int top = path_host_dir(AT_FDCWD, "/", e);
	CLEANUP_FD int upper = -1;
	CLEANUP_FD int work = -1;
	CLEANUP_FD int under = -1;

	if (tmp < 0 || top < 0 || attach(tmp, top, e))
		return -1;
	upper = path_own_mkdir(tmp, "upper", 0755, e);
	work = path_own_mkdir(tmp, "work", 0755, e);
	under = path_own_mkdir(tmp, "lower", 0755, e);
	if (upper < 0 || work < 0 || under < 0 || attach(lower, under, e))
		return -1;
	return new_filesystem("overlay", "kapsel", data, 0, 0, e);
}

int do_root(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_FD int place = -1;

	/* Else the host would get all that follows. */
	if (!c->private_mounts)
		return kerr_fail(e, KERR_SELF_CHECK, 0, "the mounts of the host are still shared");
	if (op->u.root.volatile_overlay) {
		int fd = overlay(c->fd[i], op->u.root.volatile_bytes, e);

		if (fd < 0)
			return -1;
		close(c->fd[i]);
		c->fd[i] = fd;
	}
	/* On top of "/": every path of the host still leads where it did, which hooks rely on. */
	place = path_host_dir(AT_FDCWD, "/", e);
	if (place < 0 || attach(c->fd[i], place, e))
		return -1;
	c->root = c->fd[i];
	c->id[i] = fd_mount_id(c->root);
	return set_attr(c->root, RECURSIVE, 0, 0, MS_PRIVATE, 0, e);
}

static int target_of(struct container *c, const char *path, bool directory, struct kerr *e)
{
	if (directory)
		return path_in_mkdirs(c->root, path, 0755, 0, 0, e);
	return path_in_mkfile(c->root, path, e);
}

/* tmpcopyup: what the new tmpfs covers is copied into it first. */
static int copy_up(int from, int to, unsigned depth, struct kerr *e)
{
	struct path_names names;
	int rc = 0;

	if (depth == 32 || path_names(from, 65536, &names, e))
		return -1;
	for (size_t i = 0; i < names.n && rc == 0; i++)
		rc = path_own_copy(from, to, names.v[i], e);
	for (size_t i = 0; i < names.n && rc == 0; i++) {
		CLEANUP_FD int a =
			path_own(from, names.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, NULL);
		CLEANUP_FD int b = a < 0 ? -1
					 : path_own(to, names.v[i],
						   O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, NULL);

		if (a >= 0 && b >= 0)
			rc = copy_up(a, b, depth + 1, e);
	}
	path_names_free(&names);
	return rc;
}

/* "cpu,cpuacct" is found as "cpu" and as "cpuacct", too. */
static int link_controllers(int top, const char *name, struct kerr *e)
{
	for (int k = 0; strchr(name, ',') && k < CG_COUNT; k++) {
		const char *controller = cgroup_controller_name((enum cgroup_controller)k);

		if (strstr(name, controller) && path_in_symlink(top, name, controller, e))
			return -1;
	}
	return 0;
}

/* Full before anybody sees it: a directory for each hierarchy that the container has a part in. */
static int cgroup_top(struct container *c, const struct op_mount *m, int *dirs, struct kerr *e)
{
	size_t n;
	const struct cgroup_mount *mounts = cgroup_mounts(&n);
	CLEANUP_FD int top = new_filesystem(
		"tmpfs", "cgroup", "mode=755", 0, m->attr_set & ~(uint64_t)MOUNT_ATTR_RDONLY, e);

	for (size_t i = 0; top >= 0 && i < n; i++) {
		if (c->fd[c->p->n + i] < 0)
			continue;
		dirs[i] = path_own_mkdir(top, mounts[i].name, 0755, e);
		if (dirs[i] < 0 || link_controllers(top, mounts[i].name, e))
			return -1;
	}
	return fd_take(&top);
}

static bool is_v2_alone(void)
{
	size_t n;
	const struct cgroup_mount *mounts = cgroup_mounts(&n);

	return n == 1 && mounts[0].v2;
}

/* Without a cgroup of the container's own: the one that it is in, the caller's. In a cgroup
 * namespace of its own that is mounted anew, else the host's tree is all there is. Read-only,
 * whatever was asked: what is the user's is not the container's (runc's CVE-2023-25809). */
static int mount_callers_cgroups(
	struct container *c, const struct op *op, size_t at, int target, struct kerr *e)
{
	const struct op_mount *m = &op->u.mount;
	const uint64_t attr = m->attr_set | MOUNT_ATTR_RDONLY;
	size_t n;
	const struct cgroup_mount *mounts = cgroup_mounts(&n);
	CLEANUP_FD int top = -1;

	if (!oci_new_ns(c->p->spec, OCI_NS_CGROUP)) {
		CLEANUP_FD int host = path_host_dir(AT_FDCWD, "/sys/fs/cgroup", e);

		top = host < 0 ? -1 : tree(host, true, e);
	} else if (is_v2_alone()) {
		top = new_filesystem("cgroup2", "cgroup", NULL, 0, 0, e);
	} else {
		top = new_filesystem("tmpfs", "cgroup", "mode=755", 0, 0, e);
	}
	if (top < 0 || attach(top, target, e))
		return -1;
	c->id[at] = fd_mount_id(top);
	for (size_t i = 0; oci_new_ns(c->p->spec, OCI_NS_CGROUP) && !is_v2_alone() && i < n; i++) {
		CLEANUP_FD int dir = path_own_mkdir(top, mounts[i].name, 0755, e);
		CLEANUP_FD int fd = new_filesystem(
			mounts[i].v2 ? "cgroup2" : "cgroup", "cgroup", mounts[i].options, 0, 0, e);

		if (dir < 0 || fd < 0 || attach(fd, dir, e) ||
			link_controllers(top, mounts[i].name, e))
			return -1;
	}
	return set_attr(top, RECURSIVE, attr, 0, 0, 0, e);
}

/* v1: a tmpfs with a directory for each hierarchy; v2: the cgroup itself. */
static int mount_cgroups(struct container *c, const struct op *op, size_t at, struct kerr *e)
{
	size_t n;
	const struct cgroup_mount *mounts = cgroup_mounts(&n);
	CLEANUP_FD int target = target_of(c, op->target, true, e);
	CLEANUP_FD int top = -1;
	CLEANUP_FREE int *dirs = NULL;
	const struct op_mount *m = &op->u.mount;
	int rc = 0;

	if (target < 0)
		return -1;
	if (c->cgroup_binds == 0)
		return mount_callers_cgroups(c, op, at, target, e);
	if (n == 1 && mounts[0].v2) {
		c->id[at] = fd_mount_id(c->fd[c->p->n]);
		return attach(c->fd[c->p->n], target, e);
	}
	dirs = mem_array(n, sizeof *dirs);
	memset(dirs, -1, n * sizeof *dirs);
	top = cgroup_top(c, m, dirs, e);
	rc = top < 0 ? -1 : attach(top, target, e);
	if (rc == 0)
		c->id[at] = fd_mount_id(top);
	for (size_t i = 0; i < n; i++) {
		if (dirs[i] >= 0 && rc == 0) {
			rc = attach(c->fd[c->p->n + i], dirs[i], e);
			c->id[c->p->n + i] = fd_mount_id(c->fd[c->p->n + i]);
		}
		fd_closep(&dirs[i]);
	}
	if (rc == 0) /* of all at once, the tmpfs's read-only now that it is full */
		rc = set_attr(top, RECURSIVE, m->attr_set, m->attr_clr, 0, 0, e) ||
		     set_attr(top, RECURSIVE, m->attr_rec_set, m->attr_rec_clr, 0, 0, e);
	return rc ? -1 : 0;
}

int do_mount(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	const struct op_mount *m = &op->u.mount;
	CLEANUP_FD int made = -1;
	CLEANUP_FD int target = -1;
	int fd = c->fd[i];

	if (m->cgroup)
		return mount_cgroups(c, op, i, e);
	target = target_of(c, op->target, !m->bind || fd_is_dir(fd), e);
	if (target < 0)
		return -1;
	if (!m->bind) {
		/* A procfs may only be covered by itself: its files steer the whole set-up. */
		uint64_t attr = m->attr_set;

		fd = made = new_filesystem(m->type, m->source, m->data, m->sb_flags,
			m->copy_up ? attr & ~(uint64_t)MOUNT_ATTR_RDONLY : attr, e);
		if (fd < 0)
			return -1;
		if (m->attr_rec_set | m->attr_rec_clr &&
			set_attr(fd, RECURSIVE, m->attr_rec_set, m->attr_rec_clr, 0, 0, e))
			return -1;
	}
	if (fd_is_procfs(target) && !str_eq(m->type, "proc"))
		return kerr_fail(e, KERR_PATH_PROCFS, 0, "%s lies in a procfs", op->target);
	if (m->copy_up) {
		CLEANUP_FD int from = path_in(c->root, op->target, O_RDONLY | O_DIRECTORY, 0, e);

		if (from < 0 || copy_up(from, fd, 0, e) ||
			set_attr(fd, 0, m->attr_set & MOUNT_ATTR_RDONLY, 0, 0, 0, e))
			return -1;
	}
	if (attach(fd, target, e))
		return -1;
	c->id[i] = fd_mount_id(fd);
	if (set_propagation(fd, m, e))
		return -1;
	if (str_eq(m->type, "proc") || str_eq(m->type, "sysfs"))
		c->fd[i] = fd_take(&made); /* what is masked is masked in this one */
	return 0;
}

int do_device(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_FD int target = -1;

	if (!op->u.device.bind || op->u.device.type == S_IFIFO)
		return path_in_mknod(c->root, op->target, op->u.device.type | op->u.device.mode,
			makedev(op->u.device.major, op->u.device.minor), op->u.device.uid,
			op->u.device.gid, e);
	target = target_of(c, op->target, false, e);
	c->id[i] = fd_mount_id(c->fd[i]);
	return target < 0 ? -1 : attach(c->fd[i], target, e);
}

int do_console(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_FD int ptmx = path_in(c->root, "/dev/pts/ptmx", O_PATH, 0, e);
	CLEANUP_FD int master = -1;
	CLEANUP_FD int target = -1;
	CLEANUP_FD int bind = -1;
	struct winsize size = { .ws_row = op->u.console.rows, .ws_col = op->u.console.columns };
	int unlock = 0;

	if (ptmx < 0)
		return -1;
	if (!fd_is_chardev(ptmx, 5, 2) || !fd_is_devpts(ptmx))
		return kerr_fail(e, KERR_TERMINAL, 0,
			"/dev/pts/ptmx is no pty master: mount a devpts on /dev/pts");
	master = fd_reopen(ptmx, O_RDWR, e);
	if (master < 0)
		return -1;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return kerr_fail(e, KERR_TERMINAL, errno, "unlock the pty");
	c->slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->slave < 0)
		return kerr_fail(e, KERR_TERMINAL, errno, "open the pty's other end");
	if (size.ws_row && size.ws_col && ioctl(master, TIOCSWINSZ, &size) < 0)
		return kerr_fail(e, KERR_TERMINAL, errno, "set the console's size");
	if (fchown(c->slave, (uid_t)c->p->process->user.uid, (gid_t)-1) < 0)
		return kerr_fail(e, KERR_TERMINAL, errno, "owner of the pty");
	if (c->o->exec_target >= 0)
		return yield_turn(c, SYNC_MASTER, master, e);
	target = path_in_mkfile(c->root, "/dev/console", e);
	bind = target < 0 ? -1 : tree(c->slave, false, e);
	if (bind < 0 || attach(bind, target, e))
		return -1;
	c->id[i] = fd_mount_id(bind);
	return yield_turn(c, SYNC_MASTER, master, e);
}

int do_pivot(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)op;
	(void)i;
	if (fchdir(c->root) < 0 || sys_pivot_root(".", ".") < 0)
		return kerr_fail(e, KERR_MOUNT, errno, "pivot_root");
	/* "." is the old root now, stacked on the new one. */
	if (sys_umount_detach(".") < 0)
		return kerr_fail(e, KERR_MOUNT, errno, "detach the old root");
	if (fchdir(c->root) < 0)
		return kerr_fail(e, KERR_MOUNT, errno, "enter the new root");
	return 0;
}

int do_root_propagation(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	uint64_t how = (uint64_t)op->u.number;

	(void)i;
	return set_attr(c->root, how & MS_REC ? RECURSIVE : 0, 0, 0, how & ~(uint64_t)MS_REC, 0, e);
}

int do_root_readonly(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	const char *cwd = c->p->process->cwd;

	(void)op;
	(void)i;
	/* Images name working directories that they do not have: later it could not be made. */
	if (cwd && !str_eq(cwd, "/")) {
		CLEANUP_FD int dir = path_in(c->root, cwd, O_PATH | O_DIRECTORY, 0, NULL);

		if (dir < 0)
			dir = path_in_mkdirs(c->root, cwd, 0755, 0, 0, NULL);
	}
	return set_attr(c->root, 0, MOUNT_ATTR_RDONLY, 0, 0, 0, e);
}

static bool is_missing(const struct kerr *e)
{
	return e->sys == ENOENT || e->sys == ENOTDIR;
}

/* What follows the mount point of @mount in @path; NULL when it is not below it. */
static const char *rest_below(const char *mount, const char *path)
{
	size_t n = mount ? strlen(mount) : 0;

	return n && strncmp(path, mount, n) == 0 && path[n] == '/' && strstr(path, "..") == NULL
		       ? path + n + 1
		       : NULL;
}

int target_below(struct container *c, const struct op *op, struct kerr *e)
{
	const char *rest = op->target;
	int dir = c->root;

	for (size_t i = 0; i < c->p->n && &c->p->op[i] != op; i++) {
		const struct op *m = &c->p->op[i];
		const char *below = m->kind == OP_MOUNT ? rest_below(m->target, op->target) : NULL;

		/* Another's thread may have put a link or an empty directory in /proc's place; then
		 * nothing would be masked in the one that is seen through some other name. */
		if (below) {
			dir = c->fd[i] >= 0 && !m->u.mount.bind ? c->fd[i] : c->root;
			rest = dir == c->root ? op->target : below;
		}
	}
	return path_in(dir, rest, O_PATH, 0, e);
}

int do_readonly_path(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int target = target_below(c, op, &why);
	CLEANUP_FD int copy = -1;

	if (target < 0 && is_missing(&why)) {
		c->id[i] = ID_ABSENT;
		return 0;
	}
	if (target < 0) {
		kerr_move(e, &why);
		return -1;
	}
	copy = tree(target, true, e);
	if (copy < 0 || set_attr(copy, RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0, 0, e))
		return -1;
	c->id[i] = fd_mount_id(copy);
	return attach(copy, target, e);
}

static int null_device(struct container *c, struct kerr *e)
{
	CLEANUP_FD int null = path_in(c->root, "/dev/null", O_PATH, 0, e);

	if (null < 0)
		return -1;
	if (!fd_is_chardev(null, 1, 3))
		return kerr_fail(
			e, KERR_SELF_CHECK, 0, "the container's /dev/null is not the null device");
	return tree(null, false, e);
}

static int empty_directory(struct container *c, struct kerr *e)
{
	int fd;

	if (c->empty >= 0)
		return tree(c->empty, false, e);
	fd = new_filesystem("tmpfs", "masked", "size=4k,mode=755", 0,
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, e);
	if (fd >= 0)
		c->empty = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd;
}

int do_mask(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int target = target_below(c, op, &why);
	CLEANUP_FD int cover = -1;

	if (target < 0 && is_missing(&why)) {
		c->id[i] = ID_ABSENT;
		return 0;
	}
	if (target < 0) {
		kerr_move(e, &why);
		return -1;
	}
	cover = fd_is_dir(target) ? empty_directory(c, e) : null_device(c, e);
	if (cover < 0)
		return -1;
	c->id[i] = fd_mount_id(cover);
	return attach(cover, target, e);
}
