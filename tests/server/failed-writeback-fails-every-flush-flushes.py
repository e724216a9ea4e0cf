import sys
from nbd_client import *

MIB = 1 << 20
a, b, c = clients = [Client(sys.argv[1]) for _ in range(3)]
b.write(118 * MIB, b"kept" * 16384)
equal("FLUSH while there is room", c.error_of(CMD_FLUSH), 0)
for at in range(0, 99, 3):
    equal("WRITE", a.error_of(CMD_WRITE, at * MIB, 3 * MIB, 0, b"A" * (3 * MIB)), 0)
b.write(110 * MIB, b"B" * 65536)
c.write(112 * MIB, b"C" * 65536)
errors = [client.error_of(CMD_FLUSH) for client in clients * 2]
if 0 in errors or not set(errors) <= {EIO, ENOSPC}:
    raise AssertionError(f"FLUSH after a writeback that failed gave {errors}")
for client in clients + [Client(sys.argv[1])]:
    equal("FLUSH", client.error_of(CMD_FLUSH), EIO)
    equal("WRITE with FUA", client.error_of(CMD_WRITE, 0, 4096, F_FUA, b"f" * 4096), EIO)
    equal("TRIM with FUA", client.error_of(CMD_TRIM, 0, 4096, F_FUA), EIO)
    equal("WRITE_ZEROES with FUA", client.error_of(CMD_WRITE_ZEROES, 0, 4096, F_FUA), EIO)
    equal("READ", client.error_of(CMD_READ, 0, 4096), 0)
