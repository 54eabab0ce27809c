/* SPDX-License-Identifier: Apache-2.0 */
/* What no single field can tell: HARDENING C9 to C14. */
#include "table.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The value of a member, for its place; the object itself when it is absent. */
static const struct json *place(const struct json *object, const char *name)
{
	const struct json *v = json_get(object, name);

	return v ? v : object;
}

static bool has_component(const char *path, const char *component)
{
	size_t n = strlen(component);

	for (const char *s = path; (s = strstr(s, component)); s += n)
		if ((s == path || s[-1] == '/') && (s[n] == '\0' || s[n] == '/'))
			return true;
	return false;
}

/* Steps over a number of at most five digits; -1 when there is none. */
static long list_number(const char **s)
{
	long n = 0;
	int digits = 0;

	for (; isdigit((unsigned char)**s) && digits < 6; digits++)
		n = n * 10 + *(*s)++ - '0';
	return digits > 0 && digits < 6 ? n : -1;
}

static bool is_list(const char *s) /* "0-3,7" */
{
	do {
		long first = list_number(&s);

		if (first < 0)
			return false;
		if (*s == '-' && (s++, list_number(&s) < first))
			return false;
	} while (*s == ',' && *++s);
	return *s == '\0' && s[-1] != ',';
}

/* Is the member there, a whole number, and so read? Else it has a fault of its own already. */
static bool whole(const struct json *at, const char *name)
{
	const struct json *v = json_get(at, name);
	uint64_t n;

	return v && v->type == JSON_NUMBER && str_to_u64(v->text, &n) == 0;
}

/* Has entry @at a type that was understood? */
static bool typed(const struct json *at, int type)
{
	return type >= 0 && json_get(at, "type") != NULL;
}

static void check_version(struct parse *p, const struct oci_spec *s)
{
	const char *v = s->version, *rest;
	unsigned dots = 0;

	if (v == NULL) {
		if (json_get(s->at, "ociVersion") == NULL)
			fault(p, KERR_CONFIG_VERSION, s->at, "'ociVersion' is missing");
		return;
	}
	for (rest = v;
		isdigit((unsigned char)*rest) || (*rest == '.' && isdigit((unsigned char)rest[1]));
		rest++)
		dots += *rest == '.';
	if (!isdigit((unsigned char)*v) || dots != 2 || (*rest && *rest != '-' && *rest != '+'))
		fault(p, KERR_CONFIG_VERSION, place(s->at, "ociVersion"),
			"'%.40s' is no semantic version", v);
	else if (!str_starts(v, "1."))
		fault(p, KERR_CONFIG_VERSION, place(s->at, "ociVersion"),
			"version %.40s is not of the 1.x that Kapsel reads", v);
}

static int by_number(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return a < b ? -1 : a > b;
}

static void check_process_user(struct parse *p, const struct oci_process *process)
{
	size_t n = process->user.groups.n;
	uint32_t *sorted;

	if (json_get(process->at, "user") == NULL)
		return; /* uid and gid 0, as the callers leave it out for that */
	if (n < 2)
		return;
	sorted = arena_array(p->a, n, sizeof *sorted);
	memcpy(sorted, process->user.groups.v, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_number);
	for (size_t i = 1; i < n; i++)
		if (sorted[i] == sorted[i - 1]) {
			warning(p, KERR_CONFIG_DUPLICATE, place(process->user.at, "additionalGids"),
				"group %u stands twice", sorted[i]);
			return;
		}
}

static void check_env(struct parse *p, const struct json *list)
{
	size_t i = 0;

	if (list && list->type != JSON_ARRAY)
		return;
	/* Values are secret: only the index is named. */
	json_each(item, list)
	{
		if (item->type == JSON_STRING &&
			(strchr(item->text, '=') == NULL || item->text[0] == '='))
			fault(p, KERR_CONFIG_UNSAFE, item, "entry %zu is not NAME=VALUE", i);
		i++;
	}
}

