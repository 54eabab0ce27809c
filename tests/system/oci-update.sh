#!/bin/sh
# oci: kapsel-oci update, events, checkpoint and restore, as runc's callers use them
# timeout: 180
LIB_NO_DAEMON=1
. tests/lib.sh
oci() { timeout 20 kapsel-oci --root "$T/oci" "$@"; }
run() { # ARG...: $out, $err and $code of one call; stdin is $in
	set +e
	out=$(printf '%s' "${in-}" | oci "$@" 2>"$T/err")
	code=$?
	set -e
	err=$(cat "$T/err")
}
bundle web 'while :; do sleep 0.1; done' '.linux.cgroupsPath = $cg
	| .linux.resources.memory = {"limit": 67108864} | .linux.resources.cpu = {"quota": 50000, "period": 100000}
	| .linux.resources.pids.limit = 50'
oci run --detach --bundle "$T/web" --pid-file "$T/pid" web >/dev/null 2>&1 </dev/null

# Where a file of the container's cgroup is: v1, hybrid and v2.
file() { # V1-CONTROLLER V1-FILE V2-FILE
	d=/sys/fs/cgroup/$1/$CG/web
	if [ -e "$d/$2" ]; then cat "$d/$2"; else cat "/sys/fs/cgroup/$CG/web/$3"; fi
}
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then v2=1; else v2=; fi
memory() { file memory memory.limit_in_bytes memory.max; }
quota() { [ $v2 ] && file cpu - cpu.max || echo "$(file cpu cpu.cfs_quota_us) $(file cpu cpu.cfs_period_us)"; }
shares() { file cpu cpu.shares cpu.weight; }
pids() { file pids pids.max pids.max; }

# ---- single flags
is "limits of the configuration" "$(memory) $(quota) $(pids)" "67108864 50000 100000 50"
run update --memory 32m --pids-limit 40 web
is "update says nothing" "$code$out$err" 0
is "and changes what was given, nothing else" "$(memory) $(quota) $(pids)" "33554432 50000 100000 40"
run update --cpu-quota 20000 web
is "of quota and period only one given: the other stays" "$code $(quota)" "0 20000 100000"
run update --cpu-period=50000 web
is "and the other way round" "$code $(quota)" "0 20000 50000"
run update --cpu-share 2048 web
is "shares" "$code $(shares)" "0 $([ $v2 ] && echo 170 || echo 2048)"
run update --memory-swap 200000000 --memory 100000000 --pids-limit -1 web
is "raised over the limit of memory and swap, which comes along" "$code $err" "0 "
run update --memory -1 web
like "memory -1" "$code $err $(memory)" '^0  (max|9223372036854771712)$'
swap=$(file memory memory.memsw.limit_in_bytes memory.swap.max 2>/dev/null || echo none)
like "lifts swap, too" "$swap" '^(none|max|9223372036854771712)$'
run update --cpuset-cpus 0 --kernel-memory 1g web
is "a set of CPUs; the kernel's memory is passed over" "$code$err $(file cpuset cpuset.cpus cpuset.cpus)" "0 0"
run update --memory 64x web
like "no size" "$code $err" "^1 .*--memory takes a size, not '64x'"
run update --l3-cache-schema 'L3:0=f' web
like "no Intel RDT" "$code $err" '^1 .*--l3-cache-schema: Intel RDT is not carried out'

# ---- a resources object
in='{"memory": {"limit": 50331648}, "cpu": {"shares": 1024}, "pids": {"limit": 30},
	"devices": [{"allow": false, "access": "rwm"}], "hugepageLimits": []}'
