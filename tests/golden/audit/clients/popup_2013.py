#!/usr/bin/python
# The documented kind of client: an exclusive queue that the broker names.
import json

import pika

connection = pika.BlockingConnection(pika.ConnectionParameters('localhost'))
channel = connection.channel()
queue = channel.queue_declare(exclusive=True).method.queue
channel.queue_bind(exchange='xivo-cti', queue=queue, routing_key='call_form_result')


def form(channel, method, properties, body):
    print json.loads(body)['data']['variables']
    channel.basic_ack(delivery_tag=method.delivery_tag)


channel.basic_consume(form, queue=queue)
channel.start_consuming()
