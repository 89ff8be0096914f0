"""The original files of a dead engine's containers, and what Compose would change: the scenario has a project whose file is right for two of its
containers. LIFEBOAT_SOAK: a project that a real Compose has made, if there is one."""
import glob
import json
import os
import re
import shutil
import sys
import sysconfig
import types

import pytest
import rescued
from rig import fixtures, listing, newer, scenario

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOAK = int(os.environ.get('LIFEBOAT_SOAK') or 0)


def rescue(root, dest):
    """(result, deployment.json, folder of the bundle)"""
    result = rescued.rescue(root, dest, include=('config',), deployment=True, compression='none')
    entry, = [item for item in result['bundles'] if item['kind'] == 'deployment']
    with open(os.path.join(entry['path'], 'deployment.json'), encoding='utf-8') as found:
        return result, json.load(found), entry


def test_the_files_of_a_project_and_what_ran(dead_root, disk_dir):
    before = dead_root.snapshot()
    result, document, entry = rescue(dead_root, disk_dir)
    assert entry['status'] == 'complete' and {item['path'] for item in document['files']} == {'/srv/shop/compose.yaml', '/srv/shop/.env'}
    with open(os.path.join(entry['path'], 'files/srv/shop/compose.yaml'), 'rb') as copied:
        assert copied.read() == scenario.compose_file()
    # docker commit keeps labels: a container of that image has those of the one that it was made from
    assert set(document['compared']) == {'shop-web-1', 'shop-db-1', 'shop-web-2', 'shop-from-commit'}
    rows = {(row['container'], row['what'], row['name']) for row in document['differences']}
    assert {container for container, dummy, dummy2 in rows} == {'shop-web-2', 'shop-from-commit'}
    assert rows >= {('shop-web-2', 'network', ''), ('shop-web-2', 'mount', '/data'), ('shop-web-2', 'mount', '/device'), ('shop-web-2', 'port', '8080/tcp'),
                    ('shop-web-2', 'environment', 'EQUALS')} and document['undecided'] == []
    assert scenario.SECRET not in json.dumps(document) and scenario.SECRET not in json.dumps(result['deployment'])
    for shown in document['containers']:        # what ran is what docker inspect said
        said = dead_root.truth['containers'][shown['name']]['inspect']
        assert shown['image']['id'] == said['Image'] and shown['image']['reference'] == said['Config']['Image']
        assert set(shown['environment']) == {item.partition('=')[0] for item in said['Config']['Env']}
        assert {item['target'] for item in shown['mounts'] if item['type'] != 'tmpfs'} == {item['Destination'] for item in said['Mounts']}
        assert set(shown['networks']) <= set(said['NetworkSettings']['Networks'])
    assert rescue(dead_root, disk_dir)[0]['changed'] is False
    assert listing.differences(before, dead_root.snapshot()) == []


COMPOSE = '''version: "3.7"
services:
  web:
    image: ${IMAGE}
    command: ["echo", "$$HOME"]
    env_file: web.env
    environment: {A: "1", MODE: "yes"}
    ports: ["127.0.0.1:18081:80"]
    volumes: ["data:/data", "./html:/html:ro", /anonymous]
    networks: [front]
  job: {image: "${IMAGE}", command: sleep 5, network_mode: none, tmpfs: /tmp}
volumes: {data: {}}
networks: {front: {ipam: {config: [{subnet: 10.215.0.0/24}]}}}
'''


