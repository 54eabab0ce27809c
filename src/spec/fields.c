/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of runtime-spec 1.3.0: a row a field. Also `make fields`, docs/CONFIG.md, "did you
 * mean". */
#include "table.h"
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

#define TABLE(rows, type)                           \
	{                                           \
		rows, ARRAY_LEN(rows), sizeof(type) \
	}
#define U32	      0, UINT32_MAX
#define ID	      0, UINT32_MAX - 1
#define U64	      0, UINT64_MAX
#define I64(min, max) (uint64_t)(int64_t)(min), (uint64_t)(int64_t)(max)
#define LIMIT	      I64(-1, INT64_MAX)

static const struct name_value ns_names[] = { { "pid", OCI_NS_PID }, { "network", OCI_NS_NETWORK },
	{ "mount", OCI_NS_MOUNT }, { "ipc", OCI_NS_IPC }, { "uts", OCI_NS_UTS },
	{ "user", OCI_NS_USER }, { "cgroup", OCI_NS_CGROUP }, { "time", OCI_NS_TIME },
	{ NULL, 0 } };
static const struct name_value rlimit_names[] = { { "RLIMIT_CPU", 0 }, { "RLIMIT_FSIZE", 1 },
	{ "RLIMIT_DATA", 2 }, { "RLIMIT_STACK", 3 }, { "RLIMIT_CORE", 4 }, { "RLIMIT_RSS", 5 },
	{ "RLIMIT_NPROC", 6 }, { "RLIMIT_NOFILE", 7 }, { "RLIMIT_MEMLOCK", 8 }, { "RLIMIT_AS", 9 },
	{ "RLIMIT_LOCKS", 10 }, { "RLIMIT_SIGPENDING", 11 }, { "RLIMIT_MSGQUEUE", 12 },
	{ "RLIMIT_NICE", 13 }, { "RLIMIT_RTPRIO", 14 }, { "RLIMIT_RTTIME", 15 }, { NULL, 0 } };
static const struct name_value policy_names[] = { { "SCHED_OTHER", 0 }, { "SCHED_FIFO", 1 },
	{ "SCHED_RR", 2 }, { "SCHED_BATCH", 3 }, { "SCHED_ISO", 4 }, { "SCHED_IDLE", 5 },
	{ "SCHED_DEADLINE", 6 }, { NULL, 0 } };
