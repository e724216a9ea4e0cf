"""How costs grow: with the size of requests, with connections, with the size of the disk."""
import os

from harness import record
from harness.image import FORMAT_OPTIONS
from harness.job import Job, KIB
from harness.process import Failure
from harness.server import FLAVOURS, OURS, Server

SERVERS = ("nbdkit-file", "nbdcrypt-raw", "nbdcrypt-luks2-512", "nbdcrypt-luks2-4096")
PARTS = ("request-size", "connections", "idle", "image-size")

REQUEST_BYTES = [512 << shift for shift in range(0, 17, 2)]  # 512 B to 32 MiB
IN_FLIGHT_BYTES_MAX = 64 << 20
CONNECTIONS = (1, 4, 16, 64, 256, 1000)
IDLE_CONNECTIONS = (100, 1000, 10_000)
IMAGE_BYTES = [1 << shift for shift in range(20, 45, 4)]  # 1 MiB to 16 TiB

# A server that has threads for each connection would need a hundred thousand of them.
PEER_CONNECTIONS_MAX = 1000
PEER_IDLE_CONNECTIONS_MAX = 1000


def _request_size_jobs():
    for block_bytes in REQUEST_BYTES:
        depth = max(2, min(16, IN_FLIGHT_BYTES_MAX // block_bytes))
        for name, write_percent in (("request-size-read", 0), ("request-size-write", 100)):
            yield Job(name, "", block_bytes, write_percent, "random", 1, depth, None)


def _connection_jobs():
    for connections in CONNECTIONS:
        yield Job("connections", "", 4 * KIB, 0, "random", connections, 4, None)


def _measure_jobs(bench, flavours, jobs, round_number):
    for job in jobs:
        for flavour in flavours:
            if flavour.name not in OURS and job.connections > PEER_CONNECTIONS_MAX:
                continue
            what = "%s, %d bytes, %d connections" % (job.name, job.block_bytes, job.connections)
            columns = bench.attempt(
                flavour.name,
                what,
                lambda f=flavour, j=job: bench.measure_on_new_server(f, "cache", "unix", j),
            )
            if columns is not None:
                bench.writer.write(dict(columns, round=round_number))


def _measure_idle(bench, flavours, round_number):
    for count in IDLE_CONNECTIONS:
        for flavour in flavours:
            if flavour.name not in OURS and count > PEER_IDLE_CONNECTIONS_MAX:
                continue
            bench.attempt(
                flavour.name,
                "%d idle connections" % count,
                lambda f=flavour, n=count: bench.measure_idle(f, n, round_number),
            )


def _make_sparse(images, flavour, size_bytes):
    path = os.path.join(images.folder, "sparse.img")
    if os.path.exists(path):
        os.unlink(path)
    try:
        if flavour.image in FORMAT_OPTIONS:
            images.format(flavour.image, path, size_bytes)
        else:
            with open(path, "wb") as file:
                file.truncate(size_bytes)
    except OSError as error:
        raise Failure("%s: %s" % (path, error.strerror)) from error
    return path


def _measure_image(bench, flavour, size_bytes, round_number):
    """In tmpfs: file systems on disks have smaller limits.  It reads holes, or what they decrypt to."""
    job = Job("image-size", "", 4 * KIB, 0, "random", 1, 16, None)
    images = bench.images_of("tmpfs")
    path = _make_sparse(images, flavour, size_bytes)
    try:
        with Server(flavour, images.setup(flavour, "tmpfs", "unix", 16, path)) as server:
            columns = bench.measure(server, job)
    finally:
        os.unlink(path)
    bench.writer.write(record.derive(dict(columns, round=round_number, image_bytes=size_bytes)))


def _measure_images(bench, flavours, round_number):
    for size_bytes in IMAGE_BYTES:
        for flavour in flavours:
            bench.attempt(
                flavour.name,
                "a disk of %d MiB" % (size_bytes >> 20),
                lambda f=flavour, n=size_bytes: _measure_image(bench, f, n, round_number),
            )


def run(bench, parts):
    flavours = bench.usable(bench.options.servers, "cache", "unix")
    bench.say("preparing images of %d MiB" % (bench.options.size >> 20))
    flavours = bench.prepare(flavours, "cache", "unix")
    for number in range(1, bench.options.rounds + 1):
        if "request-size" in parts:
            _measure_jobs(bench, flavours, list(_request_size_jobs()), number)
        if "connections" in parts:
            _measure_jobs(bench, flavours, list(_connection_jobs()), number)
        if "idle" in parts:
            _measure_idle(bench, flavours, number)
        if "image-size" in parts:
            _measure_images(bench, flavours, number)
        bench.say("round %d of %d done" % (number, bench.options.rounds))
