"""Mirrors the configuration into the directory. kombu, and classes of xivo_bus that are gone."""
import kombu
from kombu import Connection, Exchange, Producer, Queue as Mailbox, binding
from xivo_bus import Marshaler, Publisher

xivo = Exchange('xivo', 'topic', durable=True)
headers = kombu.Exchange('wazo-headers', type='headers')
queues = [
    Mailbox('mirror', xivo, 'config.#', exclusive=True),
    Mailbox(name='calls', bindings=[binding(xivo, routing_key=key) for key in ('calls.#', 'status.*')]),
    Mailbox('all', headers, durable=False),
]

with Connection('amqp://mirror:secret@pbx.example.org:5672//') as connection:
    producer = Producer(connection, exchange=xivo, routing_key='mirror.started')
    producer.publish({'name': 'mirror_started', 'data': {}})
    with connection.Producer() as another:
        another.publish({}, exchange=headers, routing_key='mirror.' + __name__)
    with connection.Consumer(queues, callbacks=[print], no_ack=True):
        connection.drain_events()
