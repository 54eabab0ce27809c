/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 1 << 20, MAKE_TRIES = 10, MOST_DEPTH = 32 };

struct part *part_of(struct cgroup *c, uint32_t controllers)
{
	struct part *found = NULL;

	/* On a hybrid node both may offer it; the v1 hierarchy has the controller. */
	for (size_t i = 0; i < c->n; i++)
		if (c->part[i].controllers & controllers && (found == NULL || found->v2))
			found = &c->part[i];
	return found;
}

struct part *unified_part(struct cgroup *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->part[i].v2)
			return &c->part[i];
	return NULL;
}

static void drop_parent(struct part *p)
{
	if (p->lent)
		p->parent = -1;
	fd_closep(&p->parent);
	p->lent = false;
}

/* ---- making
 * ---------------------------------------------------------------------------------------------- */

static bool valid_path(const char *path)
{
	if (path[0] != '/' || path[1] == '\0' || str_ends(path, "/"))
		return false;
	for (const char *s = path; *s; s++)
		if (*s == '/' &&
			(s[1] == '/' || (s[1] == '.' && (s[2] == '/' || s[2] == '\0')) ||
				(s[1] == '.' && s[2] == '.' && (s[3] == '/' || s[3] == '\0'))))
			return false;
	return strpbrk(path, "\n\t ") == NULL;
}

static void rest(unsigned us)
{
	nanosleep(&(struct timespec) { .tv_nsec = us * 1000L }, NULL);
}

static bool read_list(int dir, const char *file, struct buf *out)
{
	buf_reset(out);
	return path_read(dir, file, 4096, out, NULL) == 0 && out->len > 1;
}

static bool is_cpuset(const struct hierarchy *h)
{
	return h->controllers & 1u << CG_CPUSET && !h->mount.v2;
}

/* v1: a new cpuset has no CPU and takes no task. The list above may read as empty for a moment
 * while others write: it is asked again, and an empty one is never handed down. */
static int fill_cpuset(int parent, int dir, struct kerr *e)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	CLEANUP_BUF struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		for (unsigned tries = 0; !read_list(dir, files[i], &b); tries++) {
			if (tries == 50)
				return kerr_fail(e, KERR_CGROUP, 0, "%s stays empty", files[i]);
			if (tries)
				rest(100);
			if (read_list(parent, files[i], &b) &&
				path_write(dir, files[i], b.data, b.len, e))
				return -1;
		}
	}
	return 0;
}

static bool is_filled(int dir)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	return read_list(dir, "cpuset.cpus", &b) && read_list(dir, "cpuset.mems", &b);
}

/* v2: what a child is to have, its parent must hand down. */
static void hand_down(int dir)
{
	CLEANUP_BUF struct buf have = BUF_INIT;
	CLEANUP_BUF struct buf given = BUF_INIT;
	char *save = NULL;

	if (path_read(dir, "cgroup.controllers", 4096, &have, NULL) ||
		path_read(dir, "cgroup.subtree_control", 4096, &given, NULL) ||
		have.len == given.len)
		return;
	for (char *word = strtok_r(have.data, " \n", &save); word;
		word = strtok_r(NULL, " \n", &save)) {
		CLEANUP_FREE char *plus = mem_printf("+%s", word);

		/* One by one: a controller that cannot be enabled shall not keep the others. */
		path_write(dir, "cgroup.subtree_control", plus, strlen(plus), NULL);
	}
}

