/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <kapsel/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define T0 1769860800123456789ull /* 2026-01-31T12:00:00.123456789Z */

struct place {
	char path[64];
	int dir;
	struct log_writer *w;
};

static struct place place_new(const struct log_limits *limits)
{
	struct place p = { .path = "/tmp/kapsel-log-XXXXXX" };

	assert_non_null(mkdtemp(p.path));
	p.dir = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p.dir >= 0);
	p.w = log_writer_new(p.dir, limits);
	return p;
}

static void place_free(struct place *p)
{
	char command[128];

	log_writer_free(p->w);
	close(p->dir);
	snprintf(command, sizeof command, "rm -r %s", p->path);
	assert_int_equal(system(command), 0);
}

static char *text_of(struct place *p, const char *name, size_t *len)
{
	struct buf b = BUF_INIT;

	assert_int_equal(path_read(p->dir, name, 64 << 20, &b, NULL), 0);
	if (len)
		*len = b.len;
	return buf_take(&b);
}

static void add(struct place *p, enum log_stream s, uint64_t t, const char *text)
{
	assert_int_equal(log_add(p->w, s, t, text, strlen(text), NULL), 0);
}

/* All lines, "time-less": `stdout text|stderr text~|`; ~ is partial. */
static char *lines_of(struct place *p, struct log_query q, bool rest)
{
	struct log_reader *r;
	struct log_record rec;
	struct buf b = BUF_INIT;

	assert_int_equal(log_reader_open(p->dir, &q, &r, NULL), 0);
	while (log_next(r, &rec, NULL) == 1 || (rest && log_rest(r, &rec) == 1)) {
		buf_addf(&b, "%s ", log_stream_name(rec.stream));
		buf_add(&b, rec.text, rec.len);
		buf_adds(&b, rec.partial ? "~|" : "|");
	}
	log_reader_free(r);
	return buf_take(&b);
}

static const struct log_query everything = { .tail = UINT64_MAX };

#define expect_lines(p, q, rest, text)                  \
	do {                                            \
		char *got_lines = lines_of(p, q, rest); \
		assert_string_equal(got_lines, text);   \
		free(got_lines);                        \
	} while (0)

static void a_line_is_one_record_to_the_byte(void **state)
{
	struct place p = place_new(NULL);
	char *text;

	add(&p, LOG_STDOUT, T0, "hello\n");
	add(&p, LOG_STDERR, T0 + 1, "\n");
	assert_int_equal(log_add(p.w, LOG_STDOUT, T0 + 2, "a\0\x1b\r\xff\n", 6, NULL), 0);
	assert_int_equal(log_flush(p.w, NULL), 0);
	size_t len;
	text = text_of(&p, "0.log", &len);
	static const char want[] = "2026-01-31T12:00:00.123456789Z stdout F hello\n"
				   "2026-01-31T12:00:00.123456790Z stderr F \n"
				   "2026-01-31T12:00:00.123456791Z stdout F a\0\x1b\r\xff\n";
	assert_int_equal(len, sizeof want - 1);
	assert_memory_equal(text, want, len);
	free(text);
	place_free(&p);
}

static void a_line_in_pieces_has_the_time_of_its_first_byte(void **state)
{
	struct place p = place_new(NULL);
	char *text;

	add(&p, LOG_STDOUT, T0, "one ");
	add(&p, LOG_STDERR, T0 + 5, "other\n");
	add(&p, LOG_STDOUT, T0 + 9, "two\nthree");
	assert_false(log_is_clean(p.w));
	assert_int_equal(log_held(p.w), 6 + 8 + 5);
	assert_int_equal(log_end(p.w, NULL), 0);
	assert_true(log_is_clean(p.w));
	text = text_of(&p, "0.log", NULL);
	assert_string_equal(text, "2026-01-31T12:00:00.123456794Z stderr F other\n"
				  "2026-01-31T12:00:00.123456789Z stdout F one two\n"
				  "2026-01-31T12:00:00.123456798Z stdout P three\n");
	free(text);
	expect_lines(&p, everything, false, "stderr other|stdout one two|");
	expect_lines(&p, everything, true, "stderr other|stdout one two|stdout three~|");
	place_free(&p);
}

