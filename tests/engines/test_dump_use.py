"""Dumps of killed databases beside the raw data: by the playbook, in bundles on the controller, with what the servers were told is committed."""
import glob
import gzip
import json
import os
import re
import stat
import subprocess
import sys

import pytest
from rig import listing, scenario, writers

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import info
from ansible_collections.lifeboat.docker.plugins.module_utils.restore import plan, run

SOAK = os.environ.get('LIFEBOAT_SOAK')
# container: the volume that its dump is loaded into
VOLUME = dict({'pg-volume': 'pg-volume-dump-postgresql-1', 'redis': 'redis-dump-redis-1'}, **(
    {'my-volume': 'my-volume-dump-mariadb-1'} if SOAK else {}))
COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# with the password that it had
MARIADB = ('mariadbd --skip-networking --socket=/tmp/my --pid-file=/tmp/my.pid 2>/dev/null & '
           'until mariadb -S /tmp/my -u root -p%s -e "select 1" >/dev/null 2>&1; do sleep 0.1; done; '
           'mariadb -S /tmp/my -u root -p%s -N -e "select count(*) from shop.t"' % (scenario.SECRET, scenario.SECRET))


def play(folder, name, variables):
    """(exit status, output) of a playbook of the collection with one host, this machine."""
    collections = os.path.join(folder, 'collections')
    os.makedirs(os.path.join(collections, 'ansible_collections', 'lifeboat'), exist_ok=True)
    link = os.path.join(collections, 'ansible_collections', 'lifeboat', 'docker')
    if not os.path.lexists(link):
        os.symlink(COLLECTION, link)
    for file, content in (('hosts.json', {'all': {'hosts': {'dead': {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable}}}}),
                          ('vars.json', variables)):
        with open(os.path.join(folder, file), 'w', encoding='utf-8') as out:
            json.dump(content, out)
    programs = os.path.dirname(sys.executable)
    done = subprocess.run(
        [os.path.join(programs, 'ansible-playbook'), '-i', 'hosts.json', name, '-e', '@vars.json'], cwd=folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
        env={'PATH': programs + ':/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': folder, 'LC_ALL': 'C.UTF-8', 'ANSIBLE_COLLECTIONS_PATH': collections,
             'ANSIBLE_LOCAL_TEMP': os.path.join(folder, 'tmp'), 'ANSIBLE_NOCOLOR': '1', 'ANSIBLE_LOCALHOST_WARNING': '0',
             'ANSIBLE_DEPRECATION_WARNINGS': '0', 'PYTHONDONTWRITEBYTECODE': '1'})
    return done.returncode, done.stdout.decode('utf-8', 'replace')


@pytest.fixture(scope='module')
def rescued(dead_databases, tmp_path_factory):
    """({container: its bundle}, output, whether the disk is what it was): the playbook rescue with rescue_dumps."""
    folder = str(tmp_path_factory.mktemp('use'))
    before = listing.snapshot(dead_databases.host_root)
    status, output = play(folder, 'lifeboat.docker.rescue', {
        'rescue_host_root': dead_databases.host_root, 'rescue_dest': os.path.join(folder, 'out'), 'rescue_store_on': 'controller', 'rescue_become': False,
        'rescue_containers': sorted(VOLUME), 'rescue_dumps': True, 'rescue_compression': 'gzip', 'rescue_host_name': 'dead',
        'rescue_include': 'config,writable,image,volumes,binds,logs', 'rescue_report_dir': os.path.join(folder, 'reports'),
        'rescue_dump_scratch_dir': folder})
    assert status == 0, output[-4000:]
    found = info.inspect(os.fsencode(os.path.join(folder, 'out')), True)
    return {item['name']: item for item in found}, output, before == listing.snapshot(dead_databases.host_root)


def dump_of(bundle):
    return [item for item in bundle['components'] if item['kind'] == 'dump']


def content(bundle):
    with gzip.open(os.path.join(bundle['path'], dump_of(bundle)[0]['file'])) as raw:
        return raw.read()


