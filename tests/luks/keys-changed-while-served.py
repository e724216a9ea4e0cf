import os
import sys
from nbd_client import Client, equal

rounds = 0
with Client(sys.argv[1]) as client:
    while rounds < 20 or not os.path.exists(sys.argv[2]):
        rounds += 1
        for start in (0, 4096, client.size - 8192):
            data = bytes([rounds % 251]) * 8192
            client.write(start, data)
            equal(f"round {rounds}", client.read(start, 8192), data)
    client.write(0, b"the end!" * 512)
    client.flush()
