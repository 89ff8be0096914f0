"""Files of a component that is more than one file: each is hashed on its way into the bundle."""
import hashlib
import os
from typing import TYPE_CHECKING, Dict, Optional, Type

if TYPE_CHECKING:
    from ..archive.sink import Data, Sink
    from .store import Bundle


class Parts(object):
    """Files below one FOLDER (text) of a bundle that is written. `sums`: {relative name: SHA-256} of those that are whole."""

    def __init__(self, bundle: 'Bundle', folder: str) -> None:
        self.sums: Dict[str, str] = {}
        self._bundle, self._folder = bundle, folder

    def relative(self, name: str) -> str:
        return '%s/%s' % (self._folder, name)

    def path(self, name: str) -> bytes:
        """Where the file will be when the bundle has its name."""
        return os.path.join(self._bundle.final, os.fsencode(self.relative(name)))

    def sink(self, name: str) -> 'Part':
        """A sink for the file NAME. Raises SinkError."""
        return Part(self._bundle.sink(self.relative(name)), self.sums, self.relative(name))


class Part(object):
    """A sink (see archive.sink) that notes the SHA-256 of what went through in SUMS when it is committed."""

    def __init__(self, sink: 'Sink', sums: Dict[str, str], name: str) -> None:
        self._sink, self._sums, self._name = sink, sums, name
        self._digest = hashlib.sha256()
        self._whole = False
        self.bytes = 0

    def write(self, data: 'Data') -> None:
        self._digest.update(data)
        self._sink.write(data)
        self.bytes += len(data)

    def commit(self) -> None:
        self._sink.commit()
        self._whole = True
        self._sums[self._name] = self._digest.hexdigest()

    def abort(self) -> None:
        self._sink.abort()

    def __enter__(self) -> 'Part':
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *dummy: object) -> None:
        if kind is None and not self._whole:
            self.commit()
        else:
            self.abort()
