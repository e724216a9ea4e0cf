import sys
import threading
import nbd_client as nbd
from tls_client import TlsClient, context

uri, pki, count, log = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
through = []


def sessions():
    with open(log) as file:
        return file.read().count(", certificate CN=vm7\n")


def enter():
    client = TlsClient(uri, context(pki, "client"))
    through.append(client.read(0, 512))
    client.disconnect()


inside = TlsClient(uri, context(pki, "client"), go=False)
inside.want_structured_replies()
inside.want_contexts(["base:allocation"])
inside.go()
threads = [threading.Thread(target=enter) for _ in range(count)]
for thread in threads:
    thread.start()
while sessions() < 2:     # they are at it
    inside.read(0, 512)
for i in range(64):
    assert inside.call(nbd.CMD_BLOCK_STATUS, i << 16, 65536).check().extents     # of the other pool
assert sessions() < count, "storage waited for the handshakes"
for thread in threads:
    thread.join()
assert len(through) == count
inside.disconnect()
