/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's own: what was asked, and what the commands share. */
#ifndef KAPSEL_OCI_COMMAND_H
#define KAPSEL_OCI_COMMAND_H

#include "oci.h"

struct words {
	char **v;
	size_t n, cap;
};
enum { LIMIT_FLAGS = 18 };
/* A flag of update and the member of linux.resources that it sets. */
struct limit_flag {
	const char *flag, *section, *member; /* member NULL: passed over, or @refused */
	enum { LIMIT_BYTES, LIMIT_NUMBER, LIMIT_WORDS } form;
	const char *help, *refused;
};
extern const struct limit_flag update_limits[LIMIT_FLAGS];

struct options {
	/* global */
	const char *program; /* "kapsel", when that has handed over */
	const char *root, *log, *log_format, *log_level, *cgroup_manager;
	bool debug, systemd_cgroup, version, help;
	/* of a command */
	const char *bundle, *pid_file, *console_socket, *pidfd_socket, *facts, *process, *cwd,
		*user, *format, *volatile_size, *interval, *resources, *apparmor, *process_label,
		*ignored;
	struct words env, groups, caps, cgroups;
	const char *limit[LIMIT_FLAGS]; /* of update, by update_limits */
	uint64_t preserve;		/* with the next */
	uint64_t listen_fds;		/* handed to us by LISTEN_FDS */
	int failure;			/* exit status of a failed command */
	bool f_is_format;		/* -f means --format, not --force */
	bool detach, force, all, json, strict, no_pivot, no_new_keyring, tty, quiet, keep, stats,
		no_subreaper, ignore_paused, no_new_privs;
};

struct command {
	const char *name, *args, *help;
	int min, max; /* words after the flags */
	int (*run)(struct options *o, int argc, char **argv, struct kerr *e);
	bool flags_first; /* what follows the first word belongs to it */
	bool f_is_format;
	int failure;  /* exit status of a failure, if not 1 */
	bool refused; /* its help, too: callers ask for that to learn whether it is there */
};

/* places.c */
int root_dir(const struct options *o, bool make, struct kerr *e);
int check_id(const char *id, struct kerr *e);
int container_dir(const struct options *o, const char *id, struct kerr *e);
/* The same, and its record. For as long as the fd is open no other call changes it. */
int container_open(const struct options *o, const char *id, struct record *r, struct kerr *e);
int container_lock(const struct options *o, const char *id, struct record *r, struct kerr *e);
int lock_dir(int dir, const char *id, struct kerr *e);
void unlock_dir(int dir);
int write_pid_file(const char *path, pid_t pid, struct kerr *e);
void remove_pid_file(const struct options *o);
/* LISTEN_FDS, when it is meant for us: those fds come first, and @p is told. */
void pass_listen_fds(struct job *j, struct options *o, struct oci_process *p);
int read_facts(const struct options *o, struct facts *f, struct kerr *e);
int open_bundle(struct job *j, const char *path, struct kerr *e);
/* On the host: where a container's own directory has the socket for NOTIFY_SOCKET. */
const char *notify_directory(struct job *j, const struct options *o, const char *id);
/* The cgroup manager of a create; other commands know it from the record. */
bool uses_systemd(const struct options *o);
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
int cmd_create(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_start(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_run(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_state(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_list(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_kill(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_delete(struct options *o, int argc, char **argv, struct kerr *e);

/* terminal.c */
int connect_sockets(
	struct job *j, const struct options *o, bool terminal, bool detached, struct kerr *e);
int on_console(void *arg, int master, struct kerr *e); /* container_order.console; a job */
int send_pidfd(struct job *j, const char *what, int pidfd, struct kerr *e);
/* Signals, and what comes over the terminal. Return: the exit status, or -1. */
int pass_on_until_end(struct job *j, struct container *c, struct kerr *e);

/* notify.c */
void notify_plan(struct job *j, const struct options *o, const char *id);
int notify_make(const struct job *j, struct kerr *e);
int notify_listen(int run_dir);
bool notify_turn(int *from, pid_t pid);		   /* true when it is said, and @from closed */
void notify_wait(int *from, pid_t pid, int pidfd); /* until it is ready, or has ended */

/* inside.c */
int cmd_exec(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_ps(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_pause(struct options *o, int argc, char **argv, struct kerr *e);
int cmd_resume(struct options *o, int argc, char **argv, struct kerr *e);

/* limits.c */
int cmd_update(struct options *o, int argc, char **argv, struct kerr *e);

/* events.c */
int cmd_events(struct options *o, int argc, char **argv, struct kerr *e);

/* main.c */
void doc_commands(struct buf *b);

#endif
