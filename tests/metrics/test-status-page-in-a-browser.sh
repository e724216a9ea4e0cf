#!/bin/bash
# The status page in a real browser: charts move under load, tables sort by mouse and keyboard, names are text, it fits a phone, it is
# light and dark, and it asks for nothing but /status.json, which its policy sees to.
#
#     UPDATE=1 tests/metrics/test-status-page-in-a-browser.sh    takes docs/status-page.png
. "$(dirname "$0")/../support/functions.sh"

requires chromedriver --version
requires chromium --version
case $("$NBDCRYPT" serve --metrics-listen 127.0.0.1:0 2>&1 || true) in
*'without libmicrohttpd'*) skip "nbdcrypt was built without libmicrohttpd" ;;
esac
bench=$(dirname "$NBDCRYPT")/nbdcrypt-bench
[ -x "$bench" ] || fail "there is no nbdcrypt-bench: make"

image=$(temp_file)
format_luks2 "$image" 64M --sector-size 4096
start_nbdcrypt --control none --metrics-listen 127.0.0.1:0 --threads 2 \
    --export "vm7=$image,key-file=$passphrase" --export 'vm10=memory:64M,raw,limit-bandwidth=200M' --export 'vm9=memory:64M,raw' \
    --export "web-1=memory:1G,raw" --export "backup=$test_dir/nothing,raw" --export '<b>bold</b>=memory:1M,raw'
expect_match "$server_log" 'metrics: http://'
http=$(sed -nE 's|.*metrics: (http://127.0.0.1:[0-9]+)/$|\1|p' "$server_log")
load() { # NAME SECONDS ARGUMENT...
    "$bench" --time "$2" "${@:3}" "nbd+unix:///$1?socket=$socket" >>"$log_dir/bench" 2>&1 &
    remember_pid $!
}
seconds=${UPDATE:+160}
seconds=${seconds:-40}
load vm7 "$seconds" --depth 4 --write 30
load vm10 "$seconds" --block 64K --depth 2
load web-1 "$seconds" --depth 1 --connections 3 --threads 1
TEST_FOLDER=$(temp_dir) SERVER_PID=$pid SCREENSHOT=${UPDATE:+$source_dir/docs/status-page.png} \
    timeout $((seconds + 80)) "$PYTHON" "$source_dir/tests/metrics/status-page-in-a-browser.py" "$http"
wait "$pid" || true
