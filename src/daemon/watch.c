/* SPDX-License-Identifier: Apache-2.0 */
/* Wait for several, and Watch: snapshot, then the journal. */
#include "daemon.h"
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 48 << 10, HOLD_BYTES = 256 << 10 };

/* ---- Wait
 * -------------------------------------------------------------------------------------------- */

struct wait_group {
	struct daemon *d;
	struct api_call *call;
	struct waiter *all;
	size_t left;
	bool more;
	struct timer timer;
};
void wait_group_fired(struct daemon *d, struct waiter *w);

static void put_wait(
	struct buf *b, const char *id, const char *uid, const char *state, const char *exit)
{
	struct json_out o = JSON_OUT(b);

	json_begin_object(&o);
	json_put_string(&o, "id", id);
	json_put_string(&o, "uid", uid);
	json_put_string(&o, "state", state);
	if (exit) {
		json_key(&o, "exit");
		json_add_raw(&o, exit, strlen(exit));
	}
	json_end_object(&o);
}

static void group_free(struct wait_group *g)
{
	while (g->all) {
		struct waiter *w = g->all;

		g->all = w->also;
		waiter_free(w);
	}
	loop_untimer(g->d->loop, &g->timer);
	free(g);
}

static void group_gone(struct api_call *call, void *arg)
{
	(void)call;
	group_free(arg);
}

static void group_late(struct timer *t)
{
	struct wait_group *g =
		(struct wait_group *)((char *)t - offsetof(struct wait_group, timer));
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct api_call *call = g->call;

	kerr_fail(&e, KERR_TIMEOUT, 0, "waited for %zu containers, the first %s", g->left,
		g->all ? g->all->c->id : "");
	api_call_gone(call, NULL, NULL);
	group_free(g);
	api_fail(call, &e);
}

/* One answer; true when it was the last. */
static bool group_answer(struct wait_group *g, const struct buf *b)
{
	struct api_call *call = g->call;

	g->left--;
	if (g->more && g->left) {
		api_reply_more(call, b->data, b->len);
		return false;
	}
	api_call_gone(call, NULL, NULL);
	group_free(g);
	api_reply_buf(call, b);
	return true;
}

void wait_group_fired(struct daemon *d, struct waiter *w)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct wait_group *g = w->group;
	struct waiter **at = &g->all;

	(void)d;
	put_wait(&b, w->c->id, w->c->uid, life_name(w->c->life), w->c->exit);
	while (*at && *at != w)
		at = &(*at)->also;
	if (*at)
		*at = w->also;
	waiter_free(w);
	group_answer(g, &b);
}

static bool already(const struct container *c, enum life until)
{
	if (until == LIFE_RUNNING)
		return c->life >= LIFE_RUNNING;
	return until == LIFE_STOPPED && c->life == LIFE_STOPPED;
}

void call_wait(struct daemon *d, struct api_call *call)
{
	const struct json *p = api_call_params(call), *ids = json_get(p, "ids");
	const char *until_text = json_get_string(p, "until", "stopped");
	enum life until = (enum life)life_parse(until_text);
	uint64_t ms = json_get_u64(p, "timeoutMs", UINT64_MAX);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wait_group *g;

	if (ids == NULL || ids->n == 0 || ids->n > WAIT_MOST) {
		kerr_fail(&e, ids && ids->n ? KERR_LIMIT : KERR_CONFIG_REQUIRED, 0,
			"waitIds: from 1 to %d ids", WAIT_MOST);
		api_fail(call, &e);
		return;
	}
	json_each(v, ids)
	{
		struct container *c = container_find(d, v->text);
		const char *uid = json_get_string(json_get(p, "uids"), v->text, NULL);

		if (until != LIFE_REMOVED && (c == NULL || (uid && !str_eq(uid, c->uid)))) {
			kerr_fail(&e, KERR_NOT_FOUND, 0, "there is no container %.140s", v->text);
			api_fail(call, &e);
			return;
		}
	}
	g = mem_zalloc(sizeof *g);
	g->d = d;
	g->call = call;
	g->left = ids->n;
	g->more = api_call_more(call);
	g->timer.fire = group_late;
	json_each(v, ids)
	{
		struct container *c = container_find(d, v->text);
		const char *uid = json_get_string(json_get(p, "uids"), v->text, NULL);
		CLEANUP_BUF struct buf b = BUF_INIT;

		if (c && uid && !str_eq(uid, c->uid))
			c = NULL;
		if (c && !already(c, until)) {
			waiter_add(c, WAIT_PLAIN, until, call, g);
			c->waiters->also = g->all;
			g->all = c->waiters;
			continue;
		}
		put_wait(&b, v->text,
			c     ? c->uid
			: uid ? uid
			      : "",
			c ? life_name(c->life) : "removed", c ? c->exit : NULL);
		if (group_answer(g, &b))
			return; /* and everything of the call is gone */
	}
	api_call_gone(call, group_gone, g);
	if (ms != UINT64_MAX)
		loop_timer(d->loop, &g->timer, deadline_in_ms(ms));
}

