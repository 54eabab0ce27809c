/* SPDX-License-Identifier: Apache-2.0 */
/* A container's way from its order to its certificate, as answers come in. */
#include "daemon.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- the table ------------------------------------------------------------------------------------------------ */

static size_t slot(const char *id)
{
	uint32_t h = 2166136261u;

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 16777619u;
	return h % TABLE;
}

struct box *box_find(struct daemon *d, const char *id)
{
	struct box *b = d->table[slot(id)];

	while (b && strcmp(b->id, id) != 0)
		b = b->next;
	return b;
}

struct box *box_new(struct daemon *d, const char *id)
{
	struct box *b = mem_zalloc(sizeof *b);

	b->d = d;
	b->id = mem_strdup(id);
	b->monitor.fd = -1;
	b->created = clock_wall_ns();
	b->policy = (struct policy){ SIGTERM, d->config.stop_timeout_ms, d->config.log_max_size, d->config.log_max_files, false, false,
		{ "default", "config", "default", "config", "config", "default" } };
	uid_new(b->uid);
	b->next = d->table[slot(id)];
	d->table[slot(id)] = b;
	d->boxes++;
	return b;
}

/* The loop may still hold the monitor's source: its memory goes last. */
static void free_memory(struct source *s)
{
	free((char *)s - offsetof(struct box, monitor));
}

void box_settled(struct box *b)
{
	b->d->creating -= b->counted;
	b->counted = false;
}

void box_free(struct box *b)
{
	struct box **at = &b->d->table[slot(b->id)];

	while (*at && *at != b)
		at = &(*at)->next;
	if (*at)
		*at = b->next;
	b->d->boxes--;
	box_settled(b);
	if (b->pair)
		b->pair->box = NULL;
	if (b->helper)
		b->helper->box = NULL;
	for (size_t i = 0; i < b->exits.n; i++)
		free(b->exits.v[i]);
	vec_free(&b->exits);
	exit_record_free(&b->last);
	free(b->id);
	free(b->bundle);
	free(b->digest);
	free(b->request);
	free(b->caller);
	free(b->cgroup);
	free(b->annotations);
	free(b->overrides);
	free(b->error);
	b->life = LIFE_REMOVED;
	if (!b->monitor.loop) {
		free(b);
		return;
	}
	b->monitor.closed = free_memory;
	loop_end(b->d->loop, &b->monitor);
}

/* ---- what is told and kept -------------------------------------------------------------------------------------- */

static void put_time(struct json_out *o, const char *key, uint64_t wall)
{
	char text[TIME_TEXT];

	if (wall)
		json_put_string(o, key, time_text(wall, text));
}

static void put_policy(const struct policy *p, struct json_out *o)
{
	static const char *const names[] = { "stopSignal", "stopTimeoutMs", "logDriver", "logMaxSize", "logMaxFiles", "autoRemove" };

	json_key(o, "policy");
	json_begin_object(o);
	json_put_string(o, "stopSignal", signal_name(p->stop_signal));
	json_put_u64(o, "stopTimeoutMs", p->stop_timeout_ms);
	json_put_string(o, "logDriver", p->log_none ? "none" : "cri");
	json_put_u64(o, "logMaxSize", p->log_max_size);
	json_put_u64(o, "logMaxFiles", p->log_max_files);
	json_put_bool(o, "autoRemove", p->auto_remove);
	json_put_string(o, "restart", "no");
	json_end_object(o);
	json_key(o, "policyFrom");
	json_begin_object(o);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		json_put_string(o, names[i], p->from[i]);
	json_end_object(o);
}