static int make_component(
	const struct hierarchy *h, int dir, const char *name, bool *made, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	int fd;

	if (h->mount.v2)
		hand_down(dir);
	fd = path_own_mkdir(dir, name, 0755, &why);
	if (fd < 0 && why.code == KERR_ALREADY_EXISTS)
		fd = path_own(dir, name, O_RDONLY | O_DIRECTORY, 0, &why);
	else
		*made = true;
	if (fd < 0)
		return kerr_fail(
			e, KERR_CGROUP, why.sys, "make cgroup %s in %s", name, h->mount.name);
	/* One that was there, too: whoever has just made it may not have come to that yet. */
	if (is_cpuset(h) && !is_filled(fd) && fill_cpuset(dir, fd, e)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int make_step_by_step(
	struct part *p, const struct hierarchy *h, const char *path, unsigned keep, struct kerr *e)
{
	CLEANUP_FREE char *copy = mem_strdup(path);
	CLEANUP_FD int dir = fcntl(h->fd, F_DUPFD_CLOEXEC, 3);
	unsigned depth = 0;
	bool made = false;
	char *save = NULL;

	p->parent = h->fd;
	p->lent = true;
	p->keep = keep;
	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		bool was = made;
		int next = make_component(h, dir, name, &made, e);

		p->made |= made;
		if (next < 0)
			return -1;
		if (made && !was && depth < p->keep)
			p->keep = depth;
		close(dir);
		dir = next;
		depth++;
	}
	if (!made && keep >= depth)
		p->keep = depth;
	p->dir = fd_take(&dir);
	return 0;
}

/* The usual case: the parent is there, and has nothing to hand down itself. */
static bool make_at_once(struct part *p, const struct hierarchy *h, const char *path, unsigned keep)
{
	CLEANUP_FD int dir = h->mount.v2 ? -1 : path_own_mkdir(h->fd, path + 1, 0755, NULL);

	if (dir < 0)
		return false;
	if (is_cpuset(h) && !is_filled(dir)) {
		path_own_unlink(h->fd, path + 1, true, NULL);
		return false;
	}
	p->parent = h->fd;
	p->lent = true;
	p->dir = fd_take(&dir);
	p->keep = keep;
	p->made = true;
	return true;
}

static int make_part(
	struct part *p, const struct hierarchy *h, const char *path, unsigned keep, struct kerr *e)
{
	if (make_at_once(p, h, path, keep))
		return 0;
	return make_step_by_step(p, h, path, keep, e);
}
static unsigned components(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/' && path[1] && path[1] != '/';
	return n;
}

static bool is_frozen(struct cgroup *c)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct part *u = unified_part(c), *f = part_of(c, 1u << CG_FREEZER);

	if (u && path_read(u->dir, "cgroup.freeze", 16, &b, NULL) == 0 && buf_str(&b)[0] == '1')
		return true;
	buf_reset(&b);
	return f && !f->v2 && path_read(f->dir, "freezer.state", 32, &b, NULL) == 0 &&
	       !str_starts(buf_str(&b), "THAWED");
}

/* kernfs counts sub-directories as links, so most cgroups are known to have none by one fstat. */
static bool has_children(int dir)
{
	struct stat st;

	return fd_stat(dir, &st, NULL) == 0 && st.st_nlink > 2;
}

/* The processes below @dir, those of the container's own sub-cgroups too; @out gets their lines. */
static void list_procs(int dir, unsigned depth, struct buf *out)
{
	struct path_names names;

	path_read(dir, "cgroup.procs", FILE_BYTES * 8, out, NULL);
	if (depth == MOST_DEPTH || !has_children(dir) || path_names(dir, 1 << 16, &names, NULL))
		return;
	for (size_t i = 0; i < names.n; i++) {
		CLEANUP_FD int child = path_own(dir, names.v[i], O_RDONLY | O_DIRECTORY, 0, NULL);

		if (child >= 0)
			list_procs(child, depth + 1, out);
	}
	path_names_free(&names);
}

static bool part_is_empty(const struct part *p)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (p->v2 && path_read(p->dir, "cgroup.events", 4096, &b, NULL) == 0)
		return strstr(buf_str(&b), "populated 1") == NULL;
	list_procs(p->dir, 0, &b);
	return b.len == 0;
}

bool cgroup_is_empty(struct cgroup *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (!part_is_empty(&c->part[i]))
			return false;
	return true;
}

/* A path that another container has taken: only what was not there before is removed again. */
static void take_back(struct cgroup *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (!c->part[i].made)
			drop_parent(&c->part[i]);
	cgroup_remove(c, deadline_in_ms(100), NULL);
	cgroup_free(c);
}

static bool has_others(const struct part *p, pid_t holder)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char *save = NULL;

	if (holder == 0)
		return !part_is_empty(p);
	list_procs(p->dir, 0, &b);
	for (char *line = b.len ? strtok_r(b.data, "\n", &save) : NULL; line;
		line = strtok_r(NULL, "\n", &save))
		if (strtol(line, NULL, 10) != holder)
			return true;
	return false;
}

