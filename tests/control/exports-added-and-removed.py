import json
import os
import sys
import time

from varlink_client import Connection, Error

path, luks, passphrase, pid, folder = sys.argv[1:]
client = Connection(path)
client.call("Status")


def descriptors():
    return len(os.listdir(f"/proc/{pid}/fd"))


def fails(wrong, method, parameters, **expected):
    try:
        client.call(method, parameters)
    except Error as error:
        assert error.name in ("org.nbdcrypt." + wrong, "org.varlink.service." + wrong), error
        for key, value in expected.items():
            assert value in str(error.parameters[key]), error
        return
    sys.exit(f"{method} {parameters}: it did not fail with {wrong}")


def add(fd, parameters):
    call = {"method": "org.nbdcrypt.AddExport", "parameters": parameters}
    client.send_with_fds(json.dumps(call).encode() + b"\0", [fd])
    return client.reply()


# ---- the image by a descriptor: also one that the server can't open by itself ----
image = folder + "/lent"
with open(image, "wb") as file:
    file.truncate(1 << 20)
before = descriptors()
for mode, lock in ((os.O_RDWR, None), (os.O_RDWR, 0)):
    fd = os.open(image, mode)
    if lock is not None:
        os.chmod(image, lock)
        os.unlink(image)
    parameters = {"name": "lent", "image": "a disk of mine", "options": {"raw": "yes"}, "image_fd": 0}
    assert add(fd, parameters)["changed"] is True
    assert client.call("ListExports", {"name": "lent"})["export"]["image"] == "a disk of mine"
    client.call("RemoveExport", {"name": "lent"})
    os.close(fd)
with open(luks, "rb") as file:
    for options, image, reason in (({"raw": "yes"}, "/x", "not open for writing"),
                                   ({"raw": "yes"}, "memory:1M", "only a file or a block device")):
        try:
            add(file.fileno(), {"name": "lent", "image": image, "options": options, "image_fd": 0})
        except Error as error:
            assert reason in error.parameters["reason"], error
        else:
            sys.exit(f"{image} was added")
    add(file.fileno(), {"name": "lent", "image": "/x", "options": {"raw": "yes", "read-only": "yes"}, "image_fd": 0})
    client.call("RemoveExport", {"name": "lent"})
fails("InvalidParameter", "AddExport", {"name": "lent", "image": "/x", "image_fd": 0}, parameter="image_fd")
assert descriptors() == before, (before, descriptors())

# ---- a key by a descriptor: a file, and a pipe ----
with open(passphrase, "rb") as key:
    assert add(key.fileno(), {"name": "disk", "image": luks, "key_fd": 0})["changed"] is True
    key.seek(0)
    assert add(key.fileno(), {"name": "disk", "image": luks, "key_fd": 0})["changed"] is False
assert client.call("RemoveExport", {"name": "disk"})["revision"] >= 2
fails("NoSuchExport", "RemoveExport", {"name": "disk"}, name="disk")
read, write = os.pipe()
os.write(write, open(passphrase, "rb").read())
os.close(write)
assert add(read, {"name": "disk", "image": luks, "key_fd": 0, "options": {"read-only": "yes"}})["changed"]
os.close(read)
export = client.call("ListExports", {"name": "disk"})["export"]
assert export["encrypted"] and export["read_only"] and export["key_source"] == "key-fd", export

# ---- what is refused, and changes nothing ----
at_first = descriptors()
before = client.call("Status")["status"]
raw = os.path.join(folder, "other")
with open(raw, "wb") as file:
    file.truncate(1 << 20)
with open(os.path.join(folder, "bad"), "wb") as file:
    file.write(b"not the passphrase")
