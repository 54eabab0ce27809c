#!/bin/sh
# hardening-values: values of config.json and of the command line that reach further than they look:
# C13 D04 D09 D12 D13 D19 D28
# timeout: 180
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }
call() { # ARG...: kapsel-oci with them; $out and $code
	set +e
	out=$(timeout 20 kapsel-oci --root "$T/oci" "$@" 2>&1 </dev/null)
	code=$?
	set -e
}
run() { # NAME [JQ-FILTER]: bundle $T/NAME, changed by the filter; $out and $code
	jq "${2:-.}" "$T/$1/config.json" >"$T/changed/config.json"
	[ -e "$T/changed/rootfs" ] || ln -s "$T/plain/rootfs" "$T/changed/rootfs"
	call run --bundle "$T/changed" changed
}
words() { printf '%s' "$1" | tr -s '\n\t' ' '; }
mkdir "$T/changed"
bundle plain 'grep -E "^(Uid|Gid|NoNewPrivs|Seccomp):" /proc/self/status; wc -l </proc/self/uid_map' '.process.noNewPrivileges = true'

# ---- D04: a sysctl's text
host() { cat /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/swappiness /proc/sys/net/ipv4/ip_forward; }
before=$(host)
for pair in '"net.ipv4.ip_forward": "1+kernel.core_pattern=x"' '"net.ipv4.ip_forward": "1\n2"' '"net..ipv4.ip_forward": "1"' \
	'"net/../kernel/core_pattern": "x"' '"net.ipv4/../../kernel/core_pattern": "x"' '"kernel.core_pattern": "x"' \
	'"vm.swappiness": "1"' '"net.ipv4.ip_forward\nkernel.core_pattern": "x"' '"/kernel/core_pattern": "x"' '"kernel.hostname": "x"'; do
	run plain ".linux.sysctl = {$pair}"
	like "D04 $pair is refused" "$code $out" '^1 .*/linux/sysctl/'
done
is "D04 and the host's are as before" "$(host)" "$before"
bundle sysctls 'cat /proc/sys/net/ipv4/ping_group_range' '.linux.sysctl = {"net.ipv4.ping_group_range": "0   5"}'
call run --bundle "$T/sysctls" sysctls
is "a list however parted is the same list" "$code $(words "$out")" "0 0 5"

# ---- D09: ids
for id in 0 1 65534 4294967294; do
	run plain ".process.user = {uid: $id, gid: $id}"
	like "D09 uid $id runs exactly" "$(words "$out")" "^Uid: $id $id $id $id Gid: $id $id $id $id "
done
for id in -1 4294967295 1.5 '"1"' 4294967296 1e0; do
	run plain ".process.user = {uid: 0, gid: 0}"
	sed -i "s/\"uid\": 0/\"uid\": $id/" "$T/changed/config.json"
	call run --bundle "$T/changed" changed
	like "D09 uid $id is refused" "$code $out" '^1 .*/process/user/uid'
done
bundle idle 'while :; do sleep 1; done'
oci run --detach --bundle "$T/idle" idle >"$T/o" 2>&1 </dev/null
for u in 1 1:2 4294967294:0; do
	g=${u#*:}
	[ "$g" != "$u" ] || g=0
	call exec --user $u idle grep -E '^(Uid|Gid)' /proc/self/status
	u=${u%:*}
	is "D09 exec --user $u is that" "$(words "$out")" "Uid: $u $u $u $u Gid: $g $g $g $g"
done
for u in -1 4294967295 4294967296 18446744073709551616 1.5 root '' 1: :1 1:-1 ' 1' 0x1 1:2:3; do
	call exec --user "$u" idle id
	case "$code $out" in 0* | *uid=*) is "D09 exec --user '$u' is refused" "$code $out" "an error" ;; esac
done
like "D09 exec --user: what is no number is refused" "$code $out" '^255 '

# ---- D12: no_new_privs, a filter, a user, in run and in exec
filter='{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}'
for nnp in true false; do for f in "$filter" null; do for uid in 0 7; do
	s=2 n=1
	[ "$f" != null ] || s=0
	[ $nnp = true ] || n=0
	run plain ".process.noNewPrivileges = $nnp | .linux.seccomp = $f | if .linux.seccomp == null then del(.linux.seccomp) else . end
		| .process.user = {uid: $uid, gid: $uid}"
	like "D12 no_new_privs $nnp, filter $s, uid $uid" "$(words "$out")" "^Uid: $uid .*NoNewPrivs: $n Seccomp: $s "
	jq '.process.args = ["/bin/sleep", "50"]' "$T/changed/config.json" >"$T/c" && cp "$T/c" "$T/changed/config.json"
	oci run --detach --bundle "$T/changed" into >"$T/o" 2>&1 </dev/null || :
	jq ".process | .args = [\"grep\", \"-E\", \"^(Uid|NoNewPrivs|Seccomp):\", \"/proc/self/status\"]" "$T/changed/config.json" >"$T/process.json"
	call exec --process "$T/process.json" into
	like "D12 exec: the same" "$(words "$out")" "^Uid: $uid .*NoNewPrivs: $n Seccomp: $s"
	call delete --force into
