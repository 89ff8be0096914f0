"""What Compose would change if the original files were started again. What cannot be decided is said, and values are not shown."""
import json

import pytest
from deployhost import DeployHost

from ansible_collections.lifeboat.docker.plugins.module_utils.deployment.compare import normal
from ansible_collections.lifeboat.docker.plugins.module_utils.deployment.service import (
    Mount,
    Port,
    scalar,
    short_mount,
    short_ports,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.variables import Undecided
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.yamlread import Plain
from ansible_collections.lifeboat.docker.plugins.module_utils.records.definition import Binding, Endpoint, MountRequest

IMAGE = {'Env': ['PATH=/bin', 'V=1'], 'Cmd': ['serve'], 'Entrypoint': ['/entry'], 'Volumes': {'/var/data': {}}}


@pytest.fixture
def host(tmp_path):
    made = DeployHost(tmp_path / 'host')
    made.volume('shop_data')
    made.volume('outer')
    return made


def rows(found):
    return {(row['what'], row['name'], row['file'], row['ran']) for row in found.document['differences']}


def same(host, text, **fields):
    """Gather after a container `web` ran, made of IMAGE, with FIELDS, and the file says TEXT of it."""
    host.file('/srv/shop/compose.yaml', text)
    values = dict(image='busybox:1', defaults=IMAGE, env=('PATH=/bin', 'V=1'), command=('serve',), entrypoint=('/entry',))
    values.update(fields)
    host.service('shop', 'web', '/srv/shop', **values)
    return host.gather()


EVERYTHING = '''
services:
  web:
    image: docker.io/library/busybox:${TAG:-1}
    env_file: web.env
    environment: [A=1, "B=${B}", "YES=yes", V=1]
    command: ["run", "--fast", "$$HOME"]
    entrypoint: /own/entry
    ports: ["8080:80", "127.0.0.1:53:53/udp", {target: 9, published: "9000", protocol: tcp}, "7000"]
    volumes: ["data:/data", "./html:/html:ro", {type: volume, source: out, target: /out}, "/anonymous"]
    tmpfs: /tmp
    networks: [default, front]
    secrets: [key]
    configs: [{source: conf, target: /etc/app.conf}]
volumes: {data: , out: {external: true, name: outer}}
networks: {front: {name: edge}}
secrets: {key: {file: ./key}}
configs: {conf: {file: ./conf}}
'''


def test_what_ran_as_the_files_say_has_no_difference(host):
    for path, content in (('.env', 'B=two words\n'), ('web.env', 'A=0\nC=3\n'), ('html/x', ''), ('key', 'x'), ('conf', 'x')):
        host.file('/srv/shop/' + path, content)
    found = same(
        host, EVERYTHING, env=('PATH=/bin', 'V=1', 'A=1', 'B=two words', 'YES=yes', 'C=3'), command=('run', '--fast', '$HOME'), entrypoint=('/own/entry',),
        published={'80/tcp': (Binding('', '8080'),), '53/udp': (Binding('127.0.0.1', '53'),), '9/tcp': (Binding('0.0.0.0', '9000'),),
                   '7000/tcp': (Binding('', ''),)},
        networks={'shop_default': Endpoint(), 'edge': Endpoint()}, mount_requests=(MountRequest('tmpfs', '/tmp'),),
        mounts=[host.mount('volume', 'shop_data', '/data'), host.mount('bind', '/srv/shop/html', '/html', False), host.mount('volume', 'outer', '/out'),
                host.mount('volume', 'x' * 64, '/anonymous', anonymous=True), host.mount('volume', 'y' * 64, '/var/data', anonymous=True),
                host.mount('bind', '/srv/shop/key', '/run/secrets/key', False), host.mount('bind', '/srv/shop/conf', '/etc/app.conf', False)])
    assert rows(found) == set() and found.document['undecided'] == [] and found.document['compared'] == ['shop-web-1']
    assert not [item for item in found.problems if item.code == 'DEPLOYMENT_DIFFERS']


def test_every_difference_is_a_row(host):
    found = same(
        host, EVERYTHING.replace('env_file: web.env\n', '\n').replace('"B=${B}"', 'PASSWORD=hush'), image='busybox:2',
        env=('PATH=/bin', 'V=2', 'A=9', 'OTHER=hush-hush'), command=('run', '--password', 'hush-hush'),
        published={'80/tcp': (Binding('', '8081'),), '22/tcp': (Binding('', '22'),)}, networks={'shop_default': Endpoint(), 'old': Endpoint()},
        mounts=[host.mount('volume', 'outer', '/data'), host.mount('bind', '/srv/shop/html', '/html'), host.mount('bind', '/etc', '/host')])
    assert rows(found) == {
        ('image', '', 'docker.io/library/busybox:1', 'busybox:2'), ('environment', 'A', 'set', 'set to another value'),
        ('environment', 'PASSWORD', 'set', 'not set'),
        ('environment', 'V', 'set', 'set to another value'), ('environment', 'YES', 'set', 'not set'), ('environment', 'OTHER', 'not set', 'set'),
        ('entrypoint', '', '/own/entry', '/entry'), ('command', '', 'run --fast $HOME', 'run --password VALUE_REDACTED'),
        ('port', '80/tcp', '8080:80/tcp', 'not published so'), ('port', '80/tcp', 'not published so', '8081:80/tcp'),
        ('port', '22/tcp', 'not published so', '22:22/tcp'),
        ('port', '53/udp', '127.0.0.1:53:53/udp', 'not published so'), ('port', '9/tcp', '9000:9/tcp', 'not published so'),
        ('port', '7000/tcp', '(any):7000/tcp', 'not published so'),
        ('mount', '/data', 'volume shop_data', 'volume outer'), ('mount', '/html', 'bind /srv/shop/html (read-only)', 'bind /srv/shop/html'),
        ('mount', '/out', 'volume outer', 'not mounted'), ('mount', '/anonymous', 'volume (anonymous)', 'not mounted'),
        ('mount', '/tmp', 'tmpfs ', 'not mounted'),
        ('mount', '/run/secrets/key', 'bind /srv/shop/key (read-only)', 'not mounted'),
        ('mount', '/etc/app.conf', 'bind /srv/shop/conf (read-only)', 'not mounted'),
        ('mount', '/host', 'not mounted', 'bind /etc'), ('network', 'edge', 'connected', 'not connected'), ('network', 'old', 'not connected', 'connected')}
    assert 'hush' not in json.dumps(found.document)
    assert [item.severity for item in found.problems if item.code == 'DEPLOYMENT_DIFFERS'] == ['warning']


def test_services_that_only_one_side_has(host):
    host.file('/srv/shop/compose.yaml', 'services: {new: {image: a}, off: {image: a, profiles: [x]}, none: {image: a, deploy: {replicas: 0}}}')
    host.service('shop', 'old', '/srv/shop')
    assert rows(host.gather()) == {('service', 'old', '(not in the files)', 'a container'), ('service', 'new', 'a service', '(no container)')}
    assert rows(host.gather(whole=False)) == {('service', 'old', '(not in the files)', 'a container')}


@pytest.mark.parametrize('text, said', [
    ('services: {web: {image: "busybox:${TAG}"}}', 'image of shop-web-1: no file sets TAG'),
    ('services: {web: {image: "busybox:${TAG:?no}"}}', 'TAG must be set'),
    ('services: {web: {image: busybox:1, environment: [HOME]}}', 'environment HOME of shop-web-1: its value comes from the shell'),
    ('services: {web: {image: busybox:1, environment: {V: 2024-01-01}}}', 'environment V of shop-web-1: a date or a large number'),
    ('services: {web: {image: busybox:1, volumes: ["~/x:/x"]}}', 'is in the home of whoever called Compose'),
    ('services: {web: {image: busybox:1, env_file: none.env}}', 'none.env is missing'),
    ('services: {web: {image: busybox:1, extends: nothing}}', 'the service that it extends was not found'),
    ('services:\n  web: !reset null\n', 'Project shop: /srv/shop/compose.yaml uses !reset or !override'),
    ('services:\n  web: !own null\n', 'Project shop: /srv/shop/compose.yaml is not read: line 2: a tag'),
    ('services: {web: {image: busybox:1, command: "a \'b"}}', 'command of shop-web-1: a quote in it is not closed'),
    ('services: {web: {image: busybox:1, ports: ["${PORT}:80"]}}', 'no file sets PORT'),
])
def test_what_cannot_be_decided_is_named_and_not_guessed(host, text, said):
    found = same(host, text)
    assert [line for line in found.document['undecided'] if said in line], found.document['undecided']
    assert not [row for row in rows(found) if row[0] not in ('mount', 'environment', 'port')]


def test_a_lost_image_leaves_open_what_it_decides(host):
    found = same(host, 'services: {web: {image: busybox:1}}', defaults=None, mounts=[host.mount('volume', 'x' * 64, '/v', anonymous=True)])
    assert rows(found) == set() and len(found.document['undecided']) == 5


def test_built_images_replicas_and_single_runs(host):
    host.file('/srv/shop/compose.yaml', 'services: {web: {build: web}}')
    host.file('/srv/shop/web/Dockerfile', 'FROM x\n')
    host.service('shop', 'web', '/srv/shop', image='shop-web')
    host.service('shop', 'web', '/srv/shop', image='shop_web:latest')
    host.service('shop', 'web', '/srv/shop', image='other')
    host.container('shop-web-run', {'com.docker.compose.project': 'shop', 'com.docker.compose.service': 'web', 'com.docker.compose.oneoff': 'True',
                                    'com.docker.compose.project.working_dir': '/srv/shop'}, image='x')
    assert rows(host.gather()) == {('image', '', 'shop-web (built)', 'other')}


def test_network_modes(host):
    assert rows(same(host, 'services: {web: {image: busybox:1, network_mode: host}}', networks={}, network_mode='host')) == set()
    host.containers.clear()
    assert rows(same(host, 'services: {web: {image: busybox:1, network_mode: "service:db"}, db: {profiles: [x]}}', networks={},
                     network_mode='container:' + 'f' * 64)) == set()
    host.containers.clear()
    assert rows(same(host, 'services: {web: {image: busybox:1, network_mode: none}}', networks={}, network_mode='host')) == {
        ('network', '', 'network_mode none', 'network_mode host')}


def test_two_files_are_laid_over_each_other_as_compose_does(host):
    host.file('/srv/shop/compose.yaml',
              'services: {web: {image: busybox:1, environment: {A: "1", B: "1"}, ports: ["1:1"], volumes: ["a:/a"], command: x, env_file: e1}}')
    host.file('/srv/shop/more.yaml', 'services: {web: {image: busybox:2, environment: [B=2], ports: ["2:2"], volumes: ["b:/a"], env_file: [e2]}}')
    host.file('/srv/shop/e1', 'E=1\nA=0\nF=1\n')
    host.file('/srv/shop/e2', 'F=2\nB=0\n')
    host.volume('shop_b')
    host.service('shop', 'web', '/srv/shop', '/srv/shop/compose.yaml,/srv/shop/more.yaml', image='busybox:2', env=('A=1', 'B=2', 'E=1', 'F=2'), command=('x',),
                 published={'1/tcp': (Binding('', '1'),), '2/tcp': (Binding('', '2'),)}, mounts=[host.mount('volume', 'shop_b', '/a')])
    assert rows(host.gather()) == set()


@pytest.mark.parametrize('text, ports', [
    ('80', [Port('80/tcp')]), ('8000-8001:80-81/udp', [Port('80/udp', '', '8000'), Port('81/udp', '', '8001')]), ('[::1]:80:80', [Port('80/tcp', '::1', '80')]),
    ('8000-8010:80', [Port('80/tcp', '', '8000-8010')]), ('127.0.0.1::80', [Port('80/tcp', '127.0.0.1', '')]), ('0.0.0.0:80:80', [Port('80/tcp', '', '80')]),
])
def test_ports(text, ports):
    assert short_ports(text) == ports


@pytest.mark.parametrize('text', ['x', '80:', '99999', '1-2:1-3', '5-1', '80:80:80:80'])
def test_ports_that_are_none(text):
    assert isinstance(short_ports(text), Undecided)


def test_small_things():
    assert [normal(name) for name in ('a', 'a/b:1', 'localhost/a', 'r:5000/a', 'a@sha256:x', 'index.docker.io/a/b')] == [
        'docker.io/library/a:latest', 'docker.io/a/b:1', 'localhost/a:latest', 'r:5000/a:latest', 'docker.io/library/a@sha256:x', 'docker.io/a/b:latest']
    assert [scalar(Plain(text)) for text in ('1.50', 'true', '010', '1e3', '~', 'x')] == ['1.5', 'true', '8', '1000', None, 'x']
    assert short_mount('a:/b:ro,z', '')[1].read_only and isinstance(short_mount('./a:/b', ''), Undecided)
    assert short_mount('./a/../c:/b/', '/s') == ('/b', Mount('bind', '/s/c'))


def test_a_service_of_another_file_keeps_its_env_file(host):
    host.file('/srv/shop/base/base.yaml', 'services: {base: {image: "busybox:1", env_file: b.env, volumes: ["./rel:/rel"]}}')
    host.file('/srv/shop/base/b.env', 'A=1\nB=1\n')
    host.file('/srv/shop/own.env', 'B=2\n')
    found = same(host, 'services: {web: {extends: {file: base/base.yaml, service: base}, env_file: own.env}}', env=('PATH=/bin', 'V=1', 'A=1', 'B=2'),
                 mounts=[host.mount('bind', '/srv/shop/base/rel', '/rel')])
    assert rows(found) == set() and found.document['undecided'] == []


def test_no_value_is_shown_that_cannot_be_decided(host):
    found = same(host, 'services: {web: {image: busybox:1, environment: {PIN: %s, D: 2031-07-08}}}' % ('9' * 30))
    assert len(found.document['undecided']) == 2 and '999' not in json.dumps(found.document) and '2031' not in json.dumps(found.document)
