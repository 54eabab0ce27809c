/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/json.h>
#include <stdio.h>
#include <string.h>

const struct json *json_get(const struct json *object, const char *key)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	json_each(m, object) if (strcmp(m->key, key) == 0) return m;
	return NULL;
}

const char *json_type_name(enum json_type t)
{
	static const char *const names[] = { "null", "true or false", "a number", "a string",
		"an array", "an object" };

	return names[t];
}

static size_t index_of(const struct json *item)
{
	size_t i = 0;

	json_each(other, item->parent)
	{
		if (other == item)
			break;
		i++;
	}
	return i;
}

static void add_pointer(struct buf *b, const struct json *v)
{
	if (v->parent == NULL)
		return;
	add_pointer(b, v->parent);
	buf_addc(b, '/');
	if (v->parent->type == JSON_ARRAY) {
		buf_addf(b, "%zu", index_of(v));
		return;
	}
	for (const char *s = v->key; *s; s++) {
		if (*s == '~')
			buf_adds(b, "~0");
		else if (*s == '/')
			buf_adds(b, "~1");
		else
			buf_addc(b, *s);
	}
}

char *json_pointer(struct arena *a, const struct json *v)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	add_pointer(&b, v);
	return arena_strdup(a, buf_str(&b));
}

int json_fail(struct kerr *e, enum kerr_code code, const struct json *v, const char *fmt, ...)
{
	CLEANUP_BUF struct buf pointer = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	kerr_vfail(e, code, 0, fmt, ap);
	va_end(ap);
	if (v == NULL)
		return -1;
	add_pointer(&pointer, v);
	return kerr_at(e, buf_str(&pointer), v->line, v->column);
}

static int wrong_type(struct kerr *e, const struct json *v, const char *wanted)
{
	return json_fail(
		e, KERR_CONFIG_TYPE, v, "is %s, and must be %s", json_type_name(v->type), wanted);
}

int json_u64(const struct json *v, uint64_t min, uint64_t max, uint64_t *out, struct kerr *e)
{
	uint64_t n;

	if (v->type != JSON_NUMBER)
		return wrong_type(e, v, "a whole number");
	if (str_to_u64(v->text, &n)) {
		if (strpbrk(v->text, ".eE"))
			return json_fail(
				e, KERR_CONFIG_TYPE, v, "%.40s is no whole number", v->text);
		return json_fail(e, KERR_CONFIG_RANGE, v, "%.40s is not from %llu to %llu", v->text,
			(unsigned long long)min, (unsigned long long)max);
	}
	if (n < min || n > max)
		return json_fail(e, KERR_CONFIG_RANGE, v, "%.40s is not from %llu to %llu", v->text,
			(unsigned long long)min, (unsigned long long)max);
	*out = n;
	return 0;
}

int json_i64(const struct json *v, int64_t min, int64_t max, int64_t *out, struct kerr *e)
{
	int64_t n;

	if (v->type != JSON_NUMBER)
		return wrong_type(e, v, "a whole number");
	if (str_to_i64(v->text, &n)) {
		if (strpbrk(v->text, ".eE"))
			return json_fail(
				e, KERR_CONFIG_TYPE, v, "%.40s is no whole number", v->text);
		return json_fail(e, KERR_CONFIG_RANGE, v, "%.40s is not from %lld to %lld", v->text,
			(long long)min, (long long)max);
	}
	if (n < min || n > max)
		return json_fail(e, KERR_CONFIG_RANGE, v, "%.40s is not from %lld to %lld", v->text,
			(long long)min, (long long)max);
	*out = n;
	return 0;
}

int json_bool(const struct json *v, bool *out, struct kerr *e)
{
	if (v->type != JSON_BOOL)
		return wrong_type(e, v, "true or false");
	*out = v->boolean;
	return 0;
}

int json_string(const struct json *v, const char **out, struct kerr *e)
{
	if (v->type != JSON_STRING)
		return wrong_type(e, v, "a string");
	*out = v->text;
	return 0;
}

const char *json_get_string(const struct json *object, const char *key, const char *otherwise)
{
	const struct json *v = json_get(object, key);

	return v && v->type == JSON_STRING ? v->text : otherwise;
}

uint64_t json_get_u64(const struct json *object, const char *key, uint64_t otherwise)
{
	const struct json *v = json_get(object, key);
	uint64_t n;

	return v && v->type == JSON_NUMBER && str_to_u64(v->text, &n) == 0 ? n : otherwise;
}

int64_t json_get_i64(const struct json *object, const char *key, int64_t otherwise)
{
	const struct json *v = json_get(object, key);
	int64_t n;

	return v && v->type == JSON_NUMBER && str_to_i64(v->text, &n) == 0 ? n : otherwise;
}

bool json_get_bool(const struct json *object, const char *key, bool otherwise)
{
	const struct json *v = json_get(object, key);

	return v && v->type == JSON_BOOL ? v->boolean : otherwise;
}

void json_get_kerr(const struct json *object, struct kerr *out)
{
	kerr_fail(out, kerr_by_name(json_get_string(object, "code", "")),
		(int)json_get_u64(object, "errno", 0), "%s",
		json_get_string(object, "message", ""));
	if (json_get(object, "step"))
		kerr_step(out, "%s", json_get_string(object, "step", ""));
	kerr_at(out, json_get_string(object, "pointer", NULL),
		(uint32_t)json_get_u64(object, "line", 0),
		(uint32_t)json_get_u64(object, "column", 0));
	json_each(fault, json_get(object, "faults"))
	{
		struct kerr one = KERR_INIT;

		json_get_kerr(fault, &one);
		kerr_add(out, &one);
	}
}
