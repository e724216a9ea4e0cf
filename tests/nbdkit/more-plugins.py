import nbdkit

API_VERSION = 2
disk = bytearray(1 << 20)


def open(readonly):
    return {"writes": 0}


def get_size(handle):
    return len(disk)


def pread(handle, buffer, offset, flags):
    if offset == 4096 and len(buffer) == 512 and handle["writes"] > 0:
        nbdkit.set_error(28)
        raise RuntimeError("owls in sector 8")
    buffer[:] = disk[offset:offset + len(buffer)]


def pwrite(handle, buffer, offset, flags):
    handle["writes"] += 1
    disk[offset:offset + len(buffer)] = buffer


def flush(handle, flags):
    pass
