"""Records on the controller: FOLDER/HOST/20260102T030405Z.json, one for each run of a host; the newest counts.

Both reports are made of such records, so slices of a job, or several jobs, may share a folder. What a worker needs to leave one
is here and nothing else: Ansible compiles a collection's controller code anew in each worker.
"""
from __future__ import annotations

import datetime
import json
import os
import re
import urllib.parse
from typing import Any

from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show

STAMP = re.compile(r'\d{8}T\d{6}Z\.json\Z')


def utcnow() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def timestamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')


def moment_of(text: Any) -> datetime.datetime | None:
    """Of a text like 2026-01-02T03:04:05Z; less of it means midnight. None for anything else."""
    found = re.match(r'(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?', text) if isinstance(text, str) else None
    if not found:
        return None
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
        return datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.timezone.utc)
    except ValueError:
        return None


def stamp(moment: datetime.datetime) -> str:
    """The same for names of files."""
    return moment.astimezone(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')


def folder_name(host: str) -> str:
    """A host's name as a file name: anything unusual as %XX, so that no two hosts share one."""
    name = urllib.parse.quote(host, safe=' @:+,=')
    return '%2E' + name[1:] if name.startswith('.') else name or '%00'


def names(folder: str) -> list[str]:
    """Record files in FOLDER, oldest first."""
    try:
        return sorted(name for name in os.listdir(folder) if STAMP.match(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def load(path: str) -> Any:
    """The record in the file PATH; None where it cannot be read or is no JSON."""
    try:
        with open(path, encoding='utf-8') as stream:
            return json.load(stream)
    except (OSError, ValueError, RecursionError):
        return None                     # cut by a full disk, being written by another job, or somebody else's


def newest(top: str, schema: str, states: tuple[str, ...], now: datetime.datetime, max_age_hours: float) -> list[dict[str, Any]]:
    """The newest whole record of SCHEMA of each host below TOP that is recent enough, in the order of the hosts' names."""
    oldest = stamp(now - datetime.timedelta(hours=max_age_hours)) + '.json'
    found = []
    for host in sorted(os.listdir(top)) if os.path.isdir(top) else ():
        for name in reversed(names(os.path.join(top, host))):
            if name < oldest:
                break
            record = load(os.path.join(top, host, name))
            if isinstance(record, dict) and record.get('schema') == schema and record.get('state') in states:
                found.append(record)
                break
    return found


def one_line(value: Any) -> str:
    """VALUE for a sentence: nothing in it can break a line or hide (names come from a disk that may be hostile)."""
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, (dict, list)) else str(value)
    return show(text.encode('utf-8', 'backslashreplace'))


def failure(result: dict[str, Any], default: str) -> str:
    """What Ansible said, on one line and without what may be long or secret (modules' whole output)."""
    text = result.get('msg')
    if not isinstance(text, str) or not text:
        return default
    text = ' '.join(text.split())
    for prefix in ('Task failed: ', 'Module failed: '):
        text = text[len(prefix):] if text.startswith(prefix) else text
    return one_line(text)[:500]
