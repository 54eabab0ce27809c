#!/bin/sh
# full-disk: with the state directory full, containers run on, what was dropped is counted, and it heals
LIB_NO_DAEMON=1
. tests/lib.sh
mkdir "$T/small"
mount -t tmpfs -o size=2m none "$T/small"
kapseld --foreground --socket "$T/sock" --run-dir "$T/run" --state-dir "$T/small/state" --config "$T/kapseld.json" 2>"$T/log" &
daemon=$!
for _ in $(seq 100); do kapsel version >/dev/null 2>&1 && break; sleep 0.05; done
bundle noisy 'i=0; while [ $i -lt 60000 ]; do echo "a line of which there are many, to fill a disk: $i"; i=$((i + 1)); done; echo done >&2; exit 4' \
	'.annotations = {"io.kapsel.log.max-size": "1073741824"}'
bundle short 'echo small; exit 6'
set +e
timeout 60 kapsel run -d --id noisy "$T/noisy" >/dev/null
timeout 60 kapsel wait -q noisy
is "a container that fills the disk ends by itself" $? 4
like "the disk is full" "$(df --output=pcent "$T/small" | tail -n 1)" "(9[0-9]|100)%"
timeout 20 kapsel run --id short "$T/short" >"$T/o" 2>"$T/e"
rc=$?
like "another is run or refused in one clear sentence" "$rc $(cat "$T/o" "$T/e" | tr '\n' ' ')" "^6 small|^125 .*KAPSEL-"
is "kapseld answers" "$(timeout 10 kapsel state -q noisy)" stopped
like "the dropped bytes are counted" "$(kapsel inspect --json noisy; tail -n 2 "$T/small/state/logs/noisy/0.log")" "[dD]ropped"
timeout 20 kapsel delete noisy
is "deleted with a full disk" $? 0
timeout 20 kapsel delete -f -i short
timeout 20 kapsel run --rm --id after "$T/short" >"$T/o" 2>"$T/e"
is "with space again all is as it was" "$? $(cat "$T/o" "$T/e")" "6 small"
kapsel delete --force --all >/dev/null
kill -TERM $daemon
wait $daemon
umount "$T/small"
set -e
