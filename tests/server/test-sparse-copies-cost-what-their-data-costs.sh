#!/bin/bash
# A copy of a sparse disk of 1 TiB by nbdcopy moves at most 1.2 times the bytes of its data, encrypted, with --zero-holes; and so
# does who reads all of it without asking where data is.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
requires nbdcopy --version

image=$(temp_file) small=$(temp_file)
truncate --size=1T "$image" 2>"$log_dir/truncate" || skip "this file system has no files of 1 TiB"
format_luks2 "$image" 1T --sector-size 4096
format_luks2 "$small" 64M --sector-size 4096
start_nbdcrypt --key-file "$passphrase" --zero-holes "$small"
small_uri=$uri small_pid=$pid
start_nbdcrypt --key-file "$passphrase" --zero-holes "$image"
python "$source_dir/tests/server/sparse-copies-cost-what-their-data-costs.py" "$uri" "$small_uri" "$test_dir"
stop_nbdcrypt
pid=$small_pid
stop_nbdcrypt
