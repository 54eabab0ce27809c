/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../src/cli/cli.h"
#include "../test.h"
#include <stdlib.h>
#include <string.h>

/* Parses "kapsel ..." split at blanks; the error's message, or NULL. */
static const char *parse(struct cli *k, struct kerr *e, const char *line)
{
	char **argv;
	int argc = 0;

	*k = (struct cli) { .a = arena_new() };
	argv = arena_array(k->a, 64, sizeof *argv);
	for (const char *at = line; *at;) {
		size_t n = strcspn(at, " ");

		argv[argc++] = arena_strndup(k->a, at, n);
		at += n + (at[n] == ' ');
	}
	kerr_clear(e);
	return args_parse(k, argc, argv, e) ? e->message : NULL;
}

static void done(struct cli *k)
{
	vec_free(&k->given);
	vec_free(&k->args);
	buf_free(&k->out);
	arena_free(k->a);
}

static void says(const char *line, const char *wanted)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct cli k;
	const char *got = parse(&k, &e, line);

	if (wanted == NULL)
		assert_null(got);
	else if (got == NULL || !strstr(got, wanted))
		fail_msg("%s: %s", line, got ? got : "no error");
	done(&k);
}

static void no_two_commands_share_a_name(void **state)
{
	for (int i = 0; i < CMD_COUNT; i++) {
		const struct command *c = command_by_id((enum command_id)i);

		assert_non_null(c->name);
		assert_non_null(c->help);
		assert_non_null(c->run);
		assert_ptr_equal(command_by_name(c->name), c);
		if (c->alias)
			assert_ptr_equal(command_by_name(c->alias), c);
	}
}

static void no_two_flags_of_a_command_share_a_name_or_a_letter(void **state)
{
	for (int i = 0; i < CMD_COUNT; i++)
		for (int j = 0; j < F_COUNT; j++) {
			const struct command *c = command_by_id((enum command_id)i);
			const struct flag *f = flag_by_id((enum flag_id)j);

			assert_non_null(f->name);
			assert_non_null(f->help);
			assert_true(f->complete != COMPLETE_WORDS || f->words);
			if (!flag_is_on(f, c))
				continue;
			assert_ptr_equal(flag_by_name(f->name, strlen(f->name), c), f);
			if (f->alias)
				assert_ptr_equal(flag_by_name(f->alias, strlen(f->alias), c), f);
			if (f->letter)
				assert_ptr_equal(flag_by_letter(f->letter, c), f);
		}
}

static void flags_may_be_written_in_every_usual_way(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct cli k;

	assert_null(parse(&k, &e,
		"kapsel -H /a --json run -it -eA=1 --env B=2 --env=C=3 -e D=4 --name x --volatile "
		"--volatile=1m b -- -x y"));
	assert_string_equal(args_value(&k, F_HOST), "/a");
	assert_true(args_has(&k, F_TTY) && args_has(&k, F_INTERACTIVE) && args_has(&k, F_JSON));
	assert_string_equal(args_value(&k, F_ENV), "D=4");
	assert_string_equal(args_value(&k, F_ID), "x");
	assert_string_equal(args_value(&k, F_VOLATILE), "1m");
	assert_int_equal(k.args.n, 1);
	assert_string_equal(k.rest[0], "-x");
	assert_string_equal(k.rest[1], "y");
	done(&k);
}

static void the_words_of_exec_are_the_programs_own(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct cli k;

	assert_null(parse(&k, &e, "kapsel exec -i web ls -l --json"));
	assert_string_equal(k.args.v[0], "web");
	assert_string_equal(k.rest[0], "ls");
	assert_string_equal(k.rest[2], "--json");
	assert_false(args_has(&k, F_JSON));
	done(&k);
	assert_null(parse(&k, &e, "kapsel exec web -- ls"));
	assert_string_equal(k.rest[0], "ls");
	done(&k);
}

static void wrong_usage_is_told_in_a_sentence(void **state)
{
	says("kapsel", "a command is missing");
	says("kapsel lst", "did you mean \"list\"?");
	says("kapsel run --dteach b", "did you mean \"--detach\"?");
	says("kapsel run -Z b", "run has no flag -Z");
	says("kapsel run", "run needs BUNDLE");
	says("kapsel run a b", "\"b\" is one too many; the program's arguments stand after \"--\"");
	says("kapsel run --id", "--id needs a value: ID");
	says("kapsel run --rm=1 b", "--rm takes no value");
	says("kapsel exec web", "exec needs one more");
	says("kapsel info x", "info takes no argument");
	says("kapsel stop a -- b", "stop has nothing after \"--\"");
	says("kapsel --timeout soon list", "\"soon\" is not a time");
	says("kapsel --standalone list", "--standalone goes with run only");
	says("kapsel state", "state needs ID");
	says("kapsel stop --help", NULL);
}

static void a_certificate_becomes_a_status(void **state)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = { { "{\"code\":3}", 3 }, { "{\"signal\":\"KILL\"}", 137 },
		{ "{\"signal\":\"TERM\",\"oom\":true}", 143 }, { "{\"reason\":\"lost\"}", 125 } };
	CLEANUP_ARENA struct arena *a = arena_new();

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(
			exit_status(json_parse(a, rows[i].text, strlen(rows[i].text), NULL, NULL)),
			rows[i].status);
}

static void a_table_lines_up_by_characters(void **state)
{
	static const char *const head[] = { "ID", "X", NULL };
	struct table t = { .head = head, .columns = 2 };
	struct cli k = { .a = arena_new() };

	table_add(&t, "\xc3\xa4\xc3\xb6");
	table_add(&t, "1");
	table_add(&t, "abcd");
	table_add(&t, NULL);
	table_show(&k, &t);
	assert_string_equal(k.out.data, "ID    X\n\xc3\xa4\xc3\xb6    1\nabcd  -\n");
	done(&k);
}

static void sizes_are_short(void **state)
{
	static const char text[] = "[0,1023,1536,1048576,107374182400]";
	static const char *const wanted[] = { "0B", "1023B", "1.5K", "1.0M", "100G" };
	CLEANUP_ARENA struct arena *a = arena_new();
	size_t i = 0;

	json_each(v, json_parse(a, text, strlen(text), NULL, NULL))
		assert_string_equal(show_bytes(a, v), wanted[i++]);
	assert_int_equal(i, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_two_commands_share_a_name),
		cmocka_unit_test(no_two_flags_of_a_command_share_a_name_or_a_letter),
		cmocka_unit_test(flags_may_be_written_in_every_usual_way),
		cmocka_unit_test(the_words_of_exec_are_the_programs_own),
		cmocka_unit_test(wrong_usage_is_told_in_a_sentence),
		cmocka_unit_test(a_certificate_becomes_a_status),
		cmocka_unit_test(a_table_lines_up_by_characters),
		cmocka_unit_test(sizes_are_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
