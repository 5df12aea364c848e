"""A bridge as one would write it with pika for speed: callbacks, publishes pipelined, acks in batches.

usage: pika_bridge.py URL INTAKE PREFETCH to-legacy|to-modern
"""
import json
import sys

import pika

BATCH = 64
ORIGIN_UUID = 'ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3'


def to_legacy(event):
    return 'xivo-cti', event['name'], {'name': event['name'], 'data': event['data']}


def to_modern(event):
    name, user = event['name'], event['data']['user_uuid']
    if name == 'users_services_dnd_updated':
        key = f'config.users.{user}.services.dnd.updated'
        acl = f'events.{key}'
    else:
        key = name.replace('call_', 'calls.call.')
        acl = f'events.calls.{user}'
    return 'xivo', key, {'name': name, 'origin_uuid': ORIGIN_UUID, 'required_acl': acl, 'data': event['data']}


class Forwarder:
    def __init__(self, url, intake, prefetch, translated):
        self.intake, self.prefetch, self.translated = intake, prefetch, translated
        self.published = self.confirmed = self.acked = 0
        self.out_of_turn = set()
        self.connection = pika.SelectConnection(pika.URLParameters(url), on_open_callback=self.opened)

    def opened(self, connection):
        connection.channel(on_open_callback=self.channel_open)

    def channel_open(self, channel):
        self.channel = channel
        channel.confirm_delivery(self.on_confirm, callback=lambda _: channel.basic_qos(
            prefetch_count=self.prefetch, callback=lambda _: channel.basic_consume(
                self.intake, self.on_event, callback=lambda _: print('ready', file=sys.stderr, flush=True))))

    def on_event(self, channel, method, _properties, body):
        event = json.loads(body)
        # One publish per delivery: the publish's number is the delivery's tag.
        self.published += 1
        assert method.delivery_tag == self.published
        exchange, key, event = self.translated(event)
        channel.basic_publish(exchange, key, json.dumps(event).encode())

    def on_confirm(self, frame):
        method = frame.method
        assert isinstance(method, pika.spec.Basic.Ack), method
        if method.multiple:
            self.confirmed = max(self.confirmed, method.delivery_tag)
        else:
            self.out_of_turn.add(method.delivery_tag)
        while self.confirmed + 1 in self.out_of_turn:
            self.confirmed += 1
            self.out_of_turn.discard(self.confirmed)
        due = self.confirmed - self.acked
        if due >= BATCH or due and self.confirmed == self.published:
            self.channel.basic_ack(self.confirmed, multiple=True)
            self.acked = self.confirmed


url, intake, prefetch, direction = sys.argv[1:]
Forwarder(url, intake, int(prefetch), {'to-legacy': to_legacy, 'to-modern': to_modern}[direction]).connection.ioloop.start()
