/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include "../../../src/container/private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- words between executor and init */

static void an_error_crosses_the_socket_whole(void **state)
{
	CLEANUP_ERR struct kerr sent = KERR_INIT;
	CLEANUP_ERR struct kerr got = KERR_INIT;
	int pair[2];

	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	kerr_fail(&sent, KERR_MOUNT, 2, "source %s", "/nowhere");
	kerr_step(&sent, "mount[3] /etc/hosts");
	kerr_at(&sent, "/mounts/3", 12, 5);
	sync_send_error(pair[0], &sent);
	assert_int_equal(sync_recv(pair[1], NULL, deadline_in_ms(1000), &got), -1);
	assert_int_equal(got.code, KERR_MOUNT);
	assert_int_equal(got.sys, 2);
	assert_string_equal(got.message, "source /nowhere");
	assert_string_equal(got.step, "mount[3] /etc/hosts");
	assert_string_equal(got.pointer, "/mounts/3");
	assert_int_equal(got.line, 12);
	assert_int_equal(got.column, 5);
	close(pair[0]);
	close(pair[1]);
}

static void an_error_longer_than_a_packet_is_cut_and_still_arrives(void **state)
{
	CLEANUP_ERR struct kerr sent = KERR_INIT;
	CLEANUP_ERR struct kerr got = KERR_INIT;
	CLEANUP_FREE char *text = mem_zalloc(100001);
	int pair[2];

	memset(text, 'x', 100000);
	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	kerr_fail(&sent, KERR_HOOK, 0, "%s", text);
	kerr_step(&sent, "%s", text);
	sync_send_error(pair[0], &sent);
	assert_int_equal(sync_recv(pair[1], NULL, deadline_in_ms(1000), &got), -1);
	assert_int_equal(got.code, KERR_HOOK);
	assert_int_equal(got.message[0], 'x');
	close(pair[0]);
	close(pair[1]);
}

static void a_cut_error_is_an_error_of_the_wire(void **state)
{
	static const char *const packets[] = { "E", "E123", "E0123456789abcdef",
		"E0123456789abcdefno end" };

	for (size_t i = 0; i < ARRAY_LEN(packets); i++) {
		CLEANUP_ERR struct kerr got = KERR_INIT;
		int pair[2];

		assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
		assert_true(write(pair[0], packets[i], strlen(packets[i])) > 0);
		assert_int_equal(sync_recv(pair[1], NULL, deadline_in_ms(1000), &got), -1);
		assert_int_equal(got.code, KERR_WIRE);
		close(pair[0]);
		close(pair[1]);
	}
}

static void the_end_of_the_socket_is_zero(void **state)
{
	int pair[2];

	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	close(pair[0]);
	assert_int_equal(sync_recv(pair[1], NULL, deadline_in_ms(1000), NULL), 0);
	close(pair[1]);
}

static void nobody_waits_for_a_silent_init_for_ever(void **state)
{
	CLEANUP_ERR struct kerr got = KERR_INIT;
	int pair[2];

	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	assert_int_equal(sync_recv(pair[1], NULL, deadline_in_ms(20), &got), -1);
	assert_true(kerr_is_set(&got));
	close(pair[0]);
	close(pair[1]);
}

static void an_fd_comes_with_its_word_and_strays_are_closed(void **state)
{
	int pair[2], got = -1, last;

	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	assert_int_equal(sync_send(pair[0], SYNC_MASTER, 1, NULL), 0);
	assert_int_equal(sync_recv(pair[1], &got, deadline_in_ms(1000), NULL), SYNC_MASTER);
	assert_true(got >= 0);
	assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
	last = got;
	close(got);
	assert_int_equal(sync_send(pair[0], SYNC_TURN, 1, NULL), 0);
	assert_int_equal(sync_recv(pair[1], NULL, deadline_in_ms(1000), NULL), SYNC_TURN);
	assert_int_equal(fcntl(last, F_GETFD), -1);
	close(pair[0]);
	close(pair[1]);
}

/* ---- values */

static void a_cpu_list_is_read_as_the_kernel_writes_it(void **state)
{
	cpu_set_t set;

	cpu_list("0-2,5,7-8", &set);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(!!CPU_ISSET(i, &set), i <= 2 || i == 5 || i == 7 || i == 8);
	cpu_list("", &set);
	assert_int_equal(CPU_COUNT(&set), 0);
	cpu_list("1000000", &set); /* more than there is room for */
	assert_int_equal(CPU_COUNT(&set), 0);
}

