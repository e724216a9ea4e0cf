"""LIE COMMAND...: a server on a Unix socket that lies in its handshake, and the command, run to its end with {uri} replaced.

The exit status is that of the command; what it wrote is passed on.  "took" and the seconds go to standard error."""

import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from nbd_client import *

NAME_BYTES_MAX = 4096


def reply(option, kind, data=b"", length=None):
    return struct.pack(">QIII", MAGIC_OPTION_REPLY, option, kind,
                       len(data) if length is None else length) + data


def server_reply(name, description=b"", name_length=None):
    length = len(name) if name_length is None else name_length
    return reply(OPT_LIST, REP_SERVER, struct.pack(">I", length) + name + description)


def info_export(size=1 << 20, flags=1):
    return reply(OPT_INFO, REP_INFO, struct.pack(">HQH", INFO_EXPORT, size, flags))


def ack(option):
    return reply(option, REP_ACK)


def context(name, number=1):
    return reply(OPT_LIST_META_CONTEXT, REP_META_CONTEXT, struct.pack(">I", number) + name)


def endlessly(part):
    while True:
        yield part


def slowly(data):
    for at in range(len(data)):
        yield data[at:at + 1]
        time.sleep(0.3)


# What is answered instead of the truth: option -> bytes, or parts of them.
LIES = {
    "honest": {},
    "endless-exports": {OPT_LIST: lambda: endlessly(server_reply(b"again") * 100)},
    "long-names": {OPT_LIST: lambda: endlessly(server_reply(b"n" * NAME_BYTES_MAX, b"d" * NAME_BYTES_MAX))},
    "too-long-name": {OPT_LIST: lambda: [server_reply(b"n" * 5000), ack(OPT_LIST)]},
    "name-beyond-the-end": {OPT_LIST: lambda: [server_reply(b"name", b"", 4000000000), ack(OPT_LIST)]},
    "no-name": {OPT_LIST: lambda: [reply(OPT_LIST, REP_SERVER, b"\0\0"), ack(OPT_LIST)]},
    "reply-of-4-gib": {OPT_LIST: lambda: [reply(OPT_LIST, REP_SERVER, b"", 0xffffffff), b"x" * 100000]},
    "other-option": {OPT_LIST: lambda: [ack(OPT_GO)]},
    "garbage": {OPT_LIST: lambda: [b"HTTP/1.1 400 Bad Request\r\n\r\n"]},
    "silence": {OPT_LIST: lambda: []},
    "slowly": {OPT_LIST: lambda: slowly(server_reply(b"x" * 4000))},
    "hangs-up": {OPT_LIST: None},
    "names-that-move-the-cursor": {OPT_LIST: lambda: [server_reply(b"\x1b[2J\x1b]0;title\x07name", b"\x1b[31mred\xff\xfe"),
                                                      server_reply(b"nul\0byte", b"a\0b"), server_reply("ä→".encode()), ack(OPT_LIST)]},
    "refuses-in-colour": {OPT_LIST: lambda: [reply(OPT_LIST, REP_ERR_POLICY, b"\x1b[31mno\x1b[0m")],
                          OPT_INFO: lambda: [reply(OPT_INFO, REP_ERR_UNKNOWN, b"\x1b[5mwho?\n\n")]},
    "demands-tls": {OPT_LIST: lambda: [reply(OPT_LIST, REP_ERR_TLS_REQD)]},
    "endless-infos": {OPT_INFO: lambda: endlessly(info_export())},
    "no-size": {OPT_INFO: lambda: [ack(OPT_INFO)]},
    "short-info": {OPT_INFO: lambda: [reply(OPT_INFO, REP_INFO, b"\0"), ack(OPT_INFO)]},
    "size-of-the-world": {OPT_INFO: lambda: [info_export((1 << 64) - 1, 0xffff), ack(OPT_INFO)]},
    "endless-contexts": {OPT_LIST_META_CONTEXT: lambda: endlessly(context(b"x:y"))},
    "context-in-colour": {OPT_LIST_META_CONTEXT: lambda: [context(b"x:\x1b[31m"), ack(OPT_LIST_META_CONTEXT)]},
    "short-context": {OPT_LIST_META_CONTEXT: lambda: [reply(OPT_LIST_META_CONTEXT, REP_META_CONTEXT, b"\1")]},
    "old-server": {"greeting": struct.pack(">QQ", MAGIC_INIT, 0x420281861253) + bytes(136)},
    "no-nbd": {"greeting": b"220 mail.example.org ESMTP\r\n" + bytes(200)},
}
TRUTH = {
    OPT_STRUCTURED_REPLY: lambda: [ack(OPT_STRUCTURED_REPLY)],
    OPT_LIST: lambda: [server_reply(b"one", b"the first"), ack(OPT_LIST)],
    OPT_INFO: lambda: [info_export(), ack(OPT_INFO)],
    OPT_LIST_META_CONTEXT: lambda: [context(b"base:allocation"), ack(OPT_LIST_META_CONTEXT)],
    OPT_ABORT: lambda: [ack(OPT_ABORT)],
}


def take(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EndOfStream(data)
        data += more
    return data


def serve(stream, lies):
    try:
        stream.sendall(lies.get("greeting", struct.pack(">QQH", MAGIC_INIT, MAGIC_OPTION, 3)))
        take(stream, 4)
        while True:
            _, option, length = struct.unpack(">QII", take(stream, 16))
            take(stream, length)
            answer = lies.get(option, TRUTH.get(option, lambda: [reply(option, REP_ERR_UNSUP)]))
            if answer is None:
                stream.close()
                return
            for part in answer():
                stream.sendall(part)
    except (EndOfStream, OSError):
        pass


def main():
    lies, command = LIES[sys.argv[1]], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def accept():
            while True:
                serve(listener.accept()[0], lies)

        threading.Thread(target=accept, daemon=True).start()
        started = time.monotonic()
        status = subprocess.call([word.replace("{uri}", f"nbd+unix:///?socket={path}") for word in command])
        print(f"took {time.monotonic() - started:.1f}", file=sys.stderr)
    sys.stdout.flush()
    os._exit(status)


if len(sys.argv) == 1:
    print("\n".join(LIES))
else:
    main()
