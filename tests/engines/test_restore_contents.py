"""What is in the mounts of a restored container after it was started, against the dead engine's: emptied volumes stay empty,
volumes whose data lie elsewhere keep their options, and what reaches the host is refused."""
import os
import shutil
import subprocess
import types

import pytest
import rescued
from rig import scenario
from rig.engine import Engine
from test_restore import inspect, restore

from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError

# the image has /data/seed, and declares /data and /var/cache/shop as volumes
CONTAINERS = {
    'cut-named': ['-v', 'cut-named:/data', '-v', '/srv/cut:/bind', '--cap-add', 'NET_ADMIN'],
    'cut-anonymous': [],
    'cut-mount': ['--mount', 'type=volume,source=cut-mount,target=/data', '--mount',
                  'type=bind,source=/srv/cut,target=/bind,bind-recursive=disabled'],
    'cut-elsewhere': ['-v', 'cut-tmpfs:/m', '-v', 'cut-labels:/l'],
    'cut-paused': ['-v', 'cut-paused:/data'],
    # the image has files where cut-file has an empty volume: --volumes-from never copies them into it
    'cut-from': ['--volumes-from', 'cut-elsewhere', '--volumes-from', 'cut-file'],
}
EMPTIED = ('cut-named', 'cut-anonymous', 'cut-mount')


@pytest.fixture(scope='module')
def cut(tmp_path_factory):
    """{container: path of its bundle} of a killed engine, whose /data volumes had been emptied."""
    folder = tmp_path_factory.mktemp('contents')
    with Engine('debian-overlay2') as engine:
        engine.start()
        scenario.build_images(engine)
        engine.docker('rm', '-f', 'shop-old')
        os.makedirs(engine.outside('/srv/cut'))
        with open(engine.outside('/srv/cut/file'), 'w', encoding='ascii') as handle:
            handle.write('x')
        engine.docker('volume', 'create', '--opt', 'type=tmpfs', '--opt', 'device=tmpfs', '--opt', 'o=size=1m', '--label', 'a=b', 'cut-tmpfs')
        engine.docker('volume', 'create', '--label', 'c=d', 'cut-labels')
        engine.docker('create', '--name', 'cut-file', '--mount', 'type=volume,source=cut-over,target=/opt/from-base,volume-nocopy',
                      scenario.BASE)
        for name, arguments in CONTAINERS.items():
            engine.docker('run', '-d', '--network', 'none', '--name', name, *arguments, scenario.SHOP,
                          'exec sleep 100000')
        for name in EMPTIED:
            engine.docker('exec', name, 'rm', '/data/seed')
        engine.docker('pause', 'cut-paused')
        engine.kill()
        result = rescued.rescue(types.SimpleNamespace(host_root=engine.host_root), folder, containers=list(CONTAINERS),
                                include=('config', 'writable', 'image', 'volumes', 'binds', 'logs'), host_name='dead')
        assert {item['container']: item['status'] for item in result['bundles']} == dict.fromkeys(CONTAINERS, 'complete')
    return {item['container']: item['path'] for item in result['bundles']}


def contents(engine, name):
    """Names in each volume of a container, by where it is mounted."""
    return {mount['Destination']: sorted(os.listdir(os.path.join(engine.data_root, 'volumes', mount['Name'], '_data')))
            for mount in inspect(engine, name)['Mounts'] if mount['Type'] == 'volume'}


@pytest.mark.parametrize('kind', ['debian-overlay2', 'newer-containerd', 'newer-overlay2'])
def test_emptied_volumes_stay_empty_and_others_as_they_were(kind, cut, start_engine, tmp_path):
    bundles = cut
    engine = start_engine(kind)
    engine.docker('volume', 'create', 'other')      # by which check mode sees where volumes lie
    same_host = kind != 'newer-containerd'
    if same_host:                       # the folder of the bind is there, with what the bundle has
        os.makedirs(engine.outside('/srv/cut'))
        with open(engine.outside('/srv/cut/file'), 'w', encoding='ascii') as handle:
            handle.write('x')
    for name in CONTAINERS:
        with_check = {'check': True, 'state': 'started'}
        if name == 'cut-named':
            for check in (True, False):
                with pytest.raises(LifeboatError) as caught:
                    restore(engine, bundles[name], check=check, state='started', allow=())
                assert '--cap-add' in str(caught.value) and 'allow: [capabilities]' in str(caught.value)
            assert engine.docker('ps', '-aq') == b'' and engine.docker('volume', 'ls', '-q').split() == [b'other']
        checked = restore(engine, bundles[name], **with_check)
        done = restore(engine, bundles[name], state='started')
        if name == 'cut-named':
            assert [step['action'] for step in done['steps'] if step['kind'] == 'folder'] == ['keep' if same_host else 'create']
        assert [step['message'] for step in checked['steps']] == [step['message'] for step in done['steps']], name
        assert not restore(engine, bundles[name], state='started')['changed'], name
        state = inspect(engine, name)['State']
        assert (state['Running'], state['Paused']) == (True, name == 'cut-paused'), name
    for name in EMPTIED:
        assert contents(engine, name)['/data'] == [], name
    assert contents(engine, 'cut-from')['/opt/from-base'] == []
    assert contents(engine, 'cut-paused')['/data'] == ['seed']
    with open(engine.outside('/srv/cut/file'), encoding='ascii') as handle:
        assert handle.read() == 'x'
    volume = engine.api('GET', '/volumes/cut-tmpfs')
    assert volume['Options'] == {'type': 'tmpfs', 'device': 'tmpfs', 'o': 'size=1m'} and volume['Labels']['a'] == 'b'
    assert engine.api('GET', '/volumes/cut-labels')['Labels']['c'] == 'd'
    assert b'tmpfs' in engine.docker('exec', 'cut-elsewhere', 'cat', '/proc/mounts').split(b' /m ', 1)[1][:6]
    # by hand: the volumes are there and empty, and the script makes the containers around them
    engine.docker('unpause', 'cut-paused')
    engine.docker('rm', '-f', *CONTAINERS)
    for name in EMPTIED + ('cut-paused', 'cut-from'):
        folder = tmp_path / name
        shutil.copytree(os.path.join(bundles[name], 'config'), str(folder))
        done = subprocess.run(['sh', str(folder / 'run.sh')], env=dict(os.environ, DOCKER_HOST='unix://' + engine.socket),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        # an older client has no word for bind-recursive
        assert done.returncode == 0 or b'bind-recursive' in done.stderr, (name, done.stderr)
    for name in ('cut-named', 'cut-anonymous'):
        assert contents(engine, name)['/data'] == [], name
    assert inspect(engine, 'cut-paused')['State']['Paused'] is True
    assert contents(engine, 'cut-from')['/opt/from-base'] == []
