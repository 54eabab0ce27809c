#!/bin/sh
# attach-stuck: of three attached clients one does not read; the others and the log miss nothing
. tests/lib.sh
bundle b 'while [ ! -e /dev/shm/go ]; do sleep 0.05; done; seq 1 60000; echo end'
kapsel run -d --id a "$T/b" >/dev/null
kapsel attach a >"$T/one" </dev/null &
one=$!
kapsel attach a >"$T/two" </dev/null &
two=$!
mkfifo "$T/pipe"
sleep 30 <>"$T/pipe" & # holds it open and does not read
holder=$!
kapsel attach a >"$T/pipe" </dev/null &
stuck=$!
sleep 0.5
kapsel exec a touch /dev/shm/go
ok "the container ends in time" timeout 20 kapsel wait -q a
for _ in $(seq 50); do kill -0 $one 2>/dev/null || kill -0 $two 2>/dev/null || break; sleep 0.1; done
seq 1 60000 >"$T/all"; echo end >>"$T/all"
is "the first has all" "$(sha256sum <"$T/one")" "$(sha256sum <"$T/all")"
is "the second has all" "$(sha256sum <"$T/two")" "$(sha256sum <"$T/all")"
is "the log has all" "$(kapsel logs a | sha256sum)" "$(sha256sum <"$T/all")"
is "kapseld answers" "$(kapsel state -q a)" stopped
kill -KILL $stuck $holder
wait $one $two $stuck $holder 2>/dev/null || :
