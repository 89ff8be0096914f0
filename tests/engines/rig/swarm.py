"""A swarm of one manager on a private engine: services, networks, secrets and configs of many shapes, and what the engine says of them."""
import json
import os
import time

from . import scenario
from .common import run
from .engine import Engine

ADDRESS, FIRST, SECOND = '127.0.0.1', '10.99.0.1', '10.99.0.2'
STABLE = 60                             # seconds until the manager has written what it had to
STACK = '''
version: "3.8"
services:
  web:
    image: %(base)s
    command: ["sh", "-c", "echo $$HOME; sleep 600"]
    environment: ["TOKEN=p$$1", "EMPTY="]
    labels: {tier: front}
    networks: {back: {aliases: [www]}, wide: {}}
    volumes:
      - data:/data
      - {type: bind, source: /srv, target: /x, read_only: true}
      - {type: tmpfs, target: /t, tmpfs: {size: 1048576}}
    secrets: [{source: pw, target: password, uid: "7", gid: "8", mode: 0400}, loose]
    configs: [{source: site, target: /etc/site}]
    healthcheck: {test: [CMD, "true"], interval: 30s, timeout: 5s, retries: 3, start_period: 1m}
    extra_hosts: ["db:10.0.0.5"]
    dns: [1.1.1.1]
    stop_grace_period: 7s
    logging: {driver: json-file, options: {max-size: 1m}}
    ports: [{target: 80, published: 8080, protocol: tcp, mode: host}]
    deploy:
      replicas: 2
      labels: {owner: me}
      update_config: {parallelism: 2, delay: 3s, order: start-first, failure_action: rollback, monitor: 9s, max_failure_ratio: 0.25}
      rollback_config: {parallelism: 1}
      restart_policy: {condition: on-failure, delay: 3s, max_attempts: 2, window: 30s}
      resources: {limits: {cpus: "0.5", memory: 64M}, reservations: {memory: 16M}}
      placement: {constraints: ["node.role==worker"], preferences: [{spread: node.labels.rack}], max_replicas_per_node: 1}
  agent:
    image: %(base)s
    deploy: {mode: global, placement: {constraints: ["node.labels.none==x"]}}
networks:
  back: {driver: overlay, attachable: true, driver_opts: {encrypted: "true"}, labels: {of: stack}}
  wide: {external: true, name: wide}
volumes:
  data: {labels: {kept: "yes"}}
secrets:
  pw: {file: ./pw}
  loose: {external: true}
configs:
  site: {file: ./site}
'''


class Truth:
    """What the engine said before it died: lists of the API, by name; `secrets` and `configs` also as bytes."""

    def __init__(self, engine):
        def said(path):
            return engine.api('GET', path)
        self.services, self.secret_list, self.config_list = said('/services'), said('/secrets'), said('/configs')
        self.networks = [said('/networks/%s' % item['Id']) for item in said('/networks') if item['Scope'] == 'swarm']
        self.nodes, self.cluster = said('/nodes'), said('/swarm')
        self.info = said('/info')['Swarm']


def engine(kind):
    """An engine with an image, and no swarm yet."""
    made = Engine(kind).start()
    made.docker('import', '-c', 'CMD ["/bin/sh"]', '-', scenario.BASE, stdin=scenario.base_tar())
    return made


def joined(one, other, role):
    """Link the namespaces of two engines, make ONE the manager of a new swarm, and let OTHER join it as ROLE; with a service on both."""
    run(['ip', 'link', 'add', 'lbswarm0', 'netns', str(one.pid), 'type', 'veth', 'peer', 'name', 'lbswarm1', 'netns', str(other.pid)])
    for each, name, address in ((one, 'lbswarm0', FIRST), (other, 'lbswarm1', SECOND)):
        run(['nsenter', '--target', str(each.pid), '--net', 'sh', '-ec', 'ip addr add %s/24 dev %s; ip link set %s up' % (address, name, name)])
    one.docker('swarm', 'init', '--advertise-addr', FIRST)
    one.docker('secret', 'create', 'shared', '-', stdin=b'one for all')
    token = one.docker('swarm', 'join-token', '-q', role).decode().strip()
    other.docker('swarm', 'join', '--advertise-addr', SECOND, '--token', token, FIRST + ':2377')
    one.docker('service', 'create', '-d', '--no-resolve-image', '--name', 'everywhere', '--mode', 'global', '--network', 'host', scenario.BASE, 'sleep', '600')
    deadline = time.monotonic() + STABLE
    while not other.docker('ps', '-aq') and time.monotonic() < deadline:
        time.sleep(0.5)
    settled(one)


