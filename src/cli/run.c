/* SPDX-License-Identifier: Apache-2.0 */
/* run, create, exec, attach: what is asked of kapseld, from flags. */
#include "cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

extern char **environ;

enum { ID_BYTES = 6, ENV_FILE_MOST = 1 << 20 };

/* ---- process
 * ------------------------------------------------------------------------------------------- */

static const char *own_env(const char *name)
{
	size_t n = strlen(name);

	for (char **v = environ; *v; v++)
		if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
			return *v;
	return NULL;
}

/* "NAME=VALUE", or "NAME" for our own value, if we have one. */
static void add_env(struct json_out *o, const char *entry)
{
	const char *whole = strchr(entry, '=') ? entry : own_env(entry);

	if (whole)
		json_add_string(o, whole);
}

static int add_env_file(struct cli *k, struct json_out *o, const char *path, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_RDONLY, e);

	if (fd < 0 || fd_read_all(fd, ENV_FILE_MOST, &b, e))
		return kerr_step(e, "--env-file %s", path);
	for (const char *at = buf_str(&b); *at;) {
		size_t n = strcspn(at, "\n"), end = n;
		char *line;

		while (end && (at[end - 1] == '\r'))
			end--;
		line = arena_strndup(k->a, at, end);
		if (*line && *line != '#')
			add_env(o, line);
		at += n + (at[n] == '\n');
	}
	return 0;
}

static int put_env(struct cli *k, struct json_out *o, struct kerr *e)
{
	if (!args_has(k, F_ENV) && !args_has(k, F_ENV_FILE))
		return 0;
	json_key(o, "env");
	json_begin_array(o);
	for (size_t i = 0; i < k->given.n; i++)
		if (k->given.v[i].id == F_ENV_FILE && add_env_file(k, o, k->given.v[i].value, e))
			return -1;
	for (size_t i = 0; i < k->given.n; i++) {
		const char *v = k->given.v[i].value;

		if (k->given.v[i].id != F_ENV)
			continue;
		if (*v == '=' || *v == '\0')
			return kerr_fail(e, KERR_USAGE, 0, "--env: a name is missing before \"=\"");
		add_env(o, v);
	}
	json_end_array(o);
	return 0;
}

static int put_process(struct cli *k, struct json_out *o, bool tty, struct kerr *e)
{
	struct winsize w;

	json_key(o, "process");
	json_begin_object(o);
	if (k->rest && *k->rest) {
		json_key(o, "args");
		json_begin_array(o);
		for (char **v = k->rest; *v; v++)
			json_add_string(o, *v);
		json_end_array(o);
	}
	if (put_env(k, o, e))
		return -1;
	json_put_string(o, "cwd", args_value(k, F_WORKDIR));
	json_put_string(o, "user", args_value(k, F_USER));
	if (tty) {
		json_put_bool(o, "terminal", true);
		if (ioctl(0, TIOCGWINSZ, &w) == 0 && w.ws_col) {
			json_put_u64(o, "rows", w.ws_row);
			json_put_u64(o, "columns", w.ws_col);
		}
	}
	json_end_object(o);
	return 0;
}

/* ---- policy
 * ---------------------------------------------------------------------------------------------- */

static int put_log(struct cli *k, struct json_out *o, struct kerr *e)
{
	const char *driver = args_value(k, F_LOG_DRIVER);
	uint64_t n;
	int r;

	if (str_eq(driver, "k8s-file")) /* Podman's name for the same format */
		driver = "cri";
	if (driver && !str_eq(driver, "cri") && !str_eq(driver, "none"))
		return kerr_fail(e, KERR_USAGE, 0,
			"--log-driver: there are cri and none, not \"%s\"", driver);
	json_put_string(o, "logDriver", driver);
	if ((r = args_bytes(k, F_LOG_MAX_SIZE, &n, e)) < 0)
		return -1;
	if (r == 0)
		json_put_u64(o, "logMaxSize", n);
	if ((r = args_count(k, F_LOG_MAX_FILES, &n, e)) < 0)
		return -1;
	if (r == 0)
		json_put_u64(o, "logMaxFiles", n);
	return 0;
}

