/* SPDX-License-Identifier: Apache-2.0 */
/* Logs, Stats and Processes: streams of what is on disk and in cgroups. */
#include "daemon.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { PIECE_BYTES = 48 << 10, HOLD_BYTES = 256 << 10, WHOLE_BYTES = 512 << 10, TICKS = 100 };

/* ---- Logs
 * --------------------------------------------------------------------------------------------- */

struct log_follower {
	struct source source; /* inotify */
	struct log_follower *next, **pprev;
	struct daemon *d;
	struct api_call *call;
	struct container *c; /* NULL: it has ended, nothing more will come */
	struct log_reader *reader;
	struct log_query query;
	int dir;
	bool holding, watching, cut;
	uint64_t dropped;
};

static void follower_closed(struct source *s)
{
	free(s);
}

static void follower_end(struct log_follower *f)
{
	*f->pprev = f->next;
	if (f->next)
		f->next->pprev = f->pprev;
	log_reader_free(f->reader);
	fd_closep(&f->dir);
	if (f->watching)
		loop_end(f->d->loop, &f->source);
	else
		free(f);
}

static void follower_gone(struct api_call *call, void *arg)
{
	(void)call;
	follower_end(arg);
}

static void put_line(struct json_out *o, const struct log_record *r)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	bool strange = memchr(r->text, '\0', r->len) || !str_is_utf8(r->text, r->len);

	json_begin_object(o);
	json_put_string(o, "time", r->time);
	json_put_string(o, "stream", r->stream == LOG_STDOUT ? "stdout" : "stderr");
	json_key(o, "text");
	if (strange) {
		buf_add_escaped(&text, r->text, r->len);
		json_add_bytes(o, text.data, text.len);
		json_put_bool(o, "escaped", true);
	} else {
		json_add_bytes(o, r->text, r->len);
	}
	if (r->partial)
		json_put_bool(o, "partial", true);
	json_end_object(o);
}

/* Lines until a piece is full. 1: there may be more; 0: that is all there is at present. */
static int gather(struct log_follower *f, struct json_out *o, size_t most)
{
	struct log_record r;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int got;

	while (o->b->len < most) {
		got = log_next(f->reader, &r, &e);
		if (got == 0 && f->c == NULL)
			got = log_rest(f->reader, &r);
		if (got <= 0)
			return 0;
		f->dropped += r.dropped;
		put_line(o, &r);
	}
	return 1;
}

static void follower_pump(struct log_follower *f);

static void have_room(struct api_call *call, void *arg)
{
	struct log_follower *f = arg;

	(void)call;
	f->holding = false;
	follower_pump(f);
}

static void follower_pump(struct log_follower *f)
{
	bool more = api_call_more(f->call);
	int again = 1;

	while (again) {
		CLEANUP_BUF struct buf b = BUF_INIT;
		struct json_out o = JSON_OUT(&b);
		size_t empty;
		bool last;

		if (more && api_call_unsent(f->call) > HOLD_BYTES) {
			if (!f->holding)
				api_call_on_room(f->call, have_room, f);
			f->holding = true;
			return;
		}
		json_begin_object(&o);
		json_key(&o, "lines");
		json_begin_array(&o);
		empty = b.len;
		again = gather(f, &o, more ? PIECE_BYTES : WHOLE_BYTES);
		last = !more || (!again && (f->c == NULL || log_past_until(f->reader)));
		if (b.len == empty && !last)
			return;
		json_end_array(&o);
		json_put_u64(&o, "dropped", f->dropped);
		json_end_object(&o);
		f->dropped = 0;
		if (last) {
			struct api_call *call = f->call;

			api_call_gone(call, NULL, NULL);
			follower_end(f);
			api_reply_buf(call, &b);
			return;
		}
		api_reply_more(f->call, b.data, b.len);
	}
}

static enum source_answer log_grew(struct source *s, uint32_t events)
{
	struct log_follower *f = (struct log_follower *)s;

	(void)events;
	log_watch_drain(s->fd);
	if (!f->holding)
		follower_pump(f);
	return SOURCE_KEEP;
}

void logs_ended(struct daemon *d, struct container *c)
{
	for (struct log_follower *f = d->followers, *next; f; f = next) {
		next = f->next;
		if (f->c != c)
			continue;
		f->c = NULL;
		if (!f->holding)
			follower_pump(f);
	}
}

static int read_time(const struct json *p, const char *key, uint64_t *out, struct kerr *e)
{
	const char *s = json_get_string(p, key, NULL);

	*out = 0;
	if (s && log_time_parse(s, out))
		return json_fail(e, KERR_CONFIG_VALUE, json_get(p, key), "\"%.60s\" is no time", s);
	return 0;
}

