/* SPDX-License-Identifier: Apache-2.0 */
/* Private to oci: what the command line and the executor share. */
#ifndef KAPSEL_OCI_H
#define KAPSEL_OCI_H

#include <kapsel/container.h>

/* A bundle read and planned, and what came of it. */
struct job {
	struct arena *a;
	struct facts facts;
	struct oci_spec spec;
	struct plan plan;
	struct buf config; /* config.json's text */
	char digest[65];   /* sha256 of it and of the overrides */
	struct kerr warnings;
	const char *id, *bundle; /* bundle: absolute path, or as given */
	int bundle_dir, run_dir;
	/* of the running container */
	pid_t pid;
	uint64_t start_time, created;
	char *cgroup;
	int console_socket, pidfd_socket; /* connected; -1 */
	bool notifies;			  /* has a socket of ours in it, for NOTIFY_SOCKET */
	int notify;			  /* that socket, -1 */
	int master;			  /* of the terminal, when that is ours to serve; -1 */
};
void job_init(struct job *j);
void job_free(struct job *j);
/* Reads config.json below j->bundle_dir, applies @o, and judges it against j->facts. */
int job_read(struct job *j, const struct spec_options *o, const struct spec_override *over,
	struct kerr *e);
int job_plan(struct job *j, const struct plan_options *o, struct kerr *e);

/* oci.json in the run directory: what kapsel-oci calls state (runtime-spec "State", and more of
 * ours). */
struct record {
	struct arena *a;
	const struct json *root;
	const char *id, *bundle, *cgroup;
	const char *scope; /* systemd's unit; "": the cgroup is of our own making */
	bool user_scope;
	pid_t pid;
	uint64_t start_time;
	bool waits; /* created and not started: start.sock is there */
	bool runs;
	bool paused;
	bool shares_pids; /* init is not the first of a pid namespace of its own */
	bool empty;	  /* the configuration has no program */
};
int record_write(const struct job *j, struct kerr *e);
int record_read(int run_dir, struct record *r, struct kerr *e);
void record_free(struct record *r);
const char *record_status(const struct record *r);
/* The OCI state object with this status. */
void state_json(const struct job *j, const char *status, pid_t pid, struct buf *out);
/* container_order.state; arg is a job */
void job_state(void *arg, const char *status, pid_t pid, struct buf *out);
/* A filter that @c had to have compiled goes into @cache, which is closed; @c may be NULL. */
void filter_keep(struct container *c, int cache);
/* Keeps config.json in the run directory, with the caller's words in the bundle's stead. */
int job_keep(const struct job *j, const struct spec_override *over, struct kerr *e);
/* The configuration kept at create. */
int job_reload(struct job *j, struct kerr *e);

int executor_main(int argc, char **argv);
/* One order on fd 3, with the facts read already; @stock: a network namespace is made meanwhile. */
int executor_serve(struct facts *facts, bool stock);
/* kapsel-oci --template MONITOR [--stock]: a copy of it for each pair that kapseld asks for. */
int template_main(int argc, char **argv);
enum { EXECUTOR_DAEMON = 3, EXECUTOR_MONITOR = 4 }; /* an executor's sockets */

#endif
