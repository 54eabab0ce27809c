/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that read: logs, figures, processes, the node; and the table of all of them. */
#include "daemon.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { LOG_PIECE = 512, LOG_BYTES = 256 << 10, COMMAND_MOST = 4096 };

static const char *param(struct api_call *c, const char *key)
{
	return json_get_string(api_call_params(c), key, NULL);
}

static void fail(struct api_call *c, struct kerr *e)
{
	api_fail(c, e);
	kerr_clear(e);
}

static struct box *named(struct daemon *d, struct api_call *c, struct kerr *e)
{
	const char *id = param(c, "id"), *uid = param(c, "uid");
	struct box *b = id && id_is_valid(id) ? box_find(d, id) : NULL;

	if (b == NULL)
		kerr_fail(e, KERR_NOT_FOUND, 0, "no container has the id %.130s", id ? id : "");
	else if (uid && !str_eq(uid, b->uid))
		kerr_fail(e, KERR_NOT_FOUND, 0, "%s is another life by now: %s", id, b->uid);
	return kerr_is_set(e) ? NULL : b;
}

/* ---- Logs ------------------------------------------------------------------------------------------------------ */

struct follow {
	struct source s;       /* inotify */
	struct daemon *d;
	struct api_call *call;
	struct log_reader *reader;
	int dir;
	char *id, uid[UID_TEXT];
	bool end;
};

/* A piece of lines; true when there may be more right away. */
static bool log_piece(struct log_reader *r, struct buf *text, bool rest)
{
	struct json_out o = JSON_OUT(text);
	struct log_record line;
	uint64_t dropped = 0;
	size_t n = 0;
	int rc = 0;

	json_begin_object(&o);
	json_key(&o, "lines");
	json_begin_array(&o);
	while (n < LOG_PIECE && text->len < LOG_BYTES && ((rc = log_next(r, &line, NULL)) > 0 || (rest && (rc = log_rest(r, &line)) > 0))) {
		dropped += line.dropped;
		if (line.stream == LOG_SYSTEM)
			continue;
		json_begin_object(&o);
		json_put_string(&o, "time", line.time);
		json_put_string(&o, "stream", log_stream_name(line.stream));
		json_key(&o, "text");
		json_add_bytes(&o, line.text, line.len);
		if (line.partial)
			json_put_bool(&o, "partial", true);
		json_end_object(&o);
		n++;
	}
	json_end_array(&o);
	json_put_u64(&o, "dropped", dropped);
	json_end_object(&o);
	return rc > 0;
}

static void follow_more(struct follow *f)
{
	struct box *b = box_find(f->d, f->id);
	bool over = b == NULL || !str_eq(b->uid, f->uid) || b->life == LIFE_STOPPED;

	while (f->call) {
		CLEANUP_BUF struct buf text = BUF_INIT;
		bool more;

		if (api_call_unsent(f->call) > LOG_BYTES)
			return; /* at the pace of who reads; the next change comes back here */
		more = log_piece(f->reader, &text, over);
		if (!more && over) {
			api_reply_buf(f->call, &text);
			f->call = NULL;
			f->end = true;
			return;
		}
		if (text.len > 30)
			api_reply_more(f->call, text.data, text.len);
		if (!more)
			return;
	}
}

static enum source_answer follow_ready(struct source *s, uint32_t events)
{
	struct follow *f = (struct follow *)(void *)s;

	(void)events;
	log_watch_drain(s->fd);
	if (f->call)
		follow_more(f);
	return f->call ? SOURCE_KEEP : SOURCE_DONE;
}

static void follow_closed(struct source *s)
{
	struct follow *f = (struct follow *)(void *)s;
	struct waiter **at = &f->d->follows;

	while (*at && (void *)(*at)->box != (void *)f)
		at = &(*at)->next;
	if (*at) {
		struct waiter *w = *at;

		*at = w->next;
		free(w);
	}
	log_reader_free(f->reader);
	fd_closep(&f->dir);
	free(f->id);
	free(f);
}

