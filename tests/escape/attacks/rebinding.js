// Asks for one name again and again, by hand and the way functions do.
const fs = require('fs');
const net = require('net');
const gate = ['/run/yunhan/egress', '/channel/egress'].find((file) => fs.existsSync(file));
const byHand = (host, port) => new Promise((resolve) => {
  const socket = net.connect(gate, () => socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`));
  let answer = '';
  socket.on('data', (data) => { answer += data; });
  socket.on('error', () => {}).on('close', () => resolve({ status: Number(/^HTTP\/1\.. (\d+)/.exec(answer)?.[1] ?? 0), said: answer.split('\r\n\r\n')[1] ?? '' }));
});
const asUsual = (host, port) => new Promise((resolve) => {
  const socket = net.connect({ host, port });
  let said = '';
  socket.on('data', (data) => { said += data; });
  socket.on('error', (error) => resolve({ status: error.code, said })).on('close', () => resolve({ status: 200, said }));
});
module.exports = async (ctx) => {
  const { host, port, times } = ctx.args;
  const answers = [];
  for (let i = 0; i < times; i += 1) answers.push(await byHand(host, port), await asUsual(host, port));
  return answers;
};
