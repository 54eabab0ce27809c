"""The table that the differential test is made from: configurations that differ from a base in one thing or in two.

each(): (name, change, checks): change alters the base; checks say what a runtime that accepts it must show, each a
function of the observation (differ.py) that returns a fault or None; REFUSED: it must not accept."""
import copy, itertools

REFUSED = "refused"
EVERYTHING = ["pid", "network", "mount", "ipc", "uts", "cgroup"]
OWN = {"pid": "pid", "network": "net", "mount": "mnt", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "user": "user", "time": "time"}
CAPS = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
        "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT").split()
rows, paired = [], []


def row(name, change, *checks, pair=None):
    """pair: a letter; rows of different letters are also tried together."""
    rows.append((name, change, checks))
    if pair:
        paired.append((pair, name, change, checks))


def put(*pairs):
    """A change: values at dotted paths."""
    def change(c):
        for path, value in zip(pairs[::2], pairs[1::2]):
            at = c
            *way, last = path.split(".")
            for key in way:
                at = at.setdefault(key, {})
            at[last] = copy.deepcopy(value)
    return change


def drop(path):
    def change(c):
        *way, last = path.split(".")
        for key in way:
            c = c.get(key, {})
        c.pop(last, None)
    return change


def both(*changes):
    def change(c):
        for each in changes:
            each(c)
    return change


def want(key, value):
    return lambda o: None if o.get(key) == value else "%s is %r, asked %r" % (key, o.get(key), value)


def has(key, *parts):
    return lambda o: None if set(parts) <= set(o.get(key) or ()) else "%s is %r, asked %r" % (key, o.get(key), parts)


def lacks(key, *parts):
    return lambda o: None if key in o and not set(parts) & set(o[key] or ()) else "%s is %r, asked without %r" % (key, o.get(key), parts)


def refused(name, *changes):
    row("bad: " + name, both(*changes), REFUSED)


def mask(names):
    return "%016x" % sum(1 << CAPS.index(n) for n in names)


# ---- who it is
row("as base", lambda c: None, want("exit", 0), want("fds", [0, 1, 2]), want("status.Uid", "0 0 0 0"))
row("user 1:2", put("process.user", {"uid": 1, "gid": 2}), want("status.Uid", "1 1 1 1"), want("status.Gid", "2 2 2 2"), pair="user")
row("user 4294967294", put("process.user", {"uid": 4294967294, "gid": 4294967294}), want("status.Uid", " ".join(["4294967294"] * 4)))
row("user 65534, groups", put("process.user", {"uid": 65534, "gid": 65534, "additionalGids": [5, 6, 4000000]}), want("status.Groups", "5 6 4000000"))
row("groups of root", put("process.user", {"uid": 0, "gid": 0, "additionalGids": [7]}), want("status.Groups", "7"))
row("no groups", put("process.user", {"uid": 0, "gid": 0, "additionalGids": []}), want("status.Groups", ""))
row("username is for others", put("process.user", {"uid": 3, "gid": 0, "username": "root"}), want("status.Uid", "3 3 3 3"))
for mode in (0, 0o27, 0o777):
    row("umask %o" % mode, put("process.user", {"uid": 0, "gid": 0, "umask": mode}), want("umask", mode))
SETS = {"Bnd": "bounding", "Eff": "effective", "Prm": "permitted", "Inh": "inheritable", "Amb": "ambient"}
for n in CAPS[:6]:
    row("capability " + n, put("process.capabilities", {s: ["CAP_" + n] for s in SETS.values()}), *(want("status.Cap" + s, mask([n])) for s in SETS))
row("no capabilities", put("process.capabilities", {}), *(want("status.Cap" + s, mask([])) for s in SETS), pair="caps")
row("capabilities unset", drop("process.capabilities"), *(want("status.Cap" + s, mask([])) for s in SETS))
row("bounding alone", put("process.capabilities", {"bounding": ["CAP_KILL", "CAP_CHOWN"]}), want("status.CapBnd", mask(["KILL", "CHOWN"])), want("status.CapEff", mask([])))
row("ambient for a user", both(put("process.capabilities", {s: ["CAP_KILL"] for s in SETS.values()}), put("process.user", {"uid": 9, "gid": 9})),
    want("status.CapEff", mask(["KILL"])), want("status.CapAmb", mask(["KILL"])))
