// An SMSC that misbehaves as told, on the codec of npm `smpp`: one JSON command per line in, one JSON event per line out.
'use strict';
const fs = require('fs');
const readline = require('readline');
const smpp = require('smpp');

const say = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const sessions = new Set();
const plan = []; // what becomes of the coming submit_sm: 'drop', 'silent', 'late', or a command_status
const late = [];
let bindStatus = 0;
let taken = 0;

function submitted(session, pdu) {
  const { udh, message } = pdu.short_message;
  say({
    event: 'submit',
    to: pdu.destination_addr, ton: pdu.dest_addr_ton, npi: pdu.dest_addr_npi, from: pdu.source_addr,
    coding: pdu.data_coding, esm_class: pdu.esm_class, receipt: pdu.registered_delivery,
    text: message, payload: pdu.message_payload ? pdu.message_payload.message : null,
    udh: udh ? udh.map((element) => element.toString('hex')) : [],
  });
  const action = plan.length ? plan.shift() : 0;
  const answer = () => session.send(pdu.response({ message_id: 'id-' + ++taken }));
  if (action === 'drop') session.destroy();
  else if (action === 'late') late.push(answer);
  else if (action === 'silent') return;
  else if (action) session.send(pdu.response({ command_status: action }));
  else answer();
}

function opened(session) {
  session.on('error', () => session.destroy());
  session.on('close', () => { if (sessions.delete(session)) say({ event: 'closed' }); });
  session.on('bind_transceiver', (pdu) => {
    say({ event: 'bind', system_id: pdu.system_id, password: pdu.password });
    if (bindStatus) return session.send(pdu.response({ command_status: bindStatus }));
    sessions.add(session);
    session.send(pdu.response());
  });
  session.on('submit_sm', (pdu) => submitted(session, pdu));
  session.on('enquire_link', (pdu) => { say({ event: 'enquire' }); session.send(pdu.response()); });
  session.on('unbind', (pdu) => { say({ event: 'unbind' }); session.send(pdu.response()); });
}

const commands = {
  plan: (actions) => plan.push(...actions),
  release: () => late.splice(0).forEach((answer) => answer()),
  bind_status: (status) => { bindStatus = status; },
  kill: () => sessions.forEach((session) => session.destroy()),
  deaf: () => sessions.forEach((session) => { session.pause(); session.socket.removeAllListeners('readable'); session.socket.pause(); }),
  raw: (hex) => sessions.forEach((session) => session.socket.write(Buffer.from(hex, 'hex'))),
  unbind: () => sessions.forEach((session) => session.unbind()),
  query: () => sessions.forEach((session) => session.query_sm({}, (pdu) => say({ event: 'answer', status: pdu.command_status }))),
  deliver: (fields) => {
    if (fields.hex) { fields.short_message = Buffer.from(fields.hex, 'hex'); delete fields.hex; }
    sessions.forEach((session) => session.deliver_sm(fields, (pdu) => say({ event: 'delivered', status: pdu.command_status })));
  },
};

const [certificate, key] = process.argv.slice(2);
const options = key ? { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) } : {};
const server = smpp.createServer(options, opened);
server.on('error', () => {});
server.listen(0, '127.0.0.1', () => say({ event: 'listening', port: server.address().port }));
readline.createInterface({ input: process.stdin })
  .on('line', (line) => { for (const [name, value] of Object.entries(JSON.parse(line))) commands[name](value); say({ event: 'done' }); })
  .on('close', () => process.exit(0));
