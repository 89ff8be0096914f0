from __future__ import annotations

from typing import Any, Callable

from ansible_collections.lifeboat.docker.plugins.plugin_utils import records
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain


def audit_folder_name(host: Any) -> str:
    return records.folder_name(plain(host))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'audit_folder_name': audit_folder_name}
