"""layering_test: what targets reach transitively must stay inside the floor plan."""

load("//tools/build:floors.bzl", "reach_violation")

_ATTRIBUTES = ["deps", "srcs", "hdrs", "data", "implementation_deps", "actual"]

_ReachedInfo = provider(
    doc = "What a target reaches, itself included.",
    fields = {"labels": "depset of Labels"},
)

def _aspect_impl(target, ctx):
    transitive = []
    for attribute in _ATTRIBUTES:
        value = getattr(ctx.rule.attr, attribute, None)
        values = value if type(value) == "list" else [value]
        transitive += [d[_ReachedInfo].labels for d in values if type(d) == "Target" and _ReachedInfo in d]
    return [_ReachedInfo(labels = depset([target.label], transitive = transitive))]

_reached_aspect = aspect(
    implementation = _aspect_impl,
    attr_aspects = _ATTRIBUTES,
)

def _name(label, ours):
    repository = "" if label.workspace_name == ours else "@" + label.workspace_name
    return "%s//%s:%s" % (repository, label.package, label.name)

def _problems(dep, ours):
    found = []
    for label in dep[_ReachedInfo].labels.to_list():
        reason = reach_violation(dep.label.package, label, ours)
        if reason:
            source, target = _name(dep.label, ours), _name(label, ours)
            found.append("floor violation: %s reaches %s; %s (bazel query 'somepath(%s, %s)' says how)" %
                         (source, target, reason, source, target))
    return found

def _test_impl(ctx):
    ours = ctx.label.workspace_name
    problems = []
    for dep in ctx.attr.targets:
        problems += _problems(dep, ours)
    if problems:
        fail("\n".join([""] + problems))
    output = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        output,
        "#!/bin/sh\necho 'layering: %d targets stay inside the floor plan'\n" % len(ctx.attr.targets),
        is_executable = True,
    )
    return [DefaultInfo(executable = output)]

layering_test = rule(
    implementation = _test_impl,
    doc = "Fails the build, naming each offender, when `targets` reach what tools/build/floors.bzl does not allow them.",
    attrs = {
        "targets": attr.label_list(
            aspects = [_reached_aspect],
            doc = "Targets of one of our packages.",
            mandatory = True,
        ),
    },
    test = True,
)
