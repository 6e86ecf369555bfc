'use strict';
// Tries to get out, harmlessly; answers with what it got. `sandbox/wall_probe.py` says what the arguments are.
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const DIAL_MS = 1000;

const works = (attempt) => {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
};

const dial = (options) => new Promise((resolve) => {
  const socket = net.connect(options);
  const end = (reached) => { socket.destroy(); resolve(reached); };
  socket.on('connect', () => end(true)).on('error', () => end(false));
  setTimeout(end, DIAL_MS, false).unref();
});

// A process of our own has nothing of ours loaded that would redirect its connections.
const dialBare = (port) => {
  const code = `require('net').connect(${Number(port)}, '127.0.0.1', () => process.exit(42)).on('error', () => process.exit(1));`
    + `setTimeout(process.exit, ${DIAL_MS}, 1);`;
  return spawnSync(process.execPath, ['-e', code], { env: {}, timeout: 4 * DIAL_MS }).status === 42;
};

const seesProcess = (commandLine) => fs.readdirSync('/proc').some((name) => {
  if (!/^\d+$/.test(name)) return false;
  try {
    return fs.readFileSync(`/proc/${name}/cmdline`).toString('base64') === commandLine;
  } catch {
    return false;
  }
});

const rightsLeft = () => {
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  const value = (name) => (new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status) || [])[1];
  const left = [];
  if (!/^0+$/.test(value('CapEff')) || !/^0+$/.test(value('CapPrm'))) left.push('capabilities');
  if (value('NoNewPrivs') !== '1') left.push('programs that give rights');
  if (value('Seccomp') !== '2') left.push('every system call');
  return left;
};

const ATTEMPTS = {
  'a file of this machine': ({ file }) => works(() => fs.readFileSync(file)),
  'the folders of other sandboxes': ({ folder }) => works(() => fs.readdirSync(folder)),
  'the kernel\'s settings': () => works(() => fs.accessSync('/proc/sys/kernel/core_pattern', fs.constants.W_OK)),
  'its own code, to write': () => works(() => fs.accessSync(__filename, fs.constants.W_OK))
    || works(() => fs.accessSync(__dirname, fs.constants.W_OK)),
  'the bootstrap, to write': () => works(() => fs.accessSync(path.dirname(process.argv[1]), fs.constants.W_OK)),
  'the root folder, to write': () => works(() => fs.accessSync('/', fs.constants.W_OK)),
  'the worker, in /proc': ({ commandLine }) => seesProcess(commandLine),
  'a server on this machine': ({ port }) => dial({ host: '127.0.0.1', port }),
  'a server on this machine, from a process of its own': ({ port }) => dialBare(port),
  'an abstract socket of this machine': ({ abstract }) => dial({ path: `\0${abstract}` }),
};

module.exports = async (ctx) => {
  const got = rightsLeft();
  for (const [what, attempt] of Object.entries(ATTEMPTS)) {
    if (await attempt(ctx.args)) got.push(what);
  }
  return { tried: Object.keys(ATTEMPTS).length + 3, got };
};