static void follow_gone(struct api_call *c, void *arg)
{
	struct follow *f = arg;

	(void)c;
	f->call = NULL;
	if (f->s.loop)
		loop_end(f->d->loop, &f->s);
}

/* When a container ends its log may not change any more: the followers are asked again. */
void follow_logs(struct daemon *d)
{
	struct waiter *next;

	for (struct waiter *w = d->follows; w; w = next) {
		struct follow *f = (struct follow *)(void *)w->box;

		next = w->next;
		follow_more(f);
		if (f->call == NULL && f->s.loop)
			loop_end(d->loop, &f->s);
	}
}

static int follow_begin(struct daemon *d, struct api_call *c, struct box *b, int dir, struct log_reader *r, struct kerr *e)
{
	struct follow *f = mem_zalloc(sizeof *f);
	struct waiter *w;

	f->d = d;
	f->call = c;
	f->reader = r;
	f->dir = dir;
	f->id = mem_strdup(b->id);
	memcpy(f->uid, b->uid, sizeof f->uid);
	f->s = (struct source){ .fd = log_watch(dir, e), .ready = follow_ready, .closed = follow_closed };
	if (f->s.fd < 0 || loop_add(d->loop, &f->s, EPOLLIN, e)) {
		fd_closep(&f->s.fd);
		free(f->id);
		free(f);
		return -1;
	}
	w = mem_zalloc(sizeof *w);
	w->box = (struct box *)(void *)f;
	w->next = d->follows;
	d->follows = w;
	api_call_gone(c, follow_gone, f);
	follow_more(f);
	if (f->call == NULL)
		loop_end(d->loop, &f->s);
	return 0;
}

static void call_logs(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct box *b = named(d, c, &e);
	struct log_query q = { .tail = json_get_u64(api_call_params(c), "tail", UINT64_MAX) };
	bool follow = json_get_bool(api_call_params(c), "follow", false) && api_call_more(c);
	CLEANUP_FD int dir = -1;
	struct log_reader *r = NULL;
	bool more = true;

	if (b && param(c, "since") && log_time_parse(param(c, "since"), &q.since_ns))
		kerr_fail(&e, KERR_CONFIG_VALUE, 0, "'%.60s' is no time", param(c, "since"));
	if (b && param(c, "until") && log_time_parse(param(c, "until"), &q.until_ns))
		kerr_fail(&e, KERR_CONFIG_VALUE, 0, "'%.60s' is no time", param(c, "until"));
	if (b && b->policy.log_none)
		kerr_fail(&e, KERR_NOT_FOUND, 0, "%s keeps no log: its log driver is none", b->id);
	if (!kerr_is_set(&e)) {
		dir = path_own(d->logs, b->id, O_RDONLY | O_DIRECTORY, 0, &e);
		if (dir >= 0)
			log_reader_open(dir, &q, &r, &e);
	}
	if (!kerr_is_set(&e) && follow && b->life != LIFE_STOPPED && follow_begin(d, c, b, dir, r, &e) == 0) {
		dir = -1; /* the follower's */
		return;
	}
	if (kerr_is_set(&e)) {
		log_reader_free(r);
		fail(c, &e);
		return;
	}
	while (more) {
		CLEANUP_BUF struct buf text = BUF_INIT;

		more = log_piece(r, &text, b->life == LIFE_STOPPED);
		if (!more || !api_call_more(c)) {
			api_reply_buf(c, &text);
			more = false;
		} else {
			api_reply_more(c, text.data, text.len);
		}
	}
	log_reader_free(r);
}

/* ---- Stats, Processes -------------------------------------------------------------------------------------------- */

static struct cgroup *cgroup_of(struct daemon *d, const struct box *b)
{
	CLEANUP_FD int dir = path_own(d->containers, b->id, O_RDONLY | O_DIRECTORY, 0, NULL);
	struct store_oci oci = { 0 };
	struct cgroup *c = NULL;

