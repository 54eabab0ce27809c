/* SPDX-License-Identifier: Apache-2.0 */
/* What an ordinary user, or root of a user namespace, cannot have: said before anything is done. */
#include "build.h"
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif
enum { IOPRIO_REALTIME = 1 };

static bool has_ids(const struct fact_ids *ids, uint64_t start, uint64_t count)
{
	for (unsigned i = 0; i < ids->n; i++)
		if (start >= ids->v[i].start &&
			start + count <= (uint64_t)ids->v[i].start + ids->v[i].count)
			return true;
	return false;
}

static bool is_only_own(const struct oci_idmap *v, size_t n, uint32_t own)
{
	return n == 1 && v[0].host == own && v[0].size == 1;
}

static void judge_map(struct build *b, const char *name, const struct oci_idmap *v, size_t n,
	uint32_t own, const struct fact_ids *mapped, const struct fact_ids *granted)
{
	const struct json *at = member(b->s->linux_.at, name);

	for (size_t i = 0; i < n; i++) {
		bool may =
			b->f->namespace_root
				? mapped->n == 0 || has_ids(mapped, v[i].host, v[i].size)
				: (v[i].host == own && v[i].size == 1 && (n == 1 || granted->n)) ||
					  has_ids(granted, v[i].host, v[i].size);

		if (!may && b->f->namespace_root)
			refuse(b, KERR_NODE_PRIVILEGE, at,
				"%llu to %llu are not all mapped in this user namespace",
				(unsigned long long)v[i].host,
				(unsigned long long)(v[i].host + v[i].size - 1));
		else if (!may)
			refuse(b, KERR_NODE_PRIVILEGE, at,
				"%llu to %llu are not this user's: one may map one's own id, and "
				"what "
				"/etc/sub%s grants",
				(unsigned long long)v[i].host,
				(unsigned long long)(v[i].host + v[i].size - 1),
				str_eq(name, "uidMappings") ? "uid" : "gid");
	}
}

/* May a process of the container have this id? */
static bool is_mapped(struct build *b, const struct oci_idmap *v, size_t n,
	const struct fact_ids *outer, uint64_t id)
{
	const struct oci_ns *user = oci_find_ns(b->s, OCI_NS_USER);

	if (user && user->path)
		return true; /* the kernel knows */
	for (size_t i = 0; user && i < n; i++)
		if (id >= v[i].container && id - v[i].container < v[i].size)
			return true;
	return user == NULL && (outer->n == 0 || has_ids(outer, id, 1));
}

static bool has_uid(struct build *b, uint64_t id)
{
	return is_mapped(b, b->s->linux_.uids.v, b->s->linux_.uids.n, &b->f->uids, id);
}

static bool has_gid(struct build *b, uint64_t id)
{
	return is_mapped(b, b->s->linux_.gids.v, b->s->linux_.gids.n, &b->f->gids, id);
}

/* user_namespaces(7): who maps no gid but its own must give setgroups() up first. */
bool setgroups_denied(const struct build *b)
{
	const struct oci_ns *user = oci_find_ns(b->s, OCI_NS_USER);

	if (b->f->root || (user && user->path))
		return false;
	if (b->f->namespace_root)
		return !b->f->setgroups;
	return is_only_own(b->s->linux_.gids.v, b->s->linux_.gids.n, b->f->gid);
}

void judge_user(struct build *b, const struct oci_process *process)
{
	const struct oci_user *u = &process->user;

	if (b->f->root)
		return;
	if (!has_uid(b, u->uid))
		refuse(b, KERR_NODE_PRIVILEGE, member(u->at, "uid"),
			"user id %llu is not mapped in the container", (unsigned long long)u->uid);
	if (!has_gid(b, u->gid))
		refuse(b, KERR_NODE_PRIVILEGE, member(u->at, "gid"),
			"group id %llu is not mapped in the container", (unsigned long long)u->gid);
	for (size_t i = 0; i < u->groups.n; i++)
		if (!setgroups_denied(b) && !has_gid(b, u->groups.v[i]))
			refuse(b, KERR_NODE_PRIVILEGE, member(u->at, "additionalGids"),
				"group id %u is not mapped in the container", u->groups.v[i]);
	if (setgroups_denied(b) && u->groups.n)
		refuse(b, KERR_NODE_PRIVILEGE, member(u->at, "additionalGids"),
			"additional groups need group ids of /etc/subgid: whoever maps one's own "
			"alone may not set them");
}

