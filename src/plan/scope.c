/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd cgroup manager: cgroupsPath "slice:prefix:name" -> a transient scope, and those of
 * linux.resources that systemd would set itself, so that it sets what was asked for. */
#include "build.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- properties
 * ------------------------------------------------------------------------------------------ */

struct list {
	struct arena *a;
	struct systemd_property *v;
	size_t n;
};
enum { MOST_PROPERTIES = 64, MOST_CPUS = 8192 };
#define INFINITE UINT64_MAX

static struct systemd_property *property(struct list *l, const char *name, enum systemd_form form)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i].name, name)) /* the later one counts */
			return &l->v[i];
	if (l->v == NULL)
		l->v = arena_array(l->a, MOST_PROPERTIES, sizeof *l->v);
	l->v[l->n] = (struct systemd_property) { .name = name, .form = form };
	return &l->v[l->n++];
}

static void put_number(struct list *l, const char *name, uint64_t v)
{
	property(l, name, SYSTEMD_U64)->number = v;
}

static void put_bool(struct list *l, const char *name, bool v, bool must)
{
	struct systemd_property *p = property(l, name, SYSTEMD_BOOL);

	p->number = v;
	p->must = must;
}

static uint64_t or_infinite(int64_t v)
{
	return v < 0 ? INFINITE : (uint64_t)v;
}

/* A bit a CPU, the lowest first; what is no list is the kernel's to refuse. */
static void put_set(struct list *l, const char *name, const char *list)
{
	uint8_t *bits;
	size_t n = 0;

	if (list == NULL || *list == '\0' || strspn(list, "0123456789,-") != strlen(list))
		return;
	bits = arena_array(l->a, MOST_CPUS / 8, 1);
	memset(bits, 0, MOST_CPUS / 8);
	while (*list) {
		char *end;
		unsigned long a = strtoul(list, &end, 10),
			      z = *end == '-' ? strtoul(end + 1, &end, 10) : a;

		for (; a <= z && a < MOST_CPUS; a++) {
			bits[a / 8] |= (uint8_t)(1u << a % 8);
			n = a / 8 + 1 > n ? a / 8 + 1 : n;
		}
		if (*end != ',')
			break;
		list = end + 1;
	}
	if (n == 0)
		return;
	property(l, name, SYSTEMD_BYTES)->bytes = bits;
	property(l, name, SYSTEMD_BYTES)->n = n;
}

/* Rounded up: what systemd makes of it again is then the very quota. */
static void put_quota(struct list *l, int64_t quota, uint64_t period)
{
	uint64_t q = (uint64_t)quota;

	if (quota > 0 && q < UINT64_MAX / 1000000)
		put_number(l, "CPUQuotaPerSecUSec", (q * 1000000 + period - 1) / period);
	else if (quota < 0)
		put_number(l, "CPUQuotaPerSecUSec", INFINITE);
}

static void put_cpu(struct list *l, const struct oci_cpu *c, bool v2)
{
	uint64_t period = c->period.set && c->period.v ? c->period.v : 100000, shares = c->shares.v;
	bool idle = c->idle.set && c->idle.v == 1; /* then the weight is the kernel's */

	if (c->shares.set && shares && v2 && !idle)
		put_number(l, "CPUWeight", cgroup_weight_of_shares(shares));
	else if (c->shares.set && shares && !v2)
		put_number(l, "CPUShares", shares < 2 ? 2 : shares > 262144 ? 262144 : shares);
	if (c->quota.set && c->quota.v)
		put_quota(l, c->quota.v, period);
	if (c->period.set && c->period.v)
		put_number(l, "CPUQuotaPeriodUSec", period);
	if (!v2)
		return;
	put_set(l, "AllowedCPUs", c->cpus);
	put_set(l, "AllowedMemoryNodes", c->mems);
}

static void put_memory(struct list *l, const struct oci_memory *m, bool v2)
{
	bool limited = m->limit.set && m->limit.v > 0;

	if (m->limit.set && m->limit.v)
		put_number(l, "MemoryMax", or_infinite(m->limit.v));
	if (!v2)
		return;
	if (m->reservation.set && m->reservation.v)
		put_number(l, "MemoryLow", or_infinite(m->reservation.v));
	if (m->swap.set && m->swap.v)
		put_number(l, "MemorySwapMax",
			or_infinite(
				limited && m->swap.v >= 0 ? m->swap.v - m->limit.v : m->swap.v));
}

