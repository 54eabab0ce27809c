"""differ.py BUNDLE CGROUP-PARENT [--part N/OF] [NAME...]: what changes.py lists, under kapsel-oci, runc and crun.

Each configuration runs with tests/helpers/probe.c as the container's program; what the probe finds, what the cgroup's
files say and the exit status are one flat observation.  Failures: kapsel-oci accepts and does otherwise than asked, or
leaves something behind; a difference to a peer that no line of `explained` is about; in a whole run, a line of that
which is about nothing.
--part 1/12: of 12 parts the first; NAME: only configurations with that in their name.  VERBOSE=1 prints each difference.
DIFF_PEERS: the peers, by default runc and crun."""
import copy, ctypes, fnmatch, glob, json, os, re, signal, subprocess, sys, time

sys.path.insert(0, os.path.dirname(__file__))
import changes

bundle, parent = sys.argv[1:3]
arguments = sys.argv[3:]
part, parts = 1, 1
if arguments[:1] == ["--part"]:
    part, parts = map(int, arguments[1].split("/"))
    arguments = arguments[2:]
OURS = "kapsel-oci"
PEERS = os.environ.get("DIFF_PEERS", "runc crun").split()
with open(bundle + "/config.json") as f:
    base = json.load(f)
HOST = {n: os.readlink("/proc/self/ns/" + n) for n in changes.OWN.values()}
CGROUP_FILES = ("memory.limit_in_bytes memory.soft_limit_in_bytes memory.swappiness memory.oom_control cpu.shares cpu.cfs_quota_us "
                "cpu.cfs_period_us cpu.cfs_burst_us cpu.idle cpuset.cpus cpuset.mems pids.max devices.list blkio.bfq.weight").split()
STATUS = "Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters SigBlk SigIgn".split()
for runtime in [OURS] + PEERS:
    os.makedirs("%s-state.%s" % (bundle, runtime))
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: runc's and crun's inits become our children


class Holder:
    """A process with namespaces of its own, to be joined by path."""

    def __enter__(self):
        libc, (r, w) = ctypes.CDLL(None), os.pipe()
        self.first = os.fork()
        if self.first == 0:
            libc.unshare(0x40000000 | 0x08000000 | 0x04000000 | 0x02000000 | 0x20000000)
            pid = os.fork()
            if pid == 0:
                signal.pause()
            os.write(w, b"%d" % pid)
            signal.pause()
        self.pid = int(os.read(r, 20))
        self.ns = {n: os.readlink("/proc/%d/ns/%s" % (self.pid, n)) for n in changes.OWN.values()}
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 9)
        os.kill(self.first, 9)
        os.waitpid(self.first, 0)


def mounts(lines):
    """Where several are at one place the last counts: that is what the container sees."""
    for line in lines:
        words = line.split(" ")
        dash = words.index("-")
        at = "mount.%s." % words[4]
        tags = sorted(re.sub(":.*", "", t) for t in words[6:dash])
        for key, value in (("flags", sorted(words[5].split(","))), ("tags", tags), ("type", words[dash + 1]),
                           ("source", words[dash + 2]), ("super", sorted(words[dash + 3].split(","))), ("root", words[3])):
            yield at + key, value


def flat(p, holder):
    o = {"status." + k: " ".join(p["status"].get(k, "none").split()) for k in STATUS}
    for key in "umask cwd hostname domainname machine personality securebits env args fds affinity oom_score_adj ioprio tty sid".split():
        o[key] = p[key]
    for key in ("uid_map", "gid_map", "timens_offsets"):
        o[key] = [" ".join(line.split()) for line in p[key]]
    for n, link in p["namespaces"].items():
        o["namespaces." + n] = "host" if link == HOST[n] else "holder" if link == holder.ns[n] else "own"
    for group in ("scheduler", "rlimits", "calls"):
        o.update(("%s.%s" % (group, k), v) for k, v in p.get(group, {}).items())
    for path, d in p["devices"].items():
        o["devices." + path] = "%(mode)s %(major)d:%(minor)d %(uid)d:%(gid)d" % d
    if o["namespaces.pid"] == "host":
        o.pop("sid")  # a number that differs from run to run
    o.update(mounts(p["mountinfo"]))
    return o


def cgroup_files(pid):
    found = {}
    with open("/proc/%d/cgroup" % pid) as f:
        for line in f:
            _, names, path = line.strip().split(":", 2)
            found["cgpath." + (names or "v2")] = path
            where = "/sys/fs/cgroup/%s%s" % (names.replace("name=", ""), path)
            for name in CGROUP_FILES:
                if os.path.exists(where + "/" + name):
                    with open(where + "/" + name) as g:
                        found["cg." + name] = "\n".join(sorted(g.read().strip().split("\n")))
    return found


def call(runtime, *args, **more):
    """stdin is a file of our own: crun makes the container's user the owner of what it gets, be it the host's /dev/null."""
    with open(bundle + ".in", "w+b") as empty:
        return subprocess.run([runtime, "--root", "%s-state.%s" % (bundle, runtime), *args], stdin=empty, timeout=60, **more)


def left(runtime):
    """What is left of a container that was deleted or refused; peers' is removed, that the next begins as the first."""
    dirs = glob.glob("/sys/fs/cgroup/*/%s/d" % parent)
    for d in dirs:
        os.rmdir(d)
    return dirs + os.listdir("%s-state.%s" % (bundle, runtime))