/* What we have just made has nobody in it. */
static bool is_taken(struct cgroup *c, pid_t holder)
{
	bool old = false;

	for (size_t i = 0; i < c->n; i++) {
		if (!c->part[i].made && has_others(&c->part[i], holder))
			return true;
		old |= !c->part[i].made;
	}
	return old && is_frozen(c);
}

static bool is_below(const char *path, const char *parent)
{
	size_t n = strlen(parent);

	return n && str_starts(path, parent) && (path[n] == '/' || path[n] == '\0');
}

static int make(
	const char *path, const char *parent, pid_t holder, struct cgroup **out, struct kerr *e)
{
	const struct hierarchies *h = hierarchies(e);
	struct cgroup *c;
	bool ours = parent && is_below(path, parent) && components(parent);
	unsigned keep = ours ? components(parent) - 1 : components(path) - 1;

	if (h == NULL)
		return -1;
	if (!valid_path(path))
		return kerr_fail(e, KERR_CGROUP, 0, "'%.200s' is no cgroup path", path);
	c = mem_zalloc(sizeof *c);
	c->path = mem_strdup(path);
	for (size_t i = 0; i < h->n; i++) {
		struct part *p = &c->part[c->n];
		int rc = -1;

		*p = (struct part) { .parent = -1,
			.dir = -1,
			.controllers = h->v[i].controllers,
			.v2 = h->v[i].mount.v2,
			.root = mem_strdup(h->v[i].mount.path) };
		/* Another container's end may remove a directory between our two steps. */
		for (int tries = 0; tries < MAKE_TRIES && rc; tries++) {
			drop_parent(p);
			rc = make_part(p, &h->v[i], path, keep, e);
		}
		/* Below our own parent it may be what a crash has left; else it is another's. */
		if (!p->made && !ours && !holder)
			p->keep = components(path);
		c->n++;
		if (rc) {
			take_back(c);
			return -1;
		}
	}
	if (c->n == 0) {
		cgroup_free(c);
		return kerr_fail(
			e, KERR_CGROUP, 0, "no cgroup hierarchy is mounted at /sys/fs/cgroup");
	}
	if (is_taken(c, holder)) {
		kerr_fail(
			e, KERR_CGROUP_BUSY, 0, "cgroup %s has processes in it or is frozen", path);
		take_back(c);
		return -1;
	}
	*out = c;
	return 0;
}

int cgroup_make(const char *path, const char *parent, struct cgroup **out, struct kerr *e)
{
	return make(path, parent, 0, out, e);
}

int cgroup_adopt(const char *path, pid_t holder, struct cgroup **out, struct kerr *e)
{
	return make(path, NULL, holder, out, e);
}

/* ---- the parent of many
 * ---------------------------------------------------------------------------------- */

static int hold_in(const struct hierarchy *h, const char *path, struct kerr *e)
{
	struct part p = { .parent = -1, .dir = -1 };
	int rc = make_part(&p, h, path, components(path), e);

	/* The kernel fills the cpusets below. */
	if (rc == 0 && is_cpuset(h))
		path_write(p.dir, "cgroup.clone_children", "1", 1, NULL);
	fd_closep(&p.dir);
	return rc;
}

int cgroup_hold(const char *path, struct kerr *e)
{
	const struct hierarchies *h = hierarchies(e);
	int rc = h ? 0 : -1;

	if (h && !valid_path(path))
		return kerr_fail(e, KERR_CGROUP, 0, "'%.200s' is no cgroup path", path);
	for (size_t i = 0; rc == 0 && i < h->n; i++)
		rc = hold_in(&h->v[i], path, e);
	return rc;
}

void cgroup_let_go(const char *path)
{
	const struct hierarchies *h = hierarchies(NULL);

	for (size_t i = 0; h && i < h->n; i++) {
		CLEANUP_FREE char *way = mem_strdup(path + 1);

		for (char *slash = way;
			slash && path_own_unlink(h->v[i].fd, way, true, NULL) == 0;) {
			slash = strrchr(way, '/');
			if (slash)
				*slash = '\0';
		}
	}
}

void cgroup_free(struct cgroup *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++) {
		drop_parent(&c->part[i]);
		fd_closep(&c->part[i].dir);
		free(c->part[i].root);
	}
	free(c->path);
	free(c);
}

void cgroup_close_dirs(const struct cgroup *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (!c->part[i].lent)
			close(c->part[i].parent);
		close(c->part[i].dir);
	}
}

