/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of the tables: a value of the wrong type, one beyond each end, one that is no name is
 * named with its place; what the tables print of themselves; what the command line may change. */
#include "../test.h"
#include <kapsel/spec.h>
#include <stdlib.h>
#include <string.h>

/* A configuration that holds nothing but @value at @pointer of the tables ("-" and "*" are one
 * entry). @at gets the pointer within it. */
static void nest(struct buf *out, struct buf *at, const char *pointer, const char *value)
{
	const char *next = strchr(pointer + 1, '/');
	int len = next ? (int)(next - pointer) : (int)strlen(pointer);
	bool item = len == 2 && pointer[1] == '-', entry = len == 2 && pointer[1] == '*';

	if (item)
		buf_adds(out, "[");
	else
		buf_addf(out, "{\"%.*s\": ", entry ? 1 : len - 1, entry ? "k" : pointer + 1);
	buf_addf(at, "/%.*s", item || entry ? 1 : len - 1, item ? "0" : entry ? "k" : pointer + 1);
	if (next)
		nest(out, at, next, value);
	else
		buf_adds(out, value);
	buf_adds(out, item ? "]" : "}");
}

/* The code of the fault at the field itself; KERR_NONE: none there. */
static enum kerr_code judge(const char *pointer, const char *value)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf text = BUF_INIT, at = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct spec_options o = { 0 };
	struct oci_spec s;

	nest(&text, &at, pointer, value);
	if (spec_parse(a, text.data, text.len, &o, &s, NULL, &e) == 0)
		return KERR_NONE;
	for (size_t i = 0; i <= e.nfaults; i++) {
		const struct kerr *one = i ? &e.faults[i - 1] : &e;

		if (str_eq(one->pointer, at.data) && one->line == 1)
			return one->code;
	}
	return KERR_NONE;
}

static bool is(const struct spec_field *f, const char *type)
{
	return strcmp(f->type, type) == 0;
}

static unsigned walked;

static void expect(const struct spec_field *f, const char *value, enum kerr_code code)
{
	enum kerr_code got = judge(f->pointer, value);

	walked++;
	if (got != code)
		fail_msg("%s: %.60s: %s, wanted %s", f->pointer, value,
			got ? kerr_row(got)->name : "no fault",
			code ? kerr_row(code)->name : "none");
}

static void wrong_type(void *ctx, const struct spec_field *f)
{
	if (!f->supported) {
		expect(f, "[1]", KERR_UNSUPPORTED);
		expect(f, "[]", KERR_NONE);
		return;
	}
	if (is(f, "any"))
		return;
	expect(f, "null", KERR_CONFIG_TYPE);
	expect(f, is(f, "bool") ? "1" : "true", KERR_CONFIG_TYPE);
	expect(f, is(f, "string") || is(f, "absolute path") || is(f, "name") ? "7" : "\"7\"",
		KERR_CONFIG_TYPE);
	expect(f, strstr(f->type, "object") || strstr(f->type, "map") || is(f, "any") ? "[]" : "{}",
		KERR_CONFIG_TYPE);
}

static void each_field_of_a_wrong_type_is_named(void **state)
{
	walked = 0;
	spec_fields(wrong_type, NULL);
	assert_true(walked > 700);
}

static void beyond_its_ends(void *ctx, const struct spec_field *f)
{
	char *end = NULL;
	long long low;
	unsigned long long high;
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (!is(f, "number"))
		return;
	low = strtoll(f->range, &end, 10);
	assert_true(str_starts(end, " to "));
	high = strtoull(end + 4, NULL, 10);
	expect(f, "1.5", KERR_CONFIG_TYPE);
	expect(f, "-99999999999999999999", KERR_CONFIG_RANGE);
	expect(f, "99999999999999999999", KERR_CONFIG_RANGE);
	if (low > INT64_MIN) {
		buf_addf(&b, "%lld", low - 1);
		expect(f, b.data, KERR_CONFIG_RANGE);
	}
	if (high < INT64_MAX) {
		buf_reset(&b);
		buf_addf(&b, "%llu", high + 1);
		expect(f, b.data, KERR_CONFIG_RANGE);
	}
}

