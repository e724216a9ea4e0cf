import sys
from nbd_client import *

clients = [Client(sys.argv[1]) for _ in range(6)]
for number, client in enumerate(clients):
    for i in range(100):
        at = (i * len(clients) + number) * 1024
        client.send(CMD_WRITE, at, 512, 0, b"w" * 512)
        client.send(CMD_WRITE, at + 512, 512, F_FUA, b"f" * 512)
        client.send(CMD_FLUSH)
        client.send(CMD_FLUSH)
for client in clients:
    for reply in client.receive_all().values():
        reply.check()
equal("data", clients[0].read(0, 600 * 1024), (b"w" * 512 + b"f" * 512) * 600)
for client in clients:
    client.disconnect()
