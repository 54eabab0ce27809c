/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are: state directories, bundles, pid files. */
#include "command.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

enum { LOCK_MS = 20000 };

/* ---- places
 * -----------------------------------------------------------------------------------------------------
 */

/* Root of a user namespace is still who has made that. */
static bool is_hosts_root(void)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	unsigned inside, outside, size;

	return geteuid() == 0 && proc_read("self/uid_map", 4096, &b, NULL) == 0 &&
	       sscanf(buf_str(&b), "%u %u %u", &inside, &outside, &size) == 3 && outside == 0 &&
	       size == UINT32_MAX;
}

/* Cleaners of runtime directories leave alone what is sticky (XDG Base Directory Specification). */
static int users_root_dir(const char *path, bool make, struct kerr *e)
{
	CLEANUP_FD int fd = make ? path_own_mkdirs(AT_FDCWD, path, 0700, e)
				 : path_host(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, e);

	if (fd >= 0 && make && fchmod(fd, 01700) < 0)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "mode of %s", path);
	return fd_take(&fd);
}

int root_dir(const struct options *o, bool make, struct kerr *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR"); /* Podman's root has it empty */
	CLEANUP_FREE char *own = NULL;
	const char *path = o->root ? o->root : "/run/kapsel-oci";

	if (o->root == NULL && runtime && *runtime && !is_hosts_root()) {
		own = mem_printf("%s/kapsel-oci", runtime);
		return users_root_dir(own, make, e);
	}
	return make ? path_own_mkdirs(AT_FDCWD, path, 0700, e)
		    : path_host(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, e);
}

int check_id(const char *id, struct kerr *e)
{
	return oci_id_is_valid(id) ? 0
				   : kerr_fail(e, KERR_ID, 0, "'%.100s' is no container id", id);
}

/* The container's directory; "does not exist" is what callers look for. */
int container_dir(const struct options *o, const char *id, struct kerr *e)
{
	CLEANUP_FD int root = -1;
	int dir;

	if (check_id(id, e))
		return -1;
	root = root_dir(o, false, NULL);
	dir = root < 0 ? -1 : path_own(root, id, O_RDONLY | O_DIRECTORY, 0, NULL);
	return dir < 0 ? kerr_fail(e, KERR_NOT_FOUND, 0, "container does not exist: %s", id) : dir;
}

/* From start to end of a change: one at a time. What ends without letting go, the kernel lets go.
 * A directory that is no longer there when it is ours was another's to remove. */
int lock_dir(int dir, const char *id, struct kerr *e)
{
	deadline d = deadline_in_ms(LOCK_MS);
	struct stat st;

	for (unsigned us = 200; flock(dir, LOCK_EX | LOCK_NB) < 0; us = us < 10000 ? us * 2 : us) {
		if (errno != EWOULDBLOCK)
			return kerr_fail(e, KERR_PROCESS_SETUP, errno, "lock container %s", id);
		if (deadline_passed(d))
			return kerr_fail(e, KERR_WRONG_STATE, 0,
				"container %s is being changed by another call", id);
		nanosleep(&(struct timespec) { .tv_nsec = us * 1000L }, NULL);
	}
	if (fd_stat(dir, &st, e))
		return -1;
	return st.st_nlink ? 0
			   : kerr_fail(e, KERR_NOT_FOUND, 0, "container does not exist: %s", id);
}

/* Where children may have the fd for a moment longer than we. */
void unlock_dir(int dir)
{
	if (dir >= 0)
		flock(dir, LOCK_UN);
}

static int read_record(int dir, const char *id, struct record *r, struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;

	if (record_read(dir, r, &why) == 0)
		return 0;
	record_free(r);
	if (why.sys == ENOENT) /* not yet, or no longer */
		return kerr_fail(e, KERR_NOT_FOUND, 0, "container does not exist: %s", id);
	if (e) {
		*e = why;
		why = (struct kerr)KERR_INIT;
	}
	return -1;
}

int container_open(const struct options *o, const char *id, struct record *r, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, id, e);

	memset(r, 0, sizeof *r);
	return dir < 0 || read_record(dir, id, r, e) ? -1 : fd_take(&dir);
}

