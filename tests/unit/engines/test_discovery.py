"""Every place that can name a data root, on small fake hosts; damaged, hostile and empty ones too."""
import codecs
import json
import os
import shutil
import subprocess
import tempfile
import time

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.disk import host as hosts
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.errors import LifeboatError
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.engines.docker import discovery
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

CID = b'c' * 64
UNIT = b'/lib/systemd/system/docker.service'


class FakeHost(object):
    """A dead host's root folder in a temporary place."""

    def __init__(self, path):
        self.path = path
        self.closed = []
        if not os.path.isdir(path):
            os.mkdir(path)
        self.folder(b'/etc')

    def place(self, path):
        return os.path.join(self.path, path.lstrip(b'/'))

    def folder(self, path):
        if not os.path.isdir(self.place(path)):
            os.makedirs(self.place(path))
        return self.place(path)

    def file(self, path, data=b''):
        self.folder(os.path.dirname(path))
        with open(self.place(path), 'wb') as stream:
            stream.write(data)
        return self.place(path)

    def link(self, path, target):
        self.folder(os.path.dirname(path))
        os.symlink(target, self.place(path))

    def close(self, path):
        """Nobody but root may look into it."""
        os.chmod(path, 0)
        self.closed.append(path)

    def json(self, value, path=b'/etc/docker/daemon.json'):
        return self.file(path, json.dumps(value).encode())

    def unit(self, line, path=UNIT, more=b''):
        return self.file(path, b'[Unit]\nDescription=x\n[Service]\n' + more + b'ExecStart=' + line + b'\n')

    def root(self, path=b'/var/lib/docker', containers=1, driver=b'overlay2', layers=2, first=0):
        """A data root with a graphdriver store."""
        for number in range(first, first + containers):
            self.file(path + b'/containers/%064x/config.v2.json' % number,
                      b'{"ID": "%064x", "Driver": "%s"}' % (number, driver))
        for number in range(layers):
            self.folder(path + b'/' + driver + b'/%064x' % number)
            self.folder(path + b'/image/' + driver + b'/layerdb/sha256/%064x' % number)
        self.folder(path + b'/volumes')
        self.folder(path + b'/containers')
        return self.place(path)

    def empty_root(self, path=b'/var/lib/docker'):
        """What dockerd makes in an empty folder."""
        for name in (b'containers', b'image/overlay2/layerdb', b'overlay2/l', b'volumes', b'network/files', b'tmp'):
            self.folder(path + b'/' + name)
        self.file(path + b'/volumes/metadata.db')
        return self.place(path)

    def find(self, data_roots=(), containerd_root=None):
        return discovery.find_roots(HostRoot(self.path), list(data_roots), containerd_root)

    def only(self):
        found = self.find()
        assert len(found.roots) == 1, found
        return found.roots[0]

    def codes(self, *args):
        return sorted(problem.code for problem in self.find(*args).problems)

    def problem(self, code, *args):
        found = [problem for problem in self.find(*args).problems if problem.code == code]
        assert len(found) == 1, self.find(*args).problems
        return found[0]


@pytest.fixture
def dead(tmp_path):
    return FakeHost(os.fsencode(str(tmp_path / 'dead')))


# -- the default and daemon.json -----------------------------------------------------------------------------


def test_default_root(dead):
    dead.root(containers=3, layers=5)
    dead.folder(b'/var/lib/docker/volumes/v/_data')
    found = dead.find()
    root = found.roots[0]
    assert found.problems == ()
    assert root.path == dead.place(b'/var/lib/docker')
    assert root.recorded_path == b'/var/lib/docker'
    assert root.why == ('default',)
    assert (root.containers, root.layers, root.volumes, root.drivers) == (3, 5, 1, ('overlay2',))
    assert root.score == 315
    assert (root.userns, root.rootless_uid, root.namespace_suffix) == (None, None, '')
    assert (root.exec_root, root.pidfile) == (b'/var/run/docker', b'/var/run/docker.pid')
    assert root.base == root.path


@pytest.mark.parametrize('key', ['data-root', 'graph'])
def test_daemon_json(dead, key):
    dead.root(b'/data/docker')
    dead.json({key: '/data/docker', 'storage-driver': 'overlay2', 'pidfile': '/run/d.pid', 'exec-root': '/run/d'})
    root = dead.only()
    assert root.path == dead.place(b'/data/docker')
    assert root.why == ('daemon.json %s' % key,)
    assert root.daemon_json['storage-driver'] == 'overlay2'
    assert (root.exec_root, root.pidfile) == (b'/run/d', b'/run/d.pid')
    assert dead.codes() == []


@pytest.mark.parametrize('raw', [
    codecs.BOM_UTF8 + b'{"data-root": "/data/\xc3\xa9"}',
    codecs.BOM_UTF16_LE + '{"data-root": "/data/\xe9"}'.encode('utf-16-le'),
    codecs.BOM_UTF16_BE + '{"data-root": "/data/\xe9"}'.encode('utf-16-be'),
    b'{"data-root": "/data/\\u00e9"}',
    b'{"data-root": "data//\\u00e9/"}',
])
def test_daemon_json_encodings(dead, raw):
    dead.root(b'/data/\xc3\xa9')
    dead.file(b'/etc/docker/daemon.json', raw)
    assert dead.only().path == dead.place(b'/data/\xc3\xa9')
    assert dead.codes() == []


@pytest.mark.parametrize('raw', [b'', b' \n\t', codecs.BOM_UTF8, b'{}'])
def test_daemon_json_that_says_nothing(dead, raw):
    dead.root()
    dead.file(b'/etc/docker/daemon.json', raw)
    assert dead.only().why == ('default',)
    assert dead.codes() == []


@pytest.mark.parametrize('raw', [b'{"debug": tr', b'{"data-root": "/da', b'[1]', b'\0' * 40, b'{"a": "\xff\xfe"}',
                                 b'"x"', b'[' * 100000, b'{"debug": ' + b'9' * 200000 + b', }'])
def test_damaged_daemon_json_is_said_and_passed_by(dead, raw):
    dead.root()
    dead.file(b'/etc/docker/daemon.json', raw)
    started = time.process_time()
    assert dead.only().path == dead.place(b'/var/lib/docker')
    assert dead.codes() == ['DAEMON_JSON_DAMAGED']
    assert time.process_time() - started < 5


def test_what_is_whole_of_a_cut_daemon_json_is_used(dead):
    dead.root(b'/data/docker')
    dead.file(b'/etc/docker/daemon.json', b'{"data-root": "/data/docker", "log-opts": {"max-si')
    root = dead.only()
    assert root.path == dead.place(b'/data/docker')
    assert root.why == ('daemon.json data-root, damaged file',)
    assert 'readable beginning' in dead.problem('DAEMON_JSON_DAMAGED').message


@pytest.mark.parametrize('value', [5, None, ['/data'], {'x': 1}, '', '   ', True])
def test_daemon_json_values_of_another_kind(dead, value):
    dead.root()
    dead.json({'data-root': value, 'exec-root': 7, 'pidfile': None})
    root = dead.only()
    assert root.path == dead.place(b'/var/lib/docker')
    assert root.pidfile == b'/var/run/docker.pid'


def test_daemon_json_with_a_lone_surrogate_and_a_nul(dead):
    dead.root()
    dead.file(b'/etc/docker/daemon.json', b'{"data-root": "/d\\ud800\\u0000x"}')
    assert dead.find().roots[0].path == dead.place(b'/var/lib/docker')
    assert 'DATA_ROOT_MISSING' in dead.codes()


def test_daemon_json_is_a_fifo(dead):
    dead.root()
    dead.folder(b'/etc/docker')
    os.mkfifo(dead.place(b'/etc/docker/daemon.json'))
    assert dead.only().containers == 1
    assert dead.codes() == ['DAEMON_JSON_DAMAGED']


def test_daemon_json_is_a_giant(dead):
    dead.root()
    os.truncate(dead.file(b'/etc/docker/daemon.json'), 200 * 1024 * 1024)
    assert dead.only().containers == 1
    assert dead.codes() == ['DAEMON_JSON_DAMAGED']


