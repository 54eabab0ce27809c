/* SPDX-License-Identifier: Apache-2.0 */
/* kapsel-oci: the runc command line, and what `kapsel check|plan|spec` hand over to. */
#include "oci.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_ENV = 4096, DELETE_MS = 10000, CONFIG_BYTES = 4 << 20 };

struct options {
	/* global */
	const char *program; /* "kapsel", when that has handed over */
	const char *root, *log, *log_format;
	bool debug, systemd_cgroup, version, help;
	/* of a command */
	const char *bundle, *pid_file, *console_socket, *facts, *process, *cwd, *user, *format,
		*volatile_size, *ignored;
	char *env[MOST_ENV];
	size_t nenv;
	uint64_t preserve;
	int failure;	  /* exit status of a failed command */
	bool f_is_format; /* -f means --format, not --force */
	bool detach, force, all, json, strict, no_pivot, no_new_keyring, tty, quiet, keep, stats,
		no_subreaper;
};

enum flag_kind { FLAG_BOOL, FLAG_STRING, FLAG_NUMBER, FLAG_LIST, FLAG_MAYBE };
struct flag {
	const char *name;
	char letter;
	enum flag_kind kind;
	size_t offset;
	const char *help;
	const char *arg; /* what a value is called */
	const char *of;	 /* commands that heed it; others pass over it, as callers of runc expect */
};
#define AT(m) offsetof(struct options, m)
static const struct flag globals[] = {
	{ "root", 0, FLAG_STRING, AT(root), "directory of the containers' states", .arg = "DIR" },
	{ "log", 0, FLAG_STRING, AT(log), "also append errors to this file", .arg = "FILE" },
	{ "log-format", 0, FLAG_STRING, AT(log_format), "how to write it", .arg = "text|json" },
	{ "log-level", 0, FLAG_STRING, AT(ignored), "accepted and passed over", .arg = "LEVEL" },
	{ "debug", 0, FLAG_BOOL, AT(debug), "say more", .arg = NULL },
	{ "systemd-cgroup", 0, FLAG_BOOL, AT(systemd_cgroup), "not carried out by this version",
		.arg = NULL },
	{ "rootless", 0, FLAG_STRING, AT(ignored), "accepted and passed over", .arg = "WORD" },
	{ "criu", 0, FLAG_STRING, AT(ignored), "accepted and passed over", .arg = "PATH" },
	{ "version", 'v', FLAG_BOOL, AT(version), "print the version and that of the specification",
		.arg = NULL },
	{ "help", 'h', FLAG_BOOL, AT(help), "print this", .arg = NULL },
};
static const struct flag flags[] = {
	{ "bundle", 'b', FLAG_STRING, AT(bundle), "the bundle's directory; default: this one",
		.arg = "DIR", .of = "create run" },
	{ "pid-file", 0, FLAG_STRING, AT(pid_file), "write the process's number there",
		.arg = "FILE", .of = "create run exec" },
	{ "console-socket", 0, FLAG_STRING, AT(console_socket), "socket that gets the terminal",
		.arg = "PATH", .of = "create run exec" },
	{ "preserve-fds", 0, FLAG_NUMBER, AT(preserve),
		"so many fds from 3 on go into the container", .arg = "N",
		.of = "create run exec" },
	{ "no-pivot", 0, FLAG_BOOL, AT(no_pivot), "accepted and passed over", .of = "create run" },
	{ "no-new-keyring", 0, FLAG_BOOL, AT(no_new_keyring), "accepted and passed over",
		.of = "create run" },
	{ "no-subreaper", 0, FLAG_BOOL, AT(no_subreaper), "accepted and passed over", .of = "run" },
	{ "detach", 'd', FLAG_BOOL, AT(detach), "do not wait for the end", .of = "run exec" },
	{ "keep", 0, FLAG_BOOL, AT(keep), "do not delete after run", .of = "run" },
	{ "force", 'f', FLAG_BOOL, AT(force), "kill first", .of = "delete" },
	{ "all", 'a', FLAG_BOOL, AT(all), "to every process, not only init", .of = "kill" },
	{ "process", 'p', FLAG_STRING, AT(process), "file with the process object", .arg = "FILE",
		.of = "exec" },
	{ "cwd", 0, FLAG_STRING, AT(cwd), "working directory", .arg = "DIR", .of = "exec" },
	{ "env", 'e', FLAG_LIST, AT(env), "set an environment variable", .arg = "NAME=VALUE",
		.of = "exec" },
	{ "user", 'u', FLAG_STRING, AT(user), "who it runs as", .arg = "UID[:GID]", .of = "exec" },
	{ "tty", 't', FLAG_BOOL, AT(tty), "with a terminal", .of = "exec" },
	{ "format", 0, FLAG_STRING, AT(format), "how to print", .arg = "table|json",
		.of = "list ps" },
	{ "quiet", 'q', FLAG_BOOL, AT(quiet), "ids only", .of = "list check" },
	{ "facts", 0, FLAG_STRING, AT(facts), "judge against another node's facts", .arg = "FILE",
		.of = "check plan" },
	{ "json", 0, FLAG_BOOL, AT(json), "print JSON", .of = "check plan list" },
	{ "strict", 0, FLAG_BOOL, AT(strict), "misspelt keys are faults, not warnings",
		.of = "check plan" },
	{ "volatile", 0, FLAG_MAYBE, AT(volatile_size),
		"judge with a writable overlay of this size, 64m if not given", .arg = "SIZE",
		.of = "check plan" },
};

struct command {
	const char *name, *args, *help;
	int min, max; /* words after the flags */
	int (*run)(struct options *o, int argc, char **argv, struct kerr *e);
	bool flags_first; /* what follows the first word belongs to it */
	bool f_is_format;
	int failure; /* exit status of a failure, if not 1 */
};

/* ---- flags
 * ----------------------------------------------------------------------------------------------------
 */

