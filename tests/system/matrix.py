"""Changes one setting of a default configuration at a time, runs a probe in the container, and compares what
it found with what was asked.  matrix.py BUNDLE CGROUP-PARENT; status 1 if any row differs."""
import copy, json, os, re, subprocess, sys

bundle, parent = sys.argv[1], sys.argv[2]
ALONE = os.environ.get("MATRIX_OCI")  # with kapsel-oci alone, without a daemon
with open(bundle + "/config.json") as f:
    default = json.load(f)
default["process"]["args"] = ["/bin/probe"]
default["process"].pop("capabilities", None)
V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
CAPS = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
        "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
        "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
        "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
        "PERFMON BPF CHECKPOINT_RESTORE").split()
rows, bad, serial = [], 0, 0


def row(name, change, check, **more):
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


def caps_text(names):
    return "%016x" % sum(1 << CAPS.index(n) for n in names)


def run(config, detach=False):
    global serial
    serial += 1
    with open(bundle + "/config.json", "w") as f:
        json.dump(config, f)
    name = "m%d" % serial
    command = ["kapsel-oci", "run", "--bundle", bundle, name] if ALONE else ["kapsel", "run", "--rm", "--id", name, bundle]
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       stdin=subprocess.DEVNULL, timeout=60)
    return name, r.returncode, r.stdout.decode(), r.stderr.decode()


# ---- identity
for uid, gid in ((0, 0), (1, 2), (65534, 65534), (4294967294, 4294967294)):
    row("user %d:%d" % (uid, gid), put("process.user", {"uid": uid, "gid": gid}),
        all_of(want("status.Uid", "\t".join([str(uid)] * 4)), want("status.Gid", "\t".join([str(gid)] * 4))))
row("no additional gids", put("process.user", {"uid": 0, "gid": 0}), want("status.Groups", ""))
row("additional gids", put("process.user", {"uid": 5, "gid": 6, "additionalGids": [5, 6, 4000000000]}),
    want("status.Groups", "5 6 4000000000"))
row("umask", put("process.user", {"uid": 0, "gid": 0, "umask": 0o27}), want("umask", 0o27))
row("umask unset is the executor's", put("process.user", {"uid": 0, "gid": 0}), want("umask", 0o22))
# ---- capabilities: each alone, in all sets but ambient, then the five sets apart
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
# ---- process
row("cwd", put("process.cwd", "/tmp"), want("cwd", "/tmp"))
row("env", put("process.env", ["PATH=/bin", "A=1", "B=", "C=x=y", "D=two\nlines"]),
    want("env", ["PATH=/bin", "A=1", "B=", "C=x=y", "D=two\nlines"]))
row("args", put("process.args", ["probe", "getpid"]), want("args", ["probe", "getpid"]))
row("oomScoreAdj", put("process.oomScoreAdj", 345), want("oom_score_adj", ["345"]))
row("scheduler batch, nice", put("process.scheduler", {"policy": "SCHED_BATCH", "nice": 7}),
    all_of(want("scheduler.policy", 3), want("scheduler.nice", 7)))
