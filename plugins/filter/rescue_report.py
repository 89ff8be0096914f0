from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.plugin_utils import (
    records,
    rescue_report as rescues,
    rescue_report_html,
)
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain

FORMS = {'json': rescues.as_json, 'html': rescue_report_html.as_html}


def rescue_report(folder: str, form: str, hosts: Any = (), now: str | None = None, max_age_hours: int = 24,
                  title: str = 'Docker data rescue') -> dict[str, Any] | str:
    folder, form, now, title = plain(folder), plain(form), plain(now), plain(title)
    if form != 'summary' and form not in FORMS:
        raise AnsibleFilterError(f'rescue_report: unknown form "{form}"; it must be one of {", ".join(FORMS)}, summary')
    moment = records.moment_of(now) if now else records.utcnow()
    if moment is None:
        raise AnsibleFilterError(f'rescue_report: now "{now}" is not a time like 2027-01-31T00:00:00Z')
    kept = rescues.collect(folder, moment, float(max_age_hours))
    own = plain(list(hosts))
    report = rescues.fleet(kept, own, moment, title)
    return rescues.summary_of(report, own) if form == 'summary' else FORMS[form](report)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'rescue_report': rescue_report}
