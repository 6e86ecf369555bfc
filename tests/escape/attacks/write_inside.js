// Its own code, our bootstrap, the socket folder, the system: nothing may change.
const fs = require('fs');
const path = require('path');
module.exports = async () => {
  const got = [];
  const did = { attempts: 0 };
  const bootstrap = path.dirname(process.argv[1]);
  const attempt = (what, act) => { did.attempts += 1; try { act(); got.push(what); } catch {} };
  for (const folder of [__dirname, bootstrap, '/run/yunhan', '/', '/etc', '/opt', '/usr', '/dev', '/run', '/proc', path.dirname(process.execPath)]) {
    if (fs.existsSync(folder)) attempt(`new file in ${folder}`, () => { fs.writeFileSync(path.join(folder, 'escape-probe'), ''); fs.unlinkSync(path.join(folder, 'escape-probe')); });
  }
  for (const file of [__filename, process.argv[1], process.execPath, '/etc/passwd']) {
    attempt(`open ${file}`, () => fs.closeSync(fs.openSync(file, 'r+')));
    attempt(`chmod ${file}`, () => fs.chmodSync(file, fs.statSync(file).mode));
    attempt(`utimes ${file}`, () => fs.utimesSync(file, new Date(), new Date()));
    attempt(`link ${file}`, () => { fs.linkSync(file, '/tmp/escape-link'); fs.unlinkSync('/tmp/escape-link'); });
  }
  // The gate's socket is there, and has to stay.
  for (const file of ['/run/yunhan/egress', '/channel/egress']) {
    if (!fs.existsSync(file)) continue;
    attempt(`rename ${file}`, () => fs.renameSync(file, `${file}-moved`));
    attempt(`chmod ${file}`, () => fs.chmodSync(file, 0o777));
    attempt(`unlink ${file}`, () => fs.unlinkSync(file));
    did.sockets = 1;
  }
  return { did, got };
};
