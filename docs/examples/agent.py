#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An orchestrator's agent: makes what runs on this node equal to what is desired.  agent.py SOCKET FILE

FILE is JSON, replaced atomically: {"generation": 7, "containers": {"web": "/bundles/web", ...}}.  One connection
watches, one changes.  kapseld may die at any time: calls are repeated, which is harmless, and the watch goes on
from its cursor.  "converged 7" is printed when there is no difference to generation 7."""
import json, os, select, socket, sys, time


class Lost(Exception):
    """kapseld went away."""


class Refused(Exception):
    """kapseld answered with an error: .name and .fields say which."""

    def __init__(self, name, fields):
        super().__init__("%s %s: %s" % (name, fields.get("code"), fields.get("message")))
        self.name, self.fields = name.rpartition(".")[2], fields


class Connection:
    def __init__(self, path):
        end = time.monotonic() + 60
        while True:
            self.socket, self.data = socket.socket(socket.AF_UNIX), b""
            try:
                return self.socket.connect(path)
            except OSError as e:
                self.socket.close()
                if time.monotonic() > end:
                    raise Lost(str(e)) from e
                time.sleep(0.05)

    def send(self, method, parameters, more=False):
        message = {"method": "io.kapsel.Containers." + method, "parameters": parameters, "more": more}
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\0")
        except OSError as e:
            raise Lost(str(e)) from e

    def receive(self):
        while b"\0" not in self.data:
            try:
                piece = self.socket.recv(65536)
            except OSError as e:
                raise Lost(str(e)) from e
            if not piece:
                raise Lost("end of file")
            self.data += piece
        text, _, self.data = self.data.partition(b"\0")
        answer = json.loads(text)
        if "error" in answer:
            raise Refused(answer["error"], answer.get("parameters", {}))
        return answer["parameters"]

    def waits(self, seconds):
        """Is there something to receive within so long?"""
        return b"\0" in self.data or bool(select.select([self.socket], [], [], seconds)[0])


class Agent:
    def __init__(self, path, file):
        self.path, self.file = path, file
        self.actual, self.bundles = {}, {}  # id -> (uid, state); uid -> bundle
        self.cursor, self.fresh, self.snapshot = None, False, {}
        self.read, self.generation, self.desired, self.told = None, None, {}, None

    def connect(self):
        self.watch, self.calls = Connection(self.path), Connection(self.path)
        self.fresh = False
        self.watch.send("Watch", {"cursor": self.cursor} if self.cursor else {}, more=True)

    def call(self, method, **parameters):
        try:
            self.calls.send(method, parameters)
            return self.calls.receive()
        except Refused as e:
            if e.name not in ("NotFound", "WrongState", "AlreadyExists", "Busy"):
                print("agent: %s %s: %s" % (method, parameters["id"], e), file=sys.stderr)
            return None  # what is true comes by the watch; what is still different is tried again

    def see(self, p):
        """One answer of Watch."""
        if p.get("resync"):
            self.snapshot = {}
        for c in p.get("snapshot") or ():
            self.snapshot[c["id"]] = (c["uid"], c["state"])
            self.bundles[c["uid"]] = c["bundle"]
        for e in p.get("events") or ():
            if e["type"] == "removed" or e["type"] == "failed":
                self.actual.pop(e["id"], None)
                self.bundles.pop(e["uid"], None)
            elif e.get("id") and e.get("state"):
                self.actual[e["id"]] = (e["uid"], e["state"])
        if p.get("complete") and not self.fresh:
            if self.snapshot or p.get("resync") or self.cursor is None:
                self.actual, self.snapshot = self.snapshot, {}
            self.fresh = True
        self.cursor = p["cursor"]

    def load(self):
        stat = os.stat(self.file)
        if (stat.st_ino, stat.st_mtime_ns) != self.read:
            with open(self.file) as f:
                d = json.load(f)
            self.read, self.generation, self.desired = (stat.st_ino, stat.st_mtime_ns), d["generation"], d["containers"]

    def reconcile(self):
        """One pass; True: nothing was different."""
        different = 0
        for id, (uid, state) in list(self.actual.items()):
            wanted = self.desired.get(id)
            if wanted and uid not in self.bundles:
                got = self.call("Get", id=id, uid=uid)
                self.bundles[uid] = got["container"]["bundle"] if got else None
            if wanted != self.bundles.get(uid) or state in ("stopped", "failed"):
                different += 1  # the uid: never a stranger who has taken the id since
                self.call("Delete", id=id, uid=uid, force=True)
        for id, bundle in self.desired.items():
            uid, state = self.actual.get(id, (None, None))
            if uid is None or state == "created":
                different += 1
                self.call("Run", id=id, bundle=bundle, request="generation %d" % self.generation)
        return different == 0 and all(state == "running" for _, state in self.actual.values())

    def turn(self):
        while self.watch.waits(0 if self.fresh else 5):
            self.see(self.watch.receive())
        self.load()
        if self.fresh and self.reconcile() and self.told != self.generation:
            self.told = self.generation
            print("converged", self.told, flush=True)
        self.watch.waits(0.05)


def main():
    agent, connected = Agent(sys.argv[1], sys.argv[2]), False
    while True:
        try:
            connected = connected or agent.connect() or True
            agent.turn()
        except Lost:
            connected = False


if __name__ == "__main__":
    main()
