"""The floor plan (ARCHITECTURE.md, "Floors") as data: which of our packages a package may depend on.

`luna_cc_*` checks every direct dependency against it while BUILD files load, and `layering_test` checks what is reached
transitively. A package that is not listed may not exist. Tests may also use any `testing` package at or below their floor.
"""

_F0 = ["net/wire", "sched/clock", "sched/timer", "ctrl/stats", "mem/zbuf"]
_F1 = ["net/pmd", "flow/bifurcation"]
_BELOW_R2C = _F0 + ["net/pmd", "net/ip", "net/tcp", "ctrl/netlink", "flow/bifurcation"]
_DRIVERS = ["net/pmd/dpdk", "net/pmd/xdp", "flow/bifurcation/dpdk", "flow/bifurcation/xdp"]
_ALL = _BELOW_R2C + _DRIVERS + ["sched/r2c", "net/socket", "net/rpc", "apps/runtime"]

# Package -> our packages that it may depend on directly, besides itself and its own `testing`.
FLOORS = {
    # F0
    "net/wire": [],
    "sched/clock": [],
    "sched/timer": ["sched/clock"],
    "ctrl/stats": ["sched/clock"],
    "mem/zbuf": ["ctrl/stats"],
    # F1
    "net/pmd": ["mem/zbuf", "net/wire", "ctrl/stats", "sched/clock"],
    "flow/bifurcation": ["net/wire"],
    # F1x: the driver rooms
    "net/pmd/dpdk": _F0 + ["net/pmd"],
    "net/pmd/xdp": _F0 + ["net/pmd"],
    "flow/bifurcation/dpdk": _F0 + ["flow/bifurcation"],
    "flow/bifurcation/xdp": _F0 + ["flow/bifurcation"],
    # F2
    "net/ip": _F0 + ["net/pmd"],
    # F3
    "net/tcp": _F0 + ["net/ip", "net/pmd"],
    "ctrl/netlink": _F0 + ["net/ip"],
    # F4
    "sched/r2c": _BELOW_R2C,
    # F5
    "net/socket": _BELOW_R2C + ["sched/r2c"],
    "net/rpc": _BELOW_R2C + ["sched/r2c"],
    "apps/runtime": _ALL,
    # F6
    "apps/echo": _ALL,
    # Outside the house
    "tools/build": [],
    "tools/build/testdata": [],
}

# Third-party repositories that only the named packages may touch.
DRIVER_LIBRARIES = {
    "dpdk": ["net/pmd/dpdk", "flow/bifurcation/dpdk"],
    "libbpf": ["net/pmd/xdp", "flow/bifurcation/xdp"],
    "libxdp": ["net/pmd/xdp", "flow/bifurcation/xdp"],
    "libmnl": ["ctrl/netlink"],
    "com_github_gflags_gflags": ["apps/runtime", "apps/echo"],
}

def home_of(package):
    """The room that a package belongs to: `net/tcp/testing` and `net/tcp/scripts` live in `net/tcp`."""
    if package in FLOORS:
        return package
    parent = package.rpartition("/")[0]
    return home_of_parent(parent)

def home_of_parent(package):
    for _ in range(8):
        if package in FLOORS:
            return package
        package = package.rpartition("/")[0]
    return None

def floor_violation(package, dep):
    """Says why `package` may not depend on `dep` (a label string), or returns None when it may."""
    home = home_of(package)
    if not home:
        return "//%s is not in tools/build/floors.bzl: give it a floor first" % package
    label = Label("@luna//" + package).relative(dep)
    repository = label.workspace_name
    if repository not in ("", "luna"):
        allowed = DRIVER_LIBRARIES.get(repository)
        if allowed != None and home not in allowed:
            return "floor violation: //%s may not depend on @%s; only %s may" % (package, repository, ", ".join(allowed))
        return None
    target_home = home_of(label.package)
    if target_home == home or target_home in FLOORS[home] or label.package.startswith("tools/build"):
        return None
    return "floor violation: //%s may not depend on //%s:%s; its floor may reach: %s" % (
        package,
        label.package,
        label.name,
        ", ".join(FLOORS[home]) or "nothing of ours",
    )
