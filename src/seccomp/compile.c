/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/seccomp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libseccomp's time grows with the cube of the conditions: 1,600 take 20 s. The largest profiles
 * that engines hand over have 500 names and 20 conditions. */
enum { MOST_NAMES = 8192, MOST_CONDITIONS = 1024 };
enum { MOST_INSNS = BPF_MAXINSNS, FORMAT = 2, MOST_CACHED = 1024 };

bool seccomp_has_notify(const struct oci_seccomp *profile)
{
	for (size_t i = 0; i < profile->rules.n; i++)
		if (profile->rules.v[i].action == OCI_ACT_NOTIFY)
			return true;
	return false;
}

static uint32_t action_of(int action, struct opt_u64 value)
{
	uint32_t data = value.set ? (uint32_t)value.v : EPERM;

	switch (action) {
	case OCI_ACT_KILL_PROCESS:
		return SCMP_ACT_KILL_PROCESS;
	case OCI_ACT_TRAP:
		return SCMP_ACT_TRAP;
	case OCI_ACT_ERRNO:
		return SCMP_ACT_ERRNO(data);
	case OCI_ACT_TRACE:
		return SCMP_ACT_TRACE(data);
	case OCI_ACT_ALLOW:
		return SCMP_ACT_ALLOW;
	case OCI_ACT_LOG:
		return SCMP_ACT_LOG;
	case OCI_ACT_NOTIFY:
		return SCMP_ACT_NOTIFY;
	default: /* KILL and KILL_THREAD are one */
		return SCMP_ACT_KILL_THREAD;
	}
}

/* "SCMP_ARCH_X86_64" -> libseccomp's "x86_64". */
static uint32_t arch_of(const char *name)
{
	char lower[32] = "";

	for (size_t i = 0; i + 1 < sizeof lower && name[10 + i]; i++)
		lower[i] = (char)(name[10 + i] >= 'A' && name[10 + i] <= 'Z' ? name[10 + i] + 32
									     : name[10 + i]);
	return seccomp_arch_resolve_name(lower);
}

/* ---- calls in one: where 32-bit architectures put many calls into one, whose arguments no filter
 * sees ---- */

static const struct family {
	const char *name; /* of the one */
	const char *calls[24];
} families[] = {
	{ "socketcall", { "socket", "bind", "connect", "listen", "accept", "getsockname",
				"getpeername", "socketpair", "send", "recv", "sendto", "recvfrom",
				"shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg",
				"accept4", "recvmmsg", "sendmmsg" } },
	{ "ipc", { "semop", "semget", "semctl", "semtimedop", "msgsnd", "msgrcv", "msgget",
			 "msgctl", "shmat", "shmdt", "shmget", "shmctl" } },
};

static const struct family *family_of(const char *call)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		for (size_t j = 0; families[i].calls[j]; j++)
			if (strcmp(families[i].calls[j], call) == 0)
				return &families[i];
	return NULL;
}

/* Does a rule let a call of the family through by its arguments? libseccomp would let the one
 * through by its number. */
static bool is_conditional(const struct oci_seccomp *p, const struct family *f)
{
	for (size_t i = 0; i < p->rules.n; i++)
		for (size_t j = 0; p->rules.v[i].args.n && j < p->rules.v[i].names.n; j++)
			if (family_of(p->rules.v[i].names.v[j]) == f)
				return true;
	return false;
}

/* Closed, where the rules let through what the default would not. */
static bool is_closed(const struct oci_seccomp *p, uint32_t arch, const struct family *f)
{
	return p->default_action != OCI_ACT_ALLOW && is_conditional(p, f) &&
	       seccomp_syscall_resolve_name_arch(arch, f->name) >= 0;
}

