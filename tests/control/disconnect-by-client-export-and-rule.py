import json
import os
import subprocess
import sys
import time

from nbd_client import Client, EndOfStream, NbdError
from varlink_client import Connection

program, path, unix = sys.argv[1:]
control = Connection(path)
addresses = control.call("Status")["status"]["addresses"]
tcp = next(one for one in addresses if one.startswith("nbd://"))


def attach(export, by_tcp=False):
    if by_tcp:
        return Client(tcp.rpartition("/")[0] + "/" + export)
    return Client(f"nbd+unix:///{export}?socket={unix}")


def is_served(client):
    try:
        client.read(0, 512)
        return True
    except (EndOfStream, NbdError, ConnectionResetError, BrokenPipeError):
        return False


def disconnect(*arguments):
    command = [program, "ctl", "--socket", path, "disconnect", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def expect(what, clients, served):
    seen = {name for name, client in clients.items() if is_served(client)}
    assert seen == served, f"{what}: {seen} are served"


def everybody():
    deadline = time.monotonic() + 30
    while control.list("ListClients"):
        assert time.monotonic() < deadline, "clients stay"
        time.sleep(0.02)
    return {"a1": attach("a"), "a2": attach("a", True), "b1": attach("b"), "b2": attach("b", True)}


uid = f"uid:{os.getuid()}"
for arguments, told, served in [
    (["--export", "a"], 2, {"b1", "b2"}),
    (["--rule", "net:127.0.0.0/8"], 2, {"a1", "b1"}),
    (["--rule", uid], 2, {"a2", "b2"}),
    (["--export", "b", "--rule", uid], 1, {"a1", "a2", "b2"}),
    (["--rule", "any"], 4, set()),
    (["--rule", "psk:nobody"], 0, {"a1", "a2", "b1", "b2"}),
]:
    clients = everybody()
    text = disconnect(*arguments)
    assert text == f"{told} client{' was' if told == 1 else 's were'} told to go\n", (arguments, text)
    expect(arguments, clients, served)
    for client in clients.values():
        client.socket.close()
    clients.clear()

clients = everybody()
ids = {one["client"]["id"]: one["client"] for one in control.list("ListClients") if one["client"]["state"] == "transmission"}
mine = max(number for number, one in ids.items() if one["export"] == "b" and one["peer"].startswith("client pid"))
assert disconnect(str(mine)) == ""
expect("one of them", clients, {"a1", "a2", "b2"})
assert json.loads(disconnect("--json", "--export", "a"))["disconnected"] == 2
