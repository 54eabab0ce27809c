/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run, exec or attach: bytes between our own 0-2 and the ends of pipes that kapseld was given,
 * signals and the window's size as calls of their own, until the last answer and the end of output.
 * Our own 0-2 are never handed out, nor made non-blocking: others share them.
 */
#include "cli.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

enum {
	CHUNK = 32 * 1024,
	WRITE_MOST = 4096, /* PIPE_BUF: what a ready pipe takes without blocking */
	SIDE_MS = 5000,	   /* for a signal's call */
	DRAIN_MS = 3000,   /* for output after the last answer */
	AGAIN_MS = 50,
	AWAY_MS = 30000,
	IMPATIENT = 3 /* so many interrupts that nobody hears end us */
};

/* One direction. Not more than a chunk is held. */
struct flow {
	int from, to; /* -1: closed */
	bool own_from, own_to;
	char *data;
	size_t len, at;
};

struct session {
	struct cli *k;
	struct session_ask *ask;
	struct flow in, out, err;
	int far[4]; /* what kapseld is given; closed once it has answered */
	size_t nfar;
	int signals;
	struct api_client *side;
	struct termios saved;
	bool raw, started, ended, detached, killed;
	bool sink_gone; /* nobody reads what we write */
	unsigned unheard;
	char last_key;
	const char *id, *uid, *exec;
	const struct json *exit; /* the certificate, in k->a */
	deadline drain, again;
	int pending_signal;
};

/* ---- pipes
 * ----------------------------------------------------------------------------------------- */

static int far_add(struct session *s, int fd)
{
	s->far[s->nfar] = fd;
	return (int)s->nfar++;
}

static void far_close(struct session *s)
{
	for (size_t i = 0; i < s->nfar; i++)
		fd_closep(&s->far[i]);
	s->nfar = 0;
}

static int make_pipe(int out[2], struct kerr *e)
{
	if (pipe2(out, O_CLOEXEC) < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "pipe");
	return 0;
}

static void set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		log_debug("fd %d stays blocking", fd);
}

static void flow_open(struct flow *f, int from, int to, bool own_from, bool own_to)
{
	f->from = from;
	f->to = to;
	f->own_from = own_from;
	f->own_to = own_to;
}

static void flow_close(struct flow *f)
{
	if (f->own_from)
		fd_closep(&f->from);
	if (f->own_to)
		fd_closep(&f->to);
	f->from = f->to = -1;
	f->len = f->at = 0;
}

/* A terminal is one socket for both directions; else a pipe for each. */
static int open_terminal(struct session *s, struct json_out *o, struct kerr *e)
{
	int pair[2], n, ours;

	if (socket_pair(SOCK_STREAM, pair, e))
		return -1;
	n = far_add(s, pair[1]);
	set_nonblock(pair[0]);
	flow_open(&s->out, pair[0], 1, true, false);
	json_put_i64(o, "stdout", n);
	if (!s->ask->in)
		return 0;
	ours = fcntl(pair[0], F_DUPFD_CLOEXEC, 3);
	n = far_add(s, fcntl(pair[1], F_DUPFD_CLOEXEC, 3));
	if (ours < 0 || s->far[n] < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "terminal's socket");
	flow_open(&s->in, 0, ours, false, true);
	json_put_i64(o, "stdin", n);
	return 0;
}

static int open_pipes(struct session *s, struct json_out *o, struct kerr *e)
{
	int p[2];

	if (s->ask->in) {
		if (make_pipe(p, e))
			return -1;
		json_put_i64(o, "stdin", far_add(s, p[0]));
		set_nonblock(p[1]);
		flow_open(&s->in, 0, p[1], false, true);
	}
	if (make_pipe(p, e))
		return -1;
	json_put_i64(o, "stdout", far_add(s, p[1]));
	flow_open(&s->out, p[0], 1, true, false);
	if (make_pipe(p, e))
		return -1;
	json_put_i64(o, "stderr", far_add(s, p[1]));
	flow_open(&s->err, p[0], 2, true, false);
	return 0;
}

/* ---- the terminal
 * ------------------------------------------------------------------------------------- */

