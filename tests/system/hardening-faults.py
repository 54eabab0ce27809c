"""D29: create, with one of its system calls failing at a time: either refused and nothing left, or the container's
mounts are those of a create that nothing disturbed.  hardening-faults.py FAILING BUNDLE OCI-ROOT CGROUP EVERY
(of the reads each EVERY-th; of what mounts each one)."""
import os, subprocess, sys, time

failing, bundle, root, cgroup, every = sys.argv[1:5] + [int(sys.argv[5])]
top = os.path.dirname(root)
bad = done = refused = 0
MOUNTS = "move_mount,open_tree,fsopen,fsconfig,fsmount,mount_setattr,pivot_root,umount2"
READS = "read,openat2,openat,fstat,fstatfs,statx,newfstatat,readlinkat,mkdirat,mknodat,write"


def oci(*args):
    return subprocess.run(["kapsel-oci", "--root", root, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=30).returncode


def mounts(pid):
    """What each mount shows, where, and how: all but its numbers."""
    with open("/proc/%s/mountinfo" % pid) as f:
        for line in f.read().splitlines():
            words = line.split(" ")
            dash = words.index("-")
            yield (words[3], words[4], words[5], words[dash + 1], words[dash + 3].split(",")[0])


def left():
    return (os.path.isdir(root) and os.listdir(root),
            [d for d, _, _ in os.walk("/sys/fs/cgroup") if d.endswith("/" + cgroup)] if refused % 10 == 0 else [],
            [p for p in os.listdir("/proc") if p.isdigit() and comm(p) == "kapsel-oci"])


def comm(pid):
    try:
        with open("/proc/%s/stat" % pid) as f:
            text = f.read()
    except OSError:
        return None
    return None if text.rpartition(")")[2].split()[0] == "Z" else text.partition("(")[2].rpartition(")")[0]


def create(n, error, calls):
    with open(top + "/count", "w+") as count, open(top + "/said", "w+") as said:
        os.dup2(count.fileno(), 3)
        r = subprocess.run([failing, str(n), str(error), calls, "kapsel-oci", "--root", root, "create", "--bundle", bundle,
                            "--pid-file", top + "/faults.pid", "faults"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=said, pass_fds=[3], timeout=60)
        count.seek(0), said.seek(0)
        return r.returncode, int(count.read() or 0), said.read()


def check(what, code, said, wanted):
    global bad, done, refused
    done += 1
    if code == 0:
        with open(top + "/faults.pid") as f:
            found = list(mounts(f.read()))
        if oci("delete", "--force", "faults"):
            print("%s: cannot be deleted" % what)
            bad += 1
        if found != wanted:
            print("%s: created, but\n%s" % (what, "\n".join("  %s instead of %s" % x for x in zip(found, wanted) if x[0] != x[1])))
            bad += 1
        return
    refused += 1
    for _ in range(40):
        now = left()
        if not any(now):
            break
        time.sleep(0.05)
    if any(now) or code != 1 or "KAPSEL-" not in said:
        print("%s: status %d, left %s: %s" % (what, code, now, said[:300]))
        bad += 1
        oci("delete", "--force", "faults")


code, _, said = create(0, 5, MOUNTS)
assert code == 0, said
with open(top + "/faults.pid") as f:
    reference = list(mounts(f.read()))
oci("delete", "--force", "faults")
for calls, step in ((MOUNTS, 1), (READS, every)):
    n = 1
    while True:
        error = (5, 1, 12)[n // step % 3]  # EIO, EPERM, ENOMEM in turn
        code, count, said = create(n, error, calls)
        if count < n:  # no such call any more
            oci("delete", "--force", "faults")
            break
        check("call %d of %s, errno %d" % (n, calls.split(",")[0] + "...", error), code, said, reference)
        n += step
print("D29 %d creates with a failing call, %d refused, %d wrong" % (done, refused, bad))
sys.exit(bad > 0 or refused < 20)
