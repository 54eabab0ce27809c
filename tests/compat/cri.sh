#!/bin/bash
# tests/compat/cri.sh [RUNTIME...]: containerd's CRI plugin, by the calls that the kubelet and crictl make (cri.py)
# timeout: 300
[ -z "${QUICK-}" ] || { echo 'not in the quick selection'; exit 77; }
NEED='containerd containernetworking-plugins python3-grpcio python3-protobuf iproute2'
. tests/compat/lib.sh

daemon() {
	containerd --config "$D/config.toml" >>"$D/containerd.log" 2>&1 &
	daemon=$!
	until_ok 30 /usr/bin/ctr --address "$D/sock" version
}
begin() {
	mkdir -p "$D/net.d" "$D/volume"
	mount -t tmpfs volume "$D/volume" && mount --make-shared "$D/volume"
	cat >"$D/net.d/10-compat.conf" <<-EOF
		{ "cniVersion": "0.4.0", "name": "compat", "type": "bridge", "bridge": "compat0", "isGateway": true,
		  "ipam": { "type": "host-local", "subnet": "10.89.0.0/24", "dataDir": "$D/cni" } }
	EOF
	cat >"$D/config.toml" <<-EOF
		version = 2
		root = "$D/root"
		state = "$D/state"
		[grpc]
		address = "$D/sock"
		[plugins."io.containerd.internal.v1.opt"]
		path = "$D/opt"
		[plugins."io.containerd.grpc.v1.cri"]
		sandbox_image = "localhost/compat:1"
		restrict_oom_score_adj = true
		stream_server_address = "127.0.0.1"
		stream_server_port = "0"
		[plugins."io.containerd.grpc.v1.cri".cni]
		bin_dir = "/usr/lib/cni"
		conf_dir = "$D/net.d"
		[plugins."io.containerd.grpc.v1.cri".containerd]
		default_runtime_name = "kapsel"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kapsel]
		runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kapsel.options]
		BinaryName = "$RUNTIME"
		SystemdCgroup = false
	EOF
	daemon && ctr --address "$D/sock" --namespace k8s.io images import "$IMAGE" >"$D/import" 2>&1 ||
		{ cat "$D/containerd.log" "$D/import"; return 1; }
}
checks() {
	/usr/bin/python3 tests/compat/cri.py "$D/sock" "$D" first
	kill -KILL "$daemon"
	wait "$daemon"
	daemon
	/usr/bin/python3 tests/compat/cri.py "$D/sock" "$D" second
}
end() {
	kill "$daemon" && wait "$daemon"
	umount "$D/volume"
	ip link del compat0
	groups | grep -E '/(kubepods|besteffort|pod-[a-z]*)$' | sort -r | xargs -r rmdir # the kubelet's own
}
image --config.cmd -c --config.cmd 'sleep 100000' >"$T/image.log" 2>&1 || { cat "$T/image.log"; exit 1; }
compat containerd-CRI "$(containerd --version | awk '{ sub("~.*", "", $3); print $3 }')" "$@"
