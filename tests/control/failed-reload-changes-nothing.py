"""failed-reload-changes-nothing.py FOLDER CONTROL ORDER KIND...: reloads between two configurations, of which one call fails.

FOLDER/before and FOLDER/after are the two; ORDER is what tests/support/failing-calls.c maps."""
import collections
import difflib
import itertools
import json
import os
import re
import struct
import sys
import time

from nbd_client import Client
from varlink_client import Connection, Error

folder, control, order = sys.argv[1:4]
KINDS = {"memory": 1, "library-memory": 2, "descriptors": 3, "files": 4, "threads": 5}
tenants = itertools.count()
CHANGING = ("since", "clients", "handshakes", "revision", "in_flight", "oldest_ms", "id", "requests", "opened")


def arm(kind, fail_at):
    with open(order, "r+b") as file:
        file.write(struct.pack("4I", kind, 0, fail_at, 0))


def disarm():
    """Whether it has failed, and how many calls there were."""
    with open(order, "r+b") as file:
        _, seen, _, failed = struct.unpack("4I", file.read(16))
        file.seek(0)
        file.write(struct.pack("4I", 0, 0, 0, 0))
    return bool(failed), seen


def use(name):
    """Its group is another one each time, for a group stays in memory."""
    with open(f"{folder}/{name}") as file, open(f"{folder}/new", "w") as new:
        new.write(file.read().replace("tenant", f"tenant-{next(tenants)}"))
    os.rename(f"{folder}/new", f"{folder}/nbdcrypt.conf")


def constant(view):
    if isinstance(view, dict):
        return {key: constant(value) for key, value in view.items() if key not in CHANGING}
    return [constant(one) for one in view] if isinstance(view, list) else view


def everything():
    with_control = Connection(control)
    exports = sorted(with_control.list("ListExports"), key=lambda one: one["export"]["name"])
    metrics = "".join(part["text"] for part in with_control.list("Metrics"))
    certificates = sorted(line for line in metrics.splitlines() if line.startswith("nbdcrypt_tls_certificate_expiry"))
    sockets = sorted((name, os.stat(f"{folder}/{name}").st_mode) for name in os.listdir(folder) if name.endswith(".sock"))
    groups = with_control.list("ListGroups")
    shown = [constant(exports), groups, constant(with_control.call("Status")["status"]), certificates, sockets]
    text = json.dumps(shown, indent=1, sort_keys=True)
    return re.sub(r"tenant-\d+", "tenant", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", text))


def expect_same(expected, what):
    now = everything()
    differences = difflib.unified_diff(expected.splitlines(), now.splitlines(), "expected", "now", lineterm="")
    assert now == expected, what + "\n" + "\n".join(differences)


def reload():
    """None, or why it has failed."""
    try:
        Connection(control).call("Reload")
        return None
    except Error as error:
        assert error.name.startswith("org.nbdcrypt."), error
        return str(error)


def descriptors():
    """What each is of, but for numbers.  None where they are not shown: a server lets only root look into it."""
    names = []
    if not os.access(f"/proc/{server}/fd", os.R_OK):
        return names
    for fd in os.listdir(f"/proc/{server}/fd"):
        try:
            names.append(re.sub(r"\d+", "", os.readlink(f"/proc/{server}/fd/{fd}")))
        except FileNotFoundError:
            pass
    return sorted(names)


def descriptors_more_than(some):
    """An end of a client's connection, or an image, is closed a moment after the answer."""
    return list((collections.Counter(descriptors()) - collections.Counter(some)).elements())


def settled():
    """What is open when nothing is on its way to be closed."""
    now, same_since = descriptors(), time.monotonic()
    while time.monotonic() < same_since + 0.2:
        time.sleep(0.01)
        if descriptors() != now:
            now, same_since = descriptors(), time.monotonic()
    return now


def back():
    use("before")
    why = reload()
    assert why is None, f"the way back: {why}"
    expect_same(before, "the way back")


server = Connection(control).call("Status")["status"]["pid"]
before = everything()
use("after")
assert reload() is None
after = everything()
assert before != after
back()
use("after")
assert reload() is None
back()
attached = Client(f"nbd+unix:///stays?socket={folder}/stays.sock")
open_before = settled()

for kind in sys.argv[4:]:
    fail_at, stride = int(os.environ.get("START", "1")), int(os.environ.get("STRIDE", "1"))
    tolerated = refused = 0
    while True:
        use("after")
        arm(KINDS[kind], fail_at)
        try:
            why = reload()
        finally:
            failed, seen = disarm()
        expect_same(after if why is None else before, f"{kind} {fail_at}: {why}")
        attached.write(0, b"%08d" % fail_at)
        assert attached.read(0, 8) == b"%08d" % fail_at
        if not failed:
            assert why is None, f"{kind} {fail_at}: {why}"
            back()
            break
        refused += why is not None
        if os.environ.get("SHOW"):
            print(kind, fail_at, why, file=sys.stderr, flush=True)
        if why is None:
            tolerated += 1
            back()
        fail_at += stride
    print(f"{kind}: {seen} calls, {refused} refused, {tolerated} done all the same", file=sys.stderr)
until = time.monotonic() + 60
while (more := descriptors_more_than(open_before)) and time.monotonic() < until:
    time.sleep(0.01)
assert not more, f"descriptors that were not closed: {more}"
