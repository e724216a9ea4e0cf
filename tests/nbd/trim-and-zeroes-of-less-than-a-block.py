import random
import sys
from nbd_client import *

uri, kind, block = sys.argv[1], sys.argv[2], int(sys.argv[3])
KIB = 1024
disk = bytearray(random.Random(1).randbytes(1024 * KIB))
ranges = [(at, length) for at in (0, 1, 511, 512, 3584, 4095, 4096, 4608) for length in (1, 512, 513, 4096, 8192, 70000)]
for number, client in enumerate(all_styles(uri)):
    client.write(0, bytes(disk))
    for at, length in ranges:
        at += 128 * KIB
        for flags in (0, F_NO_HOLE, F_FUA):
            equal(f"WRITE_ZEROES {at} {length}", client.error_of(CMD_WRITE_ZEROES, at, length, flags), 0)
            disk[at:at + length] = bytes(length)
            if client.read(0, len(disk)) != disk:
                raise AssertionError(f"WRITE_ZEROES of {length} at {at}: it reads as something else")
            disk[at:at + length] = random.Random(at).randbytes(length)
            client.write(at, bytes(disk[at:at + length]))
        error = client.error_of(CMD_WRITE_ZEROES, at, length, F_FAST_ZERO)
        whole = at // -block * -block < (at + length) // block * block
        if error or (kind == "raw" and not whole):
            equal(f"FAST_ZERO {at} {length}", error, ENOTSUP)
        else:
            disk[at:at + length] = bytes(length)
        after = client.read(0, len(disk))
        if kind != "raw" and error: # parts of a sector may have been written
            after = after[:at] + disk[at:at + length] + after[at + length:]
        equal("FAST_ZERO does all or nothing", after == disk, True)
        equal(f"TRIM {at} {length}", client.error_of(CMD_TRIM, at, length, F_FUA if number else 0), 0)
        after = client.read(0, len(disk))
        if after[:at] != disk[:at] or after[at + length:] != disk[at + length:]:
            raise AssertionError(f"TRIM of {length} at {at} changed what is beside it")
        disk[:] = after
    client.flush()
    client.disconnect()
