/* SPDX-License-Identifier: Apache-2.0 */
/* Executor and init take turns; a word a packet. End of file is execve's success: the socket is
 * CLOEXEC. */
#include "private.h"
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { ERROR_BYTES = 16384 };

int sync_send(int fd, enum sync_word word, int pass, struct kerr *e)
{
	char c = (char)word;

	return socket_send(fd, &c, 1, &pass, pass >= 0, deadline_in_ms(5000), e) < 0 ? -1 : 0;
}

static void put_text(struct buf *b, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	buf_add(b, s, n < ERROR_BYTES / 4 ? n : ERROR_BYTES / 4);
	buf_addc(b, '\0');
}

/* E, four numbers, then message, step and pointer, each with its NUL. */
void sync_send_error(int fd, const struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	uint32_t numbers[4] = { (uint32_t)e->code, (uint32_t)e->sys, e->line, e->column };

	buf_addc(&b, SYNC_ERROR);
	buf_add(&b, numbers, sizeof numbers);
	put_text(&b, e->message);
	put_text(&b, e->step);
	put_text(&b, e->pointer);
	socket_send(fd, b.data, b.len, NULL, 0, deadline_in_ms(5000), NULL);
}

static int take_error(const char *data, size_t len, struct kerr *e)
{
	uint32_t numbers[4];
	const char *text[3] = { "", "", "" }, *s = data + 1 + sizeof numbers;
	size_t left = len - 1 - sizeof numbers;

	if (len < 1 + sizeof numbers + 3)
		return kerr_fail(e, KERR_WIRE, 0, "init's error is cut");
	memcpy(numbers, data + 1, sizeof numbers);
	for (int i = 0; i < 3; i++) {
		const char *end = memchr(s, '\0', left);

		if (end == NULL)
			return kerr_fail(e, KERR_WIRE, 0, "init's error is cut");
		text[i] = s;
		left -= (size_t)(end + 1 - s);
		s = end + 1;
	}
	kerr_fail(e, numbers[0] < KERR_COUNT ? (enum kerr_code)numbers[0] : KERR_INTERNAL,
		(int)numbers[1], "%s", text[0]);
	if (*text[1])
		kerr_step(e, "%s", text[1]);
	if (*text[2] || numbers[2])
		kerr_at(e, text[2], numbers[2], numbers[3]);
	return -1;
}

int sync_recv(int fd, int *got, deadline d, struct kerr *e)
{
	char data[ERROR_BYTES];
	int fds[SOCKET_MOST_FDS];
	size_t nfds = 0;
	ssize_t n;

	/* Not by a recvmsg() that fails: where the two share memory they share errno, and the other
	 * one still runs while this one begins to wait. */
	poll_one(fd, POLLIN, d);
	n = socket_recv(fd, data, sizeof data, fds, &nfds, d, e);

	for (size_t i = got && n > 0 ? 1 : 0; i < nfds; i++)
		close(fds[i]);
	if (n <= 0)
		return (int)n;
	if (got)
		*got = nfds ? fds[0] : -1;
	return data[0] == SYNC_ERROR ? take_error(data, (size_t)n, e) : data[0];
}
