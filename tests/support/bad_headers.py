"""Headers that are damaged, hostile or beyond us: a table of what is wrong, by name, each with the sentence that
refuses it.  Nothing but the good images that they are made of comes from elsewhere.

    python3 bad_headers.py list                          # NAME<tab>SENTENCE of each
    python3 bad_headers.py make FOLDER LUKS1 LUKS2       # FOLDER/NAME of each, FOLDER/NAME.sentence beside it

LUKS1 and LUKS2 are images made as tests/rules/test-corpus-of-bad-headers.sh makes them: the sentences name their sizes.
"""

import json
import os
import shutil
import struct
import sys

import luks_image as luks

COPY_BYTES = 16384  # of one copy of the LUKS2 header
BEGIN = "LUKS header: "
CIPHERS = "(supported: aes, serpent, twofish and camellia, in the modes xts and cbc, with the IVs " \
    "plain64, plain, plain64be and essiv:sha256)"
HASHES = "(supported: sha1, sha224, sha256, sha384, sha512, sha512-256, sha3-224, sha3-256, sha3-384, " \
    "sha3-512, blake2b-512, blake2s-256, ripemd160, whirlpool, sm3)"
UNEXPECTED = "the JSON text can't be parsed: unexpected character"
QUOTES = "the JSON text has single quotes outside of strings"
LIBRARY = BEGIN + "libcryptsetup refuses the header: Invalid argument"
CUT = "it is truncated, or it is a detached header (then give it with --header, and the data as the image)"
NONE = ("no LUKS header found: if the header is apart, name it by --header; is it the right one? "
        "(as it is, without encryption, it is served by --raw)")
DAMAGED = BEGIN + "both copies of the LUKS2 header are damaged (first: %s; second: %s): restore it from a backup"

table = []  # name, version of LUKS, function of a path, sentence


def entry(name, version, change, sentence):
    if any(name == other for other, *_ in table):
        raise ValueError(f"two entries are named {name}")
    table.append((name, version, change, sentence))


# ---- the ways to break one ----

def luks1(name, sentence, *patches):
    """Bytes of a LUKS1 header: pairs of offset and bytes."""
    def change(path):
        for at, data in patches:
            luks.patch(path, at, data)
    entry("luks1-" + name, 1, change, sentence)


def cut(version, name, length, sentence):
    entry(f"luks{version}-cut-{name}", version, lambda path: os.truncate(path, length), sentence)


def document(name, statement, sentence):
    """A statement changes the document d of both copies of a LUKS2 header; checksums are right."""
    entry("luks2-" + name, 2,
          lambda path: luks.change_luks2_json(path, lambda d: exec(statement, {"d": d})), sentence)


def text(name, function, sentence):
    """The JSON text of both copies, as bytes; checksums are right."""
    def change(path):
        area = function(json.dumps(luks.read_luks2_json(path)).encode())
        area = area[:COPY_BYTES - luks.LUKS2_BINARY_BYTES].ljust(COPY_BYTES - luks.LUKS2_BINARY_BYTES, b"\0")
        for start in (0, COPY_BYTES):
            with open(path, "rb") as file:
                file.seek(start)
                binary = file.read(luks.LUKS2_BINARY_BYTES)
            luks.patch(path, start, luks.seal_luks2_copy(binary + area))
    entry("luks2-" + name, 2, change, sentence)


def binary(name, sentence, *patches, copies=(0, 1)):
    """Bytes of the binary header of both copies; checksums are right."""
    def change(path):
        for number in copies:
            with open(path, "rb") as file:
                file.seek(number * COPY_BYTES)
                copy = bytearray(file.read(COPY_BYTES))
            for at, data in patches:
                copy[at:at + len(data)] = data
            luks.patch(path, number * COPY_BYTES, luks.seal_luks2_copy(bytes(copy)))
    entry("luks2-" + name, 2, change, sentence)


def u16(number):
    return struct.pack(">H", number)


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


# ---- LUKS1 (specification 1.2.3, 2.1) ----

SLOT = 208  # of keyslot 0: state, iterations, salt, offset, stripes; 48 bytes each

