/* SPDX-License-Identifier: Apache-2.0 */
/* NOTIFY_SOCKET: a container cannot see its caller's, and gets one of ours; what it says of itself
 * being ready goes on, with its number on the host. */
#include "command.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define INSIDE "/run/notify"
enum { BARRIER_MS = 5000 };

static const char *wanted(void)
{
	const char *to = getenv("NOTIFY_SOCKET");

	return to && (*to == '/' || *to == '@') ? to : NULL;
}

/* One more mount, one more variable; the directory comes with the container's own. */
void notify_plan(struct job *j, const struct options *o, const char *id)
{
	static const char *options[] = { "bind", "nosuid", "nodev", "noexec" };
	char *env[] = { arena_strdup(j->a, "NOTIFY_SOCKET=" INSIDE "/notify.sock") };
	struct spec_override over = { .env = env, .nenv = 1 };
	struct oci_mount *m;
	size_t n = j->spec.mounts.n;

	if (wanted() == NULL)
		return;
	m = arena_array(j->a, n + 1, sizeof *m);
	if (n)
		memcpy(m, j->spec.mounts.v, n * sizeof *m);
	m[n].destination = INSIDE;
	m[n].type = "bind";
	m[n].source = notify_directory(j, o, id);
	m[n].options.v = options;
	m[n].options.n = ARRAY_LEN(options);
	j->spec.mounts.v = m;
	j->spec.mounts.n = n + 1;
	spec_override(j->a, &j->spec, &over, NULL);
	j->notifies = true;
}

int notify_make(const struct job *j, struct kerr *e)
{
	CLEANUP_FD int dir = -1;

	if (!j->notifies)
		return 0;
	dir = path_own_mkdir(j->run_dir, "notify", 0755, e);
	return dir < 0 ? -1 : 0;
}

/* Before the program runs; -1: nobody wants to know. */
int notify_listen(int run_dir)
{
	CLEANUP_FD int dir =
		wanted() ? path_own(run_dir, "notify", O_RDONLY | O_DIRECTORY, 0, NULL) : -1;

	return dir < 0 ? -1 : path_listen(dir, "notify.sock", SOCK_DGRAM, 0777, NULL);
}

static void send_on(const char *text, int fd)
{
	const char *to = wanted();
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = to ? strlen(to) : 0;
	CLEANUP_FD int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0 || n == 0 || n >= sizeof a.sun_path)
		return;
	memcpy(a.sun_path, to, n);
	if (*to == '@')
		a.sun_path[0] = '\0';
	if (connect(s, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0 ||
		socket_send(s, text, strlen(text), &fd, fd >= 0 ? 1 : 0, deadline_in_ms(1000),
			NULL) < 0)
		log_warning("NOTIFY_SOCKET: nobody takes what the container says");
}

/* We end soon: first the other side has to have seen who said it. */
static void barrier(void)
{
	int fds[2];
	char nothing;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	send_on("BARRIER=1", fds[1]);
	close(fds[1]);
	if (poll_one(fds[0], 1 /* POLLIN */, deadline_in_ms(BARRIER_MS)) &&
		read(fds[0], &nothing, 1) != 0)
		log_warning("NOTIFY_SOCKET: the barrier is not one");
	close(fds[0]);
}

static bool says_ready(const char *text)
{
	for (const char *s = text; s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
		if (str_starts(s, "READY=1"))
			return true;
	return false;
}

bool notify_turn(int *from, pid_t pid)
{
	char text[4096];
	int fds[SOCKET_MOST_FDS];
	size_t nfds = SOCKET_MOST_FDS;
	ssize_t n = socket_recv(*from, text, sizeof text - 1, fds, &nfds, deadline_in_ms(0), NULL);
	CLEANUP_FREE char *on = NULL;

	for (size_t i = 0; n >= 0 && i < nfds; i++)
		close(fds[i]); /* a barrier of the container's: all before it has been taken */
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (!says_ready(text))
		return false;
	on = mem_printf("READY=1\nMAINPID=%d\n", (int)pid);
	send_on(on, -1);
	barrier();
	fd_closep(from);
	return true;
}

void notify_wait(int *from, pid_t pid, int pidfd)
{
	while (*from >= 0 && !pidfd_gone(pidfd)) {
		if (poll_one(*from, 1 /* POLLIN */, deadline_in_ms(200)))
			notify_turn(from, pid);
	}
}
