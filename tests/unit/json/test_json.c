/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <errno.h>
#include <kapsel/json.h>
#include <stdio.h>
#include <string.h>

static const struct json *read_text(struct arena *a, const char *text, struct kerr *e)
{
	return json_parse(a, text, strlen(text), NULL, e);
}

static void values_keep_order_type_and_place(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct json *v = read_text(a,
		"{\n  \"a\" : [ 1, -2.5e3 ,true,\n "
		"null],\t\"b\":{\"\":\"x\\n\\u00e9\\ud83d\\ude00\"}}",
		&e);
	const struct json *item;

	assert_non_null(v);
	assert_int_equal(v->n, 2);
	item = json_get(v, "a")->first;
	assert_int_equal(item->line, 2);
	assert_int_equal(item->column, 11);
	item = item->next;
	assert_string_equal(item->text, "-2.5e3");
	assert_int_equal(item->column, 14);
	item = item->next;
	assert_true(item->type == JSON_BOOL && item->boolean);
	assert_int_equal(item->next->type, JSON_NULL);
	assert_int_equal(item->next->line, 3);
	assert_int_equal(item->next->column, 2);
	item = json_get(v, "b");
	assert_int_equal(item->key_line, 3);
	assert_int_equal(item->key_column, 9);
	assert_string_equal(json_get(item, "")->text, "x\n\xc3\xa9\xf0\x9f\x98\x80");
	assert_int_equal(json_get(item, "")->len, 8);
	assert_null(json_get(v, "c"));
	assert_null(json_get(json_get(v, "a"), "a"));
}

static void a_pointer_escapes_tilde_and_slash(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct json *v = read_text(a, "{\"a/b~c\": [0, {\"d\": 1}]}", &e);

	assert_string_equal(json_pointer(a, v), "");
	assert_string_equal(
		json_pointer(a, json_get(json_get(v, "a/b~c")->first->next, "d")), "/a~1b~0c/1/d");
}

static void numbers_are_whole_and_within_their_range(void **state)
{
	static const struct {
		const char *text;
		int u, i;
	} rows[] = { { "0", 0, 0 }, { "-0", -1, 0 }, { "18446744073709551615", 0, -1 },
		{ "18446744073709551616", -1, -1 }, { "9223372036854775807", 0, 0 },
		{ "-9223372036854775808", -1, 0 }, { "-9223372036854775809", -1, -1 },
		{ "1.0", -1, -1 }, { "1e2", -1, -1 }, { "\"1\"", -1, -1 }, { "true", -1, -1 },
		{ "null", -1, -1 } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_ARENA struct arena *a = arena_new();
		CLEANUP_ERR struct kerr e = KERR_INIT;
		const struct json *v = read_text(a, rows[i].text, &e);
		uint64_t u;
		int64_t n;

		assert_non_null(v);
		assert_int_equal(json_u64(v, 0, UINT64_MAX, &u, &e), rows[i].u);
		assert_int_equal(json_i64(v, INT64_MIN, INT64_MAX, &n, &e), rows[i].i);
		if (rows[i].u || rows[i].i)
			assert_true(e.code == KERR_CONFIG_TYPE || e.code == KERR_CONFIG_RANGE);
	}
}

static void limits_are_exact(void **state)
{
	struct json_limits bytes = { .bytes = 8 }, depth = { .depth = 2 }, values = { .values = 3 };
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_non_null(json_parse(a, "\"123456\"", 8, &bytes, &e));
	assert_null(json_parse(a, "\"1234567\"", 9, &bytes, &e));
	assert_int_equal(e.code, KERR_JSON_LIMIT);
	assert_non_null(json_parse(a, "[[]]", 4, &depth, &e));
	assert_null(json_parse(a, "[[[]]]", 6, &depth, &e));
	assert_int_equal(e.code, KERR_JSON_LIMIT);
	assert_int_equal(e.column, 3);
	assert_non_null(json_parse(a, "[1,2]", 5, &values, &e));
	assert_null(json_parse(a, "[1,2,3]", 7, &values, &e));
	assert_int_equal(e.code, KERR_JSON_LIMIT);
	assert_int_equal(e.column, 6);
}

/* A bracket within a string is none. */
static void brackets_in_strings_do_not_count(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct json_limits depth = { .depth = 1 };
	const char *text = "[\"[[\\\"[[\", \"\\\\\", \"[\"]";

	assert_non_null(json_parse(a, text, strlen(text), &depth, &e));
}

/* By a hash of the keys, a stranger could choose those that collide; by pairs, any would do. */
static void a_file_full_of_keys_is_read_in_time(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	uint64_t begin;

	buf_addc(&b, '{');
	for (unsigned i = 0; i < 300000; i++)
		buf_addf(&b, "%s\"%x\":1", i ? "," : "", i);
	buf_addc(&b, '}');
	begin = clock_mono_ns();
	assert_non_null(json_parse(a, b.data, b.len, NULL, &e));
	assert_true(clock_mono_ns() - begin < 5 * NS_PER_S);
	b.data[b.len - 1] = ',';
	buf_adds(&b, "\"fffe\":2}");
	assert_null(json_parse(a, b.data, b.len, NULL, &e));
	assert_int_equal(e.code, KERR_JSON_DUPLICATE);
	assert_string_equal(e.pointer, "/fffe");
	assert_int_equal(e.column, b.len - 8);
}

