import sys
import time

from nbd_client import CMD_READ, CMD_WRITE, Client, wait_for

uri, pid = sys.argv[1], int(sys.argv[2])


def resident_kib():
    with open(f"/proc/{pid}/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS:")).split()[1])


at_first = resident_kib()
old = Client(uri)
greedy = []
for _ in range(24):
    client = Client(uri, receive_buffer_bytes=4096)
    client.socket.sendall(b"".join(client.request_bytes(CMD_READ, 0, 1 << 20) for _ in range(16)))
    greedy.append(client)
start = time.monotonic()
old.read(0, 1 << 20)
new = Client(uri)
new.read(0, 1 << 20)
assert time.monotonic() - start < 40
assert resident_kib() < at_first + 6144, f"{at_first} KiB have become {resident_kib()}"
for client in greedy:
    client.socket.close()

# The same of clients that begin to write and send no more of it.
half = []
for _ in range(40):
    client = Client(uri)
    client.socket.sendall(client.request_bytes(CMD_WRITE, 0, 256 << 10) + b"w")
    half.append(client)
start = time.monotonic()
new.read(0, 1 << 20)
assert time.monotonic() - start < 40
for client in half:
    client.socket.close()
wait_for(lambda: resident_kib() < at_first + 1500 or None, "the memory is given back")
new.read(0, 1 << 20)
