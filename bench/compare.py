#!/usr/bin/env python3
"""NBD servers side by side on this machine: what they cost, and how fast they are.  See README.md here.

    compare.py run        the jobs, on nbdcrypt and its peers, alternately     (make bench, make bench-quick)
    compare.py growth     with the size of requests, connections and disks     (make bench-growth)
    compare.py summarize  prints, checks and draws again what is in a CSV
"""
import argparse
import os
import shutil
import signal
import sys

sys.dont_write_bytecode = True  # the folder of the sources may be read-only
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
from harness import bar, chart, growth, machine, record, summary, tls  # noqa: E402
from harness.client import CLIENTS, bench_beside  # noqa: E402
from harness.job import JOBS, QUICK_JOBS  # noqa: E402
from harness.measure import Bench, run_jobs  # noqa: E402
from harness.process import Failure  # noqa: E402
from harness.server import DEFAULT, FLAVOURS, OURS, PLAIN_TRANSPORTS, STORAGES, TRANSPORTS  # noqa: E402

QUICK = {"rounds": 3, "seconds": 0.6, "warm_up": 0.2, "size": 256 << 20, "jobs": list(QUICK_JOBS)}
# Where idle connections are measured, at most how many, and for which of the transports asked for.
IDLE_PLACES = {"unix": bar.IDLE_CONNECTIONS, tls.X509: 1000}
IDLE_FOR = {"unix": set(PLAIN_TRANSPORTS), tls.X509: {tls.X509}}
HERE = os.path.dirname(os.path.abspath(__file__))


def size(text):
    """1G as a number of bytes."""
    shift = {"K": 10, "M": 20, "G": 30, "T": 40}.get(text[-1:].upper(), 0)
    try:
        value = int(text[:-1] if shift else text) << shift
    except ValueError:
        raise argparse.ArgumentTypeError("'%s' is no size" % text) from None
    if value < 1 << 20 or value % 4096 != 0:
        raise argparse.ArgumentTypeError("a disk has at least 1M, and a multiple of 4K")
    return value


def positive(kind):
    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if value <= 0:
            raise argparse.ArgumentTypeError("'%s' is not above 0" % text)
        return value

    return convert


def names_of(known):
    """A list by commas; "all" is everything."""

    def convert(text):
        names = list(known) if text == "all" else text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError("there is no '%s' among %s" % (name, ", ".join(known)))
        return names

    return convert


# ---- command line ----


def add_common(parser, servers, rounds, seconds, csv):
    parser.add_argument(
        "--nbdcrypt",
        metavar="FILE",
        help="the program, with nbdcrypt-bench beside it (default: ./nbdcrypt, ./build/nbdcrypt or the "
        "one in PATH)",
    )
    parser.add_argument(
        "--dir",
        metavar="DIR",
        default=os.environ.get("TMPDIR", "/tmp"),
        help="where the images go, about 5 times --size (default: $TMPDIR or /tmp)",
    )
    parser.add_argument(
        "--size", type=size, metavar="SIZE", default=1 << 30, help="of the disk (default: 1G)"
    )
    parser.add_argument(
        "--rounds",
        type=positive(int),
        metavar="N",
        default=rounds,
        help="each measures everything once (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=positive(float),
        metavar="N",
        default=seconds,
        help="of one measurement (default: %(default)s)",
    )
    parser.add_argument(
        "--warm-up", type=float, metavar="N", default=0.3, help="seconds before each (default: %(default)s)"
    )
    parser.add_argument(
        "--servers",
        type=names_of(FLAVOURS),
        metavar="LIST",
        default=list(servers),
        help="by commas, or 'all': %s (default: %s)" % (", ".join(FLAVOURS), ", ".join(servers)),
    )
    parser.add_argument(
        "--csv", metavar="FILE", default=csv, help="every single measurement (default: %(default)s)"
    )
    add_charts(parser)


def add_charts(parser):
    parser.add_argument(
        "--charts", metavar="DIR", default=".", help="where the PNG files go (default: here)"
    )
    parser.add_argument("--no-charts", action="store_true", help="makes none")