luks1("magic", NONE, (0, b"LUKX"))
luks1("version-0", BEGIN + "LUKS version 0 is not supported, only 1 and 2", (6, u16(0)))
luks1("version-3", BEGIN + "LUKS version 3 is not supported, only 1 and 2", (6, u16(3)))
luks1("version-65535", BEGIN + "LUKS version 65535 is not supported, only 1 and 2", (6, u16(65535)))
luks1("cipher-null", BEGIN + "cipher 'cipher_null-ecb' leaves the data unencrypted; null ciphers are always refused", (8, b"cipher_null\0"), (40, b"ecb\0"))
luks1("cipher-null-by-capi", BEGIN + "cipher 'capi:ecb(cipher_null)-xts-plain64' leaves the data unencrypted; null ciphers are always refused", (8, b"capi:ecb(cipher_null)\0"))
luks1("cipher-unknown", BEGIN + "cipher 'rot13-xts-plain64' is not supported " + CIPHERS, (8, b"rot13\0"))
luks1("cipher-empty", BEGIN + "cipher '-xts-plain64' is not supported " + CIPHERS, (8, b"\0"))
luks1("cipher-without-end", BEGIN + "the field 'cipher-name' has no end", (8, b"a" * 32))
luks1("cipher-of-control-characters", BEGIN + "cipher '?[2Jaes-xts-plain64' is not supported " + CIPHERS, (8, b"\x1b[2Jaes\0"))
luks1("mode-ecb", BEGIN + "cipher 'aes-ecb' is not supported " + CIPHERS, (40, b"ecb\0"))
luks1("mode-without-end", BEGIN + "the field 'cipher-mode' has no end", (40, b"x" * 32))
luks1("hash-unknown", BEGIN + "volume key digest: hash 'md4' is not supported " + HASHES, (72, b"md4\0"))
luks1("hash-without-end", BEGIN + "the field 'hash-spec' has no end", (72, b"s" * 32))
luks1("payload-at-0", BEGIN + "keyslot 0: its area ends at byte 260096, inside the payload, which begins at 0", (104, u32(0)))
luks1("payload-inside-the-header", BEGIN + "keyslot 0: its area ends at byte 260096, inside the payload, which begins at 512", (104, u32(1)))
luks1("payload-over-keyslot", BEGIN + "keyslot 0: its area ends at byte 260096, inside the payload, which begins at 8192", (104, u32(16)))
luks1("payload-behind-the-end", BEGIN + "the image is 3145728 bytes, its payload begins at 2199023255040: " + CUT, (104, u32(0xffffffff)))
luks1("key-of-0-bytes", BEGIN + "cipher 'aes-xts-plain64' does not take a key of 0 bits (supported: 256, 384 and 512)", (108, u32(0)))
luks1("key-of-1-byte", BEGIN + "cipher 'aes-xts-plain64' does not take a key of 8 bits (supported: 256, 384 and 512)", (108, u32(1)))
luks1("key-of-4-gib", BEGIN + "a volume key of 4294967295 bytes is not supported", (108, u32(0xffffffff)))
luks1("digest-of-0-iterations", BEGIN + "volume key digest: 0 PBKDF2 iterations", (164, u32(0)))
luks1("digest-of-4294967295-iterations", BEGIN + "volume key digest: 4294967295 PBKDF2 iterations, at most 268435456 are accepted", (164, u32(0xffffffff)))
luks1("uuid-without-end", BEGIN + "the field 'uuid' has no end", (168, b"u" * 40))
luks1("keyslot-state-unknown", BEGIN + "keyslot 1: its state 0x12345678 is neither in use nor free", (SLOT + 48, u32(0x12345678)))
luks1("keyslots-all-free", "no keyslot is in use: no key can open this volume", *[(SLOT + 48 * slot, u32(0x0000dead)) for slot in range(8)])
luks1("keyslot-of-0-iterations", BEGIN + "keyslot 0: 0 PBKDF2 iterations", (SLOT + 4, u32(0)))
luks1("keyslot-of-4294967295-iterations", BEGIN + "keyslot 0: 4294967295 PBKDF2 iterations, at most 268435456 are accepted", (SLOT + 4, u32(0xffffffff)))
luks1("area-over-the-header", BEGIN + "keyslot 0: its area begins at byte 0, inside the header", (SLOT + 40, u32(0)))
luks1("area-in-the-payload", BEGIN + "keyslot 0: its area ends at byte 2353152, inside the payload, which begins at 2097152", (SLOT + 40, u32(4096)))
luks1("area-behind-the-end", BEGIN + "keyslot 0: its area ends at byte 2199023511040, inside the payload, which begins at 2097152", (SLOT + 40, u32(0xffffffff)))
luks1("areas-overlap", BEGIN + "keyslot 1: its area overlaps the one of keyslot 0", (SLOT + 48, u32(0x00ac71f3)), (SLOT + 52, u32(1000)), (SLOT + 88, u32(9)))
luks1("stripes-0", BEGIN + "keyslot 0: 0 stripes, expected 4000", (SLOT + 44, u32(0)))
luks1("stripes-1", BEGIN + "keyslot 0: 1 stripes, expected 4000", (SLOT + 44, u32(1)))
luks1("stripes-4294967295", BEGIN + "keyslot 0: 4294967295 stripes, expected 4000", (SLOT + 44, u32(0xffffffff)))
cut(1, "at-0", 0, NONE)
cut(1, "in-the-magic", 5, NONE)
cut(1, "behind-the-magic", 6, BEGIN + "LUKS version 0 is not supported, only 1 and 2")
cut(1, "in-the-header", 591, BEGIN + "a LUKS1 header has 592 bytes, but there are only 591: truncated")
cut(1, "behind-the-header", 592, BEGIN + "the image is 592 bytes, its payload begins at 2097152: " + CUT)
cut(1, "in-keyslot-0", 100000, BEGIN + "the image is 100000 bytes, its payload begins at 2097152: " + CUT)
cut(1, "at-the-payload", 2097152, BEGIN + "the image is 2097152 bytes, its payload begins at 2097152: " + CUT)

