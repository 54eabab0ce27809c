#!/bin/bash
# tests/compat/docker.sh [RUNTIME...]: Debian's dockerd, with a containerd of its own
# timeout: 1800
NEED="docker.io containerd iptables"
. tests/compat/lib.sh

docker() { timeout 60 /usr/bin/docker -H "unix://$D/docker.sock" "$@"; }
run() { docker run --network none "$@"; }
IMG=localhost/compat:1
daemon() {
	PATH=/usr/sbin:$PATH dockerd --config-file "$D/daemon.json" >>"$D/log" 2>&1 &
	daemon=$!
	until_ok 30 docker version
}
begin() {
	jq -n --arg d "$D" --arg r "$RUNTIME" '{"data-root": ($d + "/root"), "exec-root": ($d + "/exec"), pidfile: ($d + "/pid"),
		hosts: ["unix://" + $d + "/docker.sock"], runtimes: {tested: {path: $r}}, "default-runtime": "tested",
		"exec-opts": ["native.cgroupdriver=cgroupfs"], iptables: false, bridge: "none", "storage-driver": "overlay2",
		"live-restore": true, "log-level": "warn"}' >"$D/daemon.json"
	daemon && docker load -q -i "$IMAGE" >"$D/load" 2>&1 || { cat "$D/log" "$D/load"; return 1; }
}
end() {
	docker ps -aq | xargs -r /usr/bin/docker -H "unix://$D/docker.sock" rm -f >"$D/end" 2>&1
	kill "$daemon" && wait "$daemon"
	pkill -f "containerd --config $D/exec" # with live-restore it stays; it is ours
	umount "$D/exec/netns/default" "$D/root" 2>"$D/end" # the one that was killed left its bind there
	rmdir /sys/fs/cgroup/*/docker 2>"$D/end" # dockerd leaves it
}
code() { "$@" >"$D/out" 2>&1; echo $?; }
get() { docker inspect -f "{{.$2}}" "$1"; } # NAME FIELD
is_field() { [ "$(get "$1" "$2")" = "$3" ]; }
of_cgroup() { # NAME CONTROLLER FILE
	cat "/sys/fs/cgroup/$2$(sed -n "s/^[0-9]*:$2://p" "/proc/$(get "$1" State.Pid)/cgroup")/$3"
}
life() {
	like "info names the runtime" "$(docker info -f '{{.DefaultRuntime}} {{.CgroupDriver}}')" '^tested cgroupfs$'
	is "run prints" "$(run --rm "$IMG" echo hello)" hello
	is "stdin" "$(echo through | run --rm -i "$IMG" cat)" through
	is "stderr is apart" "$(run --rm "$IMG" sh -c 'echo no; echo yes >&2' 2>&1 >/dev/null)" yes
	is "an exit code" "$(code run --rm "$IMG" sh -c 'exit 7')" 7
	is "much output comes whole" "$(run --rm "$IMG" seq 100000 | wc -l)" 100000
	is "what is not there: 127" "$(code run --rm "$IMG" nothing-of-that-name)" 127
	like "what is not there: the words" "$(cat "$D/out")" 'exec: "nothing-of-that-name": executable file not found in \$PATH'
	is "no such path: 127" "$(code run --rm "$IMG" /bin/none)" 127
	is "what is no program: 126" "$(code run --rm "$IMG" /etc/not-a-program)" 126
	is "a terminal" "$(script -qec "/usr/bin/docker -H unix://$D/docker.sock run --rm -t --network none $IMG sh -c 'test -t 0 && test -t 2 && test -c /dev/console && echo terminal'" /dev/null | tr -d '\r\0' | grep -x terminal)" terminal
	is "detached" "$(code run -d --name b1 "$IMG" sh -c 'trap "exit 9" TERM; echo begun; while :; do sleep 0.1; done')" 0
	is "it is running" "$(get b1 State.Status)" running
	is "logs" "$(until_ok 5 grep -q begun <(docker logs b1); docker logs b1)" begun
	is "the cgroup's path" "$(sed -n 's/^[0-9]*:pids://p' "/proc/$(get b1 State.Pid)/cgroup")" "/docker/$(get b1 Id)"
	is "exec" "$(docker exec b1 echo inside)" inside
	is "exec: stdin" "$(echo through | docker exec -i b1 cat)" through
	is "exec: an exit code" "$(code docker exec b1 sh -c 'exit 5')" 5
	is "exec: user, directory, environment" "$(docker exec -u 1000:8 -w /etc -e A=b b1 sh -c 'id -u; id -g; pwd; echo $A' | paste -sd' ')" "1000 8 /etc b"
	is "exec: what is not there" "$(code docker exec b1 nothing-of-that-name)" 126
	is "exec: what is no program: 126" "$(code docker exec b1 /etc/not-a-program)" 126
	is "exec: a terminal" "$(script -qec "/usr/bin/docker -H unix://$D/docker.sock exec -t b1 sh -c 'test -t 0 && test -t 1 && echo terminal'" /dev/null | tr -d '\r\0' | grep -x terminal)" terminal
	is "exec: privileged" "$(docker exec --privileged b1 grep CapEff /proc/self/status | cut -f2)" "$(printf '%016x' $((0x$(grep CapBnd /proc/self/status | cut -f2) & 0x3fffffffff)))" # it knows no later ones
	is "exec: detached" "$(docker exec -d b1 sleep 999; until_ok 5 pgrep -f '^sleep 999'; pgrep -fc '^sleep 999')" 1
	like "top" "$(docker top b1)" 'sleep 999'
	is "stats" "$(docker stats --no-stream --format '{{.Name}} {{.PIDs}}' b1 | grep -c '^b1 [3-9]')" 1
	is "pause" "$(code docker pause b1) $(get b1 State.Status)" "0 paused"
	is "unpause" "$(code docker unpause b1) $(get b1 State.Status)" "0 running"
	is "restart" "$(code docker restart -t 5 b1) $(get b1 State.Status)" "0 running"
	is "stop: SIGTERM, and its exit code" "$(code docker stop -t 10 b1) $(get b1 State.ExitCode)" "0 9"
	is "start again" "$(code docker start b1) $(get b1 State.Status)" "0 running"
	is "kill" "$(docker kill b1 >"$D/out"; docker wait b1)" 137
	is "rm" "$(code docker rm b1)" 0
	is "stop of a deaf one" "$(run -d --name b2 "$IMG" sleep 998 >"$D/out"; docker stop -t 1 b2 >"$D/out" 2>&1; get b2 State.ExitCode)" 137
	is "rm --force of a running one" "$(docker start b2 >"$D/out"; code docker rm -f b2)" 0
	is "restarted on failure" "$(run -d --name b6 --restart on-failure:2 "$IMG" false >"$D/out"; until_ok 15 is_field b6 RestartCount 2; get b6 RestartCount; docker rm -f b6 >"$D/out")" 2
	is "a health check" "$(run -d --name h1 --health-cmd 'test -f /tmp/well' --health-retries 1 --health-interval 1s "$IMG" sleep 996 >"$D/out"; docker exec h1 touch /tmp/well; until_ok 15 is_field h1 State.Health.Status healthy; get h1 State.Health.Status)" healthy
	is "a health check that fails" "$(docker exec h1 rm /tmp/well; until_ok 15 is_field h1 State.Health.Status unhealthy; get h1 State.Health.Status)" unhealthy
	docker rm -f h1 >"$D/out"
	for i in 1 2 3 4; do run --rm "$IMG" sh -c "echo $i; exit $i" >"$D/p$i" 2>&1 & p[i]=$!; done
	wait "${p[@]}"
	is "four at once" "$(cat "$D"/p[1-4] | paste -sd,)" 1,2,3,4
}
options() {
	is "--read-only" "$(run --rm --read-only "$IMG" sh -c 'touch /x 2>/dev/null || echo refused')" refused
	is "--user by name" "$(run --rm -u user "$IMG" sh -c 'id -u; id -g' | paste -sd' ')" "1000 1000"
	is "--group-add" "$(run --rm --group-add 8 -u user "$IMG" grep Groups /proc/self/status | grep -c '\<8\>')" 1
	is "--volume, ro" "$(mkdir "$D/vol"; run --rm -v "$D/vol:/mnt:ro" "$IMG" sh -c 'touch /mnt/x 2>/dev/null || echo refused')" refused
	is "a named volume" "$(run --rm -v vol:/data "$IMG" sh -c 'echo kept >/data/f'; run --rm -v vol:/data "$IMG" cat /data/f)" kept
	is "--tmpfs" "$(run --rm --tmpfs /scratch:size=1m "$IMG" sh -c 'grep -c " /scratch tmpfs.*size=1024k" /proc/mounts')" 1
	is "--cap-add, --cap-drop" "$(run --rm --cap-drop all --cap-add SYS_TIME "$IMG" grep CapEff /proc/self/status | cut -f2)" 0000000002000000
	is "--privileged" "$(run --rm --privileged "$IMG" sh -c 'mount -t tmpfs t /tmp && test -c /dev/loop-control && echo done')" 'done'
	is "--security-opt no-new-privileges" "$(run --rm --security-opt no-new-privileges "$IMG" grep NoNewPrivs /proc/self/status | cut -f2)" 1
	is "seccomp as a rule" "$(run --rm "$IMG" grep ^Seccomp: /proc/self/status | cut -f2)" 2
	is "--security-opt seccomp=unconfined" "$(run --rm --security-opt seccomp=unconfined "$IMG" grep ^Seccomp: /proc/self/status | cut -f2)" 0
	is "--sysctl" "$(run --rm --sysctl net.ipv4.ip_unprivileged_port_start=77 "$IMG" cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" 77
	is "--ulimit" "$(run --rm --ulimit nofile=123:456 "$IMG" sh -c 'ulimit -n; ulimit -Hn' | paste -sd' ')" "123 456"
	is "--hostname" "$(run --rm --hostname named "$IMG" hostname)" named
	is "--init" "$(run --rm --init "$IMG" sh -c 'tr "\0" " " </proc/1/cmdline' | grep -c init)" 1
	is "--shm-size" "$(run --rm --shm-size 2m "$IMG" grep -c ' /dev/shm tmpfs.*size=2048k' /proc/mounts)" 1
	is "--device" "$(run --rm --device /dev/loop-control:/dev/x "$IMG" sh -c 'test -c /dev/x && echo there')" there
	is "masked paths" "$(run --rm "$IMG" sh -c 'wc -c </proc/keys; (echo x >/proc/sys/kernel/hostname) 2>&1 | grep -c Read-only' | paste -sd' ')" "0 1"
	is "--pid host" "$(run --rm --pid host "$IMG" readlink /proc/self/ns/pid)" "$(readlink /proc/self/ns/pid)"
	is "--pid host: stopped as a whole" "$(run -d --pid host --name s1 "$IMG" sh -c 'sleep 995 & sleep 995' >"$D/out"; docker rm -f s1 >"$D/out"; until_ok 5 test "$(pgrep -fc '^sleep 995')" = 0; pgrep -fc '^sleep 995')" 0
	is "--pid container:" "$(run -d --name s2 "$IMG" sleep 994 >"$D/out"; run --rm --pid container:s2 "$IMG" sh -c 'tr "\0" " " </proc/1/cmdline')" "sleep 994 "
	is "--network container:" "$(docker run --rm --network container:s2 "$IMG" readlink /proc/self/ns/net)" "$(readlink "/proc/$(get s2 State.Pid)/ns/net")"
	docker rm -f s2 >"$D/out"
	is "--network host" "$(docker run --rm --network host "$IMG" readlink /proc/self/ns/net)" "$(readlink /proc/self/ns/net)"
	is "an OOM end" "$(run --name o1 -m 16m "$IMG" tail /dev/zero 2>"$D/out"; echo $?; get o1 State.OOMKilled; docker rm o1 >"$D/out")" "137
true"
	run -d --name u1 -m 64m --cpus 0.5 --cpu-shares 512 --pids-limit 77 --cpuset-cpus 0 "$IMG" sleep 993 >"$D/out" 2>&1
	is "--memory" "$(of_cgroup u1 memory memory.limit_in_bytes)" 67108864
	is "--cpus" "$(of_cgroup u1 cpu cpu.cfs_quota_us)" 50000
	is "--cpu-shares" "$(of_cgroup u1 cpu cpu.shares)" 512
	is "--pids-limit" "$(of_cgroup u1 pids pids.max)" 77
	is "--cpuset-cpus" "$(of_cgroup u1 cpuset cpuset.cpus)" 0
	is "update" "$(code docker update --memory 96m --memory-swap 200m --cpu-quota 30000 --cpu-period 100000 u1 | head -n 1) $(of_cgroup u1 memory memory.limit_in_bytes)" "1 67108864" # --cpus was given: refused
	is "update: memory, pids" "$(code docker update --memory 96m --memory-swap 200m --pids-limit 88 u1) $(of_cgroup u1 memory memory.limit_in_bytes) $(of_cgroup u1 pids pids.max)" "0 100663296 88"
	is "update: cpu" "$(code docker update --cpus 0.3 --cpu-shares 256 u1) $(of_cgroup u1 cpu cpu.cfs_quota_us) $(of_cgroup u1 cpu cpu.shares)" "0 30000 256"
	docker rm -f u1 >"$D/out"
	is "checkpoint is refused" "$(run -d --name k1 "$IMG" sleep 992 >"$D/out"; code docker checkpoint create k1 x | grep -v '^0'; get k1 State.Status; docker rm -f k1 >"$D/out")" "1
running"
	is "commit, and run what came of it" "$(run --name k2 "$IMG" sh -c 'echo more >/more'; docker commit k2 localhost/more >"$D/out"; run --rm localhost/more cat /more; docker rm k2 >"$D/out")" more
	is "cp" "$(run -d --name k3 "$IMG" sleep 991 >"$D/out"; docker cp "$D/daemon.json" k3:/tmp/x; docker exec k3 cat /tmp/x | cmp - "$D/daemon.json" && echo same; docker rm -f k3 >"$D/out")" same
	is "build" "$(mkdir "$D/ctx"; printf 'FROM localhost/compat:1\nRUN echo built >/built\n' >"$D/ctx/Dockerfile"; DOCKER_BUILDKIT=0 docker build -q --network none -t localhost/built "$D/ctx" >"$D/out" 2>&1; run --rm localhost/built cat /built)" built
}
restart() {
	run -d --name r1 "$IMG" sh -c 'trap "exit 9" TERM; while :; do sleep 0.1; done' >"$D/out"
	kill -KILL "$daemon"
	wait "$daemon"
	daemon
	is "dockerd was killed: still running" "$(get r1 State.Status)" running
	is "exec after that" "$(docker exec r1 echo still)" still
	is "stop after that" "$(code docker stop -t 10 r1) $(get r1 State.ExitCode)" "0 9"
	docker rm r1 >"$D/out"
}
checks() {
	life
	[ -n "${QUICK-}" ] || options
	restart
}
image >"$T/image.log" 2>&1 || { cat "$T/image.log"; exit 1; }
compat dockerd "$(dockerd --version | sed 's/.*version //; s/+.*//')" "$@"
