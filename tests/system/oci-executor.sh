#!/bin/sh
# oci: the executor between a daemon and a monitor of straw: every order, every answer, orders that are none
# timeout: 120
LIB_NO_DAEMON=1
. tests/lib.sh
bundle b 'echo default' '.annotations = {"a": "b", "org.opencontainers.image.stopSignal": "USR1"}'
mkdir "$T/w"
timeout 100 python3 tests/system/oci-executor.py "$BIN" "$T/w" "$T/b" "$CG" || failed=1
rm -rf "$T/w"
find /sys/fs/cgroup -depth -type d -path "*/$CG*" -exec rmdir {} + 2>/dev/null || : # others come and go
