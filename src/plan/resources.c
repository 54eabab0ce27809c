/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources -> writes into cgroup files, by one table. docs/CGROUPS.md is made from it. */
#include "build.h"
#include <stdlib.h>
#include <string.h>

/* Where a value stands in struct oci_resources and what the two layouts do with it. */
enum form { U, I, S }; /* opt_u64, opt_i64, string */
struct row {
	const char *pointer; /* below /linux/resources/ */
	enum form form;
	size_t offset;
	enum cgroup_controller controller;
	const char *v1, *v2;	/* files; NULL: this layout has no such thing */
	const char *conversion; /* for people; NULL: the number itself, -1 is "max" on v2 */
	bool ignored_on_v2;	/* of no effect there, and peers agree */
};
#define AT(member) offsetof(struct oci_resources, member)
static const struct row rows[] = {
	/* before the limits: the limit of memory and swap may not be below the limit of memory */
	{ "memory/limit", I, AT(memory.limit), CG_MEMORY, "memory.limit_in_bytes", "memory.max",
		NULL, false },
	{ "memory/swap", I, AT(memory.swap), CG_MEMORY, "memory.memsw.limit_in_bytes",
		"memory.swap.max", "v2: swap - limit", false },
	{ "memory/reservation", I, AT(memory.reservation), CG_MEMORY, "memory.soft_limit_in_bytes",
		"memory.low", NULL, false },
	{ "memory/kernel", I, AT(memory.kernel), CG_MEMORY, NULL, NULL,
		"of no effect: the kernel dropped it", true },
	{ "memory/kernelTCP", I, AT(memory.kernel_tcp), CG_MEMORY, "memory.kmem.tcp.limit_in_bytes",
		NULL, NULL, false },
	{ "memory/swappiness", U, AT(memory.swappiness), CG_MEMORY, "memory.swappiness", NULL, NULL,
		false },
	{ "cpu/shares", U, AT(cpu.shares), CG_CPU, "cpu.shares", "cpu.weight",
		"v2: 10^((l^2+125l)/612-7/34), l = log2(shares)", false },
	{ "cpu/idle", I, AT(cpu.idle), CG_CPU, "cpu.idle", "cpu.idle", NULL, false },
	{ "cpu/period", U, AT(cpu.period), CG_CPU, "cpu.cfs_period_us", "cpu.max",
		"v2: with quota in one line", false },
	{ "cpu/quota", I, AT(cpu.quota), CG_CPU, "cpu.cfs_quota_us", "cpu.max",
		"v2: \"quota period\", max for -1", false },
	{ "cpu/burst", U, AT(cpu.burst), CG_CPU, "cpu.cfs_burst_us", "cpu.max.burst", NULL, false },
	{ "cpu/realtimePeriod", U, AT(cpu.realtime_period), CG_CPU, "cpu.rt_period_us", NULL, NULL,
		false },
	{ "cpu/realtimeRuntime", I, AT(cpu.realtime_runtime), CG_CPU, "cpu.rt_runtime_us", NULL,
		NULL, false },
	{ "cpu/cpus", S, AT(cpu.cpus), CG_CPUSET, "cpuset.cpus", "cpuset.cpus", NULL, false },
	{ "cpu/mems", S, AT(cpu.mems), CG_CPUSET, "cpuset.mems", "cpuset.mems", NULL, false },
	{ "pids/limit", I, AT(pids.limit), CG_PIDS, "pids.max", "pids.max", "-1 is \"max\"",
		false },
	{ "blockIO/weight", U, AT(block_io.weight), CG_BLKIO, "blkio.weight", "io.weight",
		"v1 since Linux 5.0: blkio.bfq.weight; v2: 1 + (weight - 10) * 9999 / 990, "
		"or where only BFQ is there io.bfq.weight and the number itself",
		false },
	{ "blockIO/leafWeight", U, AT(block_io.leaf_weight), CG_BLKIO, "blkio.leaf_weight", NULL,
		NULL, false },
	{ "network/classID", U, AT(network.class_id), CG_NET_CLS, "net_cls.classid", NULL, NULL,
		false },
};

