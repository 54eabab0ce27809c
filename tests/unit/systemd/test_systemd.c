/* SPDX-License-Identifier: Apache-2.0 */
/* What is written, against the bytes that libsystemd writes; and what is read, from a manager of
 * the test's own, whose answers wait in the socket: good ones, cut ones, wrong ones. */
#include "../../../src/systemd/private.h"
#include "../test.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOON = 5000, SHORT = 150, PID = 42, CALL = 4 /* after Hello, AddMatch, Subscribe */ };

/* `busctl call`, systemd 252, but for the flag of interactive authorization and the serial. */
static const char stop_bytes[] =
	"6c0100011800000004000000a000000001016f00190000002f6f72672f667265656465736b74"
	"6f702f73797374656d643100000000000000030173000800000053746f70556e697400000000"
	"0000000002017300200000006f72672e667265656465736b746f702e73797374656d64312e4d"
	"616e61676572000000000000000006017300180000006f72672e667265656465736b746f702e"
	"73797374656d64310000000000000000080167000273730007000000612e73636f7065000700"
	"00007265706c61636500";
static const char start_bytes[] =
	"6c0100011001000004000000b600000001016f00190000002f6f72672f667265656465736b74"
	"6f702f73797374656d643100000000000000030173001200000053746172745472616e736965"
	"6e74556e697400000000000002017300200000006f72672e667265656465736b746f702e7379"
	"7374656d64312e4d616e61676572000000000000000006017300180000006f72672e66726565"
	"6465736b746f702e73797374656d643100000000000000000801670010737361287376296128"
	"7361287376292900000007000000612e73636f706500040000006661696c00000000ea000000"
	"0000000005000000536c696365000173000000000c00000073797374656d2e736c6963650000"
	"00000000000004000000504944730002617500000000040000002a0000000800000044656c65"
	"67617465000162000100000000000000090000004d656d6f72794d6178000174000000000000"
	"000000001000000000000b0000004465736372697074696f6e00017300000300000077656200"
	"00000000050000004166746572000261730000001e00000009000000612e7365727669636500"
	"000009000000622e73657276696365000000000000000b000000416c6c6f7765644350557300"
	"02617900020000000501000000000000";
static const char set_bytes[] =
	"6c0100013800000004000000ad00000001016f00190000002f6f72672f667265656465736b74"
	"6f702f73797374656d6431000000000000000301730011000000536574556e697450726f7065"
	"72746965730000000000000002017300200000006f72672e667265656465736b746f702e7379"
	"7374656d64312e4d616e61676572000000000000000006017300180000006f72672e66726565"
	"6465736b746f702e73797374656d643100000000000000000801670007736261287376290000"
	"000007000000612e73636f706500010000002000000000000000090000004d656d6f72794d61"
	"7800017400000000000000000000100000000000";
static const char reset_bytes[] =
	"6c0100010c000000040000009f00000001016f00190000002f6f72672f667265656465736b74"
	"6f702f73797374656d643100000000000000030173000f00000052657365744661696c656455"
	"6e69740002017300200000006f72672e667265656465736b746f702e73797374656d64312e4d"
	"616e61676572000000000000000006017300180000006f72672e667265656465736b746f702e"
	"73797374656d64310000000000000000080167000173000007000000612e73636f706500";

static const char *const after[] = { "a.service", "b.service" };
static const uint8_t cpus[] = { 5, 1 };
static const struct systemd_property some[] = {
	{ .name = "Delegate", .form = SYSTEMD_BOOL, .must = true, .number = 1 },
	{ .name = "MemoryMax", .form = SYSTEMD_U64, .number = 1 << 20 },
	{ .name = "Description", .form = SYSTEMD_STRING, .text = "web" },
	{ .name = "After", .form = SYSTEMD_STRINGS, .words = after, .n = 2 },
	{ .name = "AllowedCPUs", .form = SYSTEMD_BYTES, .bytes = cpus, .n = 2 },
};
static const struct systemd_scope scope = {
	.unit = "a.scope", .slice = "system.slice", .v = some, .n = 5
};

/* ---- the other end
 * --------------------------------------------------------------------------------------- */

static int server;
static struct buf said; /* what the manager will have said */

static void say(const char *line)
{
	buf_adds(&said, line);
}

static void field(struct buf *b, char code, const char *type, const char *text, uint32_t number)
{
	dbus_align(b, 8);
	buf_addc(b, code);
	dbus_put_signature(b, type);
	if (*type == 'g')
		dbus_put_signature(b, text);
	else if (*type == 'u')
		dbus_put_u32(b, number);
	else
		dbus_put_string(b, text);
}

