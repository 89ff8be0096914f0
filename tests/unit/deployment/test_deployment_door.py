"""Labels, compose files and databases are hostile text: no path of theirs leads to what they have no business with."""
import os

import pytest
from deployhost import DeployHost

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.deployment import door, names
from ansible_collections.lifeboat.docker.plugins.module_utils.deployment.model import NotTaken
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.transport import frames

COMPOSE = 'services:\n  web:\n    image: nginx:1\n'
SECRET = 'root:$6$abc:19000:0:99999:7:::\n'


@pytest.fixture
def host(tmp_path):
    made = DeployHost(tmp_path / 'host')
    made.file('/etc/shadow', SECRET)
    made.file('/root/.ssh/id_ed25519', '-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n')
    made.file('/srv/shop/compose.yaml', COMPOSE)
    (tmp_path / 'outside').mkdir()
    (tmp_path / 'outside' / 'compose.yaml').write_text(COMPOSE)
    (tmp_path / 'outside' / '.env').write_text('A=1\n')
    return made


def taken(found):
    return {item.place.path.decode('utf-8', 'surrogateescape') for item in found.collection.files.values()}


@pytest.mark.parametrize('folder, files, env', [
    ('/etc', '/etc/shadow', '/root/.ssh/id_ed25519'), ('/srv/shop', '../../etc/shadow', '/etc/shadow'), ('/srv/shop', '/proc/self/environ', '/proc/1/environ'),
    ('/srv/shop', '/dev/zero', '/dev/stdin'), ('relative', 'compose.yaml', 'x'), ('/srv/shop', 'a\0b', 'c\nd'), ('/srv/shop', '\udc80\ud800', '\ud800'),
    ('', '/' * 5000, '..'),
    ('/srv/shop', '/srv/shop', '/srv'), ('/srv/shop/compose.yaml', 'x', '/'), ('/srv/shop', '--help', '-'), ('/srv/shop', '%s{x}$(id)`id`\x1b[31m', '$(id)'),
])
def test_a_label_that_names_what_it_should_not(host, folder, files, env):
    host.service('evil', 'web', folder, files, env)
    found = host.gather()
    assert taken(found) <= {'/srv/shop/compose.yaml'} and found.collection.trees == []
    assert found.document['left_out'] and all('\x1b' not in item['path'] and item['why'] for item in found.document['left_out'])


def test_links_are_those_of_the_dead_host(host, tmp_path):
    """A link leads where it led there; none leads out of the host root."""
    host.link('/srv/abs/compose.yaml', str(tmp_path / 'outside' / 'compose.yaml'))
    host.link('/srv/up/compose.yaml', '../' * 20 + str(tmp_path / 'outside' / 'compose.yaml').lstrip('/'))
    host.link('/srv/good/compose.yaml', '/srv/shop/compose.yaml')
    host.link('/srv/loop/compose.yaml', 'compose.yaml')
    host.link('/srv/folder', str(tmp_path / 'outside'))
    for name in ('abs', 'up', 'good', 'loop', 'folder'):
        host.service(name, 'web', '/srv/' + name)
    assert taken(host.gather()) == {'/srv/good/compose.yaml'}


def test_what_a_container_could_write_names_nothing_outside_of_it(host):
    """A volume with a compose file that its container made, and the label of its image that names it."""
    host.volume('evil')
    inside = '/var/lib/docker/volumes/evil/_data/'
    host.file(inside + 'compose.yaml', '''
include: [/srv/other/compose.yaml]
services:
  web: {build: {context: /root, dockerfile: .ssh/id_ed25519}, env_file: [/srv/other/app.env, own.env], extends: {file: /srv/other/compose.yaml, service: web}}
secrets: {a: {file: /root/.ssh/id_ed25519}, b: {file: ../../../../../../root/.ssh/id_ed25519}, c: {file: link}, d: {file: own}}
''')
    host.file('/srv/other/compose.yaml', COMPOSE)
    host.file('/srv/other/app.env', 'A=1\n')
    host.file(inside + 'own.env', 'B=1\n')
    host.file(inside + 'own', 'x')
    host.link(inside + 'link', '/root/.ssh/id_ed25519')
    host.link(inside + '.env', '/srv/other/app.env')
    mount = host.mount('volume', 'evil', '/data')
    host.service('evil', 'web', inside.rstrip('/'), mounts=[mount])
    host.service('again', 'web', '/data', mounts=[mount])         # as the container sees it
    found = host.gather()
    assert taken(found) == {inside + name for name in ('compose.yaml', 'own.env', 'own')} and found.collection.trees == []
    assert {item['path'] for item in found.document['left_out'] if item['kind'] == 'refused'} >= {
        '/srv/other/compose.yaml', '/root', '/srv/other/app.env', '/root/.ssh/id_ed25519', 'link'}


