// Node's http. PORT, ACCESS_LOG; SAY: a line on standard output a request.
'use strict';
const fs = require('fs');
const http = require('http');

const log = fs.openSync(process.env.ACCESS_LOG, 'a');
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function read(request) {
  return new Promise((done, fail) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => done(Buffer.concat(parts)));
    request.on('error', fail);
  });
}

async function answer(request, response, note) {
  const url = new URL(request.url, 'http://test.local');
  const [first, second, third] = url.pathname.slice(1).split('/');
  if (first === 'early') {
    response.writeHead(413, { 'Content-Length': 3, Connection: 'close' });
    response.end('no\n');
    return;
  }
  const body = await read(request);
  note.request_body = body.length;
  const whole = (status, data) => {
    const empty = status === 204 || status === 304;
    response.writeHead(status, empty ? {} : { 'Content-Length': Buffer.byteLength(data) });
    note.response_body = empty || request.method === 'HEAD' ? 0 : Buffer.byteLength(data);
    response.end(empty ? undefined : data);
  };
  const part = (data) => {
    note.response_body += Buffer.byteLength(data);
    response.write(data);
  };
  switch (first) {
    case 'ok':
      return whole(200, 'ok\n');
    case 'status':
      return whole(Number(second), 'status\n');
    case 'sleep':
      await sleep(Number(second));
      return whole(200, 'slept\n');
    case 'late': // says it between two sleeps
      await sleep(Number(second));
      console.log(`handling ${request.url}`);
      await sleep(Number(second));
      return whole(200, 'slept\n');
    case 'echo':
      return whole(200, body);
    case 'bytes':
      return whole(200, Buffer.alloc(Number(second), 'x'));
    case 'chunked':
      response.writeHead(200);
      for (const data of ['hello', ' ', 'world\n']) part(data);
      return response.end();
    case 'stream':
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      for (let n = 0; n < Number(second); n++) {
        await sleep(Number(third));
        part(`data: ${n}\n\n`);
      }
      return response.end();
    case 'close':
      response.shouldKeepAlive = false;
      response.removeHeader('Transfer-Encoding');
      response.writeHead(200);
      part(Buffer.alloc(Number(second), 'c'));
      return response.end();
    case 'call':
      return http.get(url.searchParams.get('url'), async (other) => whole(200, await read(other)));
    default:
      return whole(404, 'none\n');
  }
}

const server = http.createServer((request, response) => {
  const started = process.hrtime.bigint();
  const note = { method: request.method, path: request.url, request_body: 0, response_body: 0 };
  response.on('finish', () => {
    note.status = response.statusCode;
    note.seconds = Number(process.hrtime.bigint() - started) / 1e9;
    fs.writeSync(log, JSON.stringify(note) + '\n');
  });
  if (process.env.SAY && !request.url.startsWith('/late/')) console.log(`handling ${request.url}`);
  answer(request, response, note);
});
server.keepAliveTimeout = 60000;
server.listen(Number(process.env.PORT), '127.0.0.1');
