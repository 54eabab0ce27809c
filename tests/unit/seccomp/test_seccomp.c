/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel would answer is asked of the simulator: each action, operator, architecture and
 * rule of a profile. */
#include "../test.h"
#include <errno.h>
#include <kapsel/seccomp.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD "{\"ociVersion\": \"1.3.0\", \"root\": {\"path\": \"r\"}, \"linux\": {\"seccomp\": "
#define NOTHING             \
	(const uint64_t[6]) \
	{                   \
		0           \
	}

/* The profile of a configuration whose linux.seccomp is @json. */
static const struct oci_seccomp *profile_of(struct arena *a, const char *json)
{
	CLEANUP_FREE char *text = mem_printf(HEAD "%s}}", json);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct spec_options o = { 0 };
	struct oci_spec *s = arena_alloc(a, sizeof *s);

	if (spec_parse(a, text, strlen(text), &o, s, NULL, &e)) {
		CLEANUP_BUF struct buf why = BUF_INIT;

		kerr_text(&e, &why);
		fail_msg("%s: %s", json, buf_str(&why));
	}
	return s->linux_.seccomp;
}

static void compile(struct arena *a, const char *json, struct buf *out)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (seccomp_compile(profile_of(a, json), -1, out, &e) < 0)
		fail_msg("%s: %s", json, e.message);
}

static uint32_t ask(const char *json, uint32_t arch, int nr, const uint64_t args[6])
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf program = BUF_INIT;

	compile(a, json, &program);
	return seccomp_simulate(&program, arch, nr, args);
}

static void each_action_is_the_kernels(void **state)
{
	static const struct {
		const char *action;
		uint32_t answer;
	} rows[] = {
		{ "\"SCMP_ACT_KILL\"", SECCOMP_RET_KILL_THREAD },
		{ "\"SCMP_ACT_KILL_THREAD\"", SECCOMP_RET_KILL_THREAD },
		{ "\"SCMP_ACT_KILL_PROCESS\"", SECCOMP_RET_KILL_PROCESS },
		{ "\"SCMP_ACT_TRAP\"", SECCOMP_RET_TRAP },
		{ "\"SCMP_ACT_ERRNO\"", SECCOMP_RET_ERRNO | EPERM },
		{ "\"SCMP_ACT_ERRNO\", \"errnoRet\": 38", SECCOMP_RET_ERRNO | 38 },
		{ "\"SCMP_ACT_ERRNO\", \"errnoRet\": 0", SECCOMP_RET_ERRNO | 0 },
		{ "\"SCMP_ACT_TRACE\"", SECCOMP_RET_TRACE | EPERM },
		{ "\"SCMP_ACT_TRACE\", \"errnoRet\": 65535", SECCOMP_RET_TRACE | 65535 },
		{ "\"SCMP_ACT_LOG\"", SECCOMP_RET_LOG },
		{ "\"SCMP_ACT_NOTIFY\"", SECCOMP_RET_USER_NOTIF },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_FREE char *json = mem_printf(
			"{\"defaultAction\": \"SCMP_ACT_ALLOW\", %s\"syscalls\": "
			"[{\"names\": [\"acct\"], \"action\": %s}]}",
			strstr(rows[i].action, "NOTIFY") ? "\"listenerPath\": \"/l\", " : "",
			rows[i].action);

		assert_int_equal(ask(json, AUDIT_ARCH_X86_64, SYS_acct, NOTHING), rows[i].answer);
		assert_int_equal(
			ask(json, AUDIT_ARCH_X86_64, SYS_read, NOTHING), SECCOMP_RET_ALLOW);
	}
}

