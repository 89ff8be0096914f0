"""Volumes of nerdctl: folders, and a file of labels beside each (nerdctl pkg/mountutil/volumestore)."""
import os
import stat
from typing import Any, Dict, List, Tuple

from ...disk import metadata, safeio
from ...formats import wording
from ...records import model
from ...records.codes import problem
from ..shared.unread import Unread
from .stores import DEFAULT, NAME, Folder, named


def volume_name(namespace: str, name: str) -> str:
    """What a volume is called here: of another namespace than the usual one, that comes before it."""
    return name if namespace == DEFAULT else '%s_%s' % (namespace, name)


def all_of(folders: List[Folder], path: bytes, idmap: Any, anonymous: Any, unread: Unread) -> Dict[str, model.Volume]:
    """{name: model.Volume} of nerdctl's FOLDERS. PATH: the containerd root; ANONYMOUS: names that nobody gave;
    UNREAD is told of folders that cannot be read."""
    found: Dict[str, model.Volume] = {}
    for folder in folders:
        for namespace, raw in named(folder, b'volumes', unread):
            if NAME.match(raw):
                name = volume_name(namespace, raw.decode('ascii'))
                found[name] = _volume(name, os.path.join(folder.path, b'volumes', namespace.encode('ascii'), raw), path, idmap, name in anonymous)
    return found


def _volume(name: str, place: bytes, root: bytes, idmap: Any, anonymous: bool) -> model.Volume:
    labels: Dict[str, str] = {}
    data, status, notes = _data(name, place)
    try:
        with safeio.Dir.root(place) as folder:
            labels = metadata.strings_of(metadata.read_json(folder, b'volume.json').value, 'labels')
    except OSError:
        pass
    return model.Volume(name, data, 'local', {}, labels, anonymous, (), status, root, notes, idmap)


def _data(name: str, place: bytes) -> Tuple[Any, str, Tuple[model.Problem, ...]]:
    """(path or None, status, problems) of a volume's content."""
    try:
        with safeio.Dir.root(place) as folder:
            st = folder.stat(b'_data')
            if stat.S_ISLNK(st.st_mode):
                return os.path.join(place, b'_data'), model.PARTIAL, (problem(
                    'VOLUME_IS_LINK', name, 'The data folder of volume %s is a symbolic link to %s; only the link is kept.' % (
                        name, wording.text(folder.readlink(b'_data'))), 'Archive its target by hand if you trust it.'),)
            if stat.S_ISDIR(st.st_mode):
                return os.path.join(place, b'_data'), model.COMPLETE, ()
    except FileNotFoundError:
        pass
    except OSError as exc:
        return None, model.LOST, (problem('VOLUME_LOST', name, 'The data folder of volume %s cannot be read: %s.' % (name, metadata.describe(exc)),
                                          'Run as root (become: true); if the disk is damaged, image it first.'),)
    return None, model.LOST, (problem('VOLUME_LOST', name, 'The data folder of volume %s does not exist.' % name,
                                      'Look for it in backups and on other disks of this host.'),)


def lost(name: str, users: List[str], root: bytes) -> model.Volume:
    """The record of a volume that containers name and that is not there."""
    return model.Volume(name, None, 'local', {}, {}, False, tuple(users), model.LOST, root, (problem(
        'VOLUME_LOST', name, 'Volume %s is used by a container, but its folder does not exist.' % name,
        'Look for it in backups and on other disks of this host.'),))
