"""large.py COLLECTION HOSTS FOLDER: FOLDER/report.html of a made-up fleet, 21 containers on each host.

The facts are made up, the rules are the role's. The pictures in docs/images are of 30 such hosts:
browser.py FOLDER/report.html docs/images
"""
import copy
import datetime
import os
import random
import sys

COLLECTION, HOSTS, FOLDER = sys.argv[1], int(sys.argv[2]), sys.argv[3]
sys.path[:0] = [os.path.join(COLLECTION, 'tests', 'unit', 'plugins', 'filter'), COLLECTION.rpartition('/ansible_collections/')[0]]
import auditdata as data  # noqa: E402

from ansible_collections.lifeboat.docker.plugins.plugin_utils import records, reports, reports_html  # noqa: E402

NOW = datetime.datetime(2026, 6, 1, 3, 17, tzinfo=datetime.timezone.utc)
ROLES, SITES = ('web', 'db', 'app', 'ci'), ('fra.example.org', 'nyc.example.org', 'sin.example.org')
PROJECTS, SERVICES = ('shop', 'billing', 'crm', 'wiki', 'intranet'), ('web', 'api', 'worker', 'db', 'cache', 'proxy')
ENGINES = (('postgresql', 'PostgreSQL', '15', '/var/lib/postgresql/data'), ('mariadb', 'MariaDB', '10.11.6', '/var/lib/mysql'),
           ('redis', 'Redis', '7.0.15', '/data/dump.rdb'), ('sqlite', 'SQLite', '3.40.1', '/srv/app/app.db'), ('mongodb', 'MongoDB', None, '/data/db'),
           ('rabbitmq', 'RabbitMQ', None, '/var/lib/rabbitmq/mnesia'), ('prometheus', 'Prometheus', None, '/prometheus'))


def size(dice, most):
    return int(most * dice.random() ** 6) + dice.randrange(5000)


def host(dice):
    """The result of docker_layer_facts."""
    containers, volumes = [], []
    for number in range(21):
        project, service = dice.choice(PROJECTS), dice.choice(SERVICES)
        one = data.container('%s-%s-%d' % (project, service, number), size(dice, 3 << 30), created='2026-0%d-11T08:00:00Z' % dice.randint(1, 5),
                             image={'id': 'sha256:' + '1' * 64, 'reference': '%s/%s:%d' % (project, service, dice.randint(1, 9))},
                             labels={'com.docker.compose.project': project, 'com.docker.compose.service': service})
        one['id'] = '%064x' % dice.getrandbits(256)
        kind = dice.random()
        engine, title, version, path = dice.choice(ENGINES)
        found = data.database(engine, title, version, path, size(dice, 20 << 30), single_file=path.endswith(('.db', '.rdb')))
        if kind < 0.05:
            one['databases'].append(found)
            one['usage']['bytes'] += found['bytes']
            one['usage']['data_bytes'] += found['bytes']
        elif kind < 0.3:
            anonymous = kind > 0.27
            name = '%064x' % dice.getrandbits(256) if anonymous else '%s_%s' % (project, service)
            folder = os.path.dirname(path) if found['single_file'] else path
            one['mounts'].append(data.mount(name, folder, anonymous))
            volumes.append(data.volume(name, found['bytes'], used_by=[one['id']], anonymous=anonymous,
                                       databases=[dict(found, where=None, path=path[len(folder):] or '/')]))
        if kind > 0.9:
            one['log'] = {'driver': 'json-file', 'files': [], 'bytes': size(dice, 9 << 30), 'max_size': None}
        one['auto_remove'] = kind > 0.985
        containers.append(one)
    for number in range(dice.choice((0, 0, 1, 2))):
        volumes.append(data.volume('old_%s_%d' % (dice.choice(PROJECTS), number), size(dice, 2 << 30), used_by=()))
    return data.result(data.facts(containers, volumes, daemon='stopped' if dice.random() < 0.04 else 'running'))


def main():
    dice = random.Random(7)
    rules = data.builtin_rules()
    ignore = [{'code': 'LOG_UNBOUNDED', 'host': 'ci*', 'reason': 'builders are made anew each week', 'until': '2026-12-31'}]
    kept = []
    for number in range(HOSTS):
        name = '%s%03d.%s' % (dice.choice(ROLES), number, dice.choice(SITES))
        facts = {'unreachable': True, 'msg': 'Connection timed out.'} if number % 29 == 28 else host(dice)
        kept.append(reports.host_record(facts, rules, name, ignore, '2026-06-01T03:16:40Z', NOW))
    # reports of a month, with less and less at risk
    final = reports.summary_of(reports.fleet(kept, [], NOW))
    history = []
    for days in range(30, 0, -1):
        past = copy.deepcopy(final)
        past['generated'] = records.timestamp(NOW - datetime.timedelta(days=days))
        factor = 1 + 0.9 * (days / 30) ** 2 + dice.uniform(-0.04, 0.04)
        past['totals']['at_risk_bytes'] = int(past['totals']['at_risk_bytes'] * factor)
        past['totals']['findings']['critical'] = int(past['totals']['findings']['critical'] * factor)
        history.append(past)
    report = reports.fleet(kept, history, NOW, 'Docker data audit')
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, 'report.html'), 'w', encoding='utf-8') as stream:
        stream.write(reports_html.as_html(report))
    print('%d hosts, %d containers, %d findings' % (len(report['hosts']), report['totals']['containers'], sum(len(one['findings']) for one in kept)))


if __name__ == '__main__':
    main()
