from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.plugin_utils import findings, reports
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain


def audit_host(result: Any, rules: Any, host: str, ignore: Any = None, started: Any = None) -> dict[str, Any]:
    try:
        return reports.host_record(result, rules, plain(host), ignore, plain(started))
    except (findings.AuditError, TypeError) as exc:
        raise AnsibleFilterError(f'audit_host: {exc}') from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'audit_host': audit_host}
