#!/bin/bash
# Metrics are what nbdcrypt-bench counted, never go back when clients come and go and exports are replaced or removed, are read
# by Prometheus, and have a line in the man page.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/bench-functions.sh"
. "$(dirname "$0")/../support/promtool.sh"

requires qemu-io --version
requires nbdinfo --version

image=$(temp_file) other=$(temp_file) control=$(temp_socket)
format_luks2 "$image" 16M --sector-size 4096
cp "$image" "$other"
conf=$test_dir/nbdcrypt.conf
write_conf() {
    printf '[server]\nunix = %s\nretry-exports = 1\n[control]\nsocket = %s\n[export vm]\nimage = %s\nkey-file = %s\n' \
        "$test_dir/nbd" "$control" "$1" "$passphrase"
    printf '[export plain]\nimage = memory:8M\nraw = yes\n'
    [ -n "${2-}" ] || printf '[export short]\nimage = memory:8M\nraw = yes\n[export "odd\\name]\nimage = memory:1M\nraw = yes\n'
}
write_conf "$image" >"$conf"
chmod go-w "$test_dir" "$conf"
start_nbdcrypt --config "$conf" --unix "$test_dir/nbd"
uri_of() {
    echo "nbd+unix:///$1?socket=$test_dir/nbd"
}

scrapes=()
scrape() {
    scrapes+=("$test_dir/scrape-${#scrapes[@]}")
    "$NBDCRYPT" ctl --socket "$control" metrics >"${scrapes[-1]}"
}

scrape
expect_bench --json --count 5000 --connections 4 --threads 2 --depth 8 --write 30 --trim 10 --zero 10 "$(uri_of plain)"
cp "$out" "$test_dir/bench-plain"
scrape
expect_bench --json --count 3000 --connections 3 --depth 16 --write 40 "$(uri_of vm)"
cp "$out" "$test_dir/bench-vm"
expect_bench --json --count 700 "$(uri_of short)"
cp "$out" "$test_dir/bench-short"
scrape
# One that stays while its export is replaced, and others are removed.
: >"$log_dir/qemu-io"
mkfifo "$test_dir/commands"
qemu-io --format raw "$(uri_of plain)" <"$test_dir/commands" >"$log_dir/qemu-io" 2>&1 &
remember_pid $!
exec 7>"$test_dir/commands"
printf 'read 0 4096\n' >&7
wait_until 30 grep -q 4096/4096 "$log_dir/qemu-io"
nbdinfo --size "$(uri_of none)" >"$log_dir/none" 2>&1 && fail "there is an export that is not there"
write_conf "$other" without-short >"$conf"
expect_success ctl --socket "$control" reload --replace vm
scrape
expect_bench --json --count 500 --connections 2 "$(uri_of vm)"
cp "$out" "$test_dir/bench-vm-2"
printf 'nonsense\n' >>"$conf"
run_nbdcrypt ctl --socket "$control" reload
[ "$status" -ne 0 ] || fail "a bad configuration was taken"
for _ in {1..100}; do nbdinfo --size "$(uri_of vm)" >"$log_dir/vm"; done
scrape
"$NBDCRYPT" ctl --socket "$control" metrics --openmetrics >"$test_dir/openmetrics"

"$PYTHON" "$source_dir/tests/metrics/equal-what-clients-did.py" "$test_dir" "$source_dir/docs/nbdcrypt-metrics.7" "${scrapes[@]}"
for one in "${scrapes[@]}"; do
    promtool check metrics <"$one" >"$log_dir/promtool" 2>&1 || fail "promtool finds fault: $(cat "$log_dir/promtool")"
    [ ! -s "$log_dir/promtool" ] || fail "promtool says: $(cat "$log_dir/promtool")"
done
! grep -rqaF "$(cat "$passphrase")" "$test_dir"/scrape-* "$test_dir/openmetrics" || fail "the passphrase is in the metrics"
expect_failure 2 "--openmetrics is for ctl metrics" ctl --socket "$control" --openmetrics status
stop_nbdcrypt
