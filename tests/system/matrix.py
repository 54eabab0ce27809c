"""Changes one setting of a default configuration at a time, runs a probe in the container, and compares what
it found with what was asked; what this node cannot grant must be the error or the warning that is due.
matrix.py BUNDLE CGROUP-PARENT [WHICH/OF [NAME...]]: of OF parts of the rows the one that is WHICH (from 0), but all
that make cgroups beside kapseld are part 0's; status 1 if any row differs."""
import array, copy, ctypes, fcntl, json, os, re, signal, socket, subprocess, sys, threading, time

bundle, parent = sys.argv[1], sys.argv[2]
which, parts = (int(n) for n in (sys.argv[3:4] or ["0/1"])[0].split("/"))
ALONE = os.environ.get("MATRIX_OCI")  # with kapsel-oci alone, without a daemon
with open(bundle + "/config.json") as f:
    default = json.load(f)
default["process"]["args"] = ["/bin/probe"]
default["process"].pop("capabilities", None)
V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
KERNEL = tuple(int(n) for n in os.uname().release.split(".")[:2])
CAPS = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
        "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
        "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
        "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
        "PERFMON BPF CHECKPOINT_RESTORE").split()
rows, bad, serial = [], 0, 0


def row(name, change, check, **more):
    """more: refused or warned, the pattern of what must be said; text, for a program that is not the probe;
    around, a context for the run; then, arguments of an exec whose output is judged; flags of kapsel run."""
    rows.append((name, change, check, more))


def put(path, value):
    """A change: the value at a dotted path."""
    def change(c):
        *way, last = path.split(".")
        for key in way:
            c = c.setdefault(key, {})
        c[last] = value
    return change


def both(*changes):
    def change(c):
        for each in changes:
            each(c)
    return change


def want(key, value):
    def check(p):
        got = p
        for k in key.split("."):
            got = got[k]
        return None if got == value else "%s: got %r, wanted %r" % (key, got, value)
    return check


def all_of(*checks):
    def check(p):
        return "; ".join(filter(None, (c(p) for c in checks))) or None
    return check


def mount_of(p, where):
    for line in p["mountinfo"]:
        words = line.split(" ")
        if words[4] == where:
            dash = words.index("-")
            return {"flags": set(words[5].split(",")), "tags": words[6:dash], "type": words[dash + 1],
                    "source": words[dash + 2], "super": set(words[dash + 3].split(","))}
    return None


def mount_has(where, flags=(), no=(), type=None, sup=(), tag=None):
    def check(p):
        m = mount_of(p, where)
        if m is None:
            return "%s is not mounted" % where
        if not set(flags) <= m["flags"] or set(no) & m["flags"]:
            return "%s: flags %s, wanted %s, not %s" % (where, sorted(m["flags"]), sorted(flags), sorted(no))
        if type and m["type"] != type:
            return "%s: type %s" % (where, m["type"])
        if not set(sup) <= m["super"]:
            return "%s: super options %s, wanted %s" % (where, sorted(m["super"]), sup)
        if tag is not None and not any(t.startswith(tag) for t in m["tags"]) and tag:
            return "%s: propagation %s, wanted %s" % (where, m["tags"], tag)
        if tag == "" and m["tags"]:
            return "%s: propagation %s, wanted private" % (where, m["tags"])
        return None
    return check


def add_mount(destination, type, options, source="tmpfs"):
    return lambda c: c["mounts"].append({"destination": destination, "type": type, "source": source, "options": options})


def submounts_have(flags=(), no=()):
    return all_of(*(mount_has(w, flags, no) for w in ("/mnt", "/mnt/plain", "/mnt/strict")))


def caps_text(names):
    return "%016x" % sum(1 << CAPS.index(n) for n in names)


def tool(verb, *arguments):
    return ["kapsel-oci" if ALONE else "kapsel", verb, *arguments]


def call(command):
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
    return r.returncode, r.stdout.decode(), r.stderr.decode()


def run(config, more):
    """The program's output, or with `then` that of an exec beside it."""
    global serial
    serial += 1
    with open(bundle + "/config.json", "w") as f:
        json.dump(config, f)
    name = "m%d-%d" % (which, serial)
    if "then" not in more:
        flags = more.get("flags", [])
        return call(["kapsel-oci", "run", "--bundle", bundle, name] if ALONE else ["kapsel", "run", *flags, "--rm", "--id", name, bundle])
    status, out, err = call(["kapsel-oci", "run", "-d", "--bundle", bundle, name] if ALONE else ["kapsel", "run", "-d", "--id", name, bundle])
    if status == 0:
        status, out, err = call(tool("exec", name, *more["then"]))
    call(tool("delete", "--force", name))
    return status, out, err


# ---- identity
for uid, gid in ((0, 0), (1, 2), (65534, 65534), (4294967294, 4294967294)):
    row("user %d:%d" % (uid, gid), put("process.user", {"uid": uid, "gid": gid}),
        all_of(want("status.Uid", "\t".join([str(uid)] * 4)), want("status.Gid", "\t".join([str(gid)] * 4))))
row("no additional gids", put("process.user", {"uid": 0, "gid": 0}), want("status.Groups", ""))
row("additional gids", put("process.user", {"uid": 5, "gid": 6, "additionalGids": [5, 6, 4000000000]}),
    want("status.Groups", "5 6 4000000000"))