/* Of no row of its own. */
static const struct {
	bool v2;
	const char *file;
} bfq_files[] = { { false, "blkio.bfq.weight" }, { false, "blkio.bfq.weight_device" },
	{ false, "blkio.weight_device" }, { true, "io.bfq.weight" } };

bool resource_file(size_t i, bool on_v2, enum cgroup_controller *c, const char **file)
{
	*c = i < ARRAY_LEN(rows) ? rows[i].controller : CG_BLKIO;
	if (i < ARRAY_LEN(rows))
		*file = on_v2 ? rows[i].v2 : rows[i].v1;
	else if (i - ARRAY_LEN(rows) < ARRAY_LEN(bfq_files))
		*file = bfq_files[i - ARRAY_LEN(rows)].v2 == on_v2
				? bfq_files[i - ARRAY_LEN(rows)].file
				: NULL;
	else
		return false;
	return true;
}

static bool v2(const struct build *b)
{
	return b->f->cgroup_layout == CGROUP_V2;
}

static bool has(const struct build *b, enum cgroup_controller c)
{
	uint32_t there = v2(b) ? b->f->controllers.v2 : b->f->controllers.v1 | b->f->controllers.v2;

	if (v2(b) && c == CG_CPUACCT)
		c = CG_CPU;
	return there >> c & 1;
}

static bool is_missing(const struct build *b, enum cgroup_controller c, const char *file)
{
	const char *name = cgroup_controller_name(c);
	size_t n = strlen(name);

	for (size_t i = 0; i < b->f->nmissing; i++)
		if (str_starts(b->f->missing[i], name) && b->f->missing[i][n] == '/' &&
			strcmp(b->f->missing[i] + n + 1, file) == 0)
			return true;
	return false;
}

/* NULL: it has been refused, or comes later. */
static struct op *put(struct build *b, enum cgroup_controller c, const char *file,
	const char *value, const struct json *at)
{
	struct op *op;

	if (!has(b, c) || is_missing(b, c, file)) {
		refuse(b, KERR_CGROUP_NO_CONTROLLER, at,
			has(b, c) ? "this node's kernel has no %s"
				  : "this node has no %s controller",
			has(b, c) ? file : cgroup_controller_name(c));
		return NULL;
	}
	if (b->late.name && !b->late_file && str_eq(file, "pids.max")) {
		b->late_file = file;
		b->late_value = value;
		b->late_at = at;
		return NULL;
	}
	op = add_op(b, OP_CGROUP_WRITE, SIDE_EXECUTOR, file, at);
	op->u.write.controller = v2(b) ? "unified" : cgroup_controller_name(c);
	op->u.write.file = file;
	op->u.write.value = value;
	op->u.write.read_back = true;
	op->verified = true;
	return op;
}

/* The kernel prints it in another form. */
static void put_unread(struct build *b, enum cgroup_controller c, const char *file,
	const char *value, const struct json *at)
{
	struct op *op = put(b, c, file, value, at);

	if (op)
		op->u.write.read_back = false;
}

static bool in_list(unsigned long n, const char *list)
{
	while (*list) {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (end == list)
			return false;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (n >= first && n <= last)
			return true;
		list = end + (*end == ',');
	}
	return false;
}

/* Each number of @asked; the first that @online lacks, or -1. */
static long not_online(const char *asked, const char *online)
{
	while (*asked && *online) {
		char *end;
		unsigned long n = strtoul(asked, &end, 10), last = n;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (; n <= last; n++)
			if (!in_list(n, online))
				return (long)n;
		asked = end + (*end == ',');
		if (end == asked && *end)
			return -1;
	}
	return -1;
}

static void judge_cpuset(struct build *b, const struct oci_cpu *c)
{
	long cpu = c->cpus ? not_online(c->cpus, b->f->cpus_online) : -1,
	     node = c->mems ? not_online(c->mems, b->f->mems_online) : -1;

	if (cpu >= 0)
		refuse(b, KERR_NODE_LIMIT, member(c->at, "cpus"),
			"CPU %ld is not among this node's: %s", cpu, b->f->cpus_online);
	if (node >= 0)
		refuse(b, KERR_NODE_LIMIT, member(c->at, "mems"),
			"memory node %ld is not among this node's: %s", node, b->f->mems_online);
}

