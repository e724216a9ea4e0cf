import sys
from nbd_client import *

for client in all_styles(sys.argv[1]):
    equal("FUA is offered", client.flags & TF_FUA, 0)
    client.write(0, b"D" * 512)
    for command, length, payload in ((CMD_WRITE, 512, bytes(512)), (CMD_READ, 512, b""), (CMD_FLUSH, 0, b""),
                                     (CMD_WRITE_ZEROES, 512, b""), (CMD_WRITE, 0, b"")):
        equal(f"command {command}", client.error_of(command, 0, length, F_FUA, payload), EINVAL)
    if client.structured:
        equal("BLOCK_STATUS", client.error_of(CMD_BLOCK_STATUS, 0, 512, F_FUA), EINVAL)
    equal("READ", client.read(0, 512), b"D" * 512)
    client.disconnect()
