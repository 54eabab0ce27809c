/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failing N ERRNO CALL[,CALL...] COMMAND...: runs the command, lets the N-th of these system calls
 * (0: none) of it and all that it begins fail, and writes how many there were to fd 3. Its status
 * is the command's. What still runs then is let go.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "reads and writes the registers of x86-64"
#endif

static const struct {
	const char *name;
	long nr;
} calls[] = { { "read", SYS_read }, { "write", SYS_write }, { "openat", SYS_openat },
	{ "openat2", SYS_openat2 }, { "fstat", SYS_fstat }, { "fstatfs", SYS_fstatfs },
	{ "statx", SYS_statx }, { "newfstatat", SYS_newfstatat }, { "readlinkat", SYS_readlinkat },
	{ "mkdirat", SYS_mkdirat }, { "mknodat", SYS_mknodat }, { "mount", SYS_mount },
	{ "umount2", SYS_umount2 }, { "pivot_root", SYS_pivot_root },
	{ "open_tree", SYS_open_tree }, { "move_mount", SYS_move_mount }, { "fsopen", SYS_fsopen },
	{ "fsconfig", SYS_fsconfig }, { "fsmount", SYS_fsmount },
	{ "mount_setattr", SYS_mount_setattr } };
enum { CALLS = sizeof calls / sizeof calls[0], MOST = 65536 };

static unsigned char chosen[1024];
static unsigned long count, at;
static long error;
static pid_t spoiled; /* whose call was left out, and is to be told so */

static void choose(char *list)
{
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		int i = 0;

		while (i < CALLS && strcmp(calls[i].name, name) != 0)
			i++;
		if (i == CALLS) {
			fprintf(stderr, "failing: no call %s\n", name);
			exit(126);
		}
		chosen[calls[i].nr] = 1;
	}
}

static void set_register(pid_t pid, size_t which, long value)
{
	ptrace(PTRACE_POKEUSER, pid, which, value);
}

static void at_call(pid_t pid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && pid == spoiled) {
		set_register(pid, offsetof(struct user_regs_struct, rax), -error);
		spoiled = 0;
	}
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr >= sizeof chosen ||
		!chosen[info.entry.nr] || ++count != at)
		return;
	set_register(pid, offsetof(struct user_regs_struct, orig_rax), -1);
	spoiled = pid;
}

static int go_on(pid_t pid, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16;

	if (sig == (SIGTRAP | 0x80))
		at_call(pid);
	if (sig == (SIGTRAP | 0x80) || event || sig == SIGTRAP)
		sig = 0;
	return (int)ptrace(PTRACE_SYSCALL, pid, 0, sig);
}

static int follow(pid_t command)
{
	int status = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (!WIFSTOPPED(status) && pid == command)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (WIFSTOPPED(status))
			go_on(pid, status);
	}
	return 126;
}

int main(int argc, char **argv)
{
	enum {
		FOLLOW = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			 PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC
	};
	pid_t pid;
	int status;

	if (argc < 5)
		return 126;
	at = strtoul(argv[1], NULL, 10);
	error = strtol(argv[2], NULL, 10);
	choose(argv[3]);
	pid = fork();
	if (pid == 0) {
		close(3);
		raise(SIGSTOP);
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	if (waitpid(pid, &status, WUNTRACED) != pid || ptrace(PTRACE_SEIZE, pid, 0, FOLLOW) < 0) {
		perror("failing: ptrace");
		kill(pid, SIGKILL);
		return 126;
	}
	kill(pid, SIGCONT);
	status = follow(pid);
	dprintf(3, "%lu\n", count);
	return status;
}
