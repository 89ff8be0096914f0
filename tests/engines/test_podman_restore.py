"""Bundles onto a running Podman, of root and of a user, by its Docker-compatible socket. What it became is asked of `podman` itself.
LIFEBOAT_SOAK: a Docker and a Kubernetes bundle too, content that is replaced, and a PostgreSQL whose rows are counted."""
import json
import os
import shutil
import subprocess
import time

import pytest
import rescued
import test_restore
from rig import databases, fixtures, livepodman, podman, writers
from test_podman import bundles

from ansible_collections.lifeboat.docker.plugins import module_utils
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import asks
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import make_bundle, member, tar_bytes

ALL = ('image', 'volumes', 'container')
INSIDE = '''
import json, os, sys
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run
options = json.loads(sys.argv[2])
options.update(restore=tuple(options["restore"]), allow=tuple(options.get("allow", ())), ignore=tuple(options.get("ignore", ())))
try:
    print(json.dumps(run.restore(plan.Options(path=os.fsencode(sys.argv[1]), **options))))
except Exception as exc:
    print(json.dumps({"failed": str(exc)}))
'''


def restore(live, path, **options):
    """From outside, as root."""
    options.setdefault('restore', ALL)
    options.setdefault('allow', asks.KINDS)
    return run.restore(plan.Options(path=os.fsencode(path), docker_host=live.docker_host, engine='podman', **options))


def restore_as_the_user(live, path, **options):
    """Inside, as the user of that Podman; the bundle is copied for this user."""
    options = dict({'restore': ALL, 'docker_host': live.docker_host, 'engine': 'podman'}, **options)
    tree, copy = os.path.join(live.scratch, 'tree'), os.path.join(live.scratch, 'bundles', os.path.basename(path))
    place = os.path.join(tree, 'ansible_collections', 'lifeboat', 'docker', 'plugins', 'module_utils')
    if not os.path.exists(place):
        shutil.copytree(list(module_utils.__path__)[0], place, ignore=shutil.ignore_patterns('__pycache__'))
    if not os.path.exists(copy):
        shutil.copytree(path, copy)
    subprocess.run(['chown', '-R', '%d:%d' % (podman.UID, podman.UID), os.path.dirname(copy)], check=True)
    done = subprocess.run(live.enter('env', 'PYTHONPATH=' + tree, 'PYTHONDONTWRITEBYTECODE=1', '/usr/bin/python3', '-c', INSIDE, copy, json.dumps(options)),
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.decode())


def inspect(live, name):
    return json.loads(live.podman('inspect', '--type', 'container', '--', name))[0]


def owner(live, name, path=''):
    """(uid, gid, mode) as a container sees them."""
    found = os.stat(os.path.join(live.volume(name), path), follow_symlinks=False)

    def inner(ident, start):
        return ident if not live.rootless else 0 if ident == podman.UID else ident - start + 1
    return inner(found.st_uid, podman.SUBUID), inner(found.st_gid, podman.SUBGID), found.st_mode & 0o7777


# a host is often replaced by one with a newer Podman
ONTO = fixtures.some([(kind, kind) for kind in livepodman.KINDS], [(kind, kind) for kind in livepodman.NEWER] + [
    ('podman-root', 'podman-newer-root'), ('podman-rootless', 'podman-newer-rootless'), ('podman-rootless', 'podman-newer-fuse')])


