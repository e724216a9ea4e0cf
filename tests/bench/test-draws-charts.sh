#!/bin/bash
# bench/compare.py draws its charts, of part of the measurements too, and names the machine in them.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/compare-functions.sh"

requires gnuplot --version

csv=$(temp_file)
charts=$(temp_dir)

# expect_png NAME: 1200 pixels wide, and not empty.
expect_png() {
    [ -s "$charts/$1" ] || fail "no $1"
    python - "$charts/$1" <<'EOF'
import struct
import sys
import zlib

data = open(sys.argv[1], "rb").read()
width, height = struct.unpack(">LL", data[16:24])
if data[:8] != b"\x89PNG\r\n\x1a\n" or width != 1200 or height < 200:
    raise SystemExit("no PNG of that size")
pixels, at = b"", 8
while at < len(data):
    length, kind = struct.unpack(">L4s", data[at:at + 8])
    if kind == b"IDAT":
        pixels += data[at + 8:at + 8 + length]
    at += length + 12
if len(set(zlib.decompress(pixels))) < 20:
    raise SystemExit("there is hardly anything in the picture")
EOF
}

{
    echo "# machine: an abacus 'of' 2 \"wires\""
    echo "# versions: nbdcrypt 1"
    echo "$csv_columns"
    csv_row 1 nbdkit-file randread-1 1000
    csv_row 1 nbdkit-file randread-32 1000
    csv_row 1 nbdcrypt-raw randread-32 300
    csv_row 2 nbdcrypt-raw randread-32 200
} >"$csv"
expect_compare 0 summarize --charts "$charts" "$csv"
expect_png compare-cpu.png
expect_png compare-latency.png
[ ! -e "$charts/growth.png" ] || fail "a chart of growth without any measurement of it"

rm "$charts"/*
sed -i 's/randread-32/connections/' "$csv"
expect_compare 0 summarize --charts "$charts" "$csv"
expect_png growth.png

# Those of the documents are drawn from figures that are there, too.
rm "$charts"/*
expect_compare 0 summarize --charts "$charts" "$source_dir/docs/compare.csv"
expect_png compare-cpu.png
expect_png compare-latency.png

# Without gnuplot there are none, and that is said.
empty=$(temp_dir)
ln -s "$(command -v "$PYTHON")" "$empty/python3"
status=0
PATH=$empty "$empty/python3" "$compare" summarize --charts "$empty" "$csv" >"$log_dir/none" 2>&1 || status=$?
expect_equal "exit status without gnuplot" 0 "$status"
if ! PATH=$empty:/usr/sbin:/sbin command -v gnuplot >/dev/null; then
    expect_match "$log_dir/none" '^no charts: gnuplot is not installed$'
fi
