/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd: its manager over D-Bus, as far as transient scopes need it: start one, change its
 * properties, stop it. What is asked for is the plan's to decide.
 */
#ifndef KAPSEL_SYSTEMD_H
#define KAPSEL_SYSTEMD_H

#include <kapsel/sys.h>

enum systemd_form { SYSTEMD_BOOL, SYSTEMD_U64, SYSTEMD_STRING, SYSTEMD_STRINGS, SYSTEMD_BYTES };

/* org.freedesktop.systemd1(5), "Scope Unit Objects" */
struct systemd_property {
	const char *name;
	enum systemd_form form;
	bool must;	 /* else one that this systemd does not know is left out */
	uint64_t number; /* of a BOOL, a U64; UINT64_MAX is systemd's "infinity" */
	const char *text;
	const char *const *words;
	const uint8_t *bytes;
	size_t n; /* of words, of bytes */
};

struct systemd_scope {
	const char *unit, *slice; /* "docker-1.scope", "system.slice" */
	bool user;		  /* of the user's manager */
	const struct systemd_property *v;
	size_t n;
};

/**
 * systemd_start_scope() - the unit @s, with @pid in its cgroups
 *
 * It is there for as long as a process is in it. One of that name that has failed is reset. Return:
 * 0, or -1: KERR_SYSTEMD (nobody answers, or says no), KERR_CGROUP_BUSY (such a unit runs),
 * KERR_TIMEOUT
 */
int systemd_start_scope(const struct systemd_scope *s, pid_t pid, deadline d, struct kerr *e);
/* Until the next boot. Return: 0, or -1 as above. */
int systemd_set_properties(const char *unit, bool user, const struct systemd_property *v, size_t n,
	deadline d, struct kerr *e);
/* Processes in it are killed as systemd does; then the unit is gone. One that is not there is no
 * failure. */
int systemd_stop_scope(const char *unit, bool user, deadline d, struct kerr *e);

/* May a unit have this name? ASCII letters, digits and :-_.\@, and a type behind it. */
bool systemd_unit_is_valid(const char *unit);
/* Where the manager puts @slice below its own cgroup: "a-b.slice" is "/a.slice/a-b.slice",
 * "-.slice" is "". The caller frees; NULL: no valid name of a slice. */
char *systemd_slice_path(const char *slice);

#endif
