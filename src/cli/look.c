/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that only look. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- list
 * --------------------------------------------------------------------------------------------- */

static void list_params(struct cli *k, const char *after, struct buf *b)
{
	struct json_out o = JSON_OUT(b);

	json_begin_object(&o);
	if (!args_has(k, F_JSON))
		json_put_bool(&o, "brief", true);
	if (k->args.n) {
		json_key(&o, "filter");
		json_begin_object(&o);
		json_key(&o, "ids");
		json_begin_array(&o);
		for (size_t i = 0; i < k->args.n; i++)
			json_add_string(&o, k->args.v[i]);
		json_end_array(&o);
		json_end_object(&o);
	}
	if (after) {
		json_key(&o, "page");
		json_begin_object(&o);
		json_put_string(&o, "after", after);
		json_end_object(&o);
	}
	json_end_object(&o);
}

static const char *exit_text(struct cli *k, const struct json *container)
{
	const struct json *last = json_get(container, "exit");
	const char *sig;

	if (last == NULL || str_eq(json_get_string(container, "state", ""), "running"))
		return NULL;
	sig = json_get_string(last, "signal", NULL);
	if (json_get_bool(last, "oom", false))
		return arena_printf(k->a, "%s (oom)", sig ? sig : "");
	if (sig)
		return sig;
	return json_get(last, "code") ? arena_printf(k->a, "%d", exit_status(last)) : "?";
}

static const char *number(struct cli *k, const struct json *of, const char *key)
{
	const struct json *v = json_get(of, key);

	(void)k;
	return v && v->type == JSON_NUMBER ? v->text : NULL;
}

static void add_container(struct cli *k, struct table *t, const struct json *c)
{
	const char *state = json_get_string(c, "state", "?");
	bool up = str_eq(state, "running") || str_eq(state, "paused");

	table_add(t, json_get_string(c, "id", "?"));
	table_add(t, state);
	table_add(t, up ? number(k, c, "pid") : NULL);
	table_add(t, exit_text(k, c));
	table_add(t, show_ago(k->a, json_get_string(c, up ? "started" : "created", NULL)));
	table_add(t, json_get_string(c, "bundle", NULL));
}

/* An id that was asked for and did not come. */
static int list_missing(struct cli *k, const bool *seen, struct kerr *e)
{
	for (size_t i = 0; i < k->args.n; i++)
		if (!seen[i])
			return kerr_fail(
				e, KERR_NOT_FOUND, 0, "there is no container %s", k->args.v[i]);
	return 0;
}

static void list_seen(struct cli *k, const char *id, bool *seen)
{
	for (size_t i = 0; i < k->args.n; i++)
		seen[i] |= str_eq(k->args.v[i], id);
}

static int list(struct cli *k, struct kerr *e)
{
	static const char *const head[] = { "ID", "STATE", "PID", "EXIT", "SINCE", "BUNDLE", NULL };
	struct table t = { .head = head, .columns = 6 };
	struct json_out o = JSON_OUT_PRETTY(&k->out);
	bool json = args_has(k, F_JSON), quiet = args_has(k, F_QUIET);
	bool *seen = arena_array(k->a, k->args.n + 1, sizeof *seen);
	const char *after = NULL;

	if (json)
		json_begin_array(&o);
	do {
		CLEANUP_BUF struct buf b = BUF_INIT;
		const struct json *page;

		list_params(k, after, &b);
		if (talk(k, API_LIST, &b, NULL, &page, e)) {
			vec_free(&t.cells);
			buf_reset(&k->out);
			return -1;
		}
		json_each(c, json_get(page, json ? "containers" : "brief"))
		{
			list_seen(k, json_get_string(c, "id", ""), seen);
			if (json)
				json_add_value(&o, c);
			else if (quiet)
				buf_addf(&k->out, "%s\n", json_get_string(c, "id", ""));
			else
				add_container(k, &t, c);
		}
		after = json_get_string(page, "next", NULL);
	} while (after);
	if (json) {
		json_end_array(&o);
		buf_addc(&k->out, '\n');
	} else if (!quiet) {
		table_show(k, &t);
	}
	vec_free(&t.cells);
	return list_missing(k, seen, e);
}

int cmd_list(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	return list(k, &e) ? cli_fail(k, &e) : 0;
}

/* ---- one container
 * ---------------------------------------------------------------------------------------- */

