"""Each field of config.json that holds text, at 65,535 and at 65,536 bytes: the container has it whole, or it is
refused with its place.  hardening-strings.py CONFIG ROOT; status 1 if a text was cut or passed over."""
import copy, json, os, shutil, subprocess, sys, tempfile

with open(sys.argv[1]) as f:
    default = json.load(f)
root, rootfs = sys.argv[2], os.path.join(os.path.dirname(sys.argv[1]), "rootfs")
top = tempfile.mkdtemp(dir=os.path.dirname(root))
os.symlink(rootfs, top + "/rootfs")
default["process"].update(args=["/bin/true"], env=["PATH=/bin"])
hook = {"path": "/bin/true"}
# What a container says of it from inside, or kapsel-oci: "" when only a refusal is right.
INSIDE = {
    "/process/args/3": lambda c, s: c["process"].update(args=["/bin/sh", "-c", 'printf "%s" "$1"', "sh", s][:3] + ["sh", s]),
    "/process/env/1": lambda c, s: c["process"].update(args=["/bin/sh", "-c", 'printf "%s" "$A"'], env=["PATH=/bin", "A=" + s]),
    "/annotations/a": lambda c, s: c.update(annotations={"a": s}),
}


def at(path, make=lambda s: s):
    def change(c, s):
        *way, last = path
        for k in way:
            c = c.setdefault(k, {}) if isinstance(c, dict) else c[k]
        c[last] = make(s)
    return change


def mount(**m):
    return lambda c, s: c["mounts"].append({k: ([s] if v == ["@"] else s if v == "@" else v) for k, v in m.items()})


FIELDS = {
    "/ociVersion": at(["ociVersion"], lambda s: "1.0.0-" + s[6:]), "/hostname": at(["hostname"]), "/domainname": at(["domainname"]),
    "/root/path": at(["root", "path"]), "/process/cwd": at(["process", "cwd"], lambda s: "/" + s[1:]),
    "/process/args/0": at(["process", "args"], lambda s: [s]), "/process/args/0 path": at(["process", "args"], lambda s: ["/" + s[1:]]),
    "/process/rlimits/0/type": at(["process", "rlimits"], lambda s: [{"type": s, "soft": 1, "hard": 1}]),
    "/process/scheduler/policy": at(["process", "scheduler"], lambda s: {"policy": s}),
    "/process/ioPriority/class": at(["process", "ioPriority"], lambda s: {"class": s, "priority": 1}),
    "/process/execCPUAffinity/initial": at(["process", "execCPUAffinity"], lambda s: {"initial": s}),
    "/mounts/N/destination": mount(destination="@", type="tmpfs"), "/mounts/N/type": mount(destination="/mnt", type="@"),
    "/mounts/N/source": mount(destination="/mnt", source="@", options=["bind"]),
    "/mounts/N/options/0": mount(destination="/mnt", type="tmpfs", options=["@"]),
    "/hooks/createRuntime/0/path": at(["hooks"], lambda s: {"createRuntime": [{"path": "/" + s[1:]}]}),
    "/linux/namespaces/0/path": at(["linux", "namespaces", 0, "path"], lambda s: "/" + s[1:]),
    "/linux/namespaces/0/type": at(["linux", "namespaces", 0, "type"]),
    "/linux/devices/0/path": at(["linux", "devices"], lambda s: [{"path": "/" + s[1:], "type": "p"}]),
    "/linux/devices/0/type": at(["linux", "devices"], lambda s: [{"path": "/a", "type": s}]),
    "/linux/cgroupsPath": at(["linux", "cgroupsPath"]), "/linux/rootfsPropagation": at(["linux", "rootfsPropagation"]),
    "/linux/maskedPaths/0": at(["linux", "maskedPaths"], lambda s: ["/" + s[1:]]),
    "/linux/readonlyPaths/0": at(["linux", "readonlyPaths"], lambda s: ["/" + s[1:]]),
    "/linux/sysctl key": at(["linux", "sysctl"], lambda s: {"net." + s[4:]: "1"}),
    "/linux/sysctl value": at(["linux", "sysctl"], lambda s: {"net.ipv4.ip_forward": s}),
    "/linux/personality/domain": at(["linux", "personality"], lambda s: {"domain": s}),
    "/linux/resources/cpu/cpus": at(["linux", "resources", "cpu"], lambda s: {"cpus": s}),
    "/linux/resources/hugepageLimits/0/pageSize": at(["linux", "resources", "hugepageLimits"], lambda s: [{"pageSize": s, "limit": 0}]),
    "/linux/resources/devices/0/access": at(["linux", "resources", "devices"], lambda s: [{"allow": False, "access": s}]),
    "/linux/seccomp/syscalls/0/action": at(["linux", "seccomp"], lambda s: {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": s}]}),
    "/linux/seccomp/architectures/0": at(["linux", "seccomp"], lambda s: {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [s]}),
    "/linux/seccomp/listenerPath": at(["linux", "seccomp"], lambda s: {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/" + s[1:], "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]}),
}
# Accepted in any length since they take no part: what is unknown is skipped, with a warning or none.
SKIPPED = {
    "/process/capabilities/bounding/0": at(["process", "capabilities"], lambda s: {"bounding": [s]}),
    "/linux/seccomp/syscalls/0/names/0": at(["linux", "seccomp"], lambda s: {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [s], "action": "SCMP_ACT_ERRNO"}]}),
    "/annotations key": lambda c, s: c.update(annotations={s: "x"}),
}
bad = done = 0


