"""What `make release` signs is what ansible-galaxy verifies: the bytes of MANIFEST.json."""
import io
import subprocess
import tarfile

import programs
import pytest
import release


@pytest.fixture
def gpg(tmp_path, monkeypatch):
    programs.need('gpg')
    home = tmp_path / 'g'
    home.mkdir(mode=0o700)
    monkeypatch.setenv('GNUPGHOME', str(home))

    def call(*words):
        return subprocess.run(('gpg', '--batch', '--quiet') + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    call('--passphrase', '', '--quick-gen-key', 'maker@example.org', 'ed25519', 'sign')
    yield call
    subprocess.run(['gpgconf', '--kill', 'all'], check=False)


def test_a_release_is_signed_with_the_key_that_was_given(tmp_path, gpg):
    manifest = b'{"collection_info": {}}'
    path = str(tmp_path / 'lifeboat-docker-1.0.0.tar.gz')
    with tarfile.open(path, 'w:gz') as archive:
        info = tarfile.TarInfo('MANIFEST.json')
        info.size = len(manifest)
        archive.addfile(info, io.BytesIO(manifest))
    (tmp_path / 'SHA256SUMS').write_text('x')
    assert release.sign('maker@example.org', path, str(tmp_path)) == ['lifeboat-docker-1.0.0.MANIFEST.json.asc', 'SHA256SUMS.asc']
    (tmp_path / 'MANIFEST.json').write_bytes(manifest)
    for mark, data in (('lifeboat-docker-1.0.0.MANIFEST.json.asc', 'MANIFEST.json'), ('SHA256SUMS.asc', 'SHA256SUMS')):
        assert gpg('--verify', str(tmp_path / mark), str(tmp_path / data)).returncode == 0
        (tmp_path / data).write_bytes(b'other')
        assert gpg('--verify', str(tmp_path / mark), str(tmp_path / data)).returncode != 0
    with pytest.raises(SystemExit) as raised:
        release.sign('nobody@example.org', path, str(tmp_path))
    assert 'gpg does not sign with nobody@example.org' in str(raised.value)