static int get(struct cli *k, const char *id, const struct json **out, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	const struct json *answer;

	json_begin_object(&o);
	json_put_string(&o, "id", id);
	if (args_has(k, F_SHOW_ENV))
		json_put_bool(&o, "showEnv", true);
	json_end_object(&o);
	if (talk(k, API_GET, &b, NULL, &answer, e))
		return -1;
	*out = json_get(answer, "container");
	return *out ? 0 : kerr_fail(e, KERR_WIRE, 0, "an answer without a container");
}

/* The four words of the runtime specification, and runc's "paused". */
static const char *oci_status(const char *state)
{
	if (str_eq(state, "stopping"))
		return "running";
	if (str_eq(state, "restarting"))
		return "stopped";
	return state;
}

int cmd_state(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct json_out o = JSON_OUT_PRETTY(&k->out);
	const struct json *c;
	const char *status;

	if (get(k, k->args.v[0], &c, &e))
		return cli_fail(k, &e);
	status = oci_status(json_get_string(c, "state", ""));
	if (args_has(k, F_QUIET)) {
		buf_addf(&k->out, "%s\n", status);
		return 0;
	}
	json_begin_object(&o);
	json_put_string(&o, "ociVersion", json_get_string(c, "ociVersion", KAPSEL_SPEC_MAX));
	json_put_string(&o, "id", json_get_string(c, "id", NULL));
	json_put_string(&o, "status", status);
	json_put_u64(&o, "pid", json_get_u64(c, "pid", 0));
	json_put_string(&o, "bundle", json_get_string(c, "bundle", NULL));
	if (json_get(c, "annotations")) {
		json_key(&o, "annotations");
		json_add_value(&o, json_get(c, "annotations"));
	}
	json_end_object(&o);
	buf_addc(&k->out, '\n');
	return 0;
}

static const struct json *item(const struct json *list_, const char *index)
{
	uint64_t n;

	if (list_->type != JSON_ARRAY || str_to_u64(index, &n))
		return NULL;
	json_each(v, list_) if (n-- == 0) return v;
	return NULL;
}

/* "exits.0.code"; "exit" is the last certificate. */
static const struct json *by_path(struct arena *a, const struct json *v, const char *path)
{
	while (v && *path) {
		size_t n = strcspn(path, ".");
		const char *name = arena_strndup(a, path, n);
		const struct json *found = json_get(v, name);

		if (found == NULL && str_eq(name, "exit") && json_get(v, "exits"))
			found = json_get(v, "exits")->first;
		v = found ? found : item(v, name);
		path += n + (path[n] == '.');
	}
	return v;
}

static int show_field(struct cli *k, const struct json *c, const char *path, struct kerr *e)
{
	const struct json *v = by_path(k->a, c, path);

	if (v == NULL)
		return kerr_fail(e, KERR_USAGE, 0, "%s has no field \"%s\" now",
			json_get_string(c, "id", "it"), path);
	show_plain(k, v);
	return 0;
}

static void show_container(struct cli *k, const struct json *c)
{
	json_each(m, c)
	{
		if (str_eq(m->key, "policyFrom"))
			continue;
		if (!str_eq(m->key, "policy")) {
			struct json member = *m, object = { .type = JSON_OBJECT, .n = 1 };

			member.next = NULL;
			object.first = object.last = &member;
			show_object(k, &object, 0, NULL);
			continue;
		}
		buf_adds(&k->out, "policy:\n");
		show_object(k, m, 1, json_get(c, "policyFrom"));
	}
}

int cmd_inspect(struct cli *k)
{
	const char *path = args_value(k, F_FIELD);
	int status = 0;

	for (size_t i = 0; i < k->args.n; i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		const struct json *c;

		if (get(k, k->args.v[i], &c, &e) || (path && show_field(k, c, path, &e))) {
			status = cli_fail(k, &e);
			continue;
		}
		if (path)
			continue;
		if (args_has(k, F_JSON)) {
			show_json(k, c);
			continue;
		}
		if (i)
			buf_addc(&k->out, '\n');
		show_container(k, c);
	}
	return status;
}

/* ---- logs
 * ---------------------------------------------------------------------------------------------- */

/* "10m" ago, or a time as it is. */
static int put_time(
	struct cli *k, struct json_out *o, enum flag_id id, const char *key, struct kerr *e)
{
	const char *v = args_value(k, id);
	char text[TIME_TEXT];
	uint64_t ms;