fails("NotPossible", "AddExport", {"name": "first", "image": raw, "options": {"raw": "yes"}}, reason="already")
fails("NotPossible", "AddExport", {"name": "x", "image": raw}, reason="can't be opened while the server runs")
fails("NotPossible", "AddExport", {"name": "x", "image": raw, "options": {"key-file": "-"}}, reason="standard input")
fails("NotPossible", "AddExport", {"name": "x", "image": folder + "/none", "options": {"raw": "yes"}}, reason="none")
fails("NotPossible", "AddExport", {"name": "x", "image": luks + ".copy", "options": {"key-file": folder + "/bad"}}, reason="no key")
fails("NotPossible", "AddExport", {"name": "x", "image": raw, "options": {"raw": "yes", "header": "h"}}, reason="raw")
for extra in {"options": {"raw": "yes"}}, {"key_fd": 0}:
    with open(passphrase, "rb") as key:
        try:
            add(key.fileno(), {"name": "x", "image": "nbdkit:memory?size=8M", **extra})
            sys.exit("an image that is opened at the start only was opened later")
        except Error as error:  # the other is the answer of a server that was built without it
            reason = error.parameters["reason"]
            assert "at the start only" in reason or "no backend is called" in reason, error
fails("NotPossible", "AddExport", {"name": "x", "image": "", "options": {"raw": "yes"}}, reason="there is no IMAGE")
fails("NotPossible", "AddExport", {"name": "x", "image": raw, "allow": ["nobody"], "options": {"raw": "yes"}}, reason="nobody")
fails("BadOption", "AddExport", {"name": "x", "image": raw, "options": {"alow": "uid:0"}}, option="alow", near="allow")
fails("BadOption", "AddExport", {"name": "x", "image": raw, "options": {"raw": "perhaps"}}, option="raw")
fails("BadOption", "AddExport", {"name": "x", "image": raw, "options": {"raw": True}}, option="raw")
fails("BadOption", "AddExport", {"name": "x", "image": raw, "options": {"key-fd": "7"}}, option="key-fd")
fails("InvalidParameter", "AddExport", {"name": "x", "image": raw, "key_fd": 0}, parameter="key_fd")
fails("InvalidParameter", "AddExport", {"name": "x", "image": raw, "key_fd": 9}, parameter="key_fd")
fails("InvalidParameter", "AddExport", {"name": "x", "image": raw, "allow": [7]}, parameter="allow")
fails("InvalidParameter", "AddExport", {"name": "x"}, parameter="image")
fails("InvalidParameter", "RemoveExport", {"name": "first", "mode": "quickly"}, parameter="mode")
fails("InvalidParameter", "RemoveExport", {"name": "first", "mode": "drain", "seconds": -1}, parameter="seconds")
fails("Conflict", "RemoveExport", {"name": "first", "if_revision": before["revision"] - 1})
with open(folder + "/bad", "rb") as key:
    try:
        add(key.fileno(), {"name": "x", "image": luks + ".copy", "key_fd": 0})
        sys.exit("a wrong key opened it")
    except Error as error:
        assert error.name == "org.nbdcrypt.NotPossible", error
after = client.call("Status")["status"]
assert before == after, (before, after)
deadline = time.monotonic() + 20
while descriptors() > at_first:
    assert time.monotonic() < deadline, "descriptors are left"
    time.sleep(0.02)

# ---- many, and gone again ----
for i in range(200):
    client.call("AddExport", {"name": f"n{i}", "image": raw, "options": {"raw": "yes", "read-only": "yes", "no-lock": "yes"}})
assert len(client.list("ListExports")) == 202
for i in range(200):
    client.call("RemoveExport", {"name": f"n{i}"})
assert [reply["export"]["name"] for reply in client.list("ListExports")] == ["first", "disk"]

# ---- a password in the image is refused, and not repeated ----
try:
    client.call("AddExport", {"name": "secret", "image": "nbd://user:hunter2@localhost/disk"})
    sys.exit("a password was taken")
except Error as error:
    assert error.name == "org.nbdcrypt.BadOption" and "hunter2" not in str(error.parameters), error
