"""One host on which Docker, Podman (of root with Buildah in its store, and of a user), Kubernetes and nerdctl on one containerd have really
run; CRI-O's part is built, for want of a package. Only in a soak: four engines are filled and killed for it."""
import os
import subprocess
import time

import deadpodman
import pytest
import rescued
from rig import fixtures, kube, podman

# the host dies during a build: its working container, as `buildah from` makes it, has no record in Podman's database
BUILDAH = r'''
mkdir -p "$SCRATCH/kept" && printf 'FROM localhost/base:1\nRUN echo built >/d/built; sleep 1000\n' >"$SCRATCH/kept/Containerfile"
p build --quiet --network host --isolation chroot -t localhost/kept:1 "$SCRATCH/kept" >/dev/null 2>&1 &
i=0; until p ps --all --external --format '{{.Status}} {{.Command}}' | grep -qi -e storage -e buildah || [ $i -ge 100 ]; do sleep 0.2; i=$((i+1)); done
'''
ENGINES = ('docker', 'podman', 'crio', 'kubernetes', 'nerdctl')
MOST = 1.2                              # of the sum of each engine alone
TIMES = 5


class Host:
    """HOST_ROOT, and IDS: {engine: the ids of its containers as the engine said}."""

    def __init__(self, host_root):
        self.host_root, self.ids = host_root, {}

    def add(self, dead):
        """All files of a dead host into this one; files that both have are those of the later one."""
        subprocess.run(['cp', '-a', '--', dead.host_root + '/.', self.host_root], check=True)


@pytest.fixture(scope='module', params=fixtures.some((), ['all']))
def crowded(request, dead_root_of, tmp_path_factory):
    """The Host."""
    del request
    with fixtures.or_say('a host with all engines'):
        docker = dead_root_of('debian-overlay2')
        made = [podman.build('podman-root', podman.with_more(BUILDAH)), podman.build('podman-rootless'), kube.build(kube.SHARED)]
    top = os.path.join(made[0].scratch, 'crowded')
    os.makedirs(top)
    host = Host(top)
    for dead in [docker] + made:
        host.add(dead)
    host.ids['docker'] = {item['inspect']['Id'] for item in docker.truth['containers'].values()}
    host.ids['podman'] = {item['Id'] for dead in made[:2] for item in dead.json('ps.json') if not item['IsInfra']}
    said = made[2].json('said.json')
    host.ids['kubernetes'] = {item['info']['ID'] for name, item in said.items() if '/' in name}
    host.ids['nerdctl'] = {item['info']['ID'] for name, item in said.items() if '/' not in name}
    expected = deadpodman.build(top + '/var/lib/crio/storage', containers=5, host_root=top, crio=True, seed='crio')
    host.ids['crio'] = {item.id for item in expected.containers}
    os.makedirs(top + '/etc/crio')
    with open(top + '/etc/crio/crio.conf', 'w', encoding='ascii') as out:
        out.write('[crio]\nroot = "/var/lib/crio/storage"\nrunroot = "/run/crio/storage"\n')
    yield host
    for dead in made:
        dead.close()


def gather(host, engines=('all',)):
    with rescued.open_host(host, engines=engines) as opened:
        return rescued.facts.gather(opened, rescued.facts.Options())


def test_no_container_twice(crowded):
    found = gather(crowded)
    assert {engine: {item['id'] for item in found['containers'] if item['engine'] == engine} for engine in ENGINES} == crowded.ids
    assert len(found['containers']) == sum(map(len, crowded.ids.values())) == found['summary']['containers']
    assert any(problem['code'] == 'NO_STATE_RECORD' for item in found['containers'] for problem in item['problems'])
    assert {item['user'] for item in found['containers']} == {None, podman.USER}
    for kind in ('images', 'volumes'):
        ours = [(item.get('root'), item.get('path') or item.get('id')) if kind == 'volumes' else (item['id'], item['layers'][0]['path'])
                for item in found[kind] if kind == 'volumes' or item['layers']]
        assert len(ours) == len(set(ours)), kind
    layers = [item['path'] for item in found['orphans']['writable_layers']]
    assert len(layers) == len(set(layers))


def test_time_of_all_is_that_of_each_alone(crowded):
    """Best of some runs, each of a host that is opened anew."""
    def seconds(*engines):
        best = None
        for dummy in range(TIMES):
            started = time.perf_counter()
            gather(crowded, engines)
            took = time.perf_counter() - started
            best = took if best is None else min(best, took)
        return best
    alone = {engine: seconds(engine) for engine in ENGINES}
    together = seconds('all')
    print('all engines in one call: %.3f s; each alone: %s, sum %.3f s; ratio %.2f' % (
        together, ', '.join('%s %.3f' % item for item in sorted(alone.items())), sum(alone.values()), together / sum(alone.values())))
    assert together <= MOST * sum(alone.values()), (together, alone)
