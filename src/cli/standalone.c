/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kapseld for one call. It is born with one end of a socket pair as --lifeline: the call goes
 * through it, and when it ends (we are gone, in whatever way) it stops its containers and removes
 * its directory.
 */
#include "cli.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum { END_MS = 15000, LAST_WORDS = 4096 };

const char *beside(struct arena *a, const char *name, const char *const *otherwise)
{
	CLEANUP_FD int self = path_host(AT_FDCWD, "/proc/self/exe", O_PATH, NULL);
	CLEANUP_BUF struct buf b = BUF_INIT;
	const char *slash;

	if (self >= 0 && fd_path(self, &b, NULL) == 0 && (slash = strrchr(b.data, '/'))) {
		const char *path = arena_printf(a, "%.*s/%s", (int)(slash - b.data), b.data, name);
		CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_PATH, NULL);

		if (fd >= 0)
			return path;
	}
	for (; *otherwise; otherwise++) {
		CLEANUP_FD int fd = path_host(AT_FDCWD, *otherwise, O_PATH, NULL);

		if (fd >= 0)
			return *otherwise;
	}
	return NULL;
}

static char *make_dir(struct cli *k, struct kerr *e)
{
	const char *base = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
	uint64_t r = 0;
	char *path;
	CLEANUP_FD int fd = -1;

	if (base == NULL || *base == '\0')
		base = "/tmp";
	if (getrandom(&r, sizeof r, 0) != sizeof r) {
		kerr_fail(e, KERR_INTERNAL, errno, "getrandom");
		return NULL;
	}
	path = arena_printf(k->a, "%s/kapsel-%016llx", base, (unsigned long long)r);
	fd = path_own_mkdirs(AT_FDCWD, path, 0700, e);
	return fd < 0 ? NULL : path;
}

static void remove_dir(const char *path)
{
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *up = mem_strndup(path, (size_t)(slash - path));
	CLEANUP_FD int dir = path_host_dir(AT_FDCWD, up, NULL);

	if (dir >= 0 && path_own_remove_tree(dir, slash + 1, NULL))
		log_warning("%s is left behind", path);
}

enum { MOST_ENV = 6 };

/* What a user's configuration and cache are found by, and nothing else of the caller's. */
static void make_env(struct cli *k, char *env[MOST_ENV])
{
	static const char *const users[] = { "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME",
		"XDG_STATE_HOME" };
	size_t n = 0;

	env[n++] = arena_strdup(
		k->a, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	for (size_t i = 0; getauxval(AT_EUID) != 0 && i < ARRAY_LEN(users); i++)
		if (getenv(users[i]))
			env[n++] = arena_printf(k->a, "%s=%s", users[i], getenv(users[i]));
	env[n] = NULL;
}

static int spawn_daemon(
	struct cli *k, struct standalone *s, const char *program, int lifeline, struct kerr *e)
{
	const char *argv[] = { "kapseld", "--foreground", "--run-dir", s->dir, "--state-dir",
		arena_printf(k->a, "%s/state", s->dir), "--socket", k->host, "--lifeline", "3",
		NULL };
	char *env[MOST_ENV];
	const int fds[] = { -1, s->log, s->log, lifeline };
	const struct spawn sp = { .path = program,
		.exe_fd = -1,
		.argv = (char *const *)(uintptr_t)argv,
		.envp = env,
		.fds = fds,
		.nfds = ARRAY_LEN(fds),
		.cwd_fd = -1,
		.new_session = true };

	make_env(k, env);
	s->pidfd = spawn_run(&sp, NULL, e);
	return s->pidfd < 0 ? kerr_step(e, "start %s", program) : 0;
}

int standalone_start(struct cli *k, struct standalone *s, struct kerr *e)
{
	static const char *const otherwise[] = { PREFIX "/sbin/kapseld", "/usr/local/sbin/kapseld",
		"/usr/sbin/kapseld", NULL };
	const char *program = beside(k->a, "kapseld", otherwise);
	int pair[2];

	*s = (struct standalone) { .pidfd = -1, .log = -1 };
	if (program == NULL)
		return kerr_fail(e, KERR_DAEMON_MISSING, ENOENT,
			"kapseld is neither beside kapsel nor in %s/sbin", PREFIX);
	if ((s->dir = make_dir(k, e)) == NULL || socket_pair(SOCK_STREAM, pair, e))
		return kerr_step(e, "--standalone");
	k->host = arena_printf(k->a, "%s/kapseld.sock", s->dir);
	s->log = sys_memfd("kapseld", 0);
	if (spawn_daemon(k, s, program, pair[1], e)) {
		close(pair[0]);
		close(pair[1]);
		remove_dir(s->dir);
		return -1;
	}
	close(pair[1]);
	k->client = api_client_on(pair[0]);
	return 0;
}

/* What the daemon said before it ended for no reason of ours. */
static void last_words(struct standalone *s, struct kerr *e)
{
	char text[LAST_WORDS];
	ssize_t n = pread(s->log, text, sizeof text - 1, 0);

	if (n <= 0)
		return;
	text[n] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	kerr_fail(e, KERR_DAEMON_MISSING, 0, "kapseld did not live to answer; it said: %s", text);
}

void standalone_end(struct cli *k, struct standalone *s, struct kerr *e)
{
	siginfo_t info;

	if (e->code == KERR_DAEMON_MISSING)
		last_words(s, e);
	api_client_free(k->client);
	k->client = NULL;
	if (!poll_one(s->pidfd, POLLIN, deadline_in_ms(END_MS)))
		pidfd_signal(s->pidfd, SIGKILL, NULL);
	pidfd_wait(s->pidfd, &info, false, NULL);
	remove_dir(s->dir);
	fd_closep(&s->pidfd);
	fd_closep(&s->log);
}