void judge_rootless(struct build *b)
{
	const struct oci_linux *l = &b->s->linux_;
	const struct oci_ns *user = oci_find_ns(b->s, OCI_NS_USER);

	if (b->f->root)
		return;
	if (user == NULL && !b->f->namespace_root)
		refuse(b, KERR_NODE_PRIVILEGE, member(l->at, "namespaces"),
			"without the host's root a container needs a user namespace");
	if (user && user->path == NULL) {
		judge_map(b, "uidMappings", l->uids.v, l->uids.n, b->f->uid, &b->f->uids,
			&b->f->subuids);
		judge_map(b, "gidMappings", l->gids.v, l->gids.n, b->f->gid, &b->f->gids,
			&b->f->subgids);
		if (!has_uid(b, 0) || !has_gid(b, 0))
			refuse(b, KERR_NODE_PRIVILEGE, member(l->at, "uidMappings"),
				"the container's id 0 must be mapped: as it a container is built");
	}
	if (oci_new_ns(b->s, OCI_NS_TIME) && !b->f->namespace_root)
		refuse(b, KERR_NODE_PRIVILEGE, oci_find_ns(b->s, OCI_NS_TIME)->at,
			"a new time namespace needs root");
	judge_user(b, &b->s->process);
}

/* "gid=5" */
static uint64_t id_option(const char *option, const char *name)
{
	uint64_t id = UINT64_MAX;
	size_t n = strlen(name);

	return strncmp(option, name, n) == 0 && str_to_u64(option + n, &id) == 0 ? id : UINT64_MAX;
}

void judge_rootless_mount(struct build *b, const struct oci_mount *m, const struct op_mount *o)
{
	static const struct {
		const char *type;
		enum oci_namespace of;
	} owned[] = { { "proc", OCI_NS_PID }, { "sysfs", OCI_NS_NETWORK },
		{ "mqueue", OCI_NS_IPC } };

	if (b->f->root)
		return;
	for (size_t i = 0; i < ARRAY_LEN(owned); i++)
		if (str_eq(o->type, owned[i].type) && oci_new_ns(b->s, OCI_NS_USER) &&
			oci_find_ns(b->s, owned[i].of) == NULL)
			refuse(b, KERR_NODE_PRIVILEGE, member(m->at, "type"),
				"%s shows the host's %s namespace, which is root's: bind the "
				"host's "
				"instead",
				o->type, oci_ns_name(owned[i].of));
	if (o->idmap)
		refuse(b, KERR_NODE_PRIVILEGE, member(m->at, "options"),
			"an idmapped mount needs the host's root");
	for (size_t i = 0; o->type && i < m->options.n; i++) {
		uint64_t uid = id_option(m->options.v[i], "uid="),
			 gid = id_option(m->options.v[i], "gid=");

		if (uid != UINT64_MAX && !has_uid(b, uid))
			refuse(b, KERR_NODE_PRIVILEGE, member(m->at, "options"),
				"user id %llu is not mapped in the container",
				(unsigned long long)uid);
		if (gid != UINT64_MAX && !has_gid(b, gid))
			refuse(b, KERR_NODE_PRIVILEGE, member(m->at, "options"),
				"group id %llu is not mapped in the container",
				(unsigned long long)gid);
	}
}

/* The kernel asks for CAP_SYS_NICE of the host, or for a limit that allows it. */
void judge_rootless_attributes(struct build *b, const struct oci_process *process)
{
	const struct oci_scheduler *s = process->scheduler;
	const struct fact_limit *nice = &b->f->rlimit[RLIMIT_NICE],
				*rtprio = &b->f->rlimit[RLIMIT_RTPRIO];

	if (b->f->root)
		return;
	if (s && (s->policy == SCHED_DEADLINE ||
			 ((s->policy == SCHED_FIFO || s->policy == SCHED_RR) &&
				 (uint64_t)s->priority.v > rtprio->hard)))
		refuse(b, KERR_NODE_PRIVILEGE, member(s->at, "policy"),
			"real time needs the host's root, or RLIMIT_RTPRIO");
	if (s && s->nice.set && s->nice.v < 0 && (uint64_t)(20 - s->nice.v) > nice->hard)
		refuse(b, KERR_NODE_PRIVILEGE, member(s->at, "nice"),
			"a nice value below 0 needs the host's root, or RLIMIT_NICE");
	if (process->io_priority && process->io_priority->class == IOPRIO_REALTIME)
		refuse(b, KERR_NODE_PRIVILEGE, process->io_priority->at,
			"real time I/O needs the host's root");
}
