"""Bytes and texts from a disk, as people and machines may see them."""
import base64
from typing import Any, Dict, Optional, Union, overload

from . import redact


@overload
def text(raw: None) -> None:
    ...


@overload
def text(raw: Union[bytes, str]) -> str:
    ...


def text(raw: Union[bytes, str, None]) -> Optional[str]:
    """bytes (or str) -> str as the contract shows paths: bytes that are not UTF-8 become ``\\xNN``."""
    if raw is None:
        return None
    if isinstance(raw, bytes):
        return raw.decode('utf-8', 'backslashreplace')
    try:
        return raw.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')
    except UnicodeEncodeError:          # half a surrogate pair, which is no byte of a path either
        return ''.join(_without_surrogate(char) for char in raw)


def _without_surrogate(char: str) -> str:
    code = ord(char)
    if 0xdc80 <= code <= 0xdcff:
        return '\\x%02x' % (code - 0xdc00)
    return '\\u%04x' % code if 0xd800 <= code <= 0xdfff else char


def raw(string: Union[str, bytes]) -> bytes:
    """The bytes of a name that a record, a document or a user wrote as text: UTF-8, as engines write it, whatever the locale is.
    Bytes stay.

    The way back of :func:`text` and of JSON, where os.fsencode() would ask the locale. Names that Python itself made of bytes
    (os.listdir, os.scandir) go back by os.fsencode().
    """
    if isinstance(string, bytes):
        return string
    try:
        return string.encode('utf-8', 'surrogateescape')
    except UnicodeEncodeError:          # half a surrogate pair, which Go replaces when it reads
        return ''.join('\ufffd' if 0xd800 <= ord(char) <= 0xdfff else char for char in string).encode('utf-8')


def show(raw: Any) -> str:
    """Text from a disk or from a node, as people may see it: one line, and nothing that a terminal acts on.

    Control characters (C0, C1, DEL), line and paragraph separators, marks that turn the direction of writing or have no
    width, and bytes that are not UTF-8 become escapes (``\\x1b``, ``\\u202e``); all else stays. RAW: bytes, str, or None (''),
    another value as str() has it. What is shown already stays as it is. Every table, message and page goes through here.
    """
    if raw is None:
        return ''
    string = text(raw) if isinstance(raw, (bytes, str)) else str(raw)
    if string.isprintable():
        return string
    return ''.join(char if char.isprintable() else char.encode('unicode_escape').decode('ascii') for char in string)


def number(count: int, noun: str) -> str:
    """`1 bundle`, `2 bundles`. NOUN takes an s."""
    return '%d %s%s' % (count, noun, '' if count == 1 else 's')


def number_is(count: int, noun: str, verb: str = 'are') -> str:
    """`1 file is`, `2 files are`. VERB: are, were, have, or one that takes an s."""
    return '%s %s' % (number(count, noun), verb if count != 1 else {'are': 'is', 'were': 'was', 'have': 'has'}.get(verb, verb + 's'))


def sentence(string: Any) -> str:
    """A message that repeats what a disk or a node says: shown, and without the secrets that a value in it may hold."""
    return show(redact.text(string))


def path_fields(raw: Union[bytes, str, None], key: str = 'path') -> Dict[str, Any]:
    """``{key: text}``, plus ``key_b64`` when the bytes are not UTF-8."""
    fields = {key: text(raw)}
    if isinstance(raw, bytes):
        try:
            raw.decode('utf-8')
        except UnicodeDecodeError:
            fields[key + '_b64'] = base64.b64encode(raw).decode('ascii')
    return fields