static int put_policy(struct cli *k, struct json_out *o, struct kerr *e)
{
	const char *sig = args_value(k, F_STOP_SIGNAL);
	uint64_t n;
	int r = args_ms(k, F_STOP_TIMEOUT, &n, e);

	if (r < 0)
		return -1;
	if (sig && signal_parse(sig) <= 0)
		return kerr_fail(e, KERR_USAGE, 0, "--stop-signal: there is no signal \"%s\"", sig);
	json_key(o, "policy");
	json_begin_object(o);
	json_put_string(o, "stopSignal", sig);
	if (r == 0)
		json_put_u64(o, "stopTimeoutMs", n);
	if (args_has(k, F_RM))
		json_put_bool(o, "autoRemove", true);
	if (put_log(k, o, e))
		return -1;
	json_end_object(o);
	return 0;
}

/* ---- run and create
 * ------------------------------------------------------------------------------------------ */

static const char *make_id(struct cli *k)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	unsigned char r[ID_BYTES];

	if (getrandom(r, sizeof r, 0) != sizeof r)
		return NULL;
	for (size_t i = 0; i < sizeof r; i++)
		buf_addf(&b, "%02x", r[i]);
	return arena_strdup(k->a, b.data);
}

/* Nothing that another place would be reached by; a link in it may stay. */
static bool is_plain_path(const char *path)
{
	return path[0] == '/' && path[1] && !str_ends(path, "/") && strstr(path, "//") == NULL &&
	       strstr(path, "/.") == NULL;
}

