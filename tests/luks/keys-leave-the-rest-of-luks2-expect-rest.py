import sys
import luks_image
from nbd_client import equal

old, new = (luks_image.read_luks2_json(path) for path in sys.argv[1:])
for part in ("config", "segments", "tokens"):
    equal(part, new[part], old[part])
equal("priority", new["keyslots"]["0"].get("priority"), 2)
for digest in old["digests"].values():
    del digest["keyslots"]
for digest in new["digests"].values():
    equal("digest's keyslots", set(digest.pop("keyslots")), set(new["keyslots"]))
equal("digests", new["digests"], old["digests"])
with open(sys.argv[2], "rb") as image, open(sys.argv[1], "rb") as before:
    size = luks_image.luks2_copy_bytes(sys.argv[2])
    first, second = image.read(size), image.read(size)
    equal("JSON of the second copy", second[4096:], first[4096:])
    start = before.read(4096)
    for what, at, length in (("label", 24, 48), ("uuid", 168, 40), ("subsystem", 208, 48)):
        for copy in (first, second):
            equal(what, copy[at:at + length], start[at:at + length])
