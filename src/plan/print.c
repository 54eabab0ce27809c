/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/plan.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MS_LAZYTIME
#define MS_LAZYTIME (1 << 25)
#endif

/* Each kind's name, and how the self-check reads it back. */
static const struct {
	const char *name, *read_back;
} kinds[OP_COUNT] = {
	[OP_CGROUP_MAKE] = { "cgroup", "refused unless it is new or empty" },
	[OP_CGROUP_SCOPE] = { "cgroup-scope", "systemd's answer, and /proc/PID/cgroup" },
	[OP_CGROUP_SETTLE] = { "cgroup-settle", "the process that held it has ended" },
	[OP_CGROUP_WRITE] = { "cgroup-write", "the file is read" },
	[OP_CGROUP_DEVICES] = { "cgroup-devices",
		"v1: devices.list; v2: BPF_PROG_QUERY, which shows that there is a program" },
	[OP_NAMESPACE_JOIN] = { "join", "inode of /proc/self/ns/TYPE" },
	[OP_CLONE] = { "clone", "inodes of /proc/self/ns/* differ from the executor's" },
	[OP_IDMAP] = { "idmap", "/proc/PID/uid_map and gid_map" },
	[OP_CGROUP_CHOWN] = { "cgroup-chown", "owner of the cgroup's directory" },
	[OP_BECOME_ROOT] = { "become-root", "setresuid answers; the ids at the end are read" },
	[OP_CGROUP_JOIN] = { "cgroup-join", "/proc/self/cgroup" },
	[OP_CGROUP_NAMESPACE] = { "cgroup-namespace", "inode of /proc/self/ns/cgroup" },
	[OP_TIME_OFFSETS] = { "time-offsets", "/proc/self/timens_offsets" },
	[OP_LOOPBACK] = { "loopback", "the ioctl answers" },
	[OP_OOM_SCORE] = { "oom-score", "/proc/PID/oom_score_adj" },
	[OP_PROPAGATION] = { "propagation", "mountinfo" },
	[OP_ROOT] = { "root", "inode of / after pivot_root" },
	[OP_MOUNT] = { "mount", "mountinfo's flags" },
	[OP_DEVICE] = { "device", "type and number by fstat" },
	[OP_SYMLINK] = { "symlink", "none: of no consequence" },
	[OP_CONSOLE] = { "console", "isatty" },
	[OP_HOOK] = { "hook", "its status; all are counted" },
	[OP_PIVOT] = { "pivot", "inode of /" },
	[OP_ROOT_PROPAGATION] = { "root-propagation", "mountinfo's tags" },
	[OP_ROOT_READONLY] = { "root-readonly", "mountinfo" },
	[OP_READONLY_PATH] = { "readonly-path", "mountinfo" },
	[OP_MASK] = { "mask", "mountinfo" },
	[OP_SYSCTL] = { "sysctl", "the file is read" },
	[OP_HOSTNAME] = { "hostname", "uname" },
	[OP_DOMAINNAME] = { "domainname", "uname" },
	[OP_KEYRING] = { "keyring", "keyctl answers" },
	[OP_RLIMIT] = { "rlimit", "prlimit" },
	[OP_SCHEDULER] = { "scheduler", "sched_getattr" },
	[OP_IOPRIO] = { "io-priority", "ioprio_get" },
	[OP_AFFINITY] = { "affinity", "sched_getaffinity" },
	[OP_PERSONALITY] = { "personality", "personality(0xffffffff)" },
	[OP_WAIT_START] = { "wait-start", "none: nothing is applied" },
	[OP_STDIO] = { "stdio", "isatty, getsid" },
	[OP_UMASK] = { "umask", "Umask of /proc/self/status" },
	[OP_CWD] = { "cwd", "getcwd" },
	[OP_BOUNDING] = { "bounding", "CapBnd of /proc/self/status" },
	[OP_CREDENTIALS] = { "credentials", "Uid, Gid, Groups of /proc/self/status" },
	[OP_CAPABILITIES] = { "capabilities",
		"CapEff, CapPrm, CapInh, CapAmb of /proc/self/status" },
	[OP_NO_NEW_PRIVS] = { "no-new-privs", "NoNewPrivs of /proc/self/status" },
	[OP_CHECK] = { "check", "it is the reading" },
	[OP_SECCOMP] = { "seccomp", "its return value: nothing may follow it" },
	[OP_EXEC] = { "exec", "the socket to the executor closes" },
};