@pytest.mark.parametrize('kind, onto', ONTO, ids=['-onto-'.join(pair) for pair in ONTO])
def test_a_container_of_podman_is_back_on_podman(kind, onto, dead_podman_of, start_podman, disk_dir):
    dead = dead_podman_of(kind)
    path = bundles(dead, os.path.join(disk_dir, 'out'), containers=('shop-web-1',))['shop-web-1']
    live = start_podman(onto)
    os.makedirs(live.host_root + '/srv/site', exist_ok=True)
    # check mode makes nothing
    checked = restore(live, path, check=True)
    assert checked['changed'] and live.podman('ps', '-aq') == live.podman('volume', 'ls', '-q') == live.podman('images', '-aq') == b''
    result = restore(live, path)
    assert {item['way'] for item in result['volumes']} == {'api' if live.rootless else 'direct'}
    found = inspect(live, 'shop-web-1')
    assert found['Id'] == result['container']['id'] and found['State']['Status'] in ('created', 'configured')
    truth = dead.json('inspect-shop-web-1.json')[0]
    for key in ('Cmd', 'WorkingDir', 'User', 'Tty'):
        assert found['Config'][key] == truth['Config'][key], key
    # Podman adds these by itself: the first two when a container starts (the second since 5.0), the third before 5.0
    assert set(truth['Config']['Env']) <= set(found['Config']['Env']) | {'HOSTNAME=' + truth['Id'][:12], 'HOME=', 'TERM=xterm'}
    assert truth['Config']['Labels'].items() <= found['Config']['Labels'].items()
    assert found['HostConfig']['RestartPolicy'] == truth['HostConfig']['RestartPolicy']
    assert found['Config']['StopTimeout'] == truth['Config']['StopTimeout'] == 10
    assert {(item['Destination'], item['Type'], item['RW']) for item in found['Mounts']} == {
        (item['Destination'], item['Type'], item['RW']) for item in truth['Mounts']}
    assert json.loads(live.podman('volume', 'inspect', '--', 'web-data'))[0]['Labels']['tier'] == 'web'
    # nothing is said twice, and nothing is silent
    assert {item['code'] for item in result['problems']} <= {'ENGINE_LACKS', 'NOT_SHOWN'}, result['problems']
    assert any('podman-restart.service' in item['message'] for item in result['problems'])
    assert not [note for note in result['notes'] if 'owner' in note]
    # a second run, and what a first start leaves of the volume
    again = restore(live, path)
    assert not again['changed'] and again['container']['id'] == found['Id'] and again['problems'] == result['problems']
    before = owner(live, 'web-data')
    assert owner(live, 'web-data', 'file')[:2] == (9, 10)
    started = restore(live, path, state='started')
    assert started['container']['state'] == 'running' and owner(live, 'web-data') == before
    until = time.monotonic() + 60
    while b'done' not in live.podman('logs', 'shop-web-1').splitlines():        # it writes everything once more
        assert time.monotonic() < until
        time.sleep(0.1)
    assert owner(live, 'web-data', 'file')[:2] == (9, 10)
    assert live.podman('exec', 'shop-web-1', 'cat', '/data/file') == b'data\n'
    assert b'made' in live.podman('exec', 'shop-web-1', 'ls', '/')
    assert live.podman('exec', 'shop-web-1', 'busybox', 'stat', '-c', '%u:%g', '/made/file') == b'7:8\n'
    live.podman('rm', '-f', '-t', '0', 'shop-web-1')


VOLUME = [member('./d/', uid=5, gid=6, mode=0o2750), member('./d/f', b'data', uid=999, gid=998, mode=0o640)]


@pytest.mark.parametrize('kind', fixtures.some([], livepodman.KINDS + livepodman.NEWER))
def test_the_volume_keeps_its_own_owner_and_mode_when_it_is_first_used(kind, start_podman, disk_dir):
    live = start_podman(kind)
    with open(os.path.join(live.scratch, 'base.tar'), 'rb') as handle:
        live.podman('import', '-', 'localhost/base:1', stdin=handle)
    path = make_bundle(os.path.join(disk_dir, 'bundle'), {'volumes/vol.tar': tar_bytes([member('./', uid=5, gid=6, mode=0o2750)] + VOLUME)},
                       {'volume': {'name': 'vol', 'driver': 'local'}})
    result = restore(live, path, restore=('volumes',))
    assert owner(live, 'vol') == (5, 6, 0o2750) and not result['problems'] and not result['volumes'][0]['notes']
    assert live.podman('run', '--rm', '--network', 'none', '--user', '7:8', '-v', 'vol:/nowhere', 'localhost/base:1', 'sh', '-c', 'echo ran') == b'ran\n'
    assert owner(live, 'vol') == (5, 6, 0o2750) and owner(live, 'vol', 'd/f') == (999, 998, 0o640)
    assert live.podman('images', '-q', 'lifeboat-empty') == b'' and live.podman('ps', '-aq') == b''


