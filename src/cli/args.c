/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include <string.h>

enum { CLOSE_ENOUGH = 2 }; /* letters, for "did you mean" */

struct reader {
	struct cli *k;
	char **argv;
	int argc, at;
	struct kerr *e;
};

static int usage(struct kerr *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int usage(struct kerr *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	kerr_vfail(e, KERR_USAGE, 0, fmt, ap);
	va_end(ap);
	return -1;
}

static int unknown_command(const char *word, struct kerr *e)
{
	const char *near = NULL;
	size_t least = CLOSE_ENOUGH + 1;

	for (int i = 0; i < CMD_COUNT; i++) {
		const char *name = command_by_id((enum command_id)i)->name;
		size_t d = str_distance(name, word, CLOSE_ENOUGH);

		if (d < least) {
			least = d;
			near = name;
		}
	}
	return usage(e, "there is no command \"%s\"%s%s%s", word, near ? "; did you mean \"" : "",
		near ? near : "", near ? "\"?" : "");
}

static int unknown_flag(const struct command *c, const char *word, struct kerr *e)
{
	CLEANUP_FREE char *name = mem_strndup(word, strcspn(word, "="));
	const char *bare = name + strspn(name, "-"), *near = NULL;
	size_t least = CLOSE_ENOUGH + 1;

	for (int i = 0; i < F_COUNT; i++) {
		const struct flag *f = flag_by_id((enum flag_id)i);
		size_t d = str_distance(f->name, bare, CLOSE_ENOUGH);

		if (flag_is_on(f, c) && d < least && strlen(bare) > 1) {
			least = d;
			near = f->name;
		}
	}
	return usage(e, "%s%shas no flag %s%s%s%s", c ? c->name : "kapsel", " ", name,
		near ? "; did you mean \"--" : "", near ? near : "", near ? "\"?" : "");
}

static void give(struct cli *k, const struct flag *f, const char *value)
{
	vec_push(&k->given) = (struct given) { flag_id(f), value };
}

static int take_value(struct reader *r, const struct flag *f, const char *written)
{
	if (++r->at >= r->argc)
		return usage(r->e, "%s needs a value: %s", written, f->arg);
	give(r->k, f, r->argv[r->at]);
	return 0;
}

static int read_long(struct reader *r, const char *word)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct flag *f = flag_by_name(name, len, r->k->command);

	if (f == NULL)
		return unknown_flag(r->k->command, word, r->e);
	if (equals && f->arg == NULL)
		return usage(r->e, "--%s takes no value", f->name);
	if (equals || f->arg == NULL || f->may_lack) {
		give(r->k, f, equals ? equals + 1 : NULL);
		return 0;
	}
	return take_value(r, f, word);
}

/* "-it", "-eA=b", "-e A=b" */
static int read_letters(struct reader *r, const char *word)
{
	for (const char *s = word + 1; *s; s++) {
		const struct flag *f = flag_by_letter(*s, r->k->command);

		if (f == NULL)
			return unknown_flag(r->k->command, word, r->e);
		if (f->arg && s[1]) {
			give(r->k, f, s + 1 + (s[1] == '='));
			return 0;
		}
		if (f->arg && !f->may_lack)
			return take_value(r, f, word);
		give(r->k, f, NULL);
	}
	return 0;
}

static int read_word(struct reader *r, const char *word)
{
	struct cli *k = r->k;

	if (word[0] == '-' && word[1] == '-')
		return read_long(r, word);
	if (word[0] == '-' && word[1])
		return read_letters(r, word);
	if (k->command) {
		vec_push(&k->args) = word;
		return 0;
	}
	k->command = command_by_name(word);
	if (k->command == NULL)
		return unknown_command(word, r->e);
	k->verbatim = r->argv + r->at + 1;
	return 0;
}

/* A command that is handed over has its words read there; only what concerns us is looked for. */
static void read_handed_over(struct reader *r)
{
	for (; r->at < r->argc; r->at++) {
		const char *w = r->argv[r->at];

		if (str_eq(w, "--"))
			break;
		if (str_eq(w, "--help") || str_eq(w, "-h"))
			give(r->k, flag_by_id(F_HELP), NULL);
	}
}

