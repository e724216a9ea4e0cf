"""Bytes on the wire of copying a disk of 1 TiB with 64 MiB of data, and one of 64 MiB that is full, both ways."""
import os
import socket
import subprocess
import sys
import threading
from nbd_client import *

big, small, folder = sys.argv[1:]
MIB = 1 << 20
DATA = 64 * MIB


class Wire:
    """Stands between nbdcopy and the server, and counts."""

    def __init__(self, uri):
        self.server = uri.split("socket=")[1]
        self.path = f"{folder}/wire-{os.path.basename(self.server)}"
        self.bytes = 0
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.uri = f"nbd+unix:///?socket={self.path}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            for pair in (client, server), (server, client):
                threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    def pass_on(self, source, target):
        while data := source.recv(MIB):
            with self.lock:
                self.bytes += len(data)
            target.sendall(data)
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass # it has closed as well


def copy(source, target, uri_of):
    """Bytes of one copy."""
    wire = Wire(uri_of)
    subprocess.run(["nbdcopy", source or wire.uri, target or wire.uri], check=True)
    return wire.bytes


for uri, distance in (big, 16 << 30), (small, MIB):
    with Client(uri) as client:
        for i in range(64):
            client.write(i * distance, os.urandom(MIB))
        client.disconnect()
read_big, read_small = copy(None, "null:", big), copy(None, "null:", small)
print(f"reading: {read_big} bytes and {read_small}")
if not DATA < read_small < read_big < 1.2 * read_small:
    raise AssertionError("copying the sparse disk moves too much")
# Who knows nothing of extents reads all of it: 2 GiB here, of which 1 MiB is data.
with Client(big, extended=True) as client:
    moved = 0
    for start in range(0, 2 << 30, 512 * MIB):
        for at in range(start, start + 512 * MIB, 32 * MIB):
            client.send(CMD_READ, at, 32 * MIB)
        for reply in client.receive_all().values():
            moved += sum(length for _, length in reply.chunks)
            reply.data = None
    client.disconnect()
print(f"reading 2 GiB: {moved} bytes")
if not MIB < moved < 1.2 * MIB:
    raise AssertionError("reading holes moves too much")
