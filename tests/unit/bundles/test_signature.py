"""A bundle that somebody signed: who it was is said only if nothing of it was changed."""
import json
import os
import subprocess

import programs
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info, reading, signature
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes


def keygen(*words, **more):
    return subprocess.run(['ssh-keygen'] + list(words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, **more).stdout


@pytest.fixture(scope='session')
def keys(tmp_path_factory):
    """A folder with the keys `me` and `other`, and `allowed`, which has only me."""
    programs.need('ssh-keygen')
    folder = tmp_path_factory.mktemp('keys')
    for name in ('me', 'other'):
        keygen('-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', str(folder / name))
    (folder / 'allowed').write_text('me@example.org namespaces="%s" %s' % (signature.NAMESPACE, (folder / 'me.pub').read_text()))
    return folder


def signed(path, name, keys, who='me', namespace=signature.NAMESPACE):
    with open(os.path.join(path, name), 'rb') as data:
        mark = keygen('-Y', 'sign', '-f', str(keys / who), '-n', namespace, input=data.read())
    with open(os.path.join(path, name + b'.sig'), 'wb') as out:
        out.write(mark)


def checked(path, keys):
    return signature.verify(reading.inspect_bundle(path), os.fsencode(str(keys / 'allowed')))


@pytest.fixture
def whole(tmp_path):
    return make_bundle(tmp_path / 'b', {'volumes/data.tar': tar_bytes([ROOT, member('./a', b'x')])})


def test_who_signed_it(whole, keys):
    assert checked(whole, keys)[:4] == ('missing', '', b'SHA256SUMS.sig', 'is missing')
    signed(whole, b'SHA256SUMS', keys)
    assert checked(whole, keys) == ('valid', 'me@example.org', b'SHA256SUMS.sig', '', {})
    found = reading.inspect_bundle(whole)
    assert (found.status, found.extra, found.beside) == ('verified', (), (b'SHA256SUMS.sig',))


def test_the_status_says_it(whole, keys):
    def status():
        item = info.inspect(whole, True, os.fsencode(str(keys / 'allowed')))[0]
        return item['status'], item['signature']['status'], item['signature']['signer'], [each['file'] for each in item['differences']]
    assert status() == ('incomplete', 'missing', '', ['SHA256SUMS.sig'])
    signed(whole, b'SHA256SUMS', keys, 'other')
    assert status() == ('damaged', 'invalid', '', ['SHA256SUMS.sig'])
    signed(whole, b'SHA256SUMS', keys)
    assert status() == ('verified', 'valid', 'me@example.org', [])
    assert 'signature' not in info.inspect(whole, True)[0]
    with open(whole + b'/volumes/data.tar', 'ab') as out:
        out.write(b'!')
    assert status()[0] == 'damaged'


def test_sums_that_were_changed_with_the_file(whole, keys):
    signed(whole, b'SHA256SUMS', keys)
    make_bundle(os.fsdecode(whole), {'volumes/data.tar': tar_bytes([ROOT, member('./a', b'y')])})
    assert reading.inspect_bundle(whole).status == 'verified'
    assert checked(whole, keys)[0::3] == ('invalid', 'does not belong to what it signs')


@pytest.mark.parametrize('mark', [b'', b'garbage', b'-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n', b'x' * 100000])
def test_what_is_no_signature(whole, keys, mark):
    with open(whole + b'/SHA256SUMS.sig', 'wb') as out:
        out.write(mark)
    assert checked(whole, keys).status == 'invalid'


def test_a_signature_that_was_made_for_something_else(whole, keys):
    signed(whole, b'SHA256SUMS', keys, namespace='file')
    assert checked(whole, keys).status == 'invalid'


def test_a_signature_is_no_link(whole, keys, tmp_path):
    signed(whole, b'SHA256SUMS', keys)
    os.rename(whole + b'/SHA256SUMS.sig', os.fsencode(str(tmp_path / 'sig')))
    os.symlink(str(tmp_path / 'sig'), whole + b'/SHA256SUMS.sig')
    assert checked(whole, keys).status == 'invalid'


def custody(path, **more):
    with open(path + b'/SHA256SUMS', 'rb') as data:
        import hashlib
        record = dict({'schema': signature.CUSTODY_SCHEMA, 'sums_sha256': hashlib.sha256(data.read()).hexdigest(), 'signed_by': 'ann\x1b[31m'}, **more)
    with open(path + b'/custody.json', 'w') as out:
        json.dump(record, out)


def test_the_custody_record_counts_only_if_it_is_signed_and_about_this_bundle(whole, keys):
    signed(whole, b'SHA256SUMS', keys)
    custody(whole)
    assert checked(whole, keys)[0:4:2] == ('invalid', b'custody.json.sig')
    signed(whole, b'custody.json', keys, 'other')
    assert checked(whole, keys).status == 'invalid'
    signed(whole, b'custody.json', keys)
    found = checked(whole, keys)
    assert found.status == 'valid' and found.custody['signed_by'] == 'ann\\x1b[31m' and found.custody['custodian'] == 'me@example.org'
    custody(whole, sums_sha256='0' * 64)
    signed(whole, b'custody.json', keys)
    assert checked(whole, keys)[0::3] == ('invalid', 'is about another bundle')
    custody(whole, schema='other')
    signed(whole, b'custody.json', keys)
    assert checked(whole, keys).status == 'invalid' and checked(whole, keys).custody == {}


def test_a_list_that_is_not_there(whole, keys):
    with pytest.raises(LifeboatError) as raised:
        signature.verify(reading.inspect_bundle(whole), b'/no/such/list')
    assert 'allowed_signers /no/such/list is not a file' in str(raised.value)


def test_an_old_ssh_keygen(whole, keys, tmp_path, monkeypatch):
    signed(whole, b'SHA256SUMS', keys)
    (tmp_path / 'ssh-keygen').write_text('#!/bin/sh\necho "unknown option -- Y" >&2\nexit 1\n')
    (tmp_path / 'ssh-keygen').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(LifeboatError) as raised:
        checked(whole, keys)
    assert 'OpenSSH 8.2' in str(raised.value)
