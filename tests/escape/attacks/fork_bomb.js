// A program of a few hundred bytes that doubles itself: no limit on memory is in its way.
const fs = require('fs');
const path = require('path');
const { spawn } = require('child_process');
const WANTED = 512; // of probe.fork_bomb()
const count = (program) => {
  let found = 0;
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try { if (fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(program)) found += 1; } catch {}
  }
  return found;
};
module.exports = async (ctx) => {
  const program = path.join(__dirname, 'probe');
  spawn(program, [], { stdio: 'ignore' }).on('error', () => {});
  let processes = 0;
  for (let look = 0; look < 20 && processes < WANTED; look += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    processes = Math.max(processes, count(program));
  }
  return { did: { processes }, got: processes > ctx.args.pids ? [`${processes} processes`] : [] };
};
