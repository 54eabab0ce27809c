/* SPDX-License-Identifier: Apache-2.0 */
/* One more process in a container. */
#include "job.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { CAPTURE_BYTES = 64 << 10, CAPTURE_AFTER_MS = 300 };

/* ---- exec
 * ------------------------------------------------------------------------------------------- */

struct execution *exec_find(struct daemon *d, struct container *c, const char *name)
{
	(void)d;
	for (struct execution *x = c->execs; x; x = x->next)
		if (str_eq(x->name, name))
			return x;
	return NULL;
}

void exec_free(struct execution *x)
{
	struct execution **at = x->c ? &x->c->execs : NULL;

	while (at && *at && *at != x)
		at = &(*at)->next;
	if (at && *at)
		*at = x->next;
	free(x);
}

static void exec_finish(struct job *j);
static void capture_closed(struct source *s)
{
	free(s);
}

void close_capture(struct capture *c)
{
	if (c == NULL)
		return;
	*c->place = NULL;
	loop_end(c->source.loop, &c->source);
}

static enum source_answer captured(struct source *s, uint32_t events)
{
	struct capture *c = (struct capture *)s;
	struct job *j = c->job;
	char piece[16384];
	ssize_t n = read(s->fd, piece, sizeof piece);
	size_t room = j->capture_most - c->text->len;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return SOURCE_KEEP;
	if (n <= 0) {
		close_capture(c);
		exec_finish(j);
		return SOURCE_KEEP;
	}
	if ((size_t)n > room)
		j->truncated = true;
	buf_add(c->text, piece, (size_t)n < room ? (size_t)n : room);
	return SOURCE_KEEP;
}

static int open_capture(
	struct job *j, struct capture **place, struct buf *text, int *end, struct kerr *e)
{
	struct capture *c;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "pipe");
	if (*end >= 0)
		close(*end);
	*end = p[1];
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	c = mem_zalloc(sizeof *c);
	c->source = (struct source) { .fd = p[0], .ready = captured, .closed = capture_closed };
	c->job = j;
	c->text = text;
	c->place = place;
	if (loop_add(j->d->loop, &c->source, EPOLLIN, e)) {
		close(p[0]);
		free(c);
		return -1;
	}
	*place = c;
	return 0;
}

static int send_exec(struct job *j, struct container *c, const struct json *p, struct kerr *e)
{
	struct wire_out m, w;
	bool direct;

	wire_begin(&w, WIRE_EXEC);
	wire_str(&w, TAG_ID, c->id);
	put_process(j, &w, json_get(p, "process"));
	direct = !(j->flags & WIRE_TERMINAL);
	if (json_get_bool(p, "interactive", false) || j->stdio[0] >= 0)
		j->flags |= WIRE_KEEP_STDIN;
	j->flags |= WIRE_EXEC_CHILD | WIRE_NO_LOG | (direct ? WIRE_DIRECT_OUT : 0);
	wire_u64(&w, TAG_FLAGS, j->flags);
	wire_fd(&w, WIRE_FD_RUN_DIR, j->run_dir);
	if (j->d->config.cache)
		wire_fd(&w, WIRE_FD_CACHE, j->d->cache_dir);
	wire_begin(&m, WIRE_WATCH);
	wire_str(&m, TAG_ID, c->id);
	wire_str(&m, TAG_UID, c->uid);
	wire_u64(&m, TAG_INSTANCE, c->instance);
	wire_u64(&m, TAG_FLAGS, j->flags);
	for (int i = 0; i < 3; i++)
		wire_fd(direct ? &w : &m,
			i == 0	 ? WIRE_FD_STDIN
			: i == 1 ? WIRE_FD_STDOUT
				 : WIRE_FD_STDERR,
			j->stdio[i]);
	if (link_order_quiet(j->m, &m, e)) {
		buf_free(&w.b);
		return -1;
	}
	return link_send(j->x, &w, e);
}

static int begin_exec(struct job *j, struct container *c, const struct json *p, struct kerr *e)
{
	const struct json *args = json_get(json_get(p, "process"), "args");
	uint64_t most = json_get_u64(p, "captureBytes", CAPTURE_BYTES);

	if (args == NULL || args->type != JSON_ARRAY || args->n == 0)
		return kerr_fail(e, KERR_CONFIG_REQUIRED, 0, "process.args names the program");
	j->captures = json_get_bool(p, "capture", false);
	j->capture_most = most < CAPTURE_MOST ? most : CAPTURE_MOST;
	j->detach = json_get_bool(p, "detach", false);
	if (j->captures && json_get_bool(json_get(p, "process"), "terminal", false))
		return kerr_fail(e, KERR_CONFIG_CONFLICT, 0, "capture and terminal");
	if (take_stdio(j, p, e) ||
		(j->captures && (open_capture(j, &j->out, &j->out_text, &j->stdio[1], e) ||
					open_capture(j, &j->err, &j->err_text, &j->stdio[2], e))))
		return -1;
	j->run_dir = container_dir(j->d, c, e);
	if (j->run_dir < 0 || take_pair(j, e))
		return -1;
	return send_exec(j, c, p, e);
}

