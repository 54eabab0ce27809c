/* SPDX-License-Identifier: Apache-2.0 */
/* update: new limits for a container that is there. */
#include "command.h"
#include <stdlib.h>
#include <string.h>

enum { RESOURCES_BYTES = 1 << 20, SYSTEMD_MS = 25000 };

const struct limit_flag update_limits[LIMIT_FLAGS] = {
	{ "memory", "memory", "limit", LIMIT_BYTES, "limit of memory; -1 lifts that of swap, too",
		NULL },
	{ "memory-reservation", "memory", "reservation", LIMIT_BYTES, "soft limit of memory",
		NULL },
	{ "memory-swap", "memory", "swap", LIMIT_BYTES, "limit of memory and swap together", NULL },
	{ "kernel-memory", NULL, NULL, LIMIT_BYTES, "accepted and passed over", NULL },
	{ "kernel-memory-tcp", NULL, NULL, LIMIT_BYTES, "accepted and passed over", NULL },
	{ "cpu-period", "cpu", "period", LIMIT_NUMBER, "period of the quota, in microseconds",
		NULL },
	{ "cpu-quota", "cpu", "quota", LIMIT_NUMBER, "CPU time in a period, in microseconds",
		NULL },
	{ "cpu-burst", "cpu", "burst", LIMIT_NUMBER, "quota that may be saved up", NULL },
	{ "cpu-share", "cpu", "shares", LIMIT_NUMBER, "weight against others", NULL },
	{ "cpu-rt-period", "cpu", "realtimePeriod", LIMIT_NUMBER, "period of real time", NULL },
	{ "cpu-rt-runtime", "cpu", "realtimeRuntime", LIMIT_NUMBER, "real time in a period", NULL },
	{ "cpu-idle", "cpu", "idle", LIMIT_NUMBER, "1: runs when nothing else does", NULL },
	{ "cpuset-cpus", "cpu", "cpus", LIMIT_WORDS, "CPUs it may run on", NULL },
	{ "cpuset-mems", "cpu", "mems", LIMIT_WORDS, "memory nodes it may use", NULL },
	{ "pids-limit", "pids", "limit", LIMIT_NUMBER, "how many tasks; -1: no limit", NULL },
	{ "blkio-weight", "blockIO", "weight", LIMIT_NUMBER, "weight of block I/O", NULL },
	{ "l3-cache-schema", NULL, NULL, LIMIT_WORDS, "not carried out by this version",
		"Intel RDT" },
	{ "mem-bw-schema", NULL, NULL, LIMIT_WORDS, "not carried out by this version",
		"Intel RDT" },
};

static int put_limit(
	struct json_out *out, const struct limit_flag *f, const char *value, struct kerr *e)
{
	uint64_t bytes;
	int64_t number;

	if (f->refused)
		return kerr_fail(e, KERR_UNSUPPORTED, 0,
			"--%s: %s is not carried out by this version", f->flag, f->refused);
	if (f->member == NULL)
		return 0;
	json_key(out, f->member);
	if (f->form == LIMIT_WORDS)
		json_add_string(out, value);
	else if (str_to_i64(value, &number) == 0)
		json_add_i64(out, number);
	else if (f->form == LIMIT_BYTES && str_to_bytes(value, &bytes) == 0)
		json_add_u64(out, bytes);
	else
		return kerr_fail(e, KERR_USAGE, 0, "--%s takes %s, not '%.60s'", f->flag,
			f->form == LIMIT_BYTES ? "a size" : "a number", value);
	return 0;
}

/* As the object that --resources would bring, so that there is one way from here. */
static int resources_of_flags(const struct options *o, struct buf *text, struct kerr *e)
{
	struct json_out out = JSON_OUT(text);
	const char *section = NULL;

	json_begin_object(&out);
	for (size_t i = 0; i < LIMIT_FLAGS; i++) {
		const struct limit_flag *f = &update_limits[i];

		if (o->limit[i] == NULL)
			continue;
		if (f->section && !str_eq(section, f->section)) {
			if (section)
				json_end_object(&out);
			section = f->section;
			json_key(&out, section);
			json_begin_object(&out);
		}
		if (put_limit(&out, f, o->limit[i], e))
			return -1;
	}
	if (section)
		json_end_object(&out);
	json_end_object(&out);
	return 0;
}

