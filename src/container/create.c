/* SPDX-License-Identifier: Apache-2.0 */
/* The executor's side: what happens on the host, the clone, the turns, the undoing. */
#include "private.h"
#include <errno.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
enum { TURN_MS = 60000, GONE_MS = 10000, INIT_STACK = 256 << 10 };

int step_failed(const struct op *op, struct kerr *e)
{
	/* The program is looked for with the check; that it is not there is no difference found. */
	if (op->kind == OP_CHECK && (e->code == KERR_EXEC_NOT_FOUND || e->code == KERR_EXEC_DENIED))
		return -1;
	kerr_step(e, "%s[%u] %s", op_kind_name(op->kind), op->nth, op->target ? op->target : "");
	if (op->pointer && e->pointer == NULL)
		kerr_at(e, op->pointer, op->line, op->column);
	return -1;
}

/* ---- operations
 * --------------------------------------------------------------------------------------------- */

void note_cgroup(struct container *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT;

	cgroup_save(c->cgroup, &text);
	free(c->cgroup_text);
	c->cgroup_text = buf_take(&text);
}

static int cgroup_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	const char *parent = c->p->options.cgroup_parent ? c->p->options.cgroup_parent : "/kapsel";

	(void)i;
	if (cgroup_make(op->target, c->o->parent_stays ? NULL : parent, &c->cgroup, e))
		return -1;
	note_cgroup(c);
	return 0;
}

static bool has_words(const char *line, size_t len, const char *words)
{
	for (size_t n; *words; words += n) {
		const char *end = line + len;
		bool found = false;

		words += strspn(words, " ");
		n = strcspn(words, " ");
		for (const char *s = line; n && !found && s < end;) {
			size_t m = strcspn(s, " \n");

			found = m == n && memcmp(s, words, n) == 0;
			s += m + 1;
		}
		if (n && !found)
			return false;
	}
	return true;
}

/* "0,1" for "0-1", "max" for 2^64-1, rounded to pages, a line with a key among others, with more
 * words: only what differs in kind is a difference. */
bool same_setting(const char *asked, const char *found)
{
	uint64_t a, f;
	CLEANUP_FREE char *line = mem_strndup(found, strcspn(found, "\n"));

	if (strcmp(asked, line) == 0)
		return true;
	if (str_to_u64(asked, &a) == 0 && str_to_u64(line, &f) == 0)
		return a == f || (f % 4096 == 0 && a / 4096 == f / 4096) ||
		       (a > INT64_MAX / 4096 * 4096ull && f > INT64_MAX / 4096 * 4096ull - 4096);
	if (strcmp(asked, "-1") == 0)
		return str_to_u64(line, &f) == 0 ? f > 1ull << 62 : str_eq(line, "max");
	if (strpbrk(asked, ",-") && strspn(asked, "0123456789,-") == strlen(asked)) {
		cpu_set_t x, y;

		cpu_list(asked, &x);
		cpu_list(line, &y);
		return CPU_EQUAL(&x, &y);
	}
	for (size_t n; *found; found += n + (found[n] == '\n')) {
		n = strcspn(found, "\n");
		if (has_words(found, n, asked))
			return true;
	}
	return false;
}

static int no_cgroup(struct kerr *e)
{
	return kerr_fail(e, KERR_SELF_CHECK, 0, "there is no cgroup");
}

/* checkBeforeUpdate: v2 would reclaim and kill until what is used fits. */
int fits_usage(struct cgroup *c, const struct op *op, struct kerr *e)
{
	CLEANUP_BUF struct buf now = BUF_INIT;
	uint64_t limit, used;

	if (cgroup_read(c, op->u.write.controller, op->u.write.usage, &now, e))
		return -1;
	now.data[strcspn(now.data, "\n")] = '\0';
	if (str_to_u64(op->u.write.value, &limit) || str_to_u64(now.data, &used) || used <= limit)
		return 0;
	return kerr_fail(e, KERR_CGROUP_BUSY, 0, "%s: %s is below %s, which is used already",
		op->u.write.file, op->u.write.value, now.data);
}

static int cgroup_write_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)i;
	if (c->cgroup && op->u.write.usage && fits_usage(c->cgroup, op, e))
		return -1;
	return c->cgroup ? cgroup_write(c->cgroup, op->u.write.controller, op->u.write.file,
				   op->u.write.value, e)
			 : no_cgroup(e);
}

static int cgroup_devices_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)i;
	return c->cgroup ? cgroup_devices(c->cgroup, op->u.devices.v, op->u.devices.n, e)
			 : no_cgroup(e);
}

static int cgroup_chown_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)i;
	return c->cgroup ? cgroup_chown(c->cgroup, (uid_t)op->u.number, e) : no_cgroup(e);
}