def run(runtime, look, holder):
    """An observation; {"refused": why} of what is not accepted. look: at the cgroup, too, between create and start."""
    files, ended = {}, None
    with open(bundle + ".out", "w+b") as out, open(bundle + ".err", "w+b") as err:
        to = {"stdout": out, "stderr": err}
        try:
            if look:
                status = call(runtime, "create", "--bundle", bundle, "--pid-file", bundle + ".pid", "d", **to).returncode
                if status == 0:
                    with open(bundle + ".pid") as f:
                        pid = int(f.read())
                    files = cgroup_files(pid)
                    status = call(runtime, "start", "d", **to).returncode
                    if status == 0:
                        ended = wait_for(pid)
            else:
                status = ended = call(runtime, "run", "--bundle", bundle, "d", **to).returncode
            call(runtime, "delete", "--force", "d", capture_output=True)
        except subprocess.TimeoutExpired:
            call(runtime, "delete", "--force", "d", capture_output=True)
            return {"refused": "it hangs"}
        out.seek(0)
        err.seek(0)
        said, why = out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace")
    reap()
    if status and not said and ended in (1, None, 125, 126, 127, 255):
        code = re.search(r"\[?(KAPSEL-[A-Z0-9-]+)", why)
        return {"refused": code.group(1) if code else why.strip().split("\n")[-1][-200:] or "without a word"}
    o = flat(json.loads(said), holder) if said.startswith("{") and said.rstrip().endswith("}") else {"text": "cut off" if said.startswith("{") else said}
    return dict(o, exit=ended, **files)


def wait_for(pid):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        got, status = os.waitpid(pid, os.WNOHANG)
        if got:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        time.sleep(0.005)
    raise subprocess.TimeoutExpired("the container", 60)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def text_of(value):
    if isinstance(value, list):
        return ",".join(map(str, value)) or "-"
    return "-" if value is None or value == "" else str(value)


class Explained:
    """Lines CONFIGURATION | PEER | WHAT DIFFERS | OURS | THEIRS | WHY, shell patterns all but the last."""

    def __init__(self, path):
        self.lines = []
        with open(path) as f:
            for number, line in enumerate(f, 1):
                if line.strip() and not line.startswith("#"):
                    fields = [w.strip() for w in line.split("|")]
                    if len(fields) != 6 or not all(fields):
                        sys.exit("%s:%d: not six fields" % (path, number))
                    self.lines.append([number, fields, 0])

    def find(self, *what):
        for line in self.lines:
            if all(fnmatch.fnmatchcase(w, p) for w, p in zip(what, line[1])):
                line[2] += 1
                return line[1][5]
        return None


def differences(ours, theirs):
    if "refused" in ours or "refused" in theirs:
        if ("refused" in ours) != ("refused" in theirs):
            yield "accepted", "no: " + ours["refused"] if "refused" in ours else "yes", "no: " + theirs["refused"] if "refused" in theirs else "yes"
        return
    for key in sorted(set(ours) | set(theirs)):
        if ours.get(key) != theirs.get(key):
            yield key, text_of(ours.get(key)), text_of(theirs.get(key))


def asked_and_done(checks, o):
    if changes.REFUSED in checks:
        return None if "refused" in o else "is accepted"
    if "refused" in o:
        return None
    return "; ".join(filter(None, (c(o) for c in checks if callable(c)))) or None


def configuration(change, holder):
    config = copy.deepcopy(base)
    change(config)
    text = json.dumps(config)
    for name, value in (("@BUNDLE@", bundle), ("@SOURCE@", bundle + "-source"), ("@HOLDER@", str(holder.pid))):
        text = text.replace(name, value)
    with open(bundle + "/config.json", "w") as f:
        f.write(text)


def escaped(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("|", "\\x7c")


def main():
    explained = Explained(os.path.dirname(__file__) + "/explained")
    rows = list(changes.each())
    chosen = [r for i, r in enumerate(rows) if i % parts == part - 1 and (not arguments or any(a in r[0] for a in arguments))]
    count = {"same": 0, "explained": 0, "unexplained": 0, "did otherwise": 0}
    with Holder() as holder:
        for name, change, checks in chosen:
            configuration(change, holder)
            look = name.startswith(("cgroup", "bad: ", "as base")) or "cgroup " in name
            ours = run(OURS, look, holder)
            stays = left(OURS)
            fault = "left behind: %s" % stays if stays else asked_and_done(checks, ours)
            if fault:
                count["did otherwise"] += 1
                print("NOT OK - %s: %s" % (name, fault), flush=True)
            unexplained = []
            known = 0
            for peer in PEERS:
                theirs = run(peer, look, holder)
                left(peer)
                for what in differences(ours, theirs):
                    what = [escaped(w).replace(bundle, "@BUNDLE@") for w in what]
                    why = explained.find(name, peer, *what)
                    if os.environ.get("VERBOSE"):
                        print("# %s | %s | %s | %s | %s | %s" % (name, peer, *what, why or "?"))
                    known += why is not None
                    if why is None:
                        unexplained.append("  %s | %s | %s | %s | %s" % (name, peer, *what))
            count["unexplained" if unexplained else "explained" if known else "same"] += 1
            print("%s - %s\n%s" % ("NOT OK" if unexplained else "ok", name, "".join(u + "\n" for u in unexplained)), end="", flush=True)
    bad = count["unexplained"] + count["did otherwise"]
    if not arguments and parts == 1:
        for number, fields, used in explained.lines:
            if not used:
                bad += 1
                print("NOT OK - explained:%d is about nothing: %s" % (number, " | ".join(fields[:5])))
    print("%d configurations: %s" % (len(chosen), ", ".join("%d %s" % (n, k) for k, n in count.items())))
    return bad > 0


sys.exit(main())