row("effective less than permitted", put("process.capabilities", {"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"]}),
    want("status.CapBnd", mask(["KILL", "CHOWN"])))
row("inheritable alone", put("process.capabilities", {"bounding": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "permitted": ["CAP_KILL"]}), want("status.CapInh", mask(["KILL"])))
row("noNewPrivileges off", put("process.noNewPrivileges", False), want("status.NoNewPrivs", "0"), pair="nnp")
row("noNewPrivileges unset", drop("process.noNewPrivileges"), want("status.NoNewPrivs", "0"))
for i, name in enumerate("CPU FSIZE DATA STACK RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE CORE NICE RTPRIO RTTIME".split()):
    soft, hard = {"NOFILE": (77, 99), "MEMLOCK": (4096, 8192), "MSGQUEUE": (4096, 8192), "SIGPENDING": (500, 600), "NPROC": (500, 600),
                  "CORE": (0, 0), "NICE": (0, 0), "RTPRIO": (0, 0)}.get(name, ((1 << 30) + i, (1 << 30) + 100))
    row("rlimit " + name, put("process.rlimits", [{"type": "RLIMIT_" + name, "soft": soft, "hard": hard}]), want("rlimits.RLIMIT_" + name, [str(soft), str(hard)]))
row("rlimits unset", drop("process.rlimits"), want("exit", 0))
row("cwd", put("process.cwd", "/tmp"), want("cwd", "/tmp"), pair="cwd")
row("cwd to be made", put("process.cwd", "/run/a/b"), want("cwd", "/run/a/b"))
row("env", put("process.env", ["PATH=/bin", "A=1", "B=", "C=x=y", "D=two\nlines"]), want("env", ["PATH=/bin", "A=1", "B=", "C=x=y", "D=two\nlines"]))
row("env empty", put("process.env", []), want("env", []))
row("env twice the same", put("process.env", ["A=1", "A=2"]), want("env", ["A=1", "A=2"]))
row("program by PATH", put("process.args", ["probe", "getpid"], "process.env", ["PATH=/nowhere:/bin"]), want("args", ["probe", "getpid"]))
row("exit status", put("process.args", ["/bin/probe", "exit", "42"]), want("exit", 42))
row("oomScoreAdj 345", put("process.oomScoreAdj", 345), want("oom_score_adj", ["345"]))
row("oomScoreAdj 0", put("process.oomScoreAdj", 0), want("oom_score_adj", ["0"]))
row("scheduler batch", put("process.scheduler", {"policy": "SCHED_BATCH", "nice": 7}), want("scheduler.policy", 3), want("scheduler.nice", 7))
row("scheduler idle", put("process.scheduler", {"policy": "SCHED_IDLE"}), want("scheduler.policy", 5))
for klass, number in (("BE", 2), ("IDLE", 3)):
    row("ioPriority " + klass, put("process.ioPriority", {"class": "IOPRIO_CLASS_" + klass, "priority": 3}), want("ioprio", number << 13 | 3))
row("consoleSize without a terminal", put("process.consoleSize", {"height": 10, "width": 20}), want("tty", 0))
row("personality", put("linux.personality", {"domain": "LINUX32"}), want("personality", 8))
row("personality LINUX", put("linux.personality", {"domain": "LINUX"}), want("personality", 0))
row("execCPUAffinity is not init's", put("process.execCPUAffinity", {"initial": "0", "final": "0"}), want("exit", 0))
# ---- names, annotations
row("hostname", put("hostname", "somewhere"), want("hostname", "somewhere"))
row("hostname unset", drop("hostname"), want("exit", 0))
row("domainname", put("domainname", "example"), want("domainname", "example"))
row("annotations", put("annotations", {"org.example.a": "b", "c": ""}), want("exit", 0))
row("annotations of others", put("annotations", {"run.oci.keep_original_groups": "1", "org.opencontainers.image.stopSignal": "SIGINT"}), want("status.Groups", ""))
row("unknown properties", put("nosuch", {"a": [1]}, "process.nosuch", 1, "linux.nosuch", None), want("exit", 0))
row("ociVersion 1.0.0", put("ociVersion", "1.0.0"), want("exit", 0))
row("ociVersion 1.3.0", put("ociVersion", "1.3.0"), want("exit", 0))
row("ociVersion 1.2.1-rc1", put("ociVersion", "1.2.1-rc1"), want("exit", 0))
row("no linux.resources", drop("linux.resources"), want("exit", 0))
row("no masks", both(drop("linux.maskedPaths"), drop("linux.readonlyPaths")), lambda o: "still masked" if "mount./proc/kcore.type" in o else None)
# ---- namespaces
for kind in ("pid", "network", "ipc", "uts", "cgroup"):
    def change(c, kind=kind):
        c["linux"]["namespaces"] = [{"type": t} for t in EVERYTHING if t != kind]
        if kind == "uts":
            c.pop("hostname", None)
    row("the host's %s namespace" % kind, change, want("namespaces." + OWN[kind], "host"), pair="ns" if kind in ("pid", "network") else None)
