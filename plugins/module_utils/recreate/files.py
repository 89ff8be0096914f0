"""Every file of a bundle's config/ folder that makes its container again: one output a line."""
import json
from typing import Any, Dict

from ..records.definition import Definition, to_json
from . import compose, env, kube, podmanrun, quadlet, run
from .body import create_body
from .naming import seccomp_profiles


def _json(value: Dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + '\n'


def _seccomp(definition: Definition) -> Dict[str, str]:
    return dict(('seccomp-%d.json' % number, profile + '\n') for number, profile in enumerate(seccomp_profiles(definition)))


# each makes {file name: text}
OUTPUTS = (
    lambda definition: {'definition.json': _json(to_json(definition))},
    lambda definition: {'create.json': _json(create_body(definition))},
    lambda definition: {'compose.yaml': compose.compose([definition])},
    lambda definition: {'run.sh': run.run_sh(definition)},
    env.files,
    podmanrun.files,
    quadlet.files,
    kube.files,
    _seccomp,
)


def files(definition: Definition) -> Dict[str, str]:
    """{file name: text} for the bundle's config/ folder: the neutral definition, create.json, compose.yaml, run.sh and the files
    that they use.

    All of them 0600; run.sh is for `sh run.sh`. Env files are left out where they would be empty.
    """
    made: Dict[str, str] = {}
    for output in OUTPUTS:
        made.update(output(definition))
    return made
