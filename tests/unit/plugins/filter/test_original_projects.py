"""Which original files a restore puts back. deployment.json comes from a dead host that may have been taken over."""
import base64
import json
import os

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.lifeboat.docker.plugins.filter.original_projects import original_projects

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 4)


def file(path, role='env file', by=('compose shop',), **more):
    return dict({'path': path, 'file': 'files' + path, 'role': role, 'named_by': list(by), 'mode': '0644', 'confidential': role == 'env file',
                 'sha256': 'a' * 64}, **more)


def entry(**more):
    return dict({'kind': 'compose', 'name': 'shop', 'project': 'shop', 'folder': '/srv/shop', 'compose': ['/srv/shop/compose.yaml'],
                 'containers': ['shop-web-1'], 'env_files': [], 'variables': None}, **more)


def read(deployments, files, names=()):
    return original_projects(base64.b64encode(json.dumps({'deployments': deployments, 'files': files}).encode()).decode(), names)


COMPOSE = file('/srv/shop/compose.yaml', 'compose file')


def test_a_project_with_all_that_its_files_name():
    files = [COMPOSE, file('/srv/shop/.env'), file('/srv/shop/web.env', by=['/srv/shop/compose.yaml']),
             file('/srv/more/compose.yaml', 'compose file', ['compose shop']), file('/srv/more/x.env', by=['/srv/more/compose.yaml']),
             file('/srv/other/.env', by=['compose other']), file('/etc/systemd/system/x.service', 'unit', ['systemd x.service']),
             file('/opt/x', 'script', ['compose shop']), {'path': None, 'file': 'made/portainer-shop.env', 'role': 'env file', 'sha256': 'b' * 64,
                                                          'named_by': []}]
    found = read([entry(variables='made/portainer-shop.env', env_files=['/srv/shop/.env'])], files)
    one, = found['projects']
    assert found['refused'] == found['unknown'] == [] and one['folder'] == '/srv/shop'
    assert {(item['path'], item['mode']) for item in one['files']} == {
        ('/srv/shop/compose.yaml', '0644'), ('/srv/shop/.env', '0600'), ('/srv/shop/web.env', '0600'), ('/srv/more/compose.yaml', '0644'),
        ('/srv/more/x.env', '0600'), ('/srv/shop/lifeboat.env', '0600')}
    assert one['argv'] == ['--project-name', 'shop', '--project-directory', '/srv/shop', '--file', '/srv/shop/compose.yaml', '--env-file', '/srv/shop/.env',
                           '--env-file', '/srv/shop/lifeboat.env']


def test_anonymous_volumes_are_told():
    """Their data are restored, and Compose connects empty ones: nobody looks for them otherwise."""
    def document(mounts, project='shop'):
        return base64.b64encode(json.dumps({'deployments': [entry()], 'files': [COMPOSE], 'containers': [
            {'name': 'shop-web-1\x1b[31m', 'project': project, 'mounts': mounts}]}).encode()).decode()
    anonymous = {'type': 'volume', 'source': '', 'target': '/var/cache'}
    note, = original_projects(document([anonymous, {'type': 'volume', 'source': 'shop_data', 'target': '/data'},
                                        {'type': 'tmpfs', 'source': '', 'target': '/scratch'}]))['notes']
    assert 'shop-web-1\\x1b[31m at /var/cache.' in note and '/data' not in note and '/scratch' not in note and note.isprintable()
    assert '2 more' in original_projects(document([anonymous] * 7))['notes'][0]
    assert original_projects(document([anonymous], 'other'))['notes'] == [] and original_projects(document(7))['notes'] == []


def test_which_projects():
    other = entry(name='b', project='b', compose=['/srv/b/compose.yaml'], folder='/srv/b', containers=[])
    files = [COMPOSE, file('/srv/b/compose.yaml', 'compose file', ['compose b'])]
    assert [one['name'] for one in read([entry(), other], files)['projects']] == ['shop']
    found = read([entry(), other], files, ['b', 'none'])
    assert [one['name'] for one in found['projects']] == ['b'] and found['unknown'] == ['none']


@pytest.mark.parametrize('change', [
    {'project': '--file=/etc/shadow'}, {'project': 'Shop'}, {'project': ''}, {'folder': '/'}, {'folder': 'relative'}, {'folder': '/srv/../etc'},
    {'folder': '/etc/cron.d'},
    {'compose': ['/srv/none.yaml']},
    {'env_files': ['/srv/shop/gone.env']}, {'compose': ['/srv/shop/compose.yaml'] * 501}, {'compose': ['-']},
    {'compose': ['/srv/shop/\x1b[31m']}, {'compose': ['/srv//shop/compose.yaml']}, {'variables': '../x'},
    {'variables': 'files/../x'}, {'folder': '/root/.ssh'}, {'folder': '/var/lib/docker/volumes/portainer_data/_data/compose/3'},
])
def test_a_project_that_is_refused(change):
    found = read([entry(**change)], [COMPOSE])
    assert found['projects'] == [] and len(found['refused']) == 1 and found['refused'][0].isprintable()


@pytest.mark.parametrize('evil', [
    file('/etc/cron.d/x'), file('/srv/shop/../../etc/passwd'), file('relative'), file('/root/.ssh/authorized_keys'), file('/usr/bin/x'),
    file('/var/lib/docker/x'),
    file('/srv/shop/x', file='../../etc/shadow'), file('/srv/shop/x', file='/etc/shadow'), file('/srv/shop/x', file='manifest.json'), file('/srv/shop/x\n'),
    file('/srv/shop/x', sha256='x'), file('/srv/x', path_b64='eA=='), file('/run/x'), file('/boot/x'), file('/lib/x'),
])
def test_a_file_that_is_refused_with_its_project(evil):
    found = read([entry()], [COMPOSE, evil])
    assert found['projects'] == [] and len(found['refused']) == 1


@pytest.mark.parametrize('document', [[], {}, {'deployments': 3, 'files': {}}, {'deployments': [[], {'compose': [3], 'project': 3}], 'files': [3]}, 'x', None])
def test_documents_of_any_form(document):
    assert original_projects(base64.b64encode(json.dumps(document).encode()).decode())['projects'] == []


@pytest.mark.parametrize('content', ['!', 3, base64.b64encode(b'{').decode(), None])
def test_what_is_no_document(content):
    with pytest.raises(AnsibleFilterError):
        original_projects(content)


def test_modes_are_never_wider_than_they_were():
    files = [COMPOSE, file('/srv/shop/Dockerfile', 'Dockerfile', mode='0755'), file('/srv/shop/b', 'config', mode='4755'),
             file('/srv/shop/c', 'config', mode='x')]
    assert {item['path']: item['mode'] for item in read([entry()], files)['projects'][0]['files']} == {
        '/srv/shop/compose.yaml': '0644', '/srv/shop/Dockerfile': '0755', '/srv/shop/b': '0600', '/srv/shop/c': '0600'}


def test_the_role_offers_what_the_module_does_and_the_original_files():
    with open(os.path.join(TOP, 'roles/restore/meta/argument_specs.yml'), encoding='utf-8') as raw:
        options = yaml.safe_load(raw)['argument_specs']['main']['options']
    with open(os.path.join(TOP, 'roles/restore/defaults/main.yml'), encoding='utf-8') as raw:
        defaults = yaml.safe_load(raw)
    assert set(defaults) == set(options) - {'restore_path'} and options['restore_definition']['default'] == 'recorded'
    assert {name: options[name].get('default') for name in defaults} == defaults