@pytest.mark.parametrize('kind', fixtures.some([], livepodman.KINDS + livepodman.NEWER))
def test_content_is_replaced_and_kept_with_its_owners(kind, start_podman, disk_dir):
    live = start_podman(kind)
    as_user = restore_as_the_user if live.rootless else restore
    old = test_restore.lone_volume(disk_dir, 'vol', VOLUME)
    as_user(live, os.fsdecode(old), restore=('volumes',))
    new = os.path.join(disk_dir, 'new')
    os.mkdir(new)
    new = os.fsdecode(test_restore.lone_volume(new, 'vol', [member('./new', b'x', uid=3, gid=4)]))
    os.rename(new, new + '-2')
    new += '-2'
    if live.rootless:                   # root's own podman has another store
        with pytest.raises(LifeboatError) as caught:
            restore(live, new, restore=('volumes',), force=True)
        assert 'loses the owners' in str(caught.value) and owner(live, 'vol', 'd/f') == (999, 998, 0o640)
    result = as_user(live, new, restore=('volumes',), force=True)
    kept = result['kept'][0]['now']
    assert owner(live, kept, 'd/f') == (999, 998, 0o640) and owner(live, kept, 'd') == (5, 6, 0o2750)
    assert owner(live, 'vol', 'new')[:2] == (3, 4) and os.listdir(live.volume('vol')) == ['new']
    assert not as_user(live, new, restore=('volumes',))['changed']


# what Docker has where nothing is asked for: what Podman has
DEFAULTS = {('ShmSize', 64 << 20): 65536000, ('WorkingDir', ''): '/'}


@pytest.mark.parametrize('kind', fixtures.some([], livepodman.KINDS + livepodman.NEWER))
def test_containers_of_docker_on_podman(kind, dead_root_of, start_podman, disk_dir):
    """The whole shop: what Podman does not take is named for each, and nothing else differs."""
    # other images of the shop have owners that no user may give away
    root = dead_root_of('debian-rootless' if podman.KINDS[kind].rootless else 'debian-overlay2')
    result = rescued.rescue(root, os.path.join(disk_dir, 'out'), include=('config', 'image', 'volumes'))
    live = start_podman(kind)
    # Podman makes what bind mounts lack, where its user may; 5 does not make the folder of a volume
    place = live.host_root + '/srv/shop'
    if live.host.how.newer:
        os.makedirs(place + '/device')
    if live.rootless:
        os.makedirs(place, exist_ok=True)
        subprocess.run(['chown', '-R', '%d:%d' % (podman.UID, podman.UID), place], check=True)
    for bundle in result['bundles']:
        if not bundle['container']:
            continue
        said = restore(live, bundle['path'], ignore=('device_nodes',))
        truth, found = root.truth['containers'][bundle['container']]['inspect'], inspect(live, bundle['container'])
        named = ' '.join(item['message'] for item in said['problems'])
        for key in ('Cmd', 'User', 'WorkingDir', 'Tty', 'OpenStdin'):
            asked = truth['Config'][key] or DEFAULTS.get((key, '')) or None
            assert (found['Config'][key] or None) == asked or key in named, (bundle['container'], key, named)
        for key in ('Memory', 'ReadonlyRootfs', 'Privileged', 'ShmSize', 'CpuShares', 'NanoCpus', 'OomScoreAdj'):
            asked = DEFAULTS.get((key, truth['HostConfig'][key]), truth['HostConfig'][key]) or None
            assert asked in (None, found['HostConfig'][key]) or key in named, (bundle['container'], key, named)
        assert set(truth['Config']['Env'] or ()) <= set(found['Config']['Env'])
        assert {item['Destination'] for item in truth['Mounts']} <= {item['Destination'] for item in found['Mounts']} | set(
            found['HostConfig'].get('Tmpfs') or ())
        assert not restore(live, bundle['path'], ignore=('device_nodes',))['changed']


