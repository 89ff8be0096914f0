"""A strict reader of the YAML that compose files are written in, for hosts that have no PyYAML.

It reads what people and tools write: block and flow collections, all kinds of scalars, anchors, aliases, merge keys, comments, one
document. Whatever else YAML has (tags, complex keys, directives, several documents) is refused with the line, never guessed. A scalar
stays text, see :class:`Plain`; :func:`resolve` says what Go's YAML library, which Compose is made with, takes it for: ``22:22`` and ``yes``
are texts there.
"""
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

LARGEST = 1 << 20                       # characters of a document
MOST = 100000                           # nodes, those that aliases repeat included
DEEPEST = 50

_NULL = frozenset(('', '~', 'null', 'Null', 'NULL'))
_TRUE = frozenset(('true', 'True', 'TRUE'))
_FALSE = frozenset(('false', 'False', 'FALSE'))
_INT = re.compile(r'[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)\Z')
_FLOAT = re.compile(r'[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z')
_ODD = re.compile(r'[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)\Z|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?\Z')
_ANCHOR = re.compile(r'[A-Za-z0-9_-]+(?=[\s,\]}]|\Z)')
_HEADER = re.compile(r'[|>](?:([+-])?([1-9])?|([1-9])([+-]))[ \t]*(?:[ \t]#.*)?\Z')
_ESCAPES = {'0': '\0', 'a': '\a', 'b': '\b', 't': '\t', '\t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', 'e': '\x1b', ' ': ' ', '"': '"',
            '/': '/', '\\': '\\', 'N': '\x85', '_': '\xa0', 'L': '\u2028', 'P': '\u2029'}
_HEX = {'x': 2, 'u': 4, 'U': 8}
_KEY = re.compile(r'(?:[^:#\n]|:(?=[^ \t\n])|(?<![ \t])#)+')
_MARKER = re.compile(r'(?:---|\.\.\.)(?=[ \t\n]|\Z)')


class YamlError(ValueError):
    """What this reader does not read, or what is no YAML. `line` counts from 1."""

    def __init__(self, line: int, what: str) -> None:
        ValueError.__init__(self, 'line %d: %s' % (line, what))
        self.line = line


class Plain(str):
    """A scalar that was written without quotes: its type is told by its look."""


class Odd(NamedTuple):
    """A scalar whose value Compose would change in a way that is not followed here: a date, an infinity, a number too long."""
    text: str


def resolve(value: Any) -> Any:
    """A scalar as Go's library reads it: None, bool, int, float, str, or Odd. What is no Plain stays as it is."""
    if not isinstance(value, Plain):
        return value
    text = str(value)
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.match(text):
        return _whole(text)
    if _FLOAT.match(text):
        return float(text)
    return Odd(text) if _ODD.match(text) else text


def _whole(text: str) -> Any:
    digits = text.replace('_', '').lower()
    sign, digits = (-1 if digits.startswith('-') else 1), digits.lstrip('+-')
    if len(digits) > 300:               # no number of anybody's, and Python takes long to make one of it
        return Odd(text)
    base = {'0x': 16, '0o': 8, '0b': 2}.get(digits[:2], 8 if digits.startswith('0') and len(digits) > 1 else 10)
    try:
        number = sign * int(digits[2:] if digits[:2] in ('0x', '0o', '0b') else digits, base)
    except ValueError:                  # 08: neither octal nor decimal; a float for Go
        return float(digits) * sign if digits.isdigit() else text
    return number if -(1 << 63) <= number < (1 << 64) else Odd(text)


def loads(text: str) -> Any:
    """The value of a document: dict, list, str and Plain. Raises YamlError."""
    return loads_tagged(text, ())[0]


def loads_tagged(text: str, tags: Sequence[str]) -> Tuple[Any, bool]:
    """(the same, whether one of TAGS was there). Those are passed over where a value stands behind a colon or a dash; all others are refused."""
    if len(text) > LARGEST:
        raise YamlError(1, 'more than %d characters' % LARGEST)
    reader = _Reader(text.lstrip('\ufeff').replace('\r\n', '\n'), tags)
    return reader.document(), reader.tagged


