/* SPDX-License-Identifier: Apache-2.0 */
/* Transient scopes: org.freedesktop.systemd1(5). */
#include "private.h"
#include <stdlib.h>
#include <string.h>

#define SYSTEMD_ERROR "org.freedesktop.systemd1."

/* ---- names: systemd.unit(5), systemd.slice(5)
 * ------------------------------------------------------------ */

bool systemd_unit_is_valid(const char *unit)
{
	const char *dot = strrchr(unit, '.');
	size_t n = strlen(unit);

	return n <= 255 && dot && dot > unit && dot[1] &&
	       strspn(unit, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    ":-_.\\@") == n;
}

char *systemd_slice_path(const char *slice)
{
	CLEANUP_BUF struct buf path = BUF_INIT;
	size_t stem = strlen(slice) - strlen(".slice");

	if (!str_ends(slice, ".slice") || !systemd_unit_is_valid(slice))
		return NULL;
	if (strcmp(slice, "-.slice") == 0)
		return mem_strdup("");
	for (size_t i = 0; i <= stem; i++) {
		if (i < stem && slice[i] != '-')
			continue;
		/* A dash parts two names: neither is empty. */
		if (i == 0 || slice[i - 1] == '-')
			return NULL;
		buf_addf(&path, "/%.*s.slice", (int)i, slice);
	}
	return buf_take(&path);
}

/* ---- on a connection
 * ------------------------------------------------------------------------------------- */

/* Takes @error and @text. */
static int refused(const char *what, const char *unit, char *error, char *text, struct kerr *e)
{
	kerr_fail(e, str_ends(error, ".UnitExists") ? KERR_CGROUP_BUSY : KERR_SYSTEMD, 0,
		"%s %s: %.200s (%.100s)", what, unit, *text ? text : "systemd refuses", error);
	free(error);
	free(text);
	return -1;
}

static void put_pids(struct buf *b, pid_t pid)
{
	struct dbus_array a;

	dbus_align(b, 8);
	dbus_put_string(b, "PIDs");
	dbus_put_signature(b, "au");
	a = dbus_begin_array(b, 4);
	dbus_put_u32(b, (uint32_t)pid);
	dbus_end_array(b, a);
}

static void put_text(struct buf *b, const char *name, const char *text)
{
	struct systemd_property p = { .name = name, .form = SYSTEMD_STRING, .text = text };

	dbus_put_property(b, &p);
}

/* ssa(sv)a(sa(sv)): name, what becomes of another job for it, properties, other units */
static void start_body(
	const struct systemd_scope *s, pid_t pid, const bool *left_out, struct buf *b)
{
	struct dbus_array a;

	buf_reset(b);
	dbus_put_string(b, s->unit);
	dbus_put_string(b, "fail");
	a = dbus_begin_array(b, 8);
	put_text(b, "Slice", s->slice);
	put_pids(b, pid);
	for (size_t i = 0; i < s->n; i++)
		if (!left_out[i])
			dbus_put_property(b, &s->v[i]);
	dbus_end_array(b, a);
	a = dbus_begin_array(b, 8);
	dbus_end_array(b, a);
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *s = strstr(text, word); s; s = strstr(s + 1, word))
		if ((s == text || s[-1] == ' ') && (s[n] == ' ' || s[n] == ',' || s[n] == '\0'))
			return true;
	return false;
}

/* Each version of systemd has its own properties. What one does not know is not kept by it, and the
 * cgroup's file is ours to write. */
static bool leave_out(const struct systemd_property *v, size_t n, const char *error,
	const char *text, bool *left_out)
{
	if (!str_ends(error, ".PropertyReadOnly") && !str_ends(error, ".UnknownProperty"))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!v[i].must && !left_out[i] && has_word(text, v[i].name)) {
			log_debug("this systemd does not know %s", v[i].name);
			return left_out[i] = true;
		}
	return false;
}

