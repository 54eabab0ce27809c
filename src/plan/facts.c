/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { SYSFS_FILE = 65536 };

static void copy(char *to, size_t room, const char *from)
{
	snprintf(to, room, "%s", from);
	to[strcspn(to, "\n")] = '\0';
}

static bool there(const char *path)
{
	CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_PATH, NULL);

	return fd >= 0;
}

static bool proc_there(const char *name)
{
	CLEANUP_FD int fd = proc_open(name, O_PATH | O_NOFOLLOW, NULL);

	return fd >= 0;
}

/* "CapEff:\t000001ff" of status. */
static uint64_t hex_after(const char *text, const char *key)
{
	const char *s = strstr(text, key);

	return s ? strtoull(s + strlen(key), NULL, 16) : 0;
}

static void read_kernel(struct facts *f)
{
	struct utsname u;

	uname(&u);
	copy(f->kernel, sizeof f->kernel, u.release);
	copy(f->machine, sizeof f->machine, u.machine);
	sscanf(u.release, "%u.%u", &f->kernel_major, &f->kernel_minor);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_page_sizes(struct facts *f)
{
	CLEANUP_FD int dir =
		path_host(AT_FDCWD, "/sys/kernel/mm/hugepages", O_RDONLY | O_DIRECTORY, NULL);
	struct path_names names;
	VEC(char *) v = { NULL, 0, 0 };
	unsigned kib;

	if (dir < 0 || path_names(dir, 64, &names, NULL))
		return;
	for (size_t i = 0; i < names.n; i++)
		if (sscanf(names.v[i], "hugepages-%ukB", &kib) == 1)
			vec_push(&v) = kib >= 1 << 20	? mem_printf("%uGB", kib >> 20)
				       : kib >= 1 << 10 ? mem_printf("%uMB", kib >> 10)
							: mem_printf("%uKB", kib);
	path_names_free(&names);
	f->page_sizes = v.v;
	f->npage_sizes = v.n;
}

static void read_missing(struct facts *f)
{
	VEC(char *) v = { NULL, 0, 0 };
	enum cgroup_controller c;
	const char *file;

	for (size_t i = 0; resource_file(i, f->cgroup_layout == CGROUP_V2, &c, &file); i++)
		if (file && cgroup_has_file(c, file) == 0)
			vec_push(&v) = mem_printf("%s/%s", cgroup_controller_name(c), file);
	f->missing = v.v;
	f->nmissing = v.n;
}

static int read_filesystems(struct facts *f, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	VEC(char *) v = { NULL, 0, 0 };
	char *save = NULL;

	if (proc_read("filesystems", SYSFS_FILE, &b, e))
		return -1;
	for (char *line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		vec_push(&v) = mem_strdup(strchr(line, '\t') ? strchr(line, '\t') + 1 : line);
	if (v.n)
		qsort(v.v, v.n, sizeof *v.v, by_name);
	f->filesystems = v.v;
	f->nfilesystems = v.n;
	return 0;
}

/* The kernel does not tell its floor; our own value is moved there and back. */
static int lowest_oom_score(void)
{
	CLEANUP_BUF struct buf now = BUF_INIT;
	int low = -1000, high = 0;

	if (proc_read("self/oom_score_adj", 16, &now, NULL))
		return 0;
	now.data[strcspn(now.data, "\n")] = '\0';
	if (atoi(now.data) < high)
		high = atoi(now.data);
	while (low < high) {
		int middle = (low + high - 1) / 2;
		char text[16];

		if ((low + high - 1) % 2 && low + high - 1 < 0)
			middle--;
		snprintf(text, sizeof text, "%d", middle);
		if (proc_write("self/oom_score_adj", text, false, NULL) == 0)
			high = middle;
		else
			low = middle + 1;
	}
	proc_write("self/oom_score_adj", now.data, false, NULL);
	return high;
}

static void read_line(const char *path, char *to, size_t room)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_RDONLY, NULL);

	if (fd >= 0 && fd_read_all(fd, SYSFS_FILE, &b, NULL) == 0)
		copy(to, room, buf_str(&b));
}

/* "INSIDE OUTSIDE COUNT" a line. */
static void read_map(const char *file, struct fact_ids *ids)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	unsigned inside, outside, count;
	int used;

	if (proc_read(file, SYSFS_FILE, &b, NULL))
		return;
	for (const char *s = buf_str(&b);
		ids->n < ARRAY_LEN(ids->v) &&
		sscanf(s, "%u %u %u%n", &inside, &outside, &count, &used) == 3;
		s += used) {
		ids->v[ids->n].start = inside;
		ids->v[ids->n++].count = count;
	}
}

