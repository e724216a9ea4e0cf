#!/bin/bash
# A read that fails partway tells the first byte that could not be read, in a chunk for programs and in words, and what is in
# front of it may have come; so does one of a remote disk.  A client with simple replies is told of the error as ever.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version

where() {
    python "$source_dir/tests/nbd/failed-reads-tell-where.py" "$uri" "$image"
}
on_each_pipeline 16M where

image=$(temp_file)
truncate --size=16M "$image"
start_nbdcrypt --raw "$image"
store=$pid
start_nbdcrypt --raw "$uri"
where
stop_nbdcrypt
pid=$store
stop_nbdcrypt
