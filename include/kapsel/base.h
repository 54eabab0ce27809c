/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: what every room may use. Errors, memory with a visible owner, strings, clocks, the log.
 * Nothing in here touches a file or a process, but for the log's line on stderr.
 */
#ifndef KAPSEL_BASE_H
#define KAPSEL_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KAPSEL_VERSION	  "0.1.0"
#define KAPSEL_SPEC_MIN	  "1.0.0"
#define KAPSEL_SPEC_MAX	  "1.3.0"
#define ARRAY_LEN(a)	  (sizeof(a) / sizeof *(a))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define MUST_CHECK	  __attribute__((warn_unused_result))
#define UNUSED		  __attribute__((unused))
#define CLEANUP(f)	  __attribute__((cleanup(f)))

/* ---- owners ------------------------------------------------------------------------------- */

void fd_closep(int *fd); /* closes unless negative; errno is kept */
int fd_take(int *fd);	 /* hands the fd on: returns it, leaves -1 behind */
void mem_freep(void *p); /* p is the address of a pointer from malloc */
#define CLEANUP_FD   CLEANUP(fd_closep)
#define CLEANUP_FREE CLEANUP(mem_freep)
#define CLEANUP_ERR  CLEANUP(kerr_clear)
#define CLEANUP_BUF  CLEANUP(buf_free)

/**
 * mem_zalloc() and friends - memory or the end of the process
 *
 * The kernel overcommits: a small malloc that fails means that this process is past help, so
 * these say so on stderr and _exit(125) rather than hand a hundred callers an untested path.
 * What a stranger sizes is bounded before it gets here.
 */
