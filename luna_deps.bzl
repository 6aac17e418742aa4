"""Every repository that Luna needs, for this workspace and for its consumers.

A consumer calls luna_dependencies() after its own repositories: `maybe` keeps whatever is already there, so an archive
of Abseil, GoogleTest, gflags, glog, google-benchmark or rules_cc behind the usual name wins over the system's packages.
"""

load("@bazel_tools//tools/build_defs/repo:utils.bzl", "maybe")
load("@luna//third_party:local_rules.bzl", "directory_or_stub_repository", "stub_repository")
load("@luna//third_party:packages.bzl", "ABSEIL", "BENCHMARK", "DPDK", "GFLAGS", "GLOG", "GTEST", "LIBBPF", "LIBMNL")
load("@luna//third_party:pkg_config.bzl", "pkg_config_repository")

def luna_dependencies():
    """Declares the build rules and the third-party libraries (Debian packages through pkg-config)."""
    luna_build_rules()
    luna_libraries()

def luna_build_rules():
    """Rules repositories that Bazel 4 would otherwise fetch from the network."""
    maybe(stub_repository, name = "rules_cc", files = {
        "cc/BUILD.bazel": "@luna//third_party/rules_cc:cc/BUILD.stub",
        "cc/defs.bzl": "@luna//third_party/rules_cc:cc/defs.bzl.stub",
    })
    maybe(stub_repository, name = "remote_coverage_tools", files = {
        "BUILD.bazel": "@luna//third_party/remote_coverage_tools:BUILD.stub",
    })
    maybe(directory_or_stub_repository, name = "rules_java", path = "/usr/share/bazel/rules/java")
    maybe(directory_or_stub_repository, name = "rules_proto", path = "/usr/share/bazel/rules/proto")
    maybe(directory_or_stub_repository, name = "platforms", path = "/usr/share/bazel/tools/platforms")

def luna_libraries():
    """Third-party libraries; a repository is only looked at when a target in it is built."""
    maybe(pkg_config_repository, name = "com_google_absl", apt = "libabsl-dev", targets = ABSEIL)
    maybe(pkg_config_repository, name = "com_google_googletest", apt = "libgtest-dev libgmock-dev", targets = GTEST)
    maybe(pkg_config_repository, name = "com_github_google_benchmark", apt = "libbenchmark-dev", targets = BENCHMARK)
    maybe(pkg_config_repository, name = "com_github_gflags_gflags", apt = "libgflags-dev", targets = GFLAGS)
    maybe(pkg_config_repository, name = "com_github_google_glog", apt = "libgoogle-glog-dev", targets = GLOG)
    maybe(pkg_config_repository, name = "dpdk", apt = "libdpdk-dev", targets = DPDK)
    maybe(pkg_config_repository, name = "libmnl", apt = "libmnl-dev", targets = LIBMNL)
    maybe(pkg_config_repository, name = "libbpf", apt = "libbpf-dev", targets = LIBBPF)
