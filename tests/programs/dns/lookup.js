// Looks up names with c-ares: lookup.js TYPE NAME…
const { promises: dns } = require("dns");
(async () => {
  for (const name of process.argv.slice(3)) {
    try {
      console.log(name, await dns.resolve(name, process.argv[2]));
    } catch (error) {
      console.log(name, error.code);
    }
  }
})();
