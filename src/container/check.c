/* SPDX-License-Identifier: Apache-2.0 */
/* The self-check: what the kernel says now, against the plan. A difference ends the start. */
#include "private.h"
#include <errno.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

struct view {
	char *status; /* /proc/self/status */
	struct mount_line {
		char *path, *options, *tags, *type;
	} * mounts;
	size_t nmounts;
};

static int differs(struct kerr *e, const char *what, const char *found, const char *asked)
{
	return kerr_fail(e, KERR_SELF_CHECK, 0, "%s is '%s', asked was '%s'", what, found, asked);
}

/* ---- status
 * -------------------------------------------------------------------------------------------------
 */

static const char *line_of(const struct view *v, const char *key)
{
	const char *s = strstr(v->status, key);

	return s ? s + strlen(key) : "";
}

static int same_caps(const struct view *v, const char *key, uint64_t asked, struct kerr *e)
{
	uint64_t found = strtoull(line_of(v, key), NULL, 16);
	char a[24], f[24];

	if (found == asked)
		return 0;
	snprintf(a, sizeof a, "%016llx", (unsigned long long)asked);
	snprintf(f, sizeof f, "%016llx", (unsigned long long)found);
	return differs(e, key + 1, f, a);
}

static int four_ids(const struct view *v, const char *key, uint32_t id, struct kerr *e)
{
	unsigned found[4];
	char asked[16];

	if (sscanf(line_of(v, key), "%u %u %u %u", &found[0], &found[1], &found[2], &found[3]) ==
			4 &&
		found[0] == id && found[1] == id && found[2] == id && found[3] == id)
		return 0;
	snprintf(asked, sizeof asked, "%u", id);
	return differs(e, key + 1, "another", asked);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int same_groups(const struct view *v, const struct op *op, struct kerr *e)
{
	CLEANUP_FREE uint32_t *asked = mem_array(op->u.creds.ngroups + 1, sizeof *asked);
	const char *s = line_of(v, "\nGroups:\t");
	size_t n = op->u.creds.ngroups, i = 0;
	char *end;

	if (n)
		memcpy(asked, op->u.creds.groups, n * sizeof *asked);
	qsort(asked, n, sizeof *asked, by_number);
	for (;;) {
		unsigned long id = strtoul(s, &end, 10);

		if (end == s)
			break;
		while (i + 1 < n && asked[i] == asked[i + 1])
			i++; /* named twice */
		if (i == n || asked[i] != id)
			return differs(
				e, "Groups", "another list", "that of process.user.additionalGids");
		i++;
		s = *end == ' ' ? end + 1 : end;
		if (*s == '\n')
			break;
	}
	return i == n ? 0
		      : differs(e, "Groups", "a shorter list",
				"that of process.user.additionalGids");
}

/* ---- mounts
 * -------------------------------------------------------------------------------------------------
 */

static void read_mounts(struct view *v, char *text)
{
	char *save = NULL;
	size_t cap = 0;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *dash = strstr(line, " - "), *word[6], *inner = NULL;
		int i = 0;

		if (dash == NULL)
			continue;
		*dash = '\0';
		for (; i < 6; i++)
			if ((word[i] = strtok_r(i ? NULL : line, " ", &inner)) == NULL)
				break;
		if (i < 6)
			continue;
		if (v->nmounts == cap) {
			cap = cap ? cap * 2 : 64;
			v->mounts = mem_grow(v->mounts, cap, sizeof *v->mounts);
		}
		v->mounts[v->nmounts++] = (struct mount_line) { word[4], word[5],
			inner ? inner : (char *)(uintptr_t) "", dash + 3 };
	}
}

/* The last one at a path is the one that is seen. */
static const struct mount_line *mount_at(const struct view *v, const char *path)
{
	for (size_t i = v->nmounts; i > 0; i--)
		if (strcmp(v->mounts[i - 1].path, path) == 0)
			return &v->mounts[i - 1];
	return NULL;
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *s = list; (s = strstr(s, word)); s += n)
		if ((s == list || s[-1] == ',') && (s[n] == ',' || s[n] == '\0'))
			return true;
	return false;
}

static int mount_flags(const struct mount_line *m, uint64_t set, const char *path, struct kerr *e)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} flags[] = { { MOUNT_ATTR_RDONLY, "ro" }, { MOUNT_ATTR_NOSUID, "nosuid" },
		{ MOUNT_ATTR_NODEV, "nodev" }, { MOUNT_ATTR_NOEXEC, "noexec" },
		{ 0x00200000, "nosymfollow" } };

	if (m == NULL)
		return differs(e, path, "not mounted", "a mount");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (set & flags[i].bit && !has_word(m->options, flags[i].name)) {
			CLEANUP_FREE char *what = mem_printf("mount %s", path);

			return differs(e, what, m->options, flags[i].name);
		}
	return 0;
}

/* Symlinks in the rootfs may have led elsewhere: the plain path is looked for, and where it is no
 * mount point the one that the path leads to is. */
static int check_mount(
	struct container *c, const struct view *v, const char *path, uint64_t set, struct kerr *e)
{
	CLEANUP_BUF struct buf real = BUF_INIT;
	CLEANUP_FD int fd = -1;
	const struct mount_line *m = mount_at(v, path);

