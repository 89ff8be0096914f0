"""Redis and Valkey: the image's own server loads the append-only files or the dump file, and writes one dump file of what it has."""
import os
import re
import time
from typing import Any, Dict, List

from ..room import Refused, Room
from ..target import Kind, Target, picked

SOCKET = '/run/lifeboat/r.sock'
CONFIG = '''port 0
unixsocket %s
dir "%s"
appendonly %s
save ""
protected-mode no
daemonize no
aof-load-truncated yes
dbfilename %s
appendfilename %s
'''
APPEND_FOLDER = b'appendonlydir'        # of Redis 7
OUT = 'lifeboat-dump.rdb'
NAME = re.compile(r'[A-Za-z0-9_.-]{1,200}\Z')
QUOTED = re.compile(r'["\\\n]')


def dump(room: Room, target: Target) -> Dict[str, Any]:
    folder, name = os.path.split(target.path)
    append = name == APPEND_FOLDER or name.endswith(b'.aof')
    if QUOTED.search(os.fsdecode(folder)) or not NAME.match(os.fsdecode(name)):
        raise Refused('DUMP_SERVER_FAILED', 'the name of its folder or file cannot be written in a configuration')
    folder = room.adopt(folder)
    room.environment.update(picked(target.environment, 'PATH', 'LD_LIBRARY_PATH', 'TZ'))
    program, client = room.program(['redis-server', 'valkey-server', 'keydb-server']), room.program(['redis-cli', 'valkey-cli', 'keydb-cli'])
    config = room.write('redis.conf', CONFIG % (SOCKET, folder, 'yes' if append else 'no', 'none.rdb' if append else os.fsdecode(name),
                                                os.fsdecode(name) if append and name != APPEND_FOLDER else 'appendonly.aof'))
    ask = [client, '-s', SOCKET]
    began = time.monotonic()
    server = room.start([program, config])
    room.ready(server, lambda: room.call(ask + ['ping'])[1].strip() == b'PONG')
    marks = ['ready after %.1f s' % (time.monotonic() - began)] + (['append-only files were loaded'] if append else [])
    counts = {}
    for line in room.call(ask + ['info', 'keyspace'])[1].decode('utf-8', 'replace').split('\n'):
        found = re.match(r'(db\d+):keys=(\d+)', line)
        if found:
            counts[found.group(1)] = int(found.group(2))
    version = re.search(r'(?:redis|valkey)_version:([0-9.]+)', room.call(ask + ['info', 'server'])[1].decode('utf-8', 'replace'))
    out = os.path.join(folder, OUT)
    if room.call(ask + ['--rdb', out])[0]:
        raise Refused('DUMP_SERVER_FAILED', 'the server did not write its dump file')
    room.out_file(os.fsencode(out))
    room.stop(server)
    return {'version': version.group(1) if version else '', 'counts': counts, 'marks': marks, 'partial': []}


def choose(paths: List[str]) -> List[str]:
    """One path for each server: its append-only files, if it has them, hold more than its dump file."""
    folders = {os.path.dirname(path) for path in paths if os.path.basename(path) == os.fsdecode(APPEND_FOLDER)}
    files = {os.path.dirname(path) for path in paths if path.endswith('.aof')}
    return [path for path in paths if os.path.basename(path) == os.fsdecode(APPEND_FOLDER) or os.path.dirname(path) not in folders and (
        path.endswith('.aof') or os.path.dirname(path) not in files)]


KIND = Kind(('redis', 'valkey'), '.rdb', dump, extra=1.0, proven=True, choose=choose)
