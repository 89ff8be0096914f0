"""check.py FOLDER RUN COLLECTION: what the playbook must have written."""
import base64
import csv
import glob
import gzip
import json
import os
import re
import sys

WORK, RUN, COLLECTION = sys.argv[1:4]
SECRETS = ('hunter2', 's3cr3t')         # values of environment variables that tests/fixtures/deadcontent.py uses
STATES = {'healthy': 'healthy', 'containerd': 'healthy', 'dead': 'daemon_dead', 'wrong': 'daemon_dead', 'nodocker': 'no_docker',
          'gone': 'unreachable', 'broken': 'failed'}


def read(*parts):                       # below WORK, unless the first is absolute
    with open(os.path.join(WORK, *parts), encoding='utf-8', newline='') as stream:
        return stream.read()


def report(folder='reports'):
    return json.loads(read(folder, 'report.json'))


def rows_of_page(page):
    plain = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    if plain:
        return json.loads(plain.group(1))
    return json.loads(gzip.decompress(base64.b64decode(re.search(r'id="packed">(.*?)</script>', page, re.DOTALL).group(1))))


def first():
    found = report()
    hosts = {one['host']: one for one in found['hosts']}
    assert {name: one['state'] for name, one in hosts.items()} == STATES
    assert found['title'] == 'Audit of the test fleet'
    for name in ('nodocker', 'gone', 'broken'):
        assert hosts[name]['totals'] is None and hosts[name]['message'], name
    assert 'mount the root file system' in hosts['broken']['message']

    def codes(host, severity=None):
        return {(one['code'], one['object']) for one in hosts[host]['findings'] if severity in (None, one['severity'])}
    wrong = codes('wrong')
    for expected in (('DB_IN_WRITABLE_LAYER', 'worker-0005'), ('DB_IN_WRITABLE_LAYER', 'db'), ('ORPHAN_VOLUME', 'spare-0001'),
                     ('LOG_UNBOUNDED', 'worker-0006'), ('AUTOREMOVE', 'once'), ('ANON_VOLUME', 'web'), ('UNMOUNTED_VOLUME_PATH', 'web'),
                     ('DEAD_CONTAINER', 'half-gone'), ('CREATED_ONLY', 'job'), ('UNCLEAN_DATABASE', 'worker-0005')):
        assert expected in wrong, (expected, wrong)
    assert ('LOG_UNBOUNDED', 'once') not in wrong           # its rule is switched off
    row = next(one for one in hosts['wrong']['containers'] if one['name'] == 'worker-0005')
    engines = {one['engine'] for one in row['databases']}
    assert engines == {'mariadb', 'sqlite'}, engines
    spare = next(one for one in hosts['wrong']['volumes'] if one['name'] == 'spare-0001')
    assert [(one['engine'], one['version'], one['path']) for one in spare['databases']] == [('postgresql', '15', '/18/docker')]
    assert next(one for one in hosts['wrong']['containers'] if one['name'] == 'worker-0006')['log_bytes'] == 10 << 30
    job = next(one for one in hosts['healthy']['containers'] if one['name'] == 'job')
    assert job['writable_bytes'] == 0 and job['severity'] == 'info' and job['findings'] == ['CREATED_ONLY']
    suppressed = {(one['code'], one['object']): one['suppressed'] for name in ('wrong', 'healthy') for one in hosts[name]['findings']
                  if 'suppressed' in one}
    assert suppressed[('UNMOUNTED_VOLUME_PATH', 'web')]['by'] == 'label'
    assert suppressed[('ORPHAN_VOLUME', 'spare-0000')]['reason'] == 'kept until the new server runs'

    # the same numbers everywhere
    rows = list(csv.DictReader(read('reports', 'report.csv').splitlines()))
    prom = dict(line.rsplit(' ', 1) for line in read('reports', 'lifeboat.prom').splitlines() if not line.startswith('#'))
    page = read('reports', 'report.html')
    table = rows_of_page(page)
    for index, one in enumerate(found['hosts']):
        line = next(row for row in rows if row['kind'] == 'host' and row['host'] == one['host'])
        if one['totals'] is None:
            assert line['at_risk_bytes'] == '' and table['hosts'][index]['at_risk'] is None
            assert 'lifeboat_audit_host_unheld_bytes{host="%s"}' % one['host'] not in prom
            continue
        size = one['totals']['at_risk_bytes']
        assert size == int(line['at_risk_bytes']) == table['hosts'][index]['at_risk'] == int(
            prom['lifeboat_audit_host_unheld_bytes{host="%s"}' % one['host']])
        assert size == sum(int(row['at_risk_bytes']) for row in rows if row['host'] == one['host'] and row['kind'] != 'host')
    counts = found['totals']['findings']
    for severity in ('critical', 'warning', 'info'):
        assert int(prom['lifeboat_audit_fleet_findings{severity="%s"}' % severity]) == counts[severity]
    assert '%d critical, %d warning' % (counts['critical'], counts['warning']) in read('reports', 'report.md')
    assert '4 of 7' in page and 'could not be audited' in page

    # what alerts and dashboard ask for is there
    metrics = {name.partition('{')[0] for name in prom}
    for name in ('prometheus-alerts.yml', 'grafana-dashboard.json'):
        asked = set(re.findall(r'\blifeboat_audit_\w+', read(COLLECTION, 'docs', 'examples', name)))
        assert asked and asked <= metrics, (name, asked - metrics)

    # nothing secret, and files that nobody else reads
    for path in glob.glob(os.path.join(WORK, 'reports', '**'), recursive=True) + [os.path.join(WORK, 'first.log')]:
        if os.path.isfile(path):
            content = read(path)
            assert not any(secret in content for secret in SECRETS), path
            assert path.endswith(('.prom', '.log')) or os.stat(path).st_mode & 0o077 == 0, path
    assert not any(secret in json.dumps(table) for secret in SECRETS)
    stats = read('first.log')
    assert '4 of 7 hosts audited' in ' '.join(stats.split())


