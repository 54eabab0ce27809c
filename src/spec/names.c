/* SPDX-License-Identifier: Apache-2.0 */
#include <kapsel/spec.h>
#include <stddef.h>

static const char *const capabilities[OCI_CAPABILITIES] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

const char *oci_capability_name(unsigned n)
{
	return n < OCI_CAPABILITIES ? capabilities[n] : NULL;
}

const char *oci_ns_name(enum oci_namespace type)
{
	static const char *const names[OCI_NS_COUNT] = {
		[OCI_NS_PID] = "pid",
		[OCI_NS_NETWORK] = "network",
		[OCI_NS_MOUNT] = "mount",
		[OCI_NS_IPC] = "ipc",
		[OCI_NS_UTS] = "uts",
		[OCI_NS_USER] = "user",
		[OCI_NS_CGROUP] = "cgroup",
		[OCI_NS_TIME] = "time",
	};

	return names[type];
}

const char *oci_hook_name(enum oci_hook_kind kind)
{
	static const char *const names[OCI_HOOK_COUNT] = {
		[OCI_HOOK_PRESTART] = "prestart",
		[OCI_HOOK_CREATE_RUNTIME] = "createRuntime",
		[OCI_HOOK_CREATE_CONTAINER] = "createContainer",
		[OCI_HOOK_START_CONTAINER] = "startContainer",
		[OCI_HOOK_POSTSTART] = "poststart",
		[OCI_HOOK_POSTSTOP] = "poststop",
	};

	return names[kind];
}

const char *oci_rlimit_name(int type)
{
	static const char *const names[OCI_RLIMIT_COUNT] = {
		"RLIMIT_CPU",
		"RLIMIT_FSIZE",
		"RLIMIT_DATA",
		"RLIMIT_STACK",
		"RLIMIT_CORE",
		"RLIMIT_RSS",
		"RLIMIT_NPROC",
		"RLIMIT_NOFILE",
		"RLIMIT_MEMLOCK",
		"RLIMIT_AS",
		"RLIMIT_LOCKS",
		"RLIMIT_SIGPENDING",
		"RLIMIT_MSGQUEUE",
		"RLIMIT_NICE",
		"RLIMIT_RTPRIO",
		"RLIMIT_RTTIME",
	};

	return type >= 0 && type < OCI_RLIMIT_COUNT ? names[type] : "RLIMIT_?";
}

const struct oci_ns *oci_find_ns(const struct oci_spec *s, enum oci_namespace type)
{
	for (size_t i = 0; i < s->linux_.namespaces.n; i++)
		if (s->linux_.namespaces.v[i].type == (int)type)
			return &s->linux_.namespaces.v[i];
	return NULL;
}

bool oci_new_ns(const struct oci_spec *s, enum oci_namespace type)
{
	const struct oci_ns *ns = oci_find_ns(s, type);

	return ns && ns->path == NULL;
}
