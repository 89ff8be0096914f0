"""Words and comments of a POSIX shell script whose contents come from a disk that may be hostile."""
import re
import shlex
from typing import Iterable, List, Tuple

from ..formats.wording import show

HALF = re.compile(u'[\ud800-\udc7f\udd00-\udfff]')   # of a surrogate pair; \udc80 to \udcff stand for bytes
LINES = '\n\t'                          # stay as they are inside of quotes: texts of several lines stay readable


def quote(word: str) -> str:
    """WORD as the shell reads it back, exactly; but NULs are left out, as no argument can hold one.

    What a terminal would act on, if somebody prints the script, stands there as an octal escape of printf.
    """
    word = word.replace('\0', '')
    if all(char.isprintable() or char in LINES for char in word):
        return shlex.quote(word)
    # a run of control characters has no newline in it, which $( ) would cut off at its end
    return ''.join(_piece(piece) for piece in _runs(word))


def words(items: Iterable[str]) -> str:
    """ITEMS as the words of one command, for a script."""
    return ' '.join(quote(item) for item in items)


def typed(word: str) -> str:
    """WORD as a person types or pastes it at the prompt of bash: always one line (:func:`quote` keeps newlines)."""
    word = word.replace('\0', '')
    if word.isprintable():
        return shlex.quote(word)
    return "$'%s'" % ''.join('\\' + char if char in "'\\" else char if char.isprintable() else _octal(char) for char in word)


def comment(sentence: str) -> str:
    """A comment line, for a shell script or for YAML; nothing in a name can end it."""
    return '# ' + show(sentence)


def _runs(word: str) -> List[Tuple[bool, str]]:
    """WORD in pieces: (whether it is printable, text)."""
    pieces = []
    for char in word:
        plain = char.isprintable() or char in LINES
        if pieces and pieces[-1][0] == plain:
            pieces[-1][1].append(char)
        else:
            pieces.append((plain, [char]))
    return [(plain, ''.join(chars)) for plain, chars in pieces]


def _piece(run: Tuple[bool, str]) -> str:
    plain, string = run
    if plain:
        return shlex.quote(string)
    return '"$(printf \'%s\')"' % _octal(string)


def _octal(string: str) -> str:
    """UTF-8; a byte of a path that was none comes back, half a surrogate pair becomes U+FFFD."""
    return ''.join('\\%03o' % byte for byte in HALF.sub(u'\ufffd', string).encode('utf-8', 'surrogateescape'))