static void check_scheduler(struct parse *p, const struct oci_scheduler *s)
{
	bool realtime = s->policy == 1 || s->policy == 2, by_deadline = s->policy == 6;

	if (json_get(s->at, "policy") == NULL)
		return;
	if (s->priority.set && s->priority.v != 0 && !realtime)
		fault(p, KERR_CONFIG_CONFLICT, place(s->at, "priority"),
			"only SCHED_FIFO and SCHED_RR take a priority");
	if (realtime && (!s->priority.set || s->priority.v < 1))
		fault(p, KERR_CONFIG_RANGE, place(s->at, "priority"),
			"SCHED_FIFO and SCHED_RR need a priority from 1 to 99");
	if (s->nice.set && s->nice.v != 0 && (realtime || by_deadline))
		fault(p, KERR_CONFIG_CONFLICT, place(s->at, "nice"),
			"only SCHED_OTHER and SCHED_BATCH take a nice value");
	if (!by_deadline &&
		((s->runtime.set && s->runtime.v) || (s->deadline.set && s->deadline.v) ||
			(s->period.set && s->period.v)))
		fault(p, KERR_CONFIG_CONFLICT,
			place(s->at, s->runtime.set    ? "runtime"
				     : s->deadline.set ? "deadline"
						       : "period"),
			"only SCHED_DEADLINE takes runtime, deadline and period");
	if (by_deadline && (!s->runtime.set || !s->deadline.set || s->runtime.v > s->deadline.v ||
				   (s->period.set && s->period.v && s->deadline.v > s->period.v)))
		fault(p, KERR_CONFIG_RANGE, s->at,
			"SCHED_DEADLINE needs runtime <= deadline <= period");
}

static void check_capabilities(struct parse *p, const struct oci_capabilities *c)
{
	uint64_t stray = c->set[OCI_CAP_EFFECTIVE] & ~c->set[OCI_CAP_PERMITTED];

	if (stray)
		warning(p, KERR_CAPABILITY, place(c->at, "effective"),
			"%s is effective and not permitted",
			oci_capability_name((unsigned)__builtin_ctzll(stray)));
	stray = c->set[OCI_CAP_AMBIENT] &
		~(c->set[OCI_CAP_PERMITTED] & c->set[OCI_CAP_INHERITABLE]);
	if (stray) /* ungrantable: the specification asks for a warning */
		warning(p, KERR_CAPABILITY, place(c->at, "ambient"),
			"%s is ambient and not permitted and inheritable",
			oci_capability_name((unsigned)__builtin_ctzll(stray)));
}

void check_process(struct parse *p, struct oci_process *process)
{
	const struct json *at = process->at, *args = json_get(at, "args");

	if (args && args->type == JSON_ARRAY && args->n == 0)
		fault(p, KERR_CONFIG_REQUIRED, args, "args is empty: it must name a program");
	else if (process->args.n && process->args.v[0][0] == '\0')
		fault(p, KERR_CONFIG_VALUE, args, "args[0] is empty: it must name a program");
	check_process_user(p, process);
	check_env(p, json_get(at, "env"));
	for (size_t i = 0; i < process->rlimits.n; i++) {
		const struct oci_limit *l = &process->rlimits.v[i];

		if (l->soft > l->hard && whole(l->at, "soft") && whole(l->at, "hard"))
			fault(p, KERR_CONFIG_CONFLICT, place(l->at, "soft"),
				"the soft limit is above the hard limit");
		for (size_t j = 0; j < i; j++)
			if (process->rlimits.v[j].type == l->type && typed(l->at, l->type) &&
				typed(process->rlimits.v[j].at, l->type)) {
				fault(p, KERR_CONFIG_DUPLICATE, place(l->at, "type"),
					"%s stands twice", oci_rlimit_name(l->type));
				break;
			}
	}
	if (process->scheduler)
		check_scheduler(p, process->scheduler);
	if (process->capabilities)
		check_capabilities(p, process->capabilities);
	if (process->affinity.initial && !is_list(process->affinity.initial))
		fault(p, KERR_CONFIG_VALUE, place(process->affinity.at, "initial"),
			"'%.60s' is no CPU list", process->affinity.initial);
	if (process->affinity.final && !is_list(process->affinity.final))
		fault(p, KERR_CONFIG_VALUE, place(process->affinity.at, "final"),
			"'%.60s' is no CPU list", process->affinity.final);
	if (process->console.at && !process->terminal)
		warning(p, KERR_CONFIG_CONFLICT, place(at, "consoleSize"),
			"consoleSize has no effect without terminal");
}

/* ---- mounts
 * ------------------------------------------------------------------------------------------- */

static bool has_option(const struct oci_mount *m, const char *option)
{
	for (size_t i = 0; i < m->options.n; i++)
		if (strcmp(m->options.v[i], option) == 0)
			return true;
	return false;
}

