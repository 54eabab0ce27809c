/* SPDX-License-Identifier: Apache-2.0 */
/* Init's side: from the clone to execve. Nothing in here returns to the executor's code. */
#include "private.h"
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { START_WAIT_MS = 10000 };

static int fail(struct kerr *e, const char *what)
{
	return kerr_fail(e, KERR_PROCESS_SETUP, errno, "%s", what);
}

#define UNUSED_ARGS (void)c, (void)op, (void)i

/* Its fds are directories of the host: none is left when the container's own can look at us. */
static int join_cgroup(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	if (c->cgroup == NULL)
		return 0;
	if (cgroup_join(c->cgroup, e)) /* v2: born in it */
		return -1;
	free(c->cgroup_name);
	c->cgroup_name = mem_strdup(cgroup_path(c->cgroup));
	cgroup_close_dirs(c->cgroup);
	c->cgroup = NULL;
	return 0;
}

static int become_root(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)c;
	(void)i;
	if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
		return kerr_fail(
			e, KERR_IDMAP, errno, "become root of the user namespace: map id 0");
	if (!op->u.creds.keep_groups && setgroups(0, NULL) < 0)
		return fail(e, "drop supplementary groups");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}

static int cgroup_namespace(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	return unshare(CLONE_NEWCGROUP) < 0
		       ? kerr_fail(e, KERR_NAMESPACE, errno, "new cgroup namespace")
		       : 0;
}

int set_lo_up(struct kerr *e)
{
	CLEANUP_FD int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo" };

	if (s < 0)
		return 0; /* a kernel without IPv4 has no 127.0.0.1 to miss */
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(s, SIOCSIFFLAGS, &r) < 0 ? kerr_fail(e, KERR_NAMESPACE, errno, "set lo up")
					      : 0;
}

static int loopback(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)op;
	(void)i;
	return c->netns >= 0 ? 0 /* up already */ : set_lo_up(e);
}

static int symlink_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;

	(void)i;
	/* A read-only /dev of the bundle's own keeps what it has. */
	if (path_in_symlink(c->root, op->u.link.text, op->target, &why) == 0 || why.sys == EROFS)
		return 0;
	kerr_move(e, &why);
	return -1;
}

static int hook(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_BUF struct buf state = BUF_INIT;

	(void)i;
	c->o->state(c->o->arg, op->u.hook.kind == OCI_HOOK_START_CONTAINER ? "created" : "creating",
		getpid(), &state);
	/* As pid 1 we have its orphans anyway; else they are not the container's to see. */
	if (run_hook(op->u.hook.hook, &state, false, e))
		return -1;
	c->hooks++;
	return 0;
}

static int sysctl(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_FREE char *name = mem_printf("sys/%s", op->u.pair.key);
	bool dots = strchr(op->u.pair.key, '/') == NULL;

	(void)c;
	(void)i;
	for (char *s = name; dots && *s; s++)
		if (*s == '.')
			*s = '/';
	if (proc_write(name, op->u.pair.value, true, e)) {
		if (e->code != KERR_SELF_CHECK)
			e->code = KERR_SYSCTL;
		return -1;
	}
	return 0;
}

static int host_name(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	return sethostname(op->target, strlen(op->target)) < 0 ? fail(e, "set the host name") : 0;
}

static int domain_name(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	return setdomainname(op->target, strlen(op->target)) < 0 ? fail(e, "set the domain name")
								 : 0;
}

static int keyring(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	/* KEYCTL_JOIN_SESSION_KEYRING; a kernel without keys has none to leak */
	return syscall(SYS_keyctl, 1, NULL) < 0 && errno != ENOSYS && errno != EDQUOT
		       ? fail(e, "new session keyring")
		       : 0;
}

static int rlimit(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	struct rlimit r = { op->u.rlimit.soft, op->u.rlimit.hard };

	UNUSED_ARGS;
	return syscall(SYS_prlimit64, 0, (int)op->u.rlimit.type, &r, NULL) < 0
		       ? fail(e, "set the limit")
		       : 0;
}