const char *op_kind_name(enum op_kind k)
{
	return kinds[k].name;
}

const char *op_kind_read_back(enum op_kind k)
{
	return kinds[k].read_back;
}

static const struct {
	uint64_t bit;
	const char *name;
} clones[] = {
	{ CLONE_NEWUSER, "user" }, { CLONE_NEWPID, "pid" }, { CLONE_NEWNS, "mount" }, { CLONE_NEWNET, "network" },
	{ CLONE_NEWIPC, "ipc" }, { CLONE_NEWUTS, "uts" },
}, attrs[] = {
	{ MOUNT_ATTR_RDONLY, "ro" }, { MOUNT_ATTR_NOSUID, "nosuid" }, { MOUNT_ATTR_NODEV, "nodev" },
	{ MOUNT_ATTR_NOEXEC, "noexec" }, { MOUNT_ATTR_NOATIME, "noatime" }, { MOUNT_ATTR_STRICTATIME, "strictatime" },
	{ MOUNT_ATTR_NODIRATIME, "nodiratime" }, { MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow" },
}, super[] = {
	{ MS_SYNCHRONOUS, "sync" }, { MS_DIRSYNC, "dirsync" }, { MS_LAZYTIME, "lazytime" }, { MS_MANDLOCK, "mand" },
};

static void add_caps(struct buf *b, const char *name, uint64_t set)
{
	buf_addf(b, " %s=", name);
	if (set == 0)
		buf_adds(b, "none");
	for (unsigned c = 0, first = 1; c < OCI_CAPABILITIES; c++)
		if (set >> c & 1) {
			buf_addf(b, "%s%s", first ? "" : ",", oci_capability_name(c) + 4);
			first = 0;
		}
}

static void add_attrs(struct buf *b, const char *name, uint64_t bits)
{
	bool first = true;

	for (size_t i = 0; i < ARRAY_LEN(attrs); i++)
		if (bits & attrs[i].bit) {
			buf_addf(b, "%s%s", first ? name : ",", attrs[i].name);
			first = false;
		}
}

static const char *propagation_name(uint64_t bits)
{
	static const char *const names[] = { "private", "rprivate", "shared", "rshared", "slave",
		"rslave", "unbindable", "runbindable" };
	size_t i = bits & MS_SHARED ? 2 : bits & MS_SLAVE ? 4 : bits & MS_UNBINDABLE ? 6 : 0;

	return names[i + !!(bits & MS_REC)];
}

static void maps(struct buf *b, const char *name, const struct oci_idmap *v, size_t n)
{
	buf_addf(b, " %s=", name);
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%s%llu:%llu:%llu", i ? "," : "", (unsigned long long)v[i].container,
			(unsigned long long)v[i].host, (unsigned long long)v[i].size);
}

/* relatime has no bit: it is what is left when the others are cleared. */
static bool plain_atime(uint64_t set, uint64_t clr)
{
	return clr & MOUNT_ATTR__ATIME && !(set & MOUNT_ATTR__ATIME);
}

static void mount_detail(struct buf *b, const struct op_mount *m)
{
	buf_addf(b, " %s", m->bind ? m->recursive ? "rbind" : "bind" : m->type ? m->type : "none");
	if (m->source)
		buf_addf(b, " source=%s", m->source);
	add_attrs(b, " ", m->attr_set);
	if (plain_atime(m->attr_set, m->attr_clr))
		buf_adds(b, " relatime");
	add_attrs(b, " clear=", m->attr_clr & ~(uint64_t)MOUNT_ATTR__ATIME);
	add_attrs(b, " recursive=", m->attr_rec_set);
	if (plain_atime(m->attr_rec_set, m->attr_rec_clr))
		buf_adds(b, " recursive=relatime");
	add_attrs(b, " recursive-clear=", m->attr_rec_clr & ~(uint64_t)MOUNT_ATTR__ATIME);
	for (size_t i = 0; i < ARRAY_LEN(super); i++)
		if (m->sb_flags & super[i].bit)
			buf_addf(b, " %s", super[i].name);
	for (size_t i = 0; i < m->npropagation; i++)
		buf_addf(b, " %s", propagation_name(m->propagation[i]));
	if (m->copy_up)
		buf_adds(b, " tmpcopyup");
	if (m->idmap) {
		buf_adds(b, m->idmap_recursive ? " ridmap" : " idmap");
		maps(b, "uids", m->uids, m->nuids);
		maps(b, "gids", m->gids, m->ngids);
	}
	if (m->data)
		buf_addf(b, " data=%s", m->data);
}

