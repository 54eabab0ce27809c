/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys: the kernel's doors. Paths as directory fd + name, processes as pidfds, the mount API,
 * procfs, sockets with fds, the event loop. Everything opened here is O_CLOEXEC.
 * Every function that can fail returns -1 and fills @e; it leaves nothing half made.
 */
#ifndef KAPSEL_SYS_H
#define KAPSEL_SYS_H

#include <fcntl.h>
#include <kapsel/base.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---- path.c: the one safe open --------------------------------------------------------------
 *
 * path_host*: what the caller named (bundles, bind sources, namespaces, logs): the kernel's
 *   ordinary resolution, to O_PATH; the caller then checks the type.
 * path_in*:   what lies below a root that a stranger wrote: RESOLVE_IN_ROOT|NO_MAGICLINKS, symlinks
 *   stay inside; EAGAIN is tried 32 times.
 * path_own*:  names in our own directories: RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS.
 */
int path_host(int at, const char *path, int flags,
	struct kerr *e); /* flags as open(2); at may be AT_FDCWD */
int path_host_dir(int at, const char *path, struct kerr *e); /* O_PATH|O_DIRECTORY */
int path_in(int root, const char *path, int flags, mode_t mode, struct kerr *e);
int path_own(int dir, const char *name, int flags, mode_t mode, struct kerr *e);

/* mkdir -p below @root; returns an O_PATH fd of the last directory. New ones get @mode and
 * belong to @uid:@gid. Fails with KERR_PATH_TYPE where a component is no directory. */
int path_in_mkdirs(int root, const char *path, mode_t mode, uid_t uid, gid_t gid, struct kerr *e);
/* An O_PATH fd of @path below @root; if it is missing it is made as an empty regular file
 * (parents as directories). For bind targets. */
int path_in_mkfile(int root, const char *path, struct kerr *e);
int path_in_symlink(
	int root, const char *target, const char *path, struct kerr *e); /* EEXIST is fine */
int path_in_mknod(int root, const char *path, mode_t type_and_mode, dev_t rdev, uid_t uid,
	gid_t gid,
	struct kerr *e); /* parents are made; existing node of the same type and rdev is fine */

int path_own_mkdir(int dir, const char *name, mode_t mode,
	struct kerr *e); /* fd; EEXIST: KERR_ALREADY_EXISTS */
int path_own_mkdirs(
	int at, const char *path, mode_t mode, struct kerr *e); /* mkdir -p of a host path; fd */
int path_own_unlink(int dir, const char *name, bool directory, struct kerr *e); /* ENOENT is fine */
int path_own_remove_tree(
	int dir, const char *name, struct kerr *e); /* ENOENT is fine; stays on one mount */
int path_own_rename(int dir, const char *from, const char *to, bool no_replace, struct kerr *e);
/* The names in @dir but "." and "..", sorted; stops at @most with KERR_LIMIT. Freed by
 * path_names_free. */
struct path_names {
	char **v;
	size_t n;
};
int path_names(int dir, size_t most, struct path_names *out, struct kerr *e);
void path_names_free(struct path_names *n);

/* Whole contents, at most @most bytes (KERR_LIMIT beyond). */
int path_read(int dir, const char *name, size_t most, struct buf *out, struct kerr *e);
int fd_read_all(int fd, size_t most, struct buf *out, struct kerr *e);
/* One write(2) of @data to an existing file (cgroup, procfs-like): short writes are errors. */
int path_write(int dir, const char *name, const char *data, size_t len, struct kerr *e);
/* New contents, all or nothing: tmp, write, [fsync,] rename[, fsync of the directory]. */
int path_replace(int dir, const char *name, const void *data, size_t len, mode_t mode, bool durable,
	struct kerr *e);
