/* SPDX-License-Identifier: Apache-2.0 */
/* D-Bus messages: ours are written little-endian, any are read, and none is believed. */
#include "private.h"
#include <string.h>

enum field {
	FIELD_PATH = 1,
	FIELD_INTERFACE,
	FIELD_MEMBER,
	FIELD_ERROR,
	FIELD_REPLY,
	FIELD_DESTINATION,
	FIELD_SENDER,
	FIELD_SIGNATURE
};

/* ---- writing
 * --------------------------------------------------------------------------------------------- */

void dbus_align(struct buf *b, size_t to)
{
	while (b->len % to)
		buf_addc(b, '\0');
}

static void put_le(struct buf *b, uint64_t v, size_t bytes)
{
	dbus_align(b, bytes);
	for (size_t i = 0; i < bytes; i++)
		buf_addc(b, (char)(v >> 8 * i & 0xff));
}

void dbus_put_u32(struct buf *b, uint32_t v)
{
	put_le(b, v, 4);
}

void dbus_put_u64(struct buf *b, uint64_t v)
{
	put_le(b, v, 8);
}

void dbus_put_string(struct buf *b, const char *s)
{
	dbus_put_u32(b, (uint32_t)strlen(s));
	buf_add(b, s, strlen(s) + 1);
}

void dbus_put_signature(struct buf *b, const char *s)
{
	buf_addc(b, (char)strlen(s));
	buf_add(b, s, strlen(s) + 1);
}

/* The padding before the first element is no part of the length. */
struct dbus_array dbus_begin_array(struct buf *b, size_t align)
{
	struct dbus_array a;

	dbus_put_u32(b, 0);
	a.count = b->len - 4;
	dbus_align(b, align);
	a.first = b->len;
	return a;
}

void dbus_end_array(struct buf *b, struct dbus_array a)
{
	size_t len = b->len - a.first;

	for (size_t i = 0; i < 4; i++)
		b->data[a.count + i] = (char)(len >> 8 * i & 0xff);
}

static const char *const forms[] = { [SYSTEMD_BOOL] = "b",
	[SYSTEMD_U64] = "t",
	[SYSTEMD_STRING] = "s",
	[SYSTEMD_STRINGS] = "as",
	[SYSTEMD_BYTES] = "ay" };

void dbus_put_property(struct buf *b, const struct systemd_property *p)
{
	struct dbus_array a;

	dbus_align(b, 8);
	dbus_put_string(b, p->name);
	dbus_put_signature(b, forms[p->form]);
	switch (p->form) {
	case SYSTEMD_BOOL:
		dbus_put_u32(b, p->number != 0);
		break;
	case SYSTEMD_U64:
		dbus_put_u64(b, p->number);
		break;
	case SYSTEMD_STRING:
		dbus_put_string(b, p->text);
		break;
	case SYSTEMD_STRINGS:
		a = dbus_begin_array(b, 4);
		for (size_t i = 0; i < p->n; i++)
			dbus_put_string(b, p->words[i]);
		dbus_end_array(b, a);
		break;
	case SYSTEMD_BYTES:
		a = dbus_begin_array(b, 1);
		buf_add(b, p->bytes, p->n);
		dbus_end_array(b, a);
		break;
	}
}

static void put_field(struct buf *b, enum field f, const char *type, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	dbus_align(b, 8);
	buf_addc(b, (char)f);
	dbus_put_signature(b, type);
	if (*type == 'g')
		dbus_put_signature(b, value);
	else
		dbus_put_string(b, value);
}

void dbus_write_call(
	const struct dbus_call *c, uint32_t serial, const struct buf *body, struct buf *out)
{
	CLEANUP_BUF struct buf b = BUF_INIT; /* @out may hold something already */
	struct dbus_array fields;

	buf_add(&b, "l\1\0\1", 4);
	dbus_put_u32(&b, body ? (uint32_t)body->len : 0);
	dbus_put_u32(&b, serial);
	fields = dbus_begin_array(&b, 8);
	put_field(&b, FIELD_PATH, "o", c->path);
	put_field(&b, FIELD_MEMBER, "s", c->member);
	put_field(&b, FIELD_INTERFACE, "s", c->interface);
	put_field(&b, FIELD_DESTINATION, "s", c->destination);
	put_field(&b, FIELD_SIGNATURE, "g", c->signature);
	dbus_end_array(&b, fields);
	dbus_align(&b, 8);
	if (body)
		buf_add(&b, buf_str(body), body->len);
	buf_add(out, b.data, b.len);
}

/* ---- reading
 * --------------------------------------------------------------------------------------------- */

