/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec: config.json of the OCI runtime specification 1.3.0 -> struct oci_spec, by tables of fields.
 * All faults of a file are found and reported together. Everything is owned by the arena.
 */
#ifndef KAPSEL_SPEC_H
#define KAPSEL_SPEC_H

#include <kapsel/json.h>

#define LIST(type)        \
	struct {          \
		type *v;  \
		size_t n; \
	}
struct opt_u64 {
	uint64_t v;
	bool set;
};
struct opt_i64 {
	int64_t v;
	bool set;
};

/* Every struct below begins with the JSON object that it was read from, or NULL. */

enum oci_namespace {
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_MOUNT,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_USER,
	OCI_NS_CGROUP,
	OCI_NS_TIME,
	OCI_NS_COUNT
};
enum oci_rlimit { OCI_RLIMIT_COUNT = 16 }; /* the kernel's numbers: RLIMIT_CPU is 0 */
enum oci_hook_kind {
	OCI_HOOK_PRESTART,
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER,
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_COUNT
};
/* Bits of struct oci_capabilities; the place in the array of sets. */
enum oci_cap_set {
	OCI_CAP_BOUNDING,
	OCI_CAP_EFFECTIVE,
	OCI_CAP_PERMITTED,
	OCI_CAP_INHERITABLE,
	OCI_CAP_AMBIENT,
	OCI_CAP_SETS
};

