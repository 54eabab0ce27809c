"""daemon-killed.py DIRECTORY CGROUP KILLS CLIENTS: clients start and stop containers; kapseld is killed
KILLS times.  After each restart, with the clients held still, what kapseld says is compared with what is."""
import json, os, random, signal, subprocess, sys, threading, time

T, CG, KILLS, CLIENTS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
seed = int(os.environ.get("SEED", time.time()))
random.seed(seed)
print("# seed %d" % seed)
still = threading.Event()   # set: clients stop at the end of their round
over = threading.Event()
lock = threading.Lock()
held = threading.Semaphore(0)
bad, records, lives, unsure = [], 0, 0, 0
env = dict(os.environ)


def wrong(text):
    with lock:
        bad.append(text)


def kapsel(*args, timeout=60):
    try:
        r = subprocess.run(("kapsel", "--timeout", "30s") + args, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, timeout=timeout)
    except subprocess.TimeoutExpired:
        return -1, "", "hangs"
    return r.returncode, r.stdout.decode().strip(), r.stderr.decode().strip()


def wait_done(id, wanted):
    """Waits for the end, reads the certificate, deletes; the exit must be what was made to happen."""
    global records
    rc, _, err = kapsel("wait", "-q", id)
    if rc != wanted:
        wrong("%s: wait: %d, wanted %d: %s" % (id, rc, wanted, err))
    rc, out, err = kapsel("inspect", "--json", id)
    try:
        o = json.loads(out)
        o = o[0] if isinstance(o, list) else o
        last = o["exits"][-1] if o.get("exits") else o["exit"]
        got = 128 + signal.Signals["SIG" + last["signal"].removeprefix("SIG")] if last.get("signal") else last["code"]
        if got != wanted or o["state"] != "stopped":
            wrong("%s: record %s, wanted %d" % (id, json.dumps(last), wanted))
        with lock:
            records += 1
    except (ValueError, KeyError, IndexError, TypeError) as x:
        wrong("%s: inspect: %d %r %s %s" % (id, rc, x, out[:200], err))
    rc, _, err = kapsel("delete", "-i", id)
    if rc:
        wrong("%s: delete: %d %s" % (id, rc, err))


def client(n):
    global lives
    rnd, i = random.Random(seed + n), 0
    while not over.is_set():
        if still.is_set():
            held.release()
            while still.is_set() and not over.is_set():
                time.sleep(0.01)
            continue
        i += 1
        id = "x%d-%d" % (n, i)
        if rnd.random() < 0.5:
            code = rnd.randint(1, 99)
            rc, _, err = kapsel("run", "-d", "--id", id, "-e", "CODE=%d" % code, T + "/short")
            if rc:
                wrong("%s: run: %d %s" % (id, rc, err))
                continue
            wait_done(id, code)
        else:
            rc, _, err = kapsel("run", "-d", "--id", id, T + "/b")
            if rc:
                wrong("%s: run: %d %s" % (id, rc, err))
                continue
            if rnd.random() < 0.5:
                rc, _, err = kapsel("stop", "--time", "0", id)
                what = "stop"
            else:
                rc, _, err = kapsel("kill", "-s", "KILL", id)
                what = "kill"
            # A kill repeated because its answer was lost may find the container dead.
            if rc and not (what == "kill" and "stopped" in err):
                wrong("%s: %s: %d %s" % (id, what, rc, err))
            wait_done(id, 137)
        with lock:
            lives += 1


def start():
    log = open(T + "/log", "ab")
    p = subprocess.Popen(["kapseld", "--foreground", "--socket", T + "/sock", "--run-dir", T + "/run", "--state-dir",
                          T + "/state", "--config", T + "/kapseld.json"], stderr=log)
    with open(T + "/pid", "w") as f:
        f.write(str(p.pid))
    return p


def cgroups():
    found = set()
    for base, dirs, _ in os.walk("/sys/fs/cgroup"):
        if base.endswith("/" + CG):
            found |= set(dirs)
    return found


def look(restart):
    rc, out, err = kapsel("list", "--json", "-a")
    if rc:
        return wrong("restart %d: list: %d %s" % (restart, rc, err))
    known = {c["id"]: c for c in json.loads(out)}
    running = [i for i, c in known.items() if c["state"] == "running"]
    for n in range(CLIENTS):
        if "stay%d" % n not in running:
            wrong("restart %d: stay%d is %s" % (restart, n, known.get("stay%d" % n)))
    for i in running:
        rc, _, err = kapsel("exec", i, "true")
        if rc:
            wrong("restart %d: exec %s: %d %s" % (restart, i, rc, err))
    unknown = cgroups() - set(known)
    dirs = set(os.listdir(T + "/run/c")) - set(known)
    if unknown or dirs:
        wrong("restart %d: unknown: cgroups %s, directories %s" % (restart, sorted(unknown), sorted(dirs)))
    pids = {c.get("pid") for c in known.values()}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cgroup" % pid) as f:
                where = f.read()
        except OSError:
            continue
        if CG in where and not any("/%s/%s\n" % (CG, i) in where for i in known):
            wrong("restart %d: process %s is nobody's: %s" % (restart, pid, where.split("\n")[0]))
    return len(running)


os.kill(int(subprocess.check_output(["pgrep", "-of", "kapseld --foreground --socket %s/sock" % T])), signal.SIGKILL)
time.sleep(0.1)
daemon = start()
threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(CLIENTS)]
for t in threads:
    t.start()
begin = time.time()
for k in range(KILLS):
    time.sleep(random.uniform(0.05, 0.6))
    daemon.kill()
    daemon.wait()
    time.sleep(random.choice((0, 0, random.uniform(0, 0.5))))
    daemon = start()
    still.set()
    for _ in range(CLIENTS):
        if not held.acquire(timeout=40):
            wrong("kill %d: a client does not come back" % k)
            over.set()
    if over.is_set():
        break
    look(k)
    still.clear()
over.set()
for t in threads:
    t.join(90)
print("# %d kills in %.0f s; %d lives, %d records read" % (KILLS, time.time() - begin, lives, records))
with open("/proc/%d/status" % daemon.pid) as f:
    print("# kapseld:", " ".join(" ".join(l.split()) for l in f if l.startswith("VmRSS")),
          "fds", len(os.listdir("/proc/%d/fd" % daemon.pid)))
rc, out, _ = kapsel("list", "-a", "-q")
left = [i for i in out.split() if not i.startswith("stay")]
if left:
    wrong("left: %s" % left)
for text in bad[:20]:
    print("  " + text)
print("ok - after %d kills everything was known, reachable and truly recorded" % KILLS if not bad else
      "NOT OK - %d things were wrong" % len(bad))
sys.exit(bool(bad))
