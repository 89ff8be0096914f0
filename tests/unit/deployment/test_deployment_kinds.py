"""Where the original files of containers are found: one built host for each kind of source."""
import json

import boltwriter
import pytest
from deployhost import DeployHost

from ansible_collections.lifeboat.docker.plugins.module_utils.deployment import gather, registry
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot

COMPOSE = 'services:\n  web:\n    image: nginx:1\n'


@pytest.fixture
def host(tmp_path):
    return DeployHost(tmp_path / 'host')


def taken(found):
    """{path on the host: what it is}."""
    return {item.place.path.decode(): item.role for item in found.collection.files.values()}


def kinds(found):
    return {(item['kind'], item['name']) for item in found.document['deployments']}


def test_labels_of_compose(host):
    """Its files, the file of variables, and all that they name."""
    host.file('/srv/shop/compose.yaml', '''
include: [../more/compose.yml]
services:
  web:
    build: {context: web, dockerfile: Dockerfile.prod}
    env_file: [web.env, {path: none.env, required: false}]
    secrets: [key]
    extends: {file: base.yml, service: base}
secrets: {key: {file: ./key.pem}, other: {environment: X}}
configs: {conf: {file: app.conf}}
''')
    for path, content in (('/srv/more/compose.yml', 'services: {db: {image: postgres:16}}'), ('/srv/shop/base.yml', 'services: {base: {image: "x:${TAG}"}}'),
                          ('/srv/shop/prod.env', 'TAG=3\n'), ('/srv/shop/web.env', 'A=1\n'), ('/srv/shop/key.pem', 'secret'), ('/srv/shop/app.conf', 'x'),
                          ('/srv/shop/web/Dockerfile.prod', 'FROM x\n'), ('/srv/shop/web/src/app.py', 'pass\n')):
        host.file(path, content)
    host.service('shop', 'web', '/srv/shop', env_files='/srv/shop/prod.env', image='x:3')
    host.service('shop', 'db', '/srv/shop', env_files='/srv/shop/prod.env', image='postgres:16')
    found = host.gather()
    assert taken(found) == {
        '/srv/shop/compose.yaml': 'compose file', '/srv/more/compose.yml': 'compose file', '/srv/shop/base.yml': 'compose file',
        '/srv/shop/prod.env': 'env file',
        '/srv/shop/web.env': 'env file', '/srv/shop/key.pem': 'secret', '/srv/shop/app.conf': 'config', '/srv/shop/web/Dockerfile.prod': 'Dockerfile'}
    assert [(tree.place.path, tree.stem) for tree in found.collection.trees] == [(b'/srv/shop/web', 'contexts/shop-web')]
    assert found.document['left_out'] == [] and found.status == 'complete' and kinds(found) == {('compose', 'shop')}
    assert not [row for row in found.document['differences'] if row['what'] == 'image']
    confidential = {item.place.path.decode() for item in found.collection.files.values() if item.confidential}
    assert confidential == {'/srv/shop/prod.env', '/srv/shop/web.env', '/srv/shop/key.pem'}


def test_several_files_and_the_file_of_variables_beside_them(host):
    host.file('/srv/a/docker-compose.yml', COMPOSE)
    host.file('/srv/a/docker-compose.prod.yml', 'services: {web: {image: "nginx:${TAG}"}}')
    host.file('/srv/a/.env', 'TAG=2\n')
    host.service('a', 'web', '/srv/a', 'docker-compose.yml,docker-compose.prod.yml', image='nginx:2')     # version 1 wrote relative names
    found = host.gather()
    assert set(taken(found)) == {'/srv/a/docker-compose.yml', '/srv/a/docker-compose.prod.yml', '/srv/a/.env'}
    assert found.document['differences'] == [] and found.document['compared'] == ['a-web-1']


def test_what_labels_name_and_is_not_there(host):
    host.service('gone', 'web', '/srv/gone')
    host.service('pipe', 'web', '/srv/pipe', '-')
    found = host.gather()
    assert found.is_empty and {(item['path'], item['kind']) for item in found.document['left_out']} == {
        ('/srv/gone/compose.yaml', 'missing'), ('-', 'elsewhere')}
    assert [item.code for item in found.problems] == ['DEPLOYMENT_INCOMPLETE'] and '/srv/gone/compose.yaml' in found.problems[0].message


