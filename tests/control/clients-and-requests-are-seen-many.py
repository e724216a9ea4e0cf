import socket
import sys

from varlink_client import Connection

clients = []
for _ in range(40):
    client = socket.socket(socket.AF_UNIX)
    client.connect(sys.argv[2])
    assert client.recv(16) == b"NBDMAGICIHAVEOPT"[:16]
    clients.append(client)
control = Connection(sys.argv[1])
seen = [reply["client"] for reply in control.list("ListClients")]
assert len(seen) == len(clients) and len({one["id"] for one in seen}) == len(seen), len(seen)
assert all(one["state"] == "handshake" and "export" not in one for one in seen), seen[0]
