/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { NARROWEST = 6 }; /* a column is not cut below this */

int fd_write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int out_flush(struct cli *k)
{
	int r = fd_write_all(1, k->out.data, k->out.len);

	buf_reset(&k->out);
	return r;
}

bool show_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(1) && (no == NULL || *no == '\0') && !str_eq(getenv("TERM"), "dumb");
}

/* ---- errors and results
 * -------------------------------------------------------------------------- */

static int status_of(const struct cli *k, const struct kerr *e)
{
	bool runs = k->command && k->command->runs;

	if (runs && e->code == KERR_EXEC_NOT_FOUND)
		return 127;
	if (runs && (e->code == KERR_EXEC_DENIED || e->code == KERR_EXEC_FAILED))
		return 126;
	if (runs)
		return EXIT_KAPSEL;
	return e->code == KERR_USAGE ? EXIT_WRONG_USE : EXIT_FAILED;
}

static void error_json(const struct kerr *e, struct buf *b)
{
	struct json_out o = JSON_OUT(b);

	json_begin_object(&o);
	json_key(&o, "error");
	json_begin_object(&o);
	json_put_kerr(&o, e);
	json_end_object(&o);
	json_end_object(&o);
	buf_addc(b, '\n');
}

int cli_result(struct cli *k, const char *json, size_t len, struct kerr *e)
{
	const char *path = args_value(k, F_RESULT);
	CLEANUP_FD int fd = -1;

	k->result_written = true;
	if (path == NULL)
		return 0;
	fd = path_host(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, e);
	if (fd < 0)
		return kerr_step(e, "--result");
	if (fd_write_all(fd, json, len))
		return kerr_fail(e, KERR_PATH_WRITE, errno, "--result %s", path);
	return 0;
}

static void error_text(const struct cli *k, const struct kerr *e, struct buf *b)
{
	buf_adds(b, "kapsel: ");
	if (e->code != KERR_USAGE) {
		kerr_text(e, b);
		return;
	}
	kerr_line(e, b);
	buf_addf(b, "\n  `kapsel %s%s--help` explains it.\n", k->command ? k->command->name : "",
		k->command ? " " : "");
}

int cli_fail(struct cli *k, const struct kerr *e)
{
	CLEANUP_BUF struct buf text = BUF_INIT, json = BUF_INIT;
	CLEANUP_ERR struct kerr also = KERR_INIT;

	out_flush(k);
	error_json(e, &json);
	if (args_has(k, F_JSON))
		buf_add(&text, json.data, json.len);
	else
		error_text(k, e, &text);
	if (!k->result_written && cli_result(k, json.data, json.len, &also))
		error_text(k, &also, &text);
	fd_write_all(2, text.data, text.len);
	return status_of(k, e);
}

int exit_status(const struct json *exit)
{
	const char *name = json_get_string(exit, "signal", NULL);
	int sig = name ? signal_parse(name) : -1;

	if (sig > 0)
		return 128 + sig;
	return (int)json_get_u64(exit, "code", EXIT_KAPSEL);
}

/* ---- values
 * ---------------------------------------------------------------------------------------- */

void show_json(struct cli *k, const struct json *v)
{
	struct json_out o = JSON_OUT_PRETTY(&k->out);

	json_add_value(&o, v);
	buf_addc(&k->out, '\n');
}

static void scalar(struct buf *b, const struct json *v)
{
	if (v->type == JSON_BOOL)
		buf_adds(b, v->boolean ? "true" : "false");
	else if (v->type == JSON_NULL)
		buf_adds(b, "-");
	else
		buf_add_escaped(b, v->text, v->len);
}

void show_plain(struct cli *k, const struct json *v)
{
	if (v->type == JSON_OBJECT || v->type == JSON_ARRAY) {
		show_json(k, v);
		return;
	}
	if (v->type == JSON_STRING && !isatty(1))
		buf_add(&k->out, v->text, v->len);
	else
		scalar(&k->out, v);
	buf_addc(&k->out, '\n');
}

static void indentation(struct buf *b, unsigned indent)
{
	for (unsigned i = 0; i < indent; i++)
		buf_adds(b, "  ");
}

static bool is_scalar(const struct json *v)
{
	return v->type != JSON_OBJECT && v->type != JSON_ARRAY;
}

static void items(struct cli *k, const struct json *list, unsigned indent)
{
	json_each(v, list)
	{
		indentation(&k->out, indent);
		buf_adds(&k->out, "- ");
		if (is_scalar(v)) {
			scalar(&k->out, v);
			buf_addc(&k->out, '\n');
		} else {
			buf_addc(&k->out, '\n');
			show_object(k, v, indent + 1, NULL);
		}
	}
}

void show_object(struct cli *k, const struct json *v, unsigned indent, const struct json *from)
{
	if (v->type == JSON_ARRAY) {
		items(k, v, indent);
		return;
	}
	json_each(m, v)
	{
		const char *origin = json_get_string(from, m->key, NULL);

		indentation(&k->out, indent);
		buf_add_escaped(&k->out, m->key, strlen(m->key));
		buf_adds(&k->out, ":");
		if (!is_scalar(m)) {
			buf_adds(&k->out, m->n ? "\n" : " none\n");
			show_object(k, m, indent + 1, NULL);
			continue;
		}
		buf_addc(&k->out, ' ');
		scalar(&k->out, m);
		if (origin)
			buf_addf(&k->out, " (%s)", origin);
		buf_addc(&k->out, '\n');
	}
}

