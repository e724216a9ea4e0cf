import sys
import nbd_lies
from nbd_client import *

socket, context = sys.argv[1:]
LENGTH = 16384


def client(name):
    opened = Client(f"nbd+unix:///{name}?socket={socket}", contexts=("base:allocation", context))
    equal(f"contexts of {name}", sorted(opened.contexts), sorted(("base:allocation", context)))
    return opened


def status(opened):
    return opened.call(CMD_BLOCK_STATUS, 8192, LENGTH)


base = [(512, STATE_HOLE | STATE_ZERO), (LENGTH - 512, 0)]
honest = client("honest")
equal("honest", status(honest).check().by_context, {"base:allocation": base, context: [(512, 1), (LENGTH - 512, 0)]})
# A part of its blocks, of which it has told no size: they are taken for 512 bytes.
unaligned = honest.call(CMD_BLOCK_STATUS, 8192 + 100, 1000).check()
equal("a part of blocks", unaligned.by_context[context], [(412, 1), (588, 0)])
# Where nobody asks for the context, nothing of it is told.
equal("base alone", Client(f"nbd+unix:///lie:context-silent?socket={socket}").extents(8192, LENGTH), base)

for name in nbd_lies.CONTEXTS_FAIL:
    failing = client(f"lie:{name}")
    reply = status(failing)
    equal(f"error with {name}", reply.error, ENOMEM if name == "context-error" else EIO)
    equal(f"what was told with {name}", reply.by_context, {} if name == "context-error" else {"base:allocation": base})
    equal(f"what is read with {name}", len(failing.read(8192, LENGTH)), LENGTH)

for name in nbd_lies.CONTEXTS_PASS:
    extents = status(client(f"lie:{name}")).check().by_context[context]
    equal(f"flags with {name}", [flags for _, flags in extents[:2]], [7, 8])
    equal(f"bytes with {name}", sum(length for length, _ in extents), LENGTH)

# The connection is lost, and the request sent again.
for name in nbd_lies.CONTEXTS_LOSE:
    equal(f"once {name}", status(client(f"once.lie:{name}")).check().by_context,
          {"base:allocation": base, context: [(512, 1), (LENGTH - 512, 0)]})
    equal(f"always {name}", status(client(f"lie:{name}")).error, EIO)
equal("honest, after all of it", status(honest).check().by_context[context], [(512, 1), (LENGTH - 512, 0)])
