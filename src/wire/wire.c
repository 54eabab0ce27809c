/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/wire.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC 0x4c53504bu /* "KPSL" */

struct header {
	uint32_t magic;
	uint16_t version, type;
	uint32_t length;
};
struct field {
	uint16_t tag, zero;
	uint32_t length;
};

/* ---- out
 * -------------------------------------------------------------------------------------------------
 */

void wire_begin(struct wire_out *m, enum wire_type type)
{
	struct header h = { MAGIC, WIRE_VERSION, (uint16_t)type, 0 };

	memset(m, 0, sizeof *m);
	buf_add(&m->b, &h, sizeof h);
}

void wire_bytes(struct wire_out *m, enum wire_tag tag, const void *p, size_t len)
{
	struct field f = { (uint16_t)tag, 0, (uint32_t)len };

	buf_add(&m->b, &f, sizeof f);
	buf_add(&m->b, p, len);
}

void wire_u64(struct wire_out *m, enum wire_tag tag, uint64_t v)
{
	wire_bytes(m, tag, &v, sizeof v);
}

void wire_str(struct wire_out *m, enum wire_tag tag, const char *s)
{
	if (s)
		wire_bytes(m, tag, s, strlen(s));
}

void wire_list(struct wire_out *m, enum wire_tag tag, char *const *v, size_t n)
{
	CLEANUP_BUF struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		buf_add(&b, v[i], strlen(v[i]) + 1);
	wire_bytes(m, tag, b.data, b.len);
}

void wire_fd(struct wire_out *m, enum wire_fd kind, int fd)
{
	if (fd < 0)
		return;
	if (m->nfds == SOCKET_MOST_FDS) {
		m->too_many = true;
		return;
	}
	m->kinds[m->nfds] = (char)kind;
	m->fds[m->nfds++] = fd;
}

int wire_send(int socket, struct wire_out *m, deadline d, struct kerr *e)
{
	ssize_t n;
	uint32_t length;

	if (m->too_many) {
		buf_free(&m->b);
		return kerr_fail(
			e, KERR_LIMIT, 0, "a message with more than %d fds", SOCKET_MOST_FDS);
	}
	if (m->nfds)
		wire_bytes(m, TAG_FDS, m->kinds, m->nfds);
	if (m->b.len > WIRE_MOST) {
		buf_free(&m->b);
		return kerr_fail(e, KERR_LIMIT, 0, "a message of more than %u bytes", WIRE_MOST);
	}
	length = (uint32_t)(m->b.len - sizeof(struct header));
	memcpy(m->b.data + offsetof(struct header, length), &length, sizeof length);
	n = socket_send(socket, m->b.data, m->b.len, m->fds, m->nfds, d, e);
	buf_free(&m->b);
	return n < 0 ? -1 : 0;
}

/* ---- in
 * --------------------------------------------------------------------------------------------------
 */

static int cut(struct kerr *e, const char *why)
{
	return kerr_fail(e, KERR_WIRE, 0, "a message from another program: %s", why);
}

int wire_parse(const void *frame, size_t len, struct wire_in *m, struct kerr *e)
{
	struct header h;
	size_t at = sizeof h;

	memset(m, 0, sizeof *m);
	if (len < sizeof h || len > WIRE_MOST)
		return cut(e, "its length");
	memcpy(&h, frame, sizeof h);
	if (h.magic != MAGIC || h.version != WIRE_VERSION)
		return cut(e, "its magic or version");
	if (h.length != len - sizeof h || h.type == 0 || h.type >= WIRE_TYPE_COUNT)
		return cut(e, "its type or length");
	m->type = (enum wire_type)h.type;
	m->data = mem_zalloc(len + 1);
	memcpy(m->data, frame, len);
	m->len = len;
	while (at < len) {
		struct field f;

		if (len - at < sizeof f) {
			wire_in_free(m);
			return cut(e, "a field is cut");
		}
		memcpy(&f, m->data + at, sizeof f);
		at += sizeof f;
		if (f.length > len - at || f.zero || (f.tag < TAG_COUNT && m->field[f.tag].there)) {
			wire_in_free(m);
			return cut(e, "a field is cut or stands twice");
		}
		if (f.tag < TAG_COUNT) {
			m->field[f.tag].p = m->data + at;
			m->field[f.tag].len = f.length;
			m->field[f.tag].there = true;
		}
		at += f.length;
	}
	return 0;
}

int wire_recv(int socket, struct wire_in *m, deadline d, struct kerr *e)
{
	/* Not from the heap: so large a piece would be mapped and unmapped for each message. */
	char frame[WIRE_MOST + 1];
	int fds[SOCKET_MOST_FDS];
	size_t nfds = 0;
	ssize_t n = socket_recv(socket, frame, sizeof frame, fds, &nfds, d, e);

	memset(m, 0, sizeof *m);
	if (n < 0 || (n == 0 && nfds == 0))
		return (int)n;
	if (wire_parse(frame, (size_t)n, m, e)) { /* an empty packet may carry fds, too */
		for (size_t i = 0; i < nfds; i++)
			close(fds[i]);
		return -1;
	}
	memcpy(m->fds, fds, nfds * sizeof *fds);
	m->nfds = nfds;
	if (m->field[TAG_FDS].len != nfds) {
		wire_in_free(m);
		return cut(e, "its fds are not those it names");
	}
	return 1;
}

