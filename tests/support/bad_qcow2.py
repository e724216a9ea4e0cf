"""qcow2 images that are broken, each in one place of a good one.

    bad_qcow2.py FOLDER     writes them there, and prints a line for each: NAME, WHEN and SENTENCE, apart by tabs

WHEN is "open" (it is refused), or "read" (a read of its first bytes fails, and one of its last bytes does not).
SENTENCE is a part of what is said.  "good" and "good-1" are the images that they were made of.
"""
import os
import struct
import sys
import zlib

CLUSTER = 4096
SIZE = 1 << 20
L1, L2, DATA, COMPRESSED, SNAPSHOTS, LAST = (n * CLUSTER for n in (1, 2, 3, 4, 5, 6))
COPIED = 1 << 63


def good(version=3):
    """One L2 table; data in the first cluster and the last, a compressed one as the second."""
    image = bytearray(7 * CLUSTER)
    struct.pack_into(">4sIQIIQIIQQIIQ", image, 0, b"QFI\xfb", version, 0, 0, 12, SIZE, 0, 1, L1, 0, 0, 0, 0)
    if version == 3:
        struct.pack_into(">QQQII", image, 72, 0, 0, 0, 4, 104)
    put64(image, L1, COPIED | L2)
    put64(image, L2, COPIED | DATA)
    deflate = zlib.compressobj(wbits=-12)
    data = deflate.compress(b"c" * CLUSTER) + deflate.flush()
    image[COMPRESSED:COMPRESSED + len(data)] = data
    put64(image, L2 + 8, compressed(COMPRESSED, 1))
    put64(image, L2 + 255 * 8, COPIED | LAST)
    image[DATA:DATA + CLUSTER] = b"d" * CLUSTER
    image[LAST:LAST + CLUSTER] = b"e" * CLUSTER
    return image


def good_1():
    """Version 1, the same."""
    image = bytearray(7 * CLUSTER)
    struct.pack_into(">4sIQIIQBBHIQ", image, 0, b"QFI\xfb", 1, 0, 0, 0, SIZE, 12, 9, 0, 0, 48)
    put64(image, 48, L2)
    put64(image, L2, DATA)
    put64(image, L2 + 255 * 8, LAST)
    image[DATA:DATA + CLUSTER] = b"d" * CLUSTER
    image[LAST:LAST + CLUSTER] = b"e" * CLUSTER
    return image


def put32(image, at, value):
    struct.pack_into(">I", image, at, value)


def put64(image, at, value):
    struct.pack_into(">Q", image, at, value & (1 << 64) - 1)


def compressed(at, sectors):
    return 1 << 62 | (sectors - 1) << 58 | at


def extension(image, kind, data, length=None):
    struct.pack_into(">II", image, 104, kind, len(data) if length is None else length)
    image[112:112 + len(data)] = data


def snapshot(image, l1=L1, entries=1, extra=16, disk=SIZE, id_=b"1", name=b"then"):
    put32(image, 60, 1)
    put64(image, 64, SNAPSHOTS)
    struct.pack_into(">QIHHIIQIIQQ", image, SNAPSHOTS, l1, entries, len(id_), len(name), 0, 0, 0, 0, extra, 0, disk)
    image[SNAPSHOTS + 56:SNAPSHOTS + 56 + len(id_ + name)] = id_ + name


BROKEN = []


def broken(name, when, sentence, make=good):
    def add(change):
        BROKEN.append((name, when, sentence, make, change))
        return change
    return add


def number(name, when, sentence, at, value, size=8, make=good):
    """One number of the image is another."""
    broken(name, when, sentence, make)(lambda image: (put64 if size == 8 else put32)(image, at, value))


# ---- the header ----

number("no-mark", "open", "it is no qcow2 image", 0, 0x51464900, 4)
for cut in 0, 3, 7, 71, 103:
    broken(f"cut-at-{cut}", "open", "it ends amid its header" if cut > 3 else "", good)(
        lambda image, cut=cut: image.__delitem__(slice(cut, None)))
