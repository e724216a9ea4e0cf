#!/bin/bash
# Sockets that the service manager opened (LISTEN_FDS, LISTEN_PID) are served, and left in place at the end.
. "$(dirname "$0")/../support/functions.sh"

socket_path=$(temp_socket)
python - "$NBDCRYPT" "$socket_path" <<'EOF'
import os
import signal
import socket
import subprocess
import sys
from nbd_client import *

program, path = sys.argv[1:]
local = socket.socket(socket.AF_UNIX)
local.bind(path)
local.listen()
tcp = socket.socket()
tcp.bind(("127.0.0.1", 0))
tcp.listen()


def start(sockets, pid_offset=0, names=""):
    """nbdcrypt with these sockets as descriptors 3, 4, ...; returns the process and, where they are not meant for
    it, its ready line: who handed over sockets gets nothing on standard output, which ends with the server."""
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(ready_write, 1)
        spare = [os.dup(s.fileno()) for s in sockets]
        spare = [os.dup2(fd, 100 + i) for i, fd in enumerate(spare)]
        for i, fd in enumerate(spare):
            os.dup2(fd, 3 + i, inheritable=True)
        os.environ["LISTEN_FDS"] = str(len(sockets))
        if names:
            os.environ["LISTEN_FDNAMES"] = names
        os.environ["LISTEN_PID"] = str(os.getpid() + pid_offset)
        arguments = ["serve", "--raw", "--name", "activated", "memory:1M"]
        if pid_offset:
            arguments[1:1] = ["--listen", "127.0.0.1:0"]
        os.execv(program, [program] + arguments)
    os.close(ready_write)
    ready = os.fdopen(ready_read)
    return pid, ready.readline() if pid_offset else ready


def stop(pid):
    os.kill(pid, signal.SIGTERM)
    equal("exit status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)


# One that is named "control" is that of nbdcrypt ctl, wherever it stands.
control = socket.socket(socket.AF_UNIX)
control.bind(path + ".control")
control.listen()
for number, sockets in enumerate(([control, local], [local, control])):
    pid, _ = start(sockets, names=("control:nbd", "nbd:control")[number])
    with Client(f"nbd+unix:///activated?socket={path}") as client:
        client.read(0, 512)
    said = subprocess.run([program, "ctl", "--socket", path + ".control", "exports"], stdout=subprocess.PIPE, check=True)
    assert b"activated" in said.stdout, said
    stop(pid)
    assert os.path.exists(path + ".control"), "the control socket of the service manager is gone"
os.unlink(path + ".control")

port = tcp.getsockname()[1]
for number in range(2):
    pid, output = start([local, tcp])
    uris = [f"nbd+unix:///activated?socket={path}", f"nbd://127.0.0.1:{port}/activated"]
    for uri in uris:
        with Client(uri) as client:
            client.write(number, b"socket activation")
            equal("data", client.read(number, 17), b"socket activation")
    stop(pid)
    equal("standard output", output.read(), "")
    if not os.path.exists(path):
        raise SystemExit("the service manager's socket was removed")

# Meant for another process: not ours.
pid, line = start([local], pid_offset=1)
if path in line:
    raise SystemExit("a socket for another process was used")
stop(pid)

# A descriptor that is no listening socket.
with open("/dev/null") as null:
    pid, output = start([null])
    equal("standard output", output.read(), "")
    equal("exit status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 1)
EOF
