#!/bin/sh
# rootless: containers of an ordinary user, with one id and with those of /etc/subuid, and of a user namespace's root
LIB_NO_DAEMON=1
. tests/lib.sh
[ -u /usr/bin/newuidmap ] && [ -u /usr/bin/newgidmap ] || skip "newuidmap is missing (package uidmap)"
me=4711 first=300000
chmod 711 "$T"
install -d "$T/bin"
cp "$BIN"/* "$T/bin/"
# The grants are this mount namespace's only: nothing is to be put back.
for f in passwd subuid subgid; do
	touch /etc/$f
	cp /etc/$f "$T/$f"
	mount --bind "$T/$f" /etc/$f
done
echo "rootless:x:$me:$me::/:/bin/sh" >>"$T/passwd"
echo "rootless:$first:65536" | tee -a "$T/subuid" >>"$T/subgid"
install -d -o $me -g $me -m 700 "$T/user" "$T/user/run" "$T/user/home"
run="$T/user/run"
oci=$T/bin/kapsel-oci
u() { setpriv --reuid $me --regid $me --clear-groups --inh-caps=-all env -i PATH="$T/bin:$PATH" XDG_RUNTIME_DIR="$run" HOME="$T/user/home" "$@"; }
ns='del(.linux.cgroupsPath) | .linux.namespaces += [{"type": "user"}]'
one="$ns"' | .linux.uidMappings = [{"containerID": 0, "hostID": 4711, "size": 1}] | .linux.gidMappings = .linux.uidMappings
	| (.mounts[] | select(.type == "devpts").options) -= ["gid=5"]'
many="$ns"' | .linux.uidMappings = [{"containerID": 0, "hostID": 4711, "size": 1}, {"containerID": 1, "hostID": 300000, "size": 65536}]
	| .linux.gidMappings = .linux.uidMappings | .root.readonly = false'
mine() { # NAME SCRIPT FILTER: a bundle of the user's
	bundle "$1" "$2" "$3"
	rm -rf "$T/$1/rootfs"
	[ -d "$T/user/rootfs" ] || { cp -a "$T/rootfs" "$T/user/rootfs"; chown -R $me:$me "$T/user/rootfs"; }
	jq --arg r "$T/user/rootfs" 'if .root.path == "rootfs" then .root.path = $r else . end' "$T/$1/config.json" >"$T/user/config"
	rm -r "${T:?}/$1"
	install -d -o $me -g $me "$T/user/$1"
	install -o $me -g $me "$T/user/config" "$T/user/$1/config.json"
}
r() { # NAME [GLOBAL FLAG...]: run, and its output
	name=$1
	shift
	u "$oci" "$@" run --bundle "$T/user/$name" "$name" 2>&1 </dev/null || echo "exit $?"
}
eventually() { # TEXT WANTED COMMAND...
	text=$1 wanted=$2
	shift 2
	for _ in $(seq 100); do
		got=$("$@" 2>/dev/null || :)
		[ "$got" != "$wanted" ] || break
		sleep 0.05
	done
	is "$text" "$got" "$wanted"
}
status() { u "$oci" state "$1" | jq -r .status; }

# ---- one id: nothing but what the kernel lets anybody do
facts=$(u "$oci" facts)
is "the user's facts: no root, and what is granted" "$(echo "$facts" | jq -c '[.root, .namespace_root, .subuids[0].start, .subgids[0].count]')" "[false,false,$first,65536]"
mine one 'id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; ip -o link 2>/dev/null; cat /sys/class/net/lo/flags
	echo x >/dev/null && echo null; mkdir /sys/fs/cgroup/x 2>/dev/null || echo read-only; ls /sys/fs/cgroup | grep -c .; grep NoNew /proc/self/status' "$one"
out=$(r one)
like "one id: root inside" "$(echo "$out" | head -n 1)" '^0$'
like "one id: the map is that id" "$(echo "$out" | sed -n 2p)" "^ *0 +$me +1\$"
like "one id: setgroups is denied" "$out" '^deny$'
like "one id: lo is up" "$out" '^0x9$'
like "one id: the devices are the host's, bound" "$out" '^null$'
like "one id: the caller's cgroups, not to be written to" "$out" '^read-only$'
is "the directory of containers is the user's, and sticky" "$(stat -c '%a %u' "$run/kapsel-oci")" "1700 $me"
is "nothing is left of it" "$(ls "$run/kapsel-oci")" ""
like "--debug says what is passed over" "$(r one --debug)" 'device rules are passed over'
is "and nothing else does" "$(u "$oci" run --bundle "$T/user/one" one 2>&1 >/dev/null </dev/null)" ""
mine life 'echo up >&3; while :; do sleep 1; done' "$one"
u "$oci" create --bundle "$T/user/life" --pid-file "$T/user/pid" --preserve-fds 1 life 3>"$T/user/up" </dev/null >"$T/user/out" 2>&1
pid=$(cat "$T/user/pid")
is "create: it waits" "$(status life)" created
is "create: init is the user's process" "$(stat -c %u "/proc/$pid")" "$me"
is "create: the program has not begun" "$(cat "$T/user/up")" ""
u "$oci" start life
eventually "start: the program runs" up cat "$T/user/up"
is "start: it is running" "$(status life)" running
is "exec: root inside, in the container's namespaces" "$(u "$oci" exec life sh -c 'id -u; for n in mnt pid user; do readlink /proc/self/ns/$n; done' </dev/null 2>&1)" \
	"$(echo 0; readlink "/proc/$pid/ns/mnt" "/proc/$pid/ns/pid" "/proc/$pid/ns/user")"
is "exec: its exit status" "$(u "$oci" exec life sh -c 'exit 7' </dev/null 2>&1 || echo $?)" 7
is "exec --detach: its process" "$(u "$oci" exec --detach --pid-file "$T/user/pid2" life sleep 100 </dev/null >"$T/user/out" 2>&1; cat "/proc/$(cat "$T/user/pid2")/comm")" sleep
is "list shows it" "$(u "$oci" list -q)" life
is "others do not see it" "$(setpriv --reuid 4712 --regid 4712 --clear-groups env XDG_RUNTIME_DIR="$run" "$oci" state life 2>&1 | grep -c 'does not exist')" 1
like "pause has no cgroup to freeze" "$(u "$oci" pause life 2>&1 || :)" 'KAPSEL-'
u "$oci" kill life KILL
eventually "kill: it is stopped" stopped status life
ok "delete" u "$oci" delete life
like "delete: it is gone" "$(u "$oci" state life 2>&1 || :)" 'does not exist'
u "$oci" run --detach --bundle "$T/user/life" life 3>&1 </dev/null >"$T/user/out" 2>&1
ok "delete --force ends what runs" u "$oci" delete --force life
is "and leaves nothing" "$(ls "$run/kapsel-oci"; pgrep -u $me || :)" ""

# ---- what cannot be had is refused before anything is done, by its field
refused() { # POINTER FILTER
	mine no 'echo ran' "$one | $2"
	like "refused: $1" "$(r no)" "$1: .*\\[KAPSEL-NODE-(PRIVILEGE|LIMIT)\\]"
}
refused /linux/namespaces '.linux.namespaces -= [{"type": "user"}] | del(.linux.uidMappings, .linux.gidMappings)'
refused /linux/resources/memory/limit '.linux.resources.memory.limit = 67108864'
refused /linux/resources/pids/limit '.linux.resources.pids.limit = 10'
refused /linux/cgroupsPath '.linux.cgroupsPath = "/mine"'
refused /linux/uidMappings '.linux.uidMappings[0].hostID = 0'
refused /linux/gidMappings '.linux.gidMappings[0].size = 2'
refused /process/user/uid '.process.user.uid = 5'
refused /process/user/additionalGids '.process.user.additionalGids = [0]'
refused /mounts/2/options '.mounts[2].options += ["gid=5"]'
refused /mounts/./type '.linux.namespaces -= [{"type": "network"}]'
refused /linux/namespaces/. '.linux.namespaces += [{"type": "time"}]'
refused /process/oomScoreAdj '.process.oomScoreAdj = -500'
refused /process/rlimits/0/hard '.process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 100000000}]'
refused /process/scheduler/policy '.process.scheduler = {"policy": "SCHED_FIFO", "priority": 1}'
is "no refused call leaves anything" "$(ls "$run/kapsel-oci")" ""

mine limit 'echo ran' "$one | .linux.resources.memory.limit = 67108864"

# ---- the ids of /etc/subuid
mine many 'id -u; id -G; cat /proc/self/setgroups; touch /tmp/file; sleep 100' "$many"' | .process.user = {"uid": 5, "gid": 6, "additionalGids": [7, 8]}
	| .mounts += [{"destination": "/tmp", "type": "bind", "source": "'"$T/user/shared"'", "options": ["bind"]}]'
install -d -m 1777 "$T/user/shared"
u "$oci" run --detach --bundle "$T/user/many" many </dev/null >"$T/user/out" 2>&1 || cat "$T/user/out"
eventually "subuids: user, groups, setgroups" "5 6 7 8 allow" sh -c "tr '\n' ' ' <'$T/user/out' | sed 's/ \$//'"
eventually "subuids: what it writes is the granted id's" "300004 300005" stat -c '%u %g' "$T/user/shared/file"
is "exec --user" "$(u "$oci" exec --user 9:10 many id -u </dev/null 2>&1)" 9
ok "subuids: its user can end it" u "$oci" delete --force many
mine low 'id -u; cat /proc/self/uid_map' "$ns"' | .linux.uidMappings = [{"containerID": 0, "hostID": 300000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
like "no id of one's own in it, below a directory that is closed to all others" "$(r low | tr '\n' ' ')" "^0 +0 +$first +65536"
: >"$T/subgid"
like "without a grant they are refused" "$(r low)" '/linux/gidMappings: 300000 to 365535 .*KAPSEL-NODE-PRIVILEGE'
echo "rootless:$first:65536" >>"$T/subgid"

# ---- the root of a user namespace whose mount namespace holds the root file system, as Podman calls
inside='del(.linux.uidMappings, .linux.gidMappings) | .linux.namespaces -= [{"type": "user"}] | .process.user = {"uid": 0, "gid": 0}'
mine root 'id -u; id -G; cat /proc/self/uid_map | wc -l; grep -c " / / .* only-here " /proc/self/mountinfo; sleep ${1:-0}' "$many | $inside | .root.path = \"/mnt\""
mine nested 'id -u; cat /proc/self/uid_map' "$ns"' | .linux.uidMappings = [{"containerID": 0, "hostID": 1000, "size": 100}] | .linux.gidMappings = .linux.uidMappings'
cat >"$T/user/podman" <<END
set -e
cd "$T/user"
mount -t tmpfs only-here /mnt
cp -a rootfs/. /mnt/
"$oci" facts | jq -c '[.root, .namespace_root, .setgroups]'
"$oci" run --bundle root root </dev/null
"$oci" create --bundle root --pid-file pid c </dev/null >out 2>&1
"$oci" start c
"$oci" delete --force c
"$oci" run --bundle nested nested </dev/null
jq '.process.args[2] = "sleep 100"' root/config.json >root/new
mv root/new root/config.json
"$oci" run --detach --bundle root d </dev/null >out 2>&1
"$oci" exec d id -u </dev/null
"$oci" state d | jq -r .status
"$oci" kill d KILL
for i in \$(seq 100); do "$oci" delete d 2>/dev/null && break; sleep 0.05; done
jq '.process.oomScoreAdj = -500' root/config.json >root/new
mv root/new root/config.json
"$oci" run --bundle root e 2>&1 </dev/null | grep -o 'KAPSEL[A-Z-]*'
ls "$run/kapsel-oci" | wc -l
END
rm -f "$T/user/out"
u unshare --user --map-root-user --map-auto --mount sh "$T/user/podman" >"$T/user/said" 2>&1 || echo "exit $?" >>"$T/user/said"
line() { is "a namespace's root: $2" "$(sed -n "$1p" "$T/user/said" | tr -s ' ' | sed 's/^ //')" "$3"; }
line 1 "its facts" "[false,true,true]"
line 2 "a container as root" 0
line 3 "and its groups" 0
line 4 "in the caller's user namespace, with its maps" 2
line 5 "on a file system that only the caller's mount namespace has" 1
line 6 "a user namespace of the container's own in it" 0
line 7 "with maps of the outer one's ids" "0 1000 100"
line 8 "exec" 0
line 9 "state" running
line 10 "an oom score that only the host's root may set" KAPSEL-NODE-LIMIT
line 11 "nothing is left" 0
[ "${failed:-0}" = 0 ] || cat "$T/user/said"

# ---- kapsel --standalone, and a kapseld of the user's own
k() { u timeout 30 kapsel "$@" </dev/null; }
mine code 'echo out; echo err >&2; exit 3' "$one"
is "--standalone: output and exit status" "$(k --standalone run "$T/user/code" 2>"$T/user/err" || echo $?)" "$(printf 'out\n3')"
like "--standalone: what goes without is said" "$(cat "$T/user/err")" 'device rules are passed over'
like "--standalone: refused by the field" "$(k --standalone run "$T/user/no" 2>&1 || echo "exit $?")" '/process/scheduler/policy: .*KAPSEL-NODE-PRIVILEGE'
mine filter 'echo ran' "$one"' | .linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
	"syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}'
u rm -rf "$run/kapsel-seccomp"
is "--standalone: a seccomp profile" "$(k --standalone run "$T/user/filter" 2>/dev/null)" ran
is "--standalone: its filter is kept for the user's next call" "$(find "$run/kapsel-seccomp" -type f | wc -l)" 1
is "--standalone leaves nothing" "$(find "$run" -mindepth 1 -maxdepth 1 ! -name kapsel-oci ! -name kapsel-seccomp; pgrep -u $me || :)" ""
user_daemon() {
	u kapseld --foreground 2>>"$T/user/log" &
	for _ in $(seq 100); do
		k version >/dev/null 2>&1 && break
		sleep 0.05
	done
	user_daemon=$(pgrep -u $me -x kapseld)
}
user_daemon
is "its own kapseld: the socket" "$(stat -c '%F %u' "$run/kapsel/kapseld.sock")" "socket $me"
is "its own kapseld: its run directory is sticky" "$(stat -c '%a %u' "$run/kapsel")" "1711 $me"
is "its own kapseld: the state is in its home" "$(stat -c %u "$T/user/home/.local/state/kapsel/journal")" $me
is "kapsel finds it" "$(k run "$T/user/code" 2>/dev/null || echo $?)" "$(printf 'out\n3')"
mine daemon 'trap "exit 0" TERM; echo here; while :; do sleep 0.1; done' "$many | .process.user.uid = 5"
k run --detach --id d "$T/user/daemon" >"$T/user/out" 2>&1 || cat "$T/user/out"
eventually "its log" here k logs d
is "it runs as the granted id" "$(stat -c %u "/proc/$(k inspect d --field pid)")" $((first + 4))
is "exec" "$(k exec d id -u 2>&1)" 5
like "a limit is refused" "$(k run --id limit --detach "$T/user/limit" 2>&1 || echo "exit $?")" 'memory/limit.*KAPSEL-NODE-PRIVILEGE'
kill -KILL "$user_daemon"
wait
user_daemon
is "its kapseld dies and comes back: the container runs" "$(k inspect d --field state)" running
ok "stop" k stop d
is "it has ended by itself" "$(k inspect d --field exit.code)" 0
ok "delete" k delete d
like "others are not let in" "$(setpriv --reuid 4712 --regid 4712 --clear-groups "$T/bin/kapsel" --host "$run/kapsel/kapseld.sock" list 2>&1 || :)" 'KAPSEL-DAEMON-DENIED'
kill "$user_daemon"
wait
is "and in the end no process is left" "$(pgrep -a -u $me || :)" ""
umount /etc/passwd /etc/subuid /etc/subgid