static void check_mount(struct parse *p, const struct oci_spec *s, const struct oci_mount *m)
{
	bool bind = has_option(m, "bind") || has_option(m, "rbind") || str_eq(m->type, "bind") ||
		    str_eq(m->type, "rbind");
	bool idmap = has_option(m, "idmap") || has_option(m, "ridmap");

	if (m->destination && m->destination[0] == '\0')
		fault(p, KERR_CONFIG_VALUE, place(m->at, "destination"), "destination is empty");
	else if (m->destination && m->destination[0] != '/')
		warning(p, KERR_CONFIG_VALUE, place(m->at, "destination"),
			"destination is not absolute: it is taken from /");
	if (bind && (m->source ? *m->source == '\0' : json_get(m->at, "source") == NULL))
		fault(p, KERR_CONFIG_REQUIRED, m->at, "a bind mount needs a source");
	if (!bind && json_get(m->at, "type") == NULL && !has_option(m, "remount"))
		fault(p, KERR_CONFIG_REQUIRED, m->at, "a mount that is no bind needs a type");
	if ((m->uids.n == 0) != (m->gids.n == 0))
		fault(p, KERR_CONFIG_CONFLICT,
			place(m->at, m->uids.n ? "uidMappings" : "gidMappings"),
			"uidMappings and gidMappings go together");
	if ((idmap || m->uids.n) && !bind)
		fault(p, KERR_CONFIG_CONFLICT, place(m->at, "options"),
			"only a bind mount can be idmapped");
	if (idmap && m->uids.n == 0 && oci_find_ns(s, OCI_NS_USER) == NULL)
		fault(p, KERR_CONFIG_CONFLICT, place(m->at, "options"),
			"idmap needs mappings, or a user namespace");
	if (has_option(m, "ro") && has_option(m, "rw"))
		warning(p, KERR_CONFIG_CONFLICT, place(m->at, "options"),
			"ro and rw in one mount: the last one counts");
}

/* Legal, and seldom meant. */
static void check_covered(struct parse *p, const struct oci_spec *s)
{
	for (size_t i = 0; i < s->mounts.n; i++) {
		const struct oci_mount *m = &s->mounts.v[i];
		const struct json *at = place(m->at, "destination");

		for (size_t j = 0; m->destination && j < i; j++)
			if (str_eq(m->destination, s->mounts.v[j].destination)) {
				warning(p, KERR_CONFIG_DUPLICATE, at, "covers mount %zu", j);
				break;
			}
		for (size_t j = 0; m->destination && j < s->linux_.masked.n; j++)
			if (strcmp(m->destination, s->linux_.masked.v[j]) == 0)
				warning(p, KERR_CONFIG_CONFLICT, at,
					"is a masked path too: nobody will see the mount");
	}
}

/* ---- linux
 * ---------------------------------------------------------------------------------------------- */

