/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/sys.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers that are the same on every architecture since 5.1; older headers lack the newest. */
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

long sys_clone3(struct clone_args *a, size_t size)
{
	return syscall(SYS_clone3, a, size);
}

/* The child comes out of the call on an empty stack: no function of C could return there. */
long sys_clone3_call(struct clone_args *a, size_t size, void (*f)(void *), void *arg)
{
#ifdef __x86_64__
	long rc = SYS_clone3;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t" /* the outermost frame */
			 "mov %[arg], %%rdi\n\t"
			 "call *%[f]\n\t"
			 "ud2\n"
			 "1:"
			 : "+a"(rc)
			 : "D"(a), "S"(size), [f] "r"(f), [arg] "r"(arg)
			 : "rcx", "r11", "memory");
	if (rc < 0) {
		errno = (int)-rc;
		return -1;
	}
	return rc;
#else
	(void)a;
	(void)size;
	(void)f;
	(void)arg;
	errno = ENOSYS;
	return -1;
#endif
}

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags, .mode = mode, .resolve = resolve };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

int sys_open_tree(int dir, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dir, path, flags);
}

int sys_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags)
{
	return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

int sys_fsopen(const char *fs, unsigned flags)
{
	return (int)syscall(SYS_fsopen, fs, flags);
}

int sys_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux)
{
	return (int)syscall(SYS_fsconfig, fd, cmd, key, value, aux);
}

int sys_fsmount(int fd, unsigned flags, unsigned attr)
{
	return (int)syscall(SYS_fsmount, fd, flags, attr);
}

int sys_fspick(int dir, const char *path, unsigned flags)
{
	return (int)syscall(SYS_fspick, dir, path, flags);
}

int sys_mount_setattr(int dir, const char *path, unsigned flags, struct mount_attr *a, size_t size)
{
	return (int)syscall(SYS_mount_setattr, dir, path, flags, a, size);
}

int sys_read_only_copy(int fd, struct kerr *e)
{
	enum { EMPTY = 0x1000 /* AT_EMPTY_PATH */ };
	struct mount_attr a = { .attr_set = MOUNT_ATTR_RDONLY };
	CLEANUP_FD int copy = sys_open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | EMPTY);

	if (copy < 0 || sys_mount_setattr(copy, "", EMPTY, &a, sizeof a) < 0)
		return kerr_fail(e, KERR_MOUNT, errno, "make a read-only copy");
	return fd_take(&copy);
}

int sys_pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

void sys_signals_default(void)
{
	/* The kernel's struct sigaction with SIG_DFL and nothing else; libc's calls refuse 32
	 * and 33. */
	const unsigned long dfl[4] = { 0 };

	for (int sig = 1; sig < 65; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			syscall(SYS_rt_sigaction, sig, dfl, NULL, 8);
}

int sys_close_range(unsigned from, unsigned to, unsigned flags)
{
	return (int)syscall(SYS_close_range, from, to, flags);
}

int sys_pidfd_open(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

int sys_pidfd_getfd(int pidfd, int fd, unsigned flags)
{
	return (int)syscall(SYS_pidfd_getfd, pidfd, fd, flags);
}

int sys_memfd(const char *name, unsigned flags)
{
	return (int)syscall(SYS_memfd_create, name, flags);
}
