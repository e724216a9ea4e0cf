#!/bin/bash
# A server of ten thousand exports takes at most 3 s of a CPU to start and 120 MB of memory; one more comes in 50 ms of a CPU, and one
# goes in as much.  No worker is busy with one that comes or goes for more than 5 ms, and a list of them takes each export as much
# as one of a thousand.
. "$(dirname "$0")/../support/functions.sh"

is_sanitized && skip "a sanitizer takes more"

count=10000
if [ "$(ulimit -Hn)" != unlimited ] && [ "$(ulimit -Hn)" -lt $((2 * count)) ]; then
    skip "no process may have so many files open here"
fi
folder=$(temp_dir) control=$(temp_socket)
chmod 755 "$folder"
umask 022
mkdir "$folder/images"
(cd "$folder/images" && seq "$count" | xargs truncate --size=1M)
truncate --size=1M "$folder/one"
for ((i = 1; i <= count; i++)); do
    printf '[export e%d]\nimage = %s\nraw = yes\n' "$i" "$folder/images/$i"
done >"$folder/nbdcrypt.conf"

# In ticks of 10 ms, of all its threads.
ticks() {
    local fields

    read -r -a fields <"/proc/$pid/stat"
    echo $((fields[13] + fields[14]))
}
ctl() {
    "$NBDCRYPT" ctl --socket "$control" "$@"
}
start_nbdcrypt --threads 2 --control "$control" --config "$folder/nbdcrypt.conf"
start=$(ticks) memory=$(resident_kib_of "$pid")
note "start: $((start * 10)) ms of a CPU, $memory KiB"
[ "$start" -le 300 ] || fail "the start took $((start * 10)) ms of a CPU"
[ "$memory" -le $((120 * 1024)) ] || fail "it takes $memory KiB"
for ((i = 0; i < 10; i++)); do
    ctl add one "$folder/one" raw=yes
    ctl remove one
done
each=$((($(ticks) - start) * 10 / 20))
note "one comes or goes: $each ms of a CPU"
[ "$each" -le 50 ] || fail "one that comes or goes takes $each ms of a CPU"

cost() {
    python "$source_dir/tests/control/10000-exports-are-cheap.py" "$@" </dev/null
}
busy=$(cost changes "$pid" "$control" "$NBDCRYPT" "$folder/one")
note "one comes or goes: $busy us of a worker"
[ "$busy" -le 5000 ] || fail "a worker is busy for $busy us with one that comes or goes"
many=$(cost lists "$pid" "nbd+unix:///?socket=$socket" "$count" 5)
stop_nbdcrypt

few=1000
head --lines=$((3 * few)) "$folder/nbdcrypt.conf" >"$folder/few.conf"
start_nbdcrypt --threads 2 --control "$control" --config "$folder/few.conf"
few=$(cost lists "$pid" "nbd+unix:///?socket=$socket" "$few" 50)
note "a list takes $many ns for each of $count exports, and $few for each of 1000"
[ "$many" -le $((3 * few + 100)) ] || fail "a list takes $many ns for each of $count exports, and $few for each of 1000"
stop_nbdcrypt