static void each_default_is_the_kernels(void **state)
{
	static const struct {
		const char *action;
		uint32_t answer;
	} rows[] = {
		{ "\"SCMP_ACT_KILL\"", SECCOMP_RET_KILL_THREAD },
		{ "\"SCMP_ACT_KILL_PROCESS\"", SECCOMP_RET_KILL_PROCESS },
		{ "\"SCMP_ACT_TRAP\"", SECCOMP_RET_TRAP },
		{ "\"SCMP_ACT_ERRNO\"", SECCOMP_RET_ERRNO | EPERM },
		{ "\"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 38", SECCOMP_RET_ERRNO | 38 },
		{ "\"SCMP_ACT_TRACE\", \"defaultErrnoRet\": 7", SECCOMP_RET_TRACE | 7 },
		{ "\"SCMP_ACT_LOG\"", SECCOMP_RET_LOG },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_FREE char *json = mem_printf("{\"defaultAction\": %s, \"syscalls\": "
						     "[{\"names\": [\"read\"], \"action\": "
						     "\"SCMP_ACT_ALLOW\"}]}",
			rows[i].action);

		assert_int_equal(ask(json, AUDIT_ARCH_X86_64, SYS_acct, NOTHING), rows[i].answer);
		assert_int_equal(
			ask(json, AUDIT_ARCH_X86_64, SYS_read, NOTHING), SECCOMP_RET_ALLOW);
	}
}

static bool holds(int op, uint64_t v, uint64_t value, uint64_t two)
{
	switch (op) {
	case OCI_CMP_NE:
		return v != value;
	case OCI_CMP_LT:
		return v < value;
	case OCI_CMP_LE:
		return v <= value;
	case OCI_CMP_EQ:
		return v == value;
	case OCI_CMP_GE:
		return v >= value;
	case OCI_CMP_GT:
		return v > value;
	default:
		return (v & value) == two;
	}
}

/* Both halves of 64 bits count: libseccomp CVE-2019-9893 was here. */
static void each_operator_compares_64_bits(void **state)
{
	static const uint64_t values[] = { 0, 1, 7, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x100000007, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffff00000000,
		UINT64_MAX };
	static const char *const names[] = { [OCI_CMP_NE] = "NE",
		[OCI_CMP_LT] = "LT",
		[OCI_CMP_LE] = "LE",
		[OCI_CMP_EQ] = "EQ",
		[OCI_CMP_GE] = "GE",
		[OCI_CMP_GT] = "GT",
		[OCI_CMP_MASKED_EQ] = "MASKED_EQ" };

	for (int op = OCI_CMP_NE; op <= OCI_CMP_MASKED_EQ; op++)
		for (size_t i = 0; i < ARRAY_LEN(values); i++) {
			uint64_t two = values[i] & 0xf0000000f;
			unsigned arg = (unsigned)i % 6;
			CLEANUP_ARENA struct arena *a = arena_new();
			CLEANUP_BUF struct buf program = BUF_INIT;
			CLEANUP_FREE char *json = mem_printf(
				"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": "
				"[{\"names\": "
				"[\"ioctl\"], \"action\": \"SCMP_ACT_ERRNO\", \"args\": "
				"[{\"index\": %u, "
				"\"value\": %llu, \"valueTwo\": %llu, \"op\": \"SCMP_CMP_%s\"}]}]}",
				arg, (unsigned long long)values[i], (unsigned long long)two,
				names[op]);

			compile(a, json, &program);
			for (size_t j = 0; j < ARRAY_LEN(values); j++)
				for (int d = -1; d <= 1; d++) {
					uint64_t args[6] = { 0 };
					bool hit;

					args[arg] = values[j] + (uint64_t)(int64_t)d;
					hit = holds(op, args[arg], values[i], two);
					assert_int_equal(
						seccomp_simulate(&program, AUDIT_ARCH_X86_64,
							SYS_ioctl, args),
						hit ? SECCOMP_RET_ERRNO | EPERM
						    : SECCOMP_RET_ALLOW);
				}
		}
}

