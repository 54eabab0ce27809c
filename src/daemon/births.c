/* SPDX-License-Identifier: Apache-2.0 */
/* Create and run: from the call to the executor's word that init is there, or to nothing left. */
#include "job.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNDO_MS = 3000, LOG_DIR_MS = 10000 };

/* ---- the log's directory
 * --------------------------------------------------------------------------- */

struct log_errand {
	struct errand errand;
	struct job *job; /* NULL: it ended before */
	char *id;
	int fd;
	struct kerr error;
};

static void log_work(struct errand *x)
{
	struct log_errand *l = (struct log_errand *)x;

	l->fd = path_own_mkdir(x->d->logs_dir, l->id, 0700, &l->error);
	if (l->fd < 0 && l->error.code == KERR_ALREADY_EXISTS) {
		/* Of a life before: its lines are not this one's. */
		kerr_clear(&l->error);
		if (path_own_remove_tree(x->d->logs_dir, l->id, &l->error) == 0)
			l->fd = path_own_mkdir(x->d->logs_dir, l->id, 0700, &l->error);
	}
}

static void log_done(struct errand *x)
{
	struct log_errand *l = (struct log_errand *)x;
	struct job *j = l->job;

	if (j) {
		j->log_errand = NULL;
		loop_untimer(j->d->loop, &j->log_timer);
		j->log_dir = fd_take(&l->fd);
		if (j->log_dir < 0) {
			kerr_step(&l->error, "log directory");
			job_failed(j, &l->error);
		} else {
			birth_go_on(j);
		}
	}
	fd_closep(&l->fd);
	kerr_clear(&l->error);
	free(l->id);
	free(l);
}

static void log_late(struct timer *t)
{
	struct job *j = (struct job *)((char *)t - offsetof(struct job, log_timer));
	CLEANUP_ERR struct kerr e = KERR_INIT;

	kerr_fail(&e, KERR_TIMEOUT, 0, "the disk of %s has not answered for %d ms",
		j->d->config.state_dir, LOG_DIR_MS);
	kerr_step(&e, "log directory");
	job_failed(j, &e);
}

static void make_log_dir(struct job *j)
{
	struct log_errand *l = mem_zalloc(sizeof *l);

	_Static_assert(offsetof(struct log_errand, job) == sizeof(struct errand), "see job_end()");
	l->errand.work = log_work;
	l->errand.done = log_done;
	l->job = j;
	l->id = mem_strdup(j->c->id);
	l->fd = -1;
	j->log_errand = &l->errand;
	errand_run(j->d, &l->errand);
	j->log_timer.fire = log_late;
	loop_timer(j->d->loop, &j->log_timer, deadline_in_ms(LOG_DIR_MS));
}

/* ---- create and run
 * -------------------------------------------------------------------------------- */

static void answer_created(struct job *j, bool existing, const struct container *c)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct api_call *call = j->call;

	j->call = NULL;
	if (call == NULL)
		return;
	json_begin_object(&o);
	json_put_string(&o, "id", c->id);
	json_put_string(&o, "uid", c->uid);
	json_put_bool(&o, "existing", existing);
	if (j->run) {
		json_put_bool(&o, "changed", !existing);
		json_put_u64(&o, "instance", c->instance);
		if (c->pid)
			json_put_i64(&o, "pid", c->pid);
	}
	if (j->warnings.len) {
		json_key(&o, "warnings");
		json_add_raw(&o, j->warnings.data, j->warnings.len);
	}
	json_end_object(&o);
	if (!j->run || !j->wait) {
		api_reply_buf(call, &b);
		return;
	}
	if (api_call_more(call))
		api_reply_more(call, b.data, b.len);
	waiter_add((struct container *)(uintptr_t)c, WAIT_RUN,
		c->auto_remove ? LIFE_REMOVED : LIFE_STOPPED, call, NULL);
}

