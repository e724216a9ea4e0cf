"""Clients of exports that are suspended, URI and SLOW-URI: one stops in the middle of a WRITE, one is idle, two ask for what their
storage does not answer.  Goes on at each line of standard input, and says at last what became of the first."""

import sys
from nbd_client import *

uri, slow_uri = sys.argv[1:]
half, idle = Client(uri), Client(uri)
data = bytes(range(256)) * 256
idle.write(0, data)
half.send_bytes(half.request_bytes(CMD_WRITE, 0, len(data))[: 28 + 100])
slow = [Client(slow_uri), Client(slow_uri)]
print("ready", flush=True)
sys.stdin.readline()
for client in slow:
    client.send(CMD_READ, 0, 65536)
print("asked", flush=True)
sys.stdin.readline()
half.socket.settimeout(30)
try:
    ended = half.socket.recv(1) == b""
except ConnectionResetError:
    ended = True
print("ended" if ended else "goes on", flush=True)
equal("what was written", idle.read(0, len(data)), data)
idle.disconnect()
for client in slow:
    try:
        client.socket.settimeout(30)
        while client.socket.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
