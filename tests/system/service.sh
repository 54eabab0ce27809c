#!/bin/sh
# service: SIGTERM leaves containers running; the log goes to stderr, as text or JSON, or to journald's socket
LIB_NO_DAEMON=1
. tests/lib.sh
bundle b 'trap "exit 7" TERM; echo up; while :; do sleep 60 & wait $!; done'
daemon_start --log-format json
kapsel run -d --id a "$T/b" >/dev/null
pid=$(kapsel inspect --field pid a)
set +e
kill -TERM "$daemon"
wait "$daemon"
is "SIGTERM ends kapseld well" $? 0
set -e
daemon=
ok "its containers run on" kill -0 "$pid"
is "each line is JSON" "$(jq -r 'select(.time and .level and .pid) | .msg' "$T/log" | grep -c serves)" 1
is "and nothing else" "$(grep -vc '^{' "$T/log")" 0
daemon_start
is "a new kapseld knows them" "$(kapsel state -q a) $(kapsel inspect --field pid a) $(kapsel exec a echo in)" "running $pid in"
like "text has the program and the level" "$(tail -n 1 "$T/log")" "^kapseld: info: "
kapsel stop a >/dev/null
is "and how they end" "$(kapsel inspect --field exit.code a)" 7
kapsel delete a >/dev/null
daemon_kill TERM

cat >"$T/starter.py" <<'END'
import json, os, socket, subprocess, sys, time
T = sys.argv[1]
def say(text, good, told=""): print(("ok - " if good else "NOT OK - ") + text, "" if good else told)
def start(stderr, *args, **env):
    p = subprocess.Popen(["kapseld", "--foreground", "--socket", T + "/sock", "--run-dir", T + "/run", "--state-dir", T + "/state",
                          "--config", T + "/kapseld.json", *args], stderr=stderr, env=dict(os.environ, **env))
    for _ in range(200):
        if subprocess.run(["kapsel", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0: break
        time.sleep(0.05)
    return p
def denied(n):
    """Refused calls: an audit line each."""
    for _ in range(n):
        a = subprocess.run(["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups", "varlink", T + "/sock",
                            "io.kapsel.Node.Info"], stdout=subprocess.PIPE).stdout
        if b"Denied" not in a: return False
    return True
# journald
os.makedirs("/run/systemd/journal")
j = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); j.bind("/run/systemd/journal/socket"); j.settimeout(10)
ours, its = socket.socketpair()
at = os.fstat(its.fileno())
for form in "text", "json":
    p = start(its, "--log-format", form, JOURNAL_STREAM="%d:%d" % (at.st_dev, at.st_ino))
    fields = dict(l.split("=", 1) for l in j.recv(65536).decode().splitlines())
    message = json.loads(fields["MESSAGE"])["msg"] if form == "json" else fields["MESSAGE"]
    say("journald's socket has it as %s" % form, fields["PRIORITY"] == "6" and fields["SYSLOG_IDENTIFIER"] == "kapseld" and "serves" in message, fields)
    p.terminate(); p.wait()
    while True:
        try: j.settimeout(0.2); j.recv(65536)
        except OSError: break
    j.settimeout(10)
ours.setblocking(False)
try: left = ours.recv(100)
except BlockingIOError: left = b""
say("and stderr nothing", left == b"", left)
p = start(open(T + "/log", "ab"), JOURNAL_STREAM="1:1")
p.terminate(); p.wait()
j.settimeout(0.2)
try: wrong = j.recv(65536)
except OSError: wrong = b""
say("a stderr that is not journald's is used", wrong == b"", wrong)
# a reader that does not read
r, w = os.pipe()
os.set_blocking(w, False)
try:
    while True: os.write(w, b"x" * 4096)
except BlockingIOError: pass
os.set_blocking(w, True)
p = start(w)
os.chmod(T, 0o755); os.chmod(T + "/sock", 0o666)
say("with its log's pipe full kapseld serves", denied(3))
os.set_blocking(r, False)
while True:
    try: os.read(r, 65536)
    except BlockingIOError: break
say("and goes on", denied(1))
text = os.read(r, 65536).decode()
say("what was lost is counted", "lines of log were lost" in text and "audit" in text, text)
p.terminate()
say("it ends well", p.wait(20) == 0)
END
timeout -k 2 100 python3 "$T/starter.py" "$T" || failed=1
