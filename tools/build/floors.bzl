"""The floor plan (ARCHITECTURE.md, "Floors") as data: which of our packages a package may depend on.

`luna_cc_*` checks every direct dependency against it while BUILD files load, and the `layering` test that
`luna_package_tests` adds to every package checks what is reached transitively, through aliases, selects and native rules
too. A package that is not listed may not exist. `testing` and other subpackages live in the room of their parent.
"""

_F0 = ["net/wire", "sched/clock", "sched/timer", "sched/ring", "ctrl/stats", "mem/zbuf"]
_BELOW_R2C = _F0 + ["net/pmd", "net/ip", "net/tcp", "ctrl/netlink", "flow/bifurcation"]
_DRIVERS = ["net/pmd/dpdk", "net/pmd/xdp", "flow/bifurcation/dpdk", "flow/bifurcation/xdp"]
_ALL = _BELOW_R2C + _DRIVERS + ["sched/r2c", "net/socket", "net/rpc", "apps/runtime"]

# Package -> our packages that it may depend on directly, besides itself and its own `testing`. A row with a colon names one
# target, not the whole room.
FLOORS = {
    # F0
    "net/wire": [],
    "sched/clock": [],
    "sched/timer": ["sched/clock"],
    "sched/ring": [],
    "ctrl/stats": ["sched/clock"],
    "mem/zbuf": ["ctrl/stats"],
    # F1
    "net/pmd": ["mem/zbuf", "net/wire", "ctrl/stats", "sched/clock", "sched/ring"],
    "flow/bifurcation": ["net/wire"],
    # F1x: the driver rooms
    "net/pmd/dpdk": _F0 + ["net/pmd"],
    "net/pmd/xdp": _F0 + ["net/pmd"],
    "net/pmd/xdp/root_test": _F0 + ["net/pmd", "net/pmd/xdp", "flow/bifurcation", "flow/bifurcation/xdp"],
    "flow/bifurcation/dpdk": _F0 + ["flow/bifurcation"],
    "flow/bifurcation/xdp": _F0 + ["flow/bifurcation"],
    # F2
    "net/ip": _F0 + ["net/pmd"],
    # F3
    "net/tcp": _F0 + ["net/ip", "net/pmd:packet"],
    "ctrl/netlink": _F0 + ["net/ip"],
    # F4
    "sched/r2c": _BELOW_R2C,
    # F5
    "net/socket": _BELOW_R2C + ["sched/r2c"],
    "net/rpc": _BELOW_R2C + ["sched/r2c"],
    "apps/runtime": _ALL,
    # F6
    "apps/echo": _ALL,
    "apps/httpd": _ALL,
    # Outside the house
    "tools/build": [],
}

# Third-party repositories that only the named packages may touch.
DRIVER_LIBRARIES = {
    "dpdk": ["net/pmd/dpdk", "flow/bifurcation/dpdk"],
    "libbpf": ["net/pmd/xdp", "flow/bifurcation/xdp"],
    "libmnl": ["ctrl/netlink"],
    "com_github_gflags_gflags": ["apps/runtime", "apps/echo", "apps/httpd"],
}

_DEEPEST = 8

def home_of(package):
    """Finds the room that a package belongs to: `net/tcp/testing` and `net/tcp/scripts` live in `net/tcp`.

    Args:
      package: a package's path, `net/tcp/testing`.

    Returns:
      The room's path, or None when the package has no floor.
    """
    for _ in range(_DEEPEST):
        if package in FLOORS:
            return package
        package = package.rpartition("/")[0]
    return None

def rooms_below(room):
    """Lists the rooms that `room` may reach through any number of others.

    Args:
      room: a key of FLOORS.

    Returns:
      A list of keys of FLOORS, `room` first.
    """
    reached = [room]
    for _ in range(_DEEPEST):
        for known in list(reached):
            reached += [r for r in _rooms(FLOORS[known]) if r not in reached]
    return reached

def _rooms(rows):
    return [row.partition(":")[0] for row in rows]

def _is_build_helper(package):
    return package == "tools/build"

def floor_violation(package, dep):
    """Says why `package` may not depend directly on `dep`.

    Args:
      package: the path of one of our packages.
      dep: a label, as a BUILD file of that package spells it.

    Returns:
      A sentence that names both, or None when it may.
    """
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
    target = "%s:%s" % (label.package, label.name)
    if target_home == home or target_home in FLOORS[home] or target in FLOORS[home] or _is_build_helper(label.package):
        return None
    return "floor violation: //%s may not depend on //%s; its floor may reach: %s" % (
        package,
        target,
        ", ".join(FLOORS[home]) or "nothing of ours",
    )

def reach_violation(package, label, ours):
    """Says why `package` may not reach `label`, directly or through others.

    Args:
      package: the path of one of our packages.
      label: a Label.
      ours: the name of our repository as labels give it ("" when it is the main one).

    Returns:
      A phrase that names what may be reached, or None when it may.
    """
    home = home_of(package)
    if not home:
        return "//%s is not in tools/build/floors.bzl" % package
    rooms = rooms_below(home)
    if label.workspace_name != ours:
        allowed = DRIVER_LIBRARIES.get(label.workspace_name)
        if allowed == None or [r for r in rooms if r in allowed]:
            return None
        return "only below %s may it be reached" % ", ".join(["//" + r for r in allowed])
    if home_of(label.package) in rooms or _is_build_helper(label.package):
        return None
    return "its floor may reach: %s" % (", ".join(["//" + r for r in rooms[1:]]) or "nothing of ours")
