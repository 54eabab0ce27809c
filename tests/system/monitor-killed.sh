#!/bin/sh
# monitor-killed: a container whose monitor is killed ends, and its certificate says so
. tests/lib.sh
bundle b 'sleep 99 & sleep 99'
check() { # TEXT ID
	set +e
	timeout 10 kapsel wait -q "$2" >/dev/null 2>&1
	rc=$?
	set -e
	is "$1: it has ended" "$(kapsel state -q "$2")" stopped
	is "$1: its processes too" "$(ps -e -o stat=,args= | grep -v ^Z | grep -c '[s]leep 99')" 0
	like "$1: the certificate says so (status $rc)" "$(kapsel inspect --json "$2" | jq -c '[.. | objects | select(has("reason")) | .reason]')" "monitor"
	ok "$1: it can be deleted" kapsel delete "$2"
	is "$1: no cgroup" "$(find /sys/fs/cgroup -type d -path "*$CG/$2*" | head -n 1)" ""
}
monitor_of() { ps -o ppid= -p "$(kapsel inspect --field pid "$1")" | tr -d ' '; }
kapsel run -d --id one "$T/b" >/dev/null
m=$(monitor_of one)
like "the monitor is init's parent" "$(tr '\0' ' ' <"/proc/$m/cmdline")" "kapsel-monitor"
kill -KILL "$m"
check "killed before kapseld's eyes" one
kapsel run -d --id two "$T/b" >/dev/null
m=$(monitor_of two)
daemon_kill KILL
kill -KILL "$m"
sleep 0.3
daemon_start
check "killed while kapseld was away" two