static const struct flag *find_flag(const struct flag *t, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if ((strlen(t[i].name) == len && memcmp(t[i].name, name, len) == 0) ||
			(len == 1 && t[i].letter == *name))
			return &t[i];
	return NULL;
}

static int set_flag(struct options *o, const struct flag *f, const char *value, struct kerr *e)
{
	void *to = (char *)o + f->offset;

	if (f->kind == FLAG_BOOL) {
		*(bool *)to = value == NULL || str_eq(value, "true");
		return 0;
	}
	if (f->kind == FLAG_MAYBE) {
		*(const char **)to = value ? value : "64m";
		return 0;
	}
	if (value == NULL)
		return kerr_fail(e, KERR_USAGE, 0, "flag needs an argument: --%s", f->name);
	if (f->kind == FLAG_STRING)
		*(const char **)to = value;
	else if (f->kind == FLAG_NUMBER && str_to_u64(value, to))
		return kerr_fail(e, KERR_USAGE, 0, "--%s takes a number, not '%s'", f->name, value);
	else if (f->kind == FLAG_LIST && o->nenv < MOST_ENV)
		o->env[o->nenv++] = (char *)(uintptr_t)value;
	return 0;
}

static int unknown_flag(
	const struct flag *t, size_t n, const char *word, const char *name, struct kerr *e)
{
	CLEANUP_FREE char *bare = mem_strndup(name, strcspn(name, "="));
	const char *near = NULL;

	for (size_t i = 0; i < n && strlen(bare) > 2; i++)
		if (str_distance(t[i].name, bare, 2) <= 2)
			near = t[i].name;
	return kerr_fail(e, KERR_USAGE, 0, "flag provided but not defined: %s%s%s%s", word,
		near ? "; did you mean --" : "", near ? near : "", near ? "?" : "");
}

/* One or two dashes, "=value" or the next word; stops at the first word that is no flag. */
static int read_flags(struct options *o, const struct flag *t, size_t n, int *argc, char ***argv,
	bool anywhere, struct kerr *e)
{
	char **words = *argv;
	int kept = 0, i = 0;

	for (; i < *argc; i++) {
		const char *word = words[i], *name = word + 1 + (word[0] == '-' && word[1] == '-'),
			   *equal = strchr(name, '=');
		const struct flag *f;

		if (word[0] != '-' || word[1] == '\0') {
			if (!anywhere)
				break;
			words[kept++] = words[i];
			continue;
		}
		if (str_eq(word, "--")) {
			i++;
			break;
		}
		f = find_flag(t, n, name, equal ? (size_t)(equal - name) : strlen(name));
		if (f && f->letter == 'f' && o->f_is_format && name[0] == 'f' &&
			strcspn(name, "=") == 1)
			f = find_flag(t, n, "format", 6);
		if (f == NULL)
			return unknown_flag(t, n, word, name, e);
		if (set_flag(o, f,
			    equal					    ? equal + 1
			    : f->kind == FLAG_BOOL || f->kind == FLAG_MAYBE ? NULL
			    : i + 1 < *argc				    ? words[++i]
									    : NULL,
			    e))
			return -1;
	}
	while (i < *argc)
		words[kept++] = words[i++];
	if (anywhere) {
		*argc = kept;
		return 0;
	}
	/* nothing was kept before the first word */
	*argc = kept;
	return 0;
}

/* ---- places
 * -----------------------------------------------------------------------------------------------------
 */

static int root_dir(const struct options *o, bool make, struct kerr *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	CLEANUP_FREE char *own = NULL;
	const char *path = o->root;

	if (path == NULL && geteuid() != 0 && runtime && *runtime)
		path = own = mem_printf("%s/kapsel-oci", runtime);
	if (path == NULL)
		path = "/run/kapsel-oci";
	return make ? path_own_mkdirs(AT_FDCWD, path, 0700, e)
		    : path_host(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, e);
}

static int check_id(const char *id, struct kerr *e)
{
	return oci_id_is_valid(id) ? 0
				   : kerr_fail(e, KERR_ID, 0, "'%.100s' is no container id", id);
}

/* The container's directory; "does not exist" is what callers look for. */
static int container_dir(const struct options *o, const char *id, struct kerr *e)
{
	CLEANUP_FD int root = -1;
	int dir;

	if (check_id(id, e))
		return -1;
	root = root_dir(o, false, NULL);
	dir = root < 0 ? -1 : path_own(root, id, O_RDONLY | O_DIRECTORY, 0, NULL);
	return dir < 0 ? kerr_fail(e, KERR_NOT_FOUND, 0, "container does not exist: %s", id) : dir;
}

static char *absolute(const char *path)
{
	CLEANUP_FREE char *cwd = getcwd(NULL, 0);

	return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", cwd ? cwd : "", path);
}

static int write_pid_file(const char *path, pid_t pid, struct kerr *e)
{
	CLEANUP_FREE char *text = mem_printf("%d", (int)pid);
	const char *slash = strrchr(path, '/');
	CLEANUP_FREE char *up =
		slash ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");
	CLEANUP_FD int dir = path_host(AT_FDCWD, up, O_RDONLY | O_DIRECTORY, e);

	return dir < 0 ? -1
		       : path_replace(
				 dir, slash ? slash + 1 : path, text, strlen(text), 0644, false, e);
}

static int read_facts(const struct options *o, struct facts *f, struct kerr *e)
{
	CLEANUP_FD int fd = -1;
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (o->facts == NULL)
		return facts_read_all(f, e);
	fd = path_host(AT_FDCWD, o->facts, O_RDONLY, e);
	if (fd < 0 || fd_read_all(fd, 1 << 20, &b, e))
		return -1;
	return facts_parse(buf_str(&b), b.len, f, e);
}

static int open_bundle(struct job *j, const char *path, struct kerr *e)
{
	CLEANUP_FREE char *whole = absolute(path);

	j->bundle = arena_strdup(j->a, whole);
	j->bundle_dir = path_host(AT_FDCWD, j->bundle, O_RDONLY | O_DIRECTORY, NULL);
	return j->bundle_dir < 0 ? kerr_fail(e, KERR_BUNDLE_MISSING, errno, "%s", j->bundle) : 0;
}

