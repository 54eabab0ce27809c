/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PLAIN_MS = 60000,  /* what a plain call may take without --timeout */
	AWAY_MS = 30000,   /* how long a daemon that died is looked for without --timeout */
	AGAIN_MS = 50,	   /* between two looks */
	PROGRESS_MS = 1000 /* a person is told from here on, each second */
};

deadline talk_deadline(const struct cli *k)
{
	return k->until == DEADLINE_NEVER ? deadline_in_ms(PLAIN_MS) : k->until;
}

static void pause_ms(unsigned ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000l };

	nanosleep(&t, NULL);
}

/* Nobody listens, but somebody did: a daemon that is being started again. */
static bool may_come_back(const struct cli *k, const struct kerr *e)
{
	if (k->cut)
		return e->code == KERR_DAEMON_MISSING;
	/* ENOENT: between the old one's socket and the new one's. */
	return (e->sys == ECONNREFUSED || e->sys == ENOENT) && k->until != DEADLINE_NEVER;
}

int talk_connect(struct cli *k, struct kerr *e)
{
	deadline d = k->until;

	if (k->client)
		return 0;
	if (k->cut && d == DEADLINE_NEVER)
		d = k->cut + AWAY_MS * NS_PER_MS;
	while (api_connect(k->host, &k->client, e)) {
		if (!may_come_back(k, e) || deadline_passed(d))
			return -1;
		kerr_clear(e);
		pause_ms(AGAIN_MS);
	}
	return 0;
}

static void progress(const char *waiting, unsigned seconds, bool end)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	if (end)
		buf_adds(&b, "\r\033[K");
	else
		buf_addf(&b, "\r%s (%u s)\033[K", waiting, seconds);
	fd_write_all(2, b.data, b.len);
}

int talk_receive(struct cli *k, struct api_client *c, struct api_answer *out, const char *waiting,
	deadline d, struct kerr *e)
{
	unsigned seconds = 0;
	bool shown = false;
	int r;

	if (waiting == NULL || args_has(k, F_QUIET) || !isatty(2))
		return api_receive(c, k->a, out, d, e);
	for (;;) {
		deadline step = deadline_in_ms(PROGRESS_MS);

		out->params = NULL;
		r = api_receive(c, k->a, out, step < d ? step : d, e);
		if (r == 0 || e->code != KERR_TIMEOUT || out->params || deadline_passed(d))
			break; /* with parameters it is kapseld that says Timeout */
		kerr_clear(e);
		progress(waiting, ++seconds, false);
		shown = true;
	}
	if (shown)
		progress(NULL, 0, true);
	return r;
}

static void hang_up(struct cli *k)
{
	if (k->cut == 0)
		k->cut = clock_mono_ns();
	api_client_free(k->client);
	k->client = NULL;
}

int talk(struct cli *k, enum api_method m, const struct buf *params, const char *waiting,
	const struct json **out, struct kerr *e)
{
	struct api_answer answer;
	deadline d = waiting ? k->until : talk_deadline(k);

	for (;;) {
		if (talk_connect(k, e))
			return -1;
		if (api_send(k->client, m, params ? params->data : NULL, 0, NULL, 0, d, e) == 0 &&
			talk_receive(k, k->client, &answer, waiting, d, e) == 0)
			break;
		if (!api_client_lost(k->client))
			return -1;
		hang_up(k);
	}
	k->cut = 0;
	if (out)
		*out = answer.params;
	return 0;
}

int talk_ask(
	struct cli *k, enum api_method m, const struct buf *params, unsigned flags, struct kerr *e)
{
	for (;;) {
		if (talk_connect(k, e))
			return -1;
		if (api_send(k->client, m, params->data, flags, NULL, 0, talk_deadline(k), e) == 0)
			return 0;
		if (!api_client_lost(k->client))
			return -1;
		kerr_clear(e);
		hang_up(k);
	}
}

int talk_next(
	struct cli *k, struct api_answer *out, const char *waiting, deadline d, struct kerr *e)
{
	if (talk_receive(k, k->client, out, waiting, d, e) == 0) {
		k->cut = 0;
		return 0;
	}
	if (api_client_lost(k->client))
		hang_up(k);
	return -1;
}

void talk_begin(struct cli *k, struct json_out *o, const char *id)
{
	json_begin_object(o);
	if (id)
		json_put_string(o, "id", id);
	json_put_string(o, "request", k->request);
}

static void list_filter(const char *states, struct buf *b, const char *after)
{
	struct json_out o = JSON_OUT(b);

	json_begin_object(&o);
	if (states) {
		json_key(&o, "filter");
		json_begin_object(&o);
		json_key(&o, "states");
		json_begin_array(&o);
		for (size_t n; *states; states += n + (states[n] == ' ')) {
			n = strcspn(states, " ");
			json_add_bytes(&o, states, n);
		}
		json_end_array(&o);
		json_end_object(&o);
	}
	if (after) {
		json_key(&o, "page");
		json_begin_object(&o);
		json_put_string(&o, "after", after);
		json_end_object(&o);
	}
	json_end_object(&o);
}

int talk_ids(struct cli *k, const char *states, struct kerr *e)
{
	const char *after = NULL;

	if (!args_has(k, F_ALL)) {
		if (k->args.n)
			return 0;
		return kerr_fail(e, KERR_USAGE, 0, "%s needs %s, or --all", k->command->name,
			k->command->args);
	}
	if (k->args.n)
		return kerr_fail(
			e, KERR_USAGE, 0, "%s takes ids or --all, not both", k->command->name);
	do {
		CLEANUP_BUF struct buf b = BUF_INIT;
		const struct json *page;

		list_filter(states, &b, after);
		if (talk(k, API_LIST, &b, NULL, &page, e))
			return -1;
		json_each(c, json_get(page, "containers")) vec_push(&k->args) =
			json_get_string(c, "id", "");
		after = json_get_string(page, "next", NULL);
	} while (after);
	return 0;
}
