/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of io.kapsel.Containers that act on one container at once. */
#include "daemon.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FREEZE_MS = 2000, PIECE_BYTES = 64 << 10 };

void call_fail(struct api_call *call, struct kerr *e)
{
	api_fail(call, e);
	kerr_clear(e);
}

struct container *call_container(struct daemon *d, struct api_call *call, struct kerr *e)
{
	const struct json *p = api_call_params(call);
	const char *id = json_get_string(p, "id", ""), *uid = json_get_string(p, "uid", NULL);
	struct container *c = container_find(d, id);

	if (c == NULL)
		kerr_fail(e, KERR_NOT_FOUND, 0, "there is no container %.140s", id);
	else if (uid && !str_eq(uid, c->uid)) {
		kerr_fail(e, KERR_NOT_FOUND, 0, "%s is another one by now: its uid is %s", id,
			c->uid);
		c = NULL;
	}
	return c;
}

static void put_changed(struct json_out *o, const struct container *c, bool changed, bool with_exit)
{
	json_begin_object(o);
	json_put_string(o, "id", c->id);
	json_put_string(o, "uid", c->uid);
	json_put_bool(o, "changed", changed);
	json_put_u64(o, "instance", c->instance);
	if (with_exit && c->exit) {
		json_key(o, "exit");
		json_add_raw(o, c->exit, strlen(c->exit));
	}
	json_end_object(o);
}

static void answer_changed(struct api_call *call, const struct container *c, bool changed)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	put_changed(&o, c, changed, api_call_method(call) == API_STOP);
	api_reply_buf(call, &b);
}

/* ---- a waiter's hour has come
 * ---------------------------------------------------------------------- */

static void answer_run(struct waiter *w)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct container *c = w->c;

	json_begin_object(&o);
	json_put_string(&o, "id", c->id);
	json_put_string(&o, "uid", c->uid);
	json_put_bool(&o, "existing", false);
	json_put_bool(&o, "changed", true);
	json_put_u64(&o, "instance", c->instance);
	if (c->exit) {
		json_key(&o, "exit");
		json_add_raw(&o, c->exit, strlen(c->exit));
	}
	json_end_object(&o);
	api_reply_buf(w->call, &b);
}

static void answer_attach(struct api_call *call, const struct container *c, bool last)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	json_begin_object(&o);
	json_put_string(&o, "id", c->id);
	json_put_string(&o, "uid", c->uid);
	json_put_u64(&o, "instance", c->instance);
	json_put_bool(&o, "terminal", c->terminal);
	if (last && c->exit) {
		json_key(&o, "exit");
		json_add_raw(&o, c->exit, strlen(c->exit));
	}
	json_end_object(&o);
	if (last)
		api_reply_buf(call, &b);
	else
		api_reply_more(call, b.data, b.len);
}

static void answer_deleted(struct api_call *call, const char *id, const char *uid, bool changed)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	json_begin_object(&o);
	json_put_string(&o, "id", id);
	json_put_string(&o, "uid", uid);
	json_put_bool(&o, "changed", changed);
	json_end_object(&o);
	api_reply_buf(call, &b);
}

/* Of one call for one container; WAIT_PLAIN is watch.c's. */
static void fired_single(struct waiter *w)
{
	struct waiter copy = *w;

	api_call_gone(w->call, NULL, NULL);
	waiter_free(w);
	if (copy.kind == WAIT_RUN)
		answer_run(&copy);
	else if (copy.kind == WAIT_STOP)
		answer_changed(copy.call, copy.c, true);
	else if (copy.kind == WAIT_DELETE)
		answer_deleted(copy.call, copy.c->id, copy.c->uid, true);
	else
		answer_attach(copy.call, copy.c, true);
}

void wait_group_fired(struct daemon *d, struct waiter *w);
void wait_fired(struct daemon *d, struct waiter *w)
{
	if (w->kind == WAIT_PLAIN)
		wait_group_fired(d, w);
	else
		fired_single(w);
}

/* ---- orders to a monitor
 * ---------------------------------------------------------------------------- */