	if (dir >= 0 && store_oci_read(dir, &oci, NULL) == 0 && oci.cgroup)
		cgroup_open(oci.cgroup, &c, NULL);
	store_oci_free(&oci);
	return c;
}

static void put_stats(struct daemon *d, struct json_out *o, const struct box *b)
{
	struct cgroup *c = cgroup_of(d, b);
	struct cgroup_stats s;
	char time[TIME_TEXT];

	if (c == NULL)
		return;
	cgroup_stats(c, &s);
	cgroup_free(c);
	json_begin_object(o);
	json_put_string(o, "id", b->id);
	json_put_string(o, "uid", b->uid);
	json_put_string(o, "time", time_text(clock_wall_ns(), time));
	json_put_u64(o, "cpuNs", s.cpu_ns);
	json_put_u64(o, "cpuUserNs", s.cpu_user_ns);
	json_put_u64(o, "cpuSystemNs", s.cpu_system_ns);
	json_put_u64(o, "cpuThrottledNs", s.throttled_ns);
	json_put_u64(o, "memory", s.memory);
	json_put_u64(o, "memoryPeak", s.memory_peak);
	if (s.memory_limit != UINT64_MAX)
		json_put_u64(o, "memoryLimit", s.memory_limit);
	json_put_u64(o, "oomKills", s.oom_kills);
	json_put_u64(o, "pids", s.pids);
	if (s.pids_limit != UINT64_MAX)
		json_put_u64(o, "pidsLimit", s.pids_limit);
	json_end_object(o);
}

static void call_stats(struct daemon *d, struct api_call *c)
{
	const struct json *ids = json_get(api_call_params(c), "ids");
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);

	json_begin_object(&o);
	json_key(&o, "stats");
	json_begin_array(&o);
	for (size_t i = 0; i < TABLE; i++)
		for (struct box *b = d->table[i]; b; b = b->next) {
			bool wanted = ids == NULL;

			json_each(item, ids)
				wanted |= str_eq(item->text, b->id);
			if (wanted && b->life != LIFE_STOPPED)
				put_stats(d, &o, b);
		}
	json_end_array(&o);
	json_end_object(&o);
	api_reply_buf(c, &text);
}

static void put_process(struct json_out *o, pid_t pid)
{
	CLEANUP_BUF struct buf status = BUF_INIT;
	CLEANUP_BUF struct buf line = BUF_INIT;
	char name[48];
	const char *s;

	snprintf(name, sizeof name, "%d/status", (int)pid);
	if (proc_read(name, 65536, &status, NULL))
		return;
	snprintf(name, sizeof name, "%d/cmdline", (int)pid);
	proc_read(name, 1 << 20, &line, NULL);
	for (size_t i = 0; i + 1 < line.len; i++)
		if (line.data[i] == '\0')
			line.data[i] = ' ';
	json_begin_object(o);
	json_put_i64(o, "pid", pid);
	s = strstr(status.data, "\nPPid:\t");
	json_put_i64(o, "ppid", s ? atoi(s + 7) : 0);
	s = strstr(status.data, "\nNSpid:\t");
	if (s) {
		const char *end = s + 1 + strcspn(s + 1, "\n"); /* the innermost is the last */

		while (end[-1] != '\t')
			end--;
		json_put_i64(o, "nspid", atoi(end));
	}
	s = strstr(status.data, "\nUid:\t");
	json_put_u64(o, "uid", s ? strtoull(s + 6, NULL, 10) : 0);
	s = strstr(status.data, "\nState:\t");
	json_key(o, "state");
	json_add_bytes(o, s ? s + 8 : "?", 1);
	s = strstr(status.data, "\nVmRSS:\t");
	if (s)
		json_put_u64(o, "memory", strtoull(s + 8, NULL, 10) * 1024);
	json_key(o, "command");
	if (line.len)
		json_add_bytes(o, line.data, strnlen(line.data, COMMAND_MOST));
	else
		json_add_bytes(o, status.data + 6, strcspn(status.data + 6, "\n"));
	json_end_object(o);
}