static void each_number_beyond_its_ends_is_named(void **state)
{
	walked = 0;
	spec_fields(beyond_its_ends, NULL);
	assert_true(walked > 200);
}

/* HARDENING D19: whole, or refused; never cut. */
static void too_long(void *ctx, const struct spec_field *f)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	enum kerr_code code;

	if (!is(f, "string") && !is(f, "absolute path"))
		return;
	buf_adds(&b, "\"/");
	while (b.len < 65536)
		buf_addc(&b, 'x');
	buf_adds(&b, "\"");
	code = judge(f->pointer, b.data); /* 65,535 bytes: whatever its meaning, not its length */
	assert_true(code != KERR_CONFIG_RANGE && code != KERR_CONFIG_TYPE);
	b.data[b.len - 1] = 'x';
	buf_adds(&b, "\"");
	expect(f, b.data, KERR_CONFIG_RANGE);
}

static void each_string_of_65536_bytes_is_refused(void **state)
{
	walked = 0;
	spec_fields(too_long, NULL);
	assert_true(walked > 15);
}

static void no_name(void *ctx, const struct spec_field *f)
{
	const char *end = strchr(f->range, '|');
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (!is(f, "name"))
		return;
	assert_non_null(end);
	expect(f, "\"NO_SUCH_NAME\"", KERR_CONFIG_VALUE);
	expect(f, "\"\"", KERR_CONFIG_VALUE);
	buf_addf(&b, "\"%.*s\"", (int)(end - f->range), f->range);
	walked++;
	assert_int_not_equal(judge(f->pointer, b.data), KERR_CONFIG_TYPE);
	b.data[b.len - 1] = ' ';
	buf_adds(&b, "\"");
	expect(f, b.data, KERR_CONFIG_VALUE);
}

static void each_name_that_is_none_is_named(void **state)
{
	walked = 0;
	spec_fields(no_name, NULL);
	assert_true(walked > 30);
}

struct seen {
	char *pointer[400];
	size_t n;
};

static void unique(void *ctx, const struct spec_field *f)
{
	struct seen *s = ctx;

	for (size_t i = 0; i < s->n; i++)
		assert_string_not_equal(s->pointer[i], f->pointer);
	assert_true(s->n < ARRAY_LEN(s->pointer));
	s->pointer[s->n++] = mem_strdup(f->pointer);
	assert_true(f->doc && *f->doc);
	assert_true(f->supported || *f->none);
}

static void the_tables_have_no_field_twice_and_document_each(void **state)
{
	struct seen s = { 0 };

	spec_fields(unique, &s);
	assert_true(s.n > 200);
	for (size_t i = 0; i < s.n; i++)
		free(s.pointer[i]);
}

/* ---- what the tables print ---------------------------------------------------------------------
 */

static void the_default_configuration_has_no_fault_and_no_warning(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT, w = KERR_INIT;
	struct spec_options o = { .strict = true, .need_process = true };
	struct oci_spec s;

	spec_default(&b);
	assert_int_equal(spec_parse(a, b.data, b.len, &o, &s, &w, &e), 0);
	assert_false(kerr_is_set(&w));
	assert_true(s.has_process);
}

static void features_list_what_the_tables_read(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct json *root, *linux_, *options;
	const char *last = "";

	spec_features(&b);
	root = json_parse(a, b.data, b.len, NULL, &e);
	assert_non_null(root);
	linux_ = json_get(root, "linux");
	assert_int_equal(json_get(root, "hooks")->n, OCI_HOOK_COUNT);
	assert_int_equal(json_get(linux_, "namespaces")->n, OCI_NS_COUNT);
	assert_int_equal(json_get(linux_, "capabilities")->n, OCI_CAPABILITIES);
	assert_int_equal(json_get(json_get(linux_, "seccomp"), "operators")->n, 7);
	options = json_get(root, "mountOptions");
	assert_true(options->n > 50);
	json_each(item, options)
	{
		assert_true(strcmp(last, item->text) < 0);
		last = item->text;
	}
}

