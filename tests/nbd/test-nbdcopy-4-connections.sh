#!/bin/bash
# nbdcopy with four connections and many requests in flight copies in and out, to and from files and from one
# export to another.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version
plain=$(temp_file) first=$(temp_file) second=$(temp_file) copy=$(temp_file)
make_pattern "$plain" 48M
copy_options=(--connections=4 --requests=32 --flush)
format_luks2 "$first" 48M --sector-size 4096
format_luks2 "$second" 48M --sector-size 512
start_nbdcrypt --key-file "$passphrase" "$first"
first_uri=$uri first_pid=$pid
start_nbdcrypt --key-file "$passphrase" --listen 127.0.0.1:0 "$second"
second_uri=$uri second_pid=$pid
nbdcopy "${copy_options[@]}" "$plain" "$first_uri"
nbdcopy "${copy_options[@]}" "$first_uri" "$second_uri"
nbdcopy "${copy_options[@]}" "$second_uri" "$copy"
cmp "$plain" "$copy"
# Odd request sizes, and one connection over a pipe.
nbdcopy --connections=4 --request-size=32768 --queue-size=1M --allocated "$first_uri" "$copy"
cmp "$plain" "$copy"
nbdcopy "$second_uri" - | cmp - "$plain"
pid=$first_pid && stop_nbdcrypt
pid=$second_pid && stop_nbdcrypt
