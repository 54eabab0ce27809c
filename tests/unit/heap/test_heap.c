/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include <errno.h>
#include <kapsel/heap.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void pieces_are_aligned_and_apart(void **state)
{
	enum { N = 2000 };
	static char *p[N];
	static size_t size[N];

	for (size_t i = 0; i < N; i++) {
		size[i] = i * 97 % 5000 + (i % 100 == 0 ? 70000 : 0);
		p[i] = heap_take(size[i]);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
		memset(p[i], (int)(i & 0xff), size[i]);
	}
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < size[i]; k++)
			if (p[i][k] != (char)(i & 0xff))
				fail_msg("piece %zu was written to by another", i);
	for (size_t i = 0; i < N; i++)
		heap_give(p[i]);
}

static void what_is_given_back_is_taken_again(void **state)
{
	char *a = heap_take(100), *b;

	memset(a, 7, 100);
	heap_give(a);
	b = heap_zeroed(10, 10);
	assert_ptr_equal(a, b);
	for (int i = 0; i < 100; i++)
		assert_int_equal(b[i], 0);
	heap_give(b);
	heap_give(NULL);
}

static void a_resized_piece_keeps_its_bytes(void **state)
{
	char *p = heap_resize(NULL, 1);

	p[0] = 'x';
	for (size_t n = 1; n < 1 << 20; n = n * 3 + 1) {
		p = heap_resize(p, n);
		assert_int_equal(p[0], 'x');
		assert_int_equal(p[n / 3], n == 1 ? 'x' : p[n / 3]);
		p[n - 1] = (char)n;
		if (n == 1)
			p[0] = 'x';
	}
	heap_give(p);
}

static void too_much_is_refused(void **state)
{
	errno = 0;
	assert_null(heap_take(SIZE_MAX));
	assert_int_equal(errno, ENOMEM);
	assert_null(heap_take(PTRDIFF_MAX));
	assert_null(heap_zeroed(SIZE_MAX / 2, 3));
	assert_null(heap_resize(NULL, SIZE_MAX - 8));
}

static void a_piece_given_twice_ends_the_process(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char *p = heap_take(40);

		signal(SIGILL, SIG_DFL);
		heap_give(p);
		heap_give(p);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void pages_are_made_ours(void **state)
{
	heap_unshare(64 << 10);
	heap_unshare(1 << 30); /* no further than the chunk */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_aligned_and_apart),
		cmocka_unit_test(what_is_given_back_is_taken_again),
		cmocka_unit_test(a_resized_piece_keeps_its_bytes),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(a_piece_given_twice_ends_the_process),
		cmocka_unit_test(pages_are_made_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