static int follow_begin(struct log_follower *f, const struct json *p, struct kerr *e)
{
	struct container *c = f->c;
	bool follow = json_get_bool(p, "follow", false);

	if (read_time(p, "since", &f->query.since_ns, e) ||
		read_time(p, "until", &f->query.until_ns, e))
		return -1;
	f->query.tail = json_get_u64(p, "tail", UINT64_MAX);
	if (c->no_log)
		return kerr_fail(
			e, KERR_UNSUPPORTED, 0, "%s has no log: its driver is none", c->id);
	f->dir = path_own(f->d->logs_dir, c->id, O_RDONLY | O_DIRECTORY, 0, e);
	if (f->dir < 0 || log_reader_open(f->dir, &f->query, &f->reader, e))
		return -1;
	if (!follow || !api_call_more(f->call) || c->life == LIFE_STOPPED) {
		f->c = NULL;
		return 0;
	}
	f->source = (struct source) {
		.fd = log_watch(f->dir, e), .ready = log_grew, .closed = follower_closed
	};
	if (f->source.fd < 0 || loop_add(f->d->loop, &f->source, EPOLLIN, e)) {
		fd_closep(&f->source.fd);
		return -1;
	}
	f->watching = true;
	return 0;
}

void call_logs(struct daemon *d, struct api_call *call)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct container *c = call_container(d, call, &e);
	struct log_follower *f;

	if (c == NULL) {
		api_fail(call, &e);
		return;
	}
	f = mem_zalloc(sizeof *f);
	f->d = d;
	f->call = call;
	f->c = c;
	f->dir = -1;
	f->next = d->followers;
	if (f->next)
		f->next->pprev = &f->next;
	f->pprev = &d->followers;
	d->followers = f;
	if (follow_begin(f, api_call_params(call), &e)) {
		follower_end(f);
		api_fail(call, &e);
		return;
	}
	api_call_gone(call, follower_gone, f);
	follower_pump(f);
}

/* ---- Stats
 * ---------------------------------------------------------------------------------------------- */

struct meter {
	struct timer timer;
	struct daemon *d;
	struct api_call *call;
	uint64_t ms;
};

static void put_known(struct json_out *o, const char *key, uint64_t v)
{
	if (v && v != UINT64_MAX)
		json_put_u64(o, key, v);
}

static void put_stats(struct daemon *d, struct json_out *o, const struct container *c)
{
	struct cgroup_stats s = { 0 };
	struct cgroup *cg;
	char text[TIME_TEXT];

	if (c->life == LIFE_STOPPED || c->life == LIFE_CREATING ||
		container_cgroup(d, c, &cg, NULL))
		return;
	cgroup_stats(cg, &s);
	cgroup_free(cg);
	json_begin_object(o);
	json_put_string(o, "id", c->id);
	json_put_string(o, "uid", c->uid);
	json_put_string(o, "time", time_text(clock_wall_ns(), text));
	json_put_u64(o, "cpuNs", s.cpu_ns);
	json_put_u64(o, "cpuUserNs", s.cpu_user_ns);
	json_put_u64(o, "cpuSystemNs", s.cpu_system_ns);
	json_put_u64(o, "cpuThrottledNs", s.throttled_ns);
	json_put_u64(o, "memory", s.memory);
	put_known(o, "memoryPeak", s.memory_peak);
	put_known(o, "memoryLimit", s.memory_limit);
	json_put_u64(o, "oomKills", s.oom_kills);
	json_put_u64(o, "pids", s.pids);
	put_known(o, "pidsLimit", s.pids_limit);
	json_put_u64(o, "readBytes", s.read_bytes);
	json_put_u64(o, "writtenBytes", s.written_bytes);
	json_end_object(o);
}

static void stats_text(struct daemon *d, struct api_call *call, struct buf *b)
{
	const struct json *ids = json_get(api_call_params(call), "ids");
	struct json_out o = JSON_OUT(b);

	json_begin_object(&o);
	json_key(&o, "stats");
	json_begin_array(&o);
	if (ids && ids->type == JSON_ARRAY && ids->n) {
		json_each(v, ids)
		{
			struct container *c = container_find(d, v->text);

			if (c)
				put_stats(d, &o, c);
		}
	} else {
		for (size_t i = 0; i < d->all.n; i++)
			put_stats(d, &o, d->all.v[i]);
	}
	json_end_array(&o);
	json_end_object(&o);
}

static void meter_gone(struct api_call *call, void *arg)
{
	struct meter *m = arg;

	(void)call;
	loop_untimer(m->d->loop, &m->timer);
	free(m);
}

static void meter_tick(struct timer *t)
{
	struct meter *m = (struct meter *)((char *)t - offsetof(struct meter, timer));
	CLEANUP_BUF struct buf b = BUF_INIT;

	loop_timer(m->d->loop, &m->timer, deadline_in_ms(m->ms));
	if (api_call_unsent(m->call))
		return; /* who does not read misses a measurement, not the connection */
	stats_text(m->d, m->call, &b);
	api_reply_more(m->call, b.data, b.len);
}