static void all_conditions_of_a_rule_must_hold_and_any_rule_will_do(void **state)
{
	static const char json[] =
		"{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{\"names\": [\"socket\"], "
		"\"action\": \"SCMP_ACT_ALLOW\", \"args\": ["
		"{\"index\": 0, \"value\": 1, \"op\": \"SCMP_CMP_EQ\"},"
		"{\"index\": 1, \"value\": 2, \"op\": \"SCMP_CMP_EQ\"}]},"
		"{\"names\": [\"socket\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": ["
		"{\"index\": 0, \"value\": 16, \"op\": \"SCMP_CMP_EQ\"}]}]}";
	static const struct {
		uint64_t args[6];
		bool allowed;
	} rows[] = { { { 1, 2 }, true }, { { 1, 3 }, false }, { { 2, 2 }, false },
		{ { 16, 9 }, true }, { { 16 | 1ull << 32, 9 }, false } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(ask(json, AUDIT_ARCH_X86_64, SYS_socket, rows[i].args),
			rows[i].allowed ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | EPERM);
}

/* libseccomp would take the last of the two and say nothing. */
static void two_conditions_on_one_argument_are_refused(void **state)
{
	static const char json[] =
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"ioctl\"], "
		"\"action\": \"SCMP_ACT_ERRNO\", \"args\": ["
		"{\"index\": 1, \"value\": 1, \"op\": \"SCMP_CMP_GE\"},"
		"{\"index\": 1, \"value\": 2, \"op\": \"SCMP_CMP_LE\"}]}]}";
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf program = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_int_equal(seccomp_compile(profile_of(a, json), -1, &program, &e), -1);
	assert_int_equal(e.code, KERR_SECCOMP);
	assert_string_equal(e.pointer, "/linux/seccomp/syscalls/0/args/1");
}

#define ARCHS \
	"\"architectures\": [\"SCMP_ARCH_X86_64\", \"SCMP_ARCH_X86\", \"SCMP_ARCH_AARCH64\"], "

static void each_architecture_has_its_own_numbers(void **state)
{
	static const char json[] = "{\"defaultAction\": \"SCMP_ACT_ERRNO\", " ARCHS
				   "\"syscalls\": [{\"names\": [\"getpid\", \"no_such_call\"], "
				   "\"action\": \"SCMP_ACT_ALLOW\"}]}";
	static const struct {
		uint32_t audit;
		const char *name;
		int nr;
	} rows[] = { { AUDIT_ARCH_X86_64, "x86_64", 39 }, { AUDIT_ARCH_I386, "x86", 20 },
		{ AUDIT_ARCH_AARCH64, "aarch64", 172 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(seccomp_syscall_resolve_name_arch(
					 seccomp_arch_resolve_name(rows[i].name), "getpid"),
			rows[i].nr);
		assert_int_equal(ask(json, rows[i].audit, rows[i].nr, NOTHING), SECCOMP_RET_ALLOW);
		assert_int_equal(ask(json, rows[i].audit, rows[i].nr + 1, NOTHING),
			SECCOMP_RET_ERRNO | EPERM);
	}
	/* one that is not listed gets nothing through */
	assert_int_equal(ask(json, AUDIT_ARCH_PPC64LE, 20, NOTHING), SECCOMP_RET_KILL_THREAD);
	/* nor does x32, whose numbers have a bit set */
	assert_true(ask(json, AUDIT_ARCH_X86_64, 0x40000000 | 39, NOTHING) != SECCOMP_RET_ALLOW);
}

/* 32-bit programs reach socket() through socketcall(), whose arguments a filter cannot see. */
static void socketcall_is_no_way_around_a_rule_on_socket(void **state)
{
	static const char by_argument[] =
		"{\"defaultAction\": \"SCMP_ACT_ERRNO\", " ARCHS
		"\"syscalls\": [{\"names\": [\"socket\"], \"action\": \"SCMP_ACT_ALLOW\", "
		"\"args\": "
		"[{\"index\": 0, \"value\": 40, \"op\": \"SCMP_CMP_NE\"}]},"
		"{\"names\": [\"socketcall\"], \"action\": \"SCMP_ACT_ALLOW\"}]}";
	static const char denied[] = "{\"defaultAction\": \"SCMP_ACT_ALLOW\", " ARCHS
				     "\"syscalls\": [{\"names\": [\"socket\"], \"action\": "
				     "\"SCMP_ACT_ERRNO\", \"args\": "
				     "[{\"index\": 0, \"value\": 40, \"op\": \"SCMP_CMP_EQ\"}]}]}";
	static const char unfiltered[] = "{\"defaultAction\": \"SCMP_ACT_ERRNO\", " ARCHS
					 "\"syscalls\": [{\"names\": [\"socket\", \"socketcall\"], "
					 "\"action\": \"SCMP_ACT_ALLOW\"}]}";
	enum { SOCKETCALL = 102, SOCKET = 359, SYS_SOCKET = 1, SYS_BIND = 2 };

	assert_int_equal(ask(by_argument, AUDIT_ARCH_I386, SOCKET, (const uint64_t[6]) { 40 }),
		SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(by_argument, AUDIT_ARCH_I386, SOCKET, (const uint64_t[6]) { 1 }),
		SECCOMP_RET_ALLOW);
	assert_int_equal(
		ask(by_argument, AUDIT_ARCH_I386, SOCKETCALL, (const uint64_t[6]) { SYS_SOCKET }),
		SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(
		ask(denied, AUDIT_ARCH_I386, SOCKETCALL, (const uint64_t[6]) { SYS_SOCKET }),
		SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(ask(denied, AUDIT_ARCH_I386, SOCKETCALL, (const uint64_t[6]) { SYS_BIND }),
		SECCOMP_RET_ALLOW);
	assert_int_equal(
		ask(unfiltered, AUDIT_ARCH_I386, SOCKETCALL, (const uint64_t[6]) { SYS_SOCKET }),
		SECCOMP_RET_ALLOW);
	assert_int_equal(ask(denied, AUDIT_ARCH_X86_64, SYS_socket, (const uint64_t[6]) { 40 }),
		SECCOMP_RET_ERRNO | EPERM);
}

/* ---- a whole profile ----------------------------------------------------------------------------
 */

static void read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	char some[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(some, 1, sizeof some, f)) > 0)
		buf_add(out, some, n);
	fclose(f);
}

/* Arguments for which every condition of @r holds. */
static void satisfy(const struct oci_seccomp_rule *r, uint64_t args[6])
{
	memset(args, 0, 6 * sizeof *args);
	for (size_t i = 0; i < r->args.n; i++) {
		const struct oci_seccomp_arg *c = &r->args.v[i];

		args[c->index] = c->op == OCI_CMP_NE	      ? c->value + 1
				 : c->op == OCI_CMP_LT	      ? c->value - 1
				 : c->op == OCI_CMP_GT	      ? c->value + 1
				 : c->op == OCI_CMP_MASKED_EQ ? c->value_two
							      : c->value;
	}
}

static bool matches(const struct oci_seccomp_rule *r, const char *name, const uint64_t args[6])
{
	bool named = false;

	for (size_t i = 0; i < r->names.n && !named; i++)
		named = strcmp(r->names.v[i], name) == 0;
	for (size_t i = 0; i < r->args.n && named; i++)
		named = holds(r->args.v[i].op, args[r->args.v[i].index], r->args.v[i].value,
			r->args.v[i].value_two);
	return named;
}

static uint32_t answer_of(int action, struct opt_u64 value)
{
	uint32_t data = value.set ? (uint32_t)value.v : EPERM;

	return action == OCI_ACT_ALLOW	 ? SECCOMP_RET_ALLOW
	       : action == OCI_ACT_ERRNO ? SECCOMP_RET_ERRNO | data
	       : action == OCI_ACT_LOG	 ? SECCOMP_RET_LOG
					 : SECCOMP_RET_KILL_THREAD;
}

/* What the profile says, read as the specification has it: one of the rules that match. */
static bool profile_allows(
	const struct oci_seccomp *p, const char *name, const uint64_t args[6], uint32_t answer)
{
	bool any = false;

	for (size_t i = 0; i < p->rules.n; i++) {
		const struct oci_seccomp_rule *r = &p->rules.v[i];

		if (!matches(r, name, args))
			continue;
		any = true;
		if (answer_of(r->action, r->errno_ret) == answer)
			return true;
	}
	return !any && answer_of(p->default_action, p->default_errno) == answer;
}

/* tests/golden/seccomp/container.json is of the size and kind that container engines hand over. */
static void every_rule_of_a_whole_profile_has_the_profiles_verdict(void **state)
{
	static const struct {
		uint32_t audit;
		const char *name;
	} archs[] = { { AUDIT_ARCH_X86_64, "x86_64" }, { AUDIT_ARCH_I386, "x86" } };
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf text = BUF_INIT, program = BUF_INIT;
	const struct oci_seccomp *p;
	size_t asked = 0;

	read_file("tests/golden/seccomp/container.json", &text);
	p = profile_of(a, buf_str(&text));
	compile(a, buf_str(&text), &program);
	for (size_t i_arch = 0; i_arch < ARRAY_LEN(archs); i_arch++) {
		uint32_t token = seccomp_arch_resolve_name(archs[i_arch].name);

		for (int nr = 0; nr < 512; nr++) {
			char *name = seccomp_syscall_resolve_num_arch(token, nr);
			uint64_t args[6] = { 0 };

			/* i386 reaches these through socketcall and ipc, too: tested above */
			if (name == NULL || str_eq(name, "socketcall") || str_eq(name, "ipc")) {
				free(name);
				continue;
			}
			for (size_t i = 0; i <= p->rules.n; i++) {
				uint32_t answer;

				if (i < p->rules.n)
					satisfy(&p->rules.v[i], args);
				else
					memset(args, 0xff, sizeof args);
				for (int k = 0; k < 6 && archs[i_arch].audit == AUDIT_ARCH_I386;
					k++)
					args[k] &= UINT32_MAX;
				answer = seccomp_simulate(&program, archs[i_arch].audit, nr, args);
				if (!profile_allows(p, name, args, answer))
					fail_msg("%s %s: %08x is not what the profile says",
						archs[i_arch].name, name, answer);
				asked++;
			}
			free(name);
		}
	}
	assert_true(asked > 5000);
}

/* ---- limits, cache, loading
 * ------------------------------------------------------------------------ */

/* @n rules on different arguments of a few calls: none can be merged. */
static char *many_rules(unsigned n, unsigned args, const char *op)
{
	static const char *const names[] = { "ioctl", "fcntl", "prctl", "read", "write", "mmap",
		"clone", "openat" };
	struct buf b = BUF_INIT;

	buf_adds(&b, "{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [");
	for (unsigned i = 0; i < n; i++) {
		buf_addf(&b, "%s{\"names\": [\"%s\"], \"action\": \"SCMP_ACT_ERRNO\", \"args\": [",
			i ? "," : "", names[i % ARRAY_LEN(names)]);
		for (unsigned k = 1; k <= args; k++)
			buf_addf(&b, "%s{\"index\": %u, \"value\": %llu, \"op\": \"SCMP_CMP_%s\"}",
				k > 1 ? "," : "", k, k == 1 ? i : i * 0x100000001ull, op);
		buf_adds(&b, "]}");
	}
	buf_adds(&b, "]}");
	return b.data;
}

static void a_filter_that_the_kernel_would_not_take_is_refused_by_name(void **state)
{
	CLEANUP_FREE char *fits = many_rules(200, 2, "EQ");
	CLEANUP_FREE char *huge = many_rules(204, 5, "MASKED_EQ");
	CLEANUP_FREE char *slow = many_rules(4000, 1, "EQ");
	CLEANUP_FREE char *ten_thousand = many_rules(10000, 1, "EQ");
	CLEANUP_FREE char *config = mem_printf(HEAD "%s}}", ten_thousand);
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf program = BUF_INIT, none = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT, too_many = KERR_INIT, too_slow = KERR_INIT;
	struct spec_options o = { 0 };
	struct oci_spec s;

	compile(a, fits, &program);
	assert_int_equal(seccomp_simulate(&program, AUDIT_ARCH_X86_64, SYS_ioctl,
				 (const uint64_t[6]) { 0, 192, 192 * 0x100000001ull }),
		SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(seccomp_simulate(&program, AUDIT_ARCH_X86_64, SYS_ioctl,
				 (const uint64_t[6]) { 0, 192, 193 }),
		SECCOMP_RET_ALLOW);
	assert_int_equal(seccomp_compile(profile_of(a, huge), -1, &none, &e), -1);
	assert_int_equal(e.code, KERR_SECCOMP);
	assert_non_null(strstr(e.message, "the kernel takes 4096"));
	assert_int_equal(seccomp_compile(profile_of(a, slow), -1, &none, &too_slow), -1);
	assert_string_equal(too_slow.pointer, "/linux/seccomp/syscalls/1024");
	assert_int_equal(spec_parse(a, config, strlen(config), &o, &s, NULL, &too_many), -1);
	assert_int_equal(too_many.code, KERR_JSON_LIMIT);
	assert_string_equal(too_many.pointer, "/linux/seccomp/syscalls");
}

#define SMALL                                                                             \
	"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"acct\"], " \
	"\"action\": \"SCMP_ACT_%s\"}]}"

struct cache {
	char path[64];
	int fd;
};

static void cache_open(struct cache *c)
{
	snprintf(c->path, sizeof c->path, "/tmp/kapsel-cache.XXXXXX");
	assert_non_null(mkdtemp(c->path));
	c->fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(c->fd >= 0);
}

static void cache_close(struct cache *c)
{
	CLEANUP_FREE char *command = mem_printf("rm -rf %s", c->path);

	close(c->fd);
	assert_int_equal(system(command), 0);
}

/* The one file of the cache; NULL when there is none, and a failure when there are more than @most.
 */
static char *cached(struct cache *c, unsigned most)
{
	CLEANUP_FREE char *command = mem_printf("ls %s", c->path);
	FILE *f = popen(command, "re");
	char name[256] = "", line[256];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		snprintf(name, sizeof name, "%.*s", (int)strcspn(line, "\n"), line);
		n++;
	}
	pclose(f);
	assert_true(n <= most);
	return n ? mem_printf("%s/%s", c->path, name) : NULL;
}

/* As the executor does it. Returns whether it is new. */
static int get(struct cache *c, const char *action, struct buf *out)
{
	CLEANUP_FREE char *json = mem_printf(SMALL, action);
	CLEANUP_ARENA struct arena *a = arena_new();
	const struct oci_seccomp *p = profile_of(a, json);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int rc;

	buf_reset(out);
	rc = seccomp_compile(p, c->fd, out, &e);
	assert_true(rc >= 0);
	if (rc)
		seccomp_keep(p, c->fd, out);
	return rc;
}

static uint32_t verdict(const struct buf *program)
{
	return seccomp_simulate(program, AUDIT_ARCH_X86_64, SYS_acct, NOTHING);
}

static void a_cached_program_is_the_same_and_of_this_profile_alone(void **state)
{
	CLEANUP_BUF struct buf fresh = BUF_INIT, again = BUF_INIT, other = BUF_INIT;
	struct cache c;
	char *file;

	cache_open(&c);
	assert_int_equal(get(&c, "ERRNO", &fresh), 1);
	file = cached(&c, 1);
	assert_non_null(file);
	assert_int_equal(get(&c, "ERRNO", &again), 0);
	assert_int_equal(fresh.len, again.len);
	assert_memory_equal(fresh.data, again.data, fresh.len);
	get(&c, "KILL", &other);
	free(cached(&c, 2));
	assert_int_equal(verdict(&again), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(verdict(&other), SECCOMP_RET_KILL_THREAD);
	free(file);
	cache_close(&c);
}

/* That it is read at all shows in a program that only the cache has. */
static void the_cache_is_used(void **state)
{
	CLEANUP_BUF struct buf program = BUF_INIT;
	struct cache c;
	char *one, *two, *command;

	cache_open(&c);
	get(&c, "ERRNO", &program);
	one = cached(&c, 1);
	command = mem_printf("mv %s %s.kept", one, one);
	assert_int_equal(system(command), 0);
	get(&c, "KILL", &program);
	free(command);
	command = mem_printf("mv %s.kept %s/kept", one, c.path);
	assert_int_equal(system(command), 0);
	free(command);
	/* kill's name, errno's program: whole, ours, and so believed */
	command = mem_printf("cd %s && mv kept \"$(ls | grep -v kept)\"", c.path);
	assert_int_equal(system(command), 0);
	two = cached(&c, 1);
	get(&c, "KILL", &program);
	assert_int_equal(verdict(&program), SECCOMP_RET_ERRNO | EPERM);
	free(one);
	free(two);
	free(command);
	cache_close(&c);
}

/* Cut, changed, another's or another's to write: compiled anew, and put right. */
static void a_cached_program_that_is_not_whole_and_ours_is_not_used(void **state)
{
	static const char *const harm[] = { "truncate -s 0 %s", "truncate -s 20 %s",
		"truncate -s -8 %s", "printf x >>%s",
		"printf '\\377' | dd of=%s bs=1 seek=80 conv=notrunc status=none",
		"printf '\\377' | dd of=%s bs=1 seek=0 conv=notrunc status=none",
		"f=%s; rm $f; mkdir $f", "f=%s; mv $f $f.x; ln -s $f.x $f", "chmod 622 %s",
		"[ $(id -u) != 0 ] || chown 1 %s", "head -c 70000 /dev/zero >%s" };

	for (size_t i = 0; i < ARRAY_LEN(harm); i++) {
		CLEANUP_BUF struct buf fresh = BUF_INIT, again = BUF_INIT;
		struct cache c;
		char *file, *command;

		cache_open(&c);
		get(&c, "ERRNO", &fresh);
		file = cached(&c, 1);
		assert_non_null(file);
		/* Another's program stands there, whole and with its digest, but for what gives it
		 * away. */
		command = mem_printf("mv %s %s.own", file, c.path);
		assert_int_equal(system(command), 0);
		free(command);
		get(&c, "KILL", &again);
		command = mem_printf("mv %s/* %s; rm %s.own", c.path, file, c.path);
		assert_int_equal(system(command), 0);
		free(command);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		command = mem_printf(harm[i], file);
#pragma GCC diagnostic pop
		assert_int_equal(system(command), 0);
		get(&c, "ERRNO", &again);
		if (verdict(&again) != (SECCOMP_RET_ERRNO | EPERM))
			fail_msg("used after: %s", harm[i]);
		assert_int_equal(fresh.len, again.len);
		assert_memory_equal(fresh.data, again.data, fresh.len);
		free(command);
		free(file);
		cache_close(&c);
	}
}

/* 0: loaded and in force. Else the errno of loading, or 255. */
static int load_in_child(const char *json)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf program = BUF_INIT;
	const struct oci_seccomp *p = profile_of(a, json);
	int status;
	pid_t child;

	compile(a, json, &program);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (seccomp_install(&program, p) < 0)
			_exit(errno);
		_exit(syscall(SYS_acct, "/nowhere") == -1 && errno == 77 ? 0 : 255);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#define LOADED                                                                                  \
	"\"syscalls\": [{\"names\": [\"acct\"], \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": " \
	"77}]}"

/* Calls that the simulator sees refused are refused: none is carried out. */
static void the_kernel_answers_as_the_simulator_does(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf text = BUF_INIT, program = BUF_INIT;
	const uint64_t args[6] = { 40, 40, 40, 40, 40, 40 };
	const struct oci_seccomp *p;
	int status, asked = 0;
	pid_t child;

	read_file("tests/golden/seccomp/container.json", &text);
	p = profile_of(a, buf_str(&text));
	compile(a, buf_str(&text), &program);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (seccomp_install(&program, p) < 0)
			_exit(250);
		for (int nr = 0; nr < 512; nr++) {
			uint32_t answer = seccomp_simulate(&program, AUDIT_ARCH_X86_64, nr, args);

			/* uretprobe and uprobe, which the kernel lets through any filter */
			if (nr == 335 || nr == 336 ||
				(answer & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO)
				continue;
			asked++;
			if (syscall(nr, 40, 40, 40, 40, 40, 40) != -1 ||
				errno != (int)(answer & SECCOMP_RET_DATA))
				_exit(251);
		}
		_exit(asked > 255 ? 255 : asked);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_in_range(WEXITSTATUS(status), 60, 249);
}

/* proves: /linux/seccomp/flags */
static void flags_go_to_the_kernel(void **state)
{
	static const struct {
		const char *flags;
		int answer;
	} rows[] = {
		{ "", 0 },
		{ "\"SECCOMP_FILTER_FLAG_LOG\"", 0 },
		{ "\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\", \"SECCOMP_FILTER_FLAG_TSYNC\"", 0 },
		/* without a listener the kernel takes no flag about one */
		{ "\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"", EINVAL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_FREE char *json = mem_printf(
			"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"flags\": [%s], " LOADED,
			rows[i].flags);

		assert_int_equal(load_in_child(json), rows[i].answer);
	}
}

static void a_listener_and_all_threads_at_once_exclude_each_other(void **state)
{
	static const char json[] =
		"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"listenerPath\": \"/l\", \"flags\": "
		"[\"SECCOMP_FILTER_FLAG_TSYNC\"], \"syscalls\": [{\"names\": [\"swapon\"], "
		"\"action\": \"SCMP_ACT_NOTIFY\"}, {\"names\": [\"acct\"], \"action\": "
		"\"SCMP_ACT_ERRNO\", \"errnoRet\": 77}]}";
	CLEANUP_ARENA struct arena *a = arena_new();

	assert_true(seccomp_has_notify(profile_of(a, json)));
	assert_int_equal(load_in_child(json), 0);
}

/* The simulator itself: what is no program of seccomp's kills. */
static void the_simulator_refuses_what_the_kernel_would(void **state)
{
	struct {
		uint16_t code;
		uint8_t jt, jf;
		uint32_t k;
	} odd[] = { { 0x20, 0, 0, 4000 }, { 0x02, 0, 0, 0 } }; /* a load out of bounds, a store */
	struct buf b = BUF_INIT;

	assert_int_equal(
		seccomp_simulate(&b, AUDIT_ARCH_X86_64, 0, NOTHING), SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		CLEANUP_BUF struct buf program = BUF_INIT;

		buf_add(&program, &odd[i], sizeof odd[i]);
		assert_int_equal(seccomp_simulate(&program, AUDIT_ARCH_X86_64, 0, NOTHING),
			SECCOMP_RET_KILL_PROCESS);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_action_is_the_kernels),
		cmocka_unit_test(each_default_is_the_kernels),
		cmocka_unit_test(each_operator_compares_64_bits),
		cmocka_unit_test(all_conditions_of_a_rule_must_hold_and_any_rule_will_do),
		cmocka_unit_test(two_conditions_on_one_argument_are_refused),
		cmocka_unit_test(each_architecture_has_its_own_numbers),
		cmocka_unit_test(socketcall_is_no_way_around_a_rule_on_socket),
		cmocka_unit_test(every_rule_of_a_whole_profile_has_the_profiles_verdict),
		cmocka_unit_test(a_filter_that_the_kernel_would_not_take_is_refused_by_name),
		cmocka_unit_test(a_cached_program_is_the_same_and_of_this_profile_alone),
		cmocka_unit_test(the_cache_is_used),
		cmocka_unit_test(a_cached_program_that_is_not_whole_and_ours_is_not_used),
		cmocka_unit_test(the_kernel_answers_as_the_simulator_does),
		cmocka_unit_test(flags_go_to_the_kernel),
		cmocka_unit_test(a_listener_and_all_threads_at_once_exclude_each_other),
		cmocka_unit_test(the_simulator_refuses_what_the_kernel_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
