#!/usr/bin/env python3
"""The executor's two sockets by hand: this is kapseld on fd 3 and the monitor on fd 4. BIN RUN BUNDLE CGROUP."""
import array, fcntl, json, os, re, socket, struct, subprocess, sys

BIN, WORK, BUNDLE, CGROUP = sys.argv[1:5]
door = open("include/kapsel/wire.h").read()


def numbers(enum):
    body = re.search(r"enum %s \{(.*?)\};" % enum, door, re.S).group(1)
    names = re.findall(r"\b((?:WIRE|TAG)_[A-Z_]+)\b(?: = 1)?,?", re.sub(r"/\*.*?\*/", "", body, flags=re.S))
    return {name: i + 1 for i, name in enumerate(names)}


TYPE, TAG = numbers("wire_type"), numbers("wire_tag")
NAME = {v: k for k, v in TYPE.items()}
TERMINAL, START_NOW, DIRECT_OUT, KEEP_STDIN = 1, 2, 4, 8
failed = 0


def check(text, got, wanted):
    global failed
    if got == wanted:
        print("ok -", text)
    else:
        failed = 1
        print("NOT OK - %s\n  got:    %r\n  wanted: %r" % (text, got, wanted))


def u64(n):
    return struct.pack("<Q", n)


def frame(kind, fields, magic=b"KPSL"):
    body = b"".join(struct.pack("<HHI", TAG[t], 0, len(v)) + v for t, v in fields)
    return magic + struct.pack("<HHI", 1, TYPE[kind], len(body)) + body


def send(sock, kind, fields=(), fds=()):
    fields = list(fields)
    if fds:
        fields.append(("TAG_FDS", "".join(k for k, _ in fds).encode()))
    sock.sendmsg([frame(kind, fields)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [f for _, f in fds]))]
                 if fds else [])


def recv(sock):
    sock.settimeout(20)
    data, control, _, _ = sock.recvmsg(200000, 1000)
    fds = array.array("i")
    for _, _, raw in control:
        fds.frombytes(raw)
    if not data:
        return None, {}, {}
    at, fields = 12, {}
    while at < len(data):
        tag, _, size = struct.unpack_from("<HHI", data, at)
        fields[tag] = data[at + 8:at + 8 + size]
        at += 8 + size
    fields = {k: fields[v] for k, v in TAG.items() if v in fields}
    return NAME[struct.unpack_from("<H", data, 6)[0]], fields, dict(zip(fields.get("TAG_FDS", b"").decode(), fds))


class Executor:
    def __init__(self):
        self.d, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.m, monitors = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        a, b = [fcntl.fcntl(f.fileno(), fcntl.F_DUPFD, 20) for f in (theirs, monitors)]  # out of the way of 3 and 4

        def place():
            os.dup2(a, 3)
            os.dup2(b, 4)
        self.p = subprocess.Popen([BIN + "/kapsel-oci", "--executor"], close_fds=False, preexec_fn=place,
                                  stdin=subprocess.DEVNULL)
        for f in (a, b):
            os.close(f)
        theirs.close()
        monitors.close()

    def ready(self):
        check("READY comes first", recv(self.d)[0], "WIRE_READY")
        return self

    def end(self):
        self.d.close()
        self.m.close()
        return self.p.wait(20)


def run_dir(name):
    os.makedirs(WORK + "/" + name, exist_ok=True)
    return os.open(WORK + "/" + name, os.O_RDONLY | os.O_DIRECTORY)


def create(name, flags=START_NOW, more=(), fds=()):
    x = Executor().ready()
    d, b = run_dir(name), os.open(BUNDLE, os.O_RDONLY | os.O_DIRECTORY)
    send(x.d, "WIRE_CREATE", [("TAG_ID", name.encode()), ("TAG_BUNDLE", BUNDLE.encode()), ("TAG_FLAGS", u64(flags)),
                              ("TAG_CGROUP_PARENT", b"/" + CGROUP.encode())] + list(more),
         [("r", d), ("b", b)] + list(fds))
    os.close(d)
    os.close(b)
    return x


def words(*args):
    return [("TAG_ARGS", b"".join(a.encode() + b"\0" for a in args))]


def value(fields, tag):
    return struct.unpack("<Q", fields[tag])[0]


def left(name):
    groups = [p for p, _, _ in os.walk("/sys/fs/cgroup") if p.endswith(CGROUP + "/" + name)]
    return sorted(os.listdir(WORK + "/" + name)), groups


