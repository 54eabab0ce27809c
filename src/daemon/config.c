/* SPDX-License-Identifier: Apache-2.0 */
/* kapseld's configuration: one table, from which the reader, --check and the manual live. */
#include "daemon.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(struct config, member)
#define TEXT	   .number = false
#define NUMBER	   .number = true
static const struct config_row rows[] = {
	{ "/socket", "where the API listens, if no service manager hands over a socket", TEXT,
		.fixed = true, .offset = AT(socket) },
	{ "/runDir", "directory of the containers' running state: a tmpfs, gone with the machine",
		TEXT, .fixed = true, .offset = AT(run_dir) },
	{ "/stateDir", "directory of the journal, the logs and the filter cache", TEXT,
		.fixed = true, .offset = AT(state_dir) },
	{ "/log/format", "how kapseld's own log is written", TEXT, .offset = AT(log_format),
		.words = "text|json" },
	{ "/log/level", "the least that kapseld logs", TEXT, .offset = AT(log_level),
		.words = "error|warning|info|debug" },
	{ "/roles/observe",
		"who may look: a list of root, any, user:NAME, uid:N, group:NAME, gid:N", TEXT,
		.offset = AT(observe) },
	{ "/roles/operate", "who may change containers, which is as good as being root", TEXT,
		.offset = AT(operate) },
	{ "/roles/admin", "who may change the node", TEXT, .offset = AT(admin) },
	{ "/pool", "executors that are kept started and waiting; 0 for none", NUMBER,
		.offset = AT(pool), .max = 64 },
	{ "/cache", "1 to keep compiled seccomp programs, 0 to compile each time", NUMBER,
		.offset = AT(cache), .max = 1 },
	{ "/cgroupParent", "cgroup above those of containers that name none", TEXT,
		.offset = AT(cgroup_parent) },
	{ "/birthTimeoutMs", "how long building a container may take, hooks included", NUMBER,
		.offset = AT(birth_ms), .min = 100, .max = 3600000 },
	{ "/defaults/stopSignal", "signal that asks a container to end", TEXT,
		.offset = AT(stop_signal) },
	{ "/defaults/stopTimeoutMs", "how long a container may take to end before it is killed",
		NUMBER, .offset = AT(stop_ms), .max = 86400000 },
	{ "/defaults/logDriver", "whether output is kept in a log file", TEXT,
		.offset = AT(log_driver), .words = "cri|none" },
	{ "/defaults/logMaxSize", "bytes after which a new log file is begun", NUMBER,
		.offset = AT(log_size), .min = 4096, .max = 1ull << 40 },
	{ "/defaults/logMaxFiles", "log files of one container", NUMBER, .offset = AT(log_files),
		.min = 1, .max = 100 },
	{ "/limits/containers", "containers at the same time", NUMBER, .offset = AT(containers),
		.min = 1, .max = STORE_CONTAINERS },
	{ "/limits/messageBytes", "largest request", NUMBER, .offset = AT(limits.message_bytes),
		.min = 4096, .max = 16 << 20 },
	{ "/limits/callsPerConnection", "unanswered calls of one connection", NUMBER,
		.offset = AT(limits.calls), .min = 1, .max = 1024 },
	{ "/limits/halfMessageMs", "how long the rest of a begun request may take", NUMBER,
		.offset = AT(limits.half_message_ms), .min = 100, .max = 3600000 },
	{ "/limits/unsentBytes", "answers that a client has not read, before it is dropped", NUMBER,
		.offset = AT(limits.unsent_bytes), .min = 65536, .max = 1 << 30 },
	{ "/limits/connectionsPerUid", "connections of one user", NUMBER,
		.offset = AT(limits.connections_per_uid), .min = 1, .max = 100000 },
	{ "/limits/connections", "connections in all", NUMBER, .offset = AT(limits.connections),
		.min = 2, .max = 100000 },
};
_Static_assert(ARRAY_LEN(rows) <= sizeof((struct config *)NULL)->origin, "an origin a row");

