// Asks by http.request with a keep-alive agent and by fetch. BASE COUNT.
'use strict';
const http = require('http');
const [base, count] = [process.argv[2], Number(process.argv[3])];
const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });

function ask(method, path, body) {
  return new Promise((done, fail) => {
    const request = http.request(base + path, { method, agent }, (response) => {
      response.on('data', () => {});
      response.on('end', done);
    });
    request.on('error', fail);
    request.end(body);
  });
}

(async () => {
  for (let n = 0; n < count; n++) {
    await Promise.all([
      ask('GET', `/bytes/${1000 + n}`),
      ask('POST', '/echo', Buffer.alloc(n * 1000 + 1, 'p')),
      ask('GET', '/status/404'),
      ask('GET', '/chunked'),
    ]);
    await (await fetch(`${base}/ok/fetch`)).text();
  }
  process.exit(0);
})();
