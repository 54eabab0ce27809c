/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's own: what was asked, and what the commands share. */
#ifndef KAPSEL_OCI_COMMAND_H
#define KAPSEL_OCI_COMMAND_H

#include "oci.h"

enum { MOST_ENV = 4096 };

struct options {
	/* global */
	const char *program; /* "kapsel", when that has handed over */
	const char *root, *log, *log_format;
	bool debug, systemd_cgroup, version, help;
	/* of a command */
	const char *bundle, *pid_file, *console_socket, *facts, *process, *cwd, *user, *format,
		*volatile_size, *ignored;
	char *env[MOST_ENV];
	size_t nenv;
	uint64_t preserve;
	int failure;	  /* exit status of a failed command */
	bool f_is_format; /* -f means --format, not --force */
	bool detach, force, all, json, strict, no_pivot, no_new_keyring, tty, quiet, keep, stats,
		no_subreaper;
};

struct command {
	const char *name, *args, *help;
	int min, max; /* words after the flags */
	int (*run)(struct options *o, int argc, char **argv, struct kerr *e);
	bool flags_first; /* what follows the first word belongs to it */
	bool f_is_format;
	int failure; /* exit status of a failure, if not 1 */
};

/* places.c */
int root_dir(const struct options *o, bool make, struct kerr *e);
int check_id(const char *id, struct kerr *e);
int container_dir(const struct options *o, const char *id, struct kerr *e);
int write_pid_file(const char *path, pid_t pid, struct kerr *e);
int read_facts(const struct options *o, struct facts *f, struct kerr *e);
int open_bundle(struct job *j, const char *path, struct kerr *e);
void print(const struct buf *b);

/* judge.c */
int cmd_check(struct options *o, int argc, char **argv, struct kerr *e);
int read_process(struct job *j, const char *file, struct oci_process *p, struct kerr *e);
int cmd_plan(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_spec(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_features(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_facts(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_fields(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_doc(struct options *o, int argc, char **argv, struct kerr *e);

/* lives.c */
int on_console(void *arg, int master, struct kerr *e);
int cmd_create(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_start(struct options *o, int argc, char **argv, struct kerr *e);
int pass_signals_until_end(struct container *c, struct kerr *e);
int cmd_run(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_state(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_list(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_kill(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_delete(struct options *o, int argc, char **argv, struct kerr *e);

/* inside.c */
int cmd_exec(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_ps(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_pause(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_resume(struct options *o, int argc, char **argv, struct kerr *e);

/* main.c */
void doc_commands(struct buf *b);

#endif
