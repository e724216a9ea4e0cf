#!/bin/bash
# What libnbd would not send by itself, and does with its strict mode off, gets the error of the standard, and the connection
# goes on: places beyond the end, flags that a command has not, nothing at all, and changes of a read-only export.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/libnbd.sh"
requires cryptsetup --version

check() {
    expect_right wrong "$uri"
}
on_each_pipeline 2M check --discard

check_read_only() {
    expect_right read-only "$uri"
}
on_each_pipeline 2M check_read_only --read-only
