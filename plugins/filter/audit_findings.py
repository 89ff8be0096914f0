from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.plugin_utils import findings, records
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain


def audit_findings(facts: Any, rules: Any, ignore: Any = None, host: str = '', now: str | None = None) -> list[dict[str, str | None]]:
    try:
        moment = records.moment_of(plain(now)) if now else None
        if now and moment is None:
            raise findings.AuditError(f'now "{now}" is not a time like 2027-01-31T00:00:00Z')
        return findings.findings(facts, rules, ignore, plain(host), moment)
    except (findings.AuditError, TypeError) as exc:
        raise AnsibleFilterError(f'audit_findings: {exc}') from None


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'audit_findings': audit_findings}
