/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe: what a container looks like from inside, as one JSON object on stdout. Static, and asks
 * the kernel, not the C library. Arguments: names of system calls to try (their errno is reported,
 * or "trapped"), "32:NR" and "x32:NR" for one by another entry, "thread:NAME" for one in a thread
 * ("killed" if that ended it), "r:PATH", "w:PATH" and "rw:PATH" for files to open; or `exit N` to
 * end with that status, `sleep` to wait for ever after printing.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void quoted(const char *s)
{
	putchar('"');
	for (; *s; s++)
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	putchar('"');
}

static void string(const char *key, const char *value)
{
	printf(",\n\"%s\": ", key);
	quoted(value);
}

static void number(const char *key, long long value)
{
	printf(",\n\"%s\": %lld", key, value);
}

/* The lines "Name:\tvalue" of a procfs file as members of an object. */
static void status(const char *key, const char *path)
{
	char line[4096];
	FILE *f = fopen(path, "re");
	bool first = true;

	printf(",\n\"%s\": {", key);
	while (f && fgets(line, sizeof line, f)) {
		char *colon = strchr(line, ':'), *v;

		if (!colon)
			continue;
		*colon = '\0';
		line[strcspn(line, "\n")] = '\0';
		v = colon + 1 + strspn(colon + 1, " \t");
		v[strcspn(v, "\n")] = '\0';
		for (size_t n = strlen(v); n && (v[n - 1] == ' ' || v[n - 1] == '\t'); n--)
			v[n - 1] = '\0';
		printf("%s\"%s\": ", first ? "" : ", ", line);
		quoted(v);
		first = false;
	}
	if (f)
		fclose(f);
	printf("}");
}

static void lines(const char *key, const char *path)
{
	char line[4096];
	FILE *f = fopen(path, "re");
	bool first = true;

	printf(",\n\"%s\": [", key);
	while (f && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		printf(first ? "\n  " : ",\n  ");
		quoted(line);
		first = false;
	}
	if (f)
		fclose(f);
	printf("]");
}

static void namespaces(void)
{
	static const char *const names[] = { "pid", "net", "mnt", "ipc", "uts", "user", "cgroup",
		"time" };

	printf(",\n\"namespaces\": {");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[64], link[64];
		ssize_t n;

		snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
		n = readlink(path, link, sizeof link - 1);
		link[n < 0 ? 0 : n] = '\0';
		printf("%s\"%s\": \"%s\"", i ? ", " : "", names[i], link);
	}
	printf("}");
}

