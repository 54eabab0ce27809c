"""Reads, as fast as it can until it is killed, the mounts of every process that is new, and counts those at one
of the given paths whose options lack `ro`.  hardening-poll.py PATH...; prints "read N writable M"."""
import os, signal, sys

paths = tuple(sys.argv[1:])
reads, bad, going = 0, set(), True


def stop(*_):
    global going
    going = False


signal.signal(signal.SIGTERM, stop)
old = {n for n in os.listdir("/proc") if n.isdigit()}
own = os.readlink("/proc/self/ns/mnt")
while going:
    for n in os.listdir("/proc"):
        if not n.isdigit() or n in old:
            continue
        try:
            with open("/proc/%s/mountinfo" % n) as f:
                lines = f.read().split("\n")
        except OSError:
            continue
        for line in lines:
            words = line.split(" ")
            if len(words) > 5 and words[4].endswith(paths):
                reads += 1
                if "ro" not in words[5].split(","):
                    bad.add((n, words[4], words[5]))
print("read %d writable %d %s" % (reads > 0 and 1, len(bad), sorted(bad)[:3] or ""))