static int close_families(
	scmp_filter_ctx ctx, const struct oci_seccomp *p, uint32_t arch, struct kerr *e)
{
	uint32_t otherwise = action_of(p->default_action, p->default_errno),
		 deny = otherwise == SCMP_ACT_ERRNO(ENOSYS) ? SCMP_ACT_ERRNO(EPERM)
							    : SCMP_ACT_ERRNO(ENOSYS);

	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		const struct family *f = &families[i];
		int rc = is_closed(p, arch, f) ? seccomp_rule_add(ctx, deny,
							 seccomp_syscall_resolve_name(f->name), 0)
					       : 0;

		if (rc < 0)
			return kerr_fail(e, KERR_SECCOMP, -rc, "close %s", f->name);
	}
	return 0;
}

/* ---- rules
 * ---------------------------------------------------------------------------------------- */

enum width { KEEP, ALWAYS, NEVER };

/* The arguments of a 32-bit architecture end at 4294967295; libseccomp would drop the upper half of
 * the value. */
static enum width in_32_bits(const struct oci_seccomp_arg *a)
{
	if (a->op == OCI_CMP_MASKED_EQ)
		return a->value_two > UINT32_MAX ? NEVER : KEEP;
	if (a->value <= UINT32_MAX)
		return KEEP;
	return a->op == OCI_CMP_NE || a->op == OCI_CMP_LT || a->op == OCI_CMP_LE ? ALWAYS : NEVER;
}

/* The conditions of @r on @arch: their number, or -1 when they never hold there, -2 and @e. */
static int conditions(
	const struct oci_seccomp_rule *r, uint32_t arch, struct scmp_arg_cmp out[6], struct kerr *e)
{
	bool narrow = !(arch & __AUDIT_ARCH_64BIT);
	int n = 0;

	for (size_t i = 0; i < r->args.n; i++) {
		const struct oci_seccomp_arg *a = &r->args.v[i];
		enum width w = narrow ? in_32_bits(a) : KEEP;

		for (size_t j = 0; j < i; j++)
			if (r->args.v[j].index == a->index) {
				json_fail(e, KERR_SECCOMP, a->at,
					"two conditions on argument %u of one rule",
					(unsigned)a->index);
				return -2;
			}
		if (w == NEVER)
			return -1;
		if (w == KEEP)
			out[n++] = (struct scmp_arg_cmp) { (unsigned)a->index,
				(enum scmp_compare)a->op, narrow ? a->value & UINT32_MAX : a->value,
				a->value_two };
	}
	return n;
}

static int add_name(scmp_filter_ctx ctx, const struct oci_seccomp *p,
	const struct oci_seccomp_rule *r, const char *name, uint32_t arch, struct kerr *e)
{
	struct scmp_arg_cmp args[6];
	int nr = seccomp_syscall_resolve_name(name), n = conditions(r, arch, args, e), rc;

	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (strcmp(families[i].name, name) == 0 && is_closed(p, arch, &families[i]))
			return 0;
	if (nr == __NR_SCMP_ERROR || n < 0)
		return n < -1 ? -1 : 0;
	rc = seccomp_rule_add_array(ctx, action_of(r->action, r->errno_ret), nr, (unsigned)n, args);
	/* Two rules for one call in one: the second would be lost, and only the default may take
	 * its place. */
	if (rc == -EEXIST && n && family_of(name) && p->default_action == OCI_ACT_ALLOW)
		return json_fail(e, KERR_SECCOMP, r->at,
			"rule for %s: another by its arguments is there, and some architecture "
			"can tell no arguments of it",
			name);
	/* EDOM, EINVAL for a call that the architecture lacks; EEXIST: the first rule holds. */
	if (rc < 0 && rc != -EEXIST && rc != -EDOM)
		return json_fail(e, KERR_SECCOMP, r->at, "rule for %s: %s", name, strerror(-rc));
	return 0;
}

static int add_rules(
	scmp_filter_ctx ctx, const struct oci_seccomp *p, uint32_t arch, struct kerr *e)
{
	uint32_t otherwise = action_of(p->default_action, p->default_errno);

	for (size_t i = 0; i < p->rules.n; i++) {
		const struct oci_seccomp_rule *r = &p->rules.v[i];

		if (action_of(r->action, r->errno_ret) == otherwise)
			continue; /* says what holds anyway; libseccomp refuses it */
		for (size_t j = 0; j < r->names.n; j++)
			if (add_name(ctx, p, r, r->names.v[j], arch, e))
				return -1;
	}
	return close_families(ctx, p, arch, e);
}

