/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <kapsel/wire.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- frames by hand, so that the reader is not held against the writer alone ---- */

static void put16(struct buf *b, unsigned v)
{
	buf_addc(b, (char)(v & 255));
	buf_addc(b, (char)(v >> 8));
}

static void put32(struct buf *b, uint32_t v)
{
	put16(b, v & 65535);
	put16(b, v >> 16);
}

static void field(struct buf *b, unsigned tag, const char *bytes, size_t len)
{
	put16(b, tag);
	put16(b, 0);
	put32(b, (uint32_t)len);
	buf_add(b, bytes, len);
}

/* A whole frame around @fields; the caller frees. */
static struct buf frame(unsigned type, const struct buf *fields)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "KPSL");
	put16(&b, 1);
	put16(&b, type);
	put32(&b, (uint32_t)fields->len);
	buf_add(&b, buf_str(fields), fields->len);
	return b;
}

static bool refused(const struct buf *b)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in m;
	int rc = wire_parse(b->data, b->len, &m, &e);

	if (rc == 0) {
		wire_in_free(&m);
		return false;
	}
	return rc == -1 && e.code == KERR_WIRE && m.data == NULL;
}

static int pair[2];

static int make_pair(void **state)
{
	return socket_pair(SOCK_SEQPACKET, pair, NULL);
}

static int close_pair(void **state)
{
	fd_closep(&pair[0]);
	fd_closep(&pair[1]);
	return 0;
}

static size_t open_fds(void)
{
	size_t n = 0;

	for (int i = 0; i < 256; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

static void receive(struct wire_in *in)
{
	struct kerr e = KERR_INIT;

	assert_int_equal(wire_recv(pair[1], in, deadline_in_ms(1000), &e), 1);
	assert_false(kerr_is_set(&e));
}

/* ---- one frame ---- */

static void a_frame_is_the_bytes_that_the_door_tells(void **state)
{
	static const char wanted[] = "KPSL\1\0\4\0\x1b\0\0\0"
				     "\1\0\0\0\3\0\0\0web"
				     "\2\0\0\0\10\0\0\0\xe8\3\0\0\0\0\0";
	struct wire_out m;
	char got[256];

	wire_begin(&m, WIRE_START);
	wire_str(&m, TAG_ID, "web");
	wire_u64(&m, TAG_UID, 1000);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), NULL), 0);
	assert_int_equal(recv(pair[1], got, sizeof got, 0), sizeof wanted);
	assert_memory_equal(got, wanted, sizeof wanted);
}

