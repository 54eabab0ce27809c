/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[CG_COUNT] = {
	[CG_CPU] = "cpu",
	[CG_CPUACCT] = "cpuacct",
	[CG_CPUSET] = "cpuset",
	[CG_MEMORY] = "memory",
	[CG_DEVICES] = "devices",
	[CG_FREEZER] = "freezer",
	[CG_BLKIO] = "blkio",
	[CG_PIDS] = "pids",
	[CG_HUGETLB] = "hugetlb",
	[CG_RDMA] = "rdma",
	[CG_NET_CLS] = "net_cls",
	[CG_NET_PRIO] = "net_prio",
	[CG_PERF] = "perf_event",
	[CG_MISC] = "misc",
	[CG_NAMED] = "name=systemd",
};

const char *cgroup_controller_name(enum cgroup_controller c)
{
	return names[c];
}

enum cgroup_controller cgroup_controller_by_name(const char *name)
{
	for (int i = 0; i < CG_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return (enum cgroup_controller)i;
	return str_eq(name, "io") ? CG_BLKIO : str_starts(name, "name=") ? CG_NAMED : CG_COUNT;
}

const char *cgroup_layout_name(enum cgroup_layout l)
{
	static const char *const layouts[] = { "none", "v1", "hybrid", "v2" };

	return layouts[l];
}

static uint32_t controllers_of(const char *list, const char *separators)
{
	CLEANUP_FREE char *copy = mem_strdup(list);
	uint32_t bits = 0;
	char *save = NULL;

	for (char *word = strtok_r(copy, separators, &save); word;
		word = strtok_r(NULL, separators, &save)) {
		enum cgroup_controller c = cgroup_controller_by_name(word);

		if (c != CG_COUNT)
			bits |= 1u << c;
	}
	return bits;
}

/* v1's super options hold "rw" and the controllers, or "name=systemd". */
static char *v1_options(const char *super)
{
	CLEANUP_FREE char *copy = mem_strdup(super);
	struct buf b = BUF_INIT;
	char *save = NULL;

	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save))
		if (cgroup_controller_by_name(word) != CG_COUNT)
			buf_addf(&b, "%s%s", b.len ? "," : "", word);
	return buf_take(&b);
}

/* One that nobody may open, or that is covered, is as good as not there; any other failure would
 * make containers without it, and nobody would know. */
static int add_mount(struct hierarchies *h, const char *path, const char *type, const char *super,
	struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	bool v2 = str_eq(type, "cgroup2");
	struct hierarchy *one = &h->v[h->n];
	CLEANUP_BUF struct buf list = BUF_INIT;

	if (h->n == MOST_HIERARCHIES)
		return 0;
	one->fd = path_host(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, &why);
	if (one->fd < 0 && (why.sys == ENOENT || why.sys == ENOTDIR || why.sys == EACCES))
		return 0;
	if (one->fd < 0)
		return kerr_fail(e, KERR_CGROUP, why.sys, "cgroup hierarchy %s", path);
	one->mount.path = mem_strdup(path);
	one->mount.name = strrchr(one->mount.path, '/') + 1;
	one->mount.v2 = v2;
	if (v2) {
		path_read(one->fd, "cgroup.controllers", 4096, &list, NULL);
		one->controllers = controllers_of(buf_str(&list), " \n");
		/* v2 has these without a controller of their own */
		one->controllers |= 1u << CG_FREEZER | 1u << CG_DEVICES;
		one->mount.options = mem_strdup("");
	} else {
		one->mount.options = v1_options(super);
		one->controllers = controllers_of(one->mount.options, ",");
	}
	h->n++;
	return 0;
}

static bool seen(const struct hierarchies *h, const char *path)
{
	for (size_t i = 0; i < h->n; i++)
		if (str_eq(h->v[i].mount.path, path))
			return true;
	return false;
}

/* mountinfo(5): ID PARENT MAJ:MIN ROOT PATH OPTIONS [TAGS...] - TYPE SOURCE SUPER */
static int one_line(struct hierarchies *h, char *line, struct kerr *e)
{
	char *word[6], *save = NULL, *dash = strstr(line, " - "), *type, *super;

	if (dash == NULL)
		return 0;
	*dash = '\0';
	type = strtok_r(dash + 3, " ", &save);
	strtok_r(NULL, " ", &save);
	super = strtok_r(NULL, " ", &save);
	if (type == NULL || super == NULL || (!str_eq(type, "cgroup") && !str_eq(type, "cgroup2")))
		return 0;
	save = NULL;
	for (int i = 0; i < 6; i++)
		if ((word[i] = strtok_r(i ? NULL : line, " ", &save)) == NULL)
			return 0;
	return str_starts(word[4], "/sys/fs/cgroup") && !seen(h, word[4])
		       ? add_mount(h, word[4], type, super, e)
		       : 0;
}

static void forget(struct hierarchies *h)
{
	while (h->n > 0) {
		struct hierarchy *one = &h->v[--h->n];

		fd_closep(&one->fd);
		free((char *)(uintptr_t)one->mount.path);
		free((char *)(uintptr_t)one->mount.options);
	}
}