def run(change, text, command="run"):
    c = copy.deepcopy(default)
    change(c, text)
    with open(top + "/config.json", "w") as f:
        json.dump(c, f)
    with open(top + "/out", "w+b") as out, open(top + "/err", "w+b") as err:  # a waiting init would hold a pipe
        r = subprocess.run(["kapsel-oci", "--root", root, command, "--bundle", top, "strings"], stdin=subprocess.DEVNULL,
                           stdout=out, stderr=err, timeout=30)
        out.seek(0), err.seek(0)
        return r.returncode, out.read().decode(), err.read().decode(errors="replace")


def verdict(name, n, good, why):
    global bad, done
    done += 1
    if not good:
        print("%s at %d: %s" % (name, n, why[:300]))
        bad += 1


for n in (65535, 65536):
    text = "".join("%07d." % i for i in range(0, n + 8, 8))[:n]  # each part of it is another
    for name, change in INSIDE.items():
        if name == "/annotations/a":
            code, out, err = run(change, text, "create")
            state = subprocess.run(["kapsel-oci", "--root", root, "state", "strings"], stdout=subprocess.PIPE).stdout
            subprocess.run(["kapsel-oci", "--root", root, "delete", "--force", "strings"])
            out = json.loads(state or "{}").get("annotations", {}).get("a") if code == 0 else ""
        else:
            code, out, err = run(change, text)
        verdict(name, n, (code == 0 and out == text) or (code != 0 and "KAPSEL-" in err), "status %d, %d bytes; %s" % (code, len(out or ""), err))
    for name, change in FIELDS.items():
        code, out, err = run(change, text)
        if code == 0 and name in ("/linux/maskedPaths/0", "/linux/readonlyPaths/0", "/ociVersion"):
            verdict(name, n, name == "/ociVersion", "a path that cannot be was passed over")
            continue
        verdict(name, n, code not in (0, 139, -11) and "KAPSEL-" in err and "killed by signal" not in err, "status %d %s" % (code, err))
    for name, change in SKIPPED.items():
        code, out, err = run(change, text)
        verdict(name, n, code == 0 or "KAPSEL-" in err, "status %d %s" % (code, err))
shutil.rmtree(top)
print("D19 %d fields, %d wrong" % (done, bad))
sys.exit(bad > 0)
