/* SPDX-License-Identifier: Apache-2.0 */
/* What all jobs have in common: their links, what comes in on those, and their one end. */
#include "job.h"
#include <stdlib.h>
#include <string.h>

/* ---- what a caller asks
 * --------------------------------------------------------------------------- */

int take_stdio(struct job *j, const struct json *params, struct kerr *e)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	const struct json *s = json_get(params, "stdio");

	for (int i = 0; i < 3; i++) {
		CLEANUP_ERR struct kerr mine = KERR_INIT;

		j->stdio[i] = api_call_take_fd(j->call, s, names[i], &mine);
		if (j->stdio[i] < 0 && kerr_is_set(&mine)) {
			kerr_move(e, &mine);
			return -1;
		}
	}
	return 0;
}

int open_bundle(struct job *j, const struct json *p, struct kerr *e)
{
	const char *path = json_get_string(p, "bundle", NULL);
	CLEANUP_ERR struct kerr mine = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;

	j->bundle = api_call_take_fd(j->call, p, "bundleFd", &mine);
	if (j->bundle < 0 && kerr_is_set(&mine)) {
		kerr_move(e, &mine);
		return -1;
	}
	if (j->bundle < 0 && path == NULL)
		return kerr_fail(e, KERR_CONFIG_REQUIRED, 0, "bundle or bundleFd is needed");
	if (j->bundle < 0 && *path != '/')
		return kerr_fail(e, KERR_BUNDLE_MISSING, 0, "%s is not an absolute path", path);
	j->bundle = bundle_open_as(api_call_peer(j->call), j->bundle, path, e);
	if (j->bundle < 0)
		return -1;
	if (path == NULL && fd_path(j->bundle, &b, NULL) == 0)
		path = b.data;
	j->bundle_path = mem_strdup(path ? path : "");
	return 0;
}

/* TAG_ARGS and TAG_ENV: lists of the caller's. */
static void put_list(struct wire_out *m, enum wire_tag tag, const struct json *list)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (list == NULL || list->type != JSON_ARRAY || list->n == 0)
		return;
	json_each(s, list) buf_add(&b, s->text, s->len + 1);
	wire_bytes(m, tag, b.data, b.len);
}

void put_process(struct job *j, struct wire_out *m, const struct json *process)
{
	put_list(m, TAG_ARGS, json_get(process, "args"));
	put_list(m, TAG_ENV, json_get(process, "env"));
	wire_str(m, TAG_CWD, json_get_string(process, "cwd", NULL));
	wire_str(m, TAG_USER, json_get_string(process, "user", NULL));
	if (json_get_bool(process, "terminal", false))
		j->flags |= WIRE_TERMINAL;
	j->rows = json_get_u64(process, "rows", 0);
	j->columns = json_get_u64(process, "columns", 0);
}

/* ---- the links
 * ------------------------------------------------------------------------------------ */

static void birth_late(struct timer *t)
{
	struct job *j = (struct job *)((char *)t - offsetof(struct job, timer));
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (j->failing) { /* its monitor does not end: do not wait any longer */
		job_failed(j, &e);
		return;
	}
	/* The executor has deadlines of its own and undoes what it did: only the caller is told. */
	j->timed_out = true;
	kerr_fail(&e, KERR_TIMEOUT, 0, "the executor took longer than %llu ms",
		(unsigned long long)j->d->config.birth_ms);
	if (j->call)
		api_fail(j->call, &e);
	j->call = NULL;
}

struct job *job_new(struct daemon *d, enum job_kind kind, struct api_call *call)
{
	struct job *j = mem_zalloc(sizeof *j);

	j->d = d;
	j->kind = kind;
	j->call = call;
	j->bundle = j->run_dir = j->log_dir = -1;
	j->stdio[0] = j->stdio[1] = j->stdio[2] = -1;
	j->timer.fire = birth_late;
	return j;
}

int take_pair(struct job *j, struct kerr *e)
{
	if (pool_take(j->d, &j->m, &j->x, e))
		return -1;
	j->m->job = j->x->job = j;
	j->d->nbusy++;
	loop_timer(j->d->loop, &j->timer, deadline_in_ms(j->d->config.birth_ms));
	return 0;
}