	if (v == NULL)
		return 0;
	if (strchr(v, 'T')) {
		json_put_string(o, key, v);
		return 0;
	}
	if (str_to_ms(v, &ms))
		return kerr_fail(e, KERR_USAGE, 0,
			"--%s: \"%s\" is neither 10m nor 2026-01-31T12:00:00Z",
			flag_by_id(id)->name, v);
	json_put_string(o, key, time_text(clock_wall_ns() - ms * NS_PER_MS, text));
	return 0;
}

static int log_params(struct cli *k, const char *since, struct buf *b, struct kerr *e)
{
	struct json_out o = JSON_OUT(b);
	uint64_t tail = 0;
	int r = args_count(k, F_TAIL, &tail, e);

	json_begin_object(&o);
	json_put_string(&o, "id", k->args.v[0]);
	if (since)
		json_put_string(&o, "since", since);
	else if (r < 0 || put_time(k, &o, F_SINCE, "since", e))
		return -1;
	if (put_time(k, &o, F_UNTIL, "until", e))
		return -1;
	if (r == 0 && since == NULL)
		json_put_u64(&o, "tail", tail);
	if (args_has(k, F_FOLLOW))
		json_put_bool(&o, "follow", true);
	json_end_object(&o);
	return 0;
}

/* Byte for byte into a pipe; on a terminal nothing of it is a command, tabs are left. */
static void log_text(struct buf *b, const struct json *text, bool is_escaped, bool tty)
{
	const char *s = text->text, *end = s + text->len;

	if (is_escaped && tty) {
		buf_add(b, s, text->len);
	} else if (is_escaped) {
		buf_add_unescaped(b, s, text->len);
	} else if (tty) {
		for (; s < end; s += s < end) {
			const char *tab = memchr(s, '\t', (size_t)(end - s));

			buf_add_escaped(b, s, (size_t)((tab ? tab : end) - s));
			if (tab)
				buf_addc(b, '\t');
			s = tab ? tab : end;
		}
	} else {
		buf_add(b, s, text->len);
	}
}

static void log_one(struct cli *k, const struct json *l, struct buf *err)
{
	struct buf *b = str_eq(json_get_string(l, "stream", ""), "stderr") ? err : &k->out;
	const struct json *text = json_get(l, "text");

	if (args_has(k, F_JSON)) {
		struct json_out o = JSON_OUT(&k->out);

		json_add_value(&o, l);
		buf_addc(&k->out, '\n');
		return;
	}
	if (args_has(k, F_TIMESTAMPS))
		buf_addf(b, "%s ", json_get_string(l, "time", "-"));
	if (text)
		log_text(b, text, json_get_bool(l, "escaped", false),
			isatty(b == &k->out ? STDOUT_FILENO : STDERR_FILENO));
	if (!json_get_bool(l, "partial", false))
		buf_addc(b, '\n');
}

/* @seen: lines up to that time were shown before the daemon went away. */
static int log_piece(struct cli *k, const struct json *piece, const char *seen, const char **last,
	struct kerr *e)
{
	CLEANUP_BUF struct buf err = BUF_INIT;
	uint64_t dropped = json_get_u64(piece, "dropped", 0);

	json_each(l, json_get(piece, "lines"))
	{
		if (seen && strcmp(json_get_string(l, "time", ""), seen) <= 0)
			continue;
		log_one(k, l, &err);
		*last = json_get_string(l, "time", *last);
	}
	if (dropped)
		buf_addf(&err, "kapsel: %llu bytes of the log were dropped\n",
			(unsigned long long)dropped);
	if (out_flush(k) || fd_write_all(2, err.data, err.len))
		return kerr_fail(e, KERR_PATH_WRITE, 0, "the reader of the log is gone");
	return 0;
}

/* Answers may be many: what one needed is forgotten before the next. */
static int log_stream(struct cli *k, const char **last, struct kerr *e)
{
	struct api_answer answer = { .continues = true };
	const char *seen = *last;

	while (answer.continues) {
		struct arena *kept = k->a;
		CLEANUP_ARENA struct arena *one = arena_new();
		const char *at = *last;
		int r;

		k->a = one;
		r = talk_next(k, &answer, NULL, k->until, e);
		k->a = kept;
		if (r || log_piece(k, answer.params, seen, &at, e))
			return -1;
		if (at && at != *last)
			*last = arena_strdup(k->a, at);
	}
	return 0;
}

