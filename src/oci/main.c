/* SPDX-License-Identifier: Apache-2.0 */
/* kapsel-oci: the runc command line, and what `kapsel check|plan|spec` hand over to. */
#include "command.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_FDS = 4096 };

enum flag_kind { FLAG_BOOL, FLAG_STRING, FLAG_NUMBER, FLAG_LIST, FLAG_MAYBE };
struct flag {
	const char *name;
	char letter;
	enum flag_kind kind;
	size_t offset;
	const char *help;
	const char *arg; /* what a value is called */
	const char *of;	 /* commands that heed it; others pass over it, as callers of runc expect */
};
#define AT(m) offsetof(struct options, m)
static const struct flag globals[] = {
	{ "root", 0, FLAG_STRING, AT(root), "directory of the containers' states", .arg = "DIR" },
	{ "log", 0, FLAG_STRING, AT(log), "also append errors to this file", .arg = "FILE" },
	{ "log-format", 0, FLAG_STRING, AT(log_format), "how to write it", .arg = "text|json" },
	{ "log-level", 0, FLAG_STRING, AT(log_level), "what to say: error if not given",
		.arg = "error|warning|info|debug" },
	{ "debug", 0, FLAG_BOOL, AT(debug), "the same as --log-level debug", .arg = NULL },
	{ "cgroup-manager", 0, FLAG_STRING, AT(cgroup_manager),
		"who makes cgroups; disabled: there are none", .arg = "cgroupfs|systemd|disabled" },
	{ "systemd-cgroup", 0, FLAG_BOOL, AT(systemd_cgroup),
		"the same as --cgroup-manager systemd", .arg = NULL },
	{ "rootless", 0, FLAG_STRING, AT(ignored), "accepted and passed over", .arg = "WORD" },
	{ "criu", 0, FLAG_STRING, AT(ignored), "accepted and passed over", .arg = "PATH" },
	{ "version", 'v', FLAG_BOOL, AT(version), "print the version and that of the specification",
		.arg = NULL },
	{ "help", 'h', FLAG_BOOL, AT(help), "print this", .arg = NULL },
};
static const struct flag flags[] = {
	{ "bundle", 'b', FLAG_STRING, AT(bundle), "the bundle's directory; default: this one",
		.arg = "DIR", .of = "create run" },
	{ "pid-file", 0, FLAG_STRING, AT(pid_file), "write the process's number there",
		.arg = "FILE", .of = "create run exec" },
	{ "console-socket", 0, FLAG_STRING, AT(console_socket), "socket that gets the terminal",
		.arg = "PATH", .of = "create run exec" },
	{ "pidfd-socket", 0, FLAG_STRING, AT(pidfd_socket), "socket that gets the process's pidfd",
		.arg = "PATH", .of = "create run exec" },
	{ "preserve-fds", 0, FLAG_NUMBER, AT(preserve),
		"so many fds from 3 on go into the container", .arg = "N",
		.of = "create run exec" },
	{ "no-pivot", 0, FLAG_BOOL, AT(no_pivot), "accepted and passed over", .of = "create run" },
	{ "no-new-keyring", 0, FLAG_BOOL, AT(no_new_keyring), "accepted and passed over",
		.of = "create run" },
	{ "no-subreaper", 0, FLAG_BOOL, AT(no_subreaper), "accepted and passed over", .of = "run" },
	{ "detach", 'd', FLAG_BOOL, AT(detach), "do not wait for the end", .of = "run exec" },
	{ "keep", 0, FLAG_BOOL, AT(keep), "do not delete after run", .of = "run" },
	{ "force", 'f', FLAG_BOOL, AT(force), "kill first", .of = "delete" },
	{ "all", 'a', FLAG_BOOL, AT(all), "to every process, not only init", .of = "kill" },
	{ "process", 'p', FLAG_STRING, AT(process), "file with the process object", .arg = "FILE",
		.of = "exec" },
	{ "cwd", 0, FLAG_STRING, AT(cwd), "working directory", .arg = "DIR", .of = "exec" },
	{ "env", 'e', FLAG_LIST, AT(env), "set an environment variable", .arg = "NAME=VALUE",
		.of = "exec" },
	{ "user", 'u', FLAG_STRING, AT(user), "who it runs as", .arg = "UID[:GID]", .of = "exec" },
	{ "additional-gids", 'g', FLAG_LIST, AT(groups), "one more group", .arg = "GID",
		.of = "exec" },
	{ "cap", 'c', FLAG_LIST, AT(caps), "one more capability", .arg = "NAME", .of = "exec" },
	{ "no-new-privs", 0, FLAG_BOOL, AT(no_new_privs), "it cannot gain rights", .of = "exec" },
	{ "apparmor", 0, FLAG_STRING, AT(apparmor), "its AppArmor profile", .arg = "NAME",
		.of = "exec" },
	{ "process-label", 0, FLAG_STRING, AT(process_label), "its SELinux label", .arg = "LABEL",
		.of = "exec" },
	{ "cgroup", 0, FLAG_LIST, AT(cgroups), "a cgroup below the container's", .arg = "PATH",
		.of = "exec" },
	{ "ignore-paused", 0, FLAG_BOOL, AT(ignore_paused),
		"into a paused one, too: it waits there", .of = "exec" },
	{ "tty", 't', FLAG_BOOL, AT(tty), "with a terminal", .of = "exec" },
	{ "format", 0, FLAG_STRING, AT(format), "how to print", .arg = "table|json",
		.of = "list ps" },
	{ "resources", 'r', FLAG_STRING, AT(resources),
		"file with the resources object, - is stdin; other flags are then passed over",
		.arg = "FILE|-", .of = "update" },
	{ "stats", 0, FLAG_BOOL, AT(stats), "once, and end", .of = "events" },
	{ "interval", 0, FLAG_STRING, AT(interval), "how often, 5s if not given", .arg = "TIME",
		.of = "events" },
	{ "quiet", 'q', FLAG_BOOL, AT(quiet), "ids only", .of = "list check" },
	{ "facts", 0, FLAG_STRING, AT(facts), "judge against another node's facts", .arg = "FILE",
		.of = "check plan" },
	{ "json", 0, FLAG_BOOL, AT(json), "print JSON", .of = "check plan list" },
	{ "strict", 0, FLAG_BOOL, AT(strict), "misspelt keys are faults, not warnings",
		.of = "check plan" },
	{ "volatile", 0, FLAG_MAYBE, AT(volatile_size),
		"judge with a writable overlay of this size, 64m if not given", .arg = "SIZE",
		.of = "check plan" },
};

