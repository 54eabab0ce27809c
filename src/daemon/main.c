/* SPDX-License-Identifier: Apache-2.0 */
/* kapseld: serves the API, orders containers, and can be killed at any moment. */
#include "daemon.h"
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CLOSE_MS = 2000, BIRTHS_MS = 2000, TURN_MS = 60000, LOCK_TRIES = 50, LOCK_AGAIN_MS = 20 };

/* --help and kapseld(8) are printed from this table. */
static const struct flag {
	const char *name, *arg, *pointer, *help; /* pointer: of the configuration that it sets */
} flag_rows[] = {
	{ "--socket", "PATH", "/socket", "the API's socket" },
	{ "--run-dir", "DIR", "/runDir", "what dies with the machine" },
	{ "--state-dir", "DIR", "/stateDir", "journal, logs, cache" },
	{ "--config", "FILE", NULL, "the configuration, /etc/kapsel/kapseld.json if not given" },
	{ "--log-format", "text|json", "/log/format", "of kapseld's own log" },
	{ "--foreground", NULL, NULL, "do not go into the background" },
	{ "--check", NULL, NULL, "print the configuration and what this node lacks; then end" },
	{ "--lifeline", "FD", NULL,
		"serve this connection, and end with it: for kapsel --standalone" },
	{ "--version", NULL, NULL, "print the version" },
	{ "--help", NULL, NULL, "print this" },
	{ "--doc", NULL, NULL, "print the tables that the manual is made from" },
};

struct flags {
	bool foreground, check, version, help, doc;
	const char *config;
	int lifeline;
};

static int complain(const struct kerr *e, int status)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	kerr_text(e, &b);
	fprintf(stderr, "kapseld: %s", buf_str(&b));
	return status;
}

/* ---- the command line
 * ---------------------------------------------------------------------------------------- */

static void print_help(const struct config *c)
{
	printf("usage: kapseld [flags]\n");
	for (size_t i = 0; i < ARRAY_LEN(flag_rows); i++) {
		const struct flag *f = &flag_rows[i];
		CLEANUP_FREE char *words =
			mem_printf("%s%s%s", f->name, f->arg ? " " : "", f->arg ? f->arg : "");
		const char *otherwise = f->pointer ? config_text(c, f->pointer) : NULL;

		printf("  %-24s %s", words, f->help);
		printf(otherwise ? " (%s)\n" : "\n", otherwise);
	}
	printf("SIGHUP reads the configuration again; SIGTERM ends kapseld and leaves containers "
	       "running.\n");
}

static void print_doc(void)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(flag_rows); i++)
		buf_addf(&b, "flag\t%s\t%s\t%s\t%s\n", flag_rows[i].name,
			flag_rows[i].arg ? flag_rows[i].arg : "",
			flag_rows[i].pointer ? flag_rows[i].pointer : "", flag_rows[i].help);
	config_doc(&b);
	fputs(buf_str(&b), stdout);
}

