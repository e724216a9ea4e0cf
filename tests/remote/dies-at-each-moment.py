import os
import sys
import threading
import nbd_server
from nbd_client import *

uri, socket, disk, *kind = sys.argv[1:]
BLOCK = 4096
# When it dies, what the client does (Write, write with fUa, Flush, Read), and which of the FLUSHes fails.
CASES = [
    # All that was answered had been flushed, or nothing had been answered: nothing is lost.
    ("before:WRITE:0", "WF", None), ("after:WRITE:0", "WF", None), ("half:WRITE:0", "WF", None),
    ("before:WRITE:1", "WFWF", None), ("after:WRITE:1", "WFWF", None), ("half:WRITE:1", "WFWF", None),
    ("answered:FLUSH:0", "WFF", None), ("answered:FLUSH:0", "WFWF", None),
    ("before:WRITE:0", "UF", None), ("after:WRITE:0", "UF", None), ("half:WRITE:0", "UF", None),
    ("answered:WRITE:0", "UF", None), ("after:WRITE:1", "UUF", None),
    ("before:READ:0", "WFRF", None), ("half:READ:0", "WFRF", None), ("half:READ:0", "URF", None),
    # A write that had been answered was not flushed, or may not have been.
    ("answered:WRITE:0", "WF", 0), ("answered:WRITE:1", "WWF", 0), ("answered:WRITE:1", "WFWF", 1),
    ("before:WRITE:1", "WWF", 0), ("after:WRITE:1", "WWF", 0), ("half:WRITE:1", "WWF", 0),
    ("after:WRITE:1", "WUF", 0),
    ("before:FLUSH:0", "WF", 0), ("after:FLUSH:0", "WF", 0), ("half:FLUSH:0", "WF", 0),
    ("before:FLUSH:1", "WFWF", 1), ("half:FLUSH:1", "WFWF", 1),
    ("before:READ:0", "WRF", 0), ("half:READ:0", "WRF", 0),
]


def serve(*words):
    return nbd_server.start(socket, disk, [*kind, *words])


class Dying(threading.Thread):
    """A server that dies, and its successor."""

    def __init__(self, die):
        super().__init__()
        self.server = serve("die=" + die)
        self.died = threading.Event()
        self.start()

    def run(self):
        os.waitpid(self.server, 0)
        self.died.set()
        self.server = serve()

    def end(self):
        self.join(TIMEOUT_S)
        nbd_server.kill(self.server)


def was_repeated(number, content, volatile):
    """Whether all that is not flushed is durable all the same: the end of the connection was seen before the answer to the
    only such write, which was sent again then."""
    with open(disk, "rb") as file:
        file.seek(number * BLOCK)
        return volatile == 1 and file.read(BLOCK) == content


def run(client, die, steps, failing):
    dying, content, flushes, last, volatile = Dying(die), None, 0, None, 0
    for number, step in enumerate(steps):
        if step in "WU":
            content = bytes([number + 1, len(die)]) * (BLOCK // 2)
            client.write(number * BLOCK, content, F_FUA if step == "U" else 0)
            last = number
            volatile += step == "W"
        elif step == "R":
            client.read(last * BLOCK, BLOCK)    # in doubt it may be what was there before
        else:
            error = client.error_of(CMD_FLUSH)
            # The loss of another connection may be seen before the answer to the FLUSH: then it may have lost writes, too.
            seen_late = kind and flushes == 0 and die.startswith("answered:FLUSH") and error == EIO
            if not seen_late and not (flushes == failing and not error and was_repeated(last, content, volatile)):
                equal(f"FLUSH {flushes} of {steps}, {die}", error, EIO if flushes == failing else 0)
            flushes += 1
            volatile = 0
        if die.startswith("answered") and not dying.died.is_set():
            dying.died.wait(0.2)    # the reply may be here first
    if not dying.died.wait(TIMEOUT_S):
        raise AssertionError(f"the server did not die: {steps}, {die}")
    if failing is None:
        equal(f"the last block written, {steps}, {die}", client.read(last * BLOCK, BLOCK), content)
    client.write(0, bytes(BLOCK))
    equal(f"the next FLUSH after {steps}, {die}", client.error_of(CMD_FLUSH), 0)
    dying.end()


with Client(uri) as client:
    for case in CASES:
        run(client, *case)
    last = serve()
    client.read(0, BLOCK)
    equal("the last FLUSH", client.error_of(CMD_FLUSH), 0)
    client.disconnect()
    nbd_server.kill(last)