static void words(struct buf *b, const char *name, const char *const *v, size_t n)
{
	struct json_out o = JSON_OUT(b);

	buf_addf(b, " %s=", name);
	json_begin_array(&o);
	for (size_t i = 0; i < n; i++)
		json_add_string(&o, v[i]);
	json_end_array(&o);
}

/* Names only: values are secrets. */
static void environment(struct buf *b, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(b, "%s%.*s", i ? "," : " env=", (int)strcspn(v[i], "="), v[i]);
}

static void hook_detail(struct buf *b, enum oci_hook_kind kind, const struct oci_hook *h)
{
	buf_addf(b, " %s", oci_hook_name(kind));
	if (h->args.n)
		words(b, "args", h->args.v, h->args.n);
	environment(b, h->env.v, h->env.n);
	if (h->timeout.set)
		buf_addf(b, " timeout=%llus", (unsigned long long)h->timeout.v);
}

static void scheduler_detail(struct buf *b, const struct oci_scheduler *s)
{
	buf_addf(b, " policy=%d nice=%lld priority=%lld flags=%llx", s->policy,
		(long long)s->nice.v, (long long)s->priority.v, (unsigned long long)s->flags);
	if (s->runtime.set || s->deadline.set || s->period.set)
		buf_addf(b, " runtime=%llu deadline=%llu period=%llu",
			(unsigned long long)s->runtime.v, (unsigned long long)s->deadline.v,
			(unsigned long long)s->period.v);
}

/* The rules are a page of their own: seccomp(2)'s program is made from this profile. */
static void seccomp_detail(struct buf *b, const struct oci_seccomp *s)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);
	struct sha256 h = { 0 };
	char digest[65];

	json_add_value(&o, s->at);
	sha256_add(&h, text.data, text.len);
	sha256_hex(&h, digest);
	buf_addf(b, " rules=%zu sha256=%.16s", s->rules.n, digest);
	if (s->listener_path && *s->listener_path)
		buf_addf(b, " listener=%s", s->listener_path);
}

static void scope_detail(struct buf *b, const struct systemd_scope *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct systemd_property *p = &s->v[i];

		buf_addf(b, " %s=", p->name);
		if (p->form == SYSTEMD_BOOL)
			buf_adds(b, p->number ? "yes" : "no");
		else if (p->form == SYSTEMD_U64 && p->number == UINT64_MAX)
			buf_adds(b, "infinity");
		else if (p->form == SYSTEMD_U64)
			buf_addf(b, "%llu", (unsigned long long)p->number);
		else if (p->form == SYSTEMD_STRING)
			buf_addf(b, "'%s'", p->text);
		for (size_t k = 0; p->form == SYSTEMD_STRINGS && k < p->n; k++)
			buf_addf(b, "%s%s", k ? "," : "", p->words[k]);
		for (size_t k = p->n; p->form == SYSTEMD_BYTES && k-- > 0;)
			buf_addf(b, "%02x", p->bytes[k]);
	}
}

