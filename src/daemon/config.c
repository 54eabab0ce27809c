/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- the configuration file: one table reads it, prints it and documents it ----------------------------------- */

enum kind { C_STRING, C_NUMBER, C_BOOL, C_WORDS };
static const struct row {
	const char *key;
	enum kind kind;
	size_t offset;
	uint64_t min, max;
	const char *doc;
} rows[] = {
	{ "cgroupParent", C_STRING, offsetof(struct config, cgroup_parent), 0, 0, "where containers without cgroupsPath go" },
	{ "executors", C_NUMBER, offsetof(struct config, pool), 0, 64, "pairs started ahead; 0 switches the pool off" },
	{ "stopTimeoutMs", C_NUMBER, offsetof(struct config, stop_timeout_ms), 0, 86400000, "between the stop signal and the kill" },
	{ "logMaxSize", C_NUMBER, offsetof(struct config, log_max_size), 65536, 1ull << 40, "bytes of one log file" },
	{ "logMaxFiles", C_NUMBER, offsetof(struct config, log_max_files), 1, 100, "files of one log" },
	{ "filterCache", C_BOOL, offsetof(struct config, cache), 0, 0, "keep compiled seccomp programs" },
	{ "operate", C_WORDS, offsetof(struct config, operate_groups), 0, 0, "groups that may operate: root in all but name" },
	{ "observe", C_WORDS, offsetof(struct config, observe_groups), 0, 0, "groups that may observe" },
};

static void defaults(struct config *c)
{
	c->cgroup_parent = "/kapsel";
	c->pool = 2;
	c->stop_timeout_ms = 10000;
	c->log_max_size = 16u << 20;
	c->log_max_files = 4;
	c->cache = true;
	c->operate_groups = (char *)(uintptr_t)"";
	c->observe_groups = (char *)(uintptr_t)"kapsel";
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		c->origin[i] = "default";
}

static void add_words(struct config *c, const struct json *v, char **out, struct kerr *report)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct kerr one = KERR_INIT;

	if (v->type != JSON_ARRAY) {
		json_fail(&one, KERR_CONFIG_TYPE, v, "is %s, and must be an array", json_type_name(v->type));
		kerr_add(report, &one);
		return;
	}
	json_each(item, v) {
		const char *s;

		if (json_string(item, &s, &one))
			kerr_add(report, &one);
		else
			buf_addf(&b, "%s%s", b.len ? ", " : "", s);
	}
	*out = arena_strdup(c->a, buf_str(&b));
}

static void read_row(struct config *c, const struct row *r, const struct json *v, struct kerr *report)
{
	void *to = (char *)c + r->offset;
	struct kerr one = KERR_INIT;
	int rc = 0;

	if (r->kind == C_STRING)
		rc = json_string(v, to, &one);
	else if (r->kind == C_NUMBER)
		rc = json_u64(v, r->min, r->max, to, &one);
	else if (r->kind == C_BOOL)
		rc = json_bool(v, to, &one);
	else
		add_words(c, v, to, report);
	if (rc == 0 && r->kind == C_STRING && (*(const char **)to)[0] != '/')
		rc = json_fail(&one, KERR_CONFIG_VALUE, v, "must begin with /");
	if (rc)
		kerr_add(report, &one);
	c->origin[r - rows] = "file";
}

static const struct row *row_of(const char *key, const char **near)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].key, key) == 0)
			return &rows[i];
		if (str_distance(rows[i].key, key, 2) <= 2)
			*near = rows[i].key;
	}
	return NULL;
}

int config_load(struct daemon *d, struct config *out, struct kerr *e)
{
	CLEANUP_FD int fd = -1;
	CLEANUP_BUF struct buf text = BUF_INIT;
	const struct json *root;

	defaults(out);
	if (d->config_file == NULL)
		return 0;
	fd = path_host(AT_FDCWD, d->config_file, O_RDONLY, e);
	if (fd < 0 || fd_read_all(fd, 1 << 20, &text, e))
		return -1;
	root = json_parse(out->a, buf_str(&text), text.len, NULL, e);
	if (root == NULL)
		return kerr_step(e, "%s", d->config_file);
	if (root->type != JSON_OBJECT)
		return json_fail(e, KERR_CONFIG_TYPE, root, "must be an object");
	json_each(member, root) {
		const char *near = NULL;
		const struct row *r = row_of(member->key, &near);
		struct kerr one = KERR_INIT;

		if (r) {
			read_row(out, r, member, e);
			continue;
		}
		json_fail(&one, KERR_CONFIG_UNKNOWN, member, "unknown key '%.60s'%s%s%s", member->key, near ? ": did you mean '" : "",
			near ? near : "", near ? "'?" : "");
		kerr_add(e, &one);
	}
	return kerr_is_set(e) ? -1 : 0;
}

