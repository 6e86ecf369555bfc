const fs = require('fs');
const os = require('os');
const { spawnSync } = require('child_process');
module.exports = async () => {
  spawnSync(process.execPath, ['-e', 'process.abort()'], { cwd: os.tmpdir() });
  return fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith('core'));
};