struct kernel_sched_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

static int scheduler(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	const struct oci_scheduler *s = op->u.scheduler.s;
	struct kernel_sched_attr a = { .size = sizeof a,
		.policy = (uint32_t)s->policy,
		.flags = s->flags,
		.nice = (int32_t)s->nice.v,
		.priority = (uint32_t)s->priority.v,
		.runtime = s->runtime.v,
		.deadline = s->deadline.v,
		.period = s->period.v };

	UNUSED_ARGS;
	return syscall(SYS_sched_setattr, 0, &a, 0) < 0 ? fail(e, "set the scheduler") : 0;
}

static int io_priority(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	return syscall(SYS_ioprio_set, 1, 0, (int)op->u.number) < 0
		       ? fail(e, "set the I/O priority")
		       : 0;
}

static int personality_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	return personality((unsigned long)op->u.number) < 0 ? fail(e, "set the personality") : 0;
}

static int final_affinity(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	cpu_set_t set;

	UNUSED_ARGS;
	cpu_list(op->target, &set);
	return sched_setaffinity(0, sizeof set, &set) < 0 ? fail(e, "set the CPUs") : 0;
}

/* The container's; -1 when it has none. What an image has put there instead is not even opened. */
static int null_for_stdio(struct container *c, int *null, struct kerr *e)
{
	CLEANUP_FD int there = path_in(c->root, "/dev/null", O_PATH, 0, NULL);

	if (there < 0)
		return 0;
	if (!fd_is_chardev(there, 1, 3))
		return kerr_fail(e, KERR_SELF_CHECK, 0, "/dev/null is not the null device");
	*null = fd_reopen(there, O_RDWR, e);
	return *null < 0 ? -1 : 0;
}

/* Preserved fds come to 3.., what is ours goes above them and away at execve. */
static int stdio(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	int fds[3] = { c->o->stdio[0], c->o->stdio[1], c->o->stdio[2] };
	CLEANUP_FD int null = -1;

	(void)i;
	if (c->o->exec_target < 0 || op->u.console.terminal)
		setsid(); /* a leader already is fine */
	if (op->u.console.terminal) {
		if (c->slave < 0)
			return kerr_fail(e, KERR_TERMINAL, 0, "there is no terminal");
		if (ioctl(c->slave, TIOCSCTTY, 0) < 0)
			return kerr_fail(
				e, KERR_TERMINAL, errno, "make it the controlling terminal");
		fds[0] = fds[1] = fds[2] = c->slave;
	}
	for (int k = 0; k < 3; k++) {
		if (fds[k] < 0) {
			if (null < 0 && null_for_stdio(c, &null, e))
				return -1;
			fds[k] = null;
		}
		if (fds[k] < 0)
			close(k);
		else if (fds[k] == k ? fcntl(k, F_SETFD, 0) < 0 : dup2(fds[k], k) < 0)
			return fail(e, "place stdin, stdout and stderr");
	}
	return 0;
}

static int umask_op(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	(void)e;
	umask((mode_t)op->u.number);
	return 0;
}

static int change_directory(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_FD int dir = -1;
	char cwd[4096];

	(void)i;
	dir = path_in(c->root, op->target, O_PATH | O_DIRECTORY, 0, NULL);
	/* A container's own is made; a command's is there, or its caller has mistyped it. */
	if (dir < 0)
		dir = c->o->exec_target < 0
			      ? path_in_mkdirs(c->root, op->target, 0755, 0, 0, e)
			      : path_in(c->root, op->target, O_PATH | O_DIRECTORY, 0, e);
	if (dir < 0 || fchdir(dir) < 0)
		return dir < 0 ? -1 : fail(e, "change to the working directory");
	/* "(unreachable)" says that it is not below our root. */
	if (syscall(SYS_getcwd, cwd, sizeof cwd) < 0 || cwd[0] != '/')
		return kerr_fail(
			e, KERR_SELF_CHECK, 0, "the working directory lies outside the root");
	return 0;
}