@pytest.mark.parametrize('kind', fixtures.some([], livepodman.KINDS + livepodman.NEWER))
def test_containers_of_kubernetes_on_podman(kind, dead_kube_of, start_podman, disk_dir):
    result = rescued.rescue(dead_kube_of('kube-containerd'), os.path.join(disk_dir, 'out'), include=('config', 'image', 'volumes', 'binds'))
    live = start_podman(kind)
    made = 0
    for bundle in result['bundles']:
        if bundle['container'] and bundle['status'] == 'complete':
            said = restore(live, bundle['path'], restore=('image', 'volumes', 'container'))
            assert inspect(live, said['name'])['Id'] == said['container']['id'] and not restore(live, bundle['path'])['changed']
            made += 1
    assert made


SECRETS = {'db-password': b'first-s3cret\nof two lines', 'binary': bytes(range(256))}
OF_5 = {'odd name;$(id)': b'odd-s3cret'}        # names that Podman 4 refuses


def has_secret(live, name):
    """What a container that is given the secret finds."""
    return live.podman('run', '--rm', '--network', 'none', '--secret', name + ',target=it', 'localhost/base:1', 'cat', '/run/secrets/it')


@pytest.mark.parametrize('kind', fixtures.some([], livepodman.KINDS + livepodman.NEWER))
def test_secrets_are_made_again(kind, start_podman, disk_dir):
    newer = podman.KINDS[kind].newer    # tells values, and has labels
    secrets = dict(SECRETS, **OF_5) if newer else SECRETS
    live = start_podman(kind)
    with open(os.path.join(live.scratch, 'base.tar'), 'rb') as handle:
        live.podman('import', '-', 'localhost/base:1', stdin=handle)
    for name, value in secrets.items():
        live.podman('secret', 'create', *(('--label', 'tier=db') if newer else ()), name, '-', stdin=value)
    live.podman('create', '--name', 'with-secrets', *(word for name in secrets for word in ('--secret', name)), 'localhost/base:1', 'true')
    live.kill()
    bundle, = rescued.rescue(live.host, os.path.join(disk_dir, 'out'), include=('config', 'secrets'), containers=('with-secrets',))['bundles']
    back = start_podman(kind)
    with open(os.path.join(back.scratch, 'base.tar'), 'rb') as handle:
        back.podman('import', '-', 'localhost/base:1', stdin=handle)
    results = [restore(back, bundle['path'], restore=('secrets',), check=True)]
    assert results[0]['changed'] and back.podman('secret', 'ls', '-q') == b''
    results.append(restore(back, bundle['path'], restore=('secrets',)))
    assert {name: has_secret(back, name) for name in secrets} == secrets
    if newer:
        assert json.loads(back.podman('secret', 'inspect', 'db-password'))[0]['Spec']['Labels'] == {'tier': 'db'}
    results.append(restore(back, bundle['path'], restore=('secrets',)))
    assert not results[-1]['changed'] and {item['object'] for item in results[-1]['problems'] if item['code'] == 'SECRET_NOT_COMPARED'} == (
        {'binary'} if newer else set(secrets))
    back.podman('secret', 'rm', 'db-password')
    back.podman('secret', 'create', 'db-password', '-', stdin=b'another-s3cret')
    if newer:
        with pytest.raises(LifeboatError) as caught:
            restore(back, bundle['path'], restore=('secrets',))
        assert 'db-password already, with another value' in str(caught.value) and 's3cret' not in str(caught.value)
        results.append(restore(back, bundle['path'], restore=('secrets',), force=True))
        assert has_secret(back, 'db-password') == SECRETS['db-password'] and has_secret(back, results[-1]['kept'][0]['now']) == b'another-s3cret'
    else:
        results.append(restore(back, bundle['path'], restore=('secrets',), force=True))
        assert not results[-1]['changed'] and has_secret(back, 'db-password') == b'another-s3cret'
    with open(os.path.join(back.scratch, 'log'), encoding='utf-8', errors='replace') as said:
        assert 's3cret' not in said.read() + json.dumps(results)


