"""Asks through nbdcrypt, in all ways that there are, what NAME=FILE says: lines of START LENGTH FLAGS for each context."""
import struct
import sys
from nbd_client import *

uri, *maps = sys.argv[1:]
MIB = 1 << 20
expected = {}
for word in maps:
    name, _, path = word.partition("=")
    expected[name] = [tuple(int(number) for number in line.split()[:3]) for line in open(path)]


def part_of(extents, start, length):
    """What is in that range."""
    end, result = start + length, []
    for at, size, flags in extents:
        low, high = max(at, start), min(at + size, end)
        if low < high:
            result.append((high - low, flags))
    return result


def up_to(extents, length):
    """A server may tell of more than it was asked for."""
    result, at = [], 0
    for size, flags in extents:
        if at < length:
            result.append((min(size, length - at), flags))
        at += size
    return result


RANGES = ((0, 64 * MIB), (8 * MIB, 64 * 1024), (8 * MIB + 1, 65535), (7 * MIB + 513, 3 * MIB), (63 * MIB + 4095, 7))
for extended in (False, True):
    client = Client(uri, contexts=tuple(expected), extended=extended)
    equal("contexts", sorted(client.contexts), sorted(expected))
    for start, length in RANGES:
        told = client.call(CMD_BLOCK_STATUS, start, length).check().by_context
        one = client.call(CMD_BLOCK_STATUS, start, length, F_REQ_ONE).check().by_context
        for name in expected:
            right = part_of(expected[name], start, length)
            equal(f"{name} of {length} bytes at {start}", up_to(told[name], length), right)
            equal(f"{name}, the first one at {start}", one[name], right[:1])
    # Many at once, and other commands between them.
    for start, length in RANGES * 20:
        client.send(CMD_BLOCK_STATUS, start, length)
        client.send(CMD_READ, start, 512 if length > 512 else length)
    for reply in client.receive_all().values():
        reply.check()

# The payload of a BLOCK_STATUS: any of them, and nothing else.
names = list(expected)
for count in range(1, len(names) + 1):
    wanted = names[-count:]
    payload = struct.pack(f">Q{count}I", MIB, *(client.contexts[name] for name in wanted))
    told = client.call(CMD_BLOCK_STATUS, 8 * MIB, len(payload), F_PAYLOAD_LEN, payload).check().by_context
    equal("contexts that were told", sorted(told), sorted(wanted))
    for name in wanted:
        equal(f"{name} by number", up_to(told[name], MIB), part_of(expected[name], 8 * MIB, MIB))
known = client.contexts[names[0]]
for wrong in ((99,), (known, known), (known, 0), (0xffffffff,), tuple(range(1, 18)), (known,) * 16):
    payload = struct.pack(f">Q{len(wrong)}I", MIB, *wrong)
    equal(f"error of {wrong}", client.error_of(CMD_BLOCK_STATUS, 0, len(payload), F_PAYLOAD_LEN, payload), EINVAL)
client.disconnect()