static void print(const struct buf *b)
{
	fwrite(buf_str(b), 1, b->len, stdout);
}

/* ---- judging
 * ------------------------------------------------------------------------------------------------------
 */

static void report_json(const struct kerr *e, const struct kerr *warnings)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT_PRETTY(&b);

	json_begin_object(&o);
	json_put_bool(&o, "acceptable", !kerr_is_set(e));
	json_key(&o, "faults");
	json_begin_array(&o);
	for (size_t i = 0; kerr_is_set(e) && i <= e->nfaults; i++) {
		struct kerr one = i ? e->faults[i - 1] : *e;

		one.nfaults = 0;
		json_begin_object(&o);
		json_put_kerr(&o, &one);
		json_end_object(&o);
	}
	json_end_array(&o);
	json_key(&o, "warnings");
	json_begin_array(&o);
	for (size_t i = 0; kerr_is_set(warnings) && i <= warnings->nfaults; i++) {
		struct kerr one = i ? warnings->faults[i - 1] : *warnings;

		one.nfaults = 0;
		json_begin_object(&o);
		json_put_kerr(&o, &one);
		json_end_object(&o);
	}
	json_end_array(&o);
	json_end_object(&o);
	buf_addc(&b, '\n');
	print(&b);
}

static void say_warnings(const struct kerr *w)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (!kerr_is_set(w))
		return;
	for (size_t i = 0; i <= w->nfaults; i++) {
		struct kerr one = i ? w->faults[i - 1] : *w;

		one.faults = NULL;
		one.nfaults = 0;
		buf_adds(&b, "warning: ");
		kerr_text(&one, &b);
	}
	fputs(buf_str(&b), stderr);
}

static int judge(struct job *j, const struct options *o, const char *bundle, struct kerr *e)
{
	struct spec_options so = { .strict = o->strict, .warn_unknown = true };
	struct plan_options po = { .id = NULL, .bundle = NULL, .wait_start = true };

	if (open_bundle(j, bundle, e) || read_facts(o, &j->facts, e))
		return -1;
	if (o->volatile_size) {
		po.volatile_root = true;
		if (str_to_bytes(o->volatile_size, &po.volatile_bytes))
			return kerr_fail(e, KERR_USAGE, 0, "--volatile takes a size");
	}
	return job_read(j, &so, NULL, e) || job_plan(j, &po, e) ? -1 : 0;
}

static int cmd_check(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct job j;
	int rc;

	job_init(&j);
	rc = judge(&j, o, argc ? argv[0] : ".", e);
	if (rc == 0 && j.plan.nwarnings)
		for (size_t i = 0; i < j.plan.nwarnings; i++) {
			struct kerr copy = KERR_INIT;
			const struct kerr *w = i ? &j.plan.warning->faults[i - 1] : j.plan.warning;

			kerr_fail(&copy, w->code, w->sys, "%s", w->message);
			kerr_at(&copy, w->pointer, w->line, w->column);
			kerr_add(&j.warnings, &copy);
		}
	if (o->json) {
		report_json(e, &j.warnings);
		if (rc) {
			kerr_clear(e);
			e->code = KERR_NONE;
			job_free(&j);
			return 1;
		}
	} else {
		say_warnings(&j.warnings);
		if (rc == 0 && !o->quiet)
			printf("%s: acceptable\n", argc ? argv[0] : ".");
	}
	job_free(&j);
	return rc;
}

static int read_process(struct job *j, const char *file, struct oci_process *p, struct kerr *e)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	CLEANUP_FD int fd = path_host(AT_FDCWD, file, O_RDONLY, e);

	if (fd < 0 || fd_read_all(fd, CONFIG_BYTES, &text, e))
		return kerr_step(e, "%s", file);
	return spec_parse_process(j->a, buf_str(&text), text.len, p, e);
}

static int cmd_plan(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct oci_process process;
	struct job j;
	int rc;

	job_init(&j);
	rc = judge(&j, o, argc ? argv[0] : ".", e);
	if (rc == 0 && o->process)
		rc = read_process(&j, o->process, &process, e) ||
				     plan_exec(j.a, &j.spec, &process, &j.facts, NULL, &j.plan, e)
			     ? -1
			     : 0;
	if (rc == 0) {
		if (o->json)
			plan_json(&j.plan, &b);
		else
			plan_text(&j.plan, &b);
		print(&b);
	}
	job_free(&j);
	return rc;
}

static int cmd_spec(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	(void)o;
	(void)argc;
	(void)argv;
	(void)e;
	spec_default(&b);
	print(&b);
	return 0;
}

static int cmd_features(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	(void)o;
	(void)argc;
	(void)argv;
	(void)e;
	spec_features(&b);
	print(&b);
	return 0;
}

static int cmd_facts(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct facts f;

	(void)argc;
	(void)argv;
	if (read_facts(o, &f, e))
		return -1;
	facts_json(&f, &b);
	facts_free(&f);
	print(&b);
	return 0;
}

static void print_field(void *ctx, const struct spec_field *f)
{
	(void)ctx;
	printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f->pointer, f->type, f->range,
		f->required ? "required" : "optional", f->supported ? "carried out" : "refused",
		f->doc, f->none);
}

static int cmd_fields(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)o;
	(void)argc;
	(void)argv;
	(void)e;
	spec_fields(print_field, NULL);
	return 0;
}

static void doc_commands(struct buf *b);

