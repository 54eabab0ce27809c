/* SPDX-License-Identifier: Apache-2.0 */
/* The real kapsel-monitor between a kapseld and an executor that this program plays; what it starts
 * are shells on pipes, not containers, so that no root is needed. */
#include "../test.h"
#include <errno.h>
#include <kapsel/cgroup.h>
#include <kapsel/log.h>
#include <kapsel/wire.h>
#include <linux/sched.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS 8000

/* ---- the executor's part
 * -------------------------------------------------------------------------------------- */

/* @gate: as a real init, it goes on when the executor has told of it. */
static void child(const char *command, int *gate, int in, int out, int err, const char *cgroup)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	struct cgroup *c;

	char none;

	close(gate[1]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(gate[0], &none, 1) != 0)
		_exit(97);
	setsid();
	if (cgroup && (cgroup_open(cgroup, &c, NULL) || cgroup_join(c, NULL)))
		_exit(99);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	if (isatty(0))
		ioctl(0, TIOCSCTTY, 0);
	sys_close_range(3, ~0u, 0);
	execv("/bin/sh", argv);
	_exit(98);
}

static int play_executor(void)
{
	struct wire_in in;
	struct wire_out w;
	int gate[2], i[2] = { -1, -1 }, o[2] = { -1, -1 }, r[2] = { -1, -1 }, pidfd = -1;
	bool tty;
	struct clone_args a = { .flags = CLONE_PARENT | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd };
	long pid;

	if (wire_recv(3, &in, deadline_in_ms(SECONDS), NULL) != 1 || in.type != WIRE_CREATE)
		return 0;
	tty = wire_get_u64(&in, TAG_FLAGS, 0) & WIRE_TERMINAL;
	if (pipe(gate))
		return 1;
	if (tty ? openpty(&i[1], &i[0], NULL, NULL, NULL) : pipe(i) || pipe(o) || pipe(r))
		return 1;
	pid = sys_clone3(&a, sizeof a);
	if (pid == 0)
		child(wire_get_str(&in, TAG_ARGS), gate, i[0], tty ? i[0] : o[1], tty ? i[0] : r[1],
			wire_get_str(&in, TAG_CGROUP));
	if (pid < 0)
		return 2;
	wire_begin(&w, WIRE_INIT);
	wire_u64(&w, TAG_PID, (uint64_t)pid);
	wire_u64(&w, TAG_START_TIME, process_start_time((pid_t)pid));
	wire_str(&w, TAG_CGROUP, wire_get_str(&in, TAG_CGROUP));
	wire_fd(&w, WIRE_FD_PIDFD, pidfd);
	if (tty) {
		if (wire_send(4, &w, deadline_in_ms(SECONDS), NULL))
			return 4;
		wire_begin(&w, WIRE_INIT);
		wire_u64(&w, TAG_FLAGS, WIRE_TERMINAL);
		wire_fd(&w, WIRE_FD_MASTER, i[1]);
	} else {
		wire_fd(&w, WIRE_FD_STDIN, i[1]);
		wire_fd(&w, WIRE_FD_STDOUT, o[0]);
		wire_fd(&w, WIRE_FD_STDERR, r[0]);
	}
	return wire_send(4, &w, deadline_in_ms(SECONDS), NULL) ? 3 : 0;
}

/* ---- kapseld's part
 * ------------------------------------------------------------------------------------------------
 */

struct world {
	char path[64];
	int run, log, d, e, pidfd;
	pid_t pid;
};
struct how {
	const char *command, *cgroup;
	uint64_t flags;
	int in, out, err;
	const char *request;
};
/* Descriptors that are not named are -1: 0 is never one of ours. */
#define HOW(...) ((struct how) { __VA_ARGS__ })

static char self[4096], monitor[4096];

