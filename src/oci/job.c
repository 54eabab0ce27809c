/* SPDX-License-Identifier: Apache-2.0 */
#include "oci.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_BYTES = 4 << 20 };

void job_init(struct job *j)
{
	memset(j, 0, sizeof *j);
	j->a = arena_new();
	j->bundle_dir = j->run_dir = j->console_socket = j->pidfd_socket = j->master = j->notify =
		-1;
}

void job_free(struct job *j)
{
	for (size_t i = 0; i < j->plan.nwarnings && j->plan.warning; i++)
		if (i == 0)
			kerr_clear(j->plan.warning);
	kerr_clear(&j->warnings);
	facts_free(&j->facts);
	buf_free(&j->config);
	free(j->cgroup);
	fd_closep(&j->bundle_dir);
	fd_closep(&j->run_dir);
	fd_closep(&j->console_socket);
	fd_closep(&j->pidfd_socket);
	fd_closep(&j->master);
	fd_closep(&j->notify);
	arena_free(j->a);
}

static void digest(struct job *j, const struct spec_override *o)
{
	struct sha256 h = { 0 };

	sha256_add(&h, j->config.data, j->config.len);
	for (size_t i = 0; o && i < o->nargs; i++)
		sha256_add(&h, o->args[i], strlen(o->args[i]) + 1);
	for (size_t i = 0; o && i < o->nenv; i++)
		sha256_add(&h, o->env[i], strlen(o->env[i]) + 1);
	if (o && o->cwd)
		sha256_add(&h, o->cwd, strlen(o->cwd) + 1);
	if (o && o->user)
		sha256_add(&h, o->user, strlen(o->user) + 1);
	sha256_hex(&h, j->digest);
}

int job_read(struct job *j, const struct spec_options *o, const struct spec_override *over,
	struct kerr *e)
{
	CLEANUP_ERR struct kerr why = KERR_INIT;

	if (path_read(j->bundle_dir, "config.json", CONFIG_BYTES, &j->config, &why)) {
		if (why.code == KERR_LIMIT)
			return kerr_fail(e, KERR_JSON_LIMIT, 0,
				"config.json is larger than %d bytes", CONFIG_BYTES);
		return kerr_fail(e, KERR_BUNDLE_MISSING, why.sys, "%s%sconfig.json",
			j->bundle ? j->bundle : "", j->bundle ? "/" : "");
	}
	digest(j, over);
	if (spec_parse(j->a, buf_str(&j->config), j->config.len, o, &j->spec, &j->warnings, e))
		return e && e->pointer == NULL ? kerr_step(e, "config.json") : -1;
	return over ? spec_override(j->a, &j->spec, over, e) : 0;
}

int job_plan(struct job *j, const struct plan_options *o, struct kerr *e)
{
	return plan_build(j->a, &j->spec, &j->facts, o, &j->plan, e);
}

/* ---- state
 * -------------------------------------------------------------------------------------------------
 */

static void put_annotations(struct json_out *o, const struct json *annotations)
{
	if (annotations == NULL || annotations->n == 0)
		return;
	json_key(o, "annotations");
	json_add_value(o, annotations);
}

void state_json(const struct job *j, const char *status, pid_t pid, struct buf *out)
{
	struct json_out o = JSON_OUT(out);

	json_begin_object(&o);
	json_put_string(&o, "ociVersion", KAPSEL_SPEC_MAX);
	json_put_string(&o, "id", j->id);
	json_put_string(&o, "status", status);
	json_put_i64(&o, "pid", str_eq(status, "stopped") ? 0 : pid);
	json_put_string(&o, "bundle", j->bundle);
	put_annotations(&o, json_get(j->spec.at, "annotations"));
	json_end_object(&o);
}

void job_state(void *arg, const char *status, pid_t pid, struct buf *out)
{
	state_json(arg, status, pid, out);
}

/* Who deletes it is not always told again who has made its cgroup. */
static void put_scope(struct json_out *o, const struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->op[i].kind == OP_CGROUP_SCOPE) {
			json_put_string(o, "scope", p->op[i].u.scope.unit);
			json_put_bool(o, "scopeOfUser", p->op[i].u.scope.user);
		}
}

int record_write(const struct job *j, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_BUF struct buf root = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	char created[TIME_TEXT], boot[37];

	if (boot_id(boot, e))
		return -1;
	if (j->spec.root.path && j->spec.root.path[0] == '/')
		buf_adds(&root, j->spec.root.path);
	else
		buf_addf(&root, "%s/%s", j->bundle ? j->bundle : "",
			j->spec.root.path ? j->spec.root.path : "");
	json_begin_object(&o);
	json_put_u64(&o, "kapsel", 1);
	json_put_string(&o, "id", j->id);
	json_put_i64(&o, "pid", j->pid);
	json_put_u64(&o, "startTime", j->start_time);
	json_put_string(&o, "bootId", boot);
	json_put_string(&o, "bundle", j->bundle);
	json_put_string(&o, "rootfs", buf_str(&root));
	json_put_string(&o, "created", time_text(j->created, created));
	json_put_string(&o, "cgroup", j->cgroup ? j->cgroup : "");
	json_put_bool(&o, "sharesPids", !oci_new_ns(&j->spec, OCI_NS_PID));
	put_scope(&o, &j->plan);
	json_put_u64(&o, "owner", geteuid());
	if (j->spec.process.args.n == 0)
		json_put_bool(&o, "empty", true);
	put_annotations(&o, json_get(j->spec.at, "annotations"));
	json_end_object(&o);
	return path_replace(j->run_dir, "oci.json", b.data, b.len, 0600, false, e);
}

