#!/usr/bin/python3
"""replay.py CALLER RUNTIME DIRECTORY ROOTFS: what a caller that no Debian package has asks of its runtime, call by call

The calls are those of the caller's source: arguments, environment, file descriptors and parentage. Prints one line
"ok - TEXT" or "NOT OK - TEXT: what was found" for each thing that the caller then relies on.
"""
import array, copy, ctypes, datetime, fcntl, json, os, pty, re, select, signal, socket, subprocess, sys, time

CALLER, RUNTIME, DIR, ROOTFS = sys.argv[1:5]
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SECONDS = 40


def ok(text, good, found=""):
    found = found() if callable(found) and not good else found
    print(f"ok - {CALLER}: {text}" if good else f"NOT OK - {CALLER}: {text}: {str(found)[:600]!r}", flush=True)
    return good


def equal(text, found, wanted):
    return ok(text, found == wanted, f"{found}, not {wanted}")


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError as e:
        return str(e)


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"{self.status} {self.out} {self.err}"


def call(*args, env=None, merged=True, **kw):
    """As go-runc and CRI-O call: stdout and stderr are pipes and are read to their end, whoever holds them."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    data = kw.pop("data", None)
    if data is not None:
        kw["stdin"] = subprocess.PIPE
    with subprocess.Popen([RUNTIME, *args], stdout=subprocess.PIPE, text=True, cwd="/",
                          stderr=subprocess.STDOUT if merged else subprocess.PIPE, env=env or ENV, **kw) as p:
        try:
            out, err = p.communicate(data, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = "", "somebody holds the pipe"
            return Result("hangs", out, err)
    return Result(p.returncode, out, err or "")


def as_conmon():
    """conmon's child: SIGPIPE ignored, umask 022, dies with conmon."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.umask(0o022)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def conmon(*args, console=None, keep=(), env=None, stdin=None, within=None):
    """conmon's call of create or exec: stdio are pipes whose other ends it keeps; the runtime's status, then the pipes."""
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()

    def before():
        as_conmon()
        if within:
            within()

    moved = " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, fd in enumerate(keep))
    with open("/dev/null", "r+") as null:
        p = subprocess.Popen(["bash", "-c", f'exec "$0" "$@" {moved}', RUNTIME, *args], stdin=stdin or null,
                             stdout=null if console else out_w, stderr=err_w, env=env or ENV, cwd="/", preexec_fn=before,
                             pass_fds=keep)
    os.close(out_w)
    os.close(err_w)
    try:
        status = p.wait(SECONDS)
    except subprocess.TimeoutExpired:
        p.kill()
        status = "hangs"
    return status, out_r, err_r


def drain(fd, seconds=20):
    """What comes until the end, or until nothing has come for so long."""
    data = b""
    while select.select([fd], [], [], seconds)[0]:
        try:
            piece = os.read(fd, 65536)
        except OSError:  # a terminal that everybody has left
            break
        if not piece:
            break
        data += piece
    return data.decode(errors="replace")


ended = {}


def reap(pid, seconds=20):
    """Its status, if it is a child of ours: as conmon and the shims learn of an end. They take whatever child has
    ended, and so do we: what is left of an exec that failed would keep a pid namespace from its end."""
    def there():
        while pid not in ended:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                ended[pid] = "not our child"
                break
            if child == 0:
                break
            ended[child] = os.waitstatus_to_exitcode(status)
        return pid in ended

    until(there, seconds)
    status = ended.pop(pid, "still there")
    return status if isinstance(status, str) or status >= 0 else 128 - status


class Console:
    """The caller's side of --console-socket; accepts only after the runtime has ended, as containerd does."""

    def __init__(self, name):
        self.path = f"{DIR}/{name}.sock"
        self.listen = socket.socket(socket.AF_UNIX)
        self.listen.bind(self.path)
        self.listen.listen()

    def take(self):
        self.listen.settimeout(10)
        with self.listen.accept()[0] as s:
            s.settimeout(10)
            text, anc, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(8 * 4))
            fds = array.array("i")
            for level, kind, data in anc:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(data[: len(data) - len(data) % 4])
            self.rest = s.recv(1)
        return text, list(fds)


