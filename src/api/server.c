/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/api.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	READ_BYTES = 16 * 1024,
	REFUSED_AHEAD = 64, /* so many calls are queued to be answered Limit, then reading waits */
	KEEP_BYTES = 4096,  /* an empty buffer larger than this is given back */
	ACCEPTS = 16,	    /* connections taken a turn */
	JSON_DEPTH = 32,
	JSON_VALUES = 16384,
	REQUEST_BYTES = 64,
};

const struct api_limits api_limits_default = {
	.message_bytes = 1 << 20,
	.calls = 8,
	.half_message_ms = 30000,
	.unsent_bytes = 1 << 20,
	.connections_per_uid = 4096,
	.connections = 8192,
};

/* Who calls: outlives the connection if a call does. */
struct who {
	unsigned refs;
	struct peer peer;
};

struct connection;
struct api_call {
	struct api_server *server;     /* NULL once it has gone */
	struct connection *connection; /* NULL once it has gone */
	struct who *who;
	struct arena *a;
	enum api_method method;
	enum role role;
	const struct json *params;
	const char *request;
	bool more, oneway, given; /* given: the handler has it */
	struct kerr refused;	  /* answered with this when its turn comes */
	const char *raw_error;	  /* org.varlink.service's own errors, and their one parameter */
	const char *raw_key, *raw_value;
	int fds[API_MOST_FDS];
	size_t nfds;
	void (*gone)(struct api_call *c, void *arg);
	void *gone_arg;
	void (*room)(struct api_call *c, void *arg);
	void *room_arg;
	void *data;
	struct api_call *next;		/* in the connection's queue */
	struct api_call **pprev, *also; /* among the server's orphans */
};

struct connection {
	struct source source;
	struct api_server *server;
	struct who *who;
	struct buf in, out;
	size_t scanned; /* of in: no NUL before */
	size_t sent;	/* of out */
	bool skipping;	/* the rest of a message that was too long */
	bool eof;	/* the client will say no more */
	bool closing;	/* ends once out is sent */
	bool pumping, waiting_out;
	uint32_t events;
	struct {
		int fd;
		size_t at; /* in `in`: the byte it came with */
	} fds[2 * SOCKET_MOST_FDS];
	size_t nfds;
	bool fds_over; /* more came than we hold: the message is answered Limit */
	struct timer half;
	struct api_call *head, **tail;
	size_t ncalls;
	struct connection *next, **pprev;
};

struct uid_count {
	uid_t uid;
	size_t n;
};

struct api_server {
	struct loop *loop;
	struct source listener;
	bool listening;
	int spare; /* given up for a moment when all fds are in use */
	const struct api_limits *limits;
	struct api_hooks hooks;
	void *arg;
	struct api_schema *schema;
	struct connection *connections;
	size_t nconnections;
	VEC(struct uid_count) uids;
	struct api_call *orphans;
	bool dying; /* freed by its last source's end */
};

void api_limits_json(const struct api_limits *l, struct json_out *o)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "messageBytes", l->message_bytes },
		{ "callsPerConnection", l->calls },
		{ "halfMessageMs", l->half_message_ms },
		{ "unsentBytes", l->unsent_bytes },
		{ "connectionsPerUid", l->connections_per_uid },
		{ "connections", l->connections },
		{ "fdsPerMessage", API_MOST_FDS },
		{ "requestBytes", REQUEST_BYTES },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_begin_object(o);
		json_put_string(o, "name", rows[i].name);
		json_put_u64(o, "value", rows[i].value);
		json_end_object(o);
	}
}

/* ---- calls' memory
 * -------------------------------------------------------------------------------- */

static void who_drop(struct who *w)
{
	if (--w->refs)
		return;
	peer_free(&w->peer);
	free(w);
}

static struct api_call *call_new(struct connection *c)
{
	struct api_call *call = mem_zalloc(sizeof *call);

	call->server = c->server;
	call->connection = c;
	call->who = c->who;
	call->who->refs++;
	call->method = API_METHOD_COUNT;
	call->a = arena_new();
	*c->tail = call;
	c->tail = &call->next;
	c->ncalls++;
	return call;
}