int cmd_logs(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const char *last = NULL;

	for (;;) {
		CLEANUP_BUF struct buf b = BUF_INIT;

		if (log_params(k, last, &b, &e) || talk_ask(k, API_LOGS, &b, API_MORE, &e))
			return cli_fail(k, &e);
		if (log_stream(k, &last, &e) == 0)
			return 0;
		if (k->client)
			return cli_fail(k, &e);
		kerr_clear(&e);
	}
}

/* ---- ps, stats
 * --------------------------------------------------------------------------------------------- */

static const char *cpu_time(struct cli *k, const struct json *v)
{
	uint64_t ms = json_get_u64(v, "cpuNs", 0) / NS_PER_MS;

	return arena_printf(k->a, "%llu:%02llu.%02llu", (unsigned long long)(ms / 60000),
		(unsigned long long)(ms / 1000 % 60), (unsigned long long)(ms / 10 % 100));
}

static void show_processes(struct cli *k, const struct json *list_)
{
	static const char *const head[] = { "PID", "PPID", "UID", "STATE", "CPU", "MEMORY",
		"COMMAND", NULL };
	struct table t = { .head = head, .columns = 7 };

	json_each(p, list_)
	{
		table_add(&t, number(k, p, "pid"));
		table_add(&t, number(k, p, "ppid"));
		table_add(&t, number(k, p, "uid"));
		table_add(&t, json_get_string(p, "state", NULL));
		table_add(&t, cpu_time(k, p));
		table_add(&t, show_bytes(k->a, json_get(p, "memory")));
		table_add(&t, json_get_string(p, "command", NULL));
	}
	table_show(k, &t);
}

int cmd_ps(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	const struct json *answer, *list_;

	if (k->args.n == 0)
		return cmd_list(k);
	json_begin_object(&o);
	json_put_string(&o, "id", k->args.v[0]);
	json_end_object(&o);
	if (talk(k, API_PROCESSES, &b, NULL, &answer, &e))
		return cli_fail(k, &e);
	list_ = json_get(answer, "processes");
	if (args_has(k, F_JSON) && list_)
		show_json(k, list_);
	else if (args_has(k, F_QUIET))
		json_each(p, list_) buf_addf(&k->out, "%s\n", number(k, p, "pid"));
	else
		show_processes(k, list_);
	return 0;
}

static void show_stats(struct cli *k, const struct json *list_)
{
	static const char *const head[] = { "ID", "CPU", "MEMORY", "PEAK", "LIMIT", "PIDS", "READ",
		"WRITTEN", NULL };
	struct table t = { .head = head, .columns = 8 };

	if (args_has(k, F_JSON)) {
		json_each(s, list_)
		{
			struct json_out o = JSON_OUT(&k->out);

			json_add_value(&o, s);
			buf_addc(&k->out, '\n');
		}
		return;
	}
	json_each(s, list_)
	{
		table_add(&t, json_get_string(s, "id", NULL));
		table_add(&t, cpu_time(k, s));
		table_add(&t, show_bytes(k->a, json_get(s, "memory")));
		table_add(&t, show_bytes(k->a, json_get(s, "memoryPeak")));
		table_add(&t, show_bytes(k->a, json_get(s, "memoryLimit")));
		table_add(&t, number(k, s, "pids"));
		table_add(&t, show_bytes(k->a, json_get(s, "readBytes")));
		table_add(&t, show_bytes(k->a, json_get(s, "writtenBytes")));
	}
	table_show(k, &t);
}

static void ids_params(struct cli *k, struct json_out *o)
{
	if (k->args.n == 0)
		return;
	json_key(o, "ids");
	json_begin_array(o);
	for (size_t i = 0; i < k->args.n; i++)
		json_add_string(o, k->args.v[i]);
	json_end_array(o);
}