def groups(pid):
    return {line.split(":", 2)[1]: line.strip().split(":", 2)[2] for line in read(f"/proc/{pid}/cgroup").splitlines()}


def group_file(pid, controller, v1, v2):
    at = groups(pid)
    if controller in at:
        return read(f"/sys/fs/cgroup/{controller}{at[controller]}/{v1}").strip()
    return read(f"/sys/fs/cgroup{at.get('', '')}/{v2}").strip()


def left_of(name):
    return [d for d, _, _ in os.walk("/sys/fs/cgroup") if name in os.path.basename(d)]


def error_records(path):
    """containerd's way: a stream of values, one broken line loses all."""
    records = [json.loads(line) for line in read(path).splitlines()]
    for r in records:
        datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", r["time"]).replace("Z", "+00:00"))
    return [r for r in records if r["level"] == "error"]


os.makedirs(f"{DIR}/root")
subprocess.run(["runc", "spec", "--bundle", DIR], check=True)
SPEC = json.loads(read(f"{DIR}/config.json"))


def bundle(name, *args, cgroup=None, terminal=False, env=(), **change):
    spec = copy.deepcopy(SPEC)
    spec["process"].update(args=list(args), terminal=terminal, env=["PATH=/bin", *env], oomScoreAdj=500)
    spec["root"] = {"path": ROOTFS, "readonly": False}
    spec["linux"]["cgroupsPath"] = cgroup or f"/replay/{name}"
    spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "cgroup"]
    spec["linux"]["resources"].update(memory={"limit": 64 << 20}, cpu={"shares": 512}, pids={"limit": 100})
    if cgroup is False:  # as Podman's --cgroups=disabled
        del spec["linux"]["cgroupsPath"], spec["linux"]["resources"]
    for where, what in change.items():
        (spec["linux"] if where in ("uidMappings", "gidMappings", "namespaces", "sysctl") else spec)[where] = what
    path = f"{DIR}/{name}"
    os.makedirs(path, exist_ok=True)
    with open(f"{path}/config.json", "w") as f:
        json.dump(spec, f)
    return path


def process(name, *args, **change):
    path = f"{DIR}/{name}.process"
    p = dict(copy.deepcopy(SPEC["process"]), args=list(args), terminal=False, env=["PATH=/bin"])
    p.update(change)
    with open(path, "w") as f:
        json.dump(p, f)
    return path


def pid_of(path):
    text = read(path)
    return int(text) if re.fullmatch("[0-9]+", text) else text


def state(*args, env=None):
    got = call(*args, env=env)
    try:
        return json.loads(got.out)
    except ValueError:
        return {"status": repr(got)}


# ---- CRI-O 1.36 with conmon 2.2


