"""What docker_bundle_info returns of a bundle."""
from typing import Any, Dict, List, Optional

from ..disk.errors import LifeboatError
from ..formats import wording
from ..formats.values import as_dict, as_int, as_list, as_str
from . import reading, signature

TEXTS = ('name', 'kind', 'file', 'sha256', 'status')
PROBLEM = ('code', 'severity', 'object', 'message', 'next_step')
FLAGS = ('loses_data', 'blocks_start')
MOST = 1000                             # differences and unlisted files that are named; more are counted
LONGEST = 4096                          # characters of one text; the messages of our own rescues are far shorter


def describe(info: reading.BundleInfo, signed: Optional[signature.Signature] = None) -> Dict[str, Any]:
    """reading.BundleInfo, and what is known of its signature if that was asked for -> plain dict. Nothing in the manifest is believed
    to be of the right type, or fit for a terminal."""
    manifest = as_dict(info.manifest)
    subject = next((manifest[kind] for kind in reading.KINDS if isinstance(manifest.get(kind), dict)), {})
    fields = wording.path_fields(info.path)
    fields.update({
        'status': info.status, 'differences': _differences(info), 'extra': _extra(info),
        'kind': _shown(manifest.get('kind')), 'name': _shown(subject.get('name')), 'id': _shown(subject.get('id')),
        'created': _shown(manifest.get('created')), 'subject_created': _shown(subject.get('created')) or '',
        'rescue_status': _shown(manifest.get('status')),
        'source': dict((_shown(key), _shown(value)) for key, value in as_dict(manifest.get('source')).items()),
        'volumes': _volumes(manifest),
        'components': [_component(item) for item in reading.components(manifest)],
        'problems': [_problem(item) for item in as_list(manifest.get('problems')) if isinstance(item, dict)]})
    if signed is not None:
        fields['signature'] = {'status': signed.status, 'signer': signed.signer, 'reason': signed.reason, 'custody': signed.custody}
        if signed.status != signature.VALID:
            fields['differences'] = [{'file': reading.brief(signed.file), 'problem': signed.reason}] + fields['differences']
            if info.status != reading.DAMAGED:
                fields['status'] = reading.INCOMPLETE if signed.status == signature.MISSING else reading.DAMAGED
    return fields


def _differences(info: reading.BundleInfo) -> List[Dict[str, str]]:
    found = [{'file': reading.brief(item['file']), 'problem': item['problem']} for item in info.differences[:MOST]]
    more = len(info.differences) - MOST
    return found + ([{'file': '', 'problem': '%d more differences' % more}] if more > 0 else [])


def _extra(info: reading.BundleInfo) -> List[str]:
    more = len(info.extra) - MOST
    return [reading.brief(name) for name in info.extra[:MOST]] + (['(%d more)' % more] if more > 0 else [])


def _shown(value: Any) -> Optional[str]:
    """A text of the manifest for a result; None for anything else."""
    return wording.show(value[:LONGEST]) if isinstance(value, str) else None


def _component(item: Dict[str, Any]) -> Dict[str, Any]:
    found: Dict[str, Any] = dict((key, _shown(item.get(key))) for key in TEXTS)
    found['bytes'] = as_int(item.get('bytes'))
    found.update(reading.dump_facts(item))
    return found


def _problem(item: Dict[str, Any]) -> Dict[str, Any]:
    found = dict((key, _shown(item.get(key)) or '') for key in PROBLEM)
    found.update((key, item[key]) for key in FLAGS if isinstance(item.get(key), bool))
    return found


def _volumes(manifest: Dict[str, Any]) -> List[Dict[str, Optional[str]]]:
    """[{'name', 'stable_name'}] of the volumes that a restore of the bundle knows: those of the mounts, and what there is data of."""
    found = {}
    for item in map(as_dict, as_list(manifest.get('mounts'))):
        if as_str(item.get('type')) in ('', 'volume') and as_str(item.get('name')):
            found[item['name']] = as_str(item.get('stable_name')) or item['name']
    for item in reading.components(manifest, 'volume'):
        name = reading.component_name(item)
        if name:
            found.setdefault(name, name)
    return [{'name': _shown(name), 'stable_name': _shown(stable)} for name, stable in found.items()]


def inspect(path: bytes, verify: bool, allowed_signers: Optional[bytes] = None) -> List[Dict[str, Any]]:
    """[description] of every bundle at or below PATH (bytes). With ALLOWED_SIGNERS, a file, each must be signed by one of them. Raises
    LifeboatError if there is no bundle."""
    found = reading.find_bundles(path)
    if not found:
        raise LifeboatError('There is no bundle in %s. Give the folder that dest named in the rescue.' % wording.show(path))
    described = []
    for item in found:
        info = reading.inspect_bundle(item, verify)
        described.append(describe(info, signature.verify(info, allowed_signers) if allowed_signers is not None else None))
    return described
