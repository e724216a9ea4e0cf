"""What --check holds the figures to."""
from collections import namedtuple

from harness import tls
from harness.job import JOBS
from harness.summary import TITLES, Figures, of, print_table

LUKS2 = ("nbdcrypt-luks2-512", "nbdcrypt-luks2-4096")
CPU = "server_cpu_ns_per_kib"

# Where the bars hold.  Storage that is slower than the server hides what the server costs.
STORAGES = ("cache", "tmpfs")
TRANSPORTS = ("unix",) + tls.TRANSPORTS

# Histograms of latencies are exact to this.
LATENCY_RESOLUTION = 1.016

PEAK_KIB_BASE = 64 * 1024
PEAK_KIB_PER_CONNECTION = 4 * 1024
IDLE_BYTES_MAX = 24 * 1024
IDLE_CONNECTIONS = 10_000
IDLE_TLS_BYTES_MAX = 64 * 1024
STORM_P99_MAX = 2.0
PSK_AS_X509 = 1.15  # what one run differs from the next

# The column of `server` at most `allowed` times that of `peer`.
Bar = namedtuple("Bar", "job server peer column allowed")


def _bars():
    yield Bar("read", "nbdcrypt-luks2-4096", "nbdkit-file", CPU, 1.10)
    yield Bar("read", "nbdcrypt-luks2-512", "nbdkit-file", CPU, 1.20)
    yield Bar("write", "nbdcrypt-luks2-4096", "nbdkit-file", CPU, 1.25)
    for job in ("read", "write"):
        for peer, allowed in (("nbdkit-luks", 1 / 6), ("qemu-luks", 1 / 10)):
            for server in LUKS2:
                yield Bar(job, server, peer, CPU, allowed)
    for job, allowed in (("randread-32", 0.55), ("randread-4x16", 0.40)):
        for server in LUKS2:
            yield Bar(job, server, "nbdkit-file", CPU, allowed)
    for job in JOBS:
        for server in LUKS2:
            yield Bar(job, server, "nbdcrypt-raw", CPU, 1.20)
    for job in ("randread-1", "randread-32", "randwrite-1", "randwrite-32"):
        for column in ("p50_ns", "p99_ns"):
            for server in LUKS2:
                yield Bar(job, server, "nbdkit-file", column, LATENCY_RESOLUTION)


def _x509_bars():
    for server in LUKS2:
        yield Bar("read", server, "nbdkit-luks", CPU, 0.40)
        yield Bar("read", server, "nbdkit-file", CPU, 0.95)
        yield Bar("randread-32", server, "nbdkit-luks", CPU, 0.55)
        # Turned round: at least as many a second.
        yield Bar("handshakes", "nbdkit-file", server, "iops", 1.0)
        yield Bar("handshakes", server, "nbdkit-file", "server_cpu_ns_per_request", 1.0)


def _psk_bars():
    for server in LUKS2:
        # Turned round: five times as much.
        yield Bar("copy-read", "nbdkit-file", server, "mb_per_s", 1 / 5)


BARS = {"unix": _bars, tls.X509: _x509_bars, tls.PSK: _psk_bars}
COLUMN_TITLES = {
    CPU: "CPU per KiB",
    "server_cpu_ns_per_request": "CPU",
    "p50_ns": "p50",
    "p99_ns": "p99",
    "mb_per_s": "MB/s",
    "iops": "a second",
}


class Verdicts:
    """Rows for the person at the terminal, and how many bars were met and missed."""

    def __init__(self):
        self.rows = [["", "measured", "allowed", "rounds", "", ""]]
        self.met = self.missed = 0

    def add(self, claim, values, allowed):
        """values: (measured, least and greatest of a round) in the unit of `allowed`."""
        measured, least, greatest = values
        good = measured <= allowed
        if good:
            self.met += 1
        else:
            self.missed += 1
        # Where single rounds fall on both sides of it, another run may decide otherwise.
        noisy = least <= allowed < greatest
        self.rows.append(
            [
                claim,
                "%.3f" % measured,
                "%.3f" % allowed,
                "%.3f-%.3f" % (least, greatest),
                "met" if good else "MISSED",
                "noise-limited" if noisy else "",
            ]
        )


