/* SPDX-License-Identifier: Apache-2.0 */
/* kapseld: opens its places, knows again what runs, and turns the loop. */
#include "daemon.h"
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct options {
	const char *socket, *run_dir, *state_dir, *config, *log_format, *lifeline;
	bool foreground, check, version, help;
};

static const struct option_row {
	const char *name, *value;
	size_t offset;
	const char *help;
} option_rows[] = {
	{ "--socket", "PATH", offsetof(struct options, socket), "where clients connect; default: RUN-DIR/kapseld.sock" },
	{ "--run-dir", "DIR", offsetof(struct options, run_dir), "what dies with the machine; default: /run/kapsel" },
	{ "--state-dir", "DIR", offsetof(struct options, state_dir), "what survives it; default: /var/lib/kapsel" },
	{ "--config", "FILE", offsetof(struct options, config), "JSON; --check prints it with its origins" },
	{ "--log-format", "text|json", offsetof(struct options, log_format), "of the log on stderr" },
	{ "--lifeline", "FD", offsetof(struct options, lifeline), "serve this socket too, and end with all containers when it closes" },
	{ "--foreground", NULL, offsetof(struct options, foreground), "do not leave the terminal (it never does)" },
	{ "--check", NULL, offsetof(struct options, check), "look at the node and the configuration, and end" },
	{ "--version", NULL, offsetof(struct options, version), "print the version" },
	{ "--help", NULL, offsetof(struct options, help), "print this" },
};

static int read_options(int argc, char **argv, struct options *o, struct kerr *e)
{
	for (int i = 1; i < argc; i++) {
		const char *equal = strchr(argv[i], '=');
		size_t n = equal ? (size_t)(equal - argv[i]) : strlen(argv[i]), r = 0;

		while (r < ARRAY_LEN(option_rows) && (strlen(option_rows[r].name) != n || memcmp(option_rows[r].name, argv[i], n) != 0))
			r++;
		if (r == ARRAY_LEN(option_rows))
			return kerr_fail(e, KERR_USAGE, 0, "no option '%.60s'", argv[i]);
		if (option_rows[r].value == NULL)
			*(bool *)((char *)o + option_rows[r].offset) = true;
		else if (equal || i + 1 < argc)
			*(const char **)((char *)o + option_rows[r].offset) = equal ? equal + 1 : argv[++i];
		else
			return kerr_fail(e, KERR_USAGE, 0, "%s needs a value", option_rows[r].name);
	}
	return 0;
}

static void help(void)
{
	printf("Usage: kapseld [options]\n\nStarts, watches and stops containers from OCI bundles (kapseld(8)).\n\n");
	for (size_t i = 0; i < ARRAY_LEN(option_rows); i++)
		printf("  %-14s %-10s %s\n", option_rows[i].name, option_rows[i].value ? option_rows[i].value : "", option_rows[i].help);
}

static void json_log(void *arg, enum log_level level, const char *line)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	char time[TIME_TEXT];

	(void)arg;
	json_begin_object(&o);
	json_put_string(&o, "time", time_text(clock_wall_ns(), time));
	json_put_string(&o, "level", names[level]);
	json_put_string(&o, "msg", line);
	json_end_object(&o);
	buf_addc(&b, '\n');
	if (write(STDERR_FILENO, b.data, b.len) < 0)
		return;
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

static int own_dir(int at, const char *name, mode_t mode, struct kerr *e)
{
	int fd = path_own_mkdirs(at, name, mode, e);

	if (fd >= 0 && fchmod(fd, mode) < 0) {
		close(fd);
		return kerr_fail(e, KERR_PATH_WRITE, errno, "mode of %s", name);
	}
	return fd;
}

static int open_places(struct daemon *d, struct kerr *e)
{
	if ((d->run = own_dir(AT_FDCWD, d->config.run_dir, 0711, e)) < 0 || (d->containers = own_dir(d->run, "c", 0700, e)) < 0 ||
		(d->state = own_dir(AT_FDCWD, d->config.state_dir, 0700, e)) < 0 || (d->logs = own_dir(d->state, "logs", 0700, e)) < 0 ||
		(d->cache = own_dir(d->state, "cache", 0700, e)) < 0 || (d->journal_dir = own_dir(d->state, "journal", 0700, e)) < 0)
		return -1;
	d->lock = path_own(d->run, "lock", O_RDWR | O_CREAT, 0600, e);
	if (d->lock < 0)
		return -1;
	if (flock(d->lock, LOCK_EX | LOCK_NB) < 0)
		return kerr_fail(e, KERR_BUSY, errno, "another kapseld works in %s", d->config.run_dir);
	return 0;
}

/* sd_listen_fds(3): fd 3 is ours if LISTEN_PID is. */
static int passed_listener(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
	uint64_t p, count;

	if (pid == NULL || n == NULL || str_to_u64(pid, &p) || str_to_u64(n, &count) || p != (uint64_t)getpid() || count < 1)
		return -1;
	fcntl(3, F_SETFD, FD_CLOEXEC);
	return 3;
}