def test_daemon_json_is_a_folder_or_a_loop(dead):
    dead.root()
    dead.folder(b'/etc/docker/daemon.json')
    assert dead.codes() == ['DAEMON_JSON_DAMAGED']
    os.rmdir(dead.place(b'/etc/docker/daemon.json'))
    dead.link(b'/etc/docker/daemon.json', b'daemon.json')
    assert dead.codes() == []


def test_data_root_that_points_outside(dead, tmp_path):
    FakeHost(os.fsencode(str(tmp_path / 'other'))).root(b'/docker')
    dead.json({'data-root': '../../../../../..' + str(tmp_path / 'other/docker')})
    found = dead.find()
    assert found.roots == ()
    assert 'DATA_ROOT_MISSING' in [problem.code for problem in found.problems]


def test_etc_docker_is_a_link_to_the_root(dead):
    dead.link(b'/etc/docker', b'/')
    dead.json({'data-root': '/data'}, b'/daemon.json')
    dead.root(b'/data')
    assert dead.only().path == dead.place(b'/data')


# -- systemd -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('line', [
    b'/usr/bin/dockerd -H fd:// --data-root /data/docker',
    b'/usr/bin/dockerd --data-root=/data/docker --containerd=/run/containerd/containerd.sock',
    b'/usr/bin/dockerd -g /data/docker',
    b'/usr/bin/dockerd -g=/data/docker -D',
    b'/usr/bin/dockerd -Dg/data/docker',
    b'/usr/bin/dockerd --data-root /old --data-root /data/docker',
    b'/usr/bin/docker daemon -g /data/docker -H fd://',
    b'/usr/bin/docker -D daemon --graph=/data/docker',
    b'/usr/bin/docker -d --graph /data/docker',
    b'/usr/bin/docker -H fd:// -d -g /data/docker',
    b'/usr/bin/dockerd-current --graph=/data/docker $OPTIONS',
    b'-/usr/bin/dockerd "--data-root" \'/data/docker\'',
    b'@/usr/bin/dockerd docker-engine --data-root=/data/docker',
    b'/usr/bin/dockerd \\\n  -H fd:// \\\n# a comment between\n  --data-root=/data/docker \\\n  --debug',
    b'/usr/bin/dockerd --data-root=/data/\\x64ocker',
    b'/usr/bin/env nice /usr/bin/dockerd --data-root=/data/docker',
    b'/bin/sh -c "exec /usr/bin/dockerd --data-root=/data/docker 2>&1 | logger"',
    b'/bin/sh -ec \'/usr/bin/docker daemon -g "/data/docker"\'',
    b'/bin/true ; /usr/bin/dockerd --data-root /data/docker',
    b'/usr/bin/dockerd --label -g --data-root /data/docker',
])
def test_command_lines(dead, line):
    dead.root(b'/data/docker')
    dead.unit(line)
    root = dead.only()
    assert root.path == dead.place(b'/data/docker')
    assert root.why == ('systemd unit docker.service ExecStart',)
    assert root.flags['data-root'] == '/data/docker'


@pytest.mark.parametrize('line', [b'/usr/bin/docker run -d -g /big/disk/docker',
                                  b'/usr/bin/docker exec x dockerd -g /big/disk/docker',
                                  b'/usr/bin/docker-compose -g /big/disk/docker', b'/usr/bin/docker'])
def test_not_every_docker_is_a_daemon(dead, line):
    dead.root(b'/big/disk/docker')
    dead.root()
    dead.unit(line)
    assert dead.only().path == dead.place(b'/var/lib/docker')


@pytest.mark.parametrize('line,more,files', [
    (b'/usr/bin/dockerd $DOCKER_OPTS', b'EnvironmentFile=-/etc/default/docker\n',
     {b'/etc/default/docker': b'# c\nDOCKER_OPTS="--data-root /data/docker --debug"\n'}),
    (b'/usr/bin/dockerd $A $B', b'EnvironmentFile=/etc/sysconfig/one\nEnvironmentFile=-/etc/sysconfig/none\n',
     {b'/etc/sysconfig/one': b"A=--debug\nB=-g  /data/docker\n"}),
    (b'/usr/bin/dockerd --data-root=${ROOT}/docker', b'Environment="ROOT=/data" OTHER=1\n', {}),
    (b'/usr/bin/dockerd --data-root=${ROOT}/docker', b'Environment=ROOT=/nowhere\nEnvironmentFile=/etc/e\n',
     {b'/etc/e': b"ROOT='/data'\n"}),
    (b'/usr/bin/dockerd --data-root=${ROOT}', b'EnvironmentFile=/etc/docker.d/*.env\n',
     {b'/etc/docker.d/a.env': b'ROOT=/no\n', b'/etc/docker.d/b.env': b'ROOT=/data\\\n/docker\n'}),
    (b'/usr/bin/dockerd $OPTIONS $DOCKER_STORAGE_OPTIONS', b'EnvironmentFile=-/etc/sysconfig/docker-storage\n',
     {b'/etc/sysconfig/docker-storage': b'DOCKER_STORAGE_OPTIONS="--storage-driver overlay2 --graph=/data/docker"\n'}),
    (b'/bin/sh -c "dockerd --data-root=${ROOT:-/data/docker} $X"', b'', {}),
    (b'/usr/bin/dockerd --data-root=/data/%p', b'', {}),
    (b'/usr/bin/dockerd --config-file /etc/docker/second.json', b'',
     {b'/etc/docker/second.json': b'{"data-root": "/data/docker"}'}),
])
def test_variables_and_files(dead, line, more, files):
    dead.root(b'/data/docker')
    for path in files:
        dead.file(path, files[path])
    dead.unit(line, more=more)
    assert dead.only().path == dead.place(b'/data/docker')


def test_flags_are_told(dead):
    dead.root()
    dead.unit(b'/usr/bin/dockerd -H fd:// -H tcp://1 -s overlay2 --storage-opt a=1 --storage-opt=b=2 '
              b'--exec-root /run/x --pidfile=/run/x.pid --containerd-namespace other --userns-remap default')
    root = dead.only()
    assert root.flags == {'hosts': ['fd://', 'tcp://1'], 'storage-driver': 'overlay2', 'storage-opts': ['a=1', 'b=2'],
                          'exec-root': '/run/x', 'pidfile': '/run/x.pid', 'containerd-namespace': 'other',
                          'userns-remap': 'default'}
    assert (root.exec_root, root.pidfile) == (b'/run/x', b'/run/x.pid')
    assert root.why == ('default',)


DROPINS = b'/etc/systemd/system/docker.service.d/'


def reset(path):
    return b'[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -g ' + path + b'\n'


def test_dropin_resets_and_sets(dead):
    dead.root(b'/data/docker')
    dead.unit(b'/usr/bin/dockerd --data-root /vendor')
    dead.file(DROPINS + b'10-root.conf', reset(b'/data/docker'))
    root = dead.only()
    assert root.why == ('systemd drop-in /etc/systemd/system/docker.service.d/10-root.conf ExecStart',)
    assert dead.codes() == []


@pytest.mark.parametrize('unit,folder', [
    (b'docker-ci@one', b'docker-ci@one'), (b'docker-ci@one', b'docker-ci@'), (b'docker-ci@one', b'docker-@one'),
    (b'docker-ci@one', b'docker-@'), (b'docker-ci@one', b'docker-'), (b'docker-ci-x', b'docker-ci-'),
    (b'docker-ci-x', b'docker-'), (b'docker-ci-x', b''),
])
def test_dropins_of_prefixes_and_templates(dead, unit, folder):
    """What systemd 252 does with them."""
    dead.root(b'/data/docker')
    dead.unit(b'/usr/bin/dockerd -g /vendor', b'/etc/systemd/system/' + unit + b'.service')
    folder = folder + b'.service.d' if folder else b'service.d'
    dead.file(b'/run/systemd/system/' + folder + b'/x.conf', reset(b'/data/docker'))
    assert dead.only().path == dead.place(b'/data/docker')
    assert dead.codes() == []


def test_dropin_without_a_reset_adds_a_command(dead):
    dead.root(b'/data/docker')
    dead.root(b'/vendor')
    dead.unit(b'/usr/bin/dockerd --data-root /vendor')
    dead.file(DROPINS + b'a.conf', b'[Service]\nExecStart=/usr/bin/dockerd --data-root /data/docker\n')
    assert sorted(root.recorded_path for root in dead.find().roots) == [b'/data/docker', b'/vendor']


