// Bytes, then files, in every place that might take them.
const fs = require('fs');
const path = require('path');
const BLOCK = Buffer.alloc(1 << 20, 1);
module.exports = async (ctx) => {
  const { folder, files, maxMb } = ctx.args;
  let written = 0;
  try {
    if (files) for (; written < files; written += 1) fs.closeSync(fs.openSync(path.join(folder, `f${written}`), 'w'));
    else {
      const file = fs.openSync(path.join(folder, 'fill'), 'w');
      for (; written < 400; written += 1) fs.writeSync(file, BLOCK);
    }
  } catch {}
  return written > (files ? files - 1 : maxMb) ? [`${written} ${files ? 'files' : 'MB'} in ${folder}`] : [];
};