void box_json(const struct box *b, struct json_out *o)
{
	json_begin_object(o);
	json_put_string(o, "id", b->id);
	json_put_string(o, "uid", b->uid);
	json_put_u64(o, "instance", b->instance);
	json_put_string(o, "state", life_name(b->life));
	if (b->pid && b->life != LIFE_STOPPED)
		json_put_i64(o, "pid", b->pid);
	json_put_string(o, "bundle", b->bundle ? b->bundle : "");
	json_put_string(o, "digest", b->digest ? b->digest : "");
	if (b->annotations) {
		json_key(o, "annotations");
		json_add_raw(o, b->annotations, strlen(b->annotations));
	}
	json_put_bool(o, "terminal", b->terminal);
	json_put_bool(o, "volatile", b->is_volatile);
	json_key(o, "caller");
	json_begin_object(o);
	json_put_u64(o, "uid", b->caller_uid);
	json_put_i64(o, "pid", b->caller_pid);
	json_end_object(o);
	json_put_string(o, "request", b->request);
	put_time(o, "created", b->created);
	put_time(o, "started", b->started);
	put_time(o, "finished", b->finished);
	put_policy(&b->policy, o);
	json_put_string(o, "cgroup", b->cgroup);
	if (!b->policy.log_none) {
		CLEANUP_FREE char *log = mem_printf("%s/logs/%s/0.log", b->d->config.state_dir, b->id);

		json_put_string(o, "log", log);
	}
	json_key(o, "exits");
	json_begin_array(o);
	for (size_t i = b->exits.n; i > 0; i--)
		json_add_raw(o, b->exits.v[i - 1], strlen(b->exits.v[i - 1]));
	json_end_array(o);
	json_end_object(o);
}

/* The record holds the API's object and a little more, so that a new daemon knows what the old one knew. */
int box_save(struct box *b, struct kerr *e)
{
	CLEANUP_FD int dir = path_own(b->d->containers, b->id, O_RDONLY | O_DIRECTORY, 0, e);
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);

	if (dir < 0)
		return -1;
	json_begin_object(&o);
	json_put_string(&o, "id", b->id);
	json_put_string(&o, "uid", b->uid);
	json_put_u64(&o, "startTime", b->start_time);
	json_put_bool(&o, "hasPoststop", b->has_poststop);
	json_put_u64(&o, "createdNs", b->created);
	json_put_u64(&o, "startedNs", b->started);
	json_key(&o, "container");
	box_json(b, &o);
	json_end_object(&o);
	return store_record_write(dir, &text, e);
}

static void save_or_warn(struct box *b)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (box_save(b, &e))
		log_warning("%s: its record could not be written: %s", b->id, e.message);
}

void box_event(struct box *b, const char *type, const char *message)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);
	uint64_t now = clock_wall_ns(), number = journal_last(b->d->journal) + 1;
	char time[TIME_TEXT];

	json_begin_object(&o);
	json_put_u64(&o, "number", number);
	json_put_string(&o, "time", time_text(now, time));
	json_put_string(&o, "type", type);
	json_put_string(&o, "id", b->id);
	json_put_string(&o, "uid", b->uid);
	json_put_u64(&o, "instance", b->instance);
	json_put_string(&o, "state", life_name(b->life));
	json_put_string(&o, "request", b->request);
	json_put_string(&o, "by", b->stop_by);
	if (str_eq(type, "exited") && b->exits.n) {
		json_key(&o, "exit");
		json_add_raw(&o, b->exits.v[b->exits.n - 1], strlen(b->exits.v[b->exits.n - 1]));
	}
	json_put_string(&o, "message", message);
	json_end_object(&o);
	number = journal_add(b->d->journal, JOURNAL_EVENT, now, text.data, text.len);
	tell_watchers(b->d, text.data, text.len, number);
}

/* ---- the executor's answers --------------------------------------------------------------------------------------- */

static const char *annotation(const struct json *a, const char *key)
{
	return json_get_string(a, key, NULL);
}

