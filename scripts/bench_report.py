"""What scripts/bench tells: the spreads over all rounds, as tables, as goals, and as a part of the README."""
import statistics
import textwrap

FAULTS = ('lost', 'doubled', 'reordered', 'wrong')
RATIOS = ('rate', 'cpu_candidate', 'cpu_both', 'p50_us', 'p99_us')
BEGIN, END = '<!-- written by scripts/bench -->', '<!-- until here -->'


def spread(values):
    return {'min': min(values), 'median': statistics.median(values), 'max': max(values)}


GROUPS = ('', 'to-modern', 'quorum')


def group(name):
    """Candidates are compared with those that do the same."""
    last = name.rpartition(' ')[2]
    return last if last in GROUPS else ''


def compared(ours, other):
    """The bridge with all of its group, and with itself to legacy; what else goes to modern with itself to legacy."""
    if ours.startswith('bridge'):
        return other != ours and (group(other) == group(ours) or other == 'bridge')
    return ours == f'{other} to-modern'


def summary(rounds):
    """Per mode and candidate the spread of each figure, that of the ratios, and of the delay above that of a binding; the
    two of them taken round by round."""
    made = {}
    for mode in dict.fromkeys(mode for one in rounds for mode in one):
        of_mode = [one[mode] for one in rounds if mode in one]
        names = list(dict.fromkeys(name for one in of_mode for name in one))
        figures, ratios = {}, {}
        for name in names:
            keys = [key for key, value in of_mode[0].get(name, {}).items()
                    if not isinstance(value, list) and all(one.get(name, {}).get(key) is not None for one in of_mode)]
            figures[name] = {key: spread([one[name][key] for one in of_mode]) for key in keys}
        for ours in names:
            ratios[ours] = {other: {
                key: spread([one[ours][key] / one[other][key] for one in of_mode])
                for key in RATIOS if all(one.get(ours, {}).get(key) and one.get(other, {}).get(key) for one in of_mode)}
                for other in names if compared(ours, other)}
        above = {name: spread([one[name]['p50_us'] - one['binding']['p50_us'] for one in of_mode])
                 for name in names if mode not in COLUMNS and name != 'binding' and all(name in one and 'binding' in one for one in of_mode)}
        made[mode] = {'figures': figures, 'ratios': ratios, 'above': above}
    return made


def aligned(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print('  '.join(cell.ljust(width) if column == 0 else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))).rstrip())


def told(figure, form):
    return f"{figure['min']:{form}} {figure['median']:{form}} {figure['max']:{form}}" if figure else '-'


RATE = ('events/s', 'rate', '.0f')
COST = [('CPU', 'cpu_candidate', '.2f'), ('CPU broker', 'cpu_broker', '.2f'), ('both', 'cpu_both', '.2f'), ('CPU measuring', 'cpu_load', '.2f'), ('MiB', 'peak_mib', '.1f')]
DELAYS = [('p50 µs', 'p50_us', '.0f'), ('p99 µs', 'p99_us', '.0f'), ('p99.9 µs', 'p99_9_us', '.0f'), ('sent late, p50', 'late_p50_us', '.0f')]
COLUMNS = {
    'saturated': [RATE, *COST],
    'start': [('ms until ready', 'ready_ms', '.0f')],
    'translate': [RATE, COST[0], ('ms to the first line', 'first_line_ms', '.1f')],
}


def show(made):
    for mode, of_mode in made.items():
        columns = COLUMNS.get(mode, [*DELAYS, *COST])
        print(f'\n{mode}: min, median and max of the rounds; CPU in seconds per 100,000 events\n')
        counted = any('lost' in figures for figures in of_mode['figures'].values())
        aligned([['', *(head for head, _, _ in columns), *(['lost, doubled, reordered'] if counted else [])],
                 *([name, *(told(figures.get(key), form) for _, key, form in columns),
                    *([' '.join(str(figures[fault]['max']) for fault in FAULTS[:3])] if counted else [])]
                   for name, figures in of_mode['figures'].items())])
        if of_mode['above']:
            print(f'\n{mode}: p50 above that of the binding in µs, round by round\n')
            aligned([[name, told(above, '.0f')] for name, above in of_mode['above'].items()])
        for ours, others in of_mode['ratios'].items():
            keys = [key for key in RATIOS if any(key in ratios for ratios in others.values())]
            if keys and mode not in COLUMNS:
                keys.remove('rate')  # it is that of the load
            if mode == 'saturated':
                keys = [key for key in keys if not key.endswith('us')]
            if others and keys:
                print(f'\n{mode}: {ours} divided by the other, round by round\n')
                aligned([['', *(key.removesuffix('_us').replace('_', ' ') for key in keys)],
                         *([name, *(told(ratios.get(key), '.2f') for key in keys)] for name, ratios in others.items())])


def faults_of(document):
    """Per run what was lost, doubled, out of order or not translated."""
    runs = [(f'round {number}: {mode}: {name}', figures) for number, one in enumerate(document['rounds'], 1)
            for mode, of_mode in one.items() for name, figures in of_mode.items()]
    if document.get('backlog'):
        runs.append(('backlog', document['backlog']))
    runs = [(which, figures) for which, figures in runs if 'lost' in figures]
    return len(runs), [f'{which}: {figures[what]} {what}' for which, figures in runs for what in FAULTS if figures[what]]


