# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of reports on the controller, and what is read from it.

    hosts/NAME/20260102T030405Z.json   one record for each audit of a host; the newest counts
    history/20260102T030405Z.json      the sums of each report
    report.html report.json report.csv report.md lifeboat.prom

Slices of a job, or several jobs, may share the folder: a report takes every host whose newest record is not older
than MAX_AGE hours, whoever wrote it. Names of hosts become names of folders in :func:`folder_name`.
"""
from __future__ import annotations

import datetime
import json
import os
import re
import urllib.parse
from typing import Any

from . import reports

STAMP = re.compile(r'\d{8}T\d{6}Z\.json\Z')


def folder_name(host: str) -> str:
    """A host's name as a file name: anything unusual as %XX, so that no two hosts share one."""
    name = urllib.parse.quote(host, safe=' @:+,=')
    return '%2E' + name[1:] if name.startswith('.') else name or '%00'


def stamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')


def _records(folder: str) -> list[str]:
    """Record files in FOLDER, oldest first."""
    try:
        return sorted(name for name in os.listdir(folder) if STAMP.match(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _load(path: str) -> Any:
    try:
        with open(path, encoding='utf-8') as stream:
            return json.load(stream)
    except (OSError, ValueError):
        return None                     # cut by a full disk, or being written by another job


def collect(folder: str, now: datetime.datetime, max_age_hours: float) -> list[dict[str, Any]]:
    """The newest whole record of each host that is recent enough, in the order of their names."""
    oldest = stamp(now - datetime.timedelta(hours=max_age_hours)) + '.json'
    found = []
    top = os.path.join(folder, 'hosts')
    for host in sorted(os.listdir(top)) if os.path.isdir(top) else ():
        for name in reversed(_records(os.path.join(top, host))):
            if name < oldest:
                break
            record = _load(os.path.join(top, host, name))
            if isinstance(record, dict) and record.get('schema') == reports.HOST_SCHEMA and record.get('state') in reports.STATES:
                found.append(record)
                break
    return found


def history(folder: str, limit: int = 120) -> list[dict[str, Any]]:
    """The sums of earlier reports, oldest first."""
    where = os.path.join(folder, 'history')
    found = [_load(os.path.join(where, name)) for name in _records(where)[-limit:]]
    return [one for one in found if isinstance(one, dict)]


def expired(folder: str, keep: int) -> list[str]:
    """Paths of records and sums beyond the newest KEEP of each host. KEEP 0: none."""
    found = []
    if keep > 0:
        top = os.path.join(folder, 'hosts')
        places = [os.path.join(top, host) for host in sorted(os.listdir(top))] if os.path.isdir(top) else []
        for place in places:
            found += [os.path.join(place, name) for name in _records(place)[:-keep]]
        place = os.path.join(folder, 'history')
        found += [os.path.join(place, name) for name in _records(place)[:-max(keep, 30)]]
    return found
