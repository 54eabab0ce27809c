/* SPDX-License-Identifier: Apache-2.0 */
/* What kapseld knows of containers, and who is told when it changes. */
#include "daemon.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLEAR_MS = 5000 };

/* ---- the list -----------------------------------------------------------------------------------
 */

size_t container_place(struct daemon *d, const char *id)
{
	size_t low = 0, high = d->all.n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (strcmp(d->all.v[mid]->id, id) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct container *container_find(struct daemon *d, const char *id)
{
	size_t i = container_place(d, id);

	return i < d->all.n && str_eq(d->all.v[i]->id, id) ? d->all.v[i] : NULL;
}

struct container *container_add(struct daemon *d, const char *id, const char *uid)
{
	size_t i = container_place(d, id);
	struct container *c = mem_zalloc(sizeof *c);

	c->id = mem_strdup(id);
	memcpy(c->uid, uid, UID_TEXT);
	c->instance = 1;
	c->created = clock_wall_ns();
	vec_push(&d->all) = NULL;
	memmove(d->all.v + i + 1, d->all.v + i, (d->all.n - 1 - i) * sizeof *d->all.v);
	d->all.v[i] = c;
	return c;
}

static void early_free(struct container *c)
{
	if (c->early)
		exit_record_free(c->early);
	free(c->early);
	c->early = NULL;
}

void container_drop(struct daemon *d, struct container *c)
{
	size_t i = container_place(d, c->id);

	if (i < d->all.n && d->all.v[i] == c) {
		d->all.n--;
		memmove(d->all.v + i, d->all.v + i + 1, (d->all.n - i) * sizeof *d->all.v);
	}
	while (c->execs) {
		struct execution *x = c->execs;

		c->execs = x->next;
		x->c = NULL;
		x->next = NULL;
	}
	link_close(c->monitor);
	early_free(c);
	free(c->id);
	free(c->bundle);
	free(c->fixed);
	free(c->exit);
	free(c->request);
	free(c->remove_by);
	free(c->remove_request);
	free(c);
}

int container_dir(struct daemon *d, const struct container *c, struct kerr *e)
{
	return path_own(d->containers_dir, c->id, O_PATH | O_DIRECTORY, 0, e);
}

int container_cgroup(
	struct daemon *d, const struct container *c, struct cgroup **out, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(d, c, e);
	struct store_oci o;
	int rc;

	if (dir < 0 || store_oci_read(dir, &o, e))
		return -1;
	rc = o.cgroup && *o.cgroup ? cgroup_open(o.cgroup, out, e)
				   : kerr_fail(e, KERR_CGROUP, 0, "%s has no cgroup", c->id);
	store_oci_free(&o);
	return rc;
}

static void put_time(struct json_out *o, const char *key, uint64_t wall)
{
	char text[TIME_TEXT];

	if (wall)
		json_put_string(o, key, time_text(wall, text));
}

/* exit.json has the last lines, the copy in memory has not. */
static void put_exits(struct daemon *d, struct json_out *o, const struct container *c, bool whole)
{
	CLEANUP_FD int dir = -1;
	struct exit_record r;

	json_key(o, "exits");
	json_begin_array(o);
	if (c->exit && whole && (dir = container_dir(d, c, NULL)) >= 0 &&
		store_exit_read(dir, &r, NULL) == 0) {
		store_exit_json(o, &r, true);
		exit_record_free(&r);
	} else if (c->exit) {
		json_add_raw(o, c->exit, strlen(c->exit));
	}
	json_end_array(o);
}

static void put_cgroup(struct daemon *d, struct json_out *o, const struct container *c)
{
	CLEANUP_FD int dir = c->life == LIFE_STOPPED ? -1 : container_dir(d, c, NULL);
	CLEANUP_FREE char *path = NULL;
	struct store_oci oci;

	if (dir < 0 || store_oci_read(dir, &oci, NULL))
		return;
	if (oci.cgroup && *oci.cgroup) { /* its first line is the path */
		path = mem_strndup(oci.cgroup, strcspn(oci.cgroup, "\n"));
		json_put_string(o, "cgroup", path);
	}
	store_oci_free(&oci);
}

static void put_life(struct json_out *o, const struct container *c)
{
	bool live = c->life != LIFE_STOPPED && c->life != LIFE_REMOVED;

	json_put_string(o, "id", c->id);
	json_put_string(o, "uid", c->uid);
	json_put_u64(o, "instance", c->instance);
	json_put_string(o, "state", life_name(c->life));
	if (live && c->pid)
		json_put_i64(o, "pid", c->pid);
	put_time(o, "created", c->created);
	put_time(o, "started", c->started);
}

void container_brief(struct json_out *o, const struct container *c)
{
	json_begin_object(o);
	put_life(o, c);
	json_put_string(o, "bundle", c->bundle ? c->bundle : "");
	if (c->exit) {
		json_key(o, "exit");
		json_add_raw(o, c->exit, strlen(c->exit));
	}
	json_end_object(o);
}

void container_json(struct daemon *d, struct json_out *o, const struct container *c, bool whole)
{
	json_begin_object(o);
	put_life(o, c);
	if (c->fixed && *c->fixed) {
		buf_addc(o->b, ',');
		buf_adds(o->b, c->fixed);
	} else { /* its executor has not answered yet */
		json_put_string(o, "bundle", "");
		json_put_string(o, "digest", "");
		json_put_bool(o, "terminal", false);
		json_put_bool(o, "volatile", false);
		json_key(o, "policy");
		json_add_raw(o, "{}", 2);
		json_key(o, "policyFrom");
		json_add_raw(o, "{}", 2);
	}
	if (whole)
		put_cgroup(d, o, c);
	put_exits(d, o, c, whole);
	json_end_object(o);
}

/* ---- events -------------------------------------------------------------------------------------
 */

const char *by_of(struct api_call *c, const char *what)
{
	const struct peer *p = api_call_peer(c);

	return arena_printf(
		api_call_arena(c), "uid %u pid %d %s", (unsigned)p->uid, (int)p->pid, what);
}

/* @exit: the certificate as JSON, or NULL */
static void tell(struct daemon *d, const struct container *c, enum life state, const char *type,
	const char *request, const char *by, const char *message, const struct buf *exit)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	uint64_t now = clock_wall_ns();

	json_begin_object(&o);
	json_put_u64(&o, "number", journal_last(d->journal) + 1);
	put_time(&o, "time", now);
	json_put_string(&o, "type", type);
	json_put_string(&o, "id", c->id);
	json_put_string(&o, "uid", c->uid);
	json_put_u64(&o, "instance", c->instance);
	json_put_string(&o, "state", life_name(state));
	json_put_string(&o, "request", request);
	json_put_string(&o, "by", by);
	if (exit) {
		json_key(&o, "exit");
		json_add_raw(&o, exit->data, exit->len);
	}
	json_put_string(&o, "message", message);
	json_end_object(&o);
	journal_add(d->journal, JOURNAL_EVENT, now, b.data, b.len);
	watch_event(d);
}

static void fire(struct daemon *d, struct container *c)
{
	for (struct waiter *w = c->waiters, *next; w; w = next) {
		bool hit = c->life == LIFE_REMOVED ||
			   (c->life == LIFE_STOPPED && w->until != LIFE_REMOVED) ||
			   (w->until == LIFE_RUNNING &&
				   (c->life == LIFE_RUNNING || c->life == LIFE_PAUSED));

		next = w->next;
		if (hit)
			wait_fired(d, w);
	}
}

int container_event(struct daemon *d, struct container *c, enum life_event ev, const char *type,
	const char *request, const char *by, const char *message, struct kerr *e)
{
	const struct life_move *m = life_ask(c->life, ev, c->id, e);

	if (m == NULL)
		return -1;
	c->life = life_after(c->life, m);
	if (type)
		tell(d, c, c->life, type, request, by, message, NULL);
	fire(d, c);
	return 0;
}

static void waiter_gone(struct api_call *call, void *arg)
{
	struct waiter *w = arg;
	struct wire_out m;
	char name[32];

	(void)call;
	if (w->attached && w->c->monitor) {
		snprintf(name, sizeof name, "attached-%llu", (unsigned long long)w->attached);
		wire_begin(&m, WIRE_DETACH);
		wire_str(&m, TAG_REQUEST, name);
		link_order_quiet(w->c->monitor, &m, NULL);
	}
	waiter_free(w);
}

void waiter_add(struct container *c, enum waiter_kind kind, enum life until, struct api_call *call,
	struct wait_group *g)
{
	struct waiter *w = mem_zalloc(sizeof *w);

	w->c = c;
	w->kind = kind;
	w->until = until;
	w->call = call;
	w->group = g;
	w->next = c->waiters;
	if (w->next)
		w->next->pprev = &w->next;
	w->pprev = &c->waiters;
	c->waiters = w;
	if (g == NULL)
		api_call_gone(call, waiter_gone, w);
}

void waiter_free(struct waiter *w)
{
	*w->pprev = w->next;
	if (w->next)
		w->next->pprev = w->pprev;
	free(w);
}

/* ---- the end ------------------------------------------------------------------------------------
 */

/* So that the next kapseld does not tell it again; unless the entry was lost with this one. */
static void mark_reported(struct daemon *d, struct container *c)
{
	CLEANUP_FREE char *number =
		mem_printf("%llu", (unsigned long long)journal_last(d->journal));
	CLEANUP_FD int dir = container_dir(d, c, NULL);

	c->reported = true;
	if (dir >= 0)
		path_replace(dir, REPORTED, number, strlen(number), 0600, false, NULL);
}

void container_exited(struct daemon *d, struct container *c, struct exit_record *r)
{
	CLEANUP_BUF struct buf whole = BUF_INIT;
	CLEANUP_BUF struct buf plain = BUF_INIT;
	CLEANUP_BUF struct buf words = BUF_INIT;
	struct json_out o = JSON_OUT(&whole), p = JSON_OUT(&plain);
	const struct life_move *m;

	if (c->life == LIFE_STOPPED) {
		exit_record_free(r); /* a report may come twice */
		return;
	}
	if (c->job) { /* the birth's own answer comes first */
		early_free(c);
		c->early = mem_zalloc(sizeof *c->early);
		*c->early = *r;
		return;
	}
	m = life_ask(c->life, EV_EXITED, c->id, NULL);
	if (m == NULL) {
		exit_record_free(r);
		return;
	}
	if (r->started_wall == 0)
		r->started_wall = c->started;
	store_exit_json(&o, r, true);
	store_exit_json(&p, r, false);
	exit_record_words(r, &words);
	free(c->exit);
	c->exit = buf_take(&plain);
	c->life = life_after(c->life, m);
	c->pid = 0;
	logs_ended(d, c);
	if (!c->reported)
		tell(d, c, c->life, "exited", r->request, r->by, buf_str(&words), &whole);
	exit_record_free(r);
	fire(d, c);
	pool_refill_later(d);
	if (!c->reported && !c->auto_remove && !c->removing)
		mark_reported(d, c);
	/* The end of the monitor's socket will say that its cgroup is gone as well. */
	if ((c->auto_remove || c->removing) && c->monitor == NULL)
		container_remove(d, c, NULL, c->auto_remove ? "autoRemove" : NULL);
}

void container_remove(struct daemon *d, struct container *c, const char *request, const char *by)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (c->remove_by == NULL && by) {
		c->remove_by = mem_strdup(by);
		c->remove_request = request ? mem_strdup(request) : NULL;
	}
	if (c->monitor || c->job) {
		c->removing = true;
		return;
	}
	if (c->poststop) {
		c->poststop = false;
		c->removing = true;
		if (job_poststop(d, c))
			return;
	}
	if (path_own_remove_tree(d->containers_dir, c->id, &e)) {
		CLEANUP_BUF struct buf line = BUF_INIT;

		kerr_line(&e, &line);
		log_error("%s: %s", c->id, buf_str(&line));
	}
	if (!c->no_log)
		logs_remove(d, c->id);
	container_event(d, c, EV_UNDONE, "removed", c->remove_request, c->remove_by, NULL, NULL);
	container_drop(d, c);
	pool_refill_later(d);
}

