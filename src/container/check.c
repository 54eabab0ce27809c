/* SPDX-License-Identifier: Apache-2.0 */
/* The self-check: what the kernel says now, against the plan. A difference ends the start. */
#include "private.h"
#include <errno.h>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

struct view {
	char *status; /* /proc/self/status */
	struct mount_line {
		uint64_t id;
		char *root, *path, *options, *tags, *type; /* type: and source, super options */
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

/* @key is as it stands in status: "\nCapEff:\t". */
static int status_differs(struct kerr *e, const char *key, const char *found, const char *asked)
{
	CLEANUP_FREE char *what = mem_strndup(key + 1, strcspn(key + 1, ":"));

	return differs(e, what, found, asked);
}

static int same_caps(const struct view *v, const char *key, uint64_t asked, struct kerr *e)
{
	uint64_t found = strtoull(line_of(v, key), NULL, 16);
	char a[24], f[24];

	if (found == asked)
		return 0;
	snprintf(a, sizeof a, "%016llx", (unsigned long long)asked);
	snprintf(f, sizeof f, "%016llx", (unsigned long long)found);
	return status_differs(e, key, f, a);
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
	return status_differs(e, key, "another", asked);
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

	if (op->u.creds.keep_groups)
		return 0;
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
		v->mounts[v->nmounts++] =
			(struct mount_line) { strtoull(word[0], NULL, 10), word[3], word[4],
				word[5], inner ? inner : (char *)(uintptr_t) "", dash + 3 };
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

static const struct mount_line *mount_by_id(const struct view *v, uint64_t id)
{
	for (size_t i = 0; i < v->nmounts; i++)
		if (v->mounts[i].id == id)
			return &v->mounts[i];
	return NULL;
}

static const struct {
	uint64_t bit;
	const char *name;
} flag_names[] = { { MOUNT_ATTR_RDONLY, "ro" }, { MOUNT_ATTR_NOSUID, "nosuid" },
	{ MOUNT_ATTR_NODEV, "nodev" }, { MOUNT_ATTR_NOEXEC, "noexec" },
	{ MOUNT_ATTR_NODIRATIME, "nodiratime" }, { 0x00200000, "nosymfollow" } };

static int flags_differ(const struct mount_line *m, const char *path, const char *no,
	const char *flag, struct kerr *e)
{
	CLEANUP_FREE char *what = mem_printf("mount %s", path);
	CLEANUP_FREE char *asked = mem_printf("%s%s", no, flag);

	return differs(e, what, m->options, asked);
}

/* What is set is there, and what is cleared is not. */
static int mount_flags(const struct mount_line *m, uint64_t set, uint64_t cleared, const char *path,
	struct kerr *e)
{
	static const char *const atime[] = { "relatime", "noatime", NULL };
	uint64_t how = set & MOUNT_ATTR__ATIME;

	for (size_t i = 0; i < ARRAY_LEN(flag_names); i++) {
		bool found = has_word(m->options, flag_names[i].name);

		if (set & flag_names[i].bit && !found)
			return flags_differ(m, path, "", flag_names[i].name, e);
		if (cleared & ~set & flag_names[i].bit && found)
			return flags_differ(m, path, "not ", flag_names[i].name, e);
	}
	if (!(cleared & MOUNT_ATTR__ATIME)) /* none was asked for */
		return 0;
	for (int i = 0; i < 2; i++)
		if (has_word(m->options, atime[i]) !=
			(how == (i ? MOUNT_ATTR_NOATIME : MOUNT_ATTR_RELATIME)))
			return flags_differ(m, path, how ? "" : "strictatime, not ", atime[i], e);
	return 0;
}

/* The very mount that the operation has made, by its number: a path may have led elsewhere. */
static int check_mount(struct container *c, const struct view *v, size_t i, uint64_t set,
	uint64_t cleared, const struct mount_line **out, struct kerr *e)
{
	const char *path = c->p->op[i].target;
	const struct mount_line *m = c->id[i] ? mount_by_id(v, c->id[i]) : NULL;

	if (out)
		*out = m;
	return m ? mount_flags(m, set, cleared, path, e)
		 : differs(e, path, "not mounted", "a mount");
}

static int check_tags(const struct mount_line *m, const struct op_mount *o, struct kerr *e)
{
	uint64_t last = o->npropagation ? o->propagation[o->npropagation - 1] : 0;
	bool shared = strstr(m->tags, "shared:") != NULL,
	     unbindable = strstr(m->tags, "unbindable") != NULL;

	if (o->npropagation == 0)
		return 0;
	return shared == !!(last & (1 << 20)) && unbindable == !!(last & (1 << 17))
		       ? 0
		       : differs(e, "propagation", *m->tags ? m->tags : "private", "another");
}

static int check_cgroup_mounts(
	struct container *c, const struct view *v, uint64_t set, struct kerr *e)
{
	for (size_t i = c->p->n; i < c->nfd; i++) {
		const struct mount_line *m = c->id[i] ? mount_by_id(v, c->id[i]) : NULL;

		if (c->id[i] == 0)
			continue; /* no such hierarchy, or v2, whose mount is the one at the top */
		if (m == NULL)
			return differs(e, "cgroup", "not mounted", "a mount");
		if (mount_flags(m, set, 0, m->path, e))
			return -1;
	}
	return 0;
}

static int check_one_mount(struct container *c, const struct view *v, size_t i, struct kerr *e)
{
	const struct op_mount *o = &c->p->op[i].u.mount;
	uint64_t set = (o->attr_set & ~o->attr_rec_clr) | o->attr_rec_set,
		 cleared = o->attr_clr | o->attr_rec_clr;
	const struct mount_line *m;

	if (check_mount(c, v, i, set, cleared, &m, e) || check_tags(m, o, e))
		return -1;
	if (o->cgroup)
		return check_cgroup_mounts(c, v, set, e);
	if (!o->bind && (strncmp(m->type, o->type, strlen(o->type)) != 0 ||
				strchr(" .", m->type[strlen(o->type)]) == NULL))
		return differs(e, "file system", m->type, o->type);
	if (o->idmap && !has_word(m->options, "idmapped"))
		return differs(e, "mount", m->options, "idmapped");
	return 0;
}

/* A file is covered by the null device, a directory by something empty and read-only. */
static int check_cover(struct container *c, const struct view *v, size_t i, struct kerr *e)
{
	const struct mount_line *m;
	CLEANUP_FD int fd = -1;

	if (c->id[i] == ID_ABSENT)
		return 0;
	if (check_mount(c, v, i, 0, 0, &m, e))
		return -1;
	if (strncmp(m->type, "tmpfs masked ", 13) == 0)
		return mount_flags(m, MOUNT_ATTR_RDONLY, 0, c->p->op[i].target, e);
	fd = target_below(c, &c->p->op[i], e);
	if (fd < 0)
		return -1;
	return fd_is_chardev(fd, 1, 3)
		       ? 0
		       : differs(e, c->p->op[i].target, "something", "the null device");
}

/* "/" is the root file system's mount, and nothing of the old root is below it. */
static int check_pivot(struct container *c, const struct view *v, struct kerr *e)
{
	const struct mount_line *m = mount_at(v, "/");
	CLEANUP_FD int root = path_host_dir(AT_FDCWD, "/", e);

	if (root < 0)
		return -1;
	if (fd_mount_id(root) != fd_mount_id(c->root) || m == NULL || m->id != fd_mount_id(c->root))
		return differs(e, "/", "another mount", "the root file system");
	return 0;
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

static ino_t namespace_of(enum oci_namespace t)
{
	return (ino_t)proc_inode(ns_file(t));
}

static int check_namespaces(struct container *c, struct kerr *e)
{
	for (int t = 0; t < OCI_NS_COUNT; t++) {
		const struct oci_ns *ns = oci_find_ns(c->p->spec, (enum oci_namespace)t);
		ino_t now = namespace_of((enum oci_namespace)t);
		const char *name = oci_ns_name((enum oci_namespace)t);

		if (now == 0 && ns == NULL)
			continue; /* this kernel has no such kind */
		if (ns == NULL && now != c->own.outer[t])
			return differs(e, name, "a namespace of its own", "the host's");
		if (ns && ns->path == NULL && (now == 0 || now == c->own.outer[t]))
			return differs(e, name, "the host's namespace", "one of its own");
		if (ns && ns->path && (now == 0 || now != c->joined[t]))
			return differs(e, name, "another namespace", ns->path);
	}
	return 0;
}

/* An exec is where the container's init is. */
static int check_same_namespaces(struct container *c, struct kerr *e)
{
	for (int t = 0; t < OCI_NS_COUNT; t++)
		if (c->joined[t] && namespace_of((enum oci_namespace)t) != c->joined[t])
			return differs(e, oci_ns_name((enum oci_namespace)t), "another namespace",
				"the container's");
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
	return proc_same_value(buf_str(&b), op->u.pair.value)
		       ? 0
		       : differs(e, op->u.pair.key, buf_str(&b), op->u.pair.value);
}

static int check_device(struct container *c, const struct op *op, struct kerr *e)
{
	CLEANUP_FD int fd = path_in(c->root, op->target, O_PATH, 0, e);
	struct stat st;

	if (fd < 0 || fd_stat(fd, &st, e))
		return -1;
	if ((st.st_mode & S_IFMT) != op->u.device.type)
		return differs(e, op->target, "something else", "a device");
	if (op->u.device.type != S_IFIFO &&
		st.st_rdev != makedev(op->u.device.major, op->u.device.minor))
		return differs(e, op->target, "another device", "the one of linux.devices");
	if (!op->u.device.bind &&
		((st.st_mode & 07777) != op->u.device.mode || st.st_uid != op->u.device.uid ||
			st.st_gid != op->u.device.gid))
		return differs(e, op->target, "of another mode or owner", "that of linux.devices");
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

/* Of a line of /proc/self/cgroup: where a hierarchy is not mounted, nobody has joined anything. */
static bool is_mounted(const char *controllers, size_t len)
{
	CLEANUP_FREE char *list = mem_strndup(controllers, len);
	size_t n;
	const struct cgroup_mount *m = cgroup_mounts(&n);

	for (size_t i = 0; i < n; i++)
		if (len ? !m[i].v2 && str_eq(m[i].options, list) : m[i].v2)
			return true;
	return false;
}

/* In a cgroup namespace of its own every line ends in ":/", but for an exec into one below. */
static int check_cgroup(struct container *c, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	bool own = oci_new_ns(c->p->spec, OCI_NS_CGROUP), judged = false;
	const char *sub = c->o->exec_sub_cgroup ? c->o->exec_sub_cgroup : "";
	char *save = NULL;

	if (c->cgroup_name == NULL && c->o->exec_target >= 0 &&
		!(c->o->exec_cgroup && *c->o->exec_cgroup))
		return 0; /* the container has none */
	if (c->cgroup_name == NULL)
		return differs(e, "cgroup", "not joined", "one of its own");
	if (c->joined[OCI_NS_CGROUP] && c->o->exec_target < 0)
		return 0; /* paths are relative to who knows what */
	if (proc_read("self/cgroup", 65536, &b, e))
		return -1;
	for (char *s = strtok_r(b.data, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(s, ':'), *path = list ? strchr(list + 1, ':') : NULL;

		if (path == NULL || !is_mounted(list + 1, (size_t)(path - list - 1)))
			continue;
		if (own ? path[1] != '/' || !str_eq(path + 2, sub)
			: !str_ends(path + 1, c->cgroup_name))
			return differs(e, "cgroup", s, c->cgroup_name);
		judged = true;
	}
	return judged ? 0 : differs(e, "cgroup", "not to be seen", c->cgroup_name);
}

static int check_affinity(const struct op *op, struct kerr *e)
{
	cpu_set_t asked, found;

	cpu_list(op->target, &asked);
	if (sched_getaffinity(0, sizeof found, &found) < 0)
		return kerr_fail(e, KERR_SELF_CHECK, errno, "read the CPUs");
	return CPU_EQUAL(&asked, &found) ? 0 : differs(e, "CPUs", "another set", op->target);
}

static int check_offsets(const struct op *op, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (proc_read("self/timens_offsets", 4096, &b, e))
		return -1;
	for (size_t i = 0; i < op->u.offsets.n; i++) {
		const struct oci_time_offset *o = &op->u.offsets.v[i];
		const char *line = strstr(buf_str(&b), o->clock);
		long long secs;
		unsigned long long ns;

		if (line == NULL || sscanf(line + strlen(o->clock), "%lld %llu", &secs, &ns) != 2 ||
			secs != o->secs.v || ns != o->nanosecs.v)
			return differs(e, o->clock, line ? line : "missing", "timeOffsets");
	}
	return 0;
}

static int check_oom_score(const struct op *op, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (proc_read("self/oom_score_adj", 64, &b, e))
		return -1;
	return check_number("oom_score_adj", strtol(buf_str(&b), NULL, 10), op->u.number, e);
}

static int check_map(const char *file, const struct oci_idmap *v, size_t nmaps, const char *asked,
	struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const char *s;

	if (proc_read(file, 65536, &b, e))
		return -1;
	s = buf_str(&b);
	for (size_t i = 0; i < nmaps; i++) {
		unsigned long long in, out, n;
		int used = 0;

		if (sscanf(s, "%llu %llu %llu%n", &in, &out, &n, &used) != 3 ||
			in != v[i].container || out != v[i].host || n != v[i].size)
			return differs(e, file, buf_str(&b), asked);
		s += used;
	}
	return s[strspn(s, " \n")] ? differs(e, file, buf_str(&b), asked) : 0;
}

static int check_idmap(const struct op *op, struct kerr *e)
{
	return check_map("self/uid_map", op->u.idmap.uids, op->u.idmap.nuids, "uidMappings", e) ||
			       check_map("self/gid_map", op->u.idmap.gids, op->u.idmap.ngids,
				       "gidMappings", e)
		       ? -1
		       : 0;
}

static int check_link(struct container *c, const struct op *op, struct kerr *e)
{
	CLEANUP_FD int fd = path_in(c->root, op->target, O_PATH | O_NOFOLLOW, 0, e);

	/* What the bundle's own /dev holds instead is its own affair; nothing at all is not. */
	return fd < 0 ? kerr_fail(e, KERR_SELF_CHECK, ENOENT, "%s", op->target) : 0;
}

static int check_loopback(struct kerr *e)
{
	CLEANUP_FD int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo" };

	if (s < 0 || ioctl(s, SIOCGIFFLAGS, &r) < 0)
		return 0;
	return r.ifr_flags & IFF_UP ? 0 : differs(e, "lo", "down", "up");
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fd_stat(a, &x, NULL) == 0 && fd_stat(b, &y, NULL) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino && x.st_rdev == y.st_rdev;
}

static int check_stdio(struct container *c, const struct op *op, struct kerr *e)
{
	bool terminal = op->u.console.terminal;

	for (int fd = 0; fd < 3; fd++) {
		int asked = terminal ? c->slave : c->o->stdio[fd];

		if (asked >= 0 ? !same_file(fd, asked)
			       : fcntl(fd, F_GETFD) >= 0 && !fd_is_chardev(fd, 1, 3))
			return differs(e, "stdio", "something else",
				terminal ? "the terminal" : "what was given");
	}
	if (terminal && tcgetsid(0) != getsid(0))
		return differs(e, "terminal", "not the controlling one", "the controlling one");
	return (terminal || c->o->exec_target < 0) && getsid(0) != getpid()
		       ? differs(e, "session", "another's", "its own")
		       : 0;
}

static int check_keyring(struct container *c, struct kerr *e)
{
	long now = syscall(SYS_keyctl, 0, -3, 0);

	return now > 0 && now == c->own.keyring
		       ? differs(e, "session keyring", "the executor's", "its own")
		       : 0;
}

static int check_cwd(struct container *c, const struct op *op, struct kerr *e)
{
	CLEANUP_FD int asked = path_in(c->root, op->target, O_PATH | O_DIRECTORY, 0, e);
	CLEANUP_FD int now = path_host_dir(AT_FDCWD, ".", e);
	struct stat a, b;

	if (asked < 0 || now < 0 || fd_stat(asked, &a, e) || fd_stat(now, &b, e))
		return -1;
	return a.st_ino == b.st_ino && a.st_dev == b.st_dev
		       ? 0
		       : differs(e, "cwd", "another directory", op->target);
}

/* Loaded before the ids change where there is no no_new_privs; else it is still to come. */
static int check_filter(
	struct container *c, const struct view *v, const struct op *op, struct kerr *e)
{
	const struct op *check = c->p->op;

	while (check->kind != OP_CHECK)
		check++;
	return op > check || (*line_of(v, "\nSeccomp:\t") == '2' &&
				     (c->own.filters < 0 || filters_of(v->status) > c->own.filters))
		       ? 0
		       : differs(e, "Seccomp", "without it", "2: the filter");
}

static int check_op(
	struct container *c, const struct view *v, const struct op *op, size_t i, struct kerr *e)
{
	char asked[32];

	switch (op->kind) {
	case OP_MOUNT:
		return check_one_mount(c, v, i, e);
	case OP_ROOT:
		return c->id[i] ? 0 : differs(e, "/", "not mounted", "the root file system");
	case OP_PIVOT:
		return check_pivot(c, v, e);
	case OP_ROOT_READONLY:
		return has_word(mount_at(v, "/") ? mount_at(v, "/")->options : "", "ro")
			       ? 0
			       : differs(e, "/", "writable", "read-only");
	case OP_READONLY_PATH:
		return c->id[i] == ID_ABSENT ? 0
					     : check_mount(c, v, i, MOUNT_ATTR_RDONLY, 0, NULL, e);
	case OP_MASK:
		return check_cover(c, v, i, e);
	case OP_CONSOLE:
		return c->o->exec_target >= 0 ? 0 : check_mount(c, v, i, 0, 0, NULL, e);
	case OP_SYMLINK:
		return check_link(c, op, e);
	case OP_LOOPBACK:
		return check_loopback(e);
	case OP_OOM_SCORE:
		return check_oom_score(op, e);
	case OP_IDMAP:
		return check_idmap(op, e);
	case OP_TIME_OFFSETS:
		return check_offsets(op, e);
	case OP_AFFINITY:
		return op->side == SIDE_INIT ? check_affinity(op, e) : 0;
	case OP_STDIO:
		return check_stdio(c, op, e);
	case OP_KEYRING:
		return check_keyring(c, e);
	case OP_SECCOMP:
		return check_filter(c, v, op, e);
	case OP_CWD:
		return check_cwd(c, op, e);
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
		return c->o->exec_target >= 0 ? check_same_namespaces(c, e)
					      : check_namespaces(c, e);
	default:
		return 0;
	}
}

static int check_all(struct container *c, const struct view *v, struct kerr *e)
{
	for (size_t i = 0; i < c->p->n; i++)
		if (check_op(c, v, &c->p->op[i], i, e)) {
			if (e)
				e->code = KERR_SELF_CHECK;
			return step_failed(&c->p->op[i], e);
		}
	return 0;
}

/* ---- from outside
 * -----------------------------------------------------------------------------------------------
 */

static bool idle_rules(const struct plan *p, const char *file)
{
	if (!str_eq(file, "cpu.shares") && !str_eq(file, "cpu.weight"))
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (p->op[i].kind == OP_CGROUP_WRITE && str_eq(p->op[i].u.write.file, "cpu.idle"))
			return true; /* the kernel sets the shares of idle groups */
	return false;
}

static int check_setting(struct container *c, const struct op *op, struct kerr *e)
{
	CLEANUP_BUF struct buf now = BUF_INIT;

	if (!op->u.write.read_back || idle_rules(c->p, op->u.write.file))
		return 0;
	if (cgroup_read(c->cgroup, op->u.write.controller, op->u.write.file, &now, NULL))
		return 0; /* written only */
	if (same_setting(op->u.write.value, buf_str(&now)))
		return 0;
	if (now.len)
		now.data[strcspn(now.data, "\n")] = '\0';
	return differs(e, op->u.write.file, buf_str(&now), op->u.write.value);
}

static int check_cgroup_owner(struct container *c, const struct op *op, struct kerr *e)
{
	struct stat st;

	if (fd_stat(cgroup_v2_fd(c->cgroup), &st, e))
		return -1;
	return check_number("owner of the cgroup", st.st_uid, op->u.number, e);
}

static bool denies_all(const struct cgroup_device *d)
{
	return !d->allow && d->major < 0 && d->minor < 0 && d->access == 7 && d->type == 'a';
}

static bool allows_all(const struct cgroup_device *d)
{
	return d->allow && d->type == 'a';
}

/* That there are rules the kernel shows; on v2, not which. */
static int check_devices(struct container *c, const struct op *op, struct kerr *e)
{
	bool denied = false;

	for (size_t i = 0; i < op->u.devices.n; i++)
		if (denies_all(&op->u.devices.v[i]) || allows_all(&op->u.devices.v[i]))
			denied = !op->u.devices.v[i].allow;
	return denied && !cgroup_has_devices(c->cgroup)
		       ? differs(e, "devices", "everything", "linux.resources.devices")
		       : 0;
}

/* A hook's effect is its own; that each was run, and has ended well, is counted by who runs it. */
int check_hooks(const struct container *c, enum op_side side, size_t before, struct kerr *e)
{
	size_t asked = 0;

	for (size_t i = 0; i < before; i++)
		asked += c->p->op[i].kind == OP_HOOK && c->p->op[i].side == side;
	return asked == c->hooks ? 0 : differs(e, "hooks", "not all run", "that of 'hooks'");
}

int check_outside(struct container *c, struct kerr *e)
{
	for (size_t i = 0; i < c->p->n; i++) {
		const struct op *op = &c->p->op[i];
		int rc = 0;

		if (op->kind == OP_CGROUP_WRITE)
			rc = check_setting(c, op, e);
		else if (op->kind == OP_CGROUP_CHOWN)
			rc = check_cgroup_owner(c, op, e);
		else if (op->kind == OP_CGROUP_DEVICES)
			rc = check_devices(c, op, e);
		if (rc)
			return step_failed(op, e);
	}
	return check_hooks(c, SIDE_EXECUTOR, c->p->n, e);
}

int do_check(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	CLEANUP_BUF struct buf status = BUF_INIT;
	CLEANUP_BUF struct buf mounts = BUF_INIT;
	struct view v = { 0 };
	int rc;

	(void)op;
	(void)i;
	if (proc_read("self/status", 65536, &status, e) ||
		proc_read("self/mountinfo", 16u << 20, &mounts, e))
		return -1;
	v.status = status.data;
	read_mounts(&v, mounts.data);
	rc = check_all(c, &v, e);
	free(v.mounts);
	return rc ? -1 : check_late(c, e);
}