static void a_long_line_is_cut_and_joined_again(void **state)
{
	struct place p = place_new(NULL);
	size_t n = 10 * 1000 * 1000, got = 0;
	char *line = malloc(n + 1), *all = malloc(n + 1);
	struct log_reader *r;
	struct log_record rec;
	int pieces = 0;

	for (size_t i = 0; i < n; i++)
		line[i] = (char)('a' + i % 23);
	line[n] = '\n';
	for (size_t at = 0; at < n + 1; at += 65536)
		assert_int_equal(log_add(p.w, LOG_STDOUT, T0, line + at,
					 n + 1 - at < 65536 ? n + 1 - at : 65536, NULL),
			0);
	assert_int_equal(log_end(p.w, NULL), 0);
	assert_int_equal(log_reader_open(p.dir, &everything, &r, NULL), 0);
	while (log_next(r, &rec, NULL) == 1) {
		assert_true(rec.len <= LOG_JOINED_MOST + LOG_RECORD_MOST);
		memcpy(all + got, rec.text, rec.len);
		got += rec.len;
		pieces++;
	}
	assert_int_equal(got, n);
	assert_memory_equal(all, line, n);
	assert_false(rec.partial);
	assert_int_equal(pieces, (int)(n / LOG_JOINED_MOST) + 1);
	log_reader_free(r);
	free(line);
	free(all);
	place_free(&p);
}

static void a_line_of_just_the_limit_is_whole(void **state)
{
	struct place p = place_new(NULL);
	char *line = malloc(LOG_RECORD_MOST + 2), *text;
	size_t len;

	memset(line, 'x', LOG_RECORD_MOST + 1);
	line[LOG_RECORD_MOST] = '\n';
	assert_int_equal(log_add(p.w, LOG_STDOUT, T0, line, LOG_RECORD_MOST, NULL), 0);
	assert_int_equal(log_add(p.w, LOG_STDOUT, T0, "\n", 1, NULL), 0);
	assert_int_equal(log_add(p.w, LOG_STDOUT, T0, line, LOG_RECORD_MOST + 1, NULL), 0);
	assert_int_equal(log_flush(p.w, NULL), 0);
	text = text_of(&p, "0.log", &len);
	assert_int_equal(len, 2 * (41 + LOG_RECORD_MOST));
	assert_null(strstr(text, " P "));
	free(text);
	free(line);
	place_free(&p);
}

static void count_lines(struct place *p, unsigned files, unsigned first, unsigned last)
{
	struct log_reader *r;
	struct log_record rec;
	unsigned next = first;
	char want[32];

	assert_int_equal(log_reader_open(p->dir, &everything, &r, NULL), 0);
	while (log_next(r, &rec, NULL) == 1) {
		if (next == first && first == 0) /* the oldest that is left */
			next = first = (unsigned)atoi(rec.text + 5);
		snprintf(want, sizeof want, "line %08u", next++);
		assert_int_equal(rec.len, strlen(want));
		assert_memory_equal(rec.text, want, rec.len);
	}
	assert_int_equal(next, last);
	log_reader_free(r);
}

