/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/json.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

enum { BYTES = 4 << 20, DEPTH = 64, VALUES = 1000000, SORT_FROM = 16 };

struct reader {
	struct arena *a;
	struct kerr *e;
	struct json_limits limits;
	const char *text;
	size_t len;
	yajl_handle yajl;
	size_t at;	   /* end of the last token */
	size_t line_start; /* where the line of... */
	size_t counted;	   /* ...this offset begins */
	uint32_t line;
	struct json *root, *open; /* open: the innermost array or object */
	const char *key;
	uint32_t key_line, key_column;
	unsigned depth;
	size_t values;
};

/* Offsets only grow, so that counting lines is linear in all. */
static void place(struct reader *r, size_t offset, uint32_t *line, uint32_t *column)
{
	const char *p;

	while (r->counted < offset &&
		(p = memchr(r->text + r->counted, '\n', offset - r->counted))) {
		r->line++;
		r->counted = r->line_start = (size_t)(p - r->text) + 1;
	}
	r->counted = offset;
	*line = r->line;
	*column = (uint32_t)(offset - r->line_start) + 1;
}

static int fail_at(struct reader *r, enum kerr_code code, size_t offset, const char *what)
{
	uint32_t line, column;

	place(r, offset > r->len ? r->len : offset, &line, &column);
	kerr_fail(r->e, code, 0, "%s", what);
	return kerr_at(r->e, NULL, line, column);
}

/* ---- what yajl lets through
 * ------------------------------------------------------------------------ */

static int hex4(const char *s)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		char c = s[i];
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

/* An escape at @i, which is a backslash within a string: what it stands for may be no NUL and no
 * half of a surrogate pair. Returns the bytes to step over, 0 when refused. */
static size_t escape(const char *s, size_t i, size_t len)
{
	int high, low;

	if (i + 6 > len || s[i + 1] != 'u')
		return 2;
	high = hex4(s + i + 2);
	if (high == 0)
		return 0;
	if (high < 0xd800 || high > 0xdfff)
		return 6;
	if (high > 0xdbff || i + 12 > len || s[i + 6] != '\\' || s[i + 7] != 'u')
		return 0;
	low = hex4(s + i + 8);
	return low >= 0xdc00 && low <= 0xdfff ? 12 : 0;
}

static int check_bytes(struct reader *r)
{
	const char *s = r->text;
	unsigned depth = 0;
	bool in_string = false;

	if (r->len >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0)
		return fail_at(r, KERR_JSON_UTF8, 0, "the file begins with a byte order mark");
	for (size_t i = 0; i < r->len;) {
		unsigned char c = (unsigned char)s[i];
		size_t n = 1;

		if (c == 0)
			return fail_at(r, KERR_JSON_UTF8, i, "a NUL byte");
		if (c >= 0x80) {
			for (n = 2; n <= 4 && i + n <= r->len && !str_is_utf8(s + i, n); n++)
				;
			if (n > 4 || i + n > r->len)
				return fail_at(r, KERR_JSON_UTF8, i, "bytes that are not UTF-8");
		} else if (c == '"') {
			in_string = !in_string;
		} else if (in_string && c == '\\') {
			n = escape(s, i, r->len);
			if (n == 0)
				return fail_at(r, KERR_JSON_UTF8, i,
					"an escaped NUL or half a surrogate pair");
		} else if (!in_string && (c == '{' || c == '[')) {
			if (++depth > r->limits.depth)
				return fail_at(r, KERR_JSON_LIMIT, i, "nested too deeply");
		} else if (!in_string && (c == '}' || c == ']') && depth) {
			depth--;
		}
		i += n;
	}
	return 0;
}

/* ---- yajl's callbacks
 * ------------------------------------------------------------------------------- */

/* The token that has just been read begins after the last one, white space, commas and colons. */
static size_t token_start(struct reader *r)
{
	size_t i = r->at;

	while (i < r->len && strchr(" \t\r\n,:", r->text[i]))
		i++;
	return i;
}

