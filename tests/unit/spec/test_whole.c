/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files: the specification's own samples, five faults at once, files that are too large. */
#include "../test.h"
#include <fcntl.h>
#include <kapsel/spec.h>
#include <kapsel/sys.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse(struct arena *a, const char *text, size_t len, struct kerr *e)
{
	struct spec_options o = { .strict = false };
	struct oci_spec s;

	return spec_parse(a, text, len, &o, &s, NULL, e);
}

static void one_line(const struct kerr *e, struct buf *out)
{
	buf_addf(out, "%u:%u %s %s\n", e->line, e->column, e->pointer ? e->pointer : "-",
		kerr_row(e->code)->name);
}

/* "LINE:COLUMN POINTER CODE" a fault, in the order of the report. */
static void faults_of(const char *text, size_t len, struct buf *out)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (parse(a, text, len, &e) == 0)
		return;
	one_line(&e, out);
	for (size_t i = 0; i < e.nfaults; i++)
		one_line(&e.faults[i], out);
}

/* Those of other systems, and of version 0.5, are not for Kapsel: that is said of each. */
static const struct {
	const char *name, *faults;
} samples[] = {
	{ "bad/freebsd-vnet-disable", "6:16 /freebsd KAPSEL-UNSUPPORTED\n" },
	{ "bad/invalid-json", "1:2 - KAPSEL-JSON-SYNTAX\n" },
	{ "bad/linux-hugepage",
		"11:33 /linux/resources/hugepageLimits/0/pageSize KAPSEL-CONFIG-VALUE\n" },
	{ "bad/linux-netdevice", "7:23 /linux/netDevices KAPSEL-UNSUPPORTED\n" },
	{ "bad/linux-rdma", "10:35 /linux/resources/rdma/mlx5_1/hcaHandles KAPSEL-CONFIG-TYPE\n" },
	{ "good/freebsd-example",
		"17:17 /hostname KAPSEL-CONFIG-CONFLICT\n34:16 /freebsd KAPSEL-UNSUPPORTED\n" },
	{ "good/freebsd-minimal", "" },
	{ "good/linux-netdevice", "7:23 /linux/netDevices KAPSEL-UNSUPPORTED\n" },
	{ "good/linux-rdma", "" },
	{ "good/minimal", "" },
	{ "good/minimal-for-start", "" },
	{ "good/spec-example", "2:19 /ociVersion KAPSEL-CONFIG-VERSION\n"
			       "57:28 /process/apparmorProfile KAPSEL-UNSUPPORTED\n"
			       "58:25 /process/selinuxLabel KAPSEL-UNSUPPORTED\n"
			       "417:23 /linux/mountLabel KAPSEL-UNSUPPORTED\n" },
	{ "good/zos-example", "2:19 /ociVersion KAPSEL-CONFIG-VERSION\n"
			      "33:17 /hostname KAPSEL-CONFIG-CONFLICT\n"
			      "118:12 /zos KAPSEL-UNSUPPORTED\n" },
	{ "good/zos-minimal", "" },
};

static int schema(const char *below)
{
	const char *top = getenv("KAPSEL_OCI_SCHEMA");
	char path[512]; /* skip() jumps: nothing may need to be freed */
	int dir;

	snprintf(path, sizeof path, "%s/schema/test/%s", top ? top : "", below);
	dir = top ? path_host_dir(AT_FDCWD, path, NULL) : -1;

	if (dir < 0) {
		print_message("no schema/test/%s in $KAPSEL_OCI_SCHEMA\n", below);
		skip();
	}
	return dir;
}

