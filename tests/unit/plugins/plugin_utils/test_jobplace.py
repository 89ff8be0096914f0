"""What is deleted with a job of AWX: its own folder, and all of its container that is not mounted from outside."""
import pytest

from ansible_collections.lifeboat.docker.plugins.plugin_utils import jobplace

LINES = r"""
620 500 0:50 / / rw,relatime - overlay overlay rw,lowerdir=a,upperdir=b
621 620 0:55 / /proc rw,nosuid - proc proc rw
622 620 8:1 /iso/awx_7_x /runner rw,relatime - xfs /dev/sda1 rw
623 620 8:1 /srv/lifeboat /srv/lifeboat rw,relatime - xfs /dev/sda1 rw
624 620 0:60 / /mnt/two\040words rw,relatime - nfs4 nas:/x rw
"""
JOB = {'AWX_ISOLATED_DATA_DIR': '/runner/artifacts/7'}


@pytest.fixture
def mounts(tmp_path):
    (tmp_path / 'mountinfo').write_text(LINES.lstrip())
    return str(tmp_path / 'mountinfo')


@pytest.mark.parametrize('path, gone', [
    ('/srv/lifeboat/rescued', False), ('/srv/lifeboat', False), ('/mnt/two words/out', False),
    ('/srv/lifeboat2/rescued', True), ('/srv', True), ('/', True), ('/mnt/two', True), ('/runner/out', True)])
def test_in_a_container_only_mounts_stay(mounts, path, gone):
    assert jobplace.vanishes(path, JOB, mounts) is gone


@pytest.mark.parametrize('environ', [{}, {'AWX_ISOLATED_DATA_DIR': '/tmp/awx_7/artifacts/7'}])
def test_without_a_container_only_the_jobs_own_folder_goes(mounts, environ):
    assert not jobplace.vanishes('/srv/elsewhere', environ, mounts)
    assert jobplace.vanishes('/runner', environ, mounts) and not jobplace.vanishes('/runners', environ, mounts)


def test_a_link_is_followed(mounts, tmp_path):
    (tmp_path / 'link').symlink_to('/srv/lifeboat')
    assert jobplace.vanishes(str(tmp_path), JOB, mounts) and not jobplace.vanishes(str(tmp_path / 'link' / 'x'), JOB, mounts)


def test_unreadable_mounts_refuse_nothing(tmp_path):
    assert not jobplace.vanishes('/srv/elsewhere', JOB, str(tmp_path / 'none'))
    (tmp_path / 'cut').write_text('620 500\n')
    assert not jobplace.vanishes('/srv/elsewhere', JOB, str(tmp_path / 'cut'))
