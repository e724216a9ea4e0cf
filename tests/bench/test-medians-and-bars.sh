#!/bin/bash
# What bench/compare.py makes of measurements: medians, spread, ratios; bars that are met, missed, or limited by noise.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/compare-functions.sh"

csv=$(temp_file)

# measurements NS_PER_KIB_OF_ROUND... of nbdcrypt, where nbdkit takes 1000, 900 and 1300.
measurements() {
    local round=0 ns

    echo "# machine: an abacus"
    echo "$csv_columns"
    for ns in 1000 900 1300; do
        round=$((round + 1))
        csv_row $round nbdkit-file randread-32 $ns
    done
    round=0
    for ns; do
        round=$((round + 1))
        csv_row $round nbdcrypt-luks2-4096 randread-32 "$ns" 40000
    done
}

# summary_of SERVER: its row of the table, one blank between the cells.
summary_of() {
    grep -E "^ +$1 " "$out" | head -n 1 | tr -s ' '
}

measurements 500 400 800 >"$csv"
expect_compare 0 summarize --no-charts "$csv"
expect_match "$out" '^machine: an abacus$'
expect_match "$out" '^random read 4K, depth 32, by nbdcrypt-bench$'
# CPU per KiB, least and greatest, us per request, MB/s, kIOPS, p50, p99, peak, ratio
expect_equal "nbdkit" " nbdkit-file 1000 900-1300 4.0 4 1.0 50 100 10 1.000" "$(summary_of nbdkit-file)"
expect_equal "nbdcrypt" " nbdcrypt-luks2-4096 500 400-800 2.0 4 1.0 40 80 10 0.500" "$(summary_of nbdcrypt-luks2-4096)"

# The bar is 0.55: 0.5 is below, but the third round (800 / 1300) is not.
expect_compare 0 summarize --no-charts --check "$csv"
expect_match "$out" 'depth 32: CPU per KiB, nbdcrypt-luks2-4096 / nbdkit-file +0\.500 +0\.550 +0\.444-0\.615 +met +noise-limited'
expect_match "$out" 'depth 32: p50, nbdcrypt-luks2-4096 / nbdkit-file +0\.800 +1\.016 +0\.800-0\.800 +met *$'
expect_match "$out" 'peak memory in MiB, nbdcrypt-luks2-4096 +10\.000 +68\.000 .* met *$'
expect_match "$out" '^4 bars met, 0 missed$'

# Without --check nothing is said of bars.
expect_compare 0 summarize --no-charts "$csv"
! grep -qE 'met|MISSED' "$out" || fail "bars without --check"

measurements 600 700 800 >"$csv"
expect_compare 1 summarize --no-charts --check "$csv"
expect_match "$out" 'nbdcrypt-luks2-4096 / nbdkit-file +0\.700 +0\.550 +0\.600-0\.778 +MISSED *$'
expect_match "$out" '^3 bars met, 1 missed$'

# Idle connections have a bar of their own: 24 KiB each.
{
    measurements 400 400 400
    echo "1,nbdcrypt-raw,idle,cache,unix,idle,1048576,,,,10000,,,,,,,,,,,,,500000,25600,"
} >"$csv"
expect_compare 1 summarize --no-charts --check "$csv"
expect_match "$out" '^10000 idle connections, nbdcrypt-raw: 25\.0 KiB of resident memory each$'
expect_match "$out" '10000 idle connections: KiB each, nbdcrypt-raw +25\.000 +24\.000 .* MISSED'

# Under TLS there are others: here a storm of handshakes, and 64 KiB for an idle connection.
{
    measurements
    csv_row 1 nbdcrypt-luks2-512 randread-1 1000 30000
    csv_row 1 nbdcrypt-luks2-512 storm 1000 90000
    echo "1,nbdcrypt-raw,idle,cache,tls-x509,idle,1048576,,,,1000,,,,,,,,,,,,,500000,51200,"
} | sed 's/,cache,unix,nbdcrypt-bench,/,cache,tls-x509,fio,/' >"$csv"
expect_compare 1 summarize --no-charts --check "$csv"
expect_match "$out" '^==== page cache, TLS with certificates, Unix socket ====$'
expect_match "$out" 'in a storm of handshakes: p99 / without, nbdcrypt-luks2-512 +3\.000 +2\.000 .* MISSED'
expect_match "$out" '1000 idle connections under TLS: KiB each, nbdcrypt-raw +50\.000 +64\.000 .* met'

# Nothing to check is no success.
measurements >"$csv"
expect_compare 1 summarize --no-charts --check "$csv"
expect_match "$out" '^Nothing was measured that has a bar\.$'

measurements 500 400 800 >"$csv"
expect_compare 0 summarize --no-charts --markdown randread-32 "$csv"
expect_match "$out" '^\| random read 4K, depth 32 \| 1000 \(4\) \| 500 \(4\) \|$'

sed -i 's/,p99_ns,/,p98_ns,/' "$csv"
expect_compare 1 summarize --no-charts "$csv"
expect_match "$err" ': no column p99_ns$'
