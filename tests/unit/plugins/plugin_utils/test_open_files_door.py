"""What a node sends of deleted files that were open passes the door, and nothing more."""
import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import plan
from ansible_collections.lifeboat.docker.plugins.plugin_utils import delivery_door as door

COMPONENT = {'name': 'open-files', 'kind': 'open-files', 'file': 'open-files.tar.zst', 'bytes': 1, 'sha256': 'a' * 64, 'entries': 2, 'status': 'complete'}
NOTE = {'code': 'DELETED_STILL_OPEN', 'severity': 'critical', 'object': 'web', 'message': 'm', 'next_step': 'n', 'loses_data': False, 'blocks_start': False}


def test_a_component_and_its_problem():
    bundle = {'name': 'web-1', 'status': 'complete', 'components': [dict(COMPONENT, unnamed=['/etc/passwd'], through=1)], 'problems': [NOTE]}
    found = door.result({'bundles': [bundle], 'problems': [NOTE], 'summary': {}, 'changed': True})
    assert found['bundles'][0]['components'] == [COMPONENT] and found['problems'] == [NOTE]


@pytest.mark.parametrize('place', ['/var/lib/redis', '/', '/srv/with blank', '/\u00e4/x', '/.hidden'])
def test_the_files_of_mounts_have_names_that_pass(place):
    name = 'open-files-01-%s.tar.zst' % plan.slug(place)
    assert door.file_name(name) == name
    assert door.file_name('volumes/moved.sha256') == 'volumes/moved.sha256'
