/* SPDX-License-Identifier: Apache-2.0 */
/* The maps of a new user namespace: ours to write, or by the set-user-id helpers of Debian's
 * uidmap. */
#include "private.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HELPER_MS = 10000, HELPER_SAYS = 512 };

bool is_plain_user(const struct container *c)
{
	return !c->p->facts->root && !c->p->facts->namespace_root;
}

bool writes_own_maps(const struct container *c)
{
	return c->o->exec_target < 0 && is_plain_user(c) && oci_new_ns(c->p->spec, OCI_NS_USER);
}

/* What anybody may write: one's own id, alone. */
static bool is_own(const struct oci_idmap *v, size_t n, uint32_t own)
{
	return n == 1 && v[0].host == own && v[0].size == 1;
}

static int write_map(
	struct container *c, const char *file, const struct oci_idmap *v, size_t n, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	char name[48];

	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%llu %llu %llu\n", (unsigned long long)v[i].container,
			(unsigned long long)v[i].host, (unsigned long long)v[i].size);
	snprintf(name, sizeof name, "%d/%s", (int)c->pid, file);
	if (proc_write(name, buf_str(&b), true, e)) {
		if (e && e->code == KERR_PATH_WRITE)
			e->code = KERR_IDMAP;
		return -1;
	}
	return 0;
}

static int helper_failed(const char *path, int pipe, const siginfo_t *info, struct kerr *e)
{
	char said[HELPER_SAYS];
	ssize_t n = read(pipe, said, sizeof said - 1);

	said[n > 0 ? n : 0] = '\0';
	said[strcspn(said, "\n")] = '\0';
	return kerr_fail(e, KERR_IDMAP, 0, "%s ended with %d%s%s", path, info->si_status,
		*said ? ": " : "", said);
}

/* With a clean environment, from where only root could have put it. */
static int run_helper(
	struct container *c, const char *path, const struct oci_idmap *v, size_t n, struct kerr *e)
{
	CLEANUP_FREE char **argv = mem_array(3 * n + 3, sizeof *argv);
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_FD int out = -1;
	CLEANUP_FD int in = -1;
	CLEANUP_FD int pidfd = -1;
	siginfo_t info = { 0 };
	size_t k = 0;
	int fds[3] = { -1, -1, -1 }, p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "pipe");
	out = p[0];
	in = fds[2] = p[1];
	argv[k++] = arena_strdup(a, path);
	argv[k++] = arena_printf(a, "%d", (int)c->pid);
	for (size_t i = 0; i < n; i++) {
		argv[k++] = arena_printf(a, "%llu", (unsigned long long)v[i].container);
		argv[k++] = arena_printf(a, "%llu", (unsigned long long)v[i].host);
		argv[k++] = arena_printf(a, "%llu", (unsigned long long)v[i].size);
	}
	argv[k] = NULL;
	pidfd = spawn_run(&(struct spawn) { .path = path,
				  .exe_fd = -1,
				  .argv = argv,
				  .envp = (char *const[]) { NULL },
				  .fds = fds,
				  .nfds = ARRAY_LEN(fds),
				  .cwd_fd = -1 },
		NULL, e);
	if (pidfd < 0)
		return -1;
	/* It is not ours to kill: it runs as root. */
	if (!poll_one(pidfd, POLLIN, deadline_in_ms(HELPER_MS)))
		return kerr_fail(e, KERR_TIMEOUT, 0, "waited for %s", path);
	if (pidfd_wait(pidfd, &info, false, e))
		return -1;
	return info.si_code == CLD_EXITED && info.si_status == 0
		       ? 0
		       : helper_failed(path, out, &info, e);
}

static int deny_setgroups(struct container *c, struct kerr *e)
{
	char name[48];

	snprintf(name, sizeof name, "%d/setgroups", (int)c->pid);
	return proc_write(name, "deny", false, e);
}

int do_idmap(struct container *c, const struct op *op, size_t i, struct kerr *e)
{
	const struct oci_idmap *uids = op->u.idmap.uids, *gids = op->u.idmap.gids;
	size_t nuids = op->u.idmap.nuids, ngids = op->u.idmap.ngids;
	const struct facts *f = c->p->facts;
	int rc;

	(void)i;
	rc = is_plain_user(c) && !is_own(uids, nuids, f->uid)
		     ? run_helper(c, NEWUIDMAP, uids, nuids, e)
		     : write_map(c, "uid_map", uids, nuids, e);
	if (rc)
		return -1;
	if (!is_plain_user(c))
		return write_map(c, "gid_map", gids, ngids, e);
	if (!is_own(gids, ngids, f->gid))
		return run_helper(c, NEWGIDMAP, gids, ngids, e);
	return deny_setgroups(c, e) ? -1 : write_map(c, "gid_map", gids, ngids, e);
}
