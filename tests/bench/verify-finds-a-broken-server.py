import nbdkit

API_VERSION = 2
disk = bytearray(1 << 20)
bad = None
writes = 0


def thread_model():
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def config(key, value):
    global bad
    bad = value


def open(readonly):
    return 1


def get_size(handle):
    return len(disk)


def pread(handle, buffer, offset, flags):
    buffer[:] = disk[offset:offset + len(buffer)]


def pwrite(handle, buffer, offset, flags):
    global writes
    writes += 1
    data = bytes(buffer)
    if writes % 10 == 0 and bad == "lost":
        return
    if writes % 10 == 0 and bad == "torn":
        data = data[:1024]
    if writes % 10 == 0 and bad == "misplaced" and offset >= 65536:
        offset -= 65536
    if writes % 10 == 0 and bad == "changed":
        data = data.replace(b"A", b"B")
    disk[offset:offset + len(data)] = data
