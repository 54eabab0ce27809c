/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/base.h>
#include <stdlib.h>
#include <string.h>

/* docs/ERRORS.md and kapsel-errors(7) are made from this table. A name, once released, stays. */
static const struct kerr_row rows[KERR_COUNT] = {
	[KERR_NONE] = { "KAPSEL-NONE", "No error.", "", API_FAILED, RETRY_NEVER },
	[KERR_INTERNAL] = { "KAPSEL-INTERNAL", "Kapsel met a case that it does not know.",
		"Report it with the output of `kapsel version` and the log.", API_FAILED,
		RETRY_LATER },
	[KERR_JSON_SYNTAX] = { "KAPSEL-JSON-SYNTAX", "The file is not one JSON document.",
		"Correct the JSON at the place named.", API_INVALID, RETRY_NEVER },
	[KERR_JSON_LIMIT] = { "KAPSEL-JSON-LIMIT",
		"The document is larger or deeper than Kapsel reads.",
		"Make it smaller: 4 MiB and 64 levels are the limits.", API_INVALID, RETRY_NEVER },
	[KERR_JSON_DUPLICATE] = { "KAPSEL-JSON-DUPLICATE", "An object has the same key twice.",
		"Remove one of the two.", API_INVALID, RETRY_NEVER },
	[KERR_JSON_UTF8] = { "KAPSEL-JSON-UTF8",
		"The text is not UTF-8, holds a lone surrogate or a NUL.",
		"Write the file as UTF-8 without NUL bytes.", API_INVALID, RETRY_NEVER },
	[KERR_CONFIG_TYPE] = { "KAPSEL-CONFIG-TYPE", "A value has another type than the field.",
		"Use the type that the specification gives for this field.", API_INVALID,
		RETRY_NEVER },
	[KERR_CONFIG_RANGE] = { "KAPSEL-CONFIG-RANGE", "A number is outside the field's range.",
		"Use a whole number within the range named.", API_INVALID, RETRY_NEVER },
	[KERR_CONFIG_VALUE] = { "KAPSEL-CONFIG-VALUE", "The field does not take this value.",
		"Use one of the values that the specification lists.", API_INVALID, RETRY_NEVER },
	[KERR_CONFIG_REQUIRED] = { "KAPSEL-CONFIG-REQUIRED", "A required field is missing.",
		"Add the field.", API_INVALID, RETRY_NEVER },
	[KERR_CONFIG_CONFLICT] = { "KAPSEL-CONFIG-CONFLICT", "Two fields contradict each other.",
		"Change or remove one of the two.", API_INVALID, RETRY_NEVER },
	[KERR_CONFIG_DUPLICATE] = { "KAPSEL-CONFIG-DUPLICATE", "A list names the same thing twice.",
		"Remove one of the two.", API_INVALID, RETRY_NEVER },
	[KERR_CONFIG_UNSAFE] = { "KAPSEL-CONFIG-UNSAFE",
		"A text could reach beyond what the field is for.",
		"Remove the character or path component named.", API_INVALID, RETRY_NEVER },
	[KERR_CONFIG_UNKNOWN] = { "KAPSEL-CONFIG-UNKNOWN", "A key is unknown or misspelt.",
		"Correct or remove the key.", API_INVALID, RETRY_NEVER },
	[KERR_CONFIG_VERSION] = { "KAPSEL-CONFIG-VERSION",
		"ociVersion is missing or not of version 1.",
		"Set ociVersion to a version from 1.0.0 to 1.3.0.", API_INVALID, RETRY_NEVER },
	[KERR_UNSUPPORTED] = { "KAPSEL-UNSUPPORTED",
		"This version of Kapsel does not carry that out.",
		"Remove the field, or see CHANGELOG.md for the version that supports it.",
		API_UNSUPPORTED, RETRY_NEVER },
	[KERR_BUNDLE_MISSING] = { "KAPSEL-BUNDLE-MISSING",
		"The bundle or its config.json is not there.",
		"Name a directory that holds config.json and that you may read.", API_INVALID,
		RETRY_NEVER },
	[KERR_ROOTFS_MISSING] = { "KAPSEL-ROOTFS-MISSING", "root.path is not a directory.",
		"Unpack the root file system there, or correct root.path.", API_INVALID,
		RETRY_NEVER },
	[KERR_PATH_OPEN] = { "KAPSEL-PATH-OPEN", "A path could not be opened.",
		"Check that it exists and that its owner and mode allow it.", API_FAILED,
		RETRY_LATER },
	[KERR_PATH_PROCFS] = { "KAPSEL-PATH-PROCFS",
		"A path leads into a procfs where none may be.",
		"Remove the link or mount from the root file system.", API_DENIED, RETRY_NEVER },
	[KERR_PATH_TYPE] = { "KAPSEL-PATH-TYPE", "Something of another type is at that path.",
		"Remove it from the root file system, or change the path.", API_INVALID,
		RETRY_NEVER },
	[KERR_PATH_WRITE] = { "KAPSEL-PATH-WRITE", "A file could not be written.",
		"Check the free space and the mount's flags.", API_FAILED, RETRY_LATER },
	[KERR_NODE_KERNEL] = { "KAPSEL-NODE-KERNEL", "This node's kernel lacks what was asked for.",
		"Run it on a node whose `kapsel info` lists the feature, or remove the setting.",
		API_UNSUPPORTED, RETRY_NEVER },
	[KERR_NODE_PRIVILEGE] = { "KAPSEL-NODE-PRIVILEGE", "Kapsel has not the right on this node.",
		"Run kapseld as root, or remove the setting.", API_UNSUPPORTED, RETRY_NEVER },
	[KERR_NODE_LIMIT] = { "KAPSEL-NODE-LIMIT", "The value is beyond what this node can grant.",
		"Lower the value to the limit named, or raise the node's limit.", API_INVALID,
		RETRY_NEVER },
	[KERR_NAMESPACE] = { "KAPSEL-NAMESPACE", "A namespace could not be made or joined.",
		"Check linux.namespaces and the node's user.max_*_namespaces.", API_FAILED,
		RETRY_LATER },
	[KERR_IDMAP] = { "KAPSEL-IDMAP", "The id maps were refused.",
		"Check linux.uidMappings and gidMappings: no overlap, ids that the caller may map.",
		API_INVALID, RETRY_NEVER },
	[KERR_MOUNT] = { "KAPSEL-MOUNT", "A mount failed.",
		"Check the mount's type, source and options.", API_FAILED, RETRY_NEVER },
	[KERR_MOUNT_SOURCE_MISSING] = { "KAPSEL-MOUNT-SOURCE-MISSING",
		"A mount's source is not there.",
		"Create the source on the node, or correct its path.", API_INVALID, RETRY_LATER },
	[KERR_MOUNT_IDMAP] = { "KAPSEL-MOUNT-IDMAP", "This file system cannot be idmapped here.",
		"Put the source on one that can (ext4, xfs, btrfs; tmpfs since Linux 6.3), or "
		"remove idmap and the mount's mappings.",
		API_UNSUPPORTED, RETRY_NEVER },
	[KERR_DEVICE] = { "KAPSEL-DEVICE", "A device node could not be made.",
		"Check linux.devices against what is in the root file system.", API_FAILED,
		RETRY_NEVER },
	[KERR_CGROUP] = { "KAPSEL-CGROUP", "The kernel refused a cgroup operation.",
		"Check linux.resources and linux.cgroupsPath; `kapsel info` shows the layout.",
		API_FAILED, RETRY_LATER },
	[KERR_CGROUP_NO_CONTROLLER] = { "KAPSEL-CGROUP-NO-CONTROLLER",
		"The cgroup controller for a setting is not available.",
		"Enable the controller on the node, or remove the setting.", API_UNSUPPORTED,
		RETRY_NEVER },
	[KERR_CGROUP_BUSY] = { "KAPSEL-CGROUP-BUSY", "The cgroup is in use by something else.",
		"Choose another linux.cgroupsPath, or stop what runs there.", API_BUSY,
		RETRY_LATER },
	[KERR_SYSTEMD] = { "KAPSEL-SYSTEMD",
		"systemd did not do what the systemd cgroup manager asked for.",
		"Check that systemd runs on the node and `systemctl status` of the unit; or leave "
		"--systemd-cgroup out.",
		API_FAILED, RETRY_LATER },
	[KERR_SECCOMP] = { "KAPSEL-SECCOMP", "The seccomp profile could not be compiled or loaded.",
		"Check linux.seccomp; very long profiles exceed the kernel's 4,096 instructions.",
		API_INVALID, RETRY_NEVER },
	[KERR_CAPABILITY] = { "KAPSEL-CAPABILITY", "Capabilities could not be set.",
		"Check process.capabilities: ambient needs permitted and inheritable.", API_INVALID,
		RETRY_NEVER },
	[KERR_PROCESS_SETUP] = { "KAPSEL-PROCESS-SETUP",
		"A property of the process could not be set.", "Check the field named.", API_FAILED,
		RETRY_NEVER },
	[KERR_TERMINAL] = { "KAPSEL-TERMINAL", "The terminal could not be set up.",
		"Check process.terminal, the devpts mount and the console socket.", API_FAILED,
		RETRY_NEVER },
	[KERR_HOOK] = { "KAPSEL-HOOK", "A hook failed.",
		"Read the hook's own output; it must exit with 0.", API_FAILED, RETRY_LATER },
	[KERR_HOOK_TIMEOUT] = { "KAPSEL-HOOK-TIMEOUT", "A hook ran past its time and was killed.",
		"Find out what it waited for, or raise its timeout.", API_TIMEOUT, RETRY_LATER },
	[KERR_SYSCTL] = { "KAPSEL-SYSCTL", "A sysctl could not be set.",
		"Check the key and value; only keys of the container's own namespaces can be set.",
		API_INVALID, RETRY_NEVER },
	[KERR_EXEC_NOT_FOUND] = { "KAPSEL-EXEC-NOT-FOUND", "The program is not in the container.",
		"Check process.args, process.env's PATH and the root file system.", API_INVALID,
		RETRY_NEVER },
	[KERR_EXEC_DENIED] = { "KAPSEL-EXEC-DENIED", "The program may not be executed.",
		"Check its mode, owner and the mount's noexec.", API_INVALID, RETRY_NEVER },
	[KERR_EXEC_FAILED] = { "KAPSEL-EXEC-FAILED", "The kernel refused to execute the program.",
		"Check its architecture and interpreter.", API_FAILED, RETRY_NEVER },
	[KERR_SELF_CHECK] = { "KAPSEL-SELF-CHECK",
		"What the kernel reports is not what was asked, so the program was not started.",
		"Report it: the message names what was asked and what was found.", API_FAILED,
		RETRY_NEVER },
	[KERR_INIT_DIED] = { "KAPSEL-INIT-DIED",
		"The container's first process ended during set-up.",
		"Look for an OOM kill or a signal at that time.", API_FAILED, RETRY_LATER },
	[KERR_NOT_FOUND] = { "KAPSEL-NOT-FOUND", "No container has that id.",
		"`kapsel list --all` shows those that there are.", API_NOT_FOUND, RETRY_NEVER },
	[KERR_ALREADY_EXISTS] = { "KAPSEL-ALREADY-EXISTS", "The name is taken.",
		"Choose another, or delete the one that has it.", API_ALREADY_EXISTS, RETRY_NEVER },
	[KERR_WRONG_STATE] = { "KAPSEL-WRONG-STATE", "The container's state does not allow that.",
		"`kapsel state ID` shows the state; to run what has stopped anew, delete it first.",
		API_WRONG_STATE, RETRY_LATER },
	[KERR_ID] = { "KAPSEL-ID", "That is not a valid id.",
		"Use a letter or digit, then letters, digits, '_', '.' or '-', at most 128.",
		API_INVALID, RETRY_NEVER },
	[KERR_NOT_RUNNING] = { "KAPSEL-NOT-RUNNING", "The container is not running.",
		"`kapsel state ID` shows the state.", API_WRONG_STATE, RETRY_NEVER },
	[KERR_WIRE] = { "KAPSEL-WIRE", "Kapsel's programs do not understand each other.",
		"Install all four programs from the same version.", API_FAILED, RETRY_NEVER },
	[KERR_TIMEOUT] = { "KAPSEL-TIMEOUT", "Something did not happen in the time allowed.",
		"The message says what was waited for; raise --timeout if it needs longer.",
		API_TIMEOUT, RETRY_SAME },
	[KERR_DAEMON_MISSING] = { "KAPSEL-DAEMON-MISSING", "No kapseld answers at the socket.",
		"Start kapseld, or name its socket with --host; `kapsel --standalone run` needs "
		"none.",
		API_FAILED, RETRY_LATER },
	[KERR_DAEMON_DENIED] = { "KAPSEL-DAEMON-DENIED", "You may not connect to kapseld's socket.",
		"Use root, or join the socket's group to observe.", API_DENIED, RETRY_NEVER },
	[KERR_DENIED] = { "KAPSEL-DENIED", "Your role does not allow this call.",
		"An administrator can widen roles in kapseld's configuration.", API_DENIED,
		RETRY_NEVER },
	[KERR_LIMIT] = { "KAPSEL-LIMIT", "A stated limit was reached.",
		"`kapsel info` lists the limits; wait, or raise the one named.", API_LIMIT,
		RETRY_LATER },
	[KERR_BUSY] = { "KAPSEL-BUSY", "Another call works on this container.",
		"Try again when it has ended.", API_BUSY, RETRY_LATER },
	[KERR_USAGE] = { "KAPSEL-USAGE", "The command line is wrong.", "See --help.", API_INVALID,
		RETRY_NEVER },
	[KERR_STORE] = { "KAPSEL-STORE", "A state file could not be read or written.",
		"Check the state directory's disk; unreadable files were set aside, not deleted.",
		API_FAILED, RETRY_LATER },
	[KERR_MONITOR] = { "KAPSEL-MONITOR", "A container's monitor failed or is gone.",
		"The certificate says what is known; see kapseld's log.", API_FAILED, RETRY_LATER },
};

