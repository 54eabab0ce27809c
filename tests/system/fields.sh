#!/bin/sh
# fields: what the matrix' probe cannot see from inside: an exec's CPUs, a terminal's size, a listener of seccomp
# timeout: 60
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }

# proves: /process/execCPUAffinity/{initial,final}
bundle cpus 'sleep 60'
oci create --bundle "$T/cpus" cpus >"$T/out" 2>&1 </dev/null
oci start cpus
online=$(nproc)
last=$((online - 1))
affine() { # AFFINITY: which CPUs a program of this exec may use
	jq -n --argjson a "$1" '{cwd: "/", user: {uid: 0, gid: 0}, args: ["grep", "Cpus_allowed_list", "/proc/self/status"],
		env: ["PATH=/bin"], execCPUAffinity: $a}' >"$T/process.json"
	oci exec --process "$T/process.json" cpus | cut -f2
}
is "initial and final: the last counts" "$(affine "{\"initial\": \"0\", \"final\": \"$last\"}")" $last
is "final alone" "$(affine '{"final": "0"}')" 0
is "initial alone" "$(affine "{\"initial\": \"$last\"}")" $last
is "none: all of the container's" "$(affine '{}')" "$([ "$online" = 1 ] && echo 0 || echo 0-$last)"
oci delete --force cpus

# proves: /process/terminal /process/consoleSize/{height,width}
cat >"$T/console.py" <<'PY'
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(1)
s.settimeout(20)
peer = s.accept()[0]
_, control, _, _ = peer.recvmsg(4096, 1024)
master = array.array("i", control[0][2][:4])[0]
peer.close()
while True:
    try:
        data = os.read(master, 4096)
    except OSError:
        break
    if not data:
        break
    sys.stdout.buffer.write(data)
PY
bundle console 'tty; busybox stty size; ls -l /proc/self/fd/0 | sed "s/.*-> //"' \
	'.process.terminal = true | .process.consoleSize = {"height": 31, "width": 97}'
python3 "$T/console.py" "$T/c.sock" >"$T/said" &
console=$!
for _ in $(seq 100); do [ ! -S "$T/c.sock" ] || break; sleep 0.05; done
oci run --detach --bundle "$T/console" --console-socket "$T/c.sock" console >"$T/out" 2>&1 </dev/null || { cat "$T/out"; failed=1; }
wait $console || failed=1
is "a terminal of its own, of the size that is asked" "$(tr -d '\r' <"$T/said" | tr '\n' ' ')" "/dev/pts/0 31 97 /dev/pts/0 "
oci delete --force console

# proves: /linux/seccomp/{listenerPath,listenerMetadata}
cat >"$T/listener.py" <<'PY'
import array, fcntl, json, os, socket, struct, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(1)
s.settimeout(20)
peer = s.accept()[0]
data, control, _, _ = peer.recvmsg(65536, 1024)
fds = array.array("i", control[0][2])
state = json.loads(data)
print(state["fds"], state["metadata"], state["state"]["id"], state["state"]["status"], state["pid"] > 0, len(fds), flush=True)
request = bytearray(80)
fcntl.ioctl(fds[0], 0xC0502100, request)  # SECCOMP_IOCTL_NOTIF_RECV
id, pid, flags, nr = struct.unpack_from("=QIIi", request)
print("asked for call", nr, flush=True)
fcntl.ioctl(fds[0], 0xC0182101, struct.pack("=QqiI", id, 0, -75, 0))  # SECCOMP_IOCTL_NOTIF_SEND: EOVERFLOW
PY
bundle notify 'mkdir /tmp/x' ".linux.seccomp = {\"defaultAction\": \"SCMP_ACT_ALLOW\", \"listenerPath\": \"$T/n.sock\",
	\"listenerMetadata\": \"who it is\", \"syscalls\": [{\"names\": [\"mkdir\"], \"action\": \"SCMP_ACT_NOTIFY\"}]}"
python3 "$T/listener.py" "$T/n.sock" >"$T/said" 2>&1 &
listener=$!
for _ in $(seq 100); do [ ! -S "$T/n.sock" ] || break; sleep 0.05; done
set +e
oci run --bundle "$T/notify" notify >"$T/out" 2>&1 </dev/null
set -e
wait $listener || failed=1
is "the listener gets the state, the metadata and the fd" "$(head -n 1 "$T/said")" "['seccompFd'] who it is notify creating True 1"
is "and the call" "$(tail -n 1 "$T/said")" "asked for call 83"
like "whose answer is the program's" "$(cat "$T/out")" 'too large for defined data type'