static int sub_dir(struct world *w, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s/%s", w->path, name);
	assert_int_equal(mkdir(path, 0700), 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static struct world world_new(void)
{
	struct world w = { .path = "/tmp/kapsel-monitor-XXXXXX" };
	int d[2], e[2];
	char *argv[] = { monitor, (char *)"--pool", self, NULL }, *env[] = { NULL };

	assert_non_null(mkdtemp(w.path));
	w.run = sub_dir(&w, "run");
	w.log = sub_dir(&w, "log");
	assert_int_equal(socket_pair(SOCK_SEQPACKET, d, NULL), 0);
	assert_int_equal(socket_pair(SOCK_SEQPACKET, e, NULL), 0);
	int fds[] = { -1, -1, 2, d[1], e[1] };
	struct spawn s = { .path = monitor,
		.exe_fd = -1,
		.argv = argv,
		.envp = env,
		.fds = fds,
		.nfds = 5,
		.cwd_fd = -1,
		.death_signal = SIGKILL };
	w.pidfd = spawn_run(&s, &w.pid, NULL);
	assert_true(w.pidfd >= 0);
	close(d[1]);
	close(e[1]);
	w.d = d[0];
	w.e = e[0];
	return w;
}

static void expect_end(struct world *w)
{
	siginfo_t info;

	assert_true(poll_one(w->pidfd, 1, deadline_in_ms(SECONDS)));
	assert_int_equal(pidfd_wait(w->pidfd, &info, false, NULL), 0);
	assert_int_equal(info.si_code, CLD_EXITED);
	assert_int_equal(info.si_status, 0);
}

static void world_free(struct world *w)
{
	char command[128];

	expect_end(w);
	close(w->pidfd);
	close(w->d);
	close(w->e);
	close(w->run);
	close(w->log);
	snprintf(command, sizeof command, "rm -r %s", w->path);
	assert_int_equal(system(command), 0);
}

static void send_frame(int fd, struct wire_out *m)
{
	assert_int_equal(wire_send(fd, m, deadline_in_ms(SECONDS), NULL), 0);
}

/* The next frame, which must be of @type. */
static struct wire_in frame(int fd, enum wire_type type)
{
	struct wire_in in;

	assert_int_equal(wire_recv(fd, &in, deadline_in_ms(SECONDS), NULL), 1);
	assert_int_equal(in.type, type);
	return in;
}

static void done(int fd)
{
	struct wire_in in = frame(fd, WIRE_DONE);

	assert_false(in.field[TAG_ERROR].there);
	wire_in_free(&in);
}

static void begin(struct world *w, struct how h)
{
	struct wire_out m;

	wire_begin(&m, WIRE_WATCH);
	wire_str(&m, TAG_ID, "web");
	wire_str(&m, TAG_UID, "0123");
	wire_u64(&m, TAG_INSTANCE, 7);
	wire_u64(&m, TAG_FLAGS, h.flags);
	wire_str(&m, TAG_REQUEST, h.request);
	wire_fd(&m, WIRE_FD_RUN_DIR, w->run);
	wire_fd(&m, WIRE_FD_LOG_DIR, w->log);
	wire_fd(&m, WIRE_FD_STDIN, h.in ? h.in : -1);
	wire_fd(&m, WIRE_FD_STDOUT, h.out ? h.out : -1);
	wire_fd(&m, WIRE_FD_STDERR, h.err ? h.err : -1);
	send_frame(w->d, &m);
	wire_begin(&m, WIRE_CREATE);
	wire_u64(&m, TAG_FLAGS, h.flags);
	wire_str(&m, TAG_ARGS, h.command);
	wire_str(&m, TAG_CGROUP, h.cgroup);
	send_frame(w->e, &m);
	done(w->d);
}

static void order(int fd, enum wire_type type, uint64_t signal, uint64_t timeout)
{
	struct wire_out m;

	wire_begin(&m, type);
	wire_u64(&m, TAG_SIGNAL, signal);
	wire_u64(&m, TAG_TIMEOUT_MS, timeout);
	wire_str(&m, TAG_WHO, "uid 0 pid 1 Stop");
	send_frame(fd, &m);
}

static char *file(int dir, const char *name)
{
	struct buf b = BUF_INIT;

	if (path_read(dir, name, 1 << 20, &b, NULL))
		buf_adds(&b, "(missing)");
	return buf_take(&b);
}

/* "stdout text|stderr text|" */
static char *logged(struct world *w)
{
	struct log_query q = { .tail = UINT64_MAX };
	struct log_reader *r;
	struct log_record rec;
	struct buf b = BUF_INIT;

	assert_int_equal(log_reader_open(w->log, &q, &r, NULL), 0);
	while (log_next(r, &rec, NULL) == 1 || log_rest(r, &rec) == 1) {
		buf_addf(&b, "%s ", log_stream_name(rec.stream));
		buf_add(&b, rec.text, rec.len);
		buf_adds(&b, rec.partial ? "~|" : "|");
	}
	log_reader_free(r);
	return buf_take(&b);
}

static void expect_log(struct world *w, const char *text)
{
	CLEANUP_FREE char *got = logged(w);

	assert_string_equal(got, text);
}

static void wait_for_log(struct world *w, const char *part)
{
	for (int i = 0; i < 400; i++) {
		CLEANUP_FREE char *got = logged(w);

		if (strstr(got, part))
			return;
		usleep(10000);
	}
	fail_msg("the log never said %s", part);
}

static struct wire_in status(int fd)
{
	struct wire_out m;

	wire_begin(&m, WIRE_STATUS);
	send_frame(fd, &m);
	return frame(fd, WIRE_STATE);
}

/* ---- sentences
 * ------------------------------------------------------------------------------------------------
 */

static void an_end_is_recorded_before_it_is_reported(void **state)
{
	struct world w = world_new();

	begin(&w, HOW(.command = "echo out; echo err >&2; printf rest; exit 3"));
	struct wire_in in = frame(w.d, WIRE_EXITED);
	CLEANUP_FREE char *record = file(w.run, "exit.json");

	assert_int_equal(wire_get_u64(&in, TAG_EXIT_CODE, 99), 3);
	assert_false(in.field[TAG_EXIT_SIGNAL].there);
	assert_int_equal(wire_get_u64(&in, TAG_INSTANCE, 0), 7);
	assert_string_equal(wire_get_str(&in, TAG_ID), "web");
	assert_string_equal(wire_get_str(&in, TAG_REASON), "exited");
	assert_int_equal(wire_get_u64(&in, TAG_DROPPED, 99), 0);
	assert_true(wire_get_u64(&in, TAG_ENDED_MONO, 0) >= wire_get_u64(&in, TAG_STARTED_MONO, 0));
	assert_non_null(strstr(record, "\"id\":\"web\""));
	assert_non_null(strstr(record, "\"code\":3"));
	assert_non_null(strstr(record, "rest"));
	wire_in_free(&in);
	CLEANUP_FREE char *log = logged(&w);
	assert_non_null(strstr(log, "stdout out|"));
	assert_non_null(strstr(log, "stderr err|"));
	assert_non_null(strstr(log, "stdout rest~|"));
	world_free(&w);
}

static void a_signal_is_told_from_a_code(void **state)
{
	struct world w = world_new();

	begin(&w, HOW(.command = "kill -SEGV $$"));
	struct wire_in in = frame(w.d, WIRE_EXITED);

	assert_int_equal(wire_get_u64(&in, TAG_EXIT_SIGNAL, 0), SIGSEGV);
	assert_false(in.field[TAG_EXIT_CODE].there);
	assert_string_equal(wire_get_str(&in, TAG_REASON), "signaled");
	wire_in_free(&in);
	world_free(&w);
}

static void stop_asks_first_and_kills_when_the_time_is_up(void **state)
{
	struct world w = world_new();
	uint64_t before;

	begin(&w, HOW(.command = "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done"));
	wait_for_log(&w, "up");
	before = clock_mono_ns();
	order(w.d, WIRE_STOP, SIGTERM, 300);
	done(w.d);
	struct wire_in in = frame(w.d, WIRE_EXITED);

	assert_int_equal(wire_get_u64(&in, TAG_EXIT_SIGNAL, 0), SIGKILL);
	assert_string_equal(wire_get_str(&in, TAG_WHO), "uid 0 pid 1 Stop");
	assert_true(clock_mono_ns() - before >= 300 * NS_PER_MS);
	assert_true(clock_mono_ns() - before < 2000 * NS_PER_MS);
	wire_in_free(&in);
	wait_for_log(&w, "asked");
	world_free(&w);
}

static void a_signal_reaches_init(void **state)
{
	struct world w = world_new();

	begin(&w, HOW(.command = "trap 'exit 5' USR1; echo up; while :; do sleep 0.02; done"));
	wait_for_log(&w, "up");
	order(w.d, WIRE_KILL, SIGUSR1, 0);
	done(w.d);
	struct wire_in in = frame(w.d, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&in, TAG_EXIT_CODE, 0), 5);
	wire_in_free(&in);
	world_free(&w);
}

static void the_daemon_may_go_and_come_back(void **state)
{
	struct world w = world_new();
	int again;

	begin(&w, HOW(.command = "echo up; read x; exit 4"));
	wait_for_log(&w, "up");
	close(w.d);
	w.d = -1;
	again = path_connect(w.run, "monitor.sock", SOCK_SEQPACKET, NULL);
	assert_true(again >= 0);
	struct wire_in in = status(again);
	assert_string_equal(wire_get_str(&in, TAG_PHASE), "running");
	assert_string_equal(wire_get_str(&in, TAG_UID), "0123");
	int pidfd = wire_take_fd(&in, WIRE_FD_PIDFD);
	assert_true(pidfd >= 0);
	assert_false(pidfd_gone(pidfd));
	close(pidfd);
	wire_in_free(&in);
	order(again, WIRE_CLOSE_STDIN, 0, 0);
	done(again);
	in = frame(again, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&in, TAG_EXIT_CODE, 0), 4);
	wire_in_free(&in);
	close(again);
	world_free(&w);
}

