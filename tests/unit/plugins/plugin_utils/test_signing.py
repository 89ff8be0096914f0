"""The controller signs what it received."""
import json
import os
import shutil
import subprocess

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading, signature
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.plugin_utils import signing
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, member, tar_bytes


@pytest.fixture
def key(tmp_path):
    if shutil.which('ssh-keygen') is None:
        if os.environ.get('CI'):
            pytest.fail('ssh-keygen is missing')
        pytest.skip('ssh-keygen is not installed')
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(tmp_path / 'key')], check=True)
    (tmp_path / 'allowed').write_text('ann@example.org %s' % (tmp_path / 'key.pub').read_text())
    return str(tmp_path / 'key')


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / 'dead1' / 'b', {'volumes/data.tar': tar_bytes([ROOT, member('./a', b'x')])}, {
        'source': {'hostname': 'other', 'host_root': '/mnt/dead', 'data_root': '/mnt/dead/var/lib/docker', 'device': '/dev/sdb1\x1b[31m',
                   'file_system': 'ext4', 'mount_options': 'ro,noload', 'read_only': 'mount'}})


def test_a_bundle_is_signed_once(bundle, key, tmp_path):
    assert signing.sign(os.fsdecode(bundle), key, 'dead1') is True
    first = {name: os.stat(os.path.join(bundle, name)).st_mtime_ns for name in reading.BESIDE}
    found = signature.verify(reading.inspect_bundle(bundle), os.fsencode(str(tmp_path / 'allowed')))
    assert (found.status, found.signer) == ('valid', 'ann@example.org')
    record = found.custody
    assert (record['host'], record['source_device'], record['source_mount_options'], record['source_read_only']) == (
        'dead1', '/dev/sdb1\\x1b[31m', 'ro,noload', 'mount')
    assert record['tool'] == 'lifeboat.docker 1.0.0' and len(record['tool_sha256']) == 64 and 'SHA256:' in record['key'] and record['signed_by']
    assert signing.sign(os.fsdecode(bundle), key, 'dead1') is False
    assert first == {name: os.stat(os.path.join(bundle, name)).st_mtime_ns for name in reading.BESIDE}
    assert all(os.stat(os.path.join(bundle, name)).st_mode & 0o777 == 0o600 for name in reading.BESIDE)


def test_a_signature_by_another_key_is_neither_replaced_nor_taken_for_ours(bundle, key, tmp_path):
    """Whoever asks for a signature and gets none hears of it: the verification with a list of one's own would fail one day."""
    signing.sign(os.fsdecode(bundle), key, 'dead1')
    first = {name: open(os.path.join(bundle, name), 'rb').read() for name in reading.BESIDE}
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(tmp_path / 'mine')], check=True)
    with pytest.raises(LifeboatError, match='signed by another key .SHA256:'):
        signing.sign(os.fsdecode(bundle), str(tmp_path / 'mine'), 'dead1')
    assert first == {name: open(os.path.join(bundle, name), 'rb').read() for name in reading.BESIDE}
    assert signing.sign(os.fsdecode(bundle), key, 'dead1') is False
    for name in reading.BESIDE:
        os.unlink(os.path.join(bundle, name))
    assert signing.sign(os.fsdecode(bundle), str(tmp_path / 'mine'), 'dead1') is True


@pytest.mark.parametrize('change', [
    lambda path: os.unlink(path + b'/custody.json'), lambda path: os.unlink(path + b'/SHA256SUMS.sig'),
    lambda path: open(path + b'/custody.json', 'a').close() or open(path + b'/custody.json', 'w').write('{}'),
    lambda path: open(path + b'/SHA256SUMS.sig', 'w').write('x')])
def test_what_is_not_right_is_signed_again(bundle, key, change, tmp_path):
    signing.sign(os.fsdecode(bundle), key, 'dead1')
    change(bundle)
    assert signing.sign(os.fsdecode(bundle), key, 'dead1') is True
    assert signature.verify(reading.inspect_bundle(bundle), os.fsencode(str(tmp_path / 'allowed'))).status == 'valid'


def test_a_key_with_a_passphrase_asks_nobody(bundle, tmp_path, key):
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', 'secret', '-f', str(tmp_path / 'locked')], check=True)
    with pytest.raises(LifeboatError) as raised:
        signing.sign(os.fsdecode(bundle), str(tmp_path / 'locked'), 'dead1')
    assert 'passphrase' in str(raised.value) and not os.path.exists(bundle + b'/SHA256SUMS.sig')


@pytest.mark.parametrize('name, said', [('none', 'there is no key'), ('text', 'is no key that')])
def test_what_is_no_key(bundle, tmp_path, name, said, key):
    (tmp_path / 'text').write_text('x')
    with pytest.raises(LifeboatError) as raised:
        signing.sign(os.fsdecode(bundle), str(tmp_path / name), 'dead1')
    assert said in str(raised.value)


def test_the_digest_of_the_tool_is_that_of_its_files():
    lines = subprocess.run('find modules module_utils -name "*.py" | LC_ALL=C sort | xargs sha256sum', shell=True, cwd=signing.PLUGINS,
                           stdout=subprocess.PIPE, check=True).stdout
    import hashlib
    assert signing.tool_digest() == hashlib.sha256(lines).hexdigest()


def test_the_record_is_plain_text(bundle):
    with open(bundle + b'/manifest.json', 'rb') as raw:
        manifest = json.load(raw)
    manifest['source']['data_root'] = {'a': 1}
    record = signing.custody(manifest, '0' * 64, 'dead1', 'k')
    assert record['source_data_root'] == '' and all(isinstance(value, str) for value in record.values())
