/* SPDX-License-Identifier: Apache-2.0 */
/* The API's methods. api has checked the parameters against the interface's text and the caller's role. */
#include "daemon.h"
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { REQUEST_BYTES = 64, LOG_LINES = 512, WATCH_PIECE = 64, CAPTURE = 65536 };

/* ---- small things ------------------------------------------------------------------------------------------- */

static const char *param(struct api_call *c, const char *key)
{
	return json_get_string(api_call_params(c), key, NULL);
}

static bool flag(struct api_call *c, const char *key)
{
	return json_get_bool(api_call_params(c), key, false);
}

static void fail(struct api_call *c, struct kerr *e)
{
	api_fail(c, e);
	kerr_clear(e);
}

static void reply(struct api_call *c, struct json_out *o)
{
	json_end_object(o);
	api_reply_buf(c, o->b);
}

const char *caller_text(struct api_call *c, struct arena *a)
{
	const struct peer *p = api_call_peer(c);
	const char *method = strrchr(api_method(api_call_method(c))->name, '.');

	return arena_printf(a, "uid %u pid %d %s", p->uid, (int)p->pid, method ? method + 1 : "");
}

/* The container that a call names, in the life that it expects. */
static struct box *named(struct daemon *d, struct api_call *c, struct kerr *e)
{
	const char *id = param(c, "id"), *uid = param(c, "uid");
	struct box *b = id && id_is_valid(id) ? box_find(d, id) : NULL;

	if (id && !id_is_valid(id))
		kerr_fail(e, KERR_ID, 0, "'%.130s' is no container id", id);
	else if (b == NULL)
		kerr_fail(e, KERR_NOT_FOUND, 0, "no container has the id %s", id ? id : "");
	else if (uid && !str_eq(uid, b->uid))
		kerr_fail(e, KERR_NOT_FOUND, 0, "%s is another life by now: %s", id, b->uid);
	else
		return b;
	return NULL;
}

static void put_box(struct json_out *o, const struct box *b)
{
	json_put_string(o, "id", b->id);
	json_put_string(o, "uid", b->uid);
}

/* ---- roles and the audit line --------------------------------------------------------------------------------- */

static bool in_group(const struct peer *p, const char *groups)
{
	CLEANUP_FREE char *copy = mem_strdup(groups ? groups : "");
	char *save = NULL;

	for (char *name = strtok_r(copy, ", ", &save); name; name = strtok_r(NULL, ", ", &save)) {
		const struct group *g = getgrnam(name);
		uint64_t gid = g ? g->gr_gid : UINT32_MAX;

		if (g == NULL && (str_to_u64(name, &gid) || gid >= UINT32_MAX))
			continue;
		if (p->gid == gid)
			return true;
		for (size_t i = 0; i < p->ngroups; i++)
			if (p->groups[i] == gid)
				return true;
	}
	return false;
}

enum role daemon_role(void *arg, const struct peer *p)
{
	struct daemon *d = arg;

	if (p->uid == 0 || p->uid == geteuid())
		return ROLE_ADMIN;
	if (in_group(p, d->config.operate_groups))
		return ROLE_OPERATE;
	return in_group(p, d->config.observe_groups) ? ROLE_OBSERVE : ROLE_NONE;
}

void daemon_audit(void *arg, const struct api_call *c, const struct kerr *result)
{
	struct daemon *d = arg;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	const struct peer *p = api_call_peer(c);
	const struct json *params = api_call_params(c);
	uint64_t now = clock_wall_ns();
	char time[TIME_TEXT];

	json_begin_object(&o);
	json_put_string(&o, "time", time_text(now, time));
	json_put_u64(&o, "uid", p->uid);
	json_put_i64(&o, "pid", p->pid);
	json_put_string(&o, "method", api_method(api_call_method(c))->name);
	json_put_string(&o, "id", json_get_string(params, "id", NULL));
	json_put_string(&o, "life", json_get_string(params, "uid", NULL));
	json_put_string(&o, "request", json_get_string(params, "request", NULL));
	json_put_string(&o, "result", result ? kerr_row(result->code)->name : "ok");
	json_end_object(&o);
	log_info("audit %s", b.data);
	journal_add(d->journal, JOURNAL_AUDIT, now, b.data, b.len);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static void wait_gone(struct api_call *c, void *arg)
{
	struct waiter *w = arg;

	(void)c;
	w->call = NULL;
}

static struct waiter *wait_for(struct box *b, struct api_call *c, enum waits_for what)
{
	struct waiter *w = mem_zalloc(sizeof *w);

	w->call = c;
	w->box = b;
	w->what = what;
	w->next = b->waiters;
	b->waiters = w;
	api_call_gone(c, wait_gone, w);
	return w;
}

static void put_result(struct json_out *o, const struct box *b, const struct waiter *w, bool with_exit)
{
	enum api_method m = api_call_method(w->call);

	put_box(o, b);
	if (m == API_RUN || m == API_CREATE)
		json_put_bool(o, "existing", false);
	if (m == API_WAIT)
		json_put_string(o, "state", life_name(b->life));
	if (m == API_ATTACH)
		json_put_bool(o, "terminal", b->terminal);
	if (m != API_CREATE && m != API_WAIT && m != API_ATTACH)
		json_put_bool(o, "changed", true);
	if (m != API_CREATE && m != API_DELETE && m != API_WAIT)
		json_put_u64(o, "instance", b->instance);
	if (m == API_RUN || m == API_START)
		json_put_i64(o, "pid", b->pid);
	if (with_exit && b->exits.n && m != API_DELETE) {
		json_key(o, "exit");
		json_add_raw(o, b->exits.v[b->exits.n - 1], strlen(b->exits.v[b->exits.n - 1]));
	}
}

static void answer_one(struct box *b, struct waiter *w, bool last, const struct kerr *e)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);

	if (w->call == NULL)
		return;
	if (e) {
		api_fail(w->call, e);
		w->call = NULL;
		return;
	}
	json_begin_object(&o);
	put_result(&o, b, w, last && b->life != LIFE_RUNNING);
	json_end_object(&o);
	if (last) {
		api_reply_buf(w->call, &text);
		w->call = NULL;
	} else {
		api_reply_more(w->call, text.data, text.len);
	}
}

