"""Volumes of a data root. The folders are the truth; metadata.db only adds labels and options."""
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import jsonish, wording
from ...records import model
from ...records.codes import problem
from ..shared import notmounted
from ..shared.boltfile import read_db

if TYPE_CHECKING:
    from ...disk.host import HostRoot

ANONYMOUS_LABEL = 'com.docker.volume.anonymous'
ANONYMOUS_NAME = re.compile(r'[0-9a-f]{64}\Z')
VOLUME_NAME = re.compile(rb'[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z')


def records(root: safeio.Dir) -> Tuple[Dict[str, Dict[str, Any]], str]:
    """({name: {Name, Driver, Labels, Options}}, damage) of volumes/metadata.db."""
    database, damage = read_db(root, b'volumes', b'metadata.db')
    table = {}
    if database is not None:
        bucket = database.root.bucket(b'volumes', errors=[])
        for key, value in (bucket.items(errors=[]) if bucket is not None else ()):
            try:
                record = jsonish.loads(value) if value is not None else None
            except ValueError:
                continue
            if isinstance(record, dict):
                table[key.decode('utf-8', 'replace')] = record
    return table, damage


def volumes(root: safeio.Dir, host: 'HostRoot') -> Tuple[Dict[str, model.Volume], List[model.Problem]]:
    """({name: model.Volume}, problems) of an open data root."""
    table, damage = records(root)
    problems = []
    if damage and 'missing' not in damage:
        problems.append(problem('METADATA_DB_DAMAGED', wording.text(root.path()), 'volumes/%s; volumes are listed by their '
                                'folders, labels and foreign drivers may be missing.' % damage, ''))
    found = {}
    try:
        names = root.descend(b'volumes').names()
    except OSError:
        names = []
    for raw in names:
        name = raw.decode('utf-8', 'backslashreplace')
        if VOLUME_NAME.match(raw):
            volume = _local(root, raw, name, table.get(name, {}), host)
            if volume is not None:
                found[name] = volume
    for name, record in table.items():
        driver = metadata.text_of(record, 'Driver') or 'local'
        if name not in found and driver != 'local':
            found[name] = model.Volume(
                name, None, driver, metadata.strings_of(record, 'Options'), metadata.strings_of(record, 'Labels'),
                False, (), model.LOST, root.path(), (problem(
                    'VOLUME_NOT_ON_DISK', name, 'Volume %s belongs to the plugin %s; its data are not in this data root.'
                    % (name, driver), 'Fetch it through the plugin, or look below plugins/*/propagated-mount.'),))
    return found, problems


def lost_volume(root: safeio.Dir, name: str, record: Dict[str, Any], used_by: List[str]) -> model.Volume:
    path = os.path.join(root.path(), b'volumes', wording.raw(name))
    return model.Volume(name, None, metadata.text_of(record, 'Driver') or 'local', metadata.strings_of(record, 'Options'),
                        metadata.strings_of(record, 'Labels'), bool(ANONYMOUS_NAME.match(name)), tuple(used_by),
                        model.LOST, root.path(), (problem(
                            'VOLUME_LOST', name, 'Volume %s is used by a container, but %s does not exist.' % (
                                name, wording.text(path)), 'Look for it in other data roots and backups.'),))


