"""Files of deployments that want to fill memory, to go on for hours, to end the run, or to stay behind unnoticed."""
import errno
import os

import boltwriter
import pytest
from deployhost import DeployHost

from ansible_collections.lifeboat.docker.plugins.module_utils.deployment import door, finding, gather, project, service
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import variables, yamlread
from ansible_collections.lifeboat.docker.plugins.module_utils.records import definition

WEB = 'services:\n  web: {image: x}\n'


@pytest.fixture
def host(tmp_path):
    return DeployHost(tmp_path / 'host')


def taken(found):
    return {item.place.path.decode('utf-8', 'surrogateescape') for item in found.collection.files.values()}


def left(found):
    return {(item['path'], item['kind']) for item in found.document['left_out']}


def test_values_that_repeat_each_other_stay_small():
    """A thousand variables that each repeat a long one are a gigabyte."""
    long = 'A=' + 'x' * 500000 + '\n'
    found = variables.env_file((long + ''.join('B%d=$A\nC%d="$A\\$$A"\n' % (n, n) for n in range(1000))).encode())
    assert sum(len(value) for value in found.values.values() if isinstance(value, str)) < variables.GROWN + (4 << 20)
    assert isinstance(found.values['B999'], variables.Undecided)
    made = service.interpolated(['$A'] * 1000 + ['plain'], {'A': 'x' * 500000}.get)
    assert sum(len(value) for value in made if isinstance(value, str)) < variables.GROWN + (2 << 20) and made[-1] == 'plain'


def test_an_env_file_of_many_services_is_read_once_and_not_kept_for_each(host, monkeypatch):
    monkeypatch.setattr(project, 'MOST_VALUES', 1000)
    host.file('/srv/a/compose.yaml', 'services:\n' + ''.join('  s%d: {image: x, env_file: big.env}\n' % n for n in range(50)))
    host.file('/srv/a/big.env', ''.join('V%d=1\n' % n for n in range(400)))
    host.service('a', 's1', '/srv/a')
    read = []
    real = variables.env_file
    monkeypatch.setattr(variables, 'env_file', lambda raw, *more: read.append(raw) or real(raw, *more))
    found = host.gather()
    assert len(read) < 5 and found.document['compared'] == ['a-s1-1']


def test_a_file_that_every_service_extends_is_read_once(host, monkeypatch):
    host.file('/srv/a/compose.yaml', 'services:\n' + ''.join('  s%d: {extends: {file: c.yml, service: base}}\n' % n for n in range(50)))
    host.file('/srv/a/c.yml', 'services:\n  base: {image: x}\n')
    host.service('a', 's1', '/srv/a')
    read = []
    real = yamlread.loads_tagged
    monkeypatch.setattr(yamlread, 'loads_tagged', lambda *more: read.append(1) or real(*more))
    host.gather()
    assert len(read) == 2


@pytest.mark.parametrize('path', ['/etc/systemd/system/x.service', '/etc/containers/systemd/x.container', '/etc/casaos/app-management.conf'])
def test_many_empty_lines_take_no_hours(host, path):
    """A search whose blanks go over the ends of lines looks at the rest of the file from each of them."""
    host.file(path, '[Service]\nExecStart=/usr/bin/docker run x\n' + '\n' * (door.LARGEST - 100) + 'x')
    found = host.gather()
    assert found.status == 'complete'


@pytest.mark.parametrize('ports', [
    '["%s"]' % ('9' * 5000), '["80:%s"]' % ('9' * 5000), '[{target: 80, published: "8000-x"}]', '[{target: 80, published: "-"}]', '["80-"]',
    '[{target: 80, published: "%s-%s"}]' % ('9' * 5000, '9' * 5000), '["8000-8010:80"]', '[%s]' % ', '.join('"%d-%d"' % (n, n + 1999) for n in range(1, 200))])
def test_ports_that_are_no_numbers_end_nothing(host, ports):
    host.file('/srv/a/compose.yaml', 'services:\n  web: {image: "busybox:1", ports: %s}\n' % ports)
    for port in ('8000', '\u00b2', '9' * 5000, '-', ''):
        host.service('a', 'web', '/srv/a', published={'80/tcp': (definition.Binding('', port),)})
    assert len(host.gather().document['compared']) == 5