static int cmd_doc(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	size_t n;

	(void)o;
	(void)argc;
	if (str_eq(argv[0], "cgroups")) {
		plan_resources_doc(&b);
	} else if (str_eq(argv[0], "errors")) {
		for (int i = 1; i < KERR_COUNT; i++) {
			const struct kerr_row *r = kerr_row((enum kerr_code)i);

			buf_addf(&b, "%s\t%s\t%s\t%s\t%s\n", r->name, api_error_name(r->api),
				retry_name(r->retry), r->means, r->remedy);
		}
	} else if (str_eq(argv[0], "commands")) {
		doc_commands(&b);
	} else if (str_eq(argv[0], "annotations")) {
		const struct annotation_row *r = annotation_rows(&n);

		for (size_t i = 0; i < n; i++)
			buf_addf(&b, "%s\t%s\t%s\t%s\t%s\n", r[i].key, r[i].type, r[i].otherwise,
				r[i].supported ? "carried out" : "refused", r[i].doc);
	} else if (str_eq(argv[0], "operations")) {
		for (int k = 0; k < OP_COUNT; k++)
			buf_addf(&b, "%s\t%s\n", op_kind_name((enum op_kind)k),
				op_kind_read_back((enum op_kind)k));
	} else {
		return kerr_fail(
			e, KERR_USAGE, 0, "doc cgroups|errors|annotations|operations|commands");
	}
	print(&b);
	return 0;
}

/* ---- containers
 * ----------------------------------------------------------------------------------------------------
 */

static int on_born(void *arg, const struct container_born *b, struct kerr *e)
{
	struct job *j = arg;

	j->pid = b->pid;
	j->start_time = b->start_time;
	j->cgroup = mem_strdup(b->cgroup);
	j->created = clock_wall_ns();
	return record_write(j, e);
}

/* RUNTIME-CONTRACT's console protocol: one message, one byte at least, one fd. */
static int on_console(void *arg, int master, struct kerr *e)
{
	struct job *j = arg;
	CLEANUP_FD int fd = master;

	if (j->console_socket < 0)
		return kerr_fail(e, KERR_TERMINAL, 0, "a terminal needs --console-socket");
	return socket_send(j->console_socket, "/dev/ptmx", 9, &fd, 1, deadline_in_ms(5000), e) < 0
		       ? -1
		       : 0;
}

static int make_run_dir(struct job *j, const struct options *o, const char *id, struct kerr *e)
{
	CLEANUP_FD int root = -1;

	if (check_id(id, e))
		return -1;
	root = root_dir(o, true, e);
	if (root < 0)
		return -1;
	j->run_dir = path_own_mkdir(root, id, 0700, e);
	if (j->run_dir < 0 && e->code == KERR_ALREADY_EXISTS)
		return kerr_fail(e, KERR_ALREADY_EXISTS, 0, "container with id exists: %s", id);
	return j->run_dir < 0 ? -1 : 0;
}

static void remove_run_dir(const struct options *o, const char *id)
{
	CLEANUP_FD int root = root_dir(o, false, NULL);

	if (root >= 0)
		path_own_remove_tree(root, id, NULL);
}

static int prepare(struct job *j, struct options *o, const char *id, bool wait, struct kerr *e)
{
	struct spec_options so = { .need_process = !wait };
	struct plan_options po = { .id = id, .cgroup_parent = "/kapsel-oci", .wait_start = wait };

	if (o->systemd_cgroup)
		return kerr_fail(e, KERR_UNSUPPORTED, 0,
			"--systemd-cgroup is not carried out by this version");
	j->id = id;
	if (open_bundle(j, o->bundle ? o->bundle : ".", e) || facts_read(&j->facts, e) ||
		job_read(j, &so, NULL, e))
		return -1;
	po.bundle = j->bundle;
	if (job_plan(j, &po, e))
		return -1;
	if (j->spec.process.terminal && o->console_socket == NULL)
		return kerr_fail(e, KERR_TERMINAL, 0, "process.terminal needs --console-socket");
	if (o->console_socket && !wait && !o->detach)
		return kerr_fail(e, KERR_USAGE, 0, "--console-socket needs --detach");
	if (j->spec.process.terminal) {
		j->console_socket = path_connect_host(o->console_socket, SOCK_STREAM, e);
		if (j->console_socket < 0)
			return -1;
	} else if (o->console_socket) {
		return kerr_fail(e, KERR_USAGE, 0, "--console-socket needs process.terminal");
	}
	return make_run_dir(j, o, id, e);
}

static int delete_one(struct options *o, const char *id, bool force, struct kerr *e);

static struct container *create(struct job *j, struct options *o, bool sibling, struct kerr *e)
{
	struct container_order order = { .plan = &j->plan,
		.bundle = j->bundle_dir,
		.run_dir = j->run_dir,
		.stdio = { 0, 1, 2 },
		.preserve = (unsigned)o->preserve,
		.cache = -1,
		.sibling = sibling,
		.exec_target = -1,
		.born = on_born,
		.console = on_console,
		.state = job_state,
		.arg = j };
	struct container *c;

	if (path_replace(j->run_dir, "config.json", j->config.data, j->config.len, 0600, false, e))
		return NULL;
	c = container_create(&order, e);
	if (c && o->pid_file && write_pid_file(o->pid_file, j->pid, e)) {
		delete_one(o, j->id, true, NULL); /* nobody would know of it */
		container_free(c);
		return NULL;
	}
	return c;
}

static int cmd_create(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct container *c = NULL;
	struct job j;

	(void)argc;
	job_init(&j);
	if (prepare(&j, o, argv[0], true, e) == 0) {
		c = create(&j, o, true, e);
		if (c == NULL)
			remove_run_dir(o, argv[0]);
	}
	container_free(c);
	job_free(&j);
	return c ? 0 : -1;
}

static int run_hooks(
	struct job *j, int run_dir, enum oci_hook_kind kind, const char *status, struct kerr *e)
{
	CLEANUP_BUF struct buf state = BUF_INIT;

	j->run_dir = fcntl(run_dir, F_DUPFD_CLOEXEC, 3);
	if (job_reload(j, e) ||
		(kind == OCI_HOOK_POSTSTART && container_check_filter(j->pid, &j->spec, e)))
		return -1;
	state_json(j, status, &state);
	return container_hooks(&j->spec, kind, &state, e);
}

