#!/usr/bin/python

import pika

connection = pika.BlockingConnection(pika.ConnectionParameters('localhost'))
channel = connection.channel()

result = channel.queue_declare(exclusive=True)
queue_name = result.method.queue

channel.queue_bind(exchange='xivo-cti', queue=queue_name, routing_key='call_form_result')

def callback(ch, method, props, body):
    print 'Received:', body
    ch.basic_ack(delivery_tag=method.delivery_tag)

channel.basic_consume(callback, queue=queue_name)
channel.start_consuming()
