#!/bin/bash
# The service manager hears READY=1 when clients are served, not before, and STOPPING=1 at the end, with the time that this may
# take: a client holds it up.
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
process = subprocess.Popen([program, "serve", "--unix", served, "--shutdown-timeout", "40", "--key-file", passphrase, image],
                           env=dict(os.environ, NOTIFY_SOCKET=name), stdout=subprocess.PIPE)
message = notify.recv(4096)
with Client(f"nbd+unix:///?socket={served}") as client:
    client.read(0, 512)
late = Client(f"nbd+unix:///?socket={served}")
late.send_bytes(late.request_bytes(CMD_FLUSH, 0, 0) + late.request_bytes(CMD_WRITE, 0, 512))
equal("error of a FLUSH, behind which a request has begun", late.receive().error, 0)
if b"READY=1" not in message.split(b"\n"):
    raise SystemExit(f"got {message!r}, expected READY=1")
process.send_signal(signal.SIGTERM)
message = notify.recv(4096)
if b"STOPPING=1" not in message.split(b"\n"):
    raise SystemExit(f"got {message!r}, expected STOPPING=1")
extended = [int(line.split(b"=")[1]) for line in message.split(b"\n") if line.startswith(b"EXTEND_TIMEOUT_USEC=")]
if len(extended) != 1 or not 40_000_000 < extended[0] < 120_000_000:
    raise SystemExit(f"got {message!r}, expected EXTEND_TIMEOUT_USEC of more than 40 s")
equal("status of a server that a client holds up", process.poll(), None)
late.send_bytes(bytes(512))
equal("error of the request that held it up", late.receive().error, 0)
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
