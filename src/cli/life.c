/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that change what is there. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64 }; /* containers that are stopped at the same time */

static bool is_missing(const struct kerr *e)
{
	return e->code == KERR_NOT_FOUND;
}

/* Says the error, goes on with the next id, and remembers the worst status. */
static void one_failed(struct cli *k, const char *id, struct kerr *e, int *status)
{
	if (e->step == NULL && e->message && !strstr(e->message, id))
		kerr_step(e, "%s", id);
	*status = cli_fail(k, e);
	kerr_clear(e);
}

static void one_done(struct cli *k, const char *id, const struct json *answer)
{
	struct json_out o = JSON_OUT(&k->out);

	if (args_has(k, F_JSON)) {
		json_add_value(&o, answer);
		buf_addc(&k->out, '\n');
	} else if (!args_has(k, F_QUIET)) {
		buf_addf(&k->out, "%s\n", id);
	}
}

/* The daemon died over the call, and had carried it out. */
static void deleted_before(struct cli *k, const char *id, struct kerr *e)
{
	kerr_clear(e);
	k->cut = 0;
	if (!args_has(k, F_QUIET) && !args_has(k, F_JSON))
		buf_addf(&k->out, "%s\n", id);
}

typedef int (*add_params)(struct cli *k, struct json_out *o, struct kerr *e);

static int params_for(struct cli *k, const char *id, add_params add, struct buf *b, struct kerr *e)
{
	struct json_out o = JSON_OUT(b);

	talk_begin(k, &o, id);
	if (add && add(k, &o, e))
		return -1;
	json_end_object(&o);
	return 0;
}

/* The same call for each id, one after the other. */
static int for_each(struct cli *k, enum api_method m, const char *states, add_params add)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int status = 0;

	if (talk_ids(k, states, &e))
		return cli_fail(k, &e);
	for (size_t i = 0; i < k->args.n; i++) {
		CLEANUP_BUF struct buf b = BUF_INIT;
		const struct json *answer;
		const char *id = k->args.v[i];
		CLEANUP_FREE char *waiting = mem_printf("waiting: %s %s", k->command->name, id);

		if (params_for(k, id, add, &b, &e))
			return cli_fail(k, &e);
		if (talk(k, m, &b, waiting, &answer, &e) == 0)
			one_done(k, id, answer);
		else if (is_missing(&e) && (args_has(k, F_IGNORE) || args_has(k, F_ALL)))
			kerr_clear(&e); /* with --all: somebody else was quicker */
		else if (is_missing(&e) && m == API_DELETE && k->cut)
			deleted_before(k, id, &e);
		else
			one_failed(k, id, &e, &status);
	}
	return status;
}

int cmd_start(struct cli *k)
{
	return for_each(k, API_START, NULL, NULL);
}

int cmd_pause(struct cli *k)
{
	return for_each(k, API_PAUSE, "running", NULL);
}

int cmd_resume(struct cli *k)
{
	return for_each(k, API_RESUME, "paused", NULL);
}

static int add_force(struct cli *k, struct json_out *o, struct kerr *e)
{
	(void)e;
	if (args_has(k, F_FORCE))
		json_put_bool(o, "force", true);
	return 0;
}

int cmd_delete(struct cli *k)
{
	return for_each(k, API_DELETE, args_has(k, F_FORCE) ? NULL : "created stopped", add_force);
}

static int read_signal(struct cli *k, const char *otherwise, const char **out, struct kerr *e)
{
	const char *s = args_value(k, F_SIGNAL);

	*out = s ? s : otherwise;
	if (s && signal_parse(s) <= 0)
		return kerr_fail(e, KERR_USAGE, 0, "--signal: there is no signal \"%s\"", s);
	return 0;
}

static int add_signal(struct cli *k, struct json_out *o, struct kerr *e)
{
	const char *s;

	if (read_signal(k, "KILL", &s, e))
		return -1;
	json_put_string(o, "signal", s);
	if (args_has(k, F_ALL_PROCESSES))
		json_put_bool(o, "all", true);
	return 0;
}

int cmd_kill(struct cli *k)
{
	return for_each(k, API_KILL, "running paused stopping", add_signal);
}

/* ---- stop: all at the same time, for each may take its whole stop timeout
 * -------------------------- */

static int add_stop(struct cli *k, struct json_out *o, struct kerr *e)
{
	const char *s;
	uint64_t ms;
	int r = args_ms(k, F_TIME, &ms, e);

	if (r < 0 || read_signal(k, NULL, &s, e))
		return -1;
	if (r == 0)
		json_put_u64(o, "timeoutMs", ms);
	json_put_string(o, "signal", s);
	return 0;
}

