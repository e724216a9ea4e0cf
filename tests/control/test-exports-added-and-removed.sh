#!/bin/bash
# Exports that come and go by the control socket: with their keys by a descriptor, with options that are checked as those of the
# command line, twice the same call, and removed safely, after a time, and at once, while clients of others go on.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
requires qemu-io --version

plain=$(temp_file) luks=$(temp_file) raw=$(temp_file)
make_pattern "$plain" 1M
encrypt_by_nbdcrypt "$plain" "$luks"
truncate --size=4M "$raw"
cp "$luks" "$luks.copy"
control=$(temp_socket)
export NBDCRYPT_ALLOW_CORE=1
start_nbdcrypt --control "$control" --export "first=$raw,raw"

"$PYTHON" - "$control" "$luks" "$passphrase" "$pid" "$test_dir" <<'PYTHON_END'
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
PYTHON_END

nbdcopy "nbd+unix:///disk?socket=$socket" - | cmp - "$plain"

# ---- with clients ----
# attach EXPORT: a client that stays; its process is $client, its commands go to $commands.
attach() {
    : >"$test_dir/answers"
    rm -f "$test_dir/commands"
    mkfifo "$test_dir/commands"
    qemu-io --read-only --format raw "nbd+unix:///$1?socket=$socket" <"$test_dir/commands" >"$test_dir/answers" 2>&1 &
    client=$!
    remember_pid "$client"
    exec {commands}>"$test_dir/commands"
    printf 'read 0 512\n' >&"$commands"
    wait_until 30 grep -q "512/512" "$test_dir/answers"
}

# leave
leave() {
    exec {commands}>&-
    wait "$client" || true
}

ctl=("$NBDCRYPT" ctl --socket "$control")
attach disk
expect_failure 5 "export 'disk' has 1 client: --drain SECONDS or --now" ctl --socket "$control" remove disk
"${ctl[@]}" remove disk --drain 60 {commands}>&- &
removal=$!
remember_pid "$removal"
hidden() {
    ! nbdinfo --list "$uri" 2>&1 | grep -q 'export="disk"'
}
wait_until 30 hidden
printf 'read 1024 1024\n' >&"$commands" # it may go on
wait_until 30 grep -q "1024/1024" "$test_dir/answers"
kill -0 "$removal" || fail "it was removed under its client"
leave
wait "$removal" || fail "it was not removed: status $?"

expect_success ctl --socket "$control" add disk "$luks" "key-file=$passphrase" read-only=yes "allow=uid:$(id -u)"
attach disk
expect_success ctl --socket "$control" remove disk --now
leave
exec {key}<"$passphrase"
expect_success ctl --socket "$control" add disk "$luks" --key-fd "$key"
nbdcopy "nbd+unix:///disk?socket=$socket" - | cmp - "$plain"
expect_failure 1 "alow: there is no such option: did you mean allow?" ctl --socket "$control" add x "$raw" alow=any
expect_failure 2 "'raw' is not KEY=VALUE: a word behind the image is an option with its value" ctl --socket "$control" add x "$raw" raw
expect_failure 1 "there is no export 'none'" ctl --socket "$control" remove none
stop_nbdcrypt
