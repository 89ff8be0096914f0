"""A swarm of one manager on a private engine: services, networks, secrets and configs of many shapes, and what the engine says of them."""
import json
import os
import time

from . import scenario
from .common import run
from .engine import Engine

ADDRESS = '127.0.0.1'
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


def start(kind, *, snapshots=False, autolock=False):
    """(engine, unlock key or ''): an engine that is the manager of a new swarm."""
    engine = Engine(kind).start()
    engine.docker('import', '-c', 'CMD ["/bin/sh"]', '-', scenario.BASE, stdin=scenario.base_tar())
    words = ['--advertise-addr', ADDRESS, '--listen-addr', ADDRESS + ':2377', '--default-addr-pool', '10.77.0.0/16']
    if snapshots:
        words += ['--snapshot-interval', '20']
    engine.docker('swarm', 'init', *words)
    key = ''
    if autolock:
        engine.docker('swarm', 'update', '--autolock=true')
        key = engine.docker('swarm', 'unlock-key', '-q').decode().strip()
    return engine, key


def fill(engine):
    """Make objects of every kind, change some and remove some."""
    folder = engine.outside('/srv/app')
    os.makedirs(folder)
    for name, content in (('stack.yml', STACK % {'base': scenario.BASE}), ('pw', 'hunter2\n'), ('site', 'server {}\n')):
        with open(os.path.join(folder, name), 'w', encoding='utf-8') as stream:
            stream.write(content)
    engine.docker('network', 'create', '-d', 'overlay', '--subnet', '10.66.0.0/24', '--gateway', '10.66.0.9', '--attachable', '--label', 'a=b', 'wide')
    engine.docker('secret', 'create', '--label', 'k=v', 'loose', '-', stdin=bytes(range(256)))
    engine.docker('secret', 'create', 'gone', '-', stdin=b'x')
    engine.docker('config', 'create', '--label', 'k=v w', 'conf', '-', stdin=b'a config\n')
    engine.docker('stack', 'deploy', '--resolve-image', 'never', '-c', '/srv/app/stack.yml', 'shop')
    engine.docker('service', 'create', '-d', '--no-resolve-image', '--name', 'alone', '--network', 'wide', '--secret', 'source=loose,target=/k,mode=0400',
                  '--config', 'source=conf,target=/c', '--env', 'A=1', '--user', '7:8', '--group', '9', '--workdir', '/srv', '--hostname', 'h1',
                  '--mount', 'type=volume,src=vol,dst=/v,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs', '--read-only', '--init',
                  '--limit-pids', '33', '--sysctl', 'net.core.somaxconn=99', '--cap-add', 'CAP_NET_ADMIN', '--ulimit', 'nofile=10:20',
                  '--stop-signal', 'SIGINT', '--endpoint-mode', 'dnsrr', '--container-label', 'c=l', '--label', 'l=1', '--replicas', '0', '--tty',
                  scenario.BASE, 'sleep', '99')
    engine.docker('service', 'update', '-d', '--no-resolve-image', '--env-add', 'B=two', '--label-rm', 'l', 'alone')
    engine.docker('service', 'create', '-d', '--no-resolve-image', '--name', 'removed', '--replicas', '0', scenario.BASE)
    engine.docker('service', 'rm', 'removed')
    engine.docker('secret', 'rm', 'gone')
    engine.docker('node', 'update', '--label-add', 'rack=r1', engine.docker('info', '-f', '{{.Swarm.NodeID}}').decode().strip())


def settled(engine):
    """The Truth, when the services do not change any more."""
    last, deadline = None, time.monotonic() + STABLE
    while time.monotonic() < deadline:
        truth = Truth(engine)
        now = json.dumps([truth.services, truth.networks], sort_keys=True)
        if now == last:
            return truth
        last = now
        time.sleep(1)
    return truth


def deployed(engine, folder):
    """Run create.sh and deploy the stack files of FOLDER (on this machine) on the manager ENGINE -> its Truth."""
    place = engine.outside('/srv/again')
    run(['cp', '-a', folder, place])
    run(engine.enter('sh', '-ec', 'cd /srv/again; sh create.sh; docker stack deploy --resolve-image never -c stack-shop.yml shop; '
                     'docker stack deploy --resolve-image never -c stack.yml rest'))
    return Truth(engine)