static void rotation_loses_no_line_between_files(void **state)
{
	struct log_limits limits = { .size = LOG_SIZE_LEAST, .files = 3 };
	struct place p = place_new(&limits);
	char line[64];
	struct path_names names;
	struct stat st;
	unsigned n = 8000; /* 55 bytes each: 440 KB into 3 * 64 KiB */

	for (unsigned i = 1; i <= n; i++) {
		snprintf(line, sizeof line, "line %08u\n", i);
		add(&p, LOG_STDOUT, T0 + i, line);
	}
	assert_int_equal(log_end(p.w, NULL), 0);
	assert_int_equal(path_names(p.dir, 100, &names, NULL), 0);
	assert_int_equal(names.n, 3);
	for (size_t i = 0; i < names.n; i++) {
		char *text = text_of(&p, names.v[i], NULL);

		assert_int_equal(fstatat(p.dir, names.v[i], &st, 0), 0);
		assert_true((uint64_t)st.st_size <= LOG_SIZE_LEAST);
		assert_memory_equal(text, "2026-", 5);
		assert_int_equal(text[st.st_size - 1], '\n');
		free(text);
	}
	path_names_free(&names);
	count_lines(&p, 3, 0, n + 1);
	place_free(&p);
}

static void a_follower_meets_every_line_while_files_rotate(void **state)
{
	struct log_limits limits = { .size = LOG_SIZE_LEAST, .files = 4 };
	struct place p = place_new(&limits);
	struct log_reader *r;
	struct log_record rec;
	unsigned next = 0;
	char line[64];

	assert_int_equal(log_reader_open(p.dir, &everything, &r, NULL), 0);
	for (unsigned i = 0; i < 12000; i++) {
		snprintf(line, sizeof line, "line %u\n", i);
		add(&p, LOG_STDOUT, T0 + i, line);
		if (i % 7 == 0)
			assert_int_equal(log_flush(p.w, NULL), 0);
		/* Sometimes two files behind. */
		if (i % 3001 == 0 || i % 64 == 3)
			while (log_next(r, &rec, NULL) == 1)
				assert_int_equal((unsigned)atoi(rec.text + 5), next++);
	}
	assert_int_equal(log_end(p.w, NULL), 0);
	while (log_next(r, &rec, NULL) == 1)
		assert_int_equal((unsigned)atoi(rec.text + 5), next++);
	assert_int_equal(next, 12000);
	assert_int_equal(log_files_missed(r), 0);
	log_reader_free(r);
	place_free(&p);
}

static void a_follower_that_was_too_slow_says_so(void **state)
{
	struct log_limits limits = { .size = LOG_SIZE_LEAST, .files = 2 };
	struct place p = place_new(&limits);
	struct log_reader *r;
	struct log_record rec;
	char line[64];
	unsigned last = 0, n = 0;

	add(&p, LOG_STDOUT, T0, "line 0\n");
	assert_int_equal(log_flush(p.w, NULL), 0);
	assert_int_equal(log_reader_open(p.dir, &everything, &r, NULL), 0);
	assert_int_equal(log_next(r, &rec, NULL), 1);
	for (unsigned i = 1; i < 9000; i++) {
		snprintf(line, sizeof line, "line %u\n", i);
		add(&p, LOG_STDOUT, T0 + i, line);
	}
	assert_int_equal(log_end(p.w, NULL), 0);
	while (log_next(r, &rec, NULL) == 1) {
		assert_true((unsigned)atoi(rec.text + 5) > last);
		last = (unsigned)atoi(rec.text + 5);
		n++;
	}
	assert_int_equal(last, 8999);
	assert_true(n < 8999);
	assert_true(log_files_missed(r) > 0);
	log_reader_free(r);
	place_free(&p);
}

static void a_file_may_be_the_only_one(void **state)
{
	struct log_limits limits = { .size = LOG_SIZE_LEAST, .files = 1 };
	struct place p = place_new(&limits);
	struct path_names names;

	for (unsigned i = 0; i < 5000; i++)
		add(&p, LOG_STDERR, T0 + i, "some text that fills it\n");
	assert_int_equal(log_end(p.w, NULL), 0);
	assert_int_equal(path_names(p.dir, 100, &names, NULL), 0);
	assert_int_equal(names.n, 1);
	path_names_free(&names);
	place_free(&p);
}

