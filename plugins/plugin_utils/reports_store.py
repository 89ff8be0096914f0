"""The folder of reports on the controller, and what is read from it.

    hosts/NAME/20260102T030405Z.json   one record for each audit of a host; the newest counts
    history/20260102T030405Z.json      the sums of each report
    report.html report.json report.csv report.md lifeboat.prom

Slices of a job, or several jobs, may share the folder: a report takes every host whose newest record is not older
than MAX_AGE hours, whoever wrote it.
"""
from __future__ import annotations

import datetime
import os
from typing import Any

from . import records, reports


def collect(folder: str, now: datetime.datetime, max_age_hours: float) -> list[dict[str, Any]]:
    """The newest whole record of each host that is recent enough, in the order of their names."""
    return records.newest(os.path.join(folder, 'hosts'), reports.HOST_SCHEMA, reports.STATES, now, max_age_hours)


def history(folder: str, limit: int = 120) -> list[dict[str, Any]]:
    """The sums of earlier reports, oldest first."""
    where = os.path.join(folder, 'history')
    found = [records.load(os.path.join(where, name)) for name in records.names(where)[-limit:]]
    return [one for one in found if isinstance(one, dict)]


def expired(folder: str, keep: int) -> list[str]:
    """Paths of records and sums beyond the newest KEEP of each host. KEEP 0: none."""
    found = []
    if keep > 0:
        top = os.path.join(folder, 'hosts')
        places = [os.path.join(top, host) for host in sorted(os.listdir(top))] if os.path.isdir(top) else []
        for place in places:
            found += [os.path.join(place, name) for name in records.names(place)[:-keep]]
        place = os.path.join(folder, 'history')
        found += [os.path.join(place, name) for name in records.names(place)[:-max(keep, 30)]]
    return found
