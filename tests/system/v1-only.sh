#!/bin/sh
# v1-only: where the unified hierarchy is not mounted, a container lives, is frozen, counted and killed by v1 alone
LIB_NO_DAEMON=1
. tests/lib.sh
[ -d /sys/fs/cgroup/unified ] || skip "this node is no hybrid one"
mkdir "$T/v1"
mount -t tmpfs -o mode=755 cgroup "$T/v1"
for c in /sys/fs/cgroup/*/; do
	name=$(basename "$c")
	[ "$name" != unified ] || continue
	mkdir "$T/v1/$name"
	mount --bind "$c" "$T/v1/$name"
done
mount --move "$T/v1" /sys/fs/cgroup
daemon_start
is "the layout is v1" "$(kapsel-oci facts | jq -r .cgroupLayout)" v1
bundle one 'exec sleep 100' '.linux.resources.pids.limit = 17
	| .linux.namespaces |= map(select(.type != "cgroup"))'
ok "it starts" kapsel run -d --id one "$T/one"
like "it is in its cgroup" "$(cat "/proc/$(kapsel inspect one --field pid)/cgroup")" "pids:/$CG/one"
is "with its limit" "$(cat "/sys/fs/cgroup/pids/$CG/one/pids.max")" 17
ok "a program joins it" kapsel exec one true
ok "it is frozen" kapsel pause one
is "by v1's freezer" "$(cat "/sys/fs/cgroup/freezer/$CG/one/freezer.state")" FROZEN
ok "and killed as it is" kapsel delete --force one
is "nothing is left of it" "$(find /sys/fs/cgroup -type d -path "*$CG/one*")" ""
kapsel version >/dev/null && daemon_kill TERM
umount -R /sys/fs/cgroup