static void give_to_group(const char *path)
{
	const struct group *g = getgrnam("kapsel");

	if (g && path_host_chown(path, (uid_t)-1, g->gr_gid) < 0)
		log_warning("%s cannot be given to the group kapsel", path);
}

static int listen_for_clients(struct daemon *d, struct kerr *e)
{
	int fd = passed_listener();

	if (fd < 0) {
		fd = path_listen_host(d->config.socket, SOCK_STREAM, 0660, e);
		if (fd >= 0)
			give_to_group(d->config.socket);
	}
	return fd;
}

/* sd_notify(3), spoken directly. */
static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	CLEANUP_FD int s = -1;

	if (path == NULL || (*path != '/' && *path != '@') || strlen(path) >= sizeof a.sun_path)
		return;
	memcpy(a.sun_path, path, strlen(path));
	if (*path == '@')
		a.sun_path[0] = '\0';
	s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s >= 0 && sendto(s, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_warning("NOTIFY_SOCKET takes nothing");
}

/* ---- signals ------------------------------------------------------------------------------------------------------- */

int daemon_reload(struct daemon *d, struct kerr *e)
{
	struct arena *a = arena_new();
	struct config fresh = d->config;

	fresh.a = a;
	notify("RELOADING=1");
	if (config_load(d, &fresh, e)) {
		CLEANUP_BUF struct buf text = BUF_INIT;

		kerr_text(e, &text);
		log_error("the configuration stays as it was: %s", buf_str(&text));
		arena_free(a);
		notify("READY=1");
		return -1;
	}
	arena_free(d->config_arena);
	d->config_arena = a;
	d->config = fresh;
	log_info("the configuration was read again");
	notify("READY=1");
	return 0;
}

struct signals { struct source s; struct daemon *d; };

static enum source_answer on_signal(struct source *s, uint32_t events)
{
	struct daemon *d = ((struct signals *)(void *)s)->d;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct signalfd_siginfo info;
	siginfo_t child;

	(void)events;
	while (read(s->fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGHUP)
			daemon_reload(d, &e);
		else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
			d->stopping = true;
		else /* monitors and executors end by themselves; their sockets tell what matters */
			while (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0 && child.si_pid &&
				waitid(P_PID, (id_t)child.si_pid, &child, WEXITED | WNOHANG) == 0)
				;
	}
	return SOURCE_KEEP;
}

static int watch_signals(struct daemon *d, struct signals *s, struct kerr *e)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	*s = (struct signals){ .s = { .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = on_signal }, .d = d };
	return s->s.fd < 0 ? kerr_fail(e, KERR_LIMIT, errno, "signalfd") : loop_add(d->loop, &s->s, EPOLLIN, e);
}

/* ---- the cgroup above all containers: there as long as we are, so that nobody makes it anew ------------------------- */

static void hold_cgroup(struct daemon *d)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;

	if (cgroup_make(d->config.cgroup_parent, d->config.cgroup_parent, &d->cgroup, &e))
		log_warning("%s: %s", d->config.cgroup_parent, e.message);
}

static void drop_cgroup(struct daemon *d)
{
	if (d->cgroup && cgroup_remove(d->cgroup, 0, NULL))
		log_debug("%s has containers in it", d->config.cgroup_parent);
	cgroup_free(d->cgroup);
}

/* ---- a daemon for one call ------------------------------------------------------------------------------------------ */

struct lifeline { struct source s; struct daemon *d; };

static enum source_answer lifeline_ready(struct source *s, uint32_t events)
{
	struct daemon *d = ((struct lifeline *)(void *)s)->d;

	(void)events;
	d->lifeline_cut = d->stopping = true;
	return SOURCE_DONE;
}

static int hold_lifeline(struct daemon *d, struct lifeline *l, struct kerr *e)
{
	if (d->lifeline < 0)
		return 0;
	fcntl(d->lifeline, F_SETFD, FD_CLOEXEC);
	*l = (struct lifeline){ .s = { .fd = fcntl(d->lifeline, F_DUPFD_CLOEXEC, 3), .ready = lifeline_ready }, .d = d };
	if (l->s.fd < 0 || loop_add(d->loop, &l->s, EPOLLHUP | EPOLLRDHUP, e))
		return -1;
	return api_server_adopt(d->server, d->lifeline, e);
}

static bool any_box(struct daemon *d)
{
	for (size_t i = 0; i < TABLE; i++)
		if (d->table[i])
			return true;
	return false;
}