/* ---- flags
 * ----------------------------------------------------------------------------------------------------
 */

/* The flags of update are a table of their own. */
static const struct flag *limit_flag(struct flag *f, const char *name, size_t len)
{
	for (size_t i = 0; i < LIMIT_FLAGS; i++)
		if (strlen(update_limits[i].flag) == len &&
			memcmp(update_limits[i].flag, name, len) == 0) {
			*f = (struct flag) { update_limits[i].flag, 0, FLAG_STRING,
				AT(limit) + i * sizeof(char *), update_limits[i].help,
				.arg = "VALUE", .of = "update" };
			return f;
		}
	return NULL;
}

static const struct flag *find_flag(const struct flag *t, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if ((strlen(t[i].name) == len && memcmp(t[i].name, name, len) == 0) ||
			(len == 1 && t[i].letter == *name))
			return &t[i];
	return NULL;
}

static int set_flag(struct options *o, const struct flag *f, const char *value, struct kerr *e)
{
	void *to = (char *)o + f->offset;

	if (f->kind == FLAG_BOOL) {
		*(bool *)to = value == NULL || str_eq(value, "true");
		return 0;
	}
	if (f->kind == FLAG_MAYBE) {
		*(const char **)to = value ? value : "64m";
		return 0;
	}
	if (value == NULL)
		return kerr_fail(e, KERR_USAGE, 0, "flag needs an argument: --%s", f->name);
	if (f->kind == FLAG_STRING)
		*(const char **)to = value;
	else if (f->kind == FLAG_NUMBER && str_to_u64(value, to))
		return kerr_fail(e, KERR_USAGE, 0, "--%s takes a number, not '%s'", f->name, value);
	else if (f->kind == FLAG_LIST)
		vec_push((struct words *)to) = (char *)(uintptr_t)value;
	return 0;
}

