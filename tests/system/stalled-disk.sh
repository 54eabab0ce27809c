#!/bin/sh
# stalled-disk: with the log directory, then the whole state directory, on a frozen file system, nothing stops
# timeout: 150
# What writes to a frozen file system cannot be killed until the thaw: so a trap thaws it, and so does a guard.
LIB_NO_DAEMON=1
. tests/lib.sh
command -v fsfreeze >/dev/null || skip "no fsfreeze"
where=$T/none
free_disk() { # what wrote to it may be on its way out
	for _ in $(seq 50); do ! mountpoint -q "$where" || umount "$where" 2>/dev/null || sleep 0.1; done
}
thaw() { rc=$?; fsfreeze -u "$where" 2>/dev/null || :; return $rc; }
bye() {
	rc=$?
	thaw
	[ -z "${guard-}" ] || kill "$guard" 2>/dev/null
	[ -z "${daemon-}" ] || timeout 20 kapsel delete --force --all >/dev/null 2>&1
	daemon_kill TERM
	free_disk
	(exit $rc)
	finish
}
trap bye EXIT
truncate -s 64M "$T/image"
mkfs.ext4 -q -O ^has_journal "$T/image"
mount -o loop "$T/image" "$T" 2>/dev/null && umount "$T" || skip "no loop device"
quick() { # TEXT COMMAND...: it comes back while the disk stands still; $out is its status and what it said
	text=$1 begin=$(date +%s%N)
	shift
	if out=$(timeout 20 "$@" 2>"$T/e"); then rc=0; else rc=$?; fi
	ms=$((($(date +%s%N) - begin) / 1000000))
	if [ $ms -gt 15000 ] || [ $rc = 124 ]; then echo "NOT OK - $text: took $ms ms"; failed=1; fi
	out=$(echo "$rc $out $(cat "$T/e")" | tr -s '\n ' ' ' | sed 's/ $//')
}
logged() { # ID: bytes of output in its log files, bytes said to be dropped, gaps (which end a line that had no end)
	cat "$T/state/logs/$1"/*.log | awk '
		$3 == "F:kapsel" { dropped += $4; gaps++; next }
		{ n += length($0) - length($1 $2 $3) - 3 + ($3 == "F") }
		END { printf "%.0f %.0f %d\n", n, dropped, gaps }'
}
bundle quiet 'trap "exit 7" TERM; echo up; while :; do sleep 60 & wait $!; done'
bundle ends 'while [ ! -e /dev/shm/go ]; do sleep 0.05; done; seq 1 100000; exit 5'
bundle stays 'while [ ! -e /dev/shm/go ]; do sleep 0.05; done; seq 1 100000; touch /dev/shm/written
	while [ ! -e /dev/shm/end ]; do sleep 0.05; done; echo the end'
bundle filtered 'echo filtered; exit 3' '.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
	"syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}]}'
seq 1 100000 >"$T/all"
all=$(wc -c <"$T/all")

for what in logs state; do
	[ $what = logs ] && where=$T/state/logs || where=$T/state
	mkdir -p "$where"
	mount -o loop "$T/image" "$where"
	daemon_start
	for id in quiet ends stays; do kapsel run -d --id $id "$T/$id" >/dev/null; done
	fsfreeze -f "$where"
	(trap '' TERM INT; sleep 60; fsfreeze -u "$where") 2>/dev/null &
	guard=$!
	kapsel exec ends touch /dev/shm/go
	kapsel exec stays touch /dev/shm/go
	quick "$what: a container that writes much ends by itself" kapsel wait ends
	is "$what: its status is true" "$out" "5 5"
	quick "$what: its certificate" kapsel inspect --json ends
	echo "${out#0 }" >"$T/ends.json"
	quick "$what: one that runs goes on" kapsel exec stays sh -c 'while [ ! -e /dev/shm/written ]; do sleep 0.05; done; echo on'
	is "$what: one that runs goes on" "$out" "0 on"
	quick "$what: list" kapsel list -q
	is "$what: list" "$out" "0 ends quiet stays"
	quick "$what: kill" kapsel kill -s TERM quiet
	quick "$what: wait" kapsel wait quiet
	is "$what: reaped, with its own status" "$out" "7 7"
	quick "$what: the record" kapsel inspect --field exit.code quiet
	is "$what: the record" "$out" "0 7"
	quick "$what: without a log containers start and end" kapsel run --rm --log-driver none "$T/filtered"
	is "$what: without a log containers start and end" "$out" "3 filtered"
	if [ $what = state ]; then
		quick "$what: with one they are refused, and why" kapsel run --id late "$T/quiet"
		like "$what: with one they are refused, and why" "$out" "^125 .*log directory.*KAPSEL-TIMEOUT"
	fi
	quick "$what: logs can be read" kapsel logs --tail 1 quiet
	quick "$what: deleted" kapsel delete quiet
	is "$what: deleted" "$(kapsel list -q | tr '\n' ' ')" "ends stays "
	quick "$what: events" kapsel events --no-follow
	fsfreeze -u "$where"
	kill "$guard" 2>/dev/null || :
	kapsel exec stays touch /dev/shm/end
	is "$what: after the thaw" "$(timeout 20 kapsel wait stays)" 0
	like "$what: what comes after is in the log" "$(kapsel logs --tail 1 stays)" "^the end"
	is "$what: what is not in the log is counted in it, to the byte" \
		"$(logged stays | awk -v all=$((all + 8)) '{ over = $1 + $2 - all; print ($2 > 0 && over >= 0 && over <= $3) ? "ok" : $0 " of " all }')" ok
	dropped=$(jq '[.. | objects | .logDropped? // empty][0]' "$T/ends.json")
	is "$what: as is that of one that ended: in the log or counted" \
		"$(logged ends | awk -v d="$dropped" -v all="$all" '{ print ($1 + d >= all && d > 0 && d <= all) ? "ok" : $0 " of " all ", " d }')" ok
	is "$what: starts again" "$(kapsel run --rm "$T/filtered" -- /bin/echo again)" again
	kapsel delete --force --all >/dev/null
	daemon_kill TERM
	is "$what: the journal has all that happened meanwhile" \
		"$(for id in quiet ends stays; do grep -aoh "\"type\":\"exited\",\"id\":\"$id\"" "$T"/state/journal/*; done | sort | uniq -c | awk '{ print $1 }' | tr '\n' ' ')" \
		"1 1 1 "
	free_disk
	rm -rf "$T/state" "$T/run"
done
