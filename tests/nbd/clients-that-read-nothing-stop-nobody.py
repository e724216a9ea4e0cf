import sys
import time

from nbd_client import CMD_FLUSH, CMD_READ, Client

path, count = sys.argv[1], int(sys.argv[2])
COMMANDS = 140  # the server takes up to 128 of a connection


def serves(what, client):
    start = time.monotonic()
    client.read(0, 4096)
    seconds = time.monotonic() - start
    assert seconds < 10, f"{what} waited {seconds:.1f} s"


old = Client(f"nbd+unix:///?socket={path}")
attackers = []
for _ in range(count):
    client = Client(f"nbd+unix:///attacked?socket={path}", receive_buffer_bytes=4096)
    # The replies to these fill the socket.
    client.socket.sendall(b"".join(client.request_bytes(CMD_READ, 0, 240 << 10) for _ in range(4)))
    client.socket.sendall(b"".join(client.request_bytes(CMD_FLUSH, 0, 0) for _ in range(COMMANDS)))
    attackers.append(client)
for _ in range(5):
    serves("a client that was there before", old)
    new = Client(f"nbd+unix:///?socket={path}")
    serves("a new client", new)
    new.disconnect()
# They get their answers when they read.
for client in attackers[:3]:
    for _ in range(4 + COMMANDS):
        client.receive().check()
