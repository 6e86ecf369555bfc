// What waits in sockets belongs to no process: the kernel holds it.
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const { fork } = require('child_process');
const PAIRS = 400;
const PROCESSES = 4;
const BLOCK = Buffer.alloc(64 << 10, 1);
const stuff = (fd) => {
  let bytes = 0;
  try { for (;;) bytes += fs.writeSync(fd, BLOCK); } catch {}
  return bytes;
};
async function fill(tell) {
  const file = path.join(os.tmpdir(), `s${process.pid}`);
  const kept = [];
  const server = net.createServer({ pauseOnConnect: true }, (socket) => kept.push(socket.on('error', () => {})));
  await new Promise((resolve) => server.listen(file, resolve));
  let bytes = 0;
  for (let i = 0; i < PAIRS; i += 1) {
    const socket = net.connect(file);
    socket.on('error', () => {});
    if (!(await new Promise((resolve) => socket.once('connect', () => resolve(true)).once('close', () => resolve(false))))) break;
    socket.pause();
    kept.push(socket);
    bytes += stuff(socket._handle.fd);
    if (i % 20 === 0) tell(bytes);
  }
  tell(bytes);
}
if (process.send && process.argv[2] === 'fill') {
  setInterval(() => {}, 1000);
  fill((bytes) => process.send(bytes));
} else {
  module.exports = async (ctx) => {
    const byChild = Array(PROCESSES).fill(0);
    const did = { MB: 0 };
    const children = byChild.map((_, i) => fork(__filename, ['fill'], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
      .on('error', () => {})
      .on('message', (bytes) => {
        byChild[i] = bytes;
        did.MB = Math.round(byChild.reduce((a, b) => a + b) / (1 << 20));
        ctx.logger.info(`did ${JSON.stringify(did)}`);
      }));
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const alive = children.filter((child) => child.exitCode === null && child.signalCode === null).length;
    for (const child of children) child.kill('SIGKILL');
    return { did, got: alive === PROCESSES && did.MB > ctx.args.max ? [`${did.MB} MB in sockets`] : [] };
  };
}