static void call_processes(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);
	struct box *b = named(d, c, &e);
	struct cgroup *cg = b ? cgroup_of(d, b) : NULL;
	CLEANUP_FREE pid_t *pids = NULL;
	size_t n = 0;

	if (b && cg == NULL)
		kerr_fail(&e, KERR_NOT_RUNNING, 0, "container not running: %s is %s", b->id, life_name(b->life));
	if (kerr_is_set(&e) || cgroup_procs(cg, &pids, &n, &e)) {
		cgroup_free(cg);
		fail(c, &e);
		return;
	}
	json_begin_object(&o);
	json_key(&o, "processes");
	json_begin_array(&o);
	for (size_t i = 0; i < n; i++)
		put_process(&o, pids[i]);
	json_end_array(&o);
	json_end_object(&o);
	cgroup_free(cg);
	api_reply_buf(c, &text);
}

/* ---- the node ------------------------------------------------------------------------------------------------------- */

static void call_info(struct daemon *d, struct api_call *c)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);
	enum cgroup_layout layout = CGROUP_NONE;
	struct cgroup_controllers there;
	uint64_t counts[LIFE_COUNT] = { 0 };
	struct utsname u;
	char time[TIME_TEXT];

	uname(&u);
	cgroup_detect(&layout, &there, NULL);
	for (size_t i = 0; i < TABLE; i++)
		for (struct box *b = d->table[i]; b; b = b->next)
			counts[b->life]++;
	json_begin_object(&o);
	json_put_string(&o, "version", KAPSEL_VERSION);
	json_put_string(&o, "ociVersionMax", KAPSEL_SPEC_MAX);
	json_put_i64(&o, "pid", getpid());
	json_put_string(&o, "started", time_text(d->started, time));
	json_put_string(&o, "kernel", u.release);
	json_put_string(&o, "machine", u.machine);
	json_put_string(&o, "cgroupLayout", cgroup_layout_name(layout));
	json_put_string(&o, "socket", d->config.socket);
	json_put_string(&o, "runDir", d->config.run_dir);
	json_put_string(&o, "stateDir", d->config.state_dir);
	json_put_string(&o, "configuration", d->config_file);
	json_put_string(&o, "role", role_name(api_call_role(c)));
	json_put_bool(&o, "draining", false);
	json_key(&o, "containers");
	json_begin_object(&o);
	for (int s = 0; s < LIFE_REMOVED; s++)
		json_put_u64(&o, life_name((enum life)s), counts[s]);
	json_end_object(&o);
	json_put_u64(&o, "connections", api_server_connections(d->server));
	json_put_u64(&o, "executors", d->idle_pairs);
	json_put_string(&o, "journal", journal_id(d->journal));
	json_key(&o, "libraries");
	json_begin_object(&o);
	json_put_string(&o, "yajl", "2.1.0");
	json_end_object(&o);
	json_key(&o, "limits");
	json_begin_array(&o);
	api_limits_json(&api_limits_default, &o);
	json_end_array(&o);
	json_end_object(&o);
	api_reply_buf(c, &text);
}

static void call_check(struct daemon *d, struct api_call *c)
{
	CLEANUP_BUF struct buf findings = BUF_INIT;
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out f = JSON_OUT(&findings), o = JSON_OUT(&text);
	int missing;

	json_begin_array(&f);
	missing = node_check(d, &f, NULL);
	json_end_array(&f);
	json_begin_object(&o);
	json_put_bool(&o, "ok", missing == 0);
	json_key(&o, "findings");
	json_add_raw(&o, findings.data, findings.len);
	json_end_object(&o);
	api_reply_buf(c, &text);
}

