"""``image/<driver>/imagedb`` and ``repositories.json``: configs of images, and the names they have (moby: image/,
reference/)."""
import hashlib
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from ...disk import metadata
from ...layers.chains import DIGEST, HEX, chain_ids, diff_ids_of
from ...records.codes import problem

if TYPE_CHECKING:
    from ...records.model import Problem


class ImageDb(object):
    """FOLDERS: metadata.Folders of image/<driver>."""

    def __init__(self, folders: metadata.Folders) -> None:
        self._folders = folders
        self._configs: Dict[str, metadata.Found] = {}
        self._references: Optional[Tuple[Dict[str, List[str]], str]] = None

    def ids(self) -> List[str]:
        """Ids of every image that has a config here, or a name without one."""
        found = {'sha256:' + name.decode('ascii') for name in self._folders.names(b'imagedb/content/sha256')
                 if HEX.match(name)}
        return sorted(found.union(image_id for image_id in self.references()[0] if DIGEST.match(image_id)))

    def config(self, image_id: str) -> metadata.Found:
        """metadata.Found of an image's config; `damage` also if its bytes do not have the digest that names them."""
        if image_id not in self._configs:
            self._configs[image_id] = self._read_config(image_id)
        return self._configs[image_id]

    def _read_config(self, image_id: str) -> metadata.Found:
        folder = self._folders.get(b'imagedb/content/sha256')
        if folder is None or not DIGEST.match(image_id or ''):
            return metadata.Found(None, 'missing', '')
        found = metadata.read_json(folder, image_id[7:].encode('ascii'))
        if found.raw is not None and hashlib.sha256(found.raw).hexdigest() != image_id[7:]:
            return found._replace(damage=found.damage or 'does not match its digest')
        return found

    def config_problems(self, image_id: str) -> 'Tuple[Problem, ...]':
        """() or what is wrong with an image's config."""
        found = self.config(image_id)
        if found.value is not None and not found.damage:
            return ()
        return (problem('IMAGE_CONFIG_LOST', image_id, 'The config of image %s: %s.' % (image_id, found.damage),
                        self.pull_hint(image_id)),)

    def with_top(self, chain_id: Optional[str]) -> Optional[str]:
        """The id of the image whose uppermost layer is CHAIN_ID, one that has a name first; None if there is none."""
        fitting = [image_id for image_id in self.ids()
                   if chain_id and chain_ids(diff_ids_of(self.config(image_id).value))[-1:] == [chain_id]]
        tagged = [image_id for image_id in fitting if self.references()[0].get(image_id)]
        return next(iter(tagged or fitting), None)

    def references(self) -> Tuple[Dict[str, List[str]], str]:
        """({image id: [references]}, damage) of repositories.json."""
        if self._references is None:
            folder = self._folders.get(b'')
            found = metadata.Found(None, 'missing', '') if folder is None else \
                metadata.read_record(folder, b'repositories.json')
            table = {}
            for names in metadata.dict_of(found.value, 'Repositories').values():
                for reference, image_id in metadata.strings_of({'x': names}, 'x').items():
                    table.setdefault(image_id, []).append(reference)
            for references in table.values():
                references.sort()
            self._references = (table, found.damage if found.damage != 'missing' else '')
        return self._references

    def pull_hint(self, image_id: Optional[str]) -> str:
        """The next step that completes an image: the exact reference, by digest where one is recorded."""
        references = self.references()[0].get(image_id or '', [])
        by_digest = [ref for ref in references if '@sha256:' in ref]
        best = (by_digest or references or [''])[0]
        return 'To complete it: docker pull %s on a healthy host.' % best if best else \
            'To complete it, pull the image that this container was made from on a healthy host.'
