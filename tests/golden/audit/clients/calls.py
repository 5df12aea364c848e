# Binds what the documentation shows; the broker names the queue.
from kombu import Connection, Exchange, Queue
from kombu.mixins import ConsumerMixin

xivo = Exchange('xivo', type='topic')


class Calls(ConsumerMixin):

    def __init__(self, connection):
        self.connection = connection

    def get_consumers(self, Consumer, channel):
        return [Consumer(Queue(exchange=xivo, routing_key='calls.*'), callbacks=[self.on_call])]

    def on_call(self, body, message):
        print(body)
        message.ack()


with Connection('amqp://localhost') as connection:
    Calls(connection).run()
