"""The keys of a swarm node: the key of the raft log, which lies in the headers of the node's private key, and the unlock key over it.

(moby/swarmkit: manager/deks.go, manager/encryption, ca/keyreadwriter.go.)
"""
import base64
import binascii
import re
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Sequence

from ...disk.errors import LifeboatError
from ...formats import fernet, secretbox, wording
from ...formats.protobuf import Damaged, Message

if TYPE_CHECKING:
    from ...disk.safeio import Dir

FILE = b'swarm-node.key'
CERTIFICATE = b'swarm-node.crt'
HEADERS = ('raft-dek', 'raft-dek-pending')      # the one in use, and the one that is about to be
PREFIX = 'SWMKEY-1-'
PLAIN, SECRETBOX, FERNET = 0, 1, 2      # of a MaybeEncryptedRecord
LARGEST = 1 << 20                       # bytes of the file of a key or certificate
_HEADER = re.compile(r'([A-Za-z0-9-]{1,64}): ?([A-Za-z0-9+/=_-]{0,8192})\Z')
# where an X.509 name has the common name, the organization and its unit: id-at (2 5 4), ITU-T X.520
_NAMES = {'node_id': b'\x06\x03\x55\x04\x03', 'cluster_id': b'\x06\x03\x55\x04\x0a', 'role': b'\x06\x03\x55\x04\x0b'}
_STRINGS = (0x0c, 0x13, 0x14, 0x16)     # tags of strings in ASN.1


class Locked(Exception):
    """The key of the log is locked. `wrong`: an unlock key was given, and it does not fit."""

    def __init__(self, wrong: bool) -> None:
        super(Locked, self).__init__()
        self.wrong = wrong


class Lost(Exception):
    """There is no key of the log; the text says why."""


class Keys(NamedTuple):
    """The keys of the raft log. `autolock`: an unlock key is over them."""
    keys: Sequence[bytes]
    autolock: bool


def unlock_key(text: str) -> Optional[bytes]:
    """The bytes of an unlock key as `docker swarm unlock-key` prints it; None for ''. LifeboatError, which does not repeat it."""
    text = text.strip()
    if not text:
        return None
    try:
        raw = base64.b64decode(text[len(PREFIX):] + '=' * (-len(text[len(PREFIX):]) % 4), validate=True) if text.startswith(PREFIX) else b''
    except (binascii.Error, ValueError):
        raw = b''
    if len(raw) != secretbox.KEY:
        raise LifeboatError('The unlock key is not one: it begins with %s and has 43 characters behind that, as docker swarm unlock-key prints it.' % PREFIX)
    return raw


def of_node(folder: 'Dir', unlock: Optional[bytes]) -> Keys:
    """The Keys of the node whose certificates lie in FOLDER. Locked, Lost."""
    try:
        headers = pem_headers(folder.read(FILE, LARGEST))
    except OSError as exc:
        raise Lost('the file with the key cannot be read: %s' % (exc.strerror or exc))
    found: List[bytes] = []
    autolock = False
    for name in HEADERS:
        if name not in headers:
            continue
        try:
            record = Message(base64.b64decode(headers[name], validate=True))
        except (binascii.Error, Damaged, ValueError):
            raise Lost('the header %s of the node\'s key is damaged' % name)
        autolock = autolock or record.number(1) != PLAIN
        if record.number(1) != PLAIN and unlock is None:
            raise Locked(False)
        try:
            key = opened(record, [unlock] if unlock is not None else [])
        except Damaged:
            raise Locked(True)
        if len(key) != secretbox.KEY:
            raise Lost('the key in the header %s has %s' % (name, wording.number(len(key), 'byte')))
        found.append(key)
    if not found:
        raise Lost('the node\'s key has no header %s' % HEADERS[0])
    return Keys(found, autolock)


def opened(record: Message, keys: Sequence[bytes]) -> bytes:
    """What is in a MaybeEncryptedRecord, by the first of KEYS that fits. Damaged."""
    algorithm, data = record.number(1), record.raw(2)
    if algorithm == PLAIN:
        return data
    if algorithm not in (SECRETBOX, FERNET):
        raise Damaged('it is encrypted in an unknown way (%d)' % algorithm)
    for key in keys:
        try:
            return secretbox.open_box(data, record.raw(3), key) if algorithm == SECRETBOX else fernet.open_token(data, key)
        except ValueError:
            continue
    raise Damaged('no key fits')


def pem_headers(raw: bytes) -> Dict[str, str]:
    """{name: value} of the headers of the first PEM block that has such (RFC 1421), {} for none."""
    found: Dict[str, str] = {}
    for line in raw.decode('ascii', 'replace').splitlines():
        if line.startswith('-----BEGIN '):
            found = {}
        elif line.startswith('-----END ') or not line.strip():
            if found:
                return found
        else:
            match = _HEADER.match(line.strip())
            if match:
                found[match.group(1)] = match.group(2)
    return found


def who(folder: 'Dir') -> Dict[str, str]:
    """{'node_id', 'cluster_id', 'role'} as the node's certificate says them; '' for what it does not say. It is not verified."""
    try:
        text = folder.read(CERTIFICATE, LARGEST).decode('ascii', 'replace')
        body = text.split('-----BEGIN CERTIFICATE-----', 1)[1].split('-----END', 1)[0]
        raw = base64.b64decode(''.join(body.split()))
    except (OSError, IndexError, ValueError):
        raw = b''
    return {key: _subject(raw, mark) for key, mark in _NAMES.items()}


def _subject(raw: bytes, mark: bytes) -> str:
    """The value behind the last MARK: the issuer's name stands before the subject's."""
    start = raw.rfind(mark)
    value = raw[start + len(mark):] if start >= 0 else b''
    if len(value) < 2 or value[0] not in _STRINGS or value[1] > 127 or len(value) < 2 + value[1]:
        return ''
    text = value[2:2 + value[1]].decode('utf-8', 'replace')
    return text if text.isprintable() else ''
