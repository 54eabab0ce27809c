#!/bin/sh
# two-daemons: two kapselds with their own directories live side by side and do not see each other
. tests/lib.sh
bundle one 'echo first; sleep 60'
bundle two 'echo second; sleep 60'
printf '{"cgroupParent": "/%s-other"%s}\n' "$CG" "$shortcuts" >"$T/other.json"
kapseld --foreground --socket "$T/sock2" --run-dir "$T/run2" --state-dir "$T/state2" --config "$T/other.json" 2>"$T/log2" &
other=$!
for _ in $(seq 100); do kapsel -H "$T/sock2" version >/dev/null 2>&1 && break; sleep 0.05; done
is "the same id at both" "$(kapsel run -d --id same "$T/one") $(kapsel -H "$T/sock2" run -d --id same "$T/two")" "same same"
sleep 0.3
is "each has its own" "$(kapsel logs same)/$(kapsel -H "$T/sock2" logs same)" "first/second"
is "each lists its own" "$(kapsel list -q | wc -l)/$(kapsel -H "$T/sock2" list -q | wc -l)" "1/1"
set +e
kapseld --foreground --socket "$T/sock3" --run-dir "$T/run" --state-dir "$T/state3" >"$T/o" 2>&1
rc=$?
set -e
ok "a run directory has one daemon" [ $rc != 0 ]
like "and the second is told why" "$(cat "$T/o")" "KAPSEL-|another|already"
kapsel delete --force same >/dev/null
is "the other's lives on" "$(kapsel -H "$T/sock2" state -q same)" running
daemon_kill KILL
daemon_start
is "a restart of one adopts nothing of the other" "$(kapsel list -q)$(kapsel -H "$T/sock2" state -q same)" running
kapsel -H "$T/sock2" delete --force --all >/dev/null
kill -TERM $other
set +e
wait $other
is "ends well" $? 0
set -e