const char *cgroup_path(const struct cgroup *c)
{
	return c->path;
}

/* ---- saved form: PATH, then KEEP CONTROLLERS V2 MOUNT a line
 * ------------------------------------------------ */

void cgroup_save(const struct cgroup *c, struct buf *out)
{
	buf_addf(out, "%s\n", c->path);
	for (size_t i = 0; i < c->n; i++)
		buf_addf(out, "%u %x %d %s\n", c->part[i].keep, c->part[i].controllers,
			c->part[i].v2, c->part[i].root);
}

static void open_part(struct cgroup *c, const char *line)
{
	struct part *p = &c->part[c->n];
	unsigned keep, controllers;
	int v2, at = 0;
	CLEANUP_FD int root = -1;

	if (c->n == MOST_HIERARCHIES ||
		sscanf(line, "%u %x %d %n", &keep, &controllers, &v2, &at) < 3 || at == 0)
		return;
	root = path_host(AT_FDCWD, line + at, O_RDONLY | O_DIRECTORY, NULL);
	if (root < 0)
		return;
	p->dir = path_own(root, c->path + 1, O_RDONLY | O_DIRECTORY, 0, NULL);
	if (p->dir < 0)
		return;
	p->parent = fd_take(&root);
	p->root = mem_strdup(line + at);
	p->keep = keep;
	p->controllers = controllers;
	p->v2 = v2 != 0;
	c->n++;
}

