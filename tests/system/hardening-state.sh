#!/bin/sh
# hardening-state: a state that names a stranger (D24), a log that is byte-exact (D20), an exec that floods (D21)
# HARDENING_FLOOD (300): MB that an exec writes. D23: tests/unit/sys/test_replace.c
# timeout: 120
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }

# ---- D24: the number in a state is another's now
bundle web 'while :; do sleep 1; done'
oci create --bundle "$T/web" --pid-file "$T/pid" web >"$T/o" 2>&1 </dev/null
pid=$(cat "$T/pid")
sleep 500 &
stranger=$!
start=$(awk '{ print $22 }' "/proc/$stranger/stat")
cp -a "$T/oci/web" "$T/kept" # delete removes the state, and rightly so: its process is gone
cp "$T/oci/web/oci.json" "$T/oci.json"
as() { # JQ: the state changed so
	jq "$1" "$T/oci.json" >"$T/oci/web/oci.json"
}
tried=0
for change in ".pid = $stranger" ".pid = $stranger | .startTime = $start | .bootId = \"0\"" ".pid = 1" ".pid = $stranger | .startTime = 1" ".pid = 0" ".pid = -1"; do
	as "$change"
	cmp -s "$T/oci.json" "$T/oci/web/oci.json" && continue
	for c in 'kill web KILL' 'kill web 15' 'kill --all web KILL' 'pause web' 'start web' 'exec web true' 'delete web'; do
		set +e
		# shellcheck disable=SC2086 # words
		oci $c >"$T/o" 2>&1 </dev/null
		set -e
		tried=$((tried + 1))
		[ -d "$T/oci/web" ] || cp -a "$T/kept" "$T/oci/web"
	done
	is "D24 a state with $change: a stranger is there, and was not stopped" \
		"$(awk '{ print $3, $22 }' "/proc/$stranger/stat" 2>&1)" "S $start"
done
ok "D24 ($tried commands)" [ $tried -gt 20 ]
kill $stranger
wait $stranger 2>/dev/null || :
cp "$T/oci.json" "$T/oci/web/oci.json"
kill -KILL "$pid" 2>/dev/null || :
oci delete --force web

# ---- D20: what a container writes is what its log has; on a terminal it cannot command
cat >"$T/write.py" <<'PY'
import sys
sys.stdout.buffer.write(b"nul \0 esc \x1b[2J\x1b]0;x\x07 cr \r bad \xff\xfe\xc0\xaf c1 \xc2\x9b31m\n")
sys.stdout.buffer.write(bytes(range(256)).replace(b"\n", b"") * 4 + b"\n")
sys.stdout.buffer.write(b"L" * (10 << 20) + b"\n")
sys.stdout.buffer.write(b"no end")
PY
python3 "$T/write.py" >"$T/written"
bundle bytes 'cat /written' '.annotations = {"io.kapsel.log.max-size": "64m"}'
cp "$T/written" "$T/bytes/rootfs/written"
kapsel run -d --id bytes "$T/bytes" >"$T/o"
kapsel wait -q bytes >"$T/o" || :
kapsel logs bytes >"$T/read"
ok "D20 NUL, ESC, CR, bad UTF-8, a line of 10 MB: the log is byte for byte the same" cmp "$T/written" "$T/read"
kapsel run --id again "$T/bytes" >"$T/through"
ok "D20 as is what passes through run" cmp "$T/written" "$T/through"
SHELL=/bin/sh script -qec "kapsel logs bytes" /dev/null 2>&1 </dev/null | head -c 3000 >"$T/tty" || :
is "D20 on a terminal no byte of it commands" "$(LC_ALL=C tr -d '\r\n' <"$T/tty" | LC_ALL=C tr -d -c '\000-\037\177' | wc -c)" 0
like "D20 but is shown" "$(LC_ALL=C head -c 200 "$T/tty")" '\\x1b\[2J'
bundle words true '.hostname = "a\u001b[2J\nb" | .process.args = ["/no\u001b[31mne"]'
set +e
kapsel run --id words "$T/words" >"$T/o" 2>&1
jq '.hostname = "a"' "$T/words/config.json" >"$T/c" && cp "$T/c" "$T/words/config.json"
kapsel run --id words "$T/words" >>"$T/o" 2>&1
set -e
is "D20 nor in messages of Kapsel" "$(LC_ALL=C tr -d '\n' <"$T/o" | LC_ALL=C tr -d -c '\000-\037\177' | wc -c)" 0
like "D20 (there were such)" "$(tr '\n' ' ' <"$T/o")" '\\x1b\[31m'

# ---- D21: an exec that writes more than there is room for
bundle idle 'while :; do sleep 1; done'
kapsel run -d --id idle "$T/idle" >"$T/o"
disk() { du -sk "$T/run" "$T/state" | awk '{ n += $1 } END { print n }'; }
rss() { # the largest of the monitors, kB
	for p in $(pgrep -x kapsel-monitor); do awk '/^VmHWM/ { print $2 }' "/proc/$p/status"; done | sort -n | tail -n 1
}
before=$(disk)
mb=${HARDENING_FLOOD:-300}
is "D21 an exec writes $mb MB, and all comes" "$(kapsel exec idle dd if=/dev/zero bs=1M "count=$mb" 2>"$T/o" | wc -c)" $((mb << 20))
kapsel exec idle dd if=/dev/zero bs=1M "count=$mb" 2>"$T/o" | { sleep 2; head -c 1 >"$T/o"; } || : # a reader that is slow, then gone
ok "D21 a monitor stays below 4 MiB: $(rss) kB at most" [ "$(rss)" -lt 4096 ]
ok "D21 on the disk there is no more than before: $((($(disk) - before))) kB" [ $(($(disk) - before)) -lt 1024 ]
bundle flood "dd if=/dev/zero bs=1M count=$mb 2>/dev/null | tr '\\\\0' 'x'" '.annotations = {"io.kapsel.log.max-size": "1m", "io.kapsel.log.max-files": "2"}'
before=$(disk)
kapsel run -d --id flood "$T/flood" >"$T/o"
timeout 60 kapsel wait -q flood >"$T/o" || :
ok "D21 a log is bounded, whatever is written: $(($(disk) - before)) kB of at most 2 files of 1 MB" [ $(($(disk) - before)) -lt 3500 ]
ok "D21 by a monitor below 4 MiB: $(rss) kB" [ "$(rss)" -lt 4096 ]