static const char *text_u64(struct build *b, uint64_t v)
{
	return arena_printf(b->a, "%llu", (unsigned long long)v);
}

static const char *text_i64(struct build *b, int64_t v, bool is_pids)
{
	if (v < 0 && (v2(b) || is_pids))
		return "max";
	return arena_printf(b->a, "%lld", (long long)v);
}

/* Weights: v1 lost CFQ with Linux 5.0; v2 has its own, unless only BFQ is built. */
static bool has_bfq(const struct build *b)
{
	return v2(b) ? is_missing(b, CG_BLKIO, "io.weight") &&
			       !is_missing(b, CG_BLKIO, "io.bfq.weight")
		     : b->f->kernel_major >= 5;
}

/* Whole lines of v2 that take several fields. */
static const char *special(struct build *b, const struct row *r, const struct oci_resources *res)
{
	const struct oci_memory *m = &res->memory;

	if (r->controller == CG_CPU && str_eq(r->v2, "cpu.weight"))
		return text_u64(b, cgroup_weight_of_shares(res->cpu.shares.v));
	if (str_eq(r->v2, "io.weight") && !has_bfq(b))
		return arena_printf(b->a, "default %llu",
			(unsigned long long)cgroup_weight_of_blkio(res->block_io.weight.v));
	if (str_eq(r->v2, "memory.swap.max") && m->swap.v >= 0)
		return text_i64(b,
			m->limit.set && m->limit.v >= 0 ? m->swap.v - m->limit.v : m->swap.v,
			false);
	return NULL;
}

static bool is_zero_unset(const struct row *r)
{
	/* 0 of these means that nothing was asked: peers agree. */
	return r->controller == CG_CPU ? !str_eq(r->pointer, "cpu/idle")
	       : r->controller == CG_BLKIO || str_starts(r->pointer, "memory/")
		       ? !str_eq(r->pointer, "memory/swappiness")
		       : false;
}

static void one_row(struct build *b, const struct row *r, const struct oci_resources *res)
{
	const void *at = (const char *)res + r->offset;
	const struct opt_u64 *u = at;
	const struct opt_i64 *i = at;
	const char *const *s = at, *file = v2(b) ? r->v2 : r->v1, *value,
			  *slash = strchr(r->pointer, '/');
	CLEANUP_FREE char *section = mem_strndup(r->pointer, (size_t)(slash - r->pointer));
	const struct json *place = member(json_get(res->at, section), slash + 1);
	struct op *op;

	if (r->form == S ? *s == NULL || **s == '\0' : r->form == U ? !u->set : !i->set)
		return;
	if (r->form != S && is_zero_unset(r) && (r->form == U ? u->v == 0 : i->v == 0))
		return;
	if (r->ignored_on_v2 && file == NULL) {
		warn(b, KERR_CGROUP, place, "%s has no effect on this kernel", r->pointer);
		return;
	}
	if (file == NULL) {
		refuse(b, KERR_CGROUP_NO_CONTROLLER, place, "%s cannot be expressed on cgroup %s",
			r->pointer, v2(b) ? "v2" : "v1");
		return;
	}
	if (str_eq(r->pointer, "blockIO/weight") && has_bfq(b))
		file = v2(b) ? "io.bfq.weight" : "blkio.bfq.weight";
	if (v2(b) && str_eq(file, "cpu.max"))
		return; /* quota and period make one line, below */
	value = r->form == S   ? *s
		: r->form == U ? text_u64(b, u->v)
			       : text_i64(b, i->v, r->controller == CG_PIDS);
	if (v2(b) && special(b, r, res))
		value = special(b, r, res);
	if (str_eq(file, "memory.memsw.limit_in_bytes") && !b->f->swap_accounting) {
		refuse(b, KERR_CGROUP_NO_CONTROLLER, place,
			"this node's kernel does not account for swap");
		return;
	}
	op = put(b, r->controller, file, value, place);
	if (op && str_eq(file, "memory.max") && res->memory.check_before_update)
		op->u.write.usage = "memory.current"; /* v1's kernel refuses by itself */
}

