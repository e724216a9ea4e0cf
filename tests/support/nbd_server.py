"""An NBD server that behaves as a test wants it to, right or wrong (standard library only).

    python -m nbd_server SOCKET FILE [BEHAVIOUR...]

It serves FILE and says "ready" on standard output.  Writes stay in memory until a FLUSH (or FUA):
SIGKILL loses them, as a power failure would.  The name of an export may be behaviours, too, as in
once.lie:gap; each name counts on its own.  Behaviours, of which `requests` count over all connections:

    volatile=no       writes go to the file at once
    multi-conn        allows several connections
    structured        sends structured replies, and block status
    extended          takes extended headers, and sends extended replies
    contexts=NAME,... the metadata contexts of all exports besides base:allocation
                      (one that begins with "same" has the number of base:allocation)
    listed=N          lists so many more, which it does not have; "endless": without an end
    several=WHAT      when it is asked for several metadata contexts: "refused", or "clash": one number for all
    size=BYTES        what it says of its size
    flags=NUMBER      and of what it can do
    then-size=, then-flags=    the same from the second connection on
    greeting=bad      greets with a wrong magic
    greeting=half     closes in the middle of the greeting
    greeting=none     accepts and says nothing
    reply=half        closes in the middle of each reply
    reply=magic       answers with a wrong magic
    reply=cookie      answers what was not asked
    lie=NAME          structured replies as in tests/support/nbd_lies.py
    cut=N             closes after the first byte of a reply, then of another one after the second, and so on up
                      to the N-th; the requests between those are answered
    after=N           the above for requests from the N-th on (0 is the first)
    error=NUMBER      answers READ with this error
    stall=N           requests from the N-th on are never answered
    stall-COMMAND=N   the same of WRITE, FLUSH or READ
    fail-flush=N      answers N FLUSHes with EIO, and each time forgets what was not flushed
    never=OFFSET      a READ there is never answered
    die=WHEN:COMMAND:N    the process ends at the N-th (0 is the first) WRITE, FLUSH or READ: "before" it is carried out,
                      "after" that, in the middle of the reply ("half"), or when it was "answered"
    once              the misbehaviour is that of the first connection that does it only
"""

import os
import signal
import socket
import struct
import sys
import threading

import nbd_lies
from nbd_client import *


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

    def forget(self):
        with self.lock:
            self.pending.clear()

    def flush(self):
        with self.lock:
            for number, data in self.pending.items():
                os.pwrite(self.fd, data, number * self.BLOCK)
            self.pending.clear()


COMMANDS = {"WRITE": CMD_WRITE, "FLUSH": CMD_FLUSH, "READ": CMD_READ}


class Behaviour:
    def __init__(self, words):
        self.words = dict(word.partition("=")[::2] for word in words)
        self.connections = 0
        self.requests = 0
        self.cuts = 0
        self.misbehaved = False
        self.lock = threading.Lock()
        self.die_when, die_command, self.die_at = (self.get("die") or "never:WRITE:0").split(":")
        self.die_command = COMMANDS[die_command]
        self.of_that = 0
        self.before_stall = {COMMANDS[name]: int(self.get("stall-" + name)) for name in COMMANDS
                             if self.has("stall-" + name)}
        self.flushes_to_fail = int(self.get("fail-flush", 0))

    def death(self, command):
        """When the process is to end in this request; called once for each."""
        if command != self.die_command:
            return None
        with self.lock:
            self.of_that += 1
            return self.die_when if self.of_that > int(self.die_at) else None

    def stalls(self, command):
        if command not in self.before_stall:
            return False
        with self.lock:
            self.before_stall[command] -= 1
            return self.before_stall[command] < 0

    def fails_flush(self):
        with self.lock:
            self.flushes_to_fail -= 1
            return self.flushes_to_fail >= 0

    def get(self, name, default=None):
        return self.words.get(name, default)

    def has(self, name):
        return name in self.words

    def connected(self):
        """Whether it is not the first connection."""
        with self.lock:
            self.connections += 1
            return self.connections > 1

    def reply(self, command):
        """What is to be done with the next request: None, or a misbehaviour and its argument."""
        lie = self.get("lie")
        if lie and nbd_lies.LIES[lie][0] != command:
            return None
        with self.lock:
            number = self.requests
            self.requests += 1
            if self.has("once") and self.misbehaved:
                return None
            wrong = None
            if number >= int(self.get("stall", 1 << 62)):
                wrong = "stall", None
            elif self.has("cut") and number % 2 == 0 and self.cuts < int(self.get("cut")):
                self.cuts += 1
                wrong = "cut", self.cuts
            elif lie and number >= int(self.get("after", 0)):
                wrong = "lie", nbd_lies.LIES[lie][1]
            elif self.has("reply") and number >= int(self.get("after", 0)):
                wrong = self.get("reply"), None
            self.misbehaved |= wrong is not None
            return wrong


