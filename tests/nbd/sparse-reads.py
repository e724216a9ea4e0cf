import sys
from nbd_client import *

uri, what = sys.argv[1:3]
KIB, MIB = 1 << 10, 1 << 20
DATA, HOLE = CHUNK_OFFSET_DATA, CHUNK_OFFSET_HOLE
disk = bytearray(64 * MIB)


def read(client, offset, length, flags=0):
    """The kinds of chunks that it was answered with."""
    reply = client.call(CMD_READ, offset, length, flags).check()
    equal(f"{length} bytes at {offset}", reply.data, bytes(disk[offset:offset + length]))
    return {kind for kind, _ in reply.chunks} - {CHUNK_NONE}


def write(client, offset, length, byte=b"d"):
    client.write(offset, byte * length)
    disk[offset:offset + length] = byte * length


if what == "holes":
    for client in all_styles(uri)[1:]:
        disk[:] = bytes(len(disk))
        client.write_zeroes(0, client.size)
        for length in 64 * KIB, 256 * KIB, MIB, 32 * MIB:
            for offset in 0, 4096, 31 * MIB + 5:
                equal(f"hole of {length} bytes at {offset}", read(client, offset, length), {HOLE})
        equal("a short read", read(client, 0, 4096), {DATA})
        equal("with DF", read(client, 0, 128 * KIB, F_DF), {DATA})
        write(client, MIB, 256 * KIB)
        write(client, 8 * MIB + 512, 4096, b"x")
        equal("data", read(client, MIB, 256 * KIB), {DATA})
        equal("with data in it", read(client, 0, 4 * MIB), {DATA, HOLE})
        equal("with DF", read(client, MIB - 64 * KIB, 128 * KIB, F_DF), {DATA})
        equal("with a little data in it", read(client, 8 * MIB, MIB), {DATA, HOLE})
        for offset in range(MIB - 300 * KIB, MIB + 300 * KIB, 77777):
            for length in 64 * KIB, 99999, 700 * KIB + 1, 12 * MIB:
                read(client, offset, length)
        reply = client.call(CMD_READ, 0, 32 * MIB).check()
        sent = sum(length for kind, length in reply.chunks if kind == DATA)
        if sent > MIB:
            raise AssertionError(f"{sent} bytes for {260 * KIB} bytes of data")
        # Many at once.
        cookies = {client.send(CMD_READ, i * MIB, MIB): i for i in range(64)}
        for cookie, reply in client.receive_all().items():
            at = cookies[cookie] * MIB
            equal("data", reply.check().data, bytes(disk[at:at + MIB]))
        client.disconnect()
    client = Client(uri, structured=False)
    equal("simple", client.read(0, 4 * MIB), bytes(disk[:4 * MIB]))
    client.disconnect()

if what == "none":
    client = Client(uri)
    first = client.call(CMD_READ, 0, MIB).check()
    equal("chunks", {kind for kind, _ in first.chunks} - {CHUNK_NONE}, {DATA})
    if first.data == bytes(MIB):
        raise AssertionError("a hole reads as zeros")
    client.disconnect()

if what == "writers":
    # Each block is a hole when the look before it was answered.
    with Client(uri) as reader, Client(uri) as writer:
        writer.write_zeroes(0, writer.size)
        for at in range(0, 32 * MIB, 64 * KIB):
            before = reader.send(CMD_READ, at, 128 * KIB)
            writer.write(at, b"w" * 64 * KIB)
            data = reader.receive().check().data
            if data[:64 * KIB].strip(b"w").strip(b"\0") or data[64 * KIB:].strip(b"\0"):
                raise AssertionError("neither what was there nor what was written")
            equal("what was written", reader.read(at, 64 * KIB), b"w" * 64 * KIB)
        reader.disconnect()
        writer.disconnect()

if what == "shorter":
    with Client(uri) as client:
        for length in 4096, 64 * KIB, MIB:
            equal("error of a read beyond the new end", client.error_of(CMD_READ, 40 * MIB, length), EIO)
            equal("error of a read across it", client.error_of(CMD_READ, 32 * MIB - 4096, length + 4096), EIO)
        equal("block status", client.extents(32 * MIB, 32 * MIB), [(32 * MIB, 0)])
        client.disconnect()
