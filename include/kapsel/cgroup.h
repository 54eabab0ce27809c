/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup: v1, hybrid and v2 behind one door. A cgroup is a directory in each hierarchy that is
 * mounted, held by fd; nothing here decides what is written into it (that is the plan's), or reads
 * JSON.
 */
#ifndef KAPSEL_CGROUP_H
#define KAPSEL_CGROUP_H

#include <kapsel/sys.h>

enum cgroup_layout { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };
enum cgroup_controller {
	CG_CPU,
	CG_CPUACCT,
	CG_CPUSET,
	CG_MEMORY,
	CG_DEVICES,
	CG_FREEZER,
	CG_BLKIO,
	CG_PIDS,
	CG_HUGETLB,
	CG_RDMA,
	CG_NET_CLS,
	CG_NET_PRIO,
	CG_PERF,
	CG_MISC,
	CG_NAMED,
	CG_COUNT
};
struct cgroup_controllers {
	uint32_t v1, v2;
};							      /* bit 1 << enum cgroup_controller */
const char *cgroup_layout_name(enum cgroup_layout l);	      /* "hybrid" */
const char *cgroup_controller_name(enum cgroup_controller c); /* "memory"; blkio is "blkio" */
enum cgroup_controller cgroup_controller_by_name(
	const char *name); /* CG_COUNT if unknown; "io" is CG_BLKIO */

/* v2: the highest cgroup above this process's own that we, not root, may write to: its path; ""
 * when there is none. */
void cgroup_delegated(char *out, size_t room);
/* What is mounted; read once a process from /proc/self/mountinfo. */
int cgroup_detect(enum cgroup_layout *layout, struct cgroup_controllers *there, struct kerr *e);
/* Of each v1 hierarchy: its directory's name ("cpu,cpuacct") and fs options, for mounts of type
 * cgroup. */
struct cgroup_mount {
	const char *name, *options, *path;
	bool v2;
};
const struct cgroup_mount *cgroup_mounts(size_t *n);

/* Is @file there in cgroups of @c? 1, 0, or -1: nothing here can tell. Only looks. */
int cgroup_has_file(enum cgroup_controller c, const char *file);

struct cgroup; /* owns its directory fds until cgroup_free() */
/**
 * cgroup_make() - a directory of @path in every hierarchy
 * @path:   "/kapsel/web"; no "..", no empty name, not the root
 * @parent: directories from here down are removed again with the last cgroup in them; NULL: only
 * what was made here Return: 0, or -1: KERR_CGROUP, KERR_CGROUP_BUSY (it is frozen or has processes
 * in it)
 */
int cgroup_make(const char *path, const char *parent, struct cgroup **out, struct kerr *e);
/**
 * cgroup_adopt() - what another has made, and the same in the hierarchies that it has left out
 * @holder: the one process that may be in it
 *
 * For the cgroups of a unit of systemd's. cgroup_remove() removes all of them, if they are still
 * there. Return: as cgroup_make().
 */
int cgroup_adopt(const char *path, pid_t holder, struct cgroup **out, struct kerr *e);
/**
 * cgroup_hold() - the parent of many: made now, kept when the last cgroup in it goes
 * @path: as for cgroup_make(), which then gets NULL for the parent
 *
 * Made for each container it would cost as much as the container's own; and v1's cpusets below it
 * are filled by the kernel. cgroup_let_go() removes it where nothing is in it. Return: 0, or -1:
 * KERR_CGROUP.
 */
int cgroup_hold(const char *path, struct kerr *e);
void cgroup_let_go(const char *path);
void cgroup_free(struct cgroup *c); /* the directories stay */
/* Closes the fds in this process alone, for one that shares its memory with their owner. */
void cgroup_close_dirs(const struct cgroup *c);
const char *cgroup_path(const struct cgroup *c);
void cgroup_save(const struct cgroup *c, struct buf *out); /* one text line a hierarchy */
int cgroup_open(
	const char *saved, struct cgroup **out, struct kerr *e); /* gone directories are left out */
int cgroup_write(struct cgroup *c, const char *controller, const char *file, const char *value,
	struct kerr *e);
int cgroup_read(struct cgroup *c, const char *controller, const char *file, struct buf *out,
	struct kerr *e);
int cgroup_join(
	struct cgroup *c, struct kerr *e); /* the calling thread itself; only v1 hierarchies */
int cgroup_v2_fd(const struct cgroup *c);  /* for CLONE_INTO_CGROUP; on hybrid too; -1 on pure v1 */
bool cgroup_on_v2(struct cgroup *c, const char *controller); /* whose files @controller has here */
/* O_PATH-able directory of a hierarchy by index of cgroup_mounts(); -1 if there is none. */
int cgroup_dir(const struct cgroup *c, size_t i);
int cgroup_freeze(struct cgroup *c, bool frozen, deadline d, struct kerr *e);
int cgroup_kill(
	struct cgroup *c, deadline d, struct kerr *e); /* every process, until none is left */
bool cgroup_is_empty(struct cgroup *c);
int cgroup_procs(struct cgroup *c, pid_t **pids, size_t *n, struct kerr *e); /* caller frees */
int cgroup_remove(struct cgroup *c, deadline d,
	struct kerr *e); /* what cgroup_make() made; EBUSY is tried again */
int cgroup_chown(struct cgroup *c, uid_t uid, struct kerr *e); /* v2 delegation */

struct cgroup_stats {
	uint64_t memory, memory_peak, memory_limit; /* bytes; limit UINT64_MAX: none */
	uint64_t cpu_ns, cpu_user_ns, cpu_system_ns, throttled_ns, nr_throttled;
	uint64_t pids, pids_limit;
	uint64_t oom_kills;
	uint64_t read_bytes, written_bytes;
};
void cgroup_stats(struct cgroup *c, struct cgroup_stats *out); /* what cannot be read is 0 */

/* ---- devices
 * --------------------------------------------------------------------------------------- */

struct cgroup_device {
	bool allow;
	char type;	      /* a b c */
	int64_t major, minor; /* -1: all */
	uint8_t access;
};
enum {
	CGROUP_DEV_MKNOD = 1,
	CGROUP_DEV_READ = 2,
	CGROUP_DEV_WRITE = 4
}; /* the kernel's BPF_DEVCG_ACC_* */
int cgroup_devices(struct cgroup *c, const struct cgroup_device *rules, size_t n, struct kerr *e);
/* Does the kernel say that rules hold there? v1: not everything is allowed; v2: a program is
 * attached. */
bool cgroup_has_devices(struct cgroup *c);
struct bpf_insn;
/* The v2 program: later rules win, none matching allows. Returns the number of instructions. */
size_t cgroup_device_program(
	const struct cgroup_device *rules, size_t n, struct bpf_insn *out, size_t room);

/* ---- conversions (docs/CGROUPS.md)
 * -------------------------------------------------------------------- */

uint64_t cgroup_weight_of_shares(uint64_t shares); /* 0 unset; 2..262144 -> 1..10000, 1024 -> 100 */
uint64_t cgroup_weight_of_blkio(uint64_t weight);  /* 10..1000 -> 1..10000 */

#endif