static int read_file(const char *path, struct buf *b)
{
	CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_RDONLY, NULL);

	return fd < 0 ? -1 : fd_read_all(fd, 1 << 20, b, NULL);
}

/* "NAME:x:UID:" of /etc/passwd: no library that might load others is asked. */
static void own_name(uint32_t uid, char *name, size_t room)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char *save = NULL;

	*name = '\0';
	if (read_file("/etc/passwd", &b) || b.data == NULL)
		return;
	for (char *line = strtok_r(b.data, "\n", &save); line && !*name;
		line = strtok_r(NULL, "\n", &save)) {
		size_t n = strcspn(line, ":");
		const char *id = line[n] ? strchr(line + n + 1, ':') : NULL;

		if (id && strtoul(id + 1, NULL, 10) == uid && n < room)
			copy(name, n + 1, line);
	}
}

/* "NAME:START:COUNT" or "UID:START:COUNT", subuid(5). */
static void read_granted(
	const char *file, const char *helper, const struct facts *f, struct fact_ids *ids)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char name[64], number[16], *save = NULL;
	unsigned start, count;

	own_name(f->uid, name, sizeof name);
	if (!there(helper) || *name == '\0' || read_file(file, &b) || b.data == NULL)
		return;
	snprintf(number, sizeof number, "%u", f->uid);
	for (char *line = strtok_r(b.data, "\n", &save); line && ids->n < ARRAY_LEN(ids->v);
		line = strtok_r(NULL, "\n", &save)) {
		char *rest = strchr(line, ':');

		if (rest == NULL || sscanf(rest, ":%u:%u", &start, &count) != 2)
			continue;
		*rest = '\0';
		if (strcmp(line, name) != 0 && strcmp(line, number) != 0)
			continue;
		ids->v[ids->n].start = start;
		ids->v[ids->n++].count = count;
	}
}

/* What only matters to those who are not the host's root. */
static void read_rootless(struct facts *f, bool admin)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	f->namespace_root = f->uid == 0 && admin;
	f->setgroups = f->namespace_root && (proc_read("self/setgroups", 16, &b, NULL) ||
						    !str_starts(buf_str(&b), "deny"));
	read_map("self/uid_map", &f->uids);
	read_map("self/gid_map", &f->gids);
	if (!f->namespace_root) {
		read_granted("/etc/subuid", NEWUIDMAP, f, &f->subuids);
		read_granted("/etc/subgid", NEWGIDMAP, f, &f->subgids);
	}
	if (f->cgroup_layout == CGROUP_V2)
		cgroup_delegated(f->cgroup_base, sizeof f->cgroup_base);
}

static int read_rights(struct facts *f, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_BUF struct buf map = BUF_INIT;
	CLEANUP_BUF struct buf open = BUF_INIT;
	unsigned inside, outside, size;
	uint64_t effective;
	bool initial;

	if (proc_read("self/status", SYSFS_FILE, &b, e) ||
		proc_read("self/uid_map", SYSFS_FILE, &map, e))
		return -1;
	effective = hex_after(b.data, "\nCapEff:\t");
	f->capabilities = hex_after(b.data, "\nCapBnd:\t") & hex_after(b.data, "\nCapPrm:\t");
	f->uid = geteuid();
	f->gid = getegid();
	initial = sscanf(buf_str(&map), "%u %u %u", &inside, &outside, &size) == 3 &&
		  outside == 0 && size == UINT32_MAX;
	f->root = f->uid == 0 && effective >> CAP_SYS_ADMIN & 1 && initial;
	if (!f->root)
		read_rootless(f, effective >> CAP_SYS_ADMIN & 1);
	f->may_raise_rlimits = initial && effective >> CAP_SYS_RESOURCE & 1;
	f->oom_score_adj_min = f->may_raise_rlimits ? -1000 : lowest_oom_score();
	while (prctl(PR_CAPBSET_READ, f->last_capability + 1, 0, 0, 0) >= 0 &&
		f->last_capability < 63)
		f->last_capability++;
	if (proc_read("sys/fs/nr_open", 64, &open, NULL) == 0)
		f->nr_open = strtoull(buf_str(&open), NULL, 10);
	for (int i = 0; i < OCI_RLIMIT_COUNT; i++) {
		struct rlimit r;

		f->rlimit[i].known = syscall(SYS_prlimit64, 0, i, NULL, &r) == 0;
		f->rlimit[i].hard =
			f->rlimit[i].known && r.rlim_max != RLIM_INFINITY ? r.rlim_max : UINT64_MAX;
	}
	return 0;
}

