"""What a bundle on the controller is: from its verified files, and from its manifest only where these files confirm it."""
from __future__ import annotations

from typing import Any, Callable

from ansible_collections.lifeboat.docker.plugins.module_utils.bundles import reading
from ansible_collections.lifeboat.docker.plugins.module_utils.formats import wording
from ansible_collections.lifeboat.docker.plugins.module_utils.records import model

RANK = (model.COMPLETE, model.PARTIAL, model.UNSUPPORTED, model.LOST)       # the best first
MAX_TEXT = 4000


def facts(manifest: dict[str, Any], sums: dict[str, str], size: Callable[[str], int]) -> dict[str, Any]:
    """Of a bundle whose files are what SUMS ({relative name: SHA-256}) says: kind, container, id, image, status, bytes, files and
    components, as in the result of docker_data_rescue. SIZE(relative name) looks at the disk. Raises OSError."""
    components = [_component(item, sums, size) for item in reading.components(manifest)]
    kind = manifest.get('kind')
    about = manifest.get(kind) if isinstance(kind, str) else None
    subject = about if isinstance(about, dict) else {}
    image = subject.get('image')
    found = {'kind': _words(kind), 'image': _words(image.get('reference') if isinstance(image, dict) else None),
             'container': _words(subject.get('name')) if kind == 'container' else None,
             'id': _words(subject.get('id')) if kind == 'container' else None}
    return dict(found, status=_status(manifest.get('status'), components), bytes=sum(item['bytes'] for item in components),
                files=len(sums) + 1, components=components)


def _component(item: dict[str, Any], sums: dict[str, str], size: Callable[[str], int]) -> dict[str, Any]:
    """A component whose files are all here has the status that it claims; one without is lost."""
    file, parts, entries = item.get('file'), item.get('parts'), item.get('entries')
    wanted = list(parts) if isinstance(parts, dict) and parts else [file] if isinstance(file, str) and file else []
    here = bool(wanted) and all(name in sums for name in wanted)
    status = item.get('status')
    if status not in model.STATUSES or (status == model.COMPLETE and not here):
        status = model.LOST
    return {'name': _words(item.get('name')), 'kind': _words(reading.kind_of(item)), 'file': _words(file),
            'bytes': sum(size(name) for name in wanted) if here else 0,
            'sha256': sums.get(file) if isinstance(file, str) else None,
            'entries': entries if type(entries) is int and entries >= 0 else None,  # pylint: disable=unidiomatic-typecheck
            'status': status, **reading.dump_facts(item)}


def _status(claimed: Any, components: list[dict[str, Any]]) -> str:
    """The claim, but complete only where every component is and there is one."""
    if claimed not in model.STATUSES:
        return model.LOST
    whole = components and all(item['status'] == model.COMPLETE for item in components)
    return model.PARTIAL if claimed == model.COMPLETE and not whole else str(claimed)


def keeps_more(before: dict[str, Any], manifest: dict[str, Any], now: dict[str, Any]) -> bool:
    """True if the bundle with the manifest BEFORE was better than the new one (its manifest, and its facts NOW): it has a better
    status, or a complete component that the new one has not. Then it must not be replaced."""
    old, new = before.get('raw_status', before.get('status')), now['status']
    # a dump that failed is no reason to keep the bundle without it; the claim counts where everything but dumps is whole
    raw = [item for item in now['components'] if item['kind'] != 'dump']
    if len(raw) < len(now['components']):
        new = _status(manifest.get('raw_status'), raw)
    whole = {item['name'] for item in now['components'] if item['status'] == model.COMPLETE}
    options = manifest.get('options')
    asked = isinstance(options, dict) and isinstance(options.get('include'), list) and 'dumps' in options['include']
    lost = {_words(item.get('name')) for item in reading.components(before) if item.get('status') == model.COMPLETE and (
        asked or reading.kind_of(item) != 'dump')} - whole
    other = before.get('kind') != manifest.get('kind')
    return old in RANK and (RANK.index(old) < RANK.index(new) or bool(lost) or other)


def count(result: dict[str, Any]) -> None:
    """`changed` and the summary again, from the bundles."""
    listing = result['bundles']
    result['changed'] = any(item.get('changed') for item in listing)
    statuses = [item.get('status') for item in listing]
    summary = result['summary']
    summary.update({status: statuses.count(status) for status in model.STATUSES})
    summary.update(bundles=len(listing), written=sum(bool(item.get('changed')) for item in listing),
                   bytes=sum(item.get('bytes') or 0 for item in listing))
    summary['problems'] = max(summary.get('problems') or 0, len(result['problems']))


def _words(value: Any) -> str | None:
    return wording.show(value[:MAX_TEXT]) if isinstance(value, str) else None
