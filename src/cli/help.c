/* SPDX-License-Identifier: Apache-2.0 */
/* --help, completion and the man page's tables: all from the tables of commands.c. */
#include "cli.h"
#include <string.h>

enum { COLUMN = 26, WIDTH = 100 };

static void padded(struct buf *b, const char *text, size_t width)
{
	size_t n = strlen(text);

	buf_adds(b, text);
	do
		buf_addc(b, ' ');
	while (++n < width);
}

/* Words of @text in lines of WIDTH, @indent before all but the first. */
static void wrapped(struct buf *b, const char *text, size_t at, size_t indent)
{
	while (*text) {
		size_t n = strcspn(text, " ");

		if (at + n > WIDTH && at > indent) {
			b->data[b->len - 1] = '\n';
			for (at = 0; at < indent; at++)
				buf_addc(b, ' ');
		}
		buf_add(b, text, n);
		at += n;
		text += n;
		if (*text == ' ') {
			buf_addc(b, ' ');
			at++;
			text++;
		}
	}
	while (b->len && b->data[b->len - 1] == ' ')
		b->data[--b->len] = '\0';
	buf_addc(b, '\n');
}

static void flag_words(const struct flag *f, struct buf *b)
{
	if (f->letter)
		buf_addf(b, "-%c, --%s", f->letter, f->name);
	else
		buf_addf(b, "    --%s", f->name);
	if (f->arg)
		buf_addf(b, f->may_lack ? "[=%s]" : " %s", f->arg);
}

static void flag_help(const struct flag *f, struct buf *out)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	buf_adds(&b, "  ");
	flag_words(f, &b);
	padded(out, b.data, 2 + COLUMN);
	if (b.len >= 2 + COLUMN) {
		buf_addc(out, '\n');
		padded(out, "", 2 + COLUMN);
	}
	wrapped(out, f->help, 2 + COLUMN, 2 + COLUMN);
}

static void flags_help(const struct command *c, bool common, struct buf *b)
{
	for (int i = 0; i < F_COUNT; i++) {
		const struct flag *f = flag_by_id((enum flag_id)i);

		if (flag_is_on(f, c) && (f->on == ON_ALL) == common)
			flag_help(f, b);
	}
}

static bool has_own_flags(const struct command *c)
{
	for (int i = 0; i < F_COUNT; i++) {
		const struct flag *f = flag_by_id((enum flag_id)i);

		if (f->on != ON_ALL && flag_is_on(f, c))
			return true;
	}
	return false;
}

void help_of(struct cli *k, const struct command *c)
{
	struct buf *b = &k->out;

	buf_addf(b, "kapsel %s%s%s%s: ", c->name, has_own_flags(c) ? " [FLAG...]" : "",
		c->args ? " " : "", c->args ? c->args : "");
	buf_addf(b, "%s\n", c->help);
	if (c->alias)
		buf_addf(b, "Also: %s\n", c->alias);
	if (c->more) {
		buf_addc(b, '\n');
		wrapped(b, c->more, 0, 0);
	}
	if (has_own_flags(c)) {
		buf_adds(b, "\nFlags:\n");
		flags_help(c, false, b);
	}
	buf_adds(b, "\nFlags of every command:\n");
	flags_help(c, true, b);
}

static void exit_help(struct buf *b)
{
	buf_adds(b, "\nExit status:\n  ");
	padded(b, "", 9);
	padded(b, "run, exec, wait, attach", 60);
	buf_adds(b, "others\n");
	for (size_t i = 0; exit_row(i); i++) {
		buf_adds(b, "  ");
		padded(b, exit_row(i)->status, 9);
		if (exit_row(i)->of_others) {
			padded(b, exit_row(i)->of_running, 60);
			buf_adds(b, exit_row(i)->of_others);
		} else {
			buf_adds(b, exit_row(i)->of_running);
		}
		buf_addc(b, '\n');
	}
}

void help_all(struct cli *k)
{
	struct buf *b = &k->out;

	buf_adds(b, "kapsel [FLAG...] COMMAND: run and watch containers from OCI "
		    "bundles\n\nCommands:\n");
	for (int i = 0; i < CMD_COUNT; i++) {
		const struct command *c = command_by_id((enum command_id)i);
		CLEANUP_BUF struct buf line = BUF_INIT;

		buf_addf(&line, "  %s %s", c->name, c->args ? c->args : "");
		padded(b, line.data, 2 + COLUMN);
		wrapped(b, c->help, 2 + COLUMN, 2 + COLUMN);
	}
	buf_adds(b, "\nFlags of every command:\n");
	flags_help(NULL, true, b);
	exit_help(b);
	buf_adds(b, "\n`kapsel COMMAND --help` tells more.\n");
}

/* ---- kapsel(1): `kapsel help man`
 * --------------------------------------------------------------------- */