static const int ns_flags[OCI_NS_COUNT] = { [OCI_NS_PID] = CLONE_NEWPID,
	[OCI_NS_NETWORK] = CLONE_NEWNET,
	[OCI_NS_MOUNT] = CLONE_NEWNS,
	[OCI_NS_IPC] = CLONE_NEWIPC,
	[OCI_NS_UTS] = CLONE_NEWUTS,
	[OCI_NS_USER] = CLONE_NEWUSER,
	[OCI_NS_CGROUP] = CLONE_NEWCGROUP,
	[OCI_NS_TIME] = CLONE_NEWTIME };

static ino_t fd_inode(int fd)
{
	struct stat st;

	return fd >= 0 && fd_stat(fd, &st, NULL) == 0 ? st.st_ino : 0;
}

/* Opened and judged here, entered around the clone or by init. */
static int join_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_FD int there = path_host(AT_FDCWD, op->u.ns.path, O_PATH, e);
	CLEANUP_FD int fd = -1;

	if (there < 0)
		return -1;
	/* To open a fifo would wait, to open a device do who knows what. */
	if (fd_is_namespace(there) && (fd = fd_reopen(there, O_RDONLY, e)) < 0)
		return -1;
	if (fd < 0 || ioctl(fd, NS_GET_NSTYPE) != ns_flags[op->u.ns.type])
		return kerr_fail(e, KERR_NAMESPACE, 0, "%s is no %s namespace", op->u.ns.path,
			oci_ns_name(op->u.ns.type));
	c->joined[op->u.ns.type] = fd_inode(fd);
	c->fd[i] = fd_take(&fd);
	return 0;
}

static int time_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)i;
	c->old_time = proc_ns("self/ns/time", e);
	if (c->old_time < 0)
		return -1;
	if (unshare(CLONE_NEWTIME) < 0)
		return kerr_fail(e, KERR_NAMESPACE, errno, "new time namespace");
	for (size_t k = 0; k < op->u.offsets.n; k++) {
		const struct oci_time_offset *t = &op->u.offsets.v[k];
		CLEANUP_FREE char *line = mem_printf("%s %lld %llu\n", t->clock,
			(long long)t->secs.v, (unsigned long long)t->nanosecs.v);

		if (proc_write("self/timens_offsets", line, false, e))
			return -1;
	}
	return 0;
}

static int oom_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	char name[48], value[16];

	(void)i;
	snprintf(name, sizeof name, "%d/oom_score_adj", (int)c->pid);
	snprintf(value, sizeof value, "%lld", (long long)op->u.number);
	return proc_write(name, value, true, e);
}

static int rlimit_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	struct rlimit r = { op->u.rlimit.soft, op->u.rlimit.hard };

	(void)i;
	if (syscall(SYS_prlimit64, c->pid, (int)op->u.rlimit.type, &r, NULL) < 0)
		return kerr_fail(e, KERR_PROCESS_SETUP, errno, "set %s", op->target);
	return 0;
}

static void state_text(struct container *c, const char *status, struct buf *b)
{
	if (c->o->state)
		c->o->state(c->o->arg, status, c->pid, b);
}

static int hook_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_BUF struct buf state = BUF_INIT;

	(void)i;
	state_text(c, "creating", &state);
	if (run_hook(op->u.hook.hook, &state, true, e))
		return -1;
	c->hooks++;
	return 0;
}

void cpu_list(const char *s, cpu_set_t *out)
{
	CPU_ZERO(out);
	while (*s) {
		char *end;
		unsigned long a = strtoul(s, &end, 10),
			      b = *end == '-' ? strtoul(end + 1, &end, 10) : a;

		for (; a <= b && a < CPU_SETSIZE; a++)
			CPU_SET((size_t)a, out);
		if (*end != ',')
			break;
		s = end + 1;
	}
}

static int affinity_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	cpu_set_t set;

	(void)c;
	(void)i;
	cpu_list(op->target, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		return kerr_fail(e, KERR_PROCESS_SETUP, errno, "CPUs %s", op->target);
	return 0;
}

static const op_fn executor_ops[OP_COUNT] = {
	[OP_CGROUP_MAKE] = cgroup_op,
	[OP_CGROUP_SCOPE] = scope_op,
	[OP_CGROUP_SETTLE] = settle_op,
	[OP_CGROUP_WRITE] = cgroup_write_op,
	[OP_CGROUP_DEVICES] = cgroup_devices_op,
	[OP_CGROUP_CHOWN] = cgroup_chown_op,
	[OP_NAMESPACE_JOIN] = join_op,
	[OP_TIME_OFFSETS] = time_op,
	[OP_IDMAP] = do_idmap,
	[OP_OOM_SCORE] = oom_op,
	[OP_RLIMIT] = rlimit_op,
	[OP_HOOK] = hook_op,
	[OP_AFFINITY] = affinity_op,
};

