/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <kapsel/base.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool str_eq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* Length of the well-formed UTF-8 sequence at @s (RFC 3629, table 3-7 of Unicode), or 0. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80	 ? 1
		   : s[0] < 0xc2 ? 0
		   : s[0] < 0xe0 ? 2
		   : s[0] < 0xf0 ? 3
		   : s[0] < 0xf5 ? 4
				 : 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

bool str_is_utf8(const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length((const unsigned char *)s + i, len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

static bool is_c1(const unsigned char *s, size_t n)
{
	return n == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

void buf_add_escaped(struct buf *b, const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(u + i, len - i);

		if (u[i] == '\\') {
			buf_adds(b, "\\\\");
			i++;
		} else if (n == 0 || u[i] < 0x20 || u[i] == 0x7f || is_c1(u + i, n)) {
			for (size_t end = i + (n ? n : 1); i < end; i++)
				buf_addf(b, "\\x%02x", u[i]);
		} else {
			buf_add(b, s + i, n);
			i += n;
		}
	}
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void buf_add_unescaped(struct buf *b, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		int high =
			i + 3 < len && s[i] == '\\' && s[i + 1] == 'x' ? hex_digit(s[i + 2]) : -1;
		int low = high < 0 ? -1 : hex_digit(s[i + 3]);

		if (low >= 0) {
			buf_addc(b, (char)(high << 4 | low));
			i += 4;
		} else {
			i += s[i] == '\\' && i + 1 < len && s[i + 1] == '\\';
			buf_addc(b, s[i++]);
		}
	}
}

enum { DISTANCE_MOST = 64 };

size_t str_distance(const char *a, const char *b, size_t limit)
{
	size_t row[DISTANCE_MOST + 1], n = strlen(a), m = strlen(b);

	if (n > DISTANCE_MOST || m > DISTANCE_MOST || (n > m ? n - m : m - n) > limit)
		return limit + 1;
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[m] > limit ? limit + 1 : row[m];
}

/* Digits up to the first other byte; -1 without digits or past 64 bits. */
static int digits(const char **s, uint64_t *out)
{
	const char *start = *s;
	uint64_t v = 0;

	for (; isdigit((unsigned char)**s); (*s)++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
			return -1;
	*out = v;
	return *s == start ? -1 : 0;
}

int str_to_u64(const char *s, uint64_t *out)
{
	uint64_t v;

	if (digits(&s, &v) || *s)
		return -1;
	*out = v;
	return 0;
}

int str_to_i64(const char *s, int64_t *out)
{
	bool negative = *s == '-';
	uint64_t v;

	if (str_to_u64(s + negative, &v) || v > (uint64_t)INT64_MAX + negative)
		return -1;
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int with_unit(const char **s, const struct unit *units, size_t n, uint64_t *out)
{
	uint64_t v;
	size_t len;

	if (digits(s, &v))
		return -1;
	len = strspn(*s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	for (size_t i = 0; i < n; i++)
		if (strlen(units[i].name) == len && strncasecmp(units[i].name, *s, len) == 0) {
			*s += len;
			return __builtin_mul_overflow(v, units[i].factor, out) ? -1 : 0;
		}
	return -1;
}

int str_to_ms(const char *s, uint64_t *out_ms)
{
	static const struct unit units[] = {
		{ "ms", 1 },
		{ "s", 1000 },
		{ "m", 60000 },
		{ "h", 3600000 },
		{ "", 1000 },
	};
	uint64_t total = 0, part;

	do {
		if (with_unit(&s, units, ARRAY_LEN(units), &part) ||
			__builtin_add_overflow(total, part, &total))
			return -1;
	} while (*s);
	*out_ms = total;
	return 0;
}

int str_to_bytes(const char *s, uint64_t *out)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "b", 1 },
		{ "k", 1ull << 10 },
		{ "kb", 1ull << 10 },
		{ "kib", 1ull << 10 },
		{ "m", 1ull << 20 },
		{ "mb", 1ull << 20 },
		{ "mib", 1ull << 20 },
		{ "g", 1ull << 30 },
		{ "gb", 1ull << 30 },
		{ "gib", 1ull << 30 },
		{ "t", 1ull << 40 },
		{ "tib", 1ull << 40 },
	};

	return with_unit(&s, units, ARRAY_LEN(units), out) || *s ? -1 : 0;
}

static bool id_rest(const char *id, const char *others, size_t most)
{
	size_t n = strlen(id);

	if (n == 0 || n > most)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)id[i]) && strchr(others, id[i]) == NULL)
			return false;
	return true;
}