def drop_cgroups(name):
    for p, _, _ in os.walk("/sys/fs/cgroup", topdown=False):
        if p.endswith(CGROUP + "/" + name):
            os.rmdir(p)


# init is our child: it is cloned with CLONE_PARENT, as it is the monitor's

x = create("one", more=words("/bin/sh", "-c", "echo out; echo err >&2; exit 3") + [("TAG_ENV", b"SECRET=marker-4711\0")])
kind, f, _ = recv(x.d)
check("PREPARED", kind, "WIRE_PREPARED")
check("it tells the stop signal", f.get("TAG_STOP_SIGNAL"), b"USR1")
check("and the annotations", json.loads(f["TAG_ANNOTATIONS"])["a"], "b")
check("and a digest", len(f["TAG_DIGEST"]), 64)
digest = f["TAG_DIGEST"]
check("but nothing of the environment", b"marker-4711" in b"".join(f.values()), False)
check("before GO there is no container", left("one")[1], [])
send(x.d, "WIRE_GO")
kind, f, _ = recv(x.d)
check("STARTED", kind, "WIRE_STARTED")
kind, g, fds = recv(x.m)
check("the monitor is told of INIT", kind, "WIRE_INIT")
check("the same process", g["TAG_PID"], f["TAG_PID"])
check("with the log's ends and its pidfd", sorted(fds), ["1", "2", "p"])
out = os.read(fds["1"], 100), os.read(fds["2"], 100)
check("stdout and stderr by themselves", out, (b"out\n", b"err\n"))
check("and their end", os.read(fds["1"], 100), b"")
info = os.waitid(os.P_PIDFD, fds["p"], os.WEXITED)
check("init's status is its parent's to read", info.si_status, 3)
record = json.load(open(WORK + "/one/oci.json"))
check("the record", (record["pid"], record["startTime"], record["bundle"]),
      (value(f, "TAG_PID"), value(f, "TAG_START_TIME"), BUNDLE))
check("its mode, and the copy's", [oct(os.stat(WORK + "/one/" + n).st_mode & 0o777) for n in ("oci.json", "config.json")],
      ["0o600", "0o600"])
check("the environment is in no record", "marker-4711" in json.dumps(record), False)
check("the executor ends with success", x.end(), 0)
drop_cgroups("one")

x = create("same", more=words("/bin/sh", "-c", "echo out; echo err >&2; exit 3") + [("TAG_ENV", b"SECRET=marker-4712\0")])
check("another override, another digest", recv(x.d)[1]["TAG_DIGEST"] == digest, False)
x.d.close()
check("kapseld gone before GO: the executor ends", x.p.wait(20) != 0, True)
check("and there is no container", left("same")[1], [])

x = create("no")
recv(x.d)
send(x.d, "WIRE_CANCEL")
kind, f, _ = recv(x.d)
check("CANCEL in place of GO", kind, "WIRE_FAILED")
check("nothing was made", left("no")[1], [])
x.end()

# created, then started by another executor; exec by a third
x = create("two", flags=KEEP_STDIN, more=words("/bin/sh", "-c", "read l; echo \"got $l\"; read l; exit 4"))
recv(x.d)
send(x.d, "WIRE_GO")
kind, f, fds = recv(x.d)
check("CREATED", (kind, sorted(fds)), ("WIRE_CREATED", ["p"]))
pid = value(f, "TAG_PID")
_, _, ends = recv(x.m)
check("stdin's end as well", sorted(ends), ["0", "1", "2", "p"])
check("its executor is gone", x.end(), 0)
x = Executor().ready()
d = run_dir("two")
send(x.d, "WIRE_EXEC", [("TAG_FLAGS", u64(0))] + words("/bin/true"), [("r", d)])
kind, f, _ = recv(x.d)
check("no exec before start", (kind, b"not running" in f["TAG_ERROR"]), ("WIRE_FAILED", True))
x.end()
x = Executor().ready()
send(x.d, "WIRE_START", fds=[("r", d)])
check("START", recv(x.d)[0], "WIRE_STARTED")
check("and that executor ends", x.end(), 0)
os.write(ends["0"], b"words\n")
check("the program reads and writes", os.read(ends["1"], 100), b"got words\n")
x = Executor().ready()
send(x.d, "WIRE_START", fds=[("r", d)])
check("START twice", recv(x.d)[0], "WIRE_FAILED")
x.end()
x = Executor().ready()
large = json.dumps({"args": ["/bin/sh", "-c", "echo ${#X}; exit 6"], "cwd": "/", "env": ["X=" + "x" * 60000] +
                    ["Y%d=%s" % (i, "y" * 50000) for i in range(4)]})
