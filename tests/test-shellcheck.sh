#!/bin/bash
# No script of the tree has anything that shellcheck finds.
set -euo pipefail

cd "${top_srcdir:-$(dirname "$0")/..}"

if ! command -v shellcheck >/dev/null; then
    echo "SKIP: shellcheck is not installed (Debian package shellcheck, Fedora ShellCheck)"
    [ "${CI-}" != true ] || exit 1
    exit 77
fi

shopt -s nullglob
scripts=(./*.sh ./bootstrap .ci/run tests/*.sh tests/*/*.sh bench/*.sh)
shellcheck --external-sources --source-path=tests "${scripts[@]}"
echo "${#scripts[@]} scripts are clean"
