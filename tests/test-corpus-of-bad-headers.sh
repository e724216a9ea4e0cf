#!/bin/bash
# Each header of the corpus (bad_headers.py) is refused by serve and by info, with its own sentence; none is changed.
. "$(dirname "$0")/functions.sh"

requires cryptsetup --version

folder=$test_dir/corpus good1=$(temp_file) good2=$(temp_file)
mkdir "$folder"
truncate --size=3M "$good1"
truncate --size=2M "$good2"
cryptsetup_quietly luksFormat --type luks1 --pbkdf-force-iterations 1000 "$good1"
cryptsetup_quietly luksFormat --type luks2 "${fast_pbkdf[@]}" --offset 2048 --luks2-keyslots-size 512k \
    --luks2-metadata-size 16k --sector-size 512 "$good2"
expect_success serve --key-file "$passphrase" --run true "$good1"
expect_success serve --key-file "$passphrase" --run true "$good2"
python "$(dirname "$0")/bad_headers.py" make "$folder" "$good1" "$good2"

# said COMMAND...: what it says, without the image's name, and its status when that is not 1.
said() {
    local status=0 text

    text=$("$NBDCRYPT" "$@" 2>&1 >/dev/null) || status=$?
    text=${text#"nbdcrypt: image '$image': "}
    [ "$status" -eq 1 ] || text="[status $status] $text"
    printf '%s\n' "$text"
}

count=0
for file in "$folder"/*.sentence; do
    image=${file%.sentence} name=${image##*/}
    sentence=$(cat "$file")
    before=$(sha256_of "$image")
    expect_equal "$name: serve" "$sentence" \
        "$(said serve --unix "$test_dir/s" --key-file "$passphrase" --run true "$image")"
    # What to serve as it is, info need not say; and it opens no keyslot.
    case $sentence in
    'no LUKS header found'*) sentence='no LUKS header found' ;;
    'no keyslot '*) sentence='[status 0] ' ;;
    esac
    expect_equal "$name: info" "$sentence" "$(said info "$image")"
    expect_equal "$name: checksum" "$before" "$(sha256_of "$image")"
    rm "$image"
    count=$((count + 1))
done
[ "$count" -ge 150 ] || fail "only $count headers"
