#!/bin/sh
# tests/system/cli.sh: the command's own work, against a daemon of straw
# timeout: 240
LIB_NO_DAEMON=1
. tests/lib.sh
mkdir "$T/b"
python3 tests/system/cli-mock.py "$T/sock" "$T/calls" 2>"$T/mock" &
mock=$!
trap 'cat "$T/mock"; kill $mock 2>/dev/null; finish' EXIT
for _ in $(seq 50); do [ -S "$T/sock" ] && break; sleep 0.1; done
st() { set +e; "$@" >"$T/o" 2>"$T/e"; echo $?; set -e; }
last() { tail -n 1 "$T/calls" | jq -r "$1"; }
call() { jq -c "select(.method | endswith(\".$1\")) | $2" "$T/calls" | tail -n 1; }

# run: streams and status
is "a program's status is the command's" "$(st kapsel run --id a "$T/b" -- 'echo out; echo err >&2; exit 3')" 3
is "its output is ours" "$(cat "$T/o")/$(cat "$T/e")" "out/err"
is "a signal's status is 128 and its number" "$(st kapsel run --id s "$T/b" -- 'kill -9 $$')" 137
is "stdin is passed with -i" "$(printf 'in\nput' | kapsel run -i --id i "$T/b" -- cat)" "$(printf 'in\nput')"
is "and not without" "$(echo x | kapsel run --id i2 "$T/b" -- cat)" ""
is "a megabyte arrives whole" "$(head -c 1000000 /dev/zero | tr '\0' x | kapsel run -i --id m "$T/b" -- cat | wc -c)" 1000000
is "stdout closed ends it" "$(st timeout 10 sh -c "kapsel run --id y '$T/b' -- yes | head -n 1 | grep -c y")" 0
is "not found is 127" "$(st kapsel run --id nofile "$T/b")" 127
is "our own failure is 125" "$(st kapsel run --id taken "$T/b")" 125
like "and says why" "$(cat "$T/e")" "^kapsel: taken is there already \[KAPSEL-ALREADY-EXISTS\]"
is "wrong usage of run is 125" "$(st kapsel run)" 125
is "wrong usage of others is 2" "$(st kapsel stop)" 2
is "no bundle is 125" "$(st kapsel run "$T/none")" 125
is "an expired --timeout is 125" "$(st kapsel --timeout 300ms run --id slow "$T/b" -- 'sleep 20')" 125
like "and killed what ran" "$(call Stop .parameters.id)" slow
kapsel run --id r --result "$T/r" "$T/b" -- 'exit 5' || :
is "--result has the certificate" "$(jq -r '.id + " " + (.exit.code | tostring)' "$T/r")" "r 5"
kapsel run --id nofile --result "$T/r" "$T/b" 2>/dev/null || :
is "--result has the error" "$(jq -r .error.code "$T/r")" KAPSEL-EXEC-NOT-FOUND

# run: what is asked
printf '# note\nF=1\nHOME\n\nG=a b\n' >"$T/env"
X=own kapsel run --id e -e A=1 -e X -e NOSUCH --env-file "$T/env" -w /w -u 1:2 --rm --stop-signal INT --stop-timeout 3 \
	--log-driver k8s-file --log-max-size 1m --volatile=2m "$T/b" -- 'echo "$A $X $F $G"' >"$T/o"
is "the environment arrives" "$(cat "$T/o")" "1 own 1 a b"
is "flags become fields" "$(call Run '[.parameters | .volatileBytes, .policy, .process.cwd, .process.user, .exclusive, .wait]')" \
	'[2097152,{"stopSignal":"INT","stopTimeoutMs":3000,"autoRemove":true,"logDriver":"cri","logMaxSize":1048576},"/w","1:2",true,true]'
is "the bundle's absolute path is told" "$(call Run .parameters.bundle)" "\"$(realpath "$T/b")\""
is "--detach prints the id" "$(kapsel run -d --id d "$T/b" -- true)" d
like "without --id one is made up" "$(kapsel run -d "$T/b" -- true)" '^[0-9a-f]{12}$'

# signals, terminals
kapsel run --id sig "$T/b" -- 'trap "echo got; exit 7" TERM; echo up; while :; do sleep 0.05; done' >"$T/o" &
p=$!
for _ in $(seq 100); do grep -q up "$T/o" && break; sleep 0.05; done
kill -TERM $p
set +e; wait $p; rc=$?; set -e
is "a signal is forwarded" "$rc $(tail -n 1 "$T/o")" "7 got"
is "a terminal is given" "$(on-terminal --size 33x77 kapsel run -it --id t "$T/b" -- 'tty >/dev/null && echo yes')" yes
is "with its size" "$(call Run '[.parameters.process | .terminal, .rows, .columns]')" '[true,33,77]'
is "what was typed ahead arrives, an end of input too" \
	"$(timeout 10 on-terminal --type 'typed\n\x04' kapsel run -it --id ahead "$T/b" -- 'cat >/dev/null; echo end' | tail -n 1)" end
