from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.plugin_utils import drill, drill_report as reports, records
from ansible_collections.lifeboat.docker.plugins.plugin_utils.plaindata import plain

FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {'html': reports.as_html, 'json': reports.as_json, 'prom': reports.as_prom,
                                                     'headline': drill.headline}


def drill_report(bundles: Any, form: str, tries: Any = (), state: Any = None, now: str | None = None, hosts: Any = (), fall_percent: float = 0,
                 max_age_hours: float = 0, title: str = 'Restore drill', accept: bool = False, fail_on: Any = ()) -> Any:
    bundles, form, state, moment = plain(bundles), plain(form), plain(state), records.moment_of(plain(now)) if now else records.utcnow()
    if form == 'candidates':
        return drill.drilled(drill.candidates(bundles))
    if form == 'without_dumps':
        return drill.without_dumps(drill.candidates(bundles))
    if moment is None:
        raise AnsibleFilterError(f'drill_report: now "{now}" is not a time like 2027-01-31T00:00:00Z')
    report = drill.judge(bundles, plain(list(tries)), state, moment, plain(list(hosts)), float(fall_percent), float(max_age_hours), plain(title))
    if form == 'state':
        return drill.state_of(report, state, bool(accept))
    if form == 'failures':
        wanted = plain(list(fail_on))
        unknown = sorted(set(wanted) - set(drill.STATES[:-1]))
        if unknown:
            raise AnsibleFilterError(f'drill_report: fail_on has no "{unknown[0]}"; it has: {", ".join(drill.STATES[:-1])}')
        return drill.failures(report, wanted)
    if form not in FORMS:
        raise AnsibleFilterError(f'drill_report: unknown form "{form}"; it must be one of {", ".join(FORMS)}, candidates, without_dumps, state, failures')
    return FORMS[form](report)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {'drill_report': drill_report}
