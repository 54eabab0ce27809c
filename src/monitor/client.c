/* SPDX-License-Identifier: Apache-2.0 */
/* An attached client's three descriptors. They are its own: their flags are not touched, and
 * whatever blocks blocks a thread that serves nobody else. */
#include "private.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

enum { PIECE = 4096 /* a pipe that is ready takes so much without blocking */ };

/* ---- output
 * --------------------------------------------------------------------------------------------------
 */

/* Waits while the client does not read, but not beyond the monitor's end. */
static bool writable(struct client *c, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (!sink_given_up(c->sink)) {
		int n = poll(&p, 1, 100);

		if (n > 0 || (n < 0 && errno != EINTR))
			return true;
	}
	return false;
}

static int write_out(struct client *c, int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n;

		if (!writable(c, fd))
			return 0;
		n = write(fd, data, len < PIECE ? len : PIECE);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int client_take(void *arg, const struct chunk *chunk, const char *data)
{
	struct client *c = arg;
	char note[96];
	uint64_t n;

	switch (chunk->kind) {
	case CHUNK_STDOUT:
		return c->out < 0 ? 0 : write_out(c, c->out, data, chunk->len);
	case CHUNK_STDERR:
		return c->err < 0 ? 0 : write_out(c, c->err, data, chunk->len);
	case CHUNK_DROPPED:
		memcpy(&n, data, sizeof n);
		snprintf(note, sizeof note,
			"\nkapsel: %" PRIu64 " bytes of output left out: nobody read them here\n",
			n);
		return write_out(c, c->err < 0 ? c->out : c->err, note, strlen(note));
	default:
		return 0;
	}
}

static const struct sink_kind client_kind = { .take = client_take };

/* A client that reads costs no thread: without one, what its pipe or socket takes at once is given
 * from here. */
size_t client_write_now(struct client *c, enum chunk_kind kind, const char *data, size_t len)
{
	struct iovec v = { (char *)(uintptr_t)data, len };
	int fd = kind == CHUNK_STDERR ? c->err : c->out;
	long n;

	if (sink_begun(c->sink) || fd < 0)
		return 0;
	/* By number: musl of Debian 12 has no pwritev2(). Offset -1: as write(2). */
	n = syscall(SYS_pwritev2, fd, &v, 1, -1L, -1L, RWF_NOWAIT);
	return n < 0 ? 0 : (size_t)n; /* whatever the fault is, the thread meets it again */
}

struct client *client_new(int in, int out, int err, int wake)
{
	struct client *c = mem_zalloc(sizeof *c);

	c->out = out;
	c->err = err;
	if (out >= 0 || err >= 0)
		c->sink = sink_new(&client_kind, c, wake);
	if (in < 0)
		return c;
	c->input = mem_zalloc(sizeof *c->input);
	c->input->in = in;
	c->input->to = c->input->cancel = -1;
	c->input->wake = wake;
	return c;
}

/* ---- input
 * ---------------------------------------------------------------------------------------------------
 */

/* false: cancelled */
static bool ready(struct input *i, int fd, short events)
{
	struct pollfd p[2] = { { .fd = i->cancel, .events = POLLIN },
		{ .fd = fd, .events = events } };

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			return false;
	return !(p[0].revents & POLLIN);
}

static bool write_in(struct input *i, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(i->to, data, len);

		if (n < 0 && errno == EAGAIN && !ready(i, i->to, POLLOUT))
			return false;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return true;
}

static void *input_main(void *arg)
{
	struct input *i = arg;
	uint64_t one = 1;
	char piece[PIECE];

	while (ready(i, i->in, POLLIN)) {
		ssize_t n = read(i->in, piece, sizeof piece);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n == 0)
			atomic_store(&i->end_of_file, true);
		if (n <= 0 || !write_in(i, piece, (size_t)n))
			break;
	}
	fd_closep(&i->to);
	atomic_store(&i->done, true);
	if (write(i->wake, &one, sizeof one) < 0)
		return NULL;
	return NULL;
}

int client_input(struct client *c, int to, struct kerr *e)
{
	struct input *i = c->input;
	pthread_attr_t a;

	if (i == NULL || i->running || to < 0)
		return 0;
	i->to = fcntl(to, F_DUPFD_CLOEXEC, 3);
	i->cancel = eventfd(0, EFD_CLOEXEC);
	if (i->to < 0 || i->cancel < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "stdin of a client");
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 64 * 1024);
	i->running = pthread_create(&i->thread, &a, input_main, i) == 0;
	pthread_attr_destroy(&a);
	return i->running ? 0 : kerr_fail(e, KERR_LIMIT, errno, "thread for stdin");
}

void client_cancel_input(struct client *c)
{
	uint64_t one = 1;

	if (c->input && c->input->running && write(c->input->cancel, &one, sizeof one) < 0)
		return;
}

bool client_free(struct client *c)
{
	struct input *i = c->input;

	client_cancel_input(c);
	if (c->sink)
		sink_give_up(c->sink);
	if (i && i->running && !atomic_load(&i->done))
		return false;
	if (!sink_free(c->sink))
		return false;
	c->sink = NULL;
	if (i) {
		if (i->running)
			pthread_join(i->thread, NULL);
		fd_closep(&i->in);
		fd_closep(&i->to);
		fd_closep(&i->cancel);
		free(i);
	}
	fd_closep(&c->out);
	fd_closep(&c->err);
	free(c->request);
	free(c);
	return true;
}
