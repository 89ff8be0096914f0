"""Finds dead links in the documentation: files and headings that are not there. Links to the web are not followed.

    python3 tools/links.py [FOLDER]       print them; exit status 1 if there are any

Standard library only.
"""
import os
import re
import sys
import typing
import urllib.parse

import tree

PAGES = ('.md', '.rst')
# what a fence or backticks enclose is no link
CODE = re.compile(r'^[ ]{0,3}(```+|~~~+).*?^[ ]{0,3}\1[ ]*$|(`+)[^`\n]+?\2', re.M | re.S)
FENCE = re.compile(r'^[ ]{0,3}(```+|~~~+).*?^[ ]{0,3}\1[ ]*$', re.M | re.S)
INLINE = re.compile(r'\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)')
REFERENCE = re.compile(r'^[ ]{0,3}\[[^\]\n]+\]:\s*(\S+)', re.M)
HTML = re.compile(r'<(?:a|img)\s[^>]*?(?:href|src)="([^"]+)"')
RST = re.compile(r'`[^`]*?<([^`<>\s]+)>`__?')
RST_LABEL = re.compile(r'^\.\. _([^:]+):', re.M)
HEADING = re.compile(r'^#{1,6}[ ]+(.+?)[ ]*#*$', re.M)
ANCHOR = re.compile(r'<[a-z]+\s[^>]*?\b(?:id|name)="([^"]+)"')
ELSEWHERE = re.compile(r'[a-z][a-z0-9+.-]*:|//')


def slug(heading, seen):
    """The anchor that GitHub gives a heading. SEEN: {slug: number} of the page so far."""
    text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
    text = re.sub(r'<[^>]+>', '', text).replace('`', '').strip().lower()
    text = re.sub(r'[^\w\- ]', '', text).replace(' ', '-')
    number = seen.get(text, 0)
    seen[text] = number + 1
    return '%s-%d' % (text, number) if number else text


def anchors(text):
    """Everything in a page that a link can end in."""
    seen: typing.Dict[str, int] = {}
    found = set(slug(heading, seen) for heading in HEADING.findall(FENCE.sub('', text)))
    return found | set(ANCHOR.findall(text)) | set(RST_LABEL.findall(text))


def targets(path, text):
    """Links of a page, as written, that do not lead to the web."""
    if path.endswith('.rst'):
        # `text <label_>`__ leads to a label of the same page
        found = ['#' + target[:-1] if target.endswith('_') else target for target in RST.findall(text)]
        found += HTML.findall(text)
    else:
        bare = CODE.sub('', text)
        found = INLINE.findall(bare) + REFERENCE.findall(bare) + HTML.findall(bare)
    return [target for target in found if not ELSEWHERE.match(target)]


def read(path):
    with open(path, encoding='utf-8') as page:
        return page.read()


def dead(top):
    """[(page, link, what is missing)] of the documentation below TOP; (number of pages, number of links) come first."""
    found, pages, links = [], 0, 0
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name not in tree.IGNORED and name != 'output')
        for name in sorted(names):
            path = os.path.join(folder, name)
            if not name.endswith(PAGES):
                continue
            pages += 1
            text = read(path)
            for target in targets(path, text):
                links += 1
                where, dummy, fragment = urllib.parse.unquote(target).partition('#')
                aim = os.path.normpath(os.path.join(folder, where)) if where else path
                if not os.path.exists(aim):
                    found.append((os.path.relpath(path, top), target, 'there is no such file'))
                elif fragment and aim.endswith(PAGES) and fragment not in anchors(read(aim)):
                    found.append((os.path.relpath(path, top), target, 'there is no such heading'))
    return (pages, links), found


def main():
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    (pages, links), found = dead(sys.argv[1] if len(sys.argv) > 1 else tree.CHECKOUT)
    for page, target, why in found:
        print('%s: %s: %s' % (page, target, why))
    print('%d links in %d pages, %d dead' % (links, pages, len(found)))
    return 1 if found or not links else 0


if __name__ == '__main__':
    sys.exit(main())
