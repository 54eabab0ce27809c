/* SPDX-License-Identifier: Apache-2.0 */
/* A frame between our own programs, read as each of them reads it. */
#include <kapsel/wire.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void look(struct wire_in *m)
{
	/* Texts last: they are ended in place. */
	for (int tag = 1; tag < TAG_COUNT; tag++) {
		CLEANUP_ERR struct kerr e = KERR_INIT;
		char **list;
		size_t n, bytes = 0;

		wire_get_u64(m, (enum wire_tag)tag, 0);
		if (wire_get_list(m, (enum wire_tag)tag, &list, &n, &e) == 0)
			for (size_t i = 0; i < n; i++)
				bytes += strlen(list[i]) + 1;
		if (list && bytes != m->field[tag].len)
			abort(); /* a word was lost */
		free(list);
	}
	{
		CLEANUP_ERR struct kerr e = KERR_INIT;
		CLEANUP_BUF struct buf text = BUF_INIT;

		if (wire_get_error(m, &e) != -1 || !kerr_is_set(&e))
			abort();
		kerr_text(&e, &text);
	}
	for (int tag = 1; tag < TAG_COUNT; tag++) {
		const char *s = wire_get_str(m, (enum wire_tag)tag);

		if (s && strlen(s) != m->field[tag].len)
			abort();
	}
	for (int kind = 0; kind < 256; kind++)
		if (wire_take_fd(m, (enum wire_fd)kind) >= 0)
			abort(); /* none came */
}

/* What was read, written again and read again, is the same. */
static void again(const struct wire_in *m)
{
	struct wire_out out;
	struct wire_in in;
	int pair[2];
	size_t known = 0;

	wire_begin(&out, m->type);
	for (int tag = 1; tag < TAG_COUNT; tag++)
		if (m->field[tag].there && tag != TAG_FDS) {
			wire_bytes(&out, (enum wire_tag)tag, m->field[tag].p, m->field[tag].len);
			known += m->field[tag].len;
		}
	if (socket_pair(SOCK_SEQPACKET, pair, NULL) ||
		wire_send(pair[0], &out, deadline_in_ms(1000), NULL) ||
		wire_recv(pair[1], &in, deadline_in_ms(1000), NULL) != 1)
		abort();
	for (int tag = 1; tag < TAG_COUNT; tag++) {
		if (tag == TAG_FDS)
			continue;
		if (in.field[tag].there != m->field[tag].there ||
			in.field[tag].len != m->field[tag].len)
			abort();
		known -= in.field[tag].len;
	}
	if (known)
		abort();
	wire_in_free(&in);
	fd_closep(&pair[0]);
	fd_closep(&pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	CLEANUP_ERR struct kerr e = KERR_INIT;
	struct wire_in m;

	if (wire_parse(data, len, &m, &e)) {
		if (!kerr_is_set(&e))
			abort();
		return 0;
	}
	again(&m);
	look(&m);
	wire_in_free(&m);
	return 0;
}