static void without_a_daemon_the_record_waits(void **state)
{
	struct world w = world_new();

	begin(&w, HOW(.command = "sleep 0.2; exit 6"));
	close(w.d);
	close(w.e);
	w.d = w.e = -1;
	expect_end(&w);
	CLEANUP_FREE char *record = file(w.run, "exit.json");
	assert_non_null(strstr(record, "\"code\":6"));
	close(w.run);
	close(w.log);
	close(w.pidfd);
	char command[128];
	snprintf(command, sizeof command, "rm -r %s", w.path);
	assert_int_equal(system(command), 0);
}

static void an_unused_pair_ends_with_its_daemon(void **state)
{
	struct world w = world_new();

	close(w.d);
	close(w.e);
	w.d = w.e = -1;
	world_free(&w);
}

static void an_executor_that_fails_ends_its_monitor(void **state)
{
	struct world w = world_new();
	struct wire_out m;

	wire_begin(&m, WIRE_CANCEL);
	send_frame(w.e, &m);
	world_free(&w);
}

static size_t read_until_end(int fd, char *buf, size_t size)
{
	size_t n = 0;

	while (n < size - 1 && poll_one(fd, 1, deadline_in_ms(SECONDS))) {
		ssize_t got = read(fd, buf + n, size - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	buf[n] = '\0';
	return n;
}

static void a_client_writes_and_reads_to_the_end(void **state)
{
	struct world w = world_new();
	int in[2], out[2];
	char text[256];

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	begin(&w, HOW(.command = "tr a-z A-Z; echo end >&2", .in = in[0], .out = out[1],
			  .err = out[1]));
	close(in[0]);
	close(out[1]);
	assert_int_equal(write(in[1], "hello\n", 6), 6);
	close(in[1]);
	read_until_end(out[0], text, sizeof text);
	assert_string_equal(text, "HELLO\nend\n");
	close(out[0]);
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&rec, TAG_EXIT_CODE, 99), 0);
	wire_in_free(&rec);
	expect_log(&w, "stdout HELLO|stderr end|");
	world_free(&w);
}

