"""Lines about a rescue: what they say, and how seldom."""
import json

from ansible_collections.lifeboat.docker.plugins.module_utils.archive import progress

MIB = 1 << 20


class Clock(object):
    now = 0.0

    def __call__(self):
        return self.now


def reading(count):
    made = progress.Progress()
    made.plan(100 * MIB, 3)
    made.bundle(2, 'shop-db')
    made.reading('volume:data', 60 * MIB, lambda: count[0])
    return made


def test_counts_without_being_told():
    count = [0]
    made = reading(count)
    count[0] = 30 * MIB
    assert made.snapshot()['bytes'] == 30 * MIB
    made.done(60 * MIB)
    assert made.snapshot()['bytes'] == 60 * MIB
    json.dumps(made.snapshot())


def test_a_line_when_it_is_due():
    clock, count = Clock(), [0]
    made, teller = reading(count), progress.Teller(5.0, clock)
    lines = []
    for second in range(21):
        clock.now, count[0] = float(second), second * MIB
        lines.append(teller.line(made.snapshot()))
    told = [line for line in lines if line]
    assert len(told) == 4
    assert told[0] == 'reading 2 of 3: shop-db volume:data, 5.0 MiB of 100.0 MiB (5 %), 1.0 MiB/s, 1:35 left'


def test_a_standstill_is_told_seldom():
    clock, count = Clock(), [7 * MIB]
    made, teller = reading(count), progress.Teller(5.0, clock)
    told = 0
    for second in range(200):
        clock.now = float(second)
        told += teller.line(made.snapshot()) is not None
    assert told < 12


def test_never_more_than_all_and_no_division_by_nothing():
    made = progress.Progress()
    assert progress.describe(made.snapshot(), 0.0) == 'looking for containers and volumes'
    made.plan(0, 1)
    made.bundle(1, 'x')
    assert '0 bytes of 0 bytes' in progress.describe(made.snapshot(), 0.0)
    made = reading([10 ** 12])
    assert made.snapshot()['bytes'] == 60 * MIB


def test_a_line_fits_on_the_terminal():
    made = progress.Progress()
    made.plan(200 * MIB, 3)
    made.bundle(3, 'web-364a60f0b04f')
    made.reading('volume:' + '4e8f70edab4c' + 'a1' * 26, 200 * MIB, lambda: 19 * MIB)
    seen = made.snapshot()
    wide = 'reading 3 of 3: web-364a60f0b04f volume:4e8f70edab4c, 19.0 MiB of 200.0 MiB (9 %), 7.9 MiB/s, 0:22 left'
    assert progress.describe(seen, 7.9 * MIB) == progress.describe(seen, 7.9 * MIB, len(wide)) == wide
    for width in range(72, len(wide)):
        line = progress.describe(seen, 7.9 * MIB, width)
        assert len(line) <= width and line.startswith('reading 3/3 web volume:4e')
        assert line.endswith(', 19.0 of 200.0 MiB, 7.9 MiB/s, 0:22 left')
    # on a very narrow one a name can still be told
    assert progress.describe(seen, 7.9 * MIB, 20).startswith('reading 3/3 web volume:4e...,')
    made.reading('volume:shop_db', 200 * MIB, lambda: 19 << 10)
    made.frozen(True)
    assert progress.describe(made.snapshot(), 0.0, 66) == 'reading 3/3 web volume:shop_db (frozen), 19.0 KiB of 200.0 MiB'


def test_units():
    assert [progress.human(size) for size in (0, 1023, 1536, 10 << 30)] == ['0 bytes', '1023 bytes', '1.5 KiB', '10.0 GiB']
    assert [progress.duration(seconds) for seconds in (5, 65, 3725)] == ['0:05', '1:05', '1:02:05']
