from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import ROOT, make_bundle, tar_bytes


def test_volumes_are_those_that_a_restore_can_rename(tmp_path):
    mounts = [{'type': 'volume', 'name': 'ab12', 'destination': '/d', 'anonymous': True, 'stable_name': 'web-d'}, {'type': 'volume', 'name': 'data'},
              {'type': 'bind', 'source': '/srv'}, {'name': 7}]
    path = make_bundle(tmp_path, {'volumes/data.tar': tar_bytes([ROOT]), 'volumes/lone.tar': tar_bytes([ROOT]), 'binds/x.tar': tar_bytes([ROOT])},
                       {'mounts': mounts, 'container': {'name': 'web'}}, 'container')
    found, = info.inspect(path, True)
    assert found['volumes'] == [{'name': 'ab12', 'stable_name': 'web-d'}, {'name': 'data', 'stable_name': 'data'},
                                {'name': 'lone', 'stable_name': 'lone'}]


def test_senseless_manifests_have_no_volumes(tmp_path):
    found, = info.inspect(make_bundle(tmp_path, {}, {'mounts': 7, 'components': ['x', {'kind': 'volume', 'name': 5}]}), False)
    assert found['volumes'] == [] and found['status'] == 'damaged'