static void roff(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (*text == '-')
			buf_adds(b, "\\-");
		else if (*text == '\\')
			buf_adds(b, "\\e");
		else if (*text != '`')
			buf_addc(b, *text);
	}
}

static void flag_man(const struct flag *f, struct buf *b)
{
	buf_adds(b, ".TP\n\\fB");
	if (f->letter) {
		roff(b, (const char[]) { '-', f->letter, '\0' });
		buf_adds(b, "\\fR, \\fB");
	}
	roff(b, "--");
	roff(b, f->name);
	buf_adds(b, "\\fR");
	if (f->arg)
		buf_addf(b, f->may_lack ? "[=\\fI%s\\fR]" : " \\fI%s\\fR", f->arg);
	if (f->alias) {
		buf_adds(b, " (also \\fB");
		roff(b, "--");
		roff(b, f->alias);
		buf_adds(b, "\\fR)");
	}
	buf_addc(b, '\n');
	roff(b, f->help);
	buf_adds(b, ".\n");
}

static void flags_man(const struct command *c, bool common, struct buf *b)
{
	for (int i = 0; i < F_COUNT; i++) {
		const struct flag *f = flag_by_id((enum flag_id)i);

		if (flag_is_on(f, c) && (f->on == ON_ALL) == common)
			flag_man(f, b);
	}
}

static void man(struct cli *k)
{
	struct buf *b = &k->out;

	buf_adds(b, ".SH FLAGS OF EVERY COMMAND\n");
	flags_man(NULL, true, b);
	buf_adds(b, ".SH COMMANDS\n");
	for (int i = 0; i < CMD_COUNT; i++) {
		const struct command *c = command_by_id((enum command_id)i);

		buf_addf(b, ".SS \"%s %s\"\n", c->name, c->args ? c->args : "");
		roff(b, c->help);
		buf_adds(b, ".\n");
		if (c->more) {
			roff(b, c->more);
			buf_addc(b, '\n');
		}
		if (c->alias)
			buf_addf(b, "Also called \\fB%s\\fR.\n", c->alias);
		flags_man(c, false, b);
	}
	buf_adds(b, ".SH EXIT STATUS\n.TS\nl l l.\nstatus\trun, exec, wait, attach\tothers\n");
	for (size_t i = 0; exit_row(i); i++) {
		const struct exit_row *r = exit_row(i);

		roff(b, r->status);
		buf_addc(b, '\t');
		roff(b, r->of_running);
		buf_addc(b, '\t');
		roff(b, r->of_others ? r->of_others : "");
		buf_addc(b, '\n');
	}
	buf_adds(b, ".TE\n");
}

int cmd_help(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct command *c;

	if (k->args.n == 0) {
		help_all(k);
		return 0;
	}
	if (str_eq(k->args.v[0], "man")) {
		man(k);
		return 0;
	}
	c = command_by_name(k->args.v[0]);
	if (c == NULL) {
		kerr_fail(&e, KERR_USAGE, 0, "there is no command \"%s\"", k->args.v[0]);
		return cli_fail(k, &e);
	}
	help_of(k, c);
	return 0;
}

/* ---- completion
 * --------------------------------------------------------------------------------------------- */

static void command_names(struct buf *b)
{
	for (int i = 0; i < CMD_COUNT; i++)
		buf_addf(b, "%s%s", i ? " " : "", command_by_id((enum command_id)i)->name);
}

static void flag_names(const struct command *c, struct buf *b)
{
	for (int i = 0; i < F_COUNT; i++) {
		const struct flag *f = flag_by_id((enum flag_id)i);

		if (!flag_is_on(f, c))
			continue;
		if (b->len)
			buf_addc(b, ' ');
		buf_addf(b, "--%s%s", f->name, f->arg && f->may_lack ? "=" : "");
	}
}

static const char *bash_words(enum complete c, const char *words, struct arena *a)
{
	switch (c) {
	case COMPLETE_ID:
		return "$(compgen -W \"$(kapsel list -q 2>/dev/null)\" -- \"$cur\")";
	case COMPLETE_DIR:
		return "$(compgen -d -- \"$cur\")";
	case COMPLETE_FILE:
		return "$(compgen -f -- \"$cur\")";
	case COMPLETE_WORDS:
		return arena_printf(a, "$(compgen -W \"%s\" -- \"$cur\")", words);
	case COMPLETE_NONE:
		break;
	}
	return "";
}

