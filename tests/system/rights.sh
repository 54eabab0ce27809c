#!/bin/sh
# rights (D22): method x role x uid; what is refused has no effect but an audit line; secrets stay where they belong
# timeout: 150
. tests/lib.sh
gid=54321 operators=54322
secret=marker-7f3a9c-secret
daemon_kill TERM
{ grep -v -e ^kapsel: -e ":$gid:" -e ":$operators:" /etc/group; echo "kapsel:x:$gid:"; echo "kapsel-ops:x:$operators:"; } >"$T/group"
mount --bind "$T/group" /etc/group
jq '. + {"log": {"level": "debug"}, "roles": {"operate": "root,group:kapsel-ops,uid:4715", "admin": "root,uid:4713"}}' \
	"$T/kapseld.json" >"$T/new" && mv "$T/new" "$T/kapseld.json"
daemon_start
chmod 755 "$T"
bundle b 'echo up; while :; do sleep 60 & wait $!; done' ".process.env += [\"TOKEN=$secret-env\"]"
bundle bad 'true' ".process.env += [\"TOKEN=$secret-env\"] | .process.cwd = \"relative\""
bundle noname 'true' ".process.env += [\"$secret-noname\", \"=$secret-empty\"]"
bundle nul 'true' ".process.env += [\"TOKEN=$secret-nul\\u0000x\"]"
bundle missing 'true' ".process.args = [\"/no/such\"] | .process.env += [\"TOKEN=$secret-missing\"]"
kapsel run -d --id a -e "FLAG=$secret-flag" "$T/b" >"$T/replies"
is "the socket is the group's" "$(stat -c '%a %g' "$T/sock")" "660 $gid"
like "others do not reach it" "$(setpriv --reuid 4711 --regid 4711 --clear-groups varlink "$T/sock" io.kapsel.Node.Info 2>&1)" "Permission denied"
chmod 666 "$T/sock" # what kapseld itself says to those who do
timeout -k 2 120 python3 tests/system/rights.py "$T" "$daemon" $gid $operators || failed=1

# secrets
say() { "$@" >>"$T/replies" 2>&1 || :; }
say kapsel exec -e "X=$secret-exec" a true
say kapsel exec -e "X=$secret-exec" a /no/such
say kapsel exec -e "=$secret-exec" a true
say kapsel exec -w relative -e "X=$secret-exec" a true
printf 'A=%s-file\n%s-line\n=%s-odd\n' $secret $secret $secret >"$T/env-file"
say kapsel run --id env --env-file "$T/env-file" "$T/missing"
grep -v "$secret" "$T/env-file" >/dev/null || rm "$T/env-file"
for b in bad noname nul missing b; do
	say kapsel check "$T/$b"
	say kapsel check --json "$T/$b"
	say kapsel plan "$T/$b"
	say kapsel plan --json "$T/$b"
	say kapsel run --result "$T/result-$b" --id "r-$b" -e "FLAG=$secret-flag" "$T/$b" -- /bin/sh -c 'exit 3'
	say kapsel run --json --id "r-$b" -e "OTHER=$secret-other" "$T/$b" -- /bin/sh -c 'exit 3'
	say kapsel inspect "r-$b"
	say kapsel delete -f "r-$b"
done
say kapsel run --id a -e "FLAG=$secret-different" "$T/b"
for c in state inspect "inspect --json" logs ps stats; do say kapsel $c a; done
for c in list "list --json" events "events --json" info; do
	case $c in events*) c="$c --no-follow" ;; esac
	say kapsel $c
done
cat "$T"/result-* >>"$T/replies"
ok "results were written" [ "$(ls "$T"/result-* | wc -l)" -ge 4 ]
is "no reply and no error has the secret" "$(grep "$secret" "$T/replies" | head -n 3)" ""
is "no log has it" "$(grep -c "$secret" "$T/log")" 0
is "no file but the copy has it" "$(grep -rl "$secret" "$T/run" "$T/state" || :)" "$T/run/c/a/config.json"
is "which is its owner's alone" "$(stat -c '%a %U' "$T/run/c/a/config.json")" "600 root"
is "no process of Kapsel's has it in its arguments or environment" \
	"$(for p in $(pgrep '^kapsel'); do grep -aq "$secret" "/proc/$p/cmdline" "/proc/$p/environ" 2>/dev/null && cat "/proc/$p/comm"; done)" ""
like "admin is shown values on demand" "$(kapsel inspect --show-env a)" "$secret-flag"
is "an exec has what the caller added" "$(kapsel exec a env | grep -c "^FLAG=$secret-flag$")" 1
is "inspect has names" "$(kapsel inspect --json a | jq -c '[.. | objects | select(has("env")) | .env][0]')" '["PATH","HOME","TOKEN","FLAG"]'
is "and the program" "$(kapsel inspect --json a | jq -c '[.. | objects | select(has("args")) | .args[0], .cwd, .user]')" '["/bin/sh","/","0:0"]'
kapsel delete --force a >/dev/null
is "nothing has it when the container is gone" "$(grep -rl "$secret" "$T/run" "$T/state" || :)" ""
umount /etc/group