static int check_operands(struct cli *k, struct kerr *e)
{
	const struct command *c = k->command;
	size_t n = k->args.n, rest = 0;

	if (args_has(k, F_HELP) || c->handed_over)
		return 0;
	while (c->rest && k->rest && k->rest[rest])
		rest++;
	if (n + rest < c->min && n == 0 && c->min)
		return usage(e, "%s needs %s", c->name, c->args);
	if (n + rest < c->min)
		return usage(e, "%s needs one more: %s", c->name, c->args);
	if (n > c->max && c->max == 0)
		return usage(
			e, "%s takes no argument, and was given \"%s\"", c->name, k->args.v[0]);
	if (n > c->max)
		return usage(e, "%s takes %s, and \"%s\" is one too many%s", c->name, c->args,
			k->args.v[c->max],
			strstr(c->args, "--") ? "; the program's arguments stand after \"--\""
					      : "");
	if (k->rest && k->rest[0] && !c->rest && !strstr(c->args ? c->args : "", "--"))
		return usage(e, "%s has nothing after \"--\"", c->name);
	return 0;
}

static int read_all(struct reader *r)
{
	struct cli *k = r->k;

	for (; r->at < r->argc; r->at++) {
		if (str_eq(r->argv[r->at], "--")) {
			k->rest = r->argv + r->at + 1;
			return 0;
		}
		if (k->command && k->command->handed_over) {
			read_handed_over(r);
			return 0;
		}
		if (read_word(r, r->argv[r->at]))
			return -1;
		if (k->command && k->command->rest && k->args.n == k->command->max) {
			r->at++;
			if (r->at < r->argc && str_eq(r->argv[r->at], "--"))
				r->at++;
			k->rest = r->argv + r->at;
			return 0;
		}
	}
	return 0;
}

static int read_timeout(struct cli *k, struct kerr *e)
{
	uint64_t ms;
	int r = args_ms(k, F_TIMEOUT, &ms, e);

	k->until = r == 0 ? deadline_in_ms(ms) : DEADLINE_NEVER;
	return r < 0 ? -1 : 0;
}

int args_parse(struct cli *k, int argc, char **argv, struct kerr *e)
{
	struct reader r = { .k = k, .argv = argv, .argc = argc, .at = 1, .e = e };

	if (read_all(&r))
		return -1;
	if (k->command == NULL && args_has(k, F_HELP))
		k->command = command_by_id(CMD_HELP);
	if (k->command == NULL && args_has(k, F_VERSION))
		k->command = command_by_id(CMD_VERSION);
	if (k->command == NULL)
		return usage(e, "a command is missing");
	if (args_has(k, F_STANDALONE) && k->command != command_by_id(CMD_RUN))
		return usage(e, "--standalone goes with run only");
	return check_operands(k, e) || read_timeout(k, e) ? -1 : 0;
}

bool args_has(const struct cli *k, enum flag_id id)
{
	for (size_t i = 0; i < k->given.n; i++)
		if (k->given.v[i].id == id)
			return true;
	return false;
}

const char *args_value(const struct cli *k, enum flag_id id)
{
	for (size_t i = k->given.n; i-- > 0;)
		if (k->given.v[i].id == id)
			return k->given.v[i].value;
	return NULL;
}

static int read_value(const struct cli *k, enum flag_id id, int (*read)(const char *, uint64_t *),
	const char *wanted, uint64_t *out, struct kerr *e)
{
	const char *v = args_value(k, id);

	if (v == NULL)
		return 1;
	if (read(v, out) == 0)
		return 0;
	return usage(e, "--%s: \"%s\" is not %s", flag_by_id(id)->name, v, wanted);
}

int args_ms(const struct cli *k, enum flag_id id, uint64_t *out, struct kerr *e)
{
	return read_value(k, id, str_to_ms, "a time like 90s, 5m or 200ms", out, e);
}

int args_bytes(const struct cli *k, enum flag_id id, uint64_t *out, struct kerr *e)
{
	return read_value(k, id, str_to_bytes, "a size like 64m or 1g", out, e);
}

int args_count(const struct cli *k, enum flag_id id, uint64_t *out, struct kerr *e)
{
	return read_value(k, id, str_to_u64, "a whole number", out, e);
}