static void bash(struct cli *k)
{
	struct buf *b = &k->out;

	buf_adds(b,
		"# bash completion of kapsel; made by `kapsel completion bash`\n_kapsel()\n{\n"
		"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= i\n"
		"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n\t\tcase ${COMP_WORDS[i]} in\n"
		"\t\t-H|--host|--timeout|--result) ((i++)) ;;\n\t\t-*) ;;\n"
		"\t\t*) cmd=${COMP_WORDS[i]}; break ;;\n\t\tesac\n\tdone\n\tcase $cmd:$prev in\n");
	for (int i = 0; i < CMD_COUNT; i++)
		for (int j = 0; j < F_COUNT; j++) {
			const struct command *c = command_by_id((enum command_id)i);
			const struct flag *f = flag_by_id((enum flag_id)j);

			if (!flag_is_on(f, c) || f->arg == NULL || f->may_lack)
				continue;
			buf_addf(b, "\t%s:--%s", c->name, f->name);
			if (f->letter)
				buf_addf(b, "|%s:-%c", c->name, f->letter);
			buf_addf(b, ") COMPREPLY=(%s); return ;;\n",
				bash_words(f->complete, f->words, k->a));
		}
	buf_adds(b, "\tesac\n\tcase $cmd in\n");
	for (int i = 0; i < CMD_COUNT; i++) {
		const struct command *c = command_by_id((enum command_id)i);
		CLEANUP_BUF struct buf names = BUF_INIT;

		flag_names(c, &names);
		buf_addf(b,
			"\t%s%s%s)\n\t\tif [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"%s\" "
			"-- \"$cur\"))\n",
			c->name, c->alias ? "|" : "", c->alias ? c->alias : "", names.data);
		if (*bash_words(c->complete, c->words, k->a))
			buf_addf(b, "\t\telse COMPREPLY=(%s)\n",
				bash_words(c->complete, c->words, k->a));
		buf_adds(b, "\t\tfi ;;\n");
	}
	buf_adds(b, "\t*) COMPREPLY=($(compgen -W \"");
	command_names(b);
	buf_adds(b, " --help --host --standalone --version\" -- \"$cur\")) ;;\n\tesac\n}\ncomplete "
		    "-F _kapsel kapsel\n");
}

static void zsh_text(struct buf *b, const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			buf_adds(b, "'\\''");
		else if (strchr("[]:\\", *text))
			buf_addf(b, "\\%c", *text);
		else
			buf_addc(b, *text);
}

static const char *zsh_action(enum complete c, const char *words, struct arena *a)
{
	switch (c) {
	case COMPLETE_ID:
		return "($(kapsel list -q 2>/dev/null))";
	case COMPLETE_DIR:
		return "_files -/";
	case COMPLETE_FILE:
		return "_files";
	case COMPLETE_WORDS:
		return arena_printf(a, "(%s)", words);
	case COMPLETE_NONE:
		break;
	}
	return " ";
}

static void zsh_flags(struct cli *k, const struct command *c)
{
	for (int i = 0; i < F_COUNT; i++) {
		const struct flag *f = flag_by_id((enum flag_id)i);

		if (!flag_is_on(f, c))
			continue;
		buf_addf(&k->out, " '--%s%s[", f->name, f->arg ? (f->may_lack ? "=-" : "=") : "");
		zsh_text(&k->out, f->help);
		buf_addc(&k->out, ']');
		if (f->arg) {
			buf_adds(&k->out, ":");
			zsh_text(&k->out, f->arg);
			buf_addf(&k->out, ":%s", zsh_action(f->complete, f->words, k->a));
		}
		buf_adds(&k->out, "'");
	}
}

static void zsh(struct cli *k)
{
	struct buf *b = &k->out;

	buf_adds(b, "#compdef kapsel\n# made by `kapsel completion zsh`\n_kapsel() {\n\tlocal -a "
		    "commands\n\tcommands=(\n");
	for (int i = 0; i < CMD_COUNT; i++) {
		const struct command *c = command_by_id((enum command_id)i);

		buf_addf(b, "\t\t'%s:", c->name);
		zsh_text(b, c->help);
		buf_adds(b, "'\n");
	}
	buf_adds(b, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command "
		    "commands\n\t\treturn\n\tfi\n"
		    "\tlocal cmd=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase $cmd in\n");
	for (int i = 0; i < CMD_COUNT; i++) {
		const struct command *c = command_by_id((enum command_id)i);

		buf_addf(b, "\t%s%s%s) _arguments -s", c->name, c->alias ? "|" : "",
			c->alias ? c->alias : "");
		zsh_flags(k, c);
		if (c->complete != COMPLETE_NONE)
			buf_addf(b, " '*:%s:%s'",
				c->complete == COMPLETE_ID ? "container" : "argument",
				zsh_action(c->complete, c->words, k->a));
		buf_adds(b, " ;;\n");
	}
	buf_adds(b, "\tesac\n}\n_kapsel \"$@\"\n");
}

int cmd_completion(struct cli *k)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (str_eq(k->args.v[0], "bash")) {
		bash(k);
	} else if (str_eq(k->args.v[0], "zsh")) {
		zsh(k);
	} else {
		kerr_fail(&e, KERR_USAGE, 0, "completion is there for bash and zsh, not \"%s\"",
			k->args.v[0]);
		return cli_fail(k, &e);
	}
	return 0;
}
