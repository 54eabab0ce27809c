/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"
#include <linux/sched.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>

#ifndef SCHED_ISO
#define SCHED_ISO 4
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

struct op *add_op(struct build *b, enum op_kind kind, enum op_side side, const char *target,
	const struct json *at)
{
	struct plan *p = b->p;
	struct op *op;

	if (p->n == p->cap) {
		struct op *grown = arena_array(b->a, p->cap ? p->cap * 2 : 64, sizeof *grown);

		if (p->n)
			memcpy(grown, p->op, p->n * sizeof *grown);
		p->op = grown;
		p->cap = p->cap ? p->cap * 2 : 64;
	}
	op = &p->op[p->n++];
	op->kind = kind;
	op->side = side;
	op->nth = b->nth[kind]++;
	op->target = target;
	if (at) {
		op->pointer = json_pointer(b->a, at);
		op->line = at->line;
		op->column = at->column;
	}
	return op;
}

static void note(
	struct kerr *to, enum kerr_code code, const struct json *at, const char *fmt, va_list ap)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct kerr one = KERR_INIT;

	buf_vaddf(&text, fmt, ap);
	json_fail(&one, code, at, "%s", buf_str(&text));
	kerr_add(to, &one);
}

void refuse(struct build *b, enum kerr_code code, const struct json *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(b->faults, code, at, fmt, ap);
	va_end(ap);
}

void warn(struct build *b, enum kerr_code code, const struct json *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	note(&b->warnings, code, at, fmt, ap);
	va_end(ap);
}

static void add_number(struct build *b, enum op_kind kind, enum op_side side, const char *target,
	int64_t v, const struct json *at)
{
	struct op *op = add_op(b, kind, side, target, at);

	op->u.number = v;
	op->verified = true;
}

const struct json *member(const struct json *object, const char *name)
{
	const struct json *v = json_get(object, name);

	return v ? v : object;
}

/* ---- cgroup
 * ---------------------------------------------------------------------------------------------- */

/* What peers append: the default devices, and mknod of anything. */
static const struct cgroup_device default_rules[] = {
	{ true, 'c', -1, -1, CGROUP_DEV_MKNOD },
	{ true, 'b', -1, -1, CGROUP_DEV_MKNOD },
	{ true, 'c', 1, 3, 7 },
	{ true, 'c', 1, 5, 7 },
	{ true, 'c', 1, 7, 7 },
	{ true, 'c', 1, 8, 7 },
	{ true, 'c', 1, 9, 7 },
	{ true, 'c', 5, 0, 7 },
	{ true, 'c', 5, 2, 7 },
	{ true, 'c', 136, -1, 7 },
};

static uint8_t access_bits(const char *access)
{
	if (access == NULL)
		return 7;
	return (uint8_t)((strchr(access, 'r') ? CGROUP_DEV_READ : 0) |
			 (strchr(access, 'w') ? CGROUP_DEV_WRITE : 0) |
			 (strchr(access, 'm') ? CGROUP_DEV_MKNOD : 0));
}

/* v1 takes "a" for everything, whatever follows: a narrower rule for both types becomes two. */
static size_t device_rule(const struct oci_device_rule *d, struct cgroup_device *v)
{
	struct cgroup_device one = { d->allow, d->type ? (char)d->type : 'a',
		d->major.set ? d->major.v : -1, d->minor.set ? d->minor.v : -1,
		access_bits(d->access) };

	v[0] = one;
	if (one.type != 'a' || (one.major < 0 && one.minor < 0 && one.access == 7))
		return 1;
	v[0].type = 'c';
	v[1] = one;
	v[1].type = 'b';
	return 2;
}