def test_portainer(host):
    """Its files lie in a volume, and Compose saw them in Portainer's container; names and variables are in its database."""
    home = host.volume('portainer_data')
    boltwriter.write(home + '/portainer.db', {b'stacks': {
        (3).to_bytes(8, 'big'): b'{"Id":3,"Name":"Shop","EntryPoint":"docker-compose.yml","ProjectPath":"/data/compose/3","Env":[{"name":"TAG","value":"7"},'
                                b'{"name":"PW","value":"it\'s"}],"AdditionalFiles":["more.yml"]}',
        (4).to_bytes(8, 'big'): b'{"Id":4,"Name":"git","EntryPoint":"compose.yaml","ProjectPath":"/data/compose/4"}',
        (5).to_bytes(8, 'big'): b'{"Id":5,"Name":"evil","EntryPoint":"../../../../../etc/shadow","ProjectPath":"/data/../../../../../etc"}'}})
    host.file('/etc/shadow', 'services:\n')
    inside = '/var/lib/docker/volumes/portainer_data/_data/compose/'
    for path, content in (('3/docker-compose.yml', 'services: {web: {image: "nginx:${TAG}", environment: {PW: "${PW}"}}}'),
                          ('3/more.yml', COMPOSE.replace('web', 'db')),
                          ('4/v2/compose.yaml', COMPOSE), ('4/v10/compose.yaml', COMPOSE), ('9/docker-compose.yml', COMPOSE)):
        host.file(inside + path, content)
    host.container('portainer', mounts=[host.mount('volume', 'portainer_data', '/data')])
    host.service('shop', 'web', '/data/compose/3', '/data/compose/3/docker-compose.yml,/data/compose/3/more.yml', image='nginx:7', env=("PW=it's",))
    found = host.gather()
    assert set(taken(found)) == {inside + one for one in ('3/docker-compose.yml', '3/more.yml', '4/v10/compose.yaml', '9/docker-compose.yml')}
    assert kinds(found) == {('portainer', name) for name in ('Shop', 'git', 'evil', 'stack 9')}
    shop = next(item for item in found.document['deployments'] if item['name'] == 'Shop')
    assert shop['project'] == 'shop' and shop['containers'] == ['shop-web-1'] and 'labels of shop-web-1' in shop['evidence']
    assert [(made.stored, made.data) for made in found.collection.made] == [('made/portainer-Shop.env', b"PW='it\\'s'\nTAG='7'\n")]
    assert [row['what'] for row in found.document['differences']] == ['service']      # db has no container
    assert any(item['kind'] == 'refused' or item['kind'] == 'missing' for item in found.document['left_out'])


@pytest.mark.parametrize('record, folder', [
    ('"GitConfig":{"URL":"https://x/y","ConfigHash":"%s"}' % ('b' * 40), 'b' * 40), ('"StackFileVersion":2', 'v2'), ('"StackFileVersion":0', 'v3'),
    ('"GitConfig":{"ConfigHash":"../../x"},"StackFileVersion":-1', 'v3')])
def test_the_deployed_version_of_a_stack_of_portainer(host, record, folder):
    """A stack of a repository lies in a folder called after its commit; after a roll-back the newest version is not the one."""
    home = host.volume('portainer_data')
    boltwriter.write(home + '/portainer.db', {b'stacks': {(1).to_bytes(8, 'big'): (
        '{"Id":1,"Name":"a","EntryPoint":"sub/compose.yaml","ProjectPath":"/data/compose/1",%s}' % record).encode()}})
    inside = '/var/lib/docker/volumes/portainer_data/_data/compose/1/'
    for name in ('a' * 40, 'b' * 40, 'v1', 'v2', 'v3'):
        host.file(inside + name + '/sub/compose.yaml', COMPOSE)
    assert set(taken(host.gather())) == {inside + folder + '/sub/compose.yaml'}


def test_variables_of_portainer_that_are_none(host):
    home = host.volume('portainer_data')
    boltwriter.write(home + '/portainer.db', {b'stacks': {(1).to_bytes(8, 'big'): json.dumps({
        'Id': 1, 'Name': 'a', 'EntryPoint': 'c.yml', 'ProjectPath': '/data/compose/1',
        'Env': [{'name': 'A\nCOMPOSE_FILE', 'value': '/x'}, {'name': 'B', 'value': "it's a\\"}]}).encode()}})
    host.file('/var/lib/docker/volumes/portainer_data/_data/compose/1/c.yml', COMPOSE)
    found = host.gather()
    assert [made.data for made in found.collection.made] == [b'B="it\'s a\\\\"\n']
    assert ('A\\nCOMPOSE_FILE', 'refused') in {(item['path'], item['kind']) for item in found.document['left_out']}