/* v2's own files that systemd writes, too. */
static const struct {
	const char *file, *property;
} unified[] = {
	{ "memory.max", "MemoryMax" },
	{ "memory.high", "MemoryHigh" },
	{ "memory.low", "MemoryLow" },
	{ "memory.min", "MemoryMin" },
	{ "memory.swap.max", "MemorySwapMax" },
	{ "pids.max", "TasksMax" },
	{ "cpu.weight", "CPUWeight" },
};

static void put_unified(struct list *l, const char *file, const char *value)
{
	CLEANUP_FREE char *first = mem_strndup(value, strcspn(value, " \n"));
	const char *second = value[strlen(first)] ? value + strlen(first) + 1 : "100000";
	uint64_t v = INFINITE, period;

	if (str_eq(file, "cpuset.cpus") || str_eq(file, "cpuset.mems"))
		put_set(l, str_ends(file, "cpus") ? "AllowedCPUs" : "AllowedMemoryNodes", value);
	if (!str_eq(first, "max") && str_to_u64(first, &v))
		return;
	if (str_eq(file, "cpu.max") && str_to_u64(second, &period) == 0 && period) {
		put_quota(l, v > INT64_MAX ? -1 : (int64_t)v, period);
		put_number(l, "CPUQuotaPeriodUSec", period);
	}
	for (size_t i = 0; i < ARRAY_LEN(unified); i++)
		if (str_eq(file, unified[i].file))
			put_number(l, unified[i].property, v);
}

/* Where only BFQ is, systemd's weight for it is not ours. */
static bool weighs_io(const struct facts *f)
{
	for (size_t i = 0; i < f->nmissing; i++)
		if (str_eq(f->missing[i], "blkio/io.weight"))
			return false;
	return true;
}

static void put_resources(struct list *l, const struct oci_resources *r, const struct facts *f)
{
	bool v2 = f->cgroup_layout == CGROUP_V2;

	put_memory(l, &r->memory, v2);
	put_cpu(l, &r->cpu, v2);
	if (r->pids.limit.set)
		put_number(l, "TasksMax", or_infinite(r->pids.limit.v));
	if (v2 && r->block_io.weight.set && r->block_io.weight.v && weighs_io(f))
		put_number(l, "IOWeight", cgroup_weight_of_blkio(r->block_io.weight.v));
	for (size_t i = 0; v2 && i < r->unified.n; i++)
		put_unified(l, r->unified.v[i].key, r->unified.v[i].value);
}

void plan_scope_properties(struct arena *a, const struct oci_resources *r, const struct facts *f,
	const struct systemd_property **v, size_t *n)
{
	struct list l = { .a = a };

	put_resources(&l, r, f);
	*v = l.v;
	*n = l.n;
}

/* ---- org.systemd.property.NAME annotations: GVariant text
 * ------------------------------------------------- */

/* All others would change what a container may do, or whom it is started for. */
static const struct {
	const char *annotation, *property;
	enum systemd_form form;
	uint64_t scale;
} allowed[] = {
	{ "TimeoutStopUSec", "TimeoutStopUSec", SYSTEMD_U64, 1 },
	{ "TimeoutStopSec", "TimeoutStopUSec", SYSTEMD_U64, 1000000 },
	{ "CollectMode", "CollectMode", SYSTEMD_STRING, 0 },
	{ "After", "After", SYSTEMD_STRINGS, 0 },
	{ "DefaultDependencies", "DefaultDependencies", SYSTEMD_BOOL, 0 },
};

static const char *skip(const char *s, const char *word)
{
	while (*s == ' ')
		s++;
	return str_starts(s, word) ? s + strlen(word) : NULL;
}

static bool at_end(const char *s)
{
	return s && s[strspn(s, " ")] == '\0';
}

