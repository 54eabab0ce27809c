#!/bin/sh
# cgroups: limits act and are told, what is paused stands still, who is killed ends with all that it has started
. tests/lib.sh
v2=
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || v2=1
file=$([ -n "$v2" ] && echo memory.max || echo memory.limit_in_bytes)
limit='.linux.resources.memory = {"limit": 20971520, "swap": 20971520}'
exit_of() { kapsel inspect --json "$1" | jq -r ".exits[-1].$2"; }

# ---- memory
bundle oom 'exec tail -c 200m /dev/zero' "$limit"
set +e
kapsel run --id oom "$T/oom" >"$T/o" 2>&1
is "the program that needs too much memory is killed" $? 137
set -e
is "its certificate says why, and by which limit" "$(exit_of oom oom) $(exit_of oom oomLimit) $(exit_of oom signal)" \
	"true $file 20971520 KILL"
bundle child '(exec tail -c 200m /dev/zero); echo "child $?"; exit 4' "$limit"
set +e
kapsel run --id child "$T/child" >"$T/o" 2>&1
is "one that outlives its child's" $? 4
set -e
is "has a certificate that says so, too" "$(exit_of child oom) $(exit_of child code) $(grep child "$T/o")" "true 4 child 137"
bundle small 'head -c 4m /dev/zero >/dev/shm/x; exit 0' "$limit"
kapsel run --id small "$T/small"
is "who stays below is not told to have been killed" "$(exit_of small oom)" false
ok "the peak is that of the use" [ "$(exit_of small memoryPeak)" -gt 4194304 ]
ok "and below the limit" [ "$(exit_of small memoryPeak)" -le 20971520 ]

# ---- processes
bundle forks 'for i in 1 2 3 4 5 6 7 8; do sleep 9 & done' \
	'.linux.resources.pids = {"limit": 5}'
kapsel run --rm "$T/forks" >"$T/o" 2>"$T/e" || :
ok "a fork beyond the limit is refused" grep -qi 'resource temporarily unavailable\|fork' "$T/e"

# ---- CPU
bundle busy 'while :; do :; done' '.linux.resources.cpu = {"quota": 10000, "period": 100000}'
kapsel run -d --id busy "$T/busy" >/dev/null
sleep 2
like "a quota slows down" "$(kapsel stats --no-stream --json busy | jq -c "[.. | objects | .cpuThrottledNs? // empty] | max > 100000000")" "^true"
kapsel delete --force busy >/dev/null

# ---- pause
bundle counts 'i=0; while :; do i=$((i + 1)); echo $i >/dev/shm/n; done'
kapsel run -d --id counts "$T/counts" >/dev/null
n() { cat "/proc/$pid/root/dev/shm/n"; }
pid=$(kapsel inspect --field pid counts)
for _ in $(seq 50); do [ -z "$(n 2>/dev/null)" ] || break; sleep 0.1; done
kapsel pause counts >/dev/null
a=$(n)
sleep 0.5
is "what is paused stands still" "$(n) $(kapsel state -q counts)" "$a paused"
kapsel resume counts >/dev/null
for _ in $(seq 50); do b=$(n); [ -z "$b" ] || [ "$b" = "$a" ] || break; sleep 0.1; done
ok "and goes on when resumed" [ "$b" != "$a" ]
kapsel pause counts >/dev/null
ok "what is paused can be killed" timeout 10 kapsel delete --force counts

# ---- kill
bundle brood 'for i in 1 2 3; do (trap "" TERM; sleep 77 & sleep 77) & done; exec sleep 77' \
	'.linux.namespaces = [.linux.namespaces[] | select(.type != "pid")]'
kapsel run -d --id brood "$T/brood" >/dev/null
for _ in $(seq 50); do [ "$(pgrep -fc '^sleep 77')" = 7 ] && break; sleep 0.1; done
is "processes of a container without a pid namespace" "$(pgrep -fc '^sleep 77')" 7
kapsel kill -s KILL brood >/dev/null
timeout 10 kapsel wait -q brood >/dev/null 2>&1 || :
for _ in $(seq 50); do [ "$(pgrep -fc '^sleep 77')" = 0 ] && break; sleep 0.1; done
is "all end with the first" "$(pgrep -fc '^sleep 77')" 0

# ---- devices
bundle devices 'mknod /dev/shm/x c 240 1; cat </dev/shm/x' '.process.capabilities.bounding += ["CAP_MKNOD"]
	| .process.capabilities.effective += ["CAP_MKNOD"] | .process.capabilities.permitted += ["CAP_MKNOD"]
	| (.mounts[] | select(.destination == "/dev/shm")).options -= ["nodev"]'
cp "$(command -v busybox)" "$T/devices/rootfs/bin/mknod"
kapsel run --rm "$T/devices" >"$T/o" 2>&1 || :
like "a device that no rule allows is not opened" "$(cat "$T/o")" 'Operation not permitted'
jq '.linux.resources.devices += [{"allow": true, "type": "c", "major": 240, "minor": 1, "access": "r"}]' \
	"$T/devices/config.json" >"$T/c" && cp "$T/c" "$T/devices/config.json"
kapsel run --rm "$T/devices" >"$T/o" 2>&1 || :
like "one that is allowed is: it has no driver" "$(cat "$T/o")" 'No such device or address'
