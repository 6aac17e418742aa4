"""The only rules that BUILD files of this repository use.

They fix one include spelling (`luna/<package>/<file>`), the compiler flags and the floor check, so a BUILD file says only
what is special about a target.
"""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")
load("//tools/build:floors.bzl", "floor_violation")
load("//tools/build:headers.bzl", "header_sources")
load("//tools/build:layering.bzl", "layering_test")

_COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Wno-missing-field-initializers",
]

def _check_floor(name, deps):
    if type(deps) != "list":
        return  # A select() cannot be looked into here; the package's layering test sees what it chooses.
    for dep in deps:
        problem = floor_violation(native.package_name(), dep)
        if problem:
            fail("%s (in target %s)" % (problem, name))

def luna_cc_library(name, srcs = [], hdrs = [], deps = [], implementation_deps = [], copts = [], **kwargs):
    """A library. Its headers are included as "luna/<package>/<header>" here and in every consumer."""
    deps = deps + implementation_deps
    _check_floor(name, deps)
    cc_library(
        name = name,
        srcs = srcs + _headers_by_themselves(name, hdrs, kwargs.get("testonly", False)),
        hdrs = hdrs,
        copts = _COPTS + copts,
        include_prefix = "luna/" + native.package_name(),
        deps = deps,
        **kwargs
    )

def _headers_by_themselves(name, hdrs, testonly):
    """Under --config=clang-strict, a source that includes nothing but a library's headers."""
    if type(hdrs) != "list" or not hdrs:
        return []
    header_sources(
        name = name + "_headers_by_themselves",
        testonly = testonly,
        hdrs = hdrs,
        tags = ["manual"],
    )
    return select({
        "//tools/build:strict": [":" + name + "_headers_by_themselves"],
        "//conditions:default": [],
    })

def luna_cc_test(name, deps = [], copts = [], size = "small", **kwargs):
    """A GoogleTest test; gtest_main is added."""
    _check_floor(name, deps)
    cc_test(
        name = name,
        copts = _COPTS + copts,
        size = size,
        deps = deps + ["@com_google_googletest//:gtest_main"],
        **kwargs
    )

def luna_cc_binary(name, deps = [], copts = [], **kwargs):
    """A program."""
    _check_floor(name, deps)
    cc_binary(
        name = name,
        copts = _COPTS + copts,
        deps = deps,
        **kwargs
    )

def luna_cc_benchmark(name, deps = [], copts = [], **kwargs):
    """A google-benchmark program: `bazel run -c opt` it. Not a test: a timing decides nothing."""
    _check_floor(name, deps)
    cc_binary(
        name = name,
        testonly = True,
        copts = _COPTS + copts,
        deps = deps + ["@com_github_google_benchmark//:benchmark_main"],
        **kwargs
    )

def luna_cc_fuzz_test(name, srcs, deps = [], corpus = [], copts = [], size = "small", **kwargs):
    """A fuzzer (`LLVMFuzzerTestOneInput`).

    Under --config=fuzz it is a libFuzzer program; otherwise a test that replays the corpus and then a fixed number of
    seeded mutations of it, so that every `bazel test` exercises the target without clang.
    """
    _check_floor(name, deps)
    cc_test(
        name = name,
        srcs = srcs,
        args = ["$(rootpaths %s)" % c for c in corpus],
        copts = _COPTS + copts,
        data = corpus,
        linkopts = select({
            "//tools/build:fuzzing": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        size = size,
        deps = deps + select({
            "//tools/build:fuzzing": [],
            "//conditions:default": ["//tools/build:fuzz_replay_main"],
        }),
        **kwargs
    )

def luna_package_tests(name = "tests"):
    """Ends every package: `bazel test //net/tcp:tests` runs all of its tests.

    Among them is `//net/tcp:layering`, which fails the build when anything of the package reaches outside its floor.

    Args:
      name: the name of the test_suite.
    """
    targets = [
        rule["name"]
        for rule in native.existing_rules().values()
        if rule["kind"].startswith("cc_") and "manual" not in rule["tags"]
    ]
    if targets:
        layering_test(
            name = "layering",
            size = "small",
            tags = ["layering"],
            targets = [":" + target for target in sorted(targets)],
        )
    native.test_suite(name = name)
