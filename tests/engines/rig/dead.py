"""The crash, and what is handed to the tests after it: a :class:`DeadRoot`."""
import json
import os
import time
from typing import Any, Dict, NamedTuple, Optional

from . import listing, procs, scenario, truth
from .common import RigError, run, say
from .engine import Engine


class DeadRoot(NamedTuple):
    """A dead engine's disk and what the engine said while it lived. All paths are absolute, on this machine."""
    kind: str                       # a key of engine.KINDS
    host_root: str                  # the dead host's / : pass it as host_root
    data_root: str                  # what dockerd calls data root (with userns-remap the nested one)
    containerd_root: Optional[str]  # containerd's root, if images and layers lie there
    truth: Dict[str, Any]           # see truth.py
    scratch: str                    # holds all of the above, and may hold more

    def file(self, name):
        """Absolute path of a file that the truth names."""
        return os.path.join(self.scratch, name)

    def tree(self, name):
        """A listing that the truth names, as listing.listing() returned it."""
        with open(self.file(name), encoding='ascii') as handle:
            return json.load(handle)

    @property
    def recorded_data_root(self):
        """The data root as the engine called it."""
        return '/' + os.path.relpath(self.data_root, self.host_root)

    def snapshot(self):
        """State of the whole host disk, for listing.differences() afterwards."""
        return listing.snapshot(self.host_root)

    def copy(self, target):
        """A copy of the whole dead host in the new folder `target`, to be damaged by a test; the truth stays shared."""
        copy_tree(self.host_root, target)
        moved = os.path.join(target, '')

        def move(path):
            return path and moved + os.path.relpath(path, self.host_root)
        return self._replace(host_root=target, data_root=move(self.data_root),
                             containerd_root=move(self.containerd_root))


def copy_tree(source, target):
    """Copy a folder with owners, modes, times, links, holes, devices, sockets, ACLs and all xattrs into a new one."""
    if os.path.lexists(target):
        raise RigError('%s exists already' % target)
    run(['cp', '-a', '--reflink=auto', '--sparse=auto', '--', source, target])


def build(kind, scratch=None, fill=scenario.fill_engine):
    """Start an engine, fill it, record the truth, kill it. Returns (DeadRoot, engine); close the engine in the end."""
    started = time.monotonic()
    engine = Engine(kind, scratch)
    try:
        engine.start()
        fill(engine)
        filled = time.monotonic()
        said = truth.record(engine)
        recorded = time.monotonic()
        engine.kill()
        truth.record_disk(engine, said)
        check_dead(engine)
    except BaseException:
        engine.close()
        raise
    say('%s (%s): filled in %.1f s, truth in %.1f s, dead after %.1f s' % (
        kind, said['version']['Version'], filled - started, recorded - filled, time.monotonic() - started))
    return DeadRoot(kind, engine.host_root, engine.data_root, engine.containerd_root, said, engine.scratch), engine


def check_dead(engine):
    """RigError if anything of the engine still runs, or is still mounted (a btrfs root itself must be)."""
    if procs.cgroup_folders(engine.cgroup_name):
        raise RigError('control groups of %s are left' % engine.kind.name)
    mounted = [os.fsdecode(point) for point in procs.mounts_below(engine.scratch)]
    if mounted != ([engine.outside(engine.kind.data_root)] if engine.kind.driver == 'btrfs' else []):
        raise RigError('still mounted: %s' % mounted)


def load(folder):
    """The DeadRoot that `python -m rig build` left in `folder`."""
    folder = os.path.realpath(folder)
    with open(os.path.join(folder, 'truth.json'), encoding='ascii') as handle:
        said = json.load(handle)
    places = said['places']
    return DeadRoot(said['kind'], os.path.join(folder, places['host_root']), os.path.join(folder, places['data_root']),
                    places['containerd_root'] and os.path.join(folder, places['containerd_root']), said, folder)
