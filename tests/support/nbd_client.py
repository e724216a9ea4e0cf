"""An NBD client that does exactly what a test tells it, right or wrong (standard library only).

    client = Client(uri)                 # handshake up to transmission
    client.write(0, b"x" * 512)          # one request and its reply; NbdError on failure
    cookie = client.send(CMD_READ, 0, 4096)   # or the two halves, for pipelining
    reply = client.receive()             # any reply: .cookie .error .data .extents .chunks

Client(uri, handshake=False) stops after the greeting: see option(), send_option().
Names follow the specification (NetworkBlockDevice/nbd, doc/proto.md).  Whatever breaks a rule of
the protocol in what the server sends is a ProtocolError; the server may not close in the middle
of anything (EndOfStream).
"""

import os
import select
import signal
import socket
import struct
import time
import urllib.parse

MAGIC_INIT = 0x4E42444D41474943
MAGIC_OPTION = 0x49484156454F5054
MAGIC_OPTION_REPLY = 0x3E889045565A9
MAGIC_REQUEST = 0x25609513
MAGIC_SIMPLE_REPLY = 0x67446698
MAGIC_STRUCTURED_REPLY = 0x668E33EF
MAGIC_EXTENDED_REQUEST = 0x21E41C71
MAGIC_EXTENDED_REPLY = 0x6E8A278C

FLAG_FIXED_NEWSTYLE, FLAG_NO_ZEROES = 1, 2

(OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_PEEK_EXPORT, OPT_STARTTLS, OPT_INFO, OPT_GO,
 OPT_STRUCTURED_REPLY, OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT,
 OPT_EXTENDED_HEADERS) = range(1, 12)

REP_ACK, REP_SERVER, REP_INFO, REP_META_CONTEXT = 1, 2, 3, 4
REP_ERROR = 1 << 31
(REP_ERR_UNSUP, REP_ERR_POLICY, REP_ERR_INVALID, REP_ERR_PLATFORM, REP_ERR_TLS_REQD,
 REP_ERR_UNKNOWN, REP_ERR_SHUTDOWN, REP_ERR_BLOCK_SIZE_REQD,
 REP_ERR_TOO_BIG, REP_ERR_EXT_HEADER_REQD) = (REP_ERROR + code for code in range(1, 11))

INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = 0, 1, 2, 3

(TF_HAS_FLAGS, TF_READ_ONLY, TF_FLUSH, TF_FUA, TF_ROTATIONAL, TF_TRIM, TF_WRITE_ZEROES, TF_DF,
 TF_MULTI_CONN, TF_RESIZE, TF_CACHE, TF_FAST_ZERO, TF_STATUS_PAYLOAD) = (1 << bit for bit in range(13))

(CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES,
 CMD_BLOCK_STATUS) = range(8)
F_FUA, F_NO_HOLE, F_DF, F_REQ_ONE, F_FAST_ZERO, F_PAYLOAD_LEN = (1 << bit for bit in range(6))

CHUNK_DONE = 1
(CHUNK_NONE, CHUNK_OFFSET_DATA, CHUNK_OFFSET_HOLE, CHUNK_BLOCK_STATUS,
 CHUNK_BLOCK_STATUS_EXT) = (0, 1, 2, 5, 6)
CHUNK_ERROR, CHUNK_ERROR_OFFSET = 0x8001, 0x8002

EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108

STATE_HOLE, STATE_ZERO = 1, 2

TIMEOUT_S = 60


class NbdError(Exception):
    """The server answered with this error number."""

    def __init__(self, number, text=""):
        super().__init__(f"error {number} {text}")
        self.number = number


class ProtocolError(Exception):
    """The server broke a rule of the protocol."""


class EndOfStream(Exception):
    """The server closed the connection; .received is what came before of what was awaited."""

    def __init__(self, received=b""):
        super().__init__(f"closed after {len(received)} bytes of what was awaited")
        self.received = received


# How a server that does not take a client ends its handshake.
AWAY = (NbdError, EndOfStream, ProtocolError, ConnectionResetError, BrokenPipeError)


def connect(uri, timeout_s=TIMEOUT_S):
    """A connected socket for nbd://HOST:PORT/NAME or nbd+unix:///NAME?socket=PATH, and NAME."""
    parts = urllib.parse.urlsplit(uri)
    name = urllib.parse.unquote(parts.path[1:])
    if parts.scheme.endswith("+unix"):
        path = urllib.parse.parse_qs(parts.query)["socket"][0]
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(timeout_s)
        stream.connect(path)
    else:
        stream = socket.create_connection((parts.hostname, parts.port), timeout_s)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream, name