int cgroup_open(const char *saved, struct cgroup **out, struct kerr *e)
{
	CLEANUP_FREE char *copy = mem_strdup(saved);
	struct cgroup *c;
	char *save = NULL, *path = strtok_r(copy, "\n", &save);

	if (path == NULL || !valid_path(path))
		return kerr_fail(e, KERR_CGROUP, 0, "the record of a cgroup is unreadable");
	c = mem_zalloc(sizeof *c);
	c->path = mem_strdup(path);
	for (char *line = strtok_r(NULL, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		open_part(c, line);
	*out = c;
	return 0;
}

/* ---- files
 * ---------------------------------------------------------------------------------------------------
 */

static struct part *part_by_name(struct cgroup *c, const char *controller, struct kerr *e)
{
	struct part *p = str_eq(controller, "unified")
				 ? unified_part(c)
				 : part_of(c, 1u << cgroup_controller_by_name(controller));

	if (p == NULL)
		kerr_fail(e, KERR_CGROUP_NO_CONTROLLER, 0, "no %s controller", controller);
	return p;
}

int cgroup_write(struct cgroup *c, const char *controller, const char *file, const char *value,
	struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;
	struct part *p = part_by_name(c, controller, e);

	if (p == NULL)
		return -1;
	if (path_write(p->dir, file, value, strlen(value), &why) == 0)
		return 0;
	if (why.sys == ENOENT)
		return kerr_fail(e, KERR_CGROUP_NO_CONTROLLER, 0, "this kernel has no %s", file);
	return kerr_fail(e, why.sys == EBUSY ? KERR_CGROUP_BUSY : KERR_CGROUP, why.sys,
		"write '%.100s' to %s", value, file);
}

int cgroup_read(
	struct cgroup *c, const char *controller, const char *file, struct buf *out, struct kerr *e)
{
	struct part *p = part_by_name(c, controller, e);

	return p == NULL ? -1 : path_read(p->dir, file, FILE_BYTES, out, e);
}

int cgroup_join(struct cgroup *c, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;

	for (size_t i = 0; i < c->n; i++) {
		struct part *p = &c->part[i];

		/* v2, alone or beside v1, takes a process at its birth (cgroup_v2_fd()): moving it
		 * later waits 5-15 ms for an RCU grace period. v1 does not, when a process moves
		 * itself. */
		if (!p->v2 && path_write(p->dir, "tasks", "0", 1, &why))
			return kerr_fail(
				e, KERR_CGROUP, why.sys, "join %s in hierarchy %zu", c->path, i);
	}
	return 0;
}

int cgroup_v2_fd(const struct cgroup *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->part[i].v2)
			return c->part[i].dir;
	return -1;
}

bool cgroup_on_v2(struct cgroup *c, const char *controller)
{
	const struct part *p = part_by_name(c, controller, NULL);

	return p && p->v2;
}

int cgroup_dir(const struct cgroup *c, size_t i)
{
	return i < c->n ? c->part[i].dir : -1;
}

/* The kernel names the files that may be given away; what is not there is no error. */
int cgroup_chown(struct cgroup *c, uid_t uid, struct kerr *e)
{
	CLEANUP_FD int list = path_host(AT_FDCWD, "/sys/kernel/cgroup/delegate", O_RDONLY, NULL);
	CLEANUP_BUF struct buf names = BUF_INIT;
	struct part *u = unified_part(c);
	char *save = NULL;

	if (u == NULL)
		return 0;
	if (list < 0 || fd_read_all(list, 4096, &names, NULL)) {
		buf_reset(&names);
		buf_adds(&names, "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
	}
	if (fchown(u->dir, uid, (gid_t)-1) < 0)
		return kerr_fail(e, KERR_CGROUP, errno, "owner of cgroup %s", c->path);
	for (char *f = strtok_r(names.data, "\n", &save); f; f = strtok_r(NULL, "\n", &save)) {
		CLEANUP_FD int fd = path_own(u->dir, f, O_WRONLY | O_NOFOLLOW, 0, NULL);

		if (fd >= 0 && fchown(fd, uid, (gid_t)-1) < 0)
			return kerr_fail(e, KERR_CGROUP, errno, "owner of %s", f);
	}
	return 0;
}

/* ---- freezing, killing, removing
 * ------------------------------------------------------------------------------- */

static bool reached(struct part *p, const char *file, const char *wanted)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	return path_read(p->dir, file, 4096, &b, NULL) == 0 && strstr(buf_str(&b), wanted);
}

int cgroup_freeze(struct cgroup *c, bool frozen, deadline d, struct kerr *e)
{
	struct part *p = unified_part(c);
	const char *file = "cgroup.freeze", *value = frozen ? "1" : "0", *state = "cgroup.events",
		   *wanted = frozen ? "frozen 1" : "frozen 0";

	if (p == NULL) {
		p = part_of(c, 1u << CG_FREEZER);
		file = state = "freezer.state";
		value = wanted = frozen ? "FROZEN" : "THAWED";
	}
	if (p == NULL)
		return kerr_fail(e, KERR_CGROUP_NO_CONTROLLER, 0, "no freezer");
	if (path_write(p->dir, file, value, strlen(value), e))
		return -1;
	for (unsigned us = 50; !reached(p, state, wanted); us = us < 5000 ? us * 2 : us) {
		if (deadline_passed(d)) {
			if (frozen) /* never leave it half frozen */
				path_write(
					p->dir, file, p->v2 ? "0" : "THAWED", p->v2 ? 1 : 6, NULL);
			return kerr_fail(e, KERR_TIMEOUT, 0, "waited for cgroup %s to %s", c->path,
				frozen ? "freeze" : "thaw");
		}
		rest(us);
	}
	return 0;
}

/* As numbers, each once: a process in two sub-cgroups is none. */
static void pids_of(const struct part *p, pid_t **pids, size_t *n)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	VEC(pid_t) v = { NULL, 0, 0 };
	char *save = NULL;

	list_procs(p->dir, 0, &b);
	for (char *line = b.data ? strtok_r(b.data, "\n", &save) : NULL; line;
		line = strtok_r(NULL, "\n", &save))
		vec_push(&v) = atoi(line);
	*pids = v.v;
	*n = v.n;
}

int cgroup_procs(struct cgroup *c, pid_t **pids, size_t *n, struct kerr *e)
{
	struct part *p = unified_part(c);

	(void)e;
	if (p == NULL)
		p = c->n ? &c->part[0] : NULL;
	*pids = NULL;
	*n = 0;
	if (p)
		pids_of(p, pids, n);
	return 0;
}

static void kill_part(const struct part *p)
{
	CLEANUP_FREE pid_t *pids = NULL;
	size_t n = 0;

	pids_of(p, &pids, &n);
	for (size_t i = 0; i < n; i++) {
		CLEANUP_FD int fd = pids[i] > 0 ? pidfd_open_pid(pids[i], NULL) : -1;

		if (fd >= 0)
			pidfd_signal(fd, SIGKILL, NULL);
	}
}

/* Without cgroup.kill: frozen, nobody forks while we count. A process that somebody put into one
 * hierarchy only is met there. */
