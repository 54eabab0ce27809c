/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a client of the socket sends them: the reader, the checks and the dispatch. */
#include <kapsel/api.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static enum role any_role(void *arg, const struct peer *p)
{
	(void)arg;
	(void)p;
	return ROLE_ADMIN;
}

/* A handler that looks at its parameters, and answers with them. */
static void echo(void *arg, struct api_call *c)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct json_out o = JSON_OUT(&b);

	(void)arg;
	if (api_call_take_fd(c, json_get(api_call_params(c), "stdio"), "stdin", &e) >= 0)
		abort(); /* none came */
	json_add_value(&o, api_call_params(c));
	if (api_call_more(c))
		api_reply_more(c, b.data, b.len);
	api_reply_buf(c, &b);
}

static void quiet(void *arg, enum log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct api_hooks hooks = { any_role, echo, NULL };
	static struct api_limits limits;
	static struct api_server *s;
	static struct loop *l;
	size_t half = len ? data[0] * len / 256 : 0;
	int pair[2];

	if (s == NULL) {
		limits = api_limits_default;
		limits.message_bytes = 4096;
		log_to(quiet, NULL, LOG_ERROR);
		if (loop_new(&l, NULL) || api_server_new(l, -1, &limits, &hooks, NULL, &s, NULL))
			abort();
	}
	if (socket_pair(SOCK_STREAM, pair, NULL) || api_server_adopt(s, pair[0], NULL))
		abort();
	api_server_feed(s, data, half); /* two pieces, cut anywhere */
	api_server_feed(s, data + half, len - half);
	fd_closep(&pair[1]);
	while (api_server_connections(s))
		if (loop_turn(l, 0, NULL))
			abort();
	return 0;
}
