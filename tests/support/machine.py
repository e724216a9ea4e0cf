"""A virtual machine of QEMU whose monitor and shell a test drives.

    machine = Machine(folder, "-blockdev", ...)     QEMU's options; the folder is for sockets and logs
    machine.qmp("query-block")                      a command of the monitor; its answer
    machine.run("mount /dev/vdb /mnt")              a command in the machine (see machine-commands.sh); what it printed

Environment: GUEST_MACHINE, QEMU's options for the kind of machine."""

import base64
import json
import os
import socket
import subprocess
import time

TIMEOUT_S = 120


def connect(path, process):
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(TIMEOUT_S)
        try:
            client.connect(path)
            return client.makefile("rwb", buffering=0)
        except (FileNotFoundError, ConnectionRefusedError):
            client.close()
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("QEMU does not listen at " + path)
            time.sleep(0.02)


class Machine:
    count = 0

    def __init__(self, folder, *options, ready=True):
        Machine.count += 1
        self.name = os.path.join(folder, "machine-%d" % Machine.count)
        self.events = []
        with open(self.name + "-qemu", "wb") as log:
            self.process = subprocess.Popen(
                [
                    *"setpriv --pdeathsig KILL qemu-system-x86_64".split(),
                    *os.environ["GUEST_MACHINE"].split(),
                    *"-M q35 -m 256 -smp 2 -nodefaults -no-user-config -display none".split(),
                    "-chardev",
                    "file,id=console,path=%s-console" % self.name,
                    *"-serial chardev:console -device virtio-serial-pci".split(),
                    "-chardev",
                    "socket,id=commands,path=%s-commands,server=on,wait=off" % self.name,
                    *"-device virtserialport,chardev=commands,name=commands".split(),
                    "-qmp",
                    "unix:%s-qmp,server=on,wait=off" % self.name,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.monitor = connect(self.name + "-qmp", self.process)
        self._read()
        self.qmp("qmp_capabilities")
        self.shell = connect(self.name + "-commands", self.process)
        if ready:
            self.booted()

    def booted(self):
        """The system that boots says so, after what is left of the one before."""
        while self._line(self.shell) != b"ready\n":
            pass

    def _line(self, stream):
        line = stream.readline()
        if not line.endswith(b"\n"):
            raise SystemExit("the machine %s has ended, or is silent" % self.name)
        return line

    def _read(self):
        return json.loads(self._line(self.monitor))

    def qmp(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        return self.qmp_line(json.dumps(request))

    def qmp_line(self, line):
        self.monitor.write(line.encode() + b"\n")
        while True:
            answer = self._read()
            if "error" in answer:
                raise SystemExit("%s: %s" % (line, answer["error"]["desc"]))
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def event(self, name, **data):
        """Waits for it, and returns its data; those that came before it are left for others."""
        while True:
            for at, event in enumerate(self.events):
                found = event.get("data", {})
                if event["event"] == name and all(found.get(key) == data[key] for key in data):
                    del self.events[at]
                    return found
            self.events.append(self._read())

    def has_event(self, name):
        """Whether it came until now."""
        self.qmp("query-status")
        return any(event["event"] == name for event in self.events)

    def begin(self, command):
        """Without waiting for its end, which is to be asked for by end()."""
        self.shell.write(command.encode() + b"\n")

    def end(self, command="what was begun"):
        status, _, printed = self._line(self.shell).decode().rstrip("\n").partition(" ")
        printed = base64.b64decode(printed).decode(errors="replace")
        if status != "0":
            raise SystemExit("in the machine, %s: status %s, %s" % (command, status, printed))
        return printed

    def run(self, command):
        self.begin(command)
        return self.end(command)

    def write(self, path, text):
        """A small file in the machine."""
        self.run("echo %s | base64 -d >%s" % (base64.b64encode(text.encode()).decode(), path))

    def until(self, command):
        return self.run("until %s; do sleep 0.05; done" % command)

    def quit(self):
        self.qmp("quit")
        self.process.wait(TIMEOUT_S)