@pytest.mark.parametrize('early,late', [(b'/etc', b'/lib'), (b'/lib', b'/etc')])
def test_dropins_in_order_of_their_names_across_folders(dead, early, late):
    dead.root(b'/data/docker')
    dead.unit(b'/usr/bin/dockerd')
    dead.file(early + b'/systemd/system/docker.service.d/10.conf', reset(b'/early'))
    dead.file(late + b'/systemd/system/docker.service.d/20.conf', reset(b'/data/docker'))
    assert dead.only().path == dead.place(b'/data/docker')


def test_dropin_of_the_same_name_is_masked_by_the_higher_folder(dead):
    dead.root(b'/data/docker')
    dead.unit(b'/usr/bin/dockerd')
    dead.file(b'/usr/lib/systemd/system/docker.service.d/x.conf', reset(b'/vendor'))
    dead.file(b'/run/systemd/system/docker.service.d/x.conf', reset(b'/runtime'))
    dead.file(b'/etc/systemd/system/docker.service.d/x.conf', reset(b'/data/docker'))
    assert dead.only().path == dead.place(b'/data/docker')
    assert dead.codes() == []


def test_dropin_masked_by_dev_null(dead):
    dead.root()
    dead.unit(b'/usr/bin/dockerd')
    dead.file(b'/usr/lib/systemd/system/docker.service.d/x.conf', reset(b'/vendor'))
    dead.link(b'/etc/systemd/system/docker.service.d/x.conf', b'/dev/null')
    assert dead.only().why == ('default',)
    assert dead.codes() == []


def test_dropins_for_all_services_come_below_the_own_ones(dead):
    dead.root(b'/data/docker')
    dead.unit(b'/usr/bin/dockerd $WHERE')
    dead.file(b'/etc/systemd/system/service.d/x.conf', b'[Service]\nEnvironment="WHERE=-g /general"\n')
    dead.file(b'/usr/lib/systemd/system/docker.service.d/x.conf', b'[Service]\nEnvironment="WHERE=-g /data/docker"\n')
    assert dead.only().path == dead.place(b'/data/docker')
    assert dead.codes() == []


def test_unit_in_etc_wins_over_the_vendors(dead):
    dead.root(b'/data/docker')
    dead.unit(b'/usr/bin/dockerd -g /vendor')
    dead.unit(b'/usr/bin/dockerd -g /data/docker', b'/etc/systemd/system/docker.service')
    assert dead.only().path == dead.place(b'/data/docker')
    assert dead.codes() == []


@pytest.mark.parametrize('how', ['link', 'empty'])
def test_masked_unit(dead, how):
    dead.root()
    dead.unit(b'/usr/bin/dockerd -g /vendor')
    if how == 'link':
        dead.link(b'/etc/systemd/system/docker.service', b'/dev/null')
    else:
        dead.file(b'/etc/systemd/system/docker.service')
    dead.file(DROPINS + b'x.conf', reset(b'/dropin'))
    assert dead.only().why == ('default',)
    assert dead.codes() == []


def test_dropin_of_a_package_that_was_removed(dead):
    dead.root(b'/data/docker')
    dead.file(DROPINS + b'x.conf', reset(b'/data/docker'))
    assert dead.only().path == dead.place(b'/data/docker')


def test_second_docker(dead):
    dead.root(containers=2)
    dead.root(b'/srv/ci', containers=1, first=10)
    dead.root(b'/srv/other', containers=3, first=20)
    dead.unit(b'/usr/bin/dockerd')
    dead.unit(b'/opt/bin/dockerd --data-root=/srv/ci --exec-root=/run/ci -p /run/ci.pid',
              b'/etc/systemd/system/build-engine.service')
    dead.unit(b'/opt/bin/dockerd --data-root=/srv/other', b'/usr/lib/systemd/system/docker-other.service')
    found = dead.find()
    assert [root.recorded_path for root in found.roots] == [b'/srv/other', b'/var/lib/docker', b'/srv/ci']
    assert found.roots[2].why == ('systemd unit build-engine.service ExecStart',)
    assert (found.roots[2].exec_root, found.roots[2].pidfile) == (b'/run/ci', b'/run/ci.pid')
    assert found.problems == ()


def test_instances_of_a_template(dead):
    dead.root(b'/srv/blue')
    dead.root(b'/srv/green')
    dead.unit(b'/usr/bin/dockerd --data-root=/srv/%i', b'/etc/systemd/system/docker@.service')
    dead.link(b'/etc/systemd/system/multi-user.target.wants/docker@blue.service', b'../docker@.service')
    dead.folder(b'/etc/systemd/system/docker@green.service.d')
    assert sorted(root.recorded_path for root in dead.find().roots) == [b'/srv/blue', b'/srv/green']
    assert dead.codes() == []


def test_an_alias_is_no_second_docker(dead):
    dead.root(b'/data/docker')
    dead.unit(b'/usr/bin/dockerd -g /data/docker')
    dead.link(b'/etc/systemd/system/container-engine.service', b'/lib/systemd/system/docker.service')
    assert dead.only().why == ('systemd unit docker.service ExecStart',)


def test_linked_unit_folders(dead):
    """As NixOS and merged /usr have them."""
    dead.root(b'/data/docker')
    dead.unit(b'/usr/bin/dockerd -g /data/docker', b'/nix/store/units/docker.service')
    dead.link(b'/etc/static/systemd/system', b'/nix/store/units')
    dead.link(b'/etc/systemd', b'/etc/static/systemd')
    assert dead.only().path == dead.place(b'/data/docker')


def test_start_script_of_the_administrator(dead):
    dead.root(b'/data/docker')
    dead.unit(b'/usr/local/sbin/start-docker')
    dead.file(b'/usr/local/sbin/start-docker', b'#!/bin/sh\nWHERE=/data\n# dockerd --data-root /no\n'
                                               b'exec dockerd \\\n --data-root "$WHERE/docker" "$@"\n')
    assert dead.only().path == dead.place(b'/data/docker')


def test_containerd_environment(dead):
    dead.root()
    dead.folder(b'/srv/containerd')
    dead.unit(b'/usr/bin/dockerd', more=b'Environment=DOCKER_CONTAINERD_ROOT=/srv/containerd\n')
    assert dead.only().containerd_roots[0] == dead.place(b'/srv/containerd')


# -- other configuration -------------------------------------------------------------------------------------


@pytest.mark.parametrize('path,raw', [
    (b'/etc/default/docker', b'#DOCKER_OPTS="-g /no"\nexport DOCKER_OPTS="--dns 8.8.8.8 -g /data/docker"\n'),
    (b'/etc/sysconfig/docker', b"OPTIONS='--selinux-enabled --graph=/data/docker'\n"),
    (b'/etc/sysconfig/docker-storage', b'DOCKER_STORAGE_OPTIONS= --data-root=/x \nROOT="/data"\n'
                                       b'A="--data-root $ROOT/docker"\n'),
    (b'/etc/conf.d/docker', b'DOCKER_OPTS="--data-root /data/docker"\r\n'),
    (b'/etc/default/docker', b'DIR=/data/docker\nDOCKER_OPTS="$DOCKER_OPTS"\nDOCKER_OPTS+=" -g ${DIR}"\n'),
])
def test_sysconfig(dead, path, raw):
    dead.root(b'/data/docker')
    dead.file(path, raw)
    assert dead.only().path == dead.place(b'/data/docker')
    assert dead.only().why == ('sysconfig %s' % path.decode(),)


def test_sysv_and_upstart_scripts(dead):
    dead.root(b'/data/one')
    dead.root(b'/data/two')
    dead.file(b'/etc/init.d/docker', b'#!/bin/sh\nBASE=docker\nstart-stop-daemon --exec /usr/bin/dockerd -- '
                                     b'-p /run/x.pid --graph /data/one >> $LOG 2>&1\n')
    dead.file(b'/etc/init/docker.conf', b'script\n  exec /usr/bin/docker -d -g /data/two\nend script\n')
    assert sorted(root.recorded_path for root in dead.find().roots) == [b'/data/one', b'/data/two']


