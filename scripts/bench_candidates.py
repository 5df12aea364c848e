"""What scripts/bench compares: this bridge, and what a site could take instead."""
import contextlib
import json
import os
import subprocess
import time

from processes import Program, bridge

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KINDS = 'call_created,call_updated,call_ended,users_services_dnd_updated'
INTAKE = 'bench.intake'
PREFETCH = 1000


def peers(*arguments):
    return [os.environ['BENCH_PEERS'], *map(str, arguments)]


def peers_now(*arguments):
    subprocess.run(peers(*arguments), check=True, stdout=subprocess.DEVNULL)


class Candidate:
    """Something that takes events from one exchange to another. The last word of its name says where it differs from the
    others: a quorum intake queue, or the other direction."""

    intake = INTAKE
    binds = False  # no queue of its own
    translates = True

    def __init__(self, name, what, share=1.0, rated=False):
        self.name, self.what = name, what
        self.share = share  # of the events, for what is slow
        self.rated = rated  # its delay is measured too
        self.direction = 'to-modern' if name.endswith(' to-modern') else 'to-legacy'
        self.queue_type = 'quorum' if name.endswith(' quorum') else 'classic'

    def prepare(self, *more):
        intake = ['--intake', self.intake, '--queue-type', self.queue_type] if self.intake else []
        peers_now('prepare', '--direction', self.direction, *intake, *(['--bind'] if self.binds else []), *more)

    def start(self):
        """A running program, or a context without one; it is given the process whose cost is measured."""
        raise NotImplementedError


class Bridge(Candidate):
    """Where nothing else is said it goes one way, as the others do."""

    intake = None

    def __init__(self, name, what, listen='none', **more):
        super().__init__(name, what, **more)
        self.listen = ['--legacy-event', listen] if listen else []

    def start(self):
        return bridge(os.environ['CTI_BRIDGE'], ['--queue-type', self.queue_type, '--prefetch-count', str(PREFETCH), *self.listen])

    def prepare(self):
        super().prepare()
        # Its queues and bindings are its own to make.
        with self.start() as program:
            program.stop()


class Peer(Candidate):
    """A program that says `ready` on standard error."""

    def __init__(self, name, what, command, **more):
        super().__init__(name, what, **more)
        self.command = command

    def start(self):
        program = Program(self.name, self.command(self.direction))
        try:
            program.wait_for('stderr', lambda lines: 'ready' in lines, 30, 'did not get ready')
        except BaseException:
            program.stop()
            raise
        return program


class Binding(Candidate):
    intake, binds, translates = None, True, False

    def start(self):
        return contextlib.nullcontext()


class Shovel(Candidate):
    """A shovel of RabbitMQ's own, whose cost is the broker's."""

    translates = False

    def prepare(self):
        # It keeps routing keys, as a binding does.
        super().prepare('--as-sent')

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
    """The command of a bridge in another language, by direction."""
    def command(direction):
        directions = [direction] if file == 'pika_bridge.py' else []
        return [os.path.join(os.environ['CLIENTS_DIR'], name, 'bin', program), os.path.join(ROOT, 'tests', 'benches', 'peers', 'clients', file),
                os.environ['CTI_BRIDGE_AMQP_URL'], INTAKE, str(PREFETCH), *directions]
    return command


def forwarder(way):
    return lambda direction: peers('forward', '--direction', direction, '--intake', INTAKE, '--prefetch', PREFETCH, '--way', way)


def candidates():
    tuned, pika = 'a bare lapin forwarder, as fast as lapin goes', 'pika, pipelined'
    pika_bridge = client('pika-new', 'python', 'pika_bridge.py')
    return [
        Bridge('bridge', 'this bridge', rated=True),
        Bridge('bridge both ways', 'this bridge, listening on the legacy side too, as by default', listen=None, rated=True),
        Bridge('bridge to-modern', 'this bridge', listen=KINDS),
        Peer('lapin tuned', tuned, forwarder('tuned'), rated=True),
        Peer('lapin tuned to-modern', tuned, forwarder('tuned')),
        Peer('lapin idiom', 'a bare lapin forwarder, as the documentation has it', forwarder('idiom')),
        Binding('binding', 'an exchange-to-exchange binding', rated=True),
        Shovel('shovel', 'a shovel, on-confirm', rated=True),
        Peer('node', 'amqplib, pipelined', client('node', 'node', 'node_bridge.js')),
        Peer('pika', pika, pika_bridge, share=0.5),
        Peer('kombu', 'kombu, a confirm per publish', client('kombu', 'python', 'kombu_bridge.py'), share=0.2),
        Peer('pika to-modern', pika, pika_bridge, share=0.5),
        Bridge('bridge quorum', 'this bridge'),
        Peer('lapin tuned quorum', tuned, forwarder('tuned')),
        Shovel('shovel quorum', 'a shovel, on-confirm'),
    ]
