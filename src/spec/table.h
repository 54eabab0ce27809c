/* SPDX-License-Identifier: Apache-2.0 */
/* The field tables and what walks them. Private to spec. */
#ifndef KAPSEL_SPEC_TABLE_H
#define KAPSEL_SPEC_TABLE_H

#include <kapsel/spec.h>

enum field_kind {
	F_BOOL,	    /* bool */
	F_U64,	    /* uint64_t, from min to max */
	F_I64,	    /* int64_t */
	F_OPT_U64,  /* struct opt_u64 */
	F_OPT_I64,  /* struct opt_i64 */
	F_STRING,   /* const char * */
	F_ABSOLUTE, /* const char *, begins with "/" */
	F_STRINGS,  /* LIST(const char *) */
	F_GROUPS,   /* LIST(uint32_t) */
	F_NAME,	    /* int, one of names */
	F_NAME_OPT, /* struct opt_u64, one of names */
	F_NAMES,    /* uint64_t, the sum of names */
	F_OBJECT,   /* an embedded struct */
	F_POINTER,  /* a struct of its own, or NULL */
	F_LIST,	    /* LIST(struct), items are objects */
	F_MAP,	 /* LIST(struct), members are objects; the key goes to the struct's second member */
	F_PAIRS, /* LIST(struct oci_pair), members are strings */
	F_CAPS,	 /* uint64_t, a list of capability names; unknown ones are warned of */
	F_LATER, /* known, and refused with KERR_UNSUPPORTED unless null-like */
	F_NOTHING, /* known, checked for its type, of no effect */
};

/* A stranger's file sizes what is read from it. */
enum { MOST_ENTRIES = 4096, MOST_STRING = 65536 };

struct name_value {
	const char *name;
	uint64_t value;
};

struct field {
	const char *name;
	enum field_kind kind;
	size_t offset;
	uint64_t min, max; /* of numbers; i64: cast */
	const struct name_value *names;
	const struct fields *sub;
	size_t most; /* entries of a list; 0: 4096 */
	bool required;
	const char *doc;
	const char *none; /* why it becomes no operation of a plan; NULL: it becomes one */
};
struct fields {
	const struct field *v;
	size_t n;
	size_t size; /* of the struct */
};

struct parse {
	struct arena *a;
	const struct spec_options *o;
	struct kerr *faults, *warnings;
};
/* Reads @object into @out by @t: reports each fault, returns nothing. */
void table_read(struct parse *p, const struct fields *t, const struct json *object, void *out);
void fault(struct parse *p, enum kerr_code code, const struct json *v, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
void warning(struct parse *p, enum kerr_code code, const struct json *v, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* A misspelt key: a warning, and a fault in strict mode. */
void misspelt(struct parse *p, enum kerr_code code, const struct json *v, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

extern const struct fields config_fields, process_fields, resources_fields;
/* Each ends with a NULL name. */
extern const struct name_value seccomp_actions[], seccomp_operators[], seccomp_flags[];
extern const char *const seccomp_architectures[];
void check_spec(struct parse *p, struct oci_spec *s);
void check_process(struct parse *p, struct oci_process *process);
void check_resources(struct parse *p, const struct oci_resources *r);

#endif
