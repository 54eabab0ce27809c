/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/base.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

static uint64_t now_ns(clockid_t id)
{
	struct timespec t = { 0 };

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

uint64_t clock_boot_ns(void)
{
	return now_ns(CLOCK_BOOTTIME);
}

uint64_t clock_wall_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

deadline deadline_in_ms(uint64_t ms)
{
	uint64_t ns, at;

	if (__builtin_mul_overflow(ms, NS_PER_MS, &ns) ||
		__builtin_add_overflow(clock_mono_ns(), ns, &at))
		return DEADLINE_NEVER;
	return at;
}

int deadline_left_ms(deadline d)
{
	uint64_t now, ms;

	if (d == DEADLINE_NEVER)
		return -1;
	now = clock_mono_ns();
	if (d <= now)
		return 0;
	ms = (d - now + NS_PER_MS - 1) / NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

bool deadline_passed(deadline d)
{
	return d != DEADLINE_NEVER && clock_mono_ns() >= d;
}

const char *time_text(uint64_t wall_ns, char out[static TIME_TEXT])
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct tm t = { 0 };
	size_t n;

	gmtime_r(&s, &t);
	n = strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &t);
	snprintf(out + n, TIME_TEXT - n, ".%09uZ", (unsigned)(wall_ns % NS_PER_S));
	return out;
}
