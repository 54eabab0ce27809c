"""A caller of --console-socket: listens at SOCKET, takes one terminal, prints what comes out of it until its end."""
import os, socket, sys

s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen(1)
s.settimeout(20)
c, _ = s.accept()
name, fds, _, _ = socket.recv_fds(c, 4096, 1)
assert name and len(fds) == 1 and os.isatty(fds[0])
while True:
    try:
        data = os.read(fds[0], 4096)
    except OSError:  # EIO: the last one that had the other end is gone
        break
    if not data:
        break
    os.write(1, data)