static void token_done(struct reader *r)
{
	r->at = yajl_get_bytes_consumed(r->yajl);
}

static struct json *add(struct reader *r, enum json_type type)
{
	struct json *v = arena_alloc(r->a, sizeof *v), *in = r->open;

	if (++r->values > r->limits.values) {
		fail_at(r, KERR_JSON_LIMIT, token_start(r), "more values than Kapsel reads");
		return NULL;
	}
	v->type = type;
	place(r, token_start(r), &v->line, &v->column);
	v->parent = in;
	if (in == NULL) {
		r->root = v;
	} else {
		if (in->last)
			in->last->next = v;
		else
			in->first = v;
		in->last = v;
		in->n++;
		if (in->type == JSON_OBJECT) {
			v->key = r->key;
			v->key_line = r->key_line;
			v->key_column = r->key_column;
		}
	}
	token_done(r);
	return v;
}

static int on_null(void *ctx)
{
	return add(ctx, JSON_NULL) != NULL;
}

static int on_bool(void *ctx, int value)
{
	struct json *v = add(ctx, JSON_BOOL);

	if (v)
		v->boolean = value != 0;
	return v != NULL;
}

static int with_text(struct reader *r, enum json_type type, const char *s, size_t len)
{
	struct json *v = add(r, type);

	if (v) {
		v->text = arena_strndup(r->a, s, len);
		v->len = len;
	}
	return v != NULL;
}

static int on_number(void *ctx, const char *s, size_t len)
{
	return with_text(ctx, JSON_NUMBER, s, len);
}

static int on_string(void *ctx, const unsigned char *s, size_t len)
{
	return with_text(ctx, JSON_STRING, (const char *)s, len);
}

static int on_begin(void *ctx, enum json_type type)
{
	struct reader *r = ctx;
	struct json *v = add(r, type);

	if (v)
		r->open = v;
	return v != NULL;
}

static int on_object(void *ctx)
{
	return on_begin(ctx, JSON_OBJECT);
}

static int on_array(void *ctx)
{
	return on_begin(ctx, JSON_ARRAY);
}

static int on_key(void *ctx, const unsigned char *s, size_t len)
{
	struct reader *r = ctx;

	place(r, token_start(r), &r->key_line, &r->key_column);
	r->key = arena_strndup(r->a, (const char *)s, len);
	token_done(r);
	return 1;
}

static int duplicate(struct reader *r, const struct json *member)
{
	kerr_fail(r->e, KERR_JSON_DUPLICATE, 0, "the key \"%s\" stands here a second time",
		member->key);
	kerr_at(r->e, json_pointer(r->a, member), member->key_line, member->key_column);
	return 0;
}

static int by_key(const void *x, const void *y)
{
	const struct json *a = *(const struct json *const *)x, *b = *(const struct json *const *)y;
	int order = strcmp(a->key, b->key);

	if (order)
		return order;
	if (a->key_line != b->key_line)
		return a->key_line < b->key_line ? -1 : 1;
	return a->key_column < b->key_column ? -1 : a->key_column > b->key_column;
}

/* Sorted, not hashed: no choice of keys by a stranger makes it slow. */
static int unique_sorted(struct reader *r, const struct json *object)
{
	CLEANUP_FREE const struct json **sorted = mem_array(object->n, sizeof *sorted);
	const struct json *second = NULL;
	size_t n = 0;

	json_each(m, object) sorted[n++] = m;
	qsort(sorted, n, sizeof *sorted, by_key);
	for (size_t i = 1; i < n; i++)
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0 &&
			(second == NULL || sorted[i]->key_line < second->key_line ||
				(sorted[i]->key_line == second->key_line &&
					sorted[i]->key_column < second->key_column)))
			second = sorted[i];
	return second ? duplicate(r, second) : 1;
}

static int on_object_end(void *ctx)
{
	struct reader *r = ctx;
	struct json *object = r->open;

	token_done(r);
	r->open = (struct json *)(uintptr_t)object->parent;
	if (object->n >= SORT_FROM)
		return unique_sorted(r, object);
	json_each(a, object)
	{
		for (const struct json *b = object->first; b != a; b = b->next)
			if (strcmp(a->key, b->key) == 0)
				return duplicate(r, a);
	}
	return 1;
}