number("version-0", "open", "it is qcow2 of version 0", 4, 0, 4)
number("version-4", "open", "it is qcow2 of version 4", 4, 4, 4)
number("backing-name-far", "open", "which is not in front of the file", 8, 1 << 40)
number("clusters-of-256", "open", "its clusters have 2^8 bytes", 20, 8, 4)
number("clusters-of-4-mib", "open", "its clusters have 2^22 bytes", 20, 22, 4)
number("clusters-of-2-to-the-64", "open", "its clusters have 2^64 bytes", 20, 64, 4)
number("size-negative", "open", "which is too much", 24, 1 << 63)
number("size-beyond-l1", "open", "too few for a disk of", 24, 1 << 40)
number("encryption-3", "open", "its encryption method is 3", 32, 3, 4)
number("luks-without-header", "open", "does not say where its LUKS header is", 32, 2, 4)
number("l1-empty", "open", "too few for a disk of", 36, 0, 4)
number("l1-huge", "open", "more than 4194304 are refused", 36, 0xffffffff, 4)
number("l1-longer-than-file", "open", "reaches over the end of the file", 36, 1 << 20, 4)
number("l1-over-header", "open", "its L1 table lies over the header", 40, 0)
number("l1-unaligned", "open", "not the start of a cluster", 40, L1 + 512)
number("l1-behind-end", "open", "reaches over the end of the file", 40, 7 * CLUSTER)
number("l1-wraps", "open", "reaches over the end of the file", 40, -CLUSTER)
number("data-file", "open", "its data is in another file", 72, 4)
number("feature-5", "open", "it has features that are unknown here (incompatible bits 0x20)", 72, 1 << 5)
number("feature-63", "open", "it has features that are unknown here", 72, 1 << 63)
number("corrupt", "open", "QEMU has marked it as corrupt", 72, 2)
number("subclusters-too-small", "open", "they need 2^14", 72, 1 << 4)
number("compression-contradicts", "open", "contradicts itself about its compression", 72, 8)
number("header-short", "open", "its header has 103 bytes", 100, 103, 4)
number("header-long", "open", "its header has 8192 bytes", 100, 8192, 4)


@broken("compression-2", "open", "its compression is of type 2")
def _(image):
    put64(image, 72, 8)
    put32(image, 100, 112)
    image[104] = 2


@broken("backing-name-long", "open", "the name of its backing file has 1024 bytes")
def _(image):
    put64(image, 8, 512)
    put32(image, 16, 1024)


@broken("backing-name-with-0", "open", "has a byte 0 in it")
def _(image):
    put64(image, 8, 512)
    put32(image, 16, 8)
    image[512:520] = b"/etc\0foo"


@broken("backing-etc-shadow", "open", "it has the backing file '/etc/shadow', which is not opened unasked")
def _(image):
    put64(image, 8, 512)
    put32(image, 16, 11)
    image[512:523] = b"/etc/shadow"


@broken("backing-url", "open", "it has the backing file 'nbd://attacker.example.org/', which is not opened unasked")
def _(image):
    put64(image, 8, 512)
    put32(image, 16, 27)
    image[512:539] = b"nbd://attacker.example.org/"


@broken("backing-json", "open", "it has the backing file 'json:{}', which is not opened unasked")
def _(image):
    put64(image, 8, 512)
    put32(image, 16, 7)
    image[512:519] = b"json:{}"


broken("extension-long", "open", "reaches over the end of the header")(
    lambda image: extension(image, 1, b"", 1 << 31))
broken("extension-over-cluster", "open", "reaches over the end of the header")(
    lambda image: extension(image, 1, b"", CLUSTER))
broken("backing-format-long", "open", "the format of its backing file has a name of 16 bytes")(
    lambda image: extension(image, 0xe2792aca, b"f" * 16))
broken("luks-extension-short", "open", "has 8 bytes, not 16")(
    lambda image: extension(image, 0x0537be77, bytes(8)))
broken("luks-at-0", "open", "its LUKS header is at byte 0")(
    lambda image: extension(image, 0x0537be77, struct.pack(">QQ", 0, CLUSTER)))
broken("luks-unaligned", "open", "its LUKS header is at byte 513")(
    lambda image: extension(image, 0x0537be77, struct.pack(">QQ", 513, CLUSTER)))
broken("luks-behind-end", "open", "its LUKS header reaches over the end")(
    lambda image: extension(image, 0x0537be77, struct.pack(">QQ", LAST, 2 * CLUSTER)))
