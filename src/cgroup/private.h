/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KAPSEL_CGROUP_PRIVATE_H
#define KAPSEL_CGROUP_PRIVATE_H

#include <kapsel/cgroup.h>

enum { MOST_HIERARCHIES = 16 };

struct hierarchy {
	struct cgroup_mount mount;
	uint32_t controllers;
	int fd;			  /* its root directory */
	struct path_names sample; /* the files of some cgroup in it */
	bool sampled;
};
struct hierarchies {
	struct hierarchy v[MOST_HIERARCHIES];
	size_t n;
	enum cgroup_layout layout;
};
const struct hierarchies *hierarchies(struct kerr *e); /* NULL on failure */

struct part {
	int parent, dir; /* fds; parent is the hierarchy's root */
	uint32_t controllers;
	bool lent;     /* parent is the hierarchy's own fd */
	bool v2, made; /* made: the directory itself was not there before cgroup_make() */
	char *root;    /* where the hierarchy is mounted */
	unsigned keep; /* so many leading components of the path are not ours to remove */
};
struct cgroup {
	char *path;
	struct part part[MOST_HIERARCHIES];
	size_t n;
};
struct part *part_of(struct cgroup *c, uint32_t controllers); /* NULL: no such controller here */
struct part *unified_part(struct cgroup *c);

#endif
