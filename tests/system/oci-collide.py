#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oci-collide.py DIRECTORY BUNDLE-OF-IDS TURNS: create, start, kill and delete by eight processes at once over few ids.

Whoever comes too late must be told why, by exit status 1 and one of the words below; who is not, whose call hangs or
ends in another way, is printed. At the end the directory of states must be empty once all ids are deleted."""
import os, random, subprocess, sys, tempfile, time

ROOT, BUNDLE, TURNS = sys.argv[1], sys.argv[2], int(sys.argv[3])
WORKERS, IDS, HANGS = 8, 50, 60
LATE = {
    "create": ["container with id exists", "container does not exist", "init was killed", "init ended before"],
    "start": ["container does not exist", "cannot start a container in the running state",
              "cannot start a container in the stopped state", "nothing waits to be started", "init was killed",
              "init ended before"],
    "kill": ["container does not exist", "container not running"],
    "delete": ["container does not exist", "is not stopped: running"],
}


def call(*words):
    with tempfile.TemporaryFile("w+") as said:  # no pipe: a container keeps what it is given
        p = subprocess.Popen(["kapsel-oci", "--root", ROOT, *words], stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            code = p.wait(HANGS)
        except subprocess.TimeoutExpired:
            p.kill()
            code = "hangs"
        said.seek(0)
        return code, said.read()


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def turn(counts, name):
    bad = 0
    for step in (["create", "--bundle", BUNDLE + "-" + name, name], ["start", name], ["kill", name, "KILL"],
                 ["delete", name] if random.random() < 0.5 else ["delete", "--force", name]):
        code, text = call(*step)
        verb = step[0]
        why = next((w for w in LATE[verb] if w in text), None)
        if code == 0 and text == "":
            why = "done"
        elif code != 1 or why is None:
            print("WRONG: %s -> %s %s" % (" ".join(step), code, text.strip()), flush=True)
            bad, why = bad + 1, "wrong"
        counts[verb, why] = counts.get((verb, why), 0) + 1
        reap()
    return bad


def worker(n):
    random.seed(n)
    counts, bad = {}, 0
    for _ in range(TURNS // WORKERS):
        bad += turn(counts, "id%d" % random.randrange(IDS))
    return counts, bad


def main():
    pipes, begin = [], time.monotonic()
    for n in range(WORKERS):
        r, w = os.pipe()
        if os.fork() == 0:
            counts, bad = worker(n)
            with os.fdopen(w, "w") as out:
                for (verb, why), k in counts.items():
                    out.write("%s\t%s\t%d\n" % (verb, why, k))
                out.write("bad\tbad\t%d\n" % bad)
            os._exit(0)
        os.close(w)
        pipes.append(r)
    total = {}
    for r in pipes:
        with os.fdopen(r) as f:
            for line in f:
                verb, why, k = line.rstrip("\n").split("\t")
                total[verb, why] = total.get((verb, why), 0) + int(k)
    bad = total.pop(("bad", "bad"))
    for n in range(IDS):
        code, text = call("delete", "--force", "id%d" % n)
        if code != 0 or text:
            print("WRONG: delete --force at the end: %s %s" % (code, text))
            bad += 1
    reap()
    for (verb, why), k in sorted(total.items()):
        print("%-7s %6d %s" % (verb, k, why))
    left = os.listdir(ROOT)
    print("%d turns of %d processes over %d ids in %d s: %d wrong, %d left" %
          (TURNS // WORKERS * WORKERS, WORKERS, IDS, time.monotonic() - begin, bad, len(left)))
    return 1 if bad or left else 0


sys.exit(main())
