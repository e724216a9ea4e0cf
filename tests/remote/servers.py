import sys
from nbd_client import *

MIB = 1 << 20
with Client(sys.argv[1]) as client:
    client.call(CMD_TRIM, 0, 16 * MIB).check()
    client.write(4 * MIB, b"d" * MIB)
    equal("extents", client.call(CMD_BLOCK_STATUS, 0, 16 * MIB).check().extents,
          [(4 * MIB, 3), (MIB, 0), (11 * MIB, 3)])
    equal("one extent", client.call(CMD_BLOCK_STATUS, 4 * MIB + 1000, 12 * MIB - 1000, F_REQ_ONE).check().extents,
          [(MIB - 1000, 0)])
    equal("no range", client.error_of(CMD_READ, 16 * MIB, 512), EINVAL)
    client.call(CMD_CACHE, 0, MIB).check()
