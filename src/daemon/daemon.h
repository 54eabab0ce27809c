/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to the daemon. One loop; whatever may wait for a disk below the state directory is the
 * journal's thread's. Objects: containers in one sorted list; links to monitors and executors;
 * jobs (a birth, a start, an exec) that hold a link to each; waiters and watchers of calls.
 */
#ifndef KAPSEL_DAEMON_H
#define KAPSEL_DAEMON_H

#include <kapsel/api.h>
#include <kapsel/cgroup.h>
#include <kapsel/log.h>
#include <kapsel/store.h>
#include <kapsel/wire.h>

/* Limits that are no configuration; Node.Info lists them with the others. */
enum { WAIT_MOST = 4096, PAGE_MOST = 1000, CAPTURE_MOST = 1 << 20 };

struct daemon;
struct container;
struct job;

/* ---- config.c ---------------------------------------------------------------------------------
 */

enum { ORIGIN_DEFAULT, ORIGIN_CONFIG, ORIGIN_FLAG };
struct config {
	char *socket, *run_dir, *state_dir, *file;
	char *log_format, *log_level, *cgroup_parent;
	char *log_driver, *stop_signal;
	char *observe, *operate, *admin; /* "root,group:kapsel,user:agent,uid:1000" */
	uint64_t pool, cache, containers, birth_ms, stop_ms, log_size, log_files;
	struct api_limits limits;
	unsigned char origin[64]; /* by row */
};
struct config_row {
	const char *pointer; /* "/limits/connections" */
	const char *help;
	bool number, fixed; /* fixed: a change needs a restart */
	size_t offset;
	uint64_t min, max;
	const char *words; /* the only ones allowed, separated by | */
};
const struct config_row *config_rows(size_t *n);
void config_default(struct config *c);
void config_free(struct config *c);
/* Values of the file over those in @c that are not from flags. All faults in one report. */
int config_read(struct config *c, const char *text, size_t len, struct kerr *e);
int config_load(struct config *c, struct kerr *e); /* c->file, if there is one */
void config_set(struct config *c, const char *pointer, const char *value); /* a flag */
/* Takes what may change under way from @from; the names of what may not, or "". */
void config_renew(struct config *c, struct config *from, struct buf *ignored);
void config_print(const struct config *c, struct buf *out);
const char *config_text(const struct config *c, const char *pointer); /* of a row of text */
void config_doc(struct buf *out); /* the table with its defaults, for kapseld(8) */
enum role config_role(const struct config *c, const struct peer *p);

/* ---- links: a socket to a monitor or an executor ----------------------------------------------
 */

struct link {
	struct source source;
	struct daemon *d;
	bool monitor, ready; /* ready: an executor said so */
	struct link *other;  /* the pair's, while it is idle */
	struct link *next;   /* idle monitors */
	struct job *job;
	struct container *c;	/* a monitor's, once its container lives */
	struct command *orders; /* that await their DONE, oldest first */
};
/* An order to a monitor; `done` is called once, also when the monitor goes. */
struct command {
	struct command *next;
	void (*done)(struct command *c, struct kerr *e); /* @e is unset on success; frees c */
	struct api_call *call;
	uint64_t number;
	void *arg;
};
void link_close(struct link *l);
int link_send(struct link *l, struct wire_out *m, struct kerr *e);
/* Sends @m; @done later. On failure nothing is called. */
int link_order(struct link *l, struct wire_out *m, struct command *c, struct kerr *e);
int link_order_quiet(
	struct link *l, struct wire_out *m, struct kerr *e); /* nobody hears the answer */
struct link *link_new(struct daemon *d, int fd, bool monitor, struct kerr *e);

/* ---- pool.c ------------------------------------------------------------------------------------
 */

int pool_take(struct daemon *d, struct link **m, struct link **e, struct kerr *err);
void pool_refill_soon(struct daemon *d);
void pool_one(struct daemon *d); /* one pair now, and never another before it is asked for */
void pool_refill_later(struct daemon *d);	  /* somebody will be answered in a moment */
void pool_lost(struct daemon *d, struct link *l); /* an idle one's socket ended */
void pool_drop(struct daemon *d);
int programs_find(struct daemon *d, struct kerr *e);

/* ---- containers.c ------------------------------------------------------------------------------
 */

enum waiter_kind { WAIT_PLAIN, WAIT_RUN, WAIT_STOP, WAIT_DELETE, WAIT_ATTACH };
struct wait_group;
struct waiter {
	struct waiter *next, **pprev; /* of the container's */
	struct container *c;
	enum waiter_kind kind;
	enum life until; /* LIFE_RUNNING, LIFE_STOPPED, LIFE_REMOVED */
	struct api_call *call;
	struct wait_group *group; /* of a Wait for several */
	struct waiter *also;	  /* in the group */
	uint64_t attached;	  /* names the client to the monitor */
};

struct container {
	char *id;
	char uid[UID_TEXT], digest[65];
	char writes[40]; /* to this root file system: device and inode, or "" */
	uint32_t instance;
	enum life life;
	bool terminal, auto_remove, no_log, poststop, removing, reported;
	int stop_signal;
	uint64_t stop_ms;
	pid_t pid;
	uint64_t start_time, created, started;
	char *bundle;  /* its path */
	char *fixed;   /* the members of its JSON object that never change */
	char *exit;    /* its certificate as JSON without the last lines, or NULL */
	char *request; /* of its creation */
	char *remove_by, *remove_request; /* who asked for its removal, once it has ended */
	struct link *monitor;
	struct job *job;	   /* under way */
	struct exit_record *early; /* ended before the job had */
	struct waiter *waiters;
	struct execution *execs;
};
#define REPORTED "reported" /* in its directory: the number of the event of its end */
struct container *container_find(struct daemon *d, const char *id);
size_t container_place(struct daemon *d, const char *id); /* of it, or of the next one */
struct container *container_add(struct daemon *d, const char *id, const char *uid);
void container_drop(struct daemon *d, struct container *c); /* from the list; frees it */
void container_brief(struct json_out *o, const struct container *c);
void container_json(struct daemon *d, struct json_out *o, const struct container *c, bool whole);
int container_dir(struct daemon *d, const struct container *c, struct kerr *e);
int container_cgroup(
	struct daemon *d, const struct container *c, struct cgroup **out, struct kerr *e);
