/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon before us has left: each container is known again, or its end is. */
#include "daemon.h"
#include <stdlib.h>
#include <string.h>

static void set(char **to, const char *s)
{
	free(*to);
	*to = s ? mem_strdup(s) : NULL;
}

static void read_policy(struct policy *p, const struct json *v, const struct json *from)
{
	static const char *const names[] = { "stopSignal", "stopTimeoutMs", "logDriver", "logMaxSize", "logMaxFiles", "autoRemove" };
	static const char *const words[] = { "flag", "annotation", "config", "default" };
	int sig = signal_parse(json_get_string(v, "stopSignal", "TERM"));

	p->stop_signal = sig > 0 ? sig : p->stop_signal;
	p->stop_timeout_ms = json_get_u64(v, "stopTimeoutMs", p->stop_timeout_ms);
	p->log_none = str_eq(json_get_string(v, "logDriver", "cri"), "none");
	p->log_max_size = json_get_u64(v, "logMaxSize", p->log_max_size);
	p->log_max_files = json_get_u64(v, "logMaxFiles", p->log_max_files);
	p->auto_remove = json_get_bool(v, "autoRemove", false);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		for (size_t w = 0; w < ARRAY_LEN(words); w++)
			if (str_eq(json_get_string(from, names[i], ""), words[w]))
				p->from[i] = words[w];
}

static void read_box(struct box *b, const struct json *record)
{
	const struct json *c = json_get(record, "container"), *annotations = json_get(c, "annotations");
	int life = life_parse(json_get_string(c, "state", "creating"));

	snprintf(b->uid, sizeof b->uid, "%s", json_get_string(record, "uid", ""));
	b->instance = json_get_u64(c, "instance", 1);
	b->life = life < 0 ? LIFE_CREATING : (enum life)life;
	b->pid = (pid_t)json_get_i64(c, "pid", 0);
	b->start_time = json_get_u64(record, "startTime", 0);
	b->has_poststop = json_get_bool(record, "hasPoststop", false);
	b->created = json_get_u64(record, "createdNs", b->created);
	b->started = json_get_u64(record, "startedNs", 0);
	b->terminal = json_get_bool(c, "terminal", false);
	b->is_volatile = json_get_bool(c, "volatile", false);
	b->caller_uid = json_get_u64(json_get(c, "caller"), "uid", 0);
	b->caller_pid = (pid_t)json_get_i64(json_get(c, "caller"), "pid", 0);
	set(&b->bundle, json_get_string(c, "bundle", NULL));
	set(&b->digest, json_get_string(c, "digest", NULL));
	set(&b->request, json_get_string(c, "request", NULL));
	set(&b->cgroup, json_get_string(c, "cgroup", NULL));
	read_policy(&b->policy, json_get(c, "policy"), json_get(c, "policyFrom"));
	if (annotations) {
		CLEANUP_BUF struct buf text = BUF_INIT;
		struct json_out o = JSON_OUT(&text);

		json_add_value(&o, annotations);
		set(&b->annotations, buf_str(&text));
	}
	json_each(exit, json_get(c, "exits")) {
		CLEANUP_BUF struct buf text = BUF_INIT;
		struct json_out o = JSON_OUT(&text);

		json_add_value(&o, exit);
		vec_push(&b->exits) = buf_take(&text);
	}
	for (size_t i = 0, n = b->exits.n; i < n / 2; i++) { /* kept newest last, told newest first */
		char *swap = b->exits.v[i];

		b->exits.v[i] = b->exits.v[n - 1 - i];
		b->exits.v[n - 1 - i] = swap;
	}
}

/* Half made: whatever the executor had begun is found by its own record. */
static void discard(struct daemon *d, struct box *b, int dir)
{
	struct store_oci oci = { 0 };
	struct cgroup *c = NULL;
	CLEANUP_FD int pidfd = -1;

	if (store_oci_read(dir, &oci, NULL) == 0) {
		pidfd = pidfd_open_known(oci.pid, oci.start_time, NULL);
		if (pidfd >= 0)
			pidfd_signal(pidfd, 9, NULL);
		if (oci.cgroup && cgroup_open(oci.cgroup, &c, NULL) == 0) {
			cgroup_kill(c, deadline_in_ms(2000), NULL);
			cgroup_remove(c, deadline_in_ms(2000), NULL);
			cgroup_free(c);
		}
	}
	store_oci_free(&oci);
	log_warning("%s was half made: undone", b->id);
	path_own_remove_tree(d->containers, b->id, NULL);
	path_own_remove_tree(d->logs, b->id, NULL);
	b->life = LIFE_REMOVED;
	box_event(b, "failed", "kapseld ended while it was being created");
	box_free(b);
}

static bool reconnect(struct box *b, int dir)
{
	CLEANUP_FD int s = path_connect(dir, STORE_MONITOR, SOCK_SEQPACKET, NULL);
	CLEANUP_FD int waits = -1;
	struct store_oci oci = { 0 };

	if (s < 0)
		return false;
	if (store_oci_read(dir, &oci, NULL)) /* its executor has not come so far, or has undone all */
		return false;
	b->pid = oci.pid;
	b->start_time = oci.start_time;
	if (oci.cgroup && b->cgroup == NULL)
		b->cgroup = mem_strndup(oci.cgroup, strcspn(oci.cgroup, "\n"));
	store_oci_free(&oci);
	waits = path_own(dir, STORE_START, O_PATH, 0, NULL);
	if (b->life == LIFE_CREATING || b->life == LIFE_CREATED)
		b->life = waits >= 0 ? LIFE_CREATED : LIFE_RUNNING;
	else if (b->life == LIFE_STOPPING)
		b->life = LIFE_RUNNING;
	if (b->life == LIFE_RUNNING && b->started == 0)
		b->started = clock_wall_ns();
	box_adopt_monitor(b, fd_take(&s));
	return true;
}

static void recover_one(struct daemon *d, const char *id)
{
	CLEANUP_FD int dir = path_own(d->containers, id, O_RDONLY | O_DIRECTORY, 0, NULL);
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct json *record = dir < 0 ? NULL : store_record_read(dir, id, a, &e);
	CLEANUP_FD int exit_there = -1;
	struct box *b;

	if (record == NULL && e.code == KERR_NOT_FOUND) {
		b = box_new(d, id); /* its first record was not written yet */
		if (dir >= 0)
			discard(d, b, dir);
		return;
	}
	if (record == NULL) {
		log_error("%s: its record is unreadable and is set aside: %s", id, e.message);
		store_set_aside(d->containers, id, NULL);
		return;
	}
	b = box_new(d, id);
	read_box(b, record);
	if (b->life == LIFE_STOPPED)
		return;
	exit_there = path_own(dir, STORE_EXIT, O_PATH, 0, NULL);
	if (exit_there < 0 && reconnect(b, dir)) {
		box_save(b, NULL);
		return;
	}
	if (b->life == LIFE_CREATING && exit_there < 0)
		discard(d, b, dir);
	else if (exit_there >= 0) {
		b->life = LIFE_RUNNING;
		box_exited(b, NULL);
	} else {
		b->life = LIFE_RUNNING;
		box_lost(b, "monitor lost");
	}
}

void recover(struct daemon *d)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct path_names names;

	if (store_list(d->containers, &names, &e)) {
		log_error("containers cannot be listed: %s", e.message);
		return;
	}
	for (size_t i = 0; i < names.n; i++)
		recover_one(d, names.v[i]);
	path_names_free(&names);
}