int facts_read(struct facts *f, struct kerr *e)
{
	memset(f, 0, sizeof *f);
	read_kernel(f);
	if (cgroup_detect(&f->cgroup_layout, &f->controllers, e) || read_rights(f, e) ||
		read_filesystems(f, e)) {
		facts_free(f);
		return -1;
	}
	f->cgroup_writable =
		f->cgroup_layout != CGROUP_NONE && (f->root || *f->cgroup_base != '\0');
	f->user_namespaces = proc_there("self/ns/user");
	f->time_namespaces = proc_there("self/ns/time");
	f->cgroup_namespaces = proc_there("self/ns/cgroup");
	f->mount_setattr = f->idmapped_mounts =
		f->kernel_major > 5 || (f->kernel_major == 5 && f->kernel_minor >= 12);
	f->seccomp = proc_there("sys/kernel/seccomp/actions_avail");
	f->seccomp_notify = f->seccomp &&
			    (f->kernel_major > 5 || (f->kernel_major == 5 && f->kernel_minor >= 5));
	f->apparmor = there("/sys/kernel/security/apparmor/profiles");
	f->selinux = there("/sys/fs/selinux/enforce");
	f->resctrl = there("/sys/fs/resctrl/info");
	f->swap_accounting = f->cgroup_layout == CGROUP_V2 ||
			     there("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
	f->cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	read_line("/sys/devices/system/cpu/online", f->cpus_online, sizeof f->cpus_online);
	read_line("/sys/devices/system/node/online", f->mems_online, sizeof f->mems_online);
	read_page_sizes(f);
	read_missing(f);
	f->realtime_groups =
		f->cgroup_layout != CGROUP_V2 && cgroup_has_file(CG_CPU, "cpu.rt_runtime_us") == 1;
	return 0;
}

/* The first word of each line, or what follows @prefix in it. */
static void take_words(char *text, const char *prefix, char ***out, size_t *n)
{
	VEC(char *) v = { NULL, 0, 0 };
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (str_starts(line, prefix)) {
			line += strlen(prefix);
			vec_push(&v) = mem_strndup(line, strcspn(line, " "));
		}
	if (v.n)
		qsort(v.v, v.n, sizeof *v.v, by_name);
	*out = v.v;
	*n = v.n;
}

int facts_read_all(struct facts *f, struct kerr *e)
{
	CLEANUP_BUF struct buf loaded = BUF_INIT;
	CLEANUP_BUF struct buf aliases = BUF_INIT;
	CLEANUP_FREE char *path = NULL;
	CLEANUP_FD int fd = -1;

	if (facts_read(f, e))
		return -1;
	path = mem_printf("/lib/modules/%s/modules.alias", f->kernel);
	fd = path_host(AT_FDCWD, path, O_RDONLY, NULL);
	f->modules_known = true;
	if (proc_read("modules", 1 << 20, &loaded, NULL) == 0 && loaded.len)
		take_words(loaded.data, "", &f->modules, &f->nmodules);
	if (fd >= 0 && fd_read_all(fd, 16u << 20, &aliases, NULL) == 0 && aliases.len)
		take_words(aliases.data, "alias fs-", &f->loadable, &f->nloadable);
	return 0;
}

static void free_strings(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

void facts_free(struct facts *f)
{
	free_strings(f->filesystems, f->nfilesystems);
	free_strings(f->modules, f->nmodules);
	free_strings(f->loadable, f->nloadable);
	free_strings(f->missing, f->nmissing);
	free_strings(f->page_sizes, f->npage_sizes);
	memset(f, 0, sizeof *f);
}

/* ---- as text: one table for both directions
 * ------------------------------------------------------------ */

struct flag {
	const char *name;
	size_t offset;
};
#define FLAG(member)                                    \
	{                                               \
#member, offsetof(struct facts, member) \
	}
static const struct flag flags[] = { FLAG(root), FLAG(cgroup_writable), FLAG(may_raise_rlimits),
	FLAG(user_namespaces), FLAG(time_namespaces), FLAG(cgroup_namespaces),
	FLAG(idmapped_mounts), FLAG(mount_setattr), FLAG(seccomp), FLAG(seccomp_notify),
	FLAG(apparmor), FLAG(selinux), FLAG(resctrl), FLAG(swap_accounting), FLAG(realtime_groups),
	FLAG(namespace_root), FLAG(setgroups) };
static const struct flag id_lists[] = { FLAG(uids), FLAG(gids), FLAG(subuids), FLAG(subgids) };

static void put_controllers(struct json_out *o, const char *key, uint32_t bits)
{
	json_key(o, key);
	json_begin_array(o);
	for (int c = 0; c < CG_COUNT; c++)
		if (bits >> c & 1)
			json_add_string(o, cgroup_controller_name((enum cgroup_controller)c));
	json_end_array(o);
}

static void put_strings(struct json_out *o, const char *key, char **v, size_t n)
{
	json_key(o, key);
	json_begin_array(o);
	for (size_t i = 0; i < n; i++)
		json_add_string(o, v[i]);
	json_end_array(o);
}

static void put_ids(struct json_out *o, const char *key, const struct fact_ids *ids)
{
	json_key(o, key);
	json_begin_array(o);
	for (unsigned i = 0; i < ids->n; i++) {
		json_begin_object(o);
		json_put_u64(o, "start", ids->v[i].start);
		json_put_u64(o, "count", ids->v[i].count);
		json_end_object(o);
	}
	json_end_array(o);
}

static void get_ids(const struct json *list, struct fact_ids *ids)
{
	json_each(item, list) if (ids->n < ARRAY_LEN(ids->v))
	{
		ids->v[ids->n].start = (uint32_t)json_get_u64(item, "start", 0);
		ids->v[ids->n++].count = (uint32_t)json_get_u64(item, "count", 0);
	}
}

void facts_json(const struct facts *f, struct buf *out)
{
	struct json_out o = JSON_OUT_PRETTY(out);

	json_begin_object(&o);
	json_put_string(&o, "kapselFacts", KAPSEL_VERSION);
	json_put_string(&o, "kernel", f->kernel);
	json_put_string(&o, "machine", f->machine);
	json_put_string(&o, "cgroupLayout", cgroup_layout_name(f->cgroup_layout));
	put_controllers(&o, "controllersV1", f->controllers.v1);
	put_controllers(&o, "controllersV2", f->controllers.v2);
	json_put_u64(&o, "uid", f->uid);
	json_put_u64(&o, "gid", f->gid);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		json_put_bool(
			&o, flags[i].name, *(const bool *)((const char *)f + flags[i].offset));
	for (size_t i = 0; !f->root && i < ARRAY_LEN(id_lists); i++)
		put_ids(&o, id_lists[i].name,
			(const struct fact_ids *)(const void *)((const char *)f +
								id_lists[i].offset));
	if (!f->root)
		json_put_string(&o, "cgroupBase", f->cgroup_base);
	json_key(&o, "capabilities");
	json_begin_array(&o);
	for (unsigned c = 0; c < OCI_CAPABILITIES; c++)
		if (f->capabilities >> c & 1)
			json_add_string(&o, oci_capability_name(c));
	json_end_array(&o);
	json_put_u64(&o, "lastCapability", f->last_capability);
	json_key(&o, "hardLimits");
	json_begin_object(&o);
	for (int i = 0; i < OCI_RLIMIT_COUNT; i++)
		if (f->rlimit[i].known)
			json_put_u64(&o, oci_rlimit_name(i), f->rlimit[i].hard);
	json_end_object(&o);
	if (f->nr_open)
		json_put_u64(&o, "nrOpen", f->nr_open);
	json_put_i64(&o, "oomScoreAdjMin", f->oom_score_adj_min);
	put_strings(&o, "filesystems", f->filesystems, f->nfilesystems);
	if (f->modules_known) {
		put_strings(&o, "loadableFilesystems", f->loadable, f->nloadable);
		put_strings(&o, "modules", f->modules, f->nmodules);
	}
	put_strings(&o, "cgroupFilesMissing", f->missing, f->nmissing);
	put_strings(&o, "hugePageSizes", f->page_sizes, f->npage_sizes);
	json_put_u64(&o, "cpus", f->cpus);
	json_put_string(&o, "cpusOnline", f->cpus_online);
	json_put_string(&o, "memsOnline", f->mems_online);
	json_end_object(&o);
	buf_addc(out, '\n');
}

static uint32_t get_controllers(const struct json *list)
{
	uint32_t bits = 0;

	json_each(item, list) if (item->type == JSON_STRING &&
				  cgroup_controller_by_name(item->text) != CG_COUNT) bits |=
		1u << cgroup_controller_by_name(item->text);
	return bits;
}

static char **get_strings(const struct json *root, const char *key, size_t *n)
{
	const struct json *list = json_get(root, key);
	char **v;

	if (list == NULL || list->type != JSON_ARRAY)
		return NULL;
	v = mem_array(list->n + 1, sizeof *v);
	json_each(item, list) if (item->type == JSON_STRING) v[(*n)++] = mem_strdup(item->text);
	return v;
}

static void get_lists(const struct json *root, struct facts *f)
{
	json_each(
		item, json_get(root, "capabilities")) for (unsigned c = 0; c < OCI_CAPABILITIES;
							   c++) if (str_eq(item->text,
									    oci_capability_name(c)))
		f->capabilities |= 1ull << c;
	for (int i = 0; i < OCI_RLIMIT_COUNT; i++) {
		const struct json *v = json_get(json_get(root, "hardLimits"), oci_rlimit_name(i));

		f->rlimit[i].known = v != NULL;
		f->rlimit[i].hard =
			json_get_u64(json_get(root, "hardLimits"), oci_rlimit_name(i), UINT64_MAX);
	}
	f->filesystems = get_strings(root, "filesystems", &f->nfilesystems);
	f->modules_known = json_get(root, "loadableFilesystems") != NULL;
	f->loadable = get_strings(root, "loadableFilesystems", &f->nloadable);
	f->modules = get_strings(root, "modules", &f->nmodules);
	f->missing = get_strings(root, "cgroupFilesMissing", &f->nmissing);
	f->page_sizes = get_strings(root, "hugePageSizes", &f->npage_sizes);
}

int facts_parse(const char *text, size_t len, struct facts *f, struct kerr *e)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	const struct json *root = json_parse(a, text, len, NULL, e);
	const char *layout;

	memset(f, 0, sizeof *f);
	if (root == NULL)
		return kerr_step(e, "facts");
	if (json_get(root, "kapselFacts") == NULL)
		return json_fail(e, KERR_CONFIG_REQUIRED, root,
			"this is no file of facts: 'kapselFacts' is missing");
	layout = json_get_string(root, "cgroupLayout", "none");
	for (int l = CGROUP_NONE; l <= CGROUP_V2; l++)
		if (str_eq(layout, cgroup_layout_name((enum cgroup_layout)l)))
			f->cgroup_layout = (enum cgroup_layout)l;
	copy(f->kernel, sizeof f->kernel, json_get_string(root, "kernel", ""));
	copy(f->machine, sizeof f->machine, json_get_string(root, "machine", ""));
	sscanf(f->kernel, "%u.%u", &f->kernel_major, &f->kernel_minor);
	f->controllers.v1 = get_controllers(json_get(root, "controllersV1"));
	f->controllers.v2 = get_controllers(json_get(root, "controllersV2"));
	f->uid = (uint32_t)json_get_u64(root, "uid", 0);
	f->gid = (uint32_t)json_get_u64(root, "gid", 0);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		*(bool *)((char *)f + flags[i].offset) = json_get_bool(root, flags[i].name, false);
	for (size_t i = 0; i < ARRAY_LEN(id_lists); i++)
		get_ids(json_get(root, id_lists[i].name),
			(struct fact_ids *)(void *)((char *)f + id_lists[i].offset));
	copy(f->cgroup_base, sizeof f->cgroup_base, json_get_string(root, "cgroupBase", ""));
	f->last_capability =
		(unsigned)json_get_u64(root, "lastCapability", OCI_CAPABILITIES - 1) % 64;
	f->nr_open = json_get_u64(root, "nrOpen", 0);
	f->oom_score_adj_min = (int)json_get_i64(root, "oomScoreAdjMin", 0);
	f->cpus = (uint32_t)json_get_u64(root, "cpus", 1);
	copy(f->cpus_online, sizeof f->cpus_online, json_get_string(root, "cpusOnline", ""));
	copy(f->mems_online, sizeof f->mems_online, json_get_string(root, "memsOnline", ""));
	get_lists(root, f);
	return 0;
}