static int unknown_flag(
	const struct flag *t, size_t n, const char *word, const char *name, struct kerr *e)
{
	CLEANUP_FREE char *bare = mem_strndup(name, strcspn(name, "="));
	const char *near = NULL;

	for (size_t i = 0; i < n && strlen(bare) > 2; i++)
		if (str_distance(t[i].name, bare, 2) <= 2)
			near = t[i].name;
	return kerr_fail(e, KERR_USAGE, 0, "flag provided but not defined: %s%s%s%s", word,
		near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
}

/* One or two dashes, "=value" or the next word; stops at the first word that is no flag. */
static int read_flags(struct options *o, const struct flag *t, size_t n, int *argc, char ***argv,
	bool anywhere, struct kerr *e)
{
	char **words = *argv;
	int kept = 0, i = 0;

	for (; i < *argc; i++) {
		const char *word = words[i], *name = word + 1 + (word[0] == '-' && word[1] == '-'),
			   *equal = strchr(name, '=');
		const struct flag *f;
		struct flag limit;

		if (word[0] != '-' || word[1] == '\0') {
			if (!anywhere)
				break;
			words[kept++] = words[i];
			continue;
		}
		if (str_eq(word, "--")) {
			i++;
			break;
		}
		f = find_flag(t, n, name, equal ? (size_t)(equal - name) : strlen(name));
		if (f && f->letter == 'f' && o->f_is_format && name[0] == 'f' &&
			strcspn(name, "=") == 1)
			f = find_flag(t, n, "format", 6);
		if (f == NULL && t == flags)
			f = limit_flag(&limit, name, strcspn(name, "="));
		if (f == NULL)
			return unknown_flag(t, n, word, name, e);
		if (set_flag(o, f,
			    equal					    ? equal + 1
			    : f->kind == FLAG_BOOL || f->kind == FLAG_MAYBE ? NULL
			    : i + 1 < *argc				    ? words[++i]
									    : NULL,
			    e))
			return -1;
	}
	while (i < *argc)
		words[kept++] = words[i++];
	if (anywhere) {
		*argc = kept;
		return 0;
	}
	/* nothing was kept before the first word */
	*argc = kept;
	return 0;
}

static int cmd_executor(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)o;
	(void)e;
	return executor_main(argc, argv);
}