static const char *const api_names[API_ERROR_COUNT] = {
	[API_FAILED] = "Failed",
	[API_NOT_FOUND] = "NotFound",
	[API_ALREADY_EXISTS] = "AlreadyExists",
	[API_WRONG_STATE] = "WrongState",
	[API_INVALID] = "Invalid",
	[API_DENIED] = "Denied",
	[API_BUSY] = "Busy",
	[API_LIMIT] = "Limit",
	[API_TIMEOUT] = "Timeout",
	[API_UNSUPPORTED] = "Unsupported",
};

const struct kerr_row *kerr_row(enum kerr_code code)
{
	return &rows[(unsigned)code < KERR_COUNT && rows[code].name ? code : KERR_INTERNAL];
}

enum kerr_code kerr_by_name(const char *name)
{
	for (int i = 0; i < KERR_COUNT; i++)
		if (str_eq(rows[i].name, name))
			return (enum kerr_code)i;
	return KERR_INTERNAL;
}

const char *api_error_name(enum api_error a)
{
	return api_names[(unsigned)a < API_ERROR_COUNT ? a : API_FAILED];
}

const char *retry_name(enum retry r)
{
	static const char *const names[] = { "never", "same", "later" };

	return names[r];
}

int kerr_vfail(struct kerr *e, enum kerr_code code, int sys, const char *fmt, va_list ap)
{
	struct buf b = BUF_INIT;

	if (e == NULL)
		return -1;
	buf_vaddf(&b, fmt, ap); /* first: an argument may be a string of the old error */
	kerr_clear(e);
	e->code = code;
	e->sys = sys;
	e->message = buf_take(&b);
	return -1;
}

