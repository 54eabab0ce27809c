#!/bin/sh
# spec-rest: duties of the specification that no other test looks at (tests/spec-checklist)
# timeout: 120
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }
call() { # ARG...: kapsel-oci with them; $out and $code
	set +e
	out=$(oci "$@" 2>&1 </dev/null)
	code=$?
	set -e
}
create() { timeout 20 kapsel-oci --root "$T/oci" create --bundle "$T/$1" --pid-file "$T/$1.pid" "$1" >"$T/$1.out" 2>&1 </dev/null; }
ended() { # NAME: its program has
	for _ in $(seq 100); do
		[ "$(oci state "$1" | jq -r .status)" != stopped ] || return 0
		sleep 0.05
	done
}
cgroup=".linux.cgroupsPath = \"/$CG/one\""

# ---- the configuration is read once
bundle once 'echo before' ".hooks.poststop = [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"echo hook before >>$T/once.out\"]}]"
create once
jq '.process.args[2] = "echo after" | .hooks.poststop[0].args[2] = "echo hook after >>'"$T/once.out"'"' "$T/once/config.json" >"$T/new"
cp "$T/new" "$T/once/config.json"
oci start once
ended once
oci delete once
is "a configuration that is edited after create has no effect" "$(tr '\n' ' ' <"$T/once.out")" "before hook before "
call run --bundle "$T/once" once
is "and its id is free again" "$code $out" "0 after"

# ---- create without a process
bundle none true 'del(.process)'
create none
is "without process a container is created" "$(oci state none | jq -r .status)" created
call start none
like "and start is an error" "$code $out" '^1 .*process'
is "that changes nothing" "$(oci state none | jq -r .status)" created
oci delete --force none

# ---- state
bundle state 'for s in HUP INT USR1 USR2 TERM; do trap "echo $s" $s; done; trap "echo USR1; exit" USR1; echo up; while :; do sleep 0.05; done' '.annotations = {"org.example.a": "b", "empty": ""}'
create state
is "state has id, version, an absolute bundle, a pid of the host and the annotations" \
	"$(oci state state | jq -r --arg b "$T/state" --argjson p "$(cat "$T/state.pid")" \
	'[.id, (.ociVersion | test("^1[.]")), .bundle == $b, .pid == $p, .annotations["org.example.a"], .annotations.empty] | join(" ")')" \
	"state true true true b "
oci start state
for _ in $(seq 100); do [ ! -s "$T/state.out" ] || break; sleep 0.05; done
oci kill state USR1
ended state
is "the container's process gets the signal that was given" "$(tr '\n' ' ' <"$T/state.out")" "up USR1 "
oci delete state
bundle bare 'sleep 60'
create bare
is "no annotations: a map without any, or no map" "$(oci state bare | jq -c '.annotations // {}')" '{}'
oci delete --force bare