def goals(document, made):
    """What is wanted: the words, the figure, the bound, and whether a larger one is better."""
    saturated, offline, start = (made.get(mode, {}) for mode in ('saturated', 'translate', 'start'))

    def ratio(of_mode, ours, other, key):
        return of_mode.get('ratios', {}).get(ours, {}).get(other, {}).get(key, {}).get('median')

    def figure(of_mode, name, key):
        return of_mode.get('figures', {}).get(name, {}).get(key, {}).get('median')

    wanted = [(f'events/s / {other}', ratio(saturated, 'bridge', other, 'rate'), bound, True)
              for other, bound in [('lapin idiom', 1.0), ('lapin tuned', 0.95), ('shovel', 1.0), ('node', 1.0), ('pika', 1.8), ('kombu', 3.5)]]
    wanted += [
        ('events/s to modern / to legacy', ratio(saturated, 'bridge to-modern', 'bridge', 'rate'), 0.85, True),
        ('CPU / lapin tuned', ratio(saturated, 'bridge', 'lapin tuned', 'cpu_candidate'), 1.0, False),
        ('CPU / pika', ratio(saturated, 'bridge', 'pika', 'cpu_candidate'), 0.3, False),
        ("CPU of both / shovel's", ratio(saturated, 'bridge', 'shovel', 'cpu_both'), 0.85, False)]
    for mode, of_mode in made.items():
        if mode not in COLUMNS:
            wanted += [(f'{mode}: p50 above the binding, µs', of_mode['above'].get('bridge', {}).get('median'), 150, False),
                       (f"{mode}: p99 / shovel's", ratio(of_mode, 'bridge', 'shovel', 'p99_us'), 1.2, False)]
    wanted += [
        ('MiB, saturated', figure(saturated, 'bridge', 'peak_mib'), 20, False),
        ('ms to ready, nothing there', figure(start, 'start, nothing there', 'ready_ms'), 200, False),
        ('ms to ready, all there', figure(start, 'start, all there', 'ready_ms'), 200, False),
        ('translate, events/s / jq', ratio(offline, 'bridge translate', 'jq', 'rate'), 20, True),
        ('translate, ms to the first line', figure(offline, 'bridge translate', 'first_line_ms'), 20, False)]
    if document.get('backlog'):
        by_tenths = document['backlog']['rate_by_tenths']
        wanted += [('backlog: events/s, last tenth / first', by_tenths[-1] / by_tenths[0], 0.9, True),
                   ('backlog: MiB', document['backlog']['peak_mib'], 20, False)]
    return [(what, value, bound, larger) for what, value, bound, larger in wanted if value is not None]


def show_all(document, made):
    show(made)
    if document.get('backlog'):
        one = document['backlog']
        tenths = ' '.join(f'{rate:.0f}' for rate in one['rate_by_tenths'])
        print(f"\nbacklog of {one['count']:,} events: {one['rate']:.0f} events/s; by tenths {tenths}; "
              f"{one['early_peak_mib']:.1f} MiB after the first tenth, {one['peak_mib']:.1f} after the last")
    print('\ngoals, by the medians\n')
    aligned([['', 'is', 'wanted', ''], *(
        [what, f'{value:.2f}', f"{'≥' if larger else '≤'} {bound:g}", 'met' if (value >= bound if larger else value <= bound) else 'MISSED']
        for what, value, bound, larger in goals(document, made))])
    runs, faults = faults_of(document)
    print(f"\n{about(document)}\n{document['command']}\n")
    print('\n'.join(faults) or f'lost, doubled, reordered, wrong: 0 of each in all {runs} runs')


def about(document):
    machine = document['machine']
    busy = 'otherwise idle' if machine['load'] < 0.5 else f"busy with other work (load {machine['load']:.1f} before)"
    return (f"{machine['cores']} cores ({machine['cpu']}), {machine['ram_gib']:.0f} GiB, Linux {machine['kernel']}, RabbitMQ {machine['rabbitmq']} on "
            f"Erlang {machine['erlang']}, {busy}. The binary has {machine['binary_mib']:.1f} MiB, stripped.")


WHAT = {'bridge': '**cti-bridge**, one way', 'bridge both ways': '**cti-bridge**, both ways', 'bridge to-modern': '**cti-bridge**, to modern',
        'bridge quorum': '**cti-bridge**, one way, quorum queue',
        'lapin tuned': 'bare lapin forwarder, tuned', 'lapin idiom': 'bare lapin forwarder, as documented',
        'binding': 'exchange-to-exchange binding ¹', 'shovel': 'shovel, on-confirm ¹', 'node': 'amqplib (Node), pipelined',
        'pika': 'pika, pipelined', 'kombu': 'kombu, a confirm per publish'}


def called(name):
    if name in WHAT:
        return WHAT[name]
    base, _, last = name.rpartition(' ')
    return f"{WHAT[base]}, {last.replace('to-modern', 'to modern').replace('quorum', 'quorum queue')}"


