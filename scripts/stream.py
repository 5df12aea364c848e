"""Numbered events through the bridge in one direction, for as long as they are wanted, and what became of each.

The publisher and the receiver are processes of their own, which tell everything in shared memory. They have to be made
before any thread is started, as a process that is forked beside threads may inherit a lock that nobody opens again.
"""
import array
import bisect
import collections
import mmap
import multiprocessing
import os
import signal
import sys
import time
import traceback

import pika

from load import PATIENCE, Publisher, parameters
from processes import Failed

CAPACITY = 1 << 22  # events; memory is taken only as they come
WINDOW = 1000  # unconfirmed events of a publisher
BATCH = 50  # events that a receiver acks at once
RECENT = 0.5  # seconds after which an ack has come to the broker


def shared(kind, length):
    """So many numbers that processes forked later share, all zero."""
    return memoryview(mmap.mmap(-1, length * array.array(kind).itemsize)).cast(kind)


class Ledger:
    """What publisher and receiver tell, and what they are told."""

    COUNTS = ('next', 'confirmed', 'returned', 'received', 'highest', 'doubled', 'sent_twice', 'redelivered', 'late', 'disordered',
              'consuming', 'paused', 'resting', 'held', 'over')

    def __init__(self):
        self.sent = shared('d', CAPACITY)  # when an event was sent for the first time
        self.arrived = shared('d', CAPACITY)  # and when it came for the first time
        for name in self.COUNTS:
            setattr(self, name, multiprocessing.RawValue('q', 0))
        self.highest.value = -1


class SteadyPublisher(Publisher):
    """Publishes at a steady rate; what could not be sent while there was no connection is sent as soon as there is."""

    def __init__(self, direction, rate, ledger):
        super().__init__(direction, CAPACITY - 1, WINDOW, rate, ledger.confirmed)
        self.ledger, self.parent = ledger, os.getppid()
        self.base = None  # the time and the number from which the rate counts

    def done(self):
        return (self.ledger.over.value or os.getppid() != self.parent) and not self.todo and not self.unconfirmed

    def early(self):
        if self.todo:
            return 0
        now = time.monotonic()
        resting = self.ledger.paused.value or self.ledger.over.value
        self.ledger.resting.value = resting
        if resting or self.base is None:
            self.base = now, self.next
            return 0.02
        return self.base[0] + (self.next - self.base[1]) / self.rate - now

    def new(self):
        number = super().new()
        self.ledger.sent[number] = time.monotonic()
        self.ledger.next.value = number + 1
        return number

    def fill(self):
        if self.done():
            self.channel.connection.close()
        else:
            super().fill()

    def on_return(self, _channel, method, _properties, _body):
        self.ledger.returned.value += 1
        print(f'{self.direction.name}: returned: {method.exchange}, key {method.routing_key}: {method.reply_text}', file=sys.stderr)


class Receiver:
    """Takes what comes, and tells what was lost, doubled or out of order from what was only delivered to it again."""

    def __init__(self, direction, ledger):
        self.direction, self.ledger = direction, ledger
        self.attempts = shared('I', CAPACITY)  # of the publisher, with which an event came first
        self.others = set()  # events and attempts that came later
        self.unacked, self.acked = [], collections.deque()  # events and attempts; those acked lately, with the time
        self.returning = collections.Counter()  # what the broker may deliver again for want of an ack

    def run(self):
        parent = os.getppid()
        while not self.ledger.over.value and os.getppid() == parent:
            if not self.ledger.held.value:
                pika.SelectConnection(parameters(), self.opened, on_open_error_callback=lambda connection, _: connection.ioloop.stop(),
                                      on_close_callback=lambda connection, _: connection.ioloop.stop()).ioloop.start()
                self.ledger.consuming.value = 0
                self.returning.update(self.unacked)
                for _, events in self.acked:
                    self.returning.update(events)
                self.unacked, self.acked = [], collections.deque()
            time.sleep(0.05)

    def opened(self, connection):
        self.leaving = False
        connection.channel(on_open_callback=self.channel_open)

    def channel_open(self, channel):
        queue, self.channel = self.direction.queue, channel

        def consume(_):
            self.consumer = channel.basic_consume(queue, self.on_message, callback=self.consuming)
        channel.add_on_close_callback(lambda channel, _: channel.connection.is_open and channel.connection.close())
        channel.add_on_cancel_callback(lambda _: channel.connection.close())
        channel.basic_qos(prefetch_count=1000)
        channel.queue_declare(queue, durable=True, arguments={'x-queue-type': 'quorum'}, callback=lambda _: channel.queue_bind(
            queue, self.direction.target, self.direction.target_key, callback=consume))

    def consuming(self, _):
        self.ledger.consuming.value = 1
        self.look()

    def look(self):
        """Again and again: acks what it has, and leaves when it is told to."""
        if not self.channel.is_open:
            return
        self.ack()
        if self.ledger.over.value or self.ledger.held.value:
            # What comes until the cancel is answered is acked too: a queue may put back what is not, and out of order.
            self.channel.basic_cancel(self.consumer, callback=self.cancelled)
        else:
            self.channel.connection.ioloop.call_later(0.1, self.look)

    def cancelled(self, _):
        self.ack()
        self.channel.connection.close()

    def ack(self):
        if not self.unacked:
            return
        self.channel.basic_ack(self.tag, multiple=True)
        now = time.monotonic()
        self.acked.append((now, self.unacked))
        self.unacked = []
        while self.acked[0][0] < now - RECENT:
            self.acked.popleft()

    def on_message(self, _channel, method, _properties, body):
        self.take(*self.direction.number(body), method.redelivered)
        self.tag = method.delivery_tag
        if len(self.unacked) >= BATCH:
            self.ack()

    def take(self, number, attempt, redelivered):
        ledger, event = self.ledger, (number, attempt)
        self.unacked.append(event)
        if not ledger.arrived[number]:
            ledger.arrived[number] = time.monotonic()
            self.attempts[number] = attempt
            ledger.received.value += 1
            if number > ledger.highest.value:
                ledger.highest.value = number
            elif redelivered:
                ledger.late.value += 1  # put back by the queue when a connection of the receiver went, and not in its place
            else:
                ledger.disordered.value += 1
        elif redelivered and self.returning[event] > 0:
            self.returning[event] -= 1
            ledger.redelivered.value += 1  # the receiver's own doing: it had not acked it yet
        elif self.attempts[number] == attempt or event in self.others:
            ledger.doubled.value += 1  # published once and here twice: the bridge's doing
        else:
            self.others.add(event)
            ledger.sent_twice.value += 1  # by the publisher, for want of a confirm


