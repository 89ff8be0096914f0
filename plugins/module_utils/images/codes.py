"""What is said about images: problems, and the next step that completes one."""
from typing import List, Optional

from ..records import codes, model


def problem(code: str, obj: str, message: str, next_step: str = '') -> model.Problem:
    severity = codes.CODES[code][0] if code in codes.CODES else model.WARNING
    return model.Problem.shown(code, severity, obj, message, next_step, codes.has(code, codes.LOSES_DATA),
                               codes.has(code, codes.BLOCKS_START))


def pull(image: Optional[model.Image]) -> str:
    """How to get the whole image: by digest where one is recorded, else by tag."""
    references = image.references if image is not None else ()
    by_digest = [name for name in references if '@sha256:' in name]
    names = by_digest or list(references)
    if names:
        return 'To complete it: docker pull %s on a healthy host.' % names[0]
    return 'To complete it, pull or build the image again on a healthy host.'


def shown(name: str) -> str:
    """A name in a layer's tar (text), as a path in the container."""
    while name.startswith('./'):
        name = name[2:].lstrip('/')
    return '/' + name.lstrip('/')


def some(names: List[str], total: int, limit: int = 5) -> str:
    """``/a, /b and 7 more``; '' if there are none."""
    more = ' and %d more' % (total - limit) if total > limit else ''
    return ', '.join(shown(name) for name in names[:limit]) + more
