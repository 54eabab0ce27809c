#!/bin/bash
# tests/compat/containerd.sh [RUNTIME...]: Debian's containerd and its shim, driven by ctr
# timeout: 1800
NEED=containerd
. tests/compat/lib.sh

ctr() { timeout 60 /usr/bin/ctr --address "$D/sock" --namespace compat "$@"; }
run() { ctr run --runtime io.containerd.runc.v2 --runc-binary "$RUNTIME" "$@"; }
IMG=localhost/compat:1
daemon() {
	containerd --config "$D/config.toml" >>"$D/log" 2>&1 &
	daemon=$!
	until_ok 30 ctr version
}
begin() {
	cat >"$D/config.toml" <<-EOF
		version = 2
		root = "$D/root"
		state = "$D/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		address = "$D/sock"
		[plugins."io.containerd.gc.v1.scheduler"]
		startup_delay = "1h"
	EOF
	daemon && ctr images import "$IMAGE" >"$D/import" || { cat "$D/log" "$D/import"; return 1; }
}
end() {
	for c in $(ctr containers ls -q); do
		ctr tasks delete --force "$c" || :
		ctr containers rm "$c" || :
	done >"$D/end" 2>&1
	kill "$daemon" && wait "$daemon"
	rmdir /sys/fs/cgroup/*/compat # the namespace's; containerd leaves it
}
status() { ctr tasks ls | awk -v id="$1" '$1 == id { print $3 }'; }
pid() { ctr tasks ls | awk -v id="$1" '$1 == id { print $2 }'; }
is_status() { [ "$(status "$1")" = "$2" ]; }
delete() { ctr tasks delete "$1" 2>&1 | sed -n 's/.*exit code \([0-9]*\).*/\1/p'; } # ID: how it ended
gone() { # ID SIGNAL
	ctr tasks kill --signal "$2" "$1"
	until_ok 5 is_status "$1" STOPPED
	delete "$1"
	ctr containers rm "$1"
}
of_cgroup() { # PID CONTROLLER FILE
	cat "/sys/fs/cgroup/$2$(sed -n "s/^[0-9]*:$2://p" "/proc/$1/cgroup")/$3"
}
code() { "$@" >"$D/out" 2>&1; echo $?; }
last_of() { # IDENTIFIER: the topics of what happened to it
	grep "\"container_id\":\"$1\"" "$D/events" | grep -o '/tasks/[a-z-]*' | paste -sd' '
}

life() {
	is "run prints" "$(run --rm "$IMG" a1 echo hello)" hello
	is "run has the program's stdin" "$(echo through | run --rm "$IMG" a2 head -n 1)" through
	is "stderr is apart" "$(run --rm "$IMG" a3 sh -c 'echo no; echo yes >&2' 2>&1 >/dev/null)" yes
	is "an exit code" "$(code run --rm "$IMG" a4 sh -c 'exit 7')" 7
	is "an end by a signal" "$(code run --rm "$IMG" a5 sh -c 'kill -9 $$; kill -9 1; exit 3')" 3
	is "much output comes whole" "$(run --rm "$IMG" a6 seq 200000 | wc -l)" 200000
	is "detached" "$(code run -d "$IMG" b1 sleep 1000)" 0
	is "it is running" "$(status b1)" RUNNING
	like "its processes" "$(ctr tasks ps b1)" "^$(pid b1) "
	is "the task's program is what /proc says" "$(tr '\0' ' ' <"/proc/$(pid b1)/cmdline")" "sleep 1000 "
	is "exec" "$(ctr tasks exec --exec-id e1 b1 echo inside)" inside
	is "exec: stdin" "$(echo through | ctr tasks exec --exec-id e2 b1 head -n 1)" through
	is "exec: an exit code" "$(code ctr tasks exec --exec-id e3 b1 sh -c 'exit 5')" 5
	is "exec: a directory" "$(ctr tasks exec --exec-id e4 --cwd /etc b1 pwd)" /etc
	is "exec: a user" "$(ctr tasks exec --exec-id e5 --user 1000:8 b1 id -u)" 1000
	is "exec: in the same cgroup" "$(ctr tasks exec --exec-id e6 b1 sh -c 'sed -n s/.*:pids://p /proc/1/cgroup /proc/$$/cgroup | sort -u | wc -l')" 1
	is "exec: what is not there fails" "$(ctr tasks exec --exec-id e7 b1 /bin/none 2>&1 | grep -o '"/bin/none": stat /bin/none: no such file or directory\|"/bin/none": no such file or directory' | wc -l)" 1
	is "exec: a terminal" "$(script -qec "ctr --address $D/sock --namespace compat tasks exec -t --exec-id e8 b1 sh -c 'test -t 0 && test -t 1 && echo terminal'" /dev/null | tr -d '\r\0' | grep -x terminal)" terminal
	is "exec, detached" "$(code ctr tasks exec -d --exec-id e9 b1 sleep 999)" 0
	is "two processes" "$(ctr tasks ps b1 | grep -c '^[0-9]')" 2
	is "metrics" "$(ctr tasks metrics --format json b1 | jq '.pids.current, (.memory.usage.usage > 0), (.cpu.usage.total > 0)' | paste -sd' ')" "2 true true"
	is "SIGTERM ends sh" "$(ctr tasks kill --signal SIGTERM --exec-id e9 b1; until_ok 10 [ "$(ctr tasks ps b1 | grep -c '^[0-9]')" = 1 ] && echo gone)" gone
	is "pause" "$(code ctr tasks pause b1) $(status b1)" "0 PAUSED"
	is "resume" "$(code ctr tasks resume b1) $(status b1)" "0 RUNNING"
	is "killed while paused" "$(ctr tasks pause b1; ctr tasks kill --signal KILL b1; ctr tasks resume b1; until_ok 10 is_status b1 STOPPED; status b1)" STOPPED
	like "kill of what has ended" "$(ctr tasks kill b1 2>&1)" 'process already finished|not found'
	is "delete of what has ended" "$(delete b1)" 137
	is "the container's record goes" "$(code ctr containers rm b1)" 0
	like "what is not there fails" "$(run --rm "$IMG" c1 nothing-of-that-name 2>&1)" 'exec: "nothing-of-that-name": executable file not found in \$PATH'
	ctr containers rm c1 >"$D/out" 2>&1
	like "what is no program fails" "$(run --rm "$IMG" c2 /etc/not-a-program 2>&1)" 'exec: "/etc/not-a-program": permission denied'
	ctr containers rm c2 >"$D/out" 2>&1
	is "nothing of them is there" "$(ctr tasks ls -q; ls "$D/state/io.containerd.runtime.v2.task/compat" 2>/dev/null)" ""
	is "kill --all" "$(run -d "$IMG" b2 sh -c 'sleep 998 & sleep 997 & wait'; ctr tasks kill --all --signal KILL b2; until_ok 10 is_status b2 STOPPED; ctr tasks delete b2; ctr containers rm b2; pgrep -fc 'sleep 99[78]')" 0
	is "a run in the foreground with a terminal" "$(script -qec "ctr --address $D/sock --namespace compat run --rm -t --runc-binary $RUNTIME $IMG a7 sh -c 'test -t 2 && stty size 2>/dev/null; echo of /dev/console; test -c /dev/console && exit 4'; echo \$?" /dev/null | tr -d '\r' | tail -n 1)" 4
	for i in 1 2 3 4 5 6; do run --rm "$IMG" p$i sh -c "echo $i; exit $i" >"$D/p$i" 2>&1 & p[i]=$!; done
	wait "${p[@]}"
	is "six at once" "$(cat "$D"/p[1-6] | paste -sd,)" 1,2,3,4,5,6
}
options() {
	is "--env, --cwd" "$(run --rm --env A=b --cwd /etc "$IMG" o1 sh -c 'echo $A; pwd' | paste -sd' ')" "b /etc"
	is "--read-only" "$(run --rm --read-only "$IMG" o2 sh -c 'touch /x 2>/dev/null || echo refused')" refused
	is "--mount" "$(run --rm --mount "type=bind,src=$D,dst=/mnt,options=rbind:ro" "$IMG" o3 sh -c 'test -f /mnt/config.toml && ! touch /mnt/x 2>/dev/null && echo there')" there
	is "capabilities" "$(run --rm --cap-add CAP_SYS_TIME --cap-drop CAP_CHOWN "$IMG" o6 grep CapEff /proc/self/status | cut -f2)" 00000000aa0425fa
	is "--privileged" "$(run --rm --privileged "$IMG" o7 sh -c 'mount -t tmpfs t /tmp && echo mounted')" mounted
	is "--allow-new-privs" "$(run --rm --allow-new-privs "$IMG" o8 grep NoNewPrivs /proc/self/status | cut -f2)" 0
	is "no new privileges as a rule" "$(run --rm "$IMG" o9 grep NoNewPrivs /proc/self/status | cut -f2)" 1
	is "--seccomp" "$(run --rm --seccomp "$IMG" o10 grep ^Seccomp: /proc/self/status | cut -f2)" 2
	is "--net-host" "$(run --rm --net-host "$IMG" o11 readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)"
	is "a network namespace" "$(run --rm "$IMG" o12 cat /proc/net/dev | grep -c :)" 1
	is "--device" "$(run --rm --device /dev/loop-control "$IMG" o13 sh -c 'test -c /dev/loop-control && echo there')" there
	is "another device is refused" "$(run --rm --cap-add CAP_MKNOD "$IMG" o14 sh -c 'busybox mknod /tmp/k c 10 229 && cat /tmp/k 2>&1 | grep -c "not permitted"')" 1
	is "a user namespace" "$(run --rm --uidmap 0:100000:65536 --gidmap 0:200000:65536 "$IMG" o15 sh -c 'cat /proc/self/uid_map /proc/self/gid_map; id -u' | xargs)" "0 100000 65536 0 200000 65536 0"
	is "--rootfs" "$(run --rm --rootfs "$T/image/rootfs" o16 /bin/echo from-a-directory)" from-a-directory
	is "--pid-file" "$(run -d --pid-file "$D/o17.pid" "$IMG" o17 sleep 996; [ "$(cat "$D/o17.pid")" = "$(pid o17)" ] && echo same)" same
	is "--with-ns" "$(run --rm --with-ns "network:/proc/$(pid o17)/ns/net" "$IMG" o18 readlink /proc/self/ns/net)" "$(readlink "/proc/$(pid o17)/ns/net")"
	is "ended by SIGKILL" "$(gone o17 KILL)" 137
	run -d --memory-limit 67108864 --cpu-quota 50000 --cpu-period 100000 --cpu-shares 512 "$IMG" o19 sleep 995
	is "--memory-limit" "$(of_cgroup "$(pid o19)" memory memory.limit_in_bytes)" 67108864
	is "--cpu-quota" "$(of_cgroup "$(pid o19)" cpu cpu.cfs_quota_us)" 50000
	is "--cpu-shares" "$(of_cgroup "$(pid o19)" cpu cpu.shares)" 512
	is "the cgroup's path" "$(sed -n 's/^[0-9]*:pids://p' "/proc/$(pid o19)/cgroup")" /compat/o19
	is "the deny list of devices" "$(of_cgroup "$(pid o19)" devices devices.list | grep -c '^a ')" 0
	gone o19 KILL >"$D/out" 2>&1
	is "--cgroup" "$(run -d --cgroup /of-my-own/x "$IMG" o20 sleep 994; sed -n 's/^[0-9]*:pids://p' "/proc/$(pid o20)/cgroup")" /of-my-own/x
	gone o20 KILL >"$D/out" 2>&1
	rmdir /sys/fs/cgroup/*/of-my-own
	is "no cgroup of it is left" "$(groups | grep -c 'of-my-own\|o19')" 0
	is "out of memory" "$(code run --memory-limit 16777216 "$IMG" o21 sh -c 'exec tail /dev/zero')" 137
	ctr containers rm o21
}
events() {
	/usr/bin/ctr --address "$D/sock" --namespace compat events >"$D/events" 2>&1 &
	e=$!
	sleep 1
	run --rm "$IMG" v1 true
	run -d "$IMG" v2 sleep 993
	ctr tasks exec --exec-id x v2 true
	ctr tasks pause v2
	ctr tasks resume v2
	gone v2 TERM >"$D/out" 2>&1 # sleep is pid 1: deaf to it
	ctr tasks delete --force v2 >"$D/out" 2>&1
	ctr containers rm v2
	run --memory-limit 16777216 "$IMG" v3 sh -c 'sleep 1; tail /dev/zero; sleep 1' >"$D/out" 2>&1
	ctr containers rm v3
	until_ok 5 grep '/tasks/delete.*"v3"' "$D/events"
	kill "$e"
	is "events: a life" "$(last_of v1)" "/tasks/create /tasks/start /tasks/exit /tasks/delete"
	is "events: exec, pause" "$(last_of v2)" "/tasks/create /tasks/start /tasks/exec-added /tasks/exec-started /tasks/exit /tasks/paused /tasks/resumed /tasks/exit /tasks/delete"
	like "events: out of memory" "$(last_of v3)" "/tasks/create /tasks/start.*/tasks/oom"
}
restart() {
	run -d "$IMG" r1 sh -c 'trap "exit 9" TERM; while :; do sleep 0.1; done'
	run -d "$IMG" r2 sleep 992
	kill -KILL "$daemon"
	wait "$daemon"
	r2=$(pgrep -f '^sleep 992')
	ok "containerd was killed, the containers live" kill -0 "$r2"
	daemon
	is "after the restart: running" "$(status r1) $(status r2)" "RUNNING RUNNING"
	is "after the restart: exec" "$(ctr tasks exec --exec-id e1 r1 echo still)" still
	kill "$daemon"
	wait "$daemon"
	kill -KILL "$r2"
	daemon
	is "ended while containerd was away" "$(status r2)" STOPPED
	is "its status was kept" "$(delete r2)" 137
	ctr containers rm r2
	is "SIGTERM after two restarts" "$(ctr tasks kill r1; until_ok 10 is_status r1 STOPPED; delete r1)" 9
	ctr containers rm r1
	run -d "$IMG" r3 sleep 991
	kill -KILL "$(pgrep -f 'containerd-shim.* -id r3')"
	until_ok 10 is_status r3 ''
	is "the shim was killed: containerd cleans up" "$(status r3)$(pgrep -fc 'sleep 991')" 0
	ctr containers rm r3
	is "and the name is free again" "$(run --rm "$IMG" r3 echo again)" again
}
checks() {
	life
	[ -n "${QUICK-}" ] || options
	[ -n "${QUICK-}" ] || events
	restart
}
image >"$T/image.log" 2>&1 || { cat "$T/image.log"; exit 1; }
compat containerd "$(containerd --version | awk '{ sub("~.*", "", $3); print $3 }')" "$@"
