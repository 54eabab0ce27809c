/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KAPSEL_CONTAINER_PRIVATE_H
#define KAPSEL_CONTAINER_PRIVATE_H

#include <kapsel/container.h>

struct container {
	const struct container_order *o;
	const struct plan *p;
	struct cgroup *cgroup;
	char *cgroup_text;
	pid_t pid;
	int pidfd;
	uint64_t start_time;
	int sync;	  /* our end of the socket to the other side */
	int listen;	  /* start.sock, in init */
	int *fd;	  /* by operation: a detached mount, a namespace */
	size_t nfd;	  /* operations, and after them one for each hierarchy's cgroup bind */
	int cgroup_binds; /* how many of those */
	int old_time;	  /* our own time namespace, to go back to */
	/* init's side */
	int root;   /* the root file system's mount */
	int empty;  /* the empty read-only directory over masked ones */
	int slave;  /* the pty's other end */
	int status; /* /proc/self/status, open before the filter */
	struct buf filter;
	pid_t parent;
	int init_fds[16];
	ino_t outer[OCI_NS_COUNT]; /* the executor's namespaces */
	struct kerr late;
};

typedef int (*op_fn)(struct container *c, const struct op *op, size_t i, struct kerr *e);
int step_failed(const struct op *op, struct kerr *e);

/* executor side */
int do_prepare_mounts(struct container *c, struct kerr *e);
int clone_init(struct container *c, const struct op *op, struct kerr *e);
int run_hook(const struct oci_hook *h, const struct buf *state, struct kerr *e);

/* init side */
_Noreturn void init_main(struct container *c, size_t from);
int do_root(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_mount(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_device(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_console(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_pivot(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_mask(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_readonly_path(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_root_readonly(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_root_propagation(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_propagation(struct container *c, const struct op *op, size_t i, struct kerr *e);
int do_check(struct container *c, const struct op *op, size_t i, struct kerr *e);
int check_late(struct container *c, struct kerr *e);

/* the socket between the two sides */
enum sync_word {
	SYNC_TURN = 'T',
	SYNC_WAITS = 'W',
	SYNC_ERROR = 'E',
	SYNC_MASTER = 'M',
	SYNC_GO = 'G',
	SYNC_EXEC = 'X'
};
int sync_send(int fd, enum sync_word word, int pass, struct kerr *e);
void sync_send_error(int fd, const struct kerr *e);
/* The word; 0 at end of file; -1: the other side's error, or a failure. @got: an fd, or NULL. */
int sync_recv(int fd, int *got, deadline d, struct kerr *e);

#endif