/* 'word' or "word"; what is behind it, or NULL. A unit's name and a word have nothing to escape. */
static const char *quoted(struct arena *a, const char *s, const char **out)
{
	size_t n;

	s += strspn(s, " ");
	if (*s != '\'' && *s != '"')
		return NULL;
	n = strcspn(s + 1, *s == '"' ? "\"\\" : "'\\");
	if (s[n + 1] != *s)
		return NULL;
	*out = arena_printf(a, "%.*s", (int)n, s + 1);
	return s + n + 2;
}

static bool parse_number(const char *s, uint64_t scale, uint64_t *out)
{
	static const char *const types[] = { "uint64 ", "int64 ", "uint32 ", "int32 ", "double " };
	double v;
	char *end;

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (skip(s, types[i])) {
			s = skip(s, types[i]);
			break;
		}
	s += strspn(s, " ");
	if (scale == 1)
		return str_to_u64(s, out) == 0;
	if (strspn(s, "0123456789.") != strlen(s))
		return false;
	v = strtod(s, &end);
	if (*end || end == s || v > 1e12)
		return false;
	*out = (uint64_t)llround(v * (double)scale);
	return true;
}

static bool parse_words(struct arena *a, const char *s, struct systemd_property *p)
{
	enum { MOST = 32 };
	const char **words = arena_array(a, MOST, sizeof *words);

	if (skip(s, "@as"))
		s = skip(s, "@as");
	s = skip(s, "[");
	p->words = words;
	p->n = 0;
	while (s && !skip(s, "]")) {
		if (p->n == MOST || (p->n && (s = skip(s, ",")) == NULL) ||
			(s = quoted(a, s, &words[p->n])) == NULL ||
			!systemd_unit_is_valid(words[p->n++]))
			return false;
	}
	return s && at_end(skip(s, "]"));
}

static bool parse_value(struct arena *a, const char *s, size_t row, struct systemd_property *p)
{
	switch (allowed[row].form) {
	case SYSTEMD_BOOL:
		p->number = at_end(skip(s, "true"));
		return p->number || at_end(skip(s, "false"));
	case SYSTEMD_U64:
		return parse_number(s, allowed[row].scale, &p->number);
	case SYSTEMD_STRING:
		return at_end(quoted(a, s, &p->text)) &&
		       (str_eq(p->text, "inactive") || str_eq(p->text, "inactive-or-failed"));
	case SYSTEMD_STRINGS:
		return parse_words(a, s, p);
	default:
		return false;
	}
}

static void put_annotation(struct build *b, struct list *l, const struct oci_pair *pair)
{
	static const char prefix[] = "org.systemd.property.";
	const char *name = pair->key + strlen(prefix);

	if (!str_starts(pair->key, prefix))
		return;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++) {
		struct systemd_property *p;

		if (!str_eq(name, allowed[i].annotation))
			continue;
		p = property(l, allowed[i].property, allowed[i].form);
		p->must = true;
		if (!parse_value(b->a, pair->value, i, p))
			refuse(b, KERR_CONFIG_VALUE, pair->at, "'%.60s' is no value of %s",
				pair->value, name);
		return;
	}
	refuse(b, KERR_UNSUPPORTED, pair->at,
		"an annotation may not set %.60s of systemd's; only TimeoutStopUSec, "
		"TimeoutStopSec, "
		"CollectMode, After, DefaultDependencies",
		name);
}

/* ---- names
 * -----------------------------------------------------------------------------------------------
 */

/* An id may have one letter that a unit's name may not. */
static const char *unit_of_id(struct build *b, const char *id)
{
	CLEANUP_BUF struct buf name = BUF_INIT;

	for (; *id; id++)
		if (*id == '+')
			buf_adds(&name, "\\x2b");
		else
			buf_addc(&name, *id);
	return arena_printf(b->a, "kapsel-oci-%s.scope", buf_str(&name));
}

static bool name_unit(struct build *b, const char *path, struct systemd_scope *s)
{
	const char *prefix = strchr(path, ':'), *name = prefix ? strchr(prefix + 1, ':') : NULL;

	if (name == NULL || strchr(name + 1, ':'))
		return false;
	s->slice = arena_printf(b->a, "%.*s", (int)(prefix - path), path);
	s->unit = arena_printf(b->a, "%.*s%s%s.scope", (int)(name - prefix - 1), prefix + 1,
		name == prefix + 1 ? "" : "-", name + 1);
	return name[1] != '\0';
}