static bool stays_waiting(struct box *b, struct waiter *w, enum waits_for what)
{
	/* Run with `wait` and `more`: first that it runs, later how it ended. */
	if (what == WAIT_RUN && w->what > WAIT_RUN && !w->first_sent && w->call && api_call_method(w->call) == API_RUN) {
		if (api_call_more(w->call))
			answer_one(b, w, false, NULL);
		w->first_sent = true;
		return true;
	}
	return w->what > what;
}

/* Everything up to @what has happened; an error answers all but those who wait for the end of something else. */
void answer_waiters(struct box *b, enum waits_for what, const struct kerr *e)
{
	struct waiter *list = b->waiters, *keep = NULL, *next;

	b->waiters = NULL;
	for (; list; list = next) {
		next = list->next;
		if (list->call == NULL) {
			free(list);
			continue;
		}
		if (e ? what != WAIT_REMOVED && list->what > WAIT_RUN && api_call_method(list->call) != API_RUN : stays_waiting(b, list, what)) {
			list->next = keep;
			keep = list;
			continue;
		}
		answer_one(b, list, true, e);
		free(list);
	}
	while (b->waiters) { /* came in meanwhile */
		next = b->waiters->next;
		b->waiters->next = keep;
		keep = b->waiters;
		b->waiters = next;
	}
	b->waiters = keep;
}

/* ---- Create, Run ----------------------------------------------------------------------------------------------- */

/* With the caller's own rights: nobody reads through us what he could not read himself. */
static int open_bundle(struct api_call *c, const char *path, struct kerr *e)
{
	const struct peer *p = api_call_peer(c);
	bool other = p->uid != geteuid();
	gid_t own[64];
	int n = other ? getgroups(64, own) : 0, fd;
	CLEANUP_ERR struct kerr why = KERR_INIT;

	if (path[0] != '/')
		return kerr_fail(e, KERR_BUNDLE_MISSING, 0, "'%.200s' is no absolute path", path);
	if (other) {
		syscall(SYS_setgroups, p->ngroups, p->groups);
		setfsgid(p->gid);
		setfsuid(p->uid);
	}
	fd = path_host(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, &why);
	if (other) {
		setfsuid(geteuid());
		setfsgid(getegid());
		syscall(SYS_setgroups, n < 0 ? 0 : n, own);
	}
	return fd < 0 ? kerr_fail(e, KERR_BUNDLE_MISSING, why.sys, "%.400s", path) : fd;
}

static int take_policy(struct box *b, const struct json *p, struct kerr *e)
{
	struct policy *to = &b->policy;
	const char *text;

	if (p == NULL)
		return 0;
	text = json_get_string(p, "stopSignal", NULL);
	if (text) {
		to->stop_signal = signal_parse(text);
		to->from[POL_SIGNAL] = "flag";
		if (to->stop_signal < 0)
			return kerr_fail(e, KERR_CONFIG_VALUE, 0, "'%.40s' is no signal", text);
	}
	if (json_get(p, "stopTimeoutMs")) {
		to->stop_timeout_ms = json_get_u64(p, "stopTimeoutMs", to->stop_timeout_ms);
		to->from[POL_TIMEOUT] = "flag";
	}
	text = json_get_string(p, "logDriver", NULL);
	if (text) {
		to->log_none = str_eq(text, "none");
		to->from[POL_DRIVER] = "flag";
	}
	if (json_get(p, "logMaxSize")) {
		to->log_max_size = json_get_u64(p, "logMaxSize", to->log_max_size);
		to->from[POL_SIZE] = "flag";
	}
	if (json_get(p, "logMaxFiles")) {
		to->log_max_files = json_get_u64(p, "logMaxFiles", to->log_max_files);
		to->from[POL_FILES] = "flag";
	}
	if (json_get(p, "autoRemove")) {
		to->auto_remove = json_get_bool(p, "autoRemove", false);
		to->from[POL_REMOVE] = "flag";
	}
	text = json_get_string(p, "restart", "no");
	if (!str_eq(text, "no"))
		return kerr_fail(e, KERR_UNSUPPORTED, 0, "restart '%.40s' is not carried out by this version", text);
	return 0;
}

static char **strings(const struct json *list, size_t *n)
{
	char **v;

	*n = 0;
	if (list == NULL || list->type != JSON_ARRAY)
		return NULL;
	v = mem_array(list->n + 1, sizeof *v);
	json_each(item, list)
		if (item->type == JSON_STRING)
			v[(*n)++] = (char *)(uintptr_t)item->text;
	return v;
}

static void put_process(struct wire_out *m, const struct json *process, uint64_t *flags)
{
	size_t n;
	CLEANUP_FREE char **args = strings(json_get(process, "args"), &n);

	if (n)
		wire_list(m, TAG_ARGS, args, n);
	CLEANUP_FREE char **env = strings(json_get(process, "env"), &n);
	if (n)
		wire_list(m, TAG_ENV, env, n);
	wire_str(m, TAG_CWD, json_get_string(process, "cwd", NULL));
	wire_str(m, TAG_USER, json_get_string(process, "user", NULL));
	if (json_get_bool(process, "terminal", false))
		*flags |= WIRE_TERMINAL;
	if (json_get(process, "rows")) {
		wire_u64(m, TAG_ROWS, json_get_u64(process, "rows", 0));
		wire_u64(m, TAG_COLUMNS, json_get_u64(process, "columns", 0));
	}
}

