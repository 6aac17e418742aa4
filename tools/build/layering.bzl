"""layering_test: what a target reaches transitively must stay inside an allow-list."""

_Reached = provider(fields = {"labels": "depset of label strings"})

def _aspect_impl(target, ctx):
    transitive = []
    for attribute in ("deps", "srcs", "hdrs", "data", "implementation_deps"):
        value = getattr(ctx.rule.attr, attribute, None)
        if type(value) == "list":
            transitive += [d[_Reached].labels for d in value if _Reached in d]
    return [_Reached(labels = depset([str(target.label)], transitive = transitive))]

_reached_aspect = aspect(
    implementation = _aspect_impl,
    attr_aspects = ["deps", "srcs", "hdrs", "data", "implementation_deps"],
)

def _inside(label, allowed):
    for prefix in allowed:
        if label.startswith(prefix + ":") or label.startswith(prefix + "/"):
            return True
    return False

def _normal(label):
    for prefix in ("@@luna//", "@luna//", "@@//", "@//"):
        if label.startswith(prefix):
            return "//" + label[len(prefix):]
    return label.replace("@@", "@", 1) if label.startswith("@@") else label

def _test_impl(ctx):
    problems = []
    for dep in ctx.attr.targets:
        for raw in dep[_Reached].labels.to_list():
            label = _normal(raw)
            if label.startswith("@bazel_tools//") or label.startswith("@local_config"):
                continue
            if not _inside(label, ctx.attr.allowed):
                problems.append("%s reaches %s" % (_normal(str(dep.label)), label))
    script = "#!/bin/sh\n"
    if problems:
        script += "".join(["echo 'layering: %s'\n" % p for p in problems]) + "exit 1\n"
    else:
        script += "echo 'layering: %d targets stay inside the plan'\n" % len(ctx.attr.targets)
    output = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(output, script, is_executable = True)
    return [DefaultInfo(executable = output)]

layering_test = rule(
    implementation = _test_impl,
    doc = "Fails, naming each offender, when `targets` reach a package outside `allowed` (label prefixes).",
    attrs = {
        "allowed": attr.string_list(mandatory = True),
        "targets": attr.label_list(aspects = [_reached_aspect], mandatory = True),
    },
    test = True,
)
