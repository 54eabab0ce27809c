#!/bin/sh
# hardening-root: a root file system, and its other users, that mean ill: D01 D02 D03 D14 D15
# HARDENING_RACES (200): how many containers are made while their root changes under them
# timeout: 300
LIB_NO_DAEMON=1
. tests/lib.sh
races=${HARDENING_RACES:-200}
in_time() { [ "$races" -gt 200 ] || [ $(($(date +%s) - begun)) -lt "$1" ]; } # on a busy machine it is fewer

oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }
run() { # NAME: runs bundle $T/NAME; $out and $code
	set +e
	out=$(oci run --bundle "$T/$1" "$1" 2>&1 </dev/null)
	code=$?
	set -e
}
marked() { find "$T/marker" -printf '%p %y %m %U %G %s %T@ %C@ %l\n' | sort | sha256sum; }
mkdir -p "$T/marker/sub" "$T/marker/pts" "$T/marker/shm" "$T/marker/mqueue"
for f in file null console sub/file; do echo untouched >"$T/marker/$f"; done
chmod 600 "$T/marker/file" "$T/marker/null"
before=$(marked)

# ---- D01: links where mounts and devices go, absolute and relative, to a directory and to a file
bare='.mounts = [.mounts[] | select(.destination | startswith("/dev") | not)]' # devices go into the root's own /dev
extra='.process.args = ["/bin/true"] | .mounts += [{"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"},
	{"destination": "/mnt/a/b", "type": "tmpfs", "source": "tmpfs"},
	{"destination": "/mnt/f", "type": "bind", "source": "/etc/passwd", "options": ["bind"]}]'
up=../../../../../../../../..
bundle full true "$extra"
bundle bare true "$extra | $bare"
bundle tty true "$extra | $bare | .process.terminal = true | .mounts += [{\"destination\": \"/dev/pts\",
	\"type\": \"devpts\", \"source\": \"devpts\", \"options\": [\"newinstance\", \"ptmxmode=0666\"]}]"
evil() { # CONFIG NAME TARGET: the bundle evil, whose root has a link /NAME to TARGET and little else
	rm -rf "$T/evil"
	mkdir -p "$T/evil/rootfs/bin" "$T/evil/rootfs/$(dirname "$2")"
	ln "$T/rootfs/bin/busybox" "$T/evil/rootfs/bin/true"
	ln -s "$3" "$T/evil/rootfs/$2"
	cp "$T/$1/config.json" "$T/evil/"
}
tried=0
for name in dev proc sys dev/null dev/console dev/pts dev/shm dev/mqueue mnt; do
	for to in "$T/marker" "$up$T/marker" "$T/marker/file" "$T/marker/sub/new"; do
		for config in full bare; do
			evil $config $name "$to"
			run evil
			tried=$((tried + 1))
			[ "$before" = "$(marked)" ] || is "D01 /$name -> $to ($config): the host's is as before" changed untouched
		done
	done
done
is "D01 $tried roots with a link: the marker tree is as before" "$(marked)" "$before"
for to in "$T/marker/console" "$up$T/marker/console"; do # with a terminal there is a console
	evil tty dev/console "$to"
	rm -f "$T/console"
	timeout 20 python3 tests/system/hardening-console.py "$T/console" >"$T/o" 2>&1 &
	while [ ! -S "$T/console" ]; do sleep 0.02; done
	oci create --bundle "$T/evil" --console-socket "$T/console" evil >"$T/o" 2>&1 </dev/null || :
	oci delete --force evil
	kill $! 2>/dev/null || :
	wait $! 2>/dev/null || :
	is "D01 /dev/console -> $to with a terminal" "$(marked)" "$before"
done

# ---- D02: directory and link, device and link change places meanwhile
bundle race true "$bare"' | .process.args = ["/bin/true"]
	| .linux.devices = [{"path": "/r/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438}]
	| .mounts += [{"destination": "/d/@/new", "type": "tmpfs", "source": "tmpfs"},
		{"destination": "/d/@f", "type": "bind", "source": "/etc/passwd", "options": ["bind"]}]'
mv "$T/race/config.json" "$T/race.json"
r=$T/race/rootfs
mkdir "$r/d" "$r/r"
ln -s "$T/marker" "$r/d.link"
mknod "$r/r/null" c 1 3
ln -s "$T/marker/file" "$r/r/null.link"
python3 tests/system/hardening-race.py "$r/d" "$r/d.link" "$r/r/null" "$r/r/null.link" >"$T/swaps" &
racer=$!
made=0 tries=0 begun=$(date +%s)
while [ $tries -lt "$races" ] && in_time 40; do
	tries=$((tries + 1))
	sed "s,@,$tries,g" "$T/race.json" >"$T/race/config.json"
	run race
	[ "$code" != 0 ] || made=$((made + 1))
done
kill $racer
wait $racer 2>/dev/null || :
is "D02 $tries creates, $made of them successful, $(cat "$T/swaps") swaps: the marker tree is as before" "$(marked)" "$before"
ok "D02 and it was a race: some were made, some refused" [ "$made" -gt 0 -a "$made" -lt $tries ]

# /proc moves while what is masked in it is looked for: the procfs is then seen by the other name
bundle moves 'for d in /proc /other; do cat $d/timer_list 2>/dev/null; done | wc -c' '.linux.maskedPaths = ["/proc/timer_list"]'
r=$T/moves/rootfs
mkdir "$r/other"
python3 tests/system/hardening-race.py "$r/proc" "$r/other" >"$T/swaps" &
racer=$!
shown=0 ran=0 tries=0 begun=$(date +%s)
while [ $tries -lt $((races / 4)) ] && in_time 40; do
	tries=$((tries + 1))
	run moves
	case $out in 0) ran=$((ran + 1)) ;; *[!0-9]*) ;; *) shown=$((shown + 1)) ;; esac