static size_t aligned(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static uint32_t u32_at(const uint8_t *p, bool big)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v |= (uint32_t)p[i] << 8 * (big ? 3 - i : i);
	return v;
}

static bool is_known_order(uint8_t c)
{
	return c == 'l' || c == 'B';
}

ssize_t dbus_length(const uint8_t *data, size_t len)
{
	uint32_t body, fields;

	if (len && !is_known_order(data[0]))
		return -1;
	if (len < DBUS_HEAD)
		return 0;
	body = u32_at(data + 4, data[0] == 'B');
	fields = u32_at(data + 12, data[0] == 'B');
	if (data[3] != 1 || body > DBUS_MOST || fields > DBUS_MOST)
		return -1;
	body += (uint32_t)aligned(DBUS_HEAD + fields, 8);
	return body > DBUS_MOST ? -1 : (ssize_t)body;
}

static bool step_to(struct dbus_body *b, size_t align)
{
	b->at = aligned(b->at, align);
	return b->at <= b->len;
}

static bool take_u32(struct dbus_body *b, uint32_t *out)
{
	if (!step_to(b, 4) || b->len - b->at < 4)
		return false;
	*out = u32_at(b->data + b->at, b->big);
	b->at += 4;
	return true;
}

/* @n bytes and a NUL, and none among them. */
static bool take_text(struct dbus_body *b, size_t n, const char **out)
{
	const char *s = (const char *)b->data + b->at;

	if (b->len - b->at <= n || s[n] != '\0' || memchr(s, '\0', n))
		return false;
	b->at += n + 1;
	*out = s;
	return true;
}

static bool take_string(struct dbus_body *b, const char **out)
{
	uint32_t n;

	return take_u32(b, &n) && take_text(b, n, out);
}

static bool take_signature(struct dbus_body *b, const char **out)
{
	size_t n;

	if (b->at >= b->len)
		return false;
	n = b->data[b->at++];
	return take_text(b, n, out);
}

bool dbus_get_u32(struct dbus_body *b, uint32_t *out)
{
	if (*b->signature != 'u' || !take_u32(b, out))
		return false;
	b->signature++;
	return true;
}

bool dbus_get_string(struct dbus_body *b, const char **out)
{
	if ((*b->signature != 's' && *b->signature != 'o') || !take_string(b, out))
		return false;
	b->signature++;
	return true;
}

/* The specification has fields of these types only. */
static bool take_field(struct dbus_body *b, struct dbus_message *m)
{
	const struct {
		enum field field;
		char type;
		const char **to;
	} texts[] = {
		{ FIELD_PATH, 'o', &m->path },
		{ FIELD_INTERFACE, 's', &m->interface },
		{ FIELD_MEMBER, 's', &m->member },
		{ FIELD_ERROR, 's', &m->error },
		{ FIELD_SENDER, 's', &m->sender },
		{ FIELD_SIGNATURE, 'g', &m->signature },
	};
	const char *type, *text = NULL;
	uint32_t number = 0;
	uint8_t code;

	if (!step_to(b, 8) || b->at == b->len)
		return false;
	code = b->data[b->at++];
	if (!take_signature(b, &type) || strlen(type) != 1)
		return false;
	if (*type == 'u'		       ? !take_u32(b, &number)
		: *type == 'g'		       ? !take_signature(b, &text)
		: *type == 's' || *type == 'o' ? !take_string(b, &text)
					       : true)
		return false;
	if (code == FIELD_REPLY && *type == 'u')
		m->reply_to = number;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (code == texts[i].field) {
			if (*type != texts[i].type)
				return false;
			*texts[i].to = text;
		}
	return code != FIELD_REPLY || *type == 'u';
}

int dbus_parse(const uint8_t *data, size_t len, struct dbus_message *out, struct kerr *e)
{
	struct dbus_body fields;

	*out = (struct dbus_message) { 0 };
	out->path = out->interface = out->member = out->error = out->sender = out->signature = "";
	if (len < DBUS_HEAD || dbus_length(data, len) != (ssize_t)len)
		return kerr_fail(e, KERR_SYSTEMD, 0, "this is no D-Bus message");
	out->type = data[1];
	fields = (struct dbus_body) { .data = data,
		.len = DBUS_HEAD + u32_at(data + 12, data[0] == 'B'),
		.at = DBUS_HEAD,
		.big = data[0] == 'B' };
	while (fields.at < fields.len)
		if (!take_field(&fields, out))
			return kerr_fail(e, KERR_SYSTEMD, 0, "a D-Bus message's head is damaged");
	fields.at = aligned(fields.len, 8);
	out->body = (struct dbus_body) { .data = data + fields.at,
		.len = len - fields.at,
		.big = fields.big,
		.signature = out->signature };
	return 0;
}