static void call_free(struct api_call *call)
{
	if (call->pprev) {
		*call->pprev = call->also;
		if (call->also)
			call->also->pprev = call->pprev;
	}
	for (size_t i = 0; i < call->nfds; i++)
		fd_closep(&call->fds[i]);
	kerr_clear(&call->refused);
	who_drop(call->who);
	arena_free(call->a);
	free(call);
}

/* The client is gone, the handler is still at work: nobody will hear the answer. */
static void call_orphan(struct api_call *call)
{
	struct api_server *s = call->server;

	call->connection = NULL;
	call->room = NULL;
	call->also = s->orphans;
	if (call->also)
		call->also->pprev = &call->also;
	call->pprev = &s->orphans;
	s->orphans = call;
}

static void call_end_with_connection(struct api_call *call)
{
	if (call->given && call->gone == NULL) {
		call_orphan(call);
		return;
	}
	if (call->given) {
		call->connection = NULL;
		call->gone(call, call->gone_arg);
	}
	call_free(call);
}

/* ---- sending
 * --------------------------------------------------------------------------------------- */

static size_t unsent(const struct connection *c)
{
	return c->out.len - c->sent;
}

static void connection_end(struct connection *c)
{
	loop_end(c->server->loop, &c->source);
}

static void set_events(struct connection *c)
{
	bool read = !c->eof && !c->closing && c->ncalls < c->server->limits->calls + REFUSED_AHEAD;
	uint32_t events = (read ? (uint32_t)EPOLLIN : 0) | (unsent(c) ? (uint32_t)EPOLLOUT : 0);

	if (events == c->events || c->source.dead)
		return;
	c->events = events;
	if (loop_change(c->server->loop, &c->source, events, NULL))
		connection_end(c);
}

/* What the socket takes at once. */
static void flush(struct connection *c)
{
	while (unsent(c) && !c->source.dead) {
		ssize_t n = send(c->source.fd, c->out.data + c->sent, unsent(c),
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			connection_end(c);
			return;
		}
		c->sent += (size_t)n;
	}
	if (unsent(c) == 0) {
		c->sent = 0;
		if (c->out.cap > KEEP_BYTES)
			buf_free(&c->out);
		else
			buf_reset(&c->out);
		if (c->closing || (c->eof && c->head == NULL))
			connection_end(c);
	}
	set_events(c);
}

/* The limit counts what lies unread before this message: one answer, however long, may always go.
 */
static bool may_send(struct connection *c)
{
	if (c == NULL || c->source.dead || c->closing)
		return false;
	if (unsent(c) < c->server->limits->unsent_bytes)
		return true;
	log_warning("a client of uid %u does not read its answers: dropped at %zu unread bytes",
		(unsigned)c->who->peer.uid, unsent(c));
	connection_end(c);
	return false;
}

static void send_answer(struct connection *c, const char *params, size_t len, bool continues)
{
	if (!may_send(c))
		return;
	buf_adds(&c->out, "{\"parameters\":");
	buf_add(&c->out, params ? params : "{}", params ? len : 2);
	buf_adds(&c->out, continues ? ",\"continues\":true}" : "}");
	buf_addc(&c->out, '\0');
	flush(c);
}

static void send_error(struct connection *c, const char *interface, const struct kerr *e)
{
	struct json_out o = JSON_OUT(&c->out);

	if (!may_send(c))
		return;
	json_begin_object(&o);
	json_key(&o, "error");
	json_add_string(&o, interface);
	json_key(&o, "parameters");
	json_begin_object(&o);
	json_put_kerr(&o, e);
	json_end_object(&o);
	json_end_object(&o);
	buf_addc(&c->out, '\0');
	flush(c);
}

static void send_raw_error(struct connection *c, const struct api_call *call)
{
	struct json_out o = JSON_OUT(&c->out);

	if (!may_send(c))
		return;
	json_begin_object(&o);
	json_put_string(&o, "error", call->raw_error);
	json_key(&o, "parameters");
	json_begin_object(&o);
	json_put_string(&o, call->raw_key, call->raw_value);
	json_end_object(&o);
	json_end_object(&o);
	buf_addc(&c->out, '\0');
	flush(c);
}

