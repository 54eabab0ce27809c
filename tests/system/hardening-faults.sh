#!/bin/sh
# hardening-faults: each mount, remount and read of create fails once: D29
# HARDENING_EVERY (9): of the reads, of which there are many, each so many-th
# timeout: 300
LIB_NO_DAEMON=1
. tests/lib.sh
[ "$(uname -m)" = x86_64 ] || skip "tests/tools/failing.c knows x86-64 only"
"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O1 -o "$T/failing" tests/tools/failing.c
mkdir -p "$T/source/below"
mount -t tmpfs tmpfs "$T/source/below"
bundle any 'sleep 50' '.root.readonly = true | .linux.cgroupsPath = "/'"$CG"'/faults" | .linux.maskedPaths = ["/proc/timer_list", "/proc/fs"]
	| .linux.readonlyPaths = ["/proc/sys"] | .mounts += [
	{"destination": "/ro", "type": "bind", "source": "'"$T"'/source", "options": ["bind", "ro"]},
	{"destination": "/rro", "type": "bind", "source": "'"$T"'/source", "options": ["rbind", "rro"]}]'
mkdir "$T/any/rootfs/ro" "$T/any/rootfs/rro"
ok "D29 no failing call makes a container with other mounts, or leaves something" \
	timeout 280 python3 tests/system/hardening-faults.py "$T/failing" "$T/any" "$T/oci" faults "${HARDENING_EVERY:-9}"
cat "$T/ok.out"
umount "$T/source/below"
find /sys/fs/cgroup -depth -type d -path "*/$CG*" -exec rmdir {} + 2>/dev/null || :