struct stdio { int fd[3]; };

static void stdio_close(struct stdio *s)
{
	for (int i = 0; i < 3; i++)
		fd_closep(&s->fd[i]);
}

static int take_stdio(struct api_call *c, const struct json *in, struct stdio *s, struct kerr *e)
{
	static const char *const names[] = { "stdin", "stdout", "stderr" };
	uint64_t number[3] = { 99, 99, 99 };

	for (int i = 0; i < 3; i++)
		s->fd[i] = -1;
	for (int i = 0; in && i < 3; i++) {
		number[i] = json_get_u64(in, names[i], 99);
		for (int j = 0; j < i; j++)
			if (number[i] != 99 && number[j] == number[i])
				s->fd[i] = fcntl(s->fd[j], F_DUPFD_CLOEXEC, 3);
		if (s->fd[i] < 0)
			s->fd[i] = api_call_take_fd(c, in, names[i], e);
		if (kerr_is_set(e)) {
			stdio_close(s);
			return -1;
		}
	}
	return 0;
}

/* What the monitor is to be for. Our end of its connection is the container's from now on. */
static int send_watch(struct pair *p, struct box *b, struct exec *x, int run_dir, int log_dir, const struct stdio *s, uint64_t flags,
	struct kerr *e)
{
	struct wire_out m;

	wire_begin(&m, WIRE_WATCH);
	wire_str(&m, TAG_ID, b ? b->id : x->id);
	wire_str(&m, TAG_UID, b ? b->uid : x->uid);
	wire_u64(&m, TAG_INSTANCE, b ? b->instance : x->instance);
	wire_u64(&m, TAG_FLAGS, flags);
	if (b) {
		wire_u64(&m, TAG_LOG_SIZE, b->policy.log_max_size);
		wire_u64(&m, TAG_LOG_FILES, b->policy.log_max_files);
		wire_str(&m, TAG_REQUEST, b->request);
	}
	wire_fd(&m, WIRE_FD_RUN_DIR, run_dir);
	wire_fd(&m, WIRE_FD_LOG_DIR, log_dir);
	wire_fd(&m, WIRE_FD_STDIN, s->fd[0]);
	wire_fd(&m, WIRE_FD_STDOUT, s->fd[1]);
	wire_fd(&m, WIRE_FD_STDERR, s->fd[2]);
	return wire_send(p->monitor.fd, &m, deadline_in_ms(100), e);
}

static int order_create(struct daemon *d, struct box *b, struct api_call *c, int bundle, int run_dir, const struct stdio *s, bool now,
	struct kerr *e)
{
	const struct json *params = api_call_params(c), *process = json_get(params, "process");
	uint64_t flags = (now ? WIRE_START_NOW : 0) | (flag(c, "interactive") ? WIRE_KEEP_STDIN : 0) | (b->policy.log_none ? WIRE_NO_LOG : 0) |
		(b->is_volatile ? WIRE_VOLATILE : 0);
	CLEANUP_FD int log_dir = -1;
	struct wire_out m;
	struct pair *p;

	if (!b->policy.log_none) {
		log_dir = path_own_mkdirs(d->logs, b->id, 0700, e);
		if (log_dir < 0)
			return -1;
	}
	p = pair_take(d, e);
	if (p == NULL || send_watch(p, b, NULL, run_dir, log_dir, s, flags, e))
		return -1;
	p->box = b;
	p->order = WIRE_CREATE;
	b->pair = p;
	wire_begin(&m, WIRE_CREATE);
	wire_str(&m, TAG_ID, b->id);
	wire_str(&m, TAG_UID, b->uid);
	wire_str(&m, TAG_BUNDLE, b->bundle);
	wire_str(&m, TAG_CGROUP_PARENT, d->config.cgroup_parent);
	if (b->is_volatile)
		wire_u64(&m, TAG_VOLATILE_BYTES, json_get_u64(params, "volatileBytes", 0) ? json_get_u64(params, "volatileBytes", 0) : 64u << 20);
	put_process(&m, process, &flags);
	wire_u64(&m, TAG_FLAGS, flags);
	wire_fd(&m, WIRE_FD_BUNDLE, bundle);
	wire_fd(&m, WIRE_FD_RUN_DIR, run_dir);
	if (d->config.cache)
		wire_fd(&m, WIRE_FD_CACHE, d->cache);
	pair_order(p, &m);
	box_adopt_monitor(b, fcntl(p->monitor.fd, F_DUPFD_CLOEXEC, 3));
	p->handed = true;
	loop_end(d->loop, &p->monitor);
	return 0;
}

static int begin_box(struct daemon *d, struct box *b, struct api_call *c, bool now, struct kerr *e)
{
	const struct json *params = api_call_params(c);
	CLEANUP(stdio_close) struct stdio s = { { -1, -1, -1 } };
	CLEANUP_FD int bundle = -1;
	CLEANUP_FD int dir = -1;

	if (take_policy(b, json_get(params, "policy"), e) || take_stdio(c, json_get(params, "stdio"), &s, e))
		return -1;
	bundle = api_call_take_fd(c, params, "bundleFd", e);
	if (kerr_is_set(e))
		return -1;
	if (bundle < 0)
		bundle = open_bundle(c, param(c, "bundle") ? param(c, "bundle") : "", e);
	if (bundle < 0)
		return -1;
	if (param(c, "bundle")) {
		b->bundle = mem_strdup(param(c, "bundle"));
	} else {
		CLEANUP_BUF struct buf path = BUF_INIT;

		fd_path(bundle, &path, NULL);
		b->bundle = mem_strdup(buf_str(&path));
	}
	dir = path_own_mkdir(d->containers, b->id, 0700, e);
	if (dir < 0)
		return -1;
	if (order_create(d, b, c, bundle, dir, &s, now, e)) {
		path_own_remove_tree(d->containers, b->id, NULL);
		path_own_remove_tree(d->logs, b->id, NULL);
		return -1;
	}
	return 0;
}