static const struct command commands[] = {
	{ "create", "[flags] ID", "build a container; its program waits for start", 1, 1,
		.run = cmd_create },
	{ "start", "ID", "run the program of a created container", 1, 1, .run = cmd_start },
	{ "run", "[flags] ID", "create and start; wait unless --detach", 1, 1, .run = cmd_run },
	{ "state", "ID", "print the state as JSON", 1, 1, .run = cmd_state },
	{ "list", "[--format json] [-q]", "all containers", 0, 0, .run = cmd_list,
		.f_is_format = true },
	{ "exec", "[flags] ID [COMMAND...]", "run one more program in a container", 1, 1 << 20,
		.run = cmd_exec, .flags_first = true, .failure = 255 },
	{ "ps", "[--format json] ID [PS-ARGUMENTS]", "its processes by the host's numbers", 1,
		1 << 20, .run = cmd_ps, .f_is_format = true, .flags_first = true },
	{ "kill", "[--all] ID [SIGNAL]", "send a signal to init", 1, 2, .run = cmd_kill },
	{ "delete", "[--force] ID", "remove what create made", 1, 1, .run = cmd_delete },
	{ "pause", "ID", "freeze", 1, 1, .run = cmd_pause },
	{ "resume", "ID", "thaw", 1, 1, .run = cmd_resume },
	{ "check", "[--strict] [--json] [--facts FILE] [BUNDLE]", "judge a bundle; needs no rights",
		0, 1, .run = cmd_check },
	{ "plan", "[--json] [--facts FILE] [--process FILE] [BUNDLE]",
		"print what would be done; needs no rights", 0, 1, .run = cmd_plan },
	{ "spec", "", "print a config.json to begin with", 0, 0, .run = cmd_spec },
	{ "features", "", "print what this program carries out, as JSON", 0, 0,
		.run = cmd_features },
	{ "facts", "", "print what this node can do", 0, 0, .run = cmd_facts },
	{ "fields", "", "every field of config.json", 0, 0, .run = cmd_fields },
	{ "doc", "TOPIC", "tables for the documentation", 1, 1, .run = cmd_doc },
	{ "update", "[--resources FILE|-] [flags] ID", "new limits for a container", 1, 1,
		.run = cmd_update },
	{ "events", "[--stats] [--interval TIME] ID", "figures of a container, and its OOM kills",
		1, 1, .run = cmd_events },
	{ "checkpoint", "", "not carried out by this version", 0, 1 << 20, .refused = true },
	{ "restore", "", "not carried out by this version", 0, 1 << 20, .refused = true },
	{ "--executor", "", "for kapseld: take one order on fd 3", 0, 16, .run = cmd_executor },
};

static void doc_flags(struct buf *b, const char *kind, const struct flag *f, size_t n)
{
	for (; n; n--, f++)
		buf_addf(b, "%s\t%s\t%c\t%s%s\t%s\t%s\n", kind, f->name,
			f->letter ? f->letter : '-', f->kind == FLAG_MAYBE ? "=" : "",
			f->arg ? f->arg : "", f->of ? f->of : "", f->help);
}

void doc_commands(struct buf *b)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		buf_addf(b, "command\t%s\t%s\t%s\n", commands[i].name, commands[i].args,
			commands[i].help);
	doc_flags(b, "global", globals, ARRAY_LEN(globals));
	doc_flags(b, "flag", flags, ARRAY_LEN(flags));
	for (size_t i = 0; i < LIMIT_FLAGS; i++)
		buf_addf(b, "flag\t%s\t-\tVALUE\tupdate\t%s\n", update_limits[i].flag,
			update_limits[i].help);
}

static bool heeds(const struct flag *f, const char *command)
{
	size_t len = strlen(command);

	for (const char *at = f->of; at && *at; at += strcspn(at, " "), at += *at == ' ')
		if (strcspn(at, " ") == len && memcmp(at, command, len) == 0)
			return true;
	return false;
}

static void flag_help(const struct flag *f)
{
	CLEANUP_FREE char *letter = f->letter ? mem_printf("-%c, ", f->letter) : NULL;
	CLEANUP_FREE char *words = mem_printf("%4s--%s%s%s", letter ? letter : "", f->name,
		f->kind == FLAG_MAYBE ? "[="
		: f->arg	      ? " "
				      : "",
		f->arg ? f->arg : "");

	printf("  %s%-*s %s\n", words, (int)strlen(words) < 28 ? 28 - (int)strlen(words) : 0,
		f->kind == FLAG_MAYBE ? "]" : "", f->help);
}

