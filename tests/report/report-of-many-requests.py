"""Many requests wait for storage that hangs: a report tells all of them and shows the oldest; then each is answered."""
import json
import os
import signal
import subprocess
import sys
from nbd_client import *

CLIENTS, EACH, SHOWN = 100, 100, 64
uri, control, program, storage = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


def report():
    text = subprocess.run([program, "ctl", "--socket", control, "--timeout", "60", "--json", "report"], check=True,
                          stdout=subprocess.PIPE).stdout
    return json.loads(text)["sections"]


clients = [Client(uri) for _ in range(CLIENTS)]
for client in clients:
    client.read(0, 512)
stop_process(storage)
for number, client in enumerate(clients):
    for i in range(EACH):
        client.send(CMD_READ, (number * EACH + i) % 8192 * 512, 512)

# The server takes as many as it has slots for; the rest wait on the wire.
before = -1
while True:
    sections = report()
    count = sections["requests"]["in_flight"]
    if count == before and count > CLIENTS:
        break
    before = count
oldest = sections["requests"]["oldest"]
equal("requests that are shown", len(oldest), SHOWN)
equal("the oldest come first", [one["age_us"] for one in oldest], sorted((one["age_us"] for one in oldest), reverse=True))
equal("what they wait for", {one["phase"] for one in oldest}, {"backend"})
equal("clients", sections["clients"]["count"], CLIENTS)
equal("what each of them waits for", sum(one["in_flight"] for one in sections["clients"]["clients"]), count)
print(f"{count} requests in flight", file=sys.stderr)

os.kill(storage, signal.SIGCONT)
for client in clients:
    for _ in range(EACH):
        equal("error of a request", client.receive().error, 0)
