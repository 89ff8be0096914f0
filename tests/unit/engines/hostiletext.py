"""Texts that a disk or a node may hold to act on the terminal, the page or the script of who looks at them."""
C0 = ''.join(map(chr, range(1, 32)))
C1 = ''.join(map(chr, range(0x7f, 0xa0)))
BIDI = u'\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'
INVISIBLE = u'\u00ad\u180e\u200b\u200c\u200d\u2060\u2061\ufeff\ufff9\U000e0001\U000e0041'
LINES = u'\u2028\u2029\x85'
ODD = u'\ufffe\uffff\ue000\U0001fffe'
SURROGATES = '\ud800\udc9b\udfff'       # half pairs, and a byte that is no UTF-8
CONTROLS = C0 + C1 + BIDI + INVISIBLE + LINES + ODD + SURROGATES
ESCAPES = '\x1b[2J\x1b]0;title\x07\x1b]52;c;cm0gLXJmIC8=\x07\x9b31m\x1bP+q544e\x1b\\\r\x08'
BREAKS = '\n\n- a line of its own\n    rm -rf /srv\n# key: "value"\n...\n---\n'
SHELL = '\'"; touch pwned; $(touch pwned) `touch pwned` \\ $HOME'
ALL = 'n' + CONTROLS + ESCAPES + BREAKS + SHELL + 'm\n'
# one name each for what may go wrong alone
NAMES = [ALL, '--rm', '-x\n', '=1+1', '@SUM(1)', ESCAPES, BREAKS, SHELL, u'\u202egnp.exe', '\x9b\x9d', '%s %(name)s {name}', '\n', '\t\n',
         '\ud800', '\udc9b', '<b>&amp;"\'', 'x\n', '\nx', 'gr\u00fc\u00df \U0001f433']

IDS = ['name%d' % number for number in range(len(NAMES))]


def bad(text, allowed=''):
    """Characters of TEXT that nobody may be shown."""
    return sorted({char for char in text if not char.isprintable() and char not in allowed})
