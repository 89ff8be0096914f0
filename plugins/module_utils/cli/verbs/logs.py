"""lifeboat logs: what a container printed, to the same two streams."""
import collections
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, Iterator, List, Optional, Tuple

from ...bundles import objects
from ...disk import safeio
from ...disk.errors import LifeboatError
from ...formats import containerlogs, quantities, wording
from ...records import codes
from .. import files
from ..host import open_host
from ..output import Output, harmless, shown

if TYPE_CHECKING:
    import argparse

    from ...records.model import Log, Problem
    from ..parser import Parser

DESCRIPTION = '''
What the container printed to its standard output goes to the standard output, its errors to the standard error, rotated
files first. On a terminal, what it would act on is shown as escapes; --raw prints it as it is.'''

EXAMPLES = '''
lifeboat logs web
lifeboat logs -t --tail 100 web               with times, the last 100 records
lifeboat logs --since 2026-05-01 --until 2026-05-02T12:00:00Z web
lifeboat logs web 2> errors.txt > output.txt'''


def arguments(parser: 'Parser') -> None:
    parser.add_argument('container', metavar='CONTAINER', help='name, or the beginning of the ID')
    parser.add_argument('-t', '--timestamps', action='store_true', help='the time before each record')
    parser.add_argument('-n', '--tail', metavar='N', default='all', help='only the last N records')
    parser.add_argument('--since', metavar='TIME', help='from this time on: 2026-05-01T12:00:00Z, 2026-05-01, or 10m (before now)')
    parser.add_argument('--until', metavar='TIME', help='up to this time')
    parser.add_argument('--raw', action='store_true', help='print bytes as they are, on a terminal too')


def run(given: 'argparse.Namespace', out: Output) -> int:
    tail, since, until = _tail(given.tail), _moment('--since', given.since), _moment('--until', given.until)
    reference = objects.parse(given.container)
    if reference.kind != objects.CONTAINER:
        raise LifeboatError('logs takes a container, not %s' % shown(given.container))
    with open_host(given) as host:
        item = objects.find(host, reference)
        log = item.record.log
        if log is None or not log.there and log.driver not in ('json-file', 'local', 'k8s-file'):
            raise LifeboatError(_elsewhere(item))
        counters = containerlogs.Counters()
        streams, tally, problems = [], files.Tally(out), _missing(item)
        try:
            _open(log, streams, tally)
            if given.json:
                found = [{'time': record.time, 'stream': record.stream, 'data': record.data.decode('utf-8', 'backslashreplace')}
                         for record in _records(log, streams, counters, problems, tail, since, until)]
                out.json({'records': found})
            else:
                _print(given, out, _records(log, streams, counters, problems, tail, since, until))
        finally:
            for stream in streams:
                stream.close()
    if counters.damaged or counters.notes:
        tally.note(['the logs of %s: %s in %s are not log records and are left out%s' % (
            shown(item.name), wording.number(counters.skipped_bytes, 'byte'), wording.number(counters.damaged, 'place'),
            ''.join('; ' + note for dummy, note in counters.notes[:3]))])
    if problems:
        tally.note([note.message for note in problems])
    return tally.status()


def _missing(item: Any) -> 'List[Problem]':
    """What is known to be missing of the log files. Damage of a journal is found when it is read."""
    return [note for note in item.record.problems if note.code == 'LOG_DAMAGED'] if item.record.log.journal is None else []


def _elsewhere(item: Any) -> str:
    log = item.record.log
    told = [problem for problem in item.record.problems if codes.has(problem.code, codes.LOG_ELSEWHERE)]
    if told:
        return objects.said(told, '')
    return 'The container %s has no logs: its logging driver was %s' % (shown(item.name), log.driver if log is not None else 'unknown')


def _open(log: 'Log', streams: List[Any], tally: files.Tally) -> None:
    from ...bundles.texts import open_log
    for path in log.files:
        try:
            if stat.S_ISREG(safeio.lstat(path).st_mode):
                streams.append(os.fdopen(open_log(path), 'rb'))
        except OSError as exc:
            tally.fail(path, exc)


def _records(log: 'Log', streams: List[BinaryIO], counters: containerlogs.Counters, problems: 'List[Problem]',
             tail: Optional[int], since: Optional[Tuple[int, int]],
             until: Optional[Tuple[int, int]]) -> Iterator[containerlogs.LogRecord]:
    """The records that are asked for. As docker logs does it, --tail counts before --since and --until are looked at."""
    from ...bundles import texts
    records = texts.records(log, streams, counters, problems)
    if tail is not None:
        records = collections.deque(records, maxlen=tail)
    for record in records:
        if since is not None and record.key < since:
            continue
        if until is not None and record.key > until:
            return
        yield record


def _print(given: 'argparse.Namespace', out: Output, records: Iterator[containerlogs.LogRecord]) -> None:
    escaped = not given.raw
    for record in records:
        data = containerlogs.render(record) if given.timestamps else record.data
        if record.stream == 'stderr':
            out.write_err(harmless(data) if escaped and out.err_terminal else data)
        else:
            out.write(harmless(data) if escaped and out.terminal else data)


def _tail(text: str) -> Optional[int]:
    if text == 'all':
        return None
    if text.isdigit():
        return int(text)
    raise LifeboatError('--tail takes a number or all, not "%s"' % shown(text))


def _moment(option: str, text: Optional[str]) -> Optional[Tuple[int, int]]:
    if text is None:
        return None
    try:
        return quantities.moment(text)
    except ValueError as exc:
        raise LifeboatError('%s: %s' % (option, exc))
