/* SPDX-License-Identifier: Apache-2.0 */
/* tests/golden/plan/: each configuration's plan, or refusal, on four nodes. CONFIG+NAME.json is the
 * process object of an exec into CONFIG's container. facts/NODE.json is what `kapsel info --facts`
 * prints there. */
#include "../golden.h"
#include <glob.h>
#include <kapsel/plan.h>

static const char *const nodes[] = { "hybrid", "v2", "rootless", "old" };
static unsigned seen[OP_COUNT];

struct node {
	const char *name;
	struct facts facts;
};

static void read_node(struct node *n, const char *name)
{
	CLEANUP_FREE char *file = mem_printf("plan/facts/%s.json", name);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf text = BUF_INIT;

	golden_read(file, &text);
	n->name = name;
	assert_int_equal(facts_parse(text.data, text.len, &n->facts, &e), 0);
}

static void add_report(struct buf *out, const char *what, const struct kerr *e)
{
	buf_addf(out, "# %s\n", what);
	kerr_text(e, out);
	buf_addc(out, '\n');
}

static void count(const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		seen[p->op[i].kind]++;
}

/* What a person would get from `kapsel plan`: operations, warnings, or all that this node cannot.
 */
static void plan_of(struct arena *a, const char *name, const struct facts *f, struct buf *out)
{
	CLEANUP_FREE char *base = mem_strndup(name, strcspn(name, "+"));
	CLEANUP_FREE char *config = mem_printf("plan/%s.json", base);
	CLEANUP_FREE char *exec = mem_printf("plan/%s.json", name);
	CLEANUP_BUF struct buf text = BUF_INIT, process_text = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct spec_options so = { .strict = true, .need_process = true };
	struct plan_options po = { .wait_start = true,
		.systemd_cgroup = str_starts(name, "scope"),
		.volatile_root = str_eq(name, "volatile"),
		.volatile_bytes = 1 << 20 };
	struct oci_process process;
	struct oci_spec s;
	struct plan p;
	int rc;

	golden_read(config, &text);
	if (spec_parse(a, text.data, text.len, &so, &s, NULL, &e)) {
		CLEANUP_BUF struct buf why = BUF_INIT;

		kerr_text(&e, &why);
		fail_msg("%s: %s", config, buf_str(&why));
	}
	if (strchr(name, '+')) {
		golden_read(exec, &process_text);
		rc = spec_parse_process(a, process_text.data, process_text.len, &process, &e);
		assert_int_equal(rc, 0);
		rc = plan_exec(a, &s, &process, f, &po, &p, &e);
	} else {
		rc = plan_build(a, &s, f, &po, &p, &e);
	}
	assert_int_equal(rc != 0, kerr_is_set(&e));
	if (rc) {
		add_report(out, "refused", &e);
	} else {
		count(&p);
		plan_text(&p, out);
	}
	if (p.nwarnings) {
		add_report(out, "warnings", p.warning);
		kerr_clear(p.warning);
	}
}

static int each_name(int (*each)(const char *name, struct node *n), struct node *n)
{
	glob_t g;
	int bad = 0;

	assert_int_equal(glob("tests/golden/plan/*.json", 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		const char *file = strrchr(g.gl_pathv[i], '/') + 1;
		CLEANUP_FREE char *name = mem_strndup(file, strlen(file) - strlen(".json"));

		bad += each(name, n);
	}
	globfree(&g);
	return bad;
}

static int compare(const char *name, struct node *n)
{
	CLEANUP_FREE char *golden = mem_printf("plan/%s.%s.txt", name, n->name);
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf text = BUF_INIT;

	plan_of(a, name, &n->facts, &text);
	return golden_differs(golden, buf_str(&text));
}

static void a_plan_is_the_same_text_on_every_node_of_a_kind(void **state)
{
	int bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		struct node n;

		read_node(&n, nodes[i]);
		bad += each_name(compare, &n);
		facts_free(&n.facts);
	}
	assert_int_equal(bad, 0);
}

/* After the one above. */
static void every_kind_of_operation_is_in_a_golden_plan(void **state)
{
	for (int k = 0; k < OP_COUNT; k++)
		if (seen[k] == 0)
			fail_msg("no golden plan has a %s", op_kind_name((enum op_kind)k));
}

static void kinds_have_names_of_their_own_and_a_read_back(void **state)
{
	for (int k = 0; k < OP_COUNT; k++) {
		assert_non_null(op_kind_name((enum op_kind)k));
		assert_true(op_kind_read_back((enum op_kind)k)[0] != '\0');
		for (int i = 0; i < k; i++)
			assert_string_not_equal(
				op_kind_name((enum op_kind)i), op_kind_name((enum op_kind)k));
	}
}