static void kill_each(struct cgroup *c)
{
	cgroup_freeze(c, true, deadline_in_ms(200), NULL);
	for (size_t i = 0; i < c->n; i++)
		kill_part(&c->part[i]);
	cgroup_freeze(c, false, deadline_in_ms(200), NULL);
}

int cgroup_kill(struct cgroup *c, deadline d, struct kerr *e)
{
	struct part *u = unified_part(c);
	bool by_file = u && path_write(u->dir, "cgroup.kill", "1", 1, NULL) == 0;

	for (unsigned us = 50; !cgroup_is_empty(c); us = us < 5000 ? us * 2 : us) {
		if (!by_file)
			kill_each(c);
		else if (us > 1000) {
			path_write(u->dir, "cgroup.kill", "1", 1, NULL);
			for (size_t i = 0; i < c->n; i++)
				if (!c->part[i].v2) /* who was put there only */
					kill_part(&c->part[i]);
		}
		if (deadline_passed(d))
			return kerr_fail(e, KERR_TIMEOUT, 0,
				"waited for the processes of cgroup %s to end", c->path);
		rest(us);
	}
	return 0;
}

/* Sub-cgroups that the container made come first. */
static int remove_children(int dir, unsigned depth, struct kerr *e)
{
	struct path_names names;
	int rc = 0;

	if (!has_children(dir))
		return 0;
	if (depth == MOST_DEPTH || path_names(dir, 1 << 16, &names, e))
		return -1;
	for (size_t i = 0; i < names.n && rc == 0; i++) {
		CLEANUP_FD int child = path_own(dir, names.v[i], O_RDONLY | O_DIRECTORY, 0, NULL);

		if (child < 0)
			continue;
		remove_children(child, depth + 1, NULL);
		rc = path_own_unlink(dir, names.v[i], true, e);
	}
	path_names_free(&names);
	return rc;
}

static int remove_part(struct part *p, const char *path, deadline d, struct kerr *e)
{
	CLEANUP_FREE char *copy = mem_strdup(path + 1);
	CLEANUP_ERR struct kerr why = KERR_INIT;
	unsigned depth = components(path);
	bool leaf = true;

	fd_closep(&p->dir);
	for (; depth > p->keep; depth--) {
		char *slash = strrchr(copy, '/');

		for (unsigned us = 50; path_own_unlink(p->parent, copy, true, &why) && leaf;
			us = us < 5000 ? us * 2 : us) {
			CLEANUP_FD int dir =
				path_own(p->parent, copy, O_RDONLY | O_DIRECTORY, 0, NULL);

			if (why.sys != EBUSY && why.sys != ENOTEMPTY)
				return kerr_fail(e, KERR_CGROUP, why.sys, "remove cgroup %s", copy);
			if (dir >= 0)
				remove_children(dir, 0, NULL);
			if (deadline_passed(d))
				return kerr_fail(
					e, KERR_CGROUP_BUSY, why.sys, "remove cgroup %s", copy);
			rest(us);
		}
		if (!leaf && kerr_is_set(&why))
			break; /* somebody else's is in it */
		leaf = false;
		kerr_clear(&why);
		if (slash == NULL)
			break;
		*slash = '\0';
	}
	return 0;
}

int cgroup_remove(struct cgroup *c, deadline d, struct kerr *e)
{
	int rc = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->part[i].parent >= 0 && remove_part(&c->part[i], c->path, d, rc ? NULL : e))
			rc = -1;
	return rc;
}

/* ---- figures
 * ---------------------------------------------------------------------------------------------------
 */

static uint64_t number_in(struct part *p, const char *file, const char *key, uint64_t otherwise)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const char *s;

	if (p == NULL || path_read(p->dir, file, FILE_BYTES, &b, NULL))
		return otherwise;
	s = buf_str(&b);
	if (key) {
		size_t n = strlen(key);

		while (s && !(strncmp(s, key, n) == 0 && s[n] == ' ')) {
			s = strchr(s, '\n');
			s = s ? s + 1 : NULL;
		}
		if (s == NULL)
			return otherwise;
		s += n + 1;
	}
	return str_starts(s, "max") ? UINT64_MAX : strtoull(s, NULL, 10);
}