static void build_device_rules(struct build *b)
{
	const struct oci_resources *r = &b->s->linux_.resources;
	uint32_t there =
		b->f->cgroup_layout == CGROUP_V2 ? b->f->controllers.v2 : b->f->controllers.v1;
	struct cgroup_device *v;
	size_t n = 0;
	struct op *op;

	if (r->devices.n == 0)
		return;
	/* As runc: who is not root can make no device node, and may open those that it may. */
	if (!b->f->root) {
		warn(b, KERR_NODE_PRIVILEGE, member(r->at, "devices"),
			"without the host's root device rules are passed over");
		return;
	}
	if (!(there >> CG_DEVICES & 1)) {
		refuse(b, KERR_CGROUP_NO_CONTROLLER, member(r->at, "devices"),
			"this node has no devices controller");
		return;
	}
	op = add_op(b, OP_CGROUP_DEVICES, SIDE_EXECUTOR, "devices", member(r->at, "devices"));
	v = arena_array(b->a, 2 * r->devices.n + ARRAY_LEN(default_rules), sizeof *v);
	for (size_t i = 0; i < r->devices.n; i++)
		n += device_rule(&r->devices.v[i], v + n);
	memcpy(v + n, default_rules, sizeof default_rules);
	op->u.devices.v = v;
	op->u.devices.n = n + ARRAY_LEN(default_rules);
}

static bool is_host_id(const struct oci_idmap *v, size_t n, uint64_t inside, uint64_t *outside)
{
	for (size_t i = 0; i < n; i++)
		if (inside >= v[i].container && inside - v[i].container < v[i].size) {
			*outside = v[i].host + (inside - v[i].container);
			return true;
		}
	return false;
}

/* config-linux.md, "Cgroup ownership": only on v2, with a cgroup namespace of its own and its
 * cgroup writable inside. */
static void build_cgroup_owner(struct build *b)
{
	const struct oci_linux *l = &b->s->linux_;
	uint64_t uid = b->s->process.user.uid;
	bool writable = false;

	if (b->f->cgroup_layout != CGROUP_V2 || !b->f->root || !oci_new_ns(b->s, OCI_NS_CGROUP))
		return;
	for (size_t i = 0; i < b->s->mounts.n; i++) {
		const struct oci_mount *m = &b->s->mounts.v[i];

		if (str_eq(m->destination, "/sys/fs/cgroup"))
			writable = (str_eq(m->type, "cgroup") || str_eq(m->type, "cgroup2")) &&
				   !mount_is_readonly(m);
	}
	if (!writable ||
		(oci_find_ns(b->s, OCI_NS_USER) && !is_host_id(l->uids.v, l->uids.n, uid, &uid)))
		return;
	if (uid)
		add_number(b, OP_CGROUP_CHOWN, SIDE_EXECUTOR, "cgroup", (int64_t)uid,
			b->s->process.user.at);
}

/* As runc: none is made and nobody minds, unless one was asked for, or a limit. */
static void judge_without_cgroup(struct build *b, const char *path, const struct json *at)
{
	size_t from = b->p->n;

	build_resources(b);
	for (size_t i = from; i < b->p->n; i++) {
		struct kerr one = KERR_INIT;
		const struct op *op = &b->p->op[i];

		kerr_fail(&one, KERR_NODE_PRIVILEGE, 0,
			"without rights on cgroups %s cannot be set", op->u.write.file);
		kerr_at(&one, op->pointer, op->line, op->column);
		kerr_add(b->faults, &one);
	}
	b->p->n = from;
	b->nth[OP_CGROUP_WRITE] = 0;
	if (path && *path)
		refuse(b, KERR_NODE_PRIVILEGE, at, "without rights on cgroups %s cannot be made",
			path);
	if (b->s->linux_.resources.devices.n)
		warn(b, KERR_NODE_PRIVILEGE, member(b->s->linux_.resources.at, "devices"),
			"without rights on cgroups device rules are passed over");
}

