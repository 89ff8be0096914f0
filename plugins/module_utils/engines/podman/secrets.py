"""Secrets of Podman (common/pkg/secrets): `secrets/secrets.json` names them, the driver `file` keeps the values beside it, and what a
container has as a file lies in its own folder too. A value is read at the moment when somebody asks for it, and kept nowhere."""
import base64
import errno
import os
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ...disk import metadata, safeio
from ...formats import gotypes, jsonish, wording
from ...formats.patterns import Lazy
from ...records import model

FOLDER, INDEX, VALUES = b'secrets', b'secrets.json', b'filedriver/secretsdata.json'
DRIVER = 'file'                         # the one that keeps values on the disk, in plain text; the default
MAX_VALUES = 64 << 20
MAX_SECRETS = 10000
NAME = Lazy(r'[^,/=\0]{1,253}\Z')       # common/pkg/secrets/secrets.go: secretNameRegexp
MOUNTED = '/run/secrets/'


class Secrets(object):
    """Those of one graph root. ROOT: the open graph root; FOLDER_OF(container id): the open folder of a container's own files or None."""

    def __init__(self, root: safeio.Dir, folder_of: Callable[[str], Optional[safeio.Dir]]) -> None:
        self._root, self._folder_of = root, folder_of
        self._index: Optional[Dict[str, Dict[str, Any]]] = None

    def of(self, ident: str, config: Any) -> List[model.Secret]:
        """Those that the container IDENT with the record CONFIG was given, by name."""
        found = [self._secret(ident, item, metadata.text_of(item, 'Target') or MOUNTED + metadata.text_of(item, 'name'), False)
                 for item in metadata.list_of(config, 'secrets')[:MAX_SECRETS]]
        found += [self._secret(ident, item, variable, True) for variable, item in sorted(metadata.dict_of(config, 'secret_env').items())[:MAX_SECRETS]]
        return sorted((item for item in found if item is not None), key=lambda item: (item.name, item.target))

    def names(self) -> List[str]:
        """The names of all that the store has."""
        return sorted({metadata.text_of(item, 'name') for item in self._records().values() if NAME.match(metadata.text_of(item, 'name'))})

    def _records(self) -> Dict[str, Dict[str, Any]]:
        if self._index is None:
            try:
                value = metadata.read_json(self._root.descend(FOLDER), INDEX).value
            except OSError:
                value = None
            self._index = {ident: item for ident, item in metadata.dict_of(value, 'secrets').items() if isinstance(item, dict)}
        return self._index

    def _secret(self, ident: str, item: Any, target: str, is_variable: bool) -> Optional[model.Secret]:
        name, key, driver = (metadata.text_of(item, word) for word in ('name', 'id', 'driver'))
        if not NAME.match(name):
            return None
        why = '' if driver in ('', DRIVER) else 'it is kept by the driver %s, not on this disk' % driver
        holder, changed = self._holder(ident, name, is_variable)
        if not why and holder is None:
            why = 'its value is not on this disk'
        record = self._records().get(key, item)     # that of the store has what was changed since
        return model.Secret(name, target, is_variable, holder, changed, why, lambda: self._read(ident, name, key, is_variable), driver or DRIVER,
                            metadata.strings_of(record, 'driverOptions'), metadata.strings_of(record, 'labels'))

    def _holder(self, ident: str, name: str, is_variable: bool) -> Tuple[Optional[bytes], str]:
        """(path of the file that has the value, when it was changed)."""
        for folder, file, dummy in self._files(ident, name, is_variable):
            try:
                st = folder.stat(file)
                return os.path.join(folder.path(), file), gotypes.format_time(*divmod(st.st_mtime_ns, 10 ** 9))
            except OSError:
                continue
        return None, ''

    def _files(self, ident: str, name: str, is_variable: bool) -> Iterator[Tuple[safeio.Dir, bytes, bool]]:
        """Yield (folder, file, whether it has all values) of the places that may have a value. The container's own copy is what it had."""
        own = self._folder_of(ident) if not is_variable and name not in ('.', '..') else None
        top, values = os.path.split(VALUES)
        for folder, below, file, is_table in ((own, FOLDER, wording.raw(name), False),
                                              (self._root, os.path.join(FOLDER, top), values, True)):
            try:
                if folder is not None:
                    yield folder.descend(below), file, is_table
            except OSError:
                continue

    def _read(self, ident: str, name: str, key: str, is_variable: bool) -> bytes:
        """The value. OSError if it is not there, or damaged."""
        for folder, file, is_table in self._files(ident, name, is_variable):
            try:
                raw = folder.read(file, MAX_VALUES)
                value = metadata.get(jsonish.loads(raw), key) if is_table else None
                if not is_table:
                    return raw
                if isinstance(value, str):
                    return base64.b64decode(value, validate=True)
            except FileNotFoundError:
                continue
            except ValueError:
                raise OSError(errno.EINVAL, 'its value is damaged')
        raise OSError(errno.ENOENT, 'its value is not there')