static void new_id(struct daemon *d, char out[static 33])
{
	char uid[UID_TEXT];

	do {
		uid_new(uid);
		snprintf(out, 33, "%.12s", uid);
	} while (box_find(d, out) || out[0] == '\0');
}

/* The same call again finds what the first one made. */
static bool answer_existing(struct box *b, struct api_call *c, bool run, struct kerr *e)
{
	const char *request = api_call_request(c), *bundle = param(c, "bundle");
	bool same = (bundle == NULL || str_eq(bundle, b->bundle)) && (!flag(c, "exclusive") || (request && str_eq(request, b->request)));
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);

	if (!same)
		return kerr_fail(e, KERR_ALREADY_EXISTS, 0, "the id %s is taken: %s, from %s", b->id, life_name(b->life), b->bundle), false;
	if (b->life == LIFE_CREATING) {
		wait_for(b, c, run ? flag(c, "wait") ? b->policy.auto_remove ? WAIT_REMOVED : WAIT_EXIT : WAIT_RUN : WAIT_NOTHING);
		return true;
	}
	if (run && flag(c, "wait") && b->life != LIFE_STOPPED) {
		struct waiter *w = wait_for(b, c, b->policy.auto_remove ? WAIT_REMOVED : WAIT_EXIT);

		if (api_call_more(c))
			answer_one(b, w, false, NULL);
		w->first_sent = true;
		return true;
	}
	json_begin_object(&o);
	put_box(&o, b);
	json_put_bool(&o, "existing", true);
	if (run) {
		json_put_bool(&o, "changed", false);
		json_put_u64(&o, "instance", b->instance);
		if (b->pid)
			json_put_i64(&o, "pid", b->pid);
		if (b->life == LIFE_STOPPED && b->exits.n) {
			json_key(&o, "exit");
			json_add_raw(&o, b->exits.v[b->exits.n - 1], strlen(b->exits.v[b->exits.n - 1]));
		}
	}
	reply(c, &o);
	return true;
}

static void call_create(struct daemon *d, struct api_call *c, bool run)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct peer *peer = api_call_peer(c);
	const char *id = param(c, "id"), *request = api_call_request(c);
	char made[33];
	struct box *b;

	if (id && !id_is_valid(id)) {
		kerr_fail(&e, KERR_ID, 0, "'%.130s' is no container id", id);
		fail(c, &e);
		return;
	}
	b = id ? box_find(d, id) : NULL;
	if (b) {
		if (!answer_existing(b, c, run, &e))
			fail(c, &e);
		return;
	}
	if (id == NULL) {
		new_id(d, made);
		id = made;
	}
	b = box_new(d, id);
	b->instance = 1;
	b->request = request ? mem_strdup(request) : NULL;
	b->caller_uid = peer->uid;
	b->caller_pid = peer->pid;
	b->is_volatile = json_get(api_call_params(c), "volatileBytes") != NULL;
	if (begin_box(d, b, c, run, &e)) {
		box_free(b);
		fail(c, &e);
		return;
	}
	b->counted = true;
	d->creating++;
	wait_for(b, c, !run ? WAIT_NOTHING : !flag(c, "wait") ? WAIT_RUN : b->policy.auto_remove ? WAIT_REMOVED : WAIT_EXIT);
}

/* ---- Start, Stop, Kill, Pause, Delete ------------------------------------------------------------------------------ */

static void reply_changed(struct api_call *c, const struct box *b, bool changed)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);

	json_begin_object(&o);
	put_box(&o, b);
	json_put_bool(&o, "changed", changed);
	if (api_call_method(c) != API_DELETE)
		json_put_u64(&o, "instance", b->instance);
	if (api_call_method(c) == API_START && b->pid)
		json_put_i64(&o, "pid", b->pid);
	reply(c, &o);
}

static void call_start(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_FD int dir = -1;
	struct box *b = named(d, c, &e);
	struct wire_out m;

	if (b == NULL) {
		fail(c, &e);
		return;
	}
	if (b->life == LIFE_RUNNING || b->life == LIFE_PAUSED) {
		reply_changed(c, b, false);
		return;
	}
	if (b->life != LIFE_CREATED) {
		kerr_fail(&e, KERR_WRONG_STATE, 0, "%s is %s: only what is created can be started", b->id, life_name(b->life));
		fail(c, &e);
		return;
	}
	wait_for(b, c, WAIT_RUN);
	if (b->helper)
		return; /* another call's start is under way: both are answered by it */
	dir = path_own(d->containers, b->id, O_RDONLY | O_DIRECTORY, 0, &e);
	b->helper = dir < 0 ? NULL : pair_take(d, &e);
	if (b->helper == NULL) {
		answer_waiters(b, WAIT_RUN, &e);
		return;
	}
	b->helper->box = b;
	b->helper->order = WIRE_START;
	wire_begin(&m, WIRE_START);
	wire_fd(&m, WIRE_FD_RUN_DIR, dir);
	pair_order(b->helper, &m);
}

