#!/bin/sh
# daemon-killed: kapseld dies by SIGKILL again and again while eight clients start and stop containers
# timeout: 300
. tests/lib.sh
kills=${KILLS:-15} clients=${CLIENTS:-8}
bundle b 'echo up; while :; do sleep 60 & wait $!; done' 'del(.linux.cgroupsPath)'
bundle short 'exit ${CODE:-9}' 'del(.linux.cgroupsPath)'
for n in $(seq 0 $((clients - 1))); do kapsel run -d --id "stay$n" "$T/b" >/dev/null; done
daemon_kill KILL
daemon_start
timeout -k 2 $((90 + kills * 12)) python3 tests/system/daemon-killed.py "$T" "$CG" "$kills" "$clients" || failed=1
daemon=$(cat "$T/pid")
