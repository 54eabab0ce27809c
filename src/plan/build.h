/* SPDX-License-Identifier: Apache-2.0 */
/* Private to plan: what its files share while a plan is being built. */
#ifndef KAPSEL_PLAN_BUILD_H
#define KAPSEL_PLAN_BUILD_H

#include <kapsel/plan.h>

struct build {
	struct arena *a;
	struct plan *p;
	const struct oci_spec *s;
	const struct facts *f;
	struct kerr *faults;
	struct kerr warnings;
	unsigned nth[OP_COUNT];
	/* the systemd cgroup manager's */
	struct systemd_scope scope;   /* name only */
	struct systemd_property late; /* name NULL: none */
	const char *late_file, *late_value;
	const struct json *late_at;
};
/* Appends an operation; target may be NULL; at is where it comes from in the configuration, or
 * NULL. */
struct op *add_op(struct build *b, enum op_kind kind, enum op_side side, const char *target,
	const struct json *at);
void refuse(struct build *b, enum kerr_code code, const struct json *at, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
void warn(struct build *b, enum kerr_code code, const struct json *at, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
const struct json *member(
	const struct json *object, const char *name); /* itself when it lacks it */

void build_resources(struct build *b);
/* The i-th file that a resource may need; NULL where that layout has none; false behind the last.
 */
bool resource_file(size_t i, bool on_v2, enum cgroup_controller *c, const char **file);
/* rootless.c: nothing to say where we are the host's root */
void judge_rootless(struct build *b);
void judge_user(struct build *b, const struct oci_process *process);
void judge_rootless_mount(struct build *b, const struct oci_mount *m, const struct op_mount *o);
void judge_rootless_attributes(struct build *b, const struct oci_process *process);
bool setgroups_denied(const struct build *b);
/* What would keep init out of its cgroup if it were written before. */
void build_late_resources(struct build *b);
/* A scope, and the end of what holds it until init is in it. */
void build_scope(struct build *b, const struct json *at);
void build_settle(struct build *b);
void build_mounts(struct build *b);
bool mount_is_readonly(const struct oci_mount *m);
void build_devices(struct build *b);

#endif