int container_lock(const struct options *o, const char *id, struct record *r, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, id, e);

	memset(r, 0, sizeof *r);
	return dir < 0 || lock_dir(dir, id, e) || read_record(dir, id, r, e) ? -1 : fd_take(&dir);
}

/* Without "./" at its ends; what is between, symbolic links may make mean something. */
static char *absolute(const char *path)
{
	CLEANUP_FREE char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
	CLEANUP_BUF struct buf b = BUF_INIT;

	while (path[0] == '.' && path[1] == '/')
		path += 1 + strspn(path + 1, "/");
	if (cwd)
		buf_addf(&b, "%s/", cwd);
	if (!str_eq(path, "."))
		buf_adds(&b, path);
	while (b.len > 1 && (str_ends(b.data, "/") || str_ends(b.data, "/.")))
		b.data[--b.len] = '\0';
	return buf_take(&b);
}

static int pid_file_dir(const char *path, const char **name, struct kerr *e)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *up =
		slash ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");

	*name = slash ? slash + 1 : path;
	return path_host(AT_FDCWD, up, O_RDONLY | O_DIRECTORY, e);
}

int write_pid_file(const char *path, pid_t pid, struct kerr *e)
{
	CLEANUP_FREE char *text = mem_printf("%d", (int)pid);
	const char *name;
	CLEANUP_FD int dir = pid_file_dir(path, &name, e);

	return dir < 0 ? -1 : path_replace(dir, name, text, strlen(text), 0644, false, e);
}

/* A failed call leaves none, nor an older one: that it is not there tells conmon that nothing ran.
 */
void remove_pid_file(const struct options *o)
{
	const char *name;
	CLEANUP_FD int dir = o->pid_file ? pid_file_dir(o->pid_file, &name, NULL) : -1;

	if (dir >= 0)
		path_own_unlink(dir, name, false, NULL);
}

void pass_listen_fds(struct job *j, struct options *o, struct oci_process *p)
{
	char *env[] = { arena_printf(j->a, "LISTEN_FDS=%llu", (unsigned long long)o->listen_fds),
		arena_strdup(j->a, "LISTEN_PID=1") };
	struct spec_override over = { .env = env, .nenv = ARRAY_LEN(env) };
	struct oci_spec s = { .process = *p };

	if (o->listen_fds && spec_override(j->a, &s, &over, NULL) == 0)
		*p = s.process;
}

int read_facts(const struct options *o, struct facts *f, struct kerr *e)
{
	CLEANUP_FD int fd = -1;
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (o->facts == NULL)
		return facts_read_all(f, e);
	fd = path_host(AT_FDCWD, o->facts, O_RDONLY, e);
	if (fd < 0 || fd_read_all(fd, 1 << 20, &b, e))
		return -1;
	return facts_parse(buf_str(&b), b.len, f, e);
}

int open_bundle(struct job *j, const char *path, struct kerr *e)
{
	CLEANUP_FREE char *whole = absolute(path);

	j->bundle = arena_strdup(j->a, whole);
	j->bundle_dir = path_host(AT_FDCWD, j->bundle, O_RDONLY | O_DIRECTORY, NULL);
	return j->bundle_dir < 0 ? kerr_fail(e, KERR_BUNDLE_MISSING, errno, "%s", j->bundle) : 0;
}

bool uses_systemd(const struct options *o)
{
	return o->systemd_cgroup || str_eq(o->cgroup_manager, "systemd");
}

void print(const struct buf *b)
{
	fwrite(buf_str(b), 1, b->len, stdout);
}

const char *notify_directory(struct job *j, const struct options *o, const char *id)
{
	CLEANUP_FD int root = root_dir(o, true, NULL);
	CLEANUP_BUF struct buf path = BUF_INIT;

	return root >= 0 && fd_path(root, &path, NULL) == 0
		       ? arena_printf(j->a, "%s/%s/notify", buf_str(&path), id)
		       : "/"; /* create will say what is the matter with it */
}
