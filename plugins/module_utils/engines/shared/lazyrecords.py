"""What is read or made at the first use, since most callers never need it: a container's own files, its definition."""
from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterator, Optional, Tuple


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


class LazyDefinition(object):
    """Has what the Definition has that WHOLE() returns. PART() returns a dictionary with the values of its fields FEW: what is asked of
    thousands of containers at once, so that the rest need not be made."""
    FEW = frozenset(('env', 'volumes', 'restart', 'auto_remove'))

    def __init__(self, whole: Callable[[], Any], part: Callable[[], Dict[str, Any]]) -> None:
        self._makers = whole, part
        self._whole: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)  # what copy and pickle ask for
        if name in self.FEW and self._whole is None:
            self.__dict__.update(self._makers[1]())
            return self.__dict__[name]
        if self._whole is None:
            self._whole = self._makers[0]()
        return getattr(self._whole, name)

    def __eq__(self, other: Any) -> bool:
        return self._replace() == (other._replace() if isinstance(other, LazyDefinition) else other)

    __hash__ = None                     # type: ignore[assignment]  # as a Definition, which holds dictionaries
