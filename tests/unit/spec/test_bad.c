/* SPDX-License-Identifier: Apache-2.0 */
/* tests/golden/spec/bad.txt, whose head says how it reads: each fault at its place, and no other.
 */
#include "../test.h"
#include <fcntl.h>
#include <kapsel/spec.h>
#include <kapsel/sys.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "{\"ociVersion\": \"1.3.0\", \"root\": {\"path\": \"rootfs\"}"
#define ALL_NS                                                                             \
	"\"namespaces\": [{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"network\"}," \
	"{\"type\":\"uts\"},{\"type\":\"ipc\"}]"
#define LEAST_CASES 300

/* What stands before and after a fragment. */
static const struct section {
	const char *name, *before, *after;
} sections[] = {
	{ "file", "", "" },
	{ "top", HEAD ",\n  ", "}" },
	{ "bare", HEAD ", \"process\": {\n    ", "}\n}" },
	{ "process",
		HEAD ", \"process\": {\"cwd\": \"/\", \"args\": [\"sh\"], "
		     "\"user\": {\"uid\": 0, \"gid\": 0},\n    ",
		"}\n}" },
	{ "mount", HEAD ", \"mounts\": [{\n      ", "}]\n}" },
	{ "ns", HEAD ", \"linux\": {\n    ", "}\n}" },
	{ "linux", HEAD ", \"linux\": {" ALL_NS ",\n    ", "}\n}" },
	{ "resources", HEAD ", \"linux\": {\"resources\": {\n      ", "}}\n}" },
	{ "seccomp",
		HEAD ", \"linux\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\",\n      ",
		"}}\n}" },
};

struct fault_case {
	char *line; /* owns the fields */
	char *section, *fragment, *pointer, *code;
	struct buf text;
	uint32_t at_line, at_column;
};

static const struct section *section_of(const struct fault_case *c)
{
	for (size_t i = 0; i < ARRAY_LEN(sections); i++)
		if (str_eq(sections[i].name, c->section))
			return &sections[i];
	fail_msg("no section '%s'", c->section);
	return NULL;
}

/* %XX -> the byte; ^ -> the place that is expected. */
static void unfold(struct fault_case *c, const char *s, struct buf *out)
{
	for (; *s; s++) {
		char hex[3] = { s[0] == '%' ? s[1] : 0, s[0] == '%' ? s[2] : 0, 0 };

		if (hex[0]) {
			buf_addc(out, (char)strtoul(hex, NULL, 16));
			s += 2;
		} else if (*s != '^') {
			buf_addc(out, *s);
		} else {
			const char *nl = memrchr(out->data ? out->data : "", '\n', out->len);

			c->at_column =
				(uint32_t)(out->len - (nl ? (size_t)(nl - out->data) + 1 : 0)) + 1;
			c->at_line = 1;
			for (size_t i = 0; i < out->len; i++)
				c->at_line += out->data[i] == '\n';
		}
	}
}

static bool next_case(FILE *f, struct fault_case *c)
{
	size_t room = 0;

	*c = (struct fault_case) { 0 };
	while (getline(&c->line, &room, f) > 0) {
		char *rest = c->line;

		c->line[strcspn(c->line, "\n")] = '\0';
		if (*rest == '#' || *rest == '\0')
			continue;
		c->section = strsep(&rest, "\t");
		c->fragment = strsep(&rest, "\t");
		c->pointer = strsep(&rest, "\t");
		c->code = rest;
		assert_non_null(c->code);
		buf_adds(&c->text, section_of(c)->before);
		unfold(c, c->fragment, &c->text);
		buf_adds(&c->text, section_of(c)->after);
		return true;
	}
	free(c->line);
	return false;
}

static int wrong(const struct fault_case *c, const char *what, const struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (kerr_is_set(e))
		kerr_text(e, &b);
	print_error("%s: %s\n  %s at %u:%u, %s\n  found: %s\n", what, c->text.data, c->pointer,
		c->at_line, c->at_column, c->code, kerr_is_set(e) ? b.data : "nothing");
	return 1;
}

/* 0 when @e is exactly what the row says. */
static int compare(const struct fault_case *c, const char *code, const struct kerr *e)
{
	CLEANUP_BUF struct buf pointer = BUF_INIT;
	struct fault_case unused;

	if (!kerr_is_set(e))
		return wrong(c, "not found", e);
	if (e->nfaults)
		return wrong(c, "more than one", e);
	if (!str_eq(kerr_row(e->code)->name, code))
		return wrong(c, "another code", e);
	unfold(&unused, c->pointer, &pointer);
	if (str_eq(c->pointer, "-") ? e->pointer != NULL : !str_eq(e->pointer, buf_str(&pointer)))
		return wrong(c, "another pointer", e);
	if (e->line != c->at_line || e->column != c->at_column)
		return wrong(c, "another place", e);
	return 0;
}

