#!/bin/sh
# oci: kapsel-oci by eight processes at once over 50 ids: no leak, no hang, every loser told why
# timeout: 240
# COLLIDE=5000 for the full run; lib.sh looks for what is left behind
LIB_NO_DAEMON=1
. tests/lib.sh
# A bundle for each, as each has its cgroup; they share a root file system.
bundle one 'while :; do sleep 1; done' ".root.path = \"$T/one/rootfs\" | .linux.cgroupsPath = \"$CG/ID\""
for n in $(seq 0 49); do
	mkdir "$T/one-id$n"
	sed "s,/ID\",/id$n\"," "$T/one/config.json" >"$T/one-id$n/config.json"
done
mkdir "$T/oci"
ok "eight at once" python3 tests/system/oci-collide.py "$T/oci" "$T/one" "${COLLIDE:-240}"
cat "$T/ok.out"
# The caller of create is init's parent: nobody else's business is left.
is "no cgroup is left" "$(find /sys/fs/cgroup -type d -path "*/$CG/id*")" ""
