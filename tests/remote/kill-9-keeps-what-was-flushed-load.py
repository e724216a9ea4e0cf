import os
import random
import sys
from nbd_client import *

uri, done, progress = sys.argv[1:]
BLOCK, BLOCKS = 4096, 400
chance = random.Random(7)
writers, flusher = [Client(uri) for _ in range(3)], Client(uri)
maybe = [{0} for _ in range(BLOCKS)]     # the versions that each block may hold
version, failed, confirmed = 0, 0, 0


def content(block, number):
    return struct.pack(">II", block, number) * (BLOCK // 8)


def check(blocks):
    for block in blocks:
        data = flusher.read(block * BLOCK, BLOCK)
        found = struct.unpack(">II", data[:8])[1]
        if len(maybe[block]) > 1:
            continue    # never confirmed: it may even be torn
        if found not in maybe[block] or (found and data != content(block, found)):
            raise AssertionError(f"block {block} holds version {found}, not one of {sorted(maybe[block])}")


for block in range(BLOCKS):
    flusher.write(block * BLOCK, bytes(BLOCK), F_FUA)
while not os.path.exists(done):
    last = {}
    version += 1
    fua = F_FUA if chance.random() < 0.2 else 0
    for writer in writers:
        for block in chance.sample(range(writers.index(writer), BLOCKS, 3), 8):
            maybe[block].add(version)
            last[block] = version
            writer.send(CMD_WRITE, block * BLOCK, 0, fua, content(block, version))
    for writer in writers:
        for reply in writer.receive_all().values():
            reply.check()
    error = 0 if fua else flusher.error_of(CMD_FLUSH, 0, 0)
    failed += error != 0
    if not error:
        confirmed += 1
        open(progress, "w").write(f"{confirmed} {failed}\n")
        for block in last:
            maybe[block] = {version}
        check(last)     # now: soon it will have been overwritten
    # What was not confirmed before stays uncertain until it is written again.
check(range(BLOCKS))
print(f"{confirmed} batches confirmed, {failed} refused")
if failed < 1 or confirmed < 20:
    raise AssertionError("that proves little")
