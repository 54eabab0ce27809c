/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_INSNS = 4096, ALL_ACCESS = CGROUP_DEV_MKNOD | CGROUP_DEV_READ | CGROUP_DEV_WRITE };

/* ---- v1: two files, in order
 * ------------------------------------------------------------------------------- */

static void rule_text(const struct cgroup_device *r, struct buf *out)
{
	buf_reset(out);
	if (r->type == 'a') {
		buf_adds(out, "a");
		return;
	}
	buf_addf(out, "%c ", r->type);
	if (r->major < 0)
		buf_adds(out, "*:");
	else
		buf_addf(out, "%lld:", (long long)r->major);
	if (r->minor < 0)
		buf_adds(out, "* ");
	else
		buf_addf(out, "%lld ", (long long)r->minor);
	buf_addf(out, "%s%s%s", r->access & CGROUP_DEV_READ ? "r" : "",
		r->access & CGROUP_DEV_WRITE ? "w" : "", r->access & CGROUP_DEV_MKNOD ? "m" : "");
}

static int devices_v1(
	const struct part *p, const struct cgroup_device *rules, size_t n, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_FD int allow = path_own(p->dir, "devices.allow", O_WRONLY, 0, e);
	CLEANUP_FD int deny = allow < 0 ? -1 : path_own(p->dir, "devices.deny", O_WRONLY, 0, e);

	for (size_t i = 0; deny >= 0 && i < n; i++) {
		rule_text(&rules[i], &b); /* one a write */
		if (write(rules[i].allow ? allow : deny, b.data, b.len) != (ssize_t)b.len)
			return kerr_fail(
				e, KERR_CGROUP, errno, "device rule %zu: %s", i, buf_str(&b));
	}
	return deny < 0 ? -1 : 0;
}

/* ---- v2: a program
 * ------------------------------------------------------------------------------------------ */

#define INSN(c, d, s, o, i) \
	((struct bpf_insn) { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

struct program {
	struct bpf_insn *v;
	size_t n, room;
};

static void emit(struct program *p, struct bpf_insn i)
{
	if (p->n < p->room)
		p->v[p->n] = i;
	p->n++;
}

/* r1 is the context: access_type (access << 16 | type), major, minor. r2 type, r3 access, r4 major,
 * r5 minor. */
static void prologue(struct program *p)
{
	emit(p, INSN(BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0));
	emit(p, INSN(BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0));
	emit(p, INSN(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xffff));
	emit(p, INSN(BPF_ALU64 | BPF_RSH | BPF_K, 3, 0, 0, 16));
	emit(p, INSN(BPF_LDX | BPF_W | BPF_MEM, 4, 1, 4, 0));
	emit(p, INSN(BPF_LDX | BPF_W | BPF_MEM, 5, 1, 8, 0));
}

static void verdict(struct program *p, bool allow)
{
	emit(p, INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, allow));
	emit(p, INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

/* Rules are asked from the last to the first; each settles the accesses that it names, and r3 keeps
 * those still open: a device allowed to be read by one rule and written by another may be opened
 * for both. Each test jumps past the rule's end; offsets are filled in there. */
static void rule(struct program *p, const struct cgroup_device *r)
{
	size_t jumps[4], n = 0;

	if (r->type != 'a') {
		jumps[n++] = p->n;
		emit(p, INSN(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0,
				r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR));
		if (r->major >= 0) {
			jumps[n++] = p->n;
			emit(p, INSN(BPF_JMP | BPF_JNE | BPF_K, 4, 0, 0, (int32_t)r->major));
		}
		if (r->minor >= 0) {
			jumps[n++] = p->n;
			emit(p, INSN(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 0, (int32_t)r->minor));
		}
		if (r->access != ALL_ACCESS && r->allow) {
			emit(p, INSN(BPF_ALU64 | BPF_AND | BPF_K, 3, 0, 0,
					ALL_ACCESS & ~r->access));
			jumps[n++] = p->n;
			emit(p, INSN(BPF_JMP | BPF_JNE | BPF_K, 3, 0, 0, 0));
		} else if (r->access != ALL_ACCESS) {
			emit(p, INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 3, 0, 0));
			emit(p, INSN(BPF_ALU64 | BPF_AND | BPF_K, 1, 0, 0, r->access));
			jumps[n++] = p->n;
			emit(p, INSN(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0, 0));
		}
	}
	verdict(p, r->allow);
	for (size_t i = 0; i < n; i++)
		if (jumps[i] < p->room)
			p->v[jumps[i]].off = (int16_t)(p->n - jumps[i] - 1);
}

size_t cgroup_device_program(
	const struct cgroup_device *rules, size_t n, struct bpf_insn *out, size_t room)
{
	struct program p = { out, 0, room };

	prologue(&p);
	for (size_t i = n; i > 0; i--) { /* the last rule that fits decides, so it is asked first */
		rule(&p, &rules[i - 1]);
		if (rules[i - 1].type ==
			'a') /* nothing gets past it, and the kernel takes no dead code */
			return p.n;
	}
	verdict(&p, true);
	return p.n;
}

/* Newer kernels write results past the attr that older headers know: oversize and zeroed. */
union oversize {
	union bpf_attr attr;
	char bytes[256];
};

static int devices_v2(struct part *u, const struct cgroup_device *rules, size_t n, struct kerr *e)
{
	struct bpf_insn insns[MOST_INSNS];
	size_t len = cgroup_device_program(rules, n, insns, MOST_INSNS);
	union oversize load, attach;
	CLEANUP_FD int program = -1;

	if (len > MOST_INSNS)
		return kerr_fail(
			e, KERR_LIMIT, 0, "%zu device rules are more than one program holds", n);
	memset(&load, 0, sizeof load);
	load.attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	load.attr.insns = (uint64_t)(uintptr_t)insns;
	load.attr.insn_cnt = (uint32_t)len;
	load.attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load.attr);
	if (program < 0)
		return kerr_fail(e, KERR_CGROUP, errno, "load the device program");
	fcntl(program, F_SETFD, FD_CLOEXEC);
	memset(&attach, 0, sizeof attach);
	attach.attr.target_fd = (uint32_t)u->dir;
	attach.attr.attach_bpf_fd = (uint32_t)program;
	attach.attr.attach_type = BPF_CGROUP_DEVICE;
	attach.attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach.attr) < 0)
		return kerr_fail(e, KERR_CGROUP, errno, "attach the device program");
	return 0;
}

static bool has_program(const struct part *u)
{
	union oversize query;

	memset(&query, 0, sizeof query);
	query.attr.query.target_fd = (uint32_t)u->dir;
	query.attr.query.attach_type = BPF_CGROUP_DEVICE;
	return syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query.attr) == 0 &&
	       query.attr.query.prog_cnt > 0;
}

bool cgroup_has_devices(struct cgroup *c)
{
	const struct part *p = part_of(c, 1u << CG_DEVICES);
	CLEANUP_BUF struct buf list = BUF_INIT;

	if (p == NULL)
		return false;
	if (p->v2)
		return has_program(p);
	return path_read(p->dir, "devices.list", 1 << 20, &list, NULL) == 0 &&
	       strstr(buf_str(&list), "a *:* rwm") == NULL;
}

int cgroup_devices(struct cgroup *c, const struct cgroup_device *rules, size_t n, struct kerr *e)
{
	struct part *p = part_of(c, 1u << CG_DEVICES);

	if (p == NULL)
		return kerr_fail(e, KERR_CGROUP_NO_CONTROLLER, 0, "no devices controller");
	return p->v2 ? devices_v2(p, rules, n, e) : devices_v1(p, rules, n, e);
}