row("umask", put("process.user", {"uid": 0, "gid": 0, "umask": 0o27}), want("umask", 0o27))
row("umask unset is the executor's", put("process.user", {"uid": 0, "gid": 0}), want("umask", 0o22))
# ---- capabilities (D08): each alone, in all sets but ambient, then the five sets apart
grantable = int(open("/proc/self/status").read().split("CapBnd:\t")[1].split()[0], 16)
for n in CAPS:
    sets = {k: ["CAP_" + n] for k in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    text = caps_text([n]) if grantable >> CAPS.index(n) & 1 else caps_text([])
    row("capability " + n, put("process.capabilities", sets),
        all_of(*(want("status." + s, text) for s in ("CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb"))))
row("five capability sets that differ", put("process.capabilities", {
    "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_FOWNER"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
    "effective": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"], "ambient": []}),
    all_of(want("status.CapBnd", caps_text(["KILL", "CHOWN", "FOWNER"])), want("status.CapInh", caps_text(["CHOWN"])),
           want("status.CapAmb", caps_text([]))))
row("no capabilities", put("process.capabilities", {}),
    all_of(*(want("status." + s, caps_text([])) for s in ("CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb"))))
for flag in (True, False):
    row("noNewPrivileges %s" % flag, put("process.noNewPrivileges", flag), want("status.NoNewPrivs", str(int(flag))))
MAY_RAISE = grantable >> CAPS.index("SYS_RESOURCE") & 1
if not MAY_RAISE:
    row("a capability that cannot be granted: warned", put("process.capabilities", {k: ["CAP_SYS_RESOURCE"] for k in ("bounding", "effective")}),
        want("status.CapBnd", caps_text([])), warned="this node cannot grant CAP_SYS_RESOURCE")
row("ambient and not inheritable: warned", put("process.capabilities", {k: ["CAP_KILL"] for k in ("bounding", "effective", "permitted", "ambient")}),
    all_of(want("status.CapAmb", caps_text([])), want("status.CapEff", caps_text(["KILL"]))), warned="CAP_KILL is ambient and not")
row("securebits are the kernel's", lambda c: None, want("securebits", 0))
row("user name: for others", put("process.user", {"uid": 3, "gid": 0, "username": "root"}), want("status.Uid", "\t".join("3333")))
# ---- limits
for i, name in enumerate("CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE RTTIME".split()):
    soft, hard = (1 << 30) + i, (1 << 30) + 100
    if name == "NOFILE":
        soft, hard = 77, 99
    if name in ("CORE", "NICE", "RTPRIO"):
        soft = hard = 0
    if name in ("MEMLOCK", "MSGQUEUE"):
        soft, hard = 4096, 8192
    if name in ("SIGPENDING", "NPROC"):
        soft, hard = 500, 600
    row("rlimit " + name, put("process.rlimits", [{"type": "RLIMIT_" + name, "soft": soft, "hard": hard}]),
        want("rlimits.RLIMIT_" + name, [str(soft), str(hard)]))
for name, soft, hard in (("NICE", 20, 30), ("RTPRIO", 5, 10), ("NOFILE", 1 << 20, 1 << 20)):
    row("rlimit %s above this node's" % name, put("process.rlimits", [{"type": "RLIMIT_" + name, "soft": soft, "hard": hard}]),
        want("rlimits.RLIMIT_" + name, [str(soft), str(hard)]), refused=None if MAY_RAISE else "is above .*KAPSEL-NODE-LIMIT")
row("rlimits NICE and RTPRIO", put("process.rlimits", [{"type": "RLIMIT_NICE", "soft": 0, "hard": 0}, {"type": "RLIMIT_RTPRIO", "soft": 0, "hard": 0}]),
    all_of(want("rlimits.RLIMIT_NICE", ["0", "0"]), want("rlimits.RLIMIT_RTPRIO", ["0", "0"])))
# ---- process
row("cwd", put("process.cwd", "/tmp"), want("cwd", "/tmp"))
row("env", put("process.env", ["PATH=/bin", "A=1", "B=", "C=x=y", "D=two\nlines"]),
    want("env", ["PATH=/bin", "A=1", "B=", "C=x=y", "D=two\nlines"]))
row("args", put("process.args", ["probe", "getpid"]), want("args", ["probe", "getpid"]))
row("oomScoreAdj", put("process.oomScoreAdj", 345), want("oom_score_adj", ["345"]))
row("oomScoreAdj unset is the executor's", lambda c: c["process"].pop("oomScoreAdj", None), want("oom_score_adj", [open("/proc/self/oom_score_adj").read().strip()]))
row("oomScoreAdj below", put("process.oomScoreAdj", -1000), want("oom_score_adj", ["-1000"]),
    refused=None if MAY_RAISE else "the lowest that this node can set.*KAPSEL-NODE-LIMIT")
row("scheduler batch, nice", put("process.scheduler", {"policy": "SCHED_BATCH", "nice": 7}),
    all_of(want("scheduler.policy", 3), want("scheduler.nice", 7)))
row("scheduler idle", put("process.scheduler", {"policy": "SCHED_IDLE"}), want("scheduler.policy", 5))
row("scheduler other, reset on fork", put("process.scheduler", {"policy": "SCHED_OTHER", "nice": -3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
    all_of(want("scheduler.nice", -3), want("scheduler.flags", 1)))


def remove(cgroup):
    try:
        os.rmdir(cgroup)
    except OSError:
        pass  # others are in it, or have removed it: the leak check at the end counts


class rt_budget:
    """v1 with CONFIG_RT_GROUP_SCHED: the containers' parent gets some real time to hand down."""

    def __init__(self):
        self.dir = None if V2 else "%s/%s" % (CGROUPS.get("cpu", "/nowhere"), parent)

    def __enter__(self):
        if self.dir and os.path.exists(os.path.dirname(self.dir) + "/cpu.rt_runtime_us"):
            os.makedirs(self.dir, exist_ok=True)
            with open(self.dir + "/cpu.rt_runtime_us", "w") as f:
                f.write("100000")

    def __exit__(self, *_):
        for _ in range(200 if self.dir else 0):  # a child that is gone counts for a moment
            try:
                with open(self.dir + "/cpu.rt_runtime_us", "w") as f:
                    f.write("0")
            except FileNotFoundError:
                pass
            except OSError:
                time.sleep(0.01)
                continue
            break
        if self.dir:
            remove(self.dir)


RT_GROUPS = not V2 and os.path.exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")
rt_share = put("linux.resources.cpu", {"realtimeRuntime": 50000, "realtimePeriod": 1000000}) if RT_GROUPS else lambda c: None
for policy, number in (("SCHED_FIFO", 1), ("SCHED_RR", 2)):
    row("scheduler " + policy, both(put("process.scheduler", {"policy": policy, "priority": 12}), rt_share),
        all_of(want("scheduler.policy", number), want("scheduler.priority", 12)), around=rt_budget)
if RT_GROUPS:
    row("scheduler SCHED_FIFO without real time in the cgroup", put("process.scheduler", {"policy": "SCHED_FIFO", "priority": 12}), None,
        refused="no real time but what cpu.realtimeRuntime gives.*KAPSEL-NODE-LIMIT")
deadline = {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 10000000, "period": 20000000}
row("scheduler SCHED_DEADLINE", put("process.scheduler", deadline), all_of(want("scheduler.policy", 6),
    want("scheduler.runtime", 1000000), want("scheduler.deadline", 10000000), want("scheduler.period", 20000000)))
row("scheduler SCHED_DEADLINE, flags", put("process.scheduler", dict(deadline, flags=["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"])),
    want("scheduler.flags", 6))
row("scheduler SCHED_ISO: no kernel has it", put("process.scheduler", {"policy": "SCHED_ISO"}), None, refused="no kernel has SCHED_ISO.*KAPSEL-NODE-KERNEL")
row("scheduler, keep policy", put("process.scheduler", {"policy": "SCHED_OTHER", "nice": 5, "flags": ["SCHED_FLAG_KEEP_POLICY"]}),
    all_of(want("scheduler.policy", 0), want("scheduler.nice", 5)))
for klass, number in (("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)):
    row("ioPriority " + klass, put("process.ioPriority", {"class": klass, "priority": 3}), want("ioprio", number << 13 | 3))
row("execCPUAffinity: not for init", put("process.execCPUAffinity", {"initial": "0", "final": "1"}), want("affinity", sorted(os.sched_getaffinity(0))))
if len(os.sched_getaffinity(0)) > 1:
    for affinity, got in (({"initial": "0", "final": "1"}, [1]), ({"final": "0"}, [0])):  # initial alone: the kernel decides what stays of it
        row("execCPUAffinity %s" % affinity, both(put("process.execCPUAffinity", affinity), put("process.args", ["/bin/sleep", "60"])),
            want("affinity", got), then=["/bin/probe"])
row("terminal, consoleSize", both(put("process.terminal", True), put("process.consoleSize", {"height": 33, "width": 77})),
    all_of(want("tty", 1), want("window", [33, 77]), lambda p: None if p["devices"]["/dev/console"]["major"] == 136 else "console"))
row("no terminal", lambda c: None, all_of(want("tty", 0), lambda p: "there is a console" if "/dev/console" in p["devices"] else None))
row("personality LINUX", put("linux.personality", {"domain": "LINUX"}), want("personality", 0))
row("personality", put("linux.personality", {"domain": "LINUX32"}), want("personality", 8))
row("sid is its own", lambda c: None, want("sid", 1))
row("only fds 0 to 2", lambda c: None, want("fds", [0, 1, 2]))
# ---- names, namespaces, sysctls
row("hostname", put("hostname", "somewhere"), want("hostname", "somewhere"))
row("domainname", put("domainname", "example"), want("domainname", "example"))
host = {n: os.readlink("/proc/self/ns/" + n) for n in ("pid", "net", "mnt", "ipc", "uts", "user", "cgroup", "time")}
kinds = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time"}


def has_namespaces(names):
    def check(p):
        wrong = [n for n, file in kinds.items() if (p["namespaces"][file] != host[file]) != (n in names)]
        return "namespaces that are not as asked: %s" % wrong if wrong else None
    return check


everything = ["pid", "network", "mount", "ipc", "uts", "cgroup"]
row("all six namespaces", put("linux.namespaces", [{"type": t} for t in everything]), has_namespaces(everything))
row("time namespace with offsets", both(put("linux.namespaces", [{"type": t} for t in everything + ["time"]]),
    put("linux.timeOffsets", {"monotonic": {"secs": 1000, "nanosecs": 5}, "boottime": {"secs": -3}})),
    all_of(has_namespaces(everything + ["time"]),
           lambda p: None if [l.split() for l in p["timens_offsets"]] == [["monotonic", "1000", "5"], ["boottime", "-3", "0"]]
           else "offsets %s" % p["timens_offsets"]))


def without(kind):
    def change(c):
        c["linux"]["namespaces"] = [{"type": t} for t in everything if t != kind]
        if kind == "uts":
            c.pop("hostname", None)
        if kind in ("network", "ipc"):
            c["linux"].pop("sysctl", None)
    return change


for kind in ("pid", "network", "ipc", "uts", "cgroup"):
    row("no %s namespace" % kind, without(kind), has_namespaces([t for t in everything if t != kind]))


class other_namespaces:
    """A process with namespaces of its own, to be joined by path."""

    flags = {"network": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000, "cgroup": 0x02000000, "pid": 0x20000000, "time": 0x80}

    def __enter__(self):
        libc = ctypes.CDLL(None)
        reading, w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            libc.unshare(sum(self.flags.values()))
            if os.fork() == 0:  # the first of the new pid namespace: with it that ends
                os.write(w, b"x")
                signal.pause()
            os.wait()
            os._exit(0)
        os.read(reading, 1)
        os.close(reading)
        os.close(w)
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
            other_namespaces.holder = int(f.read())

    def __exit__(self, *_):
        os.kill(self.holder, 9)
        os.waitpid(self.pid, 0)


def join(kind):
    def change(c):
        c["linux"]["namespaces"] = [{"type": t} for t in everything if t != kind] + [
            {"type": kind, "path": "/proc/%d/ns/%s" % (other_namespaces.holder, kinds[kind])}]
        if kind == "uts":
            c.pop("hostname", None)
    return change


def joined(kind):
    def check(p):
        theirs = os.readlink("/proc/%d/ns/%s" % (other_namespaces.holder, kinds[kind]))
        return None if p["namespaces"][kinds[kind]] == theirs else "%s: %s, wanted %s" % (kind, p["namespaces"][kinds[kind]], theirs)
    return check


for kind in other_namespaces.flags:
    row("the %s namespace of a path" % kind, join(kind), joined(kind), around=other_namespaces)
row("the namespace of a path, of another type", both(join("network"), lambda c: c["linux"]["namespaces"][-1].update(
    path="/proc/%d/ns/uts" % other_namespaces.holder)), None, around=other_namespaces, refused="is no network namespace")
row("sysctl, fs.mqueue and domainname", both(put("linux.sysctl", {"fs.mqueue.msg_max": "17", "kernel.domainname": "there"}),
    put("process.args", ["/bin/cat", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/kernel/domainname"])),
    lambda p: None if p == "17\nthere\n" else "sysctls %r" % p, text=True)
row("sysctl", both(put("linux.sysctl", {"net.ipv4.ip_forward": "1", "kernel.shmmax": "12345", "kernel.msgmnb": "4321"}),
    put("process.args", ["/bin/sh", "-c", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/kernel/msgmnb"])),
    lambda p: None if p == "1\n12345\n4321\n" else "sysctls %r" % p, text=True)
# ---- user namespace
maps = {"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}], "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}]}


def user_namespace(c):
    c["linux"]["namespaces"] = [{"type": t} for t in everything + ["user"]]
    c["linux"].update(copy.deepcopy(maps))


row("user namespace", user_namespace, all_of(
    want("status.Uid", "0\t0\t0\t0"),
    lambda p: None if [l.split() for l in p["uid_map"]] == [["0", "100000", "65536"]] else "uid_map %s" % p["uid_map"],
    lambda p: None if [l.split() for l in p["gid_map"]] == [["0", "200000", "65536"]] else "gid_map %s" % p["gid_map"],
    lambda p: None if p["namespaces"]["user"] != host["user"] else "the host's user namespace"))
row("user namespace, other user", both(user_namespace, put("process.user", {"uid": 7, "gid": 8, "additionalGids": [9]})),
    all_of(want("status.Uid", "\t".join("7777")), want("status.Gid", "\t".join("8888")), want("status.Groups", "9")))
# ---- root, mounts
row("root by its whole path", put("root.path", bundle + "/rootfs"), mount_has("/"))
row("root read-only", put("root.readonly", True), mount_has("/", flags=["ro"]))
row("root writable", put("root.readonly", False), mount_has("/", flags=["rw"]))
for option, flag in (("ro", "ro"), ("nosuid", "nosuid"), ("nodev", "nodev"), ("noexec", "noexec"), ("noatime", "noatime"),
                     ("nodiratime", "nodiratime"), ("relatime", "relatime"), ("nosymfollow", "nosymfollow")):
    row("mount option " + option, add_mount("/mnt", "tmpfs", [option]), mount_has("/mnt", flags=[flag], type="tmpfs"))
for option, had in (("strictatime", "noatime"), ("norelatime", "noatime")):
    row("mount option " + option, add_mount("/mnt", "tmpfs", [had, option]), mount_has("/mnt", no=["relatime", "noatime"]))
for option, had in (("atime", "noatime"), ("nostrictatime", "strictatime"), ("relatime", "strictatime")):
    row("mount option %s after %s" % (option, had), add_mount("/mnt", "tmpfs", [had, option]), mount_has("/mnt", flags=["relatime"]))
for clear, flag in (("suid", "nosuid"), ("dev", "nodev"), ("exec", "noexec"), ("rw", "ro"), ("symfollow", "nosymfollow"), ("diratime", "nodiratime")):
    row("mount option " + clear, add_mount("/mnt", "tmpfs", [flag, clear]), mount_has("/mnt", no=[flag]))
for flag, clear in (("sync", "async"), ("lazytime", "nolazytime"), ("mand", "nomand"), ("dirsync", None)):
    row("mount option " + flag, add_mount("/mnt", "tmpfs", [flag]), mount_has("/mnt", sup=[flag]))
    if clear:
        row("mount option " + clear, add_mount("/mnt", "tmpfs", [flag, clear]),
            lambda p, f=flag: "it is %s" % f if f in mount_of(p, "/mnt")["super"] else mount_has("/mnt", type="tmpfs")(p))
for option in ("silent", "loud", "defaults"):
    row("mount option " + option, add_mount("/mnt", "tmpfs", [option]), mount_has("/mnt", type="tmpfs", flags=["rw", "relatime"]))
for option in ("iversion", "noiversion"):
    row("mount option %s: warned" % option, add_mount("/mnt", "tmpfs", [option]), mount_has("/mnt", type="tmpfs"), warned="is the kernel's choice")
row("mount option remount: refused", add_mount("/mnt", "tmpfs", ["remount"]), None, refused="remount .*KAPSEL-UNSUPPORTED")
row("mount option unknown: the file system's", add_mount("/mnt", "tmpfs", ["nosuchoption"]), None, refused="option nosuchoption")
row("mount option of a file system on a bind: refused", add_mount("/mnt", "bind", ["bind", "size=1m"], bundle + "-source"), None,
    refused="a bind mount takes no file system option")
row("mount option sync on a bind: warned", add_mount("/mnt", "bind", ["bind", "sync"], bundle + "-source"), mount_has("/mnt"), warned="a bind mount shares its file system")
row("mount source missing", add_mount("/mnt", "bind", ["bind"], bundle + "-nowhere"), None, refused="KAPSEL-MOUNT-SOURCE-MISSING")
for kind, more in (("proc", {}), ("sysfs", {}), ("mqueue", {}), ("devpts", {"sup": ["ptmxmode=000"]}), ("tmpfs", {})):
    row("mount type " + kind, add_mount("/mnt", kind, ["nosuid", "nodev", "noexec"]), mount_has("/mnt", type=kind, flags=["nosuid", "nodev", "noexec"], **more))
row("mount data", add_mount("/mnt", "tmpfs", ["size=64k", "mode=700"]), mount_has("/mnt", sup=["size=64k", "mode=700"]))
os.makedirs(bundle + "-source", exist_ok=True)
row("bind, read-only", add_mount("/mnt", "bind", ["bind", "ro", "nosuid", "nodev", "noexec"], bundle + "-source"),
    mount_has("/mnt", flags=["ro", "nosuid", "nodev", "noexec"]))
STRICT = "ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow"


class submounts:
    """Two mounts below the source of a bind: one with nothing set, one with all."""

    def __enter__(self):
        for name, options in (("plain", "rw"), ("strict", STRICT)):
            os.makedirs(bundle + "-source/" + name)
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "sub", bundle + "-source/" + name], check=True)

    def __exit__(self, *_):
        for name in ("plain", "strict"):
            subprocess.run(["umount", bundle + "-source/" + name], check=True)
            os.rmdir(bundle + "-source/" + name)


def rbind(options):
    return add_mount("/mnt", "bind", ["rbind"] + options, bundle + "-source")


row("bind, not recursive", add_mount("/mnt", "bind", ["bind"], bundle + "-source"),
    lambda p: "the mounts below it are there" if mount_of(p, "/mnt/plain") else mount_has("/mnt")(p), around=submounts)
row("rbind, ro is the top's", rbind(["ro"]), all_of(mount_has("/mnt", flags=["ro"]), mount_has("/mnt/plain", flags=["rw"])), around=submounts)
for flag, clear in (("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"), ("nosymfollow", "symfollow"), ("nodiratime", "diratime")):
    row("mount option r" + flag, rbind(["r" + flag]), submounts_have(flags=[flag]), around=submounts)
    row("mount option r" + clear, rbind(["r" + clear]), submounts_have(no=[flag]), around=submounts)
for option, flags, no in (("rnoatime", ["noatime"], ["relatime"]), ("ratime", ["relatime"], ["noatime"]), ("rrelatime", ["relatime"], ["noatime"]),
                          ("rnorelatime", [], ["relatime", "noatime"]), ("rstrictatime", [], ["relatime", "noatime"]), ("rnostrictatime", ["relatime"], ["noatime"])):
    row("mount option " + option, rbind([option]), submounts_have(flags, no), around=submounts)
row("rro on a new mount", add_mount("/mnt", "tmpfs", ["rro", "rnosuid"]), mount_has("/mnt", flags=["ro", "nosuid"]))
row("tmpcopyup", add_mount("/etc", "tmpfs", ["tmpcopyup"]), mount_has("/etc", type="tmpfs"))
for option, tag in (("private", ""), ("shared", "shared:"), ("slave", ""), ("unbindable", "unbindable")):
    for r in ("", "r"):
        row("mount propagation %s%s" % (r, option), add_mount("/mnt", "tmpfs", [r + option]), mount_has("/mnt", tag=tag))
for value, tag in (("private", ""), ("shared", "shared:"), ("slave", ""), ("unbindable", "unbindable")):
    for r in ("", "r"):
        row("rootfsPropagation %s%s" % (r, value), put("linux.rootfsPropagation", r + value), mount_has("/", tag=tag))
row("masked and read-only paths", both(put("linux.maskedPaths", ["/proc/timer_list", "/proc/scsi", "/nowhere"]), put("linux.readonlyPaths", ["/proc/sys", "/nowhere"])),
    all_of(mount_has("/proc/timer_list"), mount_has("/proc/sys", flags=["ro"])))
row("masked directory and file", both(put("linux.maskedPaths", ["/tmp", "/etc/passwd"]), put("process.args", ["/bin/sh", "-c", "wc -c </etc/passwd; ls -a /tmp | wc -l; touch /tmp/x"])),
    lambda p: None if p == "0\n2\n" else "it reads %r" % p, text=True, status=1)
row("idmapped mount, maps of its own", lambda c: c["mounts"].append({"destination": "/mnt", "type": "bind", "source": bundle + "-source", "options": ["bind"],
    "uidMappings": [{"containerID": 0, "hostID": 5000, "size": 10}], "gidMappings": [{"containerID": 0, "hostID": 5000, "size": 10}]}), mount_has("/mnt", flags=["idmapped"]))
row("ridmap", both(user_namespace, rbind(["ridmap"])), mount_has("/mnt", flags=["idmapped"]))
row("idmapped mount", both(user_namespace, add_mount("/mnt", "bind", ["bind", "idmap"], bundle + "-source")),
    mount_has("/mnt", flags=["idmapped"]))
row("a file system that cannot be idmapped", both(user_namespace, add_mount("/mnt", "bind", ["bind", "idmap"], "/sys/kernel")),
    None, refused=r"idmap the mount of /sys/kernel.*\[KAPSEL-MOUNT-IDMAP\]")
# ---- what this version does not carry out is refused by name
for path, value in (("process.apparmorProfile", "x"), ("process.selinuxLabel", "x:y:z"), ("linux.mountLabel", "x"), ("linux.intelRdt", {"closID": "x"}),
                    ("linux.memoryPolicy", {"mode": "MPOL_DEFAULT"}), ("linux.netDevices", {"eth9": {}})):
    row(path + ": refused", put(path, value), None, refused=path.split(".")[1] + ".*KAPSEL-UNSUPPORTED|KAPSEL-UNSUPPORTED")
# ---- devices
row("default devices", lambda c: None, all_of(*(lambda p, d=d, n=n: None if (p["devices"][d]["major"], p["devices"][d]["minor"]) == n else d
    for d, n in {"/dev/null": (1, 3), "/dev/zero": (1, 5), "/dev/full": (1, 7), "/dev/random": (1, 8), "/dev/urandom": (1, 9), "/dev/tty": (5, 0)}.items())))
row("a device of our own", put("linux.devices", [{"path": "/dev/extra", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4}]),
    want("devices./dev/extra", {"mode": "20640", "major": 1, "minor": 5, "uid": 3, "gid": 4}))
row("a fifo", put("linux.devices", [{"path": "/dev/extra", "type": "p", "fileMode": 0o600}]),
    lambda p: None if p["devices"]["/dev/extra"]["mode"] == "10600" else str(p["devices"]["/dev/extra"]))
row("a block device", put("linux.devices", [{"path": "/dev/extra", "type": "b", "major": 7, "minor": 77}]),
    lambda p: None if (p["devices"]["/dev/extra"]["mode"], p["devices"]["/dev/extra"]["minor"]) == ("60666", 77) else str(p["devices"]["/dev/extra"]))
row("an unbuffered device", put("linux.devices", [{"path": "/dev/extra", "type": "u", "major": 1, "minor": 7}]),
    lambda p: None if p["devices"]["/dev/extra"]["mode"] == "20666" else str(p["devices"]["/dev/extra"]))
row("devices in a user namespace", user_namespace, lambda p: None if p["devices"]["/dev/null"]["minor"] == 3 else "no /dev/null")
# No driver has these: to be allowed is ENXIO, to be denied EPERM.
nodes = [{"path": "/dev/x%d" % n, "type": t, "major": 240, "minor": n} for n, t in ((1, "c"), (2, "c"), (3, "b"))]


def rules(name, list, wanted):
    row("device rules: " + name, both(put("linux.devices", nodes), put("linux.resources.devices", list),
        put("process.args", ["/bin/probe"] + [w.split("=")[0] for w in wanted.split()])),
        all_of(*(want("calls." + w.split("=")[0], {"yes": 6, "no": 1, "ok": 0}[w.split("=")[1]]) for w in wanted.split())))


deny = {"allow": False, "access": "rwm"}
rules("none", [], "r:/dev/x1=yes w:/dev/x1=yes r:/dev/x3=yes rw:/dev/null=ok")
rules("all denied", [deny], "r:/dev/x1=no w:/dev/x1=no r:/dev/x3=no rw:/dev/null=ok rw:/dev/zero=ok r:/dev/full=ok r:/dev/urandom=ok")
rules("one to read", [deny, {"allow": True, "type": "c", "major": 240, "minor": 1, "access": "r"}],
      "r:/dev/x1=yes w:/dev/x1=no rw:/dev/x1=no r:/dev/x2=no r:/dev/x3=no")
rules("read by one, written by another", [deny, {"allow": True, "type": "c", "major": 240, "minor": 1, "access": "r"},
      {"allow": True, "type": "c", "major": 240, "access": "w"}], "r:/dev/x1=yes w:/dev/x1=yes rw:/dev/x1=%s r:/dev/x2=no w:/dev/x2=yes w:/dev/x3=no" % ("yes" if V2 else "no"))  # v1: one rule must do
rules("a major, the last rule wins", [deny, {"allow": True, "type": "c", "major": 240, "access": "rw"},
      {"allow": False, "type": "c", "major": 240, "minor": 2, "access": "rw"}] if V2 else
      [deny, {"allow": True, "type": "c", "major": 240, "access": "rw"}], "rw:/dev/x1=yes r:/dev/x3=no" + (" r:/dev/x2=no w:/dev/x2=no" if V2 else ""))
rules("both types of a number", [deny, {"allow": True, "major": 240, "minor": 3, "access": "r"}], "r:/dev/x3=yes w:/dev/x3=no r:/dev/x1=no")
if V2:  # v1 would not let /dev/null be written either, whatever a later rule allows
    rules("no writing of any", [{"allow": False, "access": "w"}], "r:/dev/x1=yes w:/dev/x1=no r:/dev/x3=yes w:/dev/x3=no")
rules("all blocks", [deny, {"allow": True, "type": "b", "access": "rwm"}], "r:/dev/x3=yes r:/dev/x1=no")
rules("all allowed again", [deny, {"allow": True}], "rw:/dev/x1=yes rw:/dev/x3=yes")
# ---- seccomp
for action, errno in (("SCMP_ACT_ERRNO", 1), ("SCMP_ACT_LOG", 0), ("SCMP_ACT_ALLOW", 0)):
    row("seccomp " + action, both(put("process.args", ["/bin/probe", "getppid"]), put("linux.seccomp", {
        "defaultAction": "SCMP_ACT_ALLOW" if action != "SCMP_ACT_ALLOW" else "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["getppid"], "action": action}]})), all_of(want("calls.getppid", errno), want("status.Seccomp", "2")))
row("seccomp errnoRet", both(put("process.args", ["/bin/probe", "getppid"]), put("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99}]})), want("calls.getppid", 99))
for op, value, two, hit, miss in (("EQ", 7, 0, 7, 8), ("NE", 7, 0, 8, 7), ("LT", 7, 0, 6, 7), ("LE", 7, 0, 7, 8), ("GE", 7, 0, 7, 6), ("GT", 7, 0, 8, 7), ("MASKED_EQ", 0xf0, 0x30, 0x3f, 0x40)):
    row("seccomp operator " + op, both(put("process.args", ["/bin/probe", "getuid:%d" % hit, "getuid:%d" % miss]), put("linux.seccomp", {
        "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42,
        "args": [{"index": 0, "value": value, "valueTwo": two, "op": "SCMP_CMP_" + op}]}]})),
        all_of(want("calls.getuid:%d" % hit, 42), want("calls.getuid:%d" % miss, 0)))


def all_calls():
    lib = ctypes.CDLL("libseccomp.so.2")
    lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
    names = [lib.seccomp_syscall_resolve_num_arch(0, n) for n in range(460)]
    return [n.decode() for n in names if n]


def filtered(action, calls, more=(), **rule):
    return both(put("process.args", ["/bin/probe"] + calls), put("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86_64", *more], "syscalls": [dict({"names": ["keyctl"], "action": action}, **rule)]}))


row("seccomp SCMP_ACT_TRAP", filtered("SCMP_ACT_TRAP", ["keyctl", "getpid"]), all_of(want("calls.keyctl", "trapped"), want("calls.getpid", 0)))
row("seccomp SCMP_ACT_TRACE, nobody traces", filtered("SCMP_ACT_TRACE", ["keyctl"], errnoRet=7), want("calls.keyctl", 38))
row("seccomp SCMP_ACT_KILL_THREAD", filtered("SCMP_ACT_KILL_THREAD", ["thread:keyctl", "getpid"]), all_of(want("calls.thread:keyctl", "killed"), want("calls.getpid", 0)))
row("seccomp SCMP_ACT_KILL", filtered("SCMP_ACT_KILL", ["thread:keyctl", "getpid"]), want("calls.thread:keyctl", "killed"))
row("seccomp SCMP_ACT_KILL_PROCESS", filtered("SCMP_ACT_KILL_PROCESS", ["thread:keyctl"]), lambda p: None, text=True, status=159)
row("seccomp default action with an errno", both(put("process.args", ["/bin/probe", "ptrace", "sync"]), put("linux.seccomp", {"defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 71, "syscalls": [{"names": [n for n in all_calls() if n != "ptrace"], "action": "SCMP_ACT_ALLOW"}]})), all_of(want("calls.ptrace", 71), want("calls.sync", 0)))
row("seccomp flags", both(put("process.args", ["/bin/probe", "keyctl"]), put("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO"}],
    "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]})),
    all_of(want("calls.keyctl", 1), want("status.Seccomp_filters", "1")))
row("seccomp, another architecture's calls are killed", filtered("SCMP_ACT_ERRNO", ["x32:250"]), lambda p: None, text=True, status=159)
row("seccomp, two architectures", filtered("SCMP_ACT_ERRNO", ["keyctl", "x32:250"], ["SCMP_ARCH_X32"], errnoRet=77), want("calls.x32:250", 77))
if '"32:20": 0' in call([bundle + "/rootfs/bin/probe", "32:20"])[1]:
    row("seccomp, the 32-bit calls are killed", filtered("SCMP_ACT_ERRNO", ["32:288"]), lambda p: None, text=True, status=159)
    row("seccomp, three architectures", filtered("SCMP_ACT_ERRNO", ["keyctl", "x32:250", "32:288"], ["SCMP_ARCH_X32", "SCMP_ARCH_X86"], errnoRet=77),
        all_of(want("calls.x32:250", 77), want("calls.32:288", 77), want("calls.keyctl", 77)))


class listener:
    """Takes the notify fd as the specification hands it out, and answers one call with errno 66."""

    def __enter__(self):
        self.path = bundle + "-listener"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen()
        self.socket.settimeout(30)
        listener.state = None
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        peer, _ = self.socket.accept()
        with peer:
            data, control, _, _ = peer.recvmsg(65536, 64)
            fds = array.array("i")
            fds.frombytes(control[0][2])
            while not data.endswith(b"}"):
                data += peer.recv(65536)
            listener.state = json.loads(data)
        asked = bytearray(80)
        fcntl.ioctl(fds[0], 0xC0502100, asked)  # SECCOMP_IOCTL_NOTIF_RECV
        answer = bytearray(asked[:8]) + bytearray(8) + bytearray((-66).to_bytes(4, "little", signed=True)) + bytearray(4)
        fcntl.ioctl(fds[0], 0xC0182101, answer)  # SECCOMP_IOCTL_NOTIF_SEND
        os.close(fds[0])

    def __exit__(self, *_):
        self.thread.join()
        self.socket.close()
        os.unlink(self.path)


def told(p):
    s = listener.state
    good = s and s["fds"] == ["seccompFd"] and s["metadata"] == "meta" and s["state"]["status"] == "creating" and s["pid"] > 0
    return None if good else "the listener got %s" % s


row("seccomp SCMP_ACT_NOTIFY, listener", both(filtered("SCMP_ACT_NOTIFY", ["keyctl"]), lambda c: c["linux"]["seccomp"].update(
    listenerPath=bundle + "-listener", listenerMetadata="meta")), all_of(want("calls.keyctl", 66), told), around=listener)
row("seccomp, nobody listens", both(filtered("SCMP_ACT_NOTIFY", ["keyctl"]), lambda c: c["linux"]["seccomp"].update(
    listenerPath=bundle + "-listener")), None, refused="listener")
row("no seccomp", lambda c: c["linux"].pop("seccomp", None), want("status.Seccomp", "0"))


# ---- cgroup values, read on the host
def cg(name, resources, v1, v2, around=None, more=lambda c: None):
    """v1, v2: what the files are to hold, or the pattern of what must be said, or a function of a file's path."""
    def change(c):
        c["linux"].setdefault("resources", {}).update(copy.deepcopy(resources))
        c["linux"]["cgroupsPath"] = "/%s/probe" % parent
        c["process"]["args"] = ["/bin/sleep", "60"]
        more(c)
    rows.append((name, change, None, {"cgroup": v2 if V2 else v1, "around": around}))


def controller_dirs():
    found = {}
    with open("/proc/self/mountinfo") as f:
        for line in f:
            words = line.split()
            dash = words.index("-")
            if words[dash + 1] == "cgroup":
                for option in words[dash + 3].split(","):
                    found[option] = words[4]
            elif words[dash + 1] == "cgroup2":
                found["unified"] = words[4]
    return found


CGROUPS = controller_dirs()
NOT_V2 = "cannot be expressed on cgroup v2.*KAPSEL-CGROUP-NO-CONTROLLER"
NOT_V1 = "unified needs cgroup v2.*KAPSEL-CGROUP-NO-CONTROLLER"


def node_of(disk):
    with open("/sys/block/%s/dev" % disk) as f:
        return f.read().strip()


DISK = next(node_of(d) for d in sorted(os.listdir("/sys/block")) if d[0] == "v" or d[0] == "s" or d[:4] == "nvme")
MAJOR, MINOR = (int(n) for n in DISK.split(":"))
m64 = {"limit": 67108864}
cg("memory limit", {"memory": m64}, {"memory/memory.limit_in_bytes": "67108864"}, {"memory.max": "67108864"})
cg("memory limit, none", {"memory": {"limit": -1}}, {"memory/memory.limit_in_bytes": "9223372036854771712"}, {"memory.max": "max"})
cg("memory reservation", {"memory": dict(m64, reservation=33554432)}, {"memory/memory.soft_limit_in_bytes": "33554432"}, {"memory.low": "33554432"})
cg("memory and swap", {"memory": dict(m64, swap=134217728)}, {"memory/memory.memsw.limit_in_bytes": "134217728"}, {"memory.swap.max": "67108864"})
cg("memory and no swap", {"memory": dict(m64, swap=67108864)}, {"memory/memory.memsw.limit_in_bytes": "67108864"}, {"memory.swap.max": "0"})
cg("memory, swap unlimited", {"memory": dict(m64, swap=-1)}, {"memory/memory.memsw.limit_in_bytes": "9223372036854771712"}, {"memory.swap.max": "max"})
cg("swappiness", {"memory": {"swappiness": 17}}, {"memory/memory.swappiness": "17"}, NOT_V2)
cg("oom killer off", {"memory": dict(m64, disableOOMKiller=True)}, {"memory/memory.oom_control": "oom_kill_disable 1"}, "cannot switch the OOM killer off")
cg("kernel memory: of no effect", {"memory": dict(m64, kernel=33554432)}, {"memory/memory.limit_in_bytes": "67108864"}, {"memory.max": "67108864"})
cg("kernel TCP memory", {"memory": {"kernelTCP": 33554432}}, {"memory/memory.kmem.tcp.limit_in_bytes": "33554432"}, NOT_V2)
cg("hierarchy: always", {"memory": dict(m64, useHierarchy=True)}, {"memory/memory.use_hierarchy": "1"}, {"memory.max": "67108864"})


class used_memory:
    """The container's cgroup is there already, and 8 MiB are charged to it."""

    def __enter__(self):
        self.dir = "%s/%s/probe" % (CGROUPS["unified" if V2 else "memory"], parent)
        os.makedirs(self.dir)
        if V2:
            with open(os.path.dirname(self.dir) + "/cgroup.subtree_control", "w") as f:
                f.write("+memory")
        pid = os.fork()
        if pid == 0:
            with open(self.dir + "/cgroup.procs", "w") as f:
                f.write("0")
            with open("/run/used", "wb") as f:
                f.write(bytes(8 << 20))
            os._exit(0)
        os.waitpid(pid, 0)

    def __exit__(self, *_):
        os.unlink("/run/used")
        remove(self.dir)
        remove(os.path.dirname(self.dir))


cg("memory limit below the use, checkBeforeUpdate", {"memory": {"limit": 4 << 20, "checkBeforeUpdate": True}}, "KAPSEL-CGROUP-BUSY", "is used already.*KAPSEL-CGROUP-BUSY", around=used_memory)
cg("memory limit above the use, checkBeforeUpdate", {"memory": {"limit": 64 << 20, "checkBeforeUpdate": True}}, {"memory/memory.limit_in_bytes": "67108864"}, {"memory.max": "67108864"}, around=used_memory)
cg("cpu shares", {"cpu": {"shares": 512}}, {"cpu/cpu.shares": "512"}, {"cpu.weight": "59"})
cg("cpu shares 1024", {"cpu": {"shares": 1024}}, {"cpu/cpu.shares": "1024"}, {"cpu.weight": "100"})
cg("cpu quota and period", {"cpu": {"quota": 25000, "period": 50000}}, {"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "50000"}, {"cpu.max": "25000 50000"})
cg("cpu quota", {"cpu": {"quota": 25000}}, {"cpu/cpu.cfs_quota_us": "25000"}, {"cpu.max": "25000 100000"})
cg("cpu quota, none", {"cpu": {"quota": -1}}, {"cpu/cpu.cfs_quota_us": "-1"}, {"cpu.max": "max 100000"})
cg("cpu burst", {"cpu": {"quota": 25000, "period": 50000, "burst": 10000}}, {"cpu/cpu.cfs_burst_us": "10000"}, {"cpu.max.burst": "10000"})
cg("cpu idle", {"cpu": {"idle": 1}}, {"cpu/cpu.idle": "1"}, {"cpu.idle": "1"})
rt = {"cpu": {"realtimeRuntime": 50000, "realtimePeriod": 1000000}}
cg("cpu real time", rt, {"cpu/cpu.rt_runtime_us": "50000", "cpu/cpu.rt_period_us": "1000000"} if RT_GROUPS else "has no cpu.rt_", NOT_V2, around=rt_budget)
if RT_GROUPS:
    cg("cpu real time that the parent has not", rt, "cpu.rt_runtime_us.*Invalid argument", None)
cg("cpuset", {"cpu": {"cpus": "0", "mems": "0"}}, {"cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": "0"}, {"cpuset.cpus": "0", "cpuset.mems": "0"})
cg("cpuset of a CPU that is not there", {"cpu": {"cpus": "0,999"}}, "CPU 999 is not.*KAPSEL-NODE-LIMIT", "CPU 999 is not.*KAPSEL-NODE-LIMIT")
cg("pids", {"pids": {"limit": 23}}, {"pids/pids.max": "23"}, {"pids.max": "23"})
cg("pids unlimited", {"pids": {"limit": -1}}, {"pids/pids.max": "max"}, {"pids.max": "max"})
cg("io weight", {"blockIO": {"weight": 500}}, {"blkio/blkio.bfq.weight": "500"}, {"io.weight": "default 4950"})
cg("io leaf weight: no kernel has it", {"blockIO": {"leafWeight": 500}}, "blkio.leaf_weight.*KAPSEL-CGROUP-NO-CONTROLLER", NOT_V2)
cg("io weight of a device without that scheduler", {"blockIO": {"weightDevice": [{"major": MAJOR, "minor": MINOR, "weight": 500}]}},
   "weight.*KAPSEL-CGROUP", "io.weight.*KAPSEL-CGROUP")
for k, (field, v1, v2) in enumerate((("throttleReadBpsDevice", "read_bps_device", "rbps"), ("throttleWriteBpsDevice", "write_bps_device", "wbps"),
                                     ("throttleReadIOPSDevice", "read_iops_device", "riops"), ("throttleWriteIOPSDevice", "write_iops_device", "wiops"))):
    others = " ".join("%s=%s" % (key, "1048576" if key == v2 else "max") for key in ("rbps", "wbps", "riops", "wiops"))
    cg("io " + field, {"blockIO": {field: [{"major": MAJOR, "minor": MINOR, "rate": 1048576}]}},
       {"blkio/blkio.throttle." + v1: "%s 1048576" % DISK}, {"io.max": "%s %s" % (DISK, others)})
cg("io throttle of no device", {"blockIO": {"throttleReadBpsDevice": [{"major": 240, "minor": 9, "rate": 1}]}}, "KAPSEL-CGROUP", "KAPSEL-CGROUP")
cg("huge pages", {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]},
   {"hugetlb/hugetlb.2MB.rsvd.limit_in_bytes": "4194304"} if "hugetlb" in CGROUPS else {"unified/hugetlb.2MB.rsvd.max": "4194304"}, {"hugetlb.2MB.rsvd.max": "4194304"})
cg("huge pages of no such size", {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "no huge pages of 3MB.*KAPSEL-NODE-KERNEL", "no huge pages of 3MB.*KAPSEL-NODE-KERNEL")
cg("network class", {"network": {"classID": 1048577}}, {"net_cls/net_cls.classid": "1048577"} if "net_cls" in CGROUPS else "no net_cls controller", NOT_V2)
cg("network priorities", {"network": {"priorities": [{"name": "lo", "priority": 3}]}}, {"net_prio/net_prio.ifpriomap": "lo 3"} if "net_prio" in CGROUPS else "no net_prio controller", NOT_V2)
cg("rdma", {"rdma": {"mlx5_0": {"hcaHandles": 2}}}, "no rdma controller", "KAPSEL-CGROUP")
cg("unified", {"unified": {"memory.high": "50331648", "pids.max": "99", "cpu.weight.nice": "5"}}, NOT_V1, {"memory.high": "50331648", "pids.max": "99", "cpu.weight.nice": "5"})
cg("unified, no such file", {"unified": {"memory.nosuch": "1"}}, NOT_V1, "no memory.nosuch.*KAPSEL-CGROUP-NO-CONTROLLER")
cg("unified, no such controller", {"unified": {"nosuch.max": "1"}}, NOT_V1, "no nosuch controller")
cg("unified, another value", {"unified": {"memory.high": "many"}}, NOT_V1, "memory.high.*KAPSEL-CGROUP")


def owned_by(uid):
    def check(path):
        with open("/sys/kernel/cgroup/delegate") as f:
            given = [n for n in f.read().split() if os.path.exists(path + "/" + n)]
        got = {os.stat(path + "/" + n).st_uid for n in given + [""]}
        rest = {os.stat(path + "/" + n).st_uid for n in os.listdir(path) if n not in given}
        return None if got == {uid} and rest == {0} else "owners %s, of other files %s" % (got, rest)
    return check


def cgroup_mount(options):
    def change(c):
        c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/sys/fs/cgroup"] + [
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev"] + options}]
    return change


cg("cgroup ownership, user 7", {}, None, owned_by(7), more=both(cgroup_mount([]), put("process.user", {"uid": 7, "gid": 8})))
cg("cgroup ownership, user namespace", {}, None, owned_by(100003), more=both(cgroup_mount([]), user_namespace, put("process.user", {"uid": 3, "gid": 0})))
cg("cgroup ownership, not where it is read-only", {}, None, owned_by(0), more=both(cgroup_mount(["ro"]), put("process.user", {"uid": 7, "gid": 8})))
cg("cgroup ownership, not in the host's cgroup namespace", {}, None, owned_by(0), more=both(cgroup_mount([]), without("cgroup"), put("process.user", {"uid": 7, "gid": 8})))


def cgroup_fault(config, wanted):
    """Of a container that is created and left to wait."""
    global serial
    serial += 1
    with open(bundle + "/config.json", "w") as f:
        json.dump(config, f)
    name = "c%d-%d" % (which, serial)
    status, out, err = call(["kapsel-oci", "create", "--bundle", bundle, name] if ALONE else ["kapsel", "create", "--id", name, bundle])
    if isinstance(wanted, str):
        fault = None if status and re.search(wanted, err) else "status %d: %s" % (status, err or out)
    else:
        fault = "status %d: %s" % (status, err) if status else values_differ(wanted)
    call(tool("delete", "--force", name))
    return fault


def values_differ(wanted):
    below = "/%s/probe/" % parent
    if callable(wanted):
        return wanted(CGROUPS["unified"] + below)
    for file, value in wanted.items():
        where, name = ("unified", file) if V2 else file.split("/", 1)
        with open(CGROUPS[where] + below + name) as f:
            got = f.read().strip()
        if value != got and value not in got.split("\n"):
            return "%s: got %r, wanted %r" % (file, got, value)
    return None


def probe_fault(config, check, more):
    status, out, err = run(config, more)
    if more.get("refused"):
        return None if status and re.search(more["refused"], err) else "status %d: %s" % (status, (err or out)[-400:])
    if status != more.get("status", 0):
        return "status %d: %s" % (status, (err or out)[-400:])
    if more.get("warned"):
        said = call(["kapsel", "check", bundle])[2]
        if not re.search(more["warned"], said):
            return "not warned: %s" % said
    return check(out if more.get("text") else json.loads(out))


class nothing:
    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


if os.environ.get("MATRIX_LIST"):  # for tests/tools/fields: what each row asks for
    other_namespaces.holder = 1
    for name, change, check, more in rows:
        config = copy.deepcopy(default)
        change(config)
        print(json.dumps([name, config]))
    os.rmdir(bundle + "-source")
    sys.exit(0)


def mine(rows):
    first = [r for r in rows if "cgroup" in r[3] or "around" in r[3]]
    rest = [r for r in rows if r not in first]
    share = max(0, len(rows) // parts - len(first))
    return first + rest[:share] if which == 0 else rest[share:][which - 1::parts - 1]


only = sys.argv[4:]
if only:
    rows = [r for r in rows if any(o in r[0] for o in only)]
rows = [r for r in (mine(rows) if parts > 1 else rows) if r[3].get("cgroup", "") is not None]
for name, change, check, more in rows:
    try:
        with (more.get("around") or nothing)():
            config = copy.deepcopy(default)
            change(config)
            fault = cgroup_fault(config, more["cgroup"]) if "cgroup" in more else probe_fault(config, check, more)
    except (ValueError, KeyError, OSError, subprocess.SubprocessError) as e:
        fault = "%s %s" % (type(e).__name__, e)
    print("%s - %s%s" % ("NOT OK" if fault else "ok", name, ": " + fault if fault else ""), flush=True)
    bad += fault is not None
os.rmdir(bundle + "-source")
print("%d rows, %d differ" % (len(rows), bad))
sys.exit(bad > 0)
