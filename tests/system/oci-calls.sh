#!/bin/sh
# oci: kapsel-oci's flags in all their forms, sockets, terminals, fds, cgroups, and calls that meet
# timeout: 240
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 30 kapsel-oci --root "$T/oci" "$@"; }
run() { # ARG...: $out, $err and $code of one call
	set +e
	out=$(oci "$@" 2>"$T/err" </dev/null)
	code=$?
	set -e
	err=$(cat "$T/err")
}
status() { oci state "$1" | jq -r .status; }
until_ok() { for _ in $(seq 100); do if "$@" >/dev/null 2>&1; then return 0; fi; sleep 0.1; done; return 1; }
is_status() { [ "$(status "$1")" = "$2" ]; }
calls() { timeout 40 python3 tests/system/oci-calls.py "$@"; }
K="kapsel-oci --root $T/oci"
cgroup='.linux.cgroupsPath = $cg'

bundle bg 'while :; do sleep 0.1; done' "$cgroup"
oci run --detach --bundle "$T/bg" --pid-file "$T/bg.pid" bg >/dev/null 2>&1 </dev/null

# ---- global flags, in every form
for g in "--root=$T/oci" "-root $T/oci" "-root=$T/oci --log-level debug -debug" "--root $T/oci --rootless=auto --criu x" \
	"--root $T/oci --cgroup-manager cgroupfs" "--root $T/oci --log-format=text --log /dev/null"; do
	# shellcheck disable=SC2086 # words
	like "$g" "$(timeout 20 kapsel-oci $g list -q 2>&1)" '^bg$'
done
run --cgroup-manager what list
like "no such manager" "$code $err" '^1 .*cgroup-manager'
is "relative paths: from where we are" "$(cd "$T" && timeout 20 kapsel-oci --root oci --log log state bg | jq -r .status)" running
mkdir "$T/empty"
for p in "$T/empty/" "$T/empty/." ./empty empty/ .//empty; do
	like "a bundle named $p" "$(cd "$T" && oci create --bundle "$p" p 2>&1)" " $T/empty/config.json: "
done
# --root's default: an empty XDG_RUNTIME_DIR is none
is "an empty XDG_RUNTIME_DIR" "$(XDG_RUNTIME_DIR='' timeout 20 kapsel-oci list -q)$(ls -A /run/kapsel-oci 2>/dev/null)" ""
timeout 20 env XDG_RUNTIME_DIR= kapsel-oci run --detach --bundle "$T/bg" dup >/dev/null 2>"$T/err" </dev/null || :
like "a cgroup with processes in it is refused" "$(cat "$T/err")" 'has processes in it or is frozen'
is "and nothing is left of that" "$(ls -A /run/kapsel-oci)" ""

# ---- exec's flags
ex() { run exec "$@"; }
ex -g 11 --additional-gids=12 bg id -G
is "additional groups" "$code $out" "0 0 11 12"
ex bg grep CapEff /proc/self/status
before=$out
ex -c CAP_SYS_NICE --cap net_raw bg grep CapEff /proc/self/status
is "capabilities" "$code $((0x${out##*	}))" "0 $((0x${before##*	} | 1 << 23 | 1 << 13))"
ex --user 1000 --cap CAP_SYS_NICE bg grep CapEff /proc/self/status
is "for who is not root, too" "$code $((0x${out##*	} >> 23 & 1))" "0 1"
ex --cap CAP_NOTHING bg true
like "no such capability" "$code $err" "^255 .*there is no capability 'CAP_NOTHING'"
ex --no-new-privs bg grep NoNewPrivs /proc/self/status
is "no new privileges" "$code ${out##*	}" "0 1"
for l in "--apparmor x" "--process-label x"; do
	# shellcheck disable=SC2086 # words
	ex $l bg true
	like "$l" "$code $err" "^255 .*${l% x}"
