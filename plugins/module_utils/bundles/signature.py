"""Signatures of bundles: made on the controller over SHA256SUMS, verified here with the user's list of allowed signers.

``ssh-keygen -Y``, OpenSSH 8.2 or newer (PROTOCOL.sshsig). Whoever checks without this collection:

    ssh-keygen -Y verify -f allowed_signers -I WHO -n lifeboat-bundle@lifeboat.docker -s SHA256SUMS.sig < SHA256SUMS

custody.json says who rescued, when, from which device; it is signed in the same way and names the SHA256SUMS that it is about.
"""
import hashlib
import os
import subprocess
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional

from ..disk import safeio
from ..disk.errors import LifeboatError
from ..formats import wording
from ..formats.values import as_str
from . import reading

NAMESPACE = 'lifeboat-bundle@lifeboat.docker'
CUSTODY_SCHEMA = 'lifeboat.custody/1'
PROGRAM = 'ssh-keygen'
MAX_SIGNATURE = 64 << 10
MAX_CUSTODY = 256 << 10
TIMEOUT = 60
LONGEST = 1000                          # characters of a value of custody.json in a result

VALID = 'valid'
MISSING = 'missing'                     # there is no signature
INVALID = 'invalid'                     # it is of other data, damaged, or by nobody of the list


class Signature(NamedTuple):
    """What is known of the signature of a bundle. `reason`: why it is not valid. `custody`: texts, empty unless both signatures are valid."""
    status: str
    signer: str
    file: bytes
    reason: str
    custody: Dict[str, str]


def verify(info: reading.BundleInfo, allowed: bytes) -> Signature:
    """Compare the signatures of a bundle with the file ALLOWED (ALLOWED SIGNERS of ssh-keygen(1)). LifeboatError where ALLOWED or
    ssh-keygen cannot be used."""
    if not os.path.isfile(allowed):
        raise LifeboatError('allowed_signers %s is not a file.' % wording.show(allowed))
    allowed = os.path.abspath(allowed)
    try:
        with safeio.Dir.root(os.path.realpath(info.path)) as root:
            sums = _read(root, reading.SUMS, reading.MAX_SUMS)
            mark = _read(root, reading.SIGNATURE, MAX_SIGNATURE)
            custody, custody_mark = _read(root, reading.CUSTODY, MAX_CUSTODY), _read(root, reading.CUSTODY_SIGNATURE, MAX_SIGNATURE)
    except OSError as exc:
        return Signature(INVALID, '', reading.SIGNATURE, 'cannot be read: %s' % exc.strerror, {})
    if mark is None or sums is None:
        return Signature(MISSING, '', reading.SIGNATURE, 'is missing', {})
    if reading.parse_sums(sums)[0] != info.sums:
        return Signature(INVALID, '', reading.SUMS, 'was changed while the bundle was checked', {})
    signer, reason = _signer(sums, mark, allowed)
    if not signer:
        return Signature(INVALID, '', reading.SIGNATURE, reason, {})
    if custody is None:
        return Signature(VALID, signer, reading.SIGNATURE, '', {})
    return _with_custody(signer, hashlib.sha256(sums).hexdigest(), custody, custody_mark, allowed)


def _with_custody(signer: str, digest: str, custody: bytes, mark: Optional[bytes], allowed: bytes) -> Signature:
    """The answer for a bundle whose SHA256SUMS, of the SHA-256 DIGEST, SIGNER signed and that has a custody record."""
    if mark is None:
        return Signature(INVALID, signer, reading.CUSTODY_SIGNATURE, 'is missing', {})
    by, reason = _signer(custody, mark, allowed)
    if not by:
        return Signature(INVALID, signer, reading.CUSTODY_SIGNATURE, reason, {})
    try:
        record = reading.parse(custody)
    except ValueError as exc:
        return Signature(INVALID, signer, reading.CUSTODY, 'is not JSON: %s' % exc, {})
    if not isinstance(record, dict) or record.get('schema') != CUSTODY_SCHEMA:
        return Signature(INVALID, signer, reading.CUSTODY, 'is no custody record of a known version', {})
    if record.get('sums_sha256') != digest:
        return Signature(INVALID, signer, reading.CUSTODY, 'is about another bundle', {})
    shown = {wording.show(key[:100]): wording.show(as_str(value)[:LONGEST]) for key, value in record.items()}
    return Signature(VALID, signer, reading.SIGNATURE, '', dict(shown, custodian=wording.show(by)))


def _read(root: safeio.Dir, name: bytes, limit: int) -> Optional[bytes]:
    try:
        return root.read(name, limit)
    except FileNotFoundError:
        return None


def _signer(data: bytes, mark: bytes, allowed: bytes) -> Any:
    """(who signed DATA with the signature MARK, ''), or ('', why nobody of the list did)."""
    with tempfile.NamedTemporaryFile(prefix='lifeboat-signature-') as kept:
        kept.write(mark)
        kept.flush()
        status, said = _run(['find-principals', '-s', kept.name, '-f', os.fsdecode(allowed)], b'')
        names = [line for line in said.split('\n') if line]
        if status or not names:
            return '', 'is by nobody of allowed_signers, or damaged'
        status, said = _run(['verify', '-f', os.fsdecode(allowed), '-I', names[0], '-n', NAMESPACE, '-s', kept.name], data)
        if status:
            return '', 'does not belong to what it signs'
        return wording.show(names[0]), ''


def _run(words: List[str], data: bytes) -> Any:
    """(exit status, output) of ssh-keygen -Y. LifeboatError where there is none, or too old a one."""
    try:
        # pylint: disable-next=ansible-bad-function
        done = subprocess.run([PROGRAM, '-Y'] + words, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=TIMEOUT, env=dict(os.environ, LC_ALL='C'))
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LifeboatError('Signatures need ssh-keygen of OpenSSH 8.2 or newer: %s.' % (getattr(exc, 'strerror', None) or 'it does not end'))
    said = done.stderr.decode('utf-8', 'backslashreplace')
    if 'unknown option' in said or 'illegal option' in said or 'nsupported operation' in said:
        raise LifeboatError('Signatures need ssh-keygen of OpenSSH 8.2 or newer; the one here is older.')
    return done.returncode, done.stdout.decode('utf-8', 'backslashreplace')
