"""The audit of a fleet of real engines by its playbook: two that live, one that was killed while databases wrote, one killed
and then damaged, a machine without Docker, and one that does not answer.

Host by host, every form of the report has the same numbers, and they are those that the engines told while they lived.
"""
import base64
import calendar
import csv
import gzip
import html
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Dict, NamedTuple

import pytest
from rig import listing, scenario, writers

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STATES = {'overlay2': 'healthy', 'containerd': 'healthy', 'killed': 'daemon_dead', 'wrong': 'daemon_dead', 'bare': 'no_docker', 'gone': 'unreachable'}
ALIVE = {'overlay2': 'debian-overlay2', 'containerd': 'newer-containerd'}
SECRET = scenario.SECRET
# container: what is done to it on the damaged host
HURT = ('shop-tty', 'shop-web-2', 'shop-hostile', 'shop-paused', 'shop-db-1')


class Fleet(NamedTuple):
    reports: str                        # folder
    output: str                         # of ansible-playbook
    report: Dict[str, Any]              # report.json
    hosts: Dict[str, Any]               # its hosts by name
    sizes: Dict[str, Dict[str, int]]    # host: {container: bytes of its layer, as the engine told}
    volumes: Dict[str, Dict[str, int]]  # host: {volume: bytes, as the engine told}
    killed: Any                         # writers.Killed
    differences: Dict[str, Any]         # host: what the audit changed on its disk
    shop_ids: Dict[str, str]            # name: id, of the damaged host


def _fill(engine):
    """An ordinary host: one container that does all as it should, and one with data in its layer and an anonymous volume."""
    engine.docker('import', '-', 'base:1', stdin=scenario.base_tar())
    bounded = ('--network', 'none', '--log-opt', 'max-size=1m', '-e', 'API_TOKEN=' + SECRET, '--label', 'secret=' + SECRET)
    engine.docker('run', '--name', 'good', *bounded, '-v', 'good-data:/data', 'base:1', 'sh', '-c', 'head -c 123456 /dev/zero > /data/file')
    engine.docker('run', '-d', '--name', 'careless', '-v', '/uploads', *bounded, 'base:1', 'sh', '-c',
                  'mkdir /data/in; head -c 3000017 /dev/zero > /data/in/a; echo b > /data/in/b; ln /data/in/b /data/in/c; head -c 70001 /dev/zero '
                  '> /uploads/u; echo done; exec sleep 100000')
    engine.docker('volume', 'create', 'spare')
    until = time.monotonic() + 120
    while b'done' not in engine.docker('logs', 'careless'):
        assert time.monotonic() < until
        time.sleep(0.05)