static void order_answered(struct command *o, struct kerr *e)
{
	struct api_call *call = o->call;
	struct daemon *d = o->arg;
	uint64_t number = o->number;
	const char *id;
	struct container *c;

	free(o);
	id = json_get_string(api_call_params(call), "id", "");
	c = container_find(d, id);
	if (kerr_is_set(e)) {
		api_fail(call, e);
	} else if (c == NULL) {
		CLEANUP_ERR struct kerr gone = KERR_INIT;

		kerr_fail(&gone, KERR_NOT_FOUND, 0, "there is no container %s any more", id);
		api_fail(call, &gone);
	} else if (api_call_method(call) == API_RESIZE) {
		api_reply(call, NULL, 0);
	} else if (api_call_method(call) == API_ATTACH) {
		if (!api_call_more(call) || c->life == LIFE_STOPPED) {
			answer_attach(call, c, true);
			return;
		}
		answer_attach(call, c, false);
		waiter_add(c, WAIT_ATTACH, LIFE_STOPPED, call, NULL);
		c->waiters->attached = number;
	} else {
		answer_changed(call, c, true);
	}
}

static void order(struct daemon *d, struct link *l, struct api_call *call, struct wire_out *m)
{
	struct command *o = mem_zalloc(sizeof *o);
	CLEANUP_ERR struct kerr e = KERR_INIT;

	o->number = d->attached;
	o->call = call;
	o->arg = d;
	o->done = order_answered;
	if (link_order(l, m, o, &e) == 0)
		return;
	free(o);
	api_fail(call, &e);
}

/* ---- methods
 * ------------------------------------------------------------------------------------------ */

static void thaw(struct daemon *d, struct container *c)
{
	struct cgroup *cg;

	if (container_cgroup(d, c, &cg, NULL))
		return;
	cgroup_freeze(cg, false, deadline_in_ms(FREEZE_MS), NULL);
	cgroup_free(cg);
}

static int ask_signal(const struct json *p, int otherwise, int *out, struct kerr *e)
{
	const char *s = json_get_string(p, "signal", NULL);
	int n = s ? signal_parse(s) : otherwise;

	*out = n;
	return n > 0 ? 0 : kerr_fail(e, KERR_CONFIG_VALUE, 0, "\"%.40s\" is no signal", s ? s : "");
}

static int send_stop(struct container *c, struct api_call *call, int sig, uint64_t ms,
	const char *what, struct kerr *e)
{
	struct wire_out m;

	wire_begin(&m, WIRE_STOP);
	wire_u64(&m, TAG_SIGNAL, (uint64_t)sig);
	wire_u64(&m, TAG_TIMEOUT_MS, ms);
	wire_str(&m, TAG_WHO, by_of(call, what));
	wire_str(&m, TAG_REQUEST, api_call_request(call));
	return link_order_quiet(c->monitor, &m, e);
}

static int busy(const struct container *c, struct kerr *e)
{
	return c->job ? kerr_fail(e, KERR_BUSY, 0, "%s is being made or started", c->id) : 0;
}

static void call_stop(struct daemon *d, struct api_call *call, struct container *c)
{
	const struct json *p = api_call_params(call);
	uint64_t ms = json_get_u64(p, "timeoutMs", c->stop_ms);
	const struct life_move *m;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	bool paused = c->life == LIFE_PAUSED;
	/* Nothing runs yet that could hear a signal. */
	int sig = c->life == LIFE_CREATED ? 9 : c->stop_signal;

	m = busy(c, &e) ? NULL : life_ask(c->life, EV_STOP, c->id, &e);
	if (m && m->act == ACT_NOTHING) {
		answer_changed(call, c, false);
		return;
	}
	if (m == NULL || (sig != 9 && ask_signal(p, sig, &sig, &e)) ||
		send_stop(c, call, sig, ms, "Stop", &e)) {
		api_fail(call, &e);
		return;
	}
	if (paused)
		thaw(d, c);
	waiter_add(c, WAIT_STOP, LIFE_STOPPED, call, NULL);
	container_event(d, c, EV_STOP, c->life == LIFE_STOPPING ? NULL : "stopping",
		api_call_request(call), by_of(call, "Stop"), NULL, NULL);
}

/* The same words again, whose answer was lost: they have had their effect. */
static bool killed_by(const struct container *c, struct api_call *call)
{
	const char *request = api_call_request(call);
	const struct json *exit;

	if (request == NULL || c->life != LIFE_STOPPED || c->exit == NULL)
		return false;
	exit = json_parse(api_call_arena(call), c->exit, strlen(c->exit), NULL, NULL);
	return exit && str_eq(json_get_string(exit, "request", NULL), request);
}

