"""The one exception that ends a run with a sentence."""
from ..formats import wording


class LifeboatError(Exception):
    """What stops a whole run. The message is one sentence: what, where, what to do next.

    As text it is one line without secrets: whatever name it repeats, no terminal acts on it.
    """

    def __str__(self) -> str:
        return wording.sentence(Exception.__str__(self))