class _Reader(object):
    """A cursor over the text. `here` is where it stands."""

    def __init__(self, text: str, tags: Sequence[str] = ()) -> None:
        self.tags, self.tagged = tuple(tags), False
        self.text = text if text.endswith('\n') else text + '\n'
        self.cut = not text.endswith('\n')      # the last line has no end
        self.here = 0
        self.depth = 0
        self.nodes = 0
        self.trying = False
        self.anchors: Dict[str, Tuple[Any, int]] = {}   # name: (value, nodes in it)
        bad = re.search('[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]', self.text)
        if bad:
            raise self.error('a character that YAML does not allow', bad.start())

    def error(self, what: str, at: Optional[int] = None) -> YamlError:
        # whoever only tries does not ask where: to count lines takes longer the farther it is
        return YamlError(0 if self.trying else self.text.count('\n', 0, self.here if at is None else at) + 1, what)

    def peek(self, ahead: int = 0) -> str:
        at = self.here + ahead
        return self.text[at] if at < len(self.text) else ''

    # -- lines --------------------------------------------------------------------------------------------------------------

    def document(self) -> Any:
        indent = self.next_line()
        if indent == 0 and (self.text.startswith('%', self.here) or self.text.startswith('...', self.here) and _MARKER.match(self.text, self.here)):
            raise self.error('a directive, or an end before the beginning')
        if indent == 0 and _MARKER.match(self.text, self.here) and self.peek() == '-':
            self.here += 3
            value = self.value(-1, False)
        else:
            value = self.block(indent) if indent >= 0 else Plain('')
        indent = self.next_line()
        if indent == 0 and self.text.startswith('...', self.here) and _MARKER.match(self.text, self.here):
            self.here += 3
            self.rest_is_empty()
            indent = self.next_line()
        if indent >= 0:
            raise self.error('a second document' if _MARKER.match(self.text, self.here) else 'something after the end, or an indentation that fits nowhere')
        return value

    def next_line(self) -> int:
        """Go to what the next line with something on it begins with -> its indentation; -1 at the end. The cursor is at the start of a
        line, or on white space before its end."""
        while self.here < len(self.text):
            start = self.text.rfind('\n', 0, self.here) + 1
            at = self.here
            while self.peek_at(at) in ' \t':
                at += 1
            if self.peek_at(at) == '\n' or self.peek_at(at) == '#' and (at == start or self.text[at - 1] in ' \t\n'):
                self.here = self.text.index('\n', at) + 1
                continue
            if '\t' in self.text[start:at]:
                raise self.error('a tab in the indentation')
            self.here = at
            return at - start
        return -1

    def peek_at(self, at: int) -> str:
        return self.text[at] if at < len(self.text) else '\n'

    def column(self) -> int:
        return self.here - (self.text.rfind('\n', 0, self.here) + 1)

    def spaces(self) -> None:
        while self.peek() in (' ', '\t'):
            self.here += 1

    def rest_is_empty(self) -> None:
        """Nothing but a comment may follow on this line; the cursor goes behind it."""
        before = self.here
        self.spaces()
        if self.peek() == '#' and (self.here > before or self.column() == 0):
            self.here = self.text.index('\n', self.here)
        if self.peek() not in ('\n', ''):
            raise self.error('something behind the end of a value')
        self.here = min(self.here + 1, len(self.text))

    # -- blocks -------------------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.error('more than %d levels' % DEEPEST)

    def count(self, more: int = 1) -> None:
        self.nodes += more
        if self.nodes > MOST:
            raise self.error('more than %d values' % MOST)

    def block(self, indent: int) -> Any:
        """The node that begins here, the first on its line, at INDENT."""
        self.enter()
        if self.at_dash():
            value = self.sequence(indent)
        elif self.peek() == '?' and self.peek(1) in (' ', '\n', '\t'):
            raise self.error('a complex key')
        elif self.key_ahead():
            value = self.mapping(indent)
        else:
            value = self.inline(indent - 1, False)
        self.depth -= 1
        return value

    def at_dash(self) -> bool:
        return self.peek() == '-' and self.peek(1) in (' ', '\n', '\t', '')

    def ended(self, indent: int) -> bool:
        """Is the cursor, first on a line with INDENT, at the end of all blocks?"""
        return indent < 0 or indent == 0 and bool(_MARKER.match(self.text, self.here))

    def sequence(self, indent: int) -> List[Any]:
        found: List[Any] = []
        while True:
            self.here += 1
            self.count()
            found.append(self.value(indent, False))
            now = self.next_line()
            if now != indent or self.ended(now) or not self.at_dash():
                if now > indent:
                    raise self.error('an indentation that fits nowhere')
                return found

    def mapping(self, indent: int) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        merged: List[Any] = []
        while True:
            self.count()
            at, key = self.here, self.key()
            value = self.value(indent, True)
            if key == '<<' and isinstance(key, Plain):
                merged.append((at, value))
            elif str(key) in found:
                raise self.error('the key %s twice' % key[:40], at)
            else:
                found[str(key)] = value
            now = self.next_line()
            if now != indent or self.ended(now):
                if now > indent:
                    raise self.error('an indentation that fits nowhere')
                break
            if self.at_dash():
                break
            if not self.key_ahead():
                raise self.error('a line that is no key')
        for at, value in merged:
            self.merge(found, value, at)
        return found

    def merge(self, found: Dict[str, Any], value: Any, at: int) -> None:
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict):
                raise self.error('a merge key without a mapping', at)
            for key, item in one.items():
                found.setdefault(key, item)
                self.count()

    def key_ahead(self) -> bool:
        """Does a key of a block mapping begin here?"""
        before, nodes, self.trying = self.here, self.nodes, True
        try:
            self.key()
            return True
        except YamlError:
            return False
        finally:
            self.here, self.nodes, self.trying = before, nodes, False

    def key(self) -> str:
        """The key here; the cursor goes behind its colon."""
        at = self.here
        if self.peek() in ('"', "'"):
            key = self.quoted(0, False)
        elif self.peek() in '&*!|>%@`[]{},#' or self.peek() in '-?:' and self.peek(1) in (' ', '\t', '\n', ''):
            raise self.error('a key of a kind that is not read')
        else:
            match = _KEY.match(self.text, self.here)
            if match is None:
                raise self.error('no key')
            self.here, key = match.end(), Plain(match.group().rstrip(' '))
            if '\t' in key:
                raise self.error('a tab inside of a key')
        self.spaces()
        if self.peek() != ':' or self.peek(1) not in (' ', '\t', '\n', ''):
            raise self.error('a key without a colon', at)
        self.here += 1
        if len(key) > 1024:
            raise self.error('a key of more than 1024 characters', at)
        return key

    def value(self, parent: int, of_key: bool) -> Any:
        """What stands behind a colon (OF_KEY) or a dash of a block at indentation PARENT."""
        self.enter()
        anchor, start = None, self.nodes
        self.spaces()
        while self.peek() == '&' or self.tag():
            if self.peek() == '&':
                if anchor is not None:
                    raise self.error('two anchors of one value')
                anchor = self.name_of_anchor()
            self.spaces()
        if self.peek() == '\n' or self.peek() == '#' and self.peek(-1) in (' ', '\t'):
            value = self.below(parent, of_key)
        elif not of_key and self.at_dash():
            value = self.sequence(self.column())
        elif not of_key and anchor is None and self.key_ahead():
            value = self.mapping(self.column())
        else:
            value = self.inline(parent, of_key)
        if anchor is not None:
            self.anchors[anchor] = (value, self.nodes - start + 1)
        self.depth -= 1
        return value

    def tag(self) -> bool:
        """Go behind a tag that is passed over, if one is here."""
        found = next((tag for tag in self.tags if self.text.startswith(tag, self.here) and self.peek(len(tag)) in (' ', '\t', '\n')), None)
        if found is None:
            return False
        self.here += len(found)
        self.tagged = True
        return True

    def below(self, parent: int, of_key: bool) -> Any:
        """The value on the lines below; an empty one if there is none."""
        indent = self.next_line()
        if not self.ended(indent) and (indent > parent or of_key and indent == parent and self.at_dash()):
            if self.peek() == '&':
                raise self.error('an anchor on a line of its own')
            return self.block(indent)
        if indent >= 0:
            self.here = self.text.rfind('\n', 0, self.here) + 1
        return Plain('')

    def name_of_anchor(self) -> str:
        self.here += 1
        match = _ANCHOR.match(self.text, self.here)
        if match is None:
            raise self.error('an anchor without a name')
        self.here = match.end()
        return match.group()

    # -- scalars ------------------------------------------------------------------------------------------------------------

    def inline(self, parent: int, of_key: bool) -> Any:
        """A value that begins on this line and is no block collection; the cursor goes to the next line."""
        self.count()
        char = self.peek()
        if char in ('|', '>'):
            return self.scalar_block(parent)
        if char == '!':
            raise self.error('a tag')
        if char == '*':
            value = self.alias()
        elif char in ('[', '{'):
            value = self.flow(parent)
        elif char in ('"', "'"):
            value = self.quoted(parent + 1, True)
        else:
            return self.plain(parent, of_key)
        self.rest_is_empty()
        return value

    def alias(self) -> Any:
        at, name = self.here, self.name_of_anchor()
        if name not in self.anchors:
            raise self.error('the alias %s of nothing' % name[:40], at)
        value, size = self.anchors[name]
        self.count(size)
        return value

    def plain(self, parent: int, of_key: bool) -> Plain:
        """A scalar without quotes, over as many lines as are indented more than PARENT."""
        if self.peek() in '&%@`,]}' or self.peek() in '-?:' and self.peek(1) in (' ', '\t', '\n', ''):
            raise self.error('a value that begins with %s' % self.peek())
        words, blanks = [self.plain_line()], 0
        while True:
            before = self.here
            line, end = self.line_at(self.here)
            if not line.strip(' \t'):
                if self.here >= len(self.text):
                    break
                blanks, self.here = blanks + 1, end
                continue
            indent = len(line) - len(line.lstrip(' '))
            if indent <= parent or line.lstrip(' \t').startswith('#') or indent == 0 and _MARKER.match(line):
                self.here = before
                break
            self.here += len(line) - len(line.lstrip(' \t'))
            words.append('\n' * blanks if blanks else ' ')
            words.append(self.plain_line())
            blanks = 0
            if self.comment:
                break
        return Plain(''.join(words))

    def line_at(self, at: int) -> Tuple[str, int]:
        end = self.text.find('\n', at)
        end = len(self.text) if end < 0 else end
        return self.text[at:end], min(end + 1, len(self.text))

    def plain_line(self) -> str:
        """The part of a plain scalar on this line; the cursor goes to the next one. `comment` says whether one ended it."""
        line, end = self.line_at(self.here)
        found = re.search(r'[ \t]#', line)
        self.comment = found is not None
        line = (line[:found.start()] if found else line).rstrip(' \t')
        if '\t' in line:
            raise self.error('a tab inside of a value without quotes')
        if re.search(r':(?:[ \t]|\Z)', line):
            raise self.error('a colon inside of a value without quotes')
        self.here = end
        return line

    def quoted(self, least: int, several: bool) -> str:
        """A quoted scalar; the cursor goes behind it. Its further lines (only if SEVERAL) are indented by LEAST at least."""
        quote, start = self.peek(), self.here
        self.here += 1
        parts: List[str] = []
        while True:
            match = re.compile(r'[^"\\\n]+' if quote == '"' else r"[^'\n]+").match(self.text, self.here)
            if match:
                parts.append(match.group())
                self.here = match.end()
            char = self.peek()
            if char == '':
                raise self.error('a quote that is not closed', start)
            if char == '\n':
                if not several:
                    raise self.error('a key of several lines', start)
                self.fold(parts, least)
            elif char == '\\':
                self.escape(parts, least)
            elif quote == "'" and self.peek(1) == "'":
                parts.append("'")
                self.here += 2
            else:
                self.here += 1
                return ''.join(parts)

    def fold(self, parts: List[str], least: int) -> None:
        """Line breaks inside of quotes: one becomes a blank, of several the first goes."""
        # white space before the break goes, unless it was written as an escape, which is a part of its own
        if parts:
            parts[-1] = parts[-1].rstrip(' \t')
        breaks = 0
        while self.peek() == '\n':
            breaks += 1
            self.here += 1
            line = self.here
            self.spaces()
            if self.peek() != '\n' and self.here - line < least or _MARKER.match(self.text, line):
                raise self.error('a line in quotes that is not indented enough')
        parts.append('\n' * (breaks - 1) if breaks > 1 else ' ')

    def escape(self, parts: List[str], least: int) -> None:
        char = self.peek(1)
        if char in _HEX:
            digits = self.text[self.here + 2:self.here + 2 + _HEX[char]]
            if not re.match(r'[0-9a-fA-F]{%d}\Z' % _HEX[char], digits) or int(digits, 16) > 0x10ffff or 0xd800 <= int(digits, 16) < 0xe000:
                raise self.error('an escape that is none')
            parts.extend((chr(int(digits, 16)), ''))
            self.here += 2 + _HEX[char]
        elif char == '\n':              # the line goes on without a blank
            self.here += 1
            before = len(parts)
            parts.append('')
            self.fold(parts, least)
            parts[before:] = [parts[-1] if parts[-1] != ' ' else '', '']
        elif char in _ESCAPES:
            parts.extend((_ESCAPES[char], ''))      # an empty part: what was escaped is never taken for white space
            self.here += 2
        else:
            raise self.error('an escape that is none')

    def scalar_block(self, parent: int) -> str:
        """A literal (|) or folded (>) scalar; the cursor goes to the line behind it."""
        line, self.here = self.line_at(self.here)[0], self.line_at(self.here)[1]
        header = _HEADER.match(line)
        if header is None:
            raise self.error('a head of a block scalar that is none')
        chomp, digit = header.group(1) or header.group(4) or '', header.group(2) or header.group(3)
        indent = max(parent, 0) + int(digit) if digit else 0
        lines: List[str] = []
        while self.here < len(self.text):
            line, end = self.line_at(self.here)
            width = len(line) - len(line.lstrip(' '))
            if line.strip(' '):
                if not indent:
                    indent = width
                    if indent <= parent or any(len(one) > indent for one in lines):
                        break
                if width < indent or width == 0 and _MARKER.match(line):
                    break
            lines.append(line)
            self.here = end
        lines = [line[indent:] if indent else line.strip(' ') for line in lines]
        made = _chomped(_folded(lines) if header.group().startswith('>') else '\n'.join(lines), lines, chomp)
        return made[:-1] if self.cut and self.here >= len(self.text) and lines and lines[-1] and made.endswith('\n') else made

    # -- flow ---------------------------------------------------------------------------------------------------------------

    def gap(self, least: int) -> None:
        """White space, line breaks and comments inside of brackets."""
        while True:
            self.spaces()
            if self.peek() == '#' and self.peek(-1) in (' ', '\t', '\n'):
                self.here = self.text.index('\n', self.here)
            if self.peek() != '\n':
                break
            self.here += 1
            if self.here >= len(self.text):
                raise self.error('a bracket that is not closed')
            line = self.here
            self.spaces()
            if self.peek() not in ('\n', '#') and self.here - line < least or _MARKER.match(self.text, line):
                raise self.error('a line in brackets that is not indented enough')

    def flow(self, parent: int) -> Any:
        """A value in brackets, or inside of them; the cursor goes behind it."""
        self.enter()
        self.count()
        char, least = self.peek(), parent + 1
        anchor, start = None, self.nodes
        if char == '&':
            anchor = self.name_of_anchor()
            self.gap(least)
            char = self.peek()
        if char == '[':
            value: Any = self.flow_list(parent)
        elif char == '{':
            value = self.flow_map(parent)
        elif char in ('"', "'"):
            value = self.quoted(least, True)
        elif char == '*':
            value = self.alias()
        else:
            value = self.flow_plain(least)
        if anchor is not None:
            self.anchors[anchor] = (value, self.nodes - start + 1)
        self.depth -= 1
        return value

    def flow_list(self, parent: int) -> List[Any]:
        found: List[Any] = []
        self.here += 1
        while True:
            self.gap(parent + 1)
            if self.peek() == ']':
                self.here += 1
                return found
            found.append(self.flow(parent))
            self.gap(parent + 1)
            if self.peek() == ':':
                raise self.error('a pair inside of a list in brackets')
            self.comma(']')

    def flow_map(self, parent: int) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        merged: List[Any] = []
        self.here += 1
        while True:
            self.gap(parent + 1)
            if self.peek() == '}':
                self.here += 1
                for value in merged:
                    self.merge(found, value, self.here)
                return found
            at, key, value = self.here, self.flow(parent), Plain('')
            if not isinstance(key, str) or key == '' and isinstance(key, Plain):
                raise self.error('a key of a kind that is not read', at)
            self.gap(parent + 1)
            if self.peek() == ':':
                if '\n' in self.text[at:self.here]:
                    raise self.error('a key of several lines', at)
                self.here += 1
                self.gap(parent + 1)
                value = self.flow(parent) if self.peek() not in ',}' else Plain('')
                self.gap(parent + 1)
            if key == '<<' and isinstance(key, Plain):
                merged.append(value)
            elif str(key) in found:
                raise self.error('the key %s twice' % key[:40], at)
            else:
                found[str(key)] = value
            self.comma('}')

    def comma(self, closing: str) -> None:
        if self.peek() == ',':
            self.here += 1
        elif self.peek() != closing:
            raise self.error('brackets that do not match')

    def flow_plain(self, least: int) -> Plain:
        if self.peek() in '%@`!|>#' or self.peek() in '-?:' and self.peek(1) in (' ', '\t', '\n', ',', '[', ']', '{', '}'):
            raise self.error('a value that begins with %s' % self.peek())
        words: List[str] = []
        while True:
            match = re.compile(r'(?:[^:#,\[\]{}\n]|:(?=[^ \t\n,\[\]{}])|(?<![ \t\n])#)+').match(self.text, self.here)
            if match is None:
                break
            words.append(match.group().strip(' '))
            if '\t' in match.group():
                raise self.error('a tab inside of a value without quotes')
            self.here = match.end()
            if self.peek() != '\n':
                break
            self.gap(least)
        if not words:
            raise self.error('brackets that do not match')
        return Plain(' '.join(word for word in words if word))


def _folded(lines: List[str]) -> str:
    """Lines of a > scalar: neighbours become one, except those that are indented more."""
    made: List[str] = []
    breaks, before = 0, None
    for line in lines:
        if not line:
            breaks += 1
            continue
        spaced = line[0] in ' \t'
        if before is None:
            made.append('\n' * breaks)
        elif spaced or before:
            made.append('\n' * (breaks + 1))
        else:
            made.append('\n' * breaks if breaks else ' ')
        made.append(line)
        breaks, before = 0, spaced
    return ''.join(made) + '\n' * breaks


def _chomped(text: str, lines: List[str], chomp: str) -> str:
    """The end of a block scalar: one line break, none (-), or all (+)."""
    bare = text.rstrip('\n')
    if chomp == '-':
        return bare
    if chomp == '+':
        empty = 0
        for line in reversed(lines):
            if line:
                break
            empty += 1
        return bare + '\n' * (empty + 1 if bare else empty)
    return bare + '\n' if bare else ''
