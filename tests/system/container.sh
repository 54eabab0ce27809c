#!/bin/sh
# container: hooks of every kind, joined namespaces, root file systems that mean ill, what must not leak
# timeout: 120
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }
run() { # NAME: runs bundle $T/NAME; $out and $code
	set +e
	out=$(oci run --bundle "$T/$1" "$1" 2>&1 </dev/null)
	code=$?
	set -e
}

# ---- hooks
# proves: /hooks/{prestart,createRuntime,createContainer,poststart,poststop}/-/{path,args,env}
# proves: /hooks/startContainer/-/{path,args,env}
cat >"$T/hook" <<EOF
#!/bin/sh
{ printf '%s ' "\$1"; cat; echo; echo "fds \$1 \$(ls /proc/self/fd | tr '\n' ' ')"; echo "env \$1 \$(env | grep -v ^PWD | tr '\n' ' ')"; } >>"$T/told"
exit \${2:-0}
EOF
chmod +x "$T/hook"
hook() { printf '[{"path": "%s", "args": ["hook", "%s", "%s"], "env": ["ONLY=this"]}]' "$T/hook" "$1" "${2:-0}"; }
all=$(for k in prestart createRuntime createContainer poststart poststop; do printf '.hooks.%s = %s | ' $k "$(hook $k)"; done)
bundle hooks 'true' "$all"' .hooks.startContainer = [{"path": "/bin/sh", "args": ["sh", "-c", "cat >/dev/shm/state; echo $ONLY >>/dev/shm/state"],
		"env": ["ONLY=this", "PATH=/bin"]}]
	| .process.args = ["/bin/sh", "-c", "cat /dev/shm/state"]'
: >"$T/told"
run hooks
is "all hooks: status" "$code" 0
is "in the order of the specification" "$(grep -v -e ^fds -e ^env "$T/told" | cut -d' ' -f1 | tr '\n' ' ')" \
	"prestart createRuntime createContainer poststart poststop "
is "with their status" "$(grep -o '"status":"[a-z]*"' "$T/told" | cut -d'"' -f4 | tr '\n' ' ')" \
	"creating creating creating running stopped "
like "startContainer runs inside, and is told so" "$out" '"status":"created","pid":1,'
is "and has its own environment" "$(echo "$out" | tail -n 1 | sed 's/.*}//')" this
is "a hook has fds 0 to 2" "$(grep ^fds "$T/told" | cut -d' ' -f3- | sort -u | cut -c1-8)" "0 1 2 3 "
is "and the environment of the configuration" "$(grep ^env "$T/told" | cut -d' ' -f3- | sort -u)" "ONLY=this "
for k in prestart createRuntime createContainer startContainer poststart; do
	: >"$T/told"
	case $k in startContainer) h='[{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]' ;; *) h=$(hook $k 3) ;; esac
	bundle "fails$k" 'echo started; sleep 5' ".hooks.$k = $h | .hooks.poststop = $(hook poststop)"
	run "fails$k"
	like "a failing $k hook: named" "$code $(echo "$out" | tr '\n' ' ')" "^1 .*hook.*ended with status 3"
	is "and poststop has run" "$(grep -c ^poststop "$T/told")" 1
	[ $k = poststart ] || is "and the program has not" "$(echo "$out" | grep -c ^started)" 0
done
bundle hangs 'true' '.hooks.createRuntime = [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 71 & sleep 72"], "timeout": 1}]'
run hangs
like "a hanging hook is ended in time" "$out" 'did not end within 1 s'
is "with its children" "$(pgrep -f 'sleep 7[12]' | wc -l)" 0

# ---- namespaces
# proves: /linux/namespaces/-/path
cat >"$T/holder.py" <<'EOF'
import ctypes, os, sys, time
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    ctypes.CDLL(None).unshare(0x10000000 | 0x40000000 | 0x04000000)  # user, net, uts
    os.write(w, b"x")
    os.close(1)
    time.sleep(60)
    os._exit(0)
os.read(r, 1)
for name in ("uid_map", "gid_map"):
    with open("/proc/%d/%s" % (pid, name), "w") as f:
        f.write("0 100000 65536")
