#!/bin/bash
# errors: every code of the table is raised once, for real, and says what to do
# timeout: 180
. tests/lib.sh
chmod 711 "$T"
: >"$T/raised"
shown() { # CODE TEXT: what a person saw has the code, a sentence before it, the remedy after it, and no bare errno
	local text
	text=$(tr '\n' ' ' <<<"$2" | tr -s ' ')
	remedy=$(awk -F'\t' -v c="$1" '$1 == c { print $5 }' "$T/table")
	echo "$1" >>"$T/raised"
	case $text in
	*"$1] "*"$remedy"*) echo "ok - $(grep -F "[$1]" <<<"$2" | head -n 1 | sed "s|$T|T|g")" ;;
	*"--help\` explains it."*) [ "$1" = KAPSEL-USAGE ] && echo "ok - $2" && return
		printf 'NOT OK - %s\n  got: %s\n' "$1" "$text"; failed=1 ;;
	*) printf 'NOT OK - %s\n  got: %s\n' "$1" "$text"; failed=1 ;;
	esac
	if grep -qE "errno|error [0-9]|: -?[0-9]+ \[|Unknown error|Success \[" <<<"$2"; then
		printf 'NOT OK - %s shows a bare number: %s\n' "$1" "$2"
		failed=1
	fi
}
raise() { # CODE COMMAND...
	local code=$1 rc=0 text
	shift
	text=$("$@" 2>&1 </dev/null) || rc=$?
	[ $rc != 0 ] || { echo "NOT OK - $code: $* succeeded"; failed=1; }
	shown "$code" "$text"
}
text() { # CODE CONFIG: as it is written
	mkdir -p "$T/text"
	printf %b "$2" >"$T/text/config.json"
	raise "$1" kapsel check "$T/text"
}
judged() { # CODE JQ-FILTER [FLAG...]: refused before anything is done
	local code=$1
	bundle judged true "$2"
	shift 2
	raise "$code" kapsel check --strict "$@" "$T/judged"
}
refused() { # CODE JQ-FILTER: refused by the kernel, or by what is found on the way
	bundle refused true "$2"
	raise "$1" kapsel run --id refused --rm "$T/refused"
	rm -rf "$T/refused"
}
kapsel-oci doc errors >"$T/table"

# a configuration
text KAPSEL-JSON-SYNTAX '{"ociVersion": }'
text KAPSEL-JSON-LIMIT "{\"a\": $(printf '[%.0s' $(seq 70))"
text KAPSEL-JSON-DUPLICATE '{"ociVersion": "1.0.0", "ociVersion": "1.0.1"}'
text KAPSEL-JSON-UTF8 '{"ociVersion": "\xff"}'
judged KAPSEL-CONFIG-TYPE '.root.readonly = "yes"'
judged KAPSEL-CONFIG-RANGE '.process.oomScoreAdj = 5000'
judged KAPSEL-CONFIG-VALUE '.process.cwd = "tmp"'
judged KAPSEL-CONFIG-REQUIRED 'del(.process.cwd)'
judged KAPSEL-CONFIG-CONFLICT '.linux.timeOffsets = {"boottime": {"secs": 1}}'
judged KAPSEL-CONFIG-DUPLICATE '.linux.namespaces += [{"type": "mount"}]'
judged KAPSEL-CONFIG-UNSAFE '.linux.cgroupsPath = "/a/../../b"'
judged KAPSEL-CONFIG-UNKNOWN '.hostnam = "x"'
judged KAPSEL-CONFIG-VERSION '.ociVersion = "2.0.0"'
judged KAPSEL-UNSUPPORTED '.annotations = {"io.kapsel.restart": "always"}'
bundle ambient true '.process.capabilities.ambient = ["CAP_KILL"] | .process.capabilities.inheritable = []'
shown KAPSEL-CAPABILITY "$(kapsel check "$T/ambient" 2>&1)" # legal, and of no use: a warning