static int export(scmp_filter_ctx ctx, struct buf *out, struct kerr *e)
{
	CLEANUP_FD int fd = sys_memfd("seccomp", 1 /* MFD_CLOEXEC */);
	int rc;

	if (fd < 0)
		return kerr_fail(e, KERR_SECCOMP, errno, "memfd");
	rc = seccomp_export_bpf(ctx, fd);
	if (rc < 0)
		return kerr_fail(e, KERR_SECCOMP, -rc, "generate the program");
	lseek(fd, 0, SEEK_SET);
	if (fd_read_all(fd, 16u << 20, out, e))
		return -1;
	if (out->len / sizeof(struct sock_filter) > MOST_INSNS)
		return kerr_fail(e, KERR_SECCOMP, 0,
			"the program has %zu instructions, the kernel takes %d",
			out->len / sizeof(struct sock_filter), MOST_INSNS);
	return 0;
}

/* The rules of one architecture: what one cannot express is no loss of the others. */
static scmp_filter_ctx filter_for(const struct oci_seccomp *p, uint32_t arch, struct kerr *e)
{
	scmp_filter_ctx ctx = seccomp_init(action_of(p->default_action, p->default_errno));
	int rc = 0;

	if (ctx == NULL) {
		kerr_fail(e, KERR_SECCOMP, 0, "the default action cannot be generated");
		return NULL;
	}
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (arch != seccomp_arch_native()) {
		rc = seccomp_arch_add(ctx, arch);
		if (rc == 0)
			rc = seccomp_arch_remove(ctx, seccomp_arch_native());
	}
	if (rc < 0)
		kerr_fail(e, KERR_SECCOMP, -rc, "architecture %#x", arch);
	if (rc < 0 || add_rules(ctx, p, arch, e)) {
		seccomp_release(ctx);
		return NULL;
	}
	return ctx;
}

static int add_arch(
	scmp_filter_ctx to, const struct oci_seccomp *p, const char *name, struct kerr *e)
{
	uint32_t arch = arch_of(name);
	scmp_filter_ctx ctx;
	int rc;

	/* One that libseccomp lacks cannot run here. */
	if (arch == 0 || seccomp_arch_exist(to, arch) == 0)
		return 0;
	ctx = filter_for(p, arch, e);
	if (ctx == NULL)
		return -1;
	rc = seccomp_merge(to, ctx); /* which owns it now */
	if (rc == 0)
		return 0;
	seccomp_release(ctx);
	/* Nor can one of another byte order. */
	return rc == -EDOM ? 0 : kerr_fail(e, KERR_SECCOMP, -rc, "architecture %s", name);
}

static int check_size(const struct oci_seccomp *p, struct kerr *e)
{
	size_t names = 0, conditions = 0;

	for (size_t i = 0; i < p->rules.n; i++) {
		const struct oci_seccomp_rule *r = &p->rules.v[i];

		names += r->names.n;
		conditions += r->names.n * r->args.n;
		if (names > MOST_NAMES || conditions > MOST_CONDITIONS)
			return json_fail(e, KERR_SECCOMP, r->at,
				"a filter has at most %d names and %d conditions", MOST_NAMES,
				MOST_CONDITIONS);
	}
	return 0;
}

static int compile(const struct oci_seccomp *p, struct buf *out, struct kerr *e)
{
	scmp_filter_ctx ctx = NULL;
	int rc = check_size(p, e);

	if (rc == 0 && (ctx = filter_for(p, seccomp_arch_native(), e)) == NULL)
		rc = -1;
	for (size_t i = 0; rc == 0 && i < p->architectures.n; i++)
		rc = add_arch(ctx, p, p->architectures.v[i], e);
	if (rc == 0)
		rc = export(ctx, out, e);
	if (ctx)
		seccomp_release(ctx);
	return rc;
}

