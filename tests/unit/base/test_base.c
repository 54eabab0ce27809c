/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <errno.h>
#include <kapsel/base.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void every_error_code_has_one_row_with_a_name_of_its_own(void **state)
{
	for (int i = 0; i < KERR_COUNT; i++) {
		const struct kerr_row *r = kerr_row((enum kerr_code)i);

		if (i != KERR_INTERNAL)
			assert_string_not_equal(r->name, "KAPSEL-INTERNAL");
		assert_true(str_starts(r->name, "KAPSEL-"));
		assert_true(strlen(r->means) > 0);
		assert_true(i == KERR_NONE || strlen(r->remedy) > 0);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(r->name, kerr_row((enum kerr_code)j)->name);
		assert_int_equal(kerr_by_name(r->name), i);
	}
}

static void a_step_goes_in_front_of_those_already_there(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;

	assert_int_equal(kerr_fail(&e, KERR_MOUNT, ENOENT, "source %s", "/x"), -1);
	kerr_step(&e, "mount[%d] /etc", 3);
	kerr_step(&e, "create");
	kerr_line(&e, &b);
	assert_string_equal(b.data, "create: mount[3] /etc: source /x: No such file or directory");
}

static void an_error_may_be_replaced_by_one_that_quotes_it(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	kerr_fail(&e, KERR_MOUNT, 0, "first");
	kerr_fail(&e, KERR_HOOK, 0, "then %s", e.message);
	assert_string_equal(e.message, "then first");
}

static void five_faults_make_one_report(void **state)
{
	CLEANUP_ERR struct kerr report = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	size_t lines = 0;

	for (unsigned i = 1; i <= 5; i++) {
		struct kerr fault = KERR_INIT;

		kerr_fail(&fault, KERR_CONFIG_TYPE, 0, "fault %u", i);
		kerr_at(&fault, "/process/args", i, 7);
		kerr_add(&report, &fault);
	}
	assert_int_equal(report.nfaults, 4);
	kerr_text(&report, &b);
	for (const char *s = b.data; *s; s++)
		lines += *s == '\n';
	assert_int_equal(lines, 6); /* one a fault, and the remedy that they share */
	assert_non_null(strstr(b.data, "5:7: /process/args: fault 5 [KAPSEL-CONFIG-TYPE]"));
}