/* The container is there already: is it what the caller means? */
void answer_existing(struct job *j, struct container *c, const char *digest)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (digest && !str_eq(digest, c->digest)) {
		kerr_fail(&e, KERR_ALREADY_EXISTS, 0, "%s is there with another configuration",
			c->id);
		api_fail(j->call, &e);
		j->call = NULL;
	} else if (j->run && c->life == LIFE_CREATED) {
		struct api_call *call = j->call;

		j->call = NULL;
		job_start(j->d, call, c);
	} else {
		answer_created(j, true, c);
		if (j->run && j->wait && c->life == LIFE_STOPPED && !c->auto_remove)
			wait_fired(j->d, c->waiters);
	}
	job_end(j);
}

void job_give_up(struct job *j, struct kerr *e)
{
	if (j->call)
		api_fail(j->call, e);
	j->call = NULL;
	job_end(j);
}

static const char *new_id(struct api_call *call)
{
	char uid[UID_TEXT];

	uid_new(uid);
	uid[12] = '\0';
	return arena_strdup(api_call_arena(call), uid);
}

static int send_create(
	struct job *j, const char *id, const char *uid, const struct json *p, struct kerr *e)
{
	struct daemon *d = j->d;
	const struct json *policy = json_get(p, "policy");
	const struct json *bytes = json_get(p, "volatileBytes");
	uint64_t size = json_get_u64(p, "volatileBytes", 0);
	bool none = str_eq(json_get_string(policy, "logDriver", ""), "none");
	struct wire_out m;

	wire_begin(&m, WIRE_CREATE);
	wire_str(&m, TAG_ID, id);
	wire_str(&m, TAG_UID, uid);
	wire_u64(&m, TAG_INSTANCE, 1);
	wire_str(&m, TAG_BUNDLE, j->bundle_path);
	wire_str(&m, TAG_CGROUP_PARENT, d->config.cgroup_parent);
	put_process(j, &m, json_get(p, "process"));
	if (bytes && bytes->type == JSON_NUMBER) {
		j->flags |= WIRE_VOLATILE;
		if (size)
			wire_u64(&m, TAG_VOLATILE_BYTES, size);
	}
	if (json_get_bool(p, "interactive", false) || j->stdio[0] >= 0)
		j->flags |= WIRE_KEEP_STDIN;
	if (none && !(j->flags & WIRE_TERMINAL) && !json_get_bool(p, "interactive", false))
		j->flags |= WIRE_DIRECT_OUT;
	j->flags |= (j->run ? WIRE_START_NOW : 0) | (d->config.cache ? 0 : WIRE_NO_CACHE);
	wire_u64(&m, TAG_FLAGS, j->flags);
	wire_u64(&m, TAG_OWNER_UID, api_call_peer(j->call)->uid);
	wire_u64(&m, TAG_OWNER_GID, api_call_peer(j->call)->gid);
	wire_fd(&m, WIRE_FD_RUN_DIR, j->run_dir);
	wire_fd(&m, WIRE_FD_BUNDLE, j->bundle);
	if (d->config.cache)
		wire_fd(&m, WIRE_FD_CACHE, d->cache_dir);
	if (j->flags & WIRE_DIRECT_OUT) {
		wire_fd(&m, WIRE_FD_STDIN, j->stdio[0]);
		wire_fd(&m, WIRE_FD_STDOUT, j->stdio[1]);
		wire_fd(&m, WIRE_FD_STDERR, j->stdio[2]);
	}
	return link_send(j->x, &m, e);
}

/* Same id: an executor tells the digest of what is asked, nothing is made. */
static int begin_probe(struct job *j, struct container *c, const struct json *p, struct kerr *e)
{
	char uid[UID_TEXT];

	uid_new(uid);
	j->kind = JOB_PROBE;
	j->c = c;
	j->scratch = mem_printf(".probe-%s", uid);
	j->run_dir = path_own_mkdir(j->d->containers_dir, j->scratch, 0700, e);
	if (j->run_dir < 0 || take_pair(j, e))
		return -1;
	return send_create(j, c->id, uid, p, e);
}

