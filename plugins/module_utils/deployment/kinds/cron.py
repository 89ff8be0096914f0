"""Tables of cron, and the scripts that they or the start of the host call, where they start containers."""
from typing import Iterator, List

from ...formats.wording import show
from .. import finding
from ..model import SCRIPT, Kind, Place, Scene, Stack, Wanted

NAME = 'cron'
TABLES = (b'/etc/crontab', b'/etc/cron.d/*', b'/var/spool/cron/crontabs/*', b'/var/spool/cron/*', b'/etc/anacrontab')
SCRIPTS = (b'/etc/cron.hourly/*', b'/etc/cron.daily/*', b'/etc/cron.weekly/*', b'/etc/cron.monthly/*', b'/etc/rc.local', b'/etc/rc.d/rc.local',
           b'/usr/local/etc/rc.d/*.sh', b'/boot/config/go')


def find(scene: Scene) -> Iterator[Stack]:
    for pattern in TABLES:
        for path in scene.door.glob(pattern):
            place = scene.door.maybe(path)
            if place is None:
                continue
            lines = [line for line in scene.door.text(path).split('\n') if not line.lstrip().startswith('#')]
            scripts = [one for line in lines for one in finding.scripts_of(scene, line)]
            if scripts or any(finding.starts_containers(line) for line in lines):
                yield _stack(path, [place] + scripts, 'the table of cron %s' % show(path))
    for pattern in SCRIPTS:
        for path in scene.door.glob(pattern):
            place = finding.script(scene, path)
            if place is not None:
                yield _stack(path, [place], 'the script %s' % show(path))


def _stack(path: bytes, places: List[Place], evidence: str) -> Stack:
    return Stack(NAME, show(path), evidence, files=tuple(Wanted(place, SCRIPT) for place in places))


KIND = Kind(NAME, find)