static int on_array_end(void *ctx)
{
	struct reader *r = ctx;

	token_done(r);
	r->open = (struct json *)(uintptr_t)r->open->parent;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_object_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_array_end,
};

/* yajl counts as consumed what its lexer has looked at, which is not yet where the fault is. */
static size_t syntax_offset(struct reader *r, const char *message)
{
	if (strstr(message, "premature EOF"))
		return r->len;
	return strstr(message, "inside") ? yajl_get_bytes_consumed(r->yajl) : token_start(r);
}

static void syntax_error(struct reader *r)
{
	unsigned char *text = yajl_get_error(r->yajl, 0, (const unsigned char *)r->text, r->len);
	const char *message = text ? (const char *)text : "error: not understood";
	/* "lexical error: invalid char in json text.\n": the middle part is for people. */
	const char *s = strstr(message, ": ");
	CLEANUP_FREE char *what =
		mem_strndup(s ? s + 2 : message, strcspn(s ? s + 2 : message, ".\n"));
	size_t at = syntax_offset(r, message);

	fail_at(r, KERR_JSON_SYNTAX, at < r->counted ? r->counted : at, what);
	if (text)
		yajl_free_error(r->yajl, text);
}

/* The parser's own memory is the arena's, too: to give a page back costs more than to have it. */
struct piece {
	_Alignas(max_align_t) size_t size;
	_Alignas(max_align_t) char data[];
};

static void *piece_new(void *arena, size_t size)
{
	struct piece *p = arena_alloc(arena, sizeof *p + size);

	p->size = size;
	return p->data;
}

static void *piece_grow(void *arena, void *old, size_t size)
{
	struct piece *p = old ? (struct piece *)((char *)old - offsetof(struct piece, data)) : NULL;
	void *more;

	if (p && p->size >= size)
		return old;
	more = piece_new(arena, size);
	if (p)
		memcpy(more, old, p->size);
	return more;
}

static void piece_free(void *arena, void *data)
{
	(void)arena;
	(void)data;
}

static int run(struct reader *r)
{
	yajl_status status = yajl_parse(r->yajl, (const unsigned char *)r->text, r->len);

	if (status == yajl_status_ok)
		status = yajl_complete_parse(r->yajl);
	if (status == yajl_status_client_canceled)
		return -1;
	if (status != yajl_status_ok) {
		syntax_error(r);
		return -1;
	}
	if (r->root == NULL)
		return fail_at(r, KERR_JSON_SYNTAX, r->len, "the file is empty");
	return 0;
}

const struct json *json_parse(struct arena *a, const char *text, size_t len,
	const struct json_limits *limits, struct kerr *e)
{
	struct kerr unwanted = KERR_INIT;
	struct reader r = { .a = a,
		.e = e ? e : &unwanted,
		.text = text,
		.len = len,
		.line = 1,
		.limits = limits ? *limits : (struct json_limits) { 0 } };
	int rc;

	if (r.limits.bytes == 0)
		r.limits.bytes = BYTES;
	if (r.limits.depth == 0)
		r.limits.depth = DEPTH;
	if (r.limits.values == 0)
		r.limits.values = VALUES;
	if (len > r.limits.bytes) {
		kerr_fail(r.e, KERR_JSON_LIMIT, 0, "%zu bytes, at most %zu are read", len,
			r.limits.bytes);
		rc = kerr_at(r.e, NULL, 1, 1);
	} else {
		rc = check_bytes(&r);
	}
	if (rc == 0) {
		r.line = 1;
		r.counted = r.line_start = 0;
		yajl_alloc_funcs memory = { piece_new, piece_grow, piece_free, a };

		r.yajl = yajl_alloc(&callbacks, &memory, &r);
		rc = run(&r);
		yajl_free(r.yajl);
	}
	kerr_clear(&unwanted);
	return rc ? NULL : r.root;
}