/* Three clients, one stuck: the others get all of it, the log too, and the program ends. */
static void a_stuck_client_is_left_behind_alone(void **state)
{
	struct world w = world_new();
	int stuck[2], in[2], good[2];
	const size_t lines = 60000; /* 1.2 MB */
	char *text = malloc(4 << 20);
	struct wire_out m;
	char last[32];
	uint64_t before = clock_mono_ns();

	assert_int_equal(
		pipe2(stuck, O_CLOEXEC) | pipe2(good, O_CLOEXEC) | pipe2(in, O_CLOEXEC), 0);
	begin(&w, HOW(.command = "read x; seq -f 'this is line %08.0f' 1 60000", .in = in[0],
			  .out = stuck[1]));
	close(stuck[1]);
	wire_begin(&m, WIRE_ATTACH);
	wire_fd(&m, WIRE_FD_STDOUT, good[1]);
	send_frame(w.d, &m);
	done(w.d);
	close(good[1]);
	close(in[0]);
	assert_int_equal(write(in[1], "\n", 1), 1);
	size_t n = read_until_end(good[0], text, 4 << 20);
	assert_int_equal(n, lines * 22);
	snprintf(last, sizeof last, "line %08zu\n", lines);
	assert_string_equal(text + n - strlen(last), last);
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&rec, TAG_EXIT_CODE, 99), 0);
	assert_int_equal(wire_get_u64(&rec, TAG_DROPPED, 99), 0);
	wire_in_free(&rec);
	assert_true(clock_mono_ns() - before < 5000 * NS_PER_MS);
	char *log = logged(&w);
	assert_int_equal(strlen(log), lines * 29);
	free(log);
	free(text);
	close(stuck[0]);
	close(in[1]);
	close(good[0]);
	world_free(&w);
}