def _hurt(root):
    """Damage of every sort on a copy of the shop's disk."""
    ids = {name: item['inspect']['Id'] for name, item in root.truth['containers'].items()}

    def place(*parts):
        return os.path.join(root.data_root, *parts)

    def upper(name):
        return os.path.join(root.host_root, root.truth['containers'][name]['inspect']['GraphDriver']['Data']['UpperDir'].lstrip('/'))

    def cut(path):
        os.truncate(path, os.path.getsize(path) // 2)
    cut(place('containers', ids['shop-tty'], 'config.v2.json'))
    shutil.rmtree(os.path.dirname(upper('shop-web-2')))
    unreadable = place('containers', ids['shop-hostile'], 'config.v2.json')
    os.unlink(unreadable)
    os.symlink('config.v2.json', unreadable)            # a loop: nobody can open it
    open(place('containers', ids['shop-paused'], 'hostconfig.json'), 'w').close()
    shutil.rmtree(place('volumes', 'shop-db', '_data'))
    cut(place('volumes', 'metadata.db'))
    cut(place('image', 'overlay2', 'repositories.json'))


@pytest.fixture(scope='module')
def fleet(start_engine_once, dead_databases, dead_root_of, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp('audit'))
    shop = dead_root_of('debian-overlay2')
    wrong = shop.copy(os.path.join(shop.scratch, 'audited-copy'))
    try:
        _hurt(wrong)
        roots = {'killed': dead_databases.host_root, 'wrong': wrong.host_root, 'bare': os.path.join(folder, 'bare')}
        os.makedirs(os.path.join(roots['bare'], 'etc'))
        sizes = {'killed': {name: item.get('SizeRw', 0) for name, item in dead_databases.containers.items()},
                 'wrong': {name: item['inspect'].get('SizeRw', 0) for name, item in shop.truth['containers'].items()}}
        volumes = {'killed': _volumes(dead_databases.usage), 'wrong': {}}
        for name, kind in ALIVE.items():
            engine = start_engine_once(kind)
            _fill(engine)
            roots[name] = engine.host_root
            sizes[name] = {item['Names'][0].lstrip('/'): item.get('SizeRw', 0)
                           for item in engine.api('GET', '/containers/json', all='true', size='true')}
            volumes[name] = _volumes(engine.api('GET', '/system/df'))
        before = {name: listing.snapshot(roots[name]) for name in ('killed', 'wrong')}
        reports, output = _audit(folder, roots)
        differences = {name: listing.differences(state, listing.snapshot(roots[name])) for name, state in before.items()}
    finally:
        shutil.rmtree(wrong.host_root)
    with open(os.path.join(reports, 'report.json'), encoding='utf-8') as found:
        report = json.load(found)
    return Fleet(reports, output, report, {one['host']: one for one in report['hosts']}, sizes, volumes, dead_databases, differences,
                 {name: item['inspect']['Id'] for name, item in shop.truth['containers'].items()})


def _volumes(usage):
    return {item['Name']: item['UsageData']['Size'] for item in usage['Volumes']}


def _audit(folder, roots):
    """(folder of the reports, output) of lifeboat.docker.audit, as a person would run it."""
    collections = os.path.join(folder, 'collections')
    os.makedirs(os.path.join(collections, 'ansible_collections', 'lifeboat'))
    os.symlink(COLLECTION, os.path.join(collections, 'ansible_collections', 'lifeboat', 'docker'))
    hosts = {name: {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable, 'audit_host_root': root}
             for name, root in roots.items()}
    hosts['gone'] = {'ansible_connection': 'ssh', 'ansible_host': '127.0.0.1', 'ansible_port': 1, 'ansible_ssh_common_args': '-o ConnectTimeout=2'}
    with open(os.path.join(folder, 'hosts.json'), 'w', encoding='utf-8') as target:
        json.dump({'all': {'hosts': hosts}}, target)
    reports = os.path.join(folder, 'reports')
    programs = os.path.dirname(sys.executable)
    done = subprocess.run(
        [os.path.join(programs, 'ansible-playbook'), '-i', os.path.join(folder, 'hosts.json'), 'lifeboat.docker.audit', '-e', 'audit_report_dir=' + reports,
         '-e', 'audit_become=false'], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
        env={'PATH': programs + ':/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': folder, 'LC_ALL': 'C.UTF-8', 'ANSIBLE_COLLECTIONS_PATH': collections,
             'ANSIBLE_LOCAL_TEMP': os.path.join(folder, 'tmp'), 'ANSIBLE_NOCOLOR': '1', 'ANSIBLE_LOCALHOST_WARNING': '0',
             'ANSIBLE_HOST_KEY_CHECKING': '0', 'ANSIBLE_DEPRECATION_WARNINGS': '0', 'PYTHONDONTWRITEBYTECODE': '1'})
    output = done.stdout.decode('utf-8', 'replace')
    # ssh to a closed port is unreachable, which the play bears
    assert done.returncode == 0, output[-3000:]
    return reports, output


def _read(fleet, name):
    with open(os.path.join(fleet.reports, name), encoding='utf-8', newline='') as found:
        return found.read()


def _rows_of_page(page):
    plain = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    packed = re.search(r'id="packed">(.*?)</script>', page, re.DOTALL)
    return json.loads(plain.group(1) if plain else gzip.decompress(base64.b64decode(packed.group(1))))


def _seconds(moment):
    return calendar.timegm(time.strptime(moment, '%Y-%m-%dT%H:%M:%SZ'))


def _human(size):
    """Bytes as the reports write them; a second way to it, so that theirs is compared with something."""
    if size < 1000:
        return '%d B' % size
    for unit in ('KiB', 'MiB', 'GiB'):
        size /= 1024.0
        if size < 1000:
            return ('%.0f %s' if size >= 100 else '%.1f %s') % (size, unit)
    raise AssertionError('the rig is not that large')


def _upper_files(folder):
    """(bytes, names) of what is no folder in a layer: hard links once, deletions not at all."""
    total, names, seen = 0, 0, set()
    for where, dummy, files in os.walk(folder):
        for name in files:
            st = os.lstat(os.path.join(where, name))
            names += 1
            if st.st_ino not in seen:
                seen.add(st.st_ino)
                total += st.st_size
    return total, names


# -- states ------------------------------------------------------------------------------------------------------------------


def test_states_are_distinct_and_what_is_not_known_is_not_zero(fleet):
    assert {name: one['state'] for name, one in fleet.hosts.items()} == STATES
    assert len({fleet.hosts[name]['message'] for name in ('bare', 'gone')}) == 2
    rows = list(csv.DictReader(_read(fleet, 'report.csv').splitlines()))
    page = _rows_of_page(_read(fleet, 'report.html'))
    prom, markdown = _read(fleet, 'lifeboat.prom'), _read(fleet, 'report.md')
    for name, state in STATES.items():
        assert 'lifeboat_audit_host_state{host="%s",state="%s"} 1\n' % (name, state) in prom
        row, = (row for row in rows if row['kind'] == 'host' and row['host'] == name)
        shown = page['hosts'][[one['host'] for one in fleet.report['hosts']].index(name)]
        assert row['state'] == shown['state'] == state
        if name in ('bare', 'gone'):
            assert fleet.hosts[name]['totals'] is None and fleet.hosts[name]['message'] == row['message'] == shown['message']
            assert [value for key, value in row.items() if key not in ('kind', 'host', 'name', 'state', 'message')] == [''] * (len(row) - 5)
            assert {value for key, value in shown.items() if key not in ('host', 'state', 'text', 'message')} == {None}
            assert 'lifeboat_audit_host_success{host="%s"} 0\n' % name in prom
            assert not re.search(r'lifeboat_audit_host_\w*(bytes|containers|databases|volumes|findings|objects)\{host="%s"' % name, prom)
            assert re.search(r'^- %s: ' % name, markdown, re.MULTILINE)
        else:
            assert 'lifeboat_audit_host_success{host="%s"} 1\n' % name in prom
        assert 'lifeboat_audit_scan_timestamp_seconds{host="%s"} %d\n' % (name, _seconds(fleet.hosts[name]['finished'])) in prom
    assert 'lifeboat_audit_report_timestamp_seconds %d\n' % _seconds(fleet.report['generated']) in prom
    assert '4 of 6 hosts audited' in ' '.join(fleet.output.split())
    assert '**Not audited: 2 of 6 hosts**' in markdown
    assert (fleet.report['totals']['hosts'], fleet.report['totals']['hosts_audited']) == (6, 4)
    for state in ('healthy', 'daemon_dead', 'offline', 'no_docker', 'unreachable', 'failed'):
        number = list(STATES.values()).count(state)
        assert fleet.report['totals']['states'][state] == number and 'lifeboat_audit_fleet_hosts{state="%s"} %d\n' % (state, number) in prom


# -- the same numbers everywhere ---------------------------------------------------------------------------------------------


SUMS = {'containers': 'containers', 'writable_bytes': 'writable_bytes', 'unheld_bytes': 'at_risk_bytes', 'unheld_databases': 'databases_at_risk',
        'volume_bytes': 'volume_bytes', 'orphan_volumes': 'orphan_volumes', 'log_bytes': 'log_bytes', 'incomplete_objects': 'incomplete',
        'failed_rules': 'failed_rules'}


def test_the_numbers_of_each_host_are_the_same_in_every_form(fleet):
    rows = list(csv.DictReader(_read(fleet, 'report.csv').splitlines()))
    prom = dict(line.rsplit(' ', 1) for line in _read(fleet, 'lifeboat.prom').splitlines() if not line.startswith('#'))
    table = _rows_of_page(_read(fleet, 'report.html'))
    markdown = _read(fleet, 'report.md')
    seen = 0
    for index, one in enumerate(fleet.report['hosts']):
        name, totals = one['host'], one['totals']
        if not totals:
            continue
        counts = totals['findings']
        mine = [row for row in rows if row['host'] == name]
        row, shown = mine[0], table['hosts'][index]
        assert int(row['at_risk_bytes']) == shown['at_risk'] == totals['at_risk_bytes'] == sum(
            int(item['at_risk_bytes'] or 0) for item in mine[1:]), name
        assert int(row['bytes']) == totals['writable_bytes'] + totals['volume_bytes']
        assert int(row['data_bytes']) == totals['data_bytes'] and int(row['log_bytes']) == shown['logs'] == totals['log_bytes']
        assert row['complete'] == ('no' if totals['incomplete'] else 'yes')
        assert row['findings'] == ', '.join('%d %s' % (counts[key], key) for key in ('critical', 'warning', 'info') if counts[key])
        assert (shown['critical'], shown['warning'], shown['containers'], shown['volumes']) == (
            counts['critical'], counts['warning'], totals['containers'], totals['volume_bytes'])
        for metric, key in SUMS.items():
            assert int(prom['lifeboat_audit_host_%s{host="%s"}' % (metric, name)]) == totals[key], (name, metric)
        for severity in ('critical', 'warning', 'info'):
            assert int(prom['lifeboat_audit_host_findings{host="%s",severity="%s"}' % (name, severity)]) == counts[severity] == sum(
                item['severity'] == severity and 'suppressed' not in item for item in one['findings'])
        line, = (line for line in markdown.splitlines() if line.startswith('| %s |' % name))
        assert [cell.strip() for cell in line.strip('|').split('|')][2:] == [str(counts['critical']), str(counts['warning']), _human(totals['at_risk_bytes'])]
        seen += _objects_of_a_host(one, mine[1:], table, index)
    assert seen > 40
    totals = fleet.report['totals']
    for metric, key in SUMS.items():
        assert int(prom['lifeboat_audit_fleet_' + metric]) == totals[key]
    for severity, number in totals['findings'].items():
        assert severity == 'suppressed' or int(prom['lifeboat_audit_fleet_findings{severity="%s"}' % severity]) == number
    engines = {re.search('"(.*)"', name).group(1): int(value) for name, value in prom.items() if 'fleet_unheld_engine_bytes' in name}
    assert engines == {name: entry['at_risk_bytes'] for name, entry in fleet.report['engines'].items()}
    counts, lines = totals['findings'], markdown.splitlines()
    assert lines[2] == '%s of data on 4 audited hosts is held by no volume, including %d databases.' % (
        _human(totals['at_risk_bytes']), totals['databases_at_risk'])
    assert lines[4] == '%d critical, %d warning, %d info. %s.' % (counts['critical'], counts['warning'], counts['info'], fleet.report['generated'])
    assert '**Critical, the largest 10 of %d**' % counts['critical'] in lines
    critical = [(one['host'], found) for one in fleet.report['hosts'] for found in one['findings'] if found['severity'] == 'critical']
    told = lines[lines.index('**Critical, the largest 10 of %d**' % counts['critical']) + 2:]
    sentences = {re.sub(r'\\(.)', r'\1', line) for line in told if line}
    assert len(sentences) == 10 and sentences < {'- %s: %s %s' % (host, found['message'], found['consequence']) for host, found in critical}


def _sums(containers, volumes, layers, findings):
    """The totals of a host, counted anew from its rows."""
    anonymous = [row for row in volumes if row['anonymous'] and not row['orphan']]
    orphans = [row for row in volumes if row['orphan']]
    inside = [one for row in containers for one in row['databases'] if one['where'] == 'writable']
    loose = inside + [one for row in anonymous + orphans + layers for one in row['databases']]
    every = inside + [one for row in volumes + layers for one in row['databases']]
    loose, every = ([one for one in found if one['kind'] == 'database'] for found in (loose, every))
    return {
        'containers': len(containers), 'containers_with_data': len([row for row in containers if row['data_bytes']]),
        'writable_bytes': sum(row['writable_bytes'] for row in containers), 'data_bytes': sum(row['data_bytes'] for row in containers),
        'volumes': len(volumes), 'volume_bytes': sum(row['bytes'] for row in volumes), 'anonymous_volumes': len(anonymous),
        'anonymous_bytes': sum(row['at_risk_bytes'] for row in anonymous), 'orphan_volumes': len(orphans),
        'orphan_volume_bytes': sum(row['at_risk_bytes'] for row in orphans), 'orphan_layers': len(layers),
        'orphan_layer_bytes': sum(row['at_risk_bytes'] for row in layers), 'log_bytes': sum(row['log_bytes'] for row in containers),
        'databases': len(every), 'databases_at_risk': len(loose), 'database_at_risk_bytes': sum(one['bytes'] for one in loose),
        'at_risk_bytes': sum(row['at_risk_bytes'] for row in containers + volumes + layers),
        'incomplete': len([row for row in containers + volumes + layers if not row['complete']]), 'failed_rules': 0,
        'findings': {key: len([one for one in findings if one['severity'] == key]) for key in ('critical', 'warning', 'info')}}


def test_totals_are_the_sums_of_the_rows(fleet):
    total = {}
    for one in fleet.report['hosts']:
        if one['totals']:
            expected = _sums(one['containers'], one['volumes'], one['layers'], one['findings'])
            expected['findings']['suppressed'] = 0
            assert one['totals'] == expected, one['host']
            assert sum(entry['at_risk_bytes'] for entry in one['engines'].values()) == expected['at_risk_bytes']
            for key, value in expected.items():
                total.setdefault(key, []).append(value)
    findings = total.pop('findings')
    for key, values in total.items():
        assert fleet.report['totals'][key] == sum(values), key
    assert fleet.report['totals']['findings'] == {key: sum(one[key] for one in findings) for key in findings[0]}
    for name, entry in fleet.report['engines'].items():
        mine = [one['engines'][name] for one in fleet.report['hosts'] if name in one['engines']]
        assert (entry['at_risk'], entry['at_risk_bytes']) == (sum(one['at_risk'] for one in mine), sum(one['at_risk_bytes'] for one in mine)), name


def _objects_of_a_host(record, rows, table, index):
    """Row by row: containers, volumes, layers and findings of one host. -> how many were compared"""
    kinds = {'container': record['containers'], 'volume': record['volumes'], 'layer': record['layers']}
    assert [row['kind'] for row in rows] == [kind for kind, items in kinds.items() for dummy in items]
    lines = {'container': iter([line for line in table['containers'] if line[0] == index])}
    lines['volume'] = lines['layer'] = iter([line for line in table['volumes'] if line[0] == index])
    items = [item for items in kinds.values() for item in items]
    for row, item in zip(rows, items):
        line, kind = next(lines[row['kind']]), row['kind']
        assert row['name'] == line[1] == (item.get('name') or item['path'])
        assert row['findings'].split() == item['findings'] and row['severity'] == (item['severity'] or '')
        assert [table['codes'][code] for code in line[11 if kind == 'container' else 9]] == item['findings']
        assert row['databases'] == '; '.join('%s %s (%s)' % (one['label'], one['path'], one['where']) for one in item['databases'])
        worst = line[10 if kind == 'container' else 8]
        assert item['severity'] == (None if worst is None else table['severities'][worst])
        size = item['writable_bytes' if kind == 'container' else 'bytes']
        if kind == 'container':
            assert line[7] == item['log_bytes'] == int(row['log_bytes'])
        if not item['counted']:
            assert size == item['files'] == item['at_risk_bytes'] == 0
            assert row['bytes'] == row['at_risk_bytes'] == '' and line[5 if kind == 'container' else 3] is None
            continue
        assert (int(row['bytes']), int(row['files']), int(row['at_risk_bytes'])) == (size, item['files'], item['at_risk_bytes'])
        assert (row['complete'] == 'yes') == item['complete'] == line[12 if kind == 'container' else 10]
        if kind == 'container':
            assert (line[5], line[6]) == (item['data_bytes'], size) == (int(row['data_bytes']), int(row['bytes']))
        else:
            assert (line[3], line[4]) == (size, item['files'])
    found = [line for line in table['findings'] if line[0] == index]
    assert [(table['codes'][line[2]], table['severities'][line[1]]) + tuple(line[3:9]) for line in found] == [
        tuple(one[key] for key in ('code', 'severity', 'object', 'bytes', 'message', 'consequence', 'remedy', 'next_step')) for one in record['findings']]
    return len(items) + len(found)


def test_the_page_shows_these_numbers(fleet):
    page = _read(fleet, 'report.html')
    totals = fleet.report['totals']
    figures = {html.unescape(title): html.unescape(value) for title, value in re.findall(r'<dt>(.*?)</dt><dd[^>]*>(.*?)<span', page)}
    assert figures == {'Held by no volume': _human(totals['at_risk_bytes']), 'Databases in it': str(totals['databases_at_risk']),
                       'Critical findings': str(totals['findings']['critical']), 'Hosts audited': '4 of 6'}
    bars = dict(re.findall(r'data-show="host:(\w+)".*?<span class="much">(.*?)</span>', page))
    assert bars == {name: _human(one['totals']['at_risk_bytes']) for name, one in fleet.hosts.items() if one['totals']}
    assert '2 hosts could not be audited' in page


def test_a_browser_shows_them_too(fleet):
    """The table of hosts as Chromium draws it."""
    lacking = [name for name in ('chromium', 'chromedriver') if not shutil.which(name)]
    if lacking:
        if os.environ.get('CI'):
            pytest.fail('not installed, and in CI it has to be: %s' % ', '.join(lacking))
        pytest.skip('not installed: %s' % ', '.join(lacking))
    spec = importlib.util.spec_from_file_location('browser', os.path.join(COLLECTION, 'tests/integration/targets/role_audit/browser.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    browser = module.Browser()
    try:
        browser.load(os.path.join(fleet.reports, 'report.html'))
        browser.click('[role=tab][data-table=hosts]')
        drawn = browser.js('return [...document.querySelectorAll("#body tr.row")].map((row) => [...row.cells].map((cell) => cell.innerText))')
    finally:
        browser.close()
    rows = {cells[0].strip(): [cell.replace('\xa0', ' ').strip() for cell in cells] for cells in drawn}
    assert set(rows) == set(STATES)
    for name, one in fleet.hosts.items():
        if one['totals']:
            totals = one['totals']
            assert rows[name][2:] == [_human(totals['at_risk_bytes']), str(totals['findings']['critical']), str(totals['findings']['warning']),
                                      str(totals['containers']), _human(totals['volume_bytes']), _human(totals['log_bytes'])], name
        else:
            assert not re.search(r'\d+ (B|KiB)|^0$', ' '.join(rows[name][2:])) and one['message'] in rows[name][1]


# -- the numbers are true ----------------------------------------------------------------------------------------------------


def _containers(fleet, host):
    return {row['name']: row for row in fleet.hosts[host]['containers']}


def _volumes_of(fleet, host):
    return {row['name']: row for row in fleet.hosts[host]['volumes']}


@pytest.mark.parametrize('host', sorted(ALIVE))
def test_what_a_living_engine_tells(fleet, host):
    rows = _containers(fleet, host)
    assert set(rows) == set(fleet.sizes[host]) == {'good', 'careless'}
    if host == 'overlay2':
        assert {name: row['writable_bytes'] for name, row in rows.items()} == fleet.sizes[host]
    else:                               # blocks, and folders
        assert all(0 < row['writable_bytes'] < fleet.sizes[host][name] for name, row in rows.items() if name == 'careless')
    assert rows['careless']['writable_bytes'] == rows['careless']['at_risk_bytes'] == 3000017 + 2 and rows['careless']['files'] == 3
    assert rows['good']['writable_bytes'] == rows['good']['at_risk_bytes'] == 0
    assert {name: row['bytes'] for name, row in _volumes_of(fleet, host).items()} == fleet.volumes[host]
    totals = fleet.hosts[host]['totals']
    assert totals['at_risk_bytes'] == 3000019 + 70001 and totals['volume_bytes'] == 123456 + 70001
    assert (totals['databases'], totals['findings']['critical']) == (0, 0)
    codes = {(one['code'], one['object']) for one in fleet.hosts[host]['findings'] if one['severity'] != 'info'}
    assert codes == {('ANON_VOLUME', 'careless'), ('UNMOUNTED_VOLUME_PATH', 'careless')}
    assert ('ORPHAN_VOLUME', 'spare') not in codes              # it is empty


def test_what_the_killed_engine_told(fleet):
    rows, killed = _containers(fleet, 'killed'), fleet.killed
    assert set(rows) == set(fleet.sizes['killed'])
    still = rows[writers.STILL]
    assert still['writable_bytes'] == fleet.sizes['killed'][writers.STILL] == sum(writers.STILL_FILES.values())
    added = [change for change in killed.changes if change['Kind'] == 1 and os.path.isfile(os.path.join(killed.uppers[writers.STILL], change['Path'][1:]))]
    assert still['files'] == len(added) == len(writers.STILL_FILES) + 1     # /tmp/done
    assert still['at_risk_bytes'] == still['data_bytes'] == sum(writers.STILL_FILES.values())
    with open(os.path.join(killed.data_root, 'containers', still['id'], still['id'] + '-json.log'), 'rb') as log:
        assert sum(1 for dummy in log) == writers.STILL_LOG_LINES and still['log_bytes'] == log.tell()
    # the others went on to write until the end: what lies on the disk, and no less than what was told a moment before
    for name, row in rows.items():
        size, files = _upper_files(killed.uppers[name])
        assert (row['writable_bytes'], row['files']) == (size, files), name
        assert size > fleet.sizes['killed'][name] - 100, name       # the small files in /tmp are written anew all the time
    volumes = _volumes_of(fleet, 'killed')
    assert set(volumes) == set(fleet.volumes['killed']) and len(volumes) == 3
    for name, row in volumes.items():
        assert row['anonymous'] and row['used_by'] in ([writers.STILL], ['pg-volume'], ['my-volume'])
        folder = os.path.join(killed.data_root, 'volumes', name, '_data')
        assert (row['bytes'], row['files']) == _upper_files(folder)
        if row['used_by'] == [writers.STILL]:
            assert row['bytes'] == fleet.volumes['killed'][name] == row['at_risk_bytes'] == writers.STILL_ANONYMOUS
    totals = fleet.hosts['killed']['totals']
    assert totals['writable_bytes'] == sum(_upper_files(upper)[0] for upper in killed.uppers.values())
    assert (totals['anonymous_volumes'], totals['orphan_volumes'], totals['databases'], totals['databases_at_risk']) == (3, 0, 6, 6)


def test_databases_of_the_killed_engine(fleet):
    rows = _containers(fleet, 'killed')
    engines = {name: [one['engine'] for one in row['databases'] if one['where'] == 'writable'] for name, row in rows.items()}
    assert engines == {'pg-layer': ['postgresql'], 'pg-volume': [], 'my-layer': ['mariadb'], 'my-volume': [], 'redis': ['redis'], 'sqlite': ['sqlite'],
                       writers.STILL: []}
    for name, engine in (('pg-volume', 'postgresql'), ('my-volume', 'mariadb')):
        held, = (row for row in fleet.hosts['killed']['volumes'] if row['used_by'] == [name])
        assert [one['engine'] for one in held['databases']] == [engine] and held['databases'][0]['clean_shutdown'] is False
    found = {(one['code'], one['object'], one['severity']) for one in fleet.hosts['killed']['findings']}
    for name in ('pg-layer', 'my-layer', 'redis', 'sqlite'):
        assert ('DB_IN_WRITABLE_LAYER', name, 'critical') in found
    assert {('ANON_VOLUME', 'pg-volume', 'critical'), ('ANON_VOLUME', 'my-volume', 'critical')} <= found and ('ANON_VOLUME', writers.STILL, 'warning') in found
    assert {one for one in found if one[0] == 'LOG_UNBOUNDED'} == {('LOG_UNBOUNDED', name, 'info') for name in rows}
    assert not [one for one in found if one[1] == writers.STILL and one[2] == 'critical']


def test_the_damaged_host_is_told_in_full(fleet):
    """Everything that is not hurt has the engine's numbers; what is hurt is named; nothing vanishes."""
    rows, said = _containers(fleet, 'wrong'), fleet.sizes['wrong']
    names = set(said)
    for name in names - set(HURT):
        assert rows[name]['writable_bytes'] == said[name], name
    found = {(one['code'], one['object'], one['severity']) for one in fleet.hosts['wrong']['findings']}
    by_id = {row['id']: row for row in rows.values()}
    assert set(by_id) == set(fleet.shop_ids.values())
    for name in ('shop-tty', 'shop-hostile', 'shop-web-2', 'shop-paused'):
        row = by_id[fleet.shop_ids[name]]
        assert ('DAMAGED_METADATA', row['name'], 'critical') in found, name
        if name == 'shop-web-2':
            assert not row['counted'] and row['status'] in ('lost', 'partial')
        else:
            assert row['writable_bytes'] == said[name], name
    assert ('DAMAGED_METADATA', 'shop-db', 'critical') in found
    assert ('AUTOREMOVE', 'shop-once', 'warning') in found and ('ORPHAN_VOLUME', 'shop-orphan', 'info') in found
    assert not _volumes_of(fleet, 'wrong')['shop-db']['counted']


# -- what must not be there --------------------------------------------------------------------------------------------------


def test_secrets_are_nowhere(fleet):
    seen = 0
    for folder, dummy, files in os.walk(fleet.reports):
        for name in files:
            with open(os.path.join(folder, name), 'rb') as found:
                content = found.read()
            assert content and SECRET.encode() not in content, name
            seen += 1
    assert seen == 5 + len(STATES) + 1                          # forms, records, the sums
    assert SECRET not in json.dumps(_rows_of_page(_read(fleet, 'report.html'))) and SECRET not in fleet.output


def test_the_audit_leaves_the_disks_as_they_were(fleet):
    assert fleet.differences == {'killed': [], 'wrong': []}
