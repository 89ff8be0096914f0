// The tables of the report. Everything that comes from a disk is set as text, never as markup.
'use strict';
(async function () {
  const byId = (id) => document.getElementById(id);
  const PAGE = 50;

  // -- light and dark ------------------------------------------------------------------------------------------------
  const root = document.documentElement;
  const theme = byId('theme');
  const dark = () => (root.dataset.theme || (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const say = () => { theme.textContent = dark() ? 'Light' : 'Dark'; theme.setAttribute('aria-label', 'Switch to ' + (dark() ? 'light' : 'dark')); };
  theme.hidden = false;
  theme.addEventListener('click', () => { root.dataset.theme = dark() ? 'light' : 'dark'; say(); });
  say();

  // -- data ------------------------------------------------------------------------------------------------------------
  async function load() {
    const plain = byId('data');
    if (plain) return JSON.parse(plain.textContent);
    const packed = Uint8Array.from(atob(byId('packed').textContent), (char) => char.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Response(stream).json();
  }
  let data;
  try {
    data = await load();
  } catch (error) {
    byId('body').textContent = 'This browser cannot unpack the tables; report.csv and report.json have the same rows.';
    return;
  }
  const SEVERITIES = data.severities;
  const host = (index) => data.hosts[index].host;

  function size(bytes) {
    if (bytes === null || bytes === undefined) return '';
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
    let number = bytes, unit = 0;
    while (number >= 1000 && unit < 5) { number /= 1024; unit += 1; }
    return (unit === 0 || number >= 100 ? number.toFixed(0) : number.toFixed(1)) + '\u00a0' + units[unit];
  }
  const count = (number) => number === null || number === undefined ? '' : number.toLocaleString('en');
  const short = (name) => /^[0-9a-f]{64}$/.test(name) ? name.slice(0, 12) + '\u2026' : name;
  const day = (text) => text ? text.slice(0, 10) : '';

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === 'class') made.className = value; else made.setAttribute(key, value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }
  function severity(index) {
    const name = index === null ? 'none' : SEVERITIES[index];
    return element('span', { class: 'sev ' + name }, name);
  }

  // -- the tables: rows are arrays, columns say where and how ---------------------------------------------------------------
  // column: title, value(row) for sorting, show(row) -> text or element, number, name, text, first (direction)
  const TABLES = {
    findings: {
      rows: data.findings, order: [0, 'ascending'],
      words: (row) => [host(row[0]), data.codes[row[2]], row[3], row[5]],
      severity: (row) => row[1], code: (row) => [row[2]], suppressed: (row) => row[9] !== null,
      columns: [
        { title: 'Severity', value: (row) => row[1] * 1e18 - (row[4] || 0), show: (row) => severity(row[1]) },
        { title: 'Finding', text: true, value: (row) => data.codes[row[2]], show: finding },
        { title: 'Object', name: true, value: (row) => row[3], show: (row) => row[3] },
        { title: 'Host', value: (row) => host(row[0]), show: (row) => host(row[0]) },
        { title: 'Size', number: true, first: 'descending', value: (row) => row[4] === null ? -1 : row[4], show: (row) => size(row[4]) },
      ],
    },
    containers: {
      rows: data.containers, order: [3, 'descending'],
      words: (row) => [host(row[0]), row[1], row[2] || '', row[3] || '', row[4] || '', row[9]],
      severity: (row) => row[10], code: (row) => row[11],
      columns: [
        { title: 'Container', name: true, value: (row) => row[1], show: (row) => row[1] },
        { title: 'Host', value: (row) => host(row[0]), show: (row) => host(row[0]) },
        { title: 'Image', value: (row) => row[2] || '', show: (row) => row[2] || '' },
        { title: 'Data in it', number: true, first: 'descending', value: (row) => row[5] === null ? -1 : row[5], show: (row) => floor(row[5], row[12]) },
        { title: 'Log', number: true, first: 'descending', value: (row) => row[7], show: (row) => size(row[7]) },
        { title: 'Databases', value: (row) => row[9], show: (row) => row[9] },
        { title: 'Newest change', value: (row) => row[8] || '', show: (row) => day(row[8]) },
        { title: 'Severity', value: (row) => row[10] === null ? 9 : row[10], show: verdict(10, 11) },
      ],
    },
    volumes: {
      rows: data.volumes, order: [3, 'descending'],
      words: (row) => [host(row[0]), row[1], row[2], row[6], row[7]],
      severity: (row) => row[8], code: (row) => row[9],
      columns: [
        { title: 'Volume or layer', name: true, value: (row) => row[1], show: (row) => element('span', { title: row[1] }, short(row[1])) },
        { title: 'Host', value: (row) => host(row[0]), show: (row) => host(row[0]) },
        { title: 'Kind', value: (row) => row[2], show: (row) => row[2] },
        { title: 'Size', number: true, first: 'descending', value: (row) => row[3] === null ? -1 : row[3], show: (row) => floor(row[3], row[10]) },
        { title: 'Databases', value: (row) => row[6], show: (row) => row[6] },
        { title: 'Used by', value: (row) => row[7], show: (row) => row[7] },
        { title: 'Newest change', value: (row) => row[5] || '', show: (row) => day(row[5]) },
        { title: 'Severity', value: (row) => row[8] === null ? 9 : row[8], show: verdict(8, 9) },
      ],
    },
    hosts: {
      rows: data.hosts.map((one, index) => [index, one]), order: [2, 'descending'],
      words: (row) => [row[1].host, row[1].text, row[1].message || ''],
      severity: (row) => row[1].severity, code: () => null,
      columns: [
        { title: 'Host', name: true, value: (row) => row[1].host, show: (row) => row[1].host },
        { title: 'State', value: (row) => row[1].text, show: state },
        { title: 'Held by no volume', number: true, first: 'descending', value: (row) => number(row[1].at_risk), show: (row) => size(row[1].at_risk) },
        { title: 'Critical', number: true, first: 'descending', value: (row) => number(row[1].critical), show: (row) => count(row[1].critical) },
        { title: 'Warning', number: true, first: 'descending', value: (row) => number(row[1].warning), show: (row) => count(row[1].warning) },
        { title: 'Containers', number: true, first: 'descending', value: (row) => number(row[1].containers), show: (row) => count(row[1].containers) },
        { title: 'Volumes', number: true, first: 'descending', value: (row) => number(row[1].volumes), show: (row) => size(row[1].volumes) },
        { title: 'Logs', number: true, first: 'descending', value: (row) => number(row[1].logs), show: (row) => size(row[1].logs) },
      ],
    },
  };
  function number(value) { return value === null ? Infinity : value; }   // what was not counted is worse than any number
  function floor(bytes, complete) { return bytes === null ? 'not counted' : (complete ? '' : '\u2265\u00a0') + size(bytes); }
  function verdict(at, codes) {
    return (row) => {
      const made = element('span', {}, severity(row[at]));
      if (row[codes].length) made.append(element('div', { class: 'code' }, row[codes].map((index) => data.codes[index]).join(', ')));
      return made;
    };
  }
  function state(row) {
    const one = row[1];
    const made = element('span', { class: 'state' + (one.at_risk === null ? ' off' : one.state === 'daemon_dead' ? ' dead' : '') }, one.text);
    if (one.message) made.append(element('div', { class: 'code' }, one.message));
    return made;
  }
  function finding(row) {
    const button = element('button', { class: 'open', type: 'button', 'aria-expanded': 'false' }, element('span', { class: 'say' }, row[5]),
      element('div', { class: 'code' }, data.codes[row[2]] + (row[9] === null ? '' : ' \u2013 suppressed: ' + row[9])));
    button.addEventListener('click', () => toggle(button, row));
    return button;
  }
  function toggle(button, row) {
    const line = button.closest('tr');
    const opened = button.getAttribute('aria-expanded') === 'true';
    button.setAttribute('aria-expanded', String(!opened));
    if (opened) { line.nextElementSibling.remove(); return; }
    const list = element('dl', {});
    const add = (title, value) => { if (value) list.append(element('dt', {}, title), element('dd', {}, value)); };
    add('Consequence', row[6]);
    add('Next step', row[8]);
    if (row[7]) {
      const pre = element('pre', {}, row[7]);
      const copy = element('button', { class: 'copy', type: 'button' }, 'Copy');
      copy.addEventListener('click', async () => {
        try { await navigator.clipboard.writeText(row[7]); copy.textContent = 'Copied'; } catch (error) { getSelection().selectAllChildren(pre); }
      });
      list.append(element('dt', {}, 'Remedy'), element('dd', {}, pre, copy));
    }
    line.after(element('tr', { class: 'detail' }, element('td', { colspan: '5' }, list)));
  }

  // -- what is shown ------------------------------------------------------------------------------------------------------
  const search = byId('search'), severities = byId('severity'), codes = byId('code'), hidden = byId('suppressed');
  const tabs = [...document.querySelectorAll('[role=tab]')];
  let current = 'findings', shown = PAGE, matches = [];
  const orders = Object.fromEntries(Object.entries(TABLES).map(([name, table]) => [name, table.order]));
  const haystacks = {};

  for (const [index, code] of data.codes.entries()) codes.append(element('option', { value: String(index) }, code));

  function haystack(name) {
    if (!haystacks[name]) haystacks[name] = new Map(TABLES[name].rows.map((row) => [row, TABLES[name].words(row).join('\n').toLowerCase()]));
    return haystacks[name];
  }
  function choose() {
    const table = TABLES[current];
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hay = words.length ? haystack(current) : null;
    const wanted = severities.value === '' ? null : Number(severities.value), code = codes.value === '' ? null : Number(codes.value);
    matches = table.rows.filter((row) => {
      if (table.suppressed && !hidden.checked && table.suppressed(row)) return false;
      if (wanted !== null && table.severity(row) !== wanted) return false;
      if (code !== null && table.code(row) && !table.code(row).includes(code)) return false;
      return words.every((word) => word.startsWith('host:') ? rowHost(row) === word.slice(5) : hay.get(row).includes(word));
    });
    const [column, direction] = orders[current];
    const value = table.columns[column].value, turn = direction === 'descending' ? -1 : 1;
    const compare = new Intl.Collator('en', { numeric: true }).compare;
    matches = matches.map((row) => [value(row), row]).sort((a, b) =>
      turn * (typeof a[0] === 'number' ? (a[0] === b[0] ? 0 : a[0] - b[0]) : compare(a[0], b[0]))).map((pair) => pair[1]);
  }
  const rowHost = (row) => host(row[0]).toLowerCase();

  function line(row) {
    return element('tr', { class: 'row' }, ...TABLES[current].columns.map((column) => {
      const cell = element('td', { class: column.number ? 'number' : column.text ? 'text' : column.name ? 'name' : column.title === 'Host' ? 'host' : '' }, column.show(row));
      if (!column.text && !column.name && column.title !== 'Severity' && cell.textContent) cell.dataset.label = column.title;
      return cell;
    }));
  }
  function draw() {
    const table = TABLES[current];
    const heads = table.columns.map((column, index) => {
      const [at, direction] = orders[current];
      const button = element('button', { type: 'button' }, column.title);
      const head = element('th', { scope: 'col', class: column.number ? 'number' : '', 'aria-sort': at === index ? direction : 'none' }, button);
      button.addEventListener('click', () => {
        const first = column.first || 'ascending', other = first === 'ascending' ? 'descending' : 'ascending';
        orders[current] = [index, at === index && direction === first ? other : first];
        update(false);
        byId('head').querySelectorAll('button')[index].focus();
      });
      return head;
    });
    byId('head').replaceChildren(element('tr', {}, ...heads));
    byId('body').replaceChildren(...matches.slice(0, shown).map(line));
    if (!matches.length) byId('body').append(element('tr', {}, element('td', { colspan: '9', class: 'empty' }, table.rows.length ? 'Nothing matches.' : 'Nothing here.')));
    status();
  }
  function status() {
    const total = TABLES[current].rows.length;
    byId('count').textContent = matches.length === total ? count(total) + ' rows' : count(matches.length) + ' of ' + count(total) + ' rows';
    byId('more').hidden = matches.length <= shown;
    byId('more').textContent = 'Show ' + Math.min(PAGE * 2, matches.length - shown) + ' more';
  }
  function update(rewind) {
    if (rewind !== false) shown = PAGE;
    choose();
    draw();
  }
  function select(name, focus) {
    current = name;
    for (const tab of tabs) {
      const on = tab.dataset.table === name;
      tab.setAttribute('aria-selected', String(on));
      tab.tabIndex = on ? 0 : -1;
      if (on && focus) tab.focus();
      if (on && root.dataset.ready) tab.scrollIntoView({ block: 'nearest', inline: 'nearest' });
      if (on) byId('panel').setAttribute('aria-labelledby', tab.id);
    }
    byId('suppressed').parentElement.hidden = name !== 'findings';
    codes.hidden = name === 'hosts';
    update();
  }
  for (const tab of tabs) {
    const rows = TABLES[tab.dataset.table].rows;
    tab.append(element('span', {}, count(tab.dataset.table === 'findings' ? rows.filter((row) => row[9] === null).length : rows.length)));
    tab.addEventListener('click', () => select(tab.dataset.table));
    tab.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -99, End: 99 }[event.key];
      if (!step) return;
      event.preventDefault();
      const at = tabs.indexOf(tab);
      const next = Math.abs(step) === 99 ? (step < 0 ? 0 : tabs.length - 1) : (at + step + tabs.length) % tabs.length;
      select(tabs[next].dataset.table, true);
    });
  }
  let timer = 0;
  search.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(update, 80); });
  for (const control of [severities, codes, hidden]) control.addEventListener('change', update);
  byId('more').addEventListener('click', () => {
    const before = shown;
    shown += PAGE * 2;
    byId('body').append(...matches.slice(before, shown).map(line));
    status();
  });
  for (const bar of document.querySelectorAll('[data-show]')) {
    bar.addEventListener('click', () => {
      search.value = bar.dataset.show;
      severities.value = codes.value = '';
      select(bar.dataset.table || 'findings');
      byId('tables').scrollIntoView();
      search.focus({ preventScroll: true });
    });
  }
  addEventListener('keydown', (event) => {
    if (event.key === '/' && !/INPUT|SELECT|TEXTAREA/.test(document.activeElement.tagName)) { event.preventDefault(); search.focus(); }
  });
  select('findings');
  root.dataset.ready = 'yes';
}());