/* What was typed ahead is taken while the terminal still deals in lines: the kernel keeps an end of
 * input (ctrl-d) as a NUL, and a raw terminal would hand that out. */
static void take_lines(struct session *s)
{
	struct flow *f = &s->in;
	struct pollfd p = { .fd = 0, .events = POLLIN };

	if (f->from != 0 || !(s->saved.c_lflag & ICANON))
		return;
	while (f->len < CHUNK && poll(&p, 1, 0) == 1 && p.revents == POLLIN) {
		ssize_t n = read(0, f->data + f->len, CHUNK - f->len);

		if (n < 0)
			return;
		if (n == 0)
			f->data[f->len++] = (char)s->saved.c_cc[VEOF];
		f->len += (size_t)n;
	}
}

static void make_raw(struct session *s)
{
	struct termios t;

	if (!s->ask->tty || s->raw || !s->ask->in || tcgetattr(0, &s->saved) < 0)
		return;
	take_lines(s);
	t = s->saved;
	cfmakeraw(&t);
	s->raw = tcsetattr(0, TCSANOW, &t) == 0;
}

static void make_cooked(struct session *s)
{
	if (s->raw)
		tcsetattr(0, TCSANOW, &s->saved);
	s->raw = false;
}

/* ---- calls beside the one that runs
 * --------------------------------------------------------------------- */

static int side_call(struct session *s, enum api_method m, const struct buf *params)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_ERR struct kerr e = KERR_INIT;

	for (int i = 0; i < 2; i++) { /* the second time: on a new connection */
		if (s->side == NULL && api_connect(s->k->host, &s->side, &e))
			return -1;
		if (api_call(s->side, a, m, params->data, NULL, 0, NULL, deadline_in_ms(SIDE_MS),
			    &e) == 0)
			return 0;
		if (!api_client_lost(s->side))
			return e.code == KERR_NOT_FOUND || e.code == KERR_DAEMON_MISSING ? -1 : 0;
		api_client_free(s->side);
		s->side = NULL;
	}
	return -1;
}

static void side_begin(struct session *s, struct json_out *o)
{
	json_begin_object(o);
	json_put_string(o, "id", s->id);
	json_put_string(o, "uid", s->uid);
	json_put_string(o, "exec", s->exec);
}

static void resize(struct session *s)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct winsize w;

	if (!s->ask->tty || !s->started || ioctl(0, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
		return;
	side_begin(s, &o);
	json_put_u64(&o, "rows", w.ws_row);
	json_put_u64(&o, "columns", w.ws_col);
	json_end_object(&o);
	side_call(s, API_RESIZE, &b);
}

static void send_kill(struct session *s, int sig)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	if (!s->started) {
		s->pending_signal = sig;
		s->unheard++;
		return;
	}
	side_begin(s, &o);
	json_put_string(&o, "signal", signal_name(sig));
	json_put_string(&o, "request", s->k->request);
	json_end_object(&o);
	if (side_call(s, API_KILL, &b))
		s->unheard++;
	else
		s->unheard = 0;
}

/* Nobody reads, or the time is over: what we started ends with us. */
static void end_it(struct session *s)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	if (s->killed || s->ask->method == API_ATTACH)
		return;
	s->killed = true;
	if (s->ask->exec) {
		send_kill(s, SIGKILL);
		return;
	}
	json_begin_object(&o);
	json_put_string(&o, "id", s->id);
	json_put_string(&o, "uid", s->uid);
	json_put_u64(&o, "timeoutMs", 0);
	json_put_string(&o, "request", s->k->request);
	json_end_object(&o);
	side_call(s, API_STOP, &b);
}

/* ---- signals
 * ------------------------------------------------------------------------------------------------
 */