static void call_stop(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = named(d, c, &e);
	const char *signal = param(c, "signal");
	int sig = b ? b->policy.stop_signal : 0;

	if (b && signal && (sig = signal_parse(signal)) < 0) {
		kerr_fail(&e, KERR_CONFIG_VALUE, 0, "'%.40s' is no signal", signal);
		b = NULL;
	}
	if (b == NULL) {
		fail(c, &e);
		return;
	}
	if (b->life == LIFE_STOPPED) {
		reply_changed(c, b, false);
		return;
	}
	if (b->life == LIFE_CREATING) {
		kerr_fail(&e, KERR_BUSY, 0, "%s is still being created", b->id);
		fail(c, &e);
		return;
	}
	if (box_stop(b, b->life == LIFE_CREATED ? SIGKILL : sig, json_get_u64(api_call_params(c), "timeoutMs", b->policy.stop_timeout_ms),
		caller_text(c, api_call_arena(c)), &e)) {
		fail(c, &e);
		return;
	}
	wait_for(b, c, WAIT_EXIT);
}

static int send_kill(struct box *b, int sig, bool all, const char *who, struct kerr *e)
{
	struct wire_out m;

	if (b->monitor.fd < 0)
		return kerr_fail(e, KERR_MONITOR, 0, "%s has no monitor", b->id);
	wire_begin(&m, WIRE_KILL);
	wire_u64(&m, TAG_SIGNAL, (uint64_t)sig);
	if (all)
		wire_u64(&m, TAG_ALL, 1);
	wire_str(&m, TAG_WHO, who);
	return wire_send(b->monitor.fd, &m, deadline_in_ms(100), e);
}

static void kill_exec(struct daemon *d, struct api_call *c, const char *name, int sig)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct exec *x = d->execs;
	struct wire_out m;

	while (x && !str_eq(x->name, name))
		x = x->next;
	if (x == NULL || x->pair == NULL) {
		kerr_fail(&e, KERR_NOT_FOUND, 0, "no exec has the name %.40s", name);
		fail(c, &e);
		return;
	}
	wire_begin(&m, WIRE_KILL);
	wire_u64(&m, TAG_SIGNAL, (uint64_t)sig);
	if (wire_send(x->pair->monitor.fd, &m, deadline_in_ms(100), &e)) {
		fail(c, &e);
		return;
	}
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);

	json_begin_object(&o);
	json_put_string(&o, "id", x->id);
	json_put_string(&o, "uid", x->uid);
	json_put_bool(&o, "changed", true);
	json_put_u64(&o, "instance", x->instance);
	reply(c, &o);
}

static void call_kill(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = named(d, c, &e);
	int sig = b ? signal_parse(param(c, "signal")) : 0;

	if (b && sig < 0)
		kerr_fail(&e, KERR_CONFIG_VALUE, 0, "'%.40s' is no signal", param(c, "signal"));
	else if (b && param(c, "exec")) {
		kill_exec(d, c, param(c, "exec"), sig);
		return;
	} else if (b && (b->life == LIFE_STOPPED || b->life == LIFE_CREATING))
		kerr_fail(&e, KERR_NOT_RUNNING, 0, "container not running: %s is %s", b->id, life_name(b->life));
	else if (b && send_kill(b, sig, flag(c, "all"), caller_text(c, api_call_arena(c)), &e) == 0) {
		reply_changed(c, b, true);
		return;
	}
	fail(c, &e);
}

static void call_freeze(struct daemon *d, struct api_call *c, bool frozen)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_FD int dir = -1;
	struct store_oci oci = { 0 };
	struct cgroup *cg = NULL;
	struct box *b = named(d, c, &e);

	if (b && b->life == (frozen ? LIFE_PAUSED : LIFE_RUNNING)) {
		reply_changed(c, b, false);
		return;
	}
	if (b && b->life != (frozen ? LIFE_RUNNING : LIFE_PAUSED))
		kerr_fail(&e, KERR_WRONG_STATE, 0, "%s is %s", b->id, life_name(b->life));
	else if (b) {
		dir = path_own(d->containers, b->id, O_RDONLY | O_DIRECTORY, 0, &e);
		if (dir >= 0 && store_oci_read(dir, &oci, &e) == 0) {
			if (oci.cgroup == NULL)
				kerr_fail(&e, KERR_CGROUP_NO_CONTROLLER, 0, "%s has no cgroup", b->id);
			else if (cgroup_open(oci.cgroup, &cg, &e) == 0)
				cgroup_freeze(cg, frozen, deadline_in_ms(1000), &e);
		}
	}
	cgroup_free(cg);
	store_oci_free(&oci);
	if (kerr_is_set(&e)) {
		fail(c, &e);
		return;
	}
	b->life = frozen ? LIFE_PAUSED : LIFE_RUNNING;
	box_save(b, NULL);
	box_event(b, frozen ? "paused" : "resumed", NULL);
	reply_changed(c, b, true);
}

static void call_delete(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = named(d, c, &e);

	if (b == NULL) {
		CLEANUP_BUF struct buf text = BUF_INIT;
		struct json_out o = JSON_OUT(&text);

		if (e.code != KERR_NOT_FOUND || param(c, "uid") == NULL) {
			fail(c, &e);
			return;
		}
		json_begin_object(&o); /* that life is gone, as was asked */
		json_put_string(&o, "id", param(c, "id"));
		json_put_string(&o, "uid", param(c, "uid"));
		json_put_bool(&o, "changed", false);
		reply(c, &o);
		return;
	}
	if (b->life == LIFE_STOPPED) {
		wait_for(b, c, WAIT_REMOVED);
		box_remove(b);
		return;
	}
	if (b->life == LIFE_CREATING) {
		kerr_fail(&e, KERR_BUSY, 0, "%s is still being created", b->id);
		fail(c, &e);
		return;
	}
	if (!flag(c, "force") && b->life != LIFE_CREATED) {
		kerr_fail(&e, KERR_WRONG_STATE, 0, "%s is %s: stop it first, or delete it with force", b->id, life_name(b->life));
		fail(c, &e);
		return;
	}
	b->delete_when_stopped = true;
	wait_for(b, c, WAIT_REMOVED);
	if (box_stop(b, SIGKILL, 0, caller_text(c, api_call_arena(c)), &e))
		box_lost(b, "monitor lost");
}