const struct config_row *config_rows(size_t *n)
{
	*n = ARRAY_LEN(rows);
	return rows;
}

static char **text_at(struct config *c, const struct config_row *r)
{
	return (char **)((char *)c + r->offset);
}

static uint64_t *number_at(struct config *c, const struct config_row *r)
{
	return (uint64_t *)((char *)c + r->offset);
}

/* $VARIABLE/NAME, or $HOME/OTHERWISE/NAME; NULL: neither is set (XDG Base Directory Specification).
 */
static char *users_path(const char *variable, const char *otherwise, const char *name)
{
	const char *base = getenv(variable), *home = getenv("HOME");

	if (base && *base == '/')
		return mem_printf("%s/%s", base, name);
	return otherwise && home && *home == '/' ? mem_printf("%s/%s/%s", home, otherwise, name)
						 : NULL;
}

static void put_path(char **to, char *path)
{
	if (path == NULL)
		return;
	free(*to);
	*to = path;
}

/* An ordinary user's own: everything is that user's, and nobody else has a role. */
static void config_of_user(struct config *c)
{
	put_path(&c->socket, users_path("XDG_RUNTIME_DIR", NULL, "kapsel/kapseld.sock"));
	put_path(&c->run_dir, users_path("XDG_RUNTIME_DIR", NULL, "kapsel"));
	put_path(&c->state_dir, users_path("XDG_STATE_HOME", ".local/state", "kapsel"));
	put_path(&c->observe, mem_printf("root,uid:%u", (unsigned)geteuid()));
	put_path(&c->operate, mem_strdup(c->observe));
	put_path(&c->admin, mem_strdup(c->observe));
}

void config_default(struct config *c)
{
	memset(c, 0, sizeof *c);
	c->socket = mem_strdup("/run/kapsel/kapseld.sock");
	c->run_dir = mem_strdup("/run/kapsel");
	c->state_dir = mem_strdup("/var/lib/kapsel");
	c->log_format = mem_strdup("text");
	c->log_level = mem_strdup("info");
	c->observe = mem_strdup("root,group:kapsel");
	c->operate = mem_strdup("root");
	c->admin = mem_strdup("root");
	c->cgroup_parent = mem_strdup("/kapsel");
	c->log_driver = mem_strdup("cri");
	c->stop_signal = mem_strdup("TERM");
	c->pool = 3;
	c->cache = 1;
	c->containers = 10000;
	c->birth_ms = 120000;
	c->stop_ms = 10000;
	c->log_size = 16 << 20;
	c->log_files = 4;
	c->limits = api_limits_default;
	if (geteuid() != 0)
		config_of_user(c);
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!rows[i].number)
			free(*text_at(c, &rows[i]));
	free(c->file);
	memset(c, 0, sizeof *c);
}

void config_set(struct config *c, const char *pointer, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(rows[i].pointer, pointer)) {
			free(*text_at(c, &rows[i]));
			*text_at(c, &rows[i]) = mem_strdup(value);
			c->origin[i] = ORIGIN_FLAG;
		}
}

/* ---- reading
 * --------------------------------------------------------------------------------------------- */

static bool word_in(const char *words, const char *s)
{
	size_t n = strlen(s);

	for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
		if (strncmp(w, s, n) == 0 && (w[n] == '|' || w[n] == '\0'))
			return true;
	return false;
}

/* "user:x" and its like; -1 when that is no way to name anybody. */
static int who_matches(const char *who, size_t len, const struct peer *p)
{
	CLEANUP_FREE char *w = mem_strndup(who, len);
	uint64_t n;
	struct passwd *pw;
	struct group *gr;

	if (str_eq(w, "root"))
		return p && p->uid == 0;
	if (str_eq(w, "any"))
		return 1;
	if (str_starts(w, "uid:"))
		return str_to_u64(w + 4, &n) ? -1 : p && p->uid == n;
	if (str_starts(w, "user:") && w[5])
		return p && (pw = getpwnam(w + 5)) && pw->pw_uid == p->uid;
	if (str_starts(w, "gid:")) {
		if (str_to_u64(w + 4, &n))
			return -1;
	} else if (str_starts(w, "group:") && w[6]) {
		gr = p ? getgrnam(w + 6) : NULL;
		if (gr == NULL)
			return 0;
		n = gr->gr_gid;
	} else {
		return -1;
	}
	if (p == NULL)
		return 0;
	for (size_t i = 0; i < p->ngroups; i++)
		if (p->groups[i] == n)
			return 1;
	return p->gid == n;
}

