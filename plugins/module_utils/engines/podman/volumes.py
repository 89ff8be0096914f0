"""Volumes of Podman: the folders are the truth, the database adds labels, options and drivers (podman libpod/volume.go)."""
import os
import stat
from typing import Any, Dict, List, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import wording
from ...records import model
from ...records.codes import problem
from ..shared import notmounted
from ..shared.storage import names

ELSEWHERE = ('nfs', 'nfs4', 'cifs', 'smb3')
DRIVERS = ('', 'local')
_Found = Tuple[Optional[bytes], str, Tuple[model.Problem, ...]]   # path, status, problems


class Volumes(object):
    """The volumes of one graph root. FOLDER: the open folder of volumes or None; RECORDS: {name: VolumeConfig}; LAYER(container id): the path
    of the writable layer of a container that backs a volume of the driver `image`."""

    def __init__(self, host: Any, path: bytes, folder: Optional[safeio.Dir], records: Dict[str, Any], idmap: Any, layer: Any) -> None:
        self._host, self._path, self._folder, self._records, self._idmap, self._layer = host, path, folder, records, idmap, layer

    def all(self) -> Dict[str, model.Volume]:
        """{name: model.Volume}, without `used_by`."""
        found: Dict[str, model.Volume] = {}
        try:
            listed = self._folder.names() if self._folder is not None else []
        except OSError:
            listed = []
        for raw in listed:
            name = raw.decode('utf-8', 'backslashreplace')
            if names.VOLUME.match(raw) and self._is_folder(raw):
                found[name] = self._volume(name, raw, self._records.get(name, {}))
        for name, record in self._records.items():
            if name not in found:
                found[name] = self._volume(name, None, record)
        return found

    def _is_folder(self, raw: bytes) -> bool:
        try:
            return self._folder is not None and stat.S_ISDIR(self._folder.stat(raw).st_mode)
        except OSError:
            return False

    def lost(self, name: str, used_by: List[str]) -> model.Volume:
        """A volume that containers name and that is not there."""
        return model.Volume(name, None, 'local', {}, {}, is_anonymous(name, {}), tuple(used_by), model.LOST, self._path, (problem(
            'VOLUME_LOST', name, 'Volume %s is used by a container, but its folder does not exist.' % name, 'Look for it in other graph roots and backups.'),))

    def _volume(self, name: str, raw: Optional[bytes], record: Dict[str, Any]) -> model.Volume:
        driver = metadata.text_of(record, 'volumeDriver')
        options = metadata.strings_of(record, 'volumeOptions')
        if driver == 'image':
            path, status, notes = self._of_image(name, record)
        elif driver not in DRIVERS:
            path, status, notes = None, model.LOST, _note('VOLUME_NOT_ON_DISK', name, 'Volume %s belongs to the plugin %s; its data are not in this graph '
                                                          'root.' % (name, driver), 'Fetch it through the plugin.')
        else:
            path, status, notes = self._data(name, raw, options)
        return model.Volume(name, path, driver or 'local', options, metadata.strings_of(record, 'labels'), is_anonymous(name, record), (), status, self._path,
                            notes, self._idmap)

    def _of_image(self, name: str, record: Dict[str, Any]) -> _Found:
        path = self._layer(metadata.text_of(record, 'storageID'))
        if path is None:
            return None, model.LOST, _note('VOLUME_LOST', name, 'The layer of volume %s (driver image) is not in this graph root.' % name, '')
        return path, model.PARTIAL, _note('VOLUME_LAYER_ONLY', name, 'Volume %s is a layer over an image: only what was written to it is kept.' % name,
                                          'Its other files are those of the image that it was made from.')

    def _data(self, name: str, raw: Optional[bytes], options: Dict[str, str]) -> _Found:
        """(path, status, problems) of a local volume's content."""
        st = None
        try:
            holder = self._folder.child(raw) if raw is not None and self._folder is not None else None
            st = holder.stat(b'_data') if holder is not None else None
        except OSError:
            holder = None
        if st is None or holder is None:
            return None, model.LOST, _note('VOLUME_LOST', name, 'The data folder of volume %s does not exist.' % name,
                                           'Look for it in other graph roots and backups.')
        path = os.path.join(holder.path(), b'_data')
        if stat.S_ISLNK(st.st_mode):
            return path, model.PARTIAL, _note('VOLUME_IS_LINK', name, 'The data folder of volume %s is a symbolic link to %s; only the link is kept.' % (
                name, wording.text(holder.readlink(b'_data'))), 'Archive its target by hand if you trust it.')
        if not stat.S_ISDIR(st.st_mode):
            return None, model.LOST, _note('VOLUME_LOST', name, 'The data folder of volume %s is not a folder.' % name, '')
        kind, device = options.get('type', ''), options.get('device', '')
        if kind in ('', 'none', 'bind') and not device or st.st_dev != os.fstat(holder.fd).st_dev:
            return self._judged(name, path)
        if kind == 'tmpfs':
            return None, model.LOST, _note('TMPFS_LOST', name, 'Volume %s was a tmpfs: its data were in memory only.' % name, '')
        if device.startswith('/') and kind not in ELSEWHERE and (kind in ('none', 'bind') or 'bind' in options.get('o', '').split(',')):
            return self._bound(name, device)
        return None, model.LOST, _note('VOLUME_NOT_ON_DISK', name, 'The data of volume %s lie elsewhere: %s %s.' % (name, kind or 'device', device),
                                       'Mount %s read-only and archive it from there.' % device)

    def _judged(self, name: str, path: bytes) -> _Found:
        """A folder that is there: it is empty where its own disk is not mounted."""
        try:
            status, note = notmounted.judged(self._host, self._host.to_host(path), model.COMPLETE, 'volume %s' % name)
        except ValueError:              # a graph root that was given, on another disk than the host's
            return path, model.COMPLETE, ()
        return path, status, (note,) if note is not None else ()

    def _bound(self, name: str, device: str) -> _Found:
        try:
            return self._judged(name, self._host.resolve(wording.raw(device)))
        except (OSError, UnicodeEncodeError) as exc:
            why = metadata.describe(exc) if isinstance(exc, OSError) else 'no path'
        return None, model.LOST, _note('VOLUME_LOST', name, 'Volume %s is the host folder %s: %s.' % (name, device, why),
                                       'Mount the disk that holds it below the host root and run again.')


def is_anonymous(name: str, record: Any) -> bool:
    """Whether nobody gave the volume its name."""
    return metadata.get(record, 'isAnon') is True or names.ID.match(name) is not None


def _note(code: str, name: str, message: str, step: str) -> Tuple[model.Problem, ...]:
    return (problem(code, name, message, step),)