/* A terminal is drawn anew each second; else once, or with --json for ever. */
int cmd_stats(struct cli *k)
{
	bool tty = show_colour(),
	     follow = !args_has(k, F_NO_FOLLOW) && (tty || args_has(k, F_JSON));
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct api_answer answer = { .continues = true };

	json_begin_object(&o);
	ids_params(k, &o);
	json_end_object(&o);
	if (talk_ask(k, API_STATS, &b, follow ? API_MORE : 0, &e))
		return cli_fail(k, &e);
	while (answer.continues) {
		struct arena *kept = k->a;
		CLEANUP_ARENA struct arena *one = arena_new();

		k->a = one;
		if (talk_next(k, &answer, NULL, k->until, &e)) {
			k->a = kept;
			return cli_fail(k, &e);
		}
		if (tty && follow && !args_has(k, F_JSON))
			buf_adds(&k->out, "\033[H\033[J");
		show_stats(k, json_get(answer.params, "stats"));
		k->a = kept;
		if (out_flush(k))
			return EXIT_FAILED;
	}
	return 0;
}

/* ---- events
 * --------------------------------------------------------------------------------------------------
 */

static void show_event(struct cli *k, const struct json *v)
{
	const struct json *exit = json_get(v, "exit");
	const char *by = json_get_string(v, "by", NULL),
		   *message = json_get_string(v, "message", NULL);

	buf_addf(&k->out, "%s %-10s %s", json_get_string(v, "time", "-"),
		json_get_string(v, "type", "?"), json_get_string(v, "id", "-"));
	if (json_get(v, "instance"))
		buf_addf(&k->out, " instance %s", number(k, v, "instance"));
	if (exit)
		buf_addf(&k->out, " status %d%s", exit_status(exit),
			json_get_bool(exit, "oom", false) ? " (oom)" : "");
	if (by) {
		buf_adds(&k->out, " by ");
		buf_add_escaped(&k->out, by, strlen(by));
	}
	if (message) {
		buf_adds(&k->out, ": ");
		buf_add_escaped(&k->out, message, strlen(message));
	}
	buf_addc(&k->out, '\n');
}

static void show_events(struct cli *k, const struct json *answer)
{
	const char *cursor = json_get_string(answer, "cursor", "");

	json_each(v, json_get(answer, "events"))
	{
		struct json_out o = JSON_OUT(&k->out);

		if (!args_has(k, F_JSON)) {
			show_event(k, v);
			continue;
		}
		json_begin_object(&o);
		json_put_string(&o, "cursor", cursor);
		json_each(m, v)
		{
			json_key(&o, m->key);
			json_add_value(&o, m);
		}
		json_end_object(&o);
		buf_addc(&k->out, '\n');
	}
}

static int watch(struct cli *k, const char **cursor, bool *any, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct api_answer answer = { .continues = true };

	json_begin_object(&o);
	if (*cursor)
		json_put_string(&o, "cursor", *cursor);
	ids_params(k, &o);
	json_end_object(&o);
	if (talk_ask(k, API_WATCH, &b, args_has(k, F_NO_FOLLOW) ? 0 : API_MORE, e))
		return -1;
	while (answer.continues) {
		struct arena *kept = k->a;
		CLEANUP_ARENA struct arena *one = arena_new();
		int r;

		k->a = one;
		r = talk_next(k, &answer, NULL, k->until, e);
		k->a = kept;
		if (r)
			return -1;
		if (json_get_bool(answer.params, "resync", false) && *cursor)
			log_warning("events since the cursor are no longer all there");
		show_events(k, answer.params);
		*cursor = arena_strdup(k->a, json_get_string(answer.params, "cursor", ""));
		*any = json_get(answer.params, "events") && json_get(answer.params, "events")->n;
		if (out_flush(k))
			return kerr_fail(e, KERR_PATH_WRITE, 0, "the reader of the events is gone");
	}
	return 0;
}

/* Without a cursor: from the journal's first entry on, as far as it is there. */
static int past_events(struct cli *k, const char *cursor, struct kerr *e)
{
	bool any = true;

	if (cursor == NULL) {
		if (watch(k, &cursor, &any, e))
			return -1;
		cursor = arena_printf(k->a, "%.*s:0", (int)strcspn(cursor, ":"), cursor);
		any = true;
	}
	for (const char *before = NULL; any && !str_eq(before, cursor);) {
		before = cursor;
		if (watch(k, &cursor, &any, e))
			return -1;
	}
	return 0;
}

