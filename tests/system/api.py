"""api.py DIRECTORY CGROUP PID CONNECTIONS: what an agent relies on, rule by rule."""
import array, json, os, signal, socket, subprocess, sys, threading, time

T, CG, pid, CONNECTIONS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
failed = False


def ok(text, good, told=""):
    global failed
    failed = failed or not good
    print("%s - %s%s" % ("ok" if good else "NOT OK", text, "" if good else ": %s" % (told,)), flush=True)


class Client:
    def __init__(self, most=30):
        self.s, self.data, self.eof = socket.socket(socket.AF_UNIX), b"", False
        self.s.connect(T + "/sock")  # this waits for a place in the queue
        self.s.settimeout(most)

    def say(self, method, p=None, fds=(), raw=None, **envelope):
        message = dict({"method": "io.kapsel." + method, "parameters": p or {}}, **envelope)
        text = raw if raw is not None else json.dumps(message).encode() + b"\0"
        more = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.s.sendmsg([text], more)
        if sent < len(text):
            self.s.sendall(text[sent:])

    def hear(self):
        """One answer, or None at the end."""
        while b"\0" not in self.data:
            try:
                piece = self.s.recv(1 << 16)
            except ConnectionResetError:
                piece = b""
            if not piece:
                self.eof = True
                return None
            self.data += piece
        text, _, self.data = self.data.partition(b"\0")
        return json.loads(text)

    def call(self, method, p=None, fds=(), **envelope):
        try:
            self.say(method, p, fds, **envelope)
        except BrokenPipeError:
            pass  # refused, and why is there to be read
        return self.hear()

    def quiet(self, seconds):
        """True: nothing comes for so long."""
        self.s.settimeout(seconds)
        try:
            return self.hear() is None and False
        except socket.timeout:
            return True
        finally:
            self.s.settimeout(30)


def name(a):
    return (a or {}).get("error", "").rpartition(".")[2]


def refused(text, a, error, *words):
    p = (a or {}).get("parameters", {})
    ok(text, name(a) == error and all(w in json.dumps(p) for w in words), a)


def answers(text, a, **wanted):
    p = (a or {}).get("parameters", {})
    ok(text, a is not None and "error" not in a and all(p.get(k) == v for k, v in wanted.items()), a)
    return p


def served(text, most=2.0):
    """A new client has its answer soon."""
    begin = time.monotonic()
    a = Client().call("Node.Info")
    took = time.monotonic() - begin
    ok("%s: others are served" % text, a and "error" not in a and took < most, "%.1f s %s" % (took, a))


