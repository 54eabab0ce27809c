#!/usr/bin/env python3
"""init-killed.py KAPSEL-OCI ROOT BUNDLE N: N creates whose init is killed at any moment of its life.

The executor, whose memory init may be on, says why and ends; it neither crashes nor waits."""
import collections
import os
import random
import signal
import subprocess
import sys
import time

oci, root, bundle, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
seed = int(os.environ.get("SEED", time.time()))
rnd = random.Random(seed)
ends = collections.Counter()


def children():
    me = os.getpid()
    with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


for i in range(n):
    with subprocess.Popen([oci, "--root", root, "create", "-b", bundle, f"k{i}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
        init = None
        until = time.monotonic() + 10
        while init is None and run.poll() is None and time.monotonic() < until:
            init = next((p for p in children() if p != run.pid), None)
        time.sleep(rnd.random() * 0.004)
        if init is None:
            init = next((p for p in children() if p != run.pid), None)
        if init is not None:
            os.kill(init, signal.SIGKILL)
        said = run.stderr.read().decode()
        code = run.wait(10)
    if init is not None:
        os.waitpid(init, 0)
    if code == 0:
        ends["created before"] += 1
    elif code == 1 and said.strip():
        ends["told"] += 1
    else:
        sys.exit(f"seed {seed}, call {i}: status {code}, said {said!r}")
    subprocess.run([oci, "--root", root, "delete", "--force", f"k{i}"], check=True)
print(f"{n} killed: " + ", ".join(f"{k} {v}" for k, v in sorted(ends.items())))
if ends["told"] < n // 10:
    sys.exit("too few were hit before they waited")
