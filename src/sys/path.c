/* SPDX-License-Identifier: Apache-2.0 */
/* The one safe open: the only file of Kapsel that gives a path to the kernel. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <kapsel/sys.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

enum { RESOLVE_TRIES = 32, READ_CHUNK = 16384, NAME_BYTES = 4096 };

static int openat2_again(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	int fd = -1;

	/* EAGAIN: a rename or mount raced with "..": ask again, but not for ever. */
	for (int i = 0; i < RESOLVE_TRIES; i++) {
		fd = sys_openat2(dir, path, flags | O_CLOEXEC, mode, resolve);
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd;
}

int path_host(int at, const char *path, int flags, struct kerr *e)
{
	int fd = openat(at, path, flags | O_CLOEXEC | O_NOCTTY, 0600);

	return fd < 0 ? kerr_fail(e, KERR_PATH_OPEN, errno, "%s", path) : fd;
}

int path_host_dir(int at, const char *path, struct kerr *e)
{
	return path_host(at, path, O_PATH | O_DIRECTORY, e);
}

static int open_in(int root, const char *path, int flags, mode_t mode)
{
	return openat2_again(root, path,
		(uint64_t)(unsigned)(flags & O_PATH ? flags : flags | O_NOCTTY), mode,
		RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int path_in(int root, const char *path, int flags, mode_t mode, struct kerr *e)
{
	int fd = open_in(root, path, flags, mode);

	return fd < 0 ? kerr_fail(e, KERR_PATH_OPEN, errno, "%s", path) : fd;
}

static int open_own(int dir, const char *name, int flags, mode_t mode)
{
	return openat2_again(dir, name, (uint64_t)(unsigned)flags, mode,
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int path_own(int dir, const char *name, int flags, mode_t mode, struct kerr *e)
{
	int fd = open_own(dir, name, flags, mode);

	return fd < 0 ? kerr_fail(e, KERR_PATH_OPEN, errno, "%s", name) : fd;
}

/* ---- below a stranger's root ----------------------------------------------------------------- */

/* The next component of *path into @name; false at the end, errno ENAMETOOLONG when it is too long.
 */
static int next_component(const char **path, char name[static NAME_MAX + 1])
{
	size_t n;

	*path += strspn(*path, "/");
	n = strcspn(*path, "/");
	if (n == 0)
		return 0;
	if (n > NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, *path, n);
	name[n] = '\0';
	*path += n;
	return 1;
}

/* The longest part of @path that is there is found by the kernel within @root, so links and ".."
 * stay inside; what is missing is then made one name at a time, and can hold neither. */
struct way {
	char *text; /* what has been resolved so far, "" at first */
	int dir;    /* O_PATH of it */
};

static int enter(int root, struct way *w, const char *name, mode_t mode, uid_t uid, gid_t gid,
	struct kerr *e)
{
	CLEANUP_FREE char *longer = mem_printf("%s/%s", w->text, name);
	int fd = open_in(root, longer, O_PATH | O_DIRECTORY, 0);

	if (fd < 0 && errno == ENOENT && !str_eq(name, "..") && !str_eq(name, ".")) {
		if (mkdirat(w->dir, name, mode) < 0 && errno != EEXIST)
			return kerr_fail(e, KERR_PATH_WRITE, errno, "make directory %s", longer);
		fd = open_own(w->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
		if (fd >= 0 && (uid || gid) && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0) {
			close(fd);
			return kerr_fail(e, KERR_PATH_WRITE, errno, "owner of %s", longer);
		}
	}
	if (fd < 0)
		return kerr_fail(e,
			errno == ENOTDIR || errno == ELOOP ? KERR_PATH_TYPE : KERR_PATH_OPEN, errno,
			"%s", longer);
	close(w->dir);
	w->dir = fd;
	free(w->text);
	w->text = longer;
	longer = NULL;
	return 0;
}

static int walk(int root, const char *path, mode_t mode, uid_t uid, gid_t gid, struct kerr *e)
{
	char name[NAME_MAX + 1];
	struct way w = { mem_strdup(""), open_in(root, ".", O_PATH | O_DIRECTORY, 0) };
	const char *rest = path;
	int more = -1;

	if (w.dir < 0)
		kerr_fail(e, KERR_PATH_OPEN, errno, "root for %s", path);
	else
		while ((more = next_component(&rest, name)) > 0 &&
			enter(root, &w, name, mode, uid, gid, e) == 0)
			;
	if (more < 0 && w.dir >= 0)
		kerr_fail(e, KERR_PATH_OPEN, errno, "%s", path);
	free(w.text);
	if (more == 0)
		return w.dir;
	fd_closep(&w.dir);
	return -1;
}

/* The usual case: all but the last are there. -1 where that is not so, or anything else is unusual.
 */
static int make_last(int root, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	CLEANUP_FREE char *up =
		slash && slash > path ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup("/");
	CLEANUP_FD int dir = -1;

	if (*name == '\0' || str_eq(name, ".") || str_eq(name, "..") || uid || gid)
		return -1;
	dir = open_in(root, up, O_PATH | O_DIRECTORY, 0);
	if (dir < 0 || mkdirat(dir, name, mode) < 0)
		return -1;
	return open_own(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
}

int path_in_mkdirs(int root, const char *path, mode_t mode, uid_t uid, gid_t gid, struct kerr *e)
{
	int fd = open_in(root, path, O_PATH | O_DIRECTORY, 0);

	if (fd >= 0)
		return fd;
	fd = errno == ENOENT ? make_last(root, path, mode, uid, gid) : -1;
	return fd >= 0 ? fd : walk(root, path, mode, uid, gid, e);
}

/* Splits "/a/b/c" into an fd of "/a/b" (made if missing) and "c". */
static int parent_in(int root, const char *path, char name[static NAME_MAX + 1], struct kerr *e)
{
	const char *end = path + strlen(path), *slash;
	CLEANUP_FREE char *up = NULL;

	while (end > path && end[-1] == '/')
		end--;
	for (slash = end; slash > path && slash[-1] != '/';)
		slash--;
	if (end == slash || end - slash > NAME_MAX)
		return kerr_fail(e, KERR_PATH_TYPE, 0, "%s names no file", path);
	memcpy(name, slash, (size_t)(end - slash));
	name[end - slash] = '\0';
	if (str_eq(name, ".") || str_eq(name, ".."))
		return kerr_fail(e, KERR_PATH_TYPE, 0, "%s names no file", path);
	up = mem_strndup(path, (size_t)(slash - path));
	return path_in_mkdirs(root, *up ? up : ".", 0755, 0, 0, e);
}

int path_in_mkfile(int root, const char *path, struct kerr *e)
{
	char name[NAME_MAX + 1];
	CLEANUP_FD int dir = -1;
	int fd = open_in(root, path, O_PATH, 0);

	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return kerr_fail(e,
			errno == ENOTDIR || errno == ELOOP ? KERR_PATH_TYPE : KERR_PATH_OPEN, errno,
			"%s", path);
	dir = parent_in(root, path, name, e);
	if (dir < 0)
		return -1;
	fd = open_own(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0644);
	if (fd < 0)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "make %s", path);
	close(fd);
	fd = open_own(dir, name, O_PATH | O_NOFOLLOW, 0);
	return fd < 0 ? kerr_fail(e, KERR_PATH_OPEN, errno, "%s", path) : fd;
}

int path_in_symlink(int root, const char *target, const char *path, struct kerr *e)
{
	char name[NAME_MAX + 1];
	CLEANUP_FD int dir = parent_in(root, path, name, e);

	if (dir < 0)
		return -1;
	if (symlinkat(target, dir, name) < 0 && errno != EEXIST)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "link %s", path);
	return 0;
}

static bool same_node(int node, mode_t type, dev_t rdev)
{
	struct stat st;

	return fstat(node, &st) == 0 && (st.st_mode & S_IFMT) == (type & S_IFMT) &&
	       (!(S_ISCHR(type) || S_ISBLK(type)) || st.st_rdev == rdev);
}

/* By the fd, since a name may have become a link meanwhile: chmod follows it. */
static int chmod_fd(int fd, mode_t mode)
{
	char name[32];
	int proc = proc_root(NULL);

	snprintf(name, sizeof name, "self/fd/%d", fd);
	return proc < 0 ? -1 : fchmodat(proc, name, mode & 07777, 0);
}

int path_in_mknod(int root, const char *path, mode_t type_and_mode, dev_t rdev, uid_t uid,
	gid_t gid, struct kerr *e)
{
	char name[NAME_MAX + 1];
	CLEANUP_FD int dir = parent_in(root, path, name, e);
	CLEANUP_FD int node = -1;

	if (dir < 0)
		return -1;
	if (mknodat(dir, name, type_and_mode, rdev) < 0 && errno != EEXIST)
		return kerr_fail(e, KERR_DEVICE, errno, "make %s", path);
	/* Whoever else writes to this root may have put something else there. */
	node = open_own(dir, name, O_PATH | O_NOFOLLOW, 0);
	if (node < 0 || !same_node(node, type_and_mode, rdev))
		return kerr_fail(e, KERR_PATH_TYPE, 0, "%s is there and is something else", path);
	/* The mode is set again: mknod's is cut by the umask. */
	if (fchownat(node, "", uid, gid, AT_EMPTY_PATH) < 0)
		return kerr_fail(e, KERR_DEVICE, errno, "owner of %s", path);
	if (chmod_fd(node, type_and_mode) < 0)
		return kerr_fail(e, KERR_DEVICE, errno, "mode of %s", path);
	return 0;
}

/* ---- our own directories ----------------------------------------------------------------------
 */

int path_own_mkdir(int dir, const char *name, mode_t mode, struct kerr *e)
{
	int fd;

	if (mkdirat(dir, name, mode) < 0)
		return kerr_fail(e, errno == EEXIST ? KERR_ALREADY_EXISTS : KERR_PATH_WRITE, errno,
			"make directory %s", name);
	fd = path_own(dir, name, O_RDONLY | O_DIRECTORY, 0, e);
	if (fd < 0)
		unlinkat(dir, name, AT_REMOVEDIR); /* who is told of a failure undoes nothing */
	return fd;
}

int path_own_mkdirs(int at, const char *path, mode_t mode, struct kerr *e)
{
	CLEANUP_FREE char *copy = mem_strdup(path);

	for (char *p = copy + 1; *copy && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdirat(at, copy, 0755) < 0 && errno != EEXIST)
			return kerr_fail(e, KERR_PATH_WRITE, errno, "make directory %s", copy);
		*p = '/';
	}
	if (mkdirat(at, path, mode) < 0 && errno != EEXIST)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "make directory %s", path);
	return path_host(at, path, O_RDONLY | O_DIRECTORY, e);
}

int path_own_unlink(int dir, const char *name, bool directory, struct kerr *e)
{
	if (unlinkat(dir, name, directory ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
		return kerr_fail(
			e, errno == EBUSY ? KERR_BUSY : KERR_PATH_WRITE, errno, "remove %s", name);
	return 0;
}

int path_own_rename(int dir, const char *from, const char *to, bool no_replace, struct kerr *e)
{
	if (syscall(SYS_renameat2, dir, from, dir, to, no_replace ? RENAME_NOREPLACE : 0) < 0)
		return kerr_fail(e, errno == EEXIST ? KERR_ALREADY_EXISTS : KERR_PATH_WRITE, errno,
			"rename %s to %s", from, to);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void path_names_free(struct path_names *n)
{
	for (size_t i = 0; i < n->n; i++)
		free(n->v[i]);
	free(n->v);
	*n = (struct path_names) { NULL, 0 };
}

static int read_names(DIR *d, size_t most, struct path_names *out, struct kerr *e)
{
	struct dirent *entry;
	size_t cap = 0;

	while ((errno = 0, entry = readdir(d))) {
		if (str_eq(entry->d_name, ".") || str_eq(entry->d_name, ".."))
			continue;
		if (out->n == most)
			return kerr_fail(
				e, KERR_LIMIT, 0, "more than %zu entries in a directory", most);
		if (out->n == cap) {
			cap = cap ? cap * 2 : 16;
			out->v = mem_grow(out->v, cap, sizeof *out->v);
		}
		out->v[out->n++] = mem_strdup(entry->d_name);
	}
	return errno ? kerr_fail(e, KERR_PATH_OPEN, errno, "read a directory") : 0;
}

int path_names(int dir, size_t most, struct path_names *out, struct kerr *e)
{
	int fd = open_own(dir, ".", O_RDONLY | O_DIRECTORY, 0), rc;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	*out = (struct path_names) { NULL, 0 };
	if (d == NULL) {
		fd_closep(&fd);
		return kerr_fail(e, KERR_PATH_OPEN, errno, "read a directory");
	}
	rc = read_names(d, most, out, e);
	closedir(d);
	if (rc)
		path_names_free(out);
	else if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_name);
	return rc;
}

enum { TREE_DEPTH = 64, TREE_NAMES = 1 << 20 };

static int remove_below(int parent, const char *name, dev_t dev, unsigned depth, struct kerr *e)
{
	struct path_names names;
	struct stat st;
	CLEANUP_FD int dir = -1;
	int rc = 0;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "remove %s", name);
	dir = open_own(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0 || fstat(dir, &st) < 0)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "remove %s", name);
	if (st.st_dev != dev || depth == TREE_DEPTH)
		return kerr_fail(
			e, KERR_PATH_WRITE, 0, "remove %s: another mount, or too deep", name);
	if (path_names(dir, TREE_NAMES, &names, e))
		return -1;
	for (size_t i = 0; i < names.n && rc == 0; i++)
		rc = remove_below(dir, names.v[i], dev, depth + 1, e);
	path_names_free(&names);
	return rc ? kerr_step(e, "%s", name) : path_own_unlink(parent, name, true, e);
}

int path_own_remove_tree(int dir, const char *name, struct kerr *e)
{
	struct stat st;

	if (fstat(dir, &st) < 0)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "remove %s", name);
	return remove_below(dir, name, st.st_dev, 0, e);
}

/* ---- contents ----------------------------------------------------------------------------------
 */

int fd_read_all(int fd, size_t most, struct buf *out, struct kerr *e)
{
	char chunk[READ_CHUNK];
	size_t total = 0;

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof chunk);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return kerr_fail(e, KERR_PATH_OPEN, errno, "read");
		if (n == 0)
			return 0;
		total += (size_t)n;
		if (total > most)
			return kerr_fail(e, KERR_LIMIT, 0, "larger than %zu bytes", most);
		buf_add(out, chunk, (size_t)n);
	}
}

