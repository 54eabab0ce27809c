"""Has each malformed configuration of DIRECTORY (N.json, N.wanted) refused by create, of kapsel-oci and of kapseld:
with code, line:column and pointer, and nothing made.  hardening-config.py DIRECTORY BUNDLE OCI-ROOT DAEMON-RUN-DIRECTORY
NAME; the ids, and so the cgroups, are called by NAME."""
import os, shutil, subprocess, sys

cases, bundle, root, run, name_of_all = sys.argv[1:6]
bad = done = 0


def made():
    """What a create could leave: states, cgroups, mounts, files in the bundle (of processes: tests/lib.sh)."""
    with open("/proc/self/mountinfo") as f:
        mounts = len(f.read().split("\n"))
    cgroups = sorted(d for top, dirs, _ in os.walk("/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup")
                     for d in dirs if d.startswith(name_of_all + "."))
    return (os.path.isdir(root) and os.listdir(root), os.listdir(run), cgroups, mounts, sorted(os.listdir(bundle)),
            sorted(os.listdir(bundle + "/rootfs")))


def shown(pointer):
    return "".join("\\x%02x" % ord(c) if ord(c) < 32 else c for c in pointer) or "/"


def judge(n, who, command, where, pointer, code):
    global bad, done
    r = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
    text = r.stdout.decode(errors="replace")
    place = where + ": " + (shown(pointer) + ": " if pointer != "-" else "")
    done += 1
    if r.returncode not in (1, 125) or place not in text or "[%s]" % code not in text:
        print("case %s, %s: status %d, wanted %s%s\n%s" % (n, who, r.returncode, place, code, text[:300]))
        bad += 1
    now = made()
    if now != before:
        print("case %s, %s: something was made: %s, before %s" % (n, who, now, before))
        bad += 1


before = made()
for name in sorted(os.listdir(cases)):
    if not name.endswith(".wanted"):
        continue
    with open(os.path.join(cases, name), newline="") as f:
        code, where, pointer = f.read()[:-1].split(" ", 2)
    if ":" in code:
        continue  # a warning
    n = name[:-7]
    shutil.copyfile(os.path.join(cases, n + ".json"), bundle + "/config.json")
    judge(n, "kapsel-oci", ["kapsel-oci", "--root", root, "create", "--bundle", bundle, name_of_all + ".oci"], where, pointer, code)
    judge(n, "kapseld", ["kapsel", "create", "--id", name_of_all + ".d", bundle], where, pointer, code)
print("%d refusals, %d wrong" % (done, bad))
sys.exit(bad > 0 or done < 300)