static int list_matches(const char *list, const struct peer *p)
{
	int any = 0;

	for (const char *at = list; *at;) {
		size_t n = strcspn(at, ",");
		int one = n ? who_matches(at, n, p) : -1;

		if (one < 0)
			return -1;
		any |= one;
		at += n + (at[n] == ',');
	}
	return any;
}

enum role config_role(const struct config *c, const struct peer *p)
{
	if (list_matches(c->admin, p) > 0)
		return ROLE_ADMIN;
	if (list_matches(c->operate, p) > 0)
		return ROLE_OPERATE;
	return list_matches(c->observe, p) > 0 ? ROLE_OBSERVE : ROLE_NONE;
}

static int check_text(
	const struct config_row *r, const struct json *v, const char *s, struct kerr *e)
{
	if (r->words && !word_in(r->words, s))
		return json_fail(e, KERR_CONFIG_VALUE, v, "\"%.40s\" is none of %s", s, r->words);
	if (str_starts(r->pointer, "/roles/") && list_matches(s, NULL) < 0)
		return json_fail(e, KERR_CONFIG_VALUE, v,
			"\"%.80s\" is no list of root, any, user:, uid:, group:, gid:", s);
	if (str_ends(r->pointer, "Signal") && signal_parse(s) <= 0)
		return json_fail(e, KERR_CONFIG_VALUE, v, "\"%.40s\" is no signal", s);
	if (str_ends(r->pointer, "Dir") || str_eq(r->pointer, "/socket") ||
		str_eq(r->pointer, "/cgroupParent"))
		return *s == '/' ? 0
				 : json_fail(e, KERR_CONFIG_VALUE, v,
					   "\"%.80s\" is no absolute path", s);
	return 0;
}

static void read_value(struct config *c, size_t i, const struct json *v, struct kerr *report)
{
	const struct config_row *r = &rows[i];
	struct kerr e = KERR_INIT;
	const char *s;
	uint64_t n;
	int rc;

	if (r->number)
		rc = json_u64(v, r->min, r->max, &n, &e);
	else
		rc = json_string(v, &s, &e) || check_text(r, v, s, &e) ? -1 : 0;
	if (rc) {
		kerr_add(report, &e);
		return;
	}
	if (c->origin[i] == ORIGIN_FLAG)
		return; /* the command line has the last word */
	c->origin[i] = ORIGIN_CONFIG;
	if (r->number) {
		*number_at(c, r) = n;
	} else {
		free(*text_at(c, r));
		*text_at(c, r) = mem_strdup(s);
	}
}

static bool is_parent(const char *pointer)
{
	size_t n = strlen(pointer);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strncmp(rows[i].pointer, pointer, n) == 0 && rows[i].pointer[n] == '/')
			return true;
	return false;
}

static const char *nearest(const char *pointer)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_distance(rows[i].pointer, pointer, 3) <= 3)
			return rows[i].pointer;
	return NULL;
}

static void read_object(
	struct config *c, struct arena *a, const struct json *o, struct kerr *report)
{
	json_each(v, o)
	{
		const char *pointer = json_pointer(a, v), *near;
		struct kerr e = KERR_INIT;
		size_t i = 0;

		while (i < ARRAY_LEN(rows) && !str_eq(rows[i].pointer, pointer))
			i++;
		if (i < ARRAY_LEN(rows)) {
			read_value(c, i, v, report);
		} else if (is_parent(pointer) && v->type == JSON_OBJECT) {
			read_object(c, a, v, report);
		} else {
			near = nearest(pointer);
			json_fail(&e, is_parent(pointer) ? KERR_CONFIG_TYPE : KERR_CONFIG_UNKNOWN,
				v,
				is_parent(pointer) ? "%s is an object%s%s%s"
						   : "%s is unknown%s%s%s",
				pointer, near ? ": did you mean " : "", near ? near : "",
				near ? "?" : "");
			kerr_add(report, &e);
		}
	}
}

