/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MS_LAZYTIME
#define MS_LAZYTIME (1 << 25)
#endif

enum option_kind {
	O_ATTR_SET,
	O_ATTR_CLR,
	O_ATIME,
	O_REC_SET,
	O_REC_CLR,
	O_REC_ATIME,
	O_SB_SET,
	O_SB_CLR,
	O_PROPAGATION,
	O_BIND,
	O_RBIND,
	O_REMOUNT,
	O_COPY_UP,
	O_IDMAP,
	O_RIDMAP,
	O_IVERSION,
	O_NONE
};

/* config.md, "Linux mount options": every one of them. */
static const struct option {
	const char *name;
	enum option_kind kind;
	uint64_t value;
} options[] = {
	{ "ro", O_ATTR_SET, MOUNT_ATTR_RDONLY },
	{ "rw", O_ATTR_CLR, MOUNT_ATTR_RDONLY },
	{ "nosuid", O_ATTR_SET, MOUNT_ATTR_NOSUID },
	{ "suid", O_ATTR_CLR, MOUNT_ATTR_NOSUID },
	{ "nodev", O_ATTR_SET, MOUNT_ATTR_NODEV },
	{ "dev", O_ATTR_CLR, MOUNT_ATTR_NODEV },
	{ "noexec", O_ATTR_SET, MOUNT_ATTR_NOEXEC },
	{ "exec", O_ATTR_CLR, MOUNT_ATTR_NOEXEC },
	{ "nosymfollow", O_ATTR_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "symfollow", O_ATTR_CLR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "nodiratime", O_ATTR_SET, MOUNT_ATTR_NODIRATIME },
	{ "diratime", O_ATTR_CLR, MOUNT_ATTR_NODIRATIME },
	{ "noatime", O_ATIME, MOUNT_ATTR_NOATIME },
	{ "atime", O_ATIME, MOUNT_ATTR_RELATIME },
	{ "relatime", O_ATIME, MOUNT_ATTR_RELATIME },
	{ "norelatime", O_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "strictatime", O_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "nostrictatime", O_ATIME, MOUNT_ATTR_RELATIME },
	{ "rro", O_REC_SET, MOUNT_ATTR_RDONLY },
	{ "rrw", O_REC_CLR, MOUNT_ATTR_RDONLY },
	{ "rnosuid", O_REC_SET, MOUNT_ATTR_NOSUID },
	{ "rsuid", O_REC_CLR, MOUNT_ATTR_NOSUID },
	{ "rnodev", O_REC_SET, MOUNT_ATTR_NODEV },
	{ "rdev", O_REC_CLR, MOUNT_ATTR_NODEV },
	{ "rnoexec", O_REC_SET, MOUNT_ATTR_NOEXEC },
	{ "rexec", O_REC_CLR, MOUNT_ATTR_NOEXEC },
	{ "rnosymfollow", O_REC_SET, MOUNT_ATTR_NOSYMFOLLOW },
	{ "rsymfollow", O_REC_CLR, MOUNT_ATTR_NOSYMFOLLOW },
	{ "rnodiratime", O_REC_SET, MOUNT_ATTR_NODIRATIME },
	{ "rdiratime", O_REC_CLR, MOUNT_ATTR_NODIRATIME },
	{ "rnoatime", O_REC_ATIME, MOUNT_ATTR_NOATIME },
	{ "ratime", O_REC_ATIME, MOUNT_ATTR_RELATIME },
	{ "rrelatime", O_REC_ATIME, MOUNT_ATTR_RELATIME },
	{ "rnorelatime", O_REC_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "rstrictatime", O_REC_ATIME, MOUNT_ATTR_STRICTATIME },
	{ "rnostrictatime", O_REC_ATIME, MOUNT_ATTR_RELATIME },
	{ "sync", O_SB_SET, MS_SYNCHRONOUS },
	{ "async", O_SB_CLR, MS_SYNCHRONOUS },
	{ "dirsync", O_SB_SET, MS_DIRSYNC },
	{ "lazytime", O_SB_SET, MS_LAZYTIME },
	{ "nolazytime", O_SB_CLR, MS_LAZYTIME },
	{ "mand", O_SB_SET, MS_MANDLOCK },
	{ "nomand", O_SB_CLR, MS_MANDLOCK },
	{ "iversion", O_IVERSION, 0 },
	{ "noiversion", O_IVERSION, 0 },
	{ "silent", O_NONE, 0 },
	{ "loud", O_NONE, 0 },
	{ "defaults", O_NONE, 0 },
	{ "private", O_PROPAGATION, MS_PRIVATE },
	{ "rprivate", O_PROPAGATION, MS_PRIVATE | MS_REC },
	{ "shared", O_PROPAGATION, MS_SHARED },
	{ "rshared", O_PROPAGATION, MS_SHARED | MS_REC },
	{ "slave", O_PROPAGATION, MS_SLAVE },
	{ "rslave", O_PROPAGATION, MS_SLAVE | MS_REC },
	{ "unbindable", O_PROPAGATION, MS_UNBINDABLE },
	{ "runbindable", O_PROPAGATION, MS_UNBINDABLE | MS_REC },
	{ "bind", O_BIND, 0 },
	{ "rbind", O_RBIND, 0 },
	{ "remount", O_REMOUNT, 0 },
	{ "tmpcopyup", O_COPY_UP, 0 },
	{ "idmap", O_IDMAP, 0 },
	{ "ridmap", O_RIDMAP, 0 },
};

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

