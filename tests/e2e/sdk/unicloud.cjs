// The same for the uniCloud client (Alibaba Cloud provider), which wants to live in a uni-app: its few
// globals are stood in for here.
'use strict';

process.env.UNI_PLATFORM = 'h5';

const kept = new Map();
globalThis.uni = {
  getStorageSync: (key) => kept.get(key),
  setStorageSync: (key, value) => void kept.set(key, value),
  removeStorageSync: (key) => void kept.delete(key),
  getSystemInfoSync: () => ({ platform: 'devtools', osName: 'linux', uniPlatform: 'web', appId: '__UNI__T' }),
  getAppBaseInfo: () => ({ appId: '__UNI__T' }),
  getDeviceInfo: () => ({ deviceId: 'device-1' }),
  getSystemSetting: () => ({}),
  getWindowInfo: () => ({}),
  getLocale: () => 'zh-Hans',
  onLocaleChange() {},
  connectSocket() {},
  request(o) {
    const body = typeof o.data === 'string' ? o.data : JSON.stringify(o.data);
    fetch(o.url, { method: o.method, headers: o.header, body }).then(
      async (r) =>
        o.complete({
          data: JSON.parse(await r.text()), statusCode: r.status,
          header: Object.fromEntries(r.headers), errMsg: 'request:ok',
        }),
      (e) => o.complete({ errMsg: `request:fail ${e}` }),
    );
  },
};

let text = '';
process.stdin.on('data', (chunk) => (text += chunk)).on('end', async () => {
  const { endpoint, spaceId, clientSecret, steps } = JSON.parse(text);
  const { uniCloud } = require('@dcloudio/uni-cloud');
  const cloud = uniCloud.init({ provider: 'aliyun', spaceId, clientSecret, endpoint });
  const results = [];
  for (const [name, data] of steps) {
    try {
      results.push({ value: await cloud.callFunction({ name, data }) });
    } catch (error) {
      results.push({ error: { code: error.code ?? error.errCode, message: error.message } });
    }
  }
  process.stdout.write(JSON.stringify(results));
  process.exit(0);
});