static void stop_some(struct cli *k, size_t from, size_t n, int *status)
{
	struct api_client *clients[AT_ONCE] = { NULL };
	struct buf params[AT_ONCE] = { 0 };

	for (size_t i = 0; i < n; i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;

		if (params_for(k, k->args.v[from + i], add_stop, &params[i], &e))
			one_failed(k, k->args.v[from + i], &e, status);
		else if (n > 1 && api_connect(k->host, &clients[i], &e) == 0)
			api_send(clients[i], API_STOP, params[i].data, 0, NULL, 0, talk_deadline(k),
				&e);
	}
	for (size_t i = 0; i < n; i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		const char *id = k->args.v[from + i];
		CLEANUP_FREE char *waiting = mem_printf("waiting for %s to stop", id);
		const struct json *answer;
		struct api_answer first = { 0 };
		int r = -1;

		if (clients[i])
			r = talk_receive(k, clients[i], &first, waiting, k->until, &e);
		if (clients[i] == NULL || (r && api_client_lost(clients[i]))) {
			kerr_clear(&e);
			r = talk(k, API_STOP, &params[i], waiting, &answer, &e);
		} else {
			answer = first.params;
		}
		if (r == 0)
			one_done(k, id, answer);
		else if (!is_missing(&e) || !(args_has(k, F_IGNORE) || args_has(k, F_ALL)))
			one_failed(k, id, &e, status);
		api_client_free(clients[i]);
		buf_free(&params[i]);
	}
}

int cmd_stop(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf probe = BUF_INIT;
	int status = 0;

	if (params_for(k, "x", add_stop, &probe, &e) ||
		talk_ids(k, "running paused stopping restarting", &e))
		return cli_fail(k, &e);
	for (size_t i = 0; i < k->args.n; i += AT_ONCE)
		stop_some(k, i, k->args.n - i < AT_ONCE ? k->args.n - i : AT_ONCE, &status);
	return status;
}

/* ---- wait
 * -------------------------------------------------------------------------------------------- */

static void wait_params(struct cli *k, struct buf *b, const bool *done)
{
	struct json_out o = JSON_OUT(b);

	json_begin_object(&o);
	json_key(&o, "ids");
	json_begin_array(&o);
	for (size_t i = 0; i < k->args.n; i++)
		if (!done[i])
			json_add_string(&o, k->args.v[i]);
	json_end_array(&o);
	if (args_value(k, F_CONDITION))
		json_put_string(&o, "until", args_value(k, F_CONDITION));
	json_end_object(&o);
}

/* Which of the ids is the answer about? The first that is not answered yet. */
static size_t which(struct cli *k, const char *id, const bool *done)
{
	size_t i = 0;

	while (i < k->args.n && (done[i] || !str_eq(k->args.v[i], id)))
		i++;
	return i;
}

static int wait_all(struct cli *k, const struct json **answers, bool *done, struct kerr *e)
{
	size_t left = k->args.n;

	while (left) {
		CLEANUP_BUF struct buf b = BUF_INIT;
		struct api_answer answer = { .continues = true };
		CLEANUP_FREE char *waiting =
			left == 1 && k->args.n == 1
				? mem_printf("waiting for %s", k->args.v[0])
				: mem_printf("waiting for %zu containers", left);

		wait_params(k, &b, done);
		if (talk_ask(k, API_WAIT, &b, API_MORE, e))
			return -1;
		while (left && answer.continues) {
			size_t i;

			if (talk_next(k, &answer, waiting, k->until, e))
				break;
			i = which(k, json_get_string(answer.params, "id", ""), done);
			if (i == k->args.n)
				continue;
			done[i] = true;
			answers[i] = answer.params;
			left--;
		}
		if (!kerr_is_set(e))
			continue;
		if (k->client)
			return -1;
		kerr_clear(e); /* the daemon went away: ask the next one */
	}
	return 0;
}

static void show_wait(struct cli *k, const char *id, const struct json *answer)
{
	const struct json *exit = json_get(answer, "exit");

	if (args_has(k, F_JSON))
		one_done(k, id, answer);
	else if (!args_has(k, F_QUIET) && exit && k->args.n > 1)
		buf_addf(&k->out, "%s %d\n", id, exit_status(exit));
	else if (!args_has(k, F_QUIET) && exit)
		buf_addf(&k->out, "%d\n", exit_status(exit));
}

int cmd_wait(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct json **answers = arena_array(k->a, k->args.n, sizeof *answers);
	bool *done = arena_array(k->a, k->args.n, sizeof *done);
	CLEANUP_BUF struct buf result = BUF_INIT;
	struct json_out o = JSON_OUT(&result);
	int status = 0;

	if (wait_all(k, answers, done, &e))
		return cli_fail(k, &e);
	for (size_t i = 0; i < k->args.n; i++) {
		const struct json *exit = json_get(answers[i], "exit");

		show_wait(k, k->args.v[i], answers[i]);
		if (exit && status == 0)
			status = exit_status(exit);
		json_add_value(&o, answers[i]);
		buf_addc(&result, '\n');
	}
	return cli_result(k, result.data, result.len, &e) ? cli_fail(k, &e) : status;
}
