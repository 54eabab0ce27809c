/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan: spec + the node's facts -> the flat, ordered list of operations. Pure: no system call in
 * here changes anything, and plan_build() makes none at all (facts_read() only reads).
 */
#ifndef KAPSEL_PLAN_H
#define KAPSEL_PLAN_H

#include <kapsel/cgroup.h>
#include <kapsel/seccomp.h>
#include <kapsel/spec.h>
#include <kapsel/systemd.h>

/* ---- facts: what the node can do --------------------------------------------------------------
 */

struct fact_limit {
	uint64_t hard;
	bool known;
};
/* Ids, as of a map or of /etc/subuid. */
struct fact_ids {
	struct {
		uint32_t start, count;
	} v[8];
	unsigned n;
};
struct facts {
	char kernel[72]; /* "6.1.0-18-amd64" */
	unsigned kernel_major, kernel_minor;
	char machine[72]; /* "x86_64" */
	enum cgroup_layout cgroup_layout;
	struct cgroup_controllers controllers; /* which are there, on v1 or v2 */
	bool cgroup_writable;		       /* may we make cgroups where containers go? */
	uint32_t uid, gid;		       /* effective, on the host */
	bool root;	       /* real root: CAP_SYS_ADMIN in the initial user namespace */
	uint64_t capabilities; /* grantable: the bounding set, bit n = capability n */
	unsigned last_capability;
	struct fact_limit rlimit[OCI_RLIMIT_COUNT];
	bool may_raise_rlimits; /* CAP_SYS_RESOURCE */
	uint64_t nr_open;	/* above it no RLIMIT_NOFILE goes; 0: not known */
	bool realtime_groups;	/* v1: a cgroup has no real time but what it is given */
	int oom_score_adj_min;	/* the lowest value that we may set */
	bool user_namespaces, time_namespaces, cgroup_namespaces;
	bool idmapped_mounts, mount_setattr, seccomp, seccomp_notify;
	bool apparmor, selinux, resctrl;
	bool swap_accounting;
	char **filesystems;
	size_t nfilesystems; /* /proc/filesystems, sorted */
	char **modules;
	size_t nmodules; /* /proc/modules, sorted */
	char **loadable;
	size_t nloadable; /* file systems that a module would bring */
	bool modules_known;
	char **missing;
	size_t nmissing; /* "cpu/cpu.idle": cgroup files that this kernel lacks, as far as seen */
	char **page_sizes;
	size_t npage_sizes; /* "2MB": of huge pages */
	uint32_t cpus;
	char cpus_online[256], mems_online[256];
	/* Of interest, and read, only without the host's root: */
	bool namespace_root;		  /* root of a user namespace, with CAP_SYS_ADMIN in it */
	bool setgroups;			  /* may be called in this user namespace */
	struct fact_ids uids, gids;	  /* what is mapped in this user namespace */
	struct fact_ids subuids, subgids; /* what newuidmap and newgidmap would map; none: no such
					     program, or nothing granted */
	char cgroup_base[256]; /* v2: the highest cgroup above ours that we may write to, or "" */
};
/* Set-user-id helpers: ids beyond one's own, as /etc/subuid and /etc/subgid grant them. */
#define NEWUIDMAP "/usr/bin/newuidmap"
#define NEWGIDMAP "/usr/bin/newgidmap"
int facts_read(struct facts *out, struct kerr *e);
/* Also what only a judgement needs and takes longer to find: the modules. */
int facts_read_all(struct facts *out, struct kerr *e);
void facts_free(struct facts *f);
void facts_json(const struct facts *f, struct buf *out); /* kapsel info --facts */
int facts_parse(const char *text, size_t len, struct facts *out, struct kerr *e); /* --facts FILE */

/* ---- operations ---------------------------------------------------------------------------------
 */

/* Who carries an operation out. Where the side changes from one operation to the next, the other
 * side waits: both walk the same list in step. */
enum op_side { SIDE_EXECUTOR, SIDE_INIT };