static int begin_create(struct job *j, const char *id, const struct json *p, struct kerr *e)
{
	struct daemon *d = j->d;
	char uid[UID_TEXT];

	if (d->all.n >= d->config.containers)
		return kerr_fail(e, KERR_LIMIT, 0, "containers: there may be %llu",
			(unsigned long long)d->config.containers);
	j->run_dir = path_own_mkdir(d->containers_dir, id, 0700, e);
	if (j->run_dir < 0)
		return -1;
	uid_new(uid);
	if (take_pair(j, e) || send_create(j, id, uid, p, e)) {
		path_own_remove_tree(d->containers_dir, id, NULL);
		return -1;
	}
	j->c = container_add(d, id, uid);
	j->c->job = j;
	j->c->terminal = j->flags & WIRE_TERMINAL;
	j->c->request = api_call_request(j->call) ? mem_strdup(api_call_request(j->call)) : NULL;
	if (!str_eq(json_get_string(json_get(p, "policy"), "logDriver", d->config.log_driver),
		    "none"))
		make_log_dir(j);
	return 0;
}

void job_create(struct daemon *d, struct api_call *call, bool run)
{
	const struct json *p = api_call_params(call);
	const char *id = json_get_string(p, "id", NULL), *request = api_call_request(call);
	const char *restart = json_get_string(json_get(p, "policy"), "restart", "no");
	struct job *j = job_new(d, JOB_CREATE, call);
	struct container *c;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int rc;

	j->run = run;
	j->wait = run && json_get_bool(p, "wait", false);
	if (id == NULL)
		id = new_id(call);
	c = container_find(d, id);
	if (!id_is_valid(id) || strstr(id, ".broken."))
		kerr_fail(&e, KERR_ID, 0, "\"%.140s\" is no valid id", id);
	else if (!str_eq(restart, "no"))
		kerr_fail(&e, KERR_UNSUPPORTED, 0, "policy.restart \"%s\"", restart);
	else if (c && c->job)
		kerr_fail(&e, KERR_BUSY, 0, "%s is being made", id);
	if (!kerr_is_set(&e) && c && request && str_eq(request, c->request)) {
		answer_existing(j, c, NULL);
		return;
	}
	if (!kerr_is_set(&e) && c && json_get_bool(p, "exclusive", false))
		kerr_fail(&e, KERR_ALREADY_EXISTS, 0, "%s is there already", id);
	if (kerr_is_set(&e) || take_stdio(j, p, &e) || open_bundle(j, p, &e)) {
		job_give_up(j, &e);
		return;
	}
	rc = c ? begin_probe(j, c, p, &e) : begin_create(j, id, p, &e);
	if (rc)
		job_give_up(j, &e);
}

/* ---- policy
 * ----------------------------------------------------------------------------------------- */

struct policy_value {
	const char *value, *from;
};

/* The caller's word, else the bundle's, else the configuration's. */
static struct policy_value policy_pick(struct job *j, const char *field, const struct json *asked,
	const struct json *annotations, const char *annotation, const char *otherwise)
{
	const struct json *v = json_get(asked, field);
	const char *a = annotation ? json_get_string(annotations, annotation, NULL) : NULL;

	(void)j;
	if (v && (v->type == JSON_STRING || v->type == JSON_NUMBER))
		return (struct policy_value) { v->text, "flag" };
	if (a)
		return (struct policy_value) { a, "annotation" };
	return (struct policy_value) { otherwise, "default" };
}

static uint64_t as_ms(const struct policy_value *v)
{
	uint64_t n = 0;

	/* The caller gives milliseconds, an annotation a duration. */
	if (str_eq(v->from, "annotation") ? str_to_ms(v->value, &n) : str_to_u64(v->value, &n))
		return 10000;
	return n;
}

static uint64_t as_bytes(const struct policy_value *v)
{
	uint64_t n = 0;

	return str_to_bytes(v->value, &n) ? 0 : n;
}

