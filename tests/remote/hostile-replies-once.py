import sys
from nbd_client import *

socket, disk, *names = sys.argv[1:]
content = open(disk, "rb").read()
clients = {name: Client(f"nbd+unix:///{name}?socket={socket}") for name in names}
for client in clients.values():
    client.send(CMD_READ, 8192, 8192)
for name, client in clients.items():
    equal(f"what was read with {name}", client.receive().check().data, content[8192:16384])
for client in clients.values():
    client.send(CMD_BLOCK_STATUS, 8192, 8192)
for name, client in clients.items():
    equal(f"extents with {name}", client.receive().check().extents, [(512, STATE_HOLE | STATE_ZERO), (7680, 0)])
for client in clients.values():
    client.send(CMD_WRITE, 8192, 0, 0, content[8192:16384])
for name, client in clients.items():
    client.receive().check()
    client.call(CMD_FLUSH)      # where the connection was lost after the reply it has to fail once
    equal(f"what was read at last with {name}", client.read(0, 65536), content)
