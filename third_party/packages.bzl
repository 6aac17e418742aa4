"""Which pkg-config modules stand behind which upstream label."""

ABSEIL = {
    "absl/base:core_headers": ["absl_core_headers"],
    "absl/cleanup:cleanup": ["absl_cleanup"],
    "absl/container:flat_hash_map": ["absl_flat_hash_map"],
    "absl/container:flat_hash_set": ["absl_flat_hash_set"],
    "absl/functional:any_invocable": ["absl_any_invocable"],
    "absl/functional:function_ref": ["absl_function_ref"],
    "absl/hash:hash": ["absl_hash"],
    "absl/memory:memory": ["absl_memory"],
    "absl/status:status": ["absl_status"],
    "absl/status:statusor": ["absl_statusor"],
    "absl/strings:str_format": ["absl_str_format"],
    "absl/strings:strings": ["absl_strings"],
    "absl/synchronization:synchronization": ["absl_synchronization"],
    "absl/types:optional": ["absl_optional"],
    "absl/types:span": ["absl_span"],
}

GTEST = {
    ":gtest": [
        "gtest",
        "gmock",
    ],
    ":gtest_main": [
        "gtest_main",
        "gmock",
    ],
}

BENCHMARK = {
    ":benchmark": ["benchmark"],
    ":benchmark_main": [
        "-lbenchmark_main",
        "benchmark",
    ],
}

GFLAGS = {":gflags": ["gflags"]}

GLOG = {":glog": ["libglog"]}

DPDK = {":dpdk": ["libdpdk"]}

LIBMNL = {":libmnl": ["libmnl"]}

LIBBPF = {":libbpf": ["libbpf"]}