struct policy {
	struct policy_value signal, timeout, driver, size, files;
	uint64_t ms, bytes, count;
	bool remove;
};

static void policy_of(struct job *j, const struct json *asked, const struct json *an,
	const char *stop_signal, struct policy *p)
{
	struct config *k = &j->d->config;
	struct arena *a = api_call_arena(j->call);

	p->signal =
		policy_pick(j, "stopSignal", asked, an, "io.kapsel.stop-signal", k->stop_signal);
	if (str_eq(p->signal.from, "default") && stop_signal && signal_parse(stop_signal) > 0)
		p->signal = (struct policy_value) { stop_signal, "annotation" };
	p->timeout = policy_pick(j, "stopTimeoutMs", asked, an, "io.kapsel.stop-timeout",
		arena_printf(a, "%llu", (unsigned long long)k->stop_ms));
	p->driver = policy_pick(j, "logDriver", asked, an, "io.kapsel.log.driver", k->log_driver);
	p->size = policy_pick(j, "logMaxSize", asked, an, "io.kapsel.log.max-size",
		arena_printf(a, "%llu", (unsigned long long)k->log_size));
	p->files = policy_pick(j, "logMaxFiles", asked, an, "io.kapsel.log.max-files",
		arena_printf(a, "%llu", (unsigned long long)k->log_files));
	p->ms = as_ms(&p->timeout);
	p->bytes = as_bytes(&p->size);
	if (str_to_u64(p->files.value, &p->count))
		p->count = k->log_files;
	p->remove = json_get_bool(asked, "autoRemove", false);
}

static void put_policy(struct json_out *o, const struct policy *p)
{
	json_key(o, "policy");
	json_begin_object(o);
	json_put_string(o, "stopSignal", p->signal.value);
	json_put_u64(o, "stopTimeoutMs", p->ms);
	json_put_string(o, "logDriver", p->driver.value);
	json_put_u64(o, "logMaxSize", p->bytes);
	json_put_u64(o, "logMaxFiles", p->count);
	json_put_bool(o, "autoRemove", p->remove);
	json_put_string(o, "restart", "no");
	json_end_object(o);
	json_key(o, "policyFrom");
	json_begin_object(o);
	json_put_string(o, "stopSignal", p->signal.from);
	json_put_string(o, "stopTimeoutMs", p->timeout.from);
	json_put_string(o, "logDriver", p->driver.from);
	json_put_string(o, "logMaxSize", p->size.from);
	json_put_string(o, "logMaxFiles", p->files.from);
	json_put_string(o, "autoRemove", p->remove ? "flag" : "default");
	json_put_string(o, "restart", "default");
	json_end_object(o);
}

/* ---- the record
 * ------------------------------------------------------------------------------------- */

static void put_words(
	struct json_out *o, const char *key, struct wire_in *in, enum wire_tag tag, bool names_only)
{
	char **v;
	size_t n;

	if (!in->field[tag].there || wire_get_list(in, tag, &v, &n, NULL))
		return;
	json_key(o, key);
	json_begin_array(o);
	for (size_t i = 0; i < n; i++)
		json_add_bytes(o, v[i], names_only ? strcspn(v[i], "=") : strlen(v[i]));
	json_end_array(o);
	free(v);
}

static char *caller_cgroup(const struct peer *p)
{
	CLEANUP_FREE char *name = mem_printf("%d/cgroup", (int)p->pid);
	CLEANUP_BUF struct buf b = BUF_INIT;
	char *line, *end;

	if (p->pid <= 0 || proc_read(name, 8192, &b, NULL))
		return NULL;
	line = strstr(buf_str(&b), "0::");
	if (line == NULL)
		return NULL;
	end = strchr(line, '\n');
	return mem_strndup(line + 3, end ? (size_t)(end - line - 3) : strlen(line + 3));
}

