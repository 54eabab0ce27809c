/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/api.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };
#define MOST_BYTES ((size_t)64 << 20) /* one answer: a list of all containers of a node */

struct api_client {
	int fd;
	struct buf in;
	size_t scanned; /* of in: no NUL before */
	bool lost;
};

struct api_client *api_client_on(int fd)
{
	struct api_client *c = mem_zalloc(sizeof *c);

	c->fd = fd;
	return c;
}

int api_connect(const char *path, struct api_client **out, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	int fd = path_connect_host(path, SOCK_STREAM, &why);

	if (fd < 0 && (why.sys == EACCES || why.sys == EPERM))
		return kerr_fail(e, KERR_DAEMON_DENIED, why.sys, "you may not connect to %s", path);
	if (fd < 0)
		return kerr_fail(e, KERR_DAEMON_MISSING, why.sys, "no kapseld answers at %s", path);
	*out = api_client_on(fd);
	return 0;
}

void api_client_free(struct api_client *c)
{
	if (c == NULL)
		return;
	fd_closep(&c->fd);
	buf_free(&c->in);
	free(c);
}

void api_client_freep(struct api_client **c)
{
	api_client_free(*c);
}

int api_client_fd(const struct api_client *c)
{
	return c->fd;
}

bool api_client_lost(const struct api_client *c)
{
	return c->lost;
}

/* ---- sending
 * ---------------------------------------------------------------------------------------- */

static int send_failed(struct api_client *c, struct kerr *e)
{
	if (e && (e->sys == EPIPE || e->sys == ECONNRESET)) {
		c->lost = true;
		return kerr_fail(e, KERR_DAEMON_MISSING, e->sys, "the connection ended");
	}
	return -1;
}

/* The fds go with the first bytes: whoever reads them has not yet seen another message's end. */
static int send_all(struct api_client *c, const char *data, size_t len, const int *fds, size_t nfds,
	deadline d, struct kerr *e)
{
	for (size_t at = 0; at < len; nfds = 0) {
		ssize_t n = socket_send(c->fd, data + at, len - at, fds, nfds, d, e);

		if (n < 0)
			return send_failed(c, e);
		at += (size_t)n;
	}
	return 0;
}

int api_send_name(struct api_client *c, const char *method, const char *params, unsigned flags,
	const int *fds, size_t nfds, deadline d, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	json_begin_object(&o);
	json_put_string(&o, "method", method);
	if (params) {
		json_key(&o, "parameters");
		json_add_raw(&o, params, strlen(params));
	}
	if (flags & API_MORE)
		json_put_bool(&o, "more", true);
	if (flags & API_ONEWAY)
		json_put_bool(&o, "oneway", true);
	json_end_object(&o);
	return send_all(c, b.data, b.len + 1, fds, nfds, d, e);
}

int api_send(struct api_client *c, enum api_method m, const char *params, unsigned flags,
	const int *fds, size_t nfds, deadline d, struct kerr *e)
{
	return api_send_name(c, api_method(m)->name, params, flags, fds, nfds, d, e);
}

/* ---- receiving
 * ---------------------------------------------------------------------------------------- */

static char *whole(const struct api_client *c, size_t from)
{
	return c->in.len > from ? memchr(c->in.data + from, '\0', c->in.len - from) : NULL;
}

bool api_client_pending(const struct api_client *c)
{
	return whole(c, 0) != NULL;
}

static int fill(struct api_client *c, deadline d, struct kerr *e)
{
	while (whole(c, c->scanned) == NULL) {
		char data[READ_BYTES];
		ssize_t n = socket_recv(c->fd, data, sizeof data, NULL, NULL, d, e);

		if (n < 0)
			return -1;
		if (n == 0) {
			c->lost = true;
			return kerr_fail(e, KERR_DAEMON_MISSING, 0,
				"kapseld ended the connection before it answered");
		}
		c->scanned = c->in.len;
		if (c->in.len > MOST_BYTES)
			return kerr_fail(
				e, KERR_WIRE, 0, "an answer is longer than %zu bytes", MOST_BYTES);
		buf_add(&c->in, data, (size_t)n);
	}
	return 0;
}

static int failed(const struct json *m, struct kerr *e)
{
	const char *error = json_get_string(m, "error", "");
	const struct json *p = json_get(m, "parameters");

	if (e == NULL)
		return -1;
	if (json_get(p, "code")) {
		json_get_kerr(p, e);
		return -1;
	}
	if (str_eq(error, "org.varlink.service.MethodNotFound"))
		return kerr_fail(e, KERR_UNSUPPORTED, 0, "this kapseld does not know the method %s",
			json_get_string(p, "method", "?"));
	if (str_eq(error, "org.varlink.service.InterfaceNotFound"))
		return kerr_fail(e, KERR_UNSUPPORTED, 0,
			"what answers does not know the interface %s",
			json_get_string(p, "interface", "?"));
	return kerr_fail(e, KERR_WIRE, 0, "the daemon answered %s", error);
}

static int read_answer(const struct json *m, struct api_answer *out, struct kerr *e)
{
	if (m == NULL)
		return kerr_step(e, "answer");
	if (m->type != JSON_OBJECT)
		return kerr_fail(e, KERR_WIRE, 0, "an answer that is no object");
	out->continues = json_get_bool(m, "continues", false);
	out->params = json_get(m, "parameters");
	return json_get(m, "error") ? failed(m, e) : 0;
}

int api_receive(
	struct api_client *c, struct arena *a, struct api_answer *out, deadline d, struct kerr *e)
{
	const struct json_limits limits = { .bytes = MOST_BYTES + READ_BYTES,
		.values = 10 * 1000 * 1000 };
	size_t len;
	int r;

	*out = (struct api_answer) { 0 };
	if (fill(c, d, e))
		return -1;
	len = strlen(c->in.data);
	r = read_answer(json_parse(a, c->in.data, len, &limits, e), out, e);
	buf_drop(&c->in, len + 1);
	c->scanned = 0;
	return r;
}

int api_call(struct api_client *c, struct arena *a, enum api_method m, const char *params,
	const int *fds, size_t nfds, const struct json **out, deadline d, struct kerr *e)
{
	struct api_answer answer;

	if (api_send(c, m, params, 0, fds, nfds, d, e) || api_receive(c, a, &answer, d, e))
		return -1;
	if (out)
		*out = answer.params;
	return 0;
}
