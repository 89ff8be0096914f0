"""The tool `lifeboat`: arguments in, one verb, exit status out. Every error that a user can meet is one sentence.

Exit status: 0 whole, 1 partial, 2 nothing or wrong use. Ended by a signal, it ends by that signal, as other programs do.
"""
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from ..disk.errors import LifeboatError
from ..formats.wording import text
from . import disk, encoding, output, parser, words

if TYPE_CHECKING:
    import argparse

VERSION = '1.0.0'
PATHS = ('dest', 'path', 'host_root', 'data_root', 'containerd_root', 'disk', 'scratch_dir', 'key_file', 'bundle', 'journal')
WHOLE, PARTIAL, NOTHING = 0, 1, 2


class Ended(BaseException):
    """A signal asked the tool to end."""

    def __init__(self, number: int) -> None:
        super(Ended, self).__init__(number)
        self.number = number


def main(argv: Optional[List[str]] = None) -> int:
    """Run the tool with ARGV (default: of the process) -> exit status."""
    _descriptors()
    if argv is None:
        argv = encoding.arguments()
    known = parser.build(VERSION)
    if not argv:
        known.print_help(sys.stderr)
        return NOTHING
    given = known.parse_args(argv)
    out = output.Output(given.quiet, given.verbose)
    before = _signals()
    try:
        status = _run(given, out)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    if status < 0:
        _end_by(-status)
    return status


def _run(given: 'argparse.Namespace', out: output.Output) -> int:
    """Exit status, or the negative number of a signal."""
    try:
        _refuse_empty(given)
        with disk.attached(given, out):
            status = parser.verb(given.verb).run(given, out)
        out.flush()
        return status
    except output.ClosedPipe:
        return -signal.SIGPIPE
    except Ended as exc:
        _say(out, 'interrupted. %s' % _go_on(given))
        return -exc.number
    except LifeboatError as exc:
        _say(out, words.tool(str(exc)))
        _trace(given)
        return NOTHING
    except OSError as exc:
        where = exc.filename
        _say(out, 'cannot read %s: %s. Check the path, and run as root.' % (
            text(where) if where is not None else 'the disk', exc.strerror or exc))
        _trace(given)
        return NOTHING
    except MemoryError:
        _say(out, 'out of memory. Ask for less at once.')
        return NOTHING


def _refuse_empty(given: 'argparse.Namespace') -> None:
    """A path without a letter is a variable of the shell that was not set. It would mean the present folder, which nobody asked for."""
    for name in PATHS:
        value = getattr(given, name, None)
        if value == '' or isinstance(value, list) and '' in value:
            raise LifeboatError('%s is empty: is a variable of the shell not set?' % (
                name.upper() if name in ('dest', 'path') else '--' + name.replace('_', '-')))


def _go_on(given: 'argparse.Namespace') -> str:
    go_on = getattr(parser.verb(given.verb), 'GO_ON', '')
    return go_on or 'Nothing was written; run it again.'


def _say(out: output.Output, sentence: str) -> None:
    from ..module import sentence as whole
    try:
        out.error('lifeboat: ' + whole(sentence))
    except (output.ClosedPipe, LifeboatError):
        pass


def _trace(given: 'argparse.Namespace') -> None:
    if given.verbose > 1:
        import traceback
        traceback.print_exc()


def _descriptors() -> None:
    """0, 1 and 2 must be there, or the first files that are opened would get their numbers. What is written to one that was
    closed fails, as it should."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if fd == 0 else os.O_RDONLY)     # the lowest free number: this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, 'w')
    if sys.stdout is None:
        sys.stdout = open(os.devnull, 'w')


def _signals() -> List[Tuple[int, Any]]:
    """[(number, handler before)] of the signals that end the tool in order: what is half done is left as it should be."""
    def end(number: int, dummy_frame: Any) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)     # the second Ctrl-C must not interrupt cleaning up
        raise Ended(number)

    found: List[Tuple[int, Any]] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        before = signal.getsignal(number)
        if before == signal.SIG_IGN:
            continue                    # nohup
        found.append((number, before))
        signal.signal(number, end)
    return found


def _end_by(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
