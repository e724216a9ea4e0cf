"""The clients that put a job on a server and measure it.  Each returns the columns that it can fill:
elapsed_ns, requests, bytes, p50_ns, p99_ns, server_cpu_ns, client_cpu_ns."""
import json
import os
import resource
import subprocess
import sys
import time

from harness import tls
from harness.image import run
from harness.process import Failure, cpu_ns_of_tree

CLIENTS = ("nbdcrypt-bench", "fio")


class Load:
    """What is asked for beside the job: where, for how long."""

    def __init__(self, server, size_bytes, seconds, warm_up_s, source=None):
        self.server = server
        self.size_bytes = size_bytes
        self.seconds = seconds
        self.warm_up_s = warm_up_s
        self.source = source  # file for what nbdcopy writes
        self.bench = None  # path of nbdcrypt-bench


def _bench(load, job, seconds, warm_up_s):
    command = [
        load.bench,
        "--json",
        "--server-pid",
        str(load.server.pid),
        "--time",
        "%.3f" % seconds,
        "--block",
        str(job.block_bytes),
        "--write",
        str(job.write_percent),
        "--pattern",
        job.pattern,
        "--connections",
        str(job.connections),
        "--depth",
        str(job.depth),
    ]
    if warm_up_s > 0:
        command += ["--warm-up", "%.3f" % warm_up_s]
    return json.loads(run(command + [load.server.uri], timeout=seconds + warm_up_s + 120))


def run_nbdcrypt_bench(load, job):
    report = _bench(load, job, load.seconds, load.warm_up_s)
    total = report["total"]
    return {
        "elapsed_ns": report["elapsed_ns"],
        "requests": total["requests"],
        "bytes": total["bytes"],
        "p50_ns": total["latency_ns"]["p50"],
        "p99_ns": total["latency_ns"]["p99"],
        "server_cpu_ns": report["server_cpu"]["ns"],
        "client_cpu_ns": report["bench_cpu"]["ns"],
    }


def _warm_up(load, job):
    """nbdcrypt-bench has no TLS."""
    if load.warm_up_s > 0 and load.server.setup.endpoint.credentials is None:
        _bench(load, job._replace(depth=min(job.depth, 16)), load.warm_up_s, 0)


def _own_children_cpu_ns():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((used.ru_utime + used.ru_stime) * 1e9)


class _CpuTime:
    """Of the server and of the programs that were run meanwhile, for clients that do not measure by
    themselves: their connecting is in it."""

    def __init__(self, load):
        self.load = load
        self.client_ns = -_own_children_cpu_ns()
        self.server_ns = -cpu_ns_of_tree(load.server.pid)

    def columns(self):
        return {
            "server_cpu_ns": self.server_ns + cpu_ns_of_tree(self.load.server.pid),
            "client_cpu_ns": self.client_ns + _own_children_cpu_ns(),
        }


def run_fio(load, job):
    """fio's nbd engine has one connection for each of its jobs."""
    direction = {0: "read", 100: "write"}.get(job.write_percent, "rw")
    prefix = "rand" if job.pattern == "random" else ""
    _warm_up(load, job)
    cpu = _CpuTime(load)
    credentials = load.server.setup.endpoint.credentials
    uri = load.server.uri
    if credentials is not None:  # fio's engine takes no files from a URI: libnbd finds them in the home folder
        uri = "nbds+unix:///%s?socket=%s&tls-hostname=localhost" % (
            load.server.flavour.export,
            load.server.setup.endpoint.socket,
        )
    said = run(
        [
            "fio",
            "--name=job",
            "--ioengine=nbd",
            "--uri=" + uri,
            "--size=%d" % load.size_bytes,
            "--rw=" + prefix + direction,
            "--rwmixwrite=%d" % job.write_percent,
            "--bs=%d" % job.block_bytes,
            "--iodepth=%d" % job.depth,
            "--numjobs=%d" % job.connections,
            "--thread",
            "--group_reporting",
            "--time_based",
            "--runtime=%dms" % (load.seconds * 1000),
            "--output-format=json",
        ],
        timeout=load.seconds + 120,
        **(credentials.as_client() if credentials is not None else {"cwd": load.server.setup.folder})
    )
    columns = cpu.columns()
    result = json.loads(said[said.index("{\n") :])["jobs"][0]  # in front of it are notes
    sides = [result["read"], result["write"]]
    busier = max(
        sides, key=lambda side: side["total_ios"]
    )  # latencies of a mix are those of its larger part
    percentile = busier["clat_ns"].get("percentile", {})
    columns.update(
        {
            "elapsed_ns": max(side["runtime"] for side in sides) * 1_000_000,
            "requests": sum(side["total_ios"] for side in sides),
            "bytes": sum(side["io_bytes"] for side in sides),
            "p50_ns": percentile.get("50.000000"),
            "p99_ns": percentile.get("99.000000"),
        }
    )
    return columns