# ---- LUKS2, binary header (specification 1.1.3, 2.1) ----

binary("version-0", BEGIN + "LUKS version 0 is not supported, only 1 and 2", (6, u16(0)))
binary("version-3", BEGIN + "LUKS version 3 is not supported, only 1 and 2", (6, u16(3)))
binary("copies-of-0-bytes", DAMAGED % ("its size field is wrong", "its size field is wrong"), (8, u64(0)))
binary("copies-of-4096-bytes", DAMAGED % ("its size field is wrong", "its size field is wrong"), (8, u64(4096)))
binary("copies-of-20000-bytes", DAMAGED % ("its size field is wrong", "its size field is wrong"), (8, u64(20000)))
binary("copies-of-8-mib", DAMAGED % ("its size field is wrong", "its size field is wrong"), (8, u64(8 << 20)))
binary("copies-of-2-64-bytes", DAMAGED % ("its size field is wrong", "its size field is wrong"), (8, u64(2**64 - 1)))
binary("offsets-of-copies-wrong", DAMAGED % ("its offset field is wrong", "its offset field is wrong"), (256, u64(4096)))
binary("checksum-by-md5", DAMAGED % ("its checksum is of an unknown kind", "its checksum is of an unknown kind"), (72, b"md5".ljust(32, b"\0")))
binary("checksum-by-nothing", DAMAGED % ("its checksum is of an unknown kind", "its checksum is of an unknown kind"), (72, bytes(32)))
binary("checksum-name-without-end", DAMAGED % ("its checksum is of an unknown kind", "its checksum is of an unknown kind"), (72, b"s" * 32))
binary("label-without-end", DAMAGED % ("its label or subsystem has no end", "its label or subsystem has no end"), (24, b"l" * 48))
binary("subsystem-without-end", DAMAGED % ("its label or subsystem has no end", "its label or subsystem has no end"), (208, b"s" * 48))
binary("uuid-without-end", DAMAGED % ("its UUID has no end", "its UUID has no end"), (168, b"u" * 40))
entry("luks2-checksums-wrong", 2,
      lambda path: [luks.damage(path, at) for at in (5000, COPY_BYTES + 5000)], DAMAGED % ("its checksum is wrong", "its checksum is wrong"))
entry("luks2-magics-gone", 2, lambda path: [luks.patch(path, at, bytes(6)) for at in (0, COPY_BYTES)], NONE)
cut(2, "in-the-first-binary-header", 4095, DAMAGED % ("it ends at byte 16384, but there are only 4095 bytes: truncated", "none was found"))
cut(2, "behind-the-first-binary-header", 4096, DAMAGED % ("it ends at byte 16384, but there are only 4096 bytes: truncated", "none was found"))
cut(2, "behind-the-first-copy", 16384, BEGIN + "the image is 16384 bytes, its payload begins at 1048576: " + CUT)
cut(2, "behind-the-second-copy", 32768, BEGIN + "the image is 32768 bytes, its payload begins at 1048576: " + CUT)
cut(2, "in-keyslot-0", 100000, BEGIN + "the image is 100000 bytes, its payload begins at 1048576: " + CUT)
cut(2, "at-the-payload", 1048576, BEGIN + "the image is 1048576 bytes, its payload begins at 1048576: " + CUT)

# ---- LUKS2, JSON ----