	if (m == NULL) {
		fd = path_in(c->root, path, O_PATH, 0, NULL);
		if (fd < 0 || fd_path(fd, &real, NULL))
			return 0; /* covered by a later mount */
		m = mount_at(v, buf_str(&real));
		if (m == NULL)
			return 0;
	}
	return mount_flags(m, set, path, e);
}

static int check_propagation(const struct view *v, const struct op *op, struct kerr *e)
{
	const struct mount_line *m = mount_at(v, "/");
	uint64_t how = (uint64_t)op->u.number;
	bool shared = m && strstr(m->tags, "shared:"),
	     unbindable = m && strstr(m->tags, "unbindable");

	if (m == NULL || shared != !!(how & (1 << 20)) || unbindable != !!(how & (1 << 17)))
		return differs(e, "propagation of /", m ? m->tags : "unknown", "rootfsPropagation");
	return 0;
}

/* ---- the rest
 * -----------------------------------------------------------------------------------------------
 */

static ino_t namespace_of(const char *name)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof path, "self/ns/%s", name);
	CLEANUP_FD int fd = proc_ns(path, NULL);

	return fd >= 0 && fd_stat(fd, &st, NULL) == 0 ? st.st_ino : 0;
}

static int check_namespaces(struct container *c, struct kerr *e)
{
	static const char *const names[OCI_NS_COUNT] = { "pid", "net", "mnt", "ipc", "uts", "user",
		"cgroup", "time" };

	for (int t = 0; t < OCI_NS_COUNT; t++) {
		const struct oci_ns *ns = oci_find_ns(c->p->spec, (enum oci_namespace)t);
		ino_t now = namespace_of(names[t]);

		if (now == 0)
			continue; /* this kernel has no such kind, and the plan has asked for none
				   */
		if (ns == NULL && now != c->outer[t])
			return differs(e, names[t], "a namespace of its own", "the host's");
		if (ns && ns->path == NULL && now == c->outer[t])
			return differs(e, names[t], "the host's namespace", "one of its own");
	}
	return 0;
}

static int check_rlimit(const struct op *op, struct kerr *e)
{
	struct rlimit r;

	if (syscall(SYS_prlimit64, 0, (int)op->u.rlimit.type, NULL, &r) == 0 &&
		r.rlim_cur == op->u.rlimit.soft && r.rlim_max == op->u.rlimit.hard)
		return 0;
	return differs(e, op->target, "another value", "that of process.rlimits");
}

static int check_names(const struct op *op, struct kerr *e)
{
	struct utsname u;
	const char *found;

	uname(&u);
	found = op->kind == OP_HOSTNAME ? u.nodename : u.domainname;
	return strcmp(found, op->target) == 0
		       ? 0
		       : differs(e, op_kind_name(op->kind), found, op->target);
}

static int check_number(const char *what, long long found, long long asked, struct kerr *e)
{
	char f[24], a[24];

	if (found == asked)
		return 0;
	snprintf(f, sizeof f, "%lld", found);
	snprintf(a, sizeof a, "%lld", asked);
	return differs(e, what, f, a);
}

static int check_sysctl(const struct op *op, struct kerr *e)
{
	CLEANUP_FREE char *name = mem_printf("sys/%s", op->u.pair.key);
	CLEANUP_BUF struct buf b = BUF_INIT;

	for (char *s = name; strchr(op->u.pair.key, '/') == NULL && *s; s++)
		if (*s == '.')
			*s = '/';
	if (proc_read(name, 4096, &b, e))
		return -1;
	b.data[strcspn(b.data, "\n")] = '\0';
	for (char *s = b.data; *s; s++)
		if (*s == '\t')
			*s = ' ';
	return strcmp(b.data, op->u.pair.value) == 0
		       ? 0
		       : differs(e, op->u.pair.key, b.data, op->u.pair.value);
}

static int check_device(struct container *c, const struct op *op, struct kerr *e)
{
	CLEANUP_FD int fd = path_in(c->root, op->target, O_PATH, 0, e);
	struct stat st;

	if (fd < 0 || fd_stat(fd, &st, e))
		return -1;
	if ((st.st_mode & S_IFMT) != op->u.device.type)
		return differs(e, op->target, "something else", "a device");
	if (S_ISCHR(st.st_mode) && !fd_is_chardev(fd, op->u.device.major, op->u.device.minor))
		return differs(e, op->target, "another device", "the one of linux.devices");
	return 0;
}

static int check_scheduler(const struct op *op, struct kerr *e)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t t[3];
		uint32_t u[2];
	} a = { .size = sizeof a };

	if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) < 0)
		return kerr_fail(e, KERR_SELF_CHECK, errno, "read the scheduler");
	return check_number("scheduler policy", a.policy, op->u.scheduler.s->policy, e) ||
			       check_number("nice", a.nice,
				       a.policy == 0 || a.policy == 3 ? op->u.scheduler.s->nice.v
								      : a.nice,
				       e) ||
			       check_number(
				       "priority", a.priority, op->u.scheduler.s->priority.v, e)
		       ? -1
		       : 0;
}