static void decide_layout(struct hierarchies *h)
{
	size_t v2 = 0;

	for (size_t i = 0; i < h->n; i++)
		v2 += h->v[i].mount.v2;
	h->layout = h->n == 0	 ? CGROUP_NONE
		    : v2 == h->n ? CGROUP_V2
		    : v2	 ? CGROUP_HYBRID
				 : CGROUP_V1;
}

static struct hierarchies *known_hierarchies(struct kerr *e)
{
	static struct hierarchies the_hierarchies; /* what is mounted does not change under us */
	static bool known;
	CLEANUP_BUF struct buf b = BUF_INIT;
	char *save = NULL;

	if (known)
		return &the_hierarchies;
	if (proc_read("self/mountinfo", 16u << 20, &b, e))
		return NULL;
	for (char *line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (one_line(&the_hierarchies, line, e)) {
			forget(&the_hierarchies); /* the next call tries again */
			return NULL;
		}
	decide_layout(&the_hierarchies);
	known = true;
	return &the_hierarchies;
}

const struct hierarchies *hierarchies(struct kerr *e)
{
	return known_hierarchies(e);
}

int cgroup_detect(enum cgroup_layout *layout, struct cgroup_controllers *there, struct kerr *e)
{
	const struct hierarchies *h = hierarchies(e);

	if (h == NULL)
		return -1;
	*layout = h->layout;
	*there = (struct cgroup_controllers) { 0, 0 };
	for (size_t i = 0; i < h->n; i++) {
		if (h->v[i].mount.v2)
			there->v2 |= h->v[i].controllers;
		else
			there->v1 |= h->v[i].controllers;
	}
	return 0;
}

/* The directory is ours to make others in, and processes may be moved to it. */
static bool is_given_to_us(int root, const char *path)
{
	CLEANUP_FD int dir = path_own(
		root, path[1] ? path + 1 : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, NULL);
	CLEANUP_FD int procs = dir < 0 ? -1 : path_own(dir, "cgroup.procs", O_WRONLY, 0, NULL);
	struct stat st;

	return procs >= 0 && fd_stat(dir, &st, NULL) == 0 && st.st_uid == geteuid() &&
	       st.st_mode & S_IWUSR;
}

void cgroup_delegated(char *out, size_t room)
{
	const struct hierarchies *h = hierarchies(NULL);
	CLEANUP_BUF struct buf b = BUF_INIT;
	char *path, *slash;

	*out = '\0';
	if (h == NULL || h->layout != CGROUP_V2 || proc_read("self/cgroup", 65536, &b, NULL))
		return;
	path = strstr(b.data ? b.data : "", "0::/");
	if (path == NULL)
		return;
	path += strlen("0::");
	path[strcspn(path, "\n")] = '\0';
	while (is_given_to_us(h->v[0].fd, path) && strlen(path) < room) {
		snprintf(out, room, "%s", path);
		slash = strrchr(path, '/');
		if (path[1] == '\0')
			return;
		slash[slash == path] = '\0';
	}
}

enum { MOST_SAMPLES = 32 };

/* The root lacks many of v2's files, and BFQ's of v1: the cgroup below it that has most files is
 * looked at. */
static void take_sample(struct hierarchy *h)
{
	struct path_names below;

	h->sampled = true;
	if (path_names(h->fd, 4096, &below, NULL))
		return;
	for (size_t i = 0, tried = 0; i < below.n && tried < MOST_SAMPLES; i++) {
		CLEANUP_FD int dir =
			path_own(h->fd, below.v[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, NULL);
		struct path_names files;

		tried += dir >= 0;
		if (dir < 0 || path_names(dir, 4096, &files, NULL))
			continue;
		if (files.n > h->sample.n) {
			path_names_free(&h->sample);
			h->sample = files;
		} else {
			path_names_free(&files);
		}
	}
	path_names_free(&below);
}

/* In @files? 0 is only said of a controller that has others there: one may not be enabled (yet),
 * but its pressure and statistics are there. */
static int among(const struct path_names *files, const char *file)
{
	size_t prefix = strcspn(file, ".") + 1;
	int answer = -1;

	for (size_t i = 0; i < files->n; i++) {
		const char *name = files->v[i];

		if (strcmp(name, file) == 0)
			return 1;
		if (strncmp(name, file, prefix) == 0 && !str_starts(name + prefix, "stat") &&
			!str_starts(name + prefix, "pressure"))
			answer = 0;
	}
	return answer;
}

int cgroup_has_file(enum cgroup_controller c, const char *file)
{
	struct hierarchies *all = known_hierarchies(NULL);
	struct hierarchy *h = NULL;
	CLEANUP_FD int fd = -1;

	for (size_t i = 0; all && i < all->n; i++)
		if (all->v[i].controllers >> c & 1 && (h == NULL || h->mount.v2))
			h = &all->v[i];
	if (h == NULL)
		return -1;
	fd = path_own(h->fd, file, O_PATH | O_NOFOLLOW, 0, NULL);
	if (fd >= 0)
		return 1;
	if (!h->sampled)
		take_sample(h);
	return among(&h->sample, file);
}

const struct cgroup_mount *cgroup_mounts(size_t *n)
{
	static struct cgroup_mount mounts[MOST_HIERARCHIES];
	const struct hierarchies *h = hierarchies(NULL);

	*n = h ? h->n : 0;
	for (size_t i = 0; i < *n; i++)
		mounts[i] = h->v[i].mount;
	return mounts;
}
