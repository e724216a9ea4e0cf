#!/bin/bash
# The service manager hears WATCHDOG=1 while all workers answer, hears nothing while one of them is stopped, and again when it goes
# on; a server that is not watched says nothing of the kind.
. "$(dirname "$0")/../support/functions.sh"

requires_python_module ctypes
image=$(temp_file)
truncate --size=1M "$image"
python - "$NBDCRYPT" "$image" "$test_dir/notify" <<'EOF'
import ctypes
import os
import signal
import socket
import subprocess
import sys
from nbd_client import *

program, image, path = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WAIT_ALL = 0x4206, 0x4207, 17, 0x40000000
EVERY_S = 0.1  # four questions a watch
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
notify.settimeout(60)


def start(environment):
    process = subprocess.Popen([program, "serve", "--threads", "3", "--unix", path + ".sock", "--raw", image],
                               stdout=subprocess.PIPE, env=dict(os.environ, NOTIFY_SOCKET=path, NBDCRYPT_ALLOW_CORE="1",
                                        **environment))
    while b"READY=1" not in notify.recv(4096).split(b"\n"):
        pass
    return process


def end(process):
    process.send_signal(signal.SIGTERM)
    equal("exit status", process.wait(60), 0)
    notify.settimeout(0)
    told = []
    try:
        while True:
            told += notify.recv(4096).split(b"\n")
    except BlockingIOError:
        notify.settimeout(60)
    return told


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


process = start({"WATCHDOG_USEC": str(int(EVERY_S * 4e6))})
for _ in range(3):
    equal("what it says", notify.recv(4096), b"WATCHDOG=1")

# Any worker that does not answer is enough.
for name in "nbdcrypt-0", "nbdcrypt-2":
    thread = next(int(task) for task in os.listdir(f"/proc/{process.pid}/task")
                  if open(f"/proc/{process.pid}/task/{task}/comm").read().strip() == name)
    try:
        ptrace(PTRACE_SEIZE, thread)
    except OSError as error:
        print(f"no thread can be stopped here: {error}", file=sys.stderr)
        end(process)
        raise SystemExit(77)
    ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WAIT_ALL)
    # The answers that were there already are told.
    notify.settimeout(EVERY_S * 10)
    silent = False
    for _ in range(3):
        try:
            notify.recv(4096)
        except TimeoutError:
            silent = True
            break
    equal(f"silence while {name} is stopped", silent, True)
    ptrace(PTRACE_DETACH, thread)
    notify.settimeout(60)
    equal("what it says later", notify.recv(4096), b"WATCHDOG=1")
with Client(f"nbd+unix:///?socket={path}.sock") as client:
    client.read(0, 512)
told = end(process)
equal("it says that it ends", b"STOPPING=1" in told, True)
equal("the watch at the end", told[-1] != b"WATCHDOG=1", True)

# Nobody watches, or somebody else is watched.
for environment in {}, {"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}:
    process = start(environment)
    with Client(f"nbd+unix:///?socket={path}.sock") as client:
        for _ in range(300):  # some milliseconds
            client.read(0, 512)
    equal("watched", b"WATCHDOG=1" in end(process), False)
EOF
