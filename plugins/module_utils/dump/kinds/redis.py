"""Redis and Valkey: the image's own server loads the append-only files or the dump file, and writes one dump file of what it has."""
import os
import re
import time
from typing import Any, Dict, List

from ...formats.values import count_of
from ..room import Refused, Room
from ..target import Kind, Target, picked, refuse_other_version

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
KEYS = re.compile(r'(db[0-9]{1,9}):keys=([0-9]{1,18})(?![0-9])')
MAGIC = re.compile(br'(?:REDIS|VALKEY)\d{3,4}')


def dump(room: Room, target: Target) -> Dict[str, Any]:
    folder, name = os.path.split(target.path)
    append = name == APPEND_FOLDER or name.endswith(b'.aof')
    if QUOTED.search(os.fsdecode(folder)) or not NAME.match(os.fsdecode(name)):
        raise Refused('DUMP_SERVER_FAILED', 'the name of its folder or file cannot be written in a configuration')
    folder = room.adopt(folder)
    room.environment.update(picked(target.environment, 'PATH', 'LD_LIBRARY_PATH', 'TZ'))
    names = [target.engine] if target.other_image else ['redis', 'valkey', 'keydb']
    program, client = [room.program(['%s-%s' % (name, what) for name in names]) for what in ('server', 'cli')]
    if target.other_image:
        refuse_other_version(target, room.call([program, '--version'])[1], 1)
    config = room.write('redis.conf', CONFIG % (SOCKET, folder, 'yes' if append else 'no', 'none.rdb' if append else os.fsdecode(name),
                                                os.fsdecode(name) if append and name != APPEND_FOLDER else 'appendonly.aof'))
    ask = [client, '-s', SOCKET]
    began = time.monotonic()
    server = room.start([program, config])
    room.ready(server, lambda: room.call(ask + ['ping'])[1].strip() == b'PONG')
    marks = ['ready after %.1f s' % (time.monotonic() - began)] + (['append-only files were loaded'] if append else [])
    status, said = room.call(ask + ['info'])
    info = dict(line.split(':', 1) for line in said.decode('utf-8', 'replace').splitlines() if ':' in line)
    partial = [] if status == 0 and 'connected_clients' in info else ['its keys could not be counted']
    counts = {}
    for line in said.decode('utf-8', 'replace').splitlines():
        found = KEYS.match(line)
        if found:
            counts[found.group(1)] = int(found.group(2))
    # those that it passed over in a dump file, and those that it has deleted since
    expired = sum(count_of(info.get(name, '')) or 0 for name in ('rdb_last_load_keys_expired', 'expired_keys'))
    if expired:
        marks.append('keys whose time had run out, which every server deletes when it starts: %d' % expired)
    out = os.path.join(folder, OUT)
    if room.call(ask + ['--rdb', out])[0]:
        raise Refused('DUMP_SERVER_FAILED', 'the server did not write its dump file')
    end = Watch()
    room.out_file(os.fsencode(out), end.take)
    if not end.whole():
        partial.append('the dump file of the server has no end')
    room.stop(server)
    return {'version': info.get('redis_version') or info.get('valkey_version', ''), 'counts': counts, 'marks': marks, 'partial': partial}


class Watch(object):
    """Looks at an RDB file while it passes: it begins with its magic, and ends with the opcode EOF and a checksum of 8 bytes."""

    def __init__(self) -> None:
        self._head = self._tail = b''

    def take(self, data: bytes) -> None:
        self._head = (self._head + data)[:9] if len(self._head) < 9 else self._head
        self._tail = (self._tail + data)[-9:]

    def whole(self) -> bool:
        """Whether it was one."""
        return bool(MAGIC.match(self._head)) and self._tail[:1] == b'\xff' and len(self._tail) == 9


def choose(paths: List[str]) -> List[str]:
    """One path for each server: its append-only files, if it has them, hold more than its dump file."""
    folders = {os.path.dirname(path) for path in paths if os.path.basename(path) == os.fsdecode(APPEND_FOLDER)}
    files = {os.path.dirname(path) for path in paths if path.endswith('.aof')}
    return [path for path in paths if os.path.basename(path) == os.fsdecode(APPEND_FOLDER) or os.path.dirname(path) not in folders and (
        path.endswith('.aof') or os.path.dirname(path) not in files)]


KIND = Kind(('redis', 'valkey'), '.rdb', dump, extra=1.0, proven=True, choose=choose, other_image=True, beside=True)