/* Facts are kapsel-oci's to tell: it is asked, off the loop's way, by a pipe. */
struct asking { struct source s; struct daemon *d; struct api_call *call; struct buf text; int pidfd; };

static void facts_gone(struct api_call *c, void *arg)
{
	(void)c;
	((struct asking *)arg)->call = NULL;
}

static enum source_answer facts_ready(struct source *s, uint32_t events)
{
	struct asking *q = (struct asking *)(void *)s;
	char chunk[8192];
	ssize_t n = read(s->fd, chunk, sizeof chunk);

	(void)events;
	if (n <= 0 || q->text.len > 1 << 20)
		return SOURCE_DONE;
	buf_add(&q->text, chunk, (size_t)n);
	return SOURCE_KEEP;
}

static void facts_closed(struct source *s)
{
	struct asking *q = (struct asking *)(void *)s;
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf text = BUF_INIT;
	struct json_out o = JSON_OUT(&text);
	const struct json *facts = json_parse(a, buf_str(&q->text), q->text.len, NULL, &e);
	siginfo_t info;

	pidfd_signal(q->pidfd, SIGKILL, NULL);
	pidfd_wait(q->pidfd, &info, false, NULL);
	if (q->call && facts) {
		json_begin_object(&o);
		json_key(&o, "facts");
		json_add_value(&o, facts);
		json_end_object(&o);
		api_reply_buf(q->call, &text);
	} else if (q->call) {
		kerr_step(&e, "kapsel-oci facts");
		fail(q->call, &e);
	}
	fd_closep(&q->pidfd);
	buf_free(&q->text);
	free(q);
}

static void call_facts(struct daemon *d, struct api_call *c)
{
	char *argv[] = { (char *)(uintptr_t)"kapsel-oci", (char *)(uintptr_t)"facts", NULL }, *envp[] = { NULL };
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct asking *q;
	int p[2], fds[3] = { -1, -1, -1 };
	struct spawn s = { .path = d->oci, .exe_fd = -1, .argv = argv, .envp = envp, .fds = fds, .nfds = 3, .cwd_fd = -1 };

	if (pipe2(p, O_CLOEXEC) < 0) {
		kerr_fail(&e, KERR_LIMIT, 0, "pipe");
		fail(c, &e);
		return;
	}
	fds[1] = p[1];
	q = mem_zalloc(sizeof *q);
	q->d = d;
	q->call = c;
	q->s = (struct source){ .fd = p[0], .ready = facts_ready, .closed = facts_closed };
	q->pidfd = spawn_run(&s, NULL, &e);
	close(p[1]);
	if (q->pidfd < 0 || loop_add(d->loop, &q->s, EPOLLIN, &e)) {
		close(p[0]);
		fd_closep(&q->pidfd);
		free(q);
		fail(c, &e);
		return;
	}
	api_call_gone(c, facts_gone, q);
}

static void call_later(struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	kerr_fail(&e, KERR_UNSUPPORTED, 0, "%s is not carried out by this version", api_method(api_call_method(c))->name);
	fail(c, &e);
}

static void call_reload(struct daemon *d, struct api_call *c)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (daemon_reload(d, &e))
		fail(c, &e);
	else
		api_reply(c, "{\"changed\":true}", 16);
}

void node_call(struct daemon *d, struct api_call *c)
{
	switch (api_call_method(c)) {
	case API_LOGS:
		call_logs(d, c);
		break;
	case API_STATS:
		call_stats(d, c);
		break;
	case API_PROCESSES:
		call_processes(d, c);
		break;
	case API_NODE_INFO:
		call_info(d, c);
		break;
	case API_NODE_CHECK:
		call_check(d, c);
		break;
	case API_NODE_FACTS:
		call_facts(d, c);
		break;
	case API_NODE_RELOAD:
		call_reload(d, c);
		break;
	default:
		call_later(c);
	}
}