static int check_cgroup(struct container *c, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	bool own = oci_new_ns(c->p->spec, OCI_NS_CGROUP);

	if (c->cgroup == NULL || proc_read("self/cgroup", 65536, &b, e))
		return c->cgroup ? -1 : 0;
	/* In a cgroup namespace of its own every line ends in ":/". */
	for (char *s = b.data, *end; *s; s = end + 1) {
		char *path = strchr(s, ':');

		end = strchr(s, '\n');
		if (end == NULL)
			break;
		*end = '\0';
		path = path ? strchr(path + 1, ':') : NULL;
		if (path &&
			(own ? strcmp(path + 1, "/") != 0
			     : !str_ends(path + 1, cgroup_path(c->cgroup))) &&
			!(own && strcmp(path + 1, cgroup_path(c->cgroup)) == 0))
			return differs(e, "cgroup", s, cgroup_path(c->cgroup));
	}
	return 0;
}

static int check_op(
	struct container *c, const struct view *v, const struct op *op, size_t i, struct kerr *e)
{
	const uint64_t visible = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				 MOUNT_ATTR_NOEXEC | 0x00200000;
	char asked[32];

	switch (op->kind) {
	case OP_MOUNT:
		return op->u.mount.cgroup
			       ? 0
			       : check_mount(c, v, op->target,
					 (op->u.mount.attr_set | op->u.mount.attr_rec_set) &
						 visible,
					 e);
	case OP_ROOT_READONLY:
		return check_mount(c, v, "/", MOUNT_ATTR_RDONLY, e);
	case OP_READONLY_PATH:
		return c->fd[i] == -3	? check_mount(c, v, op->target, MOUNT_ATTR_RDONLY, e)
		       : c->fd[i] == -1 ? 0
					: differs(e, op->target, "not covered", "read-only");
	case OP_MASK:
		return c->fd[i] == -3 ? check_mount(c, v, op->target, 0, e) : 0;
	case OP_ROOT_PROPAGATION:
		return check_propagation(v, op, e);
	case OP_DEVICE:
		return check_device(c, op, e);
	case OP_SYSCTL:
		return check_sysctl(op, e);
	case OP_HOSTNAME:
	case OP_DOMAINNAME:
		return check_names(op, e);
	case OP_RLIMIT:
		return check_rlimit(op, e);
	case OP_SCHEDULER:
		return check_scheduler(op, e);
	case OP_IOPRIO:
		return check_number("I/O priority", syscall(SYS_ioprio_get, 1, 0), op->u.number, e);
	case OP_PERSONALITY:
		return check_number("personality", personality(0xffffffff), op->u.number, e);
	case OP_UMASK:
		snprintf(asked, sizeof asked, "%04llo", (unsigned long long)op->u.number);
		return strncmp(line_of(v, "\nUmask:\t"), asked, 4) == 0
			       ? 0
			       : differs(e, "Umask", "another", asked);
	case OP_BOUNDING:
		return same_caps(v, "\nCapBnd:\t", op->u.caps.bounding, e);
	case OP_CAPABILITIES:
		return same_caps(v, "\nCapEff:\t", op->u.caps.effective, e) ||
				       same_caps(v, "\nCapPrm:\t", op->u.caps.permitted, e) ||
				       same_caps(v, "\nCapInh:\t", op->u.caps.inheritable, e) ||
				       same_caps(v, "\nCapAmb:\t", op->u.caps.ambient, e)
			       ? -1
			       : 0;
	case OP_CREDENTIALS:
		return four_ids(v, "\nUid:\t", op->u.creds.uid, e) ||
				       four_ids(v, "\nGid:\t", op->u.creds.gid, e) ||
				       same_groups(v, op, e)
			       ? -1
			       : 0;
	case OP_NO_NEW_PRIVS:
		return *line_of(v, "\nNoNewPrivs:\t") == '1' ? 0
							     : differs(e, "NoNewPrivs", "0", "1");
	case OP_CGROUP_JOIN:
		return check_cgroup(c, e);
	case OP_CLONE:
		return c->o->exec_target >= 0 ? 0 : check_namespaces(c, e);
	default:
		return 0;
	}
}

static int check_all(struct container *c, const struct view *v, struct kerr *e)
{
	for (size_t i = 0; i < c->p->n; i++)
		if (check_op(c, v, &c->p->op[i], i, e)) {
			step_failed(&c->p->op[i], e);
			return -1;
		}
	return 0;
}

int do_check(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_BUF struct buf status = BUF_INIT;
	CLEANUP_BUF struct buf mounts = BUF_INIT;
	struct view v = { 0 };
	int rc;

	(void)op;
	(void)i;
	if (c->o->exec_target >= 0)
		proc_close(); /* one of this pid namespace */
	if (proc_read("self/status", 65536, &status, e) ||
		proc_read("self/mountinfo", 16u << 20, &mounts, e))
		return -1;
	v.status = status.data;
	read_mounts(&v, mounts.data);
	rc = check_all(c, &v, e);
	free(v.mounts);
	return rc ? -1 : check_late(c, e);
}
