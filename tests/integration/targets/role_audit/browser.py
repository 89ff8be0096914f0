"""browser.py REPORT.html [FOLDER]: use the page as a person would, in headless Chromium; screenshots go to FOLDER.

Needs Debian's chromium and chromium-driver, and nothing else: it speaks WebDriver itself.
"""
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ARGUMENTS = ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
             '--disable-component-update', '--disable-sync', '--hide-scrollbars')
ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'
ENTER, RIGHT = '\ue007', '\ue014'
LOAD_SECONDS = 2.0                      # what the manual promises for 1,000 hosts


class Browser(object):
    def __init__(self):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        self.profile = tempfile.mkdtemp()
        self.driver = subprocess.Popen(['chromedriver', '--port=%d' % port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.base = 'http://127.0.0.1:%d' % port
        for dummy in range(100):
            try:
                urllib.request.urlopen(self.base + '/status', timeout=2).close()
                break
            except (OSError, urllib.error.URLError):
                time.sleep(0.1)
        options = {'args': list(ARGUMENTS) + ['--user-data-dir=' + self.profile], 'binary': shutil.which('chromium')}
        made = self.call('POST', '/session', {'capabilities': {'alwaysMatch': {
            'browserName': 'chrome', 'goog:chromeOptions': options, 'goog:loggingPrefs': {'browser': 'ALL'}}}})
        self.base += '/session/' + made['sessionId']

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={'Content-Type': 'application/json'})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read())['value']
        except urllib.error.HTTPError as exc:
            raise AssertionError(exc.read().decode()[:1000])

    def js(self, script, *arguments):
        return self.call('POST', '/execute/sync', {'script': script, 'args': list(arguments)})

    def find(self, css):
        return self.call('POST', '/element', {'using': 'css selector', 'value': css})[ELEMENT]

    def click(self, css):
        self.call('POST', '/element/%s/click' % self.find(css), {})

    def type(self, css, text):
        self.call('POST', '/element/%s/value' % self.find(css), {'text': text})

    def size(self, width, height, dark=False):
        for command, parameters in (
                ('Emulation.setDeviceMetricsOverride', {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 600}),
                ('Emulation.setEmulatedMedia', {'features': [{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}]})):
            self.call('POST', '/goog/cdp/execute', {'cmd': command, 'params': parameters})

    def load(self, path):
        began = time.monotonic()
        self.call('POST', '/url', {'url': 'file://' + os.path.abspath(path)})
        self.wait('return document.documentElement.dataset.ready === "yes"')
        return time.monotonic() - began

    def wait(self, script, *arguments):
        for dummy in range(300):
            if self.js(script, *arguments):
                return
            time.sleep(0.05)
        raise AssertionError('did not come true: ' + script)

    def shot(self, path):
        with open(path, 'wb') as stream:
            stream.write(base64.b64decode(self.call('GET', '/screenshot')))

    def close(self):
        try:
            self.call('DELETE', '')
        finally:
            self.driver.terminate()
            self.driver.wait()
            shutil.rmtree(self.profile, ignore_errors=True)


def column(browser, number):
    return browser.js('return [...document.querySelectorAll("#body tr.row")].map((row) => row.cells[arguments[0]].textContent)', number)


def bytes_of(text):
    units = ('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')
    number, dummy, unit = text.replace('≥', '').replace('\xa0', ' ').strip().partition(' ')
    return float(number) * 1024 ** units.index(unit) if unit else -1.0


def contrast(browser, one, other):
    """Contrast (WCAG 2) of two elements' colours; OTHER None: of the element's text with its background. 99 if there is no such element."""
    return browser.js('''
        const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = (text) => numbers(text).slice(0, 3).map((part) => part / 255)
          .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
          .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
        const ends = [...arguments].filter(Boolean).map((selector) => document.querySelector(selector));
        if (ends.includes(null)) return 99;
        let colours;
        if (ends.length === 2) colours = ends.map((end) => getComputedStyle(end).fill);
        else {
          let below = ends[0];
          while (below && (numbers(getComputedStyle(below).backgroundColor)[3] === 0)) below = below.parentElement;
          colours = [getComputedStyle(ends[0]).color, getComputedStyle(below || document.body).backgroundColor];
        }
        const [a, b] = colours.map(light).sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);''', one, other)


