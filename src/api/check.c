/* SPDX-License-Identifier: Apache-2.0 */
#include "idl.h"
#include <kapsel/api.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FAULTS = 32 };

struct api_schema {
	struct arena *a;
	const struct idl_member *method[API_METHOD_COUNT];
};

static int find_method(struct api_schema *s, const struct idl *i)
{
	size_t len = strlen(i->name);

	for (int m = 0; m < API_METHOD_COUNT; m++) {
		const char *name = api_method((enum api_method)m)->name;

		if (str_starts(name, i->name) && name[len] == '.')
			s->method[m] =
				idl_find(i, IDL_METHOD, name + len + 1, strlen(name + len + 1));
	}
	return 0;
}

int api_schema_new(struct api_schema **out, struct kerr *e)
{
	struct api_schema *s = mem_zalloc(sizeof *s);

	s->a = arena_new();
	for (size_t n = 0; api_interface(n); n++) {
		struct idl i = { 0 };

		if (idl_parse(s->a, api_interface_text(api_interface(n)), &i, e)) {
			kerr_step(e, "interface %s", api_interface(n));
			api_schema_free(s);
			return -1;
		}
		find_method(s, &i);
	}
	for (int m = 0; m < API_METHOD_COUNT; m++)
		if (s->method[m] == NULL) {
			kerr_fail(e, KERR_INTERNAL, 0, "no interface has %s",
				api_method((enum api_method)m)->name);
			api_schema_free(s);
			return -1;
		}
	*out = s;
	return 0;
}

void api_schema_free(struct api_schema *s)
{
	if (s == NULL)
		return;
	arena_free(s->a);
	free(s);
}

void api_schema_freep(struct api_schema **s)
{
	api_schema_free(*s);
}

/* ---- one value ----------------------------------------------------------------------------------
 */

static void add(struct kerr *report, struct kerr *fault)
{
	if (report->nfaults + 1 < MOST_FAULTS)
		kerr_add(report, fault);
	else
		kerr_clear(fault);
}

static const char *nearest(const struct idl_field *fields, const char *word)
{
	const char *best = NULL;
	size_t least = 3;

	for (; fields; fields = fields->next) {
		size_t d = str_distance(fields->name, word, 2);

		if (d < least) {
			least = d;
			best = fields->name;
		}
	}
	return best;
}

static const struct idl_field *field(const struct idl_type *t, const char *name)
{
	for (const struct idl_field *f = t->fields; f; f = f->next)
		if (str_eq(f->name, name))
			return f;
	return NULL;
}

static void unknown(const struct idl_type *t, const struct json *v, const char *what,
	const char *word, struct kerr *report)
{
	struct kerr fault = KERR_INIT;
	const char *near = nearest(t->fields, word);

	json_fail(&fault, t->kind == IDL_ENUM ? KERR_CONFIG_VALUE : KERR_CONFIG_UNKNOWN, v,
		"%s \"%.64s\" is not known here%s%s%s", what, word, near ? "; did you mean \"" : "",
		near ? near : "", near ? "\"?" : "");
	add(report, &fault);
}

static void wrong_type(const struct json *v, const char *wanted, struct kerr *report)
{
	struct kerr fault = KERR_INIT;

	json_fail(&fault, KERR_CONFIG_TYPE, v, "is %s, and must be %s", json_type_name(v->type),
		wanted);
	add(report, &fault);
}

static void check(const struct idl_type *t, const struct json *v, struct kerr *report);

static void check_struct(const struct idl_type *t, const struct json *v, struct kerr *report)
{
	json_each(member, v)
	{
		const struct idl_field *f = field(t, member->key);

		if (f)
			check(f->type, member, report);
		else
			unknown(t, member, "the field", member->key, report);
	}
	for (const struct idl_field *f = t->fields; f; f = f->next) {
		struct kerr fault = KERR_INIT;

		if (f->type->optional || json_get(v, f->name))
			continue;
		json_fail(&fault, KERR_CONFIG_REQUIRED, v, "the field \"%s\" is missing", f->name);
		add(report, &fault);
	}
}

static void check_int(const struct json *v, struct kerr *report)
{
	struct kerr fault = KERR_INIT;
	int64_t n;

	if (json_i64(v, INT64_MIN, INT64_MAX, &n, &fault))
		add(report, &fault);
}

static void check(const struct idl_type *t, const struct json *v, struct kerr *report)
{
	static const struct {
		enum json_type type;
		const char *wanted;
	} kinds[] = {
		[IDL_BOOL] = { JSON_BOOL, "true or false" },
		[IDL_INT] = { JSON_NUMBER, "a whole number" },
		[IDL_FLOAT] = { JSON_NUMBER, "a number" },
		[IDL_STRING] = { JSON_STRING, "a string" },
		[IDL_OBJECT] = { JSON_OBJECT, "an object" },
		[IDL_ARRAY] = { JSON_ARRAY, "a list" },
		[IDL_MAP] = { JSON_OBJECT, "an object" },
		[IDL_ENUM] = { JSON_STRING, "a string" },
		[IDL_STRUCT] = { JSON_OBJECT, "an object" },
	};

	if (t->optional && v->type == JSON_NULL)
		return;
	if (t->kind == IDL_NAME) {
		check(t->named->type, v, report);
		return;
	}
	if (v->type != kinds[t->kind].type) {
		wrong_type(v, kinds[t->kind].wanted, report);
		return;
	}
	if (t->kind == IDL_INT)
		check_int(v, report);
	else if (t->kind == IDL_STRUCT)
		check_struct(t, v, report);
	else if (t->kind == IDL_ENUM && field(t, v->text) == NULL)
		unknown(t, v, "the word", v->text, report);
	else if (t->kind == IDL_ARRAY || t->kind == IDL_MAP)
		json_each(item, v) check(t->of, item, report);
}

static int check_all(const struct idl_type *t, const struct json *params, struct kerr *e)
{
	static const struct json empty = { .type = JSON_OBJECT, .line = 1, .column = 1 };
	struct kerr report = KERR_INIT;

	check(t, params ? params : &empty, &report);
	if (!kerr_is_set(&report))
		return 0;
	if (e)
		kerr_move(e, &report);
	kerr_clear(&report);
	return -1;
}

int api_check_in(
	const struct api_schema *s, enum api_method m, const struct json *params, struct kerr *e)
{
	return check_all(s->method[m]->type, params, e);
}

int api_check_out(
	const struct api_schema *s, enum api_method m, const struct json *params, struct kerr *e)
{
	return check_all(s->method[m]->out, params, e);
}
