import sys
import time
import nbd_client
from nbd_client import *

uri, number, command, seconds = sys.argv[1:]
with Client(uri) as client:
    before = time.monotonic()
    equal(command, client.error_of(getattr(nbd_client, command), 0, 0 if command == "CMD_FLUSH" else 4096,
                                   0, b"w" * 4096 if command == "CMD_WRITE" else b""), int(number))
    if time.monotonic() - before > float(seconds):
        raise AssertionError(f"the answer took longer than {seconds} s")