broken("luks-wraps", "open", "its LUKS header reaches over the end")(
    lambda image: extension(image, 0x0537be77, struct.pack(">QQ", LAST, (1 << 64) - CLUSTER)))

# ---- snapshots: "snapshot" is opened with &snapshot=then ----

number("snapshots-many", "open", "it says that it has 65537 snapshots", 60, 65537, 4)
number("snapshots-nowhere", "open", "where there can't be one", 60, 1, 4)


@broken("snapshot-table-cut", "open", "its table of snapshots reaches over the end")
def _(image):
    snapshot(image)
    put32(image, 60, 1000)
    del image[SNAPSHOTS + 100:]


broken("snapshot-extra-long", "open", "has 1025 bytes of further data")(lambda image: snapshot(image, extra=1025))
broken("snapshot-l1-behind-end", "open", "snapshot 'then': its L1 table")(
    lambda image: snapshot(image, l1=1 << 40))
broken("snapshot-l1-unaligned", "open", "not the start of a cluster")(lambda image: snapshot(image, l1=L1 + 8))
broken("snapshot-l1-huge", "open", "more than 4194304 are refused")(
    lambda image: snapshot(image, entries=0xffffffff))
broken("snapshot-size-negative", "open", "which is too much")(lambda image: snapshot(image, disk=1 << 63))
broken("snapshot-of-another-name", "open", "it has no snapshot 'then'; it has now")(
    lambda image: snapshot(image, name=b"now"))

# ---- tables ----

number("l2-unaligned", "all", "an entry of L1 names no start of a cluster", L1, L2 + 512)
number("l2-behind-end", "all", "an L2 table reaches over the end of the file", L1, 7 * CLUSTER)
number("l2-far", "all", "an L2 table reaches over the end of the file", L1, 0x00fffffffffff000)
number("data-unaligned", "read", "an entry of L2 names no start of a cluster", L2, DATA + 512)
number("data-behind-end", "read", "an entry of L2 names a cluster behind the end of the file", L2, 7 * CLUSTER)
number("data-far", "read", "an entry of L2 names a cluster behind the end of the file", L2, 0x00fffffffffff000)
number("compressed-nowhere", "read", "compressed data that does not lie in the file", L2, compressed(0, 1))
number("compressed-behind-end", "read", "compressed data that does not lie in the file", L2, compressed(1 << 40, 1))
number("compressed-noise", "read", "a compressed cluster can't be inflated", L2, compressed(DATA, 1))
number("compressed-cut", "read", "a compressed cluster can't be inflated", L2, compressed(COMPRESSED + 510, 1))
number("l2-is-the-header", "all", "", L1, 0x1000 * 0xfff)


@broken("zeros-in-version-2", "read", "a cluster is marked as zeros, which came with version 3", lambda: good(2))
def _(image):
    put64(image, L2, 1)


@broken("compressed-in-encrypted", "encrypted", "a cluster is compressed, which none is that is encrypted")
def _(image):
    put32(image, 32, 1)
    put64(image, L2, compressed(COMPRESSED, 1))


# ---- version 1 ----

broken("v1-clusters-of-2-to-the-17", "open", "its clusters have 2^17 bytes", good_1)(
    lambda image: image.__setitem__(32, 17))
broken("v1-l2-of-2-to-the-5", "open", "its L2 tables have 2^5 entries", good_1)(
    lambda image: image.__setitem__(33, 5))
number("v1-size-huge", "open", "more than 4194304 are refused", 24, 1 << 62, make=good_1)
number("v1-encryption-2", "open", "its encryption method is 2", 36, 2, 4, make=good_1)
number("v1-l1-behind-end", "open", "reaches over the end of the file", 40, 7 * CLUSTER, make=good_1)
number("v1-l1-over-header", "open", "its L1 table lies over the header", 40, 40, make=good_1)
number("v1-data-unaligned", "read", "an entry of L2 names no start of a cluster", L2, DATA + 1, make=good_1)
number("v1-compressed-of-0", "read", "compressed data of no length", L2, 1 << 63 | DATA, make=good_1)


def main():
    folder = sys.argv[1]
    images = [("good", good()), ("good-1", good_1())]
    for name, when, sentence, make, change in BROKEN:
        image = make()
        change(image)
        images.append((name, image))
        print(name, when, sentence, sep="\t")
    for name, image in images:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(image)


main()