static int start_one(struct options *o, const char *id, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, id, e);
	struct record r;
	struct job j;
	int rc = -1;

	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	job_init(&j);
	if (!r.waits) {
		kerr_fail(e, KERR_WRONG_STATE, 0, "cannot start a container in the %s state",
			record_status(&r));
	} else if (container_start(dir, deadline_in_ms(60000), e) == 0) {
		j.id = r.id;
		j.bundle = r.bundle;
		j.pid = r.pid;
		rc = run_hooks(&j, dir, OCI_HOOK_POSTSTART, "running", e);
		if (rc)
			delete_one(o, id, true, NULL);
	}
	job_free(&j);
	record_free(&r);
	return rc;
}

static int cmd_start(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return start_one(o, argv[0], e);
}

static int pass_signals_until_end(struct container *c, struct kerr *e)
{
	sigset_t set;
	siginfo_t info;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		siginfo_t got;
		int sig = sigtimedwait(
			&set, &got, &(struct timespec) { .tv_sec = 0, .tv_nsec = 200000000 });

		if (pidfd_gone(container_pidfd(c)))
			break;
		if (sig > 0 && sig != SIGCHLD && sig != SIGPIPE)
			pidfd_signal(container_pidfd(c), sig, NULL);
	}
	if (pidfd_wait(container_pidfd(c), &info, false, e))
		return -1;
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static int cmd_run(struct options *o, int argc, char **argv, struct kerr *e)
{
	struct container *c = NULL;
	struct job j;
	int rc = -1;
	sigset_t child;

	(void)argc;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	job_init(&j);
	if (prepare(&j, o, argv[0], false, e) == 0) {
		c = create(&j, o, o->detach, e);
		if (c == NULL)
			remove_run_dir(o, argv[0]);
	}
	if (c) {
		CLEANUP_BUF struct buf state = BUF_INIT;

		state_json(&j, "running", &state);
		rc = container_hooks(&j.spec, OCI_HOOK_POSTSTART, &state, e);
		if (rc == 0 && !o->detach)
			rc = pass_signals_until_end(c, e);
		if (rc < 0 || (!o->detach && !o->keep)) {
			struct kerr why = KERR_INIT;

			delete_one(o, argv[0], true, &why);
			kerr_clear(&why);
		}
	}
	container_free(c);
	job_free(&j);
	return rc;
}

static int cmd_state(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, argv[0], e);
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out out = JSON_OUT_PRETTY(&b);
	struct record r;

	(void)argc;
	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	json_begin_object(&out);
	json_put_string(&out, "ociVersion", KAPSEL_SPEC_MAX);
	json_put_string(&out, "id", r.id);
	json_put_i64(&out, "pid", r.runs ? r.pid : 0);
	json_put_string(&out, "status", record_status(&r));
	json_put_string(&out, "bundle", r.bundle);
	json_put_string(&out, "rootfs", json_get_string(r.root, "rootfs", ""));
	json_put_string(&out, "created", json_get_string(r.root, "created", ""));
	if (json_get(r.root, "annotations")) {
		json_key(&out, "annotations");
		json_add_value(&out, json_get(r.root, "annotations"));
	}
	json_put_string(&out, "owner", "");
	json_end_object(&out);
	buf_addc(&b, '\n');
	print(&b);
	record_free(&r);
	return 0;
}

static int cmd_list(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int root = root_dir(o, false, NULL);
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out out = JSON_OUT(&b);
	struct path_names names = { NULL, 0 };
	bool json = o->json || str_eq(o->format, "json");

	(void)argc;
	(void)argv;
	if (root >= 0 && path_names(root, 1 << 20, &names, e))
		return -1;
	json_begin_array(&out);
	for (size_t i = 0; i < names.n; i++) {
		CLEANUP_FD int dir = path_own(root, names.v[i], O_RDONLY | O_DIRECTORY, 0, NULL);
		struct record r;

		if (dir < 0)
			continue;
		if (record_read(dir, &r, NULL) == 0) {
			if (json) {
				json_begin_object(&out);
				json_put_string(&out, "id", r.id);
				json_put_i64(&out, "pid", r.runs ? r.pid : 0);
				json_put_string(&out, "status", record_status(&r));
				json_put_string(&out, "bundle", r.bundle);
				json_put_string(
					&out, "created", json_get_string(r.root, "created", ""));
				json_end_object(&out);
			} else if (o->quiet) {
				printf("%s\n", r.id);
			} else {
				printf("%-24s %-8d %-9s %s\n", r.id, r.runs ? (int)r.pid : 0,
					record_status(&r), r.bundle);
			}
		}
		record_free(&r);
	}
	json_end_array(&out);
	if (json) {
		buf_addc(&b, '\n');
		print(&b);
	}
	path_names_free(&names);
	return 0;
}

static int cmd_kill(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, argv[0], e);
	int sig = argc > 1 ? signal_parse(argv[1]) : SIGTERM, rc = -1;
	struct record r;

	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	if (sig < 0) {
		kerr_fail(e, KERR_USAGE, 0, "'%s' is no signal", argv[1]);
	} else if (o->all) {
		struct cgroup *c = NULL;
		CLEANUP_FREE pid_t *pids = NULL;
		size_t n = 0;

		if (*r.cgroup == '\0' || cgroup_open(r.cgroup, &c, NULL) == 0) {
			if (c && sig == SIGKILL)
				cgroup_kill(c, deadline_in_ms(DELETE_MS), NULL);
			else if (c && cgroup_procs(c, &pids, &n, NULL) == 0)
				for (size_t i = 0; i < n; i++) {
					CLEANUP_FD int fd = pidfd_open_pid(pids[i], NULL);

					if (fd >= 0)
						pidfd_signal(fd, sig, NULL);
				}
			cgroup_free(c);
		}
		rc = 0;
	} else {
		CLEANUP_FD int pidfd = r.runs ? pidfd_open_known(r.pid, r.start_time, NULL) : -1;

		rc = pidfd < 0 ? -1 : pidfd_signal(pidfd, sig, NULL);
		if (rc)
			kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running");
	}
	record_free(&r);
	return rc;
}

