"""layers.json, containers.json and images.json, and the volatile ones beside them (storage: layers.go, containers.go, images.go)."""
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ....disk import metadata, safeio
from ....formats import jsonish
from . import names

MAX_RECORDS = 200000                    # of one file; real hosts have some thousands


class Place(NamedTuple):
    """A folder with the layout of a graph root."""
    dir: safeio.Dir
    encoding: str                       # model.OVERLAY and so on: how the overlay driver writes here
    own: bool = True                    # False: an additional store, from which only image layers are taken


class Damage(NamedTuple):
    """A file of records that could not be read. `volatile`: it is one that is not synced to the disk."""
    path: bytes
    why: str
    volatile: bool = False


class Records(object):
    """Records of one driver: `layers`, `containers`, `images` {id: dict}, and the Damage met. RUN: the open run root, where a
    transient store keeps its volatile records; None if there is none."""

    def __init__(self, places: List[Place], driver: bytes, run: Optional[safeio.Dir] = None) -> None:
        self.damage: List[Damage] = []
        self.empty_volatile: List[bytes] = []  # files of volatile records that hold nothing at all
        self._driver = driver
        self.layers = self._table(places, run, b'layers', True)
        self.containers = self._table([place for place in places if place.own], run, b'containers', True)
        self.images = self._table(places, None, b'images', False)

    def _table(self, places: List[Place], run: Optional[safeio.Dir], kind: bytes, volatile: bool) -> Dict[str, Dict[str, Any]]:
        found: Dict[str, Dict[str, Any]] = {}
        for place in places:
            for name in (kind + b'.json',) + ((b'volatile-' + kind + b'.json',) if volatile else ()):
                self._read(place.dir, kind, name, found)
        if run is not None and volatile:
            self._read(run, kind, b'volatile-' + kind + b'.json', found)
        return found

    def _read(self, folder: safeio.Dir, kind: bytes, name: bytes, found: Dict[str, Dict[str, Any]]) -> None:
        relative = os.path.join(self._driver + b'-' + kind, name)
        volatile = name.startswith(b'volatile-')
        try:
            holder = folder.descend(self._driver + b'-' + kind)
            raw = holder.read(name)
        except FileNotFoundError:
            return
        except OSError as exc:
            self.damage.append(Damage(os.path.join(folder.path(), relative), metadata.describe(exc), volatile))
            return
        if not raw:
            if volatile:
                self.empty_volatile.append(os.path.join(folder.path(), relative))
            return
        try:
            value = jsonish.loads(raw)
            why = '' if value is None or isinstance(value, list) else 'not a list'
        except ValueError as exc:
            value, why = None, str(exc)
        if why:
            self.damage.append(Damage(os.path.join(folder.path(), relative), why, volatile))
        for record in (value or [])[:MAX_RECORDS] if isinstance(value, list) else ():
            if isinstance(record, dict) and names.is_id(record.get('id')):
                found.setdefault(record['id'], record)


def parents(layers: Dict[str, Dict[str, Any]], ident: Optional[str]) -> Tuple[List[str], bool]:
    """(the layer and those below it by the records, nearest first; whether the chain ends where a layer has no parent)."""
    chain: List[str] = []
    while ident is not None and names.is_id(ident) and ident not in chain and len(chain) < names.MAX_DEPTH:
        chain.append(ident)
        if ident not in layers:
            return chain, False
        ident = layers[ident].get('parent') or None
    return chain, ident is None


def is_of_image(record: Dict[str, Any]) -> bool:
    """Whether the record of a layer is that of an image's: a container's has no digests."""
    return bool(metadata.text_of(record, 'diff-digest') or metadata.text_of(record, 'compressed-diff-digest') or
                metadata.text_of(record, 'toc-digest'))
