/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../src/daemon/daemon.h"
#include "../test.h"
#include <string.h>

static int read_text(struct config *c, const char *text, struct kerr *e)
{
	return config_read(c, text, strlen(text), e);
}

static void every_row_is_found_once_and_has_a_default(void **state)
{
	struct config c;
	size_t n;
	const struct config_row *r = config_rows(&n);

	config_default(&c);
	for (size_t i = 0; i < n; i++) {
		const char *at = (const char *)&c + r[i].offset;

		assert_int_equal(r[i].pointer[0], '/');
		assert_true(r[i].number || *(char *const *)at != NULL);
		assert_true(!r[i].number || r[i].max >= r[i].min);
		if (r[i].number)
			assert_in_range(*(const uint64_t *)at, r[i].min, r[i].max);
		for (size_t k = 0; k < i; k++) {
			assert_string_not_equal(r[i].pointer, r[k].pointer);
			assert_int_not_equal(r[i].offset, r[k].offset);
		}
	}
	config_free(&c);
}

static void a_value_says_where_it_is_from(void **state)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct config c;

	config_default(&c);
	c.file = mem_strdup("kapseld.json");
	config_set(&c, "/socket", "/tmp/s");
	assert_int_equal(read_text(&c,
				 "{\"socket\":\"/elsewhere\",\"pool\":0,\"limits\":{"
				 "\"connections\":7}}",
				 &e),
		0);
	config_print(&c, &b);
	assert_int_equal(c.pool, 0);
	assert_int_equal(c.limits.connections, 7);
	assert_string_equal(c.socket, "/tmp/s");
	assert_non_null(strstr(b.data, "/tmp/s  (command line)"));
	assert_non_null(strstr(b.data, "0  (kapseld.json)"));
	assert_non_null(strstr(b.data, "/run/kapsel  (default)"));
	config_free(&c);
}

static void all_faults_come_in_one_report(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct config c;

	config_default(&c);
	assert_int_equal(read_text(&c,
				 "{\n\"pol\": 1,\n\"pool\": 65,\n\"log\": {\"level\": \"loud\"},\n"
				 "\"roles\": {\"admin\": \"nobody\"},\n\"limits\": 3\n}",
				 &e),
		-1);
	assert_int_equal(e.nfaults + 1, 5);
	assert_int_equal(e.code, KERR_CONFIG_UNKNOWN);
	assert_string_equal(e.pointer, "/pol");
	assert_int_equal(e.line, 2);
	assert_non_null(strstr(e.message, "/pool?"));
	assert_int_equal(e.faults[0].code, KERR_CONFIG_RANGE);
	assert_int_equal(e.faults[1].code, KERR_CONFIG_VALUE);
	assert_string_equal(e.faults[1].pointer, "/log/level");
	assert_int_equal(e.faults[2].code, KERR_CONFIG_VALUE);
	assert_int_equal(e.faults[3].code, KERR_CONFIG_TYPE);
	config_free(&c);
}

static void a_reload_takes_what_may_change_and_names_the_rest(void **state)
{
	CLEANUP_BUF struct buf ignored = BUF_INIT;
	struct config old, fresh;

	config_default(&old);
	config_default(&fresh);
	assert_int_equal(
		read_text(&fresh,
			"{\"runDir\":\"/r\",\"pool\":9,\"roles\":{\"operate\":\"uid:7\"}}", NULL),
		0);
	config_renew(&old, &fresh, &ignored);
	assert_string_equal(ignored.data, "/runDir");
	assert_string_equal(old.run_dir, "/run/kapsel");
	assert_string_equal(old.operate, "uid:7");
	assert_int_equal(old.pool, 9);
	config_free(&old);
	config_free(&fresh);
}

static void roles_are_given_by_user_and_any_group(void **state)
{
	gid_t groups[] = { 5, 77 };
	struct peer root = { .uid = 0 };
	struct peer by_group = { .uid = 1000, .gid = 1000, .groups = groups, .ngroups = 2 };
	struct peer stranger = { .uid = 1001, .gid = 1001 };
	struct config c;

	config_default(&c);
	assert_int_equal(
		read_text(&c, "{\"roles\":{\"observe\":\"gid:77,uid:3\",\"operate\":\"uid:4\"}}",
			NULL),
		0);
	assert_int_equal(config_role(&c, &root), ROLE_ADMIN);
	assert_int_equal(config_role(&c, &by_group), ROLE_OBSERVE);
	assert_int_equal(config_role(&c, &stranger), ROLE_NONE);
	stranger.uid = 4;
	assert_int_equal(config_role(&c, &stranger), ROLE_OPERATE);
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_found_once_and_has_a_default),
		cmocka_unit_test(a_value_says_where_it_is_from),
		cmocka_unit_test(all_faults_come_in_one_report),
		cmocka_unit_test(a_reload_takes_what_may_change_and_names_the_rest),
		cmocka_unit_test(roles_are_given_by_user_and_any_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
