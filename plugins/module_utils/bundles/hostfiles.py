"""Beside the bundles of one host: compose.yaml of the whole host, and compose-PROJECT.yaml for each compose project.

Made from the bundles that lie there, whichever run wrote them, so that a rescue of a few containers does not take the
others out of it. Env files and profiles stay in the bundles; the files refer to them by relative paths.
"""
import os
import re
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Tuple

from ..archive.sink import FileSink
from ..disk.errors import LifeboatError
from ..formats.values import as_str
from ..recreate import compose
from . import reading, source as sources

if TYPE_CHECKING:
    from ..records.definition import Definition

WHOLE = b'compose.yaml'
FILE = re.compile(br'compose-[A-Za-z0-9_.-]+\.yaml\Z')
MOST = 2000                             # containers in one file
LARGEST = 16 << 20                      # bytes of a file that is there already
UNSAFE = re.compile(r'[^A-Za-z0-9_.-]')


def refresh(folder: bytes) -> List[bytes]:
    """Write what is missing or differs in FOLDER (bytes), remove files of projects that are no longer there -> [name (bytes)]
    of what was changed. Raises LifeboatError, OSError."""
    wanted = files(folder)
    changed = []
    for name, content in sorted(wanted.items()):
        if _read(os.path.join(folder, name)) == content:
            continue
        sink = FileSink(folder, name)
        try:
            sink.write(content)
            sink.commit()
        except BaseException:
            sink.abort()
            raise
        changed.append(name)
    for name in os.listdir(folder):
        if FILE.match(name) and name not in wanted and not os.path.isdir(os.path.join(folder, name)):
            os.unlink(os.path.join(folder, name))
            changed.append(name)
    return changed


def files(folder: bytes) -> Dict[bytes, bytes]:
    """{name: content}, both bytes; {} where no bundle holds a container."""
    placed = [item for item in _definitions(folder) if item is not None]
    if not placed:
        return {}
    found, folders = [definition for definition, dummy in placed], [where for dummy, where in placed]
    host = os.path.basename(folder).decode('utf-8', 'replace')
    made = {WHOLE: compose.whole_host(found, host, folders)}
    for project, text in compose.projects(found, folders).items():
        made[os.fsencode('compose-%s.yaml' % UNSAFE.sub('-', project)[:100])] = text
    return dict((name, text.encode('utf-8', 'surrogateescape')) for name, text in made.items())


def _definitions(folder: bytes) -> 'Iterator[Tuple[Definition, str]]':
    """(definition, folder of its files) of each container that has a bundle here, in the order of their names."""
    names = [name for name in sorted(os.listdir(folder)) if not name.startswith(b'.') and b'.until-' not in name]
    for name in names[:MOST]:
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isfile(os.path.join(path, reading.MANIFEST)):
            continue
        info = reading.inspect_bundle(path, False)
        if info.status == reading.UNVERIFIED and info.manifest.get('kind') == 'container':
            found = _definition(info, os.fsdecode(name))
            if found is not None:
                yield found


def _definition(info: reading.BundleInfo, name: str) -> 'Optional[Tuple[Definition, str]]':
    source = sources.of_info(info)
    reference = as_str(sources.json_object(info, b'config/create.json').get('Image'))
    if not reference:
        return None                     # rescued without config
    try:
        return sources.define(source, reference, source.defaults, source.name,
                              sources.volume_names(source, {}, source.name)), './%s/config' % name
    except LifeboatError:
        return None


def _read(path: bytes) -> Optional[bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, 'rb') as found:
        return found.read(LARGEST)
