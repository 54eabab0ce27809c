/* SPDX-License-Identifier: Apache-2.0 */
/* events: what runc calls so, a line of JSON each. */
#include "command.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INTERVAL_MS = 5000, LOOK_MS = 250 };

struct figures {
	struct cgroup *c;
	struct facts facts;
	struct json_out *o;
};

/* ---- numbers of cgroup files: what is not there is 0, "max" 2^64-1
 * ------------------------------------------------------------------ */

static uint64_t number_of(const char *s)
{
	return str_starts(s, "max") ? UINT64_MAX : strtoull(s, NULL, 10);
}

static uint64_t number(const struct figures *f, const char *controller, const char *file)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	return cgroup_read(f->c, controller, file, &b, NULL) ? 0 : number_of(buf_str(&b));
}

static const char *next_line(const char *s)
{
	s += strcspn(s, "\n");
	return *s ? s + 1 : s;
}

static uint64_t field(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *s = text; *s; s = next_line(s))
		if (strncmp(s, key, n) == 0 && s[n] == ' ')
			return number_of(s + n + 1);
	return 0;
}

static void put_number(
	const struct figures *f, const char *key, const char *controller, const char *file)
{
	json_put_u64(f->o, key, number(f, controller, file));
}

/* ---- the sections
 * ------------------------------------------------------------------------------------------------
 */

static void put_percpu(const struct figures *f)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	json_key(f->o, "percpu");
	json_begin_array(f->o);
	if (cgroup_read(f->c, "cpuacct", "cpuacct.usage_percpu", &b, NULL) == 0)
		for (char *s = b.data, *end; s; s = end) {
			uint64_t v = strtoull(s, &end, 10);

			if (end == s)
				break;
			json_add_u64(f->o, v);
		}
	json_end_array(f->o);
}

static void put_cpu(const struct figures *f)
{
	bool v2 = cgroup_on_v2(f->c, "cpu");
	CLEANUP_BUF struct buf stat = BUF_INIT;
	const char *text;

	cgroup_read(f->c, "cpu", "cpu.stat", &stat, NULL);
	text = buf_str(&stat);
	json_key(f->o, "cpu");
	json_begin_object(f->o);
	json_key(f->o, "usage");
	json_begin_object(f->o);
	json_put_u64(f->o, "total",
		v2 ? field(text, "usage_usec") * 1000 : number(f, "cpuacct", "cpuacct.usage"));
	put_percpu(f);
	json_put_u64(f->o, "kernel",
		v2 ? field(text, "system_usec") * 1000 : number(f, "cpuacct", "cpuacct.usage_sys"));
	json_put_u64(f->o, "user",
		v2 ? field(text, "user_usec") * 1000 : number(f, "cpuacct", "cpuacct.usage_user"));
	json_end_object(f->o);
	json_key(f->o, "throttling");
	json_begin_object(f->o);
	json_put_u64(f->o, "periods", field(text, "nr_periods"));
	json_put_u64(f->o, "throttledPeriods", field(text, "nr_throttled"));
	json_put_u64(f->o, "throttledTime",
		v2 ? field(text, "throttled_usec") * 1000 : field(text, "throttled_time"));
	json_end_object(f->o);
	json_end_object(f->o);
}

static void put_memory_entry(const struct figures *f, const char *key, const char *prefix)
{
	static const char *const members[] = { "limit", "usage", "max", "failcnt" },
				 *const files[] = { "limit_in_bytes", "usage_in_bytes",
					 "max_usage_in_bytes", "failcnt" };

	json_key(f->o, key);
	json_begin_object(f->o);
	for (size_t i = 0; prefix && i < ARRAY_LEN(files); i++) {
		CLEANUP_FREE char *file = mem_printf("%s.%s", prefix, files[i]);

		put_number(f, members[i], "memory", file);
	}
	json_end_object(f->o);
}

/* As v1 counts, which callers know: swap with memory. */
static void put_memory_v2(const struct figures *f)
{
	uint64_t now = number(f, "memory", "memory.current"),
		 limit = number(f, "memory", "memory.max"),
		 swap_limit = number(f, "memory", "memory.swap.max");
	CLEANUP_BUF struct buf events = BUF_INIT;

	cgroup_read(f->c, "memory", "memory.events", &events, NULL);
	json_key(f->o, "usage");
	json_begin_object(f->o);
	json_put_u64(f->o, "limit", limit);
	json_put_u64(f->o, "usage", now);
	put_number(f, "max", "memory", "memory.peak");
	json_put_u64(f->o, "failcnt", field(buf_str(&events), "max"));
	json_end_object(f->o);
	json_key(f->o, "swap");
	json_begin_object(f->o);
	json_put_u64(f->o, "limit",
		limit == UINT64_MAX || swap_limit == UINT64_MAX ? UINT64_MAX : limit + swap_limit);
	json_put_u64(f->o, "usage", now + number(f, "memory", "memory.swap.current"));
	json_put_u64(f->o, "max", 0);
	json_put_u64(f->o, "failcnt", 0);
	json_end_object(f->o);
}

