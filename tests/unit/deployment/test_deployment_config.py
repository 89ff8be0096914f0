"""LIFEBOAT_SOAK: our reading of compose files against `docker-compose config` of Compose 2, if there is one: what it says of every service, read again
without variables, is what we read from the files themselves."""
import json
import os
import shutil
import subprocess

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.deployment import (
    collection,
    door,
    model,
    project,
    service,
)
from ansible_collections.lifeboat.docker.plugins.module_utils.disk.host import HostRoot
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import yamlread
from ansible_collections.lifeboat.docker.plugins.module_utils.formats.variables import nothing_set

FILES = {
    'compose.yaml': '''
name: shop
include: [more/inc.yaml]
x-env: &env
  COMMON: "1"
  TZ: ${TZ_VAR:-Europe/Berlin}
services:
  web:
    image: nginx:${TAG:-1.25}
    command: nginx -g "daemon off;" $$HOME '${QUOTED}'
    entrypoint: ["/e", "${EMPTY-x}", "${EMPTY:-y}", "${NONE:+z}", "${TAG:+${QUOTED}}"]
    environment:
      <<: *env
      A: 1
      B: 1.50
      C: "true"
      D: ~
      E: ${DOLLAR}
      F: "a ${TAG} b $TAG $$TAG"
      G: 0777
      H: 1_000
      J: yes
    env_file: [web.env, {path: ./two.env, required: true}, {path: none.env, required: false}]
    ports: ["80:80", "127.0.0.1:8443:443/tcp", "7000-7002:7000-7002", "53:53/udp", "9000", {target: 99, published: "98", host_ip: 127.0.0.9}, 22:22]
    volumes: [data:/data, ./html:/html:ro, ../up:/up, /abs:/abs:rw, {type: bind, source: ./x, target: /x, read_only: true}, {type: tmpfs, target: /t},
      anon:/anon, /only]
    networks: [front, default]
  two:
    image: "x@sha256:0123456789012345678901234567890123456789012345678901234567890123"
    environment: [K=v=w, "L=with space", M]
    network_mode: host
  three:
    extends: {file: base/base.yaml, service: base}
    environment: {OWN: "1", OVER: own}
    ports: ["2:2"]
  four: {extends: two, command: ["x"], image: four}
volumes: {data: , anon: {name: real-name}}
networks: {front: {external: true}}
''',
    'over.yaml': '''
services:
  web:
    image: nginx:over
    environment: ["A=over", NEW=1]
    ports: ["81:81"]
    volumes: ["other:/data", "more:/more"]
    command: ["over"]
    env_file: three.env
    networks: {back: }
volumes: {other: , more: {external: true, name: really-more}}
networks: {back: }
''',
    'more/inc.yaml': 'services: {inc: {image: "inc:${INC}-${TAG}", volumes: ["./here:/here"], env_file: inc.env}}\n',
    'more/.env': 'INC=inner\nTAG=of-include\n',
    'more/inc.env': 'X=1\n',
    'base/base.yaml': 'services: {base: {image: "b:${TAG}", environment: {BASE: "1", OVER: base}, volumes: ["./rel:/rel"], env_file: b.env, ports: ["1:1"]}}\n',
    'base/b.env': 'BENV=1\nOVER=file\n',
    '.env': 'TAG=2.0\nQUOTED="two words"\nEMPTY=\nDOLLAR=\'p$$w\'\nM=from-env\nD=from-env\n', 'web.env': 'A=0\nWE=x y\nQ="quo ted"\nI=${TAG}\n',
    'two.env': 'A=00\nZ=1\n', 'three.env': 'Z=3\nA=000\n'}


@pytest.mark.soak             # with LIFEBOAT_SOAK
def test_we_read_what_compose_reads(tmp_path):
    program = os.environ.get('LIFEBOAT_COMPOSE') or shutil.which('docker-compose')
    if not program or b'ersion v' not in subprocess.check_output([program, 'version']).replace(b'version 2', b'version v2'):
        pytest.skip('there is no docker-compose of version 2 or newer')
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    base = os.fsencode(str(tmp_path))
    here = door.Door(HostRoot('/'))
    for names in (['compose.yaml'], ['compose.yaml', 'over.yaml']):
        said = json.loads(subprocess.check_output([program] + [word for name in names for word in ('-f', name)] + ['config', '--format', 'json'],
                                                  cwd=str(tmp_path),
                                                  env={'PATH': '/usr/bin:/bin', 'HOME': str(tmp_path)}).decode())
        stack = model.Stack('compose', 'shop', '', str(tmp_path), base, tuple(here.find(name, base) for name in names), project='shop')
        read = project.Reader(collection.Collection(here, set()), stack).project()
        assert read.unread == () and set(read.services) == set(said['services'])
        for name, value in said['services'].items():
            theirs = service.service(service.interpolated(yamlread.loads(json.dumps(value)), nothing_set), '/')
            ours = read.services[name]
            assert dict(ours.from_files, **ours.environment) == theirs.environment, name
            for field in ('image', 'command', 'entrypoint', 'mounts', 'network_mode', 'optional', 'undecided'):
                assert getattr(ours, field) == getattr(theirs, field), (name, field)
            assert sorted(ours.ports) == sorted(theirs.ports) and sorted(ours.networks or ('default',)) == sorted(theirs.networks or ('default',)), name
