"""Metrics as an independent reader sees them: the text format of Prometheus, and OpenMetrics."""
import re
import socket

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


class Metrics:
    """self.samples: {(name, ((label, value), ...)): number}"""

    def __init__(self, text):
        self.samples, self.types, self.families, family = {}, {}, [], None
        assert text.endswith("\n"), text[-80:]
        for line in text.split("\n")[:-1]:
            if line.startswith("# TYPE "):
                _, _, family, kind = line.split(" ")
                assert family not in self.types, f"{family} comes twice"
                self.types[family] = kind
                continue
            if line.startswith("#"):
                continue
            name, labels, value = SAMPLE.match(line).groups()
            assert name.startswith(family), f"{name} stands under {family}"
            found, at = [], 0
            while labels and at < len(labels):
                label = LABEL.match(labels, at)
                found.append((label[1], re.sub(r'\\(.)', lambda m: {"n": "\n"}.get(m[1], m[1]), label[2])))
                at = label.end()
            key = name, tuple(sorted(found))
            assert key not in self.samples, f"{key} comes twice"
            self.samples[key] = float(value)

    def get(self, name, **labels):
        return self.samples[name, tuple(sorted(labels.items()))]

    def sum(self, name, **labels):
        """Of all that have these labels."""
        return sum(value for (found, has), value in self.samples.items()
                   if found == name and set(labels.items()) <= set(has))

    def counters(self):
        """What may never go back."""
        ends = "_total", "_bucket", "_count", "_sum"
        return {key: value for key, value in self.samples.items() if key[0].endswith(ends)}


def request(address, data, timeout=30):
    """Sends bytes as they are to a Unix socket (a path) or a port; all that comes until the end."""
    local = isinstance(address, str)
    with socket.socket(socket.AF_UNIX if local else socket.AF_INET) as connection:
        connection.settimeout(timeout)
        connection.connect(address if local else ("127.0.0.1", address))
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = b""
        try:
            while part := connection.recv(65536):
                got += part
        except ConnectionResetError:
            pass
        return got


def get(address, path, host="localhost", method="GET", more=""):
    """Status, headers and body."""
    got = request(address, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode())
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split(" ")[1]), headers, body.decode()
