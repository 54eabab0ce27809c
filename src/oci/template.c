/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A started executor that is copied: exec, relocation and the node's facts are paid for once, a
 * pair costs kapseld a fork and one small exec. Each copy takes one order and is gone, so that a
 * stranger's bundle is never read here.
 */
#include "oci.h"
#include <errno.h>
#include <kapsel/heap.h>
#include <kapsel/wire.h>
#include <link.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	CONTROL = EXECUTOR_DAEMON, /* to kapseld; a copy puts its own in the place */
	MONITOR_PIDFD = 5,
	FIRST_FREE = 6,
	STACK_BYTES = 2 << 20, /* what a copy works on; pages come as they are needed */
	STACK_USED = 24 << 10,
	HEAP_FIRST = 132 << 10, /* what the C library takes at its first allocation */
	FACTS_MS = 10000,
};
#ifndef MADV_POPULATE_WRITE /* since Linux 5.14; refused before */
#define MADV_POPULATE_WRITE 23
#endif

struct template
{
	const char *monitor;
	bool stock;
	struct facts facts;
	deadline stale;
	char *stack;
	uintptr_t heap; /* where it begins, about */
	/* the pair that is being born */
	int monitor_end, executor_end;
};

/* Below FIRST_FREE only what has its place there: nothing that is opened later may get in. */
static int reserve_places(struct kerr *e)
{
	CLEANUP_FD int null = path_host(AT_FDCWD, "/dev/null", O_RDWR, e);

	if (null < 0)
		return -1;
	for (int fd = CONTROL + 1; fd < FIRST_FREE; fd++)
		if (fd != null && dup3(null, fd, O_CLOEXEC) < 0)
			return kerr_fail(e, KERR_LIMIT, errno, "file descriptors");
	if (null < FIRST_FREE)
		null = -1;
	return fcntl(CONTROL, F_SETFD, FD_CLOEXEC);
}

static int facts_renew(struct template *t, struct kerr *e)
{
	if (!deadline_passed(t->stale))
		return 0;
	facts_free(&t->facts);
	t->stale = deadline_in_ms(FACTS_MS);
	return facts_read(&t->facts, e);
}

static void touch(uintptr_t from, uintptr_t to, bool write)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (from &= ~(page - 1); from < to; from += page) {
		volatile char *at = (volatile char *)from;
		char c = *at;

		if (write)
			*at = c;
	}
}

static int touch_segments(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_LOAD)
			touch(at, at + p->p_memsz, false);
	}
	return 1; /* there is no other object */
}

/* A copy shares its pages with the template until it writes to them, and has none mapped at first:
 * those that it will need, at once and while nobody waits, instead of one fault each. */
static void unshare_pages(const struct template *t)
{
	enum { AN_ORDERS = 96 << 10 }; /* what a usual one takes */

	dl_iterate_phdr(touch_segments, NULL);
	touch((uintptr_t)t->stack + STACK_BYTES - STACK_USED, (uintptr_t)t->stack + STACK_BYTES,
		true);
	heap_unshare(AN_ORDERS);
}

static _Noreturn void be_executor(struct template *t, const int between[2])
{
	if (dup3(t->executor_end, EXECUTOR_DAEMON, O_CLOEXEC) < 0 ||
		dup3(between[1], EXECUTOR_MONITOR, O_CLOEXEC) < 0)
		_exit(1);
	close(t->executor_end);
	close(t->monitor_end);
	close(between[0]);
	close(between[1]);
	signal(SIGPIPE, SIG_IGN);
	unshare_pages(t);
	_exit(executor_serve(&t->facts, t->stock));
}

static int place(int from, int to)
{
	return dup2(from, to) < 0 ? -1 : 0;
}

/*
 * Becomes the monitor, so that the copy is the monitor's child from birth: whoever it then makes
 * its sibling is the monitor's child, too. Runs on the template's memory until execve, while that
 * waits; the copy that it makes has its own.
 */
static int be_monitor(void *arg)
{
	struct template *t = arg;
	const char *argv[] = { "kapsel-monitor", "--paired", NULL };
	int between[2], pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD
	};
	long pid;

	signal(SIGCHLD, SIG_DFL); /* the others are as kapseld has started us */
	signal(SIGPIPE, SIG_DFL);
	setsid();
	if (socket_pair(SOCK_SEQPACKET, between, NULL))
		_exit(1);
	pid = sys_clone3(&args, sizeof args);
	if (pid == 0)
		be_executor(t, between);
	if (pid < 0 || place(t->monitor_end, EXECUTOR_DAEMON) ||
		place(between[0], EXECUTOR_MONITOR) || place(pidfd, MONITOR_PIDFD) ||
		sys_close_range(FIRST_FREE, ~0u, 0))
		_exit(1);
	execve(t->monitor, (char *const *)(uintptr_t)argv, environ);
	_exit(127);
}

/* What fails here, kapseld sees as the end of the pair's sockets. */
static void pair_make(struct template *t, struct wire_in *in)
{
	t->monitor_end = wire_take_fd(in, WIRE_FD_MONITOR);
	t->executor_end = wire_take_fd(in, WIRE_FD_EXECUTOR);
	if (t->monitor_end >= 0 && t->executor_end >= 0)
		clone(be_monitor, t->stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, t);
	fd_closep(&t->monitor_end);
	fd_closep(&t->executor_end);
}

static int serve(struct template *t, struct kerr *e)
{
	struct wire_in in;
	int rc;

	while ((rc = wire_recv(CONTROL, &in, DEADLINE_NEVER, e)) > 0) {
		if (in.type == WIRE_PAIR && facts_renew(t, e) == 0)
			pair_make(t, &in);
		wire_in_free(&in);
		if (kerr_is_set(e))
			return -1;
	}
	return rc;
}

int template_main(int argc, char **argv)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	char text[TIME_TEXT], boot[37];
	struct template t = { .monitor = argc > 1 ? argv[1] : NULL,
		.stock = argc > 2 && str_eq(argv[2], "--stock"),
		.monitor_end = -1,
		.executor_end = -1 };

	t.heap = (uintptr_t)sbrk(0) - HEAP_FIRST;
	signal(SIGCHLD, SIG_IGN); /* monitors end as they like; kapseld sees their sockets */
	t.stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (t.monitor == NULL || t.stack == MAP_FAILED)
		return 2;
	time_text(0, text); /* has the C library read its zone once for all copies */
	if (reserve_places(&e) == 0 && proc_root(&e) >= 0 && boot_id(boot, &e) == 0 &&
		facts_renew(&t, &e) == 0 && serve(&t, &e) == 0)
		return 0;
	log_error("the template of executors: %s", e.message);
	return 1;
}