static void times_tails_and_streams_are_chosen(void **state)
{
	struct place p = place_new(NULL);

	add(&p, LOG_STDOUT, T0 + 1, "a\n");
	add(&p, LOG_STDERR, T0 + 2, "b\n");
	add(&p, LOG_STDOUT, T0 + 3, "c\n");
	add(&p, LOG_STDERR, T0 + 4, "d\n");
	add(&p, LOG_STDOUT, T0 + 5, "e\n");
	assert_int_equal(log_note_dropped(p.w, T0 + 6, 42, "the disk was full", NULL), 0);
	add(&p, LOG_STDOUT, T0 + 7, "f\n");
	assert_int_equal(log_end(p.w, NULL), 0);
	struct log_query q = everything;
	expect_lines(&p, q, false,
		"stdout a|stderr b|stdout c|stderr d|stdout e|"
		"system 42 bytes of output dropped: the disk was full|stdout f|");
	q.since_ns = T0 + 3;
	q.until_ns = T0 + 5;
	expect_lines(&p, q, false, "stdout c|stderr d|");
	q = (struct log_query) { .tail = 2, .streams = 1 << LOG_STDOUT };
	expect_lines(&p, q, false, "stdout e|stdout f|");
	q = (struct log_query) { .tail = 2, .streams = 1 << LOG_STDERR };
	expect_lines(&p, q, false, "stderr b|stderr d|");
	q = (struct log_query) { .tail = 3 };
	expect_lines(&p, q, false,
		"stdout e|system 42 bytes of output dropped: the disk was full|stdout f|");
	q = (struct log_query) { .tail = 0 };
	expect_lines(&p, q, false, "");
	q = (struct log_query) { .tail = 100, .since_ns = T0 + 5 };
	expect_lines(&p, q, false,
		"stdout e|system 42 bytes of output dropped: the disk was full|stdout f|");
	q = (struct log_query) { .tail = 2, .until_ns = T0 + 4 };
	expect_lines(&p, q, false, "stderr b|stdout c|");
	place_free(&p);
}

static void a_tail_begins_with_whole_lines_over_files(void **state)
{
	struct log_limits limits = { .size = LOG_SIZE_LEAST, .files = 9 };
	struct place p = place_new(&limits);
	size_t n = LOG_RECORD_MOST * 6;
	char *line = malloc(n + 1), *got;

	memset(line, 'x', n);
	line[n] = '\0';
	add(&p, LOG_STDOUT, T0, "first\n");
	add(&p, LOG_STDOUT, T0 + 1, line); /* pieces in two files */
	add(&p, LOG_STDERR, T0 + 2, "between\n");
	add(&p, LOG_STDOUT, T0 + 3, "end\n");
	assert_int_equal(log_end(p.w, NULL), 0);
	got = lines_of(&p, (struct log_query) { .tail = 1 }, false);
	assert_int_equal(strlen(got), strlen("stdout ") + n + strlen("end|"));
	free(got);
	got = lines_of(&p, (struct log_query) { .tail = 2 }, false);
	assert_memory_equal(got, "stderr between|stdout xxx", 25);
	free(got);
	got = lines_of(&p, (struct log_query) { .tail = 3 }, false);
	assert_memory_equal(got, "stdout first|stderr between|", 28);
	free(got);
	free(line);
	place_free(&p);
}

static void a_refused_write_loses_and_tears_nothing(void **state)
{
	struct place p = place_new(NULL);
	struct rlimit old, small = { 100, 100 };
	CLEANUP_ERR struct kerr e = KERR_INIT;
	char *text;

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	add(&p, LOG_STDOUT, T0, "one\n");
	add(&p, LOG_STDOUT, T0, "two\n");
	add(&p, LOG_STDOUT, T0, "three three\n");
	assert_int_equal(log_flush(p.w, &e), -1); /* 44 + 44 bytes fit, the third does not */
	assert_int_equal(e.code, KERR_PATH_WRITE);
	assert_int_equal(log_held(p.w), 12);
	setrlimit(RLIMIT_FSIZE, &old);
	text = text_of(&p, "0.log", NULL);
	assert_int_equal(strlen(text), 88); /* the third's head was taken back */
	free(text);
	assert_int_equal(log_flush(p.w, NULL), 0);
	expect_lines(&p, everything, false, "stdout one|stdout two|stdout three three|");
	place_free(&p);
}