/* "slice:prefix:name", or none. NULL: it has been refused. */
static const char *scope_path(struct build *b, const struct json *at, struct systemd_scope *s)
{
	const char *path = b->s->linux_.cgroups_path, *id = b->p->options.id;
	CLEANUP_FREE char *slice = NULL;

	s->slice = "";
	if (path == NULL || *path == '\0')
		s->unit = unit_of_id(b, id ? id : "ID");
	else if (!name_unit(b, path, s)) {
		refuse(b, KERR_CONFIG_VALUE, at,
			"with the systemd cgroup manager cgroupsPath is 'slice:prefix:name', not "
			"'%.100s'",
			path);
		return NULL;
	}
	if (str_ends(s->unit, ".slice.scope")) {
		refuse(b, KERR_UNSUPPORTED, at,
			"a container in a slice without a scope of its own");
		return NULL;
	}
	if (!systemd_unit_is_valid(s->unit)) {
		refuse(b, KERR_CONFIG_VALUE, at, "'%.100s' is no name of a systemd unit", s->unit);
		return NULL;
	}
	if (*s->slice == '\0')
		s->slice = s->user ? "user.slice" : "system.slice";
	if (str_eq(s->slice, "-"))
		s->slice = "-.slice";
	slice = systemd_slice_path(s->slice);
	if (slice == NULL) {
		refuse(b, KERR_CONFIG_VALUE, at, "'%.100s' is no name of a systemd slice",
			s->slice);
		return NULL;
	}
	return arena_printf(b->a, "%s/%s", slice, s->unit);
}

/* ---- operations
 * ------------------------------------------------------------------------------------------ */

static void put_ours(struct build *b, struct list *l)
{
	const char *id = b->p->options.id;
	struct systemd_property *p = property(l, "Description", SYSTEMD_STRING);

	p->text = arena_printf(b->a, "Kapsel container %s", id ? id : "ID");
	put_bool(l, "Delegate", true, true);
	put_bool(l, "DefaultDependencies", false, true);
	property(l, "CollectMode", SYSTEMD_STRING)->text = "inactive-or-failed";
	put_bool(l, "CPUAccounting", true, false);
	put_bool(l, "MemoryAccounting", true, false);
	put_bool(l, "TasksAccounting", true, false);
	put_bool(l, b->f->cgroup_layout == CGROUP_V2 ? "IOAccounting" : "BlockIOAccounting", true,
		false);
	put_number(l, "TasksMax", INFINITE); /* not systemd's own default */
}

/* Of one task only: not before what holds the scope for init is out of it again. */
static bool is_for_later(const struct systemd_property *p)
{
	return str_eq(p->name, "TasksMax") && p->number < 2;
}

void build_scope(struct build *b, const struct json *at)
{
	struct list l = { .a = b->a };
	struct systemd_scope s = { .user = !b->f->root };
	const char *path = scope_path(b, at, &s);
	struct op *op;

	put_ours(b, &l);
	put_resources(&l, &b->s->linux_.resources, b->f);
	for (size_t i = 0; i < b->s->annotations.n; i++)
		put_annotation(b, &l, &b->s->annotations.v[i]);
	if (path == NULL)
		return;
	op = add_op(b, OP_CGROUP_SCOPE, SIDE_EXECUTOR, path, at);
	op->verified = true;
	b->scope = s;
	for (size_t i = 0; i < l.n; i++)
		if (is_for_later(&l.v[i])) {
			b->late = l.v[i];
			b->late.number = 1; /* systemd knows no less */
			l.v[i].number = 2;
		}
	s.v = l.v;
	s.n = l.n;
	op->u.scope = s;
}

void build_settle(struct build *b)
{
	struct op *op = add_op(b, OP_CGROUP_SETTLE, SIDE_EXECUTOR, b->scope.unit, NULL);

	op->u.scope = b->scope;
	if (b->late.name) {
		op->u.scope.v = arena_array(b->a, 1, sizeof b->late);
		memcpy((void *)(uintptr_t)op->u.scope.v, &b->late, sizeof b->late);
		op->u.scope.n = 1;
	}
	build_late_resources(b);
}