def test_a_long_number_is_none():
    assert isinstance(yamlread.resolve(yamlread.Plain('9' * 900000)), yamlread.Odd)
    assert yamlread.resolve(yamlread.Plain('18446744073709551615')) == (1 << 64) - 1


def test_a_link_that_a_container_could_make_leads_nowhere_outside(host):
    """Dockge's container writes /opt/stacks: a link there names what it could not read."""
    host.file('/root/private/compose.yaml', WEB)
    host.file('/root/private/.env', 'A=1\n')
    host.link('/opt/stacks/x/compose.yaml', '/root/private/compose.yaml')
    host.file('/opt/stacks/y/compose.yaml', WEB)
    host.link('/opt/stacks/y/.env', '/root/private/.env')
    host.link('/opt/stacks/z', '/root/private')
    host.link('/opt/stacks/in', 'y')
    host.container('dockge', mounts=[host.mount('bind', '/opt/stacks', '/opt/stacks')])
    found = host.gather()
    assert taken(found) == {'/opt/stacks/y/compose.yaml', '/opt/stacks/in/compose.yaml'}
    assert left(found) >= {('/opt/stacks/x/compose.yaml', 'refused'), ('/opt/stacks/z/compose.yaml', 'refused'), ('/opt/stacks/y/.env', 'refused')}
    assert [item.code for item in found.problems] == ['DEPLOYMENT_INCOMPLETE']


def test_a_link_of_the_administrator_is_followed(host):
    host.file('/srv/git/shop/compose.yaml', WEB)
    host.link('/opt/stacks/shop', '/srv/git/shop')
    assert taken(host.gather()) == {'/opt/stacks/shop/compose.yaml'}


def test_what_an_extended_file_names_is_taken(host):
    host.file('/srv/a/compose.yaml', 'services:\n  web: {extends: {file: common/c.yml, service: base}, image: x}\n')
    host.file('/srv/a/common/c.yml', 'services:\n  base: {env_file: [c.env], build: ./b, image: x}\n')
    host.file('/srv/a/common/c.env', 'A=1\n')
    host.file('/srv/a/common/b/Dockerfile', 'FROM x\n')
    host.service('a', 'web', '/srv/a')
    found = host.gather()
    assert {'/srv/a/common/c.env', '/srv/a/common/b/Dockerfile'} <= taken(found) and len(found.collection.trees) == 1


@pytest.mark.parametrize('text', [
    'services:\n  web: !own {image: x, env_file: secret.env}\n', 'a: &x\n  <<: *y\nservices: {}\n', 'services: {}\n---\nservices: {}\n'])
def test_a_compose_file_that_is_not_understood_is_no_whole_deployment(host, text):
    """What it names stays behind."""
    host.file('/srv/a/compose.yaml', text)
    host.file('/srv/a/secret.env', 'A=1\n')
    host.service('a', 'web', '/srv/a')
    found = host.gather()
    assert taken(found) == {'/srv/a/compose.yaml'} and found.status == 'partial' and left(found) == {('/srv/a/compose.yaml', 'not understood')}
    assert 'DEPLOYMENT_INCOMPLETE' in [item.code for item in found.problems]


def test_tags_of_compose_do_not_hide_what_a_file_names(host):
    host.file('/srv/a/compose.yaml', WEB)
    host.file('/srv/a/over.yaml', 'services:\n  web:\n    ports: !reset []\n    env_file: !override\n      - other.env\n    image: !reset\n')
    host.file('/srv/a/other.env', 'A=1\n')
    host.service('a', 'web', '/srv/a', '/srv/a/compose.yaml,/srv/a/over.yaml')
    found = host.gather()
    assert '/srv/a/other.env' in taken(found) and found.status == 'complete' and found.document['compared'] == []
    assert found.document['undecided'] == ['Project a: /srv/a/over.yaml uses !reset or !override']


def test_limits_of_includes_are_told(host):
    for number in range(10):
        host.file('/srv/a/c%d.yaml' % number, 'include: [c%d.yaml]\nservices: {s%d: {image: x}}\n' % (number + 1, number))
    host.service('a', 's1', '/srv/a', '/srv/a/c0.yaml')
    found = host.gather()
    assert found.status == 'partial' and ('/srv/a/c6.yaml', 'too large') in left(found) and found.document['compared'] == []