for kind in ("network", "ipc", "uts", "pid", "cgroup"):
    def change(c, kind=kind):
        c["linux"]["namespaces"] = [{"type": t} for t in EVERYTHING if t != kind] + [{"type": kind, "path": "/proc/@HOLDER@/ns/" + OWN[kind]}]
        if kind == "uts":
            c.pop("hostname", None)
    row("another's %s namespace" % kind, change, want("namespaces." + OWN[kind], "holder"))
row("time namespace", both(lambda c: c["linux"]["namespaces"].append({"type": "time"}), put("linux.timeOffsets", {"monotonic": {"secs": 1000, "nanosecs": 5}})),
    want("namespaces.time", "own"), want("timens_offsets", ["monotonic 1000 5", "boottime 0 0"]))
MAPS = {"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}], "gidMappings": [{"containerID": 0, "hostID": 200000, "size": 65536}]}


def user_namespace(c):
    c["linux"]["namespaces"].append({"type": "user"})
    c["linux"].update(copy.deepcopy(MAPS))


row("user namespace", user_namespace, want("namespaces.user", "own"), want("uid_map", ["0 100000 65536"]), want("gid_map", ["0 200000 65536"]), pair="userns")
row("user namespace, a user", both(user_namespace, put("process.user", {"uid": 7, "gid": 8, "additionalGids": [9]})), want("status.Uid", "7 7 7 7"), want("status.Groups", "9"))
row("user namespace, two ranges", both(user_namespace, put("linux.uidMappings", [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 10, "hostID": 200010, "size": 100}])),
    want("uid_map", ["0 100000 10", "10 200010 100"]))
for key, value in (("net.ipv4.ip_forward", "1"), ("kernel.shmmax", "12345"), ("kernel.msgmnb", "4321"), ("fs.mqueue.msg_max", "17"), ("kernel.domainname", "there")):
    path = "/proc/sys/" + key.replace(".", "/")
    row("sysctl " + key, both(put("linux.sysctl", {key: value}), put("process.args", ["/bin/cat", path])), want("text", value + "\n"))
# ---- root, mounts
row("root writable", put("root.readonly", False), has("mount./.flags", "rw"), pair="root")
row("root unsaid", drop("root.readonly"), has("mount./.flags", "rw"))
row("root by its whole path", put("root.path", "@BUNDLE@/rootfs"), has("mount./.flags", "ro"))


def add_mount(type, options, source="tmpfs", at="/mnt", **more):
    return lambda c: c["mounts"].append(dict({"destination": at, "type": type, "source": source, "options": options}, **more))


FLAGS = ("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow")
for f in FLAGS:
    row("tmpfs " + f, add_mount("tmpfs", [f]), has("mount./mnt.flags", f), pair="mount" if f in ("ro", "noexec") else None)
    row("bind " + f, add_mount("bind", ["bind", f], "@SOURCE@"), has("mount./mnt.flags", f), pair="mount" if f == "ro" else None)
for a, b in itertools.combinations(FLAGS[:5], 2):
    row("tmpfs %s, %s" % (a, b), add_mount("tmpfs", [a, b]), has("mount./mnt.flags", a, b))
    row("bind %s, %s" % (a, b), add_mount("bind", ["bind", a, b], "@SOURCE@"), has("mount./mnt.flags", a, b))
