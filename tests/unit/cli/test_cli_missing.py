"""What is missing is said, with status 1, and what is there is had all the same."""
import os
import shutil

import deadroot
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.cli import main


@pytest.fixture
def host(tmp_path):
    """(deadroot.Expected, host root as text) to be damaged."""
    top = str(tmp_path / 'host')
    return deadroot.build(top + '/var/lib/docker', host_root=top), top


@pytest.fixture
def ran(host, capfd):
    """ran('look') -> (status, output and errors as text)."""
    def run(*words):
        capfd.readouterr()
        return main.main(['--host-root', host[1]] + list(words)), ''.join(capfd.readouterr())
    return run


@pytest.mark.parametrize('leads_to', ['/', '/is/not/there', '/srv'])
def test_a_volume_that_is_a_link_keeps_nothing_else_back(host, ran, tmp_path, leads_to):
    data = host[0].volume('shop_db').path
    os.rename(data, data + b'.away')
    os.symlink(leads_to, data)
    status, said = ran('rescue', str(tmp_path / 'dest'))
    assert status == 1 and 'VOLUME_IS_LINK' in said
    assert len(reading.find_bundles(str(tmp_path / 'dest'))) == 3
    assert ran('cp', 'web:/srv/uploads', str(tmp_path / 'copy'))[0] == 0


def test_dest_in_the_target_of_such_a_link_is_refused_on_the_host_itself(tmp_path):
    from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import target
    (tmp_path / 'big').mkdir()
    os.symlink(str(tmp_path / 'big'), str(tmp_path / '_data'))
    for root, expected in ((b'/', True), (os.fsencode(str(tmp_path)), False)):
        host_ = type('Host', (), {'root': type('Root', (), {'path': root})})
        assert target.within(host_, os.fsencode(str(tmp_path / 'big' / 'x')), os.fsencode(str(tmp_path / '_data'))) is expected


def test_settings_that_are_gone(host, ran, tmp_path):
    os.remove(os.path.join(host[0].container('db').folder, b'hostconfig.json'))
    status, said = ran('rescue', str(tmp_path / 'dest'), 'db')
    assert status == 1 and 'HOSTCONFIG_DAMAGED' in said and 'missing' in said


def test_a_log_that_is_gone(host, ran):
    for path in host[0].container('web').log_files:
        os.remove(path)
    status, said = ran('logs', 'web')
    assert status == 1 and 'no log file' in said


def test_a_log_with_a_gap(host, ran):
    os.remove(host[0].container('web').log_files[-2])
    status, said = ran('logs', 'web')
    assert status == 1 and 'has the number 1' in said and 'web line' in said


def test_a_container_that_never_ran_has_no_log(tmp_path):
    from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import containers
    assert list(containers._log_gaps('a' * 64, 'json-file', [], False)) == []
    assert list(containers._log_gaps('a' * 64, 'json-file', [b'/x/y-json.log.2.gz', b'/x/y-json.log.1', b'/x/y-json.log'], True)) == []


def test_a_guessed_layer_is_called_a_guess(host, ran, tmp_path):
    shutil.rmtree(os.path.join(host[0].root, b'image', b'overlay2', b'layerdb', b'mounts'))
    status, said = ran('cp', 'db:/', str(tmp_path / 'copy'))
    assert status == 1 and 'Compare its content' in said


def test_a_bundle_behind_a_link_is_not_verified_and_that_is_said(host, ran, tmp_path):
    dest = tmp_path / 'dest'
    ran('rescue', str(dest), 'db', 'job')
    bundle = reading.find_bundles(str(dest))[0]
    os.rename(bundle, os.fsencode(str(tmp_path / 'moved')))
    os.symlink(str(tmp_path / 'moved'), bundle)
    status, said = ran('verify', str(dest))
    assert status == 1 and '1 of 1 bundle is whole' in said and os.fsdecode(bundle) + ' is a link' in said
    assert ran('verify', os.fsdecode(bundle))[0] == 0
