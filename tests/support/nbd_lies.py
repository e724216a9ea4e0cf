"""Structured replies that break a rule of the protocol, for tests/support/nbd_server.py (standard library only).

LIES: name -> (command that it answers, function).  The function takes a Request and yields the bytes to send, part by
part; where it ends, the server goes on as if it had answered.  HONEST is what nothing is wrong with.
"""

import struct
import time
from nbd_client import *

CONTEXT = 1     # what the server calls base:allocation


class Request:
    def __init__(self, cookie, offset, data, extended=False):
        self.cookie, self.offset, self.data, self.extended = cookie, offset, data, extended
        self.length = len(data)

    def chunk(self, kind, payload=b"", done=True, length=None, cookie=None):
        flags, cookie = CHUNK_DONE if done else 0, self.cookie if cookie is None else cookie
        length = len(payload) if length is None else length
        if self.extended:
            return struct.pack(">IHHQQQ", MAGIC_EXTENDED_REPLY, flags, kind, cookie, self.offset, length) + payload
        return struct.pack(">IHHQI", MAGIC_STRUCTURED_REPLY, flags, kind, cookie, length) + payload

    def part(self, start, end, done=False):
        """The data from start to end, counted from the beginning of the request."""
        return self.chunk(CHUNK_OFFSET_DATA, struct.pack(">Q", self.offset + start) + self.data[start:end], done)

    def at(self, offset, data, done=True):
        return self.chunk(CHUNK_OFFSET_DATA, struct.pack(">Q", offset % (1 << 64)) + data, done)

    def hole(self, offset, length, done=True):
        return self.chunk(CHUNK_OFFSET_HOLE, struct.pack(">QI", offset, length), done)

    def error(self, number=EIO, text_length=0, tail=b"", kind=CHUNK_ERROR, done=True):
        return self.chunk(kind, struct.pack(">IH", number, text_length) + tail, done)

    def status(self, *extents, context=CONTEXT, done=True):
        if self.extended:
            return self.chunk(CHUNK_BLOCK_STATUS_EXT, struct.pack(">II", context, len(extents)) +
                              b"".join(struct.pack(">QQ", *extent) for extent in extents), done)
        return self.chunk(CHUNK_BLOCK_STATUS, struct.pack(">I", context) +
                          b"".join(struct.pack(">II", *extent) for extent in extents), done)


def halves(r):
    """In two chunks, the second first."""
    middle = r.length // 2
    yield r.part(middle, r.length) + r.part(0, middle, True)


def endlessly(part):
    def lie(r):
        while True:
            yield part(r)
            time.sleep(0.005)   # the connection is what has to end, not the machine
    return lie


def once(part):
    def lie(r):
        yield part(r)
    return lie


