/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <fcntl.h>
#include <kapsel/store.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char where[64];
static int dir;

static int a_directory(void **state)
{
	strcpy(where, "/tmp/kapsel-store-XXXXXX");
	assert_non_null(mkdtemp(where));
	dir = open(where, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir < 0;
}

static int no_directory(void **state)
{
	CLEANUP_FD int tmp = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

	close(dir);
	return path_own_remove_tree(tmp, where + strlen("/tmp/"), NULL);
}

static void put(const char *name, const char *text)
{
	assert_int_equal(path_replace(dir, name, text, strlen(text), 0600, false, NULL), 0);
}

static void a_life_has_a_number_of_its_own(void **state)
{
	char a[UID_TEXT], b[UID_TEXT];

	uid_new(a);
	uid_new(b);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
}

static void a_record_is_read_strictly(void **state)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_null(store_record_read(dir, "web", a, &e));
	assert_int_equal(e.code, KERR_NOT_FOUND);
	put(STORE_RECORD, "{\"id\":\"web\",\"uid\":\"0123456789abcdef0123456789abcdef\"}");
	assert_non_null(store_record_read(dir, "web", a, &e));
	assert_null(store_record_read(dir, "other", a, &e));
	assert_int_equal(e.code, KERR_STORE);
	put(STORE_RECORD, "{\"id\":\"web\",\"uid\":\"0123456789abcdef01234567");
	assert_null(store_record_read(dir, "web", a, &e));
	assert_int_equal(e.code, KERR_STORE);
	put(STORE_RECORD, "[]");
	assert_null(store_record_read(dir, "web", a, &e));
	assert_int_equal(e.code, KERR_STORE);
}

static void what_cannot_be_read_is_set_aside_and_not_listed(void **state)
{
	struct path_names names;

	close(path_own_mkdir(dir, "web", 0700, NULL));
	close(path_own_mkdir(dir, "db", 0700, NULL));
	assert_int_equal(store_set_aside(dir, "web", NULL), 0);
	close(path_own_mkdir(dir, "web", 0700, NULL));
	assert_int_equal(store_set_aside(dir, "web", NULL), 0);
	assert_int_equal(store_list(dir, &names, NULL), 0);
	assert_int_equal(names.n, 1);
	assert_string_equal(names.v[0], "db");
	path_names_free(&names);
}

static void an_exit_record_comes_back_as_it_was(void **state)
{
	char *lines[] = { (char *)"one", (char *)"two" };
	struct exit_record r = { .id = (char *)"web",
		.uid = (char *)"0123456789abcdef0123456789abcdef",
		.instance = 1,
		.known = true,
		.signal = SIGKILL,
		.oom = true,
		.oom_limit = (char *)"memory.max 4096",
		.reason = (char *)"signaled",
		.by = (char *)"uid 0 pid 1 Stop",
		.started_wall = 1000000000,
		.ended_wall = 3000000000,
		.started_mono = 5,
		.ended_mono = 2000000005,
		.peak_memory = 4096,
		.cpu_ns = 17,
		.dropped = 3,
		.last_lines = lines,
		.nlast_lines = 2 };
	struct exit_record back;
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_int_equal(store_exit_read(dir, &back, &e), -1);
	assert_int_equal(e.code, KERR_NOT_FOUND);
	assert_int_equal(store_exit_write(dir, &r, NULL), 0);
	assert_int_equal(store_exit_read(dir, &back, NULL), 0);
	assert_string_equal(back.id, "web");
	assert_true(back.known && back.oom && !back.core);
	assert_int_equal(back.signal, SIGKILL);
	assert_string_equal(back.oom_limit, "memory.max 4096");
	assert_string_equal(back.by, "uid 0 pid 1 Stop");
	assert_int_equal(back.ended_mono - back.started_mono, 2000000000);
	assert_int_equal(back.dropped, 3);
	assert_int_equal(back.nlast_lines, 2);
	assert_string_equal(back.last_lines[1], "two");
	exit_record_free(&back);
}

/* ---- journal ------------------------------------------------------------------------------------
 */

struct seen {
	uint64_t first, last, n;
	char text[32];
};

static bool see(void *arg, const struct journal_entry *entry)
{
	struct seen *s = arg;

	if (s->n++ == 0)
		s->first = entry->number;
	s->last = entry->number;
	snprintf(s->text, sizeof s->text, "%.*s", (int)entry->len, entry->json);
	return true;
}

static struct journal *opened(const struct journal_limits *limits)
{
	struct journal *j;

	assert_int_equal(journal_open(dir, limits, &j, NULL), 0);
	return j;
}

static uint64_t add(struct journal *j, unsigned n)
{
	char text[32];
	int len = snprintf(text, sizeof text, "{\"n\":%u}", n);

	return journal_add(j, JOURNAL_EVENT, n, text, (size_t)len);
}

static void entries_are_numbered_and_survive(void **state)
{
	struct journal *j = opened(NULL);
	struct seen s = { 0 };

	for (unsigned i = 1; i <= 5; i++)
		assert_int_equal(add(j, i), i);
	assert_true(journal_close(j, 5000));
	j = opened(NULL);
	assert_int_equal(journal_last(j), 5);
	assert_int_equal(add(j, 6), 6);
	assert_int_equal(journal_replay(j, 2, see, &s, NULL), 0);
	assert_int_equal(s.first, 3);
	assert_int_equal(s.last, 6);
	assert_int_equal(s.n, 4);
	assert_string_equal(s.text, "{\"n\":6}");
	assert_true(journal_close(j, 5000));
}

