// Its own code, our bootstrap, the socket folder, the system: nothing may change.
const fs = require('fs');
const path = require('path');
module.exports = async () => {
  const got = [];
  const bootstrap = path.dirname(process.argv[1]);
  const attempt = (what, act) => { try { act(); got.push(what); } catch {} };
  for (const folder of [__dirname, bootstrap, '/run/yunhan', '/', '/etc', '/opt', '/usr', '/dev', '/run', '/proc', path.dirname(process.execPath)]) {
    if (fs.existsSync(folder)) attempt(`new file in ${folder}`, () => { fs.writeFileSync(path.join(folder, 'escape-probe'), ''); fs.unlinkSync(path.join(folder, 'escape-probe')); });
  }
  for (const file of [__filename, process.argv[1], process.execPath, '/etc/passwd']) {
    attempt(`open ${file}`, () => fs.closeSync(fs.openSync(file, 'r+')));
    attempt(`chmod ${file}`, () => fs.chmodSync(file, fs.statSync(file).mode));
    attempt(`utimes ${file}`, () => fs.utimesSync(file, new Date(), new Date()));
    attempt(`link ${file}`, () => { fs.linkSync(file, '/tmp/escape-link'); fs.unlinkSync('/tmp/escape-link'); });
  }
  attempt('unlink a missing name', () => { try { fs.unlinkSync('/run/yunhan/channel'); } catch (e) { if (e.code === 'ENOENT') throw e; throw e; } });
  return got;
};
