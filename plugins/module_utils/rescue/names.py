"""No two bundles of a run, and no two files of a bundle, whose names a file system may take for one.

On exFAT, FAT, many shares and most disks of a Mac `Data` and `data` are one name; the later file would replace the earlier one. A name of more than
255 bytes is none at all. Whichever would clash, or is too long, gets a digest of what it stands for: the same in each run over the same objects.
"""
import hashlib
from typing import Any, Iterable, List, Tuple

from ..bundles import plan, writing as bundle
from ..disk.errors import LifeboatError

MAX_NAME = 200                          # of 255, less what stores and archives put around it


def identity(job: bundle.Job) -> Tuple[str, Any, Any]:
    """What a job is about: (kind, data root, id or name)."""
    return job.kind, job.source.get('data_root'), job.subject.get('id') or job.subject.get('name')


def distinct(jobs: Iterable[bundle.Job]) -> List[bundle.Job]:
    """JOBS with names of bundles, and of files in them, that no file system mixes up. LifeboatError for one container in two data roots."""
    taken, found = set(), []
    for job in jobs:
        name = job.name
        if name.lower() in taken:
            if job.kind == 'container':
                raise LifeboatError('Two objects would be written to one bundle %s. Name one data root with data_roots.' % name)
            about = identity(job)
            name = '%s-%s' % (name, _digest(repr(about[::2])))
            if name.lower() in taken:   # the same in two data roots
                name = '%s-%s' % (job.name, _digest(repr(about)))
        taken.add(name.lower())
        found.append(job._replace(name=name, items=_items(job.items)))
    return found


def _items(items: Iterable[plan.Item]) -> Tuple[plan.Item, ...]:
    taken, found = set(), []
    for item in items:
        stem = _short(item.stem)
        if stem.lower() in taken:
            stem = '%s-%s' % (stem, _digest(item.name))
        taken.add(stem.lower())
        found.append(item if stem == item.stem else item._replace(stem=stem))
    return tuple(found)


def _short(stem: str) -> str:
    folder, slash, name = stem.rpartition('/')
    return stem if len(name) <= MAX_NAME else '%s%s%s-%s' % (folder, slash, name[:MAX_NAME - 20], _digest(name))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:12]