static const struct name_value sched_flags[] = { { "SCHED_FLAG_RESET_ON_FORK", 1 },
	{ "SCHED_FLAG_RECLAIM", 2 }, { "SCHED_FLAG_DL_OVERRUN", 4 },
	{ "SCHED_FLAG_KEEP_POLICY", 8 }, { "SCHED_FLAG_KEEP_PARAMS", 16 },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", 32 }, { "SCHED_FLAG_UTIL_CLAMP_MAX", 64 }, { NULL, 0 } };
static const struct name_value io_classes[] = { { "IOPRIO_CLASS_RT", 1 }, { "IOPRIO_CLASS_BE", 2 },
	{ "IOPRIO_CLASS_IDLE", 3 }, { NULL, 0 } };
static const struct name_value device_types[] = { { "c", S_IFCHR }, { "u", S_IFCHR },
	{ "b", S_IFBLK }, { "p", S_IFIFO }, { NULL, 0 } };
static const struct name_value rule_types[] = { { "a", 'a' }, { "c", 'c' }, { "b", 'b' },
	{ NULL, 0 } };
static const struct name_value propagations[] = { { "private", MS_PRIVATE },
	{ "shared", MS_SHARED }, { "slave", MS_SLAVE }, { "unbindable", MS_UNBINDABLE },
	{ "rprivate", MS_PRIVATE | MS_REC }, { "rshared", MS_SHARED | MS_REC },
	{ "rslave", MS_SLAVE | MS_REC }, { "runbindable", MS_UNBINDABLE | MS_REC }, { NULL, 0 } };
const struct name_value seccomp_actions[] = { { "SCMP_ACT_KILL", OCI_ACT_KILL },
	{ "SCMP_ACT_KILL_PROCESS", OCI_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", OCI_ACT_KILL_THREAD }, { "SCMP_ACT_TRAP", OCI_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", OCI_ACT_ERRNO }, { "SCMP_ACT_TRACE", OCI_ACT_TRACE },
	{ "SCMP_ACT_ALLOW", OCI_ACT_ALLOW }, { "SCMP_ACT_LOG", OCI_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", OCI_ACT_NOTIFY }, { NULL, 0 } };
const struct name_value seccomp_operators[] = { { "SCMP_CMP_NE", OCI_CMP_NE },
	{ "SCMP_CMP_LT", OCI_CMP_LT }, { "SCMP_CMP_LE", OCI_CMP_LE }, { "SCMP_CMP_EQ", OCI_CMP_EQ },
	{ "SCMP_CMP_GE", OCI_CMP_GE }, { "SCMP_CMP_GT", OCI_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", OCI_CMP_MASKED_EQ }, { NULL, 0 } };
const struct name_value seccomp_flags[] = { { "SECCOMP_FILTER_FLAG_TSYNC",
						    SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
	{ NULL, 0 } };
static const struct name_value domains[] = { { "LINUX", 0 }, { "LINUX32", 8 }, { NULL, 0 } };

#define AT(type, member) offsetof(type, member)

static const struct field idmap_rows[] = {
	{ "containerID", F_U64, AT(struct oci_idmap, container), ID, .required = true,
		.doc = "first id inside" },
	{ "hostID", F_U64, AT(struct oci_idmap, host), ID, .required = true,
		.doc = "first id outside" },
	{ "size", F_U64, AT(struct oci_idmap, size), 1, UINT32_MAX, .required = true,
		.doc = "how many ids" },
};
static const struct fields idmap_fields = TABLE(idmap_rows, struct oci_idmap);

static const struct field mount_rows[] = {
	{ "destination", F_STRING, AT(struct oci_mount, destination), .required = true,
		.doc = "where, inside" },
	{ "type", F_STRING, AT(struct oci_mount, type), .doc = "file system; ignored for binds" },
	{ "source", F_STRING, AT(struct oci_mount, source),
		.doc = "device, name, or for binds a path" },
	{ "options", F_STRINGS, AT(struct oci_mount, options), .most = 128,
		.doc = "mount options" },
	{ "uidMappings", F_LIST, AT(struct oci_mount, uids), .sub = &idmap_fields, .most = 340,
		.doc = "ids of this mount" },
	{ "gidMappings", F_LIST, AT(struct oci_mount, gids), .sub = &idmap_fields, .most = 340,
		.doc = "ids of this mount" },
};
static const struct fields mount_fields = TABLE(mount_rows, struct oci_mount);

static const struct field root_rows[] = {
	{ "path", F_STRING, AT(struct oci_root, path), .required = true,
		.doc = "the root file system's directory" },
	{ "readonly", F_BOOL, AT(struct oci_root, readonly), .doc = "read-only inside" },
};
static const struct fields root_fields = TABLE(root_rows, struct oci_root);

static const struct field user_rows[] = {
	{ "uid", F_U64, AT(struct oci_user, uid), ID, .required = true, .doc = "user id inside" },
	{ "gid", F_U64, AT(struct oci_user, gid), ID, .required = true, .doc = "group id inside" },
	{ "umask", F_OPT_U64, AT(struct oci_user, umask), 0, 0777,
		.doc = "file mode creation mask" },
	{ "additionalGids", F_GROUPS, AT(struct oci_user, groups), .most = 65536,
		.doc = "supplementary groups, exactly" },
	{ "username", F_STRING, AT(struct oci_user, username), .doc = "for Windows; of no effect",
		.none = "ids are numbers on Linux" },
};
static const struct fields user_fields = TABLE(user_rows, struct oci_user);

static const struct field limit_rows[] = {
	{ "type", F_NAME, AT(struct oci_limit, type), .names = rlimit_names, .required = true,
		.doc = "which limit" },
	{ "soft", F_U64, AT(struct oci_limit, soft), U64, .required = true,
		.doc = "the limit in force" },
	{ "hard", F_U64, AT(struct oci_limit, hard), U64, .required = true, .doc = "its ceiling" },
};
static const struct fields limit_fields = TABLE(limit_rows, struct oci_limit);

static const struct field cap_rows[] = {
	{ "bounding", F_CAPS, AT(struct oci_capabilities, set[OCI_CAP_BOUNDING]),
		.doc = "what can ever be gained" },
	{ "effective", F_CAPS, AT(struct oci_capabilities, set[OCI_CAP_EFFECTIVE]),
		.doc = "in force" },
	{ "permitted", F_CAPS, AT(struct oci_capabilities, set[OCI_CAP_PERMITTED]),
		.doc = "can be put in force" },
	{ "inheritable", F_CAPS, AT(struct oci_capabilities, set[OCI_CAP_INHERITABLE]),
		.doc = "kept over execve" },
	{ "ambient", F_CAPS, AT(struct oci_capabilities, set[OCI_CAP_AMBIENT]),
		.doc = "kept by unprivileged programs" },
};
static const struct fields cap_fields = TABLE(cap_rows, struct oci_capabilities);

static const struct field scheduler_rows[] = {
	{ "policy", F_NAME, AT(struct oci_scheduler, policy), .names = policy_names,
		.required = true, .doc = "policy" },
	{ "nice", F_OPT_I64, AT(struct oci_scheduler, nice), I64(-20, 19), .doc = "nice value" },
	{ "priority", F_OPT_I64, AT(struct oci_scheduler, priority), I64(0, 99),
		.doc = "static priority" },
	{ "flags", F_NAMES, AT(struct oci_scheduler, flags), .names = sched_flags, .doc = "flags" },
	{ "runtime", F_OPT_U64, AT(struct oci_scheduler, runtime), U64,
		.doc = "nanoseconds of a period" },
	{ "deadline", F_OPT_U64, AT(struct oci_scheduler, deadline), U64, .doc = "nanoseconds" },
	{ "period", F_OPT_U64, AT(struct oci_scheduler, period), U64, .doc = "nanoseconds" },
};
static const struct fields scheduler_fields = TABLE(scheduler_rows, struct oci_scheduler);

static const struct field io_rows[] = {
	{ "class", F_NAME, AT(struct oci_io_priority, class), .names = io_classes, .required = true,
		.doc = "class" },
	{ "priority", F_OPT_U64, AT(struct oci_io_priority, priority), 0, 7,
		.doc = "priority within the class" },
};
static const struct fields io_fields = TABLE(io_rows, struct oci_io_priority);

static const struct field affinity_rows[] = {
	{ "initial", F_STRING, AT(struct oci_affinity, initial),
		.doc = "CPUs of an exec before it joins the cgroup" },
	{ "final", F_STRING, AT(struct oci_affinity, final), .doc = "CPUs of an exec afterwards" },
};
static const struct fields affinity_fields = TABLE(affinity_rows, struct oci_affinity);

static const struct field console_rows[] = {
	{ "height", F_U64, AT(struct oci_console, height), 0, 65535, .required = true,
		.doc = "rows" },
	{ "width", F_U64, AT(struct oci_console, width), 0, 65535, .required = true,
		.doc = "columns" },
};
static const struct fields console_fields = TABLE(console_rows, struct oci_console);

static const struct field process_rows[] = {
	{ "terminal", F_BOOL, AT(struct oci_process, terminal),
		.doc = "a pseudo terminal on 0, 1 and 2" },
	{ "consoleSize", F_OBJECT, AT(struct oci_process, console), .sub = &console_fields,
		.doc = "its size" },
	{ "user", F_OBJECT, AT(struct oci_process, user), .sub = &user_fields,
		.doc = "ids of the process" },
	{ "args", F_STRINGS, AT(struct oci_process, args), .most = 65536,
		.doc = "program and arguments" },
	{ "commandLine", F_NOTHING, 0, .doc = "for Windows; of no effect",
		.none = "args is Linux's" },
	{ "env", F_STRINGS, AT(struct oci_process, env), .most = 65536,
		.doc = "the whole environment; secret" },
	{ "cwd", F_ABSOLUTE, AT(struct oci_process, cwd), .required = true,
		.doc = "working directory" },
	{ "capabilities", F_POINTER, AT(struct oci_process, capabilities), .sub = &cap_fields,
		.doc = "five sets" },
	{ "rlimits", F_LIST, AT(struct oci_process, rlimits), .sub = &limit_fields, .most = 64,
		.doc = "resource limits" },
	{ "noNewPrivileges", F_BOOL, AT(struct oci_process, no_new_privileges),
		.doc = "execve gains nothing" },
	{ "apparmorProfile", F_LATER, AT(struct oci_process, apparmor), .doc = "AppArmor profile" },
	{ "oomScoreAdj", F_OPT_I64, AT(struct oci_process, oom_score_adj), I64(-1000, 1000),
		.doc = "OOM killer's bias" },
	{ "scheduler", F_POINTER, AT(struct oci_process, scheduler), .sub = &scheduler_fields,
		.doc = "CPU scheduler" },
	{ "selinuxLabel", F_LATER, AT(struct oci_process, selinux), .doc = "SELinux label" },
	{ "ioPriority", F_POINTER, AT(struct oci_process, io_priority), .sub = &io_fields,
		.doc = "I/O scheduler" },
	{ "execCPUAffinity", F_OBJECT, AT(struct oci_process, affinity), .sub = &affinity_fields,
		.doc = "CPUs of an exec" },
};
const struct fields process_fields = TABLE(process_rows, struct oci_process);

static const struct field hook_rows[] = {
	{ "path", F_ABSOLUTE, AT(struct oci_hook, path), .required = true,
		.doc = "program, on the host or inside" },
	{ "args", F_STRINGS, AT(struct oci_hook, args), .doc = "argv, its own name included" },
	{ "env", F_STRINGS, AT(struct oci_hook, env), .doc = "the whole environment; secret" },
	{ "timeout", F_OPT_U64, AT(struct oci_hook, timeout), 1, 86400 * 365,
		.doc = "seconds until it is killed" },
};
static const struct fields hook_fields = TABLE(hook_rows, struct oci_hook);
#define HOOK(name, which, text)                                                                    \
	{                                                                                          \
		name, F_LIST, AT(struct oci_hooks, kind[which]), .sub = &hook_fields, .most = 256, \
								 .doc = text                       \
	}
static const struct field hooks_rows[] = {
	HOOK("prestart", OCI_HOOK_PRESTART, "deprecated: before createRuntime"),
	HOOK("createRuntime", OCI_HOOK_CREATE_RUNTIME,
		"after the namespaces are made, on the host"),
	HOOK("createContainer", OCI_HOOK_CREATE_CONTAINER,
		"before pivot_root, in the container's namespaces"),
	HOOK("startContainer", OCI_HOOK_START_CONTAINER, "in start, inside, before the program"),
	HOOK("poststart", OCI_HOOK_POSTSTART, "in start, after the program has begun, on the host"),
	HOOK("poststop", OCI_HOOK_POSTSTOP, "in delete, on the host"),
};
static const struct fields hooks_fields = TABLE(hooks_rows, struct oci_hooks);

static const struct field ns_rows[] = {
	{ "type", F_NAME, AT(struct oci_ns, type), .names = ns_names, .required = true,
		.doc = "which kind" },
	{ "path", F_ABSOLUTE, AT(struct oci_ns, path), .doc = "one to join; absent: a new one" },
};
static const struct fields ns_fields = TABLE(ns_rows, struct oci_ns);

static const struct field offset_rows[] = {
	{ "secs", F_OPT_I64, AT(struct oci_time_offset, secs), I64(INT64_MIN, INT64_MAX),
		.doc = "seconds" },
	{ "nanosecs", F_OPT_U64, AT(struct oci_time_offset, nanosecs), 0, 999999999,
		.doc = "nanoseconds" },
};
static const struct fields offset_fields = TABLE(offset_rows, struct oci_time_offset);

static const struct field device_rows[] = {
	{ "type", F_NAME, AT(struct oci_device, type), .names = device_types, .required = true,
		.doc = "c, u, b or p" },
	{ "path", F_ABSOLUTE, AT(struct oci_device, path), .required = true,
		.doc = "where, inside" },
	{ "major", F_OPT_I64, AT(struct oci_device, major), I64(0, 4095), .doc = "major number" },
	{ "minor", F_OPT_I64, AT(struct oci_device, minor), I64(0, 1048575),
		.doc = "minor number" },
	{ "fileMode", F_OPT_U64, AT(struct oci_device, mode), 0, 0177777,
		.doc = "mode, in decimal" },
	{ "uid", F_OPT_U64, AT(struct oci_device, uid), ID, .doc = "owner inside" },
	{ "gid", F_OPT_U64, AT(struct oci_device, gid), ID, .doc = "group inside" },
};
static const struct fields device_fields = TABLE(device_rows, struct oci_device);

static const struct field rule_rows[] = {
	{ "allow", F_BOOL, AT(struct oci_device_rule, allow), .required = true,
		.doc = "allow or deny" },
	{ "type", F_NAME, AT(struct oci_device_rule, type), .names = rule_types,
		.doc = "a, c or b; absent: a" },
	{ "major", F_OPT_I64, AT(struct oci_device_rule, major), I64(-1, 4294967295),
		.doc = "absent or -1: all" },
	{ "minor", F_OPT_I64, AT(struct oci_device_rule, minor), I64(-1, 4294967295),
		.doc = "absent or -1: all" },
	{ "access", F_STRING, AT(struct oci_device_rule, access), .doc = "of r, w and m" },
};
static const struct fields rule_fields = TABLE(rule_rows, struct oci_device_rule);

static const struct field memory_rows[] = {
	{ "limit", F_OPT_I64, AT(struct oci_memory, limit), LIMIT, .doc = "bytes; -1 lifts it" },
	{ "reservation", F_OPT_I64, AT(struct oci_memory, reservation), LIMIT,
		.doc = "soft limit, bytes" },
	{ "swap", F_OPT_I64, AT(struct oci_memory, swap), LIMIT,
		.doc = "memory and swap together, bytes" },
	{ "kernel", F_OPT_I64, AT(struct oci_memory, kernel), LIMIT,
		.doc = "kernel memory, v1; deprecated",
		.none = "warned of: the kernel has dropped it" },
	{ "kernelTCP", F_OPT_I64, AT(struct oci_memory, kernel_tcp), LIMIT,
		.doc = "TCP buffers, v1" },
	{ "swappiness", F_OPT_U64, AT(struct oci_memory, swappiness), 0, 100, .doc = "v1" },
	{ "disableOOMKiller", F_BOOL, AT(struct oci_memory, disable_oom_killer),
		.doc = "v1: wait instead of kill" },
	{ "useHierarchy", F_BOOL, AT(struct oci_memory, use_hierarchy),
		.doc = "v1: always so today", .none = "no kernel since 5.11 can be without" },
	{ "checkBeforeUpdate", F_BOOL, AT(struct oci_memory, check_before_update),
		.doc = "refuse a limit below the use" },
};
static const struct fields memory_fields = TABLE(memory_rows, struct oci_memory);

static const struct field cpu_rows[] = {
	{ "shares", F_OPT_U64, AT(struct oci_cpu, shares), U64, .doc = "relative share" },
	{ "quota", F_OPT_I64, AT(struct oci_cpu, quota), LIMIT,
		.doc = "microseconds a period; -1 lifts it" },
	{ "burst", F_OPT_U64, AT(struct oci_cpu, burst), U64,
		.doc = "microseconds that may be saved up" },
	{ "period", F_OPT_U64, AT(struct oci_cpu, period), U64, .doc = "microseconds" },
	{ "realtimeRuntime", F_OPT_I64, AT(struct oci_cpu, realtime_runtime), LIMIT,
		.doc = "v1, microseconds" },
	{ "realtimePeriod", F_OPT_U64, AT(struct oci_cpu, realtime_period), U64,
		.doc = "v1, microseconds" },
	{ "cpus", F_STRING, AT(struct oci_cpu, cpus), .doc = "CPU list" },
	{ "mems", F_STRING, AT(struct oci_cpu, mems), .doc = "memory node list" },
	{ "idle", F_OPT_I64, AT(struct oci_cpu, idle), I64(0, 1),
		.doc = "SCHED_IDLE for the whole cgroup" },
};
static const struct fields cpu_fields = TABLE(cpu_rows, struct oci_cpu);

static const struct field pids_rows[] = {
	{ "limit", F_OPT_I64, AT(struct oci_pids, limit), LIMIT, .doc = "most tasks; -1 lifts it" },
};
static const struct fields pids_fields = TABLE(pids_rows, struct oci_pids);

static const struct field weight_rows[] = {
	{ "major", F_I64, AT(struct oci_weight_device, major), I64(0, 4294967295), .required = true,
		.doc = "device" },
	{ "minor", F_I64, AT(struct oci_weight_device, minor), I64(0, 4294967295), .required = true,
		.doc = "device" },
	{ "weight", F_OPT_U64, AT(struct oci_weight_device, weight), 0, 1000, .doc = "10 to 1000" },
	{ "leafWeight", F_OPT_U64, AT(struct oci_weight_device, leaf_weight), 0, 1000,
		.doc = "of CFQ", .none = "refused: no kernel since 5.0 has it" },
};
static const struct fields weight_fields = TABLE(weight_rows, struct oci_weight_device);
static const struct field throttle_rows[] = {
	{ "major", F_I64, AT(struct oci_throttle, major), I64(0, 4294967295), .required = true,
		.doc = "device" },
	{ "minor", F_I64, AT(struct oci_throttle, minor), I64(0, 4294967295), .required = true,
		.doc = "device" },
	{ "rate", F_U64, AT(struct oci_throttle, rate), U64, .required = true, .doc = "a second" },
};
static const struct fields throttle_fields = TABLE(throttle_rows, struct oci_throttle);
#define THROTTLE(name, which)                                                                      \
	{                                                                                          \
		name, F_LIST, AT(struct oci_block_io, throttle[which]), .sub = &throttle_fields,   \
									.doc = "limit of a device" \
	}
static const struct field block_rows[] = {
	{ "weight", F_OPT_U64, AT(struct oci_block_io, weight), 0, 1000, .doc = "10 to 1000" },
	{ "leafWeight", F_OPT_U64, AT(struct oci_block_io, leaf_weight), 0, 1000,
		.doc = "of CFQ, before Linux 5.0" },
	{ "weightDevice", F_LIST, AT(struct oci_block_io, devices), .sub = &weight_fields,
		.doc = "weights of devices" },
	THROTTLE("throttleReadBpsDevice", OCI_READ_BPS),
	THROTTLE("throttleWriteBpsDevice", OCI_WRITE_BPS),
	THROTTLE("throttleReadIOPSDevice", OCI_READ_IOPS),
	THROTTLE("throttleWriteIOPSDevice", OCI_WRITE_IOPS),
};
static const struct fields block_fields = TABLE(block_rows, struct oci_block_io);

static const struct field hugepage_rows[] = {
	{ "pageSize", F_STRING, AT(struct oci_hugepage, size), .required = true,
		.doc = "2MB, 1GB ..." },
	{ "limit", F_U64, AT(struct oci_hugepage, limit), U64, .required = true, .doc = "bytes" },
};
static const struct fields hugepage_fields = TABLE(hugepage_rows, struct oci_hugepage);
static const struct field priority_rows[] = {
	{ "name", F_STRING, AT(struct oci_priority, name), .required = true, .doc = "interface" },
	{ "priority", F_U64, AT(struct oci_priority, priority), U32, .required = true,
		.doc = "its priority" },
};
static const struct fields priority_fields = TABLE(priority_rows, struct oci_priority);
static const struct field network_rows[] = {
	{ "classID", F_OPT_U64, AT(struct oci_net_cls, class_id), U32, .doc = "v1 net_cls" },
	{ "priorities", F_LIST, AT(struct oci_net_cls, priorities), .sub = &priority_fields,
		.doc = "v1 net_prio" },
};
static const struct fields network_fields = TABLE(network_rows, struct oci_net_cls);
static const struct field rdma_rows[] = {
	{ "hcaHandles", F_OPT_U64, AT(struct oci_rdma, handles), U32, .doc = "most handles" },
	{ "hcaObjects", F_OPT_U64, AT(struct oci_rdma, objects), U32, .doc = "most objects" },
};
static const struct fields rdma_fields = TABLE(rdma_rows, struct oci_rdma);

static const struct field resources_rows[] = {
	{ "devices", F_LIST, AT(struct oci_resources, devices), .sub = &rule_fields,
		.doc = "device access, in order" },
	{ "memory", F_OBJECT, AT(struct oci_resources, memory), .sub = &memory_fields,
		.doc = "memory" },
	{ "cpu", F_OBJECT, AT(struct oci_resources, cpu), .sub = &cpu_fields,
		.doc = "cpu and cpuset" },
	{ "pids", F_OBJECT, AT(struct oci_resources, pids), .sub = &pids_fields, .doc = "tasks" },
	{ "blockIO", F_OBJECT, AT(struct oci_resources, block_io), .sub = &block_fields,
		.doc = "block devices" },
	{ "hugepageLimits", F_LIST, AT(struct oci_resources, hugepages), .sub = &hugepage_fields,
		.doc = "huge pages" },
	{ "network", F_OBJECT, AT(struct oci_resources, network), .sub = &network_fields,
		.doc = "v1 network tags" },
	{ "rdma", F_MAP, AT(struct oci_resources, rdma), .sub = &rdma_fields, .doc = "by device" },
	{ "unified", F_PAIRS, AT(struct oci_resources, unified), .doc = "files of a v2 cgroup" },
};
const struct fields resources_fields = TABLE(resources_rows, struct oci_resources);

static const struct field arg_rows[] = {
	{ "index", F_U64, AT(struct oci_seccomp_arg, index), 0, 5, .required = true,
		.doc = "which argument" },
	{ "value", F_U64, AT(struct oci_seccomp_arg, value), U64, .required = true,
		.doc = "compared with" },
	{ "valueTwo", F_U64, AT(struct oci_seccomp_arg, value_two), U64, .doc = "for MASKED_EQ" },
	{ "op", F_NAME, AT(struct oci_seccomp_arg, op), .names = seccomp_operators,
		.required = true, .doc = "comparison" },
};
static const struct fields arg_fields = TABLE(arg_rows, struct oci_seccomp_arg);
static const struct field scmp_rows[] = {
	{ "names", F_STRINGS, AT(struct oci_seccomp_rule, names), .required = true,
		.doc = "system calls" },
	{ "action", F_NAME, AT(struct oci_seccomp_rule, action), .names = seccomp_actions,
		.required = true, .doc = "what happens" },
	{ "errnoRet", F_OPT_U64, AT(struct oci_seccomp_rule, errno_ret), 0, 65535,
		.doc = "for ERRNO and TRACE" },
	{ "args", F_LIST, AT(struct oci_seccomp_rule, args), .sub = &arg_fields,
		.doc = "all must hold" },
};
static const struct fields scmp_fields = TABLE(scmp_rows, struct oci_seccomp_rule);
static const struct field seccomp_rows[] = {
	{ "defaultAction", F_NAME, AT(struct oci_seccomp, default_action), .names = seccomp_actions,
		.required = true, .doc = "else" },
	{ "defaultErrnoRet", F_OPT_U64, AT(struct oci_seccomp, default_errno), 0, 65535,
		.doc = "for ERRNO and TRACE" },
	{ "architectures", F_STRINGS, AT(struct oci_seccomp, architectures), .most = 64,
		.doc = "SCMP_ARCH_..." },
	{ "flags", F_NAMES, AT(struct oci_seccomp, flags), .names = seccomp_flags,
		.doc = "SECCOMP_FILTER_FLAG_..." },
	{ "listenerPath", F_STRING, AT(struct oci_seccomp, listener_path),
		.doc = "socket that gets the notify fd" },
	{ "listenerMetadata", F_STRING, AT(struct oci_seccomp, listener_metadata),
		.doc = "goes with it" },
	{ "syscalls", F_LIST, AT(struct oci_seccomp, rules), .sub = &scmp_fields, .doc = "rules" },
};
static const struct fields seccomp_fields = TABLE(seccomp_rows, struct oci_seccomp);
static const struct field personality_rows[] = {
	{ "domain", F_NAME_OPT, AT(struct oci_personality, domain), .names = domains,
		.required = true, .doc = "LINUX or LINUX32" },
	{ "flags", F_LATER, 0, .doc = "none is defined" },
};
static const struct fields personality_fields = TABLE(personality_rows, struct oci_personality);

static const struct field linux_rows[] = {
	{ "namespaces", F_LIST, AT(struct oci_linux, namespaces), .sub = &ns_fields, .most = 64,
		.doc = "new or joined; others are the host's" },
	{ "uidMappings", F_LIST, AT(struct oci_linux, uids), .sub = &idmap_fields, .most = 340,
		.doc = "of the user namespace" },
	{ "gidMappings", F_LIST, AT(struct oci_linux, gids), .sub = &idmap_fields, .most = 340,
		.doc = "of the user namespace" },
	{ "timeOffsets", F_MAP, AT(struct oci_linux, time_offsets), .sub = &offset_fields,
		.doc = "monotonic and boottime" },
	{ "devices", F_LIST, AT(struct oci_linux, devices), .sub = &device_fields,
		.doc = "device nodes" },
	{ "netDevices", F_LATER, 0, .doc = "host network devices to move in" },
	{ "cgroupsPath", F_STRING, AT(struct oci_linux, cgroups_path),
		.doc = "absent: made from the id" },
	{ "resources", F_OBJECT, AT(struct oci_linux, resources), .sub = &resources_fields,
		.doc = "cgroup limits" },
	{ "sysctl", F_PAIRS, AT(struct oci_linux, sysctl),
		.doc = "of the container's own namespaces" },
	{ "seccomp", F_POINTER, AT(struct oci_linux, seccomp), .sub = &seccomp_fields,
		.doc = "system call filter" },
	{ "rootfsPropagation", F_NAME_OPT, AT(struct oci_linux, rootfs_propagation),
		.names = propagations, .doc = "of /" },
	{ "maskedPaths", F_STRINGS, AT(struct oci_linux, masked), .most = 1024,
		.doc = "unreadable inside" },
	{ "readonlyPaths", F_STRINGS, AT(struct oci_linux, readonly), .most = 1024,
		.doc = "read-only inside" },
	{ "mountLabel", F_LATER, 0, .doc = "SELinux context of mounts" },
	{ "intelRdt", F_LATER, 0, .doc = "Intel RDT" },
	{ "memoryPolicy", F_LATER, 0, .doc = "NUMA policy" },
	{ "personality", F_OBJECT, AT(struct oci_linux, personality), .sub = &personality_fields,
		.doc = "execution domain" },
};
static const struct fields linux_fields = TABLE(linux_rows, struct oci_linux);

static const struct field config_rows[] = {
	{ "ociVersion", F_STRING, AT(struct oci_spec, version), .doc = "1.0.0 to 1.3.0",
		.none = "checked, and that is all" },
	{ "root", F_OBJECT, AT(struct oci_spec, root), .sub = &root_fields,
		.doc = "the root file system" },
	{ "mounts", F_LIST, AT(struct oci_spec, mounts), .sub = &mount_fields, .doc = "in order" },
	{ "process", F_OBJECT, AT(struct oci_spec, process), .sub = &process_fields,
		.doc = "the program" },
	{ "hostname", F_STRING, AT(struct oci_spec, hostname), .doc = "in the uts namespace" },
	{ "domainname", F_STRING, AT(struct oci_spec, domainname), .doc = "in the uts namespace" },
	{ "hooks", F_OBJECT, AT(struct oci_spec, hooks), .sub = &hooks_fields,
		.doc = "programs at six places" },
	{ "annotations", F_PAIRS, AT(struct oci_spec, annotations),
		.doc = "for others; io.kapsel.* for kapseld",
		.none = "kapseld's policy, and the state's" },
	{ "linux", F_OBJECT, AT(struct oci_spec, linux_), .sub = &linux_fields,
		.doc = "what is Linux's own" },
	{ "solaris", F_LATER, 0, .doc = "another platform's" },
	{ "windows", F_LATER, 0, .doc = "another platform's" },
	{ "freebsd", F_LATER, 0, .doc = "another platform's" },
	{ "zos", F_LATER, 0, .doc = "another platform's" },
	{ "vm", F_LATER, 0, .doc = "virtual machines" },
};
const struct fields config_fields = TABLE(config_rows, struct oci_spec);

/* ---- the tables, for people
 * ---------------------------------------------------------------------------- */

static const char *const kind_names[] = { "bool", "number", "number", "number", "number", "string",
	"absolute path", "strings", "numbers", "name", "name", "names", "object", "object", "list",
	"map", "map of strings", "capabilities", "any", "any" };

static void range_of(struct buf *b, const struct field *f)
{
	switch (f->kind) {
	case F_U64:
	case F_OPT_U64:
		buf_addf(b, "%llu to %llu", (unsigned long long)f->min, (unsigned long long)f->max);
		break;
	case F_I64:
	case F_OPT_I64:
		buf_addf(b, "%lld to %lld", (long long)f->min, (long long)f->max);
		break;
	case F_NAME:
	case F_NAME_OPT:
	case F_NAMES:
		for (const struct name_value *n = f->names; n->name; n++)
			buf_addf(b, "%s%s", n == f->names ? "" : "|", n->name);
		break;
	case F_GROUPS:
		buf_addf(b, "0 to %u, ", UINT32_MAX - 1);
		/* fall through */
	case F_STRINGS:
	case F_LIST:
	case F_MAP:
	case F_PAIRS:
		buf_addf(b, "at most %zu", f->most ? f->most : MOST_ENTRIES);
		break;
	case F_STRING:
	case F_ABSOLUTE:
		buf_addf(b, "at most %d bytes", MOST_STRING - 1);
		break;
	case F_BOOL:
		buf_adds(b, "true|false");
		break;
	default: /* objects' members say it; what is refused has none */
		break;
	}
}

static const char *why_none(const struct field *f)
{
	return f->none ? f->none : f->kind == F_LATER ? "refused: KAPSEL-UNSUPPORTED" : "";
}

static void walk(struct buf *pointer, const struct fields *t,
	void (*each)(void *, const struct spec_field *), void *ctx)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->v[i];
		CLEANUP_BUF struct buf range = BUF_INIT;
		size_t len = pointer->len;

		buf_addf(pointer, "/%s", f->name);
		range_of(&range, f);
		each(ctx,
			&(struct spec_field) { pointer->data, kind_names[f->kind], buf_str(&range),
				f->doc, why_none(f), f->required, f->kind != F_LATER });
		if (f->sub) {
			if (f->kind == F_LIST)
				buf_adds(pointer, "/-");
			else if (f->kind == F_MAP)
				buf_adds(pointer, "/*");
			walk(pointer, f->sub, each, ctx);
		}
		pointer->len = len;
		pointer->data[len] = '\0';
	}
}

void spec_fields(void (*each)(void *ctx, const struct spec_field *f), void *ctx)
{
	CLEANUP_BUF struct buf pointer = BUF_INIT;

	buf_adds(&pointer, "");
	walk(&pointer, &config_fields, each, ctx);
}