text("json-empty", lambda t: b"", BEGIN + "the JSON text can't be parsed: unexpected end of data")
text("json-is-a-list", lambda t: b"[]", BEGIN + "the JSON text is not an object")
text("json-is-null", lambda t: b"null", BEGIN + "the JSON text is not an object")
text("json-without-end", lambda t: t[:-1], BEGIN + "the JSON text can't be parsed: unexpected end of data")
text("json-fills-the-area", lambda t: t.ljust(COPY_BYTES, b" "), BEGIN + "the JSON text has no end")
text("json-with-more-behind", lambda t: t + b"{}", BEGIN + UNEXPECTED)
text("json-with-more-behind-its-end", lambda t: t + b"\0{}", LIBRARY)
text("json-1000-lists-deep", lambda t: t[:-1] + b',"x":' + b"[" * 1000 + b"]" * 1000 + b"}", BEGIN + "the JSON text can't be parsed: nesting too deep")
text("json-invalid-utf-8", lambda t: t.replace(b'"tokens"', b'"\xff\xfe":{},"tokens"'), BEGIN + "the JSON text can't be parsed: invalid utf-8 string")
text("json-key-twice", lambda t: t.replace(b'"segments"', b'"segments":{},"segments"', 1), BEGIN + "the JSON text has a field twice")
# Who takes 'x"' for a string and who does not disagree on what is outside of strings, and so on which fields there are.
text("json-key-twice-behind-single-quotes", lambda t: b"""{'a"':1,"k:":1,"k:":2,'b"':3,""" + t[1:], BEGIN + QUOTES)
text("json-value-in-single-quotes", lambda t: t.replace(b'"segments"', b'''"x":'y"',"segments"''', 1), BEGIN + QUOTES)
text("json-comment", lambda t: t.replace(b'"segments"', b'/* " */"segments"', 1), BEGIN + "the JSON text can't be parsed: quoted object property name expected")
text("json-comma-behind-the-last", lambda t: t[:-1] + b",}", BEGIN + UNEXPECTED)
text("json-leading-zeros", lambda t: t.replace(b'"iterations": 1000', b'"iterations": 01000'), BEGIN + "the JSON text can't be parsed: number expected")
text("json-escaped-nul-in-cipher", lambda t: t.replace(b"aes-xts-plain64", b"aes-xts-plain64\\u0000x"), BEGIN + "the JSON text has a NUL character inside a string")
text("json-escaped-nul-in-name", lambda t: t.replace(b'"segments"', b'"segments\\u0000x"'), BEGIN + "the JSON text has a NUL character inside a string")
text("json-nan", lambda t: t.replace(b'"iterations": 1000', b'"iterations": NaN'), BEGIN + "digest 0: the field 'iterations' is not of type int")
text("json-number-of-40-digits", lambda t: t.replace(b'"iterations": 1000', b'"iterations": ' + b"9" * 40), BEGIN + "digest 0: the field 'iterations' is out of range")
text("json-fraction", lambda t: t.replace(b'"iterations": 1000', b'"iterations": 1000.5'), BEGIN + "digest 0: the field 'iterations' is not of type int")
for part in ("keyslots", "segments", "digests", "config"):
    document(f"without-{part}", f'del d["{part}"]', BEGIN + f"the field '{part}' is missing")
    document(f"{part}-are-a-list", f'd["{part}"] = []', BEGIN + f"the field '{part}' is not of type object")
document("without-tokens", 'del d["tokens"]', BEGIN + "the field 'tokens' is missing")
document("tokens-are-a-list", 'd["tokens"] = []', BEGIN + "the field 'tokens' is not of type object")

# ---- LUKS2, segments ----

