#!/bin/bash
# Broken qcow2 images, which are those that strangers make: each is refused with a sentence, or the reads that its fault
# concerns fail, with a sentence in the log and with no harm to others.
. "$(dirname "$0")/../support/functions.sh"

images=$test_dir/images
mkdir "$images"
python "$support_dir/bad_qcow2.py" "$images" >"$test_dir/table"
[ "$(wc -l <"$test_dir/table")" -ge 60 ] || fail "there are less than 60 images"

exports=(--export "good=$images/good?format=qcow2" --export "good-1=$images/good-1?format=qcow2")
while IFS=$'\t' read -r name when _; do
    case $name,$when in
    snapshot-*) exports+=(--export "$name=$images/$name?format=qcow2&snapshot=then") ;;
    *,encrypted) ;;
    *) exports+=(--export "$name=$images/$name?format=qcow2") ;;
    esac
done <"$test_dir/table"
start_nbdcrypt --raw --retry-exports 0 "${exports[@]}"

read_ends='
import errno
for at in 0, h.get_size() - 512:
    try:
        h.pread(512, at)
        print("read")
    except nbd.Error as error:
        print(errno.errorcode[error.errnum])'

# read_of NAME: what becomes of its first and of its last bytes: "read" or "EIO".
read_of() {
    nbdsh -u "nbd+unix:///$1?${uri#*\?}" -c "$read_ends" 2>&1 | xargs
}

for name in good good-1; do
    expect_equal "$name" "read read" "$(read_of "$name")"
done
while IFS=$'\t' read -r name when sentence; do
    said="image '$images/$name?format=qcow2"
    case $when in
    open) ;;
    read) expect_equal "$name" "EIO read" "$(read_of "$name")" ;;
    all) expect_equal "$name" "EIO EIO" "$(read_of "$name")" ;;
    encrypted) continue ;;
    esac
    [ "$when" = open ] || said+="': byte 0 of its disk can't be read: "
    found_in "$server_log" -F -- "$said" || fail "$name: nothing is said of it"
    found=$(grep -F -- "$said" "$server_log")
    expect_equal "lines about $name" 1 "$(wc -l <<<"$found")"
    grep -qF -- "$sentence" <<<"$found" || fail "$name: no '$sentence' in: $found"
done <"$test_dir/table"
expect_equal "a good one after all" "read read" "$(read_of good)"
stop_nbdcrypt

# Data that is compressed in an image that is encrypted would be a disk that who wrote it has chosen.
printf key >"$test_dir/key"
run_nbdcrypt serve --unix "$(temp_socket)" --key-file "$test_dir/key" "$images/compressed-in-encrypted"
expect_equal "exit status" 1 "$status"
expect_match "$err" "a cluster is compressed, which none is that is encrypted"
