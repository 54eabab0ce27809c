/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024, PLACE = (int)sizeof(struct chunk) };

struct sink {
	const struct sink_kind *kind;
	void *arg;
	int wake;
	char *ring; /* mapped with the first chunk; its pages go back when it is idle */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* below: under lock */
	size_t head, tail; /* head == tail: empty; never filled to the last place */
	bool running, wanted;
	uint64_t put, settled; /* bytes of output */
	uint64_t taken;
	/* the main thread's own */
	bool begun, holding, stuck;
	deadline until;
	uint64_t missing, dropped; /* since the last note; in all */
	atomic_bool dead, given_up;
};

struct sink *sink_new(const struct sink_kind *kind, void *arg, int wake)
{
	struct sink *s = mem_zalloc(sizeof *s);
	pthread_condattr_t a;

	s->kind = kind;
	s->arg = arg;
	s->wake = wake;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &a);
	pthread_condattr_destroy(&a);
	return s;
}

bool sink_free(struct sink *s)
{
	bool running;

	if (s == NULL)
		return true;
	pthread_mutex_lock(&s->lock);
	running = s->running;
	pthread_mutex_unlock(&s->lock);
	if (running)
		return false;
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	if (s->ring)
		munmap(s->ring, RING_BYTES);
	free(s);
	return true;
}

static void wake_main(struct sink *s)
{
	uint64_t one = 1;

	if (write(s->wake, &one, sizeof one) < 0)
		return; /* it is full of wake-ups */
}

/* ---- the ring
 * ---------------------------------------------------------------------------------------------- */

static size_t place_of(size_t len)
{
	return (PLACE + len + 15) & ~(size_t)15;
}

static size_t used(const struct sink *s)
{
	return s->head >= s->tail ? s->head - s->tail : RING_BYTES - s->tail + s->head;
}

/* Whatever the wrap costs: a chunk is never cut in two. */
static bool fits(const struct sink *s, size_t len)
{
	size_t need = place_of(len);

	if (s->head < s->tail)
		return need < s->tail - s->head;
	return need + PLACE <= RING_BYTES - s->head || need < s->tail;
}

static void place(struct sink *s, const struct chunk *c, const void *data)
{
	size_t need = place_of(c->len);

	if (s->head >= s->tail && need + PLACE > RING_BYTES - s->head) {
		((struct chunk *)(void *)(s->ring + s->head))->wrap = 1;
		s->head = 0;
	}
	memcpy(s->ring + s->head, c, sizeof *c);
	memcpy(s->ring + s->head + PLACE, data, c->len);
	s->head += need;
}

static const struct chunk *first(struct sink *s)
{
	const struct chunk *c = (const struct chunk *)(void *)(s->ring + s->tail);

	if (c->wrap) {
		s->tail = 0;
		c = (const struct chunk *)(void *)s->ring;
	}
	return c;
}

/* ---- the thread
 * -------------------------------------------------------------------------------------------- */

static void take_first(struct sink *s)
{
	const struct chunk *c = first(s);
	size_t place = place_of(c->len);
	uint64_t bytes = c->kind <= CHUNK_STDERR ? c->len : 0;
	int rc = 0;

	pthread_mutex_unlock(&s->lock);
	if (!sink_given_up(s))
		rc = s->kind->take(s->arg, c, (const char *)(c + 1));
	pthread_mutex_lock(&s->lock);
	s->tail += place;
	s->taken += bytes;
	if (rc == 0 && s->wanted && used(s) <= RING_BYTES / 2) {
		s->wanted = false;
		wake_main(s);
	}
	if (rc == 0)
		return;
	s->tail = s->head;
	atomic_store(&s->dead, true);
	wake_main(s);
}

/* Under lock; true when the ring is still empty and all was written. */
static bool calm(struct sink *s, bool idle)
{
	bool clean = true;
	size_t held = 0;

	pthread_mutex_unlock(&s->lock);
	if (!sink_given_up(s) && s->kind->calm)
		clean = s->kind->calm(s->arg, idle, &held);
	pthread_mutex_lock(&s->lock);
	if (s->head != s->tail)
		return false;
	if (!sink_given_up(s))
		s->settled = s->taken - held;
	if (s->wanted) {
		s->wanted = false;
		wake_main(s);
	}
	pthread_cond_broadcast(&s->changed);
	return clean;
}

/* Return: false when nothing came for a while. */
static bool wait_for_more(struct sink *s, unsigned ms)
{
	struct timespec t;
	uint64_t at = clock_mono_ns() + ms * NS_PER_MS;

	t.tv_sec = (time_t)(at / NS_PER_S);
	t.tv_nsec = (long)(at % NS_PER_S);
	while (s->head == s->tail && !sink_given_up(s))
		if (pthread_cond_timedwait(&s->changed, &s->lock, &t) == ETIMEDOUT)
			return s->head != s->tail;
	return s->head != s->tail;
}