/* ---- Exec, Attach, Resize ----------------------------------------------------------------------------------------------- */

static enum source_answer capture_ready(struct source *s, uint32_t events)
{
	struct capture *c = (struct capture *)(void *)s;
	char chunk[8192];
	ssize_t n = read(s->fd, chunk, sizeof chunk);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return SOURCE_KEEP;
	if (n <= 0)
		return SOURCE_DONE;
	if (c->data.len + (size_t)n > c->most) {
		c->cut = true;
		n = (ssize_t)(c->most - c->data.len);
	}
	buf_add(&c->data, chunk, (size_t)n);
	return SOURCE_KEEP;
}

static void capture_closed(struct source *s)
{
	struct exec *x = ((struct capture *)(void *)s)->x;

	x->captures--;
	if (x->over)
		exec_release(x);
	else if (x->ended && x->captures == 0)
		exec_end(x, NULL);
}

static int capture_begin(struct daemon *d, struct exec *x, struct stdio *s, size_t most, struct kerr *e)
{
	for (int i = 0; i < 2; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) < 0)
			return kerr_fail(e, KERR_LIMIT, errno, "pipe");
		fd_closep(&s->fd[i + 1]);
		s->fd[i + 1] = p[1];
		x->out[i] = (struct capture){ .s = { .fd = p[0], .ready = capture_ready, .closed = capture_closed }, .most = most, .x = x };
		fcntl(p[0], F_SETFL, O_NONBLOCK);
		if (loop_add(d->loop, &x->out[i].s, EPOLLIN, e)) {
			close(p[0]);
			return -1;
		}
		x->captures++;
	}
	return 0;
}

static void exec_call_gone(struct api_call *c, void *arg)
{
	struct exec *x = arg;

	(void)c;
	x->call = NULL;
}

static int exec_begin(struct daemon *d, struct exec *x, struct box *b, struct api_call *c, struct kerr *e)
{
	const struct json *params = api_call_params(c), *process = json_get(params, "process");
	uint64_t flags = WIRE_EXEC_CHILD | (flag(c, "interactive") ? WIRE_KEEP_STDIN : 0);
	CLEANUP(stdio_close) struct stdio s = { { -1, -1, -1 } };
	CLEANUP_FD int dir = path_own(d->containers, b->id, O_RDONLY | O_DIRECTORY, 0, e);
	struct wire_out m;
	uint64_t most = json_get_u64(params, "captureBytes", CAPTURE);

	if (dir < 0 || take_stdio(c, json_get(params, "stdio"), &s, e))
		return -1;
	if (x->capture && capture_begin(d, x, &s, most > 16u << 20 ? 16u << 20 : most, e))
		return -1;
	x->pair = pair_take(d, e);
	if (x->pair == NULL || send_watch(x->pair, NULL, x, -1, -1, &s, flags, e))
		return -1;
	x->pair->exec = x;
	x->pair->order = WIRE_EXEC;
	wire_begin(&m, WIRE_EXEC);
	put_process(&m, process, &flags);
	wire_u64(&m, TAG_FLAGS, flags);
	wire_fd(&m, WIRE_FD_RUN_DIR, dir);
	if (d->config.cache)
		wire_fd(&m, WIRE_FD_CACHE, d->cache);
	pair_order(x->pair, &m);
	return 0;
}

static void call_exec(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = named(d, c, &e);
	struct exec *x;

	if (b && b->life != LIFE_RUNNING && b->life != LIFE_STOPPING)
		kerr_fail(&e, KERR_NOT_RUNNING, 0, "container not running: %s is %s", b->id, life_name(b->life));
	if (kerr_is_set(&e)) {
		fail(c, &e);
		return;
	}
	x = mem_zalloc(sizeof *x);
	x->d = d;
	snprintf(x->id, sizeof x->id, "%s", b->id);
	memcpy(x->uid, b->uid, sizeof x->uid);
	snprintf(x->name, sizeof x->name, "x%llu", (unsigned long long)++d->exec_number);
	x->instance = b->instance;
	x->out[0].s.fd = x->out[1].s.fd = -1;
	x->call = c;
	x->more = api_call_more(c);
	x->detach = flag(c, "detach");
	x->capture = flag(c, "capture");
	x->next = d->execs;
	d->execs = x;
	api_call_gone(c, exec_call_gone, x);
	if (exec_begin(d, x, b, c, &e))
		exec_end(x, &e);
}

static void call_attach(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP(stdio_close) struct stdio s = { { -1, -1, -1 } };
	struct box *b = named(d, c, &e);
	struct waiter *w;
	struct wire_out m;

	if (b && (b->life == LIFE_STOPPED || b->life == LIFE_CREATING || b->monitor.fd < 0))
		kerr_fail(&e, KERR_NOT_RUNNING, 0, "container not running: %s is %s", b->id, life_name(b->life));
	if (b && !kerr_is_set(&e) && take_stdio(c, json_get(api_call_params(c), "stdio"), &s, &e) == 0) {
		wire_begin(&m, WIRE_ATTACH);
		wire_fd(&m, WIRE_FD_STDIN, s.fd[0]);
		wire_fd(&m, WIRE_FD_STDOUT, s.fd[1]);
		wire_fd(&m, WIRE_FD_STDERR, s.fd[2]);
		wire_send(b->monitor.fd, &m, deadline_in_ms(100), &e);
	}
	if (kerr_is_set(&e)) {
		fail(c, &e);
		return;
	}
	w = wait_for(b, c, WAIT_EXIT);
	if (api_call_more(c))
		answer_one(b, w, false, NULL);
}