static void annotations_are_checked_by_their_rows(void **state)
{
	static const struct {
		const char *key, *value;
		enum kerr_code code;
	} rows[] = {
		{ "io.kapsel.stop-signal", "TERM", KERR_NONE },
		{ "io.kapsel.stop-signal", "SIGNOT", KERR_CONFIG_VALUE },
		{ "io.kapsel.stop-timeout", "1m30s", KERR_NONE },
		{ "io.kapsel.stop-timeout", "soon", KERR_CONFIG_VALUE },
		{ "io.kapsel.log.driver", "none", KERR_NONE },
		{ "io.kapsel.log.driver", "cri", KERR_NONE },
		{ "io.kapsel.log.driver", "syslog", KERR_CONFIG_VALUE },
		{ "io.kapsel.log.max-size", "1m", KERR_NONE },
		{ "io.kapsel.log.max-size", "4095", KERR_CONFIG_VALUE },
		{ "io.kapsel.log.max-files", "3", KERR_NONE },
		{ "io.kapsel.log.max-files", "0", KERR_CONFIG_VALUE },
		{ "io.kapsel.log.max-files", "101", KERR_CONFIG_VALUE },
		{ "io.kapsel.restart", "always", KERR_UNSUPPORTED },
		{ "io.kapsel.stop-signol", "TERM", KERR_CONFIG_UNKNOWN },
		{ "io.kapsel.no-such-thing-at-all", "x", KERR_CONFIG_UNKNOWN },
	};
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		int rc = annotation_check(rows[i].key, rows[i].value, &e);

		assert_int_equal(rc, rows[i].code ? -1 : 0);
		assert_int_equal(e.code, rows[i].code);
	}
	for (size_t i = (annotation_rows(&n), 0); i < n; i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		const struct annotation_row *r = &annotation_rows(&n)[i];

		assert_true(str_starts(r->key, "io.kapsel.") && *r->doc);
		if (r->supported) /* what stands for its absence is a value of it */
			assert_int_equal(annotation_check(r->key, r->otherwise, &e), 0);
	}
}

/* ---- what the command line and exec bring
 * ----------------------------------------------------------- */

static void base(struct arena *a, struct oci_spec *s)
{
	static const char text[] = "{\"ociVersion\": \"1.3.0\", \"root\": {\"path\": \"r\"}, "
				   "\"process\": {\"cwd\": \"/\", "
				   "\"args\": [\"sh\"], \"env\": [\"A=1\", \"B=2\"], \"user\": "
				   "{\"uid\": 5, \"gid\": 6}}}";
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct spec_options o = { 0 };

	assert_int_equal(spec_parse(a, text, strlen(text), &o, s, NULL, &e), 0);
}

static void the_command_line_replaces_what_it_names(void **state)
{
	char *args[] = { (char[]) { "ls" }, (char[]) { "-l" } };
	char *env[] = { (char[]) { "B=3" }, (char[]) { "C=" }, (char[]) { "BB=4" } };
	struct spec_override o = { .args = args,
		.nargs = 2,
		.env = env,
		.nenv = 3,
		.cwd = "/tmp",
		.user = "7:8",
		.terminal = 1 };
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct oci_spec s;

	base(a, &s);
	assert_int_equal(spec_override(a, &s, &o, &e), 0);
	assert_int_equal(s.process.args.n, 2);
	assert_string_equal(s.process.args.v[1], "-l");
	assert_int_equal(s.process.env.n, 4);
	assert_string_equal(s.process.env.v[0], "A=1");
	assert_string_equal(s.process.env.v[1], "B=3");
	assert_string_equal(s.process.env.v[2], "C=");
	assert_string_equal(s.process.env.v[3], "BB=4");
	assert_string_equal(s.process.cwd, "/tmp");
	assert_int_equal(s.process.user.uid, 7);
	assert_int_equal(s.process.user.gid, 8);
	assert_true(s.process.terminal);
	o = (struct spec_override) { .user = "9", .terminal = -1 };
	assert_int_equal(spec_override(a, &s, &o, &e), 0);
	assert_int_equal(s.process.user.uid, 9);
	assert_int_equal(s.process.user.gid, 8);
	assert_false(s.process.terminal);
	assert_int_equal(s.process.args.n, 2);
}

