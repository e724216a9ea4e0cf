"""A varlink client of a few lines, as anybody would write one: an independent peer for the control socket."""
import array
import json
import socket


class Error(Exception):
    def __init__(self, name, parameters):
        super().__init__(f"{name} {json.dumps(parameters)}")
        self.name, self.parameters = name, parameters


class Connection:
    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.received, self.fds = b"", []

    def send(self, method, parameters=None, **flags):
        call = {"method": method, "parameters": parameters or {}, **flags}
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def send_with_fds(self, data, fds):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        self.socket.sendmsg([data], rights)

    def receive(self):
        """The next reply as it came; None: the server has closed."""
        while b"\0" not in self.received:
            part, fds, _, _ = socket.recv_fds(self.socket, 65536, 4)
            self.fds += fds
            if not part:
                return None
            self.received += part
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def reply(self):
        reply = self.receive()
        if reply is None:
            raise EOFError("the server has closed the connection")
        if "error" in reply:
            raise Error(reply["error"], reply["parameters"])
        return reply["parameters"]

    def call(self, method, parameters=None):
        if "." not in method:
            method = "org.nbdcrypt." + method
        self.send(method, parameters)
        return self.reply()

    def list(self, method, parameters=None):
        """All replies but the empty one that says that there is nothing."""
        self.send("org.nbdcrypt." + method, parameters, more=True)
        replies = []
        while True:
            reply = self.receive()
            if "error" in reply:
                raise Error(reply["error"], reply["parameters"])
            if reply["parameters"]:
                replies.append(reply["parameters"])
            if not reply.get("continues"):
                return replies
