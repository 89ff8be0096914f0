"""What the next start of CRI-O deletes (cri-o internal/criocli/wipe.go, server/server.go: wipeIfAppropriate).

A dead host is one that was switched off: the version file in /run is gone, so CRI-O takes the next start for the first after a reboot.
"""
from typing import Any, Dict, Iterator

from ...formats import wording
from ...records import model
from ...records.codes import problem
from ..shared.storage import finding

CLEAN = b'/var/lib/crio/clean.shutdown'


def settings(disk: Any) -> Dict[str, Any]:
    """crio.conf with its drop-ins, as {'crio.internal_wipe': ...}."""
    finder = finding.Finder(disk)
    found = finding.toml(finder.read(finding.CRIO_CONF))
    for name in [name for name in finder.names(finding.CRIO_DROP_INS) if name.endswith(b'.conf')][:finding.MAX_FILES]:
        found.update(finding.toml(finder.read(finding.CRIO_DROP_INS + b'/' + name)))
    return found


def of_store(disk: Any, path: bytes, config: Dict[str, Any]) -> Iterator[model.Problem]:
    """Yield a problem if `crio wipe` deletes the whole graph root PATH."""
    value = config.get('crio.clean_shutdown_file')
    clean = finding._path(value) if isinstance(value, str) else CLEAN
    if clean and not _exists(disk, clean) and _exists(disk, clean + b'.supported'):
        yield problem('STORE_WIPED_AT_NEXT_START', wording.text(path), '%s is missing and %s exists: CRI-O was not stopped in an orderly way. crio wipe, '
                      'which runs before the next start of crio, deletes everything in %s, also what Podman has there.' % (
                          wording.show(clean), wording.show(clean + b'.supported'), wording.show(path)),
                      'Rescue before crio or crio-wipe.service is started on this disk, or disable both units first.')


def of_container(shown: str, config: Dict[str, Any]) -> model.Problem:
    """The problem that a container is deleted."""
    who = 'crio wipe' if config.get('crio.internal_wipe') is False else 'the next start of crio (internal_wipe is true)'
    return problem('REMOVED_AT_NEXT_START', shown, 'Container %s is deleted with its writable layer by %s, since the host was switched off.' % (shown, who),
                   'Rescue it before crio or crio-wipe.service is started on this disk.')


def _exists(disk: Any, path: bytes) -> bool:
    try:
        return disk.exists(path)
    except OSError:
        return False