static void set(uint64_t *on, uint64_t *off, uint64_t bits)
{
	*on |= bits;
	*off &= ~bits;
}

static void apply_option(
	struct build *b, struct op_mount *m, const struct option *o, const struct json *at)
{
	switch (o->kind) {
	case O_ATTR_SET:
		set(&m->attr_set, &m->attr_clr, o->value);
		break;
	case O_ATTR_CLR:
		set(&m->attr_clr, &m->attr_set, o->value);
		break;
	case O_ATIME: /* one field, not bits */
		m->attr_set = (m->attr_set & ~(uint64_t)MOUNT_ATTR__ATIME) | o->value;
		m->attr_clr |= MOUNT_ATTR__ATIME;
		break;
	case O_REC_SET:
		set(&m->attr_rec_set, &m->attr_rec_clr, o->value);
		break;
	case O_REC_CLR:
		set(&m->attr_rec_clr, &m->attr_rec_set, o->value);
		break;
	case O_REC_ATIME:
		m->attr_rec_set = (m->attr_rec_set & ~(uint64_t)MOUNT_ATTR__ATIME) | o->value;
		m->attr_rec_clr |= MOUNT_ATTR__ATIME;
		break;
	case O_SB_SET:
		m->sb_flags |= (uint32_t)o->value;
		break;
	case O_SB_CLR:
		m->sb_flags &= ~(uint32_t)o->value;
		break;
	case O_PROPAGATION:
		if (m->npropagation == ARRAY_LEN(m->propagation))
			refuse(b, KERR_CONFIG_VALUE, at, "more than %zu propagation options",
				ARRAY_LEN(m->propagation));
		else
			m->propagation[m->npropagation++] = o->value;
		break;
	case O_BIND:
		m->bind = true;
		break;
	case O_RBIND:
		m->bind = m->recursive = true;
		break;
	case O_REMOUNT:
		m->remount = true;
		break;
	case O_COPY_UP:
		m->copy_up = true;
		break;
	case O_IDMAP:
		m->idmap = true;
		break;
	case O_RIDMAP:
		m->idmap = m->idmap_recursive = true;
		break;
	case O_IVERSION: /* fsconfig() has no word for it; ext4, xfs and btrfs always count */
		warn(b, KERR_UNSUPPORTED, at,
			"%s: whether versions are counted is the kernel's choice", o->name);
		break;
	case O_NONE:
		break;
	}
}

bool mount_is_readonly(const struct oci_mount *m)
{
	uint64_t on = 0, off = 0;

	for (size_t i = 0; i < m->options.n; i++) {
		const struct option *o = find_option(m->options.v[i]);

		if (o && (o->kind == O_ATTR_SET || o->kind == O_REC_SET))
			set(&on, &off, o->value);
		else if (o && (o->kind == O_ATTR_CLR || o->kind == O_REC_CLR))
			set(&off, &on, o->value);
	}
	return on & MOUNT_ATTR_RDONLY;
}

