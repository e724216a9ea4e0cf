import sys
import time

from varlink_client import Connection

count = int(sys.argv[2])
taken = []
for _ in range(count or 1):
    client = Connection(sys.argv[1])
    try:
        client.send("org.varlink.service.GetInfo")
    except BrokenPipeError:  # who is turned away has an answer all the same
        pass
    reply = client.receive()
    if "error" in reply:
        print(reply["parameters"]["reason"])
        sys.exit()
    taken.append(client)
print("a place" if count == 0 else f"{count} places", flush=True)
while count > 0:
    time.sleep(1)
