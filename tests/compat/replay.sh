#!/bin/bash
# tests/compat/replay.sh [RUNTIME...]: callers that Debian has no package of: their calls, by replay.py
# timeout: 300
NEED='python3'
. tests/compat/lib.sh

begin() { :; }
end() { groups | grep -E '/(kubepods|besteffort|pod1|machine|replay)$' | sort -r | xargs -r rmdir; } # the callers' own
checks() { python3 tests/compat/replay.py "$client" "$RUNTIME" "$D/replay" "$T/image/rootfs"; }
image >"$T/image.log" 2>&1 || { cat "$T/image.log"; exit 1; }
for client in CRI-O ${QUICK:-Podman containerd BuildKit}; do
	[ "$client" != 1 ] || break # QUICK=1: the first alone
	case $client in CRI-O) version='1.36, replayed' ;; Podman) version='5, conmon 2.2, replayed' ;;
	containerd) version='2, replayed' ;; *) version='replayed' ;; esac
	compat "$client" "$version" "$@"
done
