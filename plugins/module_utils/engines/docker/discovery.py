"""Where are this host's Docker data roots? Every source is asked, what each says is kept, content decides the rank.

1. *Claims*: each source (a running dockerd, systemd units and drop-ins, daemon.json, sysconfig files, homes, snap,
   fstab, the default) says where a data root would be (finding.sources; finding.claims for one daemon).
2. *Candidates*: claims that lead to the same folder are one candidate; userns-remap folders are candidates of their
   own; each gets the containerd roots to look into (finding.candidates, content, containerd_roots).
3. *Problems*: what is missing, empty, not mounted, damaged or out of reach (finding.problems, unmounted, elsewhere).
   Nothing found is a problem too.

All of them read through one finding.scan; how a configuration file is understood (systemd, environment files, TOML)
stands in finding.daemonconf. Nothing is walked recursively; a host with some hundred unit files costs about a thousand
small system calls.
"""
from typing import TYPE_CHECKING, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

from ...records import model
from .finding.candidates import RootCandidate, candidates
from .finding.claims import Claim
from .finding.elsewhere import other_engines
from .finding.given import given_root
from .finding.problems import no_root
from .finding.running import daemons
from .finding.scan import Scan
from .finding.sources import all_claims

if TYPE_CHECKING:
    from ...disk.host import HostRoot, Process


class Discovery(NamedTuple):
    roots: Tuple[RootCandidate, ...]    # best first
    problems: Tuple[model.Problem, ...]
    nothing: Tuple[model.Problem, ...] = ()     # those of the problems that only say that there is no Docker here


def find_roots(host: 'HostRoot', data_roots: Sequence[bytes], containerd_root: Optional[bytes] = None) -> Discovery:
    """Discovery of HOST (HostRoot). DATA_ROOTS: bytes as the user gave them, empty: look everywhere.

    LifeboatError where a given folder cannot be used. An empty ``roots`` comes with a problem of severity critical.
    """
    scan = Scan(host)
    explicit = given_root(host, containerd_root, 'containerd_root') if containerd_root else None
    given = [given_root(host, path, 'data_roots') for path in data_roots]
    claims = [Claim(path, 'given', kind='given') for path in given] + all_claims(scan)
    roots = candidates(scan, claims, explicit, bool(given))
    nothing = []
    if not given:
        other_engines(scan)
        if not roots and not scan.has('DATA_ROOT_MISSING', 'DATA_ROOT_UNREADABLE', 'DATA_ROOT_NOT_MOUNTED'):
            before = len(scan.problems)
            no_root(scan)
            nothing = scan.problems[before:]
    return Discovery(tuple(roots), tuple(scan.problems), tuple(nothing))


def running_daemons(host: 'HostRoot') -> 'Iterator[Tuple[Process, Dict[str, str], bytes]]':
    """Yield (Process, flags, data root as the host sees it) of every dockerd that runs and has a data root on HOST."""
    for process, flags, claim in daemons(Scan(host)):
        yield process, flags, claim.path