static int unknown_flag(const char *name, struct kerr *e)
{
	const char *near = NULL;

	for (size_t i = 0; i < ARRAY_LEN(flag_rows); i++)
		if (str_distance(flag_rows[i].name, name, 2) <= 2)
			near = flag_rows[i].name;
	return kerr_fail(e, KERR_USAGE, 0, "%s is unknown%s%s%s", name,
		near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
}

static int set_value(struct config *c, struct flags *f, const struct flag *row, const char *value,
	struct kerr *e)
{
	uint64_t n;

	if (str_eq(row->name, "--log-format") && !str_eq(value, "text") && !str_eq(value, "json"))
		return kerr_fail(
			e, KERR_USAGE, 0, "%s takes %s, not \"%s\"", row->name, row->arg, value);
	if (row->pointer)
		config_set(c, row->pointer, value);
	else if (str_eq(row->name, "--config"))
		f->config = value;
	else if (str_to_u64(value, &n) == 0 && n < 1024)
		f->lifeline = (int)n;
	else
		return kerr_fail(e, KERR_USAGE, 0,
			"%s takes a file descriptor's number, not \"%s\"", row->name, value);
	return 0;
}

static void set_flag(struct flags *f, const char *name)
{
	f->foreground |= str_eq(name, "--foreground");
	f->check |= str_eq(name, "--check");
	f->version |= str_eq(name, "--version");
	f->help |= str_eq(name, "--help");
	f->doc |= str_eq(name, "--doc");
}

static int read_flags(int argc, char **argv, struct config *c, struct flags *f, struct kerr *e)
{
	for (int i = 1; i < argc; i++) {
		const char *word = str_eq(argv[i], "-h") ? "--help" : argv[i],
			   *eq = strchr(word, '=');
		CLEANUP_FREE char *name =
			eq ? mem_strndup(word, (size_t)(eq - word)) : mem_strdup(word);
		size_t r = 0;

		while (r < ARRAY_LEN(flag_rows) && !str_eq(flag_rows[r].name, name))
			r++;
		if (r == ARRAY_LEN(flag_rows))
			return unknown_flag(name, e);
		if (flag_rows[r].arg == NULL && eq)
			return kerr_fail(e, KERR_USAGE, 0, "%s takes no value", name);
		if (flag_rows[r].arg == NULL) {
			set_flag(f, name);
			continue;
		}
		if (eq == NULL && ++i == argc)
			return kerr_fail(
				e, KERR_USAGE, 0, "%s needs a value: %s", name, flag_rows[r].arg);
		if (set_value(c, f, &flag_rows[r], eq ? eq + 1 : argv[i], e))
			return -1;
	}
	return 0;
}

/* Relative paths are those of the shell that started us. */
static void make_absolute(char **path)
{
	char cwd[4096];
	char *whole;

	if (**path == '/' || getcwd(cwd, sizeof cwd) == NULL)
		return;
	whole = mem_printf("%s/%s", cwd, *path);
	free(*path);
	*path = whole;
}

/* ---- directories
 * ---------------------------------------------------------------------------------------------- */

static int open_dir(int at, const char *path, mode_t mode, struct kerr *e)
{
	return path_own_mkdirs(at, path, mode, e);
}

static int take_lock(struct daemon *d, struct kerr *e)
{
	d->lock = path_own(d->run_dir, "lock", O_RDWR | O_CREAT, 0600, e);
	if (d->lock < 0)
		return -1;
	/* One that was killed a moment ago may still be on its way out. */
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(d->lock, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			break;
		poll(NULL, 0, LOCK_AGAIN_MS);
	}
	return kerr_fail(e, KERR_ALREADY_EXISTS, errno == EWOULDBLOCK ? 0 : errno,
		"another kapseld has the run directory %s", d->config.run_dir);
}

static int open_dirs(struct daemon *d, struct kerr *e)
{
	d->run_dir = open_dir(AT_FDCWD, d->config.run_dir, 0711, e);
	if (d->run_dir < 0 || take_lock(d, e))
		return -1;
	/* Cleaners of users' runtime directories leave alone what is sticky. */
	if (geteuid() != 0 && d->lifeline < 0 && fchmod(d->run_dir, 01711) < 0)
		return kerr_fail(e, KERR_PATH_WRITE, errno, "mode of %s", d->config.run_dir);
	d->containers_dir = open_dir(d->run_dir, "c", 0700, e);
	if (d->containers_dir < 0)
		return -1;
	d->state_dir = open_dir(AT_FDCWD, d->config.state_dir, 0700, e);
	if (d->state_dir < 0)
		return -1;
	d->logs_dir = open_dir(d->state_dir, "logs", 0700, e);
	if (d->logs_dir < 0 || d->lifeline >= 0) /* its cache would go with it */
		return d->logs_dir < 0 ? -1 : 0;
	d->cache_dir = open_dir(d->state_dir, "cache", 0700, e);
	return d->cache_dir < 0 ? -1 : 0;
}

static int open_journal(struct daemon *d, struct kerr *e)
{
	int dir = open_dir(d->state_dir, "journal", 0700, e);

	return dir < 0 ? -1 : journal_open(dir, NULL, &d->journal, e);
}

/* ---- signals
 * ---------------------------------------------------------------------------------------------------
 */

/* Who is not root has the cgroups that were given to him, below which all are to be; or none. */
static bool below_delegated(char **parent)
{
	char base[256];
	size_t n;
	char *path;

	cgroup_delegated(base, sizeof base);
	n = strlen(base);
	if (n > 1 && (strncmp(*parent, base, n) != 0 || (*parent)[n] != '/')) {
		path = mem_printf("%s%s", base, *parent);
		free(*parent);
		*parent = path;
	}
	return n > 0;
}

/* Without it containers start all the same, only slower. */
static void hold_parent(struct daemon *d)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (geteuid() != 0 && !below_delegated(&d->config.cgroup_parent))
		return;

	if (cgroup_hold(d->config.cgroup_parent, &e))
		log_warning("cgroup %s: %s", d->config.cgroup_parent, e.message);
}

/* A place is kept for admin only where there is an fd for it, and containers need theirs. */
static void fit_limits(struct daemon *d)
{
	uint64_t *most = &d->config.limits.connections;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || *most <= r.rlim_cur / 2)
		return;
	log_warning(
		"limits.connections: %llu, as half of the file descriptors that kapseld may have",
		(unsigned long long)(r.rlim_cur / 2));
	*most = r.rlim_cur / 2;
}

