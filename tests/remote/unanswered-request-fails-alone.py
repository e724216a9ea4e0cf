import select
import sys
import time
from nbd_client import *

[uri] = sys.argv[1:]
SECONDS = 2
with Client(uri) as waiting, Client(uri) as other:
    start = time.monotonic()
    waiting.send(CMD_READ, 8192, 4096)
    while not select.select([waiting.socket], [], [], 0)[0]:
        other.read(0, 4096)
        if time.monotonic() - start > 10 * SECONDS:
            raise AssertionError("a request that is never answered waits for ever")
    equal("the error of what is never answered", waiting.receive().error, EIO)
    if time.monotonic() - start < SECONDS:
        raise AssertionError("it failed too early")
    other.read(0, 4096)
    waiting.read(0, 4096)
