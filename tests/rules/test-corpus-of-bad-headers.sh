#!/bin/bash
# Each header of the corpus (bad_headers.py) is refused by serve and by info, with its own sentence; none is changed.
. "$(dirname "$0")/../support/functions.sh"

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
python "$(dirname "$0")/../support/bad_headers.py" make "$folder" "$good1" "$good2"

# With right checksums, and on an image of another size, they are refused or harmless.
find "$folder" -type f ! -name '*.sentence' -exec "${top_builddir:-$(dirname "$NBDCRYPT")}/tests/unit/test-fuzz-luks-header" {} + ||
    fail "a header of the corpus breaks a promise of the loader"

names=$(temp_file)
(cd "$folder" && printf '%s\n' *.sentence) >"$names"
[ "$(wc -l <"$names")" -ge 150 ] || fail "the corpus is too small"

# One process for all of them: this is 400 starts of the program, each of which takes a sanitizer 0.2 s.
sample 5 <"$names" >"$names.sample"
python "$source_dir/tests/rules/corpus-of-bad-headers.py" "$folder" "$NBDCRYPT" "$passphrase" "$names.sample" </dev/null || fail "not every header is refused as it should be"
