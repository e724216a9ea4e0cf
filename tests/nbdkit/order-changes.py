import sys
from nbd_client import *

with Client(sys.argv[1]) as client:
    fua = F_FUA if client.flags & TF_FUA else 0
    client.write(0, b"x" * 512, fua)
    if client.flags & TF_TRIM:
        client.trim(4096, 4096, fua)
    else:
        equal("TRIM", client.error_of(CMD_TRIM, 4096, 4096, 0), EINVAL)
    client.write_zeroes(8192, 131072, fua | F_NO_HOLE)
    client.disconnect()