static int end_container(const struct record *r, struct kerr *e)
{
	CLEANUP_FD int pidfd = r->runs ? pidfd_open_known(r->pid, r->start_time, NULL) : -1;
	struct cgroup *c = NULL;
	int rc = 0;

	if (pidfd >= 0)
		pidfd_signal(pidfd, SIGKILL, NULL);
	if (*r->cgroup && cgroup_open(r->cgroup, &c, NULL) == 0) {
		rc = cgroup_kill(c, deadline_in_ms(DELETE_MS), e) ||
				     cgroup_remove(c, deadline_in_ms(DELETE_MS), e)
			     ? -1
			     : 0;
		cgroup_free(c);
	}
	if (pidfd >= 0 && !poll_one(pidfd, POLLIN, deadline_in_ms(DELETE_MS)))
		return kerr_fail(e, KERR_TIMEOUT, 0, "waited for process %d to end", (int)r->pid);
	return rc;
}

static int delete_one(struct options *o, const char *id, bool force, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, id, e);
	struct record r;
	struct job j;
	int rc = 0;

	if (dir < 0) {
		if (force && e && e->code == KERR_NOT_FOUND) {
			kerr_clear(e);
			return 0;
		}
		return -1;
	}
	if (record_read(dir, &r, NULL)) { /* half made: there is nothing but the directory */
		record_free(&r);
		remove_run_dir(o, id);
		return 0;
	}
	if (r.runs && !r.waits && !force)
		rc = kerr_fail(e, KERR_WRONG_STATE, 0,
			"cannot delete container %s that is not stopped: %s", id,
			record_status(&r));
	else
		rc = end_container(&r, e);
	if (rc == 0) {
		CLEANUP_ERR struct kerr why = KERR_INIT;

		job_init(&j);
		j.id = r.id;
		j.bundle = r.bundle;
		if (run_hooks(&j, dir, OCI_HOOK_POSTSTOP, "stopped", &why))
			log_warning("%s: poststop hooks could not be run", id);
		job_free(&j);
		remove_run_dir(o, id);
	}
	record_free(&r);
	return rc;
}

static int cmd_delete(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return delete_one(o, argv[0], o->force, e);
}

/* ---- into a container that runs
 * ----------------------------------------------------------------------------------------- */

static int exec_process(struct job *j, struct options *o, int argc, char **argv,
	struct oci_process *p, struct kerr *e)
{
	struct oci_spec copy = j->spec;
	struct spec_override over = { .args = argv,
		.nargs = (size_t)argc,
		.env = o->env,
		.nenv = o->nenv,
		.cwd = o->cwd,
		.user = o->user,
		.terminal = o->tty ? 1 : -1 };

	if (o->process && argc)
		return kerr_fail(e, KERR_USAGE, 0, "--process and words of a command");
	if (o->process)
		return read_process(j, o->process, p, e);
	if (argc == 0)
		return kerr_fail(e, KERR_USAGE, 0, "exec needs a command or --process");
	if (spec_override(j->a, &copy, &over, e))
		return -1;
	*p = copy.process;
	return 0;
}

/* Unlike a container's init this one has no record. */
static int on_exec_born(void *arg, const struct container_born *b, struct kerr *e)
{
	struct job *j = arg;

	(void)e;
	j->pid = b->pid;
	j->start_time = b->start_time;
	return 0;
}

static int exec_console(struct job *j, const struct options *o, bool terminal, struct kerr *e)
{
	if (terminal != (o->console_socket != NULL))
		return kerr_fail(e, KERR_TERMINAL, 0,
			terminal ? "a terminal needs --console-socket"
				 : "--console-socket needs a terminal");
	if (!terminal)
		return 0;
	if (!o->detach)
		return kerr_fail(e, KERR_USAGE, 0, "--console-socket needs --detach");
	j->console_socket = path_connect_host(o->console_socket, SOCK_STREAM, e);
	return j->console_socket < 0 ? -1 : 0;
}

static int exec_into(
	struct job *j, struct options *o, const struct record *r, int target, struct kerr *e)
{
	struct container_order order = { .plan = &j->plan,
		.bundle = -1,
		.run_dir = -1,
		.stdio = { 0, 1, 2 },
		.preserve = (unsigned)o->preserve,
		.cache = -1,
		.sibling = o->detach,
		.exec_target = target,
		.exec_cgroup = r->cgroup,
		.born = on_exec_born,
		.console = on_console,
		.state = job_state,
		.arg = j };
	struct container *c = container_create(&order, e);
	int rc = 0;

	if (c == NULL)
		return -1;
	if (o->pid_file && write_pid_file(o->pid_file, j->pid, e)) {
		pidfd_signal(container_pidfd(c), SIGKILL, NULL);
		rc = -1;
	}
	if (rc == 0 && !o->detach)
		rc = pass_signals_until_end(c, e);
	container_free(c);
	return rc;
}

static int cmd_exec(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, argv[0], e);
	CLEANUP_FD int target = -1;
	struct oci_process process;
	struct record r;
	struct job j;
	sigset_t child;
	int rc = -1;

	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	job_init(&j);
	j.id = r.id;
	j.bundle = r.bundle;
	j.run_dir = fd_take(&dir);
	if (!r.runs || r.waits)
		kerr_fail(e, KERR_NOT_RUNNING, 0, "container not running: it is %s",
			record_status(&r));
	else if (r.paused)
		kerr_fail(e, KERR_WRONG_STATE, 0, "cannot exec in a paused container");
	else if (facts_read(&j.facts, e) == 0 && job_reload(&j, e) == 0 &&
		 exec_process(&j, o, argc - 1, argv + 1, &process, e) == 0 &&
		 exec_console(&j, o, process.terminal, e) == 0 &&
		 plan_exec(j.a, &j.spec, &process, &j.facts, NULL, &j.plan, e) == 0 &&
		 (target = pidfd_open_known(r.pid, r.start_time, e)) >= 0)
		rc = exec_into(&j, o, &r, target, e);
	job_free(&j);
	record_free(&r);
	return rc;
}