def run_nbdcopy(load, job):
    """Whole disks, until the time is over; at least one."""
    nbdcopy = ["nbdcopy", "--connections=%d" % job.connections]
    nbdcopy += [load.server.uri, "null:"] if job.copies == "read" else [load.source, load.server.uri]
    _warm_up(load, job)
    cpu = _CpuTime(load)
    began_ns = time.monotonic_ns()
    copied = elapsed_ns = 0
    while copied == 0 or elapsed_ns < load.seconds * 1e9:
        run(nbdcopy, timeout=600)
        copied += 1
        elapsed_ns = time.monotonic_ns() - began_ns
    columns = cpu.columns()
    size_bytes = copied * load.size_bytes
    columns.update(
        {"elapsed_ns": elapsed_ns, "requests": size_bytes // job.block_bytes, "bytes": size_bytes}
    )
    return columns


# ---- TLS handshakes ----

STORM_AT_A_TIME = 32


def _handshakes(load, at_a_time, seconds):
    endpoint = load.server.setup.endpoint
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "handshakes.py")
    return [
        sys.executable,
        program,
        endpoint.socket,
        endpoint.credentials.client,
        str(at_a_time),
        "%.3f" % seconds,
    ]


def run_handshakes(load, job):
    cpu = _CpuTime(load)
    said = json.loads(run(_handshakes(load, job.connections, load.seconds), timeout=load.seconds + 120))
    columns = cpu.columns()
    columns.update({"elapsed_ns": said["elapsed_ns"], "requests": said["handshakes"], "bytes": 0})
    return columns


def run_storm(load, job):
    """The clients that make the storm get only what CPU time nobody else wants: what is to be seen is what the
    server's part of the handshakes takes from another client."""
    calm = ["nice", "-n", "19"] + _handshakes(load, STORM_AT_A_TIME, load.seconds + 0.5)
    with subprocess.Popen(
        calm, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as storm:
        try:
            columns = run_fio(load, job)
            said = storm.communicate(timeout=120)[1]
        finally:
            storm.kill()
    if storm.returncode != 0:
        raise Failure("the storm ended: " + said.decode(errors="replace").strip())
    return columns


def client_of(job, client, transport):
    """(name, function) of the client that runs the job when `client` is asked for, or None: there is none.  Under
    TLS it is fio, which knows nothing of pre-shared keys."""
    if job.copies in ("handshakes", "storm"):
        return (job.copies, {"handshakes": run_handshakes, "storm": run_storm}[job.copies]) if (
            transport == tls.X509
        ) else None
    if job.copies is not None:
        return "nbdcopy", run_nbdcopy
    if transport in tls.TRANSPORTS:
        return ("fio", run_fio) if transport == tls.X509 else None
    return client, {"nbdcrypt-bench": run_nbdcrypt_bench, "fio": run_fio}[client]


def bench_beside(nbdcrypt):
    """nbdcrypt-bench is built, and installed, beside nbdcrypt."""
    return os.path.join(os.path.dirname(nbdcrypt), "nbdcrypt-bench")