run update --resources - web
is "--resources -" "$code$err $(memory) $(shares) $(pids)" "0 50331648 $([ $v2 ] && echo 100 || echo 1024) 30"
echo '{"pids": {"limit": 31}}' >"$T/resources"
run update -r "$T/resources" --pids-limit 99 web
is "a file; single flags are passed over" "$code$err $(pids) $(memory)" "0 31 50331648"
in='{"memory": {"limit": "much"}, "pids": {"limit": 7}}'
run update --resources=- web
like "all faults of the object" "$code $err" '^1 .*/memory/limit'
is "and nothing is changed" "$(pids) $(memory)" "31 50331648"
in='{"memory": {"limit": 40000000}, "pids": {"limit": 33}, "cpu": {"quota": 10000, "cpus": "4095"}}'
run update --resources - web
like "what the node lacks is refused before anything is written" "$code $err" '^1 .*cpus'
is "nothing is changed" "$(pids) $(memory)" "31 50331648"
# the kernel refuses a quota below a millisecond, when other values are written already
before="$(pids) $(memory) $(shares) $(quota)"
in='{"memory": {"limit": 40000000}, "pids": {"limit": 33}, "cpu": {"shares": 512, "quota": 10}}'
run update --resources - web
like "what the kernel refuses is named" "$code $err" '^1 .*cpu\.(max|cfs_quota_us)'
is "and all old values are kept" "$(pids) $(memory) $(shares) $(quota)" "$before"
in=
run update --resources "$T/nothing" web
like "no such file" "$code $err" '^1 .*nothing.*[Nn]o such file'
run update --pids-limit 5 nobody
like "an unknown id" "$code $err" '^1 .*container does not exist'

# ---- events
run events --stats web
is "events --stats: one line" "$code $err $(printf '%s\n' "$out" | wc -l)" "0  1"
is "its shape" "$(echo "$out" | jq -c '[.type, .id, (.data | keys)]')" \
	'["stats","web",["blkio","cpu","hugetlb","intel_rdt","memory","network_interfaces","pids"]]'
is "cpu" "$(echo "$out" | jq -c '.data.cpu | [(.usage | keys), (.throttling | keys), .usage.total > 0]')" \
	'[["kernel","percpu","total","user"],["periods","throttledPeriods","throttledTime"],true]'
is "memory" "$(echo "$out" | jq -c '.data.memory | [keys, (.usage | keys), .usage.limit, .usage.usage > 0, (.raw | length > 5)]')" \
	'[["cache","kernel","kernelTCP","raw","swap","usage"],["failcnt","limit","max","usage"],50331648,true,true]'
is "pids" "$(echo "$out" | jq -c '.data.pids | [.current > 0, .limit]')" '[true,31]'
is "blkio" "$(echo "$out" | jq -c '.data.blkio | keys')" '["ioMergedRecursive","ioQueueRecursive","ioServiceBytesRecursive","ioServiceTimeRecursive","ioServicedRecursive","ioTimeRecursive","ioWaitTimeRecursive","sectorsRecursive"]'
is "every number is one" "$(echo "$out" | jq -c '[.data | .. | numbers | select(. < 0 or . != floor)]')" '[]'
run events --interval 0 web
like "no interval" "$code $err" '^1 .*--interval'
timeout 20 kapsel-oci --root "$T/oci" events --interval 300ms web >"$T/stream" 2>&1 </dev/null &
stream=$!
for _ in $(seq 60); do [ "$(wc -l <"$T/stream")" -lt 2 ] || break; sleep 0.1; done
is "a stream of them" "$(head -n 2 "$T/stream" | jq -sc 'map(.type)')" '["stats","stats"]'
oci update --memory 8m --memory-swap 8m web 2>/dev/null || oci update --memory 8m web
oci exec web sh -c 'x=$(head -c 60m /dev/zero | tr "\0" a); echo ${#x}' >/dev/null 2>&1 </dev/null || :
for _ in $(seq 60); do ! grep -q '"oom"' "$T/stream" || break; sleep 0.1; done
is "that tells of an OOM kill" "$(grep '"oom"' "$T/stream" | head -n 1)" '{"type":"oom","id":"web"}'
oci kill web KILL 2>/dev/null || :
set +e
wait $stream
is "and ends with the container" $? 0
wait "$(cat "$T/pid")" 2>/dev/null
set -e
for _ in $(seq 40); do [ "$(oci state web | jq -r .status)" != stopped ] || break; sleep 0.05; done
for c in "events --stats" "update --pids-limit 5"; do
	# shellcheck disable=SC2086 # words
	run $c web
	like "$c of a stopped one" "$code $err" '^1 .*container not running'
done
oci delete web

# ---- what is not there says so, and does nothing
for c in checkpoint "checkpoint --help" "checkpoint --image-path /x --work-path /y --leave-running web" restore "restore --help" \
	"restore --image-path /x --work-path /y --detach -no-subreaper --bundle /z web"; do
	# shellcheck disable=SC2086 # words
	run $c
	like "$c" "$code $out$err" "^1 .*${c%% *} is not supported by kapsel-oci"
done
run restore --lsm-mount-context
like "restore with a flag without its value" "$code $err" '^1 .*flag needs an argument: --lsm-mount-context'