int cmd_events(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const char *cursor = args_value(k, F_CURSOR);
	bool any;

	if (args_has(k, F_NO_FOLLOW))
		return past_events(k, cursor, &e) ? cli_fail(k, &e) : 0;
	while (watch(k, &cursor, &any, &e)) {
		if (k->client || e.code == KERR_DAEMON_DENIED || k->cut == 0)
			return cli_fail(k, &e);
		if (e.code == KERR_DAEMON_MISSING && e.sys)
			return cli_fail(k, &e); /* it did not come back */
		kerr_clear(&e);
	}
	return 0;
}

/* ---- info, version
 * -------------------------------------------------------------------------------------------- */

static void show_limits(struct cli *k, const struct json *limits)
{
	buf_adds(&k->out, "limits:\n");
	json_each(l, limits) buf_addf(
		&k->out, "  %s: %s\n", json_get_string(l, "name", "?"), number(k, l, "value"));
}

static void show_findings(struct cli *k, const struct json *findings)
{
	buf_adds(&k->out, "node:\n");
	json_each(f, findings)
	{
		const char *means = json_get_string(f, "means", NULL);

		buf_addf(&k->out, "  %s: %s", json_get_string(f, "name", "?"),
			json_get_string(f, "verdict", "?"));
		if (*json_get_string(f, "found", ""))
			buf_addf(&k->out, ", %s", json_get_string(f, "found", ""));
		if (means && !str_eq(json_get_string(f, "verdict", ""), "ok"))
			buf_addf(&k->out, " (%s)", means);
		buf_addc(&k->out, '\n');
	}
}

static void show_info(struct cli *k, const struct json *info, const struct json *check)
{
	json_each(m, info)
	{
		struct json member = *m, object = { .type = JSON_OBJECT, .n = 1 };

		if (str_eq(m->key, "limits"))
			continue;
		member.next = NULL;
		object.first = object.last = &member;
		show_object(k, &object, 0, NULL);
	}
	show_limits(k, json_get(info, "limits"));
	if (check)
		show_findings(k, json_get(check, "findings"));
}

int cmd_info(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct json *info, *check = NULL;

	if (args_has(k, F_FACTS))
		return cmd_hand_over(k);
	if (talk(k, API_NODE_INFO, NULL, NULL, &info, &e))
		return cli_fail(k, &e);
	if (talk(k, API_NODE_CHECK, NULL, NULL, &check, &e) && e.code != KERR_UNSUPPORTED)
		return cli_fail(k, &e);
	if (!args_has(k, F_JSON)) {
		show_info(k, info, check);
		return 0;
	}
	{
		struct json_out o = JSON_OUT_PRETTY(&k->out);

		json_begin_object(&o);
		json_key(&o, "info");
		json_add_value(&o, info);
		if (check) {
			json_key(&o, "check");
			json_add_value(&o, check);
		}
		json_end_object(&o);
		buf_addc(&k->out, '\n');
	}
	return 0;
}

static void version_json(struct cli *k, const struct json *daemon)
{
	struct json_out o = JSON_OUT_PRETTY(&k->out);

	json_begin_object(&o);
	json_put_string(&o, "kapsel", KAPSEL_VERSION);
	json_put_string(&o, "ociVersionMax", KAPSEL_SPEC_MAX);
	if (daemon) {
		json_put_string(&o, "kapseld", json_get_string(daemon, "version", "?"));
		if (json_get(daemon, "libraries")) {
			json_key(&o, "libraries");
			json_add_value(&o, json_get(daemon, "libraries"));
		}
	}
	json_end_object(&o);
	buf_addc(&k->out, '\n');
}

int cmd_version(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct json *daemon = NULL;
	/* kapsel --version is about this program alone, as it is elsewhere. */
	bool failed =
		!args_has(k, F_VERSION) && talk(k, API_NODE_INFO, NULL, NULL, &daemon, &e) != 0;

	if (args_has(k, F_JSON)) {
		version_json(k, daemon);
	} else if (!args_has(k, F_QUIET)) {
		buf_addf(&k->out, "kapsel %s (OCI runtime specification up to %s)\n",
			KAPSEL_VERSION, KAPSEL_SPEC_MAX);
		if (daemon) {
			buf_addf(&k->out, "kapseld %s\n", json_get_string(daemon, "version", "?"));
			json_each(l, json_get(daemon, "libraries")) buf_addf(
				&k->out, "%s %s\n", l->key, l->type == JSON_STRING ? l->text : "?");
		}
	}
	return failed ? cli_fail(k, &e) : 0;
}