def test_the_playbook_puts_dumps_beside_the_raw_data(rescued, dead_databases):
    bundles, output, unchanged = rescued
    assert unchanged and output.count('Dump the databases into the bundles') == 1
    assert {item['status'] for item in bundles.values()} == {'verified'} and {item['rescue_status'] for item in bundles.values()} == {'complete'}, bundles
    assert [(name, item['engine'], item['status']) for name in sorted(bundles) for item in dump_of(bundles[name])] == [
        (name, VOLUME[name].split('-')[-2], 'complete') for name in sorted(VOLUME)]
    for name in VOLUME:
        assert {item['kind'] for item in bundles[name]['components']} >= {'config', 'writable', 'image', 'dump'}
    rows = re.search(rb'COPY "public"\."t" \("n"\) FROM stdin;\n(.*?)\\\.\n', content(bundles['pg-volume']), re.DOTALL).group(1).split()
    assert sorted(map(int, rows)) == list(range(len(rows))) and len(rows) > dead_databases.told['pg-volume']
    assert dump_of(bundles['pg-volume'])[0]['rows'] == len(rows)
    with open(os.path.join(bundles['pg-volume']['path'], 'dump', 'postgresql-1.json')) as raw:
        assert json.load(raw)['counts'] == {'postgres.public.t': len(rows)}
    with open(os.path.join(bundles['pg-volume']['path'], 'README.txt')) as raw:
        assert 'untrusted' in raw.read()
    assert content(bundles['redis'])[:5] == b'REDIS'


def load(engine, bundles, name):
    """Load the dumps of a bundle into ENGINE -> name of the image that it has now."""
    options = plan.Options(os.fsencode(bundles[name]['path']), restore=('image', 'dumps'), docker_host='unix://' + engine.socket)
    result = run.restore_all(options)
    assert [(item['volume'], item['compared'], item['errors']) for item in result['dumps']] == [(VOLUME[name], 1, [])], result
    # nothing of the loading is left, and nothing but the volume was made
    assert engine.docker('ps', '-aq').split() == [] and VOLUME[name] in engine.docker('volume', 'ls', '-q').decode().split()
    if SOAK:
        assert not run.restore_all(options)['changed']
    images = engine.docker('image', 'ls', '--format', '{{.Repository}}:{{.Tag}}').decode().split()
    return next(item for item in images if item.startswith('lifeboat/%s:' % name))


def test_dumps_are_loaded_beside_the_raw_data_and_drilled(rescued, dead_databases, start_engine):
    """A fresh server on the new volume has all rows. The drill finds the same, and leaves nothing. One engine for all: each costs."""
    engine = start_engine('debian-overlay2')
    bundles = rescued[0]
    rows = dump_of(bundles['pg-volume'])[0]['rows']
    image = load(engine, bundles, 'pg-volume')
    said = engine.docker('run', '--rm', '--network', 'none', '--user', 'postgres', '-v', VOLUME['pg-volume'] + ':/var/lib/postgresql/data', image,
                         'bash', '-c', '(%s) >/dev/null 2>&1 & export PATH=$PATH:/pg; %s' % (writers.PG, writers.PG_READ))
    assert said.split(b'|')[0].strip() == b'%d' % rows
    if SOAK:
        image = load(engine, bundles, 'redis')
        said = engine.docker('run', '--rm', '--network', 'none', '--user', 'redis', '-v', VOLUME['redis'] + ':/var/lib/redis', image, 'bash', '-c',
                             '(%s >/dev/null) & %s' % (writers.REDIS, writers.REDIS_READ))
        assert int(said.split()[-1]) >= dead_databases.told['redis']
        image = load(engine, bundles, 'my-volume')
        said = engine.docker('run', '--rm', '--network', 'none', '--user', 'mysql', '-v', VOLUME['my-volume'] + ':/var/lib/mysql', image, 'bash', '-c', MARIADB)
        assert int(said.split()[0]) == dump_of(bundles['my-volume'])[0]['rows'] > dead_databases.told['my-volume']
    folder = os.path.dirname(os.path.dirname(os.path.dirname(bundles['redis']['path'])))
    if SOAK:
        status, output = play(folder, 'lifeboat.docker.restore', {
            'restore_path': bundles['pg-volume']['path'], 'restore_remote_src': False, 'restore_restore': ['image', 'dumps'], 'restore_name': 'far',
            'restore_become': False, 'restore_docker_host': 'unix://' + engine.socket})
        assert status == 0 and 'are those of the dead host' in output and b'far-dump-postgresql-1' in engine.docker('volume', 'ls', '-q'), output[-4000:]
    before = everything(engine)
    given = {'drill_path': os.path.join(folder, 'out'), 'drill_docker_host': 'unix://' + engine.socket, 'drill_report_dir': os.path.join(folder, 'drills')}
    status, output = play(folder, 'lifeboat.docker.drill', given)
    assert status == 0 and 'can be restored' in output, output[-4000:]
    assert everything(engine) == before
    state = drilled(folder, rows)
    if SOAK:
        state['hosts']['dead']['pg-volume']['dumps']['postgresql-1']['postgres.public.t'] = rows + 1
        with open(os.path.join(folder, 'drills', 'drill-state.json'), 'w', encoding='utf-8') as raw:
            json.dump(state, raw)
        status, output = play(folder, 'lifeboat.docker.drill', given)
        assert status == 2 and 'has fewer rows than before' in output and format(rows + 1, ',') in output, output[-4000:]
        out_of_bundles(folder, dead_databases)


