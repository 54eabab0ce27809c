"""rights.py DIRECTORY PID OBSERVERS OPERATORS: every method by every kind of caller.  What is refused changes nothing
and leaves its audit line; what is allowed leaves one if it changes something."""
import json, os, re, resource, signal, socket, subprocess, sys

T, pid, observers, operators = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
ORDER = ("none", "observe", "operate", "admin")
WHO = {  # uid, gid, supplementary groups, role
    "a stranger": (4711, 4711, [], "none"),
    "a stranger with other groups": (4711, 4711, [4712, 54399], "none"),
    "a member": (4711, observers, [], "observe"),
    "a supplementary member": (4711, 4711, [4712, observers], "observe"),
    "an operator by group": (4714, operators, [], "operate"),
    "a supplementary operator": (4714, 4714, [observers, operators], "operate"),
    "an operator by uid": (4715, 4715, [], "operate"),
    "an admin by uid": (4713, 4713, [], "admin"),
    "root": (0, 0, [], "admin"),
}
B = T + "/b"
METHODS = {  # role, parameters; those for a caller who may, where they would do harm
    "Containers.Create": ("operate", {"id": "n", "bundle": B}, {"id": "n", "bundle": "/nowhere"}),
    "Containers.Start": ("operate", {"id": "a"}),
    "Containers.Run": ("operate", {"id": "n", "bundle": B}, {"id": "n", "bundle": "/nowhere"}),
    "Containers.Stop": ("operate", {"id": "a", "timeoutMs": 0}, {"id": "nobody"}),
    "Containers.Kill": ("operate", {"id": "a", "signal": "KILL"}, {"id": "nobody", "signal": "KILL"}),
    "Containers.Pause": ("operate", {"id": "a"}),
    "Containers.Resume": ("operate", {"id": "a"}),
    "Containers.Delete": ("operate", {"id": "a", "force": True}, {"id": "nobody"}),
    "Containers.Update": ("operate", {"id": "a", "resources": {"pids": {"limit": 5}}}, {"id": "nobody"}),
    "Containers.Exec": ("operate", {"id": "a", "process": {"args": ["/bin/touch", "/dev/shm/touched"]}},
                        {"id": "a", "process": {"args": ["/bin/true"]}}),
    "Containers.Attach": ("operate", {"id": "a", "stdio": {}}),
    "Containers.Resize": ("operate", {"id": "a", "rows": 1, "columns": 1}),
    "Containers.Get": ("observe", {"id": "a"}),
    "Containers.List": ("observe", {}),
    "Containers.Wait": ("observe", {"ids": ["a"], "until": "running"}),
    "Containers.Watch": ("observe", {}),
    "Containers.Logs": ("observe", {"id": "a"}),
    "Containers.Stats": ("observe", {"ids": ["a"]}),
    "Containers.Processes": ("observe", {"id": "a"}),
    "Node.Info": ("observe", {}),
    "Node.Check": ("observe", {}),
    "Node.Facts": ("observe", {}),
    "Node.Metrics": ("observe", {}),
    "Node.Drain": ("admin", {"timeoutMs": 0}),
    "Node.Resume": ("admin", {}),
    "Node.Reload": ("admin", {}),
    "Node.Gc": ("admin", {"dryRun": True}),
    "Node.Upgrade": ("admin", {}),
}
CHANGES = [m for m, row in METHODS.items() if row[0] in ("operate", "admin")]
failed = False


def ok(text, good, told=""):
    global failed
    failed = failed or not good
    print("%s - %s%s" % ("ok" if good else "NOT OK", text, "" if good else ": %s" % (told,)), flush=True)


def talk(s, method, p):
    s.sendall(json.dumps({"method": "io.kapsel." + method, "parameters": p}).encode() + b"\0")
    text = b""
    while not text.endswith(b"\0"):
        piece = s.recv(1 << 16)
        if not piece:
            return {"error": "end of file"}
        text += piece
    replies.write(text.decode(errors="replace") + "\n")
    return json.loads(text[:-1])


def connect(who):
    """The peer is who called connect(2): a child of that caller's makes it and hands it over."""
    uid, gid, groups, _ = WHO[who]
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        s = socket.socket(socket.AF_UNIX)
        s.connect(T + "/sock")
        socket.send_fds(there, [b"x"], [s.fileno()])
        os._exit(0)
    fds = socket.recv_fds(here, 1, 1)[1]
    os.waitpid(child, 0)
    s = socket.socket(fileno=fds[0])
    s.settimeout(30)
    return s


