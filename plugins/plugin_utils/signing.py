"""Signs bundles on the controller: SHA256SUMS, and a custody record that says who rescued what, when, from which device."""
from __future__ import annotations

import datetime
import functools
import getpass
import hashlib
import json
import os
import re
import socket
import subprocess
import tempfile
from typing import Any

from ansible.release import __version__ as ansible_version

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import place
from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading, signature
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.values import as_dict, as_str

PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEY = re.compile(r'SHA256:[A-Za-z0-9+/]{43}')
SOURCE = ('hostname', 'host_root', 'data_root', 'recorded_path', 'device', 'file_system', 'mount_options', 'read_only')


def sign(path: str, key: str, host: str) -> bool:
    """Sign the bundle at PATH, which was verified, with the private KEY (or the public one, if an agent has the private one) -> whether there
    was no good signature with its record yet. LifeboatError, also for a good one by another key: it is evidence, and not replaced."""
    key = os.path.abspath(os.path.expanduser(key))
    if not os.path.isfile(key):
        raise LifeboatError('sign: there is no key %s on the controller.' % wording.show(key))
    folder = place.open_dest(os.path.abspath(os.fsencode(path)), False)
    try:
        sums = _read(folder, reading.SUMS, reading.MAX_SUMS)
        if sums is None:
            raise LifeboatError('The bundle %s has no SHA256SUMS.' % wording.show(path))
        digest = hashlib.sha256(sums).hexdigest()
        fingerprint = _fingerprint(key)
        others = _signed_by(folder, sums, digest)
        if others is not None:
            _refuse_others(path, others, fingerprint)
            return False
        manifest = reading.parse(_read(folder, reading.MANIFEST, reading.MAX_MANIFEST) or b'{}')
        record = json.dumps(custody(as_dict(manifest), digest, host, fingerprint), indent=1, sort_keys=True).encode('ascii') + b'\n'
        marks = _made(key, sums), _made(key, record)
        # the signature that says "signed" comes last
        _write(folder, reading.CUSTODY, record)
        _write(folder, reading.CUSTODY_SIGNATURE, marks[1])
        _write(folder, reading.SIGNATURE, marks[0])
        return True
    except ValueError as exc:
        raise LifeboatError('manifest.json of the bundle %s is not JSON: %s.' % (wording.show(path), exc)) from exc
    except OSError as exc:
        raise LifeboatError('The bundle %s cannot be signed: %s.' % (wording.show(path), exc.strerror)) from exc
    finally:
        os.close(folder)


def custody(manifest: dict[str, Any], digest: str, host: str, fingerprint: str) -> dict[str, str]:
    """The record; texts only. What the dead host's node said of its disk is named as what it is: said by the bundle."""
    source = as_dict(manifest.get('source'))
    name, version = (as_str(as_dict(manifest.get('tool')).get(key)) for key in ('name', 'version'))
    now = datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')
    record = {'schema': signature.CUSTODY_SCHEMA, 'sums_sha256': digest, 'signed_at': now, 'signed_by': _user(), 'controller': socket.gethostname(),
              'key': fingerprint, 'host': host, 'rescued_at': as_str(manifest.get('created')), 'tool': '%s %s' % (name, version),
              'tool_sha256': tool_digest(), 'ansible': ansible_version}
    record.update({'source_' + key: as_str(source.get(key)) for key in SOURCE})
    return {key: wording.show(value)[:signature.LONGEST] for key, value in record.items()}