static void the_samples_of_the_specification_are_judged_rightly(void **state)
{
	CLEANUP_FD int dir = schema("config");
	int bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		CLEANUP_FREE char *name = mem_printf("%s.json", samples[i].name);
		CLEANUP_BUF struct buf text = BUF_INIT;
		CLEANUP_BUF struct buf found = BUF_INIT;

		assert_int_equal(path_read(dir, name, 1 << 20, &text, NULL), 0);
		faults_of(text.data, text.len, &found);
		if (strcmp(buf_str(&found), samples[i].faults) == 0)
			continue;
		print_error("%s:\n%sinstead of\n%s", name, buf_str(&found), samples[i].faults);
		bad++;
	}
	assert_int_equal(bad, 0);
}

static void there_is_no_sample_that_is_not_judged(void **state)
{
	static const char *const kinds[] = { "config/good", "config/bad" };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		CLEANUP_FD int dir = schema(kinds[i]);
		struct path_names names;

		assert_int_equal(path_names(dir, 1000, &names, NULL), 0);
		n += names.n;
		path_names_free(&names);
	}
	assert_int_equal(n, ARRAY_LEN(samples));
}

static void a_state_that_is_no_json_is_refused_and_the_example_is_read(void **state)
{
	CLEANUP_FD int dir = schema("state");
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf bad = BUF_INIT;
	CLEANUP_BUF struct buf good = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_int_equal(path_read(dir, "bad/invalid-json.json", 65536, &bad, NULL), 0);
	assert_int_equal(path_read(dir, "good/spec-example.json", 65536, &good, NULL), 0);
	assert_null(json_parse(a, bad.data, bad.len, NULL, &e));
	assert_string_equal(kerr_row(e.code)->name, "KAPSEL-JSON-SYNTAX");
	assert_non_null(json_parse(a, good.data, good.len, NULL, NULL));
}

static void five_faults_of_one_file_are_reported_at_once_in_its_order(void **state)
{
	static const char text[] = "{\"ociVersion\": \"1.3.0\",\n"
				   " \"hostname\": \"a\",\n"
				   " \"root\": {\"path\": 7},\n"
				   " \"process\": {\"cwd\": \"here\", \"args\": [\"sh\"],\n"
				   "  \"user\": {\"uid\": -1, \"gid\": 0}},\n"
				   " \"linux\": {\"namespaces\": [{\"type\": \"mount\"},\n"
				   "  {\"type\": \"mount\"}]}}\n";
	CLEANUP_BUF struct buf found = BUF_INIT;

	faults_of(text, sizeof text - 1, &found);
	assert_string_equal(buf_str(&found), "2:14 /hostname KAPSEL-CONFIG-CONFLICT\n"
					     "3:19 /root/path KAPSEL-CONFIG-TYPE\n"
					     "4:21 /process/cwd KAPSEL-CONFIG-VALUE\n"
					     "5:19 /process/user/uid KAPSEL-CONFIG-RANGE\n"
					     "7:3 /linux/namespaces/1 KAPSEL-CONFIG-DUPLICATE\n");
}

/* C4: by one byte, and blanks count. */
static void a_file_of_more_than_4_MiB_is_refused(void **state)
{
	static const char text[] = "{\"ociVersion\": \"1.3.0\", \"root\": {\"path\": \"r\"}}";
	size_t most = 4 << 20;
	CLEANUP_FREE char *big = mem_zalloc(most + 1);
	CLEANUP_BUF struct buf none = BUF_INIT;
	CLEANUP_BUF struct buf found = BUF_INIT;

	memset(big, ' ', most + 1);
	memcpy(big, text, sizeof text - 1);
	faults_of(big, most, &none);
	assert_string_equal(buf_str(&none), "");
	faults_of(big, most + 1, &found);
	assert_non_null(strstr(buf_str(&found), "KAPSEL-JSON-LIMIT"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_samples_of_the_specification_are_judged_rightly),
		cmocka_unit_test(there_is_no_sample_that_is_not_judged),
		cmocka_unit_test(a_state_that_is_no_json_is_refused_and_the_example_is_read),
		cmocka_unit_test(five_faults_of_one_file_are_reported_at_once_in_its_order),
		cmocka_unit_test(a_file_of_more_than_4_MiB_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
