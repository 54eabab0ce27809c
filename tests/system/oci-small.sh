#!/bin/sh
# oci-small: what kapsel-oci takes: its own memory, a container's least limit, the host's mount table
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }
bundle small 'echo up' ".linux.cgroupsPath = \"/$CG/small\" | .linux.resources.memory.limit = 229376 | .process.args = [\"/bin/busybox\", \"echo\", \"up\"]"
is "a container starts with 224 KiB" "$(oci run -b "$T/small" small </dev/null)" up
bundle peak 'echo up; sleep 20' ".linux.cgroupsPath = \"/$CG/peak\""
kapsel-oci --root "$T/oci" run -b "$T/peak" peak >"$T/out" </dev/null &
for _ in $(seq 100); do [ ! -s "$T/out" ] || break; sleep 0.05; done
most=$(awk '/^VmHWM/ { print $2 }' "/proc/$!/status")
oci delete --force peak
wait $! || :
# Of which the program's own file is half, and shared.
ok "a run has had at most 1 MiB resident at once ($most KiB)" test "$most" -le 1024