/* What the caller gave stands; what the bundle says comes next; the node's default last. */
static void policy_from_bundle(struct box *b, const struct json *a)
{
	struct policy *p = &b->policy;
	const char *v;
	int sig;

	v = annotation(a, "io.kapsel.stop-signal");
	if (v == NULL)
		v = annotation(a, "org.opencontainers.image.stopSignal");
	if (v && !str_eq(p->from[POL_SIGNAL], "flag") && (sig = signal_parse(v)) > 0) {
		p->stop_signal = sig;
		p->from[POL_SIGNAL] = "annotation";
	}
	v = annotation(a, "io.kapsel.stop-timeout");
	if (v && !str_eq(p->from[POL_TIMEOUT], "flag") && str_to_ms(v, &p->stop_timeout_ms) == 0)
		p->from[POL_TIMEOUT] = "annotation";
	v = annotation(a, "io.kapsel.log.driver");
	if (v && !str_eq(p->from[POL_DRIVER], "flag")) {
		p->log_none = str_eq(v, "none");
		p->from[POL_DRIVER] = "annotation";
	}
	v = annotation(a, "io.kapsel.log.max-size");
	if (v && !str_eq(p->from[POL_SIZE], "flag") && str_to_bytes(v, &p->log_max_size) == 0)
		p->from[POL_SIZE] = "annotation";
	v = annotation(a, "io.kapsel.log.max-files");
	if (v && !str_eq(p->from[POL_FILES], "flag") && str_to_u64(v, &p->log_max_files) == 0)
		p->from[POL_FILES] = "annotation";
}

static void on_prepared(struct pair *p, struct wire_in *m)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = p->box;
	const char *annotations = wire_get_str(m, TAG_ANNOTATIONS), *digest = wire_get_str(m, TAG_DIGEST);
	const struct json *root = annotations ? json_parse(a, annotations, strlen(annotations), NULL, &e) : NULL;
	uint64_t flags = wire_get_u64(m, TAG_FLAGS, 0);
	struct wire_out go;

	if (b == NULL)
		return;
	if (root && root->n)
		b->annotations = mem_strdup(annotations);
	policy_from_bundle(b, root);
	free(b->digest);
	b->digest = digest ? mem_strdup(digest) : NULL;
	b->terminal = flags & WIRE_TERMINAL;
	b->has_poststop = flags & WIRE_HAS_POSTSTOP;
	save_or_warn(b); /* before anything is done: recovery knows what to look for */
	wire_begin(&go, WIRE_GO);
	if (wire_send(p->executor.fd, &go, deadline_in_ms(100), &e))
		log_warning("%s: the executor is gone", b->id);
}

static void take_init(struct box *b, struct wire_in *m)
{
	const char *cgroup = wire_get_str(m, TAG_CGROUP);
	CLEANUP_FD int pidfd = wire_take_fd(m, WIRE_FD_PIDFD);

	b->pid = (pid_t)wire_get_u64(m, TAG_PID, (uint64_t)b->pid);
	b->start_time = wire_get_u64(m, TAG_START_TIME, b->start_time);
	if (cgroup && *cgroup && b->cgroup == NULL)
		b->cgroup = mem_strndup(cgroup, strcspn(cgroup, "\n"));
}

static void box_runs(struct box *b)
{
	if (b->life == LIFE_STOPPED || b->life == LIFE_RUNNING)
		return;
	b->life = LIFE_RUNNING;
	b->started = clock_wall_ns();
	box_settled(b);
	save_or_warn(b);
	box_event(b, "started", NULL);
	answer_waiters(b, WAIT_RUN, NULL);
	if (b->ended_early)
		box_exited(b, NULL);
}

static void box_failed(struct box *b, struct kerr *e)
{
	CLEANUP_BUF struct buf text = BUF_INIT;

	kerr_line(e, &text);
	if (b->life == LIFE_CREATING || b->instance <= 1) {
		b->life = LIFE_REMOVED;
		box_event(b, "failed", buf_str(&text));
		answer_waiters(b, WAIT_REMOVED, e);
		path_own_remove_tree(b->d->containers, b->id, NULL);
		path_own_remove_tree(b->d->logs, b->id, NULL);
		box_free(b);
	} else {
		answer_waiters(b, WAIT_RUN, e);
	}
}

static void exec_started(struct exec *x, struct wire_in *m)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	x->pid = (pid_t)wire_get_u64(m, TAG_PID, 0);
	x->started = clock_wall_ns();
	if (x->call == NULL || (!x->more && !x->detach))
		return;
	json_begin_object(&o);
	json_put_string(&o, "id", x->id);
	json_put_string(&o, "uid", x->uid);
	json_put_string(&o, "exec", x->name);
	json_put_i64(&o, "pid", x->pid);
	json_end_object(&o);
	if (x->detach) {
		api_reply_buf(x->call, &b);
		x->call = NULL;
	} else {
		api_reply_more(x->call, b.data, b.len);
	}
}

