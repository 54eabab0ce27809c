"""agents.py DIRECTORY AGENT DESIRED CHANGES KILLS: changes what an agent is to hold, kills kapseld, and looks at
the end for differences, at all times for a program started more often than it was asked for."""
import collections, json, os, random, select, signal, subprocess, sys, time

T, AGENT, DESIRED, CHANGES, KILLS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
seed = int(os.environ.get("SEED", time.time()))
random.seed(seed)
name = os.path.basename(AGENT)
out = open(T + "/out/started", "w")
generation, want, due = 0, {}, collections.Counter()
kill_at = set(random.sample(range(CHANGES), min(KILLS, CHANGES)))
killed = 0


def publish():
    global generation
    generation += 1
    with open(T + "/desired.new", "w") as f:
        json.dump({"generation": generation, "containers": want}, f)
    os.rename(T + "/desired.new", T + "/desired")


def add(id):
    want[id] = T + "/" + random.choice(("one", "two"))
    due[id] += 1


def restart():
    global killed
    try:
        pid = int(open(T + "/pid").read())
    except OSError:
        pid = int(subprocess.check_output(["pgrep", "-of", "kapseld --foreground --socket %s/sock" % T]))
    os.kill(pid, signal.SIGKILL)
    time.sleep(random.uniform(0, 0.3))
    p = subprocess.Popen(["kapseld", "--foreground", "--socket", T + "/sock", "--run-dir", T + "/run", "--state-dir",
                          T + "/state", "--config", T + "/kapseld.json"], stderr=open(T + "/log", "ab"))
    with open(T + "/pid", "w") as f:
        f.write(str(p.pid))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    killed += 1


def listed():
    return json.loads(subprocess.check_output(["kapsel", "--timeout", "30s", "list", "--json", "-a"]))


def connections():
    fds = "/proc/%d/fd/" % agent.pid
    return sum(os.readlink(fds + fd).startswith("socket:") for fd in os.listdir(fds))


def converged():
    most = int(os.environ.get("MOST", 60 + DESIRED))
    end, text = time.time() + most, ""
    while time.time() < end:
        if select.select([agent.stdout], [], [], 1)[0]:
            text = agent.stdout.readline().decode()
            if text == "converged %d\n" % generation:
                return True
            if not text:
                break
    print("NOT OK - %s: no convergence to generation %d (last: %r)" % (name, generation, text))
    for c in listed():
        if want.get(c["id"]) != c["bundle"] or c["state"] != "running":
            print("  %s is %s, %s; wanted %s" % (c["id"], c["state"], c["bundle"], want.get(c["id"])))
    agent.kill()
    sys.exit(1)


for i in range(DESIRED):
    add("w%d" % i)
publish()
agent = subprocess.Popen([AGENT, T + "/sock", T + "/desired"], stdout=subprocess.PIPE, bufsize=0)
begin, serial, done = time.time(), DESIRED, 0
converged()
while done < CHANGES:
    for _ in range(min(random.randint(1, 5), CHANGES - done)):
        what = random.random()
        id = random.choice(sorted(want))
        if what < 0.4:  # one goes, another comes
            del want[id]
            add("w%d" % serial)
            serial += 1
        elif what < 0.7:  # another bundle
            want[id] = T + ("/two" if want[id].endswith("one") else "/one")
            due[id] += 1
        else:  # it dies by itself
            due[id] += 1
            subprocess.run(["kapsel", "--timeout", "20s", "kill", "-s", "KILL", id], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        publish()
        if done in kill_at:
            time.sleep(random.uniform(0, 0.05))
            restart()
        done += 1
    converged()
time.sleep(0.5)
sockets = connections()
agent.kill()
agent.wait()
got = listed()
have = {c["id"]: c["bundle"] for c in got if c["state"] == "running"}
ok = have == want and len(got) == len(want)
print("%s - %s: %d containers after %d changes and %d kills of kapseld in %.0f s: no difference" % (
    "ok" if ok else "NOT OK", name, len(have), CHANGES, killed, time.time() - begin))
if not ok:
    print("  missing %s, too many %s" % (sorted(set(want) - set(have)), sorted(c["id"] for c in got if c["id"] not in want)))
started = collections.Counter(open(T + "/out/started").read().split())
double = {i: (n, due[i]) for i, n in started.items() if n > due[i]}
print("%s - %s: no double start: %d starts, at most %d were due%s" % (
    "NOT OK" if double else "ok", name, sum(started.values()), sum(due.values()), " " + str(double) if double else ""))
print("%s - %s: one connection to watch, one to change: %d" % ("ok" if sockets == 2 else "NOT OK", name, sockets))
sys.exit(not ok or bool(double) or sockets != 2)