int path_read(int dir, const char *name, size_t most, struct buf *out, struct kerr *e)
{
	CLEANUP_FD int fd = path_own(dir, name, O_RDONLY, 0, e);

	if (fd < 0)
		return -1;
	return fd_read_all(fd, most, out, e) ? kerr_step(e, "%s", name) : 0;
}

int path_write(int dir, const char *name, const char *data, size_t len, struct kerr *e)
{
	CLEANUP_FD int fd = path_own(dir, name, O_WRONLY, 0, e);
	ssize_t n;

	if (fd < 0)
		return -1;
	do
		n = write(fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n < 0 || (size_t)n != len)
		return kerr_fail(e, KERR_PATH_WRITE, n < 0 ? errno : 0, "write '%.*s' to %s",
			(int)(len > 100 ? 100 : len), data, name);
	return 0;
}

static int write_whole(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int replace_by(int dir, const char *tmp, const char *name, const void *data, size_t len,
	mode_t mode, bool durable)
{
	CLEANUP_FD int fd = open_own(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode);

	if (fd < 0 || write_whole(fd, data, len) < 0 || (durable && fsync(fd) < 0) ||
		renameat(dir, tmp, dir, name) < 0)
		return -1;
	if (!durable)
		return 0;
	fd_closep(&fd);
	fd = open_own(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? -1 : fsync(fd);
}

int path_replace(int dir, const char *name, const void *data, size_t len, mode_t mode, bool durable,
	struct kerr *e)
{
	CLEANUP_FREE char *tmp = mem_printf(".%s.new", name);
	int saved;

	if (replace_by(dir, tmp, name, data, len, mode, durable) == 0)
		return 0;
	saved = errno;
	unlinkat(dir, tmp, 0);
	return kerr_fail(e, KERR_PATH_WRITE, saved, "write %s", name);
}

int path_make(int dir, const char *name, const void *data, size_t len, mode_t mode, struct kerr *e)
{
	CLEANUP_FD int fd = open_own(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);

	if (fd < 0 || write_whole(fd, data, len) < 0)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "write %s", name);
	return 0;
}

static int copy_bytes(int from, int to, const char *name, struct kerr *e)
{
	char chunk[READ_CHUNK];
	ssize_t n;

	while ((n = read(from, chunk, sizeof chunk)) > 0)
		if (write_whole(to, chunk, (size_t)n) < 0)
			return kerr_fail(e, KERR_PATH_WRITE, errno, "copy %s", name);
	return n < 0 ? kerr_fail(e, KERR_PATH_OPEN, errno, "copy %s", name) : 0;
}

static int copy_entry(int from, int to, const char *name, const struct stat *st, struct kerr *e)
{
	CLEANUP_FD int in = -1;
	CLEANUP_FD int out = -1;
	char link[NAME_BYTES];
	ssize_t n;

	if (S_ISDIR(st->st_mode))
		return mkdirat(to, name, 0700) < 0 && errno != EEXIST ? -1 : 0;
	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(from, name, link, sizeof link - 1);
		if (n < 0)
			return -1;
		link[n] = '\0';
		return symlinkat(link, to, name);
	}
	if (!S_ISREG(st->st_mode))
		return mknodat(to, name, st->st_mode & S_IFMT, st->st_rdev);
	in = open_own(from, name, O_RDONLY | O_NOFOLLOW, 0);
	out = in < 0 ? -1 : open_own(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	return out < 0 ? -1 : copy_bytes(in, out, name, e);
}

int path_own_copy(int from, int to, const char *name, struct kerr *e)
{
	CLEANUP_FD int made = -1;
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		copy_entry(from, to, name, &st, e) < 0 ||
		(made = open_own(to, name, O_PATH | O_NOFOLLOW, 0)) < 0 ||
		fchownat(made, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0 ||
		(!S_ISLNK(st.st_mode) && chmod_fd(made, st.st_mode) < 0))
		return kerr_fail(e, KERR_PATH_WRITE, errno, "copy %s", name);
	return 0;
}

int path_host_chown(const char *path, uid_t uid, gid_t gid)
{
	return fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

int path_can_execute(const char *path)
{
	struct stat st;

	if (fstatat(AT_FDCWD, path, &st, 0) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	if (syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 0;
	if (errno == ENOSYS) /* before Linux 5.8: execve will tell */
		return st.st_mode & 0111 ? 0 : EACCES;
	return errno;
}

/* ---- what an fd is ------------------------------------------------------------------------------
 */

int fd_reopen(int fd, int flags, struct kerr *e)
{
	char name[32];
	int proc = proc_root(e), opened;

	if (proc < 0)
		return -1;
	snprintf(name, sizeof name, "self/fd/%d", fd);
	/* A magic link on purpose: procfs is verified and the fd is ours. */
	opened = openat(proc, name, flags | O_CLOEXEC | O_NOCTTY);
	return opened < 0 ? kerr_fail(e, KERR_PATH_OPEN, errno, "reopen fd %d", fd) : opened;
}

int fd_stat(int fd, struct stat *st, struct kerr *e)
{
	return fstat(fd, st) < 0 ? kerr_fail(e, KERR_PATH_OPEN, errno, "stat") : 0;
}

bool fd_is_dir(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

uint64_t fd_mount_id(int fd)
{
	uint64_t st[32] = { 0 }; /* struct statx: its headers differ from libc to libc */

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0x1000u /* STATX_MNT_ID */, st) < 0 ||
		!((uint32_t)st[0] & 0x1000u))
		return 0;
	return st[18]; /* stx_mnt_id, byte 144 */
}

static bool is_of(int fd, unsigned long magic)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == magic;
}

bool fd_is_procfs(int fd)
{
	return is_of(fd, PROC_SUPER_MAGIC);
}

bool fd_is_devpts(int fd)
{
	return is_of(fd, DEVPTS_SUPER_MAGIC);
}

bool fd_is_namespace(int fd)
{
	return is_of(fd, NSFS_MAGIC);
}

bool fd_is_chardev(int fd, unsigned maj, unsigned min)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && major(st.st_rdev) == maj &&
	       minor(st.st_rdev) == min;
}

int fd_path(int fd, struct buf *out, struct kerr *e)
{
	char name[32], link[NAME_BYTES];
	int proc = proc_root(e);
	ssize_t n;

	if (proc < 0)
		return -1;
	snprintf(name, sizeof name, "self/fd/%d", fd);
	n = readlinkat(proc, name, link, sizeof link);
	if (n < 0)
		return kerr_fail(e, KERR_PATH_OPEN, errno, "path of fd %d", fd);
	buf_add(out, link, (size_t)n);
	return 0;
}

/* ---- sockets: through the directory's fd, since sun_path holds 108 bytes -----------------------
 */

static int socket_address(struct sockaddr_un *a, int dir, const char *name, struct kerr *e)
{
	int n;

	*a = (struct sockaddr_un) { .sun_family = AF_UNIX };
	n = snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof a->sun_path)
		return kerr_fail(e, KERR_PATH_OPEN, ENAMETOOLONG, "socket %s", name);
	return 0;
}

