#!/bin/sh
# reload: SIGHUP with a broken configuration keeps the old one and says why; with a good one it counts
. tests/lib.sh
bundle b 'sleep 60'
hup() { kill -HUP "$daemon"; sleep 0.5; }
config ', "limits": {"containers": 2}'
hup
kapsel run -d --id a "$T/b" >/dev/null
kapsel run -d --id b "$T/b" >/dev/null 2>&1
refused() { set +e; kapsel run -d --id c "$T/b" >"$T/o" 2>&1; rc=$?; set -e; echo "$rc $(grep -o 'KAPSEL-[A-Z-]*' "$T/o" | head -n 1)"; }
is "a new limit counts" "$(refused)" "125 KAPSEL-LIMIT"
for broken in '{' '{"limits": {"containers": -5}}' '{"limts": {}}' '{"cgroupParent": "../up"}'; do
	before=$(wc -l <"$T/log")
	echo "$broken" >"$T/kapseld.json"
	hup
	like "broken: $broken" "$(tail -n +$((before + 1)) "$T/log" | tr '\n' ' ')" "KAPSEL-|error|warning"
	is "the old limit stays" "$(refused)" "125 KAPSEL-LIMIT"
done
rm "$T/kapseld.json"
hup
is "kapseld answers without the file" "$(kapsel state -q a)" running
config ', "limits": {"containers": 3}'
hup
is "a good one heals" "$(kapsel run -d --id c "$T/b")" c
is "none was touched" "$(kapsel list -q | tr '\n' ' ')" "a b c "
