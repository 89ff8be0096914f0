"""Where the tool writes: results to the standard output, everything else to the standard error."""
import contextlib
import errno
import os
from typing import (
    TYPE_CHECKING,
    Any,
    Container,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from ..disk.errors import LifeboatError
from ..formats.wording import show

if TYPE_CHECKING:
    from .progress import Bar

BUFFER = 64 * 1024
COLOURS = {'red': '31', 'green': '32', 'yellow': '33', 'bold': '1', 'dim': '2'}
WIDTH = 80


class ClosedPipe(Exception):
    """Whoever read the output has ended, as head does."""


class Output(object):
    """What a verb writes to. `quiet`: no notes and no progress; errors are always said."""

    def __init__(self, quiet: bool = False, verbose: int = 0, out: int = 1, err: int = 2, environment: Optional[Mapping[str, str]] = None) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self.out = out
        self.err = err
        environment = os.environ if environment is None else environment
        self.terminal = _terminal(out)
        self.err_terminal = _terminal(err)
        plain = bool(environment.get('NO_COLOR')) or environment.get('TERM') == 'dumb'
        self._colours = self.terminal and not plain
        self._parts: List[bytes] = []
        self._size = 0
        self.gauge: Optional[Bar] = None  # progress.Bar that is drawn now

    # -- results

    def write(self, data: bytes) -> None:
        """Bytes as they are. ClosedPipe, LifeboatError."""
        self._parts.append(data)
        self._size += len(data)
        if self._size >= BUFFER:
            self.flush()

    def line(self, text: str = '') -> None:
        """One line of our own words and of names that went through shown()."""
        self.write(text.encode('utf-8', 'surrogateescape') + b'\n')

    def json(self, value: Dict[str, Any]) -> None:
        """A document. Only ASCII is in it, so no name can do anything to a terminal."""
        import json
        self.write(json.dumps(value, indent=2 if self.terminal else None, sort_keys=False).encode('ascii') + b'\n')

    def result(self, value: Dict[str, Any], as_json: bool, lines: Iterable[str]) -> None:
        """VALUE as a document, or LINES, which are not made otherwise: what people read of it."""
        if as_json:
            self.json(value)
        else:
            for text in lines:
                self.line(text)

    def flush(self) -> None:
        if not self._parts:
            return
        data = b''.join(self._parts)
        del self._parts[:]
        self._size = 0
        self.write_now(data)

    def write_now(self, data: Union[bytes, memoryview]) -> None:
        """Large data, past the buffer (which is empty)."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.out, view):]
        except OSError as exc:
            if exc.errno in (errno.EPIPE, errno.ECONNRESET):
                raise ClosedPipe()
            raise LifeboatError('The output cannot be written: %s; what was written so far is not whole.' % (exc.strerror or exc))

    def write_err(self, data: bytes) -> None:
        """Results that belong to the standard error, in their order with the others. LifeboatError."""
        self.flush()
        try:
            while data:
                data = data[os.write(self.err, data):]
        except OSError as exc:
            if exc.errno == errno.EPIPE:
                raise ClosedPipe()
            raise LifeboatError('The standard error cannot be written: %s.' % (exc.strerror or exc))

    # -- words beside the results

    def note(self, text: str) -> None:
        """Something worth knowing; not with --quiet."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """One sentence to the standard error, whether anybody reads it or not."""
        if self.gauge is not None:
            self.gauge.clear()
        try:
            self.flush()
        finally:
            self._err((show_lines(text) + '\n').encode('utf-8', 'surrogateescape'))

    def draw(self, data: bytes) -> None:
        """Bytes of a progress gauge."""
        self._err(data)

    def _err(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self.err, data):]
        except OSError:
            pass                        # nobody is there to be told

    # -- how it looks

    def paint(self, text: str, colour: Optional[str]) -> str:
        if not self._colours or not colour:
            return text
        return '\x1b[%sm%s\x1b[0m' % (COLOURS[colour], text)

    @property
    def width(self) -> Optional[int]:
        """Columns of the terminal; None without a terminal: lines are not cut."""
        return terminal_width(self.out) if self.terminal else None

    @property
    def err_width(self) -> Optional[int]:
        return terminal_width(self.err) if self.err_terminal else None


@contextlib.contextmanager
def private() -> Iterator[None]:
    """Whatever is written meanwhile is for its owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def terminal_width(fd: int) -> int:
    """Columns of the terminal FD, or what COLUMNS says; WIDTH where nobody knows."""
    try:
        return max(20, int(os.environ.get('COLUMNS') or os.get_terminal_size(fd).columns or WIDTH))
    except (OSError, ValueError):
        return WIDTH


def shown(raw: Union[bytes, str]) -> str:
    """A name of a disk (bytes or text) on one line, with nothing that a terminal would act on."""
    try:
        text = raw.decode('utf-8') if isinstance(raw, bytes) else raw
        if text.isprintable():
            return text
    except UnicodeDecodeError:
        pass
    return show(raw)


def show_lines(text: str) -> str:
    """The same for a text of our own that may have several lines."""
    return '\n'.join(shown(line) for line in text.split('\n'))


def harmless(data: bytes) -> bytes:
    """Bytes of a file or a log for a terminal: lines and tabs stay, everything else that a terminal would act on is shown
    as an escape."""
    text = data.decode('utf-8', 'backslashreplace')
    return ''.join(char if char in '\n\t' or char.isprintable() else char.encode('unicode_escape').decode('ascii')
                   for char in text).encode('utf-8')


def columns(rows: Sequence[Tuple[str, ...]], right: Container[str] = (), width: Optional[int] = None, flexible: Container[str] = ()) -> List[str]:
    """ROWS (lists of text, the first is the head) as aligned lines. RIGHT: names of columns that stand right. WIDTH: where
    lines would be longer, columns named in FLEXIBLE are cut, the widest first."""
    if not rows:
        return []
    head = rows[0]
    widths = [max(map(len, column)) for column in zip(*rows)]
    least = {number: max(8, len(title)) for number, title in enumerate(head) if title in flexible}
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        able = [number for number in least if widths[number] > least[number]]
        if not able:
            break
        widest = max(able, key=lambda number: widths[number])
        widths[widest] -= 1
    at_right = [name in right for name in head]
    return ['  '.join(_cell(cell, size, side) for cell, size, side in zip(row, widths, at_right)).rstrip()[:width] for row in rows]


def _cell(text: str, size: int, right: bool) -> str:
    if len(text) > size:
        text = text[:size - 3] + '...' if size > 3 else text[:size]
    return text.rjust(size) if right else text.ljust(size)


def wrapped(text: str, width: Optional[int], indent: str = '    ') -> List[str]:
    """TEXT as lines of at most WIDTH characters (None: one line), INDENT before all but the first."""
    if not width:
        return [text]
    import textwrap
    return textwrap.wrap(text, max(40, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or ['']