memfd = os.memfd_create("process")
os.write(memfd, large.encode())
send(x.d, "WIRE_EXEC", [("TAG_FLAGS", u64(0))], [("r", d), ("m", memfd)])
kind, f, _ = recv(x.d)
check("EXEC of a process larger than a frame, by memfd", kind + f.get("TAG_ERROR", b"").decode(errors="replace"), "WIRE_STARTED")
_, g, ours = recv(x.m)
check("its output is the monitor's", os.read(ours["1"], 100), b"60000\n")
check("its status, too", os.waitid(os.P_PIDFD, ours["p"], os.WEXITED).si_status, 6)
x.end()
os.write(ends["0"], b"bye\n")
check("the container went on", os.waitid(os.P_PIDFD, ends["p"], os.WEXITED).si_status, 4)
drop_cgroups("two")

# the caller's own fds
r, w = os.pipe()
x = create("direct", flags=START_NOW | DIRECT_OUT, more=words("/bin/echo", "direct"), fds=[("1", w)])
os.close(w)
recv(x.d)
send(x.d, "WIRE_GO")
check("DIRECT_OUT", recv(x.d)[0], "WIRE_STARTED")
_, _, fds = recv(x.m)
check("nothing to pump", sorted(fds), ["p"])
check("the caller's fd is the program's", os.read(r, 100), b"direct\n")
check("and no one else's", os.read(r, 100), b"")
os.waitid(os.P_PIDFD, fds["p"], os.WEXITED)
x.end()
drop_cgroups("direct")

# failures
x = create("none", more=words("nope"))
kind, f, _ = recv(x.d)
if kind == "WIRE_PREPARED":
    send(x.d, "WIRE_GO")
    kind, f, _ = recv(x.d)
check("a program that is not there", (kind, b'exec: "nope": executable file not found in $PATH' in f["TAG_ERROR"]),
      ("WIRE_FAILED", True))
check("leaves no cgroup", left("none")[1], [])
x.end()
try:
    while os.waitpid(-1, os.WNOHANG)[0]:
        pass
except ChildProcessError:
    pass

# orders that are none
d = run_dir("bad")
b = os.open(BUNDLE, os.O_RDONLY | os.O_DIRECTORY)
good = frame("WIRE_CREATE", [("TAG_ID", b"bad"), ("TAG_FLAGS", u64(2))])
for text, packet in (("a wrong magic", b"X" + good[1:]), ("a cut frame", good[:-3]), ("junk", b"\xff" * 5000),
                     ("a repeated field", frame("WIRE_CREATE", [("TAG_ID", b"a"), ("TAG_ID", b"b")])),
                     ("a frame beyond the limit", b"KPSL" + bytes(140000))):
    x = Executor().ready()
    x.d.send(packet)
    kind, _, _ = recv(x.d)
    check("%s: FAILED, and the executor ends" % text, (kind, x.end()), ("WIRE_FAILED", 1))
for text, kind, fields, fds in (
        ("no directories", "WIRE_CREATE", [("TAG_ID", b"bad")], []),
        ("no id", "WIRE_CREATE", [("TAG_FLAGS", u64(2))], [("r", d), ("b", b)]),
        ("another's order", "WIRE_STOP", [], []),
        ("START of nothing", "WIRE_START", [], [("r", d)]),
        ("EXEC into nothing", "WIRE_EXEC", [("TAG_PROCESS", b"{")], [("r", d)]),
        ("a pipe for a directory", "WIRE_CREATE", [("TAG_ID", b"bad")], [("r", r), ("b", r)]),
        ("a list without its end", "WIRE_CREATE", [("TAG_ID", b"bad"), ("TAG_ARGS", b"sh")], [("r", d), ("b", b)])):
    x = Executor().ready()
    send(x.d, kind, fields, fds)
    got, f, _ = recv(x.d)
    check("%s: FAILED with a reason" % text, (got, len(f.get("TAG_ERROR", b"")) > 20), ("WIRE_FAILED", True))
    x.end()
check("and nothing of it is left", left("bad"), ([], []))
x = Executor().ready()
check("kapseld gone without an order: no error", x.end(), 0)
sys.exit(failed)
