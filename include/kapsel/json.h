/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json: the one strict reader and the writer. The reader (reader.c) stands on yajl's streaming
 * callbacks; the writer (writer.c) needs no library, so that the monitor links none.
 */
#ifndef KAPSEL_JSON_H
#define KAPSEL_JSON_H

#include <kapsel/base.h>

/* ---- reading -----------------------------------------------------------------------------------
 */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* A value. Everything is owned by the arena; a number keeps its text until its field is known. */
struct json {
	enum json_type type;
	bool boolean;
	uint32_t line, column; /* of its first byte, 1-based, column in bytes */
	const char *key;       /* its name when it is an object's member */
	uint32_t key_line, key_column;
	const char
		*text; /* string (unescaped, NUL-terminated, no inner NUL) or number as written */
	size_t len;    /* of text */
	size_t n;      /* members or items */
	struct json *first, *last; /* members or items in order, linked by next */
	struct json *next;
	const struct json *parent;
};
#define json_each(item, of) \
	for (const struct json *item = (of) ? (of)->first : NULL; item; item = item->next)

struct json_limits {
	size_t bytes;	/* 0: 4 MiB */
	unsigned depth; /* 0: 64 */
	size_t values;	/* 0: 1,000,000 */
};

/**
 * json_parse() - one document, strictly
 * @a:      owns the result
 * @limits: NULL for the defaults
 *
 * Refused, each with line:column (HARDENING C1-C4): anything but one JSON value, a byte order mark,
 * trailing bytes, invalid or overlong UTF-8, lone surrogates, NUL raw or escaped, the same key
 * twice in an object (compared after unescaping), more than the limits.
 *
 * Return: the root, or NULL: KERR_JSON_SYNTAX, KERR_JSON_UTF8, KERR_JSON_DUPLICATE, KERR_JSON_LIMIT
 */
const struct json *json_parse(struct arena *a, const char *text, size_t len,
	const struct json_limits *limits, struct kerr *e);

const struct json *json_get(
	const struct json *object, const char *key); /* NULL: absent, or no object */
const char *json_type_name(enum json_type t);	     /* "a string" */
/* RFC 6901 pointer of @v from the root, in @a. The root itself is "". */
char *json_pointer(struct arena *a, const struct json *v);
/* Fills @e with @code and where @v stands. Returns -1. */
int json_fail(struct kerr *e, enum kerr_code code, const struct json *v, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

/* Typed reading: 0, or -1 with KERR_CONFIG_TYPE or KERR_CONFIG_RANGE and the place. */
int json_u64(const struct json *v, uint64_t min, uint64_t max, uint64_t *out, struct kerr *e);
int json_i64(const struct json *v, int64_t min, int64_t max, int64_t *out, struct kerr *e);
int json_bool(const struct json *v, bool *out, struct kerr *e);
int json_string(const struct json *v, const char **out, struct kerr *e);
/* For our own records and replies: the member's value, or what is given when absent or of another
 * type. */
const char *json_get_string(const struct json *object, const char *key, const char *otherwise);
uint64_t json_get_u64(const struct json *object, const char *key, uint64_t otherwise);
int64_t json_get_i64(const struct json *object, const char *key, int64_t otherwise);
bool json_get_bool(const struct json *object, const char *key, bool otherwise);

/* ---- writing ------------------------------------------------------------------------------------
 */

struct json_out {
	struct buf *b;
	bool pretty; /* two spaces a level; else no white space */
	unsigned depth;
	bool comma; /* something stands before at this level */
	bool after_key;
};
#define JSON_OUT(buffer)      \
	{                     \
		.b = (buffer) \
	}
#define JSON_OUT_PRETTY(buffer)               \
	{                                     \
		.b = (buffer), .pretty = true \
	}
void json_begin_object(struct json_out *o);
void json_end_object(struct json_out *o);
void json_begin_array(struct json_out *o);
void json_end_array(struct json_out *o);
void json_key(struct json_out *o, const char *key);
/* Bytes that are no UTF-8 come out as U+FFFD; NULL comes out as null. */
void json_add_string(struct json_out *o, const char *s);
void json_add_bytes(struct json_out *o, const char *s, size_t len);
void json_add_u64(struct json_out *o, uint64_t v);
void json_add_i64(struct json_out *o, int64_t v);
void json_add_bool(struct json_out *o, bool v);
void json_add_null(struct json_out *o);
void json_add_raw(struct json_out *o, const char *json, size_t len); /* JSON already; not checked */
void json_add_value(struct json_out *o, const struct json *v);	     /* a value that was read */
void json_put_string(
	struct json_out *o, const char *key, const char *s); /* left out when @s is NULL */
void json_put_u64(struct json_out *o, const char *key, uint64_t v);
void json_put_i64(struct json_out *o, const char *key, int64_t v);
void json_put_bool(struct json_out *o, const char *key, bool v);

/* A whole error: code, error, message, step, pointer, line, column, errno, remedy, retry, faults.
 * As the members of an object that the caller has begun. */
void json_put_kerr(struct json_out *o, const struct kerr *e);
/* Reads what json_put_kerr() wrote. */
void json_get_kerr(const struct json *object, struct kerr *out);

#endif
