const fs = require('fs');
const ALLOWED = ['PATH', 'LANG', 'TZ', 'HOME', 'TMPDIR', 'PWD', 'FC_FUNCTION_NAME'];
module.exports = async (ctx) => {
  const got = Object.keys(process.env).filter((name) => !ALLOWED.includes(name)).map((name) => `${name}=${process.env[name]}`.slice(0, 40));
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const file of ['environ', 'cmdline']) {
      try {
        const text = fs.readFileSync(`/proc/${pid}/${file}`, 'latin1');
        if (text.includes(ctx.args.secret) || text.includes('pytest')) got.push(`/proc/${pid}/${file}`);
      } catch {}
    }
  }
  return got;
};
