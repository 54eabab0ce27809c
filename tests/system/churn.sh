#!/bin/sh
# churn: 500 containers by eight clients at a time; every exit code is right, nothing is left, kapseld stays flat
# timeout: 180
. tests/lib.sh
count=${COUNT:-500} clients=${CLIENTS:-8}
bundle b 'trap "exit 7" TERM; echo up; while :; do sleep 60 & wait $!; done' 'del(.linux.cgroupsPath)'
mkdir "$T/bad"

client() { # NUMBER: its share of the containers, one after the other
	i=$1
	while [ "$i" -lt "$count" ]; do
		id=c$i
		see() { # WHAT WANTED STATUS
			[ "$2" = "$3" ] || echo "$id: $1: got $2, wanted $3" >>"$T/bad/$id"
		}
		if got=$(kapsel run -d --id $id "$T/b" 2>>"$T/bad/err"); then rc=0; else rc=$?; fi
		see "run" "$rc $got" "0 $id"
		if got=$(kapsel list -q 2>>"$T/bad/err" | grep -cx $id); then rc=0; else rc=$?; fi
		see "list" "$rc $got" "0 1"
		code=$((i % 120 + 3))
		# A signal that is not caught yet is nothing to a process 1: SIGTERM is bit 14 of SigCgt.
		if got=$(kapsel exec $id sh -c "until grep -q 'SigCgt:.*[4-7c-f]...\$' /proc/1/status; do :; done
			echo in; exit $code" 2>>"$T/bad/err"); then rc=0; else rc=$?; fi
		see "exec" "$rc $got" "$code in"
		if [ $((i % 2)) = 0 ]; then signal=KILL wanted=137; else signal=TERM wanted=7; fi
		if kapsel kill -s $signal $id 2>>"$T/bad/err" >/dev/null; then rc=0; else rc=$?; fi
		see "kill" "$rc" 0
		if kapsel wait -q $id 2>>"$T/bad/err" >/dev/null; then rc=0; else rc=$?; fi
		see "exit code" "$rc" "$wanted"
		if kapsel delete $id 2>>"$T/bad/err" >/dev/null; then rc=0; else rc=$?; fi
		see "delete" "$rc" 0
		echo >>"$T/bad.done.$1"
		i=$((i + clients))
	done
}
all() {
	n=0 pids=''
	while [ $n -lt "$clients" ]; do
		client $n &
		pids="$pids $!"
		n=$((n + 1))
	done
	for p in $pids; do wait "$p" || :; done
}
fds() { find "/proc/$daemon/fd" -mindepth 1 | wc -l; }
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status"; }

# The first lot brings the pool, the caches and the allocator to where they stay.
warm=$count
count=$((warm / 5)) && all
sleep 1
fds=$(fds) rss=$(rss) mounts=$(wc -l </proc/self/mountinfo) processes=$(ps -e | wc -l)
count=$warm
rm -f "$T"/bad.done.*
begin=$(date +%s.%N)
all
echo "# $count containers by $clients clients in $(awk "BEGIN { print $(date +%s.%N) - $begin }") s"
sleep 1
is "all were gone through" "$(cat "$T"/bad.done.* | wc -l)" "$count"
is "every exit code was right" "$(cat "$T"/bad/c* 2>/dev/null | head -n 10)" ""
is "no call complained" "$(sort "$T/bad/err" | uniq -c | head -n 5)" ""
is "no container is left" "$(kapsel list -q)" ""
is "no run directory is left" "$(ls "$T/run/c")" ""
is "no log is left" "$(ls "$T/state/logs" 2>/dev/null)" ""
is "no cgroup of a container is left" "$(find /sys/fs/cgroup -type d -path "*$CG/*" -name 'c[0-9]*' | head -n 3)" ""
is "mounts are as before" "$(wc -l </proc/self/mountinfo)" "$mounts"
echo "# kapseld: fds $fds -> $(fds), RSS $rss -> $(rss) KiB; processes $processes -> $(ps -e | wc -l)"
ok "kapseld's descriptors are flat" [ "$(fds)" -le $((fds + 2)) ]
ok "kapseld's memory is flat" [ "$(rss)" -le $((rss + 512)) ]
ok "processes are flat" [ "$(ps -e | wc -l)" -le $((processes + 2)) ]
