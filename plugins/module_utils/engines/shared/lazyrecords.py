"""A container's own files, read once, at the first use: most callers never need them."""
from collections.abc import Mapping
from typing import Dict, Iterator, Optional, Tuple


class LazyRecords(Mapping):
    """{name: bytes}. A class of an engine says in _load() what there is."""
    _found: Optional[Dict[str, bytes]] = None

    def _load(self) -> Iterator[Tuple[str, bytes]]:
        """Yield (name, content) of what can be read. Raises nothing for what cannot."""
        raise NotImplementedError

    def _read(self) -> Dict[str, bytes]:
        if self._found is None:
            self._found = dict(self._load())
        return self._found

    def __getitem__(self, name: str) -> bytes:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())