static void all_kinds_of_values_come_back(void **state)
{
	char *words[] = { "sh", "", "-c" }, **list = NULL;
	struct wire_out m;
	struct wire_in in;
	size_t n = 9;

	wire_begin(&m, WIRE_CREATE);
	wire_str(&m, TAG_ID, "web");
	wire_str(&m, TAG_CWD, "");
	wire_str(&m, TAG_USER, NULL);
	wire_u64(&m, TAG_FLAGS, UINT64_MAX);
	wire_list(&m, TAG_ARGS, words, 3);
	wire_list(&m, TAG_ENV, NULL, 0);
	wire_bytes(&m, TAG_PROCESS, "a\0b", 3);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), NULL), 0);
	receive(&in);
	assert_int_equal(in.type, WIRE_CREATE);
	assert_string_equal(wire_get_str(&in, TAG_CWD), "");
	assert_string_equal(wire_get_str(&in, TAG_ID), "web");
	assert_null(wire_get_str(&in, TAG_USER));
	assert_null(wire_get_str(&in, TAG_PROCESS)); /* a NUL inside is no text */
	assert_int_equal(in.field[TAG_PROCESS].len, 3);
	assert_true(wire_get_u64(&in, TAG_FLAGS, 0) == UINT64_MAX);
	assert_int_equal(wire_get_u64(&in, TAG_SIGNAL, 15), 15);
	assert_int_equal(wire_get_u64(&in, TAG_ID, 7), 7); /* three bytes are no number */
	assert_int_equal(wire_get_list(&in, TAG_ARGS, &list, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_string_equal(list[0], "sh");
	assert_string_equal(list[1], "");
	assert_string_equal(list[2], "-c");
	free(list);
	assert_true(in.field[TAG_ENV].there);
	assert_int_equal(wire_get_list(&in, TAG_ENV, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_null(list);
	assert_int_equal(wire_get_list(&in, TAG_WHO, &list, &n, NULL), 0);
	assert_int_equal(n, 0);
	wire_in_free(&in);
	wire_in_free(&in); /* twice is fine */
}

static void a_list_without_its_last_nul_is_refused(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf fields = BUF_INIT;
	struct wire_in in;
	char **list;
	size_t n;

	field(&fields, TAG_ARGS, "sh\0-c", 5);
	CLEANUP_BUF struct buf b = frame(WIRE_CREATE, &fields);
	assert_int_equal(wire_parse(b.data, b.len, &in, &e), 0);
	assert_int_equal(wire_get_list(&in, TAG_ARGS, &list, &n, &e), -1);
	assert_int_equal(e.code, KERR_WIRE);
	assert_null(list);
	wire_in_free(&in);
}

static void a_frame_cut_anywhere_is_refused(void **state)
{
	CLEANUP_BUF struct buf fields = BUF_INIT;

	field(&fields, TAG_ID, "web", 3);
	field(&fields, TAG_BUNDLE, "/srv/web", 8);
	CLEANUP_BUF struct buf b = frame(WIRE_CREATE, &fields);
	assert_false(refused(&b));
	for (size_t n = 0; n < b.len; n++) {
		struct buf part = { b.data, n, 0 };

		assert_true(refused(&part));
	}
	buf_addc(&b, 'x'); /* or longer than it says */
	assert_true(refused(&b));
}

static void a_field_cut_within_a_frame_of_the_right_length_is_refused(void **state)
{
	CLEANUP_BUF struct buf fields = BUF_INIT;

	field(&fields, TAG_ID, "web", 3);
	for (size_t n = 1; n < fields.len; n++) {
		struct buf part = { fields.data, n, 0 };
		CLEANUP_BUF struct buf b = frame(WIRE_CREATE, &part);

		assert_true(refused(&b));
	}
	fields.data[4] = '\xff'; /* a length beyond everything */
	fields.data[7] = '\xff';
	CLEANUP_BUF struct buf b = frame(WIRE_CREATE, &fields);
	assert_true(refused(&b));
}

static void a_repeated_field_is_refused(void **state)
{
	CLEANUP_BUF struct buf fields = BUF_INIT;

	field(&fields, TAG_ID, "web", 3);
	field(&fields, TAG_UID, "12345678", 8);
	field(&fields, TAG_ID, "db", 2);
	CLEANUP_BUF struct buf b = frame(WIRE_CREATE, &fields);
	assert_true(refused(&b));
}

static void unknown_tags_are_skipped_even_twice(void **state)
{
	CLEANUP_BUF struct buf fields = BUF_INIT;
	struct wire_in in;

	field(&fields, TAG_COUNT, "new", 3);
	field(&fields, 65535, "", 0);
	field(&fields, TAG_ID, "web", 3);
	field(&fields, TAG_COUNT, "new", 3);
	CLEANUP_BUF struct buf b = frame(WIRE_CREATE, &fields);
	assert_int_equal(wire_parse(b.data, b.len, &in, NULL), 0);
	assert_string_equal(wire_get_str(&in, TAG_ID), "web");
	wire_in_free(&in);
}

static void what_is_no_frame_of_ours_is_refused(void **state)
{
	static const struct {
		size_t at;
		char byte;
	} spoilt[] = { { 0, 'k' }, { 3, 0 }, { 4, 2 }, { 5, 1 }, { 6, 0 }, { 6, WIRE_TYPE_COUNT },
		{ 7, 1 }, { 8, 10 }, { 8, 12 }, { 11, 1 }, { 14, 1 } };
	CLEANUP_BUF struct buf fields = BUF_INIT;

	field(&fields, TAG_ID, "web", 3);
	CLEANUP_BUF struct buf b = frame(WIRE_CREATE, &fields);
	assert_false(refused(&b));
	for (size_t i = 0; i < ARRAY_LEN(spoilt); i++) {
		char was = b.data[spoilt[i].at];

		b.data[spoilt[i].at] = spoilt[i].byte;
		assert_true(refused(&b));
		b.data[spoilt[i].at] = was;
	}
}

/* ---- what is too large ---- */

static void the_largest_frame_passes_and_one_byte_more_does_not(void **state)
{
	size_t room = WIRE_MOST - 12 - 8;
	CLEANUP_FREE char *bytes = mem_zalloc(room + 1);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_out m;
	struct wire_in in;

	wire_begin(&m, WIRE_CREATE);
	wire_bytes(&m, TAG_PROCESS, bytes, room);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), &e), 0);
	receive(&in);
	assert_int_equal(in.field[TAG_PROCESS].len, room);
	wire_in_free(&in);

	wire_begin(&m, WIRE_CREATE);
	wire_bytes(&m, TAG_PROCESS, bytes, room + 1);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), &e), -1);
	assert_int_equal(e.code, KERR_LIMIT);
	assert_null(m.b.data);
	assert_false(poll_one(pair[1], POLLIN, deadline_in_ms(0)));
}

