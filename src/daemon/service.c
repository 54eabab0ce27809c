/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager and journald expect, spoken directly; and where our log goes. */
#include "daemon.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

/* sd_listen_fds(3): exactly one stream socket is taken. */
int service_listener(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t p, n;
	int listening = 0;
	socklen_t len = sizeof listening;

	if (pid == NULL || fds == NULL || str_to_u64(pid, &p) || p != (uint64_t)getpid() ||
		str_to_u64(fds, &n) || n < 1)
		return -1;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (int fd = FIRST_FD; fd < FIRST_FD + (int)n; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (getsockopt(FIRST_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening) {
		log_warning("LISTEN_FDS: fd %d is no listening socket", FIRST_FD);
		return -1;
	}
	return FIRST_FD;
}

/* sd_notify(3) */
void service_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	CLEANUP_FD int s = -1;
	size_t n;

	if (path == NULL || (*path != '/' && *path != '@') || strlen(path) >= sizeof a.sun_path)
		return;
	n = strlen(path);
	memcpy(a.sun_path, path, n);
	if (*path == '@')
		a.sun_path[0] = '\0';
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return;
	if (sendto(s, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_debug("NOTIFY_SOCKET: %s", strerror(errno));
}

/* ---- log ------------------------------------------------------------------------------------------------ */

static const char *const levels[] = { "error", "warning", "info", "debug" };

static void log_json(void *arg, enum log_level level, const char *line)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	char text[TIME_TEXT];

	(void)arg;
	json_begin_object(&o);
	json_put_string(&o, "time", time_text(clock_wall_ns(), text));
	json_put_string(&o, "level", levels[level]);
	json_put_string(&o, "msg", line);
	json_put_i64(&o, "pid", getpid());
	json_end_object(&o);
	buf_addc(&b, '\n');
	if (write(STDERR_FILENO, b.data, b.len) < 0)
		return;
}

/* journald(8): what it is given on stderr has a level in front, as <N>. */
static void log_journald(void *arg, enum log_level level, const char *line)
{
	static const int severity[] = { 3, 4, 6, 7 };
	CLEANUP_BUF struct buf b = BUF_INIT;

	(void)arg;
	buf_addf(&b, "<%d>%s\n", severity[level], line);
	if (write(STDERR_FILENO, b.data, b.len) < 0)
		return;
}

/* JOURNAL_STREAM names the device and inode that our stderr must have. */
static bool stderr_is_journald(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return s && sscanf(s, "%llu:%llu", &dev, &ino) == 2 &&
	       fd_stat(STDERR_FILENO, &st, NULL) == 0 && st.st_dev == dev && st.st_ino == ino;
}

int service_log(const char *format, const char *level)
{
	enum log_level most = LOG_INFO;

	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (str_eq(levels[i], level))
			most = (enum log_level)i;
	if (str_eq(format, "json"))
		log_to(log_json, NULL, most);
	else if (stderr_is_journald())
		log_to(log_journald, NULL, most);
	else
		log_to(NULL, (void *)(uintptr_t)"kapseld", most);
	return 0;
}