static void call_resize(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = named(d, c, &e);
	const char *name = param(c, "exec");
	int fd = b ? b->monitor.fd : -1;
	struct wire_out m;

	for (struct exec *x = d->execs; name && x; x = x->next)
		if (str_eq(x->name, name) && x->pair)
			fd = x->pair->monitor.fd;
	if (b && fd < 0)
		kerr_fail(&e, KERR_NOT_RUNNING, 0, "container not running: %s is %s", b->id, life_name(b->life));
	if (!kerr_is_set(&e)) {
		wire_begin(&m, WIRE_RESIZE);
		wire_u64(&m, TAG_ROWS, json_get_u64(api_call_params(c), "rows", 0));
		wire_u64(&m, TAG_COLUMNS, json_get_u64(api_call_params(c), "columns", 0));
		if (wire_send(fd, &m, deadline_in_ms(100), &e) == 0) {
			api_reply(c, NULL, 0);
			return;
		}
	}
	fail(c, &e);
}

/* ---- Get, List, Wait, Watch ---------------------------------------------------------------------------------------------- */

static void call_get(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);
	struct box *b = named(d, c, &e);

	if (b && flag(c, "showEnv"))
		kerr_fail(&e, KERR_UNSUPPORTED, 0, "kapseld reads no bundle: see process.env in the container's own config.json, as root");
	if (kerr_is_set(&e)) {
		fail(c, &e);
		return;
	}
	json_begin_object(&o);
	json_key(&o, "container");
	box_json(b, &o);
	reply(c, &o);
}

static int by_id(const void *a, const void *b)
{
	return strcmp((*(struct box *const *)a)->id, (*(struct box *const *)b)->id);
}

static struct box **sorted(struct daemon *d)
{
	struct box **v = mem_array(d->boxes + 1, sizeof *v);
	size_t n = 0;

	for (size_t i = 0; i < TABLE; i++)
		for (struct box *b = d->table[i]; b; b = b->next)
			v[n++] = b;
	qsort(v, n, sizeof *v, by_id);
	return v;
}

static bool in_list(const struct json *list, const char *s)
{
	json_each(item, list)
		if (item->type == JSON_STRING && str_eq(item->text, s))
			return true;
	return false;
}

static bool passes(const struct box *b, const struct json *filter)
{
	const struct json *ids = json_get(filter, "ids"), *states = json_get(filter, "states"), *wanted = json_get(filter, "annotations");
	CLEANUP_ARENA struct arena *a = arena_new();
	const struct json *have;

	if ((ids && ids->n && !in_list(ids, b->id)) || (states && states->n && !in_list(states, life_name(b->life))))
		return false;
	if (wanted == NULL || wanted->n == 0)
		return true;
	have = b->annotations ? json_parse(a, b->annotations, strlen(b->annotations), NULL, NULL) : NULL;
	json_each(w, wanted)
		if (w->type != JSON_STRING || !str_eq(json_get_string(have, w->key, NULL), w->text))
			return false;
	return true;
}

static void call_list(struct daemon *d, struct api_call *c)
{
	const struct json *params = api_call_params(c), *page = json_get(params, "page");
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);
	CLEANUP_FREE struct box **v = sorted(d);
	uint64_t size = json_get_u64(page, "size", 1000);
	const char *after = json_get_string(page, "after", NULL), *next = NULL;
	size_t n = 0;

	json_begin_object(&o);
	json_key(&o, "containers");
	json_begin_array(&o);
	for (size_t i = 0; i < d->boxes; i++) {
		if ((after && strcmp(v[i]->id, after) <= 0) || !passes(v[i], json_get(params, "filter")))
			continue;
		if (n == size || text.len > 512u << 10) {
			next = v[i - 1]->id;
			if (!api_call_more(c))
				break;
			json_end_array(&o);
			json_put_string(&o, "next", next);
			json_end_object(&o);
			api_reply_more(c, text.data, text.len);
			buf_reset(&text);
			o = (struct json_out)JSON_OUT(&text);
			json_begin_object(&o);
			json_key(&o, "containers");
			json_begin_array(&o);
			n = 0;
			next = NULL;
		}
		box_json(v[i], &o);
		n++;
	}
	json_end_array(&o);
	json_put_string(&o, "next", next);
	reply(c, &o);
}

/* One id waits; of several, those that are there already are told. */

static void call_wait(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	const struct json *params = api_call_params(c), *ids = json_get(params, "ids"), *uids = json_get(params, "uids");
	const char *until = json_get_string(params, "until", "stopped");
	enum waits_for what = str_eq(until, "running") ? WAIT_RUN : str_eq(until, "removed") ? WAIT_REMOVED : WAIT_EXIT;
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);

	json_each(item, ids) {
		struct box *b = item->type == JSON_STRING && id_is_valid(item->text) ? box_find(d, item->text) : NULL;
		const char *uid = json_get_string(uids, item->type == JSON_STRING ? item->text : "", NULL);

		if (b == NULL || (uid && !str_eq(uid, b->uid))) {
			kerr_fail(&e, KERR_NOT_FOUND, 0, "no container has the id %.130s", item->type == JSON_STRING ? item->text : "");
			fail(c, &e);
			return;
		}
		if ((what == WAIT_EXIT && b->life == LIFE_STOPPED) || (what == WAIT_RUN && b->life >= LIFE_RUNNING && b->life <= LIFE_STOPPED)) {
			json_begin_object(&o);
			put_box(&o, b);
			json_put_string(&o, "state", life_name(b->life));
			if (b->exits.n && b->life == LIFE_STOPPED) {
				json_key(&o, "exit");
				json_add_raw(&o, b->exits.v[b->exits.n - 1], strlen(b->exits.v[b->exits.n - 1]));
			}
			if (ids->n == 1 || !api_call_more(c)) {
				reply(c, &o);
				return;
			}
			json_end_object(&o);
			api_reply_more(c, text.data, text.len);
			buf_reset(&text);
			o = (struct json_out)JSON_OUT(&text);
		} else if (ids->n == 1) {
			wait_for(b, c, what);
			return;
		}
	}
	if (ids->n != 1) {
		kerr_fail(&e, KERR_UNSUPPORTED, 0, "waiting for several ids in one call is not carried out: call once for each, on one connection");
		fail(c, &e);
	}
}

