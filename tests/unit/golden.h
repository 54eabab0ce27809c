/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that are compared byte for byte with tests/golden/. GOLDEN=write writes them anew: review
 * that diff like code. */
#ifndef KAPSEL_GOLDEN_H
#define KAPSEL_GOLDEN_H

#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* @name is below tests/golden/. */
static inline void golden_read(const char *name, struct buf *out)
{
	CLEANUP_FREE char *path = mem_printf("tests/golden/%s", name);
	FILE *f = fopen(path, "re");
	char some[4096];
	size_t n;

	if (f == NULL)
		fail_msg("%s is missing: GOLDEN=write makes it", path);
	while ((n = fread(some, 1, sizeof some, f)) > 0)
		buf_add(out, some, n);
	fclose(f);
}

static inline void golden_write(const char *name, const char *text)
{
	CLEANUP_FREE char *path = mem_printf("tests/golden/%s", name);
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

/* 0 when the same; else the first line that differs is printed. */
static inline int golden_differs(const char *name, const char *text)
{
	CLEANUP_BUF struct buf b = BUF_INIT;
	const char *old, *line = text;
	unsigned n = 1;

	if (getenv("GOLDEN")) {
		golden_write(name, text);
		return 0;
	}
	golden_read(name, &b);
	old = buf_str(&b);
	if (strcmp(old, text) == 0)
		return 0;
	while (strcspn(old, "\n") == strcspn(line, "\n") &&
		memcmp(old, line, strcspn(old, "\n")) == 0) {
		old += strcspn(old, "\n") + (strchr(old, '\n') != NULL);
		line += strcspn(line, "\n") + (strchr(line, '\n') != NULL);
		n++;
	}
	print_error("tests/golden/%s:%u:\n  was: %.*s\n  is:  %.*s\n", name, n,
		(int)strcspn(old, "\n"), old, (int)strcspn(line, "\n"), line);
	return 1;
}

#endif