int record_read(int run_dir, struct record *r, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_BUF struct buf frozen = BUF_INIT;
	CLEANUP_FD int pidfd = -1;
	CLEANUP_FD int waits = -1;
	char boot[37];
	struct cgroup *cg = NULL;

	memset(r, 0, sizeof *r);
	r->a = arena_new();
	if (path_read(run_dir, "oci.json", CONFIG_BYTES, &b, e) || boot_id(boot, e))
		return -1;
	r->root = json_parse(r->a, b.data, b.len, NULL, e);
	if (r->root == NULL)
		return kerr_step(e, "oci.json");
	r->id = json_get_string(r->root, "id", "");
	r->bundle = json_get_string(r->root, "bundle", "");
	r->cgroup = json_get_string(r->root, "cgroup", "");
	r->shares_pids = json_get_bool(r->root, "sharesPids", false);
	r->scope = json_get_string(r->root, "scope", "");
	r->user_scope = json_get_bool(r->root, "scopeOfUser", false);
	r->pid = (pid_t)json_get_i64(r->root, "pid", 0);
	r->start_time = json_get_u64(r->root, "startTime", 0);
	r->empty = json_get(r->root, "empty") != NULL;
	if (str_eq(json_get_string(r->root, "bootId", ""), boot))
		pidfd = pidfd_open_known(r->pid, r->start_time, NULL);
	r->runs = pidfd >= 0;
	waits = path_own(run_dir, "start.sock", O_PATH, 0, NULL);
	r->waits = r->runs && waits >= 0;
	if (r->runs && *r->cgroup && cgroup_open(r->cgroup, &cg, NULL) == 0) {
		if (cgroup_read(cg, "freezer", "freezer.state", &frozen, NULL) == 0)
			r->paused = str_starts(buf_str(&frozen), "FRO");
		buf_reset(&frozen);
		if (!r->paused && cgroup_read(cg, "unified", "cgroup.freeze", &frozen, NULL) == 0)
			r->paused = buf_str(&frozen)[0] == '1';
		cgroup_free(cg);
	}
	return 0;
}

void record_free(struct record *r)
{
	arena_free(r->a);
	r->a = NULL;
}

const char *record_status(const struct record *r)
{
	return !r->runs ? "stopped" : r->waits ? "created" : r->paused ? "paused" : "running";
}

static void put_words(struct json_out *o, const char *key, const char *const *v, size_t n)
{
	json_key(o, key);
	json_begin_array(o);
	for (size_t i = 0; i < n; i++)
		json_add_string(o, v[i]);
	json_end_array(o);
}

static void put_user(struct json_out *o, const struct oci_user *user)
{
	json_key(o, "user");
	json_begin_object(o);
	json_put_u64(o, "uid", user->uid);
	json_put_u64(o, "gid", user->gid);
	json_each(v, user->at)
	{
		if (str_eq(v->key, "uid") || str_eq(v->key, "gid"))
			continue;
		json_key(o, v->key);
		json_add_value(o, v);
	}
	json_end_object(o);
}

/* What spec_override() may have changed; the rest as it is in the file. */
static void put_process(struct json_out *o, const struct oci_process *p, const struct json *at)
{
	static const char *const ours[] = { "args", "env", "cwd", "terminal", "user" };

	json_begin_object(o);
	put_words(o, "args", p->args.v, p->args.n);
	put_words(o, "env", p->env.v, p->env.n);
	json_put_string(o, "cwd", p->cwd);
	json_put_bool(o, "terminal", p->terminal);
	put_user(o, &p->user);
	json_each(v, at)
	{
		bool mine = false;

		for (size_t i = 0; i < ARRAY_LEN(ours); i++)
			mine |= str_eq(v->key, ours[i]);
		if (mine)
			continue;
		json_key(o, v->key);
		json_add_value(o, v);
	}
	json_end_object(o);
}

int job_keep(const struct job *j, const struct spec_override *over, struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	struct json_out o = JSON_OUT(&b);
	bool changed = over->nargs || over->nenv || over->cwd || over->user || over->terminal;

	if (!changed)
		return path_make(j->run_dir, "config.json", j->config.data, j->config.len, 0600, e);
	json_begin_object(&o);
	json_each(v, j->spec.at)
	{
		json_key(&o, v->key);
		if (str_eq(v->key, "process"))
			put_process(&o, &j->spec.process, v);
		else
			json_add_value(&o, v);
	}
	json_end_object(&o);
	return path_make(j->run_dir, "config.json", b.data, b.len, 0600, e);
}

int job_reload(struct job *j, struct kerr *e)
{
	struct spec_options o = { 0 };

	if (path_read(j->run_dir, "config.json", CONFIG_BYTES, &j->config, e))
		return -1;
	return spec_parse(j->a, buf_str(&j->config), j->config.len, &o, &j->spec, NULL, e);
}

void filter_keep(struct container *c, int cache)
{
	CLEANUP_BUF struct buf program = BUF_INIT;
	const struct oci_seccomp *profile = c ? container_new_filter(c, &program) : NULL;

	if (profile && cache >= 0)
		seccomp_keep(profile, cache, &program);
	fd_closep(&cache);
}
