#!/bin/sh
# memory: an empty kapseld, the share of an idle container, and nothing that grows over create and delete
# timeout: 900
# alone
. tests/lib.sh
cycles=${CYCLES:-500} idle=${IDLE:-50}
bundle b 'sleep 1000' 'del(.linux.cgroupsPath) | .process.args = ["/bin/sleep", "1000"]'
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$daemon/status"; }
private() { awk '/^Anonymous:/ { print $2 }' "/proc/$1/smaps_rollup"; }
whole() { for p; do cat "/proc/$p/smaps_rollup"; done | awk '/^Private_/ { n += $2 } END { print n + 0 }'; }
empty=$(rss)
echo "# empty kapseld: RSS $empty KiB, of it its own (not the libraries' files) $(private "$daemon") KiB"
ok "an empty kapseld is at most 4 MiB" [ "$empty" -le 4096 ]
for i in $(seq 5); do kapsel run -d --id "warm$i" "$T/b" >/dev/null; done
kapsel delete --force --all >/dev/null
sleep 1
before=$(whole "$daemon")
for i in $(seq "$idle"); do kapsel run -d --id "i$i" "$T/b" >/dev/null; done
sleep 2
monitors=''
for p in $(for i in $(seq "$idle"); do kapsel inspect --field pid "i$i"; done); do
	monitors="$monitors $(ps -o ppid= -p "$p")"
done
# shellcheck disable=SC2086 # a list of pids
of_monitors=$(whole $monitors)
of_daemon=$(($(whole "$daemon") - before))
each=$(((of_monitors + of_daemon) * 10 / idle))
echo "# an idle container, of $idle: monitor $((of_monitors / idle)) + kapseld $((of_daemon * 10 / idle))/10 = $((each / 10)).$((each % 10)) KiB (at most 64)"
ok "an idle container costs at most 64 KiB" [ $each -le 640 ]
is "all are monitors" "$(echo $monitors | wc -w)" "$idle"
kapsel delete --force --all >/dev/null

python3 - "$T" "$cycles" "$daemon" >"$T/grow" <<'END' || failed=1
import json, socket, sys
T, cycles, pid = sys.argv[1], int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_UNIX); s.connect(T + "/sock"); s.settimeout(30)
def call(method, **p):
    s.sendall(json.dumps({"method": "io.kapsel.Containers." + method, "parameters": p}).encode() + b"\0")
    t = b""
    while not t.endswith(b"\0"):
        piece = s.recv(65536)
        assert piece, "hung up"
        t += piece
    t = json.loads(t[:-1])
    assert "error" not in t, t
def numbers():
    import os
    rss = [int(l.split()[1]) for l in open("/proc/%s/status" % pid) if l.startswith("VmRSS")][0]
    return rss, len(os.listdir("/proc/%s/fd" % pid))
first = None
for i in range(cycles):
    call("Create", id="c%d" % i, bundle=T + "/b")
    call("Delete", id="c%d" % i, force=True)
    if i % max(1, cycles // 5) == cycles // 5 - 1:
        print("# after %d: RSS %d KiB, fds %d" % ((i + 1,) + numbers()), flush=True)
        first = first or numbers()
last = numbers()
print(("ok" if last[0] <= first[0] + 256 and last[1] <= first[1] + 2 else "NOT OK") +
      " - over %d create and delete: RSS %d -> %d KiB, fds %d -> %d" % (cycles, first[0], last[0], first[1], last[1]))
END
cat "$T/grow"
! grep -q "^NOT" "$T/grow" || failed=1