def test_a_commit_of_a_stack_without_its_record(host):
    host.volume('portainer_data')
    top = '/var/lib/docker/volumes/portainer_data/_data/'
    host.file(top + 'portainer.edb', 'x')
    host.file(top + 'compose/1/%s/docker-compose.yml' % ('a' * 40), COMPOSE)
    host.file(top + 'compose/2/%s/docker-compose.yml' % ('a' * 40), COMPOSE)
    host.file(top + 'compose/2/%s/docker-compose.yml' % ('b' * 40), COMPOSE)
    found = host.gather()
    assert set(taken(found)) == {top + 'compose/1/%s/docker-compose.yml' % ('a' * 40)}
    assert any('compose/2' in item['path'] for item in found.document['left_out'])


def test_variables_that_dockge_and_unraid_keep_elsewhere(host):
    host.file('/opt/stacks/global.env', 'TAG=1\n')
    host.file('/opt/stacks/a/compose.yaml', 'services: {web: {image: "x:${TAG}"}}')
    host.file('/opt/stacks/a/.env', 'OWN=1\n')
    project = '/boot/config/plugins/compose.manager/projects/'
    host.file(project + 'b/docker-compose.yml', COMPOSE)
    host.file(project + 'b/envpath', '/mnt/user/appdata/b.env\n')
    host.file('/mnt/user/appdata/b.env', 'B=1\n')
    host.file(project + 'c/docker-compose.yml', COMPOSE)
    host.file(project + 'c/envpath', '/mnt/user/appdata/gone.env\n')
    found = host.gather()
    assert {'/opt/stacks/global.env', '/opt/stacks/a/.env', '/mnt/user/appdata/b.env'} <= set(taken(found))
    stack = next(item for item in found.document['deployments'] if item['name'] == 'a')
    assert stack['env_files'] == ['/opt/stacks/global.env', '/opt/stacks/a/.env']
    assert ('/mnt/user/appdata/gone.env', 'missing') in {(item['path'], item['kind']) for item in found.document['left_out']}


def test_the_database_of_portainer_is_damaged_or_encrypted(host):
    home = host.volume('portainer_data')
    host.file('/var/lib/docker/volumes/portainer_data/_data/compose/1/docker-compose.yml', COMPOSE)
    host.file('/var/lib/docker/volumes/portainer_data/_data/portainer.db', b'\0' * 40000)
    assert home and kinds(host.gather()) == {('portainer', 'stack 1'), ('portainer', 'portainer.db')}
    assert [item['kind'] for item in host.gather().document['left_out']] == ['unreadable']


