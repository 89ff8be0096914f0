"""Secrets of the engine in bundles: one component, each value a file of its own that nobody but its owner may read. What people are shown
names them: no value, no length and no checksum of one is in any result."""
import functools
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set, Tuple

from ..archive import trees
from ..bundles import plan
from ..disk import metadata
from ..formats import wording
from ..records import model
from ..records.codes import problem
from ..recreate.shell import typed

if TYPE_CHECKING:
    from ..bundles.parts import Parts
    from ..engines.api import Root
    from ..engines.registry import Host

WORD = 'secrets'                        # of include; also the kind of the component and its folder
INDEX = 'secrets.json'
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\Z')
UNSAFE = re.compile(r'[^A-Za-z0-9_.-]')
NAMED = 10                              # in a message


def made(root: 'Root', container: model.Container) -> Tuple[plan.Made, ...]:
    """The component of a container; () for one that was given no secret."""
    found = root.secrets(container)
    if not found:
        return ()
    about = json.dumps([[item.name, item.target, item.is_variable, item.changed, item.why, item.driver, item.options, item.labels] for item in found],
                       sort_keys=True)
    place = next((item.path for item in found if item.path is not None), os.path.join(root.path, b'-'))
    shown = container.name or container.id[:12]
    return (plan.Made(WORD, WORD, trees.FolderTree(place), place, about, 0, functools.partial(_write, found, shown), functools.partial(_forecast, found)),)


def left_out(root: 'Root', container: model.Container) -> List[model.Problem]:
    """That a container has secrets whose values nobody asked for."""
    names = sorted({item.name for item in root.secrets(container)})
    if not names:
        return []
    return [problem('SECRETS_LEFT_OUT', container.name or container.id, 'The values of %s of %s are not in its bundle: %s.' % (
        wording.number(len(names), 'secret'), container.name or container.id[:12], _listed(names)), 'Add secrets to include to have them as files.')]


def of_nobody(host: 'Host') -> List[model.Problem]:
    """What is to be said of secrets that no container has."""
    found = []
    for root in host.roots:
        names = set(root.secret_names())
        if names:
            for ident in root.container_ids():
                names.difference_update(item.name for item in root.secrets(root.container(ident)))
        if names:
            found.append(problem('SECRETS_LEFT_OUT', wording.text(root.path), '%s has %s of no container, in no bundle: %s.' % (
                wording.text(root.path), wording.number(len(names), 'secret'), _listed(sorted(names))),
                'Copy the folder secrets of it by hand if you need them.'))
    return found


def _listed(names: List[str]) -> str:
    return ', '.join(map(wording.show, names[:NAMED])) + (' and %d more' % (len(names) - NAMED) if len(names) > NAMED else '')


def file_names(found: List[model.Secret]) -> Dict[str, str]:
    """{name of a secret: name of its file}. This is the one place where the one becomes the other."""
    names: Dict[str, str] = {}
    taken: Set[str] = {INDEX}
    for item in found:
        if item.name in names:
            continue
        name = item.name if NAME.match(item.name) else '%s-%s' % (UNSAFE.sub('-', item.name)[:40].lstrip('.-') or 'secret', hashlib.sha256(
            item.name.encode('utf-8', 'surrogateescape')).hexdigest()[:12])
        free, number = name, 2
        while free.lower() in taken:    # file systems may not know capitals from small letters
            free, number = '%s-%d' % (name, number), number + 1
        taken.add(free.lower())
        names[item.name] = free
    return names


def _write(found: List[model.Secret], shown: str, files: 'Parts') -> Tuple[Dict[str, Any], List[model.Problem]]:
    """See plan.Made.write."""
    names, problems = file_names(found), []
    written: Dict[str, str] = {}        # name: why its value is not there, '' if it is
    for item in found:
        if item.name in written:
            continue
        why = item.why
        value: Optional[bytes] = None
        try:
            value = item.read() if not why else None
        except OSError as exc:
            why = metadata.describe(exc)
        if value is not None:
            with files.sink(names[item.name]) as out:
                out.write(value)
        else:
            problems.append(problem('SECRET_LOST', shown, 'The value of the secret %s of %s was not rescued: %s.' % (wording.show(item.name), shown, why),
                                    'Make it anew from where it came from.'))
        written[item.name] = why
    index = json.dumps([{'name': item.name, 'file': '' if written[item.name] else names[item.name], 'target': item.target, 'variable': item.is_variable,
                         'changed': item.changed, 'missing': written[item.name], 'driver': item.driver, 'driver_options': item.options,
                         'labels': item.labels} for item in found], indent=1, sort_keys=True).encode('ascii') + b'\n'
    with files.sink(INDEX) as out:
        out.write(index)
    record = _record(found, {name for name, why in written.items() if why})
    return dict(record, file='%s/%s' % (WORD, INDEX), bytes=len(index), sha256=hashlib.sha256(index).hexdigest(), load='\n    '.join(
        'podman secret create -- %s %s' % (typed(name), typed('%s/%s' % (WORD, names[name]))) for name in sorted(names) if not written[name])), problems


def _forecast(found: List[model.Secret]) -> Tuple[Dict[str, Any], List[model.Problem]]:
    return _record(found, {item.name for item in found if item.why}), []


def _record(found: List[model.Secret], lost: Set[str]) -> Dict[str, Any]:
    names = sorted({item.name for item in found})
    status = model.COMPLETE if not lost else model.LOST if len(lost) == len(names) else model.PARTIAL
    return {'file': '', 'bytes': 0, 'sha256': None, 'entries': len(names), 'files': len(names) - len(lost), 'source_bytes': 0, 'status': status,
            'names': [wording.show(name) for name in names]}
