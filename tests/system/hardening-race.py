"""Swaps A1 and B1, A2 and B2, ... (directories, files, links) as fast as it can until it is killed.
hardening-race.py A1 B1 [A2 B2 ...]; prints how often when SIGTERM ends it."""
import ctypes, signal, sys

libc = ctypes.CDLL(None, use_errno=True)
pairs = [(a.encode(), b.encode()) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]
n, going = 0, True


def stop(*_):
    global going
    going = False


signal.signal(signal.SIGTERM, stop)
while going:
    for a, b in pairs:
        libc.renameat2(-100, a, -100, b, 2)  # RENAME_EXCHANGE
    n += 1
print(n)
