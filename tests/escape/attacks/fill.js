// Bytes, or files, in a place that might take them; says how far it came, for it may not live to the end.
const fs = require('fs');
const path = require('path');
const BLOCK = Buffer.alloc(1 << 20, 1);
module.exports = async (ctx) => {
  const { folder, files, mb, max } = ctx.args;
  const [wanted, what] = files ? [files, 'files'] : [mb, 'MB'];
  const did = { attempts: 1, [what]: 0 };
  const tell = () => ctx.logger.info(`did ${JSON.stringify(did)}`);
  try {
    const file = files ? null : fs.openSync(path.join(folder, 'fill'), 'w');
    while (did[what] < wanted) {
      if (files) fs.closeSync(fs.openSync(path.join(folder, `f${did.files}`), 'w'));
      else fs.writeSync(file, BLOCK);
      did[what] += 1;
      if (did[what] % (files ? 2048 : 8) === 0) tell();
      if (did[what] === max + 1) ctx.logger.info(`got ${JSON.stringify([`more than ${max} ${what} in ${folder}`])}`);
    }
  } catch (error) { did.refusals = 1; }
  return { did, got: [] };
};
