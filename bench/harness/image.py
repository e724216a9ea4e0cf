"""The disks: the same random bytes in each, in the clear and encrypted."""
import os
import shutil
import subprocess
import tempfile

from harness.process import Failure
from harness.server import FLAVOURS, OURS, Endpoint, Server, Setup
from harness.tls import Credentials

KEY = b"a key for measurements"
# Deriving the key is not what is measured.
CHEAP_KEYSLOT = ["--pbkdf", "pbkdf2", "--pbkdf-iterations", "1000"]
FORMAT_OPTIONS = {
    "luks1": ["--type", "luks1"],
    "luks2-512": ["--sector-size", "512"],
    "luks2-4096": ["--sector-size", "4096"],
}


def run(command, **options):
    """Of a program that must succeed; what it prints is for when it does not."""
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            **options,
        )
    except subprocess.TimeoutExpired as expired:
        raise Failure("'%s' did not end within %.0f s" % (" ".join(command[:3]), expired.timeout)) from None
    if result.returncode != 0:
        raise Failure(
            "'%s' failed: %s" % (" ".join(command[:3]), result.stderr.strip() or result.stdout.strip())
        )
    return result.stdout


class Images:
    """Those of one folder, made when they are asked for; all are gone after close()."""

    def __init__(self, parent, size_bytes, nbdcrypt):
        self.size_bytes = size_bytes
        self.nbdcrypt = nbdcrypt
        self.folder = tempfile.mkdtemp(prefix="nbdcrypt-bench.", dir=parent)
        self.key = os.path.join(self.folder, "key")
        with open(self.key, "wb") as key:
            key.write(KEY)
        os.chmod(self.key, 0o600)
        self.credentials_made = None

    def credentials(self):
        """Made when they are first asked for."""
        if self.credentials_made is None:
            self.credentials_made = Credentials(self.folder, self.nbdcrypt)
        return self.credentials_made

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def setup(self, flavour, storage, transport, connections_max, image=None):
        return Setup(
            image or self.path(flavour.image),
            self.key,
            Endpoint(transport, self.folder, self.credentials),
            storage,
            self.folder,
            self.nbdcrypt,
            connections_max,
        )

    def path(self, kind):
        path = os.path.join(self.folder, kind + ".img")
        if not os.path.exists(path):
            self._expect_room()
            if kind == "source":
                self._make_random(path)
            elif kind == "plain":
                run(["cp", "--reflink=never", self.path("source"), path])
            else:
                self._make_luks(kind, path)
        return path

    def _expect_room(self):
        free_bytes = shutil.disk_usage(self.folder).free
        if free_bytes < 1.1 * self.size_bytes:
            raise Failure(
                "%s has only %d MiB left: choose another folder (--dir) or a smaller disk (--size)"
                % (self.folder, free_bytes >> 20)
            )

    def _make_random(self, path):
        with open(path, "wb") as file:
            left_bytes = self.size_bytes
            while left_bytes > 0:
                left_bytes -= file.write(os.urandom(min(left_bytes, 1 << 20)))

    def format(self, kind, path, size_bytes):
        run(
            [self.nbdcrypt, "format", "--key-file", self.key, "--size", str(size_bytes)]
            + CHEAP_KEYSLOT
            + FORMAT_OPTIONS[kind]
            + [path]
        )

    def _make_luks(self, kind, path):
        """Every block of it is written: none is a hole."""
        source = self.path("source")
        self.format(kind, path, self.size_bytes)
        flavour = next(FLAVOURS[name] for name in OURS if FLAVOURS[name].image == kind)
        with Server(flavour, self.setup(flavour, "cache", "unix", 16, path)) as server:
            run(["nbdcopy", source, server.uri])

    def expect_content(self, server):
        """The server serves what is in the source."""
        with subprocess.Popen(
            ["nbdcopy", server.uri, "-"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as copy:
            compared = subprocess.run(
                ["cmp", "-", self.path("source")], stdin=copy.stdout, capture_output=True, check=False
            )
            copy.stdout.close()
        if copy.returncode != 0 or compared.returncode != 0:
            raise Failure("%s does not serve what was written: %s" % (server.flavour.name, server.said()))


def write_back(path):
    """What is dirty in the page cache is written before something else is measured."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