S = 'd["segments"]["0"]'
document("segments-none", 'd["segments"] = {}', BEGIN + "0 segments, expected exactly one")
document("segment-1-alone", 'd["segments"]["1"] = d["segments"].pop("0")', BEGIN + "segments: the field '0' is missing")
document("segments-2", f'd["segments"]["1"] = dict({S})', BEGIN + "2 segments, expected exactly one")
document("segments-dynamic-in-the-middle", f'd["segments"]["1"] = dict({S}, offset="1052672")', BEGIN + "2 segments, expected exactly one")
document("segments-overlap", f'{S}["size"] = "8192"; d["segments"]["1"] = dict({S}, offset="1052672")', BEGIN + "2 segments, expected exactly one")
document("segments-with-a-gap", f'{S}["size"] = "4096"; d["segments"]["1"] = dict({S}, offset="1060864")', BEGIN + "2 segments, expected exactly one")
document("segments-40", f'd["segments"].update({{str(i): dict({S}) for i in range(1, 40)}})', BEGIN + "40 segments, expected exactly one")
document("segment-named-x", 'd["segments"]["x"] = d["segments"].pop("0")', BEGIN + "segments: the field '0' is missing")
document("segment-backup-final", f'd["segments"]["1"] = dict({S}, flags=["backup-final"])', BEGIN + "2 segments, expected exactly one")
document("segment-linear", f'{S}["type"] = "linear"', BEGIN + "segment 0: type 'linear' is not supported, only 'crypt'")
document("segment-hw-opal", f'{S}["type"] = "hw-opal"', BEGIN + "segment 0: type 'hw-opal' is not supported, only 'crypt'")
document("segment-hw-opal-crypt", f'{S}["type"] = "hw-opal-crypt"', BEGIN + "segment 0: type 'hw-opal-crypt' is not supported, only 'crypt'")
document("segment-of-unknown-type", f'{S}["type"] = "warp"', BEGIN + "segment 0: type 'warp' is not supported, only 'crypt'")
document("segment-without-type", f'del {S}["type"]', BEGIN + "segments: the field 'type' is missing")
document("segment-with-integrity", f'{S}["integrity"] = dict(type="hmac(sha256)", journal_encryption="none", journal_integrity="none")', BEGIN + "segment 0: authenticated encryption ('integrity') is not supported")
document("segment-null-cipher", f'{S}["encryption"] = "cipher_null-ecb"', BEGIN + "segment 0: cipher 'cipher_null-ecb' leaves the data unencrypted; null ciphers are always refused")
document("segment-null-cipher-by-capi", f'{S}["encryption"] = "capi:ecb(cipher_null)-plain"', BEGIN + "segment 0: cipher 'capi:ecb(cipher_null)-plain' leaves the data unencrypted; null ciphers are always refused")
document("segment-cipher-unknown", f'{S}["encryption"] = "rot13-xts-plain64"', BEGIN + "segment 0: cipher 'rot13-xts-plain64' is not supported " + CIPHERS)
document("segment-cipher-a-number", f'{S}["encryption"] = 7', BEGIN + "segment 0: the field 'encryption' is not of type string")
document("segment-cipher-of-10000-characters", f'{S}["encryption"] = "a" * 10000', BEGIN + "segment 0: cipher 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is not supported " + CIPHERS)
document("segment-offset-negative", f'{S}["offset"] = "-4096"', BEGIN + "segment 0: the field 'offset' is not a number: '-4096'")
document("segment-offset-a-number", f'{S}["offset"] = 1048576', BEGIN + "segment 0: the field 'offset' is not of type string")
document("segment-offset-2-64", f'{S}["offset"] = str(2**64)', BEGIN + "segment 0: the field 'offset' is not a number: '18446744073709551616'")
document("segment-offset-with-letters", f'{S}["offset"] = "1048576x"', BEGIN + "segment 0: the field 'offset' is not a number: '1048576x'")
document("segment-offset-hexadecimal", f'{S}["offset"] = "0x100000"', BEGIN + "segment 0: the field 'offset' is not a number: '0x100000'")
document("segment-offset-of-half-a-sector", f'{S}["offset"] = "1048832"', BEGIN + "segment 0: offset 1048832 is not a multiple of 512")
document("segment-in-the-header", f'{S}["offset"] = "4096"', BEGIN + "segment 0: the payload begins at byte 4096, inside the header, which ends at 557056 (give a detached header with --header, and the data as the image)")
document("segment-behind-the-end", f'{S}["offset"] = "1099511627776"', BEGIN + "the image is 2097152 bytes, its payload begins at 1099511627776: " + CUT)
document("segment-size-0", f'{S}["size"] = "0"', BEGIN + "segment 0: size 0 is not a multiple of its sectors of 512")
document("segment-size-negative", f'{S}["size"] = "-1"', BEGIN + "segment 0: the field 'size' is not a number: '-1'")
document("segment-size-2-64", f'{S}["size"] = str(2**64)', BEGIN + "segment 0: the field 'size' is not a number: '18446744073709551616'")
document("segment-size-wraps", f'{S}["size"] = str(2**64 - 512)', BEGIN + "the image is 2097152 bytes, its payload of 18446744073709551104 bytes begins at 1048576: it is truncated")
document("segment-size-of-half-a-sector", f'{S}["size"] = "256"', BEGIN + "segment 0: size 256 is not a multiple of its sectors of 512")
document("segment-size-over-the-end", f'{S}["size"] = "4194304"', BEGIN + "the image is 2097152 bytes, its payload of 4194304 bytes begins at 1048576: it is truncated")
document("segment-iv-tweak-wraps", f'{S}["iv_tweak"] = str(2**64 - 1)', BEGIN + "segment 0: iv_tweak 18446744073709551615 makes sector numbers wrap")
document("segment-iv-tweak-negative", f'{S}["iv_tweak"] = "-1"', BEGIN + "segment 0: the field 'iv_tweak' is not a number: '-1'")
document("segment-sector-size-0", f'{S}["sector_size"] = 0', BEGIN + "segment 0: sector size 0 is not one of 512, 1024, 2048 and 4096")
document("segment-sector-size-negative", f'{S}["sector_size"] = -512', BEGIN + "segment 0: the field 'sector_size' is out of range")
document("segment-sector-size-8192", f'{S}["sector_size"] = 8192', BEGIN + "segment 0: sector size 8192 is not one of 512, 1024, 2048 and 4096")
document("segment-sector-size-2-32-plus-512", f'{S}["sector_size"] = 2**32 + 512', BEGIN + "segment 0: the field 'sector_size' is out of range")

