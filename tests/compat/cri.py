#!/usr/bin/python3
"""cri.py SOCKET DIRECTORY first|second: what the kubelet and crictl ask of containerd's CRI plugin

The description of the messages is in containerd itself: Go programs carry it along. "second" is after a restart of
containerd. Streams (exec and attach with a terminal, port-forward) are not among it: they need SPDY.
"""
import json, mmap, os, re, subprocess, sys, time, zlib
import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

SOCKET, DIR, PART = sys.argv[1:4]
NEWEST = "runtime.v1"


def description(program):
    with open(program, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        for at in re.finditer(rb"\x1f\x8b\x08", m):
            try:
                text = zlib.decompressobj(31).decompress(m[at.start():at.start() + (1 << 18)])
                f = descriptor_pb2.FileDescriptorProto.FromString(text)
            except Exception:  # not the beginning of one
                continue
            if f.name == "api.proto" and f.package == NEWEST:
                del f.dependency[:]  # options for Go's compiler only
                f.ClearField("options")
                return f
    print("NOT OK - containerd carries the description of CRI along")
    sys.exit(0)


POOL = descriptor_pool.DescriptorPool()
FILE = description("/usr/bin/containerd")
POOL.Add(FILE)
METHODS = {m.name: (s.name, m) for s in FILE.service for m in s.method}
CHANNEL = grpc.insecure_channel(f"unix://{SOCKET}")


def message(name):
    return message_factory.MessageFactory(POOL).GetPrototype(POOL.FindMessageTypeByName(name.lstrip(".")))


def ask(method, request=None, seconds=60):
    service, m = METHODS[method]
    call = CHANNEL.unary_unary(f"/{NEWEST}.{service}/{method}", request_serializer=lambda r: r.SerializeToString(),
                               response_deserializer=message(m.output_type).FromString)
    answer = call(json_format.ParseDict(request or {}, message(m.input_type)()), timeout=seconds, wait_for_ready=True)
    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def refused(method, request):
    try:
        return repr(ask(method, request))
    except grpc.RpcError as e:
        return e.details()


def ok(text, good, found=""):
    print(f"ok - {text}" if good else f"NOT OK - {text}: {str(found)[:500]!r}", flush=True)


def equal(text, found, wanted):
    ok(text, found == wanted, f"{found}, not {wanted}")


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError as e:
        return str(e)


IMAGE = {"image": "localhost/compat:1"}


def pod(name, **change):
    linux = {"cgroup_parent": f"/kubepods/besteffort/pod-{name}", "security_context": {"namespace_options": {"pid": 1}}}
    linux["security_context"].update(change.pop("security", {}))
    os.makedirs(f"{DIR}/log/{name}", exist_ok=True)
    return dict({"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "attempt": 0}, "hostname": name,
                 "log_directory": f"{DIR}/log/{name}", "linux": linux, "labels": {"app": name}}, **change)


def container(name, *command, security=None, resources=None, **change):
    return dict({"metadata": {"name": name, "attempt": 0}, "image": IMAGE, "command": list(command), "log_path":
                 f"{name}.log", "linux": {"resources": resources or {}, "security_context": security or {}}}, **change)


def start(sandbox, config, c):
    id = ask("CreateContainer", {"pod_sandbox_id": sandbox, "config": c, "sandbox_config": config})["container_id"]
    ask("StartContainer", {"container_id": id})
    return id


def status(id):
    return ask("ContainerStatus", {"container_id": id})["status"]


def is_state(id, state):
    return until(lambda: status(id)["state"] == state)


def run(id, *cmd, **more):
    got = ask("ExecSync", dict({"container_id": id, "cmd": list(cmd), "timeout": 30}, **more))
    import base64
    text = {k: base64.b64decode(got.get(k, "")).decode() for k in ("stdout", "stderr")}
    return got.get("exit_code", 0), text["stdout"], text["stderr"]


def pid(id):
    info = ask("ContainerStatus", {"container_id": id, "verbose": True})["info"]["info"]
    return json.loads(info)["pid"]


def of_cgroup(pid, controller, file):
    line = re.search(rf"^\d+:{controller}:(.*)$", read(f"/proc/{pid}/cgroup"), re.M)
    return read(f"/sys/fs/cgroup/{controller}{line[1]}/{file}").strip() if line else "no such controller"


def first():
    equal("Version", ask("Version")["runtime_name"], "containerd")
    ready = until(lambda: all(c.get("status") for c in ask("Status")["status"]["conditions"]))
    ok("Status: the runtime and the network are ready", ready, ask("Status"))
    ok("the image is there", until(lambda: "image" in ask("ImageStatus", {"image": IMAGE})))

    config = pod("one", linux={"cgroup_parent": "/kubepods/besteffort/pod-one", "sysctls": {
        "net.ipv4.ip_unprivileged_port_start": "0"}}, port_mappings=[], dns_config={"servers": ["10.9.9.9"]})
    sandbox = ask("RunPodSandbox", {"config": config, "runtime_handler": "kapsel"})["pod_sandbox_id"]
    s = ask("PodSandboxStatus", {"pod_sandbox_id": sandbox, "verbose": True})
    equal("RunPodSandbox: ready", s["status"].get("state", "SANDBOX_READY"), "SANDBOX_READY")
    address = s["status"]["network"].get("ip", "")
    ok("it has an address", address.startswith("10.89."), address)
    pause = json.loads(s["info"]["info"])["pid"]
    at = re.search(r":pids:(.*)", read(f"/proc/{pause}/cgroup"))[1]
    equal("its cgroup is where the kubelet looks", at, f"/kubepods/besteffort/pod-one/{sandbox}")

    with open(f"{DIR}/volume/file", "w") as f:
        f.write("from the node")
    script = "trap 'echo ending; exit 3' TERM; echo begun; echo aside >&2; while :; do sleep 0.1; done"
    app = start(sandbox, config, container(
        "app", "sh", "-c", script, envs=[{"key": "A", "value": "b c"}], working_dir="/tmp",
        mounts=[{"container_path": "/data", "host_path": f"{DIR}/volume", "readonly": True},
                {"container_path": "/shared", "host_path": f"{DIR}/volume", "propagation": "PROPAGATION_HOST_TO_CONTAINER"}],
        resources={"memory_limit_in_bytes": 64 << 20, "cpu_period": 100000, "cpu_quota": 50000, "cpu_shares": 512,
                   "oom_score_adj": 900},
        security={"run_as_user": {"value": 1000}, "run_as_group": {"value": 1000}, "supplemental_groups": [1234],
                  "readonly_rootfs": True, "no_new_privs": True, "capabilities": {"drop_capabilities": ["ALL"],
                  "add_capabilities": ["NET_BIND_SERVICE"]}, "masked_paths": ["/proc/kcore", "/proc/keys"],
                  "readonly_paths": ["/proc/sys"], "seccomp": {"profile_type": "RuntimeDefault"},
                  "namespace_options": {"pid": 1}}))
    ok("StartContainer: running", is_state(app, "CONTAINER_RUNNING"), status(app))
    log = f"{DIR}/log/one/app.log"
    ok("its log, in the CRI's form", until(lambda: re.search(r"^20\S+Z stdout F begun$", read(log), re.M) and
                                            re.search(r"^20\S+Z stderr F aside$", read(log), re.M)), read(log))
    p = pid(app)
    equal("its cgroup", re.search(r":pids:(.*)", read(f"/proc/{p}/cgroup"))[1], f"/kubepods/besteffort/pod-one/{app}")
    equal("memory limit", of_cgroup(p, "memory", "memory.limit_in_bytes"), str(64 << 20))
    equal("cpu quota, shares", (of_cgroup(p, "cpu", "cpu.cfs_quota_us"), of_cgroup(p, "cpu", "cpu.shares")), ("50000", "512"))
    equal("oom_score_adj", read(f"/proc/{p}/oom_score_adj").strip(), "900")
    equal("ExecSync: stdout, stderr, status", run(app, "sh", "-c", "echo $A; echo err >&2; exit 5"), (5, "b c\n", "err\n"))
    equal("ExecSync: user, groups", run(app, "id"), (0, "uid=1000(user) gid=1000(user) groups=1000(user),1234\n", ""))
    equal("ExecSync: directory", run(app, "pwd")[1], "/tmp\n")
    equal("the pod's name", run(app, "hostname")[1], "one\n")
    equal("the pod's network", os.readlink(f"/proc/{p}/ns/net"), os.readlink(f"/proc/{pause}/ns/net"))
    ok("the pod's resolv.conf", "10.9.9.9" in run(app, "cat", "/etc/resolv.conf")[1])
    equal("the pod's sysctl", run(app, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start")[1], "0\n")
    equal("a volume", run(app, "cat", "/data/file")[1], "from the node")
    os.mkdir(f"{DIR}/volume/sub")
    subprocess.run(["mount", "-t", "tmpfs", "late", f"{DIR}/volume/sub"], check=True)
    ok("what is mounted on the node later is seen, where that was asked for", "late" in run(
        app, "grep", "/shared/sub", "/proc/mounts")[1] and not run(app, "grep", "/data/sub", "/proc/mounts")[1])
    subprocess.run(["umount", f"{DIR}/volume/sub"], check=True)
    ok("it is read-only, and so is the root", run(app, "sh", "-c", "touch /data/x; touch /x")[2].count("Read-only") == 2)
    text = run(app, "cat", "/proc/self/status")[1]
    equal("capabilities, no_new_privs, seccomp", re.findall(r"^(?:CapBnd|NoNewPrivs|Seccomp):\s+(\w+)$", text, re.M),
          ["0000000000000400", "1", "2"])
    ok("a masked path", run(app, "cat", "/proc/keys")[1] == "")
    ok("ExecSync of what is not there", "no such file or directory" in (e := refused("ExecSync", {
        "container_id": app, "cmd": ["/bin/none"], "timeout": 30})), e)
    ok("ExecSync with a timeout", re.search("timeout|deadline", e := refused("ExecSync", {
        "container_id": app, "cmd": ["sleep", "990"], "timeout": 1})), e)
    ok("and what it began is gone", until(lambda: b"sleep\x00990" not in subprocess.run(
        "cat /proc/[0-9]*/cmdline", shell=True, capture_output=True).stdout))
    equal("twenty probes", [run(app, "true")[0] for _ in range(20)], [0] * 20)
    ask("UpdateContainerResources", {"container_id": app, "linux": {"memory_limit_in_bytes": 96 << 20, "cpu_quota": 70000,
                                                                  "cpu_period": 100000, "cpu_shares": 300}})
    equal("UpdateContainerResources", (of_cgroup(p, "memory", "memory.limit_in_bytes"), of_cgroup(p, "cpu", "cpu.cfs_quota_us"),
                                       of_cgroup(p, "cpu", "cpu.shares")), (str(96 << 20), "70000", "300"))
    s = ask("ContainerStats", {"container_id": app})["stats"]
    ok("ContainerStats", int(s["memory"]["working_set_bytes"]["value"]) > 0 and
       int(s["cpu"]["usage_core_nano_seconds"]["value"]) > 0, s)
    ok("ListContainerStats", len(ask("ListContainerStats").get("stats", [])) == 1)
    os.rename(log, log + ".1")
    ask("ReopenContainerLog", {"container_id": app})
    ask("StopContainer", {"container_id": app, "timeout": 20})
    s = status(app)
    equal("StopContainer: SIGTERM, its status", (s["state"], s.get("exit_code"), s.get("reason")), (
        "CONTAINER_EXITED", 3, "Error"))
    ok("ReopenContainerLog", "ending" in read(log), read(log))
    ask("RemoveContainer", {"container_id": app})
    ok("RemoveContainer", not ask("ListContainers").get("containers"), ask("ListContainers"))

    deaf = start(sandbox, config, container("deaf", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"))
    ask("StopContainer", {"container_id": deaf, "timeout": 1})
    equal("StopContainer: deaf to SIGTERM", status(deaf).get("exit_code"), 137)
    done = start(sandbox, config, container("done", "true"))
    ok("one that ends", is_state(done, "CONTAINER_EXITED") and status(done).get("reason") == "Completed", status(done))
    oom = start(sandbox, config, container("oom", "sh", "-c", "exec tail /dev/zero", resources={
        "memory_limit_in_bytes": 16 << 20}))
    ok("out of memory", is_state(oom, "CONTAINER_EXITED") and until(lambda: status(oom).get("reason") == "OOMKilled") and
       status(oom)["exit_code"] == 137, status(oom))
    bad = ask("CreateContainer", {"pod_sandbox_id": sandbox, "config": container("bad", "nothing"),
                                  "sandbox_config": config})["container_id"]
    ok("StartContainer of what is not there", 'exec: "nothing": executable file not found in $PATH' in (
        e := refused("StartContainer", {"container_id": bad})), e)
    equal("its status says so", (status(bad)["state"], status(bad).get("reason")), ("CONTAINER_EXITED", "StartError"))
    tty = start(sandbox, config, container("tty", "sh", "-c", "test -t 1 && echo terminal", tty=True))
    ok("a terminal", is_state(tty, "CONTAINER_EXITED") and "terminal" in read(f"{DIR}/log/one/tty.log"), status(tty))
    root = start(sandbox, config, container("root", "sh", "-c", "mount -t tmpfs t /tmp && exec sleep 989"))
    ok("no rights to mount", is_state(root, "CONTAINER_EXITED"), status(root))
    for id in (deaf, done, oom, bad, tty, root):
        ask("RemoveContainer", {"container_id": id})
    ask("StopPodSandbox", {"pod_sandbox_id": sandbox})
    ok("StopPodSandbox", ask("PodSandboxStatus", {"pod_sandbox_id": sandbox})["status"]["state"] == "SANDBOX_NOTREADY")
    ask("RemovePodSandbox", {"pod_sandbox_id": sandbox})
    ok("RemovePodSandbox", not ask("ListPodSandbox").get("items"))

    # one pid namespace for the pod, and the node's network
    config = pod("two", hostname="", security={"namespace_options": {"network": "NODE", "pid": "POD"}})
    sandbox = ask("RunPodSandbox", {"config": config, "runtime_handler": "kapsel"})["pod_sandbox_id"]
    a = start(sandbox, config, container("a", "sleep", "988", security={"namespace_options": {"network": "NODE", "pid": "POD"}}))
    b = start(sandbox, config, container("b", "sh", "-c", "sleep 987 & sleep 986",
                                         security={"namespace_options": {"network": "NODE", "pid": "POD"}}))
    ok("a pod of one pid namespace", "sleep 988" in run(b, "ps")[1], run(b, "ps"))
    equal("the node's network", os.readlink(f"/proc/{pid(a)}/ns/net"), os.readlink("/proc/self/ns/net"))
    privileged = dict(config)
    privileged["linux"] = dict(config["linux"], security_context={"privileged": True, "namespace_options": {
        "network": "NODE", "pid": "POD"}})
    ask("StopContainer", {"container_id": b, "timeout": 0})
    ok("its end takes all of it", until(lambda: "sleep 987" not in run(a, "ps")[1]), run(a, "ps"))
    ask("StopPodSandbox", {"pod_sandbox_id": sandbox})
    ask("RemovePodSandbox", {"pod_sandbox_id": sandbox})
    sandbox = ask("RunPodSandbox", {"config": privileged, "runtime_handler": "kapsel"})["pod_sandbox_id"]
    c = start(sandbox, privileged, container("c", "sleep", "985", security=privileged["linux"]["security_context"]))
    equal("privileged", run(c, "sh", "-c", "mount -t tmpfs t /tmp && echo mounted")[1], "mounted\n")
    ask("StopPodSandbox", {"pod_sandbox_id": sandbox})
    ask("RemovePodSandbox", {"pod_sandbox_id": sandbox})

    # what is there when containerd is restarted
    config = pod("three")
    sandbox = ask("RunPodSandbox", {"config": config, "runtime_handler": "kapsel"})["pod_sandbox_id"]
    start(sandbox, config, container("stays", "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done"))
    start(sandbox, config, container("ends", "sh", "-c", "sleep 2; exit 8"))
    with open(f"{DIR}/three", "w") as f:
        f.write(sandbox)


def second():
    sandbox = read(f"{DIR}/three")
    ids = {c["metadata"]["name"]: c["id"] for c in ask("ListContainers").get("containers", [])}
    equal("after a restart: both are known", sorted(ids), ["ends", "stays"])
    equal("after a restart: running", status(ids["stays"])["state"], "CONTAINER_RUNNING")
    equal("after a restart: exec", run(ids["stays"], "echo", "still"), (0, "still\n", ""))
    ok("what ended meanwhile has its status", is_state(ids["ends"], "CONTAINER_EXITED") and
       status(ids["ends"]).get("exit_code") == 8, status(ids["ends"]))
    ask("StopContainer", {"container_id": ids["stays"], "timeout": 20})
    equal("after a restart: StopContainer", status(ids["stays"]).get("exit_code"), 9)
    ask("StopPodSandbox", {"pod_sandbox_id": sandbox})
    ask("RemovePodSandbox", {"pod_sandbox_id": sandbox})
    ok("nothing is listed any more", not ask("ListContainers").get("containers") and not ask("ListPodSandbox").get("items"))


try:
    {"first": first, "second": second}[PART]()
except Exception as e:
    line = sys.exc_info()[2].tb_next.tb_lineno
    ok(f"the calls come to their end ({PART})", False, f"line {line}: {e.details() if isinstance(e, grpc.RpcError) else repr(e)}")
else:
    ok(f"the calls come to their end ({PART})", True)
