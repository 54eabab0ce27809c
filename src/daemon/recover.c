/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on disk when kapseld begins. A container whose monitor answers goes on; one with an exit
 * record has ended; one with neither has lost its monitor; one without an init was never made.
 */
#include "daemon.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNBORN_MS = 50 };

static void keep_fixed(struct container *c, const struct json *root)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	json_begin_object(&o);
	json_each(v, root)
	{
		if (str_eq(v->key, "kapsel") || str_eq(v->key, "id") || str_eq(v->key, "uid") ||
			str_eq(v->key, "instance") || str_eq(v->key, "createdNs") ||
			str_eq(v->key, "poststop") || str_eq(v->key, "writes"))
			continue;
		json_key(&o, v->key);
		json_add_value(&o, v);
	}
	json_end_object(&o);
	c->fixed = mem_strndup(b.data + 1, b.len - 2);
}

static void read_policy(struct container *c, const struct json *root)
{
	const struct json *p = json_get(root, "policy");

	c->stop_signal = signal_parse(json_get_string(p, "stopSignal", "TERM"));
	if (c->stop_signal <= 0)
		c->stop_signal = 15;
	c->stop_ms = json_get_u64(p, "stopTimeoutMs", 10000);
	c->auto_remove = json_get_bool(p, "autoRemove", false);
	c->poststop = json_get_bool(root, "poststop", false);
	c->no_log = str_eq(json_get_string(p, "logDriver", "cri"), "none");
}

static struct container *from_record(struct daemon *d, const char *id, const struct json *root)
{
	struct container *c = container_add(d, id, json_get_string(root, "uid", ""));
	const char *request = json_get_string(root, "request", NULL);

	c->instance = (uint32_t)json_get_u64(root, "instance", 1);
	c->created = json_get_u64(root, "createdNs", 0);
	c->terminal = json_get_bool(root, "terminal", false);
	snprintf(c->digest, sizeof c->digest, "%s", json_get_string(root, "digest", ""));
	snprintf(c->writes, sizeof c->writes, "%s", json_get_string(root, "writes", ""));
	c->request = request ? mem_strdup(request) : NULL;
	c->bundle = mem_strdup(json_get_string(root, "bundle", ""));
	read_policy(c, root);
	keep_fixed(c, root);
	return c;
}

/* Created, running or paused: what the kernel and the directory say. */
static void look_at(struct daemon *d, struct container *c, int dir)
{
	CLEANUP_FD int waits = path_own(dir, STORE_START, O_PATH, 0, NULL);
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct store_oci o;
	struct cgroup *cg;
	bool frozen = false;

	c->life = waits >= 0 ? LIFE_CREATED : LIFE_RUNNING;
	if (store_oci_read(dir, &o, NULL) == 0) {
		c->pid = o.pid;
		c->start_time = o.start_time;
		store_oci_free(&o);
	}
	if (c->life != LIFE_RUNNING || container_cgroup(d, c, &cg, NULL))
		return;
	if (cgroup_read(cg, "freezer", "freezer.state", &b, NULL) == 0)
		frozen = str_starts(buf_str(&b), "FRO");
	buf_reset(&b);
	if (!frozen && cgroup_read(cg, "unified", "cgroup.freeze", &b, NULL) == 0)
		frozen = buf_str(&b)[0] == '1';
	if (frozen)
		c->life = LIFE_PAUSED;
	cgroup_free(cg);
}

static int meet_monitor(struct daemon *d, struct container *c, int dir)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int s = path_connect(dir, STORE_MONITOR, SOCK_SEQPACKET, &e);
	struct wire_out m;
	struct link *l;

	if (s < 0)
		return -1;
	l = link_new(d, s, true, &e);
	if (l == NULL)
		return -1;
	l->c = c;
	c->monitor = l;
	wire_begin(&m, WIRE_STATUS);
	if (link_send(l, &m, &e) == 0)
		return 0;
	link_close(l);
	return -1;
}

/* Its executor was still at work when kapseld died; it has no one to tell. */
static void ask_again(struct timer *t)
{
	struct daemon *d = (struct daemon *)((char *)t - offsetof(struct daemon, unborn));
	struct wire_out m;

	for (size_t i = 0; i < d->all.n; i++) {
		struct container *c = d->all.v[i];

		if (c->life != LIFE_CREATING || c->job || c->monitor == NULL)
			continue;
		wire_begin(&m, WIRE_STATUS);
		link_send(c->monitor, &m, NULL);
	}
}