static void a_terminal_is_pumped_and_resized(void **state)
{
	struct world w = world_new();
	int in[2], out[2];
	char text[512];
	struct wire_out m;

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	begin(&w,
		HOW(.command = "stty -echo; echo up; read x; stty size; tty >/dev/null && echo $x",
			.flags = WIRE_TERMINAL, .in = in[0], .out = out[1]));
	close(in[0]);
	close(out[1]);
	wait_for_log(&w, "up");
	wire_begin(&m, WIRE_RESIZE);
	wire_u64(&m, TAG_ROWS, 33);
	wire_u64(&m, TAG_COLUMNS, 101);
	send_frame(w.d, &m);
	done(w.d);
	assert_int_equal(write(in[1], "word\n", 5), 5);
	read_until_end(out[0], text, sizeof text);
	assert_string_equal(text, "up\r\n33 101\r\nword\r\n");
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&rec, TAG_EXIT_CODE, 99), 0);
	wire_in_free(&rec);
	close(in[1]);
	close(out[0]);
	world_free(&w);
}

static void a_short_life_on_a_terminal_is_heard(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct world w = world_new();

		begin(&w, HOW(.command = "echo short", .flags = WIRE_TERMINAL));
		struct wire_in rec = frame(w.d, WIRE_EXITED);
		wire_in_free(&rec);
		expect_log(&w, "stdout short\r|");
		world_free(&w);
	}
}

static void a_client_that_detaches_hears_no_more(void **state)
{
	struct world w = world_new();
	int out[2];
	char text[64];
	struct wire_out m;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	begin(&w, HOW(.command = "echo one; read x; echo two", .out = out[1], .request = "r1"));
	close(out[1]);
	wait_for_log(&w, "one");
	wire_begin(&m, WIRE_DETACH);
	wire_str(&m, TAG_REQUEST, "r1");
	send_frame(w.d, &m);
	done(w.d);
	read_until_end(out[0], text,
		sizeof text); /* its end of the pipe is closed within a second or so */
	assert_string_equal(text, "one\n");
	order(w.d, WIRE_CLOSE_STDIN, 0, 0);
	done(w.d);
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	wire_in_free(&rec);
	expect_log(&w, "stdout one|stdout two|");
	close(out[0]);
	world_free(&w);
}