static void answer(
	int type, uint32_t reply, const char *error, const char *signature, const struct buf *body)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct dbus_array a;

	buf_add(&b, "l\0\0\1", 4);
	b.data[1] = (char)type;
	dbus_put_u32(&b, body ? (uint32_t)body->len : 0);
	dbus_put_u32(&b, 77);
	a = dbus_begin_array(&b, 8);
	if (type == DBUS_SIGNAL) {
		field(&b, 1, "o", "/org/freedesktop/systemd1", 0);
		field(&b, 2, "s", "org.freedesktop.systemd1.Manager", 0);
		field(&b, 3, "s", "JobRemoved", 0);
	} else {
		field(&b, 5, "u", NULL, reply);
	}
	if (error)
		field(&b, type == DBUS_SIGNAL ? 7 : 4, "s", error, 0);
	if (*signature)
		field(&b, 8, "g", signature, 0);
	dbus_end_array(&b, a);
	dbus_align(&b, 8);
	if (body)
		buf_add(&b, body->data, body->len);
	buf_add(&said, b.data, b.len);
}

static void say_text(
	int type, uint32_t reply, const char *error, const char *signature, const char *text)
{
	CLEANUP_BUF struct buf body = BUF_INIT;

	dbus_put_string(&body, text);
	answer(type, reply, error, signature, &body);
}

static void say_job(uint32_t reply)
{
	say_text(DBUS_RETURN, reply, NULL, "o", "/job/9");
}

static void say_done(const char *job, const char *unit, const char *result, const char *sender)
{
	CLEANUP_BUF struct buf body = BUF_INIT;

	dbus_put_u32(&body, 9);
	dbus_put_string(&body, job);
	dbus_put_string(&body, unit);
	dbus_put_string(&body, result);
	answer(DBUS_SIGNAL, 0, sender, "uoss", &body);
}

static void say_welcome(void)
{
	say("DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n");
	for (uint32_t serial = 1; serial < CALL; serial++)
		answer(DBUS_RETURN, serial, NULL, "", NULL);
}

static int begin(struct bus *b, struct kerr *e)
{
	int pair[2];

	assert_int_equal(socket_pair(SOCK_STREAM, pair, NULL), 0);
	server = pair[1];
	assert_int_equal(write(server, said.data, said.len), said.len);
	buf_free(&said);
	return bus_begin(b, pair[0], false, deadline_in_ms(SHORT), e);
}

/* The last @n bytes that the client has said, in hexadecimal. */
static char *last_words(size_t n)
{
	CLEANUP_BUF struct buf all = BUF_INIT;
	struct buf out = BUF_INIT;

	assert_int_equal(fd_read_all(server, 1 << 16, &all, NULL), 0);
	assert_true(all.len >= n);
	for (size_t i = all.len - n; i < all.len; i++)
		buf_addf(&out, "%02x", (unsigned char)all.data[i]);
	close(server);
	return buf_take(&out);
}

static void said_at_last(struct bus *b, const char *bytes)
{
	CLEANUP_FREE char *words = NULL;

	bus_close(b);
	words = last_words(strlen(bytes) / 2);
	assert_string_equal(words, bytes);
}

static int started(struct kerr *e)
{
	struct bus b;
	int rc = begin(&b, e) ? -1 : scope_start(&b, &scope, PID, e);

	bus_close(&b);
	close(server);
	return rc;
}

static void fails(enum kerr_code code, const char *words)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf text = BUF_INIT;
	deadline d = deadline_in_ms(SOON);

	assert_int_equal(started(&e), -1);
	assert_false(deadline_passed(d));
	kerr_line(&e, &text);
	if (e.code != code || strstr(buf_str(&text), words) == NULL)
		fail_msg("%s", buf_str(&text));
}

/* ---- what is said
 * ---------------------------------------------------------------------------------------- */

static void a_scope_is_asked_for_in_libsystemds_bytes(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct bus b;

	say_welcome();
	say_job(CALL);
	say_done("/job/9", "a.scope", "done", NULL);
	assert_int_equal(begin(&b, &e), 0);
	assert_int_equal(scope_start(&b, &scope, PID, &e), 0);
	said_at_last(&b, start_bytes);
}

static void so_are_properties(void **state)
{
	struct bus b;

	say_welcome();
	answer(DBUS_RETURN, CALL, NULL, "", NULL);
	assert_int_equal(begin(&b, NULL), 0);
	assert_int_equal(scope_set(&b, "a.scope", &some[1], 1, NULL), 0);
	said_at_last(&b, set_bytes);
}

