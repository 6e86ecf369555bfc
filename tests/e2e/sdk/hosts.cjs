// Stand-ins for the mini program hosts: each gives results the way its platform does.
'use strict';

async function send(url, method, headers, data) {
  const body = typeof data === 'string' ? data : JSON.stringify(data);
  const response = await fetch(url, { method, headers, body });
  const text = await response.text();
  let parsed = text;
  try {
    parsed = JSON.parse(text);
  } catch {
    // a host hands over what is no JSON as text
  }
  return { status: response.status, headers: Object.fromEntries(response.headers), parsed, text };
}

const noImage = { getImageInfo() {}, uploadFile() {} };

// my.request: any status outside 2xx is error 19, and the body is out of reach.
function alipay() {
  return {
    ...noImage,
    getAuthCode: (o) => o.complete({ authCode: 'alipay-code' }),
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
    ...noImage,
    login: (o) => o.complete({ code: 'wechat-code', errMsg: 'login:ok' }),
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
    ...noImage,
    getAuthCode: (o) => o.complete({ authCode: 'dingtalk-code' }),
    httpRequest(o) {
      send(o.url, o.method, o.headers, o.data).then(
        (r) => o.complete({ data: r.parsed, status: r.status, headers: r.headers }),
        (e) => o.complete({ error: 12, errorMessage: String(e) }),
      );
    },
  };
}

const hosts = { alipay: ['my', alipay], wechat: ['wx', wechat], dingtalk: ['dd', dingtalk] };

// Makes one host the current one and returns its object for the SDK's constructor.
exports.become = function become(name) {
  for (const [global] of Object.values(hosts)) delete globalThis[global];
  const [global, make] = hosts[name];
  globalThis[global] = make();
  return globalThis[global];
};
