const fs = require('fs');
const { spawn } = require('child_process');
module.exports = async () => {
  const script = 'const {spawn}=require("child_process");for(let i=0;i<20;i++)spawn(process.execPath,["-e","setInterval(()=>{},9)"],{detached:true,stdio:"ignore"}).on("error",()=>{});setInterval(()=>{},9)';
  for (let i = 0; i < 40; i += 1) try { spawn(process.execPath, ['-e', script], { detached: true, stdio: 'ignore' }).on('error', () => {}); } catch {}
  await new Promise((resolve) => setTimeout(resolve, 1500));
  let threads = 0;
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try { threads += fs.readdirSync(`/proc/${pid}/task`).length; } catch {}
  }
  return threads > 140 ? [`${threads} threads`] : [];
};
