"""An NBD server that behaves as a test wants it to, right or wrong (standard library only).

    python -m nbd_server SOCKET FILE [BEHAVIOUR...]

It serves FILE and says "ready" on standard output.  Writes stay in memory until a FLUSH (or FUA):
SIGKILL loses them, as a power failure would.  Behaviours, of which `requests` count over all connections:

    volatile=no       writes go to the file at once
    multi-conn        allows several connections
    size=BYTES        what it says of its size
    greeting=bad      greets with a wrong magic
    greeting=half     closes in the middle of the greeting
    greeting=none     accepts and says nothing
    reply=half        closes in the middle of each reply
    reply=magic       answers with a wrong magic
    reply=cookie      answers what was not asked
    after=N           the above for requests from the N-th on (0 is the first)
    error=NUMBER      answers READ with this error
    stall=N           requests from the N-th on are never answered
    once              the misbehaviour is that of the first connection that does it only
"""

import os
import socket
import struct
import sys
import threading

from nbd_client import *

ERR_UNSUP = 0x80000001
NEEDS_ACK = (OPT_INFO, OPT_GO)


class Disk:
    """The file, and what has been written since the last flush."""

    def __init__(self, path, volatile):
        self.fd = os.open(path, os.O_RDWR)
        self.size = os.fstat(self.fd).st_size
        self.volatile = volatile
        self.pending = {}    # number of a block -> its bytes
        self.lock = threading.Lock()

    BLOCK = 512

    def read(self, offset, length):
        with self.lock:
            data = bytearray(os.pread(self.fd, length, offset))
            for number in range(offset // self.BLOCK, (offset + length) // self.BLOCK):
                if number in self.pending:
                    at = number * self.BLOCK - offset
                    data[at:at + self.BLOCK] = self.pending[number]
            return bytes(data)

    def write(self, offset, data, durable):
        with self.lock:
            for at in range(0, len(data), self.BLOCK):
                number = (offset + at) // self.BLOCK
                if durable or not self.volatile:
                    self.pending.pop(number, None)
                else:
                    self.pending[number] = data[at:at + self.BLOCK]
            if durable or not self.volatile:
                os.pwrite(self.fd, data, offset)

    def flush(self):
        with self.lock:
            for number, data in self.pending.items():
                os.pwrite(self.fd, data, number * self.BLOCK)
            self.pending.clear()


class Behaviour:
    def __init__(self, words):
        self.words = dict(word.partition("=")[::2] for word in words)
        self.requests = 0
        self.misbehaved = False
        self.lock = threading.Lock()

    def get(self, name, default=None):
        return self.words.get(name, default)

    def reply(self):
        """What is to be done with the next request: None, or a misbehaviour."""
        with self.lock:
            number = self.requests
            self.requests += 1
            if "once" in self.words and self.misbehaved:
                return None
            wrong = None
            if "stall" in self.words and number >= int(self.words["stall"]):
                wrong = "stall"
            elif "reply" in self.words and number >= int(self.words.get("after", 0)):
                wrong = self.words["reply"]
            self.misbehaved |= wrong is not None
            return wrong


class Connection(threading.Thread):
    def __init__(self, stream, disk, behaviour):
        super().__init__(daemon=True)
        self.stream, self.disk, self.behaviour = stream, disk, behaviour

    def take(self, count):
        data = b""
        while len(data) < count:
            part = self.stream.recv(min(count - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return data

    def run(self):
        try:
            if self.greet():
                while self.serve_one():
                    pass
        except (EOFError, OSError):
            pass
        finally:
            self.stream.close()

    def greet(self):
        greeting = self.behaviour.get("greeting")
        magic = MAGIC_INIT ^ 1 if greeting == "bad" else MAGIC_INIT
        hello = struct.pack(">QQH", magic, MAGIC_OPTION, FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)
        if greeting == "none":
            self.take(1)
        self.stream.sendall(hello[:9] if greeting == "half" else hello)
        if greeting:
            return False
        self.take(4)
        while True:
            _, option, length = struct.unpack(">QII", self.take(16))
            self.take(length)
            if option == OPT_ABORT:
                return False
            if option not in NEEDS_ACK:
                self.answer_option(option, ERR_UNSUP)
                continue
            self.answer_option(option, REP_INFO, struct.pack(">HQH", INFO_EXPORT, self.size(), self.flags()))
            self.answer_option(option, REP_ACK)
            if option == OPT_GO:
                return True

    def size(self):
        return int(self.behaviour.get("size", self.disk.size))

    def flags(self):
        flags = TF_HAS_FLAGS | TF_FLUSH | TF_FUA | TF_WRITE_ZEROES
        return flags | (TF_MULTI_CONN if self.behaviour.get("multi-conn") is not None else 0)

    def answer_option(self, option, reply, data=b""):
        self.stream.sendall(struct.pack(">QIII", MAGIC_OPTION_REPLY, option, reply, len(data)) + data)

    def serve_one(self):
        _, flags, command, cookie, offset, length = struct.unpack(">IHHQQI", self.take(28))
        payload = self.take(length) if command == CMD_WRITE else b""
        if command == CMD_DISC:
            return False
        wrong = self.behaviour.reply()
        if wrong == "stall":
            return True
        error, data = self.carry_out(command, flags, offset, length, payload)
        magic = MAGIC_SIMPLE_REPLY ^ 1 if wrong == "magic" else MAGIC_SIMPLE_REPLY
        cookie ^= 1 << 60 if wrong == "cookie" else 0
        reply = struct.pack(">IIQ", magic, error, cookie) + data
        self.stream.sendall(reply[:len(reply) // 2] if wrong == "half" else reply)
        return wrong is None

    def carry_out(self, command, flags, offset, length, payload):
        if command == CMD_READ and self.behaviour.get("error"):
            return int(self.behaviour.get("error")), b""
        if offset + length > self.disk.size:
            return EINVAL, b""
        if command == CMD_READ:
            return 0, self.disk.read(offset, length)
        if command in (CMD_WRITE, CMD_WRITE_ZEROES):
            self.disk.write(offset, payload or bytes(length), flags & F_FUA)
        elif command == CMD_FLUSH:
            self.disk.flush()
        return 0, b""


def main():
    path, file, *words = sys.argv[1:]
    behaviour = Behaviour(words)
    disk = Disk(file, behaviour.get("volatile") != "no")
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        Connection(listener.accept()[0], disk, behaviour).start()


main()