done
ex --process "$T/none.json" bg
like "no such file" "$code $err" '^255 .*none.json'
for d in /sys/fs/cgroup/*/"$CG/bg" "/sys/fs/cgroup/$CG/bg"; do [ ! -d "$d" ] || mkdir "$d/sub"; done
for f in cpus mems; do # v1: a new cpuset has none
	d=/sys/fs/cgroup/cpuset/$CG/bg
	[ ! -e "$d/cpuset.$f" ] || cat "$d/cpuset.$f" >"$d/sub/cpuset.$f"
done
ex --cgroup sub bg cat /proc/self/cgroup
like "a sub-cgroup, to be seen by init" "$code $(oci exec --cgroup /sub/ bg sh -c 'cat /proc/$$/cgroup' | grep -c '/sub$')" \
	"^0 $(grep -c "$CG" "/proc/$(cat "$T/bg.pid")/cgroup")\$"
ex --cgroup nothing bg true
like "one that is not there" "$code $err" '^255 .*no such cgroup'
ex --cgroup ../bg bg true
is "one outside" "$code" 255
ex --cgroup pids:sub bg true
like "of one controller" "$code $err" '^255 .*all controllers together'
echo 7 >"$T/exec.pid"
ex --pid-file "$T/exec.pid" bg nope
is "a failed exec leaves no pid file, nor a stale one" "$code $(ls "$T/exec.pid" 2>/dev/null)" "255 "
is "pidfd socket of an exec" "$(calls pidfd "$T/s1" $K exec --pidfd-socket "$T/s1" --pid-file "$T/p1" bg sleep 0.3)" \
	"setns 1 True $(cat "$T/p1") 0"
run pause bg
timeout 20 kapsel-oci --root "$T/oci" exec --ignore-paused bg echo thawed >"$T/out" 2>&1 </dev/null & pid=$!
sleep 0.3
is "exec --ignore-paused waits in a frozen one" "$(cat "$T/out")" ""
run resume bg
set +e; wait $pid; code=$?; set -e
is "and goes on with it" "$code $(cat "$T/out")" "0 thawed"

# ---- terminals
like "exec --tty in the foreground: typed, printed, its status, and the caller's terminal as before" \
	"$(calls tty 33 101 $K exec --tty bg sh -c 'echo ready; read x; stty size 2>/dev/null || echo; echo "got $x"; exit 7')" \
	'ready .*got exit +7 restored$'
like "its size is the caller's" "$(calls tty 33 101 $K exec -t bg sh -c 'busybox stty size')" '33 101 +0 restored'
like "and follows" "$(calls resize $K exec -t bg sh -c 'trap "busybox stty size; exit 3" WINCH; echo ready; while :; do sleep 0.05; done')" \
	'50 132 +3 restored'
bundle fg 'test -t 0 && echo ready; read x; echo "got $x"; exit 4' "$cgroup | .process.terminal = true"
like "run with a terminal in the foreground" "$(calls tty 24 80 $K run --bundle "$T/fg" fg)" 'ready .*got exit +4 restored'
is "console socket" "$(calls console "$T/s2" $K exec -t -d --console-socket "$T/s2" bg echo through | tr -d '\r' | tr '\n' ' ')" \
	"True 1 True True 0x0 0 through "
is "with the size that was asked for" "$(printf '{"terminal": true, "consoleSize": {"height": 41, "width": 99},
	"args": ["/bin/true"], "cwd": "/"}' >"$T/p.json"; calls console "$T/s3" $K exec -d -p "$T/p.json" --console-socket "$T/s3" bg)" \
	"True 1 True True 41x99 0"
for words in "--tty --detach bg true" "--console-socket $T/x bg true" "--tty --console-socket $T/x bg true" \
	"--tty --detach --console-socket $T/x bg true"; do
	# shellcheck disable=SC2086 # words
	ex $words
	like "refused: exec $words" "$code $err" '^255 .*(console|Connection)'
done
run create --bundle "$T/fg" fg
like "create with a terminal and no socket" "$code $err" '^1 .*console-socket'

# ---- fds
fds='for f in 3 4 5; do [ -e /proc/self/fd/$f ] && read -r x <&$f && echo "$f $x"; done; echo "$LISTEN_FDS,$LISTEN_PID"'
for n in 1 2 3; do echo "file $n" >"$T/f$n"; done
is "preserved fds, and no other" "$(oci exec --preserve-fds 2 bg sh -c "$fds" 3<"$T/f1" 4<"$T/f2" 5<"$T/f3" | tr '\n' ';')" \
	"3 file 1;4 file 2;,;"
is "LISTEN_FDS that are ours, and one more" "$(sh -c 'LISTEN_FDS=2 LISTEN_PID=$$ exec "$@"' - $K exec --preserve-fds 1 bg \
	sh -c "$fds" 3<"$T/f1" 4<"$T/f2" 5<"$T/f3" | tr '\n' ';')" "3 file 1;4 file 2;5 file 3;2,1;"
is "LISTEN_FDS that are another's" "$(LISTEN_FDS=2 LISTEN_PID=1 oci exec bg sh -c "$fds" 3<"$T/f1" 4<"$T/f2" | tr '\n' ';')" ",;"
bundle fds "$fds" "$cgroup"
is "run hands them down, too" "$(sh -c 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"' - $K run --bundle "$T/fds" fds 3<"$T/f1" | tr '\n' ';')" \
	"3 file 1;1,1;"
ex --preserve-fds 40 bg true
like "one that is not open" "$code $err" '^255 .*fd 3 is to be preserved and is not open'

# ---- NOTIFY_SOCKET
bundle says 'echo "$NOTIFY_SOCKET"; test -S "$NOTIFY_SOCKET" && echo there; sleep 1000' "$cgroup"
said=$(calls notify "$T/n" "$T/oci/says/notify/notify.sock" $K run --detach --bundle "$T/says" --pid-file "$T/says.pid" says \
	>"$T/says.out" 2>&1; cat "$T/says.out")
is "a container that is ready: by its number here, and a barrier" "$(printf '%s\n' "$said" | grep READY)" \
	"READY=1 MAINPID=$(cat "$T/says.pid");BARRIER=1 0"
is "it has a socket of its own" "$(printf '%s\n' "$said" | grep -v READY | tr '\n' ' ')" "/run/notify/notify.sock there "
run delete --force says
NOTIFY_SOCKET="$T/n2" oci create --bundle "$T/says" --pid-file "$T/says.pid" says >"$T/says.out" 2>&1 </dev/null
is "start waits for that as well" "$(calls notify "$T/n3" "$T/oci/says/notify/notify.sock" $K start says)" \
	"READY=1 MAINPID=$(cat "$T/says.pid");BARRIER=1 0"
run delete --force says
is "delete" "$code$err$(ls -A "$T/oci")" 0bg

# ---- killing
run kill bg 0
is "signal 0" "$code$err" 0
run pause bg
run kill bg KILL
set +e; wait "$(cat "$T/bg.pid")"; set -e
ok "KILL ends a frozen one" until_ok is_status bg stopped
run delete bg
is "and it is deleted" "$code$err" 0
bundle shared 'sleep 71 & sleep 72 & echo up >/up; wait' "$cgroup | .root.readonly = false
	| .linux.namespaces |= map(select(.type != \"pid\"))"
oci run --detach --bundle "$T/shared" --pid-file "$T/pid" shared >/dev/null 2>&1 </dev/null
until_ok test -s "$T/shared/rootfs/up"
run kill shared KILL
set +e; wait "$(cat "$T/pid")"; set -e
ok "KILL without a pid namespace of its own: nobody is left" until_ok sh -c '! pgrep -f "^sleep 7[12]"'
run delete shared
is "and it is deleted, too" "$code$err" 0

# ---- without cgroups
bundle free 'cat /proc/self/cgroup; sleep 0.2' '.linux.resources = {} | .mounts |= map(select(.type != "cgroup"))
	| .linux.namespaces |= map(select(.type != "cgroup"))'
run --cgroup-manager disabled run --bundle "$T/free" free
is "no cgroups: it is in the caller's" "$code $err$(echo "$out" | sort | sed 's/^[0-9]*://')" "0 $(sort /proc/self/cgroup | sed 's/^[0-9]*://')"

# ---- calls that meet: a hook holds up create
bundle slow 'while :; do sleep 0.1; done' "$cgroup
	| .hooks.createRuntime = [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"touch $T/hook; while [ -e $T/hold ]; do sleep 0.05; done\"]}]"
begin() {
	touch "$T/hold"
	rm -f "$T/hook"
	oci create --bundle "$T/slow" --pid-file "$T/slow.pid" slow >/dev/null 2>"$T/create.err" </dev/null & create=$!
	until_ok test -e "$T/hook"
}
begin
run create --bundle "$T/slow" slow
like "the same id while it is being made" "$code $err" '^1 .*container with id exists: slow'
timeout 20 kapsel-oci --root "$T/oci" start slow >"$T/start" 2>&1 </dev/null & start=$!
timeout 20 kapsel-oci --root "$T/oci" start slow >"$T/start2" 2>&1 </dev/null & start2=$!
sleep 0.3
is "start waits for create" "$(cat "$T/start" "$T/start2"; kill -0 $start && kill -0 $start2 && echo waits)" waits
rm "$T/hold"
set +e
wait $create; a=$?
wait $start; b=$?
wait $start2; c=$?
set -e
is "create is done" "$a $(cat "$T/create.err")" "0 "
is "one of the two starts it" $((b + c)) 1
like "the other is told why" "$(cat "$T/start" "$T/start2")" 'cannot start a container in the running state'
run delete --force slow
is "delete --force" "$code$err" 0
begin
timeout 30 kapsel-oci --root "$T/oci" delete --force slow >"$T/delete" 2>&1 </dev/null & delete=$!
sleep 0.3
rm "$T/hold"
set +e
wait $create; a=$?
wait $delete; b=$?
set -e
like "delete --force of one that is being made: create is told" "$a $(cat "$T/create.err")" '^1 .*(killed|ended before|init|exist)'
is "and delete succeeds" "$b$(cat "$T/delete")" 0
is "nothing is left" "$(ls -A "$T/oci"; ls "$T/slow.pid" 2>/dev/null; find /sys/fs/cgroup -type d -path "*$CG/slow")" ""
# ---- what a crash leaves: create killed while init is there, or before there was a record
begin
kill -9 "$(pgrep -o -f "^kapsel-oci --root $T/oci create")"
set +e; wait $create; set -e
rm "$T/hold"
run delete --force slow
is "delete --force of a half-made one" "$code$err" 0
mkdir "$T/oci/slow"
cp "$T/slow/config.json" "$T/oci/slow/"
for d in /sys/fs/cgroup/*/"$CG" "/sys/fs/cgroup/$CG"; do [ ! -d "$d" ] || mkdir "$d/slow"; done
run state slow
like "of one without a record nobody knows" "$code $err" '^1 .*container does not exist: slow'
run create --bundle "$T/slow" slow
like "but its id is taken" "$code $err" '^1 .*container with id exists'
run delete --force slow
is "delete --force of it" "$code$err" 0
mkdir "$T/oci/slow"
run delete slow
is "of an empty directory" "$code$err" 0
is "nothing is left of these" "$(ls -A "$T/oci"; find /sys/fs/cgroup -type d -path "*$CG/slow")" ""
