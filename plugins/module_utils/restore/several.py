"""Every bundle of a folder in one call: which there are, in which order, with which of the options, and the result of each.

One that is refused or fails does not stop the others; the call fails at its end and names it. What reaches the host and is not
allowed is the exception: it is refused for all bundles before anything is done.
"""
import os
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ..bundles import info as described, reading, source as sources
from ..disk.errors import LifeboatError
from ..formats.wording import number, text
from ..recreate import asks
from . import plan as planning
from .steps import Stopped

LONGEST = 1000                          # characters of what is said of one bundle that failed


class Item(NamedTuple):
    """One bundle."""
    path: bytes
    name: str
    kind: str
    volumes: Tuple[str, ...]            # recorded and stable names
    info: Any                           # reading.BundleInfo, unverified


class Outcome(NamedTuple):
    """One bundle and its result, or the reason why it has no result."""
    item: Item
    result: Any
    problem: str = ''


def items(path: bytes) -> List[Item]:
    """[Item] of every bundle at or below PATH (bytes): lone volumes first, then containers in the order in which they were
    created, since who shares another's network is younger. LifeboatError if there is none."""
    found = []
    for place in reading.find_bundles(path):
        info = reading.inspect_bundle(place, False)
        record = described.describe(info)
        if record['kind'] == reading.DEPLOYMENT:
            continue                    # the original files: nothing that an engine takes
        names = [name for volume in record['volumes'] for name in (volume['name'], volume['stable_name'])]
        name = record['name'] if isinstance(record['name'], str) and record['name'] else text(os.path.basename(place))
        found.append((record['kind'] == 'container', record['subject_created'], Item(
            place, name, str(record['kind']), tuple(names), info)))
    if not found:
        raise LifeboatError('There is no bundle at %s. Give the folder that dest named in the rescue.' % text(path))
    return [item for dummy, dummy2, item in sorted(found, key=lambda entry: entry[:2])]


def check(path: bytes, found: List[Item], name: Optional[str], volume_map: Mapping[str, str]) -> None:
    """LifeboatError for options that do not fit the bundles FOUND at PATH."""
    if name and len(found) > 1:
        raise LifeboatError('name: NAME is for a single bundle; %s holds %d.' % (text(path), len(found)))
    known = set(volume for item in found for volume in item.volumes)
    unknown = [key for key in volume_map if key not in known]
    if unknown and len(found) > 1:
        raise LifeboatError('The option volume_map names %s, but no bundle at %s has such a volume. They have: %s.' % (
            ', '.join(unknown), text(path), ', '.join(sorted(known)[:50]) or 'none'))


def own(item: Item, count: int, volume_map: Dict[str, str], dest: Any) -> Dict[str, Any]:
    """{option: value} of what concerns ITEM alone, if it is one of COUNT bundles. DEST: str or bytes."""
    if count == 1:
        return {'path': item.path}
    base = os.path.basename(item.path)
    return {'path': item.path, 'if_nothing': 'skip',
            'volume_map': dict((key, value) for key, value in volume_map.items() if key in item.volumes),
            'dest': os.path.join(dest, base if isinstance(dest, bytes) else os.fsdecode(base)) if dest else dest}


def refuse_asks(found: List[Item], restore: Iterable[str], allow: Iterable[str], has_volume: Optional[Callable[[str], bool]] = None) -> None:
    """LifeboatError that names what each container asks of its host and is not in ALLOW. HAS_VOLUME(name): is this volume on the
    engine already; without it, volumes are looked at later."""
    refused, needed = [], []
    for item in found:
        if item.kind != 'container' or planning.CONTAINER not in restore or item.info.status != reading.UNVERIFIED:
            continue
        source = sources.of_info(item.info)
        try:
            names = sources.volume_names(source, {}, source.name)
        except LifeboatError:
            continue                    # said when it is its turn
        missing = [ask for ask in asks.asks(sources.define(source, '', source.defaults, source.name, names))
                   if ask.kind not in allow and not (ask.volume and (has_volume is None or has_volume(ask.volume)))]
        if missing:
            refused.append('%s: %s.' % (source.name, asks.listed(missing)))
            needed.extend(kind for kind in asks.kinds(missing) if kind not in needed)
    if refused:
        raise LifeboatError('Nothing was changed. These containers ask for what reaches their host: %s If you trust where the bundles come '
                            'from, give allow: [%s].' % (' '.join(refused), ', '.join(list(allow) + needed)))


def each(found: Iterable[Item], work: Callable[[Item], Dict[str, Any]]) -> Iterator[Outcome]:
    """Yield an Outcome for each Item, of WORK(item) -> result. Stopped ends all."""
    for item in found:
        try:
            yield Outcome(item, work(item))
        except Stopped:
            raise
        except (LifeboatError, OSError) as exc:
            yield Outcome(item, None, str(exc))


def combined(path: bytes, outcomes: List[Outcome], restore: Iterable[str]) -> Dict[str, Any]:
    """The result of the call of [Outcome] at PATH: as of one bundle, with all of them in `bundles`; `failure` says what failed."""
    done = [dict(outcome.result, path=text(outcome.item.path)) for outcome in outcomes if outcome.result is not None]
    failed = [outcome for outcome in outcomes if outcome.result is None]
    result = {'changed': any(one.get('changed') for one in done), 'bundles': done, 'nothing': False}
    if any('diff' in one for one in done):
        result['diff'] = [dict(one.pop('diff'), before_header=one['name'], after_header=one['name']) for one in done if 'diff' in one]
    if failed:
        # whoever reads it wants the reasons, not the whole of what went well
        result = {'changed': result['changed'], 'bundles': [dict((key, one.get(key)) for key in ('name', 'path', 'changed', 'nothing'))
                                                            for one in done]}
        result['failure'] = '%d of %s at %s failed. %s%s' % (
            len(failed), number(len(outcomes), 'bundle'), text(path),
            ' '.join('%s: %s' % (outcome.item.name, shortened(outcome.problem)) for outcome in failed),
            ' These are done: %s.' % ', '.join(str(one['name']) for one in done) if done else '')
    elif done and all(one.get('nothing') for one in done):
        raise LifeboatError('None of the %s at %s has anything that restore names (%s).' % (
            number(len(done), 'bundle'), text(path), ', '.join(restore)))
    return result


def shortened(sentence: str) -> str:
    return sentence if len(sentence) <= LONGEST else sentence[:LONGEST] + ' ... (cut; restore this bundle alone to read all)'
