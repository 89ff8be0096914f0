"""The host that the options of the tool mean."""
import os
from typing import Any

from .parser import listed


def open_host(given: Any) -> Any:
    """engines.registry.Host for the options --host-root, --data-root, --containerd-root and --engine."""
    from ..engines import registry
    containerd = given.containerd_root
    return registry.open_host(os.fsencode(os.path.abspath(given.host_root)), [os.fsencode(path) for path in given.data_root],
                              os.fsencode(containerd) if containerd else None, listed(given.engine))
