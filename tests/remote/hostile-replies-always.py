import sys
import nbd_lies
from nbd_client import *

socket, disk, honest, *names = sys.argv[1:]
content = open(disk, "rb").read()
clients = {name: Client(f"nbd+unix:///{name}?socket={socket}") for name in names}
other = Client(f"nbd+unix:///{honest}?socket={socket}")
for name, client in clients.items():
    command = nbd_lies.LIES[name.partition(":")[2]][0]
    client.send(command, 8192, 8192, 0, b"w" * 8192 if command == CMD_WRITE else b"")
for _ in range(100):
    equal("what was read meanwhile", other.read(0, 65536)[:4096], content[:4096])
for name, client in clients.items():
    equal(f"error with {name}", client.receive().error, 0 if name.endswith("finished") else EIO)
    client.call(CMD_FLUSH)
