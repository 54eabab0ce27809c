/* SPDX-License-Identifier: Apache-2.0 */
/* What changes nothing: check, plan, spec, features, facts, and the tables for the documentation.
 */
#include "command.h"
#include <stdio.h>

enum { CONFIG_BYTES = 4 << 20 };

/* ---- judging
 * ------------------------------------------------------------------------------------------------------
 */

static void report_json(const struct kerr *e, const struct kerr *warnings)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT_PRETTY(&b);

	json_begin_object(&o);
	json_put_bool(&o, "acceptable", !kerr_is_set(e));
	json_key(&o, "faults");
	json_begin_array(&o);
	for (size_t i = 0; kerr_is_set(e) && i <= e->nfaults; i++) {
		struct kerr one = i ? e->faults[i - 1] : *e;

		one.nfaults = 0;
		json_begin_object(&o);
		json_put_kerr(&o, &one);
		json_end_object(&o);
	}
	json_end_array(&o);
	json_key(&o, "warnings");
	json_begin_array(&o);
	for (size_t i = 0; kerr_is_set(warnings) && i <= warnings->nfaults; i++) {
		struct kerr one = i ? warnings->faults[i - 1] : *warnings;

		one.nfaults = 0;
		json_begin_object(&o);
		json_put_kerr(&o, &one);
		json_end_object(&o);
	}
	json_end_array(&o);
	json_end_object(&o);
	buf_addc(&b, '\n');
	print(&b);
}

static void say_warnings(const struct kerr *w)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (!kerr_is_set(w))
		return;
	for (size_t i = 0; i <= w->nfaults; i++) {
		struct kerr one = i ? w->faults[i - 1] : *w;

		one.faults = NULL;
		one.nfaults = 0;
		buf_adds(&b, "warning: ");
		kerr_text(&one, &b);
	}
	fputs(buf_str(&b), stderr);
}

static int judge(struct job *j, const struct options *o, const char *bundle, struct kerr *e)
{
	struct spec_options so = { .strict = o->strict, .warn_unknown = true };
	struct plan_options po = {
		.id = NULL, .bundle = NULL, .systemd_cgroup = uses_systemd(o), .wait_start = true
	};

	if (open_bundle(j, bundle, e) || read_facts(o, &j->facts, e))
		return -1;
	if (o->volatile_size) {
		po.volatile_root = true;
		if (str_to_bytes(o->volatile_size, &po.volatile_bytes))
			return kerr_fail(e, KERR_USAGE, 0, "--volatile takes a size");
	}
	return job_read(j, &so, NULL, e) || job_plan(j, &po, e) ? -1 : 0;
}

int cmd_check(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct job j;
	int rc;

	job_init(&j);
	rc = judge(&j, o, argc ? argv[0] : ".", e);
	if (rc == 0 && j.plan.nwarnings)
		for (size_t i = 0; i < j.plan.nwarnings; i++) {
			struct kerr copy = KERR_INIT;
			const struct kerr *w = i ? &j.plan.warning->faults[i - 1] : j.plan.warning;

			kerr_fail(&copy, w->code, w->sys, "%s", w->message);
			kerr_at(&copy, w->pointer, w->line, w->column);
			kerr_add(&j.warnings, &copy);
		}
	if (o->json) {
		report_json(e, &j.warnings);
		if (rc) {
			kerr_clear(e);
			e->code = KERR_NONE;
			job_free(&j);
			return 1;
		}
	} else {
		say_warnings(&j.warnings);
		if (rc == 0 && !o->quiet)
			printf("%s: acceptable\n", argc ? argv[0] : ".");
	}
	job_free(&j);
	return rc;
}

int read_process(struct job *j, const char *file, struct oci_process *p, struct kerr *e)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	CLEANUP_FD int fd = path_host(AT_FDCWD, file, O_RDONLY, e);

	if (fd < 0 || fd_read_all(fd, CONFIG_BYTES, &text, e))
		return kerr_step(e, "%s", file);
	return spec_parse_process(j->a, buf_str(&text), text.len, p, e);
}

int cmd_plan(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct oci_process process;
	struct job j;
	int rc;

	job_init(&j);
	rc = judge(&j, o, argc ? argv[0] : ".", e);
	if (rc == 0 && o->process)
		rc = read_process(&j, o->process, &process, e) ||
				     plan_exec(j.a, &j.spec, &process, &j.facts, NULL, &j.plan, e)
			     ? -1
			     : 0;
	if (rc == 0) {
		if (o->json)
			plan_json(&j.plan, &b);
		else
			plan_text(&j.plan, &b);
		print(&b);
	}
	job_free(&j);
	return rc;
}

int cmd_spec(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	(void)o;
	(void)argc;
	(void)argv;
	(void)e;
	spec_default(&b);
	print(&b);
	return 0;
}

int cmd_features(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	(void)o;
	(void)argc;
	(void)argv;
	(void)e;
	spec_features(&b);
	print(&b);
	return 0;
}

int cmd_facts(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct facts f;

	(void)argc;
	(void)argv;
	if (read_facts(o, &f, e))
		return -1;
	facts_json(&f, &b);
	facts_free(&f);
	print(&b);
	return 0;
}

static void print_field(void *ctx, const struct spec_field *f)
{
	(void)ctx;
	printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f->pointer, f->type, f->range,
		f->required ? "required" : "optional", f->supported ? "carried out" : "refused",
		f->doc, f->none);
}

int cmd_fields(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)o;
	(void)argc;
	(void)argv;
	(void)e;
	spec_fields(print_field, NULL);
	return 0;
}

int cmd_doc(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	size_t n;

	(void)o;
	(void)argc;
	if (str_eq(argv[0], "cgroups")) {
		plan_resources_doc(&b);
	} else if (str_eq(argv[0], "errors")) {
		for (int i = 1; i < KERR_COUNT; i++) {
			const struct kerr_row *r = kerr_row((enum kerr_code)i);

			buf_addf(&b, "%s\t%s\t%s\t%s\t%s\n", r->name, api_error_name(r->api),
				retry_name(r->retry), r->means, r->remedy);
		}
	} else if (str_eq(argv[0], "commands")) {
		doc_commands(&b);
	} else if (str_eq(argv[0], "annotations")) {
		const struct annotation_row *r = annotation_rows(&n);

		for (size_t i = 0; i < n; i++)
			buf_addf(&b, "%s\t%s\t%s\t%s\t%s\n", r[i].key, r[i].type, r[i].otherwise,
				r[i].supported ? "carried out" : "refused", r[i].doc);
	} else if (str_eq(argv[0], "operations")) {
		for (int k = 0; k < OP_COUNT; k++)
			buf_addf(&b, "%s\t%s\n", op_kind_name((enum op_kind)k),
				op_kind_read_back((enum op_kind)k));
	} else {
		return kerr_fail(
			e, KERR_USAGE, 0, "doc cgroups|errors|annotations|operations|commands");
	}
	print(&b);
	return 0;
}
