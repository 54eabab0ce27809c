/* SPDX-License-Identifier: Apache-2.0 */
/* A container's directory: records in, records out. */
#include <errno.h>
#include <kapsel/store.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { BROKEN_MOST = 1000, LINES_MOST = 100 };

void uid_new(char out[static UID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char r[16];
	size_t have = 0;

	while (have < sizeof r) {
		ssize_t n = getrandom(r + have, sizeof r - have, 0);

		if (n > 0)
			have += (size_t)n;
		else if (n < 0 && errno != EINTR)
			abort(); /* no kernel that can run containers fails here */
	}
	for (size_t i = 0; i < sizeof r; i++) {
		out[2 * i] = digits[r[i] >> 4];
		out[2 * i + 1] = digits[r[i] & 15];
	}
	out[UID_TEXT - 1] = '\0';
}

int store_record_write(int dir, const struct buf *json, struct kerr *e)
{
	return path_replace(dir, STORE_RECORD, json->data, json->len, 0600, false, e);
}

/* Any failure but absence means the same to the caller: this record cannot be used. */
static const struct json *read_object(int dir, const char *name, struct arena *a, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const struct json *root;

	if (path_read(dir, name, STORE_MOST, &b, e)) {
		e->code = e->sys == ENOENT ? KERR_NOT_FOUND : KERR_STORE;
		return NULL;
	}
	root = json_parse(a, buf_str(&b), b.len, NULL, e);
	if (root && root->type == JSON_OBJECT)
		return root;
	if (root)
		kerr_fail(e, KERR_STORE, 0, "not an object");
	e->code = KERR_STORE;
	kerr_step(e, "%s", name);
	return NULL;
}

const struct json *store_record_read(int dir, const char *id, struct arena *a, struct kerr *e)
{
	CLEANUP_ERR struct kerr mine = KERR_INIT;
	const struct json *root;

	e = e ? e : &mine;
	root = read_object(dir, STORE_RECORD, a, e);
	if (root == NULL)
		return NULL;
	if (!str_eq(json_get_string(root, "id", NULL), id) ||
		strlen(json_get_string(root, "uid", "")) != UID_TEXT - 1) {
		kerr_fail(e, KERR_STORE, 0, STORE_RECORD " is not that of %s", id);
		return NULL;
	}
	return root;
}

int store_set_aside(int containers, const char *id, struct kerr *e)
{
	for (int i = 1; i < BROKEN_MOST; i++) {
		CLEANUP_FREE char *to = mem_printf("%s.broken.%d", id, i);
		struct kerr try = KERR_INIT;

		if (path_own_rename(containers, id, to, true, &try) == 0)
			return 0;
		if (try.sys != EEXIST && try.code != KERR_ALREADY_EXISTS) {
			if (e)
				kerr_move(e, &try);
			kerr_clear(&try);
			return -1;
		}
		kerr_clear(&try);
	}
	return kerr_fail(e, KERR_LIMIT, 0, "%s was set aside %d times", id, BROKEN_MOST);
}

static bool is_aside(const char *name)
{
	const char *at = strstr(name, ".broken.");
	uint64_t n;

	return at && str_to_u64(at + strlen(".broken."), &n) == 0;
}

int store_list(int containers, struct path_names *out, struct kerr *e)
{
	size_t kept = 0;

	if (path_names(containers, STORE_CONTAINERS, out, e))
		return -1;
	for (size_t i = 0; i < out->n; i++) {
		if (id_is_valid(out->v[i]) && !is_aside(out->v[i]))
			out->v[kept++] = out->v[i];
		else
			free(out->v[i]);
	}
	out->n = kept;
	return 0;
}

int store_oci_read(int dir, struct store_oci *out, struct kerr *e)
{
	CLEANUP_ERR struct kerr mine = KERR_INIT;
	CLEANUP_ARENA struct arena *a = arena_new();
	const struct json *root;
	const char *cgroup;

	*out = (struct store_oci) { 0 };
	e = e ? e : &mine;
	root = read_object(dir, STORE_OCI, a, e);
	if (root == NULL)
		return -1;
	out->pid = (pid_t)json_get_u64(root, "pid", 0);
	out->start_time = json_get_u64(root, "startTime", json_get_u64(root, "start_time", 0));
	cgroup = json_get_string(root, "cgroup", NULL);
	out->cgroup = cgroup ? mem_strdup(cgroup) : NULL;
	return 0;
}

void store_oci_free(struct store_oci *o)
{
	free(o->cgroup);
	*o = (struct store_oci) { 0 };
}

/* ---- exit records ------------------------------------------------------------------------------
 */

static void put_time(struct json_out *o, const char *key, uint64_t wall)
{
	char text[TIME_TEXT];

	if (wall)
		json_put_string(o, key, time_text(wall, text));
}

static void put_unless_0(struct json_out *o, const char *key, uint64_t v)
{
	if (v)
		json_put_u64(o, key, v);
}

static void put_how(struct json_out *o, const struct exit_record *r)
{
	char number[16];
	const char *name;

	if (!r->known)
		return;
	if (r->signal == 0) {
		json_put_i64(o, "code", r->code);
		return;
	}
	name = signal_name(r->signal);
	if (name == NULL) {
		snprintf(number, sizeof number, "%d", r->signal);
		name = number;
	}
	json_put_string(o, "signal", name);
	json_put_bool(o, "core", r->core);
}

void store_exit_json(struct json_out *o, const struct exit_record *r, bool last_lines)
{
	json_begin_object(o);
	json_put_u64(o, "instance", r->instance);
	put_how(o, r);
	json_put_bool(o, "oom", r->oom);
	json_put_string(o, "oomLimit", r->oom_limit);
	json_put_string(o, "reason", r->reason ? r->reason : "unknown");
	json_put_string(o, "by", r->by);
	json_put_string(o, "request", r->request);
	put_time(o, "started", r->started_wall);
	put_time(o, "finished", r->ended_wall ? r->ended_wall : 1);
	if (r->started_mono && r->ended_mono >= r->started_mono)
		json_put_u64(o, "durationMs", (r->ended_mono - r->started_mono) / NS_PER_MS);
	put_unless_0(o, "memoryPeak", r->peak_memory);
	put_unless_0(o, "cpuNs", r->cpu_ns);
	json_put_u64(o, "restarts", r->restarts);
	json_put_u64(o, "logDropped", r->dropped);
	if (last_lines && r->nlast_lines) {
		json_key(o, "lastLines");
		json_begin_array(o);
		for (size_t i = 0; i < r->nlast_lines; i++)
			json_add_string(o, r->last_lines[i]);
		json_end_array(o);
	}
	json_end_object(o);
}

int store_exit_write(int dir, const struct exit_record *r, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);

	json_begin_object(&o);
	json_put_string(&o, "id", r->id);
	json_put_string(&o, "uid", r->uid);
	json_key(&o, "exit");
	store_exit_json(&o, r, true);
	json_put_u64(&o, "startedWall", r->started_wall);
	json_put_u64(&o, "endedWall", r->ended_wall);
	json_put_u64(&o, "startedMono", r->started_mono);
	json_put_u64(&o, "endedMono", r->ended_mono);
	json_end_object(&o);
	buf_addc(&b, '\n');
	return path_replace(dir, STORE_EXIT, b.data, b.len, 0600, false, e);
}