print(pid)
EOF
holder=$(python3 "$T/holder.py" </dev/null)
net=$(readlink "/proc/$holder/ns/net") user=$(readlink "/proc/$holder/ns/user")
look='readlink /proc/self/ns/net; readlink /proc/self/ns/user; id -u; cat /proc/self/uid_map'
joined=".linux.namespaces += [{\"type\": \"user\", \"path\": \"/proc/$holder/ns/user\"}]
	| (.linux.namespaces[] | select(.type == \"network\")).path = \"/proc/$holder/ns/net\""
bundle joins "$look" "$joined"
run joins
is "a user namespace with a path is joined, and its network namespace" \
	"$(echo "$out" | tr -s ' \n' ' ')" "$net $user 0 0 100000 65536 "
bundle created "$look; sleep 30" "$joined"
oci create --bundle "$T/created" --pid-file "$T/pid" created >"$T/created.out" 2>&1 </dev/null
ok "also by create and start" oci start created
sleep 0.3
is "in that user namespace" "$(readlink "/proc/$(cat "$T/pid")/ns/user")" "$user"
oci delete --force created
kill "$holder"
unshare -n sleep 60 &
other=$!
sleep 0.2
maps='.linux.uidMappings = [{"containerID": 0, "hostID": 100000, "size": 65536}] | .linux.gidMappings = .linux.uidMappings'
bundle foreign "$look" ".linux.namespaces += [{\"type\": \"user\"}] | $maps | .mounts = [.mounts[] | select(.type != \"sysfs\"
	and .type != \"cgroup\")] | (.linux.namespaces[] | select(.type == \"network\")).path = \"/proc/$other/ns/net\""
run foreign
is "a new user namespace with another's network" "$(echo "$out" | head -n 1)" "$(readlink "/proc/$other/ns/net")"
bundle mistaken true "(.linux.namespaces[] | select(.type == \"network\")).path = \"/proc/$other/ns/uts\""
run mistaken
like "a namespace of another type is refused" "$out" 'is no network namespace'
kill $other
wait $other 2>/dev/null || :

# ---- a root file system that means ill
mkdir "$T/victim"
echo untouched >"$T/victim/file"
for d in dev proc sys dev/pts; do
	bundle evil 'true'
	rm -rf "$T/evil/rootfs/$d"
	mkdir -p "$T/evil/rootfs/$(dirname $d)"
	ln -s "$T/victim" "$T/evil/rootfs/$d"
	run evil
	is "/$d is a link to a directory of the host: that is left alone" "$(ls -A "$T/victim")" file
	rm -rf "$T/evil"
done
for l in /dev/null /dev/console /dev/pts/0; do
	bundle evil 'true' '.mounts = [.mounts[] | select(.destination != "/dev")]'
	rm -rf "$T/evil/rootfs$l"
	mkdir -p "$T/evil/rootfs/dev"
	ln -s "$T/victim/file" "$T/evil/rootfs/dev/$(basename $l)"
	run evil
	is "$l is a link to a file of the host: that is left alone" "$(cat "$T/victim/file")" untouched
	rm -rf "$T/evil"
done
bundle target true ".mounts += [{\"destination\": \"/proc/self/fd\", \"type\": \"tmpfs\", \"source\": \"tmpfs\"}]"
run target
like "nothing but a procfs is mounted in a procfs" "$code" '^1$'

# ---- what must not leak
bundle fds 'ls /proc/self/fd'
set +e
out=$(exec 5</dev/null 9</dev/null 7</dev/null; oci run --bundle "$T/fds" fds </dev/null)
set -e
is "of the caller's fds only 0 to 2" "$(echo "$out" | tr '\n' ' ')" "0 1 2 3 "
for n in 3 5 7 8 9; do
	bundle cwd$n 'echo started' ".process.cwd = \"/proc/self/fd/$n\""
	run cwd$n
	is "cwd /proc/self/fd/$n is refused" "$code $(echo "$out" | grep -c ^started)" "1 0"
done
bundle exe 'sleep 30'
sum=$(sha256sum <"$BIN/kapsel-oci")
oci create --bundle "$T/exe" --pid-file "$T/pid" exe >"$T/exe.out" 2>&1 </dev/null
exec 8<"/proc/$(cat "$T/pid")/exe"
oci delete --force exe
set +e
(echo x >/proc/self/fd/8) 2>"$T/exe.err"
set -e
exec 8<&-
like "this program cannot be written through /proc/PID/exe" "$(cat "$T/exe.err")" 'Read-only file system'
is "and has not been" "$(sha256sum <"$BIN/kapsel-oci")" "$sum"
is "no cgroup is left" "$(find /sys/fs/cgroup -type d -path "*$CG/*" | head -n 3)" ""