static void watcher_gone(struct api_call *c, void *arg)
{
	(void)c;
	((struct waiter *)arg)->call = NULL;
}

static void watch_reply(struct daemon *d, struct api_call *c, struct buf *text, uint64_t number, bool resync, bool complete, bool more)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	char cursor[CURSOR_TEXT];

	json_begin_object(&o);
	json_put_string(&o, "cursor", journal_cursor(d->journal, number, cursor));
	json_put_bool(&o, "resync", resync);
	json_put_bool(&o, "complete", complete);
	buf_addc(&b, ',');
	buf_add(&b, text->data, text->len);
	json_end_object(&o);
	if (more)
		api_reply_more(c, b.data, b.len);
	else
		api_reply_buf(c, &b);
	buf_reset(text);
}

static void watch_snapshot(struct daemon *d, struct api_call *c, bool resync, bool more)
{
	CLEANUP_FREE struct box **v = sorted(d);
	CLEANUP_BUF struct buf text = BUF_INIT;
	uint64_t number = journal_last(d->journal);
	size_t n = d->boxes, i = 0;

	do {
		struct json_out o = JSON_OUT(&text);
		size_t end = i + WATCH_PIECE < n ? i + WATCH_PIECE : n;

		buf_adds(&text, "\"snapshot\":");
		json_begin_array(&o);
		for (; i < end; i++)
			box_json(v[i], &o);
		json_end_array(&o);
		watch_reply(d, c, &text, number, resync, i == n, more || i < n);
	} while (i < n);
}

struct replay { struct buf text; size_t n; };

static bool replay_one(void *arg, const struct journal_entry *entry)
{
	struct replay *r = arg;

	if (entry->kind == JOURNAL_EVENT) {
		buf_addf(&r->text, "%s", r->n++ ? "," : "");
		buf_add(&r->text, entry->json, entry->len);
	}
	return true;
}

static void call_watch(struct daemon *d, struct api_call *c)
{
	const char *cursor = param(c, "cursor");
	bool more = api_call_more(c), known = false;
	uint64_t number = 0;
	struct replay r = { BUF_INIT, 0 };
	struct waiter *w;

	buf_adds(&r.text, "\"events\":[");
	if (cursor && journal_cursor_parse(d->journal, cursor, &number) == 0)
		known = journal_replay(d->journal, number, replay_one, &r, NULL) == 0;
	if (more) {
		w = mem_zalloc(sizeof *w);
		w->call = c;
		w->next = d->watchers;
		d->watchers = w;
		api_call_gone(c, watcher_gone, w);
	}
	if (known) {
		buf_addc(&r.text, ']');
		watch_reply(d, c, &r.text, journal_last(d->journal), false, true, more);
	} else {
		watch_snapshot(d, c, cursor != NULL, more);
	}
	buf_free(&r.text);
}

void tell_watchers(struct daemon *d, const char *event, size_t len, uint64_t number)
{
	for (struct waiter **at = &d->watchers; *at;) {
		struct waiter *w = *at;
		CLEANUP_BUF struct buf text = BUF_INIT;

		if (w->call == NULL) {
			*at = w->next;
			free(w);
			continue;
		}
		buf_adds(&text, "\"events\":[");
		buf_add(&text, event, len);
		buf_addc(&text, ']');
		watch_reply(d, w->call, &text, number, false, true, true);
		at = &w->next;
	}
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

void daemon_call(void *arg, struct api_call *c)
{
	struct daemon *d = arg;
	const char *request = api_call_request(c);

	if (request && strlen(request) > REQUEST_BYTES) {
		CLEANUP_ERR struct kerr e = KERR_INIT;

		kerr_fail(&e, KERR_LIMIT, 0, "request is longer than %d bytes", REQUEST_BYTES);
		fail(c, &e);
		return;
	}
	switch (api_call_method(c)) {
	case API_CREATE:
		call_create(d, c, false);
		break;
	case API_RUN:
		call_create(d, c, true);
		break;
	case API_START:
		call_start(d, c);
		break;
	case API_STOP:
		call_stop(d, c);
		break;
	case API_KILL:
		call_kill(d, c);
		break;
	case API_PAUSE:
		call_freeze(d, c, true);
		break;
	case API_RESUME:
		call_freeze(d, c, false);
		break;
	case API_DELETE:
		call_delete(d, c);
		break;
	case API_EXEC:
		call_exec(d, c);
		break;
	case API_ATTACH:
		call_attach(d, c);
		break;
	case API_RESIZE:
		call_resize(d, c);
		break;
	case API_GET:
		call_get(d, c);
		break;
	case API_LIST:
		call_list(d, c);
		break;
	case API_WAIT:
		call_wait(d, c);
		break;
	case API_WATCH:
		call_watch(d, c);
		break;
	default:
		node_call(d, c);
	}
}