class Reply:
    """One whole reply, simple or structured."""

    def __init__(self, cookie, structured):
        self.cookie = cookie
        self.structured = structured
        self.error = 0
        self.error_text = ""
        self.data = None     # of a READ that succeeded
        self.extents = []    # of BLOCK_STATUS: (length, flags); of several contexts, one behind the other
        self.by_context = {} # the same by the name of the context
        self.chunks = []     # (type, length of payload) in order of arrival

    def check(self):
        if self.error:
            raise NbdError(self.error, self.error_text)
        return self


class Client:
    def __init__(self, uri, structured=True, contexts=("base:allocation",), handshake=True,
                 timeout_s=TIMEOUT_S, receive_buffer_bytes=0, extended=False):
        self.socket, self.name = connect(uri, timeout_s)
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.buffer = bytearray()
        self.structured = self.extended = False
        self.contexts = {}       # name -> id
        self.contexts_named = {} # of a BLOCK_STATUS with a payload: how many
        self.outstanding = {}    # cookie -> (command, offset, length, flags)
        self.next_cookie = 0x1122334400000000
        self.infos = {}
        self.size = self.flags = None
        self.read_greeting()
        if handshake:
            self.send_client_flags()
            if extended:
                self.want_extended_headers()
            elif structured:
                self.want_structured_replies()
            if self.structured:
                if contexts:
                    self.want_contexts(contexts)
            self.go()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    # ---- bytes ----

    def receive_bytes(self, count):
        while len(self.buffer) < count:
            part = self.socket.recv(max(65536, min(count - len(self.buffer), 1 << 20)))
            if not part:
                raise EndOfStream(bytes(self.buffer))
            self.buffer += part
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def receive_struct(self, layout):
        return struct.unpack(layout, self.receive_bytes(struct.calcsize(layout)))

    def send_bytes(self, data):
        """Sends all, and takes what arrives meanwhile: a client that does not read may be made to wait."""
        view = memoryview(data)
        poller = select.poll()
        poller.register(self.socket, select.POLLIN | select.POLLOUT)
        while view:
            events = poller.poll(TIMEOUT_S * 1000)
            if not events:
                raise TimeoutError(f"{len(view)} bytes could not be sent")
            if events[0][1] & select.POLLIN:
                part = self.socket.recv(1 << 20)
                self.buffer += part
                if not part:
                    poller.modify(self.socket, select.POLLOUT)
            if events[0][1] & ~select.POLLIN:
                view = view[self.socket.send(view[:1 << 20]):]

    def expect_end(self):
        """The server closes, with nothing more to say.  A reset counts: it is an end too."""
        try:
            rest = bytes(self.buffer) + self.socket.recv(65536)
        except ConnectionResetError:
            rest = bytes(self.buffer)
        if rest:
            raise ProtocolError(f"{len(rest)} bytes where the end was expected: {rest[:32].hex()}")

    # ---- handshake ----

    def read_greeting(self):
        magic, option_magic, self.handshake_flags = self.receive_struct(">QQH")
        if (magic, option_magic) != (MAGIC_INIT, MAGIC_OPTION):
            raise ProtocolError("bad greeting")

    def send_client_flags(self, flags=FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES):
        self.send_bytes(struct.pack(">I", flags))

    def send_option(self, option, data=b"", length=None):
        self.send_bytes(struct.pack(">QII", MAGIC_OPTION, option,
                                    len(data) if length is None else length) + data)

    def receive_option_reply(self, option):
        """(type, payload)"""
        magic, echoed, kind, length = self.receive_struct(">QIII")
        if magic != MAGIC_OPTION_REPLY or echoed != option:
            raise ProtocolError(f"bad option reply: magic {magic:#x}, option {echoed}")
        payload = self.receive_bytes(length)
        if kind & REP_ERROR:
            payload.decode("utf-8")
            if length > 4096:
                raise ProtocolError("error message longer than 4096 bytes")
        return kind, payload

    def option(self, option, data=b"", length=None):
        """All replies to an option up to the last: [(type, payload), ...]."""
        self.send_option(option, data, length)
        replies = []
        while True:
            replies.append(self.receive_option_reply(option))
            kind = replies[-1][0]
            if kind == REP_ACK or kind & REP_ERROR:
                return replies

    def option_result(self, option, data=b"", length=None):
        """The type of the last reply alone."""
        return self.option(option, data, length)[-1][0]

    def want_structured_replies(self):
        result = self.option_result(OPT_STRUCTURED_REPLY)
        if result != REP_ACK:
            raise ProtocolError(f"STRUCTURED_REPLY refused with {result:#x}")
        self.structured = True

    def want_extended_headers(self):
        result = self.option_result(OPT_EXTENDED_HEADERS)
        if result != REP_ACK:
            raise ProtocolError(f"EXTENDED_HEADERS refused with {result:#x}")
        self.structured = self.extended = True

    @staticmethod
    def meta_payload(name, queries):
        name = name.encode()
        data = struct.pack(">I", len(name)) + name + struct.pack(">I", len(queries))
        for query in queries:
            data += struct.pack(">I", len(query)) + query.encode()
        return data

    def want_contexts(self, queries):
        replies = self.option(OPT_SET_META_CONTEXT, self.meta_payload(self.name, queries))
        self.contexts = {payload[4:].decode(): struct.unpack(">I", payload[:4])[0]
                         for kind, payload in replies if kind == REP_META_CONTEXT}
        return replies[-1][0]

    @staticmethod
    def go_payload(name, infos=()):
        name = name.encode()
        return struct.pack(">I", len(name)) + name + struct.pack(
            f">H{len(infos)}H", len(infos), *infos)

    def go(self, infos=(INFO_BLOCK_SIZE,), option=OPT_GO, name=None):
        """Fills .size, .flags and .infos; raises NbdError with the reply type on refusal."""
        payload = self.go_payload(self.name if name is None else name, infos)
        replies = self.option(option, payload)
        kind, text = replies[-1]
        if kind != REP_ACK:
            raise NbdError(kind, text.decode())
        self.infos = {struct.unpack(">H", payload[:2])[0]: payload[2:]
                      for kind, payload in replies if kind == REP_INFO}
        if INFO_EXPORT not in self.infos:
            raise ProtocolError("no NBD_INFO_EXPORT before the ACK")
        self.size, self.flags = struct.unpack(">QH", self.infos[INFO_EXPORT])

    def block_sizes(self):
        """(minimum, preferred, maximum payload)"""
        return struct.unpack(">III", self.infos[INFO_BLOCK_SIZE])

    # ---- requests ----

    def request_bytes(self, command, offset=0, length=0, flags=0, payload=b""):
        """A request as bytes, remembered as outstanding; its cookie is self.next_cookie - 1."""
        cookie = self.next_cookie
        self.next_cookie += 1
        effect = length
        if command == CMD_BLOCK_STATUS and flags & F_PAYLOAD_LEN and len(payload) >= 8:
            effect, = struct.unpack(">Q", payload[:8])
            self.contexts_named[cookie] = (len(payload) - 8) // 4
        self.outstanding[cookie] = (command, offset, effect, flags)
        if self.extended:
            if command == CMD_WRITE:
                flags |= F_PAYLOAD_LEN
            return struct.pack(">IHHQQQ", MAGIC_EXTENDED_REQUEST, flags, command, cookie, offset,
                               length) + payload
        return struct.pack(">IHHQQI", MAGIC_REQUEST, flags, command, cookie, offset,
                           length) + payload

    def send(self, command, offset=0, length=0, flags=0, payload=b""):
        """Sends a request and returns its cookie; a WRITE's length is its payload's."""
        if command == CMD_WRITE and not length:
            length = len(payload)
        self.send_bytes(self.request_bytes(command, offset, length, flags, payload))
        return self.next_cookie - 1

    def receive(self):
        """The next whole reply.  Chunks of different replies may be interleaved: use receive_all
        when more than one READ or BLOCK_STATUS is outstanding."""
        partial = {}
        while True:
            reply = self.receive_part(partial)
            if reply is not None:
                if partial:
                    raise ProtocolError("interleaved replies: use receive_all()")
                return reply

    def receive_all(self):
        """Replies to everything outstanding, as {cookie: Reply}."""
        partial, replies = {}, {}
        while self.outstanding:
            reply = self.receive_part(partial)
            if reply is not None:
                replies[reply.cookie] = reply
        return replies

    def receive_to_the_end(self):
        """Replies until the server closes, whole ones: what it has not begun has none."""
        partial, replies = {}, {}
        try:
            while True:
                reply = self.receive_part(partial)
                if reply is not None:
                    replies[reply.cookie] = reply
        except EndOfStream as end:
            if end.received or partial:
                raise
        return replies

    def receive_part(self, partial):
        """One simple reply or one chunk; the Reply when it is complete, else None."""
        magic, = self.receive_struct(">I")
        if self.extended:
            if magic == MAGIC_EXTENDED_REPLY:
                return self.receive_chunk(partial)
            raise ProtocolError(f"reply magic {magic:#x} where extended headers were agreed on")
        if magic == MAGIC_SIMPLE_REPLY:
            return self.receive_simple()
        if magic == MAGIC_STRUCTURED_REPLY and self.structured:
            return self.receive_chunk(partial)
        raise ProtocolError(f"bad reply magic {magic:#x}")

    def request_of(self, cookie):
        if cookie not in self.outstanding:
            raise ProtocolError(f"reply to cookie {cookie:#x}, which is not outstanding")
        return self.outstanding[cookie]

    def receive_simple(self):
        error, cookie = self.receive_struct(">IQ")
        command, _, length, _ = self.request_of(cookie)
        if self.structured and command == CMD_READ:
            raise ProtocolError("simple reply to a READ after structured replies were agreed")
        del self.outstanding[cookie]
        reply = Reply(cookie, False)
        reply.error = error
        if command == CMD_READ and not error:
            reply.data = self.receive_bytes(length)
        return reply

    def receive_chunk(self, partial):
        if self.extended:
            flags, kind, cookie, offset, length = self.receive_struct(">HHQQQ")
        else:
            flags, kind, cookie, length = self.receive_struct(">HHQI")
        request = self.request_of(cookie)
        if self.extended and offset != request[1]:
            raise ProtocolError(f"a chunk with offset {offset} for a request at {request[1]}")
        payload = self.receive_bytes(length)
        reply = partial.setdefault(cookie, Reply(cookie, True))
        reply.chunks.append((kind, length))
        self.take_chunk(reply, request, kind, payload)
        if not flags & CHUNK_DONE:
            return None
        del partial[cookie]
        del self.outstanding[cookie]
        self.finish_reply(reply, request)
        return reply

    def take_chunk(self, reply, request, kind, payload):
        command, offset, length, _ = request
        if kind == CHUNK_NONE:
            if payload:
                raise ProtocolError("NONE chunk with payload")
        elif kind in (CHUNK_OFFSET_DATA, CHUNK_OFFSET_HOLE):
            if command != CMD_READ:
                raise ProtocolError("data chunk for something that is not a READ")
            at, = struct.unpack(">Q", payload[:8])
            if kind == CHUNK_OFFSET_HOLE:
                content = bytes(struct.unpack(">I", payload[8:])[0])
            else:
                content = payload[8:]
            if not content or at < offset or at + len(content) > offset + length:
                raise ProtocolError("data chunk is empty or outside of the request")
            reply.__dict__.setdefault("parts", []).append((at - offset, content))
        elif kind == (CHUNK_BLOCK_STATUS_EXT if self.extended else CHUNK_BLOCK_STATUS):
            self.take_block_status(reply, command, payload)
        elif kind in (CHUNK_ERROR, CHUNK_ERROR_OFFSET):
            reply.error, text_length = struct.unpack(">IH", payload[:6])
            reply.error_text = payload[6:6 + text_length].decode("utf-8")
            extra = 8 if kind == CHUNK_ERROR_OFFSET else 0
            if len(payload) != 6 + text_length + extra or not reply.error:
                raise ProtocolError("malformed error chunk")
            if extra:
                reply.error_offset, = struct.unpack(">Q", payload[-8:])
                if not offset <= reply.error_offset < offset + length:
                    raise ProtocolError(f"an error at byte {reply.error_offset}, which was not asked for")
                if any(at <= reply.error_offset - offset < at + len(content)
                       for at, content in reply.__dict__.get("parts", [])):
                    raise ProtocolError(f"an error at byte {reply.error_offset}, whose data came before")
        else:
            raise ProtocolError(f"unknown chunk type {kind:#x}")

    def take_block_status(self, reply, command, payload):
        context, = struct.unpack(">I", payload[:4])
        if command != CMD_BLOCK_STATUS or context not in self.contexts.values():
            raise ProtocolError(f"BLOCK_STATUS chunk for context {context}, which nobody asked for")
        if self.extended:
            count, = struct.unpack(">I", payload[4:8])
            if not count or len(payload) != 8 + 16 * count:
                raise ProtocolError(f"BLOCK_STATUS chunk of {len(payload)} bytes for {count} extents")
            extents = list(struct.iter_unpack(">QQ", payload[8:]))
        else:
            if len(payload) < 12 or (len(payload) - 4) % 8:
                raise ProtocolError("BLOCK_STATUS chunk of odd length")
            extents = list(struct.iter_unpack(">II", payload[4:]))
        name = next(name for name, number in self.contexts.items() if number == context)
        if name in reply.by_context:
            raise ProtocolError(f"two BLOCK_STATUS chunks for {name}")
        reply.by_context[name] = extents
        reply.extents += extents

    def finish_reply(self, reply, request):
        command, _, length, flags = request
        if reply.error:
            return
        if command == CMD_READ:
            reply.data = self.join_parts(reply.__dict__.pop("parts", []), length)
        if command == CMD_BLOCK_STATUS:
            self.check_block_status(reply, length, flags)

    @staticmethod
    def join_parts(parts, length):
        data, at = [], 0
        for start, content in sorted(parts, key=lambda part: part[0]):
            if start != at:
                raise ProtocolError("data chunks overlap or leave a gap")
            data.append(content)
            at += len(content)
        if at != length:
            raise ProtocolError(f"data chunks hold {at} of {length} bytes")
        return b"".join(data)

    def check_block_status(self, reply, length, flags):
        kinds = [kind for kind, _ in reply.chunks if kind in (CHUNK_BLOCK_STATUS, CHUNK_BLOCK_STATUS_EXT)]
        expected = self.contexts_named.pop(reply.cookie, len(self.contexts))
        if len(kinds) != expected:
            raise ProtocolError(f"{len(kinds)} BLOCK_STATUS chunks for {expected} contexts")
        for extents in reply.by_context.values():
            lengths = [extent for extent, _ in extents]
            if 0 in lengths or sum(lengths[:-1]) >= length:
                raise ProtocolError("an extent of length 0, or extents behind the end of the request")
            if flags & F_REQ_ONE and (len(lengths) != 1 or lengths[0] > length):
                raise ProtocolError("REQ_ONE wants exactly one extent within the request")

    # ---- one request and its reply ----

    def call(self, command, offset=0, length=0, flags=0, payload=b""):
        """A Reply, whatever its error is."""
        cookie = self.send(command, offset, length, flags, payload)
        reply = self.receive()
        if reply.cookie != cookie:
            raise ProtocolError("reply with another cookie")
        return reply

    def error_of(self, command, offset=0, length=0, flags=0, payload=b""):
        return self.call(command, offset, length, flags, payload).error

    def read(self, offset, length, flags=0):
        return self.call(CMD_READ, offset, length, flags).check().data

    def write(self, offset, data, flags=0):
        self.call(CMD_WRITE, offset, len(data), flags, data).check()

    def write_zeroes(self, offset, length, flags=0):
        self.call(CMD_WRITE_ZEROES, offset, length, flags).check()

    def trim(self, offset, length, flags=0):
        self.call(CMD_TRIM, offset, length, flags).check()

    def flush(self):
        self.call(CMD_FLUSH).check()

    def extents(self, offset, length, flags=0):
        return self.call(CMD_BLOCK_STATUS, offset, length, flags).check().extents

    def disconnect(self):
        """DISC, and waits for the server to close."""
        self.send_bytes(self.request_bytes(CMD_DISC))
        self.expect_end()
        self.socket.close()


