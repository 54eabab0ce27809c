/* SPDX-License-Identifier: Apache-2.0 */
/* features.md: what is built in, whatever the node. Names come from the tables that read them. */
#include "table.h"

/* What the plan knows by name; `remount` is refused, and what it does not know is the file
 * system's. */
static const char *const mount_options[] = { "async", "atime", "bind", "defaults", "dev",
	"diratime", "dirsync", "exec", "idmap", "iversion", "lazytime", "loud", "mand", "noatime",
	"nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime",
	"nostrictatime", "nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime",
	"relatime", "rexec", "ridmap", "rnoatime", "rnodev", "rnodiratime", "rnoexec",
	"rnorelatime", "rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate", "rrelatime",
	"rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow", "runbindable",
	"rw", "shared", "silent", "slave", "strictatime", "suid", "symfollow", "sync", "tmpcopyup",
	"unbindable" };

static void add_names(struct json_out *o, const char *key, const struct name_value *names)
{
	json_key(o, key);
	json_begin_array(o);
	for (; names->name; names++)
		json_add_string(o, names->name);
	json_end_array(o);
}

static void add_enabled(struct json_out *o, const char *key, bool enabled)
{
	json_key(o, key);
	json_begin_object(o);
	json_put_bool(o, "enabled", enabled);
	json_end_object(o);
}

static void add_seccomp(struct json_out *o)
{
	json_key(o, "seccomp");
	json_begin_object(o);
	json_put_bool(o, "enabled", true);
	add_names(o, "actions", seccomp_actions);
	add_names(o, "operators", seccomp_operators);
	json_key(o, "archs");
	json_begin_array(o);
	for (const char *const *name = seccomp_architectures; *name; name++)
		json_add_string(o, *name);
	json_end_array(o);
	add_names(o, "knownFlags", seccomp_flags);
	add_names(o, "supportedFlags", seccomp_flags);
	json_end_object(o);
}

static void add_linux(struct json_out *o)
{
	json_key(o, "linux");
	json_begin_object(o);
	json_key(o, "namespaces");
	json_begin_array(o);
	for (int i = 0; i < OCI_NS_COUNT; i++)
		json_add_string(o, oci_ns_name((enum oci_namespace)i));
	json_end_array(o);
	json_key(o, "capabilities");
	json_begin_array(o);
	for (unsigned i = 0; i < OCI_CAPABILITIES; i++)
		json_add_string(o, oci_capability_name(i));
	json_end_array(o);
	json_key(o, "cgroup");
	json_begin_object(o);
	json_put_bool(o, "v1", true);
	json_put_bool(o, "v2", true);
	json_put_bool(o, "systemd", true);
	json_put_bool(o, "systemdUser", true);
	json_put_bool(o, "rdma", true);
	json_end_object(o);
	add_seccomp(o);
	add_enabled(o, "apparmor", false);
	add_enabled(o, "selinux", false);
	add_enabled(o, "intelRdt", false);
	json_key(o, "mountExtensions");
	json_begin_object(o);
	add_enabled(o, "idmap", true);
	json_end_object(o);
	add_enabled(o, "netDevices", false);
	json_end_object(o);
}

void spec_features(struct buf *out)
{
	struct json_out o = JSON_OUT_PRETTY(out);

	json_begin_object(&o);
	json_put_string(&o, "ociVersionMin", KAPSEL_SPEC_MIN);
	json_put_string(&o, "ociVersionMax", KAPSEL_SPEC_MAX);
	json_key(&o, "hooks");
	json_begin_array(&o);
	for (int i = 0; i < OCI_HOOK_COUNT; i++)
		json_add_string(&o, oci_hook_name((enum oci_hook_kind)i));
	json_end_array(&o);
	json_key(&o, "mountOptions");
	json_begin_array(&o);
	for (size_t i = 0; i < ARRAY_LEN(mount_options); i++)
		json_add_string(&o, mount_options[i]);
	json_end_array(&o);
	add_linux(&o);
	json_key(&o, "annotations");
	json_begin_object(&o);
	json_put_string(&o, "io.kapsel.version", KAPSEL_VERSION);
	json_end_object(&o);
	/* Kapsel takes no rights from an annotation: none is unsafe to hand through. */
	json_key(&o, "potentiallyUnsafeConfigAnnotations");
	json_begin_array(&o);
	json_end_array(&o);
	json_end_object(&o);
	buf_addc(out, '\n');
}
