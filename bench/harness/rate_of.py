"""rate_of.py URI RATE SECONDS: the requests a second that a client gets of a server that allows RATE of them, over so many
seconds.  Between the first answer and the last: what was allowed before the first one does not count."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tests", "support"))
from nbd_client import CMD_READ, Client  # noqa: E402

DEPTH = 4

uri, rate, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
first = max(DEPTH, int(rate * 0.1))
count = first + int(rate * seconds)
client = Client(uri)
for _ in range(DEPTH):
    client.send(CMD_READ, 0, 512)
for number in range(count + 1):
    client.receive()
    now = time.monotonic()
    if number == first:
        begun = now
    if number + DEPTH <= count:
        client.send(CMD_READ, 0, 512)
print((count - first) / (now - begun))