int config_read(struct config *c, const char *text, size_t len, struct kerr *e)
{
	CLEANUP_ARENA struct arena *a = arena_new();
	const struct json *root = json_parse(a, text, len, NULL, e);
	struct kerr report = KERR_INIT;

	if (root == NULL)
		return -1;
	if (root->type != JSON_OBJECT)
		return json_fail(e, KERR_CONFIG_TYPE, root, "the configuration is an object");
	read_object(c, a, root, &report);
	if (!kerr_is_set(&report))
		return 0;
	kerr_move(e, &report);
	return -1;
}

int config_load(struct config *c, struct kerr *e)
{
	CLEANUP_FREE char *own =
		geteuid() == 0 ? NULL
			       : users_path("XDG_CONFIG_HOME", ".config", "kapsel/kapseld.json");
	const char *standard = own ? own : "/etc/kapsel/kapseld.json";
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr why = KERR_INIT;
	CLEANUP_FD int fd = path_host(AT_FDCWD, c->file ? c->file : standard, O_RDONLY, &why);

	if (fd < 0 && c->file == NULL &&
		(why.sys == ENOENT || (geteuid() != 0 && (own == NULL || why.sys == EACCES))))
		return 0;
	if (c->file == NULL)
		c->file = mem_strdup(standard);
	if (fd < 0) {
		kerr_move(e, &why);
		return -1;
	}
	if (fd_read_all(fd, 1 << 20, &b, e) || config_read(c, buf_str(&b), b.len, e))
		return kerr_step(e, "%s", c->file);
	return 0;
}

void config_renew(struct config *c, struct config *from, struct buf *ignored)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct config_row *r = &rows[i];
		bool same = r->number ? *number_at(c, r) == *number_at(from, r)
				      : str_eq(*text_at(c, r), *text_at(from, r));

		if (r->fixed) {
			if (!same)
				buf_addf(ignored, "%s%s", ignored->len ? ", " : "", r->pointer);
			continue;
		}
		c->origin[i] = from->origin[i];
		if (r->number) {
			*number_at(c, r) = *number_at(from, r);
		} else {
			char *old = *text_at(c, r);

			*text_at(c, r) = *text_at(from, r);
			*text_at(from, r) = old;
		}
	}
}

void config_print(const struct config *c, struct buf *out)
{
	struct config *w = (struct config *)(uintptr_t)c;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		buf_addf(out, "%-28s ", rows[i].pointer + 1);
		if (rows[i].number)
			buf_addf(out, "%llu", (unsigned long long)*number_at(w, &rows[i]));
		else
			buf_adds(out, *text_at(w, &rows[i]));
		buf_addf(out, "  (%s)\n",
			c->origin[i] == ORIGIN_FLAG	? "command line"
			: c->origin[i] == ORIGIN_CONFIG ? c->file
							: "default");
	}
}

const char *config_text(const struct config *c, const char *pointer)
{
	struct config *w = (struct config *)(uintptr_t)c;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(rows[i].pointer, pointer))
			return *text_at(w, &rows[i]);
	return NULL;
}

void config_doc(struct buf *out)
{
	struct config c;

	config_default(&c);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct config_row *r = &rows[i];

		buf_addf(out, "key\t%s\t", r->pointer);
		if (r->number)
			buf_addf(out, "%llu to %llu\t%llu\t", (unsigned long long)r->min,
				(unsigned long long)r->max, (unsigned long long)*number_at(&c, r));
		else
			buf_addf(out, "%s\t%s\t", r->words ? r->words : "text", *text_at(&c, r));
		buf_addf(out, "%s\t%s\n", r->fixed ? "restart" : "reload", r->help);
	}
	config_free(&c);
}
