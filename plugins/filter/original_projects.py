from __future__ import annotations

import base64
import binascii
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.module_utils.formats import jsonish
from ansible_collections.lifeboat.docker.plugins.plugin_utils import original_files
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain

LARGEST = 32 << 20


def original_projects(content: str, names: Any = ()) -> dict[str, Any]:
    try:
        raw = base64.b64decode(plain(content), validate=True)
        document = jsonish.loads(raw[:LARGEST])
    except (TypeError, ValueError, binascii.Error) as exc:
        raise AnsibleFilterError('original_projects: the input must be a deployment.json in base64, as slurp gives it') from exc
    return original_files.projects(document, [str(name) for name in plain(list(names))])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'original_projects': original_projects}