static void put_fixed(struct job *j, struct json_out *o, struct wire_in *in, const struct json *an,
	const struct policy *p)
{
	const struct peer *who = api_call_peer(j->call);
	CLEANUP_FREE char *cgroup = caller_cgroup(who);

	json_put_string(o, "bundle", j->bundle_path);
	json_put_string(o, "digest", wire_get_str(in, TAG_DIGEST));
	if (an) {
		json_key(o, "annotations");
		json_add_value(o, an);
	}
	put_words(o, "args", in, TAG_ARGS, false);
	json_put_string(o, "cwd", wire_get_str(in, TAG_CWD));
	json_put_string(o, "user", wire_get_str(in, TAG_USER));
	put_words(o, "env", in, TAG_ENV, true);
	json_put_bool(o, "terminal", j->flags & WIRE_TERMINAL);
	json_put_bool(o, "volatile", j->flags & WIRE_VOLATILE);
	json_key(o, "caller");
	json_begin_object(o);
	json_put_u64(o, "uid", who->uid);
	json_put_i64(o, "pid", who->pid);
	json_put_string(o, "cgroup", cgroup);
	json_end_object(o);
	json_put_string(o, "request", api_call_request(j->call));
	put_policy(o, p);
	if (!str_eq(p->driver.value, "none")) {
		CLEANUP_FREE char *log = mem_printf("%s/logs/%s", j->d->config.state_dir, j->c->id);

		json_put_string(o, "log", log);
	}
}

static int write_record(struct container *c, int dir, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	json_begin_object(&o);
	json_put_u64(&o, "kapsel", 1);
	json_put_string(&o, "id", c->id);
	json_put_string(&o, "uid", c->uid);
	json_put_u64(&o, "instance", c->instance);
	json_put_u64(&o, "createdNs", c->created);
	json_put_bool(&o, "poststop", c->poststop);
	json_put_string(&o, "writes", c->writes);
	buf_addc(&b, ',');
	buf_adds(&b, c->fixed);
	json_end_object(&o);
	return store_record_write(dir, &b, e);
}

static int send_watch(struct job *j, const struct policy *p, struct kerr *e)
{
	struct wire_out m;
	bool log = j->log_dir >= 0;
	bool direct = j->flags & WIRE_DIRECT_OUT;

	wire_begin(&m, WIRE_WATCH);
	wire_str(&m, TAG_ID, j->c->id);
	wire_str(&m, TAG_UID, j->c->uid);
	wire_u64(&m, TAG_INSTANCE, j->c->instance);
	wire_u64(&m, TAG_FLAGS,
		(j->flags & (WIRE_TERMINAL | WIRE_KEEP_STDIN | WIRE_DIRECT_OUT)) |
			(log ? 0 : WIRE_NO_LOG));
	wire_u64(&m, TAG_LOG_SIZE, p->bytes);
	wire_u64(&m, TAG_LOG_FILES, p->count);
	wire_fd(&m, WIRE_FD_RUN_DIR, j->run_dir);
	wire_fd(&m, WIRE_FD_LOG_DIR, j->log_dir);
	if (!direct) {
		wire_fd(&m, WIRE_FD_STDIN, j->stdio[0]);
		wire_fd(&m, WIRE_FD_STDOUT, j->stdio[1]);
		wire_fd(&m, WIRE_FD_STDERR, j->stdio[2]);
	}
	return link_order_quiet(j->m, &m, e);
}

/* Somebody else who writes to the root file system of @c. */
static const struct container *other_writer(const struct daemon *d, const struct container *c)
{
	for (size_t i = 0; *c->writes && i < d->all.n; i++) {
		const struct container *other = d->all.v[i];

		if (other != c && other->life != LIFE_STOPPED && str_eq(other->writes, c->writes))
			return other;
	}
	return NULL;
}