static int reset_failed(struct bus *b, const char *unit, struct kerr *e)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	CLEANUP_FREE char *error = NULL;
	CLEANUP_FREE char *text = NULL;

	dbus_put_string(&body, unit);
	return bus_call(b, "ResetFailedUnit", "s", &body, &error, &text, e);
}

int scope_start(struct bus *b, const struct systemd_scope *s, pid_t pid, struct kerr *e)
{
	CLEANUP_FREE bool *left_out = mem_array(s->n + 1, sizeof *left_out);
	CLEANUP_BUF struct buf body = BUF_INIT;
	bool reset = false;

	/* Each round leaves one out, or is the last but one. */
	for (;;) {
		char *error, *text;

		start_body(s, pid, left_out, &body);
		if (bus_job(b, s->unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", &body, &error,
			    &text, e))
			return -1;
		if (error == NULL)
			return 0;
		if (str_eq(error, SYSTEMD_ERROR "UnitExists") && !reset) {
			reset = true;
			if (reset_failed(b, s->unit, e)) {
				free(error);
				free(text);
				return -1;
			}
		} else if (!leave_out(s->v, s->n, error, text, left_out)) {
			return refused("start", s->unit, error, text, e);
		}
		free(error);
		free(text);
	}
}

static void set_body(const char *unit, const struct systemd_property *v, size_t n,
	const bool *left_out, struct buf *b)
{
	struct dbus_array a;

	buf_reset(b);
	dbus_put_string(b, unit);
	dbus_put_u32(b, 1); /* runtime: nothing on a disk */
	a = dbus_begin_array(b, 8);
	for (size_t i = 0; i < n; i++)
		if (!left_out[i])
			dbus_put_property(b, &v[i]);
	dbus_end_array(b, a);
}

int scope_set(
	struct bus *b, const char *unit, const struct systemd_property *v, size_t n, struct kerr *e)
{
	CLEANUP_FREE bool *left_out = mem_array(n + 1, sizeof *left_out);
	CLEANUP_BUF struct buf body = BUF_INIT;

	for (;;) {
		char *error, *text;

		set_body(unit, v, n, left_out, &body);
		if (bus_call(b, "SetUnitProperties", "sba(sv)", &body, &error, &text, e))
			return -1;
		if (error == NULL)
			return 0;
		if (!leave_out(v, n, error, text, left_out))
			return refused("change", unit, error, text, e);
		free(error);
		free(text);
	}
}

int scope_stop(struct bus *b, const char *unit, struct kerr *e)
{
	CLEANUP_BUF struct buf body = BUF_INIT;
	char *error, *text;

	dbus_put_string(&body, unit);
	dbus_put_string(&body, "replace");
	if (bus_job(b, unit, "StopUnit", "ss", &body, &error, &text, e))
		return -1;
	if (error && !str_eq(error, SYSTEMD_ERROR "NoSuchUnit"))
		return refused("stop", unit, error, text, e);
	free(error);
	free(text);
	return reset_failed(b, unit, e);
}

/* ---- the door
 * -------------------------------------------------------------------------------------------- */

int systemd_start_scope(const struct systemd_scope *s, pid_t pid, deadline d, struct kerr *e)
{
	struct bus b;
	int rc;

	if (bus_connect(&b, s->user, d, e))
		return -1;
	rc = scope_start(&b, s, pid, e);
	bus_close(&b);
	return rc;
}

int systemd_set_properties(const char *unit, bool user, const struct systemd_property *v, size_t n,
	deadline d, struct kerr *e)
{
	struct bus b;
	int rc;

	if (n == 0)
		return 0;
	if (bus_connect(&b, user, d, e))
		return -1;
	rc = scope_set(&b, unit, v, n, e);
	bus_close(&b);
	return rc;
}

int systemd_stop_scope(const char *unit, bool user, deadline d, struct kerr *e)
{
	struct bus b;
	int rc;

	if (bus_connect(&b, user, d, e))
		return -1;
	rc = scope_stop(&b, unit, e);
	bus_close(&b);
	return rc;
}
