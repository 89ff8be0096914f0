"""The one door between bundles and repositories: what a bundle says of itself becomes tags, and tags of a repository become values.

Names of containers and hosts are text of somebody else, and so is what a repository lists. A tag has letters, digits and ``_.-@:+%``
only: all else is ``%XX``. So no value can be a second tag, an option, a pattern, a placeholder of borg or a path.
"""
from __future__ import annotations

import datetime
import fnmatch
import hashlib
import os
import re
import urllib.parse
from typing import Any, Iterable, Mapping, NamedTuple

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading, target
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import as_dict, as_str
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

MARK = 'lifeboat'                       # on every bundle of ours: a repository may hold other things, which are left alone
LONGEST = 160                           # characters of a value
VALUE = re.compile(r'(?:[A-Za-z0-9_.@:+-]|%[0-9A-F]{2}|~[0-9a-f]{16}\Z){1,180}\Z')
DIGEST = re.compile(r'[0-9a-f]{64}\Z')
GROUP = re.compile(r'[0-9a-f]{16}\Z')
TIME = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z\Z', re.ASCII)
UNKNOWN = 'unknown'


class Tags(NamedTuple):
    """What is known of a bundle in a repository. All values are plain text, not encoded; `id` may be empty."""
    bundle: str                         # SHA-256 of its SHA256SUMS: the same for no two bundles
    host: str                           # the folder of the host below dest
    kind: str                           # container | volume | orphan | image
    name: str
    id: str                             # of a container, its first 12 digits
    status: str                         # complete | partial | lost | unsupported
    time: str                           # when the bundle was written; RFC 3339, or 'unknown'
    folder: str                         # the name of the bundle's own folder
    group: str                          # 16 hexadecimal digits: those that retention counts together

    def words(self) -> list[str]:
        """The tags as the repository gets them, MARK first."""
        return [MARK] + ['%s=%s' % (key, encoded(value)) for key, value in self._asdict().items() if value]

    def label(self) -> str:
        """For people, in names of archives: host and name, of letters, digits and ``_.-``."""
        return '-'.join(os.fsdecode(target.folder_name(part))[:60] for part in (self.host, self.name))

    def shown(self) -> dict[str, str]:
        return dict(self._asdict())


def encoded(value: str) -> str:
    """VALUE as a tag may have it. What is too long is cut, and gets a digest so that no two values become one."""
    found = urllib.parse.quote(value, safe='@:+', errors='surrogateescape').replace('~', '%7E')
    if len(found) <= LONGEST:
        return found
    digest = hashlib.sha256(value.encode('utf-8', 'surrogateescape')).hexdigest()[:16]
    return re.sub(r'%[0-9A-F]?\Z', '', found[:LONGEST]) + '~' + digest


def decoded(value: str) -> str:
    """The reverse, without the digest's meaning: a value that was cut stays cut."""
    return urllib.parse.unquote(value, errors='backslashreplace')


def of_bundle(info: reading.BundleInfo, sums: bytes) -> Tags:
    """Tags of a verified bundle; SUMS: the bytes of its SHA256SUMS. The manifest says nothing of the host: its folder does."""
    manifest = as_dict(info.manifest)
    kind = as_str(manifest.get('kind'))
    subject = as_dict(manifest.get(kind))
    folder = os.path.basename(info.path)
    host = os.fsdecode(os.path.basename(os.path.dirname(info.path)) or b'host')
    name = as_str(subject.get('name')) or as_str(subject.get('id')) or os.fsdecode(folder)
    ident = as_str(subject.get('id'))[:12] if kind == 'container' else ''
    status, time = as_str(manifest.get('status')), as_str(manifest.get('created'))
    return Tags(hashlib.sha256(sums).hexdigest(), host, kind, name, ident, status if status in model.STATUSES else model.LOST,
                time if TIME.match(time) else UNKNOWN, os.fsdecode(folder), _group(manifest, host, kind, name, ident))


def _group(manifest: dict[str, Any], host: str, kind: str, name: str, ident: str) -> str:
    """Bundles of one thing at different times. Two engines, two data roots, and two containers of one pod may use one name at one
    time: they are different things."""
    parts = [host, kind, name, as_str(manifest.get('engine')), as_str(as_dict(manifest.get('source')).get('data_root'))]
    if isinstance(manifest.get('pod'), dict):
        parts.append(ident)
    return hashlib.sha256('\0'.join(parts).encode('utf-8', 'surrogateescape')).hexdigest()[:16]


def read(words: Any) -> Tags | None:
    """Tags from what a repository lists (a list of text); None for what no bundle of ours can have."""
    if not isinstance(words, list) or MARK not in words:
        return None
    values: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition('=') if isinstance(word, str) else ('', '', '')
        if sign and key in Tags._fields and (key in values or not VALUE.match(value)):
            return None
        if sign and key in Tags._fields:
            values[key] = decoded(value)
    values.setdefault('id', '')
    if set(values) != set(Tags._fields) or not DIGEST.match(values['bundle']) or not GROUP.match(values['group']):
        return None
    if values['kind'] not in reading.KINDS or values['status'] not in model.STATUSES:
        return None
    if values['time'] != UNKNOWN and not TIME.match(values['time']):
        return None
    return Tags(**values)


class Wanted(NamedTuple):
    """Which bundles are meant: shell patterns for each tag, and the latest time."""
    patterns: dict[str, str]
    until: str | None

    def matches(self, tags: Tags) -> bool:
        found = tags._asdict()
        return (all(fnmatch.fnmatchcase(found[key], pattern) for key, pattern in self.patterns.items())
                and (self.until is None or tags.time != UNKNOWN and tags.time <= self.until))


def wanted(given: Mapping[str, Any]) -> Wanted:
    """The option `tags`: names of tags with a value or shell pattern; `container: web` is `kind: container` and `name: web`; `time` is
    the latest one. LifeboatError."""
    patterns: dict[str, str] = {}
    until = None
    for key, value in given.items():
        if isinstance(value, datetime.datetime):
            value = value.strftime('%Y-%m-%dT%H:%M:%SZ')
        if not isinstance(value, (str, int)) or isinstance(value, bool) or not str(value):
            raise LifeboatError('tags: the value of %s must be text.' % key)
        value = str(value)
        if key == 'time':
            if not re.match(r'\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?\Z', value, re.ASCII):
                raise LifeboatError('tags: time must be like 2026-01-31 or 2026-01-31T18:00:00Z, in UTC.')
            until = value if 'T' in value else value + 'T23:59:59.999Z'
        elif key in reading.KINDS:
            patterns.update(kind=key, name=value)
        elif key in Tags._fields and key != 'group':
            patterns[key] = value
        else:
            raise LifeboatError('tags has no "%s"; it has: %s, time.' % (
                key, ', '.join([name for name in Tags._fields if name not in ('group', 'time')] + list(reading.KINDS))))
    return Wanted(patterns, until)


def newest(found: Iterable[tuple[str, Any]]) -> list[Any]:
    """Of (group, item) pairs, oldest first, the last item of each group, in the order of the groups' first."""
    last: dict[str, Any] = {}
    for group, item in found:
        last[group] = item
    return list(last.values())