static bool is_listed(char *const *v, size_t n, const char *type)
{
	size_t len = strcspn(type, "."); /* "fuse.sshfs" is fuse's */

	for (size_t i = 0; i < n; i++)
		if (strncmp(v[i], type, len) == 0 && v[i][len] == '\0')
			return true;
	return false;
}

/* One that comes as a module is loaded by the mount; older facts do not tell which do. */
static bool lacks_filesystem(const struct facts *f, const char *type)
{
	static const char *const no_modules[] = { "mqueue", "proc", "sysfs", "devpts", "tmpfs" };
	bool built_in = f->modules_known;

	for (size_t i = 0; i < ARRAY_LEN(no_modules); i++)
		built_in |= str_eq(type, no_modules[i]);
	return f->nfilesystems && built_in && !is_listed(f->filesystems, f->nfilesystems, type) &&
	       !is_listed(f->loadable, f->nloadable, type);
}

static void judge_mount(struct build *b, const struct oci_mount *m, const struct op_mount *o)
{
	if (o->remount)
		refuse(b, KERR_UNSUPPORTED, member(m->at, "options"),
			"remount of what is already there is not carried out");
	if (o->copy_up && !str_eq(m->type, "tmpfs"))
		refuse(b, KERR_CONFIG_CONFLICT, member(m->at, "options"), "tmpcopyup is for tmpfs");
	if (o->idmap && !b->f->idmapped_mounts)
		refuse(b, KERR_NODE_KERNEL, member(m->at, "options"),
			"kernel %s has no idmapped mounts", b->f->kernel);
	if ((o->attr_rec_set || o->attr_rec_clr) && !b->f->mount_setattr)
		refuse(b, KERR_NODE_KERNEL, member(m->at, "options"),
			"kernel %s has no recursive mount options", b->f->kernel);
	if (o->bind && o->sb_flags)
		warn(b, KERR_CONFIG_CONFLICT, member(m->at, "options"),
			"a bind mount shares its file system: sync, dirsync, lazytime and mand "
			"have no "
			"effect");
	if (!o->bind && !o->cgroup && m->type && lacks_filesystem(b->f, m->type))
		refuse(b, KERR_NODE_KERNEL, member(m->at, "type"), "this node's kernel has no %s",
			m->type);
	if (o->cgroup && b->f->cgroup_layout == CGROUP_NONE)
		refuse(b, KERR_NODE_KERNEL, member(m->at, "type"), "this node has no cgroups");
	else if (o->cgroup && !b->f->cgroup_writable)
		warn(b, KERR_NODE_PRIVILEGE, member(m->at, "type"),
			"without rights on cgroups the container sees the caller's, read-only");
	judge_rootless_mount(b, m, o);
}

static void one_mount(struct build *b, const struct oci_mount *m)
{
	CLEANUP_BUF struct buf data = BUF_INIT;
	struct op *op = add_op(b, OP_MOUNT, SIDE_INIT, m->destination, m->at);
	struct op_mount *o = &op->u.mount;

	for (size_t i = 0; i < m->options.n; i++) {
		const struct option *known = find_option(m->options.v[i]);

		if (known)
			apply_option(b, o, known, member(m->at, "options"));
		else if (*m->options.v[i])
			buf_addf(&data, "%s%s", data.len ? "," : "", m->options.v[i]);
	}
	o->bind |= str_eq(m->type, "bind") || str_eq(m->type, "rbind");
	o->recursive |= str_eq(m->type, "rbind");
	o->type = o->bind ? NULL : m->type;
	o->cgroup = !o->bind && (str_eq(m->type, "cgroup") || str_eq(m->type, "cgroup2"));
	o->source = m->source;
	if (o->bind && data.len) /* the kernel would ignore it */
		refuse(b, KERR_CONFIG_VALUE, member(m->at, "options"),
			"a bind mount takes no file system option: %s", data.data);
	o->data = data.len ? arena_strdup(b->a, data.data) : NULL;
	if (m->uids.n) {
		o->uids = m->uids.v;
		o->nuids = m->uids.n;
		o->gids = m->gids.v;
		o->ngids = m->gids.n;
		o->idmap = true;
	} else if (o->idmap) {
		o->uids = b->s->linux_.uids.v;
		o->nuids = b->s->linux_.uids.n;
		o->gids = b->s->linux_.gids.v;
		o->ngids = b->s->linux_.gids.n;
		if (o->nuids == 0)
			refuse(b, KERR_UNSUPPORTED, member(m->at, "options"),
				"idmap from the maps of a joined user namespace is not carried "
				"out");
	}
	op->verified = true;
	judge_mount(b, m, o);
}

