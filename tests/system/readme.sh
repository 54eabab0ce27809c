#!/bin/bash
# readme: what README.md tells people to type, as it stands there
# timeout: 120
. tests/lib.sh
block() { # HEADING NUMBER: the Nth fenced or indented block below a heading
	awk -v h="## $1" -v n="$2" '$0 == h { on = 1; next } /^## / { on = 0 } { deep = !fence && /^    / }
		on && /^```/ { fence = !fence; k += fence; next }
		on && (fence || deep) { k += deep && !was; if (k == n) { if (deep) sub(/^    /, ""); print } }
		{ was = deep }' README.md
}
README=$PWD
mkdir "$T/bin"
printf '#!/bin/sh\nexec "$@"\n' >"$T/bin/sudo" # we are root already
chmod +x "$T/bin/sudo"
PATH=$T/bin:$PATH
block "In a CI job" 1 | sed -n 's/^    - //p' >"$T/gitlab"
block "In a CI job" 2 | sed -n 's/^  - run: //p' >"$T/github"
block "An agent in 30 lines" 1 >"$T/agent.py"
block "From an image to a bundle" 1 >"$T/image"

# the CI job
bundle bundle 'echo tested; exit 3'
for job in gitlab github; do
	is "the job for $job is there" "$(grep -c '^\(sudo \)\?kapsel --standalone run .* bundle$' "$T/$job")" 1
	rm -f "$T/result.json"
	set +e
	out=$(cd "$T" && env -u KAPSEL_HOST sh -e "$T/$job" 2>&1)
	rc=$?
	set -e
	is "it has the container's status and output" "$rc $out" "3 tested"
	is "and its result" "$(jq .exit.code "$T/result.json")" 3
done

# the agent
[ "$(wc -l <"$T/agent.py")" -le 30 ] && [ "$(wc -l <"$T/agent.py")" -gt 20 ] || { echo "NOT OK - the agent has $(wc -l <"$T/agent.py") lines"; failed=1; }
bundle web 'echo up; trap "exit 0" TERM; while :; do sleep 0.1; done'
bundle cache 'trap "exit 0" TERM; while :; do sleep 0.1; done'
mount -t tmpfs srv /srv
mkdir -p /srv/bundles /run/kapsel
ln -s "$T/web" "$T/cache" /srv/bundles/
ln -s "$T/sock" /run/kapsel/kapseld.sock
kapsel run -d --id stranger "$T/web" >"$T/o"
kapsel create --id cache "$T/cache" >"$T/o"
all() { kapsel list | awk 'NR > 1 { print $1, $2 }' | tr '\n' ' '; }
is "the agent runs" "$(python3 "$T/agent.py" 2>&1 | tr "'" '"' | sed 's/True/true/g; s/False/false/g' | jq -r .id)" web
is "and makes what is wanted" "$(all)" "cache running web running "
kapsel stop web >"$T/o"
pid=$(kapsel state cache | jq .pid)
python3 "$T/agent.py" >"$T/o"
is "again, where it has ended" "$(all)" "cache running web running "
is "what runs is left alone" "$(python3 "$T/agent.py"; kapsel state cache | jq .pid)" "$pid"
umount /srv

# from an image; no registry can be reached, so it is one of a directory
cd "$T"
umoci init --layout registry 2>&1
umoci new --image registry:1 2>&1
umoci unpack --image registry:1 unpacked 2>&1
cp -a rootfs/. unpacked/rootfs/
umoci repack --image registry:1 unpacked 2>&1
umoci config --image registry:1 --config.cmd /bin/echo --config.cmd "from an image" 2>&1
rm -r bundle
is "an image becomes a bundle in three lines" "$(grep -c . image)" 3
sed -i 's|docker://registry.example/app:1|oci:registry:1|' image
set +e
out=$(sh -e image 2>&1)
rc=$?
set -e
is "that runs" "$rc $(tail -n 1 <<<"$out" | tr -d '\r')" "0 from an image"
cd "$README"
