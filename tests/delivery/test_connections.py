"""store_on: controller over connections that do not see every folder of the host, as those into containers.

They are stood in for by connections/boxed.py: podman's and Docker's own plugins would have to be installed, with an engine.
"""
import os
import signal
import time

import hosts
from hosts import archives, no_partial, options

PLUGINS = {'ANSIBLE_CONNECTION_PLUGINS': os.path.join(hosts.HERE, 'connections')}


def variables(host, **more):
    return dict({'ansible_connection': 'boxed', 'ansible_boxed_pid': host.sshd.pid,
                 'ansible_python_interpreter': hosts.sys.executable}, **more)


def execs(host):
    """What the connection has at work inside, without the rescue itself."""
    return [pid for pid, line in host.commands().items() if 'spool as it' in line]


def test_the_spool_goes_where_files_can_be_fetched_from(first, controller, dead, reference, tmp_path):
    """/dev/shm and /run have room, but this connection cannot see into them. Calls that are killed are made again."""
    process = controller.start(hosts.task(**options(dead, tmp_path)), {'box': variables(first)}, environment=PLUGINS)
    kills = 0
    while process.poll() is None:
        if kills < 3 and first.senders() and os.path.isdir(str(tmp_path / 'out')):
            for pid in execs(first):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue            # it ended by itself meanwhile
                kills += 1
        time.sleep(0.05)
    out = process.communicate()[0]
    assert process.returncode == 0 and kills >= 3, out
    assert archives(str(tmp_path / 'out' / 'box')) == reference
    assert no_partial(str(tmp_path / 'out' / 'box'))
    assert 'Reset is not implemented' not in out
    assert first.clean() == []


def test_nothing_can_be_fetched(first, controller, dead, reference, tmp_path):
    """One sentence that says so, with what to do; and where the user named the folder, that folder."""
    blind = variables(first, ansible_boxed_outside=str(tmp_path))
    for more, tried in (({}, '/dev/shm, /run, /tmp'), ({'spool_dir': '/dev/shm'}, '/dev/shm')):
        status, out = controller.play(hosts.task(**options(dead, tmp_path, **more)), {'box': blind}, environment=PLUGINS)
        assert status == 2 and 'The connection boxed cannot fetch files from %s' % tried in out and 'spool_dir' in out, out
        assert not os.path.exists(str(tmp_path / 'out')) or os.listdir(str(tmp_path / 'out')) == [], out
    # where bundles stay on the host nothing has to be fetched: no progress is no failure
    there = str(tmp_path / 'there')
    status, out = controller.play(hosts.task(**options(dead, tmp_path, store_on='host', dest=there, progress='true')),
                                  {'box': blind}, environment=PLUGINS)
    assert status == 0 and archives(there + '/box') == reference, out
    assert first.clean() == [], out
