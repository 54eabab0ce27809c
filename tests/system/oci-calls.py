#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oci-calls.py pidfd SOCKET COMMAND... | console SOCKET COMMAND... | tty ROWS COLUMNS COMMAND... | resize COMMAND... |
notify SOCKET INNER COMMAND...

The caller's side of a socket or a terminal. pidfd, console: what came with the one message, then COMMAND's status.
notify: what COMMAND had said on that NOTIFY_SOCKET. tty: COMMAND with a terminal of ours as 0-2, "exit\r" typed once "ready" is printed; what it printed, then its status."""
import array, fcntl, os, pty, select, socket, struct, subprocess, sys, termios, time


def accept_fd(path, command):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    s.listen(4)
    s.settimeout(20)
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    c, _ = s.accept()
    data, control, _, _ = c.recvmsg(4096, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, got in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(got[: len(got) - len(got) % fds.itemsize])
    return p, data.decode(), list(fds), c.recv(1) == b""


def pidfd(path, command):
    p, data, fds, closed = accept_fd(path, command)
    pid = [l.split()[1] for l in open("/proc/self/fdinfo/%d" % fds[0]) if l.startswith("Pid:")][0]
    print(data, len(fds), closed, pid, p.wait(20))


def console(path, command):
    p, data, fds, closed = accept_fd(path, command)
    size = struct.unpack("HHHH", fcntl.ioctl(fds[0], termios.TIOCGWINSZ, b"\0" * 8))
    print(len(data) > 0, len(fds), closed, os.isatty(fds[0]), "%dx%d" % size[:2], p.wait(20), flush=True)
    print(until_end(fds[0]), end="")


def until_end(master):
    said = ""
    while True:
        if not select.select([master], [], [], 20)[0]:
            return said + "TIMEOUT"
        try:
            got = os.read(master, 4096).decode()
        except OSError:
            got = ""
        if not got:
            return said
        said += got


def tty(rows, columns, command, change=None):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    before = termios.tcgetattr(slave)

    def own():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    p = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own)
    keep = os.dup(slave)
    os.close(slave)
    said = ""
    end = select.poll()
    pid = os.pidfd_open(p.pid)
    end.register(pid, select.POLLIN)
    end.register(master, select.POLLIN)
    typed = False
    while True:
        events = dict(end.poll(20000))
        if not events:
            said += "TIMEOUT"
            break
        if master in events:
            said += os.read(master, 4096).decode()
            if "ready" in said and not typed:
                typed = True
                if change:
                    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *change, 0, 0))
                os.write(master, b"exit\r")
        elif pid in events:
            break
    code = p.wait(20)
    restored = termios.tcgetattr(keep) == before
    print(said.replace("\r\n", " "), code, "restored" if restored else "NOT RESTORED")


def notify(path, inner, command):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    s.settimeout(20)
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=dict(os.environ, NOTIFY_SOCKET=path))
    for _ in range(100):  # what the container does, by the socket's name on this side
        try:
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"STATUS=x\nREADY=1\n", inner)
            break
        except OSError:
            time.sleep(0.1)
    said = []
    for _ in range(2):
        data, control, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(64))
        said.append(data.decode().replace("\n", " ").strip())
        for _, _, got in control:
            os.close(array.array("i", got[:4])[0])
    print(";".join(said), p.wait(20))


what, rest = sys.argv[1], sys.argv[2:]
if what == "pidfd":
    pidfd(rest[0], rest[1:])
elif what == "console":
    console(rest[0], rest[1:])
elif what == "tty":
    tty(int(rest[0]), int(rest[1]), rest[2:])
elif what == "notify":
    notify(rest[0], rest[1], rest[2:])
elif what == "resize":
    tty(24, 80, rest, change=(50, 132))
