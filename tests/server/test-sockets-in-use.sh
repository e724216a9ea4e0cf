#!/bin/bash
# An address that is in use is refused, and its owner goes on; a stale Unix socket is replaced; what is no socket is
# left alone.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version

# A port.
start_nbdcrypt --raw --listen 127.0.0.1:0 memory:1M
first_uri=$uri first_pid=$pid
expect_failure 1 "address 127.0.0.1:$port is in use by another program; choose another one with --listen" \
    serve --raw --listen "127.0.0.1:$port" memory:1M
expect_alive "$first_uri"

# A socket with a server behind it.
start_nbdcrypt --raw memory:1M
expect_failure 1 "Unix socket '$socket': another server is using it; stop that server or choose another path" \
    serve --raw --unix "$socket" memory:1M
expect_alive "$uri"

# The same, when the server has gone without removing it.
stale=$socket
kill_nbdcrypt
[ -S "$stale" ] || fail "there is no stale socket to try with"
start_nbdcrypt --raw --unix "$stale" memory:2M
expect_equal "size" 2097152 "$(nbdinfo --size "$uri")"
stop_nbdcrypt
[ ! -e "$stale" ] || fail "the socket was left behind"

# A server that leaves takes its own socket away, and not the one of a server that has come since.
start_nbdcrypt --raw --unix "$stale" memory:1M
old_pid=$pid
rm "$stale"
start_nbdcrypt --raw --unix "$stale" memory:3M
new_pid=$pid
pid=$old_pid
stop_nbdcrypt
expect_equal "size behind the new socket" 3145728 "$(nbdinfo --size "$uri")"
rm "$stale"
echo precious >"$stale"
pid=$new_pid
stop_nbdcrypt
expect_equal "the file in its place" precious "$(cat "$stale")"

# A file of that name.
file=$(temp_file)
printf 'precious' >"$file"
expect_failure 1 "Unix socket '$file': a file of that name is there and is no socket; choose another path or remove it" \
    serve --raw --unix "$file" memory:1M
expect_equal "the file" precious "$(cat "$file")"
expect_failure 1 "address $test_dir/nosuch/s can't be listened on: No such file or directory" \
    serve --raw --unix "$test_dir/nosuch/s" memory:1M

# Longer than the system allows: 108 bytes with the NUL.
fits=$test_dir/$(printf '%*s' $((107 - ${#test_dir} - 1)) '' | tr ' ' x)
expect_equal "length" 107 "${#fits}"
start_nbdcrypt --raw --unix "$fits" memory:1M
expect_alive "$uri"
stop_nbdcrypt
expect_failure 2 "--unix ${fits}y: the path has 108 bytes, and the system allows 107: use a shorter one" \
    serve --raw --unix "${fits}y" memory:1M

pid=$first_pid
expect_alive "$first_uri"
stop_nbdcrypt