done; done; done
# Between the filter and execve there is nothing that a filter could forbid.
run plain '.process.args = ["true"] | .linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_KILL_PROCESS", "names":
	["faccessat2", "faccessat", "openat2", "newfstatat", "fstatat64", "sendmsg", "sendto", "close_range", "fcntl", "poll", "ppoll", "recvmsg", "clone3", "statx"]}]}'
is "D12 a filter that leaves execve and not much more" "$code $out" "0 "

# ---- D13: id maps at their limits
map() { jq -n "[range($1) | {containerID: ., hostID: (. + ${first:-1000}), size: 1}]"; }
user() { # N JQ: N lines each, then changed
	run plain '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = '"$(map "$1")"' | .linux.gidMappings = .linux.uidMappings | '"$2"
}
user 340 .
like "D13 340 lines run" "$code $(words "$out")" '^0 Uid: 0 .* 340$'
user 341 .
like "D13 341 lines are refused" "$code $out" '^1 .*/linux/[ug]idMappings'
first=1000000000 # a page is all that the kernel takes in one write
user 340 .
like "D13 340 lines of more than a page are refused" "$code $out" '^1 .*/linux/uidMappings'
first=1000
user 2 '.linux.uidMappings[1].containerID = 0'
like "D13 overlap inside" "$code $out" '^1 .*/linux/uidMappings/1'
user 2 '.linux.gidMappings[1].hostID = 1000'
like "D13 overlap outside" "$code $out" '^1 .*/linux/gidMappings/1'
user 2 '.linux.uidMappings[1] = {containerID: 1, hostID: 4294967290, size: 10}'
like "D13 wrap" "$code $out" '^1 .*/linux/uidMappings/1/size'
user 2 '.process.user.uid = 7'
like "D13 an id that is not mapped is refused" "$code $out" '^1 '
call delete --force idle

# ---- D19: each field that holds text, at 65,535 and at 65,536 bytes: whole, or refused
ok "D19 no text is cut" timeout 120 python3 tests/system/hardening-strings.py "$T/plain/config.json" "$T/oci"
cat "$T/ok.out"

# ---- D28: cgroups that are not the container's
v1=$(awk '$9 == "cgroup" && $11 ~ /pids/ || $(NF-2) == "cgroup" && $NF ~ /pids/ { print $5 }' /proc/self/mountinfo | head -n 1)
top=${v1:-/sys/fs/cgroup}
mkdir -p "$top/$CG/strangers" "$top/$CG/empty"
sleep 500 &
stranger=$!
echo $stranger >"$top/$CG/strangers/cgroup.procs"
for path in "" / . .. "/$CG/strangers/.." /../strangers "/$CG/strangers" //; do
	run plain ".linux.cgroupsPath = \"$path\" | .process.args = [\"cat\", \"/proc/self/cgroup\"]
		| .linux.namespaces = [.linux.namespaces[] | select(.type != \"cgroup\")]"
	case $path in
	"") like "D28 cgroupsPath '': one of its own" "$code $(words "$out")" ':/kapsel-oci/changed' ;;
	"/$CG/strangers") like "D28 cgroupsPath with strangers in it: refused" "$code $out" '^1 .*KAPSEL-CGROUP-BUSY' ;;
	*) like "D28 cgroupsPath '$path': refused" "$code $out" '^1 .*/linux/cgroupsPath' ;;
	esac
done
is "D28 the stranger is there, alive and not frozen" \
	"$(cat "$top/$CG/strangers/cgroup.procs") $(awk '{ print $3 }' "/proc/$stranger/stat") $(cat "$top/$CG/strangers/cgroup.freeze" 2>/dev/null || echo 0)" "$stranger S 0"
run plain ".linux.cgroupsPath = \"/$CG/empty\" | .process.args = [\"/none\"]"
is "D28 a failed create leaves a cgroup that was there before" "$code $(ls -d "$top/$CG/empty")" "1 $top/$CG/empty"
kill $stranger
wait $stranger 2>/dev/null || :
rmdir "$top/$CG/strangers" "$top/$CG/empty" "$top/$CG"
find /sys/fs/cgroup -depth -type d -path "*/$CG*" -exec rmdir {} + 2>/dev/null || :

# ---- C13: ids and signals, in every command and before any path is made
mkdir "$T/empty"
for id in '' . .. a/b /etc ../x -x .x 'a b' 'a
b' "$(printf '\033')" ä "$(head -c 1025 /dev/zero | tr '\0' a)"; do
	for c in "create --bundle $T/plain" "run --bundle $T/plain" start state kill delete "delete --force" pause resume ps exec; do
		# shellcheck disable=SC2086 # words
		set +e
		out=$(timeout 20 kapsel-oci --root "$T/empty/oci" $c -- "$id" 2>&1 </dev/null)
		code=$?
		set -e
		case "$code" in
		0) is "C13 $c '$id' is refused" "$code $out" "an error" ;;
		esac
	done
done
is "C13 no id that is none makes a path" "$(find "$T/empty")" "$T/empty"
ok "C13 _a+b.c-1 is one" oci create --bundle "$T/idle" _a+b.c-1
for s in 9x 0x9 -9 '' SIGNONE 65 ' 9' 9.0; do
	call kill _a+b.c-1 "$s"
	case $code in 0) is "C13 signal '$s' is refused" "$code $out" "an error" ;; esac
done
call delete --force _a+b.c-1
is "C13 (delete)" "$code" 0