static int apply(struct container *c, size_t i, struct kerr *e)
{
	const struct op *op = &c->p->op[i];
	op_fn f = executor_ops[op->kind];

#ifdef KAPSEL_PLANT
	if (c->o->fail_kind == (int)op->kind)
		return kerr_fail(e, KERR_INTERNAL, 0, "planted failure"), step_failed(op, e);
	if (c->o->wrong_kind == (int)op->kind)
		return 0;
#endif
	if (f == NULL)
		kerr_fail(e, KERR_INTERNAL, 0, "no such operation on the host's side");
	return f && f(c, op, i, e) == 0 ? 0 : step_failed(op, e);
}

/* ---- the clone
 * ------------------------------------------------------------------------------------------------
 */

static const char *const ns_files[OCI_NS_COUNT] = { [OCI_NS_PID] = "self/ns/pid",
	[OCI_NS_NETWORK] = "self/ns/net",
	[OCI_NS_MOUNT] = "self/ns/mnt",
	[OCI_NS_IPC] = "self/ns/ipc",
	[OCI_NS_UTS] = "self/ns/uts",
	[OCI_NS_USER] = "self/ns/user",
	[OCI_NS_CGROUP] = "self/ns/cgroup",
	[OCI_NS_TIME] = "self/ns/time" };

int ns_flag(enum oci_namespace t)
{
	return ns_flags[t];
}

const char *ns_file(enum oci_namespace t)
{
	return ns_files[t];
}

/* Of the process that an exec joins: its number is in the pidfd's own description. */
static pid_t pid_of(int pidfd)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char name[48];
	const char *line;

	snprintf(name, sizeof name, "self/fdinfo/%d", pidfd);
	line = proc_read(name, 4096, &b, NULL) ? NULL : strstr(buf_str(&b), "\nPid:\t");
	return line ? (pid_t)strtol(line + 6, NULL, 10) : 0;
}

long filters_of(const char *status)
{
	static const char key[] = "\nSeccomp_filters:\t";
	const char *line = strstr(status, key);

	return line ? strtol(line + sizeof key - 1, NULL, 10) : -1;
}

/* Where Kapsel runs in another's container there are some already. */
static long own_filters(void)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	return proc_read("self/status", 65536, &b, NULL) ? -1 : filters_of(buf_str(&b));
}

static void note_own(struct container_stock *s)
{
	for (int t = 0; t < OCI_NS_COUNT; t++)
		s->outer[t] = (ino_t)proc_inode(ns_files[t]);
	/* KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING */
	s->keyring = syscall(SYS_keyctl, 0, -3, 0);
	s->filters = own_filters();
}

static void note_namespaces(struct container *c)
{
	pid_t target = c->o->exec_target >= 0 ? pid_of(c->o->exec_target) : 0;

	if (c->o->stock)
		c->own = *c->o->stock;
	else
		note_own(&c->own), c->own.netns = -1;
	for (int t = 0; t < OCI_NS_COUNT && target > 0; t++) {
		char name[48];

		snprintf(name, sizeof name, "%d/%s", (int)target, ns_files[t] + strlen("self/"));
		c->joined[t] = (ino_t)proc_inode(name);
	}
}

static int new_network(struct kerr *e)
{
	CLEANUP_FD int own = proc_ns(ns_files[OCI_NS_NETWORK], e);
	CLEANUP_FD int made = -1;

	if (own < 0)
		return -1;
	if (unshare(CLONE_NEWNET) < 0)
		return kerr_fail(e, KERR_NAMESPACE, errno, "new network namespace");
	if (set_lo_up(e) == 0)
		made = proc_ns(ns_files[OCI_NS_NETWORK], e);
	if (setns(own, CLONE_NEWNET) < 0)
		return kerr_fail(e, KERR_NAMESPACE, errno, "go back to the network namespace");
	return fd_take(&made);
}

