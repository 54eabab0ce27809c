/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/seccomp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_INSNS = BPF_MAXINSNS, FORMAT = 1 };

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

static int add_archs(scmp_filter_ctx ctx, const struct oci_seccomp *p, struct kerr *e)
{
	for (size_t i = 0; i < p->architectures.n; i++) {
		uint32_t arch = arch_of(p->architectures.v[i]);
		int rc = arch ? seccomp_arch_add(ctx, arch)
			      : 0; /* one that libseccomp lacks cannot run here */

		if (rc < 0 && rc != -EEXIST && rc != -EDOM)
			return kerr_fail(
				e, KERR_SECCOMP, -rc, "architecture %s", p->architectures.v[i]);
	}
	return 0;
}

static int add_name(scmp_filter_ctx ctx, const struct oci_seccomp_rule *r, const char *name,
	uint32_t action, struct kerr *e)
{
	struct scmp_arg_cmp args[6];
	unsigned n = 0;
	int nr = seccomp_syscall_resolve_name(name), rc;

	if (nr == __NR_SCMP_ERROR)
		return 0;
	for (size_t i = 0; i < r->args.n && n < 6; i++, n++) {
		const struct oci_seccomp_arg *a = &r->args.v[i];

		for (unsigned j = 0; j < n; j++)
			if (args[j].arg == a->index)
				return json_fail(e, KERR_SECCOMP, a->at,
					"two conditions on argument %u of one rule",
					(unsigned)a->index);
		args[n] = (struct scmp_arg_cmp) { (unsigned)a->index, (enum scmp_compare)a->op,
			a->value, a->value_two };
	}
	rc = seccomp_rule_add_array(ctx, action, nr, n, args);
	/* EDOM, EINVAL for a call that an architecture of the list lacks: the others have it. */
	if (rc < 0 && rc != -EEXIST && rc != -EDOM)
		return json_fail(e, KERR_SECCOMP, r->at, "rule for %s: %s", name, strerror(-rc));
	return 0;
}

static int add_rules(scmp_filter_ctx ctx, const struct oci_seccomp *p, struct kerr *e)
{
	uint32_t otherwise = action_of(p->default_action, p->default_errno);

	for (size_t i = 0; i < p->rules.n; i++) {
		const struct oci_seccomp_rule *r = &p->rules.v[i];
		uint32_t action = action_of(r->action, r->errno_ret);

		if (action == otherwise)
			continue; /* says what holds anyway; libseccomp refuses it */
		for (size_t j = 0; j < r->names.n; j++)
			if (add_name(ctx, r, r->names.v[j], action, e))
				return -1;
	}
	return 0;
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

static int compile(const struct oci_seccomp *p, struct buf *out, struct kerr *e)
{
	scmp_filter_ctx ctx = seccomp_init(action_of(p->default_action, p->default_errno));
	int rc = -1;

	if (ctx == NULL)
		return kerr_fail(e, KERR_SECCOMP, 0, "the default action cannot be generated");
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (add_archs(ctx, p, e) == 0 && add_rules(ctx, p, e) == 0)
		rc = export(ctx, out, e);
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

void seccomp_keep(const struct oci_seccomp *profile, int cache, const struct buf *program)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char digest[65], name[65];

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
