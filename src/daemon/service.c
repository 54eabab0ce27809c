/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager and journald expect, spoken directly; and where our log goes. */
#include "daemon.h"
#include <errno.h>
#include <poll.h>
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

/* ---- log
 * ------------------------------------------------------------------------------------------------
 */

static const char *const levels[] = { "error", "warning", "info", "debug" };
static const int severity[] = { 3, 4, 6, 7 };

/* Where lines go. A reader that does not read costs lines, which are counted, never the loop. */
static struct {
	bool json;
	int journald; /* a connected socket, or -1 */
	uint64_t lost;
} the = { .journald = -1 };

/* false: it would wait. What is no pipe and no socket is always ready. */
static bool put_line(const struct buf *b)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT)
		return write(STDERR_FILENO, b->data, b->len) >= 0;
	return false;
}

/* systemd.journal-fields(7), in the native protocol: a field a line. Lines have no newline. */
static bool put_journald(enum log_level level, const char *line)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	buf_addf(&b, "PRIORITY=%d\nSYSLOG_IDENTIFIER=kapseld\nMESSAGE=%s\n", severity[level], line);
	return send(the.journald, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void as_json(struct buf *b, enum log_level level, const char *line)
{
	struct json_out o = JSON_OUT(b);
	char text[TIME_TEXT];

	json_begin_object(&o);
	json_put_string(&o, "time", time_text(clock_wall_ns(), text));
	json_put_string(&o, "level", levels[level]);
	json_put_string(&o, "msg", line);
	json_put_i64(&o, "pid", getpid());
	json_end_object(&o);
}

static bool put(enum log_level level, const char *line)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (the.json)
		as_json(&b, level, line);
	else if (the.journald >= 0)
		buf_adds(&b, line);
	else
		buf_addf(&b, "kapseld: %s: %s", levels[level], line);
	if (the.journald >= 0 && put_journald(level, b.data))
		return true;
	buf_addc(&b, '\n');
	return put_line(&b);
}

static void log_put(void *arg, enum log_level level, const char *line)
{
	char gap[64];

	(void)arg;
	if (the.lost) {
		snprintf(gap, sizeof gap, "%llu lines of log were lost: nobody read them",
			(unsigned long long)the.lost);
		if (put(LOG_WARNING, gap))
			the.lost = 0;
	}
	if (!put(level, line))
		the.lost++;
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

static int journald_socket(void)
{
	static const struct sockaddr_un a = { .sun_family = AF_UNIX,
		.sun_path = "/run/systemd/journal/socket" };
	CLEANUP_FD int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0 || connect(s, (const struct sockaddr *)&a, sizeof a) < 0)
		return -1;
	return fd_take(&s);
}

int service_log(const char *format, const char *level)
{
	enum log_level most = LOG_INFO;

	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (str_eq(levels[i], level))
			most = (enum log_level)i;
	the.json = str_eq(format, "json");
	if (the.journald < 0 && stderr_is_journald())
		the.journald = journald_socket();
	log_to(log_put, NULL, most);
	return 0;
}