static void check_namespaces(struct parse *p, const struct oci_spec *s)
{
	const struct oci_linux *l = &s->linux_;
	const struct oci_ns *user = oci_find_ns(s, OCI_NS_USER),
			    *time = oci_find_ns(s, OCI_NS_TIME);
	const struct json *uids = json_get(l->at, "uidMappings"),
			  *gids = json_get(l->at, "gidMappings");
	bool has_uids = uids && (uids->type != JSON_ARRAY || uids->n),
	     has_gids = gids && (gids->type != JSON_ARRAY || gids->n);

	for (size_t i = 0; i < l->namespaces.n; i++)
		for (size_t j = 0; j < i; j++)
			if (l->namespaces.v[i].type == l->namespaces.v[j].type &&
				typed(l->namespaces.v[i].at, l->namespaces.v[i].type) &&
				typed(l->namespaces.v[j].at, l->namespaces.v[j].type)) {
				fault(p, KERR_CONFIG_DUPLICATE, l->namespaces.v[i].at,
					"the %s namespace stands twice",
					oci_ns_name((enum oci_namespace)l->namespaces.v[i].type));
				break;
			}
	if (user == NULL && (l->uids.n || l->gids.n))
		fault(p, KERR_CONFIG_CONFLICT,
			place(l->at, l->uids.n ? "uidMappings" : "gidMappings"),
			"id mappings need a user namespace");
	if (user && user->path == NULL && !has_uids && !has_gids)
		fault(p, KERR_CONFIG_CONFLICT, user->at,
			"a new user namespace needs uidMappings and gidMappings");
	if (user && user->path && (l->uids.n || l->gids.n))
		fault(p, KERR_CONFIG_CONFLICT, place(l->at, "uidMappings"),
			"a user namespace that is joined has its mappings already");
	if (has_uids != has_gids)
		fault(p, KERR_CONFIG_CONFLICT,
			place(l->at, l->uids.n ? "uidMappings" : "gidMappings"),
			"uidMappings and gidMappings go together");
	if (s->hostname && oci_find_ns(s, OCI_NS_UTS) == NULL)
		fault(p, KERR_CONFIG_CONFLICT, place(s->at, "hostname"),
			"hostname needs a uts namespace: the host's is not ours to change");
	if (s->domainname && oci_find_ns(s, OCI_NS_UTS) == NULL)
		fault(p, KERR_CONFIG_CONFLICT, place(s->at, "domainname"),
			"domainname needs a uts namespace: the host's is not ours to change");
	if ((l->masked.n || l->readonly.n) && oci_find_ns(s, OCI_NS_MOUNT) == NULL)
		fault(p, KERR_CONFIG_CONFLICT,
			place(l->at, l->masked.n ? "maskedPaths" : "readonlyPaths"),
			"masked and read-only paths need a mount namespace");
	if (l->time_offsets.n && (time == NULL || time->path))
		fault(p, KERR_CONFIG_CONFLICT, place(l->at, "timeOffsets"),
			"time offsets need a new time namespace");
	for (size_t i = 0; i < l->time_offsets.n; i++)
		if (!str_eq(l->time_offsets.v[i].clock, "monotonic") &&
			!str_eq(l->time_offsets.v[i].clock, "boottime"))
			fault(p, KERR_CONFIG_VALUE, l->time_offsets.v[i].at,
				"'%.40s' is no clock with an offset", l->time_offsets.v[i].clock);
}

static bool read_well(const struct oci_idmap *m)
{
	return m->size && m->size <= UINT32_MAX && m->container < UINT32_MAX &&
	       m->host < UINT32_MAX && whole(m->at, "containerID") && whole(m->at, "hostID");
}

static void check_maps(struct parse *p, const struct oci_idmap *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!read_well(&v[i]))
			continue;
		if (v[i].container + v[i].size > 1ull << 32 || v[i].host + v[i].size > 1ull << 32)
			fault(p, KERR_CONFIG_RANGE, place(v[i].at, "size"),
				"the range wraps past 4294967295");
		for (size_t j = 0; j < i; j++) {
			if (!read_well(&v[j]))
				continue;
			if (v[i].container < v[j].container + v[j].size &&
				v[j].container < v[i].container + v[i].size)
				fault(p, KERR_CONFIG_CONFLICT, v[i].at, "overlaps entry %zu inside",
					j);
			else if (v[i].host < v[j].host + v[j].size &&
				 v[j].host < v[i].host + v[i].size)
				fault(p, KERR_CONFIG_CONFLICT, v[i].at,
					"overlaps entry %zu outside", j);
		}
	}
}

static void check_sysctl(struct parse *p, const struct oci_spec *s, const struct oci_pair *pair)
{
	const char *k = pair->key;
	bool ipc = str_starts(k, "kernel.msg") || str_starts(k, "kernel.shm") ||
		   str_eq(k, "kernel.sem") || str_eq(k, "kernel.auto_msgmni") ||
		   str_starts(k, "fs.mqueue.");

	if (*k == '\0' || strstr(k, "..") || has_component(k, "..") || strpbrk(k, " \n\t+=") ||
		k[0] == '/')
		fault(p, KERR_CONFIG_UNSAFE, pair->at, "'%.100s' is no safe sysctl name", k);
	else if (strpbrk(pair->value, "\n+"))
		fault(p, KERR_CONFIG_UNSAFE, pair->at,
			"a sysctl value may hold no newline and no '+'");
	else if (str_eq(k, "kernel.hostname"))
		fault(p, KERR_CONFIG_CONFLICT, pair->at, "the host name is set by 'hostname'");
	else if (str_starts(k, "net.") || str_starts(k, "net/")) {
		if (oci_find_ns(s, OCI_NS_NETWORK) == NULL)
			fault(p, KERR_CONFIG_CONFLICT, pair->at,
				"'%.100s' needs a network namespace of the container's own", k);
	} else if (ipc) {
		if (oci_find_ns(s, OCI_NS_IPC) == NULL)
			fault(p, KERR_CONFIG_CONFLICT, pair->at,
				"'%.100s' needs an ipc namespace of the container's own", k);
	} else if (str_eq(k, "kernel.domainname")) {
		if (oci_find_ns(s, OCI_NS_UTS) == NULL)
			fault(p, KERR_CONFIG_CONFLICT, pair->at,
				"'%.100s' needs a uts namespace of the container's own", k);
	} else {
		fault(p, KERR_CONFIG_CONFLICT, pair->at,
			"'%.100s' is the host's: no namespace has it of its own", k);
	}
}