static void read_warnings(struct job *j, const char *text)
{
	struct json_out o = JSON_OUT(&j->warnings);
	CLEANUP_ARENA struct arena *a = arena_new();
	const struct json *list = text ? json_parse(a, text, strlen(text), NULL, NULL) : NULL;
	const struct container *other = other_writer(j->d, j->c);

	if (other == NULL && (list == NULL || list->n == 0))
		return;
	json_begin_array(&o);
	if (other) {
		CLEANUP_ERR struct kerr e = KERR_INIT;

		kerr_fail(&e, KERR_CONFIG_CONFLICT, 0,
			"%s writes to the same root file system: --volatile gives each its own "
			"layer",
			other->id);
		json_begin_object(&o);
		json_put_kerr(&o, &e);
		json_end_object(&o);
	}
	json_each(w, list)
	{
		CLEANUP_ERR struct kerr e = KERR_INIT;

		if (w->type == JSON_OBJECT) {
			json_add_value(&o, w);
			continue;
		}
		kerr_fail(&e, KERR_CONFIG_UNKNOWN, 0, "%s", w->text ? w->text : "");
		json_begin_object(&o);
		json_put_kerr(&o, &e);
		json_end_object(&o);
	}
	json_end_array(&o);
}

static void order_go(struct job *j, struct kerr *e)
{
	struct wire_out m;

	wire_begin(&m, WIRE_GO);
	if (link_send(j->x, &m, e))
		job_failed(j, e);
}

/* PREPARED is there and so is the log's directory: write it down, then let it go on. */
void birth_go_on(struct job *j)
{
	struct container *c = j->c;
	struct wire_in *in = j->prepared_frame;
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf fixed = BUF_INIT;
	struct json_out o = { .b = &fixed };
	const struct json *asked, *an = NULL;
	const char *text, *digest;
	struct policy p;

	if (in == NULL || j->log_errand || j->failing)
		return;
	if (j->call == NULL) { /* it took too long, and nobody waits */
		kerr_fail(&e, KERR_TIMEOUT, 0, "the caller's time was over");
		job_failed(j, &e);
		return;
	}
	asked = json_get(api_call_params(j->call), "policy");
	text = wire_get_str(in, TAG_ANNOTATIONS);
	an = text ? json_parse(a, text, strlen(text), NULL, NULL) : NULL;
	policy_of(j, asked, an, wire_get_str(in, TAG_STOP_SIGNAL), &p);
	text = wire_get_str(in, TAG_ROOTFS);
	snprintf(c->writes, sizeof c->writes, "%s", text ? text : "");
	read_warnings(j, wire_get_str(in, TAG_WARNINGS));
	if (wire_get_u64(in, TAG_FLAGS, 0) & WIRE_TERMINAL)
		j->flags |= WIRE_TERMINAL;
	c->poststop = wire_get_u64(in, TAG_FLAGS, 0) & WIRE_HAS_POSTSTOP;
	if (str_eq(p.driver.value, "none"))
		fd_closep(&j->log_dir);
	digest = wire_get_str(in, TAG_DIGEST);
	snprintf(c->digest, sizeof c->digest, "%s", digest ? digest : "");
	c->terminal = j->flags & WIRE_TERMINAL;
	c->no_log = j->log_dir < 0;
	c->auto_remove = p.remove;
	c->stop_signal = signal_parse(p.signal.value);
	if (c->stop_signal <= 0)
		c->stop_signal = 15;
	c->stop_ms = p.ms;
	put_fixed(j, &o, in, an, &p);
	c->fixed = buf_take(&fixed);
	c->bundle = mem_strdup(j->bundle_path ? j->bundle_path : "");
	if (write_record(c, j->run_dir, &e) || send_watch(j, &p, &e)) {
		job_failed(j, &e);
		return;
	}
	j->watched = true;
	j->m->c = c;
	c->monitor = j->m;
	order_go(j, &e);
}

void resize_first(struct job *j, struct link *m)
{
	struct wire_out w;

	if (m == NULL || j->rows == 0 || j->columns == 0)
		return;
	wire_begin(&w, WIRE_RESIZE);
	wire_u64(&w, TAG_ROWS, j->rows);
	wire_u64(&w, TAG_COLUMNS, j->columns);
	link_order_quiet(m, &w, NULL);
}