/* The answer to STATUS, some turns later; or news of a process that survives its kill. */
void recover_state(struct daemon *d, struct container *c, struct wire_in *in)
{
	const char *phase = wire_get_str(in, TAG_PHASE), *why = wire_get_str(in, TAG_REASON);
	pid_t pid = (pid_t)wire_get_u64(in, TAG_PID, 0);
	CLEANUP_FD int dir = -1;

	if (why && str_eq(phase, "stuck"))
		log_warning("%s: %s", c->id, why);
	if (c->job)
		return;
	c->started = wire_get_u64(in, TAG_STARTED_WALL, c->started);
	if (pid)
		c->pid = pid;
	if (c->life == LIFE_CREATING && pid == 0) {
		d->unborn.fire = ask_again;
		if (d->unborn.slot == 0)
			loop_timer(d->loop, &d->unborn, deadline_in_ms(UNBORN_MS));
	} else if (c->life == LIFE_CREATING && (dir = container_dir(d, c, NULL)) >= 0) {
		bool waits;

		look_at(d, c, dir);
		waits = c->life == LIFE_CREATED;
		c->life = LIFE_CREATING;
		container_event(d, c, waits ? EV_MADE : EV_RUNS, waits ? "created" : "started",
			c->request, NULL, NULL, NULL);
	}
	if ((str_eq(phase, "stopping") || str_eq(phase, "killing")) &&
		(c->life == LIFE_RUNNING || c->life == LIFE_CREATED))
		c->life = LIFE_STOPPING;
}

/* No record: whoever made this directory died before the intent was written. */
static void half_made(struct daemon *d, const char *id, int dir)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	log_warning("%s was never made: undone", id);
	remains_clear(dir);
	if (path_own_remove_tree(d->containers_dir, id, &e))
		log_error("%s: %s", id, e.message);
	logs_remove(d, id);
}

void container_never_born(struct daemon *d, struct container *c)
{
	CLEANUP_FREE char *id = mem_strdup(c->id);
	CLEANUP_FD int dir = container_dir(d, c, NULL);

	container_event(d, c, EV_FAILED, "failed", c->request, NULL,
		"kapseld died while it was made", NULL);
	container_drop(d, c);
	half_made(d, id, dir);
}

static bool was_reported(struct daemon *d, int dir)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	uint64_t n;

	return path_read(dir, REPORTED, 64, &b, NULL) == 0 && str_to_u64(buf_str(&b), &n) == 0 &&
	       n <= d->begun;
}

static void recover_one(struct daemon *d, const char *id)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_FD int dir = path_own(d->containers_dir, id, O_PATH | O_DIRECTORY, 0, &e);
	CLEANUP_FD int exit = -1;
	struct exit_record r = { 0 };
	const struct json *root;
	struct container *c;

	if (dir < 0)
		return;
	root = store_record_read(dir, id, a, &e);
	if (root == NULL && e.code == KERR_NOT_FOUND) {
		half_made(d, id, dir);
		return;
	}
	if (root == NULL) {
		CLEANUP_BUF struct buf line = BUF_INIT;

		kerr_line(&e, &line);
		log_error("%s cannot be read and is set aside: %s", id, buf_str(&line));
		remains_clear(dir);
		store_set_aside(d->containers_dir, id, NULL);
		return;
	}
	c = from_record(d, id, root);
	exit = path_own(dir, STORE_EXIT, O_PATH, 0, NULL);
	if (exit < 0 && meet_monitor(d, c, dir) == 0) {
		CLEANUP_FD int born = path_own(dir, STORE_OCI, O_PATH, 0, NULL);

		c->life = LIFE_CREATING;
		if (born < 0)
			return;
		look_at(d, c, dir);
		c->started = c->life == LIFE_CREATED ? 0 : c->created;
		return;
	}
	if (store_exit_read(dir, &r, NULL) == 0 && str_eq(r.uid, c->uid)) {
		look_at(d, c, dir);
		c->started = r.started_wall;
		c->reported = was_reported(d, dir);
		container_exited(d, c, &r);
		return;
	}
	exit_record_free(&r);
	exit = path_own(dir, STORE_OCI, O_PATH, 0, NULL);
	if (exit < 0) {
		container_never_born(d, c);
		return;
	}
	look_at(d, c, dir);
	container_monitor_gone(d, c);
}

/* Directories of probes, and of containers whose making was cut off. */
static void sweep(struct daemon *d)
{
	struct path_names names;

	if (path_names(d->containers_dir, STORE_CONTAINERS, &names, NULL))
		return;
	for (size_t i = 0; i < names.n; i++)
		if (str_starts(names.v[i], ".probe-"))
			path_own_remove_tree(d->containers_dir, names.v[i], NULL);
	path_names_free(&names);
}

int recover(struct daemon *d, struct kerr *e)
{
	struct path_names names;

	d->begun = journal_last(d->journal);
	sweep(d);
	if (store_list(d->containers_dir, &names, e))
		return -1;
	for (size_t i = 0; i < names.n; i++)
		recover_one(d, names.v[i]);
	if (names.n)
		log_info("%zu containers were there, %zu are known now", names.n, d->all.n);
	path_names_free(&names);
	return 0;
}
