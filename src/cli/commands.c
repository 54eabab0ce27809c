/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include <string.h>

/* --help, completion and kapsel(1) are printed from these tables. */
#define ANY SIZE_MAX

static const struct command commands[CMD_COUNT] = {
	[CMD_RUN] = { .name = "run",
		.args = "BUNDLE [-- ARG...]",
		.help = "create a container from a bundle, start it and wait for its end",
		.more = "Output is passed on as it comes, signals and the window's size go to the "
			"container. ARG... replaces the bundle's process.args. The exit status is "
			"the "
			"program's own.",
		.min = 1,
		.max = 1,
		.runs = true,
		.complete = COMPLETE_DIR,
		.run = cmd_run },
	[CMD_CREATE] = { .name = "create",
		.args = "BUNDLE [-- ARG...]",
		.help = "create a container from a bundle, to be started later",
		.min = 1,
		.max = 1,
		.complete = COMPLETE_DIR,
		.run = cmd_create },
	[CMD_START] = { .name = "start",
		.args = "ID...",
		.help = "start created containers",
		.min = 1,
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_start },
	[CMD_STOP] = { .name = "stop",
		.args = "ID...",
		.help = "ask, wait, then kill",
		.more = "The stop signal is sent; what still runs when the stop timeout is over is "
			"killed as a whole.",
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_stop },
	[CMD_KILL] = { .name = "kill",
		.args = "ID...",
		.help = "send a signal to a container's first process",
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_kill },
	[CMD_DELETE] = { .name = "delete",
		.alias = "rm",
		.args = "ID...",
		.help = "remove stopped containers, with their logs",
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_delete },
	[CMD_LIST] = { .name = "list",
		.alias = "ls",
		.args = "[ID...]",
		.help = "list containers",
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_list },
	[CMD_STATE] = { .name = "state",
		.args = "ID",
		.help = "print the OCI state of a container",
		.more = "JSON as the runtime specification gives it; with --quiet only the status.",
		.min = 1,
		.max = 1,
		.complete = COMPLETE_ID,
		.run = cmd_state },
	[CMD_INSPECT] = { .name = "inspect",
		.args = "ID...",
		.help = "show all that is known of containers, and where each setting came from",
		.min = 1,
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_inspect },
	[CMD_EXEC] = { .name = "exec",
		.args = "ID COMMAND [ARG...]",
		.help = "run one more program in a running container",
		.more = "Flags stand before ID. The exit status is the program's own.",
		.min = 2,
		.max = 1,
		.rest = true,
		.runs = true,
		.complete = COMPLETE_ID,
		.run = cmd_exec },
	[CMD_ATTACH] = { .name = "attach",
		.args = "ID",
		.help = "connect to the streams of a running container",
		.more = "On a terminal, ctrl-p ctrl-q leaves the container to itself.",
		.min = 1,
		.max = 1,
		.runs = true,
		.complete = COMPLETE_ID,
		.run = cmd_attach },
	[CMD_LOGS] = { .name = "logs",
		.args = "ID",
		.help = "print what a container has written",
		.min = 1,
		.max = 1,
		.complete = COMPLETE_ID,
		.run = cmd_logs },
	[CMD_WAIT] = { .name = "wait",
		.args = "ID...",
		.help = "wait for containers to stop; print and give their exit codes",
		.more = "With several containers the status is the first one that is not 0, in the "
			"order "
			"given.",
		.min = 1,
		.max = ANY,
		.runs = true,
		.complete = COMPLETE_ID,
		.run = cmd_wait },
	[CMD_PAUSE] = { .name = "pause",
		.args = "ID...",
		.help = "freeze all processes of containers",
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_pause },
	[CMD_RESUME] = { .name = "resume",
		.alias = "unpause",
		.args = "ID...",
		.help = "let paused containers go on",
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_resume },
	[CMD_PS] = { .name = "ps",
		.alias = "top",
		.args = "[ID]",
		.help = "list the processes of a container; without ID, the containers",
		.max = 1,
		.complete = COMPLETE_ID,
		.run = cmd_ps },
	[CMD_STATS] = { .name = "stats",
		.args = "[ID...]",
		.help = "show what containers use",
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_stats },
	[CMD_EVENTS] = { .name = "events",
		.args = "[ID...]",
		.help = "follow what happens to containers",
		.more = "With --no-follow, what has happened as far as the journal goes back.",
		.max = ANY,
		.complete = COMPLETE_ID,
		.run = cmd_events },
	[CMD_CHECK] = { .name = "check",
		.args = "[BUNDLE]",
		.help = "report every fault of a bundle; needs no kapseld",
		.max = ANY,
		.handed_over = true,
		.complete = COMPLETE_DIR,
		.run = cmd_hand_over },
	[CMD_PLAN] = { .name = "plan",
		.args = "[BUNDLE]",
		.help = "print every step that would be taken for a bundle; needs no kapseld",
		.max = ANY,
		.handed_over = true,
		.complete = COMPLETE_DIR,
		.run = cmd_hand_over },
	[CMD_SPEC] = { .name = "spec",
		.help = "print a config.json to begin with; needs no kapseld",
		.max = ANY,
		.handed_over = true,
		.run = cmd_hand_over },
	[CMD_INFO] = { .name = "info",
		.help = "show the node, the daemon and its limits",
		.run = cmd_info },
	[CMD_VERSION] = { .name = "version",
		.help = "print the versions of the command and of the daemon",
		.more = "The status is 1 when no daemon answers.",
		.run = cmd_version },
	[CMD_COMPLETION] = { .name = "completion",
		.args = "bash|zsh",
		.help = "print a completion script for a shell",
		.min = 1,
		.max = 1,
		.complete = COMPLETE_WORDS,
		.words = "bash zsh",
		.run = cmd_completion },
	[CMD_HELP] = { .name = "help",
		.args = "[COMMAND]",
		.help = "explain a command",
		.max = 1,
		.run = cmd_help },
};

