"""The text in which LVM keeps its metadata, and backups of them in /etc/lvm/backup (lvm2: libdm/libdm-config.c): sections in braces, `key = value`."""
import re
from typing import Any, Dict, List, NamedTuple, Tuple

_TOKEN = re.compile(r'#[^\n]*|"((?:[^"\\]|\\.)*)"|([A-Za-z0-9_.+-]+)|([{}=\[\],])')
MAX_DEPTH = 20
MAX_TOKENS = 1 << 20


class Snapshot(NamedTuple):
    """A logical volume that is a snapshot, and what it is one of."""
    group: str
    name: str
    origin: str


def parse(text: str) -> Dict[str, Any]:
    """Sections as dicts, values as text or lists of text. Lenient: what is not understood is left out. ValueError for what is too large or too deep."""
    top: Dict[str, Any] = {}
    open_sections, word, key = [top], '', ''
    for number, match in enumerate(_TOKEN.finditer(text)):
        if number > MAX_TOKENS or len(open_sections) > MAX_DEPTH:
            raise ValueError('too large')
        quoted, plain, sign = match.groups()
        if sign == '{':
            inner: Dict[str, Any] = {}
            open_sections[-1][word] = inner
            open_sections.append(inner)
        elif sign == '}':
            if len(open_sections) > 1:
                open_sections.pop()
            key = ''
        elif sign == '=':
            key = word
        elif sign == '[':
            open_sections[-1][key] = []
        elif sign is None and (quoted is not None or plain is not None):
            word = plain if plain is not None else quoted
            if key:
                held = open_sections[-1].get(key)
                if isinstance(held, list):
                    held.append(word)
                else:
                    open_sections[-1][key] = word
                    key = ''
        elif sign == ']':
            key = ''
    return top


def snapshots(text: str) -> List[Snapshot]:
    """The snapshots that the metadata of a volume group know, thin ones too, by name. ValueError as parse()."""
    found = set()
    for group, section in parse(text).items():
        volumes = section.get('logical_volumes') if isinstance(section, dict) else None
        for name, volume in volumes.items() if isinstance(volumes, dict) else ():
            for segment in volume.values() if isinstance(volume, dict) else ():
                found.update(Snapshot(group, *pair) for pair in _of(name, segment))
    return sorted(found)


def _of(name: str, segment: Any) -> List[Tuple[str, str]]:
    """[(snapshot, origin)] of one segment of the volume NAME: a thin volume names its origin, the record of an old one is a volume of its own."""
    if not isinstance(segment, dict) or not isinstance(segment.get('origin'), str):
        return []
    if segment.get('type') == 'thin':
        return [(name, segment['origin'])]
    store = segment.get('cow_store') or segment.get('merging_store')
    return [(store, segment['origin'])] if segment.get('type') == 'snapshot' and isinstance(store, str) else []
