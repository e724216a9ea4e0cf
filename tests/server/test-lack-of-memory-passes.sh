#!/bin/bash
# A server without memory for data buffers: clients wait and are served when there is some again; when there is none for
# long they get ENOMEM, and the connection goes on. Clients that take nothing are dropped before others wait for
# ever, and memory that nobody uses goes back.
. "$(dirname "$0")/../support/functions.sh"

! is_sanitized || skip "a sanitizer takes address space as it likes"
requires prlimit --version
image=$(temp_file)
make_pattern "$image" 32M

# No address space.
start_nbdcrypt --raw --threads 1 "$image"
python "$source_dir/tests/server/lack-of-memory-passes-briefly.py" "$uri" "$pid" "$image" </dev/null
stop_nbdcrypt

# There is none for long.
start_nbdcrypt --raw --threads 1 "$image"
python "$source_dir/tests/server/lack-of-memory-passes-after-long.py" "$uri" "$pid" </dev/null
stop_nbdcrypt
expect_match "$server_log" 'warning: memory: there is none for data buffers; clients wait'

# Less than what each client may always have, and clients that read nothing.
start_nbdcrypt --raw --threads 1 --memory-max 4M "$image"
python "$source_dir/tests/server/lack-of-memory-passes-with-least.py" "$uri" "$pid" </dev/null
stop_nbdcrypt
expect_match "$server_log" 'stalled while others waited for memory; dropped'
expect_failure 2 "--memory-max: 1048576 is too small: the least is 4194304" serve --memory-max 1M "$image"
