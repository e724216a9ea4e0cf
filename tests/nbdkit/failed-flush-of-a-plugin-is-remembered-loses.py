import sys
from nbd_client import *

uri, lose, how = sys.argv[1:]
a, b, c = clients = [Client(uri) for _ in range(3)]
for client in clients:
    client.write(0, b"x" * 4096)
    client.flush()
open(lose, "w").close()
if how == "FLUSH":
    equal("FLUSH", b.error_of(CMD_FLUSH), ENOSPC)
if how == "FUA":
    equal("WRITE with FUA", b.error_of(CMD_WRITE, 0, 512, F_FUA, b"x" * 512), ENOSPC)
if how != "end":
    for client in clients * 2:
        equal("FLUSH afterwards", client.error_of(CMD_FLUSH), EIO)
        equal("WRITE with FUA afterwards", client.error_of(CMD_WRITE, 0, 512, F_FUA, b"x" * 512), EIO)
        equal("WRITE afterwards", client.error_of(CMD_WRITE, 0, 512, 0, b"x" * 512), 0)
for client in clients:
    client.disconnect()