static char *error_name(struct arena *a, enum api_method m, const struct kerr *e)
{
	const char *node = "io.kapsel.Node.", *containers = "io.kapsel.Containers.";
	bool is_node = m < API_METHOD_COUNT && str_starts(api_method(m)->name, node);

	return arena_printf(
		a, "%s%s", is_node ? node : containers, api_error_name(kerr_row(e->code)->api));
}

/* ---- answering
 * -------------------------------------------------------------------------------------- */

static void pump(struct connection *c);

/* Takes the answered call, the first of its connection, out of the queue, and goes on to the next.
 */
static void finish(struct api_call *call)
{
	struct connection *c = call->connection;

	if (c) {
		c->head = call->next;
		if (c->head == NULL)
			c->tail = &c->head;
		c->ncalls--;
	}
	call_free(call);
	if (c == NULL || c->source.dead)
		return;
	pump(c);
	if (c->eof && c->head == NULL && unsent(c) == 0)
		connection_end(c);
	set_events(c);
}

static void audit(const struct api_call *call, const struct kerr *result)
{
	struct api_server *s = call->server;
	bool known = call->method < API_METHOD_COUNT;
	bool refused = result && kerr_row(result->code)->api == API_DENIED;

	if (s && s->hooks.audit && known && (refused || api_method(call->method)->changes))
		s->hooks.audit(s->arg, call, result);
}

void api_reply(struct api_call *call, const char *params, size_t len)
{
	audit(call, NULL);
	if (!call->oneway)
		send_answer(call->connection, params, len, false);
	finish(call);
}

void api_reply_buf(struct api_call *call, const struct buf *params)
{
	api_reply(call, params->data, params->len);
}

void api_reply_more(struct api_call *call, const char *params, size_t len)
{
	if (!call->oneway)
		send_answer(call->connection, params, len, true);
}

void api_fail(struct api_call *call, const struct kerr *e)
{
	audit(call, e);
	if (!call->oneway && call->connection)
		send_error(call->connection, error_name(call->a, call->method, e), e);
	finish(call);
}

/* ---- org.varlink.service
 * ------------------------------------------------------------------------------ */

static void get_info(struct api_call *call)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	json_begin_object(&o);
	json_put_string(&o, "vendor", "Kapsel");
	json_put_string(&o, "product", "kapseld");
	json_put_string(&o, "version", KAPSEL_VERSION);
	json_put_string(&o, "url", "https://varlink.org");
	json_key(&o, "interfaces");
	json_begin_array(&o);
	for (size_t i = 0; api_interface(i); i++)
		json_add_string(&o, api_interface(i));
	json_end_array(&o);
	json_end_object(&o);
	api_reply_buf(call, &b);
}

static void service_error(
	struct api_call *call, const char *error, const char *key, const char *value)
{
	call->raw_error = error;
	call->raw_key = key;
	call->raw_value = value;
}

static void answer_raw(struct api_call *call)
{
	if (!call->oneway && call->connection)
		send_raw_error(call->connection, call);
	finish(call);
}

static void get_interface(struct api_call *call)
{
	const char *name = json_get_string(call->params, "interface", "");
	const char *text = api_interface_text(name);
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	if (text == NULL) {
		service_error(call, "org.varlink.service.InterfaceNotFound", "interface", name);
		answer_raw(call);
		return;
	}
	json_begin_object(&o);
	json_put_string(&o, "description", text);
	json_end_object(&o);
	api_reply_buf(call, &b);
}

/* ---- dispatch
 * -------------------------------------------------------------------------------------------- */

static int allow(struct api_call *call, struct kerr *e)
{
	const struct api_method_row *row = api_method(call->method);
	struct api_server *s = call->server;

	call->role = s->hooks.role ? s->hooks.role(s->arg, &call->who->peer) : ROLE_NONE;
	if (call->role >= row->role)
		return 0;
	return kerr_fail(e, KERR_DENIED, 0, "%s needs the role %s, and uid %u has %s", row->name,
		role_name(row->role), (unsigned)call->who->peer.uid,
		call->role == ROLE_NONE ? "none" : role_name(call->role));
}

