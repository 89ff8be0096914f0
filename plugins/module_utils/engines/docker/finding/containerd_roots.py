"""Which containerd roots may hold the layers of a data root: the one asked for, the daemon's own containerd, and what
the system's containerd is told (its unit's flags, config.toml and its imports).
"""
import os
from typing import TYPE_CHECKING, List, Optional, Tuple

from ....disk import safeio
from .daemonconf import absolute, containerd_flags, parse_containerd, to_bytes
from .units import SYSTEM_UNITS, matching, service_names, unit_commands

if TYPE_CHECKING:
    from .scan import Scan

DEFAULT_CONTAINERD = b'/var/lib/containerd'
MAX_IMPORTS = 50                        # files of configuration; they may import each other


class ContainerdRoots(object):
    """Where containerd's own root is configured."""

    def __init__(self, scan: 'Scan', explicit: Optional[bytes]) -> None:
        self.scan = scan
        self.explicit = explicit
        files, flagged = [], []
        for name in service_names(scan, SYSTEM_UNITS, (), b'containerd'):
            for words, dummy, dummy, dummy in unit_commands(scan, name, SYSTEM_UNITS, None):
                flags = containerd_flags(words)
                if flags is None:
                    continue
                if flags.get('config'):
                    files.append(absolute(flags['config']))
                if flags.get('root'):
                    flagged.append(absolute(flags['root']))
        configured, moved = self._config(files + [b'/etc/containerd/config.toml'])
        self.system = configured + flagged + [DEFAULT_CONTAINERD]
        self.snapshotters = tuple((name, place) for name, place in ((name, scan.node(path)) for name, path in moved)
                                  if place is not None)

    def _config(self, files: List[bytes]) -> Tuple[List[bytes], List[Tuple[str, bytes]]]:
        """(roots, [(snapshotter, its own root)]) of config.toml and what it imports; the one in force first."""
        scan = self.scan
        todo = list(files)
        todo.extend(os.path.join(b'/etc/containerd/conf.d', name) for name in scan.names(b'/etc/containerd/conf.d')
                    if name.endswith(b'.toml'))
        roots, moved, seen = [], [], set()
        while todo and len(seen) < MAX_IMPORTS:
            path = todo.pop(0)
            if path in seen:
                continue
            seen.add(path)
            config = parse_containerd(scan.read(path) or b'')
            if config.root:
                roots.insert(0, to_bytes(config.root))      # what is imported later overrides
            moved.extend((name, to_bytes(where)) for name, where in config.snapshotters)
            for name in config.imports:
                todo.extend(matching(scan, os.path.join(os.path.dirname(path), to_bytes(name))))
        return [path for path in roots if path.startswith(b'/')], moved

    def roots(self, base: bytes, place: bytes, exec_root: bytes, override: Optional[bytes],
              rootless: bool) -> Tuple[Tuple[bytes, ...], Tuple[bytes, ...]]:
        """(existing folders on the node, paths of the dead host that are not there) for one data root."""
        scan = self.scan
        named = [self.explicit] if self.explicit else []
        if override:
            named.append(override)
        for root in (base, place) if place != base else (base,):
            named.append(os.path.join(scan.host.to_host(root), b'containerd/daemon'))
        generated = parse_containerd(scan.read(os.path.join(exec_root, b'containerd/containerd.toml')) or b'')
        if generated.root.startswith('/'):
            named.append(to_bytes(generated.root))
        if not rootless:                # it cannot use the system's
            named.extend(self.system)
        found, missing = [], []
        for path in named:
            node = scan.node(path)
            if node is not None and safeio.is_folder(node):
                if node not in found:
                    found.append(node)
            elif path not in missing:
                missing.append(path)
        # what the disk does not have and the configuration names comes before the guesses
        missing.sort(key=lambda path: path.endswith(b'/containerd/daemon'))
        return tuple(found), tuple(missing)
