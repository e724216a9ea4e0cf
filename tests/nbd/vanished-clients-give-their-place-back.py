import os
import subprocess
import sys
import time
import nbd_client as nbd
from nbd_client import wait_for

uri, pid = sys.argv[1], int(sys.argv[2])


def descriptors():
    return len(os.listdir(f"/proc/{pid}/fd"))


first = descriptors()
clients = [nbd.Client(uri) for _ in range(8)]
wait_for(lambda: descriptors() == first + len(clients), "descriptors of the clients")
for client in clients[:4]:
    client.send_bytes(client.request_bytes(nbd.CMD_READ, 0, 65536))
subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
begin = time.monotonic()
while descriptors() > first and time.monotonic() - begin < 60:
    time.sleep(0.1)
assert descriptors() == first, f"{descriptors() - first} descriptors of clients that vanished are still there"
