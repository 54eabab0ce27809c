/* SPDX-License-Identifier: Apache-2.0 */
/* The lifecycle: what has no row here is refused with the state named. */
#include <kapsel/supervise.h>

#define IN(state) (1u << LIFE_##state)
#define STAY	  LIFE_COUNT
#define LIVE	  (IN(CREATED) | IN(RUNNING) | IN(PAUSED) | IN(STOPPING))

static const struct life_move moves[] = {
	/* callers */
	{ .on = EV_START,
		.from = IN(CREATED),
		.to = STAY,
		.first = RECORD_JOURNAL,
		.act = ACT_START },
	{ .on = EV_START, .from = IN(RUNNING) | IN(PAUSED), .to = STAY, .act = ACT_NOTHING },
	{ .on = EV_STOP,
		.from = IN(CREATED) | IN(RUNNING) | IN(PAUSED),
		.to = LIFE_STOPPING,
		.first = RECORD_JOURNAL,
		.act = ACT_TERM },
	/* A second stop may shorten the time, and waits for the same end. */
	{ .on = EV_STOP, .from = IN(STOPPING), .to = STAY, .act = ACT_TERM },
	{ .on = EV_STOP, .from = IN(STOPPED), .to = STAY, .act = ACT_NOTHING },
	{ .on = EV_KILL, .from = LIVE, .to = STAY, .act = ACT_SIGNAL },
	{ .on = EV_PAUSE,
		.from = IN(RUNNING),
		.to = LIFE_PAUSED,
		.first = RECORD_JOURNAL,
		.act = ACT_FREEZE },
	{ .on = EV_PAUSE, .from = IN(PAUSED), .to = STAY, .act = ACT_NOTHING },
	{ .on = EV_RESUME,
		.from = IN(PAUSED),
		.to = LIFE_RUNNING,
		.first = RECORD_JOURNAL,
		.act = ACT_THAW },
	{ .on = EV_RESUME, .from = IN(RUNNING), .to = STAY, .act = ACT_NOTHING },
	{ .on = EV_EXEC, .from = IN(RUNNING), .to = STAY, .act = ACT_EXEC },
	{ .on = EV_ATTACH, .from = LIVE, .to = STAY, .act = ACT_ATTACH },
	{ .on = EV_DELETE,
		.from = IN(STOPPED),
		.to = STAY,
		.first = RECORD_JOURNAL,
		.act = ACT_REMOVE },
	{ .on = EV_DELETE, .from = IN(REMOVED), .to = STAY, .act = ACT_NOTHING },
	{ .on = EV_DELETE_FORCE,
		.from = LIVE,
		.to = LIFE_STOPPING,
		.first = RECORD_JOURNAL,
		.act = ACT_KILL_REMOVE },
	{ .on = EV_DELETE_FORCE,
		.from = IN(STOPPED),
		.to = STAY,
		.first = RECORD_JOURNAL,
		.act = ACT_REMOVE },
	{ .on = EV_DELETE_FORCE, .from = IN(REMOVED), .to = STAY, .act = ACT_NOTHING },
	{ .on = EV_UPDATE, .from = LIVE, .to = STAY, .first = RECORD_JOURNAL, .act = ACT_NOTHING },
	/* Kapsel's own programs */
	{ .on = EV_MADE,
		.from = IN(CREATING),
		.to = LIFE_CREATED,
		.who = ASK_SELF,
		.first = RECORD_JOURNAL,
		.act = ACT_ANNOUNCE },
	{ .on = EV_RUNS,
		.from = IN(CREATING) | IN(CREATED),
		.to = LIFE_RUNNING,
		.who = ASK_SELF,
		.first = RECORD_JOURNAL,
		.act = ACT_ANNOUNCE },
	/* It was asked to end while its start was under way. */
	{ .on = EV_RUNS, .from = IN(STOPPING), .to = STAY, .who = ASK_SELF, .act = ACT_NOTHING },
	{ .on = EV_FAILED,
		.from = IN(CREATING),
		.to = LIFE_REMOVED,
		.who = ASK_SELF,
		.first = RECORD_JOURNAL,
		.act = ACT_REMOVE },
	{ .on = EV_EXITED,
		.from = IN(CREATING) | LIVE,
		.to = LIFE_STOPPED,
		.who = ASK_SELF,
		.first = RECORD_CERTIFICATE,
		.act = ACT_ANNOUNCE },
	{ .on = EV_LOST,
		.from = IN(CREATING) | LIVE,
		.to = LIFE_STOPPED,
		.who = ASK_SELF,
		.first = RECORD_CERTIFICATE,
		.act = ACT_CERTIFY },
	{ .on = EV_UNDONE,
		.from = IN(STOPPED),
		.to = LIFE_REMOVED,
		.who = ASK_SELF,
		.first = RECORD_JOURNAL,
		.act = ACT_ANNOUNCE },
};

static const char *const life_names[LIFE_COUNT] = {
	[LIFE_CREATING] = "creating",
	[LIFE_CREATED] = "created",
	[LIFE_RUNNING] = "running",
	[LIFE_PAUSED] = "paused",
	[LIFE_STOPPING] = "stopping",
	[LIFE_STOPPED] = "stopped",
	[LIFE_RESTARTING] = "restarting",
	[LIFE_REMOVED] = "removed",
};

static const struct {
	const char *name;
	const char *refused; /* "ID is created and cannot be ..." */
} events[EV_COUNT] = {
	[EV_START] = { "start", "started" },
	[EV_STOP] = { "stop", "stopped" },
	[EV_KILL] = { "kill", "signalled" },
	[EV_PAUSE] = { "pause", "paused" },
	[EV_RESUME] = { "resume", "resumed" },
	[EV_EXEC] = { "exec", "entered by exec" },
	[EV_ATTACH] = { "attach", "attached to" },
	[EV_DELETE] = { "delete", "deleted without force" },
	[EV_DELETE_FORCE] = { "delete --force", "deleted" },
	[EV_UPDATE] = { "update", "updated" },
	[EV_MADE] = { "made", "made" },
	[EV_RUNS] = { "runs", "run" },
	[EV_FAILED] = { "failed", "undone" },
	[EV_EXITED] = { "exited", "ended" },
	[EV_LOST] = { "lost", "certified" },
	[EV_UNDONE] = { "undone", "removed" },
};

const char *life_name(enum life s)
{
	return (unsigned)s < LIFE_COUNT ? life_names[s] : "unknown";
}

int life_parse(const char *name)
{
	for (int i = 0; i < LIFE_COUNT; i++)
		if (str_eq(life_names[i], name))
			return i;
	return -1;
}

const char *life_event_name(enum life_event ev)
{
	return (unsigned)ev < EV_COUNT ? events[ev].name : "unknown";
}

const struct life_move *life_moves(size_t *n)
{
	*n = ARRAY_LEN(moves);
	return moves;
}

const struct life_move *life_ask(enum life now, enum life_event ev, const char *id, struct kerr *e)
{
	for (size_t i = 0; i < ARRAY_LEN(moves); i++)
		if (moves[i].on == ev && (moves[i].from & 1u << now))
			return &moves[i];
	kerr_fail(e, KERR_WRONG_STATE, 0, "%s is %s and cannot be %s", id, life_name(now),
		(unsigned)ev < EV_COUNT ? events[ev].refused : "asked that");
	return NULL;
}

enum life life_after(enum life now, const struct life_move *m)
{
	return m->to == STAY ? now : m->to;
}
