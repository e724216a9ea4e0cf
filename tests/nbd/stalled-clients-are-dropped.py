import os
import socket
import sys
import time
import nbd_client as nbd
from nbd_client import equal, wait_for
from tls_client import TlsClient, context

uri, pki, pid, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def descriptors():
    return len(os.listdir(f"/proc/{pid}/fd"))


def client(small=False):
    if uri.startswith("nbds"):
        made = TlsClient(uri, context(pki, "client"))
    else:
        made = nbd.Client(uri, receive_buffer_bytes=4096 if small else None)
    return made


def is_cut(one):
    one.socket.settimeout(seconds * 10)
    try:
        while one.socket.recv(1 << 20):
            pass
    except OSError:
        pass
    return True


idle = client()
slow = client(small=True)
first = descriptors()
header = client()
header.send_bytes(header.request_bytes(nbd.CMD_READ, 0, 512)[:20])
payload = client()
payload.send_bytes(payload.request_bytes(nbd.CMD_WRITE, 0, 100000) + b"x" * 1000)
refused = client()
refused.send_bytes(refused.request_bytes(nbd.CMD_WRITE, 1 << 40, 100000) + b"x" * 1000)
deaf = client(small=True)
deaf.send_bytes(b"".join(deaf.request_bytes(nbd.CMD_READ, 0, 32 << 20) for _ in range(2)))
slow.send_bytes(slow.request_bytes(nbd.CMD_READ, 0, 32 << 20))
begin = time.monotonic()
while descriptors() > first:
    if time.monotonic() - begin > seconds * 10:
        raise AssertionError(f"{descriptors() - first} descriptors are not back")
    slow.socket.recv(65536)
    time.sleep(0.05)
took = time.monotonic() - begin
assert took > seconds * 0.95, f"they were dropped after {took} s"
slow.socket.recv(65536)
equal("read of the idle client", bytes(idle.read(0, 4)), bytes(4))
for one in header, payload, refused:
    assert is_cut(one)
