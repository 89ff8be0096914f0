from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    records,
    reports,
    reports_html,
    reports_store,
    reports_text,
)
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain

FORMS: dict[str, Callable[[Any], dict[str, Any] | str]] = {
    'json': reports_text.as_json, 'csv': reports_text.as_csv, 'prom': reports_text.as_prom, 'md': reports_text.as_markdown,
    'html': reports_html.as_html, 'summary': lambda report: dict(reports.summary_of(report), headline=reports_text.headline(report)),
}


def audit_report(folder: str, form: str, now: str | None = None, max_age_hours: int = 24, title: str = 'Docker data audit') -> dict[str, Any] | str:
    folder, form, now, title = plain(folder), plain(form), plain(now), plain(title)
    if form not in FORMS:
        raise AnsibleFilterError(f'audit_report: unknown form "{form}"; it must be one of {", ".join(FORMS)}')
    moment = records.moment_of(now) if now else records.utcnow()
    if moment is None:
        raise AnsibleFilterError(f'audit_report: now "{now}" is not a time like 2027-01-31T00:00:00Z')
    kept = reports_store.collect(folder, moment, float(max_age_hours))
    return FORMS[form](reports.fleet(kept, reports_store.history(folder), moment, title))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'audit_report': audit_report}
