/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/sys.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

enum { MOST_GROUPS = 65536 };

int socket_pair(int type, int out[2], struct kerr *e)
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, out) < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "socket pair");
	return 0;
}

bool poll_one(int fd, short events, deadline d)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		int n = poll(&p, 1, deadline_left_ms(d));

		if (n > 0)
			return true;
		if (n == 0 && deadline_passed(d))
			return false;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(SOCKET_MOST_FDS * sizeof(int))];
};

static void attach_fds(struct msghdr *m, union control *c, const int *fds, size_t n)
{
	struct cmsghdr *h = &c->align;

	memset(c, 0, sizeof *c);
	m->msg_control = c->bytes;
	m->msg_controllen = (__typeof__(m->msg_controllen))CMSG_SPACE(n * sizeof(int));
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = (__typeof__(h->cmsg_len))CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
}

ssize_t socket_send(int fd, const void *data, size_t len, const int *fds, size_t nfds, deadline d,
	struct kerr *e)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	union control control;

	if (nfds > SOCKET_MOST_FDS)
		return kerr_fail(e, KERR_LIMIT, 0, "%zu fds in one message", nfds);
	if (nfds)
		attach_fds(&m, &control, fds, nfds);
	for (;;) {
		ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return kerr_fail(e, KERR_WIRE, errno, "send");
		if (!poll_one(fd, POLLOUT, d))
			return kerr_fail(e, KERR_TIMEOUT, 0, "waited to send %zu bytes", len);
	}
}

/* SCM_RIGHTS is the one kind we may be sent, and the kernel puts all its fds into one header. */
static void take_fds(struct msghdr *m, int *fds, size_t *nfds, size_t room)
{
	struct cmsghdr *h = CMSG_FIRSTHDR(m);
	size_t n;

	if (h == NULL || h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
		return;
	n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	for (size_t i = 0; i < n; i++) {
		int one;

		memcpy(&one, CMSG_DATA(h) + i * sizeof one, sizeof one);
		if (*nfds < room)
			fds[(*nfds)++] = one;
		else
			close(one);
	}
}

ssize_t socket_recv(
	int fd, void *data, size_t len, int *fds, size_t *nfds, deadline d, struct kerr *e)
{
	struct iovec v = { .iov_base = data, .iov_len = len };
	union control control;
	size_t room = fds ? SOCKET_MOST_FDS : 0, got = 0;

	for (;;) {
		struct msghdr m = { .msg_iov = &v,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof control };
		ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

		if (n >= 0) {
			take_fds(&m, fds, &got, room);
			if (nfds)
				*nfds = got;
			if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
				for (size_t i = 0; i < got; i++)
					close(fds[i]);
				if (nfds)
					*nfds = 0;
				return kerr_fail(
					e, KERR_WIRE, 0, "a message larger than its limit");
			}
			return n;
		}
		if (errno == EINTR)
			continue;
		if (errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN)
			return kerr_fail(e, KERR_WIRE, errno, "receive");
		if (!poll_one(fd, POLLIN, d))
			return kerr_fail(e, KERR_TIMEOUT, d ? 0 : EAGAIN, "waited for a message");
	}
}

int socket_peer(int fd, struct peer *out, struct kerr *e)
{
	struct ucred cred;
	socklen_t len = sizeof cred, groups = 0;

	*out = (struct peer) { 0 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return kerr_fail(e, KERR_INTERNAL, errno, "who the peer is");
	out->pid = cred.pid;
	out->uid = cred.uid;
	out->gid = cred.gid;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &groups) < 0 && errno != ERANGE)
		return 0; /* before Linux 4.13: no supplementary groups, fewer rights */
	if (groups == 0 || groups > MOST_GROUPS * sizeof(gid_t))
		return 0;
	out->groups = mem_array(groups / sizeof(gid_t), sizeof(gid_t));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, out->groups, &groups) == 0)
		out->ngroups = groups / sizeof(gid_t);
	return 0;
}

void peer_free(struct peer *p)
{
	free(p->groups);
	*p = (struct peer) { 0 };
}
