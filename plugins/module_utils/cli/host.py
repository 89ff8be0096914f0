"""The host that the options of the tool mean."""
import os
from typing import Any

from ..formats import wording
from .parser import listed


def open_host(given: Any) -> Any:
    """engines.registry.Host for the options --host-root, --data-root, --containerd-root and --engine."""
    from ..engines import registry
    containerd = given.containerd_root
    return registry.open_host(wording.raw(os.path.abspath(given.host_root)), [wording.raw(path) for path in given.data_root],
                              wording.raw(containerd) if containerd else None, listed(given.engine))
