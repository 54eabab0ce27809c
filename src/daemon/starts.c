/* SPDX-License-Identifier: Apache-2.0 */
/* Orders about a container that is there: start, the poststop hooks, the values of its environment.
 */
#include "job.h"
#include <string.h>

/* ---- start
 * ------------------------------------------------------------------------------------------ */

static void answer_started(struct api_call *call, const struct container *c, bool changed)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	bool run = api_call_method(call) == API_RUN;

	json_begin_object(&o);
	json_put_string(&o, "id", c->id);
	json_put_string(&o, "uid", c->uid);
	if (run)
		json_put_bool(&o, "existing", true);
	json_put_bool(&o, "changed", changed);
	json_put_u64(&o, "instance", c->instance);
	if (c->pid)
		json_put_i64(&o, "pid", c->pid);
	json_end_object(&o);
	if (!run || !json_get_bool(api_call_params(call), "wait", false)) {
		api_reply_buf(call, &b);
		return;
	}
	if (api_call_more(call))
		api_reply_more(call, b.data, b.len);
	waiter_add((struct container *)(uintptr_t)c, WAIT_RUN,
		c->auto_remove ? LIFE_REMOVED : LIFE_STOPPED, call, NULL);
}

void job_start(struct daemon *d, struct api_call *call, struct container *c)
{
	const struct life_move *m;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct job *j;
	struct wire_out w;

	if (c->job) {
		kerr_fail(&e, KERR_BUSY, 0, "%s is being started", c->id);
		api_fail(call, &e);
		return;
	}
	m = life_ask(c->life, EV_START, c->id, &e);
	if (m == NULL) {
		api_fail(call, &e);
		return;
	}
	if (m->act == ACT_NOTHING) {
		answer_started(call, c, false);
		return;
	}
	j = job_new(d, JOB_START, call);
	j->run_dir = container_dir(d, c, &e);
	if (j->run_dir < 0 || take_pair(j, &e)) {
		job_give_up(j, &e);
		return;
	}
	j->c = c;
	c->job = j;
	wire_begin(&w, WIRE_START);
	wire_str(&w, TAG_ID, c->id);
	wire_fd(&w, WIRE_FD_RUN_DIR, j->run_dir);
	if (link_send(j->x, &w, &e))
		job_give_up(j, &e);
}

/* A created container's monitor does not see it start. */
static void tell_monitor(struct container *c)
{
	struct wire_out m;

	if (c->monitor == NULL)
		return;
	wire_begin(&m, WIRE_STATUS);
	wire_u64(&m, TAG_STARTED_WALL, c->started);
	wire_u64(&m, TAG_STARTED_MONO, clock_boot_ns());
	link_send(c->monitor, &m, NULL);
}

void start_made(struct job *j)
{
	struct container *c = j->c;
	struct daemon *d = j->d;
	struct exit_record *early = c->early;
	struct api_call *call = j->call;
	const char *by = call ? by_of(call, "Start") : NULL;

	j->call = NULL;
	j->c = NULL;
	c->job = NULL;
	c->early = NULL;
	c->started = clock_wall_ns();
	tell_monitor(c);
	container_event(
		d, c, EV_RUNS, "started", call ? api_call_request(call) : NULL, by, NULL, NULL);
	if (call)
		answer_started(call, c, true);
	job_end(j);
	settle_early(d, c, early);
}

/* init may have died of it, or not have heard: what the monitor says of it decides. */
void start_failed(struct job *j, struct kerr *e)
{
	struct container *c = j->c;
	struct daemon *d = j->d;
	struct exit_record *early = c->early;

	c->job = NULL;
	c->early = NULL;
	j->c = NULL;
	job_give_up(j, e);
	settle_early(d, c, early);
}

/* ---- poststop -----------------------------------------------------------------------------------
 */

bool job_poststop(struct daemon *d, struct container *c)
{
	struct job *j = job_new(d, JOB_POSTSTOP, NULL);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_out w;

	j->run_dir = container_dir(d, c, &e);
	if (j->run_dir >= 0 && take_pair(j, &e) == 0) {
		wire_begin(&w, WIRE_POSTSTOP);
		wire_str(&w, TAG_ID, c->id);
		wire_fd(&w, WIRE_FD_RUN_DIR, j->run_dir);
		if (link_send(j->x, &w, &e) == 0) {
			j->c = c;
			c->job = j;
			return true;
		}
	}
	log_warning("%s: its poststop hooks were not run: %s", c->id, e.message);
	job_end(j);
	return false;
}

/* Whatever they did: the specification has it logged, and goes on. */
void poststop_over(struct job *j, struct kerr *e)
{
	struct daemon *d = j->d;
	struct container *c = j->c;

	if (kerr_is_set(e))
		log_warning("%s: poststop: %s", c->id, e->message);
	j->c = NULL;
	c->job = NULL;
	job_end(j);
	container_remove(d, c, NULL, NULL);
}

/* ---- the environment ----------------------------------------------------------------------------
 */

/* kapseld never reads a bundle, nor the copy of it: an executor does, and is gone. */
void job_env(struct daemon *d, struct api_call *call, struct container *c)
{
	struct job *j = job_new(d, JOB_ENV, call);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_out w;

	j->run_dir = container_dir(d, c, &e);
	if (j->run_dir >= 0 && take_pair(j, &e) == 0) {
		wire_begin(&w, WIRE_ENV);
		wire_fd(&w, WIRE_FD_RUN_DIR, j->run_dir);
		if (link_send(j->x, &w, &e) == 0)
			return;
	}
	job_give_up(j, &e);
}

void env_told(struct job *j, struct wire_in *in)
{
	CLEANUP_BUF struct buf plain = BUF_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out p = JSON_OUT(&plain), o = JSON_OUT(&b);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct api_call *call = j->call;
	const char *env = wire_get_str(in, TAG_ENV);
	const struct json *whole;
	struct container *c;

	j->call = NULL;
	c = call ? call_container(j->d, call, &e) : NULL;
	if (call && c == NULL)
		api_fail(call, &e);
	if (c) {
		container_json(j->d, &p, c, true);
		whole = json_parse(api_call_arena(call), plain.data, plain.len, NULL, NULL);
		json_begin_object(&o);
		json_key(&o, "container");
		json_begin_object(&o);
		json_key(&o, "env");
		json_add_raw(&o, env ? env : "[]", env ? strlen(env) : 2);
		json_each(v, whole)
		{
			if (str_eq(v->key, "env"))
				continue;
			json_key(&o, v->key);
			json_add_value(&o, v);
		}
		json_end_object(&o);
		json_end_object(&o);
		api_reply_buf(call, &b);
	}
	job_end(j);
}
