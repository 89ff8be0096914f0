"""What crypttab and mdadm.conf of the dead host say about its disks: names that its fstab uses, and key files that lie on it.

All of it is untrusted. Names are only compared, a key file is opened inside of the dead host, as in a chroot, and its bytes are
only given to cryptsetup, on its standard input, for a container of the same disks.
"""
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from ..disk import fsinfo
from ..disk.host import HostRoot

CRYPTTAB = b'/etc/crypttab'
MDADM = (b'/etc/mdadm/mdadm.conf', b'/etc/mdadm.conf')
MAX_SIZE = 1 << 20
MAX_KEY = 8 << 20                       # as cryptsetup has it
MAX_LINES = 200
_NUMBER = re.compile(r'[0-9]{1,9}\Z')


class Encrypted(NamedTuple):
    """A line of crypttab. `key`: path of the key file in the dead host, b'' if a person types the passphrase."""
    name: str
    source: bytes
    key: bytes
    options: Tuple[str, ...]


def crypttab(host: HostRoot) -> Tuple[Encrypted, ...]:
    """The lines of crypttab(5) of HOST; () if it has none."""
    found = []
    for line in _lines(host, CRYPTTAB):
        fields = line.split()
        if len(fields) < 2:
            continue
        key = fsinfo.unescape(fields[2]) if len(fields) > 2 else b'none'
        options = tuple(fields[3].decode('utf-8', 'replace').split(',')) if len(fields) > 3 else ()
        found.append(Encrypted(fsinfo.unescape(fields[0]).decode('utf-8', 'surrogateescape'), fsinfo.unescape(fields[1]),
                               key if key.startswith(b'/') and not key.startswith(b'/dev/') else b'', options))
    return tuple(found)


def key_of(host: HostRoot, line: Encrypted) -> Optional[bytes]:
    """The bytes of the key file that LINE names and HOST has; None if there is none."""
    if not line.key:
        return None
    limits = {name: int(value) for name, dummy, value in (each.partition('=') for each in line.options)
              if name in ('keyfile-size', 'keyfile-offset') and _NUMBER.match(value)}
    try:
        raw = host.read(line.key, MAX_KEY)
    except OSError:
        return None
    raw = raw[limits.get('keyfile-offset', 0):]
    return raw[:limits['keyfile-size']] if 'keyfile-size' in limits else raw


def arrays(host: HostRoot) -> Dict[str, str]:
    """{path in /dev: UUID of the array, as blkid prints it} of mdadm.conf(5) of HOST."""
    found = {}                          # type: Dict[str, str]
    for path in MDADM:
        for words in _joined(_lines(host, path)):
            if words[0].upper() != 'ARRAY':
                continue
            named = [word for word in words[1:2] if '=' not in word and word != '<ignore>']
            raw = [word[5:].replace(':', '').lower() for word in words[1:] if word.lower().startswith('uuid=')]
            if named and raw and re.match(r'[0-9a-f]{32}\Z', raw[0]):
                place = named[0] if named[0].startswith('/dev/') else '/dev/md/' + named[0]
                found.setdefault(place, '-'.join((raw[0][:8], raw[0][8:12], raw[0][12:16], raw[0][16:20], raw[0][20:])))
    return found


def _joined(lines: List[bytes]) -> List[List[str]]:
    """Words of each line; one that begins with a blank goes on with the line before it."""
    found = []                          # type: List[List[str]]
    for line in lines:
        words = line.decode('utf-8', 'surrogateescape').split()
        if found and line[:1] in (b' ', b'\t'):
            found[-1] += words
        else:
            found.append(words)
    return found


def _lines(host: HostRoot, path: bytes) -> List[bytes]:
    try:
        raw = host.read(path, MAX_SIZE)
    except OSError:
        return []
    return [line for line in raw.split(b'\n') if line.strip() and not line.strip().startswith(b'#')][:MAX_LINES]
