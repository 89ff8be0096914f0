"""What the next start of containerd and of kubelet deletes (containerd internal/cri/server/restart.go; kubernetes pkg/kubelet/kuberuntime/
kuberuntime_gc.go, pkg/kubelet/kubelet_pods.go)."""
import os
import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ...disk import metadata
from ...formats import wording
from ...records import model
from ...records.codes import problem
from ..shared.containerd.finding import Distribution
from .records import Record, Records, image_volumes

SOURCE = 'kubernetes.io/config.source'
_NAME = re.compile(rb'''(?m)^metadata:[ \t]*\r?\n(?:(?:[ \t].*|[ \t]*#.*)?\r?\n)*?[ \t]+name:[ \t]*["']?([A-Za-z0-9.-]+)''')
_STATIC = re.compile(rb'''(?m)^staticPodPath:[ \t]*["']?(/[^"'#\r\n]+?)["']?[ \t]*\r?$''')
MAX_MANIFESTS, MAX_BYTES = 200, 1 << 20


class Cleanup(object):
    """DISK: disk.host.HostRoot; KUBELETS: kubelet's root folders as the dead host saw them."""

    def __init__(self, disk: Any, records: Records, about: Distribution, kubelets: List[bytes]) -> None:
        self.disk, self.records, self.kubelets = disk, records, kubelets
        self._folder = self._manifest_folder(about)
        self._manifests: Optional[Dict[str, Tuple[bytes, bytes]]] = None

    def of_container(self, shown: str, record: Record, state: Dict[str, Any]) -> Iterator[model.Problem]:
        """Yield the problems of one container."""
        if record.object is None:
            if image_volumes(self.records.store.root, record.id):
                yield problem('REMOVED_AT_NEXT_START', shown, 'meta.db has no record of container %s: the next start of containerd deletes its folder '
                              'io.containerd.grpc.v1.cri/containers/%s, with the volumes that its image declares.' % (shown, record.id),
                              'Rescue it before containerd is started on this disk.')
            return
        if self._is_static(record) and self._folder and self._listed() is not None and not self.manifest_of(record):
            yield problem('REMOVED_AT_NEXT_START', shown, 'Container %s is of a static pod, and %s has no manifest of it: the next start of kubelet deletes '
                          'the pod, with its containers, its emptyDirs and its logs.' % (shown, wording.show(self._folder)),
                          'Rescue it before kubelet is started on this disk, or put its manifest back first.')
        elif record.whose.attempt < self.records.newest_attempts().get((record.whose.uid, record.whose.container), 0):
            yield problem('REMOVED_AT_NEXT_START', shown, 'Container %s is attempt %d; a newer one is there. kubelet keeps only the newest dead container of '
                          'each name: its next start deletes this one with its writable layer.' % (shown, record.whose.attempt),
                          'Rescue it before kubelet is started on this disk.')
        elif state['status'] in ('running', 'unknown'):
            yield problem('REPLACED_AT_NEXT_START', shown, 'Kubernetes does not start container %s again: the next start of kubelet makes a new one with '
                          'an empty writable layer, and deletes this one when that one was replaced too or the pod is deleted.' % shown,
                          'What is only in its writable layer has to be rescued before kubelet is started, and put back by hand.')

    def _is_static(self, record: Record) -> bool:
        return metadata.strings_of(self.records.sandbox_of(record).config, 'annotations').get(SOURCE) == 'file'

    # -- static pods -------------------------------------------------------------------------------------------------------------

    def manifest_of(self, record: Record) -> bytes:
        """The manifest of a static pod, whose name is that of the manifest with the node's behind it; b'' where there is none."""
        if not self._is_static(record):
            return b''
        pod, best = record.whose.pod, ''
        for name in self._listed() or {}:
            if (pod == name or pod.startswith(name + '-')) and len(name) > len(best):
                best = name
        return (self._listed() or {})[best][1] if best else b''

    def _listed(self) -> Optional[Dict[str, Tuple[bytes, bytes]]]:
        """{metadata.name: (file, its content)} of the folder of manifests, None where it cannot be read."""
        if self._manifests is None and self._folder:
            try:
                listed = self.disk.listdir(self._folder)
            except OSError:
                return None
            found = {}
            for name in listed[:MAX_MANIFESTS]:
                try:
                    raw = self.disk.read(os.path.join(self._folder, name), MAX_BYTES)
                except OSError:
                    continue
                match = _NAME.search(raw) or re.search(rb'"metadata"\s*:\s*\{[^{}]*"name"\s*:\s*"([A-Za-z0-9.-]+)"', raw)
                if match:
                    found[match.group(1).decode('ascii')] = name, raw
            self._manifests = found
        return self._manifests

    def _manifest_folder(self, about: Distribution) -> bytes:
        """Where kubelet looks for static pods: its config.yaml says it, or the distribution."""
        for kubelet in self.kubelets:
            try:
                match = _STATIC.search(self.disk.read(os.path.join(kubelet, b'config.yaml'), MAX_BYTES))
            except OSError:
                continue
            if match:
                return match.group(1)
        return about.manifests