# ---- hooks: order, arguments, where they run
host=$(readlink /proc/self/ns/mnt)
tell() { printf '{"path": "/bin/sh", "args": ["%s", "-c", "echo %s $0 $(readlink /proc/self/ns/mnt) $(ls -d /only-inside /proc/1/root/only-inside 2>/dev/null | head -n 1) >>%s"]}' "$1" "$2" "$3"; }
bundle hooks true ".hooks.createRuntime = [$(tell argv0 r1 "$T/told"), $(tell argv0 r2 "$T/told")] | .hooks.createContainer = [$(tell argv0 c1 "$T/told")]
	| .hooks.startContainer = [$(tell sh s1 /dev/shm/told)] | .process.args = [\"/bin/cat\", \"/dev/shm/told\"]"
mkdir "$T/hooks/rootfs/only-inside"
oci run --bundle "$T/hooks" hooks >>"$T/told" </dev/null
is "hooks of a kind run in their order" "$(cut -d' ' -f1 "$T/told" | tr '\n' ' ')" "r1 r2 c1 s1 "
is "args are the whole argv" "$(cut -d" " -f2 "$T/told" | tr "\n" " ")" "argv0 argv0 argv0 sh "
is "createRuntime runs in the runtime's namespaces" "$(sed -n 's/^r[12] argv0 \([^ ]*\).*/\1/p' "$T/told" | sort -u)" "$host"
inside=$(sed -n 's/^s1 sh \([^ ]*\).*/\1/p' "$T/told")
is "createContainer in the container's, found by the runtime's path" "$(sed -n 's/^c1 argv0 \([^ ]*\).*/\1/p' "$T/told")" "$inside"
ok "which is another" [ -n "$inside" ] && [ "$inside" != "$host" ]
is "startContainer is found and runs inside" "$(sed -n 's/^s1 .* //p' "$T/told")" /only-inside
bundle post true ".hooks.poststop = [{\"path\": \"/bin/false\"}, {\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"cat >$T/post.told\"]}]"
create post
oci start post
ended post
call delete post
is "a failing poststop is warned of, and the others run" "$code $(jq -r .status "$T/post.told") $(ls -A "$T/oci")" "0 stopped "
bundle timing 'sleep 60' ".hooks.poststart = [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"sleep 0.3; cat >$T/poststart\"]}]"
create timing
oci start timing
is "poststart is over before start returns" "$(jq -r .status "$T/poststart")" running
oci delete --force timing

# ---- devices, links
bundle dev 'for l in fd stdin stdout stderr; do readlink /dev/$l; done; ls -l /dev/ptmx | grep -c pts/ptmx; stat -c %F /dev/pts /dev/shm'
call run --bundle "$T/dev" dev
is "the links of /dev" "$code $(echo "$out" | tr '\n' ' ')" "0 /proc/self/fd /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 1 directory directory "
bundle file true '.linux.devices = [{"path": "/tmp/x", "type": "c", "major": 1, "minor": 5}]'
echo mine >"$T/file/rootfs/tmp/x"
call run --bundle "$T/file" file
is "a file where a device is to be that does not match is an error" "$code $(cat "$T/file/rootfs/tmp/x")" "1 mine"
bundle nodevices 'ls /dev/null /dev/shm /dev/pts/ptmx 2>/dev/null; echo end' '.mounts |= map(select(.destination == "/proc" or .destination == "/dev"))'
call run --bundle "$T/nodevices" nodevices
is "no file system is mounted that mounts does not name" "$code $(echo "$out" | tr '\n' ' ')" "0 /dev/null end "

# ---- cgroups
bundle one 'sleep 60' "$cgroup"
bundle two 'sleep 60' "$cgroup"
create one
is "an absolute cgroupsPath is below the mount" "$(grep -c ":/$CG/one$" "/proc/$(cat "$T/one.pid")/cgroup")" "$(wc -l <"/proc/$(cat "$T/one.pid")/cgroup")"
call create --bundle "$T/two" two
like "the same path is the same cgroup, and that has processes" "$code $out" '^1 .*cgroup'
ok "which go on" kill -0 "$(cat "$T/one.pid")"
oci delete --force one
bundle relative 'sleep 60' ".linux.cgroupsPath = \"$CG/three\""
create relative
like "a relative one is at a place of the runtime's choice" "$(cat "/proc/$(cat "$T/relative.pid")/cgroup")" "/$CG/three\$"
oci delete --force relative
is "and what was made is removed" "$(find /sys/fs/cgroup -type d -path "*$CG*" | wc -l)" 0

# ---- what need not be there, and a link
bundle least 'echo ran' 'del(.mounts, .hostname) | .linux = {"namespaces": [{"type": "mount"}]}'
call run --bundle "$T/least" least
is "mounts are not required, nor anything of linux but a mount namespace" "$code $out" "0 ran"
bundle nolinux 'echo ran' 'del(.linux, .hostname)'
call run --bundle "$T/nolinux" nolinux
like "which is refused by name where it is lacking" "$code $out" '^1 .*a container needs a mount namespace of its own .*KAPSEL-UNSUPPORTED'
bundle link 'echo ran' '.root.path = "to/rootfs"'
ln -s . "$T/link/to"
call run --bundle "$T/link" link
is "a root path with a link in it is taken" "$code $out" "0 ran"

bundle cwd 'pwd; touch /srv/x/y/z || echo read-only' '.process.cwd = "/srv/x/y"'
call run --bundle "$T/cwd" cwd
is "a working directory that the image lacks is made below a read-only root, too" "$code $(echo "$out" | tr '\n' ' ' | sed 's/touch: .*system //')" "0 /srv/x/y read-only "

# ---- features
oci features >"$T/features"
is "features: both ends of the versions are accepted" "$(for v in $(jq -r '.ociVersionMin, .ociVersionMax' "$T/features"); do
	jq --arg v "$v" '.ociVersion = $v | .process.args = ["/bin/true"]' "$T/dev/config.json" >"$T/new"
	cp "$T/new" "$T/dev/config.json"
	oci run --bundle "$T/dev" dev </dev/null && echo yes
done | tr '\n' ' ')" "yes yes "
is "features: hooks, namespaces, options, seccomp and cgroups are told" "$(jq -r '[(.hooks | length), (.linux.namespaces | length), (.mountOptions | index("ridmap") != null),
	.linux.seccomp.enabled, (.linux.seccomp.actions | index("SCMP_ACT_NOTIFY") != null), .linux.cgroup.v1, .linux.cgroup.v2, (.linux.capabilities | length > 40)] | join(" ")' "$T/features")" \
	"6 8 true true true true true true"
is "features: each mount option that is told is taken" "$(for o in $(jq -r '.mountOptions[]' "$T/features"); do
	case $o in remount | *bind | *idmap | *share* | *priv* | *slave* | *unbind*) continue ;; esac
	jq --arg o "$o" '.mounts += [{"destination": "/mnt", "type": "tmpfs", "source": "x", "options": [$o]}] | .process.args = ["/bin/true"]' "$T/dev/config.json" >"$T/features.json"
	mkdir -p "$T/option" && cp "$T/features.json" "$T/option/config.json" && ln -sfn "$T/dev/rootfs" "$T/option/rootfs"
	oci run --bundle "$T/option" dev </dev/null >"$T/option.out" 2>&1 || echo "$o"
done | tr '\n' ' ')" ""
is "nothing is left" "$(ls -A "$T/oci")" ""