int path_connect(int dir, const char *name, int type, struct kerr *e)
{
	CLEANUP_FD int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un a;

	if (s < 0)
		return kerr_fail(e, KERR_PATH_OPEN, errno, "socket");
	if (socket_address(&a, dir, name, e))
		return -1;
	if (connect(s, (struct sockaddr *)&a, sizeof a) < 0)
		return kerr_fail(e, KERR_PATH_OPEN, errno, "connect to %s", name);
	return fd_take(&s);
}

static bool is_dead_socket(int dir, const char *name, int type)
{
	struct stat st;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_FD int s = -1;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	s = path_connect(dir, name, type & ~SOCK_NONBLOCK, &e);
	return s < 0 && e.sys == ECONNREFUSED;
}

int path_listen(int dir, const char *name, int type, mode_t mode, struct kerr *e)
{
	CLEANUP_FD int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un a;

	if (s < 0)
		return kerr_fail(e, KERR_PATH_OPEN, errno, "socket");
	if (socket_address(&a, dir, name, e))
		return -1;
	if (is_dead_socket(dir, name, type))
		unlinkat(dir, name, 0);
	/* Linux takes a socket file's first mode from the socket's own inode: no moment with more.
	 */
	if (fchmod(s, mode) < 0 || bind(s, (struct sockaddr *)&a, sizeof a) < 0)
		return kerr_fail(e, errno == EADDRINUSE ? KERR_ALREADY_EXISTS : KERR_PATH_WRITE,
			errno, "bind %s", name);
	if (fchmodat(dir, name, mode, 0) < 0 ||
		((type & 0xf) != SOCK_DGRAM && listen(s, 4096) < 0)) {
		int saved = errno;

		unlinkat(dir, name, 0);
		return kerr_fail(e, KERR_PATH_WRITE, saved, "listen on %s", name);
	}
	return fd_take(&s);
}