static char *dup_or_null(const struct json *o, const char *key)
{
	const char *s = json_get_string(o, key, NULL);

	return s ? mem_strdup(s) : NULL;
}

static void read_lines(struct exit_record *r, const struct json *lines)
{
	if (lines == NULL || lines->type != JSON_ARRAY)
		return;
	r->last_lines = mem_array(LINES_MOST, sizeof *r->last_lines);
	json_each(line, lines) if (line->type == JSON_STRING && r->nlast_lines < LINES_MOST)
		r->last_lines[r->nlast_lines++] = mem_strdup(line->text);
}

static void read_how(struct exit_record *r, const struct json *x)
{
	const char *sig = json_get_string(x, "signal", NULL);
	int n = sig ? signal_parse(sig) : 0;

	r->signal = n > 0 ? n : 0;
	r->code = (int)json_get_i64(x, "code", 0);
	r->known = r->signal || json_get(x, "code");
	r->core = json_get_bool(x, "core", false);
	r->oom = json_get_bool(x, "oom", false);
}

int store_exit_read(int dir, struct exit_record *r, struct kerr *e)
{
	CLEANUP_ERR struct kerr mine = KERR_INIT;
	CLEANUP_ARENA struct arena *a = arena_new();
	const struct json *root, *x;

	*r = (struct exit_record) { 0 };
	e = e ? e : &mine;
	root = read_object(dir, STORE_EXIT, a, e);
	if (root == NULL)
		return -1;
	x = json_get(root, "exit");
	if (x == NULL || x->type != JSON_OBJECT)
		return kerr_fail(e, KERR_STORE, 0, STORE_EXIT " has no exit");
	read_how(r, x);
	r->id = dup_or_null(root, "id");
	r->uid = dup_or_null(root, "uid");
	r->oom_limit = dup_or_null(x, "oomLimit");
	r->reason = dup_or_null(x, "reason");
	r->by = dup_or_null(x, "by");
	r->request = dup_or_null(x, "request");
	r->instance = json_get_u64(x, "instance", 1);
	r->peak_memory = json_get_u64(x, "memoryPeak", 0);
	r->cpu_ns = json_get_u64(x, "cpuNs", 0);
	r->restarts = json_get_u64(x, "restarts", 0);
	r->dropped = json_get_u64(x, "logDropped", 0);
	r->started_wall = json_get_u64(root, "startedWall", 0);
	r->ended_wall = json_get_u64(root, "endedWall", 0);
	r->started_mono = json_get_u64(root, "startedMono", 0);
	r->ended_mono = json_get_u64(root, "endedMono", 0);
	read_lines(r, json_get(x, "lastLines"));
	return 0;
}
