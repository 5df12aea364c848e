// A bridge as one would write it with amqplib for speed: publishes pipelined, acks in batches.
// usage: node_bridge.js URL INTAKE PREFETCH
'use strict';
const amqp = require('amqplib');

const BATCH = 64;
const [url, intake, prefetch] = process.argv.slice(2);

async function main() {
  const connection = await amqp.connect(url);
  const publishing = await connection.createConfirmChannel();
  const consuming = await connection.createChannel();
  await consuming.prefetch(Number(prefetch));
  let pending = [];
  let head = 0;
  let due = 0;
  function settle() {
    let last = null;
    while (head < pending.length && pending[head].confirmed) {
      last = pending[head].message;
      head += 1;
      due += 1;
      if (due === BATCH || head === pending.length) {
        consuming.ack(last, true);
        due = 0;
      }
    }
    if (head > 1024) {
      pending = pending.slice(head);
      head = 0;
    }
  }
  await consuming.consume(intake, (message) => {
    const event = JSON.parse(message.content.toString());
    const body = Buffer.from(JSON.stringify({ name: event.name, data: event.data }));
    const entry = { message, confirmed: false };
    pending.push(entry);
    publishing.publish('xivo-cti', event.name, body, {}, (error) => {
      if (error) throw error;
      entry.confirmed = true;
      settle();
    });
  });
  console.error('ready');
}

main();