static bool is_below(const char *path, const char *base)
{
	size_t n = strlen(base);

	return str_eq(base, "/") ||
	       (strncmp(path, base, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

/* Below what was given to us, or as it is where it lies there. */
static const char *base_of(struct build *b, const char *parent)
{
	const char *base = b->f->cgroup_base;

	if (is_below(parent, base))
		return parent;
	return arena_printf(b->a, "%s%s", base, parent);
}

static void build_cgroup(struct build *b)
{
	const char *path = b->s->linux_.cgroups_path,
		   *id = b->p->options.id ? b->p->options.id : "ID",
		   *parent = b->p->options.cgroup_parent;
	const struct json *at = path ? member(b->s->linux_.at, "cgroupsPath") : NULL;

	if (!b->f->cgroup_writable) {
		judge_without_cgroup(b, path, at);
		return;
	}
	if (!b->f->root && !b->p->options.systemd_cgroup) {
		parent = base_of(b, parent ? parent : "/kapsel");
		b->p->options.cgroup_parent = parent;
		if (path && *path == '/' && !is_below(path, b->f->cgroup_base))
			refuse(b, KERR_NODE_PRIVILEGE, at,
				"cgroup %s is not below %s, where this user's are", path,
				b->f->cgroup_base);
	}
	if (b->p->options.systemd_cgroup) {
		build_scope(b, at);
		path = NULL;
	} else if (path == NULL || *path == '\0')
		path = arena_printf(b->a, "%s/%s", parent ? parent : "/kapsel", id);
	else if (*path != '/')
		path = arena_printf(b->a, "%s/%s", parent ? parent : "/kapsel", path);
	if (path)
		add_op(b, OP_CGROUP_MAKE, SIDE_EXECUTOR, path, at);
	build_resources(b);
	build_device_rules(b);
	build_cgroup_owner(b);
}

/* ---- namespaces
 * ------------------------------------------------------------------------------------------ */

static const uint64_t clone_flags[OCI_NS_COUNT] = { [OCI_NS_PID] = CLONE_NEWPID,
	[OCI_NS_NETWORK] = CLONE_NEWNET,
	[OCI_NS_MOUNT] = CLONE_NEWNS,
	[OCI_NS_IPC] = CLONE_NEWIPC,
	[OCI_NS_UTS] = CLONE_NEWUTS,
	[OCI_NS_USER] = CLONE_NEWUSER };

static void judge_namespaces(struct build *b)
{
	const struct {
		enum oci_namespace type;
		bool there;
	} rows[] = {
		{ OCI_NS_USER, b->f->user_namespaces },
		{ OCI_NS_CGROUP, b->f->cgroup_namespaces },
		{ OCI_NS_TIME, b->f->time_namespaces },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (oci_new_ns(b->s, rows[i].type) && !rows[i].there)
			refuse(b, KERR_NODE_KERNEL, oci_find_ns(b->s, rows[i].type)->at,
				"kernel %s has no %s namespaces", b->f->kernel,
				oci_ns_name(rows[i].type));
}

static void build_oom_score(struct build *b, const struct oci_process *process)
{
	const struct json *at = process->at ? member(process->at, "oomScoreAdj") : NULL;
	struct op *op;

	if (!process->oom_score_adj.set)
		return;
	op = add_op(b, OP_OOM_SCORE, SIDE_EXECUTOR, "oomScoreAdj", at);
	op->u.number = process->oom_score_adj.v;
	op->verified = true;
	if (op->u.number < b->f->oom_score_adj_min)
		refuse(b, KERR_NODE_LIMIT, at,
			"%lld is below %d, the lowest that this node can set",
			(long long)op->u.number, b->f->oom_score_adj_min);
}

/* Those of the caller: with setgroups denied they cannot be left. Of a user namespace that is
 * joined without the host's root, nobody can tell before. */
static bool keeps_groups(const struct build *b, const struct oci_user *user)
{
	return setgroups_denied(b) ||
	       (!b->f->root && user->groups.n == 0 && !oci_new_ns(b->s, OCI_NS_USER));
}

static void build_namespaces(struct build *b)
{
	const struct oci_linux *l = &b->s->linux_;
	bool user = oci_new_ns(b->s, OCI_NS_USER), cgroup = oci_new_ns(b->s, OCI_NS_CGROUP);
	const struct oci_ns *mount = oci_find_ns(b->s, OCI_NS_MOUNT);
	uint64_t flags = 0;
	struct op *op;

	for (size_t i = 0; i < l->namespaces.n; i++) {
		const struct oci_ns *ns = &l->namespaces.v[i];

		if (ns->path == NULL) {
			flags |= clone_flags[ns->type];
			continue;
		}
		op = add_op(b, OP_NAMESPACE_JOIN, SIDE_EXECUTOR, ns->path, ns->at);
		op->u.ns.type = (enum oci_namespace)ns->type;
		op->u.ns.path = ns->path;
		op->verified = true;
	}
	if (mount == NULL || mount->path)
		refuse(b, KERR_UNSUPPORTED, mount ? mount->at : b->s->at,
			"a container needs a mount namespace of its own");
	judge_namespaces(b);
	judge_rootless(b);
	if (oci_new_ns(b->s, OCI_NS_TIME)) {
		op = add_op(b, OP_TIME_OFFSETS, SIDE_EXECUTOR, "time",
			oci_find_ns(b->s, OCI_NS_TIME)->at);
		op->u.offsets.v = l->time_offsets.v;
		op->u.offsets.n = l->time_offsets.n;
		op->verified = true;
	}
	op = add_op(b, OP_CLONE, SIDE_EXECUTOR, "init", NULL);
	op->u.clone.flags = flags;
	op->verified = true;
	if (user) {
		op = add_op(
			b, OP_IDMAP, SIDE_EXECUTOR, "user namespace", member(l->at, "uidMappings"));
		op->u.idmap.uids = l->uids.v;
		op->u.idmap.nuids = l->uids.n;
		op->u.idmap.gids = l->gids.v;
		op->u.idmap.ngids = l->gids.n;
		op->verified = true;
	}
	build_oom_score(b, &b->s->process);
	/* Before it is another: joining is judged by the host's ids. */
	if (b->f->cgroup_writable)
		add_op(b, OP_CGROUP_JOIN, SIDE_INIT, "cgroup", NULL)->verified = true;
	if (b->scope.unit)
		build_settle(b);
	if (user || oci_find_ns(b->s, OCI_NS_USER))
		add_op(b, OP_BECOME_ROOT, SIDE_INIT, "0:0", NULL)->u.creds.keep_groups =
			keeps_groups(b, &b->s->process.user);
	if (cgroup)
		add_op(b, OP_CGROUP_NAMESPACE, SIDE_INIT, "cgroup",
			oci_find_ns(b->s, OCI_NS_CGROUP)->at)
			->verified = true;
	if (oci_new_ns(b->s, OCI_NS_NETWORK))
		add_op(b, OP_LOOPBACK, SIDE_INIT, "lo", NULL);
}

/* ---- root
 * -------------------------------------------------------------------------------------------------
 */

static void build_hooks(struct build *b, enum oci_hook_kind kind, enum op_side side)
{
	for (size_t i = 0; i < b->s->hooks.kind[kind].n; i++) {
		const struct oci_hook *h = &b->s->hooks.kind[kind].v[i];
		struct op *op = add_op(b, OP_HOOK, side, h->path, h->at);

		op->u.hook.kind = kind;
		op->u.hook.hook = h;
	}
}

static void build_root(struct build *b)
{
	const struct oci_linux *l = &b->s->linux_;
	struct op *op;

	/* Shared would let what follows out to the host; slave lets its unmounts in. */
	op = add_op(b, OP_PROPAGATION, SIDE_INIT, "/", NULL);
	op->u.number = MS_REC | (l->rootfs_propagation.set && l->rootfs_propagation.v & MS_SLAVE
						? MS_SLAVE
						: MS_PRIVATE);
	op = add_op(b, OP_ROOT, SIDE_INIT, b->s->root.path, member(b->s->root.at, "path"));
	op->u.root.readonly = b->s->root.readonly;
	op->u.root.volatile_overlay = b->p->options.volatile_root;
	op->u.root.volatile_bytes = b->p->options.volatile_bytes;
	build_mounts(b);
	build_devices(b);
	if (b->s->process.terminal) {
		op = add_op(b, OP_CONSOLE, SIDE_INIT, "/dev/console",
			member(b->s->process.at, "terminal"));
		op->u.console.terminal = true;
		op->u.console.rows = (unsigned short)b->s->process.console.height;
		op->u.console.columns = (unsigned short)b->s->process.console.width;
	}
	build_hooks(b, OCI_HOOK_PRESTART, SIDE_EXECUTOR);
	build_hooks(b, OCI_HOOK_CREATE_RUNTIME, SIDE_EXECUTOR);
	build_hooks(b, OCI_HOOK_CREATE_CONTAINER, SIDE_INIT);
	/* A procfs of our own is open from here on: the container's is a stranger's. */
	for (size_t i = 0; i < l->sysctl.n; i++) {
		op = add_op(b, OP_SYSCTL, SIDE_INIT, l->sysctl.v[i].key, l->sysctl.v[i].at);
		op->u.pair.key = l->sysctl.v[i].key;
		op->u.pair.value = l->sysctl.v[i].value;
		op->verified = true;
	}
	add_op(b, OP_PIVOT, SIDE_INIT, "/", NULL)->verified = true;
	for (size_t i = 0; i < l->readonly.n; i++) {
		op = add_op(b, OP_READONLY_PATH, SIDE_INIT, l->readonly.v[i],
			member(l->at, "readonlyPaths"));
		op->optional = op->verified = true;
	}
	for (size_t i = 0; i < l->masked.n; i++) {
		op = add_op(b, OP_MASK, SIDE_INIT, l->masked.v[i], member(l->at, "maskedPaths"));
		op->optional = op->verified = true;
	}
	/* After the binds above: what is unbindable cannot be copied. */
	if (l->rootfs_propagation.set)
		add_number(b, OP_ROOT_PROPAGATION, SIDE_INIT, "/", (int64_t)l->rootfs_propagation.v,
			member(l->at, "rootfsPropagation"));
	if (b->s->root.readonly)
		add_op(b, OP_ROOT_READONLY, SIDE_INIT, "/", member(b->s->root.at, "readonly"))
			->verified = true;
}

/* ---- process
 * ---------------------------------------------------------------------------------------------- */

static void build_rlimits(struct build *b, const struct oci_process *process, bool from_outside)
{
	for (size_t i = 0; i < process->rlimits.n; i++) {
		const struct oci_limit *l = &process->rlimits.v[i];
		const struct fact_limit *f = &b->f->rlimit[l->type];
		struct op *op = add_op(b, OP_RLIMIT, from_outside ? SIDE_EXECUTOR : SIDE_INIT,
			oci_rlimit_name(l->type), l->at);

		op->u.rlimit.type = (enum oci_rlimit)l->type;
		op->u.rlimit.soft = l->soft;
		op->u.rlimit.hard = l->hard;
		op->verified = true;
		if (f->known && l->hard > f->hard && !b->f->may_raise_rlimits)
			refuse(b, KERR_NODE_LIMIT, member(l->at, "hard"),
				"%llu is above %llu, the hard limit that this node grants",
				(unsigned long long)l->hard, (unsigned long long)f->hard);
		else if (l->type == RLIMIT_NOFILE && b->f->nr_open && l->hard > b->f->nr_open)
			refuse(b, KERR_NODE_LIMIT, member(l->at, "hard"),
				"%llu is above %llu, this node's fs.nr_open",
				(unsigned long long)l->hard, (unsigned long long)b->f->nr_open);
	}
}

static uint64_t grantable(struct build *b, const struct oci_process *process, uint64_t asked)
{
	/* In a user namespace of its own a container has every capability there is to give. */
	uint64_t have = oci_find_ns(b->s, OCI_NS_USER) ? (2ull << b->f->last_capability) - 1
						       : b->f->capabilities;
	uint64_t stray = asked & ~have;

	for (unsigned c = 0; stray; c++, stray >>= 1)
		if (stray & 1)
			warn(b, KERR_CAPABILITY, member(process->at, "capabilities"),
				"this node cannot grant %s", oci_capability_name(c));
	return asked & have;
}

static void build_capabilities(
	struct build *b, const struct oci_process *process, uint64_t set[OCI_CAP_SETS])
{
	uint64_t all = 0;

	memset(set, 0, sizeof(uint64_t) * OCI_CAP_SETS);
	if (process->capabilities == NULL)
		return;
	for (int i = 0; i < OCI_CAP_SETS; i++)
		all |= process->capabilities->set[i];
	all = grantable(b, process, all);
	for (int i = 0; i < OCI_CAP_SETS; i++)
		set[i] = process->capabilities->set[i] & all;
	/* What the kernel would refuse is left out, and has been warned of. */
	set[OCI_CAP_EFFECTIVE] &= set[OCI_CAP_PERMITTED];
	set[OCI_CAP_AMBIENT] &= set[OCI_CAP_PERMITTED] & set[OCI_CAP_INHERITABLE];
}

static struct op *add_caps(
	struct build *b, enum op_kind kind, const struct oci_process *process, const uint64_t set[])
{
	struct op *op =
		add_op(b, kind, SIDE_INIT, kind == OP_BOUNDING ? "bounding" : "capabilities",
			member(process->at, "capabilities"));

	op->u.caps.bounding = set[OCI_CAP_BOUNDING];
	op->u.caps.effective = set[OCI_CAP_EFFECTIVE];
	op->u.caps.permitted = set[OCI_CAP_PERMITTED];
	op->u.caps.inheritable = set[OCI_CAP_INHERITABLE];
	op->u.caps.ambient = set[OCI_CAP_AMBIENT];
	op->verified = true;
	return op;
}

static void build_seccomp(struct build *b)
{
	const struct oci_seccomp *profile = b->s->linux_.seccomp;

	if (profile == NULL)
		return;
	if (!b->f->seccomp)
		refuse(b, KERR_NODE_KERNEL, profile->at, "this kernel has no seccomp filters");
	if (seccomp_has_notify(profile) && !b->f->seccomp_notify)
		refuse(b, KERR_NODE_KERNEL, profile->at, "kernel %s has no SCMP_ACT_NOTIFY",
			b->f->kernel);
	add_op(b, OP_SECCOMP, SIDE_INIT, "filter", profile->at)->u.seccomp.profile = profile;
}

static void judge_scheduler(struct build *b, const struct oci_scheduler *s)
{
	bool realtime = s->policy == SCHED_FIFO || s->policy == SCHED_RR;

	if (s->policy == SCHED_ISO)
		refuse(b, KERR_NODE_KERNEL, member(s->at, "policy"), "no kernel has SCHED_ISO");
	if (realtime && b->f->realtime_groups && b->f->cgroup_writable &&
		b->s->linux_.resources.cpu.realtime_runtime.v <= 0)
		refuse(b, KERR_NODE_LIMIT, member(s->at, "policy"),
			"on this node a cgroup has no real time but what cpu.realtimeRuntime "
			"gives");
}

static void build_attributes(struct build *b, const struct oci_process *process)
{
	const struct oci_personality *personality = &b->s->linux_.personality;

	judge_rootless_attributes(b, process);
	if (process->scheduler) {
		struct op *op =
			add_op(b, OP_SCHEDULER, SIDE_INIT, "scheduler", process->scheduler->at);

		op->u.scheduler.s = process->scheduler;
		judge_scheduler(b, process->scheduler);
		op->verified = true;
	}
	if (process->io_priority)
		add_number(b, OP_IOPRIO, SIDE_INIT, "ioPriority",
			process->io_priority->class << 13 |
				(int64_t)process->io_priority->priority.v,
			process->io_priority->at);
	if (personality->domain.set)
		add_number(b, OP_PERSONALITY, SIDE_INIT, "personality",
			(int64_t)personality->domain.v, personality->at);
}

static void build_identity(struct build *b, const struct oci_process *process,
	const uint64_t caps[], bool seccomp_first)
{
	struct op *op;

	if (process->user.umask.set)
		add_number(b, OP_UMASK, SIDE_INIT, "umask", (int64_t)process->user.umask.v,
			member(process->user.at, "umask"));
	add_caps(b, OP_BOUNDING, process, caps);
	if (seccomp_first) /* loading a filter without no_new_privs needs a right that is gone
			      afterwards */
		build_seccomp(b);
	op = add_op(b, OP_CREDENTIALS, SIDE_INIT,
		arena_printf(b->a, "%llu:%llu", (unsigned long long)process->user.uid,
			(unsigned long long)process->user.gid),
		process->user.at);
	op->u.creds.uid = (uint32_t)process->user.uid;
	op->u.creds.gid = (uint32_t)process->user.gid;
	op->u.creds.groups = process->user.groups.v;
	op->u.creds.ngroups = process->user.groups.n;
	op->u.creds.keep_groups = keeps_groups(b, &process->user);
	op->verified = true;
	add_caps(b, OP_CAPABILITIES, process, caps);
	if (process->no_new_privileges)
		add_op(b, OP_NO_NEW_PRIVS, SIDE_INIT, "no_new_privs",
			member(process->at, "noNewPrivileges"))
			->verified = true;
}

static void wait_for_start(struct build *b)
{
	if (!b->p->options.wait_start)
		return;
	add_op(b, OP_WAIT_START, SIDE_INIT, "start", NULL);
}

static void build_process(struct build *b, const struct oci_process *process, bool is_exec)
{
	bool seccomp_first = b->s->linux_.seccomp && !process->no_new_privileges;
	uint64_t caps[OCI_CAP_SETS];
	struct op *op;

	build_capabilities(b, process, caps);
	build_rlimits(b, process, false);
	build_attributes(b, process);
	op = add_op(b, OP_STDIO, SIDE_INIT, process->terminal ? "terminal" : "0-2", NULL);
	op->u.console.terminal = process->terminal;
	op->u.console.rows = (unsigned short)process->console.height;
	op->u.console.columns = (unsigned short)process->console.width;
	op = add_op(b, OP_CWD, SIDE_INIT, process->cwd ? process->cwd : "/",
		process->at ? member(process->at, "cwd") : NULL);
	op->verified = true;
	if (seccomp_first) {
		wait_for_start(b);
		if (!is_exec)
			build_hooks(b, OCI_HOOK_START_CONTAINER, SIDE_INIT);
	}
	build_identity(b, process, caps, seccomp_first);
	add_op(b, OP_CHECK, SIDE_INIT, "applied is asked", NULL);
	if (!seccomp_first) {
		wait_for_start(b);
		if (!is_exec)
			build_hooks(b, OCI_HOOK_START_CONTAINER, SIDE_INIT);
		build_seccomp(b);
	}
	add_op(b, OP_EXEC, SIDE_INIT, process->args.n ? process->args.v[0] : "",
		process->at ? member(process->at, "args") : NULL);
}

static void begin(struct build *b, struct arena *a, const struct oci_spec *s, const struct facts *f,
	const struct plan_options *o, struct plan *out, struct kerr *e)
{
	memset(out, 0, sizeof *out);
	out->spec = s;
	out->process = &s->process;
	out->facts = f;
	if (o)
		out->options = *o;
	*b = (struct build) { .a = a, .p = out, .s = s, .f = f, .faults = e };
}

static int end(struct build *b)
{
	size_t n = kerr_is_set(&b->warnings) ? b->warnings.nfaults + 1 : 0;

	if (n) {
		b->p->warning = arena_alloc(b->a, sizeof *b->p->warning);
		*b->p->warning = b->warnings;
	}
	b->p->nwarnings = n;
	return kerr_is_set(b->faults) ? -1 : 0;
}

int plan_build(struct arena *a, const struct oci_spec *s, const struct facts *f,
	const struct plan_options *o, struct plan *out, struct kerr *e)
{
	struct build b;

	begin(&b, a, s, f, o, out, e);
	build_cgroup(&b);
	build_namespaces(&b);
	build_root(&b);
	if (s->hostname) {
		struct op *op =
			add_op(&b, OP_HOSTNAME, SIDE_INIT, s->hostname, member(s->at, "hostname"));

		op->verified = true;
	}
	if (s->domainname)
		add_op(&b, OP_DOMAINNAME, SIDE_INIT, s->domainname, member(s->at, "domainname"))
			->verified = true;
	add_op(&b, OP_KEYRING, SIDE_INIT, "session keyring", NULL);
	build_process(&b, &s->process, false);
	return end(&b);
}

int plan_exec(struct arena *a, const struct oci_spec *s, const struct oci_process *process,
	const struct facts *f, const struct plan_options *o, struct plan *out, struct kerr *e)
{
	struct build b;
	struct op *op;

	begin(&b, a, s, f, o, out, e);
	out->options.wait_start = false;
	out->process = process;
	judge_user(&b, process);
	if (process->affinity.initial)
		add_op(&b, OP_AFFINITY, SIDE_EXECUTOR, process->affinity.initial,
			process->affinity.at);
	op = add_op(&b, OP_CLONE, SIDE_EXECUTOR, "process", NULL);
	op->u.clone.flags = 0;
	build_oom_score(&b, process);
	if (f->cgroup_writable)
		add_op(&b, OP_CGROUP_JOIN, SIDE_INIT, "cgroup", NULL);
	if (process->terminal) {
		op = add_op(&b, OP_CONSOLE, SIDE_INIT, "terminal", NULL);
		op->u.console.terminal = true;
		op->u.console.rows = (unsigned short)process->console.height;
		op->u.console.columns = (unsigned short)process->console.width;
	}
	if (process->affinity.final)
		add_op(&b, OP_AFFINITY, SIDE_INIT, process->affinity.final, process->affinity.at);
	build_process(&b, process, true);
	return end(&b);
}

int plan_update(struct arena *a, const struct oci_spec *s, const struct facts *f, struct plan *out,
	struct kerr *e)
{
	struct build b;

	begin(&b, a, s, f, NULL, out, e);
	build_resources(&b);
	return end(&b);
}
