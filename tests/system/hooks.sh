#!/bin/sh
# hooks: each kind failing and hanging, through kapseld; every failure is named and nothing stays
. tests/lib.sh
# proves: /hooks/{prestart,createRuntime,createContainer,startContainer,poststart,poststop}/-/timeout
for kind in prestart createRuntime createContainer startContainer poststart poststop; do
	bundle "fail-$kind" 'sleep 0.4; exit 5' ".hooks.$kind = [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"exit 3\"]}]"
	bundle "hang-$kind" 'sleep $([ '$kind' = poststart ] && echo 3 || echo 0.3); exit 5' ".hooks.$kind = [{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"sleep 77\"], \"timeout\": 1}]"
	for how in fail hang; do
		begin=$(date +%s%N)
		set +e
		timeout 20 kapsel run --id "$how-$kind" "$T/$how-$kind" >"$T/o" 2>"$T/e" </dev/null
		rc=$?
		set -e
		ms=$((($(date +%s%N) - begin) / 1000000))
		case $kind in
		poststop) like "$how $kind: the program's status, $ms ms" "$rc" "^5$" ;;
		*) like "$how $kind: refused and named, $ms ms" "$rc $(tr '\n' ' ' <"$T/e")" "^125 .*$kind" ;;
		esac
		ok "$how $kind: in time" [ $ms -lt 5000 ]
		timeout 20 kapsel delete -f -i "$how-$kind" >/dev/null 2>&1 || { echo "NOT OK - delete"; failed=1; }
	done
done
sleep 0.3
bundle apart 'sleep 50' '.hooks.poststart = [{"path": "/bin/false"}]'
kapsel create --id apart "$T/apart" >/dev/null
set +e
kapsel start apart >"$T/o" 2>"$T/e"
rc=$?
timeout 5 kapsel wait -q apart
set -e
like "poststart after a start of its own: named" "$rc $(tr '\n' ' ' <"$T/e")" "^1 .*poststart"
is "and its program is stopped" "$(kapsel state -q apart)" stopped
kapsel delete apart >/dev/null
is "no hook is left" "$(ps -e -o args | grep -c '[s]leep 77')" 0
is "nothing is left" "$(kapsel list -q; ls "$T/run/c")" ""