int daemon_reload(struct daemon *d, struct kerr *e)
{
	struct config fresh;
	CLEANUP_BUF struct buf ignored = BUF_INIT;
	size_t n;
	const struct config_row *rows = config_rows(&n);
	int rc;

	config_default(&fresh);
	fresh.file = d->config.file ? mem_strdup(d->config.file) : NULL;
	for (size_t i = 0; i < n; i++)
		if (d->config.origin[i] == ORIGIN_FLAG)
			config_set(&fresh, rows[i].pointer,
				*(char **)((char *)&d->config + rows[i].offset));
	service_notify("RELOADING=1\n");
	rc = config_load(&fresh, e);
	if (rc == 0) {
		config_renew(&d->config, &fresh, &ignored);
		fit_limits(d);
		service_log(d->config.log_format, d->config.log_level);
		if (ignored.len)
			log_warning("%s: needs a restart", ignored.data);
		log_info("configuration read again");
		hold_parent(d);
		pool_drop(d); /* what it was made of may have changed with the node */
		pool_refill_soon(d);
	}
	config_free(&fresh);
	service_notify("READY=1\n");
	return rc;
}

static enum source_answer signalled(struct source *s, uint32_t events)
{
	struct daemon *d = (struct daemon *)((char *)s - offsetof(struct daemon, signals));
	struct signalfd_siginfo info;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf line = BUF_INIT;

	(void)events;
	if (read(s->fd, &info, sizeof info) != sizeof info)
		return SOURCE_KEEP;
	if (info.ssi_signo != SIGHUP) {
		d->stopping = true;
	} else if (daemon_reload(d, &e)) {
		kerr_line(&e, &line);
		log_error("the configuration stays as it was: %s", buf_str(&line));
	}
	return SOURCE_KEEP;
}

static int watch_signals(struct daemon *d, struct kerr *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN); /* monitors are nobody's business when they end */
	d->signals = (struct source) { .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.ready = signalled };
	if (d->signals.fd < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "signalfd");
	return loop_add(d->loop, &d->signals, EPOLLIN, e);
}

/* ---- a daemon for one call
 * --------------------------------------------------------------------------------------- */

static struct source lifeline;

static enum source_answer lifeline_cut(struct source *s, uint32_t events)
{
	(void)s;
	if (!(events & (EPOLLHUP | EPOLLERR)))
		return SOURCE_KEEP;
	return SOURCE_DONE;
}

static struct daemon *lifeline_of;
static void lifeline_closed(struct source *s)
{
	(void)s;
	lifeline_of->ending = true;
}

static int hold_lifeline(struct daemon *d, int fd, struct kerr *e)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return kerr_fail(e, KERR_USAGE, errno, "--lifeline %d", fd);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	lifeline_of = d;
	lifeline = (struct source) { .fd = copy, .ready = lifeline_cut, .closed = lifeline_closed };
	if (loop_add(d->loop, &lifeline, 0, e))
		return -1;
	return api_server_adopt(d->server, fd, e);
}

/* True when nothing is left. */
static bool end_containers(struct daemon *d)
{
	for (size_t i = d->all.n; i-- > 0;) {
		struct container *c = d->all.v[i];
		struct wire_out m;

		if (c->removing || c->job)
			continue;
		c->removing = true;
		if (c->life == LIFE_STOPPED) {
			container_remove(d, c, NULL, "lifeline");
			continue;
		}
		wire_begin(&m, WIRE_STOP);
		wire_u64(&m, TAG_SIGNAL, SIGKILL);
		wire_u64(&m, TAG_TIMEOUT_MS, 0);
		wire_str(&m, TAG_WHO, "lifeline");
		if (link_order_quiet(c->monitor, &m, NULL))
			container_monitor_gone(d, c);
	}
	return d->all.n == 0;
}

static void remove_run_dir(struct daemon *d)
{
	const char *slash = strrchr(d->config.run_dir, '/');
	CLEANUP_FREE char *up = NULL;
	CLEANUP_FD int dir = -1;

	if (slash == NULL || slash == d->config.run_dir)
		return;
	up = mem_strndup(d->config.run_dir, (size_t)(slash - d->config.run_dir));
	dir = path_host_dir(AT_FDCWD, up, NULL);
	if (dir >= 0)
		path_own_remove_tree(dir, slash + 1, NULL);
}

/* ---- main
 * ---------------------------------------------------------------------------------------------------------
 */

static enum role role_of(void *arg, const struct peer *p)
{
	const struct daemon *d = arg;

	return config_role(&d->config, p);
}