static void drop_links(struct job *j)
{
	if (j->x || j->m)
		j->d->nbusy--;
	if (j->x)
		link_close(j->x);
	if (j->m)
		link_close(j->m);
	j->x = j->m = NULL;
}

void job_end(struct job *j)
{
	drop_links(j);
	if (j->c && j->c->job == j)
		j->c->job = NULL;
	if (j->exec)
		j->exec->job = NULL;
	if (j->scratch)
		path_own_remove_tree(j->d->containers_dir, j->scratch, NULL);
	if (j->log_errand)
		((void **)(j->log_errand + 1))[0] = NULL; /* see struct log_errand */
	if (j->prepared_frame) {
		wire_in_free(j->prepared_frame);
		free(j->prepared_frame);
	}
	close_capture(j->out);
	close_capture(j->err);
	fd_closep(&j->bundle);
	fd_closep(&j->run_dir);
	fd_closep(&j->log_dir);
	for (int i = 0; i < 3; i++)
		fd_closep(&j->stdio[i]);
	buf_free(&j->out_text);
	buf_free(&j->err_text);
	buf_free(&j->warnings);
	kerr_clear(&j->error);
	free(j->bundle_path);
	free(j->scratch);
	free(j->exec_exit);
	loop_untimer(j->d->loop, &j->timer);
	loop_untimer(j->d->loop, &j->log_timer);
	pool_refill_later(j->d);
	pool_refill_soon(j->d);
	free(j);
}

/* ---- what comes in
 * --------------------------------------------------------------------------------- */

static void prepared(struct job *j, struct wire_in *in)
{
	if (j->kind == JOB_PROBE) {
		struct container *c = container_find(j->d, j->c->id);

		j->c = NULL;
		answer_existing(j, c, wire_get_str(in, TAG_DIGEST));
		return;
	}
	if (j->prepared_frame)
		return;
	j->prepared_frame = mem_zalloc(sizeof *in);
	*j->prepared_frame = *in;
	memset(in, 0, sizeof *in);
	birth_go_on(j);
}

static void frame_failed(struct job *j, struct wire_in *in)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	wire_get_error(in, &e);
	if (j->kind == JOB_START)
		start_failed(j, &e);
	else if (j->kind == JOB_POSTSTOP)
		poststop_over(j, &e);
	else
		job_failed(j, &e);
}

void job_frame(struct job *j, struct link *from, struct wire_in *in)
{
	if (from == j->m) {
		if (in->type == WIRE_EXITED && j->kind == JOB_EXEC)
			exec_ended(j, in);
		return;
	}
	if (in->type == WIRE_PREPARED)
		prepared(j, in);
	else if (in->type == WIRE_FAILED)
		frame_failed(j, in);
	else if (j->kind == JOB_CREATE && (in->type == WIRE_CREATED || in->type == WIRE_STARTED))
		birth_made(j, in);
	else if (j->kind == JOB_START && in->type == WIRE_STARTED)
		start_made(j);
	else if (j->kind == JOB_POSTSTOP && in->type == WIRE_STARTED)
		poststop_over(j, &(struct kerr)KERR_INIT);
	else if (j->kind == JOB_ENV && in->type == WIRE_ENV)
		env_told(j, in);
	else if (j->kind == JOB_EXEC && in->type == WIRE_STARTED)
		exec_started(j, in);
}

void job_link_gone(struct job *j, struct link *l)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	bool monitor = l == j->m;

	if (monitor)
		j->m = NULL;
	else
		j->x = NULL;
	if (j->x == NULL && j->m == NULL)
		j->d->nbusy--;
	if (l->c && l->c->monitor == l)
		l->c->monitor = NULL;
	l->c = NULL;
	l->job = NULL;
	if (j->kind == JOB_EXEC && monitor && j->told) {
		exec_ended(j, NULL);
		return;
	}
	/* Before the executor's answer its monitor may be gone already: a short life. */
	if (monitor && j->x && !j->failing)
		return;
	if (j->failing) {
		job_failed(j, &e);
		return;
	}
	kerr_fail(&e, KERR_INTERNAL, 0, "the executor ended without an answer");
	if (j->kind == JOB_START)
		start_failed(j, &e);
	else if (j->kind == JOB_POSTSTOP)
		poststop_over(j, &e);
	else
		job_failed(j, &e);
}
