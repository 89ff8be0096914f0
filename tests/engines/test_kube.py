"""Bundles of a killed node of Kubernetes, and of containers with the labels of nerdctl, on a healthy Docker."""
import json
import os

import rescued
from rig import kube
from test_restore import inspect, restore


def bundles(dead, dest, **options):
    """{name of a container: its bundle} of a rescue of a DeadKube."""
    result = rescued.rescue(dead, dest, include=('config', 'writable', 'image', 'volumes', 'binds', 'logs'), **options)
    return {item['container']: item['path'] for item in result['bundles']}


def test_both_on_docker(dead_kube_of, start_engine, disk_dir):
    made = bundles(dead_kube_of('kube-containerd'), os.path.join(disk_dir, 'out'), containers=('shop/web-0/app',))
    path = made['shop/web-0/app']
    assert os.path.basename(path).startswith('shop_web-0_app-')
    engine = start_engine('debian-overlay2')
    os.makedirs(engine.outside('/srv/site'), exist_ok=True)
    result = restore(engine, path, restore=('image', 'volumes', 'container', 'binds'))
    found = inspect(engine, 'shop_web-0_app')
    assert found['Id'] == result['container']['id'] and 'TOKEN=' + kube.SECRET in found['Config']['Env'] and 'COLOUR=blue' in found['Config']['Env']
    assert (found['Config']['Entrypoint'], found['Config']['Cmd'][0], found['HostConfig']['NetworkMode']) == (['sh'], '-c', 'host')
    assert {(item['Destination'], item['Type'], item['RW']) for item in found['Mounts']} == {
        ('/data', 'volume', True), ('/claim', 'volume', True), ('/cache', 'volume', True), ('/site', 'bind', False)}
    for volume, place in (('shop_web-0_data', '/data'), ('shop_data-web-0', '/claim')):
        data = os.path.join(engine.data_root, 'volumes', volume, '_data', 'file')
        with open(data, encoding='ascii') as content:
            assert content.read() == place + '\n'
        assert (os.stat(data).st_uid, os.stat(data).st_gid) == (9, 10)
    assert engine.docker('run', '--rm', '--network', 'none', '--entrypoint', 'cat', found['Config']['Image'], '/made/file', '/opaque/new') == b'made\nagain\n'
    with open(os.path.join(path, 'config', 'pod.yaml'), encoding='utf-8') as content:
        assert 'claimName: "data-web-0"' in content.read()
    made = bundles(dead_kube_of('kube-nerdctl'), os.path.join(disk_dir, 'nerdctl'), containers=('web',))
    restore(engine, made['web'], restore=('image', 'volumes', 'container'))
    found = inspect(engine, 'web')
    assert {(item['Destination'], item['Type']) for item in found['Mounts']} >= {('/data', 'volume')} and found['Config']['Labels']['app'] == 'shop'


def test_what_the_next_start_deletes(dead_kube_of):
    facts = rescued.gather(dead_kube_of('kube-containerd'))
    said = {item['name']: {problem['code'] for problem in item['problems']} for item in facts['containers']}
    assert 'REMOVED_AT_NEXT_START' in said['shop/web-0/app.0'] and 'REPLACED_AT_NEXT_START' in said['shop/web-0/app']
    assert 'REMOVED_AT_NEXT_START' not in said['shop/db-node1/db']
    assert {pod['name'] for pod in facts['pods']} == {'web-0', 'db-node1'}
    assert kube.SECRET not in json.dumps(facts)
