import sys
from nbd_client import *

socket, disk = sys.argv[1:]
content = open(disk, "rb").read()
for name in "flags:65535", "flags:2049", "size:9223372036854775296":
    with Client(f"nbd+unix:///{name}?socket={socket}") as client:
        equal(f"what was read with {name}", client.read(0, 4096), content[:4096])
        if name == "flags:65535":
            equal("WRITE to what says that it is read-only", client.error_of(CMD_WRITE, 0, 0, 0, b"w" * 512), EPERM)
        if name == "flags:2049":    # FAST_ZERO without WRITE_ZEROES
            equal("flag FAST_ZERO", client.flags & TF_FAST_ZERO and not client.flags & TF_WRITE_ZEROES, 0)
            client.call(CMD_WRITE_ZEROES, 0, 4096, F_FAST_ZERO)
            equal("what was read after fast zeroes", client.read(0, 4096), content[:4096])
        if name.startswith("size"):
            equal("READ of what is not there", client.error_of(CMD_READ, client.size - 4096, 4096), EINVAL)
