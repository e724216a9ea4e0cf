import os
import signal
import socket
import struct
import subprocess
import sys
import threading

import nbd_client as nbd
from nbd_client import equal, wait_for

program, folder = sys.argv[1:]
SIZE = 1 << 20


class Remote:
    """One connection to an export with FLUSH and without FUA; the first FLUSH fails and drops what is dirty."""

    def __init__(self, path):
        self.dirty, self.durable = bytearray(SIZE), bytearray(SIZE)
        self.flushes = self.flushing = self.most_at_once = 0
        self.go = threading.Event()  # the first FLUSH may be answered
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def take(self, length):
        data = b""
        while len(data) < length:
            part = self.client.recv(length - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def handshake(self):
        self.client.sendall(struct.pack(">QQH", nbd.MAGIC_INIT, nbd.MAGIC_OPTION, 3))
        self.take(4)
        while True:
            _, option, length = struct.unpack(">QII", self.take(16))
            self.take(length)

            def reply(kind, data=b"", option=option):
                self.client.sendall(struct.pack(">QIII", nbd.MAGIC_OPTION_REPLY, option, kind, len(data)) + data)

            if option in (nbd.OPT_GO, nbd.OPT_INFO):
                reply(nbd.REP_INFO, struct.pack(">HQH", 0, SIZE, nbd.TF_HAS_FLAGS | nbd.TF_FLUSH))
                reply(nbd.REP_ACK)
                if option == nbd.OPT_GO:
                    return
            else:
                reply(nbd.REP_ERR_UNSUP)

    def answer(self, cookie, error=0):
        with self.lock:
            self.client.sendall(struct.pack(">IIQ", nbd.MAGIC_SIMPLE_REPLY, error, cookie))

    def flush(self, cookie, number):
        if number == 1:
            self.go.wait(60)
            self.dirty[:] = self.durable
        else:
            self.durable[:] = self.dirty
        self.flushing -= 1
        self.answer(cookie, nbd.EIO if number == 1 else 0)

    def serve(self):
        self.client, _ = self.listener.accept()
        try:
            self.handshake()
            while True:
                _, _, command, cookie, offset, length = struct.unpack(">IHHQQI", self.take(28))
                if command == nbd.CMD_READ:
                    with self.lock:
                        self.client.sendall(struct.pack(">IIQ", nbd.MAGIC_SIMPLE_REPLY, 0, cookie) +
                                            self.dirty[offset:offset + length])
                elif command == nbd.CMD_WRITE:
                    self.dirty[offset:offset + length] = self.take(length)
                    self.answer(cookie)
                elif command == nbd.CMD_FLUSH:
                    self.flushes += 1
                    self.flushing += 1
                    self.most_at_once = max(self.most_at_once, self.flushing)
                    threading.Thread(target=self.flush, args=(cookie, self.flushes), daemon=True).start()
                elif command == nbd.CMD_DISC:
                    return
        except (EOFError, OSError):
            pass


def with_remote(name, run):
    far, near = os.path.join(folder, name + "-far"), os.path.join(folder, name)
    remote = Remote(far)
    server = subprocess.Popen([program, "serve", "--raw", "--threads", "2", "--unix", near,
                               f"nbd+unix:///?socket={far}"], stdout=subprocess.PIPE)
    server.stdout.readline()
    run(remote, [nbd.Client(f"nbd+unix:///?socket={near}") for _ in range(2)])
    equal("FLUSHes at once", remote.most_at_once, 1)
    server.send_signal(signal.SIGTERM)
    server.wait(60)


def two_flushes(remote, clients):
    for number, client in enumerate(clients):
        client.write(number * 4096, b"w" * 4096)
    first = clients[0].send(nbd.CMD_FLUSH)
    wait_for(lambda: remote.flushing == 1, "the first FLUSH is under way")
    second = clients[1].send(nbd.CMD_FLUSH)
    clients[1].write(65536, b"x" * 512)  # what came before has been sent on by now
    del first, second
    remote.go.set()
    equal("error of the FLUSH that failed", clients[0].receive().error, nbd.EIO)
    equal("error of the one that waited", clients[1].receive().error, nbd.EIO)


def two_flushes_without_a_write(remote, clients):
    """They may be of clients that were answered before nbdcrypt was started again: both have to be asked for."""
    clients[0].send(nbd.CMD_FLUSH)
    wait_for(lambda: remote.flushing == 1, "the first FLUSH is under way")
    clients[1].send(nbd.CMD_FLUSH)
    clients[1].read(65536, 512)  # what came before has been sent on by now
    remote.go.set()
    equal("error of the FLUSH that failed", clients[0].receive().error, nbd.EIO)
    clients[1].receive()
    equal("FLUSHes that arrived", remote.flushes, 2)


def two_writes_with_fua(remote, clients):
    for number, client in enumerate(clients):
        client.send(nbd.CMD_WRITE, number * 4096, 0, nbd.F_FUA, bytes([65 + number]) * 4096)
    wait_for(lambda: remote.flushing == 1 and remote.dirty[0] and remote.dirty[4096], "both were written")
    remote.go.set()
    errors = [client.receive().error for client in clients]
    for number, error in enumerate(errors):
        stored = bytes(remote.durable[number * 4096:(number + 1) * 4096])
        if error == 0:
            equal("what was answered as durable", stored, bytes([65 + number]) * 4096)
    equal("errors", sorted(errors), [0, nbd.EIO])


with_remote("flushes", two_flushes)
with_remote("none", two_flushes_without_a_write)
with_remote("fua", two_writes_with_fua)
