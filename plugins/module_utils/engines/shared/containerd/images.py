"""Images of a namespace of containerd, as tools of Kubernetes (crictl) or of containerd (nerdctl) show them."""
from typing import Dict, Iterator, List, Optional, Tuple

from ....records import model
from .store import ContainerdStore, references_of


class Images(object):
    """OF_CRI: an image is known by the digest of its config and shown with its full name, else by that of its target, as Docker has it."""

    def __init__(self, store: ContainerdStore, of_cri: bool) -> None:
        self._store, self._of_cri = store, of_cri
        self._targets: Optional[Dict[str, List[str]]] = None
        self._read: Dict[str, model.Image] = {}

    def targets(self) -> Dict[str, List[str]]:
        """{target digest: [names]}."""
        if self._targets is None:
            self._targets = self._store.image_targets()
        return self._targets

    def all(self) -> Iterator[model.Image]:
        """Yield every image once."""
        told = set()
        for target in sorted(self.targets()):
            image = self._image(target)
            if image.id not in told:
                told.add(image.id)
                yield image

    def find(self, wanted: str) -> Optional[model.Image]:
        """The image with an ID (digest of its config or of its target) or a name, None if there is none."""
        if not wanted:
            return None
        for target, names in sorted(self.targets().items()):
            if wanted == target or wanted in names:
                return self._image(target)
        return next((image for image in self.all() if wanted in (image.id, image.config_digest)), None)

    def _image(self, target: str) -> model.Image:
        if target not in self._read:
            names = self.targets().get(target, [])
            image = self._store.image(target, names)
            if self._of_cri:
                image = image._replace(id=image.config_digest or image.id)
            self._read[target] = image._replace(references=named(names, self._of_cri))
        return self._read[target]


def named(names: List[str], full: bool) -> Tuple[str, ...]:
    """Those of NAMES that are no digests; FULL: with the registry."""
    kept = [name for name in names if '@' not in name and not name.startswith('sha256:')]
    return tuple(sorted(kept)) if full else references_of(kept)
