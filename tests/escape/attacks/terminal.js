const fs = require('fs');
module.exports = async () => {
  const got = [];
  try { fs.closeSync(fs.openSync('/dev/tty', 'r+')); got.push('/dev/tty'); } catch {}
  if (fs.existsSync('/dev/pts')) for (const name of fs.readdirSync('/dev/pts')) if (/^\d+$/.test(name)) got.push(`/dev/pts/${name}`);
  return { did: { places: 2 }, got };
};
