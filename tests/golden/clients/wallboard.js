// The wallboard of 2013: the library amqp, before amqplib.
var amqp = require('amqp');
var connection = amqp.createConnection({ host: 'localhost' });

function Board(name) {
  this.queueName = 'board';
  this.show = this.show.bind(this);
}

connection.on('ready', function () {
  connection.exchange('xivo-ami', { type: 'topic', durable: true, passive: true }, function (exchange) {
    connection.queue('wallboard', { autoDelete: false }, function (queue) {
      queue.bind(exchange, 'QueueMemberStatus');
      queue.bind('xivo-ami', 'AgentCalled');
      queue.bind('#');
      queue.subscribe({ ack: true }, function (message) {
        if (message.name == 'QueueMemberStatus') console.log(message.data.Location);
      });
    });
    exchange.publish('Board', '{}');
  });
});
