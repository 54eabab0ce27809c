/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp: a profile of config.json -> a BPF program (libseccomp), cached by content, loaded by
 * hand. */
#ifndef KAPSEL_SECCOMP_H
#define KAPSEL_SECCOMP_H

#include <kapsel/spec.h>
#include <kapsel/sys.h>

/**
 * seccomp_compile() - the program of @profile for this machine's architecture and those it names
 * @cache: directory for programs by content, or -1
 * @out:   an array of struct sock_filter
 *
 * Names of system calls that an architecture lacks are skipped, as peers do. A cached program is
 * used only if it is ours: owner, length and digest are checked. Return: 0 from the cache, 1 newly
 * made, or -1: KERR_SECCOMP. Spec: config-linux.md "Seccomp".
 */
int seccomp_compile(const struct oci_seccomp *profile, int cache, struct buf *out, struct kerr *e);
/* A directory for them that this user's short-lived programs share, made if it is missing: an fd,
 * or -1 when there is none that is his alone. */
int seccomp_user_cache(void);
/* Puts a newly made one into the cache. May wait for a disk: for when nobody waits for us. */
void seccomp_keep(const struct oci_seccomp *profile, int cache, const struct buf *program);
/* Loads it into the calling thread; the last thing before execve. Returns the listener's fd when
 * the profile has SCMP_ACT_NOTIFY, else 0; -1 and errno. */
int seccomp_install(const struct buf *program, const struct oci_seccomp *profile);
bool seccomp_has_notify(const struct oci_seccomp *profile);
/* What the program answers: SECCOMP_RET_* with data. Classic BPF, run by us; @arch is AUDIT_ARCH_*.
 */
uint32_t seccomp_simulate(const struct buf *program, uint32_t arch, int nr, const uint64_t args[6]);

#endif
