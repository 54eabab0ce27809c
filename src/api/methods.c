/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/api.h>
#include <string.h>

#define SERVICE	   "org.varlink.service."
#define CONTAINERS "io.kapsel.Containers."
#define NODE	   "io.kapsel.Node."

/* What has no row cannot be called. io.kapsel(7)'s table of roles is made from this one. */
static const struct api_method_row methods[API_METHOD_COUNT] = {
	[API_GET_INFO] = { .name = SERVICE "GetInfo", .role = ROLE_NONE },
	[API_GET_INTERFACE] = { .name = SERVICE "GetInterfaceDescription", .role = ROLE_NONE },

	[API_CREATE] = { .name = CONTAINERS "Create", .role = ROLE_OPERATE, .changes = true },
	[API_START] = { .name = CONTAINERS "Start", .role = ROLE_OPERATE, .changes = true },
	[API_RUN] = { .name = CONTAINERS "Run",
		.role = ROLE_OPERATE,
		.changes = true,
		.more = true },
	[API_STOP] = { .name = CONTAINERS "Stop", .role = ROLE_OPERATE, .changes = true },
	[API_KILL] = { .name = CONTAINERS "Kill", .role = ROLE_OPERATE, .changes = true },
	[API_PAUSE] = { .name = CONTAINERS "Pause", .role = ROLE_OPERATE, .changes = true },
	[API_RESUME] = { .name = CONTAINERS "Resume", .role = ROLE_OPERATE, .changes = true },
	[API_DELETE] = { .name = CONTAINERS "Delete", .role = ROLE_OPERATE, .changes = true },
	[API_UPDATE] = { .name = CONTAINERS "Update", .role = ROLE_OPERATE, .changes = true },
	[API_EXEC] = { .name = CONTAINERS "Exec",
		.role = ROLE_OPERATE,
		.changes = true,
		.more = true },
	[API_ATTACH] = { .name = CONTAINERS "Attach",
		.role = ROLE_OPERATE,
		.changes = true,
		.more = true },
	[API_RESIZE] = { .name = CONTAINERS "Resize", .role = ROLE_OPERATE, .changes = true },
	[API_GET] = { .name = CONTAINERS "Get", .role = ROLE_OBSERVE },
	[API_LIST] = { .name = CONTAINERS "List", .role = ROLE_OBSERVE, .more = true },
	[API_WAIT] = { .name = CONTAINERS "Wait", .role = ROLE_OBSERVE, .more = true },
	[API_WATCH] = { .name = CONTAINERS "Watch", .role = ROLE_OBSERVE, .more = true },
	[API_LOGS] = { .name = CONTAINERS "Logs", .role = ROLE_OBSERVE, .more = true },
	[API_STATS] = { .name = CONTAINERS "Stats", .role = ROLE_OBSERVE, .more = true },
	[API_PROCESSES] = { .name = CONTAINERS "Processes", .role = ROLE_OBSERVE },

	[API_NODE_INFO] = { .name = NODE "Info", .role = ROLE_OBSERVE },
	[API_NODE_CHECK] = { .name = NODE "Check", .role = ROLE_OBSERVE },
	[API_NODE_FACTS] = { .name = NODE "Facts", .role = ROLE_OBSERVE },
	[API_NODE_METRICS] = { .name = NODE "Metrics", .role = ROLE_OBSERVE },
	[API_NODE_DRAIN] = { .name = NODE "Drain", .role = ROLE_ADMIN, .changes = true },
	[API_NODE_RESUME] = { .name = NODE "Resume", .role = ROLE_ADMIN, .changes = true },
	[API_NODE_RELOAD] = { .name = NODE "Reload", .role = ROLE_ADMIN, .changes = true },
	[API_NODE_GC] = { .name = NODE "Gc", .role = ROLE_ADMIN, .changes = true },
	[API_NODE_UPGRADE] = { .name = NODE "Upgrade", .role = ROLE_ADMIN, .changes = true },
};

static const char *const roles[] = {
	[ROLE_NONE] = "none",
	[ROLE_OBSERVE] = "observe",
	[ROLE_OPERATE] = "operate",
	[ROLE_ADMIN] = "admin",
};

const char *role_name(enum role r)
{
	return roles[(unsigned)r < ARRAY_LEN(roles) ? r : ROLE_NONE];
}

int role_parse(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(roles); i++)
		if (str_eq(s, roles[i]))
			return (int)i;
	return -1;
}

const struct api_method_row *api_method(enum api_method m)
{
	return &methods[(unsigned)m < API_METHOD_COUNT ? m : API_GET_INFO];
}

int api_method_by_name(const char *name)
{
	for (int i = 0; i < API_METHOD_COUNT; i++)
		if (str_eq(name, methods[i].name))
			return i;
	return -1;
}
