/* SPDX-License-Identifier: Apache-2.0 */
/* Work for the writer's thread, and its way back into the loop. */
#include "daemon.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct errands {
	pthread_mutex_t lock;
	struct errand *first, **last; /* under the lock */
	struct source wake;
};

static void work(void *arg)
{
	struct errand *x = arg;
	struct errands *all = x->d->errands;
	uint64_t one = 1;

	x->work(x);
	pthread_mutex_lock(&all->lock);
	x->next = NULL;
	*all->last = x;
	all->last = &x->next;
	pthread_mutex_unlock(&all->lock);
	if (write(all->wake.fd, &one, sizeof one) < 0)
		return; /* it is full: the loop will come by */
}

static enum source_answer woken(struct source *s, uint32_t events)
{
	struct errands *all = (struct errands *)((char *)s - offsetof(struct errands, wake));
	struct errand *x, *next;
	uint64_t n;

	(void)events;
	if (read(s->fd, &n, sizeof n) < 0)
		return SOURCE_KEEP;
	pthread_mutex_lock(&all->lock);
	x = all->first;
	all->first = NULL;
	all->last = &all->first;
	pthread_mutex_unlock(&all->lock);
	for (; x; x = next) {
		next = x->next;
		x->done(x);
	}
	return SOURCE_KEEP;
}

int errands_new(struct daemon *d, struct kerr *e)
{
	struct errands *all = mem_zalloc(sizeof *all);

	pthread_mutex_init(&all->lock, NULL);
	all->last = &all->first;
	all->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	all->wake.ready = woken;
	d->errands = all;
	if (all->wake.fd < 0)
		return kerr_fail(e, KERR_LIMIT, errno, "eventfd");
	return loop_add(d->loop, &all->wake, EPOLLIN, e);
}

void errand_run(struct daemon *d, struct errand *x)
{
	x->d = d;
	journal_run(d->journal, work, x);
}

struct removal {
	struct errand errand;
	char *id;
};

static void remove_work(struct errand *x)
{
	struct removal *r = (struct removal *)x;

	path_own_remove_tree(x->d->logs_dir, r->id, NULL);
}

static void remove_done(struct errand *x)
{
	struct removal *r = (struct removal *)x;

	free(r->id);
	free(r);
}

void logs_remove(struct daemon *d, const char *id)
{
	struct removal *r = mem_zalloc(sizeof *r);

	r->errand.work = remove_work;
	r->errand.done = remove_done;
	r->id = mem_strdup(id);
	errand_run(d, &r->errand);
}