static void detail(struct buf *b, const struct plan *p, const struct op *op)
{
	switch (op->kind) {
	case OP_CGROUP_SCOPE:
		buf_addf(b, " %s%s in %s", op->u.scope.user ? "the user's " : "", op->u.scope.unit,
			op->u.scope.slice);
		scope_detail(b, &op->u.scope);
		break;
	case OP_CGROUP_SETTLE:
		scope_detail(b, &op->u.scope);
		break;
	case OP_CGROUP_WRITE:
		buf_addf(b, " %s = %s", op->u.write.controller, op->u.write.value);
		if (op->u.write.usage)
			buf_addf(b, " unless %s is above", op->u.write.usage);
		break;
	case OP_CGROUP_DEVICES:
		for (size_t i = 0; i < op->u.devices.n; i++) {
			const struct cgroup_device *d = &op->u.devices.v[i];

			buf_addf(
				b, "%s%s %c", i ? ", " : " ", d->allow ? "allow" : "deny", d->type);
			if (d->type != 'a') {
				if (d->major < 0)
					buf_adds(b, " *:");
				else
					buf_addf(b, " %lld:", (long long)d->major);
				if (d->minor < 0)
					buf_adds(b, "*");
				else
					buf_addf(b, "%lld", (long long)d->minor);
			}
			buf_addf(b, " %s%s%s", d->access & 2 ? "r" : "", d->access & 4 ? "w" : "",
				d->access & 1 ? "m" : "");
		}
		break;
	case OP_NAMESPACE_JOIN:
		buf_addf(b, " %s", oci_ns_name(op->u.ns.type));
		break;
	case OP_CLONE:
		for (size_t i = 0; i < ARRAY_LEN(clones); i++)
			if (op->u.clone.flags & clones[i].bit)
				buf_addf(b, " %s", clones[i].name);
		break;
	case OP_IDMAP:
		maps(b, "uids", op->u.idmap.uids, op->u.idmap.nuids);
		maps(b, "gids", op->u.idmap.gids, op->u.idmap.ngids);
		break;
	case OP_TIME_OFFSETS:
		for (size_t i = 0; i < op->u.offsets.n; i++)
			buf_addf(b, " %s=%lld.%09llu", op->u.offsets.v[i].clock,
				(long long)op->u.offsets.v[i].secs.v,
				(unsigned long long)op->u.offsets.v[i].nanosecs.v);
		break;
	case OP_MOUNT:
		mount_detail(b, &op->u.mount);
		break;
	case OP_PROPAGATION:
	case OP_ROOT_PROPAGATION:
		buf_addf(b, " %s", propagation_name((uint64_t)op->u.number));
		break;
	case OP_ROOT:
		if (op->u.root.volatile_overlay)
			buf_addf(
				b, " volatile=%llu", (unsigned long long)op->u.root.volatile_bytes);
		break;
	case OP_DEVICE:
		buf_addf(b, " %c %u:%u mode=%04o owner=%u:%u%s",
			S_ISCHR(op->u.device.type)   ? 'c'
			: S_ISBLK(op->u.device.type) ? 'b'
						     : 'p',
			op->u.device.major, op->u.device.minor, op->u.device.mode, op->u.device.uid,
			op->u.device.gid, op->u.device.bind ? " bind" : "");
		break;
	case OP_SYMLINK:
		buf_addf(b, " -> %s", op->u.link.text);
		break;
	case OP_HOOK:
		hook_detail(b, op->u.hook.kind, op->u.hook.hook);
		break;
	case OP_SYSCTL:
		buf_addf(b, " = %s", op->u.pair.value);
		break;
	case OP_RLIMIT:
		buf_addf(b, " soft=%llu hard=%llu", (unsigned long long)op->u.rlimit.soft,
			(unsigned long long)op->u.rlimit.hard);
		break;
	case OP_SCHEDULER:
		scheduler_detail(b, op->u.scheduler.s);
		break;
	case OP_UMASK:
		buf_addf(b, " %04llo", (unsigned long long)op->u.number);
		break;
	case OP_CGROUP_CHOWN:
	case OP_IOPRIO:
	case OP_PERSONALITY:
	case OP_OOM_SCORE:
		buf_addf(b, " %lld", (long long)op->u.number);
		break;
	case OP_BOUNDING:
		add_caps(b, "bounding", op->u.caps.bounding);
		break;
	case OP_CAPABILITIES:
		add_caps(b, "effective", op->u.caps.effective);
		add_caps(b, "permitted", op->u.caps.permitted);
		add_caps(b, "inheritable", op->u.caps.inheritable);
		add_caps(b, "ambient", op->u.caps.ambient);
		break;
	case OP_CREDENTIALS:
		buf_adds(b, " groups=");
		for (size_t i = 0; i < op->u.creds.ngroups; i++)
			buf_addf(b, "%s%u", i ? "," : "", op->u.creds.groups[i]);
		if (op->u.creds.ngroups == 0)
			buf_adds(b, "none");
		break;
	case OP_SECCOMP:
		seccomp_detail(b, op->u.seccomp.profile);
		break;
	case OP_CONSOLE:
		if (op->u.console.rows || op->u.console.columns)
			buf_addf(b, " %ux%u", op->u.console.rows, op->u.console.columns);
		break;
	case OP_EXEC:
		words(b, "args", p->process->args.v, p->process->args.n);
		environment(b, p->process->env.v, p->process->env.n);
		break;
	default:
		break;
	}
}

