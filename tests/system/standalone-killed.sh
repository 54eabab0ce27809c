#!/bin/sh
# standalone-killed: SIGKILL of `kapsel --standalone run` leaves nothing after two seconds
LIB_NO_DAEMON=1
. tests/lib.sh
unset KAPSEL_HOST
bundle b 'sleep 88 & sleep 88'
for wait in 0.02 0.2 1; do
	kapsel --standalone run "$T/b" >/dev/null 2>&1 &
	p=$!
	sleep $wait
	kill -KILL $p
	wait $p 2>/dev/null || :
	sleep 2
	is "killed after $wait s: no process" "$(ps -e -o stat=,args= | grep -v '^Z' | grep -E '[s]leep 88|[k]apseld|[k]apsel-monitor' || :)" ""
	is "killed after $wait s: no directory" "$(find /run /tmp -maxdepth 1 -name 'kapsel-????????????????' 2>/dev/null)" ""
	is "killed after $wait s: no cgroup" "$(find /sys/fs/cgroup -type d -path "*$CG/*" | head -n 1)" ""
done
