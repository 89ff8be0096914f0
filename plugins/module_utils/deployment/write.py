"""The component `deployment` of a bundle: every file that was taken, and deployment.json that says where each came from."""
import hashlib
import json
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from ..records import model
from ..records.codes import problem
from .gather import FILE, NAME, Deployment, file_entry
from .model import NotTaken, note

if TYPE_CHECKING:
    from typing import Protocol  # Python 3.8

    from ..records.model import Problem

    class Target(Protocol):
        """A bundle while it is written, see bundles.store."""
        def write(self, relative: str, data: bytes) -> None:
            ...


def write(target: 'Target', found: Deployment) -> Tuple[Dict[str, Any], Dict[str, str]]:
    """Write the component -> (its record in the manifest, {relative name: SHA-256})."""
    files: Dict[str, str] = {}
    entries: List[Dict[str, Any]] = []
    lost = list(found.document['left_out'])
    problems: List['Problem'] = []
    total = 0
    for taken in found.collection.listed_files():
        try:
            data = found.collection.door.read(taken.place)
        except NotTaken as exc:         # it was there a moment ago
            left = note(taken.place.path, exc, taken.named_by[0] if taken.named_by else '')
            lost.append(dict(left._asdict()))
            problems.append(problem('READ_ERROR', NAME, 'deployment: %s could not be read: %s.' % (left.path, left.why), 'Run again.'))
            continue
        total += _put(target, files, entries, dict(file_entry(taken)), data)
    for made in found.collection.made:
        total += _put(target, files, entries, {'file': made.stored, 'role': made.role, 'confidential': True, 'named_by': [made.named_by],
                                               'path': None, 'mode': '0600', 'uid': 0, 'gid': 0}, made.data)
    document = dict(found.document, files=entries, left_out=lost, archives=[
        {'path': tree.place.path.decode('utf-8', 'backslashreplace'), 'stem': tree.stem, 'named_by': [tree.named_by]} for tree in found.collection.trees])
    raw = json.dumps(document, indent=1, sort_keys=True).encode('utf-8') + b'\n'
    target.write(FILE, raw)
    files[FILE] = hashlib.sha256(raw).hexdigest()
    return {'name': NAME, 'kind': NAME, 'file': FILE, 'bytes': total + len(raw), 'sha256': files[FILE], 'entries': len(files), 'files': len(files),
            'source_bytes': total, 'status': model.PARTIAL if problems else found.status, 'fingerprint': found.fingerprint, 'parts': dict(files),
            'problems': [dict(item._asdict()) for item in problems]}, files


def _put(target: 'Target', files: Dict[str, str], entries: List[Dict[str, Any]], entry: Dict[str, Any], data: bytes) -> int:
    target.write(entry['file'], data)
    files[entry['file']] = hashlib.sha256(data).hexdigest()
    entries.append(dict(entry, bytes=len(data), sha256=files[entry['file']]))
    return len(data)
