"""A walk that is shared with a second process gives what it gives alone."""
import os
import signal

import pytest

from ansible_collections.lifeboat.docker.plugins.module_utils.databases import detector as databases
from ansible_collections.lifeboat.docker.plugins.module_utils.usage import ahead, parallel, walk as usage


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda dummy: {0, 1})
    for number in range(60):
        folder = tmp_path / ('d%02d' % number) / 'a' / 'b'
        folder.mkdir(parents=True)
        for name, size in (('file', 100 + number), ('picture.jpg', 5000), ('x.pyc', 7), ('data.db', 512)):
            (folder / name).write_bytes(b'x' * size)
            os.utime(str(folder / name), (1600000000 + 1000 * number + size,) * 2)     # no two alike
    # counted where it is met first, which may be either place: so neither is among the largest or the newest
    (tmp_path / 'd03' / 'a' / 'linked').write_bytes(b'123')
    os.utime(str(tmp_path / 'd03' / 'a' / 'linked'), (1500000000,) * 2)
    os.link(str(tmp_path / 'd03' / 'a' / 'linked'), str(tmp_path / 'd04' / 'a' / 'again'))
    os.link(str(tmp_path / 'd03' / 'a' / 'linked'), str(tmp_path / 'd04' / 'a' / 'and again'))
    (tmp_path / 'd41' / 'repository' / 'objects').mkdir(parents=True)
    (tmp_path / 'd41' / 'repository' / 'refs').mkdir()
    (tmp_path / 'd41' / 'repository' / 'HEAD').write_text('ref: refs/heads/main\n')
    (tmp_path / 'd41' / 'repository' / 'config').write_text('[core]\n\tbare = true\n')
    (tmp_path / 'd43' / 'app.sqlite3').write_bytes((b'SQLite format 3\0\x10\0\1\1\0\x40\x20\x20' + bytes(4096))[:4096])
    (tmp_path / 'd42' / os.fsdecode(b'bad \xff name')).mkdir()
    (tmp_path / 'top').write_bytes(b'1')
    return os.fsencode(str(tmp_path))


def both(place, **options):
    def run(helper):
        trace = usage.Trace()
        found = usage.scan_folder(place, detector=databases.Detector(), trace=trace, helper=helper, **options)
        return found, sorted(prefix for prefix, dummy in trace.folders), sorted(trace.newest)
    return run(False), run(True)


def test_the_same_result(place):
    alone, shared = both(place)
    assert shared == alone
    assert alone[0].files == 247 and {'git', 'sqlite'} <= {one.engine for one in alone[0].databases}


def test_the_second_process_really_works(place, monkeypatch):
    come = []
    real = ahead.Shared.counted
    monkeypatch.setattr(ahead.Shared, 'counted', lambda self: (come.append(1), real(self))[1])
    # ours waits until there is something
    monkeypatch.setattr(ahead.Shared, '_ready', lambda self: True)
    alone, shared = both(place)
    assert shared == alone and len(come) > 60


@pytest.mark.parametrize('frames', [0, 1, 2, 17, 100])
def test_it_is_killed(place, monkeypatch, frames):
    """Whatever it had done by then, nothing is missing and nothing is counted twice."""
    left = [frames]
    real = parallel.send

    def send(into, raw):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        real(into, raw)

    monkeypatch.setattr(parallel, 'send', send)
    alone, shared = both(place)
    assert shared == alone


def test_no_second_process_can_be_had(place, monkeypatch):
    def fork():
        raise OSError(11, 'no')

    monkeypatch.setattr(os, 'fork', fork)
    alone, shared = both(place)
    assert shared == alone


def test_a_folder_that_cannot_be_read(place, monkeypatch):
    real = ahead.Unopened.opened

    def opened(self):
        if self._name == b'a' and self._parent._name == b'd07':
            raise OSError(5, 'Input/output error')
        return real(self)

    monkeypatch.setattr(ahead.Unopened, 'opened', opened)
    monkeypatch.setattr(ahead.Shared, '_mine', lambda self: iter(()))
    shared = usage.scan_folder(place, helper=True)
    assert shared.failures_total == 1 and shared.failures == ['/d07/a: Input/output error'] and not shared.complete


def test_a_limit(place):
    shared = usage.scan_folder(place, helper=True, limits={'scan_max_files': 20})
    assert shared.cut == 'scan_max_files' and not shared.complete and shared.files < 247