def parse_command_line():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="the jobs on all servers")
    add_common(run, DEFAULT, 5, 1.0, "compare.csv")
    run.add_argument(
        "--jobs",
        type=names_of(JOBS),
        metavar="LIST",
        default=list(JOBS),
        help="by commas: %s (default: all)" % ", ".join(JOBS),
    )
    run.add_argument(
        "--storage",
        type=names_of(STORAGES),
        metavar="LIST",
        default=["cache"],
        help="by commas: cache (--dir), tmpfs (/dev/shm), direct (--dir, O_DIRECT) (default: cache)",
    )
    run.add_argument(
        "--transport",
        type=names_of(TRANSPORTS),
        metavar="LIST",
        default=["unix"],
        help="by commas: %s (default: unix)" % ", ".join(TRANSPORTS),
    )
    run.add_argument(
        "--client",
        choices=CLIENTS,
        default=CLIENTS[0],
        help="of all jobs but those of nbdcopy (default: %(default)s)",
    )
    run.add_argument(
        "--idle",
        type=int,
        metavar="N",
        default=bar.IDLE_CONNECTIONS,
        help="idle connections whose memory is measured, 0: none (default: %(default)s)",
    )
    run.add_argument(
        "--quick",
        action="store_true",
        help="about two minutes: %s; 3 rounds of 0.6 s, 256M, 1,000 idle connections"
        % ", ".join(QUICK_JOBS),
    )
    run.add_argument(
        "--check", action="store_true", help="ends with the bars, and with status 1 if one is missed"
    )

    grow = commands.add_parser("growth", help="the size of requests, connections, disks")
    add_common(grow, growth.SERVERS, 3, 0.5, "growth.csv")
    grow.add_argument(
        "--parts",
        type=names_of(growth.PARTS),
        metavar="LIST",
        default=list(growth.PARTS),
        help="by commas: %s (default: all)" % ", ".join(growth.PARTS),
    )

    again = commands.add_parser("summarize", help="what is in a CSV")
    again.add_argument("file")
    again.add_argument("--check", action="store_true", help="the bars; status 1 if one is missed")
    again.add_argument(
        "--markdown", type=names_of(JOBS), metavar="JOBS", help="a table for a document, nothing else"
    )
    add_charts(again)
    options = parser.parse_args()
    if getattr(options, "quick", False):
        apply_quick(run, options)
    return options


def apply_quick(parser, options):
    """What was not given otherwise."""
    for name, value in dict(QUICK, idle=1000).items():
        if getattr(options, name) == parser.get_default(name):
            setattr(options, name, value)


# ---- what is needed ----


def find_nbdcrypt(given):
    if given is not None:
        candidates = [given]
    else:
        candidates = [
            "./nbdcrypt",
            "./build/nbdcrypt",
            os.path.join(HERE, "../nbdcrypt"),
            os.path.join(HERE, "../build/nbdcrypt"),
            shutil.which("nbdcrypt") or "",
        ]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return os.path.realpath(candidate)
    raise Failure("%s was not found: build it, or name it with --nbdcrypt" % (given or "nbdcrypt"))


def expect_programs(options):
    needed = {"nbdcopy": "libnbd-bin (Fedora: libnbd)", "cmp": "diffutils"}
    if getattr(options, "client", "") == "fio" or tls.X509 in getattr(options, "transport", ()):
        needed["fio"] = "fio"
    for program, package in needed.items():
        if shutil.which(program) is None:
            raise Failure("%s is missing; install it: %s" % (program, package))
    if not os.access(bench_beside(options.nbdcrypt), os.X_OK):
        raise Failure("there is no nbdcrypt-bench beside %s" % options.nbdcrypt)


# ---- commands ----


def draw_charts(options, facts, rows):
    if options.no_charts:
        return
    drawn = chart.draw(options.charts, facts, rows)
    if drawn is None:
        print("no charts: gnuplot is not installed", file=sys.stderr)
    for path in drawn or ():
        print("chart: " + path)


def measure_all(options, function):
    """Runs function(bench) with images and a CSV; True when none of our measurements failed."""
    options.nbdcrypt = find_nbdcrypt(options.nbdcrypt)
    expect_programs(options)
    facts = machine.describe(options.dir, options.nbdcrypt)
    facts.append(
        "rounds: %d of %g s, after %g s of warm-up; disk of %d MiB"
        % (options.rounds, options.seconds, options.warm_up, options.size >> 20)
    )
    writer = record.Writer(options.csv, facts)
    bench = Bench(options, writer)
    try:
        function(bench)
    finally:
        bench.close()
        writer.close()
    return not bench.failed_ours


def measure_idle(bench, transport, count):
    for name in bench.options.servers:
        if count > 0 and name in OURS:
            bench.attempt(
                name,
                "idle connections",
                lambda n=name: bench.measure_idle(FLAVOURS[n], count, 1, transport),
            )


def run_command(options):
    def measure(bench):
        run_jobs(bench, [JOBS[name] for name in options.jobs])
        for transport, most in IDLE_PLACES.items():
            if not IDLE_FOR[transport].isdisjoint(options.transport):
                measure_idle(bench, transport, min(options.idle, most))

    good = measure_all(options, measure)
    return report(options, options.csv) and good


def growth_command(options):
    good = measure_all(options, lambda bench: growth.run(bench, options.parts))
    draw_charts(options, *record.load(options.csv))
    print("measurements: " + options.csv)
    return good


def report(options, path):
    facts, rows = record.load(path)
    summary.print_summary(sys.stdout, facts, rows)
    print("measurements: " + path)
    draw_charts(options, facts, rows)
    return bar.check(sys.stdout, rows) if options.check else True


def summarize_command(options):
    if options.markdown is not None:
        summary.print_markdown(sys.stdout, record.load(options.file)[1], options.markdown)
        return True
    return report(options, options.file)


def end(*_):
    raise KeyboardInterrupt


def main():
    options = parse_command_line()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    signal.signal(signal.SIGTERM, end)
    commands = {"run": run_command, "growth": growth_command, "summarize": summarize_command}
    try:
        good = commands[options.command](options)
    except KeyboardInterrupt:
        good = False
        print("interrupted", file=sys.stderr)
    except (Failure, OSError, ValueError) as failure:
        good = False
        print("%s: %s" % (sys.argv[0], failure), file=sys.stderr)
    sys.exit(0 if good else 1)


main()
