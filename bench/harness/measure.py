"""Runs jobs against servers: alternately, each time on a server that was just started."""
import sys
import time

from harness import idle, record, server as servers
from harness.client import Load, bench_beside, client_of
from harness.image import Images, write_back
from harness.process import Failure, PeakMemory
from harness.server import FLAVOURS, OURS, Server

CONNECTIONS_MAX = 16
HANDSHAKE_CONNECTIONS_MAX = 256  # those that have just gone away count for a moment


class Bench:
    """What all measurements of a run share.  Close it, whatever happens: servers and images are gone then."""

    def __init__(self, options, writer):
        self.options = options
        self.writer = writer
        self.images = {}
        self.failed_ours = False

    def images_of(self, storage):
        """tmpfs has images of its own."""
        parent = "/dev/shm" if storage == "tmpfs" else self.options.dir
        if parent not in self.images:
            self.images[parent] = Images(parent, self.options.size, self.options.nbdcrypt)
        return self.images[parent]

    def close(self):
        for images in self.images.values():
            images.close()

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def attempt(self, name, what, function):
        """A measurement that fails is told and left out; one of ours makes the run fail in the end."""
        try:
            return function()
        except Failure as failure:
            self.say("left out: %s, %s: %s" % (name, what, failure))
            self.failed_ours = self.failed_ours or name in OURS
            return None

    # ---- one ----

    def measure(self, server, job, client="nbdcrypt-bench"):
        """The columns of one measurement."""
        options = self.options
        images = self.images_of(server.setup.storage)
        load = Load(server, images.size_bytes, options.seconds, options.warm_up)
        load.bench = bench_beside(options.nbdcrypt)
        if job.copies == "write":
            load.source = images.path("source")
        name, function = client_of(job, client, server.setup.endpoint.transport)
        with PeakMemory(server.pid, server.flavour.forks) as memory:
            columns = function(load, job)
        columns.update(
            {
                "server": server.flavour.name,
                "job": job.name,
                "client": name,
                "storage": server.setup.storage,
                "transport": server.setup.endpoint.transport,
                "image_bytes": images.size_bytes,
                "block_bytes": job.block_bytes,
                "write_percent": job.write_percent,
                "pattern": job.pattern,
                "connections": job.connections,
                "depth": job.depth,
                "server_peak_kib": memory.peak_kib,
                "start_ns": server.start_ns,
            }
        )
        return record.derive(columns)

    def measure_on_new_server(self, flavour, storage, transport, job, client="nbdcrypt-bench"):
        images = self.images_of(storage)
        connections_max = max(CONNECTIONS_MAX, job.connections + 1)
        if job.copies in ("handshakes", "storm"):
            connections_max = HANDSHAKE_CONNECTIONS_MAX
        setup = images.setup(flavour, storage, transport, connections_max)
        with Server(flavour, setup) as server:
            columns = self.measure(server, job, client)
        if job.write_percent > 0 and storage == "cache":
            write_back(setup.image)
        return columns

    def measure_idle(self, flavour, count, round_number, transport="unix"):
        """Writes a row about `count` idle connections, or as many as are allowed."""
        allowed = idle.most_connections(count)
        if allowed < count:
            self.say("only %d idle connections: no more files may be open (ulimit -n)" % allowed)
        images = self.images_of("cache")
        with Server(flavour, images.setup(flavour, "cache", transport, allowed + CONNECTIONS_MAX)) as server:
            columns = idle.measure(server, allowed)
        columns.update(
            {
                "round": round_number,
                "server": flavour.name,
                "job": "idle",
                "storage": "cache",
                "transport": transport,
                "client": "idle",
                "image_bytes": images.size_bytes,
            }
        )
        self.writer.write(columns)

    # ---- all ----

    def usable(self, names, storage, transport):
        """The flavours that can be measured there; says why the others can't."""
        found = []
        for name in names:
            reason = servers.why_not(FLAVOURS[name], storage, transport)
            if reason is None:
                found.append(FLAVOURS[name])
            else:
                self.say("left out: %s: %s" % (name, reason))
        return found

    def prepare(self, flavours, storage, transport):
        """Makes the images, and takes each server's word that it serves what is in them."""
        good = []
        for flavour in flavours:

            def serves_the_disk(flavour=flavour):
                images = self.images_of(storage)
                with Server(flavour, images.setup(flavour, storage, transport, CONNECTIONS_MAX)) as server:
                    images.expect_content(server)
                return True

            if self.attempt(flavour.name, "preparing", serves_the_disk):
                good.append(flavour)
        return good


def run_jobs(bench, jobs):
    """Every round runs every job on every server, one server after the other: a slow minute of the machine
    hits all, and nobody is always the first."""
    options = bench.options
    places = [(storage, transport) for storage in options.storage for transport in options.transport]
    bench.say("preparing images of %d MiB" % (options.size >> 20))
    flavours = {place: bench.prepare(bench.usable(options.servers, *place), *place) for place in places}
    began = time.monotonic()
    for number in range(1, options.rounds + 1):
        for place in places:
            ordered = flavours[place] if number % 2 else flavours[place][::-1]
            for job in jobs:
                if client_of(job, options.client, place[1]) is None:
                    continue
                for flavour in ordered:
                    columns = bench.attempt(
                        flavour.name,
                        job.name,
                        lambda f=flavour, j=job, p=place: bench.measure_on_new_server(
                            f, *p, j, options.client
                        ),
                    )
                    if columns is not None:
                        bench.writer.write(dict(columns, round=number))
        bench.say("round %d of %d done, %d s" % (number, options.rounds, time.monotonic() - began))