static void check_devices(struct parse *p, const struct oci_linux *l)
{
	for (size_t i = 0; i < l->devices.n; i++) {
		const struct oci_device *d = &l->devices.v[i];

		if (typed(d->at, d->type) && d->type != S_IFIFO &&
			(json_get(d->at, "major") == NULL || json_get(d->at, "minor") == NULL))
			fault(p, KERR_CONFIG_REQUIRED, d->at, "a device needs major and minor");
		/* Podman gives st_mode whole */
		if (typed(d->at, d->type) && (d->mode.v & S_IFMT) != 0 &&
			(d->mode.v & S_IFMT) != (uint64_t)d->type)
			fault(p, KERR_CONFIG_CONFLICT, place(d->at, "fileMode"),
				"its type of file is not the device's");
		for (size_t j = 0; j < i; j++)
			if (d->path && str_eq(d->path, l->devices.v[j].path)) {
				fault(p, KERR_CONFIG_DUPLICATE, place(d->at, "path"),
					"%.200s stands twice", d->path);
				break;
			}
	}
	for (size_t i = 0; i < l->resources.devices.n; i++) {
		const struct oci_device_rule *r = &l->resources.devices.v[i];

		if (r->access &&
			(*r->access == '\0' || strspn(r->access, "rwm") != strlen(r->access)))
			fault(p, KERR_CONFIG_VALUE, place(r->at, "access"),
				"'%.20s' is not made of r, w and m", r->access);
	}
}

static void check_memory(struct parse *p, const struct oci_memory *m)
{
	if (m->swap.set && m->limit.set && m->swap.v >= 0 &&
		(m->limit.v < 0 || m->swap.v < m->limit.v))
		fault(p, KERR_CONFIG_CONFLICT, place(m->at, "swap"),
			"swap counts memory and swap together: it is below the limit");
	if (m->swap.set && m->swap.v > 0 && json_get(m->at, "limit") == NULL)
		fault(p, KERR_CONFIG_CONFLICT, place(m->at, "swap"), "swap needs a memory limit");
	if (m->reservation.set && m->limit.set && m->limit.v >= 0 && m->reservation.v > m->limit.v)
		warning(p, KERR_CONFIG_CONFLICT, place(m->at, "reservation"),
			"the reservation is above the limit");
}

static void check_cpu(struct parse *p, const struct oci_cpu *c)
{
	if (c->burst.set && c->burst.v && c->quota.set && c->quota.v > 0 &&
		c->burst.v > (uint64_t)c->quota.v)
		fault(p, KERR_CONFIG_CONFLICT, place(c->at, "burst"),
			"the burst is above the quota");
	if (c->burst.set && c->burst.v && (!c->quota.set || c->quota.v <= 0))
		fault(p, KERR_CONFIG_CONFLICT, place(c->at, "burst"),
			"a burst needs a positive quota");
	if (c->cpus && *c->cpus && !is_list(c->cpus))
		fault(p, KERR_CONFIG_VALUE, place(c->at, "cpus"), "'%.60s' is no CPU list",
			c->cpus);
	if (c->mems && *c->mems && !is_list(c->mems))
		fault(p, KERR_CONFIG_VALUE, place(c->at, "mems"), "'%.60s' is no node list",
			c->mems);
}

static bool is_page_size(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n && s[0] != '0' && strchr("KMG", s[n]) && s[n] && str_eq(s + n + 1, "B");
}

