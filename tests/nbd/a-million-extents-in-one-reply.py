import os
import sys
from nbd_client import *

what, uri = sys.argv[1:3]
MOST = 1 << 20


def expected(stripe, offset, end):
    """Data and holes in turn."""
    extents = []
    while offset < end:
        following = min((offset // stripe + 1) * stripe, end)
        extents.append((following - offset, (STATE_HOLE | STATE_ZERO) * (offset // stripe % 2)))
        offset = following
    return extents


def check_whole(stripe):
    with Client(uri, extended=True) as client:
        extents = client.extents(0, client.size)
        if len(extents) < MOST or extents != expected(stripe, 0, sum(length for length, _ in extents)):
            raise AssertionError(f"{len(extents)} extents, or they are wrong")
        equal("the first one", client.extents(stripe, client.size - stripe, F_REQ_ONE), [(stripe, STATE_HOLE | STATE_ZERO)])
        equal("bytes in one reply", sum(length for length, _ in extents), client.size)
        client.disconnect()


def holes_of(path):
    """As the file system tells them."""
    extents = []
    with open(path, "rb") as file:
        at, end = 0, os.fstat(file.fileno()).st_size
        while at < end:
            try:
                data = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                data = end
            hole = os.lseek(file.fileno(), data, os.SEEK_HOLE) if data < end else end
            extents += [(data - at, STATE_HOLE | STATE_ZERO)] if data > at else []
            extents += [(hole - data, 0)] if hole > data else []
            at = hole
    return extents


if what == "whole":
    check_whole(int(sys.argv[3]))

if what == "islands":
    # Nothing between the file system and the server: its last byte is data, too.
    path, count = sys.argv[3], 5000
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        for i in range(count):
            os.pwrite(file.fileno(), b"x", i * (size // count))
        os.pwrite(file.fileno(), b"x", size - 1)
    expected = holes_of(path)
    equal("extents of the file", len(expected), 2 * count + 1)
    with Client(uri, extended=True) as client:
        equal("size", client.size, size)
        equal("extents in one reply", client.extents(0, size), expected)
        equal("the last byte", client.read(size - 1, 1), b"x")
        client.write(size - 4096, b"y" * 4096)
        equal("the last block", client.read(size - 4096, 4096), b"y" * 4096)
        client.disconnect()

if what == "of-a-remote":
    stripe = int(sys.argv[3])
    # It may stop earlier, where it has asked the other server for less, but goes on from there.
    with Client(uri, extended=True) as client:
        at, replies = 0, 0
        while at < client.size:
            extents = client.extents(at, client.size - at)
            told = sum(length for length, _ in extents)
            equal("extents", extents, expected(stripe, at, at + told))
            at += told
            replies += 1
        equal("replies", replies, 1)
        client.disconnect()

if what == "compact":
    stripe = int(sys.argv[3])
    with Client(uri) as client:
        length = MOST * stripe - stripe
        equal("extents", client.extents(0, length), expected(stripe, 0, length))
        client.disconnect()
    with Client(uri, extended=True) as client:
        length = (MOST + 5) * stripe
        equal("extents", client.extents(0, length), expected(stripe, 0, MOST * stripe))
        client.disconnect()

if what == "odd":
    stripe = int(sys.argv[3])
    with Client(uri, extended=True) as client:
        for offset in 1, stripe - 1, 5 * stripe + 4097:
            for length in 1, stripe, 9000 * stripe + 77:
                equal("extents", client.extents(offset, length), expected(stripe, offset, offset + length))
        client.disconnect()

if what == "by-many":
    def memory_kib():
        with open(f"/proc/{sys.argv[3]}/status") as status:
            return max(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

    before = memory_kib()
    clients = [Client(uri, extended=True) for _ in range(12)]
    others = [Client(uri, extended=True) for _ in range(4)]
    for client in clients:
        for _ in range(4):
            client.send(CMD_BLOCK_STATUS, 0, client.size)
    # The first ones take nothing, and some are gone when their replies have begun.
    for client in clients[:3]:
        client.receive_bytes(32)
    for client in clients[:6]:
        client.socket.close()
    for client in others:
        equal("data", client.read(1 << 30, 4096), bytes(4096))
    for client in clients[6:]:
        for _ in range(4):
            reply = client.receive_all() if client.outstanding else {}
            for one in reply.values():
                if len(one.check().extents) < 4095:
                    raise AssertionError(f"only {len(one.extents)} extents")
        client.disconnect()
    for client in others:
        client.disconnect()
    # A worker has 64 MiB of buffers for all, and there may be several.
    most = 80 * 1024 * len(os.sched_getaffinity(0))
    if memory_kib() - before > most:
        raise AssertionError(f"{memory_kib() - before} KiB more than before")
