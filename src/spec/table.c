/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"
#include <string.h>
#include <strings.h>

/* A report of more faults helps nobody. */
enum { MOST_FAULTS = 500 };

struct list {
	void *v;
	size_t n;
}; /* the shape of every LIST() */

static void report(struct parse *p, struct kerr *to, enum kerr_code code, const struct json *v,
	const char *fmt, va_list ap)
{
	struct kerr one = KERR_INIT;

	if (to == NULL || to->nfaults >= MOST_FAULTS)
		return;
	kerr_vfail(&one, code, 0, fmt, ap);
	if (v)
		kerr_at(&one, json_pointer(p->a, v), v->line, v->column);
	kerr_add(to, &one);
}

void fault(struct parse *p, enum kerr_code code, const struct json *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(p, p->faults, code, v, fmt, ap);
	va_end(ap);
}

void warning(struct parse *p, enum kerr_code code, const struct json *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(p, p->warnings, code, v, fmt, ap);
	va_end(ap);
}

void misspelt(struct parse *p, enum kerr_code code, const struct json *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(p, p->o && p->o->strict ? p->faults : p->warnings, code, v, fmt, ap);
	va_end(ap);
}

static void take(struct parse *p, struct kerr *one)
{
	if (p->faults->nfaults < MOST_FAULTS)
		kerr_add(p->faults, one);
	kerr_clear(one);
}

static bool is_type(struct parse *p, const struct json *v, enum json_type type)
{
	if (v->type == type)
		return true;
	fault(p, KERR_CONFIG_TYPE, v, "is %s, and must be %s", json_type_name(v->type),
		json_type_name(type));
	return false;
}

static bool read_string(struct parse *p, const struct json *v, const char **out)
{
	if (!is_type(p, v, JSON_STRING))
		return false;
	if (v->len >= MOST_STRING) {
		fault(p, KERR_CONFIG_RANGE, v, "is %zu bytes long, at most %d are taken", v->len,
			MOST_STRING - 1);
		return false;
	}
	*out = v->text;
	return true;
}

static void *list_make(
	struct parse *p, const struct json *v, const struct field *f, size_t size, struct list *l)
{
	size_t most = f->most ? f->most : MOST_ENTRIES;

	if (!is_type(p, v, f->kind == F_MAP || f->kind == F_PAIRS ? JSON_OBJECT : JSON_ARRAY))
		return NULL;
	if (v->n > most) {
		fault(p, KERR_JSON_LIMIT, v, "has %zu entries, at most %zu are taken", v->n, most);
		return NULL;
	}
	l->v = arena_array(p->a, v->n ? v->n : 1, size);
	l->n = 0;
	return l->v;
}

static void read_strings(
	struct parse *p, const struct json *v, const struct field *f, struct list *l)
{
	const char **strings = list_make(p, v, f, sizeof *strings, l);

	if (strings)
		json_each(item, v) if (read_string(p, item, &strings[l->n])) l->n++;
}

static void read_groups(
	struct parse *p, const struct json *v, const struct field *f, struct list *l)
{
	uint32_t *groups = list_make(p, v, f, sizeof *groups, l);
	uint64_t id;

	if (groups)
		json_each(item, v)
		{
			struct kerr one = KERR_INIT;

			if (json_u64(item, 0, UINT32_MAX - 1, &id, &one))
				take(p, &one);
			else
				groups[l->n++] = (uint32_t)id;
		}
}

static const struct name_value *by_name(
	struct parse *p, const struct json *v, const struct name_value *names)
{
	const struct name_value *near = NULL;
	const char *s;

	if (!read_string(p, v, &s))
		return NULL;
	for (const struct name_value *n = names; n->name; n++) {
		if (strcmp(n->name, s) == 0)
			return n;
		if (strcasecmp(n->name, s) == 0 || str_distance(n->name, s, 2) <= 2)
			near = n;
	}
	fault(p, KERR_CONFIG_VALUE, v, "'%.60s' is not a value of this field%s%s%s", s,
		near ? ": did you mean '" : "", near ? near->name : "", near ? "'?" : "");
	return NULL;
}

static void read_names(struct parse *p, const struct json *v, const struct field *f, uint64_t *out)
{
	const struct name_value *n;

	if (!is_type(p, v, JSON_ARRAY))
		return;
	json_each(item, v)
	{
		n = by_name(p, item, f->names);
		*out |= n ? n->value : 0;
	}
}

static void read_caps(struct parse *p, const struct json *v, uint64_t *out)
{
	const char *s;

	if (!is_type(p, v, JSON_ARRAY))
		return;
	json_each(item, v)
	{
		unsigned n = 0;

		if (!read_string(p, item, &s))
			continue;
		while (n < OCI_CAPABILITIES && strcmp(oci_capability_name(n), s) != 0)
			n++;
		if (n < OCI_CAPABILITIES)
			*out |= 1ull << n;
		else /* the specification asks for a warning, not an error */
			warning(p, KERR_CAPABILITY, item,
				"'%.60s' is no capability that Kapsel knows", s);
	}
}

