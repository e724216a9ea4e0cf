#!/usr/bin/env python3
"""Serves a disk by the control socket of nbdcrypt, with nothing but the standard library; the key never leaves memory.

    varlink-client.py SOCKET NAME IMAGE <KEY
"""
import array
import json
import os
import socket
import sys


def call(server, method, parameters, fds=()):
    """A varlink call is one JSON object that ends with a NUL, and so is the answer; descriptors go with its first byte."""
    message = json.dumps({"method": "org.nbdcrypt." + method, "parameters": parameters}).encode() + b"\0"
    server.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
    reply = b""
    while not reply.endswith(b"\0"):
        part = server.recv(65536)
        if not part:
            sys.exit("the server has closed the connection")
        reply += part
    reply = json.loads(reply[:-1])
    if "error" in reply:
        sys.exit(f"{method}: {reply['error']}: {reply['parameters']}")
    return reply["parameters"]


if len(sys.argv) != 4:
    sys.exit("usage: varlink-client.py CONTROL-SOCKET NAME IMAGE <KEY")
path, name, image = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as server:
    server.connect(path)
    key_end, our_end = os.pipe()
    os.write(our_end, sys.stdin.buffer.read())
    os.close(our_end)
    added = call(server, "AddExport", {"name": name, "image": image, "key_fd": 0}, [key_end])
    export = call(server, "ListExports", {"name": name})["export"]
    print(json.dumps({"changed": added["changed"], "size_bytes": export["size_bytes"], "uuid": export["luks"]["uuid"]}))
