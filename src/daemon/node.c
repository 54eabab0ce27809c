/* SPDX-License-Identifier: Apache-2.0 */
/* io.kapsel.Node */
#include "daemon.h"
#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { FACTS_MOST = 1 << 20, FACTS_MS = 10000 };

/* ---- Check
 * ------------------------------------------------------------------------------------------------
 */

struct finding {
	const char *name;
	bool ok, needed;
	char found[160];
	const char *means;
};
enum { FINDINGS = 8 };

static void find_kernel(struct finding *f)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	f->name = "kernel";
	f->ok = major > 5 || (major == 5 && minor >= 12);
	f->needed = true;
	snprintf(f->found, sizeof f->found, "%.100s", u.release);
	f->means = "5.12 is the oldest that has clone3, openat2 and mount_setattr";
}

static void find_cgroups(struct finding *f)
{
	enum cgroup_layout layout = CGROUP_NONE;
	struct cgroup_controllers there = { 0, 0 };
	struct buf b = BUF_INIT;

	cgroup_detect(&layout, &there, NULL);
	for (int i = 0; i < CG_COUNT; i++)
		if (i != CG_NAMED && ((there.v1 | there.v2) & (1u << i)))
			buf_addf(&b, " %s", cgroup_controller_name((enum cgroup_controller)i));
	f->name = "cgroups";
	f->ok = layout != CGROUP_NONE;
	f->needed = true;
	snprintf(f->found, sizeof f->found, "%s:%.120s", cgroup_layout_name(layout), buf_str(&b));
	f->means = "without cgroups nothing can be limited, frozen or surely killed";
	buf_free(&b);
}

static void find_openat2(struct finding *f)
{
	CLEANUP_FD int fd =
		sys_openat2(AT_FDCWD, "/", O_PATH | O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS);

	f->name = "openat2";
	f->ok = fd >= 0;
	f->needed = true;
	snprintf(f->found, sizeof f->found, "%s", fd >= 0 ? "yes" : strerror(errno));
	f->means = "paths in a root file system cannot be resolved safely";
}

static void find_file(struct finding *f, const char *name, const char *path, const char *means)
{
	CLEANUP_FD int fd = path_host(AT_FDCWD, path, O_PATH, NULL);

	f->name = name;
	f->ok = fd >= 0;
	snprintf(f->found, sizeof f->found, "%s", fd >= 0 ? "yes" : "no");
	f->means = means;
}

static void find_root(struct finding *f)
{
	f->name = "privilege";
	f->ok = geteuid() == 0;
	snprintf(f->found, sizeof f->found, "uid %u", (unsigned)geteuid());
	f->means = "only bundles with a user namespace are accepted, and no device rules";
}

static void find_programs(struct daemon *d, struct finding *f)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	f->name = "programs";
	f->ok = (d->oci && d->monitor_program) || programs_find(d, &e) == 0;
	f->needed = true;
	snprintf(f->found, sizeof f->found, "%.150s", f->ok ? d->oci : e.message);
	f->means = "kapsel-oci and kapsel-monitor make and watch the containers";
}

static void find_all(struct daemon *d, struct finding f[FINDINGS])
{
	memset(f, 0, FINDINGS * sizeof *f);
	find_root(&f[0]);
	find_kernel(&f[1]);
	find_cgroups(&f[2]);
	find_openat2(&f[3]);
	find_programs(d, &f[4]);
	find_file(&f[5], "seccomp", "/proc/sys/kernel/seccomp/actions_avail",
		"bundles with linux.seccomp are refused");
	find_file(&f[6], "user namespaces", "/proc/self/ns/user",
		"bundles with a user namespace are refused");
	find_file(&f[7], "time namespaces", "/proc/self/ns/time",
		"bundles with a time namespace are refused");
}

static const char *verdict(const struct finding *f)
{
	return f->ok ? "ok" : f->needed ? "missing" : "degraded";
}