static void put_memory(const struct figures *f)
{
	bool v2 = cgroup_on_v2(f->c, "memory");
	CLEANUP_BUF struct buf stat = BUF_INIT;

	cgroup_read(f->c, "memory", "memory.stat", &stat, NULL);
	json_key(f->o, "memory");
	json_begin_object(f->o);
	json_put_u64(f->o, "cache", field(buf_str(&stat), v2 ? "file" : "cache"));
	if (v2) {
		put_memory_v2(f);
	} else {
		put_memory_entry(f, "usage", "memory");
		put_memory_entry(f, "swap", "memory.memsw");
	}
	put_memory_entry(f, "kernel", v2 ? NULL : "memory.kmem");
	put_memory_entry(f, "kernelTCP", v2 ? NULL : "memory.kmem.tcp");
	json_key(f->o, "raw");
	json_begin_object(f->o);
	for (const char *s = buf_str(&stat); *s; s = next_line(s)) {
		CLEANUP_FREE char *key = mem_strndup(s, strcspn(s, " \n"));

		if (s[strlen(key)] == ' ')
			json_put_u64(f->o, key, number_of(s + strlen(key) + 1));
	}
	json_end_object(f->o);
	json_end_object(f->o);
}

static void put_pids(const struct figures *f)
{
	uint64_t limit = number(f, "pids", "pids.max");

	json_key(f->o, "pids");
	json_begin_object(f->o);
	put_number(f, "current", "pids", "pids.current");
	json_put_u64(f->o, "limit", limit == UINT64_MAX ? 0 : limit); /* 0: none */
	json_end_object(f->o);
}

static void put_block_entry(const struct figures *f, unsigned major, unsigned minor, const char *op,
	size_t len, uint64_t value)
{
	json_begin_object(f->o);
	json_put_u64(f->o, "major", major);
	json_put_u64(f->o, "minor", minor);
	json_key(f->o, "op");
	json_add_bytes(f->o, op, len);
	json_put_u64(f->o, "value", value);
	json_end_object(f->o);
}

/* v1: "8:0 Read 4096" a line, at last "Total 4096". */
static void put_block_v1(const struct figures *f, const char *file)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	cgroup_read(f->c, "blkio", file, &b, NULL);
	for (const char *s = buf_str(&b); *s; s = next_line(s)) {
		unsigned major, minor;
		int op = 0, end = 0;
		unsigned long long value;

		if (sscanf(s, "%u:%u %n%*s%n %llu", &major, &minor, &op, &end, &value) == 3)
			put_block_entry(f, major, minor, s + op, (size_t)(end - op), value);
	}
}

/* v2: "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 ..." a line. */
static void put_block_v2(const struct figures *f, const char *const keys[2])
{
	static const char *const ops[] = { "Read", "Write" };
	CLEANUP_BUF struct buf b = BUF_INIT;

	cgroup_read(f->c, "io", "io.stat", &b, NULL);
	for (const char *s = buf_str(&b); *s; s = next_line(s)) {
		CLEANUP_FREE char *line = mem_strndup(s, strcspn(s, "\n"));
		unsigned major, minor;

		if (sscanf(line, "%u:%u ", &major, &minor) != 2)
			continue;
		for (size_t i = 0; i < 2; i++) {
			const char *at = strstr(line, keys[i]);

			if (at)
				put_block_entry(f, major, minor, ops[i], strlen(ops[i]),
					number_of(at + strlen(keys[i])));
		}
	}
}

static void put_block(const struct figures *f)
{
	static const struct {
		const char *member, *v1, *v2[2];
	} rows[] = {
		{ "ioServiceBytesRecursive", "blkio.throttle.io_service_bytes_recursive",
			{ " rbytes=", " wbytes=" } },
		{ "ioServicedRecursive", "blkio.throttle.io_serviced_recursive",
			{ " rios=", " wios=" } },
		{ "ioQueueRecursive", "blkio.bfq.io_queued_recursive", { NULL, NULL } },
		{ "ioServiceTimeRecursive", "blkio.bfq.io_service_time_recursive", { NULL, NULL } },
		{ "ioWaitTimeRecursive", "blkio.bfq.io_wait_time_recursive", { NULL, NULL } },
		{ "ioMergedRecursive", "blkio.bfq.io_merged_recursive", { NULL, NULL } },
		{ "ioTimeRecursive", "blkio.bfq.time_recursive", { NULL, NULL } },
		{ "sectorsRecursive", "blkio.bfq.sectors_recursive", { NULL, NULL } },
	};
	bool v2 = cgroup_on_v2(f->c, "io");

	json_key(f->o, "blkio");
	json_begin_object(f->o);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_key(f->o, rows[i].member);
		json_begin_array(f->o);
		if (!v2)
			put_block_v1(f, rows[i].v1);
		else if (rows[i].v2[0])
			put_block_v2(f, rows[i].v2);
		json_end_array(f->o);
	}
	json_end_object(f->o);
}