const char *show_ago(struct arena *a, const char *time)
{
	struct tm t = { 0 };
	int64_t s;

	if (time == NULL || strptime(time, "%Y-%m-%dT%H:%M:%S", &t) == NULL)
		return NULL;
	s = (int64_t)(clock_wall_ns() / NS_PER_S) - (int64_t)timegm(&t);
	if (s < 0)
		s = 0;
	if (s < 120)
		return arena_printf(a, "%llds", (long long)s);
	if (s < 120 * 60)
		return arena_printf(a, "%lldm", (long long)s / 60);
	if (s < 48 * 3600)
		return arena_printf(a, "%lldh", (long long)s / 3600);
	return arena_printf(a, "%lldd", (long long)s / 86400);
}

const char *show_bytes(struct arena *a, const struct json *v)
{
	static const char units[] = "BKMGTP";
	size_t unit = 0;
	uint64_t n, rest = 0;

	if (v == NULL || v->type != JSON_NUMBER || str_to_u64(v->text, &n))
		return NULL;
	for (; n >= 1024 && units[unit + 1]; unit++) {
		rest = n % 1024;
		n /= 1024;
	}
	if (unit == 0 || n >= 100)
		return arena_printf(a, "%llu%c", (unsigned long long)n, units[unit]);
	return arena_printf(a, "%llu.%llu%c", (unsigned long long)n,
		(unsigned long long)(rest * 10 / 1024), units[unit]);
}

/* ---- tables
 * ------------------------------------------------------------------------------------------ */

void table_add(struct table *t, const char *cell)
{
	vec_push(&t->cells) = cell ? cell : "-";
}

/* Columns of a terminal that the text takes, one a character: wide scripts come out narrower than
 * they are, and nothing worse. */
static size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static size_t text_cut(const char *s, size_t width)
{
	size_t at = 0, n = 0;

	while (s[at]) {
		if ((s[at] & 0xc0) != 0x80 && n++ == width)
			break;
		at++;
	}
	return at;
}

static size_t terminal_width(void)
{
	struct winsize w;

	if (!isatty(1) || ioctl(1, TIOCGWINSZ, &w) < 0)
		return SIZE_MAX;
	return w.ws_col ? w.ws_col : 80;
}

/* The widest column gives way until all fit. */
static void fit(size_t *width, size_t n, size_t room)
{
	for (;;) {
		size_t sum = 2 * (n - 1), widest = 0;

		for (size_t i = 0; i < n; i++) {
			sum += width[i];
			if (width[i] > width[widest])
				widest = i;
		}
		if (sum <= room || width[widest] <= NARROWEST)
			return;
		width[widest]--;
	}
}

static const char *colour_of(const char *cell)
{
	static const struct {
		const char *word, *colour;
	} colours[] = { { "running", "\033[32m" }, { "paused", "\033[33m" },
		{ "stopping", "\033[33m" }, { "restarting", "\033[33m" },
		{ "stopped", "\033[2m" } };

	for (size_t i = 0; i < ARRAY_LEN(colours); i++)
		if (str_eq(cell, colours[i].word))
			return colours[i].colour;
	return NULL;
}

static void cell(struct buf *b, const char *text, size_t width, bool last, bool colours)
{
	size_t w = text_width(text);
	const char *colour = colours ? colour_of(text) : NULL;

	buf_adds(b, colour ? colour : "");
	if (w > width) {
		buf_add(b, text, text_cut(text, width - 1));
		buf_adds(b, "\xe2\x80\xa6");
		w = width;
	} else {
		buf_adds(b, text);
	}
	buf_adds(b, colour ? "\033[0m" : "");
	for (; !last && w < width + 2; w++)
		buf_addc(b, ' ');
}

/* Names and commands are strangers' words: made safe for a terminal, once. */
static const char *safe(struct cli *k, const char *text)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	buf_add_escaped(&b, text, strlen(text));
	return arena_strdup(k->a, buf_str(&b));
}

void table_show(struct cli *k, struct table *t)
{
	size_t n = t->columns ? t->columns : 1, *width = arena_array(k->a, n, sizeof *width);
	bool colours = show_colour();

	for (size_t i = 0; i < n; i++)
		width[i] = text_width(t->head[i]);
	for (size_t i = 0; i < t->cells.n; i++) {
		t->cells.v[i] = safe(k, t->cells.v[i]);
		if (text_width(t->cells.v[i]) > width[i % n])
			width[i % n] = text_width(t->cells.v[i]);
	}
	fit(width, n, terminal_width());
	for (size_t i = 0; i < n; i++)
		cell(&k->out, t->head[i], width[i], i + 1 == n, false);
	buf_addc(&k->out, '\n');
	for (size_t i = 0; i < t->cells.n; i++) {
		cell(&k->out, t->cells.v[i], width[i % n], i % n + 1 == n, colours);
		if (i % n + 1 == n)
			buf_addc(&k->out, '\n');
	}
	vec_free(&t->cells);
}
