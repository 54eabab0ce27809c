/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KAPSEL_CONTAINER_PRIVATE_H
#define KAPSEL_CONTAINER_PRIVATE_H

#include <kapsel/container.h>
#include <sched.h>

struct container {
	const struct container_order *o;
	const struct plan *p;
	struct cgroup *cgroup;
	char *cgroup_text;
	const struct systemd_scope *scope; /* that has been started; NULL: none */
	int holder;			   /* pidfd of who is in it until init is; -1 */
	pid_t pid;
	int pidfd;
	uint64_t start_time;
	int sync;	  /* our end of the socket to the other side */
	int listen;	  /* start.sock, in init */
	int *fd;	  /* by operation: a detached mount, a namespace */
	size_t nfd;	  /* operations, and after them one for each hierarchy's cgroup bind */
	uint64_t *id;	  /* in init, by operation: the mount it has made, or ID_ABSENT; as fd */
	int cgroup_binds; /* how many of those */
	int netns;	  /* from the stock, to be entered by init; -1 */
	int inits_proc;	  /* held until we end, see close_others() */
	int old_time;	  /* our own time namespace, to go back to */
	int proc;	  /* this side's procfs: init may run on the executor's memory */
	/* init's side */
	bool shared;   /* it runs on the executor's memory */
	size_t first;  /* operation */
	int other_end; /* of the sync socket */
	int root;      /* the root file system's mount */
	int empty;     /* the empty read-only directory over masked ones */
	int slave;     /* the pty's other end */
	int status;    /* /proc/self/status, open before the filter */
	struct buf filter;
	const struct oci_seccomp *new_filter; /* whose it is, when no cache had it */
	int notify; /* seccomp.listenerPath, connected on the host; closed by init once used */
	char *program, **argv, **envp; /* of execve: nothing is called between the filter and it */
	size_t hooks;		       /* how many of this side's have ended well */
	pid_t host_pid;		       /* our number outside, when a listener must know it */
	bool entered;		       /* joined namespaces have been entered around the clone */
	char *cgroup_name;	       /* what cgroup_path() said, once its fds are closed */
	struct container_stock own;    /* the executor's namespaces and so on */
	ino_t joined[OCI_NS_COUNT];
	bool private_mounts; /* what is attached from now on stays in our mount namespace */
};
/* A masked or read-only path that the root file system does not have. */
#define ID_ABSENT UINT64_MAX

typedef int (*op_fn)(struct container *c, const struct op *op, size_t i, struct kerr *e);
int set_lo_up(struct kerr *e);
int ns_flag(enum oci_namespace t);		 /* CLONE_NEW* */
const char *ns_file(enum oci_namespace t);	 /* "self/ns/net" */
void cpu_list(const char *list, cpu_set_t *out); /* "0-3,7" */
bool same_setting(const char *asked, const char *found);
int fits_usage(struct cgroup *c, const struct op *op, struct kerr *e);
int step_failed(const struct op *op, struct kerr *e);
long filters_of(const char *status); /* how many; -1: this kernel does not say */
/* The O_PATH fd of @op's target: below the very procfs or sysfs that we have mounted, if it is. */
int target_below(struct container *c, const struct op *op, struct kerr *e);

/* executor side */
int do_prepare_mounts(struct container *c, struct kerr *e);
bool joins_user(const struct container *c);	 /* one that exists already */
bool is_plain_user(const struct container *c);	 /* without any right to begin with */
bool writes_own_maps(const struct container *c); /* of init's new user namespace, as a plain user */
int do_idmap(struct container *c, const struct op *op, size_t i, struct kerr *e);
int clone_init(struct container *c, const struct op *op, struct kerr *e);
uint64_t hook_ms(const struct oci_hook *h); /* how long it may take */
/* @orphans: this process takes in what a hook leaves behind, so that a time-out ends that, too. */
int run_hook(const struct oci_hook *h, const struct buf *state, bool orphans, struct kerr *e);

/* scope.c: the systemd cgroup manager's */
int scope_op(struct container *c, const struct op *op, size_t i, struct kerr *e);
int settle_op(struct container *c, const struct op *op, size_t i, struct kerr *e);
void note_cgroup(struct container *c);
void end_holder(struct container *c);
void stop_scope(struct container *c);

/* init side */
void init_main(void *container); /* does not return */
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
/* Read by the executor while init waits: what only the host shows. */
int check_outside(struct container *c, struct kerr *e);
int do_check(struct container *c, const struct op *op, size_t i, struct kerr *e);
int check_late(struct container *c, struct kerr *e);
/* Have all of @side's hooks before operation @before been run? */
int check_hooks(const struct container *c, enum op_side side, size_t before, struct kerr *e);

/* the socket between the two sides */
enum sync_word {
	SYNC_TURN = 'T',
	SYNC_WAITS = 'W',
	SYNC_ERROR = 'E',
	SYNC_MASTER = 'M',
	SYNC_GO = 'G',
	SYNC_EXEC = 'X'
};
/* Init's: its turn is over; 0 when it has come again. */
int yield_turn(struct container *c, enum sync_word word, int pass, struct kerr *e);
int sync_send(int fd, enum sync_word word, int pass, struct kerr *e);
void sync_send_error(int fd, const struct kerr *e);
/* The word; 0 at end of file; -1: the other side's error, or a failure. @got: an fd, or NULL. */
int sync_recv(int fd, int *got, deadline d, struct kerr *e);

#endif
