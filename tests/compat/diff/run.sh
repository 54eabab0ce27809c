#!/bin/bash
# diff: the differential test: kapsel-oci, Debian's runc and crun (tests/compat/diff/differ.py); [--part N/OF] [NAME...]
# timeout: 1800
LIB_NO_DAEMON=1
. tests/lib.sh
for c in ${DIFF_PEERS:-runc crun}; do command -v "$c" >/dev/null || skip "$c is not installed"; done
chmod 755 "$T"
bundle d true '.ociVersion = "1.0.2" | .process.args = ["/bin/probe"] | .linux.cgroupsPath = "/'"$CG"'/d" | .linux.maskedPaths += ["/proc/interrupts"]'
rm "$T/d/rootfs/bin/probe" && cp "$BIN/../helpers/probe" "$T/d/rootfs/bin/probe"
mkdir -p "$T/d/rootfs/mnt" "$T/d-source/sub"
ln -s mnt "$T/d/rootfs/link-to-mnt"
touch "$T/d-source/file"
# crun refuses a hybrid host: all three see the v1 controllers alone. In a mount namespace of its own, so that the leak check counts.
cat >"$T/v1.sh" <<'SH'
set -eu
cg=/sys/fs/cgroup
mount -t tmpfs sub "$1-source/sub"
if [ -d $cg/unified ]; then
	mount -t tmpfs -o mode=755 cgroup /mnt
	for c in $(sed -n 's/^[0-9]*:\(name=\)\{0,1\}\([^:][^:]*\):.*/\2/p' /proc/self/cgroup); do
		[ ! -d "$cg/$c" ] || { mkdir "/mnt/$c"; mount --bind "$cg/$c" "/mnt/$c"; }
	done
	umount -R $cg
	mount --move /mnt $cg
fi
exec python3 tests/compat/diff/differ.py "$@"
SH
unshare --mount --propagation private sh "$T/v1.sh" "$T/d" "$CG" "$@" || failed=1
find /sys/fs/cgroup -depth -type d -path "*/$CG*" -exec rmdir {} + 2>/dev/null || :
