"""Env files and ${VARIABLES} as Compose reads them. What depends on the environment of a shell that is gone is Undecided, never guessed."""
import re
from typing import Callable, Dict, List, Match, NamedTuple, Optional, Tuple, Union

DEEPEST = 10                            # ${A:-${B:-...}}
LARGEST = 1 << 20                       # characters that a value may grow to
GROWN = 4 << 20                         # that all values of a file may grow to: each of thousands may repeat a long one
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')
_KEY = re.compile(r'(?:export[ \t]+)?([A-Za-z0-9_.\[\]-]+)[ \t]*')
_RULE = re.compile(r':?[-?+]')
_ESCAPE = re.compile(r'\\(?:([abcfnrtv"\\$])|0([0-7]{0,3}))')
_LETTERS = {'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '"': '"', '\\': '\\', 'c': '\\c', '$': '\\$'}


class Undecided(NamedTuple):
    """In place of a text: a clause that says why nothing can be said."""
    why: str


Text = Union[str, Undecided]
Lookup = Callable[[str], Optional[Text]]        # None: not set


class EnvFile(NamedTuple):
    """`values` in their order; `inherited`: names without a value, which come from the shell."""
    values: Dict[str, Text]
    inherited: Tuple[str, ...] = ()


class Room(object):
    """What the values of one file may grow to together."""

    def __init__(self) -> None:
        self._left = GROWN

    def expand(self, template: str, lookup: Lookup, escaped: bool = True) -> Text:
        """The same as expand(); Undecided, too, where the values before it have taken all room."""
        if self._left <= 0:
            return Undecided('the values of its file grow to more than %d characters' % GROWN)
        found = expand(template, lookup, escaped)
        self._left -= len(found) if isinstance(found, str) else 0
        return found


def nothing_set(dummy: str) -> Optional[Text]:
    """A Lookup that knows no variable."""
    return None


def expand(template: str, lookup: Lookup, escaped: bool = True, depth: int = 0) -> Text:
    """TEMPLATE with its $NAME and ${NAME...} replaced. ESCAPED: $$ is a dollar."""
    made: List[str] = []
    at = size = 0
    while True:
        dollar = template.find('$', at)
        made.append(template[at:] if dollar < 0 else template[at:dollar])
        size += len(made[-1])
        if size > LARGEST:
            return Undecided('a value grows to more than %d characters' % LARGEST)
        if dollar < 0:
            return ''.join(made)
        if escaped and template.startswith('$$', dollar):
            made.append('$')
            at = dollar + 2
            continue
        value, at = _one(template, dollar, lookup, escaped, depth)
        if isinstance(value, Undecided):
            return value
        made.append(value)
        size += len(value)


def _one(template: str, dollar: int, lookup: Lookup, escaped: bool, depth: int) -> Tuple[Text, int]:
    """(value of the variable that begins at DOLLAR, where the text goes on)."""
    if not template.startswith('{', dollar + 1):
        name = _NAME.match(template, dollar + 1)
        if name is None:
            return Undecided('a $ that begins no variable'), dollar + 1
        return _set(name.group(), lookup(name.group())), name.end()
    end = _closing(template, dollar + 2)
    name = _NAME.match(template, dollar + 2)
    if end < 0 or name is None or depth > DEEPEST:
        return Undecided('a ${ that begins no variable'), dollar + 1
    rest = template[name.end():end]
    if not rest:
        return _set(name.group(), lookup(name.group())), end + 1
    rule = _RULE.match(rest)
    if rule is None:
        return Undecided('a ${%s} with a rule that Compose does not have' % name.group()), end + 1
    return _ruled(name.group(), rule.group(), rest[rule.end():], lookup, escaped, depth), end + 1


def _ruled(name: str, rule: str, rest: str, lookup: Lookup, escaped: bool, depth: int) -> Text:
    value = lookup(name)
    if isinstance(value, Undecided):
        return value
    there = value is not None and (value != '' or not rule.startswith(':'))
    if rule.endswith('+'):
        return expand(rest, lookup, escaped, depth + 1) if there else ''
    if there and value is not None:
        return value
    if rule.endswith('?'):
        return Undecided('%s must be set, and no file sets it' % name)
    return expand(rest, lookup, escaped, depth + 1)


def _set(name: str, value: Optional[Text]) -> Text:
    return Undecided('no file sets %s' % name) if value is None else value


def _closing(template: str, at: int) -> int:
    """Where the brace is that closes the one before AT; -1 if there is none."""
    level = 1
    for place in range(at, len(template)):
        if template.startswith('${', place):
            level += 1
        elif template[place] == '}':
            level -= 1
            if not level:
                return place
    return -1


def env_file(raw: bytes, lookup: Lookup = nothing_set) -> Optional[EnvFile]:
    """The variables of an env file (bytes); None if it is none: another kind of file that a label or a link wants to pass for one.
    LOOKUP: what its values may refer to beside what stands above them."""
    try:
        text = raw.decode('utf-8-sig').replace('\r\n', '\n')
    except UnicodeDecodeError:
        return None
    values: Dict[str, Text] = {}
    inherited = []
    room = Room()

    def known(name: str) -> Optional[Text]:
        return values[name] if name in values else lookup(name)

    at = 0
    while at < len(text):
        line_end = text.find('\n', at)
        line_end = len(text) if line_end < 0 else line_end
        line = text[at:line_end]
        if not line.strip() or line.lstrip().startswith('#'):
            at = line_end + 1
            continue
        key = _KEY.match(text, at + len(line) - len(line.lstrip(' \t')))
        if key is None:
            return None
        if key.end() >= line_end:
            inherited.append(key.group(1))
            at = line_end + 1
            continue
        if text[key.end()] not in '=:' or text[key.end()] == ':' and text[key.end() + 1:key.end() + 2] not in (' ', '\t', '"', "'"):
            return None
        value, at = _value(text, key.end() + 1, known, room)
        if value is None:
            return None
        values[key.group(1)] = value
    return EnvFile(values, tuple(inherited))


def is_name(name: str) -> bool:
    """Can NAME stand in an env file?"""
    match = _KEY.match(name)
    return match is not None and match.group(1) == name


def quoted(value: str) -> str:
    """VALUE as an env file has it, so that Compose reads just that."""
    if '\\' not in value:
        return "'%s'" % value.replace("'", "\\'")
    # in single quotes one at the end, or before a quote, would be an escape
    return '"%s"' % re.sub(r'(["$\\])', r'\\\1', value)


def _value(text: str, at: int, known: Lookup, room: Room) -> Tuple[Optional[Text], int]:
    """(the value that begins at AT, start of the next line); None for a quote that is not closed."""
    end = text.find('\n', at)
    end = len(text) if end < 0 else end
    line = text[at:end].lstrip(' \t')
    quote = line[:1]
    if quote not in ('"', "'") or not quote:
        # no comment begins at once, or behind a tab
        return room.expand(line.partition(' #')[0].rstrip(), known, False), end + 1
    start = at + len(text[at:end]) - len(line) + 1
    match = re.compile(r'((?:[^"\\]|\\.)*)"' if quote == '"' else r"((?:[^'\\]|\\.)*)'", re.DOTALL).match(text, start)
    if match is None:
        return None, end + 1
    end = text.find('\n', match.end())
    value = match.group(1)
    if quote == '"':
        value = _ESCAPE.sub(_unescaped, value)
        return _expand_escaped(value, known, room), len(text) if end < 0 else end + 1
    return value.replace("\\'", "'"), len(text) if end < 0 else end + 1


def _unescaped(match: Match[str]) -> str:
    letter, digits = match.groups()
    return _LETTERS[letter] if letter else chr(int(digits or '0', 8) & 0xff)


def _expand_escaped(value: str, known: Lookup, room: Room) -> Text:
    r"""The same as expand(), where \$ is a dollar."""
    made = []
    for number, piece in enumerate(value.split('\\$')):
        found = room.expand(piece, known, False)
        if isinstance(found, Undecided):
            return found
        made.append(('$' if number else '') + found)
    return ''.join(made)