#define ON(c)	  (1ull << CMD_##c)
#define ON_MAKING (ON(RUN) | ON(CREATE))

static const struct flag flags[F_COUNT] = {
	[F_HOST] = { .letter = 'H',
		.name = "host",
		.arg = "PATH",
		.help = "kapseld's socket; else KAPSEL_HOST, else one's own, else " API_SOCKET,
		.complete = COMPLETE_FILE,
		.on = ON_ALL },
	[F_TIMEOUT] = { .name = "timeout",
		.arg = "TIME",
		.help = "how long the whole call may take, a restart of kapseld included: 90s, 5m",
		.on = ON_ALL },
	[F_RESULT] = { .name = "result",
		.arg = "FILE",
		.help = "write the death certificate or the error to FILE, as JSON",
		.complete = COMPLETE_FILE,
		.on = ON_ALL },
	[F_JSON] = { .name = "json", .help = "print JSON", .on = ON_ALL },
	[F_QUIET] = { .letter = 'q',
		.name = "quiet",
		.help = "print ids only, or nothing",
		.on = ON_ALL },
	[F_STANDALONE] = { .name = "standalone",
		.help = "run only: bring a kapseld of its own for this one call",
		.on = ON_ALL },
	[F_HELP] = { .letter = 'h', .name = "help", .help = "explain the command", .on = ON_ALL },
	[F_VERSION] = { .name = "version", .help = "print this program's version", .on = ON_ALL },

	[F_ID] = { .name = "id",
		.alias = "name",
		.arg = "ID",
		.help = "the container's id; else one is made up",
		.on = ON_MAKING },
	[F_DETACH] = { .letter = 'd',
		.name = "detach",
		.help = "print the id and leave it running",
		.on = ON(RUN) | ON(EXEC) },
	[F_RM] = { .name = "rm", .help = "delete it when it has stopped", .on = ON_MAKING },
	[F_ENV] = { .letter = 'e',
		.name = "env",
		.arg = "NAME[=VALUE]",
		.help = "set an environment variable; without VALUE from kapsel's own",
		.on = ON_MAKING | ON(EXEC) },
	[F_ENV_FILE] = { .name = "env-file",
		.arg = "FILE",
		.help = "environment variables, one NAME=VALUE a line",
		.complete = COMPLETE_FILE,
		.on = ON_MAKING | ON(EXEC) },
	[F_WORKDIR] = { .letter = 'w',
		.name = "workdir",
		.alias = "cwd",
		.arg = "DIR",
		.help = "the working directory in the container",
		.on = ON_MAKING | ON(EXEC) },
	[F_USER] = { .letter = 'u',
		.name = "user",
		.arg = "UID[:GID]",
		.help = "the user in the container",
		.on = ON_MAKING | ON(EXEC) },
	[F_TTY] = { .letter = 't',
		.name = "tty",
		.help = "give it a terminal",
		.on = ON_MAKING | ON(EXEC) },
	[F_INTERACTIVE] = { .letter = 'i',
		.name = "interactive",
		.help = "pass stdin on",
		.on = ON_MAKING | ON(EXEC) },
	[F_STOP_SIGNAL] = { .name = "stop-signal",
		.arg = "SIGNAL",
		.help = "what `stop` sends first",
		.on = ON_MAKING },
	[F_STOP_TIMEOUT] = { .name = "stop-timeout",
		.arg = "TIME",
		.help = "how long `stop` waits before it kills",
		.on = ON_MAKING },
	[F_LOG_DRIVER] = { .name = "log-driver",
		.arg = "cri|none",
		.help = "whether to keep what it writes",
		.complete = COMPLETE_WORDS,
		.words = "cri none",
		.on = ON_MAKING },
	[F_LOG_MAX_SIZE] = { .name = "log-max-size",
		.arg = "SIZE",
		.help = "size after which a new log file is begun: 10m",
		.on = ON_MAKING },
	[F_LOG_MAX_FILES] = { .name = "log-max-files",
		.arg = "N",
		.help = "how many log files are kept",
		.on = ON_MAKING },
	[F_VOLATILE] = { .name = "volatile",
		.arg = "SIZE",
		.may_lack = true,
		.help = "write to memory, at most SIZE, over the bundle's root file system",
		.on = ON_MAKING | ON(CHECK) | ON(PLAN) },
	[F_TIME] = { .letter = 't',
		.name = "time",
		.arg = "TIME",
		.help = "how long to wait before killing",
		.on = ON(STOP) },
	[F_SIGNAL] = { .letter = 's',
		.name = "signal",
		.arg = "SIGNAL",
		.help = "the signal: TERM, SIGTERM or 15",
		.on = ON(KILL) | ON(STOP) },
	[F_ALL] = { .letter = 'a',
		.name = "all",
		.help = "all containers that it can be done to",
		.on = ON(STOP) | ON(KILL) | ON(DELETE) | ON(PAUSE) | ON(RESUME) | ON(LIST) |
		      ON(PS) },
	[F_ALL_PROCESSES] = { .name = "all-processes",
		.help = "signal every process, not only the first",
		.on = ON(KILL) },
	[F_FORCE] = { .letter = 'f',
		.name = "force",
		.help = "kill what still runs",
		.on = ON(DELETE) },
	[F_IGNORE] = { .letter = 'i',
		.name = "ignore",
		.help = "a container that is not there is no error",
		.on = ON(STOP) | ON(DELETE) },
	[F_FIELD] = { .name = "field",
		.arg = "PATH",
		.help = "only this: pid, policy.stopSignal, exit.code, exits.0.reason",
		.on = ON(INSPECT) },
	[F_SHOW_ENV] = { .name = "show-env",
		.help = "values of environment variables, too (admin only)",
		.on = ON(INSPECT) },
	[F_NO_STDIN] = { .name = "no-stdin", .help = "do not pass stdin on", .on = ON(ATTACH) },
	[F_FOLLOW] = { .letter = 'f',
		.name = "follow",
		.help = "go on until the container has ended",
		.on = ON(LOGS) },
	[F_TAIL] = { .letter = 'n',
		.name = "tail",
		.arg = "N",
		.help = "only the last N lines",
		.on = ON(LOGS) },
	[F_SINCE] = { .name = "since",
		.arg = "TIME",
		.help = "from a time on: 2026-01-31T12:00:00Z, or 10m ago",
		.on = ON(LOGS) },
	[F_UNTIL] = { .name = "until", .arg = "TIME", .help = "up to a time", .on = ON(LOGS) },
	[F_TIMESTAMPS] = { .letter = 't',
		.name = "timestamps",
		.help = "each line's time before it",
		.on = ON(LOGS) },
	[F_CONDITION] = { .name = "condition",
		.arg = "STATE",
		.help = "what to wait for: stopped, running or removed",
		.complete = COMPLETE_WORDS,
		.words = "stopped running removed",
		.on = ON(WAIT) },
	[F_CURSOR] = { .name = "cursor",
		.arg = "CURSOR",
		.help = "what has happened since then: an earlier event's cursor",
		.on = ON(EVENTS) },
	[F_NO_FOLLOW] = { .name = "no-follow",
		.alias = "no-stream",
		.help = "what there is, then end",
		.on = ON(EVENTS) | ON(STATS) },
	[F_FACTS] = { .name = "facts",
		.help = "the node's facts, for check and plan elsewhere; needs no kapseld",
		.on = ON(INFO) },
	[F_FACTS_FILE] = { .name = "facts",
		.arg = "FILE",
		.help = "judge for the node of these facts",
		.complete = COMPLETE_FILE,
		.on = ON(CHECK) | ON(PLAN) },
	[F_STRICT] = { .name = "strict",
		.help = "warnings are faults",
		.on = ON(CHECK) | ON(PLAN) },
};

