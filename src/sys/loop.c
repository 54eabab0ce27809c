/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <kapsel/sys.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 64 };

struct loop {
	int epoll;
	struct source *dead;	      /* ended during this turn: freed when the turn is over */
	VEC(struct source *) sources; /* for loop_free() */
	VEC(struct timer *) heap;     /* heap[0] is the next to fire */
};

int loop_new(struct loop **out, struct kerr *e)
{
	struct loop *l = mem_zalloc(sizeof *l);

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		free(l);
		return kerr_fail(e, KERR_LIMIT, errno, "epoll");
	}
	*out = l;
	return 0;
}

/* ---- sources
 * -------------------------------------------------------------------------------------- */

int loop_add(struct loop *l, struct source *s, uint32_t events, struct kerr *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "watch fd %d", s->fd);
	s->loop = l;
	s->dead = false;
	s->next_dead = NULL;
	s->place = l->sources.n;
	vec_push(&l->sources) = s;
	return 0;
}

int loop_change(struct loop *l, struct source *s, uint32_t events, struct kerr *e)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (s->dead)
		return 0;
	if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, s->fd, &ev) < 0)
		return kerr_fail(e, KERR_INTERNAL, errno, "watch fd %d", s->fd);
	return 0;
}

void loop_end(struct loop *l, struct source *s)
{
	if (s->dead || s->loop != l)
		return;
	s->dead = true;
	s->next_dead = l->dead;
	l->dead = s;
	l->sources.v[s->place] = l->sources.v[--l->sources.n];
	l->sources.v[s->place]->place = s->place;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	fd_closep(&s->fd);
}

/* Events of this turn may still point at an ended source, so its memory goes last. */
static void bury(struct loop *l)
{
	while (l->dead) {
		struct source *s = l->dead;

		l->dead = s->next_dead;
		s->loop = NULL;
		if (s->closed)
			s->closed(s);
	}
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	do {
		while (l->sources.n)
			loop_end(l, l->sources.v[l->sources.n - 1]);
		bury(l);
	} while (l->sources.n);
	for (size_t i = 0; i < l->heap.n; i++)
		l->heap.v[i]->slot = 0;
	vec_free(&l->sources);
	vec_free(&l->heap);
	close(l->epoll);
	free(l);
}

/* ---- timers: a binary heap; slot is 1-based
 * --------------------------------------------------------- */

static void put(struct loop *l, size_t slot, struct timer *t)
{
	l->heap.v[slot - 1] = t;
	t->slot = slot;
}

static void sift(struct loop *l, size_t slot, struct timer *t)
{
	while (slot > 1 && l->heap.v[slot / 2 - 1]->at > t->at) {
		put(l, slot, l->heap.v[slot / 2 - 1]);
		slot /= 2;
	}
	for (;;) {
		size_t child = slot * 2;

		if (child < l->heap.n && l->heap.v[child]->at < l->heap.v[child - 1]->at)
			child++;
		if (child > l->heap.n || l->heap.v[child - 1]->at >= t->at)
			break;
		put(l, slot, l->heap.v[child - 1]);
		slot = child;
	}
	put(l, slot, t);
}

void loop_timer(struct loop *l, struct timer *t, deadline at)
{
	t->at = at;
	if (t->slot == 0) {
		vec_push(&l->heap) = t;
		t->slot = l->heap.n;
	}
	sift(l, t->slot, t);
}

void loop_untimer(struct loop *l, struct timer *t)
{
	size_t slot = t->slot;
	struct timer *last;

	if (slot == 0)
		return;
	t->slot = 0;
	last = l->heap.v[--l->heap.n];
	if (last != t)
		sift(l, slot, last);
}

static void fire_timers(struct loop *l)
{
	uint64_t now = clock_mono_ns();

	while (l->heap.n && l->heap.v[0]->at <= now) {
		struct timer *t = l->heap.v[0];

		loop_untimer(l, t);
		t->fire(t);
	}
}

int loop_turn(struct loop *l, int most_ms, struct kerr *e)
{
	struct epoll_event ev[EVENTS];
	int wait = l->heap.n ? deadline_left_ms(l->heap.v[0]->at) : -1, n;

	if (wait < 0 || (most_ms >= 0 && most_ms < wait))
		wait = most_ms;
	n = epoll_wait(l->epoll, ev, EVENTS, wait);
	if (n < 0 && errno != EINTR)
		return kerr_fail(e, KERR_INTERNAL, errno, "epoll_wait");
	for (int i = 0; i < n; i++) {
		struct source *s = ev[i].data.ptr;

		if (!s->dead && s->ready(s, ev[i].events) == SOURCE_DONE)
			loop_end(l, s);
	}
	fire_timers(l);
	bury(l);
	return 0;
}
