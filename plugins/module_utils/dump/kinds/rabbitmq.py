"""RabbitMQ: the image's own server recovers its tables in the view, and its own tool exports the definitions: virtual hosts, users, queues,
exchanges, bindings, policies and parameters. Messages are not among them.

A node finds its data only under its old name. Of the configuration of the image nothing is used; no plugin runs.
"""
import json
import os
import re
import time
from typing import Any, Dict, List

from ..room import Refused, Room
from ..target import Kind, Target, picked
from ..viewfiles import opened

FOLDERS = ('/opt/rabbitmq/sbin', '/usr/lib/rabbitmq/bin', '/opt/bitnami/rabbitmq/sbin')
NAME = re.compile(r'[A-Za-z0-9_-]{1,64}@([A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,20})\Z')
PLACE = '/run/lifeboat/'
OUT, PID = '/tmp/lifeboat-definitions.json', '/tmp/lifeboat.pid'
MAX_DEFINITIONS = 64 << 20              # bytes that are looked into
MAX_FLAGS = 1 << 20
# a lone node of a cluster starts without the others when this file is there, as after rabbitmqctl force_boot
FORCE = 'force_load'
# the virtual machine of Erlang reserves 1 GiB for literals, else
ERLANG = '+S 1:1 +MIscs 128'
COUNT = ('{length(rabbit_vhost:list_names()), length(rabbit_auth_backend_internal:list_users()), length(rabbit_amqqueue:list()), '
         'lists:sum([M || Q <- rabbit_amqqueue:list(), {messages, M} <- rabbit_amqqueue:info(Q, [messages])])}.')
COUNTED = re.compile(br'\{%b\}' % br',\s*'.join([br'([0-9]{1,18})'] * 4))
LISTS = ('vhosts', 'users', 'queues', 'exchanges', 'bindings', 'permissions', 'policies', 'parameters')


def dump(room: Room, target: Target) -> Dict[str, Any]:
    name = os.fsdecode(os.path.basename(target.path))
    found = NAME.match(name)
    if not found:
        raise Refused('DUMP_SERVER_FAILED', 'its folder has not the name of a node (NAME@HOST), so that the old name is not known')
    folder = room.adopt(target.path)
    _environment(room, target, folder, name, found.group(1))
    server_program, tool = room.program(['rabbitmq-server'], FOLDERS), room.program(['rabbitmqctl'], FOLDERS)
    marks = _members(folder)
    room.fork(lambda: os.close(os.open(os.path.join(folder, FORCE), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)))
    began = time.monotonic()
    server = room.start([server_program])
    room.ready(server, lambda: room.call([tool, '-q', 'wait', PID, '--timeout', '30'])[0] == 0)
    marks.append('ready after %.1f s' % (time.monotonic() - began))
    said = room.call([tool, '-q', 'eval', COUNT])[1]
    if room.call([tool, '-q', 'export_definitions', OUT])[0]:
        raise Refused('DUMP_SERVER_FAILED', 'it did not export its definitions: see the log')
    taken = bytearray()
    room.out_file(os.fsencode(OUT), lambda piece: taken.extend(piece) if len(taken) <= MAX_DEFINITIONS else None)
    room.stop(server)
    return judged(bytes(taken), said, marks, target.verify)


def _environment(room: Room, target: Target, folder: str, name: str, host: str) -> None:
    """What the node is told: its old name, whose host is this machine's loopback, and files of ours in the place of every one that it would read."""
    room.environment.update(picked(target.environment, 'PATH', 'LD_LIBRARY_PATH', 'TZ'))
    resolver = room.write('inetrc', '{host, {127,0,0,1}, ["%s", "localhost"]}.\n{lookup, [file]}.\n' % host)
    config = room.write('rabbitmq.conf', 'listeners.tcp = none\nlog.console = true\nlog.console.level = warning\n')
    plugins = room.write('enabled_plugins', '[].\n')
    flags = room.write('feature_flags', _flags(target.path + b'-feature_flags'))
    os.chown(flags, *room.owner)
    room.environment.update(
        ERL_INETRC=resolver, RABBITMQ_NODENAME=name, RABBITMQ_USE_LONGNAME='true' if '.' in host else 'false', RABBITMQ_MNESIA_DIR=folder,
        RABBITMQ_MNESIA_BASE='/tmp', RABBITMQ_FEATURE_FLAGS_FILE=flags, RABBITMQ_CONFIG_FILE=config, RABBITMQ_CONFIG_FILES=PLACE + 'none',
        RABBITMQ_ADVANCED_CONFIG_FILE=PLACE + 'none.config', RABBITMQ_CONF_ENV_FILE=PLACE + 'none.env', RABBITMQ_ENABLED_PLUGINS_FILE=plugins,
        RABBITMQ_PLUGINS_EXPAND_DIR='/tmp/lifeboat-plugins', RABBITMQ_LOG_BASE='/tmp', RABBITMQ_LOGS='-', RABBITMQ_PID_FILE=PID,
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=ERLANG, RABBITMQ_CTL_ERL_ARGS=ERLANG, LC_ALL='C.UTF-8')


def _flags(path: bytes) -> str:
    """The list of feature flags beside the folder; '' where there is none."""
    return _head(path).decode('utf-8', 'replace')


def _members(folder: str) -> List[str]:
    nodes = _head(os.fsencode(os.path.join(folder, 'cluster_nodes.config'))).split(b']')[0].count(b'@')
    return ['one of %d nodes of a cluster, started without the others' % nodes] if nodes > 1 else []


def _head(path: bytes) -> bytes:
    """b'' where there is no such file."""
    try:
        with opened(path) as raw:
            return raw.read(MAX_FLAGS)
    except (OSError, ValueError):
        return b''


def judged(content: bytes, said: bytes, marks: List[str], verify: bool) -> Dict[str, Any]:
    """What the driver returns for definitions with this CONTENT; SAID: what the server answered to COUNT."""
    partial = []
    try:
        found = json.loads(content.decode('utf-8'))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        found, partial = {}, ['the definitions are no JSON that ends, or have more than %d MiB' % (MAX_DEFINITIONS >> 20)]
    counts = {name: len(found[name]) for name in LISTS if isinstance(found.get(name), list)}
    answer = COUNTED.search(said)
    if answer is None:
        partial.append('its virtual hosts, users, queues and messages could not be counted')
    else:
        number = [int(each) for each in answer.groups()]
        for name, expected in zip(('vhosts', 'users', 'queues'), number):
            if verify and counts.get(name, 0) != expected:
                partial.append('%d of %d %s are in it' % (counts.get(name, 0), expected, name))
        if number[3]:
            partial.append('messages are not in it: %d were in its queues' % number[3])
    return {'version': str(found.get('rabbit_version') or found.get('rabbitmq_version') or '')[:100], 'counts': counts if verify else {}, 'marks': marks,
            'partial': partial}


KIND = Kind(('rabbitmq',), '.definitions.json', dump)