IMAGE = 'localhost/' + databases.IMAGE
PG = ['--name', 'pg', '--network', 'none', '--user', 'postgres', '--stop-signal', 'SIGINT', '--volume', 'pg-data:/var/lib/postgresql/data',
      IMAGE, 'bash', '-c', writers.PG]


@pytest.mark.parametrize('kind', fixtures.some([], ('podman-rootless', 'podman-newer-rootless')))
def test_a_postgresql_of_a_user(kind, start_podman, start_engine, disk_dir):
    """Killed while it wrote: every committed row is there, for the same user on Podman, and for root on Docker."""
    live = start_podman(kind)
    with open(databases.ensure_tar(), 'rb') as handle:
        live.podman('import', '-', IMAGE, stdin=handle)
    live.podman('run', '-d', *PG)
    live.podman('exec', '-d', 'pg', 'bash', '-c', writers.PG_WRITE)
    told, until = b'', time.monotonic() + 120
    while not told.isdigit() or int(told) < 50:
        assert time.monotonic() < until, live.podman('logs', 'pg')
        time.sleep(0.3)
        told = subprocess.run(live.enter('podman', 'exec', 'pg', 'cat', '/tmp/told'), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=False).stdout.strip()
    live.kill()
    path = bundles(live.host, os.path.join(disk_dir, 'out'), containers=('pg',))['pg']
    back = start_podman(kind)
    result = restore_as_the_user(back, path, state='started', verify_start=True)
    assert result.get('container', {}).get('state') == 'running', result
    assert [item['engine'] for item in result['databases']] == ['postgresql'] and result['databases'][0]['clean_shutdown'] is False
    docker = start_engine('debian-overlay2')
    test_restore.restore(docker, path, restore=ALL, state='started', verify_start=True)
    for said in (back.podman('exec', 'pg', 'bash', '-c', writers.PG_READ), docker.docker('exec', 'pg', 'bash', '-c', writers.PG_READ)):
        count, last = map(int, said.decode().split()[0].split('|'))
        assert last >= int(told) and count == last + 1, (said, told)
    assert not restore_as_the_user(back, path, state='started')['changed']


@pytest.mark.parametrize('kind', fixtures.some([], livepodman.KINDS + livepodman.NEWER))
def test_the_archives_by_hand(kind, dead_podman_of, start_podman, disk_dir):
    """podman load, podman run, podman volume import, as docs/podman.md says."""
    path = bundles(dead_podman_of(kind), os.path.join(disk_dir, 'out'), containers=('shop-web-1',), compression='none')['shop-web-1']
    live = start_podman(kind)
    with open(os.path.join(path, 'image.tar'), 'rb') as handle:
        live.podman('load', '--quiet', stdin=handle)
    live.podman('volume', 'create', 'web-data')
    with open(os.path.join(path, 'volumes', 'web-data.tar'), 'rb') as handle:
        live.podman('volume', 'import', 'web-data', '-', stdin=handle)
    image = live.podman('images', '--format', '{{.Repository}}:{{.Tag}}').decode().split()
    image = next(name for name in image if 'lifeboat/shop-web-1' in name)
    said = live.podman('run', '--rm', '--network', 'none', '-v', 'web-data:/data', image, 'sh', '-c',
                       'cat /made/file /data/file; busybox stat -c %u:%g /data/file')
    assert said == b'made\ndata\n9:10\n'
