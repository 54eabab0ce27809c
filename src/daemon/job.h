/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job is one conversation with a pair: a birth, a start, an exec. docs/ARCHITECTURE.md, "A
 * container's birth". A job ends exactly once, by job_end(); until then it owns its links.
 */
#ifndef KAPSEL_DAEMON_JOB_H
#define KAPSEL_DAEMON_JOB_H

#include "daemon.h"

struct capture {
	struct source source; /* first: its end frees the whole */
	struct job *job;
	struct buf *text;
	struct capture **place; /* the job's */
};

struct job {
	struct daemon *d;
	enum job_kind kind;
	bool run, wait, prepared, watched, answered, failing, timed_out, told, detach, captures;
	bool truncated;
	struct api_call *call; /* NULL once it is answered for good, or for callers that went */
	struct container *c;
	struct link *m, *x;
	struct timer timer, log_timer;
	int bundle, run_dir, log_dir, stdio[3];
	char *bundle_path, *scratch; /* scratch: a probe's directory */
	struct errand *log_errand;
	struct wire_in *prepared_frame;
	struct kerr error;
	uint64_t flags, rows, columns;
	/* exec */
	struct execution *exec;
	struct capture *out, *err;
	struct buf out_text, err_text;
	size_t capture_most;
	char *exec_exit;
	struct buf warnings;
};

/* jobs.c: what all have in common */
int take_stdio(struct job *j, const struct json *params, struct kerr *e);
int open_bundle(struct job *j, const struct json *p, struct kerr *e);
void put_process(struct job *j, struct wire_out *m, const struct json *process);
struct job *job_new(struct daemon *d, enum job_kind kind, struct api_call *call);
int take_pair(struct job *j, struct kerr *e);
void job_end(struct job *j);

/* births.c: create and run */
void answer_existing(struct job *j, struct container *c, const char *digest);
void job_give_up(struct job *j, struct kerr *e);
void birth_go_on(struct job *j);
void resize_first(struct job *j, struct link *m);
void settle_early(struct daemon *d, struct container *c, struct exit_record *early);
void birth_made(struct job *j, struct wire_in *in);
void job_failed(struct job *j, struct kerr *e);

/* starts.c: start, poststop, env */
void start_made(struct job *j);
void start_failed(struct job *j, struct kerr *e);
void poststop_over(struct job *j, struct kerr *e);
void env_told(struct job *j, struct wire_in *in);

/* execs.c */
void close_capture(struct capture *c);
void exec_started(struct job *j, struct wire_in *in);
void exec_ended(struct job *j, struct wire_in *in);

#endif
