/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <string.h>

void last_add(struct last *l, const char *data, size_t len)
{
	if (l->ring == NULL)
		l->ring = mem_zalloc(LAST_BYTES);
	if (len > LAST_BYTES) {
		l->n += len - LAST_BYTES;
		data += len - LAST_BYTES;
		len = LAST_BYTES;
	}
	for (size_t done = 0; done < len;) {
		size_t at = l->n % LAST_BYTES, room = LAST_BYTES - at;
		size_t some = len - done < room ? len - done : room;

		memcpy(l->ring + at, data + done, some);
		done += some;
		l->n += some;
	}
}

static char *unrolled(const struct last *l, size_t *len)
{
	struct buf b = BUF_INIT;
	size_t at = l->n % LAST_BYTES;

	if (l->n > LAST_BYTES)
		buf_add(&b, l->ring + at, LAST_BYTES - at);
	buf_add(&b, l->ring, l->n > LAST_BYTES ? at : (size_t)l->n);
	*len = b.len;
	return buf_take(&b);
}

/* A NUL cannot stand in a list of strings. */
static char *line_copy(const char *p, size_t len)
{
	char *copy = mem_zalloc(len + 1);

	for (size_t i = 0; i < len; i++)
		copy[i] = p[i] ? p[i] : '?';
	return copy;
}

void last_lines(const struct last *l, char ***lines, size_t *n)
{
	CLEANUP_FREE char *text = NULL;
	size_t len, start[LAST_LINES + 1];
	const char *end, *p, *from;

	*lines = NULL;
	*n = 0;
	if (l->n == 0)
		return;
	text = unrolled(l, &len);
	end = text + len;
	if (len && end[-1] == '\n')
		end--;
	from = text;
	if (l->n > LAST_BYTES) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));

		from = nl ? nl + 1 : text;
	}
	for (p = end; *n < LAST_LINES && p >= from;) {
		const char *nl = p > from ? memrchr(from, '\n', (size_t)(p - from)) : NULL;

		p = nl ? nl : from;
		start[(*n)++] = (size_t)((nl ? nl + 1 : from) - text);
		if (nl == NULL)
			break;
	}
	*lines = mem_array(*n, sizeof **lines);
	for (size_t i = 0; i < *n; i++) {
		size_t s = start[*n - 1 - i], stop = (size_t)(end - text);

		if (i + 1 < *n)
			stop = start[*n - 2 - i] - 1;
		(*lines)[i] = line_copy(text + s, stop - s);
	}
}