def _user() -> str:
    """Who runs Ansible here, and for whom, if by sudo."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = 'uid %d' % os.getuid()
    behind = os.environ.get('SUDO_USER')
    return '%s (sudo of %s)' % (name, behind) if behind and behind != name else name


@functools.lru_cache(maxsize=1)
def tool_digest() -> str:
    """SHA-256 over the code of the collection that reads disks: of lines as sha256sum prints them, for plugins/modules and
    plugins/module_utils in the order of their names."""
    names = []
    for top in ('module_utils', 'modules'):
        for folder, dummy, files in os.walk(os.path.join(PLUGINS, top)):
            names += [os.path.relpath(os.path.join(folder, name), PLUGINS) for name in files if name.endswith('.py')]
    found = hashlib.sha256()
    for name in sorted(names):
        with open(os.path.join(PLUGINS, name), 'rb') as source:
            found.update(('%s  %s\n' % (hashlib.sha256(source.read()).hexdigest(), name)).encode('utf-8'))
    return found.hexdigest()


def _refuse_others(path: str, found: list[str], fingerprint: str) -> None:
    """LifeboatError where one of the signatures FOUND is by another key than that of FINGERPRINT."""
    own = KEY.search(fingerprint)
    other = next((each for each in found if own is not None and each and each != own.group()), None)
    if other is not None:
        raise LifeboatError('The bundle %s is signed by another key (%s), and that signature was kept. To sign it anew, move SHA256SUMS.sig, '
                            'custody.json and custody.json.sig out of it.' % (wording.show(path), other))


def _signed_by(folder: int, sums: bytes, digest: str) -> list[str] | None:
    """Whose both signatures are, of what is there now: fingerprints. None where they are not there, or not good."""
    mark, record, record_mark = (_read(folder, name, signature.MAX_CUSTODY) for name in (
        reading.SIGNATURE, reading.CUSTODY, reading.CUSTODY_SIGNATURE))
    if mark is None or record is None or record_mark is None:
        return None
    try:
        about = as_dict(reading.parse(record)).get('sums_sha256')
    except ValueError:
        return None
    found = [_checks(sums, mark), _checks(record, record_mark)] if about == digest else [None]
    return None if None in found else [one or '' for one in found]


def _checks(data: bytes, mark: bytes) -> str | None:
    """The fingerprint of the key that signed DATA with MARK, '' if ssh-keygen does not tell; None for no good signature."""
    with tempfile.NamedTemporaryFile(prefix='lifeboat-signature-') as kept:
        kept.write(mark)
        kept.flush()
        done = _keygen(['-Y', 'check-novalidate', '-n', signature.NAMESPACE, '-s', kept.name], data)
    found = KEY.search(done.stdout.decode('utf-8', 'replace'))
    return None if done.returncode else found.group() if found is not None else ''


def _made(key: str, data: bytes) -> bytes:
    done = _keygen(['-Y', 'sign', '-q', '-f', key, '-n', signature.NAMESPACE], data)
    if done.returncode or not done.stdout.startswith(b'-----BEGIN SSH SIGNATURE-----'):
        raise LifeboatError('ssh-keygen does not sign with %s: %s. A key with a passphrase must be in an ssh agent.' % (
            wording.show(key), _last(done.stderr)))
    return done.stdout


def _fingerprint(key: str) -> str:
    done = _keygen(['-l', '-f', key], b'')
    if done.returncode:
        raise LifeboatError('sign: %s is no key that ssh-keygen reads: %s.' % (wording.show(key), _last(done.stderr)))
    return wording.show(done.stdout.decode('utf-8', 'backslashreplace').split('\n')[0])


def _keygen(words: list[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    """ssh-keygen, which asks nobody for anything."""
    try:
        return subprocess.run([signature.PROGRAM] + words, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=signature.TIMEOUT, start_new_session=True, env=dict(os.environ, LC_ALL='C', SSH_ASKPASS_REQUIRE='never'))
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LifeboatError('sign needs ssh-keygen of OpenSSH 8.2 or newer on the controller: %s.' % (
            getattr(exc, 'strerror', None) or 'it does not end')) from exc


def _last(said: bytes) -> str:
    lines = [line.strip().rstrip('.') for line in said.decode('utf-8', 'backslashreplace').splitlines() if line.strip()]
    return wording.sentence(lines[-1]) if lines else 'it said nothing'


def _read(folder: int, name: bytes, limit: int) -> bytes | None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    with os.fdopen(fd, 'rb') as stream:
        return stream.read(limit)


def _write(folder: int, name: bytes, data: bytes) -> None:
    """NAME in FOLDER, which appears with all its bytes."""
    partial = b'.%s-%s' % (name, os.urandom(4).hex().encode('ascii'))
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, 'wb') as out:
            out.write(data)
            out.flush()
            os.fsync(fd)
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(partial, dir_fd=folder)
        raise
