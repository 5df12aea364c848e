"""One way to call the pikas of 2013 and of today."""
import pika

from broker import address


def connect():
    at = address()
    return pika.BlockingConnection(pika.ConnectionParameters(
        host=at['host'], port=at['port'], virtual_host=at['vhost'],
        credentials=pika.PlainCredentials(at['username'], at['password'])))


def declare_exchange(channel, name, kind):
    # By position: the name of the second argument has changed over time.
    channel.exchange_declare(name, kind, durable=True)


def declare_own_queue(channel):
    try:
        return channel.queue_declare(exclusive=True).method.queue
    except TypeError:
        return channel.queue_declare('', exclusive=True).method.queue


def consume(channel, queue, callback):
    if int(pika.__version__.split('.')[0]) < 1:
        channel.basic_consume(callback, queue=queue)
    else:
        channel.basic_consume(queue, callback)
