/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end, in the order of what depends on what: nobody is left who writes; what was written is in
 * the log; the figures are read; the record is on tmpfs; then the report. The cgroup goes after
 * it: the end of our socket says that all is gone.
 */
#include "private.h"
#include <inttypes.h>
#include <kapsel/store.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	KILL_MS = 2000,
	DRAIN_MS = 400,
	EXEC_DRAIN_MS = 200,
	SETTLE_MS = 500,
	CLIENT_MS = 400,
	REMOVE_MS = 2000
};

/* What the container's processes have left to us, as the subreaper. */
void reap_strangers(struct monitor *m)
{
	for (;;) {
		siginfo_t info = { 0 };

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		if (m->pidfd >= 0 && info.si_pid == m->pid)
			return; /* its turn comes by its pidfd, and the others' after it */
		waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
	}
}

static bool quick_is_empty(struct cgroup *c)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	/* One file says it of all where there is only a unified hierarchy; beside v1, one more of
	 * that. */
	if (cgroup_read(c, "unified", "cgroup.events", &b, NULL))
		return cgroup_is_empty(c);
	if (strstr(buf_str(&b), "populated 0") == NULL)
		return false;
	buf_reset(&b);
	return cgroup_on_v2(c, "memory") ||
	       (cgroup_read(c, "memory", "cgroup.procs", &b, NULL) == 0 && b.len == 0);
}

static void empty_cgroup(struct monitor *m)
{
	if (m->cgroup == NULL || m->exec_child || quick_is_empty(m->cgroup))
		return;
	rights_full();
	cgroup_kill(m->cgroup, deadline_in_ms(KILL_MS), NULL);
	rights_least();
	reap_strangers(m);
}

static uint64_t figure(struct cgroup *c, const char *controller, const char *file, const char *key)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const char *s;

	if (cgroup_read(c, controller, file, &b, NULL))
		return 0;
	s = buf_str(&b);
	if (key) {
		s = strstr(s, key);
		s = s ? s + strlen(key) : "";
	}
	return strtoull(s, NULL, 10);
}

/* Only what the record needs: each file costs the end of every container. */
static void read_figures(struct monitor *m)
{
	struct exit_record *r = &m->record;
	struct cgroup *c = m->cgroup;
	bool v2, cpu_v2;
	uint64_t ooms;

	if (c == NULL || m->exec_child)
		return;
	v2 = cgroup_on_v2(c, "memory"); /* on a hybrid node both are there */
	cpu_v2 = cgroup_on_v2(c, "cpu");
	ooms = v2 ? figure(c, "memory", "memory.events", "oom_kill ")
		  : figure(c, "memory", "memory.oom_control", "oom_kill ");
	r->peak_memory =
		figure(c, "memory", v2 ? "memory.peak" : "memory.max_usage_in_bytes", NULL);
	r->cpu_ns = cpu_v2 ? figure(c, "cpu", "cpu.stat", "usage_usec ") * 1000
			   : figure(c, "cpuacct", "cpuacct.usage", NULL);
	if (ooms) {
		struct cgroup_stats all;

		cgroup_stats(c, &all);
		r->oom = true;
		free(r->oom_limit);
		r->oom_limit = all.memory_limit == UINT64_MAX
				       ? mem_strdup("the memory of the node or of a parent cgroup")
				       : mem_printf("%s %" PRIu64,
						 v2 ? "memory.max" : "memory.limit_in_bytes",
						 all.memory_limit);
	}
}

static void settle_clients(struct monitor *m)
{
	deadline d = deadline_in_ms(CLIENT_MS);

	for (struct client *c = m->clients; c; c = c->next)
		if (c->sink)
			sink_settle(c->sink, d);
}

static void settle_log(struct monitor *m)
{
	if (m->log == NULL)
		return;
	sink_put(m->log, CHUNK_END, clock_wall_ns(), "", 0);
	if (!sink_settle(m->log, deadline_in_ms(SETTLE_MS)))
		sink_give_up(m->log);
	m->record.dropped = sink_dropped(m->log);
}

static void write_record(struct monitor *m)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (m->exec_child || m->run_dir < 0)
		return;
	/* Nobody can be told but the daemon, which gets the report; tmpfs may be full. */
	if (store_exit_write(m->run_dir, &m->record, &e))
		store_exit_write(m->run_dir, &m->record, NULL);
}

static void remove_cgroup(struct monitor *m)
{
	if (m->cgroup == NULL || m->exec_child)
		return;
	rights_full();
	cgroup_remove(m->cgroup, deadline_in_ms(REMOVE_MS), NULL);
	rights_least();
}

void monitor_finish(struct monitor *m, const siginfo_t *info)
{
	struct exit_record *r = &m->record;

	r->ended_wall = clock_wall_ns();
	r->ended_mono = clock_boot_ns();
	exit_record_from_wait(r, info->si_code, info->si_status);
	loop_untimer(m->loop, &m->stop);
	empty_cgroup(m);
	output_drain(m, deadline_in_ms(m->exec_child ? EXEC_DRAIN_MS : DRAIN_MS));
	read_figures(m);
	settle_clients(m);
	settle_log(m);
	last_lines(&m->last, &r->last_lines, &r->nlast_lines);
	write_record(m);
	tell_all(m, fill_exited);
	remove_cgroup(m);
	m->over = true;
}
