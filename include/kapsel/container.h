/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container: carries a plan out. The executor walks its side of the list, the init that it clones
 * walks the other; before the container's program runs, what the kernel says is compared with what
 * was asked. Whatever fails, everything that was done is undone.
 */
#ifndef KAPSEL_CONTAINER_H
#define KAPSEL_CONTAINER_H

#include <kapsel/plan.h>

/* What exists as soon as init does; the callee keeps none of the fds. */
struct container_born {
	pid_t pid; /* on the host */
	int pidfd;
	uint64_t start_time; /* field 22 of /proc/PID/stat */
	const char *cgroup;  /* cgroup_save()'s text, "" without cgroups */
};

/* What a started executor that waits has made and looked up before there is an order; the same
 * process uses it, once. */
struct container_stock {
	int netns;		   /* a new network namespace with lo up, owned by us; -1: none */
	void *stack;		   /* for init; NULL: none */
	ino_t outer[OCI_NS_COUNT]; /* this process's namespaces */
	long keyring, filters;	   /* its session keyring, how many filters it has */
};

struct container_order {
	const struct plan *plan;
	int bundle;   /* directory */
	int run_dir;  /* where start.sock goes and start finds it; -1 when the plan does not wait */
	int stdio[3]; /* become 0-2; -1: /dev/null */
	unsigned preserve;		     /* fds 3.. that the program keeps */
	int cache;			     /* seccomp programs by content; -1: none */
	bool sibling;			     /* init becomes our parent's child (CLONE_PARENT) */
	bool death_signal;		     /* init dies with its parent */
	bool stays;			     /* this process goes on when the program runs */
	bool signals_default;		     /* the caller's are, but for SIGPIPE */
	bool parent_stays;		     /* the plan's cgroup parent is another's to remove */
	int exec_target;		     /* pidfd of the init to join; -1 for a create */
	const char *exec_cgroup;	     /* cgroup_save() text: its, or one below */
	const char *exec_sub_cgroup;	     /* which of those; NULL: its own */
	const struct container_stock *stock; /* NULL: none */
	/* Once, before any hook or mount: tells the monitor. */
	int (*born)(void *arg, const struct container_born *b, struct kerr *e);
	/* With a terminal: the pty's master; the callee owns it. */
	int (*console)(void *arg, int master, struct kerr *e);
	/* The OCI state that a hook reads, with this status and init's number where the hook runs.
	 */
	void (*state)(void *arg, const char *status, pid_t pid, struct buf *out);
	void *arg;
#ifdef KAPSEL_PLANT
	int fail_kind, wrong_kind; /* an op_kind to fail, or to carry out wrongly; -1: none */
#endif
};

/**
 * container_shield() - run from a copy of this program that nothing inside a container can write
 *
 * Executes the same program again, with the same arguments, from a read-only detached mount of its
 * file, so that a /proc/PID/exe that a container gets hold of cannot be opened for writing
 * (CVE-2019-5736). At once 0 where it runs from a read-only mount already. To be called first in
 * main(), before anything is begun. Return: 0, or -1: KERR_PROCESS_SETUP; else it does not return.
 */
int container_shield(char *const *argv, struct kerr *e);

/**
 * container_stock_up() - do now what the first order would have to wait for
 *
 * @network: a network namespace, too, which costs the kernel half a millisecond. It is used where
 * the plan has a new one and no user namespace, which would have to own it. What cannot be made is
 * no fault: it is then made when it is needed.
 */
void container_stock_up(struct container_stock *s, bool network);

struct container; /* between create and the end of the executor */

/**
 * container_create() - all operations up to the plan's OP_WAIT_START or, without one, to execve
 *
 * On success the program runs, or init waits on start.sock. On failure nothing is left: init is
 * dead, the cgroup and what was mounted are gone, poststop hooks have run where the specification
 * says so. Return: the container, to be freed, or NULL and @e with the failed operation as its
 * step.
 */
struct container *container_create(const struct container_order *o, struct kerr *e);
void container_free(struct container *c); /* does not touch what runs */
/* The filter that had to be compiled, for seccomp_keep(), and its profile; NULL: there is none. */
const struct oci_seccomp *container_new_filter(struct container *c, struct buf *program);
pid_t container_pid(const struct container *c);
int container_pidfd(const struct container *c); /* borrowed */
uint64_t container_start_time(const struct container *c);
const char *container_cgroup(const struct container *c);

/**
 * container_update() - new limits for a running container
 * @p: of plan_update()
 *
 * Return: 0, or -1 with the file that refused its value; then all files have their old values.
 */
int container_update(struct cgroup *c, const struct plan *p, struct kerr *e);
/* Tells a waiting init to go; 0 when the program runs, -1 with init's error. */
int container_start(int run_dir, deadline d, struct kerr *e);
/* After a start: does the filter that @s asks for hold on @pid? KERR_SELF_CHECK; the caller kills.
 */
int container_check_filter(pid_t pid, const struct oci_spec *s, struct kerr *e);
/* Hooks of one kind, in order. The first failure ends it (poststop: all are run, failures are
 * logged). */
int container_hooks(
	const struct oci_spec *s, enum oci_hook_kind kind, const struct buf *state, struct kerr *e);

#endif