static void call_kill(struct daemon *d, struct api_call *call, struct container *c)
{
	const struct json *p = api_call_params(call);
	const char *exec = json_get_string(p, "exec", NULL);
	struct execution *x = exec ? exec_find(d, c, exec) : NULL;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_out m;
	int sig;

	if (exec == NULL && killed_by(c, call)) {
		answer_changed(call, c, false);
		return;
	}
	if (life_ask(c->life, EV_KILL, c->id, &e) == NULL || ask_signal(p, 9, &sig, &e) ||
		busy(c, &e)) {
		api_fail(call, &e);
		return;
	}
	if (exec && (x == NULL || x->monitor == NULL)) {
		kerr_fail(&e, KERR_NOT_FOUND, 0, "%s has no exec %.40s", c->id, exec);
		api_fail(call, &e);
		return;
	}
	wire_begin(&m, WIRE_KILL);
	wire_u64(&m, TAG_SIGNAL, (uint64_t)sig);
	wire_u64(&m, TAG_ALL, json_get_bool(p, "all", false));
	wire_str(&m, TAG_WHO, by_of(call, "Kill"));
	wire_str(&m, TAG_REQUEST, api_call_request(call));
	order(d, x ? x->monitor : c->monitor, call, &m);
	if (sig == 9 && x == NULL && c->life == LIFE_PAUSED)
		thaw(d, c);
}

static void call_freeze(struct daemon *d, struct api_call *call, struct container *c, bool frozen)
{
	enum life_event ev = frozen ? EV_PAUSE : EV_RESUME;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct life_move *m = life_ask(c->life, ev, c->id, &e);
	struct cgroup *cg = NULL;
	int rc;

	if (m && m->act == ACT_NOTHING) {
		answer_changed(call, c, false);
		return;
	}
	if (m == NULL || busy(c, &e) || container_cgroup(d, c, &cg, &e)) {
		api_fail(call, &e);
		return;
	}
	rc = cgroup_freeze(cg, frozen, deadline_in_ms(FREEZE_MS), &e);
	if (rc && frozen)
		cgroup_freeze(cg, false, deadline_in_ms(FREEZE_MS), NULL);
	cgroup_free(cg);
	if (rc) {
		api_fail(call, &e);
		return;
	}
	container_event(d, c, ev, frozen ? "paused" : "resumed", api_call_request(call),
		by_of(call, frozen ? "Pause" : "Resume"), NULL, NULL);
	answer_changed(call, c, true);
}

static void call_delete(struct daemon *d, struct api_call *call)
{
	const struct json *p = api_call_params(call);
	const char *id = json_get_string(p, "id", ""), *uid = json_get_string(p, "uid", NULL);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct container *c = call_container(d, call, &e);
	bool force = json_get_bool(p, "force", false);
	const struct life_move *m;
	bool paused;

	/* That life is over, just as asked; but never is another one's id told to be free. */
	if (c == NULL && uid && container_find(d, id) == NULL) {
		answer_deleted(call, id, uid, false);
		return;
	}
	m = c == NULL || busy(c, &e)
		    ? NULL
		    : life_ask(c->life, force ? EV_DELETE_FORCE : EV_DELETE, c->id, &e);
	/* What has never run needs no force. */
	if (m == NULL && c && !c->job && c->life == LIFE_CREATED && !force) {
		kerr_clear(&e);
		m = life_ask(c->life, EV_DELETE_FORCE, c->id, &e);
	}
	if (m == NULL) {
		api_fail(call, &e);
		return;
	}
	if (m->act == ACT_REMOVE) {
		waiter_add(c, WAIT_DELETE, LIFE_REMOVED, call, NULL);
		container_remove(d, c, api_call_request(call), by_of(call, "Delete"));
		return;
	}
	paused = c->life == LIFE_PAUSED;
	if (send_stop(c, call, 9, 0, "Delete", &e)) {
		api_fail(call, &e);
		return;
	}
	if (paused)
		thaw(d, c);
	c->removing = true;
	container_remove(d, c, api_call_request(call), by_of(call, "Delete")); /* later */
	waiter_add(c, WAIT_DELETE, LIFE_REMOVED, call, NULL);
	container_event(d, c, EV_DELETE_FORCE, "stopping", api_call_request(call),
		by_of(call, "Delete"), NULL, NULL);
}

