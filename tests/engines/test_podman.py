"""Bundles of a killed Podman on healthy engines: on Docker by the neutral definition, and back on Podman by its own commands."""
import os
import subprocess

import rescued
from rig import podman
from test_restore import inspect, restore

BACK = r'''
set -eu
for each in "$BUNDLES"/*/image.tar; do podman load --quiet --input "$each" >/dev/null; done
for each in "$BUNDLES"/shop-web-1-*/volumes/web-data.tar; do podman volume create web-data >/dev/null; podman volume import web-data "$each"; done
for each in "$BUNDLES"/shop-web-1-*/config/podman.sh; do sh "$each" >/dev/null; done
cat "$(podman volume inspect web-data --format '{{.Mountpoint}}')/file"
podman run --rm --cgroups=disabled --network none $(sed -n 's/.* \(lifeboat[^ ]*\) .*/\1/p' "$BUNDLES"/shop-web-1-*/config/podman.sh) cat /made/file /opaque/new
podman ps --all --format '{{.Names}} {{.Status}}'
'''


def bundles(dead, dest, **options):
    """{name of a container: its bundle} of a rescue of a DeadPodman."""
    result = rescued.rescue(dead, dest, include=('config', 'writable', 'image', 'volumes', 'binds', 'logs'), **options)
    return {item['container']: item['path'] for item in result['bundles']}


def test_on_docker(dead_podman_of, start_engine, disk_dir):
    made = bundles(dead_podman_of('podman-root'), os.path.join(disk_dir, 'out'))
    engine = start_engine('debian-overlay2')
    os.makedirs(engine.outside('/srv/site'), exist_ok=True)
    result = restore(engine, made['shop-web-1'], restore=('image', 'volumes', 'container', 'binds'))
    found = inspect(engine, 'shop-web-1')
    assert found['Id'] == result['container']['id'] and 'TOKEN=' + podman.SECRET in found['Config']['Env'] and 'COLOUR=blue' in found['Config']['Env']
    assert (found['Config']['Cmd'][0], found['Config']['Labels']['app'], found['HostConfig']['RestartPolicy']['Name']) == ('sh', 'shop', 'always')
    assert {(item['Destination'], item['Type'], item['RW']) for item in found['Mounts'] if item['Type'] != 'tmpfs'} == {
        ('/data', 'volume', True), ('/cache', 'volume', True), ('/site', 'bind', False)}
    data = os.path.join(engine.data_root, 'volumes', 'web-data', '_data', 'file')
    with open(data, encoding='ascii') as found:
        assert found.read() == 'data\n'
    assert (os.stat(data).st_uid, os.stat(data).st_gid) == (9, 10)
    assert engine.docker('run', '--rm', '--network', 'none', inspect(engine, 'shop-web-1')['Config']['Image'], 'cat', '/made/file', '/opaque/new') == \
        b'made\nagain\n'


def test_a_rootless_one_on_docker(dead_podman_of, start_engine, disk_dir):
    """Owners are those of the container: what was 9:10 in the volume is so on Docker of root."""
    made = bundles(dead_podman_of('podman-rootless'), os.path.join(disk_dir, 'out'))
    engine = start_engine('debian-overlay2')
    restore(engine, made['shop-web-1'], restore=('image', 'volumes'))
    status = os.stat(os.path.join(engine.data_root, 'volumes', 'web-data', '_data', 'file'))
    assert (status.st_uid, status.st_gid) == (9, 10)


def test_back_on_podman(dead_podman_of, disk_dir):
    dest = os.path.join(disk_dir, 'out')
    bundles(dead_podman_of('podman-root'), dest, compression='none')
    said = podman.on_a_new_host(BACK.replace('$BUNDLES', os.path.join(dest, 'dead')))
    lines = said.decode().splitlines()
    assert lines[:3] == ['data', 'made', 'again'] and any(line.startswith('shop-web-1 Created') for line in lines), lines


def test_the_dead_root_is_the_same_afterwards(dead_podman_of):
    """Nothing was written by any of these: see test_manners.py of the conformance suite; here, no lock file changed either."""
    dead = dead_podman_of('podman-root')
    found = subprocess.run(['find', dead.data_root, '-name', '*.lock', '-newer', dead.truth('ready')], stdout=subprocess.PIPE, check=True)
    assert found.stdout == b''
