#!/bin/sh
# scope: kapsel-oci --systemd-cgroup, under the systemd that runs this node or else one of the test's own: scopes
# are made with their limits, a stop is noticed, nothing is left
# timeout: 120
# shellcheck disable=SC2034
LIB_NO_DAEMON=1
[ ! -d /run/systemd/system ] || LIB_HOST=1
. tests/lib.sh
oci() { timeout 40 kapsel-oci --root "$T/oci" "$@"; }
run() { # ARG...: $err and $code of one call
	set +e
	oci "$@" >"$T/out" 2>"$T/err" </dev/null # files: a container holds them
	code=$?
	set -e
	err=$(cat "$T/err")
}
make() { run --systemd-cgroup create --bundle "$T/$1" --pid-file "$T/$1.pid" "$1"; }
status() { oci state "$1" | jq -r .status; }

# ---- a manager
own=/
if [ -z "${LIB_HOST-}" ]; then
	[ -x /lib/systemd/systemd ] || skip "systemd is not installed"
	# Its tree begins at the cgroup it is started in, and root's programs find it where the system's would be.
	own=/$CG/
	export XDG_RUNTIME_DIR="$T/xdg"
	mkdir -m 700 "$XDG_RUNTIME_DIR"
	mkdir -p /run/systemd/system
	for h in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
		[ ! -e "$h/cgroup.procs" ] || mkdir "$h/$CG"
	done
	sh -c 'for p in /sys/fs/cgroup/'"$CG"' /sys/fs/cgroup/*/'"$CG"'; do [ ! -d "$p" ] || echo 0 >"$p/cgroup.procs"; done
		exec /lib/systemd/systemd --user --unit=basic.target' >"$T/log" 2>&1 &
	manager=$!
	end_manager() {
		rc=$?
		set +e
		kill "$manager"
		wait "$manager" || :
		for p in /sys/fs/cgroup/"$CG" /sys/fs/cgroup/*/"$CG"; do
			find "$p" -depth -type d -exec rmdir {} + 2>/dev/null
		done
		(exit $rc)
		finish
	}
	trap end_manager EXIT
	ln -s "$XDG_RUNTIME_DIR/systemd/private" /run/systemd/private
	for _ in $(seq 100); do
		[ ! -S "$XDG_RUNTIME_DIR/systemd/private" ] || break
		sleep 0.1
	done
	ctl() { timeout 40 systemctl --user "$@"; }
else
	ctl() { timeout 40 systemctl "$@"; }
fi
show() { ctl show --property "$2" --value "$1"; }
gone() { # UNIT: within a moment
	for _ in $(seq 50); do
		[ "$(show "$1" LoadState)" != not-found ] || return 0
		sleep 0.1
	done
	return 1
}
file() { # PATH V1-CONTROLLER V1-FILE V2-FILE
	if [ -e "/sys/fs/cgroup/$2/$1/$3" ]; then cat "/sys/fs/cgroup/$2/$1/$3"; else cat "/sys/fs/cgroup/$1/$4"; fi
}
cgroups() { find /sys/fs/cgroup -type d -path "*$own*" -name "$1"; }

# ---- a life
path='.linux.cgroupsPath = "kapseltest-a.slice:cri:web"' # of bundle()
bundle web 'while :; do sleep 0.1; done' "$path"' | .linux.resources.memory.limit = 67108864 | .linux.resources.pids.limit = 50
	| .linux.resources.cpu = {"quota": 33333, "period": 70000, "shares": 512}
	| .annotations = {"org.systemd.property.TimeoutStopSec": "uint32 7"}'
like "plan shows the scope" "$(kapsel-oci --systemd-cgroup plan "$T/web")" \
	'cgroup-scope\[0\] /kapseltest.slice/kapseltest-a.slice/cri-web.scope .*MemoryMax=67108864'
make web
is "create" "$code$err" 0
pid=$(cat "$T/web.pid")
at=${own}kapseltest.slice/kapseltest-a.slice/cri-web.scope
is "init is in its scope before create returns" "$(grep -c ":$at\$" "/proc/$pid/cgroup")" "$(wc -l <"/proc/$pid/cgroup")"
is "and nobody else" "$(find /sys/fs/cgroup -path "*$at/cgroup.procs" -exec cat {} + | sort -u)" "$pid"
is "the unit" "$(show cri-web.scope ActiveState) $(show cri-web.scope Delegate) $(show cri-web.scope Slice)" \
	"active yes kapseltest-a.slice"
is "systemd knows the limits" "$(show cri-web.scope MemoryMax) $(show cri-web.scope TasksMax) $(show cri-web.scope TimeoutStopUSec)" \
	"67108864 50 7s"
limits() { echo "$(file "$at" memory memory.limit_in_bytes memory.max) $(file "$at" pids pids.max pids.max)"; }
is "and they land" "$(limits)" "67108864 50"
cpu() { file "$at" cpu cpu.cfs_quota_us cpu.max | cut -d' ' -f1; }
is "the quota to the microsecond" "$(cpu)" 33333
oci start web
run update --memory 32m --pids-limit 40 web
is "update without the flag" "$code$err $(limits)" "0 33554432 40"
is "and systemd knows" "$(show cri-web.scope MemoryMax) $(show cri-web.scope TasksMax)" "33554432 40"
ctl daemon-reload
is "it does not undo them" "$(limits) $(cpu)" "33554432 40 33333"
run pause web
is "pause" "$code$err $(status web)" "0 paused"
run resume web
is "resume" "$code$err $(status web)" "0 running"
run exec web cat /proc/self/cgroup
is "exec" "$code$err" 0
bundle other 'sleep 100' "$path"
make other
like "the same unit again is refused" "$code $err" '^1 .*cri-web.scope'
is "and the first one runs" "$(status web) $(show cri-web.scope ActiveState)" "running active"
oci kill web KILL
ok "what ends leaves no unit" gone cri-web.scope
run delete web
is "delete without the flag" "$code$err" 0
is "no cgroup of it is left" "$(cgroups cri-web.scope)" ""

# ---- stopped by systemd
bundle stop 'trap "exit 0" TERM; while :; do sleep 0.1; done' '.linux.cgroupsPath = ":docker:stop"'
make stop
oci start stop
ctl stop docker-stop.scope
is "systemctl stop is noticed" "$(status stop)" stopped
run delete stop
is "and delete is no error" "$code$err$(cgroups docker-stop.scope)" 0

# ---- deleted while it runs
bundle kill 'trap "" TERM; while :; do sleep 0.1; done' 'del(.linux.cgroupsPath)'
make kill
oci start kill
is "the default is in system.slice" "$(grep -c "system.slice/kapsel-oci-kill.scope" "/proc/$(cat "$T/kill.pid")/cgroup")" \
	"$(wc -l <"/proc/$(cat "$T/kill.pid")/cgroup")"
run delete --force kill
is "delete --force" "$code$err$(cgroups kapsel-oci-kill.scope)" 0
is "leaves no unit" "$(show kapsel-oci-kill.scope LoadState)" not-found

# ---- one task only
bundle one 'exec sleep 100' '.linux.cgroupsPath = ":t:one" | .linux.resources.pids.limit = 1'
make one
run start one
is "a limit of one task" "$code$err $(file "${own}system.slice/t-one.scope" pids pids.max pids.max)" "0 1"
oci delete --force one

# ---- refused, failed
bundle wrong true '.linux.cgroupsPath = "/docker/1"'
make wrong
like "a path is no scope" "$code $err" "^1 .*slice:prefix:name"
bundle wrong2 true '.linux.cgroupsPath = "a/b.slice:docker:1"'
make wrong2
like "a wrong slice" "$code $err" "^1 .*a/b.slice"
bundle bad true '.linux.cgroupsPath = ":docker:bad" | .process.args = ["/no/such"]'
make bad
is "a failed create" "$code" 1
ok "leaves no unit" gone docker-bad.scope
is "no cgroup" "$(cgroups docker-bad.scope)" ""
is "and no state" "$(oci list -q)" ""
if [ -z "${LIB_HOST-}" ]; then
	rm /run/systemd/private
	make bad
	like "without systemd" "$code $err" '^1 .*no systemd answers'
fi
ctl stop kapseltest-a.slice kapseltest.slice 2>/dev/null || : # if they are still there