static void help(void)
{
	printf("Usage: kapsel-oci [global flags] COMMAND [flags] [ID]\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].name[0] != '-')
			printf("  %-8s %-46s %s\n", commands[i].name, commands[i].args,
				commands[i].help);
	printf("\nGlobal flags:\n");
	for (size_t i = 0; i < ARRAY_LEN(globals); i++)
		flag_help(&globals[i]);
	printf("\nFlags, of some commands:\n");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		flag_help(&flags[i]);
	printf("\n`kapsel-oci COMMAND --help` says which.\n");
}

static int command_help(const struct command *c)
{
	bool any = false;

	printf("Usage: kapsel-oci %s%s%s\n%s\n", c->name, *c->args ? " " : "", c->args, c->help);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!heeds(&flags[i], c->name))
			continue;
		if (!any)
			printf("\nFlags:\n");
		any = true;
		flag_help(&flags[i]);
	}
	for (size_t i = 0; i < LIMIT_FLAGS && str_eq(c->name, "update"); i++) {
		struct flag f;

		flag_help(limit_flag(&f, update_limits[i].flag, strlen(update_limits[i].flag)));
	}
	return 0;
}

static void json_record(const struct kerr *e, struct buf *line)
{
	struct json_out out = JSON_OUT(line);
	CLEANUP_BUF struct buf message = BUF_INIT;
	char now[TIME_TEXT];

	kerr_faults(e, &message);
	json_begin_object(&out);
	json_put_string(&out, "level", "error");
	json_put_string(&out, "msg", buf_str(&message));
	json_put_string(&out, "time", time_text(clock_wall_ns(), now));
	json_put_string(&out, "code", kerr_row(e->code)->name);
	json_end_object(&out);
	buf_addc(line, '\n');
}

/* Callers read it as another user. */
static int open_log(const char *path)
{
	int fd = path_host(AT_FDCWD, path, O_WRONLY | O_APPEND, NULL);

	if (fd < 0) {
		fd = path_host(AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT, NULL);
		if (fd >= 0 && fchmod(fd, 0644) < 0)
			log_warning("%s: its mode stays", path);
	}
	return fd;
}

/* To stderr, and to --log: some callers read one, some the other. One record a failed run, and each
 * in one write: conmon reads once. */
static void report(const struct options *o, const struct kerr *e)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	CLEANUP_BUF struct buf record = BUF_INIT;
	CLEANUP_FD int fd = o->log ? open_log(o->log) : -1;

	buf_addf(&text, "%s: ", o->program ? o->program : "kapsel-oci");
	if (str_eq(o->log_format, "json"))
		json_record(e, &record);
	else
		kerr_text(e, &record);
	kerr_text(e, &text);
	if (fd >= 0 && write(fd, record.data, record.len) < 0)
		buf_addf(&text, "and the log %s cannot be written\n", o->log);
	fflush(stdout);
	if (write(STDERR_FILENO, text.data, text.len) < 0)
		return; /* nobody is left to be told */
}

static const struct command *find_command(const char *name, struct kerr *e)
{
	const char *near = NULL;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
		if (str_distance(commands[i].name, name, 2) <= 2)
			near = commands[i].name;
	}
	kerr_fail(e, KERR_USAGE, 0, "no command '%s'%s%s%s", name, near ? ": did you mean '" : "",
		near ? near : "", near ? "'?" : "");
	return NULL;
}

/* Whatever its flags are; but Podman looks whether this one wants its value. */
static int refuse(const struct command *c, int argc, char **argv, struct kerr *e)
{
	if (argc && str_eq(argv[argc - 1], "--lsm-mount-context"))
		return kerr_fail(e, KERR_USAGE, 0, "flag needs an argument: --lsm-mount-context");
	return kerr_fail(e, KERR_UNSUPPORTED, 0, "%s is not supported by kapsel-oci", c->name);
}

static int cgroup_manager(const struct options *o, struct kerr *e)
{
	if (o->cgroup_manager && !str_eq(o->cgroup_manager, "cgroupfs") &&
		!str_eq(o->cgroup_manager, "systemd") && !str_eq(o->cgroup_manager, "disabled"))
		return kerr_fail(e, KERR_USAGE, 0,
			"--cgroup-manager %.40s: cgroupfs, systemd or disabled", o->cgroup_manager);
	return 0;
}