void job_exec(struct daemon *d, struct api_call *call, struct container *c)
{
	struct job *j = job_new(d, JOB_EXEC, call);
	CLEANUP_ERR struct kerr e = KERR_INIT;
	char uid[UID_TEXT];

	if (life_ask(c->life, EV_EXEC, c->id, &e) == NULL ||
		begin_exec(j, c, api_call_params(call), &e)) {
		job_give_up(j, &e);
		return;
	}
	uid_new(uid);
	j->exec = mem_zalloc(sizeof *j->exec);
	j->exec->c = c;
	j->exec->job = j;
	snprintf(j->exec->name, sizeof j->exec->name, "exec-%.12s", uid);
	j->exec->next = c->execs;
	c->execs = j->exec;
	/* The ends are the child's: held here they would keep the readers waiting. */
	for (int i = 0; i < 3; i++)
		fd_closep(&j->stdio[i]);
}

static void put_exec(struct job *j, struct json_out *o, bool last)
{
	const struct json *p = api_call_params(j->call);

	json_begin_object(o);
	json_put_string(o, "id", json_get_string(p, "id", ""));
	json_put_string(o, "uid", j->exec->c ? j->exec->c->uid : json_get_string(p, "uid", ""));
	json_put_string(o, "exec", j->exec->name);
	if (j->exec->pid)
		json_put_i64(o, "pid", j->exec->pid);
	if (last && j->exec_exit) {
		json_key(o, "exit");
		json_add_raw(o, j->exec_exit, strlen(j->exec_exit));
	}
	if (last && j->captures) {
		json_key(o, "stdout");
		json_add_bytes(o, buf_str(&j->out_text), j->out_text.len);
		json_key(o, "stderr");
		json_add_bytes(o, buf_str(&j->err_text), j->err_text.len);
		json_put_bool(o, "truncated", j->truncated);
	}
	json_end_object(o);
}

void exec_started(struct job *j, struct wire_in *in)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	j->exec->pid = (pid_t)wire_get_u64(in, TAG_PID, 0);
	j->exec->monitor = j->m;
	loop_untimer(j->d->loop, &j->timer);
	resize_first(j, j->m);
	link_close(j->x);
	j->x = NULL;
	pool_refill_soon(j->d);
	j->told = true;
	if (j->call)
		put_exec(j, &o, false);
	if (j->call && j->detach) {
		api_reply_buf(j->call, &b);
		j->call = NULL;
	} else if (j->call && api_call_more(j->call)) {
		api_reply_more(j->call, b.data, b.len);
	}
	if (j->m == NULL && j->exec_exit == NULL)
		exec_ended(j, NULL);
	else
		exec_finish(j); /* it may have ended already, and its monitor be gone */
}

static void exec_finish(struct job *j)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct execution *x = j->exec;

	if (j->exec_exit == NULL || !j->told || j->out || j->err || x == NULL)
		return;
	if (j->call) {
		put_exec(j, &o, true);
		api_reply_buf(j->call, &b);
		j->call = NULL;
	}
	j->exec = NULL;
	x->job = NULL;
	exec_free(x);
	job_end(j);
}

static void capture_over(struct timer *t)
{
	struct job *j = (struct job *)((char *)t - offsetof(struct job, timer));

	close_capture(j->out);
	close_capture(j->err);
	exec_finish(j);
}

void exec_ended(struct job *j, struct wire_in *in)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	uint64_t code = in ? wire_get_u64(in, TAG_EXIT_CODE, UINT64_MAX) : UINT64_MAX;
	struct exit_record r = { .instance = 1, .ended_wall = clock_wall_ns() };

	if (j->exec_exit)
		return;
	r.signal = in ? (int)wire_get_u64(in, TAG_EXIT_SIGNAL, 0) : 0;
	r.known = r.signal || code != UINT64_MAX;
	r.code = r.signal || code == UINT64_MAX ? 0 : (int)code;
	r.core = in && wire_get_u64(in, TAG_CORE, 0);
	r.oom = in && wire_get_u64(in, TAG_OOM, 0);
	if (in) {
		r.started_wall = wire_get_u64(in, TAG_STARTED_WALL, 0);
		r.started_mono = wire_get_u64(in, TAG_STARTED_MONO, 0);
		r.ended_mono = wire_get_u64(in, TAG_ENDED_MONO, 0);
	}
	r.reason = mem_strdup(r.signal ? "signaled" : r.known ? "exited" : "monitor lost");
	store_exit_json(&o, &r, false);
	exit_record_free(&r);
	j->exec_exit = buf_take(&b);
	if (j->exec)
		j->exec->monitor = NULL;
	if (j->out || j->err) {
		/* A grandchild may hold the pipes for ever. */
		j->timer.fire = capture_over;
		loop_timer(j->d->loop, &j->timer, deadline_in_ms(CAPTURE_AFTER_MS));
	}
	exec_finish(j);
}