static void put_huge_pages(const struct figures *f)
{
	bool v2 = cgroup_on_v2(f->c, "hugetlb");

	json_key(f->o, "hugetlb");
	json_begin_object(f->o);
	for (size_t i = 0; i < f->facts.npage_sizes; i++) {
		const char *size = f->facts.page_sizes[i];
		CLEANUP_FREE char *usage =
			mem_printf("hugetlb.%s.%s", size, v2 ? "current" : "usage_in_bytes");
		CLEANUP_FREE char *most = mem_printf("hugetlb.%s.max_usage_in_bytes", size);
		CLEANUP_FREE char *failed =
			mem_printf("hugetlb.%s.%s", size, v2 ? "events" : "failcnt");
		CLEANUP_BUF struct buf b = BUF_INIT;

		cgroup_read(f->c, "hugetlb", failed, &b, NULL);
		json_key(f->o, size);
		json_begin_object(f->o);
		put_number(f, "usage", "hugetlb", usage);
		json_put_u64(f->o, "max", v2 ? 0 : number(f, "hugetlb", most));
		json_put_u64(
			f->o, "failcnt", v2 ? field(buf_str(&b), "max") : number_of(buf_str(&b)));
		json_end_object(f->o);
	}
	json_end_object(f->o);
}

/* ---- lines
 * -------------------------------------------------------------------------------------------------
 */

static void say(struct buf *b)
{
	buf_addc(b, '\n');
	print(b);
	fflush(stdout);
}

static void begin_line(struct json_out *o, const char *type, const char *id)
{
	json_begin_object(o);
	json_put_string(o, "type", type);
	json_put_string(o, "id", id);
}

static void say_stats(const struct figures *of, const char *id)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct figures f = *of;

	f.o = &o;
	begin_line(&o, "stats", id);
	json_key(&o, "data");
	json_begin_object(&o);
	put_cpu(&f);
	put_memory(&f);
	put_pids(&f);
	put_block(&f);
	put_huge_pages(&f);
	json_key(&o, "intel_rdt");
	json_begin_object(&o);
	json_end_object(&o);
	json_key(&o, "network_interfaces");
	json_begin_array(&o);
	json_end_array(&o);
	json_end_object(&o);
	json_end_object(&o);
	say(&b);
}

static void say_oom(const char *id)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	begin_line(&o, "oom", id);
	json_end_object(&o);
	say(&b);
}

static uint64_t oom_kills(const struct figures *f)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	cgroup_read(f->c, "memory",
		cgroup_on_v2(f->c, "memory") ? "memory.events" : "memory.oom_control", &b, NULL);
	return field(buf_str(&b), "oom_kill");
}

/* Until the container has ended, or nobody reads. The count stays with the cgroup: none is missed.
 */
static void follow(const struct figures *f, const char *id, int init, uint64_t interval)
{
	uint64_t known = oom_kills(f), now;
	deadline next = deadline_in_ms(interval);
	bool ended = false;

	while (!ended && !ferror(stdout)) {
		ended = poll_one(
			init, POLLIN, deadline_in_ms(interval < LOOK_MS ? interval : LOOK_MS));
		for (now = oom_kills(f); known < now; known++)
			say_oom(id);
		if (!ended && deadline_passed(next)) {
			say_stats(f, id);
			next = deadline_in_ms(interval);
		}
	}
}

static int open_figures(struct figures *f, const struct record *r, int *init, struct kerr *e)
{
	if (!r->runs)
		return kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running");
	if (*r->cgroup == '\0')
		return kerr_fail(e, KERR_WRONG_STATE, 0, "container %s has no cgroup", r->id);
	*init = pidfd_open_known(r->pid, r->start_time, e);
	return *init < 0 || facts_read(&f->facts, e) || cgroup_open(r->cgroup, &f->c, e) ? -1 : 0;
}

int cmd_events(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct figures f = { 0 };
	uint64_t interval = INTERVAL_MS;
	struct record r;
	CLEANUP_FD int dir = -1;
	CLEANUP_FD int init = -1;
	int rc;

	(void)argc;
	if (o->interval && (str_to_ms(o->interval, &interval) || interval == 0))
		return kerr_fail(e, KERR_USAGE, 0, "--interval takes a time such as 5s");
	dir = container_open(o, argv[0], &r, e);
	if (dir < 0)
		return -1;
	rc = open_figures(&f, &r, &init, e);
	if (rc == 0) {
		if (o->stats)
			say_stats(&f, r.id);
		else
			follow(&f, r.id, init, interval);
	}
	cgroup_free(f.c);
	facts_free(&f.facts);
	record_free(&r);
	return rc;
}
