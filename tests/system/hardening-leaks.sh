#!/bin/sh
# hardening-leaks: what goes in with a container and must not, what of the host it must not reach:
# D05 D06 D07 D10 D16 D25 D26 D27.  HARDENING_LOOPS (20): lives of a container with a time namespace
# timeout: 180
LIB_NO_DAEMON=1
. tests/lib.sh
loops=${HARDENING_LOOPS:-20}
for i in $(seq 20); do sleep 600 & canaries="${canaries-} $!"; done # D27: of the low numbers that are inside, too
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }
call() { # ARG...: kapsel-oci with them; $out and $code
	set +e
	out=$(oci "$@" 2>&1 </dev/null)
	code=$?
	set -e
}
words() { printf '%s' "$1" | tr -s '\n\t' ' '; }
bundle idle 'while :; do sleep 1; done'

# ---- D05: fds of the caller
inherit='for i in $(seq 3 52); do eval "exec $i</etc/passwd"; done; exec "$@"'
bundle fds 'ls /proc/self/fd'
is "D05 run: of 50 fds of the caller none goes in" \
	"$(bash -c "$inherit" - timeout 20 kapsel-oci --root "$T/oci" run --bundle "$T/fds" fds </dev/null | tr '\n' ' ')" "0 1 2 3 "
oci create --bundle "$T/idle" --pid-file "$T/pid" idle >"$T/o" 2>&1 </dev/null
oci start idle
is "D05 exec: neither" \
	"$(bash -c "$inherit" - timeout 20 kapsel-oci --root "$T/oci" exec idle ls /proc/self/fd </dev/null | tr '\n' ' ')" "0 1 2 3 "
bash -c "$inherit" - timeout 20 kapsel-oci --root "$T/oci" create --bundle "$T/fds" waits >"$T/o" 2>&1 </dev/null
oci start waits
for _ in $(seq 50); do [ "$(wc -l <"$T/o")" -lt 4 ] || break; sleep 0.1; done
is "D05 create and start: neither" "$(tr '\n' ' ' <"$T/o")" "0 1 2 3 "
oci delete waits

# ---- D06: a working directory by way of a magic link
refused=0
bundle cwd 'echo started' '.process.cwd = "/proc/self/fd/@"'
cp "$T/cwd/config.json" "$T/cwd.json"
for n in $(seq 3 63); do
	sed "s,/proc/self/fd/@,/proc/self/fd/$n," "$T/cwd.json" >"$T/cwd/config.json"
	call run --bundle "$T/cwd" cwd
	case "$code $out" in 0*|*started*) ;; *) refused=$((refused + 1)) ;; esac
	call exec --cwd "/proc/self/fd/$n" idle echo started
	case "$code $out" in 0*|*started*) ;; *) refused=$((refused + 1)) ;; esac
done
is "D06 cwd /proc/self/fd/3..63: refused by create and by exec" "$refused" 122
for d in /proc/self/cwd /proc/1/root /proc/1/cwd /proc/thread-self/root; do
	call exec --cwd $d idle echo started
	like "D06 exec: cwd $d" "$code $out" '^[1-9].*cwd'
done

# ---- D07: the runtime's program, as a payload sees it
cp "$BIN/kapsel-oci" "$T/own" # what a bad one would spoil
sum=$(sha256sum <"$T/own")
own() { timeout 20 "$T/own" --root "$T/oci" "$@"; }
bundle exe true '.process.args = ["/bin/hostile", "exe", "5"] | .process.capabilities = ([.process.capabilities.bounding[], "CAP_SYS_PTRACE",
	"CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"] | {bounding: ., effective: ., permitted: .}) | .process.noNewPrivileges = false'
own create --bundle "$T/exe" exe >"$T/o" 2>&1 </dev/null
own start exe
for i in $(seq 40); do
	own exec exe /bin/true </dev/null >"$T/e" 2>&1 || :
	own exec exe /proc/self/exe --version </dev/null >"$T/e" 2>&1 || :
done
for _ in $(seq 80); do [ ! -s "$T/o" ] || break; sleep 0.1; done
like "D07 a payload that got hold of the runtime's program cannot write to it" "$(cat "$T/o")" '^seen [1-9][0-9]* written 0$'
is "D07 which is as before" "$(sha256sum <"$T/own")" "$sum"
own delete --force exe

# ---- D10: groups exactly, whoever calls
bundle groups 'grep ^Groups: /proc/self/status'
is "D10 none are asked: the caller's are gone" \
	"$(words "$(setpriv --groups 7,8,9 timeout 20 kapsel-oci --root "$T/oci" run --bundle "$T/groups" groups </dev/null)")" "Groups: "
bundle groups2 'grep ^Groups: /proc/self/status' '.process.user.additionalGids = [5, 6]'
is "D10 two are asked" \
	"$(words "$(setpriv --groups 7,8,9 timeout 20 kapsel-oci --root "$T/oci" run --bundle "$T/groups2" groups </dev/null)")" "Groups: 5 6 "
jq '.process | .args = ["grep", "-E", "^(Uid|Gid|Groups)", "/proc/self/status"] | .user = {"uid": 1, "gid": 2, "additionalGids": [3]}' \
	"$T/groups/config.json" >"$T/process.json"
is "D10 in an exec" "$(words "$(setpriv --groups 7,8 timeout 20 kapsel-oci --root "$T/oci" exec --process "$T/process.json" idle </dev/null)")" \
	"Uid: 1 1 1 1 Gid: 2 2 2 2 Groups: 3 "

