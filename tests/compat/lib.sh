# shellcheck shell=bash
# What a test of compatibility begins with: `. tests/compat/lib.sh` at the root of the tree, as root.
#
# A script tests one client, the real program from Debian's package: it names in NEED the packages that it wants
# (they are installed; where that fails the test is skipped), then gets namespaces of its own (pid, mount, network,
# cgroup: the client's root cgroup is one that this test made), defines
#   begin    start the client's daemon, if it has one, with $RUNTIME, the path of the runtime to be tested
#   checks   ok, is, like of tests/lib.sh; the texts are the same for each runtime
#   end      stop the daemon
# and calls `compat CLIENT VERSION RUNTIME...`, which does them for each runtime (runc and kapsel-oci where none is
# named; QUICK=1: kapsel-oci alone) and fails if a check that passes with runc fails with another one.
#   $IMAGE   an archive of docker's kind with one image, localhost/compat:1, made here from busybox
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
if [ -z "${COMPAT_CG-}" ]; then
	for p in ${NEED-} runc busybox-static umoci skopeo jq; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="${missing-} $p"
	done
	# shellcheck disable=SC2086 # a list of words
	[ -z "${missing-}" ] || tests/tools/deps $missing || { echo "cannot install$missing"; exit 77; }
	COMPAT_CG=kapsel-compat-$(basename "$0" .sh)-$$
	trap : TERM INT # the one inside cleans up
	(
		for c in /sys/fs/cgroup /sys/fs/cgroup/*/; do # v2, or each hierarchy of v1
			if [ ! -f "$c/cgroup.procs" ] || [ -L "${c%/}" ]; then continue; fi
			mkdir "$c/$COMPAT_CG"
			[ ! -f "$c/cpuset.cpus" ] || for f in cpus mems; do cat "$c/cpuset.$f" >"$c/$COMPAT_CG/cpuset.$f"; done
			echo 0 >"$c/$COMPAT_CG/cgroup.procs"
		done
		# The client's daemons leave orphans; dash reaps them while it waits, or they would be zombies forever.
		# shellcheck disable=SC2016
		LIB_INSIDE=1 COMPAT_CG=$COMPAT_CG exec unshare --pid --fork --kill-child --mount --net --cgroup --uts --ipc \
			--propagation private --mount-proc sh -c '"$0" "$@" & wait "$!"' "$0" "$@"
	)
	rc=$?
	find /sys/fs/cgroup -depth -type d -path "*/$COMPAT_CG*" -exec rmdir {} + || rc=1
	exit $rc
fi
export LIB_NO_DAEMON=1
. tests/lib.sh
unset COMPAT_CG

private_cgroups() { # what the machine has is below, and seen again at the end
	local m type options
	grep ' /sys/fs/cgroup/' /proc/mounts >"$T/cgroups" || :
	mount -t tmpfs -o mode=755 cgroup_root /sys/fs/cgroup
	while read -r _ m type options _; do
		options=$(echo "$options" | tr , '\n' | grep -vE '^(rw|ro|relatime|nosuid|nodev|noexec|xattr)$' | paste -sd,) || :
		mkdir -p "$m"
		mount -t "$type" -o "${options:-rw}" "$type" "$m"
	done <"$T/cgroups"
	[ -s "$T/cgroups" ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
}
groups() { find /sys/fs/cgroup -mindepth "$([ -f /sys/fs/cgroup/cgroup.procs ] && echo 1 || echo 2)" -type d; }
compat_finish() {
	rc=$?
	trap - EXIT
	set +e
	sweep
	umount -R -l /sys/fs/cgroup
	[ -s "$T/cgroups" ] || umount /sys/fs/cgroup
	(exit $rc)
	finish
}
processes() { ps -e -o pid=,stat=,args= | awk -v me=$$ '$2 !~ /^Z/ && $1 != 1 && $1 != me && !/ps -e|awk|compat/ { $2 = ""; print }'; }
mounts() { cut -d' ' -f5 /proc/self/mountinfo | sort; }
sweep() { # what a runtime has left is not the next one's
	local m
	kill -KILL -1 2>/dev/null # all but this shell and the one that waits for it
	sleep 0.1
	[ ! -f "$T/mounts" ] || while m=$(mounts | comm -23 - "$T/mounts" | tail -n 1) && [ -n "$m" ]; do umount -l "$m" || break; done
	for m in $(ip -o link | cut -d: -f2 | grep -v '^ lo$'); do ip link del "${m%@*}"; done 2>/dev/null
	groups | sort -r | xargs -r rmdir 2>/dev/null
}
until_ok() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}
image() {
	umoci init --layout "$T/oci" && umoci new --image "$T/oci:compat" && umoci unpack --image "$T/oci:compat" "$T/image"
	rootfs "$T/image/rootfs"
	printf 'nameserver 127.0.0.1\n' >"$T/image/rootfs/etc/resolv.conf"
	printf 'root:x:0:\nmail:x:8:\nuser:x:1000:\n' >"$T/image/rootfs/etc/group"
	printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' >"$T/image/rootfs/etc/passwd"
	printf 'data' >"$T/image/rootfs/tmp/unreadable" && printf '#!/bin/sh\n' >"$T/image/rootfs/etc/not-a-program"
	chmod 1777 "$T/image/rootfs/tmp"
	umoci repack --image "$T/oci:compat" "$T/image"
	umoci config --image "$T/oci:compat" --config.env PATH=/bin --config.cmd /bin/sh "$@"
	skopeo --insecure-policy copy -q "oci:$T/oci:compat" "docker-archive:$T/image.tar:localhost/compat:1"
	IMAGE=$T/image.tar
	export IMAGE
}
one_runtime() { # NAME
	RUNTIME=$(command -v "$1") || { echo "NOT OK - there is no $1"; return 1; }
	export RUNTIME
	D=$T/$1 # the client's own directory
	mkdir -m 711 "$D"
	if begin; then checks; else echo "NOT OK - the client starts"; fi
	end
	until_ok 10 nothing_left
	is "nothing is left running" "$(processes)" ""
	is "no mount is left" "$(mounts | comm -13 "$T/mounts" - )" ""
	is "no cgroup is left" "$(groups)" ""
}
nothing_left() { [ -z "$(processes)$(groups)" ] && [ -z "$(mounts | comm -13 "$T/mounts" -)" ]; }
compat() { # CLIENT VERSION [RUNTIME...]
	local client=$1 version=$2 r passed of line='' first=''
	shift 2
	if [ -n "${QUICK-}" ]; then set -- kapsel-oci; fi
	[ $# -gt 0 ] || set -- runc kapsel-oci
	mounts >"$T/mounts"
	for r; do
		echo "--- $client $version with $r"
		(set +eu; one_runtime "$r") >"$T/result" 2>&1 || :
		cat "$T/result"
		set +e
		sweep # in this very shell, the only one that its signal spares
		set -e
		rm -rf "${T:?}/${r:?}"
		grep '^ok - ' "$T/result" | sort >"$T/passed.$r"
		passed=$(wc -l <"$T/passed.$r")
		of=$(grep -cE '^(ok|NOT OK) - ' "$T/result")
		line="$line, $r $passed of $of"
		if [ -z "$first" ]; then
			first=$r
			[ $# -gt 1 ] || [ "$passed" = "$of" ] || failed=1
		elif [ -n "$(comm -23 "$T/passed.$first" "$T/passed.$r")" ]; then
			echo "PASSES WITH $first, NOT WITH $r:"
			comm -23 "$T/passed.$first" "$T/passed.$r"
			# shellcheck disable=SC2034 # tests/lib.sh reads it
			failed=1
		fi
	done
	echo "RESULT $client $version: ${line#, }"
}
trap compat_finish EXIT
private_cgroups
chmod 711 "$T" # a user namespace's root comes through
export TMPDIR=$T
