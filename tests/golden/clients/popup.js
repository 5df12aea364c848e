#!/usr/bin/env node
// Opens the customer's page when a form comes in. amqplib with callbacks.
var amqp = require('amqplib/callback_api');

var EXCHANGE = 'xivo-cti';

amqp.connect('amqp://guest:guest@pbx.example.org', function (error, connection) {
  if (error) throw error;
  connection.createChannel(function (error, channel) {
    channel.checkExchange(EXCHANGE);
    channel.assertQueue('', { exclusive: true }, function (error, ok) {
      ['call_form_result', 'call_created'].forEach(function (key) {
        channel.bindQueue(ok.queue, EXCHANGE, key);
      });
      channel.consume(ok.queue, function (message) {
        var event = JSON.parse(message.content.toString());
        if (event.name === 'call_form_result') {
          open(event.data.variables, event.data.user_id);
        }
      }, { noAck: true });
    });
  });
});
