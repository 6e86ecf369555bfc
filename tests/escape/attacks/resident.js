// A function with something to lose: its token is in its memory and, where it can, in its files.
const fs = require('fs');
const os = require('os');
const path = require('path');
const files = [];
let kept;
module.exports = async (ctx) => {
  if (ctx.args.token) {
    kept = Buffer.from(ctx.args.token);
    for (const folder of new Set([os.tmpdir(), '/dev/shm'])) {
      const file = path.join(folder, `${ctx.args.token}.txt`);
      try { fs.writeFileSync(file, kept); files.push(file); } catch {}
    }
    process.on('exit', () => { for (const file of files) fs.rmSync(file, { force: true }); });
    return { files, pid: process.pid };
  }
  return { intact: files.every((file) => fs.readFileSync(file).equals(kept)) };
};