done
kill $racer
wait $racer 2>/dev/null || :
is "D02 /proc moves meanwhile ($(cat "$T/swaps") swaps, $ran ran): what is masked is not seen" "$shown" 0
ok "D02 and some ran" [ $ran -gt 0 ]

# ---- D03: a /proc that is none, or lies
fake() { # NAME SCRIPT: the script in a mount namespace of its own, then the bundle run; $out and $code
	set +e
	out=$(timeout 20 unshare --mount --propagation private sh -c "$2; exec kapsel-oci --root $T/oci run --bundle $T/$1 $1" 2>&1 </dev/null)
	code=$?
	set -e
}
bundle proc 'cat /proc/sys/net/ipv4/ip_forward; grep ^NoNewPrivs /proc/self/status' '.linux.sysctl = {"net.ipv4.ip_forward": "1"}'
true_one="0 1 NoNewPrivs: 1"
echo untouched >"$T/false"
fake proc 'mount -t tmpfs tmpfs /proc'
is "D03 a tmpfs over /proc: nothing is made" "$([ "$code" != 0 ] && oci list -q)" ""
like "D03 and the call says so" "$code $out" '^1 .*/proc'
fake proc "mount --bind $T/false /proc/sys/net/ipv4/ip_forward"
is "D03 a file over a sysctl: it gets nothing, the container what it asked" \
	"$(cat "$T/false") $code $(echo "$out" | tr -s '\n\t' ' ')" "untouched $true_one "
fake proc 'mount --bind /proc/1 /proc/self'
is "D03 another process over /proc/self: its own are read" "$code $(echo "$out" | tr -s '\n\t' ' ')" "$true_one "
like "D03 (unshare works)" "$(fake proc 'mount -t tmpfs -o size=4k tmpfs /mnt'; echo "$code $out" | tr -s '\n\t' ' ')" "^$true_one"

# ---- D14: read-only from the first moment (which options there are: matrix.sh)
mkdir -p "$T/source/below"
mount -t tmpfs tmpfs "$T/source/below"
bundle poll true '.process.args = ["/bin/true"] | .mounts += [
	{"destination": "/poll/bind", "type": "bind", "source": "'"$T/source"'", "options": ["bind", "ro"]},
	{"destination": "/poll/rbind", "type": "bind", "source": "'"$T/source"'", "options": ["rbind", "rro"]},
	{"destination": "/poll/tmpfs", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]},
	{"destination": "/poll/copy", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "tmpcopyup"]},
	{"destination": "/poll/mqueue", "type": "mqueue", "source": "mqueue", "options": ["ro"]}]'
mkdir -p "$T/poll/rootfs/poll/copy/with/some"
seq 1000 >"$T/poll/rootfs/poll/copy/with/some/file"
python3 tests/system/hardening-poll.py /poll/bind /poll/rbind /poll/rbind/below /poll/tmpfs /poll/copy /poll/mqueue /poll/sys /poll/cgroup >"$T/polled" &
poller=$!
for i in $(seq 40); do run poll; done
kill $poller
wait $poller 2>/dev/null || :
is "D14 who looks meanwhile sees no mount writable that was asked read-only" "$(tr -s ' ' <"$T/polled")" "read 1 writable 0 "
umount "$T/source/below"

# ---- D15: what masked and read-only paths, and the devices, are from inside
bundle masked 'stat -c "%t:%T" /dev/null; cat /proc/timer_list | wc -c; ls -A /proc/fs | wc -l
	for f in /proc/fs/x /proc/sys/kernel/hostname /etc/sub/x; do echo x 2>&1 >$f | grep -o "Read-only file system"; done
	touch /proc/timer_list && echo x >/proc/timer_list && cat /proc/timer_list | wc -c' \
	'.root.readonly = false | .linux.maskedPaths = ["/proc/timer_list", "/proc/fs"] | .linux.readonlyPaths = ["/proc/sys", "/etc/sub", "/none"]'
mkdir "$T/masked/rootfs/etc/sub"
run masked
is "D15 null is 1:3, what is masked is empty, what is read-only says EROFS" "$(echo "$out" | tr '\n' ' ')" \
	"1:3 0 0 Read-only file system Read-only file system Read-only file system 0 "