struct oci_pair {
	const struct json *at;
	const char *key, *value;
};
struct oci_idmap {
	const struct json *at;
	uint64_t container, host, size;
};
struct oci_ns {
	const struct json *at;
	int type;
	const char *path;
};
struct oci_time_offset {
	const struct json *at;
	const char *clock;
	struct opt_i64 secs;
	struct opt_u64 nanosecs;
};
struct oci_mount {
	const struct json *at;
	const char *destination, *type, *source;
	LIST(const char *) options;
	LIST(struct oci_idmap) uids, gids;
};
struct oci_limit {
	const struct json *at;
	int type;
	uint64_t soft, hard;
};
struct oci_user {
	const struct json *at;
	uint64_t uid, gid;
	struct opt_u64 umask;
	LIST(uint32_t) groups;
	const char *username; /* Windows; accepted and of no effect */
};
struct oci_capabilities {
	const struct json *at;
	uint64_t set[OCI_CAP_SETS];
};
struct oci_scheduler {
	const struct json *at;
	int policy; /* SCHED_* */
	struct opt_i64 nice, priority;
	uint64_t flags; /* SCHED_FLAG_* */
	struct opt_u64 runtime, deadline, period;
};
struct oci_io_priority {
	const struct json *at;
	int class;
	struct opt_u64 priority;
};
struct oci_affinity {
	const struct json *at;
	const char *initial, *final;
};
struct oci_console {
	const struct json *at;
	uint64_t height, width;
};
struct oci_process {
	const struct json *at;
	bool terminal, no_new_privileges;
	struct oci_console console;
	struct oci_user user;
	const char *cwd;
	LIST(const char *) args, env;
	LIST(struct oci_limit) rlimits;
	struct oci_capabilities *capabilities; /* NULL: none asked, all sets empty */
	struct opt_i64 oom_score_adj;
	struct oci_scheduler *scheduler;
	struct oci_io_priority *io_priority;
	struct oci_affinity affinity;
	const char *apparmor, *selinux;
};
struct oci_hook {
	const struct json *at;
	const char *path;
	LIST(const char *) args, env;
	bool has_env;
	struct opt_u64 timeout; /* seconds */
};
struct oci_hooks {
	const struct json *at;
	LIST(struct oci_hook) kind[OCI_HOOK_COUNT];
};
struct oci_device {
	const struct json *at;
	int type; /* S_IFCHR, S_IFBLK, S_IFIFO */
	const char *path;
	struct opt_i64 major, minor;
	struct opt_u64 mode, uid, gid;
};
struct oci_device_rule {
	const struct json *at;
	bool allow;
	int type;		     /* 'a', 'b', 'c' */
	struct opt_i64 major, minor; /* unset or -1: all */
	const char *access;	     /* "rwm"; NULL: all */
};
struct oci_memory {
	const struct json *at;
	struct opt_i64 limit, reservation, swap, kernel, kernel_tcp;
	struct opt_u64 swappiness;
	bool disable_oom_killer, use_hierarchy, check_before_update;
	bool has_disable_oom_killer;
};
struct oci_cpu {
	const struct json *at;
	struct opt_u64 shares, period, burst, realtime_period;
	struct opt_i64 quota, realtime_runtime, idle;
	const char *cpus, *mems;
};
struct oci_weight_device {
	const struct json *at;
	int64_t major, minor;
	struct opt_u64 weight, leaf_weight;
};
struct oci_throttle {
	const struct json *at;
	int64_t major, minor;
	uint64_t rate;
};
enum { OCI_READ_BPS, OCI_WRITE_BPS, OCI_READ_IOPS, OCI_WRITE_IOPS, OCI_THROTTLES };
struct oci_block_io {
	const struct json *at;
	struct opt_u64 weight, leaf_weight;
	LIST(struct oci_weight_device) devices;
	LIST(struct oci_throttle) throttle[OCI_THROTTLES];
};
struct oci_hugepage {
	const struct json *at;
	const char *size;
	uint64_t limit;
};
struct oci_priority {
	const struct json *at;
	const char *name;
	uint64_t priority;
};
struct oci_net_cls {
	const struct json *at;
	struct opt_u64 class_id;
	LIST(struct oci_priority) priorities;
};
struct oci_rdma {
	const struct json *at;
	const char *key;
	struct opt_u64 handles, objects;
};
struct oci_pids {
	const struct json *at;
	struct opt_i64 limit;
};
struct oci_resources {
	const struct json *at;
	LIST(struct oci_device_rule) devices;
	struct oci_memory memory;
	struct oci_cpu cpu;
	struct oci_pids pids;
	struct oci_block_io block_io;
	LIST(struct oci_hugepage) hugepages;
	struct oci_net_cls network;
	LIST(struct oci_rdma) rdma;
	LIST(struct oci_pair) unified;
};
enum oci_seccomp_op {
	OCI_CMP_NE = 1,
	OCI_CMP_LT,
	OCI_CMP_LE,
	OCI_CMP_EQ,
	OCI_CMP_GE,
	OCI_CMP_GT,
	OCI_CMP_MASKED_EQ
}; /* libseccomp's numbers */
enum oci_seccomp_action {
	OCI_ACT_KILL,
	OCI_ACT_KILL_PROCESS,
	OCI_ACT_KILL_THREAD,
	OCI_ACT_TRAP,
	OCI_ACT_ERRNO,
	OCI_ACT_TRACE,
	OCI_ACT_ALLOW,
	OCI_ACT_LOG,
	OCI_ACT_NOTIFY
};
struct oci_seccomp_arg {
	const struct json *at;
	uint64_t index, value, value_two;
	int op;
};
struct oci_seccomp_rule {
	const struct json *at;
	LIST(const char *) names;
	int action;
	struct opt_u64 errno_ret;
	LIST(struct oci_seccomp_arg) args;
};
struct oci_seccomp {
	const struct json *at;
	int default_action;
	struct opt_u64 default_errno;
	LIST(const char *) architectures; /* "SCMP_ARCH_X86_64" */
	uint64_t flags;			  /* SECCOMP_FILTER_FLAG_* */
	const char *listener_path, *listener_metadata;
	LIST(struct oci_seccomp_rule) rules;
};
struct oci_personality {
	const struct json *at;
	struct opt_u64 domain;
};
struct oci_linux {
	const struct json *at;
	LIST(struct oci_ns) namespaces;
	LIST(struct oci_idmap) uids, gids;
	LIST(struct oci_time_offset) time_offsets;
	LIST(struct oci_device) devices;
	const char *cgroups_path;
	struct oci_resources resources;
	LIST(struct oci_pair) sysctl;
	struct oci_seccomp *seccomp;
	struct opt_u64 rootfs_propagation; /* MS_* */
	LIST(const char *) masked, readonly;
	struct oci_personality personality;
};
struct oci_root {
	const struct json *at;
	const char *path;
	bool readonly;
};
struct oci_spec {
	const struct json *at;
	const char *version;
	struct oci_root root;
	LIST(struct oci_mount) mounts;
	struct oci_process process;
	bool has_process;
	const char *hostname, *domainname;
	struct oci_hooks hooks;
	LIST(struct oci_pair) annotations;
	struct oci_linux linux_;
};

