// An S3-compatible server that verifies signatures, on a free port: s3.js MODULE FOLDER [CERTIFICATE KEY]; prints its port.
const { readFileSync } = require("fs");
const [module_, directory, certificate, key] = process.argv.slice(2);
const S3rver = require(module_);
const server = new S3rver({
  port: 0,
  address: "127.0.0.1",
  silent: true,
  directory,
  ...(certificate && { cert: readFileSync(certificate), key: readFileSync(key) }),
  configureBuckets: [{ name: "feeds", configs: [] }],
});
server.run().then(({ port }) => console.log(port));
