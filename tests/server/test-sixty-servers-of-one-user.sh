#!/bin/bash
# Sixty servers of one ordinary user start beside each other where he may lock 8 MiB of memory, which their rings share, and each
# of them serves and flushes.
. "$(dirname "$0")/../support/functions.sh"

[ "$(id -u)" -eq 0 ] || skip "it takes root to be a user who runs nothing else"
requires setpriv --version
if is_sanitized; then
    skip "sixty of a sanitizer's processes take too much memory"
fi
uid=$((200000 + $$ % 100000)) # what another user has locked does not count
user=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups)
chmod 711 "$test_dir"
"${user[@]}" test -x "$NBDCRYPT" || skip "the build folder is private"
folder=$(temp_dir)
chmod 777 "$folder"
cd "$folder"
for i in {1..60}; do
    truncate --size=1M "disk-$i"
    chmod 666 "disk-$i"
    (
        ulimit -l 8192
        exec "${user[@]}" "$NBDCRYPT" serve --raw --threads 4 --unix "s$i" "disk-$i" >"ready-$i" 2>"$log_dir/server-$i"
    ) &
    remember_pid $!
done
all_are_ready() {
    local count

    count=$(cat ready-* | grep -c '^nbd+unix:') || true
    [ "$count" = 60 ]
}
for _ in {1..400}; do
    all_are_ready && break
    sleep 0.05
done
all_are_ready || fail "not all are ready: $(cat "$log_dir"/server-* | sort | uniq -c)"
for i in 1 30 60; do
    nbdcopy --flush "disk-1" "nbd+unix:///?socket=$folder/s$i" || fail "server $i does not serve"
done
for pid in "${started_pids[@]}"; do
    kill "$pid"
done
for pid in "${started_pids[@]}"; do
    wait "$pid" || fail "one of them ended with status $?: $(cat "$log_dir"/server-*)"
done
