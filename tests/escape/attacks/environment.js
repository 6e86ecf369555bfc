const fs = require('fs');
const ALLOWED = ['PATH', 'LANG', 'TZ', 'HOME', 'TMPDIR', 'PWD', 'FC_FUNCTION_NAME'];
module.exports = async (ctx) => {
  const did = { variables: 0, processes: 0 };
  const got = [];
  for (const [name, value] of Object.entries(process.env)) {
    did.variables += 1;
    if (!ALLOWED.includes(name)) got.push(`${name}=${value}`.slice(0, 40));
  }
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    did.processes += 1;
    for (const file of ['environ', 'cmdline']) {
      try {
        const text = fs.readFileSync(`/proc/${pid}/${file}`, 'latin1');
        if (text.includes(ctx.args.secret) || text.includes('pytest')) got.push(`/proc/${pid}/${file}`);
      } catch {}
    }
  }
  return { did, got };
};