enum op_kind {
	OP_CGROUP_MAKE,	     /* E  target: cgroup path; all controllers' directories */
	OP_CGROUP_SCOPE,     /* E  u.scope: started by systemd, held for init; its cgroup made */
	OP_CGROUP_SETTLE,    /* E  init is in its scope: nothing else holds it any more; u.scope */
	OP_CGROUP_WRITE,     /* E  u.write */
	OP_CGROUP_DEVICES,   /* E  u.devices: rules; v1 files or a v2 program */
	OP_NAMESPACE_JOIN,   /* E  u.ns: opened and its type checked; entered around the clone */
	OP_CLONE,	     /* E  u.clone: flags; init is the caller's parent's child */
	OP_IDMAP,	     /* E  u.idmap: uid and gid map of the new user namespace */
	OP_CGROUP_CHOWN,     /* E  u.number: host uid that gets the v2 cgroup */
	OP_BECOME_ROOT,	     /* I  ids 0:0 of the new user namespace */
	OP_CGROUP_JOIN,	     /* I  v1: "0" into its own tasks; v2 was born in it */
	OP_CGROUP_NAMESPACE, /* I  unshare after the join */
	OP_TIME_OFFSETS,     /* E  /proc/self/timens_offsets before the clone's child enters */
	OP_LOOPBACK,	     /* I  lo up in a new network namespace */
	OP_OOM_SCORE,	     /* E  u.number, from outside: lowering needs the host's rights */
	OP_PROPAGATION,	     /* I  "/" of the new mount namespace private (or u.number) */
	OP_ROOT,	     /* I  u.root: the rootfs as a detached mount */
	OP_MOUNT,	     /* I  u.mount */
	OP_DEVICE,	     /* I  u.device: mknod, or bind in a user namespace */
	OP_SYMLINK,	     /* I  u.link */
	OP_CONSOLE,	     /* I  own devpts pty, bound on /dev/console, master handed out */
	OP_HOOK,	     /* E: prestart, createRuntime, poststart, poststop; I: createContainer,
				startContainer */
	OP_PIVOT,	     /* I  pivot_root, old root detached, cwd "/" */
	OP_ROOT_PROPAGATION, /* I  linux.rootfsPropagation */
	OP_ROOT_READONLY,    /* I */
	OP_READONLY_PATH,    /* I  target */
	OP_MASK,	     /* I  target */
	OP_SYSCTL,	     /* I  u.pair */
	OP_HOSTNAME,	     /* I  target */
	OP_DOMAINNAME,	     /* I  target */
	OP_KEYRING,	     /* I  session keyring of its own */
	OP_RLIMIT,	     /* I  u.rlimit (raised from outside where init has no right) */
	OP_SCHEDULER,	     /* I  u.scheduler */
	OP_IOPRIO,	     /* I  u.number: class << 13 | priority */
	OP_AFFINITY,	     /* I  target: cpu list (exec: initial and final) */
	OP_PERSONALITY,	     /* I  u.number */
	OP_WAIT_START,	     /* I  create: wait here until start */
	OP_STDIO,	     /* I  0-2 in place, controlling terminal, owner */
	OP_UMASK,	     /* I  u.number */
	OP_CWD,		     /* I  target: made if missing, getcwd() must begin with "/" */
	OP_BOUNDING,	     /* I  u.caps: the bounding set shrunk, securebits */
	OP_CREDENTIALS,	     /* I  u.creds: groups, gid, uid */
	OP_CAPABILITIES,     /* I  u.caps: effective, permitted, inheritable, ambient */
	OP_NO_NEW_PRIVS,     /* I */
	OP_CHECK,	     /* I  the self-check: applied == asked */
	OP_SECCOMP,	     /* I  last before exec; E reads the mode from outside */
	OP_EXEC,	     /* I  args[0] found by PATH of process.env */
	OP_COUNT
};

struct op_mount {
	const char *type;   /* file system, or NULL for a bind */
	const char *source; /* as written; binds: relative to the bundle; NULL for none */
	const char *data;   /* "mode=755,size=64k": what is no flag, or NULL */
	bool bind, recursive, remount, copy_up,
		cgroup;	     /* cgroup: type "cgroup": the container's own view */
	bool source_is_root; /* reserved for --volatile */
	uint32_t sb_flags; /* MS_RDONLY|SYNCHRONOUS|DIRSYNC|LAZYTIME|MANDLOCK|SILENT for new ones */
	uint64_t attr_set, attr_clr;	     /* MOUNT_ATTR_* of this mount */
	uint64_t attr_rec_set, attr_rec_clr; /* the r... forms, AT_RECURSIVE */
	uint64_t propagation[4];	     /* MS_PRIVATE, MS_SHARED|MS_REC, ... in order */
	size_t npropagation;
	bool idmap, idmap_recursive;
	const struct oci_idmap *uids, *gids; /* of this mount; NULL: the container's */
	size_t nuids, ngids;
};

