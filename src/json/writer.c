/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/json.h>
#include <stdio.h>
#include <string.h>

static void new_line(struct json_out *o)
{
	if (!o->pretty)
		return;
	buf_addc(o->b, '\n');
	for (unsigned i = 0; i < o->depth; i++)
		buf_adds(o->b, "  ");
}

/* What stands between the last thing and the next one. */
static void separate(struct json_out *o)
{
	if (o->after_key) {
		o->after_key = false;
		return;
	}
	if (o->comma)
		buf_addc(o->b, ',');
	if (o->depth)
		new_line(o);
	o->comma = true;
}

static void begin(struct json_out *o, char bracket)
{
	separate(o);
	buf_addc(o->b, bracket);
	o->depth++;
	o->comma = false;
}

static void end(struct json_out *o, char bracket)
{
	o->depth--;
	if (o->comma)
		new_line(o);
	buf_addc(o->b, bracket);
	o->comma = true;
}

void json_begin_object(struct json_out *o)
{
	begin(o, '{');
}

void json_end_object(struct json_out *o)
{
	end(o, '}');
}

void json_begin_array(struct json_out *o)
{
	begin(o, '[');
}

void json_end_array(struct json_out *o)
{
	end(o, ']');
}

/* Length of the well-formed character at @s; base's str_is_utf8() is the judge. */
static size_t character(const char *s, size_t left)
{
	for (size_t n = 1; n <= 4 && n <= left; n++)
		if (str_is_utf8(s, n))
			return n;
	return 0;
}

static void escaped(struct buf *b, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];
		size_t n;

		if (c == '"' || c == '\\') {
			buf_addc(b, '\\');
			buf_addc(b, (char)c);
			i++;
		} else if (c < 0x20 || c == 0x7f) {
			if (c == '\n')
				buf_adds(b, "\\n");
			else if (c == '\t')
				buf_adds(b, "\\t");
			else
				buf_addf(b, "\\u%04x", c);
			i++;
		} else if (c < 0x80) {
			buf_addc(b, (char)c);
			i++;
		} else if ((n = character(s + i, len - i))) {
			buf_add(b, s + i, n);
			i += n;
		} else {
			buf_adds(b, "\xef\xbf\xbd");
			i++;
		}
	}
}

void json_key(struct json_out *o, const char *key)
{
	separate(o);
	buf_addc(o->b, '"');
	escaped(o->b, key, strlen(key));
	buf_adds(o->b, o->pretty ? "\": " : "\":");
	o->after_key = true;
}

void json_add_bytes(struct json_out *o, const char *s, size_t len)
{
	separate(o);
	buf_addc(o->b, '"');
	escaped(o->b, s, len);
	buf_addc(o->b, '"');
}

void json_add_string(struct json_out *o, const char *s)
{
	if (s)
		json_add_bytes(o, s, strlen(s));
	else
		json_add_null(o);
}

void json_add_raw(struct json_out *o, const char *json, size_t len)
{
	separate(o);
	buf_add(o->b, json, len);
}

void json_add_u64(struct json_out *o, uint64_t v)
{
	separate(o);
	buf_addf(o->b, "%llu", (unsigned long long)v);
}

void json_add_i64(struct json_out *o, int64_t v)
{
	separate(o);
	buf_addf(o->b, "%lld", (long long)v);
}

void json_add_bool(struct json_out *o, bool v)
{
	json_add_raw(o, v ? "true" : "false", v ? 4 : 5);
}

void json_add_null(struct json_out *o)
{
	json_add_raw(o, "null", 4);
}

void json_add_value(struct json_out *o, const struct json *v)
{
	switch (v->type) {
	case JSON_NULL:
		json_add_null(o);
		break;
	case JSON_BOOL:
		json_add_bool(o, v->boolean);
		break;
	case JSON_NUMBER:
		json_add_raw(o, v->text, v->len);
		break;
	case JSON_STRING:
		json_add_bytes(o, v->text, v->len);
		break;
	case JSON_ARRAY:
		json_begin_array(o);
		json_each(item, v) json_add_value(o, item);
		json_end_array(o);
		break;
	case JSON_OBJECT:
		json_begin_object(o);
		json_each(member, v)
		{
			json_key(o, member->key);
			json_add_value(o, member);
		}
		json_end_object(o);
		break;
	}
}

void json_put_string(struct json_out *o, const char *key, const char *s)
{
	if (s == NULL)
		return;
	json_key(o, key);
	json_add_string(o, s);
}

void json_put_u64(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	json_add_u64(o, v);
}

void json_put_i64(struct json_out *o, const char *key, int64_t v)
{
	json_key(o, key);
	json_add_i64(o, v);
}

void json_put_bool(struct json_out *o, const char *key, bool v)
{
	json_key(o, key);
	json_add_bool(o, v);
}

void json_put_kerr(struct json_out *o, const struct kerr *e)
{
	const struct kerr_row *row = kerr_row(e->code);

	json_put_string(o, "code", row->name);
	json_put_string(o, "error", api_error_name(row->api));
	json_put_string(o, "message", e->message ? e->message : row->means);
	json_put_string(o, "step", e->step);
	json_put_string(o, "pointer", e->pointer);
	if (e->line) {
		json_put_u64(o, "line", e->line);
		json_put_u64(o, "column", e->column);
	}
	if (e->sys) {
		json_put_u64(o, "errno", (uint64_t)e->sys);
		json_put_string(o, "cause", strerror(e->sys));
	}
	json_put_string(o, "remedy", row->remedy);
	json_put_string(o, "retry", retry_name(row->retry));
	if (e->nfaults == 0)
		return;
	json_key(o, "faults");
	json_begin_array(o);
	for (size_t i = 0; i < e->nfaults; i++) {
		json_begin_object(o);
		json_put_kerr(o, &e->faults[i]);
		json_end_object(o);
	}
	json_end_array(o);
}
