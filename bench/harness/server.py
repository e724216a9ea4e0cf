"""The servers that are compared: a table of flavours.  Each runs on one image, behind one transport."""
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import namedtuple

from harness import tls
from harness.process import Failure, is_running, tree

# Where an image is.  "cache": in --dir, through the page cache; "direct": there, by O_DIRECT; "tmpfs": in
# /dev/shm.
STORAGES = ("cache", "tmpfs", "direct")

# How clients come; TLS is over a Unix socket.  A new one is a name here, a line in Endpoint.uri(), and in the
# functions below of those servers that have it; a server that does not list it among its transports is left out.
PLAIN_TRANSPORTS = ("unix", "tcp")
TRANSPORTS = PLAIN_TRANSPORTS + tls.TRANSPORTS

START_S_MAX = 30
STOP_S_MAX = 20


class Endpoint:
    """Where a server listens.  credentials: a function that gives those for TLS."""

    def __init__(self, transport, folder, credentials):
        self.transport = transport
        self.credentials = credentials() if transport in tls.TRANSPORTS else None
        self.socket = os.path.join(folder, "sock")
        self.port = self._free_port() if transport == "tcp" else 0

    @staticmethod
    def _free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def uri(self, name):
        if self.transport == "tcp":
            return "nbd://127.0.0.1:%d/%s" % (self.port, name)
        if self.transport == tls.X509:
            return "nbds+unix:///%s?socket=%s&tls-certificates=%s&tls-hostname=localhost" % (
                name,
                self.socket,
                self.credentials.client,
            )
        if self.transport == tls.PSK:
            return "nbds+unix://%s@/%s?socket=%s&tls-psk-file=%s" % (
                tls.USER,
                name,
                self.socket,
                self.credentials.psk,
            )
        return "nbd+unix:///%s?socket=%s" % (name, self.socket)

    def connect(self):
        if self.transport == "tcp":
            return socket.create_connection(("127.0.0.1", self.port))
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(self.socket)
        except OSError:
            peer.close()
            raise
        return peer


# image      path             key      file with the passphrase
# endpoint   of the server    storage  one of STORAGES
# folder     for its files    nbdcrypt the program under test   connections_max  that will come at a time
Setup = namedtuple("Setup", "image key endpoint storage folder nbdcrypt connections_max")

# ---- the command line of each ----


def _nbdkit_listen(setup):
    if setup.endpoint.transport == "tcp":
        return ["--ipaddr", "127.0.0.1", "--port", str(setup.endpoint.port)]
    return ["--unix", setup.endpoint.socket] + tls.nbdkit_options(setup.endpoint)


def _nbdkit_cache(setup):
    # It has no O_DIRECT: this writes out and drops what has been read or written.
    return ["cache=none"] if setup.storage == "direct" else []


def nbdkit_file(setup):
    return ["nbdkit", "--foreground"] + _nbdkit_listen(setup) + ["file", setup.image] + _nbdkit_cache(setup)


def nbdkit_luks(setup):
    return (
        ["nbdkit", "--foreground"]
        + _nbdkit_listen(setup)
        + ["--filter=luks", "file", setup.image]
        + _nbdkit_cache(setup)
        + ["passphrase=+" + setup.key]
    )


def _qemu_nbd(setup):
    if setup.endpoint.transport == "tcp":
        listen = ["--bind", "127.0.0.1", "--port", str(setup.endpoint.port)]
    else:
        listen = ["--socket", setup.endpoint.socket] + tls.qemu_options(setup.endpoint)
    return ["qemu-nbd", "--persistent", "--shared", str(setup.connections_max)] + listen


def _qemu_file(setup, prefix):
    options = "%sdriver=file,%sfilename=%s,%saio=io_uring" % (prefix, prefix, setup.image, prefix)
    if setup.storage == "direct":
        options += ",%scache.direct=on" % prefix
    return options


def qemu_raw(setup):
    return _qemu_nbd(setup) + ["--image-opts", "driver=raw," + _qemu_file(setup, "file.")]


def qemu_luks(setup):
    return _qemu_nbd(setup) + [
        "--object",
        "secret,id=key,file=" + setup.key,
        "--image-opts",
        "driver=luks,key-secret=key," + _qemu_file(setup, "file."),
    ]


def nbd_server(setup):
    config = os.path.join(setup.folder, "nbd-server.conf")
    if setup.endpoint.transport == "tcp":
        listen = "listenaddr = 127.0.0.1\nport = %d\n" % setup.endpoint.port
    else:
        listen = "unixsock = %s\n" % setup.endpoint.socket
    with open(config, "w", encoding="utf-8") as file:
        file.write(
            "[generic]\n%s[disk]\nexportname = %s\nflush = true\nfua = true\n" % (listen, setup.image)
        )
    # It serves one client at a time unless it goes into the background.
    return ["nbd-server", "-C", config, "-p", os.path.join(setup.folder, "nbd-server.pid")]


def _nbdcrypt(setup):
    if setup.endpoint.transport == "tcp":
        listen = ["--listen", "127.0.0.1:%d" % setup.endpoint.port]
    else:
        listen = ["--unix", setup.endpoint.socket] + tls.nbdcrypt_options(setup.endpoint)
    direct = ["--direct"] if setup.storage == "direct" else []
    most = str(setup.connections_max)
    limits = ["--max-connections", most, "--max-connections-per-client", most]
    return [setup.nbdcrypt, "serve"] + limits + listen + direct


def nbdcrypt_raw(setup):
    return _nbdcrypt(setup) + ["--raw", setup.image]


def nbdcrypt_luks(setup):
    return _nbdcrypt(setup) + ["--key-file", setup.key, setup.image]


# ---- the table ----

