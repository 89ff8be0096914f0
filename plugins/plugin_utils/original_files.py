"""What of a bundle `deployment` a restore puts back: the files of its compose projects, and how Compose is called.

deployment.json comes from a dead host: every value is checked here, and nothing of it is a path, an option or a word of a command unchecked.
"""
from __future__ import annotations

import posixpath
import re
from typing import Any

from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import as_dict, as_list, as_str, strings
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.wording import show
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate.asks import SYSTEM, WHOLE
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import frames

PROJECT = re.compile(r'[a-z0-9][a-z0-9_-]{0,254}\Z')
PATH = re.compile(r'(?:/[^/\x00-\x1f\x7f]{1,255}){1,60}\Z')
DIGEST = re.compile(r'[0-9a-f]{64}\Z')
ROLES = ('compose file', 'env file', 'Dockerfile', 'secret', 'config')
# of files that others than their owner may not read, whatever they were
CONFIDENTIAL = '0600'
MOST = 2000
MOST_NAMED = 500
NAMED = 5                               # in a sentence


class Unfit(ValueError):
    """Why the files of a project are not put back: a sentence."""


def projects(document: Any, wanted: list[str]) -> dict[str, Any]:
    """`projects`: of each one its `name`, `folder`, `files` (`src` in the bundle, `path` on the host, `mode`, `sha256`) and `argv` (what follows
    `docker compose`); `refused`: sentences on those that are not put back; `unknown`: names of WANTED that the document does not have; `notes`:
    sentences on what Compose does not bring back.
    WANTED: names of projects; all that have containers, if there are none."""
    found: list[dict[str, Any]] = []
    refused: list[str] = []
    seen: set[str] = set()
    files = [item for item in map(as_dict, as_list(as_dict(document).get('files'))[:MOST * 5]) if item]
    for entry in map(as_dict, as_list(as_dict(document).get('deployments'))[:MOST]):
        name = as_str(entry.get('project'))
        if not strings(entry.get('compose')) or (name not in wanted if wanted else not as_list(entry.get('containers'))):
            continue
        seen.add(name)
        try:
            if any(other['name'] == name for other in found):
                raise Unfit('there are two sets of files of this name')
            found.append(_project(entry, name, files))
        except Unfit as exc:
            refused.append(f'The files of the project {show(name)[:80]} are not put back: {exc}.')
    return {'projects': found, 'refused': refused, 'unknown': [show(name) for name in wanted if name not in seen],
            'notes': _notes(document, {one['name'] for one in found})}


def _notes(document: Any, names: set[str]) -> list[str]:
    """Sentences on what Compose does not connect: it gives a new container new anonymous volumes, which are empty."""
    places = [f'{show(container.get("name"))[:80]} at {show(mount.get("target"))[:200]}'
              for container in map(as_dict, as_list(as_dict(document).get('containers'))[:MOST]) if as_str(container.get('project')) in names
              for mount in map(as_dict, as_list(container.get('mounts'))[:MOST]) if mount.get('type') == 'volume' and not mount.get('source')]
    if not places:
        return []
    more = f' and {len(places) - NAMED} more' if len(places) > NAMED else ''
    return [f'Anonymous volumes come back under names of their own, and Compose gives its containers new, empty ones: {", ".join(places[:NAMED])}{more}. '
            'If their data matter, name these volumes in the compose file.']


def _project(entry: dict[str, Any], name: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    """One project. Raises Unfit."""
    if not PROJECT.match(name):
        raise Unfit('Compose has no project of that name')
    named, named_env = strings(entry.get('compose')), strings(entry.get('env_files'))
    if len(named) > MOST_NAMED or len(named_env) > MOST_NAMED:
        raise Unfit(f'it has more than {MOST_NAMED} compose files or env files')
    compose = [_path(path) for path in named]
    folder = _path(as_str(entry.get('folder')) or posixpath.dirname(compose[0]))
    if folder in WHOLE:
        raise Unfit(f'{show(folder)} is no folder of a project')
    own = _own(entry, files)
    placed = [_file(item) for item in own]
    there = {item['path'] for item in placed}
    # without one of its env files Compose would take empty values, and say so only in passing
    missing = [path for path in compose + named_env if path not in there]
    if missing:
        raise Unfit(f'{show(missing[0])} is not in the bundle')
    argv = ['--project-name', name, '--project-directory', folder]
    argv += [word for path in compose for word in ('--file', path)]
    env = list(named_env)
    made = as_str(entry.get('variables'))
    if made:
        digest = next((_digest(item) for item in files if item.get('file') == made), '')
        placed.append({'src': _stored(made), 'path': posixpath.join(folder, 'lifeboat.env'), 'mode': CONFIDENTIAL, 'sha256': digest})
        dotenv = posixpath.join(folder, '.env')
        env = env or ([dotenv] if dotenv in there else [])
        env.append(placed[-1]['path'])
    argv += [word for path in env for word in ('--env-file', path)]
    return {'name': name, 'folder': folder, 'files': placed, 'argv': argv}


def _own(entry: dict[str, Any], files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The files of a project: those that it names, and what they name themselves."""
    by = {f'{as_str(entry.get("kind"))} {as_str(entry.get("name"))}', *strings(entry.get('compose'))}
    own: list[dict[str, Any]] = []
    left = [item for item in files if as_str(item.get('role')) in ROLES and as_str(item.get('path'))]
    while True:
        more = [item for item in left if as_str(item.get('path')) in by or by.intersection(strings(item.get('named_by')))]
        if not more:
            return own
        own += more
        left = [item for item in left if item not in more]
        by.update(as_str(item.get('path')) for item in more if item.get('role') == 'compose file')


def _file(item: dict[str, Any]) -> dict[str, str]:
    """Where a file comes from and goes to."""
    if item.get('path_b64'):
        raise Unfit(f'{show(item.get("path"))} is no name in UTF-8')
    mode = as_str(item.get('mode'))
    plain = bool(re.match(r'0[0-7]{3}\Z', mode)) and not item.get('confidential')
    return {'src': _stored(as_str(item.get('file'))), 'path': _path(as_str(item.get('path'))), 'mode': mode if plain else CONFIDENTIAL,
            'sha256': _digest(item)}


def _digest(item: dict[str, Any]) -> str:
    found = as_str(item.get('sha256'))
    if not DIGEST.match(found):
        raise Unfit(f'{show(item.get("path"))} has no checksum')
    return found


def _stored(name: str) -> str:
    if not frames.plain_name(name) or not name.startswith(('files/', 'made/')):
        raise Unfit(f'{show(name)[:80]} is no file of such a bundle')
    return name


def _path(path: str) -> str:
    """An absolute path outside of the folders of the operating system. Raises Unfit."""
    shown = show(path)[:200]
    if not PATH.match(path) or posixpath.normpath(path) != path:
        raise Unfit(f'{shown} is no plain path')
    if any(path == folder or path.startswith(folder + '/') for folder in SYSTEM if folder != '/root'):
        raise Unfit(f'{shown} belongs to the system or to an engine; put it back by hand')
    if path.startswith('/root/.') or '/.ssh/' in path:
        raise Unfit(f'{shown} is no file of a project; put it back by hand')
    return path