void node_check_print(struct daemon *d, bool *ok)
{
	struct finding f[FINDINGS];

	*ok = true;
	find_all(d, f);
	for (size_t i = 0; i < FINDINGS; i++) {
		printf("%-16s %-9s %s%s%s\n", f[i].name, verdict(&f[i]), f[i].found,
			f[i].ok ? "" : ": ", f[i].ok ? "" : f[i].means);
		*ok &= f[i].ok || !f[i].needed;
	}
}

static void call_check(struct daemon *d, struct api_call *call)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	struct finding f[FINDINGS];
	bool ok = true;

	find_all(d, f);
	for (size_t i = 0; i < FINDINGS; i++)
		ok &= f[i].ok || !f[i].needed;
	json_begin_object(&o);
	json_put_bool(&o, "ok", ok);
	json_key(&o, "findings");
	json_begin_array(&o);
	for (size_t i = 0; i < FINDINGS; i++) {
		json_begin_object(&o);
		json_put_string(&o, "name", f[i].name);
		json_put_string(&o, "verdict", verdict(&f[i]));
		json_put_string(&o, "found", f[i].found);
		if (!f[i].ok)
			json_put_string(&o, "means", f[i].means);
		json_end_object(&o);
	}
	json_end_array(&o);
	json_end_object(&o);
	api_reply_buf(call, &b);
}

/* ---- Info
 * -------------------------------------------------------------------------------------------------
 */

static void put_counts(struct daemon *d, struct json_out *o)
{
	uint64_t n[LIFE_COUNT] = { 0 };

	for (size_t i = 0; i < d->all.n; i++)
		n[d->all.v[i]->life]++;
	json_key(o, "containers");
	json_begin_object(o);
	for (int i = 0; i < LIFE_REMOVED; i++)
		json_put_u64(o, life_name((enum life)i), n[i]);
	json_end_object(o);
}

static void put_limit(struct json_out *o, const char *name, uint64_t value)
{
	json_begin_object(o);
	json_put_string(o, "name", name);
	json_put_u64(o, "value", value);
	json_end_object(o);
}

static void call_info(struct daemon *d, struct api_call *call)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	enum cgroup_layout layout = CGROUP_NONE;
	struct cgroup_controllers there;
	struct utsname u;
	char text[TIME_TEXT];

	uname(&u);
	cgroup_detect(&layout, &there, NULL);
	json_begin_object(&o);
	json_put_string(&o, "version", KAPSEL_VERSION);
	json_put_string(&o, "ociVersionMax", KAPSEL_SPEC_MAX);
	json_put_i64(&o, "pid", getpid());
	json_put_string(&o, "started", time_text(d->started_wall, text));
	json_put_string(&o, "kernel", u.release);
	json_put_string(&o, "machine", u.machine);
	json_put_string(&o, "cgroupLayout", cgroup_layout_name(layout));
	json_put_string(&o, "socket", d->config.socket);
	json_put_string(&o, "runDir", d->config.run_dir);
	json_put_string(&o, "stateDir", d->config.state_dir);
	json_put_string(&o, "configuration", d->config.file);
	json_put_string(&o, "role", role_name(api_call_role(call)));
	json_put_bool(&o, "draining", false);
	put_counts(d, &o);
	json_put_u64(&o, "connections", api_server_connections(d->server));
	json_put_u64(&o, "executors", d->nidle + d->nbusy);
	json_put_string(&o, "journal", journal_id(d->journal));
	json_key(&o, "libraries");
	json_begin_object(&o);
	json_put_string(&o, "yajl", "2");
	json_end_object(&o);
	json_key(&o, "limits");
	json_begin_array(&o);
	api_limits_json(&d->config.limits, &o);
	put_limit(&o, "containers", d->config.containers);
	put_limit(&o, "birthTimeoutMs", d->config.birth_ms);
	put_limit(&o, "waitIds", WAIT_MOST);
	put_limit(&o, "pageSize", PAGE_MOST);
	put_limit(&o, "captureBytes", CAPTURE_MOST);
	json_end_array(&o);
	json_end_object(&o);
	api_reply_buf(call, &b);
}

