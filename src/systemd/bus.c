/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to systemd's manager: its own socket, or a message bus. Whatever comes, and however
 * slowly, the deadline and the bounds hold. */
#include "private.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 512, SIGNALS_BYTES = 64 << 20 };

static const char manager[] = "org.freedesktop.systemd1.Manager";

void bus_close(struct bus *b)
{
	fd_closep(&b->fd);
	buf_free(&b->in);
	free(b->job);
	free(b->result);
	free(b->result_sender);
	b->job = b->result = b->result_sender = NULL;
}

/* ---- bytes
 * -----------------------------------------------------------------------------------------------
 */

static int lost(struct kerr *e)
{
	return kerr_fail(e, KERR_SYSTEMD, 0, "systemd has closed the connection");
}

static int send_all(struct bus *b, const void *data, size_t len, struct kerr *e)
{
	const char *p = data;

	while (len) {
		ssize_t n = socket_send(b->fd, p, len, NULL, 0, b->d, e);

		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive(struct bus *b, size_t most, struct kerr *e)
{
	char some[4096];
	ssize_t n;

	if (deadline_passed(b->d))
		return kerr_fail(e, KERR_TIMEOUT, 0, "waited for systemd's answer");
	n = socket_recv(b->fd, some, most < sizeof some ? most : sizeof some, NULL, NULL, b->d, e);
	if (n < 0)
		return kerr_step(e, "systemd's answer");
	if (n == 0)
		return lost(e);
	buf_add(&b->in, some, (size_t)n);
	return 0;
}

/* ---- who we are: D-Bus specification, "Authentication Protocol"
 * --------------------------------- */

static int read_line(struct bus *b, char line[static LINE_BYTES], struct kerr *e)
{
	const char *end;
	size_t n;

	while ((end = memmem(buf_str(&b->in), b->in.len, "\r\n", 2)) == NULL) {
		if (b->in.len >= LINE_BYTES)
			return kerr_fail(e, KERR_SYSTEMD, 0, "systemd's greeting does not end");
		if (receive(b, LINE_BYTES, e))
			return -1;
	}
	n = (size_t)(end - b->in.data);
	if (n >= LINE_BYTES)
		return kerr_fail(e, KERR_SYSTEMD, 0, "systemd's greeting is too long");
	memcpy(line, b->in.data, n);
	line[n] = '\0';
	buf_drop(&b->in, n + 2);
	return 0;
}

/* Our number is the kernel's to say: in a user namespace we do not know it ourselves. All is said
 * at once, as libsystemd does: a manager that reads BEGIN together with a call waits for another
 * byte before it looks at the call. */
static int authenticate(struct bus *b, struct kerr *e)
{
	static const char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
	char first[LINE_BYTES], second[LINE_BYTES];

	if (send_all(b, hello, sizeof hello - 1, e) || read_line(b, first, e))
		return -1;
	/* Older ones ask for no data, and complain of what they get. */
	if ((str_starts(first, "DATA") || str_starts(first, "OK")) && read_line(b, second, e))
		return -1;
	if (str_starts(first, "OK") || (str_starts(first, "DATA") && str_starts(second, "OK")))
		return 0;
	return kerr_fail(e, KERR_SYSTEMD, 0, "systemd does not let us in: %.60s", first);
}

/* ---- messages
 * -------------------------------------------------------------------------------------------- */

static int next_message(struct bus *b, struct dbus_message *m, struct kerr *e)
{
	ssize_t n;

	buf_drop(&b->in, b->used);
	b->used = 0;
	while ((n = dbus_length((const uint8_t *)buf_str(&b->in), b->in.len)) == 0 ||
		(n > 0 && (size_t)n > b->in.len))
		if (receive(b, n ? (size_t)n - b->in.len : DBUS_HEAD, e))
			return -1;
	if (n < 0)
		return kerr_fail(e, KERR_SYSTEMD, 0, "systemd's answer is no D-Bus message");
	b->used = (size_t)n;
	return dbus_parse((const uint8_t *)b->in.data, b->used, m, e);
}

static void set(char **to, const char *value)
{
	free(*to);
	*to = mem_strdup(value);
}

/* A unit's job is done: u id, o job, s unit, s result. It may be said before the call is answered.
 */
static void note_job(struct bus *b, struct dbus_message *m)
{
	const char *job, *unit, *result;
	uint32_t id;

	if (b->unit == NULL || m->type != DBUS_SIGNAL || !str_eq(m->interface, manager) ||
		!str_eq(m->member, "JobRemoved") || !dbus_get_u32(&m->body, &id) ||
		!dbus_get_string(&m->body, &job) || !dbus_get_string(&m->body, &unit) ||
		!dbus_get_string(&m->body, &result) || !str_eq(unit, b->unit) ||
		(b->job && !str_eq(job, b->job)))
		return;
	set(&b->job, job);
	set(&b->result, result);
	set(&b->result_sender, m->sender);
}

/* Systemd has much to tell others: all that is passed over is bounded, too. */
static int next_other(struct bus *b, struct dbus_message *m, struct kerr *e)
{
	if (next_message(b, m, e))
		return -1;
	note_job(b, m);
	b->seen += b->used;
	if (b->seen > SIGNALS_BYTES)
		return kerr_fail(e, KERR_SYSTEMD, 0, "systemd says much, but does not answer");
	return 0;
}

static int send_call(
	struct bus *b, const struct dbus_call *c, const struct buf *body, struct kerr *e)
{
	CLEANUP_BUF struct buf out = BUF_INIT;

	dbus_write_call(c, ++b->serial, body, &out);
	return send_all(b, out.data, out.len, e);
}

/* The answer stays in @m until the next message. */
static int call(struct bus *b, const struct dbus_call *c, const struct buf *body,
	struct dbus_message *m, struct kerr *e)
{
	if (send_call(b, c, body, e))
		return -1;
	do {
		if (next_other(b, m, e))
			return -1;
	} while ((m->type != DBUS_RETURN && m->type != DBUS_ERROR) || m->reply_to != b->serial);
	return 0;
}

static void take_error(struct dbus_message *m, char **error, char **text)
{
	const char *words = "";

	if (m->type != DBUS_ERROR)
		return;
	*error = mem_strdup(*m->error ? m->error : "an error without a name");
	dbus_get_string(&m->body, &words);
	*text = mem_strdup(words);
}

static int call_manager(struct bus *b, const char *member, const char *signature,
	const struct buf *body, struct dbus_message *m, char **error, char **text, struct kerr *e)
{
	struct dbus_call c = { .destination = b->direct ? NULL : "org.freedesktop.systemd1",
		.path = "/org/freedesktop/systemd1",
		.interface = manager,
		.member = member,
		.signature = signature };

	*error = *text = NULL;
	if (call(b, &c, body, m, e))
		return kerr_step(e, "%s", member);
	take_error(m, error, text);
	return 0;
}

int bus_call(struct bus *b, const char *member, const char *signature, const struct buf *body,
	char **error, char **text, struct kerr *e)
{
	struct dbus_message m;

	return call_manager(b, member, signature, body, &m, error, text, e);
}

/* On a bus anybody may send us such a signal: only its sender that has answered is believed. */
static int wait_job(struct bus *b, const char *job, const char *sender, struct kerr *e)
{
	struct dbus_message m;

	for (;;) {
		if (b->result && str_eq(b->job, job) && str_eq(b->result_sender, sender))
			break;
		free(b->result);
		b->result = NULL;
		set(&b->job, job);
		if (next_other(b, &m, e))
			return kerr_step(e, "job of %s", b->unit);
	}
	if (str_eq(b->result, "done"))
		return 0;
	return kerr_fail(e, KERR_SYSTEMD, 0, "systemd's job for %s has ended as '%.40s'", b->unit,
		b->result);
}

int bus_job(struct bus *b, const char *unit, const char *member, const char *signature,
	const struct buf *body, char **error, char **text, struct kerr *e)
{
	CLEANUP_FREE char *job = NULL;
	CLEANUP_FREE char *sender = NULL;
	struct dbus_message m;
	const char *path;
	int rc;

	b->unit = unit;
	free(b->job);
	free(b->result);
	b->job = b->result = NULL;
	rc = call_manager(b, member, signature, body, &m, error, text, e);
	if (rc == 0 && *error == NULL) {
		if (!dbus_get_string(&m.body, &path))
			return kerr_fail(e, KERR_SYSTEMD, 0, "%s: systemd named no job", member);
		job = mem_strdup(path);
		sender = mem_strdup(m.sender);
		rc = wait_job(b, job, sender, e);
	}
	b->unit = NULL;
	return rc;
}

/* ---- the connection
 * -------------------------------------------------------------------------------------- */

static int greet_broker(struct bus *b, const char *member, const char *argument, struct kerr *e)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	struct dbus_message m;
	struct dbus_call c = { .destination = "org.freedesktop.DBus",
		.path = "/org/freedesktop/DBus",
		.interface = "org.freedesktop.DBus",
		.member = member,
		.signature = argument ? "s" : "" };

	if (argument)
		dbus_put_string(&body, argument);
	if (call(b, &c, &body, &m, e))
		return kerr_step(e, "%s", member);
	return m.type == DBUS_ERROR ? kerr_fail(e, KERR_SYSTEMD, 0,
					      "the message bus refuses %s: %.100s", member, m.error)
				    : 0;
}

/* Systemd sends its signals to a bus only if somebody there has asked for them. */
static int subscribe(struct bus *b, struct kerr *e)
{
	CLEANUP_FREE char *error = NULL;
	CLEANUP_FREE char *text = NULL;

	if (greet_broker(b, "Hello", NULL, e) ||
		greet_broker(b, "AddMatch",
			"type='signal',sender='org.freedesktop.systemd1',"
			"interface='org.freedesktop.systemd1.Manager',member='JobRemoved',"
			"path='/org/freedesktop/systemd1'",
			e) ||
		bus_call(b, "Subscribe", "", NULL, &error, &text, e))
		return -1;
	if (error == NULL || str_ends(error, ".AlreadySubscribed"))
		return 0;
	return kerr_fail(e, KERR_SYSTEMD, 0, "Subscribe: %.100s", error);
}

int bus_begin(struct bus *b, int fd, bool direct, deadline d, struct kerr *e)
{
	*b = (struct bus) { .fd = fd, .direct = direct, .d = d };
	if (authenticate(b, e) == 0 && (direct || subscribe(b, e) == 0))
		return 0;
	bus_close(b);
	return -1;
}

/* The manager's own socket first: it is there before any bus is. */
int bus_connect(struct bus *b, bool user, deadline d, struct kerr *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int fd = -1;

	if (user && (runtime == NULL || *runtime != '/'))
		return kerr_fail(e, KERR_SYSTEMD, 0,
			"XDG_RUNTIME_DIR is not set: there is no way to the user's systemd");
	for (int i = 0; i < 2; i++) {
		CLEANUP_FREE char *path =
			user ? mem_printf("%s/%s", runtime, i ? "bus" : "systemd/private")
			     : mem_strdup(
				       i ? "/run/dbus/system_bus_socket" : "/run/systemd/private");

		fd = path_connect_host(path, SOCK_STREAM, NULL);
		if (fd >= 0)
			return bus_begin(b, fd, i == 0, d, e);
	}
	return kerr_fail(e, KERR_SYSTEMD, 0, "no systemd answers on this node");
}