static void a_stop_waits_for_its_job_and_forgets_a_failure(void **state)
{
	CLEANUP_FREE char *both = mem_printf("%s%s", stop_bytes, reset_bytes);
	struct bus b;

	memcpy(both + strlen(stop_bytes) + 16, "05", 2); /* its serial */
	say_welcome();
	say_job(CALL);
	say_done("/job/9", "a.scope", "done", NULL);
	answer(DBUS_RETURN, CALL + 1, NULL, "", NULL);
	assert_int_equal(begin(&b, NULL), 0);
	assert_int_equal(scope_stop(&b, "a.scope", NULL), 0);
	said_at_last(&b, both);
}

static void what_is_gone_is_stopped(void **state)
{
	struct bus b;

	say_welcome();
	say_text(DBUS_ERROR, CALL, "org.freedesktop.systemd1.NoSuchUnit", "s", "not loaded");
	say_text(DBUS_ERROR, CALL + 1, "org.freedesktop.systemd1.NoSuchUnit", "s", "not loaded");
	assert_int_equal(begin(&b, NULL), 0);
	assert_int_equal(scope_stop(&b, "a.scope", NULL), 0);
	bus_close(&b);
	close(server);
}

/* ---- what is answered
 * ------------------------------------------------------------------------------------ */

static void the_job_may_be_done_before_the_answer(void **state)
{
	say_welcome();
	say_done("/job/8", "other.scope", "failed", NULL);
	say_done("/job/9", "a.scope", "done", NULL);
	say_job(CALL);
	assert_int_equal(started(NULL), 0);
}

static void a_job_that_fails_is_an_error(void **state)
{
	say_welcome();
	say_job(CALL);
	say_done("/job/9", "a.scope", "failed", NULL);
	fails(KERR_SYSTEMD, "has ended as 'failed'");
}

static void only_who_answered_is_believed(void **state)
{
	say_welcome();
	say_job(CALL);
	say_done("/job/9", "a.scope", "done", ":1.666");
	fails(KERR_TIMEOUT, "systemd's answer");
}

static void another_job_is_not_ours(void **state)
{
	say_welcome();
	say_job(CALL);
	say_done("/job/8", "a.scope", "done", NULL);
	fails(KERR_TIMEOUT, "systemd's answer");
}

static void a_property_that_is_not_known_is_left_out(void **state)
{
	say_welcome();
	say_text(DBUS_ERROR, CALL, "org.freedesktop.DBus.Error.PropertyReadOnly", "s",
		"Cannot set property AllowedCPUs, or unknown property.");
	say_job(CALL + 1);
	say_done("/job/9", "a.scope", "done", NULL);
	assert_int_equal(started(NULL), 0);
}

static void one_that_must_be_is_not(void **state)
{
	say_welcome();
	say_text(DBUS_ERROR, CALL, "org.freedesktop.DBus.Error.PropertyReadOnly", "s",
		"Cannot set property Delegate, or unknown property.");
	fails(KERR_SYSTEMD, "Cannot set property Delegate");
}

static void a_unit_that_failed_is_reset_once(void **state)
{
	for (int busy = 0; busy < 2; busy++) {
		say_welcome();
		say_text(DBUS_ERROR, CALL, "org.freedesktop.systemd1.UnitExists", "s", "exists");
		answer(DBUS_RETURN, CALL + 1, NULL, "", NULL);
		if (busy) {
			say_text(DBUS_ERROR, CALL + 2, "org.freedesktop.systemd1.UnitExists", "s",
				"exists");
			fails(KERR_CGROUP_BUSY, "exists");
			continue;
		}
		say_job(CALL + 2);
		say_done("/job/9", "a.scope", "done", NULL);
		assert_int_equal(started(NULL), 0);
	}
}

/* Whoever is at the other end: an error within the time that there is. */
static void no_answer_is_waited_for_only_so_long(void **state)
{
	fails(KERR_TIMEOUT, "systemd's answer");
	say("REJECTED EXTERNAL\r\n");
	fails(KERR_SYSTEMD, "does not let us in");
	say_welcome();
	fails(KERR_TIMEOUT, "StartTransientUnit");
}

static void a_greeting_has_an_end(void **state)
{
	for (int i = 0; i < 1000; i++)
		say("OKOKOKOK");
	fails(KERR_SYSTEMD, "greeting");
}

static void garbage_is_no_answer(void **state)
{
	say_welcome();
	say("HTTP/1.1 400 Bad Request\r\n\r\n");
	fails(KERR_SYSTEMD, "no D-Bus message");
	say_welcome();
	buf_add(&said, "l\2\0\1\xff\xff\xff\xff\1\0\0\0\xff\xff\xff\xff", 16);
	fails(KERR_SYSTEMD, "no D-Bus message");
	say_welcome();
	answer(DBUS_RETURN, CALL, NULL, "", NULL);
	fails(KERR_SYSTEMD, "named no job");
}