# ---- LUKS2, keyslots ----

K = 'd["keyslots"]["0"]'
document("keyslots-none", 'd["keyslots"] = {}; d["digests"]["0"]["keyslots"] = []', BEGIN + "no keyslot holds the volume key (erased?): no passphrase can open it")
document("keyslots-33", f'd["keyslots"].update({{str(i): {K} for i in range(1, 33)}})', BEGIN + "'32' is not the number of a keyslot (0 to 31)")
document("keyslot-32", 'd["keyslots"]["32"] = d["keyslots"].pop("0")', BEGIN + "no keyslot holds the volume key (erased?): no passphrase can open it")
document("keyslot-of-type-reencrypt", f'{K}["type"] = "reencrypt"', BEGIN + "keyslot 0: type 'reencrypt' is not supported, only 'luks2'")
document("keyslot-of-unknown-type", f'{K}["type"] = "luks9"', BEGIN + "keyslot 0: type 'luks9' is not supported, only 'luks2'")
document("keyslot-key-of-0-bytes", f'{K}["key_size"] = 0', BEGIN + "no keyslot holds the volume key (erased?): no passphrase can open it")
document("keyslot-key-negative", f'{K}["key_size"] = -64', BEGIN + "keyslot 0: the field 'key_size' is out of range")
document("keyslot-key-of-2-31-bytes", f'{K}["key_size"] = 2**31', BEGIN + "keyslot 0: key size of 2147483648 bytes, expected 1 to 512")
document("keyslot-key-of-48-bytes", f'{K}["key_size"] = 48', "no keyslot opens with this key")
document("keyslot-null-cipher", f'{K}["area"]["encryption"] = "cipher_null-ecb"', BEGIN + "keyslot 0: cipher 'cipher_null-ecb' leaves the data unencrypted; null ciphers are always refused")
document("keyslot-cipher-unknown", f'{K}["area"]["encryption"] = "rot13-xts-plain64"', BEGIN + "keyslot 0: cipher 'rot13-xts-plain64' is not supported " + CIPHERS)
document("keyslot-area-key-of-7-bytes", f'{K}["area"]["key_size"] = 7', BEGIN + "keyslot 0: cipher 'aes-xts-plain64' does not take a key of 56 bits (supported: 256, 384 and 512)")
document("keyslot-area-of-type-journal", f'{K}["area"]["type"] = "journal"', BEGIN + "keyslot 0: area type 'journal' is not supported, only 'raw'")
document("keyslot-area-over-the-header", f'{K}["area"]["offset"] = "4096"', BEGIN + "keyslot 0: its area begins at byte 4096, outside the keyslots' part of the header (32768 to 557056)")
document("keyslot-area-in-the-payload", f'{K}["area"]["offset"] = "1048576"', BEGIN + "keyslot 0: its area begins at byte 1048576, outside the keyslots' part of the header (32768 to 557056)")
document("keyslot-area-behind-the-end", f'{K}["area"]["offset"] = "33554432"', BEGIN + "keyslot 0: its area begins at byte 33554432, outside the keyslots' part of the header (32768 to 557056)")
document("keyslot-area-wraps", f'{K}["area"]["offset"] = str(2**64 - 4096)', BEGIN + "keyslot 0: its area begins at byte 18446744073709547520, outside the keyslots' part of the header (32768 to 557056)")
document("keyslot-area-of-0-bytes", f'{K}["area"]["size"] = "0"', BEGIN + "keyslot 0: its area of 0 bytes is too small for a key of 64 bytes")
document("keyslot-area-too-small", f'{K}["area"]["size"] = "4096"', BEGIN + "keyslot 0: its area of 4096 bytes is too small for a key of 64 bytes")
document("keyslot-area-of-2-64-bytes", f'{K}["area"]["size"] = str(2**64 - 1)', BEGIN + "keyslot 0: its area of 18446744073709551615 bytes ends outside the keyslots' part of the header (32768 to 557056)")
document("keyslot-areas-overlap", f'import copy; d["keyslots"]["1"] = copy.deepcopy({K}); d["digests"]["0"]["keyslots"].append("1")', BEGIN + "keyslot 1: its area overlaps the one of keyslot 0")
document("keyslot-stripes-0", f'{K}["af"]["stripes"] = 0', BEGIN + "keyslot 0: 0 stripes, expected 4000")
document("keyslot-stripes-1", f'{K}["af"]["stripes"] = 1', BEGIN + "keyslot 0: 1 stripes, expected 4000")
document("keyslot-stripes-2-31", f'{K}["af"]["stripes"] = 2**31', BEGIN + "keyslot 0: 2147483648 stripes, expected 4000")
document("keyslot-af-hash-unknown", f'{K}["af"]["hash"] = "md4"', BEGIN + "keyslot 0: hash 'md4' is not supported " + HASHES)
document("keyslot-af-of-unknown-type", f'{K}["af"]["type"] = "luks9"', BEGIN + "keyslot 0: anti-forensic splitter 'luks9' is not supported")
document("keyslot-without-af", f'del {K}["af"]', BEGIN + "keyslot 0: the field 'af' is missing")
document("keyslot-without-kdf", f'del {K}["kdf"]', BEGIN + "keyslot 0: the field 'kdf' is missing")
document("keyslot-kdf-unknown", f'{K}["kdf"]["type"] = "scrypt"', BEGIN + "keyslot 0: key derivation 'scrypt' is not supported")
document("keyslot-kdf-hash-unknown", f'{K}["kdf"]["hash"] = "md4"', BEGIN + "keyslot 0: hash 'md4' is not supported " + HASHES)
document("keyslot-of-0-iterations", f'{K}["kdf"]["iterations"] = 0', BEGIN + "keyslot 0: 0 PBKDF2 iterations")
document("keyslot-of-negative-iterations", f'{K}["kdf"]["iterations"] = -1', BEGIN + "keyslot 0: the field 'iterations' is out of range")
document("keyslot-of-4-billion-iterations", f'{K}["kdf"]["iterations"] = 4000000000', BEGIN + "keyslot 0: 4000000000 PBKDF2 iterations, at most 268435456 are accepted")
A = f'{K}["kdf"] = dict(type="argon2id", time=%s, memory=%s, cpus=%s, salt={K}["kdf"]["salt"])'
document("argon2-memory-8-gib", A % (4, 8 << 20, 4), BEGIN + "keyslot 0: Argon2 memory of 8388608 KiB, at most 4194304 are accepted")
document("argon2-memory-negative", A % (4, -1, 4), BEGIN + "keyslot 0: the field 'memory' is out of range")
document("argon2-memory-0", A % (4, 0, 4), BEGIN + "keyslot 0: Argon2 with time 4, memory 0 KiB, 4 lanes: none of them may be 0")
document("argon2-time-0", A % (0, 65536, 4), BEGIN + "keyslot 0: Argon2 with time 0, memory 65536 KiB, 4 lanes: none of them may be 0")
document("argon2-time-1000000", A % (1000000, 1 << 20, 4), BEGIN + "keyslot 0: Argon2 time of 1000000 with 1048576 KiB of memory, at most 256 passes are accepted")
document("argon2-lanes-0", A % (4, 65536, 0), BEGIN + "keyslot 0: Argon2 with time 4, memory 65536 KiB, 0 lanes: none of them may be 0")
document("argon2-lanes-1000", A % (4, 65536, 1000), BEGIN + "keyslot 0: Argon2 with 1000 lanes, at most 4 are accepted")
document("keyslot-salt-not-base64", f'{K}["kdf"]["salt"] = "!!!"', BEGIN + "keyslot 0: the field 'salt' is not base64")

