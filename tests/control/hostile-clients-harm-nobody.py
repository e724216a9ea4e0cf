import json
import os
import socket
import sys
import time

from varlink_client import Connection, Error

path, pid = sys.argv[1], sys.argv[2]
MIB = 1 << 20


def descriptors():
    return len(os.listdir(f"/proc/{pid}/fd"))


def until(what, condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still not so: {what}"
        time.sleep(0.02)


def expect(what, name, reply):
    assert reply is not None and reply.get("error", "").endswith("." + name), f"{what}: {reply}"


def expect_end(what, client):
    assert client.receive() is None, f"{what}: the connection goes on"


other = Connection(path)


def expect_others_served():
    begun = time.monotonic()
    assert other.call("Status")["status"]["state"] == "serving"
    assert time.monotonic() - begun < 5


expect_others_served()
at_first = descriptors()

# ---- what is no call ----
for what, sent in [
    ("no JSON", b"GET / HTTP/1.1\r\n\r\n\0"),
    ("an array", b"[]\0"),
    ("nothing", b"\0"),
    ("no UTF-8", b'{"method":"\xff"}\0'),
    ("NaN", b'{"method":"a.b","parameters":{"a":NaN}}\0'),
    ("too deep", b'{"method":"a.b","parameters":' + b'{"a":' * 16 + b"1" + b"}" * 17 + b"\0"),
    ("too many values", b'{"method":"a.b","parameters":{"a":[' + b"[]," * 20000 + b"1]}}\0"),
]:
    client = Connection(path)
    client.socket.sendall(sent)
    expect(what, "InvalidParameter", client.receive())
    expect_end(what, client)
    expect_others_served()

# ---- what is a call, but none of ours: it goes on ----
client = Connection(path)
for name, call in [
    ("MethodNotFound", {"method": "org.nbdcrypt.Nothing"}),
    ("InterfaceNotFound", {"method": "org.example.Nothing"}),
    ("InterfaceNotFound", {"method": "Nothing"}),
    ("InterfaceNotFound", {"method": "." * 100000}),
    ("InvalidParameter", {"method": "org.nbdcrypt.Status", "parameters": {"x": 1}}),
    ("InvalidParameter", {"method": "org.nbdcrypt.SetLogLevel", "parameters": {"level": 7}}),
    ("InvalidParameter", {"method": "org.nbdcrypt.SetLogLevel", "parameters": {"level": "info\0x"}}),
    ("InvalidParameter", {"method": "org.nbdcrypt.SetLogLevel", "parameters": {"level": "info", "seconds": -1}}),
    ("InvalidParameter", {"method": "org.nbdcrypt.Status", "upgrade": True}),
    ("InvalidParameter", {"parameters": {}}),
]:
    client.socket.sendall(json.dumps(call).encode() + b"\0")
    expect(str(call)[:80], name, client.receive())
client.call("Status")

# ---- as long as may be, and longer ----
def message_of(length):
    start, end = b'{"method":"org.nbdcrypt.ListExports","parameters":{"name":"', b'"}}'
    return start + b"x" * (length - len(start) - len(end)) + end + b"\0"


client.socket.sendall(message_of(MIB))
expect("1 MiB", "NoSuchExport", client.receive())
client.socket.close()
client = Connection(path)
try:
    client.socket.sendall(message_of(MIB + 1) + b"x" * MIB)
except OSError:
    pass  # it may hang up before all of it was sent
expect("more than 1 MiB", "InvalidParameter", client.receive())

# ---- descriptors: four are taken and closed with the call, others at once ----
client = Connection(path)
until("closed", lambda: descriptors() <= at_first + 1)
null = os.open("/dev/null", os.O_RDONLY)
for count in (1, 4, 5, 200):
    client.send_with_fds(b'{"method":"org.nbdcrypt.Status"}\0', [null] * count)
    client.reply()
for _ in range(20):  # one with each byte, and no end of the message
    client.send_with_fds(b" ", [null])
until("read", lambda: descriptors() <= at_first + 1 + 4)
client.socket.close()
until("no descriptor is left", lambda: descriptors() <= at_first)

# ---- many at a time ----
mine = [Connection(path) for _ in range(7)]
for one in mine:
    one.call("Status")
for _ in range(100):
    client = Connection(path)
    expect("one too many of a user", "Busy", client.receive())
    expect_end("one too many of a user", client)
expect_others_served()
for one in mine:
    one.socket.close()
until("places are given back", lambda: descriptors() <= at_first)

# ---- half a message, and nothing more ----
half = [Connection(path) for _ in range(7)]
for one in half:
    one.socket.sendall(b'{"method":' + b" " * (MIB // 2))
expect_others_served()
for one in half:
    one.socket.settimeout(60)
    expect_end("half a message", one)

# ---- who reads no reply is asked nothing more, and others are served ----
deaf = Connection(path)
deaf.socket.setblocking(False)
call = b'{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"org.nbdcrypt"}}\0'
sent = 0
try:
    while sent < 64 * MIB:
        sent += deaf.socket.send(call * 100)
except BlockingIOError:
    pass
assert sent < 64 * MIB, "calls are taken without end"
expect_others_served()

# ---- who reads no events loses some, is told how many, and keeps what came first ----
slow = Connection(path, 60)
slow.send("org.nbdcrypt.Events", {"type": "reload"}, more=True)
first = slow.reply()["event"]
assert first["type"] == "events.begin"
reloads = 12000
for _ in range(reloads // 100):
    for _ in range(100):
        other.send("org.nbdcrypt.Reload")
    for _ in range(100):
        other.reply()
seen, lost, last = 0, 0, first["seq"]
while seen + lost < reloads:
    reply = slow.reply()
    event, told = reply["event"], reply.get("lost", 0)
    lost += told
    if event["type"] == "reload.done":
        seen += 1
        assert event["seq"] == last + 1 + told, f"{event} after {last}"
        last = event["seq"]
    else:
        assert event["type"] == "events.lost" and told > 0, reply
        last += told
assert lost > 0 and seen > 1000, (seen, lost)
print(f"{seen} events seen, {lost} lost and told")
expect_others_served()
