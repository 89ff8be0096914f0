"""--disk: the disk of a dead host is attached before the verb and released after it, whatever the verb did."""
import contextlib
import os
from typing import TYPE_CHECKING, Any, Iterator

from ..disk.errors import LifeboatError
from .output import Output, shown

if TYPE_CHECKING:
    import argparse

# verbs whose answer is of no use when the disk is released again
NOT_WITH = {'mount': 'it prints a command for a disk that stays attached; use the module disk_attach'}


def request_of(given: Any) -> Any:
    """The Request for the options --disk, --key-file, --nested, --attach-layers, --scratch-dir; the passphrase is in LIFEBOAT_PASSPHRASE."""
    from ..attach.session import Request
    paths = tuple(os.path.abspath(path) for path in given.disk)
    request = Request(paths, journal='ignore' if given.no_journal else 'replay', nested=given.nested, attach_layers=given.attach_layers,
                      key_file=given.key_file or '',
                      passphrase=os.environ.get('LIFEBOAT_PASSPHRASE', ''))
    return request._replace(scratch_dir=os.path.abspath(given.scratch_dir)) if given.scratch_dir else request


@contextlib.contextmanager
def attached(given: 'argparse.Namespace', out: Output) -> Iterator[None]:
    """GIVEN.host_root is that of the disk in here. Nothing happens without --disk. LifeboatError."""
    if not given.disk:
        yield
        return
    if given.verb in NOT_WITH:
        raise LifeboatError('%s does not work with --disk: %s' % (given.verb, NOT_WITH[given.verb]))
    if given.host_root != '/':
        raise LifeboatError('give --disk or --host-root, not both')
    from ..attach import run as attaching  # without --disk, half of the start would be the compiling of it
    request, before = request_of(given), os.umask(0o077)
    try:
        try:
            result = attaching.attach(request)
        finally:
            os.umask(before)
        for problem in result['problems']:
            out.note('%s: %s %s' % (problem['code'], problem['message'], problem['next_step']))
        first, others = result['hosts'][0], result['hosts'][1:]
        for other in others:
            out.note('another host on this disk is not looked at: %s with %d data roots; attach it with the module disk_attach' % (
                shown(other['os']['hostname'] or other['file_systems'][0]['device']), len(other['engines'])))
        given.host_root = first['host_root']
        yield
    finally:
        attaching.release(request)