static void cpu_max(struct build *b, const struct oci_cpu *c)
{
	bool quota = c->quota.set && c->quota.v != 0, period = c->period.set && c->period.v != 0;

	if (!v2(b) || (!quota && !period))
		return;
	put(b, CG_CPU, "cpu.max",
		arena_printf(b->a, "%s %llu", quota ? text_i64(b, c->quota.v, false) : "max",
			period ? (unsigned long long)c->period.v : 100000ull),
		member(c->at, quota ? "quota" : "period"));
}

static void oom_killer(struct build *b, const struct oci_memory *m)
{
	if (!m->disable_oom_killer)
		return;
	if (v2(b))
		refuse(b, KERR_CGROUP_NO_CONTROLLER, member(m->at, "disableOOMKiller"),
			"cgroup v2 cannot switch the OOM killer off");
	else
		put_unread(
			b, CG_MEMORY, "memory.oom_control", "1", member(m->at, "disableOOMKiller"));
}

static const char *weight_file(const struct build *b)
{
	if (v2(b))
		return has_bfq(b) ? "io.bfq.weight" : "io.weight";
	return has_bfq(b) ? "blkio.bfq.weight_device" : "blkio.weight_device";
}

static void block_devices(struct build *b, const struct oci_block_io *io)
{
	static const struct {
		const char *v1, *v2;
	} files[OCI_THROTTLES] = {
		{ "blkio.throttle.read_bps_device", "rbps" },
		{ "blkio.throttle.write_bps_device", "wbps" },
		{ "blkio.throttle.read_iops_device", "riops" },
		{ "blkio.throttle.write_iops_device", "wiops" },
	};

	for (int k = 0; k < OCI_THROTTLES; k++)
		for (size_t i = 0; i < io->throttle[k].n; i++) {
			const struct oci_throttle *t = &io->throttle[k].v[i];

			put_unread(b, CG_BLKIO, v2(b) ? "io.max" : files[k].v1,
				arena_printf(b->a, "%lld:%lld %s%s%llu", (long long)t->major,
					(long long)t->minor, v2(b) ? files[k].v2 : "",
					v2(b) ? "=" : "", (unsigned long long)t->rate),
				t->at);
		}
	for (size_t i = 0; i < io->devices.n; i++) {
		const struct oci_weight_device *w = &io->devices.v[i];

		if (w->leaf_weight.set && w->leaf_weight.v)
			refuse(b, KERR_CGROUP_NO_CONTROLLER, w->at,
				"no current kernel has leaf weights");
		if (w->weight.set && w->weight.v)
			put(b, CG_BLKIO, weight_file(b),
				arena_printf(b->a, "%lld:%lld %llu", (long long)w->major,
					(long long)w->minor,
					(unsigned long long)(v2(b) && !has_bfq(b)
								     ? cgroup_weight_of_blkio(
									       w->weight.v)
								     : w->weight.v)),
				w->at);
	}
}

static bool has_page_size(const struct facts *f, const char *size)
{
	for (size_t i = 0; i < f->npage_sizes; i++)
		if (str_eq(f->page_sizes[i], size))
			return true;
	return f->npage_sizes == 0; /* older facts do not tell */
}

/* Reservations are counted where the kernel can (5.7): so a process is refused memory, not killed.
 */
static const char *huge_page_file(struct build *b, const char *size)
{
	bool on_v2 = v2(b) || (b->f->controllers.v2 >> CG_HUGETLB & 1),
	     rsvd = b->f->kernel_major > 5 || (b->f->kernel_major == 5 && b->f->kernel_minor >= 7);

	return arena_printf(b->a, "hugetlb.%s.%s%s", size, rsvd ? "rsvd." : "",
		on_v2 ? "max" : "limit_in_bytes");
}