static void give(struct api_call *call)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	call->given = true;
	if (call->raw_error)
		answer_raw(call);
	else if (kerr_is_set(&call->refused))
		api_fail(call, &call->refused);
	else if (allow(call, &e) ||
		 api_check_in(call->server->schema, call->method, call->params, &e))
		api_fail(call, &e);
	else if (call->method == API_GET_INFO)
		get_info(call);
	else if (call->method == API_GET_INTERFACE)
		get_interface(call);
	else
		call->server->hooks.call(call->server->arg, call);
}

/* varlink answers in the order of the calls: the next begins when the one before has ended. */
static void pump(struct connection *c)
{
	if (c->pumping)
		return;
	c->pumping = true;
	while (!c->source.dead && c->head && !c->head->given)
		give(c->head);
	c->pumping = false;
}

/* ---- parsing
 * -----------------------------------------------------------------------------------------------
 */

static int read_envelope(struct api_call *call, const struct json *m, struct kerr *e)
{
	const struct json *params = json_get(m, "parameters");
	bool upgrade = false;

	if (m->type != JSON_OBJECT)
		return json_fail(e, KERR_CONFIG_TYPE, m, "a call must be an object");
	json_each(v, m)
	{
		bool ignored;

		if (str_eq(v->key, "method") || str_eq(v->key, "parameters"))
			continue;
		if (!str_eq(v->key, "more") && !str_eq(v->key, "oneway") &&
			!str_eq(v->key, "upgrade"))
			return json_fail(e, KERR_CONFIG_UNKNOWN, v,
				"the field \"%.64s\" is not known here", v->key);
		if (v->type != JSON_NULL && json_bool(v, &ignored, e))
			return -1;
	}
	call->more = json_get_bool(m, "more", false);
	call->oneway = json_get_bool(m, "oneway", false);
	upgrade = json_get_bool(m, "upgrade", false);
	if (params && params->type != JSON_NULL && params->type != JSON_OBJECT)
		return json_fail(e, KERR_CONFIG_TYPE, params, "parameters must be an object");
	call->params = params && params->type == JSON_OBJECT ? params : NULL;
	if (upgrade)
		return kerr_fail(
			e, KERR_UNSUPPORTED, 0, "upgrade: no method takes over the connection");
	return 0;
}

static const struct json *empty_object(struct arena *a)
{
	struct json *v = arena_alloc(a, sizeof *v);

	v->type = JSON_OBJECT;
	v->line = v->column = 1;
	return v;
}

static bool interface_known(const char *method)
{
	const char *dot = strrchr(method, '.');

	for (size_t i = 0; dot && api_interface(i); i++)
		if (strlen(api_interface(i)) == (size_t)(dot - method) &&
			str_starts(method, api_interface(i)))
			return true;
	return false;
}

static int read_method(struct api_call *call, const struct json *m, struct kerr *e)
{
	const struct json *v = json_get(m, "method");
	const char *name, *dot;
	int known;

	if (v == NULL)
		return json_fail(e, KERR_CONFIG_REQUIRED, m, "the field \"method\" is missing");
	if (json_string(v, &name, e))
		return -1;
	known = api_method_by_name(name);
	dot = strrchr(name, '.');
	if (known >= 0)
		call->method = (enum api_method)known;
	else if (interface_known(name))
		service_error(call, "org.varlink.service.MethodNotFound", "method", name);
	else
		service_error(call, "org.varlink.service.InterfaceNotFound", "interface",
			arena_strndup(call->a, name, dot ? (size_t)(dot - name) : strlen(name)));
	return 0;
}

static int read_request(struct api_call *call, struct kerr *e)
{
	const struct json *v = json_get(call->params, "request");

	if (v == NULL || v->type != JSON_STRING)
		return 0;
	if (v->len > REQUEST_BYTES)
		return json_fail(e, KERR_LIMIT, v,
			"requestBytes: request has %zu bytes, and may have %d", v->len,
			REQUEST_BYTES);
	call->request = v->text;
	return 0;
}

