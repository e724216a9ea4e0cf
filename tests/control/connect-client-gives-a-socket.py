import fcntl
import os
import socket
import struct
import sys
import termios
import time

from varlink_client import Connection, Error

path, image, pid = sys.argv[1:]


def exactly(client, count):
    data = b""
    while len(data) < count:
        part = client.recv(count - len(data))
        assert part, "the connection has ended"
        data += part
    return data


def descriptors():
    return len(os.listdir(f"/proc/{pid}/fd"))


control = Connection(path)
at_first = None
for _ in range(20):
    assert control.call("ConnectClient", {"export": "mine"}) == {"fd": 0}
    client = socket.socket(fileno=control.fds.pop())
    assert exactly(client, 16) == b"NBDMAGICIHAVEOPT"
    exactly(client, 2)
    client.sendall(struct.pack(">I", 3) + struct.pack(">8sII", b"IHAVEOPT", 1, 4) + b"mine")  # EXPORT_NAME
    size, _ = struct.unpack(">QH", exactly(client, 10))
    assert size == 1 << 20, size
    client.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 7, 4096, 8192))  # READ
    magic, error, handle = struct.unpack(">IIQ", exactly(client, 16))
    assert (magic, error, handle) == (0x67446698, 0, 7)
    with open(image, "rb") as file:
        file.seek(4096)
        assert exactly(client, 8192) == file.read(8192)
    # A reply of 256 KiB finds room all at once, as on a socket that the server has accepted.
    client.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 8, 0, 1 << 18))
    deadline, there = time.monotonic() + 20, 0
    while there < 16 + (1 << 18):
        assert time.monotonic() < deadline, f"only {there} bytes have room"
        time.sleep(0.002)
        there = struct.unpack("i", fcntl.ioctl(client, termios.FIONREAD, b"0000"))[0]
    exactly(client, there)
    client.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 2, 9, 0, 0))  # DISC
    assert client.recv(1) == b""
    client.close()
    at_first = at_first or descriptors()
assert not control.fds

for name in ("theirs", "none"):
    try:
        control.call("ConnectClient", {"export": name})
        sys.exit(f"a connection to {name} was given")
    except Error as error:
        assert error.name == "org.nbdcrypt.NoSuchExport", error

deadline = time.monotonic() + 20
while descriptors() > at_first:
    assert time.monotonic() < deadline, "descriptors are left"
    time.sleep(0.02)
