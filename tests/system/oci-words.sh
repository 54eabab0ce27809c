#!/bin/sh
# oci: the words, statuses and log records that callers of runc's command line read, one by one
# timeout: 120
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" --log "$T/log.json" --log-format json "$@"; }
run() { # ARG...: $out, $err and $code of one call; $record is what it logged, one line or none
	rm -f "$T/log.json"
	set +e
	oci "$@" >"$T/out" 2>"$T/err" </dev/null # files: a container keeps what it is given
	code=$?
	set -e
	out=$(cat "$T/out")
	err=$(cat "$T/err")
	record=$(cat "$T/log.json" 2>/dev/null || :)
}
# A failed call: its status, nothing on stdout, one record of level error, and PATTERN both in it and on stderr.
fails() { # TEXT STATUS PATTERN
	printf '%s\n' "$record" >>"$T/records"
	like "$1" "$code|$out|$(printf '%s' "$record" | jq -sr '"\(length)|\(.[0].level)|\(.[0].msg)"')|$(echo "$err" | tr '\n' ' ')" \
		"^$2\\|\\|1\\|error\\|.*($3).*\\|.*($3)"
}
cgroup='.linux.cgroupsPath = $cg'

# ---- podman's three expressions, in its order, and dockerd's: which status the engine makes of a text
podman() { # of $err: 126 or 127, as specgen/oci_conmon do
	if printf '%s' "$err" | grep -qiE 'permission denied|operation not permitted'; then
		echo 126
	elif printf '%s' "$err" | grep -qiE 'executable file not found in|no such file or directory|open executable'; then
		echo 127
	else
		echo none
	fi
}

# ---- create: what cannot be executed
bundle web 'while :; do sleep 0.05; done' "$cgroup"
printf '#!/bin/sh\n' >"$T/web/rootfs/bin/plain"
chmod 644 "$T/web/rootfs/bin/plain"
printf '#!/no/such/interpreter\n' >"$T/web/rootfs/bin/orphan"
chmod 755 "$T/web/rootfs/bin/orphan"
mkdir "$T/web/rootfs/bin/folder"
cp "$T/web/config.json" "$T/web.json"
unrunnable() { # TEXT ARG0 PATTERN STATUS-OF-PODMAN
	jq --arg a "$2" '.process.args = [$a]' "$T/web.json" >"$T/web/config.json"
	for how in create "run -d"; do
		run $how --bundle "$T/web" --pid-file "$T/pid" web
		fails "$how, $1" 1 "$3"
		is "$how, $1: what podman exits with" "$(podman)" "$4"
		is "$how, $1: no pid file" "$(find "$T" -maxdepth 1 -name '*pid*')" ""
	done
	is "$1: nothing is left" "$(ls -A "$T/oci")" ""
}
unrunnable "no such name in PATH" nope 'exec: "nope": executable file not found in \$PATH' 127
unrunnable "no such absolute path" /bin/nope 'exec: "/bin/nope": .*no such file or directory' 127
unrunnable "no such relative path" ./nope 'exec: "\./nope": .*no such file or directory' 127
unrunnable "no right to execute" /bin/plain 'exec: "/bin/plain": .*permission denied' 126
unrunnable "a directory" /bin/folder 'exec: "/bin/folder": .*permission denied|exec: "/bin/folder": is a directory' 126
unrunnable "the name is quoted as it is" "a b'c" "exec: \"a b'c\": executable file not found in \\\$PATH" 127
cp "$T/web.json" "$T/web/config.json"

# ---- what is not there, in every command
for c in "start nobody" "state nobody" "kill nobody" "kill nobody 9" "kill --all nobody KILL" "delete nobody" \
	"pause nobody" "resume nobody" "ps nobody" "ps --format json nobody" "events --stats nobody" \
	"update --pids-limit 7 nobody"; do
	run $c
	fails "$c" 1 'container does not exist: nobody'
done
run exec nobody true
fails "exec nobody" 255 'container does not exist: nobody'
run delete --force nobody
is "delete --force nobody: success, and silent" "$code$out$err$record" 0

