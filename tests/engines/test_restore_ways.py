# Copyright (c) 2026, Lifeboat maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to restore that are not the usual one: into a stopped engine's data root, over TCP with and without TLS; and what is left
of a restore that fails."""
import os
import subprocess

import pytest
import test_restore
from test_restore import lone_volume, restore, state

from ansible_collections.lifeboat.docker.plugins.module_utils.restore.engineapi import Tls
from ansible_collections.lifeboat.docker.plugins.module_utils.storage.model import LifeboatError
from ansible_collections.lifeboat.docker.tests.unit.restore.bundles import member

TWO = [member('./d/', uid=999, gid=998, mode=0o2750), member('./d/f', b'data', uid=5, mode=0o600), member('./many', b'x' * 100000)]


@pytest.mark.parametrize('kind', ['debian-overlay2', 'newer-containerd'])
def test_offline_into_the_data_root_of_a_stopped_engine(kind, start_engine, disk_dir):
    engine = start_engine(kind)
    root = os.fsencode(engine.data_root)
    path = lone_volume(disk_dir, 'vol', TWO)
    with pytest.raises(LifeboatError) as caught:
        restore(engine, path, offline=True, data_root=root)
    assert 'not proved to be stopped' in str(caught.value) and not os.path.exists(os.path.join(engine.data_root, 'volumes/vol'))
    engine.stop()
    for check in (True, False):
        result = restore(engine, path, offline=True, data_root=root, check=check)
        assert result['changed'] and os.path.exists(os.path.join(engine.data_root, 'volumes/vol')) is not check
    assert not restore(engine, path, offline=True, data_root=root)['changed']
    engine.start()
    assert engine.docker('volume', 'inspect', '-f', '{{.Name}} {{.Driver}}', 'vol').strip() == b'vol local'
    engine.docker('import', '-', 'base:1', stdin=test_restore.scenario_base())
    said = engine.docker('run', '--rm', '--network', 'none', '-v', 'vol:/v', 'base:1', 'stat', '-c', '%u %g %a %s', '/v/d', '/v/d/f')
    assert said.split()[:3] == [b'999', b'998', b'2750'] and said.split()[4:] == [b'5', b'0', b'600', b'4']
    # the running engine sees that it was restored, too
    assert engine.docker('volume', 'rm', 'vol').strip() == b'vol'


def certificates(folder):
    """{name: path} of an authority, and of keys and certificates of a server on 127.0.0.1 and of a client."""
    made = {}

    def ssl(*argv):
        subprocess.run(('openssl',) + argv, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=ca', '-days', '2')
    for name, extension in (('server', 'subjectAltName=IP:127.0.0.1'), ('client', 'extendedKeyUsage=clientAuth')):
        ssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', name + '.key', '-out', name + '.csr', '-subj', '/CN=' + name)
        with open(os.path.join(folder, name + '.ext'), 'w', encoding='ascii') as handle:
            handle.write(extension + '\n')
        ssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', name + '.pem',
            '-days', '2', '-extfile', name + '.ext')
    for name in ('ca.pem', 'server.pem', 'server.key', 'client.pem', 'client.key'):
        made[name] = os.path.join(folder, name)
    return made


def test_tls(start_engine, disk_dir, tls_front):
    """The engine is behind a TLS listener that wants a certificate of ours; a wrong one on either side ends it."""
    engine = start_engine('newer-containerd')
    files = certificates(disk_dir)
    host = tls_front(engine.socket, files)
    path = lone_volume(disk_dir, 'vol', TWO, labels={'a': 'b'})
    good = Tls(files['ca.pem'], files['client.pem'], files['client.key'], True)
    before = state(engine)
    for tls, reason in ((Tls('', files['client.pem'], files['client.key'], True), 'CERTIFICATE_VERIFY_FAILED'),
                        (Tls(files['ca.pem'], '', '', True), '')):
        with pytest.raises(LifeboatError) as caught:
            restore(engine, path, docker_host=host, use_tls=True, tls=tls)
        assert reason.lower().replace('_', ' ') in str(caught.value).lower().replace('_', ' '), caught.value
        assert state(engine) == before
    result = restore(engine, path, docker_host=host, use_tls=True, tls=good)
    assert result['volumes'][0]['way'] == 'api' and result['volumes'][0]['files'] == 2
    found = os.stat(os.path.join(engine.data_root, 'volumes/vol/_data/d/f'))
    assert (found.st_uid, found.st_mode & 0o777) == (5, 0o600)
    assert not restore(engine, path, docker_host=host, use_tls=True, tls=good)['changed']


def test_volumes_of_a_restore_that_fails_later(start_engine, disk_dir, broken):
    """The first volume is filled when the second turns out to be hostile: both are gone again, or kept if that was asked."""
    engine = start_engine('debian-overlay2')
    before = state(engine)
    with pytest.raises(LifeboatError) as caught:
        restore(engine, broken)
    assert 'taken back' in str(caught.value) and state(engine) == before
    with pytest.raises(LifeboatError) as caught:
        restore(engine, broken, keep_partial=True)
    assert 'is kept' in str(caught.value)
    assert os.listdir(os.path.join(engine.data_root, 'volumes/first/_data')) == ['good']
    # force replaces what is there, and puts it back when it fails
    with pytest.raises(LifeboatError):
        restore(engine, broken, force=True)
    assert os.listdir(os.path.join(engine.data_root, 'volumes/first/_data')) == ['good']


def test_force_drops_the_old_when_told_so(start_engine, disk_dir):
    engine = start_engine('debian-overlay2')
    engine.docker('volume', 'create', 'vol')
    data = os.path.join(engine.data_root, 'volumes/vol/_data')
    with open(os.path.join(data, 'old'), 'w', encoding='ascii') as handle:
        handle.write('x')
    path = lone_volume(disk_dir, 'vol', TWO)
    checked = restore(engine, path, force=True, keep_old=False, check=True)
    assert checked['diff']['before']['volumes'] == {'vol': {'content': ['old']}} and os.listdir(data) == ['old']
    assert restore(engine, path, force=True, keep_old=False)['kept'] == []
    assert sorted(os.listdir(data)) == ['d', 'many'] and engine.docker('volume', 'ls', '-q').split() == [b'vol']


def steps(result):
    return [(step['kind'], step['name'], step['action']) for step in result['steps']]


def test_check_mode_says_exactly_what_comes(dead_root_of, start_engine, bundles):
    root, engine = dead_root_of('debian-overlay2'), start_engine('newer-containerd')
    os.makedirs(engine.outside('/srv/shop'), exist_ok=True)
    options = {'ignore': ('device_nodes',), 'restore': ('image', 'volumes', 'container', 'binds')}
    path = bundles(root)['shop-web-1']
    before = state(engine)
    checked = restore(engine, path, check=True, **options)
    assert state(engine) == before
    done = restore(engine, path, **options)
    assert steps(checked) == steps(done) and checked['diff'] == done['diff']
    again = restore(engine, path, check=True, **options)
    assert not again['changed'] and again['diff']['before'] == again['diff']['after']