# title       for tables and charts      program     what must be there, None for the one under test
# package     that has it                image       kind of image, see image.py
# command     function of a Setup        export      name of the export
# storages, transports   that it has     forks       a process for each client, in the background
Flavour = namedtuple("Flavour", "name title program package image command export storages transports forks")

# fmt: off
FLAVOURS = {flavour.name: flavour for flavour in (
    Flavour("nbdkit-file", "nbdkit, plaintext", "nbdkit", "nbdkit", "plain", nbdkit_file, "",
            STORAGES, TRANSPORTS, False),
    Flavour("qemu-raw", "qemu-nbd, plaintext", "qemu-nbd", "qemu-utils", "plain", qemu_raw, "",
            STORAGES, TRANSPORTS, False),
    Flavour("nbd-server", "nbd-server, plaintext", "nbd-server", "nbd-server", "plain", nbd_server, "disk",
            ("cache", "tmpfs"), PLAIN_TRANSPORTS, True),
    Flavour("nbdkit-luks", "nbdkit, luks filter", "nbdkit", "nbdkit", "luks1", nbdkit_luks, "",
            STORAGES, TRANSPORTS, False),
    Flavour("qemu-luks", "qemu-nbd, luks", "qemu-nbd", "qemu-utils", "luks1", qemu_luks, "",
            STORAGES, TRANSPORTS, False),
    Flavour("nbdcrypt-raw", "nbdcrypt, plaintext", None, None, "plain", nbdcrypt_raw, "",
            STORAGES, TRANSPORTS, False),
    Flavour("nbdcrypt-luks1", "nbdcrypt, LUKS1", None, None, "luks1", nbdcrypt_luks, "",
            STORAGES, TRANSPORTS, False),
    Flavour("nbdcrypt-luks2-512", "nbdcrypt, LUKS2, 512-byte sectors", None, None, "luks2-512",
            nbdcrypt_luks, "", STORAGES, TRANSPORTS, False),
    Flavour("nbdcrypt-luks2-4096", "nbdcrypt, LUKS2, 4096-byte sectors", None, None, "luks2-4096",
            nbdcrypt_luks, "", STORAGES, TRANSPORTS, False),
)}
# fmt: on

PEERS = tuple(flavour.name for flavour in FLAVOURS.values() if flavour.program is not None)
OURS = tuple(flavour.name for flavour in FLAVOURS.values() if flavour.program is None)
DEFAULT = tuple(name for name in FLAVOURS if name != "nbdcrypt-luks1")


def why_not(flavour, storage, transport):
    """None, or why this server can't be measured so."""
    if flavour.program is not None and shutil.which(flavour.program) is None:
        return "%s is not installed (Debian package %s)" % (flavour.program, flavour.package)
    if storage not in flavour.storages:
        return "it has no %s storage" % storage
    if transport not in flavour.transports:
        return "it has no %s transport" % transport
    return None


# ---- one that runs ----


class Server:
    """Runs from start() to stop(); stop() may be called at any time."""

    def __init__(self, flavour, setup):
        self.flavour = flavour
        self.setup = setup
        self.uri = setup.endpoint.uri(flavour.export)
        self.pid = None
        self.start_ns = 0
        self.process = None
        self.log = os.path.join(setup.folder, "server.log")

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Returns when it greets a client; raises Failure with what it said when it does not."""
        if os.path.exists(self.setup.endpoint.socket):
            os.unlink(self.setup.endpoint.socket)
        command = self.flavour.command(self.setup)
        began_ns = time.monotonic_ns()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid
        while not self._greets():
            if time.monotonic_ns() - began_ns > START_S_MAX * 1e9:
                raise Failure("%s does not answer: %s" % (self.flavour.name, self.said()))
            if self.process.poll() is not None and (self.process.returncode != 0 or not self.flavour.forks):
                raise Failure("%s ended: %s" % (self.flavour.name, self.said()))
            time.sleep(0.001)
        self.start_ns = time.monotonic_ns() - began_ns
        if self.setup.endpoint.credentials is not None:
            os.chmod(self.setup.endpoint.socket, 0o666)  # for clients that run as another user
        if self.flavour.forks:
            self.process.wait()
            self.pid = self._daemon_pid()

    def _daemon_pid(self):
        """From its file, which it may write a little after it has begun to answer."""
        deadline = time.monotonic() + 2
        while True:
            try:
                with open(os.path.join(self.setup.folder, "nbd-server.pid"), encoding="ascii") as file:
                    return int(file.read())
            except (FileNotFoundError, ValueError):
                if time.monotonic() > deadline:
                    raise Failure("%s wrote no pid: %s" % (self.flavour.name, self.said())) from None
            time.sleep(0.01)

    def _greets(self):
        try:
            with self.setup.endpoint.connect() as peer:
                peer.settimeout(START_S_MAX)
                return peer.recv(8) == b"NBDMAGIC"
        except OSError:
            return False

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read().strip() or "it said nothing"

    def stop(self):
        if self.pid is None:
            return
        if self.flavour.forks:
            self._stop_daemon()
        self.process.terminate()
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.pid = None

    def _forget_daemon(self):
        try:
            os.unlink(os.path.join(self.setup.folder, "nbd-server.pid"))
        except FileNotFoundError:
            pass  # it has done it itself

    def _stop_daemon(self):
        try:
            pids = tree(self._daemon_pid())
        except Failure:
            return  # it did not come as far as to be in the background
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + STOP_S_MAX
            while time.monotonic() < deadline:
                running = [pid for pid in pids if is_running(pid)]
                if not running:
                    self._forget_daemon()
                    return
                for pid in running:
                    try:
                        os.kill(pid, signal_number)
                    except ProcessLookupError:
                        pass
                time.sleep(0.01)