static void *sink_main(void *arg)
{
	struct sink *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		if (s->head != s->tail) {
			take_first(s);
			continue;
		}
		if (atomic_load(&s->dead))
			break;
		if (!calm(s, false)) {
			/* Not written: tried again, with or without news. */
			if (s->head == s->tail && !sink_given_up(s))
				wait_for_more(s, 100);
			continue;
		}
		if (!wait_for_more(s, IDLE_MS) && calm(s, true))
			break;
	}
	if (s->ring && s->head == s->tail)
		madvise(s->ring, RING_BYTES, MADV_DONTNEED);
	s->running = false;
	pthread_cond_broadcast(&s->changed);
	wake_main(s); /* before the lock is given: after it @s may be gone */
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Under lock. */
static bool start_thread(struct sink *s)
{
	pthread_attr_t a;
	pthread_t thread;

	if (s->running)
		return true;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, STACK_BYTES);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	s->running = pthread_create(&thread, &a, sink_main, s) == 0;
	pthread_attr_destroy(&a);
	return s->running;
}

/* ---- the main thread's side
 * ------------------------------------------------------------------------------- */

static bool map_ring(struct sink *s)
{
	void *p;

	if (s->ring)
		return true;
	p = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		s->ring = p;
	return p != MAP_FAILED;
}

static void count_missing(struct sink *s, enum chunk_kind kind, size_t len)
{
	if (kind > CHUNK_STDERR)
		return;
	s->missing += len;
	s->dropped += len;
}

/* Under lock. A stuck sink takes again when half of it is free, so that the notes stay few. */
static bool may_take(struct sink *s, size_t len)
{
	size_t most = s->stuck ? RING_BYTES / 2 : RING_BYTES;

	if (!map_ring(s) || used(s) > most)
		return false;
	if (s->head == s->tail)
		s->head = s->tail = 0; /* the same pages again */
	return fits(s, len + (s->missing ? place_of(sizeof s->missing) : 0) + 2 * PLACE);
}

void sink_put(struct sink *s, enum chunk_kind kind, uint64_t wall_ns, const char *data, size_t len)
{
	struct chunk c = { wall_ns, (uint32_t)len, (uint16_t)kind, 0 };
	struct chunk note = { wall_ns, sizeof s->missing, CHUNK_DROPPED, 0 };

	if (atomic_load(&s->dead))
		return;
	s->begun = true;
	pthread_mutex_lock(&s->lock);
	if (sink_given_up(s) || !may_take(s, len)) {
		count_missing(s, kind, len);
	} else {
		if (s->missing)
			place(s, &note, &s->missing);
		s->missing = 0;
		s->stuck = s->holding = false;
		place(s, &c, data);
		if (kind <= CHUNK_STDERR)
			s->put += len;
		/* Without a thread it waits for the next one's try. */
		if (start_thread(s))
			pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
}

bool sink_holds(struct sink *s, deadline *until)
{
	bool room;

	if (sink_dead(s) || s->stuck || !s->begun)
		return false;
	pthread_mutex_lock(&s->lock);
	room = may_take(s, READ_MOST);
	s->wanted = !room;
	pthread_mutex_unlock(&s->lock);
	if (room) {
		s->holding = false;
		return false;
	}
	if (!s->holding)
		s->until = deadline_in_ms(PATIENCE_MS);
	s->holding = true;
	if (deadline_passed(s->until)) {
		s->stuck = true;
		return false;
	}
	if (s->until < *until)
		*until = s->until;
	return true;
}

bool sink_begun(const struct sink *s)
{
	return s->begun;
}

bool sink_dead(struct sink *s)
{
	return atomic_load(&s->dead);
}

bool sink_given_up(struct sink *s)
{
	return atomic_load(&s->given_up);
}

void sink_give_up(struct sink *s)
{
	pthread_mutex_lock(&s->lock);
	atomic_store(&s->given_up, true);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

bool sink_settle(struct sink *s, deadline d)
{
	struct timespec t = { (time_t)(d / NS_PER_S), (long)(d % NS_PER_S) };
	bool settled;

	pthread_mutex_lock(&s->lock);
	while (!(settled = s->put == s->settled && s->head == s->tail) && !sink_dead(s) &&
		s->running)
		if (pthread_cond_timedwait(&s->changed, &s->lock, &t) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&s->lock);
	return settled;
}

uint64_t sink_dropped(struct sink *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	n = s->dropped + (s->put - s->settled);
	pthread_mutex_unlock(&s->lock);
	return n;
}