def cell(figure, form, bounds=True):
    if not figure:
        return ''
    ends = f" ({figure['min']:{form}}–{figure['max']:{form}})" if bounds else ''
    return f"{figure['median']:{form}}{ends}"


def readme(document, made, drawing):
    """The part of the README between the marks."""
    saturated = made['saturated']
    rated = [mode for mode in made if mode not in COLUMNS]
    lines = [
        f"{about(document)} Programs and broker share the machine. Interleaved rounds: {len(document['rounds'])}; {document['count']:,} events of "
        f"some 830 bytes, prefetch {document['prefetch']}, classic intake queues where nothing else is said. Medians, in "
        'brackets the least and the most:',
        '',
        '| | events/s | the bridge ÷ this | CPU s per 100,000 | with the broker\'s | MiB | '
        + ' | '.join(f'p50 / p99 µs at {mode.removesuffix(" events/s")}/s' for mode in rated) + ' |',
        '| --- ' * (6 + len(rated)) + '|']
    for name, figures in saturated['figures'].items():
        ours = f'bridge {group(name)}'.strip()
        delays = [of_name and f"{of_name['p50_us']['median']:,.0f} / {of_name['p99_us']['median']:,.0f}"
                  for of_name in (made[mode]['figures'].get(name) for mode in rated)]
        lines.append('| ' + ' | '.join([
            called(name), cell(figures['rate'], ',.0f'), cell(saturated['ratios'].get(ours, {}).get(name, {}).get('rate'), '.2f'),
            cell(figures['cpu_candidate'], '.2f') if figures['cpu_candidate']['max'] else '', cell(figures['cpu_both'], '.2f', False),
            cell(figures.get('peak_mib'), '.0f', False), *(one or '' for one in delays)]) + ' |')
    measuring = saturated['figures'].get('bridge', {}).get('cpu_load')
    lines += ['', '¹ does not translate. Delays count from when an event was meant to be sent, at a rate that is kept.', '',
              f'![events per second, CPU and delays of all of them]({drawing})', '']
    for mode in rated:
        above = {name: cell(of_name, '.0f') for name, of_name in made[mode]['above'].items()}
        if {'bridge', 'bridge both ways', 'lapin tuned', 'shovel'} <= above.keys():
            lines.append(f"- At {mode.replace('events/s', 'events a second')} the median delay is {above['bridge']} µs above that of the binding, both "
                         f"ways {above['bridge both ways']}; that of the tuned forwarder {above['lapin tuned']}, of the shovel {above['shovel']}.")
    if measuring:
        lines.append(f"- What receives the events takes {cell(measuring, '.2f')} CPU seconds per 100,000 itself, beside the saturated bridge.")
    shares = [saturated['ratios'].get(name, {}).get(other, {}).get('rate') for name, other in (
        ('bridge quorum', 'bridge'), ('bridge to-modern', 'bridge'), ('lapin tuned to-modern', 'lapin tuned'))]
    if all(shares):
        with_quorum, to_modern, tuned = (cell(share, '.2f') for share in shares)
        lines.append(f'- Of its events/s to legacy with classic queues the bridge does {with_quorum} with quorum queues and {to_modern} to modern; '
                     f'the tuned forwarder does {tuned} of its own to modern.')
    if 'translate' in made:
        ours, other = (made['translate']['figures'][name] for name in ('bridge translate', 'jq'))
        times = made['translate']['ratios']['bridge translate']['jq']['rate']['median']
        lines.append(f"- `cti-bridge translate`: {ours['rate']['median']:,.0f} events/s, {times:.0f} times as many as `jq -ac '{{name, data}}'` "
                     f"({other['rate']['median']:,.0f}); the first line after {ours['first_line_ms']['median']:.0f} ms.")
    if 'start' in made:
        first, again = (made['start']['figures'][name]['ready_ms']['median'] for name in ('start, nothing there', 'start, all there'))
        lines.append(f'- With the defaults it is ready {again:.0f} ms after the start, {first:.0f} ms where its queues have to be made.')
    if document.get('backlog'):
        one = document['backlog']
        lines.append(f"- A backlog of {one['count']:,} events: {one['rate']:,.0f} events/s, {one['rate_by_tenths'][0]:,.0f} in the first tenth and "
                     f"{one['rate_by_tenths'][-1]:,.0f} in the last; {one['peak_mib']:.0f} MiB at the most.")
    runs, faults = faults_of(document)
    lines.append(f"- In all {runs} runs {'nothing was' if not faults else 'events were'} lost, doubled or out of order.")
    lines += ['', f"Measured with `{document['command']}`."]
    return '\n'.join(line if line.startswith(('|', '!')) else textwrap.fill(line, 120, break_long_words=False, break_on_hyphens=False,
                     subsequent_indent='  ' * line.startswith('- ')) for line in lines)


def put_into(text, part):
    """The README with this part between the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f'bench: the README has no `{BEGIN}` … `{END}`')
    return f'{before}{BEGIN}\n{part}\n{END}{after}'
