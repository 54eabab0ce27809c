/* SPDX-License-Identifier: Apache-2.0 */
/* The command's own words: what was asked, how it is said to kapseld, how answers are shown. */
#ifndef KAPSEL_CLI_CLI_H
#define KAPSEL_CLI_CLI_H

#include <kapsel/api.h>

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_WRONG_USE = 2, EXIT_KAPSEL = 125 };

/* ---- the tables (commands.c) -------------------------------------------------------------------
 */

enum command_id {
	CMD_RUN,
	CMD_CREATE,
	CMD_START,
	CMD_STOP,
	CMD_KILL,
	CMD_DELETE,
	CMD_LIST,
	CMD_STATE,
	CMD_INSPECT,
	CMD_EXEC,
	CMD_ATTACH,
	CMD_LOGS,
	CMD_WAIT,
	CMD_PAUSE,
	CMD_RESUME,
	CMD_PS,
	CMD_STATS,
	CMD_EVENTS,
	CMD_CHECK,
	CMD_PLAN,
	CMD_SPEC,
	CMD_INFO,
	CMD_VERSION,
	CMD_COMPLETION,
	CMD_HELP,
	CMD_COUNT
};

enum flag_id {
	/* of every command */
	F_HOST,
	F_TIMEOUT,
	F_RESULT,
	F_JSON,
	F_QUIET,
	F_STANDALONE,
	F_HELP,
	F_VERSION,
	/* of some */
	F_ID,
	F_DETACH,
	F_RM,
	F_ENV,
	F_ENV_FILE,
	F_WORKDIR,
	F_USER,
	F_TTY,
	F_INTERACTIVE,
	F_STOP_SIGNAL,
	F_STOP_TIMEOUT,
	F_LOG_DRIVER,
	F_LOG_MAX_SIZE,
	F_LOG_MAX_FILES,
	F_VOLATILE,
	F_TIME,
	F_SIGNAL,
	F_ALL,
	F_ALL_PROCESSES,
	F_FORCE,
	F_IGNORE,
	F_FIELD,
	F_SHOW_ENV,
	F_NO_STDIN,
	F_FOLLOW,
	F_TAIL,
	F_SINCE,
	F_UNTIL,
	F_TIMESTAMPS,
	F_CONDITION,
	F_CURSOR,
	F_NO_FOLLOW,
	F_FACTS,
	F_FACTS_FILE,
	F_STRICT,
	F_COUNT
};

/* What a word completes to. */
enum complete { COMPLETE_NONE, COMPLETE_ID, COMPLETE_DIR, COMPLETE_FILE, COMPLETE_WORDS };

struct flag {
	char letter;	   /* 0: none */
	const char *name;  /* without the dashes */
	const char *alias; /* or NULL */
	const char *arg;   /* what its value is called; NULL: it has none */
	bool may_lack;	   /* --name or --name=VALUE, never --name VALUE */
	const char *help;
	enum complete complete;
	const char *words; /* COMPLETE_WORDS: separated by blanks */
	uint64_t on;	   /* 1 << enum command_id, or ON_ALL */
};
#define ON_ALL UINT64_MAX

struct cli;
struct command {
	const char *name;
	const char *alias; /* words separated by blanks, or NULL */
	const char *args;  /* "ID..." */
	const char *help;  /* one line */
	const char *more;  /* a paragraph, or NULL */
	size_t min, max;   /* operands */
	bool rest;	   /* flags end at the last of @max operands: the rest is the program's */
	bool handed_over;  /* to kapsel-oci, argument by argument */
	bool runs;	   /* its status is the container's, so its own failure is 125 */
	enum complete complete;
	const char *words;
	int (*run)(struct cli *k);
};
const struct command *command_by_id(enum command_id id);
const struct command *command_by_name(const char *name); /* alias, too; NULL */
const struct flag *flag_by_id(enum flag_id id);
enum flag_id flag_id(const struct flag *f);
enum command_id command_id(const struct command *c);
bool flag_is_on(const struct flag *f, const struct command *c);
const struct flag *flag_by_name(const char *name, size_t len, const struct command *c);
const struct flag *flag_by_letter(char letter, const struct command *c);

struct exit_row {
	const char *status, *of_running, *of_others;
};
const struct exit_row *exit_row(size_t n); /* NULL after the last */

/* ---- what was asked (args.c)
 * --------------------------------------------------------------------- */

struct given {
	enum flag_id id;
	const char *value; /* NULL: without one */
};

struct cli {
	const struct command *command;
	VEC(struct given) given;
	VEC(const char *) args; /* operands */
	char **rest;		/* the program's arguments, NULL-terminated; or NULL */
	char **verbatim;	/* all words after the command */
	struct arena *a;
	struct buf out; /* stdout, written by out_flush() */
	const char *host;
	deadline until; /* of the whole call: --timeout; else DEADLINE_NEVER */
	char request[40];
	struct api_client *client;
	deadline cut; /* since when the daemon is away and looked for; 0: it is not */
	bool result_written;
};

int args_parse(struct cli *k, int argc, char **argv, struct kerr *e);
bool args_has(const struct cli *k, enum flag_id id);
const char *args_value(const struct cli *k, enum flag_id id); /* the last one given, or NULL */
int args_ms(const struct cli *k, enum flag_id id, uint64_t *out, struct kerr *e); /* 1: absent */
int args_bytes(const struct cli *k, enum flag_id id, uint64_t *out, struct kerr *e);
int args_count(const struct cli *k, enum flag_id id, uint64_t *out, struct kerr *e);