def start(kind, *, snapshots=False, autolock=False):
    """(engine, unlock key or ''): an engine that is the manager of a new swarm."""
    made = engine(kind)
    words = ['--advertise-addr', ADDRESS, '--listen-addr', ADDRESS + ':2377', '--default-addr-pool', '10.77.0.0/16']
    if snapshots:
        words += ['--snapshot-interval', '20']
    made.docker('swarm', 'init', *words)
    key = ''
    if autolock:
        made.docker('swarm', 'update', '--autolock=true')
        key = made.docker('swarm', 'unlock-key', '-q').decode().strip()
    return made, key


def fill(made):
    """Make objects of every kind, change some and remove some."""
    folder = made.outside('/srv/app')
    os.makedirs(folder)
    for name, content in (('stack.yml', STACK % {'base': scenario.BASE}), ('pw', 'hunter2\n'), ('site', 'server {}\n')):
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as stream:
            stream.write(content)
    made.docker('network', 'create', '-d', 'overlay', '--subnet', '10.66.0.0/24', '--gateway', '10.66.0.9', '--attachable', '--label', 'a=b', 'wide')
    made.docker('secret', 'create', '--label', 'k=v', 'loose', '-', stdin=bytes(range(256)))
    made.docker('secret', 'create', 'gone', '-', stdin=b'x')
    made.docker('config', 'create', '--label', 'k=v w', 'conf', '-', stdin=b'a config\n')
    made.docker('stack', 'deploy', '--resolve-image', 'never', '-c', '/srv/app/stack.yml', 'shop')
    made.docker('service', 'create', '-d', '--no-resolve-image', '--name', 'alone', '--network', 'wide', '--secret', 'source=loose,target=/k,mode=0400',
                '--config', 'source=conf,target=/c', '--env', 'A=1', '--user', '7:8', '--group', '9', '--workdir', '/srv', '--hostname', 'h1',
                '--mount', 'type=volume,src=vol,dst=/v,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs', '--read-only', '--init',
                '--limit-pids', '33', '--sysctl', 'net.core.somaxconn=99', '--cap-add', 'CAP_NET_ADMIN', '--ulimit', 'nofile=10:20',
                '--stop-signal', 'SIGINT', '--endpoint-mode', 'dnsrr', '--container-label', 'c=l', '--label', 'l=1', '--replicas', '0', '--tty',
                scenario.BASE, 'sleep', '99')
    made.docker('service', 'update', '-d', '--no-resolve-image', '--env-add', 'B=two', '--label-rm', 'l', 'alone')
    made.docker('service', 'create', '-d', '--no-resolve-image', '--name', 'removed', '--replicas', '0', scenario.BASE)
    made.docker('service', 'rm', 'removed')
    made.docker('secret', 'rm', 'gone')
    made.docker('node', 'update', '--label-add', 'rack=r1', made.docker('info', '-f', '{{.Swarm.NodeID}}').decode().strip())


def settled(made):
    """The Truth, when the services do not change any more."""
    last, deadline = None, time.monotonic() + STABLE
    while time.monotonic() < deadline:
        truth = Truth(made)
        now = json.dumps([truth.services, truth.networks], sort_keys=True)
        if now == last:
            return truth
        last = now
        time.sleep(1)
    return truth


def deployed(made, folder):
    """Run create.sh and deploy the stack files of FOLDER (on this machine) on the manager MADE -> its Truth."""
    place = made.outside('/srv/again')
    run(['cp', '-a', folder, place])
    run(made.enter('sh', '-ec', 'cd /srv/again; sh create.sh; docker stack deploy --resolve-image never -c stack-shop.yml shop; '
                   'docker stack deploy --resolve-image never -c stack.yml rest'))
    return Truth(made)
