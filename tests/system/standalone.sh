#!/bin/sh
# standalone: a run without a daemon gives the program's status and streams, and leaves nothing
LIB_NO_DAEMON=1
. tests/lib.sh
unset KAPSEL_HOST
bundle b 'cat; exit 0'
one() { # SCRIPT: through kapsel --standalone; $rc
	set +e
	timeout 30 kapsel --standalone run -i "$T/b" -- /bin/sh -c "$1" >"$T/o" 2>"$T/e"
	rc=$?
	set -e
}
for code in 0 3; do
	one "exit $code" </dev/null
	is "exit $code" $rc $code
done
one 'exit 137' </dev/null
is "exit 137" $rc 137
kapsel --standalone run "$T/b" -- sleep 66 &
p=$!
for _ in $(seq 50); do init=$(pgrep -f '^sleep 66' || :) && [ -n "$init" ] && break; sleep 0.1; done
kill -KILL "$init"
set +e
wait $p
is "a signal" $? 137
touch "$T/b/rootfs/plain"
kapsel --standalone run "$T/b" -- /plain >"$T/o" 2>"$T/e"
is "not executable" $? 126
kapsel --standalone run "$T/b" -- /no/such >"$T/o" 2>"$T/e"
is "not found" $? 127
kapsel --standalone run "$T/nowhere" >"$T/o" 2>"$T/e"
is "no bundle" $? 125
set -e
head -c 3000000 /dev/urandom >"$T/in"
is "3 MB through pipes" "$(kapsel --standalone run -i "$T/b" -- cat <"$T/in" | sha256sum)" "$(sha256sum <"$T/in")"
one 'echo out; echo err >&2' </dev/null
is "streams stay apart" "$(cat "$T/o")/$(cat "$T/e")" "out/err"
is "no stdin without -i" "$(echo x | kapsel --standalone run "$T/b" -- cat)" ""
kapsel --standalone run --rm -e A=b "$T/b" -- sh -c 'echo $A' >"$T/o"
is "flags work" "$(cat "$T/o")" b
# They make and remove the same parent cgroup, and each other's.
for n in $(seq 16); do
	for i in 1 2 3 4 5 6; do
		kapsel --standalone run --rm "$T/b" -- true >"$T/o$i" 2>&1 || cat "$T/o$i" >>"$T/together" &
		eval "p$i=$!"
	done
	wait $p1 $p2 $p3 $p4 $p5 $p6
done
is "six at once, again and again" "$(cat "$T/together" 2>/dev/null)" ""
is "no directory is left" "$(find /run /tmp -maxdepth 1 -name 'kapsel-????????????????' 2>/dev/null)" ""