void call_stats(struct daemon *d, struct api_call *call)
{
	const struct json *p = api_call_params(call), *ids = json_get(p, "ids");
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct meter *m;

	json_each(v, ids && ids->type == JSON_ARRAY ? ids : NULL)
	{
		if (container_find(d, v->text))
			continue;
		kerr_fail(&e, KERR_NOT_FOUND, 0, "there is no container %.140s", v->text);
		api_fail(call, &e);
		return;
	}
	stats_text(d, call, &b);
	if (!api_call_more(call)) {
		api_reply_buf(call, &b);
		return;
	}
	m = mem_zalloc(sizeof *m);
	m->d = d;
	m->call = call;
	m->ms = json_get_u64(p, "intervalMs", 1000);
	if (m->ms < 100)
		m->ms = 100;
	m->timer.fire = meter_tick;
	api_call_gone(call, meter_gone, m);
	api_reply_more(call, b.data, b.len);
	loop_timer(d->loop, &m->timer, deadline_in_ms(m->ms));
}

/* ---- Processes
 * ------------------------------------------------------------------------------------------- */

static const char *status_field(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (strncmp(at, key, n) == 0)
			return at + n + strspn(at + n, " \t");
	return NULL;
}

static uint64_t number_at(const char *s)
{
	return s ? strtoull(s, NULL, 10) : 0;
}

static uint64_t cpu_ns(pid_t pid)
{
	CLEANUP_FREE char *name = mem_printf("%d/stat", (int)pid);
	CLEANUP_BUF struct buf b = BUF_INIT;
	unsigned long long user = 0, kernel = 0;
	const char *at;

	if (proc_read(name, 4096, &b, NULL))
		return 0;
	at = strrchr(buf_str(&b), ')');
	if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
				  &user, &kernel) != 2)
		return 0;
	return (user + kernel) * (NS_PER_S / TICKS);
}

static void put_process(struct json_out *o, pid_t pid)
{
	CLEANUP_FREE char *status = mem_printf("%d/status", (int)pid);
	CLEANUP_FREE char *cmdline = mem_printf("%d/cmdline", (int)pid);
	CLEANUP_BUF struct buf s = BUF_INIT;
	CLEANUP_BUF struct buf c = BUF_INIT;
	const char *at, *nspid;

	if (proc_read(status, 8192, &s, NULL))
		return;
	json_begin_object(o);
	json_put_i64(o, "pid", pid);
	json_put_u64(o, "ppid", number_at(status_field(s.data, "PPid:")));
	nspid = status_field(s.data, "NSpid:");
	if (nspid) {
		const char *end = nspid + strcspn(nspid, "\n"), *last = end;

		while (last > nspid && last[-1] != '\t' && last[-1] != ' ')
			last--;
		json_put_u64(o, "nspid", number_at(last));
	}
	json_put_u64(o, "uid", number_at(status_field(s.data, "Uid:")));
	at = status_field(s.data, "State:");
	json_key(o, "state");
	json_add_bytes(o, at ? at : "?", 1);
	json_put_u64(o, "cpuNs", cpu_ns(pid));
	json_put_u64(o, "memory", number_at(status_field(s.data, "VmRSS:")) * 1024);
	json_key(o, "command");
	if (proc_read(cmdline, 4096, &c, NULL) == 0 && c.len) {
		for (size_t i = 0; i + 1 < c.len; i++)
			if (c.data[i] == '\0')
				c.data[i] = ' ';
		json_add_bytes(o, c.data, c.len - (c.data[c.len - 1] == '\0'));
	} else {
		at = status_field(s.data, "Name:");
		json_add_bytes(o, at ? at : "", at ? strcspn(at, "\n") : 0);
	}
	json_end_object(o);
}

void call_processes(struct daemon *d, struct api_call *call)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct container *c = call_container(d, call, &e);
	struct cgroup *cg = NULL;
	pid_t *pids = NULL;
	size_t n = 0;

	if (c && (c->life == LIFE_STOPPED || c->life == LIFE_CREATING)) {
		kerr_fail(&e, KERR_NOT_RUNNING, 0, "%s is %s", c->id, life_name(c->life));
		c = NULL;
	}
	if (c == NULL || container_cgroup(d, c, &cg, &e) || cgroup_procs(cg, &pids, &n, &e)) {
		cgroup_free(cg);
		api_fail(call, &e);
		return;
	}
	cgroup_free(cg);
	json_begin_object(&o);
	json_key(&o, "processes");
	json_begin_array(&o);
	for (size_t i = 0; i < n; i++)
		put_process(&o, pids[i]);
	json_end_array(&o);
	json_end_object(&o);
	free(pids);
	api_reply_buf(call, &b);
}
