"""header_sources: sources that compile each header of a library by itself, as a part of that library.

What Bazel's own `parse_headers` does where the toolchain has it (Bazel 4's does not): a header that leans on what its
includer included before does not compile, and layering_check sees the includes of header-only libraries too.
"""

def _impl(ctx):
    sources = []
    for header in ctx.files.hdrs:
        source = ctx.actions.declare_file("%s/%s.cc" % (ctx.label.name, header.basename))
        ctx.actions.write(source, "#include \"luna/%s/%s\"\n" % (ctx.label.package, _inside(header, ctx.label.package)))
        sources.append(source)
    return [DefaultInfo(files = depset(sources))]

def _inside(header, package):
    path = header.short_path
    at = path.find(package + "/")
    return path[at + len(package) + 1:] if at >= 0 else header.basename

header_sources = rule(
    implementation = _impl,
    doc = "One generated source per header.",
    attrs = {
        "hdrs": attr.label_list(
            allow_files = [".h"],
            doc = "Headers of this package.",
            mandatory = True,
        ),
    },
)