static int read_call(struct api_call *call, const char *text, size_t len, struct kerr *e)
{
	const struct json_limits limits = {
		.bytes = len + 1, .depth = JSON_DEPTH, .values = JSON_VALUES
	};
	const struct json *m = json_parse(call->a, text, len, &limits, e);

	if (m == NULL || read_envelope(call, m, e) || read_method(call, m, e) ||
		read_request(call, e))
		return -1;
	if (call->params == NULL)
		call->params = empty_object(call->a);
	return 0;
}

/* The fds that came with bytes up to @end go to @call; more than allowed are closed. */
static void take_fds(struct connection *c, struct api_call *call, size_t end)
{
	size_t kept = 0;
	bool over = c->fds_over;

	for (size_t i = 0; i < c->nfds; i++) {
		if (c->fds[i].at >= end) {
			c->fds[kept++] = c->fds[i];
		} else if (call && call->nfds < API_MOST_FDS) {
			call->fds[call->nfds++] = c->fds[i].fd;
		} else {
			close(c->fds[i].fd);
			over = true;
		}
	}
	c->nfds = kept;
	c->fds_over = false;
	if (call && over)
		kerr_fail(&call->refused, KERR_LIMIT, 0,
			"fdsPerMessage: at most %d fds beside a message", API_MOST_FDS);
}

static void message(struct connection *c, const char *text, size_t len, size_t end)
{
	bool over = c->ncalls >= c->server->limits->calls;
	struct api_call *call = call_new(c);
	CLEANUP_ERR struct kerr e = KERR_INIT;

	take_fds(c, call, end);
	if (read_call(call, text, len, &e)) {
		kerr_step(&e, "request");
		kerr_move(&call->refused, &e);
	} else if (over) {
		kerr_fail(&call->refused, KERR_LIMIT, 0,
			"callsPerConnection: %llu calls of this connection are in flight",
			(unsigned long long)c->server->limits->calls);
		call->raw_error = NULL;
	}
}

static void too_long(struct connection *c)
{
	struct api_call *call = call_new(c);

	kerr_fail(&call->refused, KERR_LIMIT, 0, "messageBytes: a call may have %llu bytes",
		(unsigned long long)c->server->limits->message_bytes);
}

/* Cuts whole messages off the front of `in`; true: there were some. */
static bool cut(struct connection *c)
{
	bool whole = false;
	size_t from = 0;

	for (;;) {
		char *nul = c->in.len > c->scanned
				    ? memchr(c->in.data + c->scanned, '\0', c->in.len - c->scanned)
				    : NULL;
		size_t end;

		if (nul == NULL)
			break;
		end = (size_t)(nul - c->in.data) + 1;
		if (c->skipping || end - from - 1 > c->server->limits->message_bytes) {
			take_fds(c, NULL, end);
			too_long(c);
			c->skipping = false;
		} else {
			message(c, c->in.data + from, end - from - 1, end);
		}
		from = c->scanned = end;
		whole = true;
	}
	c->scanned = c->in.len;
	if (c->skipping || c->in.len - from > c->server->limits->message_bytes) {
		take_fds(c, NULL, SIZE_MAX);
		c->skipping = true;
		from = c->in.len;
	}
	for (size_t i = 0; i < c->nfds; i++)
		c->fds[i].at -= from;
	c->scanned -= from;
	buf_drop(&c->in, from);
	if (c->in.len == 0 && c->in.cap > KEEP_BYTES)
		buf_free(&c->in);
	return whole;
}

static void feed(struct connection *c, const char *data, size_t len, const int *fds, size_t nfds)
{
	struct loop *l = c->server->loop;

	buf_add(&c->in, data, len);
	for (size_t i = 0; i < nfds; i++) {
		if (c->nfds == ARRAY_LEN(c->fds)) {
			close(fds[i]);
			c->fds_over = true;
			continue;
		}
		c->fds[c->nfds].fd = fds[i];
		c->fds[c->nfds++].at = c->in.len - 1;
	}
	if (cut(c) || (c->in.len == 0 && !c->skipping))
		loop_untimer(l, &c->half);
	if ((c->in.len || c->skipping) && c->half.slot == 0)
		loop_timer(l, &c->half, deadline_in_ms(c->server->limits->half_message_ms));
	pump(c);
	set_events(c);
}

