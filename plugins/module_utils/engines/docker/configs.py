"""The folder containers/ of a data root: which containers there are, and their config.v2.json as it lies there."""
import os
import re
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from ...disk import metadata
from ...formats import wording

if TYPE_CHECKING:
    from ...disk.host import HostRoot
    from ...disk.safeio import Dir

CONTAINER_FOLDER = re.compile(rb'[0-9a-f]{64}\Z')
ASKED_FOR_PATH = 50                     # containers that are asked for the path of their data root


class Configs(object):
    """HOST is the disk.host.HostRoot, ROOT the open data root, RECORDED its path (bytes) where a configuration told it."""

    def __init__(self, host: 'HostRoot', root: 'Dir', recorded: Optional[bytes]) -> None:
        self._host = host
        self._root = root
        self._recorded = recorded
        self._path = None               # type: Optional[bytes]
        self._folder = None             # type: Any
        self._places = None             # type: Optional[Tuple[bytes, ...]]
        self._known = {}                # type: Dict[str, Any]
        self._kept = {}                 # type: Dict[str, Dict[str, Any]]

    def folder(self, ident: str) -> Any:
        """The open folder of a container. Raises OSError."""
        if self._folder is None:
            self._folder = self._root.descend(b'containers')
        return self._folder.child(ident.encode('ascii'))

    def ids(self) -> List[str]:
        """Ids with a folder below containers/."""
        try:
            if self._folder is None:
                self._folder = self._root.descend(b'containers')
            names = self._folder.names()
        except OSError:
            return []
        return [name.decode('ascii') for name in names if CONTAINER_FOLDER.match(name)]

    def keep(self, ident: str, config: Dict[str, Any], whole: bool) -> None:
        """Keep what was read of a container, so that it is not read again. WHOLE: it is config.v2.json itself, and not what was found
        in its place."""
        self._kept[ident] = config
        if whole:
            self._known[ident] = config

    def kept(self, ident: str) -> Dict[str, Any]:
        """The config of a container that was read, or what was found in its place; {} for one that was not."""
        return self._kept.get(ident, {})

    def read(self, ident: str) -> Dict[str, Any]:
        """config.v2.json of a container as a dict, {} if it can't be parsed."""
        if ident in self._known:
            return self._known[ident]
        try:
            folder = self.folder(ident)
        except OSError:
            return {}
        value = metadata.read_record(folder, b'config.v2.json').value
        folder.close()
        return value or {}

    def names(self) -> Dict[str, Optional[str]]:
        """{id: name or None}: one read a container, for matching patterns."""
        return {ident: self.name(ident) for ident in self.ids()}

    def name(self, ident: str) -> Optional[str]:
        """The name of a container, without the slash; None where it is lost."""
        return metadata.text_of(self.read(ident), 'Name').lstrip('/') or None

    def recorded_path(self) -> bytes:
        """The data root's path as the dead daemon knew it, from the paths that its containers recorded; b'' if unknown."""
        if self._path is None:
            self._path = self._recorded or b''
            for ident in self.ids()[:ASKED_FOR_PATH]:
                config = self.read(ident)
                tail = '/containers/%s/' % ident
                path = metadata.text_of(config, 'HostnamePath') or metadata.text_of(config, 'LogPath')
                if tail in path:
                    self._path = wording.raw(path[:path.index(tail)])
                    break
        return self._path

    def writable_places(self) -> Tuple[bytes, ...]:
        """Folders, as the dead host saw them, in which containers could make links: their volumes and writable binds."""
        if self._places is None:
            found = {self._host.to_host(os.path.join(self._root.path(), b'volumes'))}
            for ident in self.ids():
                for point in metadata.dict_of(self.read(ident), 'MountPoints').values():
                    source = wording.raw(metadata.text_of(point, 'Source'))
                    if metadata.text_of(point, 'Type') == 'bind' and source not in (b'', b'/') and \
                            metadata.get(point, 'RW') is not False:
                        found.add(os.path.normpath(source))
            self._places = tuple(sorted(found))
        return self._places

    def volumes_of(self, ident: str) -> List[str]:
        """Names of the volumes that a container mounts, as recorded."""
        return [metadata.text_of(point, 'Name') for point in metadata.dict_of(self.read(ident), 'MountPoints').values()
                if metadata.text_of(point, 'Type') in ('', 'volume')]
