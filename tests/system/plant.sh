#!/bin/sh
# plant: for each kind of plan operation a planted failure is named and undone, a wrong effect refused
# timeout: 120
LIB_NO_DAEMON=1
. tests/lib.sh
plant=$BIN/../plant
# The program as `make check-vm` has built it outside of the VM, or now.
[ -x "$plant" ] || { plant=$T/program; tests/tools/build-plant "$plant"; }
all='.linux.sysctl = {"net.ipv4.ip_forward": "1"} | .hostname = "here" | .domainname = "there"
	| .process.oomScoreAdj = 321 | .process.execCPUAffinity = {"initial": "0", "final": "'$(($(nproc) - 1))'"} | .process.user.umask = 23 | .process.cwd = "/tmp"
	| .process.user.additionalGids = [5, 6] | .process.noNewPrivileges = true
	| .process.scheduler = {"policy": "SCHED_BATCH", "nice": 3}
	| .process.ioPriority = {"class": "IOPRIO_CLASS_BE", "priority": 6}
	| .process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]
	| .process.capabilities = {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}
	| .linux.personality = {"domain": "LINUX32"} | .linux.rootfsPropagation = "shared" | .root.readonly = true
	| .linux.resources = {"memory": {"limit": 67108864}, "devices": [{"allow": false, "access": "rwm"}]}
	| .linux.devices = [{"path": "/dev/extra", "type": "c", "major": 1, "minor": 5, "fileMode": 416}]
	| .linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}
	| .hooks = {"createRuntime": [{"path": "/bin/true"}], "createContainer": [{"path": "/bin/true"}],
		"startContainer": [{"path": "/bin/true"}]}
	| .mounts = [.mounts[] | select(.type != "cgroup" and .type != "cgroup2")]'
bundle all 'sleep 20' "$all"
other='.process.cwd = "/tmp" | .process.user = {"uid": 7, "gid": 8} | '
bundle time 'sleep 20' "$other"'.linux.namespaces += [{"type": "time"}] | .linux.timeOffsets = {"boottime": {"secs": 1000}}
	| .process.terminal = true | .process.noNewPrivileges = false
	| .linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}'
bundle user 'sleep 20' "$other"'.linux.namespaces += [{"type": "user"}]
	| .linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
unshare -n sleep 60 &
holder=$!
sleep 0.2
bundle join 'sleep 20' "(.linux.namespaces[] | select(.type == \"network\")).path = \"/proc/$holder/ns/net\""
bundle owner 'sleep 20' '.process.user.uid = 7 | (.mounts[] | select(.type == "cgroup")).options -= ["ro"]'
# PLANT_ONLY: kinds that begin so; for the VM, where only cgroups are other than here.
only=${PLANT_ONLY-}
for b in all owner time user join; do
	echo "# $b"
	case $b in owner) [ -e /sys/fs/cgroup/cgroup.controllers ] || continue ;; time | user | join) [ -z "$only" ] || continue ;; esac
	[ $b != join ] || only="join"
	# shellcheck disable=SC2086 # none or one
	timeout 60 "$plant" "$T/$b" "/$CG" "$T/run" ${only-} >"$T/out" 2>&1 || failed=1
	tee -a "$T/all-out" <"$T/out"
done
for b in all time user; do
	[ -z "${PLANT_ONLY-}" ] || continue
	echo "# exec $b"
	timeout 60 "$plant" "$T/$b" "/$CG" "$T/run" exec >"$T/out" 2>&1 || failed=1
	tee -a "$T/all-out" <"$T/out"
done
kill $holder
wait $holder 2>/dev/null || :
is "no cgroup is left" "$(find /sys/fs/cgroup -type d -path "*$CG*" | head -n 3)" ""
# Each kind, both ways: one that no plan above has is missed here.
for kind in $("$plant" kinds | grep "^${PLANT_ONLY-}"); do
	for how in fails wrong; do
		grep -q "^ok - $how $kind\(:.*\)\?$" "$T/all-out" && continue
		[ "$kind" != cgroup-chown ] || [ -e /sys/fs/cgroup/cgroup.controllers ] || { echo "v1: no cgroup is given away"; continue; }
		case $kind in cgroup-scope | cgroup-settle) echo "$kind: no systemd to ask here"; continue ;; esac
		[ "$kind" != affinity ] || [ "$(nproc)" -gt 1 ] || { echo "one CPU: no affinity to get wrong"; continue; }
		is "$kind is tried: $how" "no" "yes"
	done
done
is "all kinds have been tried" "$(grep -c '^ok - wrong' "$T/all-out" | grep -c '[1-9]')" 1
