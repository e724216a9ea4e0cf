import resource
import sys

import nbd_client as nbd
from nbd_client import equal

uri, pid = sys.argv[1], int(sys.argv[2])
disk = open(sys.argv[3], "rb").read()
before = resource.prlimit(pid, resource.RLIMIT_AS)


def limit_to_what_it_has():
    with open(f"/proc/{pid}/statm") as file:
        pages = int(file.read().split()[0])
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), before[1]))


client = nbd.Client(uri)
limit_to_what_it_has()
read = client.send(nbd.CMD_READ, 4096, 4096)
write = client.send(nbd.CMD_WRITE, 8192, 4096, payload=b"w" * 4096)
try:
    client.socket.settimeout(1)
    client.receive()
    raise AssertionError("it was answered without memory")
except TimeoutError:
    pass
client.socket.settimeout(60)
resource.prlimit(pid, resource.RLIMIT_AS, before)
replies = {reply.cookie: reply for reply in (client.receive(), client.receive())}
equal("data", replies[read].check().data if replies[read].data else b"", disk[4096:8192])
replies[write].check()
disk = disk[:8192] + b"w" * 4096 + disk[12288:]

# Buffers of one size that nobody uses make room for those of another one.
limit_to_what_it_has()
equal("a large read", client.read(0, 32 << 20), disk)
