/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <errno.h>
#include <kapsel/api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a server on socket pairs, with a handler that a test leads
 * ---------------------------------- */

struct world {
	struct loop *loop;
	struct api_server *server;
	struct api_limits limits;
	enum role role;
	struct api_call *held[64];
	size_t nheld;
	bool hold;
	unsigned gone, audits, refusals, rooms;
	char got[256]; /* of a passed fd */
};

static enum role my_role(void *arg, const struct peer *p)
{
	struct world *w = arg;

	assert_int_equal(p->uid, getuid());
	return w->role;
}

static void my_gone(struct api_call *c, void *arg)
{
	struct world *w = arg;

	for (size_t i = 0; i < w->nheld; i++)
		if (w->held[i] == c)
			w->held[i] = NULL;
	w->gone++;
}

static void read_fd(struct world *w, struct api_call *c)
{
	const struct json *stdio = json_get(api_call_params(c), "stdio");
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_FD int fd = api_call_take_fd(c, stdio, "stdin", &e);

	if (fd >= 0)
		assert_true(read(fd, w->got, sizeof w->got - 1) > 0);
}

static void my_call(void *arg, struct api_call *c)
{
	struct world *w = arg;

	read_fd(w, c);
	if (w->hold) {
		w->held[w->nheld++] = c;
		api_call_gone(c, my_gone, w);
		return;
	}
	api_reply(c, "{\"containers\":[]}", strlen("{\"containers\":[]}"));
}

static void my_audit(void *arg, const struct api_call *c, const struct kerr *result)
{
	struct world *w = arg;

	assert_non_null(api_call_peer(c));
	w->audits++;
	w->refusals += result != NULL;
}

static int setup(void **state)
{
	struct world *w = mem_zalloc(sizeof *w);
	const struct api_hooks hooks = { my_role, my_call, my_audit };

	w->limits = api_limits_default;
	w->role = ROLE_ADMIN;
	assert_int_equal(loop_new(&w->loop, NULL), 0);
	assert_int_equal(api_server_new(w->loop, -1, &w->limits, &hooks, w, &w->server, NULL), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	api_server_free(w->server);
	loop_free(w->loop);
	free(w);
	return 0;
}

static struct api_client *connected(struct world *w)
{
	int s[2];

	assert_int_equal(socket_pair(SOCK_STREAM, s, NULL), 0);
	assert_int_equal(api_server_adopt(w->server, s[0], NULL), 0);
	return api_client_on(s[1]);
}

static void turn(struct world *w)
{
	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_turn(w->loop, 0, NULL), 0);
}

/* One answer as text: "ok", "ok..." when it continues, or the error's message. */
static char *answer(struct world *w, struct api_client *c)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct api_answer out;

	turn(w);
	if (api_receive(c, a, &out, 0, &e) == 0)
		return mem_strdup(out.continues ? "ok..." : "ok");
	return mem_printf("%s%s%s %s", e.pointer ? e.pointer : "", e.pointer ? ": " : "",
		kerr_row(e.code)->name, e.message);
}

static void answer_is(struct world *w, struct api_client *c, const char *text)
{
	CLEANUP_FREE char *a = answer(w, c);

	assert_string_equal(a, text);
}

static void answer_has(struct world *w, struct api_client *c, const char *text)
{
	CLEANUP_FREE char *a = answer(w, c);

	if (!strstr(a, text))
		fail_msg("%s is not in: %s", text, a);
}

static void send_text(struct api_client *c, const char *text)
{
	assert_int_equal(write(api_client_fd(c), text, strlen(text) + 1), strlen(text) + 1);
}

#define CONNECTED CLEANUP_CLIENT struct api_client *c = connected(w)

/* ---- the table and the texts
 * ------------------------------------------------------------------------ */

static void every_method_of_the_table_is_in_the_text_and_the_other_way_round(void **state)
{
	CLEANUP_SCHEMA struct api_schema *s = NULL;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	size_t in_texts = 0;

	assert_int_equal(api_schema_new(&s, &e), 0); /* fails when the text lacks a row's method */
	for (size_t n = 0; api_interface(n); n++)
		for (const char *t = api_interface_text(api_interface(n));
			(t = strstr(t, "\nmethod ")); t++)
			in_texts++;
	assert_int_equal(in_texts, API_METHOD_COUNT);
}

