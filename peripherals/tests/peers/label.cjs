// Renders the ZPL of its input to a PNG: node label.cjs <folder of zpl-renderer-js> <mm> <mm>.
const { readFileSync } = require("node:fs");
const { ready } = require(process.argv[2]);

ready.then(async ({ api }) => {
  const [width, height] = process.argv.slice(3).map(Number);
  const png = await api.zplToBase64Async(readFileSync(0, "utf8"), width, height, 8);
  process.stdout.write(Buffer.from(png, "base64"), () => process.exit(0));
});