static void limits(void)
{
	static const char *const names[] = { "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS",
		"NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE",
		"RTPRIO", "RTTIME" };

	printf(",\n\"rlimits\": {");
	for (int i = 0; i < 16; i++) {
		struct rlimit r = { 0, 0 };

		getrlimit(i, &r);
		printf("%s\"RLIMIT_%s\": [\"%llu\", \"%llu\"]", i ? ", " : "", names[i],
			(unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_max);
	}
	printf("}");
}

struct probe_sched_attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

static void scheduling(void)
{
	struct probe_sched_attr a = { .size = sizeof a };
	cpu_set_t set;

	syscall(SYS_sched_getattr, 0, &a, sizeof a, 0);
	printf(",\n\"scheduler\": {\"policy\": %u, \"flags\": %llu, \"nice\": %d, \"priority\": "
	       "%u, "
	       "\"runtime\": %llu, \"deadline\": %llu, \"period\": %llu}",
		a.policy, (unsigned long long)a.flags, a.nice, a.priority,
		(unsigned long long)a.runtime, (unsigned long long)a.deadline,
		(unsigned long long)a.period);
	number("ioprio", syscall(SYS_ioprio_get, 1, 0));
	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof set, &set);
	printf(",\n\"affinity\": [");
	for (size_t i = 0, first = 1; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			printf("%s%zu", first ? "" : ", ", i), first = 0;
	printf("]");
}

static void descriptors(void)
{
	printf(",\n\"fds\": [");
	for (int fd = 0, first = 1; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			printf("%s%d", first ? "" : ", ", fd), first = 0;
	printf("]");
}

static void devices(void)
{
	static const char *const paths[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
		"/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/console", "/dev/fd", "/dev/stdin",
		"/dev/pts", "/dev/shm", "/dev/extra" };

	printf(",\n\"devices\": {");
	for (size_t i = 0, first = 1; i < sizeof paths / sizeof *paths; i++) {
		struct stat st;

		if (lstat(paths[i], &st) < 0)
			continue;
		printf("%s\n  \"%s\": {\"mode\": \"%o\", \"major\": %u, \"minor\": %u, \"uid\": "
		       "%u, \"gid\": %u}",
			first ? "" : ",", paths[i], st.st_mode, major(st.st_rdev),
			minor(st.st_rdev), st.st_uid, st.st_gid);
		first = 0;
	}
	printf("}");
}

static const struct {
	const char *name;
	long nr;
} calls[] = {
	{ "getpid", SYS_getpid },
	{ "getppid", SYS_getppid },
	{ "mkdir", SYS_mkdir },
	{ "unshare", SYS_unshare },
	{ "keyctl", SYS_keyctl },
	{ "ptrace", SYS_ptrace },
	{ "uname", SYS_uname },
	{ "socket", SYS_socket },
	{ "personality", SYS_personality },
	{ "sync", SYS_sync },
	{ "getuid", SYS_getuid },
};

static volatile sig_atomic_t trapped;

static void on_sigsys(int signal)
{
	(void)signal;
	trapped = 1;
}

/* NAME or NAME:ARG0; the call's errno, 0 when it worked. */
static int try_call(const char *name)
{
	const char *colon = strchr(name, ':');
	size_t len = colon ? (size_t)(colon - name) : strlen(name);
	unsigned long arg = colon ? strtoul(colon + 1, NULL, 0) : 0;

	for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
		if (strlen(calls[c].name) == len && memcmp(calls[c].name, name, len) == 0) {
			errno = 0;
			syscall(calls[c].nr, arg, arg ? 1 : 0, 0, 0, 0, 0);
			return errno;
		}
	return -1;
}

static sigjmp_buf no_entry;

static void on_sigsegv(int signal)
{
	(void)signal;
	siglongjmp(no_entry, 1);
}

/* Another architecture to a filter: its numbers are others. Some kernels have no such entry. */
static int try_32(long nr)
{
	long answer = -ENOSYS;

	if (sigsetjmp(no_entry, 1))
		return -1;
	signal(SIGSEGV, on_sigsegv);
#ifdef __x86_64__
	__asm__ volatile("int $0x80" : "=a"(answer) : "a"(nr), "b"(0), "c"(0), "d"(0) : "memory");
	answer = (int)answer;
#endif
	return answer < 0 && answer > -4096 ? (int)-answer : 0;
}

/* One more: x86_64's numbers with a bit that makes them x32's. */
static int try_x32(long nr)
{
	errno = 0;
	syscall(nr | 0x40000000, 0, 0, 0);
	return errno;
}

static int thread_answer;

static void *in_thread(void *name)
{
	thread_answer = try_call(name);
	return NULL;
}

static bool threads_left(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");
	int n = 0;

	while (f && fgets(line, sizeof line, f))
		sscanf(line, "Threads: %d", &n);
	if (f)
		fclose(f);
	return n > 1;
}

static int try_thread(char *name)
{
	pthread_t t;

	thread_answer = -2; /* killed before it could say */
	if (pthread_create(&t, NULL, in_thread, name))
		return -1;
	for (int i = 0; i < 1000 && threads_left(); i++)
		nanosleep(&(struct timespec) { .tv_nsec = 5000000 }, NULL);
	return thread_answer;
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int try_one(char *what)
{
	if (strncmp(what, "32:", 3) == 0)
		return try_32(strtol(what + 3, NULL, 10));
	if (strncmp(what, "x32:", 4) == 0)
		return try_x32(strtol(what + 4, NULL, 10));
	if (strncmp(what, "thread:", 7) == 0)
		return try_thread(what + 7);
	if (strncmp(what, "r:", 2) == 0)
		return try_open(what + 2, O_RDONLY);
	if (strncmp(what, "w:", 2) == 0)
		return try_open(what + 2, O_WRONLY);
	if (strncmp(what, "rw:", 3) == 0)
		return try_open(what + 3, O_RDWR);
	return try_call(what);
}

static void try_all(int n, char **what)
{
	signal(SIGSYS, on_sigsys);
	printf(",\n\"calls\": {");
	for (int i = 0; i < n; i++) {
		int answer;

		trapped = 0;
		fflush(stdout);
		answer = try_one(what[i]);
		printf("%s\"%s\": ", i ? ", " : "", what[i]);
		if (trapped)
			printf("\"trapped\"");
		else if (answer == -2)
			printf("\"killed\"");
		else
			printf("%d", answer);
	}
	printf("}");
}

int main(int argc, char **argv)
{
	struct utsname u;
	char cwd[4096] = "";
	mode_t mask = umask(0);

	umask(mask);
	setvbuf(stdout, NULL, _IOFBF, 65536);
	uname(&u);
	printf("{\"pid\": %d", getpid());
	number("ppid", getppid());
	number("sid", getsid(0));
	number("umask", mask);
	string("cwd", getcwd(cwd, sizeof cwd) ? cwd : "");
	string("hostname", u.nodename);
	string("domainname", u.domainname);
	string("machine", u.machine);
	number("personality", personality(0xffffffff));
	number("securebits", prctl(PR_GET_SECUREBITS));
	printf(",\n\"env\": [");
	for (char **e = environ; *e; e++)
		printf(e == environ ? "" : ", "), quoted(*e);
	printf("],\n\"args\": [");
	for (int i = 0; i < argc; i++)
		printf(i ? ", " : ""), quoted(argv[i]);
	printf("]");
	status("status", "/proc/self/status");
	namespaces();
	limits();
	scheduling();
	descriptors();
	devices();
	lines("mountinfo", "/proc/self/mountinfo");
	lines("cgroup", "/proc/self/cgroup");
	lines("uid_map", "/proc/self/uid_map");
	lines("gid_map", "/proc/self/gid_map");
	lines("timens_offsets", "/proc/self/timens_offsets");
	lines("oom_score_adj", "/proc/self/oom_score_adj");
	lines("keyring", "/proc/keys");
	number("tty", isatty(0));
	if (isatty(0)) {
		struct winsize w = { 0 };

		ioctl(0, TIOCGWINSZ, &w);
		printf(",\n\"window\": [%u, %u]", w.ws_row, w.ws_col);
	}
	if (argc > 1 && strcmp(argv[1], "exit") && strcmp(argv[1], "sleep"))
		try_all(argc - 1, argv + 1);
	printf("}\n");
	fflush(stdout);
	if (argc > 2 && strcmp(argv[1], "exit") == 0)
		return atoi(argv[2]);
	while (argc > 1 && strcmp(argv[1], "sleep") == 0)
		pause();
	return 0;
}
