#!/bin/bash
# Long reads tell holes as holes, without reading them, where holes are zeros: of raw files, with --zero-holes, of remote disks;
# with DF, in short reads, in simple replies and of LUKS without --zero-holes all is data.  What has been written is never
# told as a hole, and a file that becomes shorter has no holes at its end, but an error.
. "$(dirname "$0")/../support/functions.sh"

requires cryptsetup --version
case $(stat --file-system --format %T "$test_dir") in
ext2/ext3 | xfs | btrfs | f2fs | overlayfs | nfs) ;;
*) skip "reads do not depend on the holes of the file system of $test_dir" ;;
esac
fallocate --length 1M "$test_dir/probe"
fallocate --punch-hole --offset 0 --length 1M "$test_dir/probe" || skip "no holes can be punched in $test_dir"

check() {
    python "$source_dir/tests/nbd/sparse-reads.py" "$uri" "$@"
}

holes() {
    check holes
    check writers
}

no_holes() {
    check none
}

TEST_PIPELINES=raw on_each_pipeline 64M holes
TEST_PIPELINES='luks-512 luks-4096' on_each_pipeline 64M holes --zero-holes
TEST_PIPELINES='luks-512' on_each_pipeline 64M no_holes

# A remote disk: its server is asked for the extents.
image=$(temp_file)
truncate --size=64M "$image"
start_nbdcrypt --raw "$image"
store=$pid
start_nbdcrypt --raw "$uri"
holes
stop_nbdcrypt
pid=$store
stop_nbdcrypt

start_nbdcrypt --raw "$image"
truncate --size=32M "$image"
check shorter
stop_nbdcrypt