void check_resources(struct parse *p, const struct oci_resources *r)
{
	check_memory(p, &r->memory);
	check_cpu(p, &r->cpu);
	for (size_t i = 0; i < r->hugepages.n; i++) {
		const struct oci_hugepage *h = &r->hugepages.v[i];

		if (h->size && !is_page_size(h->size))
			fault(p, KERR_CONFIG_VALUE, place(h->at, "pageSize"),
				"'%.40s' is no page size such as 2MB", h->size);
		for (size_t j = 0; j < i; j++)
			if (h->size && str_eq(h->size, r->hugepages.v[j].size)) {
				fault(p, KERR_CONFIG_DUPLICATE, place(h->at, "pageSize"),
					"%.40s stands twice", h->size);
				break;
			}
	}
	for (size_t i = 0; i < r->rdma.n; i++)
		if (json_get(r->rdma.v[i].at, "hcaHandles") == NULL &&
			json_get(r->rdma.v[i].at, "hcaObjects") == NULL)
			fault(p, KERR_CONFIG_REQUIRED, r->rdma.v[i].at,
				"needs hcaHandles or hcaObjects");
	for (size_t i = 0; i < r->block_io.devices.n; i++)
		if (json_get(r->block_io.devices.v[i].at, "weight") == NULL &&
			json_get(r->block_io.devices.v[i].at, "leafWeight") == NULL)
			fault(p, KERR_CONFIG_REQUIRED, r->block_io.devices.v[i].at,
				"needs weight or leafWeight");
	for (size_t i = 0; i < r->unified.n; i++) {
		const char *k = r->unified.v[i].key;

		if (*k == '\0' || strchr(k, '/') || strstr(k, "..") || k[0] == '.')
			fault(p, KERR_CONFIG_UNSAFE, r->unified.v[i].at,
				"'%.100s' is no name of a cgroup file", k);
		else if (str_starts(k, "cgroup."))
			fault(p, KERR_CONFIG_UNSAFE, r->unified.v[i].at,
				"'%.100s' is Kapsel's to write", k);
	}
}

static bool takes_errno(int action)
{
	return action == OCI_ACT_ERRNO || action == OCI_ACT_TRACE;
}

const char *const seccomp_architectures[] = { "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32",
	"SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
	"SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
	"SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390",
	"SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
	"SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB", NULL };

static bool is_architecture(const char *s)
{
	for (const char *const *name = seccomp_architectures; *name; name++)
		if (strcmp(s, *name) == 0)
			return true;
	return false;
}

static void check_seccomp(struct parse *p, const struct oci_seccomp *s)
{
	const struct json *list = json_get(s->at, "architectures");
	bool notify = s->default_action == OCI_ACT_NOTIFY;

	if (s->default_errno.set && !takes_errno(s->default_action))
		fault(p, KERR_CONFIG_CONFLICT, place(s->at, "defaultErrnoRet"),
			"only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a value");
	json_each(item, list) if (item->type == JSON_STRING && !is_architecture(item->text))
		fault(p, KERR_CONFIG_VALUE, item, "'%.60s' is no architecture", item->text);
	for (size_t i = 0; i < s->rules.n; i++) {
		const struct oci_seccomp_rule *r = &s->rules.v[i];

		notify |= r->action == OCI_ACT_NOTIFY && json_get(r->at, "action");
		if (r->names.n == 0 && json_get(r->at, "names"))
			fault(p, KERR_CONFIG_REQUIRED, place(r->at, "names"), "names is empty");
		if (r->errno_ret.set && !takes_errno(r->action))
			fault(p, KERR_CONFIG_CONFLICT, place(r->at, "errnoRet"),
				"only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take a value");
	}
	if (s->listener_metadata && *s->listener_metadata &&
		(s->listener_path == NULL || *s->listener_path == '\0'))
		fault(p, KERR_CONFIG_CONFLICT, place(s->at, "listenerMetadata"),
			"listenerMetadata needs listenerPath");
	if (s->listener_path && *s->listener_path && !notify)
		fault(p, KERR_CONFIG_CONFLICT, place(s->at, "listenerPath"),
			"listenerPath needs an SCMP_ACT_NOTIFY");
	if (notify && (s->listener_path == NULL || *s->listener_path == '\0'))
		fault(p, KERR_CONFIG_CONFLICT, s->at, "SCMP_ACT_NOTIFY needs listenerPath");
	if (s->default_action == OCI_ACT_NOTIFY)
		fault(p, KERR_CONFIG_VALUE, place(s->at, "defaultAction"),
			"SCMP_ACT_NOTIFY cannot be the default: nothing could start");
}

