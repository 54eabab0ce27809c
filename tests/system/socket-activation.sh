#!/bin/sh
# socket-activation: kapseld takes a socket from its starter, and says READY, RELOADING and STOPPING
LIB_NO_DAEMON=1
. tests/lib.sh
bundle b 'echo activated'
cat >"$T/starter.py" <<'END'
import os, socket, subprocess, sys, time
T = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.bind(T + "/sock"); s.listen(16)
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); n.bind(T + "/notify"); n.settimeout(10)
if s.fileno() != 3: os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
def heard(what, most=10):
    end = time.time() + most
    while time.time() < end:
        try: text = n.recv(4096).decode()
        except OSError: break
        if what in text.split("\n"): return True
    return False
def say(text, good): print(("ok - " if good else "NOT OK - ") + text)
# A client may call before kapseld is there: the socket is.
early = subprocess.Popen(["kapsel", "version"], stdout=subprocess.PIPE)
pid = os.fork()
if pid == 0:
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=T + "/notify")
    os.dup2(os.open(T + "/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    os.execvp("kapseld", ["kapseld", "--foreground", "--run-dir", T + "/run", "--state-dir", T + "/state", "--config", T + "/kapseld.json"])
say("READY=1 is said", heard("READY=1"))
say("a call made before is answered", early.wait(10) == 0)
out = subprocess.run(["kapsel", "run", "--rm", T + "/b"], stdout=subprocess.PIPE, timeout=20).stdout
say("the passed socket serves", out == b"activated\n")
os.kill(pid, 1)
say("a reload is said", heard("RELOADING=1"))
say("and its end", heard("READY=1"))
os.kill(pid, 15)
say("STOPPING=1 is said", heard("STOPPING=1"))
say("it ends well", os.waitpid(pid, 0)[1] == 0)
say("the socket stays its starter's", os.path.exists(T + "/sock"))
END
timeout 60 python3 "$T/starter.py" "$T" >"$T/o" || failed=1
cat "$T/o"
! grep -q NOT "$T/o" || { failed=1; cat "$T/log"; }