int kerr_fail(struct kerr *e, enum kerr_code code, int sys, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	kerr_vfail(e, code, sys, fmt, ap);
	va_end(ap);
	return -1;
}

int kerr_step(struct kerr *e, const char *fmt, ...)
{
	struct buf b = BUF_INIT;
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	if (e->step)
		buf_addf(&b, ": %s", e->step);
	free(e->step);
	e->step = buf_take(&b);
	return -1;
}

int kerr_at(struct kerr *e, const char *pointer, uint32_t line, uint32_t column)
{
	char *copy;

	if (e == NULL)
		return -1;
	copy = pointer ? mem_strdup(pointer) : NULL;
	free(e->pointer);
	e->pointer = copy;
	e->line = line;
	e->column = column;
	return -1;
}

void kerr_add(struct kerr *report, struct kerr *fault)
{
	if (!kerr_is_set(report)) {
		kerr_move(report, fault);
		return;
	}
	report->faults = mem_grow(report->faults, report->nfaults + 1, sizeof *report->faults);
	report->faults[report->nfaults++] = *fault;
	*fault = (struct kerr)KERR_INIT;
}

bool kerr_is_set(const struct kerr *e)
{
	return e->code != KERR_NONE;
}

void kerr_clear(struct kerr *e)
{
	for (size_t i = 0; i < e->nfaults; i++)
		kerr_clear(&e->faults[i]);
	free(e->faults);
	free(e->message);
	free(e->step);
	free(e->pointer);
	*e = (struct kerr)KERR_INIT;
}