static int bundle_open(struct cli *k, struct buf *path, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	int fd = path_host_dir(AT_FDCWD, k->args.v[0], &why);

	if (fd < 0)
		return kerr_fail(
			e, KERR_BUNDLE_MISSING, why.sys, "there is no bundle %s", k->args.v[0]);
	if (is_plain_path(k->args.v[0])) {
		buf_adds(path, k->args.v[0]);
	} else if (fd_path(fd, path, e)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Everything but fds and the closing brace. */
static int put_create(
	struct cli *k, struct json_out *o, const char *id, const char *bundle, struct kerr *e)
{
	uint64_t bytes = 0;

	talk_begin(k, o, id);
	json_put_string(o, "bundle", bundle);
	json_put_bool(o, "exclusive", true);
	if (args_has(k, F_INTERACTIVE))
		json_put_bool(o, "interactive", true);
	if (args_has(k, F_VOLATILE)) {
		if (args_bytes(k, F_VOLATILE, &bytes, e) < 0)
			return -1;
		json_put_u64(o, "volatileBytes", bytes);
	}
	return put_policy(k, o, e) || put_process(k, o, args_has(k, F_TTY), e) ? -1 : 0;
}

static int check_id(const char *id, struct kerr *e)
{
	return id_is_valid(id) ? 0 : kerr_fail(e, KERR_ID, 0, "\"%s\" is no valid id", id);
}

static void show_new(struct cli *k, const struct json *answer)
{
	if (args_has(k, F_JSON))
		show_json(k, answer);
	else
		buf_addf(&k->out, "%s\n", json_get_string(answer, "id", ""));
}

void say_warnings(struct cli *k, const struct json *answer)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (args_has(k, F_QUIET) || args_has(k, F_JSON))
		return;
	json_each(w, json_get(answer, "warnings"))
	{
		CLEANUP_ERR struct kerr one = KERR_INIT;

		json_get_kerr(w, &one);
		buf_adds(&b, "kapsel: warning: ");
		kerr_line(&one, &b);
		buf_addc(&b, '\n');
	}
	fd_write_all(2, b.data, b.len);
}

/* Without streams: create, and run --detach. */
static int make(
	struct cli *k, const char *id, enum api_method m, struct buf *b, int bundle, struct kerr *e)
{
	struct json_out o = { .b = b, .depth = 1, .comma = true };
	CLEANUP_FREE char *waiting = mem_printf("waiting for %s to be made", id);
	struct api_answer answer;

	json_put_u64(&o, "bundleFd", 0);
	json_end_object(&o);
	for (;;) {
		if (talk_connect(k, e))
			return -1;
		if (api_send(k->client, m, b->data, 0, &bundle, 1, talk_deadline(k), e) == 0 &&
			talk_receive(k, k->client, &answer, waiting, k->until, e) == 0)
			break;
		if (!api_client_lost(k->client))
			return -1;
		api_client_free(k->client);
		k->client = NULL;
		k->cut = clock_mono_ns();
	}
	say_warnings(k, answer.params);
	show_new(k, answer.params);
	return 0;
}

static int run_here(struct cli *k, const char *id, struct buf *params, int bundle, struct kerr *e)
{
	struct session_ask ask = { .method = API_RUN,
		.id = id,
		.params = *params,
		.tty = args_has(k, F_TTY),
		.in = args_has(k, F_INTERACTIVE),
		.bundle = bundle,
		.remove = args_has(k, F_RM) };
	struct json_out o = { .b = &ask.params, .depth = 1, .comma = true };

	*params = (struct buf)BUF_INIT;
	json_put_bool(&o, "wait", true);
	return session_run(k, &ask, e);
}

/* --standalone: the container goes with its daemon, so nothing is kept either way. */
static int run_alone(struct cli *k, const char *id, struct buf *params, int bundle, struct kerr *e)
{
	struct standalone s;
	int status;

	if (args_has(k, F_DETACH)) {
		close(bundle);
		return kerr_fail(
			e, KERR_USAGE, 0, "--standalone ends with the call: it cannot be --detach");
	}
	if (standalone_start(k, &s, e)) {
		close(bundle);
		return -1;
	}
	status = run_here(k, id, params, bundle, e);
	standalone_end(k, &s, e);
	return status;
}

static int run_or_create(struct cli *k, bool start, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT, path = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	const char *id = args_value(k, F_ID);
	CLEANUP_FD int bundle = -1;

	if (id == NULL)
		id = make_id(k);
	if (check_id(id, e) || (bundle = bundle_open(k, &path, e)) < 0 ||
		put_create(k, &o, id, path.data, e))
		return -1;
	if (args_has(k, F_STANDALONE))
		return run_alone(k, id, &b, fd_take(&bundle), e);
	if (start && !args_has(k, F_DETACH))
		return run_here(k, id, &b, fd_take(&bundle), e);
	return make(k, id, start ? API_RUN : API_CREATE, &b, bundle, e);
}

int cmd_run(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int status = run_or_create(k, true, &e);

	return status < 0 ? cli_fail(k, &e) : status;
}

int cmd_create(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	return run_or_create(k, false, &e) ? cli_fail(k, &e) : 0;
}

/* ---- exec and attach
 * --------------------------------------------------------------------------------------------- */

static int exec_detached(struct cli *k, struct buf *b, struct kerr *e)
{
	struct json_out o = { .b = b, .depth = 1, .comma = true };
	const struct json *answer;

	json_put_bool(&o, "detach", true);
	json_end_object(&o);
	if (talk(k, API_EXEC, b, NULL, &answer, e))
		return -1;
	if (args_has(k, F_JSON))
		show_json(k, answer);
	else if (!args_has(k, F_QUIET))
		buf_addf(&k->out, "%s\n", json_get_string(answer, "exec", ""));
	return 0;
}

static int exec(struct cli *k, struct kerr *e)
{
	struct session_ask ask = { .method = API_EXEC,
		.id = k->args.v[0],
		.tty = args_has(k, F_TTY),
		.in = args_has(k, F_INTERACTIVE),
		.exec = true,
		.bundle = -1 };
	struct json_out o = JSON_OUT(&ask.params);
	int r;

	talk_begin(k, &o, ask.id);
	if (ask.in)
		json_put_bool(&o, "interactive", true);
	if (put_process(k, &o, ask.tty, e)) {
		buf_free(&ask.params);
		return -1;
	}
	if (!args_has(k, F_DETACH))
		return session_run(k, &ask, e);
	r = exec_detached(k, &ask.params, e);
	buf_free(&ask.params);
	return r;
}

int cmd_exec(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int status = exec(k, &e);

	return status < 0 ? cli_fail(k, &e) : status;
}

/* Whether it has a terminal decides how we connect to it. */
static int has_terminal(struct cli *k, const char *id, bool *out, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	const struct json *answer;

	json_begin_object(&o);
	json_put_string(&o, "id", id);
	json_end_object(&o);
	if (talk(k, API_GET, &b, NULL, &answer, e))
		return -1;
	*out = json_get_bool(json_get(answer, "container"), "terminal", false);
	return 0;
}

int cmd_attach(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct session_ask ask = { .method = API_ATTACH,
		.id = k->args.v[0],
		.in = !args_has(k, F_NO_STDIN),
		.bundle = -1 };
	struct json_out o = JSON_OUT(&ask.params);
	int status;

	if (has_terminal(k, ask.id, &ask.tty, &e))
		return cli_fail(k, &e);
	talk_begin(k, &o, ask.id);
	status = session_run(k, &ask, &e);
	return status < 0 ? cli_fail(k, &e) : status;
}