static const struct exit_row exits[] = {
	{ "0", "the program ended well", "done" },
	{ "1", "the program's own", "it failed; the error says why" },
	{ "2", "the program's own", "wrong usage" },
	{ "3-124", "the program's own", NULL },
	{ "125", "Kapsel's own failure, wrong usage, or --timeout is over", NULL },
	{ "126", "the program could not be executed", NULL },
	{ "127", "the program was not found", NULL },
	{ "128+N", "signal N ended the program", NULL },
};

const struct command *command_by_id(enum command_id id)
{
	return &commands[id];
}

static bool is_word(const char *words, const char *w)
{
	size_t len = strlen(w);

	for (const char *at = words; at && *at;) {
		size_t n = strcspn(at, " ");

		if (n == len && memcmp(at, w, n) == 0)
			return true;
		at += n + (at[n] == ' ');
	}
	return false;
}

const struct command *command_by_name(const char *name)
{
	for (int i = 0; i < CMD_COUNT; i++)
		if (str_eq(commands[i].name, name) || is_word(commands[i].alias, name))
			return &commands[i];
	return NULL;
}

const struct flag *flag_by_id(enum flag_id id)
{
	return &flags[id];
}

enum flag_id flag_id(const struct flag *f)
{
	return (enum flag_id)(f - flags);
}

enum command_id command_id(const struct command *c)
{
	return (enum command_id)(c - commands);
}

bool flag_is_on(const struct flag *f, const struct command *c)
{
	return f->on == ON_ALL || (c && (f->on & 1ull << (c - commands)));
}

const struct flag *flag_by_name(const char *name, size_t len, const struct command *c)
{
	for (int i = 0; i < F_COUNT; i++) {
		const struct flag *f = &flags[i];

		if (!flag_is_on(f, c))
			continue;
		if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
			return f;
		if (f->alias && strlen(f->alias) == len && memcmp(f->alias, name, len) == 0)
			return f;
	}
	return NULL;
}

const struct flag *flag_by_letter(char letter, const struct command *c)
{
	for (int i = 0; i < F_COUNT; i++)
		if (flags[i].letter == letter && flag_is_on(&flags[i], c))
			return &flags[i];
	return NULL;
}

const struct exit_row *exit_row(size_t n)
{
	return n < ARRAY_LEN(exits) ? &exits[n] : NULL;
}