row("scheduler idle", put("process.scheduler", {"policy": "SCHED_IDLE"}), want("scheduler.policy", 5))
row("scheduler other, reset on fork", put("process.scheduler", {"policy": "SCHED_OTHER", "nice": -3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
    all_of(want("scheduler.nice", -3), want("scheduler.flags", 1)))
row("scheduler fifo", put("process.scheduler", {"policy": "SCHED_FIFO", "priority": 12}),
    all_of(want("scheduler.policy", 1), want("scheduler.priority", 12)), may_fail="sched|Operation not permitted")
for klass, number in (("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)):
    row("ioPriority " + klass, put("process.ioPriority", {"class": klass, "priority": 3}), want("ioprio", number << 13 | 3))
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
row("root read-only", put("root.readonly", True), mount_has("/", flags=["ro"]))
row("root writable", put("root.readonly", False), mount_has("/", flags=["rw"]))
for option, flag in (("ro", "ro"), ("nosuid", "nosuid"), ("nodev", "nodev"), ("noexec", "noexec"), ("noatime", "noatime"),
                     ("nodiratime", "nodiratime"), ("relatime", "relatime"), ("nosymfollow", "nosymfollow")):
    row("mount option " + option, add_mount("/mnt", "tmpfs", [option]), mount_has("/mnt", flags=[flag], type="tmpfs"))
row("mount option strictatime", add_mount("/mnt", "tmpfs", ["strictatime"]), mount_has("/mnt", no=["relatime", "noatime"]))
for clear, flag in (("suid", "nosuid"), ("dev", "nodev"), ("exec", "noexec"), ("rw", "ro"), ("symfollow", "nosymfollow")):
    row("mount option " + clear, add_mount("/mnt", "tmpfs", [flag, clear]), mount_has("/mnt", no=[flag]))
row("mount option sync", add_mount("/mnt", "tmpfs", ["sync"]), mount_has("/mnt", sup=["sync"]))
row("mount option dirsync", add_mount("/mnt", "tmpfs", ["dirsync"]), mount_has("/mnt", sup=["dirsync"]))
row("mount option lazytime", add_mount("/mnt", "tmpfs", ["lazytime"]), mount_has("/mnt", sup=["lazytime"]))
row("mount data", add_mount("/mnt", "tmpfs", ["size=64k", "mode=700"]), mount_has("/mnt", sup=["size=64k", "mode=700"]))
os.makedirs(bundle + "-source", exist_ok=True)
row("bind, read-only", add_mount("/mnt", "bind", ["bind", "ro", "nosuid", "nodev", "noexec"], bundle + "-source"),
    mount_has("/mnt", flags=["ro", "nosuid", "nodev", "noexec"]))
row("rbind, recursive attributes", add_mount("/mnt", "bind", ["rbind", "rro", "rnosuid", "rnodev", "rnoexec"], bundle + "-source"),
    mount_has("/mnt", flags=["ro", "nosuid", "nodev", "noexec"]))
row("tmpcopyup", add_mount("/etc", "tmpfs", ["tmpcopyup"]), mount_has("/etc", type="tmpfs"))
for option, tag in (("rprivate", ""), ("rshared", "shared:"), ("rslave", ""), ("runbindable", "unbindable")):
    row("mount propagation " + option, add_mount("/mnt", "tmpfs", [option]), mount_has("/mnt", tag=tag))
for value, tag in (("private", ""), ("shared", "shared:"), ("slave", ""), ("unbindable", "unbindable")):
    row("rootfsPropagation " + value, put("linux.rootfsPropagation", value), mount_has("/", tag=tag))
row("masked and read-only paths", both(put("linux.maskedPaths", ["/proc/timer_list", "/proc/scsi", "/nowhere"]), put("linux.readonlyPaths", ["/proc/sys", "/nowhere"])),
    all_of(mount_has("/proc/timer_list"), mount_has("/proc/sys", flags=["ro"])))
row("idmapped mount", both(user_namespace, add_mount("/mnt", "bind", ["bind", "idmap"], bundle + "-source")),
    mount_has("/mnt", flags=["idmapped"]))
row("a file system that cannot be idmapped", both(user_namespace, add_mount("/mnt", "bind", ["bind", "idmap"], "/sys/kernel")),
    None, refused=r"idmap the mount of /sys/kernel.*\[KAPSEL-MOUNT-IDMAP\]")
# ---- devices
row("default devices", lambda c: None, all_of(*(lambda p, d=d, n=n: None if (p["devices"][d]["major"], p["devices"][d]["minor"]) == n else d
    for d, n in {"/dev/null": (1, 3), "/dev/zero": (1, 5), "/dev/full": (1, 7), "/dev/random": (1, 8), "/dev/urandom": (1, 9), "/dev/tty": (5, 0)}.items())))
row("a device of our own", put("linux.devices", [{"path": "/dev/extra", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4}]),
    want("devices./dev/extra", {"mode": "20640", "major": 1, "minor": 5, "uid": 3, "gid": 4}))
row("a fifo", put("linux.devices", [{"path": "/dev/extra", "type": "p", "fileMode": 0o600}]),
    lambda p: None if p["devices"]["/dev/extra"]["mode"] == "10600" else str(p["devices"]["/dev/extra"]))
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
row("no seccomp", lambda c: c["linux"].pop("seccomp", None), want("status.Seccomp", "0"))


# ---- cgroup values, seen from inside through the container's own view, read-only
def cg(name, resources, v1, v2, skip=None):
    def change(c):
        c["linux"].setdefault("resources", {}).update(copy.deepcopy(resources))
        c["linux"]["cgroupsPath"] = "/%s/probe" % parent
        c["process"]["args"] = ["/bin/sleep", "60"]
    rows.append((name, change, (v1, v2), {"cgroup": True, "skip": skip}))


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
cg("memory limit", {"memory": {"limit": 67108864}}, {"memory/memory.limit_in_bytes": "67108864"}, {"memory.max": "67108864"})
cg("memory reservation", {"memory": {"limit": 67108864, "reservation": 33554432}}, {"memory/memory.soft_limit_in_bytes": "33554432"}, {"memory.low": "33554432"})
cg("memory and swap", {"memory": {"limit": 67108864, "swap": 134217728}}, {"memory/memory.memsw.limit_in_bytes": "134217728"}, {"memory.swap.max": "67108864"})
cg("swappiness", {"memory": {"swappiness": 17}}, {"memory/memory.swappiness": "17"}, None)
cg("oom killer off", {"memory": {"limit": 67108864, "disableOOMKiller": True}}, {"memory/memory.oom_control": "oom_kill_disable 1"}, None)
cg("cpu shares", {"cpu": {"shares": 512}}, {"cpu/cpu.shares": "512"}, {"cpu.weight": "59"})
cg("cpu quota and period", {"cpu": {"quota": 25000, "period": 50000}}, {"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "50000"}, {"cpu.max": "25000 50000"})
cg("cpu burst", {"cpu": {"quota": 25000, "period": 50000, "burst": 10000}}, {"cpu/cpu.cfs_burst_us": "10000"}, {"cpu.max.burst": "10000"})
cg("cpu idle", {"cpu": {"idle": 1}}, {"cpu/cpu.idle": "1"}, {"cpu.idle": "1"})
cg("cpuset", {"cpu": {"cpus": "0", "mems": "0"}}, {"cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": "0"}, {"cpuset.cpus": "0", "cpuset.mems": "0"})
cg("pids", {"pids": {"limit": 23}}, {"pids/pids.max": "23"}, {"pids.max": "23"})
cg("pids unlimited", {"pids": {"limit": -1}}, {"pids/pids.max": "max"}, {"pids.max": "max"})
cg("unified", {"unified": {"memory.high": "50331648"}}, None, {"memory.high": "50331648"})


def cgroup_row(name, values, name_id):
    files = values[1] if V2 else values[0]
    for file, wanted in files.items():
        path = ("%s/%s/probe/%s" % (CGROUPS["unified"], parent, file) if V2 else
                "%s/%s/probe/%s" % (CGROUPS[file.split("/")[0]], parent, file.split("/", 1)[1]))
        got = open(path).read().strip()
        if wanted != got and wanted not in got.split("\n"):
            return "%s: got %r, wanted %r" % (file, got, wanted)
    return None


only = sys.argv[3:]
for name, change, check, more in rows:
    if only and not any(o in name for o in only):
        continue
    config = copy.deepcopy(default)
    change(config)
    if more.get("cgroup"):
        if check[1 if V2 else 0] is None:
            continue
        serial += 1
        with open(bundle + "/config.json", "w") as f:
            json.dump(config, f)
        command = ["kapsel-oci", "create", "--bundle", bundle] if ALONE else ["kapsel", "run", "-d", "--id"]
        command += ["c%d" % serial] + ([] if ALONE else [bundle])
        r = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL if ALONE else subprocess.PIPE)
        try:
            fault = "status %d: %s" % (r.returncode, (r.stderr or b"").decode()[-400:]) if r.returncode else cgroup_row(name, check, serial)
        except OSError as e:
            fault = str(e)
        subprocess.run(["kapsel-oci" if ALONE else "kapsel", "delete", "--force", "c%d" % serial], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    else:
        _, status, out, err = run(config)
        if more.get("refused"):
            fault = None if status and re.search(more["refused"], err) else "status %d: %s" % (status, (err or out)[-400:])
        elif status:
            fault = "status %d: %s" % (status, (err or out)[-400:])
            if more.get("may_fail") and re.search(more["may_fail"], err):
                print("refused - %s: %s" % (name, err.split("\n")[0]))
                continue
        else:
            try:
                fault = check(out if more.get("text") else json.loads(out))
            except (ValueError, KeyError) as e:
                fault = "%s %s in %s" % (type(e).__name__, e, out[:300])
    print("%s - %s%s" % ("NOT OK" if fault else "ok", name, ": " + fault if fault else ""))
    bad += fault is not None
os.rmdir(bundle + "-source")
print("%d rows, %d differ" % (len(rows), bad))
sys.exit(bad > 0)
