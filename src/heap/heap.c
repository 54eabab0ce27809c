/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/heap.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Pieces are powers of two with their head: 32 bytes to 64 KiB; larger ones are mapped. */
enum { SMALLEST = 5, LARGEST = 16, LARGE = 0, FIRST = 192 << 10, CHUNK = 1 << 20, PAGE = 4096 };
enum { TAKEN = 0x7ea4e101, GIVEN = 0x61fe4b0d };

struct piece {
	uint32_t state;
	uint32_t power; /* LARGE: @size says */
	union {
		struct piece *next; /* of those that were given back */
		size_t size;
	} u;
};
_Static_assert(sizeof(struct piece) == 16, "what is behind it is aligned for everything");

static _Alignas(PAGE) char first[FIRST];
static char *at = first, *end = first + FIRST;
static struct piece *given[LARGEST + 1];

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static size_t whole_pages(size_t size)
{
	return (size + sizeof(struct piece) + PAGE - 1) & ~(size_t)(PAGE - 1);
}

static struct piece *take_large(size_t size)
{
	struct piece *p = map(whole_pages(size));

	if (p)
		*p = (struct piece) { .power = LARGE, .u.size = whole_pages(size) };
	return p;
}

static struct piece *take_new(unsigned power)
{
	size_t size = (size_t)1 << power;
	struct piece *p;

	if ((size_t)(end - at) < size) { /* the rest of the old chunk stays unused */
		char *more = map(CHUNK);

		if (more == NULL)
			return NULL;
		at = more;
		end = more + CHUNK;
	}
	p = (struct piece *)(void *)at;
	at += size;
	p->power = power;
	return p;
}

static unsigned power_for(size_t size)
{
	unsigned power = SMALLEST;

	while (power <= LARGEST && (size_t)1 << power < size + sizeof(struct piece))
		power++;
	return power;
}

void *heap_take(size_t size)
{
	unsigned power = size > (size_t)1 << LARGEST ? LARGEST + 1 : power_for(size);
	struct piece *p = NULL;

	if (power <= LARGEST && given[power]) {
		p = given[power];
		given[power] = p->u.next;
	} else if (size < PTRDIFF_MAX - PAGE) {
		p = power <= LARGEST ? take_new(power) : take_large(size);
	}
	if (p == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	p->state = TAKEN;
	return p + 1;
}

static struct piece *piece_of(void *p)
{
	struct piece *piece = (struct piece *)p - 1;

	if (piece->state != TAKEN)
		__builtin_trap();
	return piece;
}

static size_t room(const struct piece *p)
{
	return (p->power == LARGE ? p->u.size : (size_t)1 << p->power) - sizeof *p;
}

void heap_give(void *p)
{
	struct piece *piece;

	if (p == NULL)
		return;
	piece = piece_of(p);
	if (piece->power == LARGE) {
		munmap(piece, piece->u.size);
		return;
	}
	piece->state = GIVEN;
	piece->u.next = given[piece->power];
	given[piece->power] = piece;
}

void *heap_zeroed(size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	p = heap_take(bytes);
	if (p && piece_of(p)->power != LARGE)
		memset(p, 0, bytes);
	return p;
}

void *heap_resize(void *p, size_t size)
{
	void *more;

	if (p && room(piece_of(p)) >= size)
		return p;
	more = heap_take(size);
	if (p && more) {
		memcpy(more, p, room(piece_of(p)));
		heap_give(p);
	}
	return more;
}

void heap_unshare(size_t more)
{
	char *to = (size_t)(end - at) < more ? end : at + more;

	for (volatile char *p = at >= first && at <= first + FIRST ? first : at; p < to;
		p += PAGE) {
		char c = *p;

		*p = c;
	}
}