static int resources_of_file(const char *file, struct buf *text, struct kerr *e)
{
	CLEANUP_FD int fd = -1;

	if (str_eq(file, "-"))
		return fd_read_all(0, RESOURCES_BYTES, text, e);
	fd = path_host(AT_FDCWD, file, O_RDONLY, e);
	return fd < 0 ? -1 : fd_read_all(fd, RESOURCES_BYTES, text, e);
}

static bool read_words(struct cgroup *c, const char *controller, const char *file, struct buf *out)
{
	buf_reset(out);
	return cgroup_read(c, controller, file, out, NULL) == 0 && out->len;
}

/* What stands in one file of the kernel's is one value to it: the half that was not given is as it
 * is now. And without a limit of memory there is none of memory and swap. */
static void fill_in(struct cgroup *c, const struct facts *f, struct oci_resources *r)
{
	bool v2 = f->cgroup_layout == CGROUP_V2;
	CLEANUP_BUF struct buf now = BUF_INIT;
	char *end;

	if (r->memory.limit.set && r->memory.limit.v == -1 && !r->memory.swap.set &&
		read_words(
			c, "memory", v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", &now))
		r->memory.swap = (struct opt_i64) { -1, true };
	if (!v2)
		return;
	if (r->memory.swap.set && r->memory.swap.v > 0 && !r->memory.limit.set &&
		read_words(c, "memory", "memory.max", &now) && !str_starts(buf_str(&now), "max"))
		r->memory.limit = (struct opt_i64) { strtoll(buf_str(&now), NULL, 10), true };
	if (r->cpu.quota.set == r->cpu.period.set || !read_words(c, "cpu", "cpu.max", &now))
		return;
	if (str_starts(buf_str(&now), "max")) {
		if (!r->cpu.quota.set)
			r->cpu.quota = (struct opt_i64) { -1, true };
		end = now.data + 3;
	} else {
		int64_t quota = strtoll(buf_str(&now), &end, 10);

		if (!r->cpu.quota.set)
			r->cpu.quota = (struct opt_i64) { quota, true };
	}
	if (!r->cpu.period.set)
		r->cpu.period = (struct opt_u64) { strtoull(end, NULL, 10), true };
}

/* Else it would set the old ones again one day. */
static int tell_systemd(struct job *j, const struct record *r, struct kerr *e)
{
	const struct systemd_property *v;
	size_t n;

	if (*r->scope == '\0')
		return 0;
	plan_scope_properties(j->a, &j->spec.linux_.resources, &j->facts, &v, &n);
	return systemd_set_properties(r->scope, r->user_scope, v, n, deadline_in_ms(SYSTEMD_MS), e);
}

static int update(struct job *j, struct options *o, const struct record *r, struct kerr *e)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct oci_resources *res = &j->spec.linux_.resources;
	struct cgroup *c = NULL;
	int rc;

	if (!r->runs)
		return kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running");
	if (*r->cgroup == '\0')
		return kerr_fail(e, KERR_WRONG_STATE, 0, "container %s has no cgroup", r->id);
	if ((o->resources ? resources_of_file(o->resources, &text, e)
			  : resources_of_flags(o, &text, e)) ||
		spec_parse_resources(j->a, buf_str(&text), text.len, res, e) ||
		facts_read(&j->facts, e) || cgroup_open(r->cgroup, &c, e))
		return -1;
	fill_in(c, &j->facts, res);
	rc = plan_update(j->a, &j->spec, &j->facts, &j->plan, e) ||
			     container_update(c, &j->plan, e) || tell_systemd(j, r, e)
		     ? -1
		     : 0;
	cgroup_free(c);
	return rc;
}

int cmd_update(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct record r;
	CLEANUP_FD int dir = container_lock(o, argv[0], &r, e);
	struct job j;
	int rc;

	(void)argc;
	if (dir < 0)
		return -1;
	job_init(&j);
	rc = update(&j, o, &r, e);
	job_free(&j);
	record_free(&r);
	return rc;
}