static void each_row_has_a_name_of_its_own_and_changing_needs_more_than_observe(void **state)
{
	for (int i = 0; i < API_METHOD_COUNT; i++) {
		const struct api_method_row *r = api_method((enum api_method)i);

		assert_non_null(r->name);
		assert_int_equal(api_method_by_name(r->name), i);
		assert_true(!r->changes || r->role >= ROLE_OPERATE);
		assert_true(r->role != ROLE_NONE || str_starts(r->name, "org.varlink.service."));
	}
	assert_int_equal(api_method_by_name("io.kapsel.Node.Reboot"), -1);
}

static void both_interfaces_declare_the_ten_errors_alike(void **state)
{
	for (size_t n = 1; api_interface(n); n++)
		for (int a = 0; a < API_ERROR_COUNT; a++) {
			CLEANUP_FREE char *line = mem_printf("\nerror %s (\n  code: string,\n",
				api_error_name((enum api_error)a));

			assert_non_null(strstr(api_interface_text(api_interface(n)), line));
		}
}

static void roles_have_names(void **state)
{
	assert_string_equal(role_name(ROLE_OPERATE), "operate");
	assert_int_equal(role_parse("admin"), ROLE_ADMIN);
	assert_int_equal(role_parse("root"), -1);
}

static void every_fault_of_a_request_is_reported_with_its_place(void **state)
{
	const char *text = "{\"id\":7,\"polcy\":{},\"process\":{\"args\":[\"a\",1]},"
			   "\"policy\":{\"logDriver\":\"cry\"},\"volatileBytes\":1.5}";
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_SCHEMA struct api_schema *s = NULL;
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_int_equal(api_schema_new(&s, &e), 0);
	assert_int_equal(
		api_check_in(s, API_RUN, json_parse(a, text, strlen(text), NULL, NULL), &e), -1);
	assert_string_equal(e.pointer, "/id");
	assert_int_equal(e.code, KERR_CONFIG_TYPE);
	assert_int_equal(e.nfaults, 4);
	assert_string_equal(e.faults[0].message,
		"the field \"polcy\" is not known here; did you mean \"policy\"?");
	assert_string_equal(e.faults[1].pointer, "/process/args/1");
	assert_string_equal(
		e.faults[2].message, "the word \"cry\" is not known here; did you mean \"cri\"?");
	assert_string_equal(e.faults[3].pointer, "/volatileBytes");
}

static void null_is_absent_only_where_the_field_is_optional(void **state)
{
	const char *fine = "{\"id\":\"a\",\"uid\":null}", *bad = "{\"id\":null}";
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_SCHEMA struct api_schema *s = NULL;

	assert_int_equal(api_schema_new(&s, NULL), 0);
	assert_int_equal(
		api_check_in(s, API_START, json_parse(a, fine, strlen(fine), NULL, NULL), NULL), 0);
	assert_int_equal(
		api_check_in(s, API_START, json_parse(a, bad, strlen(bad), NULL, NULL), NULL), -1);
	assert_int_equal(api_check_in(s, API_START, NULL, NULL), -1);
}

/* ---- the server
 * ----------------------------------------------------------------------------------------- */

