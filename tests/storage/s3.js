// An S3-compatible server that verifies signatures, on a free port: s3.js MODULE FOLDER; prints its port and serves.
const [module_, directory] = process.argv.slice(2);
const S3rver = require(module_);
const server = new S3rver({
  port: 0,
  address: "127.0.0.1",
  silent: true,
  directory,
  configureBuckets: [{ name: "feeds", configs: [] }],
});
server.run().then(({ port }) => console.log(port));
