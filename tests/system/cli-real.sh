#!/bin/sh
# cli-real: the commands as a newcomer meets them, with a real kapseld
# timeout: 200
. tests/lib.sh
st() { set +e; "$@" >"$T/o" 2>"$T/e" </dev/null; echo $?; set -e; }
running='trap "exit 3" TERM; echo up; while :; do sleep 0.1; done'
bundle writer "$running" '.root.readonly = false'
bundle reader "$running"
bundle deaf 'trap "" TERM; while :; do sleep 0.1; done'
bundle slow "$running" '.hooks.createRuntime = [{"path": "/bin/sleep", "args": ["sleep", "2"]}]'

# one bundle many times
is "a writer" "$(st kapsel run -d --id w1 "$T/writer") $(cat "$T/o" "$T/e")" "0 w1"
is "a second one is started" "$(st kapsel run -d --id w2 "$T/writer") $(cat "$T/o")" "0 w2"
like "and warned of" "$(cat "$T/e")" 'warning: w1 writes to the same root file system: --volatile'
daemon_kill
daemon_start
like "by a new daemon, too, in the foreground" "$(kapsel run --rm "$T/writer" -- true 2>&1)" 'warning: w[12] writes to the same root'
is "not with --volatile" "$(st kapsel run -d --id v1 --volatile "$T/writer") $(cat "$T/e")" "0 "
is "as often as one likes" "$(st kapsel run --rm --volatile=1m "$T/writer" -- 'sh' -c 'echo x >/x && cat /x') $(cat "$T/o" "$T/e")" "0 x"
is "which is bounded" "$(st kapsel run --rm --volatile=1m "$T/writer" -- dd if=/dev/zero of=/x bs=1M count=4)" 1
is "nothing of it stays" "$(find "$T/writer/rootfs/x" 2>/dev/null)" ""
is "readers are none" "$(st kapsel run -d --id r1 "$T/reader") $(st kapsel run -d --id r2 "$T/reader") $(cat "$T/e")" "0 0 "

# words
is "a flag before the environment of the file" "$(printf 'A=file\nB=b\n' >"$T/env"
	kapsel run --rm --env-file "$T/env" -e A=flag -w /tmp -u 5:6 "$T/reader" -- sh -c 'echo $A $B $(pwd) $(id -u) $(id -g)')" "flag b /tmp 5 6"
is "-t gives a terminal, -i passes stdin" "$(echo in | kapsel run -i --rm "$T/reader" -- cat) $(kapsel run -t --rm "$T/reader" -- sh -c tty | tr -d '\r')" \
	"in /dev/pts/0"
is "state -q" "$(kapsel state -q r1)" running
is "several ids" "$(kapsel pause r1 r2 | tr '\n' ' ')$(kapsel list r1 r2 | awk 'NR > 1 { print $2 }' | tr '\n' ' ')" "r1 r2 paused paused "
is "and back" "$(kapsel resume r1 r2 | tr '\n' ' ')" "r1 r2 "
is "list names an id that is not there" "$(st kapsel list r1 nosuch) $(awk 'NR > 1 { print $1 }' "$T/o")" "1 r1"
like "in a sentence" "$(cat "$T/e")" 'there is no container nosuch \[KAPSEL-NOT-FOUND\]'
is "a program that is not there" "$(st kapsel exec r1 nosuch) $(head -n 1 "$T/e")" \
	'127 kapsel: exec: "nosuch": executable file not found in $PATH [KAPSEL-EXEC-NOT-FOUND]'
is "ps is a table" "$(kapsel ps r1 | head -n 1 | tr -s ' ')" "PID PPID UID STATE CPU MEMORY COMMAND"
is "stop, wait" "$(st kapsel stop r1 r2) $(st kapsel wait r1 r2) $(tr '\n' ' ' <"$T/o")" "0 3 r1 3 r2 3 "
is "start of what has stopped" "$(st kapsel start r1)" 1
like "says what to do instead" "$(cat "$T/e")" 'delete it first'
is "check with a mistyped flag is wrong usage" "$(st kapsel check --fatcs x "$T/reader") $(head -n 1 "$T/e")" \
	"2 kapsel: flag provided but not defined: --fatcs; did you mean --facts? [KAPSEL-USAGE]"
is "check of another node's facts" "$(kapsel info --facts >"$T/facts"; kapsel check --facts "$T/facts" "$T/reader")" "$T/reader: acceptable"
jq '.surprise = 1' "$T/reader/config.json" >"$T/deaf/config.json.new"
mkdir "$T/odd"
mv "$T/deaf/config.json.new" "$T/odd/config.json"
is "an unknown key is tolerated" "$(st kapsel check "$T/odd")" 0
like "and check warns of it" "$(cat "$T/e")" "/surprise: unknown key 'surprise' is ignored .KAPSEL-CONFIG-UNKNOWN"
like "plan judges with --volatile" "$(kapsel plan --volatile "$T/writer")" 'root\[0\] rootfs volatile=67108864'
is "events tell what has happened" "$(kapsel events --no-follow r1 | awk '{ print $2 }' | tr '\n' ' ')" \
	"started paused resumed stopping exited "
is "info shows all that kapseld --check verifies" "$(kapsel info --json | jq -r '.check.findings[].name')" \
	"$(kapseld --check --config "$T/kapseld.json" | grep -E '^[a-z0-9 ]+ (ok|missing|degraded) ' | sed -E 's/ +(ok|missing|degraded) .*//')"
is "and as text" "$(kapsel info | sed -n '/^node:/,$s/^  \([^:]*\):.*/\1/p')" "$(kapsel info --json | jq -r '.check.findings[].name')"

is "--version needs no daemon" "$(st kapsel -H "$T/none" --version) $(cut -d' ' -f1,2 "$T/o")" "0 kapsel 0.1.0"
is "version does" "$(st kapsel -H "$T/none" version)" 1

# a terminal
kapsel run -d --id deaf "$T/deaf" >"$T/o"
like "a long wait shows its progress on a terminal" "$(on-terminal kapsel stop -t 2 deaf)" 'waiting for deaf to stop \(1 s\)'
like "making one as well" "$(on-terminal kapsel run -d --id slow "$T/slow")" 'waiting for slow to be made \(1 s\)'
like "and wait" "$(on-terminal sh -c 'kapsel wait slow & sleep 2.5; kapsel stop slow >/dev/null; wait')" 'waiting for slow \(1 s\)'
is "but not when piped" "$(kapsel run -d --id slow2 "$T/slow" 2>&1)" slow2
like "colours on a terminal" "$(on-terminal kapsel list | cat -v)" '\^\[\[2mstopped'
is "none with NO_COLOR, none in a pipe" "$(NO_COLOR=1 on-terminal kapsel list | cat -v | grep -c '\^\[')$(kapsel list | cat -v | grep -c '\^\[')" 00
is "a table fits" "$(on-terminal --size 24x50 kapsel list | sed 's/\x1b\[[0-9;]*m//g; s/…/./g' | awk '{ if (length($0) > 50) n++ } END { print n + 0 }')" 0
