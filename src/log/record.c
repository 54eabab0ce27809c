/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <stdio.h>
#include <string.h>

static const char *const stream_names[] = {
	[LOG_STDOUT] = "stdout",
	[LOG_STDERR] = "stderr",
	[LOG_SYSTEM] = "system",
};

const char *log_stream_name(enum log_stream s)
{
	return s < LOG_STREAM_COUNT ? stream_names[s] : "?";
}

const char *log_file_name(unsigned i, char out[static 16])
{
	snprintf(out, 16, "%u.log", i);
	return out;
}

/* ---- times: RFC 3339
 * ------------------------------------------------------------------------------------ */

/* Reads exactly @digits digits. */
static bool number(const char **s, unsigned digits, unsigned max, unsigned *out)
{
	*out = 0;
	while (digits--) {
		if (**s < '0' || **s > '9')
			return false;
		*out = *out * 10 + (unsigned)(*(*s)++ - '0');
	}
	return *out <= max;
}

static bool letter(const char **s, const char *any)
{
	if (**s == '\0' || strchr(any, **s) == NULL)
		return false;
	(*s)++;
	return true;
}

/* Days from 1970-01-01 in the Gregorian calendar; the year begins in March, so that the leap day
 * is its last. */
static int64_t days_since_epoch(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;

	return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719468;
}

static bool fraction(const char **s, uint64_t *ns)
{
	uint64_t scale = NS_PER_S / 10;

	*ns = 0;
	if (**s != '.')
		return true;
	(*s)++;
	if (**s < '0' || **s > '9')
		return false;
	for (; **s >= '0' && **s <= '9'; (*s)++, scale /= 10) {
		if (scale == 0)
			return false;
		*ns += (uint64_t)(**s - '0') * scale;
	}
	return true;
}

static bool offset(const char **s, int64_t *seconds)
{
	unsigned h, m;
	char sign = **s;

	*seconds = 0;
	if (letter(s, "Zz"))
		return true;
	if (!letter(s, "+-") || !number(s, 2, 23, &h) || !letter(s, ":") || !number(s, 2, 59, &m))
		return false;
	*seconds = (int64_t)(h * 3600 + m * 60) * (sign == '-' ? -1 : 1);
	return true;
}

static bool leap(unsigned y)
{
	return (y % 4 == 0 && y % 100) || y % 400 == 0;
}

static bool day_exists(unsigned y, unsigned m, unsigned d)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return m >= 1 && d >= 1 && d <= days[m - 1] + (m == 2 && leap(y) ? 1u : 0u);
}

int log_time_parse(const char *s, uint64_t *wall_ns)
{
	unsigned y, mo, d, h, mi, sec;
	uint64_t ns;
	int64_t shift, t;

	if (!number(&s, 4, 9999, &y) || !letter(&s, "-") || !number(&s, 2, 12, &mo) ||
		!letter(&s, "-") || !number(&s, 2, 31, &d) || !letter(&s, "Tt ") ||
		!number(&s, 2, 23, &h) || !letter(&s, ":") || !number(&s, 2, 59, &mi) ||
		!letter(&s, ":") || !number(&s, 2, 60, &sec) || !fraction(&s, &ns) ||
		!offset(&s, &shift) || *s || !day_exists(y, mo, d))
		return -1;
	t = days_since_epoch(y, mo, d) * 86400 + (int64_t)(h * 3600 + mi * 60 + sec) - shift;
	if (t < 0 || (uint64_t)t > UINT64_MAX / NS_PER_S - 1)
		return -1;
	*wall_ns = (uint64_t)t * NS_PER_S + ns;
	return 0;
}

/* ---- one record
 * ---------------------------------------------------------------------------------------- */

/* Cuts the next word off; false when no blank follows. */
static bool word(const char **at, size_t *left, const char **w, size_t *len)
{
	const char *blank = memchr(*at, ' ', *left);

	if (blank == NULL)
		return false;
	*w = *at;
	*len = (size_t)(blank - *at);
	*left -= *len + 1;
	*at = blank + 1;
	return true;
}

static bool is(const char *w, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(w, text, len) == 0;
}

bool record_parse(const char *line, size_t len, struct parsed *out)
{
	const char *stream, *tag;
	size_t nstream, ntag;
	char time[TIME_TEXT];

	if (!word(&line, &len, &out->time, &out->time_len) || out->time_len >= sizeof time ||
		!word(&line, &len, &stream, &nstream) || !word(&line, &len, &tag, &ntag))
		return false;
	memcpy(time, out->time, out->time_len);
	time[out->time_len] = '\0';
	if (log_time_parse(time, &out->time_ns))
		return false;
	if (is(stream, nstream, "stdout"))
		out->stream = LOG_STDOUT;
	else if (is(stream, nstream, "stderr"))
		out->stream = is(tag, ntag, NOTE_TAG) ? LOG_SYSTEM : LOG_STDERR;
	else
		return false;
	if (ntag == 0 || (tag[0] != 'F' && tag[0] != 'P') || (ntag > 1 && tag[1] != ':'))
		return false;
	out->partial = tag[0] == 'P';
	out->text = line;
	out->len = len;
	return true;
}

uint64_t note_dropped(const char *text, size_t len)
{
	static const char after[] = " bytes of output dropped";
	uint64_t n = 0;
	size_t i = 0;

	while (i < len && i < 19 && text[i] >= '0' && text[i] <= '9')
		n = n * 10 + (uint64_t)(text[i++] - '0');
	return i && len - i >= sizeof after - 1 && memcmp(text + i, after, sizeof after - 1) == 0
		       ? n
		       : 0;
}