/* ---- talking (talk.c)
 * ------------------------------------------------------------------------------ */

/* The daemon at k->host, or, with @again, a daemon that was lost: tried until it is back. */
int talk_connect(struct cli *k, struct kerr *e);
/* How long a plain call may take: --timeout, or a minute. */
deadline talk_deadline(const struct cli *k);
/*
 * One call, one answer; when the daemon dies over it, it is said again to the next one. @waiting is
 * what is shown on a terminal when it takes long ("waiting for x to stop"), or NULL.
 */
int talk(struct cli *k, enum api_method m, const struct buf *params, const char *waiting,
	const struct json **out, struct kerr *e);
/* Sends a call whose answers talk_next() takes; to the next daemon if this one has just died. */
int talk_ask(
	struct cli *k, enum api_method m, const struct buf *params, unsigned flags, struct kerr *e);
/* The next answer of a `more` call on k->client. */
int talk_next(
	struct cli *k, struct api_answer *out, const char *waiting, deadline d, struct kerr *e);
/* api_receive() that says on a terminal what it waits for. */
int talk_receive(struct cli *k, struct api_client *c, struct api_answer *out, const char *waiting,
	deadline d, struct kerr *e);
/* { "id": ..., "request": ... } is begun in @o; json_end_object() ends it. */
void talk_begin(struct cli *k, struct json_out *o, const char *id);
/* The ids that are meant: the operands, or with --all those in one of @states ("running paused";
 * NULL: any). */
int talk_ids(struct cli *k, const char *states, struct kerr *e);

/* ---- showing (show.c)
 * -------------------------------------------------------------------------------- */

int fd_write_all(int fd, const char *data, size_t len); /* 0, or -1 and errno */
int out_flush(struct cli *k);
/* Says the error on stderr (JSON with --json), writes --result, and gives the exit status. */
int cli_fail(struct cli *k, const struct kerr *e);
int cli_result(struct cli *k, const char *json, size_t len, struct kerr *e); /* --result FILE */
/* The status of a certificate: its code, 128 + signal, or 125. */
int exit_status(const struct json *exit);
void show_json(struct cli *k, const struct json *v);  /* pretty, ends with \n */
void show_plain(struct cli *k, const struct json *v); /* a scalar as it is, else JSON */
void show_object(struct cli *k, const struct json *v, unsigned indent, const struct json *from);
const char *show_ago(struct arena *a, const char *time); /* "3m" */
const char *show_bytes(struct arena *a, const struct json *v);
bool show_colour(void);

struct table {
	const char *const *head; /* NULL-terminated */
	size_t columns;
	VEC(const char *) cells; /* row by row */
};
void table_add(struct table *t, const char *cell); /* NULL: "-" */
void table_show(struct cli *k, struct table *t);   /* fits a terminal's width; frees */

/* ---- stdio (session.c)
 * ------------------------------------------------------------------------------- */

struct session;
struct session_ask {
	enum api_method method; /* API_RUN, API_EXEC, API_ATTACH */
	const char *id;
	struct buf params; /* an object without its closing brace; freed by session_run() */
	bool tty, in, exec;
	int bundle;  /* fd, or -1 */
	bool remove; /* --rm */
};
void say_warnings(struct cli *k, const struct json *answer);
/* Carries bytes, signals and the window's size until the end. Return: the exit status, or -1. */
int session_run(struct cli *k, struct session_ask *ask, struct kerr *e);

/* ---- commands
 * ---------------------------------------------------------------------------------------- */

int cmd_run(struct cli *k);
int cmd_create(struct cli *k);
int cmd_exec(struct cli *k);
int cmd_attach(struct cli *k);
int cmd_start(struct cli *k);
int cmd_stop(struct cli *k);
int cmd_kill(struct cli *k);
int cmd_delete(struct cli *k);
int cmd_pause(struct cli *k);
int cmd_resume(struct cli *k);
int cmd_wait(struct cli *k);
int cmd_list(struct cli *k);
int cmd_state(struct cli *k);
int cmd_inspect(struct cli *k);
int cmd_logs(struct cli *k);
int cmd_ps(struct cli *k);
int cmd_stats(struct cli *k);
int cmd_events(struct cli *k);
int cmd_info(struct cli *k);
int cmd_version(struct cli *k);
int cmd_hand_over(struct cli *k);
int cmd_completion(struct cli *k);
int cmd_help(struct cli *k);
void help_of(struct cli *k, const struct command *c);
void help_all(struct cli *k);

/* A directory and a kapseld of our own for one call (standalone.c). Sets k->client and k->host. */
struct standalone {
	int pidfd, log;
	char *dir;
};
int standalone_start(struct cli *k, struct standalone *s, struct kerr *e);
void standalone_end(
	struct cli *k, struct standalone *s, struct kerr *e); /* adds its last words to @e */
/* "DIR/NAME" beside our own program or in one of @otherwise (NULL-terminated), in @a; NULL. */
const char *beside(struct arena *a, const char *name, const char *const *otherwise);

#endif