static void every_prefix_of_a_document_is_refused_with_a_place(void **state)
{
	static const char text[] = "{\"a\": [1, -2.5, \"x\\u00e9\\ud83d\\ude00\\\"\", {}, [], "
				   "true, null], \"b\": {\"c\": "
				   "\"\xc3\xa9\"}}";

	for (size_t n = 0; n < sizeof text - 1; n++) {
		CLEANUP_ARENA struct arena *a = arena_new();
		CLEANUP_ERR struct kerr e = KERR_INIT;
		char *copy = mem_strndup(text, n);

		assert_null(json_parse(a, copy, n, NULL, &e));
		assert_true(e.code == KERR_JSON_SYNTAX || e.code == KERR_JSON_UTF8);
		assert_true(e.line == 1 && e.column >= 1 && e.column <= n + 1);
		mem_freep(&copy);
	}
}

static void what_is_written_reads_back_the_same(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
	struct json_out o = JSON_OUT(&once), p = JSON_OUT_PRETTY(&twice), q;
	const struct json *v;

	json_begin_object(&o);
	json_put_string(&o, "text", "\x01\x1f\"\\/\n\t\x7f\xc3\xa9");
	json_put_string(&o, "nothing", NULL);
	json_put_u64(&o, "u", UINT64_MAX);
	json_put_i64(&o, "i", INT64_MIN);
	json_put_bool(&o, "yes", true);
	json_key(&o, "list");
	json_begin_array(&o);
	json_add_null(&o);
	json_begin_object(&o);
	json_end_object(&o);
	json_begin_array(&o);
	json_end_array(&o);
	json_add_raw(&o, "1.5", 3);
	json_end_array(&o);
	json_end_object(&o);
	assert_string_equal(once.data,
		"{\"text\":\"\\u0001\\u001f\\\"\\\\/"
		"\\n\\t\\u007f\xc3\xa9\",\"u\":18446744073709551615,"
		"\"i\":-9223372036854775808,\"yes\":true,\"list\":[null,{},[],1.5]}");
	v = json_parse(a, once.data, once.len, NULL, &e);
	assert_non_null(v);
	assert_string_equal(json_get(v, "text")->text, "\x01\x1f\"\\/\n\t\x7f\xc3\xa9");
	json_add_value(&p, v);
	v = json_parse(a, twice.data, twice.len, NULL, &e);
	assert_non_null(v);
	buf_reset(&twice);
	q = (struct json_out)JSON_OUT(&twice);
	json_add_value(&q, v);
	assert_string_equal(once.data, twice.data);
}

static void pretty_print_has_two_spaces_a_level(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT_PRETTY(&b);

	json_begin_object(&o);
	json_put_u64(&o, "a", 1);
	json_key(&o, "b");
	json_begin_array(&o);
	json_add_string(&o, "x");
	json_add_string(&o, "y");
	json_end_array(&o);
	json_key(&o, "c");
	json_begin_object(&o);
	json_end_object(&o);
	json_end_object(&o);
	assert_string_equal(
		b.data, "{\n  \"a\": 1,\n  \"b\": [\n    \"x\",\n    \"y\"\n  ],\n  \"c\": {}\n}");
}

static void bytes_that_are_no_text_are_written_as_text(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;

	for (unsigned first = 1; first < 256; first++)
		for (unsigned second = 0; second < 256; second += 5) {
			CLEANUP_BUF struct buf b = BUF_INIT;
			struct json_out o = JSON_OUT(&b);
			char s[2] = { (char)first, (char)(second ? second : 'x') };

			json_add_bytes(&o, s, 2);
			assert_non_null(json_parse(a, b.data, b.len, NULL, &e));
		}
}

static void an_error_goes_over_the_wire_whole(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT, back = KERR_INIT, parse = KERR_INIT;
	struct kerr second = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	const struct json *v;

	kerr_fail(&e, KERR_MOUNT, ENOENT, "no \xff source");
	kerr_step(&e, "mount[3] /etc");
	kerr_at(&e, "/mounts/3/source", 12, 7);
	kerr_fail(&second, KERR_HOOK, 0, "too");
	kerr_add(&e, &second);
	json_begin_object(&o);
	json_put_kerr(&o, &e);
	json_end_object(&o);
	v = json_parse(a, b.data, b.len, NULL, &parse);
	assert_non_null(v);
	assert_string_equal(json_get_string(v, "code", ""), "KAPSEL-MOUNT");
	assert_string_equal(json_get_string(v, "error", ""), "Failed");
	assert_string_equal(json_get_string(v, "retry", ""), "never");
	assert_true(strlen(json_get_string(v, "remedy", "")) > 0);
	json_get_kerr(v, &back);
	assert_int_equal(back.code, KERR_MOUNT);
	assert_int_equal(back.sys, ENOENT);
	assert_string_equal(back.message, "no \xef\xbf\xbd source");
	assert_string_equal(back.step, "mount[3] /etc");
	assert_string_equal(back.pointer, "/mounts/3/source");
	assert_true(back.line == 12 && back.column == 7);
	assert_int_equal(back.nfaults, 1);
	assert_int_equal(back.faults[0].code, KERR_HOOK);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_keep_order_type_and_place),
		cmocka_unit_test(a_pointer_escapes_tilde_and_slash),
		cmocka_unit_test(numbers_are_whole_and_within_their_range),
		cmocka_unit_test(limits_are_exact),
		cmocka_unit_test(brackets_in_strings_do_not_count),
		cmocka_unit_test(a_file_full_of_keys_is_read_in_time),
		cmocka_unit_test(every_prefix_of_a_document_is_refused_with_a_place),
		cmocka_unit_test(what_is_written_reads_back_the_same),
		cmocka_unit_test(pretty_print_has_two_spaces_a_level),
		cmocka_unit_test(bytes_that_are_no_text_are_written_as_text),
		cmocka_unit_test(an_error_goes_over_the_wire_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