# ---- states
run create --bundle "$T/web" --pid-file "$T/pid" web
is "create: silent" "$code$out$err$record" 0
pid=$(cat "$T/pid")
run create --bundle "$T/web" --pid-file "$T/pid2" web
fails "the id is taken" 1 'container with id exists'
is "the id is taken: the first one lives" "$(oci state web | jq -c '[.status, .pid]')" "[\"created\",$pid]"
run exec web true
fails "exec before start" 255 'container not running'
run start web
is "start: silent" "$code$out$err$record" 0
run start web
fails "start twice" 1 'cannot start a container in the running state'
run delete web
fails "delete what runs" 1 'is not stopped: running'
run exec web /bin/plain
fails "exec: no right to execute" 255 'exec: "/bin/plain": .*permission denied'
run exec web /bin/nope
fails "exec: no such file" 255 'exec: "/bin/nope": .*no such file or directory'
run exec web nope
fails "exec: not in PATH" 255 'exec: "nope": executable file not found in \$PATH'
run exec --cwd /nope web true
fails "exec: no such directory" 255 '[Nn]o such file or directory'
run exec --detach --pid-file "$T/exec.pid" web nope
fails "exec --detach: not in PATH" 255 'executable file not found in \$PATH'
is "exec --detach: then there is no pid file" "$(find "$T" -maxdepth 1 -name '*exec.pid*')" ""
run kill web 65
fails "no such signal" 1 "'65' is no signal"
for s in SIGUSR1 usr1 10 sigusr1 Usr1; do
	run kill web $s
	is "signal $s" "$code$out$err$record" 0
done
run kill web sigkill
is "signal sigkill" "$code$out$err$record" 0
set +e
wait "$pid" # it is a child of this shell's, as a caller reaps it
set -e
is "stopped: pid 0" "$(oci state web | jq -c '[.status, .pid]')" '["stopped",0]'
run kill web TERM
fails "kill what is stopped" 1 'container not running'
run kill web KILL
fails "kill -9 what is stopped" 1 'container not running'
run kill --all web KILL
is "kill --all what is stopped: success" "$code$out$err$record" 0
run exec web true
fails "exec in what is stopped" 255 'container not running'
run start web
fails "start what is stopped" 1 'cannot start a container in the stopped state'
run pause web
fails "pause what is stopped" 1 'container not running'
run resume web
fails "resume what is stopped" 1 'container not running|not paused'
run delete web
is "delete: silent" "$code$out$err$record" 0

# ---- one error, however many faults the file has: podman reads the whole log as one object
bundle bad true "$cgroup | .process.cwd = \"relative\" | .hostname = 5 | .linux.rootfsPropagation = \"none\""
run create --bundle "$T/bad" bad
fails "three faults" 1 '/process/cwd.*/hostname.*/linux/rootfsPropagation'
printf 'no json' >"$T/bad/config.json"
run create --bundle "$T/bad" bad
fails "no JSON" 1 'config.json'
rm "$T/bad/config.json"
run create --bundle "$T/bad" bad
fails "no config.json" 1 'config.json.*[Nn]o such file or directory'
long=$(head -c 20000 /dev/zero | tr '\0' x)
run create --bundle "$T/web" "$long"
fails "a very long id" 1 'is no container id'
is "what conmon reads of it is enough" "$([ "${#err}" -lt 8192 ] && echo yes)" yes

# ---- the log is shared: records are appended; text is the other form
rm -f "$T/log.json"
for id in one two; do oci state $id 2>/dev/null || :; done
is "records are appended" "$(jq -r .msg "$T/log.json" | tr '\n' ',')" \
	"container does not exist: one,container does not exist: two,"
is "the log is for all to read" "$(stat -c %a "$T/log.json")" 644
rm -f "$T/log.txt"
timeout 20 kapsel-oci --root "$T/oci" --log "$T/log.txt" state nobody 2>/dev/null || :
like "as text" "$(cat "$T/log.txt")" 'container does not exist: nobody'
is "a log that cannot be written is no second fault" \
	"$(timeout 20 kapsel-oci --root "$T/oci" --log /no/such/log state nobody 2>&1 >/dev/null | grep -c 'does not exist')" 1
timeout 20 kapsel-oci --root "$T/oci" --debug --log "$T/debug.json" --log-format json run --bundle "$T/web" \
	--detach --pid-file "$T/pid" dbg >/dev/null 2>&1 </dev/null
is "--debug adds no error" "$(cat "$T/debug.json" 2>/dev/null | jq -s '[.[] | select(.level == "error")] | length')" 0
oci delete --force dbg

# ---- all of them: containerd refuses a whole file for one time that is not RFC 3339
is "times of the records" "$(jq -r .time "$T/records" | grep -cvE '^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:]{8}(\.[0-9]+)?Z$')" 0