/* ---- Watch
 * -------------------------------------------------------------------------------------------- */

struct watcher {
	struct watcher *next, **pprev;
	struct daemon *d;
	struct api_call *call;
	const struct json *ids;
	bool snapshot, resync, holding;
	char *after;   /* the last one of the snapshot so far */
	uint64_t seen; /* number of the last event sent, or of the snapshot */
};

static void watcher_free(struct watcher *w)
{
	*w->pprev = w->next;
	if (w->next)
		w->next->pprev = w->pprev;
	free(w->after);
	free(w);
}

static void watcher_gone(struct api_call *call, void *arg)
{
	(void)call;
	watcher_free(arg);
}

static bool watched(const struct watcher *w, const char *id, size_t len)
{
	if (w->ids == NULL)
		return true;
	json_each(v, w->ids) if (v->len == len && memcmp(v->text, id, len) == 0) return true;
	return false;
}

static void begin_answer(struct json_out *o, struct watcher *w, bool complete)
{
	char cursor[CURSOR_TEXT];

	json_begin_object(o);
	json_put_string(o, "cursor", journal_cursor(w->d->journal, w->seen, cursor));
	json_put_bool(o, "resync", w->resync);
	json_put_bool(o, "complete", complete);
}

/* Sends a piece; false: that was the call's last answer, @w is gone. */
static bool answer_piece(struct watcher *w, struct buf *b, bool last)
{
	struct api_call *call = w->call;

	if (api_call_more(call) || !last) {
		api_reply_more(call, b->data, b->len);
		return true;
	}
	api_call_gone(call, NULL, NULL);
	watcher_free(w);
	api_reply_buf(call, b);
	return false;
}

/* Some of the snapshot. Without `more` all of it, in one answer. */
static bool send_snapshot(struct watcher *w)
{
	struct daemon *d = w->d;
	bool whole = !api_call_more(w->call), sent;
	size_t i = w->after ? container_place(d, w->after) : 0, n = 0;
	CLEANUP_BUF struct buf list = BUF_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out l = JSON_OUT(&list), o = JSON_OUT(&b);

	if (w->after && i < d->all.n && str_eq(d->all.v[i]->id, w->after))
		i++;
	json_begin_array(&l);
	for (; i < d->all.n && (whole || list.len < PIECE_BYTES); i++) {
		struct container *c = d->all.v[i];

		free(w->after);
		w->after = mem_strdup(c->id);
		if (!watched(w, c->id, strlen(c->id)) || c->fixed == NULL)
			continue;
		container_json(d, &l, c, false);
		n++;
	}
	json_end_array(&l);
	begin_answer(&o, w, i == d->all.n);
	json_key(&o, "snapshot");
	json_add_raw(&o, list.data, list.len);
	json_end_object(&o);
	w->resync = false; /* said once: it makes the client forget what it knew */
	if (i == d->all.n)
		w->snapshot = false;
	sent = answer_piece(w, &b, i == d->all.n);
	return sent;
}