@pytest.mark.parametrize('kind, files, also', [
    ('dockge', {'/opt/stacks/wiki/compose.yaml': COMPOSE, '/opt/stacks/wiki/.env': 'A=1\n', '/opt/dockge/compose.yaml': COMPOSE}, {}),
    ('coolify', {'/data/coolify/applications/abc/docker-compose.yaml': COMPOSE, '/data/coolify/applications/abc/.env': 'A=1\n',
                 '/data/coolify/proxy/docker-compose.yml': COMPOSE, '/data/coolify/proxy/dynamic/app.yml': 'http: 1\n',
                 '/data/coolify/source/docker-compose.yml': COMPOSE, '/data/coolify/source/docker-compose.prod.yml': COMPOSE},
     {'/data/coolify/ssh/keys/id': 'key'}),
    ('caprover', {'/captain/data/config-captain.json': '{}'}, {'/captain/data/letencrypt/key.pem': 'x'}),
    ('dokku', {'/home/dokku/app/ENV': 'A=1\n', '/home/dokku/app/DOCKER_OPTIONS_DEPLOY': '-v /x:/x', '/var/lib/dokku/config/ps/app/restart': 'on',
               '/var/lib/dokku/services/postgres/db/ENV': 'B=1\n', '/var/lib/dokku/services/postgres/db/PASSWORD': 'x'},
     {'/home/dokku/app/HEAD': 'ref: refs/heads/master\n', '/home/dokku/.ssh/authorized_keys': 'x'}),
    ('1panel', {'/srv/1panel/apps/mysql/mysql/docker-compose.yml': COMPOSE, '/srv/1panel/apps/mysql/mysql/.env': 'A=1\n',
                '/srv/1panel/docker/compose/mine/docker-compose.yml': COMPOSE},
     {'/usr/local/bin/1pctl': '#!/bin/bash\nBASE_DIR=/srv\n', '/srv/1panel/db/1Panel.db': 'x'}),
    ('casaos', {'/var/lib/casaos/apps/jellyfin/docker-compose.yml': COMPOSE, '/DATA/apps/b/docker-compose.yml': COMPOSE},
     {'/etc/casaos/app-management.conf': '[app]\nAppsPath = /DATA/apps\n'}),
    ('unraid', {'/boot/config/plugins/dockerMan/templates-user/my-plex.xml': '<Container/>', '/boot/config/docker.cfg': 'A=1',
                '/boot/config/plugins/compose.manager/projects/mine/docker-compose.yml': COMPOSE,
                '/boot/config/plugins/compose.manager/projects/mine/name': 'Mine',
                '/boot/config/plugins/compose.manager/projects/far/indirect': '/mnt/user/far\n', '/mnt/user/far/compose.yaml': COMPOSE},
     {'/boot/config/shadow': 'x'}),
    ('truenas', {'/mnt/.ix-apps/app_configs/plex/versions/1.10.0/templates/rendered/docker-compose.yaml': COMPOSE, '/mnt/.ix-apps/metadata.yaml': 'plex: 1',
                 '/mnt/.ix-apps/app_configs/plex/versions/1.10.0/user_config.yaml': 'a: 1'},
     {'/mnt/.ix-apps/app_configs/plex/versions/1.9.0/templates/rendered/docker-compose.yaml': COMPOSE}),
    ('synology', {'/volume1/docker/paperless/compose.yaml': COMPOSE, '/volume2/docker/projects/x/docker-compose.yml': COMPOSE},
     {'/volume1/homes/x/compose.yaml': COMPOSE}),
    ('systemd',
     {'/etc/systemd/system/app.service': '[Service]\nEnvironmentFile=-/etc/default/app\nExecStart=/usr/bin/docker run \\\n '
      '--rm --env-file /etc/app.env nginx\n',
      '/etc/systemd/system/app.service.d/x.conf': '[Service]\nRestart=no\n', '/etc/default/app': 'A=1\n', '/etc/app.env': 'B=1\n',
      '/etc/systemd/system/shop.service': '[Service]\nWorkingDirectory=/srv/shop\nExecStart=/usr/bin/docker compose up\n',
      '/srv/shop/compose.yaml': COMPOSE,
      '/etc/systemd/system/script.service': '[Service]\nExecStart=/usr/local/bin/start-it\n',
      '/usr/local/bin/start-it': '#!/bin/sh\npodman start web\n',
      '/home/bob/.config/systemd/user/pod.service': '[Service]\nExecStart=/usr/bin/podman start pod\n'},
     {'/etc/systemd/system/docker.service': '[Service]\nExecStart=/usr/bin/dockerd\nExecStartPost=/usr/bin/docker run x\n',
      '/etc/systemd/system/other.service': '[Service]\nExecStart=/usr/bin/python3 /opt/docker-stats.py\n'}),
    ('quadlet', {'/etc/containers/systemd/web.container': '[Container]\nImage=nginx\nEnvironmentFile=web.env\n', '/etc/containers/systemd/web.env': 'A=1\n',
                 '/etc/containers/systemd/web.container.d/10.conf': '[Container]\n', '/etc/containers/systemd/sub/data.volume': '[Volume]\n',
                 '/home/bob/.config/containers/systemd/app.kube': '[Kube]\nYaml=app.yaml\n', '/home/bob/.config/containers/systemd/app.yaml': 'kind: Pod\n'},
     {'/etc/containers/systemd/notes.txt': 'x'}),
    ('cron', {'/etc/crontab': '0 3 * * * root docker start backup\n', '/etc/cron.d/two': '1 1 * * * root /opt/run-backup --all\n',
              '/opt/run-backup': '#!/bin/sh\n# x\ndocker \\\n run --rm backup\n',
              '/etc/cron.daily/three': '#!/bin/sh\npodman run x\n', '/var/spool/cron/crontabs/root': '@daily cd /srv && docker-compose up -d\n'},
     {'/etc/cron.d/four': '1 1 * * * root /usr/bin/certbot renew # docker run\n', '/etc/cron.daily/five': '#!/bin/sh\necho docker\n',
      '/etc/cron.d/six': '# docker run x\n'}),
])
def test_a_program_or_a_place(host, kind, files, also):
    """FILES are taken; those of ALSO are there, and are not."""
    for path, content in dict(files, **also).items():
        host.file(path, content)
    found = host.gather()
    assert set(taken(found)) == set(files)
    assert {one for one, dummy in kinds(found)} == {kind} and found.document['left_out'] == []
    assert all(item['evidence'] for item in found.document['deployments'])
    if kind == 'dokku':
        assert [tree.place.path for tree in found.collection.trees] == [b'/home/dokku/app']
    # nothing of it for who rescues one container
    assert host.gather(whole=False).is_empty


