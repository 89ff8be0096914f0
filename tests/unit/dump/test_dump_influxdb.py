"""Line protocol of InfluxDB: what is run, what is counted, and what is said to be missing."""
import os

import boltwriter
import pytest
from deadswarm import message

from ansible_collections.lifeboat.docker.plugins.module_utils.dump import room as rooms
from ansible_collections.lifeboat.docker.plugins.module_utils.dump.kinds import influxdb

META = message((5, [message((1, '_internal'), (3, message((1, 'monitor'), (2, 7)))),
                    message((1, 'shop'), (3, [message((1, 'autogen')), message((1, 'week'), (2, 604800))]), (4, [message((1, 'c')), message((1, 'd'))]))]),
               (6, message((1, 'ann'))))
BUCKET = b'0123456789abcdef'
BOLT = {b'bucketsv1': {BUCKET: b'{"name":"sensors\\nx"}', b'fedcba9876543210': b'{', b'../../../../etc': b'{"name":"evil"}'}, b'usersv1': {b'u': b'{}'},
        b'dashboardsv2': {}}


def test_what_version_1_has_beside_its_points():
    assert influxdb._meta_one(META) == {'version': '1', 'partial': ['1 users are not in it', '2 continuous queries are not in it',
                                                                    '1 retention policies have no time limit in it']}
    assert influxdb._meta_one(message((5, message((1, 'b'), (3, message((1, 'autogen'))))))) == {'version': '1', 'partial': []}


def test_buckets_of_version_2_go_by_their_ids():
    found = influxdb._meta_two(boltwriter.encode(BOLT))
    assert found == {'version': '2', 'buckets': [['0123456789abcdef', 'sensors\\nx'], ['fedcba9876543210', '']], 'partial': ['1 users are not in it']}
    assert influxdb._meta_two(boltwriter.encode({b'x': {b'k': b'v'}}))['partial'] == ['it lists no bucket']


def test_lines_are_counted_by_their_place():
    watch = influxdb.Watch(lambda piece: None)
    watch.begin('')
    text = (b'# DDL\nCREATE DATABASE b WITH NAME autogen\n# DML\n# CONTEXT-DATABASE:b\n# CONTEXT-RETENTION-POLICY:autogen\n# writing wal data\n'
            b'm v=1 1\nm v=2 2\n# CONTEXT-DATABASE:b\n# CONTEXT-RETENTION-POLICY:a week\nm v=1 1\n')
    for at in range(len(text)):
        watch.take(text[at:at + 1])
    assert watch.lines == {'b.autogen': 2, 'b."a week"': 1} and watch.whole()
    for dummy in range(9):
        watch.take(b'x' * influxdb.MAX_LINE)
    assert len(watch._rest) == influxdb.MAX_LINE, 'a line without an end is not kept'
    assert not watch.whole()


@pytest.mark.parametrize('said, trouble', [
    ('writing out tsm file data for errors/autogen...complete.', []), ('{"level":"info","msg":"exporting","tsm_dir":"/error"}', []),
    ('writing out wal file data for b/autogen...WARNING: detected deletes in wal file.', ['WARNING: detected deletes in wal file.']),
    ('unable to read /d/1.tsm, skipping: x', ['unable to read /d/1.tsm, skipping: x']),
    ('{"level":"warn","msg":"detected deletes in WAL file"}', ['{"level":"warn","msg":"detected deletes in WAL file"}'])])
def test_what_a_tool_leaves_out_is_heard(said, trouble):
    assert influxdb.troubles(said.encode()) == trouble


class Fake(object):
    """A room whose programs are shell scripts of the test."""
    environment: dict = {}

    def __init__(self, script):
        self.script, self.data, self.calls = script, b'', []

    def adopt(self, path):
        return os.fsdecode(path)

    def fork(self, work):
        work()
        return 0

    def program(self, names, dummy):
        return names[0]

    def out(self, data):
        self.data += data

    def piped(self, argv, dummy, take):
        self.calls.append(argv)
        take(self.script)
        return len(self.calls) - 1, b'corrupt at position 5\n' if len(self.calls) > 1 else b''


def test_each_bucket_is_a_run_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(influxdb, 'FOUND', os.fsencode(str(tmp_path / 'found')))
    boltwriter.write(str(tmp_path / 'influxd.bolt'), BOLT)
    room = Fake(b'm v=1 1\n')
    target = influxdb.Target('influxdb', os.fsencode(str(tmp_path)), '2', {}, 0)
    found = influxdb.dump(room, target)
    assert [call[:5] for call in room.calls] == [['influxd', 'inspect', 'export-lp', '--bucket-id', '0123456789abcdef'],
                                                 ['influxd', 'inspect', 'export-lp', '--bucket-id', 'fedcba9876543210']]
    assert room.data == b'# bucket 0123456789abcdef sensors\\nx\nm v=1 1\n# bucket fedcba9876543210 \nm v=1 1\n'
    assert found['counts'] == {'"sensors\\nx"': 1, '""': 1} and found['version'] == '2'
    assert found['partial'] == ['1 users are not in it', 'the tool ended with status 1 for "": see its log', 'corrupt at position 5']


def test_version_1_is_one_run_and_a_folder_of_neither_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(influxdb, 'FOUND', os.fsencode(str(tmp_path / 'found')))
    target = influxdb.Target('influxdb', os.fsencode(str(tmp_path)), '1', {}, 0)
    with pytest.raises(ValueError, match='neither'):
        influxdb.dump(Fake(b''), target)
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta' / 'meta.db').write_bytes(message((1, 1)))
    room = Fake(b'# CONTEXT-DATABASE:b\n# CONTEXT-RETENTION-POLICY:r\nm v=1 1')
    found = influxdb.dump(room, target)
    assert [call[:2] for call in room.calls] == [['influx_inspect', 'export']]
    assert found['partial'] == ['what the tool wrote ends in the middle of a line']


@pytest.fixture
def room(monkeypatch, tmp_path):
    monkeypatch.setattr(rooms.Room, '_drop', lambda self: None)
    log = os.open(str(tmp_path / 'log'), os.O_RDWR | os.O_CREAT)
    made = rooms.Room(rooms.Limits(10), -1, log)
    made.owner = (os.getuid(), os.getgid())
    made.environment = dict(os.environ)
    yield made
    os.close(log)


@pytest.mark.parametrize('script, status, size', [
    ('head -c 300000 /dev/zero > %s; echo said; echo so >&2', 0, 300000), ('echo said; echo so; exit 3', 3, 0),
    ('echo a > %s; echo said; echo so; echo b > %s', 0, 4)])
def test_what_a_program_writes_into_a_pipe_is_taken(room, tmp_path, script, status, size):
    pipe, taken = str(tmp_path / 'pipe'), bytearray()
    for dummy in range(2):              # the pipe is used again
        del taken[:]
        assert room.piped(['sh', '-c', script.replace('%s', pipe)], pipe, taken.extend) == (status, b'said\nso\n')
        assert len(taken) == size
    assert (tmp_path / 'log').read_bytes() == b'said\nso\n' * 2