is "exec has the program's status" "$(st kapsel exec a 'echo in; exit 9')" 9
is "exec's words are not flags" "$(kapsel exec -e A=1 a 'echo $A' -d)" 1

# a daemon that dies over a call
is "a call that was cut off is repeated" "$(kapsel run --id cut-early "$T/b" -- 'echo once')" once
is "with the same request" "$(jq -r 'select(.parameters.id == "cut-early") | .parameters.request' "$T/calls" | sort | uniq -c | awk '{ print $1 }')" 3
is "what ran when it died is waited for" "$(st kapsel run --id cut-late "$T/b" -- 'sleep 0.3; echo end; exit 4') $(cat "$T/o")" "4 end"

# a daemon for one call
mkdir "$T/bin"
cp "$BIN/kapsel" "$T/bin/"
printf '#!/bin/sh\nexec python3 %s/tests/system/cli-mock.py "$@"\n' "$PWD" >"$T/bin/kapseld"
chmod +x "$T/bin/kapseld"
is "--standalone brings its own kapseld" "$(st "$T/bin/kapsel" --standalone run "$T/b" -- 'echo alone; exit 3') $(cat "$T/o")" "3 alone"
is "and leaves nothing" "$(find /run -maxdepth 1 -name 'kapsel-????????????????')" ""
"$T/bin/kapsel" --standalone run --id alone "$T/b" -- 'trap "exit 9" TERM; while :; do sleep 0.05; done' &
p=$!
sleep 1
kill -TERM $p
set +e; wait $p; rc=$?; set -e
is "signals arrive" "$rc" 9
"$T/bin/kapsel" --standalone run "$T/b" -- 'exec sleep 100' &
p=$!
sleep 1
kill -KILL $p
set +e; wait $p; set -e
rest() { find /run -maxdepth 1 -name 'kapsel-????????????????'; ps -e -o pid,stat,args | grep '[s]leep 100'; }
for _ in $(seq 50); do [ -n "$(rest)" ] || break; sleep 0.1; done
is "its death is the daemon's" "$(rest)" ""
printf '#!/bin/sh\necho no such thing >&2; exit 1\n' >"$T/bin/kapseld"
is "a kapseld that does not live" "$(st "$T/bin/kapsel" --standalone run "$T/b")" 125
like "has last words" "$(cat "$T/e")" 'did not live to answer; it said: no such thing'
rm "$T/bin/kapseld"

# looking
is "list -q prints ids of all pages" "$(kapsel list -q | tr '\n' ' ')" "a b c "
like "a table has a head" "$(kapsel list | head -n 1)" '^ID +STATE +PID +EXIT +SINCE +BUNDLE$'
is "no colour and no width when piped" "$(kapsel list | grep -c "$(printf '\033')")" 0
is "list --json is a list" "$(kapsel list --json | jq -r 'map(.state) | join(" ")')" "running paused stopped"
is "a terminal's width is kept" "$(on-terminal --size 24x40 kapsel list |
	sed 's/\x1b\[[0-9;]*m//g' | awk '{ if (length($0) > 40) n++ } END { print n + 0 }')" 0
is "state is OCI's" "$(kapsel state c | jq -r '.id + " " + .status + " " + (.pid | tostring)')" "c stopped 4242"
is "a field of it" "$(kapsel inspect c --field exit.code)" 3
is "and one by number" "$(kapsel inspect c --field exits.0.reason)" exited
like "inspect says where a value came from" "$(kapsel inspect a)" 'stopSignal: TERM \(annotation\)'
is "strange bytes are escaped" "$(kapsel inspect a | grep -c "$(printf '\033')")" 0
is "an unknown id is 1" "$(st kapsel inspect nosuch)" 1
like "and is named" "$(cat "$T/e")" 'no container nosuch.*KAPSEL-NOT-FOUND'
is "logs keep their streams" "$(kapsel logs a 2>"$T/e")" "one two"
is "and tell what was dropped" "$(tr '\n' ' ' <"$T/e")" "bad kapsel: 7 bytes of the log were dropped "
is "events are lines" "$(kapsel events --no-follow)" "2026-01-01T00:00:00Z exited     a status 3"
is "events as JSON have a cursor" "$(kapsel events --no-follow --json | jq -r .cursor)" j:5
like "version names both" "$(kapsel version | tr '\n' ' ')" '^kapsel [0-9.]+ .*kapseld 9.9 $'