static void let_monitor_go(struct job *j)
{
	if (j->m == NULL)
		return;
	j->m->job = NULL;
	j->m = NULL;
	if (j->x == NULL)
		j->d->nbusy--;
}

/* What came while the job was under way. */
void settle_early(struct daemon *d, struct container *c, struct exit_record *early)
{
	if (early) {
		container_exited(d, c, early);
		free(early);
	} else if (c->monitor == NULL) {
		container_monitor_gone(d, c);
	}
}

void birth_made(struct job *j, struct wire_in *in)
{
	struct daemon *d = j->d;
	struct container *c = j->c;
	bool runs = in->type == WIRE_STARTED;
	/* The call and what is its own goes with the answer. */
	CLEANUP_FREE char *by =
		j->call ? mem_strdup(by_of(j->call, j->run ? "Run" : "Create")) : NULL;
	struct exit_record *early = c->early;

	c->pid = (pid_t)wire_get_u64(in, TAG_PID, 0);
	c->start_time = wire_get_u64(in, TAG_START_TIME, 0);
	if (runs)
		c->started = clock_wall_ns();
	resize_first(j, c->monitor);
	let_monitor_go(j);
	c->job = NULL;
	c->early = NULL;
	/* The answer goes out before the event: it is what somebody waits for with bated breath. */
	c->life = runs ? LIFE_RUNNING : LIFE_CREATED;
	answer_created(j, false, c);
	c->life = LIFE_CREATING;
	container_event(d, c, runs ? EV_RUNS : EV_MADE, runs ? "started" : "created", c->request,
		by, NULL, NULL);
	j->c = NULL;
	job_end(j);
	settle_early(d, c, early);
}

/* Nothing may be left; then the caller is told. */
static void undo_create(struct job *j)
{
	struct daemon *d = j->d;
	struct container *c = j->c;
	CLEANUP_BUF struct buf line = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;

	kerr_line(&j->error, &line);
	if (j->run_dir >= 0)
		remains_clear(j->run_dir);
	if (path_own_remove_tree(d->containers_dir, c->id, &e))
		log_error("%s: its directory stays: %s", c->id, e.message);
	if (j->log_dir >= 0 || j->log_errand)
		logs_remove(d, c->id);
	c->job = NULL;
	c->life = LIFE_CREATING;
	if (j->watched)
		container_event(d, c, EV_FAILED, "failed", c->request, NULL, buf_str(&line), NULL);
	else
		container_event(d, c, EV_FAILED, NULL, NULL, NULL, NULL, NULL);
	container_drop(d, c);
	j->c = NULL;
	j->m = NULL; /* went with its container, if it was that one's */
}

void job_failed(struct job *j, struct kerr *e)
{
	struct link *m = j->m;

	if (kerr_is_set(e) && !kerr_is_set(&j->error))
		kerr_move(&j->error, e);
	if (j->kind == JOB_CREATE && j->c && j->watched && m && !j->failing) {
		/* The monitor may be about to write its record: it ends by itself. */
		j->failing = true;
		if (j->x)
			link_close(j->x);
		j->x = NULL;
		loop_timer(j->d->loop, &j->timer, deadline_in_ms(UNDO_MS));
		return;
	}
	if (j->kind == JOB_CREATE && j->c) {
		if (m) {
			if (m->c == NULL)
				link_close(m);
			m->job = NULL;
			if (j->x == NULL)
				j->d->nbusy--;
		}
		undo_create(j);
	}
	if (j->exec) {
		struct execution *x = j->exec;

		j->exec = NULL;
		x->job = NULL;
		exec_free(x);
	}
	if (!kerr_is_set(&j->error))
		kerr_fail(&j->error, KERR_INTERNAL, 0, "the executor ended without an answer");
	job_give_up(j, &j->error);
}
