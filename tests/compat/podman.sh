#!/bin/bash
# tests/compat/podman.sh [RUNTIME...]: Debian's Podman and conmon, as root
# timeout: 1800
NEED="podman conmon containernetworking-plugins iptables"
. tests/compat/lib.sh

podman() {
	(cd "$D" && exec timeout 60 /usr/bin/podman --root "$D/root" --runroot "$D/run" --tmpdir "$D/tmp" --network-config-dir "$D/net" \
		--storage-driver overlay --cgroup-manager cgroupfs --events-backend file --runtime "$RUNTIME" "$@")
}
run() { podman run --network none "$@"; }
IMG=localhost/compat:1
begin() {
	mkdir -p "$D/net"
	podman load -q -i "$IMAGE" >"$D/load" 2>&1 || { cat "$D/load"; return 1; }
}
end() {
	podman pod rm -fa -t 0 >"$D/end" 2>&1
	podman rm -fa -t 0 >>"$D/end" 2>&1
	podman system prune -f >>"$D/end" 2>&1
	umount "$D/root/overlay" 2>"$D/end"
	umount -l /run/netns 2>"$D/end"
	find /sys/fs/cgroup -depth -type d -name "libpod-$(cat "$D/b7")" -exec rmdir {} + 2>"$D/end" # nobody asks for its delete
	find /sys/fs/cgroup -depth -path '*/libpod_parent*' ! -name 'libpod-*' -exec rmdir {} + 2>"$D/end" # Podman's own
}
code() { "$@" >"$D/out" 2>&1; echo $?; }
status() { podman inspect -f '{{.State.Status}}' "$1"; }
is_status() { [ "$(status "$1")" = "$2" ]; }
pid() { podman inspect -f '{{.State.Pid}}' "$1"; }
of_cgroup() { # NAME CONTROLLER FILE
	cat "/sys/fs/cgroup/$2$(sed -n "s/^[0-9]*:$2://p" "/proc/$(pid "$1")/cgroup")/$3"
}
life() {
	is "run prints" "$(run --rm "$IMG" echo hello)" hello
	is "stdin" "$(echo through | run --rm -i "$IMG" cat)" through
	is "stderr is apart" "$(run --rm "$IMG" sh -c 'echo no; echo yes >&2' 2>&1 >/dev/null)" yes
	is "an exit code" "$(code run --rm "$IMG" sh -c 'exit 7')" 7
	is "much output comes whole" "$(run --rm "$IMG" seq 100000 | wc -l)" 100000
	is "what is not there: 127" "$(code run --rm "$IMG" nothing-of-that-name)" 127
	like "what is not there: the words" "$(cat "$D/out")" 'exec: "nothing-of-that-name": executable file not found in \$PATH'
	is "no such path: 127" "$(code run --rm "$IMG" /bin/none)" 127
	is "what is no program: 126" "$(code run --rm "$IMG" /etc/not-a-program)" 126
	is "a terminal" "$(script -qec "podman --root $D/root --runroot $D/run --tmpdir $D/tmp --storage-driver overlay --cgroup-manager cgroupfs --events-backend file --runtime $RUNTIME run --rm -t --network none $IMG sh -c 'test -t 0 && test -t 2 && test -c /dev/console && echo terminal'" /dev/null | tr -d '\r\0' | grep -x terminal)" terminal
	is "detached" "$(code run -d --name b1 "$IMG" sh -c 'trap "exit 9" TERM; echo begun; while :; do sleep 0.1; done')" 0
	is "it is running" "$(status b1)" running
	is "logs" "$(until_ok 5 grep -q begun <(podman logs b1); podman logs b1)" begun
	is "the cgroup's path" "$(sed -n 's/^[0-9]*:pids://p' "/proc/$(pid b1)/cgroup")" "/libpod_parent/libpod-$(podman inspect -f '{{.Id}}' b1)"
	is "exec" "$(podman exec b1 echo inside)" inside
	is "exec: stdin" "$(echo through | podman exec -i b1 cat)" through
	is "exec: an exit code" "$(code podman exec b1 sh -c 'exit 5')" 5
	is "exec: user, directory, environment" "$(podman exec -u 1000:8 -w /etc -e A=b b1 sh -c 'id -u; id -g; pwd; echo $A' | paste -sd' ')" "1000 8 /etc b"
	is "exec: what is not there: 127" "$(code podman exec b1 nothing-of-that-name)" 127
	is "exec: what is no program: 126" "$(code podman exec b1 /etc/not-a-program)" 126
	is "exec: a terminal" "$(podman exec -t b1 sh -c 'test -t 0 && test -t 1 && echo terminal' | tr -d '\r')" terminal
	is "exec: privileged" "$(podman exec --privileged b1 grep CapEff /proc/self/status | cut -f2)" "$(grep CapBnd /proc/self/status | cut -f2)"
	is "exec: detached" "$(podman exec -d b1 sleep 999 >"$D/out"; until_ok 5 pgrep -f 'sleep 999'; pgrep -fc '^sleep 999')" 1
	like "top" "$(podman top b1 pid args)" 'sleep 999'
	is "stats" "$(podman stats --no-stream --format '{{.Name}} {{.PIDs}}' b1 | grep -c '^b1 [3-9]')" 1
	is "pause" "$(code podman pause b1) $(status b1)" "0 paused"
	is "unpause" "$(code podman unpause b1) $(status b1)" "0 running"
	is "restart" "$(code podman restart -t 5 b1) $(status b1)" "0 running"
	is "stop: SIGTERM, and its exit code" "$(code podman stop -t 10 b1) $(podman inspect -f '{{.State.ExitCode}}' b1)" "0 9"
	is "start again" "$(code podman start b1) $(status b1)" "0 running"
	is "kill" "$(podman kill b1 >"$D/out"; podman wait b1)" 137
	is "rm" "$(code podman rm b1)" 0
	is "stop of a deaf one" "$(run -d --name b2 "$IMG" sleep 998 >"$D/out"; podman stop -t 1 b2 >"$D/out" 2>&1; podman inspect -f '{{.State.ExitCode}}' b2)" 137
	is "rm --force of a running one" "$(podman start b2 >"$D/out"; code podman rm -f -t 0 b2)" 0
	is "create, init, start" "$(podman create --network none --name b3 "$IMG" echo hello >"$D/out"; podman init b3 >"$D/out"; status b3; podman start -a b3; podman rm b3 >"$D/out")" "initialized
hello"
	is "created, then removed" "$(podman create --network none --name b4 "$IMG" true >"$D/out"; podman init b4 >"$D/out"; code podman rm -f -t 0 b4)" 0
	is "attach" "$(run -d -i --name b5 "$IMG" sh -c 'read a; sleep 1; echo got $a' >"$D/out"; echo word | podman attach b5; podman rm -f b5 >"$D/out")" "got word"
	is "preserved descriptors" "$(run --rm --preserve-fds 1 "$IMG" cat /proc/self/fd/3 3<"$D/net/../load" >"$D/fd"; cmp "$D/fd" "$D/load" && echo same)" same
	is "LISTEN_FDS" "$(LISTEN_FDS=1 LISTEN_PID=$$ run --rm --preserve-fds 1 "$IMG" sh -c 'echo $LISTEN_FDS $LISTEN_PID; readlink /proc/self/fd/3' 3</dev/null | tail -n 1)" /dev/null
	is "restarted on failure" "$(run -d --name b6 --restart on-failure:2 "$IMG" false >"$D/out"; until_ok 10 [ "$(podman inspect -f '{{.RestartCount}}' b6)" = 2 ]; sleep 1; podman inspect -f '{{.RestartCount}}' b6; podman rm -f -t 0 b6 >"$D/out")" 2
	is "conmon was killed: rm -f clears" "$(run -d --name b7 "$IMG" sleep 997 >"$D/b7"; kill -KILL "$(pgrep -f "conmon.*$(podman inspect -f '{{.Id}}' b7)" | head -n 1)"; podman rm -f -t 0 b7 >"$D/out" 2>&1; podman ps -aq; pgrep -fc '^sleep 997')" 0
	is "healthcheck: healthy" "$(run -d --name h1 --health-cmd 'test -f /tmp/well' --health-retries 1 --health-interval disable "$IMG" sleep 996 >"$D/out"; podman exec h1 touch /tmp/well; code podman healthcheck run h1)" 0
	is "healthcheck: unhealthy" "$(podman exec h1 rm /tmp/well; code podman healthcheck run h1)" 1
	podman rm -f -t 0 h1 >"$D/out"
	for i in 1 2 3 4; do run --rm "$IMG" sh -c "echo $i; exit $i" >"$D/p$i" 2>&1 & p[i]=$!; done
	wait "${p[@]}"
	is "four at once" "$(cat "$D"/p[1-4] | paste -sd,)" 1,2,3,4
}
options() {
	is "--read-only" "$(run --rm --read-only "$IMG" sh -c 'touch /x 2>/dev/null || echo refused')" refused
	is "--user by name" "$(run --rm -u user "$IMG" sh -c 'id -u; id -g' | paste -sd' ')" "1000 1000"
	is "--group-add" "$(run --rm --group-add 8 -u user "$IMG" grep Groups /proc/self/status | grep -c '\<8\>')" 1
	is "--volume, ro" "$(run --rm -v "$D/net:/mnt:ro" "$IMG" sh -c 'touch /mnt/x 2>/dev/null || echo refused')" refused
	is "a named volume" "$(run --rm -v vol:/data "$IMG" sh -c 'echo kept >/data/f'; run --rm -v vol:/data "$IMG" cat /data/f)" kept
	is "--tmpfs" "$(run --rm --tmpfs /scratch:size=1m "$IMG" sh -c 'grep -c " /scratch tmpfs.*size=1024k" /proc/mounts')" 1
	is "--cap-add, --cap-drop" "$(run --rm --cap-drop all --cap-add SYS_TIME "$IMG" grep CapEff /proc/self/status | cut -f2)" 0000000002000000
	is "--privileged" "$(run --rm --privileged "$IMG" sh -c 'mount -t tmpfs t /tmp && test -c /dev/kmsg -o -c /dev/loop-control && echo done')" 'done'
	is "--security-opt no-new-privileges" "$(run --rm --security-opt no-new-privileges "$IMG" grep NoNewPrivs /proc/self/status | cut -f2)" 1
	is "seccomp as a rule" "$(run --rm "$IMG" grep ^Seccomp: /proc/self/status | cut -f2)" 2
	is "--security-opt seccomp=unconfined" "$(run --rm --security-opt seccomp=unconfined "$IMG" grep ^Seccomp: /proc/self/status | cut -f2)" 0
	is "--sysctl" "$(run --rm --sysctl net.ipv4.ip_unprivileged_port_start=77 "$IMG" cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" 77
	is "--ulimit" "$(run --rm --ulimit nofile=123:456 --ulimit nproc=1000:1000 "$IMG" sh -c 'ulimit -n; ulimit -Hn' | paste -sd' ')" "123 456"
	is "--hostname" "$(run --rm --hostname named "$IMG" hostname)" named
	is "--shm-size" "$(run --rm --shm-size 2m "$IMG" grep -c ' /dev/shm tmpfs.*size=2048k' /proc/mounts)" 1
	is "--device" "$(run --rm --device /dev/loop-control:/dev/x "$IMG" sh -c 'test -c /dev/x && echo there')" there
	is "--pid host" "$(run --rm --pid host "$IMG" readlink /proc/self/ns/pid)" "$(readlink /proc/self/ns/pid)"
	is "--pid host: stopped as a whole" "$(run -d --pid host --name s1 "$IMG" sh -c 'sleep 995 & sleep 995' >"$D/out"; podman rm -f -t 0 s1 >"$D/out"; pgrep -fc '^sleep 995')" 0
	is "--pid container:" "$(run -d --name s2 "$IMG" sleep 994 >"$D/out"; run --rm --pid container:s2 "$IMG" sh -c 'tr "\0" " " </proc/1/cmdline')" "sleep 994 "
	podman rm -f -t 0 s2 >"$D/out"
	is "--userns" "$(run --rm --uidmap 0:100000:65536 --gidmap 0:200000:65536 "$IMG" sh -c 'cat /proc/self/uid_map /proc/self/gid_map; id -u' | xargs)" "0 100000 65536 0 200000 65536 0"
	is "--network host" "$(podman run --rm --network host "$IMG" readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)"
	is "out of memory" "$(code run --name o1 -m 16m "$IMG" tail /dev/zero)" 137
	is "out of memory: noticed by conmon" "$(ls "$D/oom")" "$D/oom"
	podman rm o1 >"$D/out"
	run -d --name u1 -m 64m --cpus 0.5 --cpu-shares 512 --pids-limit 77 --cpuset-cpus 0 "$IMG" sleep 993 >"$D/out" 2>&1
	is "--memory" "$(of_cgroup u1 memory memory.limit_in_bytes)" 67108864
	is "--cpus" "$(of_cgroup u1 cpu cpu.cfs_quota_us)" 50000
	is "--cpu-shares" "$(of_cgroup u1 cpu cpu.shares)" 512
	is "--pids-limit" "$(of_cgroup u1 pids pids.max)" 77
	is "--cpuset-cpus" "$(of_cgroup u1 cpuset cpuset.cpus)" 0
	is "update" "$(code podman update --memory 96m --cpu-quota 30000 u1) $(of_cgroup u1 memory memory.limit_in_bytes) $(of_cgroup u1 cpu cpu.cfs_quota_us)" "0 100663296 30000"
	podman rm -f -t 0 u1 >"$D/out"
	like "an OCI hook" "$(mkdir "$D/hooks"; jq -n --arg out "$D/hook" '{version: "1.0.0", hook: {path: "/bin/sh", args: ["sh", "-c", "cat >" + $out]}, when: {always: true}, stages: ["prestart"]}' >"$D/hooks/h.json"; podman --hooks-dir "$D/hooks" run --rm --network none "$IMG" true; jq -r '.status, (.pid > 0)' "$D/hook" | paste -sd' ')" '^creat(ing|ed) true$'
	is "checkpoint is refused" "$(run -d --name k1 "$IMG" sleep 992 >"$D/out"; code podman container checkpoint k1 | grep -v '^0'; status k1; podman rm -f -t 0 k1 >"$D/out")" "125
running"
	is "commit, and run what came of it" "$(run --name k2 "$IMG" sh -c 'echo more >/more'; podman commit -q k2 localhost/more >"$D/out"; run --rm localhost/more cat /more; podman rm k2 >"$D/out")" more
	is "cp" "$(run -d --name k3 "$IMG" sleep 991 >"$D/out"; podman cp "$D/load" k3:/tmp/load; podman exec k3 cat /tmp/load | cmp - "$D/load" && echo same; podman rm -f -t 0 k3 >"$D/out")" same
}
pods() {
	podman pod create --name p1 --network none --infra-image "$IMG" --infra-command "sleep 990" >"$D/out" 2>&1
	is "a pod's container" "$(podman run -d --pod p1 --name c1 "$IMG" sleep 989 >"$D/out" 2>&1; status c1)" running
	is "it shares the pod's network" "$(podman exec c1 readlink /proc/self/ns/net)" "$(readlink "/proc/$(pid c1)/ns/net")"
	is "another beside it" "$(podman run --rm --pod p1 "$IMG" readlink /proc/self/ns/ipc)" "$(readlink "/proc/$(pid c1)/ns/ipc")"
	like "pod ps" "$(podman pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}')" '^p1 Running 2'
	is "pod pause, unpause" "$(code podman pod pause p1) $(status c1) $(code podman pod unpause p1) $(status c1)" "0 paused 0 running"
	is "pod stats" "$(podman pod stats --no-stream --format '{{.Name}}' p1 2>&1 | grep -c c1)" 1
	is "pod stop, start" "$(code podman pod stop -t 1 p1) $(status c1) $(code podman pod start p1) $(status c1)" "0 exited 0 running"
	is "pod kill" "$(podman pod kill p1 >"$D/out"; podman wait c1)" 137
	is "pod rm" "$(code podman pod rm -f -t 0 p1)" 0
	is "nothing of it is there" "$(podman ps -aq)" ""
}
checks() {
	life
	[ -n "${QUICK-}" ] || options
	pods
}
image >"$T/image.log" 2>&1 || { cat "$T/image.log"; exit 1; }
compat podman "$(/usr/bin/podman --version | cut -d' ' -f3)" "$@"