# several ids
is "wait prints each status" "$(st kapsel wait w0 w4 w5) $(tr '\n' ' ' <"$T/o")" "4 w0 0 w4 4 w5 5 "
begin=$(date +%s%N)
is "stop of several is done at the same time" "$(st kapsel stop x1 x2 x3 x4)" 0
[ $(($(date +%s%N) - begin)) -lt 2500000000 ] || { echo "NOT OK - it took too long"; failed=1; }
is "what is missing is told, the others are stopped" "$(st kapsel stop gone x1) $(cat "$T/o")" "1 x1"
is "--ignore passes over it" "$(st kapsel stop -i gone x1)" 0
is "delete goes on after a failure" "$(st kapsel delete a busy c) $(tr '\n' ' ' <"$T/o")" "1 a c "
is "--all asks for the list" "$(kapsel delete --all --force | tr '\n' ' ')" "a b c "

# words
like "a mistyped command" "$(kapsel strat 2>&1 || :)" 'did you mean "start"'
like "a mistyped flag" "$(kapsel stop --tiem 3 2>&1 || :)" 'did you mean "--time"'
like "a missing daemon" "$(kapsel -H "$T/nosock" list 2>&1 || :)" 'no kapseld answers at .*nosock.*No such file.*KAPSEL-DAEMON-MISSING'
like "an error as JSON" "$(kapsel -H "$T/nosock" --json list 2>&1 | jq -r .error.code)" KAPSEL-DAEMON-MISSING
kapsel completion bash >"$T/bash"
kapsel completion zsh >"$T/zsh"
for c in $(kapsel --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on && /^  [a-z]/ { print $1 }'); do
	kapsel "$c" --help >"$T/help"
	like "$c has help" "$(head -n 1 "$T/help")" "^kapsel $c.*: "
	awk '/^Flags/ { on = 1; next } on && match($0, /--[a-z-]+/) { print substr($0, RSTART, RLENGTH) }' "$T/help" | sort -u >"$T/flags"
	is "bash completes its flags" "$(sed -n "/^	${c}[)|]/{n;s/.*compgen -W \"\([^\"]*\)\".*/\1/p}" "$T/bash" | tr ' ' '\n' | tr -d = | sort -u)" \
		"$(cat "$T/flags")"
	is "zsh as well" "$(grep "^	${c}[)|].*_arguments" "$T/zsh" | grep -oE "'--[a-z-]+" | tr -d "'" | sed 's/-$//' | sort -u)" "$(cat "$T/flags")"
	is "the manual has them" "$({ sed -n '/^.SH FLAGS OF/,/^.SH COM/p' docs/man/kapsel.1
		awk -v c="$c" '/^\.S[SH] / { on = index($0, "\"" c " ") } on' docs/man/kapsel.1; } | sed 's/\\f[BIR]//g; s/\\-/-/g; s/(also.*//' |
		grep -A1 '^.TP' | grep -oE -- '--[a-z][a-z-]*' | sort -u)" "$(cat "$T/flags")"
done
is "the script is bash" "$(st bash -n "$T/bash")" 0
is "the other one is zsh" "$(st zsh -n "$T/zsh")" 0
is "and completes" "$(bash -c '. "$0"; COMP_WORDS=(kapsel st); COMP_CWORD=1; _kapsel; echo ${COMPREPLY[*]}' "$T/bash" | tr ' ' '\n' | sort | tr '\n' ' ')" \
	"start state stats stop "
is "ids as well" "$(bash -c '. "$0"; COMP_WORDS=(kapsel stop ""); COMP_CWORD=2; _kapsel; echo ${COMPREPLY[*]}' "$T/bash")" "a b c"

# the other programs
words() { sed 's/\\-/-/g; s/\\f[BIR]//g' "$1"; } # a page without its markup
flags() { sed -nE 's/^ *(-., )?(--[a-z][a-z-]*).*/\2/p' | sort -u; }
is "kapseld(8) has the flags of --help" "$(words docs/man/kapseld.8 | sed -n '/^.SH OPTIONS/,/^.SH CONF/p' | flags)" \
	"$(kapseld --help | flags)"
for c in $(kapsel-oci --help | awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }'); do
	words docs/man/kapsel-oci.8 | awk -v c="$c" '/^\.S[SH] / { on = index($0, "\"" c " ") || index($0, "\"" c "\"") } on' >"$T/section"
	case $c in checkpoint | restore) continue ;; esac # callers take a --help that answers for the thing itself
	is "kapsel-oci(8) has $c" "$(head -n 1 "$T/section")" ".SS \"$(kapsel-oci "$c" --help | sed -n '1s/Usage: kapsel-oci //p')\""
	is "and its flags" "$(flags <"$T/section")" "$(kapsel-oci "$c" --help | flags)"
done
