import sys
from nbd_client import *

MIB = 1 << 20
a, b = [Client(sys.argv[1]) for _ in range(2)]
for at in range(0, 99, 3):
    a.write(at * MIB, b"A" * (3 * MIB))
errors = [b.error_of(CMD_WRITE, at * MIB, MIB, F_FUA, b"B" * MIB) for at in range(100, 110)]
errors += [client.error_of(CMD_FLUSH) for client in (a, b, a, b)]
first = next((i for i, error in enumerate(errors) if error), len(errors))
if first >= len(errors) - 3 or 0 in errors[first:]:
    raise AssertionError(f"FUA, then FLUSH gave {errors}")
