/* SPDX-License-Identifier: Apache-2.0 */
/* What an exit record means. */
#include <kapsel/supervise.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	int code;
	const char *means;
} codes[] = {
	{ 125, "the code that container tools use for their own failure" },
	{ 126, "the code for a command that may not be executed" },
	{ 127, "the code for a command that was not found" },
};

static const struct {
	int signal;
	const char *means;
} signals[] = {
	{ SIGKILL, "killed from outside" },
	{ SIGTERM, "asked to end" },
	{ SIGINT, "interrupted" },
	{ SIGSEGV, "it touched memory that is not its own" },
	{ SIGBUS, "it touched memory that has no page behind it" },
	{ SIGILL, "an instruction that this processor does not know" },
	{ SIGFPE, "an arithmetic fault" },
	{ SIGABRT, "it gave up by itself" },
	{ SIGSYS, "a system call that seccomp forbids" },
	{ SIGPIPE, "nobody read its output" },
	{ SIGXCPU, "it used up its CPU time limit" },
	{ SIGXFSZ, "it wrote a larger file than its limit allows" },
};

void exit_record_free(struct exit_record *r)
{
	free(r->id);
	free(r->uid);
	free(r->oom_limit);
	free(r->reason);
	free(r->by);
	free(r->request);
	for (size_t i = 0; i < r->nlast_lines; i++)
		free(r->last_lines[i]);
	free(r->last_lines);
	memset(r, 0, sizeof *r);
}

void exit_record_from_wait(struct exit_record *r, int how, int status)
{
	bool exited = how == CLD_EXITED, signalled = how == CLD_KILLED || how == CLD_DUMPED;

	r->known = exited || signalled;
	r->code = exited ? status : 0;
	r->signal = signalled ? status : 0;
	r->core = how == CLD_DUMPED;
	free(r->reason);
	r->reason = mem_strdup(exited ? "exited" : signalled ? "signaled" : "unknown");
}

int exit_record_status(const struct exit_record *r)
{
	if (!r->known)
		return 125;
	return r->signal ? 128 + r->signal : r->code;
}

static void signal_words(const struct exit_record *r, struct buf *out)
{
	const char *name = signal_name(r->signal);

	if (name)
		buf_addf(out, "killed by SIG%s", name);
	else
		buf_addf(out, "killed by signal %d", r->signal);
	if (r->core)
		buf_adds(out, ", core dumped");
	if (r->oom)
		return;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i].signal == r->signal)
			buf_addf(out, ": %s", signals[i].means);
}

static void code_words(const struct exit_record *r, struct buf *out)
{
	const char *name = r->code > 128 ? signal_name(r->code - 128) : NULL;

	if (r->code == 0) {
		buf_adds(out, "exited with code 0: success");
		return;
	}
	buf_addf(out, "exited with code %d", r->code);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].code == r->code)
			buf_addf(out, ": %s", codes[i].means);
	if (name)
		buf_addf(out, ": what a shell says when its command died of SIG%s", name);
}

void exit_record_words(const struct exit_record *r, struct buf *out)
{
	if (!r->known)
		buf_addf(out, "ended, how is not known: %s", r->reason ? r->reason : "no record");
	else if (r->signal)
		signal_words(r, out);
	else
		code_words(r, out);
	if (!r->oom)
		return;
	buf_adds(out,
		r->known && r->signal == SIGKILL ? ": out of memory" : "; it met its memory limit");
	if (r->oom_limit)
		buf_addf(out, " (%s)", r->oom_limit);
}