/* ---- Facts: kapsel-oci's word
 * ------------------------------------------------------------------------------ */

struct facts_child {
	struct source source;
	struct daemon *d;
	struct api_call *call;
	struct buf text;
	struct timer timer;
	int pidfd;
};

static void facts_closed(struct source *s)
{
	struct facts_child *f = (struct facts_child *)s;

	buf_free(&f->text);
	fd_closep(&f->pidfd);
	free(f);
}

static void facts_answer(struct facts_child *f)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_ARENA struct arena *a = arena_new();
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	const struct json *root = json_parse(a, buf_str(&f->text), f->text.len, NULL, &e);
	struct api_call *call = f->call;

	loop_untimer(f->d->loop, &f->timer);
	f->call = NULL;
	if (call == NULL)
		return;
	if (root == NULL || root->type != JSON_OBJECT) {
		kerr_fail(&e, KERR_INTERNAL, 0, "kapsel-oci facts gave no object");
		api_fail(call, &e);
		return;
	}
	json_begin_object(&o);
	json_key(&o, "facts");
	json_add_value(&o, root);
	json_end_object(&o);
	api_reply_buf(call, &b);
}

static enum source_answer facts_ready(struct source *s, uint32_t events)
{
	struct facts_child *f = (struct facts_child *)s;
	char piece[16384];
	ssize_t n = read(s->fd, piece, sizeof piece);

	(void)events;
	if (n > 0 && f->text.len + (size_t)n <= FACTS_MOST) {
		buf_add(&f->text, piece, (size_t)n);
		return SOURCE_KEEP;
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return SOURCE_KEEP;
	facts_answer(f);
	return SOURCE_DONE;
}

static void facts_late(struct timer *t)
{
	struct facts_child *f =
		(struct facts_child *)((char *)t - offsetof(struct facts_child, timer));

	pidfd_signal(f->pidfd, SIGKILL, NULL);
	buf_reset(&f->text);
	facts_answer(f);
	loop_end(f->d->loop, &f->source);
}

static void call_facts(struct daemon *d, struct api_call *call)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct facts_child *f = mem_zalloc(sizeof *f);
	const char *argv[] = { "kapsel-oci", "facts", "--json", NULL };
	int p[2] = { -1, -1 };

	f->d = d;
	f->call = call;
	f->pidfd = -1;
	if (pipe2(p, O_CLOEXEC) < 0) {
		kerr_fail(&e, KERR_LIMIT, errno, "pipe");
	} else {
		const int fds[] = { -1, p[1], 2 };
		const struct spawn s = { .path = d->oci,
			.exe_fd = -1,
			.argv = (char *const *)(uintptr_t)argv,
			.envp = (char *const[]) { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL },
			.fds = fds,
			.nfds = ARRAY_LEN(fds),
			.cwd_fd = -1 };

		f->pidfd = spawn_run(&s, NULL, &e);
		close(p[1]);
	}
	f->source = (struct source) { .fd = p[0], .ready = facts_ready, .closed = facts_closed };
	if (f->pidfd < 0 || loop_add(d->loop, &f->source, EPOLLIN, &e)) {
		fd_closep(&p[0]);
		facts_closed(&f->source);
		api_fail(call, &e);
		return;
	}
	f->timer.fire = facts_late;
	loop_timer(d->loop, &f->timer, deadline_in_ms(FACTS_MS));
}

static void call_reload(struct daemon *d, struct api_call *call)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (daemon_reload(d, &e)) {
		api_fail(call, &e);
		return;
	}
	api_reply(call, "{\"changed\":true}", 16);
}

void call_node(struct daemon *d, struct api_call *call)
{
	switch (api_call_method(call)) {
	case API_NODE_INFO:
		call_info(d, call);
		return;
	case API_NODE_CHECK:
		call_check(d, call);
		return;
	case API_NODE_FACTS:
		call_facts(d, call);
		return;
	default:
		call_reload(d, call);
	}
}
