#!/bin/bash
# A detached header that is served can't be erased, replaced or formatted, as one in the image can't; its keys and
# tokens can be changed.
. "$(dirname "$0")/../support/functions.sh"

requires nbdinfo --version
fast=(--pbkdf pbkdf2 --pbkdf-iterations 1000)
header=$test_dir/header data=$test_dir/data backup=$test_dir/backup
second=$(temp_file) json=$(temp_file) other=$(temp_file)
printf second >"$second"
printf '{"type":"x","keyslots":[]}' >"$json"
expect_success format --key-file "$passphrase" "${fast[@]}" --size 1M --header "$header" "$data"
expect_success header backup --header "$header" "$data" "$backup"
truncate --size=1M "$other"

in_use="image '$header': another program has it open for use (is it being served already?); end that first"
for options in "$data" "--read-only $data" "--export a=$data,header=$header"; do
    read -r -a words <<<"$options"
    [[ $options == *header* ]] || words=(--header "$header" "${words[@]}")
    start_nbdcrypt --key-file "$passphrase" "${words[@]}"
    before=$(sha256_of "$header")
    expect_failure 1 "$in_use" erase --yes --header "$header" "$data"
    expect_failure 1 "$in_use" header restore --force --header "$header" "$data" "$backup"
    expect_failure 1 "$in_use" format --force --key-file "$passphrase" "${fast[@]}" --header "$header" "$other"
    expect_equal "the header" "$before" "$(sha256_of "$header")"
    expect_success key add --key-file "$passphrase" --new-key-file "$second" "${fast[@]}" --header "$header" "$data"
    expect_success key remove --key-file "$second" --header "$header" "$data"
    expect_success token import --token 0 --header "$header" "$data" "$json"
    expect_success token remove --token 0 --header "$header" "$data"
    expect_alive
    stop_nbdcrypt
done

# Two servers may have the same header; one is enough.
start_nbdcrypt --key-file "$passphrase" --read-only --header "$header" "$data"
first=$pid
start_nbdcrypt --key-file "$passphrase" --read-only --header "$header" "$data"
stop_nbdcrypt
expect_failure 1 "$in_use" erase --yes --header "$header" "$data"

# Nobody is in the way of a header that cannot be written, or of one in the image that is named twice.
chmod a-w "$header"
start_nbdcrypt --key-file "$passphrase" --read-only --header "$header" "$data"
stop_nbdcrypt
chmod u+w "$header"
expect_success format --key-file "$passphrase" "${fast[@]}" --size 1M "$test_dir/whole"
start_nbdcrypt --key-file "$passphrase" --header "$test_dir/whole" "$test_dir/whole"
expect_failure 1 "image '$test_dir/whole': another program has it open for use (is it being served already?); end that first" \
    erase --yes "$test_dir/whole"
stop_nbdcrypt

pid=$first
stop_nbdcrypt
expect_success erase --yes --header "$header" "$data"