const struct oci_ns *oci_find_ns(
	const struct oci_spec *s, enum oci_namespace type);	    /* NULL: not listed */
bool oci_new_ns(const struct oci_spec *s, enum oci_namespace type); /* listed, without a path */
const char *oci_ns_name(enum oci_namespace type);		    /* "mount" */
const char *oci_hook_name(enum oci_hook_kind kind);		    /* "createRuntime" */
const char *oci_rlimit_name(int type);				    /* "RLIMIT_NOFILE" */
const char *oci_capability_name(unsigned n); /* "CAP_CHOWN"; NULL beyond the last */
enum { OCI_CAPABILITIES = 41 };

/* ---- reading
 * ------------------------------------------------------------------------------------- */

struct spec_options {
	bool strict;	   /* misspelt keys are faults, unknown ones are warned of */
	bool need_process; /* create alone needs none; start does */
	bool warn_unknown; /* of unknown keys, without strict as well */
};

/**
 * spec_parse() - read and judge a whole config.json
 * @a:        owns the result
 * @warnings: what is legal but odd: a report like @e, or none; may be NULL
 * @e:        every fault of the file, in the order of its text
 *
 * Values of process.env never come into either report.
 * Return: 0, or -1. Spec: config.md, config-linux.md; what is refused: HARDENING C1-C14.
 */
int spec_parse(struct arena *a, const char *text, size_t len, const struct spec_options *o,
	struct oci_spec *out, struct kerr *warnings, struct kerr *e);
/* A bare process object, as exec takes it. */
int spec_parse_process(
	struct arena *a, const char *text, size_t len, struct oci_process *out, struct kerr *e);
/* A bare resources object, as update takes it. */
int spec_parse_resources(
	struct arena *a, const char *text, size_t len, struct oci_resources *out, struct kerr *e);

/* What `kapsel run` changes. NULL and 0 leave the configuration's value. */
struct spec_override {
	char **args;
	size_t nargs;
	char **env;
	size_t nenv; /* NAME=VALUE, replacing an equal NAME */
	const char *cwd;
	const char *user; /* "UID[:GID]" */
	int terminal;	  /* 0 unchanged, 1 yes, -1 no */
};
int spec_override(
	struct arena *a, struct oci_spec *s, const struct spec_override *o, struct kerr *e);

/* ---- the tables, for people
 * -------------------------------------------------------------------------- */

struct spec_field {
	const char *pointer;		/* "/linux/namespaces/-/type" */
	const char *type, *range, *doc; /* range: "0 to 100", "c|u|b|p", "" */
	const char *none;		/* why it becomes no operation of a plan, or "" */
	bool required, supported;
};
void spec_fields(void (*each)(void *ctx, const struct spec_field *f), void *ctx);
void spec_default(struct buf *out);  /* kapsel spec: a config.json to begin with */
void spec_features(struct buf *out); /* features.md */

/* ---- io.kapsel.* annotations (kapsel-annotations(5))
 * --------------------------------------------------- */

struct annotation_row {
	const char *key, *type, *otherwise, *doc;
	bool supported;
};
const struct annotation_row *annotation_rows(size_t *n);
/* Refuses an unknown io.kapsel.* key, one of a later version, and a value of the wrong form. */
int annotation_check(const char *key, const char *value, struct kerr *e);

#endif
