#!/bin/sh
# oci: kapsel-oci alone, as the callers of runc's command line use it: words, statuses, files, nothing held
# timeout: 240
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }
run() { # ARG...: $out, $err and $code of one call
	set +e
	out=$(oci "$@" 2>"$T/err" </dev/null)
	code=$?
	set -e
	err=$(cat "$T/err")
}
status() { oci state "$1" | jq -r .status; }
cgroup='.linux.cgroupsPath = $cg' # of bundle()

# ---- the caller's own fds are nobody's business
bundle fds 'echo began' "$cgroup | .process.noNewPrivileges = false
	| .linux.seccomp = {\"defaultAction\": \"SCMP_ACT_ALLOW\"}" # so that the check follows the start
is "create and start from a process with fds of its own" "$(exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null 9</dev/null
	oci create --bundle "$T/fds" fds </dev/null && oci start fds; sleep 0.5)" began
oci delete --force fds

# ---- a life: create, start, pause, resume, kill, delete
bundle web 'echo $$ >/pid; trap "exit 5" TERM; while :; do sleep 0.05; done' "$cgroup | .root.readonly = false
	| .annotations = {\"a.b\": \"c\"}"
oci create --bundle "$T/web" --pid-file "$T/pid" web >"$T/web.out" 2>&1 </dev/null
is "create says nothing" "$(cat "$T/web.out")" ""
is "the pid file is a number without a newline" "$(tr -d 0-9 <"$T/pid" | wc -c)" 0
pid=$(cat "$T/pid")
is "and nothing stays beside it" "$(find "$T" -maxdepth 1 -name '*pid*' | wc -l)" 1
is "init is the caller's child" "$(awk '{ print $4 }' "/proc/$pid/stat")" $$
like "and in its cgroup before create returns" "$(cat "/proc/$pid/cgroup")" "$CG/web"
is "state: created" "$(status web)" created
is "state: the whole object" "$(oci state web | jq -c '[.ociVersion, .id, .pid, .bundle, .rootfs, .annotations, .owner]')" \
	"[\"1.3.0\",\"web\",$pid,\"$T/web\",\"$T/web/rootfs\",{\"a.b\":\"c\"},\"\"]"
ok "created is RFC 3339" sh -c "date -d \"\$(kapsel-oci --root '$T/oci' state web | jq -r .created)\""
is "nothing has run" "$(find "$T/web/rootfs" -maxdepth 1 -name pid)" ""
run create --bundle "$T/web" web
like "the same id again" "$code $err" '^1 .*container with id exists: web'
run exec web true
like "no exec before start" "$code $err" '^255 .*container not running'
run pause web
like "no pause before start" "$code $err" '^1 .*container not running'
run start web
is "start says nothing" "$code$out$err" 0
is "state: running" "$(status web)" running
run start web
like "twice is an error" "$code $err" '^1 .*cannot start a container in the running state'
run delete web
like "what runs is not deleted" "$code $err" '^1 .*is not stopped: running'
run pause web
is "pause" "$code$out$err $(status web)" "0 paused"
run exec web true
is "no exec in a frozen one" "$code" 255
run resume web
is "resume" "$code$out$err $(status web)" "0 running"
is "list" "$(oci list -q)" web
is "list as JSON" "$(oci list -f json | jq -c '[.[] | [.id, .pid, .status, .bundle]]')" \
	"[[\"web\",$pid,\"running\",\"$T/web\"]]"
ok "ps as JSON has init" sh -c "kapsel-oci --root '$T/oci' ps --format json web | jq -e 'index($pid) != null'"
is "list: each as state has it" "$(oci list -f json | jq -c '.[0]')" "$(oci state web | jq -c .)"
like "ps: a table" "$(oci ps web)" "^UID +PID .*"
is "ps: init's line, and no other's" "$(oci ps web | awk -v p="$pid" '$2 == p { print "init" } $2 == 1 { print "stranger" }')" init
is "ps with its own words" "$(oci ps web -o pid,comm | awk -v p="$pid" '$1 == p { print $2 }')" sh
run ps web -o comm
like "ps without the column" "$code $err" '^1 .*no column PID'
run kill web NOSUCH
like "no such signal" "$code $err" "^1 .*'NOSUCH' is no signal"
for _ in $(seq 40); do [ ! -s "$T/web/rootfs/pid" ] || break; sleep 0.05; done
for s in 0 18 SIGCONT cont; do
	run kill web $s
	is "a signal is $s" "$code$out$err" 0
done
run kill web
is "kill is TERM" "$code$out$err" 0
set +e
wait "$pid" # it is a child of this shell's, as a caller reaps it
set -e
for _ in $(seq 40); do [ "$(status web)" != stopped ] || break; sleep 0.05; done
is "state: stopped, without pid" "$(oci state web | jq -c '[.status, .pid]')" '["stopped",0]'
run kill web KILL
like "kill on stopped: the words that are waited for" "$code $err" '^1 .*container not running'
run kill --all web 9
is "but --all is harmless" "$code$out$err" 0
run delete web
is "delete" "$code$out$err" 0
is "nothing is left of it" "$(ls -A "$T/oci"; find /sys/fs/cgroup -type d -path "*$CG/web")" ""

# ---- what there is not
for c in state start kill delete pause resume ps exec; do
	run $c nobody
	like "$c of an unknown id" "$code $err" '^(1|255) .*container does not exist'
	is "$c: nothing on stdout" "$out" ""
done
run delete --force nobody
is "delete --force of an unknown id" "$code$out$err" 0
for id in '' . .. a/b ../x '-' 'a b' "$(printf 'a\nb')"; do
	run create --bundle "$T/web" -- "$id"
	like "no id: '$id'" "$code" '^1$'
done
run create --bundle "$T/nowhere" x
like "no bundle" "$code $err" '^1 .*nowhere.*[Nn]o such file'
run create --bundle "$T/web" --bogus x
like "an unknown flag" "$code $err" '^1 .*flag provided but not defined: --bogus'
run create --bundle "$T/web" x --pid-file
like "a flag without its value" "$code $err" '^1 .*flag needs an argument'
run --systemd-cgroup create --bundle "$T/web" x
like "a cgroup path is no scope of systemd's" "$code $err" '^1 .*slice:prefix:name'
for c in checkpoint restore; do
	run $c --help
	like "$c is told not to be there" "$code $err" "^1 .*$c is not supported by kapsel-oci"
done
run create --bundle "$T/web" --console-socket "$T/none" x
is "a console socket without a terminal" "$code" 1
bundle tty true '.process.terminal = true'
run create --bundle "$T/tty" x
like "a terminal without a console socket" "$code $err" '^1 .*console-socket'
is "nothing came of all these" "$(ls -A "$T/oci")" ""

# ---- a program that cannot be run fails create, in the callers' words
wrong() { # TEXT ARGS PATTERN
	bundle wrong true "$cgroup | .process.args = $2"
	printf '#!/bin/sh\n' >"$T/wrong/rootfs/bin/plain"
	chmod 644 "$T/wrong/rootfs/bin/plain"
	run create --bundle "$T/wrong" --pid-file "$T/wrong.pid" wrong
	like "$1" "$code $err" "^1 .*$3"
	is "$1: nothing is left" "$(ls -A "$T/oci"; find /sys/fs/cgroup -type d -path "*$CG/wrong"; ls "$T/wrong.pid" 2>/dev/null)" ""
	rm -rf "$T/wrong"
}
wrong "not in PATH" '["nope"]' 'exec: "nope": executable file not found in \$PATH'
wrong "no such file" '["/nope"]' 'exec: "/nope": .*no such file or directory'
wrong "not executable" '["/bin/plain"]' 'exec: "/bin/plain": .*permission denied'
bundle pidless 'sleep 60' "$cgroup"
run create --bundle "$T/pidless" --pid-file "$T/no/such" pidless
is "a pid file that cannot be written: status" "$code" 1
is "and no container" "$(ls -A "$T/oci"; pgrep -f 'sleep 60' | wc -l)" 0

# ---- the log
run --log "$T/log.json" --log-format json state nobody
run --log="$T/log.json" -log-format=json start nobody
is "a JSON log: one record a failure" "$(jq -s 'length' "$T/log.json")" 2
is "with level, words and a time" "$(jq -sr '.[1] | "\(.level) \(.msg) \(.time | test("^20..-..-..T..:..:.*Z$"))"' "$T/log.json")" \
	"error container does not exist: nobody true"
like "and on stderr as well" "$err" 'container does not exist: nobody'
is "the log can be read by everybody" "$(stat -c %a "$T/log.json")" 644
bundle faulty true '.process.cwd = "x" | .process.user.uid = -1 | .root.path = 3'
run --log "$T/faults.json" --log-format json create --bundle "$T/faulty" x
is "all faults of a file are one record" "$code $(jq -sc 'map(.level)' "$T/faults.json")" '1 ["error"]'
run --log "$T/log.json" --log-format json list
is "success writes none" "$code $(wc -l <"$T/log.json")" "0 2"

# ---- run
bundle once 'echo out; echo err >&2; read -r line; echo "got $line"; exit 3' "$cgroup"
set +e
out=$(echo words | oci run --bundle "$T/once" once 2>"$T/err")
code=$?
set -e
is "run: stdin, stdout and the status are the caller's" "$code $(echo "$out" | tr '\n' ' ')" "3 out got words "
is "run: stderr is its own" "$(cat "$T/err")" err
is "and all is gone" "$(ls -A "$T/oci")" ""
bundle dies 'echo up; sleep 30' "$cgroup"
timeout 20 kapsel-oci --root "$T/oci" run --bundle "$T/dies" dies >"$T/dies.out" 2>&1 </dev/null &
for _ in $(seq 60); do ! grep -q up "$T/dies.out" || break; sleep 0.05; done
oci kill dies 9
set +e
wait $!
is "run: 128 and the number of the signal" $? 137
set -e
bundle relay 'trap "echo term; exit 9" TERM; echo ready; while :; do sleep 0.05; done' "$cgroup"
timeout 20 kapsel-oci --root "$T/oci" run --bundle "$T/relay" relay >"$T/relay.out" 2>&1 </dev/null &
for _ in $(seq 60); do ! grep -q ready "$T/relay.out" || break; sleep 0.05; done
kill -TERM "$(pgrep -f "^kapsel-oci --root $T/oci run")"
set +e
wait $!
is "run passes signals on" "$? $(tr '\n' ' ' <"$T/relay.out")" "9 ready term "
set -e
bundle bg 'sleep 60' "$cgroup"
begin=$(date +%s)
out=$( (oci run --detach --bundle "$T/bg" --pid-file "$T/pid" bg >/dev/null 2>&1 </dev/null; echo back) )
is "run --detach returns at once" "$out $(($(date +%s) - begin < 5))" "back 1"
ok "pid file of a detached run" kill -0 "$(cat "$T/pid")"

# ---- exec
run exec bg sh -c 'echo in; exit 7'
is "exec: output and status" "$code $out$err" "7 in"
run exec bg sh -c 'kill -9 $$'
is "exec: ended by a signal" "$code" 137
run exec -e A=1 -e "B=two words" --cwd /tmp --user 12:34 bg sh -c 'echo "$A,$B,$PWD,$(id -u):$(id -g)"'
is "exec: environment, directory, user" "$code $out" "0 1,two words,/tmp,12:34"
run exec bg ls -d /
is "exec: flags after the id are the program's" "$code $out$err" "0 /"
is "exec: stdin" "$(echo through | oci exec bg cat)" through
run exec bg nope
like "exec: not found" "$code $err" '^255 .*exec: "nope": executable file not found in \$PATH'
run exec bg
is "exec: nothing to run" "$code" 255
printf '{"args": ["/bin/sh", "-c", "echo $X; exit 4"], "cwd": "/", "env": ["X=from a file"]}' >"$T/process.json"
run exec --process "$T/process.json" bg
is "exec --process" "$code $out$err" "4 from a file"
printf '{"args": ["/bin/sleep", "61"], "cwd": "/"}' >"$T/process.json"
oci exec --detach --process "$T/process.json" --pid-file "$T/exec.pid" bg >"$T/out" 2>&1 </dev/null
exec_pid=$(cat "$T/exec.pid")
is "exec --detach: says nothing, and is the caller's child" "$(cat "$T/out")$(awk '{ print $4 }' "/proc/$exec_pid/stat")" $$
is "exec: in the container's cgroup" "$(cat "/proc/$exec_pid/cgroup")" "$(cat "/proc/$(cat "$T/pid")/cgroup")"
is "exec: is seen by ps" "$(oci ps -f json bg | jq "index($exec_pid) != null")" true
# Who started it reaps it: else its pid namespace cannot end.
kill -9 "$exec_pid"
set +e
wait "$exec_pid"
sleep 0.1
set -e
run pause bg
run delete --force bg
is "delete --force ends everything, frozen as it may be" "$code$out$err $(pgrep -c '^sleep$' || :)" "0 0"

# ---- nothing of ours keeps the caller's pipes
bundle tty 'sleep 1000' "$cgroup | .process.terminal = true"
python3 -c 'import os, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(1)
got = s.accept()[0].recvmsg(9, 64) # held, or the terminal hangs up
while not os.path.exists(sys.argv[1] + ".end"):
	time.sleep(0.1)' "$T/console" >/dev/null 2>&1 </dev/null &
for _ in $(seq 100); do [ ! -S "$T/console" ] || break; sleep 0.1; done
sleep 0.1
is "create with a terminal" "$(cd "$T/tty" && timeout 20 sh -c "
	kapsel-oci --root '$T/oci' create --console-socket '$T/console' tty 2>&1 </dev/null | cat; echo end")" end
is "in the bundle that we stand in" "$(oci state tty | jq -r .bundle)" "$T/tty"
is "start" "$(timeout 20 sh -c "kapsel-oci --root '$T/oci' start tty 2>&1 | cat; echo end")" end
is "kill" "$(timeout 20 sh -c "kapsel-oci --root '$T/oci' kill tty 9 2>&1 | cat; echo end")" end
is "delete" "$(timeout 20 sh -c "kapsel-oci --root '$T/oci' delete --force tty 2>&1 | cat; echo end")" end
touch "$T/console.end"

# ---- a cgroup that somebody has frozen
frozen=
for d in /sys/fs/cgroup/freezer /sys/fs/cgroup; do
	[ -z "$frozen" ] && mkdir -p "$d/$CG/cold" || continue
	if [ -e "$d/$CG/cold/freezer.state" ]; then frozen=$d/$CG/cold/freezer.state; echo FROZEN >"$frozen"
	elif [ -e "$d/$CG/cold/cgroup.freeze" ]; then frozen=$d/$CG/cold/cgroup.freeze; echo 1 >"$frozen"
	fi
done
bundle cold true "$cgroup"
run create --bundle "$T/cold" cold
like "is not created in" "$code $err" '^1 .*has processes in it or is frozen'
rmdir "${frozen%/*}" "${frozen%/cold/*}" 2>/dev/null || :

# ---- what asks nothing of the machine
like "version" "$(oci --version | tr '\n' ' ')" '^kapsel-oci version [0-9.]+ commit: .* spec: 1\.3\.0 $'
is "features" "$(oci features | jq -r '[.ociVersionMin, .ociVersionMax, .linux.mountExtensions.idmap.enabled != null,
	(.mountOptions | index("rro") != null)] | join(" ")')" "1.0.0 1.3.0 true true"
is "features: what is not there is not claimed" "$(oci features 2>&1 | jq -r '.annotations // {} | keys[]' | grep -c checkpoint)" 0
if [ -d "${KAPSEL_OCI_SCHEMA-}/schema" ] && python3 -c 'import jsonschema' 2>/dev/null; then
	oci features >"$T/features.json"
	ok "features: as the schema of 1.3.0 has it" python3 -W ignore -c '
import json, jsonschema, pathlib, sys
schema = pathlib.Path(sys.argv[1], "schema", "features-schema.json")
jsonschema.validate(json.load(open(sys.argv[2])), json.load(open(schema)),
    resolver=jsonschema.RefResolver(schema.as_uri(), json.load(open(schema))))' "$KAPSEL_OCI_SCHEMA" "$T/features.json"
else
	echo "skip - features: no schema, or no python3-jsonschema"
fi
ok "help" oci --help
ok "a command's help" oci create --help
