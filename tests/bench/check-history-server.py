# A disk with a cache of its own: what was not flushed is gone when the process is killed. `lie` says in what it
# differs from an honest one.
import os

import nbdkit

API_VERSION = 2
SIZE = 1 << 20
BLOCK = 512
path = lie = None
image = -1
cache = {}  # of blocks, not stored yet
clean = set()  # of those, what counts as stored
before = {}  # what was in some of them before their last write
counts = {"reads": 0, "writes": 0}
handles = 0


def thread_model():
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def config(key, value):
    global path, lie
    if key == "file":
        path = value
    else:
        lie = value


def get_ready():
    global image
    image = os.open(path, os.O_RDWR)


def open(readonly):
    global handles
    handles += 1
    return handles


def can_multi_conn(handle):
    return True


def can_fua(handle):
    return nbdkit.FUA_NATIVE


def get_size(handle):
    return SIZE


def key_of(handle, number):
    return (handle if lie == "caches-apart" else 0, number)


def block(handle, number):
    stored = cache.get(key_of(handle, number))
    return stored if stored is not None else os.pread(image, BLOCK, number * BLOCK)


def pread(handle, buffer, offset, flags):
    counts["reads"] += 1
    for at in range(0, len(buffer), BLOCK):
        number = (offset + at) // BLOCK
        data = block(handle, number)
        if lie == "old-data" and counts["reads"] % 20 == 0:
            data = before.get(number, data)
        buffer[at:at + BLOCK] = data


def store(number, data):
    os.pwrite(image, data, number * BLOCK)


def pwrite(handle, buffer, offset, flags):
    counts["writes"] += 1
    if lie == "loses-writes" and counts["writes"] % 50 == 0:
        return
    for at in range(0, len(buffer), BLOCK):
        number = (offset + at) // BLOCK
        before[number] = block(handle, number)
        cache[key_of(handle, number)] = bytes(buffer[at:at + BLOCK])
        clean.discard(key_of(handle, number))
        if flags & nbdkit.FLAG_FUA and lie == "ignores-fua":
            clean.add(key_of(handle, number))
        elif flags & nbdkit.FLAG_FUA:
            store(number, cache.pop(key_of(handle, number)))


def flush(handle, flags):
    if lie == "forgets-flush":
        return
    for key in list(cache):
        if key not in clean:
            store(key[1], cache.pop(key))
