/* SPDX-License-Identifier: Apache-2.0 */
/* The varlink interface language, parsed: https://varlink.org/Interface-Definition */
#ifndef KAPSEL_API_IDL_H
#define KAPSEL_API_IDL_H

#include <kapsel/base.h>

enum idl_kind {
	IDL_BOOL,
	IDL_INT,
	IDL_FLOAT,
	IDL_STRING,
	IDL_OBJECT, /* any JSON value that is an object */
	IDL_ARRAY,
	IDL_MAP, /* from strings */
	IDL_ENUM,
	IDL_STRUCT,
	IDL_NAME /* of a type of the interface: see idl_resolve() */
};

struct idl_field {
	const char *name;
	const struct idl_type *type; /* NULL for an enum's word */
	struct idl_field *next;
};

struct idl_type {
	enum idl_kind kind;
	bool optional;
	const struct idl_type *of;	/* ARRAY, MAP */
	const struct idl_field *fields; /* STRUCT, ENUM */
	const struct idl_member *named; /* NAME */
	const char *name;
};

enum idl_member_kind { IDL_TYPE, IDL_METHOD, IDL_ERROR };
struct idl_member {
	enum idl_member_kind kind;
	const char *name;
	const struct idl_type *type; /* TYPE, ERROR; a METHOD's parameters */
	const struct idl_type *out;  /* METHOD */
	struct idl_member *next;
};

struct idl {
	const char *name;
	struct idl_member *members;
};

/* Return: 0, or -1 with KERR_CONFIG_VALUE and the line. */
int idl_parse(struct arena *a, const char *text, struct idl *out, struct kerr *e);
const struct idl_member *idl_find(
	const struct idl *i, enum idl_member_kind kind, const char *name, size_t len);

#endif