/* Of pages that are there: a fault for each would be the order's. */
static void *new_stack(void)
{
	enum { PAGE = 4096, AT_ONCE = 48 << 10 };
	char *stack = mmap(NULL, INIT_STACK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (stack == MAP_FAILED)
		return NULL;
	for (size_t n = PAGE; n <= AT_ONCE; n += PAGE)
		*(volatile char *)(stack + INIT_STACK - n) = 0;
	return stack;
}

void container_stock_up(struct container_stock *s, bool network)
{
	s->netns = network ? new_network(NULL) : -1;
	s->stack = new_stack();
	note_own(s);
}

/* The namespaces that the clone's child is to be born in; ours are kept to come back to. */
struct around {
	int to[OCI_NS_COUNT], own[OCI_NS_COUNT];
	bool target;	 /* an exec: the container's pid namespace, by its init's pidfd */
	int through;	 /* that pidfd, where the user namespace has to be entered first; -1 */
	bool no_return;	 /* what we come from may be another's */
	bool user_first; /* all our rights on the others are in there */
};

static void around_begin(const struct container *c, struct around *a, bool user)
{
	for (int t = 0; t < OCI_NS_COUNT; t++)
		a->to[t] = a->own[t] = -1;
	a->target = c->o->exec_target >= 0;
	a->user_first = is_plain_user(c);
	a->no_return = !c->p->facts->root;
	a->through = a->target && joins_user(c) ? c->o->exec_target : -1;
	for (size_t i = 0; i < c->p->n; i++) {
		const struct op *op = &c->p->op[i];

		/* Init enters most by itself, unless its own user namespace would forbid that. */
		if (op->kind == OP_NAMESPACE_JOIN && (user || op->u.ns.type == OCI_NS_PID))
			a->to[op->u.ns.type] = c->fd[i];
	}
	if (a->target)
		a->to[OCI_NS_PID] = c->o->exec_target;
}

static int join_user(const struct around *a, struct kerr *e)
{
	if (a->to[OCI_NS_USER] >= 0 && setns(a->to[OCI_NS_USER], CLONE_NEWUSER) < 0)
		return kerr_fail(e, KERR_NAMESPACE, errno, "join the user namespace");
	return 0;
}

static int around_enter(struct around *a, struct kerr *e)
{
	if (a->through >= 0) /* judged by the rights that the first gives on the second */
		return setns(a->through, CLONE_NEWUSER | CLONE_NEWPID) < 0
			       ? kerr_fail(e, KERR_NAMESPACE, errno,
					 "join the container's user and pid namespaces")
			       : 0;
	if (a->user_first && join_user(a, e))
		return -1;
	for (int t = 0; t < OCI_NS_COUNT; t++) {
		if (a->to[t] < 0 || t == OCI_NS_USER)
			continue;
		a->own[t] = proc_ns(ns_files[t], e);
		if (a->own[t] < 0)
			return -1;
		if (setns(a->to[t], ns_flags[t]) < 0)
			return kerr_fail(e, KERR_NAMESPACE, errno, "join the %s namespace",
				oci_ns_name((enum oci_namespace)t));
	}
	/* Last, for it takes root's rights on the others away. There is no way back. */
	return a->user_first ? 0 : join_user(a, e);
}

static void around_leave(struct around *a)
{
	for (int t = 0; t < OCI_NS_COUNT; t++)
		if (a->own[t] >= 0) {
			/* A namespace's root has no rights on the host's; this process is about to
			 * end anyway. */
			if (setns(a->own[t], ns_flags[t]) < 0 && !a->no_return)
				log_warning("the executor cannot go back to its own %s namespace",
					oci_ns_name((enum oci_namespace)t));
			fd_closep(&a->own[t]);
		}
}

/* Or an exec by whose user namespace has no rights on the container's others: it gets them in
 * there. */
bool joins_user(const struct container *c)
{
	if (c->o->exec_target >= 0)
		return is_plain_user(c) && c->joined[OCI_NS_USER] &&
		       c->joined[OCI_NS_USER] != c->own.outer[OCI_NS_USER];
	return c->joined[OCI_NS_USER];
}

struct birth {
	struct container *c, *init; /* the executor's, init's */
	struct clone_args args;
	struct around around;
	long pid;
	struct kerr *e;
};

/* What init changes is its own, whether it has a copy of our memory or runs on it. */
static struct container *for_init(const struct container *c, size_t first, int sync, int other_end)
{
	struct container *init = mem_zalloc(sizeof *init);
	struct container_order *order = mem_zalloc(sizeof *order);

	*init = *c;
	*order = *c->o; /* a create's executor may be gone before init is */
	init->o = order;
	init->filter = (struct buf)BUF_INIT;
	buf_add(&init->filter, c->filter.data, c->filter.len);
	init->fd = mem_array(c->nfd + 1, sizeof *init->fd);
	init->id = mem_array(c->nfd + 1, sizeof *init->id);
	memcpy(init->fd, c->fd, c->nfd * sizeof *init->fd);
	init->first = first;
	init->sync = sync;
	init->other_end = other_end;
	return init;
}

static bool has_little_memory(const struct op *op)
{
	enum { LITTLE = 16 << 20 };
	uint64_t limit;

	return op->kind == OP_CGROUP_WRITE &&
	       (str_eq(op->u.write.file, "memory.limit_in_bytes") ||
		       str_eq(op->u.write.file, "memory.max")) &&
	       str_to_u64(op->u.write.value, &limit) == 0 && limit < LITTLE;
}

/* What the kernel may kill for memory takes along all that share it, and nobody could tell why; a
 * score that is set for one of them is set for all; and a hook inside may be a program of the
 * image, with the right to trace init. */
static bool plan_forbids(const struct container *c)
{
	for (size_t i = 0; i < c->p->n; i++) {
		const struct op *op = &c->p->op[i];

		if ((op->kind == OP_OOM_SCORE && c->o->stays) || has_little_memory(op) ||
			(op->kind == OP_HOOK && op->side == SIDE_INIT))
			return true;
	}
	return false;
}

/*
 * May init run on the executor's memory until execve, like a child of vfork? It saves a copy of the
 * page tables and a fault for each page that either writes to. The two take turns and never run at
 * once (the socket's words say whose turn it is), so that they can share the C library's state,
 * too.
 *
 * Only where the executor waits for execve, or leaves all as it is and ends when init waits for its
 * start (who waits for that end, see await_alone()); where nobody else is in the pid namespace, who
 * could trace init and so reach the executor; and where no time namespace is entered, which the
 * kernel does for a process of its own memory only.
 */
static bool may_share_memory(const struct container *c, uint64_t flags)
{
	return !(c->p->options.wait_start && c->o->stays) && c->o->exec_target < 0 &&
	       flags & CLONE_NEWPID && c->old_time < 0 && !c->joined[OCI_NS_TIME] &&
	       !joins_user(c) && !plan_forbids(c);
}

static void share_memory(struct clone_args *a, void *stack)
{
	if (stack == NULL)
		return;
	a->flags |= CLONE_VM;
	a->stack = (uint64_t)(uintptr_t)stack;
	a->stack_size = INIT_STACK;
}

static int clone_now(struct birth *b)
{
	bool shared = b->args.stack;

	if (shared)
		b->pid = sys_clone3_call(&b->args, sizeof b->args, init_main, b->init);
	if (shared && b->pid < 0 && errno == ENOSYS) {
		b->init->shared = false;
		b->args.flags &= ~(uint64_t)CLONE_VM;
		b->args.stack = b->args.stack_size = 0;
		shared = false;
	}
	if (!shared)
		b->pid = sys_clone3(&b->args, sizeof b->args);
	if (b->pid == 0)
		init_main(b->init);
	return b->pid < 0 ? kerr_fail(b->e, KERR_NAMESPACE, errno, "clone") : 0;
}

/* On the executor's memory and fds, which waits; it joins what cannot be left again, and gives its
 * child to the executor. */
static int middle_main(void *arg)
{
	struct birth *b = arg;

	b->args.flags |= CLONE_PARENT;
	b->args.exit_signal = 0;
	if (around_enter(&b->around, b->e) == 0)
		clone_now(b);
	for (int t = 0; t < OCI_NS_COUNT; t++)
		fd_closep(&b->around.own[t]);
	_exit(0);
}

static int clone_through_middle(struct birth *b)
{
	enum { STACK = 256 * 1024 };
	CLEANUP_FREE char *stack = mem_zalloc(STACK);
	CLEANUP_FD int pidfd = -1;
	siginfo_t info;
	int fd = -1;
	pid_t pid = clone(middle_main, stack + STACK,
		CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | SIGCHLD, b, &fd);

	pidfd = fd;
	if (pid < 0)
		return kerr_fail(b->e, KERR_NAMESPACE, errno, "clone");
	if (pidfd_wait(pidfd, &info, false, b->e))
		return -1;
	return b->pid > 0 ? 0 : -1;
}

static int clone_directly(struct birth *b)
{
	int rc = around_enter(&b->around, b->e) || clone_now(b) ? -1 : 0;

	around_leave(&b->around);
	return rc;
}

int clone_init(struct container *c, const struct op *op, struct kerr *e)
{
	int pair[2], pidfd = -1, rc;
	bool user = op->u.clone.flags & CLONE_NEWUSER, joined = joins_user(c);
	struct birth b = { .c = c,
		.args = { .flags = op->u.clone.flags | CLONE_PIDFD,
			.pidfd = (uint64_t)(uintptr_t)&pidfd },
		.e = e };

	if (socket_pair(SOCK_SEQPACKET, pair, e))
		return -1;
	note_namespaces(c);
	around_begin(c, &b.around, user || joined);
	c->entered = user || joined;
	if (c->o->sibling)
		b.args.flags |= CLONE_PARENT;
	else
		b.args.exit_signal = SIGCHLD;
	if (b.args.flags & CLONE_NEWNET && !user && !joined && c->own.netns >= 0) {
		b.args.flags &= ~(uint64_t)CLONE_NEWNET;
		c->netns = c->own.netns; /* init enters it */
	}
	if (c->cgroup && cgroup_v2_fd(c->cgroup) >= 0) {
		b.args.flags |= CLONE_INTO_CGROUP;
		b.args.cgroup = (unsigned)cgroup_v2_fd(c->cgroup);
	}
#ifdef KAPSEL_PLANT
	if (c->o->fail_kind == OP_CLONE)
		b.args.flags |= CLONE_THREAD; /* refused: it needs CLONE_SIGHAND */
	if (c->o->wrong_kind == OP_CLONE)
		b.args.flags &= ~(uint64_t)CLONE_NEWIPC, b.around.to[OCI_NS_PID] = -1;
#endif
	if (may_share_memory(c, b.args.flags))
		share_memory(&b.args, c->own.stack ? c->own.stack : new_stack());
	b.init = for_init(c, (size_t)(op - c->p->op) + 1, pair[1], pair[0]);
	b.init->shared = b.args.flags & CLONE_VM;
	rc = joins_user(c) ? clone_through_middle(&b) : clone_directly(&b);
	close(pair[1]);
	if (c->old_time >= 0 && setns(c->old_time, CLONE_NEWTIME) < 0)
		log_warning("the executor cannot go back to its own time namespace");
	c->sync = pair[0];
	if (b.pid > 0) { /* even where something failed after it: undo() is to find it */
		c->pid = (pid_t)b.pid;
		c->pidfd = pidfd;
		c->start_time = process_start_time(c->pid);
	}
	return rc;
}

/* ---- the turns
 * --------------------------------------------------------------------------------------------------
 */

/* Who joins a user namespace comes by way of a child of ours, and stays ours until we end. */
static bool is_our_child(const struct container *c)
{
	return !c->o->sibling || joins_user(c);
}

static int init_died(struct container *c, struct kerr *e)
{
	bool gone = poll_one(c->pidfd, POLLIN, deadline_in_ms(1000));
	siginfo_t info = { 0 };

	if (gone && is_our_child(c))
		waitid((idtype_t)3 /* P_PIDFD */, (id_t)c->pidfd, &info, WEXITED | WNOWAIT);
	if (info.si_code && info.si_code != 1 /* CLD_EXITED */)
		return kerr_fail(
			e, KERR_INIT_DIED, 0, "init was killed by signal %d", info.si_status);
	return kerr_fail(e, KERR_INIT_DIED, 0, "init ended before the program was started");
}

static int take_master(struct container *c, int *master, struct kerr *e)
{
	if (*master < 0 || c->o->console == NULL)
		return kerr_fail(e, KERR_TERMINAL, 0, "nobody takes the terminal");
	return c->o->console(c->o->arg, fd_take(master), e);
}

/* Init's operations from @i on get a minute together, and its hooks the time that is theirs. */
static deadline turn_deadline(const struct plan *p, size_t i)
{
	uint64_t ms = TURN_MS;

	for (; i < p->n && p->op[i].side == SIDE_INIT && p->op[i].kind != OP_WAIT_START; i++)
		if (p->op[i].kind == OP_HOOK)
			ms += hook_ms(p->op[i].u.hook.hook);
	return deadline_in_ms(ms);
}

static bool is_last_turn(const struct plan *p, size_t i)
{
	while (i < p->n && p->op[i].side == SIDE_INIT)
		i++;
	return i == p->n;
}

/* Init's turn: until it hands over, waits for start or has executed the program. */
static int init_turn(struct container *c, size_t from, bool *done, struct kerr *e)
{
	deadline d = turn_deadline(c->p, from);
	bool checked = false, last = is_last_turn(c->p, from);

	for (;;) {
		CLEANUP_FD int got = -1;
		int word;

		/* What is said in the last turn can wait for the end of the socket: to be woken
		 * would take the CPU from a program that begins. */
		if (last && !c->p->process->terminal && !c->p->options.wait_start)
			poll_one(c->sync, 0, d);
		word = sync_recv(c->sync, &got, d, e);

		switch (word) {
		case SYNC_TURN:
			return 0;
		case SYNC_WAITS:
			*done = true;
			return 0;
		case SYNC_MASTER:
			if (take_master(c, &got, e) || sync_send(c->sync, SYNC_TURN, -1, e))
				return -1;
			break;
		case SYNC_EXEC:
			c->inits_proc = fd_take(&got);
			checked = true;
			break;
		case 0: /* closed: by execve, or by init's end */
			*done = true;
			return checked ? 0 : init_died(c, e);
		case -1:
			return -1;
		default:
			return kerr_fail(e, KERR_WIRE, 0, "init said %d", word);
		}
	}
}

static int born(struct container *c, struct kerr *e)
{
	struct container_born b = { c->pid, c->pidfd, c->start_time,
		c->cgroup_text ? c->cgroup_text : "" };

	return c->o->born ? c->o->born(c->o->arg, &b, e) : 0;
}

static int take_turns(struct container *c, size_t from, struct kerr *e)
{
	bool done = false, mine = true;
	int rc;

	for (size_t i = from; i < c->p->n && !done;) {
		if (c->p->op[i].side == SIDE_EXECUTOR) {
			if (apply(c, i, e))
				return -1;
			mine = true;
			i++;
			continue;
		}
		/* An init that was killed meanwhile has taken its cgroup along: no difference
		 * found. */
		if (is_last_turn(c->p, i) && check_outside(c, e))
			return pidfd_gone(c->pidfd) ? init_died(c, e) : -1;
		/* When the program begins, it is ours to wait; but hooks inherit that. */
		if (is_last_turn(c->p, i) && c->p->spec->hooks.kind[OCI_HOOK_POSTSTART].n == 0)
			process_gives_way();
		if (mine && sync_send(c->sync, SYNC_TURN, -1, e))
			return init_died(c, e);
		mine = false;
		rc = init_turn(c, i, &done, e);
		proc_use(c->proc);
		if (rc)
			return -1;
		while (i < c->p->n && c->p->op[i].side == SIDE_INIT)
			i++;
	}
	return 0;
}

/* ---- undoing
 * ------------------------------------------------------------------------------------------------------
 */

static void undo(struct container *c)
{
	bool cloned = c->pidfd >= 0;
	siginfo_t info;

	if (cloned) {
		pidfd_signal(c->pidfd, SIGKILL, NULL);
		if (!poll_one(c->pidfd, POLLIN, deadline_in_ms(GONE_MS)))
			log_warning("process %d does not end", (int)c->pid);
		else if (is_our_child(c))
			pidfd_wait(c->pidfd, &info, true, NULL);
	}
	end_holder(c);
	if (c->cgroup && c->o->exec_target < 0)
		cgroup_kill(c->cgroup, deadline_in_ms(GONE_MS), NULL);
	stop_scope(c);
	if (c->cgroup && c->o->exec_target < 0) {
		CLEANUP_ERR struct kerr why = KERR_INIT;

		if (cgroup_remove(c->cgroup, deadline_in_ms(GONE_MS), &why))
			log_warning("cgroup %s: %s", cgroup_path(c->cgroup), why.message);
	}
	if (c->o->run_dir >= 0)
		path_own_unlink(c->o->run_dir, "start.sock", false, NULL);
	if (cloned && c->o->exec_target < 0) {
		CLEANUP_BUF struct buf state = BUF_INIT;

		state_text(c, "stopped", &state);
		container_hooks(c->p->spec, OCI_HOOK_POSTSTOP, &state, NULL);
	}
}

static int prepare(struct container *c, struct kerr *e)
{
	size_t n;

	/* The files of an undumpable process are root's: it would be no user's to write its maps.
	 * Init becomes undumpable when it has them, before anything of the container runs. */
	if (!writes_own_maps(c) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return kerr_fail(e, KERR_PROCESS_SETUP, errno, "become undumpable");
	c->proc = proc_root(e);
	if (c->proc < 0)
		return -1;
	cgroup_mounts(&n);
	c->nfd = c->p->n + n;
	c->fd = mem_array(c->nfd + 1, sizeof *c->fd);
	c->id = mem_array(c->nfd + 1, sizeof *c->id);
	for (size_t i = 0; i < c->nfd; i++)
		c->fd[i] = -1;
	for (size_t i = 0; i < c->p->n; i++) {
		int rc = c->p->op[i].kind != OP_SECCOMP
				 ? 0
				 : seccomp_compile(c->p->op[i].u.seccomp.profile, c->o->cache,
					   &c->filter, e);

		if (rc < 0)
			return step_failed(&c->p->op[i], e);
		if (rc > 0)
			c->new_filter = c->p->op[i].u.seccomp.profile;
	}
	if (c->o->exec_target >= 0 && c->o->exec_cgroup && *c->o->exec_cgroup &&
		cgroup_open(c->o->exec_cgroup, &c->cgroup, e))
		return -1;
	return 0;
}

static int listen_for_start(struct container *c, struct kerr *e)
{
	if (!c->p->options.wait_start)
		return 0;
	c->listen = path_listen(c->o->run_dir, "start.sock", SOCK_SEQPACKET, 0600, e);
	return c->listen < 0 ? -1 : 0;
}

/* A path of the host: inside, the same one may be a stranger's socket. */
static int connect_listener(struct container *c, struct kerr *e)
{
	const struct oci_seccomp *p = c->p->spec->linux_.seccomp;

	if (p == NULL || !seccomp_has_notify(p))
		return 0;
	c->notify = path_connect_host(p->listener_path, SOCK_STREAM, e);
	return c->notify < 0 ? kerr_step(e, "seccomp listener") : 0;
}

static int run_all(struct container *c, struct kerr *e)
{
	size_t i = 0;

	if (prepare(c, e))
		return -1;
	for (; i < c->p->n && c->p->op[i].kind != OP_CLONE; i++)
		if (apply(c, i, e))
			return -1;
	/* Who is not root may copy mounts in a mount namespace of his own only: init does. */
	if (c->o->exec_target < 0 && c->p->facts->root && do_prepare_mounts(c, e))
		return -1;
	if (connect_listener(c, e))
		return -1;
	if (listen_for_start(c, e) || i == c->p->n || clone_init(c, &c->p->op[i], e))
		return i < c->p->n ? step_failed(&c->p->op[i], e) : -1;
	fd_closep(&c->listen);
	fd_closep(&c->notify);
	if (born(c, e) || take_turns(c, i + 1, e))
		return -1;
	return c->p->options.wait_start ? 0 : container_check_filter(c->pid, c->p->spec, e);
}

static void close_detached(struct container *c)
{
	for (size_t i = 0; i < c->nfd; i++)
		if (c->fd[i] >= 0)
			fd_closep(&c->fd[i]);
}

struct container *container_create(const struct container_order *o, struct kerr *e)
{
	struct container *c = mem_zalloc(sizeof *c);

	c->o = o;
	c->p = o->plan;
	c->pidfd = c->netns = c->sync = c->listen = c->root = c->empty = c->slave = c->status =
		c->notify = c->old_time = c->inits_proc = c->holder = -1;
	if (run_all(c, e)) {
		undo(c);
		container_free(c);
		return NULL;
	}
	return c; /* what is still open goes with the executor: its answer comes first */
}

/* The kernel lets the filters of an exiting process go before it is a zombie. */
static bool is_exiting(pid_t pid)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const char *after;
	char name[32];
	unsigned flags = 0;

	snprintf(name, sizeof name, "%d/stat", (int)pid);
	if (proc_read(name, 4096, &b, NULL))
		return true;
	after = strrchr(buf_str(&b), ')'); /* the name before it may hold anything */
	return after && sscanf(after, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 &&
	       flags & 4; /* PF_EXITING */
}

int container_check_filter(pid_t pid, const struct oci_spec *s, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const char *line;
	char name[32];
	long filters;

	snprintf(name, sizeof name, "%d/status", (int)pid);
	if (s->linux_.seccomp == NULL || proc_read(name, 65536, &b, NULL))
		return 0; /* none was asked for, or it has ended already */
	line = strstr(buf_str(&b), "\nSeccomp:\t");
	filters = filters_of(buf_str(&b));
	if (line == NULL || (line[10] == '2' && (filters < 0 || filters > own_filters())) ||
		is_exiting(pid))
		return 0;
	return kerr_fail(e, KERR_SELF_CHECK, 0, "the program runs without its seccomp filter");
}

void container_free(struct container *c)
{
	if (c == NULL)
		return;
	close_detached(c);
	end_holder(c);
	free(c->fd);
	free(c->id);
	free(c->cgroup_name);
	fd_closep(&c->pidfd);
	fd_closep(&c->sync);
	fd_closep(&c->listen);
	fd_closep(&c->notify);
	fd_closep(&c->old_time);
	fd_closep(&c->inits_proc);
	cgroup_free(c->cgroup);
	free(c->cgroup_text);
	buf_free(&c->filter);
	free(c);
}

const struct oci_seccomp *container_new_filter(struct container *c, struct buf *program)
{
	if (c->new_filter == NULL)
		return NULL;
	*program = c->filter;
	c->filter = (struct buf)BUF_INIT;
	return c->new_filter;
}

pid_t container_pid(const struct container *c)
{
	return c->pid;
}

int container_pidfd(const struct container *c)
{
	return c->pidfd;
}

uint64_t container_start_time(const struct container *c)
{
	return c->start_time;
}

const char *container_cgroup(const struct container *c)
{
	return c->cgroup_text ? c->cgroup_text : "";
}

static int ended_before(struct kerr *e)
{
	return kerr_fail(e, KERR_INIT_DIED, 0, "init ended before the program was started");
}

/* Init may be killed at any moment of it: that is the reason then, not what became of a socket. */
int container_start(int run_dir, deadline d, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int s = path_connect(run_dir, "start.sock", SOCK_SEQPACKET, &why);
	int word;

	if (s < 0)
		return kerr_fail(e, KERR_WRONG_STATE, why.sys, "nothing waits to be started");
	path_own_unlink(run_dir, "start.sock", false, NULL);
	if (sync_send(s, SYNC_GO, -1, NULL))
		return ended_before(e);
	word = sync_recv(s, NULL, d, &why);
	if (word == SYNC_EXEC)
		word = sync_recv(s, NULL, d, &why);
	else if (word == 0)
		return ended_before(e);
	if (word > 0)
		return kerr_fail(e, KERR_WIRE, 0, "init said %d", word);
	if (word < 0 && why.sys == ECONNRESET)
		return ended_before(e);
	if (word < 0 && e) {
		*e = why;
		why = (struct kerr)KERR_INIT;
	}
	return word;
}
