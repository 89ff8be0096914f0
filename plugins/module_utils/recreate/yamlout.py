"""A YAML writer for what a Compose file needs; hosts have no PyYAML.

Every string value is double-quoted, so that none turns into a number, a date, a boolean ("no") or a comment in
YAML 1.1 or 1.2. Keys stay bare where they are harmless words.
"""
import re
from typing import Any, List, Sequence, Tuple

SIMPLE_KEY = 1000
BARE_KEY = re.compile(r'[A-Za-z_][A-Za-z0-9_.-]*\Z')
# YAML 1.1 takes these for booleans and null, whatever their case
WORDS = frozenset(('y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null'))
SHORT = {'"': '\\"', '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r', '\0': '\\0'}


def quoted(string: str) -> str:
    """A double-quoted YAML scalar on one line. What YAML, a parser or a terminal may act on is escaped."""
    return '"%s"' % ''.join(char if char.isprintable() and char not in SHORT else _escape(char) for char in string)


def dump(value: Any) -> str:
    """Text of a document: nested dicts (in their order) and lists of str, int, float, bool, None; ends in a newline."""
    lines = []
    _node(value, '', lines)
    return '\n'.join(lines) + '\n'


def _escape(char: str) -> str:
    code = ord(char)
    if char in SHORT:
        return SHORT[char]
    if 0xd800 <= code <= 0xdfff:
        return u'\ufffd'                # half a surrogate pair has no form in UTF-8
    return '\\x%02x' % code if code < 0x100 else '\\u%04x' % code if code < 0x10000 else '\\U%08x' % code


def _key(key: str) -> str:
    return key if BARE_KEY.match(key) and key.lower() not in WORDS else quoted(key)


def _scalar(value: Any) -> str:
    if value is None:
        return 'null'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, (int, float)):
        return repr(value)
    return quoted(value)


def _node(value: Any, indent: str, lines: List[str]) -> None:
    if isinstance(value, dict):
        items = [(_key(key) + ':', inner) for key, inner in value.items()]
        if any(len(head) > SIMPLE_KEY for head, dummy in items):
            _long_keys(items, indent, lines)
            return
    else:
        items = [('-', inner) for inner in value]
    for head, inner in items:
        if isinstance(inner, (dict, list, tuple)):
            if not inner:
                lines.append('%s%s %s' % (indent, head, '{}' if isinstance(inner, dict) else '[]'))
            elif head == '-':
                _under_dash(inner, indent, lines)
            else:
                lines.append(indent + head)
                _node(inner, indent + '  ', lines)
        else:
            lines.append('%s%s %s' % (indent, head, _scalar(inner)))


def _long_keys(items: Sequence[Tuple[str, Any]], indent: str, lines: List[str]) -> None:
    """YAML limits `key: value` to keys of 1024 characters; longer ones need the explicit form."""
    for head, inner in items:
        lines.append('%s? %s' % (indent, head[:-1]))
        if isinstance(inner, (dict, list, tuple)) and inner:
            lines.append(indent + ':')
            _node(inner, indent + '  ', lines)
        else:
            lines.append('%s: %s' % (indent, _scalar(inner) if not isinstance(inner, (dict, list, tuple))
                                     else '{}' if isinstance(inner, dict) else '[]'))


def _under_dash(value: Any, indent: str, lines: List[str]) -> None:
    """A mapping or list as a list item: its first line stands on the line of the dash."""
    start = len(lines)
    _node(value, indent + '  ', lines)
    lines[start] = indent + '- ' + lines[start][len(indent) + 2:]
