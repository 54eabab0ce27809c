#!/bin/sh
# rootless-v2: an ordinary user's containers in a cgroup v2 that was delegated to that user (kernel, cgroup-v2.rst, "Delegation")
LIB_NO_DAEMON=1
. tests/lib.sh
[ "$(kapsel-oci facts | jq -r .cgroupLayout)" = v2 ] || skip "this node's cgroups are not v2 alone"
me=4711
grep -q memory /sys/fs/cgroup/cgroup.subtree_control || skip "the root hands no memory controller down"
chmod 711 "$T"
install -d "$T/bin"
cp "$BIN"/* "$T/bin/"
install -d -o $me -g $me -m 700 "$T/user" "$T/user/run" "$T/user/home"
# As systemd does for user@.service: the directory and the files of the kernel's list are the user's.
given=/sys/fs/cgroup/$CG
mkdir "$given"
chown $me:$me "$given" "$given/cgroup.procs" "$given/cgroup.subtree_control" "$given/cgroup.threads"
mkdir "$given/session"
chown -R $me:$me "$given/session"
u() { # in the user's session
	sh -c 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"' u "${session-$given/session}" \
		setpriv --reuid $me --regid $me --clear-groups --inh-caps=-all \
		env -i PATH="$T/bin:$PATH" XDG_RUNTIME_DIR="$T/user/run" HOME="$T/user/home" "$@" </dev/null
}
bundle c 'cat /proc/self/cgroup; ls /sys/fs/cgroup | grep -c memory.max; while :; do sleep 1; done' 'del(.linux.cgroupsPath)
	| .linux.namespaces += [{"type": "user"}] | .linux.uidMappings = [{"containerID": 0, "hostID": 4711, "size": 1}]
	| .linux.gidMappings = .linux.uidMappings | .linux.resources.memory.limit = 67108864 | .linux.resources.pids.limit = 20
	| (.mounts[] | select(.type == "devpts").options) -= ["gid=5"]'
mv "$T/c" "$T/user/c"
chown -R $me:$me "$T/user/c"
is "the facts: what was given" "$(u kapsel-oci facts | jq -r .cgroupBase)" "/$CG"
u kapsel-oci run --detach --bundle "$T/user/c" c >"$T/user/out" 2>&1 || cat "$T/user/out"
cg=$given/kapsel-oci/c
pid=$(u kapsel-oci state c | jq .pid)
is "its cgroup is below" "$(cut -d: -f3 "/proc/$pid/cgroup")" "/$CG/kapsel-oci/c"
is "the limits are set" "$(cat $cg/memory.max $cg/pids.max | tr '\n' ' ')" "67108864 20 "
is "exec is in it" "$(u kapsel-oci exec --detach --pid-file "$T/user/pid" c sleep 100 >"$T/user/out2" 2>&1
	cut -d: -f3 "/proc/$(cat "$T/user/pid")/cgroup")" "/$CG/kapsel-oci/c"
ok "pause" u kapsel-oci pause c
is "it is frozen" "$(grep -c 'frozen 1' $cg/cgroup.events)" 1
ok "resume" u kapsel-oci resume c
ok "update" u kapsel-oci update --pids-limit 30 c
is "the new limit is set" "$(cat $cg/pids.max)" 30
is "inside: the root of its cgroup namespace, and its files" "$(tr '\n' ' ' <"$T/user/out")" "0::/ 1 "
ok "delete --force" u kapsel-oci delete --force c
is "its cgroup is gone" "$(find "$given" -mindepth 1 -type d -name c)" ""
jq '.linux.cgroupsPath = "/elsewhere"' "$T/user/c/config.json" >"$T/other"
cp "$T/user/c/config.json" "$T/first"
cp "$T/other" "$T/user/c/config.json"
like "another's cgroup is refused" "$(u kapsel-oci run --bundle "$T/user/c" c 2>&1 || :)" "/linux/cgroupsPath: .*is not below /$CG.*KAPSEL-NODE-PRIVILEGE"
cp "$T/first" "$T/user/c/config.json"
like "from where nothing was given a limit is refused" "$(session=/sys/fs/cgroup u kapsel-oci run --bundle "$T/user/c" c 2>&1 || :)" \
	'/linux/resources/memory/limit: .*KAPSEL-NODE-PRIVILEGE'
u kapseld --foreground 2>"$T/user/log" &
for _ in $(seq 200); do
	u kapsel version >/dev/null 2>&1 && break
	sleep 0.1
done
u kapsel run --detach --id k "$T/user/c" >"$T/user/out" 2>&1 || cat "$T/user/out" "$T/user/log"
is "the user's kapseld makes its own there, too" "$(cat "$given/kapsel/k/memory.max" 2>&1)" 67108864
ok "and removes them" u kapsel delete --force k
kill "$(pgrep -u $me -x kapseld)"
wait
rmdir "$given/session"
find "$given" -depth -type d -exec rmdir {} +