/* Hooks that run after the program has begun, or at its end: not in the list that create walks, but
 * done all the same. */
static const enum oci_hook_kind later_hooks[] = { OCI_HOOK_POSTSTART, OCI_HOOK_POSTSTOP };

static void each_op(const struct plan *p, void (*each)(void *, const struct op *), void *ctx)
{
	const struct oci_spec *s = p->spec;
	unsigned hooks = 0;

	for (size_t i = 0; i < p->n; i++) {
		hooks += p->op[i].kind == OP_HOOK;
		each(ctx, &p->op[i]);
	}
	if (p->process != &s->process)
		return; /* an exec has none */
	for (size_t k = 0; k < ARRAY_LEN(later_hooks); k++)
		for (size_t i = 0; i < s->hooks.kind[later_hooks[k]].n; i++) {
			const struct oci_hook *h = &s->hooks.kind[later_hooks[k]].v[i];

			each(ctx, &(struct op) { .kind = OP_HOOK,
					  .side = SIDE_EXECUTOR,
					  .nth = hooks++,
					  .target = h->path,
					  .u.hook = { later_hooks[k], h } });
		}
}

struct printer {
	const struct plan *p;
	struct buf *out;
	struct json_out *o;
};

static void text_line(void *ctx, const struct op *op)
{
	struct printer *t = ctx;
	CLEANUP_BUF struct buf b = BUF_INIT;

	buf_addf(&b, " %s", op->target ? op->target : "");
	detail(&b, t->p, op);
	buf_addf(t->out, "%c %s[%u]", op->side == SIDE_INIT ? 'I' : 'E', kinds[op->kind].name,
		op->nth);
	buf_add_escaped(t->out, buf_str(&b), b.len);
	buf_addc(t->out, '\n');
}

void plan_text(const struct plan *p, struct buf *out)
{
	each_op(p, text_line, &(struct printer) { .p = p, .out = out });
}

static void json_line(void *ctx, const struct op *op)
{
	struct printer *t = ctx;
	CLEANUP_BUF struct buf b = BUF_INIT;

	detail(&b, t->p, op);
	json_begin_object(t->o);
	json_put_string(t->o, "operation", kinds[op->kind].name);
	json_put_u64(t->o, "nth", op->nth);
	json_put_string(t->o, "side", op->side == SIDE_INIT ? "init" : "executor");
	json_put_string(t->o, "target", op->target);
	if (b.len)
		json_put_string(t->o, "detail", b.data + 1);
	json_put_string(t->o, "pointer", op->pointer);
	json_put_bool(t->o, "verified", op->verified);
	json_put_string(t->o, "readBack",
		op->kind == OP_CGROUP_WRITE && !op->u.write.read_back
			? "none: the kernel prints it in another form"
			: kinds[op->kind].read_back);
	json_end_object(t->o);
}

void plan_json(const struct plan *p, struct buf *out)
{
	struct json_out o = JSON_OUT_PRETTY(out);

	json_begin_object(&o);
	json_key(&o, "operations");
	json_begin_array(&o);
	each_op(p, json_line, &(struct printer) { .p = p, .o = &o });
	json_end_array(&o);
	if (p->nwarnings) {
		json_key(&o, "warnings");
		json_begin_array(&o);
		for (size_t i = 0; i < p->nwarnings; i++) {
			json_begin_object(&o);
			json_put_kerr(&o, i ? &p->warning->faults[i - 1] : p->warning);
			json_end_object(&o);
		}
		json_end_array(&o);
	}
	json_end_object(&o);
	buf_addc(out, '\n');
}