@pytest.mark.soak             # with LIFEBOAT_SOAK
@pytest.mark.parametrize('kind', fixtures.some(['debian-overlay2'], ['newer-containerd']))
def test_a_project_that_compose_made(kind, tmp_path):
    """Compose of any version: what it made has no difference, until somebody edits the file."""
    program = os.environ.get('LIFEBOAT_COMPOSE') or shutil.which('docker-compose')
    if not program:
        pytest.skip('there is no docker-compose')
    from rig.engine import Engine
    with Engine(kind) as engine:
        engine.start()
        scenario.build_images(engine)
        folder = engine.outside('/srv/app')
        os.makedirs(os.path.join(folder, 'html'))
        for name, content in (('docker-compose.yml', COMPOSE), ('.env', 'IMAGE=%s\n' % scenario.SHOP), ('web.env', 'B=two words\nA=0\n')):
            with open(os.path.join(folder, name), 'w', encoding='utf-8') as out:
                out.write(content)
        if os.environ.get('LIFEBOAT_COMPOSE'):      # one that is not where the engine sees it
            program = '/srv/compose'
            shutil.copy(os.environ['LIFEBOAT_COMPOSE'], engine.outside(program))
        done = rescued.subprocess.run(engine.enter('sh', '-c', 'cd /srv/app && exec "$0" up --no-start', program), stdout=rescued.subprocess.PIPE,
                                      stderr=rescued.subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout.decode('utf-8', 'replace')
        engine.kill()
        root = types.SimpleNamespace(host_root=engine.host_root)
        document = rescue(root, str(tmp_path))[1]
        assert len(document['compared']) == 2 and document['differences'] == [] and document['undecided'] == []
        with open(os.path.join(folder, 'docker-compose.yml'), 'w', encoding='utf-8') as out:
            changed = COMPOSE.replace('18081', '18082').replace('MODE: "yes"', 'MODE: "no"').replace('data:/data', 'other:/data')
            out.write(changed.replace('volumes: {', 'volumes: {other: {}, '))
        result, document, dummy = rescue(root, str(tmp_path))
        assert sorted((row['what'], row['name']) for row in document['differences']) == [
            ('environment', 'MODE'), ('mount', '/data'), ('port', '80/tcp'), ('port', '80/tcp')] and result['changed']


PROJECT = {
    'compose.yaml': '''name: app
include: [more/db.yaml]
services:
  web:
    image: ${IMAGE}
    command: ["exec sleep 100000"]
    env_file: [{path: web.env}, {path: none.env, required: false}]
    environment: {A: "1"}
    volumes: ["data:/data", "./html:/html"]
    secrets: [pw]
    configs: [{source: conf, target: /etc/conf}]
    networks: [front]
    extends: {file: common/base.yaml, service: base}
  tool: {image: "${IMAGE}", profiles: [tools]}
volumes: {data: {labels: {keep: "yes"}}}
secrets: {pw: {file: ./pw.txt}}
configs: {conf: {file: ./conf.txt}}
networks: {front: {}}
''',
    'over.yaml': 'services:\n  web:\n    environment: {B: "2"}\n    labels: {over: "yes"}\n',
    'more/db.yaml': 'services:\n  db: {image: "${IMAGE}", command: ["exec sleep 100000"], volumes: ["rows:/rows"], env_file: db.env}\nvolumes: {rows: {}}\n',
    'more/db.env': 'DB=one\n', 'common/base.yaml': 'services:\n  base: {env_file: base.env, init: true}\n', 'common/base.env': 'BASE=x y\n',
    'web.env': 'W="two words"\n', 'prod.env': 'IMAGE=%s\n' % scenario.SHOP, 'pw.txt': 'hunter2\n', 'conf.txt': 'conf\n', 'html/index.html': 'page\n'}
CALL = '/srv/compose -f compose.yaml -f over.yaml --env-file prod.env'


def shell(engine, command, check=True):
    done = rescued.subprocess.run(engine.enter('sh', '-c', command), stdout=rescued.subprocess.PIPE, stderr=rescued.subprocess.STDOUT, check=False)
    said = done.stdout.decode('utf-8', 'replace')
    assert not check or done.returncode == 0, said
    return said


def seen(engine):
    """What `docker inspect` says of the containers of the project, as far as Compose decides it."""
    names = engine.docker('ps', '-a', '--filter', 'label=com.docker.compose.project=app', '--format', '{{.Names}}').decode().split()
    found = {}
    for one in json.loads(engine.docker('inspect', *names).decode()) if names else ():
        labels = {key: value for key, value in one['Config']['Labels'].items() if not key.startswith('com.docker.compose.')}
        found[one['Name']] = (sorted(one['Config']['Env']), one['Config']['Cmd'], labels, one['HostConfig'].get('Init'), sorted(
            (item['Destination'], 'anonymous' if len(item.get('Name') or '') == 64 else item.get('Name') or item['Source'], item['RW'])
            for item in one['Mounts']), sorted(one['NetworkSettings']['Networks']))
    return found


def bring_ansible(engine):
    """This Python and its Ansible into the ENGINE's namespace -> (variables, interpreter, command). One with a tree of its own has none of them."""
    if not engine.kind.newer:
        return '', sys.executable, os.path.join(os.path.dirname(sys.executable), 'ansible-playbook')
    if not os.path.exists(engine.outside('/srv/python')):
        own = os.path.realpath(sys.base_prefix)
        libraries = engine.outside('/srv/libraries')
        os.makedirs(libraries)
        for source, target in ((own, '/srv/python'), (sysconfig.get_paths()['purelib'], '/srv/site')):
            rescued.subprocess.run(['cp', '-a', source, engine.outside(target)], check=True)
        modules = glob.glob(os.path.join(own, 'lib', '*', 'lib-dynload', '_*.so'))
        said = rescued.subprocess.run(['ldd'] + modules, stdout=rescued.subprocess.PIPE, stderr=rescued.subprocess.DEVNULL, check=False).stdout
        for name in set(re.findall(r'=> (/(?:usr/)?lib/\S+)', said.decode())):
            if not glob.glob(os.path.join(newer.tree_path(), 'usr/lib/*', os.path.basename(name))):
                shutil.copy(name, libraries)
    python = glob.glob(engine.outside('/srv/python/bin/python3.*[0-9]'))[0]
    python = '/srv/python/bin/' + os.path.basename(python)
    return ('LD_LIBRARY_PATH=/srv/python/lib:/srv/libraries PYTHONPATH=/srv/site PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8 ', python,
            python + ' -m ansible playbook')


@pytest.mark.soak             # with LIFEBOAT_SOAK, and LIFEBOAT_COMPOSE: a Compose of version 2
@pytest.mark.parametrize('kind', ['debian-overlay2', 'newer-overlay2', 'newer-containerd'])
def test_a_project_comes_back_by_its_original_files(kind, tmp_path):
    """Compose made it, the engine was killed, the role puts the files back on another host, and the same Compose makes the containers: with the
    rows of their volumes, and as they were."""
    if not os.environ.get('LIFEBOAT_COMPOSE'):
        pytest.skip('LIFEBOAT_COMPOSE names no Compose')
    from rig.engine import Engine
    with Engine(kind) as engine:
        engine.start()
        scenario.build_images(engine)
        for name, content in PROJECT.items():
            path = engine.outside('/srv/app/' + name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as out:
                out.write(content)
        shutil.copy(os.environ['LIFEBOAT_COMPOSE'], engine.outside('/srv/compose'))
        shell(engine, 'cd /srv/app && exec %s up --detach' % CALL)
        for service, place in (('web', '/data'), ('db', '/rows')):
            engine.docker('exec', 'app-%s-1' % service, 'sh', '-c', 'echo row of %s > %s/row' % (service, place))
        before = seen(engine)
        assert set(before) == {'/app-web-1', '/app-db-1'}
        engine.kill()
        result = rescued.rescue(types.SimpleNamespace(host_root=engine.host_root), str(tmp_path / 'out'), include=(
            'config', 'writable', 'image', 'volumes', 'binds'), deployment=True)
    assert {item['status'] for item in result['bundles']} == {'complete'}, result['problems']
    assert result['deployment']['differences'] == [] and result['deployment']['undecided'] == [], result['deployment']
    with Engine(kind) as engine:
        engine.start()
        scenario.build_images(engine)   # in place of a registry
        shutil.copy(os.environ['LIFEBOAT_COMPOSE'], engine.outside('/srv/compose'))
        shutil.copytree(str(tmp_path / 'out'), engine.outside('/srv/rescued'))
        play = [{'hosts': 'localhost', 'connection': 'local', 'gather_facts': False, 'roles': [{'role': 'lifeboat.docker.restore', 'vars': {
            'restore_path': '/srv/rescued/dead', 'restore_definition': 'original',
            'restore_allow': ['original_files', 'host_paths'], 'restore_state': 'started',
            'restore_compose_command': ['/srv/compose']}}]}]
        with open(engine.outside('/srv/play.yml'), 'w', encoding='utf-8') as out:
            json.dump(play, out)
        variables, python, ansible = bring_ansible(engine)
        for part in ('plugins', 'roles', 'meta'):   # what the engine's namespace sees
            shutil.copytree(os.path.join(COLLECTION, part), engine.outside('/srv/collections/ansible_collections/lifeboat/docker/' + part))
        call = 'cd /srv && HOME=/tmp/home ANSIBLE_HOME=/tmp/home ANSIBLE_REMOTE_TEMP=/tmp/remote ANSIBLE_COLLECTIONS_PATH=/srv/collections ' \
            '%sexec %s -i localhost, -e ansible_python_interpreter=%s /srv/play.yml' % (variables, ansible, python)
        said = shell(engine, call)
        assert seen(engine) == before and 'app-web-1 at /var/cache/shop' in said, said
        for service, place in (('web', '/data'), ('db', '/rows')):
            assert engine.docker('exec', 'app-%s-1' % service, 'cat', place + '/row') == b'row of %s\n' % service.encode(), said
        assert engine.docker('exec', 'app-web-1', 'cat', '/run/secrets/pw', '/etc/conf', '/html/index.html') == b'hunter2\nconf\npage\n'
        assert 'Recreate' not in shell(engine, 'cd /srv/app && %s up --detach' % CALL) and seen(engine) == before
