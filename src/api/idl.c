/* SPDX-License-Identifier: Apache-2.0 */
#include "idl.h"
#include <string.h>

struct parser {
	struct arena *a;
	const char *at;
	uint32_t line;
	struct idl *idl;
	struct kerr *e;
	unsigned depth;
};

enum { DEEPEST = 16 };

static int bad(struct parser *p, const char *wanted)
{
	kerr_fail(p->e, KERR_CONFIG_VALUE, 0, "%s is wanted before \"%.20s\"", wanted, p->at);
	return kerr_at(p->e, NULL, p->line, 0);
}

static void skip_blank(struct parser *p)
{
	for (;; p->at++) {
		if (*p->at == '#')
			p->at += strcspn(p->at, "\n");
		if (*p->at == '\n')
			p->line++;
		else if (*p->at != ' ' && *p->at != '\t' && *p->at != '\r')
			return;
	}
}

static bool accept(struct parser *p, const char *token)
{
	skip_blank(p);
	if (!str_starts(p->at, token))
		return false;
	p->at += strlen(token);
	return true;
}

static int expect(struct parser *p, const char *token)
{
	return accept(p, token) ? 0 : bad(p, token);
}

static bool is_name(char c, bool dots)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (dots && (c == '.' || c == '-'));
}

static const char *name(struct parser *p, bool dots)
{
	size_t n = 0;
	const char *s;

	skip_blank(p);
	while (is_name(p->at[n], dots))
		n++;
	if (n == 0) {
		bad(p, "a name");
		return NULL;
	}
	s = arena_strndup(p->a, p->at, n);
	p->at += n;
	return s;
}

static const struct idl_type *type(struct parser *p);

/* "(a: int, b: ?string)" is a struct, "(a, b)" an enum. */
static int fields(struct parser *p, struct idl_type *t)
{
	struct idl_field **end = (struct idl_field **)&t->fields;

	t->kind = IDL_STRUCT;
	if (accept(p, ")"))
		return 0;
	do {
		struct idl_field *f = arena_alloc(p->a, sizeof *f);

		f->name = name(p, false);
		if (f->name == NULL)
			return -1;
		if (!accept(p, ":"))
			t->kind = IDL_ENUM;
		else if ((f->type = type(p)) == NULL)
			return -1;
		*end = f;
		end = &f->next;
	} while (accept(p, ","));
	return expect(p, ")");
}

static int named(struct parser *p, struct idl_type *t)
{
	static const struct {
		const char *word;
		enum idl_kind kind;
	} words[] = { { "bool", IDL_BOOL }, { "int", IDL_INT }, { "float", IDL_FLOAT },
		{ "string", IDL_STRING }, { "object", IDL_OBJECT } };

	t->name = name(p, false);
	t->kind = IDL_NAME;
	for (size_t i = 0; t->name && i < ARRAY_LEN(words); i++)
		if (str_eq(t->name, words[i].word))
			t->kind = words[i].kind;
	return t->name ? 0 : -1;
}

static int one_type(struct parser *p, struct idl_type *t)
{
	t->optional = accept(p, "?");
	if (accept(p, "(")) {
		return fields(p, t);
	} else if (accept(p, "[string]")) {
		t->kind = IDL_MAP;
		t->of = type(p);
		return t->of ? 0 : -1;
	} else if (accept(p, "[]")) {
		t->kind = IDL_ARRAY;
		t->of = type(p);
		return t->of ? 0 : -1;
	}
	return named(p, t);
}

static const struct idl_type *type(struct parser *p)
{
	struct idl_type *t = arena_alloc(p->a, sizeof *t);
	int r;

	if (p->depth == DEEPEST) {
		bad(p, "a flatter type");
		return NULL;
	}
	p->depth++;
	r = one_type(p, t);
	p->depth--;
	return r ? NULL : t;
}

static int member(struct parser *p, struct idl_member *m)
{
	if (accept(p, "type "))
		m->kind = IDL_TYPE;
	else if (accept(p, "method "))
		m->kind = IDL_METHOD;
	else if (accept(p, "error "))
		m->kind = IDL_ERROR;
	else
		return bad(p, "type, method or error");
	m->name = name(p, false);
	if (m->name == NULL || (m->type = type(p)) == NULL)
		return -1;
	if (m->kind != IDL_METHOD)
		return 0;
	if (expect(p, "->") || (m->out = type(p)) == NULL)
		return -1;
	return 0;
}

const struct idl_member *idl_find(
	const struct idl *i, enum idl_member_kind kind, const char *s, size_t len)
{
	for (const struct idl_member *m = i->members; m; m = m->next)
		if (m->kind == kind && strlen(m->name) == len && memcmp(m->name, s, len) == 0)
			return m;
	return NULL;
}

static int resolve(const struct idl *i, const struct idl_type *type_, struct kerr *e)
{
	struct idl_type *t = (struct idl_type *)(uintptr_t)type_;

	if (t == NULL)
		return 0;
	if (t->kind == IDL_NAME) {
		t->named = idl_find(i, IDL_TYPE, t->name, strlen(t->name));
		if (t->named == NULL)
			return kerr_fail(
				e, KERR_CONFIG_VALUE, 0, "%s has no type %s", i->name, t->name);
	}
	if (t->kind == IDL_STRUCT)
		for (const struct idl_field *f = t->fields; f; f = f->next)
			if (resolve(i, f->type, e))
				return -1;
	return resolve(i, t->of, e);
}

int idl_parse(struct arena *a, const char *text, struct idl *out, struct kerr *e)
{
	struct parser p = { .a = a, .at = text, .line = 1, .idl = out, .e = e };
	struct idl_member **end = &out->members;

	if (expect(&p, "interface") || (out->name = name(&p, true)) == NULL)
		return -1;
	for (skip_blank(&p); *p.at; skip_blank(&p)) {
		struct idl_member *m = arena_alloc(a, sizeof *m);

		if (member(&p, m))
			return -1;
		*end = m;
		end = &m->next;
	}
	for (struct idl_member *m = out->members; m; m = m->next)
		if (resolve(out, m->type, e) || resolve(out, m->out, e))
			return -1;
	return 0;
}
