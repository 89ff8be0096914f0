"""How a rescue behaves: what it takes first, that it gives way to others on a live host, what it shows to people."""
import json
import os
import time

import deadroot
import hosts
import pytest
from hosts import MIB, options, result_of


@pytest.fixture(scope='module')
def busy(tmp_path_factory):
    """A host root: the database is the largest, the next start of dockerd deletes `once` and goes on deleting `half-gone`."""
    top = tmp_path_factory.mktemp('busy')
    expected = deadroot.build(str(top / 'var/lib/docker'), containers=7, host_root=str(top))
    with open(os.path.join({item.name: item.path for item in expected.volumes}['shop_db'].decode(), 'large.bin'), 'wb') as large:
        for dummy in range(24):
            large.write(os.urandom(MIB))
    return str(top)


def manners(host):
    """{I/O class and niceness of the rescue's process on HOST and of what it started}, as the kernel says."""
    found = set()
    senders = host.senders()
    for pid in host.processes():
        try:
            with open('/proc/%d/stat' % pid) as stat:
                name, rest = stat.read().split('(', 1)[1].rsplit(')', 1)
        except OSError:
            continue
        fields = rest.split()
        if pid in senders or (name == 'zstd' and int(fields[1]) in senders):
            said = hosts.run('ionice', '-p', str(pid), check=False).strip()
            found.add(('zstd' if name == 'zstd' else 'rescue', said, int(fields[16])))
    return found


def test_order_and_io_class(first, controller, busy, tmp_path):
    process = controller.start(hosts.task(**options(busy, tmp_path, io_class='idle')), {'box': first.variables()})
    seen = set()
    while process.poll() is None:
        seen |= manners(first)
        time.sleep(0.02)
    out = process.communicate()[0]
    assert process.returncode == 0, out
    assert {('rescue', 'idle', 19), ('zstd', 'idle', 19)} <= seen, seen
    bundles = result_of(out)['bundles']
    folder = str(tmp_path / 'out' / 'box')
    written = sorted(bundles, key=lambda item: os.stat(os.path.join(folder, item['name'], 'manifest.json')).st_mtime_ns)
    order = [item['container'] for item in written]
    assert order == [item['container'] for item in bundles] and len(order) == 7
    assert set(order[:2]) == {'once', 'half-gone'} and order[2] == 'db'
    for group in (order[:2], order[3:]):
        sizes = [size_of(os.path.join(folder, item['name'])) for item in written if item['container'] in group]
        assert sizes == sorted(sizes)
    assert size_of(os.path.join(folder, written[2]['name'])) > 2 * max(sizes)
    assert first.clean() == []


def test_what_a_terminal_shows(first, controller, busy, tmp_path):
    """Several hosts at once: the end of each is told once, and no line is wider than the terminal. Without one: nothing."""
    two = {name: first.variables() for name in ('one', 'two')}
    plays = hosts.task(**options(busy, tmp_path, include=['config', 'logs']))[0]
    plays['tasks'].pop()
    status, out = controller.on_terminal(90, [plays], two)
    assert status == 0, out
    for name in two:
        told = [line for line in out.splitlines() if line.startswith('[%s] ' % name)]
        assert len(told) == len(set(told)) >= 8 and max(map(len, told)) <= 90, out
        assert len([line for line in told if '7 bundles, 7 written' in line]) == 1 and 'not in the bundles' in told[-1]
    status, out = controller.play([plays], two)
    assert status == 0 and not [line for line in out.splitlines() if line.startswith('[one]')], out


def size_of(bundle):
    """Bytes on the dead disk of what the bundle holds."""
    with open(os.path.join(bundle, 'manifest.json')) as raw:
        return sum(item['source_bytes'] for item in json.load(raw)['components'] if item['kind'] in ('writable', 'volume'))
