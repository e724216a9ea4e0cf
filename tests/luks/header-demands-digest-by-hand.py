import base64
import hashlib
import json
import struct
import sys

head = open(sys.argv[1], "rb").read(592)


def text(start, length):
    return head[start:start + length].split(b"\0")[0].decode()


if struct.unpack(">H", head[6:8])[0] == 1:
    flags = []
    offset, key_bytes = struct.unpack(">LL", head[104:112])
    facts = ("luks1", text(8, 32) + "-" + text(40, 32), key_bytes * 8, 512, offset * 512, "dynamic", 0,
             text(72, 32), struct.unpack(">L", head[164:168])[0],
             base64.b64encode(head[132:164]).decode(), base64.b64encode(head[112:132]).decode())
else:
    header = json.load(open(sys.argv[2]))
    flags = header["config"].get("flags", [])
    segment, digest = header["segments"]["0"], header["digests"]["0"]
    key_bytes = header["keyslots"][digest["keyslots"][0]]["key_size"]
    facts = ("luks2", segment["encryption"], key_bytes * 8, segment["sector_size"], segment["offset"],
             segment["size"], segment["iv_tweak"], digest["hash"], digest["iterations"], digest["salt"],
             digest["digest"])
form = sys.argv[3]
lines = ("nbdcrypt header digest %s\ntype %s\ncipher %s\nkey-bits %s\nsector-size %s\npayload-offset %s\n"
         "payload-size %s\niv-offset %s\nkey-digest pbkdf2 %s %s %s %s\n" % (form, *facts))
if form == "2":
    lines += "".join("flag %s\n" % flag for flag in sorted(flags))
print(("v2:" if form == "2" else "") + "sha256:" + hashlib.sha256(lines.encode()).hexdigest())