# a node that is not there: its facts
kapsel info --facts >"$T/facts"
other() { jq "$1" "$T/facts" >"$T/facts.other"; }
other '.time_namespaces = false'
judged KAPSEL-NODE-KERNEL '.linux.namespaces += [{"type": "time"}]' --facts "$T/facts.other"
other '.root = false | .uid = 1000'
judged KAPSEL-NODE-PRIVILEGE '.' --facts "$T/facts.other"
other '.may_raise_rlimits = false'
judged KAPSEL-NODE-LIMIT '.process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 9000000000}]' --facts "$T/facts.other"
other '.cgroupLayout = "v2"'
judged KAPSEL-CGROUP-NO-CONTROLLER '.linux.resources.memory = {"disableOOMKiller": true}' --facts "$T/facts.other"

# bundles and paths
raise KAPSEL-BUNDLE-MISSING kapsel run "$T/none"
refused KAPSEL-ROOTFS-MISSING '.root.path = "none"'
bundle here 'sleep 60'
raise KAPSEL-PATH-OPEN kapsel run --env-file "$T/none" "$T/here"
refused KAPSEL-PATH-TYPE '.mounts += [{"destination": "/etc/passwd/below", "type": "tmpfs", "source": "tmpfs"}]'
refused KAPSEL-PATH-PROCFS '.mounts += [{"destination": "/proc/bus", "type": "tmpfs", "source": "tmpfs"}]'
raise KAPSEL-PATH-WRITE kapsel run --rm --result /dev/full "$T/here" -- true

# doing
refused KAPSEL-NAMESPACE '(.linux.namespaces[] | select(.type == "network")).path = "/proc/self/ns/mnt"'
refused KAPSEL-IDMAP '.linux.namespaces += [{"type": "user"}] | .linux.gidMappings = [{"containerID": 0, "hostID": 0, "size": 1}]
	| .linux.uidMappings = [{"containerID": 1, "hostID": 0, "size": 1}]'
refused KAPSEL-MOUNT '.mounts += [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=banana"]}]'
refused KAPSEL-MOUNT-SOURCE-MISSING '.mounts += [{"destination": "/tmp", "source": "/none", "options": ["bind"]}]'
refused KAPSEL-MOUNT-IDMAP '.mounts += [{"destination": "/tmp", "source": "/sys/kernel", "options": ["bind", "idmap"],
	"uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}]'
refused KAPSEL-DEVICE '.linux.devices = [{"path": "/sys/kernel/extra", "type": "c", "major": 1, "minor": 5}]
	| (.mounts[] | select(.destination == "/sys")).options = ["nosuid"]'
refused KAPSEL-CGROUP '.linux.resources.cpu = {"period": 5}' # the kernel's least is 1000
bundle busy 'sleep 60'
kapsel run -d --id busy "$T/busy" >"$T/out"
refused KAPSEL-CGROUP-BUSY ".linux.cgroupsPath = \"/$CG/busy\""
refused KAPSEL-SECCOMP '.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["write"],
	"action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_GT"}, {"index": 0, "value": 9, "op": "SCMP_CMP_LT"}]}]}'
refused KAPSEL-PROCESS-SETUP '.linux.namespaces += [{"type": "user"}] | .process.user = {"uid": 5, "gid": 5}
	| .linux.uidMappings = [{"containerID": 0, "hostID": 0, "size": 1}] | .linux.gidMappings = .linux.uidMappings
	| .mounts |= map(select(.type != "devpts"))'
bundle terminal true '.process.terminal = true'
raise KAPSEL-TERMINAL kapsel-oci --root "$T/oci" create --bundle "$T/terminal" x
refused KAPSEL-HOOK '.hooks.createRuntime = [{"path": "/bin/false"}]'
refused KAPSEL-HOOK-TIMEOUT '.hooks.createRuntime = [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]'
refused KAPSEL-SYSCTL '.linux.sysctl = {"net.ipv4.nosuch": "1"}'
refused KAPSEL-EXEC-NOT-FOUND '.process.args = ["nosuch"]'
refused KAPSEL-EXEC-DENIED '.process.args = ["/etc/passwd"]'
printf '\177ELFnonsense' >"$T/rootfs/bin/nonsense"
chmod +x "$T/rootfs/bin/nonsense"
refused KAPSEL-EXEC-FAILED '.process.args = ["/bin/nonsense"]'
hook() { # SCRIPT: run with the state on stdin
	printf '#!/bin/sh\nstate=$(cat)\n%s\n' "$1" >"$T/hook"
	chmod +x "$T/hook"
}
at_hook=".hooks.createRuntime = [{\"path\": \"$T/hook\"}]"
hook "for f in /sys/fs/cgroup/pids/$CG/refused/pids.max /sys/fs/cgroup/$CG/refused/pids.max; do
	[ ! -e \$f ] || echo 77 >\$f