static void a_packet_larger_than_a_frame_is_refused_with_its_fds_closed(void **state)
{
	CLEANUP_FREE char *bytes = mem_zalloc(WIRE_MOST + 100);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in in;
	size_t before = open_fds();
	int two[2] = { 0, 1 };

	memcpy(bytes, "KPSL\1\0\2\0", 8);
	assert_true(
		socket_send(pair[0], bytes, WIRE_MOST + 100, two, 2, deadline_in_ms(1000), &e) > 0);
	assert_int_equal(wire_recv(pair[1], &in, deadline_in_ms(1000), &e), -1);
	assert_int_equal(open_fds(), before);
}

static void what_fits_no_frame_goes_as_one_more_fd(void **state)
{
	CLEANUP_FD int memfd = sys_memfd("process", 0);
	CLEANUP_FREE char *large = mem_zalloc(2 * WIRE_MOST);
	CLEANUP_BUF struct buf got = BUF_INIT;
	struct wire_out m;
	struct wire_in in;

	memset(large, 'x', 2 * WIRE_MOST);
	assert_int_equal(write(memfd, large, 2 * WIRE_MOST), 2 * WIRE_MOST);
	wire_begin(&m, WIRE_EXEC);
	wire_fd(&m, WIRE_FD_MEMFD, memfd);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), NULL), 0);
	receive(&in);
	{
		CLEANUP_FD int theirs = wire_take_fd(&in, WIRE_FD_MEMFD);

		assert_true(theirs >= 0);
		assert_int_equal(lseek(theirs, 0, SEEK_SET), 0);
		assert_int_equal(fd_read_all(theirs, 4 * WIRE_MOST, &got, NULL), 0);
	}
	assert_int_equal(got.len, 2 * WIRE_MOST);
	wire_in_free(&in);
}

/* ---- fds ---- */

static void fds_are_told_by_their_names_and_those_not_taken_are_closed(void **state)
{
	struct wire_out m;
	struct wire_in in;
	size_t before = open_fds();
	struct stat a, b;
	int fd;

	wire_begin(&m, WIRE_INIT);
	wire_fd(&m, WIRE_FD_STDIN, -1); /* left out */
	wire_fd(&m, WIRE_FD_STDERR, pair[1]);
	wire_fd(&m, WIRE_FD_PIDFD, pair[0]);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), NULL), 0);
	receive(&in);
	assert_int_equal(in.nfds, 2);
	assert_int_equal(wire_take_fd(&in, WIRE_FD_STDIN), -1);
	fd = wire_take_fd(&in, WIRE_FD_PIDFD);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstat(pair[0], &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(wire_take_fd(&in, WIRE_FD_PIDFD), -1); /* given away */
	close(fd);
	wire_in_free(&in);
	assert_int_equal(open_fds(), before);
}

