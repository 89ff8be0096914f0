"""tools/links.py, which `make lint` runs over the documentation, finds dead links and nothing else."""
import os

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import links

PAGE = '''# Where Docker keeps *things*: `l/`

<a id="here"></a>
## Twice
## Twice

[a](other.md) [b](#where-docker-keeps-things-l) [c](#here) [d](other.md#层) [e](#twice-1) [f](https://nowhere.invalid/x)
[g](other.md "title") ![h](picture.png)

    $ echo one

```console
[no link](in-a-fence.md)
```
and `[none](in-backticks.md)` either. Then [dead](gone.md), [dead](#twice-2), [dead](other.md#gone) and
<a href="gone.html">dead</a>.

[r]: gone-too.md
'''


def test_what_is_dead_is_found_and_nothing_else(tmp_path):
    (tmp_path / 'page.md').write_bytes(PAGE.encode('utf-8'))
    (tmp_path / 'other.md').write_bytes('# 层\n'.encode('utf-8'))
    (tmp_path / 'picture.png').write_bytes(b'')
    (tmp_path / 'page.rst').write_bytes(b'.. _label:\n\n`a <other.md>`_ `b <label_>`__ `c <gone.rst>`_ `d <gone_>`__\n')
    counts, found = links.dead(str(tmp_path))
    assert [(page, target) for page, target, dummy in found] == [
        ('page.md', 'gone.md'), ('page.md', '#twice-2'), ('page.md', 'other.md#gone'), ('page.md', 'gone-too.md'),
        ('page.md', 'gone.html'), ('page.rst', 'gone.rst'), ('page.rst', '#gone')]
    assert counts == (3, 16)