def as_user(uid, work):
    """work() in a child with that uid; True when it returned true."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os._exit(0 if work() else 1)
        except BaseException as e:
            print("  %r" % e, flush=True)
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def restart(how):
    global pid
    os.kill(pid, how)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        while os.path.exists("/proc/%d" % pid) and open("/proc/%d/stat" % pid).read().rsplit(") ")[1][0] != "Z":
            time.sleep(0.02)
    p = subprocess.Popen(["kapseld", "--foreground", "--socket", T + "/sock", "--run-dir", T + "/run", "--state-dir",
                          T + "/state", "--config", T + "/kapseld.json"], stderr=open(T + "/log", "ab"))
    pid = p.pid
    with open(T + "/pid", "w") as f:
        f.write(str(pid))
    end = time.time() + 30
    while time.time() < end:
        try:
            if Client().call("Node.Info"):
                break
        except OSError:
            time.sleep(0.02)
    os.chmod(T + "/sock", 0o666)


def rss():
    return [int(l.split()[1]) for l in open("/proc/%d/status" % pid) if l.startswith("VmRSS")][0]


def fds():
    return len(os.listdir("/proc/%d/fd" % pid))


c = Client()

# 1: no descriptors are needed, and they are the fast way
made = answers("1: a bundle is a path", c.call("Containers.Create", {"id": "a", "bundle": T + "/b"}), existing=False)
refused("1: an absolute one", c.call("Containers.Create", {"id": "r", "bundle": "b"}), "Invalid", "absolute")
a = answers("1: run and wait", c.call("Containers.Run", {"id": "s", "bundle": T + "/short", "wait": True}))
ok("1: with its exit", a.get("exit", {}).get("code") == 5, a)
a = answers("1: output goes to the log", c.call("Containers.Logs", {"id": "s"}))
ok("1: line by line", sorted((l["stream"], l["text"]) for l in a["lines"]) == [("stderr", "err"), ("stdout", "out")], a)
c.call("Containers.Start", {"id": "a"})
a = answers("1: exec returns output", c.call("Containers.Exec", {"id": "a", "capture": True, "captureBytes": 10, "process": {
    "args": ["/bin/sh", "-c", "echo 0123456789; echo e >&2; exit 3"]}}), stdout="0123456789", stderr="e\n", truncated=True)
ok("1: and its exit", a.get("exit", {}).get("code") == 3, a)
r, w = os.pipe()
bundle = os.open(T + "/short", os.O_PATH | os.O_DIRECTORY)
c.call("Containers.Delete", {"id": "s"})
a = answers("1: descriptors beside the call", c.call("Containers.Run", {"id": "s", "bundleFd": 0, "wait": True, "stdio": {
    "stdout": 1}}, fds=(bundle, w)))
os.close(w)
ok("1: output comes by them", os.read(r, 100) == b"out\n")
refused("1: a number of none", c.call("Containers.Run", {"id": "q", "bundleFd": 3}, fds=(bundle,)), "Invalid", "bundleFd")
os.chmod(T + "/short", 0o700)
ok("1: nobody reads through us what he cannot read", as_user(4712, lambda: name(Client().call(
    "Containers.Create", {"id": "n", "bundle": T + "/short"})) in ("Denied", "Invalid", "NotFound")))
ok("1: what he can read he may start", as_user(4712, lambda: "error" not in Client().call(
    "Containers.Create", {"id": "n", "bundle": T + "/other"})))
os.chmod(T + "/short", 0o755)
answers("1: what was never started needs no force", c.call("Containers.Delete", {"id": "n"}), changed=True)

# 2: an id, its lives
uid = made["uid"]
for method, p in (("Start", {}), ("Stop", {}), ("Kill", {"signal": "KILL"}), ("Pause", {}), ("Resume", {}), ("Delete", {"force": True}),
                  ("Exec", {"process": {"args": ["true"]}}), ("Attach", {"stdio": {}}), ("Resize", {"rows": 1, "columns": 1}),
                  ("Get", {}), ("Logs", {}), ("Processes", {})):
    refused("2: %s of another life" % method, c.call("Containers." + method, dict(p, id="a", uid="0" * 32)), "NotFound")
refused("2: Wait for another life", c.call("Containers.Wait", {"ids": ["a"], "uids": {"a": "0" * 32}}), "NotFound")
before = c.call("Containers.Get", {"id": "a"})["parameters"]["container"]
ok("2: and nothing happened to this one", before["state"] == "running" and before["uid"] == uid and before["instance"] == 1, before)
answers("2: the expected one is hit", c.call("Containers.Pause", {"id": "a", "uid": uid}), changed=True, uid=uid, instance=1)

# 3: repeating is harmless
answers("3: pause again", c.call("Containers.Pause", {"id": "a"}), changed=False)
answers("3: resume", c.call("Containers.Resume", {"id": "a"}), changed=True)
answers("3: resume again", c.call("Containers.Resume", {"id": "a"}), changed=False)
answers("3: the same configuration exists", c.call("Containers.Create", {"id": "a", "bundle": T + "/b"}), existing=True, uid=uid)
answers("3: run of what runs", c.call("Containers.Run", {"id": "a", "bundle": T + "/b"}), existing=True, changed=False, uid=uid, instance=1)
refused("3: another configuration", c.call("Containers.Create", {"id": "a", "bundle": T + "/other"}), "AlreadyExists")
refused("3: another environment", c.call("Containers.Create", {"id": "a", "bundle": T + "/b", "process": {"env": ["A=b"]}}), "AlreadyExists")
answers("3: start of what runs", c.call("Containers.Start", {"id": "a"}), changed=False, instance=1)
a = answers("3: stop", c.call("Containers.Stop", {"id": "a", "request": "stop-1"}), changed=True)
ok("3: with the certificate and who asked", a["exit"]["code"] == 7 and a["exit"].get("request") == "stop-1" and "uid 0" in a["exit"]["by"], a)
answers("3: stop again", c.call("Containers.Stop", {"id": "a"}), changed=False)
answers("3: delete", c.call("Containers.Delete", {"id": "a"}), changed=True)
answers("3: delete again, of that life", c.call("Containers.Delete", {"id": "a", "uid": uid}), changed=False)
again = answers("3: a new life", c.call("Containers.Run", {"id": "a", "bundle": T + "/b", "request": "r-1"}), existing=False)
ok("3: has a new uid", again["uid"] != uid and len(again["uid"]) == 32, again)
answers("3: the same request is the same call", c.call("Containers.Run", {"id": "a", "bundle": T + "/b", "request": "r-1", "exclusive": True}),
        existing=True, uid=again["uid"])
refused("3: exclusive: another request is not", c.call("Containers.Run", {"id": "a", "bundle": T + "/b", "request": "r-2", "exclusive": True}),
        "AlreadyExists")
answers("3: kill", c.call("Containers.Kill", {"id": "a", "signal": "KILL", "request": "kill-1"}), changed=True)
a = answers("3: waited for", c.call("Containers.Wait", {"ids": ["a"]}), state="stopped")
ok("3: the request is in the certificate", a["exit"]["signal"] in ("KILL", "SIGKILL") and a["exit"].get("request") == "kill-1", a)
answers("3: the same kill again", c.call("Containers.Kill", {"id": "a", "signal": "KILL", "request": "kill-1"}), changed=False)
refused("3: another kill", c.call("Containers.Kill", {"id": "a", "signal": "KILL", "request": "kill-2"}), "WrongState", "stopped")

# 4: one connection watches everything
w = Client()
w.say("Containers.Watch", more=True)
first = w.hear()
ok("4: first a snapshot", {x["id"] for x in first["parameters"]["snapshot"]} == {"a", "s"} and first["parameters"]["complete"], first)


def events(client, until):
    """Events up to the first of that type and id; and the cursor after them."""
    got = []
    while not got or (got[-1]["type"], got[-1].get("id")) != until:
        a = client.hear()
        if a is None or "error" in a:
            return got, None
        got += a["parameters"].get("events") or []
        cursor = a["parameters"]["cursor"]
    return got, cursor


for i in range(3):
    c.call("Containers.Run", {"id": "w%d" % i, "bundle": T + "/b", "request": "q%d" % i})
seen, cursor = events(w, ("started", "w2"))
ok("4: every change, in order", [(e["type"], e["id"], e.get("request")) for e in seen if e["type"] == "started"] == [
    ("started", "w%d" % i, "q%d" % i) for i in range(3)], seen)
w.s.close()
for i in range(3):
    c.call("Containers.Delete", {"id": "w%d" % i, "force": True})
w = Client()
w.say("Containers.Watch", {"cursor": cursor}, more=True)
more, later = events(w, ("removed", "w2"))
numbers = [e["number"] for e in seen + more]
ok("4: from a cursor nothing is missing or twice", numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers)
ok("4: certificates are among it", sum(e["type"] == "exited" and "exit" in e for e in more) == 3, more)
for bad in ("nonsense", "0" * 32 + ":5", cursor.split(":")[0] + ":99999999"):
    a = Client().call("Containers.Watch", {"cursor": bad}, more=True)["parameters"]
    ok("4: else resync and a snapshot (%s)" % bad[:12], a.get("resync") and a.get("snapshot") is not None, a)
for i in range(8):
    c.call("Containers.Create", {"id": "wide%d" % i, "bundle": T + "/wide"})
wide, pieces = Client(), []
wide.say("Containers.Watch", {"cursor": "nonsense"}, more=True)
while not pieces or not pieces[-1]["complete"]:
    pieces.append(wide.hear()["parameters"])
ok("4: a long snapshot comes in pieces, and resync with the first only", len(pieces) > 1 and [p["resync"] for p in pieces] == [True] + [
    False] * (len(pieces) - 1) and sum(len(p["snapshot"]) for p in pieces) == 10, [(p["resync"], len(p["snapshot"])) for p in pieces])
wide.s.close()
for i in range(8):
    c.call("Containers.Delete", {"id": "wide%d" % i})
w.s.close()
w = Client()
w.say("Containers.Watch", {"cursor": later}, more=True)
later = events(w, ("removed", "wide7"))[1]
w.s.close()
restart(signal.SIGTERM)
c = Client()
w = Client()
w.say("Containers.Watch", {"cursor": later}, more=True)
a = w.hear()["parameters"]
ok("4: a cursor outlives a restart", not a["resync"] and not a.get("snapshot"), a)
restart(signal.SIGKILL)
c = Client()
a = Client().call("Containers.Watch", {"cursor": later}, more=True)["parameters"]
ok("4: nobody goes on from what a killed daemon may have told", a["resync"] and {x["id"] for x in a["snapshot"]} == {"a", "s"}, a)
ids = ["m%d" % i for i in range(5)]
for i in ids:
    c.call("Containers.Run", {"id": i, "bundle": T + "/b"})
w = Client()
w.say("Containers.Wait", {"ids": ids}, more=True)
refused("4: Wait has a deadline", c.call("Containers.Wait", {"ids": ids, "timeoutMs": 50}), "Timeout")
for i in reversed(ids):
    c.call("Containers.Stop", {"id": i})
got = [w.hear() for _ in ids]
ok("4: Wait for many on one connection", [x["parameters"]["id"] for x in got] == ids[::-1] and
   [x.get("continues", False) for x in got] == [True] * 4 + [False] and all(x["parameters"]["exit"]["code"] == 7 for x in got), got)
answers("4: for what has ended at once", c.call("Containers.Wait", {"ids": ids}), state="stopped")
for i in ids:
    c.call("Containers.Delete", {"id": i})
answers("4: removed is what is not there", c.call("Containers.Wait", {"ids": ["m0"], "until": "removed"}), state="removed")

# 5: errors
a = c.call("Containers.Create", {"id": "f", "bundle": T + "/faulty"})
p = a["parameters"]
refused("5: a configuration's faults", a, "Invalid", "pointer", "line", "column", "faults")
ok("5: all of them", 1 + len(p.get("faults") or ()) == 5, [p["pointer"]] + [f["pointer"] for f in p.get("faults") or ()])
for a in (a, c.call("Containers.Get", {"id": "no"}), c.call("Containers.Update", {"id": "a"}), c.call("Containers.Exec", {
        "id": "a", "process": {"args": ["true"]}})):
    p = a["parameters"]
    ok("5: %s has code, message, remedy, retry" % name(a), p["code"].startswith("KAPSEL-") and p["message"] and p["remedy"] and
       p["retry"] in ("never", "same", "later") and p["error"] == name(a), a)

# 6: what is unknown is named
refused("6: an unknown field", c.call("Containers.Get", {"id": "a", "shwEnv": True}), "Invalid", "shwEnv", "showEnv")
refused("6: a nested one", c.call("Containers.Create", {"bundle": "/x", "process": {"argz": []}}), "Invalid", "argz", "/process/argz")
refused("6: one beside the parameters", c.call("Containers.Get", {"id": "a"}, priority=1), "Invalid", "priority")
refused("6: a wrong type", c.call("Containers.Get", {"id": 5}), "Invalid", "/id")
refused("6: a word of no list", c.call("Containers.Wait", {"ids": ["a"], "until": "tired"}), "Invalid", "tired")
ok("6: an unknown method", c.call("Containers.Fly")["error"] == "org.varlink.service.MethodNotFound")

# 8: limits
limits = {l["name"]: l["value"] for l in c.call("Node.Info")["parameters"]["limits"]}
print("# limits: %s" % limits)
refused("8: requestBytes", c.call("Containers.Stop", {"id": "a", "request": "x" * 65}), "Limit", "requestBytes")
answers("8: that many are allowed", c.call("Containers.Stop", {"id": "a", "request": "x" * 64}))
refused("8: messageBytes", c.call("Containers.Get", {"id": "y" * 70000}), "Limit", "messageBytes")
answers("8: the connection lives on", c.call("Containers.Get", {"id": "a"}))
refused("8: waitIds", c.call("Containers.Wait", {"ids": []}), "Invalid")
null = os.open("/dev/null", os.O_RDONLY)
refused("8: fdsPerMessage", c.call("Containers.Get", {"id": "a"}, fds=[null] * (limits["fdsPerMessage"] + 1)), "Limit", "fdsPerMessage")
for i in range(11):
    c.call("Containers.Create", {"id": "l%d" % i, "bundle": T + "/b"})
refused("8: containers", c.call("Containers.Create", {"id": "l11", "bundle": T + "/b"}), "Limit", "containers")
for i in range(11):
    c.call("Containers.Delete", {"id": "l%d" % i})
w = Client()
c.call("Containers.Run", {"id": "long", "bundle": T + "/b"})
for i in range(6):
    w.say("Containers.Wait", {"ids": ["long"]})
time.sleep(0.2)
c.call("Containers.Delete", {"id": "long", "force": True})
got = [w.hear() for _ in range(6)]
ok("8: callsPerConnection", [name(x) == "Limit" for x in got] == [False] * 4 + [True] * 2 and "callsPerConnection" in json.dumps(got[5]), got)
ok("8: each is listed", {"requestBytes", "messageBytes", "waitIds", "fdsPerMessage", "containers", "callsPerConnection", "halfMessageMs",
                         "unsentBytes", "connections", "connectionsPerUid", "birthTimeoutMs", "pageSize", "captureBytes"} <= set(limits), limits)

# half messages: one that never ends, and one of a byte now and then
halves = [Client() for _ in range(10)]
for h in halves:
    h.say("", raw=b'{"method":')
slow, begin = Client(), time.monotonic()
ended = None
while time.monotonic() < begin + 10 and not ended:
    try:
        slow.s.sendall(b" ")
    except OSError:
        ended = time.monotonic() - begin
    time.sleep(0.1)
    if Client().call("Node.Info") is None:
        ok("8: half messages: others are served", False)
ok("8: a byte now and then does not help", ended is not None and ended > 1.0, ended)
got = [h.hear() for h in halves]
ok("8: halfMessageMs is told", all(name(x) == "Limit" and "halfMessageMs" in json.dumps(x) for x in got), got)
ok("8: and ends the connection", all(h.hear() is None for h in halves))
busy, begin, n = Client(), time.monotonic(), 0
text = json.dumps({"method": "io.kapsel.Node.Info"}).encode() + b"\0"
busy.s.sendall(text[:5])
while time.monotonic() < begin + 2.5:  # always half a message ahead, but each comes soon
    busy.s.sendall(text[5:] + text[:5])
    n += busy.hear() is not None
    time.sleep(0.05)
ok("8: whoever goes on in time stays", not busy.eof and n > 5, n)
busy.s.close()

# readers that do not read
idle, before = fds(), rss()
stuck = [Client() for _ in range(5)]
big = json.dumps({"method": "org.varlink.service.GetInterfaceDescription", "parameters": {"interface": "io.kapsel.Containers"}}).encode() + b"\0"
for s in stuck:
    try:
        for _ in range(1000):  # each by itself: many at once are callsPerConnection's
            s.s.sendall(big)
            time.sleep(0.005)
    except OSError:
        pass
served("8: readers that do not read")
log = open(T + "/log").read()
ok("8: they are dropped", log.count("does not read its answers") == 5, log[-500:])
end = time.time() + 10
while fds() > idle and time.time() < end:
    time.sleep(0.05)
ok("8: with their descriptors", fds() <= idle, "%d > %d" % (fds(), idle))
print("# RSS %d -> %d KiB" % (before, rss()))
ok("8: and their memory", rss() - before < 4096)
answers("8: alone", c.call("Containers.Get", {"id": "a"}))

# connections: of one user, and of all but admin
held = []
refused("8: connectionsPerUid is told", next(a for a in (held.append(Client()) or (held[-1].call("Node.Info")) for _ in range(60)) if name(a)),
        "Limit", "connectionsPerUid")
for h in held:
    h.s.close()


def crowd(n, hold):
    """Opens n connections; says how many were taken, waits for a byte."""
    some = [Client() for _ in range(n)]
    taken = sum(not name(s.call("Node.Info")) if s else False for s in some)
    os.write(hold[1], b"%d\n" % taken)
    time.sleep(60)
    return True


def crowds(sizes):
    """Child processes with these many connections each; how many they have in all."""
    r, w = os.pipe()
    children = []
    for i, n in enumerate(sizes):
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(5000 + i, 5000 + i, 5000 + i)
            os.setresuid(5000 + i, 5000 + i, 5000 + i)
            try:
                crowd(n, (r, w))
            finally:
                os._exit(0)
        children.append(child)
    os.close(w)
    f = os.fdopen(r)
    return children, sum(int(f.readline() or -1) for _ in sizes)


def disperse(children):
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


time.sleep(0.3)
here = c.call("Node.Info")["parameters"]["connections"]
children, taken = crowds((35, 35))
ok("8: the last place is kept", here + taken == 60 - 1, "%d + %d" % (here, taken))
answers("8: for admin", Client().call("Node.Info"), role="admin")
disperse(children)

# many connections, with the limits as they are by default
config = json.load(open(T + "/kapseld.json"))
del config["limits"]
json.dump(config, open(T + "/kapseld.json", "w"))
restart(signal.SIGTERM)
each = 3000
sizes = [each] * (CONNECTIONS // each) + [CONNECTIONS % each] * (CONNECTIONS % each > 0)
begin = time.monotonic()
children, taken = crowds(sizes)
print("# %d connections asked, %d taken in %.1f s: RSS %d KiB" % (CONNECTIONS, taken, time.monotonic() - begin, rss()))
ok("8: all that the limit allows", taken == min(CONNECTIONS, 8191), taken)
ok("8: in less than 64 MiB", rss() < 65536)
served("8: %d connections" % CONNECTIONS)
answers("8: admin is served", Client().call("Containers.List"))
disperse(children)
end = time.time() + 20
while fds() > 100 and time.time() < end:
    time.sleep(0.05)
ok("8: they go", fds() < 100, fds())
sys.exit(failed)