for clear, f in (("suid", "nosuid"), ("dev", "nodev"), ("exec", "noexec"), ("rw", "ro"), ("symfollow", "nosymfollow"), ("diratime", "nodiratime"), ("atime", "noatime")):
    row("tmpfs %s after %s" % (clear, f), add_mount("tmpfs", [f, clear]), lacks("mount./mnt.flags", f))
row("tmpfs strictatime", add_mount("tmpfs", ["strictatime"]), lacks("mount./mnt.flags", "relatime", "noatime"))
row("tmpfs relatime", add_mount("tmpfs", ["relatime"]), has("mount./mnt.flags", "relatime"))
for f in ("sync", "dirsync", "lazytime"):
    row("tmpfs " + f, add_mount("tmpfs", [f]), has("mount./mnt.super", f))
for f in ("async", "nolazytime", "silent", "loud", "defaults", "iversion", "noiversion"):
    row("tmpfs " + f, add_mount("tmpfs", [f]), want("mount./mnt.type", "tmpfs"))
row("tmpfs size, mode", add_mount("tmpfs", ["size=64k", "mode=700"]), has("mount./mnt.super", "size=64k", "mode=700"))
row("tmpfs without options", lambda c: c["mounts"].append({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"}), want("mount./mnt.type", "tmpfs"))
row("tmpfs at a place to be made", add_mount("tmpfs", [], at="/tmp/a/b"), want("mount./tmp/a/b.type", "tmpfs"))
row("tmpfs at a relative place", add_mount("tmpfs", [], at="mnt"), want("mount./mnt.type", "tmpfs"))
row("tmpfs through a link of the root", add_mount("tmpfs", [], at="/link-to-mnt"), want("mount./mnt.type", "tmpfs"))
row("tmpfs twice at a place", both(add_mount("tmpfs", ["size=4k"]), add_mount("tmpfs", ["size=8k"])), has("mount./mnt.super", "size=8k"))
row("tmpfs below a tmpfs", both(add_mount("tmpfs", []), add_mount("tmpfs", ["ro"], at="/mnt/x")), has("mount./mnt/x.flags", "ro"))
row("tmpcopyup", add_mount("tmpfs", ["tmpcopyup"], at="/etc"), want("mount./etc.type", "tmpfs"))
for kind in ("proc", "sysfs", "mqueue", "devpts"):
    row("a second " + kind, add_mount(kind, ["nosuid", "nodev", "noexec"], kind), want("mount./mnt.type", kind), has("mount./mnt.flags", "nosuid", "nodev", "noexec"))
row("bind of a file", add_mount("bind", ["bind"], "@SOURCE@/file", at="/etc/hosts"), lambda o: None if "mount./etc/hosts.root" in o else "not mounted")
row("bind of a file, read-only", add_mount("bind", ["bind", "ro"], "@SOURCE@/file", at="/etc/hosts"), has("mount./etc/hosts.flags", "ro"))
row("bind, source in the bundle", add_mount("bind", ["bind"], "rootfs/tmp"), lambda o: None if o.get("mount./mnt.root", "").endswith("/rootfs/tmp") else "not mounted")
row("bind of type none", add_mount("none", ["bind"], "@SOURCE@"), lambda o: None if "mount./mnt.root" in o else "not mounted")
row("bind without a type", lambda c: c["mounts"].append({"destination": "/mnt", "source": "@SOURCE@", "options": ["bind"]}), lambda o: None if "mount./mnt.root" in o else "not mounted")
row("bind of what is mounted below", add_mount("bind", ["bind"], "@SOURCE@"), lambda o: "the mount below came along" if "mount./mnt/sub.type" in o else None)
row("rbind", add_mount("bind", ["rbind"], "@SOURCE@"), want("mount./mnt/sub.type", "tmpfs"))
row("rbind ro is the top's", add_mount("bind", ["rbind", "ro"], "@SOURCE@"), has("mount./mnt.flags", "ro"), has("mount./mnt/sub.flags", "rw"))
for f in ("ro", "nosuid", "nodev", "noexec", "nosymfollow", "nodiratime", "noatime"):
    row("rbind r" + f, add_mount("bind", ["rbind", "r" + f], "@SOURCE@"), has("mount./mnt.flags", f), has("mount./mnt/sub.flags", f))
PROPAGATION = (("private", None), ("shared", "shared"), ("slave", None), ("unbindable", "unbindable"))
for r in ("", "r"):
    for kind, tag in PROPAGATION:
        check = has("mount./mnt.tags", tag) if tag else lacks("mount./mnt.tags", "shared", "unbindable")
        row("tmpfs " + r + kind, add_mount("tmpfs", [r + kind]), check)
        check = has("mount./.tags", tag) if tag else lacks("mount./.tags", "shared", "unbindable")
        row("rootfsPropagation " + r + kind, put("linux.rootfsPropagation", r + kind), check)
row("masked, a file and a directory", both(put("linux.maskedPaths", ["/etc/passwd", "/tmp"]), put("process.args", ["/bin/sh", "-c", "wc -c </etc/passwd; ls -a /tmp | wc -l; echo x >/tmp/x || echo no"])),
    want("text", "0\n2\nno\n"))
row("masked, not there", put("linux.maskedPaths", ["/nowhere"]), want("exit", 0))
row("read-only paths", both(put("root.readonly", False, "linux.readonlyPaths", ["/proc/sys", "/etc", "/nowhere"])), has("mount./proc/sys.flags", "ro"), has("mount./etc.flags", "ro"))
# ---- devices
row("device extra", put("linux.devices", [{"path": "/dev/extra", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4}]), want("devices./dev/extra", "20640 1:5 3:4"), pair="device")
row("device without a mode", put("linux.devices", [{"path": "/dev/extra", "type": "c", "major": 1, "minor": 5}]), want("exit", 0))
row("device block", put("linux.devices", [{"path": "/dev/extra", "type": "b", "major": 7, "minor": 77, "fileMode": 0o600}]), want("devices./dev/extra", "60600 7:77 0:0"))
row("device unbuffered", put("linux.devices", [{"path": "/dev/extra", "type": "u", "major": 1, "minor": 7, "fileMode": 0o600}]), want("devices./dev/extra", "20600 1:7 0:0"))
row("device fifo", put("linux.devices", [{"path": "/dev/extra", "type": "p", "fileMode": 0o600}]), want("devices./dev/extra", "10600 0:0 0:0"))
NODES = [{"path": "/dev/x%d" % n, "type": t, "major": 240, "minor": n, "fileMode": 0o666} for n, t in ((1, "c"), (2, "c"), (3, "b"))]
DENY = {"allow": False, "access": "rwm"}


def rules(name, list, wanted):  # no driver has these: to be allowed is ENXIO, to be denied EPERM
    tried = [w.split("=") for w in wanted.split()]
    row("device rules, " + name, both(put("linux.devices", NODES, "linux.resources.devices", list, "process.args", ["/bin/probe"] + [t for t, _ in tried])),
        *(want("calls." + t, {"yes": 6, "no": 1, "ok": 0}[v]) for t, v in tried))


rules("all denied", [DENY], "r:/dev/x1=no w:/dev/x1=no r:/dev/x3=no rw:/dev/null=ok rw:/dev/zero=ok r:/dev/urandom=ok")
rules("one to read", [DENY, {"allow": True, "type": "c", "major": 240, "minor": 1, "access": "r"}], "r:/dev/x1=yes w:/dev/x1=no r:/dev/x2=no r:/dev/x3=no")
rules("a major", [DENY, {"allow": True, "type": "c", "major": 240, "access": "rw"}], "rw:/dev/x1=yes rw:/dev/x2=yes r:/dev/x3=no")
rules("all blocks", [DENY, {"allow": True, "type": "b", "access": "rwm"}], "r:/dev/x3=yes r:/dev/x1=no")
rules("all allowed", [DENY, {"allow": True, "access": "rwm"}], "rw:/dev/x1=yes rw:/dev/x3=yes")
# ---- seccomp


def filtered(calls, default="SCMP_ACT_ALLOW", more={}, **rule):
    rule = dict({"names": ["keyctl"], "action": "SCMP_ACT_ERRNO"}, **rule)
    return put("process.args", ["/bin/probe"] + calls, "linux.seccomp", dict({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]}, **more))


row("seccomp errno", filtered(["keyctl", "getpid"]), want("calls.keyctl", 1), want("calls.getpid", 0), want("status.Seccomp", "2"), pair="seccomp")
row("seccomp errnoRet", filtered(["keyctl"], errnoRet=99), want("calls.keyctl", 99))
row("seccomp log", filtered(["getppid"], names=["getppid"], action="SCMP_ACT_LOG"), want("calls.getppid", 0))
row("seccomp allow", filtered(["getppid"], default="SCMP_ACT_LOG", names=["getppid"], action="SCMP_ACT_ALLOW"), want("calls.getppid", 0))
row("seccomp trap", filtered(["keyctl"], action="SCMP_ACT_TRAP"), want("calls.keyctl", "trapped"))
row("seccomp trace", filtered(["keyctl"], action="SCMP_ACT_TRACE"), want("calls.keyctl", 38))
row("seccomp kill thread", filtered(["thread:keyctl", "getpid"], action="SCMP_ACT_KILL_THREAD"), want("calls.thread:keyctl", "killed"))
row("seccomp kill process", filtered(["keyctl"], action="SCMP_ACT_KILL_PROCESS"), want("exit", 159))
row("seccomp kill", filtered(["thread:keyctl", "getpid"], action="SCMP_ACT_KILL"), want("calls.thread:keyctl", "killed"))
row("seccomp unknown call", filtered(["keyctl"], names=["nosuchcall", "keyctl"]), want("calls.keyctl", 1))
for op, value, two, hit, miss in (("EQ", 7, 0, 7, 8), ("NE", 7, 0, 8, 7), ("LT", 7, 0, 6, 7), ("LE", 7, 0, 7, 8), ("GE", 7, 0, 7, 6), ("GT", 7, 0, 8, 7), ("MASKED_EQ", 0xf0, 0x30, 0x3f, 0x40)):
    row("seccomp " + op, filtered(["getuid:%d" % hit, "getuid:%d" % miss], names=["getuid"], errnoRet=42, args=[{"index": 0, "value": value, "valueTwo": two, "op": "SCMP_CMP_" + op}]),
        want("calls.getuid:%d" % hit, 42), want("calls.getuid:%d" % miss, 0))
row("seccomp 64-bit value", filtered(["getuid:4294967303", "getuid:7"], names=["getuid"], errnoRet=42, args=[{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]),
    want("calls.getuid:4294967303", 0), want("calls.getuid:7", 42))
row("seccomp two conditions", filtered(["getuid:7", "getuid:8"], names=["getuid"], errnoRet=42, args=[{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]),
    want("calls.getuid:7", 42), want("calls.getuid:8", 0))
row("seccomp x32 is killed", filtered(["x32:250"]), want("exit", 159))
row("seccomp two architectures", filtered(["keyctl", "x32:250"], more={"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]}, errnoRet=77), want("calls.x32:250", 77), want("calls.keyctl", 77))
row("seccomp flag LOG", filtered(["keyctl"], more={"flags": ["SECCOMP_FILTER_FLAG_LOG"]}), want("calls.keyctl", 1))
row("seccomp flag SPEC_ALLOW", filtered(["keyctl"], more={"flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}), want("calls.keyctl", 1))
row("seccomp, no new privileges off", both(filtered(["keyctl"]), put("process.noNewPrivileges", False)), want("calls.keyctl", 1), want("status.NoNewPrivs", "0"))
row("seccomp empty", put("linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW"}), want("exit", 0))
# ---- resources: what the cgroup's files say


def cg(name, resources, *files, pair=None):
    row("cgroup " + name, lambda c: c["linux"]["resources"].update(copy.deepcopy(resources)), *(want("cg." + f, v) for f, v in files), pair=pair)


cg("memory limit", {"memory": {"limit": 67108864}}, ("memory.limit_in_bytes", "67108864"), pair="cgroup")
cg("memory and swap", {"memory": {"limit": 67108864, "swap": 134217728}}, ("memory.limit_in_bytes", "67108864"))
cg("memory without a limit", {"memory": {"limit": -1}}, ("memory.limit_in_bytes", "9223372036854771712"))
cg("memory reservation", {"memory": {"reservation": 33554432}}, ("memory.soft_limit_in_bytes", "33554432"))
cg("swappiness", {"memory": {"swappiness": 30}}, ("memory.swappiness", "30"))
cg("cpu shares", {"cpu": {"shares": 512}}, ("cpu.shares", "512"))
cg("cpu quota and period", {"cpu": {"quota": 20000, "period": 50000}}, ("cpu.cfs_quota_us", "20000"), ("cpu.cfs_period_us", "50000"))
cg("cpu quota alone", {"cpu": {"quota": 30000}}, ("cpu.cfs_quota_us", "30000"))
cg("cpu quota none", {"cpu": {"quota": -1}}, ("cpu.cfs_quota_us", "-1"))
cg("cpu burst", {"cpu": {"quota": 20000, "burst": 10000}}, ("cpu.cfs_burst_us", "10000"))
cg("cpu idle", {"cpu": {"idle": 1}}, ("cpu.idle", "1"))
cg("cpuset", {"cpu": {"cpus": "0", "mems": "0"}}, ("cpuset.cpus", "0"), ("cpuset.mems", "0"))
cg("pids", {"pids": {"limit": 77}}, ("pids.max", "77"))
cg("pids without a limit", {"pids": {"limit": -1}}, ("pids.max", "max"))
cg("net class", {"network": {"classID": 1048577}})
cg("unified on v1", {"unified": {"memory.high": "50331648"}})
cg("huge pages", {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]})
# ---- what must be refused
for name, path, value in (
        ("cwd relative", "process.cwd", "tmp"), ("args empty", "process.args", []), ("args unset", "process.args", None),
        ("uid a name", "process.user", {"uid": "root", "gid": 0}), ("uid negative", "process.user", {"uid": -1, "gid": 0}),
        ("uid 4294967295", "process.user", {"uid": 4294967295, "gid": 0}), ("uid a fraction", "process.user", {"uid": 1.5, "gid": 0}), ("umask above 777", "process.user", {"uid": 0, "gid": 0, "umask": 4096}),
        ("rlimit unknown", "process.rlimits", [{"type": "RLIMIT_NOSUCH", "soft": 1, "hard": 1}]),
        ("rlimit twice", "process.rlimits", [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2),
        ("rlimit soft above hard", "process.rlimits", [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]),
        ("env without =", "process.env", ["NOEQUALS"]), ("args null", "process.args", ["/bin/probe", None]), ("terminal a string", "process.terminal", "yes"),
        ("scheduler unknown", "process.scheduler", {"policy": "SCHED_NOSUCH"}), ("ioPriority 8", "process.ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 8}),
        ("oomScoreAdj 1001", "process.oomScoreAdj", 1001), ("oomScoreAdj a string", "process.oomScoreAdj", "5"), ("capabilities a list", "process.capabilities", ["CAP_KILL"]),
        ("personality unknown", "linux.personality", {"domain": "PER_NOSUCH"}), ("personality flags", "linux.personality", {"domain": "LINUX", "flags": ["X"]}),
        ("ociVersion unset", "ociVersion", None), ("ociVersion 2.0.0", "ociVersion", "2.0.0"), ("ociVersion no version", "ociVersion", "newest"), ("root unset", "root", None),
        ("root not there", "root.path", "nowhere"), ("root a file", "root.path", "rootfs/bin/probe"), ("hostname a number", "hostname", 5), ("annotation a number", "annotations", {"a": 1}), ("annotation without a key", "annotations", {"": "x"}),
        ("namespace unknown", "linux.namespaces", [{"type": "nosuch"}]), ("namespace twice", "linux.namespaces", [{"type": t} for t in EVERYTHING + ["ipc"]]),
        ("mappings without user namespace", "linux.uidMappings", MAPS["uidMappings"]), ("rootfsPropagation unknown", "linux.rootfsPropagation", "nosuch"),
        ("device type", "linux.devices", [{"path": "/dev/extra", "type": "x", "major": 1, "minor": 5}]), ("device without numbers", "linux.devices", [{"path": "/dev/extra", "type": "c"}]),
        ("masked relative", "linux.maskedPaths", ["proc/x"]), ("sysctl unknown", "linux.sysctl", {"kernel.nosuch": "1"}), ("sysctl the host's", "linux.sysctl", {"vm.swappiness": "10"}), ("sysctl climbs", "linux.sysctl", {"net.../../vm/swappiness": "10"}),
        ("time offsets without time namespace", "linux.timeOffsets", {"monotonic": {"secs": 1}}), ("cgroupsPath climbs", "linux.cgroupsPath", "/../../x"),
        ("memory a string", "linux.resources.memory", {"limit": "64m"}), ("huge page size", "linux.resources.hugepageLimits", [{"pageSize": "2XB", "limit": 1}]), ("swappiness 101", "linux.resources.memory", {"swappiness": 101}),
        ("swap below the limit", "linux.resources.memory", {"limit": 67108864, "swap": 33554432}), ("device rule type", "linux.resources.devices", [{"allow": True, "type": "x"}]), ("device access", "linux.resources.devices", [{"allow": True, "access": "z"}]),
        ("cpus of no such", "linux.resources.cpu", {"cpus": "4000"}), ("io device without a weight", "linux.resources.blockIO", {"weightDevice": [{"major": 1, "minor": 1}]}),
        ("seccomp action", "linux.seccomp", {"defaultAction": "SCMP_ACT_NOSUCH"}), ("seccomp default unset", "linux.seccomp", {"syscalls": []}), ("seccomp architecture", "linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NOSUCH"]}),
        ("seccomp flag", "linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NOSUCH"]}), ("seccomp names empty", "linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}]}),
        ("seccomp errno of allow", "linux.seccomp", {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ALLOW", "errnoRet": 5}]}),
        ("seccomp default errno of allow", "linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 5}),
        ("seccomp operator", "linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NOSUCH"}]}]}),
        ("seccomp metadata alone", "linux.seccomp", {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}), ("intelRdt without resctrl", "linux.intelRdt", {"closID": "x"}),
        ("apparmor, not active", "process.apparmorProfile", "nosuch"), ("selinux, not active", "process.selinuxLabel", "a:b:c:d"),
        ("hook relative", "hooks", {"createRuntime": [{"path": "bin/true"}]}), ("hook timeout 0", "hooks", {"createRuntime": [{"path": "/bin/true", "timeout": 0}]}), ("hook fails", "hooks", {"createRuntime": [{"path": "/bin/false"}]}),
        ("startContainer hook fails", "hooks", {"startContainer": [{"path": "/bin/false"}]}), ("memory policy unknown", "linux.memoryPolicy", {"mode": "MPOL_NOSUCH"}), ("program not there", "process.args", ["/bin/nosuch"])):
    refused(name, put(path, value) if value is not None else drop(path))
refused("bind source not there", add_mount("bind", ["bind"], "@SOURCE@/nowhere"))
refused("mount option unknown", add_mount("tmpfs", ["nosuchoption"]))
refused("file system option on a bind", add_mount("bind", ["bind", "size=1m"], "@SOURCE@"))
refused("file system unknown", add_mount("nosuchfs", []))
refused("uid mappings of a mount alone", add_mount("bind", ["bind", "idmap"], "@SOURCE@", uidMappings=MAPS["uidMappings"]))
refused("idmap without mappings or user namespace", add_mount("bind", ["bind", "idmap"], "@SOURCE@"))
refused("namespace of another type", lambda c: [c["linux"]["namespaces"].remove({"type": "network"}), c["linux"]["namespaces"].append({"type": "network", "path": "/proc/@HOLDER@/ns/uts"})])
refused("hostname of the host", lambda c: c["linux"]["namespaces"].remove({"type": "uts"}))
refused("user namespace without maps", lambda c: c["linux"]["namespaces"].append({"type": "user"}))
refused("the host's mount namespace", lambda c: c["linux"]["namespaces"].remove({"type": "mount"}))
refused("user not mapped", user_namespace, put("process.user", {"uid": 70000, "gid": 0}))
refused("maps that overlap", user_namespace, put("linux.uidMappings", MAPS["uidMappings"] * 2))


def each():
    yield from rows
    for (a, name, change, checks), (b, other, change2, checks2) in itertools.combinations(paired, 2):
        if a != b:  # in this order, and the second's program may be another
            yield "%s + %s" % (name, other), both(change, change2), checks + checks2
