const fs = require('fs');
module.exports = async (ctx) => {
  const got = [];
  try { process.kill(ctx.args.workerPid, 0); got.push('the worker'); } catch {}
  const known = /^(bwrap|node|MainThread)$/; // what a rung has besides is in the table
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const name = fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    if (!known.test(name)) got.push(name);
  }
  return [...new Set(got)].slice(0, 5);
};