static int serve(struct daemon *d, struct kerr *e)
{
	static const struct api_hooks hooks = {
		.role = role_of, .call = call_dispatch, .audit = call_audit
	};
	int fd = service_listener();
	const struct group *g;

	if (fd < 0) {
		fd = path_listen_host(d->config.socket, SOCK_STREAM | SOCK_NONBLOCK, 0660, e);
		g = fd >= 0 && geteuid() == 0 ? getgrnam("kapsel") : NULL;
		if (g && path_host_chgrp(d->config.socket, g->gr_gid, NULL))
			log_warning("%s: cannot be given to group kapsel", d->config.socket);
	}
	if (fd < 0)
		return -1;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return api_server_new(d->loop, fd, &d->config.limits, &hooks, d, &d->server, e);
}

static void raise_limits(void)
{
	struct rlimit r;

	/* A container costs an fd here, for its monitor. */
	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int go_background(struct kerr *e)
{
	pid_t pid = fork();

	if (pid < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "go into the background");
	if (pid > 0)
		_exit(0);
	setsid();
	return 0;
}

static int begin(struct daemon *d, const struct flags *f, struct kerr *e)
{
	raise_limits();
	fit_limits(d);
	umask(0077);
	d->lifeline = f->lifeline;
	if (loop_new(&d->loop, e) || watch_signals(d, e) || programs_find(d, e))
		return -1;
	if (f->lifeline >= 0) /* for one call: its pair starts beside us, and there is no other */
		pool_one(d);
	if (open_dirs(d, e) || open_journal(d, e) || errands_new(d, e) || recover(d, e) ||
		serve(d, e))
		return -1;
	if (f->lifeline >= 0 && hold_lifeline(d, f->lifeline, e))
		return -1;
	hold_parent(d);
	pool_refill_soon(d);
	return 0;
}

static bool jobs_under_way(const struct daemon *d)
{
	for (size_t i = 0; i < d->all.n; i++)
		if (d->all.v[i]->job)
			return true;
	return false;
}

static int run(struct daemon *d, const struct flags *f)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	deadline last;

	d->started_wall = clock_wall_ns();
	if ((!f->foreground && go_background(&e)) || begin(d, f, &e))
		return complain(&e, 1);
	service_notify("READY=1\nSTATUS=serving\n");
	log_info("kapseld " KAPSEL_VERSION " serves %s", d->config.socket);
	while (!d->stopping && !(d->ending && end_containers(d)))
		if (loop_turn(d->loop, d->ending ? 100 : TURN_MS, &e))
			return complain(&e, 1);
	service_notify("STOPPING=1\n");
	d->stopping = true;
	last = deadline_in_ms(BIRTHS_MS);
	/* A birth under way is told to those who asked, and written down. */
	api_server_deafen(d->server);
	while (jobs_under_way(d) && !deadline_passed(last))
		if (loop_turn(d->loop, 20, &e))
			break;
	log_info("kapseld ends; %zu containers stay", d->all.n);
	api_server_free(d->server);
	pool_drop(d);
	if (geteuid() == 0 || below_delegated(&d->config.cgroup_parent))
		cgroup_let_go(d->config.cgroup_parent);
	if (d->ending) {
		journal_close(d->journal, CLOSE_MS);
		remove_run_dir(d);
	} else if (!journal_close(d->journal, CLOSE_MS)) {
		log_error("the journal's disk stalls: its last entries may be lost");
	}
	_exit(0); /* a thread that a dead disk holds would make exit() wait */
}

int main(int argc, char **argv)
{
	struct daemon d = {
		.run_dir = -1, .containers_dir = -1, .cache_dir = -1, .lock = -1, .lifeline = -1
	};
	struct flags f = { .lifeline = -1 };
	CLEANUP_ERR struct kerr e = KERR_INIT;
	CLEANUP_BUF struct buf b = BUF_INIT;
	bool ok;

	log_to(NULL, (void *)(uintptr_t) "kapseld", LOG_INFO);
	prctl(PR_SET_DUMPABLE, 0); /* callers' secrets pass through here: no core of them */
	config_default(&d.config);
	if (read_flags(argc, argv, &d.config, &f, &e))
		return complain(&e, 2);
	if (f.help)
		print_help(&d.config);
	else if (f.doc)
		print_doc();
	else if (f.version)
		puts("kapseld " KAPSEL_VERSION);
	if (f.help || f.doc || f.version)
		return 0;
	d.config.file = f.config ? mem_strdup(f.config) : NULL;
	if (config_load(&d.config, &e))
		return complain(&e, 1);
	make_absolute(&d.config.socket);
	make_absolute(&d.config.run_dir);
	make_absolute(&d.config.state_dir);
	service_log(d.config.log_format, d.config.log_level);
	if (f.check) {
		config_print(&d.config, &b);
		fputs(buf_str(&b), stdout);
		node_check_print(&d, &ok);
		return ok ? 0 : 1;
	}
	return run(&d, &f);
}
