"""What a database of the API server on this node tells: specifications of pods, and which folder is behind which claim."""
from typing import Any, Dict, Tuple

from ...formats.values import NOTHING


class Cluster(object):
    """CLAIMS: {name of a PersistentVolume: (namespace, name of its claim)}; PLACES: {the same: its folder on this node, as the dead host saw
    it}; PODS: {uid: specification}."""

    def __init__(self, claims: Dict[str, Tuple[str, str]] = NOTHING, places: Dict[str, bytes] = NOTHING, pods: Dict[str, Dict[str, Any]] = NOTHING) -> None:
        self._claims, self._places, self._pods = claims, places, pods

    def claim_of(self, pv: str) -> Tuple[str, str]:
        """(namespace, name) of the claim that has a PersistentVolume, ('', '') where it is not known."""
        return self._claims.get(pv, ('', ''))

    def pv_of(self, namespace: str, claim: str) -> str:
        """The PersistentVolume of a claim, '' where it is not known."""
        return next((pv for pv, known in self._claims.items() if known == (namespace, claim)), '')

    def place_of(self, pv: str) -> bytes:
        """The folder of a local PersistentVolume, b'' where it is not known."""
        return self._places.get(pv, b'')

    def pod(self, uid: str) -> Dict[str, Any]:
        """The specification of a pod, {} where it is not known."""
        return self._pods.get(uid, {})