bool id_is_valid(const char *id)
{
	return isalnum((unsigned char)id[0]) && id_rest(id, "_.-", 128);
}

bool oci_id_is_valid(const char *id)
{
	return (isalnum((unsigned char)id[0]) || id[0] == '_') && id_rest(id, "_+.-", 1024);
}

static const char *const signals[] = {
	[SIGHUP] = "HUP",
	[SIGINT] = "INT",
	[SIGQUIT] = "QUIT",
	[SIGILL] = "ILL",
	[SIGTRAP] = "TRAP",
	[SIGABRT] = "ABRT",
	[SIGBUS] = "BUS",
	[SIGFPE] = "FPE",
	[SIGKILL] = "KILL",
	[SIGUSR1] = "USR1",
	[SIGSEGV] = "SEGV",
	[SIGUSR2] = "USR2",
	[SIGPIPE] = "PIPE",
	[SIGALRM] = "ALRM",
	[SIGTERM] = "TERM",
	[SIGSTKFLT] = "STKFLT",
	[SIGCHLD] = "CHLD",
	[SIGCONT] = "CONT",
	[SIGSTOP] = "STOP",
	[SIGTSTP] = "TSTP",
	[SIGTTIN] = "TTIN",
	[SIGTTOU] = "TTOU",
	[SIGURG] = "URG",
	[SIGXCPU] = "XCPU",
	[SIGXFSZ] = "XFSZ",
	[SIGVTALRM] = "VTALRM",
	[SIGPROF] = "PROF",
	[SIGWINCH] = "WINCH",
	[SIGIO] = "IO",
	[SIGPWR] = "PWR",
	[SIGSYS] = "SYS",
};
/* The kernel's numbers: the C libraries keep two or three of the real-time signals to themselves.
 */
enum { RT_FIRST = 34, RT_LAST = 64 };

static int real_time_signal(const char *name)
{
	uint64_t offset = 0;

	if (strncasecmp(name, "RTMIN", 5) == 0 &&
		(name[5] == '\0' || (name[5] == '+' && str_to_u64(name + 6, &offset) == 0 &&
					    offset <= RT_LAST - RT_FIRST)))
		return RT_FIRST + (int)offset;
	if (strncasecmp(name, "RTMAX", 5) == 0 &&
		(name[5] == '\0' || (name[5] == '-' && str_to_u64(name + 6, &offset) == 0 &&
					    offset <= RT_LAST - RT_FIRST)))
		return RT_LAST - (int)offset;
	return -1;
}

int signal_parse(const char *s)
{
	const char *name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;
	uint64_t number;

	if (str_to_u64(s, &number) == 0)
		return number >= 1 && number <= RT_LAST ? (int)number : -1;
	for (size_t i = 1; i < ARRAY_LEN(signals); i++)
		if (signals[i] && strcasecmp(signals[i], name) == 0)
			return (int)i;
	if (strcasecmp(name, "POLL") == 0)
		return SIGIO;
	return real_time_signal(name);
}

const char *signal_name(int sig)
{
	static const char *const real_time[] = {
		"RTMIN",
		"RTMIN+1",
		"RTMIN+2",
		"RTMIN+3",
		"RTMIN+4",
		"RTMIN+5",
		"RTMIN+6",
		"RTMIN+7",
		"RTMIN+8",
		"RTMIN+9",
		"RTMIN+10",
		"RTMIN+11",
		"RTMIN+12",
		"RTMIN+13",
		"RTMIN+14",
		"RTMIN+15",
		"RTMIN+16",
		"RTMIN+17",
		"RTMIN+18",
		"RTMIN+19",
		"RTMIN+20",
		"RTMIN+21",
		"RTMIN+22",
		"RTMIN+23",
		"RTMIN+24",
		"RTMIN+25",
		"RTMIN+26",
		"RTMIN+27",
		"RTMIN+28",
		"RTMIN+29",
		"RTMAX",
	};

	if (sig >= RT_FIRST && sig <= RT_LAST)
		return real_time[sig - RT_FIRST];
	return sig > 0 && (size_t)sig < ARRAY_LEN(signals) ? signals[sig] : NULL;
}