QUADLETS = {
    '/etc/containers/systemd/web@.container': '[Container]\nImage=app.build\nEnvironmentFile=%i.env\nVolume=data.volume:/data\n',
    '/etc/containers/systemd/web@.container.d/10.conf': '[Container]\nEnvironment=A=1\n', '/etc/containers/systemd/web-.container.d/10.conf': '[Service]\n',
    '/etc/containers/systemd/container.d/all.conf': '[Container]\nLogDriver=k8s-file\n', '/etc/containers/systemd/volume.d/all.conf': '[Volume]\n',
    '/etc/containers/systemd/data.volume': '[Volume]\nDriver=image\nImage=base.image\n', '/etc/containers/systemd/base.image': '[Image]\nImage=x\n',
    '/etc/containers/systemd/shop.pod': '[Pod]\nPublishPort=8080:80\n', '/etc/containers/systemd/app.build': '[Build]\nImageTag=localhost/app\n'
    'SetWorkingDirectory=/srv/app\nFile=Containerfile\n', '/srv/app/Containerfile': 'FROM scratch\n',
    '/etc/containers/systemd/own.build': '[Build]\nFile=./own/Containerfile\nSetWorkingDirectory=unit\n',
    '/etc/containers/systemd/own/Containerfile': 'FROM x\n',
    '/etc/containers/systemd/users/1001/app.container': '[Container]\nImage=x\n',
    '/var/lib/svc/.config/containers/systemd/job.container': '[Container]\nImage=x\nEnvironmentFile=%h/job.env\n', '/var/lib/svc/job.env': 'A=1\n',
    '/var/lib/svc/.config/systemd/user/old.service': '[Service]\nExecStart=/usr/bin/podman start old\n'}


def test_quadlets_of_today(host):
    """Templates, drop-ins of one unit, of a prefix and of a type, the context of a build, and users whose home is not below /home."""
    for path, content in QUADLETS.items():
        host.file(path, content)
    host.file('/etc/passwd', 'root:x:0:0::/root:/bin/sh\nsvc:x:990:990::/var/lib/svc:/bin/sh\nodd:x:991:991::relative:/bin/sh\nbroken\n')
    host.file('/srv/app/page.html', 'x')
    host.link('/etc/containers/systemd/web@one.container', 'web@.container')
    found = host.gather()
    assert set(taken(found)) == set(QUADLETS) | {'/etc/containers/systemd/web@one.container'}
    assert [tree.place.path for tree in found.collection.trees] == [b'/srv/app']


@pytest.mark.parametrize('value', ['/', '/etc', '../../..', 'https://example.org/x.git', 'relative', '/nowhere', '/proc/1', '%h/x', ''])
def test_what_is_no_context_of_a_build(host, value):
    host.file('/etc/containers/systemd/app.build', '[Build]\nSetWorkingDirectory=%s\n' % value)
    assert host.gather().collection.trees == []


def test_the_folder_of_dockge_by_its_variable(host):
    host.container('dockge', env=('DOCKGE_STACKS_DIR=/srv/stacks',))
    host.file('/srv/stacks/wiki/compose.yaml', COMPOSE)
    assert set(taken(host.gather())) == {'/srv/stacks/wiki/compose.yaml'}


CREDENTIALS = {'/root/.docker/config.json': '{"auths": {"r.example": {"auth": "x"}}}', '/home/bob/.config/containers/auth.json': '{"auths": {"q": {}}}',
               '/root/.docker/contexts/meta/ab/meta.json': '{"Name": "far"}', '/root/.docker/contexts/tls/ab/docker/key.pem': 'key',
               '/home/eve/.docker/config.json': '{not JSON'}