/* v1: "8:0 Read 4096" a line; v2: "8:0 rbytes=4096 wbytes=0 ..." a line: summed over the devices.
 */
static uint64_t bytes_moved(struct part *p, const char *file, const char *word)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	uint64_t sum = 0;

	if (p == NULL || path_read(p->dir, file, FILE_BYTES, &b, NULL))
		return 0;
	for (const char *s = strstr(buf_str(&b), word); s; s = strstr(s, word)) {
		s += strlen(word);
		sum += strtoull(s, NULL, 10);
	}
	return sum;
}

static void stats_v1(struct cgroup *c, struct cgroup_stats *s)
{
	struct part *memory = part_of(c, 1u << CG_MEMORY), *acct = part_of(c, 1u << CG_CPUACCT),
		    *cpu = part_of(c, 1u << CG_CPU), *pids = part_of(c, 1u << CG_PIDS),
		    *blkio = part_of(c, 1u << CG_BLKIO);

	s->memory = number_in(memory, "memory.usage_in_bytes", NULL, 0);
	s->memory_peak = number_in(memory, "memory.max_usage_in_bytes", NULL, 0);
	s->memory_limit = number_in(memory, "memory.limit_in_bytes", NULL, UINT64_MAX);
	if (s->memory_limit > 1ull << 62)
		s->memory_limit = UINT64_MAX;
	s->oom_kills = number_in(memory, "memory.oom_control", "oom_kill", 0);
	s->cpu_ns = number_in(acct, "cpuacct.usage", NULL, 0);
	s->cpu_user_ns = number_in(acct, "cpuacct.usage_user", NULL, 0);
	s->cpu_system_ns = number_in(acct, "cpuacct.usage_sys", NULL, 0);
	s->nr_throttled = number_in(cpu, "cpu.stat", "nr_throttled", 0);
	s->throttled_ns = number_in(cpu, "cpu.stat", "throttled_time", 0);
	s->pids = number_in(pids, "pids.current", NULL, 0);
	s->pids_limit = number_in(pids, "pids.max", NULL, UINT64_MAX);
	s->read_bytes = bytes_moved(blkio, "blkio.throttle.io_service_bytes", " Read ");
	s->written_bytes = bytes_moved(blkio, "blkio.throttle.io_service_bytes", " Write ");
}

static void stats_v2(struct cgroup *c, struct cgroup_stats *s)
{
	struct part *u = unified_part(c);

	s->memory = number_in(u, "memory.current", NULL, 0);
	s->memory_peak = number_in(u, "memory.peak", NULL, 0);
	s->memory_limit = number_in(u, "memory.max", NULL, UINT64_MAX);
	s->oom_kills = number_in(u, "memory.events", "oom_kill", 0);
	s->cpu_ns = number_in(u, "cpu.stat", "usage_usec", 0) * 1000;
	s->cpu_user_ns = number_in(u, "cpu.stat", "user_usec", 0) * 1000;
	s->cpu_system_ns = number_in(u, "cpu.stat", "system_usec", 0) * 1000;
	s->nr_throttled = number_in(u, "cpu.stat", "nr_throttled", 0);
	s->throttled_ns = number_in(u, "cpu.stat", "throttled_usec", 0) * 1000;
	s->pids = number_in(u, "pids.current", NULL, 0);
	s->pids_limit = number_in(u, "pids.max", NULL, UINT64_MAX);
	s->read_bytes = bytes_moved(u, "io.stat", " rbytes=");
	s->written_bytes = bytes_moved(u, "io.stat", " wbytes=");
}

void cgroup_stats(struct cgroup *c, struct cgroup_stats *out)
{
	memset(out, 0, sizeof *out);
	if (c->n == 1 && c->part[0].v2)
		stats_v2(c, out);
	else
		stats_v1(c, out);
}

/* ---- conversions
 * ------------------------------------------------------------------------------------------------
 */

uint64_t cgroup_weight_of_shares(uint64_t shares)
{
	double l;

	if (shares == 0)
		return 0;
	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	l = log2((double)shares);
	return (uint64_t)ceil(pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0));
}

uint64_t cgroup_weight_of_blkio(uint64_t weight)
{
	if (weight == 0)
		return 0;
	if (weight <= 10)
		return 1;
	return weight >= 1000 ? 10000 : 1 + (weight - 10) * 9999 / 990;
}