void kerr_move(struct kerr *to, struct kerr *from)
{
	kerr_clear(to);
	*to = *from;
	*from = (struct kerr)KERR_INIT;
}

static void add_text(struct buf *out, const char *s)
{
	buf_add_escaped(out, s, strlen(s));
}

void kerr_line(const struct kerr *e, struct buf *out)
{
	if (e->step) {
		add_text(out, e->step);
		buf_adds(out, ": ");
	}
	add_text(out, e->message ? e->message : kerr_row(e->code)->means);
	if (e->sys)
		buf_addf(out, ": %s", strerror(e->sys));
}

static void add_place(const struct kerr *e, struct buf *out)
{
	if (e->line)
		buf_addf(out, "%u:%u: ", e->line, e->column);
	if (e->pointer) {
		add_text(out, *e->pointer ? e->pointer : "/");
		buf_adds(out, ": ");
	}
}

static void one_fault(const struct kerr *e, struct buf *out)
{
	add_place(e, out);
	kerr_line(e, out);
	buf_addf(out, " [%s]\n", kerr_row(e->code)->name);
}

void kerr_faults(const struct kerr *e, struct buf *out)
{
	for (size_t i = 0; i <= e->nfaults; i++) {
		const struct kerr *f = i ? &e->faults[i - 1] : e;

		buf_adds(out, i ? "; " : "");
		add_place(f, out);
		kerr_line(f, out);
	}
}

static bool same_code(const struct kerr *e)
{
	for (size_t i = 0; i < e->nfaults; i++)
		if (e->faults[i].code != e->code)
			return false;
	return true;
}

void kerr_text(const struct kerr *e, struct buf *out)
{
	one_fault(e, out);
	if (!same_code(e))
		buf_addf(out, "  %s\n", kerr_row(e->code)->remedy);
	for (size_t i = 0; i < e->nfaults; i++) {
		one_fault(&e->faults[i], out);
		if (!same_code(e))
			buf_addf(out, "  %s\n", kerr_row(e->faults[i].code)->remedy);
	}
	if (same_code(e) && *kerr_row(e->code)->remedy)
		buf_addf(out, "  %s\n", kerr_row(e->code)->remedy);
}
