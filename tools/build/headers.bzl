"""header_sources: sources that compile each header of a library by itself, as a part of that library.

What Bazel's own `parse_headers` does where the toolchain has it (Bazel 4's does not): a header that leans on what its
includer included before does not compile, and layering_check sees the includes of headers too. The source is a copy of the
header, not a file that includes it, because clang checks the includes of the main file only.
"""

def _impl(ctx):
    sources = []
    for header in ctx.files.hdrs:
        source = ctx.actions.declare_file("%s/%s.cc" % (ctx.label.name, header.basename))
        ctx.actions.expand_template(template = header, output = source, substitutions = {})
        sources.append(source)
    return [DefaultInfo(files = depset(sources))]

header_sources = rule(
    implementation = _impl,
    doc = "One source per header.",
    attrs = {
        "hdrs": attr.label_list(
            allow_files = [".h"],
            doc = "Headers of this package.",
            mandatory = True,
        ),
    },
)