def test_a_view_of_a_container_has_no_links(host):
    """A path as a container saw it is looked for in its mounts; a folder in them may be a link to the host."""
    host.volume('v')
    host.link('/var/lib/docker/volumes/v/_data/compose', '/srv/shop')
    host.service('evil', 'web', '/data/compose', mounts=[host.mount('volume', 'v', '/data')])
    assert taken(host.gather()) == set()


@pytest.mark.parametrize('make', ['fifo', 'folder', 'large', 'device', 'none'])
def test_what_is_no_small_file(host, make):
    path = host.real('/srv/x/compose.yaml')
    os.makedirs(os.path.dirname(path))
    if make == 'fifo':
        os.mkfifo(path)
    elif make == 'folder':
        os.mkdir(path)
    elif make == 'large':
        host.file('/srv/x/compose.yaml', COMPOSE + '#' * door.LARGEST)
    elif make == 'device':
        try:
            os.mknod(path, 0o20600, os.makedev(1, 5))
        except PermissionError:
            pytest.skip('devices are made by root')
    host.service('x', 'web', '/srv/x')
    found = host.gather()
    assert taken(found) == set() and len(found.document['left_out']) == 1
    assert found.status == ('partial' if make == 'large' else 'complete')


def test_bombs_and_loops_in_compose_files(host):
    host.file('/srv/a/compose.yaml', 'include: [compose.yaml, b.yaml]\nservices: {web: {extends: web}, b: {extends: {file: compose.yaml, service: web}}}\n')
    host.file('/srv/a/b.yaml', 'include: [compose.yaml]\nservices: {x: {extends: {service: none}}}\n')
    host.file('/srv/b/compose.yaml', 'services:\n' + ''.join('  s%d: {ports: ["1-65000:1-65000"], image: "${A:-%s}"}\n' % (n, '${A:-' * 60) for n in range(50)))
    host.file('/srv/c/compose.yaml', 'services: [1]\nvolumes: 3\nnetworks: x\nsecrets: [1]\n')
    host.file('/srv/d/compose.yaml',
              'services: {web: [1], a: 3, b: {ports: {a: b}, volumes: 3, environment: [[1]], env_file: [[1], {path: [1]}], networks: {}, '
              'build: [1], command: {a: b}, secrets: [{a: b}, [1]], extends: [1], deploy: [1], image: [1]}}\n')
    for name in 'abcd':
        for service in ('web', 'b', 's1'):
            host.service(name, service, '/srv/' + name)
    found = host.gather()
    assert taken(found) >= {'/srv/%s/compose.yaml' % name for name in 'abcd'} and found.document['undecided']


@pytest.mark.parametrize('path, name', [
    (b'/srv/shop/.env', 'files/srv/shop/.env'), (b'/srv/My Stack/c.yml', 'files/srv/My=20Stack/c.yml'), (b'/a/\xff', 'files/a/_==FF'.replace('==', '=')),
    (b'/a/-x', 'files/a/_=2Dx'), (b'/a/x.partial', 'files/a/x.partia=6C'), (b'/a/b=c', 'files/a/b=3Dc'), (b'/a/..x', 'files/a/_=2E.x'),
])
def test_names_in_the_bundle(path, name):
    assert names.stored(path) == name


def test_names_are_plain_and_never_the_same():
    paths = [b'/' + b'/'.join(parts) for parts in (
        (b'a', b'b'), (b'a', b'=62'), (b'_deep', b'x'), (b'.', b'x'), (b'a' * 300, b'b'), (b'a' * 299, b'b'),
        *[tuple([b'x'] * n) for n in (5, 13, 14, 15, 400)], (b'\n', b'\x1b'),
        (b'_=2Dx',), (b'-x',), (b'_-x',), (b'=2Dx',), (b'.env',), (b'_.env',), (b'..env',), (b'A.lifeboat-part',), (b'...',), (b'.new',), (b'progress.json',))]
    made = [names.stored(path) for path in paths]
    assert len(set(made)) == len(paths)
    for name in made:
        assert frames.plain_name(name) and reading.safe_name(name.encode()) and name.count('/') < reading.MAX_DEEP and '..' not in name.split('/')


def test_what_the_stream_takes_below_files():
    """A dot in front only there, and never more than one."""
    assert frames.plain_name('files/a/.env') and not frames.plain_name('config/.env') and not frames.plain_name('.env') and frames.plain_name('files')
    assert not any(frames.plain_name('files/' + name) for name in ('..', '.', '..a', 'a/../b', '.a.partial', '.x.lifeboat-mark', '', '/a', 'a//b', 'a\n'))
    assert not frames.plain_name('files/' + '/'.join('a' * 30)) and not frames.plain_name('/'.join('abcdefg'))


def test_the_door_opens_nothing_of_the_kernel(tmp_path):
    here = door.Door(HostRoot('/'))
    for path in ('/proc/self/status', '/sys/kernel', '/dev/null', '/proc'):
        with pytest.raises(NotTaken) as raised:
            here.find(path)
        assert raised.value.kind == 'refused'
