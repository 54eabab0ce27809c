/* SPDX-License-Identifier: Apache-2.0 */
/* Private to daemon: what its files share. One thread, one loop; nothing here waits. */
#ifndef KAPSEL_DAEMON_H
#define KAPSEL_DAEMON_H

#include <kapsel/api.h>
#include <kapsel/cgroup.h>
#include <kapsel/log.h>
#include <kapsel/store.h>
#include <kapsel/supervise.h>
#include <kapsel/wire.h>

struct daemon;
struct pair;

/* ---- configuration: a value and where it comes from ------------------------------------------------------- */

struct config {
	const char *socket, *run_dir, *state_dir, *cgroup_parent;
	uint64_t pool, stop_timeout_ms, log_max_size, log_max_files, certificates;
	char *operate_groups, *observe_groups;   /* "name or gid, ..." as written */
	bool cache, stock;
	const char *origin[16];                  /* by row of the table */
	struct arena *a;
};

struct policy {
	int stop_signal;
	uint64_t stop_timeout_ms, log_max_size, log_max_files;
	bool log_none, auto_remove;
	const char *from[6]; /* of each, in this order: static words */
};
enum { POL_SIGNAL, POL_TIMEOUT, POL_DRIVER, POL_SIZE, POL_FILES, POL_REMOVE };

/* ---- a container ------------------------------------------------------------------------------------------- */

enum waits_for { WAIT_NOTHING, WAIT_RUN, WAIT_EXIT, WAIT_REMOVED };

struct waiter {            /* a call that is answered when something happens to a container */
	struct api_call *call;
	struct waiter *next;
	struct box *box;
	enum waits_for what;
	bool first_sent;
};

struct box {
	struct box *next;      /* in the table's chain */
	struct daemon *d;
	char *id, uid[UID_TEXT], *bundle, *digest, *request, *caller, *cgroup, *error;
	char *annotations;     /* JSON object, or NULL */
	char *overrides;       /* JSON: args and cwd that the caller changed, for inspect */
	uint64_t instance, created, started, finished, start_time, caller_uid;
	pid_t pid, caller_pid;
	enum life life;
	bool terminal, is_volatile, has_poststop, delete_when_stopped, ended_early, counted;
	struct policy policy;
	struct pair *pair;     /* its executor is at work */
	struct pair *helper;   /* an executor that starts it or runs its poststop hooks */
	struct source monitor; /* control connection; fd -1: none */
	struct waiter *waiters;
	VEC(char *) exits;     /* certificates as JSON, newest last */
	struct exit_record last;
	const char *stop_by;
};

/* ---- an exec ------------------------------------------------------------------------------------------------ */

struct capture { struct source s; struct buf data; size_t most; bool cut; struct exec *x; };
struct exec {
	struct exec *next;
	struct daemon *d;
	struct pair *pair;
	char id[128], uid[UID_TEXT], name[24];
	uint64_t instance;
	struct api_call *call;
	pid_t pid;
	bool detach, more, capture, ended, over;
	int captures; /* sources that are still open */
	struct capture out[2];
	struct exit_record exit;
	uint64_t started;
};

/* ---- the pool: a monitor and an executor that it has started -------------------------------------------------- */

struct pair {
	struct daemon *d;
	struct pair *next;
	struct source monitor, executor;
	bool ready, used, handed; /* handed: the monitor's connection is the container's now */
	struct box *box;       /* whose create, start or poststop it does */
	struct exec *exec;
	enum wire_type order;
	struct wire_out pending; /* CREATE, START, EXEC: sent when it is ready */
	bool has_pending;
	int pending_fds[SOCKET_MOST_FDS]; /* owned until sent */
};

enum { TABLE = 4096, EXITS_KEPT = 8 };

struct daemon {
	struct loop *loop;
	struct api_server *server;
	struct config config;
	struct arena *config_arena;
	const char *config_file;
	int run, containers, state, logs, cache, journal_dir, lock;
	struct journal *journal;
	struct box *table[TABLE];
	size_t boxes;
	struct pair *idle;
	size_t idle_pairs;
	struct exec *execs;
	uint64_t exec_number;
	struct waiter *watchers; /* Watch calls */
	struct waiter *follows;  /* Logs with follow */
	struct timer tick;
	uint64_t started;
	bool stopping, lifeline_cut;
	char *oci, *monitor_path;
	int lifeline;
	bool refill_soon;
	size_t creating; /* boxes on their way: the pool waits */
	struct cgroup *cgroup;
};

/* pool.c */
struct pair *pair_take(struct daemon *d, struct kerr *e); /* one that is ready, or is getting so */
void pair_order(struct pair *p, struct wire_out *m);       /* to the executor, as soon as it is ready; takes the fds */
void pair_drop(struct pair *p);
void pool_refill(struct daemon *d);
int find_programs(struct daemon *d, struct kerr *e);

/* life.c */
struct box *box_find(struct daemon *d, const char *id);
struct box *box_new(struct daemon *d, const char *id);
void box_settled(struct box *b); /* no longer being created */
void box_free(struct box *b); /* out of the table, with all it owns */
int box_save(struct box *b, struct kerr *e);
void box_event(struct box *b, const char *type, const char *message);
void box_created(struct box *b);
void box_exited(struct box *b, struct wire_in *m);
void box_lost(struct box *b, const char *why);
void box_remove(struct box *b); /* poststop hooks, files, then those who wait */
int box_stop(struct box *b, int signal, uint64_t timeout_ms, const char *by, struct kerr *e);
void box_adopt_monitor(struct box *b, int fd);
void box_json(const struct box *b, struct json_out *o);
void on_executor(struct pair *p, struct wire_in *m); /* its answers */
void on_executor_gone(struct pair *p);
void on_monitor(struct pair *p, struct wire_in *m);
void exec_end(struct exec *x, const struct kerr *e);
void exec_release(struct exec *x);
const char *caller_text(struct api_call *c, struct arena *a);

/* calls.c */
void daemon_call(void *arg, struct api_call *c);
void daemon_audit(void *arg, const struct api_call *c, const struct kerr *result);
enum role daemon_role(void *arg, const struct peer *p);
void answer_waiters(struct box *b, enum waits_for what, const struct kerr *e);
void tell_watchers(struct daemon *d, const char *event, size_t len, uint64_t number);
void follow_logs(struct daemon *d);

/* node.c */
void node_call(struct daemon *d, struct api_call *c);

/* recover.c */
void recover(struct daemon *d);

/* config.c */
int config_load(struct daemon *d, struct config *out, struct kerr *e);
void config_print(const struct config *c, struct buf *out);
int node_check(struct daemon *d, struct json_out *o, struct buf *text); /* 0: all is there */

int daemon_reload(struct daemon *d, struct kerr *e);

#endif