static void no_plan_shows_a_secret(void **state)
{
	static const char *const names[] = { "process", "hooks", "seccomp+exec" };
	struct node n;

	read_node(&n, "hybrid");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		CLEANUP_FREE char *config = mem_printf("plan/%s.json", names[i]);
		CLEANUP_ARENA struct arena *a = arena_new();
		CLEANUP_BUF struct buf text = BUF_INIT, source = BUF_INIT;

		golden_read(config, &source);
		assert_non_null(strstr(buf_str(&source), "hunter2"));
		plan_of(a, names[i], &n.facts, &text);
		assert_null(strstr(buf_str(&text), "hunter2"));
	}
	facts_free(&n.facts);
}

/* What facts_json() writes, facts_parse() reads: judged for another node is judged as there. */
static void facts_read_back_as_they_were_written(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		CLEANUP_BUF struct buf one = BUF_INIT, two = BUF_INIT;
		CLEANUP_ERR struct kerr e = KERR_INIT;
		struct facts again;
		struct node n;

		read_node(&n, nodes[i]);
		facts_json(&n.facts, &one);
		assert_int_equal(facts_parse(one.data, one.len, &again, &e), 0);
		facts_json(&again, &two);
		assert_string_equal(buf_str(&one), buf_str(&two));
		facts_free(&again);
		facts_free(&n.facts);
	}
}

static void what_is_no_file_of_facts_is_refused(void **state)
{
	static const struct {
		const char *text;
		enum kerr_code code;
	} rows[] = { { "", KERR_JSON_SYNTAX }, { "{\"kernel\": \"6.1\"}", KERR_CONFIG_REQUIRED } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		struct facts f;

		assert_int_equal(facts_parse(rows[i].text, strlen(rows[i].text), &f, &e), -1);
		assert_int_equal(e.code, rows[i].code);
	}
}

/* This node's, whatever it is: complete enough to be written and read. */
static void this_nodes_facts_are_written_and_read_back(void **state)
{
	CLEANUP_BUF struct buf one = BUF_INIT, two = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct facts f, again;

	assert_int_equal(facts_read_all(&f, &e), 0);
	assert_true(f.kernel_major >= 4);
	assert_true(f.cpus >= 1);
	assert_true(f.nfilesystems > 0);
	assert_true(f.last_capability >= 36);
	facts_json(&f, &one);
	assert_int_equal(facts_parse(one.data, one.len, &again, &e), 0);
	facts_json(&again, &two);
	assert_string_equal(buf_str(&one), buf_str(&two));
	facts_free(&again);
	facts_free(&f);
}

static void the_json_of_a_plan_has_a_line_an_operation(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf text = BUF_INIT, json = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct spec_options so = { 0 };
	const struct json *root, *list;
	struct oci_spec s;
	struct plan p;
	struct node n;
	size_t hooks = 4; /* poststart and poststop: after the program has begun */

	read_node(&n, "old");
	golden_read("plan/hooks.json", &text);
	assert_int_equal(spec_parse(a, text.data, text.len, &so, &s, NULL, &e), 0);
	s.process.capabilities = arena_alloc(a, sizeof *s.process.capabilities);
	s.process.capabilities->set[OCI_CAP_BOUNDING] = 1ull << 38; /* a warning: CAP_PERFMON */
	assert_int_equal(plan_build(a, &s, &n.facts, NULL, &p, &e), 0);
	plan_json(&p, &json);
	root = json_parse(a, json.data, json.len, NULL, &e);
	assert_non_null(root);
	list = json_get(root, "operations");
	assert_int_equal(list->n, p.n + hooks);
	assert_int_equal(json_get(root, "warnings")->n, 1);
	json_each(op, list)
	{
		assert_non_null(json_get_string(op, "operation", NULL));
		assert_non_null(json_get_string(op, "readBack", NULL));
	}
	kerr_clear(p.warning);
	facts_free(&n.facts);
}

static void the_page_of_resources_has_a_row_a_setting(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	plan_resources_doc(&b);
	assert_non_null(strstr(
		buf_str(&b), "| memory/limit | memory | memory.limit_in_bytes | memory.max |"));
	assert_non_null(strstr(buf_str(&b), "| rdma | rdma | rdma.max | rdma.max |"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_is_the_same_text_on_every_node_of_a_kind),
		cmocka_unit_test(every_kind_of_operation_is_in_a_golden_plan),
		cmocka_unit_test(kinds_have_names_of_their_own_and_a_read_back),
		cmocka_unit_test(no_plan_shows_a_secret),
		cmocka_unit_test(facts_read_back_as_they_were_written),
		cmocka_unit_test(what_is_no_file_of_facts_is_refused),
		cmocka_unit_test(this_nodes_facts_are_written_and_read_back),
		cmocka_unit_test(the_page_of_resources_has_a_row_a_setting),
		cmocka_unit_test(the_json_of_a_plan_has_a_line_an_operation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