/* ---- cache
 * -------------------------------------------------------------------------------------------------
 */

struct cached {
	char magic[8];
	char digest[64];
}; /* then the program */

static void add_value(struct sha256 *h, const struct json *v)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	json_add_value(&o, v);
	sha256_add(h, b.data, b.len);
}

static void cache_name(const struct oci_seccomp *p, char name[static 65])
{
	const struct scmp_version *v = seccomp_version();
	struct sha256 h = { 0 };
	uint32_t what[5] = { FORMAT, v->major, v->minor, v->micro, seccomp_arch_native() };

	sha256_add(&h, what, sizeof what);
	add_value(&h, p->at);
	sha256_hex(&h, name);
}

static void digest_of(const void *data, size_t len, char out[static 65])
{
	struct sha256 h = { 0 };

	sha256_add(&h, data, len);
	sha256_hex(&h, out);
}

static int cache_get(int cache, const char *name, struct buf *out)
{
	CLEANUP_FD int fd = path_own(cache, name, O_RDONLY | O_NOFOLLOW, 0, NULL);
	CLEANUP_BUF struct buf b = BUF_INIT;
	const struct cached *c;
	struct stat st;
	char digest[65];

	if (fd < 0 || fd_stat(fd, &st, NULL) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
		st.st_mode & 022 ||
		fd_read_all(fd, MOST_INSNS * sizeof(struct sock_filter) + sizeof *c, &b, NULL) ||
		b.len <= sizeof *c)
		return -1;
	c = (const struct cached *)(const void *)b.data;
	digest_of(c + 1, b.len - sizeof *c, digest);
	if (memcmp(c->magic, "KPSLBPF1", 8) != 0 || memcmp(c->digest, digest, 64) != 0)
		return -1;
	buf_add(out, c + 1, b.len - sizeof *c);
	return 0;
}

int seccomp_user_cache(void)
{
	const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
	CLEANUP_FREE char *path = mem_printf("%s/kapsel-seccomp", runtime ? runtime : "");
	CLEANUP_FD int fd = runtime && *runtime ? path_own_mkdirs(AT_FDCWD, path, 0700, NULL) : -1;
	struct stat st;

	/* Whoever else may write to it could put a weaker filter there. */
	if (fd < 0 || fd_stat(fd, &st, NULL) || st.st_uid != geteuid() || st.st_mode & 077)
		return -1;
	return fd_take(&fd);
}

static bool is_full(int cache)
{
	struct path_names names;
	bool full = path_names(cache, MOST_CACHED, &names, NULL) < 0;

	path_names_free(&names);
	return full;
}

void seccomp_keep(const struct oci_seccomp *profile, int cache, const struct buf *program)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char digest[65], name[65];

	if (is_full(cache))
		return;
	cache_name(profile, name);
	digest_of(program->data, program->len, digest);
	buf_add(&b, "KPSLBPF1", 8);
	buf_add(&b, digest, 64);
	buf_add(&b, program->data, program->len);
	path_replace(
		cache, name, b.data, b.len, 0600, false, NULL); /* without it, it is only slower */
}

int seccomp_compile(const struct oci_seccomp *profile, int cache, struct buf *out, struct kerr *e)
{
	char name[65];

	if (cache >= 0) {
		cache_name(profile, name);
		if (cache_get(cache, name, out) == 0)
			return 0;
	}
	return compile(profile, out, e) ? -1 : 1;
}

int seccomp_install(const struct buf *program, const struct oci_seccomp *profile)
{
	struct sock_fprog prog = { .len = (unsigned short)(program->len /
							   sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(void *)program->data };
	uint64_t flags = profile->flags;

	if (seccomp_has_notify(profile))
		flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
	if (flags & SECCOMP_FILTER_FLAG_NEW_LISTENER)
		flags &=
			~(uint64_t)SECCOMP_FILTER_FLAG_TSYNC; /* one thread: nothing to synchronise,
								 and they exclude each other */
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}