def merged():
    found = report()
    assert {one['host']: one['state'] for one in found['hosts']} == STATES
    assert [point['hosts_audited'] for point in found['trend']] == [4]
    assert len(os.listdir(os.path.join(WORK, 'reports', 'hosts', 'dead'))) == 2


def gone():
    found = report('gone')
    assert found['totals']['hosts'] == 1 and found['totals']['hosts_audited'] == 0
    assert 'None of 1 hosts could be audited' in read('gone', 'report.md')


def ruled():
    hosts = {one['host']: one for one in report('ruled')['hosts']}
    whole = {one['host']: one for one in report()['hosts']}
    sentence = 'Rule STALE_PID failed on the facts of dead: length() got null where it takes string or array or object.'
    assert {name: one['message'] for name, one in hosts.items()} == {'dead': sentence, 'healthy': None}
    for name in hosts:
        assert hosts[name]['state'] == STATES[name]
        numbers = [[(row['name'], row['writable_bytes'], row['at_risk_bytes'], row['databases']) for row in one['containers']]
                   for one in (hosts[name], whole[name])]
        assert numbers[0] == numbers[1] and numbers[0], name
    failed = [one for one in hosts['dead']['findings'] if one['code'] == 'RULE_FAILED']
    assert [(one['severity'], one['message']) for one in failed] == [('critical', sentence)]
    assert sentence in [row['message'] for row in csv.DictReader(read('ruled', 'report.csv').splitlines())]
    assert 'lifeboat_audit_host_failed_rules{host="dead"} 1\n' in read('ruled', 'lifeboat.prom')
    assert '1 rule failed' in read('ruled', 'report.html') and 'Rules that failed: 1' in read('ruled', 'report.md')


{'first': first, 'merged': merged, 'gone': gone, 'ruled': ruled}[RUN]()
print('%s: as expected' % RUN)