static void control_bytes_are_escaped_and_text_is_not(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain \xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80",
			"plain \xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "a\nb\t\x1b[0m", "a\\x0ab\\x09\\x1b[0m" },
		{ "\x7f", "\\x7f" },
		{ "\xc2\x9b", "\\xc2\\x9b" },	       /* a C1 control */
		{ "\xc0\xaf", "\\xc0\\xaf" },	       /* overlong */
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" }, /* a surrogate */
		{ "back\\slash", "back\\\\slash" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_BUF struct buf b = BUF_INIT;
		CLEANUP_BUF struct buf back = BUF_INIT;

		buf_add_escaped(&b, rows[i].in, strlen(rows[i].in));
		assert_string_equal(b.data, rows[i].out);
		buf_add_unescaped(&back, b.data, b.len);
		assert_string_equal(back.data, rows[i].in);
	}
}

static void numbers_are_whole_or_refused(void **state)
{
	uint64_t u = 7;
	int64_t i = 7;

	assert_int_equal(str_to_u64("18446744073709551615", &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(str_to_u64("18446744073709551616", &u), -1);
	assert_int_equal(str_to_u64("9x", &u), -1);
	assert_int_equal(str_to_u64("", &u), -1);
	assert_int_equal(str_to_u64(" 1", &u), -1);
	assert_int_equal(str_to_u64("-1", &u), -1);
	assert_int_equal(str_to_i64("-9223372036854775808", &i), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(str_to_i64("-9223372036854775809", &i), -1);
	assert_int_equal(str_to_i64("9223372036854775808", &i), -1);
}

static void durations_and_sizes_are_read_with_their_units(void **state)
{
	uint64_t v = 0;

	assert_int_equal(str_to_ms("1m30s", &v), 0);
	assert_true(v == 90000);
	assert_int_equal(str_to_ms("200ms", &v), 0);
	assert_true(v == 200);
	assert_int_equal(str_to_ms("10", &v), 0);
	assert_true(v == 10000);
	assert_int_equal(str_to_ms("", &v), -1);
	assert_int_equal(str_to_ms("5y", &v), -1);
	assert_int_equal(str_to_bytes("64m", &v), 0);
	assert_true(v == 64ull << 20);
	assert_int_equal(str_to_bytes("1KiB", &v), 0);
	assert_true(v == 1024);
	assert_int_equal(str_to_bytes("18446744073709551615k", &v), -1);
}

static void ids_keep_to_their_alphabet(void **state)
{
	char longest[130];

	memset(longest, 'a', sizeof longest);
	longest[128] = '\0';
	assert_true(id_is_valid(longest));
	longest[128] = 'a';
	longest[129] = '\0';
	assert_false(id_is_valid(longest));
	assert_true(oci_id_is_valid(longest));
	assert_true(id_is_valid("a"));
	assert_false(id_is_valid(""));
	assert_false(id_is_valid("."));
	assert_false(id_is_valid(".."));
	assert_false(id_is_valid("a/b"));
	assert_false(id_is_valid("_a"));
	assert_false(id_is_valid("a+b"));
	assert_true(oci_id_is_valid("_a+b"));
	assert_false(oci_id_is_valid("-a"));
}

static void signals_are_numbers_or_known_names(void **state)
{
	assert_int_equal(signal_parse("TERM"), 15);
	assert_int_equal(signal_parse("SIGterm"), 15);
	assert_int_equal(signal_parse("9"), 9);
	assert_int_equal(signal_parse("9x"), -1);
	assert_int_equal(signal_parse("0"), -1);
	assert_int_equal(signal_parse("65"), -1);
	assert_int_equal(signal_parse("RTMIN+3"), 37);
	assert_int_equal(signal_parse("RTMAX-1"), 63);
	assert_int_equal(signal_parse("SIG"), -1);
	assert_string_equal(signal_name(9), "KILL");
	assert_string_equal(signal_name(37), "RTMIN+3");
	assert_null(signal_name(0));
	for (int s = 1; s <= 64; s++)
		if (signal_name(s))
			assert_int_equal(signal_parse(signal_name(s)), s);
}

static void distance_stops_at_its_limit(void **state)
{
	assert_int_equal(str_distance("maskedPaths", "maskedpaths", 2), 1);
	assert_int_equal(str_distance("kitten", "sitting", 3), 3);
	assert_int_equal(str_distance("kitten", "sitting", 2), 3);
	assert_int_equal(str_distance("a", "abcdef", 2), 3);
}

static void an_arena_serves_large_and_small(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	char *big = arena_alloc(a, 1 << 20), *text;

	big[(1 << 20) - 1] = 'x';
	for (int i = 0; i < 10000; i++) {
		char *s = arena_alloc(a, 3);

		assert_true(s[0] == 0 && s[2] == 0);
		assert_true((uintptr_t)s % _Alignof(max_align_t) == 0);
		memset(s, 0xff, 3);
	}
	text = arena_printf(a, "%s-%d", "n", 7);
	assert_string_equal(text, "n-7");
}

static void times_are_written_in_utc_with_nanoseconds(void **state)
{
	char text[TIME_TEXT];

	assert_string_equal(
		time_text(1769860800123456789ull, text), "2026-01-31T12:00:00.123456789Z");
	assert_string_equal(time_text(0, text), "1970-01-01T00:00:00.000000000Z");
}

/* FIPS 180-2, appendix B. */
static void sha256_of_known_texts(void **state)
{
	static const struct {
		const char *text, *hex;
	} t[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	char hex[65];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct sha256 s = { .begun = false };

		sha256_add(&s, t[i].text, strlen(t[i].text));
		sha256_hex(&s, hex);
		assert_string_equal(hex, t[i].hex);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_code_has_one_row_with_a_name_of_its_own),
		cmocka_unit_test(a_step_goes_in_front_of_those_already_there),
		cmocka_unit_test(an_error_may_be_replaced_by_one_that_quotes_it),
		cmocka_unit_test(five_faults_make_one_report),
		cmocka_unit_test(control_bytes_are_escaped_and_text_is_not),
		cmocka_unit_test(numbers_are_whole_or_refused),
		cmocka_unit_test(durations_and_sizes_are_read_with_their_units),
		cmocka_unit_test(ids_keep_to_their_alphabet),
		cmocka_unit_test(signals_are_numbers_or_known_names),
		cmocka_unit_test(distance_stops_at_its_limit),
		cmocka_unit_test(an_arena_serves_large_and_small),
		cmocka_unit_test(times_are_written_in_utc_with_nanoseconds),
		cmocka_unit_test(sha256_of_known_texts),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