static void end_everything(struct daemon *d)
{
	deadline until = deadline_in_ms(5000);

	for (size_t i = 0; i < TABLE; i++)
		for (struct box *b = d->table[i], *next; b; b = next) {
			next = b->next;
			b->delete_when_stopped = true;
			if (b->life == LIFE_STOPPED)
				box_remove(b);
			else
				box_stop(b, SIGKILL, 0, "the end of the call", NULL);
		}
	while (any_box(d) && !deadline_passed(until))
		loop_turn(d->loop, 50, NULL);
}

static void remove_places(struct daemon *d)
{
	CLEANUP_FREE char *up = mem_strdup(d->config.run_dir);
	char *slash = strrchr(up, '/');
	CLEANUP_FD int dir = -1;

	if (slash == NULL || slash == up)
		return;
	*slash = '\0';
	dir = path_host(AT_FDCWD, up, O_RDONLY | O_DIRECTORY, NULL);
	if (dir >= 0)
		path_own_remove_tree(dir, slash + 1, NULL);
}

/* ---- main ------------------------------------------------------------------------------------------------------------ */

static void on_tick(struct timer *t)
{
	struct daemon *d = (struct daemon *)(void *)((char *)t - offsetof(struct daemon, tick));

	follow_logs(d);
	loop_timer(d->loop, t, deadline_in_ms(1000));
}

static int run(struct daemon *d, struct kerr *e)
{
	static const struct api_hooks hooks = { .role = daemon_role, .call = daemon_call, .audit = daemon_audit };
	struct signals signals;
	struct lifeline lifeline = { .s = { .fd = -1 } };
	int listener;

	if (open_places(d, e) || loop_new(&d->loop, e) || watch_signals(d, &signals, e) || journal_open(d->journal_dir, NULL, &d->journal, e))
		return -1;
	listener = listen_for_clients(d, e);
	if (listener < 0 || api_server_new(d->loop, listener, NULL, &hooks, d, &d->server, e))
		return -1;
	hold_cgroup(d);
	recover(d);
	pool_refill(d);
	if (hold_lifeline(d, &lifeline, e))
		return -1;
	d->tick.fire = on_tick;
	loop_timer(d->loop, &d->tick, deadline_in_ms(1000));
	log_info("kapseld %s serves %s: %zu containers", KAPSEL_VERSION, d->config.socket, d->boxes);
	notify("READY=1");
	while (!d->stopping) {
		if (loop_turn(d->loop, d->refill_soon && d->creating == 0 ? 0 : -1, e))
			return -1;
		if (d->refill_soon && (d->creating == 0 || d->idle_pairs == 0)) { /* not in a start's way */
			d->refill_soon = false;
			pool_refill(d);
		}
	}
	notify("STOPPING=1");
	if (d->lifeline_cut)
		end_everything(d);
	drop_cgroup(d);
	return 0;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct options o = { 0 };
	CLEANUP_BUF struct buf text = BUF_INIT;
	uint64_t fd;
	int rc;

	log_to(NULL, (void *)(uintptr_t)"kapseld", LOG_INFO);
	umask(077);
	if (read_options(argc, argv, &o, &e)) {
		kerr_text(&e, &text);
		fprintf(stderr, "kapseld: %s", buf_str(&text));
		return 2;
	}
	if (o.help || o.version) {
		if (o.help)
			help();
		else
			printf("kapseld %s\n", KAPSEL_VERSION);
		return 0;
	}
	if (str_eq(o.log_format, "json"))
		log_to(json_log, NULL, LOG_INFO);
	d.lifeline = o.lifeline && str_to_u64(o.lifeline, &fd) == 0 ? (int)fd : -1;
	d.config_file = o.config;
	d.config_arena = d.config.a = arena_new();
	d.config.run_dir = o.run_dir ? o.run_dir : "/run/kapsel";
	d.config.state_dir = o.state_dir ? o.state_dir : "/var/lib/kapsel";
	d.config.socket = o.socket ? o.socket : arena_printf(d.config.a, "%s/kapseld.sock", d.config.run_dir);
	d.config.run_dir = mem_strdup(d.config.run_dir);
	d.config.state_dir = mem_strdup(d.config.state_dir);
	d.config.socket = mem_strdup(d.config.socket); /* they outlive a reload's arena */
	d.started = clock_wall_ns();
	rc = config_load(&d, &d.config, &e) || find_programs(&d, &e) ? -1 : 0;
	if (rc == 0 && o.check) {
		rc = node_check(&d, NULL, &text);
		config_print(&d.config, &text);
		fputs(buf_str(&text), stdout);
		return rc ? 1 : 0;
	}
	if (rc == 0)
		rc = run(&d, &e);
	if (rc) {
		kerr_text(&e, &text);
		log_error("%s", buf_str(&text));
	}
	api_server_free(d.server);
	if (d.journal && !journal_close(d.journal, 2000))
		_exit(rc ? 1 : 0); /* a stalled disk keeps its thread, not us */
	if (d.lifeline_cut)
		remove_places(&d);
	return rc ? 1 : 0;
}