# ---- D16: the terminal is the container's own
tty='.process.terminal = true'
bundle tty 'stat -c "%t" /dev/console; grep -o " /dev/console .* - devpts" /proc/self/mountinfo | grep -o devpts; ls /dev/pts; tty=$(readlink /proc/self/fd/0); echo "$tty"; hostile sti x' "$tty"
python3 tests/system/hardening-console.py "$T/console" >"$T/o" 2>&1 &
while [ ! -S "$T/console" ]; do sleep 0.02; done
SHELL=/bin/bash script -qec "kapsel-oci --root $T/oci run --detach --bundle $T/tty --console-socket $T/console tty; if read -t 1 x; then echo HOST GOT \$x; fi" /dev/null >"$T/host" 2>&1 </dev/null
wait $!
oci delete --force tty
is "D16 /dev/console is of the container's own devpts" "$(tr -d '\r' <"$T/o" | grep -o '^88\|devpts\|/dev/pts/0\|ptmx' | tr '\n' ' ')" "88 devpts ptmx /dev/pts/0 "
is "D16 what is pushed into it is not the host's input" "$(cat "$T/host")" ""
bundle notty 'hostile sti x'
SHELL=/bin/bash script -qec "kapsel-oci --root $T/oci run --bundle $T/notty tty; if read -t 1 x; then echo HOST GOT \$x; fi" /dev/null >"$T/o" 2>&1 </dev/null
like "D16 into a terminal of the host that is its stdin nothing can be pushed" "$(tr -d '\r' <"$T/o" | tr '\n' ' ')" '^(errno [1-9][0-9]* ){3}$'

# ---- D25: hooks, and what has left their group when their time is up
bundle hooks 'true' '.hooks.createRuntime = [{"path": "/bin/sh", "args": ["sh", "-c", "{ env; ls -l /proc/self/fd; pwd; } >'"$T/told"'"]}]'
SECRET=marker bash -c "$inherit" - timeout 20 kapsel-oci --root "$T/oci" run --bundle "$T/hooks" hooks </dev/null
is "D25 a hook has no fd but 0 to 2, no variable, and begins in /" \
	"$(grep -c '[^ ]* -> ' "$T/told") $(grep -c 'marker\|LD_' "$T/told") $(tail -n 1 "$T/told")" "4 0 /"
for kind in createRuntime createContainer startContainer; do
	bundle hangs 'echo started' ".hooks.$kind = [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"(setsid sleep 71 &); setsid sleep 72 & sleep 73\"], \"timeout\": 1}]"
	ln -sf busybox "$T/hangs/rootfs/bin/setsid"
	call run --bundle "$T/hangs" hangs
	like "D25 a $kind hook that hangs is ended" "$code $out" '^1 .*did not end within 1 s'
	is "D25 with all that it has begun, in its group or not" "$(pgrep -f '^sleep 7[123]' | wc -l)" 0
done

# ---- D26: what a container in a user namespace is given as stdio keeps owner and mode
maps='.linux.namespaces += [{"type": "user"}] | .linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}]
	| .linux.gidMappings = .linux.uidMappings | .process.user = {"uid": 7, "gid": 8}'
bundle user 'echo out; echo err >&2' "$maps"
owner() { stat -c '%n %u:%g %a %t:%T' /dev/null "$T/file"; }
: >"$T/file"
before=$(owner)
timeout 20 kapsel-oci --root "$T/oci" run --bundle "$T/user" user </dev/null >/dev/null 2>>"$T/file"
timeout 20 kapsel-oci --root "$T/oci" run --bundle "$T/user" user </dev/null >>"$T/file" 2>/dev/null
is "D26 a user namespace: /dev/null and a file keep owner and mode" "$(owner)" "$before"
is "D26 (and were written to)" "$(sort -u "$T/file" | tr '\n' ' ')" "err out "
SHELL=/bin/bash script -qec "stat -c '%u:%g %a' \$(tty); kapsel-oci --root $T/oci run --bundle $T/user user >/dev/null; stat -c '%u:%g %a' \$(tty)" /dev/null >"$T/o" 2>&1 </dev/null
is "D26 and a terminal of the host" "$(tr -d '\r' <"$T/o" | grep -c :) $(tr -d '\r' <"$T/o" | grep : | sort -u | wc -l)" "2 1"

# ---- D27: a process outside with a number that is one inside, too
bundle time true '.process.args = ["/bin/sleep", "60"] | .linux.namespaces += [{"type": "time"}] | .linux.timeOffsets = {"boottime": {"secs": 1000}}'
for i in $(seq "$loops"); do
	oci create --bundle "$T/time" --pid-file "$T/pid" time >"$T/o" 2>&1 </dev/null
	if [ $((i % 2)) = 0 ]; then # joined
		jq --arg p "/proc/$(cat "$T/pid")/ns/time" '.linux.timeOffsets = {} | (.linux.namespaces[] | select(.type == "time")).path = $p
			| .process.args = ["/bin/true"]' "$T/time/config.json" >"$T/idle/config.json"
		oci run --bundle "$T/idle" joined </dev/null
	fi
	[ $((i % 3)) = 0 ] || oci start time
	[ $((i % 3)) = 0 ] || oci exec time true </dev/null
	[ $((i % 5)) = 0 ] || oci kill time KILL
	oci delete --force time
done
alive=0
for p in $canaries; do [ "$(tr '\0' ' ' <"/proc/$p/cmdline")" != "sleep 600 " ] || alive=$((alive + 1)); done
is "D27 $loops lives with a time namespace, half of them joined by another: nobody outside is signalled" $alive 20
oci delete --force idle
for p in $canaries; do kill "$p"; done
wait