/* One good answer, cut and then changed at each byte: never more than an error. */
static void each_byte_may_be_missing_or_wrong(void **state)
{
	struct dbus_message m;
	struct buf good;

	say_done("/job/9", "a.scope", "done", ":1.0");
	good = said;
	said = (struct buf)BUF_INIT;
	assert_int_equal(dbus_parse((uint8_t *)good.data, good.len, &m, NULL), 0);
	for (size_t cut = 0; cut < good.len; cut++) {
		uint8_t *copy = malloc(cut ? cut : 1); /* for the sanitizer */

		memcpy(copy, good.data, cut);
		assert_int_equal(dbus_parse(copy, cut, &m, NULL), -1);
		free(copy);
	}
	for (size_t i = 0; i < good.len; i++)
		for (unsigned v = 0; v < 256; v += 5) {
			uint8_t *copy = malloc(good.len);
			const char *s;
			uint32_t n;

			memcpy(copy, good.data, good.len);
			copy[i] = (uint8_t)v;
			if (dbus_parse(copy, good.len, &m, NULL) == 0) {
				dbus_get_u32(&m.body, &n);
				for (int k = 0; k < 4; k++)
					if (dbus_get_string(&m.body, &s))
						assert_true((const uint8_t *)s + strlen(s) <
							    copy + good.len);
			}
			free(copy);
		}
	buf_free(&good);
}

static void a_server_that_goes_is_an_error(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct bus b;

	say_welcome();
	assert_int_equal(begin(&b, &e), 0);
	close(server);
	assert_int_equal(scope_stop(&b, "a.scope", &e), -1);
	assert_true(kerr_is_set(&e));
	bus_close(&b);
}

/* ---- names
 * -----------------------------------------------------------------------------------------------
 */

static void slices_nest_at_their_dashes(void **state)
{
	static const struct {
		const char *slice, *path;
	} rows[] = {
		{ "-.slice", "" },
		{ "system.slice", "/system.slice" },
		{ "a-b.slice", "/a.slice/a-b.slice" },
		{ "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice" },
		{ "-a.slice", NULL },
		{ "a-.slice", NULL },
		{ "a--b.slice", NULL },
		{ ".slice", NULL },
		{ "a/b.slice", NULL },
		{ "a.scope", NULL },
		{ "a", NULL },
		{ "", NULL },
		{ "../a.slice", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP_FREE char *path = systemd_slice_path(rows[i].slice);

		if (!str_eq(path, rows[i].path))
			fail_msg("%s: %s", rows[i].slice, path ? path : "(none)");
	}
}

static void a_units_name_is_of_few_letters(void **state)
{
	CLEANUP_FREE char *longest = mem_printf("%0249d.scope", 1);
	CLEANUP_FREE char *too_long = mem_printf("%0250d.scope", 1);

	assert_true(systemd_unit_is_valid("a-b_c:d.e@f\\x2b.scope"));
	assert_true(systemd_unit_is_valid(longest));
	assert_false(systemd_unit_is_valid(too_long));
	assert_false(systemd_unit_is_valid("a b.scope"));
	assert_false(systemd_unit_is_valid("a/b.scope"));
	assert_false(systemd_unit_is_valid(".scope"));
	assert_false(systemd_unit_is_valid("scope"));
	assert_false(systemd_unit_is_valid("a+b.scope"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scope_is_asked_for_in_libsystemds_bytes),
		cmocka_unit_test(so_are_properties),
		cmocka_unit_test(a_stop_waits_for_its_job_and_forgets_a_failure),
		cmocka_unit_test(what_is_gone_is_stopped),
		cmocka_unit_test(the_job_may_be_done_before_the_answer),
		cmocka_unit_test(a_job_that_fails_is_an_error),
		cmocka_unit_test(only_who_answered_is_believed),
		cmocka_unit_test(another_job_is_not_ours),
		cmocka_unit_test(a_property_that_is_not_known_is_left_out),
		cmocka_unit_test(one_that_must_be_is_not),
		cmocka_unit_test(a_unit_that_failed_is_reset_once),
		cmocka_unit_test(no_answer_is_waited_for_only_so_long),
		cmocka_unit_test(a_greeting_has_an_end),
		cmocka_unit_test(garbage_is_no_answer),
		cmocka_unit_test(each_byte_may_be_missing_or_wrong),
		cmocka_unit_test(a_server_that_goes_is_an_error),
		cmocka_unit_test(slices_nest_at_their_dashes),
		cmocka_unit_test(a_units_name_is_of_few_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