void on_executor(struct pair *p, struct wire_in *m)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = p->box;

	if (m->type == WIRE_FAILED)
		wire_get_error(m, &e);
	if (p->exec) {
		if (m->type == WIRE_STARTED)
			exec_started(p->exec, m);
		else if (m->type == WIRE_FAILED)
			exec_end(p->exec, &e);
		return;
	}
	if (b == NULL)
		return;
	if (p->order == WIRE_POSTSTOP) {
		b->has_poststop = false;
		return; /* its end removes the box */
	}
	switch (m->type) {
	case WIRE_PREPARED:
		on_prepared(p, m);
		break;
	case WIRE_CREATED:
		take_init(b, m);
		b->life = LIFE_CREATED;
		box_settled(b);
		save_or_warn(b);
		box_event(b, "created", NULL);
		answer_waiters(b, WAIT_NOTHING, NULL);
		break;
	case WIRE_STARTED:
		take_init(b, m);
		box_runs(b);
		break;
	case WIRE_FAILED:
		p->box = NULL;
		if (p->order == WIRE_CREATE && b->life != LIFE_CREATING) {
			b->pair = NULL; /* a poststart hook: the executor has killed it, its end will come */
			box_event(b, "hookFailed", e.message);
		} else if (p->order == WIRE_CREATE) {
			b->pair = NULL;
			box_failed(b, &e);
		} else {
			b->helper = NULL;
			answer_waiters(b, WAIT_RUN, &e);
		}
		pair_drop(p);
		break;
	default:
		log_warning("an executor said %d", m->type);
	}
}

static void remove_files(struct box *b);

void on_executor_gone(struct pair *p)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = p->box;

	if (p->exec) {
		if (!p->exec->pid && !p->exec->ended) {
			kerr_fail(&e, KERR_MONITOR, 0, "the executor ended without an answer");
			exec_end(p->exec, &e);
		}
		return;
	}
	p->box = NULL;
	if (b == NULL)
		return;
	if (b->pair == p)
		b->pair = NULL;
	if (b->helper == p)
		b->helper = NULL;
	kerr_fail(&e, KERR_MONITOR, 0, "the executor ended without an answer");
	if (p->order == WIRE_POSTSTOP)
		remove_files(b);
	else if (p->order == WIRE_START && b->life == LIFE_CREATED)
		answer_waiters(b, WAIT_RUN, &e);
	else if (b->life == LIFE_CREATING)
		box_failed(b, &e);
}

/* ---- the monitor -------------------------------------------------------------------------------------------------- */

static void keep_exit(struct box *b)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);

	store_exit_json(&o, &b->last, true);
	if (b->exits.n == EXITS_KEPT) {
		free(b->exits.v[0]);
		memmove(b->exits.v, b->exits.v + 1, (b->exits.n - 1) * sizeof *b->exits.v);
		b->exits.n--;
	}
	vec_push(&b->exits) = buf_take(&text);
}

static void box_ended(struct box *b)
{
	b->life = LIFE_STOPPED;
	b->finished = b->last.ended_wall ? b->last.ended_wall : clock_wall_ns();
	keep_exit(b);
	journal_add(b->d->journal, JOURNAL_CERTIFICATE, b->finished, b->exits.v[b->exits.n - 1], strlen(b->exits.v[b->exits.n - 1]));
	box_event(b, "exited", NULL);
	b->pid = 0;
	answer_waiters(b, WAIT_EXIT, NULL);
	if (b->policy.auto_remove || b->delete_when_stopped)
		box_remove(b);
	else
		save_or_warn(b);
}

/* The monitor's file is the truth; its message only says that it is there. */
static int read_exit(struct box *b)
{
	CLEANUP_FD int dir = path_own(b->d->containers, b->id, O_RDONLY | O_DIRECTORY, 0, NULL);

	exit_record_free(&b->last);
	return dir < 0 ? -1 : store_exit_read(dir, &b->last, NULL);
}

