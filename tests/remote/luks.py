import os
import sys
from nbd_client import *

uri, plain, changed = sys.argv[1:]
content = open(plain, "rb").read()
rounds = 0
with Client(uri) as client:
    while rounds < 2 or not os.path.exists(changed):
        for at in range(0, len(content), 1 << 20):
            equal("what was read", client.read(at, 1 << 20), content[at:at + (1 << 20)])
        rounds += 1
