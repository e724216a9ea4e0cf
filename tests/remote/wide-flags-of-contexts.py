"""Asks an nbdcrypt before a server that tells flags of 64 bits, with extended headers and without."""
import sys
import nbd_lies
from nbd_client import *

socket, context = sys.argv[1:]
LENGTH = 16384
WIDE = nbd_lies.WIDE


def client(name, **how):
    return Client(f"nbd+unix:///{name}?socket={socket}", contexts=("base:allocation", context), **how)


def status(opened, *arguments):
    return opened.call(CMD_BLOCK_STATUS, 8192, LENGTH, *arguments)


base = [(512, STATE_HOLE | STATE_ZERO), (LENGTH - 512, 0)]
# All of it, where the client's flags have 64 bits, too.
for name, told in (("wide-first", [(512, WIDE), (LENGTH - 512, 3)]),
                   ("wide-later", [(512, 7), (1024, WIDE), (LENGTH - 1536, 1 << 32)])):
    with client(name, extended=True) as extended:
        equal(f"{name}, extended", status(extended).check().by_context, {"base:allocation": base, context: told})
        equal(f"{name}, the first", status(extended, F_REQ_ONE).check().by_context[context], told[:1])
        extended.disconnect()
# What 32 bits can't hold is no answer for the others: neither cut off, nor another one's fault.
with client("wide-first") as compact:
    reply = status(compact)
    equal("error", reply.error, EOVERFLOW)
    equal("what was told before it", reply.by_context, {"base:allocation": base})
    equal("what is read", len(compact.read(8192, LENGTH)), LENGTH)
    compact.disconnect()
with client("wide-later") as compact:
    equal("what 32 bits can hold", status(compact).check().by_context, {"base:allocation": base, context: [(512, 7)]})
    compact.disconnect()
with Client(f"nbd+unix:///wide-first?socket={socket}") as compact:
    equal("base:allocation alone", compact.extents(8192, LENGTH), base)
    compact.disconnect()
with client("wide-first", structured=False) as simple:
    equal("error in simple replies, which have no contexts", status(simple).error, EINVAL)
    equal("what is read", len(simple.read(8192, LENGTH)), LENGTH)
    simple.disconnect()
# What base:allocation may say, everybody knows: the rest is left out.
for extended in False, True:
    with Client(f"nbd+unix:///wide-base?socket={socket}", extended=extended) as opened:
        equal("base:allocation", opened.extents(8192, LENGTH), [(512, STATE_HOLE), (LENGTH - 512, 0)])
        opened.disconnect()