done"
refused KAPSEL-SELF-CHECK "$at_hook | .linux.resources.pids = {\"limit\": 55}"
hook 'kill -9 "$(echo "$state" | jq .pid)"; sleep 0.5' # time for the monitor to take the cgroup away
refused KAPSEL-INIT-DIED "$at_hook"
hook 'kill -9 $PPID'
refused KAPSEL-INTERNAL "$at_hook"

# containers
raise KAPSEL-NOT-FOUND kapsel state nosuch
raise KAPSEL-ALREADY-EXISTS kapsel run --id busy "$T/here"
raise KAPSEL-WRONG-STATE kapsel delete busy
raise KAPSEL-ID kapsel run --id a/b "$T/here"
kapsel run --id over "$T/here" -- true
raise KAPSEL-NOT-RUNNING kapsel ps over
hook 'sleep 3'
bundle slow true "$at_hook"
kapsel run --id slow --rm "$T/slow" &
slow=$!
for _ in $(seq 100); do [ ! -e "$T/run/c/slow" ] || break; sleep 0.05; done
raise KAPSEL-BUSY kapsel run --id slow "$T/here"
wait $slow
kapsel run --id orphan --log-driver none "$T/here" 2>"$T/err" &
orphan=$!
for _ in $(seq 100); do [ "$(kapsel state -q orphan 2>/dev/null)" != running ] || break; sleep 0.05; done
kill -9 "$(awk '/^PPid/ { print $2 }' "/proc/$(kapsel state orphan | jq .pid)/status")"
wait $orphan && { echo "NOT OK - a container without a monitor ended well"; failed=1; }
shown KAPSEL-MONITOR "$(cat "$T/err")"

# between programs
bundle scope true '.linux.cgroupsPath = "system.slice:t:t"'
[ -d /run/systemd/system ] && echo KAPSEL-SYSTEMD >>"$T/raised" || # scope.sh has it there
	raise KAPSEL-SYSTEMD kapsel-oci --root "$T/oci" --systemd-cgroup run -b "$T/scope" scope
raise KAPSEL-USAGE kapsel strat
raise KAPSEL-TIMEOUT kapsel --timeout 300ms run --rm "$T/here"
raise KAPSEL-DAEMON-MISSING kapsel -H "$T/none" list
cp "$BIN/kapsel" "$T/kapsel"
raise KAPSEL-DAEMON-DENIED setpriv --reuid 12345 --regid 12345 --clear-groups "$T/kapsel" list
chmod 666 "$T/sock"
raise KAPSEL-DENIED setpriv --reuid 12345 --regid 12345 --clear-groups "$T/kapsel" list
big=$(head -c 100000 /dev/zero | tr '\0' x)
raise KAPSEL-LIMIT kapsel run -e A="$big" -e B="$big" -e C="$big" -e D="$big" -e E="$big" -e F="$big" -e G="$big" \
	-e H="$big" -e I="$big" -e J="$big" -e K="$big" "$T/here"
python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
c = s.accept()[0]
c.recv(65536)
c.sendall(b"[]\0")' "$T/odd" &
for _ in $(seq 100); do [ ! -S "$T/odd" ] || break; sleep 0.05; done
raise KAPSEL-WIRE kapsel -H "$T/odd" list
cp "$T/run/c/busy/oci.json" "$T/oci.json"
echo '[]' >"$T/run/c/busy/oci.json"
raise KAPSEL-STORE kapsel ps busy
cp "$T/oci.json" "$T/run/c/busy/oci.json"

cut -f1 "$T/table" | sort >"$T/all"
is "no code is left that was not raised" "$(sort -u "$T/raised" | diff "$T/all" -)" ""
is "each has a remedy" "$(awk -F'\t' '$4 == "" || $5 == ""' "$T/table")" ""
