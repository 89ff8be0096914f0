"""Whether a containerd root has something of Kubernetes."""
from ...disk import safeio
from ..shared.containerd.store import ContainerdStore
from .records import CRI, NAMESPACE


def is_here(path: bytes) -> bool:
    """Of a folder on the managed node: the namespace of the CRI plugin has objects, images or snapshots, or the plugin's own folders have
    something in them, which they keep where the database is lost."""
    try:
        store = ContainerdStore(path, namespaces=(NAMESPACE,))
    except OSError:
        return False
    try:
        meta = store.meta()
        if meta is not None:
            bucket = meta.bucket(NAMESPACE.encode(), errors=[])
            if bucket is not None and any(key in (b'containers', b'images', b'sandboxes', b'snapshots') and any(True for dummy in inner.buckets(errors=[]))
                                          for key, inner in bucket.buckets(errors=[])):
                return True
        if any(_filled(store.root, CRI + folder) for folder in (b'/containers', b'/sandboxes')):
            return True
        # a containerd that was started without its database has deleted those: its snapshotters still name the namespace
        return any(store.names_of(NAMESPACE, name)[1] for name in store.snapshotters())
    finally:
        store.close()


def _filled(root: safeio.Dir, folder: bytes) -> bool:
    try:
        return not root.descend(folder).is_empty()
    except OSError:
        return False
