#!/bin/sh
# api: the rules of the contract on the socket, one after the other, by a client of the standard library
# timeout: 150
. tests/lib.sh
bundle b 'trap "exit 7" TERM; echo up; while :; do sleep 60 & wait $!; done'
bundle other 'sleep 1000'
bundle wide 'true' ".annotations = {\"wide\": \"$(head -c 12000 /dev/zero | tr '\0' x)\"}"
bundle short 'echo out; echo err >&2; exit 5'
bundle faulty 'true' '.process.cwd = "relative" | .root.readonly = "yes" | .process.args = [] | .hostname = 5 | .ociVersion = "9.9.9"'
config ', "roles": {"operate": "root,uid:4712", "observe": "root,any"}, "limits": {"containers": 12,
	"messageBytes": 65536, "callsPerConnection": 4, "halfMessageMs": 1500, "connectionsPerUid": 40, "connections": 60,
	"unsentBytes": 262144}'
daemon_kill TERM
daemon_start
chmod 755 "$T"
chmod 666 "$T/sock"
timeout -k 2 120 python3 tests/system/api.py "$T" "$CG" "$daemon" "${CONNECTIONS:-2000}" || failed=1
daemon=$(cat "$T/pid" 2>/dev/null || echo "$daemon")
