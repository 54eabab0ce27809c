#!/bin/sh
# init-killed: init dies at any moment of a create: the executor says so, and nothing is left
LIB_NO_DAEMON=1
. tests/lib.sh
bundle b 'sleep 20' ".linux.cgroupsPath = \"/$CG/b\""
if python3 tests/system/init-killed.py "$BIN/kapsel-oci" "$T/root" "$T/b" "${KILLS:-200}" >"$T/out" 2>&1; then r=0; else r=$?; fi
cat "$T/out"
is "each was told or had been created" "$r" 0
is "no state is left" "$(ls "$T/root")" ""
is "no cgroup is left" "$(find /sys/fs/cgroup -type d -path "*$CG/b" | head -n 3)" ""
