// Stand-ins for the mini program hosts: each gives results the way its platform does.
'use strict';

const { getFileInfo, getImageInfo, postForm } = require('./uploads.cjs');

let added = {};

async function send(url, method, headers, data) {
  const body = typeof data === 'string' ? data : JSON.stringify(data);
  const response = await fetch(url, { method, headers: { ...headers, ...added }, body });
  const text = await response.text();
  let parsed = text;
  try {
    parsed = JSON.parse(text);
  } catch {
    // a host hands over what is no JSON as text
  }
  return { status: response.status, headers: Object.fromEntries(response.headers), parsed, text };
}

let codes = 0;

// A new one each time, as the platforms' are good for one exchange.
const codeOf = (host) => `${host}-code-${process.pid}-${(codes += 1)}`;

// `named`: an answer of the host's uploadFile, under its names.
const filesOf = (named) => ({
  getFileInfo,
  getImageInfo,
  uploadFile: (o) =>
    postForm(o).then(
      ({ status, text }) => o.complete(named(status, text)),
      (e) => o.complete({ error: 12, errMsg: `uploadFile:fail ${e}` }),
    ),
});

// my.request: any status outside 2xx is error 19, and the body is out of reach.
function alipay() {
  return {
    ...filesOf((statusCode, data) => ({ statusCode, data })),
    getAuthCode: (o) => o.complete({ authCode: codeOf('alipay') }),
    request(o) {
      send(o.url, o.method, o.headers, o.data).then(
        (r) =>
          o.complete(
            r.status >= 200 && r.status < 300
              ? { data: r.parsed, status: r.status, headers: r.headers }
              : { error: 19, errorMessage: 'http status error', status: r.status },
          ),
        (e) => o.complete({ error: 12, errorMessage: String(e) }),
      );
    },
  };
}

// wx.request: other statuses pass through; names are statusCode and header.
function wechat() {
  return {
    ...filesOf((statusCode, data) => ({ statusCode, data, errMsg: 'uploadFile:ok' })),
    login: (o) => o.complete({ code: codeOf('wechat'), errMsg: 'login:ok' }),
    request(o) {
      send(o.url, o.method, o.header || o.headers, o.data).then(
        (r) =>
          o.complete({ data: r.parsed, statusCode: r.status, header: r.headers, errMsg: 'request:ok' }),
        (e) => o.complete({ errMsg: `request:fail ${e}` }),
      );
    },
  };
}

// dd.httpRequest gets a ready JSON text and answers like Alipay.
function dingtalk() {
  return {
    ...filesOf((statusCode, data) => ({ statusCode, data })),
    getAuthCode: (o) => o.complete({ authCode: codeOf('dingtalk') }),
    httpRequest(o) {
      send(o.url, o.method, o.headers, o.data).then(
        (r) => o.complete({ data: r.parsed, status: r.status, headers: r.headers }),
        (e) => o.complete({ error: 12, errorMessage: String(e) }),
      );
    },
  };
}

const hosts = { alipay: ['my', alipay], wechat: ['wx', wechat], dingtalk: ['dd', dingtalk] };

// Makes one host the current one and returns its object for the SDK's constructor. `headers` are what
// something on the way, or a browser, puts into each of its requests.
exports.become = function become(name, headers = {}) {
  added = headers;
  for (const [global] of Object.values(hosts)) delete globalThis[global];
  const [global, make] = hosts[name];
  globalThis[global] = make();
  return globalThis[global];
};
