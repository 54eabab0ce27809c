/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <kapsel/supervise.h>
#include <signal.h>
#include <string.h>

/* One letter a state in the order of enum life: what the event leads to, '.' refused, '=' stays.
 * c creating, C created, r running, p paused, s stopping, S stopped, R restarting, x removed */
static const struct {
	enum life_event ev;
	const char *row;
} expected[] = {
	{
		EV_START,
		".===....",
	},
	{ EV_STOP, ".sss==.." },
	{ EV_KILL, ".====..." },
	{ EV_PAUSE, "..p=...." },
	{ EV_RESUME, "..=r...." },
	{ EV_EXEC, "..=....." },
	{ EV_ATTACH, ".====..." },
	{ EV_DELETE, ".....=.=" },
	{ EV_DELETE_FORCE, ".ssss=.=" },
	{ EV_UPDATE, ".====..." },
	{ EV_MADE, "C......." },
	{ EV_RUNS, "rr..=..." },
	{ EV_FAILED, "x......." },
	{ EV_EXITED, "SSSSS..." },
	{ EV_LOST, "SSSSS..." },
	{ EV_UNDONE, ".....x.." },
};
static const char letters[] = "cCrpsSRx";

static char outcome(enum life now, enum life_event ev)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct life_move *m = life_ask(now, ev, "web", &e);

	if (m == NULL) {
		assert_int_equal(e.code, KERR_WRONG_STATE);
		assert_non_null(strstr(e.message, life_name(now)));
		assert_non_null(strstr(e.message, "web"));
		return '.';
	}
	return m->to == LIFE_COUNT ? '=' : letters[life_after(now, m)];
}

static void every_state_answers_every_event_as_written(void **state)
{
	assert_int_equal(ARRAY_LEN(expected), EV_COUNT);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		for (int s = 0; s < LIFE_COUNT; s++) {
			char want = expected[i].row[s];
			char got = outcome((enum life)s, expected[i].ev);

			if (got != want)
				fail_msg("%s in %s: %c, not %c", life_event_name(expected[i].ev),
					life_name((enum life)s), got, want);
		}
}

static void no_state_and_event_have_two_rows(void **state)
{
	bool seen[LIFE_COUNT][EV_COUNT] = { 0 };
	size_t n;
	const struct life_move *m = life_moves(&n);

	for (size_t i = 0; i < n; i++)
		for (int s = 0; s < LIFE_COUNT; s++) {
			if (!(m[i].from & 1u << s))
				continue;
			assert_false(seen[s][m[i].on]);
			seen[s][m[i].on] = true;
		}
}

static void only_our_own_programs_tell_and_only_callers_ask(void **state)
{
	size_t n;
	const struct life_move *m = life_moves(&n);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(m[i].who == ASK_SELF, m[i].on >= EV_MADE);
}

static void an_end_is_certified_before_it_is_told(void **state)
{
	size_t n;
	const struct life_move *m = life_moves(&n);

	for (size_t i = 0; i < n; i++)
		if (m[i].to == LIFE_STOPPED)
			assert_int_equal(m[i].first, RECORD_CERTIFICATE);
}

static void states_and_events_have_names(void **state)
{
	for (int i = 0; i < LIFE_COUNT; i++)
		assert_int_equal(life_parse(life_name((enum life)i)), i);
	for (int i = 0; i < EV_COUNT; i++)
		assert_non_null(life_event_name((enum life_event)i));
	assert_int_equal(life_parse("dead"), -1);
}

static void words(const struct exit_record *r, const char *want)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	exit_record_words(r, &b);
	assert_string_equal(buf_str(&b), want);
}

static void an_exit_is_told_in_words(void **state)
{
	struct exit_record ok = { .known = true };
	struct exit_record code = { .known = true, .code = 127 };
	struct exit_record shell = { .known = true, .code = 137 };
	struct exit_record segv = { .known = true, .signal = SIGSEGV, .core = true };
	struct exit_record oom = { .known = true,
		.signal = SIGKILL,
		.oom = true,
		.oom_limit = (char *)"memory.max 67108864" };
	struct exit_record lost = { .reason = (char *)"monitor lost" };

	words(&ok, "exited with code 0: success");
	words(&code, "exited with code 127: the code for a command that was not found");
	words(&shell, "exited with code 137: what a shell says when its command died of SIGKILL");
	words(&segv, "killed by SIGSEGV, core dumped: it touched memory that is not its own");
	words(&oom, "killed by SIGKILL: out of memory (memory.max 67108864)");
	words(&lost, "ended, how is not known: monitor lost");
}

static void a_wait_answer_becomes_a_status(void **state)
{
	struct exit_record r = { 0 };

	assert_int_equal(exit_record_status(&r), 125);
	exit_record_from_wait(&r, CLD_EXITED, 3);
	assert_int_equal(exit_record_status(&r), 3);
	exit_record_from_wait(&r, CLD_DUMPED, SIGSEGV);
	assert_int_equal(exit_record_status(&r), 139);
	assert_true(r.core);
	assert_string_equal(r.reason, "signaled");
	exit_record_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_answers_every_event_as_written),
		cmocka_unit_test(no_state_and_event_have_two_rows),
		cmocka_unit_test(only_our_own_programs_tell_and_only_callers_ask),
		cmocka_unit_test(an_end_is_certified_before_it_is_told),
		cmocka_unit_test(states_and_events_have_names),
		cmocka_unit_test(an_exit_is_told_in_words),
		cmocka_unit_test(a_wait_answer_becomes_a_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