class Behaviours:
    """One for each name of an export; "" is that of the command line."""

    def __init__(self, default):
        self.by_name = {"": default}
        self.lock = threading.Lock()

    def of(self, name):
        with self.lock:
            return self.by_name.setdefault(name, Behaviour(name.replace(":", "=").split(".")))


class Connection(threading.Thread):
    def __init__(self, stream, disk, behaviours):
        super().__init__(daemon=True)
        self.stream, self.disk, self.behaviours = stream, disk, behaviours
        self.behaviour = behaviours.of("")
        self.may_structure = self.behaviour.has("structured")   # of all exports, or of none
        self.may_extend = self.behaviour.has("extended")
        words = self.behaviour.get("contexts")
        self.contexts = ["base:allocation"] + (words.split(",") if words else [])
        self.structured = self.extended = self.again = False

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
            data = self.take(length)
            if option == OPT_ABORT:
                return False
            if option in (OPT_INFO, OPT_GO, OPT_SET_META_CONTEXT, OPT_LIST_META_CONTEXT):
                self.choose(data[4:4 + struct.unpack(">I", data[:4])[0]].decode())
            if option in (OPT_INFO, OPT_GO):
                self.again |= option == OPT_GO and self.behaviour.connected()
                self.answer_option(option, REP_INFO, struct.pack(">HQH", INFO_EXPORT, self.size(), self.flags()))
                self.answer_option(option, REP_ACK)
                if option == OPT_GO:
                    return True
            elif option == OPT_STRUCTURED_REPLY and self.may_structure:
                self.structured = True
                self.answer_option(option, REP_ACK)
            elif option == OPT_EXTENDED_HEADERS and self.may_extend:
                self.structured = self.extended = True
                self.answer_option(option, REP_ACK)
            elif option in (OPT_SET_META_CONTEXT, OPT_LIST_META_CONTEXT) and self.structured:
                self.tell_contexts(option, data)
            else:
                self.answer_option(option, REP_ERR_UNSUP)

    def tell_contexts(self, option, data):
        lists = option == OPT_LIST_META_CONTEXT
        queries = struct.unpack(">I", data[4 + struct.unpack(">I", data[:4])[0]:][:4])[0]
        several = self.behaviour.get("several") if queries > 1 else None
        for number, name in enumerate(self.contexts):
            if lists or name.encode() in data:
                number = 0 if name.startswith("same") or several == "clash" else number
                self.answer_option(option, REP_META_CONTEXT,
                                   struct.pack(">I", nbd_lies.CONTEXT + number) + name.encode("latin-1"))
        if lists and self.behaviour.has("listed"):
            self.list_more(self.behaviour.get("listed"))
        self.answer_option(option, REP_ERR_INVALID if several == "refused" else REP_ACK)

    def list_more(self, count):
        """A thousand at a time, which costs less."""
        left = 1 << 62 if count == "endless" else int(count)
        while left > 0:
            names = [b"\0\0\0\0x-more:%d" % (left - i) for i in range(min(left, 1000))]
            self.stream.sendall(b"".join(struct.pack(">QIII", MAGIC_OPTION_REPLY, OPT_LIST_META_CONTEXT, REP_META_CONTEXT,
                                                     len(name)) + name for name in names))
            left -= len(names)

    def choose(self, export):
        self.behaviour = self.behaviours.of(export)

    def said(self, name):
        """What it says of itself, now."""
        if self.again and self.behaviour.has("then-" + name):
            name = "then-" + name
        value = self.behaviour.get(name)
        return None if value is None else int(value)

    def size(self):
        said = self.said("size")
        return self.disk.size if said is None else said

    def flags(self):
        said = self.said("flags")
        if said is not None:
            return said
        flags = TF_HAS_FLAGS | TF_FLUSH | TF_FUA | TF_WRITE_ZEROES
        return flags | (TF_MULTI_CONN if self.behaviour.has("multi-conn") else 0)

    def answer_option(self, option, reply, data=b""):
        self.stream.sendall(struct.pack(">QIII", MAGIC_OPTION_REPLY, option, reply, len(data)) + data)

    def serve_one(self):
        layout = ">IHHQQQ" if self.extended else ">IHHQQI"
        _, flags, command, cookie, offset, length = struct.unpack(layout, self.take(struct.calcsize(layout)))
        payload = self.take(length) if command == CMD_WRITE else b""
        if command == CMD_DISC:
            return False
        wrong, argument = self.behaviour.reply(command) or (None, None)
        if wrong == "stall" or self.behaviour.stalls(command):
            return True
        if command == CMD_READ and self.behaviour.get("never") == str(offset):
            return True
        death = self.behaviour.death(command)
        self.die_if(death == "before")
        error, data = self.carry_out(command, flags, offset, length, payload)
        self.die_if(death == "after")
        if wrong == "lie":
            for part in argument(nbd_lies.Request(cookie, offset, data or bytes(length), self.extended)):
                self.stream.sendall(part)
            return True
        reply = self.reply_of(command, cookie, offset, length, error, data, wrong)
        if wrong in ("half", "cut") or death == "half":
            reply = reply[:argument or len(reply) // 2]
        self.stream.sendall(reply)
        self.die_if(death in ("half", "answered"))
        return wrong is None

    @staticmethod
    def die_if(condition):
        if condition:
            os._exit(9)     # what was not flushed is lost

    def reply_of(self, command, cookie, offset, length, error, data, wrong):
        cookie ^= 1 << 60 if wrong == "cookie" else 0
        if self.structured and command in nbd_lies.HONEST and not error:
            request = nbd_lies.Request(cookie, offset, data or bytes(length), self.extended)
            if command == CMD_BLOCK_STATUS and len(self.contexts) > 1:
                return b"".join(nbd_lies.of_contexts(request, len(self.contexts)))
            return b"".join(nbd_lies.HONEST[command](request))
        if self.extended and not error:
            return nbd_lies.Request(cookie, offset, data, True).chunk(CHUNK_NONE)
        if self.extended or self.structured and command == CMD_READ:
            return nbd_lies.Request(cookie, offset, data, self.extended).error(error)
        magic = MAGIC_SIMPLE_REPLY ^ 1 if wrong == "magic" else MAGIC_SIMPLE_REPLY
        return struct.pack(">IIQ", magic, error, cookie) + data

    def carry_out(self, command, flags, offset, length, payload):
        if command == CMD_READ and self.behaviour.has("error"):
            return int(self.behaviour.get("error")), b""
        if offset + length > self.disk.size:
            return EINVAL, b""
        if command == CMD_READ:
            return 0, self.disk.read(offset, length)
        if command in (CMD_WRITE, CMD_WRITE_ZEROES):
            self.disk.write(offset, payload or bytes(length), flags & F_FUA)
        elif command == CMD_FLUSH:
            if self.behaviour.fails_flush():
                self.disk.forget()
                return EIO, b""
            self.disk.flush()
        return 0, b""


def serve(path, file, words, ready):
    """Never returns; calls ready() when clients may connect."""
    behaviours = Behaviours(Behaviour(words))
    disk = Disk(file, behaviours.of("").get("volatile") != "no")
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(64)
    ready()
    while True:
        Connection(listener.accept()[0], disk, behaviours).start()


def start(path, file, words):
    """serve() in a child of this process, which costs less than a new interpreter; its pid, when clients may connect."""
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.closerange(3, tell)
            serve(path, file, words, lambda: os.write(tell, b"!"))
        finally:
            os._exit(1)
    os.close(tell)
    os.read(ready, 1)
    os.close(ready)
    return child


def wait(child):
    """Until it dies by itself."""
    os.waitpid(child, 0)


def kill(child):
    """As by SIGKILL: what was not flushed is lost."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3:], lambda: print("ready", flush=True))
