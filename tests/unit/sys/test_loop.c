/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <errno.h>
#include <kapsel/sys.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SOON = 5000 };

/* ---- sockets
 * ---------------------------------------------------------------------------------------- */

static void fds_travel_with_a_packet_and_end_at_an_exec(void **state)
{
	int pair[2], tube[2], got[SOCKET_MOST_FDS];
	char data[16];
	size_t n = 0;

	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	assert_true(fcntl(pair[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pipe(tube), 0);
	assert_int_equal(socket_send(pair[0], "hello", 5, tube, 2, deadline_in_ms(SOON), NULL), 5);
	assert_int_equal(
		socket_recv(pair[1], data, sizeof data, got, &n, deadline_in_ms(SOON), NULL), 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(n, 2);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(got[1], "x", 1), 1);
	assert_int_equal(read(tube[0], data, 1), 1);
	for (int i = 0; i < 2; i++) {
		close(tube[i]);
		close(got[i]);
	}
	close(pair[0]);
	assert_int_equal(
		socket_recv(pair[1], data, sizeof data, got, &n, deadline_in_ms(SOON), NULL), 0);
	close(pair[1]);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void a_packet_too_large_or_unasked_fds_leak_nothing(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int pair[2], many[SOCKET_MOST_FDS], before;
	char data[8];
	size_t n = 9;

	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	before = open_fds();
	for (size_t i = 0; i < SOCKET_MOST_FDS; i++)
		many[i] = 0;
	assert_int_equal(
		socket_send(pair[0], "longer than eight", 17, many, 3, deadline_in_ms(SOON), NULL),
		17);
	assert_int_equal(
		socket_recv(pair[1], data, sizeof data, many, &n, deadline_in_ms(SOON), &e), -1);
	assert_int_equal(e.code, KERR_WIRE);
	assert_int_equal(n, 0);
	assert_int_equal(open_fds(), before);
	for (size_t i = 0; i < SOCKET_MOST_FDS; i++)
		many[i] = 0;
	assert_int_equal(
		socket_send(pair[0], "x", 1, many, SOCKET_MOST_FDS, deadline_in_ms(SOON), NULL), 1);
	assert_int_equal(
		socket_recv(pair[1], data, sizeof data, NULL, NULL, deadline_in_ms(SOON), NULL), 1);
	assert_int_equal(open_fds(), before);
	kerr_clear(&e);
	assert_int_equal(
		socket_send(pair[0], "x", 1, many, SOCKET_MOST_FDS + 1, deadline_in_ms(SOON), &e),
		-1);
	assert_int_equal(e.code, KERR_LIMIT);
	close(pair[0]);
	close(pair[1]);
}

static void nobody_waits_past_a_deadline(void **state)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int pair[2];
	char data[4096] = "";
	uint64_t begin = clock_mono_ns();

	assert_int_equal(socket_pair(SOCK_SEQPACKET, pair, NULL), 0);
	assert_int_equal(
		socket_recv(pair[1], data, sizeof data, NULL, NULL, deadline_in_ms(30), &e), -1);
	assert_int_equal(e.code, KERR_TIMEOUT);
	assert_in_range(clock_mono_ns() - begin, 30 * NS_PER_MS, SOON * NS_PER_MS);
	kerr_clear(&e);
	while (socket_send(pair[0], data, sizeof data, NULL, 0, deadline_in_ms(30), &e) > 0)
		;
	assert_int_equal(e.code, KERR_TIMEOUT);
	close(pair[1]);
	kerr_clear(&e);
	assert_int_equal(socket_send(pair[0], "x", 1, NULL, 0, deadline_in_ms(30), &e), -1);
	assert_int_equal(e.code, KERR_WIRE); /* and no SIGPIPE */
	close(pair[0]);
}

static void the_peer_of_a_pair_is_ourselves(void **state)
{
	struct peer p;
	int pair[2];

	assert_int_equal(socket_pair(SOCK_STREAM, pair, NULL), 0);
	assert_int_equal(socket_peer(pair[0], &p, NULL), 0);
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.uid, geteuid());
	assert_int_equal(p.ngroups, getgroups(0, NULL));
	peer_free(&p);
	close(pair[0]);
	close(pair[1]);
}

/* ---- the loop
 * --------------------------------------------------------------------------------------- */

struct end {
	struct source s;
	struct loop *loop;
	struct end *other; /* ended by our callback */
	int other_fd, calls, closed;
	enum source_answer answer;
};

static enum source_answer on_ready(struct source *s, uint32_t events)
{
	struct end *end = (struct end *)(void *)s;
	char c;

	end->calls++;
	if (end->other)
		loop_end(end->loop, &end->other->s);
	if (end->answer == SOURCE_KEEP && read(s->fd, &c, 1) != 1)
		return SOURCE_DONE;
	return end->answer;
}

static void on_closed(struct source *s)
{
	((struct end *)(void *)s)->closed++;
}

static void begin(struct loop *l, struct end *end)
{
	int pair[2];

	assert_int_equal(socket_pair(SOCK_STREAM, pair, NULL), 0);
	*end = (struct end) { .s = { .fd = pair[0], .ready = on_ready, .closed = on_closed },
		.loop = l,
		.other_fd = pair[1] };
	assert_int_equal(loop_add(l, &end->s, EPOLLIN, NULL), 0);
}

static void a_source_is_called_until_it_is_done(void **state)
{
	struct loop *l;
	struct end a;
	char c;

	assert_int_equal(loop_new(&l, NULL), 0);
	begin(l, &a);
	assert_int_equal(loop_turn(l, 0, NULL), 0);
	assert_int_equal(a.calls, 0);
	assert_int_equal(write(a.other_fd, "1", 1), 1);
	loop_turn(l, SOON, NULL);
	assert_int_equal(a.calls, 1);
	loop_turn(l, 0, NULL);
	assert_int_equal(a.calls, 1);
	assert_int_equal(loop_change(l, &a.s, 0, NULL), 0);
	assert_int_equal(write(a.other_fd, "2", 1), 1);
	loop_turn(l, 0, NULL);
	assert_int_equal(a.calls, 1);
	a.answer = SOURCE_DONE;
	assert_int_equal(loop_change(l, &a.s, EPOLLIN, NULL), 0);
	loop_turn(l, SOON, NULL);
	assert_int_equal(a.calls, 2);
	assert_int_equal(a.closed, 1);
	assert_true(read(a.other_fd, &c, 1) <= 0); /* the loop closed our end */
	loop_end(l, &a.s);
	loop_turn(l, 0, NULL);
	assert_int_equal(a.closed, 1);
	close(a.other_fd);
	loop_free(l);
}

static void a_callback_may_end_another_that_is_ready_too(void **state)
{
	struct loop *l;
	struct end a, b, c;

	assert_int_equal(loop_new(&l, NULL), 0);
	begin(l, &a);
	begin(l, &b);
	begin(l, &c);
	a.other = &b;
	b.other = &a;
	assert_int_equal(write(a.other_fd, "x", 1), 1);
	assert_int_equal(write(b.other_fd, "x", 1), 1);
	assert_int_equal(write(c.other_fd, "x", 1), 1);
	loop_turn(l, SOON, NULL);
	assert_int_equal(a.calls + b.calls, 1); /* whoever came first ended the other, unheard */
	assert_int_equal(a.closed + b.closed, 1);
	assert_int_equal(c.calls, 1);
	loop_free(l);
	assert_int_equal(a.closed + b.closed, 2);
	assert_int_equal(c.closed, 1);
	close(a.other_fd);
	close(b.other_fd);
	close(c.other_fd);
}

enum { TIMERS = 200 };
static struct timer timers[TIMERS];
static struct loop *the_loop;
static size_t fired;
static deadline last;

static void on_fire(struct timer *t)
{
	assert_true(t->at >= last);
	last = t->at;
	fired++;
}

static void on_fire_again(struct timer *t)
{
	if (++fired < 3)
		loop_timer(the_loop, t, deadline_in_ms(1));
}

static void on_fire_disarm(struct timer *t)
{
	fired++;
	loop_untimer(the_loop, &timers[0]);
	loop_untimer(the_loop, &timers[1]);
}

static void timers_fire_in_order_and_once(void **state)
{
	uint32_t seed = 7;
	uint64_t now = clock_mono_ns();

	assert_int_equal(loop_new(&the_loop, NULL), 0);
	fired = 0;
	last = 0;
	for (size_t i = 0; i < TIMERS; i++) {
		seed = seed * 1664525u + 1013904223u;
		timers[i] = (struct timer) { .fire = on_fire };
		loop_timer(the_loop, &timers[i], now + (seed >> 8) % 1000);
	}
	for (size_t i = 0; i < TIMERS; i += 4) /* moved, in both directions */
		loop_timer(the_loop, &timers[i], now + (i % 8 ? 1 : 2000) + i);
	for (size_t i = 1; i < TIMERS; i += 4)
		loop_untimer(the_loop, &timers[i]);
	loop_untimer(the_loop, &timers[1]); /* twice is fine */
	loop_turn(the_loop, SOON, NULL);
	assert_int_equal(fired, TIMERS - TIMERS / 4);
	loop_turn(the_loop, 0, NULL);
	assert_int_equal(fired, TIMERS - TIMERS / 4);
	loop_free(the_loop);
}

static void a_timer_is_not_early_and_may_arm_itself_again(void **state)
{
	deadline at = deadline_in_ms(30);

	assert_int_equal(loop_new(&the_loop, NULL), 0);
	fired = 0;
	timers[0] = (struct timer) { .fire = on_fire_again };
	loop_timer(the_loop, &timers[0], at);
	loop_turn(the_loop, 1, NULL);
	assert_true(fired == 0 || deadline_passed(at));
	for (int i = 0; i < 1000 && fired < 3; i++)
		loop_turn(the_loop, SOON, NULL);
	assert_int_equal(fired, 3);
	assert_true(deadline_passed(at));
	loop_free(the_loop);
}

static void a_timer_that_is_disarmed_by_another_does_not_fire(void **state)
{
	deadline now = clock_mono_ns();

	assert_int_equal(loop_new(&the_loop, NULL), 0);
	fired = 0;
	for (size_t i = 0; i < 3; i++)
		timers[i] = (struct timer) { .fire = i == 2 ? on_fire_disarm : on_fire_again };
	loop_timer(the_loop, &timers[0], now + 2);
	loop_timer(the_loop, &timers[1], now + 3);
	loop_timer(the_loop, &timers[2], now + 1);
	loop_turn(the_loop, SOON, NULL);
	assert_int_equal(fired, 1);
	loop_free(the_loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fds_travel_with_a_packet_and_end_at_an_exec),
		cmocka_unit_test(a_packet_too_large_or_unasked_fds_leak_nothing),
		cmocka_unit_test(nobody_waits_past_a_deadline),
		cmocka_unit_test(the_peer_of_a_pair_is_ourselves),
		cmocka_unit_test(a_source_is_called_until_it_is_done),
		cmocka_unit_test(a_callback_may_end_another_that_is_ready_too),
		cmocka_unit_test(timers_fire_in_order_and_once),
		cmocka_unit_test(a_timer_is_not_early_and_may_arm_itself_again),
		cmocka_unit_test(a_timer_that_is_disarmed_by_another_does_not_fire),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
