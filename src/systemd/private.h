/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KAPSEL_SYSTEMD_PRIVATE_H
#define KAPSEL_SYSTEMD_PRIVATE_H

#include <kapsel/systemd.h>

/* ---- message.c: the D-Bus specification, "Message Protocol" */

enum { DBUS_CALL = 1, DBUS_RETURN, DBUS_ERROR, DBUS_SIGNAL };
enum { DBUS_MOST = 1 << 20, DBUS_HEAD = 16 };

struct dbus_call {
	const char *destination; /* NULL: the other end itself */
	const char *path, *interface, *member;
	const char *signature; /* of the body; "" for none */
};
/* All positions are relative to @b's begin, which is aligned to 8 in the message. */
void dbus_align(struct buf *b, size_t to);
void dbus_put_u32(struct buf *b, uint32_t v);
void dbus_put_u64(struct buf *b, uint64_t v);
void dbus_put_string(struct buf *b, const char *s);
void dbus_put_signature(struct buf *b, const char *s);
/* An array's elements stand between the two; @align: of an element. */
struct dbus_array {
	size_t count, first; /* where its length stands, and its first element */
};
struct dbus_array dbus_begin_array(struct buf *b, size_t align);
void dbus_end_array(struct buf *b, struct dbus_array a);
void dbus_put_property(struct buf *b, const struct systemd_property *p); /* "(sv)" */
void dbus_write_call(
	const struct dbus_call *c, uint32_t serial, const struct buf *body, struct buf *out);

/* What is left to read; @at is relative to the body's begin. */
struct dbus_body {
	const uint8_t *data;
	size_t len, at;
	bool big;	       /* endian */
	const char *signature; /* of what is left */
};
struct dbus_message {
	uint8_t type;
	uint32_t reply_to; /* serial of the call */
	/* "" where there is none; into the message */
	const char *path, *interface, *member, *error, *sender, *signature;
	struct dbus_body body;
};
/* How long the message is that begins with @len bytes: 0 if more are needed to say, -1: no message,
 * or one above DBUS_MOST. */
ssize_t dbus_length(const uint8_t *data, size_t len);
/* @data is whole; the texts in @out are its own. Return: 0, or -1: KERR_SYSTEMD */
int dbus_parse(const uint8_t *data, size_t len, struct dbus_message *out, struct kerr *e);
/* The next value, if it has that type. */
bool dbus_get_u32(struct dbus_body *b, uint32_t *out);
bool dbus_get_string(struct dbus_body *b, const char **out); /* an object path, too */

/* ---- bus.c: a connection */

struct bus {
	int fd;
	bool direct; /* to the manager itself: no broker between */
	uint32_t serial;
	deadline d;
	size_t seen;   /* bytes of signals that were for others */
	struct buf in; /* not yet looked at, or the last message */
	size_t used;   /* bytes of the last message */
	/* the job that is waited for */
	const char *unit;
	char *job, *result, *result_sender;
};
/* Takes @fd. Return: 0, or -1: KERR_SYSTEMD, KERR_TIMEOUT; then @b is closed. */
int bus_begin(struct bus *b, int fd, bool direct, deadline d, struct kerr *e);
int bus_connect(struct bus *b, bool user, deadline d, struct kerr *e);
void bus_close(struct bus *b);
/**
 * bus_call() - a method of the manager
 * @error: gets the name of an error that the manager answered, which is then no failure; the caller
 * frees both
 */
int bus_call(struct bus *b, const char *member, const char *signature, const struct buf *body,
	char **error, char **text, struct kerr *e);
/* The same for a method that answers with a job, until that is done. */
int bus_job(struct bus *b, const char *unit, const char *member, const char *signature,
	const struct buf *body, char **error, char **text, struct kerr *e);

/* ---- scope.c, on a connection */
int scope_start(struct bus *b, const struct systemd_scope *s, pid_t pid, struct kerr *e);
int scope_set(struct bus *b, const char *unit, const struct systemd_property *v, size_t n,
	struct kerr *e);
int scope_stop(struct bus *b, const char *unit, struct kerr *e);

#endif