static int bounding(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	for (unsigned cap = 0; cap <= c->p->facts->last_capability; cap++)
		if (!(op->u.caps.bounding >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
			prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			return kerr_fail(e, KERR_CAPABILITY, errno, "drop %s from the bounding set",
				oci_capability_name(cap));
	return 0;
}

/* Not when it joins a user namespace: its parent is the executor then, which ends early. */
static int die_with_parent(const struct container *c, struct kerr *e)
{
	if (!c->o->death_signal || joins_user(c))
		return 0;
	return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? fail(e, "die with the monitor") : 0;
}

static int credentials(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)i;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return fail(e, "keep capabilities over the change of ids");
	if (syscall(SYS_setgroups, op->u.creds.ngroups, op->u.creds.groups) < 0 &&
		!op->u.creds.keep_groups)
		return fail(e, "set supplementary groups");
	if (syscall(SYS_setresgid, op->u.creds.gid, op->u.creds.gid, op->u.creds.gid) < 0)
		return fail(e, "set the group id");
	if (syscall(SYS_setresuid, op->u.creds.uid, op->u.creds.uid, op->u.creds.uid) < 0)
		return fail(e, "set the user id");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* The change of ids has forgotten it. */
	return die_with_parent(c, e);
}

static int capabilities(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	(void)c;
	(void)i;
	for (int k = 0; k < 2; k++) {
		data[k].effective = (uint32_t)(op->u.caps.effective >> 32 * k);
		data[k].permitted = (uint32_t)(op->u.caps.permitted >> 32 * k);
		data[k].inheritable = (uint32_t)(op->u.caps.inheritable >> 32 * k);
	}
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || syscall(SYS_capset, &header, data) < 0)
		return kerr_fail(e, KERR_CAPABILITY, errno, "set capabilities");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return kerr_fail(e, KERR_CAPABILITY, errno, "clear ambient capabilities");
	for (unsigned cap = 0; cap < 64; cap++)
		if (op->u.caps.ambient >> cap & 1 &&
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return kerr_fail(e, KERR_CAPABILITY, errno, "raise ambient %s",
				oci_capability_name(cap));
	return 0;
}

static int no_new_privs(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	UNUSED_ARGS;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? fail(e, "set no_new_privs") : 0;
}

/* Whose memory we are on has said what it had to say, and ends: the kernel closes its end of the
 * socket when it does nothing else any more. Nothing is touched before that. */
static void await_alone(struct container *c)
{
	if (c->shared && !poll_one(c->sync, 0, deadline_in_ms(START_WAIT_MS)))
		_exit(125);
	proc_use(c->proc);
	fd_closep(&c->sync);
}

/* The executor learns that we wait, and ends; who starts us connects, and learns how it went. */
static int wait_start(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)op;
	(void)i;
	/* A program that is not there is create's error, not start's. */
	if (check_late(c, e) || sync_send(c->sync, SYNC_WAITS, -1, e))
		return -1;
	for (;;) {
		CLEANUP_FD int s = accept4(c->listen, NULL, NULL, SOCK_CLOEXEC);
		int word;

		if (s < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (s < 0)
			return fail(e, "wait for start");
		/* Who may: 0600 in a directory of 0700, outside of every container. Ids say no
		 * more: seen from a user namespace the host's are nobody. */
		word = sync_recv(s, NULL, deadline_in_ms(START_WAIT_MS), NULL);
		if (word != SYNC_GO)
			continue;
		await_alone(c);
		c->sync = fd_take(&s);
		fd_closep(&c->listen);
		return sync_send(c->sync, SYNC_EXEC, -1, e);
	}
}

/* runtime-spec, "The Container Process State". */
static void listener_state(struct container *c, const struct oci_seccomp *p, struct buf *b)
{
	CLEANUP_BUF struct buf state = BUF_INIT;
	struct json_out o = JSON_OUT(b);

	c->o->state(c->o->arg, "creating", c->host_pid, &state);
	json_begin_object(&o);
	json_put_string(&o, "ociVersion", KAPSEL_SPEC_MAX);
	json_key(&o, "fds");
	json_begin_array(&o);
	json_add_string(&o, "seccompFd");
	json_end_array(&o);
	json_put_i64(&o, "pid", c->host_pid);
	json_put_string(&o, "metadata", p->listener_metadata);
	json_key(&o, "state");
	json_add_raw(&o, buf_str(&state), state.len);
	json_end_object(&o);
}

static int seccomp(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	const struct oci_seccomp *p = op->u.seccomp.profile;
	CLEANUP_BUF struct buf state = BUF_INIT;
	int listener;

	(void)i;
	if (c->notify >= 0)
		listener_state(c, p, &state);
	listener = seccomp_install(&c->filter, p);
	if (listener < 0)
		return kerr_fail(e, KERR_SECCOMP, errno, "load the filter");
	if (listener == 0)
		return 0;
	/* One message, the fd with its first byte. */
	if (socket_send(c->notify, state.data, state.len, &listener, 1, deadline_in_ms(5000), e) <
		0)
		return kerr_fail(e, KERR_SECCOMP, 0, "hand the listener to %s", p->listener_path);
	close(listener);
	fd_closep(&c->notify);
	return 0;
}

/* ---- execve
 * -------------------------------------------------------------------------------------------------------
 */

static const char *path_variable(const struct oci_process *p)
{
	for (size_t i = 0; i < p->env.n; i++)
		if (str_starts(p->env.v[i], "PATH="))
			return p->env.v[i] + 5;
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* The words are those that callers look for; lower case as theirs. */
static int not_found(struct kerr *e, const char *name, int why)
{
	if (why == EACCES || why == EPERM)
		return kerr_fail(e, KERR_EXEC_DENIED, 0, "exec: \"%s\": permission denied", name);
	if (strchr(name, '/'))
		return kerr_fail(e, KERR_EXEC_NOT_FOUND, 0,
			"exec: \"%s\": stat %s: no such file or directory", name, name);
	return kerr_fail(e, KERR_EXEC_NOT_FOUND, 0,
		"exec: \"%s\": executable file not found in $PATH", name);
}

static int find_program(const struct oci_process *p, char *out, size_t room, struct kerr *e)
{
	const char *name = p->args.n ? p->args.v[0] : "", *dir = path_variable(p);
	int why = ENOENT, denied = 0;

	if (strchr(name, '/')) {
		why = path_can_execute(name);
		snprintf(out, room, "%s", name);
		return why ? not_found(e, name, why) : 0;
	}
	while (*dir && *name) {
		size_t n = strcspn(dir, ":");

		if ((size_t)snprintf(out, room, "%.*s%s%s", (int)n, dir, n ? "/" : "./", name) <
			room) {
			why = path_can_execute(out);
			if (why == 0)
				return 0;
			denied |= why == EACCES;
		}
		dir += n + (dir[n] == ':');
	}
	return not_found(e, name, denied ? EACCES : ENOENT);
}

static char **copy_vector(const char *const *v, size_t n)
{
	char **out = mem_array(n + 1, sizeof *out);

	for (size_t i = 0; i < n; i++)
		out[i] = (char *)(uintptr_t)v[i];
	return out;
}

/* All that execve is given, so that a filter need not let anything else through. */
int check_late(struct container *c, struct kerr *e)
{
	const struct oci_process *p = c->p->process;
	char path[4096];

	if (p->args.n == 0 && c->p->options.wait_start)
		return 0; /* only start needs one: who starts us has looked whether there is */
	if (find_program(p, path, sizeof path, e))
		return -1;
	free(c->program);
	free(c->argv);
	free(c->envp);
	c->program = mem_strdup(path);
	c->argv = copy_vector(p->args.v, p->args.n);
	c->envp = copy_vector(p->env.v, p->env.n);
	return 0;
}

static int execute(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	(void)op;
	if (check_hooks(c, SIDE_INIT, i, e))
		return -1;
	if (c->program == NULL)
		return kerr_fail(e, KERR_SELF_CHECK, 0, "the program has not been looked for");
	execve(c->program, c->argv, c->envp);
	return kerr_fail(e,
		errno == EACCES	  ? KERR_EXEC_DENIED
		: errno == ENOENT ? KERR_EXEC_NOT_FOUND
				  : KERR_EXEC_FAILED,
		errno, "exec: \"%s\"", c->argv[0]);
}

/* ---- the walk
 * --------------------------------------------------------------------------------------------------------
 */

static const op_fn init_ops[OP_COUNT] = {
	[OP_BECOME_ROOT] = become_root,
	[OP_CGROUP_JOIN] = join_cgroup,
	[OP_CGROUP_NAMESPACE] = cgroup_namespace,
	[OP_LOOPBACK] = loopback,
	[OP_PROPAGATION] = do_propagation,
	[OP_ROOT] = do_root,
	[OP_MOUNT] = do_mount,
	[OP_DEVICE] = do_device,
	[OP_SYMLINK] = symlink_op,
	[OP_CONSOLE] = do_console,
	[OP_HOOK] = hook,
	[OP_PIVOT] = do_pivot,
	[OP_ROOT_PROPAGATION] = do_root_propagation,
	[OP_ROOT_READONLY] = do_root_readonly,
	[OP_READONLY_PATH] = do_readonly_path,
	[OP_MASK] = do_mask,
	[OP_SYSCTL] = sysctl,
	[OP_HOSTNAME] = host_name,
	[OP_DOMAINNAME] = domain_name,
	[OP_KEYRING] = keyring,
	[OP_RLIMIT] = rlimit,
	[OP_SCHEDULER] = scheduler,
	[OP_IOPRIO] = io_priority,
	[OP_AFFINITY] = final_affinity,
	[OP_PERSONALITY] = personality_op,
	[OP_WAIT_START] = wait_start,
	[OP_STDIO] = stdio,
	[OP_UMASK] = umask_op,
	[OP_CWD] = change_directory,
	[OP_BOUNDING] = bounding,
	[OP_CREDENTIALS] = credentials,
	[OP_CAPABILITIES] = capabilities,
	[OP_NO_NEW_PRIVS] = no_new_privs,
	[OP_CHECK] = do_check,
	[OP_SECCOMP] = seccomp,
	[OP_EXEC] = execute,
};

static int init_apply(struct container *c, size_t i, struct kerr *e)
{
	const struct op *op = &c->p->op[i];
	op_fn f = init_ops[op->kind];

#ifdef KAPSEL_PLANT
	if (c->o->fail_kind == (int)op->kind)
		return kerr_fail(e, KERR_INTERNAL, 0, "planted failure"), step_failed(op, e);
	if (c->o->wrong_kind == (int)op->kind)
		return 0;
#endif
	if (f == NULL)
		kerr_fail(e, KERR_INTERNAL, 0, "no such operation on init's side");
	return f && f(c, op, i, e) == 0 ? 0 : step_failed(op, e);
}

/* Joined ones but pid, which only a clone can enter. */
static int enter_namespaces(struct container *c, struct kerr *e)
{
	for (size_t i = 0; i < c->p->n && !c->entered; i++) {
		const struct op *op = &c->p->op[i];

		if (op->kind == OP_NAMESPACE_JOIN && op->u.ns.type != OCI_NS_PID &&
			setns(c->fd[i], ns_flag(op->u.ns.type)) < 0) {
			kerr_fail(e, KERR_NAMESPACE, errno, "join %s", op->u.ns.path);
			return step_failed(op, e);
		}
	}
	return 0;
}

/* All of a running container's at once: our rights on each are judged before any is entered. Those
 * that are ours already are left out, a user namespace is not entered twice. */
static int enter_container(struct container *c, struct kerr *e)
{
	int flags = 0;
	bool user = c->joined[OCI_NS_USER] != c->own.outer[OCI_NS_USER];
	/* entered before the clone, and not to be entered twice */
	bool entered = joins_user(c);

	/* While we have the right to make one: of the pid namespace that we were born in. */
	proc_close();
	if (proc_root(e) < 0)
		return -1;
#ifdef KAPSEL_PLANT
	if (c->o->wrong_kind != OP_CGROUP_JOIN)
#endif
		if (join_cgroup(c, NULL, 0, e)) /* before its namespace hides the way */
			return -1;
	for (int t = 0; t < OCI_NS_COUNT; t++)
		if (t != OCI_NS_PID && !(entered && t == OCI_NS_USER) && c->joined[t] &&
			c->joined[t] != c->own.outer[t])
			flags |= ns_flag((enum oci_namespace)t);
	if (flags && setns(c->o->exec_target, flags) < 0)
		return kerr_fail(e, KERR_NAMESPACE, errno, "join the container's namespaces");
	if (user && (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0))
		return kerr_fail(e, KERR_IDMAP, errno, "become root of the user namespace");
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	c->root = path_host_dir(AT_FDCWD, "/", e);
	return c->root < 0 ? -1 : 0;
}

static int by_fd(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all above 2 but @keep, which may hold -1 and is sorted. */
static int close_around(int *keep, size_t n, struct kerr *e)
{
	unsigned from = 3;

	qsort(keep, n, sizeof *keep, by_fd);
	for (size_t i = 0; i < n; i++) {
		unsigned fd = (unsigned)keep[i];

		if (keep[i] < (int)from)
			continue;
		if (fd > from && sys_close_range(from, fd - 1, 0) < 0)
			return fail(e, "close file descriptors");
		from = fd + 1;
	}
	return sys_close_range(from, ~0u, 0) < 0 ? fail(e, "close file descriptors") : 0;
}

/* The executor's own (its orders, the bundle, logs) are not for a process that goes inside. */
static int keep_ours(struct container *c, struct kerr *e)
{
	size_t n = 0, binds = 0, most = c->nfd + c->o->preserve + 64;
	CLEANUP_FREE int *keep = mem_array(most, sizeof *keep);

	cgroup_mounts(&binds);
	for (size_t i = 0; i < c->nfd; i++)
		keep[n++] = c->fd[i];
	for (unsigned i = 0; i < c->o->preserve; i++)
		keep[n++] = (int)(3 + i);
	for (size_t i = 0; c->cgroup && i < binds && n + 16 < most; i++)
		keep[n++] = cgroup_dir(c->cgroup, i);
	for (int i = 0; i < 3; i++)
		keep[n++] = c->o->stdio[i];
	keep[n++] = c->sync;
	keep[n++] = c->listen;
	keep[n++] = c->netns;
	keep[n++] = c->notify;
	keep[n++] = c->o->exec_target;
	keep[n++] = proc_root(e);
	return close_around(keep, n, e);
}

static void reset_signals(const struct container *c)
{
	sigset_t none;

	if (c->o->signals_default)
		signal(SIGPIPE, SIG_DFL);
	else
		sys_signals_default();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* By the executor's procfs, which is of its own pid namespace; 0 when that cannot be read. */
static pid_t host_pid(void)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	return proc_read("self/stat", 4096, &b, NULL) ? 0 : (pid_t)strtol(buf_str(&b), NULL, 10);
}

/* The executor's fd of the bundle is of a mount namespace that is not ours to copy mounts of: the
 * same directory, by its path from here. */
static int own_mounts(struct container *c, struct kerr *e)
{
	CLEANUP_BUF struct buf found = BUF_INIT;
	const char *path = c->p->options.bundle;
	CLEANUP_FD int bundle = -1;
	struct stat a, b;

	if (path == NULL && fd_path(c->o->bundle, &found, e))
		return -1;
	if (path == NULL)
		path = buf_str(&found);
	bundle = path_host(AT_FDCWD, path, O_PATH | O_DIRECTORY, e);
	if (bundle < 0)
		return -1;
	if (fd_stat(bundle, &a, e) || fd_stat(c->o->bundle, &b, e))
		return -1;
	if (a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return kerr_fail(e, KERR_BUNDLE_MISSING, 0, "%s is another directory now", path);
	((struct container_order *)(uintptr_t)c->o)->bundle = bundle; /* init's own copy */
	return do_prepare_mounts(c, e);
}

static int begin(struct container *c, struct kerr *e)
{
	/* The turn comes when the user namespace has its maps and our parent knows of us. Nothing
	 * before it: we may be on the executor's memory, which does not wait yet. */
	if (sync_recv(c->sync, NULL, deadline_in_ms(60000), e) != SYNC_TURN)
		return kerr_fail(e, KERR_WIRE, 0, "the executor is gone");
	c->host_pid = c->p->spec->linux_.seccomp ? host_pid() : 0; /* for a listener */
	reset_signals(c);
	if (!c->p->facts->root && c->o->exec_target < 0 && own_mounts(c, e))
		return -1;
	if (keep_ours(c, e) || die_with_parent(c, e))
		return -1;
	if (c->o->exec_target >= 0)
		return enter_container(c, e);
	proc_close(); /* the executor's is of its pid namespace */
	if (c->netns >= 0 && setns(c->netns, CLONE_NEWNET) < 0)
		return kerr_fail(e, KERR_NAMESPACE, errno, "enter the network namespace");
	return proc_root(e) < 0 || enter_namespaces(c, e) ? -1 : 0;
}

/* Keeps what was asked to be kept; the sync socket goes away with execve, and tells by that. */
static int close_others(struct container *c, struct kerr *e)
{
	size_t n = 0;
	CLEANUP_FREE int *keep = mem_array(c->o->preserve + 4, sizeof *keep);
	/* Our procfs is mounted nowhere: its last fd's end waits for all CPUs, so that is left to
	 * the executor, who is not in the program's way. */
	CLEANUP_FD int proc = proc_take();

	c->proc = -1;
	if (c->p->options.wait_start)
		fd_closep(&proc);
	for (unsigned fd = 3; fd < 3 + c->o->preserve; fd++) {
		fcntl((int)fd, F_SETFD, 0);
		keep[n++] = (int)fd;
	}
	keep[n++] = c->sync;
	keep[n++] = c->listen;
	keep[n++] = c->notify;
	keep[n++] = proc;
	if (close_around(keep, n, e))
		return -1;
	/* From here on the end of the socket means execve: a filter may forbid to say more. */
	return c->p->options.wait_start ? 0 : sync_send(c->sync, SYNC_EXEC, proc, e);
}

int yield_turn(struct container *c, enum sync_word word, int pass, struct kerr *e)
{
	if (sync_send(c->sync, word, pass, e) ||
		sync_recv(c->sync, NULL, deadline_in_ms(3600000), e) != SYNC_TURN)
		return kerr_fail(e, KERR_WIRE, 0, "the executor is gone");
	proc_use(c->proc);
	return 0;
}

static int walk(struct container *c, size_t from, struct kerr *e)
{
	if (begin(c, e))
		return -1;
	c->proc = proc_root(e);
	for (size_t i = from; i < c->p->n; i++) {
		const struct op *op = &c->p->op[i];

		if (op->side == SIDE_INIT) {
			if (init_apply(c, i, e))
				return -1;
			if (op->kind == OP_CHECK && close_others(c, e))
				return -1;
			continue;
		}
		if (i > from && c->p->op[i - 1].side == SIDE_INIT &&
			yield_turn(c, SYNC_TURN, -1, e))
			return -1;
	}
	return kerr_fail(e, KERR_INTERNAL, 0, "the plan does not end with exec");
}

void init_main(void *container)
{
	struct container *c = container;
	struct kerr e = KERR_INIT;

	fd_closep(&c->other_end);
	walk(c, c->first, &e);
	if (c->sync >= 0)
		sync_send_error(c->sync, &e);
	_exit(125);
}
