/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap: malloc(3) for programs that live for one order. Nothing that was taken goes back to the
 * kernel but large pieces: to give a page back and to fault in another costs more than to keep it.
 * Each change of a list is one store, so that a process that shares our memory may be killed at any
 * instruction and leaves at most a piece that nobody has. One thread at a time.
 *
 * kapsel-oci and kapsel have it as their malloc; where the C library is glibc (tests, sanitizers)
 * that one's stays and these functions are beside it.
 */
#ifndef KAPSEL_HEAP_H
#define KAPSEL_HEAP_H

#include <stddef.h>

/* As malloc(3), free(3), calloc(3), realloc(3); NULL and ENOMEM when there is none. A piece that is
 * freed twice, or was never taken, ends the process. */
void *heap_take(size_t size);
void heap_give(void *p);
void *heap_zeroed(size_t n, size_t size);
void *heap_resize(void *p, size_t size);

/* Writes to each page that is in use and to those of the next @more bytes: after a fork they are
 * then this process's own, and mapped. */
void heap_unshare(size_t more);

#endif
