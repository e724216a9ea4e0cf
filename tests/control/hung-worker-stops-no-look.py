import ctypes
import json
import os
import sys
import time

from nbd_client import AWAY, Client
from varlink_client import Connection, Error

path, unix, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WAIT_ALL = 0x4206, 0x4207, 17, 0x40000000


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) < 0:
        print(f"no thread can be stopped here: {os.strerror(ctypes.get_errno())}")
        sys.exit(77)


def thread_called(name):
    for thread in os.listdir(f"/proc/{pid}/task"):
        if open(f"/proc/{pid}/task/{thread}/comm").read().strip() == name:
            return int(thread)
    sys.exit(f"there is no thread {name}")


clients = [Client(f"nbd+unix:///{name}?socket={unix}") for name in ("a", "b", "a", "b")]
for client in clients:
    client.read(0, 512)  # it is attached, and counted
control = Connection(path)
rows = {one["client"]["id"]: one["client"] for one in control.list("ListClients")}
assert {one["thread"] for one in rows.values()} == {0, 1}, rows
stopped = [one for one in rows.values() if one["thread"] == 0]

thread = thread_called("nbdcrypt-0")
ptrace(PTRACE_SEIZE, thread)
ptrace(PTRACE_INTERRUPT, thread)
os.waitpid(thread, WAIT_ALL)

# ---- looks ----
begun = time.monotonic()
assert control.call("Status")["status"]["clients"] == 4
assert {one["client"]["id"] for one in control.list("ListClients")} == set(rows)
assert len(control.list("ListExports")) == 2 and len(control.list("ListFigures")) == 2
control.list("ListRequests")
assert control.call("ListExports", {"name": "a"})["export"]["clients"] == 2
assert control.call("GetMetadata", {"name": "a"}) == {"metadata": {}}
events = Connection(path)
events.send("org.nbdcrypt.Events", more=True)
assert events.reply()["event"]["type"] == "events.begin"
control.call("SetLogLevel", {"level": "notice"})
assert time.monotonic() - begun < 5, "a look waited"

# ---- who asks something of it waits alone ----
waiting = Connection(path, 60)
waiting.send("org.nbdcrypt.Disconnect", {"id": stopped[0]["id"]})
all_of_a = Connection(path, 60)
all_of_a.send("org.nbdcrypt.Disconnect", {"export": "a"})
begun = time.monotonic()
for _ in range(100):
    control.call("Status")
other = next(one for one in rows.values() if one["thread"] == 1)
try:
    control.call("Disconnect", {"id": other["id"]})
except Error as error:  # it went with the others of its export
    assert error.name == "org.nbdcrypt.NoSuchClient", error
assert time.monotonic() - begun < 5, "others waited"
waiting.socket.settimeout(0.2)
try:
    print(waiting.reply())
    sys.exit("a worker that hangs has answered")
except TimeoutError:
    waiting.socket.settimeout(60)

ptrace(PTRACE_DETACH, thread)
try:
    assert waiting.reply()["disconnected"] == 1
except Error as error:
    assert error.name == "org.nbdcrypt.NoSuchClient", error
assert all_of_a.reply()["disconnected"] >= 1
gone = 0
for client in clients:
    try:
        client.read(0, 512)
    except AWAY:
        gone += 1
assert gone >= 2, f"{gone} of them are gone"
