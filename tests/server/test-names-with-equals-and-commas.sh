#!/bin/bash
# The name of an export may hold = and commas, doubled in --export; a URI that a server prints finds it.
. "$(dirname "$0")/../support/functions.sh"

disk=$(temp_file)
truncate --size=1M "$disk"
start_nbdcrypt --export "a==b,,c=memory:64K,raw" --export "==,,=memory:1M,raw,description=x" --export "plain=$disk,raw"
expect_equal "names" "'=,' 'a=b,c' 'plain'" "$(nbdinfo --list --json "$uri" | python -c '
import json, sys
print(*sorted(repr(one["export-name"]) for one in json.load(sys.stdin)["exports"]))')"
expect_equal "size of a=b,c" 65536 "$(nbdinfo --size "nbd+unix:///a%3Db%2Cc?socket=$socket")"
stop_nbdcrypt
start_nbdcrypt --export "a==b,,c=memory:64K,raw"
expect_equal "size of a=b,c by the URI of the server" 65536 "$(nbdinfo --size "$uri")"
stop_nbdcrypt

expect_failure 2 "--export a==b: write NAME=IMAGE, such as disk1=/path/to/disk" serve --export a==b
expect_failure 2 "--export a,,b: write NAME=IMAGE, such as disk1=/path/to/disk" serve --export a,,b
expect_failure 2 "--export a: write NAME=IMAGE, such as disk1=/path/to/disk" serve --export a,b=c
expect_failure 2 "export 'a=b': there is no IMAGE: name the file to serve" serve --export a==b=
