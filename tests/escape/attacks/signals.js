const fs = require('fs');
module.exports = async (ctx) => {
  const got = [];
  const did = { signals: 0, processes: 0 };
  for (const [who, pid, signal] of [['the worker', ctx.args.workerPid, 0], ['a process of the host', ctx.args.victimPid, 'SIGTERM']]) {
    did.signals += 1;
    // Not even forbidden: in its own numbering there is no such process.
    try { process.kill(pid, signal); got.push(who); } catch (error) { if (error.code !== 'ESRCH') got.push(`${who} is there`); }
  }
  const known = /^(bwrap|node|MainThread)$/; // what a rung has besides is in the table
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    did.processes += 1;
    const name = fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    if (!known.test(name)) got.push(name);
  }
  return { did, got: [...new Set(got)].slice(0, 5) };
};