struct op {
	enum op_kind kind;
	enum op_side side;
	unsigned nth;	     /* which of its kind, or of the config's list: mount[3] */
	const char *target;  /* what it is about, for people: "/etc/resolv.conf" */
	const char *pointer; /* JSON pointer it comes from, or NULL */
	uint32_t line, column;
	bool optional; /* its absence is no error (masked paths) */
	bool verified; /* the self-check reads it back */
	union {
		struct {
			const char *controller, *file, *value;
			const char *usage; /* refused when this file's number is above the value */
			bool read_back;
		} write;
		struct systemd_scope scope;
		struct {
			const struct cgroup_device *v;
			size_t n;
		} devices;
		struct {
			enum oci_namespace type;
			const char *path;
		} ns;
		struct {
			uint64_t flags;
		} clone; /* CLONE_NEW* */
		struct {
			const struct oci_idmap *uids, *gids;
			size_t nuids, ngids;
		} idmap;
		struct {
			const struct oci_time_offset *v;
			size_t n;
		} offsets;
		struct {
			bool readonly;
			uint64_t propagation;
			bool volatile_overlay;
			uint64_t volatile_bytes;
		} root;
		struct op_mount mount;
		struct {
			mode_t type;
			mode_t mode;
			unsigned major, minor;
			uint32_t uid, gid;
			bool bind;
		} device;
		struct {
			const char *text;
		} link; /* target -> text */
		struct {
			enum oci_hook_kind kind;
			const struct oci_hook *hook;
		} hook;
		struct {
			const char *key, *value;
		} pair;
		struct {
			enum oci_rlimit type;
			uint64_t soft, hard;
		} rlimit;
		struct {
			const struct oci_scheduler *s;
		} scheduler;
		struct {
			uint64_t bounding, effective, permitted, inheritable, ambient;
			unsigned securebits;
		} caps;
		struct {
			uint32_t uid, gid;
			const uint32_t *groups;
			size_t ngroups;
			bool keep_groups; /* the caller's stay: this user namespace denies setgroups
					   */
		} creds;
		struct {
			const struct oci_seccomp *profile;
		} seccomp;
		struct {
			unsigned short rows, columns;
			bool terminal;
		} console;
		int64_t number;
	} u;
};

struct plan_options {
	const char *id;		   /* NULL: "ID" is printed where it would stand */
	const char *bundle;	   /* absolute path, for relative sources in messages; or NULL */
	const char *cgroup_parent; /* used where the config has no cgroupsPath; e.g. "/kapsel" */
	bool systemd_cgroup;	   /* a scope, not a cgroup of our own making */
	bool wait_start;	   /* create: OP_WAIT_START and startContainer hooks after it */
	bool volatile_root;	   /* --volatile */
	uint64_t volatile_bytes;
	bool rootless;
};

struct plan {
	struct op *op;
	size_t n, cap;
	const struct oci_spec *spec;
	const struct oci_process *process; /* spec's, or an exec's own */
	struct plan_options options;
	struct facts const *facts;
	struct kerr *warning; /* what the specification wants said but not refused */
	size_t nwarnings;
};

/**
 * plan_build() - the operations that make @spec's container on the node of @facts
 *
 * Everything is allocated in @a and borrows from @spec. All reasons why this node cannot are
 * reported together in @e (KERR_NODE_*, KERR_UNSUPPORTED, ... with pointer and line:column).
 */
int plan_build(struct arena *a, const struct oci_spec *spec, const struct facts *facts,
	const struct plan_options *o, struct plan *out, struct kerr *e);
/* The operations of an exec of @process into a container made from @spec: joins, credentials, ...
 */
int plan_exec(struct arena *a, const struct oci_spec *spec, const struct oci_process *process,
	const struct facts *facts, const struct plan_options *o, struct plan *out, struct kerr *e);
/* New limits for a container that is there: the writes of @spec's linux.resources, without devices.
 */
int plan_update(struct arena *a, const struct oci_spec *spec, const struct facts *facts,
	struct plan *out, struct kerr *e);
/* What systemd is told of @r, so that it does not undo it. */
void plan_scope_properties(struct arena *a, const struct oci_resources *r, const struct facts *f,
	const struct systemd_property **v, size_t *n);
const char *op_kind_name(enum op_kind k);	       /* "mount" */
void plan_text(const struct plan *p, struct buf *out); /* byte-stable; no value of process.env */
void plan_json(const struct plan *p, struct buf *out);

/* docs/CGROUPS.md: what becomes of each resource, from the table that does it. */
void plan_resources_doc(struct buf *out);
/* For `make fields`: each operation kind's read-back in words. */
const char *op_kind_read_back(enum op_kind k);

#endif