static void a_torn_end_is_cut_off(void **state)
{
	struct journal *j = opened(NULL);
	int fd;

	for (unsigned i = 1; i <= 3; i++)
		add(j, i);
	journal_close(j, 5000);
	fd = openat(dir, "00000000000000000001.journal", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) - 3), 0);
	close(fd);
	j = opened(NULL);
	assert_int_equal(journal_last(j), 2);
	assert_int_equal(add(j, 4), 3);
	journal_close(j, 5000);
	j = opened(NULL);
	assert_int_equal(journal_last(j), 3);
	journal_close(j, 5000);
}

static void old_segments_go_and_older_cursors_resync(void **state)
{
	struct journal_limits l = {
		.segment_bytes = 400, .segments = 3, .group_ms = 2, .keep_bytes = 200
	};
	struct journal *j = opened(&l);
	struct path_names names;
	struct seen s = { 0 };
	CLEANUP_ERR struct kerr e = KERR_INIT;

	for (unsigned i = 1; i <= 60; i++) {
		add(j, i);
		for (int w = 0; w < 2000 && journal_on_disk(j) != i; w++)
			usleep(500);
	}
	assert_int_equal(journal_on_disk(j), 60);
	assert_int_equal(path_names(dir, 100, &names, NULL), 0);
	assert_int_equal(names.n, 3 + 1); /* and the epochs */
	path_names_free(&names);
	assert_int_equal(journal_replay(j, 1, see, &s, &e), -1);
	assert_int_equal(e.code, KERR_NOT_FOUND);
	/* From a segment, then from memory. */
	memset(&s, 0, sizeof s);
	assert_int_equal(journal_replay(j, 45, see, &s, NULL), 0);
	assert_int_equal(s.n, 15);
	assert_int_equal(s.last, 60);
	assert_int_equal(journal_replay(j, 61, see, &s, &e), -1);
	journal_close(j, 5000);
}

static void a_cursor_knows_what_no_disk_has_seen(void **state)
{
	struct journal *j = opened(NULL);
	char one[CURSOR_TEXT], five[CURSOR_TEXT], other[CURSOR_TEXT];
	uint64_t n;

	for (unsigned i = 1; i <= 5; i++)
		add(j, i);
	journal_cursor(j, 1, one);
	journal_cursor(j, 5, five);
	assert_int_equal(journal_cursor_parse(j, five, &n), 0);
	journal_close(j, 5000);
	j = opened(NULL);
	assert_int_equal(journal_cursor_parse(j, five, &n), 0);
	assert_int_equal(n, 5);
	journal_close(j, 5000);
	/* As if the process had been killed before entries 3 to 5 were written. */
	assert_int_equal(truncate(arena_printf(*state, "%s/00000000000000000001.journal", where),
				 8 + 2 * (32 + 7)),
		0);
	j = opened(NULL);
	for (unsigned i = 0; i < 9; i++)
		add(j, 100 + i);
	assert_int_equal(journal_cursor_parse(j, one, &n), -1);
	assert_int_equal(journal_cursor_parse(j, five, &n), -1);
	snprintf(other, sizeof other, "%032d:1", 7);
	assert_int_equal(journal_cursor_parse(j, other, &n), -1);
	assert_int_equal(journal_cursor_parse(j, "1", &n), -1);
	journal_close(j, 5000);
}

static void a_spoilt_head_is_set_aside(void **state)
{
	struct journal *j;

	put("00000000000000000001.journal", "not a journal at all");
	j = opened(NULL);
	assert_int_equal(add(j, 1), 1);
	journal_close(j, 5000);
	assert_int_equal(faccessat(dir, "00000000000000000001.journal.broken", F_OK, 0), 0);
}

static void count(void *arg)
{
	++*(int *)arg;
}

static void work_is_done_by_the_writer(void **state)
{
	struct journal *j = opened(NULL);
	int done = 0;

	for (int i = 0; i < 10; i++)
		journal_run(j, count, &done);
	assert_true(journal_close(j, 5000));
	assert_int_equal(done, 10);
}

static void sleep_long(void *arg)
{
	usleep(400 * 1000);
}

static void a_stalled_disk_stops_nobody(void **state)
{
	struct journal_limits l = { .queue_bytes = 1000, .group_ms = 2 };
	struct journal *j = opened(&l);
	uint64_t begun = clock_mono_ns();

	journal_run(j, sleep_long, NULL);
	for (unsigned i = 0; i < 100; i++)
		add(j, i);
	assert_true(clock_mono_ns() - begun < 200 * NS_PER_MS);
	assert_true(journal_lost(j) > 50);
	assert_int_equal(journal_last(j), 100);
	assert_true(journal_close(j, 5000));
}

int main(void)
{
	struct arena *a = arena_new();
#define IN_DIR(f)                                   \
	{                                           \
#f, f, a_directory, no_directory, a \
	}
	const struct CMUnitTest tests[] = {
		IN_DIR(a_life_has_a_number_of_its_own),
		IN_DIR(a_record_is_read_strictly),
		IN_DIR(what_cannot_be_read_is_set_aside_and_not_listed),
		IN_DIR(an_exit_record_comes_back_as_it_was),
		IN_DIR(entries_are_numbered_and_survive),
		IN_DIR(a_torn_end_is_cut_off),
		IN_DIR(old_segments_go_and_older_cursors_resync),
		IN_DIR(a_cursor_knows_what_no_disk_has_seen),
		IN_DIR(a_spoilt_head_is_set_aside),
		IN_DIR(work_is_done_by_the_writer),
		IN_DIR(a_stalled_disk_stops_nobody),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	arena_free(a);
	return failed;
}
