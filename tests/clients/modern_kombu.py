"""The documented client of the modern bus, with the broker's address and the binding key from the environment.

The documented binding key `calls.*` matches no call event (they have three words), so the default here is `#`.
"""
import os

import kombu

from kombu.mixins import ConsumerMixin

EXCHANGE = kombu.Exchange('xivo', type='topic')
ROUTING_KEY = os.environ.get('ROUTING_KEY', '#')


class C(ConsumerMixin):

    def __init__(self, connection):
        self.connection = connection

    def get_consumers(self, Consumer, channel):
        return [Consumer(kombu.Queue(exchange=EXCHANGE, routing_key=ROUTING_KEY),
                callbacks=[self.on_message])]

    def on_message(self, body, message):
        print('Received:', body)
        message.ack()


def main():
    with kombu.Connection(os.environ['CTI_BRIDGE_AMQP_URL']) as conn:
        try:
            C(conn).run()
        except KeyboardInterrupt:
            return


main()
