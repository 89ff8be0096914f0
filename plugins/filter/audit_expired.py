from __future__ import annotations

from typing import Any, Callable

from ansible_collections.lifeboat.docker.plugins.plugin_utils import reports_store
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain


def audit_expired(folder: Any, keep: Any) -> list[str]:
    return reports_store.expired(plain(folder), int(keep))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'audit_expired': audit_expired}