static void more_fds_than_a_message_holds_are_an_error_and_nothing_is_sent(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_out m;
	struct wire_in in;

	wire_begin(&m, WIRE_INIT);
	for (int i = 0; i < SOCKET_MOST_FDS; i++)
		wire_fd(&m, WIRE_FD_STDIN, pair[0]);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), &e), 0);
	receive(&in);
	assert_int_equal(in.nfds, SOCKET_MOST_FDS);
	wire_in_free(&in);

	wire_begin(&m, WIRE_INIT);
	for (int i = 0; i <= SOCKET_MOST_FDS; i++)
		wire_fd(&m, WIRE_FD_STDIN, pair[0]);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), &e), -1);
	assert_int_equal(e.code, KERR_LIMIT);
	assert_false(poll_one(pair[1], POLLIN, deadline_in_ms(0)));
}

static void fds_that_the_frame_does_not_name_are_refused_and_closed(void **state)
{
	CLEANUP_BUF struct buf none = BUF_INIT;
	CLEANUP_BUF struct buf fields = BUF_INIT;
	CLEANUP_BUF struct buf bare = frame(WIRE_GO, &none);
	size_t before = open_fds();
	struct wire_in in;
	int two[2] = { 0, 1 };

	field(&fields, TAG_FDS, "rb1", 3);
	CLEANUP_BUF struct buf three = frame(WIRE_GO, &fields);
	for (int i = 0; i < 3; i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		const struct buf *b = i ? &three : &bare;

		assert_true(socket_send(pair[0], b->data, b->len, two, i == 2 ? 0 : 2,
				    deadline_in_ms(1000), &e) > 0);
		assert_int_equal(wire_recv(pair[1], &in, deadline_in_ms(1000), &e), -1);
		assert_int_equal(e.code, KERR_WIRE);
		assert_int_equal(open_fds(), before);
	}
}

static void fds_beside_an_empty_packet_are_refused_and_closed(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	size_t before = open_fds();
	struct wire_in in;
	int one = 0;

	assert_int_equal(socket_send(pair[0], "", 0, &one, 1, deadline_in_ms(1000), &e), 0);
	assert_int_equal(wire_recv(pair[1], &in, deadline_in_ms(1000), &e), -1);
	assert_int_equal(open_fds(), before);
}

/* ---- the other side ---- */

static void the_end_of_the_other_side_is_no_error(void **state)
{
	struct kerr e = KERR_INIT;
	struct wire_in in;

	fd_closep(&pair[0]);
	assert_int_equal(wire_recv(pair[1], &in, deadline_in_ms(1000), &e), 0);
	assert_false(kerr_is_set(&e));
}

static void silence_ends_at_the_deadline(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in in;

	assert_int_equal(wire_recv(pair[1], &in, deadline_in_ms(20), &e), -1);
	assert_int_equal(e.code, KERR_TIMEOUT);
}

static void a_reader_that_never_reads_is_given_up_at_the_deadline(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int rc = 0;

	for (int i = 0; i < 10000 && rc == 0; i++) {
		struct wire_out m;

		wire_begin(&m, WIRE_STATUS);
		rc = wire_send(pair[0], &m, deadline_in_ms(20), &e);
	}
	assert_int_equal(rc, -1);
	assert_int_equal(e.code, KERR_TIMEOUT);
}

/* ---- errors ---- */

static void an_error_comes_back_with_all_its_faults(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_ERR struct kerr got = KERR_INIT;
	struct wire_out m;
	struct wire_in in;

	for (uint32_t i = 1; i <= 3; i++) {
		struct kerr one = KERR_INIT;

		kerr_fail(&one, i == 2 ? KERR_CONFIG_TYPE : KERR_MOUNT, i == 3 ? 13 : 0, "fault %u",
			i);
		if (i == 1)
			kerr_step(&one, "mount[3] /etc");
		if (i != 2)
			kerr_at(&one, i == 3 ? "" : "/mounts/3", i * 10, i);
		kerr_add(&e, &one);
	}
	wire_begin(&m, WIRE_FAILED);
	wire_error(&m, &e);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), NULL), 0);
	receive(&in);
	assert_int_equal(wire_get_error(&in, &got), -1);
	assert_int_equal(got.code, KERR_MOUNT);
	assert_string_equal(got.message, "fault 1");
	assert_string_equal(got.step, "mount[3] /etc");
	assert_string_equal(got.pointer, "/mounts/3");
	assert_int_equal(got.line, 10);
	assert_int_equal(got.column, 1);
	assert_int_equal(got.nfaults, 2);
	assert_int_equal(got.faults[0].code, KERR_CONFIG_TYPE);
	assert_null(got.faults[0].pointer);
	assert_null(got.faults[0].step);
	assert_int_equal(got.faults[1].sys, 13);
	assert_string_equal(got.faults[1].pointer, ""); /* the document itself */
	wire_in_free(&in);
}