static int watch_signals(struct session *s, struct kerr *e)
{
	static const int none[] = { SIGKILL, SIGSTOP, SIGCHLD, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT,
		SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGURG };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		sigdelset(&set, none[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? kerr_fail(e, KERR_LIMIT, errno, "signalfd") : 0;
}

static void take_signals(struct session *s)
{
	struct signalfd_siginfo i;

	while (read(s->signals, &i, sizeof i) == sizeof i) {
		if (i.ssi_signo == SIGWINCH)
			resize(s);
		else if (i.ssi_signo != SIGPIPE)
			send_kill(s, (int)i.ssi_signo);
	}
}

/* ---- bytes
 * --------------------------------------------------------------------------------------------------
 */

static bool wants_read(const struct flow *f)
{
	return f->from >= 0 && f->len == 0;
}

static bool wants_write(const struct flow *f)
{
	return f->to >= 0 && f->len > 0;
}

/* 1: bytes came, 0: not now, -1: no more. */
static int flow_read(struct flow *f)
{
	ssize_t n;

	n = read(f->from, f->data, CHUNK);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) /* EIO too: a terminal that has hung up */
		return -1;
	f->len = (size_t)n;
	f->at = 0;
	return 1;
}

static int flow_write(struct flow *f)
{
	size_t most = f->own_to ? f->len : WRITE_MOST;
	ssize_t n = write(f->to, f->data + f->at, f->len < most ? f->len : most);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -1;
	f->at += (size_t)n;
	f->len -= (size_t)n;
	return 0;
}

/* ctrl-p ctrl-q on a terminal leaves the container to itself. */
static bool leaves(struct session *s)
{
	for (size_t i = 0; s->raw && i < s->in.len; i++) {
		if (s->last_key == 16 && s->in.data[i] == 17)
			return true;
		s->last_key = s->in.data[i];
	}
	return false;
}

static void end_input(struct session *s)
{
	if (s->ask->tty && s->in.to >= 0)
		shutdown(s->in.to, SHUT_WR);
	flow_close(&s->in);
}

static void input(struct session *s, short in, short out)
{
	if (in && wants_read(&s->in)) {
		int r = flow_read(&s->in);

		if (r < 0) {
			end_input(s);
			return;
		}
		if (r > 0 && leaves(s)) {
			s->detached = true;
			return;
		}
		out = 1;
	}
	if (out && wants_write(&s->in) && flow_write(&s->in) < 0)
		end_input(s);
}

static void output(struct session *s, struct flow *f, short in, short out)
{
	if (in && wants_read(f)) {
		if (flow_read(f) < 0) {
			flow_close(f);
			return;
		}
		out = 0; /* poll says next whether our own side takes them */
	}
	if (out && wants_write(f) && flow_write(f) < 0) {
		flow_close(f);
		s->sink_gone = true;
	}
}

/* ---- answers
 * ----------------------------------------------------------------------------------------------------
 */

static void on_started(struct session *s, const struct json *p)
{
	s->started = true;
	s->unheard = 0;
	say_warnings(s->k, p);
	far_close(s); /* now only the container holds them: their end is its end */
	s->id = json_get_string(p, "id", s->id);
	s->uid = json_get_string(p, "uid", NULL);
	s->exec = json_get_string(p, "exec", NULL);
	if (s->ask->method == API_ATTACH)
		s->ask->tty = json_get_bool(p, "terminal", false);
	make_raw(s);
	resize(s);
	if (s->pending_signal)
		send_kill(s, s->pending_signal);
	s->pending_signal = 0;
}

static void on_ended(struct session *s, const struct json *p)
{
	s->exit = json_get(p, "exit");
	s->ended = true;
	s->drain = deadline_in_ms(DRAIN_MS);
}

static int answers(struct session *s, struct kerr *e)
{
	struct api_answer a;

	do {
		if (api_receive(s->k->client, s->k->a, &a, 0, e)) {
			/* Nothing has come; kapseld's own Timeout is an answer. */
			if (e->code == KERR_TIMEOUT && a.params == NULL) {
				kerr_clear(e);
				return 0;
			}
			return -1;
		}
		if (!s->started)
			on_started(s, a.params);
		if (!a.continues)
			on_ended(s, a.params);
	} while (!s->ended && api_client_pending(s->k->client));
	return 0;
}

static int ask(struct session *s, struct kerr *e)
{
	return api_send(s->k->client, s->ask->method, s->ask->params.data, API_MORE, s->far,
		s->nfar, talk_deadline(s->k), e);
}

/* What runs already is waited for; what is not known to run is asked for again, with the same
 * words. */
static int ask_again(struct session *s, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	if (!s->started)
		return ask(s, e);
	if (s->ask->exec)
		return kerr_fail(e, KERR_DAEMON_MISSING, 0,
			"kapseld died over an exec: the program runs on, its status is not known "
			"here");
	json_begin_object(&o);
	json_key(&o, "ids");
	json_begin_array(&o);
	json_add_string(&o, s->id);
	json_end_array(&o);
	if (s->uid) {
		json_key(&o, "uids");
		json_begin_object(&o);
		json_put_string(&o, s->id, s->uid);
		json_end_object(&o);
	}
	json_put_string(&o, "until", s->ask->remove ? "removed" : "stopped");
	json_end_object(&o);
	return api_send(s->k->client, API_WAIT, b.data, 0, NULL, 0, talk_deadline(s->k), e);
}

/* The daemon is away: bytes flow on meanwhile. Return: 0 for now, or -1. */
static int lost(struct session *s, struct kerr *e)
{
	struct cli *k = s->k;
	deadline until = k->until;

	if (k->client) {
		api_client_free(k->client);
		k->client = NULL;
		k->cut = clock_mono_ns();
	}
	if (until == DEADLINE_NEVER)
		until = k->cut + AWAY_MS * NS_PER_MS;
	if (api_connect(k->host, &k->client, e) == 0) {
		kerr_clear(e);
		if (ask_again(s, e) == 0) {
			k->cut = 0;
			return 0;
		}
		if (!api_client_lost(k->client))
			return -1;
		api_client_free(k->client); /* it took the call and died of old age */
		k->client = NULL;
	}
	if (e->code != KERR_DAEMON_MISSING || deadline_passed(until))
		return -1;
	kerr_clear(e);
	s->again = deadline_in_ms(AGAIN_MS);
	return 0;
}

/* ---- the loop
 * -------------------------------------------------------------------------------------------------------
 */

static deadline sooner(deadline a, deadline b)
{
	return a < b ? a : b;
}

static bool is_over(const struct session *s)
{
	if (s->detached)
		return true;
	return s->ended && s->out.from < 0 && s->err.from < 0;
}

static int turn(struct session *s, struct kerr *e)
{
	struct cli *k = s->k;
	enum { CLIENT, SIGNALS, IN_FROM, IN_TO, OUT_FROM, OUT_TO, ERR_FROM, ERR_TO, N };
	struct pollfd p[N];
	deadline until = s->killed ? DEADLINE_NEVER : k->until;

	for (int i = 0; i < N; i++)
		p[i] = (struct pollfd) { .fd = -1,
			.events = i == IN_TO || i == OUT_TO || i == ERR_TO ? POLLOUT : POLLIN };
	if (k->client && !s->ended)
		p[CLIENT].fd = api_client_fd(k->client);
	p[SIGNALS].fd = s->signals;
	if (s->started && !s->ended)
		p[IN_FROM].fd = wants_read(&s->in) ? s->in.from : -1;
	p[IN_TO].fd = wants_write(&s->in) ? s->in.to : -1;
	p[OUT_FROM].fd = wants_read(&s->out) ? s->out.from : -1;
	p[OUT_TO].fd = wants_write(&s->out) ? s->out.to : -1;
	p[ERR_FROM].fd = wants_read(&s->err) ? s->err.from : -1;
	p[ERR_TO].fd = wants_write(&s->err) ? s->err.to : -1;
	if (s->ended)
		until = s->drain;
	else if (k->client == NULL)
		until = sooner(until, s->again);
	if (poll(p, N, deadline_left_ms(until)) < 0 && errno != EINTR)
		return kerr_fail(e, KERR_INTERNAL, errno, "poll");
	if (p[SIGNALS].revents)
		take_signals(s);
	input(s, p[IN_FROM].revents, p[IN_TO].revents);
	output(s, &s->out, p[OUT_FROM].revents, p[OUT_TO].revents);
	output(s, &s->err, p[ERR_FROM].revents, p[ERR_TO].revents);
	if (p[CLIENT].revents && answers(s, e)) {
		if (!api_client_lost(k->client) || args_has(k, F_STANDALONE))
			return -1;
		kerr_clear(e);
		return lost(s, e);
	}
	if (k->client == NULL && deadline_passed(s->again))
		return lost(s, e);
	if (s->sink_gone && s->out.from < 0 && s->started)
		end_it(s);
	return 0;
}

static int turns(struct session *s, struct kerr *e)
{
	while (!is_over(s)) {
		if (turn(s, e))
			return -1;
		if (s->ended && deadline_passed(s->drain) && !wants_write(&s->out) &&
			!wants_write(&s->err))
			break; /* something else holds the other end */
		if (s->unheard >= IMPATIENT)
			return kerr_fail(e, KERR_DAEMON_MISSING, 0,
				"interrupted; the container was left to itself");
		if (!s->ended && !s->killed && deadline_passed(s->k->until)) {
			end_it(s);
			return kerr_fail(e, KERR_TIMEOUT, 0,
				"%s was still running when --timeout was over%s", s->id,
				s->ask->method == API_ATTACH ? "" : ", and was killed");
		}
	}
	return 0;
}

static int write_result(struct session *s, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT_PRETTY(&b);

	json_begin_object(&o);
	json_put_string(&o, "id", s->id);
	json_put_string(&o, "uid", s->uid);
	if (s->exit) {
		json_key(&o, "exit");
		json_add_value(&o, s->exit);
	}
	json_end_object(&o);
	buf_addc(&b, '\n');
	return cli_result(s->k, b.data, b.len, e);
}

static int status(struct session *s, struct kerr *e)
{
	if (s->detached)
		return 0;
	if (s->exit == NULL)
		return kerr_fail(e, KERR_MONITOR, 0, "%s has ended, and nobody knows how", s->id);
	if (s->sink_gone && s->killed)
		return 128 + SIGPIPE;
	if (!json_get(s->exit, "code") && !json_get(s->exit, "signal"))
		return kerr_fail(e, KERR_MONITOR, 0, "%s has ended: %s", s->id,
			json_get_string(s->exit, "reason", "nobody knows how"));
	return exit_status(s->exit);
}

static int begin(struct session *s, struct kerr *e)
{
	struct json_out o = JSON_OUT(&s->ask->params);

	o.comma = true;
	o.depth = 1;
	if (s->ask->bundle >= 0)
		json_put_i64(&o, "bundleFd", far_add(s, s->ask->bundle));
	json_key(&o, "stdio");
	json_begin_object(&o);
	if (s->ask->tty ? open_terminal(s, &o, e) : open_pipes(s, &o, e))
		return -1;
	json_end_object(&o);
	json_end_object(&o);
	if (talk_connect(s->k, e) || watch_signals(s, e))
		return -1;
	if (ask(s, e) == 0)
		return 0;
	if (!api_client_lost(s->k->client) || args_has(s->k, F_STANDALONE))
		return -1;
	kerr_clear(e);
	return lost(s, e);
}

static void finish(struct session *s)
{
	make_cooked(s);
	far_close(s);
	flow_close(&s->in);
	flow_close(&s->out);
	flow_close(&s->err);
	fd_closep(&s->signals);
	api_client_free(s->side);
	buf_free(&s->ask->params);
}

int session_run(struct cli *k, struct session_ask *a, struct kerr *e)
{
	static char room[3][CHUNK]; /* pages come as they are needed, and go with the process */
	struct session s = { .k = k,
		.ask = a,
		.in = { .from = -1, .to = -1, .data = room[0] },
		.out = { .from = -1, .to = -1, .data = room[1] },
		.err = { .from = -1, .to = -1, .data = room[2] },
		.id = a->id,
		.signals = -1,
		.drain = DEADLINE_NEVER };
	int r;

	r = begin(&s, e) || turns(&s, e) ? -1 : status(&s, e);
	make_cooked(&s);
	if (r >= 0 && write_result(&s, e))
		r = -1;
	finish(&s);
	return r;
}