def use(browser, path, folder):
    browser.size(1280, 900)
    took = min(browser.load(path) for dummy in range(3))
    print('loaded in %.2f s' % took)
    assert took < LOAD_SECONDS, took
    total = browser.js('return document.querySelectorAll("#body tr.row").length')
    assert total > 0
    if folder:
        browser.shot(os.path.join(folder, 'audit-report.png'))

    # worst first; sorting by size, both ways, with the keyboard
    severities = list(column(browser, 0))
    assert severities == sorted(severities, key=('critical', 'warning', 'info').index), severities
    browser.type('#head th:nth-child(5) button', ENTER)
    sizes = [bytes_of(text) for text in column(browser, 4)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) > 1, sizes
    assert browser.js('return document.querySelector("#head th:nth-child(5)").getAttribute("aria-sort")') == 'descending'
    assert browser.js('return document.activeElement === document.querySelector("#head th:nth-child(5) button")')
    browser.type('#head th:nth-child(5) button', ENTER)
    sizes = [bytes_of(text) for text in column(browser, 4)]
    assert sizes == sorted(sizes)

    # filters: severity, code, words, all together
    browser.js('const s = document.getElementById("severity"); s.value = "0"; s.dispatchEvent(new Event("change"))')
    assert set(column(browser, 0)) == {'critical'}
    browser.js('''const s = document.getElementById("code"); s.value = [...s.options].find((one) => one.text === "DB_IN_WRITABLE_LAYER").value;
                  s.dispatchEvent(new Event("change"))''')
    assert all('DB_IN_WRITABLE_LAYER' in text for text in column(browser, 1))
    object_name = column(browser, 2)[0]
    browser.js('document.body.focus()')
    browser.type('body', '/')
    assert browser.js('return document.activeElement.id') == 'search'
    browser.type('#search', object_name.upper() + ' writable')
    browser.wait('return [...document.querySelectorAll("#body tr.row")].every((row) => row.cells[2].textContent.includes(arguments[0]))', object_name)
    assert ' of ' in browser.js('return document.getElementById("count").textContent')
    browser.type('#search', ' nosuchwordanywhere')
    browser.wait('return document.getElementById("body").textContent.includes("Nothing matches")')

    # a finding opens with the keyboard and closes again
    browser.js('for (const id of ["search", "severity", "code"]) { const e = document.getElementById(id); e.value = ""; '
               'e.dispatchEvent(new Event(id === "search" ? "input" : "change")); }')
    browser.wait('return document.querySelectorAll("#body tr.row").length === arguments[0]', total)
    time.sleep(0.3)                     # the search waits for the end of typing, then draws anew
    browser.click('#head th:nth-child(1) button')
    browser.type('#body .open', ENTER)
    detail = browser.js('return document.querySelector("tr.detail").innerText')
    assert 'Consequence' in detail and 'Remedy' in detail and 'docker' in detail, detail
    browser.js('document.getElementById("tables").scrollIntoView()')
    if folder:
        browser.shot(os.path.join(folder, 'audit-finding.png'))
    browser.type('#body .open', ENTER)
    assert browser.js('return document.querySelector("tr.detail")') is None

    # a bar shows what it stands for; tabs by arrow keys
    browser.click('.bars button')
    browser.wait('return new Set([...document.querySelectorAll("#body tr.row")].map((row) => row.cells[3].textContent)).size === 1')
    browser.js('const e = document.getElementById("search"); e.value = ""; e.dispatchEvent(new Event("input"))')
    time.sleep(0.3)
    for name in ('containers', 'volumes', 'hosts'):
        browser.type('[role=tab][aria-selected=true]', RIGHT)
        assert browser.js('return document.activeElement.id') == 'tab-' + name
        assert browser.js('return document.querySelectorAll("#body tr.row").length') > 0
    states = column(browser, 1)
    assert any(text.startswith('unreachable') for text in states) and any('audited' in text for text in states)
    missing = browser.js('return document.querySelector(".missing").innerText')
    assert 'could not be audited' in missing and 'unreachable' in missing
    sizes = dict(zip(column(browser, 0), column(browser, 2)))
    for host, text in zip(column(browser, 0), states):
        if text.startswith(('unreachable', 'audit failed', 'no Docker')):
            assert sizes[host] == '', 'a host without numbers shows %s' % sizes[host]

    # a tile of the map shows its place
    name, dummy, where = browser.js('return document.querySelector(".map.flat g title").textContent').rpartition(': ')[0].rpartition(' on ')
    browser.click('.map.flat g')
    browser.wait('const rows = [...document.querySelectorAll("#body tr.row")]; '
                 'return rows.length && rows.every((row) => row.cells[1].textContent === arguments[0])', where)
    assert any(text.startswith(name) for text in column(browser, 0)), (name, column(browser, 0))
    assert browser.js('return document.querySelector("[role=tab][aria-selected=true]").id') in ('tab-containers', 'tab-volumes')

    # phone, dark: nothing is wider than the screen
    for width, height, dark, name in ((390, 844, False, 'audit-phone.png'), (1280, 900, True, 'audit-dark.png'), (320, 700, False, None)):
        browser.size(width, height, dark)
        browser.load(path)
        inner = browser.js('return [document.documentElement.scrollWidth, window.innerWidth]')
        assert inner[0] <= inner[1], (width, inner)
        background = browser.js('return getComputedStyle(document.body).backgroundColor')
        assert (background == 'rgb(255, 255, 255)') is not dark
        # told apart without seeing hues: colours of the map by their lightness, texts from what is below them
        for one, other, ratio in (('.map .db rect', '.map g:not(.db) rect', 3), ('.map .db rect', '.map .db text', 4.5),
                                  ('.map g:not(.db) rect', '.map g:not(.db) text', 4.5)):
            assert contrast(browser, one, other) >= ratio, (one, other, dark)
        for text in ('.sev', '.code', '.quiet', '.count', '.note', '.missing p', '.missing h2'):
            assert contrast(browser, text, None) >= 4.5, (text, dark)
        if folder and name:
            browser.shot(os.path.join(folder, name))
    before = browser.js('return getComputedStyle(document.body).backgroundColor')
    browser.click('#theme')
    assert browser.js('return getComputedStyle(document.body).backgroundColor') != before
    log = browser.call('POST', '/se/log', {'type': 'browser'})
    assert log == [], log


def main():
    browser = Browser()
    try:
        use(browser, sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    finally:
        browser.close()
    print('browser: as expected')


if __name__ == '__main__':
    main()