void box_exited(struct box *b, struct wire_in *m)
{
	(void)m;
	if (b->life == LIFE_STOPPED || b->life == LIFE_REMOVED)
		return;
	if (b->life == LIFE_CREATING) {
		b->ended_early = true; /* before the executor's answer came in: that tells whether it ever ran */
		return;
	}
	if (read_exit(b)) {
		box_lost(b, "monitor lost");
		return;
	}
	box_ended(b);
}

void box_lost(struct box *b, const char *why)
{
	CLEANUP_FD int dir = path_own(b->d->containers, b->id, O_RDONLY | O_DIRECTORY, 0, NULL);
	struct store_oci oci = { 0 };
	struct cgroup *c = NULL;

	if (b->life == LIFE_STOPPED || b->life == LIFE_REMOVED)
		return;
	if (dir >= 0 && store_oci_read(dir, &oci, NULL) == 0 && oci.cgroup && cgroup_open(oci.cgroup, &c, NULL) == 0) {
		cgroup_kill(c, deadline_in_ms(2000), NULL);
		cgroup_remove(c, deadline_in_ms(2000), NULL);
		cgroup_free(c);
	}
	store_oci_free(&oci);
	exit_record_free(&b->last);
	b->last = (struct exit_record){ .id = mem_strdup(b->id), .uid = mem_strdup(b->uid), .instance = b->instance,
		.reason = mem_strdup(why), .started_wall = b->started, .ended_wall = clock_wall_ns() };
	if (dir >= 0)
		store_exit_write(dir, &b->last, NULL);
	box_ended(b);
}

static void on_monitor_message(struct box *b, struct exec *x, struct wire_in *m)
{
	if (m->type == WIRE_EXITED && x) {
		exit_record_free(&x->exit);
		x->exit.instance = 1;
		x->exit.known = m->field[TAG_EXIT_CODE].there || m->field[TAG_EXIT_SIGNAL].there;
		x->exit.code = (int)wire_get_u64(m, TAG_EXIT_CODE, 0);
		x->exit.signal = (int)wire_get_u64(m, TAG_EXIT_SIGNAL, 0);
		x->exit.started_wall = wire_get_u64(m, TAG_STARTED_WALL, x->started);
		x->exit.ended_wall = wire_get_u64(m, TAG_ENDED_WALL, clock_wall_ns());
		x->exit.reason = mem_strdup(x->exit.signal ? "signaled" : "exited");
		x->ended = true;
		exec_end(x, NULL);
	} else if (m->type == WIRE_EXITED && b) {
		box_exited(b, m);
	}
}

/* Until the box takes the connection over, it is the pair's. */
void on_monitor(struct pair *p, struct wire_in *m)
{
	on_monitor_message(p->exec ? NULL : p->box, p->exec, m);
}

static enum source_answer box_monitor_ready(struct source *s, uint32_t events)
{
	struct box *b = (struct box *)(void *)((char *)s - offsetof(struct box, monitor));
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in m;
	int rc;

	(void)events;
	rc = wire_recv(s->fd, &m, 0, &e);
	if (rc < 0 && e.code == KERR_TIMEOUT)
		return SOURCE_KEEP;
	if (rc <= 0) {
		if (b->life != LIFE_STOPPED && b->life != LIFE_REMOVED && b->life != LIFE_CREATING) {
			if (read_exit(b) == 0)
				box_ended(b);
			else
				box_lost(b, "monitor lost");
		}
		return SOURCE_DONE;
	}
	on_monitor_message(b, NULL, &m);
	wire_in_free(&m);
	return SOURCE_KEEP;
}

void box_adopt_monitor(struct box *b, int fd)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	b->monitor = (struct source){ .fd = fd, .ready = box_monitor_ready };
	if (loop_add(b->d->loop, &b->monitor, EPOLLIN, &e)) {
		fd_closep(&b->monitor.fd);
		log_error("%s: its monitor cannot be watched: %s", b->id, e.message);
	}
}