static void huge_pages(struct build *b, const struct oci_resources *res)
{
	for (size_t i = 0; i < res->hugepages.n; i++) {
		const struct oci_hugepage *h = &res->hugepages.v[i];

		if (has_page_size(b->f, h->size))
			put(b, CG_HUGETLB, huge_page_file(b, h->size), text_u64(b, h->limit),
				h->at);
		else
			refuse(b, KERR_NODE_KERNEL, member(h->at, "pageSize"),
				"this node has no huge pages of %s", h->size);
	}
}

static void others(struct build *b, const struct oci_resources *res)
{
	for (size_t i = 0; i < res->network.priorities.n; i++) {
		const struct oci_priority *p = &res->network.priorities.v[i];

		if (v2(b))
			refuse(b, KERR_CGROUP_NO_CONTROLLER, p->at,
				"network priorities cannot be expressed on cgroup v2");
		else
			put(b, CG_NET_PRIO, "net_prio.ifpriomap",
				arena_printf(
					b->a, "%s %llu", p->name, (unsigned long long)p->priority),
				p->at);
	}
	for (size_t i = 0; i < res->rdma.n; i++) {
		const struct oci_rdma *r = &res->rdma.v[i];
		CLEANUP_BUF struct buf value = BUF_INIT;

		buf_adds(&value, r->key);
		if (r->handles.set)
			buf_addf(&value, " hca_handle=%llu", (unsigned long long)r->handles.v);
		if (r->objects.set)
			buf_addf(&value, " hca_object=%llu", (unsigned long long)r->objects.v);
		put(b, CG_RDMA, "rdma.max", arena_strdup(b->a, buf_str(&value)), r->at);
	}
	for (size_t i = 0; i < res->unified.n; i++) {
		const struct oci_pair *p = &res->unified.v[i];
		CLEANUP_FREE char *controller = mem_strndup(p->key, strcspn(p->key, "."));
		enum cgroup_controller c = cgroup_controller_by_name(controller);

		if (!v2(b))
			refuse(b, KERR_CGROUP_NO_CONTROLLER, p->at,
				"unified needs cgroup v2, this node has %s",
				cgroup_layout_name(b->f->cgroup_layout));
		else if (c == CG_COUNT || !has(b, c))
			refuse(b, KERR_CGROUP_NO_CONTROLLER, p->at,
				"this node has no %s controller", controller);
		else
			put_unread(b, c, p->key, p->value, p->at);
	}
}

void build_resources(struct build *b)
{
	const struct oci_resources *res = &b->s->linux_.resources;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		one_row(b, &rows[i], res);
	judge_cpuset(b, &res->cpu);
	cpu_max(b, &res->cpu);
	oom_killer(b, &res->memory);
	block_devices(b, &res->block_io);
	huge_pages(b, res);
	others(b, res);
}

void build_late_resources(struct build *b)
{
	if (b->late_file)
		put(b, CG_PIDS, b->late_file, b->late_value, b->late_at);
}

void plan_resources_doc(struct buf *out)
{
	buf_adds(out, "# cgroup files of linux.resources\n\n| field | controller | v1 file | v2 "
		      "file | conversion |\n|---|---|---|---|---|\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		buf_addf(out, "| %s | %s | %s | %s | %s |\n", rows[i].pointer,
			cgroup_controller_name(rows[i].controller), rows[i].v1 ? rows[i].v1 : "-",
			rows[i].v2 ? rows[i].v2 : "-",
			rows[i].conversion ? rows[i].conversion : "");
	buf_adds(out,
		"| memory/disableOOMKiller | memory | memory.oom_control | - | |\n"
		"| blockIO/throttle... | blkio | blkio.throttle.* | io.max | |\n"
		"| blockIO/weightDevice | blkio | blkio.bfq.weight_device | io.weight | as "
		"blockIO/weight |\n"
		"| hugepageLimits | hugetlb | hugetlb.SIZE.rsvd.limit_in_bytes | "
		"hugetlb.SIZE.rsvd.max | without rsvd before Linux 5.7 |\n"
		"| network/priorities | net_prio | net_prio.ifpriomap | - | |\n"
		"| rdma | rdma | rdma.max | rdma.max | |\n"
		"| unified | any | - | the key | the text itself |\n"
		"| devices | devices | devices.allow, devices.deny | a BPF program | later rules "
		"win |\n");
}
