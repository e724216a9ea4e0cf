import sys
from nbd_client import *

socket, disk = sys.argv[1:]
content = open(disk, "rb").read()
with Client(f"nbd+unix:///cut:567.read?socket={socket}") as client:
    for i in range(570):
        at = i % 128 * 512
        equal(f"what was read, {i}", client.read(at, 512), content[at:at + 512])
with Client(f"nbd+unix:///cut:39.status?socket={socket}") as client:
    for i in range(42):
        equal(f"extents, {i}", client.call(CMD_BLOCK_STATUS, 0, 4096).check().extents,
              [(512, STATE_HOLE | STATE_ZERO), (3584, 0)])
