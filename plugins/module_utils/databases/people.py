"""What people made: repositories, mail, private keys."""
import re
from typing import TYPE_CHECKING, Callable, Dict, Optional

from .look import KEYS, MAIL, REPOSITORY, Finder, Kind, Match

if TYPE_CHECKING:
    from .look import Look


def git(look: 'Look', marker: bytes) -> Optional[Match]:
    head = look.head(b'HEAD', 128)
    if not re.match(br'(?:ref: refs/\S+|[0-9a-f]{40}|[0-9a-f]{64})\n?\Z', head):
        return None
    if not look.is_folder(b'objects') or not look.is_folder(b'refs'):
        return None
    stored = any(name != b'info' and (name != b'pack' or look.names(b'objects/pack'))
                 for name in look.names(b'objects'))
    remote = b'[remote ' in look.head(b'config', 16384)
    return Match('git', None, 'HEAD, objects, refs', None, 'has a remote' if remote else 'has no remote',
                 empty=not stored, kind=REPOSITORY)


def maildir(look: 'Look', marker: bytes) -> Optional[Match]:
    if not look.is_folder(b'new') or not look.is_folder(b'tmp'):
        return None
    for box in (b'cur', b'new'):
        for name in look.names(box)[:5]:
            if re.search(br'(?im)^(?:return-path|received|delivered-to|message-id|from|date):',
                         look.head(box + b'/' + name, 4096)):
                return Match('maildir', None, 'messages in ' + box.decode('ascii'), kind=MAIL)
    return None


def private_key(look: 'Look', name: bytes) -> Optional[Match]:
    head = look.head(name, 8192)
    if re.search(br'-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----', head):
        evidence = 'PRIVATE KEY in PEM'
    elif head[:4] == b'\xfe\xed\xfe\xed':
        evidence = 'Java key store'
    elif name.endswith((b'.p12', b'.pfx')) and re.match(br'\x30[\x80\x82-\x84]..?.?.?\x02\x01\x03', head, re.DOTALL):
        evidence = 'PKCS #12'
    else:
        return None
    return Match('keys', None, evidence, name=name, kind=KEYS)


KINDS = (
    Kind('git', 'Git'),
    Kind('maildir', 'mail folder'),
    Kind('keys', 'private keys'),
    Kind('uploads', 'uploaded files'),
)
KEY_NAMES = (b'id_rsa', b'id_dsa', b'id_ecdsa', b'id_ed25519', b'ssh_host_rsa_key', b'ssh_host_ecdsa_key', b'ssh_host_ed25519_key')
MARKERS: Dict[bytes, Callable[..., Optional[Match]]] = dict.fromkeys(KEY_NAMES, private_key)
MARKERS.update({b'HEAD': git, b'cur': maildir})
FINDER = Finder(KINDS, MARKERS,
                tails=dict.fromkeys((b'.pem', b'.key', b'.p12', b'.pfx', b'.jks'), private_key))
