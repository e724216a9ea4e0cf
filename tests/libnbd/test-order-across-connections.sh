#!/bin/bash
# What was answered on one connection is read on the others, and each FLUSH is one of all connections, as libnbd sees it.
. "$(dirname "$0")/../support/functions.sh"
. "$(dirname "$0")/../support/libnbd.sh"
requires cryptsetup --version

check() {
    expect_right order "$uri"
}
on_each_pipeline 2M check