def all_styles(uri):
    """Three clients: simple replies, structured replies, extended headers."""
    return Client(uri, structured=False), Client(uri), Client(uri, extended=True)


def equal(what, actual, expected):
    """Fails with a message that shows both (long bytes only in part)."""
    if actual == expected:
        return
    if isinstance(actual, (bytes, bytearray)) and isinstance(expected, (bytes, bytearray)):
        if len(actual) != len(expected):
            raise AssertionError(f"{what}: {len(actual)} bytes, expected {len(expected)}")
        at = next(i for i, (a, b) in enumerate(zip(actual, expected)) if a != b)
        raise AssertionError(f"{what}: first difference at byte {at} of {len(expected)}: "
                             f"{actual[at:at + 16].hex()}, expected {expected[at:at + 16].hex()}")
    raise AssertionError(f"{what}: {actual!r}, expected {expected!r}")


def wait_for(condition, what, seconds=30):
    """Polls until condition() is true; its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {seconds} s: {what}")
        time.sleep(0.02)


def stop_process(pid):
    """Stops it, and waits until none of its threads runs: the signal is one thread's first, which may wait for a CPU."""
    def states():
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/stat") as stat:
                    yield stat.read().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                pass  # that thread has ended
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: all(state in "TtZX" for state in states()), f"process {pid} is stopped")