/* ---- connections
 * --------------------------------------------------------------------------------------------- */

static void half_message(struct timer *t)
{
	struct connection *c = (struct connection *)((char *)t - offsetof(struct connection, half));
	CLEANUP_ERR struct kerr e = KERR_INIT;

	kerr_fail(&e, KERR_LIMIT, 0,
		"halfMessageMs: the rest of a call did not come within %llu ms",
		(unsigned long long)c->server->limits->half_message_ms);
	if (c->head == NULL)
		send_error(c, "io.kapsel.Containers.Limit", &e);
	c->closing = true;
	flush(c);
}

static enum source_answer connection_ready(struct source *s, uint32_t events)
{
	struct connection *c =
		(struct connection *)((char *)s - offsetof(struct connection, source));
	CLEANUP_ERR struct kerr e = KERR_INIT;
	char data[READ_BYTES];
	int fds[SOCKET_MOST_FDS];
	size_t nfds = 0;
	ssize_t n;

	if (events & EPOLLOUT) {
		flush(c);
		if (c->source.dead)
			return SOURCE_KEEP;
		if (c->head && c->head->room && unsent(c) < c->server->limits->unsent_bytes / 2) {
			void (*room)(struct api_call *, void *) = c->head->room;

			c->head->room = NULL;
			room(c->head, c->head->room_arg);
			if (c->source.dead)
				return SOURCE_KEEP;
		}
	}
	if ((events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
		return SOURCE_DONE;
	if (!(events & EPOLLIN) || !(c->events & EPOLLIN))
		return SOURCE_KEEP;
	n = socket_recv(s->fd, data, sizeof data, fds, &nfds, 0, &e);
	if (n < 0 && e.code == KERR_TIMEOUT)
		return SOURCE_KEEP;
	if (n < 0 || (n == 0 && (events & EPOLLHUP)))
		return SOURCE_DONE;
	if (n > 0) {
		feed(c, data, (size_t)n, fds, nfds);
		return SOURCE_KEEP;
	}
	c->eof = true;
	if (c->head == NULL && unsent(c) == 0)
		return SOURCE_DONE;
	set_events(c);
	return SOURCE_KEEP;
}

static void uid_gone(struct api_server *s, uid_t uid)
{
	for (size_t i = 0; i < s->uids.n; i++)
		if (s->uids.v[i].uid == uid && --s->uids.v[i].n == 0) {
			s->uids.v[i] = s->uids.v[--s->uids.n];
			return;
		}
}

static size_t *uid_count(struct api_server *s, uid_t uid)
{
	struct uid_count *u;

	for (size_t i = 0; i < s->uids.n; i++)
		if (s->uids.v[i].uid == uid)
			return &s->uids.v[i].n;
	u = &vec_push(&s->uids);
	*u = (struct uid_count) { .uid = uid };
	return &u->n;
}

/* The calls end at once, the memory when the loop lets go of it. */
static void end_calls(struct connection *c)
{
	struct api_call *call = c->head;

	c->head = NULL;
	c->tail = &c->head;
	c->ncalls = 0;
	while (call) {
		struct api_call *next = call->next;

		call_end_with_connection(call);
		call = next;
	}
	loop_untimer(c->server->loop, &c->half);
}

static void server_maybe_free(struct api_server *s)
{
	if (!s->dying || s->connections || s->listening)
		return;
	fd_closep(&s->spare);
	api_schema_free(s->schema);
	vec_free(&s->uids);
	free(s);
}

static void connection_closed(struct source *src)
{
	struct connection *c =
		(struct connection *)((char *)src - offsetof(struct connection, source));
	struct api_server *s = c->server;

	end_calls(c);
	for (size_t i = 0; i < c->nfds; i++)
		close(c->fds[i].fd);
	*c->pprev = c->next;
	if (c->next)
		c->next->pprev = c->pprev;
	s->nconnections--;
	uid_gone(s, c->who->peer.uid);
	who_drop(c->who);
	buf_free(&c->in);
	buf_free(&c->out);
	free(c);
	server_maybe_free(s);
}

static struct connection *connection_new(struct api_server *s, int fd, struct who *who)
{
	struct connection *c = mem_zalloc(sizeof *c);

	c->server = s;
	c->who = who;
	c->source.fd = fd;
	c->source.ready = connection_ready;
	c->source.closed = connection_closed;
	c->half.fire = half_message;
	c->tail = &c->head;
	c->events = EPOLLIN;
	c->next = s->connections;
	if (c->next)
		c->next->pprev = &c->next;
	c->pprev = &s->connections;
	s->connections = c;
	s->nconnections++;
	(*uid_count(s, who->peer.uid))++;
	return c;
}

/* May this client have a place? The last one of all, and of each uid, is for admin. */
static int admit(struct api_server *s, const struct peer *p, struct kerr *e)
{
	enum role role = s->hooks.role ? s->hooks.role(s->arg, p) : ROLE_NONE;
	uint64_t own = role == ROLE_ADMIN ? 1 : 0;
	uint64_t all = s->limits->connections, each = s->limits->connections_per_uid;
	size_t n = 0;

	for (size_t i = 0; i < s->uids.n; i++)
		if (s->uids.v[i].uid == p->uid)
			n = s->uids.v[i].n;
	if (n >= each)
		return kerr_fail(e, KERR_LIMIT, 0, "connectionsPerUid: uid %u has %zu connections",
			(unsigned)p->uid, n);
	if (s->nconnections + 1 > all - 1 + own)
		return kerr_fail(e, KERR_LIMIT, 0, "connections: there are %zu", s->nconnections);
	return 0;
}

static void refuse(struct api_server *s, int fd, const struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	(void)s;
	json_begin_object(&o);
	json_put_string(&o, "error", "io.kapsel.Containers.Limit");
	json_key(&o, "parameters");
	json_begin_object(&o);
	json_put_kerr(&o, e);
	json_end_object(&o);
	json_end_object(&o);
	if (send(fd, b.data, b.len + 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("a refused client did not hear why");
}

int api_server_adopt(struct api_server *s, int fd_owned, struct kerr *e)
{
	CLEANUP_FD int fd = fd_owned;
	struct who *who = mem_zalloc(sizeof *who);
	struct connection *c;

	who->refs = 1;
	if (socket_peer(fd, &who->peer, e) || admit(s, &who->peer, e)) {
		if (e && e->code == KERR_LIMIT)
			refuse(s, fd, e);
		who_drop(who);
		return -1;
	}
	c = connection_new(s, fd_take(&fd), who);
	if (loop_add(s->loop, &c->source, EPOLLIN, e)) {
		fd_closep(&c->source.fd);
		connection_closed(&c->source);
		return -1;
	}
	return 0;
}

/* All fds are in use: with the spare one a client can still be told so. */
static void accept_without_fds(struct api_server *s)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int fd;

	fd_closep(&s->spare);
	fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		kerr_fail(&e, KERR_LIMIT, EMFILE,
			"fileDescriptors: kapseld has none for one more client");
		refuse(s, fd, &e);
		close(fd);
	}
	s->spare = eventfd(0, EFD_CLOEXEC);
}

static enum source_answer listener_ready(struct source *src, uint32_t events)
{
	struct api_server *s =
		(struct api_server *)((char *)src - offsetof(struct api_server, listener));

	(void)events;
	for (int i = 0; i < ACCEPTS; i++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			accept_without_fds(s);
			break;
		}
		if (fd < 0)
			break;
		if (api_server_adopt(s, fd, &e))
			log_warning("a client was refused: %s", e.message);
	}
	return SOURCE_KEEP;
}

static void listener_closed(struct source *src)
{
	struct api_server *s =
		(struct api_server *)((char *)src - offsetof(struct api_server, listener));

	s->listening = false;
	server_maybe_free(s);
}

/* ---- the server
 * -------------------------------------------------------------------------------------------------
 */

static int server_listen(struct api_server *s, int fd, struct kerr *e)
{
	int flags = fcntl(fd, F_GETFL);

	if (fd < 0)
		return 0;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		close(fd);
		return kerr_fail(e, KERR_INTERNAL, errno, "the listening socket");
	}
	s->listener.fd = fd;
	s->listener.ready = listener_ready;
	s->listener.closed = listener_closed;
	if (loop_add(s->loop, &s->listener, EPOLLIN, e)) {
		close(fd);
		return -1;
	}
	s->listening = true;
	return 0;
}