static int compare_pids(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int cmd_ps(struct options *o, int argc, char **argv, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, argv[0], e);
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_FREE pid_t *pids = NULL;
	struct json_out out = JSON_OUT(&b);
	struct cgroup *c = NULL;
	struct record r;
	size_t n = 0;

	(void)argc;
	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	if (r.runs && cgroup_open(r.cgroup, &c, NULL) == 0 && cgroup_procs(c, &pids, &n, NULL))
		n = 0;
	cgroup_free(c);
	record_free(&r);
	if (n)
		qsort(pids, n, sizeof *pids, compare_pids);
	if (str_eq(o->format, "json")) {
		json_begin_array(&out);
		for (size_t i = 0; i < n; i++)
			json_add_i64(&out, pids[i]);
		json_end_array(&out);
		buf_addc(&b, '\n');
	} else {
		buf_adds(&b, "     PID COMMAND\n");
		for (size_t i = 0; i < n; i++) {
			CLEANUP_FREE char *name = mem_printf("%d/comm", (int)pids[i]);
			CLEANUP_BUF struct buf comm = BUF_INIT;

			if (proc_read(name, 64, &comm, NULL) || comm.len == 0)
				continue; /* it has ended meanwhile */
			buf_addf(&b, "%8d ", (int)pids[i]);
			buf_add_escaped(&b, comm.data, strcspn(comm.data, "\n"));
			buf_addc(&b, '\n');
		}
	}
	print(&b);
	return 0;
}

static int freeze(struct options *o, const char *id, bool frozen, struct kerr *e)
{
	CLEANUP_FD int dir = container_dir(o, id, e);
	struct cgroup *c = NULL;
	struct record r;
	int rc;

	if (dir < 0 || record_read(dir, &r, e))
		return -1;
	if (!r.runs || r.waits)
		rc = kerr_fail(e, KERR_WRONG_STATE, 0, "container not running: it is %s",
			record_status(&r));
	else
		rc = cgroup_open(r.cgroup, &c, e)
			     ? -1
			     : cgroup_freeze(c, frozen, deadline_in_ms(DELETE_MS), e);
	cgroup_free(c);
	record_free(&r);
	return rc;
}

static int cmd_pause(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return freeze(o, argv[0], true, e);
}

static int cmd_resume(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)argc;
	return freeze(o, argv[0], false, e);
}

static int cmd_executor(struct options *o, int argc, char **argv, struct kerr *e)
{
	(void)o;
	(void)e;
	return executor_main(argc, argv);
}

static const struct command commands[] = {
	{ "create", "[flags] ID", "build a container; its program waits for start", 1, 1,
		.run = cmd_create },
	{ "start", "ID", "run the program of a created container", 1, 1, .run = cmd_start },
	{ "run", "[flags] ID", "create and start; wait unless --detach", 1, 1, .run = cmd_run },
	{ "state", "ID", "print the state as JSON", 1, 1, .run = cmd_state },
	{ "list", "[--format json] [-q]", "all containers", 0, 0, .run = cmd_list,
		.f_is_format = true },
	{ "exec", "[flags] ID [COMMAND...]", "run one more program in a container", 1, 1 << 20,
		.run = cmd_exec, .flags_first = true, .failure = 255 },
	{ "ps", "[--format json] ID", "its processes by the host's numbers", 1, 1, .run = cmd_ps,
		.f_is_format = true },
	{ "kill", "[--all] ID [SIGNAL]", "send a signal to init", 1, 2, .run = cmd_kill },
	{ "delete", "[--force] ID", "remove what create made", 1, 1, .run = cmd_delete },
	{ "pause", "ID", "freeze", 1, 1, .run = cmd_pause },
	{ "resume", "ID", "thaw", 1, 1, .run = cmd_resume },
	{ "check", "[--strict] [--json] [--facts FILE] [BUNDLE]", "judge a bundle; needs no rights",
		0, 1, .run = cmd_check },
	{ "plan", "[--json] [--facts FILE] [--process FILE] [BUNDLE]",
		"print what would be done; needs no rights", 0, 1, .run = cmd_plan },
	{ "spec", "", "print a config.json to begin with", 0, 0, .run = cmd_spec },
	{ "features", "", "print what this program carries out, as JSON", 0, 0,
		.run = cmd_features },
	{ "facts", "", "print what this node can do", 0, 0, .run = cmd_facts },
	{ "fields", "", "every field of config.json", 0, 0, .run = cmd_fields },
	{ "doc", "TOPIC", "tables for the documentation", 1, 1, .run = cmd_doc },
	{ "--executor", "", "for kapseld: take one order on fd 3", 0, 16, .run = cmd_executor },
};

static void doc_flags(struct buf *b, const char *kind, const struct flag *f, size_t n)
{
	for (; n; n--, f++)
		buf_addf(b, "%s\t%s\t%c\t%s%s\t%s\t%s\n", kind, f->name,
			f->letter ? f->letter : '-', f->kind == FLAG_MAYBE ? "=" : "",
			f->arg ? f->arg : "", f->of ? f->of : "", f->help);
}

static void doc_commands(struct buf *b)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		buf_addf(b, "command\t%s\t%s\t%s\n", commands[i].name, commands[i].args,
			commands[i].help);
	doc_flags(b, "global", globals, ARRAY_LEN(globals));
	doc_flags(b, "flag", flags, ARRAY_LEN(flags));
}

static bool heeds(const struct flag *f, const char *command)
{
	size_t len = strlen(command);

	for (const char *at = f->of; at && *at; at += strcspn(at, " "), at += *at == ' ')
		if (strcspn(at, " ") == len && memcmp(at, command, len) == 0)
			return true;
	return false;
}

