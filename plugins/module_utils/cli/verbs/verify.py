"""lifeboat verify: bundles against their checksums."""
import os
from typing import TYPE_CHECKING

from ...formats import wording
from .. import report
from ..main import NOTHING, PARTIAL, WHOLE
from ..output import shown

if TYPE_CHECKING:
    import argparse

    from ..output import Output
    from ..parser import Parser

DESCRIPTION = '''
Reads every file of every bundle at or below PATH and compares its checksum. Exit status 0: all are whole, 1: some are, 2: none.
A bundle that a rescue began and did not end is named; the status is then 1.'''

EXAMPLES = '''
lifeboat verify /mnt/usb/rescued
lifeboat verify /mnt/usb/rescued/box/web-0123456789ab --json
lifeboat verify --allowed-signers signers /mnt/usb/rescued
lifeboat verify --fast /mnt/usb/rescued       only whether all files are there, and their sizes'''


def arguments(parser: 'Parser') -> None:
    parser.add_argument('path', metavar='PATH', help='a bundle, or a folder of bundles')
    parser.add_argument('--allowed-signers', metavar='FILE', help='each bundle must be signed by one of them; as ssh-keygen(1) says in ALLOWED SIGNERS')
    parser.add_argument('--fast', action='store_true', help='compare only presence and sizes')


def run(given: 'argparse.Namespace', out: 'Output') -> int:
    from ...bundles import info, reading
    allowed = given.allowed_signers
    found = info.inspect(os.path.abspath(wording.raw(given.path)), not given.fast, wording.raw(allowed) if allowed else None)
    begun = [wording.text(path) for path in reading.unfinished(given.path)]
    if given.json:
        out.json({'bundles': found, 'unfinished': begun})
    else:
        for line in report.verified(found, out.width, out.paint):
            out.line(line)
    for path in begun:
        out.error('lifeboat: %s was begun and is not there: run the same rescue again' % shown(path))
    links = reading.linked(given.path)
    for place in links:
        out.error('lifeboat: %s is a link and was not looked at: verify it by its own path' % shown(place))
    good = sum(item['status'] in ('verified', 'unverified') for item in found)
    return WHOLE if good == len(found) and not begun and not links else PARTIAL if good else NOTHING
