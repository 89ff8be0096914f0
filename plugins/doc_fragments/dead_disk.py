"""Documentation that the plugins of the controller share, which read a disk there."""


class ModuleDocFragment(object):
    DOCUMENTATION = r"""
options:
  data_roots:
    description: Docker data roots to read, as the dead host named them. Empty means that they are looked for.
    type: list
    elements: path
    default: []
  containerd_root:
    description: Root of the containerd that holds the layers. The default is that it is looked for.
    type: path
  engines:
    description: Engines whose data are looked for.
    type: list
    elements: str
    default: [all]
"""