struct batch {
	struct watcher *w;
	struct buf list;
	struct json_out o;
	uint64_t last;
	size_t n;
};

/* The id is a plain word near the beginning of an event that we wrote. */
static bool take_event(void *arg, const struct journal_entry *entry)
{
	struct batch *t = arg;
	static const char key[] = "\"id\":\"";
	const char *id = memmem(entry->json, entry->len, key, sizeof key - 1);

	t->last = entry->number;
	if (entry->kind != JOURNAL_EVENT)
		return true;
	if (t->w->ids && id) {
		id += sizeof key - 1;
		if (!watched(t->w, id, strcspn(id, "\"")))
			return true;
	}
	json_add_raw(&t->o, entry->json, entry->len);
	t->n++;
	return t->list.len < PIECE_BYTES;
}

/* The events from w->seen on; false: @w is gone. */
static bool send_events(struct watcher *w)
{
	struct batch t = { .w = w, .last = w->seen };
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	bool whole = !api_call_more(w->call), sent = true;

	t.o = (struct json_out)JSON_OUT(&t.list);
	json_begin_array(&t.o);
	if (journal_replay(w->d->journal, w->seen, take_event, &t, &e)) {
		buf_free(&t.list);
		w->resync = w->snapshot = true;
		w->seen = journal_last(w->d->journal);
		free(w->after);
		w->after = NULL;
		return true;
	}
	json_end_array(&t.o);
	w->seen = t.last;
	if (t.n || whole) {
		w->resync = false;
		begin_answer(&o, w, true);
		json_key(&o, "events");
		json_add_raw(&o, t.list.data, t.list.len);
		json_end_object(&o);
		sent = answer_piece(w, &b, true);
	}
	buf_free(&t.list);
	return sent;
}

static void pump(struct watcher *w);

static void have_room(struct api_call *call, void *arg)
{
	struct watcher *w = arg;

	(void)call;
	w->holding = false;
	pump(w);
}

static void pump(struct watcher *w)
{
	bool whole = !api_call_more(w->call);

	while (w->snapshot || whole || w->seen < journal_last(w->d->journal)) {
		if (!whole && api_call_unsent(w->call) > HOLD_BYTES) {
			if (!w->holding)
				api_call_on_room(w->call, have_room, w);
			w->holding = true;
			return;
		}
		if (w->snapshot ? !send_snapshot(w) : !send_events(w))
			return;
	}
}

void watch_event(struct daemon *d)
{
	for (struct watcher *w = d->watchers, *next; w; w = next) {
		next = w->next;
		if (!w->holding && !w->snapshot)
			pump(w);
	}
}

void call_watch(struct daemon *d, struct api_call *call)
{
	const struct json *p = api_call_params(call);
	const char *cursor = json_get_string(p, "cursor", NULL);
	struct watcher *w = mem_zalloc(sizeof *w);

	w->d = d;
	w->call = call;
	w->ids = json_get(p, "ids");
	if (w->ids && w->ids->type != JSON_ARRAY)
		w->ids = NULL;
	w->next = d->watchers;
	if (w->next)
		w->next->pprev = &w->next;
	w->pprev = &d->watchers;
	d->watchers = w;
	api_call_gone(call, watcher_gone, w);
	if (cursor == NULL || journal_cursor_parse(d->journal, cursor, &w->seen)) {
		w->snapshot = true;
		w->resync = cursor != NULL;
		w->seen = journal_last(d->journal);
	} else if (api_call_more(call) && w->seen == journal_last(d->journal)) {
		CLEANUP_BUF struct buf b = BUF_INIT;
		struct json_out o = JSON_OUT(&b);

		begin_answer(&o, w, true); /* nothing new; but it is good to know that */
		json_end_object(&o);
		api_reply_more(call, b.data, b.len);
		return;
	}
	pump(w);
}