def test_credentials_are_named_and_taken_only_on_request(host):
    for path, content in CREDENTIALS.items():
        host.file(path, content)
    host.file('/home/bob/.docker/config.json', '{"psFormat": "x", "auths": {}}')        # has none
    host.link('/home/bob/.dockercfg', '/etc/shadow')
    host.file('/etc/shadow', 'root:x')
    found = host.gather()
    assert found.is_empty and found.status == 'complete'
    assert [item.code for item in found.problems] == ['DEPLOYMENT_CREDENTIALS', 'DEPLOYMENT_INCOMPLETE']
    assert {item['path'] for item in found.document['left_out'] if item['kind'] == 'on request'} == set(CREDENTIALS)
    assert {item['path'] for item in found.document['left_out'] if item['kind'] == 'refused'} == {'/home/bob/.dockercfg'}
    found = host.gather(credentials=True)
    assert set(taken(found)) == set(CREDENTIALS)            # a link out of a home is not followed
    assert all(file.confidential for file in found.collection.files.values())
    assert [item.code for item in found.problems] == ['DEPLOYMENT_INCOMPLETE']
    assert host.gather(whole=False, credentials=True).is_empty


def test_each_kind_has_a_case_here():
    assert {kind.name for kind in registry.KINDS} == {'compose', 'portainer', 'dockge', 'coolify', 'caprover', 'dokku', '1panel', 'casaos', 'unraid', 'truenas',
                                                      'synology', 'systemd', 'quadlet', 'cron', 'client'}


def test_the_fingerprint_changes_with_what_is_found_and_only_then(host):
    host.file('/opt/stacks/a/compose.yaml', COMPOSE)
    first = host.gather().fingerprint
    assert host.gather().fingerprint == first
    host.file('/opt/stacks/a/.env', 'A=1\n')
    assert host.gather().fingerprint != first


def test_a_build_context_up_to_a_size(host, monkeypatch):
    """Volumes and binds in it are rescued elsewhere; one that is too large leaves its Dockerfile."""
    from ansible_collections.lifeboat.docker.plugins.module_utils.deployment import collection
    host.file('/srv/a/compose.yaml', 'services: {web: {build: .}, b: {build: big}, c: {build: "https://github.com/x/y.git"}}')
    host.file('/srv/a/Dockerfile', 'FROM x\n')
    host.file('/srv/a/data/large', 'x' * 5000)
    host.file('/srv/a/big/Dockerfile', 'FROM x\n')
    host.file('/srv/a/big/large', 'x' * 5000)
    host.file('/srv/a/big/more', 'x')
    host.service('a', 'web', '/srv/a', mounts=[host.mount('bind', '/srv/a/data', '/data'), host.mount('bind', '/srv/a/big/large', '/large')], image='a-web')
    monkeypatch.setattr(collection, 'TREE_BYTES', 30000)
    found = host.gather()
    names = {entry.path for tree in found.collection.trees for entry in list(_entries(tree))}
    assert b'data' in names and b'data/large' not in names and b'Dockerfile' in names
    monkeypatch.setattr(collection, 'TREE_BYTES', 3000)
    found = host.gather()
    assert found.collection.trees == [] and {'/srv/a/Dockerfile', '/srv/a/big/Dockerfile'} <= set(taken(found)) and found.status == 'partial'
    assert {(item['path'], item['kind']) for item in found.document['left_out']} == {
        ('https://github.com/x/y.git', 'elsewhere'), ('/srv/a', 'too large'), ('/srv/a/big', 'too large')}


def _entries(tree):
    with tree.entries.opened() as (dummy, entries):
        yield from entries


def test_deployments_of_a_host_without_containers(host):
    host.file('/opt/stacks/a/compose.yaml', COMPOSE)
    found = host.gather()
    assert not found.is_empty and gather.summary(found)['deployments'] == 1 and gather.summary(found)['compared'] == 0


@pytest.mark.parametrize('path', ['/etc/cron.d', '/etc/systemd/system/secret.service', '/opt/stacks/a'])
def test_what_cannot_be_looked_into_is_named(host, monkeypatch, path):
    """Who is not root sees no tables of cron: that is no empty success."""
    real = HostRoot._walk

    def walk(self, name, follow=True):
        if name == path.encode() or name.startswith(path.encode() + b'/'):
            raise PermissionError(13, 'Permission denied', name)
        return real(self, name, follow)
    monkeypatch.setattr(HostRoot, '_walk', walk)
    for name in ('/etc/cron.d/x', '/etc/systemd/system/secret.service', '/opt/stacks/a/compose.yaml', '/opt/stacks/b/compose.yaml'):
        host.file(name, 'services: {}\n')
    found = host.gather()
    assert [item['kind'] for item in found.document['left_out'] if item['path'].startswith(path)] and found.status == 'complete'
    assert {item['kind'] for item in found.document['left_out']} == {'not looked into'}
    assert [item.code for item in found.problems] == ['DEPLOYMENT_INCOMPLETE'] and path in found.problems[0].message
