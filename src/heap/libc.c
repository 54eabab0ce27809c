/* SPDX-License-Identifier: Apache-2.0 */
/* The C library's names, where it lets them be replaced without more ado. */
#include <errno.h>
#include <kapsel/heap.h>
#include <stdlib.h>

#ifndef __GLIBC__
void *malloc(size_t size)
{
	return heap_take(size);
}

void free(void *p)
{
	heap_give(p);
}

void *calloc(size_t n, size_t size)
{
	return heap_zeroed(n, size);
}

void *realloc(void *p, size_t size)
{
	return heap_resize(p, size);
}

/* All pieces are aligned for any type; nobody here asks for more. */
void *aligned_alloc(size_t alignment, size_t size)
{
	if (alignment <= _Alignof(max_align_t))
		return heap_take(size);
	errno = ENOMEM;
	return NULL;
}
#endif