# ---- LUKS2, digests, tokens, config ----

G = 'd["digests"]["0"]'
document("digests-none", 'd["digests"] = {}', BEGIN + "segment 0 has no digest, so no key can be verified")
document("digest-without-segments", f'{G}["segments"] = []', BEGIN + "segment 0 has no digest, so no key can be verified")
document("digest-without-keyslots", f'{G}["keyslots"] = []', BEGIN + "no keyslot holds the volume key (erased?): no passphrase can open it")
document("digest-of-missing-keyslot", f'{G}["keyslots"] = ["0", "7"]', LIBRARY)
document("digest-of-missing-segment", f'{G}["segments"] = ["0", "5"]', LIBRARY)
document("digests-2-of-one-segment", f'd["digests"]["1"] = dict({G})', BEGIN + "segment 0 has more than one digest")
document("digest-of-unknown-type", f'{G}["type"] = "crc32"', BEGIN + "digest 0: type 'crc32' is not supported, only 'pbkdf2'")
document("digest-hash-unknown", f'{G}["hash"] = "md4"', BEGIN + "digest 0: hash 'md4' is not supported " + HASHES)
document("digest-of-0-iterations", f'{G}["iterations"] = 0', BEGIN + "digest 0: 0 PBKDF2 iterations")
document("digest-of-4-billion-iterations", f'{G}["iterations"] = 4000000000', BEGIN + "digest 0: 4000000000 PBKDF2 iterations, at most 268435456 are accepted")
document("digest-not-base64", f'{G}["digest"] = "!!!"', BEGIN + "digest 0: the field 'digest' is not base64")
document("digest-empty", f'{G}["digest"] = ""', BEGIN + "digest 0: the field 'digest' has 0 bytes, expected 20 to 64")
document("token-of-missing-keyslot", 'd["tokens"]["0"] = dict(type="x", keyslots=["9"])', LIBRARY)
document("token-without-type", 'd["tokens"]["0"] = dict(keyslots=["0"])', LIBRARY)
document("token-without-keyslots", 'd["tokens"]["0"] = dict(type="x")', LIBRARY)
R = 'd["config"]["requirements"] = dict(mandatory=["%s"])'
document("requires-the-unknown", R % "flux-capacitor", BEGIN + "the header requires 'flux-capacitor', which is unknown: the volume needs newer software")
document("requires-online-reencrypt", R % "online-reencrypt", BEGIN + "the header requires 'online-reencrypt', which is not supported: a re-encryption is under way; finish it with cryptsetup reencrypt")
document("requires-online-reencrypt-v2", R % "online-reencrypt-v2", BEGIN + "the header requires 'online-reencrypt-v2', which is not supported: a re-encryption is under way; finish it with cryptsetup reencrypt")
document("requires-opal", R % "opal", BEGIN + "the header requires 'opal', which is not supported: the data is encrypted by OPAL hardware")
document("requires-inline-hw-tags", R % "inline-hw-tags", BEGIN + "the header requires 'inline-hw-tags', which is not supported: it uses integrity tags of the hardware")
document("requirements-not-a-list", 'd["config"]["requirements"] = dict(mandatory="opal")', BEGIN + "config: requirements: the field 'mandatory' is not of type array")
document("flags-not-a-list", 'd["config"]["flags"] = "allow-discards"', BEGIN + "config: the field 'flags' is not of type array")
document("flag-of-two-lines", r'd["config"]["flags"] = ["x\nflag allow-discards"]', BEGIN + "config: 'x?flag allow-discards' is no name of a flag")
document("flag-that-is-no-text", 'd["config"]["flags"] = [["allow-discards"]]', BEGIN + "config: '' is no name of a flag")
document("flags-100", 'd["config"]["flags"] = ["f%d" % i for i in range(100)]', BEGIN + "config: more than 64 flags")
document("config-json-size-wrong", 'd["config"]["json_size"] = "4096"', LIBRARY)
document("config-keyslots-size-2-64", 'd["config"]["keyslots_size"] = str(2**64 - 4096)', BEGIN + "config: keyslots_size 18446744073709547520 is not a multiple of 4096 up to 134217728")
document("config-keyslots-size-negative", 'd["config"]["keyslots_size"] = "-1"', BEGIN + "config: the field 'keyslots_size' is not a number: '-1'")
document("config-keyslots-size-of-half-a-sector", 'd["config"]["keyslots_size"] = "1000"', BEGIN + "config: keyslots_size 1000 is not a multiple of 4096 up to 134217728")


def make(folder, *images):
    for name, version, change, sentence in table:
        path = os.path.join(folder, name)
        shutil.copyfile(images[version - 1], path)
        change(path)
        with open(path + ".sentence", "w") as file:
            file.write(sentence + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*sys.argv[2:])
    else:
        for name, _, _, sentence in table:
            print(name, sentence, sep="\t")