void wire_in_free(struct wire_in *m)
{
	for (size_t i = 0; i < m->nfds; i++)
		fd_closep(&m->fds[i]);
	free(m->data);
	memset(m, 0, sizeof *m);
}

uint64_t wire_get_u64(const struct wire_in *m, enum wire_tag tag, uint64_t absent)
{
	uint64_t v;

	if (!m->field[tag].there || m->field[tag].len != sizeof v)
		return absent;
	memcpy(&v, m->field[tag].p, sizeof v);
	return v;
}

/* The byte behind a field is the next field's, whose tag's low byte is never read as text: so a
 * copy would be needed, were it not that this one is put to zero once everything is parsed. */
const char *wire_get_str(const struct wire_in *m, enum wire_tag tag)
{
	const char *p = m->field[tag].p;
	size_t len = m->field[tag].len;
	struct wire_in *w = (struct wire_in *)(uintptr_t)m;

	if (!m->field[tag].there || memchr(p, '\0', len))
		return NULL;
	/* All fields are indexed by now: their headers are no longer needed. */
	w->data[(size_t)(p - m->data) + len] = '\0';
	return p;
}

int wire_get_list(
	const struct wire_in *m, enum wire_tag tag, char ***out, size_t *n, struct kerr *e)
{
	const char *p = m->field[tag].p, *end;
	VEC(char *) v = { NULL, 0, 0 };

	*out = NULL;
	*n = 0;
	if (m->field[tag].len == 0)
		return 0;
	end = p + m->field[tag].len;
	if (end[-1] != '\0')
		return cut(e, "a list is cut");
	for (; p < end; p += strlen(p) + 1)
		vec_push(&v) = (char *)(uintptr_t)p;
	*out = v.v;
	*n = v.n;
	return 0;
}

int wire_take_fd(struct wire_in *m, enum wire_fd kind)
{
	for (size_t i = 0; i < m->nfds && i < m->field[TAG_FDS].len; i++)
		if (m->field[TAG_FDS].p[i] == (char)kind && m->fds[i] >= 0)
			return fd_take(&m->fds[i]);
	return -1;
}

/* ---- errors: numbers, then texts with their NULs, for the error and each of its faults
 * ---------------------- */

enum { MOST_TEXT = 4096, MOST_FAULTS = 64 };

static void put_text(struct buf *b, const char *s)
{
	buf_add(b, s, s ? strnlen(s, MOST_TEXT) : 0);
	buf_addc(b, '\0');
}

static void put_error(struct buf *b, const struct kerr *e, uint32_t faults)
{
	uint32_t numbers[5] = { (uint32_t)e->code, (uint32_t)e->sys, e->line, e->column, faults };

	buf_add(b, numbers, sizeof numbers);
	put_text(b, e->message);
	put_text(b, e->step);
	put_text(b, e->pointer);
	buf_addc(b, e->pointer ? 'p' : '-');
}

void wire_error(struct wire_out *m, const struct kerr *e)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	uint32_t n = e->nfaults < MOST_FAULTS ? (uint32_t)e->nfaults : MOST_FAULTS;

	put_error(&b, e, n);
	for (uint32_t i = 0; i < n && b.len < WIRE_MOST / 2; i++)
		put_error(&b, &e->faults[i], 0);
	wire_bytes(m, TAG_ERROR, b.data, b.len);
}

static const char *get_text(const char **p, const char *end)
{
	const char *s = *p, *nul = s < end ? memchr(s, '\0', (size_t)(end - s)) : NULL;

	*p = nul ? nul + 1 : end;
	return nul ? s : NULL;
}

static int get_error(const char **p, const char *end, struct kerr *out, uint32_t *faults)
{
	uint32_t numbers[5];
	const char *message, *step, *pointer;

	if ((size_t)(end - *p) < sizeof numbers)
		return -1;
	memcpy(numbers, *p, sizeof numbers);
	*p += sizeof numbers;
	message = get_text(p, end);
	step = get_text(p, end);
	pointer = get_text(p, end);
	if (message == NULL || step == NULL || pointer == NULL || *p == end ||
		numbers[0] == KERR_NONE || numbers[0] >= KERR_COUNT)
		return -1;
	kerr_fail(out, (enum kerr_code)numbers[0], (int)numbers[1], "%s", message);
	if (*step)
		kerr_step(out, "%s", step);
	kerr_at(out, *(*p)++ == 'p' ? pointer : NULL, numbers[2], numbers[3]);
	*faults = numbers[4];
	return 0;
}

int wire_get_error(const struct wire_in *m, struct kerr *out)
{
	const char *p = m->field[TAG_ERROR].p, *end;
	uint32_t faults = 0, none;

	if (m->field[TAG_ERROR].len == 0)
		return cut(out, "its error cannot be read");
	end = p + m->field[TAG_ERROR].len;
	if (get_error(&p, end, out, &faults))
		return cut(out, "its error cannot be read");
	for (uint32_t i = 0; i < faults && p < end; i++) {
		struct kerr one = KERR_INIT;

		if (get_error(&p, end, &one, &none)) {
			kerr_clear(&one);
			break;
		}
		kerr_add(out, &one);
	}
	return -1;
}