def crio():
    root = f"--root={DIR}/root"
    direct = ["--root", f"{DIR}/root"]

    got = call("features")
    ok("features: one document on stdout and stderr together", got.status == 0 and json.loads(got.out), got)
    features = json.loads(got.out)
    ok("features: ociVersionMin, ociVersionMax", features.get("ociVersionMin") and features.get("ociVersionMax"))
    ok("features: rro", "rro" in features.get("mountOptions", []))
    ok("features: idmapped mounts are spoken of",
       "enabled" in features["linux"].get("mountExtensions", {}).get("idmap", {}))
    ok("--version: NAME version X", re.match(r"\S+ version \S+\ncommit: .*\nspec: ", call("--version").out))
    got = call("checkpoint", "--help")
    ok("checkpoint --help: 0, or checkpoint says that it is not there",
       got.status == 0 or "not supported" in call(*direct, "checkpoint", "x").out, got)

    # the sandbox
    b = bundle("pod", "sleep", "1000", cgroup="/kubepods/besteffort/crio-pod", hostname="pod",
               sysctl={"net.ipv4.ip_unprivileged_port_start": "0"},
               annotations={"io.kubernetes.cri-o.ContainerType": "sandbox"})
    status, out, err = conmon(root, "create", "--bundle", b, "--pid-file", f"{b}/pidfile", "pod")
    ok("create of a sandbox", status == 0, lambda: (status, drain(err, 0.1)))
    pod = pid_of(f"{b}/pidfile")
    ok("its pid file is a number without a newline", isinstance(pod, int), pod)
    at = groups(pod)
    ok("it is in its final cgroup when create returns",
       at.get("memory", at.get("")) == "/kubepods/besteffort/crio-pod", at)
    s = state(*direct, "state", "pod")
    equal("state: created, pid", (s["status"], s.get("pid")), ("created", pod))
    ok("state: annotations", s.get("annotations", {}).get("io.kubernetes.cri-o.ContainerType") == "sandbox", s)
    equal("start", call(*direct, "start", "pod").status, 0)
    equal("state: running", state(*direct, "state", "pod")["status"], "running")

    # a container in it
    ns = [{"type": "pid"}, {"type": "mount"}] + [{"type": t, "path": f"/proc/{pod}/ns/{n}"}
                                                for t, n in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"))]
    script = "trap 'exit 3' TERM; echo begun; echo aside >&2; while :; do sleep 0.1; done"
    b = bundle("app", "sh", "-c", script, cgroup="/kubepods/besteffort/crio-app", namespaces=ns)
    stdin_r, stdin_w = os.pipe()
    status, out, err = conmon(root, "create", "--bundle", b, "--pid-file", f"{b}/pidfile", "app", stdin=stdin_r)
    ok("create of a container in it", status == 0, lambda: (status, drain(err, 0.1)))
    app = pid_of(f"{b}/pidfile")
    equal("it is in the sandbox's network namespace", os.readlink(f"/proc/{app}/ns/net"),
          os.readlink(f"/proc/{pod}/ns/net"))
    equal("its program waits for start", select.select([out], [], [], 0.1)[0], [])
    equal("start of it", call(*direct, "start", "app").status, 0)
    ok("its output comes through conmon's pipes", select.select([out], [], [], 10)[0] and
       (os.read(out, 100), os.read(err, 100)) == (b"begun\n", b"aside\n"))
    ignored = int(re.search(r"SigIgn:\s+(\w+)", read(f"/proc/{app}/status"))[1], 16)
    ok("SIGPIPE is not ignored in it, though conmon does", not ignored & 1 << signal.SIGPIPE - 1, hex(ignored))
    ok("no fd beside 0, 1, 2 is open in it", {int(n) for n in os.listdir(f"/proc/{app}/fd")} - {10} == {0, 1, 2},
       os.listdir(f"/proc/{app}/fd"))

    # exec probes: CRI-O runs them in the foreground
    got = call(*direct, "exec", "--process", process("e1", "sh", "-c", "echo probe; exit 4"), "app", merged=False)
    equal("exec in the foreground: output and status", (got.status, got.out), (4, "probe\n"))
    got = call(*direct, "exec", "--process", process("e2", "/bin/none"), "app", merged=False)
    ok("exec of what is not there: why is on stderr", got.status != 0 and "no such file or directory" in got.err, got)
    master, slave = pty.openpty()
    p = subprocess.Popen([RUNTIME, *direct, "exec", "--process", process("e3", "sh", "-c", "test -t 0 && test -t 1 && echo tty",
                         terminal=True), "app"], stdin=slave, stdout=slave, stderr=slave, env=ENV, start_new_session=True,
                         preexec_fn=lambda: fcntl.ioctl(0, 0x540E, 0))
    os.close(slave)
    text = drain(master, 5)
    ok("exec in the foreground with a terminal", p.wait(10) == 0 and text.strip() == "tty", (p.returncode, text))

    # and through conmon; CRI-O makes the pid file beforehand
    open(f"{DIR}/e4.pid", "w").close()
    status, out4, err4 = conmon(root, "exec", "--pid-file", f"{DIR}/e4.pid", "--process", process(
        "e4", "sh", "-c", "echo out; echo err >&2; exit 6"), "--detach", "app")
    ok("exec through conmon", status == 0, lambda: (status, drain(err4, 0.1)))
    pid = pid_of(f"{DIR}/e4.pid")
    equal("its output, to the pipes' end", (drain(out4), drain(err4)), ("out\n", "err\n"))
    equal("its status comes to conmon, its parent by then", reap(pid) if isinstance(pid, int) else pid, 6)
    open(f"{DIR}/e5.pid", "w").close()
    status, out5, err5 = conmon(root, "exec", "--pid-file", f"{DIR}/e5.pid", "--process", process("e5", "none"), "--detach",
                                "app")
    text = drain(err5)
    ok("exec through conmon that fails: a status, the cause, and no pid", status not in (0, "hangs") and
       'exec: "none": executable file not found in $PATH' in text.replace('\\"', '"') and not os.path.exists(f"{DIR}/e5.pid") or
       read(f"{DIR}/e5.pid") == "", (status, text, read(f"{DIR}/e5.pid")))
    console = Console("e6")
    status, out6, err6 = conmon(root, "exec", "--pid-file", f"{DIR}/e6.pid", "--process", process(
        "e6", "sh", "-c", "stty size; test -t 2 && exit 5", terminal=True, consoleSize={"height": 33, "width": 99}),
        "--detach", "--console-socket", console.path, "app", console=console)
    ok("exec with a console socket", status == 0, lambda: (status, drain(err6, 0.1)))
    if status == 0:
        text, fds = console.take()
        ok("one message, at least one byte, one fd, then the end", len(text) >= 1 and len(fds) == 1 and console.rest == b"",
           (text, fds, console.rest))
        equal("the terminal has its size, before anything runs", drain(fds[0], 5).strip(), "33 99")
        equal("its status", reap(pid_of(f"{DIR}/e6.pid")), 5)

    # update, pause
    res = {"memory": {"limit": 96 << 20}, "cpu": {"shares": 256, "quota": 30000, "period": 100000}, "pids": {"limit": 50}}
    got = call(*direct, "update", "--resources", "-", "app", data=json.dumps(res))
    ok("update --resources -", got.status == 0, got)
    equal("update: memory", group_file(app, "memory", "memory.limit_in_bytes", "memory.max"), str(96 << 20))
    equal("update: quota", group_file(app, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0], "30000")
    equal("update: pids", group_file(app, "pids", "pids.max", "pids.max"), "50")
    got = call(*direct, "update", "--resources", "-", "app", data='{"cpu":{"quota":40000}}')
    equal("update of the quota alone keeps the period", group_file(app, "cpu", "cpu.cfs_period_us", "cpu.max").split()[-1],
          "100000")
    equal("pause", (call(*direct, "pause", "app").status, state(*direct, "state", "app")["status"]), (0, "paused"))
    got = call(*direct, "exec", "--process", process("e7", "true"), "app")
    ok("exec into what is paused is refused", got.status not in (0, "hangs"), got)
    equal("resume", (call(*direct, "resume", "app").status, state(*direct, "state", "app")["status"]), (0, "running"))

    # the end
    equal("kill by number", call(*direct, "kill", "app", "15").status, 0)
    equal("its status comes to conmon", reap(app), 3)
    ok("state: stopped, no pid", (s := state(*direct, "state", "app"))["status"] == "stopped" and not s["pid"], s)
    got = call(*direct, "kill", "app", "KILL")
    ok("kill of what has ended says so", got.status != 0 and re.search("container not running|no such process", got.out), got)
    equal("delete --force", call(*direct, "delete", "--force", "app").status, 0)
    equal("delete --force of what is gone", call(*direct, "delete", "--force", "app").status, 0)
    got = call(*direct, "state", "app")
    ok("state of what is gone says so", got.status != 0 and "does not exist" in got.out, got)
    equal("no cgroup of it is left", left_of("crio-app"), [])

    # a container that cannot be
    b = bundle("bad", "none", cgroup="/kubepods/crio-bad", namespaces=ns)
    status, out, err = conmon(root, "create", "--bundle", b, "--pid-file", f"{b}/pidfile", "bad")
    ok("create of what is not in $PATH fails", status not in (0, "hangs"), status)
    text = os.read(err, 8191).decode() if select.select([err], [], [], 5)[0] else "nothing"
    ok("why is in the first read of stderr", 'exec: "none": executable file not found in $PATH' in text.replace('\\"', '"'), text)
    ok("and nobody keeps the pipe", drain(err, 5) == "" and select.select([err], [], [], 0)[0])
    equal("nothing of it is left", (call(*direct, "state", "bad").status != 0, left_of("crio-bad")), (True, []))

    # a pod of one pid namespace
    b = bundle("shared", "sh", "-c", "sleep 998 & sleep 997", cgroup="/kubepods/crio-shared",
               namespaces=[n for n in ns if n["type"] != "pid"] + [{"type": "pid", "path": f"/proc/{pod}/ns/pid"}])
    status, out, err = conmon(root, "create", "--bundle", b, "--pid-file", f"{b}/pidfile", "shared")
    ok("create in a shared pid namespace", status == 0, lambda: (status, drain(err, 0.1)))
    shared = pid_of(f"{b}/pidfile")
    call(*direct, "start", "shared")
    until(lambda: len(read(f"/sys/fs/cgroup/pids{groups(shared).get('pids', '')}/cgroup.procs").split()) == 3, 5)
    equal("kill KILL takes all of it", (call(*direct, "kill", "shared", "KILL").status, reap(shared)), (0, 137))
    equal("kill -a ID 9 of what has ended", call(*direct, "kill", "-a", "shared", "9").status, 0)
    equal("delete", call(*direct, "delete", "--force", "shared").status, 0)
    ok("none of its processes lives", until(lambda: not left_of("crio-shared"), 5), left_of("crio-shared"))

    call(*direct, "kill", "pod", "9")
    equal("the sandbox's status", reap(pod), 137)
    equal("delete of the sandbox", call(*direct, "delete", "--force", "pod").status, 0)


# ---- Podman 5 with conmon 2.2


def podman():
    log = f"{DIR}/oci-log"
    args = ["--log-format=json", "--log", log]
    env = {"XDG_RUNTIME_DIR": ""}  # as root: set, and empty
    full = dict(ENV, XDG_RUNTIME_DIR="", _OCI_SYNCPIPE="77", _OCI_STARTPIPE="78", LISTEN_PID=str(os.getpid()))

    b = bundle("c1", "sh", "-c", "echo $LISTEN_FDS; cat <&3; sleep 1000", cgroup="/machine/libpod-c1")
    r, w = os.pipe()
    r = fcntl.fcntl(r, fcntl.F_DUPFD, 20)
    os.write(w, b"from outside\n")
    os.close(w)
    status, out, err = conmon(*args, "create", "--bundle", b, "--pid-file", f"{b}/pidfile", "--preserve-fds", "1", "c1",
                              keep=[r], env=full)
    os.close(r)
    ok("create with --preserve-fds", status == 0, lambda: (status, drain(err, 0.1)))
    c1 = pid_of(f"{b}/pidfile")
    equal("start with nothing but XDG_RUNTIME_DIR, empty, and PATH", call("start", "c1", env=dict(
        env, PATH=ENV["PATH"])).status, 0)
    equal("the fd is open in it", drain(out, 1).strip(), "from outside")
    got = group_file(c1, "memory", "memory.limit_in_bytes", "memory.max")
    equal("its limit", got, str(64 << 20))
    with open(f"{DIR}/update.json", "w") as f:
        json.dump({"memory": {"limit": 80 << 20, "swap": 160 << 20}, "cpu": {"shares": 300}}, f)
    got = call("update", f"--resources={DIR}/update.json", "c1", env=dict(env, PATH=ENV["PATH"]))
    ok("update --resources=FILE", got.status == 0, got)
    equal("update: memory", group_file(c1, "memory", "memory.limit_in_bytes", "memory.max"), str(80 << 20))
    equal("pause", call("pause", "c1", env=env).status, 0)
    equal("resume", call("resume", "c1", env=env).status, 0)
    for name, program, text in (("x1", "none", "executable file not found in $PATH"),
                                ("x2", "/bin/none", "no such file or directory"),
                                ("x3", "/etc/not-a-program", "permission denied")):
        if os.path.exists(log):
            os.unlink(log)
        status, out, err = conmon(*args, "exec", "--pid-file", f"{DIR}/{name}.pid", "--process", process(name, program),
                                  "--detach", "c1", env=full)
        said = drain(err, 2)
        ok(f"exec of {program} fails and leaves no pid file", status not in (0, "hangs") and not os.path.exists(
            f"{DIR}/{name}.pid"), (status, said))
        try:
            records = error_records(log)
            whole = json.loads(read(log))  # podman's way: the whole file is one object
            ok(f"its log is one record and says: {text}", len(records) == 1 and f'"{program}"' in whole["msg"] and
               text in whole["msg"], read(log))
        except (ValueError, KeyError) as e:
            ok(f"its log is one record and says: {text}", False, (e, read(log)))
    got = call("restore", "--lsm-mount-context", env=env)
    ok("restore --lsm-mount-context wants an argument, or restore is refused", got.status != 0, got)
    equal("kill --all", call("kill", "--all", "c1", "9", env=env).status, 0)
    equal("its status comes to conmon", reap(c1), 137)
    equal("delete --force", call("delete", "--force", "c1", env=env).status, 0)
    equal("no cgroup of it is left", left_of("libpod-c1"), [])

    # a user namespace: conmon, and so the runtime, is in a mount namespace of its own that holds the rootfs
    root = f"{DIR}/private"
    os.mkdir(root)

    def within():
        if LIBC.unshare(0x20000) or LIBC.mount(ROOTFS.encode(), root.encode(), None, 4096, None):
            os._exit(99)

    ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    b = bundle("c2", "sh", "-c", "id -u; cat /proc/self/uid_map; sleep 1000", cgroup="/machine/libpod-c2",
               root={"path": root}, uidMappings=ids, gidMappings=ids,
               namespaces=[{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "user")])
    status, out, err = conmon(*args, "create", "--bundle", b, "--pid-file", f"{b}/pidfile", "c2", env=full, within=within)
    ok("create in a private mount namespace, with a user namespace", status == 0, lambda: (status, drain(err, 0.1)))
    c2 = pid_of(f"{b}/pidfile")
    equal("start from outside of it", call("start", "c2", env=env).status, 0)
    equal("it is root of its own", drain(out, 1).split(), ["0", "0", "100000", "65536"])
    status, out, err = conmon(*args, "exec", "--pid-file", f"{DIR}/u.pid", "--process", process("u", "id", "-u"), "--detach",
                              "c2", env=full)
    equal("exec from outside of it", drain(out, 5), "0\n")
    reap(pid_of(f"{DIR}/u.pid"))
    call("kill", "c2", "9", env=env)
    equal("its end", reap(c2), 137)
    equal("delete --force of it", call("delete", "--force", "c2", env=env).status, 0)

    # podman run --cgroups=disabled
    b = bundle("c3", "true", cgroup=False)
    status, out, err = conmon("--cgroup-manager", "disabled", *args, "create", "--bundle", b, "--pid-file", f"{b}/pidfile",
                              "c3", env=full)
    ok("--cgroup-manager disabled", status == 0, lambda: (status, drain(err, 0.1)))
    if status == 0:
        equal("its cgroup is the caller's", groups(pid_of(f"{b}/pidfile")), groups(os.getpid()))
        call("--cgroup-manager", "disabled", "delete", "--force", "c3", env=env)
        reap(pid_of(f"{b}/pidfile"))


# ---- the shim of containerd 2


def containerd():
    def runc(id, *args, **kw):
        return call("--root", f"{DIR}/runc/k8s.io", "--log", f"{DIR}/{id}/log.json", "--log-format", "json", *args, **kw)

    os.makedirs(f"{DIR}/runc", exist_ok=True)
    got = call("features", merged=False)
    ok("features: one document on stdout", got.status == 0 and "linux" in json.loads(got.out), got)
    equal("features: nothing on stderr", got.err, "")

    b = bundle("t1", "sh", "-c", "echo begun; read x; echo got $x; sleep 1000", cgroup="/kubepods/pod1/t1")
    stdin_r, stdin_w = os.pipe()
    out_r, out_w = os.pipe()
    p = subprocess.run([RUNTIME, "--root", f"{DIR}/runc/k8s.io", "--log", f"{b}/log.json", "--log-format", "json", "create",
                        "--bundle", b, "--pid-file", f"{b}/init.pid", "t1"], stdin=stdin_r, stdout=out_w, stderr=out_w,
                       env=ENV, cwd=b, timeout=SECONDS, preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    os.close(out_w)
    os.close(stdin_r)
    equal("create", p.returncode, 0)
    pid = pid_of(f"{b}/init.pid")
    at = groups(pid)
    equal("its cgroup, read at once", at.get("memory", at.get("")), "/kubepods/pod1/t1")
    got = runc("t1", "start", "t1")
    equal("start: no word, and the pipe ends", (got.status, got.out), (0, ""))
    os.write(stdin_w, b"in\n")
    until(lambda: False, 0.3)
    equal("stdin and stdout are the shim's", drain(out_r, 1), "begun\ngot in\n")
    got = runc("t1", "ps", "--format", "json", "t1")
    ok("ps --format json: the host's pids", got.status == 0 and pid in json.loads(got.out), got)
    got = runc("t1", "exec", "--process", process("x1", "sh", "-c", "exit 9"), "--detach", "--pid-file", f"{b}/x1.pid", "t1")
    equal("exec --detach: no word, and the pipe ends", (got.status, got.out), (0, ""))
    equal("its status comes to the shim", reap(pid_of(f"{b}/x1.pid")), 9)
    got = runc("t1", "exec", "--process", process("x2", "nothing"), "--detach", "--pid-file", f"{b}/x2.pid", "t1")
    ok("exec that fails: the log's last error names it", got.status not in (0, "hangs") and 'exec: "nothing": '
       "executable file not found in $PATH" in error_records(f"{b}/log.json")[-1]["msg"], (got, read(f"{b}/log.json")))
    got = runc("t1", "update", "--resources=-", "t1", data='{"memory":{"limit":100663296}}')
    ok("update --resources=-", got.status == 0, got)
    equal("update: memory", group_file(pid, "memory", "memory.limit_in_bytes", "memory.max"), "100663296")
    got = runc("t1", "update", "--resources=-", "t1", data='{"memory":{"limit":-1}}')
    equal("update: no limit", group_file(pid, "memory", "memory.limit_in_bytes", "memory.max") in ("max",
          "9223372036854771712"), True)
    equal("pause, resume", (runc("t1", "pause", "t1").status, runc("t1", "resume", "t1").status), (0, 0))
    got = runc("t1", "delete", "t1")
    ok("delete of what runs is refused", got.status not in (0, "hangs"), got)
    runc("t1", "pause", "t1")
    runc("t1", "kill", "t1", "9")
    runc("t1", "resume", "t1")
    equal("killed while paused", reap(pid), 137)
    got = runc("t1", "kill", "t1", "9")
    ok("kill of what has ended: words that the shim knows", got.status != 0 and any(w in got.out.lower() for w in (
        "container not running", "os: process already finished", "no such process", "does not exist")), got)
    equal("kill --all of what has ended", runc("t1", "kill", "--all", "t1", "9").status, 0)
    equal("delete", runc("t1", "delete", "t1").status, 0)
    got = runc("t1", "delete", "t1")
    ok("delete of what is gone: does not exist", got.status != 0 and "does not exist" in got.out, got)
    equal("crash cleanup: delete --force of what is gone", runc("t1", "delete", "--force", "t1").status, 0)
    equal("no cgroup of it is left", [d for d in left_of("t1") if "pod1" in d], [])

    # a terminal; the shim accepts when the runtime has ended
    b = bundle("t2", "sh", "-c", "stty size; test -c /dev/console && exit 7", terminal=True, cgroup="/kubepods/pod1/t2")
    console = Console("t2")
    got = runc("t2", "create", "--bundle", b, "--pid-file", f"{b}/init.pid", "--console-socket", console.path, "t2")
    ok("create with a console socket: no word, and the pipe ends", got.status == 0 and got.out == "", got)
    text, fds = console.take()
    equal("one fd", (len(text) > 0, len(fds), console.rest), (True, 1, b""))
    fcntl.ioctl(fds[0], 0x5414, array.array("H", [40, 120, 0, 0]))  # TIOCSWINSZ
    equal("start of it", runc("t2", "start", "t2").status, 0)
    equal("its terminal", drain(fds[0], 5).split(), ["40", "120"])
    equal("its status", reap(pid_of(f"{b}/init.pid")), 7)
    equal("delete of it", runc("t2", "delete", "t2").status, 0)

    # what cannot be created
    b = bundle("t3", "/etc/not-a-program", cgroup="/kubepods/pod1/t3")
    got = runc("t3", "create", "--bundle", b, "--pid-file", f"{b}/init.pid", "t3")
    ok("create of no program: permission denied", got.status not in (0, "hangs") and "permission denied" in
       error_records(f"{b}/log.json")[-1]["msg"], (got, read(f"{b}/log.json")))
    equal("nothing of it is left", (os.path.exists(f"{DIR}/runc/k8s.io/t3"), left_of("t3")), (False, []))
    equal("crash cleanup of it", runc("t3", "delete", "--force", "t3").status, 0)
    got = runc("t3", "restore", "--image-path", DIR, "--work-path", DIR, "--detach", "--pid-file", f"{DIR}/no.pid",
               "-no-subreaper", "--bundle", b, "t4")
    ok("restore without an image fails", got.status not in (0, "hangs"), got)
    # created, never started, then deleted: what the shim does with a container whose start was given up
    b = bundle("t5", "sleep", "1000", cgroup="/kubepods/pod1/t5")
    with open("/dev/null", "w") as null:
        p = subprocess.run([RUNTIME, "--root", f"{DIR}/runc/k8s.io", "create", "--bundle", b, "--pid-file", f"{b}/init.pid",
                            "t5"], stdin=subprocess.DEVNULL, stdout=null, stderr=null, env=ENV, timeout=SECONDS)
    equal("create of one that is never started", p.returncode, 0)
    equal("delete --force of what was never started", runc("t5", "delete", "--force", "t5").status, 0)
    equal("its end comes to the shim", reap(pid_of(f"{b}/init.pid")), 137)


# ---- BuildKit


def buildkit():
    b = bundle("b1", "sh", "-c", "trap 'exit 8' TERM; echo building; while :; do sleep 0.1; done")
    p = subprocess.Popen([RUNTIME, "--root", f"{DIR}/root", "--log", f"{b}/log", "--log-format", "json", "run", "--bundle", b,
                          "--pid-file", f"{b}/pid", "b1"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENV, cwd="/",
                         text=True)
    equal("run in the foreground: output", p.stdout.readline(), "building\n")
    ok("its pid file", until(lambda: isinstance(pid_of(f"{b}/pid"), int)), lambda: pid_of(f"{b}/pid"))
    got = call("--root", f"{DIR}/root", "exec", "--process", process("b", "echo", "in"), "b1")
    equal("exec in it", (got.status, got.out), (0, "in\n"))
    p.terminate()
    equal("a signal goes through, its status comes back", p.wait(20), 8)
    got = call("--root", f"{DIR}/root", "state", "b1")
    ok("run deletes what has ended", got.status != 0 and "does not exist" in got.out, got)
    equal("no cgroup of it is left", left_of("b1"), [])
    equal("a status", call("--root", f"{DIR}/root", "run", "--bundle", bundle(
        "b3", "sh", "-c", "exit 42"), "b3").status, 42)


ENV = {"PATH": os.environ["PATH"], "HOME": "/root"}
LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
try:
    {"CRI-O": crio, "Podman": podman, "containerd": containerd, "BuildKit": buildkit}[CALLER]()
except Exception as e:  # what it stands on is not there
    ok("the calls come to their end", False, f"line {sys.exc_info()[2].tb_next.tb_lineno}: {e!r}")
else:
    ok("the calls come to their end", True)
