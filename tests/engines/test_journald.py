"""Logs that real engines left to a real journald, all killed, against what their `logs --timestamps` printed."""
import contextlib

import pytest
import rescued
from rig import journald, podman, scenario
from rig.engine import Engine
from rig.fixtures import or_say, some

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import compress
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import containerlogs

# to both streams, long, not as text, without an end
PRINTS = r'''i=0; while [ $i -lt 30 ]; do echo "line $i"; echo "error $i" >&2; i=$((i+1)); done
sleep 0.2; head -c 40000 /dev/zero | tr "\0" x; echo; sleep 0.2; head -c 3000 /dev/zero | tr "\0" y; echo; sleep 0.2
echo "   spaces  and	a tab"; printf "a\001b\377c\n"; sleep 0.2; echo; printf "no end" >&2; sleep 0.2; echo last'''
ON_PODMAN = r'''
set -eu
cd /
podman import "$SCRATCH/base.tar" localhost/base:1 >/dev/null
run() { name=$1; shift; podman run --cgroups=disabled --log-driver journald -d --name "$name" localhost/base:1 sh -c "$1" >/dev/null; }
run web "$PRINTS; sleep 1000"
run ended "$PRINTS"
podman wait ended >/dev/null
run other 'echo secret of the other; sleep 1000'
for name in web ended; do
    i=0; until podman logs $name 2>/dev/null | grep -qx last || [ $i -ge 100 ]; do sleep 0.1; i=$((i+1)); done
    podman inspect --type container "$name" >"$TRUTH/inspect-$name.json"
    podman logs --timestamps "$name" >"$TRUTH/stdout-$name.txt" 2>"$TRUTH/stderr-$name.txt"
done
: >"$TRUTH/ready"
sleep 1000
'''


def printed(root, name):
    """({stream: bytes} as `logs --timestamps` prints them, codes, the entries in the export format)."""
    problems, raw, streams = [], [], {'stdout': b'', 'stderr': b''}
    with rescued.open_host(root) as host:
        every = [one.container(ident) for one in host.roots for ident in one.container_ids()]
        record = next(item for item in every if item.name == name)
        for each in record.log.journal.read(compress.unpack_frames, raw.append, problems):
            streams[each.stream] += containerlogs.render(each)
    return streams, [item.code for item in problems], b''.join(raw)


@pytest.mark.parametrize('kind', some(['debian-overlay2'], ['newer-overlay2', 'debian-userns', 'debian-rootless']))
def test_docker(kind, disk_dir):
    with contextlib.ExitStack() as stack, or_say(kind):
        engine = stack.enter_context(Engine(kind))
        journald.lay_out(engine.host_root, '512K')
        engine.start()
        engine.docker('import', '-', 'base:1', stdin=scenario.base_tar(not engine.kind.userns))
        for name, script in (('web', PRINTS + '; sleep 1000'), ('ended', PRINTS), ('other', 'echo secret of the other; sleep 1000')):
            engine.docker('run', '-d', '--name', name, '--network', 'none', '--log-driver', 'journald', 'base:1', '/bin/sh', '-c', script)
        engine.docker('wait', 'ended')
        truth = {name: engine.docker_both('logs', '--timestamps', name) for name in ('web', 'ended')}
        while b'last' not in truth['web'][0]:
            truth['web'] = engine.docker_both('logs', '--timestamps', 'web')
        engine.kill()
        for name in truth:
            compared(engine, name, truth[name], empty_lines=kind.startswith('debian'))
        bundle = next(item for item in rescued.rescue(engine, disk_dir, include=('config', 'logs'))['bundles'] if item['container'] == 'web')
        assert rescued.component(bundle, 'log')['status'] == 'complete'


@pytest.mark.parametrize('kind', some(['podman-root'], ['podman-rootless']))
def test_podman(kind):
    with or_say(kind):
        dead = podman.build(kind, ON_PODMAN, more={'PRINTS': PRINTS}, journal=True)
        with contextlib.closing(dead):
            for name in ('web', 'ended'):
                compared(dead, name, [read(dead.truth('%s-%s.txt' % (stream, name))) for stream in ('stdout', 'stderr')])


def compared(root, name, truth, empty_lines=False):
    """EMPTY_LINES: Docker 20.10 logs them, and does not print them again."""
    streams, codes, raw = printed(root, name)
    if empty_lines:
        streams = {key: b''.join(line for line in text.splitlines(True) if not line.endswith(b'Z \n')) for key, text in streams.items()}
    assert streams['stdout'] == truth[0] and streams['stderr'] == truth[1]
    assert b'last\n' in truth[0] and codes == [] and b'secret' not in raw and raw.count(b'__CURSOR=') > 60


def read(path):
    with open(path, 'rb') as handle:
        return handle.read()