def test_sysconfig_that_nothing_uses_is_no_fault(dead):
    dead.root()
    dead.file(b'/etc/default/docker', b'DOCKER_OPTS="-g /long/gone"\n')
    assert dead.only().why == ('default',)
    assert dead.codes() == []


def test_symlinked_root(dead):
    dead.root(b'/data/docker')
    dead.link(b'/var/lib/docker', b'/data/docker')
    root = dead.only()
    assert (root.path, root.recorded_path) == (dead.place(b'/data/docker'), b'/var/lib/docker')


def test_symlinked_root_that_is_also_configured_is_one(dead):
    dead.root(b'/data/docker')
    dead.link(b'/var/lib/docker', b'../../data/docker')
    dead.json({'data-root': '/data/docker'})
    root = dead.only()
    assert root.why == ('daemon.json data-root', 'default')
    assert root.recorded_path == b'/data/docker'


def test_link_to_a_disk_that_is_not_there(dead):
    dead.link(b'/var/lib/docker', b'/data/docker')
    found = dead.find()
    assert found.roots == ()
    problem = dead.problem('DATA_ROOT_MISSING')
    assert problem.severity == model.CRITICAL and '/data/docker' in problem.message


def test_folders_of_a_root_on_other_disks(dead):
    dead.root(containers=2, layers=0)
    for number in range(4):
        dead.folder(b'/big/overlay2/%064x' % number)
    dead.link(b'/var/lib/docker/overlay2', b'/big/overlay2')
    root = dead.only()
    assert (root.layers, root.drivers) == (4, ('overlay2',))
    assert dead.codes() == []


def test_snap(dead):
    dead.root(b'/var/snap/docker/common/var-lib-docker')
    dead.json({'log-level': 'error'}, b'/var/snap/docker/2893/config/daemon.json')
    dead.link(b'/var/snap/docker/current', b'2893')
    root = dead.only()
    assert root.path == dead.place(b'/var/snap/docker/common/var-lib-docker')
    assert root.why == ('snap',)
    assert (root.exec_root, root.pidfile) == (b'/run/snap.docker', b'/run/snap.docker/docker.pid')
    assert root.daemon_json == {'log-level': 'error'}
    assert dead.codes() == []


def test_snap_with_another_root(dead):
    dead.root(b'/data/docker')
    dead.json({'data-root': '/data/docker'}, b'/var/snap/docker/2893/config/daemon.json')
    dead.link(b'/var/snap/docker/current', b'2893')
    root = dead.only()
    assert root.path == dead.place(b'/data/docker')
    assert root.why == ('daemon.json data-root (/var/snap/docker/current/config/daemon.json)',)
    assert root.pidfile == b'/run/snap.docker/docker.pid'


PASSWD = (b'root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/bin/false\nnobody:x:65534:65534::/nonexistent:\n'
          b'ann:x:1000:1000:,,,:/home/ann:/bin/bash\nbob:x:1001:1001::/srv/people/bob:/bin/sh\n')


def test_rootless_homes_of_every_user(dead):
    dead.file(b'/etc/passwd', PASSWD)
    dead.root(b'/home/ann/.local/share/docker')
    dead.root(b'/srv/people/bob/.local/share/docker')
    dead.root(b'/home/directory-user/.local/share/docker')
    roots = dict((root.recorded_path, root) for root in dead.find().roots)
    assert len(roots) == 3
    ann = roots[b'/home/ann/.local/share/docker']
    assert ann.why == ('rootless home of ann',)
    assert ann.rootless_uid == 1000
    assert (ann.exec_root, ann.pidfile) == (b'/run/user/1000/docker', b'/run/user/1000/docker.pid')
    assert roots[b'/srv/people/bob/.local/share/docker'].rootless_uid == 1001
    stranger = roots[b'/home/directory-user/.local/share/docker']
    assert stranger.rootless_uid == os.stat(stranger.path).st_uid


def test_rootless_configuration(dead):
    dead.file(b'/etc/passwd', PASSWD)
    dead.root(b'/data/ann')
    dead.json({'data-root': '/data/ann'}, b'/home/ann/.config/docker/daemon.json')
    dead.root(b'/data/bob')
    dead.unit(b'/usr/bin/dockerd-rootless.sh --data-root %h/../../../data/bob',
              b'/srv/people/bob/.config/systemd/user/docker.service')
    dead.file(b'/srv/people/bob/.config/systemd/user/docker.service.d/x.conf', b'[Service]\nEnvironment=A=1\n')
    roots = dict((root.path, root) for root in dead.find().roots)
    ann, bob = roots[dead.place(b'/data/ann')], roots[dead.place(b'/data/bob')]
    assert (ann.rootless_uid, bob.rootless_uid) == (1000, 1001)
    assert ann.why == ('daemon.json data-root (/home/ann/.config/docker/daemon.json)',)
    assert bob.why == ('systemd unit docker.service ExecStart of user bob',)


def test_rootless_xdg_data_home(dead):
    dead.file(b'/etc/passwd', PASSWD)
    dead.root(b'/fast/ann/docker')
    dead.unit(b'/usr/bin/dockerd-rootless.sh', b'/home/ann/.config/systemd/user/docker.service',
              b'Environment=XDG_DATA_HOME=/fast/ann\n')
    root = dead.only()
    assert (root.path, root.rootless_uid) == (dead.place(b'/fast/ann/docker'), 1000)


def test_rootless_as_a_system_service(dead):
    dead.file(b'/etc/passwd', PASSWD)
    dead.root(b'/data/x')
    dead.unit(b'/usr/bin/dockerd-rootless.sh --data-root=/data/x', b'/etc/systemd/system/x.service', b'User=bob\n')
    assert dead.only().rootless_uid == 1001


def test_garbage_in_passwd(dead):
    dead.root()
    dead.file(b'/etc/passwd', b'\0\xff\n:::::::\n::\nx:x:y:z::/home/x:/bin/sh\nbig:x:' + b'9' * 5000 +
              b':1::/home/big:/bin/sh\nrel:x:5:5::home/rel:/bin/sh\ndot:x:6:6::/../../../..:/bin/sh\n'
              b'l\xe9o:x:7:7::/home/l\xe9o:/bin/sh\nup:x:8:8::/home/up/../../../etc:/bin/sh\n' + b'x' * 100000)
    dead.root(b'/home/l\xe9o/.local/share/docker', containers=3)
    found = dead.find()
    assert [root.rootless_uid for root in found.roots] == [7, None]
    assert found.problems == ()


def test_a_home_that_is_a_loop_or_leads_out(dead, tmp_path):
    dead.root()
    FakeHost(os.fsencode(str(tmp_path / 'other'))).root(b'/.local/share/docker')
    dead.file(b'/etc/passwd', PASSWD)
    dead.link(b'/home/ann', b'/home/ann')
    dead.link(b'/srv/people/bob', b'../../../other')
    assert dead.only().why == ('default',)


def test_userns_folders(dead):
    dead.root(containers=1)
    dead.root(b'/var/lib/docker/100000.100000', containers=2)
    dead.root(b'/var/lib/docker/231072.165536', containers=0)
    dead.folder(b'/var/lib/docker/5.5')
    found = dead.find()
    assert [root.recorded_path for root in found.roots] == [
        b'/var/lib/docker/100000.100000', b'/var/lib/docker', b'/var/lib/docker/231072.165536']
    remapped = found.roots[0]
    assert remapped.userns == (100000, 100000)
    assert remapped.namespace_suffix == '100000.100000'
    assert remapped.why == ('default', 'userns-remap folder')
    assert remapped.base == dead.place(b'/var/lib/docker')
    assert found.roots[1].userns is None
    assert found.roots[2].userns == (231072, 165536)


def test_userns_without_an_unmapped_layout(dead):
    dead.root(b'/data/docker/100000.100000')
    dead.json({'data-root': '/data/docker', 'userns-remap': 'default'})
    root = dead.only()
    assert root.path == dead.place(b'/data/docker/100000.100000')
    assert root.why == ('daemon.json data-root', 'userns-remap folder')
    assert root.daemon_json['userns-remap'] == 'default'
    assert dead.codes() == []


