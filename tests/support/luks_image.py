"""LUKS images seen by a second pair of eyes: finds the payload in the header, decrypts and encrypts it with
python3-cryptography and the volume key that `cryptsetup luksDump` gives, and breaks headers for tests.

    image = LuksImage(path, passphrase_file)      # header in the image, or header=FILE
    image.read(offset, length)                    # plaintext of the payload
    change_luks2_json(path, lambda text: text.replace(...))   # with the right checksums

Offsets and lengths of read() and write() are multiples of the volume's sector size.
"""

import hashlib
import json
import os
import struct
import subprocess
import tempfile

LUKS1_MAGIC = b"LUKS\xba\xbe"
LUKS2_SECOND_MAGIC = b"SKUL\xba\xbe"
LUKS2_BINARY_BYTES = 4096
CHECKSUM_AT, CHECKSUM_BYTES = 448, 64


class LuksImage:
    def __init__(self, path, passphrase_file, header=None):
        self.path = path
        self.header = header or path
        self.load_segment()
        self.key = dump_volume_key(self.header, passphrase_file)

    def load_segment(self):
        with open(self.header, "rb") as file:
            head = file.read(LUKS2_BINARY_BYTES)
            version, = struct.unpack(">H", head[6:8])
            if head[:6] != LUKS1_MAGIC:
                raise ValueError("not LUKS")
            if version == 1:
                self.cipher = text_at(head, 8, 32) + "-" + text_at(head, 40, 32)
                self.payload_offset = struct.unpack(">I", head[104:108])[0] * 512
                self.sector_bytes, self.iv_tweak = 512, 0
                return
        segment = read_luks2_json(self.header)["segments"]["0"]
        self.cipher = segment["encryption"]
        self.payload_offset = int(segment["offset"])
        self.sector_bytes = segment["sector_size"]
        self.iv_tweak = int(segment["iv_tweak"])

    def transform(self, offset, data, decrypt):
        """Sector by sector; numbers count 512-byte units whatever the sector size is.  AES and Camellia (no Camellia-XTS)."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        algorithm, mode, iv = self.cipher.split("-", 2)
        block_cipher = {"aes": algorithms.AES, "camellia": algorithms.Camellia}[algorithm]
        mode = {"xts": modes.XTS, "cbc": modes.CBC}[mode]
        if offset % self.sector_bytes or len(data) % self.sector_bytes:
            raise ValueError("not whole sectors")

        def initial(unit):
            if iv == "plain64be":
                return struct.pack(">QQ", 0, unit)
            if iv == "plain":
                unit &= 0xFFFFFFFF
            number = struct.pack("<QQ", unit, 0)
            if not iv.startswith("essiv"):
                return number
            key = hashlib.new(iv.split(":")[1], self.key).digest()
            return Cipher(block_cipher(key), modes.ECB()).encryptor().update(number)

        result = []
        for at in range(0, len(data), self.sector_bytes):
            unit = (offset + at) // 512 + self.iv_tweak
            cipher = Cipher(block_cipher(self.key), mode(initial(unit)))
            half = cipher.decryptor() if decrypt else cipher.encryptor()
            result.append(half.update(data[at:at + self.sector_bytes]) + half.finalize())
        return b"".join(result)

    def read(self, offset, length):
        with open(self.path, "rb") as file:
            file.seek(self.payload_offset + offset)
            return self.transform(offset, file.read(length), decrypt=True)

    def write(self, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(self.payload_offset + offset)
            file.write(self.transform(offset, data, decrypt=False))


def text_at(head, at, length):
    return head[at:at + length].split(b"\0")[0].decode()


def dump_volume_key(header, passphrase_file):
    with tempfile.TemporaryDirectory() as folder:
        key_file = os.path.join(folder, "volume-key")
        subprocess.run(["cryptsetup", "luksDump", "--batch-mode", "--disable-locks",
                        "--dump-volume-key", "--volume-key-file", key_file, "--key-file",
                        passphrase_file, header], check=True, stdout=subprocess.DEVNULL)
        with open(key_file, "rb") as file:
            return file.read()


# ---- LUKS2 headers: two copies, each a binary header of 4096 bytes and a JSON area ----

def luks2_copy_bytes(path):
    """The size of one copy of the header."""
    with open(path, "rb") as file:
        file.seek(8)
        return struct.unpack(">Q", file.read(8))[0]


def read_luks2_json(path):
    with open(path, "rb") as file:
        file.seek(LUKS2_BINARY_BYTES)
        area = file.read(luks2_copy_bytes(path) - LUKS2_BINARY_BYTES)
    return json.loads(area.split(b"\0")[0])


def seal_luks2_copy(copy):
    """The copy with its checksum made right (SHA-256 of the copy with the checksum zeroed)."""
    blank = copy[:CHECKSUM_AT] + bytes(CHECKSUM_BYTES) + copy[CHECKSUM_AT + CHECKSUM_BYTES:]
    checksum = hashlib.sha256(blank).digest().ljust(CHECKSUM_BYTES, b"\0")
    return copy[:CHECKSUM_AT] + checksum + copy[CHECKSUM_AT + CHECKSUM_BYTES:]


def change_luks2_json(path, change):
    """Applies change(document) -> document or None (changed in place) to both copies."""
    document = read_luks2_json(path)
    document = change(document) or document
    size = luks2_copy_bytes(path)
    area = json.dumps(document, separators=(",", ":")).encode()
    area = area.ljust(size - LUKS2_BINARY_BYTES, b"\0")
    with open(path, "r+b") as file:
        for start in (0, size):
            file.seek(start)
            binary = file.read(LUKS2_BINARY_BYTES)
            file.seek(start)
            file.write(seal_luks2_copy(binary + area))


def damage(path, at, length=64):
    """Inverts bytes."""
    with open(path, "r+b") as file:
        file.seek(at)
        old = file.read(length)
        file.seek(at)
        file.write(bytes(byte ^ 0xFF for byte in old))


def patch(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)
