/* SPDX-License-Identifier: Apache-2.0 */
#include "../../../src/monitor/private.h"
#include "../test.h"
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- sinks
 * ----------------------------------------------------------------------------------------------------
 */

struct taker {
	pthread_mutex_t lock;
	atomic_bool closed; /* takes nothing */
	atomic_bool gone;
	struct buf got;
	uint64_t dropped;
	unsigned notes;
};

static int take(void *arg, const struct chunk *c, const char *data)
{
	struct taker *t = arg;
	uint64_t n;

	while (atomic_load(&t->closed))
		usleep(1000);
	if (atomic_load(&t->gone))
		return -1;
	pthread_mutex_lock(&t->lock);
	if (c->kind == CHUNK_DROPPED) {
		memcpy(&n, data, sizeof n);
		t->dropped += n;
		t->notes++;
	} else {
		buf_add(&t->got, data, c->len);
	}
	pthread_mutex_unlock(&t->lock);
	return 0;
}

static const struct sink_kind taker_kind = { .take = take };

static void end(struct sink *s)
{
	sink_give_up(s);
	for (int i = 0; i < 3000 && !sink_free(s); i++)
		usleep(1000);
}

static char *pattern(size_t len)
{
	char *p = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

static void chunks_of_all_sizes_come_out_as_they_went_in(void **state)
{
	struct taker t = { .lock = PTHREAD_MUTEX_INITIALIZER };
	int wake = eventfd(0, EFD_NONBLOCK);
	struct sink *s = sink_new(&taker_kind, &t, wake);
	size_t len = 6 << 20, at = 0, some = 1;
	char *all = pattern(len);
	deadline until;

	while (at < len) {
		until = DEADLINE_NEVER;
		while (sink_holds(s, &until))
			usleep(100);
		if (some > len - at)
			some = len - at;
		sink_put(s, CHUNK_STDOUT, 1, all + at, some);
		at += some;
		some = (some * 5 + 3) % READ_MOST;
	}
	assert_true(sink_settle(s, deadline_in_ms(3000)));
	assert_int_equal(sink_dropped(s), 0);
	assert_int_equal(t.got.len, len);
	assert_memory_equal(t.got.data, all, len);
	end(s);
	buf_free(&t.got);
	free(all);
	close(wake);
}

static void a_full_sink_holds_for_a_while_then_drops_and_says_how_much(void **state)
{
	struct taker t = { .lock = PTHREAD_MUTEX_INITIALIZER, .closed = true };
	int wake = eventfd(0, EFD_NONBLOCK);
	struct sink *s = sink_new(&taker_kind, &t, wake);
	char *piece = pattern(READ_MOST);
	deadline until = DEADLINE_NEVER;
	size_t put = 0, lost = 0;
	uint64_t before, n;

	while (!sink_holds(s, &until)) {
		sink_put(s, CHUNK_STDOUT, 1, piece, READ_MOST);
		put += READ_MOST;
		assert_true(put <= RING_BYTES);
	}
	assert_true(put >= RING_BYTES / 2);
	before = clock_mono_ns();
	while (sink_holds(s, &until))
		usleep(1000);
	assert_in_range(
		(clock_mono_ns() - before) / NS_PER_MS, PATIENCE_MS - 200, PATIENCE_MS + 500);
	for (int i = 0; i < 5; i++, lost += 1000)
		sink_put(s, CHUNK_STDOUT, 1, piece, 1000);
	assert_int_equal(sink_dropped(s), lost + put);
	atomic_store(&t.closed, false);
	assert_true(sink_settle(s, deadline_in_ms(3000)));
	assert_int_equal(sink_dropped(s), lost);
	assert_int_equal(read(wake, &n, sizeof n), sizeof n);
	sink_put(s, CHUNK_STDOUT, 1, "after", 5);
	assert_true(sink_settle(s, deadline_in_ms(3000)));
	assert_int_equal(t.dropped, lost);
	assert_int_equal(t.notes, 1);
	assert_int_equal(t.got.len, put + 5);
	assert_memory_equal(t.got.data + put, "after", 5);
	end(s);
	buf_free(&t.got);
	free(piece);
	close(wake);
}

static void a_sink_whose_other_side_is_gone_is_dead(void **state)
{
	struct taker t = { .lock = PTHREAD_MUTEX_INITIALIZER, .gone = true };
	int wake = eventfd(0, EFD_NONBLOCK);
	struct sink *s = sink_new(&taker_kind, &t, wake);
	deadline until = DEADLINE_NEVER;

	sink_put(s, CHUNK_STDOUT, 1, "x", 1);
	assert_true(poll_one(wake, 1, deadline_in_ms(2000)));
	assert_true(sink_dead(s));
	for (int i = 0; i < 100; i++)
		sink_put(s, CHUNK_STDOUT, 1, "x", 1);
	assert_false(sink_holds(s, &until));
	end(s);
	close(wake);
}

static void an_idle_sink_starts_again(void **state)
{
	struct taker t = { .lock = PTHREAD_MUTEX_INITIALIZER };
	int wake = eventfd(0, EFD_NONBLOCK);
	struct sink *s = sink_new(&taker_kind, &t, wake);

	sink_put(s, CHUNK_STDOUT, 1, "one", 3);
	usleep((IDLE_MS + 300) * 1000);
	sink_put(s, CHUNK_STDERR, 1, "two", 3);
	assert_true(sink_settle(s, deadline_in_ms(2000)));
	assert_string_equal(buf_str(&t.got), "onetwo");
	end(s);
	buf_free(&t.got);
	close(wake);
}

/* ---- the last lines
 * ------------------------------------------------------------------------------------------ */

static void expect_last(const struct last *l, const char *text)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char **lines;
	size_t n;

	last_lines(l, &lines, &n);
	for (size_t i = 0; i < n; i++) {
		buf_addf(&b, "%s|", lines[i]);
		free(lines[i]);
	}
	free(lines);
	assert_string_equal(buf_str(&b), text);
}

static void the_last_lines_are_kept(void **state)
{
	struct last l = { 0 };

	expect_last(&l, "");
	last_add(&l, "a", 1);
	expect_last(&l, "a|");
	last_add(&l, "\n", 1);
	expect_last(&l, "a|");
	last_add(&l, "\nb\0c\nd", 6);
	expect_last(&l, "a||b?c|d|");
	last_add(&l, "\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", 19);
	expect_last(&l, "d|1|2|3|4|5|6|7|8|9|");
	free(l.ring);
}

static void of_much_output_only_whole_lines_are_kept(void **state)
{
	struct last l = { 0 };
	char *line = malloc(9000);

	memset(line, 'x', 9000);
	last_add(&l, line, 4090);
	last_add(&l, "\nshort\nend\n", 11);
	expect_last(&l, "short|end|");
	/* One line that is longer than all that is kept: its end is better than nothing. */
	last_add(&l, line, 9000);
	line[LAST_BYTES] = '|';
	line[LAST_BYTES + 1] = '\0';
	expect_last(&l, line);
	free(line);
	free(l.ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_of_all_sizes_come_out_as_they_went_in),
		cmocka_unit_test(a_full_sink_holds_for_a_while_then_drops_and_says_how_much),
		cmocka_unit_test(a_sink_whose_other_side_is_gone_is_dead),
		cmocka_unit_test(an_idle_sink_starts_again),
		cmocka_unit_test(the_last_lines_are_kept),
		cmocka_unit_test(of_much_output_only_whole_lines_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
