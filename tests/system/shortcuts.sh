#!/bin/sh
# shortcuts: what makes kapseld fast can be switched off, and then is; tests/lib.sh does it for SHORTCUTS=off
SHORTCUTS=off
. tests/lib.sh
bundle b 'echo up; exit 5' '.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW",
	"syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}]}'
idle() { pgrep -fc '^kapsel-(oci|monitor) |/kapsel-oci --' || :; }
run() { set +e; kapsel run --rm "$T/b" >"$T/o" 2>&1; rc=$?; set -e; echo "$rc $(cat "$T/o")"; }
cached() { find "$T/state/cache" -type f | wc -l; }
is "off: a container runs" "$(run)" "5 up"
sleep 0.5
is "off: no executor waits" "$(idle)" 0
is "off: no filter is kept" "$(cached)" 0
shortcuts=''
config
kill -HUP "$daemon"
is "on, by a reload: a container runs" "$(run)" "5 up"
for _ in $(seq 50); do [ "$(idle)" -gt 0 ] && [ "$(cached)" = 1 ] && break; sleep 0.1; done
ok "on: executors wait" [ "$(idle)" -gt 0 ]
is "on: the filter is kept" "$(cached)" 1
is "on: and used" "$(run)" "5 up"
is "on: not compiled again" "$(cached)" 1
printf '\377\377\377\377' | dd of="$(find "$T/state/cache" -type f)" bs=1 seek=80 conv=notrunc status=none
is "a spoilt one is not used" "$(run)" "5 up"
