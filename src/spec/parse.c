/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"
#include <stdlib.h>
#include <string.h>

/* Faults come by field, then by meaning; people read a file from its top. */
static int by_place(const void *x, const void *y)
{
	const struct kerr *a = x, *b = y;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return strcmp(a->message, b->message); /* qsort() keeps no order of its own */
}

static void sort_faults(struct kerr *report)
{
	size_t n = report->nfaults + 1;
	struct kerr *all;

	if (report->nfaults == 0)
		return;
	all = mem_array(n, sizeof *all);
	all[0] = *report;
	all[0].faults = NULL;
	all[0].nfaults = 0;
	memcpy(all + 1, report->faults, report->nfaults * sizeof *all);
	qsort(all, n, sizeof *all, by_place);
	memcpy(report->faults, all + 1, (n - 1) * sizeof *all);
	all[0].faults = report->faults;
	all[0].nfaults = n - 1;
	*report = all[0];
	free(all);
}

static const struct json *document(struct arena *a, const char *text, size_t len, struct kerr *e)
{
	const struct json *root = json_parse(a, text, len, NULL, e);

	if (root && root->type != JSON_OBJECT) {
		json_fail(e, KERR_CONFIG_TYPE, root, "is %s, and must be an object",
			json_type_name(root->type));
		return NULL;
	}
	return root;
}

int spec_parse(struct arena *a, const char *text, size_t len, const struct spec_options *o,
	struct oci_spec *out, struct kerr *warnings, struct kerr *e)
{
	CLEANUP_ERR struct kerr unwanted = KERR_INIT;
	struct parse p = { .a = a, .o = o, .faults = e = e ? e : &unwanted, .warnings = warnings };
	const struct json *root = document(a, text, len, e);

	memset(out, 0, sizeof *out);
	if (root == NULL)
		return -1;
	table_read(&p, &config_fields, root, out);
	check_spec(&p, out);
	sort_faults(e);
	if (warnings)
		sort_faults(warnings);
	return kerr_is_set(e) ? -1 : 0;
}

int spec_parse_process(
	struct arena *a, const char *text, size_t len, struct oci_process *out, struct kerr *e)
{
	CLEANUP_ERR struct kerr unwanted = KERR_INIT;
	struct parse p = { .a = a, .faults = e = e ? e : &unwanted };
	const struct json *root = document(a, text, len, e);

	memset(out, 0, sizeof *out);
	if (root == NULL)
		return -1;
	table_read(&p, &process_fields, root, out);
	check_process(&p, out);
	if (json_get(root, "args") == NULL)
		fault(&p, KERR_CONFIG_REQUIRED, root, "'args' is missing");
	sort_faults(e);
	return kerr_is_set(e) ? -1 : 0;
}

int spec_parse_resources(
	struct arena *a, const char *text, size_t len, struct oci_resources *out, struct kerr *e)
{
	CLEANUP_ERR struct kerr unwanted = KERR_INIT;
	struct parse p = { .a = a, .faults = e = e ? e : &unwanted };
	const struct json *root = document(a, text, len, e);

	memset(out, 0, sizeof *out);
	if (root == NULL)
		return -1;
	table_read(&p, &resources_fields, root, out);
	check_resources(&p, out);
	sort_faults(e);
	return kerr_is_set(e) ? -1 : 0;
}

/* ---- what the command line changes
 * ------------------------------------------------------------------ */

static size_t name_length(const char *env)
{
	return strcspn(env, "=");
}

static void set_env(struct arena *a, struct oci_process *process, char **env, size_t n)
{
	const char **merged = arena_array(a, process->env.n + n, sizeof *merged);
	size_t m = process->env.n;

	if (m)
		memcpy(merged, process->env.v, m * sizeof *merged);
	for (size_t i = 0; i < n; i++) {
		size_t at = 0, len = name_length(env[i]);

		while (at < m &&
			(name_length(merged[at]) != len || memcmp(merged[at], env[i], len) != 0))
			at++;
		merged[at] = arena_strdup(a, env[i]);
		m += at == m;
	}
	process->env.v = merged;
	process->env.n = m;
}

static int set_user(struct oci_process *process, const char *text, struct kerr *e)
{
	CLEANUP_FREE char *copy = mem_strdup(text);
	char *colon = strchr(copy, ':');
	uint64_t uid, gid;

	if (colon)
		*colon = '\0';
	if (str_to_u64(copy, &uid) || uid >= UINT32_MAX)
		return kerr_fail(
			e, KERR_CONFIG_VALUE, 0, "user '%.60s': ids are numbers, UID[:GID]", text);
	gid = process->user.gid;
	if (colon && (str_to_u64(colon + 1, &gid) || gid >= UINT32_MAX))
		return kerr_fail(
			e, KERR_CONFIG_VALUE, 0, "user '%.60s': ids are numbers, UID[:GID]", text);
	process->user.uid = uid;
	process->user.gid = gid;
	return 0;
}

int spec_override(
	struct arena *a, struct oci_spec *s, const struct spec_override *o, struct kerr *e)
{
	struct oci_process *process = &s->process;

	if (o->nargs) {
		process->args.v = arena_array(a, o->nargs, sizeof *process->args.v);
		for (size_t i = 0; i < o->nargs; i++)
			process->args.v[i] = arena_strdup(a, o->args[i]);
		process->args.n = o->nargs;
	}
	for (size_t i = 0; i < o->nenv; i++)
		if (strchr(o->env[i], '=') == NULL || o->env[i][0] == '=')
			return kerr_fail(e, KERR_CONFIG_UNSAFE, 0,
				"environment entry %zu is not NAME=VALUE", i);
	if (o->nenv)
		set_env(a, process, o->env, o->nenv);
	if (o->cwd && o->cwd[0] != '/')
		return kerr_fail(e, KERR_CONFIG_VALUE, 0,
			"the working directory '%.200s' must be an absolute path", o->cwd);
	if (o->cwd)
		process->cwd = arena_strdup(a, o->cwd);
	if (o->terminal)
		process->terminal = o->terminal > 0;
	return o->user ? set_user(process, o->user, e) : 0;
}