/* A new file: for a directory that nobody reads before all of it is there. */
int path_make(int dir, const char *name, const void *data, size_t len, mode_t mode, struct kerr *e);
/* Reopen an O_PATH fd with other flags through our own procfs. */
int fd_reopen(int fd, int flags, struct kerr *e);
int fd_stat(int fd, struct stat *st, struct kerr *e);
bool fd_is_dir(int fd);
bool fd_is_procfs(int fd);
bool fd_is_devpts(int fd);
bool fd_is_namespace(int fd);
uint64_t fd_mount_id(int fd); /* as in mountinfo: of the mount that @fd is on; 0 when unknown */
bool fd_is_chardev(int fd, unsigned major, unsigned minor);
int fd_path(int fd, struct buf *out,
	struct kerr *e); /* readlink of our procfs's self/fd/N: for messages */
/* One entry of a directory into another: its type, mode, owner and, of a file, its contents.
 * Directories are made, not entered. */
int path_own_copy(int from, int to, const char *name, struct kerr *e);
int path_host_chown(const char *path, uid_t uid, gid_t gid); /* a socket of our own; 0 or -1 */
int path_can_execute(const char *path); /* 0, or why not: errno; by the effective ids */
/* Nobody but path.c names a path: sockets, too, are reached by directory fd and name. */
int path_listen(int dir, const char *name, int type, mode_t mode,
	struct kerr *e);					       /* replaces a dead socket */
int path_connect(int dir, const char *name, int type, struct kerr *e); /* non-blocking off */
int path_listen_host(const char *path, int type, mode_t mode, struct kerr *e); /* any length */
int path_connect_host(const char *path, int type, struct kerr *e);
int path_host_chgrp(const char *path, gid_t gid, struct kerr *e); /* of a socket that we made */

/* ---- procfs.c: one verified procfs ----------------------------------------------------------- */

/* Opens and verifies procfs (fsopen+fsmount if privileged, else the host's /proc checked by magic
 * and inode) the first time; the fd stays ours. */
int proc_root(struct kerr *e);
int proc_open(const char *name, int flags,
	struct kerr *e); /* "self/status", "sys/net/..."; NO_XDEV, no magic links */
int proc_read(const char *name, size_t most, struct buf *out, struct kerr *e);
/* One write, then the value is read back where the file can be read; unequal: KERR_SELF_CHECK. */
int proc_write(const char *name, const char *value, bool read_back, struct kerr *e);
int proc_ns(
	const char *name, struct kerr *e); /* "self/ns/net", "PID/ns/user": the namespace itself */
/* The inode of what "self/ns/net" leads to: which namespace it is. 0 when there is none. */
/* The same words, whatever blanks part them: the kernel has its own. */
bool proc_same_value(const char *a, const char *b);
uint64_t proc_inode(const char *name);
void proc_close(void); /* before a container's program runs */
int proc_take(void);   /* the same, but the fd is the caller's now; -1: there is none */
/* The one to be used from now on, -1 for none. For two processes that share memory but no fds: each
 * says its own when its turn comes. */
void proc_use(int fd);

/* ---- process.c: a process is a pidfd ----------------------------------------------------------
 */

int pidfd_open_pid(pid_t pid, struct kerr *e);
/* Opens @pid only if its start time (field 22 of stat, clock ticks) is @start: no stranger is met.
 */
int pidfd_open_known(pid_t pid, uint64_t start, struct kerr *e);
int pidfd_signal(int pidfd, int sig, struct kerr *e); /* ESRCH: KERR_NOT_RUNNING */
int pidfd_wait(
	int pidfd, siginfo_t *out, bool nohang, struct kerr *e); /* waitid(P_PIDFD, WEXITED) */
bool pidfd_gone(int pidfd);					 /* polls: true when it has ended */
uint64_t process_start_time(pid_t pid);				 /* 0 if there is none */
/* From now on this process takes the CPU from nobody when it wakes up, sched(7) SCHED_BATCH; if a
 * policy has been chosen for it, that stays. Children inherit it. */
void process_gives_way(void);
int boot_id(char out[37], struct kerr *e); /* /proc/sys/kernel/random/boot_id */

struct spawn {		  /* a program of ours or of the bundle's hooks */
	const char *path; /* absolute, or NULL with exe_fd */
	int exe_fd;	  /* -1, or executed with execveat */
	char *const *argv, *const *envp;
	const int *fds; /* become 0, 1, 2, ... nfds-1 of the program; -1 is /dev/null */
	size_t nfds;
	int cwd_fd; /* -1: unchanged */
	bool new_session, new_group;
	int death_signal; /* PR_SET_PDEATHSIG, or 0 */
};
/* vfork-like: CLONE_VM|CLONE_VFORK|CLONE_PIDFD; all other fds are closed; signals are reset. */
int spawn_run(const struct spawn *s, pid_t *pid, struct kerr *e); /* returns the pidfd */