def look():
    """The whole truth that a caller could change, and the journal's last number: no event has come."""
    a = talk(root, "Containers.Get", {"id": "a"})["parameters"]["container"]
    others = [c["id"] for c in talk(root, "Containers.List", {})["parameters"]["containers"]]
    cursor = talk(root, "Containers.Watch", {})["parameters"]["cursor"]
    touched = os.path.exists("/proc/%d/root/dev/shm/touched" % a["pid"])
    return {k: a.get(k) for k in ("uid", "instance", "state", "pid", "exits")}, others, cursor, touched


def audits():
    return [json.loads(l.partition("audit: ")[2]) for l in open(T + "/log") if "audit: {" in l]


replies = open(T + "/replies", "a")
interfaces = ""
for name in ("Containers", "Node"):
    text = open("src/api/io.kapsel.%s.varlink" % name).read()
    interfaces += "".join("%s.%s\n" % (name, m) for m in re.findall(r"^method (\w+)", text, re.M))
ok("the table has every method", set(interfaces.split()) == set(METHODS), interfaces)
root = connect("root")
for who, (uid, gid, groups, role) in WHO.items():
    s, wrong, before, refusals = connect(who), [], look(), 0
    for method, row in METHODS.items():
        may = ORDER.index(role) >= ORDER.index(row[0])
        lines = len(audits())
        p = dict(row[-1] if may else row[1])
        if method in CHANGES and not method.startswith("Node."):
            p["request"] = "req-" + method
        answer = talk(s, method, p)
        denied = answer.get("error", "").endswith(".Denied")
        if denied == may or answer.get("error") == "end of file":
            wrong.append((method, may, answer))
        new = audits()[lines:]
        if not may:
            refusals += 1
            good = len(new) == 1 and new[0]["method"] == "io.kapsel." + method and new[0]["uid"] == uid and new[0]["pid"] > 0 and \
                new[0]["result"] == "KAPSEL-DENIED" and new[0]["time"] and new[0].get("id") == p.get("id") and \
                new[0].get("request") == p.get("request") and (
                    p.get("id") != "a" or new[0]["container"] == before[0]["uid"])
            if not good:
                wrong.append((method, "audit", new))
        elif method in CHANGES and [l["method"] for l in new] != ["io.kapsel." + method]:
            wrong.append((method, "audit of what was allowed", new))
        elif method not in CHANGES and new:
            wrong.append((method, "audit of what only looks", new))
    ok("%s (%s) may just what the role says" % (who, role), not wrong, wrong)
    if ORDER.index(role) < 2:
        after = look()
        ok("%s: %d refused calls changed nothing" % (who, refusals), after == before, (before, after))
    a = talk(s, "Containers.Get", {"id": "a", "showEnv": True})
    ok("%s: values of env for admin only" % who, ("marker" in json.dumps(a)) == (role == "admin"), str(a)[:300])
    if role == "admin":  # that reply may have them
        replies.flush()
        os.truncate(T + "/replies", os.path.getsize(T + "/replies") - len(json.dumps(a)) - 2)
replies.close()
with open("/proc/net/unix") as f:
    ok("no abstract socket, which a container with the host's network could reach", "kapsel" not in "".join(l for l in f if " @" in l))


def dumps_core(argv):
    child = subprocess.Popen(argv, cwd=T, stderr=subprocess.DEVNULL,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)))
    try:
        child.wait(0.5)
    except subprocess.TimeoutExpired:
        pass
    child.send_signal(signal.SIGSEGV)
    return os.WCOREDUMP(os.waitpid(child.pid, 0)[1])


if dumps_core(["sleep", "60"]):
    ok("kapseld dumps no core, which would have secrets", not dumps_core([
        "kapseld", "--foreground", "--socket", T + "/sock2", "--run-dir", T + "/run2", "--state-dir", T + "/state2"]))
    for p in os.listdir(T):
        if p.startswith("core"):
            os.unlink(T + "/" + p)
else:
    print("# no core is dumped here at all")
sys.exit(failed)