static void call_attach(struct daemon *d, struct api_call *call, struct container *c)
{
	static const struct {
		const char *name;
		enum wire_fd kind;
	} ends[] = { { "stdin", WIRE_FD_STDIN }, { "stdout", WIRE_FD_STDOUT },
		{ "stderr", WIRE_FD_STDERR } };
	const struct json *s = json_get(api_call_params(call), "stdio");
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_out m;
	int fds[3] = { -1, -1, -1 };

	for (int i = 0; i < 3 && !kerr_is_set(&e); i++)
		fds[i] = api_call_take_fd(call, s, ends[i].name, &e);
	if (!kerr_is_set(&e) &&
		(busy(c, &e) || life_ask(c->life, EV_ATTACH, c->id, &e) == NULL ||
			c->monitor == NULL) &&
		!kerr_is_set(&e))
		kerr_fail(&e, KERR_MONITOR, 0, "the monitor of %s is gone", c->id);
	if (kerr_is_set(&e)) {
		api_fail(call, &e);
	} else {
		char name[32];

		snprintf(name, sizeof name, "attached-%llu", (unsigned long long)++d->attached);
		wire_begin(&m, WIRE_ATTACH);
		wire_str(&m, TAG_REQUEST, name);
		for (int i = 0; i < 3; i++)
			wire_fd(&m, ends[i].kind, fds[i]);
		order(d, c->monitor, call, &m);
	}
	for (int i = 0; i < 3; i++)
		fd_closep(&fds[i]);
}

static void call_resize(struct daemon *d, struct api_call *call, struct container *c)
{
	const struct json *p = api_call_params(call);
	const char *exec = json_get_string(p, "exec", NULL);
	struct execution *x = exec ? exec_find(d, c, exec) : NULL;
	struct link *l = exec ? (x ? x->monitor : NULL) : c->monitor;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_out m;

	if (l == NULL) {
		kerr_fail(&e, exec ? KERR_NOT_FOUND : KERR_NOT_RUNNING, 0,
			exec ? "%s has no exec %.40s" : "%s is not running", c->id, exec);
		api_fail(call, &e);
		return;
	}
	wire_begin(&m, WIRE_RESIZE);
	wire_u64(&m, TAG_ROWS, json_get_u64(p, "rows", 24));
	wire_u64(&m, TAG_COLUMNS, json_get_u64(p, "columns", 80));
	order(d, l, call, &m);
}

static void call_get(struct daemon *d, struct api_call *call, struct container *c)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (json_get_bool(api_call_params(call), "showEnv", false)) {
		if (api_call_role(call) >= ROLE_ADMIN) {
			job_env(d, call, c);
			return;
		}
		kerr_fail(&e, KERR_DENIED, 0, "values of process.env are shown to admin only");
		api_fail(call, &e);
		return;
	}
	json_begin_object(&o);
	json_key(&o, "container");
	container_json(d, &o, c, true);
	json_end_object(&o);
	api_reply_buf(call, &b);
}

/* ---- list
 * ---------------------------------------------------------------------------------------------- */

static bool in_list(const struct json *list, const char *s)
{
	json_each(v, list) if (str_eq(v->text, s)) return true;
	return false;
}

static bool has_annotations(const struct container *c, const struct json *want)
{
	CLEANUP_ARENA struct arena *a = NULL;
	CLEANUP_FREE char *text = NULL;
	const struct json *an;

	if (want == NULL || want->n == 0)
		return true;
	if (c->fixed == NULL)
		return false;
	a = arena_new();
	text = mem_printf("{%s}", c->fixed);
	an = json_get(json_parse(a, text, strlen(text), NULL, NULL), "annotations");
	json_each(v, want) if (!str_eq(json_get_string(an, v->key, NULL), v->text)) return false;
	return true;
}

static bool wanted(const struct container *c, const struct json *filter)
{
	const struct json *ids = json_get(filter, "ids"), *states = json_get(filter, "states");

	return (ids == NULL || ids->type != JSON_ARRAY || in_list(ids, c->id)) &&
	       (states == NULL || states->type != JSON_ARRAY ||
		       in_list(states, life_name(c->life))) &&
	       has_annotations(c, json_get(filter, "annotations"));
}

static void call_list(struct daemon *d, struct api_call *call)
{
	const struct json *p = api_call_params(call), *filter = json_get(p, "filter");
	const struct json *page = json_get(p, "page");
	const char *after = json_get_string(page, "after", NULL);
	uint64_t size = json_get_u64(page, "size", PAGE_MOST), n = 0;
	size_t i = after ? container_place(d, after) : 0;
	const struct container *last = NULL;
	bool brief = json_get_bool(p, "brief", false);
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	if (size == 0 || size > PAGE_MOST)
		size = PAGE_MOST;
	if (after && i < d->all.n && str_eq(d->all.v[i]->id, after))
		i++;
	if (api_call_more(call))
		size = UINT64_MAX;
	json_begin_object(&o);
	json_key(&o, "containers");
	json_begin_array(&o);
	if (brief) {
		json_end_array(&o);
		json_key(&o, "brief");
		json_begin_array(&o);
	}
	for (; i < d->all.n && n < size; i++) {
		if (!wanted(d->all.v[i], filter))
			continue;
		last = d->all.v[i];
		if (brief)
			container_brief(&o, last);
		else
			container_json(d, &o, last, false);
		n++;
	}
	json_end_array(&o);
	if (i < d->all.n && last)
		json_put_string(&o, "next", last->id);
	json_end_object(&o);
	api_reply_buf(call, &b);
}

