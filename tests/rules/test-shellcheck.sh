#!/bin/bash
# No script of the tree has anything that shellcheck finds.
#
# With each script it would go through all that the script reads by `.` once more, which is most of its work.  So it sees an
# outline of those in their place: the variables that they set.
set -euo pipefail

cd "${top_srcdir:-$(dirname "$0")/../..}"

if ! command -v shellcheck >/dev/null; then
    echo "SKIP: shellcheck is not installed (Debian package shellcheck, Fedora ShellCheck)"
    [ "${CI-}" != true ] || exit 1
    exit 77
fi

outlines=$(mktemp -d)
trap 'rm -rf "$outlines"' EXIT
mkdir -p "$outlines/tests/support" "$outlines/bench" # as scripts name them from where they are

# outline FILE: that a failure ends the script, and assignments to all that FILE sets or reads into, but in `local`.
outline() {
    echo 'set -e'
    sed -nE -e '/^[[:space:]]*(#|local )/d' \
        -e 's/([A-Za-z_][A-Za-z_0-9]*)\+?=/\n@\1\n/g' -e 's/ read (-[^ ]+ ([0-9]+ |"\$[a-z_]+" )?)*([a-z_]+)/\n@\3\n/g' \
        -e 's/exec \{([a-z_]+)\}/\n@\1\n/g' -e p "$1" | sed -n 's/^@\(.*\)/\1=$$/p' | sort -u
}

shopt -s nullglob
scripts=(./*.sh ./bootstrap .ci/run tests/*.sh tests/*/*.sh bench/*.sh examples/csi-node)
for script in tests/support/*.sh bench/*.sh; do
    outline "$script" >"$outlines/tests/support/$(basename "$script")"
done
shellcheck --external-sources --source-path="$outlines/tests/support" --source-path="$outlines/bench" "${scripts[@]}"
echo "${#scripts[@]} scripts are clean"