static void a_call_is_answered(void **state)
{
	struct world *w = *state;
	CONNECTED;

	assert_int_equal(api_send(c, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	answer_is(w, c, "ok");
	assert_int_equal(w->audits, 0);
}

static void a_call_may_come_byte_by_byte(void **state)
{
	static const char text[] = "{\"method\":\"io.kapsel.Containers.List\"}";
	struct world *w = *state;
	CONNECTED;

	for (size_t i = 0; i < sizeof text; i++) {
		assert_int_equal(write(api_client_fd(c), text + i, 1), 1);
		turn(w);
	}
	answer_is(w, c, "ok");
}

static void two_calls_in_one_write_are_answered_in_order(void **state)
{
	static const char text[] = "{\"method\":\"io.kapsel.Containers.List\"}\0"
				   "{\"method\":\"io.kapsel.Node.Reboot\"}";
	struct world *w = *state;
	CONNECTED;

	assert_int_equal(write(api_client_fd(c), text, sizeof text), sizeof text);
	answer_is(w, c, "ok");
	answer_has(w, c, "does not know the method io.kapsel.Node.Reboot");
}

static void what_is_no_call_is_answered_and_the_next_one_is_heard(void **state)
{
	struct world *w = *state;
	CONNECTED;

	send_text(c, "hello");
	answer_has(w, c, "KAPSEL-JSON-SYNTAX");
	send_text(c, "[]");
	answer_has(w, c, "a call must be an object");
	send_text(c, "{\"method\":\"io.kapsel.Node.Info\",\"params\":{}}");
	answer_has(w, c, "/params: KAPSEL-CONFIG-UNKNOWN");
	send_text(c, "{\"method\":\"io.kapsel.Node.Info\",\"parameters\":[]}");
	answer_has(w, c, "parameters must be an object");
	send_text(c, "{\"method\":\"io.kapsel.Node.Info\",\"more\":1}");
	answer_has(w, c, "KAPSEL-CONFIG-TYPE");
	send_text(c, "{\"method\":\"io.kapsel.Node.Info\",\"upgrade\":true}");
	answer_has(w, c, "KAPSEL-UNSUPPORTED");
	send_text(c, "{\"method\":\"io.other.Thing\"}");
	answer_has(w, c, "does not know the interface io.other");
	send_text(c, "{\"method\":\"io.kapsel.Containers.Start\",\"parameters\":{\"id\":\"a\","
		     "\"force\":1}}");
	answer_has(w, c, "/parameters/force: KAPSEL-CONFIG-UNKNOWN");
	send_text(c, "{\"method\":\"io.kapsel.Containers.List\"}");
	answer_is(w, c, "ok");
}

static void who_may_not_is_refused_and_audited(void **state)
{
	struct world *w = *state;
	CONNECTED;

	w->role = ROLE_OBSERVE;
	assert_int_equal(
		api_send(c, API_KILL, "{\"id\":\"a\",\"signal\":\"9\"}", 0, NULL, 0, 0, NULL), 0);
	answer_has(w, c, "KAPSEL-DENIED io.kapsel.Containers.Kill needs the role operate");
	assert_int_equal(w->refusals, 1);
	assert_int_equal(api_send(c, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	answer_is(w, c, "ok");
	w->role = ROLE_NONE;
	assert_int_equal(api_send(c, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	answer_has(w, c, "KAPSEL-DENIED");
	assert_int_equal(api_send(c, API_GET_INFO, NULL, 0, NULL, 0, 0, NULL), 0);
	answer_is(w, c, "ok");
}

static void every_method_asks_for_its_role(void **state)
{
	struct world *w = *state;
	CONNECTED;

	for (int role = ROLE_NONE; role <= ROLE_ADMIN; role++)
		for (int m = 0; m < API_METHOD_COUNT; m++) {
			CLEANUP_FREE char *text = NULL;
			const struct api_method_row *r = api_method((enum api_method)m);

			w->role = (enum role)role;
			assert_int_equal(
				api_send(c, (enum api_method)m, NULL, 0, NULL, 0, 0, NULL), 0);
			text = answer(w, c);
			assert_int_equal(
				strstr(text, "KAPSEL-DENIED") != NULL, (enum role)role < r->role);
		}
}

static void a_changing_call_leaves_an_audit_line(void **state)
{
	struct world *w = *state;
	CONNECTED;

	assert_int_equal(api_send(c, API_PAUSE, "{\"id\":\"a\"}", 0, NULL, 0, 0, NULL), 0);
	answer_is(w, c, "ok");
	assert_int_equal(w->audits, 1);
	assert_int_equal(w->refusals, 0);
}

static void an_answer_may_come_later_and_in_pieces(void **state)
{
	struct world *w = *state;
	CONNECTED;

	w->hold = true;
	assert_int_equal(api_send(c, API_WATCH, NULL, API_MORE, NULL, 0, 0, NULL), 0);
	answer_has(w, c, "KAPSEL-TIMEOUT");
	assert_int_equal(w->nheld, 1);
	assert_true(api_call_more(w->held[0]));
	api_reply_more(w->held[0], "{}", 2);
	answer_is(w, c, "ok...");
	api_reply(w->held[0], NULL, 0);
	answer_is(w, c, "ok");
}

static void a_handler_is_told_when_its_client_goes(void **state)
{
	struct world *w = *state;
	struct api_client *c = connected(w);

	w->hold = true;
	assert_int_equal(api_send(c, API_WATCH, NULL, API_MORE, NULL, 0, 0, NULL), 0);
	turn(w);
	api_client_free(c);
	turn(w);
	assert_int_equal(w->gone, 1);
	assert_null(w->held[0]);
	assert_int_equal(api_server_connections(w->server), 0);
}

static void a_call_without_gone_runs_on_and_its_answer_vanishes(void **state)
{
	struct world *w = *state;
	struct api_client *c = connected(w);

	w->hold = true;
	assert_int_equal(api_send(c, API_STOP, "{\"id\":\"a\"}", 0, NULL, 0, 0, NULL), 0);
	turn(w);
	api_call_gone(w->held[0], NULL, NULL);
	api_client_free(c);
	turn(w);
	assert_int_equal(api_call_method(w->held[0]), API_STOP);
	assert_int_equal(api_call_peer(w->held[0])->uid, getuid());
	api_reply(w->held[0], "{}", 2);
	assert_int_equal(w->audits, 1);
}

static void a_call_may_outlive_the_server(void **state)
{
	struct world *w = *state;
	struct api_client *c = connected(w);
	const struct api_hooks hooks = { my_role, my_call, my_audit };

	w->hold = true;
	for (int i = 0; i < 2; i++) {
		struct api_client *d = connected(w);

		assert_int_equal(api_send(d, API_STOP, "{\"id\":\"a\"}", 0, NULL, 0, 0, NULL), 0);
		turn(w);
		api_call_gone(w->held[i], NULL, NULL);
		api_client_free(d);
		turn(w);
	}
	api_server_free(w->server);
	api_reply(w->held[0], "{}", 2);
	api_reply(w->held[1], "{}", 2);
	assert_int_equal(w->audits, 0);
	api_client_free(c);
	assert_int_equal(api_server_new(w->loop, -1, &w->limits, &hooks, w, &w->server, NULL), 0);
}

static void a_oneway_call_is_done_and_not_answered(void **state)
{
	struct world *w = *state;
	CONNECTED;

	assert_int_equal(api_send(c, API_PAUSE, "{\"id\":\"a\"}", API_ONEWAY, NULL, 0, 0, NULL), 0);
	answer_has(w, c, "KAPSEL-TIMEOUT");
	assert_int_equal(w->audits, 1);
}

static void fds_belong_to_the_call_that_they_came_with(void **state)
{
	struct world *w = *state;
	int p[2];
	CONNECTED;

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "by hand", 7), 7);
	assert_int_equal(api_send(c, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	assert_int_equal(api_send(c, API_RUN, "{\"bundle\":\"/b\",\"stdio\":{\"stdin\":0}}", 0, p,
				 1, 0, NULL),
		0);
	assert_int_equal(api_send(c, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	close(p[0]);
	close(p[1]);
	for (int i = 0; i < 3; i++)
		answer_is(w, c, "ok");
	assert_string_equal(w->got, "by hand");
}

static void nine_fds_are_one_too_many(void **state)
{
	struct world *w = *state;
	int fds[9], before = dup(0);
	CONNECTED;

	for (int i = 0; i < 9; i++)
		fds[i] = 0;
	assert_int_equal(api_send(c, API_LIST, NULL, 0, fds, 9, 0, NULL), 0);
	answer_has(w, c, "KAPSEL-LIMIT fdsPerMessage");
	assert_int_equal(api_send(c, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	answer_is(w, c, "ok");
	close(before);
	assert_int_equal(dup(0), before); /* all of them are closed */
	close(before);
}

static void a_call_too_long_is_answered_and_the_next_one_is_heard(void **state)
{
	struct world *w = *state;
	char big[5000];
	CONNECTED;

	w->limits.message_bytes = 1000;
	memset(big, ' ', sizeof big);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(write(api_client_fd(c), big, sizeof big), sizeof big);
		turn(w);
	}
	send_text(c, "{\"method\":\"io.kapsel.Containers.List\"}");
	answer_has(w, c, "KAPSEL-LIMIT messageBytes");
	send_text(c, "{\"method\":\"io.kapsel.Containers.List\"}");
	answer_is(w, c, "ok");
}

static void the_ninth_call_in_flight_is_answered_in_its_turn(void **state)
{
	struct world *w = *state;
	CONNECTED;

	w->hold = true;
	for (int i = 0; i < 9; i++)
		assert_int_equal(api_send(c, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	turn(w);
	assert_int_equal(w->nheld, 1);
	for (size_t i = 0; i < 8; i++) {
		api_reply(w->held[i], NULL, 0);
		answer_is(w, c, "ok");
	}
	answer_has(w, c, "KAPSEL-LIMIT callsPerConnection");
}

static void half_a_call_is_waited_for_only_so_long(void **state)
{
	struct world *w = *state;
	CONNECTED;

	w->limits.half_message_ms = 20;
	assert_int_equal(write(api_client_fd(c), "{", 1), 1);
	turn(w);
	usleep(30000);
	answer_has(w, c, "KAPSEL-LIMIT halfMessageMs");
	answer_has(w, c, "KAPSEL-DAEMON-MISSING");
	assert_true(api_client_lost(c));
}

static void who_does_not_read_is_dropped_alone(void **state)
{
	struct world *w = *state;
	CLEANUP_FREE char *big = mem_zalloc(200001);
	CLEANUP_CLIENT struct api_client *other = connected(w);
	CONNECTED;

	log_to(NULL, NULL, LOG_ERROR);
	memset(big, ' ', 200000);
	big[0] = '{';
	big[199999] = '}';
	w->hold = true;
	assert_int_equal(api_send(c, API_WATCH, NULL, API_MORE, NULL, 0, 0, NULL), 0);
	turn(w);
	for (int i = 0; i < 12 && w->held[0]; i++) {
		api_reply_more(w->held[0], big, 200000);
		turn(w);
	}
	assert_int_equal(w->gone, 1);
	w->hold = false;
	assert_int_equal(api_send(other, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	answer_is(w, other, "ok");
}

static void room_again(struct api_call *c, void *arg)
{
	struct world *w = arg;

	assert_true(api_call_unsent(c) < w->limits.unsent_bytes / 2);
	w->rooms++;
}

static void a_stream_is_told_when_its_reader_has_caught_up(void **state)
{
	struct world *w = *state;
	CLEANUP_FREE char *big = mem_zalloc(800001);
	CONNECTED;

	memset(big, ' ', 800000);
	big[0] = '{';
	big[799999] = '}';
	w->hold = true;
	assert_int_equal(api_send(c, API_LOGS, "{\"id\":\"a\"}", API_MORE, NULL, 0, 0, NULL), 0);
	turn(w);
	api_reply_more(w->held[0], big, 800000);
	api_call_on_room(w->held[0], room_again, w);
	turn(w);
	assert_int_equal(w->rooms, 0);
	assert_true(api_call_unsent(w->held[0]) > 0);
	for (int i = 0; i < 100 && w->rooms == 0; i++) {
		char sink[65536];

		assert_true(read(api_client_fd(c), sink, sizeof sink) > 0);
		turn(w);
	}
	assert_int_equal(w->rooms, 1);
}

static void connections_of_one_uid_are_bounded_and_the_last_place_is_for_admin(void **state)
{
	struct world *w = *state;
	int s[2];
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CONNECTED;

	w->limits.connections = 2;
	w->role = ROLE_OBSERVE;
	assert_int_equal(socket_pair(SOCK_STREAM, s, NULL), 0);
	assert_int_equal(api_server_adopt(w->server, s[0], &e), -1);
	assert_int_equal(e.code, KERR_LIMIT);
	{
		CLEANUP_CLIENT struct api_client *d = api_client_on(s[1]);

		answer_has(w, d, "KAPSEL-LIMIT connections: there are 1");
	}
	w->role = ROLE_ADMIN;
	{
		CLEANUP_CLIENT struct api_client *d = connected(w);

		w->limits.connections = 10;
		w->limits.connections_per_uid = 2;
		assert_int_equal(socket_pair(SOCK_STREAM, s, NULL), 0);
		assert_int_equal(api_server_adopt(w->server, s[0], &e), -1);
		assert_true(str_starts(e.message, "connectionsPerUid"));
		close(s[1]);
		assert_int_equal(api_send(d, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
		answer_is(w, d, "ok");
	}
}

static void who_has_said_all_still_gets_the_answer(void **state)
{
	struct world *w = *state;
	CONNECTED;

	w->hold = true;
	assert_int_equal(api_send(c, API_LIST, NULL, 0, NULL, 0, 0, NULL), 0);
	assert_int_equal(shutdown(api_client_fd(c), SHUT_WR), 0);
	turn(w);
	api_reply(w->held[0], NULL, 0);
	answer_is(w, c, "ok");
	turn(w);
	assert_int_equal(api_server_connections(w->server), 0);
}

static void the_service_tells_its_interfaces(void **state)
{
	struct world *w = *state;
	CLEANUP_ARENA struct arena *a = arena_new();
	struct api_answer out;
	CONNECTED;

	for (size_t n = 0; api_interface(n); n++) {
		CLEANUP_FREE char *p = mem_printf("{\"interface\":\"%s\"}", api_interface(n));

		assert_int_equal(api_send(c, API_GET_INTERFACE, p, 0, NULL, 0, 0, NULL), 0);
		turn(w);
		assert_int_equal(api_receive(c, a, &out, 0, NULL), 0);
		assert_string_equal(json_get_string(out.params, "description", ""),
			api_interface_text(api_interface(n)));
	}
	assert_int_equal(
		api_send(c, API_GET_INTERFACE, "{\"interface\":\"a.b\"}", 0, NULL, 0, 0, NULL), 0);
	answer_has(w, c, "does not know the interface a.b");
}

static void an_error_arrives_whole(void **state)
{
	struct world *w = *state;
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr sent = KERR_INIT, got = KERR_INIT;
	struct api_answer out;
	CONNECTED;

	w->hold = true;
	assert_int_equal(api_send(c, API_NODE_RELOAD, NULL, 0, NULL, 0, 0, NULL), 0);
	turn(w);
	kerr_fail(&sent, KERR_MOUNT_SOURCE_MISSING, ENOENT, "source /x");
	kerr_step(&sent, "mount[3] /etc");
	kerr_at(&sent, "/mounts/3/source", 12, 5);
	api_fail(w->held[0], &sent);
	turn(w);
	assert_int_equal(api_receive(c, a, &out, 0, &got), -1);
	assert_int_equal(got.code, sent.code);
	assert_int_equal(got.sys, ENOENT);
	assert_string_equal(got.message, sent.message);
	assert_string_equal(got.step, sent.step);
	assert_string_equal(got.pointer, sent.pointer);
	assert_int_equal(got.line, 12);
	assert_int_equal(got.column, 5);
	assert_false(api_client_lost(c));
}

static void a_missing_daemon_is_told_from_a_forbidden_one(void **state)
{
	struct api_client *c = NULL;
	CLEANUP_ERR struct kerr e = KERR_INIT;

	assert_int_equal(api_connect("/nowhere/kapseld.sock", &c, &e), -1);
	assert_int_equal(e.code, KERR_DAEMON_MISSING);
	assert_null(c);
}

int main(void)
{
#define OWN(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_of_the_table_is_in_the_text_and_the_other_way_round),
		cmocka_unit_test(
			each_row_has_a_name_of_its_own_and_changing_needs_more_than_observe),
		cmocka_unit_test(both_interfaces_declare_the_ten_errors_alike),
		cmocka_unit_test(roles_have_names),
		cmocka_unit_test(every_fault_of_a_request_is_reported_with_its_place),
		cmocka_unit_test(null_is_absent_only_where_the_field_is_optional),
		OWN(a_call_is_answered),
		OWN(a_call_may_come_byte_by_byte),
		OWN(two_calls_in_one_write_are_answered_in_order),
		OWN(what_is_no_call_is_answered_and_the_next_one_is_heard),
		OWN(who_may_not_is_refused_and_audited),
		OWN(every_method_asks_for_its_role),
		OWN(a_changing_call_leaves_an_audit_line),
		OWN(an_answer_may_come_later_and_in_pieces),
		OWN(a_handler_is_told_when_its_client_goes),
		OWN(a_call_without_gone_runs_on_and_its_answer_vanishes),
		OWN(a_call_may_outlive_the_server),
		OWN(a_oneway_call_is_done_and_not_answered),
		OWN(fds_belong_to_the_call_that_they_came_with),
		OWN(nine_fds_are_one_too_many),
		OWN(a_call_too_long_is_answered_and_the_next_one_is_heard),
		OWN(the_ninth_call_in_flight_is_answered_in_its_turn),
		OWN(half_a_call_is_waited_for_only_so_long),
		OWN(who_does_not_read_is_dropped_alone),
		OWN(a_stream_is_told_when_its_reader_has_caught_up),
		OWN(connections_of_one_uid_are_bounded_and_the_last_place_is_for_admin),
		OWN(who_has_said_all_still_gets_the_answer),
		OWN(the_service_tells_its_interfaces),
		OWN(an_error_arrives_whole),
		cmocka_unit_test(a_missing_daemon_is_told_from_a_forbidden_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