int api_server_new(struct loop *l, int listener, const struct api_limits *limits,
	const struct api_hooks *hooks, void *arg, struct api_server **out, struct kerr *e)
{
	struct api_server *s = mem_zalloc(sizeof *s);

	s->loop = l;
	s->limits = limits ? limits : &api_limits_default;
	s->hooks = *hooks;
	s->arg = arg;
	s->listener.fd = -1;
	s->spare = eventfd(0, EFD_CLOEXEC);
	if (api_schema_new(&s->schema, e)) {
		fd_closep(&listener);
		api_server_free(s);
		return -1;
	}
	if (server_listen(s, listener, e)) {
		api_server_free(s);
		return -1;
	}
	*out = s;
	return 0;
}

void api_server_deafen(struct api_server *s)
{
	if (s->listening)
		loop_end(s->loop, &s->listener);
}

void api_server_free(struct api_server *s)
{
	if (s == NULL)
		return;
	api_server_deafen(s);
	for (struct connection *c = s->connections; c; c = c->next) {
		connection_end(c);
		end_calls(c);
	}
	for (struct api_call *call = s->orphans, *next; call; call = next) {
		next = call->also;
		call->server = NULL;
		call->pprev = NULL;
		call->also = NULL;
	}
	s->orphans = NULL;
	s->dying = true;
	server_maybe_free(s);
}