READS = {
    "beyond": once(lambda r: r.at(r.offset + r.length - 512, b"x" * 1024)),
    "before": once(lambda r: r.at(r.offset - 512, b"x" * 1024)),
    "far": once(lambda r: r.at(-512, b"x" * 1024)),
    "overlap": once(lambda r: r.part(0, r.length // 2) + r.part(0, r.length // 2, True)),
    "twice": once(lambda r: r.part(0, r.length) + r.part(0, r.length, True)),
    "gap": once(lambda r: r.part(0, r.length // 2, True)),
    "nothing": once(lambda r: r.chunk(CHUNK_NONE)),
    "empty": once(lambda r: r.part(0, r.length) + r.part(0, 0, True)),
    "crumbs": lambda r: (r.part(i, i + 1, i + 2 >= r.length) for i in range(0, r.length, 2)),
    "tiny": once(lambda r: r.chunk(CHUNK_OFFSET_DATA, b"1234")),
    "hole-beyond": once(lambda r: r.hole(r.offset, 0xffffffff)),
    "hole-empty": once(lambda r: r.part(0, r.length) + r.hole(r.offset, 0)),
    "hole-over-data": once(lambda r: r.part(0, r.length) + r.hole(r.offset, 512)),
    "hole-tiny": once(lambda r: r.chunk(CHUNK_OFFSET_HOLE, b"12345678")),
    "none-with-data": once(lambda r: r.chunk(CHUNK_NONE, b"12345678")),
    "none-not-done": once(lambda r: r.chunk(CHUNK_NONE, done=False)),
    "error-tiny": once(lambda r: r.chunk(CHUNK_ERROR, b"123")),
    "error-text": once(lambda r: r.error(text_length=1000)),
    "error-tail": once(lambda r: r.error(tail=b"1234")),
    "error-far": once(lambda r: r.error(tail=struct.pack(">Q", 1 << 63), kind=CHUNK_ERROR_OFFSET)),
    "unknown-chunk": once(lambda r: r.chunk(77)),
    "huge": once(lambda r: r.chunk(CHUNK_OFFSET_DATA, b"12345678", length=0xffffffff)),
    "status": once(lambda r: r.status((r.length, 0))),
    "simple": once(lambda r: struct.pack(">IIQ", MAGIC_SIMPLE_REPLY, 0, r.cookie) + r.data),
    "cookie": once(lambda r: r.chunk(CHUNK_NONE, cookie=r.cookie ^ 1 << 60)),
    "finished": once(lambda r: r.part(0, r.length, True) + r.error(EINVAL)),
    "endless-data": endlessly(lambda r: r.part(0, r.length)),
    "endless-empty": endlessly(lambda r: r.part(0, 0)),
    "endless-errors": endlessly(lambda r: r.error(done=False)),
}
STATUSES = {
    "no-extents": once(lambda r: r.chunk(CHUNK_BLOCK_STATUS, struct.pack(">I", CONTEXT))),
    "half-extent": once(lambda r: r.chunk(CHUNK_BLOCK_STATUS, struct.pack(">III", CONTEXT, 512, 0) + b"1234")),
    "empty-extent": once(lambda r: r.status((512, 1), (0, 0), (512, 0))),
    "empty-first": once(lambda r: r.status((0, 0))),
    "data-for-status": once(lambda r: r.at(r.offset, b"x" * 512)),
}
WRITES = {
    "data-for-write": once(lambda r: r.at(r.offset, b"x" * 512)),
    "write-finished": once(lambda r: r.chunk(CHUNK_NONE) + r.chunk(CHUNK_NONE)),
}
# Not according to the rules, but nothing that harms; what is expected is in the test.
HONEST = {
    CMD_READ: halves,
    CMD_BLOCK_STATUS: once(lambda r: r.status((512, STATE_HOLE | STATE_ZERO), (r.length - 512, 0))),
}
ODD_READS = {
    "error-zero": once(lambda r: r.error(0)),
    "unknown-error": once(lambda r: r.error(ENOSPC, kind=0x8077)),
    "error-late": once(lambda r: r.part(0, r.length) + r.error(ENOMEM)),
    "error-words": once(lambda r: r.error(ENOSPC, 13, b"no\x1b[31m room\n")),
}
ODD_STATUSES = {
    "long-extent": once(lambda r: r.status((0xfffffe00, STATE_HOLE))),
    "more-extents": once(lambda r: r.status((r.length, STATE_HOLE), (512, 0))),
    "other-context": once(lambda r: r.status((512, STATE_HOLE), context=9)),
    "no-status": once(lambda r: r.chunk(CHUNK_NONE)),
}
# 1 KiB at a time, data and holes in turn: nothing is wrong with it.
BRIEF_STATUSES = {
    "crumb": once(lambda r: r.status((1024 - r.offset % 1024, r.offset // 1024 % 2 * (STATE_HOLE | STATE_ZERO)))),
}
# Of a server that has a second context.  What is wrong there costs the request that asks for it, ...
OTHER = CONTEXT + 1


def of_contexts(r, count):
    """Nothing is wrong with it: 512 bytes and the rest, with the number of the context in the flags."""
    for number in range(count):
        yield r.status((512, STATE_HOLE | STATE_ZERO if number == 0 else number), (r.length - 512, 0),
                       context=CONTEXT + number, done=number == count - 1)


def beside(*chunks):
    """The right thing about base:allocation, and something else about the other one."""
    def lie(r):
        yield r.status((512, STATE_HOLE | STATE_ZERO), (r.length - 512, 0), done=False)
        for chunk in chunks:
            yield chunk(r)
        yield r.chunk(CHUNK_NONE)
    return lie


CONTEXTS_FAIL = {
    "context-silent": beside(),
    "context-unknown": beside(lambda r: r.status((512, 7), context=99, done=False)),
    "context-odd": beside(lambda r: r.status((100, 7), (r.length - 100, 0), context=OTHER, done=False)),
    "context-error": once(lambda r: r.error(ENOMEM)),
}
# ... or the connection, ...
CONTEXTS_LOSE = {
    "context-empty": beside(lambda r: r.status((0, 7), context=OTHER, done=False)),
    "context-none": beside(lambda r: r.chunk(CHUNK_BLOCK_STATUS, struct.pack(">I", OTHER), done=False)),
}
# ... or nothing: the flags that are told, and of how many bytes.
CONTEXTS_PASS = {
    "context-long": beside(lambda r: r.status((512, 7), (0xfffffe00, 8), context=OTHER, done=False)),
    "context-more": beside(lambda r: r.status((512, 7), (r.length - 512, 8), (512, 9), context=OTHER, done=False)),
    "context-twice": beside(lambda r: r.status((512, 1), context=OTHER, done=False),
                            lambda r: r.status((512, 7), (r.length - 512, 8), context=OTHER, done=False)),
    "context-crumbs": beside(lambda r: r.status(*[(512, 7 + i % 2) for i in range(r.length // 512)], context=OTHER,
                                                done=False)),
}
# Of one with extended headers: flags of 64 bits, of which nobody said what they mean.
WIDE = 1 << 63 | 1 << 40 | 5
CONTEXTS_WIDE = {
    "wide-first": beside(lambda r: r.status((512, WIDE), (r.length - 512, 3), context=OTHER, done=False)),
    "wide-later": beside(lambda r: r.status((512, 7), (1024, WIDE), (r.length - 1536, 1 << 32), context=OTHER, done=False)),
    "wide-base": once(lambda r: r.status((512, 1 << 63 | STATE_HOLE), (r.length - 512, 1 << 32))),
}
LIES = {name: (command, lie)
        for command, lies in ((CMD_READ, READS | ODD_READS), (CMD_BLOCK_STATUS, STATUSES | ODD_STATUSES | BRIEF_STATUSES
                                                    | CONTEXTS_FAIL | CONTEXTS_LOSE | CONTEXTS_PASS | CONTEXTS_WIDE), (CMD_WRITE, WRITES))
        for name, lie in lies.items()}
