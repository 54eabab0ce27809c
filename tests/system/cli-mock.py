#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A kapseld of straw for tests/system/cli.sh: it answers on a socket, and "containers" are sh -c.

cli-mock.py SOCKET JOURNAL, or as kapsel --standalone starts it: --socket PATH --run-dir DIR ... --lifeline FD"""
import array, json, os, pty, select, shutil, signal, socket, subprocess, sys, threading, time

if "--lifeline" in sys.argv:
    given = dict(zip(sys.argv[2::2], sys.argv[3::2]))  # after --foreground
    PATH, JOURNAL = given["--socket"], given["--run-dir"] + "/calls"
else:
    given, (PATH, JOURNAL) = {}, sys.argv[1:3]
lock = threading.Lock()
live, seen, exits = {}, {}, {}


def note(call):
    with lock, open(JOURNAL, "a") as f:
        f.write(json.dumps(call) + "\n")


def certificate(rc):
    e = {"instance": 1, "oom": False, "reason": "exited", "finished": "2026-01-01T00:00:00Z", "restarts": 0,
         "logDropped": 0}
    e.update({"code": rc} if rc >= 0 else {"signal": signal.Signals(-rc).name[3:]})
    return e


def container(i, state="running"):
    return {"id": i, "uid": "u" + i, "instance": 1, "state": state, "pid": 4242, "bundle": "/b/" + i, "digest": "0",
            "terminal": False, "volatile": False, "created": "2026-01-01T00:00:00Z",
            "started": "2026-01-01T00:00:00Z", "policy": {"stopSignal": "TERM", "stopTimeoutMs": 10000},
            "policyFrom": {"stopSignal": "annotation", "stopTimeoutMs": "default"},
            "annotations": {"a.b": "c\u001b[31m"},
            "exits": [certificate(3)] if state == "stopped" else []}


class Fail(Exception):
    pass


def fail(name, code, message):
    raise Fail({"error": "io.kapsel.Containers." + name,
                "parameters": {"code": code, "error": name, "message": message, "remedy": "", "retry": "never"}})


class Peer:
    def __init__(self, s):
        self.s, self.buf, self.fds = s, b"", []

    def message(self):
        while b"\0" not in self.buf:
            data, anc, _, _ = self.s.recvmsg(65536, 4096)
            for _, _, d in anc:
                a = array.array("i")
                a.frombytes(d)
                self.fds += a
            if not data:
                return None
            self.buf += data
        one, self.buf = self.buf.split(b"\0", 1)
        return json.loads(one)

    def say(self, **m):
        self.s.sendall(json.dumps(m).encode() + b"\0")

    def serve(self):
        try:
            while (m := self.message()) is not None:
                note(m)
                try:
                    self.one(m["method"].rsplit(".", 1)[1], m.get("parameters", {}))
                except Fail as f:
                    self.say(**f.args[0])
        except (ConnectionError, BrokenPipeError):
            pass
        finally:
            self.s.close()

    def one(self, method, p):
        getattr(self, "do_" + method)(p)

    def spawn(self, p, key):
        stdio = p.get("stdio", {})
        ends = [self.fds[stdio[k]] if k in stdio else subprocess.DEVNULL for k in ("stdin", "stdout", "stderr")]
        env = dict(os.environ, **dict(v.split("=", 1) for v in p["process"].get("env", [])))
        tty = p["process"].get("terminal")
        if tty:
            master, slave = pty.openpty()
            far = self.fds[stdio["stdout"]]
            c = subprocess.Popen(["sh", "-c", *p["process"]["args"]], stdin=slave, stdout=slave, stderr=slave, env=env,
                                 start_new_session=True)
            os.close(slave)
            ways = [(master, os.dup(far))]
            if "stdin" in stdio:  # all ends before any thread: the first to end closes its own
                ways.append((os.dup(far), os.dup(master)))
            for way in ways:
                threading.Thread(target=self.copy, args=way, daemon=True).start()
        else:
            c = subprocess.Popen(["sh", "-c", *p["process"]["args"]], stdin=ends[0], stdout=ends[1], stderr=ends[2], env=env)
        for f in self.fds:
            os.close(f)
        self.fds = []
        live[key] = c
        return c

    @staticmethod
    def copy(a, b):
        try:
            while d := os.read(a, 65536):
                os.write(b, d)
        except OSError:
            pass
        os.close(a)
        os.close(b)

    def do_Run(self, p):
        i = p["id"]
        if i == "taken":
            fail("AlreadyExists", "KAPSEL-ALREADY-EXISTS", "taken is there already")
        if i == "nofile":
            fail("Invalid", "KAPSEL-EXEC-NOT-FOUND", 'exec: "x": executable file not found in $PATH')
        seen[i] = seen.get(i, 0) + 1
        if i.startswith("cut-early") and seen[i] < 3:
            self.s.shutdown(socket.SHUT_RDWR)
            raise ConnectionError
        os.stat(self.fds[p["bundleFd"]])
        c = self.spawn(p, i)
        r = {"id": i, "uid": "u" + i, "existing": False, "changed": True, "instance": 1, "pid": c.pid}
        if not p.get("wait"):
            self.say(parameters=r)
            return
        self.say(parameters=r, continues=True)
        if i.startswith("cut-late"):
            self.s.shutdown(socket.SHUT_RDWR)
            raise ConnectionError
        self.say(parameters=dict(r, exit=certificate(c.wait())))

    def do_Exec(self, p):
        key = p["id"] + "/x1"
        c = self.spawn(p, key)
        r = {"id": p["id"], "uid": "u", "exec": "x1", "pid": c.pid}
        self.say(parameters=r, continues=True)
        self.say(parameters=dict(r, exit=certificate(c.wait())))

    def do_Kill(self, p):
        key = p["id"] + ("/" + p["exec"] if "exec" in p else "")
        if key not in live:
            fail("NotFound", "KAPSEL-NOT-FOUND", "no container " + p["id"])
        live[key].send_signal(getattr(signal, "SIG" + p["signal"]))
        self.say(parameters={"id": p["id"], "uid": "u", "changed": True, "instance": 1})

    def do_Stop(self, p):
        if p["id"] == "gone":
            fail("NotFound", "KAPSEL-NOT-FOUND", "there is no container gone")
        if p["id"] in live:
            live[p["id"]].kill()
        else:
            time.sleep(1)
        self.say(parameters={"id": p["id"], "uid": "u", "changed": True, "instance": 1})

    def do_Resize(self, p):
        self.say(parameters={})

    def do_Wait(self, p):
        ids = p["ids"]
        for n, i in enumerate(ids):
            rc = live[i].wait() if i in live else int(i[1:])
            self.say(parameters={"id": i, "uid": "u", "state": "stopped", "exit": certificate(rc)},
                     continues=n + 1 < len(ids))

    def do_List(self, p):
        first = not p.get("page", {}).get("after")
        page = [container("a"), container("b", "paused")] if first else [container("c", "stopped")]
        answer = {"containers": page}
        if p.get("brief"):
            answer = {"containers": [], "brief": [
                {**{k: c[k] for k in c if k in ("id", "uid", "instance", "state", "pid", "bundle", "created", "started")},
                 **({"exit": c["exits"][0]} if c["exits"] else {})} for c in page]}
        self.say(parameters={**answer, **({"next": "b"} if first else {})})

    def do_Get(self, p):
        if p["id"] not in "abc":
            fail("NotFound", "KAPSEL-NOT-FOUND", "there is no container " + p["id"])
        self.say(parameters={"container": container(p["id"], "stopped" if p["id"] == "c" else "running")})

    def do_Logs(self, p):
        t = "2026-01-01T00:00:0%dZ"
        self.say(parameters={"lines": [{"time": t % 1, "stream": "stdout", "text": "one", "partial": True}], "dropped": 0},
                 continues=True)
        self.say(parameters={"lines": [{"time": t % 2, "stream": "stdout", "text": " two"},
                                       {"time": t % 3, "stream": "stderr", "text": "bad"}], "dropped": 7})

    def do_Watch(self, p):
        e = {"number": 5, "time": "2026-01-01T00:00:00Z", "type": "exited", "id": "a", "exit": certificate(3)}
        cursor = p.get("cursor")
        if cursor is None:
            self.say(parameters={"cursor": "j:5", "resync": False, "complete": True, "snapshot": []})
        else:
            self.say(parameters={"cursor": "j:5", "resync": False, "complete": True, "events": [e] if cursor == "j:0" else []})

    def do_Delete(self, p):
        if p["id"] == "busy":
            fail("WrongState", "KAPSEL-WRONG-STATE", "busy is running")
        self.say(parameters={"id": p["id"], "changed": True})

    def do_Info(self, p):
        self.say(parameters={"version": "9.9", "limits": [{"name": "calls", "value": 8}]})


signal.signal(signal.SIGINT, signal.SIG_IGN)
listener = socket.socket(socket.AF_UNIX)
listener.bind(PATH)
listener.listen(64)


def lifeline(fd):
    hup = select.poll()
    hup.register(os.dup(fd), 0)  # POLLHUP is always told
    threading.Thread(target=Peer(socket.socket(fileno=fd)).serve, daemon=True).start()
    hup.poll()
    for c in live.values():
        c.kill()
    shutil.rmtree(given["--run-dir"])
    os._exit(0)


if given:
    threading.Thread(target=lifeline, args=(int(given["--lifeline"]),), daemon=True).start()
while True:
    threading.Thread(target=Peer(listener.accept()[0]).serve, daemon=True).start()