static void who_holds_the_pipes_does_not_hold_the_end(void **state)
{
	struct world w = world_new();
	uint64_t before = clock_mono_ns();

	begin(&w, HOW(.command = "sleep 3 & echo up"));
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&rec, TAG_EXIT_CODE, 99), 0);
	assert_true(clock_mono_ns() - before < 1500 * NS_PER_MS);
	wire_in_free(&rec);
	expect_log(&w, "stdout up|");
	world_free(&w);
}

static void an_exec_writes_no_record_and_no_log(void **state)
{
	struct world w = world_new();

	begin(&w, HOW(.command = "echo x; exit 9", .flags = WIRE_EXEC_CHILD));
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&rec, TAG_EXIT_CODE, 0), 9);
	wire_in_free(&rec);
	CLEANUP_FREE char *record = file(w.run, "exit.json");
	assert_string_equal(record, "(missing)");
	expect_log(&w, "");
	world_free(&w);
}

static void what_a_full_disk_costs_is_counted_and_the_program_goes_on(void **state)
{
	struct world w;
	uint64_t before = clock_mono_ns();

	w = world_new();
	/* 0.log is a directory: each try to open it fails, as on a broken disk. */
	assert_int_equal(mkdirat(w.log, "0.log", 0700), 0);
	begin(&w, HOW(.command = "seq -f 'this is line %08.0f' 1 60000; exit 8"));
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&rec, TAG_EXIT_CODE, 0), 8);
	assert_int_equal(wire_get_u64(&rec, TAG_DROPPED, 0), 60000 * 22);
	assert_true(clock_mono_ns() - before < 5000 * NS_PER_MS);
	wire_in_free(&rec);
	CLEANUP_FREE char *record = file(w.run, "exit.json");
	assert_non_null(strstr(record, "1320000"));
	world_free(&w);
}

static void a_disk_that_comes_back_gets_a_note_of_what_is_missing(void **state)
{
	struct world w = world_new();
	char *log, *note;
	uint64_t dropped = 0, there = 0;

	assert_int_equal(mkdirat(w.log, "0.log", 0700), 0);
	begin(&w, HOW(.command = "seq -f 'this is line %08.0f' 1 60000; read x; echo after"));
	usleep(3500000);
	assert_int_equal(unlinkat(w.log, "0.log", AT_REMOVEDIR), 0);
	wait_for_log(&w, "line 00000001");
	usleep(300000);
	order(w.d, WIRE_CLOSE_STDIN, 0, 0);
	done(w.d);
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	dropped = wire_get_u64(&rec, TAG_DROPPED, 0);
	wire_in_free(&rec);
	log = logged(&w);
	note = strstr(log, "system ");
	assert_non_null(note);
	assert_int_equal(strtoull(note + 7, NULL, 10), dropped);
	assert_non_null(strstr(note, "stdout after|"));
	for (char *s = log; (s = strstr(s, "this is line ")); s++)
		there++;
	/* The last line before the gap may be cut. */
	assert_in_range(dropped + there * 22, 60000 * 22 - 22, 60000 * 22 + 22);
	free(log);
	world_free(&w);
}

static void the_cgroup_is_emptied_and_removed(void **state)
{
	struct cgroup *c;
	CLEANUP_BUF struct buf saved = BUF_INIT;
	char path[64];

	if (geteuid() != 0)
		skip();
	snprintf(path, sizeof path, "/kapsel-test-%d/one", (int)getpid());
	*strrchr(path, '/') = '\0';
	CLEANUP_FREE char *parent = mem_strdup(path);
	path[strlen(path)] = '/';
	if (cgroup_make(path, parent, &c, NULL))
		skip();
	cgroup_save(c, &saved);
	struct world w = world_new();
	begin(&w, HOW(.command = "setsid sleep 1000 & echo $!; exit 2", .cgroup = buf_str(&saved)));
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	assert_int_equal(wire_get_u64(&rec, TAG_EXIT_CODE, 0), 2);
	assert_true(wire_get_u64(&rec, TAG_PEAK_MEMORY, 0) > 0);
	assert_true(wire_get_u64(&rec, TAG_CPU_NS, 0) > 0);
	wire_in_free(&rec);
	CLEANUP_FREE char *log = logged(&w);
	assert_int_equal(kill(atoi(log + 7), 0), -1);
	world_free(&w);
	cgroup_free(c);
	assert_int_equal(cgroup_open(buf_str(&saved), &c, NULL), 0);
	assert_int_equal(cgroup_dir(c, 0), -1);
	cgroup_free(c);
}

