"""pkg_config_repository: system libraries behind the labels that their upstream Bazel builds use."""

def _run(ctx, pkg_config, args):
    result = ctx.execute([pkg_config] + args)
    if result.return_code != 0:
        fail("@%s: `pkg-config %s` failed: %s Mend: apt-get install %s (or tools/setup)." %
             (ctx.name, " ".join(args), result.stderr.strip().replace("\n", " "), ctx.attr.apt))
    return [word for word in result.stdout.replace("\n", " ").split(" ") if word]

def _link_options(words):
    """Keeps libraries and linker groups, in order, once each.

    Not --as-needed: it would hold for everything that follows on the link line, and gold then drops libraries that only
    our own shared libraries (dynamically linked tests) use.
    """
    seen = {}
    options = []
    for word in words:
        if word == "-Wl,--as-needed":
            continue
        if word.startswith("-l") and word in seen:
            continue
        seen[word] = True
        options.append(word)
    return options

def _library(ctx, pkg_config, package, name, modules):
    """Returns the cc_library text for one target; links its include directories into the repository."""
    extra = [m for m in modules if m.startswith("-l")]
    modules = [m for m in modules if not m.startswith("-l")]
    cflags = _run(ctx, pkg_config, ["--cflags"] + modules)
    includes = []
    defines = []
    for flag in cflags:
        if flag.startswith("-I"):
            source = ctx.path(flag[2:])
            if not source.exists:
                continue
            link = "include/" + str(source.realpath).lstrip("/").replace("/", "_")
            target = (package + "/" if package else "") + link
            if not ctx.path(target).exists:
                ctx.symlink(source.realpath, target)
            if link not in includes:
                includes.append(link)
        elif flag.startswith("-D"):
            defines.append(flag[2:])
    return """
cc_library(
    name = "{name}",
    hdrs = glob([i + "/**" for i in {includes}], exclude_directories = 1),
    defines = {defines},
    includes = {includes},
    linkopts = {linkopts},
    visibility = ["//visibility:public"],
)
""".format(
        name = name,
        includes = repr(includes),
        defines = repr(defines),
        linkopts = repr(_link_options(extra + _run(ctx, pkg_config, ["--libs"] + modules))),
    )

def _impl(ctx):
    pkg_config = ctx.which("pkg-config")
    if not pkg_config:
        fail("@%s: pkg-config is missing. Mend: apt-get install pkg-config (or tools/setup)." % ctx.name)
    packages = {}
    for label, modules in ctx.attr.targets.items():
        package, _, name = label.rpartition(":")
        packages.setdefault(package, []).append((name, modules))
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    for package, targets in packages.items():
        text = "load(\"@rules_cc//cc:defs.bzl\", \"cc_library\")\n"
        for name, modules in targets:
            text += _library(ctx, pkg_config, package, name, modules)
        ctx.file((package + "/" if package else "") + "BUILD.bazel", text, executable = False)

pkg_config_repository = repository_rule(
    implementation = _impl,
    doc = "System libraries by pkg-config. `targets` maps 'package:name' to the pkg-config modules behind it " +
          "(and -lNAME for a library that has no module of its own).",
    attrs = {
        "apt": attr.string(mandatory = True, doc = "Debian packages that provide the modules, for the error message."),
        "targets": attr.string_list_dict(mandatory = True),
    },
    environ = ["PKG_CONFIG_PATH"],
    local = True,
)