static void flag_help(const struct flag *f)
{
	CLEANUP_FREE char *letter = f->letter ? mem_printf("-%c, ", f->letter) : NULL;
	CLEANUP_FREE char *words = mem_printf("%4s--%s%s%s", letter ? letter : "", f->name,
		f->kind == FLAG_MAYBE ? "[="
		: f->arg	      ? " "
				      : "",
		f->arg ? f->arg : "");

	printf("  %s%-*s %s\n", words, (int)strlen(words) < 28 ? 28 - (int)strlen(words) : 0,
		f->kind == FLAG_MAYBE ? "]" : "", f->help);
}

static void help(void)
{
	printf("Usage: kapsel-oci [global flags] COMMAND [flags] [ID]\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (commands[i].name[0] != '-')
			printf("  %-8s %-46s %s\n", commands[i].name, commands[i].args,
				commands[i].help);
	printf("\nGlobal flags:\n");
	for (size_t i = 0; i < ARRAY_LEN(globals); i++)
		flag_help(&globals[i]);
	printf("\nFlags, of some commands:\n");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		flag_help(&flags[i]);
	printf("\n`kapsel-oci COMMAND --help` says which.\n");
}

static int command_help(const struct command *c)
{
	bool any = false;

	printf("Usage: kapsel-oci %s%s%s\n%s\n", c->name, *c->args ? " " : "", c->args, c->help);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!heeds(&flags[i], c->name))
			continue;
		if (!any)
			printf("\nFlags:\n");
		any = true;
		flag_help(&flags[i]);
	}
	return 0;
}

/* To stderr, and to --log: some callers read one, some the other. One record a failed run. */
static void report(const struct options *o, const struct kerr *e)
{
	CLEANUP_BUF struct buf text = BUF_INIT;
	CLEANUP_BUF struct buf line = BUF_INIT;
	CLEANUP_BUF struct buf record = BUF_INIT;
	CLEANUP_FD int fd =
		o->log ? path_host(AT_FDCWD, o->log, O_WRONLY | O_APPEND | O_CREAT, NULL) : -1;
	char now[TIME_TEXT];

	kerr_text(e, &text);
	if (fd < 0 || !str_eq(o->log_format, "json"))
		buf_add(&record, text.data, text.len);
	if (fd >= 0 && str_eq(o->log_format, "json")) {
		struct json_out out = JSON_OUT(&line);
		CLEANUP_BUF struct buf message = BUF_INIT;

		kerr_line(e, &message);
		json_begin_object(&out);
		json_put_string(&out, "level", "error");
		json_put_string(&out, "msg", buf_str(&message));
		json_put_string(&out, "time", time_text(clock_wall_ns(), now));
		json_put_string(&out, "code", kerr_row(e->code)->name);
		json_end_object(&out);
		buf_addc(&line, '\n');
		if (write(fd, line.data, line.len) < 0)
			fputs("kapsel-oci: the log cannot be written\n", stderr);
	} else if (fd >= 0 && write(fd, record.data, record.len) < 0) {
		fputs("kapsel-oci: the log cannot be written\n", stderr);
	}
	fprintf(stderr, "%s: %s", o->program ? o->program : "kapsel-oci", buf_str(&text));
}

static const struct command *find_command(const char *name, struct kerr *e)
{
	const char *near = NULL;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
		if (str_distance(commands[i].name, name, 2) <= 2)
			near = commands[i].name;
	}
	if (str_eq(name, "checkpoint") || str_eq(name, "restore"))
		kerr_fail(e, KERR_UNSUPPORTED, 0, "%s is not supported by kapsel-oci", name);
	else
		kerr_fail(e, KERR_USAGE, 0, "no command '%s'%s%s%s", name,
			near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
	return NULL;
}

static int run(struct options *o, int argc, char **argv, struct kerr *e)
{
	const struct command *c;

	if (argc && str_eq(argv[0], "--executor"))
		return executor_main(argc, argv);
	if (argc && str_eq(argv[0], "--template"))
		return template_main(argc, argv);
	if (read_flags(o, globals, ARRAY_LEN(globals), &argc, &argv, false, e))
		return -1;
	if (o->version) {
		printf("kapsel-oci version %s\ncommit: unknown\nspec: %s\n", KAPSEL_VERSION,
			KAPSEL_SPEC_MAX);
		return 0;
	}
	if (o->help || argc == 0 || str_eq(argv[0], "help")) {
		help();
		return argc == 0 && !o->help;
	}
	c = find_command(argv[0], e);
	argc--;
	argv++;
	if (c == NULL)
		return -1;
	if (argc && (str_eq(argv[0], "--help") || str_eq(argv[0], "-h")))
		return command_help(c);
	o->f_is_format = c->f_is_format;
	o->failure = c->failure ? c->failure : 1;
	if (read_flags(o, flags, ARRAY_LEN(flags), &argc, &argv, !c->flags_first, e))
		return -1;
	if (argc < c->min || argc > c->max)
		return kerr_fail(e, KERR_USAGE, 0, "%s %s %s",
			o->program ? o->program : "kapsel-oci", c->name, c->args);
	return c->run(o, argc, argv, e);
}

/* A process of ours that goes inside shows this program there. */
static bool goes_inside(int argc, char **argv)
{
	static const char *const names[] = { "--executor", "--template", "create", "run", "exec" };

	for (int i = 1; i < argc; i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (str_eq(argv[i], names[k]))
				return geteuid() == 0;
	return false;
}

int main(int argc, char **argv)
{
	static struct options o;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	int rc;

	/* Who may not copy a mount may not build a container that could abuse it either. */
	if (goes_inside(argc, argv) && container_shield(argv, &e) && e.sys != EPERM) {
		report(&o, &e);
		return 1;
	}
	kerr_clear(&e);

	log_to(NULL, (void *)(uintptr_t) "kapsel-oci", LOG_WARNING);
	signal(SIGPIPE, SIG_IGN);
	if (str_eq(argv[0], "kapsel"))
		o.program = argv[0];
	rc = run(&o, argc - 1, argv + 1, &e);
	if (rc < 0) {
		report(&o, &e);
		if (e.code == KERR_USAGE && o.program)
			return 2;
		return o.failure ? o.failure : 1;
	}
	fflush(stdout);
	return rc;
}
