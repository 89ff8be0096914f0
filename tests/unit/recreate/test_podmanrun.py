"""podman.sh, the recorded command line once more, the unit of Quadlet, and pod.yaml."""
import shlex

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.records.definition import (
    Binding,
    Definition,
    Endpoint,
    Health,
    MountRequest,
    Pod,
    Resources,
    Restart,
    Security,
    Ulimit,
    VolumeSettings,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.records.model import Mount
from ansible_collections.lifeboat.docker.plugins.module_utils.recreate import kube, podmanrun, quadlet


def script(*argv, **fields):
    made = podmanrun.files(Definition(name='web', image_recorded='shop:2', create_command=argv, **fields))
    return made.get('podman.sh')


def command(text):
    return shlex.split(text.partition('set -eu\n')[2])


def test_run_becomes_create_and_does_not_detach():
    text = script('podman', 'run', '-d', '--name', 'web', '-p', '80:80', 'shop:2', 'sh', '-d')
    assert command(text) == ['podman', 'create', '--name', 'web', '-p', '80:80', 'shop:2', 'sh', '-d']
    assert command(script('podman', 'run', '-dit', 'shop:2')) == ['podman', 'create', '-it', 'shop:2']
    assert command(script('/usr/bin/podman', 'container', 'create', 'shop:2')) == ['podman', 'create', 'shop:2']


def test_the_rescued_image_is_used():
    assert command(script('podman', 'run', 'shop:2', 'sh', image='lifeboat/web:rescued')) == ['podman', 'create', 'lifeboat/web:rescued', 'sh']
    assert 'NOTE' in script('podman', 'run', '--rootfs', '/x', image='lifeboat/web:rescued')


def test_what_was_relative_to_its_author_is_named():
    text = script('podman', '--root', '/x', 'run', '-v', './data:/data', '--env-file=prod.env', '-e', 'TOKEN', '--secret', 'key', '--rm', 'shop:2')
    for word in ('./data', 'prod.env', 'TOKEN', 'secret key', '--rm', '--root'):
        assert word in text.partition('set -eu')[0], word


def test_hostile_words_stay_words():
    words = ['podman', 'run', '--name', '$(reboot)', "it's; rm -rf /", 'a\nb', 'shop:2\n# x']
    text = script(*words)
    assert command(text) == ['podman', 'create'] + words[2:]
    assert all(line.startswith('#') for line in text.partition('set -eu')[0].splitlines())


def test_no_script_without_a_command_of_podman():
    assert script() is None and script('rm', '-rf', '/') is None and script('podman', 'pod', 'start') is None


# -- Quadlet ---------------------------------------------------------------------------------------------------------------


def unit(**fields):
    made = quadlet.files(Definition(create_command=('podman', 'run', 'x'), image='lifeboat/web:1', **dict({'name': 'web'}, **fields)))
    (name, text), = made.items()
    return name, text.splitlines()


def test_a_unit():
    name, lines = unit(command=('sh', '-c', 'echo "$HOME" 100%'), env=('A=b c',), labels={'x': 'y'}, user='app', restart=Restart('always'),
                       published={'80/tcp': (Binding('127.0.0.1', '8080'),)}, mount_requests=(MountRequest('bind', '/b', '/srv', read_only=True),))
    assert name == 'web.container'
    for line in ('ContainerName=web', 'Image=lifeboat/web:1', 'Exec="sh" "-c" "echo \\"$$HOME\\" 100%%"', 'Environment="A=b c"', 'Label="x=y"', 'User=app',
                 'Mount=type=bind,source=/srv,target=/b,readonly', 'PublishPort=127.0.0.1:8080:80', 'Restart=always', 'WantedBy=default.target'):
        assert line in lines, (line, lines)


def test_a_unit_has_what_quadlet_has_no_key_for():
    """Seen with the generator of Podman 5.8: it takes each of these, and podman run gets it as one word."""
    dummy, lines = unit(health=Health(('CMD-SHELL', 'test -e "/d" || exit 1'), interval=30 * 10 ** 9, retries=5), tty=True, stop_timeout=3,
                        resources=Resources(shm_size=1 << 20, memory=64 << 20, ulimits=(Ulimit('core', 1, 2),)), sysctls={'kernel.msgmax': '1000'},
                        security=Security(pid='host', ipc='host', uts='host', options=('no-new-privileges',)),
                        networks={'back': Endpoint(ipv4_address='10.0.0.9', aliases=('db', 'x'))})
    for words in ('--health-cmd=test -e \\"/d\\" || exit 1', '--health-interval=30s', '--health-retries=5', '--tty', '--stop-timeout=3', '--shm-size=1048576',
                  '--memory=67108864', '--ulimit=core=1:2', '--sysctl=kernel.msgmax=1000', '--pid=host', '--ipc=host', '--uts=host',
                  '--security-opt=no-new-privileges'):
        assert 'PodmanArgs="%s"' % words in lines, (words, lines)
    assert 'Network=back:ip=10.0.0.9,alias=db,alias=x' in lines and not any('--ip' in line and '--ipc' not in line for line in lines)


def test_a_mount_with_spaces_and_commas_stays_one():
    """Seen with the generator of Podman 5.8: without quotes it takes such a line for two mounts, and drops those of a comma."""
    dummy, lines = unit(mount_requests=(MountRequest('bind', '/c d', '/a,b', propagation='rslave'),))
    assert 'Mount="type=bind,\\"source=/a,b\\",target=/c d,bind-propagation=rslave"' in lines, lines


def test_an_image_that_is_mounted():
    """podman run knows no `readonly` for it, and wants an absolute part."""
    dummy, lines = unit(mount_requests=(MountRequest('image', '/a', 'x:1', read_only=True, subpath='d'), MountRequest('image', '/b', 'x:1')))
    assert [line for line in lines if line.startswith('Mount=')] == ['Mount=type=image,source=x:1,target=/a,subpath=/d',
                                                                     'Mount=type=image,source=x:1,target=/b,rw=true']


def test_hostile_values_stay_on_their_line():
    name, lines = unit(name='../x\n[Service]', env=('A=1\nExecStart=/bin/evil',), command=('\n[Service]\nExecStartPre=/evil',),
                       labels={'a\nb': 'c'}, user='u\nRoot=1')
    assert '/' not in name and name.endswith('.container') and not name.startswith('.')
    assert [line for line in lines if line.startswith('[')] == ['[Unit]', '[Container]', '[Service]']
    assert not any(line.startswith(('Exec=/', 'ExecStart', 'Root')) for line in lines)


def test_no_unit_for_other_engines():
    assert quadlet.files(Definition(name='web')) == {}


# -- pod.yaml --------------------------------------------------------------------------------------------------------------


def test_a_pod():
    yaml = pytest.importorskip('yaml')
    mounts = (Mount('volume', 'v', None, None, '/v', True, 'local', False, 'complete'), Mount('bind', None, '/srv', None, '/b', False, None, False, 'complete'),
              Mount('tmpfs', None, None, None, '/t', True, None, False, 'complete'))
    text, = kube.files(Definition(name='My_Web\n', create_command=('podman', 'run'), image='lifeboat/web:1', command=('sh', '-c', 'echo $(date) $HOME\n'),
                                  env=('A=b\n- x', 'N=no'), user='5:6', mounts=mounts, published={'80/tcp': (Binding('', '8080'),)},
                                  restart=Restart('unless-stopped'), labels={'x': 'y: z'})).values()
    pod = yaml.safe_load(text)
    assert pod['metadata'] == {'name': 'my-web-pod', 'annotations': {'x': 'y: z'}} and pod['spec']['restartPolicy'] == 'Always'
    one, = pod['spec']['containers']
    assert (one['name'], one['image'], one['args']) == ('my-web', 'lifeboat/web:1', ['sh', '-c', 'echo $$(date) $HOME\n'])
    assert one['env'] == [{'name': 'A', 'value': 'b\n- x'}, {'name': 'N', 'value': 'no'}]
    assert one['ports'] == [{'containerPort': 80, 'protocol': 'TCP', 'hostPort': 8080}]
    assert one['securityContext'] == {'runAsUser': 5, 'runAsGroup': 6}
    assert [(item['mountPath'], item.get('readOnly')) for item in one['volumeMounts']] == [('/v', None), ('/b', True), ('/t', None)]
    assert [sorted(item)[-1] if sorted(item)[0] == 'name' else sorted(item)[0] for item in pod['spec']['volumes']] == [
        'persistentVolumeClaim', 'hostPath', 'emptyDir']


@pytest.mark.parametrize('odd', ['\u00b2', '\u0663', '9' * 5000, '-1'])
def test_ports_and_users_that_are_no_numbers_are_left_out(odd):
    yaml = pytest.importorskip('yaml')
    text, = kube.files(Definition(name='web', create_command=('podman', 'run'), image='x', user='%s:%s' % (odd, odd), published={
        '%s/tcp' % odd: (Binding('', '80'),), '80/tcp': (Binding('', odd),)})).values()
    one, = yaml.safe_load(text)['spec']['containers']
    assert one['ports'] == [{'containerPort': 80, 'protocol': 'TCP'}] and 'securityContext' not in one


def test_a_pod_of_kubernetes():
    yaml = pytest.importorskip('yaml')
    names = {'claim': {'io.kubernetes.pvc.name': 'data-web-0'}, 'shop_web-0_cache': {'io.kubernetes.volume.plugin': 'empty-dir'}}
    mounts = tuple(Mount('volume', name, None, None, '/' + name, True, 'local', False, 'complete', subpath='a' if name == 'claim' else None)
                   for name in sorted(names))
    text, = kube.files(Definition(name='shop_web-0_app', pod=Pod('shop', 'web-0', 'app'), image='lifeboat/web:1', entrypoint=('app',), mounts=mounts,
                                  volume_settings={name: VolumeSettings(name, labels=labels) for name, labels in names.items()})).values()
    pod = yaml.safe_load(text)
    assert pod['metadata'] == {'name': 'web-0-rescued', 'namespace': 'shop'} and pod['spec']['containers'][0]['name'] == 'app'
    assert [item.get('emptyDir', item.get('persistentVolumeClaim')) for item in pod['spec']['volumes']] == [{'claimName': 'data-web-0'}, {}]
    assert pod['spec']['containers'][0]['volumeMounts'][0] == {'name': 'volume-0', 'mountPath': '/claim', 'subPath': 'a'}
    assert 'kubectl exec -i -n shop web-0-rescued -c app -- tar -C /claim -xf - <../volumes/claim.tar' in text
    assert 'Claims that have to be there: data-web-0.' in text and 'one of the pod web-0 in the namespace shop' in text