def _add_ratios(verdicts, figures, storage, transport):
    for bar in BARS[transport]():
        group = figures.group_of(storage, transport, bar.job)
        ratio = figures.ratio(group, bar.job, bar.server, bar.peer, bar.column) if group else None
        if ratio is not None:
            verdicts.add(
                "%s: %s, %s / %s" % (JOBS[bar.job].title, COLUMN_TITLES[bar.column], bar.server, bar.peer),
                ratio,
                bar.allowed,
            )


def _add_storms(verdicts, figures, storage):
    """What others' handshakes do to a client that waits for one answer at a time."""
    calm_group, storm_group = (figures.group_of(storage, tls.X509, job) for job in ("randread-1", "storm"))
    for server in figures.servers(storm_group, "storm"):
        calm = figures.values(calm_group, "randread-1", server, "p99_ns")
        storm = figures.values(storm_group, "storm", server, "p99_ns")
        if server in LUKS2 and calm and storm:
            verdicts.add("%s: p99 / without, %s" % (JOBS["storm"].title, server), of(storm, calm), STORM_P99_MAX)


def _add_psk_and_x509(verdicts, figures, storage):
    """Keys of either kind come to the same: the cipher is as fast."""
    for job in ("copy-read", "copy-write"):
        psk, x509 = (figures.group_of(storage, transport, job) for transport in (tls.PSK, tls.X509))
        for server in figures.servers(psk, job):
            ratio = of(figures.values(psk, job, server, CPU), figures.values(x509, job, server, CPU))
            if server in LUKS2 and ratio is not None:
                verdicts.add(
                    "%s: CPU per KiB, pre-shared key / certificates, %s" % (JOBS[job].title, server),
                    ratio,
                    PSK_AS_X509,
                )


def _add_peaks(verdicts, figures, storage, transport):
    """For each of our servers, the job that comes nearest to what is allowed."""
    worst = {}
    for (group, job, server), rows in figures.rows.items():
        if not server.startswith("nbdcrypt-") or (group.storage, group.transport) != (storage, transport):
            continue
        peaks_mib = [row["server_peak_kib"] / 1024 for row in rows]
        allowed_mib = (PEAK_KIB_BASE + PEAK_KIB_PER_CONNECTION * JOBS[job].connections) / 1024
        found = (max(peaks_mib) / allowed_mib, job, peaks_mib, allowed_mib)
        worst[server] = max(worst.get(server, found), found)
    for server, (_, job, peaks_mib, allowed_mib) in worst.items():
        verdicts.add(
            "%s: peak memory in MiB, %s" % (JOBS[job].title, server),
            (max(peaks_mib), min(peaks_mib), max(peaks_mib)),
            allowed_mib,
        )


def check(out, rows):
    """Prints each bar; True when all that were measured are met, and any was measured."""
    figures = Figures(rows)
    met = missed = 0
    for storage, transport in figures.places():
        if storage not in STORAGES or transport not in TRANSPORTS:
            continue
        verdicts = Verdicts()
        _add_ratios(verdicts, figures, storage, transport)
        if transport == tls.X509:
            _add_storms(verdicts, figures, storage)
        if transport == tls.PSK:
            _add_psk_and_x509(verdicts, figures, storage)
        _add_peaks(verdicts, figures, storage, transport)
        met, missed = met + verdicts.met, missed + verdicts.missed
        if len(verdicts.rows) > 1:
            out.write("\nBars, %s, %s\n" % (TITLES[storage], TITLES[transport]))
            print_table(out, verdicts.rows)
    idle = Verdicts()
    for row in figures.idle:
        each_kib = row["idle_bytes_per_connection"] / 1024
        encrypted = row["transport"] in tls.TRANSPORTS
        idle.add(
            "%d idle connections%s: KiB each, %s"
            % (row["connections"], " under TLS" if encrypted else "", row["server"]),
            (each_kib,) * 3,
            (IDLE_TLS_BYTES_MAX if encrypted else IDLE_BYTES_MAX) / 1024,
        )
    if figures.idle:
        out.write("\nBars, idle connections\n")
        print_table(out, idle.rows)
    met, missed = met + idle.met, missed + idle.missed
    if met + missed == 0:
        out.write("\nNothing was measured that has a bar.\n")
        return False
    out.write("\n%d bars met, %d missed\n" % (met, missed))
    return missed == 0
