/* SPDX-License-Identifier: Apache-2.0 */
/* New limits for a container that runs: all of them, or none. */
#include "private.h"
#include <stdlib.h>
#include <string.h>

struct change {
	const struct op *op;
	char *old;    /* what to write to have it back */
	bool written; /* not what it was */
	bool holds;
};

/* Of a file with a line for each device or interface: that of @key, or NULL. */
static char *line_of(const char *text, const char *key, size_t len)
{
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (strncmp(text, key, len) == 0 && text[len] == ' ')
			return mem_strndup(text, strcspn(text, "\n"));
	return NULL;
}

/* What such a file takes for "no value of its own". */
static char *line_unset(const char *file, const char *value, size_t key)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (strchr(value, '=') == NULL)
		return mem_printf("%.*s %s", (int)key, value,
			str_ends(file, "weight") || str_ends(file, "weight_device") ? "default"
										    : "0");
	while (*value) {
		size_t n = strcspn(value, " "), equal = strcspn(value, "=");

		if (b.len)
			buf_addc(&b, ' ');
		buf_add(&b, value, equal < n ? equal : n);
		if (equal < n)
			buf_adds(&b, "=max");
		value += n + (value[n] == ' ');
	}
	return buf_take(&b);
}

static char *old_value(const char *file, const char *value, const char *found)
{
	size_t key = strcspn(value, " "), first = strcspn(found, "\n");
	char *line;

	if (str_eq(file, "memory.oom_control"))
		return mem_strdup(strstr(found, "oom_kill_disable 1") ? "1" : "0");
	if (value[key] == '\0' || str_eq(file, "cpu.max"))
		return first ? mem_strndup(found, first) : mem_strdup("\n");
	line = line_of(found, value, key);
	return line ? line : line_unset(file, value, key);
}

static int read_old(struct cgroup *c, struct change *v, size_t n, struct kerr *e)
{
	for (size_t i = 0; i < n; i++) {
		const struct op *op = v[i].op;
		CLEANUP_BUF struct buf found = BUF_INIT;

		if (cgroup_read(c, op->u.write.controller, op->u.write.file, &found, e))
			return step_failed(op, e);
		v[i].old = old_value(op->u.write.file, op->u.write.value, buf_str(&found));
	}
	return 0;
}

static int write_one(struct cgroup *c, struct change *v, struct kerr *e)
{
	const struct op *op = v->op;
	CLEANUP_BUF struct buf now = BUF_INIT;

	if (op->u.write.usage && fits_usage(c, op, e))
		return -1;
	if (cgroup_write(c, op->u.write.controller, op->u.write.file, op->u.write.value, e))
		return -1;
	v->written = true;
	if (!op->u.write.read_back ||
		cgroup_read(c, op->u.write.controller, op->u.write.file, &now, NULL) ||
		same_setting(op->u.write.value, buf_str(&now)))
		return 0;
	now.data[strcspn(now.data, "\n")] = '\0';
	return kerr_fail(e, KERR_SELF_CHECK, 0, "%s is %s, and %s was asked for", op->u.write.file,
		now.data, op->u.write.value);
}

/* The kernel compares neighbours (memory with memory and swap, quota with period): what it refuses
 * is tried again when the others are written. */
static int write_all(struct cgroup *c, struct change *v, size_t n, struct kerr *e)
{
	for (;;) {
		size_t done = 0, left = 0;

		kerr_clear(e);
		for (size_t i = 0; i < n; i++) {
			CLEANUP_ERR struct kerr why = KERR_INIT;

			if (v[i].holds)
				continue;
			v[i].holds = write_one(c, &v[i], &why) == 0;
			if (v[i].holds)
				done++;
			else if (left++ == 0) {
				step_failed(v[i].op, &why);
				*e = why;
				why = (struct kerr)KERR_INIT;
			}
		}
		if (left == 0)
			return 0;
		if (done == 0)
			return -1;
	}
}

static void put_back(struct cgroup *c, struct change *v, size_t n, struct kerr *e)
{
	for (size_t done = 1, left = 1; done && left;) {
		done = left = 0;
		for (size_t i = n; i-- > 0;) {
			const struct op *op = v[i].op;

			if (!v[i].written)
				continue;
			v[i].written = cgroup_write(c, op->u.write.controller, op->u.write.file,
					       v[i].old, NULL) != 0;
			if (v[i].written)
				left++;
			else
				done++;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (v[i].written)
			kerr_step(e, "%s could not be set back to %s", v[i].op->u.write.file,
				v[i].old);
}

int container_update(struct cgroup *c, const struct plan *p, struct kerr *e)
{
	CLEANUP_FREE struct change *v = mem_array(p->n + 1, sizeof *v);
	CLEANUP_ERR struct kerr why = KERR_INIT;
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < p->n; i++)
		if (p->op[i].kind == OP_CGROUP_WRITE)
			v[n++].op = &p->op[i];
	rc = read_old(c, v, n, e);
	if (rc == 0 && write_all(c, v, n, &why)) {
		put_back(c, v, n, &why);
		if (e)
			*e = why;
		why = (struct kerr)KERR_INIT;
		rc = -1;
	}
	for (size_t i = 0; i < n; i++)
		free(v[i].old);
	return rc;
}
