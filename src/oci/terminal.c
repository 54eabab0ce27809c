/* SPDX-License-Identifier: Apache-2.0 */
/* What the caller holds of a process: its terminal, through a socket or by hand; its pidfd. */
#include "command.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* ---- sockets
 * -------------------------------------------------------------------------------------------------
 */

enum { SEND_MS = 5000, NOTIFY_MS = 200 };

int connect_sockets(
	struct job *j, const struct options *o, bool terminal, bool detached, struct kerr *e)
{
	if (terminal && detached && o->console_socket == NULL)
		return kerr_fail(
			e, KERR_TERMINAL, 0, "a terminal without --console-socket is nobody's");
	if (o->console_socket && !terminal)
		return kerr_fail(
			e, KERR_TERMINAL, 0, "--console-socket needs a terminal: process.terminal");
	if (o->console_socket && !detached)
		return kerr_fail(e, KERR_USAGE, 0, "--console-socket needs --detach");
	if (o->console_socket) {
		j->console_socket = path_connect_host(o->console_socket, SOCK_STREAM, e);
		if (j->console_socket < 0)
			return kerr_step(e, "console socket");
	}
	if (o->pidfd_socket) {
		j->pidfd_socket = path_connect_host(o->pidfd_socket, SOCK_STREAM, e);
		if (j->pidfd_socket < 0)
			return kerr_step(e, "pidfd socket");
	}
	return 0;
}

/* One message, one byte at least, one fd; then it is over. */
static int send_one(int *to, const char *text, int fd, struct kerr *e)
{
	ssize_t n = socket_send(*to, text, strlen(text), &fd, 1, deadline_in_ms(SEND_MS), e);

	fd_closep(to);
	return n < 0 ? -1 : 0;
}

/* Without a socket the master is ours, for the relay. */
int on_console(void *arg, int master, struct kerr *e)
{
	struct job *j = arg;
	CLEANUP_FD int fd = master;

	if (j->console_socket >= 0)
		return send_one(&j->console_socket, "/dev/ptmx", fd, e);
	j->master = fd_take(&fd);
	return 0;
}

int send_pidfd(struct job *j, const char *what, int pidfd, struct kerr *e)
{
	return j->pidfd_socket < 0 ? 0 : send_one(&j->pidfd_socket, what, pidfd, e);
}

/* ---- a process in the foreground
 * -------------------------------------------------------------------------------------
 */

struct relay {
	int master, pidfd, signals;
	int tty; /* of 0-2 the first that is one; -1 */
	struct termios before;
	char input[4096]; /* read, and not taken by the terminal yet */
	size_t from, to;
	bool no_input, no_output;
};

static void copy_size(const struct relay *r)
{
	struct winsize size;

	if (r->tty >= 0 && ioctl(r->tty, TIOCGWINSZ, &size) == 0)
		ioctl(r->master, TIOCSWINSZ, &size);
}

static void raw(struct relay *r)
{
	struct termios mode;

	r->tty = -1;
	for (int fd = 0; fd < 3 && r->tty < 0; fd++)
		if (tcgetattr(fd, &r->before) == 0)
			r->tty = fd;
	if (r->tty < 0)
		return;
	mode = r->before;
	cfmakeraw(&mode);
	tcsetattr(r->tty, TCSANOW, &mode);
	copy_size(r);
}

static void take_signal(const struct relay *r)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGWINCH)
		copy_size(r);
	else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGPIPE)
		pidfd_signal(r->pidfd, (int)info.ssi_signo, NULL);
}

/* False at the end: nobody has the other side open, or nothing is there now. */
static bool take_output(struct relay *r)
{
	char bytes[4096];
	ssize_t n = read(r->master, bytes, sizeof bytes);

	for (ssize_t at = 0; at < n && !r->no_output;) {
		ssize_t m = write(STDOUT_FILENO, bytes + at, (size_t)(n - at));

		if (m > 0)
			at += m;
		else if (errno == EAGAIN)
			poll_one(STDOUT_FILENO, POLLOUT, DEADLINE_NEVER);
		else if (errno != EINTR)
			r->no_output = true; /* it is read all the same, or the process waits */
	}
	return n > 0;
}

static void take_input(struct relay *r)
{
	ssize_t n = read(STDIN_FILENO, r->input, sizeof r->input);

	if (n > 0) {
		r->from = 0;
		r->to = (size_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		r->no_input = true;
	}
}

static void give_input(struct relay *r)
{
	ssize_t n = write(r->master, r->input + r->from, r->to - r->from);

	if (n > 0)
		r->from += (size_t)n;
	else if (errno != EAGAIN && errno != EINTR)
		r->from = r->to;
}

static void relay(struct job *j, struct relay *r)
{
	bool hung_up = false;

	while (!pidfd_gone(r->pidfd)) {
		struct pollfd p[] = {
			{ .fd = r->pidfd, .events = POLLIN },
			{ .fd = r->signals, .events = POLLIN },
			{ .fd = hung_up ? -1 : r->master,
				.events = (short)(POLLIN | (r->from < r->to ? POLLOUT : 0)) },
			{ .fd = r->no_input || r->from < r->to ? -1 : STDIN_FILENO,
				.events = POLLIN },
		};

		if (j->notify >= 0)
			notify_turn(&j->notify, j->pid);
		if (poll(p, ARRAY_LEN(p), j->notify >= 0 ? NOTIFY_MS : -1) < 0)
			continue;
		if (p[1].revents)
			take_signal(r);
		if (p[2].revents & POLLOUT)
			give_input(r);
		if (p[2].revents & POLLIN)
			take_output(r);
		else if (p[2].revents & (POLLHUP | POLLERR))
			hung_up = true;
		if (p[3].revents)
			take_input(r);
	}
	while (take_output(r)) /* what it wrote last */
		;
}

static int status_of(int pidfd, struct kerr *e)
{
	siginfo_t info;

	if (pidfd_wait(pidfd, &info, false, e))
		return -1;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static int with_terminal(struct job *j, int pidfd, const sigset_t *all, struct kerr *e)
{
	struct relay r = { .master = j->master, .pidfd = pidfd };

	r.signals = signalfd(-1, all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r.signals < 0)
		return kerr_fail(e, KERR_PROCESS_SETUP, errno, "signalfd");
	fcntl(r.master, F_SETFL, O_RDWR | O_NONBLOCK);
	raw(&r);
	relay(j, &r);
	if (r.tty >= 0)
		tcsetattr(r.tty, TCSANOW, &r.before);
	close(r.signals);
	return status_of(pidfd, e);
}

int pass_on_until_end(struct job *j, struct container *c, struct kerr *e)
{
	int pidfd = container_pidfd(c);
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	if (j->master >= 0)
		return with_terminal(j, pidfd, &all, e);
	while (!pidfd_gone(pidfd)) {
		siginfo_t got;
		int sig = sigtimedwait(
			&all, &got, &(struct timespec) { .tv_sec = 0, .tv_nsec = 200000000 });

		if (sig > 0 && sig != SIGCHLD && sig != SIGPIPE)
			pidfd_signal(pidfd, sig, NULL);
		if (j->notify >= 0)
			notify_turn(&j->notify, j->pid);
	}
	return status_of(pidfd, e);
}