void remains_clear(int dir)
{
	struct store_oci o;
	struct cgroup *cg;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_FD int pidfd = -1;

	if (store_oci_read(dir, &o, NULL))
		return;
	pidfd = o.pid > 0 && o.start_time ? pidfd_open_known(o.pid, o.start_time, NULL) : -1;
	if (pidfd >= 0)
		pidfd_signal(pidfd, SIGKILL, NULL);
	if (o.cgroup && *o.cgroup && cgroup_open(o.cgroup, &cg, &e) == 0) {
		if (cgroup_kill(cg, deadline_in_ms(CLEAR_MS), &e) ||
			cgroup_remove(cg, deadline_in_ms(CLEAR_MS), &e)) {
			CLEANUP_BUF struct buf line = BUF_INIT;

			kerr_line(&e, &line);
			log_error("cgroup of a lost container: %s", buf_str(&line));
		}
		cgroup_free(cg);
	}
	store_oci_free(&o);
}

/* Its monitor ended. Either it wrote the record first, or it is to be certified without. */
static void settle_lost(struct daemon *d, struct container *c)
{
	CLEANUP_FD int dir = -1;
	CLEANUP_FD int oci = -1;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct exit_record r = { 0 };

	dir = container_dir(d, c, &e);
	if (dir >= 0 && store_exit_read(dir, &r, &e) == 0 && str_eq(r.uid, c->uid)) {
		container_exited(d, c, &r);
		return;
	}
	exit_record_free(&r);
	if (c->life == LIFE_CREATING && (oci = path_own(dir, STORE_OCI, O_PATH, 0, NULL)) < 0) {
		container_never_born(d, c);
		return;
	}
	if (dir >= 0)
		remains_clear(dir);
	log_error("%s: its monitor was killed; all of its processes were", c->id);
	r = (struct exit_record) { .id = mem_strdup(c->id),
		.uid = mem_strdup(c->uid),
		.instance = c->instance,
		.reason = mem_strdup("monitor was killed"),
		.started_wall = c->started,
		.ended_wall = clock_wall_ns() };
	if (dir >= 0)
		store_exit_write(dir, &r, NULL);
	container_exited(d, c, &r);
}

void container_monitor_gone(struct daemon *d, struct container *c)
{
	if (c->life == LIFE_STOPPED && (c->auto_remove || c->removing))
		container_remove(d, c, NULL, c->auto_remove ? "autoRemove" : NULL);
	else if (c->life != LIFE_STOPPED && !c->early)
		settle_lost(d, c);
}