def in_process(work, *arguments):
    """Who presses Ctrl-C means the parent, which ends its children itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        work(*arguments).run()
    except BaseException:
        traceback.print_exc()
        raise


class Stream:
    """One direction under way."""

    def __init__(self, direction, rate):
        self.direction, self.name, self.ledger = direction, direction.name, Ledger()
        self.ledger.paused.value = 1
        self.processes = [
            multiprocessing.Process(target=in_process, args=(Receiver, direction, self.ledger), daemon=True),
            multiprocessing.Process(target=in_process, args=(SteadyPublisher, direction, rate, self.ledger), daemon=True)]
        for process in self.processes:
            process.start()

    def next(self):
        """The number of the next event."""
        return self.ledger.next.value

    def wait_until(self, condition, what, seconds=PATIENCE):
        """As long as events come, and so many seconds more."""
        received, end = self.ledger.received.value, time.monotonic() + seconds
        while not condition():
            if not all(process.is_alive() for process in self.processes):
                raise Failed(f'{self.name}: {what}: publisher or receiver has ended')
            if self.ledger.received.value > received:
                received, end = self.ledger.received.value, time.monotonic() + seconds
            if time.monotonic() > end:
                raise Failed(f'{self.name}: {what}: not within {seconds:g} s')
            time.sleep(0.005)

    def resumed_after(self, when):
        """When an event had come that was sent after this, and its number."""
        ledger = self.ledger
        self.wait_until(lambda: ledger.next.value and ledger.sent[ledger.next.value - 1] > when, 'nothing is sent any more')
        first = bisect.bisect_right(ledger.sent, when, 0, ledger.next.value)
        self.wait_until(lambda: ledger.highest.value >= first, f'event {first}, sent after the fault, did not come')
        number = next(number for number in range(first, ledger.highest.value + 1) if ledger.arrived[number])
        return ledger.arrived[number]

    def wait_for(self, end):
        """Until all events before this number have arrived or are lost."""
        self.wait_until(lambda: self.ledger.highest.value >= end - 1, f'event {end - 1} did not come')

    def drain(self):
        """Sends nothing more, and waits until all has come."""
        ledger = self.ledger
        ledger.resting.value = 0
        ledger.paused.value = 1
        self.wait_until(lambda: ledger.resting.value, 'the publisher does not pause')
        self.wait_until(lambda: ledger.confirmed.value >= ledger.next.value, 'events are not confirmed')
        self.wait_for(ledger.next.value)

    def hold(self):
        """Takes nothing more from the queue."""
        self.ledger.held.value = 1
        self.wait_until(lambda: not self.ledger.consuming.value, 'the receiver did not stop', 15)

    def release(self):
        """Binds the queue anew and takes from it."""
        self.ledger.held.value = 0
        self.wait_until(lambda: self.ledger.consuming.value, 'the receiver does not consume', 30)

    def go(self):
        self.ledger.paused.value = 0

    def lost(self, start, end):
        return self.ledger.arrived[start:end].tolist().count(0)

    def counts(self):
        return {name: getattr(self.ledger, name).value for name in ('next', 'doubled', 'disordered', 'sent_twice', 'redelivered', 'late', 'returned')}

    def totals(self):
        return {**self.counts(), 'lost': self.lost(0, self.ledger.highest.value + 1)}

    def end(self):
        self.ledger.over.value = 1
        for process in self.processes:
            process.join(5)
            process.kill()