void *mem_zalloc(size_t size);
void *mem_array(size_t n, size_t size);		  /* zeroed; n * size is checked */
void *mem_grow(void *old, size_t n, size_t size); /* realloc; n * size is checked */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* An arena owns everything that was taken from it; it is freed as a whole. */
struct arena;
struct arena *arena_new(void);
void arena_free(struct arena *a); /* NULL is fine */
void arena_freep(struct arena **a);
#define CLEANUP_ARENA CLEANUP(arena_freep)
void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned for any type */
void *arena_array(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- growing byte strings ------------------------------------------------------------------ */

struct buf {
	char *data; /* NUL-terminated whenever it is not NULL */
	size_t len; /* without the NUL */
	size_t cap;
};
#define BUF_INIT           \
	{                  \
		NULL, 0, 0 \
	}
void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
void buf_drop(struct buf *b, size_t n);	  /* removes the first n bytes */
void buf_reset(struct buf *b);		  /* empty, memory kept */
void buf_free(struct buf *b);		  /* empty, memory gone */
char *buf_take(struct buf *b);		  /* the caller frees; never NULL */
const char *buf_str(const struct buf *b); /* "" when empty */

/* A vector: struct { TYPE *v; size_t n, cap; } anywhere; vec_push grows it with mem_grow. */
#define VEC(type)              \
	struct {               \
		type *v;       \
		size_t n, cap; \
	}
#define vec_push(vec)                                                                          \
	(*((vec)->n == (vec)->cap                                                              \
			? ((vec)->cap = (vec)->cap ? (vec)->cap * 2 : 8,                       \
				  (vec)->v = mem_grow((vec)->v, (vec)->cap, sizeof *(vec)->v), \
				  &(vec)->v[(vec)->n++])                                       \
			: &(vec)->v[(vec)->n++]))
#define vec_free(vec) (free((vec)->v), (vec)->v = NULL, (vec)->n = (vec)->cap = 0)

/* ---- strings -------------------------------------------------------------------------------- */

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_is_utf8(const char *s, size_t len); /* RFC 3629: no overlong form, no surrogate */
size_t str_distance(const char *a, const char *b, size_t limit); /* Levenshtein, > limit: limit+1 */
/* Whole decimal numbers: no sign but a leading '-' for i64, no blank, nothing after. 0 or -1. */
int str_to_u64(const char *s, uint64_t *out) MUST_CHECK;
int str_to_i64(const char *s, int64_t *out) MUST_CHECK;
/* A duration: "90s", "1m30s", "200ms", "1h", "0" ; a bare number counts seconds. 0 or -1. */
int str_to_ms(const char *s, uint64_t *out_ms) MUST_CHECK;
/* A size: "64m", "1g", "4096", "10KiB" (binary multiples, any case). 0 or -1. */
int str_to_bytes(const char *s, uint64_t *out) MUST_CHECK;
/* Escapes control bytes, C1, 0x7f, bad UTF-8 and backslash as \xNN and \\ : safe on a terminal. */
void buf_add_escaped(struct buf *b, const char *s, size_t len);
void buf_add_unescaped(struct buf *b, const char *s, size_t len); /* the other way */

/**
 * id_is_valid() - may @id name a container of kapseld?
 *
 * `[A-Za-z0-9][A-Za-z0-9_.-]{0,127}`. kapsel-oci allows more, see oci_id_is_valid().
 */
bool id_is_valid(const char *id);
bool oci_id_is_valid(
	const char *id); /* first a letter, digit or _; then [A-Za-z0-9_+.-]; <= 1024 */

/* A signal by number ("9"), or name with or without SIG, any case. Number, or -1. */
int signal_parse(const char *s);
const char *signal_name(int sig); /* "TERM"; NULL if it has none; RTMIN+n is composed */

/* SHA-256 (FIPS 180-4): 64 hexadecimal digits and a NUL. Give a zeroed context the parts in order.
 */
struct sha256 {
	uint32_t h[8];
	uint64_t bytes;
	unsigned char block[64];
	bool begun;
};
void sha256_add(struct sha256 *s, const void *data, size_t len);
void sha256_hex(struct sha256 *s, char out[static 65]);

/* ---- clocks --------------------------------------------------------------------------------- */

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull
uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_boot_ns(void); /* CLOCK_BOOTTIME */
uint64_t clock_wall_ns(void); /* CLOCK_REALTIME since 1970 */
/* A deadline is a point of CLOCK_MONOTONIC in ns; DEADLINE_NEVER only where a person waits. */
typedef uint64_t deadline;
#define DEADLINE_NEVER UINT64_MAX
deadline deadline_in_ms(uint64_t ms);
int deadline_left_ms(deadline d); /* for poll(): rounded up, 0 when past, -1 for never */
bool deadline_passed(deadline d);
#define TIME_TEXT 40 /* bytes that time_text() needs */
/* RFC 3339 with nanoseconds in UTC: 2026-01-31T12:00:00.123456789Z */
const char *time_text(uint64_t wall_ns, char out[static TIME_TEXT]);

/* ---- errors --------------------------------------------------------------------------------- */

/* What an agent may match on: API.md, rule 5. */
enum api_error {
	API_FAILED,
	API_NOT_FOUND,
	API_ALREADY_EXISTS,
	API_WRONG_STATE,
	API_INVALID,
	API_DENIED,
	API_BUSY,
	API_LIMIT,
	API_TIMEOUT,
	API_UNSUPPORTED,
	API_ERROR_COUNT
};
enum retry { RETRY_NEVER, RETRY_SAME, RETRY_LATER };

#include <kapsel/errors.h>

struct kerr_row {
	const char *name;   /* "KAPSEL-MOUNT-SOURCE-MISSING": stable for ever */
	const char *means;  /* one sentence for docs/ERRORS.md */
	const char *remedy; /* one sentence: what to do */
	enum api_error api;
	enum retry retry;
};
const struct kerr_row *kerr_row(enum kerr_code code); /* never NULL */
enum kerr_code kerr_by_name(const char *name);	      /* KERR_INTERNAL if unknown */
const char *api_error_name(enum api_error a);	      /* "NotFound" */
const char *retry_name(enum retry r);		      /* "never" */

/*
 * One failure. Who understands it fills it once; on the way up one only adds a step. All strings
 * are owned by the kerr. A zeroed struct (KERR_INIT) is "no error".
 */
struct kerr {
	enum kerr_code code;
	int sys;	       /* errno or 0 */
	char *message;	       /* what was wrong, without remedy and errno's text */
	char *step;	       /* `mount[3] /etc/resolv.conf`; outermost first, ": " between */
	char *pointer;	       /* RFC 6901 pointer into the configuration, or NULL */
	uint32_t line, column; /* 1-based, column in bytes; 0 when unknown */
	struct kerr *faults;   /* further faults of the same file */
	size_t nfaults;
};
#define KERR_INIT \
	{         \
		0 \
	}

/**
 * kerr_fail() - fill @e and return -1
 * @e:    may be NULL (nobody asks); an error already in it is replaced
 * @code: a row of src/base/errors.c
 * @sys:  errno, or 0 where the system is not to blame
 */
int kerr_fail(struct kerr *e, enum kerr_code code, int sys, const char *fmt, ...) PRINTF_LIKE(4, 5);
int kerr_vfail(struct kerr *e, enum kerr_code code, int sys, const char *fmt, va_list ap)
	PRINTF_LIKE(4, 0);
/* Puts a step in front of those already there. Returns -1. */
int kerr_step(struct kerr *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Says where in a configuration. Returns -1. */
int kerr_at(struct kerr *e, const char *pointer, uint32_t line, uint32_t column);
/* Adds a fault to a report: the first becomes @report itself, the rest its faults. Takes @fault's
 * strings. */
void kerr_add(struct kerr *report, struct kerr *fault);
bool kerr_is_set(const struct kerr *e);
void kerr_clear(struct kerr *e);
void kerr_move(struct kerr *to, struct kerr *from); /* @to is cleared first */
/* "step: message: No such file or directory" in one line, escaped; no pointer, no remedy. */
void kerr_line(const struct kerr *e, struct buf *out);
/* All of them in one line, each with its place; for a record of a log. */
void kerr_faults(const struct kerr *e, struct buf *out);
/* For a person: every fault with pointer and line:col, the code, the remedy; ends with \n. */
void kerr_text(const struct kerr *e, struct buf *out);

/* ---- log ------------------------------------------------------------------------------------ */

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
/* Where lines go. The default sink writes "kapseld: warning: text" to stderr in one write. */
typedef void (*log_sink)(void *arg, enum log_level level, const char *line);
void log_to(log_sink sink, void *arg, enum log_level most);
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define log_error(...)	 log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	 log_line(LOG_DEBUG, __VA_ARGS__)

#endif