static int judge(const struct fault_case *c, bool strict, struct kerr *warnings, struct kerr *e)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	struct spec_options o = { .strict = strict };
	struct oci_spec s;

	return spec_parse(a, buf_str(&c->text), c->text.len, &o, &s, warnings, e);
}

static int check_case(const struct fault_case *c)
{
	CLEANUP_ERR struct kerr w = KERR_INIT, e = KERR_INIT, sw = KERR_INIT, se = KERR_INIT;
	const char *colon = strchr(c->code, ':'), *code = colon ? colon + 1 : c->code;

	judge(c, false, &w, &e);
	judge(c, true, &sw, &se);
	if (colon == NULL)
		return compare(c, code, &e) || compare(c, code, &se);
	if (kerr_is_set(&e))
		return wrong(c, "refused", &e);
	if (str_starts(c->code, "strict:"))
		return compare(c, code, &w) || compare(c, code, &se);
	if (kerr_is_set(&se))
		return wrong(c, "refused with --strict", &se);
	if (str_starts(c->code, "odd:") && kerr_is_set(&w))
		return wrong(c, "warned of without --strict", &w);
	return (str_starts(c->code, "warning:") && compare(c, code, &w)) || compare(c, code, &sw);
}

/* For tests/system/hardening-config.sh: DIRECTORY/N.json, and in N.wanted CODE LINE:COLUMN POINTER.
 */
static void write_case(int dir, int n, const struct fault_case *c)
{
	CLEANUP_FREE char *config = mem_printf("%d.json", n);
	CLEANUP_FREE char *wanted = mem_printf("%d.wanted", n);
	CLEANUP_BUF struct buf pointer = BUF_INIT;
	CLEANUP_BUF struct buf line = BUF_INIT;
	struct fault_case unused;

	unfold(&unused, c->pointer, &pointer);
	buf_addf(&line, "%s %u:%u %s\n", c->code, c->at_line, c->at_column, buf_str(&pointer));
	assert_int_equal(
		path_replace(dir, config, buf_str(&c->text), c->text.len, 0600, false, NULL), 0);
	assert_int_equal(path_replace(dir, wanted, line.data, line.len, 0600, false, NULL), 0);
}

static void each_fault_is_named_by_code_pointer_line_and_column(void **state)
{
	FILE *f = fopen("tests/golden/spec/bad.txt", "re");
	const char *to = getenv("KAPSEL_BAD_CASES");
	CLEANUP_FD int dir = to ? path_host_dir(AT_FDCWD, to, NULL) : -1;
	struct fault_case c;
	int n = 0, bad = 0;

	assert_non_null(f);
	while (next_case(f, &c)) {
		bad += check_case(&c);
		if (dir >= 0)
			write_case(dir, n, &c);
		n++;
		buf_free(&c.text);
		free(c.line);
	}
	fclose(f);
	assert_int_equal(bad, 0);
	assert_true(n >= LEAST_CASES);
}

/* Or the faults above would be the skeletons'. */
static void each_skeleton_has_no_fault_and_no_warning_of_its_own(void **state)
{
	static const char *const fill[][2] = { { "file", HEAD "}" }, { "top", "\"mounts\": []" },
		{ "bare", "\"cwd\": \"/\"" }, { "process", "\"terminal\": false" },
		{ "mount", "\"destination\": \"/a\", \"type\": \"tmpfs\"" },
		{ "ns", "\"namespaces\": []" }, { "linux", "\"devices\": []" },
		{ "resources", "\"devices\": []" }, { "seccomp", "\"syscalls\": []" } };

	for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
		CLEANUP_ERR struct kerr w = KERR_INIT, e = KERR_INIT;
		struct fault_case c = { .section = (char *)(uintptr_t)fill[i][0] };

		buf_addf(&c.text, "%s%s%s", section_of(&c)->before, fill[i][1],
			section_of(&c)->after);
		c.pointer = c.code = c.section;
		if (judge(&c, true, &w, &e) || kerr_is_set(&w)) {
			wrong(&c, "skeleton", kerr_is_set(&e) ? &e : &w);
			fail();
		}
		buf_free(&c.text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_skeleton_has_no_fault_and_no_warning_of_its_own),
		cmocka_unit_test(each_fault_is_named_by_code_pointer_line_and_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
