# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # what is set here is for the tests, or by functions.sh
# What the tests of bench/compare.py share; to be sourced after functions.sh.

compare=$source_dir/bench/compare.py

# The columns that others may rely on.
csv_columns=round,server,job,storage,transport,client,image_bytes,block_bytes,write_percent,pattern,connections,depth
csv_columns+=,elapsed_ns,requests,bytes,iops,mb_per_s,p50_ns,p99_ns,server_cpu_ns,server_cpu_ns_per_kib
csv_columns+=,server_cpu_ns_per_request,client_cpu_ns,server_peak_kib,idle_bytes_per_connection,start_ns

# run_compare ARGUMENT...: to its end.  Sets $status, $out and $err (files).
compare_count=0
run_compare() {
    compare_count=$((compare_count + 1))
    out=$log_dir/compare-out-$compare_count err=$log_dir/compare-err-$compare_count status=0
    timeout 200 "$PYTHON" "$compare" "$@" </dev/null >"$out" 2>"$err" || status=$?
}

# expect_compare STATUS ARGUMENT...: a machine that is too busy to measure in so few seconds gets more of them.
expect_compare() {
    local expected_status=$1 longer

    shift
    run_compare "$@"
    for longer in 1.5 6; do
        if [ "$expected_status" != 0 ] || ! grep -m 1 'this machine is too busy to measure' "$err" >&2; then break; fi
        run_compare "$@" --seconds "$longer" # the last one holds
    done
    [ "$status" = "$expected_status" ] ||
        fail "'compare.py $*' ended with status $status, not $expected_status: $(tail -n 30 "$out" "$err")"
}

# csv_row ROUND SERVER JOB NS_PER_KIB [P50_NS]: of a CSV; 1,000 requests of 4 KiB in a second.
csv_row() {
    local p50_ns=${5:-50000}

    echo "$1,$2,$3,cache,unix,nbdcrypt-bench,1048576,4096,0,random,1,1,1000000000,1000,4096000,1000,4.1,$p50_ns" \
        "$((2 * p50_ns)),$(($4 * 4000)),$4,$(($4 * 4)),1000000,10240,,5000000" | tr ' ' ','
}