/* Moves along the table and tells everybody; the event's type is @type, by and request of @call. */
int container_event(struct daemon *d, struct container *c, enum life_event ev, const char *type,
	const char *request, const char *by, const char *message, struct kerr *e);
/* The record is what the monitor said, what exit.json says, or what is left to say. */
void container_exited(struct daemon *d, struct container *c, struct exit_record *r);
void container_monitor_gone(struct daemon *d, struct container *c);
void container_remove(struct daemon *d, struct container *c, const char *request, const char *by);
void waiter_add(struct container *c, enum waiter_kind kind, enum life until, struct api_call *call,
	struct wait_group *g);
void waiter_free(struct waiter *w);
const char *by_of(struct api_call *c, const char *what); /* "uid 0 pid 1 Stop", in its arena */
/* Kills what is left of a container whose monitor is gone and removes its cgroup. */
void remains_clear(int dir);

/* ---- jobs.c -------------------------------------------------------------------------------------
 */

enum job_kind { JOB_CREATE, JOB_PROBE, JOB_START, JOB_EXEC, JOB_POSTSTOP, JOB_ENV };
struct execution { /* a process that joined a container */
	struct execution *next;
	struct container *c;
	struct job *job;
	char name[24];
	struct link *monitor;
	pid_t pid;
};
void job_create(struct daemon *d, struct api_call *call, bool run);
void job_start(struct daemon *d, struct api_call *call, struct container *c);
void job_exec(struct daemon *d, struct api_call *call, struct container *c);
void job_env(struct daemon *d, struct api_call *call, struct container *c); /* Get with showEnv */
/* Runs the hooks, then removes it; false: it could not be begun. */
bool job_poststop(struct daemon *d, struct container *c);
void job_frame(struct job *j, struct link *from, struct wire_in *in);
void job_link_gone(struct job *j, struct link *l);
void exec_free(struct execution *x);
struct execution *exec_find(struct daemon *d, struct container *c, const char *name);

/* ---- calls.c, watch.c, logs.c, node.c -----------------------------------------------------------
 */

void call_dispatch(void *arg, struct api_call *call);
void call_audit(void *arg, const struct api_call *call, const struct kerr *result);
struct container *call_container(struct daemon *d, struct api_call *call, struct kerr *e);
void call_fail(struct api_call *call, struct kerr *e); /* and clears @e */
void call_wait(struct daemon *d, struct api_call *call);
void wait_fired(struct daemon *d, struct waiter *w);
void call_watch(struct daemon *d, struct api_call *call);
void watch_event(struct daemon *d);
void call_logs(struct daemon *d, struct api_call *call);
void logs_ended(struct daemon *d, struct container *c);
void call_stats(struct daemon *d, struct api_call *call);
void call_processes(struct daemon *d, struct api_call *call);
void call_node(struct daemon *d, struct api_call *call);
void node_check_print(struct daemon *d, bool *ok);
int daemon_reload(struct daemon *d, struct kerr *e);

/* ---- errands.c: what may wait for the state directory's disk ------------------------------------
 */

struct errand {
	struct daemon *d;
	void (*work)(struct errand *x); /* in the writer's thread */
	void (*done)(struct errand *x); /* in the loop; frees it */
	struct errand *next;
};
int errands_new(struct daemon *d, struct kerr *e);
void errand_run(struct daemon *d, struct errand *x);
void logs_remove(struct daemon *d, const char *id);

/* ---- recover.c, rights.c, service.c
 * -------------------------------------------------------------- */

int recover(struct daemon *d, struct kerr *e);
void recover_state(struct daemon *d, struct container *c, struct wire_in *in);
void container_never_born(struct daemon *d, struct container *c);
/* @given: a descriptor from the caller, owned from now on, or -1 for @path */
int bundle_open_as(const struct peer *p, int given, const char *path, struct kerr *e);
int service_listener(void); /* LISTEN_FDS; -1: none */
void service_notify(const char *text);
int service_log(const char *format, const char *level);

struct watcher;
struct log_follower;
struct daemon {
	struct loop *loop;
	struct api_server *server;
	struct config config;
	struct journal *journal;
	int run_dir, containers_dir, state_dir, logs_dir, cache_dir, lock;
	char *oci, *monitor_program; /* paths */
	VEC(struct container *) all; /* sorted by id */
	struct link *idle;	     /* monitors' links of pairs that wait */
	size_t nidle, nbusy;
	struct template *template; /* NULL: pairs are started one by one */
	struct timer refill, unborn;
	unsigned refill_waits; /* how often it was put off */
	deadline calm;	       /* until then somebody waits, probably */
	struct watcher *watchers;
	struct log_follower *followers;
	uint64_t begun;	   /* number of the journal's last entry then */
	uint64_t attached; /* the last number given */
	int lifeline;	   /* -1, or whose end is ours */
	uint64_t started_wall;
	bool stopping, ending; /* ending: all containers go first */
	struct source signals;
	struct errands *errands;
};

#endif
