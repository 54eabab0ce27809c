#!/bin/sh
# facts: bundles are judged against recorded facts of nodes, and tried there: each verdict is what happens
# FACTS_DIR: where each node's facts and verdicts are kept; those of other nodes, of this build, are judged again.
# FACTS_ONLY: nothing more than that.
LIB_NO_DAEMON=1
. tests/lib.sh
chmod 711 "$T"
mkdir "$T/bin" "$T/user"
cp "$BIN/kapsel-oci" "$T/bin/"
chown 1000:1000 "$T/user"
bundle b 'echo ran' 'del(.linux.cgroupsPath)'
chmod -R go+rX "$T/b"
maps() { # HOST-ID; one id, so no gid for the devpts
	printf '.linux.namespaces += [{"type": "user"}] | .linux.uidMappings = [{"containerID": 0, "hostID": %s, "size": 1}]' "$1"
	printf ' | .linux.gidMappings = .linux.uidMappings | .mounts = [.mounts[] | select(.type != "devpts")]'
}
limit() { printf '.process.rlimits = [{"type": "RLIMIT_%s", "soft": %s, "hard": %s}]' "$1" "$2" "$2"; }
while read -r name filter; do
	jq "$filter" "$T/b/config.json" >"$T/$name.json" || { echo "NOT OK - $name: $filter"; failed=1; }
	names="${names-} $name"
done <<EOF
plain .
no-cgroup-mount .mounts = [.mounts[] | select(.type != "cgroup")]
every-layout .linux.resources += {"memory": {"limit": 67108864}, "pids": {"limit": 50}, "cpu": {"shares": 512, "quota": 50000, "period": 100000}}
v1-swappiness .linux.resources.memory = {"swappiness": 10}
v1-oom-killer .linux.resources.memory = {"limit": 67108864, "disableOOMKiller": true}
v1-net-cls .linux.resources.network = {"classID": 1048577}
v1-leaf-weight .linux.resources.blockIO = {"leafWeight": 100}
v2-unified .linux.resources.unified = {"memory.high": "50331648"}
v2-no-controller .linux.resources.unified = {"nosuch.high": "1"}
weight .linux.resources.blockIO = {"weight": 100}
swap .linux.resources.memory = {"limit": 67108864, "swap": 134217728}
huge-pages .linux.resources.hugepageLimits = [{"pageSize": "2MB", "limit": 4194304}]
huge-pages-3MB .linux.resources.hugepageLimits = [{"pageSize": "3MB", "limit": 4194304}]
cpuset .linux.resources.cpu = {"cpus": "0", "mems": "0"}
cpuset-more .linux.resources.cpu = {"cpus": "0-63"}
files-100 $(limit NOFILE 100)
files-500000 $(limit NOFILE 500000)
files-2000000000 $(limit NOFILE 2000000000)
nice-30 $(limit NICE 30)
oom-300 .process.oomScoreAdj = 300
oom-minus-900 .process.oomScoreAdj = -900
fifo .process.scheduler = {"policy": "SCHED_FIFO", "priority": 5}
iso .process.scheduler = {"policy": "SCHED_ISO"}
capabilities .process.capabilities.bounding += ["CAP_SYS_RESOURCE", "CAP_SYS_ADMIN"]
user-namespace $(maps 100000)
user-namespace-own $(maps 1000)
time-namespace .linux.namespaces += [{"type": "time"}]
no-such-filesystem .mounts += [{"destination": "/mnt", "type": "nosuchfs", "source": "x"}]
several .process.oomScoreAdj = -1001 + 101 | .linux.resources.rdma = {"x": {"hcaHandles": 2}} | .process.scheduler = {"policy": "SCHED_ISO"}
EOF
said() { # STATUS TEXT: on one line, without warnings and what the program said
	echo "$1" $(printf '%s\n' "$2" | grep -v -e ^warning: -e ^ran$ -e '^  ')
}
codes() { echo "$1" | grep -oE '^[0-9]+|\[KAPSEL[-A-Z]*\]' | tr '\n' ' '; }
judged() { # FACTS NAME
	cp "$T/$2.json" "$T/b/config.json"
	set +e
	out=$("$T/bin/kapsel-oci" check --quiet --facts "$1" "$T/b" 2>&1)
	said $? "$out"
	set -e
}
tried() { # NAME COMMAND...: as who the command is
	cp "$T/$1.json" "$T/b/config.json"
	id=$1
	shift
	set +e
	out=$("$@" "$T/bin/kapsel-oci" --root "$T/$root" run --bundle "$T/b" "$id" 2>&1 </dev/null)
	said $? "$out"
	set -e
}
node() { # NAME COMMAND...
	node=$1
	shift
	"$@" "$T/bin/kapsel-oci" facts >"$T/$node.facts"
	for b in $names; do
		verdict=$(judged "$T/$node.facts" "$b")
		printf '%s %s\n' "$b" "$verdict" >>"$T/$node.verdicts"
		happened=$(tried "$b" "$@")
		# A kernel that lacks a file system says so itself, in other words, and only when the mount's turn has come.
		case "$(codes "$verdict")" in
		"$(codes "$happened")"*) echo "ok - $node, $b: $(echo "$verdict" | cut -c1-140)" ;;
		*) is "$node, $b" "$happened" "$verdict" ;;
		esac
	done
}
as_user='setpriv --reuid 1000 --regid 1000 --clear-groups --inh-caps=-all'
layout=$("$T/bin/kapsel-oci" facts | jq -r .cgroupLayout)
if [ -z "${FACTS_ONLY-}" ]; then
	root=root
	node "$layout-root" env
	root=user
	[ -n "${FACTS_ROOT_ONLY-}" ] || { # in a VM these take minutes
	# shellcheck disable=SC2086 # words
	node "$layout-user" $as_user
	# shellcheck disable=SC2086
	node "$layout-user-namespace" $as_user unshare --user --map-root-user
	}
	is "as root some are acceptable, and some are not" "$(cut -d' ' -f2 "$T/$layout-root.verdicts" | sort -u | tr '\n' ' ')" "0 1 "
fi
dir=${FACTS_DIR:-$BIN/../facts}
mkdir -p "$dir"
for f in "$dir"/*.facts; do
	[ -e "$f" ] && [ -z "$(find "$BIN/kapsel-oci" "$0" -newer "$f")" ] || continue
	other=$(basename "$f" .facts)
	[ "${other%%-*}" != "$layout" ] || continue
	for b in $names; do printf '%s %s\n' "$b" "$(judged "$f" "$b")"; done >"$T/again"
	is "what was true on $other is judged here" "$(cat "$T/again")" "$(cat "$dir/$other.verdicts")"
	judged="${judged-} $other"
done
echo "judged again:${judged- none}"
[ -n "${FACTS_ONLY-}" ] || cp "$T"/*.facts "$T"/*.verdicts "$dir/"
