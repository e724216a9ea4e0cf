#!/bin/bash
# The service manager hears READY=1 when clients are served, not before, and STOPPING=1 at the end.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
image=$(temp_file)
format_luks2 "$image" 1M
for kind in path abstract; do
    python - "$NBDCRYPT" "$passphrase" "$image" "$test_dir/notify" "$kind" <<'EOF'
import os
import signal
import socket
import subprocess
import sys
from nbd_client import *

program, passphrase, image, path, kind = sys.argv[1:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = path if kind == "path" else f"@nbdcrypt-test-{os.getpid()}"
notify.bind(name if kind == "path" else "\0" + name[1:])
notify.settimeout(30)
served = path + ".sock"
process = subprocess.Popen([program, "serve", "--unix", served, "--key-file", passphrase, image],
                           env=dict(os.environ, NOTIFY_SOCKET=name), stdout=subprocess.PIPE)
message = notify.recv(4096)
with Client(f"nbd+unix:///?socket={served}") as client:
    client.read(0, 512)
if b"READY=1" not in message.split(b"\n"):
    raise SystemExit(f"got {message!r}, expected READY=1")
process.send_signal(signal.SIGTERM)
message = notify.recv(4096)
if b"STOPPING=1" not in message.split(b"\n"):
    raise SystemExit(f"got {message!r}, expected STOPPING=1")
equal("exit status", process.wait(30), 0)
if kind == "path":
    os.unlink(path)

# One that does not start is never ready.
process = subprocess.run([program, "serve", "--unix", served, "--key-file", passphrase, image + ".gone"],
                         env=dict(os.environ, NOTIFY_SOCKET=name), stderr=subprocess.DEVNULL)
equal("exit status", process.returncode, 1)
notify.setblocking(False)
while True:
    try:
        message = notify.recv(4096)
    except BlockingIOError:
        break
    if b"READY" in message:
        raise SystemExit(f"got {message!r} from a server that did not start")
EOF
done