def everything(engine):
    return [sorted(engine.docker(*words).split()) for words in (('ps', '-aq'), ('volume', 'ls', '-q'), ('image', 'ls', '-q'))]


def drilled(folder, rows):
    """What the drill has left on the controller -> its state."""
    path = os.path.join(folder, 'drills', 'drill-state.json')
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding='utf-8') as raw:
        state = json.load(raw)
    assert state['hosts']['dead']['pg-volume']['dumps'] == {'postgresql-1': {'postgres.public.t': rows}} and set(state['hosts']['dead']) == set(VOLUME)
    with open(os.path.join(folder, 'drills', 'lifeboat-drill.prom'), encoding='utf-8') as raw:
        assert 'lifeboat_drill_host_success{host="dead"} 1' in raw.read()
    with open(os.path.join(folder, 'drills', 'drill-report.html'), encoding='utf-8') as raw:
        assert 'can be restored' in raw.read()
    return state


def out_of_bundles(folder, dead_databases):
    """Of a disk that is failing: it is read once, the dump comes out of the bundle. The drill does the same with a bundle without dumps."""
    status, output = play(folder, 'lifeboat.docker.rescue', {
        'rescue_host_root': dead_databases.host_root, 'rescue_dest': os.path.join(folder, 'out3'), 'rescue_store_on': 'controller', 'rescue_become': False,
        'rescue_containers': ['pg-volume', 'still'], 'rescue_dumps': True, 'rescue_dumps_from': 'bundle', 'rescue_compression': 'gzip',
        'rescue_host_name': 'dead', 'rescue_report_dir': os.path.join(folder, 'reports3'), 'rescue_dump_scratch_dir': folder})
    assert status == 0, output[-4000:]
    found = glob.glob(os.path.join(folder, 'out3', 'dead', 'pg-volume-*.dumps', 'postgresql-1.sql.gz'))
    with gzip.open(found[0]) as raw:
        rows = re.search(rb'COPY "public"\."t" \("n"\) FROM stdin;\n(.*?)\\\.\n', raw.read(), re.DOTALL).group(1).split()
    assert len(rows) > dead_databases.told['pg-volume']
    given = {'drill_path': os.path.join(folder, 'out3'), 'drill_docker_host': 'unix:///nowhere', 'drill_report_dir': os.path.join(folder, 'drills3'),
             'drill_without_dumps': True, 'drill_scratch_dir': folder}
    status, output = play(folder, 'lifeboat.docker.drill', given)
    assert status == 0 and 'can be restored' in output, output[-4000:]
    with open(os.path.join(folder, 'drills3', 'drill-state.json'), encoding='utf-8') as raw:
        assert json.load(raw)['hosts']['dead'].keys() == {'pg-volume'}
