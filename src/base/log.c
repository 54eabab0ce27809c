/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/base.h>
#include <string.h>
#include <unistd.h>

static void to_stderr(void *arg, enum log_level level, const char *line)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	CLEANUP_BUF struct buf b = BUF_INIT;
	const char *program = arg;

	buf_addf(&b, "%s: %s: ", program ? program : "kapsel", names[level]);
	buf_adds(&b, line);
	buf_addc(&b, '\n');
	if (write(STDERR_FILENO, b.data, b.len) < 0)
		return; /* nobody is left to be told */
}

/* The process's one log; set by main before anything else runs. */
static struct {
	log_sink sink;
	void *arg;
	enum log_level most;
} the_log = { to_stderr, NULL, LOG_INFO };

void log_to(log_sink sink, void *arg, enum log_level most)
{
	the_log.sink = sink ? sink : to_stderr;
	the_log.arg = arg;
	the_log.most = most;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	CLEANUP_BUF struct buf raw = BUF_INIT;
	CLEANUP_BUF struct buf line = BUF_INIT;
	va_list ap;

	if (level > the_log.most)
		return;
	va_start(ap, fmt);
	buf_vaddf(&raw, fmt, ap);
	va_end(ap);
	buf_add_escaped(&line, buf_str(&raw), raw.len);
	the_log.sink(the_log.arg, level, buf_str(&line));
}
