#!/bin/sh
# agents: the example agents hold desired containers over random changes while kapseld is killed
# timeout: 600
. tests/lib.sh
desired=${DESIRED:-20} changes=${CHANGES:-50} kills=${KILLS:-4}
mkdir "$T/out"
for b in one two; do
	bundle $b 'read -r line </proc/self/cgroup; echo "${line##*/}" >>/out/started; exec sleep 100000' "del(.linux.cgroupsPath)
		| .linux.namespaces |= map(select(.type != \"cgroup\")) # the path has the id
		| .mounts += [{\"destination\": \"/out\", \"type\": \"bind\", \"source\": \"$T/out\", \"options\": [\"bind\", \"rw\"]}]"
	mkdir "$T/$b/rootfs/out"
done
printf '#!/bin/sh\nexec python3 docs/examples/agent.py "$@"\n' >"$T/agent-python"
chmod +x "$T/agent-python"
agents=agent-python
if command -v go >/dev/null && [ -d /usr/share/gocode/src/github.com/varlink/go ]; then
	if GOPATH=/usr/share/gocode GO111MODULE=off GOCACHE=${GOCACHE:-/tmp/kapsel-go-cache} GOFLAGS="" go build -o "$T/agent-go" "$PWD/docs/examples/agent.go"; then
		agents="$agents agent-go"
	else
		echo "NOT OK - agent.go does not build"; failed=1
	fi
else
	echo "# skipped: the agent in Go (make deps: golang-go golang-github-varlink-go-dev)"
fi
for a in $agents; do
	timeout $((120 + changes * 4 + desired)) python3 tests/system/agents.py "$T" "$T/$a" "$desired" "$changes" "$kills" || failed=1
	daemon=$(cat "$T/pid" 2>/dev/null || echo "$daemon")
	kapsel delete --force --all >/dev/null
done