void build_mounts(struct build *b)
{
	for (size_t i = 0; i < b->s->mounts.n; i++)
		one_mount(b, &b->s->mounts.v[i]);
}

/* ---- devices
 * -----------------------------------------------------------------------------------------------
 */

static const struct {
	const char *path;
	unsigned major, minor;
} default_devices[] = {
	{ "/dev/null", 1, 3 },
	{ "/dev/zero", 1, 5 },
	{ "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 },
	{ "/dev/urandom", 1, 9 },
	{ "/dev/tty", 5, 0 },
};
static const struct {
	const char *path, *text;
} links[] = {
	{ "/dev/fd", "/proc/self/fd" },
	{ "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" },
	{ "/dev/stderr", "/proc/self/fd/2" },
	{ "/dev/core", "/proc/kcore" },
	{ "/dev/ptmx", "pts/ptmx" },
};

static void device(struct build *b, const char *path, mode_t type, mode_t mode, unsigned major,
	unsigned minor, uint32_t uid, uint32_t gid, const struct json *at)
{
	struct op *op = add_op(b, OP_DEVICE, SIDE_INIT, path, at);

	op->u.device.type = type;
	op->u.device.mode = mode;
	op->u.device.major = major;
	op->u.device.minor = minor;
	op->u.device.uid = uid;
	op->u.device.gid = gid;
	op->u.device.bind = oci_find_ns(b->s, OCI_NS_USER) != NULL ||
			    !b->f->root; /* mknod needs the host's root */
	op->verified = true;
}

static bool in_config(const struct oci_spec *s, const char *path)
{
	for (size_t i = 0; i < s->linux_.devices.n; i++)
		if (str_eq(s->linux_.devices.v[i].path, path))
			return true;
	return false;
}

/* A /dev of the bundle's own is left alone but for what must be there. */
static bool binds_dev(const struct oci_spec *s)
{
	for (size_t i = 0; i < s->mounts.n; i++) {
		const struct oci_mount *m = &s->mounts.v[i];

		if (str_eq(m->destination, "/dev") && m->type &&
			(str_eq(m->type, "bind") || str_eq(m->type, "rbind")))
			return true;
	}
	return false;
}

/* A privileged container is given all devices of its host; its own pty master is a link to its
 * devpts. */
static bool is_host_ptmx(const struct oci_device *d)
{
	return str_eq(d->path, "/dev/ptmx") && d->type == S_IFCHR && d->major.v == 5 &&
	       d->minor.v == 2;
}

void build_devices(struct build *b)
{
	bool own_dev = binds_dev(b->s);

	if (!own_dev) {
		for (size_t i = 0; i < ARRAY_LEN(default_devices); i++)
			if (!in_config(b->s, default_devices[i].path))
				device(b, default_devices[i].path, S_IFCHR, 0666,
					default_devices[i].major, default_devices[i].minor, 0, 0,
					NULL);
		for (size_t i = 0; i < ARRAY_LEN(links); i++)
			add_op(b, OP_SYMLINK, SIDE_INIT, links[i].path, NULL)->u.link.text =
				links[i].text;
	}
	for (size_t i = 0; i < b->s->linux_.devices.n; i++) {
		const struct oci_device *d = &b->s->linux_.devices.v[i];

		if (!own_dev && is_host_ptmx(d))
			continue;
		device(b, d->path, (mode_t)d->type, d->mode.set ? (mode_t)d->mode.v & 07777 : 0666,
			(unsigned)d->major.v, (unsigned)d->minor.v,
			d->uid.set ? (uint32_t)d->uid.v : 0, d->gid.set ? (uint32_t)d->gid.v : 0,
			d->at);
	}
}