static void the_command_line_is_judged_as_strictly(void **state)
{
	char *no_equals[] = { (char[]) { "secret" } }, *no_name[] = { (char[]) { "=x" } };
	const struct {
		struct spec_override o;
		enum kerr_code code;
	} rows[] = {
		{ { .env = no_equals, .nenv = 1 }, KERR_CONFIG_UNSAFE },
		{ { .env = no_name, .nenv = 1 }, KERR_CONFIG_UNSAFE },
		{ { .cwd = "tmp" }, KERR_CONFIG_VALUE },
		{ { .user = "root" }, KERR_CONFIG_VALUE },
		{ { .user = "1:wheel" }, KERR_CONFIG_VALUE },
		{ { .user = "4294967295" }, KERR_CONFIG_VALUE },
		{ { .user = "1:4294967295" }, KERR_CONFIG_VALUE },
		{ { .user = "-1" }, KERR_CONFIG_VALUE },
		{ { .user = "" }, KERR_CONFIG_VALUE },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena *a = arena_new();
		CLEANUP_ERR struct kerr e = KERR_INIT;
		struct oci_spec s;

		base(a, &s);
		assert_int_equal(spec_override(a, &s, &rows[i].o, &e), -1);
		assert_int_equal(e.code, rows[i].code);
		assert_null(strstr(e.message, "secret"));
	}
}

static void a_bare_process_is_judged_as_one_of_a_configuration(void **state)
{
	static const struct {
		const char *text, *pointer;
		enum kerr_code code;
	} rows[] = {
		{ "{\"cwd\": \"/\", \"args\": [\"sh\"]}", NULL, KERR_NONE },
		{ "{\"cwd\": \"/\"}", "", KERR_CONFIG_REQUIRED },
		{ "{\"args\": [\"sh\"]}", "", KERR_CONFIG_REQUIRED },
		{ "{\"cwd\": \"/\", \"args\": [\"sh\"], \"oomScoreAdj\": 5000}", "/oomScoreAdj",
			KERR_CONFIG_RANGE },
		{ "{\"cwd\": \"/\", \"args\": [\"sh\"], \"env\": [\"x\"]}", "/env/0",
			KERR_CONFIG_UNSAFE },
		{ "[]", "", KERR_CONFIG_TYPE },
		{ "{", NULL, KERR_JSON_SYNTAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena *a = arena_new();
		CLEANUP_ERR struct kerr e = KERR_INIT;
		struct oci_process p;
		int rc = spec_parse_process(a, rows[i].text, strlen(rows[i].text), &p, &e);

		assert_int_equal(rc, rows[i].code ? -1 : 0);
		assert_int_equal(e.code, rows[i].code);
		if (rows[i].pointer)
			assert_string_equal(e.pointer, rows[i].pointer);
	}
	{
		CLEANUP_ARENA struct arena *a = arena_new();

		assert_int_equal(
			spec_parse_process(a, "", 0, &(struct oci_process) { 0 }, NULL), -1);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field_of_a_wrong_type_is_named),
		cmocka_unit_test(each_number_beyond_its_ends_is_named),
		cmocka_unit_test(each_string_of_65536_bytes_is_refused),
		cmocka_unit_test(each_name_that_is_none_is_named),
		cmocka_unit_test(the_tables_have_no_field_twice_and_document_each),
		cmocka_unit_test(the_default_configuration_has_no_fault_and_no_warning),
		cmocka_unit_test(features_list_what_the_tables_read),
		cmocka_unit_test(annotations_are_checked_by_their_rows),
		cmocka_unit_test(the_command_line_replaces_what_it_names),
		cmocka_unit_test(the_command_line_is_judged_as_strictly),
		cmocka_unit_test(a_bare_process_is_judged_as_one_of_a_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