static void check_cgroups_path(struct parse *p, const struct oci_linux *l)
{
	const char *path = l->cgroups_path;
	const struct json *at = place(l->at, "cgroupsPath");

	if (path == NULL || *path == '\0')
		return;
	if (has_component(path, "..") || has_component(path, "."))
		fault(p, KERR_CONFIG_UNSAFE, at, "a cgroup path may hold no '.' and no '..'");
	else if (strspn(path, "/") == strlen(path))
		fault(p, KERR_CONFIG_UNSAFE, at, "the root cgroup is not the container's");
	else if (strpbrk(path, "\n\t ") || strlen(path) > 3000)
		fault(p, KERR_CONFIG_UNSAFE, at, "a cgroup path may hold no white space");
}

static void check_linux(struct parse *p, const struct oci_spec *s)
{
	const struct oci_linux *l = &s->linux_;

	check_namespaces(p, s);
	check_maps(p, l->uids.v, l->uids.n);
	check_maps(p, l->gids.v, l->gids.n);
	for (size_t i = 0; i < l->sysctl.n; i++)
		check_sysctl(p, s, &l->sysctl.v[i]);
	check_devices(p, l);
	check_cgroups_path(p, l);
	check_resources(p, &l->resources);
	if (l->seccomp)
		check_seccomp(p, l->seccomp);
	json_each(item, json_get(l->at, "maskedPaths")) if (item->type == JSON_STRING &&
							    item->text[0] != '/')
		fault(p, KERR_CONFIG_VALUE, item, "'%.200s' must be an absolute path", item->text);
	json_each(item, json_get(l->at, "readonlyPaths")) if (item->type == JSON_STRING &&
							      item->text[0] != '/')
		fault(p, KERR_CONFIG_VALUE, item, "'%.200s' must be an absolute path", item->text);
}

static void check_name(struct parse *p, const struct json *v, const char *name)
{
	if (name && (strlen(name) > 64 || strpbrk(name, "\n /")))
		fault(p, KERR_CONFIG_VALUE, v, "a name of at most 64 bytes without white space");
}

static void check_hooks(struct parse *p, const struct oci_hooks *hooks)
{
	for (int k = 0; k < OCI_HOOK_COUNT; k++)
		for (size_t i = 0; i < hooks->kind[k].n; i++) {
			struct oci_hook *h = &hooks->kind[k].v[i];

			h->has_env = json_get(h->at, "env") != NULL;
			check_env(p, json_get(h->at, "env"));
		}
}

static void check_annotations(struct parse *p, const struct oci_spec *s)
{
	for (size_t i = 0; i < s->annotations.n; i++) {
		const struct oci_pair *a = &s->annotations.v[i];
		struct kerr one = KERR_INIT;

		if (*a->key == '\0')
			fault(p, KERR_CONFIG_VALUE, a->at, "an annotation's key is empty");
		else if (str_starts(a->key, "io.kapsel.") &&
			 annotation_check(a->key, a->value, &one)) {
			kerr_at(&one, json_pointer(p->a, a->at), a->at->line, a->at->column);
			kerr_add(p->faults, &one);
		}
	}
}

void check_spec(struct parse *p, struct oci_spec *s)
{
	check_version(p, s);
	if (s->root.at == NULL && json_get(s->at, "root") == NULL)
		fault(p, KERR_CONFIG_REQUIRED, s->at, "'root' is missing");
	if (s->root.path && *s->root.path == '\0')
		fault(p, KERR_CONFIG_VALUE, place(s->root.at, "path"), "root.path is empty");
	else if (s->root.path && has_component(s->root.path, ".."))
		warning(p, KERR_CONFIG_VALUE, place(s->root.at, "path"),
			"the root file system is outside of the bundle");
	s->has_process = s->process.at != NULL;
	if (s->has_process)
		check_process(p, &s->process);
	if (p->o && p->o->need_process) {
		if (json_get(s->at, "process") == NULL)
			fault(p, KERR_CONFIG_REQUIRED, s->at, "'process' is missing");
		else if (s->has_process && json_get(s->process.at, "args") == NULL)
			fault(p, KERR_CONFIG_REQUIRED, s->process.at, "'args' is missing");
	}
	for (size_t i = 0; i < s->mounts.n; i++)
		check_mount(p, s, &s->mounts.v[i]);
	check_covered(p, s);
	check_linux(p, s);
	check_name(p, place(s->at, "hostname"), s->hostname);
	check_name(p, place(s->at, "domainname"), s->domainname);
	check_hooks(p, &s->hooks);
	check_annotations(p, s);
}
