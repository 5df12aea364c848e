"""This bridge beside what a site could take instead of it, measured end to end in interleaved rounds.

To be run as `scripts/bench`. Saturated: the intake queue is filled while the candidate is off; then it starts, and the
time counts from the tenth part of the events to the last. A binding has no queue of its own, so there the events are
published while it is measured, as fast as they are confirmed. At a rate: the delay counts from when an event was meant
to be sent, whether the load kept up or not. Ratios are of the figures of the same round.
"""
import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from bench_plot import plot
from processes import ORIGIN_UUID, Failed, Program, bridge

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KINDS = 'call_created,call_updated,call_ended,users_services_dnd_updated'
INTAKE = 'bench.intake'
PREFETCH = 1000
TICKS = os.sysconf('SC_CLK_TCK')


def peers(*arguments):
    return [os.environ['BENCH_PEERS'], *map(str, arguments)]


def peers_now(*arguments):
    subprocess.run(peers(*arguments), check=True, stdout=subprocess.DEVNULL)


def cpu_of(pid):
    """User and system seconds so far."""
    with open(f'/proc/{pid}/stat') as stat:
        fields = stat.read().rsplit(') ', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_of(pid):
    """The most memory so far, in MiB."""
    with open(f'/proc/{pid}/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) / 1024


class Candidate:
    """Something that takes events from one exchange to another."""

    direction = 'to-legacy'
    intake = INTAKE
    binds = False  # no queue of its own
    translates = True
    share = 1.0  # of the events, for what is slow

    def __init__(self, name, what):
        self.name, self.what = name, what

    def prepare(self):
        intake = ['--intake', self.intake] if self.intake else []
        peers_now('prepare', '--direction', self.direction, *intake, *(['--bind'] if self.binds else []))

    def start(self):
        """A running program, or a context without one; it is given the process whose cost is measured."""
        raise NotImplementedError


class Bridge(Candidate):
    intake = None

    def __init__(self, direction):
        super().__init__(f'bridge {direction}', 'this bridge')
        self.direction = direction

    def start(self):
        listen = ['--legacy-event', KINDS] if self.direction == 'to-modern' else []
        return bridge(os.environ['CTI_BRIDGE'], ['--queue-type', 'classic', '--prefetch-count', str(PREFETCH), *listen])

    def prepare(self):
        super().prepare()
        # Its queues and bindings are its own to make.
        with self.start() as program:
            program.stop()


class Peer(Candidate):
    """A program that says `ready` on standard error."""

    def __init__(self, name, what, command, share=1.0):
        super().__init__(name, what)
        self.command, self.share = command, share

    def start(self):
        program = Program(self.name, self.command)
        try:
            program.wait_for('stderr', lambda lines: 'ready' in lines, 30, 'did not get ready')
        except BaseException:
            program.stop()
            raise
        return program


class Binding(Candidate):
    intake, binds, translates = None, True, False

    def __init__(self):
        super().__init__('binding', 'an exchange-to-exchange binding')

    def start(self):
        return contextlib.nullcontext()


class Shovel(Candidate):
    """A shovel of RabbitMQ's own, whose cost is the broker's."""

    translates = False

    def __init__(self):
        super().__init__('shovel', 'a shovel, on-confirm')

    def prepare(self):
        # It keeps routing keys, as a binding does.
        peers_now('prepare', '--direction', self.direction, '--intake', self.intake, '--as-sent')

    @contextlib.contextmanager
    def start(self):
        url = os.environ['CTI_BRIDGE_AMQP_URL']
        definition = {'src-protocol': 'amqp091', 'src-uri': url, 'src-queue': self.intake, 'src-prefetch-count': PREFETCH,
                      'dest-protocol': 'amqp091', 'dest-uri': url, 'dest-exchange': 'xivo-cti', 'ack-mode': 'on-confirm'}
        # A name of its own each time: one that has just been taken away may not be gone yet.
        name = f'bench-{time.monotonic_ns()}'
        subprocess.run(['rabbitmqctl', '--quiet', 'set_parameter', 'shovel', name, json.dumps(definition)], check=True)
        try:
            yield None
        finally:
            subprocess.run(['rabbitmqctl', '--quiet', 'clear_parameter', 'shovel', name], check=True)


def client(name, program, file):
    """The command of a bridge in another language."""
    return [os.path.join(os.environ['CLIENTS_DIR'], name, 'bin', program), os.path.join(ROOT, 'tests', 'benches', 'peers', 'clients', file),
            os.environ['CTI_BRIDGE_AMQP_URL'], INTAKE, str(PREFETCH)]


def candidates():
    def forwarder(way):
        return peers('forward', '--intake', INTAKE, '--prefetch', PREFETCH, '--way', way)

    return [
        Bridge('to-legacy'),
        Bridge('to-modern'),
        Peer('lapin tuned', 'a bare lapin forwarder, as fast as lapin goes', forwarder('tuned')),
        Peer('lapin idiom', 'a bare lapin forwarder, as the documentation has it', forwarder('idiom')),
        Binding(),
        Shovel(),
        Peer('node', 'amqplib, pipelined', client('node', 'node', 'node_bridge.js')),
        Peer('pika', 'pika, pipelined', client('pika-new', 'python', 'pika_bridge.py'), share=0.5),
        Peer('kombu', 'kombu, a confirm per publish', client('kombu', 'python', 'kombu_bridge.py'), share=0.2),
    ]


class Cost:
    """What a candidate and the broker have used up since an earlier moment."""

    def __init__(self, program):
        self.pids = {'broker': int(os.environ['BROKER_PID'])}
        if program:
            self.pids['candidate'] = program.process.pid
        self.before = {who: cpu_of(pid) for who, pid in self.pids.items()}

    def since(self, events):
        cost = {f'cpu_{who}': (cpu_of(pid) - self.before[who]) * 100_000 / events for who, pid in self.pids.items()}
        cost.setdefault('cpu_candidate', 0.0)
        cost['cpu_both'] = cost['cpu_candidate'] + cost['cpu_broker']
        if 'candidate' in self.pids:
            cost['peak_mib'] = peak_of(self.pids['candidate'])
        return cost


def result_of(receiver, program):
    """The receiver's result and what it cost from the tenth part to the last event."""
    receiver.wait_for('stdout', lambda lines: 'tenth' in lines, 120, 'no events')
    cost = Cost(program)
    receiver.wait_for('stdout', lambda lines: 'all' in lines or lines[-1].startswith('{'), 600, 'no result')
    ended = cost.since(1)
    result = receiver.wait_for('stdout', lambda lines: lines[-1].startswith('{') and json.loads(lines[-1]), 60, 'no result')
    per = {key: value / max(1, result['counted']) if key.startswith('cpu') else value for key, value in ended.items()}
    return result | per


def options(candidate, count):
    return ['--direction', candidate.direction, '--count', count, *([] if candidate.translates else ['--untranslated'])]


def watched(candidate, receiver, program):
    """The result, or what the candidate had to say when there is none."""
    try:
        return result_of(receiver, program)
    except Failed as problem:
        last_words = program.lines['stderr'][-10:] if program else []
        raise Failed('\n'.join([f'{candidate.name}: {problem}', *last_words])) from None


def saturated(candidate, count):
    count = max(1000, int(count * candidate.share))
    if candidate.binds:
        return live(candidate, count)
    candidate.prepare()
    peers_now('fill', *options(candidate, count))
    with Program('sink', peers('sink', *options(candidate, count))) as receiver:
        receiver.wait_for('stdout', lambda lines: 'listening' in lines, 30, 'does not listen')
        with candidate.start() as program:
            return watched(candidate, receiver, program)


def live(candidate, count, *rate):
    """Events are published while the candidate runs, at a rate, or as fast as they are confirmed."""
    candidate.prepare()
    with candidate.start() as program, Program('load', peers('live', *options(candidate, count), *rate)) as receiver:
        return watched(candidate, receiver, program)


def spread(values):
    return {'min': min(values), 'median': statistics.median(values), 'max': max(values)}


def summary(rounds):
    """Per mode and candidate the spread of each figure, and that of the bridge's ratios, taken round by round."""
    made = {}
    for mode in dict.fromkeys(mode for one in rounds for mode in one):
        of_mode = [one[mode] for one in rounds if mode in one]
        names = list(dict.fromkeys(name for one in of_mode for name in one))
        figures, ratios = {}, {}
        for name in names:
            keys = [key for key in of_mode[0].get(name, {}) if all(one.get(name, {}).get(key) is not None for one in of_mode)]
            figures[name] = {key: spread([one[name][key] for one in of_mode]) for key in keys}
        for ours in (name for name in names if name.startswith('bridge')):
            ratios[ours] = {other: {
                key: spread([one[ours][key] / one[other][key] for one in of_mode])
                for key in ('rate', 'cpu_candidate', 'cpu_both', 'p50_us', 'p99_us')
                if all(one[ours].get(key) and one.get(other, {}).get(key) for one in of_mode)} for other in names if other != ours}
        made[mode] = {'figures': figures, 'ratios': ratios}
    return made


def aligned(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print('  '.join(cell.ljust(width) if column == 0 else cell.rjust(width)
                        for column, (cell, width) in enumerate(zip(row, widths))).rstrip())


def told(figure, form):
    return f"{figure['min']:{form}} {figure['median']:{form}} {figure['max']:{form}}" if figure else '-'


def show(made):
    for mode, of_mode in made.items():
        columns = [('events/s', 'rate', '.0f'), ('CPU', 'cpu_candidate', '.2f'), ('CPU broker', 'cpu_broker', '.2f'), ('both', 'cpu_both', '.2f'),
                   ('MiB', 'peak_mib', '.1f')]
        if mode != 'saturated':
            columns[:1] = [('p50 µs', 'p50_us', '.0f'), ('p99 µs', 'p99_us', '.0f'), ('p99.9 µs', 'p99_9_us', '.0f')]
        print(f'\n{mode}: min, median and max of the rounds; CPU in seconds per 100,000 events\n')
        aligned([['', *(head for head, _, _ in columns)],
                 *([name, *(told(figures.get(key), form) for _, key, form in columns)] for name, figures in of_mode['figures'].items())])
        for ours, others in of_mode['ratios'].items():
            keys = [key for key in ('rate', 'cpu_candidate', 'cpu_both', 'p50_us', 'p99_us')
                    if mode == 'saturated' and not key.endswith('us') or mode != 'saturated' and key != 'rate']
            print(f'\n{mode}: {ours} divided by the other, round by round\n')
            aligned([['', *(key.removesuffix('_us').replace('_', ' ') for key in keys)],
                     *([name, *(told(ratios.get(key), '.2f') for key in keys)] for name, ratios in others.items())])


def machine():
    with open('/proc/cpuinfo') as cpuinfo:
        model = next((line.split(':', 1)[1].strip() for line in cpuinfo if line.startswith('model name')), platform.machine())
    broker = subprocess.run(['rabbitmqctl', '--quiet', 'version'], capture_output=True, encoding='utf-8').stdout.strip()
    return {'cpu': model, 'cores': os.cpu_count(), 'kernel': platform.release(), 'rabbitmq': broker, 'load': os.getloadavg()[0]}


def measure(arguments, chosen):
    rounds, faults = [], []
    for number in range(arguments.rounds):
        one = {}
        # Each round begins with another candidate, so that none always follows the same.
        turn = number % len(chosen)
        for candidate in chosen[turn:] + chosen[:turn]:
            for mode, run in arguments.modes:
                began = time.monotonic()
                try:
                    result = run(candidate)
                except Failed as problem:
                    # The rounds that were complete are worth keeping.
                    return rounds, [*faults, str(problem)]
                one.setdefault(mode, {})[candidate.name] = result
                print(f"round {number + 1}: {mode}: {candidate.name}: {result['rate']:.0f}/s, CPU {result['cpu_candidate']:.2f} "
                      f"+ {result['cpu_broker']:.2f}, p99 {result['p99_us']:.0f} µs ({time.monotonic() - began:.0f} s)", file=sys.stderr)
                faults += [f"round {number + 1}: {mode}: {candidate.name}: {result[what]} {what}"
                           for what in ('lost', 'doubled', 'reordered', 'wrong') if result[what]]
        rounds.append({mode: {candidate.name: one[mode][candidate.name] for candidate in chosen} for mode in one})
    return rounds, faults


def main():
    known = candidates() if 'BENCH_PEERS' in os.environ else []
    parser = argparse.ArgumentParser(prog='bench', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rounds', type=int, default=5, help='(default: %(default)s)')
    parser.add_argument('--count', type=int, default=100_000, help='events per candidate and round (default: %(default)s)')
    parser.add_argument('--rates', metavar='N,…', default='1000,5000', help='events per second besides saturation; empty for none (default: %(default)s)')
    parser.add_argument('--seconds', type=float, default=6, help='for each rate (default: %(default)s)')
    parser.add_argument('--only', metavar='NAME,…', help='only candidates whose names contain one of these')
    parser.add_argument('--quick', action='store_true', help='one round of 20,000 events: whether all works, not how fast')
    parser.add_argument('--json', metavar='FILE', help='write all figures of all rounds there')
    parser.add_argument('--plot', metavar='FILE', help='draw the medians there, as SVG')
    parser.add_argument('--from', metavar='FILE', dest='earlier', help='measure nothing: show the figures of this JSON file')
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.count, arguments.seconds = 1, 20_000, 2
    faults = []
    if arguments.earlier:
        with open(arguments.earlier, encoding='utf-8') as file:
            document = json.load(file)
    else:
        if not known:
            parser.error('run it as scripts/bench')
        chosen = [one for one in known if not arguments.only or any(part.strip() in one.name for part in arguments.only.split(','))]
        if not chosen:
            parser.error(f"--only matches none of: {', '.join(one.name for one in known)}")
        arguments.modes = [('saturated', lambda candidate: saturated(candidate, arguments.count))]
        for rate in filter(None, arguments.rates.split(',')):
            arguments.modes.append((f'{int(rate)} events/s', lambda candidate, rate=int(rate): live(
                candidate, int(rate * arguments.seconds), '--rate', rate)))
        about = machine()
        rounds, faults = measure(arguments, chosen)
        document = {'machine': about, 'count': arguments.count, 'prefetch': PREFETCH, 'rounds': rounds}
    if not document['rounds']:
        print('\n'.join(faults), file=sys.stderr)
        return 1
    made = summary(document['rounds'])
    show(made)
    if arguments.json and not arguments.earlier:
        with open(arguments.json, 'w', encoding='utf-8') as file:
            json.dump(document | {'summary': made}, file, indent=1)
            file.write('\n')
    if arguments.plot:
        with open(arguments.plot, 'w', encoding='utf-8') as file:
            file.write(plot(made))
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
