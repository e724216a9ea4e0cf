"""The server of nbdcrypt-vm(7) and its recipes, for tests that drive machines.  See vm-recipes.sh.

    server = Server(root, log_dir)
    server.kill(); server.start()
    recipes = Recipes(folder)
    Machine(folder, *recipes.options("boot"))
    for command in recipes.commands("plug"):
        machine.qmp_line(command)

Environment: NBDCRYPT, the program."""

import json
import os
import shlex
import socket
import subprocess
import time

TIMEOUT_S = 60

# In a machine: load FOLDER REPORTS writes, syncs, and reads from the disk again, until there is REPORTS/enough.
LOAD = """
round=0
until [ -e "$2/enough" ]; do
    round=$((round + 1))
    seq $round $((round + 20000)) >"$2/data"
    dd if="$2/data" of="$1/data" bs=64k conv=fsync || break
    echo 1 >/proc/sys/vm/drop_caches
    cmp "$2/data" "$1/data" || break
    echo $round >"$2/rounds"
done
if [ -e "$2/enough" ]; then echo well; else echo "round $round failed"; fi >"$2/ended"
"""


class Recipes:
    def __init__(self, folder, port):
        self.folder = folder
        self.port = port

    def text(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return file.read().replace("10809", str(self.port))

    def options(self, name):
        """Those of QEMU, which stand behind its name and three dots."""
        program, dots, *options = shlex.split(self.text(name).replace("\\\n", ""))
        assert (program, dots) == ("qemu-system-x86_64", "..."), name
        return options

    def commands(self, name):
        """What is said to QEMU's monitor: JSON, one behind the other."""
        text = self.text(name).strip()
        while text:
            command, end = json.JSONDecoder().raw_decode(text)
            text = text[end:].lstrip()
            yield json.dumps(command)


class Server:
    """`nbdcrypt serve` with the page's configuration.  As with nbdcrypt.socket, somebody else holds its port."""

    def __init__(self, root, log_dir):
        self.root = root
        self.log_dir = log_dir
        self.count = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.config = os.path.join(root, "etc/nbdcrypt/nbdcrypt.conf")
        with open(self.config) as file:
            lines = [line for line in file if not line.startswith("listen = ")]
        with open(self.config, "w") as file:
            file.writelines(lines)

    def start(self):
        self.count += 1
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.settimeout(0.1)
        path = os.path.join(self.root, "notify-%d" % self.count)
        notify.bind(path)
        with open(os.path.join(self.log_dir, "server-%d" % self.count), "wb") as log:
            self.process = subprocess.Popen(
                [
                    *"setpriv --pdeathsig KILL sh -c".split(),
                    'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" serve --config "$1" 3<&%d' % self.listener.fileno(),
                    os.environ["NBDCRYPT"],
                    self.config,
                ],
                env=dict(os.environ, NOTIFY_SOCKET=path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self.listener.fileno()],
            )
        self._wait_for_ready(notify)
        notify.close()

    def _wait_for_ready(self, notify):
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                if b"READY=1" in notify.recv(4096).split(b"\n"):
                    return
            except TimeoutError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the server does not start")

    def kill(self):
        self.process.kill()
        self.process.wait(TIMEOUT_S)

    def stop(self):
        self.process.terminate()
        status = self.process.wait(TIMEOUT_S)
        if status != 0:
            raise SystemExit("the server ended with status %d" % status)
