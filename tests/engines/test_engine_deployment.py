"""The original files of a dead engine's containers, and what Compose would change: the scenario has a project whose file is right for two of its
containers. LIFEBOAT_SOAK: a project that a real Compose has made, if there is one."""
import json
import os
import shutil
import types

import pytest
import rescued
from rig import fixtures, listing, scenario

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