def _local(root: safeio.Dir, raw: bytes, name: str, record: Dict[str, Any], host: 'HostRoot') -> Optional[model.Volume]:
    try:
        folder = root.descend(b'volumes').child(raw)
        names = folder.names()
    except OSError:
        return None
    if b'_data' not in names and b'opts.json' not in names:
        return None
    labels = metadata.strings_of(record, 'Labels')
    options = metadata.strings_of(record, 'Options')
    anonymous = ANONYMOUS_LABEL in labels or bool(ANONYMOUS_NAME.match(name))
    problems = []
    opts = metadata.Found({}, '', '')
    if b'opts.json' in names:
        opts = metadata.read_record(folder, b'opts.json', names)
        if opts.value is None and not opts.damage.startswith('not the kind'):     # some versions wrote null
            problems.append(problem('VOLUME_OPTIONS_DAMAGED', name, 'opts.json of volume %s: %s.' % (name, opts.damage),
                                    'If it had driver options, set them by hand when you restore it.'))
    for key, option in (('MountType', 'type'), ('MountOpts', 'o'), ('MountDevice', 'device')):
        value = metadata.text_of(opts.value, key)
        if value and option not in options:
            options[option] = value
    path, status, notes = _data(folder, name, options, host)
    folder.close()
    return model.Volume(name, path, 'local', options, labels, anonymous, (), status, root.path(),
                        tuple(problems) + notes)


def _data(folder: safeio.Dir, name: str, options: Dict[str, str], host: 'HostRoot') -> Tuple[Optional[bytes], str, Tuple[model.Problem, ...]]:
    """(path, status, problems) of a local volume's content."""
    path = os.path.join(folder.path(), b'_data')
    try:
        st = folder.stat(b'_data')
    except OSError as exc:
        return None, model.LOST, (problem('VOLUME_LOST', name, 'The data folder of volume %s: %s.' % (
            name, metadata.describe(exc)), 'Look for it in other data roots and backups.'),)
    if stat.S_ISLNK(st.st_mode):
        return path, model.PARTIAL, (problem(
            'VOLUME_IS_LINK', name, 'The data folder of volume %s is a symbolic link to %s; only the link is kept.' % (
                name, wording.text(folder.readlink(b'_data'))), 'Archive its target by hand if you trust it.'),)
    if not stat.S_ISDIR(st.st_mode):
        return None, model.LOST, (problem('VOLUME_LOST', name, 'The data folder of volume %s is not a folder.' % name, ''),)
    device, kind = options.get('device', ''), options.get('type', '')
    if not device and kind not in ('tmpfs', 'nfs', 'cifs'):
        return (path,) + _judged(host, path, name)
    if st.st_dev != os.fstat(folder.fd).st_dev:
        return path, model.COMPLETE, ()  # still mounted
    if 'bind' in options.get('o', '').split(',') or kind == 'none':
        return _bound(name, device, host)
    if kind == 'tmpfs':
        return None, model.LOST, (problem('TMPFS_LOST', name, 'Volume %s was a tmpfs: its data were in memory only.' % name, ''),)
    where = 'server %s' % device if kind in ('nfs', 'nfs4', 'cifs') else '%s %s' % (kind or 'device', device)
    return None, model.LOST, (problem(
        'VOLUME_NOT_ON_DISK', name, 'The data of volume %s lie elsewhere: %s.' % (name, where.strip()),
        'Mount %s read-only and archive it from there.' % (device or 'it')),)


def _judged(host: 'HostRoot', path: bytes, name: str) -> Tuple[str, Tuple[model.Problem, ...]]:
    """(status, problems) of a folder that is there: it is empty where its own disk is not mounted."""
    try:
        seen = host.to_host(path)
    except ValueError:                  # a data root that was given, on another disk than the host's
        return model.COMPLETE, ()
    status, note = notmounted.judged(host, seen, model.COMPLETE, 'volume %s' % name)
    return status, (note,) if note is not None else ()


def _bound(name: str, device: str, host: 'HostRoot') -> Tuple[Optional[bytes], str, Tuple[model.Problem, ...]]:
    """A local volume that is a bind of a host path (type none, o=bind)."""
    try:
        path = host.resolve(wording.raw(device))
        if safeio.is_folder(path):
            return (path,) + _judged(host, path, name)
        why = 'not a folder'
    except OSError as exc:
        why = metadata.describe(exc)
    return None, model.LOST, (problem(
        'VOLUME_LOST', name, 'Volume %s is the host folder %s: %s.' % (name, device, why),
        'Mount the disk that holds it below the host root and run again.'),)