static void a_report_of_any_size_fits_a_frame(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_ERR struct kerr got = KERR_INIT;
	CLEANUP_FREE char *text = mem_zalloc(100001);
	struct wire_out m;
	struct wire_in in;

	memset(text, 'x', 100000);
	for (int i = 0; i < 200; i++) {
		struct kerr one = KERR_INIT;

		kerr_fail(&one, KERR_CONFIG_VALUE, 0, "%s", text);
		kerr_at(&one, text, 1, 1);
		kerr_add(&e, &one);
	}
	wire_begin(&m, WIRE_FAILED);
	wire_error(&m, &e);
	assert_int_equal(wire_send(pair[0], &m, deadline_in_ms(1000), NULL), 0);
	receive(&in);
	assert_int_equal(wire_get_error(&in, &got), -1);
	assert_int_equal(got.code, KERR_CONFIG_VALUE);
	assert_true(got.nfaults > 3);
	wire_in_free(&in);
}

static void an_error_that_cannot_be_read_is_an_error_all_the_same(void **state)
{
	static const char none[24] = { 0 }, unknown[24] = { '\xff', '\xff' };
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = { { "", 0 }, { "abc", 3 }, { none, 24 }, { unknown, 24 }, { none, 20 } };

	for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
		CLEANUP_BUF struct buf fields = BUF_INIT;
		CLEANUP_ERR struct kerr e = KERR_INIT;
		struct wire_in in;

		if (i < ARRAY_LEN(bad))
			field(&fields, TAG_ERROR, bad[i].bytes, bad[i].len);
		CLEANUP_BUF struct buf b = frame(WIRE_FAILED, &fields);
		assert_int_equal(wire_parse(b.data, b.len, &in, NULL), 0);
		assert_int_equal(wire_get_error(&in, &e), -1);
		assert_int_equal(e.code, KERR_WIRE);
		wire_in_free(&in);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, make_pair, close_pair)
	static const struct CMUnitTest tests[] = {
		T(a_frame_is_the_bytes_that_the_door_tells),
		T(all_kinds_of_values_come_back),
		T(a_list_without_its_last_nul_is_refused),
		T(a_frame_cut_anywhere_is_refused),
		T(a_field_cut_within_a_frame_of_the_right_length_is_refused),
		T(a_repeated_field_is_refused),
		T(unknown_tags_are_skipped_even_twice),
		T(what_is_no_frame_of_ours_is_refused),
		T(the_largest_frame_passes_and_one_byte_more_does_not),
		T(a_packet_larger_than_a_frame_is_refused_with_its_fds_closed),
		T(what_fits_no_frame_goes_as_one_more_fd),
		T(fds_are_told_by_their_names_and_those_not_taken_are_closed),
		T(more_fds_than_a_message_holds_are_an_error_and_nothing_is_sent),
		T(fds_that_the_frame_does_not_name_are_refused_and_closed),
		T(fds_beside_an_empty_packet_are_refused_and_closed),
		T(the_end_of_the_other_side_is_no_error),
		T(silence_ends_at_the_deadline),
		T(a_reader_that_never_reads_is_given_up_at_the_deadline),
		T(an_error_comes_back_with_all_its_faults),
		T(a_report_of_any_size_fits_a_frame),
		T(an_error_that_cannot_be_read_is_an_error_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