static void a_setting_is_the_same_only_where_the_kernel_rounds(void **state)
{
	static const struct {
		const char *asked, *found;
		bool same;
	} rows[] = {
		{ "100", "100\n", true },
		{ "67108864", "67108864\n", true },
		{ "67108865", "67108864\n", true }, /* to pages */
		{ "67108864", "67112960\n", false },
		{ "67108864", "9223372036854771712\n", false },
		{ "23", "24\n", false }, /* not all numbers are bytes */
		{ "512", "1024\n", false },
		{ "max", "max\n", true },
		{ "max", "100\n", false },
		{ "9223372036854775807", "9223372036854771712\n", true },
		{ "-1", "9223372036854771712\n", true },
		{ "-1", "4096\n", false },
		{ "-1", "max\n", true },
		{ "THAWED", "FROZEN\n", false },
		{ "0-1", "0,1\n", true },
		{ "0-1", "0\n", false },
		{ "25000 50000", "25000 50000\n", true },
		{ "25000 50000", "max 50000\n", false },
		{ "8:0 1000", "8:16 1000\n8:0 1000\n", true },
		{ "8:0 1000", "8:16 1000\n8:0 2000\n", false },
		{ "8:0 rbps=7", "8:0 rbps=7 wbps=max riops=max wiops=max\n", true },
		{ "100", "default 100\n8:0 50\n", true },
		{ "8:0 1000", "", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (same_setting(rows[i].asked, rows[i].found) != rows[i].same)
			fail_msg("'%s' and '%s'", rows[i].asked, rows[i].found);
}

static void a_hook_without_timeout_still_has_an_end(void **state)
{
	struct oci_hook h = { 0 };

	assert_true(hook_ms(&h) > 0 && hook_ms(&h) < 24ull * 3600 * 1000);
	h.timeout.set = true;
	h.timeout.v = 3;
	assert_int_equal(hook_ms(&h), 3000);
}

/* ---- operations */

static void a_failed_operation_is_named_with_its_place(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf line = BUF_INIT;
	struct op op = { .kind = OP_MOUNT,
		.nth = 3,
		.target = "/etc/resolv.conf",
		.pointer = "/mounts/3",
		.line = 7,
		.column = 9 };

	kerr_fail(&e, KERR_MOUNT, 0, "no");
	assert_int_equal(step_failed(&op, &e), -1);
	assert_string_equal(e.step, "mount[3] /etc/resolv.conf");
	assert_string_equal(e.pointer, "/mounts/3");
	assert_int_equal(e.line, 7);
	/* who has said where already is believed */
	op.pointer = "/other";
	step_failed(&op, &e);
	assert_string_equal(e.pointer, "/mounts/3");
}

static void every_kind_of_namespace_has_its_file_and_flag(void **state)
{
	int seen = 0;

	for (int t = 0; t < OCI_NS_COUNT; t++) {
		assert_non_null(ns_file((enum oci_namespace)t));
		assert_true(str_starts(ns_file((enum oci_namespace)t), "self/ns/"));
		assert_true(ns_flag((enum oci_namespace)t) != 0);
		assert_int_equal(seen & ns_flag((enum oci_namespace)t), 0);
		seen |= ns_flag((enum oci_namespace)t);
	}
}

static void every_kind_of_operation_says_how_it_is_read_back(void **state)
{
	for (int k = 0; k < OP_COUNT; k++) {
		assert_non_null(op_kind_name((enum op_kind)k));
		assert_non_null(op_kind_read_back((enum op_kind)k));
	}
}

/* Init may be on the executor's memory, and begins to wait while that one still runs. */
static void waiting_leaves_errno_to_the_other_side(void **state)
{
	int pair[2];
	pid_t other;

	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	other = fork();
	if (other == 0) {
		poll_one(-1, 0, deadline_in_ms(100));
		sync_send(pair[0], SYNC_TURN, -1, NULL);
		_exit(0);
	}
	errno = ENOENT;
	assert_int_equal(sync_recv(pair[1], NULL, deadline_in_ms(10000), NULL), SYNC_TURN);
	assert_int_equal(errno, ENOENT);
	waitpid(other, NULL, 0);
	close(pair[0]);
	close(pair[1]);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_crosses_the_socket_whole),
		cmocka_unit_test(an_error_longer_than_a_packet_is_cut_and_still_arrives),
		cmocka_unit_test(a_cut_error_is_an_error_of_the_wire),
		cmocka_unit_test(the_end_of_the_socket_is_zero),
		cmocka_unit_test(nobody_waits_for_a_silent_init_for_ever),
		cmocka_unit_test(waiting_leaves_errno_to_the_other_side),
		cmocka_unit_test(an_fd_comes_with_its_word_and_strays_are_closed),
		cmocka_unit_test(a_cpu_list_is_read_as_the_kernel_writes_it),
		cmocka_unit_test(a_setting_is_the_same_only_where_the_kernel_rounds),
		cmocka_unit_test(a_hook_without_timeout_still_has_an_end),
		cmocka_unit_test(a_failed_operation_is_named_with_its_place),
		cmocka_unit_test(every_kind_of_namespace_has_its_file_and_flag),
		cmocka_unit_test(every_kind_of_operation_says_how_it_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
