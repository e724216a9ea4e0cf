#!/bin/bash
# Bad days of the whole server: disks and connections that fail, power that goes, clients that come and leave.
# No seed finds an answer that a client should not have got, and each kind of fault happens in some.
set -euo pipefail

simulate=${top_builddir:?}/tests/sim/simulate
source_folder=${top_srcdir:?}/tests/sim
SEEDS_FIXED=${SEEDS_FIXED:-64}
SECONDS_FRESH=${SECONDS_FRESH:-0} # what fresh ones find is looked at first, and kept in seeds.txt then

# Those that once found something.
grep '^[0-9]' "$source_folder/seeds.txt" | xargs -L 1 -P "$(nproc)" "$simulate"

# With a sanitizer these are other days, and what is rare may not happen in them.
if [ -n "${SANITIZERS:-}" ]; then
    "$simulate" --seeds "$SEEDS_FIXED" 1
    exit 0
fi
"$simulate" --every-mark --seeds "$SEEDS_FIXED" 1

# What takes too much at once to happen in these: made likely.
"$simulate" --until flush_failed_as_owed --seeds 12 1 remote=1 store_deaths=4 store_life_ms=40 power=100 kill=0 \
    term=0 write=50 flush=10 fua_permille=0 depth=2 commands=200
"$simulate" --until start_failed --seeds 8 1 remote=0 read_error_permille=30
"$simulate" --until client_silent --seeds 6 1 freeze_permille=20 commands=40 remote=0 clients=2 lives=1 live_ms=0
"$simulate" --until header_damaged --seeds 4 1 layer=2 remote=0 job_ms=50 lives=6 life_commands=20 power=100 \
    commands=200 live_ms=0

# Commands on headers that are cut off at their writes, one after the other; with LUKS2 above.
"$simulate" --until job_looked_at --seeds 4 1 layer=1 remote=0 job_ms=50 lives=6 life_commands=20 power=100 \
    commands=200 live_ms=0

# A server that is changed while it runs.
"$simulate" --until certificates_changed --seeds 4 1 live_ms=20 tls=2 lives=3
"$simulate" --until image_claimed --seeds 6 1 remote=1 live_ms=20 clients=6 lives=1 store_deaths=0 lies=0 commands=2000 \
    net_us=10000 disk_us=10000 read=50

# Lengths that no disk has, with extended headers; and long ones of a disk that has them.
"$simulate" --until beyond_32_bits --seeds 4 1 extended_permille=1000 rude_permille=200 remote=0
"$simulate" --until desert_crossed --seeds 6 1 extended_permille=1000 desert_mib=4100 trim=20 zero=20 status=20 layer=0

# Clients that change their keys while they receive: none of them uses what GnuTLS has freed.
"$simulate" --needs key_update --seeds 6 1 tls=1 key_update_permille=100

# Others for each state of the sources.
[ "$SECONDS_FRESH" -gt 0 ] || exit 0
state=$(cat "$source_folder"/../../{server,plugins,crypto}/*/*.c | cksum)
"$simulate" --seconds "$SECONDS_FRESH" "${state%% *}000"