size_t api_server_connections(const struct api_server *s)
{
	return s->nconnections;
}

void api_server_feed(struct api_server *s, const void *data, size_t len)
{
	for (struct connection *c = s->connections; c; c = c->next)
		if (!c->source.dead) {
			feed(c, data, len, NULL, 0);
			return;
		}
}

/* ---- what a handler asks
 * ------------------------------------------------------------------------------------------ */

enum api_method api_call_method(const struct api_call *c)
{
	return c->method;
}

const struct json *api_call_params(const struct api_call *c)
{
	return c->params;
}

const struct peer *api_call_peer(const struct api_call *c)
{
	return &c->who->peer;
}

enum role api_call_role(const struct api_call *c)
{
	return c->role;
}

bool api_call_more(const struct api_call *c)
{
	return c->more && !c->oneway && api_method(c->method)->more;
}

const char *api_call_request(const struct api_call *c)
{
	return c->request;
}

struct arena *api_call_arena(struct api_call *c)
{
	return c->a;
}

void api_call_set_data(struct api_call *c, void *data)
{
	c->data = data;
}

void *api_call_data(const struct api_call *c)
{
	return c->data;
}

int api_call_take_fd(struct api_call *c, const struct json *in, const char *name, struct kerr *e)
{
	const struct json *v = json_get(in, name);
	uint64_t n;

	if (v == NULL || v->type == JSON_NULL)
		return -1;
	if (json_u64(v, 0, UINT32_MAX, &n, e))
		return -1;
	if (n >= c->nfds || c->fds[n] < 0)
		return json_fail(e, KERR_CONFIG_VALUE, v,
			"no fd %llu came beside the call, or it was named twice: %zu came",
			(unsigned long long)n, c->nfds);
	return fd_take(&c->fds[n]);
}

void api_call_gone(struct api_call *c, void (*gone)(struct api_call *c, void *arg), void *arg)
{
	c->gone = gone;
	c->gone_arg = arg;
}

size_t api_call_unsent(const struct api_call *c)
{
	return c->connection ? unsent(c->connection) : 0;
}

void api_call_on_room(struct api_call *c, void (*room)(struct api_call *c, void *arg), void *arg)
{
	c->room = room;
	c->room_arg = arg;
}