static void read_items(struct parse *p, const struct json *v, const struct field *f, struct list *l)
{
	char *items = list_make(p, v, f, f->sub->size, l);

	if (items)
		json_each(item, v)
		{
			void *one = items + l->n * f->sub->size;

			if (!is_type(p, item, JSON_OBJECT))
				continue;
			if (f->kind == F_MAP)
				memcpy((char *)one + sizeof(void *), &item->key, sizeof item->key);
			table_read(p, f->sub, item, one);
			l->n++;
		}
}

static void read_pairs(struct parse *p, const struct json *v, const struct field *f, struct list *l)
{
	struct oci_pair *pairs = list_make(p, v, f, sizeof *pairs, l);

	if (pairs)
		json_each(item, v) if (read_string(p, item, &pairs[l->n].value))
		{
			pairs[l->n].at = item;
			pairs[l->n++].key = item->key;
		}
}

/* The specification's zero values ask for nothing. */
static bool asks_nothing(const struct json *v)
{
	return (v->type == JSON_STRING && v->len == 0) ||
	       ((v->type == JSON_ARRAY || v->type == JSON_OBJECT) && v->n == 0) ||
	       (v->type == JSON_BOOL && !v->boolean);
}

static void read_field(struct parse *p, const struct field *f, const struct json *v, char *out)
{
	struct kerr one = KERR_INIT;
	const struct name_value *n;
	void *to = out + f->offset, *sub;
	struct opt_u64 *ou = to;
	struct opt_i64 *oi = to;
	int rc = 0;

	switch (f->kind) {
	case F_BOOL:
		rc = json_bool(v, to, &one);
		break;
	case F_U64:
		rc = json_u64(v, f->min, f->max, to, &one);
		if (rc) /* so that check.c sees no other number in its place */
			memcpy(to, &(uint64_t) { UINT64_MAX }, sizeof(uint64_t));
		break;
	case F_I64:
		rc = json_i64(v, (int64_t)f->min, (int64_t)f->max, to, &one);
		break;
	case F_OPT_U64:
		rc = json_u64(v, f->min, f->max, &ou->v, &one);
		ou->set = rc == 0;
		break;
	case F_OPT_I64:
		rc = json_i64(v, (int64_t)f->min, (int64_t)f->max, &oi->v, &one);
		oi->set = rc == 0;
		break;
	case F_STRING:
		read_string(p, v, to);
		break;
	case F_ABSOLUTE:
		if (read_string(p, v, to) && v->text[0] != '/')
			fault(p, KERR_CONFIG_VALUE, v, "'%.200s' must be an absolute path",
				v->text);
		break;
	case F_STRINGS:
		read_strings(p, v, f, to);
		break;
	case F_GROUPS:
		read_groups(p, v, f, to);
		break;
	case F_NAME:
		n = by_name(p, v, f->names);
		*(int *)to = n ? (int)n->value : -1;
		break;
	case F_NAME_OPT:
		n = by_name(p, v, f->names);
		if (n)
			*ou = (struct opt_u64) { n->value, true };
		break;
	case F_NAMES:
		read_names(p, v, f, to);
		break;
	case F_CAPS:
		read_caps(p, v, to);
		break;
	case F_OBJECT:
		if (is_type(p, v, JSON_OBJECT))
			table_read(p, f->sub, v, to);
		break;
	case F_POINTER:
		if (is_type(p, v, JSON_OBJECT)) {
			sub = arena_alloc(p->a, f->sub->size);
			memcpy(to, &sub, sizeof sub);
			table_read(p, f->sub, v, sub);
		}
		break;
	case F_LIST:
	case F_MAP:
		read_items(p, v, f, to);
		break;
	case F_PAIRS:
		read_pairs(p, v, f, to);
		break;
	case F_LATER:
		if (!asks_nothing(v))
			fault(p, KERR_UNSUPPORTED, v, "'%s' is not carried out by this version",
				f->name);
		break;
	case F_NOTHING:
		break;
	}
	if (rc)
		take(p, &one);
}

static const struct field *find(const struct fields *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].name, name) == 0)
			return &t->v[i];
	return NULL;
}

static void unknown_key(struct parse *p, const struct fields *t, const struct json *member)
{
	const struct field *near = NULL;

	for (size_t i = 0; i < t->n && near == NULL; i++)
		if (strcasecmp(t->v[i].name, member->key) == 0 ||
			(strlen(member->key) > 3 &&
				str_distance(t->v[i].name, member->key, 2) <= 2))
			near = &t->v[i];
	if (near)
		misspelt(p, KERR_CONFIG_UNKNOWN, member, "unknown key '%.60s': did you mean '%s'?",
			member->key, near->name);
	else if (p->o &&
		 (p->o->strict ||
			 p->o->warn_unknown)) /* it must be ignored, says the specification */
		warning(p, KERR_CONFIG_UNKNOWN, member, "unknown key '%.60s' is ignored",
			member->key);
}

void table_read(struct parse *p, const struct fields *t, const struct json *object, void *out)
{
	memcpy(out, &object, sizeof object);
	json_each(member, object)
	{
		const struct field *f = find(t, member->key);

		if (f)
			read_field(p, f, member, out);
		else
			unknown_key(p, t, member);
	}
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].required && json_get(object, t->v[i].name) == NULL)
			fault(p, KERR_CONFIG_REQUIRED, object, "'%s' is missing", t->v[i].name);
}