void config_print(const struct config *c, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const void *at = (const char *)c + rows[i].offset;

		buf_addf(out, "%-16s ", rows[i].key);
		if (rows[i].kind == C_NUMBER)
			buf_addf(out, "%-24llu", (unsigned long long)*(const uint64_t *)at);
		else if (rows[i].kind == C_BOOL)
			buf_addf(out, "%-24s", *(const bool *)at ? "true" : "false");
		else
			buf_addf(out, "%-24s", *(const char *const *)at);
		buf_addf(out, " %-8s %s\n", c->origin[i], rows[i].doc);
	}
}

/* ---- the node ------------------------------------------------------------------------------------------------------ */

struct finding { const char *name, *found, *means; bool ok, needed; };

static void tell(const struct finding *f, struct json_out *o, struct buf *text)
{
	if (o) {
		json_begin_object(o);
		json_put_string(o, "name", f->name);
		json_put_string(o, "verdict", f->ok ? "ok" : f->needed ? "missing" : "degraded");
		json_put_string(o, "found", f->found);
		if (!f->ok)
			json_put_string(o, "means", f->means);
		json_end_object(o);
	}
	if (text)
		buf_addf(text, "%-9s %-22s %s%s%s\n", f->ok ? "ok" : f->needed ? "missing" : "degraded", f->name, f->found,
			f->ok ? "" : ": ", f->ok ? "" : f->means);
}

static bool file_there(const char *path)
{
	CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_PATH, NULL);

	return fd >= 0;
}

int node_check(struct daemon *d, struct json_out *o, struct buf *text)
{
	enum cgroup_layout layout = CGROUP_NONE;
	struct cgroup_controllers there = { 0, 0 };
	struct utsname u;
	unsigned major = 0, minor = 0;
	int missing = 0;

	(void)d;
	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	cgroup_detect(&layout, &there, NULL);
	bool new_enough = major > 5 || (major == 5 && minor >= 12);
	uint32_t both = there.v1 | there.v2;
	const struct finding findings[] = {
		{ "kernel", u.release, "Kapsel needs Linux 5.12: openat2, clone3, mount_setattr", new_enough, true },
		{ "root", geteuid() == 0 ? "yes" : "no", "only root starts containers for others", geteuid() == 0, true },
		{ "cgroup layout", cgroup_layout_name(layout), "without cgroups no limit and no figure", layout != CGROUP_NONE, true },
		{ "memory controller", both >> CG_MEMORY & 1 ? "there" : "absent", "memory limits are refused", both >> CG_MEMORY & 1, false },
		{ "pids controller", both >> CG_PIDS & 1 ? "there" : "absent", "pids limits are refused", both >> CG_PIDS & 1, false },
		{ "cpu controller", both >> CG_CPU & 1 ? "there" : "absent", "cpu limits are refused", both >> CG_CPU & 1, false },
		{ "user namespaces", file_there("/proc/self/ns/user") ? "there" : "absent", "bundles with id maps are refused", file_there("/proc/self/ns/user"), false },
		{ "time namespaces", file_there("/proc/self/ns/time") ? "there" : "absent", "bundles with time offsets are refused", file_there("/proc/self/ns/time"), false },
		{ "seccomp", file_there("/proc/sys/kernel/seccomp/actions_avail") ? "there" : "absent", "bundles with a filter are refused",
			file_there("/proc/sys/kernel/seccomp/actions_avail"), false },
		{ "overlay", file_there("/sys/module/overlay") ? "there" : "not loaded", "--volatile may have to load it", file_there("/sys/module/overlay"), false },
	};

	for (size_t i = 0; i < ARRAY_LEN(findings); i++) {
		tell(&findings[i], o, text);
		missing += !findings[i].ok && findings[i].needed;
	}
	return missing;
}
