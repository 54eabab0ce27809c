# shellcheck shell=sh
# What a system test begins with: `. tests/lib.sh` at the root of the tree, as root.
#
# The test runs in pid, mount and network namespaces of its own, so that what it leaves behind can be
# counted: at the end no process, mount, link, cgroup or file may be there that was not there before.
# Settings before the dot: LIB_HOST=1 stay in the machine's namespaces; LIB_NO_DAEMON=1 start no kapseld.
#   $T    a directory of this test's own            $BIN  the built programs
#   bundle NAME SCRIPT [JQ-FILTER]   an OCI bundle $T/NAME whose program is /bin/sh -c SCRIPT
#   config [MEMBERS]   kapseld's configuration; with SHORTCUTS=off in the environment (make check SHORTCUTS=off) all
#   that makes it fast is switched off in it: the pool of started executors, the cache of compiled filters
#   daemon_start [ARG...], daemon_kill [SIGNAL]; $daemon is its pid
#   ok TEXT COMMAND..., is TEXT GOT WANTED, like TEXT GOT PATTERN; skip REASON
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 77; }
BIN=${BIN:-$PWD/build/bin}
PATH=$BIN:$PWD/tests/tools:$PATH
export BIN PATH
if [ -z "${LIB_HOST-}" ] && [ -z "${LIB_INSIDE-}" ]; then
	LIB_INSIDE=1 exec unshare --pid --fork --kill-child --mount --net --propagation private --mount-proc \
		"$0" "$@"
fi
unset LIB_INSIDE
shortcuts=''
[ "${SHORTCUTS-on}" != off ] || shortcuts=', "pool": 0, "cache": 0'
CG="kapsel-test-$(basename "$0" .sh)-$(cut -d. -f1 /proc/uptime)-$$"

state() {
	# A zombie is the test's own shell's to reap; a kernel thread is nobody's.
	ps -e -o pid=,stat=,args= | awk '$2 !~ /^Z/ && $0 ~ /kapsel|busybox|\/init|\/bin\/sh -c|conmon/ &&
		$0 !~ /tests\/|awk/ { $2 = ""; print }'
	cut -d' ' -f5 /proc/self/mountinfo
	ip -o link 2>/dev/null | cut -d: -f2
	find /sys/fs/cgroup -type d -path "*$CG*" 2>/dev/null
}
finish() {
	rc=$?
	trap - EXIT
	set +e
	if [ -z "${LIB_NO_DAEMON-}" ]; then
		kapsel version >"$T/finish" 2>&1 || { daemon_kill; daemon_start; } # a time-out's signal ends kapseld, too
		kapsel delete --force --all >"$T/finish" 2>&1 || { echo "delete --force --all:"; cat "$T/finish"; rc=1; }
		daemon_kill TERM || rc=1
	fi
	for _ in 1 2 3 4 5 6 7 8 9 10; do # the last processes may be on their way out
		state >"$T/after"
		cmp -s "$T/before" "$T/after" && break
		sleep 0.2
	done
	diff "$T/before" "$T/after" >"$T/diff" || { echo "LEFT BEHIND:"; cat "$T/diff"; [ $rc = 77 ] || rc=1; }
	[ $rc = 0 ] || [ $rc = 77 ] || { echo "--- end of kapseld's log:"; tail -n 30 "$T/log" 2>/dev/null; }
	if [ -n "${KEEP-}" ]; then echo "kept: $T"; else rm -rf "$T"; fi
	[ "$rc" != 0 ] || [ "${failed:-0}" = 0 ] || rc=1
	exit $rc
}
skip() { echo "$*"; exit 77; }
ok() { # TEXT COMMAND...
	text=$1
	shift
	if "$@" >"$T/ok.out" 2>&1; then
		echo "ok - $text"
	else
		echo "NOT OK - $text: $* -> $?"
		head -n 20 "$T/ok.out"
		failed=1
	fi
}
is() { # TEXT GOT WANTED
	if [ "$2" = "$3" ]; then
		echo "ok - $1"
	else
		printf 'NOT OK - %s\n  got:    %s\n  wanted: %s\n' "$1" "$2" "$3"
		failed=1
	fi
}
like() { # TEXT GOT PATTERN (extended regular expression)
	if printf '%s\n' "$2" | grep -qE -- "$3"; then
		echo "ok - $1"
	else
		printf 'NOT OK - %s\n  got:     %s\n  pattern: %s\n' "$1" "$2" "$3"
		failed=1
	fi
}
rootfs() { # DIRECTORY: busybox, the test helpers, the usual directories
	mkdir -p "$1/bin" "$1/proc" "$1/sys" "$1/dev" "$1/tmp" "$1/etc" "$1/root" "$1/run" "$1/var"
	cp "$(command -v busybox)" "$1/bin/busybox"
	for c in sh ls cat echo sleep id env true false kill ps mount umount grep sed awk mkdir rm ln stat head tail \
		readlink hostname touch dd seq wc cut tr date test sync chmod chown sort od yes printf pwd nproc; do
		ln -sf busybox "$1/bin/$c"
	done
	for h in "$BIN"/../helpers/*; do
		case $h in *.d) ;; *) [ ! -f "$h" ] || cp "$h" "$1/bin/" ;; esac
	done
	echo root:x:0:0:root:/root:/bin/sh >"$1/etc/passwd"
}
bundle() { # NAME SCRIPT [JQ-FILTER]
	mkdir -p "$T/$1"
	[ -d "$T/rootfs" ] || rootfs "$T/rootfs"
	cp -al "$T/rootfs" "$T/$1/rootfs"
	[ -f "$T/spec.json" ] || kapsel-oci spec >"$T/spec.json"
	jq --arg script "$2" --arg cg "/$CG/$1" '.process.args = ["/bin/sh", "-c", $script] | .process.terminal = false
		| .process.env = ["PATH=/bin", "HOME=/root"] | '"${3:-.}" "$T/spec.json" >"$T/$1/config.json"
}
config() { # [MEMBERS]: $T/kapseld.json, with ', "NAME": VALUE...' beside what every test needs
	printf '{"cgroupParent": "/%s"%s%s}\n' "$CG" "$shortcuts" "${1-}" >"$T/kapseld.json"
}
daemon_start() {
	kapseld --foreground --socket "$T/sock" --run-dir "$T/run" --state-dir "$T/state" \
		--config "$T/kapseld.json" "$@" 2>>"$T/log" &
	daemon=$!
	for _ in $(seq 100); do
		if kapsel version >/dev/null 2>&1; then return 0; fi
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.05
	done
	echo "kapseld does not answer"
	return 1
}
daemon_kill() {
	[ -n "${daemon-}" ] || return 0
	kill -"${1:-KILL}" "$daemon" 2>/dev/null || :
	wait "$daemon" 2>/dev/null || :
	daemon=
}

T=$(mktemp -d "${TMPDIR:-/tmp}/kapsel.XXXXXX")
if [ -z "${LIB_HOST-}" ]; then
	mount -t tmpfs -o mode=755 run /run # other tests' directories are not this one's leaks
	ip link set lo up
fi
export KAPSEL_HOST="$T/sock"
config
state >"$T/before"
set -eu
trap finish EXIT
trap 'exit 130' INT TERM
[ -n "${LIB_NO_DAEMON-}" ] || daemon_start
