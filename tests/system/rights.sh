#!/bin/sh
# rights: every method by users without and with the group and by root; secrets stay where they belong
# timeout: 240
. tests/lib.sh
gid=54321
secret=marker-7f3a9c-secret
daemon_kill TERM
{ grep -v -e ^kapsel: -e ":$gid:" /etc/group; echo "kapsel:x:$gid:"; } >"$T/group"
mount --bind "$T/group" /etc/group
daemon_start
chmod 755 "$T"
bundle b 'echo up; while :; do sleep 60 & wait $!; done' ".process.env += [\"TOKEN=$secret-env\"]"
bundle bad 'true' ".process.env += [\"TOKEN=$secret-env\"] | .process.cwd = \"relative\""
kapsel run -d --id a -e "FLAG=$secret-flag" "$T/b" >"$T/replies"
sleep 0.3
is "the socket is the group's" "$(stat -c '%a %g' "$T/sock")" "660 $gid"
like "others do not reach it" "$(setpriv --reuid 4711 --regid 4711 --clear-groups varlink "$T/sock" io.kapsel.Node.Info 2>&1)" "Permission denied"
chmod 666 "$T/sock" # what kapseld itself says to those who do

# METHOD|PARAMETERS|ROLE: all there are
cat >"$T/methods" <<END
Containers.Create|{"id":"n","bundle":"$T/b"}|operate
Containers.Start|{"id":"a"}|operate
Containers.Run|{"id":"n","bundle":"$T/b"}|operate
Containers.Stop|{"id":"a"}|operate
Containers.Kill|{"id":"a","signal":"KILL"}|operate
Containers.Pause|{"id":"a"}|operate
Containers.Resume|{"id":"a"}|operate
Containers.Delete|{"id":"a","force":true}|operate
Containers.Update|{"id":"a","resources":{"pids":{"limit":5}}}|operate
Containers.Exec|{"id":"a","process":{"args":["/bin/true"]}}|operate
Containers.Attach|{"id":"a","stdio":{}}|operate
Containers.Resize|{"id":"a","rows":1,"columns":1}|operate
Containers.Get|{"id":"a"}|observe
Containers.List|{}|observe
Containers.Wait|{"ids":["a"],"until":"running"}|observe
Containers.Watch|{}|observe
Containers.Logs|{"id":"a"}|observe
Containers.Stats|{"ids":["a"]}|observe
Containers.Processes|{"id":"a"}|observe
Node.Info|{}|observe
Node.Check|{}|observe
Node.Facts|{}|observe
Node.Metrics|{}|observe
Node.Drain|{"timeoutMs":0}|admin
Node.Resume|{}|admin
Node.Reload|{}|admin
Node.Gc|{"dryRun":true}|admin
Node.Upgrade|{}|admin
END
is "the table has every method" "$(cut -d'|' -f1 "$T/methods" | sort)" \
	"$(sed -n 's/^method \([A-Za-z]*\).*/\1/p' src/api/io.kapsel.Containers.varlink | sed 's/^/Containers./
	' >"$T/m"; sed -n 's/^method \([A-Za-z]*\).*/Node.\1/p' src/api/io.kapsel.Node.varlink >>"$T/m"; sort "$T/m")"
look() { kapsel inspect --json a | jq -c '[.. | objects | select(has("uid") and has("state")) | {id, uid, instance, state, pid}]'; kapsel list -q; }
before=$(look)
as() { # WHO METHOD PARAMETERS
	case $1 in
	stranger) setpriv --reuid 4711 --regid 4711 --clear-groups varlink "$T/sock" "io.kapsel.$2" "$3" ;;
	member) setpriv --reuid 4711 --regid $gid --clear-groups varlink "$T/sock" "io.kapsel.$2" "$3" ;;
	supplementary) setpriv --reuid 4711 --regid 4711 --groups 4712,$gid varlink "$T/sock" "io.kapsel.$2" "$3" ;;
	root) varlink "$T/sock" "io.kapsel.$2" "$3" ;;
	esac
}
for who in stranger member supplementary; do
	while IFS='|' read -r method parameters role; do
		lines=$(wc -l <"$T/log")
		answer=$(as $who "$method" "$parameters" 2>&1 </dev/null) || :
		echo "$answer" >>"$T/replies"
		case $role:$who in
		observe:member | observe:supplementary)
			case $answer in
			*Denied* | *"rror: "* | "") echo "NOT OK - $who $method: $answer"; failed=1 ;;
			*) echo "ok - $who may $method" ;;
			esac ;;
		*)
			like "$who may not $method" "$answer" 'io.kapsel.[A-Za-z]*.Denied'
			like "$who: $method has its audit line" "$(tail -n +$((lines + 1)) "$T/log" | tr '\n' ' ')" "${method#*.}.*4711|4711.*${method#*.}" ;;
		esac
	done <"$T/methods"
	is "$who changed nothing" "$(look)" "$before"
done
while IFS='|' read -r method parameters role; do
	case $method in *.Delete | *.Stop | *.Kill | *.Run | *.Create | *.Upgrade) continue ;; esac
	answer=$(as root "$method" "$parameters" 2>&1 </dev/null) || :
	echo "$answer" >>"$T/replies"
	case $answer in
	*Denied* | *ermission* | '') echo "NOT OK - root $method: $answer"; failed=1 ;;
	*) echo "ok - root may $method" ;;
	esac
done <"$T/methods"
like "a stranger's showing of values is refused" "$(as supplementary Containers.Get '{"id":"a","showEnv":true}' 2>&1 || :)" Denied

# secrets
kapsel exec -e "X=$secret-exec" a true
set +e
kapsel run --id bad -e "FLAG=$secret-flag" "$T/bad" >>"$T/replies" 2>&1
kapsel run --id a -e "FLAG=$secret-flag" "$T/bad" >>"$T/replies" 2>&1
kapsel plan "$T/b" >>"$T/replies" 2>&1
kapsel plan --json "$T/b" >>"$T/replies" 2>&1
kapsel check "$T/bad" >>"$T/replies" 2>&1
kapsel state a >>"$T/replies"
kapsel inspect --json a >>"$T/replies"
kapsel inspect a >>"$T/replies"
kapsel list --json >>"$T/replies"
kapsel events --no-follow >>"$T/replies" 2>&1
kapsel logs a >>"$T/replies"
kapsel events --json --no-follow >>"$T/replies" 2>&1
kapsel delete --force a >>"$T/replies"
set -e
is "no reply and no error has the secret" "$(grep -c "$secret" "$T/replies")" 0
is "no log has it" "$(grep -c "$secret" "$T/log")" 0
kapsel run -d --id a -e "FLAG=$secret-flag" "$T/b" >/dev/null
is "no file but the copy has it" "$(grep -rl "$secret" "$T/run" "$T/state" || :)" "$T/run/c/a/config.json"
is "which is its owner's alone" "$(stat -c '%a %U' "$T/run/c/a/config.json")" "600 root"
umount /etc/group