int box_stop(struct box *b, int signal, uint64_t timeout_ms, const char *by, struct kerr *e)
{
	struct wire_out m;

	if (b->monitor.fd < 0)
		return kerr_fail(e, KERR_MONITOR, 0, "%s has no monitor", b->id);
	wire_begin(&m, WIRE_STOP);
	wire_u64(&m, TAG_SIGNAL, (uint64_t)signal);
	wire_u64(&m, TAG_TIMEOUT_MS, timeout_ms);
	wire_str(&m, TAG_WHO, by);
	if (wire_send(b->monitor.fd, &m, deadline_in_ms(100), e))
		return -1;
	if (b->life == LIFE_RUNNING || b->life == LIFE_PAUSED || b->life == LIFE_CREATED) {
		b->life = LIFE_STOPPING;
		box_event(b, "stopping", NULL);
	}
	return 0;
}

/* ---- the end -------------------------------------------------------------------------------------------------------- */

static void remove_files(struct box *b)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (path_own_remove_tree(b->d->containers, b->id, NULL) && path_own_remove_tree(b->d->containers, b->id, &e))
		log_warning("%s: %s", b->id, e.message);
	if (path_own_remove_tree(b->d->logs, b->id, &e))
		log_warning("%s: %s", b->id, e.message);
	b->life = LIFE_REMOVED;
	box_event(b, "removed", NULL);
	answer_waiters(b, WAIT_REMOVED, NULL);
	box_free(b);
}

void box_remove(struct box *b)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_FD int dir = -1;
	struct wire_out m;

	if (!b->has_poststop) {
		remove_files(b);
		return;
	}
	if (b->helper)
		return;
	dir = path_own(b->d->containers, b->id, O_RDONLY | O_DIRECTORY, 0, NULL);
	b->helper = dir < 0 ? NULL : pair_take(b->d, &e);
	if (b->helper == NULL) {
		log_warning("%s: its poststop hooks are not run", b->id);
		remove_files(b);
		return;
	}
	b->helper->box = b;
	b->helper->order = WIRE_POSTSTOP;
	wire_begin(&m, WIRE_POSTSTOP);
	wire_fd(&m, WIRE_FD_RUN_DIR, dir);
	pair_order(b->helper, &m);
}

static void put_capture(struct json_out *o, const char *key, const struct capture *c)
{
	json_key(o, key);
	json_add_bytes(o, buf_str(&c->data), c->data.len);
}

/* A capture's source may still be in the loop's hands: the last one to go takes the memory along. */
static void exec_free(struct exec *x)
{
	struct exec **at = &x->d->execs;

	while (*at && *at != x)
		at = &(*at)->next;
	if (*at)
		*at = x->next;
	x->over = true;
	for (int i = 0; i < 2; i++)
		if (x->out[i].s.loop && !x->out[i].s.dead)
			loop_end(x->d->loop, &x->out[i].s);
	exec_release(x);
}

void exec_release(struct exec *x)
{
	if (!x->over || x->captures)
		return;
	buf_free(&x->out[0].data);
	buf_free(&x->out[1].data);
	exit_record_free(&x->exit);
	free(x);
}

void exec_end(struct exec *x, const struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	x->ended = true;
	if (e == NULL && x->captures)
		return; /* what is still in the pipes comes first; their end comes back here */
	if (x->pair) {
		struct pair *p = x->pair;

		x->pair = NULL;
		pair_drop(p);
	}
	if (x->call && e) {
		api_fail(x->call, e);
	} else if (x->call) {
		json_begin_object(&o);
		json_put_string(&o, "id", x->id);
		json_put_string(&o, "uid", x->uid);
		json_put_string(&o, "exec", x->name);
		json_put_i64(&o, "pid", x->pid);
		json_key(&o, "exit");
		store_exit_json(&o, &x->exit, false);
		if (x->capture) {
			put_capture(&o, "stdout", &x->out[0]);
			put_capture(&o, "stderr", &x->out[1]);
			json_put_bool(&o, "truncated", x->out[0].cut || x->out[1].cut);
		}
		json_end_object(&o);
		api_reply_buf(x->call, &b);
	}
	x->call = NULL;
	exec_free(x);
}