def test_fstab_bind_mount(dead):
    dead.folder(b'/var/lib/docker')
    dead.root(b'/data/docker')
    dead.file(b'/etc/fstab', b'/data/docker /var/lib/docker none bind 0 0\n')
    found = dead.find()
    assert found.roots[0].path == dead.place(b'/data/docker')
    assert found.roots[0].why == ('fstab bind mount of /var/lib/docker',)
    assert 'DATA_ROOT_NOT_MOUNTED' not in dead.codes()


def test_disk_that_is_only_the_data_root(dead):
    dead.root(b'/')
    os.rmdir(dead.place(b'/etc'))
    root = dead.only()
    assert root.path == dead.path
    assert dead.codes() == []


def test_disk_that_was_var(dead):
    dead.root(b'/lib/docker')
    os.rmdir(dead.place(b'/etc'))
    assert dead.only().path == dead.place(b'/lib/docker')


# -- given roots ---------------------------------------------------------------------------------------------


def test_given_root_wins(dead):
    dead.root(containers=5)
    dead.root(b'/backup/docker')
    found = dead.find([b'/backup/docker/'])
    assert [root.path for root in found.roots] == [dead.place(b'/backup/docker')]
    assert found.roots[0].why == ('given',)
    assert found.problems == ()


def test_given_root_keeps_what_its_configuration_says(dead):
    dead.root(b'/data/docker')
    dead.json({'data-root': '/data/docker', 'pidfile': '/run/x.pid'})
    dead.link(b'/shortcut', b'data/docker')
    root = dead.find([b'/shortcut']).roots[0]
    assert root.why == ('given', 'daemon.json data-root')
    assert (root.recorded_path, root.pidfile) == (b'/data/docker', b'/run/x.pid')


def test_given_root_as_seen_from_here(dead):
    dead.root()
    found = dead.find([dead.place(b'/var/lib/docker')])
    assert found.roots[0].path == dead.place(b'/var/lib/docker')
    assert found.roots[0].why == ('given', 'default')


def test_given_root_with_userns(dead):
    dead.root(b'/var/lib/docker/100000.100000')
    for given in ([b'/var/lib/docker'], [b'/var/lib/docker', b'/var/lib/docker']):
        found = dead.find(given)
        assert [root.userns for root in found.roots] == [(100000, 100000)]


def test_given_userns_folder(dead):
    name = b'%d.%d' % (os.getuid(), os.getgid())        # as dockerd does, it belongs to the remapped group
    dead.root(b'/var/lib/docker/' + name)
    dead.json({'userns-remap': 'default'})
    for given in ([b'/var/lib/docker/' + name], [b'/var/lib/docker', b'/var/lib/docker/' + name]):
        found = dead.find(given)
        assert [root.userns for root in found.roots] == [(os.getuid(), os.getgid())]
        assert found.roots[0].namespace_suffix == name.decode()
        assert found.roots[0].base == dead.place(b'/var/lib/docker')
        assert found.roots[0].recorded_path == b'/var/lib/docker/' + name
        assert found.roots[0].daemon_json == {'userns-remap': 'default'}


@pytest.mark.parametrize('place, beside', [
    (b'/var/lib/docker', None), (b'/mnt/copy/docker', b'root'), (b'/mnt/copy/docker', b'owner'), (b'/srv/docker', b'daemon.json')])
def test_userns_folder_that_is_named_in_a_copy_of_its_own_owner(place, beside, dead):
    """A copied disk: the folder itself is root's, what tells is where it lies, what lies beside it, or who owns what is in it."""
    inner = dead.root(place + b'/100000.100000')
    if beside == b'root':
        dead.root(place)
    elif beside == b'owner':
        if os.geteuid() != 0:
            pytest.skip('only root can give folders away')
        os.chown(os.path.join(inner, b'containers'), 0, 100000)
    elif beside:
        dead.json({'data-root': os.fsdecode(place), 'userns-remap': 'default'})
    os.chmod(inner, 0o710)
    root, = dead.find([place + b'/100000.100000']).roots
    assert root.userns == (100000, 100000) and root.namespace_suffix == '100000.100000' and root.base == dead.place(place)


def test_a_dated_folder_is_no_userns_folder(dead):
    dead.root(b'/backup/2024.4711')
    dead.folder(b'/backup/image')
    root = dead.find([b'/backup/2024.4711']).roots[0]
    assert root.userns is None and root.base == root.path


@pytest.mark.parametrize('given,words', [
    (b'/nothing', 'does not exist'),
    (b'/etc/file', 'not a folder'),
    (b'/etc/file/x', 'does not exist'),
    (b'relative', 'not an absolute path'),
    (b'/a\0b', 'not an absolute path'),
    (b'/loop', 'symbolic links'),
    (b'/dangling', 'does not exist'),
])
def test_given_root_that_cannot_be_used(dead, given, words):
    dead.file(b'/etc/file')
    dead.link(b'/loop', b'loop')
    dead.link(b'/dangling', b'/nothing')
    for arguments in ([given], None), ((), given):
        with pytest.raises(LifeboatError) as caught:
            dead.find(*arguments)
        assert words in str(caught.value)
        assert '\n' not in str(caught.value)


def test_given_root_that_exists_outside_only(dead, tmp_path):
    FakeHost(os.fsencode(str(tmp_path / 'other'))).root(b'/docker')
    with pytest.raises(LifeboatError) as caught:
        dead.find([os.fsencode(str(tmp_path / 'other/docker'))])
    assert 'leave host_root at /' in str(caught.value)


def test_given_root_does_not_ask_for_others(dead):
    dead.root(b'/backup/docker')
    dead.json({'data-root': '/gone'})
    dead.folder(b'/var/lib/containers/storage/overlay-containers')
    assert dead.codes([b'/backup/docker']) == []


@pytest.mark.parametrize('given', [b'/var', b'/var/lib', b'/', b'/var/lib/docker/containers'])
def test_given_folder_next_to_a_root(dead, given):
    dead.root()
    problem = dead.problem('DATA_ROOT_EMPTY', [given])
    assert '/var/lib/docker looks like one' in problem.next_step
    assert problem.severity == model.CRITICAL


# -- who may not read ----------------------------------------------------------------------------------------


def as_another_user(function):
    """FUNCTION() -> JSON-able, run as somebody without rights."""
    if os.geteuid():
        return function()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, json.dumps(function()).encode())
            os._exit(0)
        except BaseException:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, 'rb') as stream:
        raw = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(raw.decode())


