"""Repository rules that stand in, offline, for rules that Bazel 4 would fetch."""

def _stub_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    for path, label in ctx.attr.files.items():
        ctx.file(path, ctx.read(Label(label)), executable = False)

stub_repository = repository_rule(
    implementation = _stub_impl,
    doc = "A repository made of files of ours: path -> label of its content.",
    attrs = {"files": attr.string_dict(mandatory = True)},
    local = True,
)

def _directory_impl(ctx):
    source = ctx.path(ctx.attr.path)
    if not source.exists:
        fail("@%s: %s is missing. Mend: tools/setup, or declare @%s before luna_dependencies()." %
             (ctx.name, ctx.attr.path, ctx.name))
    for child in source.readdir():
        ctx.symlink(child, child.basename)

directory_or_stub_repository = repository_rule(
    implementation = _directory_impl,
    doc = "Like local_repository, but only looked at when used, and it names the mend when the directory is missing.",
    attrs = {"path": attr.string(mandatory = True)},
    local = True,
)