def test_limits_of_labels_and_folders_are_told(host, monkeypatch):
    for number in range(5):
        host.file('/srv/a/c%d.yaml' % number, WEB)
        host.file('/opt/stacks/s%d/compose.yaml' % number, WEB)
    host.service('a', 'web', '/srv/a', ','.join('/srv/a/c%d.yaml' % number for number in range(5)))
    assert host.gather().status == 'complete'
    monkeypatch.setattr(finding, 'MOST_NAMED', 3)
    assert host.gather().status == 'partial'
    monkeypatch.undo()
    monkeypatch.setattr(door, 'MOST_NAMES', 3)
    found = host.gather()
    assert found.status == 'partial' and ('/opt/stacks', 'too large') in left(found)
    monkeypatch.undo()
    monkeypatch.setattr(gather, 'MOST_STACKS', 3)
    found = host.gather()
    assert found.status == 'partial' and ('dockge', 'too large') in left(found)


@pytest.mark.parametrize('number, kind, status', [(errno.EIO, 'unreadable', 'partial'), (errno.EACCES, 'not looked into', 'complete')])
def test_a_disk_that_cannot_be_read_is_no_whole_deployment(host, monkeypatch, number, kind, status):
    """What only root may see is named; what a broken disk does not give makes it partial."""
    host.file('/opt/stacks/a/compose.yaml', WEB)
    host.file('/opt/stacks/b/compose.yaml', WEB)
    real = HostRoot._walk

    def walk(self, name, follow=True):
        if name.startswith(b'/opt/stacks/a'):
            raise OSError(number, os.strerror(number), name)
        return real(self, name, follow)
    monkeypatch.setattr(HostRoot, '_walk', walk)
    found = host.gather()
    assert found.status == status and kind in {word for dummy, word in left(found)}


def test_a_part_of_the_database_of_portainer_that_is_damaged_is_said(host):
    home = host.volume('p')
    stacks = {number.to_bytes(8, 'big'): b'{"Id":%d,"Name":"s%d","EntryPoint":"c.yml","X":"%s"}' % (number, number, b'x' * 1500) for number in range(1, 30)}
    boltwriter.write(home + '/portainer.db', {b'stacks': stacks})
    size = os.path.getsize(home + '/portainer.db')
    for place in range(2 * 4096, size, 4096):
        os.unlink(home + '/portainer.db')
        boltwriter.write(home + '/portainer.db', {b'stacks': stacks})
        with open(home + '/portainer.db', 'r+b') as out:
            out.seek(place)
            out.write(b'\xff' * 4096)
        found = host.gather()
        assert found.status == 'partial' or len(found.document['deployments']) == 29, place
    assert found.status == 'partial'


def test_further_contexts_files_of_labels_and_includes_from_elsewhere(host):
    """What Compose has beside a context, and what is on no disk."""
    host.file('/srv/a/compose.yaml', '''
include: ["oci://example.org/shared:1", "https://example.org/x.git#main:y"]
services:
  web:
    build: {context: ., additional_contexts: {shared: ../shared, base: "docker-image://alpine", other: "service:db", repo: "https://example.org/r.git"}}
    label_file: [./labels.txt]
  job: {build: {context: ., additional_contexts: ["more=oci-layout:///srv/more", "gone=./gone"]}, label_file: ./own.txt}
''')
    for name in ('a/Dockerfile', 'shared/x', 'more/x', 'a/labels.txt', 'a/own.txt'):
        host.file('/srv/' + name, 'x=1\n')
    host.service('a', 'web', '/srv/a')
    found = host.gather()
    assert {tree.place.path for tree in found.collection.trees} == {b'/srv/a', b'/srv/shared', b'/srv/more'}
    assert {'/srv/a/labels.txt', '/srv/a/own.txt'} <= taken(found)
    assert left(found) == {('oci://example.org/shared:1', 'elsewhere'), ('https://example.org/x.git#main:y', 'elsewhere'),
                           ('https://example.org/r.git', 'elsewhere'), ('./gone', 'missing')}
