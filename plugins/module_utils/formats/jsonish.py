"""JSON files that a crash may have hurt: strict reading that names the kind of damage, and salvage of what is whole.

What power loss leaves is a file that is empty, cut off, or of the right length but filled with NUL bytes.
"""
import codecs
import json
import re
from typing import Any, Dict, List, Optional, Tuple, Union

from .patterns import Lazy

MAX_DEPTH = 200                         # real files have about ten levels; whoever walks the value may recurse
_INT_DIGITS = 4000                      # newer Pythons refuse to convert more than 4300
_BOMS = ((codecs.BOM_UTF8, 'utf-8'), (codecs.BOM_UTF16_LE, 'utf-16-le'), (codecs.BOM_UTF16_BE, 'utf-16-be'))
_SURROGATE = Lazy(r'\\u[dD][89a-fA-F]')
_LONE = Lazy('[\ud800-\udfff]')
_SPACE = Lazy(r'[ \t\n\r]*')
_BEGUN_ESCAPE = Lazy(r'\\(u[0-9a-fA-F]{0,4})?\Z')
_BEGUN_NUMBER = Lazy(r'(-|\.\d*([eE][+-]?)?|[eE][+-]?)\Z', re.ASCII)
_LITERALS = ('true', 'false', 'null', 'NaN', 'Infinity', '-Infinity')


class JsonError(ValueError):
    """The bytes are not one JSON value. The message is a clause about the damage (no file name).

    `kind`: empty | nul | cut | encoding | syntax | depth. `offset`: of the damage in bytes (in characters for
    syntax), where it is known.
    """

    def __init__(self, kind: str, message: str, offset: Optional[int] = None) -> None:
        ValueError.__init__(self, message)
        self.kind = kind
        self.offset = offset


def loads(raw: bytes) -> Any:
    """bytes -> the JSON value. Raises JsonError.

    UTF-8, or UTF-16 with a byte order mark. Of two equal keys the last one counts, as in Go. Lone surrogates become
    U+FFFD, as in Go, so every str can be encoded again. NaN, infinities and huge integers are tolerated.
    """
    text, damage = _decode(raw)
    if damage is not None:
        raise damage
    if not text.strip(' \t\n\r'):
        raise JsonError('empty', 'empty' if not raw else 'empty (nothing but white space)', 0)
    try:
        value = (DECODER if len(text) > _INT_DIGITS else _SHORT_TEXTS).decode(text)
    except RecursionError:
        raise _too_deep()
    except json.JSONDecodeError as exc:
        if _is_cut(text, exc):
            raise JsonError('cut', 'cut off at byte %d' % len(raw), len(raw))
        raise JsonError('syntax', 'not JSON: %s' % exc, exc.pos)
    return _checked(text, value)


def salvage(raw: bytes) -> Dict[str, Any]:
    """The top-level pairs of a damaged JSON object that are whole and lie before the damage; {} if there are none.

    For hints only: a later pair with the same key, or the rest of the object, may be missing.
    """
    found = {}
    text = _decode(raw)[0]
    pos = _skip(text, 0)
    if text[pos:pos + 1] != '{':
        return found
    while True:
        pos = _skip(text, pos + 1)
        try:
            if text[pos:pos + 1] != '"':
                return found
            key, pos = DECODER.raw_decode(text, pos)
            pos = _skip(text, pos)
            if text[pos:pos + 1] != ':':
                return found
            start = _skip(text, pos + 1)
            value, pos = DECODER.raw_decode(text, start)
            value = _checked(text[start:pos], value)
        except (ValueError, RecursionError):
            return found
        pos = _skip(text, pos)
        follows = text[pos:pos + 1]
        if follows not in (',', '}') and not isinstance(value, (str, list, dict)):
            return found                # 12 may have been 123
        found[sound(key)] = value
        if follows != ',':
            return found


def _decode(raw: bytes) -> Tuple[str, Optional[JsonError]]:
    """bytes -> (text up to the damage, JsonError or None)."""
    raw = bytes(raw)
    encoding = 'utf-8'
    start = 0
    for bom, name in _BOMS:
        if raw.startswith(bom):
            encoding = name
            start = len(bom)
            break
    damage = None
    nul = -1 if encoding != 'utf-8' else raw.find(b'\0')
    if nul >= 0:
        if not raw.strip(b'\0'):
            damage = JsonError('nul', 'filled with NUL bytes (power loss before write-back)', 0)
        else:
            damage = JsonError('nul', 'NUL bytes (power loss before write-back) from byte %d on' % nul, nul)
    usable = raw[start:nul] if nul >= 0 else raw[start:]
    try:
        return usable.decode(encoding), damage
    except UnicodeDecodeError as exc:
        where = start + exc.start
        if damage is None:
            if exc.reason in ('unexpected end of data', 'truncated data'):
                damage = JsonError('cut', 'cut off at byte %d' % len(raw), len(raw))
            else:
                damage = JsonError('encoding', 'not %s at byte %d' % (encoding.upper()[:6].rstrip('-'), where), where)
        return usable[:exc.start].decode(encoding), damage


def _int(digits: str) -> Union[int, float]:
    """As int(), but without its limit on digits and without its quadratic time."""
    return int(digits) if len(digits) <= _INT_DIGITS else float(digits)


DECODER = json.JSONDecoder(parse_int=_int)
_SHORT_TEXTS = json.JSONDecoder()       # of texts that have no room for such a number: twice as fast


def sound(text: str) -> str:
    """TEXT with lone surrogates replaced by U+FFFD, as Go's decoder does: it can be encoded."""
    try:
        text.encode('utf-8')
    except UnicodeEncodeError:
        return _LONE.sub('\ufffd', text)
    return text


def _too_deep() -> JsonError:
    return JsonError('depth', 'JSON nested deeper than %d levels' % MAX_DEPTH)


def _checked(text: str, value: Any) -> Any:
    """VALUE with lone surrogates replaced; JsonError if it is nested too deep. Looks only where TEXT gives reason."""
    surrogates = _SURROGATE.search(text) is not None
    if not surrogates and text.count('[') + text.count('{') <= MAX_DEPTH:
        return value
    holder = [value]
    level = [holder]
    for dummy in range(MAX_DEPTH + 1):
        deeper: List[Any] = []
        for node in level:
            pairs: List[Tuple[Any, Any]]
            if isinstance(node, dict):
                if surrogates and any(_LONE.search(key) for key in node):
                    pairs = [(sound(key), item) for key, item in node.items()]
                    node.clear()
                    node.update(pairs)
                pairs = list(node.items())
            else:
                pairs = list(enumerate(node))
            for key, item in pairs:
                if isinstance(item, (dict, list)):
                    deeper.append(item)
                elif surrogates and isinstance(item, str) and _LONE.search(item):
                    node[key] = sound(item)
        if not deeper:
            return holder[0]
        level = deeper
    raise _too_deep()


def _is_cut(text: str, exc: json.JSONDecodeError) -> bool:
    """Whether TEXT is the beginning of a JSON value, as far as the decoder's complaint tells."""
    rest = text[exc.pos:].rstrip(' \t\n\r')
    if not rest or exc.msg.startswith('Unterminated string'):
        return True
    if exc.msg.startswith('Invalid') and 'scape' in exc.msg:
        return _BEGUN_ESCAPE.search(text[-6:]) is not None and len(rest) <= 6
    return _BEGUN_NUMBER.match(rest) is not None or any(one.startswith(rest) for one in _LITERALS)


def _skip(text: str, pos: int) -> int:
    white = _SPACE.match(text, pos)
    return pos if white is None else white.end()
