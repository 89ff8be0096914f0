"""Logs that an engine writes for kubelet, below /var/log/pods: one file for each start of a container, which kubelet rotates and packs
(kubernetes pkg/kubelet/logs/container_log_manager.go)."""
import os
import re
import stat
from typing import Any, Dict, Tuple

from ...disk import safeio
from ...formats import wording
from ...records import model

ROTATED = re.compile(rb'\.\d{8}-\d{6}(?:\.gz)?\Z')


def log_of(disk: Any, path: str) -> model.Log:
    """The model.Log of the file PATH, as the dead host saw it ('': not known), with those that it was rotated to. Where one is there plain
    and packed, the packed one is whole: kubelet renames it into its place when it is done, and then deletes the plain one."""
    files: Dict[bytes, Tuple[bytes, int]] = {}
    try:
        place = disk.resolve(wording.raw(path))
        base = os.path.basename(place)
        with safeio.Dir.root(os.path.dirname(place)) as folder:
            for name in sorted(folder.names()):         # .gz comes after the plain one
                if name != base and not (name.startswith(base) and ROTATED.match(name, len(base))):
                    continue
                st = folder.stat(name)
                if stat.S_ISREG(st.st_mode):
                    # the newest one, which has no date, is the last
                    key = b'~' if name == base else name[:-3] if name.endswith(b'.gz') else name
                    files[key] = os.path.join(folder.path(), name), st.st_size
    except (OSError, ValueError):       # ValueError: no path, or one that cannot be encoded
        pass
    found = [files[name] for name in sorted(files)]
    return model.Log('cri', tuple(path for path, dummy in found), sum(size for dummy, size in found), None, 'cri')
