import os
import resource
import socket
import sys
import urllib.parse

from nbd_client import AWAY, Client, equal, wait_for

uri, pid = sys.argv[1], int(sys.argv[2])
address = urllib.parse.urlsplit(uri)


def newcomer():
    try:
        return Client(uri)
    except AWAY:
        return None


client = Client(uri)
before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
lowest_free = next(number for number in range(len(used) + 1) if number not in used)
resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
tried = [socket.create_connection((address.hostname, address.port), timeout=60) for _ in range(20)]
greeted = [len(connection.recv(18)) for connection in tried]
assert greeted.count(0) >= 10, greeted
for connection in tried:
    connection.close()
equal("read meanwhile", client.read(0, 512), bytes(512))
resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
equal("read after that", wait_for(newcomer, "there are descriptors again").read(0, 512), bytes(512))