/* Splits @path at its last slash: returns an fd of the directory, *name points into @path. */
static int split_host(const char *path, const char **name, struct kerr *e)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *up =
		slash ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");

	*name = slash ? slash + 1 : path;
	return path_host_dir(AT_FDCWD, up, e);
}

int path_listen_host(const char *path, int type, mode_t mode, struct kerr *e)
{
	const char *name;
	CLEANUP_FD int dir = split_host(path, &name, e);

	return dir < 0 ? -1 : path_listen(dir, name, type, mode, e);
}

int path_connect_host(const char *path, int type, struct kerr *e)
{
	const char *name;
	CLEANUP_FD int dir = -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	CLEANUP_FD int s = -1;

	if (strlen(path) >= sizeof a.sun_path) {
		dir = split_host(path, &name, e);
		return dir < 0 ? -1 : path_connect(dir, name, type, e);
	}
	s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (s < 0)
		return kerr_fail(e, KERR_PATH_OPEN, errno, "socket");
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (connect(s, (struct sockaddr *)&a, sizeof a) < 0)
		return kerr_fail(e, KERR_PATH_OPEN, errno, "connect to %s", path);
	return fd_take(&s);
}

int path_host_chgrp(const char *path, gid_t gid, struct kerr *e)
{
	CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_PATH | O_NOFOLLOW, e);

	if (fd < 0)
		return -1;
	if (fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) < 0)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "group of %s", path);
	return 0;
}

/* ---- mounts -------------------------------------------------------------------------------------
 */

int sys_umount_detach(const char *path)
{
	return umount2(path, MNT_DETACH);
}