static void what_is_no_record_is_shown(void **state)
{
	struct place p = place_new(NULL);
	static const char text[] = "2026-01-31T12:00:00Z stdout F ok\n"
				   "nonsense\n"
				   "2026-13-31T12:00:00Z stdout F month\n"
				   "2026-01-31T12:00:00Z stdout F:x:y tags\n"
				   "2026-01-31T12:00:00Z stdout F unfinis";

	assert_int_equal(path_replace(p.dir, "0.log", text, sizeof text - 1, 0600, false, NULL), 0);
	expect_lines(&p, everything, false,
		"stdout ok|system nonsense|system 2026-13-31T12:00:00Z stdout F month|stdout "
		"tags|");
	place_free(&p);
}

static void an_empty_directory_is_an_empty_log(void **state)
{
	struct place p = place_new(NULL);
	struct log_reader *r;
	struct log_record rec;

	assert_int_equal(log_reader_open(p.dir, &everything, &r, NULL), 0);
	assert_int_equal(log_next(r, &rec, NULL), 0);
	int watch = log_watch(p.dir, NULL);
	assert_true(watch >= 0);
	assert_false(poll_one(watch, 1, 0));
	add(&p, LOG_STDOUT, T0, "now\n");
	assert_int_equal(log_flush(p.w, NULL), 0);
	assert_true(poll_one(watch, 1, deadline_in_ms(1000)));
	log_watch_drain(watch);
	assert_int_equal(log_next(r, &rec, NULL), 1);
	assert_int_equal(rec.len, 3);
	assert_int_equal(rec.time_ns, T0);
	close(watch);
	log_reader_free(r);
	place_free(&p);
}

static void times_are_read_as_rfc_3339(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2026-01-31T12:00:00.123456789Z", T0 },
		{ "2026-01-31T14:30:00.123456789+02:30", T0 },
		{ "2026-01-31t04:00:00.123456789-08:00", T0 },
		{ "2024-02-29T00:00:00.5Z", 1709164800500000000ull },
		{ "2000-12-31 23:59:60Z", 978307200000000000ull },
	};
	static const char *const bad[] = { "", "2026-01-31", "2026-01-31T12:00:00",
		"2026-02-29T00:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T12:00:00.Z",
		"2026-01-31T12:00:00.1234567890Z", "2026-01-31T12:00:00Zx", "1969-12-31T23:59:59Z",
		"2026-00-10T00:00:00Z" };
	uint64_t ns;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(log_time_parse(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(log_time_parse(bad[i], &ns), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_one_record_to_the_byte),
		cmocka_unit_test(a_line_in_pieces_has_the_time_of_its_first_byte),
		cmocka_unit_test(a_long_line_is_cut_and_joined_again),
		cmocka_unit_test(a_line_of_just_the_limit_is_whole),
		cmocka_unit_test(rotation_loses_no_line_between_files),
		cmocka_unit_test(a_follower_meets_every_line_while_files_rotate),
		cmocka_unit_test(a_follower_that_was_too_slow_says_so),
		cmocka_unit_test(a_file_may_be_the_only_one),
		cmocka_unit_test(times_tails_and_streams_are_chosen),
		cmocka_unit_test(a_tail_begins_with_whole_lines_over_files),
		cmocka_unit_test(a_refused_write_loses_and_tears_nothing),
		cmocka_unit_test(what_is_no_record_is_shown),
		cmocka_unit_test(an_empty_directory_is_an_empty_log),
		cmocka_unit_test(times_are_read_as_rfc_3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
