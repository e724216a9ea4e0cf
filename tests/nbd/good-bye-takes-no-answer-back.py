"""URI LOG IMAGE [PKI]: see test-good-bye-takes-no-answer-back.sh."""

import sys
import time

from nbd_client import *
from tls_client import TlsClient, context

uri, log, image, *pki = sys.argv[1:]
content = open(image, "rb").read()
PIECE = 65536


def connect():
    if pki:
        return TlsClient(uri, context(pki[0], "client"))
    return Client(uri)


def detached():
    return open(log).read().count("detached export")


def ask(client):
    """For the whole image, and says DISC."""
    parts = [client.request_bytes(CMD_READ, at, PIECE) for at in range(0, len(content), PIECE)]
    wanted = dict(client.outstanding)
    parts.append(client.request_bytes(CMD_DISC))
    del client.outstanding[client.next_cookie - 1]
    client.send_bytes(b"".join(parts))
    return wanted


# As slowly as the server needs to be through with it first.
client = connect()
wanted = ask(client)
replies = 0
while client.outstanding:
    reply = client.receive().check()
    command, offset, length, _ = wanted[reply.cookie]
    equal("data", reply.data, content[offset:offset + length])
    replies += 1
    if replies == 1:
        client.send_bytes(b"x" * 100)  # which the server has not read when it is through
    if not detached():
        time.sleep(0.02)
equal("answers", replies, len(content) // PIECE)
if not detached():
    wait_for(detached, "the end of it")
client.socket.close()

# And one that takes nothing.
before = detached()
client = connect()
ask(client)
client.receive()
client.send_bytes(b"x" * 100)
started = time.monotonic()
while detached() == before and time.monotonic() - started < 30:
    client.socket.recv(PIECE)
client.socket.setblocking(True)
equal("its place is free again", bool(connect().size), True)
client.socket.close()