static uint64_t private_kib(pid_t pid)
{
	char name[64];
	CLEANUP_BUF struct buf b = BUF_INIT;
	int fd;
	const char *s;

	snprintf(name, sizeof name, "/proc/%d/smaps_rollup", (int)pid);
	fd = open(name, O_RDONLY);
	if (fd < 0 || fd_read_all(fd, 65536, &b, NULL))
		return 0;
	close(fd);
	s = strstr(b.data, "Anonymous:"); /* the program's pages are all monitors' */
	return s ? strtoull(s + 10, NULL, 10) : 0;
}

static void an_idle_monitor_is_small(void **state)
{
	struct world w = world_new();
	uint64_t quiet, after;

	begin(&w, HOW(.command = "read x; seq 1 200000; read x"));
	usleep(200000);
	quiet = private_kib(w.pid);
	order(w.d, WIRE_CLOSE_STDIN, 0, 0);
	done(w.d);
	struct wire_in rec = frame(w.d, WIRE_EXITED);
	wire_in_free(&rec);
	world_free(&w);
	w = world_new();
	begin(&w, HOW(.command = "seq 1 200000; read x"));
	usleep(2500000);
	after = private_kib(w.pid);
	order(w.d, WIRE_CLOSE_STDIN, 0, 0);
	done(w.d);
	rec = frame(w.d, WIRE_EXITED);
	wire_in_free(&rec);
	world_free(&w);
	print_message("private: %llu KiB quiet, %llu KiB after 1.3 MB of output\n",
		(unsigned long long)quiet, (unsigned long long)after);
	if (strstr(monitor, "/san/") || strstr(monitor, "/cov/"))
		return;
	assert_in_range(quiet, 1, 48);
	assert_in_range(after, 1, 64);
}

static bool find_programs(void)
{
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *cut;

	if (n <= 0)
		return false;
	self[n] = '\0';
	snprintf(monitor, sizeof monitor, "%s", self);
	cut = strstr(monitor, "/tests/unit/");
	if (cut == NULL)
		return false;
	strcpy(cut, "/bin/kapsel-monitor");
	return access(monitor, X_OK) == 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_recorded_before_it_is_reported),
		cmocka_unit_test(a_signal_is_told_from_a_code),
		cmocka_unit_test(stop_asks_first_and_kills_when_the_time_is_up),
		cmocka_unit_test(a_signal_reaches_init),
		cmocka_unit_test(the_daemon_may_go_and_come_back),
		cmocka_unit_test(without_a_daemon_the_record_waits),
		cmocka_unit_test(an_unused_pair_ends_with_its_daemon),
		cmocka_unit_test(an_executor_that_fails_ends_its_monitor),
		cmocka_unit_test(a_client_writes_and_reads_to_the_end),
		cmocka_unit_test(a_stuck_client_is_left_behind_alone),
		cmocka_unit_test(a_terminal_is_pumped_and_resized),
		cmocka_unit_test(a_short_life_on_a_terminal_is_heard),
		cmocka_unit_test(a_client_that_detaches_hears_no_more),
		cmocka_unit_test(who_holds_the_pipes_does_not_hold_the_end),
		cmocka_unit_test(an_exec_writes_no_record_and_no_log),
		cmocka_unit_test(what_a_full_disk_costs_is_counted_and_the_program_goes_on),
		cmocka_unit_test(a_disk_that_comes_back_gets_a_note_of_what_is_missing),
		cmocka_unit_test(the_cgroup_is_emptied_and_removed),
		cmocka_unit_test(an_idle_monitor_is_small),
	};

	if (argc > 1 && strcmp(argv[1], "--executor") == 0)
		return play_executor();
	if (!find_programs()) {
		fprintf(stderr, "kapsel-monitor is not built\n");
		return 1;
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