/* ---- kernel.c: calls the libc lacks; raw: -1 and errno ----------------------------------------
 */

struct clone_args;
long sys_clone3(struct clone_args *a, size_t size);
/* The same on the stack that @a names, where the child calls @f, which does not return. -1 and
 * ENOSYS on an architecture that we have no code for. */
long sys_clone3_call(struct clone_args *a, size_t size, void (*f)(void *), void *arg);
int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int sys_open_tree(int dir, const char *path, unsigned flags);
int sys_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int sys_fsopen(const char *fs, unsigned flags);
int sys_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux);
int sys_fsmount(int fd, unsigned flags, unsigned attr);
int sys_fspick(int dir, const char *path, unsigned flags);
struct mount_attr;
int sys_mount_setattr(int dir, const char *path, unsigned flags, struct mount_attr *a, size_t size);
/* A detached mount of one file or directory that nothing can be written through: changed before it
 * is attached anywhere, and attached nowhere. */
int sys_read_only_copy(int fd, struct kerr *e);
int sys_pivot_root(const char *new_root, const char *put_old);
int sys_umount_detach(const char *path); /* umount2(MNT_DETACH) */
int sys_close_range(unsigned from, unsigned to, unsigned flags);
/* Every signal to its default, those too that the C library keeps for itself and a caller may have
 * ignored. */
void sys_signals_default(void);
int sys_pidfd_open(pid_t pid, unsigned flags);
int sys_pidfd_getfd(int pidfd, int fd, unsigned flags);
int sys_memfd(const char *name, unsigned flags);

/* ---- socket.c ----------------------------------------------------------------------------------
 */

int socket_pair(int type, int out[2], struct kerr *e); /* AF_UNIX, CLOEXEC */
/* One packet or stream piece with up to 16 fds; deadline by poll. Return bytes, 0 at EOF, or -1. */
#define SOCKET_MOST_FDS 16
ssize_t socket_send(int fd, const void *data, size_t len, const int *fds, size_t nfds, deadline d,
	struct kerr *e);
ssize_t socket_recv(
	int fd, void *data, size_t len, int *fds, size_t *nfds, deadline d, struct kerr *e);
struct peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	size_t ngroups;
};
int socket_peer(int fd, struct peer *out, struct kerr *e); /* SO_PEERCRED, SO_PEERGROUPS */
void peer_free(struct peer *p);
bool poll_one(int fd, short events, deadline d); /* true when ready; false at the deadline */

/* ---- loop.c: epoll; a callback answers, the loop acts ------------------------------------------
 */

enum source_answer { SOURCE_KEEP, SOURCE_DONE };
struct loop;
struct source {
	int fd; /* closed by the loop when the source is done */
	enum source_answer (*ready)(struct source *s, uint32_t events);
	void (*closed)(struct source *s); /* may free the object that holds the source */
	/* private to loop.c */
	struct loop *loop;
	bool dead;
	struct source *next_dead;
	size_t place;
};
struct timer {
	deadline at;
	void (*fire)(struct timer *t);
	/* private */
	size_t slot; /* 1-based place in the heap; 0: not armed */
};
int loop_new(struct loop **out, struct kerr *e);
void loop_free(struct loop *l); /* closes and ends every source */
int loop_add(struct loop *l, struct source *s, uint32_t events, struct kerr *e);
int loop_change(struct loop *l, struct source *s, uint32_t events, struct kerr *e);
void loop_end(struct loop *l, struct source *s); /* from anywhere, even from another's callback */
void loop_timer(struct loop *l, struct timer *t, deadline at); /* arms or moves */
void loop_untimer(struct loop *l, struct timer *t);
int loop_turn(struct loop *l, int most_ms, struct kerr *e); /* one epoll_wait and its callbacks */

#endif