/* ---- dispatch
 * -------------------------------------------------------------------------------------------- */

static void unsupported(struct api_call *call)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	kerr_fail(&e, KERR_UNSUPPORTED, 0, "%s is not carried out by version " KAPSEL_VERSION,
		api_method(api_call_method(call))->name);
	api_fail(call, &e);
}

typedef void (*on_one)(struct daemon *d, struct api_call *call, struct container *c);

static void do_pause(struct daemon *d, struct api_call *call, struct container *c)
{
	call_freeze(d, call, c, true);
}

static void do_resume(struct daemon *d, struct api_call *call, struct container *c)
{
	call_freeze(d, call, c, false);
}

static const on_one on_container[API_METHOD_COUNT] = {
	[API_START] = job_start,
	[API_STOP] = call_stop,
	[API_KILL] = call_kill,
	[API_PAUSE] = do_pause,
	[API_RESUME] = do_resume,
	[API_EXEC] = job_exec,
	[API_ATTACH] = call_attach,
	[API_RESIZE] = call_resize,
	[API_GET] = call_get,
};

void call_dispatch(void *arg, struct api_call *call)
{
	struct daemon *d = arg;
	enum api_method m = api_call_method(call);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct container *c;

	if (on_container[m]) {
		c = call_container(d, call, &e);
		if (c)
			on_container[m](d, call, c);
		else
			api_fail(call, &e);
	} else if (m == API_CREATE || m == API_RUN) {
		job_create(d, call, m == API_RUN);
	} else if (m == API_DELETE) {
		call_delete(d, call);
	} else if (m == API_LIST) {
		call_list(d, call);
	} else if (m == API_WAIT) {
		call_wait(d, call);
	} else if (m == API_WATCH) {
		call_watch(d, call);
	} else if (m == API_LOGS) {
		call_logs(d, call);
	} else if (m == API_STATS) {
		call_stats(d, call);
	} else if (m == API_PROCESSES) {
		call_processes(d, call);
	} else if (m == API_NODE_INFO || m == API_NODE_CHECK || m == API_NODE_FACTS ||
		   m == API_NODE_RELOAD) {
		call_node(d, call);
	} else {
		unsupported(call);
	}
}

void call_audit(void *arg, const struct api_call *call, const struct kerr *result)
{
	struct daemon *d = arg;
	const struct peer *p = api_call_peer(call);
	const struct json *params = api_call_params(call);
	const char *id = json_get_string(params, "id", NULL),
		   *uid = json_get_string(params, "uid", NULL);
	CLEANUP_FREE char *name = mem_printf("%d/cgroup", (int)p->pid);
	CLEANUP_BUF struct buf cgroup = BUF_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct container *c = id ? container_find(d, id) : NULL;
	char text[TIME_TEXT];
	uint64_t now = clock_wall_ns();
	const char *at;

	json_begin_object(&o);
	json_put_string(&o, "time", time_text(now, text));
	json_put_u64(&o, "uid", p->uid);
	json_put_i64(&o, "pid", p->pid);
	if (p->pid > 0 && proc_read(name, 8192, &cgroup, NULL) == 0 &&
		(at = strstr(buf_str(&cgroup), "0::")) != NULL) {
		json_key(&o, "cgroup");
		json_add_bytes(&o, at + 3, strcspn(at + 3, "\n"));
	}
	json_put_string(&o, "method", api_method(api_call_method(call))->name);
	json_put_string(&o, "id", id);
	json_put_string(&o, "container", uid ? uid : c ? c->uid : NULL);
	json_put_string(&o, "request", api_call_request(call));
	json_put_string(&o, "result", result ? kerr_row(result->code)->name : "ok");
	json_end_object(&o);
	journal_add(d->journal, JOURNAL_AUDIT, now, b.data, b.len);
	if (result)
		log_info("audit: %s", b.data);
	else
		log_debug("audit: %s", b.data);
}
