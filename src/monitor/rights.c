/* SPDX-License-Identifier: Apache-2.0 */
#include "private.h"
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the calling thread; later threads inherit. By number: a libcap for two calls is too much. */
static void set_effective(bool full)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { 0 };

	if (syscall(SYS_capget, &h, d) < 0)
		return;
	for (int i = 0; i < 2; i++)
		d[i].effective = full ? d[i].permitted : 0;
	if (!full)
		d[0].effective = d[0].permitted & (1u << CAP_KILL);
	if (syscall(SYS_capset, &h, d) < 0)
		return; /* a monitor with more rights than it needs is better than none */
}

/*
 * Uid 0 stays, so that files of root can be used without a capability, and the permitted set stays
 * full: an executor started later for a restart needs all of it, and cannot get back what its
 * parent gave up. What is not effective cannot be used by accident.
 */
void rights_least(void)
{
	set_effective(false);
}

/* For sub-cgroups that the container's root owns. */
void rights_full(void)
{
	set_effective(true);
}
