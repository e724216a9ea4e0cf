import resource
import sys

import nbd_client as nbd
from nbd_client import equal

uri, pid = sys.argv[1], int(sys.argv[2])
before = resource.prlimit(pid, resource.RLIMIT_AS)
client = nbd.Client(uri)
with open(f"/proc/{pid}/statm") as file:
    pages = int(file.read().split()[0])
resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize(), before[1]))
for command, payload in ((nbd.CMD_READ, b""), (nbd.CMD_WRITE, b"w" * 4096)):
    client.send(command, 0, 4096, payload=payload)
for _ in range(2):
    equal("error", client.receive().error, nbd.ENOMEM)
client.flush()
resource.prlimit(pid, resource.RLIMIT_AS, before)
client.read(0, 1 << 20)