@pytest.fixture
def open_place():
    """A host root that another user can reach; pytest's own folder is closed to others."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)
    host = FakeHost(os.path.join(os.fsencode(folder), b'dead'))
    yield host
    for path in host.closed:
        os.chmod(path, 0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize('closed', [b'', b'/containers'])
def test_root_that_this_user_may_not_read(open_place, closed):
    open_place.close(open_place.root() + closed)

    def look():
        found = open_place.find()
        return [[root.recorded_path.decode() for root in found.roots],
                [[problem.code, problem.severity, problem.next_step] for problem in found.problems]]

    assert as_another_user(look) == [[], [['DATA_ROOT_UNREADABLE', 'critical', 'Run as root (become: true).']]]


@pytest.mark.parametrize('closed', [b'/var/lib/docker', b'/var/lib'])
def test_given_root_that_this_user_may_not_read(open_place, closed):
    open_place.root()
    open_place.close(open_place.place(closed))

    def look():
        try:
            open_place.find([b'/var/lib/docker'])
        except LifeboatError as exc:
            return str(exc)

    message = as_another_user(look)
    assert '/var/lib/docker' in message and 'become: true' in message


def test_configuration_and_homes_that_this_user_may_not_read(open_place):
    open_place.root()
    open_place.close(open_place.json({}))
    open_place.root(b'/home/ann/.local/share/docker')
    open_place.close(open_place.place(b'/home/ann'))

    def look():
        return open_place.codes()

    assert as_another_user(look) == ['CONFIG_UNREADABLE', 'PRIVILEGES_MISSING']


# -- empty, unmounted, missing -------------------------------------------------------------------------------


def test_nothing_at_all(dead):
    found = dead.find()
    assert found.roots == ()
    assert [problem.code for problem in found.problems] == ['NO_DATA_ROOT']
    problem = found.problems[0]
    assert problem.severity == model.CRITICAL
    for place in ('/var/lib/docker', '/etc/docker/daemon.json', 'systemd', 'snap', 'homes', '/etc/default/docker'):
        assert place in problem.message


def test_nothing_at_all_names_unmounted_file_systems(dead):
    dead.file(b'/etc/fstab', b'UUID=1 / ext4 x 0 1\nUUID=2 /srv xfs x 0 2\nUUID=3 none swap sw 0 0\n')
    problem = dead.problem('NO_DATA_ROOT')
    assert 'UUID=2 at ' + os.fsdecode(dead.place(b'/srv')) in problem.next_step
    assert 'UUID=1' not in problem.next_step and 'UUID=3' not in problem.next_step


def test_host_root_that_is_none(dead):
    os.rmdir(dead.place(b'/etc'))
    assert 'There is no /etc' in dead.problem('NO_DATA_ROOT').next_step


def test_empty_root_is_never_fine(dead):
    dead.empty_root()
    found = dead.find()
    assert found.roots[0].score == 0
    problem = dead.problem('DATA_ROOT_EMPTY')
    assert problem.severity == model.CRITICAL
    assert 'new or empty' in problem.message


@pytest.mark.parametrize('make', ['nothing', 'lost+found', 'junk'])
def test_default_folder_without_a_root(dead, make):
    dead.folder(b'/var/lib/docker')
    if make != 'nothing':
        dead.folder(b'/var/lib/docker/' + make.encode())
    problem = dead.problem('DATA_ROOT_EMPTY')
    assert ('is empty' in problem.message) == (make != 'junk')


def test_empty_default_root_while_another_has_content(dead):
    dead.empty_root()
    dead.root(b'/data/docker', containers=4)
    dead.unit(b'/usr/bin/dockerd -g /data/docker')
    found = dead.find()
    assert [root.recorded_path for root in found.roots] == [b'/data/docker', b'/var/lib/docker']
    problem = dead.problem('DATA_ROOT_EMPTY')
    assert problem.severity == model.WARNING
    assert '/data/docker (4 containers)' in problem.next_step


def test_root_whose_disk_is_not_mounted(dead):
    """dockerd made an empty root on the mount point."""
    dead.empty_root(b'/data/docker')
    dead.json({'data-root': '/data/docker'})
    dead.file(b'/etc/fstab', b'/dev/mapper/vg-my\\040data /data ext4 defaults 0 2\n')
    problem = dead.problem('DATA_ROOT_NOT_MOUNTED')
    assert problem.severity == model.CRITICAL
    assert '/etc/fstab says that /dev/mapper/vg-my data is mounted at /data' in problem.message
    assert "mount -o ro,noload '/dev/mapper/vg-my data' " + os.fsdecode(dead.place(b'/data')) in problem.next_step
    assert 'Mount what is missing' in dead.problem('DATA_ROOT_EMPTY').next_step


@pytest.mark.parametrize('fstype, options', [
    ('ext3', 'ro,noload'), ('ext4', 'ro,noload'), ('xfs', 'ro,norecovery'), ('btrfs', 'ro,rescue=nologreplay'),
    ('auto', 'ro,noload'), ('ext4;reboot', 'ro,noload'), ('nfs', 'ro')])
def test_no_advice_replays_a_journal_on_the_original(dead, fstype, options):
    """`mount -o ro` writes to a disk whose journal is not empty."""
    dead.empty_root(b'/data/docker')
    dead.json({'data-root': '/data/docker'})
    dead.file(b'/etc/fstab', b'/dev/sdb1 /data %s defaults 0 2\n' % fstype.encode())
    step = dead.problem('DATA_ROOT_NOT_MOUNTED').next_step
    assert 'mount -o %s /dev/sdb1 ' % options in step and 'reboot' not in step
    # the overlay comes first: without the journal the last writes are missing
    assert (0 < step.find('copy-on-write overlay') < step.find('mount -o')) == (options != 'ro')


def test_advice_for_a_device_that_looks_like_an_option(dead):
    dead.empty_root()
    dead.file(b'/etc/fstab', b'--types=x /var/lib/docker ext4 x 0 0\n')
    assert 'mount -o ro,noload -- --types=x ' in dead.problem('DATA_ROOT_NOT_MOUNTED').next_step


def test_bind_mount_whose_source_is_empty(dead):
    dead.empty_root()
    dead.folder(b'/srv/docker')
    dead.file(b'/etc/fstab', b'/srv/docker /var/lib/docker none bind 0 0\n')
    step = dead.problem('DATA_ROOT_NOT_MOUNTED').next_step
    assert 'mount -o bind,ro %s %s' % (os.fsdecode(dead.place(b'/srv/docker')), os.fsdecode(dead.place(b'/var/lib/docker'))) in step


def test_root_whose_mount_unit_is_not_mounted(dead):
    dead.empty_root()
    dead.file(b'/etc/systemd/system/var-lib-docker.mount', b'[Mount]\nWhat=/dev/sdb1\nWhere=/var/lib/docker\n')
    problem = dead.problem('DATA_ROOT_NOT_MOUNTED')
    assert '/dev/sdb1' in problem.message and 'var-lib-docker.mount' in problem.message
    dead.file(b'/etc/systemd/system/var-lib-docker.mount', b'[Mount]\nWhat=/dev/sdb1\nWhere=/var/lib/docker\nType=xfs\n')
    assert 'mount -o ro,norecovery /dev/sdb1 ' in dead.problem('DATA_ROOT_NOT_MOUNTED').next_step


def test_configured_root_that_is_missing_with_its_disk(dead):
    dead.json({'data-root': '/data/docker'})
    dead.file(b'/etc/fstab', b'UUID=7 /data ext4 defaults 0 2\n')
    found = dead.find()
    assert found.roots == ()
    assert [problem.code for problem in found.problems] == ['DATA_ROOT_NOT_MOUNTED']


def test_default_root_that_is_missing_with_var(dead):
    dead.file(b'/etc/fstab', b'UUID=7 /var ext4 defaults 0 2\n')
    assert dead.codes() == ['DATA_ROOT_NOT_MOUNTED']


def test_configured_root_that_is_missing(dead):
    dead.json({'data-root': '/data/docker'})
    problem = dead.problem('DATA_ROOT_MISSING')
    assert problem.severity == model.CRITICAL
    assert 'daemon.json data-root' in problem.message
    assert os.fsdecode(dead.place(b'/data/docker')) in problem.next_step
    dead.root()
    assert dead.problem('DATA_ROOT_MISSING').severity == model.WARNING
    dead.file(b'/data/docker')
    assert 'not a folder' in dead.problem('DATA_ROOT_MISSING').message


def test_full_root_below_an_unmounted_mount_point(dead):
    """Perhaps a copy of everything, perhaps only what was written while the disk was missing."""
    dead.root()
    dead.file(b'/etc/fstab', b'UUID=7 /var/lib/docker ext4 defaults 0 2\n')
    problem = dead.problem('DATA_ROOT_NOT_MOUNTED')
    assert problem.severity == model.WARNING and 'below the mount point' in problem.message


def test_file_systems_that_are_not_of_the_root_do_not_matter(dead):
    dead.root()
    dead.file(b'/etc/fstab', b'UUID=7 /home ext4 x 0 2\nUUID=8 /var/lib/docker-old ext4 x 0 0\nUUID=9 / ext4 x 0 1\n')
    assert dead.codes() == []


def test_driver_folder_on_an_unmounted_file_system(dead):
    dead.root(containers=3, layers=4)
    for name in os.listdir(dead.place(b'/var/lib/docker/overlay2')):
        os.rmdir(os.path.join(dead.place(b'/var/lib/docker/overlay2'), name))
    dead.folder(b'/var/lib/docker/overlay2/lost+found')
    problem = dead.problem('DRIVER_FOLDER_EMPTY')
    assert problem.severity == model.CRITICAL
    assert 'the driver directory is probably an unmounted file system' in problem.message
    assert 'copy-on-write overlay' in problem.next_step and 'mount -o ro,noload DEVICE ' in problem.next_step
    assert 'mount -o ro DEVICE' not in problem.next_step
    dead.file(b'/etc/fstab', b'UUID=7 /var/lib/docker/overlay2 xfs x 0 0\n')
    assert dead.problem('DATA_ROOT_NOT_MOUNTED').severity == model.CRITICAL


def test_driver_folder_known_from_containers_only(dead):
    """image/ lay on the lost file system too."""
    dead.root(containers=2, layers=0)
    dead.folder(b'/var/lib/docker/overlay2')
    assert '2 containers of the driver overlay2' in dead.problem('DRIVER_FOLDER_EMPTY').message


def test_unmounted_volumes(dead):
    dead.root()
    dead.file(b'/etc/fstab', b'UUID=7 /var/lib/docker/volumes xfs x 0 0\n')
    problem = dead.problem('DATA_ROOT_NOT_MOUNTED')
    assert problem.object == '/var/lib/docker/volumes' and problem.severity == model.CRITICAL


def test_image_database_of_a_containerd_host_is_no_missing_driver(dead):
    dead.root(layers=2)
    dead.file(b'/var/lib/docker/image/overlayfs/identity-cache.db')
    assert dead.codes() == []


def test_hidden_store(dead):
    dead.root(containers=2)
    dead.root(driver=b'vfs', containers=0, layers=0)
    for number in range(5):
        dead.folder(b'/var/lib/docker/vfs/dir/%064x' % number)
    root = dead.only()
    assert root.drivers == ('vfs', 'overlay2')
    assert root.layers == 7
    problem = dead.problem('HIDDEN_STORE')
    assert problem.severity == model.INFO and 'hidden, not lost' in problem.message


def test_legacy_layout(dead):
    """Before 1.10: no image/."""
    dead.file(b'/var/lib/docker/containers/' + CID + b'/config.json', b'{}')
    dead.folder(b'/var/lib/docker/graph/' + CID)
    dead.folder(b'/var/lib/docker/aufs/diff/' + CID)
    root = dead.only()
    assert (root.containers, root.layers, root.drivers) == (1, 1, ('aufs',))
    assert dead.codes() == []


# -- containerd ----------------------------------------------------------------------------------------------

CONTAINERD_CONFIG = b'{"Driver": "overlayfs", "ImageManifest": {}}'
SNAPSHOTS = b'/io.containerd.snapshotter.v1.overlayfs/snapshots/1'


def test_managed_containerd(dead):
    dead.file(b'/var/lib/docker/containers/' + CID + b'/config.v2.json', CONTAINERD_CONFIG)
    dead.folder(b'/var/lib/docker/containerd/daemon' + SNAPSHOTS)
    dead.folder(b'/var/lib/docker/rootfs/overlayfs')
    dead.folder(b'/var/lib/containerd')
    root = dead.only()
    assert root.containerd_roots == (dead.place(b'/var/lib/docker/containerd/daemon'),
                                     dead.place(b'/var/lib/containerd'))
    assert (root.drivers, root.layers) == (('overlayfs',), 1)
    assert dead.codes() == []


def test_containerd_roots_in_order(dead):
    dead.root()
    for path in (b'/explicit', b'/var/lib/docker/containerd/daemon', b'/toml', b'/imported', b'/dropped', b'/flag',
                 b'/var/lib/containerd'):
        dead.folder(path)
    dead.file(b'/etc/containerd/config.toml', b'version = 3\n# root = "/no"\nroot = "/toml"   # here\n'
                                              b'imports = [\n  "extra/*.toml",\n  # "/no"\n  \'/etc/none.toml\',\n]\n'
                                              b'[plugins."io.containerd.grpc.v1.cri"]\n  root = "/no"\n')
    dead.file(b'/etc/containerd/extra/a.toml', b"root = '/imported'\nimports = [\"/etc/containerd/config.toml\"]\n")
    dead.file(b'/etc/containerd/conf.d/x.toml', b'root="/dropped"\n')
    dead.unit(b'/usr/bin/containerd --root /flag --log-level debug', b'/lib/systemd/system/containerd.service')
    roots = dead.find((), b'/explicit').roots[0].containerd_roots
    assert roots[:2] == (dead.place(b'/explicit'), dead.place(b'/var/lib/docker/containerd/daemon'))
    assert set(roots[2:5]) == set((dead.place(b'/toml'), dead.place(b'/imported'), dead.place(b'/dropped')))
    assert roots.index(dead.place(b'/imported')) < roots.index(dead.place(b'/toml'))
    assert roots[5:] == (dead.place(b'/flag'), dead.place(b'/var/lib/containerd'))


def test_containerd_config_named_by_its_unit(dead):
    dead.root()
    dead.folder(b'/data/containerd')
    dead.file(b'/opt/c.toml', b'root = "/data/containerd"\n')
    dead.unit(b'/usr/bin/containerd -c /opt/c.toml', b'/etc/systemd/system/containerd.service')
    assert dead.only().containerd_roots == (dead.place(b'/data/containerd'),)


def test_snapshotter_with_a_root_of_its_own(dead):
    dead.root()
    dead.folder(b'/fast/overlay')
    dead.file(b'/etc/containerd/config.toml', b'[plugins]\n  [plugins."io.containerd.snapshotter.v1.overlayfs"]\n'
                                              b'    root_path = "/fast/overlay"\n'
                                              b"[plugins.'io.containerd.snapshotter.v1.native']\nroot_path = '/gone'\n")
    assert dead.only().snapshotter_roots == (('overlayfs', dead.place(b'/fast/overlay')),)


def test_generated_containerd_config(dead):
    dead.root()
    dead.folder(b'/moved/ctr')
    dead.file(b'/var/run/docker/containerd/containerd.toml', b'root = "/moved/ctr"\n')
    assert dead.only().containerd_roots == (dead.place(b'/moved/ctr'),)


def test_userns_looks_for_containerd_in_both_folders(dead):
    dead.root(b'/var/lib/docker/100000.100000')
    dead.folder(b'/var/lib/docker/containerd/daemon')
    assert dead.only().containerd_roots == (dead.place(b'/var/lib/docker/containerd/daemon'),)


def test_rootless_does_not_use_the_systems_containerd(dead):
    dead.file(b'/etc/passwd', PASSWD)
    dead.root(b'/home/ann/.local/share/docker')
    dead.folder(b'/var/lib/containerd')
    dead.folder(b'/home/ann/.local/share/docker/containerd/daemon')
    assert dead.only().containerd_roots == (dead.place(b'/home/ann/.local/share/docker/containerd/daemon'),)


def test_containerd_store_that_was_not_copied(dead):
    dead.file(b'/var/lib/docker/containers/' + CID + b'/config.v2.json', CONTAINERD_CONFIG)
    dead.file(b'/etc/containerd/config.toml', b'root = "/data/ctr"\n')
    problem = dead.problem('STORE_UNREACHABLE')
    assert problem.severity == model.CRITICAL
    assert '/data/ctr or /var/lib/containerd' in problem.next_step
    dead.folder(b'/var/lib/containerd' + SNAPSHOTS)
    assert dead.codes() == []
    assert dead.only().containerd_missing[0] == b'/data/ctr'


def test_containerd_store_that_is_not_mounted(dead):
    dead.file(b'/var/lib/docker/containers/' + CID + b'/config.v2.json', CONTAINERD_CONFIG)
    dead.folder(b'/var/lib/containerd')
    dead.file(b'/etc/fstab', b'UUID=7 /var/lib/containerd xfs x 0 0\n')
    assert dead.codes() == ['DATA_ROOT_NOT_MOUNTED', 'STORE_UNREACHABLE']


# -- other engines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize('names', [['overlay', 'overlay-containers', 'libpod'], ['vfs-containers'], ['libpod']])
def test_a_given_podman_store_is_not_an_empty_data_root(names, dead):
    for name in names:
        dead.folder(b'/srv/storage/' + name.encode())
    problem = dead.problem('DATA_ROOT_EMPTY', [b'/srv/storage'])
    assert problem.severity == model.CRITICAL and 'Podman' in problem.message and 'engines' in problem.next_step
    assert dead.codes([b'/srv/storage']) == ['DATA_ROOT_EMPTY']


def test_an_empty_podman_folder_is_none(dead):
    dead.root()
    dead.folder(b'/var/lib/containers/storage')
    assert dead.codes() == []


@pytest.mark.parametrize('name,tool', [(b'Docker.raw', 'losetup'), (b'Docker.qcow2', 'qemu-nbd')])
def test_docker_desktop(dead, name, tool):
    dead.file(b'/etc/passwd', PASSWD)
    dead.file(b'/home/ann/.docker/desktop/vms/0/data/' + name, b'x')
    assert dead.codes() == ['NO_DATA_ROOT', 'VM_DISK']
    assert tool in dead.problem('VM_DISK').next_step and 'ann' in dead.problem('VM_DISK').message


# -- a hostile disk ------------------------------------------------------------------------------------------


def timed(dead, seconds=10):
    started = time.process_time()
    found = dead.find()
    assert time.process_time() - started < seconds
    return found


def test_loops_everywhere(dead):
    dead.root()
    for path in (b'/home', b'/var/snap', b'/etc/fstab', b'/etc/containerd', b'/etc/default', b'/run',
                 b'/etc/systemd/system', b'/var/lib/docker/image', b'/var/lib/docker/overlay2'):
        place = dead.place(path)
        if os.path.isdir(place):
            shutil.rmtree(place)
        dead.link(path, os.path.basename(path))
    assert timed(dead).roots[0].containers == 1


def test_devices_and_fifos_everywhere(dead):
    dead.root()
    for path in (b'/etc/fstab', b'/etc/passwd', b'/etc/default/docker', b'/etc/containerd/config.toml', UNIT,
                 b'/etc/systemd/system/docker.service.d/x.conf', b'/var/lib/docker/image/overlay2/layerdb/mounts'):
        dead.folder(os.path.dirname(path))
        os.mkfifo(dead.place(path))
    assert timed(dead).roots[0].containers == 1


def test_variables_that_grow(dead):
    dead.root()
    lines = b'A="' + b'-g /x ' * 100 + b'"\n' + b'A="$A$A$A$A"\n' * 60
    dead.file(b'/etc/default/docker', lines)
    dead.file(b'/etc/init.d/docker', lines + b'dockerd -g $A\n' * 2000)
    dead.unit(b'/usr/bin/dockerd ' + b'${A}' * 2000 + b' --data-root=${A}',
              more=b'EnvironmentFile=/etc/default/docker\n')
    assert timed(dead).roots[0].containers == 1


@pytest.mark.parametrize('piece', [b'A="', b"A='\n", b'A=${B-', b'a=[\n', b'imports=[\n', b'\\', b'[', b'[x]\n',
                                   b'ExecStart="\n', b'A="\n', b'a="\\'])
def test_open_quotes_and_brackets(dead, piece):
    """Whatever grows faster than the file would show."""
    dead.root()
    raw = piece * (150000 // len(piece))
    for path in (b'/etc/default/docker', b'/etc/containerd/config.toml', b'/etc/fstab', UNIT, b'/etc/passwd'):
        dead.file(path, raw)
    assert timed(dead).roots[0].containers == 1


def test_more_of_everything_than_there_can_be(dead):
    dead.root(containers=200)
    dead.file(b'/etc/fstab', b''.join(b'/dev/x%d /var/lib/docker/x%d ext4 x 0 0\n' % (n, n) for n in range(5000)))
    dead.file(b'/etc/passwd', b''.join(b'u%d:x:%d:1::/home/u%d:/bin/sh\n' % (n, n + 1, n) for n in range(5000)))
    dead.file(UNIT, b'[Service]\n' + b''.join(b'ExecStart=dockerd -g /r%d\n' % n for n in range(5000)))
    for number in range(150):
        dead.folder(b'/var/lib/docker/%d.%d/containers' % (number, number))
        dead.folder(b'/var/lib/docker/image/d%d' % number)
    found = timed(dead, 30)
    assert found.roots[0].containers == 200
    assert len(found.roots) < 100 and len(found.problems) < 300


def test_names_with_newlines_and_other_bytes(dead):
    name = b'/da ta\n\xff$(x)'
    dead.root(name)
    dead.file(UNIT, b'[Service]\nExecStart=/usr/bin/dockerd "--data-root=/da\\x20ta\\n\xff$$(x)"\n')
    assert dead.only().path == dead.place(name)


def everything_below(path):
    found = []
    for folder, dummy, names in os.walk(path):
        for place in [folder] + [os.path.join(folder, name) for name in names]:
            st = os.lstat(place)
            found.append((place, st.st_mode, st.st_size, st.st_mtime_ns, st.st_ctime_ns))
    return found


def test_messages_are_single_lines_that_no_terminal_obeys(dead):
    name = b'/a\n\x1b[2Jb\xff'
    dead.json({'data-root': '/x\n\x1b[1m'})
    dead.empty_root(name)
    dead.file(b'/etc/fstab', b'LABEL=\x1b[3m /x\\012\x1b[1m ext4 x 0 0\n')
    found = dead.find([name]).problems + dead.find().problems
    assert len(found) > 1
    for problem in found:
        assert problem.message.isprintable() and problem.next_step.isprintable()
    with pytest.raises(LifeboatError) as caught:
        dead.find([b'/no\n\x1b[2J'])
    assert str(caught.value).isprintable()


def test_nothing_is_written(dead):
    dead.root()
    dead.json({'debug': True})
    before = everything_below(dead.path)
    dead.find()
    assert everything_below(dead.path) == before


def test_access_times_stay(dead):
    dead.root()
    dead.json({'debug': True})
    dead.unit(b'/usr/bin/dockerd')
    paths = [dead.place(path) for path in (b'/etc/docker/daemon.json', UNIT, b'/var/lib/docker/containers',
                                           b'/var/lib/docker', b'/etc')]
    for path in paths:
        os.utime(path, (1000, 1000))
    dead.find()
    assert [os.stat(path).st_atime for path in paths] == [1000] * len(paths)


# -- a live host ---------------------------------------------------------------------------------------------


@pytest.fixture
def fake_dockerd(tmp_path):
    """Start a process that looks like a dockerd with these arguments."""
    script = tmp_path / 'bin' / 'dockerd'
    os.mkdir(str(tmp_path / 'bin'))
    script.write_text('#!/bin/sh\necho\nread line\n')
    script.chmod(0o755)
    running = []

    def start(*arguments, **more):
        process = subprocess.Popen([str(script)] + list(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   **more)
        running.append(process)
        process.stdout.readline()
        return process.pid

    yield start
    for process in running:
        process.communicate()


def test_running_dockerd_of_a_live_host(dead, fake_dockerd):
    place = dead.root(b'/one/two/three/four/docker')
    pid = fake_dockerd('--data-root', os.fsdecode(place), '--pidfile=/run/x.pid')
    found = discovery.find_roots(HostRoot(b'/'), [])
    mine = [root for root in found.roots if root.path == place]
    assert len(mine) == 1
    assert mine[0].why == ('running process %d' % pid,)
    assert mine[0].pidfile == b'/run/x.pid'
    # but it says nothing about another machine's disk
    dead.root(b'/one/two/three/four/docker' + place)
    assert dead.codes() == ['NO_DATA_ROOT']


def test_dockerd_of_a_container_has_a_root_of_its_own(dead, fake_dockerd, monkeypatch):
    """The same path in another mount namespace is another folder."""
    place = dead.root(b'/data/docker')
    fake_dockerd('--data-root', os.fsdecode(place))
    monkeypatch.setattr(hosts, 'seen_by', lambda pid, path: (1, 2))
    assert place not in [root.path for root in discovery.find_roots(HostRoot(b'/'), []).roots]


def test_running_rootless_dockerd(dead, fake_dockerd):
    place = dead.root(b'/home/me/.local/share/docker')
    fake_dockerd(env={'HOME': os.fsdecode(dead.place(b'/home/me')), 'ROOTLESSKIT_STATE_DIR': '/x',
                      'PATH': os.environ['PATH']})
    mine = [root for root in discovery.find_roots(HostRoot(b'/'), []).roots if root.path == place]
    assert len(mine) == 1
    assert mine[0].rootless_uid == os.stat(place).st_uid