/* Before anything is opened that could be taken for one of them. */
static int inherited_fds(struct options *o, struct kerr *e)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	uint64_t to;

	if (pid && n && str_to_u64(pid, &to) == 0 && to == (uint64_t)getpid() &&
		str_to_u64(n, &o->listen_fds))
		o->listen_fds = 0;
	if (o->preserve > MOST_FDS || o->listen_fds > MOST_FDS)
		return kerr_fail(e, KERR_LIMIT, 0, "more than %d fds to preserve", MOST_FDS);
	o->preserve += o->listen_fds;
	for (unsigned fd = 3; fd < 3 + o->preserve; fd++)
		if (fcntl((int)fd, F_GETFD) < 0)
			return kerr_fail(
				e, KERR_USAGE, 0, "fd %u is to be preserved and is not open", fd);
	return 0;
}

static enum log_level log_level(const struct options *o)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!o->debug && str_eq(o->log_level, names[i]))
			return (enum log_level)i;
	return o->debug ? LOG_DEBUG : LOG_ERROR;
}

static int run(struct options *o, int argc, char **argv, struct kerr *e)
{
	const struct command *c;

	if (argc && str_eq(argv[0], "--executor"))
		return executor_main(argc, argv);
	if (argc && str_eq(argv[0], "--template"))
		return template_main(argc, argv);
	if (read_flags(o, globals, ARRAY_LEN(globals), &argc, &argv, false, e))
		return -1;
	log_to(NULL, (void *)(uintptr_t) "kapsel-oci", log_level(o));
	if (o->version) {
		printf("kapsel-oci version %s\ncommit: unknown\nspec: %s\n", KAPSEL_VERSION,
			KAPSEL_SPEC_MAX);
		return 0;
	}
	if (o->help || argc == 0 || str_eq(argv[0], "help")) {
		help();
		return argc == 0 && !o->help;
	}
	c = find_command(argv[0], e);
	argc--;
	argv++;
	if (c == NULL)
		return -1;
	if (c->refused)
		return refuse(c, argc, argv, e);
	if (argc && (str_eq(argv[0], "--help") || str_eq(argv[0], "-h")))
		return command_help(c);
	o->f_is_format = c->f_is_format;
	o->failure = c->failure ? c->failure : 1;
	if (read_flags(o, flags, ARRAY_LEN(flags), &argc, &argv, !c->flags_first, e))
		return -1;
	if (argc < c->min || argc > c->max)
		return kerr_fail(e, KERR_USAGE, 0, "%s %s %s",
			o->program ? o->program : "kapsel-oci", c->name, c->args);
	return cgroup_manager(o, e) || inherited_fds(o, e) ? -1 : c->run(o, argc, argv, e);
}

/* A process of ours that goes inside shows this program there. */
static bool goes_inside(int argc, char **argv)
{
	static const char *const names[] = { "--executor", "--template", "create", "run", "exec" };

	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (str_eq(argv[i], names[k]))
				return geteuid() == 0;
	return false;
}

int main(int argc, char **argv)
{
	static struct options o;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int rc;

	/* Who may not copy a mount may not build a container that could abuse it either. */
	if (goes_inside(argc, argv) && container_shield(argv, &e) && e.sys != EPERM) {
		report(&o, &e);
		return 1;
	}
	kerr_clear(&e);

	log_to(NULL, (void *)(uintptr_t) "kapsel-oci", LOG_WARNING);
	signal(SIGPIPE, SIG_IGN);
	if (str_eq(argv[0], "kapsel"))
		o.program = argv[0];
	rc = run(&o, argc - 1, argv + 1, &e);
	if (rc < 0) {
		report(&o, &e);
		if (e.code == KERR_USAGE && o.program)
			return 2;
		return o.failure ? o.failure : 1;
	}
	fflush(stdout);
	return rc;
}
