// What the kernel says about our rights.
const fs = require('fs');
module.exports = async () => {
  const status = Object.fromEntries(fs.readFileSync('/proc/self/status', 'utf8').split('\n').map((line) => line.split(':\t')));
  const got = [];
  for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) if (!/^0+$/.test(status[name])) got.push(name);
  if (status.NoNewPrivs !== '1') got.push('NoNewPrivs');
  if (status.Seccomp !== '2') got.push('Seccomp');
  if (process.getuid() === 0) got.push('uid 0');
  const limits = fs.readFileSync('/proc/self/limits', 'utf8');
  if (!/Max core file size\s+0\s+0/.test(limits)) got.push('core dumps');
  return { did: { fields: Object.keys(status).length }, got };
};
